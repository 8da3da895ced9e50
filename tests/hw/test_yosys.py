"""Yosys' estimate of our modules: budgets, so that a change that costs more is a decision."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from rtl_design import REQUANTIZE, absent, require

from joulecut.hw import yosys
from joulecut.hw.config import Z7020
from joulecut.hw.errors import RtlToolError
from joulecut.hw.simulator import sources
from joulecut.hw.yosys import Resources, synthesize

MEMORY = """
module memory #(
  parameter int unsigned Depth = 1024,
  parameter int unsigned Width = 36
) (
  input  logic                     clk_i,
  input  logic                     write_i,
  input  logic [$clog2(Depth)-1:0] address_i,
  input  logic [Width-1:0]         data_i,
  output logic [Width-1:0]         sum_o
);
  logic [Width-1:0] words [Depth];
  logic [Width-1:0] word_q;
  always_ff @(posedge clk_i) begin
    if (write_i) words[address_i] <= data_i;
    word_q <= words[address_i];
    sum_o  <= sum_o + word_q;
  end
endmodule
"""


@pytest.mark.tool
def test_the_requantize_lane_stays_within_its_budget():
    """By pyosys 0.70 when it was written: 540 LUT, 7 SRL, 395 FF, 3 DSP48E1, 4.32 ns."""
    require("pyosys")
    found = synthesize("jc_requantize", REQUANTIZE)
    assert found.dsp48e1 == 3
    assert (found.lutram, found.ramb36, found.ramb18) == (0, 0, 0)
    assert found.lut <= 600  # ABC's result moves by some percent with the names of wires
    assert found.srl <= 16
    assert found.ff <= 405
    assert 1 < found.delay_ns <= 6


@pytest.mark.slow
@pytest.mark.tool
@pytest.mark.timeout(3600)
def test_the_core_leaves_room_on_an_xc7z020():
    """Shares of 220 DSP48E1, 140 RAMB36 and 53,200 LUT; then what it took when this was written.

    By pyosys 0.70: 15,802 LUT, 1,024 LUTRAM, 222 SRL, 12,926 FF, 144 DSP48E1, 81 RAMB36,
    8 RAMB18, 5.59 ns, in 6 minutes of a processor.
    """
    require("pyosys")
    found = synthesize("jc_core", sources(), Z7020.parameters)
    luts = found.lut + found.lutram + found.srl
    blocks = found.ramb36 + found.ramb18 / 2
    assert found.dsp48e1 <= 0.75 * 220
    assert blocks <= 0.75 * 140
    assert luts <= 0.35 * 53_200
    assert 1 < found.delay_ns <= 6.5

    assert (found.dsp48e1, found.ramb36, found.ramb18) == (144, 81, 8)
    assert found.lutram == 1024
    assert luts == pytest.approx(17_048, rel=0.03)  # ABC's result moves with the names of wires
    assert found.ff == pytest.approx(12_926, rel=0.02)


@pytest.mark.tool
def test_parameters_reach_the_module_and_the_result_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    require("pyosys")
    source = tmp_path / "memory.sv"
    source.write_text(MEMORY)
    parameters = {"Depth": 2048, "Width": 36}
    found = synthesize("memory", [source], parameters, cache_dir=tmp_path)
    assert (found.ramb36, found.ramb18, found.dsp48e1, found.srl) == (2, 0, 0, 0)
    assert found.ff == 36
    assert 0 < found.delay_ns < 6
    monkeypatch.setattr(yosys, "_synthesize", None)
    assert synthesize("memory", [source], parameters, cache_dir=tmp_path) == found


@pytest.mark.tool
def test_what_yosys_refuses_is_quoted(tmp_path: Path):
    require("pyosys")
    source = tmp_path / "memory.sv"
    source.write_text(MEMORY.replace("always_ff", "allways_ff"))
    with pytest.raises(
        RtlToolError, match=r"(?s)^yosys must accept memory.*memory.sv:14.*syntax"
    ):
        synthesize("memory", [source], cache_dir=tmp_path)


def test_a_log_and_counts_become_resources():
    log = "ABC: + &if -W 300 -v \nABC: P:  Del = 3566.00.  Ar\nABC: A:  Del = 4100.00.  Ar\n"
    count = {"LUT2": 1, "LUT6": 10, "INV": 2, "SRL16E": 3, "FDRE": 5, "FDSE": 1, "RAM64M": 2}
    count |= {"RAMB18E1": 4, "CARRY4": 9, "RAM32X1D": 1}
    found = yosys._resources(log, count)  # pyright: ignore[reportPrivateUsage]
    assert found == Resources(
        lut=13, lutram=10, srl=3, ff=6, dsp48e1=0, ramb36=0, ramb18=4, delay_ns=4.1
    )
    assert Resources(**json.loads(json.dumps(vars(found)))) == found


def test_no_pyosys_says_what_to_install(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(yosys.util, "find_spec", absent)
    yosys.yosys_version.cache_clear()
    with pytest.raises(RtlToolError, match=r"^pyosys must be installed .*joulecut\[hw\]'$"):
        yosys.yosys_version()
