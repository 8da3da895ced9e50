"""How long the exact search of `joulecut analyze --objective` takes for ResNet-50.

All its cuts x 8 bit widths x 4 quantizers x 3 edges, by energy, by latency, by both and under
bounds; each answer is compared with a plain loop over all candidates. Weights are seeded and batch
normalizations settled on photos; sizes, cuts and joins are those of the network.
"""

# torch annotates only in part.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

import joulecut as jc
from joulecut.compiler.calibration import Calibration, calibrate, crossing
from joulecut.compiler.config import CodecConfig
from joulecut.compiler.graph import Graph
from joulecut.compiler.objective import Objective
from joulecut.compiler.profile import Quantity
from joulecut.compiler.ptq import quantize_static_qdq
from joulecut.compiler.search import Space, pareto, search
from joulecut.hw.energy_table import load_table
from joulecut.hw.links import load_link
from joulecut.targets.base import target
from joulecut.targets.devices.native import machine_line
from joulecut.targets.layer_costs import layer_costs
from joulecut.zoo.data import photos
from joulecut.zoo.export import INPUT_NAME, export_float
from joulecut.zoo.resnet50 import resnet50

OUT = Path(__file__).resolve().parent.parent / "out" / "bench"
EDGES = ("raspberry_pi_4", "pynq_z2", "pynq_z2+z7020")
QUANTIZERS = ("sq", "lloyd", "rdo", "tcq")
BITS = range(1, 9)
LINK = "lte"
CLOUD_CLOCK_HZ = 3e9  # assumed

T = TypeVar("T")
console = Console(highlight=False, width=120)


def main() -> None:
    """Prepare what is not there yet, search, compare and print."""
    console.print(f"{machine_line()}; {os.getloadavg()[0]:.1f} processes run beside this")
    graph, load_s = timed(lambda: jc.pipeline(jc.load(model())))
    cuts, cut_s = timed(lambda: tuple(jc.cuts(graph)))
    settings = [
        CodecConfig.model_validate({"quantizer": name, "bits": bits})
        for name in QUANTIZERS
        for bits in BITS
    ]
    feeds = {INPUT_NAME: images()[:2]}
    calibration, calibrate_s = timed(
        lambda: calibrate(
            graph,
            feeds,
            settings,
            crossing(cuts),
            directory=OUT / "calibrations",
            progress=lambda done, count: console.print(f"coded {done} of {count}", end="\r"),
        )
    )
    space, price_s = timed(lambda: space_of(graph, cuts, calibration))
    rows = [
        ("load and lower", load_s),
        (f"find {len(cuts)} cuts", cut_s),
        (f"code {len(calibration.tensors)} tensors in {len(settings)} ways", calibrate_s),
        (f"price {len(graph_layers(space))} layers in {len(EDGES)} places", price_s),
    ]
    several = sum(len(cut.tensors) > 1 for cut in cuts)
    wishes = {
        "energy": Objective(),
        "latency": Objective(0, 1),
        "energy + 0.1 W x latency": Objective(1, 0.1),
        "energy within 150 ms": Objective(max_latency_s=0.15),
        "latency within 20 mJ": Objective(0, 1, max_energy_j=0.02),
    }
    for name, objective in wishes.items():
        best, seconds = timed(lambda objective=objective: search(space, objective))
        check(space, objective, None if best is None else best.costs.name)
        rows.append((f"search by {name}", seconds))
        if best is not None and best.latency_s is not None:
            console.print(
                f"{name}: {best.costs.name}, {best.setting.quantizer} {best.setting.bits} bits, "
                f"{best.place}: {best.energy_j * 1e3:.3f} mJ, {best.latency_s * 1e3:.1f} ms "
                "(modelled)"
            )
    front, seconds = timed(lambda: pareto(space))
    rows.append((f"Pareto front of {len(front)}", seconds))
    table = Table(
        title=f"ResNet-50: {len(space):,} candidates, {several} of the cuts at several tensors"
    )
    table.add_column("step")
    table.add_column("seconds (measured)", justify="right")
    table.add_column("of the processor", justify="right")
    for name, (clock_s, worked_s) in rows:
        table.add_row(name, f"{clock_s:.3f}", f"{worked_s:.3f}")
    console.print(table)
    clock_s, worked_s = (sum(column) for column in zip(*(s for _, s in rows[3:]), strict=True))
    console.print(
        f"after calibration: {clock_s:.2f} s by the clock, {worked_s:.2f} s of the processor for "
        "prices, 5 searches and the front"
    )


def model() -> Path:
    """The quantized network, made once."""
    path = OUT / "resnet50.qdq.onnx"
    if not path.is_file():
        module = resnet50()
        x = images()
        with torch.no_grad():
            module.train()(torch.from_numpy(x))
        made = export_float(module, x[:1], OUT / "resnet50.onnx")
        feeds = [{INPUT_NAME: sample[np.newaxis]} for sample in x[:4]]
        quantize_static_qdq(made, path, feeds)
    return path


def images() -> np.ndarray:
    """Eight photos, float32 [8, 3, 224, 224], in -1 to 1."""
    pixels = photos.load().pixels[:8].transpose(0, 3, 1, 2)
    return np.ascontiguousarray(pixels, np.float32) / np.float32(127.5) - np.float32(1)


def space_of(graph: Graph, cuts: tuple[jc.Cut, ...], calibration: Calibration) -> Space:
    """All candidates, with what they cost."""
    prices = load_table("horowitz_45nm")
    link = load_link(LINK).link
    space = Space(
        cuts,
        calibration,
        tuple(layer_costs(graph, target(name), prices) for name in EDGES),
        layer_costs(graph, target("x86_64"), prices, clock_hz=CLOUD_CLOCK_HZ),
        Quantity(link.power_w, "W", "assumed"),
        1 / link.rate_bits_per_s,
    )
    assert space.latency_s is not None
    return space


def graph_layers(space: Space) -> list[str]:
    """Names of the layers."""
    return list(space.edges[0].joules)


def check(space: Space, objective: Objective, found: str | None) -> None:
    """A plain loop finds the same cost, or nothing as well.

    Raises:
        AssertionError: it does not.
    """
    least: float | None = None
    names: set[str] = set()
    latency = space.latency_s
    assert latency is not None
    for at in np.ndindex(space.energy_j.shape):
        energy, time_s = float(space.energy_j[at]), float(latency[at])
        if objective.max_energy_j is not None and energy > objective.max_energy_j:
            continue
        if objective.max_latency_s is not None and time_s > objective.max_latency_s:
            continue
        value = objective.energy_weight * energy + objective.latency_weight * time_s
        if least is None or value < least * (1 - 1e-12):
            least, names = value, set()
        if value <= least * (1 + 1e-12):
            names.add(" + ".join(space.cuts[at[0]].tensors))
    assert found in names or (found is None and not names), json.dumps([found, *sorted(names)])


def timed(call: Callable[[], T]) -> tuple[T, tuple[float, float]]:
    """The result, seconds by the clock and seconds of the processor."""
    started, worked = time.perf_counter(), time.process_time()
    result = call()
    return result, (time.perf_counter() - started, time.process_time() - worked)


if __name__ == "__main__":
    main()
