"""How integers stand for real numbers: real = (integer - zero_point) * scale."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import onnx_ir as ir

QTYPE_KEY = "joulecut.qtype"  # metadata of an integer value; survives (de)serialization


@dataclass(frozen=True)
class QType:
    """The integer type of a tensor.

    Attributes:
        bits: 1 to 8 for activations and weights; 32 for biases and accumulators.
        signed: two's complement if true.
        scale: one positive number, or one per channel along `axis`.
        zero_point: the integer that stands for 0.0.
        narrow: the lowest code is left out (-127..127 for 8 bits).
        axis: the channel axis if `scale` has more than one entry, else None.
    """

    bits: int
    signed: bool
    scale: tuple[float, ...]
    zero_point: int = 0
    narrow: bool = False
    axis: int | None = None

    def __post_init__(self) -> None:
        if self.bits not in (*range(1, 9), 32):
            raise ValueError(f"bits must be 1 to 8 or 32, not {self.bits}")
        if not self.scale or any(not (math.isfinite(s) and s > 0) for s in self.scale):
            raise ValueError(f"scale must be finite and positive, not {self.scale[:8]}")
        if len(self.scale) > 1 and self.axis is None:
            raise ValueError(f"axis must be set for {len(self.scale)} scales, not None")
        if not self.low <= self.zero_point <= self.high:
            raise ValueError(
                f"zero point must be in {self.low}..{self.high}, not {self.zero_point}"
            )

    @property
    def low(self) -> int:
        """The lowest integer."""
        return -(1 << (self.bits - 1)) + self.narrow if self.signed else 0

    @property
    def high(self) -> int:
        """The highest integer."""
        return (1 << (self.bits - self.signed)) - 1 - (self.narrow and not self.signed)

    @property
    def dtype(self) -> np.dtype[Any]:
        """The numpy type that stores it: int8, uint8 or int32."""
        if self.bits == 32:
            return np.dtype(np.int32)
        return np.dtype(np.int8 if self.signed else np.uint8)


@dataclass(frozen=True)
class TensorSpec:
    """A tensor that enters or leaves a part: name, shape, storage type and meaning.

    Attributes:
        name: the name of the value in the graph.
        shape: all dimensions, the batch of 1 included.
        dtype: numpy's name of the storage type.
        qtype: what the integers mean; None for a float tensor.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    qtype: QType | None = None

    @property
    def size(self) -> int:
        """Number of elements."""
        return math.prod(self.shape)

    @property
    def nbytes(self) -> int:
        """Bytes in memory, uncompressed."""
        return self.size * np.dtype(self.dtype).itemsize


def qtype_to_json(qtype: QType) -> str:
    """Canonical JSON, the same bytes for equal types."""
    return json.dumps(asdict(qtype), sort_keys=True, separators=(",", ":"))


def qtype_from_json(text: str) -> QType:
    """Inverse of `qtype_to_json`; raises ValueError if the text is not a QType."""
    try:
        fields: dict[str, Any] = json.loads(text)
        fields["scale"] = tuple(fields["scale"])
        return QType(**fields)
    except (TypeError, KeyError) as error:
        raise ValueError(f"a quantized type must be a JSON object, not {text[:80]}") from error


def set_qtype(value: ir.Value, qtype: QType) -> None:
    """Record what the integers of `value` mean."""
    value.metadata_props[QTYPE_KEY] = qtype_to_json(qtype)


def qtype_of(value: ir.Value) -> QType | None:
    """What the integers of `value` mean, or None if that was never recorded (floats)."""
    text = value.metadata_props.get(QTYPE_KEY)
    return None if text is None else qtype_from_json(text)
