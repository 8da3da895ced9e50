"""Between dense tensors [N, C, H, W] and planes, and between planes.

Sixteen channels of sixteen pixels are a square of bytes that is transposed in registers; few
channels are interleaved. What is left over at the ends is done again from an earlier start.
"""

from __future__ import annotations

import numpy as np

from joulecut.targets.cpu.nhwc import vector_ir
from joulecut.targets.cpu.nhwc.plane import Plane
from joulecut.targets.cpu.script import (
    Arg,
    Step,
    blocks,
    nest,
    parallel_step,
    power_of_two,
    start_of,
)

_SIDE = 16
_FEW_CHANNELS = 4


def pack(source: Arg, y: Plane) -> Step:
    """A dense tensor into a plane."""
    return _moved("pack", source, y, _plane_arg("Y", y), into_plane=True)


def unpack(x: Plane, target: Arg) -> Step:
    """A plane into a dense tensor."""
    return _moved("unpack", target, x, _plane_arg("X", x), into_plane=False)


def copy(x: Plane, y: Plane) -> Step:
    """The channels of one plane to another of the same size."""
    lanes = min(64, power_of_two(x.channels))
    lane_text = f"{start_of('b', x.channels, lanes)}"
    read = f"X[{_spot(x, 'n', 'h', 'w')} + {lane_text} + l]"
    write = f"Y[{_spot(y, 'n', 'h', 'w')} + {lane_text} + l]"
    body = nest(
        [
            f"w in T.serial({x.columns})",
            f"b in T.serial({blocks(x.channels, lanes)})",
            f"l in T.vectorized({lanes})" if lanes > 1 else "l in T.serial(1)",
        ],
        f"{write} = {read}",
    )
    return _rows("copy", [_plane_arg("X", x), _plane_arg("Y", y)], x, body, "")


def _moved(op: str, dense: Arg, plane: Plane, other: Arg, *, into_plane: bool) -> Step:
    """Rows of pixels, one way or the other."""
    channels, columns, image = plane.channels, plane.columns, plane.rows * plane.columns
    d = Arg("D", dense.source, (plane.batch * channels * image,), dense.dtype, dense.offset)
    d_row = f"n * {channels * image} + h * {columns}"
    p_row = _spot(plane, "n", "h", "0")
    imports, body = "", ""
    if dense.dtype in ("int8", "uint8") and plane.itemsize == 1 and columns >= _SIDE:
        w = start_of("w", columns, _SIDE)
        if channels <= _FEW_CHANNELS and plane.is_whole:
            text = _interleave(channels, plane.shift, into_plane=into_plane)
            headers, c = [f"w in T.serial({blocks(columns, _SIDE)})"], "0"
        elif channels >= _SIDE:
            text = _transpose(plane.shift, into_plane=into_plane)
            headers = [
                f"b in T.serial({blocks(channels, _SIDE)})",
                f"w in T.serial({blocks(columns, _SIDE)})",
            ]
            c = start_of("b", channels, _SIDE)
        else:
            text, headers, c = "", [], ""
        if text:
            at_d = f"T.address_of(D[{d_row} + ({c}) * {image} + {w}])"
            at_p = f"T.address_of({other.name}[{p_row} + {c} + ({w}) * {plane.pixel}])"
            name = vector_ir.name_of(text)
            call = f'T.call_extern("int32", "{name}", {at_d}, {image}, {at_p}, {plane.pixel})'
            body, imports = nest(headers, f"T.evaluate({call})"), text
    if not imports:
        one = f"{other.name}[{p_row} + w * {plane.pixel} + c]"
        two = f"D[{d_row} + c * {image} + w]"
        write, read = (one, two) if into_plane else (two, one)
        sign = plane.shift if into_plane else -plane.shift
        value = f'T.cast({read}, "int32")' + (f" + {sign}" if sign else "")
        headers = [f"w in T.serial({columns})", f"c in T.serial({channels})"]
        to = plane.dtype if into_plane else dense.dtype
        text = (
            read
            if to == (dense.dtype if into_plane else plane.dtype) and not sign
            else f'T.cast({value}, "{to}")'
        )
        body = nest(headers if into_plane else headers[::-1], f"{write} = {text}")
    args = [d, other] if into_plane else [other, d]
    return _rows(op, args, plane, body, imports)


def _rows(op: str, args: list[Arg], plane: Plane, body: str, imports: str) -> Step:
    tasks = plane.batch * plane.rows
    row = "(tasks_begin + task)"
    header = [
        "task in T.serial(tasks_end - tasks_begin)",
        f"n in T.serial({row} // {plane.rows}, {row} // {plane.rows} + 1)",
        f"h in T.serial({row} % {plane.rows}, {row} % {plane.rows} + 1)",
    ]
    return parallel_step(op, args, nest(header, body), tasks, imports)


def _spot(plane: Plane, sample: str, row: str, column: str) -> str:
    return f"{sample} * {plane.sample} + {row} * {plane.row} + {column} * {plane.pixel}"


def _plane_arg(name: str, plane: Plane) -> Arg:
    return Arg(name, plane.name, (plane.size,), plane.dtype, plane.origin)


def _shifted(value: str, result: str, lanes: int, shift: int) -> str:
    amount = int(np.int8(shift % 256 - 256 if shift % 256 > 127 else shift % 256))
    splat = ", ".join([f"i8 {amount}"] * lanes)
    return f"{result} = add <{lanes} x i8> {value}, <{splat}>"


def _interleave(channels: int, shift: int, *, into_plane: bool) -> str:
    """Sixteen pixels of few channels."""
    lanes = channels * _SIDE
    parameters = "ptr %d, i32 %image, ptr %p, i32 %pixel"
    body: list[str] = []
    for c in range(channels):
        body += [f"%o{c} = mul i32 %image, {c}", f"%d{c} = getelementptr i8, ptr %d, i32 %o{c}"]
    # Vectors are widened in place to the whole number of lanes, then chosen from in a chain.
    if into_plane:
        whole = "poison"
        for c in range(channels):
            spots = [i // channels if i % channels == c else -1 for i in range(lanes)]
            merge = [lanes + i if i % channels == c else i for i in range(lanes)]
            body += [
                f"%v{c} = load <16 x i8>, ptr %d{c}, align 1",
                (
                    f"%w{c} = shufflevector <16 x i8> %v{c}, <16 x i8> poison, "
                    f"{vector_ir.mask(spots)}"
                ),
                (
                    f"%m{c} = shufflevector <{lanes} x i8> {whole}, <{lanes} x i8> %w{c}, "
                    f"{vector_ir.mask(merge)}"
                ),
            ]
            whole = f"%m{c}"
        body += [
            _shifted(whole, "%r", lanes, shift),
            f"store <{lanes} x i8> %r, ptr %p, align 1",
        ]
    else:
        body += [
            f"%a = load <{lanes} x i8>, ptr %p, align 1",
            _shifted("%a", "%r", lanes, -shift),
        ]
        for c in range(channels):
            spots = [i * channels + c for i in range(_SIDE)]
            body += [
                (
                    f"%v{c} = shufflevector <{lanes} x i8> %r, <{lanes} x i8> poison, "
                    f"{vector_ir.mask(spots)}"
                ),
                f"store <16 x i8> %v{c}, ptr %d{c}, align 1",
            ]
    name = f"jc_{'inter' if into_plane else 'de'}leave_{channels}_{shift % 256}"
    return vector_ir.function("i32", name, parameters, *body, "ret i32 0")


def _transpose(shift: int, *, into_plane: bool) -> str:
    """A square of sixteen by sixteen bytes, in four rounds of interleaving halves."""
    parameters = "ptr %d, i32 %image, ptr %p, i32 %pixel"
    source, target = (("%d", "%image"), ("%p", "%pixel"))
    if not into_plane:
        source, target, shift = target, source, -shift
    body: list[str] = []
    for i in range(_SIDE):
        body += [
            f"%so{i} = mul i32 {source[1]}, {i}",
            f"%sp{i} = getelementptr i8, ptr {source[0]}, i32 %so{i}",
            f"%r0.{i} = load <16 x i8>, ptr %sp{i}, align 1",
        ]
    low = [i // 2 + (16 if i % 2 else 0) for i in range(_SIDE)]
    high = [8 + i // 2 + (16 if i % 2 else 0) for i in range(_SIDE)]
    for level in range(4):
        for i in range(_SIDE // 2):
            pair = f"<16 x i8> %r{level}.{i}, <16 x i8> %r{level}.{i + 8}"
            for half, spots in ((0, low), (1, high)):
                body.append(
                    f"%r{level + 1}.{2 * i + half} = shufflevector {pair}, "
                    f"{vector_ir.mask(spots)}"
                )
    for i in range(_SIDE):
        body += [
            _shifted(f"%r4.{i}", f"%z{i}", _SIDE, shift),
            f"%to{i} = mul i32 {target[1]}, {i}",
            f"%tp{i} = getelementptr i8, ptr {target[0]}, i32 %to{i}",
            f"store <16 x i8> %z{i}, ptr %tp{i}, align 1",
        ]
    name = f"jc_transpose_{shift % 256}"
    return vector_ir.function("i32", name, parameters, *body, "ret i32 0")
