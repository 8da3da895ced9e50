"""Fits targets/kernel_rates.toml: instructions of each family of kernels, counted by an emulator.

    python scripts/kernel_rates.py            print what would be written, and how well it fits
    python scripts/kernel_rates.py --write    write it

Small networks of the zoo with random weights are built for one target of each family and run
under QEMU; the rates are those that are least wrong in proportion, over all layers that take more
than a thousandth of their network.
"""

# torch annotates only in part.
# pyright: reportUnknownMemberType=false, reportUnknownArgumentType=false
from __future__ import annotations

import argparse
import itertools
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn

import joulecut as jc
from joulecut.compiler.cost import Cost, cost_of_layer
from joulecut.compiler.feeds import random_feeds
from joulecut.compiler.graph import Graph
from joulecut.compiler.layers import layers
from joulecut.compiler.ptq import quantize_static_qdq
from joulecut.targets.base import target
from joulecut.targets.cpu.build import build_part
from joulecut.targets.devices.protocol import Signature
from joulecut.targets.devices.qemu import QemuDevice
from joulecut.targets.devices.records import read_layers, sample_shape
from joulecut.targets.kernel_rates import RATES, products
from joulecut.zoo import digits, ds_cnn, resnet8
from joulecut.zoo.export import INPUT_NAME, export_float, export_qcdq
from joulecut.zoo.quantizers import calibrate

TARGETS = (  # one for each family that an emulator runs
    "raspberry_pi_3",
    "raspberry_pi_4",
    "raspberry_pi_5",
    "pynq_z2",
    "x86_64",
    "visionfive_2",
)
LEAST_SHARE = 1e-3


@dataclass(frozen=True)
class Row:
    """A layer as it was built: what it computes and moves, and its instructions."""

    network: str
    macs: int
    depthwise_macs: int
    nbytes: int
    instructions: float


def graphs() -> dict[str, Graph]:
    """Networks of different shapes, with random weights."""
    quantized: dict[str, tuple[nn.Module, tuple[int, ...]]] = {
        "digits": (digits.digits(), digits.INPUT_SHAPE),
        "resnet8": (resnet8.resnet8(), resnet8.INPUT_SHAPE),
    }
    found: dict[str, Graph] = {}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "m.onnx"
        for name, (module, shape) in quantized.items():
            x = _images(shape)
            calibrate(module, torch.from_numpy(x).split(8))
            found[name] = jc.pipeline(jc.load(export_qcdq(module.eval(), x[:1], path)))
        x = _images(ds_cnn.INPUT_SHAPE)
        export_float(ds_cnn.ds_cnn(), x[:1], path)
        feeds = [{INPUT_NAME: sample[np.newaxis]} for sample in x]
        quantize_static_qdq(path, Path(folder) / "q.onnx", feeds)
        found["ds_cnn"] = jc.pipeline(jc.load(Path(folder) / "q.onnx"))
    return found


def _images(shape: tuple[int, ...]) -> np.ndarray:
    return np.random.default_rng(0).random((8, *shape[1:])).astype(np.float32)


def counted(name: str, graph: Graph, place_name: str) -> list[Row]:
    """The layers of a network as a target runs them."""
    place = target(place_name)
    device = QemuDevice(place.arch, place.emulator.cpu)
    device.check()
    signature = Signature.of(graph)
    feeds = random_feeds(graph, 1)
    inputs = {s.name: feeds[s.name].reshape(1, *sample_shape(s)) for s in signature.inputs}
    known = {layer.name: layer for layer in layers(graph)}
    with tempfile.TemporaryDirectory() as scratch:
        build_part(graph, place, Path(scratch))
        profile = device.profile(Path(scratch), inputs, signature)
        built = read_layers(Path(scratch))
    rows: list[Row] = []
    for each, counts in zip(built, profile.layers, strict=True):
        group = [known[layer] for layer in each.layers]
        costs = [cost_of_layer(layer) for layer in group]
        total = sum(costs, Cost())
        dense, depthwise = (
            sum(pair) for pair in zip(*map(products, group, costs), strict=True)
        )
        rows.append(
            Row(
                name,
                dense,
                depthwise,
                total.activation_bytes_in + total.activation_bytes_out,
                counts.quantities["instructions"].value,
            )
        )
    return rows


def fitted(rows: list[Row]) -> np.ndarray:
    """Three rates, none negative, with the least sum of squared relative errors."""
    whole = {row.network: 0.0 for row in rows}
    for row in rows:
        whole[row.network] += row.instructions
    kept = [row for row in rows if row.instructions > LEAST_SHARE * whole[row.network]]
    features = np.array([(row.macs, row.depthwise_macs, row.nbytes) for row in kept], float)
    wanted = np.array([row.instructions for row in kept])
    # By the root of the count: large layers decide, small ones are not drowned.
    weights = 1 / np.sqrt(wanted)
    best, least = np.zeros(3), np.inf
    for chosen in itertools.chain.from_iterable(
        itertools.combinations(range(3), n) for n in (1, 2, 3)
    ):
        part = features[:, chosen] * weights[:, None]
        found, *_ = np.linalg.lstsq(part, wanted * weights, rcond=None)
        error = float(np.square(part @ found - wanted * weights).sum())
        if (found >= 0).all() and error < least:
            best, least = np.zeros(3), error
            best[list(chosen)] = found
    return best


def main() -> None:
    """Count, fit, print and, if asked to, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true")
    write = parser.parse_args().write
    text = "# Instructions by family of kernels, fitted by scripts/kernel_rates.py; see targets/kernel_rates.py.\n"
    nets = graphs()
    for name in TARGETS:
        rows = [row for net, graph in nets.items() for row in counted(net, graph, name)]
        rates = fitted(rows)
        features = np.array([(r.macs, r.depthwise_macs, r.nbytes) for r in rows], float)
        errors: list[str] = []
        for net in nets:
            at = [i for i, row in enumerate(rows) if row.network == net]
            true = sum(rows[i].instructions for i in at)
            errors.append(f"{net} {100 * ((features[at] @ rates).sum() / true - 1):+.0f} %")
        family = target(name).kernels
        text += (
            f"\n[{family}]\nper_mac = {rates[0]:.4g}\nper_depthwise_mac = {rates[1]:.4g}\n"
            f"per_byte = {rates[2]:.4g}\n"
            f"source = \"QEMU's counts of {len(rows)} layers built for {name}; whole networks "
            f'are predicted off by: {", ".join(errors)}"\n'
        )
        print(name, family, rates, errors, flush=True)
    print(text)
    if write:
        RATES.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
