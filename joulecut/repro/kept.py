"""Results that stay: what was computed once is read again by a run that was stopped.

A file's name holds the hash of what decided its content, so that a change of recipe never meets
an old result.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np


class Kept:
    """A folder of results.

    Attributes:
        directory: made when something is kept.
    """

    def __init__(self, directory: Path):
        self.directory = directory

    def values(
        self, name: str, recipe: Mapping[str, Any], compute: Callable[[], dict[str, Any]]
    ) -> dict[str, Any]:
        """Plain values, as JSON; computed if they are not there."""
        path = self._path(name, recipe, "json")
        if not path.is_file():
            text = json.dumps(compute(), sort_keys=True)
            self._write(path, lambda partial: partial.write_text(text, encoding="utf-8"))
        read: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return read

    def arrays(
        self,
        name: str,
        recipe: Mapping[str, Any],
        compute: Callable[[], Mapping[str, np.ndarray]],
    ) -> dict[str, np.ndarray]:
        """Arrays by name, as .npz; computed if they are not there."""
        path = self._path(name, recipe, "npz")
        if not path.is_file():
            found = dict(compute())

            def save(partial: Path) -> None:
                with partial.open("wb") as file:
                    np.savez(file, **found)  # pyright: ignore[reportArgumentType]

            self._write(path, save)
        with np.load(path, allow_pickle=False) as file:
            return {key: file[key] for key in file.files}

    def _path(self, name: str, recipe: Mapping[str, Any], suffix: str) -> Path:
        text = json.dumps(recipe, sort_keys=True)
        digest = hashlib.sha256(text.encode()).hexdigest()[:16]
        return self.directory / f"{name}-{digest}.{suffix}"

    def _write(self, path: Path, write: Callable[[Path], Any]) -> None:
        """All of the file or nothing."""
        self.directory.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(path.name + ".partial")
        write(partial)
        partial.replace(path)
