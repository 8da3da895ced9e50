"""Chains of layers by their sizes alone, as descriptors for the accelerator."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from joulecut.hw.config import MacArrayConfig
from joulecut.hw.descriptors import Descriptor, Operation
from joulecut.targets.fpga.schedule import Memories, Step, listed
from joulecut.targets.fpga.tensors import PackedTensor, Tensor
from joulecut.targets.fpga.tiles import Made, steps_of
from joulecut.targets.fpga.work import Tiling, Window, Work, best_tiling

MULTIPLY, LARGEST, SUM, PAIR = Operation


@dataclass(frozen=True)
class Layer:
    """A layer by its sizes: what comes in, what goes out, its window."""

    inputs: int
    outputs: int
    side: int
    stride: int = 1
    pad: int = 0
    operation: Operation = MULTIPLY


def resnet18() -> list[Layer]:
    """Its convolutions, residual adds and pools; widths of K. He et al., 2015."""
    layers = [Layer(3, 64, 7, 2, 3), Layer(64, 64, 3, 2, 1, LARGEST)]
    width = 64
    for outputs, stride in (
        (64, 1),
        (64, 1),
        (128, 2),
        (128, 1),
        (256, 2),
        (256, 1),
        (512, 2),
        (512, 1),
    ):
        layers += [Layer(width, outputs, 3, stride, 1), Layer(outputs, outputs, 3, 1, 1)]
        layers.append(Layer(outputs, outputs, 1, operation=PAIR))
        width = outputs
    return [*layers, Layer(512, 512, 7, operation=SUM), Layer(512, 1000, 1)]


CHAINS = {
    "ResNet-18 (its chain)": (resnet18(), 224),
    "64 to 64, 56x56": ([Layer(64, 64, 3, 1, 1)], 56),
    "128 to 128, 28x28": ([Layer(128, 128, 3, 1, 1)], 28),
    "256 to 256, 14x14": ([Layer(256, 256, 3, 1, 1)], 14),
    "512 to 512, 7x7": ([Layer(512, 512, 3, 1, 1)], 7),
    "16 to 16, 32x32": ([Layer(16, 16, 3, 1, 1)], 32),
    "32 to 32, 16x16": ([Layer(32, 32, 3, 1, 1)], 16),
    "64 to 64, 8x8": ([Layer(64, 64, 3, 1, 1)], 8),
    "3 to 16, 32x32": ([Layer(3, 16, 3, 1, 1)], 32),
}


def whole(config: MacArrayConfig, work: Work) -> Tiling:
    """One tile, for layers that lie in the memories whole."""
    return Tiling(work.output.height, work.output.width, work.output_tiles(config), False)


def chain(
    config: MacArrayConfig,
    layers: list[Layer],
    side: int,
    tiling_of: Callable[[MacArrayConfig, Work], Tiling] = best_tiling,
) -> tuple[int, list[Descriptor]]:
    """Multiply-accumulates and descriptors of layers one behind the other; no weights."""
    memories, made = Memories.of(config), dict[str, Made]()
    steps: list[Step] = []
    macs = at = 0
    x: Tensor | PackedTensor | None = None
    for number, layer in enumerate(layers):
        pad = layer.pad
        if x is None and layer.inputs < 8:
            pitch = -(-(side + 2 * pad) * layer.inputs // config.columns) * config.columns
            pads = (pad, pad, pad, pad)
            x = PackedTensor("x", 0, layer.inputs, side, side, pads, pitch, True, 0)
            pad = 0
        elif x is None:
            x = Tensor("x", 0, layer.inputs, side, side, True)
        out = (side + 2 * layer.pad - layer.side) // layer.stride + 1
        y = Tensor(f"y{number}", at, layer.outputs, out, out, True)
        at += y.nbytes
        work = Work(
            label=y.name,
            operation=layer.operation,
            inputs=(x, x) if layer.operation is PAIR else (x,),
            output=y,
            window=Window(
                (layer.side, layer.side),
                (layer.stride, layer.stride),
                (1, 1),
                (pad, pad, pad, pad),
            ),
            weights=0,
            parameters=0,
            x_zero_point=0,
            zero_point=0,
            low=0,
            high=255,
        )
        steps += steps_of(config, memories, work, made, len(steps), tiling_of(config, work))
        if layer.operation is MULTIPLY:
            macs += layer.inputs * layer.outputs * layer.side**2 * out**2
        x, side = y, out
    return macs, listed(steps).descriptors
