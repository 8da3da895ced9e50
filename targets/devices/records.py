"""Samples as a part's program reads and writes them: raw little-endian bytes, one after another.

A record is one sample: its tensors in the order of their specs, no padding, no header.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np

from joulecut.compiler.errors import ConfigError, DeviceError, UntrustedInputError
from joulecut.compiler.feeds import check_values
from joulecut.compiler.graph import sizes
from joulecut.compiler.quant import TensorSpec


@dataclass(frozen=True)
class BuiltLayer:
    """One line of `layers.json`.

    Attributes:
        output: what it makes.
        kind: its operators.
        layers: names of the layers of the graph that run as this one, in order.
    """

    output: TensorSpec
    kind: str
    layers: tuple[str, ...]

    @property
    def name(self) -> str:
        """The name of the layer is the name of what it makes."""
        return self.output.name


def read_layers(part: Path) -> tuple[BuiltLayer, ...]:
    """The layers of a built part, in the order in which they run.

    Raises:
        DeviceError: if the part has no `layers.json`.
        UntrustedInputError: if the file is not what a build writes.
    """
    path, report = _read_report(part)
    try:
        return tuple(_layer(row) for row in report["layers"])
    except (ValueError, KeyError, TypeError) as error:
        raise UntrustedInputError(
            f"{path} must list layers with name, kind and output; {error!r} in the way"
        ) from error


def read_target(part: Path) -> str:
    """The name of the target that a part was built for, or "" if its report says none."""
    _, report = _read_report(part)
    return str(report.get("target", ""))


def _read_report(part: Path) -> tuple[Path, dict[str, Any]]:
    path = part / "layers.json"
    try:
        report = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise DeviceError(
            f"{path} must be readable, not {error.strerror}; build the part again"
        ) from error
    except ValueError as error:
        raise UntrustedInputError(f"{path} must be JSON; {error!r} in the way") from error
    if not isinstance(report, dict):
        raise UntrustedInputError(f"{path} must be a JSON object, not {type(report).__name__}")
    return path, cast("dict[str, Any]", report)


def _layer(row: Mapping[str, Any]) -> BuiltLayer:
    output = row["output"]
    shape = tuple(int(dim) for dim in output["shape"])
    spec = TensorSpec(str(row["name"]), shape, np.dtype(str(output["dtype"])).name)
    if spec.nbytes != output["nbytes"]:
        raise ValueError(f"nbytes of {spec.name} must be {spec.nbytes}, not {output['nbytes']}")
    fused = tuple(str(name) for name in row.get("layers", [spec.name]))
    return BuiltLayer(spec, str(row["kind"]), fused)


def sample_shape(spec: TensorSpec) -> tuple[int, ...]:
    """The shape of one sample: the spec's, without its batch of 1."""
    return spec.shape[1:] if spec.shape[:1] == (1,) else spec.shape


def check_feeds(feeds: Mapping[str, np.ndarray], specs: Sequence[TensorSpec]) -> int:
    """The number of samples in `feeds`, after checking every array against its spec.

    Raises:
        ConfigError: naming the input that is missing, unknown, or has another type, shape,
            number of samples or range than the spec says, and what it must be.
    """
    wanted = [spec.name for spec in specs]
    if set(feeds) != set(wanted):
        raise ConfigError(f"feeds must be {_names(wanted)}, not {_names(feeds)}")
    counts = {spec.name: _check_feed(np.asarray(feeds[spec.name]), spec) for spec in specs}
    if len(set(counts.values())) != 1:
        raise ConfigError(f"feeds must hold the same number of samples, not {counts}")
    return next(iter(counts.values()))


def _names(names: Iterable[str]) -> str:
    return ", ".join(f"'{name}'" for name in sorted(names)) or "none"


def _check_feed(array: np.ndarray, spec: TensorSpec) -> int:
    """The number of samples in one input."""
    shape = sample_shape(spec)
    if array.shape[1:] != shape or array.ndim != len(shape) + 1:
        wanted = ", ".join(map(str, ("N", *shape)))
        raise ConfigError(f"feed '{spec.name}' must be [{wanted}], not {list(array.shape)}")
    if not len(array):
        raise ConfigError(f"feed '{spec.name}' must hold at least one sample, not none")
    check_values(spec, array)
    return len(array)


def to_records(arrays: Mapping[str, np.ndarray], specs: Sequence[TensorSpec]) -> np.ndarray:
    """The samples as uint8 [N, bytes of a record]; the arrays must fit their specs."""
    columns: list[np.ndarray] = []
    for spec in specs:
        little = np.dtype(spec.dtype).newbyteorder("<")
        array = np.ascontiguousarray(arrays[spec.name], dtype=little)
        columns.append(array.reshape(len(array), -1).view(np.uint8))
    return np.concatenate(columns, axis=1)


def from_frames(raw: bytes, count: int) -> tuple[bytes, ...]:
    """`count` frames, each behind its length in 32 bits.

    Raises:
        DeviceError: if there are more or fewer.
    """
    frames: list[bytes] = []
    at = 0
    while at + 4 <= len(raw):
        end = at + 4 + int.from_bytes(raw[at : at + 4], "little")
        frames.append(raw[at + 4 : end])
        at = end
    if len(frames) != count or at != len(raw):
        raise DeviceError(
            f"frames must be {count} in {len(raw)} bytes, not {len(frames)} in {at}; "
            "the part was built without a link, or its program stopped early"
        )
    return tuple(frames)


def from_records(raw: bytes, specs: Sequence[TensorSpec], count: int) -> dict[str, np.ndarray]:
    """Inverse of `to_records`: arrays [count, ...] by name.

    Raises:
        DeviceError: if there are more or fewer bytes than `count` records have.
    """
    record_bytes = sizes(specs)
    if len(raw) != count * record_bytes:
        raise DeviceError(
            f"{count} records must be {count * record_bytes} bytes, not {len(raw)}; "
            "the part was built from another graph, or its program stopped early"
        )
    table = np.frombuffer(raw, np.uint8).reshape(count, record_bytes)
    arrays: dict[str, np.ndarray] = {}
    start = 0
    for spec in specs:
        column = np.ascontiguousarray(table[:, start : start + spec.nbytes])
        typed = column.view(np.dtype(spec.dtype).newbyteorder("<")).astype(spec.dtype)
        arrays[spec.name] = typed.reshape(count, *sample_shape(spec))
        start += spec.nbytes
    return arrays
