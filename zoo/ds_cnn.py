"""DS-CNN of MLPerf Tiny, the keyword spotter: one convolution, four depthwise-separable pairs.

Depthwise layers have few products for the bytes that they move, which is where compilers lose
time. Source of the shape: MLPerf Tiny's reference implementation, task "keyword spotting"
(49 frames of 10 cepstral coefficients, twelve words). No speech comes with any package, so the
network has seeded weights; its speed does not depend on them.
"""

# torch annotates only in part.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
from __future__ import annotations

from torch import nn

from joulecut.zoo.initial import he_start, seeded

INPUT_SHAPE = (1, 1, 49, 10)
PARAMETERS = (
    22_604  # of convolutions and dense layer; the published 24,908 count normalizations
)
MACS = 2_656_768

_CHANNELS = 64
_PAIRS = 4
_CLASSES = 12
_MAP = (25, 5)  # after the first convolution


def ds_cnn(seed: int = 0) -> nn.Module:
    """Float logits [N, 12] of spectrograms [N, 1, 49, 10], with seeded weights, in eval mode."""
    with seeded(seed):
        stages: list[nn.Module] = [
            # TensorFlow's "same" of a 10x4 kernel with stride 2; torch pads evenly only.
            nn.ZeroPad2d((1, 1, 4, 5)),
            *_normed(nn.Conv2d(1, _CHANNELS, (10, 4), stride=2)),
        ]
        for _ in range(_PAIRS):
            depthwise = nn.Conv2d(_CHANNELS, _CHANNELS, 3, padding=1, groups=_CHANNELS)
            stages += _normed(depthwise)
            stages += _normed(nn.Conv2d(_CHANNELS, _CHANNELS, 1))
        stages += [nn.AvgPool2d(_MAP), nn.Flatten(), nn.Linear(_CHANNELS, _CLASSES)]
        return nn.Sequential(*stages).eval()


def _normed(conv: nn.Conv2d) -> list[nn.Module]:
    return [he_start(conv), nn.BatchNorm2d(conv.out_channels), nn.ReLU()]
