"""ResNet-50 in float with seeded weights: what a deep residual network looks like to a search.

He, Zhang, Ren and Sun (Deep Residual Learning for Image Recognition, 2015), table 1, with the stride
of a stage in its first 3x3 convolution. Nobody trained it: it has the sizes, cuts and joins of the
network, not its accuracy.
"""

# torch annotates only in part.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

from joulecut.zoo.initial import he_start, seeded

INPUT_SHAPE = (1, 3, 224, 224)
STAGES = ((64, 3), (128, 4), (256, 6), (512, 3))  # width of the middle, and blocks
EXPANSION = 4
PARAMETERS = 25_557_032  # with batch normalizations, as counted by those who published weights


class Bottleneck(nn.Module):
    """relu(norm(1x1(relu(norm(3x3(relu(norm(1x1(x)))))))) + shortcut(x))."""

    def __init__(self, channels: int, width: int, stride: int):
        super().__init__()
        out = EXPANSION * width
        self.reduce = _normed(channels, width, 1)
        self.middle = _normed(width, width, 3, stride)
        self.expand = _normed(width, out, 1)
        kept = stride == 1 and channels == out
        self.shortcut = nn.Identity() if kept else _normed(channels, out, 1, stride)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[N, 4 width, H / stride, W / stride]."""
        branch = functional.relu(self.middle(functional.relu(self.reduce(x))))
        return functional.relu(self.expand(branch) + self.shortcut(x))


def resnet50(seed: int = 0) -> nn.Module:
    """Logits [N, 1000] of images [N, 3, 224, 224]."""
    with seeded(seed):
        blocks: list[nn.Module] = []
        channels = STAGES[0][0]
        for stage, (width, count) in enumerate(STAGES):
            for index in range(count):
                stride = 2 if stage and not index else 1
                blocks.append(Bottleneck(channels, width, stride))
                channels = EXPANSION * width
        return nn.Sequential(
            _normed(3, STAGES[0][0], 7, 2),
            nn.ReLU(),
            nn.MaxPool2d(3, 2, padding=1),
            *blocks,
            nn.AvgPool2d(7),
            nn.Flatten(),
            he_start(nn.Linear(channels, 1000)),
        )


def _normed(channels: int, out: int, kernel: int, stride: int = 1) -> nn.Sequential:
    conv = he_start(nn.Conv2d(channels, out, kernel, stride, padding=kernel // 2, bias=False))
    return nn.Sequential(conv, nn.BatchNorm2d(out))
