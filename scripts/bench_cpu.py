"""Speed of built parts on this machine, beside onnxruntime on the same network in the same run.

Schedules are straightforward; the ratio says how far they are from the peer. Calls are
interleaved, so that a machine that slows down slows both.
"""

from __future__ import annotations

import ctypes
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from demo import OUT
from rich.console import Console
from rich.table import Table

import joulecut as jc
from joulecut.cli.doctor import machine_line
from joulecut.compiler import onnxrt
from joulecut.targets.cpu.build import build_part

ROUNDS = 200


def main() -> None:
    """Time the digit network of `make demo`, whole, on one thread."""
    model = OUT / "digits.onnx"
    if not model.is_file():
        raise SystemExit(f"{model} must exist; run make demo first")
    graph = jc.pipeline(jc.load(model))
    x = np.random.default_rng(0).uniform(0, 1, (1, 1, 28, 28)).astype(np.float32)
    peer = onnxrt.session(model, optimize=True, threads=1)
    (name,) = [value.name for value in graph.graph.inputs]
    with tempfile.TemporaryDirectory() as folder:
        build_part(graph, jc.target("x86_64"), Path(folder))
        ours = library_call(Path(folder) / "libmodel.so", x, np.empty((1, 10), np.float32))
        calls: dict[str, Callable[[], object]] = {
            "joulecut": ours,
            "onnxruntime": lambda: peer.run({str(name): x}),
        }
        times = interleaved(calls)
    shown = Table(
        title=f"digits, one input, one thread; {machine_line()}", title_justify="left"
    )
    for column in ("engine", "min us", "median us", "median / onnxruntime"):
        shown.add_column(column)
    base = statistics.median(times["onnxruntime"])
    for engine, seconds in times.items():
        middle = statistics.median(seconds)
        cells = (f"{1e6 * min(seconds):.1f}", f"{1e6 * middle:.1f}", f"{middle / base:.2f}")
        shown.add_row(engine, *cells)
    Console(width=120).print(shown)


def library_call(path: Path, x: np.ndarray, y: np.ndarray) -> Callable[[], object]:
    """A call of model_run on fixed arrays; the library must outlive it in memory only."""
    library = ctypes.CDLL(str(path))
    arena_bytes = ctypes.c_size_t.in_dll(library, "model_arena_bytes").value
    arena = np.empty(arena_bytes + 64, np.uint8)
    aligned = ctypes.c_void_p(-(-arena.ctypes.data // 64) * 64)
    inputs = (ctypes.c_void_p * 1)(x.ctypes.data)
    outputs = (ctypes.c_void_p * 1)(y.ctypes.data)

    def call() -> object:
        kept = (arena, x, y)  # the pointers above are of these
        return library.model_run(inputs, outputs, aligned), kept

    return call


def interleaved(calls: dict[str, Callable[[], object]]) -> dict[str, list[float]]:
    """Seconds of each call, A B A B ..., after ten calls of each that do not count."""
    times: dict[str, list[float]] = {name: [] for name in calls}
    for index in range(ROUNDS + 10):
        for name, call in calls.items():
            started = time.perf_counter()
            call()
            if index >= 10:
                times[name].append(time.perf_counter() - started)
    return times


if __name__ == "__main__":
    main()
