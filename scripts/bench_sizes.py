"""Sizes of indices of 2 to 8 bits, lossless, beside peers: bits for each sample."""

from __future__ import annotations

import heapq
from dataclasses import dataclass

import numpy as np
from bench_table import CONSOLE, show, uniform_indices
from codec_data import CACHE, vgg16_tensors
from codec_peers import Peer, peers

from joulecut.compiler import codec
from joulecut.kernels import coder

BITS = range(2, 9)
RIVALS = ("zstd -1", "zstd -19", "nncodec")
BLOCK_EXTRA_BYTES = 16


@dataclass(frozen=True)
class Row:
    """One tensor at one width; sizes in bits for each sample, the whole blob or stream.

    Attributes:
        tensor: name of the cut.
        bits: of an index.
        entropy: order 0, of the whole tensor.
        huffman: an optimal order-0 Huffman code of the whole tensor, without its table.
        fast: ours, order-0 modes only.
        best: ours, all modes.
        rivals: peers by name.
        within_raw: no larger than raw and 16 bytes a block.
    """

    tensor: str
    bits: int
    entropy: float
    huffman: float
    fast: float
    best: float
    rivals: dict[str, float]
    within_raw: bool


def main() -> None:
    """Print the table and how many rows keep what is promised."""
    found, absent = peers(CACHE)
    rivals = [peer for peer in found if peer.name in RIVALS]
    rows = [
        measured(name, bits, uniform_indices(tensor[0], bits), rivals)
        for name, tensor in vgg16_tensors(1).items()
        for bits in BITS
    ]
    names = [peer.name for peer in rivals]
    show(
        "bits for each sample, measured; photo 1 at the cuts of VGG16, min-max quantized",
        ["tensor", "bits", "entropy", "Huffman", "ours fast", "ours", *names, "ours/Huffman"],
        (
            [row.tensor, str(row.bits)]
            + [f"{value:.3f}" for value in (row.entropy, row.huffman, row.fast, row.best)]
            + [f"{row.rivals[name]:.3f}" for name in names]
            + [f"{row.best / row.huffman:.3f}"]
            for row in rows
        ),
    )
    for line in verdicts(rows, names):
        CONSOLE.print(line)
    for reason in absent:
        CONSOLE.print(reason)


def verdicts(rows: list[Row], names: list[str]) -> list[str]:
    """In how many rows the codec is where it should be."""
    total = len(rows)
    lines = [f"no larger than raw + 16 B a block: {sum(r.within_raw for r in rows)} of {total}"]
    for name in names:
        count = sum(row.best <= row.rivals[name] for row in rows)
        lines.append(f"no larger than {name}: {count} of {total}")
    rich_rows = [row for row in rows if row.bits >= 6 and row.tensor != "input"]
    count = sum(row.best <= 0.9 * row.huffman for row in rich_rows)
    lines.append(
        f"at least 10 % below Huffman at 6 to 8 bits after ReLU: {count} of {len(rich_rows)}"
    )
    return lines


def measured(name: str, bits: int, symbols: np.ndarray, rivals: list[Peer]) -> Row:
    """Code the indices with everybody."""
    n = symbols.size
    raw = symbols.tobytes()
    counts = np.bincount(symbols.reshape(-1), minlength=256)
    best = codec.encode(symbols)
    if not np.array_equal(codec.decode(best), symbols):
        raise AssertionError(f"{name} at {bits} bits does not come back")
    blocks = -(-n // (1 << coder.DEFAULT_BLOCK_LOG2))
    return Row(
        tensor=name,
        bits=bits,
        entropy=codec.entropy_bits(symbols),
        huffman=huffman_bits(counts) / n,
        fast=8 * len(codec.encode(symbols, entropy="fast")) / n,
        best=8 * len(best) / n,
        rivals={peer.name: 8 * len(peer.encode(raw)) / n for peer in rivals},
        within_raw=len(best) <= (n * bits + 7) // 8 + BLOCK_EXTRA_BYTES * blocks,
    )


def huffman_bits(counts: np.ndarray) -> int:
    """Bits of all symbols under an optimal prefix code without a limit of length."""
    heap = [int(count) for count in counts if count]
    heapq.heapify(heap)
    if len(heap) == 1:
        return heap[0]
    total = 0
    while len(heap) > 1:
        joined = heapq.heappop(heap) + heapq.heappop(heap)
        total += joined
        heapq.heappush(heap, joined)
    return total


if __name__ == "__main__":
    main()
