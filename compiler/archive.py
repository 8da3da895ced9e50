"""A tree of plain files, as a directory or as one .zip: read without trust, written the same twice.

Names are relative, in a small alphabet, and differ by more than case, so that a tree means the
same on every system. Nothing is followed: no link, no `..`, no second name of a file.
"""

from __future__ import annotations

import os
import re
import shutil
import stat
import tempfile
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path, PurePosixPath

from joulecut.compiler.errors import ConfigError, UntrustedInputError
from joulecut.compiler.safe_files import safe_open_under

EXECUTABLE = "model"  # a file of this name is a program; it alone gets the executable bit
MAX_FILES = 10_000
MAX_NAME = 200

_COMPONENT = re.compile(r"[A-Za-z0-9_+@=,.-]+")
_STEP_BYTES = 2**20
_ZIP_EPOCH = (1980, 1, 1, 0, 0, 0)  # the earliest time that the format can say
_BROKEN_ZIP = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError)


def names_fault(names: Iterable[str]) -> str | None:
    """Why the names cannot be the files of one tree, or None."""
    files: dict[str, str] = {}
    folders: set[str] = set()
    for name in names:
        parts = name.split("/")
        if len(name) > MAX_NAME:
            return f"path must have at most {MAX_NAME} characters, not {len(name)}"
        if not all(_COMPONENT.fullmatch(part) and part.strip(".") for part in parts):
            return (
                f"path must be relative, parts of letters, digits and _+@=,.- joined by '/', "
                f"not {name!r}"
            )
        folded = name.lower()
        if folded in files:
            return f"paths must differ by more than case, not '{files[folded]}' and '{name}'"
        files[folded] = name
        folders.update("/".join(parts[:i]).lower() for i in range(1, len(parts)))
    if both := sorted(folders & files.keys()):
        return f"path must be a file or a folder, not both: '{files[both[0]]}'"
    if len(files) > MAX_FILES:
        return f"files must be at most {MAX_FILES}, not {len(files)}"
    return None


class Tree(AbstractContextManager["Tree"]):
    """The files of a directory or a .zip, open for reading; `sizes` looks before `chunks`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._open = ExitStack()
        self._zip: zipfile.ZipFile | None = None
        if not path.is_dir():
            try:
                self._zip = self._open.enter_context(zipfile.ZipFile(path))
            except _BROKEN_ZIP as error:
                raise UntrustedInputError(
                    f"'{path}' must be a folder or a .zip file, not another file: {error}"
                ) from error

    def __exit__(self, *_: object) -> None:
        self._open.close()

    def sizes(self) -> dict[str, int]:
        """Bytes of each file by name, as the file system or the .zip says.

        Raises:
            UntrustedInputError: something is not a plain file, or named as none may be.
        """
        found = self._zip_sizes(self._zip) if self._zip else self._directory_sizes()
        if fault := names_fault(found):
            raise UntrustedInputError(f"in '{self.path}': {fault}")
        return found

    def chunks(self, name: str, nbytes: int) -> Iterator[bytes]:
        """The file in pieces: not more than `nbytes` bytes of it and, if it has more, one.

        Raises:
            UntrustedInputError: the file cannot be read, or is not where it was.
        """
        try:
            file = self._zip.open(name) if self._zip else safe_open_under(self.path, name)
            with file:
                left = nbytes + 1
                while left and (piece := file.read(min(left, _STEP_BYTES))):
                    left -= len(piece)
                    yield piece
        except (*_BROKEN_ZIP, KeyError, OSError) as error:
            raise UntrustedInputError(
                f"file '{name}' of '{self.path}' must be readable: {error}"
            ) from error

    def _directory_sizes(self) -> dict[str, int]:
        found: dict[str, int] = {}
        folders = [""]
        seen = 0
        while folders:
            folder, seen = folders.pop(), seen + 1
            if seen > MAX_FILES:
                raise UntrustedInputError(
                    f"'{self.path}' must have at most {MAX_FILES} folders"
                )
            with os.scandir(self.path / folder) as entries:
                for entry in entries:
                    status = entry.stat(follow_symlinks=False)
                    name = f"{folder}{entry.name}"
                    if stat.S_ISDIR(status.st_mode):
                        folders.append(f"{name}/")
                        continue
                    self._require_plain(name, status.st_mode, status.st_nlink)
                    found[name] = status.st_size
        return found

    def _zip_sizes(self, archive: zipfile.ZipFile) -> dict[str, int]:
        found: dict[str, int] = {}
        for info in archive.infolist():
            if info.filename in found:
                raise UntrustedInputError(
                    f"file '{info.filename}' must be in '{self.path}' once, not twice"
                )
            # Zip files made elsewhere may leave the mode out, which means a plain file.
            self._require_plain(info.filename, info.external_attr >> 16 or stat.S_IFREG, 1)
            found[info.filename] = info.file_size
        return found

    def _require_plain(self, name: str, mode: int, link_count: int) -> None:
        if not stat.S_ISREG(mode) or link_count != 1:
            what = {stat.S_IFLNK: "a symbolic link", stat.S_IFREG: f"{link_count} hard links"}
            raise UntrustedInputError(
                f"'{name}' of '{self.path}' must be a plain file, not "
                f"{what.get(stat.S_IFMT(mode), 'a special file')}"
            )


def write_tree(path: Path, files: Mapping[str, bytes], marker: str) -> None:
    """Write a tree, whole or not at all.

    Args:
        path: a directory, or one file if it ends in .zip.
        files: contents by name.
        marker: what is at `path` is replaced only if it is a tree with a file of this name.

    Raises:
        ConfigError: something else is at `path`, or its folder does not exist.
    """
    if not path.parent.is_dir():
        raise ConfigError(f"folder '{path.parent}' must exist to write '{path.name}' into it")
    if path.is_symlink() or (path.exists() and not _has(path, marker)):
        raise ConfigError(
            f"'{path}' must be free or hold {marker}, not something else; choose another path"
        )
    scratch = Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent))
    fresh, old = scratch / "new", scratch / "old"
    try:
        (_write_zip if path.suffix == ".zip" else _write_directory)(fresh, files)
        if path.exists():
            path.rename(old)
        fresh.rename(path)
    except BaseException:
        if old.exists() and not path.exists():
            old.rename(path)
        raise
    finally:
        if path.exists() or not old.exists():
            shutil.rmtree(scratch, ignore_errors=True)


def _has(path: Path, marker: str) -> bool:
    if path.is_dir():
        return (path / marker).is_file() or not any(path.iterdir())
    if not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as archive:
        return marker in archive.namelist()


def _mode(name: str) -> int:
    return 0o755 if PurePosixPath(name).name == EXECUTABLE else 0o644


def _write_directory(path: Path, files: Mapping[str, bytes]) -> None:
    path.mkdir()
    for name, data in files.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(data)
        (path / name).chmod(_mode(name))


def _write_zip(path: Path, files: Mapping[str, bytes]) -> None:
    """Stored, not deflated: what a compressor writes depends on its version."""
    with zipfile.ZipFile(path, "x", zipfile.ZIP_STORED) as archive:
        for name in sorted(files):
            info = zipfile.ZipInfo(name, _ZIP_EPOCH)
            info.create_system = 3  # Unix: the mode below counts, wherever this runs
            info.external_attr = (stat.S_IFREG | _mode(name)) << 16
            archive.writestr(info, files[name])
