"""The boards that are named: their code is for the core they have, and the core is described."""

from __future__ import annotations

import shutil
import subprocess

import pytest

from joulecut.targets.base import target
from joulecut.targets.cores import core_of

BOARDS = {
    "raspberry_pi_3": ("cortex_a53", 1.2e9),
    "raspberry_pi_4": ("cortex_a72", 1.5e9),
    "raspberry_pi_5": ("cortex_a76", 2.4e9),
    "pynq_z2": ("cortex_a9", 650e6),
    "zcu104": ("cortex_a53", 1.2e9),
    "kria_kv260": ("cortex_a53", 1.333e9),
    "visionfive_2": ("sifive_u74", 1.5e9),
}
LEVELS = ("generic_x86_64_v2", "generic_x86_64", "generic_x86_64_v4")


@pytest.mark.parametrize("name", BOARDS)
def test_a_board_has_a_clock_and_a_core(name: str) -> None:
    place = target(name)
    found = core_of(place)
    assert found is not None
    assert (found.name, place.facts["clock_hz"].value) == BOARDS[name]
    assert place.facts["l2_bytes"].value == found.l2_bytes.value


def test_a_level_has_no_clock() -> None:
    for name in LEVELS:
        assert "clock_hz" not in target(name).facts


@pytest.mark.parametrize("name", [*BOARDS, *LEVELS])
def test_the_compiler_knows_the_processor(name: str) -> None:
    place = target(name)
    gcc = next(filter(None, map(shutil.which, place.toolchain.compilers)), None)
    if gcc is None:
        pytest.skip(f"no compiler for {name} (Debian: {place.toolchain.package})")
    command = [gcc, *place.toolchain.cflags, "-fsyntax-only", "-x", "c", "-"]
    subprocess.run(command, input=b"int x;", check=True, capture_output=True)


@pytest.mark.parametrize("name", [*BOARDS, *LEVELS])
def test_the_emulator_knows_the_processor(name: str) -> None:
    emulator = target(name).emulator
    if shutil.which(emulator.program) is None:
        pytest.skip(f"{emulator.program} is not installed (Debian: qemu-user)")
    command = [emulator.program, "-cpu", "help"]  # which it ends with 1, or 0 in later versions
    listed = subprocess.run(command, check=False, capture_output=True, text=True)
    assert emulator.cpu in listed.stdout.split()
