"""A part that obeys the artifact protocol and was compiled from C written by hand.

What runs a part can so be tested without what builds one; `tiny_part.c` says what it computes.
"""

import json
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from joulecut.compiler.quant import TensorSpec
from joulecut.targets.devices.protocol import Signature

SOURCE = Path(__file__).with_name("tiny_part.c")
COMPILERS = {
    "native": ("gcc", "gcc"),
    "aarch64": ("aarch64-linux-gnu-gcc", "gcc-aarch64-linux-gnu"),
    "armv7": ("arm-linux-gnueabihf-gcc", "gcc-arm-linux-gnueabihf"),
}
EMULATORS = {"native": "qemu-x86_64", "aarch64": "qemu-aarch64", "armv7": "qemu-arm"}

SIGNATURE = Signature(
    inputs=(TensorSpec("x", (1, 4), "int8"), TensorSpec("k", (1, 2), "int32")),
    outputs=(TensorSpec("sum", (1, 2), "int32"), TensorSpec("double", (1, 4), "int8")),
)
LAYERS = [
    {
        "name": "double",
        "kind": "Mul",
        "macs": 4,
        "integer": True,
        "output": {"shape": [1, 4], "dtype": "int8", "nbytes": 4},
    },
    {
        "name": "sum",
        "kind": "Add",
        "macs": 4,
        "integer": True,
        "output": {"shape": [1, 2], "dtype": "int32", "nbytes": 8},
    },
]


def build_tiny(folder: Path, arch: str = "native", *, trouble: int = 0, work: int = 0) -> Path:
    """Compile the part; skips the test if the compiler is absent."""
    compiler, package = COMPILERS[arch]
    if shutil.which(compiler) is None:
        pytest.skip(f"{compiler} is not installed (Debian: {package})")
    folder.mkdir(parents=True, exist_ok=True)
    flags = [compiler, "-O1", f"-DTROUBLE={trouble}", f"-DWORK={work}", str(SOURCE)]
    library = [*flags, "-shared", "-fPIC", "-o", str(folder / "libmodel.so")]
    program = [*flags, "-DMAIN", "-static", "-o", str(folder / "model")]
    subprocess.run(library, check=True)
    subprocess.run(program, check=True)
    (folder / "layers.json").write_text(json.dumps({"layers": LAYERS}))
    return folder


def need_emulator(arch: str) -> None:
    """Skip the test if QEMU's user-mode emulator is absent."""
    if shutil.which(EMULATORS[arch]) is None:
        pytest.skip(f"{EMULATORS[arch]} is not installed (Debian: qemu-user)")


def tiny_feeds(count: int, seed: int = 0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return {
        "x": rng.integers(-128, 128, (count, 4)).astype(np.int8),
        "k": rng.integers(-(2**30), 2**30, (count, 2)).astype(np.int32),
    }


def tiny_answers(feeds: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """What the part must compute."""
    doubled = np.clip(2 * feeds["x"].astype(np.int32), -128, 127).astype(np.int8)
    total = doubled.sum(axis=1, dtype=np.int32, keepdims=True)
    return {"sum": feeds["k"] + total, "double": doubled}
