"""What took long to make, on disk under a name that says what it was made from."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from pathlib import Path


def default_cache_dir() -> Path:
    """`$XDG_CACHE_HOME/joulecut`, by default `~/.cache/joulecut`."""
    home = os.environ.get("XDG_CACHE_HOME")
    return (Path(home) if home else Path.home() / ".cache") / "joulecut"


def kept(path: Path, make: Callable[[Path], None]) -> Path:
    """The file at `path`, made now if there is none.

    It appears under its name complete or not at all, whoever else makes it at the same time.

    Args:
        path: has everything in its name that the content depends on.
        make: writes the file where it is told, beside `path`; may leave others there.
    """
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=path.parent) as folder:
            made = Path(folder) / path.name
            make(made)
            made.replace(path)
    return path
