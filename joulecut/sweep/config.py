"""The sweep configuration: what may vary, what is sought, and where it is written down."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar

from pydantic import Field, StringConstraints, model_validator

from joulecut.compiler.config import CodecConfig, Strict, parse_fields, read_fields, set_field
from joulecut.compiler.errors import ConfigError
from joulecut.sweep.search import Direction

T = TypeVar("T")
Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$")]
Choices = Annotated[tuple[T, ...], Field(min_length=1)]
Bits = Annotated[int, Field(ge=2, le=8)]
Count = Annotated[int, Field(ge=1)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]

QuantityName = Literal[
    "energy_j", "processing_j", "radio_j", "latency_s", "coded_bytes", "raw_bytes", "accuracy"
]


class TrainRecipe(Strict):
    """The digit network, trained with each weight and activation width; see `joulecut train`.

    Attributes:
        dataset: the images, to train and to judge.
        weight_bits: the widths to try.
        activation_bits: likewise.
        float_epochs: before quantization.
        quantized_epochs: with it.
        train_count: learn from the first so many images; None: from all.
        seed: of the training.
    """

    dataset: Literal["mnist", "fashion-mnist"] = "mnist"
    weight_bits: Choices[Bits] = (8,)
    activation_bits: Choices[Bits] = (8,)
    float_epochs: Annotated[int, Field(ge=0)] = 8
    quantized_epochs: Count = 2
    train_count: Count | None = None
    seed: Annotated[int, Field(ge=0)] = 0


class SampleConfig(Strict):
    """Held-out samples: one of the zoo's data sets, or a .npz file.

    Attributes:
        dataset: whose held-out part is used.
        file: arrays [N, ...] by the names of the model's inputs, and `labels`, int [N].
        count: the first so many; None: all.
    """

    dataset: Literal["mnist", "fashion-mnist"] | None = None
    file: Path | None = None
    count: Count | None = None

    @model_validator(mode="after")
    def _from_one_place(self) -> Self:
        if (self.dataset is None) == (self.file is None):
            raise ValueError("samples must have a dataset or a file, and not both")
        return self


class PlaceConfig(Strict):
    """Where a part runs.

    Attributes:
        target: what it is built for.
        device: an address, the name of a board, or several boards of which any will do; None:
            this machine if it can, else an emulator.
    """

    target: str
    device: str | Choices[str] | None = None


class BoundConfig(Strict):
    """Limits of a quantity.

    Attributes:
        at_least: it must not be below.
        at_most: it must not be above.
    """

    at_least: float | None = None
    at_most: float | None = None


class SearchConfig(Strict):
    """How points are chosen.

    Attributes:
        method: "grid" tries every one, "nsga2" breeds them.
        trials: of nsga2, in all; a later call with a larger number goes on.
        seed: of nsga2.
        population: of nsga2: trials of a generation.
    """

    method: Literal["grid", "nsga2"] = "grid"
    trials: Count | None = None
    seed: Annotated[int, Field(ge=0)] = 0
    population: Annotated[int, Field(ge=2)] = 20

    @model_validator(mode="after")
    def _trials_are_of_nsga2(self) -> Self:
        if (self.method == "nsga2") != (self.trials is not None):
            raise ValueError("trials must be given for nsga2, and for nsga2 alone")
        return self


class SweepConfig(Strict):
    """What `joulecut sweep` needs to know; paths are relative to the file that says them.

    Attributes:
        schema_version: of this file; now 1.
        name: of the sweep; letters, digits, and . _ -.
        model: an ONNX file, or a recipe to train the digit network by.
        samples: to judge by; None: the held-out part of the recipe's data set.
        cuts: "auto", every legal one, or for each the tensors to cut at.
        codecs: how the tensors at the cut may be coded.
        edge: where the first part may run.
        cloud: where the second part may run.
        boards: addresses by name; a board is used by one trial at a time.
        link: a name of docs/energy.md.
        energy: an energy table: a name or a TOML file.
        objectives: what is sought, with its direction.
        bounds: what the front must keep.
        search: how.
        batch: samples that are coded together.
        shard: samples that one task runs; None: one task runs them all. Trials on a board are
            never split, so that nothing comes between.
        attempts: so often a trial may be started before it is marked as failed.
        lease_s: seconds after which a silent worker on another machine is taken for dead.
        ledger: a database; None: a SQLite file in `out`.
        out: folder of the tables and the page.
    """

    schema_version: Literal[1] = 1
    name: Name
    model: Path | TrainRecipe
    samples: SampleConfig | None = None
    cuts: Literal["auto"] | Choices[Choices[str]] = "auto"
    codecs: Choices[CodecConfig] = (CodecConfig(),)
    edge: Choices[PlaceConfig] = (PlaceConfig(target="aarch64"),)
    cloud: Choices[PlaceConfig] = (PlaceConfig(target="x86_64"),)
    boards: dict[Name, str] = Field(default_factory=dict)
    link: str = "paper-5mhz"
    energy: str = "horowitz_45nm"
    objectives: dict[QuantityName, Direction] = Field(min_length=1)
    bounds: dict[QuantityName, BoundConfig] = Field(
        default_factory=dict[QuantityName, BoundConfig]
    )
    search: SearchConfig = SearchConfig()
    batch: Count = 100
    shard: Count | None = None
    attempts: Count = 3
    lease_s: Positive = 60.0
    ledger: str | None = Field(default=None, repr=False)
    out: Path

    @model_validator(mode="after")
    def _is_consistent(self) -> Self:
        if isinstance(self.model, Path) and self.samples is None:
            raise ValueError("samples must be given for a model that is a file")
        if self.shard is not None and self.shard % self.batch:
            raise ValueError(
                f"shard must be a multiple of batch {self.batch}, not {self.shard}"
            )
        for place in (*self.edge, *self.cloud):
            unknown = [name for name in device_names(place) if name not in self.boards]
            if isinstance(place.device, tuple) and unknown:
                raise ValueError(f"device must name boards, not '{unknown[0]}'")
        return self

    @property
    def wanted(self) -> frozenset[str]:
        """Quantities that decide: objectives and what is bounded."""
        return frozenset((*self.objectives, *self.bounds))

    @staticmethod
    def from_yaml(path: str | Path, overrides: tuple[str, ...] = ()) -> SweepConfig:
        """Read a configuration.

        Args:
            path: the YAML file.
            overrides: `key=value` texts, dots for nested keys (`search.trials=50`).

        Raises:
            ConfigError: the file is not there, is not YAML, or does not fit the schema.
        """
        path = Path(path)
        fields = read_fields(path)
        for override in overrides:
            set_field(fields, override)
        _place_under(path.parent, fields, "model")
        _place_under(path.parent, fields, "out")
        if isinstance(fields.get("samples"), dict):
            _place_under(path.parent, fields["samples"], "file")
        return parse_fields(SweepConfig, fields, where=str(path), schema="sweep")


def _place_under(folder: Path, fields: dict[str, Any], key: str) -> None:
    """Make a path relative to a folder; whatever else stands there is for the schema."""
    if isinstance(fields.get(key), str):
        fields[key] = folder / fields[key]


def device_names(place: PlaceConfig) -> tuple[str, ...]:
    """The device's address or boards; none if it is left open."""
    if place.device is None:
        return ()
    return (place.device,) if isinstance(place.device, str) else place.device


def ledger_url(config: SweepConfig) -> str:
    """The configured ledger, or a file in the folder of the results."""
    if config.ledger is not None:
        return config.ledger
    return f"sqlite:///{(config.out / 'ledger.db').absolute()}"


def require_shared(config: SweepConfig, is_file: bool, cluster: str | None) -> None:
    """Refuse a ledger in a file for workers that may be elsewhere."""
    if is_file and cluster is not None and not _is_here(cluster):
        raise ConfigError(
            f"ledger of '{config.name}' must be a PostgreSQL URL when machines share it through "
            f"--cluster {cluster}, not a SQLite file"
        )


def _is_here(cluster: str) -> bool:
    host = cluster.partition("://")[2].rpartition(":")[0]
    return host in ("127.0.0.1", "localhost", "[::1]")
