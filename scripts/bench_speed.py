"""Speed of lossless coding, one thread, beside Huff0 in the same run.

The first table compares prefix codes alone, in C (scripts/peers/bench_huffman.c): histogram, code
and table included on both sides. The others time whole calls from Python, with the header, the
choice of the mode and the checksums, which Huff0 does not have.
"""

from __future__ import annotations

import re
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
from bench_table import CONSOLE, fastest, show, uniform_indices
from codec_data import CACHE, vgg16_tensors
from huff0 import Decoder, Huff0, MissingPeerError

from joulecut.kernels import coder

ROOT = Path(__file__).resolve().parents[1]
KERNELS = ROOT / "kernels/c"
PEERS = ROOT / "scripts/peers"
CUTS = ("b1c2", "b2pool", "b3c2", "b4pool")
BITS = (8, 4, 2)
ROUNDS = 25
DECODERS: tuple[Decoder, ...] = ("X1", "X2")
BLOCKS = {17: "128 KiB", 20: "1 MiB"}


def main() -> None:
    """Prefix codes alone, whole calls with them, whole calls with all modes."""
    try:
        huff0 = Huff0.build(CACHE)
    except MissingPeerError as missing:
        CONSOLE.print(str(missing))
        return
    tensors = vgg16_tensors(1, CUTS)
    indices = {
        (name, bits): np.ascontiguousarray(uniform_indices(tensor[0], bits))
        for bits in BITS
        for name, tensor in tensors.items()
    }
    show(
        "prefix codes alone beside Huff0 (128 KiB blocks, its faster decoder), measured in C",
        [
            "tensor",
            "bits",
            "block",
            "encode MB/s",
            "Huff0",
            "ratio",
            "decode MB/s",
            "Huff0",
            "ratio",
        ],
        codes_alone(indices),
    )
    rows: list[list[str]] = []
    for (name, bits), symbols in indices.items():
        rows += [beside_huff0(huff0, name, bits, symbols, log2) for log2 in BLOCKS]
    show(
        "whole calls, order-0 modes, beside Huff0: Msymbol/s and ratio, measured",
        ["tensor", "bits", "block", "encode", "Huff0", "ratio", "decode", "Huff0", "ratio"],
        rows,
    )
    show(
        "whole calls, all modes: Msymbol/s, measured",
        ["tensor", "bits", "encode", "decode", "decode, 2 threads"],
        (all_modes(name, bits, symbols) for (name, bits), symbols in indices.items()),
    )


def codes_alone(indices: dict[tuple[str, int], np.ndarray]) -> list[list[str]]:
    """What bench_huffman.c says of each tensor, at both block sizes."""
    rows: list[list[str]] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        sources = [PEERS / "bench_huffman.c", PEERS / "huff0.c", *KERNELS.glob("huffman_*.c")]
        sources += [KERNELS / "packing.c", KERNELS / "cpu_features.c"]
        command = [
            "gcc",
            "-std=c11",
            "-O3",
            "-ffp-contract=off",
            f"-I{KERNELS}",
            *map(str, sources),
        ]
        subprocess.run([*command, "-l:libzstd.a", "-o", str(folder / "bench")], check=True)
        for (tensor, bits), symbols in indices.items():
            symbols.tofile(folder / tensor)
            run = [str(folder / "bench"), str(bits), tensor]
            said = subprocess.run(run, check=True, capture_output=True, text=True, cwd=folder)
            rows += [
                [tensor, str(bits), *cells] for cells in map(_parsed, said.stdout.splitlines())
            ]
    return rows


def _parsed(line: str) -> list[str]:
    """Block, then speed, Huff0's and ratio of encoding and of decoding."""
    numbers = re.findall(r"[\d.]+", line.partition(" bits ")[2])
    block, _, _, huff0, ours, ratio, _, x1, _, x2, mine, ratio2 = numbers
    return [
        f"{block} KiB",
        ours,
        huff0,
        ratio,
        mine,
        f"{max(float(x1), float(x2)):.0f}",
        ratio2,
    ]


def beside_huff0(
    huff0: Huff0, name: str, bits: int, symbols: np.ndarray, block_log2: int
) -> list[str]:
    """One row of the first table."""
    flat = symbols.reshape(-1)
    encode, decode = ours(symbols, bits, coder.FAST_MODES, block_log2)
    coded = huff0.encode(flat)
    took = fastest(
        {
            "encode": encode,
            "huff0 encode": lambda: huff0.encode_s(flat, 1),
            "decode": decode,
            **{
                which: lambda which=which: huff0.decode_s(coded, flat.size, which, 1)
                for which in DECODERS
            },
        },
        ROUNDS,
    )
    took["huff0 decode"] = min(took[which] for which in DECODERS)
    cells = [name, str(bits), BLOCKS[block_log2]]
    for what in ("encode", "decode"):
        mine, theirs = took[what], took[f"huff0 {what}"]
        cells += [rate(flat.size, mine), rate(flat.size, theirs), f"{theirs / mine:.2f}"]
    return cells


def all_modes(name: str, bits: int, symbols: np.ndarray) -> list[str]:
    """One row of the second table."""
    encode, decode = ours(symbols, bits, coder.MODES, coder.DEFAULT_BLOCK_LOG2)
    blob = encoded(symbols, bits, coder.MODES, coder.DEFAULT_BLOCK_LOG2)
    out = np.empty(symbols.size, np.uint8)
    took = fastest(
        {
            "encode": encode,
            "decode": decode,
            "threads": lambda: coder.decode_into(blob, out, threads=2),
        },
        5,
    )
    return [name, str(bits), *(rate(symbols.size, seconds) for seconds in took.values())]


def ours(
    symbols: np.ndarray, bits: int, modes: tuple[str, ...], block_log2: int
) -> tuple[Callable[[], None], Callable[[], None]]:
    """Encode and decode, checked once."""
    blob = encoded(symbols, bits, modes, block_log2)
    out = np.empty(symbols.size, np.uint8)
    coder.decode_into(blob, out)
    if not np.array_equal(out, symbols.reshape(-1)):
        raise AssertionError("what is timed does not come back")

    def encode() -> None:
        encoded(symbols, bits, modes, block_log2)

    return encode, lambda: coder.decode_into(blob, out)


def encoded(symbols: np.ndarray, bits: int, modes: tuple[str, ...], block_log2: int) -> bytes:
    """The indices as a tensor of their own."""
    quantizer = coder.Quantizer("integers", width=bits, offset=0)
    return coder.encode(
        symbols.reshape(-1),
        "uint8",
        symbols.shape,
        quantizer,
        modes=modes,
        block_log2=block_log2,
    )


def rate(count: int, seconds: float) -> str:
    """Millions of symbols in a second."""
    return f"{count / seconds / 1e6:,.0f}"


if __name__ == "__main__":
    main()
