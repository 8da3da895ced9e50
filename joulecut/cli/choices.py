"""`joulecut analyze --objective`: the exact best cut, way to code and place, and the Pareto front."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from joulecut.cli.lists import bits_of, words_of
from joulecut.cli.output import errors, progress, table
from joulecut.compiler.errors import ConfigError

if TYPE_CHECKING:
    import numpy as np

    from joulecut.compiler.calibration import Calibration
    from joulecut.compiler.config import CodecConfig
    from joulecut.compiler.cut import Cuts
    from joulecut.compiler.graph import Graph
    from joulecut.compiler.objective import Objective
    from joulecut.compiler.profile import Profile, Quantity
    from joulecut.compiler.search import Candidate, LayerCosts, Space
    from joulecut.hw.energy_table import EnergyTable
    from joulecut.hw.fading import ErgodicLink
    from joulecut.hw.radio import RadioLink
    from joulecut.targets.layer_costs import Account
    from joulecut.targets.tails import Tails

LOSSLESS = "none"
SHOWN = 24  # of the front, in a terminal


@dataclass(frozen=True)
class Wishes:
    """What a user asks for, as the options say it.

    Attributes:
        objective: "energy", "latency", or weights as "energy=1,latency=0.5" in joules and seconds.
        edges: names of targets, separated by commas.
        cloud: a target.
        cloud_clock_hz: its clock, which is assumed.
        quantizers: names, separated by commas; "none" is without loss.
        bits: of them, as "1-8" or "2,4,8".
        entropy: lossless stages, separated by commas.
        samples: a .npz file, an array [N, ...] for each input; y holds labels.
        count: how many samples are coded at most.
        judged: how many judge accuracy at most.
        max_energy_uj: bound of the edge's energy.
        max_latency_ms: bound of the latency.
        max_drop: of accuracy, in points below the unsplit network's.
        country: whose electricity, for CO2.
        account: how a processor's energy is counted.
        profiles: JSON of `joulecut profile`, of parts that together are the network, on the edge.
        cloud_profiles: the same on the cloud.
    """

    objective: str
    edges: str
    cloud: str
    cloud_clock_hz: float
    quantizers: str
    bits: str
    entropy: str
    samples: Path | None
    count: int
    judged: int
    max_energy_uj: float | None
    max_latency_ms: float | None
    max_drop: float | None
    country: str
    account: str
    profiles: tuple[Path, ...]
    cloud_profiles: tuple[Path, ...]


def choices(
    graph: Graph,
    found: Cuts,
    link: RadioLink | ErgodicLink,
    prices: EnergyTable,
    wishes: Wishes,
) -> dict[str, Any]:
    """The document of a search; see docs/search.md.

    Raises:
        ConfigError: an option does not fit, or nothing keeps the bounds.
    """
    from joulecut.compiler.search import pareto, search
    from joulecut.hw.carbon import load_carbon

    load_carbon().region(wishes.country)  # refused before the work, not after it
    objective = _objective(wishes, None)
    started = time.perf_counter()
    space, tails = _space(graph, found, link, prices, wishes)
    prepared = time.perf_counter()
    if wishes.max_drop is not None:
        whole = tails.whole.value
        objective = _objective(wishes, max(0.0, whole - wishes.max_drop / 100))
    with progress("search"):
        best = search(space, objective, tails)
    searched = time.perf_counter()
    front = pareto(space, objective)
    done = time.perf_counter()
    if best is None:
        raise ConfigError(
            f"bounds must leave a candidate, and none of {len(space):,} keeps them; loosen "
            f"{_bounds(wishes)}"
        )
    if wishes.samples is not None:
        best = _judged(best, tails)
    calibration = space.calibration
    return {
        "objective": wishes.objective,
        "bounds": _bounds(wishes),
        "candidates": len(space),
        "cuts": len(space.cuts),
        "settings": len(calibration.settings),
        "places": [_place(edge) for edge in (*space.edges, *_known(space.cloud))],
        "samples": {
            "given": calibration.real,
            "measured_on": calibration.samples,
            "fitted_on": calibration.fitted,
        },
        "country": wishes.country,
        "best": _candidate(best, wishes.country),
        "pareto": [_candidate(each, wishes.country) for each in front],
        "rate_distortion": _rate_distortion(space, best),
        "selection": _selection(space),
        "seconds": {
            "prepare": prepared - started,
            "search": searched - prepared,
            "pareto": done - searched,
        },
    }


def show_choices(document: dict[str, Any]) -> None:
    """For people."""
    best, seconds = document["best"], document["seconds"]
    given = document["samples"]
    errors.print(
        f"searched {document['candidates']:,} candidates ({document['cuts']} cuts x "
        f"{document['settings']} ways to code x {len(document['places']) - 1} places) in "
        f"{seconds['search'] + seconds['pareto']:.2f} s, after {seconds['prepare']:.1f} s of "
        f"coding {given['fitted_on'] + given['measured_on']} "
        f"{'samples' if given['given'] else 'random inputs (give --samples for real ones)'}"
    )
    for place in document["places"]:
        for note in place["notes"]:
            errors.print(f"[dim]{note}[/]")
    front = document["pareto"]
    shown = front if len(front) <= SHOWN else front[:: -(-len(front) // SHOWN)]
    rows = [_cells(row, "") for row in shown if row != best]
    table(
        f"the best of all by {document['objective']}, then {len(shown)} of {len(front)} on the "
        "Pareto front of energy, latency and SQNR",
        (
            "cut",
            "coded",
            "edge",
            "",
            "bytes",
            "energy uJ",
            "latency ms",
            "SQNR dB",
            "accuracy %",
            f"CO2 ug ({document['country']})",
        ),
        [_cells(best, "<"), *rows],
        left=4,
    )
    known = best["provenance"]
    errors.print(
        f"[dim]bytes {known['bytes']}, energy {known['energy']}, latency {known['latency']}[/]"
    )


def _space(
    graph: Graph,
    found: Cuts,
    link: RadioLink | ErgodicLink,
    prices: EnergyTable,
    wishes: Wishes,
) -> tuple[Space, Tails]:
    from joulecut.compiler.calibration import calibrate, crossing
    from joulecut.compiler.feeds import random_feeds
    from joulecut.compiler.profile import Quantity
    from joulecut.compiler.search import Space
    from joulecut.hw.cache import default_cache_dir
    from joulecut.targets.base import target
    from joulecut.targets.layer_costs import layer_costs
    from joulecut.targets.tails import Tails

    account = cast("Account", wishes.account)
    names = words_of(wishes.edges, "--edge")
    profile = _profile(wishes.profiles)
    if profile is not None and len(names) > 1:
        raise ConfigError(f"--profile must go with one --edge, not with {len(names)}")
    edges = tuple(
        layer_costs(graph, target(name), prices, account=account, profile=profile)
        for name in names
    )
    cloud = layer_costs(
        graph,
        target(wishes.cloud),
        prices,
        clock_hz=wishes.cloud_clock_hz,
        profile=_profile(wishes.cloud_profiles),
    )
    feeds, labels = _samples(graph, wishes)
    coded = feeds or random_feeds(graph, 2)
    coded = {name: array[: wishes.count] for name, array in coded.items()}
    with progress("code tensors") as advance:
        calibration: Calibration = calibrate(
            graph,
            coded,
            _settings(wishes),
            crossing(found),
            real=feeds is not None,
            directory=default_cache_dir() / "calibrations",
            progress=advance,
        )
    rate = link.rate_bits_per_s
    if rate <= 0:
        raise ConfigError("the link must carry bits to be chosen for, and its rate is 0")
    space = Space(
        tuple(found),
        calibration,
        edges,
        cloud,
        Quantity(link.power_w, "W", "assumed"),
        1 / rate,
    )
    judged = {name: array[: wishes.judged] for name, array in (feeds or coded).items()}
    return space, Tails(
        graph,
        judged,
        None if labels is None else labels[: wishes.judged],
        progress=lambda step: errors.print(f"[dim]>[/] {step}"),
    )


def _samples(
    graph: Graph, wishes: Wishes
) -> tuple[dict[str, np.ndarray] | None, np.ndarray | None]:
    """Arrays by input, and labels."""
    import numpy as np

    from joulecut.compiler.feeds import batch_of
    from joulecut.compiler.graph import input_specs

    if wishes.samples is None:
        if wishes.max_drop is not None:
            raise ConfigError("--max-drop must come with --samples to measure accuracy on")
        return None, None
    try:
        with np.load(wishes.samples, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"samples must be a .npz file of arrays, not '{wishes.samples}': {error}"
        ) from error
    labels = arrays.pop("y", None)
    batch_of(input_specs(graph), arrays)
    return arrays, labels


def _settings(wishes: Wishes) -> list[CodecConfig]:
    """Every quantizer with every number of bits, and every lossless stage."""
    from pydantic import ValidationError

    from joulecut.compiler.config import CodecConfig

    found: list[CodecConfig] = []
    try:
        for entropy in words_of(wishes.entropy, "--entropy"):
            for quantizer in words_of(wishes.quantizers, "--quantizer"):
                several = [8] if quantizer == LOSSLESS else bits_of(wishes.bits)
                found += [
                    CodecConfig.model_validate(
                        {"quantizer": quantizer, "bits": bits, "entropy": entropy}
                    )
                    for bits in several
                ]
    except ValidationError as error:
        problem = error.errors()[0]
        raise ConfigError(
            f"--{problem['loc'][0]} does not fit: {problem['msg']}, not '{problem['input']}'"
        ) from None
    return found


def _objective(wishes: Wishes, min_accuracy: float | None) -> Objective:
    from joulecut.compiler.objective import Objective

    weights = {"energy": 0.0, "latency": 0.0}
    for word in words_of(wishes.objective, "--objective"):
        name, _, value = word.partition("=")
        try:
            weights[name] += float(value or 1)
        except (KeyError, ValueError):
            raise ConfigError(
                f"--objective must be energy, latency or weights like energy=1,latency=0.5, "
                f"not '{wishes.objective}'"
            ) from None
    return Objective(
        weights["energy"],
        weights["latency"],
        None if wishes.max_energy_uj is None else wishes.max_energy_uj / 1e6,
        None if wishes.max_latency_ms is None else wishes.max_latency_ms / 1e3,
        min_accuracy,
    )


def _bounds(wishes: Wishes) -> str:
    said = [
        f"{name} {value:g}"
        for name, value in (
            ("--max-energy-uj", wishes.max_energy_uj),
            ("--max-latency-ms", wishes.max_latency_ms),
            ("--max-drop", wishes.max_drop),
        )
        if value is not None
    ]
    return " ".join(said) or "none"


def _profile(paths: tuple[Path, ...]) -> Profile | None:
    """The rows of several profiles as one."""
    import json

    from joulecut.compiler.profile import Profile

    found: list[Profile] = []
    for path in paths:
        try:
            fields: Any = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise ConfigError(
                f"--profile must be what `joulecut profile --json` printed, not '{path}': {error}"
            ) from error
        found.append(Profile.from_dict(fields))
    devices = sorted({each.device for each in found})
    if len(devices) > 1:
        raise ConfigError(f"profiles must be of one device, not of {' and '.join(devices)}")
    if not found:
        return None
    rows = tuple(row for each in found for row in each.layers)
    return Profile(found[0].device, rows, found[0].machine, found[0].notes)


def _known(cloud: LayerCosts | None) -> list[LayerCosts]:
    return [] if cloud is None else [cloud]


def _judged(best: Candidate, tails: Tails) -> Candidate:
    """The candidate with its accuracy, measured now unless it was."""
    from dataclasses import replace

    if best.costs.accuracy is not None:
        return best
    accuracy = tails(best.cut, best.setting)
    return replace(best, costs=replace(best.costs, accuracy=accuracy))


def _place(costs: LayerCosts) -> dict[str, Any]:
    return {
        "name": costs.place,
        "whole_j": sum(costs.joules.values()),
        "energy_provenance": costs.energy_provenance,
        "whole_s": None if costs.seconds is None else sum(costs.seconds.values()),
        "time_provenance": costs.time_provenance,
        "notes": list(costs.notes),
    }


def _candidate(each: Candidate, country: str) -> dict[str, Any]:
    from joulecut.hw.carbon import load_carbon
    from joulecut.hw.energy import co2_kg

    costs, setting = each.costs, each.setting
    times = {"edge_s": costs.edge_time, "cloud_s": costs.cloud_time}
    return {
        "tensors": list(each.cut.tensors),
        "quantizer": setting.quantizer,
        "bits": None if setting.quantizer == LOSSLESS else setting.bits,
        "entropy": setting.entropy,
        "edge": each.place,
        "bytes": costs.bits.value / 8,
        "processing_j": costs.processing.value,
        "energy_j": each.energy_j,
        **{name: None if value is None else value.value for name, value in times.items()},
        "latency_s": each.latency_s,
        "sqnr_db": None if each.sqnr_db == float("inf") else each.sqnr_db,
        "accuracy": None if costs.accuracy is None else costs.accuracy.value,
        "co2_kg": co2_kg(load_carbon(), each.energy_j, country),
        "provenance": {
            "bytes": costs.bits.provenance,
            "energy": costs.energy_provenance,
            "latency": None if each.latency_s is None else costs.latency_provenance,
            "accuracy": _provenance(costs.accuracy),
        },
    }


def _rate_distortion(space: Space, best: Candidate) -> list[dict[str, Any]]:
    """Every way to code what crosses at the best cut."""
    elements = sum(spec.size for spec in best.cut.specs)
    rows: list[dict[str, Any]] = []
    for number, setting in enumerate(space.calibration.settings):
        bits = space.calibration.bits(best.cut, number)
        sqnr_db = space.calibration.sqnr_db(best.cut, number)
        if bits is None or sqnr_db is None:
            continue
        rows.append(
            {
                "quantizer": setting.quantizer,
                "bits": None if setting.quantizer == LOSSLESS else setting.bits,
                "entropy": setting.entropy,
                "bits_per_element": bits.value / elements,
                "sqnr_db": None if sqnr_db == float("inf") else sqnr_db,
                "provenance": bits.provenance,
            }
        )
    return rows


def _selection(space: Space) -> list[dict[str, Any]]:
    """The best cut without loss on the first edge, by rate, from the slowest link; or nothing."""
    from joulecut.compiler.envelope import selection_table
    from joulecut.compiler.objective import Objective

    lossless = next(
        (n for n, s in enumerate(space.calibration.settings) if s.quantizer == LOSSLESS), None
    )
    if lossless is None:
        return []
    costs = [space.costs(cut, lossless, 0) for cut in range(len(space.cuts))]
    found = selection_table(costs, Objective())
    inside = [1 / start for start in found.starts if start > 0]
    fastest, slowest = max(inside, default=1.0) * 10, min(inside, default=1.0) / 10
    ends = [fastest, *inside, slowest]
    return [
        {
            "cut": costs[choice].name,
            "rate_from": ends[number + 1],
            "rate_to": ends[number],
            "provenance": costs[choice].energy_provenance,
        }
        for number, choice in enumerate(found.choices)
        if choice is not None
    ][::-1]


def _provenance(quantity: Quantity | None) -> str | None:
    return None if quantity is None else quantity.provenance


def _cells(row: dict[str, Any], mark: str) -> tuple[str, ...]:
    coded = "lossless" if row["bits"] is None else f"{row['quantizer']} {row['bits']} bits"
    if row["entropy"] != "best":
        coded += f", {row['entropy']}"
    return (
        " + ".join(row["tensors"]),
        coded,
        row["edge"],
        mark,
        f"{row['bytes']:,.0f}",
        f"{row['energy_j'] * 1e6:.3f}",
        "-" if row["latency_s"] is None else f"{row['latency_s'] * 1e3:.3f}",
        "exact" if row["sqnr_db"] is None else f"{row['sqnr_db']:.1f}",
        "-" if row["accuracy"] is None else f"{row['accuracy'] * 100:.1f}",
        f"{row['co2_kg'] * 1e9:.4f}",
    )
