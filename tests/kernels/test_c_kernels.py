"""The C kernels alone: strict warnings, sanitizers over mutants, equal bytes on other machines."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SOURCES = sorted((ROOT / "kernels/c_v1").glob("*.c"))
FUZZER = ROOT / "tests/kernels/fuzz_huffman.c"
WARNINGS = ("-std=c11", "-Wall", "-Wextra", "-Wconversion", "-Wshadow", "-Wpedantic", "-Werror")
SANITIZERS = ("-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-g", "-O1")
EMULATED = {
    "aarch64": ("aarch64-linux-gnu-gcc", "qemu-aarch64", "gcc-aarch64-linux-gnu"),
    "armv7": ("arm-linux-gnueabihf-gcc", "qemu-arm", "gcc-arm-linux-gnueabihf"),
    "riscv64": ("riscv64-linux-gnu-gcc", "qemu-riscv64", "gcc-riscv64-linux-gnu"),
}


def compiler(name: str, package: str) -> str:
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"{name} is absent: apt install {package}")
    return found


def build(cc: str, target: Path, *flags: str) -> Path:
    command = [cc, *WARNINGS, *flags, f"-I{ROOT / 'kernels/c_v1'}", FUZZER, *SOURCES, "-o", target]
    subprocess.run(command, check=True, capture_output=True)
    return target


def fuzz(*command: str | Path, mutants: int) -> tuple[str, int]:
    """The CRC of all valid streams, and how many mutants were refused."""
    done = subprocess.run([*command, str(mutants)], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    word, crc, word2, refused = done.stdout.split()
    assert (word, word2) == ("crc", "refused")
    return crc, int(refused)


@pytest.mark.tool
@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.name)
def test_no_warning(source: Path, tmp_path: Path):
    cc = compiler("gcc", "gcc")
    subprocess.run([cc, *WARNINGS, "-O2", "-c", source, "-o", tmp_path / "o"], check=True)


@pytest.mark.tool
def test_sanitizers_accept_every_mutant(tmp_path: Path):
    cc = compiler("gcc", "gcc")
    probe = tmp_path / "probe.c"
    probe.write_text("int main(void) { return 0; }\n")
    linked = subprocess.run(
        [cc, *SANITIZERS, probe, "-o", tmp_path / "probe"], capture_output=True, check=False
    )
    if linked.returncode:
        pytest.skip("gcc has no sanitizer libraries: apt install libasan8 libubsan1")
    program = build(cc, tmp_path / "fuzz", *SANITIZERS)
    _, refused = fuzz(program, mutants=20_000)
    assert 10_000 < refused < 20_000  # most are refused; what raw blocks carry cannot be


@pytest.mark.tool
@pytest.mark.parametrize("machine", EMULATED)
def test_streams_do_not_depend_on_the_machine(machine: str, tmp_path: Path):
    cross, emulator, package = EMULATED[machine]
    here = build(compiler("gcc", "gcc"), tmp_path / "here", "-O3")
    there = build(compiler(cross, package), tmp_path / "there", "-O3", "-static")
    assert fuzz(compiler(emulator, "qemu-user"), there, mutants=2000) == fuzz(
        here, mutants=2000
    )


@pytest.mark.tool
def test_kernels_need_no_allocator_and_no_io(tmp_path: Path):
    """What the kernels take from the C library, and that they keep no state."""
    cc, nm = compiler("gcc", "gcc"), compiler("nm", "binutils")
    wanted: set[str] = set()
    for source in SOURCES:
        target = tmp_path / f"{source.stem}.o"
        command = [cc, "-std=c11", "-O2", "-fno-stack-protector", "-c", source, "-o", target]
        subprocess.run(command, check=True)
        listing = subprocess.run(
            [nm, target], check=True, capture_output=True, text=True
        ).stdout
        symbols = [line.split()[-2:] for line in listing.splitlines()]
        wanted |= {name for kind, name in symbols if kind == "U"}
        assert not [name for kind, name in symbols if kind in "DdBbC"], (
            f"state in {source.name}"
        )
    outside = {name for name in wanted if not name.startswith(("jc_", "_GLOBAL_OFFSET"))}
    assert outside <= {"memcpy", "memset", "memmove", "memcmp"}
