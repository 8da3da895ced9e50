"""Brevitas layers with the quantizers that all networks of the zoo use, and their calibration.

Weights are signed, narrow range, one scale a channel; activations after a ReLU are unsigned;
biases are int32 on the scale of the accumulator. Scales are plain float32 numbers.
"""

# torch annotates only in part.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import nn

from joulecut.zoo.initial import he_start
from joulecut.zoo.quiet import quiet

with quiet():
    import brevitas.graph.calibrate as _calibrate_module
    import brevitas.nn as _nn_module
    import brevitas.quant as _quant_module

# Brevitas has no type annotations; behind this door it is Any.
_calibrate: Any = _calibrate_module
_qnn: Any = _nn_module
_quant: Any = _quant_module


def conv(
    channels: int, out: int, kernel: int, *, stride: int = 1, padding: int = 0, bits: int = 8
) -> nn.Module:
    """A convolution with quantized weights and bias; its input must be quantized."""
    return he_start(
        _qnn.QuantConv2d(
            channels, out, kernel, stride=stride, padding=padding, **_weights(bits)
        )
    )


def dense(features: int, out: int, *, bits: int = 8, last: bool = False) -> nn.Module:
    """A dense layer; the `last` of a network hands out floats (its scaled accumulators)."""
    options = {**_weights(bits), "return_quant_tensor": not last}
    return he_start(_qnn.QuantLinear(features, out, bias=True, **options))


def relu(bits: int = 8) -> nn.Module:
    """A ReLU and its unsigned quantizer."""
    return _qnn.QuantReLU(
        act_quant=_quant.Uint8ActPerTensorFloat, bit_width=bits, return_quant_tensor=True
    )


def pixels(maximum: float = 1.0) -> nn.Module:
    """A quantizer for pixels of 0 to `maximum`: 8 bits, scale `maximum`/255, not trained.

    Pixels that come from bytes become those bytes again, without loss.
    """
    return _qnn.QuantIdentity(
        act_quant=_quant.Uint8ActPerTensorFloat,
        scaling_impl_type="const",
        scaling_init=maximum,
        return_quant_tensor=True,
    )


def signed(bits: int = 8) -> nn.Module:
    """A quantizer for values of both signs."""
    return _qnn.QuantIdentity(
        act_quant=_quant.Int8ActPerTensorFloat, bit_width=bits, return_quant_tensor=True
    )


def unsigned(bits: int = 8) -> nn.Module:
    """A quantizer for values that are never negative."""
    return _qnn.QuantIdentity(
        act_quant=_quant.Uint8ActPerTensorFloat, bit_width=bits, return_quant_tensor=True
    )


def real(x: Any) -> torch.Tensor:
    """The real numbers of a tensor: of a quantized one, or of a plain one while calibrating."""
    return x if isinstance(x, torch.Tensor) else x.value


def calibrate(module: nn.Module, batches: Iterable[torch.Tensor]) -> None:
    """Set the scales of all activations from what a network sees; leaves it in eval mode.

    Each scale becomes the running mean over the batches of the 99.999th percentile of the
    activation (Brevitas' default statistics), and is a trainable parameter from then on.

    Args:
        module: a network with Brevitas quantizers.
        batches: inputs [N, ...], at least one.
    """
    with torch.no_grad(), _calibrate.calibration_mode(module):
        for batch in batches:
            module(batch)
    module.eval()


def _weights(bits: int) -> dict[str, Any]:
    return {
        "weight_quant": _quant.Int8WeightPerChannelFloat,
        "weight_bit_width": bits,
        "bias_quant": _quant.Int32Bias,
        "return_quant_tensor": True,
    }
