"""Dead zone and trellis values are the same on every machine and by every compiler."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from c_library import C_FOLDER, FLAGS
from cross_tools import EMULATED, tool

SOURCES = ("cpu_features.c", "dead_zone.c", "trellis_tables.c", "trellis_values.c")
CHECKSUMS = Path(__file__).with_name("values_checksums.c")


def checksums(folder: Path, cc: str, *flags: str, run: tuple[str, ...] = ()) -> list[str]:
    """What the program prints, built by one compiler."""
    sources = [C_FOLDER / name for name in SOURCES]
    target = folder / "checksums"
    command = [cc, *FLAGS, *flags, f"-I{C_FOLDER}", CHECKSUMS, *sources, "-o", target]
    subprocess.run(command, check=True, capture_output=True)
    done = subprocess.run([*run, target], check=True, capture_output=True, text=True)
    return done.stdout.split()


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """What gcc's program prints on this machine."""
    wanted = checksums(tmp_path_factory.mktemp("here"), tool("gcc"))
    assert len(wanted) == 60
    return wanted


@pytest.mark.tool
def test_no_form_differs(here: list[str], tmp_path: Path):
    assert checksums(tmp_path, "gcc", "-O1", "-DJC_SCALAR") == here


@pytest.mark.tool
def test_compilers_agree(here: list[str], tmp_path: Path):
    assert checksums(tmp_path, tool("clang")) == here


@pytest.mark.tool
@pytest.mark.parametrize("machine", EMULATED)
def test_machines_agree(machine: str, here: list[str], tmp_path: Path):
    other = EMULATED[machine]
    made = checksums(tmp_path, other.compiler(), *other.flags, run=(other.runner(),))
    assert made == here
