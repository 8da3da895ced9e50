"""Which kernels a target has: families of products by name, and what each is good for."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass

from joulecut.compiler.errors import ConfigError
from joulecut.targets.cpu.nhwc.conv import Conv, conv
from joulecut.targets.cpu.nhwc.family import Family
from joulecut.targets.cpu.nhwc.tile import Tile
from joulecut.targets.cpu.script import Step

PORTABLE = "portable"  # no kernels over planes: dense tensors, any processor

_HOMES = {
    "vnni512": "vnni",
    "avx2": "avx2",
    "sdot": "sdot",
    "smull": "smull",
    "neon32": "neon32",
}


@dataclass(frozen=True)
class Kernels:
    """The kernels over planes of a target.

    Attributes:
        families: by preference; the first takes every convolution whose weights it allows.
        tile_of: how much of a convolution is computed at once.
        depthwise: the kernel for one filter a channel, or None if there is no special one.
    """

    families: tuple[Family, ...]
    tile_of: Callable[[Conv], Tile]
    depthwise: Callable[[Conv], Step] | None = None

    @property
    def dtype(self) -> str:
        """What planes store."""
        return self.families[0].dtype

    def shift_of(self, dtype: str) -> int:
        """What is added to an integer of a type before it is stored."""
        return self.families[0].shift_of(dtype)

    def convolution(self, work: Conv) -> tuple[Step, str]:
        """The kernel for a convolution, and what the build report says of it."""
        is_depthwise = work.group == len(work.weights) and work.weights.shape[1] == 1
        if is_depthwise and work.group > 1 and self.depthwise and work.pool == (1, 1):
            return self.depthwise(work), f"{self.families[0].name} depthwise"
        lowest = int(work.weights.min())
        family = next(f for f in self.families if f.lowest_weight <= lowest)
        tile = self.tile_of(work)
        size = f"{tile.rows}x{tile.columns} pixels x {tile.blocks * family.lanes} channels"
        return conv(work, family, tile), f"{family.name} {size}"


def kernels(name: str) -> Kernels:
    """The kernels of this name.

    Raises:
        ConfigError: there are none.
    """
    if name not in _HOMES:
        raise ConfigError(
            f"kernels of a target must be one of {', '.join(_HOMES)} or {PORTABLE}, not '{name}'"
        )
    module = importlib.import_module(f"joulecut.targets.cpu.nhwc.{_HOMES[name]}")
    found: Kernels = module.KERNELS
    return found
