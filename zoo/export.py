"""Write a Brevitas network as ONNX, and run it as Brevitas does, to compare.

QCDQ is standard ONNX (QuantizeLinear, Clip, DequantizeLinear); QONNX keeps one Quant node for
each quantizer and says the bit width. Both describe the same integers.
"""

# torch annotates only in part.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from joulecut.zoo.quiet import quiet

with quiet():
    import brevitas.export as _export_module

_export: Any = _export_module

OPSET = 17
INPUT_NAME = "x"
OUTPUT_NAME = "y"


def export_qcdq(module: nn.Module, example: np.ndarray, path: Path) -> Path:
    """Write QuantizeLinear-Clip-DequantizeLinear ONNX, opset 17, input `x`, output `y`.

    Args:
        module: a network with Brevitas quantizers whose scales are set.
        example: float32 input [1, ...]; decides the shapes, which are fixed.
        path: the file to write.

    Returns:
        `path`.
    """
    return _write(_export.export_onnx_qcdq, module, example, path)


def export_qonnx(module: nn.Module, example: np.ndarray, path: Path) -> Path:
    """Write QONNX: Quant nodes of the domain `qonnx.custom_op.general`; otherwise as QCDQ."""
    return _write(_export.export_qonnx, module, example, path)


def export_float(
    module: nn.Module, example: np.ndarray | Mapping[str, np.ndarray], path: Path
) -> Path:
    """Write a network without quantizers; batch normalizations are folded into convolutions.

    Args:
        module: any network with one output.
        example: float32 input [1, ...], or several by name, in the order of `forward`.
        path: the file to write.

    Returns:
        `path`.
    """
    examples = {INPUT_NAME: example} if isinstance(example, np.ndarray) else example
    path.parent.mkdir(parents=True, exist_ok=True)
    with quiet():
        torch.onnx.export(
            module.eval(),
            tuple(map(torch.from_numpy, examples.values())),
            str(path),
            opset_version=OPSET,
            dynamo=False,
            input_names=list(examples),
            output_names=[OUTPUT_NAME],
        )
    return path


def _write(export: Any, module: nn.Module, example: np.ndarray, path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with quiet():
        export(
            module.eval(),
            args=torch.from_numpy(example),
            export_path=str(path),
            opset_version=OPSET,
            # torch's newer exporter refuses quantized biases in QCDQ.
            dynamo=False,
            keep_initializers_as_inputs=False,
            input_names=[INPUT_NAME],
            output_names=[OUTPUT_NAME],
        )
    return path


def brevitas_logits(module: nn.Module, x: np.ndarray, batch_size: int = 250) -> np.ndarray:
    """What the network computes in torch, in eval mode.

    Args:
        module: any network, also without quantizers; put in eval mode.
        x: float32 [N, ...].
        batch_size: inputs at a time, which bounds the memory.

    Returns:
        float32 [N, ...].
    """
    module.eval()
    with torch.no_grad():
        parts = [module(part) for part in torch.from_numpy(x).split(batch_size)]
    return torch.cat(parts).numpy()
