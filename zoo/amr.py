"""Automatic modulation recognition: a convolutional classifier, original and optimized.

A frame of 1,024 complex samples, as two channels I and Q of one row, is told to be one of eleven
modulations. Source of both: Hakimi, "Compression Technique for an Automatic Modulation Recognition
CNN model". The original is an example of MathWorks ("Modulation Classification with Deep Learning");
the optimized network has shorter kernels and one stage more, with 0.31 of the products and 0.52 of
the parameters.

Counted as the paper counts: convolutions and the dense layer, without the batch normalizations,
which fold away. Softmax is left out; it does not change which class is largest.
"""

# torch annotates only in part.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from joulecut.zoo.data.modulations import MODULATIONS, SAMPLES, frames
from joulecut.zoo.export import brevitas_logits
from joulecut.zoo.initial import seeded

INPUT_SHAPE = (1, 2, 1, SAMPLES)
_MOST_BATCH = 512


@dataclass(frozen=True)
class Shape:
    """What tells the two networks apart, and what they must come to.

    Attributes:
        channels: of each convolution; all but the last are followed by a max pool that halves.
        kernels: samples that each convolution spans.
        parameters: of convolutions and dense layer.
        macs: of one frame.
    """

    channels: tuple[int, ...]
    kernels: tuple[int, ...]
    parameters: int
    macs: int


ORIGINAL = Shape(
    channels=(16, 24, 32, 48, 64, 96),
    kernels=(8, 8, 8, 8, 8, 8),  # the paper's table prints 4; its counts need 8
    parameters=96_835,
    macs=8_127_520,
)
OPTIMIZED = Shape(
    channels=(16, 24, 32, 48, 64, 96, 128),
    kernels=(4, 2, 2, 2, 2, 2, 2),
    parameters=50_339,
    macs=2_491_776,
)


@dataclass(frozen=True)
class Recipe:
    """A short training: one or two minutes on one core, for weights that are not random.

    It does not reach what training on the full data set does, and is not meant to.

    Attributes:
        frames_per_class: to learn from; a fifth as many are held out.
        epochs: passes over them.
        rate: the largest of stochastic gradient descent's one-cycle schedule.
        batch_size: frames a step.
        seed: of frames, initial weights and order.
    """

    frames_per_class: int = 250
    epochs: int = 8
    rate: float = 0.1
    batch_size: int = 64
    seed: int = 0


@dataclass(frozen=True, eq=False)
class Trained:
    """A network in eval mode, and the fraction of held-out frames that it gets right."""

    module: nn.Module
    accuracy: float
    held_out: int


def amr(shape: Shape, seed: int = 0) -> nn.Module:
    """Logits [N, 11] of frames [N, 2, 1, 1024], with torch's initial weights for a seed."""
    with seeded(seed):
        stages: list[nn.Module] = []
        channels = INPUT_SHAPE[1]
        for index, (out, kernel) in enumerate(
            zip(shape.channels, shape.kernels, strict=True), start=1
        ):
            before = (kernel - 1) // 2
            # "same" for an even kernel is uneven, and torch pads a convolution evenly only.
            stages.append(nn.ZeroPad2d((before, kernel - 1 - before, 0, 0)))
            stages.append(nn.Conv2d(channels, out, (1, kernel)))
            stages += [nn.BatchNorm2d(out), nn.ReLU()]
            if index < len(shape.channels):
                stages.append(nn.MaxPool2d((1, 2)))
            channels = out
        left = SAMPLES >> (len(shape.channels) - 1)
        stages += [nn.AvgPool2d((1, left)), nn.Flatten()]
        stages.append(nn.Linear(channels, len(MODULATIONS)))
        return nn.Sequential(*stages)


def train(shape: Shape, recipe: Recipe | None = None) -> Trained:
    """Teach a network on generated frames, on one thread; the same again for equal recipes.

    Args:
        shape: `ORIGINAL` or `OPTIMIZED`.
        recipe: how long and on what; None takes the short one.
    """
    recipe = Recipe() if recipe is None else recipe
    count = max(1, recipe.frames_per_class // 5)
    x, labels = frames(recipe.frames_per_class, seed=recipe.seed)
    held_x, held_labels = frames(count, seed=recipe.seed + 1)
    module = amr(shape, recipe.seed)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # small layers: two threads wait for one another
    try:
        _fit(module, torch.from_numpy(_rows(x)), torch.from_numpy(labels), recipe)
        guesses = brevitas_logits(module, _rows(held_x), _MOST_BATCH).argmax(axis=1)
    finally:
        torch.set_num_threads(threads)
    return Trained(module, float((guesses == held_labels).mean()), len(held_labels))


def _rows(x: np.ndarray) -> np.ndarray:
    """[N, 2, 1024]  =>  [N, 2, 1, 1024]."""
    return x[:, :, None, :]


def _fit(module: nn.Module, x: torch.Tensor, labels: torch.Tensor, recipe: Recipe) -> None:
    """Nesterov's momentum, one cycle of rates, cross entropy."""
    random = torch.Generator().manual_seed(recipe.seed)
    steps = -(-len(labels) // recipe.batch_size)
    optimizer = torch.optim.SGD(
        module.parameters(), lr=recipe.rate, momentum=0.9, weight_decay=1e-4, nesterov=True
    )
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, recipe.rate, total_steps=steps * recipe.epochs
    )
    module.train()
    for _ in range(recipe.epochs):
        for batch in torch.randperm(len(labels), generator=random).split(recipe.batch_size):
            loss = functional.cross_entropy(module(x[batch]), labels[batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    module.eval()
