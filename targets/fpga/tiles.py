"""The steps of a layer: it is cut into tiles, and each has its loads, computation and store.

A tile is some rows and pixels of the output for some tiles of output channels.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from joulecut.hw.config import BEAT_BYTES, MacArrayConfig
from joulecut.hw.descriptors import Compute, Load, Memory, Operation, Store
from joulecut.targets.fpga.schedule import Memories, PlannedLoad, Room, Step
from joulecut.targets.fpga.tensors import PLANE, PackedTensor, Tensor
from joulecut.targets.fpga.work import (
    Tiling,
    Work,
    loaded_tiles,
    weight_words,
)


@dataclass
class Made:
    """Which step wrote which rows of which planes of a tensor."""

    regions: list[tuple[int, int, int, int, int]] = field(
        default_factory=list[tuple[int, int, int, int, int]]
    )

    def add(self, step: int, planes: tuple[int, int], rows: tuple[int, int]) -> None:
        """Notes a region."""
        self.regions.append((step, *planes, *rows))

    def after(self, planes: tuple[int, int], rows: tuple[int, int]) -> int:
        """The last step that wrote some of a region; -1 if none did."""
        return max(
            (
                step
                for step, plane, plane_end, row, row_end in self.regions
                if plane < planes[1] and planes[0] < plane_end
                if row < rows[1] and rows[0] < row_end
            ),
            default=-1,
        )


def steps_of(
    config: MacArrayConfig,
    memories: Memories,
    work: Work,
    made: dict[str, Made],
    first_step: int,
    tiling: Tiling,
) -> list[Step]:
    """The steps of a layer.

    Args:
        config: of the accelerator.
        memories: what is free in them; taken from.
        work: the layer.
        made: by tensor, which step wrote what; added to.
        first_step: the number of the first step.
        tiling: sizes of tiles, which fit.
    """
    plan = _Plan(config, memories, work, made, first_step)
    return plan.steps(tiling)


class _Plan:
    """The steps of one layer while they are made."""

    def __init__(
        self,
        config: MacArrayConfig,
        memories: Memories,
        work: Work,
        made: dict[str, Made],
        first_step: int,
    ) -> None:
        self.config, self.memories, self.work = config, memories, work
        self.made, self.number = made, first_step
        self.by_group = work.operation is not Operation.MULTIPLY or work.is_diagonal
        self.count = work.output_tiles(config)
        self.passes = work.passes(config)
        self.lanes = config.columns // PLANE  # planes in a word of activations

    def steps(self, tiling: Tiling) -> list[Step]:
        y = self.work.output
        spots = [
            (
                row,
                min(tiling.rows, y.height - row),
                column,
                min(tiling.columns, y.width - column),
            )
            for row in range(0, y.height, tiling.rows)
            for column in range(0, y.width, tiling.columns)
        ]
        groups = [
            (at, min(tiling.tiles, self.count - at))
            for at in range(0, self.count, tiling.tiles)
        ]
        if tiling.keeps_weights:
            order = [(spot, group) for group in groups for spot in spots]
        else:
            order = [(spot, group) for spot in spots for group in groups]
        fits = weight_words(self.config, self.work, self.count) <= self.config.weight_words
        fits &= self.count * self.config.rows <= self.config.parameter_words
        whole = (0, self.count) if fits else None

        steps: list[Step] = []
        held: dict[str, tuple[object, list[Room]]] = {}
        loaded: set[tuple[int, int]] = set()  # groups, as long as all of them stay
        for spot, group in order:
            loads: list[PlannedLoad] = []
            some = whole or group
            if held.get("weights", (None,))[0] != some:
                held["weights"] = some, self._weight_rooms(some[1])
                loaded.clear()
            if group not in loaded:
                self._load_weights(group, group[0] - some[0], held["weights"][1], loads)
                loaded.add(group)
            key = (spot, group) if self.by_group else spot
            if held.get("inputs", (None,))[0] != key:
                held["inputs"] = key, [self._take_inputs(spot, group, loads)]
            rooms = [*held["weights"][1], *held["inputs"][1]]
            step = self._step(spot, group, group[0] - some[0], rooms)
            step.loads = loads
            for room in (*rooms, step.room):
                room.user = self.number
            steps.append(step)
            self.number += 1
        return steps

    def _weight_rooms(self, tiles: int) -> list[Room]:
        """Rooms for the weights, if there are any, and the parameters of some tiles."""
        words = weight_words(self.config, self.work, tiles)
        weights = [self.memories.weights.take(words)] if words else []
        return [*weights, self.memories.parameters.take(tiles * self.config.rows)]

    def _load_weights(
        self, group: tuple[int, int], skipped: int, rooms: list[Room], loads: list[PlannedLoad]
    ) -> None:
        """Loads of a group's weights and parameters, `skipped` tiles into their rooms."""
        at, tiles = group
        config, work = self.config, self.work
        *weights, parameters = rooms
        for room in weights:
            load = Load(
                memory=Memory.WEIGHTS,
                address=work.weights + at * self.passes * config.tile_bytes,
                row_beats=config.tile_bytes // BEAT_BYTES,
                planes=tiles
                * self.passes,  # all tiles as one row are too many beats for a field
                plane_stride=config.tile_bytes,
                word=room.word + skipped * self.passes * config.rows,
            )
            loads.append(PlannedLoad(load, room))
        load = Load(
            memory=Memory.PARAMETERS,
            address=work.parameters + at * config.rows * BEAT_BYTES,
            row_beats=tiles * config.rows,
            word=(parameters.word + skipped * config.rows) // self.lanes,
        )
        loads.append(PlannedLoad(load, parameters))

    def _take_inputs(
        self,
        spot: tuple[int, int, int, int],
        group: tuple[int, int],
        loads: list[PlannedLoad],
    ) -> Room:
        row, rows, column, columns = spot
        window = self.work.window
        x = self.work.inputs[0]
        if isinstance(x, PackedTensor):
            first = row * window.strides[0]
            height = (rows - 1) * window.strides[0] + window.kernel[0]
            beats = height * x.pitch // BEAT_BYTES
            room = self.memories.activations.take(
                height * x.pitch // self.config.columns, half=True
            )
            load = Load(
                memory=Memory.ACTIVATIONS,
                address=x.address + first * x.pitch,
                row_beats=beats,
                word=room.word,
            )
            loads.append(PlannedLoad(load, room))
            return room
        top, height, _ = window.inputs(0, row, rows, x.height)
        left, width, _ = window.inputs(1, column, columns, x.width)
        tiles = loaded_tiles(self.config, self.work, group[1])
        room = self.memories.activations.take(tiles * height * width)
        for number, tensor in enumerate(self.work.inputs):
            assert isinstance(tensor, Tensor)
            plane = group[0] * self.lanes if self.by_group else 0
            planes = tensor.planes - plane
            if self.by_group:
                planes = min(planes, group[1] * self.lanes)
            is_whole = width == tensor.width
            load = Load(
                memory=Memory.ACTIVATIONS,
                is_planar=True,
                address=tensor.address
                + plane * tensor.plane_bytes
                + (top * tensor.width + left) * PLANE,
                row_beats=height * width if is_whole else width,
                rows=1 if is_whole else height,
                row_stride=tensor.width * PLANE,
                planes=planes,
                plane_stride=tensor.plane_bytes,
                word=room.word + number * group[1] * height * width,
                plane_words=height * width,
            )
            made = self.made.get(tensor.whole or tensor.name, Made())
            first = tensor.first_plane + plane
            after = made.after((first, first + planes), (top, top + height))
            loads.append(PlannedLoad(load, room, after))
        return room

    def _step(
        self,
        spot: tuple[int, int, int, int],
        group: tuple[int, int],
        skipped: int,
        rooms: list[Room],
    ) -> Step:
        """A step without loads; `skipped` tiles lie before the group in the rooms of weights."""
        config, work = self.config, self.work
        row, rows, column, columns = spot
        at, tiles = group
        y = work.output
        pixels = rows * columns
        strips = -(-pixels // config.strip)
        strip = -(-pixels // strips)
        weights = rooms[0].word + skipped * self.passes * config.rows if len(rooms) == 3 else 0
        out = self.memories.outputs.take(tiles * pixels)
        compute = replace(
            self._walk(spot, group, rooms[-1].word),
            operation=work.operation,
            is_unsigned=work.inputs[0].is_unsigned,
            strips=-(-pixels // strip),
            strip=strip,
            passes=self.passes,
            weight_word=weights,
            output_word=out.word,
            parameter_word=rooms[-2].word + skipped * config.rows,
            output_tiles=tiles,
            zero_point=work.zero_point,
            low=work.low,
            high=work.high,
            addend_zero_point=work.addend_zero_point,
            addend_scale=work.addend_scale,
        )
        per_word = work.channels(config) // PLANE
        plane = at * per_word
        planes = min(tiles * per_word, y.planes - plane)
        is_whole = columns == y.width
        store = Store(
            address=y.address + plane * y.plane_bytes + (row * y.width + column) * PLANE,
            row_beats=pixels if is_whole else columns,
            rows=1 if is_whole else rows,
            row_stride=y.width * PLANE,
            planes=planes,
            plane_stride=y.plane_bytes,
            word=out.word,
            plane_words=pixels,
            word_planes=per_word,
        )
        first = y.first_plane + plane
        self.made.setdefault(y.whole or y.name, Made()).add(
            self.number, (first, first + planes), (row, row + rows)
        )
        return Step([], compute, store, out, work.label)

    def _walk(
        self, spot: tuple[int, int, int, int], group: tuple[int, int], word: int
    ) -> Compute:
        """How a computation walks over the inputs that lie from `word` on; the rest is open."""
        row, rows, column, columns = spot
        window, x = self.work.window, self.work.inputs[0]
        pixels = rows * columns
        if isinstance(x, PackedTensor):
            return Compute(
                strips=0,
                strip=0,
                passes=0,
                is_packed=True,
                activation_word=word,
                out_width=columns,
                pixels=pixels,
                in_width=0,
                in_height=0,
                row_step=window.strides[0] * x.pitch,
                tap_row_step=x.pitch,
                pixel_step=window.strides[1] * x.channels,
                window_bytes=window.kernel[1] * x.channels,
            )
        _, height, pad_top = window.inputs(0, row, rows, x.height)
        _, width, pad_left = window.inputs(1, column, columns, x.width)
        words = height * width
        return Compute(
            strips=0,
            strip=0,
            passes=0,
            activation_word=(word - pad_top * width - pad_left) % (1 << 16),
            out_width=columns,
            pixels=pixels,
            in_width=width,
            in_height=height,
            kernel_width=window.kernel[1],
            stride_y=window.strides[0],
            stride_x=window.strides[1],
            dilation_y=window.dilations[0],
            dilation_x=window.dilations[1],
            pad_top=pad_top,
            pad_left=pad_left,
            x_zero_point=self.work.x_zero_point,
            input_tiles=self.work.input_tiles(self.config),
            input_step=words * (group[1] if self.by_group else 1),
            output_step=words if self.by_group else 0,
            row_step=window.strides[0] * width,
            tap_row_step=window.dilations[0] * width,
            pixel_step=window.strides[1],
        )
