"""All held-out digits, at every cut, on every target: is split == unsplit, bit for bit?

Takes the network that `make demo` trained, or trains it. Prints one row per cut and target, and
exits with 1 if any output differs.
"""

from __future__ import annotations

import sys
import time

import numpy as np
from demo import OUT, train
from rich.console import Console

import joulecut as jc
from joulecut.cli.doctor import machine_line
from joulecut.compiler.report.cut_table import CutRow
from joulecut.hw.energy_table import load_table
from joulecut.hw.radio import RadioLink
from joulecut.targets.study import Study, run_study

PLACES = {"x86_64": "local", "aarch64": "qemu:aarch64", "armv7": "qemu:armv7"}

console = Console(highlight=False, width=None if sys.stdout.isatty() else 160)


def main() -> None:
    """Run every cut on every target."""
    OUT.mkdir(parents=True, exist_ok=True)
    console.print(f"machine: {machine_line()}")
    trained = train()
    graph = jc.pipeline(jc.load(trained.model))
    (value,) = graph.graph.inputs
    feeds = {str(value.name): trained.images}
    rows: list[CutRow] = []
    for edge, device in PLACES.items():
        started = time.perf_counter()
        study = Study(
            graph=graph,
            feeds=feeds,
            labels=trained.labels,
            trained_accuracy=trained.accuracy,
            table=load_table("horowitz_45nm"),
            radio=RadioLink(),
            directory=OUT / f"cuts-{edge}",
            source=trained.model.read_bytes(),
            edge=edge,
            edge_device=device,
        )
        found = run_study(study, jc.cuts(graph))
        rows += found
        for row in found:
            console.print(
                f"{edge:8} {row.cut:12} {row.identical:5}/{row.inferences} identical, "
                f"accuracy {row.accuracy:.4f}"
            )
        console.print(f"{edge}: {time.perf_counter() - started:.0f} s on {device}")
    total = np.array([(row.identical, row.inferences) for row in rows]).sum(axis=0)
    console.print(f"split == unsplit for {total[0]:,} of {total[1]:,} inferences")
    raise SystemExit(int(total[0] != total[1]))


if __name__ == "__main__":
    main()
