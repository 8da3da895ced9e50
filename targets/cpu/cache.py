"""Compiled kernels on disk, found by what they were compiled from.

Cuts of one network share nearly all of their kernels, and a build that was interrupted resumes
here. When every object is found TVM is not even imported.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable
from functools import cache
from importlib import metadata
from pathlib import Path

from joulecut.hw.cache import kept
from joulecut.targets.base import Target
from joulecut.targets.cpu.script import Step

Progress = Callable[[str], None]

_CODEGEN = Path(__file__).with_name("codegen.py")


def object_files(
    steps: Iterable[Step], target: Target, cache_dir: Path, progress: Progress | None = None
) -> dict[str, Path]:
    """The object file of every kernel, compiled now if it never was.

    Args:
        steps: kernels; those with one symbol are one.
        target: what they are compiled for.
        cache_dir: where objects are kept.
        progress: is told of each kernel that has to be compiled.

    Returns:
        Symbol -> path, sorted by symbol.

    Raises:
        ConfigError: LLVM does not know the processor or a feature of the target.
    """
    folder = cache_dir / "objects" / target.arch
    files: dict[str, Path] = {}
    for symbol, source in sorted({step.symbol: step.source for step in steps}.items()):
        path = folder / f"{symbol}-{_key(source, target)}.o"
        if not path.exists():
            if progress is not None:
                progress(f"compile {symbol} for {target.name}")
            _compile(source, symbol, target, path)
        files[symbol] = path
    return files


def _compile(source: str, symbol: str, target: Target, path: Path) -> None:
    from joulecut.targets.cpu.codegen import compile_object  # imports TVM, which takes seconds
    from joulecut.targets.cpu.llvm_names import require_known

    require_known(target.name, llvm_target(target))
    kept(path, lambda made: compile_object(source, symbol, llvm_target(target), made))


def llvm_target(target: Target) -> dict[str, object]:
    """TVM's description of the target."""
    options = {
        key: list(value) if isinstance(value, tuple) else value
        for key, value in target.llvm.items()
    }
    return {"kind": "llvm", "opt-level": 3, **options}


def _key(source: str, target: Target) -> str:
    """Everything that the bytes of an object depend on."""
    text = json.dumps([source, llvm_target(target), *_tools()], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


@cache
def _tools() -> tuple[str, str]:
    """TVM's version, and a hash of our use of it."""
    return metadata.version("apache-tvm"), hashlib.sha256(_CODEGEN.read_bytes()).hexdigest()
