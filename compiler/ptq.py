"""Quantize a float ONNX model after training, by onnxruntime: the way in for float models.

Weights become int8, symmetric, one scale a channel; activations uint8 with a zero point. The
result is standard ONNX between QuantizeLinear and DequantizeLinear, which `load` reads.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from joulecut.compiler.errors import ConfigError

Feed = Mapping[str, np.ndarray]


def quantize_static_qdq(float_path: Path, out_path: Path, calibration: Iterable[Feed]) -> Path:
    """Quantize with the ranges that calibration inputs reach.

    Args:
        float_path: a float32 model with fixed shapes.
        out_path: where the QDQ model goes.
        calibration: inputs by name; each is run once, and its activations' extremes are kept.

    Returns:
        `out_path`.

    Raises:
        ConfigError: there is no model, or `calibration` is empty.
    """
    from onnxruntime import quantization

    quantize: Any = quantization
    if not float_path.is_file():
        raise ConfigError(f"float model must be in {float_path}, which is not a file")
    reader = _reader(quantize.CalibrationDataReader, iter(calibration))
    out_path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        prepared = Path(folder) / "prepared.onnx"
        # Fuses batch normalizations and paddings into convolutions, so that they cost nothing.
        quantize.quant_pre_process(str(float_path), str(prepared), skip_symbolic_shape=True)
        quantize.quantize_static(
            str(prepared),
            str(out_path),
            reader,
            quant_format=quantize.QuantFormat.QDQ,
            per_channel=True,
            activation_type=quantize.QuantType.QUInt8,
            weight_type=quantize.QuantType.QInt8,
            calibrate_method=quantize.CalibrationMethod.MinMax,
        )
    return out_path


def _reader(interface: Any, feeds: Iterator[Feed]) -> Any:
    """Onnxruntime's calibration interface over an iterator that must not be empty."""
    first = next(feeds, None)
    if first is None:
        raise ConfigError("calibration must have at least one input, not none")

    class Reader(interface):
        def __init__(self) -> None:
            self._pending: Feed | None = first

        def get_next(self) -> dict[str, np.ndarray] | None:
            now = self._pending
            self._pending = next(feeds, None)
            return None if now is None else dict(now)

    return Reader()
