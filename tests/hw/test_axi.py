"""The accelerator's AXI ports beside cocotbext-axi's masters and memories, and the watch on them.

The tests that cocotb runs are in axi_bench.py.
"""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from axi_watch import CHANNELS, ProtocolError, Watch
from cocotb_design import cocotb_program, require_cocotb, run_cocotb

from joulecut.hw.config import Z7020
from joulecut.hw.simulator import RTL, sources

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
SOAK = "many_layers"  # of axi_bench.py: minutes


@pytest.fixture
def program(monkeypatch: pytest.MonkeyPatch) -> Path:
    require_cocotb()
    monkeypatch.setattr(
        sys, "path", [str(ROOT), str(HERE), *sys.path]
    )  # cocotb's runner reads it
    return cocotb_program("jc_top", [*sources(), RTL / "jc_top.v"], Z7020.parameters)


@pytest.mark.tool
def test_pauses_late_answers_and_resets(program: Path, tmp_path: Path) -> None:
    assert run_cocotb(program, "jc_top", "axi_bench", tmp_path, only=f"^(?!.*{SOAK})") == 5


@pytest.mark.slow
@pytest.mark.tool
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("seed", [2, 3])
def test_many_layers_with_pauses(program: Path, tmp_path: Path, seed: int) -> None:
    assert run_cocotb(program, "jc_top", "axi_bench", tmp_path, only=SOAK, seed=seed) == 1


def trace(*cycles: str) -> list[dict[str, int]]:
    """Wires cycle by cycle; each word is a channel with valid, its ready or its payload changed.

    `m_axi_w` is valid and taken, `m_axi_w-` waits for ready, `m_axi_w:last=1` has a payload.
    """
    quiet = {f"{channel}{end}": 0 for channel in CHANNELS for end in ("valid", "ready")}
    quiet |= {channel + name: 0 for channel, names in CHANNELS.items() for name in names}
    quiet |= {"aresetn": 1, "irq": 0, "m_axi_wstrb": 255}
    for channel in ("m_axi_aw", "m_axi_ar", "d_axi_ar"):
        quiet |= {channel + "len": 1, channel + "size": 3, channel + "burst": 1}
    made: list[dict[str, int]] = []
    for cycle in cycles:
        wires = dict(quiet)
        for word in cycle.split():
            channel, *changes = word.rstrip("-").split(":")
            if channel in wires:
                wires[channel] ^= 1
                continue
            wires[channel + "valid"] = 1
            wires[channel + "ready"] = not word.endswith("-")
            for change in changes:
                name, value = change.split("=")
                wires[channel + name] = int(value, 0)
        made.append(wires)
    return made


def watched(*cycles: str) -> Watch:
    """A watch that has seen a trace."""
    watch = Watch(1 << 16)
    for wires in trace(*cycles):
        watch.cycle(wires.__getitem__)
    return watch


GOOD = (
    "m_axi_aw m_axi_ar:addr=0xFF0-",
    "m_axi_w- m_axi_ar:addr=0xFF0",
    "m_axi_w m_axi_r",
    "m_axi_w:last=1 m_axi_r:last=1",
    "m_axi_b d_axi_ar s_axi_aw",
    "d_axi_r s_axi_w",
    "d_axi_r:last=1 s_axi_b s_axi_ar",
    "s_axi_r irq",
    "irq aresetn s_axi_b-",
    "aresetn",
    "irq",
)


def test_the_watch_accepts_what_is_right() -> None:
    watch = watched(*GOOD)
    assert watch.bursts == {"m_axi_aw": 1, "m_axi_ar": 1, "d_axi_ar": 1}
    assert watch.is_at_rest()


BROKEN = {
    "m_axi_w: valid fell before ready came": ("m_axi_aw", "m_axi_w-", ""),
    r"m_axi_ar: .*'addr'.* changed from \(8, .*\) to \(16, .*\) before ready came": (
        "m_axi_ar:addr=8-",
        "m_axi_ar:addr=16",
    ),
    r"m_axi_w: .* changed from \(0, 255, 0\) to \(1, 255, 0\) before": (
        "m_axi_aw",
        "m_axi_w-",
        "m_axi_w:data=1",
    ),
    "m_axi_ar: 2 beats from 0xffc: not a multiple of 8": ("m_axi_ar:addr=0xFFC",),
    "m_axi_ar: 2 beats from 0x0: burst 9 under way": ("m_axi_ar",) * 9,
    "m_axi_aw: 2 beats from 0xff8: cross a page": ("m_axi_aw:addr=0xFF8",),
    "d_axi_ar: 2 beats from 0x10000: end outside of the memory": ("d_axi_ar:addr=0x10000",),
    "m_axi_ar: 17 beats from 0x0: more than 16": ("m_axi_ar:len=16",),
    "m_axi_ar: 2 beats from 0x0: size 2, burst 1": ("m_axi_ar:size=2",),
    "m_axi_ar: 2 beats from 0x0: size 3, burst 0": ("m_axi_ar:burst=0",),
    "m_axi_w: strobe 0x7f": ("m_axi_aw", "m_axi_w:strb=127"),
    "m_axi_w: a beat without an address": ("m_axi_aw", "m_axi_w", "m_axi_w:last=1", "m_axi_w"),
    "m_axi_w: last is 1 in beat 1 of 2": ("m_axi_aw", "m_axi_w:last=1"),
    "m_axi_w: last is 0 in beat 2 of 2": ("m_axi_aw", "m_axi_w", "m_axi_w"),
    "m_axi_b: an answer to nothing": ("m_axi_aw", "m_axi_w", "m_axi_w:last=1 m_axi_b"),
    "m_axi_r: a beat that nobody asked for": ("m_axi_ar m_axi_r",),
    "d_axi_r: last is 1, 1 to come": ("d_axi_ar", "d_axi_r:last=1"),
    "s_axi_b: before s_axi_w": ("s_axi_aw", "s_axi_w s_axi_b"),
    "s_axi_b: before s_axi_aw": ("s_axi_w", "s_axi_b-"),
    "s_axi_r: before s_axi_ar": ("s_axi_ar", "s_axi_r", "s_axi_r"),
    "s_axi_r: not OKAY": ("s_axi_ar", "s_axi_r:resp=2"),
    "s_axi_b: valid during a reset": ("aresetn s_axi_b", "aresetn s_axi_b"),
    "irq: up during a reset": ("aresetn", "aresetn irq"),
    r"irq: up, but bursts of writes have \[2\] beats": ("m_axi_aw", "irq"),
    "irq: up, but .* 1 wait for an answer": ("m_axi_aw", "m_axi_w", "m_axi_w:last=1", "irq"),
    r"irq: up, but .* have {'m_axi': \[1\]} beats to come": ("m_axi_ar", "m_axi_r", "irq"),
}


@pytest.mark.parametrize("rule", BROKEN)
def test_the_watch_sees_what_is_wrong(rule: str) -> None:
    *before, last = BROKEN[rule]
    watch = watched(*before)
    (wires,) = trace(last)
    with pytest.raises(ProtocolError, match=f"^{rule}"):
        watch.cycle(wires.__getitem__)
