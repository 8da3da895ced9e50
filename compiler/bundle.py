"""Bundle: everything that a split needs, in one directory or one file, with a hash of each file.

`manifest.json` names every file with its length and SHA-256, and a bundle holds these files and
no other. Nothing in it depends on the time or the machine, so what is built twice is written
twice the same. Reading checks all of it before anything of it is used: a bundle travels.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from joulecut.compiler.archive import Tree, names_fault, write_tree
from joulecut.compiler.errors import ConfigError, UntrustedInputError

SCHEMA_VERSION = 1
MANIFEST = "manifest.json"
MAX_BYTES = 2**30
MAX_MANIFEST_BYTES = 2**24

_DIGEST = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class FileRecord:
    """What the manifest says about a file.

    Attributes:
        sha256: hexadecimal.
        nbytes: length.
    """

    sha256: str
    nbytes: int


@dataclass(frozen=True)
class Bundle:
    """A bundle on disk whose every byte was checked; `write_bundle` and `read_bundle` make it.

    Attributes:
        path: a directory, or one .zip file.
        manifest: the whole of manifest.json; parts, link and cut as compiler/manifest.py says.
        files: for each file but the manifest its record, by relative path with `/`.
        digest: SHA-256 of the manifest, and so of everything; a directory and a .zip of the
            same files have the same.
    """

    path: Path
    manifest: Mapping[str, Any]
    files: Mapping[str, FileRecord]
    digest: str

    @property
    def name(self) -> str:
        """The name that its maker gave it."""
        return self.manifest["name"]

    def open(self, name: str) -> bytes:
        """The bytes of a file, checked against its hash once more.

        Raises:
            ConfigError: the bundle has no such file.
            UntrustedInputError: the file changed since the bundle was read.
        """
        if name not in self.files:
            raise ConfigError(
                f"file must be one of bundle '{self.path}', not '{name}'; "
                f"it has {', '.join(sorted(self.files))}"
            )
        with Tree(self.path) as tree:
            data = b"".join(tree.chunks(name, self.files[name].nbytes))
        _check_digest(name, self.files[name], len(data), hashlib.sha256(data).hexdigest())
        return data

    def unpack(self, directory: Path) -> Bundle:
        """Write the bundle as a directory, where its programs can be run.

        Args:
            directory: free, or a bundle, which is replaced.

        Raises:
            ConfigError: the path is not free, or names a .zip.
        """
        if directory.suffix == ".zip":
            raise ConfigError(f"directory must not end in .zip, not '{directory}'")
        fields = {k: v for k, v in self.manifest.items() if k not in _ADDED}
        return write_bundle(directory, fields, {name: self.open(name) for name in self.files})


_ADDED = ("schema_version", "files")


def write_bundle(
    path: Path, manifest_fields: Mapping[str, Any], files: Mapping[str, bytes]
) -> Bundle:
    """Write a bundle, whole or not at all; the same arguments give the same bytes.

    Args:
        path: a directory, or a file if it ends in .zip; a bundle that is there is replaced.
        manifest_fields: `name` and whatever else the manifest should say, as plain values.
        files: contents by relative path with `/`. A file `model` gets the executable bit.

    Raises:
        ConfigError: the arguments do not make a bundle, or something else is at `path`.
    """
    path = Path(path)
    text = _manifest_bytes(manifest_fields, files)
    write_tree(path, {MANIFEST: text, **files}, MANIFEST)
    return read_bundle(path)


def read_bundle(path: Path, *, max_bytes: int = MAX_BYTES) -> Bundle:
    """Open a bundle after checking that it holds what its manifest says, and nothing else.

    Args:
        path: a directory or a .zip file.
        max_bytes: what all files together may take, unpacked.

    Raises:
        ConfigError: there is nothing at `path`.
        UntrustedInputError: a file is missing, not listed, a link, too large or changed.
    """
    path = Path(path)
    if not path.exists():
        raise ConfigError(f"bundle must be at '{path}', and nothing is there")
    with Tree(path) as tree:
        found = tree.sizes()
        if MANIFEST not in found:
            raise UntrustedInputError(f"bundle '{path}' must contain {MANIFEST}")
        text = b"".join(tree.chunks(MANIFEST, MAX_MANIFEST_BYTES))
        manifest, records = _parse(text)
        _check_members(path, found, records, max_bytes)
        for name, record in records.items():
            digest, nbytes = hashlib.sha256(), 0
            for piece in tree.chunks(name, record.nbytes):
                digest.update(piece)
                nbytes += len(piece)
            _check_digest(name, record, nbytes, digest.hexdigest())
    return Bundle(path, manifest, records, hashlib.sha256(text).hexdigest())


def bundle_digest(path: Path) -> str:
    """SHA-256 that stands for all of a bundle, which is checked first; see `Bundle.digest`."""
    return read_bundle(path).digest


def _manifest_bytes(fields: Mapping[str, Any], files: Mapping[str, bytes]) -> bytes:
    """manifest.json: sorted keys, one entry a line, the same for the same arguments.

    Raises:
        ConfigError: a field or a file cannot be in a bundle.
    """
    if taken := sorted(set(_ADDED) & set(fields)):
        raise ConfigError(f"manifest field '{taken[0]}' must be left to write_bundle")
    if not isinstance(fields.get("name"), str) or not fields["name"]:
        raise ConfigError(f"manifest field 'name' must be a text, not {fields.get('name')!r}")
    if fault := names_fault([MANIFEST, *files]):
        raise ConfigError(f"bundle '{fields['name']}': {fault}")
    total_bytes = sum(map(len, files.values()))
    if total_bytes > MAX_BYTES:
        raise ConfigError(f"bundle must take at most {MAX_BYTES} bytes, not {total_bytes}")
    records = {
        name: {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}
        for name, data in files.items()
    }
    whole = {**fields, "schema_version": SCHEMA_VERSION, "files": records}
    try:
        text = json.dumps(whole, sort_keys=True, indent=1, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise ConfigError(f"manifest fields must be plain JSON values: {error}") from error
    return f"{text}\n".encode()


def _parse(text: bytes) -> tuple[dict[str, Any], dict[str, FileRecord]]:
    """The manifest and its records from untrusted bytes."""
    if len(text) > MAX_MANIFEST_BYTES:
        raise UntrustedInputError(f"{MANIFEST} must have at most {MAX_MANIFEST_BYTES} bytes")
    try:
        manifest = json.loads(
            text.decode("utf-8"), object_pairs_hook=_unique, parse_constant=_no_constant
        )
    except (ValueError, RecursionError) as error:
        raise UntrustedInputError(f"{MANIFEST} must be JSON in UTF-8: {error}") from error
    if not isinstance(manifest, dict):
        raise UntrustedInputError(f"{MANIFEST} must be a JSON object, not another value")
    fields: dict[str, Any] = manifest  # pyright: ignore[reportUnknownVariableType]
    version = fields.get("schema_version")
    if type(version) is not int or version != SCHEMA_VERSION:
        raise UntrustedInputError(
            f"schema_version of {MANIFEST} must be {SCHEMA_VERSION}, not {version!r}; "
            f"read the bundle with the joulecut that wrote it"
        )
    if not isinstance(fields.get("name"), str):
        raise UntrustedInputError(f"name in {MANIFEST} must be a text, not absent")
    rows = fields.get("files")
    if not isinstance(rows, dict):
        raise UntrustedInputError(f"files in {MANIFEST} must be an object, not absent")
    named: dict[str, Any] = rows  # pyright: ignore[reportUnknownVariableType]
    return fields, {name: _record(name, row) for name, row in named.items()}


def _record(name: str, row: Any) -> FileRecord:
    match row:
        case {"sha256": str(digest), "bytes": int(nbytes)} if (
            len(row) == 2
            and _DIGEST.fullmatch(digest)
            and nbytes >= 0
            and not isinstance(nbytes, bool)
        ):
            return FileRecord(digest, nbytes)
        case _:
            raise UntrustedInputError(
                f"record of file {name!r} in {MANIFEST} must be a sha256 of 64 hexadecimal "
                f"digits and a number of bytes"
            )


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise ValueError("a key is there twice")
    return fields


def _no_constant(text: str) -> None:
    raise ValueError(f"{text} is not a number of JSON")


def _check_members(
    path: Path, found: Mapping[str, int], records: Mapping[str, FileRecord], max_bytes: int
) -> None:
    """The files that are there are the files that are listed, and have the listed sizes."""
    if MANIFEST in records:
        raise UntrustedInputError(f"{MANIFEST} must not list itself")
    if missing := sorted(records.keys() - found.keys()):
        raise UntrustedInputError(f"bundle '{path}' must contain '{missing[0]}', as listed")
    if extra := sorted(found.keys() - records.keys() - {MANIFEST}):
        raise UntrustedInputError(f"bundle '{path}' must not contain '{extra[0]}', not listed")
    for name, record in records.items():
        if found[name] != record.nbytes:
            raise UntrustedInputError(
                f"file '{name}' must have {record.nbytes} bytes, as {MANIFEST} says, "
                f"not {found[name]}"
            )
    total_bytes = sum(record.nbytes for record in records.values())
    if total_bytes > max_bytes:
        raise UntrustedInputError(
            f"bundle '{path}' must take at most {max_bytes} bytes, not {total_bytes}; "
            f"raise max_bytes if you trust it"
        )


def _check_digest(name: str, record: FileRecord, nbytes: int, digest: str) -> None:
    if (nbytes, digest) != (record.nbytes, record.sha256):
        raise UntrustedInputError(
            f"file '{name}' must have SHA-256 {record.sha256}, as {MANIFEST} says, not {digest}; "
            f"it was changed or damaged"
        )
