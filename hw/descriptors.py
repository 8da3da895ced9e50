"""What the accelerator does, one record for each thing, as 64 bytes in memory.

Addresses and strides are in bytes of the memory that the accelerator shares with the processor,
words in those of its own memories (hw/config.py). `waits` says how many loads, computations and
stores, counted from the first of the list, must have ended before this starts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from enum import IntEnum
from typing import ClassVar

import numpy as np

from joulecut.hw.config import BEAT_BYTES
from joulecut.hw.regs import DESCRIPTOR_BYTES, KINDS, OPCODES, WORDS, Field

_COUNTER = 1 << 16  # at which what has ended starts again from 0


class DescriptorError(ValueError):
    """A descriptor says what the accelerator cannot do."""


class Memory(IntEnum):
    """Where a load puts what it reads."""

    ACTIVATIONS = 0
    WEIGHTS = 1
    PARAMETERS = 2


class Operation(IntEnum):
    """What a computation does with the words that it reads."""

    MULTIPLY = 0
    LARGEST = 1
    SUM = 2
    PAIR = 3


@dataclass(frozen=True)
class Waits:
    """How many of each kind must have ended."""

    load: int = 0
    compute: int = 0
    store: int = 0


@dataclass(frozen=True, kw_only=True)
class Move:
    """What loads and stores share: `planes` of `rows` of `row_beats` x 8 bytes of memory.

    Attributes:
        address: of the first row, in bytes.
        row_stride: bytes from row to row.
        plane_stride: bytes from plane to plane.
        row_beats: beats of 8 bytes in a row.
        rows: rows in a plane.
        planes: planes.
        word: first word in the accelerator's memory.
        plane_words: from planes that share words to those in the words behind them.
        waits: what must have ended.
    """

    kind: ClassVar[str]
    address: int
    row_beats: int
    rows: int = 1
    planes: int = 1
    row_stride: int = 0
    plane_stride: int = 0
    word: int = 0
    plane_words: int = 0
    waits: Waits = Waits()

    @property
    def plane_beats(self) -> int:
        """Beats of a plane."""
        return self.row_beats * self.rows

    @property
    def beats(self) -> int:
        """Beats of all planes."""
        return self.plane_beats * self.planes

    def bursts(self) -> list[int]:
        """Beats of every burst, in order: they end where a multiple of 128 bytes does."""
        found: list[int] = []
        for plane in range(self.planes):
            for row in range(self.rows):
                at = self.address + plane * self.plane_stride + row * self.row_stride
                left = self.row_beats
                while left:
                    beats = min(left, 16 - at // BEAT_BYTES % 16)
                    found.append(beats)
                    at += beats * BEAT_BYTES
                    left -= beats
        return found


@dataclass(frozen=True, kw_only=True)
class Load(Move):
    """Reads a rectangle.

    Attributes:
        memory: into which.
        is_planar: a plane fills 8 lanes of its words; otherwise beats fill words one by one.
    """

    kind: ClassVar[str] = "load"
    memory: Memory
    is_planar: bool = False


@dataclass(frozen=True, kw_only=True)
class Store(Move):
    """Writes a rectangle of the output memory.

    Attributes:
        word_planes: planes of 8 channels that a word of the output memory holds.
    """

    kind: ClassVar[str] = "store"
    word_planes: int


@dataclass(frozen=True, kw_only=True)
class Compute:
    """Walks over windows; docs/accelerator.md says what every field does.

    The order is: tiles of output channels, strips of pixels, taps of the window row by row, tiles
    of input channels, pixels.
    """

    kind: ClassVar[str] = "compute"
    operation: Operation = Operation.MULTIPLY
    is_packed: bool = False
    is_unsigned: bool = False
    strips: int
    passes: int
    activation_word: int
    weight_word: int = 0
    output_word: int = 0
    parameter_word: int = 0
    out_width: int
    pixels: int
    in_width: int
    in_height: int
    kernel_width: int = 1
    strip: int
    stride_y: int = 1
    stride_x: int = 1
    dilation_y: int = 1
    dilation_x: int = 1
    pad_top: int = 0
    pad_left: int = 0
    x_zero_point: int = 0
    input_tiles: int = 1
    output_tiles: int = 1
    input_step: int = 0
    output_step: int = 0
    row_step: int
    tap_row_step: int = 0
    pixel_step: int = 1
    window_bytes: int = 0
    addend_zero_point: int = 0
    zero_point: int = 0
    low: int = -128
    high: int = 127
    addend_scale: float = 0.0
    waits: Waits = Waits()

    def strip_pixels(self) -> list[int]:
        """Pixels of each strip of a tile of output channels."""
        whole, rest = divmod(self.pixels, self.strip)
        return [self.strip] * whole + [rest] * (rest > 0)


Descriptor = Load | Compute | Store


def pack(descriptors: Sequence[Descriptor]) -> bytes:
    """The list as the accelerator reads it, filled up to an even number with ones of nothing.

    Raises:
        DescriptorError: a value does not fit its field.
    """
    words = np.zeros((len(descriptors) + len(descriptors) % 2, WORDS), np.uint32)
    for number, descriptor in enumerate(descriptors):
        for field in KINDS[descriptor.kind]:
            value = _value(descriptor, field)
            if not field.low <= value <= field.high:
                raise DescriptorError(
                    f"descriptor {number} ({descriptor.kind}): {field.name} must be "
                    f"{field.low}..{field.high}, not {value}"
                )
            bits = (value & (1 << field.width) - 1) << field.lsb
            words[number, field.word] |= np.uint32(bits)
    return words.tobytes()


def unpack(data: bytes) -> list[Descriptor]:
    """The descriptors of a list, those of nothing left out.

    Raises:
        DescriptorError: an opcode that does not exist, or half a descriptor.
    """
    if len(data) % DESCRIPTOR_BYTES:
        raise DescriptorError(
            f"descriptors must be a multiple of {DESCRIPTOR_BYTES} bytes, not {len(data)}"
        )
    words = np.frombuffer(data, np.uint32).reshape(-1, WORDS)
    names = {number: name for name, number in OPCODES.items()}
    found: list[Descriptor] = []
    for number, row in enumerate(words):
        kind = names.get(int(row[0]) & 15)
        if kind is None:
            raise DescriptorError(f"descriptor {number}: opcode {int(row[0]) & 15} is none")
        if kind != "nothing":
            found.append(_unpacked(kind, row))
    return found


def _value(descriptor: Descriptor, field: Field) -> int:
    if field.name == "opcode":
        return OPCODES[descriptor.kind]
    if field.name.startswith("wait_"):
        return getattr(descriptor.waits, field.name.removeprefix("wait_")) % _COUNTER
    if field.name == "addend_scale":
        return int(np.float32(getattr(descriptor, field.name)).view(np.uint32))
    return int(getattr(descriptor, field.name))


def _unpacked(kind: str, row: np.ndarray) -> Descriptor:
    classes: dict[str, type[Descriptor]] = {"load": Load, "compute": Compute, "store": Store}
    values: dict[str, object] = {}
    waits: dict[str, int] = {}
    for field in KINDS[kind]:
        bits = int(row[field.word]) >> field.lsb & (1 << field.width) - 1
        value = bits - (1 << field.width) if bits > field.high else bits
        if field.name.startswith("wait_"):
            waits[field.name.removeprefix("wait_")] = value
        elif field.name == "addend_scale":
            values[field.name] = float(np.uint32(bits).view(np.float32))
        elif field.name not in ("opcode", "plane_beats"):
            values[field.name] = value
    for name in ("is_planar", "is_packed", "is_unsigned"):
        if name in values:
            values[name] = bool(values[name])
    if "memory" in values:
        values["memory"] = Memory(int(str(values["memory"])))
    if "operation" in values:
        values["operation"] = Operation(int(str(values["operation"])))
    names = {field.name for field in fields(classes[kind])}
    given = {name: value for name, value in values.items() if name in names}
    return classes[kind](**given, waits=Waits(**waits))  # pyright: ignore[reportArgumentType]
