"""Brito et al., "Signal Compression for Efficient Partitioning of Deep Neural Networks" (2020).

VGG16 is split after each of its first nine layers; what crosses is quantized, Huffman-coded and
decoded. This module runs the experiments, judges the paper's entries and lays out the page.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import astuple, dataclass, field, fields
from pathlib import Path
from typing import Any

from joulecut.compiler.report.charts import to_html
from joulecut.compiler.report.page import Section
from joulecut.repro import vgg_charts, vgg_claims, vgg_future
from joulecut.repro.claims import Claim
from joulecut.repro.distortion import LEARNED, PAPER, Distortion, Method
from joulecut.repro.kept import Kept
from joulecut.repro.study import Reproduction, Table
from joulecut.repro.vgg_cuts import CutResult, Network
from joulecut.repro.vgg_future import FuturePlan, WeightResult
from joulecut.repro.vgg_study import QUICK, Plan, Point, Study
from joulecut.zoo.split_vgg16 import layers, multiplies_bfloat16
from joulecut.zoo.vgg16 import REQUIREMENT, vgg16

TITLE = "VGG16 split, quantized and Huffman-coded (Brito et al., 2020)"
FIRST_CONVOLUTION = "block1_conv1"
JUDGED_BITS = 8
KEPT = "kept-1"  # raise it when the arithmetic changes
CURVES_AT = ("block1_conv1", "block1_pool", "block3_conv2")  # splits whose curves are drawn

Progress = Callable[[str], None]


@dataclass
class Found:
    """All that was measured.

    Attributes:
        float_right: of each test image, whether it is right when nothing is quantized.
        points: accuracies, those of the first convolution first.
        curves: for each split and method a measurement for each number of bits.
        histograms: for each split, as `Study.histogram` gives them.
        cuts: of networks that are no chains, and of AlexNet.
        weights: networks with coded parameters.
        deepened: largest difference of VGG19's features to VGG16's, from which it was grown.
    """

    float_right: Any
    points: list[Point]
    curves: dict[str, dict[Method, list[Distortion]]]
    histograms: dict[str, dict[str, Any]]
    cuts: list[CutResult] = field(default_factory=list[CutResult])
    weights: list[WeightResult] = field(default_factory=list[WeightResult])
    deepened: float = 0.0


def reproduce(directory: Path, quick: bool, progress: Progress) -> Reproduction:
    """Run everything, or go on where a run stopped.

    Args:
        directory: of what is kept; about 1 GB, most of it the dense layers.
        quick: fewer images, bits and splits: to see that it runs.
        progress: told what is done now.

    Raises:
        ConfigError: a package that brings weights or images is not installed.
    """
    plan, future = (QUICK, vgg_future.QUICK) if quick else (Plan(), FuturePlan())
    kept = Kept(directory / KEPT)
    weights = REQUIREMENT.replace("==", " ")
    study = Study(plan, vgg16(), weights, kept, progress)
    networks = vgg_future.networks(future, plan.classes, kept, progress)
    return reproduced(study, future, networks)


def reproduced(study: Study, future: FuturePlan, networks: Sequence[Network]) -> Reproduction:
    """The experiments with any trunk and networks, judged and laid out."""
    started = time.perf_counter()
    found = measured(study)
    extend(found, study, future, networks)
    minutes = (time.perf_counter() - started) / 60
    plan = study.plan
    products = "bfloat16 with float32 sums" if multiplies_bfloat16() else "float32"
    lead = (
        f"Frozen real convolutions ({study.weights}); dense layers 4096-1024-512-2 trained on "
        f"{2 * plan.n_train} images of Fashion-MNIST, {plan.classes[0]} and {plan.classes[1]}, "
        f"enlarged to {plan.side} x {plan.side}; distances and histograms on {plan.n_photos} "
        f"photos of ImageNet, codebooks from {plan.n_codebook} others. Products of the "
        f"convolutions in {products}. {minutes:.1f} minutes, without what was kept of earlier runs."
    )
    return Reproduction(
        TITLE, lead, tuple(claims(study, found)), tables(study, found), sections(found)
    )


def measured(study: Study) -> Found:
    """The paper's experiments, and the same with Lloyd's codebooks."""
    plan = study.plan
    methods: dict[str, tuple[Method, ...]] = {FIRST_CONVOLUTION: (*PAPER, "Lloyd")}
    methods |= dict.fromkeys(plan.accuracy_splits, PAPER)
    float_right = study.float_right()
    return Found(
        float_right=float_right,
        points=[
            study.split_accuracy(split, method, bits)
            for split in methods
            for method in methods[split]
            for bits in plan.bits
        ],
        curves={split: _curves(study, split) for split in study.splits},
        histograms={split: study.histogram(split) for split in study.splits},
    )


def _curves(study: Study, split: str) -> dict[Method, list[Distortion]]:
    study.progress(f"distance and entropy at {split}")
    return {
        method: [study.photo_distortion(split, method, bits) for bits in study.plan.bits]
        for method in (*PAPER, *LEARNED)
    }


def extend(found: Found, study: Study, future: FuturePlan, networks: Sequence[Network]) -> None:
    """Add the paper's future work to what was found."""
    kept, progress = study.kept, study.progress
    found.cuts = vgg_future.cut_results(future, networks, kept, progress)
    images = study.photos[:2]
    found.weights = vgg_future.weight_results(
        future, networks, study.trunk, images, kept, progress
    )
    progress("VGG19 grown out of VGG16")
    found.deepened = vgg_future.deepened_change(study.trunk, images[:1])


def claims(study: Study, found: Found) -> list[Claim]:
    """Every entry of the paper, in its order."""
    plan = study.plan
    counted = layers()
    at_first = [p for p in found.points if p.split == FIRST_CONVOLUTION]
    of_paper = [p for p in at_first if p.method in PAPER]
    at_8_bits = {
        (split, method): curves[method][plan.bits.index(JUDGED_BITS)]
        for split, curves in found.curves.items()
        for method in PAPER
    }
    return [
        *vgg_claims.table_one(counted),
        *vgg_claims.figure_two(counted),
        *vgg_claims.network(counted),
        *vgg_claims.data(plan.n_train, plan.n_test),
        *vgg_claims.figure_three(of_paper, found.float_right),
        *vgg_claims.figure_four(found.histograms),
        *vgg_claims.figure_five(at_8_bits),
        *vgg_future.quantizer_claims(
            found.curves,
            [p for p in at_first if p.method == "Lloyd"],
            [p for p in at_first if p.method == "SQ"],
        ),
        *vgg_future.network_claims(found.cuts, found.deepened),
        *vgg_future.weight_claims(found.weights),
    ]


def tables(study: Study, found: Found) -> tuple[Table, ...]:
    """The numbers behind the claims."""
    counted = layers()
    total = 0
    rows: list[tuple[str | float | None, ...]] = []
    for number, layer in enumerate(counted, 1):
        total += layer.macs
        rows.append(
            (
                *(number, layer.name, layer.macs, 2 * total / 1e6),
                *(layer.parameters, layer.outputs),
            )
        )
    columns = ("layer", "name", "products", "cumulative MFLOP", "parameters", "outputs")
    return (
        Table("layers", "The 23 layers (counted)", columns, tuple(rows)),
        _distances(study, found),
        _accuracies(found),
        _of_rows("cuts", "Cuts of other networks (measured)", CutResult, found.cuts),
        _of_rows("weights", "Coded weights and biases (measured)", WeightResult, found.weights),
    )


def _distances(study: Study, found: Found) -> Table:
    names = tuple(each.name for each in fields(Distortion))
    return Table(
        "distances",
        "What crosses at each split, on photos (measured)",
        ("split", "method", "bits", *names),
        tuple(
            (split, method, bits, *astuple(point))
            for split, curves in found.curves.items()
            for method, points in curves.items()
            for bits, point in zip(study.plan.bits, points, strict=True)
        ),
    )


def _accuracies(found: Found) -> Table:
    return Table(
        "accuracies",
        "Accuracy on test images with what crosses quantized and coded (measured)",
        ("split", "method", "bits", "accuracy", "images", "entropy", "Huffman", "coded bits"),
        tuple(
            (
                *(p.split, p.method, p.bits, p.accuracy, len(p.right)),
                *(p.entropy_bits, p.huffman_bits, p.coded_bits),
            )
            for p in found.points
        ),
    )


def _of_rows(name: str, title: str, kind: type, rows: Sequence[Any]) -> Table:
    columns = tuple(each.name for each in fields(kind))
    return Table(name, title, columns, tuple(astuple(row) for row in rows))


def sections(found: Found) -> list[Section]:
    """Figures 2 to 5 as the paper draws them, then the curves of the future work."""
    at_first = [p for p in found.points if p.split == FIRST_CONVOLUTION]
    others = [p for p in found.points if p.split != FIRST_CONVOLUTION]
    base = float(found.float_right[: len(at_first[0].right)].mean())
    at_8_bits: dict[tuple[str, str], Distortion] = {
        (split, method): curves[method][-1]
        for split, curves in found.curves.items()
        for method in PAPER
    }
    drawn: list[tuple[str, Any]] = [
        ("Fig. 2: operations at the edge", vgg_charts.cumulative_operations(layers())),
        (
            "Fig. 3: accuracy against bits, first convolution at the edge",
            vgg_charts.accuracy_by_bits(at_first, base),
        ),
        ("Fig. 4: histograms, 8 bits (measured)", vgg_charts.histograms(found.histograms)),
        ("Fig. 5: entropy and SQNR, 8 bits", vgg_charts.entropy_and_sqnr(at_8_bits)),
    ]
    if others:
        title = "Accuracy against bits at other splits"
        drawn.append((title, vgg_charts.accuracy_by_bits(others, base)))
    for split in (name for name in CURVES_AT if name in found.curves):
        title = f"Distance against bits at {split}"
        drawn.append((title, vgg_charts.distance_by_rate(found.curves[split])))
    return [Section(title, chart=to_html(chart)) for title, chart in drawn]
