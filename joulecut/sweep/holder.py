"""Who holds a lease, and whether that process is surely gone.

A lease of a dead process ends by itself after its time. Where the process ran on this machine
nobody needs to wait so long: its number and start time tell whether it still lives.
"""

from __future__ import annotations

import os
import secrets
from functools import cache
from pathlib import Path

_PROC = Path("/proc")


def new_holder() -> str:
    """A name that no other holder has: machine, process, its start, and random digits."""
    pid = os.getpid()
    return f"{_machine()}/{pid}/{_started(pid)}/{secrets.token_hex(8)}"


def is_gone(holder: str) -> bool:
    """Whether the holder's process was on this machine and is no more; False if unknown."""
    machine, _, rest = holder.partition("/")
    pid, _, rest = rest.partition("/")
    started = rest.partition("/")[0]
    if not machine or machine != _machine() or not pid.isdecimal() or not started:
        return False
    return _started(int(pid)) != started


@cache
def _machine() -> str:
    """This boot of this kernel, and who shares our process numbers; "" if that is not known."""
    try:
        boot = (_PROC / "sys/kernel/random/boot_id").read_text().strip()
        return f"{boot}-{(_PROC / 'self/ns/pid').stat().st_ino}"
    except OSError:
        return ""


def _started(pid: int) -> str:
    """Clock ticks from boot to the start of a process; "" if there is none, or only its corpse."""
    try:
        text = (_PROC / str(pid) / "stat").read_text()
    except OSError:
        return ""
    fields = text.rpartition(")")[2].split()  # the name before it may hold blanks
    return "" if fields[0] in "ZX" else fields[19]
