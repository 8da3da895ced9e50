"""Calibrated networks of the zoo and inputs for them, built once a session of tests."""

# torch annotates only in part.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
from __future__ import annotations

from collections.abc import Callable
from functools import cache

import numpy as np
import torch
from torch import nn

from joulecut.zoo import dense_block, digits, resnet8
from joulecut.zoo.quantizers import calibrate

NETWORKS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "digits-8": (digits.digits, digits.INPUT_SHAPE),
    "digits-4": (lambda: digits.digits(4, 4), digits.INPUT_SHAPE),
    "digits-w4a8": (lambda: digits.digits(4, 8), digits.INPUT_SHAPE),
    "resnet8-8": (resnet8.resnet8, resnet8.INPUT_SHAPE),
    "resnet8-4": (lambda: resnet8.resnet8(4), resnet8.INPUT_SHAPE),
    "dense-8": (dense_block.dense_block, dense_block.INPUT_SHAPE),
    "dense-4": (lambda: dense_block.dense_block(4), dense_block.INPUT_SHAPE),
}


def inputs(name: str, count: int, seed: int = 1) -> np.ndarray:
    """Smooth random images of bytes over 255, float32 [count, C, H, W]."""
    shape = NETWORKS[name][1][1:]
    noise = np.random.default_rng(seed).random((count, *shape))
    smooth = (noise + np.roll(noise, 1, -1) + np.roll(noise, 1, -2)) / 3
    return np.rint(smooth * 255).astype(np.float32) / np.float32(255)


# Tests run beside each other, where more threads wait for one another most of the time.
torch.set_num_threads(1)


@cache
def calibrated(name: str) -> nn.Module:
    """The network with seeded weights and scales from 64 inputs, in eval mode."""
    module = NETWORKS[name][0]()
    calibrate(module, torch.from_numpy(inputs(name, 32, seed=0)).split(16))
    return module
