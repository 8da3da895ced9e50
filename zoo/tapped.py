"""Look at what a network's modules make, or put something else in its place.

What crosses a cut is the output of some modules. Where a network is not a chain a cut severs
several of them, and the cloud must get all: replacing each output by what was decoded is exactly
what the cloud then computes.
"""

# torch annotates only in part.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import nn

from joulecut.compiler.errors import ConfigError

Change = Callable[[torch.Tensor], "torch.Tensor | None"]


def tapped(
    module: nn.Module, images: np.ndarray, names: Sequence[str]
) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """The network's output, and those of the modules that are named.

    Args:
        module: in eval mode.
        images: float32 [N, ...].
        names: of modules that run once; "" is the network itself.

    Raises:
        ConfigError: there is no such module.
    """
    seen: dict[str, np.ndarray] = {}

    def keep(name: str, output: torch.Tensor) -> None:
        seen[name] = output.numpy().copy()

    with torch.inference_mode(), _hooked(module, {name: partial(keep, name) for name in names}):
        output = module(torch.from_numpy(images)).numpy()
    return output, seen


def replaced(
    module: nn.Module, images: np.ndarray, outputs: Mapping[str, np.ndarray]
) -> np.ndarray:
    """The network's output when modules hand on other tensors than they made.

    Args:
        module: in eval mode.
        images: float32 [N, ...].
        outputs: by the name of the module.

    Raises:
        ConfigError: there is no such module.
    """

    def other(value: np.ndarray, _output: torch.Tensor) -> torch.Tensor:
        return torch.from_numpy(value)

    changes = {name: partial(other, value) for name, value in outputs.items()}
    with torch.inference_mode(), _hooked(module, changes):
        return module(torch.from_numpy(images)).numpy()


def with_weights(module: nn.Module, change: Callable[[str, np.ndarray], np.ndarray]) -> None:
    """Change weights and biases in place: by name, float32 to float32 of the same shape."""
    with torch.no_grad():
        for name, value in module.named_parameters():
            value.copy_(torch.from_numpy(change(name, value.numpy().copy())))


def arrays_of(module: nn.Module) -> dict[str, np.ndarray]:
    """Weights and biases by name."""
    return {name: value.detach().numpy() for name, value in module.state_dict().items()}


@contextmanager
def _hooked(module: nn.Module, changes: Mapping[str, Change]) -> Generator[None]:
    known = dict(module.named_modules())
    unknown = sorted(set(changes) - set(known))
    if unknown:
        raise ConfigError(f"modules must be of the network, which has no {', '.join(unknown)}")

    def hook(change: Change, _module: nn.Module, _inputs: Any, output: torch.Tensor) -> Any:
        return change(output)

    handles = [
        known[name].register_forward_hook(partial(hook, change))
        for name, change in changes.items()
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
