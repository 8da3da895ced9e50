"""The board's driver under pynq itself, in two releases, on simulated boards: `make test-pynq`."""

from __future__ import annotations

import json
import os
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from pynq_boards import BOARDS
from pynq_environments import STEPS, python_with
from residual_network import integers, residual
from rtl_design import require

from joulecut.compiler.reference import trace
from joulecut.hw.descriptors import Waits
from joulecut.hw.simulator import simulation_library
from joulecut.targets.fpga.lower import program_of
from joulecut.targets.fpga.program_files import write_program

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("board", BOARDS)
@pytest.mark.parametrize("release", STEPS)
def test_the_driver_under_pynq(release: str, board: str, tmp_path: Path) -> None:
    require("verilator")
    config = BOARDS[board].config
    other = next(each.config for name, each in BOARDS.items() if name != board)
    graph = residual()
    program = program_of(graph, config)
    first, *rest = program.descriptors
    stalled = replace(first, waits=Waits(load=500))
    write_program(program, tmp_path / "network")
    write_program(program_of(graph, other), tmp_path / "other")
    write_program(replace(program, descriptors=(stalled, *rest)), tmp_path / "stalled")
    feeds = [integers(graph, seed) for seed in range(2)]
    for i, sample in enumerate(feeds):
        np.savez(tmp_path / f"feeds{i}.npz", **sample)  # pyright: ignore[reportArgumentType]
    words = [python_with(release), ROOT / "tests/pynq_runs.py", tmp_path]
    done = subprocess.run(
        [str(word) for word in (*words, simulation_library(config), board)],
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "tests")]),
            "PYTHONSAFEPATH": "1",
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    said = json.loads((tmp_path / "said.json").read_text())
    assert said["pynq"] == release
    assert said["clock_mhz"] == pytest.approx(BOARDS[board].clock_mhz, rel=1e-4)
    assert int(said["register_map"], 16) == config.parameter_words

    names = [value.name for value in program.outputs]
    expected = [{name: trace(graph, sample)[name] for name in names} for sample in feeds]

    def is_right(name: str, sample: int) -> bool:
        found = np.load(tmp_path / f"{name}.npz")
        assert set(found) == set(names)
        return all(
            found[each].dtype == array.dtype and np.array_equal(found[each], array)
            for each, array in expected[sample].items()
        )

    assert is_right("turn0", 0)
    assert is_right("turn1", 1)
    assert is_right("turn2", 0)
    assert is_right("recovered", 1)
    assert not is_right("unflushed", 0)
    assert not is_right("uninvalidated", 0)
    assert said["counters"] == [vars(program.counts())] * len(said["counters"])
    assert f"accelerator must be '{other.name}'" in said["other"]
    assert f"rows must be {other.rows}, not {config.rows}" in said["other"]
    assert "must end within 0.05 s, and did not: status 0x00000001, cycles" in said["stalled"]
    assert "memory must be kept while the accelerator is busy" in said["busy"]
