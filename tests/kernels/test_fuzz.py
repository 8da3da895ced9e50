"""A slice of fuzzing at every run, guard pages, and hostile inputs on 32-bit machines."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FUZZ = ROOT / "tests/fuzz"
KERNELS = ROOT / "kernels/c"
CORPUS = {
    target: sorted((FUZZ / "corpus" / target).glob("*")) for target in ("decode", "round_trip")
}
FLAGS = ("-std=c11", "-ffp-contract=off", f"-I{KERNELS}")
NO_CHECKSUMS = "-DFUZZING_BUILD_MODE_UNSAFE_FOR_PRODUCTION"
SANITIZERS = ("-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-g", "-O1")
EMULATED = {
    "aarch64": ("aarch64-linux-gnu-gcc", "qemu-aarch64", "gcc-aarch64-linux-gnu"),
    "armv7": ("arm-linux-gnueabihf-gcc", "qemu-arm", "gcc-arm-linux-gnueabihf"),
    "riscv64": ("riscv64-linux-gnu-gcc", "qemu-riscv64", "gcc-riscv64-linux-gnu"),
}


def tool(name: str, package: str) -> str:
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"{name} is absent: apt install {package}")
    return found


def build(cc: str, target: str, program: Path, *flags: str) -> Path:
    sources = [FUZZ / f"{target}.c", FUZZ / "replay.c", *sorted(KERNELS.glob("*.c"))]
    command = [cc, *FLAGS, *flags, NO_CHECKSUMS, *map(str, sources), "-lm", "-o", str(program)]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return program


def replay(command: list[str], target: str, mutants: int) -> None:
    files = [str(path) for path in CORPUS[target]]
    assert files
    done = subprocess.run(
        [*command, str(mutants), *files], check=False, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert int(done.stdout.removeprefix("runs ")) > len(files) * mutants


@pytest.mark.tool
def test_thirty_seconds_of_libfuzzer_find_nothing(tmp_path: Path):
    tool("clang", "clang")
    command = [sys.executable, ROOT / "scripts/fuzz.py", "--seconds", "15", "--out", tmp_path]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("nothing found") == len(CORPUS)


@pytest.mark.tool
@pytest.mark.parametrize("target", CORPUS)
def test_gcc_sanitizers_accept_mutants_of_the_corpus(target: str, tmp_path: Path):
    gcc = tool("gcc", "gcc")
    probe = tmp_path / "probe.c"
    probe.write_text("int main(void) { return 0; }\n")
    linked = subprocess.run(
        [gcc, *SANITIZERS, probe, "-o", tmp_path / "probe"], capture_output=True, check=False
    )
    if linked.returncode:
        pytest.skip("gcc has no sanitizer libraries: apt install libasan8 libubsan1")
    program = build(gcc, target, tmp_path / "replay", *SANITIZERS)
    replay([str(program)], target, mutants=20)


@pytest.mark.tool
@pytest.mark.parametrize("target", CORPUS)
def test_nothing_touches_the_page_behind_its_buffer(target: str, tmp_path: Path):
    """As shipped: full optimization and vector code, which sanitizers change."""
    flags = ("-O3", "-D_GNU_SOURCE", "-DGUARD_PAGES")
    program = build(tool("gcc", "gcc"), target, tmp_path / "replay", *flags)
    replay([str(program)], target, mutants=50)


@pytest.mark.tool
@pytest.mark.parametrize("machine", EMULATED)
@pytest.mark.parametrize("target", CORPUS)
def test_other_machines_survive_mutants(machine: str, target: str, tmp_path: Path):
    cross, emulator, package = EMULATED[machine]
    program = build(tool(cross, package), target, tmp_path / "replay", "-O2", "-static")
    replay([tool(emulator, "qemu-user"), str(program)], target, mutants=5)
