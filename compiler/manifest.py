"""What a bundle says about itself: parts, link and cut as plain values for manifest.json."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from joulecut.compiler.cost import cost_of_layer
from joulecut.compiler.cut import Cut
from joulecut.compiler.errors import UntrustedInputError
from joulecut.compiler.layers import layers
from joulecut.compiler.plan import Part, Plan
from joulecut.compiler.quant import QType, TensorSpec

Json = Any  # null, bool, int, float, str, list or dict of these

_DTYPES = {"int8", "uint8", "int32", "float32", "int64", "bool"}


def plan_fields(
    plan: Plan,
    cut: Cut,
    targets: Mapping[str, str],
    codec: Mapping[str, Json],
    code: Mapping[str, Json] | None = None,
) -> dict[str, Json]:
    """The fields `parts`, `link` and `cut` of a manifest.

    Args:
        plan: what was built.
        cut: where it was cut.
        targets: for each part's name the name of its target.
        codec: settings of the codec on the link.
        code: what they became: how edge and host code, from `LinkCode.to_fields`; None if
            the edge does not code.
    """
    return {
        "parts": {
            part.name: part_fields(part, targets[part.name]) for part in (plan.edge, plan.cloud)
        },
        "link": {
            "tensors": [spec_fields(spec) for spec in plan.link.specs],
            "raw": list(plan.link.raw),
            "codec": dict(codec),
            **({} if code is None else {"code": dict(code)}),
        },
        "cut": {
            "tensors": list(cut.tensors),
            "bytes": cut.nbytes,
            "edge_macs": cut.edge_macs,
            "cloud_macs": cut.cloud_macs,
            "edge_layers": cut.edge_layers,
            "cloud_layers": cut.cloud_layers,
        },
    }


def part_fields(part: Part, target: str) -> dict[str, Json]:
    """A part: its target, what enters and leaves it, and its layers in order."""
    return {
        "target": target,
        "inputs": [spec_fields(spec) for spec in part.inputs],
        "outputs": [spec_fields(spec) for spec in part.outputs],
        "layers": [
            {"name": layer.name, "kind": layer.kind, "macs": cost_of_layer(layer).macs}
            for layer in layers(part.graph)
        ],
    }


def spec_fields(spec: TensorSpec) -> dict[str, Json]:
    """A spec as plain values; `spec_from_fields` is the inverse."""
    fields = asdict(spec)
    fields["shape"] = list(spec.shape)
    if spec.qtype is not None:
        fields["qtype"]["scale"] = list(spec.qtype.scale)
    return fields


def spec_from_fields(fields: Json) -> TensorSpec:
    """A spec from the untrusted values of a manifest.

    Raises:
        UntrustedInputError: the values are not a spec.
    """
    try:
        return _spec(fields)
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError) as error:
        raise UntrustedInputError(
            f"tensor spec of a manifest must have a name, a shape, a dtype and a qtype: {error}"
        ) from error


def specs_from_fields(rows: Json) -> tuple[TensorSpec, ...]:
    """Specs from an untrusted list.

    Raises:
        UntrustedInputError: the values are not specs.
    """
    if not isinstance(rows, Sequence) or isinstance(rows, str):
        raise UntrustedInputError(
            f"tensor specs of a manifest must be a list, not {type(rows).__name__}"
        )
    return tuple(map(spec_from_fields, rows))  # pyright: ignore[reportUnknownArgumentType]


def _spec(fields: Json) -> TensorSpec:
    _require_keys(fields, TensorSpec)
    if not isinstance(fields["name"], str) or fields["dtype"] not in _DTYPES:
        raise ValueError(f"name is {fields['name']!r}, dtype is {fields['dtype']!r}")
    shape = tuple(_size(dim) for dim in fields["shape"])
    qtype = None if fields["qtype"] is None else _qtype(fields["qtype"])
    spec = TensorSpec(fields["name"], shape, fields["dtype"], qtype)
    if qtype is not None and qtype.dtype != np.dtype(spec.dtype):
        raise ValueError(f"{spec.dtype} is not how {qtype.bits} bits are stored")
    return spec


def _qtype(fields: Json) -> QType:
    _require_keys(fields, QType)
    signed, narrow = fields["signed"], fields["narrow"]
    if type(signed) is not bool or type(narrow) is not bool:
        raise ValueError(f"signed is {signed!r}, narrow is {narrow!r}")
    return QType(
        bits=_whole(fields["bits"], 33),
        signed=signed,
        scale=tuple(map(float, fields["scale"])),
        zero_point=_whole(fields["zero_point"], 2**31),
        narrow=narrow,
        axis=None if fields["axis"] is None else _whole(fields["axis"], 16),
    )


def _require_keys(row: Json, kind: type[TensorSpec | QType]) -> None:
    wanted = {field.name for field in dataclasses.fields(kind)}
    if set(row) != wanted:
        raise ValueError(f"keys are {sorted(map(str, row))}, not {sorted(wanted)}")


def _whole(number: Json, limit: int) -> int:
    if type(number) is not int or not -limit < number < limit:
        raise ValueError(f"{number!r} is not a whole number of less than {limit}")
    return number


def _size(dim: Json) -> int:
    if _whole(dim, 2**31) < 0:
        raise ValueError(f"dimension is {dim}")
    return dim
