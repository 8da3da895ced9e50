"""Samples from .npy files, matched to the inputs of a bundle."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from joulecut.compiler.errors import ConfigError

if TYPE_CHECKING:
    from joulecut.compiler.bundle import Bundle


def read_samples(bundle: Bundle, paths: Sequence[Path]) -> dict[str, np.ndarray] | None:
    """One .npy file [N, ...] for each input of the bundle's network, in order; None for none.

    Raises:
        ConfigError: the number of files is not that of the inputs, or one is not an array.
    """
    if not paths:
        return None
    from joulecut.compiler.graph import input_specs
    from joulecut.targets import layout

    names = [spec.name for spec in input_specs(layout.read_graph(bundle, layout.WHOLE))]
    if len(paths) != len(names):
        raise ConfigError(
            f"--input must be given once for each of the inputs {names}, not {len(paths)} times"
        )
    return {name: _read(path) for name, path in zip(names, paths, strict=True)}


def _read(path: Path) -> np.ndarray:
    try:
        return np.load(path, allow_pickle=False)
    except (OSError, ValueError) as error:
        raise ConfigError(f"samples must be a .npy array, not '{path}': {error}") from error
