"""What a list of descriptors computes: the accelerator's function without its clock.

Equal to the RTL in every byte that a store writes. Descriptors run one after the other, which is
what a correct list computes in any case; lists whose waits are wrong differ on the RTL.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from joulecut.hw.config import BEAT_BYTES, MacArrayConfig
from joulecut.hw.descriptors import (
    Compute,
    Descriptor,
    DescriptorError,
    Load,
    Memory,
    Move,
    Operation,
    Store,
)

Array = npt.NDArray[np.generic]
_WORDS = 1 << 16  # word addresses have 16 bits, and the memories see the lower ones


class AcceleratorModel:
    """The accelerator's memories, and what descriptors make of them.

    Args:
        config: its sizes.
        memory: bytes that it shares with the processor; loads read and stores write them.
    """

    def __init__(self, config: MacArrayConfig, memory: npt.NDArray[np.uint8]) -> None:
        self.config = config
        self.memory = memory
        rows, columns = config.rows, config.columns
        self.activations = np.zeros((config.activation_words, columns), np.uint8)
        self.weights = np.zeros((config.weight_words, columns), np.uint8)
        self.biases = np.zeros(config.parameter_words, np.int32)
        self.scales = np.zeros(config.parameter_words, np.float32)
        self.outputs = np.zeros((config.output_words, rows), np.uint8)

    def run(self, descriptors: Sequence[Descriptor]) -> None:
        """Executes a list in order.

        Raises:
            DescriptorError: a load or a store leaves the memory.
        """
        for number, descriptor in enumerate(descriptors):
            match descriptor:
                case Load():
                    self._load(descriptor, number)
                case Store():
                    self._store(descriptor, number)
                case Compute():
                    self._compute(descriptor)

    def _beats(self, move: Move, number: int) -> npt.NDArray[np.intp]:
        """Byte addresses of beats, [planes, beats of a plane, 8]."""
        at = (
            move.address
            + np.arange(move.planes)[:, None, None] * move.plane_stride
            + np.arange(move.rows)[:, None] * move.row_stride
            + np.arange(move.row_beats) * BEAT_BYTES
        ).reshape(move.planes, -1)
        if at.size and (at.min() < 0 or at.max() + BEAT_BYTES > self.memory.size):
            raise DescriptorError(
                f"descriptor {number} ({move.kind}): addresses must be within "
                f"0..{self.memory.size - 1}, not {at.min()}..{at.max() + BEAT_BYTES - 1}"
            )
        return at[:, :, None] + np.arange(BEAT_BYTES)

    def _load(self, load: Load, number: int) -> None:
        data = self.memory[self._beats(load, number)]
        columns = self.config.columns
        if load.memory is Memory.PARAMETERS:
            channels = (load.word * (columns // BEAT_BYTES) + np.arange(load.beats)) % len(
                self.biases
            )
            pairs = np.ascontiguousarray(data.reshape(-1, BEAT_BYTES)).view(np.uint32)
            self.biases[channels] = pairs[:, 0].view(np.int32)
            self.scales[channels] = pairs[:, 1].view(np.float32)
            return
        place = self.activations if load.memory is Memory.ACTIVATIONS else self.weights
        words, first = _places(load, columns // BEAT_BYTES, is_planar=load.is_planar)
        lanes = first[..., None] + np.arange(BEAT_BYTES)
        place[words[..., None] % len(place), lanes] = data

    def _store(self, store: Store, number: int) -> None:
        words, first = _places(store, store.word_planes, is_planar=True)
        lanes = first[..., None] + np.arange(BEAT_BYTES)
        self.memory[self._beats(store, number)] = self.outputs[
            words[..., None] % len(self.outputs), lanes
        ]

    def _compute(self, compute: Compute) -> None:
        rows = self.config.rows
        pixels = np.arange(compute.pixels)
        for tile in range(compute.output_tiles):
            channels = compute.parameter_word + tile * rows + np.arange(rows)
            channels %= len(self.biases)
            x = self._windows(compute, tile)
            sums, addends = self._sums(compute, tile, x, self.biases[channels])
            real = sums.astype(np.float32) * self.scales[channels]
            if compute.operation is Operation.PAIR:
                real = real + addends.astype(np.float32) * np.float32(compute.addend_scale)
            y = np.clip(
                np.rint(real).astype(np.float64) + compute.zero_point, compute.low, compute.high
            )
            words = compute.output_word + tile * compute.pixels + pixels
            self.outputs[words % len(self.outputs)] = y.astype(np.int64).astype(np.uint8)

    def _sums(
        self, compute: Compute, tile: int, x: npt.NDArray[np.int64], bias: npt.NDArray[np.int32]
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Sums [pixels, rows] of what passes, [pixels, passes, columns], and second addends."""
        rows = self.config.rows
        if compute.operation is Operation.MULTIPLY:
            at = compute.weight_word + (tile * compute.passes) * rows
            words = (at + np.arange(compute.passes * rows)) % _WORDS % len(self.weights)
            weights = self.weights[words].view(np.int8).reshape(compute.passes, rows, -1)
            columns = weights.transpose(0, 2, 1).reshape(-1, rows).astype(np.float64)
            sums = x.reshape(len(x), -1).astype(np.float64) @ columns  # exact: below 2**53
            return _wrapped(sums.astype(np.int64) + bias), np.zeros((), np.int64)
        lanes = np.zeros((len(x), compute.passes, rows), np.int64)
        count = min(rows, x.shape[2])
        lanes[:, :, :count] = x[:, :, :count]
        if compute.operation is Operation.LARGEST:
            lanes[:, 0] += bias
            return lanes.max(axis=1), np.zeros((), np.int64)
        if compute.operation is Operation.SUM:
            return _wrapped(lanes.sum(axis=1) + bias), np.zeros((), np.int64)
        return lanes[:, 0] + bias, lanes[:, 1] - compute.addend_zero_point

    def _windows(self, compute: Compute, tile: int) -> npt.NDArray[np.int64]:
        """What the columns see of every pixel in every pass, [pixels, passes, columns]."""
        pixels = np.arange(compute.pixels)
        y, x = pixels // compute.out_width, pixels % compute.out_width
        origin = y * compute.row_step + x * compute.pixel_step
        passes = _packed_passes(compute, self.config) if compute.is_packed else None
        if passes is not None:
            data = self.activations.reshape(-1)
            base = compute.activation_word * self.config.columns + origin
            found = data[(base[:, None, None] + passes) % data.size]
            return _signed(found, compute)
        taps, offsets, dy, dx = _passes(compute)
        words = compute.activation_word + origin[:, None] + offsets + tile * compute.output_step
        found = _signed(self.activations[words % _WORDS % len(self.activations)], compute)
        at_y = y[:, None] * compute.stride_y - compute.pad_top + dy
        at_x = x[:, None] * compute.stride_x - compute.pad_left + dx
        is_inside = (at_y >= 0) & (at_y < compute.in_height)
        is_inside &= (at_x >= 0) & (at_x < compute.in_width)
        assert taps == found.shape[1]
        return np.where(is_inside[:, :, None], found, compute.x_zero_point)


def _places(
    move: Move, planes: int, *, is_planar: bool
) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """The word and the first lane of every beat, [planes, beats of a plane]."""
    if is_planar:
        plane = np.arange(move.planes)[:, None]
        words = move.word + plane // planes * move.plane_words + np.arange(move.plane_beats)
        return words, np.broadcast_to(plane % planes * BEAT_BYTES, words.shape)
    beats = np.arange(move.beats).reshape(move.planes, -1)
    return move.word + beats // planes, beats % planes * BEAT_BYTES


def _passes(
    compute: Compute,
) -> tuple[int, npt.NDArray[np.intp], npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """How many passes, and for each the words from the window's first and its place in it."""
    number = np.arange(compute.passes)
    tap, tile = number // compute.input_tiles, number % compute.input_tiles
    ky, kx = tap // compute.kernel_width, tap % compute.kernel_width
    offsets = ky * compute.tap_row_step + kx * compute.dilation_x + tile * compute.input_step
    return compute.passes, offsets, ky * compute.dilation_y, kx * compute.dilation_x


def packed_lanes(window_bytes: int, passes: int, columns: int) -> npt.NDArray[np.intp]:
    """Which row and byte of a packed window each column sees in each pass, [passes, columns, 2].

    A pass takes what is left of a row of the window and fills up with the next row. Columns
    behind the end of that one see bytes that no weight may meet: their row is -1.
    """
    found = np.full((passes, columns, 2), -1, np.intp)
    row, at = 0, 0
    for number in range(passes):
        first = min(columns, window_bytes - at)
        found[number, :first, 0] = row
        found[number, :first, 1] = at + np.arange(first)
        more = min(columns - first, window_bytes)
        found[number, first : first + more, 0] = row + 1
        found[number, first : first + more, 1] = np.arange(more)
        if first == columns and at + first < window_bytes:
            at += columns
        elif more == window_bytes:
            row, at = row + 2, 0
        else:
            row, at = row + 1, more
    return found


def _packed_passes(compute: Compute, config: MacArrayConfig) -> npt.NDArray[np.intp]:
    """Bytes from the first of the window to what each column sees, [passes, columns]."""
    lanes = packed_lanes(compute.window_bytes, compute.passes, config.columns)
    inside = lanes[..., 0] * compute.tap_row_step + lanes[..., 1]
    return np.where(lanes[..., 0] < 0, 0, inside)


def _signed(found: npt.NDArray[np.uint8], compute: Compute) -> npt.NDArray[np.int64]:
    return (found if compute.is_unsigned else found.view(np.int8)).astype(np.int64)


def _wrapped(sums: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Sums as the 32 bits of the array's adders hold them."""
    return sums.astype(np.int32).astype(np.int64)
