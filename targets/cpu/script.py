"""TVMScript text of one kernel: the loops, the vectors and the tails that all kernels share.

A kernel is written as text and not with a schedule because the text is the whole truth about it:
it says what is computed in which order on how many lanes, and its hash names the compiled object.
Sizes are constants. A tail shorter than a vector is no special case: the last vector starts
earlier and computes a few elements twice, so that no load or store leaves its buffer.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from textwrap import indent
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
Source = str | Array  # the name of a buffer, or a constant
Statement = Callable[[list[str]], str]  # index of an element -> what to do with it


@dataclass(frozen=True)
class Tiling:
    """How a kernel fills the vector registers of a target.

    Attributes:
        lanes: int32 accumulators side by side, a power of two.
        rows: such groups of lanes that are live at once.
        narrow_products: products of 8-bit numbers are formed in 16 bits where they fit.
        float_lanes: lanes of a kernel whose result is a float; 1 where vectors flush subnormals.
    """

    lanes: int
    rows: int
    narrow_products: bool
    float_lanes: int


@dataclass(frozen=True)
class Arg:
    """A buffer that a kernel reads or writes.

    Attributes:
        name: what the script calls it.
        source: what is passed: the name of a buffer, or a constant.
        shape: as the kernel sees it, which may be a view of the same bytes.
        dtype: numpy's name of the element type.
        offset: elements of the buffer before what the kernel is given.
    """

    name: str
    source: Source
    shape: tuple[int, ...]
    dtype: str
    offset: int = 0

    @property
    def nbytes(self) -> int:
        """Its size."""
        return math.prod(self.shape) * np.dtype(self.dtype).itemsize

    @property
    def offset_bytes(self) -> int:
        """Where the kernel's view begins."""
        return self.offset * np.dtype(self.dtype).itemsize

    def at(self, index: Sequence[str]) -> str:
        """The element at an index of the output, broadcast as numpy does."""
        kept = index[len(index) - len(self.shape) :]
        spots = (
            "0" if size == 1 else spot for size, spot in zip(self.shape, kept, strict=True)
        )
        return f"{self.name}[{', '.join(spots)}]"


@dataclass(frozen=True)
class Step:
    """One call of one kernel; the last argument is written, the others are read.

    Attributes:
        op: what it does, one word, part of the symbol.
        source: TVMScript of a function `main`.
        args: in the order of the parameters.
        tasks: parts that may run at the same time; the function then takes the first and the
            end of those to run. 0: it runs at once.
    """

    op: str
    source: str
    args: tuple[Arg, ...]
    tasks: int = 0

    @property
    def symbol(self) -> str:
        """The name of the C function; steps that do the same share it."""
        return f"jc_{self.op}_{hashlib.sha256(self.source.encode()).hexdigest()[:16]}"

    @property
    def output(self) -> Arg:
        """The buffer that the kernel writes."""
        return self.args[-1]


def constant(name: str, array: Array, shape: tuple[int, ...] | None = None) -> Arg:
    """An argument that is a constant, seen as `shape` if that is given."""
    array = np.ascontiguousarray(array)
    return Arg(name, array, shape or array.shape or (1,), array.dtype.name)


def step(op: str, args: Sequence[Arg], body: str) -> Step:
    """A kernel around `body`, which may name the arguments."""
    parameters = ", ".join(f'{a.name}: T.Buffer({a.shape}, "{a.dtype}")' for a in args)
    return Step(
        op, f"@T.prim_func\ndef main({parameters}):\n{indent(body, '    ')}\n", tuple(args)
    )


def parallel_step(
    op: str, args: Sequence[Arg], body: str, tasks: int, imports: str = ""
) -> Step:
    """A kernel that runs tasks `tasks_begin` to `tasks_end` of `tasks`.

    Args:
        op: what it does, one word.
        args: buffers that `body` may name.
        body: TVMScript.
        tasks: how many there are.
        imports: LLVM IR of the functions that `body` calls.
    """
    buffers = [f'{a.name}: T.Buffer({a.shape}, "{a.dtype}")' for a in args]
    parameters = ", ".join([*buffers, "tasks_begin: T.int32", "tasks_end: T.int32"])
    imported = f'T.attr("llvm", "pragma_import_llvm", {imports!r})' if imports else ""
    text = f"@T.prim_func\ndef main({parameters}):\n{indent(lines(imported, body), '    ')}\n"
    return Step(op, text, tuple(args), tasks)


def nest(headers: Sequence[str], body: str) -> str:
    """`body` inside loops, the first header outermost."""
    for header in reversed(headers):
        body = f"for {header}:\n{indent(body, '    ')}"
    return body


def lines(*parts: str) -> str:
    """Statements one after the other."""
    return "\n".join(part for part in parts if part)


def local(name: str, shape: Sequence[int], dtype: str) -> str:
    """A buffer that lives in registers."""
    return f'{name} = T.alloc_buffer({tuple(shape)}, "{dtype}")'


def lane(name: str, lanes: int) -> str:
    """The header of a loop over the lanes of a vector."""
    return f"{name} in T.vectorized({lanes})" if lanes > 1 else f"{name} in T.serial(1)"


def power_of_two(limit: int) -> int:
    """The largest power of two that is not above `limit`, which must be 1 or more."""
    return 1 << (limit.bit_length() - 1)


def start_of(index: str, size: int, block: int) -> str:
    """Where block number `index` starts; the last one starts early enough to fit."""
    if size <= block:
        return "0"
    return (
        f"{index} * {block}"
        if size % block == 0
        else f"T.min({index} * {block}, {size - block})"
    )


def blocks(size: int, block: int) -> int:
    """Blocks that cover `size`."""
    return -(-size // block)


def vector_nest(
    shape: Sequence[int], lanes: int, statement_at: Statement, *, prefix: str = "i"
) -> str:
    """Loops over all of `shape`, the last axis in vectors; `statement_at` gets the index."""
    *outer, inner = shape
    names = [f"{prefix}{axis}" for axis in range(len(outer))]
    headers = [f"{name} in T.serial({size})" for name, size in zip(names, outer, strict=True)]
    lanes = min(lanes, power_of_two(max(1, inner)))
    block, inside = f"{prefix}b", f"{prefix}v"
    if lanes < 4:
        headers.append(f"{block} in T.serial({inner})")
        return nest(headers, statement_at([*names, block]))
    headers.append(f"{block} in T.serial({blocks(inner, lanes)})")
    headers.append(lane(inside, lanes))
    return nest(headers, statement_at([*names, f"{start_of(block, inner, lanes)} + {inside}"]))
