"""Open a file that an untrusted file names, and no other file.

A model may keep weights in files beside it and names them by relative path. The history of ONNX
(`..`, `a/../b`, symbolic links, hard links, a link planted between check and use) says: walk
down one folder at a time from an open folder, follow nothing, and look at what was opened
rather than at what the path said.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import BinaryIO

from joulecut.compiler.errors import UntrustedInputError

_NO_LINK = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC
_NO_WAIT = os.O_NONBLOCK  # opening a named pipe must not wait for its writer


def safe_open_under(directory: Path, relative: str) -> BinaryIO:
    """Open `directory/relative` for reading if it is a plain file that lies there itself.

    Args:
        directory: a folder that the caller trusts.
        relative: an untrusted path, parts separated by `/`.

    Returns:
        The open file.

    Raises:
        UntrustedInputError: the path leaves the folder, meets a link, or is not a plain file.
    """
    parts = _parts(relative)
    folder = os.open(directory.resolve(), _NO_LINK | os.O_DIRECTORY)
    try:
        for part in parts[:-1]:
            inner = os.open(part, _NO_LINK | os.O_DIRECTORY, dir_fd=folder)
            os.close(folder)
            folder = inner
        descriptor = os.open(parts[-1], _NO_LINK | _NO_WAIT, dir_fd=folder)
    except OSError as error:
        raise UntrustedInputError(
            f"external file '{relative}' must be a plain file under the model's folder, "
            f"reached without links, not: {error.strerror}"
        ) from error
    finally:
        os.close(folder)
    found = os.fstat(descriptor)
    if not stat.S_ISREG(found.st_mode):
        os.close(descriptor)
        raise UntrustedInputError(
            f"external file '{relative}' must be a plain file, not a folder, pipe or device"
        )
    if found.st_nlink != 1:
        os.close(descriptor)
        raise UntrustedInputError(
            f"external file '{relative}' must have one name, not {found.st_nlink} hard links; "
            "copy it into the model's folder"
        )
    return os.fdopen(descriptor, "rb")


def _parts(relative: str) -> tuple[str, ...]:
    """The folders and the file of a path that stays below its start."""
    path = PurePosixPath(relative)
    windows = PureWindowsPath(relative)
    if path.is_absolute() or windows.drive or windows.root:
        raise UntrustedInputError(
            f"external file '{relative}' must be relative to the model, not absolute"
        )
    if "\\" in relative or "\0" in relative or not path.parts:
        raise UntrustedInputError(f"external file {relative!r} must be a path with / only")
    if ".." in path.parts:
        raise UntrustedInputError(
            f"external file '{relative}' must stay in the model's folder, not climb with '..'"
        )
    return path.parts
