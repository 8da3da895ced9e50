"""The C kernels of the codec for a target: one object, compiled once and kept with the others.

An edge links the same sources as the host's module, so that both write the same bytes.
"""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from pathlib import Path

from joulecut.targets.base import Target
from joulecut.targets.cpu.cache import Progress
from joulecut.targets.cpu.toolchains import run, version

# -ffp-contract=off: a fused product would choose other symbols than the host's.
# Sections: what an edge does not call, decoders above all, is left out of its programs.
CFLAGS = ("-std=c11", "-O3", "-ffp-contract=off", "-fPIC", "-ffunction-sections")
_WARNINGS = ("-Wall", "-Wextra", "-Werror")


@cache
def sources() -> Mapping[str, bytes]:
    """The C files and headers of the codec, by name."""
    folder = files("joulecut.kernels") / "c"
    named = sorted(folder.iterdir(), key=lambda file: file.name)
    return {file.name: file.read_bytes() for file in named if file.name.endswith((".c", ".h"))}


def coder_object(
    gcc: str, target: Target, cache_dir: Path, progress: Progress | None = None
) -> Path:
    """The object file of all kernels, compiled now if it never was.

    Args:
        gcc: a compiler for the target.
        target: what it is compiled for.
        cache_dir: where objects are kept.
        progress: is told if it has to be compiled.

    Raises:
        DeviceError: the compiler refuses.
    """
    flags = [*target.toolchain.cflags, *CFLAGS, *_WARNINGS]
    folder = cache_dir / "objects" / target.arch
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"coder-{_key(gcc, flags)}.o"
    if path.exists():
        return path
    if progress is not None:
        progress(f"compile the codec for {target.name}")
    with tempfile.TemporaryDirectory(dir=folder) as name:
        scratch = Path(name)
        write_sources(scratch)
        units = [file for file in sources() if file.endswith(".c")]
        run([gcc, *flags, "-c", *units], scratch)
        objects = [f"{Path(unit).stem}.o" for unit in units]
        run(
            [gcc, *target.toolchain.cflags, "-r", "-nostdlib", "-o", path.name, *objects],
            scratch,
        )
        (scratch / path.name).replace(path)
    return path


def write_sources(folder: Path) -> None:
    """Write the C files and headers, under their own names, for a compiler to find."""
    for name, text in sources().items():
        (folder / name).write_bytes(text)


def _key(gcc: str, flags: list[str]) -> str:
    """Everything that the bytes of the object depend on."""
    digests = {name: hashlib.sha256(text).hexdigest() for name, text in sources().items()}
    text = json.dumps([digests, flags, version(gcc)], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:32]
