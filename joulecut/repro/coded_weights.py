"""Weights and biases as the edge would store them: quantized, coded, and what that costs."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from joulecut.repro.distortion import (
    Floats,
    Method,
    crossed,
    quantizer_of,
    sqnr_db,
    squared_error,
)
from joulecut.zoo.tapped import with_weights

BIAS_BITS = 8


@dataclass(frozen=True)
class CodedWeights:
    """A network whose parameters are coded.

    Attributes:
        parameters: weights and biases.
        coded_bits: bits a parameter, all of them together, headers included.
        weight_db: SQNR of all parameters together.
    """

    parameters: int
    coded_bits: float
    weight_db: float


def coded_weights(module: Any, method: Method, bits: int) -> tuple[Any, CodedWeights]:
    """A copy of the network with decoded parameters, and their size.

    Each tensor has a codebook of its own. Biases and factors of normalization, one in a thousand
    parameters, take `BIAS_BITS` with the scalar quantizer whatever the method.
    """
    total = {"parameters": 0, "bits": 0.0, "signal": 0.0, "noise": 0.0}

    def coded(_name: str, value: Floats) -> Floats:
        is_weight = value.ndim > 1
        quantizer = quantizer_of(method, bits) if is_weight else quantizer_of("SQ", BIAS_BITS)
        decoded, coded_bits = crossed(value, quantizer)
        total["parameters"] += value.size
        total["bits"] += value.size * coded_bits
        total["signal"] += squared_error(value, np.zeros(1))
        total["noise"] += squared_error(value, decoded)
        return decoded

    changed = copy.deepcopy(module)
    with_weights(changed, coded)
    return changed, CodedWeights(
        int(total["parameters"]),
        total["bits"] / total["parameters"],
        sqnr_db(total["signal"], total["noise"]),
    )


def output_change(
    run: Callable[[Any], Floats], module: Any, changed: Any
) -> tuple[float, Floats, Floats]:
    """SQNR in dB of what the changed network makes; and both outputs."""
    expected, found = run(module), run(changed)
    noise = squared_error(expected, found)
    return sqnr_db(squared_error(expected, np.zeros(1)), noise), expected, found
