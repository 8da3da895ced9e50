"""Processor cores, as far as a modelled latency must know them: read from `cores/*.toml`.

Every number stands beside its source. One that nobody published is marked as assumed and gives
its reason instead, so that a result can name what it rests on.
"""

from __future__ import annotations

import difflib
import tomllib
from dataclasses import dataclass, fields, replace
from functools import cache
from math import isfinite
from pathlib import Path
from typing import Any

from joulecut.compiler.errors import ConfigError
from joulecut.targets.base import Fact, Target
from joulecut.targets.devices.plugin import CacheModel

CORES = Path(__file__).with_name("cores")
MAY_BE_ZERO = ("simd_bits",)  # a core without vectors
AT_MOST = (  # what cannot exceed what, in every core
    ("ipc", "issue_width"),
    ("l1_cycles", "l2_cycles"),
    ("l2_line_cycles", "l2_cycles"),
    ("memory_line_ns", "memory_ns"),
)


@dataclass(frozen=True)
class CoreFact(Fact):
    """A number about a core.

    Attributes:
        assumed: nobody published it; `source` gives the reason for the value.
    """

    assumed: bool = False


@dataclass(frozen=True)
class Core:
    """What docs/latency.md computes with.

    Attributes:
        name: of the file that describes it.
        title: for people.
        arch: as targets name it.
        mcpu: LLVM's names for it.
        in_order: what kernels are made of issues in program order, so a wait delays all behind it.
        issue_width: instructions a cycle at most.
        ipc: instructions a cycle of kernels whose data lie in L1.
        simd_bits: width of a vector unit; 0 without vectors.
        line_bytes: of all caches.
        l1i_bytes: of the instruction cache, which is not simulated.
        l1i_ways: likewise.
        l1d_bytes: of the data cache.
        l1d_ways: likewise.
        l2_bytes: of the second level.
        l2_ways: likewise.
        l1_cycles: from a load that hits L1 to its use; part of `ipc`.
        l2_cycles: the same for a load that hits L2.
        l2_line_cycles: for one line after the other from L2, with as many under way as the core
            can have.
        memory_ns: from a load that misses L2 to its use.
        memory_line_ns: for one line after the other from memory, in order of address.
    """

    name: str
    title: str
    arch: str
    mcpu: tuple[str, ...]
    in_order: bool
    issue_width: CoreFact
    ipc: CoreFact
    simd_bits: CoreFact
    line_bytes: CoreFact
    l1i_bytes: CoreFact
    l1i_ways: CoreFact
    l1d_bytes: CoreFact
    l1d_ways: CoreFact
    l2_bytes: CoreFact
    l2_ways: CoreFact
    l1_cycles: CoreFact
    l2_cycles: CoreFact
    l2_line_cycles: CoreFact
    memory_ns: CoreFact
    memory_line_ns: CoreFact

    def __post_init__(self) -> None:
        for name, fact in self.facts.items():
            if not (isfinite(fact.value) and (fact.value > 0 or name in MAY_BE_ZERO)):
                raise ConfigError(
                    f"{name} of core '{self.name}' must be positive, not {fact.value}"
                )
        for name, bound in AT_MOST:
            if self.facts[name].value > self.facts[bound].value:
                raise ConfigError(
                    f"{name} of core '{self.name}' must be at most its {bound}, "
                    f"{self.facts[bound].value:g}, not {self.facts[name].value:g}"
                )
        for level in ("l1d", "l2"):
            nbytes, ways = self.facts[f"{level}_bytes"].value, self.facts[f"{level}_ways"].value
            sets = nbytes / (ways * self.line_bytes.value)
            if not sets.is_integer() or int(sets) & (int(sets) - 1):
                raise ConfigError(
                    f"{level} of core '{self.name}' must have a power of two of sets, "
                    f"not {sets:g}: {nbytes:g} bytes, {ways:g} ways"
                )

    @property
    def facts(self) -> dict[str, CoreFact]:
        """Every number, by name."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: value for name, value in values.items() if isinstance(value, CoreFact)}

    @property
    def caches(self) -> CacheModel:
        """The data caches, for an emulator to simulate."""
        return CacheModel(
            l1_bytes=int(self.l1d_bytes.value),
            l1_ways=int(self.l1d_ways.value),
            l2_bytes=int(self.l2_bytes.value),
            l2_ways=int(self.l2_ways.value),
            line_bytes=int(self.line_bytes.value),
        )


def core(name: str) -> Core:
    """The Core with this name.

    Raises:
        ConfigError: there is none; the message names the closest.
    """
    known = {each.name: each for each in cores()}
    if name in known:
        return known[name]
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.0)
    raise ConfigError(
        f"core must be one of {', '.join(known)}, not '{name}'; the closest is {close[0]}"
    )


@cache
def cores() -> tuple[Core, ...]:
    """Every Core, by name."""
    return tuple(read_core(path) for path in sorted(CORES.glob("*.toml")))


def core_of(place: Target) -> Core | None:
    """The Core that code for a target is made for, with what the board says of its memories.

    A board may have more L2 or other DRAM than the one on which a core was measured; facts of
    the target with the names of facts of the core replace those.

    Returns:
        None: no core has the mcpu of the target.
    """
    named = str(place.llvm.get("mcpu", ""))
    found = next((c for c in cores() if named in c.mcpu and c.arch == place.arch), None)
    if found is None:
        return None
    own: dict[str, Any] = {
        name: CoreFact(fact.value, fact.source)
        for name, fact in place.facts.items()
        if name in found.facts
    }
    return replace(found, **own)


def read_core(path: Path) -> Core:
    """The Core that a file describes.

    Raises:
        ConfigError: a field is missing, unknown, or not a value that it can have.
    """
    try:
        rows: dict[str, Any] = tomllib.loads(path.read_text(encoding="utf-8"))
        return Core(
            name=str(rows.pop("name")),
            title=str(rows.pop("title")),
            arch=str(rows.pop("arch")),
            mcpu=tuple(rows.pop("mcpu")),
            in_order=_flag(rows.pop("in_order")),
            **{name: CoreFact(**row) for name, row in rows.items()},
        )
    except ConfigError:
        raise
    except (KeyError, TypeError, ValueError) as error:
        raise ConfigError(
            f"{path.name} must have exactly the fields of Core, not this: {error}"
        ) from error


def _flag(value: object) -> bool:
    if not isinstance(value, bool):
        raise TypeError(f"in_order must be true or false, not {value!r}")
    return value
