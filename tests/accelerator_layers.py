"""Random layers for the accelerator: descriptors, a memory that holds their data, and numpy's answer.

Every layer lies whole in the accelerator's memories: it is computed by one descriptor and stored
by one. Descriptors and the order of data in memory are those of targets/fpga; what must come out
is computed here, without them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np

from joulecut.hw.config import MacArrayConfig
from joulecut.hw.descriptors import Compute, Descriptor, Operation, Waits
from joulecut.targets.fpga.packing import (
    pack_diagonal,
    pack_parameters,
    pack_rows,
    pack_weights,
)
from joulecut.targets.fpga.schedule import Memories, listed
from joulecut.targets.fpga.tensors import ALIGNMENT, PackedTensor, Tensor
from joulecut.targets.fpga.tiles import steps_of
from joulecut.targets.fpga.work import Tiling, Window, Work, fits

Shape = tuple[int, int, int]  # channels, height, width
PLAIN, DEPTHWISE = "oct,tcyx->oyx", "oct,toyx->oyx"  # sums of [O, C, taps] and [taps, C, ..]
Place = TypeVar("Place", Tensor, PackedTensor)


class TooLargeError(ValueError):
    """A layer does not lie whole in the accelerator's memories."""


@dataclass
class Layer:
    """What runs and what must come out.

    Attributes:
        name: says what it is.
        descriptors: with addresses in an image of `size` bytes.
        image: bytes to put into memory, by address.
        output: where the result lies.
        expected: [channels, height, width], 8 bits each.
        size: bytes of memory in use.
    """

    name: str
    descriptors: list[Descriptor]
    image: dict[int, np.ndarray]
    output: Tensor
    expected: np.ndarray
    size: int

    def found(self, memory: np.ndarray) -> np.ndarray:
        """What a run left, as `expected`."""
        return self.output.get(memory)

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
        output = replace(self.output, address=self.output.address + by)
        return replace(self, descriptors=moved, image=image, output=output)


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

    def hold(self, place: Place, x: np.ndarray) -> Place:
        """Appends an activation as it lies in memory."""
        data = np.zeros(place.nbytes, np.uint8)
        place.put(data, x)
        return replace(place, address=self.add(data))

    def reserve(self, size: int) -> int:
        """Room for as many bytes."""
        address = self.end
        self.end = -(-(address + size) // ALIGNMENT) * ALIGNMENT
        return address


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

    def requantized(self, total: np.ndarray) -> np.ndarray:
        """float32 -> clamp(rhe(total) + zero_point)."""
        assert total.dtype == np.float32
        y = np.clip(np.rint(total).astype(np.float64) + self.zero_point, self.low, self.high)
        return y.astype(self.dtype)


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


def taps_of(win: Window, x: np.ndarray, fill: int) -> np.ndarray:
    """[C, H, W] -> what each tap sees, [taps, C, height, width] of the output."""
    top, left, bottom, right = win.pads
    padded = np.pad(
        x.astype(np.int64), ((0, 0), (top, bottom), (left, right)), constant_values=fill
    )
    sizes: list[int] = []
    for axis in range(2):
        extent = (win.kernel[axis] - 1) * win.dilations[axis] + 1
        sizes.append((padded.shape[axis + 1] - extent) // win.strides[axis] + 1)
    height, width = sizes
    found: list[np.ndarray] = []
    for ky in range(win.kernel[0]):
        for kx in range(win.kernel[1]):
            y, at = ky * win.dilations[0], kx * win.dilations[1]
            rows = padded[:, y : y + (height - 1) * win.strides[0] + 1 : win.strides[0]]
            found.append(
                rows[:, :, at : at + (width - 1) * win.strides[1] + 1 : win.strides[1]]
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


@dataclass(frozen=True)
class Product:
    """The numbers of a convolution, and numpy's answer.

    Attributes:
        of: types and zero points.
        x: [C, H, W].
        weights: [O, C, height, width], or [O, 1, ..] if depthwise.
        bias: [O], with the zero point of x folded in.
        scale: [O], float32.
        expected: [O, height, width].
    """

    of: Ends
    x: np.ndarray
    weights: np.ndarray
    bias: np.ndarray
    scale: np.ndarray
    expected: np.ndarray

    @classmethod
    def drawn(
        cls, rng: np.random.Generator, shape: Shape, outputs: int, win: Window, rule: str
    ) -> Product:
        """Random ones; `rule` sums products of weights [O, C, taps] and taps [taps, C, ..]."""
        of = ends(rng)
        x = activations(rng, shape, of)
        taps = taps_of(win, x, of.x_zero_point) - of.x_zero_point
        channels = 1 if rule == DEPTHWISE else shape[0]
        weights = rng.integers(-127, 128, (outputs, channels, len(taps)))
        bias = rng.integers(-9999, 9999, outputs)
        total = np.einsum(rule, weights, taps)
        scale = (rng.uniform(0.3, 3, outputs) * 60 / (np.abs(total).max() + 1)).astype(
            np.float32
        )
        real = (total + bias[:, None, None]).astype(np.float32) * scale[:, None, None]
        folded = bias - of.x_zero_point * weights.sum(axis=(1, 2))
        shaped = weights.reshape(outputs, channels, *win.kernel)
        return cls(of, x, shaped, folded, scale, of.requantized(real))


def conv(
    config: MacArrayConfig,
    rng: np.random.Generator,
    shape: Shape,
    outputs: int,
    win: Window,
    *,
    depthwise: bool = False,
) -> Layer:
    """A convolution of [C, H, W]; one filter a channel if depthwise."""
    made = Product.drawn(rng, shape, outputs, win, DEPTHWISE if depthwise else PLAIN)
    pack = pack_diagonal if depthwise else pack_weights
    image = Image()
    work = _work(
        image.hold(Tensor("x", 0, *shape, made.of.is_unsigned), made.x),
        made.of,
        win,
        Operation.MULTIPLY,
        made.expected,
    )
    work = replace(work, is_diagonal=depthwise, weights=image.add(pack(made.weights, config)))
    return _finished(config, image, work, made.bias, made.scale, made.expected)


def packed(
    config: MacArrayConfig, rng: np.random.Generator, shape: Shape, outputs: int, win: Window
) -> Layer:
    """A convolution of few channels, whose padded rows lie in memory byte by byte."""
    assert win.dilations == (1, 1)
    made = Product.drawn(rng, shape, outputs, win, PLAIN)
    row = (win.pads[1] + shape[2] + win.pads[3]) * shape[0]
    pitch = -(-row // config.columns) * config.columns
    of, image = made.of, Image()
    place = PackedTensor("x", 0, *shape, win.pads, pitch, of.is_unsigned, of.x_zero_point)
    inside = replace(win, pads=(0, 0, 0, 0))
    work = _work(image.hold(place, made.x), of, inside, Operation.MULTIPLY, made.expected)
    work = replace(work, weights=image.add(pack_rows(made.weights, config)))
    return _finished(config, image, work, made.bias, made.scale, made.expected)


def pool(
    config: MacArrayConfig,
    rng: np.random.Generator,
    shape: Shape,
    win: Window,
    operation: Operation,
) -> Layer:
    """The largest or the sum of every window, by channel."""
    of = ends(rng)
    x = activations(rng, shape, of)
    if operation is Operation.LARGEST:
        of = replace(of, x_zero_point=0 if of.is_unsigned else -128, zero_point=0)
    taps = taps_of(win, x, of.x_zero_point)
    if operation is Operation.LARGEST:
        scale, bias, total = np.float32(1), 0, taps.max(axis=0)
    else:
        scale = np.float32(rng.uniform(0.5, 1.5) / len(taps))
        bias = -len(taps) * of.x_zero_point
        total = taps.sum(axis=0) + bias
    expected = of.requantized(total.astype(np.float32) * scale)
    image = Image()
    place = image.hold(Tensor("x", 0, *shape, of.is_unsigned), x)
    work = _work(place, of, win, operation, expected)
    return _finished(
        config, image, work, np.full(shape[0], bias), np.full(shape[0], scale), expected
    )


def add(config: MacArrayConfig, rng: np.random.Generator, shape: Shape) -> Layer:
    """Two activations, each scaled."""
    of = ends(rng)
    a, b = activations(rng, shape, of), activations(rng, shape, of)
    zero_a, zero_b = of.x_zero_point, int(activations(rng, (), of))
    scale_a, scale_b = np.float32(rng.uniform(0.1, 1.2)), np.float32(rng.uniform(0.1, 1.2))
    total = (a.astype(np.int64) - zero_a).astype(np.float32) * scale_a
    total = total + (b.astype(np.int64) - zero_b).astype(np.float32) * scale_b
    expected = of.requantized(total)
    image, place = Image(), Tensor("x", 0, *shape, of.is_unsigned)
    work = _work(image.hold(place, a), of, Window(), Operation.PAIR, expected)
    work = replace(
        work,
        inputs=(*work.inputs, image.hold(place, b)),
        addend_zero_point=zero_b,
        addend_scale=float(scale_b),
    )
    bias, scale = np.full(shape[0], -zero_a), np.full(shape[0], scale_a)
    return _finished(config, image, work, bias, scale, expected)


def _work(
    x: Tensor | PackedTensor, of: Ends, win: Window, operation: Operation, expected: np.ndarray
) -> Work:
    """A layer of one input; where weights, parameters and the output lie is open."""
    channels, height, width = expected.shape
    return Work(
        label=f"{operation.name} {x} {win}",
        operation=operation,
        inputs=(x,),
        output=Tensor("y", 0, channels, height, width, of.is_unsigned),
        window=win,
        weights=0,
        parameters=0,
        x_zero_point=of.x_zero_point,
        zero_point=of.zero_point,
        low=of.low,
        high=of.high,
    )


def _finished(
    config: MacArrayConfig,
    image: Image,
    work: Work,
    bias: np.ndarray,
    scale: np.ndarray,
    expected: np.ndarray,
) -> Layer:
    whole = Tiling(
        work.output.height, work.output.width, work.output_tiles(config), keeps_weights=False
    )
    if not fits(config, work, whole):
        raise TooLargeError(work.label)
    numbers = pack_parameters(bias, scale, work.channels(config), config.rows)
    output = replace(work.output, address=image.reserve(work.output.nbytes))
    work = replace(work, parameters=image.add(numbers), output=output)
    steps = steps_of(config, Memories.of(config), work, {}, 0, whole)
    descriptors = listed(steps).descriptors
    return Layer(work.label, descriptors, image.data, output, expected, image.end)


def random_layer(config: MacArrayConfig, rng: np.random.Generator) -> Layer:
    """One of any kind that fits."""
    while True:
        try:
            return _any_layer(config, rng)
        except TooLargeError:
            continue


def _any_layer(config: MacArrayConfig, rng: np.random.Generator) -> Layer:
    height, width = (int(v) for v in rng.integers(1, 20, 2))
    win = window(rng, height, width)
    kinds = ["conv", "conv", "packed", "largest", "sum", "add"]
    if config.rows == config.columns:
        kinds.append("depthwise")
    match str(rng.choice(kinds)):
        case "conv":
            shape = (int(rng.integers(1, 65)), height, width)
            return conv(config, rng, shape, int(rng.integers(1, 65)), win)
        case "depthwise":
            channels = int(rng.integers(1, 50))
            return conv(config, rng, (channels, height, width), channels, win, depthwise=True)
        case "packed":
            win = replace(win, dilations=(1, 1))
            shape = (int(rng.integers(1, 6)), height, width)
            return packed(config, rng, shape, int(rng.integers(1, 40)), win)
        case "add":
            return add(config, rng, (int(rng.integers(1, 60)), height, width))
        case kind:
            operation = Operation.LARGEST if kind == "largest" else Operation.SUM
            shape = (int(rng.integers(1, 60)), height, width)
            return pool(config, rng, shape, win, operation)
