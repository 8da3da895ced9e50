"""What quantizing did to a network: layer by layer, at its outputs, and to its accuracy.

Every number here is measured: the float network runs in onnxruntime, the integer network in the
executable specification (`compiler/reference.py`), on the same samples.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class LayerRow:
    """One quantized value.

    Attributes:
        name: in the integer Graph.
        kind: operators of the layer that makes it, `Conv+Requantize`.
        source: the float value that it stands for.
        dtype: of the codes.
        scale: real size of a step.
        zero_point: the code of 0.
        low: the least number that the codes can hold.
        high: the greatest one.
        seen_low: the least number that calibration met.
        seen_high: the greatest one.
        sqnr_db: power of the float value over that of the difference; None if they are equal.
    """

    name: str
    kind: str
    source: str
    dtype: str
    scale: float
    zero_point: int
    low: float
    high: float
    seen_low: float
    seen_high: float
    sqnr_db: float | None


@dataclass(frozen=True)
class OutputRow:
    """One output of the network.

    Attributes:
        name: of the output.
        sqnr_db: None if float and integer network agree exactly.
        agreement: part of the positions at which both have their maximum in the same channel;
            None for an output of one channel.
    """

    name: str
    sqnr_db: float | None
    agreement: float | None


@dataclass(frozen=True)
class Check:
    """Both networks on samples that they were not calibrated on.

    Attributes:
        samples: how many.
        outputs: of the network.
        float_accuracy: part of the labels that the first output's maximum hits, in float.
        integer_accuracy: in integers; both None without labels.
    """

    samples: int
    outputs: tuple[OutputRow, ...]
    float_accuracy: float | None
    integer_accuracy: float | None


@dataclass(frozen=True)
class Report:
    """What was done, and what came of it.

    Attributes:
        method: of choosing ranges.
        percentile: of the method of that name, else None.
        activations: int8 or uint8.
        bias_correction: were biases corrected?
        samples: that calibrated.
        samples_given: that there were.
        compared: samples that layers and outputs were compared on.
        notes: what was decided for the model, for instance sizes of dimensions.
        float_nodes: nodes that stay in float, each with its operator.
        weight_bytes: of the float network's constants.
        integer_bytes: of the integer network's.
        layers: every quantized value, in graph order; what only moves elements is left out.
        outputs: of the network, on the compared samples.
        check: on samples of their own, if there were any.
    """

    method: str
    percentile: float | None
    activations: str
    bias_correction: bool
    samples: int
    samples_given: int
    compared: int
    notes: tuple[str, ...]
    float_nodes: tuple[str, ...]
    weight_bytes: int
    integer_bytes: int
    layers: tuple[LayerRow, ...]
    outputs: tuple[OutputRow, ...]
    check: Check | None

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return {**asdict(self), "provenance": "measured"}


@dataclass
class Powers:
    """Sums of squares of signal and noise, over as many samples as come."""

    signal: float = 0.0
    noise: float = 0.0

    @property
    def sqnr_db(self) -> float | None:
        """In decibels; None without noise."""
        return sqnr_db(self.signal, self.noise)


def sqnr_db(signal: float, noise: float) -> float | None:
    """10 log10(signal / noise); None without noise."""
    if noise == 0:
        return None
    return 10 * math.log10(max(signal, 1e-300) / noise)


def worst(rows: Sequence[LayerRow], count: int) -> list[LayerRow]:
    """The rows with the least SQNR."""
    noisy: Mapping[LayerRow, float] = {
        row: row.sqnr_db for row in rows if row.sqnr_db is not None
    }
    return sorted(noisy, key=noisy.__getitem__)[:count]
