"""Environments with one release of pynq each, made once: none of them suits joulecut's own numpy."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path

from joulecut.hw.cache import default_cache_dir

# What pip needs to be told, step by step, for a pynq that can be imported on x86-64.
STEPS: dict[str, tuple[tuple[str, ...], ...]] = {
    # No wheel; its build needs the pkg_resources of older setuptools, and it imports a module of
    # pycparser that release 3 has dropped.
    "3.1.2": (
        ("setuptools<80", "wheel", "pycparser<3"),
        ("--no-build-isolation", "pynq==3.1.2", "pycparser<3", "setuptools<80"),
    ),
    "4.0.0": (("pynq==4.0.0",),),
}


def python_with(release: str) -> Path:
    """The interpreter of an environment with a release of pynq, made now if there is none.

    Raises:
        RuntimeError: pip could not install it; the message is pip's.
    """
    key = hashlib.sha256(repr((STEPS[release], sys.version)).encode()).hexdigest()[:16]
    folder = default_cache_dir() / "environments" / f"pynq-{release}-{key}"
    python, stamp = folder / "bin/python", folder / "complete"
    if not stamp.exists():
        run(sys.executable, "-m", "venv", "--clear", str(folder))
        for step in STEPS[release]:
            run(str(python), "-m", "pip", "install", "-q", *step)
        stamp.touch()
    return python


def run(*words: str) -> None:
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(words)}\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}")
