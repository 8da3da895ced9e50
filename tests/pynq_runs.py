"""Runs the driver under pynq itself, on a simulated device; started by test_fpga_pynq.py.

`python pynq_runs.py FOLDER LIBRARY BOARD`: programs and samples lie in the folder, and what came out is
written there. joulecut is on PYTHONPATH for the simulation only; the driver is the copy that lies
beside the program.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pynq
import pynq.buffer
from pynq_boards import BOARDS

from joulecut.targets.fpga.simulated_board import SimulatedBoard
from joulecut.targets.fpga.simulated_device import SimulatedDevice, write_bitstream

LONG_S = 600.0  # a simulation on a busy machine


def main(folder: Path, library: Path, name: str) -> None:
    sys.path.insert(0, str(folder / "network"))
    driver: Any = importlib.import_module("driver")
    made = BOARDS[name]
    board = SimulatedBoard(made.config, processor=made.processor, library=library)
    bitstream = write_bitstream(folder / "bitstream", made.processor, made.clock_mhz)
    overlay = pynq.Overlay(str(bitstream), device=SimulatedDevice(board))
    accelerator = overlay.jc_core_0
    assert type(accelerator) is driver.Accelerator
    samples = [dict(np.load(folder / f"feeds{i}.npz")) for i in range(2)]
    said: dict[str, Any] = {
        "pynq": importlib.metadata.version("pynq"),
        "numpy": np.__version__,
        "clock_mhz": pynq.Clocks.fclk0_mhz,
        "register_map": str(accelerator.register_map.parameters),
        "counters": [],
    }

    def run(network: Any, sample: int, name: str) -> None:
        outputs, counters = network.run(samples[sample], timeout_s=LONG_S)
        np.savez(folder / f"{name}.npz", **outputs)
        said["counters"].append(counters)

    with accelerator.load(folder / "network") as network:
        for turn, sample in enumerate((0, 1, 0)):
            run(network, sample, f"turn{turn}")
    said["other"] = refusal(driver, lambda: accelerator.load(folder / "other"))
    stalled = accelerator.load(folder / "stalled")
    said["stalled"] = refusal(driver, lambda: stalled.run(samples[0], timeout_s=0.05))
    said["busy"] = refusal(driver, stalled.close)
    overlay.download()
    stalled.close()
    with accelerator.load(folder / "network") as network:
        run(network, 1, "recovered")
        flush = pynq.buffer.PynqBuffer.flush
        pynq.buffer.PynqBuffer.flush = lambda _: None
        run(network, 0, "unflushed")
        pynq.buffer.PynqBuffer.flush = flush
        invalidate = pynq.buffer.PynqBuffer.invalidate
        pynq.buffer.PynqBuffer.invalidate = lambda _: None
        run(network, 0, "uninvalidated")
        pynq.buffer.PynqBuffer.invalidate = invalidate
    board.close()
    (folder / "said.json").write_text(json.dumps(said), encoding="utf-8")


def refusal(driver: Any, attempt: Any) -> str:
    """What the driver says against it."""
    try:
        attempt()
    except driver.AcceleratorError as error:
        return str(error)
    raise AssertionError("must be refused, and was not")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3])
