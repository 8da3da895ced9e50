"""Bundles: the same twice, whole or not at all, and no byte believed before it is checked."""

from __future__ import annotations

import hashlib
import json
import os
import stat
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from integer_graphs import conv1d, feeds

from joulecut.compiler import archive
from joulecut.compiler.bundle import (
    MAX_MANIFEST_BYTES,
    Bundle,
    bundle_digest,
    read_bundle,
    write_bundle,
)
from joulecut.compiler.cut import cut_at
from joulecut.compiler.errors import ConfigError, UntrustedInputError
from joulecut.compiler.graph_file import graph_from_bytes, graph_to_bytes
from joulecut.compiler.manifest import plan_fields, specs_from_fields
from joulecut.compiler.plan import partition
from joulecut.compiler.reference import run_reference

FILES = {
    "edge/model": b"\x7fELF and so on",
    "edge/model.h": b"int model(void);\n",
    "cloud/weights.bin": bytes(range(256)) * 300,
    "empty": b"",
}
FIELDS: dict[str, Any] = {"name": "amr", "tools": {"numpy": "2.0"}, "cut": ["x"], "ö": 1.5}
FORMS = ("amr.bundle", "amr.zip")


@pytest.fixture(params=FORMS)
def bundle(request: pytest.FixtureRequest, tmp_path: Path) -> Bundle:
    return write_bundle(tmp_path / request.param, FIELDS, FILES)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_bundle(tmp_path / "b", FIELDS, FILES).path


def snapshot(path: Path) -> dict[str, bytes]:
    return {
        str(file.relative_to(path)): file.read_bytes()
        for file in sorted(path.rglob("*"))
        if file.is_file()
    }


# What is written


def test_files_come_back(bundle: Bundle) -> None:
    assert set(bundle.files) == set(FILES)
    for name, data in FILES.items():
        assert bundle.open(name) == data
        assert bundle.files[name].nbytes == len(data)
        assert bundle.files[name].sha256 == hashlib.sha256(data).hexdigest()


def test_fields_come_back(bundle: Bundle) -> None:
    assert bundle.name == "amr"
    assert bundle.manifest["schema_version"] == 1
    assert {key: bundle.manifest[key] for key in FIELDS} == FIELDS
    assert read_bundle(bundle.path) == bundle


@pytest.mark.parametrize("form", FORMS)
def test_written_twice_is_written_the_same(
    form: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    first = write_bundle(tmp_path / "a" / form, FIELDS, FILES)
    monkeypatch.setattr("time.time", lambda: 2e9)
    backwards = dict(reversed(FILES.items()))
    second = write_bundle(tmp_path / "b" / form, dict(reversed(FIELDS.items())), backwards)
    assert first.digest == second.digest == bundle_digest(second.path)
    if first.path.is_dir():
        assert snapshot(first.path) == snapshot(second.path)
    else:
        assert first.path.read_bytes() == second.path.read_bytes()


def test_both_forms_have_one_digest(tmp_path: Path) -> None:
    digests = {write_bundle(tmp_path / form, FIELDS, FILES).digest for form in FORMS}
    assert len(digests) == 1
    changed = write_bundle(tmp_path / "c", FIELDS, {**FILES, "empty": b"x"})
    assert changed.digest not in digests


def test_only_programs_are_executable(bundle: Bundle, tmp_path: Path) -> None:
    unpacked = bundle.unpack(tmp_path / "unpacked")
    assert unpacked.digest == bundle.digest
    for name in FILES:
        mode = (unpacked.path / name).stat().st_mode
        assert bool(mode & stat.S_IXUSR) == (name == "edge/model")


def test_unpack_makes_directories(bundle: Bundle, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"directory must not end in \.zip"):
        bundle.unpack(tmp_path / "x.zip")


def test_zip_is_readable_by_others(tmp_path: Path) -> None:
    bundle = write_bundle(tmp_path / "amr.zip", FIELDS, FILES)
    with zipfile.ZipFile(bundle.path) as other:
        assert other.testzip() is None
        assert other.namelist() == sorted([*FILES, "manifest.json"])


def test_zip_packed_by_others_is_read(bundle: Bundle, tmp_path: Path) -> None:
    other = tmp_path / "other.zip"
    directory = bundle.unpack(tmp_path / "unpacked").path
    with zipfile.ZipFile(other, "w", zipfile.ZIP_DEFLATED) as packed:
        for file in directory.rglob("*"):
            if file.is_file():
                packed.write(file, file.relative_to(directory))
    assert read_bundle(other).digest == bundle.digest


def test_bundle_is_replaced(bundle: Bundle) -> None:
    again = write_bundle(bundle.path, {"name": "new"}, {"only": b"1"})
    assert set(again.files) == {"only"}
    assert [entry.name for entry in bundle.path.parent.iterdir()] == [bundle.path.name]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("step", ["_write_directory _write_zip", "rename"])
def test_failed_write_loses_nothing(
    form: str, step: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = write_bundle(tmp_path / form, FIELDS, FILES)

    def fail(*_: object) -> None:
        raise OSError("no space left")

    def fail_to_move_in(self: Path, target: Path) -> Path:
        if self.name == "new":
            raise OSError("no space left")
        os.rename(self, target)  # noqa: PTH104
        return target

    if step == "rename":
        monkeypatch.setattr(Path, "rename", fail_to_move_in)
    else:
        for name in step.split():
            monkeypatch.setattr(archive, name, fail)
    with pytest.raises(OSError, match="no space left"):
        write_bundle(before.path, {"name": "new"}, {"only": b"1"})
    monkeypatch.undo()
    assert read_bundle(before.path) == before
    assert [entry.name for entry in tmp_path.iterdir()] == [form]


def test_nothing_else_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "thesis.txt").write_text("years")
    (tmp_path / "a.zip").write_text("not a zip")
    (tmp_path / "link").symlink_to(tmp_path / "home")
    for name in ("home", "a.zip", "link"):
        with pytest.raises(ConfigError, match=r"must be free or hold manifest\.json"):
            write_bundle(tmp_path / name, FIELDS, FILES)
    assert (tmp_path / "home" / "thesis.txt").read_text() == "years"


def test_folder_must_exist(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"folder '.*absent' must exist to write 'b' into it"):
        write_bundle(tmp_path / "absent" / "b", FIELDS, FILES)


@pytest.mark.parametrize(
    ("fields", "files", "text"),
    [
        ({}, {}, r"manifest field 'name' must be a text, not None"),
        (
            {"name": "a", "files": {}},
            {},
            r"manifest field 'files' must be left to write_bundle",
        ),
        ({"name": "a", "x": float("nan")}, {}, r"manifest fields must be plain JSON values"),
        ({"name": "a", "x": np.int64(1)}, {}, r"manifest fields must be plain JSON values"),
        ({"name": "a"}, {"../x": b""}, r"'a': path must be relative, parts of letters"),
        ({"name": "a"}, {"/x": b""}, r"path must be relative, .* not '/x'"),
        ({"name": "a"}, {"x//y": b""}, r"path must be relative, .* not 'x//y'"),
        ({"name": "a"}, {"x\\y": b""}, r"path must be relative"),
        ({"name": "a"}, {"": b""}, r"path must be relative"),
        ({"name": "a"}, {"x" * 201: b""}, r"path must have at most 200 characters, not 201"),
        (
            {"name": "a"},
            {"X": b"", "x": b""},
            r"must differ by more than case, not 'X' and 'x'",
        ),
        ({"name": "a"}, {"x": b"", "x/y": b""}, r"must be a file or a folder, not both: 'x'"),
        ({"name": "a"}, {"manifest.json": b""}, r"manifest\.json"),
        ({"name": "a"}, {"Manifest.JSON": b""}, r"must differ by more than case"),
    ],
)
def test_what_cannot_be_a_bundle(
    fields: dict[str, Any], files: dict[str, bytes], text: str, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match=text):
        write_bundle(tmp_path / "b", fields, files)
    assert list(tmp_path.iterdir()) == []


# What is not believed


def rewrite(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Change the manifest as a forger would."""
    path = folder / "manifest.json"
    manifest = json.loads(path.read_bytes())
    change(manifest)
    path.write_text(json.dumps(manifest))


def assert_refused(path: Path, text: str) -> None:
    with pytest.raises(UntrustedInputError, match=text) as caught:
        read_bundle(path)
    assert caught.value.exit_code == 5


def test_every_changed_byte_is_seen(folder: Path) -> None:
    for name, data in FILES.items():
        for i in range(0, len(data), max(1, len(data) // 5)):
            changed = data[:i] + bytes([data[i] ^ 1]) + data[i + 1 :]
            (folder / name).write_bytes(changed)
            assert_refused(folder, f"file '{name}' must have SHA-256 .*changed or damaged")
        (folder / name).write_bytes(data)
    read_bundle(folder)


def test_zip_with_changed_bytes_is_refused(tmp_path: Path) -> None:
    path = write_bundle(tmp_path / "a.zip", FIELDS, FILES).path
    sound = path.read_bytes()
    for i in range(0, len(sound), 997):
        path.write_bytes(sound[:i] + bytes([sound[i] ^ 4]) + sound[i + 1 :])
        try:
            assert {name: read_bundle(path).open(name) for name in FILES} == FILES
        except UntrustedInputError:
            continue
    for end in range(0, len(sound), 2503):
        path.write_bytes(sound[:end])
        assert_refused(path, "must be")


def test_changed_length_is_seen(folder: Path) -> None:
    (folder / "empty").write_bytes(b"x")
    assert_refused(folder, r"file 'empty' must have 0 bytes, as manifest\.json says, not 1")


def test_missing_file_is_named(folder: Path) -> None:
    (folder / "empty").unlink()
    assert_refused(folder, r"must contain 'empty', as listed")


def test_extra_file_is_named(folder: Path) -> None:
    (folder / "edge" / "extra").write_bytes(b"")
    assert_refused(folder, r"must not contain 'edge/extra', not listed")


def test_manifest_must_be_there(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    assert_refused(tmp_path / "b", r"must contain manifest\.json")


def test_something_must_be_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"bundle must be at .* and nothing is there"):
        read_bundle(tmp_path / "b")


def test_one_file_must_be_a_zip(tmp_path: Path) -> None:
    (tmp_path / "b").write_bytes(b"hello")
    assert_refused(tmp_path / "b", r"must be a folder or a \.zip file, not another file")


def test_symbolic_link_is_refused(folder: Path) -> None:
    data = (folder / "empty").read_bytes()
    (folder.parent / "outside").write_bytes(data)
    (folder / "empty").unlink()
    (folder / "empty").symlink_to(folder.parent / "outside")
    assert_refused(folder, r"'empty' of .* must be a plain file, not a symbolic link")


def test_link_to_a_folder_is_refused(folder: Path) -> None:
    (folder / "edge").rename(folder.parent / "outside")
    (folder / "edge").symlink_to(folder.parent / "outside")
    assert_refused(folder, r"'edge' of .* must be a plain file, not a symbolic link")


def test_hard_link_is_refused(folder: Path) -> None:
    (folder.parent / "outside").hardlink_to(folder / "empty")
    assert_refused(folder, r"'empty' of .* must be a plain file, not 2 hard links")


def test_pipe_is_refused_without_waiting(folder: Path) -> None:
    (folder / "empty").unlink()
    os.mkfifo(folder / "empty")
    assert_refused(folder, r"'empty' of .* must be a plain file, not a special file")


def test_size_is_capped(bundle: Bundle) -> None:
    total = sum(map(len, FILES.values()))
    assert read_bundle(bundle.path, max_bytes=total) == bundle
    with pytest.raises(
        UntrustedInputError, match=f"must take at most {total - 1} bytes, not {total}"
    ):
        read_bundle(bundle.path, max_bytes=total - 1)


def test_manifest_is_capped(folder: Path) -> None:
    with (folder / "manifest.json").open("r+b") as file:
        file.truncate(MAX_MANIFEST_BYTES + 1)  # a hole: takes no room
    assert_refused(folder, rf"manifest\.json must have at most {MAX_MANIFEST_BYTES} bytes")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"{", "must be JSON in UTF-8"),
        (b"\xff{}", "must be JSON in UTF-8"),
        (b"[" * 100_000, "must be JSON in UTF-8"),
        (b'{"name": "a", "name": "b"}', "must be JSON in UTF-8: a key is there twice"),
        (b'{"x": NaN}', "must be JSON in UTF-8: NaN is not a number of JSON"),
        (b"[]", "must be a JSON object, not another value"),
        (b"{}", "schema_version of manifest.json must be 1, not None"),
        (b'{"schema_version": true}', "must be 1, not True"),
        (b'{"schema_version": 2}', "must be 1, not 2; read the bundle with the joulecut that"),
        (b'{"schema_version": 1}', "name in manifest.json must be a text"),
        (b'{"schema_version": 1, "name": "a"}', "files in manifest.json must be an object"),
    ],
)
def test_manifest_must_be_sound(folder: Path, text: bytes, message: str) -> None:
    (folder / "manifest.json").write_bytes(text)
    assert_refused(folder, message)


@pytest.mark.parametrize(
    "row",
    [
        None,
        {"sha256": "0" * 64},
        {"sha256": "0" * 64, "bytes": -1},
        {"sha256": "0" * 64, "bytes": True},
        {"sha256": "0" * 64, "bytes": 1.0},
        {"sha256": "A" * 64, "bytes": 0},
        {"sha256": "0" * 63, "bytes": 0},
        {"sha256": "0" * 64, "bytes": 0, "mode": 0o777},
    ],
)
def test_record_must_be_sound(folder: Path, row: object) -> None:
    rewrite(folder, lambda manifest: manifest["files"].update(empty=row))
    assert_refused(folder, r"record of file 'empty' in manifest\.json must be a sha256")


@pytest.mark.parametrize("name", ["../outside", "/etc/passwd", "a/../../outside"])
def test_listed_path_out_of_the_bundle_is_not_opened(folder: Path, name: str) -> None:
    (folder.parent / "outside").write_bytes(b"")
    digest = {"sha256": hashlib.sha256(b"").hexdigest(), "bytes": 0}
    rewrite(folder, lambda manifest: manifest["files"].update({name: digest}))
    assert_refused(folder, f"must contain '{name}', as listed")


def test_manifest_does_not_list_itself(folder: Path) -> None:
    row = {"sha256": "0" * 64, "bytes": 0}
    rewrite(folder, lambda manifest: manifest["files"].update({"manifest.json": row}))
    assert_refused(folder, r"manifest\.json must not list itself")


def hostile_zip(path: Path, members: list[tuple[str, int, bytes]]) -> Path:
    """A .zip with a manifest that agrees with its members, whatever these are."""
    files = {
        name: {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}
        for name, _, data in members
    }
    text = json.dumps({"schema_version": 1, "name": "evil", "files": files}).encode()
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as packed:
        for name, mode, data in [("manifest.json", stat.S_IFREG, text), *members]:
            info = zipfile.ZipInfo(name)
            info.compress_type = zipfile.ZIP_DEFLATED
            info.external_attr = mode << 16
            packed.writestr(info, data)
    return path


@pytest.mark.parametrize("name", ["../x", "/x", "a/../x", "a//x", "C:x", "x\ny"])
def test_zip_member_out_of_the_bundle_is_refused(tmp_path: Path, name: str) -> None:
    path = hostile_zip(tmp_path / "a.zip", [(name, stat.S_IFREG, b"")])
    assert_refused(path, "path must be relative, parts of letters")


def test_zip_link_is_refused(tmp_path: Path) -> None:
    path = hostile_zip(tmp_path / "a.zip", [("x", stat.S_IFLNK | 0o777, b"/etc/passwd")])
    assert_refused(path, r"'x' of .* must be a plain file, not a symbolic link")


def test_zip_bomb_is_refused_unread(tmp_path: Path) -> None:
    bomb = [(f"x{i}", stat.S_IFREG, bytes(2**22)) for i in range(3)]
    path = hostile_zip(tmp_path / "a.zip", bomb)
    assert path.stat().st_size < 2**15
    with pytest.raises(UntrustedInputError, match="must take at most 8388608 bytes"):
        read_bundle(path, max_bytes=2**23)


def test_zip_that_lies_about_a_size_is_not_unpacked_further(tmp_path: Path) -> None:
    path = hostile_zip(tmp_path / "a.zip", [("x", stat.S_IFREG, bytes(2**20))])
    true, lie = (n.to_bytes(4, "little") for n in (2**20, 7))
    path.write_bytes(path.read_bytes().replace(true, lie))
    assert_refused(path, r"'x' must have 1048576 bytes, as manifest\.json says, not 7")


def test_zip_member_twice_is_refused(tmp_path: Path) -> None:
    members = [("x", stat.S_IFREG, b"1"), ("x", stat.S_IFREG, b"2")]
    with pytest.warns(UserWarning, match="Duplicate name"):
        path = hostile_zip(tmp_path / "a.zip", members)
    assert_refused(path, r"file 'x' must be in .* once, not twice")


def test_too_many_files_are_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive, "MAX_FILES", 4)
    assert_refused(folder, "files must be at most 4, not 5")
    monkeypatch.setattr(archive, "MAX_FILES", 2)
    assert_refused(folder, "must have at most 2 folders")


def test_file_that_changes_after_the_check_is_seen(folder: Path) -> None:
    bundle = read_bundle(folder)
    (folder / "empty").write_bytes(b"x")
    with pytest.raises(UntrustedInputError, match="file 'empty' must have SHA-256"):
        bundle.open("empty")


def test_file_that_grows_is_not_read_further(folder: Path) -> None:
    (folder / "empty").write_bytes(bytes(2**22))
    with archive.Tree(folder) as tree:
        assert sum(map(len, tree.chunks("empty", 5))) == 6  # one more shows that it is longer


def test_unknown_file_is_named(bundle: Bundle) -> None:
    with pytest.raises(ConfigError, match=r"not 'edge'; it has cloud/weights\.bin, edge/model"):
        bundle.open("edge")


# What a split puts into it


def test_parts_in_a_bundle_run_equal(tmp_path: Path) -> None:
    graph = conv1d()
    cut = cut_at(graph, ["n5.requantize"])
    plan = partition(graph, cut)
    parts = {part.name: part for part in (plan.edge, plan.cloud)}
    targets = {"edge": "cortex-m", "cloud": "x86_64"}
    fields = {"name": "amr", **plan_fields(plan, cut, targets, {"entropy": "huffman"})}
    files = {f"{name}/graph.onnx": graph_to_bytes(part.graph) for name, part in parts.items()}
    bundle = write_bundle(tmp_path / "amr.zip", fields, files)

    described = bundle.manifest["parts"]
    assert specs_from_fields(bundle.manifest["link"]["tensors"]) == plan.link.specs
    known = feeds(graph)
    want = run_reference(graph, known)
    for name in ("edge", "cloud"):
        assert specs_from_fields(described[name]["inputs"]) == parts[name].inputs
        assert specs_from_fields(described[name]["outputs"]) == parts[name].outputs
        loaded = graph_from_bytes(bundle.open(f"{name}/graph.onnx"), name)
        made = run_reference(loaded, {s.name: known[s.name] for s in parts[name].inputs})
        known |= {s.name: array for s, array in zip(parts[name].outputs, made, strict=True)}
    np.testing.assert_array_equal(known[plan.cloud.outputs[0].name], want[0])
