"""What a choice costs beside the default: time on this machine, or counts of an emulator.

Time is noisy, and the least of many short runs is the least noisy figure of it. Counts repeat
exactly; docs/latency.md says how they become cycles of a core, and docs/tuning.md what that
leaves out on cores that run in order.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from joulecut.compiler.errors import ConfigError, DeviceError
from joulecut.compiler.profile import Profile
from joulecut.targets.base import Target
from joulecut.targets.cores import Core, core, core_of
from joulecut.targets.cpu.tuning.issue import (
    MODELLED,
    code_of,
    cycles_per_instruction,
    read_blocks,
    version,
)
from joulecut.targets.cpu.tuning.trial import Trial
from joulecut.targets.devices.elf import symbol_address
from joulecut.targets.devices.native import machine_line, runs_here
from joulecut.targets.devices.plugin import BLOCKS, SOURCE, build_plugin, read_counts
from joulecut.targets.latency import modelled

FIRST = 100, 500  # runs of each kernel in a first comparison, and milliseconds that may take
CONFIRMING = 400, 1500  # the same of those that a better tile must pass, too
CONFIRMATIONS = 3  # processes, of which the middle counts: each has another place in memory
GAIN = 1.03  # a tile that gains less than this over the default is not taken
NOMINAL_HZ = 1.2e9  # assumed of every core: a database is not that of one board


class Scale(Protocol):
    """A way to compare choices.

    Attributes:
        unit: of costs.
        how: costs are found.
    """

    @property
    def unit(self) -> str:
        """Of costs."""
        ...

    @property
    def how(self) -> str:
        """How costs are found; begins with "measured" or "modelled"."""
        ...

    def costs(self, trial: Trial) -> tuple[float, ...]:
        """What each kernel of a trial costs."""
        ...


@dataclass(frozen=True)
class Clock:
    """Nanoseconds on this machine, which must be able to run the code."""

    unit: str = "ns"

    @property
    def how(self) -> str:
        """With the processor."""
        return f"measured: one thread of {machine_line().partition(',')[0]}"

    def costs(self, trial: Trial) -> tuple[float, ...]:
        """The least times; a kernel that seems to gain is measured again, and longer."""
        first = _timed(trial, *FIRST)
        if len(first) > 1 and min(first[1:]) * GAIN > first[0]:
            return first
        again = [_timed(trial, *CONFIRMING) for _ in range(CONFIRMATIONS)]
        again.sort(key=lambda costs: min(costs[1:], default=0.0) / costs[0])
        return again[CONFIRMATIONS // 2]


def _timed(trial: Trial, rounds: int, milliseconds: int) -> tuple[float, ...]:
    """The least time of the first kernel; of others the larger of two figures.

    The least of all runs is misled by who found a quiet moment, the median of the ratios to the
    run beside it by what else the machine does to one of both.
    """
    path = trial.program.with_name("times")
    trial.run((), path, str(rounds), str(milliseconds))
    times = np.maximum(np.loadtxt(path, ndmin=2), 1.0)
    least = times.min(axis=0)
    beside = np.median(times / times[:, :1], axis=0) * least[0]
    return tuple(map(float, np.maximum(least, beside)))


@dataclass(frozen=True)
class Counts:
    """Modelled cycles of a core, from what an emulator counts.

    Attributes:
        place: whose emulator runs the kernels.
        core: whose cycles and caches.
    """

    place: Target
    core: Core
    unit: str = "cycle"

    @property
    def how(self) -> str:
        """With the core, and what says how long its instructions take."""
        issue = (
            f"llvm-mca {version()}" if self._has_issue else f"{self.core.ipc.value:g} a cycle"
        )
        return (
            f"modelled: {self.core.name} at {NOMINAL_HZ / 1e6:g} MHz, from instructions "
            f"({issue}) and misses simulated under qemu"
        )

    @property
    def _has_issue(self) -> bool:
        return str(self.place.llvm.get("mcpu")) in MODELLED and version() is not None

    def costs(self, trial: Trial) -> tuple[float, ...]:
        """Cycles by docs/latency.md, with the cycles per instruction that issue.py finds."""
        counts = trial.program.with_name("counts")
        self._run(trial, SOURCE, {"out": counts, **self.core.caches.arguments()})
        # Between two kernels the program reads other things: a stage that nobody asks about.
        names = [f"{i}" for i in range(2 * len(trial.choices) - 1)]
        layers = read_counts(counts, [(name, "") for name in names], samples=1)
        profile = modelled(
            Profile("qemu", tuple(layers), "", ()),
            self.core,
            NOMINAL_HZ,
            kernel_cpi=self._issue(trial, names[::2]) if self._has_issue else None,
            symbols={name: [name] for name in names},
        )
        return tuple(layer.quantities["cycles_modelled"].value for layer in profile.layers[::2])

    def _issue(self, trial: Trial, names: Sequence[str]) -> dict[str, float]:
        blocks = trial.program.with_name("blocks")
        self._run(trial, BLOCKS, {"out": blocks})
        code = code_of(trial.program, trial.symbols)
        cpu = str(self.place.llvm["mcpu"])
        return {
            name: cycles_per_instruction(some, code, cpu)
            for name, some in zip(names, read_blocks(blocks), strict=True)
        }

    def _run(self, trial: Trial, plugin: Path, options: Mapping[str, object]) -> None:
        """Run a trial under the emulator with a plugin that writes something."""
        emulator = shutil.which(self.place.emulator.program)
        if emulator is None:
            raise DeviceError(
                f"{self.place.emulator.program} must be installed to tune for "
                f"{self.place.name}, and is not; install Debian's qemu-user"
            )
        hook = symbol_address(trial.program, "model_hook")
        if self.place.arch == "armv7":
            hook &= ~1  # the lowest bit says Thumb, it is no part of the address
        words = [f"{key}={value}" for key, value in {"hook": hook, **options}.items()]
        loaded = ",".join([str(build_plugin(emulator, plugin)), *words])
        trial.run((emulator, "-cpu", self.place.emulator.cpu, "-plugin", loaded))


def scale_of(place: Target, by: str | None = None) -> Scale:
    """How costs are found for a target.

    Args:
        place: the target.
        by: "time" or "counts"; None takes time where x86-64 code runs here, else counts. Other
            processors come in too many kinds to take any for the one that the code is made for.

    Raises:
        ConfigError: `by` is something else, or no core is known for the target.
        DeviceError: the processor does not run the code that is to be timed.
    """
    if by not in (None, "time", "counts"):
        raise ConfigError(f"--by must be time or counts, not '{by}'")
    is_x86 = place.arch == "x86_64"
    if by == "time" or (by is None and is_x86):
        if not runs_here(place):
            raise DeviceError(
                f"tiles for {place.name} must be timed on a processor that runs its code, and "
                "this one does not; tune there, and copy the database"
            )
        return Clock()
    if place.llvm.get("mcpu") == "x86-64-v4":
        raise ConfigError(f"tiles for {place.name} must be tuned by time: qemu has no AVX-512")
    found = core_of(place)
    if found is None:
        raise ConfigError(
            f"tiles for {place.name} must be tuned for a known core, and "
            f"'{place.llvm.get('mcpu', '')}' is none; add it to targets/cores"
        )
    return Counts(place, core(found.name))  # without what is special about a board
