"""Instructions of a bench network in float32, as TVM's own operators run it (f32_build.py)."""

from __future__ import annotations

import hashlib
import tempfile
from pathlib import Path

import numpy as np
from bench_networks import FOLDER, MAKERS
from kept_results import KeptResults
from peers.f32_build import PROGRAM, count_f32

from joulecut.compiler import onnxrt
from joulecut.compiler.errors import VerificationError
from joulecut.targets.base import Target

KEPT = KeptResults(FOLDER / "arm_floats.json")
TOLERANCE = 1e-3  # of the largest output: float32 sums in another order


def count_float(name: str, target: Target, *, fresh: bool = False) -> int:
    """Instructions of one inference.

    Args:
        name: of the bench network; its weights before they were quantized.
        target: to build for, and whose core is emulated.
        fresh: count again what is kept.

    Raises:
        VerificationError: the build computes something else than onnxruntime.
        DeviceError: a compiler or the emulator is absent.
    """
    from joulecut.zoo.export import INPUT_NAME, export_float

    source = MAKERS[name]()
    x = np.asarray(next(iter(source.inputs)), np.float32)
    with tempfile.TemporaryDirectory(prefix="joulecut-") as folder:
        model = export_float(source.module, x, Path(folder) / "model.onnx").read_bytes()
    assert target.emulator is not None
    recipe = Path(count_f32.__code__.co_filename).read_bytes() + PROGRAM.read_bytes()
    digest = hashlib.sha256(model + recipe).hexdigest()[:24]
    key = f"{name} {target.name} {target.emulator.cpu} {digest}"
    kept = None if fresh else KEPT.get(key)
    if kept is None:
        found = count_f32(model, x, target, target.emulator.program, target.emulator.cpu)
        (expected,) = onnxrt.run(model, {INPUT_NAME: x})
        apart = float(np.abs(found.output - expected.reshape(-1)).max())
        most = TOLERANCE * float(np.abs(expected).max())
        if apart > most:
            raise VerificationError(
                f"{name} in float32 on {target.name} must be within {most:.2g} of onnxruntime, "
                f"and is {apart:.2g} away"
            )
        kept = {
            "instructions": found.instructions,
            "scheduled": found.scheduled,
            "convolutions": found.convolutions,
        }
        KEPT.put(key, kept)
    return int(kept["instructions"])
