"""Rate, distortion and speed of the codec on one tensor, measured."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, TypeVar

import numpy as np

from joulecut.compiler import codec
from joulecut.compiler.quantizers.grid import QUANTIZABLE
from joulecut.compiler.quantizers.named import Name

T = TypeVar("T")
Entropy = Literal["best", "fast"]

QUANTIZERS: tuple[Name | None, ...] = (
    None,
    "sq",
    "sq-clip",
    "lloyd",
    "rdo",
    "tcq",
    "tcq-fixed",
)
ENTROPIES: tuple[Entropy, ...] = ("best", "fast")


@dataclass(frozen=True)
class Row:
    """One way to code the tensor.

    Attributes:
        quantizer: its name, or "none".
        bits: of an index; None without loss.
        entropy: the lossless stage.
        bits_per_sample: of the whole blob.
        sqnr_db: signal to quantization noise; None without noise or without signal.
        encode_mb_s: megabytes of the tensor a second, its quantizer fitted anew.
        decode_mb_s: the same back.
    """

    quantizer: str
    bits: int | None
    entropy: str
    bits_per_sample: float
    sqnr_db: float | None
    encode_mb_s: float
    decode_mb_s: float

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)

    def cells(self) -> tuple[str, ...]:
        """As a table shows it."""
        return (
            self.quantizer,
            "-" if self.bits is None else str(self.bits),
            self.entropy,
            f"{self.bits_per_sample:.4f}",
            "-" if self.sqnr_db is None else f"{self.sqnr_db:.2f}",
            f"{self.encode_mb_s:,.1f}",
            f"{self.decode_mb_s:,.1f}",
        )


def measured(array: np.ndarray, bits: Sequence[int], repeats: int) -> list[Row]:
    """A row for each quantizer, number of bits and lossless stage.

    Raises:
        ConfigError: the tensor cannot be coded.
    """
    lossy = QUANTIZERS if array.dtype.name in QUANTIZABLE else (None,)
    return [
        _row(array, name, each, entropy, repeats)
        for name in lossy
        for each in (bits if name else (None,))
        for entropy in ENTROPIES
    ]


def sqnr_db(array: np.ndarray, back: np.ndarray) -> float | None:
    """Ratio of the power of a tensor to that of what its coding lost, in dB."""
    signal = float(np.sum(np.square(array, dtype=np.float64)))
    noise = float(np.sum(np.square(np.subtract(array, back, dtype=np.float64))))
    return 10 * math.log10(signal / noise) if signal and noise else None


def _row(
    array: np.ndarray, name: Name | None, bits: int | None, entropy: Entropy, repeats: int
) -> Row:
    def encode() -> bytes:
        return codec.encode(array, name, bits=bits, entropy=entropy)

    blob, encode_s = _fastest(encode, repeats)
    back, decode_s = _fastest(lambda: codec.decode(blob, max_bytes=array.nbytes), repeats)
    return Row(
        quantizer=name or "none",
        bits=bits,
        entropy=entropy,
        bits_per_sample=codec.stat(blob).bits_per_sample,
        sqnr_db=sqnr_db(array, back),
        encode_mb_s=array.nbytes / encode_s / 1e6,
        decode_mb_s=array.nbytes / decode_s / 1e6,
    )


def _fastest(call: Callable[[], T], repeats: int) -> tuple[T, float]:
    """What the call returns, and the seconds of its fastest run."""

    def timed() -> tuple[float, T]:
        start = time.perf_counter()
        result = call()
        return time.perf_counter() - start, result

    seconds, result = min((timed() for _ in range(repeats)), key=lambda run: run[0])
    return result, max(seconds, 1e-9)
