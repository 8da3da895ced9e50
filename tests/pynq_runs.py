"""Runs the driver under pynq itself, on a simulated device; started by test_fpga_pynq.py.

`python pynq_runs.py FOLDER [BOARD LIBRARY]`: programs, samples and the bitstream lie in the folder, and
what came out is written there. Without a board it is the one that PYNQ.remote reaches, and nothing
of joulecut is imported; with one it is for the simulation only. The driver is the copy that lies
beside the program.
"""

from __future__ import annotations

import asyncio
import importlib
import importlib.metadata
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pynq

LONG_S = 600.0  # a simulation on a busy machine


def main(folder: Path, device: Any) -> None:
    sys.path.insert(0, str(folder / "network"))
    asyncio.set_event_loop(asyncio.new_event_loop())
    driver: Any = importlib.import_module("driver")
    overlay = pynq.Overlay(str(folder / "joulecut.bit"), device=device)
    accelerator = overlay.jc_core_0
    assert type(accelerator) is driver.Accelerator
    samples = [dict(np.load(folder / f"feeds{i}.npz")) for i in range(2)]
    said: dict[str, Any] = {
        "pynq": importlib.metadata.version("pynq"),
        "numpy": np.__version__,
        "clock_mhz": pynq.Clocks.fclk0_mhz,
        "register_map": str(accelerator.register_map.parameters),
        "scratch": scratch(accelerator),
        "counters": [],
    }

    def run(network: Any, sample: int, name: str) -> None:
        outputs, counters = network.run(samples[sample], timeout_s=LONG_S)
        np.savez(folder / f"{name}.npz", **outputs)
        said["counters"].append(counters)

    with accelerator.load(folder / "network") as network:
        for turn, sample in enumerate((0, 1, 0)):
            run(network, sample, f"turn{turn}")
        pending = network.run_async(samples[1], timeout_s=LONG_S)
        if device is None:
            said["remote_async"] = refusal(driver, lambda: awaited(pending))
        else:
            outputs, counters = awaited(pending)
            np.savez(folder / "interrupted.npz", **outputs)
            said["counters"].append(counters)
            for _ in range(2):
                said["counters"].append(
                    awaited(network.run_async(samples[0], timeout_s=LONG_S))[1]
                )
    said["other"] = refusal(driver, lambda: accelerator.load(folder / "other"))
    stalled = accelerator.load(folder / "stalled")
    said["stalled"] = refusal(driver, lambda: stalled.run(samples[0], timeout_s=0.05))
    said["busy"] = refusal(driver, stalled.close)
    overlay.download()
    stalled.close()
    if device is not None:
        stalled = accelerator.load(folder / "stalled")
        pending = stalled.run_async(samples[0], timeout_s=0.05)
        said["stalled_async"] = refusal(driver, lambda: awaited(pending))
        overlay = pynq.Overlay(str(folder / "joulecut.bit"), device=device)
        accelerator = overlay.jc_core_0
        stalled.close()
    with accelerator.load(folder / "network") as network:
        run(network, 1, "recovered")
        kind: Any = pynq.allocate((1,), target=overlay.device).__class__
        flush, invalidate = kind.flush, kind.invalidate
        kind.flush = never
        run(network, 0, "unflushed")
        kind.flush, kind.invalidate = flush, never
        run(network, 0, "uninvalidated")
        kind.invalidate = invalidate
        if device is None:
            kind.flush = sent_and_not_flushed
            run(network, 1, "sent")
            kind.flush = flush
            said |= remote(overlay)
    if device is not None:
        device.close()
    (folder / "said.json").write_text(json.dumps(said), encoding="utf-8")


def awaited(pending: Any) -> Any:
    """In the loop in which pynq listens: the one that was current when it opened its device."""
    return asyncio.get_event_loop().run_until_complete(pending)


def refusal(driver: Any, attempt: Any) -> str:
    """What the driver says against it."""
    try:
        attempt()
    except driver.AcceleratorError as error:
        return str(error)
    raise AssertionError("must be refused, and was not")


def scratch(accelerator: Any) -> int:
    """What comes back of a register's 32 bits."""
    accelerator.put("scratch", 0xDEADBEEF)
    return accelerator.get("scratch")


def never(_: object) -> None:
    """In the place of a flush."""


def sent_and_not_flushed(buffer: Any) -> None:
    """Half of RemoteBuffer.flush: the data reach the board's processor, not its memory."""
    messages: Any = importlib.import_module("pynq.remote.buffer_pb2")
    part = messages.BufferWriteRequest(buffer_id=buffer.buffer_id, data=buffer.tobytes())
    assert not buffer.stub.write(iter([part])).msg


def remote(overlay: Any) -> dict[str, Any]:
    """What the board across the wire says to what it cannot do."""
    grpc: Any = importlib.import_module("grpc")
    messages: Any = importlib.import_module("pynq.remote.remote_device_pb2")
    stub = overlay.device._stub["device"]
    answers: dict[str, Any] = {"device": type(overlay.device).__name__}
    attempts = {
        "register": lambda: overlay.jc_core_0.read(0x80),
        "memory": lambda: pynq.allocate((1 << 30,), "u1"),
        "file": lambda: overlay.device.read_file("/etc/hostname"),
        "shutdown": lambda: stub.shutdown(messages.ShutdownRequest()),
    }
    for name, attempt in attempts.items():
        try:
            attempt()
        except grpc.RpcError as error:
            answers[name] = f"{error.code().name}: {error.details()}"
    return answers


def simulated(name: str, library: Path) -> Any:
    """A device within this process."""
    boards: Any = importlib.import_module("pynq_boards")
    board: Any = importlib.import_module("joulecut.targets.fpga.simulated_board")
    device: Any = importlib.import_module("joulecut.targets.fpga.simulated_device")
    made = boards.BOARDS[name]
    return device.SimulatedDevice(
        board.SimulatedBoard(made.config, processor=made.processor, library=library)
    )


if __name__ == "__main__":
    name, *given = sys.argv[2:] or [""]
    main(Path(sys.argv[1]), simulated(name, Path(given[0])) if given else None)
