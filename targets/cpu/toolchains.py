"""gcc for a target: found, asked for its version, run; a missing one comes with its cure."""

from __future__ import annotations

import platform
import shutil
import subprocess
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from joulecut.compiler.errors import DeviceError
from joulecut.targets.base import Target


def compiler(target: Target) -> str:
    """The path of a gcc that makes code for the target.

    Raises:
        DeviceError: there is none; the message has the command that installs it.
    """
    native = platform.machine() == target.arch
    for name in (*target.toolchain.compilers, *(["gcc"] if native else [])):
        found = shutil.which(name)
        if found is not None:
            return found
    raise DeviceError(
        f"a C compiler for {target.name} must be installed, "
        f"and {target.toolchain.compilers[0]} is not; "
        f"run: apt-get install {'gcc' if native else target.toolchain.package}"
    )


@cache
def version(gcc: str) -> str:
    """What a compiler says of itself in one line, with the machine that it is for."""
    said = [
        subprocess.run([gcc, option], capture_output=True, text=True, check=False).stdout
        for option in ("--version", "-dumpmachine")
    ]
    return " ".join(text.partition("\n")[0] for text in said)


def run(command: Sequence[str | Path], folder: Path) -> None:
    """Run a tool in a folder.

    Raises:
        DeviceError: it does not start or does not end with 0; the message has what it said.
    """
    words = [str(word) for word in command]
    done = subprocess.run(words, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise DeviceError(
            f"{Path(words[0]).name} must return 0, not {done.returncode}, for "
            f"{' '.join(words[1:])}\n{done.stderr[-4000:]}"
        )
