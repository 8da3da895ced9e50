"""Arrays of samples that are read one sample at a time, from memory or from a .npz file.

A calibration set may be larger than memory. A member of a .npz archive is a stream: it is read
from its start as often as it is needed, and only one sample of it is held.
"""

from __future__ import annotations

import math
import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Protocol, cast

import numpy as np

from joulecut.compiler.errors import ConfigError

UNNAMED = "arr_0"  # what numpy.savez calls an array without a name


class Source(Protocol):
    """N samples of one thing."""

    @property
    def shape(self) -> tuple[int, ...]:
        """[N, ...]."""
        ...

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of every sample."""
        ...

    def rows(self, chosen: Sequence[int]) -> Iterator[np.ndarray]:
        """The samples with these indices, which rise, as [1, ...] each."""
        ...


@dataclass(frozen=True, eq=False)
class Held:
    """An array in memory, or one that numpy maps into it."""

    array: np.ndarray

    @property
    def shape(self) -> tuple[int, ...]:
        """[N, ...]."""
        return self.array.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of every sample."""
        return self.array.dtype

    def rows(self, chosen: Sequence[int]) -> Iterator[np.ndarray]:
        """The samples with these indices."""
        for index in chosen:
            yield np.ascontiguousarray(self.array[index : index + 1])


@dataclass(frozen=True)
class Streamed:
    """A member of a .npz file, in C order.

    Attributes:
        path: of the archive.
        member: its name in the archive.
        shape: [N, ...], as the member's header says.
        dtype: as the header says.
    """

    path: Path
    member: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    def rows(self, chosen: Sequence[int]) -> Iterator[np.ndarray]:
        """The samples with these indices; those between them are read past."""
        row = (1, *self.shape[1:])
        nbytes = math.prod(row) * self.dtype.itemsize
        following = 0
        with zipfile.ZipFile(self.path) as archive, archive.open(self.member) as file:
            _header(file)
            for index in chosen:
                for _ in range(following, index):
                    self._read(file, nbytes)
                yield np.frombuffer(self._read(file, nbytes), self.dtype).reshape(row)
                following = index + 1

    def _read(self, file: IO[bytes], nbytes: int) -> bytes:
        try:
            data = file.read(nbytes)
        except (OSError, EOFError, zipfile.BadZipFile, zlib.error) as error:
            raise ConfigError(
                f"'{self.member}' in '{self.path}' must be readable, and is damaged: {error}"
            ) from error
        if len(data) < nbytes:
            raise ConfigError(
                f"'{self.member}' in '{self.path}' must hold {list(self.shape)}, and ends early"
            )
        return data


def open_arrays(path: Path) -> dict[str, Source]:
    """The arrays of a .npz or .npy file by name; nothing in it is run.

    Raises:
        ConfigError: the file is not there, or holds something else.
    """
    if not path.is_file():
        raise ConfigError(f"samples must be a .npz or .npy file, and '{path}' is none")
    try:
        if not zipfile.is_zipfile(path):
            return {UNNAMED: Held(np.load(path, mmap_mode="r", allow_pickle=False))}
        with zipfile.ZipFile(path) as archive:
            return {
                info.filename.removesuffix(".npy"): _member(path, archive, info.filename)
                for info in archive.infolist()
            }
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise ConfigError(
            f"samples must be arrays of numbers in a .npz or .npy file, not '{path}': {error}"
        ) from error


def held_arrays(data: object) -> dict[str, Source]:
    """Arrays of Python: a mapping by name, or one array.

    Raises:
        ConfigError: it is neither.
    """
    if isinstance(data, Mapping):
        named = cast("Mapping[object, object]", data)
        return {str(name): _held(value, str(name)) for name, value in named.items()}
    return {UNNAMED: _held(data, UNNAMED)}


def _held(value: object, name: str) -> Held:
    array = np.asarray(value)
    if array.dtype.hasobject or not array.ndim:
        raise ConfigError(
            f"samples '{name}' must be an array [N, ...], not {type(value).__name__}; "
            "stack the samples with numpy.stack"
        )
    return Held(array)


def _member(path: Path, archive: zipfile.ZipFile, member: str) -> Source:
    with archive.open(member) as file:
        shape, is_fortran, dtype = _header(file)
        if dtype.hasobject:
            raise ValueError(f"'{member}' holds Python objects")
        if is_fortran and len(shape) > 1:  # its samples do not lie one after the other
            file.seek(0)
            return Held(np.lib.format.read_array(file, allow_pickle=False))
    return Streamed(path, member, shape, dtype)


def _header(file: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """Shape, whether in Fortran order, and type; the file is at its numbers then."""
    version = np.lib.format.read_magic(file)
    read = {
        (1, 0): np.lib.format.read_array_header_1_0,
        (2, 0): np.lib.format.read_array_header_2_0,
    }.get(version)
    if read is None:
        raise ValueError(f"version {version} of the .npy format holds no plain numbers")
    return read(file)
