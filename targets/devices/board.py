"""What a Linux board says of itself: its name, its system, and the clocks of its cores."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

# For `sh`, in one line; every line that it writes begins with a key. What a board lacks is left out.
FACTS_SCRIPT = (
    "echo model $(tr -d '\\000' < /proc/device-tree/model 2> /dev/null); "
    "echo cpu $(grep -m 1 -E '^(model name|Hardware|cpu model|uarch)' /proc/cpuinfo | cut -d : -f 2); "
    "echo cores $(nproc 2> /dev/null || getconf _NPROCESSORS_ONLN 2> /dev/null); "
    "echo system $(uname -s -r); "
    "for f in /sys/devices/system/cpu/cpu[0-9]*/cpufreq; do [ -d $f ] && "
    "echo clock $(cat $f/scaling_cur_freq) $(cat $f/cpuinfo_max_freq) $(cat $f/scaling_governor); "
    "done 2> /dev/null; true"
)


@dataclass(frozen=True)
class Clock:
    """The clock of a core, as the kernel reports it."""

    now_khz: int
    most_khz: int
    governor: str


@dataclass(frozen=True)
class Board:
    """What a board says of itself.

    Attributes:
        machine: one line for a Profile.
        clocks: of its cores; none where the kernel does not govern them.
    """

    machine: str
    clocks: tuple[Clock, ...]


def read_board(text: str, arch: str) -> Board:
    """The board that wrote `text` when it ran FACTS_SCRIPT.

    Args:
        text: lines that were written; those that say nothing are passed over.
        arch: stands for the processor if nothing names it.
    """
    rows = [line.partition(" ") for line in text.splitlines()]
    said = {key: value.strip() for key, _, value in reversed(rows) if value.strip()}
    name = said.get("model") or said.get("cpu") or arch
    cores = f"{said['cores']} cores, " if "cores" in said else ""
    clocks = [_clock(value) for key, _, value in rows if key == "clock"]
    return Board(
        f"{name}, {cores}{said.get('system', 'an unknown system')}",
        tuple(clock for clock in clocks if clock is not None),
    )


def _clock(text: str) -> Clock | None:
    words = text.split()
    if len(words) != 3 or not (words[0].isdecimal() and words[1].isdecimal()):
        return None
    return Clock(int(words[0]), int(words[1]), words[2])


def clock_note(before: Board, after: Board) -> str:
    """The clocks before and after a profile: times are of no use without them."""
    if not after.clocks:
        return "clock: unknown, the board's kernel reports none (no cpufreq)"
    governors = sorted({clock.governor for clock in after.clocks})
    text = (
        f"clock by the kernel's report: {_mhz(c.now_khz for c in before.clocks)} before, "
        f"{_mhz(c.now_khz for c in after.clocks)} after, "
        f"at most {_mhz(c.most_khz for c in after.clocks)}, governor {', '.join(governors)}"
    )
    if governors == ["performance"]:
        return text
    return f"{text}; it may change while we measure, `cpupower frequency-set -g performance` keeps it"


def _mhz(values_khz: Iterable[int]) -> str:
    """`600 MHz`, or `600 to 1500 MHz` where cores differ."""
    found = sorted({value // 1000 for value in values_khz})
    ends = [found[0], found[-1]] if len(found) > 1 else found
    return f"{' to '.join(map(str, ends)) or 'unknown'} MHz"
