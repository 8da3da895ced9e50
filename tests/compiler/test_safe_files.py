"""Files that a model names: nothing outside of its folder, nothing through a link."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from joulecut.compiler.errors import UntrustedInputError
from joulecut.compiler.safe_files import safe_open_under


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "secret").write_bytes(b"secret")
    inner = tmp_path / "model"
    (inner / "weights").mkdir(parents=True)
    (inner / "weights" / "w.bin").write_bytes(b"weights")
    return inner


def test_a_plain_file_below_is_opened(folder: Path):
    with safe_open_under(folder, "weights/w.bin") as file:
        assert file.read() == b"weights"
    with safe_open_under(folder, "./weights/./w.bin") as file:
        assert file.read() == b"weights"


@pytest.mark.parametrize(
    ("relative", "message"),
    [
        ("../secret", "must stay in the model's folder, not climb"),
        ("weights/../../secret", "must stay in the model's folder, not climb"),
        ("/etc/passwd", "must be relative to the model, not absolute"),
        ("C:/secret", "must be relative to the model, not absolute"),
        ("\\\\host\\secret", "must be relative to the model, not absolute"),
        ("..\\secret", "must be a path with / only"),
        ("weights\0/w.bin", "must be a path with / only"),
        ("", "must be a path with / only"),
        ("weights/none.bin", "must be a plain file under the model's folder"),
        ("weights", "must be a plain file, not a folder, pipe or device"),
    ],
)
def test_other_paths_are_refused(relative: str, message: str, folder: Path):
    with pytest.raises(UntrustedInputError, match=message):
        safe_open_under(folder, relative)


def test_a_symbolic_link_is_refused(folder: Path):
    (folder / "link").symlink_to(folder.parent / "secret")
    with pytest.raises(UntrustedInputError, match="reached without links"):
        safe_open_under(folder, "link")


def test_a_linked_folder_on_the_way_is_refused(folder: Path):
    (folder / "out").symlink_to(folder.parent)
    with pytest.raises(UntrustedInputError, match="reached without links"):
        safe_open_under(folder, "out/secret")


def test_a_hard_link_is_refused(folder: Path):
    os.link(folder.parent / "secret", folder / "hard")
    with pytest.raises(UntrustedInputError, match="must have one name, not 2 hard links"):
        safe_open_under(folder, "hard")


def test_a_pipe_is_refused_without_waiting_for_its_writer(folder: Path):
    os.mkfifo(folder / "pipe")
    with pytest.raises(UntrustedInputError, match="not a folder, pipe or device"):
        safe_open_under(folder, "pipe")


def test_no_descriptor_is_left_open(folder: Path):
    before = len(list(Path("/proc/self/fd").iterdir()))
    for relative in ("weights", "weights/none.bin", "none/w.bin"):
        with pytest.raises(UntrustedInputError):
            safe_open_under(folder, relative)
    assert len(list(Path("/proc/self/fd").iterdir())) == before
