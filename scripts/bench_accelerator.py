"""Networks on the int8 MAC accelerator: cycles, utilization and energy, checked on the RTL.

Cycles are those of hw/cycles.py, which equal the RTL's counters; with `--rtl` (small networks) or
`--rtl-all` the RTL is run, too, and every value compared with the reference. Times are cycles over
the clock that the design aims at: nobody has run it on a board.
"""

from __future__ import annotations

import argparse
import time

import numpy as np
from accelerator_chains import CHAINS, chain
from accelerator_peers import beside_scale_sim, beside_zigzag
from bench_networks import networks
from bench_table import CONSOLE, show

import joulecut as jc
from joulecut.compiler.graph import input_specs
from joulecut.compiler.reference import trace
from joulecut.hw.accelerator_energy import accelerator_energy
from joulecut.hw.config import CONFIGS, MacArrayConfig
from joulecut.hw.cycles import Counts, count
from joulecut.hw.descriptors import Descriptor
from joulecut.hw.energy_table import load_table
from joulecut.targets.fpga.lower import program_of
from joulecut.targets.fpga.program import MODEL_LATENCY, ModelMachine, Program, RtlMachine

SMALL_MACS = 100e6  # networks up to here run on the RTL in seconds


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


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", help="networks of the bench; all if none")
    parser.add_argument("--config", default="z7020", choices=sorted(CONFIGS))
    parser.add_argument(
        "--peers", action="store_true", help="SCALE-Sim and ZigZag on single layers, too"
    )
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
        beside_zigzag(config)


if __name__ == "__main__":
    main()
