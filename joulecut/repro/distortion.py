"""What a quantizer with an entropy coder does to tensors: distance, entropy, bits."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from joulecut.compiler import codec
from joulecut.compiler.errors import ConfigError
from joulecut.compiler.quantizers import (
    FixedTrellisQuantizer,
    Quantizer,
    UniformQuantizer,
)
from joulecut.compiler.quantizers.named import named

Floats = NDArray[np.float32]
Method = Literal["SQ", "TCQ", "Lloyd", "trained TCQ", "RDO", "entropy-coded TCQ"]
PAPER: tuple[Method, ...] = ("SQ", "TCQ")
"""Evenly spaced values from minimum to maximum; TCQ has twice as many, 8 states."""
LEARNED: tuple[Method, ...] = ("Lloyd", "trained TCQ", "RDO", "entropy-coded TCQ")


@dataclass(frozen=True)
class Distortion:
    """Of a set of tensors, together.

    Attributes:
        sqnr_db: power of the numbers over that of the errors, both summed over all tensors.
        entropy_bits: order-0, bits a number, of the symbols of each tensor; the mean.
        huffman_bits: of one Huffman code for each tensor, without its table; the mean.
        coded_bits: bits a number of the real coded tensor, Huffman only, headers included;
            symbols of 9 bits, which RDO and entropy-coded TCQ may have at 8, are stored.
        zeros: share of numbers that are exactly zero, before.
    """

    sqnr_db: float
    entropy_bits: float
    huffman_bits: float
    coded_bits: float
    zeros: float

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


def quantizer_of(method: Method, bits: int) -> Quantizer:
    """The quantizer of a name of this module, at so many bits an index."""
    match method:
        case "SQ":
            return UniformQuantizer(bits)
        case "TCQ":
            return FixedTrellisQuantizer(bits, book="even")
        case "Lloyd":
            return named("lloyd", bits)
        case "trained TCQ":
            return named("tcq-fixed", bits)
        case "RDO":
            return named("rdo", bits)
        case "entropy-coded TCQ":
            return named("tcq", bits)


def distortion(tensors: Iterable[Floats], quantizer: Quantizer) -> Distortion:
    """Quantize, code, decode and compare.

    Args:
        tensors: at least one, none empty.
        quantizer: fits a grid to each tensor, unless it is calibrated.

    Raises:
        ConfigError: there is no tensor.
    """
    signal = noise = 0.0
    sums = np.zeros(4)
    count = 0
    for tensor in tensors:
        decoded, coded = crossed(tensor, quantizer)
        signal += float(np.sum(np.square(tensor, dtype=np.float64)))
        noise += squared_error(tensor, decoded)
        sums += (*symbol_bits(tensor, quantizer), coded, np.mean(tensor == 0))
        count += 1
    if not count:
        raise ConfigError("distortion must be of at least one tensor, not none")
    entropy, huffman, coded, zeros = map(float, sums / count)
    return Distortion(sqnr_db(signal, noise), entropy, huffman, coded, zeros)


def crossed(tensor: Floats, quantizer: Quantizer) -> tuple[Floats, float]:
    """What the cloud decodes, and the bits a number that really crossed."""
    blob = codec.encode(tensor, quantizer, entropy="huffman")
    return codec.decode(blob), 8 * len(blob) / tensor.size


def symbol_bits(tensor: Floats, quantizer: Quantizer) -> tuple[float, float]:
    """Order-0 entropy of a tensor's symbols, and their Huffman code, bits a number."""
    counts = np.bincount(quantizer.fit(tensor).quantize(tensor).reshape(-1))
    return entropy_bits(counts), huffman_bits(counts)


def squared_error(a: NDArray[Any], b: NDArray[Any]) -> float:
    """The sum of squared differences, in double precision."""
    return float(np.sum(np.square(np.subtract(a, b, dtype=np.float64))))


def sqnr_db(signal: float, noise: float) -> float:
    """10 log10 of two sums of squares; 200 for what came through unchanged."""
    return min(10 * float(np.log10(signal / noise)), 200.0) if noise and signal else 200.0


def entropy_bits(counts: Sequence[int] | NDArray[np.integer]) -> float:
    """Order-0 entropy in bits a symbol of how often each symbol occurs."""
    p = np.asarray(counts, np.float64)
    p = p[p > 0] / p.sum()
    return abs(float(np.sum(p * np.log2(p))))


def huffman_bits(counts: Sequence[int] | NDArray[np.integer]) -> float:
    """Mean length of a Huffman code in bits a symbol; 1 if there is one symbol only.

    Each merge of two nodes makes all codes below it one bit longer.
    """
    heap = [int(count) for count in counts if count]
    total, bits = sum(heap), 0
    if len(heap) == 1:
        return 1.0
    heapq.heapify(heap)
    while len(heap) > 1:
        merged = heapq.heappop(heap) + heapq.heappop(heap)
        heapq.heappush(heap, merged)
        bits += merged
    return bits / total
