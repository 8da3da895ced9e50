"""Innermost loops are found, their products counted, and llvm-mca agrees with known rates."""

from __future__ import annotations

import importlib
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from joulecut.compiler.errors import DeviceError

SCRIPTS = Path(__file__).resolve().parents[2] / "scripts"

NEEDS_LLVM = pytest.mark.skipif(
    not (shutil.which("llvm-mca-19") and shutil.which("aarch64-linux-gnu-gcc")),
    reason="install Debian's llvm-19 and gcc-aarch64-linux-gnu",
)


@pytest.fixture(scope="module")
def mca() -> Iterator[Any]:
    patch = pytest.MonkeyPatch()
    patch.setattr(sys, "path", [str(SCRIPTS), *sys.path])
    yield importlib.import_module("mca")
    patch.undo()


def listing(*lines: str, form: str = "elf64-littleaarch64") -> str:
    """What llvm-objdump prints; `lines` start at address 0x100 and take 4 bytes each."""
    code = [f"     {0x100 + 4 * i:x}:      \t{line}" for i, line in enumerate(lines)]
    return "\n".join(
        [f"model:\tfile format {form}", "", "0000000000000100 <jc_conv>:", *code, ""]
    )


NEST = (
    "mov\tx9, #0x0                   // =0",
    "ldr\tq0, [x1]",  # 104: rows
    "ldr\tq1, [x2], #0x10",  # 108: products
    "sdot\tv2.4s, v0.16b, v1.4b[0]",
    "sdot\tv3.4s, v0.16b, v1.4b[1]",
    "subs\tx9, x9, #0x1",
    "b.ne\t0x108 <jc_conv+0x8>",
    "smlal\tv4.4s, v5.4h, v6.4h",  # between the loops
    "ldrb\tw1, [x2], #0x1",  # 120: copies
    "cbnz\tw1, 0x120 <jc_conv+0x20>",
    "tbz\tw3, #0x0, 0x104 <jc_conv+0x4>",
    "b\t0x130 <jc_conv+0x30>",
    "ret",
)


def test_the_innermost_loop_with_products_is_found(mca: Any):
    (loop,) = mca.find_loops(listing(*NEST))
    assert loop.address == 0x108
    assert loop.instructions == (
        "ldr q1, [x2], #0x10",
        "sdot v2.4s, v0.16b, v1.4b[0]",
        "sdot v3.4s, v0.16b, v1.4b[1]",
        "subs x9, x9, #0x1",
        "b.ne 0x108 <jc_conv+0x8>",
    )
    assert loop.macs == 32
    assert loop.triple == "aarch64-linux-gnu"


def test_two_ways_back_to_one_place_are_one_loop(mca: Any):
    lines = (
        "mul\tv0.4s, v1.4s, v2.4s",
        "cbz\tx1, 0x100 <jc_conv>",
        "mla\tv3.8h, v1.8h, v2.8h",
        "b.lt\t0x100 <jc_conv>",
        "ret",
    )
    (loop,) = mca.find_loops(listing(*lines))
    assert len(loop.instructions) == 4
    assert loop.macs == 12


def test_branches_forward_and_calls_are_no_loops(mca: Any):
    lines = ("sdot\tv0.4s, v1.16b, v2.16b", "b.eq\t0x108 <jc_conv+0x8>", "bl\t0x100 <jc_conv>")
    assert mca.find_loops(listing(*lines)) == []


def test_loops_of_32_bit_code(mca: Any):
    lines = (
        "vmull.s8\tq8, d0, d1",
        "vpadal.s16\tq9, q8",
        "bne\t0x100 <jc_conv>          @ imm = #-0x8",
    )
    (loop,) = mca.find_loops(listing(*lines, form="elf32-littlearm"))
    assert (loop.macs, loop.triple) == (8, "armv7a-linux-gnueabihf")
    with pytest.raises(
        DeviceError, match="cycles must be of an aarch64 core, not of cortex-a9"
    ):
        mca.mac_per_cycle(loop, "cortex-a9")


def test_other_machines_are_refused(mca: Any):
    with pytest.raises(
        DeviceError, match=r"file must be of elf64-littleaarch64, .* not elf64-x86"
    ):
        mca.find_loops(listing("ret", form="elf64-x86-64"))


@pytest.mark.parametrize(
    ("instruction", "macs"),
    [
        ("smull v0.8h, v1.8b, v2.8b", 8),
        ("smlal2 v0.8h, v1.16b, v2.16b", 8),
        ("umlal v0.4s, v1.4h, v2.h[3]", 4),
        ("smlsl v0.2d, v1.2s, v2.2s", 2),
        ("sdot v0.4s, v1.16b, v2.4b[0]", 16),
        ("usdot v0.2s, v1.8b, v2.8b", 8),
        ("smmla v0.4s, v1.16b, v2.16b", 32),
        ("mla v0.8h, v1.8h, v2.8h", 8),
        ("fmla v0.4s, v1.4s, v2.s[0]", 4),
        ("fmul v0.4s, v1.4s, v2.4s", 0),  # a requantization
        ("sadalp v0.4s, v1.8h", 0),
        ("mul x0, x1, x2", 0),  # an address
        ("madd w0, w1, w2, w3", 0),
        ("vmull.s8 q8, d0, d1", 8),
        ("vmlal.u8 q8, d0, d1", 8),
        ("vmlal.s16 q8, d0, d1[2]", 4),
        ("vmla.i16 q8, q0, q1", 8),
        ("vmla.i32 d8, d0, d1", 2),
        ("vmla.f32 q8, q0, d1[0]", 4),
        ("vfma.f32 s0, s1, s2", 1),
        ("vmul.f32 q8, q0, q1", 0),
        ("vpadal.s16 q9, q8", 0),
    ],
)
def test_products_of_an_instruction(mca: Any, instruction: str, macs: int):
    assert mca.macs_of(instruction) == macs


DOTS = "\n".join(f"sdot v{i}.4s, v30.16b, v31.4b[{i % 4}]" for i in range(16))
CHAIN = "\n".join("sdot v0.4s, v30.16b, v31.4b[0]" for _ in range(16))


def built(folder: Path, body: str) -> Path:
    source = folder / "loop.s"
    source.write_text(
        f".arch armv8.2-a+dotprod\n.globl jc_test\n.type jc_test,%function\njc_test:\n"
        f"1:\n{body}\nsubs x0, x0, #1\nb.ne 1b\nret\n.size jc_test,.-jc_test\n"
    )
    made = folder / "loop.o"
    subprocess.run(["aarch64-linux-gnu-gcc", "-c", "-o", str(made), str(source)], check=True)
    return made


@NEEDS_LLVM
@pytest.mark.tool
def test_dot_products_reach_the_rate_of_the_core(mca: Any, tmp_path: Path):
    """Arm Cortex-A76 Software Optimization Guide, section 3.16: two sdot a cycle."""
    (loop,) = mca.hot_loops(built(tmp_path, DOTS), "jc_test")
    assert loop.macs == 256
    assert mca.mac_per_cycle(loop, "cortex-a76") == pytest.approx(32, rel=0.02)
    assert mca.mac_per_cycle(loop, "cortex-a55") == pytest.approx(16, rel=0.15)


@NEEDS_LLVM
@pytest.mark.tool
def test_products_that_wait_for_one_another_are_slow(mca: Any, tmp_path: Path):
    (free,) = mca.hot_loops(built(tmp_path, DOTS), "jc_test")
    (bound,) = mca.hot_loops(built(tmp_path, CHAIN), "jc_test")
    for cpu in ("cortex-a55", "cortex-a76"):
        assert mca.mac_per_cycle(bound, cpu) < 0.6 * mca.mac_per_cycle(free, cpu)


@NEEDS_LLVM
@pytest.mark.tool
def test_a_core_without_the_instruction_is_named(mca: Any, tmp_path: Path):
    (loop,) = mca.hot_loops(built(tmp_path, DOTS), "jc_test")
    with pytest.raises(DeviceError, match=r"llvm-mca-.* must end with 0"):
        mca.mac_per_cycle(loop, "cortex-a53")


@NEEDS_LLVM
@pytest.mark.tool
def test_a_function_that_is_not_there_is_named(mca: Any, tmp_path: Path):
    with pytest.raises(DeviceError, match="must have the function jc_other, and has not"):
        mca.hot_loops(built(tmp_path, DOTS), "jc_other")
