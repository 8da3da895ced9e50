"""Random layers for the accelerator: descriptors, a memory that holds their data, and numpy's answer.

Every layer lies whole in the accelerator's memories and is loaded, computed and stored by one
descriptor of each kind.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from joulecut.hw.config import MacArrayConfig
from joulecut.hw.descriptors import Compute, Descriptor, Load, Memory, Operation, Store, Waits
from joulecut.hw.model import packed_lanes

PLANE = 8  # channels that lie side by side in memory


@dataclass
class Layer:
    """What runs and what must come out.

    Attributes:
        name: says what it is.
        descriptors: with addresses in an image of `size` bytes.
        image: bytes to put into memory, by address.
        address: of the result.
        expected: [channels, height, width], 8 bits each.
        size: bytes of memory in use.
    """

    name: str
    descriptors: list[Descriptor]
    image: dict[int, np.ndarray]
    address: int
    expected: np.ndarray
    size: int

    def found(self, memory: np.ndarray) -> np.ndarray:
        """What a run left at `address`, as `expected`."""
        channels, height, width = self.expected.shape
        planes = -(-channels // PLANE)
        data = memory[self.address : self.address + planes * height * width * PLANE]
        blocks = data.reshape(planes, height, width, PLANE).transpose(0, 3, 1, 2)
        return blocks.reshape(-1, height, width)[:channels].view(self.expected.dtype)

    def put(self, memory: np.ndarray) -> None:
        """Writes the image."""
        for address, data in self.image.items():
            memory[address : address + data.size] = data

    def moved(self, by: int, after: tuple[int, int, int]) -> Layer:
        """The same layer `by` bytes further, run after so many loads, computations and stores."""
        loads, computes, stores = after

        def later(waits: Waits) -> Waits:
            return Waits(
                waits.load and waits.load + loads,
                waits.compute and waits.compute + computes,
                waits.store + stores,
            )

        moved: list[Descriptor] = []
        for descriptor in self.descriptors:
            waits = later(descriptor.waits)
            if isinstance(descriptor, Compute):
                moved.append(replace(descriptor, waits=waits))
            else:
                moved.append(replace(descriptor, address=descriptor.address + by, waits=waits))
        image = {address + by: data for address, data in self.image.items()}
        return replace(self, descriptors=moved, image=image, address=self.address + by)


class Image:
    """Data at multiples of 128 bytes, one behind the other."""

    def __init__(self) -> None:
        self.data: dict[int, np.ndarray] = {}
        self.end = 0

    def add(self, array: np.ndarray) -> int:
        """Appends an array and returns its address."""
        data = np.ascontiguousarray(array).view(np.uint8).reshape(-1)
        address = self.reserve(data.size)
        self.data[address] = data
        return address

    def reserve(self, size: int) -> int:
        """Room for as many bytes."""
        address = self.end
        self.end = -(-(address + size) // 128) * 128
        return address


def planes(x: np.ndarray, multiple: int, fill: int = 0) -> np.ndarray:
    """[C, H, W] as [C / 8, H, W, 8], C filled up to a multiple."""
    channels, height, width = x.shape
    full = np.full((-(-channels // multiple) * multiple, height, width), fill, x.dtype)
    full[:channels] = x
    return full.reshape(-1, PLANE, height, width).transpose(0, 2, 3, 1)


def parameters(bias: np.ndarray, scale: np.ndarray, channels: int, rows: int) -> np.ndarray:
    """Biases and multipliers of tiles of some channels, which take as many words as rows."""
    tiles = -(-len(bias) // channels)
    full = np.zeros((tiles, rows, 2), np.uint32)
    full[..., 1] = np.float32(1).view(np.uint32)
    at = np.arange(len(bias))
    spots = at // channels, at % channels
    full[*spots, 0] = bias.astype(np.int32).view(np.uint32)
    full[*spots, 1] = scale.astype(np.float32).view(np.uint32)
    return full


def requantized(total: np.ndarray, zero_point: int, low: int, high: int) -> np.ndarray:
    """float32 -> clamp(rhe(total) + zero_point)."""
    assert total.dtype == np.float32
    return np.clip(np.rint(total).astype(np.float64) + zero_point, low, high).astype(np.int64)


@dataclass(frozen=True)
class Ends:
    """Types and zero points of a layer."""

    is_unsigned: bool
    x_zero_point: int
    zero_point: int
    low: int
    high: int

    @property
    def dtype(self) -> type[np.integer]:
        """Of activations, in and out."""
        return np.uint8 if self.is_unsigned else np.int8


def ends(rng: np.random.Generator) -> Ends:
    """Random ones."""
    is_unsigned = bool(rng.integers(2))
    low, high = (0, 255) if is_unsigned else (-128, 127)
    zero_points = rng.integers(low, high + 1, 2)
    return Ends(
        is_unsigned,
        int(zero_points[0]),
        int(zero_points[1]),
        int(rng.integers(low, low + 20)),
        int(rng.integers(high - 20, high + 1)),
    )


def activations(rng: np.random.Generator, shape: tuple[int, ...], of: Ends) -> np.ndarray:
    """Random ones of a layer's type."""
    low, high = (0, 256) if of.is_unsigned else (-128, 128)
    return rng.integers(low, high, shape).astype(of.dtype)


def strips_of(pixels: int, strip: int) -> tuple[int, int]:
    """How many strips, and how long, all but the last of one length."""
    count = -(-pixels // strip)
    length = -(-pixels // count)
    return -(-pixels // length), length


@dataclass(frozen=True)
class Window:
    """A window's sizes, (y, x) each."""

    kernel: tuple[int, int]
    strides: tuple[int, int] = (1, 1)
    dilations: tuple[int, int] = (1, 1)
    pads: tuple[int, int, int, int] = (0, 0, 0, 0)  # top, left, bottom, right

    def output(self, height: int, width: int) -> tuple[int, int]:
        """Rows and pixels of what comes out."""
        sizes: list[int] = []
        for axis, size in enumerate((height, width)):
            extent = (self.kernel[axis] - 1) * self.dilations[axis] + 1
            room = size + self.pads[axis] + self.pads[axis + 2] - extent
            sizes.append(room // self.strides[axis] + 1)
        return sizes[0], sizes[1]

    def taps(self, x: np.ndarray, fill: int) -> np.ndarray:
        """[C, H, W] -> what each tap sees, [taps, C, height, width]."""
        top, left, bottom, right = self.pads
        padded = np.pad(
            x.astype(np.int64), ((0, 0), (top, bottom), (left, right)), constant_values=fill
        )
        height, width = self.output(*x.shape[1:])
        found: list[np.ndarray] = []
        for ky in range(self.kernel[0]):
            for kx in range(self.kernel[1]):
                y, at = ky * self.dilations[0], kx * self.dilations[1]
                rows = padded[:, y : y + (height - 1) * self.strides[0] + 1 : self.strides[0]]
                found.append(
                    rows[:, :, at : at + (width - 1) * self.strides[1] + 1 : self.strides[1]]
                )
        return np.stack(found)


def window(rng: np.random.Generator, height: int, width: int) -> Window:
    """A random one that fits."""
    kernel = (int(rng.integers(1, min(7, height) + 1)), int(rng.integers(1, min(7, width) + 1)))
    dilations = tuple(
        int(rng.integers(1, 3)) if (k - 1) * 2 < size else 1
        for k, size in zip(kernel, (height, width), strict=True)
    )
    strides = (int(rng.integers(1, 4)), int(rng.integers(1, 4)))
    top, left, bottom, right = (int(rng.integers(0, k)) for k in kernel * 2)
    pads = (top, left, bottom, right)
    return Window(kernel, strides, (dilations[0], dilations[1]), pads)


def conv(
    config: MacArrayConfig,
    rng: np.random.Generator,
    shape: tuple[int, int, int],
    outputs: int,
    win: Window,
    *,
    depthwise: bool = False,
) -> Layer:
    """A convolution of [C, H, W]; one filter a channel if depthwise."""
    of = ends(rng)
    channels, height, width = shape
    rows, columns = config.rows, config.columns
    out_height, out_width = win.output(height, width)
    x = activations(rng, shape, of)
    taps = win.taps(x, of.x_zero_point)  # [taps, C, ..]
    count = len(taps)
    weights = rng.integers(-127, 128, (outputs, 1 if depthwise else channels, count))
    bias = rng.integers(-9999, 9999, outputs)
    if depthwise:
        assert rows == columns
        total = np.einsum("ot,toyx->oyx", weights[:, 0], taps - of.x_zero_point)
        inputs, tiles = 1, -(-outputs // rows)
        full = np.zeros((tiles, count, rows, columns), np.int8)
        at = np.arange(outputs)
        full[at // rows, :, at % rows, at % rows] = weights[:, 0]
    else:
        total = np.einsum("oct,tcyx->oyx", weights, taps - of.x_zero_point)
        inputs, tiles = -(-channels // columns), -(-outputs // rows)
        wide = np.zeros((tiles * rows, inputs * columns, count), np.int8)
        wide[:outputs, :channels] = weights
        blocks = wide.reshape(tiles, rows, inputs, columns, count)
        full = blocks.transpose(0, 4, 2, 1, 3)
    scale = rng.uniform(0.3, 3, outputs) * 60 / (np.abs(total).max() + 1)
    total = (total + bias[:, None, None]).astype(np.float32)
    expected = requantized(
        total * scale.astype(np.float32)[:, None, None], of.zero_point, of.low, of.high
    )
    folded = bias - of.x_zero_point * weights.sum(axis=(1, 2))
    image = Image()
    places = (
        image.add(planes(x, columns)),
        image.add(full),
        image.add(parameters(folded, scale, rows, rows)),
    )
    top, left = win.pads[:2]
    pixels = out_height * out_width
    strips, strip = strips_of(pixels, config.strip)
    compute = Compute(
        is_unsigned=of.is_unsigned,
        strips=strips,
        strip=strip,
        passes=count * inputs,
        activation_word=(-top * width - left) % (1 << 16),
        out_width=out_width,
        pixels=pixels,
        in_width=width,
        in_height=height,
        kernel_width=win.kernel[1],
        stride_y=win.strides[0],
        stride_x=win.strides[1],
        dilation_y=win.dilations[0],
        dilation_x=win.dilations[1],
        pad_top=top,
        pad_left=left,
        x_zero_point=of.x_zero_point,
        input_tiles=inputs,
        output_tiles=tiles,
        input_step=height * width,
        output_step=height * width if depthwise else 0,
        row_step=win.strides[0] * width,
        tap_row_step=win.dilations[0] * width,
        pixel_step=win.strides[1],
        zero_point=of.zero_point,
        low=of.low,
        high=of.high,
    )
    return _finished(
        f"{'depthwise' if depthwise else 'conv'} {shape} -> {outputs} {win}",
        config,
        image,
        compute,
        expected.astype(of.dtype),
        loads=_loads(config, places, planes(x, columns), full.size, tiles),
    )


def packed(
    config: MacArrayConfig,
    rng: np.random.Generator,
    shape: tuple[int, int, int],
    outputs: int,
    win: Window,
) -> Layer:
    """A convolution of few channels, whose padded rows lie in memory byte by byte."""
    of = ends(rng)
    channels, height, width = shape
    rows, columns = config.rows, config.columns
    assert win.dilations == (1, 1)
    x = activations(rng, shape, of)
    taps = win.taps(x, of.x_zero_point)
    kernel_y, kernel_x = win.kernel
    weights = rng.integers(-127, 128, (outputs, channels, kernel_y * kernel_x))
    bias = rng.integers(-9999, 9999, outputs)
    total = np.einsum("oct,tcyx->oyx", weights, taps - of.x_zero_point)
    scale = rng.uniform(0.3, 3, outputs) * 60 / (np.abs(total).max() + 1)
    expected = requantized(
        (total + bias[:, None, None]).astype(np.float32)
        * scale.astype(np.float32)[:, None, None],
        of.zero_point,
        of.low,
        of.high,
    )
    top, left, bottom, right = win.pads
    padded = np.pad(
        x, ((0, 0), (top, bottom), (left, right)), constant_values=of.x_zero_point
    ).transpose(1, 2, 0)
    pitch = -(-padded.shape[1] * channels // columns) * columns
    bytes_ = np.zeros((padded.shape[0], pitch), x.dtype)
    bytes_[:, : padded.shape[1] * channels] = padded.reshape(len(padded), -1)
    window_bytes = kernel_x * channels
    passes = packed_passes(window_bytes, kernel_y, columns)
    lanes = packed_lanes(window_bytes, passes, columns)
    tiles = -(-outputs // rows)
    full = np.zeros((tiles * rows, passes, columns), np.int8)
    by_row = weights.reshape(outputs, channels, kernel_y, kernel_x).transpose(0, 2, 3, 1)
    by_row = by_row.reshape(outputs, kernel_y, window_bytes)
    is_used = (lanes[..., 0] >= 0) & (lanes[..., 0] < kernel_y)
    spots = lanes[is_used]
    full[:outputs, is_used] = by_row[:, spots[:, 0], spots[:, 1]]
    ordered = full.reshape(tiles, rows, passes, columns).transpose(0, 2, 1, 3)
    folded = bias - of.x_zero_point * weights.sum(axis=(1, 2))
    image = Image()
    places = (
        image.add(bytes_),
        image.add(ordered),
        image.add(parameters(folded, scale, rows, rows)),
    )
    out_height, out_width = win.output(height, width)
    pixels = out_height * out_width
    strips, strip = strips_of(pixels, config.strip)
    compute = Compute(
        is_packed=True,
        is_unsigned=of.is_unsigned,
        strips=strips,
        strip=strip,
        passes=passes,
        activation_word=0,
        out_width=out_width,
        pixels=pixels,
        in_width=0,
        in_height=0,
        output_tiles=tiles,
        row_step=win.strides[0] * pitch,
        tap_row_step=pitch,
        pixel_step=win.strides[1] * channels,
        window_bytes=window_bytes,
        zero_point=of.zero_point,
        low=of.low,
        high=of.high,
    )
    loads: list[Descriptor] = [
        Load(memory=Memory.ACTIVATIONS, address=places[0], row_beats=bytes_.size // PLANE),
        Load(memory=Memory.WEIGHTS, address=places[1], row_beats=ordered.size // PLANE),
        Load(memory=Memory.PARAMETERS, address=places[2], row_beats=tiles * rows),
    ]
    return _finished(
        f"packed {shape} -> {outputs} {win}",
        config,
        image,
        compute,
        expected.astype(of.dtype),
        loads=loads,
    )


def packed_passes(window_bytes: int, rows: int, columns: int) -> int:
    """Passes until the last row of a packed window is used up."""
    passes = 1
    while True:
        lanes = packed_lanes(window_bytes, passes, columns)
        if ((lanes[..., 0] == rows - 1) & (lanes[..., 1] == window_bytes - 1)).any():
            return passes
        passes += 1


def pool(
    config: MacArrayConfig,
    rng: np.random.Generator,
    shape: tuple[int, int, int],
    win: Window,
    operation: Operation,
) -> Layer:
    """The largest or the sum of every window, by channel."""
    of = ends(rng)
    channels, height, width = shape
    columns = config.columns
    out_height, out_width = win.output(height, width)
    x = activations(rng, shape, of)
    largest = operation is Operation.LARGEST
    outside = (0 if of.is_unsigned else -128) if largest else of.x_zero_point
    taps = win.taps(x, outside)
    count = len(taps)
    tiles = -(-channels // columns)
    scale = np.full(channels, 1.0 if largest else rng.uniform(0.5, 1.5) / count)
    bias = (
        np.zeros(channels, np.int64) if largest else np.full(channels, -count * of.x_zero_point)
    )
    total = taps.max(axis=0) if largest else taps.sum(axis=0) - count * of.x_zero_point
    real = total.astype(np.float32) * np.float32(scale[0])
    zero_point = 0 if largest else of.zero_point
    expected = requantized(real, zero_point, of.low, of.high)
    image = Image()
    wide = planes(x, columns)
    places = (
        image.add(wide),
        0,
        image.add(parameters(bias, scale, columns, config.rows)),
    )
    top, left = win.pads[:2]
    pixels = out_height * out_width
    strips, strip = strips_of(pixels, config.strip)
    compute = Compute(
        operation=operation,
        is_unsigned=of.is_unsigned,
        strips=strips,
        strip=strip,
        passes=count,
        activation_word=(-top * width - left) % (1 << 16),
        out_width=out_width,
        pixels=pixels,
        in_width=width,
        in_height=height,
        kernel_width=win.kernel[1],
        stride_y=win.strides[0],
        stride_x=win.strides[1],
        dilation_y=win.dilations[0],
        dilation_x=win.dilations[1],
        pad_top=top,
        pad_left=left,
        x_zero_point=outside,
        output_tiles=tiles,
        output_step=height * width,
        row_step=win.strides[0] * width,
        tap_row_step=win.dilations[0] * width,
        pixel_step=win.strides[1],
        zero_point=zero_point,
        low=of.low,
        high=of.high,
    )
    return _finished(
        f"{operation.name} {shape} {win}",
        config,
        image,
        compute,
        expected.astype(of.dtype),
        loads=_loads(config, places, wide, 0, tiles),
    )


def add(config: MacArrayConfig, rng: np.random.Generator, shape: tuple[int, int, int]) -> Layer:
    """Two activations, each scaled."""
    of = ends(rng)
    columns = config.columns
    a, b = activations(rng, shape, of), activations(rng, shape, of)
    zero_a, zero_b = of.x_zero_point, int(activations(rng, (), of))
    scale_a, scale_b = np.float32(rng.uniform(0.1, 1.2)), np.float32(rng.uniform(0.1, 1.2))
    total = (a.astype(np.int64) - zero_a).astype(np.float32) * scale_a
    total = total + (b.astype(np.int64) - zero_b).astype(np.float32) * scale_b
    expected = requantized(total, of.zero_point, of.low, of.high)
    channels, height, width = shape
    tiles = -(-channels // columns)
    pixels = height * width
    image = Image()
    both = np.concatenate([planes(a, columns), planes(b, columns)])
    bias, scale = np.full(channels, -zero_a), np.full(channels, scale_a)
    places = (image.add(both), 0, image.add(parameters(bias, scale, columns, config.rows)))
    strips, strip = strips_of(pixels, config.strip)
    compute = Compute(
        operation=Operation.PAIR,
        is_unsigned=of.is_unsigned,
        strips=strips,
        strip=strip,
        passes=2,
        activation_word=0,
        out_width=width,
        pixels=pixels,
        in_width=width,
        in_height=height,
        input_tiles=2,
        output_tiles=tiles,
        input_step=tiles * pixels,
        output_step=pixels,
        row_step=width,
        zero_point=of.zero_point,
        low=of.low,
        high=of.high,
        addend_zero_point=zero_b,
        addend_scale=float(scale_b),
    )
    return _finished(
        f"add {shape}",
        config,
        image,
        compute,
        expected.astype(of.dtype),
        loads=_loads(config, places, both, 0, tiles),
    )


def _loads(
    config: MacArrayConfig,
    places: tuple[int, int, int],
    wide: np.ndarray,
    weight_bytes: int,
    tiles: int,
) -> list[Descriptor]:
    count, height, width = wide.shape[:3]
    loads: list[Descriptor] = [
        Load(
            memory=Memory.ACTIVATIONS,
            is_planar=True,
            address=places[0],
            row_beats=width,
            rows=height,
            row_stride=width * PLANE,
            planes=count,
            plane_stride=height * width * PLANE,
            plane_words=height * width,
        )
    ]
    if weight_bytes:
        loads.append(
            Load(memory=Memory.WEIGHTS, address=places[1], row_beats=weight_bytes // PLANE)
        )
    loads.append(
        Load(memory=Memory.PARAMETERS, address=places[2], row_beats=tiles * config.rows)
    )
    return loads


def _finished(
    name: str,
    config: MacArrayConfig,
    image: Image,
    compute: Compute,
    expected: np.ndarray,
    *,
    loads: list[Descriptor],
) -> Layer:
    channels, height, width = expected.shape
    pixels = height * width
    count = -(-channels // PLANE)
    address = image.reserve(count * pixels * PLANE)
    lanes = config.rows if compute.operation is Operation.MULTIPLY else config.columns
    store = Store(
        address=address,
        row_beats=pixels,
        planes=count,
        plane_stride=pixels * PLANE,
        plane_words=pixels,
        word_planes=lanes // PLANE,
        waits=Waits(compute=1),
    )
    compute = replace(compute, waits=Waits(load=len(loads)))
    return Layer(name, [*loads, compute, store], image.data, address, expected, image.end)


def fits(config: MacArrayConfig, layer: Layer) -> bool:
    """Does a layer fit into the accelerator's memories whole?"""
    for descriptor in layer.descriptors:
        match descriptor:
            case Load(memory=Memory.ACTIVATIONS):
                if descriptor.beats * PLANE > config.activation_words * config.columns:
                    return False
            case Load(memory=Memory.WEIGHTS):
                if descriptor.beats * PLANE > config.weight_words * config.columns:
                    return False
            case Load():
                if descriptor.beats > config.parameter_words:
                    return False
            case Compute():
                if descriptor.pixels * descriptor.output_tiles > config.output_words:
                    return False
            case Store():
                pass
    return True


def random_layer(config: MacArrayConfig, rng: np.random.Generator) -> Layer:
    """One of any kind that fits."""
    while True:
        height, width = (int(v) for v in rng.integers(1, 20, 2))
        kind = rng.choice(["conv", "conv", "depthwise", "packed", "largest", "sum", "add"])
        if kind == "conv":
            shape = (int(rng.integers(1, 65)), height, width)
            layer = conv(
                config, rng, shape, int(rng.integers(1, 65)), window(rng, height, width)
            )
        elif kind == "depthwise" and config.rows == config.columns:
            channels = int(rng.integers(1, 50))
            shape = (channels, height, width)
            layer = conv(
                config, rng, shape, channels, window(rng, height, width), depthwise=True
            )
        elif kind == "packed":
            win = replace(window(rng, height, width), dilations=(1, 1))
            shape = (int(rng.integers(1, 6)), height, width)
            layer = packed(config, rng, shape, int(rng.integers(1, 40)), win)
        elif kind == "add":
            layer = add(config, rng, (int(rng.integers(1, 60)), height, width))
        elif kind in ("largest", "sum"):
            operation = Operation.LARGEST if kind == "largest" else Operation.SUM
            shape = (int(rng.integers(1, 60)), height, width)
            layer = pool(config, rng, shape, window(rng, height, width), operation)
        else:
            continue
        if fits(config, layer):
            return layer
