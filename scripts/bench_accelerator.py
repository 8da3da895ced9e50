"""Networks on the int8 MAC accelerator: cycles, utilization and energy, checked on the RTL.

Cycles are those of hw/cycles.py, which equal the RTL's counters; with `--rtl` (small networks) or
`--rtl-all` the RTL is run, too, and every value compared with the reference. Times are cycles over
the clock that the design aims at: nobody has run it on a board.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass

import numpy as np
from bench_networks import networks
from bench_table import CONSOLE, show
from peers import scale_sim

import joulecut as jc
from joulecut.compiler.graph import input_specs
from joulecut.compiler.reference import trace
from joulecut.hw.accelerator_energy import accelerator_energy
from joulecut.hw.config import CONFIGS, MacArrayConfig
from joulecut.hw.cycles import Counts, count
from joulecut.hw.descriptors import Descriptor, Operation
from joulecut.hw.energy_table import load_table
from joulecut.targets.fpga.lower import program_of
from joulecut.targets.fpga.program import MODEL_LATENCY, ModelMachine, Program, RtlMachine
from joulecut.targets.fpga.schedule import Memories, Step, listed
from joulecut.targets.fpga.tensors import PackedTensor, Tensor
from joulecut.targets.fpga.tiles import Made, steps_of
from joulecut.targets.fpga.work import Window, Work, best_tiling

PEER_PRODUCTS = 1e6  # of channels and pixels: SCALE-Sim takes minutes for more
SMALL_MACS = 100e6  # networks up to here run on the RTL in seconds
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


def chain(
    config: MacArrayConfig, layers: list[Layer], side: int
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
        steps += steps_of(config, memories, work, made, len(steps), best_tiling(config, work))
        if layer.operation is MULTIPLY:
            macs += layer.inputs * layer.outputs * layer.side**2 * out**2
        x, side = y, out
    return macs, listed(steps).descriptors


def row(
    name: str,
    config: MacArrayConfig,
    macs: int,
    descriptors: list[Descriptor],
    counts: Counts,
    checked: str,
) -> list[str]:
    """One line of the table."""
    energy = accelerator_energy(config, descriptors, load_table("horowitz_45nm"), macs=macs)
    return [
        name,
        f"{macs / 1e6:,.2f}",
        f"{counts.cycles:,}",
        f"{counts.cycles / config.clock_hz * 1e3:.3f}",
        f"{macs / counts.cycles / config.macs_per_cycle:.1%}",
        f"{counts.beats_in * 8e-6:.2f}",
        f"{counts.beats_out * 8e-6:.2f}",
        f"{energy.on_chip_pj_per_mac:.3f}",
        f"{energy.dram / 1e6:,.1f}",
        checked,
    ]


def compared(program: Program, graph: jc.Graph, rtl: bool) -> str:
    """Runs a program and says what was equal."""
    rng = np.random.default_rng(0)
    feeds = {
        spec.name: rng.integers(
            np.iinfo(spec.dtype).min, np.iinfo(spec.dtype).max, spec.shape, spec.dtype, True
        )
        for spec in input_specs(graph)
    }
    expected = trace(graph, feeds)
    machine = RtlMachine(program.config) if rtl else ModelMachine()
    start = time.perf_counter()
    found = machine.run(program, feeds)
    seconds = time.perf_counter() - start
    wrong = sum(int((array != expected[name]).sum()) for name, array in found.items())
    said = f"{wrong} of {sum(a.size for a in found.values()):,} differ"
    if isinstance(machine, RtlMachine):
        same = "counters equal" if machine.counts == program.counts() else "COUNTERS DIFFER"
        return f"RTL: {said}, {same}, {machine.counts.cycles / seconds / 1e6:.2f} Mcycle/s"
    return f"model: {said}"


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


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", help="networks of the bench; all if none")
    parser.add_argument("--config", default="z7020", choices=sorted(CONFIGS))
    parser.add_argument("--peers", action="store_true", help="SCALE-Sim on single layers, too")
    parser.add_argument("--rtl-all", action="store_true", help="large networks on the RTL, too")
    options = parser.parse_args()
    config = CONFIGS[options.config]
    CONSOLE.print(
        f"accelerator '{config.name}': {config.rows} x {config.columns}, {config.lanes} lanes, "
        f"{config.clock_hz / 1e6:.0f} MHz aimed at; memory latency {MODEL_LATENCY} cycles; "
        "cycles modelled, equal to the simulated RTL's; energy modelled (horowitz_45nm); "
        "never run on a board"
    )
    rows: list[list[str]] = []
    for network in networks(options.names).values():
        graph = jc.pipeline(jc.load(network.qdq_path))
        program = program_of(graph, config)
        rtl = options.rtl_all or program.macs <= SMALL_MACS
        checked = compared(program, graph, rtl)
        made = list(program.descriptors)
        rows.append(row(network.name, config, program.macs, made, program.counts(), checked))
        CONSOLE.print(f"{network.name}: {checked}")
    if not options.names:
        for name, (layers, side) in CHAINS.items():
            macs, made = chain(config, layers, side)
            counts = count(config, made, latency=MODEL_LATENCY)
            rows.append(row(name, config, macs, made, counts, "by sizes only"))
    columns = ["network", "MMAC", "cycles", "ms", "utilization", "MB in", "MB out"]
    columns += ["pJ/MAC on chip", "DRAM uJ", "checked"]
    show("on the accelerator", columns, rows)
    if options.peers:
        beside_scale_sim(config)


if __name__ == "__main__":
    main()
