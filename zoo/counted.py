"""What each layer of a network multiplies, stores and hands on, counted without computing.

A pass on torch's meta device gives every shape; products follow from shapes alone.
"""

# torch annotates only in part.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import nn

LAYERS = (nn.Conv2d, nn.Linear, nn.MaxPool2d)


@dataclass(frozen=True)
class CountedLayer:
    """A layer for one image.

    Attributes:
        name: of the module.
        kind: `Conv2d`, `Linear`, `MaxPool2d`, or `input`.
        macs: products, each with its addition; biases and comparisons are not counted.
        parameters: weights and biases.
        outputs: numbers that it hands on.
    """

    name: str
    kind: str
    macs: int
    parameters: int
    outputs: int


def counted(module: nn.Module, input_shape: Sequence[int]) -> list[CountedLayer]:
    """The input, then convolutions, dense layers and pools in the order of computation.

    Args:
        module: any network of one input; it is not changed.
        input_shape: [1, ...].
    """
    found = [CountedLayer("input", "input", 0, 0, math.prod(input_shape[1:]))]
    shadow = copy.deepcopy(module).to("meta").eval()

    def seen(name: str, layer: nn.Module, _inputs: Any, output: torch.Tensor) -> None:
        outputs = math.prod(output.shape[1:])
        weight = layer.weight if isinstance(layer, nn.Conv2d | nn.Linear) else None
        # Each output is a sum over all weights of one filter.
        macs = 0 if weight is None else outputs * math.prod(weight.shape[1:])
        parameters = sum(value.numel() for value in layer.parameters())
        found.append(CountedLayer(name, type(layer).__name__, macs, parameters, outputs))

    for name, layer in shadow.named_modules():
        if isinstance(layer, LAYERS):
            layer.register_forward_hook(partial(seen, name))
    shadow(torch.empty(*input_shape, device="meta"))
    return found
