"""Cycles and accesses of single layers beside other models of such arrays."""

from __future__ import annotations

from accelerator_chains import CHAINS, Layer, chain, whole
from bench_table import CONSOLE, show
from peers import scale_sim, zigzag

from joulecut.hw.config import MacArrayConfig
from joulecut.hw.cycles import count, loads_of
from joulecut.hw.descriptors import Memory
from joulecut.targets.fpga.program import MODEL_LATENCY

PEER_PRODUCTS = 1e6  # of channels and pixels: SCALE-Sim takes minutes for more


def beside_scale_sim(config: MacArrayConfig) -> None:
    """Layers of 3x3 beside the best dataflow of SCALE-Sim on an array of the same size."""
    sizes = {
        name: (layers, side)
        for name, (layers, side) in CHAINS.items()
        if layers[0].inputs * layers[0].outputs * side**2 < PEER_PRODUCTS
    }
    theirs = scale_sim.best(
        {
            name.replace(",", ""): (
                side + 2 * layers[0].pad,
                layers[0].side,
                layers[0].inputs,
                layers[0].outputs,
            )
            for name, (layers, side) in sizes.items()
        },
        config.rows,
        config.columns,
    )
    rows: list[list[str]] = []
    for (name, (layers, side)), peer in zip(sizes.items(), theirs.values(), strict=True):
        counts = count(config, chain(config, layers, side)[1], latency=MODEL_LATENCY)
        array = counts.mac_cycles + counts.weight_stalls + counts.sum_stalls
        numbers = [array, peer.compute, array / peer.compute]
        numbers += [counts.cycles, peer.total, counts.cycles / peer.total]
        rows.append([name, *(f"{n:,}" if isinstance(n, int) else f"{n:.2f}" for n in numbers)])
    columns = ["layer", "array", "SCALE-Sim", "ratio", "all", "with prefetch", "ratio"]
    show("cycles beside SCALE-Sim 3.0.0, its best dataflow, unlimited bandwidth", columns, rows)


# Tiles of input and of output channels, kernel, stride, and the side of the input; all of them
# lie in the memories whole, and their strips are rectangles, which ZigZag's loops can walk over.
SHAPES = (
    (1, 1, 3, 1, 32),
    (2, 2, 3, 1, 16),
    (4, 4, 3, 1, 8),
    (4, 4, 1, 1, 16),
    (2, 2, 5, 1, 16),
    (2, 4, 3, 2, 16),
    (1, 4, 5, 2, 32),
)


def beside_zigzag(config: MacArrayConfig) -> None:
    """Accesses of every memory, which must equal ZigZag's for the same mapping.

    Raises:
        RuntimeError: they do not.
    """
    layers: dict[str, tuple[Layer, int]] = {}
    for inputs, outputs, side, stride, size in SHAPES:
        layer = Layer(inputs * config.columns, outputs * config.rows, side, stride, side // 2)
        name = f"{layer.inputs} to {layer.outputs}, {side}x{side} / {stride}, {size}"
        layers[name] = layer, size
    first = Layer(3, config.rows, 3, 1, 1), 32
    theirs = zigzag.accesses({**layers, "first": first}, config)
    rows: list[list[str]] = []
    for name, (layer, size) in layers.items():
        ours = accesses(config, layer, size)
        if ours != theirs[name]:
            raise RuntimeError(f"{name}: accesses must be ZigZag's {theirs[name]}, not {ours}")
        rows.append([name, *(f"{number:,}" for number in ours.values())])
    columns = [name.replace("_", " ") for name in zigzag.COUNTED]
    title = "accesses, equal to ZigZag 3.9.1's for the same mapping"
    show(title, ["channels, kernel / stride, side", *columns], rows)
    both = {"ours": accesses(config, *first), "ZigZag": theirs["first"]}
    rows = [[who, *(f"{n:,}" for n in found.values())] for who, found in both.items()]
    title = f"accesses of a first layer, 3 to {config.rows} channels, 3x3, 32x32"
    show(title, ["", *columns], rows)
    CONSOLE.print(
        "They differ since ZigZag unrolls whole dimensions: 3 channels x 3 taps are 9 columns and "
        "3 passes. Here a pass takes what is left of a row of the window and fills up with the "
        "next row: 2 passes. It reads two words for a pixel; words of weights are filled up with "
        "zeros, and rows of activations have borders."
    )


def accesses(config: MacArrayConfig, layer: Layer, side: int) -> dict[str, int]:
    """What a layer that lies in the memories whole reads and writes, as `zigzag.COUNTED`."""
    descriptors = chain(config, [layer], side, whole)[1]
    counts = count(config, descriptors, latency=MODEL_LATENCY)
    beats = {
        memory: sum(load.beats for load in loads_of(descriptors, memory)) for memory in Memory
    }
    assert sum(beats.values()) == counts.beats_in
    return {
        "mac_cycles": counts.mac_cycles,
        "activation_reads": counts.activation_reads,
        "weight_reads": counts.weight_reads,
        "sum_updates": counts.sum_updates,
        "sum_drains": counts.sum_drains,
        "output_writes": counts.output_writes,
        "activation_beats": beats[Memory.ACTIVATIONS],
        "weight_beats": beats[Memory.WEIGHTS],
        "output_beats": counts.beats_out,
    }
