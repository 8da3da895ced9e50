"""The main job: train the digit network, cut it everywhere, run every cut, and say what is best.

Everything is real: the digits are MNIST's, the edge parts are programs for a Cortex-A53 that run
under qemu-user, what crosses is coded and decoded, and the cloud parts finish on this machine.
Each edge part is also built for a PYNQ-Z2 with our accelerator, whose RTL is simulated.
Finished steps are kept under out/demo, so a second run is quick.
"""

from __future__ import annotations

import hashlib
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

import joulecut as jc
from joulecut.cli.doctor import machine_line
from joulecut.compiler.cut import Cut
from joulecut.compiler.errors import DeviceError
from joulecut.compiler.graph import Graph, nodes
from joulecut.compiler.profile import Profile
from joulecut.compiler.quant import qtype_of
from joulecut.compiler.report import cut_table
from joulecut.compiler.report.cut_table import CutRow
from joulecut.compiler.verify import Report
from joulecut.hw.energy_table import EnergyTable, load_table
from joulecut.hw.radio import RadioLink
from joulecut.targets.base import target
from joulecut.targets.cpu.toolchains import compiler
from joulecut.targets.report import study_page
from joulecut.targets.study import Study, run_study

OUT = Path(__file__).resolve().parent.parent / "out" / "demo"
SAMPLES = 1000
ARRAY_EDGE = "pynq_z2+z7020"
REQUIRED_ACCURACY = 0.96

console = Console(highlight=False, width=None if sys.stdout.isatty() else 210)
started = time.perf_counter()


@dataclass(frozen=True)
class Trained:
    """The network, the digits that it never saw, and how Brevitas does on them."""

    model: Path
    images: np.ndarray
    labels: np.ndarray
    logits: np.ndarray
    accuracy: float


def say(text: str) -> None:
    """A step, with the seconds since the start."""
    console.print(f"[bold cyan]{time.perf_counter() - started:6.1f} s[/]  {text}")


def train() -> Trained:
    """Train and export, or take what an earlier run left."""
    from joulecut.zoo.data import mnist
    from joulecut.zoo.export import brevitas_logits, export_qcdq
    from joulecut.zoo.train import Epoch, TrainConfig, load_trained
    from joulecut.zoo.train import train as train_network

    def show(epoch: Epoch) -> None:
        say(
            f"  epoch {epoch.index}/{epoch.count} ({epoch.phase}): loss {epoch.loss:.3f}, "
            f"held-out accuracy {epoch.accuracy:.3f}"
        )

    held_out = mnist.load().held_out
    images, labels = held_out.images[:SAMPLES], held_out.labels[:SAMPLES]
    model = OUT / "digits.onnx"
    say("train the digit network with Brevitas: int8 weights and activations, 4,000 digits")
    recipe = TrainConfig(directory=OUT).recipe
    folder = OUT / f"training-{hashlib.sha256(recipe.encode()).hexdigest()[:8]}"
    result = train_network(TrainConfig(directory=folder), show)
    module = load_trained(result.path)
    export_qcdq(module, images[:1], model)
    say(f"  held-out accuracy {result.accuracy:.3f} (measured); exported {model.name} (QCDQ)")
    if result.accuracy < REQUIRED_ACCURACY:
        raise SystemExit(
            f"accuracy must be at least {REQUIRED_ACCURACY}, not {result.accuracy}"
        )
    return Trained(model, images, labels, brevitas_logits(module, images), result.accuracy)


def compare_with_brevitas(graph: Graph, trained: Trained) -> None:
    """What lowering to integers changed: rounding ties, and nothing that a class hangs on."""
    (ours,) = jc.run_reference(graph, {graph_input(graph): trained.images})
    dequantize = list(nodes(graph))[-1]
    sums = dequantize.inputs[0]
    meaning = None if sums is None else qtype_of(sums)
    assert meaning is not None, "the network must end in a Dequantize"
    # One unit of a logit's sum is the least by which two integer results can differ.
    apart = np.abs(ours - trained.logits)
    differing = float((apart > np.array(meaning.scale) / 2).mean())
    agreeing = int((ours.argmax(axis=1) == trained.logits.argmax(axis=1)).sum())
    say(
        f"  integers against Brevitas: {differing:.2%} of {ours.size:,} logits differ, by "
        f"{apart.max():.3g} at most; {agreeing:,} of {len(ours):,} classes agree (measured)"
    )


def edge_place() -> tuple[str, str]:
    """The emulated Arm board; this machine, said plainly, if its tools cannot be had."""
    try:
        compiler(target("aarch64"))
        jc.device("qemu:aarch64").check()
    except DeviceError as missing:
        say(f"[yellow]skipped[/]: the edge part on Arm. {missing}")
        say("  the edge part is built for x86-64 and runs here instead")
        return "x86_64", "local"
    return "aarch64", "qemu:aarch64"


def array_place() -> str | None:
    """The board with the accelerator, simulated; None, said plainly, if its tools are absent."""
    try:
        compiler(target("pynq_z2"))
        jc.device("qemu:armv7").check()
        say("build the accelerator's simulation, unless an earlier run has")
        jc.device("fpga-sim").check()
    except DeviceError as missing:
        say(f"[yellow]skipped[/]: the edge part on the accelerator. {missing}")
        return None
    return ARRAY_EDGE


def run_cuts(study: Study, found: Sequence[Cut]) -> list[CutRow]:
    """Every cut through its devices, with a bar on a terminal and a line each in a pipe."""
    bar = Progress(
        TextColumn("         {task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=console,
        disable=not sys.stdout.isatty(),
        transient=True,
    )
    with bar:
        task = bar.add_task("", total=None)

        def advance(cut: str, done: int, count: int) -> None:
            bar.update(task, description=cut, completed=done, total=count)

        rows: list[CutRow] = []
        for cut in found:
            rows += run_study(study, [cut], advance)
            row = rows[-1]
            say(
                f"  {row.cut}: {row.coded_bytes:,.0f} of {row.raw_bytes:,} B, "
                f"{row.identical}/{row.inferences} outputs identical{on_array(row)}"
            )
    return rows


def on_array(row: CutRow) -> str:
    """What the accelerator makes of the edge part."""
    if row.array is None:
        return ""
    return (
        f"; accelerator {row.array.cycles:,} cycles (simulated), "
        f"{row.array.identical}/{row.array.inferences} identical"
    )


def show_table(rows: Sequence[CutRow], best: CutRow) -> None:
    """The closing table; the cheapest cut stands out."""
    shown = Table(title="every cut, built, run and priced", title_justify="left")
    for index, column in enumerate(cut_table.COLUMNS):
        shown.add_column(column, justify="left" if index == 0 else "right")
    for row in rows:
        shown.add_row(*cut_table.cells(row), style="bold green" if row is best else None)
    console.print(shown)


def verify_and_profile(
    bundle: Path, edge_device: str, array_bundle: Path | None
) -> tuple[Report, dict[str, Profile]]:
    """All engines on one bundle, and what each of its layers costs."""
    report = jc.verify(bundle, ["reference", "tvm", "onnxrt"])
    if array_bundle is not None:
        on_rtl = jc.verify(array_bundle, ["rtl"])
        report = replace(report, results=(*report.results, *on_rtl.results))
    shown = Table(title=f"verify {bundle.name}", title_justify="left")
    rows = report.rows()
    for column in rows[0]:
        shown.add_column(column)
    for row in rows:
        shown.add_row(*row.values())
    console.print(shown)
    report.require()
    profiles = {
        "edge": jc.profile(bundle, part="edge", device=edge_device),
        "cloud": jc.profile(bundle, part="cloud", device="local"),
    }
    if array_bundle is not None:
        profiles["edge with the accelerator"] = jc.profile(array_bundle, device="fpga-sim")
    return report, profiles


def main() -> None:
    """Run the main job from training to report."""
    OUT.mkdir(parents=True, exist_ok=True)
    console.print(f"joulecut {jc.__version__} on {machine_line()}")
    trained = train()
    loaded = jc.load(trained.model)
    graph = jc.pipeline(loaded)
    found = jc.cuts(graph)
    compare_with_brevitas(graph, trained)
    say(f"analyze: {jc.dialect_of(loaded)}, {len(found)} legal cuts, all of them listed below")
    edge, edge_device = edge_place()
    table, radio = load_table("horowitz_45nm"), RadioLink()
    study = Study(
        graph=graph,
        feeds={graph_input(graph): trained.images},
        labels=trained.labels,
        trained_accuracy=trained.accuracy,
        table=table,
        radio=radio,
        directory=OUT / f"cuts-{edge}",
        source=trained.model.read_bytes(),
        edge=edge,
        edge_device=edge_device,
        array_edge=array_place(),
    )
    say(f"build each cut for {edge} and x86_64, run {len(trained.images):,} digits through it")
    rows = run_cuts(study, found)
    best = cut_table.cheapest(rows)
    show_table(rows, best)
    # Where sending the input itself is cheapest, the edge has nothing to verify or to profile.
    busy = cut_table.cheapest([row for row in rows if row.edge_macs])
    chosen = found[rows.index(busy)]
    bundle = study.bundle_path(chosen)
    array_bundle = study.array_path(chosen) if study.array_edge is not None else None
    say(f"verify and profile the cheapest cut with work on the edge: {busy.cut}")
    report, profiles = verify_and_profile(bundle, edge_device, array_bundle)
    page = study_page(study, rows, report, profiles, machine_line())
    (OUT / "report.html").write_text(page, encoding="utf-8")
    (OUT / "cuts.json").write_text(json.dumps([row.to_dict() for row in rows], indent=1))
    (OUT / "cuts.md").write_text(markdown(rows), encoding="utf-8")
    conclude(rows, best, radio, table)


def markdown(rows: Sequence[CutRow]) -> str:
    """The closing table for README.md, and where its numbers come from."""
    columns = (
        "cut", "raw B", "coded B", "bits/element (entropy)", "edge MACs", "energy uJ",
        "identical", "accuracy split / Brevitas", "accelerator cycles", "its energy uJ",
        "identical on its RTL",
    )  # fmt: skip
    lines = ["| " + " | ".join(columns) + " |", "|---" * len(columns) + "|"]
    for row in rows:
        cells = (
            row.cut, f"{row.raw_bytes:,}", f"{row.coded_bytes:,.0f}",
            f"{row.coded_bits:.2f} ({row.entropy_bits:.2f})", f"{row.edge_macs:,}",
            f"{row.total_pj / 1e6:.2f}", f"{row.identical}/{row.inferences}",
            f"{row.accuracy or 0:.1%} / {row.trained_accuracy or 0:.1%}",
            *cut_table.array_cells(row.array),
        )  # fmt: skip
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + f"\n\n{machine_line()}\n"


def graph_input(graph: Graph) -> str:
    """The name of the only input."""
    (value,) = graph.graph.inputs
    assert value.name is not None
    return value.name


def conclude(
    rows: Sequence[CutRow], best: CutRow, radio: RadioLink, table: EnergyTable
) -> None:
    """What a reader should take away; exit 1 if any output differed."""
    inferences = sum(row.inferences for row in rows)
    identical = sum(row.identical for row in rows)
    say(
        f"cheapest on the default link ({radio.bandwidth_hz / 1e6:g} MHz, "
        f"{radio.power_w * 1e3:g} mW): [bold]{best.cut}[/], {best.total_pj / 1e6:.2f} uJ per "
        f"inference (modelled, {table.name}), {best.coded_bytes:,.0f} B across the cut (measured)"
    )
    say(
        f"split == unsplit for {identical:,} of {inferences:,} inferences over {len(rows)} cuts"
    )
    arrays = [row.array for row in rows if row.array is not None]
    simulated = sum(array.inferences for array in arrays)
    equal = sum(array.identical for array in arrays)
    if arrays:
        deepest = arrays[-1]
        say(
            f"accelerator ({deepest.target}, simulated RTL): {equal} of {simulated} inferences "
            f"identical; the last cut takes {deepest.cycles:,} cycles, "
            f"{deepest.cycles / deepest.clock_hz * 1e3:.3f} ms at an assumed "
            f"{deepest.clock_hz / 1e6:g} MHz, {deepest.energy_pj / 1e6:.1f} uJ (modelled)"
        )
    say(f"report: {OUT / 'report.html'}")
    if (identical, equal) != (inferences, simulated):
        raise SystemExit(1)


if __name__ == "__main__":
    main()
