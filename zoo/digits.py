"""The digit classifier of the energy-aware splitting paper, quantized: 4 convolutions, 5 dense layers.

433,274 parameters and 6,236,544 multiply-accumulates for 28x28 pixels. Small enough to train
in a minute, deep enough that where it is cut matters: early tensors are large and cheap to
reach, late ones are small and cost most of the parameters.
"""

# torch annotates only in part.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
from __future__ import annotations

from collections import OrderedDict

from torch import nn

from joulecut.zoo.initial import he_start, seeded
from joulecut.zoo.quantizers import conv, dense, pixels, relu

CONV_CHANNELS = (16, 32, 48, 64)
DENSE_FEATURES = (512, 256, 128, 64, 10)
INPUT_SHAPE = (1, 1, 28, 28)
PARAMETERS = 433_274
MACS = 6_236_544

_FLATTENED = 256  # 64 channels of 2x2: 28 -> 14 -> 7 -> 4 -> 2, pooling rounds up


def float_digits(seed: int = 0) -> nn.Module:
    """The network in float32, for pre-training; logits [N, 10] from images [N, 1, 28, 28]."""
    with seeded(seed):
        return nn.Sequential(_float_stages())


def _float_stages() -> OrderedDict[str, nn.Module]:
    stages: OrderedDict[str, nn.Module] = OrderedDict()
    channels = INPUT_SHAPE[1]
    for index, out in enumerate(CONV_CHANNELS, start=1):
        stages[f"conv{index}"] = he_start(nn.Conv2d(channels, out, 5, padding=2))
        stages[f"relu{index}"] = nn.ReLU()
        stages[f"pool{index}"] = nn.MaxPool2d(2, 2, ceil_mode=True)
        channels = out
    stages["flatten"] = nn.Flatten()
    features = _FLATTENED
    for index, out in enumerate(DENSE_FEATURES, start=1):
        stages[f"fc{index}"] = he_start(nn.Linear(features, out))
        if index < len(DENSE_FEATURES):
            stages[f"fc{index}_relu"] = nn.ReLU()
        features = out
    return stages


def digits(weight_bits: int = 8, activation_bits: int = 8, seed: int = 0) -> nn.Module:
    """The network with Brevitas quantizers; the layers' names are those of `float_digits`.

    The input stays at 8 bits, which is what an image has. The last layer gives its
    accumulators as they are, so logits are exact.

    Args:
        weight_bits: 2 to 8, signed, narrow range, one scale for each output channel.
        activation_bits: 2 to 8, unsigned, one scale for each tensor.
        seed: of the weights.
    """
    with seeded(seed):
        return nn.Sequential(_stages(weight_bits, activation_bits))


def _stages(weight_bits: int, activation_bits: int) -> OrderedDict[str, nn.Module]:
    stages: OrderedDict[str, nn.Module] = OrderedDict(input=pixels())
    channels = INPUT_SHAPE[1]
    for index, out in enumerate(CONV_CHANNELS, start=1):
        stages[f"conv{index}"] = conv(channels, out, 5, padding=2, bits=weight_bits)
        stages[f"relu{index}"] = relu(activation_bits)
        stages[f"pool{index}"] = nn.MaxPool2d(2, 2, ceil_mode=True)
        channels = out
    stages["flatten"] = nn.Flatten()
    features = _FLATTENED
    for index, out in enumerate(DENSE_FEATURES, start=1):
        last = index == len(DENSE_FEATURES)
        stages[f"fc{index}"] = dense(features, out, bits=weight_bits, last=last)
        if not last:
            stages[f"fc{index}_relu"] = relu(activation_bits)
        features = out
    return stages
