"""Quantizers: real numbers onto few values, one idea a file."""

from __future__ import annotations

from joulecut.compiler.quantizers.dead_zone import DeadZoneQuantizer
from joulecut.compiler.quantizers.fixed_trellis import FixedTrellisQuantizer
from joulecut.compiler.quantizers.grid import Grid
from joulecut.compiler.quantizers.lloyd_max import LloydMaxQuantizer
from joulecut.compiler.quantizers.quantizer import Calibrated, Quantizer
from joulecut.compiler.quantizers.rate import RateQuantizer
from joulecut.compiler.quantizers.trellis import TrellisQuantizer
from joulecut.compiler.quantizers.uniform import UniformQuantizer

__all__ = [
    "Calibrated",
    "DeadZoneQuantizer",
    "FixedTrellisQuantizer",
    "Grid",
    "LloydMaxQuantizer",
    "Quantizer",
    "RateQuantizer",
    "TrellisQuantizer",
    "UniformQuantizer",
]
