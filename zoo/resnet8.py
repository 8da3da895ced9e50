"""ResNet-8 of MLPerf Tiny, quantized, with its batch normalizations folded: what joins look like.

Each of three stacks adds a shortcut to its branch. Both are quantized to scales of their own,
so a correct compiler has to rescale each operand of the sum. The third stack ends in an average.
"""

# torch annotates only in part.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
from __future__ import annotations

from typing import Any

import torch
from torch import nn

from joulecut.zoo.initial import he_start, seeded
from joulecut.zoo.quantizers import conv, dense, pixels, real, relu, signed, unsigned

INPUT_SHAPE = (1, 3, 32, 32)
STACK_CHANNELS = (16, 32, 64)
MACS = 12_501_632


class ResidualStack(nn.Module):
    """relu(conv(relu(conv(x))) + shortcut(x)); the shortcut is a 1x1 convolution where shapes differ."""

    def __init__(self, channels: int, out: int, stride: int, bits: int):
        super().__init__()
        self.conv1 = conv(channels, out, 3, stride=stride, padding=1, bits=bits)
        self.relu1 = relu(bits)
        self.conv2 = conv(out, out, 3, padding=1, bits=bits)
        self.branch = signed(bits)
        self.shortcut: nn.Module | None = None
        if stride != 1 or channels != out:
            self.shortcut = nn.Sequential(
                conv(channels, out, 1, stride=stride, bits=bits), signed(bits)
            )
        self.join = relu(bits)

    def forward(self, x: Any) -> Any:
        """A quantized tensor [N, out, H/stride, W/stride]."""
        branch = self.branch(self.conv2(self.relu1(self.conv1(x))))
        kept = x if self.shortcut is None else self.shortcut(x)
        # Brevitas refuses to add integers of different scales; their real values add up.
        return self.join(real(branch) + real(kept))


class ResNet8(nn.Module):
    """Logits [N, 10] of images [N, 3, 32, 32] in 0 to 1."""

    def __init__(self, bits: int):
        super().__init__()
        self.input = pixels()
        self.conv = conv(INPUT_SHAPE[1], STACK_CHANNELS[0], 3, padding=1, bits=bits)
        self.relu = relu(bits)
        inputs = (STACK_CHANNELS[0], *STACK_CHANNELS[:-1])
        self.stacks = nn.Sequential(
            *(
                ResidualStack(channels, out, 1 if index == 0 else 2, bits)
                for index, (channels, out) in enumerate(
                    zip(inputs, STACK_CHANNELS, strict=True)
                )
            )
        )
        self.average = nn.AvgPool2d(8)
        self.mean = unsigned(bits)
        self.fc = dense(STACK_CHANNELS[-1], 10, bits=bits, last=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Float logits."""
        features: Any = self.stacks(self.relu(self.conv(self.input(x))))
        mean: Any = self.mean(self.average(real(features)))
        return self.fc(mean.flatten(1))


def resnet8(bits: int = 8, seed: int = 0) -> nn.Module:
    """The network with seeded random weights; `calibrate` it before use.

    Args:
        bits: 2 to 8, of weights and activations; the input has 8.
        seed: of the weights.
    """
    with seeded(seed):
        return ResNet8(bits)


class FloatStack(nn.Module):
    """`ResidualStack` without quantizers, with its batch normalizations."""

    def __init__(self, channels: int, out: int, stride: int):
        super().__init__()
        self.conv1 = he_start(nn.Conv2d(channels, out, 3, stride=stride, padding=1))
        self.norm1 = nn.BatchNorm2d(out)
        self.conv2 = he_start(nn.Conv2d(out, out, 3, padding=1))
        self.norm2 = nn.BatchNorm2d(out)
        self.relu = nn.ReLU()
        self.shortcut: nn.Module | None = None
        if stride != 1 or channels != out:
            self.shortcut = he_start(nn.Conv2d(channels, out, 1, stride=stride))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[N, out, H/stride, W/stride]."""
        branch = self.norm2(self.conv2(self.relu(self.norm1(self.conv1(x)))))
        return self.relu(branch + (x if self.shortcut is None else self.shortcut(x)))


def float_resnet8(seed: int = 0) -> nn.Module:
    """Float logits [N, 10] of images [N, 3, 32, 32], with seeded weights, in eval mode."""
    with seeded(seed):
        first = STACK_CHANNELS[0]
        return nn.Sequential(
            he_start(nn.Conv2d(INPUT_SHAPE[1], first, 3, padding=1)),
            nn.BatchNorm2d(first),
            nn.ReLU(),
            FloatStack(first, STACK_CHANNELS[0], 1),
            FloatStack(STACK_CHANNELS[0], STACK_CHANNELS[1], 2),
            FloatStack(STACK_CHANNELS[1], STACK_CHANNELS[2], 2),
            nn.AvgPool2d(8),
            nn.Flatten(),
            nn.Linear(STACK_CHANNELS[-1], 10),
        ).eval()
