"""Which kernels a target has: families of products by name, and what each is good for."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from joulecut.compiler.errors import ConfigError
from joulecut.targets.cpu.nhwc.conv import Conv, conv
from joulecut.targets.cpu.nhwc.family import Family
from joulecut.targets.cpu.nhwc.signature import signature
from joulecut.targets.cpu.nhwc.tile import Tile
from joulecut.targets.cpu.script import Step

PORTABLE = "portable"  # no kernels over planes: dense tensors, any processor

_HOMES = {  # module and name
    "vnni512": ("vnni", "KERNELS"),
    "avx2": ("avx2", "KERNELS"),
    "sdot": ("arm64", "SDOT_KERNELS"),
    "smull": ("arm64", "SMULL_KERNELS"),
    "smull_ahead": ("arm64", "SMULL_AHEAD_KERNELS"),
    "neon32": ("neon32", "KERNELS"),
}


@dataclass(frozen=True)
class Choice:
    """How a convolution is computed.

    Attributes:
        family: by name.
        tile: how much at once.
    """

    family: str
    tile: Tile

    def __str__(self) -> str:
        tile = self.tile
        return f"{self.family} {tile.rows}x{tile.columns}x{tile.blocks} {tile.order}"


@dataclass(frozen=True)
class Kernels:
    """The kernels over planes of a target.

    Attributes:
        families: by preference; the first takes every convolution whose weights it allows.
        tile_of: how much of a convolution is computed at once.
        depthwise: the kernel for one filter a channel, or None if there is no special one.
        tuned: what a search found better than that, by the signature of a convolution.
        family_of: the family for a convolution, if its weights do not decide it alone.
    """

    families: tuple[Family, ...]
    tile_of: Callable[[Conv], Tile]
    depthwise: Callable[[Conv], Step] | None = None
    tuned: Mapping[str, Choice] = field(default_factory=dict[str, Choice])
    family_of: Callable[[Conv], Family] | None = None

    @property
    def dtype(self) -> str:
        """What planes store."""
        return self.families[0].dtype

    def shift_of(self, dtype: str) -> int:
        """What is added to an integer of a type before it is stored."""
        return self.families[0].shift_of(dtype)

    def default_of(self, work: Conv) -> Choice:
        """What is taken if nothing better was found."""
        lowest = int(work.weights.min())
        family = next(f for f in self.families if f.lowest_weight <= lowest)
        if self.family_of is not None:
            family = self.family_of(work)
        return Choice(family.name, self.tile_of(work))

    def convolution(self, work: Conv) -> tuple[Step, str]:
        """The kernel for a convolution, and what the build report says of it.

        Raises:
            ConfigError: a tuned tile cannot compute it.
        """
        is_depthwise = work.group == len(work.weights) and work.weights.shape[1] == 1
        if is_depthwise and work.group > 1 and self.depthwise and work.pool == (1, 1):
            return self.depthwise(work), f"{self.families[0].name} depthwise"
        tuned = self.tuned.get(signature(work))
        choice = tuned or self.default_of(work)
        step, lanes = self.chosen(work, choice)
        tile = choice.tile
        size = f"{tile.rows}x{tile.columns} pixels x {tile.blocks * lanes} channels"
        lowest = int(work.weights.min())
        refused = lowest < self.families[0].lowest_weight
        why = f", not {self.families[0].name}: a weight is {lowest}" if refused else ""
        return step, f"{choice.family} {size}" + (", tuned" if tuned else "") + why

    def chosen(self, work: Conv, choice: Choice) -> tuple[Step, int]:
        """The kernel of a choice, and the channels of a block.

        Raises:
            ConfigError: it cannot compute the convolution.
        """
        family = next((f for f in self.families if f.name == choice.family), None)
        if family is None or family.lowest_weight > int(work.weights.min()):
            fit = [f.name for f in self.families if f.lowest_weight <= int(work.weights.min())]
            why = f"be of {' or '.join(fit)}"
        else:
            why = _misfit(work, choice.tile)
        if family is None or why:
            raise ConfigError(
                f"tile of '{signature(work)}' must {why}, not '{choice}'; "
                "take it out of the database of tiles"
            )
        return conv(work, family, choice.tile), family.lanes


def _misfit(work: Conv, tile: Tile) -> str:
    """What a tile must do to cover a convolution; "" if it does. Columns may exceed a row."""
    (down, across), most = work.pool, work.y.rows * work.pool[0]
    if tile.rows < 1 or tile.rows % down or tile.rows > most:
        return f"have rows that are multiples of {down} up to {most}"
    if tile.columns < 1 or tile.columns % across:
        return f"have columns that are multiples of {across}"
    return "" if tile.blocks > 0 else "have blocks"


def kernels(name: str) -> Kernels:
    """The kernels of this name.

    Raises:
        ConfigError: there are none.
    """
    if name not in _HOMES:
        raise ConfigError(
            f"kernels of a target must be one of {', '.join(_HOMES)} or {PORTABLE}, not '{name}'"
        )
    home, attribute = _HOMES[name]
    module = importlib.import_module(f"joulecut.targets.cpu.nhwc.{home}")
    found: Kernels = getattr(module, attribute)
    return found
