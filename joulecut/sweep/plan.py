"""A configuration as a problem to search, and a point of it as the jobs of one trial."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from typing import Any

from joulecut.compiler.config import CodecConfig
from joulecut.compiler.cut import cuts
from joulecut.compiler.errors import ConfigError, UnsupportedError
from joulecut.compiler.graph import Graph
from joulecut.compiler.load import load
from joulecut.compiler.pipeline import pipeline
from joulecut.hw.energy_table import load_table
from joulecut.hw.links import load_link
from joulecut.sweep import steps
from joulecut.sweep.config import PlaceConfig, SweepConfig, TrainRecipe, device_names
from joulecut.sweep.job import Job, digest, job
from joulecut.sweep.search import Bound, Point, Problem
from joulecut.targets.base import target
from joulecut.targets.devices.device import device, device_for
from joulecut.targets.tool_versions import TOOLS

TRAINERS = ("torch", "brevitas")


@dataclass(frozen=True)
class Place:
    """Where a part is built for and runs.

    Attributes:
        target: its name.
        device: an address; None if one of `boards` is taken.
        boards: names of boards of which any will do.
    """

    target: str
    device: str | None
    boards: tuple[str, ...] = ()

    @property
    def fields(self) -> dict[str, Any]:
        """What decides the result."""
        return {"target": self.target, "device": self.device}

    @property
    def label(self) -> str:
        """For people, and in the ledger."""
        return f"{self.target} on {self.device or ' or '.join(self.boards)}"


@dataclass(frozen=True)
class Plan:
    """A sweep that is ready to run.

    Attributes:
        problem: what is searched.
        choices: for each dimension what its labels stand for.
        config: what was asked for.
        model: digest of the Graph; None if each trial's is trained.
        samples: what steps are told of them, with their digest.
        count: how many samples there are.
        prices: digest of the energy table and the link.
        versions: of what builds and runs.
    """

    problem: Problem
    choices: Mapping[str, Mapping[str, Any]]
    config: SweepConfig
    model: str | None
    samples: Mapping[str, Any]
    count: int
    prices: str
    versions: Mapping[str, str]

    def job_of(self, point: Point) -> Job:
        """The jobs of a trial; the last of them has its result."""
        chosen = {name: self.choices[name][label] for name, label in point.items()}
        places: list[Place] = [chosen["edge"], chosen["cloud"]]
        boards = [place.boards for place in places if place.boards]
        if len(boards) == 2 and len({*boards[0], *boards[1]}) == 1:
            raise ConfigError(f"parts must run on two boards, not both on '{boards[0][0]}'")
        needs = self._training(chosen)
        arguments = self._arguments(chosen)
        shard = self.config.shard
        if boards or shard is None or shard >= self.count:
            whole = {**arguments, "start": 0, "stop": self.count, "timed": self._is_timed}
            return job(
                steps.run_whole, whole, needs=needs, boards=boards, hints=self._hints(places)
            )
        shards = [
            job(
                steps.run_shard,
                {
                    **arguments,
                    "start": start,
                    "stop": min(start + shard, self.count),
                    "timed": self._is_timed and start == 0,
                },
                needs=needs,
                hints=self._hints(places),
            )
            for start in range(0, self.count, shard)
        ]
        return job(steps.merge, arguments, needs=shards, hints=self._hints(places))

    @property
    def _is_timed(self) -> bool:
        return "latency_s" in self.config.wanted

    def _arguments(self, chosen: Mapping[str, Any]) -> dict[str, Any]:
        return {
            "model": self.model,
            "samples": dict(self.samples),
            "cut": list(chosen["cut"]),
            "codec": chosen["codec"].model_dump(),
            "edge": chosen["edge"].fields,
            "cloud": chosen["cloud"].fields,
            "batch": self.config.batch,
            "link": self.config.link,
            "prices": self.prices,
            "versions": dict(self.versions),
        }

    def _hints(self, places: Sequence[Place]) -> dict[str, Any]:
        config = self.config
        names = {name for place in places for name in place.boards}
        file = None if config.samples is None else config.samples.file
        return {
            "model": None if isinstance(config.model, TrainRecipe) else _absolute(config.model),
            "samples": None if file is None else _absolute(file),
            "energy": config.energy,
            "boards": {name: config.boards[name] for name in sorted(names)},
        }

    def _training(self, chosen: Mapping[str, Any]) -> list[Job]:
        if not isinstance(self.config.model, TrainRecipe):
            return []
        widths = chosen["weight_bits"], chosen["activation_bits"]
        return [training_job(self.config.model, *widths)]


def training_job(recipe: TrainRecipe, weight_bits: int, activation_bits: int) -> Job:
    """The training of one pair of widths; trials of every cut and codec share it."""
    fields = recipe.model_dump() | {
        "weight_bits": weight_bits,
        "activation_bits": activation_bits,
    }
    return job(steps.train, {"recipe": fields, "versions": _versions(("joulecut", *TRAINERS))})


def first_training(config: SweepConfig) -> Job | None:
    """The training whose network says which cuts there are; None for a model that is a file."""
    if not isinstance(config.model, TrainRecipe):
        return None
    return training_job(
        config.model, config.model.weight_bits[0], config.model.activation_bits[0]
    )


def planned(config: SweepConfig, trained: Mapping[str, Any] | None) -> Plan:
    """Look at the model and the samples, and lay out the search.

    Args:
        config: what is asked for.
        trained: result of `first_training`.

    Raises:
        ConfigError: a name, the samples or what is sought does not fit.
        UnsupportedError: the model holds what joulecut cannot build.
    """
    graph = steps.trained_graph(trained) if trained is not None else _loaded(config)
    model = None if trained is not None else steps.graph_digest(graph)
    samples, count, labelled = _samples(config, graph)
    if "accuracy" in config.wanted and not labelled:
        raise ConfigError("samples must have labels for accuracy to be sought, and have none")
    choices = _choices(config, graph)
    dimensions = {name: tuple(labels) for name, labels in choices.items()}
    bounds = [
        Bound(name, bound.at_least, bound.at_most) for name, bound in config.bounds.items()
    ]
    versions = _versions(TOOLS)
    prices = steps.prices_digest(load_table(config.energy), load_link(config.link).link)
    # Another question is another study, for Optuna cannot change one; results are shared.
    asked = [dimensions, dict(config.objectives), repr(bounds), model, samples, versions]
    asked += [config.search.method, config.batch, prices]
    if isinstance(config.model, TrainRecipe):
        asked.append(config.model.model_dump())
    problem = Problem(
        f"{config.name}-{digest(asked)[:12]}", dimensions, {**config.objectives}, bounds
    )
    return Plan(problem, choices, config, model, samples, count, prices, versions)


def _loaded(config: SweepConfig) -> Graph:
    assert not isinstance(config.model, TrainRecipe)
    return pipeline(load(config.model))


def _samples(config: SweepConfig, graph: Graph) -> tuple[dict[str, Any], int, bool]:
    """What steps are told of the samples, how many there are, and whether they have labels."""
    wanted = config.samples
    fields: dict[str, Any] = {"dataset": None, "count": None, "sha256": None}
    if wanted is not None:
        fields |= {"dataset": wanted.dataset, "count": wanted.count}
    elif isinstance(config.model, TrainRecipe):
        fields["dataset"] = config.model.dataset
    file = None if wanted is None or wanted.file is None else _absolute(wanted.file)
    feeds, labels = steps.read_samples(fields, graph, {"samples": file})
    count = min(len(feed) for feed in feeds.values())
    if count == 0:
        raise ConfigError("samples must be one or more, not none")
    fields["sha256"] = steps.samples_digest(feeds, labels)
    return fields, count, labels is not None


def _choices(config: SweepConfig, graph: Graph) -> dict[str, dict[str, Any]]:
    """Labels and what they stand for, by dimension."""
    named = (
        [cut.tensors for cut in cuts(graph)]
        if config.cuts == "auto"
        else [tuple(tensors) for tensors in config.cuts]
    )
    if not named:
        raise UnsupportedError("model must have a legal cut to be swept, and has none")
    found: dict[str, dict[str, Any]] = {
        "cut": _labelled("cuts", {" + ".join(tensors): tensors for tensors in named}, named),
        "codec": _labelled(
            "codecs", {codec_label(each): each for each in config.codecs}, config.codecs
        ),
    }
    for side, places in (("edge", config.edge), ("cloud", config.cloud)):
        made = [_place(config, place) for place in places]
        found[side] = _labelled(side, {place.label: place for place in made}, made)
    if isinstance(config.model, TrainRecipe):
        for name in ("weight_bits", "activation_bits"):
            widths: list[int] = getattr(config.model, name)
            found[name] = _labelled(name, {str(bits): bits for bits in widths}, widths)
    return found


def _labelled(name: str, labels: Mapping[str, Any], given: Sequence[Any]) -> dict[str, Any]:
    if len(labels) != len(given):
        raise ConfigError(f"{name} must be different from one another, and two are the same")
    return dict(labels)


def codec_label(codec: CodecConfig) -> str:
    """`tcq, 4 bits`; "fast" is said, "best" goes without saying."""
    words = [codec.quantizer]
    if codec.rate is not None:
        words.append(f"{codec.rate:g} bits a sample")
    elif codec.quantizer != "none":
        words.append(f"{codec.bits} bits")
    return ", ".join(words if codec.entropy == "best" else [*words, codec.entropy])


def _place(config: SweepConfig, place: PlaceConfig) -> Place:
    """The place with its device found, and every address looked at."""
    built_for = target(place.target)
    names = device_names(place)
    if not names:
        return Place(place.target, device_for(built_for).address)
    boards = tuple(sorted(name for name in names if name in config.boards))
    for name in names:
        device(config.boards.get(name, name))  # refuses what is no address
    return Place(place.target, None, boards) if boards else Place(place.target, names[0])


def _versions(names: Sequence[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for name in names:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = "absent"
    return found


def _absolute(path: Any) -> str:
    return str(path.absolute())
