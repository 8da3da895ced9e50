"""AlexNet as Krizhevsky et al. (2012) laid it out: five convolutions, three of them in two halves.

Nobody packages its weights, so it is trained here, on few images of few classes: its tensors have
AlexNet's shapes, not its statistics on ImageNet.
"""

# torch annotates only in part.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
from __future__ import annotations

import math

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from joulecut.zoo.initial import he_start, seeded

INPUT_SHAPE = (1, 3, 227, 227)
PARAMETERS = 60_965_224  # with 1000 classes
WIDTHS = (96, 256, 384, 384, 256, 4096, 4096)
_NORM = (5, 1e-4, 0.75, 2.0)  # neighbours, alpha, beta, k


def float_alexnet(
    classes: int = 1000, widths: tuple[int, ...] = WIDTHS, seed: int = 0
) -> nn.Sequential:
    """Logits [N, classes] of images [N, 3, 227, 227]; not trained.

    Args:
        classes: of the last layer.
        widths: channels of the five convolutions, neurons of two dense layers.
        seed: of the weights.
    """
    c1, c2, c3, c4, c5, d1, d2 = widths
    with seeded(seed):
        stages: dict[str, nn.Module] = {
            "conv1": he_start(nn.Conv2d(3, c1, 11, stride=4)),
            "relu1": nn.ReLU(),
            "norm1": nn.LocalResponseNorm(*_NORM),
            "pool1": nn.MaxPool2d(3, 2),
            "conv2": he_start(nn.Conv2d(c1, c2, 5, padding=2, groups=2)),
            "relu2": nn.ReLU(),
            "norm2": nn.LocalResponseNorm(*_NORM),
            "pool2": nn.MaxPool2d(3, 2),
            "conv3": he_start(nn.Conv2d(c2, c3, 3, padding=1)),
            "relu3": nn.ReLU(),
            "conv4": he_start(nn.Conv2d(c3, c4, 3, padding=1, groups=2)),
            "relu4": nn.ReLU(),
            "conv5": he_start(nn.Conv2d(c4, c5, 3, padding=1, groups=2)),
            "relu5": nn.ReLU(),
            "pool5": nn.MaxPool2d(3, 2),
            "flatten": nn.Flatten(),
            "dense6": he_start(nn.Linear(c5 * 36, d1)),
            "relu6": nn.ReLU(),
            "dense7": he_start(nn.Linear(d1, d2)),
            "relu7": nn.ReLU(),
            "dense8": he_start(nn.Linear(d2, classes)),
        }
    module = nn.Sequential()
    for name, stage in stages.items():
        module.add_module(name, stage)
    return module


def alexnet_of(
    arrays: dict[str, np.ndarray], widths: tuple[int, ...] = WIDTHS
) -> nn.Sequential:
    """The network of what `zoo.tapped.arrays_of` made of it; in eval mode."""
    module = float_alexnet(len(arrays["dense8.bias"]), widths)
    module.load_state_dict({name: torch.from_numpy(value) for name, value in arrays.items()})
    module.eval()
    return module


def trained_alexnet(
    images: np.ndarray,
    labels: np.ndarray,
    *,
    epochs: int = 4,
    rate: float = 1e-4,
    widths: tuple[int, ...] = WIDTHS,
    seed: int = 0,
) -> nn.Sequential:
    """The network trained from its start, in eval mode.

    Args:
        images: float32 [N, 3, 227, 227], about -1 to 1.
        labels: int64 [N], from 0.
        epochs: over the images.
        rate: of Adam; it falls to 0 along a cosine.
        widths: as in `float_alexnet`.
        seed: of the weights and the order of the images.
    """
    module = float_alexnet(int(labels.max()) + 1, widths, seed)
    optimizer = torch.optim.Adam(module.parameters(), lr=rate, fused=True)
    random = torch.Generator().manual_seed(seed)
    x, y = torch.from_numpy(images), torch.from_numpy(labels)
    for epoch in range(epochs):
        for group in optimizer.param_groups:
            group["lr"] = rate * (1 + math.cos(math.pi * epoch / epochs)) / 2
        for batch in torch.randperm(len(y), generator=random).split(32):
            optimizer.zero_grad()
            functional.cross_entropy(module(x[batch]), y[batch]).backward()
            optimizer.step()
    module.eval()
    return module
