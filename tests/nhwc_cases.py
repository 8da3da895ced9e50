"""Convolutions over planes for every kernel family, and what they must give, by numpy."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from step_runner import run_step, run_steps

from joulecut.targets.base import Target
from joulecut.targets.cpu.epilogue import Integers
from joulecut.targets.cpu.nhwc.conv import Conv, conv
from joulecut.targets.cpu.nhwc.ending import Ending, Term
from joulecut.targets.cpu.nhwc.family import Family
from joulecut.targets.cpu.nhwc.plane import NO_BORDER, Border, Plane
from joulecut.targets.cpu.nhwc.tile import Tile
from joulecut.targets.cpu.script import Step


@dataclass(frozen=True)
class ConvCase:
    channels: int = 16
    outputs: int = 16
    size: tuple[int, int] = (6, 9)
    kernel: tuple[int, int] = (3, 3)
    strides: tuple[int, int] = (1, 1)
    dilations: tuple[int, int] = (1, 1)
    pads: tuple[int, int] = (1, 1)
    group: int = 1
    pool: tuple[int, int] = (1, 1)
    batch: int = 1
    border: Border = NO_BORDER  # of y
    residual: bool = False
    requantize: bool = True
    others: int = 0  # channels of other tensors in each pixel of x and of y


CASES = (
    ConvCase(),
    ConvCase(channels=3, outputs=16, size=(9, 11), strides=(2, 2)),
    ConvCase(channels=1, outputs=7, size=(12, 5), kernel=(10, 4), pads=(4, 1), strides=(2, 2)),
    ConvCase(channels=2, outputs=16, size=(1, 40), kernel=(1, 8), pads=(0, 4), pool=(1, 2)),
    ConvCase(channels=24, outputs=24, size=(1, 33), kernel=(1, 2), pads=(0, 1)),
    ConvCase(channels=5, outputs=40, batch=2, size=(9, 13), kernel=(3, 2), strides=(1, 2)),
    ConvCase(channels=8, outputs=12, group=4, size=(5, 7)),
    ConvCase(channels=8, outputs=40, group=2, dilations=(1, 2), size=(7, 9)),
    ConvCase(channels=16, outputs=24, size=(8, 8), pool=(2, 2), border=Border(1, 2, 3, 1)),
    ConvCase(channels=70, outputs=10, size=(1, 1), kernel=(1, 1), pads=(0, 0)),
    ConvCase(
        channels=70, outputs=33, size=(1, 1), kernel=(1, 1), pads=(0, 0), requantize=False
    ),
    ConvCase(channels=32, outputs=64, kernel=(1, 1), pads=(0, 0), strides=(2, 2)),
    ConvCase(channels=16, outputs=32, residual=True, border=Border(1, 1, 1, 1)),
    ConvCase(channels=20, outputs=18, residual=True, others=6),
    ConvCase(channels=4, outputs=1, size=(3, 3), others=1),
)
TILES = (Tile(1, 4, 1), Tile(2, 2, 2, "channels"), Tile(1, 8, 2), Tile(2, 4, 3))


Job = tuple[Conv, Tile, Family]


def check_conv(
    case: ConvCase, tile: Tile, family: Family, target: Target, folder: Path
) -> None:
    """The kernel of a family computes what numpy does, and writes nothing else."""
    check_jobs([job_of(case, tile, family)], target, folder)


def check_tiles(case: ConvCase, family: Family, target: Target, folder: Path) -> None:
    """The same with every tile."""
    check_jobs([job_of(case, tile, family) for tile in TILES], target, folder)


def job_of(case: ConvCase, tile: Tile, family: Family) -> Job:
    """A random convolution of that shape."""
    rng = np.random.default_rng([case.channels, case.outputs, tile.columns])
    return conv_of(case, family, rng), tile, family


def check_jobs(jobs: Sequence[Job], target: Target, folder: Path) -> None:
    """The same for any convolutions, which one program computes."""
    given = [_buffers_of(*job) for job in jobs]
    steps = [conv(work, family, tile_for(work, tile)) for work, tile, family in jobs]
    made = run_steps(list(zip(steps, given, strict=True)), target, folder)
    for (work, tile, _), buffers, found in zip(jobs, given, made, strict=True):
        wanted = buffers[work.y.name].copy()
        inside(wanted, work.y)[...] = expected_of(work, buffers)
        wrong = np.count_nonzero(found[work.y.name] != wanted)
        assert wrong == 0, f"{wrong} of {wanted.size}: {work.weights.shape} {tile}"


def filters(channels: int, **others: object) -> ConvCase:
    """One filter a channel."""
    return replace(ConvCase(channels, channels, group=channels), **others)


def check_kernel(
    work: Conv,
    kernel: Callable[[Conv], Step],
    target: Target,
    folder: Path,
    x: np.ndarray | None = None,
) -> None:
    """A kernel that is no family's computes what numpy does of random planes, or of `x`."""
    rng = np.random.default_rng(1)
    buffers: dict[str, np.ndarray] = {}
    for plane in (work.x, *work.operands):
        span = np.iinfo(plane.dtype)
        buffers[plane.name] = rng.integers(span.min, span.max, plane.size, plane.dtype, True)
    if x is not None:
        buffers[work.x.name] = x.astype(work.x.dtype)
    before = np.full(work.y.size, 77, work.y.dtype)
    made = run_step(kernel(work), {**buffers, work.y.name: before}, target, folder)
    wanted = before.copy()
    inside(wanted, work.y)[...] = expected_of(work, buffers)
    assert np.array_equal(made[work.y.name], wanted)


def _buffers_of(work: Conv, tile: Tile, family: Family) -> dict[str, np.ndarray]:
    """Random planes to read, and y full of a number that shows what was written."""
    rng = np.random.default_rng([*work.weights.shape, tile.columns])
    low, high = limits(family)
    buffers = {
        plane.name: rng.integers(low, high, plane.size, endpoint=True).astype(plane.dtype)
        for plane in (work.x, *work.operands)
    }
    return {**buffers, work.y.name: np.full(work.y.size, 77, work.y.dtype)}


def limits(family: Family) -> tuple[int, int]:
    """The integers that the family's planes hold; wider types hold those of 8 bits."""
    return (-128, 127) if family.dtype == "int8" else (0, 255)


def tile_for(work: Conv, tile: Tile) -> Tile:
    """The tile with whole pooling windows, no larger than y."""
    rows = min(max(1, tile.rows // work.pool[0]), work.y.rows) * work.pool[0]
    columns = min(max(1, tile.columns // work.pool[1]), work.y.columns) * work.pool[1]
    return replace(tile, rows=rows, columns=columns)


def conv_of(case: ConvCase, family: Family, rng: np.random.Generator) -> Conv:
    """Random weights and scales; results spread over the whole range."""
    out = [
        (n + 2 * p - d * (k - 1) - 1) // s + 1
        for n, p, d, k, s in zip(
            case.size, case.pads, case.dilations, case.kernel, case.strides, strict=True
        )
    ]
    rows, columns = out[0] // case.pool[0], out[1] // case.pool[1]
    border = Border(case.pads[0], case.pads[1], case.pads[0], case.pads[1])
    low, high = limits(family)
    more = case.others
    shape = (case.batch, case.outputs)

    def plane(name: str, channels: int, size: tuple[int, int], around: Border) -> Plane:
        first = min(1, more)
        fixed = (around, channels + more, first, family.dtype, 0, 3)
        return Plane(name, case.batch, *size, channels, *fixed)

    x = plane("x", case.channels, case.size, border)
    y = plane("y", case.outputs, (rows, columns), case.border)
    if not case.requantize:
        y = replace(y, dtype="int32")
    weights = rng.integers(
        max(-128, family.lowest_weight),
        128,
        (case.outputs, case.channels // case.group, *case.kernel),
    ).astype(np.int8)
    weights.flat[0] = max(-128, family.lowest_weight)
    bias = rng.integers(-999, 999, shape[1]).astype(np.int32)
    spread = 127 * 128 * np.sqrt(weights[0].size) / 2
    scale = (rng.uniform(0.5, 1.5, case.outputs) * 90 / spread).astype(np.float32)
    endings = [Ending((Term(None, 0, scale),), Integers(low + 5, low, high, family.dtype))]
    operands: tuple[Plane, ...] = ()
    if case.residual:
        operands = (plane("r", case.outputs, (rows, columns), Border(0, 1, 1, 0)),)
        half = np.array([0.5], np.float32)  # many ties
        terms = (Term(0, low + 9, half), Term(None, low + 5, np.array([0.75], np.float32)))
        endings.append(Ending(terms, Integers(low + 40, low + 10, high, family.dtype)))
    return Conv(
        x,
        y,
        weights,
        bias,
        case.strides,
        case.dilations,
        case.pads,
        case.group,
        case.pool,
        tuple(endings) if case.requantize else (),
        operands,
    )


def inside(buffer: np.ndarray, plane: Plane) -> np.ndarray:
    """A view [N, C, rows, columns] of what is inside the border."""
    b = plane.border
    whole = buffer.reshape(
        plane.batch,
        b.above + plane.rows + b.below,
        b.left + plane.columns + b.right,
        plane.pixel,
    )
    part = whole[:, b.above : b.above + plane.rows, b.left : b.left + plane.columns]
    return part[..., plane.first : plane.first + plane.channels].transpose(0, 3, 1, 2)


def expected_of(work: Conv, buffers: dict[str, np.ndarray]) -> np.ndarray:
    """What the convolution and its endings give, [N, O, rows, columns]."""
    padded = replace(
        work.x,
        rows=work.x.rows + work.x.border.above + work.x.border.below,
        columns=work.x.columns + work.x.border.left + work.x.border.right,
        border=NO_BORDER,
    )
    x = inside(buffers[work.x.name], padded).astype(np.int64)
    rows, columns = work.y.rows * work.pool[0], work.y.columns * work.pool[1]
    outputs, depth, kh, kw = work.weights.shape
    total = np.zeros((work.y.batch, outputs, rows, columns), np.int64)
    total += work.bias[:, None, None]
    each = outputs // work.group
    for g in range(work.group):
        mine = slice(g * each, (g + 1) * each)
        for i in range(kh):
            for j in range(kw):
                down, across = i * work.dilations[0], j * work.dilations[1]
                taps = x[
                    :,
                    g * depth : (g + 1) * depth,
                    down : down + (rows - 1) * work.strides[0] + 1 : work.strides[0],
                    across : across + (columns - 1) * work.strides[1] + 1 : work.strides[1],
                ]
                w = work.weights[mine, :, i, j].astype(np.int64)
                total[:, mine] += np.einsum("nchw,oc->nohw", taps, w)
    windows = (work.y.batch, outputs, work.y.rows, work.pool[0], work.y.columns, work.pool[1])
    return _ended(work, total.reshape(windows).max(axis=(3, 5)), buffers)


def _ended(work: Conv, value: np.ndarray, buffers: dict[str, np.ndarray]) -> np.ndarray:
    for ending in work.endings:
        real: np.ndarray | None = None
        for term in ending.terms:
            x = value
            if term.operand is not None:
                plane = work.operands[term.operand]
                x = inside(buffers[plane.name], plane)
            centred = (x.astype(np.int64) - term.zero_point).astype(np.float32)
            product = centred * term.multiplier.reshape(-1, 1, 1)
            real = product if real is None else real + product
        assert real is not None
        assert real.dtype == np.float32
        target = ending.target
        value = np.clip(np.rint(real) + target.zero_point, target.low, target.high)
    return value
