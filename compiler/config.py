"""The build configuration: YAML through strict models that refuse what they do not know."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar, cast

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from joulecut.compiler.errors import ConfigError
from joulecut.compiler.objective import EstimationError, Infeasible, Objective

SCHEMA_VERSION = 1

Assign = Literal["all", "time", "energy"]  # how layers go to the accelerator of a target


class Strict(BaseModel):
    """A schema that refuses keys it does not know; its values do not change."""

    model_config = ConfigDict(extra="forbid", frozen=True)


_Model = TypeVar("_Model", bound=Strict)


class CodecConfig(Strict):
    """How the tensors at the cut are coded.

    Attributes:
        quantizer: "none" sends the tensors' own integers, without loss; "sq" is uniform
            scalar quantization, "lloyd" has values trained on each tensor, "rdo" a dead zone
            and "tcq" a trellis.
        bits: bits of the quantizer, 1 to 8; not used without one, or with `rate`.
        rate: bits a sample on the link, for "sq", "rdo" and "tcq".
        entropy: the lossless stage: "best", or "fast", which is Huffman only and was called
            "huffman".
    """

    quantizer: Literal["none", "sq", "lloyd", "rdo", "tcq"] = "none"
    bits: Annotated[int, Field(ge=1, le=8)] = 8
    rate: Annotated[float, Field(gt=0, le=32)] | None = None
    entropy: Literal["best", "fast", "huffman"] = "best"

    @model_validator(mode="after")
    def _rate_has_a_quantizer(self) -> Self:
        if self.rate is not None and self.quantizer not in ("sq", "rdo", "tcq"):
            raise ValueError(f"rate must go with sq, rdo or tcq, not with {self.quantizer}")
        return self


class SelectionConfig(Strict):
    """What cuts are compared by where the edge chooses one for each inference.

    Attributes:
        link: name of the radio link that says the power of sending (docs/energy.md).
        energy_table: name of the table that prices computing and fetching, or its file.
        energy_weight: of a joule; as the fields below, of compiler/objective.py.
        latency_weight: of a second.
        max_energy_j: bound per inference.
        max_latency_s: bound per inference.
        infeasible: what is chosen where no cut keeps the bounds: "none", or the "least" excess.
        margin: of hysteresis.
        sigma: of the estimate of the channel: standard deviation of the logarithm.
        confidence: that bounds are kept, if there is a sigma.
        edge_macs_per_s: assumed, in place of what docs/search.md predicts for targets that name
            a clock.
        cloud_macs_per_s: of the server, likewise.
        cloud_clock_hz: of the server, assumed, for that prediction.
        round_trip_s: what the way costs at any rate.
        max_candidates: cuts that are looked at, at most.
        max_cuts: cuts in the bundle, at most.
    """

    link: str = "paper-5mhz"
    energy_table: str = "horowitz_45nm"
    energy_weight: Annotated[float, Field(ge=0)] = 1.0
    latency_weight: Annotated[float, Field(ge=0)] = 0.0
    max_energy_j: Annotated[float, Field(gt=0)] | None = None
    max_latency_s: Annotated[float, Field(gt=0)] | None = None
    infeasible: Infeasible = "none"
    margin: Annotated[float, Field(ge=0)] = 0.0
    sigma: Annotated[float, Field(ge=0)] = 0.0
    confidence: Annotated[float, Field(gt=0, lt=1)] = 0.95
    edge_macs_per_s: Annotated[float, Field(gt=0)] | None = None
    cloud_macs_per_s: Annotated[float, Field(gt=0)] | None = None
    cloud_clock_hz: Annotated[float, Field(gt=0)] = 3e9
    round_trip_s: Annotated[float, Field(ge=0)] = 0.0
    max_candidates: Annotated[int, Field(ge=1, le=4096)] = 256
    max_cuts: Annotated[int, Field(ge=1, le=4096)] = 16

    @model_validator(mode="after")
    def _speeds_come_together(self) -> Self:
        if (self.edge_macs_per_s is None) != (self.cloud_macs_per_s is None):
            raise ValueError("edge_macs_per_s and cloud_macs_per_s must be given together")
        return self

    def objective(self) -> Objective:
        """What a cut is the least of; raises ConfigError where the fields contradict."""
        return Objective(
            self.energy_weight,
            self.latency_weight,
            self.max_energy_j,
            self.max_latency_s,
            None,
            self.infeasible,
            self.margin,
            EstimationError(self.sigma, self.confidence) if self.sigma else None,
        )


class BuildConfig(Strict):
    """What `joulecut build` needs to know; paths are relative to the file that says them.

    Attributes:
        schema_version: of this file; now 1.
        model: the ONNX model.
        cut: the tensors to cut at, or "auto": the cut that costs least on the default link.
        edge: target of the first part.
        assign: which layers run on the accelerator, if a target has one: "all" that it can, or
            those with which the part takes least "time" or "energy" (modelled).
        cloud: target of the second part.
        codec: how the tensors at the cut are coded.
        out: the bundle to write.
        vectors: how many seeded random test vectors go into the bundle.
        require_integer: make a node that stays in float an error.
        selection: None: one cut; otherwise the edge chooses among several for each inference
            (docs/selection.md), and `cut` and `assign` stay as they are.
    """

    schema_version: Literal[1] = SCHEMA_VERSION
    model: Path
    cut: Literal["auto"] | Annotated[list[str], Field(min_length=1)] = "auto"
    edge: str = "aarch64"
    cloud: str = "x86_64"
    assign: Assign = "all"
    codec: CodecConfig = CodecConfig()
    out: Path
    vectors: Annotated[int, Field(ge=1, le=1024)] = 2
    require_integer: bool = False
    selection: SelectionConfig | None = None

    @model_validator(mode="after")
    def _a_cut_or_a_selection(self) -> Self:
        if self.selection is not None and (self.cut != "auto" or self.assign != "all"):
            raise ValueError("selection must come without cut and assign")
        return self

    @staticmethod
    def from_yaml(path: str | Path, overrides: tuple[str, ...] = ()) -> BuildConfig:
        """Read a configuration.

        Args:
            path: the YAML file.
            overrides: `key=value` texts, dots for nested keys (`codec.bits=4`).

        Raises:
            ConfigError: the file is not there, is not YAML, or does not fit the schema.
        """
        path = Path(path)
        fields = read_fields(path)
        for override in overrides:
            set_field(fields, override)
        for key in ("model", "out"):
            if isinstance(fields.get(key), str):
                fields[key] = path.parent / fields[key]
        return parse_config(fields, where=str(path))


def read_fields(path: Path) -> dict[str, Any]:
    """The keys and values of a YAML file, not yet checked against a schema.

    Raises:
        ConfigError: the file is not there, is not YAML, or does not hold keys and values.
    """
    try:
        raw: Any = yaml.load(path.read_text(), Loader=_UniqueKeys)
    except OSError as error:
        raise ConfigError(
            f"configuration must be a readable file, not '{path}': {error.strerror}"
        ) from error
    except yaml.YAMLError as error:
        raise ConfigError(f"'{path}' must be YAML, not this: {error}") from error
    if not isinstance(raw, dict):
        raise ConfigError(f"'{path}' must hold keys and values, not {type(raw).__name__}")
    return cast("dict[str, Any]", raw)


def parse_config(fields: dict[str, Any], where: str) -> BuildConfig:
    """Check the fields; raises ConfigError with one line per field that does not fit."""
    return parse_fields(BuildConfig, fields, where=where, schema="build")


def parse_fields(
    model: type[_Model], fields: dict[str, Any], *, where: str, schema: str
) -> _Model:
    """Check the fields against a schema.

    Args:
        model: the schema.
        fields: keys and values.
        where: names their source in an error.
        schema: names the schema in an error.

    Raises:
        ConfigError: one line for each field that does not fit.
    """
    try:
        return model.model_validate(fields)
    except ValidationError as error:
        lines = [
            f"{'.'.join(str(part) for part in problem['loc'])}: {problem['msg']}"
            for problem in error.errors()
        ]
        raise ConfigError(
            "\n  ".join([f"{where} must fit the {schema} schema:", *lines])
        ) from None


class _UniqueKeys(yaml.SafeLoader):
    """YAML's safe subset; a key that stands twice is refused instead of the last one winning."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[Any] = set()
        construct = cast("Callable[..., Any]", self.construct_object)  # pyright: ignore[reportUnknownMemberType]
        for key_node, _ in node.value:
            key = construct(key_node, deep=True)
            if key in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"key {key!r} must stand once", key_node.start_mark
                )
            seen.add(key)
        return super().construct_mapping(node, deep=deep)


def set_field(fields: dict[str, Any], override: str) -> None:
    """Put `codec.bits=4` into nested dictionaries; the value is read as YAML.

    Raises:
        ConfigError: the text is no `key=value`, or a key on the way holds no keys.
    """
    key, separator, value = override.partition("=")
    if not separator or not key:
        raise ConfigError(f"--set must be key=value, not '{override}'")
    *parents, last = key.split(".")
    for parent in parents:
        inner: Any = fields.setdefault(parent, {})
        if not isinstance(inner, dict):
            raise ConfigError(f"--set {override}: '{parent}' must hold keys, not a value")
        fields = cast("dict[str, Any]", inner)
    fields[last] = yaml.safe_load(value)
