"""Initial weights: seeded, and as large as He et al. (2015) say, so that ReLU layers keep a signal.

torch's own start is smaller by a factor of about 2.4; nine layers without normalization then
begin with all but equal logits, and need four more epochs.
"""

# torch annotates only in part.
# pyright: reportUnknownMemberType=false
from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from typing import TypeVar

import torch
from torch import nn

LayerT = TypeVar("LayerT", bound=nn.Module)


def he_start(layer: LayerT) -> LayerT:
    """Draw the weight of a convolution or dense layer anew; the layer itself, for chaining."""
    weight = layer.weight
    assert isinstance(weight, nn.Parameter)
    nn.init.kaiming_normal_(weight)
    return layer


@contextmanager
def seeded(seed: int) -> Generator[None]:
    """Random numbers of torch follow `seed` in the block, and are as before after it."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield
