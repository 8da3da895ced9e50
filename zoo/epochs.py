"""One epoch of training, to the same numbers each time, and Adam's state as a checkpoint holds it.

The order of the images and their shifts depend on the seed and the epoch alone, so that a run
that was stopped goes on to exactly the result of one that was not.
"""

# torch annotates only in part.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
from __future__ import annotations

import math
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional

from joulecut.zoo.data.images import LabelledImages
from joulecut.zoo.export import brevitas_logits

_MOMENTS = ("step", "exp_avg", "exp_avg_sq")


@dataclass(frozen=True)
class Epoch:
    """What is known after an epoch.

    Attributes:
        index: from 1, over all phases.
        count: of all phases together.
        phase: `float`, `quantized`, `sparse` or `pruned`.
        loss: mean cross entropy over the epoch, nats an image.
        accuracy: fraction of held-out images that are classified correctly.
        seconds: time of the epoch.
    """

    index: int
    count: int
    phase: str
    loss: float
    accuracy: float
    seconds: float


@dataclass(frozen=True)
class Steps:
    """How an epoch goes over its images.

    Attributes:
        seed: of the order of the images and their shifts.
        batch_size: images a step.
        shift_pixels: each image moves by up to so many pixels both ways, at random.
        objective: what is minimized, from the cross entropy of a batch.
        after: called after each step.
    """

    seed: int
    batch_size: int
    shift_pixels: int = 0
    objective: Callable[[torch.Tensor], torch.Tensor] = lambda entropy: entropy
    after: Callable[[], None] = lambda: None


def run_epoch(
    module: nn.Module,
    optimizer: torch.optim.Adam,
    data: LabelledImages,
    index: int,
    steps: Steps,
) -> float:
    """Go once over the images; the mean cross entropy, nats an image.

    Args:
        module: is trained in place.
        optimizer: of its parameters.
        data: what to learn.
        index: of the epoch, from 0; decides the order with the seed.
        steps: the rest.
    """
    random = torch.Generator().manual_seed((steps.seed << 16) + index)
    images, labels = torch.from_numpy(data.images), torch.from_numpy(data.labels)
    total = 0.0
    module.train()
    for batch in torch.randperm(len(labels), generator=random).split(steps.batch_size):
        moved = shifted(images[batch], steps.shift_pixels, random)
        entropy = functional.cross_entropy(module(moved), labels[batch])
        optimizer.zero_grad()
        steps.objective(entropy).backward()
        optimizer.step()
        steps.after()
        total += entropy.item() * len(batch)
    return total / len(labels)


def adam(module: nn.Module, rate: float) -> torch.optim.Adam:
    """Adam over all parameters."""
    return torch.optim.Adam(module.parameters(), lr=rate)


def set_falling_rate(optimizer: torch.optim.Adam, first: float, done: int, count: int) -> None:
    """Half a cosine over `count` epochs: from the first rate towards 0."""
    for group in optimizer.param_groups:
        group["lr"] = first * (1 + math.cos(math.pi * done / count)) / 2


def shifted(images: torch.Tensor, pixels: int, random: torch.Generator) -> torch.Tensor:
    """Each image moved by -`pixels` to `pixels` along both axes; zeros move in.

    Args:
        images: [N, 1, H, W].
        pixels: the furthest move.
        random: gives the moves.
    """
    count, _, height, width = images.shape
    down, right = torch.randint(0, 2 * pixels + 1, (2, count, 1), generator=random)
    padded = functional.pad(images, (pixels,) * 4)
    rows = (down + torch.arange(height))[:, :, None]
    columns = (right + torch.arange(width))[:, None, :]
    return padded[torch.arange(count)[:, None, None], 0, rows, columns][:, None]


def accuracy(module: nn.Module, data: LabelledImages) -> float:
    """The fraction of images whose largest logit is that of the label."""
    return float((brevitas_logits(module, data.images).argmax(axis=1) == data.labels).mean())


@contextmanager
def deterministic(threads: int) -> Generator[None]:
    """Deterministic kernels and a fixed number of threads, which orders sums, in the block."""
    before = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(True)
    try:
        yield
    finally:
        torch.set_num_threads(before[0])
        torch.use_deterministic_algorithms(before[1])


def moments_of(module: nn.Module, optimizer: torch.optim.Adam) -> dict[str, torch.Tensor]:
    """Adam's state, `<parameter>.<field>`."""
    names = [name for name, _ in module.named_parameters()]
    return {
        f"{names[index]}.{key}": value
        for index, values in optimizer.state_dict()["state"].items()
        for key, value in values.items()
    }


def restore_moments(
    module: nn.Module, optimizer: torch.optim.Adam, moments: Mapping[str, torch.Tensor]
) -> None:
    """Inverse of `moments_of`, of a training that has made a step."""
    state = optimizer.state_dict()
    state["state"] = {
        index: {key: moments[f"{name}.{key}"] for key in _MOMENTS}
        for index, (name, _) in enumerate(module.named_parameters())
    }
    optimizer.load_state_dict(state)
