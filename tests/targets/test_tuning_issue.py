"""Cycles of kernels on cores in order: blocks are counted exactly, llvm-mca sees what waits."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from cpu_parts import require_tools
from nhwc_cases import ConvCase, conv_of

from joulecut.compiler.errors import DeviceError
from joulecut.targets.base import target
from joulecut.targets.cpu.nhwc.kernels import Choice, Kernels
from joulecut.targets.cpu.nhwc.sdot import SDOT
from joulecut.targets.cpu.nhwc.smull import SMULL_SAFE
from joulecut.targets.cpu.nhwc.tile import Tile
from joulecut.targets.cpu.tuning.costs import Counts, scale_of
from joulecut.targets.cpu.tuning.issue import (
    Block,
    code_of,
    cycles_per_instruction,
    read_blocks,
    version,
)
from joulecut.targets.cpu.tuning.trial import trial
from joulecut.targets.devices.elf import symbol_address
from joulecut.targets.devices.plugin import BLOCKS, SOURCE, CacheModel, build_plugin

ARM, IN_ORDER = target("raspberry_pi_5"), target("raspberry_pi_3")


def require_mca() -> None:
    if version() is None:
        pytest.skip("llvm-mca of LLVM 19 or later is not installed (Debian: llvm-19)")


@pytest.mark.tool
def test_who_waits_takes_longer() -> None:
    require_mca()
    alone = {4 * i: f"smull v{i}.8h, v30.8b, v31.8b" for i in range(8)}
    chain = {4 * i: "smlal v0.8h, v0.8b, v31.8b" for i in range(8)}
    one, two = (
        cycles_per_instruction([Block(0, 8, 5)], code, "cortex-a53") for code in (alone, chain)
    )
    assert one == 1
    assert two > 2 * one
    # Every block counts as often as it ran; what hardly runs is left out.
    both = alone | {address + 100: text for address, text in chain.items()}
    blocks = [Block(0, 8, 30), Block(100, 8, 10), Block(104, 1, 3), Block(5000, 9, 10**6)]
    mixed = cycles_per_instruction(blocks, both, "cortex-a53")
    assert mixed == pytest.approx((3 * one + two) / 4)


@pytest.mark.tool
def test_branches_and_addresses_are_no_obstacle() -> None:
    require_mca()
    code = {
        0: "adrp x0, 0x41000 <jc_conv+0x40>",
        4: "ldr q0, [x0, #0x10]",
        8: "subs w1, w1, #0x1",
        12: "b.ne 0x400 <jc_conv>",
    }
    assert cycles_per_instruction([Block(0, 4, 7), Block(12, 1, 1)], code, "cortex-a53") > 0
    with pytest.raises(DeviceError, match=r"llvm-mca.* must end with 0, not 1"):
        cycles_per_instruction([Block(0, 1, 1)], {0: "vpdpbusd zmm0"}, "cortex-a53")


@pytest.mark.tool
def test_blocks_make_all_instructions(tmp_path: Path) -> None:
    require_tools(ARM)
    require_mca()
    kernels = Kernels((SDOT,), lambda _: Tile(1, 4, 1))
    work = conv_of(ConvCase(), SDOT, np.random.default_rng(0))
    choices = [kernels.default_of(work), Choice("sdot", Tile(2, 3, 1))]
    made = trial(work, choices, kernels, ARM, tmp_path / "trial", 4096)
    qemu = shutil.which(ARM.emulator.program)
    assert qemu is not None
    hook = symbol_address(made.program, "model_hook")
    for plugin, more in ((BLOCKS, {}), (SOURCE, CacheModel().arguments())):
        words = {"hook": hook, "out": tmp_path / plugin.stem, **more}
        loaded = [str(build_plugin(qemu, plugin)), *(f"{k}={v}" for k, v in words.items())]
        made.run((qemu, "-cpu", ARM.emulator.cpu, "-plugin", ",".join(loaded)))
    rows = np.loadtxt(tmp_path / SOURCE.stem, dtype=np.int64)
    blocks = read_blocks(tmp_path / BLOCKS.stem)
    totals = [sum(block.count * block.size for block in some) for some in blocks]
    assert totals == [rows[1, 0] - rows[0, 0], rows[3, 0] - rows[2, 0]]
    code = code_of(made.program, made.symbols)
    inside = [sum(b.count * b.size for b in some if b.address in code) for some in blocks]
    assert all(0 < total - own < 50 for total, own in zip(totals, inside, strict=True))


@pytest.mark.tool
def test_cores_in_order_are_priced_by_what_waits(tmp_path: Path) -> None:
    require_tools(IN_ORDER)
    require_mca()
    scale = scale_of(IN_ORDER)
    assert isinstance(scale, Counts)
    assert "cortex_a53 at 1200 MHz, from instructions (llvm-mca " in scale.how
    assert "from instructions (2 a cycle)" in scale_of(ARM).how
    kernels = Kernels((SMULL_SAFE,), lambda _: Tile(1, 4, 1))
    work = conv_of(ConvCase(), SMULL_SAFE, np.random.default_rng(0))
    choices = [kernels.default_of(work), Choice("smull_safe", Tile(2, 3, 1))]
    one, two = (
        scale.costs(trial(work, choices, kernels, IN_ORDER, tmp_path / name, 0))
        for name in ("one", "two")
    )
    assert one == two
    # One product of eight bytes starts in a cycle at most.
    assert all(work.macs / 8 < cycles < 2 * work.macs for cycles in one)
