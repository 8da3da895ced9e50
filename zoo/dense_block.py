"""A dense block of three layers, quantized: every layer reads all the earlier ones, concatenated.

Cutting it anywhere in the middle severs several tensors at once, which is what it is here for.
"""

# torch annotates only in part.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
from __future__ import annotations

from typing import Any

import torch
from torch import nn

from joulecut.zoo.initial import seeded
from joulecut.zoo.quantizers import conv, dense, pixels, real, relu, unsigned

INPUT_SHAPE = (1, 3, 16, 16)
STEM_CHANNELS = 8
GROWTH = 4
LAYERS = 3


class DenseLayer(nn.Module):
    """x -> concat(x, relu(conv(x))), brought to one common scale."""

    def __init__(self, channels: int, bits: int):
        super().__init__()
        self.conv = conv(channels, GROWTH, 3, padding=1, bits=bits)
        self.relu = relu(bits)
        self.join = unsigned(bits)

    def forward(self, x: Any) -> Any:
        """A quantized tensor with `GROWTH` more channels."""
        new: Any = self.relu(self.conv(x))
        # Brevitas refuses to concatenate integers of different scales; real values it can.
        return self.join(torch.cat([real(x), real(new)], dim=1))


class DenseBlock(nn.Module):
    """Logits [N, 10] of images [N, 3, 16, 16] in 0 to 1."""

    def __init__(self, bits: int):
        super().__init__()
        self.input = pixels()
        self.stem = conv(INPUT_SHAPE[1], STEM_CHANNELS, 3, padding=1, bits=bits)
        self.relu = relu(bits)
        widths = [STEM_CHANNELS + GROWTH * index for index in range(LAYERS)]
        self.layers = nn.Sequential(*(DenseLayer(width, bits) for width in widths))
        self.pool = nn.MaxPool2d(4)
        self.flatten = nn.Flatten()
        pooled = INPUT_SHAPE[2] // 4 * (INPUT_SHAPE[3] // 4)
        self.fc = dense((STEM_CHANNELS + GROWTH * LAYERS) * pooled, 10, bits=bits, last=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Float logits."""
        return self.fc(
            self.flatten(self.pool(self.layers(self.relu(self.stem(self.input(x))))))
        )


def dense_block(bits: int = 8, seed: int = 0) -> nn.Module:
    """The network with seeded random weights; `calibrate` it before use.

    Args:
        bits: 2 to 8, of weights and activations; the input has 8.
        seed: of the weights.
    """
    with seeded(seed):
        return DenseBlock(bits)
