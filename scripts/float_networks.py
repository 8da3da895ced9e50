"""Float networks to quantize after training, with calibration and held-out samples.

The digit network, a ResNet-8 with batch normalizations (both trained here in float on 4,000
digits), and EfficientNet-Lite0 with ImageNet's weights, whose 20 photos are split in halves.
"""

# torch annotates only in part.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from joulecut.zoo.data import mnist, photos
from joulecut.zoo.digits import float_digits
from joulecut.zoo.efficientnet_lite0 import efficientnet_lite0, preprocessed
from joulecut.zoo.export import export_float
from joulecut.zoo.initial import seeded
from joulecut.zoo.resnet8 import STACK_CHANNELS

HELD_OUT = 250  # digits that both networks are judged by
EPOCHS = {"digits": 6, "resnet8": 4}
BATCH = 64
RATE = 2e-3


@dataclass(frozen=True, eq=False)
class FloatNetwork:
    """A float ONNX file and samples for its input `x`.

    Attributes:
        name: for people.
        path: of the model.
        calibration: float32 [N, ...].
        held_out: float32 [N, ...], none of them in `calibration`.
        labels: of `held_out`, int64 [N].
    """

    name: str
    path: Path
    calibration: np.ndarray
    held_out: np.ndarray
    labels: np.ndarray

    def save(self, folder: Path) -> None:
        """The samples as files for `joulecut quantize`."""
        np.savez(folder / f"{self.name}_calib.npz", allow_pickle=False, x=self.calibration)
        held_out = {"x": self.held_out, "y": self.labels}
        np.savez(folder / f"{self.name}_held_out.npz", allow_pickle=False, **held_out)


class Stack(nn.Module):
    """relu(norm(conv(relu(norm(conv(x))))) + shortcut(x)), in float."""

    def __init__(self, channels: int, out: int, stride: int):
        super().__init__()
        self.first = _normed(channels, out, 3, stride)
        self.second = _normed(out, out, 3)
        is_kept = stride == 1 and channels == out
        self.shortcut = nn.Identity() if is_kept else _normed(channels, out, 1, stride)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[N, out, H / stride, W / stride]."""
        branch = self.second(functional.relu(self.first(x)))
        return functional.relu(branch + self.shortcut(x))


class FloatResNet8(nn.Module):
    """The shape of `zoo/resnet8.py`, before anything is folded or quantized."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = _normed(3, STACK_CHANNELS[0], 3)
        inputs = (STACK_CHANNELS[0], *STACK_CHANNELS[:-1])
        self.stacks = nn.Sequential(
            *(
                Stack(channels, out, 1 if index == 0 else 2)
                for index, (channels, out) in enumerate(
                    zip(inputs, STACK_CHANNELS, strict=True)
                )
            )
        )
        self.fc = nn.Linear(STACK_CHANNELS[-1], 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Float logits [N, 10] of images [N, 3, 32, 32]."""
        features = self.stacks(functional.relu(self.stem(x)))
        return self.fc(functional.avg_pool2d(features, 8).flatten(1))


def trained(name: str, folder: Path) -> FloatNetwork:
    """`digits` or `resnet8`, trained if that was not done yet."""
    split = mnist.load()
    large = name == "resnet8"
    learn, judge = (
        _as_colour(part.images) if large else part.images
        for part in (split.train, split.held_out)
    )
    path = folder / f"{name}.onnx"
    if not path.exists():
        with seeded(0):
            module = FloatResNet8() if large else float_digits()
            _train(module, learn, split.train.labels, EPOCHS[name])
        export_float(module, judge[:1], path)
    return FloatNetwork(name, path, learn, judge[:HELD_OUT], split.held_out.labels[:HELD_OUT])


def photographed(folder: Path) -> list[FloatNetwork]:
    """EfficientNet-Lite0 twice: each half of the photos calibrates for the other."""
    album = photos.load()
    x = preprocessed(album.pixels)
    path = folder / "efficientnet_lite0.onnx"
    if not path.exists():
        export_float(efficientnet_lite0(), x[:1], path)
    return [
        FloatNetwork(
            f"efficientnet_lite0_{half}",
            path,
            x[half::2],
            x[1 - half :: 2],
            album.labels[1 - half :: 2],
        )
        for half in (0, 1)
    ]


def _normed(channels: int, out: int, kernel: int, stride: int = 1) -> nn.Module:
    conv = nn.Conv2d(channels, out, kernel, stride, kernel // 2, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(out))


def _as_colour(images: np.ndarray) -> np.ndarray:
    """28x28 in grey as 32x32 in three equal channels."""
    padded = np.pad(images, ((0, 0), (0, 0), (2, 2), (2, 2)))
    return np.repeat(padded, 3, axis=1)


def _train(module: nn.Module, images: np.ndarray, labels: np.ndarray, epochs: int) -> None:
    torch.set_num_threads(1)  # part of the recipe: it orders the sums
    x, y = torch.from_numpy(images), torch.from_numpy(labels)
    steps = len(x) // BATCH
    optimizer: Any = torch.optim.Adam(module.parameters(), RATE)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs * steps)
    order = torch.Generator().manual_seed(0)
    module.train()
    for _ in range(epochs):
        shuffled = torch.randperm(len(x), generator=order)
        for chosen in shuffled[: steps * BATCH].split(BATCH):
            optimizer.zero_grad()
            functional.cross_entropy(module(x[chosen]), y[chosen]).backward()
            optimizer.step()
            schedule.step()
