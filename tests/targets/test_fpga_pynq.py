"""The board's driver under pynq itself, in two releases, on simulated boards: `make test-pynq`."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from pynq_boards import BOARDS
from pynq_environments import STEPS, python_with
from residual_network import integers, residual
from rtl_design import require

from joulecut.compiler.reference import trace
from joulecut.hw.config import MacArrayConfig
from joulecut.hw.descriptors import Waits
from joulecut.hw.simulator import simulation_library
from joulecut.targets.fpga.handoff import write_bitstream
from joulecut.targets.fpga.lower import program_of
from joulecut.targets.fpga.program_files import write_program

ROOT = Path(__file__).resolve().parents[2]
ENVIRONMENT = {
    **os.environ,
    "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "tests")]),
    "PYTHONSAFEPATH": "1",
}


pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]


@pytest.mark.parametrize("board", BOARDS)
@pytest.mark.parametrize("release", STEPS)
def test_the_driver_under_pynq(release: str, board: str, tmp_path: Path) -> None:
    require("verilator")
    case = written(board, tmp_path)
    library = simulation_library(BOARDS[board].config)
    run(release, tmp_path, [board, str(library)])
    found = said(release, board, tmp_path)
    check(case, found, tmp_path)
    assert is_right(case, tmp_path, "interrupted", 1)
    assert len(found["counters"]) == 9
    assert "must end within 0.05 s, and did not: status 0x00000001" in found["stalled_async"]


@pytest.mark.parametrize("release", STEPS)
def test_the_driver_over_pynq_remote(release: str, tmp_path: Path) -> None:
    """A board that PYNQ.remote reaches: nothing but pynq, the driver and the folder on the host."""
    require("verilator")
    board = "kria_kv260"
    case = written(board, tmp_path)
    for path in tmp_path.glob("joulecut.*"):
        path.unlink()
    with remote_board(release, board, tmp_path) as address:
        run(release, tmp_path, [], {"PYNQ_REMOTE_DEVICES": address, "PYTHONPATH": ""})
    found = said(release, board, tmp_path)
    check(case, found, tmp_path)
    assert found["device"] == "RemoteDevice"
    assert "must reach the processor" in found["remote_async"]
    assert "as always over PYNQ.remote; call run" in found["remote_async"]
    assert not is_right(case, tmp_path, "sent", 1)
    assert found["register"] == (
        "INVALID_ARGUMENT: 0xA0000080 is no register of the simulated board"
    )
    assert found["memory"].startswith("RESOURCE_EXHAUSTED: buffer must fit the 16777216 bytes")
    assert found["file"] == "NOT_FOUND: /etc/hostname must be on the board, and is not"
    assert found["shutdown"] == (
        "UNIMPLEMENTED: the simulated board must not be asked for "
        "'remote_device.RemoteDevice.shutdown': it has files, registers and buffers alone; "
        "use a board"
    )


def test_pynqs_own_test_of_a_remote_board(tmp_path: Path) -> None:
    require("verilator")
    with remote_board("4.0.0", "kria_kv260", tmp_path) as address:
        done = subprocess.run(
            [str(python_with("4.0.0")), "-m", "pynq.remote.selftest", "--ip", address],
            env={**os.environ, "PYTHONPATH": ""},
            capture_output=True,
            text=True,
            check=False,
        )
    assert done.returncode == 0, done.stdout
    for name in ("gRPC channel ready", "arch=aarch64", "file survived", "buffer intact"):
        assert name in done.stdout


class Case(NamedTuple):
    """A network on a board, and what must come out of it."""

    config: MacArrayConfig
    other: MacArrayConfig
    counts: dict[str, int]
    expected: list[dict[str, np.ndarray]]


def written(board: str, folder: Path) -> Case:
    """Programs, samples and a bitstream, for pynq_runs.py."""
    made = BOARDS[board]
    other = next(each.config for name, each in BOARDS.items() if name != board)
    graph = residual()
    program = program_of(graph, made.config)
    first, *rest = program.descriptors
    stalled = replace(first, waits=Waits(load=500))
    write_program(program, folder / "network")
    write_program(program_of(graph, other), folder / "other")
    write_program(replace(program, descriptors=(stalled, *rest)), folder / "stalled")
    write_bitstream(folder, made.processor, made.clock_mhz)
    feeds = [integers(graph, seed) for seed in range(2)]
    for i, sample in enumerate(feeds):
        np.savez(folder / f"feeds{i}.npz", **sample)  # pyright: ignore[reportArgumentType]
    names = [value.name for value in program.outputs]
    expected = [{name: trace(graph, sample)[name] for name in names} for sample in feeds]
    return Case(made.config, other, vars(program.counts()), expected)


def run(
    release: str, folder: Path, more: list[str], environment: Mapping[str, str] | None = None
) -> None:
    done = subprocess.run(
        [str(python_with(release)), str(ROOT / "tests/pynq_runs.py"), str(folder), *more],
        env={**ENVIRONMENT, **(environment or {})},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


@contextmanager
def remote_board(release: str, board: str, folder: Path) -> Generator[str]:
    """A board's server in a process of its own, at an address of the loopback that nobody has.

    It writes a bitstream into the folder.
    """
    config = BOARDS[board].config
    address = f"127.{os.getpid() >> 16 & 127}.{os.getpid() >> 8 & 255}.{os.getpid() & 255}"
    words = ["-m", "joulecut.targets.fpga.remote_board", config.name, "--address", address]
    words += ["--bitstream", str(folder), "--library", str(simulation_library(config))]
    with subprocess.Popen(
        [str(python_with(release)), *words], env=ENVIRONMENT, stdout=subprocess.PIPE, text=True
    ) as server:
        assert server.stdout is not None
        try:
            assert server.stdout.readline() == f"listening at {address}:7967\n"
            yield address
        finally:
            server.terminate()


def said(release: str, board: str, folder: Path) -> dict[str, Any]:
    """What pynq_runs.py wrote down, of which this must be so everywhere."""
    found: dict[str, Any] = json.loads((folder / "said.json").read_text())
    assert found["pynq"] == release
    assert found["clock_mhz"] == pytest.approx(BOARDS[board].clock_mhz, rel=1e-4)
    assert int(found["register_map"], 16) == BOARDS[board].config.parameter_words
    assert found["scratch"] == 0xDEADBEEF
    return found


def is_right(case: Case, folder: Path, name: str, sample: int) -> bool:
    found = np.load(folder / f"{name}.npz")
    assert set(found) == set(case.expected[sample])
    return all(
        found[each].dtype == array.dtype and np.array_equal(found[each], array)
        for each, array in case.expected[sample].items()
    )


def check(case: Case, found: Mapping[str, Any], folder: Path) -> None:
    for name, sample in {"turn0": 0, "turn1": 1, "turn2": 0, "recovered": 1}.items():
        assert is_right(case, folder, name, sample), name
    for name in ("unflushed", "uninvalidated"):
        assert not is_right(case, folder, name, 0), name
    assert found["counters"] == [case.counts] * len(found["counters"])
    assert f"accelerator must be '{case.other.name}'" in found["other"]
    assert f"rows must be {case.other.rows}, not {case.config.rows}" in found["other"]
    assert "must end within 0.05 s, and did not: status 0x00000001, cycles" in found["stalled"]
    for name in case.counts:
        assert f"{name} " in found["stalled"]
    assert "memory must be kept while the accelerator is busy" in found["busy"]
