"""How many symbols a block has, if nobody says."""

from __future__ import annotations

from joulecut.kernels import coder

_MOST = 18  # larger ones gain less than they lose where statistics change within the tensor


def default_block_log2(n: int) -> int:
    """log2 of the symbols in a block of a tensor of n: a quarter of it, but 2^17 or 2^18.

    Blocks pay for tables, so few are better; threads share decoding, so one is worse.
    """
    return min(max((n // 4).bit_length(), coder.DEFAULT_BLOCK_LOG2), _MOST)
