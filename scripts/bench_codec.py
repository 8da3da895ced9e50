"""Rate and speed of the coder on tensors of the digit network, beside peers in the same run.

Rate comes first: bits per element against the order-0 entropy. Peers are zlib's Huffman-only
mode, and zstd where numcodecs has it. Calls are interleaved.
"""

from __future__ import annotations

import importlib
import importlib.util
import statistics
import time
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np
from demo import OUT
from rich.console import Console
from rich.table import Table

import joulecut as jc
from joulecut.cli.doctor import machine_line
from joulecut.compiler.reference import trace
from joulecut.zoo.data import mnist

IMAGES = 200
ROUNDS = 15
TENSORS = ("relu1", "pool1", "pool2", "pool3", "fc1_relu")

Coder = tuple[Callable[[bytes], bytes], Callable[[bytes], object]]


def main() -> None:
    """Code the tensors of some held-out digits."""
    model = OUT / "digits.onnx"
    if not model.is_file():
        raise SystemExit(f"{model} must exist; run make demo first")
    graph = jc.pipeline(jc.load(model))
    (value,) = graph.graph.inputs
    known = trace(graph, {str(value.name): mnist.load().held_out.images[:IMAGES]})
    shown = Table(
        title=f"lossless, {IMAGES} digits at once; {machine_line()}", title_justify="left"
    )
    for column in ("tensor", "coder", "bits/elem", "entropy", "encode MB/s", "decode MB/s"):
        shown.add_column(column, justify="left" if column in ("tensor", "coder") else "right")
    for name in TENSORS:
        for row in measured(known[name]):
            shown.add_row(name, *row)
    Console(width=120).print(shown)


def coders(tensor: np.ndarray) -> dict[str, Coder]:
    """Encode bytes, decode bytes: ours and the peers."""
    found: dict[str, Coder] = {
        "joulecut": (lambda _raw: jc.codec.encode(tensor), lambda blob: jc.codec.decode(blob)),
        "zlib huffman": (_zlib_huffman, zlib.decompress),
    }
    if importlib.util.find_spec("numcodecs") is not None:
        numcodecs: Any = importlib.import_module("numcodecs")

        zstd = numcodecs.Zstd(level=1)
        found["zstd -1"] = (zstd.encode, zstd.decode)
    return found


def _zlib_huffman(raw: bytes) -> bytes:
    coder = zlib.compressobj(strategy=zlib.Z_HUFFMAN_ONLY)
    return coder.compress(raw) + coder.flush()


def measured(tensor: np.ndarray) -> list[tuple[str, ...]]:
    """One row per coder; medians of interleaved rounds."""
    raw = np.ascontiguousarray(tensor).tobytes()
    entropy = jc.codec.entropy_bits(tensor)
    every = coders(tensor)
    blobs = {name: encode(raw) for name, (encode, _) in every.items()}
    spent: dict[tuple[str, str], list[float]] = {}
    for _ in range(ROUNDS):
        for name, (encode, decode) in every.items():
            started = time.perf_counter()
            encode(raw)
            middle = time.perf_counter()
            decode(blobs[name])
            spent.setdefault((name, "encode"), []).append(middle - started)
            spent.setdefault((name, "decode"), []).append(time.perf_counter() - middle)
    return [
        (
            name,
            f"{8 * len(blobs[name]) / tensor.size:.3f}",
            f"{entropy:.3f}",
            *(
                f"{len(raw) / statistics.median(spent[name, way]) / 1e6:.0f}"
                for way in ("encode", "decode")
            ),
        )
        for name in every
    ]


if __name__ == "__main__":
    main()
