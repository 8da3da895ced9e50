"""What the speed of a convolution depends on, in one line: equal lines, equal best tiles.

    3x3 16>32 to 16x16 stride 2x2          kernel, channels of a group > outputs, rows x columns
    1x8 2>16 to 1x512 pool 1x2             rows and columns are those that are stored
    3x3 1>1 to 25x5 groups 64 -128         one filter a channel; a weight is -128
    1x1 24>24 to 56x56 ends 1+2 of 1       two endings of one and two terms, one operand
    1x1 64>16 to 27x27 x-part y-part       pixels of x and y hold other tensors as well

What is usual is left out. Names, weights and scales are not part of it, nor is the width of
borders, which only moves where rows begin.
"""

from __future__ import annotations

from joulecut.targets.cpu.nhwc.conv import Conv

_EDGE = -128  # a weight that some families cannot multiply


def signature(work: Conv) -> str:
    """The line of a convolution."""
    outputs, channels, *kernel = work.weights.shape
    y = work.y
    words = [
        _by(*kernel),
        f"{channels}>{outputs // work.group}",
        f"to {_by(y.rows, y.columns)}",
        *_unless_one("stride", *work.strides),
        *_unless_one("dilation", *work.dilations),
        *_unless_one("pool", *work.pool),
    ]
    if work.group > 1:
        words.append(f"groups {work.group}")
    if y.batch > 1:
        words.append(f"batch {y.batch}")
    words += [f"{name}-part" for name, p in (("x", work.x), ("y", y)) if not p.is_whole]
    if y.dtype != work.x.dtype:
        words.append(y.dtype)
    ends = "+".join(str(len(ending.terms)) for ending in work.endings)
    if ends != "1" or work.operands:
        words.append(
            f"ends {ends or 'none'}" + (f" of {len(work.operands)}" if work.operands else "")
        )
    if int(work.weights.min()) == _EDGE:
        words.append(str(_EDGE))
    return " ".join(words)


def _by(*sizes: int) -> str:
    return "x".join(map(str, sizes))


def _unless_one(name: str, *sizes: int) -> list[str]:
    return [] if all(size == 1 for size in sizes) else [f"{name} {_by(*sizes)}"]
