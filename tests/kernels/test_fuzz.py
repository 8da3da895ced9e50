"""A slice of fuzzing at every run, guard pages, and hostile inputs on 32-bit machines."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from cross_tools import EMULATED, tool

ROOT = Path(__file__).resolve().parents[2]
FUZZ = ROOT / "tests/fuzz"
KERNELS = ROOT / "kernels/c"
CORPUS = {
    target: sorted((FUZZ / "corpus" / target).glob("*"))
    for target in ("decode", "round_trip", "select")
}
FLAGS = ("-std=c11", "-ffp-contract=off", f"-I{KERNELS}")
FEW = 5  # mutants of each input
NO_CHECKSUMS = "-DFUZZING_BUILD_MODE_UNSAFE_FOR_PRODUCTION"
SANITIZERS = ("-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-g", "-O1")


def build(cc: str, target: str, program: Path, *flags: str) -> Path:
    sources = [FUZZ / f"{target}.c", FUZZ / "replay.c", *sorted(KERNELS.glob("*.c"))]
    command = [cc, *FLAGS, *flags, NO_CHECKSUMS, *map(str, sources), "-lm", "-o", str(program)]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return program


def replay(command: list[str], target: str, mutants: int) -> str:
    """Run the corpus and mutants of it; returns the checksum of all that came of them."""
    files = [str(path) for path in CORPUS[target]]
    assert files
    done = subprocess.run(
        [*command, str(mutants), *files], check=False, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    _, runs, _, checksum = done.stdout.split()
    assert int(runs) > len(files) * mutants
    return checksum


@pytest.fixture(scope="module")
def made_here(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """By target, the checksum of this machine's program with a few mutants."""
    folder = tmp_path_factory.mktemp("here")
    programs = {target: build(tool("gcc"), target, folder / target, "-O2") for target in CORPUS}
    return {name: replay([str(each)], name, FEW) for name, each in programs.items()}


@pytest.mark.tool
def test_thirty_seconds_of_libfuzzer_find_nothing(tmp_path: Path):
    tool("clang")
    command = [sys.executable, ROOT / "scripts/fuzz.py", "--seconds", "15", "--out", tmp_path]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("nothing found") == len(CORPUS)


@pytest.mark.tool
@pytest.mark.parametrize("target", CORPUS)
def test_gcc_sanitizers_accept_mutants_of_the_corpus(
    target: str, tmp_path: Path, made_here: dict[str, str]
):
    gcc = tool("gcc")
    probe = tmp_path / "probe.c"
    probe.write_text("int main(void) { return 0; }\n")
    linked = subprocess.run(
        [gcc, *SANITIZERS, probe, "-o", tmp_path / "probe"], capture_output=True, check=False
    )
    if linked.returncode:
        pytest.skip("gcc has no sanitizer libraries: apt install libasan8 libubsan1")
    program = build(gcc, target, tmp_path / "replay", *SANITIZERS)
    assert replay([str(program)], target, FEW) == made_here[target]


@pytest.mark.tool
@pytest.mark.parametrize("target", CORPUS)
def test_nothing_touches_the_page_behind_its_buffer(
    target: str, tmp_path: Path, made_here: dict[str, str]
):
    """As shipped: full optimization and vector code, which sanitizers change."""
    flags = ("-O3", "-D_GNU_SOURCE", "-DGUARD_PAGES")
    program = build(tool("gcc"), target, tmp_path / "replay", *flags)
    assert replay([str(program)], target, FEW) == made_here[target]
    replay([str(program)], target, mutants=50)  # a touch ends the program


@pytest.mark.tool
@pytest.mark.parametrize("machine", EMULATED)
@pytest.mark.parametrize("target", CORPUS)
def test_other_machines_make_the_same_of_mutants(
    machine: str, target: str, tmp_path: Path, made_here: dict[str, str]
):
    other = EMULATED[machine]
    program = build(other.compiler(), target, tmp_path / "replay", "-O2", *other.flags)
    assert replay([other.runner(), str(program)], target, FEW) == made_here[target]
