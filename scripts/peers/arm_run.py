"""Runs a model some times inside the emulated Python, and marks each run for the plugin.

Usage: arm_run.py ENGINE MODEL RUNS INPUTS.npz OUTPUTS.npz

The marks are calls of getppid, which scripts/peers/qemu_totals.c counts between. It also runs
in the host's Python, which is how tests compare the outputs of engines.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np


def main(arguments: Sequence[str]) -> None:
    """Feed a model, run it, and write what the last run returned."""
    engine, model, runs, inputs, outputs = arguments
    with np.load(inputs) as file:
        feeds = {name: file[name] for name in file.files}
    run, result = ENGINES[engine](model, feeds)
    for _ in range(int(runs)):
        os.getppid()
        run()
    os.getppid()
    np.savez(outputs, **{f"y{i}": array for i, array in enumerate(result())})


def _onnxruntime(model: str, feeds: dict[str, np.ndarray]) -> tuple[Any, Callable[[], Any]]:
    import onnxruntime

    runtime: Any = onnxruntime
    options = runtime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = runtime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    last: list[Any] = []

    def run() -> None:
        last[:] = session.run(None, feeds)

    return run, lambda: last


def _litert(model: str, feeds: dict[str, np.ndarray]) -> tuple[Any, Callable[[], Any]]:
    try:
        module: Any = importlib.import_module("ai_edge_litert.interpreter")
    except ImportError:  # its former name
        module = importlib.import_module("tflite_runtime.interpreter")
    interpreter = module.Interpreter(model, num_threads=1)  # XNNPACK, where it has it
    interpreter.allocate_tensors()
    for detail, array in zip(interpreter.get_input_details(), feeds.values(), strict=True):
        interpreter.set_tensor(detail["index"], array)
    details = interpreter.get_output_details()
    return interpreter.invoke, lambda: [interpreter.get_tensor(d["index"]) for d in details]


ENGINES = {"onnxruntime": _onnxruntime, "litert": _litert}

if __name__ == "__main__":
    main(sys.argv[1:])
