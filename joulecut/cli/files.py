"""Files of the codec verbs: read with limits, written whole or not at all."""

from __future__ import annotations

import io
import os
import secrets
from pathlib import Path

import numpy as np

from joulecut.compiler.errors import ConfigError


def read_array(path: Path) -> np.ndarray:
    """The array of a .npy file; nothing in it is run.

    Raises:
        ConfigError: the file is not there, or holds no array of plain numbers.
    """
    try:
        with path.open("rb") as file:
            return np.lib.format.read_array(file, allow_pickle=False)
    except (OSError, ValueError, EOFError, MemoryError) as error:
        raise ConfigError(f"tensor must be a .npy array, not '{path}': {error}") from error


def read_bytes(path: Path) -> bytes:
    """The bytes of a file; raises ConfigError if it cannot be read."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise ConfigError(
            f"coded tensor must be a readable file, not '{path}': {error.strerror}"
        ) from error


def require_other(out: Path, source: Path) -> None:
    """Refuse to write over what was read."""
    if out.exists() and out.samefile(source):
        raise ConfigError(f"output must be another file than the input '{source}'")


def npy_bytes(array: np.ndarray) -> bytes:
    """The array as a .npy file."""
    buffer = io.BytesIO()
    np.lib.format.write_array(buffer, array, allow_pickle=False)
    return buffer.getvalue()


def write_whole(path: Path, data: bytes) -> None:
    """Put `data` at `path`: in a file of its own beside it first, then by renaming.

    Raises:
        ConfigError: the folder is not there or not writable, or a folder is at `path`.
    """
    scratch = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        descriptor = os.open(
            scratch, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666
        )
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
        scratch.replace(path)
    except OSError as error:
        raise ConfigError(
            f"'{path}' must be a file that can be written: {error.strerror}"
        ) from error
    finally:
        scratch.unlink(missing_ok=True)
