"""What Brito et al. (SBrT 2020) leave for the future, done: quantizers, networks, weights."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from joulecut.repro.claims import Claim, statement
from joulecut.repro.coded_weights import coded_weights, output_change
from joulecut.repro.distortion import Distortion, Floats, Method
from joulecut.repro.kept import Kept
from joulecut.repro.vgg_cuts import Cut, CutResult, Network, accuracy, evaluate
from joulecut.repro.vgg_study import Point
from joulecut.zoo import alexnet, efficientnet_lite0, squeezenet
from joulecut.zoo.data import caffe, pair, photos
from joulecut.zoo.tapped import arrays_of, tapped
from joulecut.zoo.vgg19 import deepened

METHODS: tuple[Method, ...] = ("SQ", "Lloyd", "TCQ")
ALEXNET_CUTS = ("relu1", "pool1", "pool2", "relu4", "pool5")
EDGE_UNTIL = "block3_conv2"  # the last of the nine splits
FIRES = ("fire2", "fire4", "fire8")
RESIDUALS = (2, 6, 12)  # blocks of EfficientNet-Lite0 that add their input
_LEAST_DB = 30.0
_LEAST_OUTPUT_DB = 20.0  # of an edge part with coded parameters

Progress = Callable[[str], None]


@dataclass(frozen=True)
class FuturePlan:
    """How much of the future work is run.

    Attributes:
        weight_bits: of the quantizers of weights.
        cut_bits: of the quantizers of what crosses a cut.
        n_photos: photos for the networks trained on ImageNet, 20 at most.
        n_alexnet: images of each class that AlexNet is trained on.
        alexnet_epochs: over them.
        alexnet_test: images of each class it is tested on.
    """

    weight_bits: tuple[int, ...] = (2, 3, 4, 5, 6, 7, 8)
    cut_bits: tuple[int, ...] = (2, 4, 8)
    n_photos: int = 15
    n_alexnet: int = 200
    alexnet_epochs: int = 3
    alexnet_test: int = 20


QUICK = FuturePlan(
    weight_bits=(4, 8),
    cut_bits=(2, 8),
    n_photos=5,
    n_alexnet=16,
    alexnet_epochs=1,
    alexnet_test=5,
)


@dataclass(frozen=True)
class WeightResult:
    """A network with coded parameters.

    Attributes:
        network: its name.
        method: of quantizing.
        bits: of an index.
        coded_bits: bits a parameter, biases and headers included.
        weight_db: SQNR of the parameters.
        output_db: SQNR of what the network, or its edge part, makes.
        accuracy: share of the photos whose class is found; None for an edge part.
        float_accuracy: likewise, before.
    """

    network: str
    method: Method
    bits: int
    coded_bits: float
    weight_db: float
    output_db: float
    accuracy: float | None
    float_accuracy: float | None


def quantizer_claims(
    curves: Mapping[str, Mapping[Method, Sequence[Distortion]]],
    lloyd: Sequence[Point],
    sq: Sequence[Point],
) -> list[Claim]:
    """Other quantizers and Lloyd's codebooks.

    Args:
        curves: for each split and method, one measurement for each number of bits.
        lloyd: accuracies at the first convolution's output.
        sq: likewise, at the same bits and images.
    """
    gains = {
        split: gain_db(methods["SQ"], methods["entropy-coded TCQ"])
        for split, methods in curves.items()
    }
    known = {split: gain for split, gain in gains.items() if gain is not None}
    ahead = [
        a.sqnr_db - b.sqnr_db
        for methods in curves.values()
        for a, b in zip(methods["Lloyd"], methods["SQ"], strict=True)
    ]
    means = [float(np.mean([point.accuracy for point in points])) for points in (lloyd, sq)]
    return [
        statement(
            "Future work, another quantizer",
            "could result in a more accurate model",
            "entropy-coded TCQ beside SQ at equal bits of a Huffman code: "
            + ", ".join(f"{gain:+.1f} dB at {split}" for split, gain in known.items()),
            holds=bool(known) and min(known.values()) > 0,
        ),
        statement(
            "Future work, Lloyd's codebooks: distance",
            "optimize the codebook's parameters",
            f"{min(ahead):+.1f} to {max(ahead):+.1f} dB beside SQ at equal bits of an index",
            holds=min(ahead) > 0,
            reason="a codebook of other photos is optimal for those; at 8 bits the even one "
            "reaches further",
        ),
        statement(
            "Future work, Lloyd's codebooks: accuracy",
            "higher accuracy",
            f"mean over the bits {means[0]:.3f}, SQ {means[1]:.3f}, on {len(sq[0].right)} images",
            holds=means[0] >= means[1],
            reason="at the same bits SQ's error is at zero no larger, and 0.01 is one image",
        ),
    ]


def gain_db(base: Sequence[Distortion], other: Sequence[Distortion]) -> float | None:
    """Mean gain in SQNR at equal bits of a Huffman code, where the two curves overlap; None if nowhere."""
    at = np.array([point.huffman_bits for point in base])
    order = np.argsort(at)
    y = np.array([point.sqnr_db for point in base])
    inside = [p for p in other if at.min() <= p.huffman_bits <= at.max()]
    if not inside:
        return None
    gains = [p.sqnr_db - float(np.interp(p.huffman_bits, at[order], y[order])) for p in inside]
    return float(np.mean(gains))


def deepened_change(trunk: Any, images: Floats) -> float:
    """The largest difference of VGG19's features, grown out of VGG16, to VGG16's."""
    deep = deepened(trunk, _deeper(trunk))
    before, after = tapped(trunk, images, [])[0], tapped(deep, images, [])[0]
    return float(np.abs(before - after).max())


def _deeper(trunk: Any) -> tuple[tuple[int, int], ...]:
    """VGG19's blocks at the trunk's widths: a convolution more in the last three."""
    names = [
        name for name, _ in trunk.named_children() if "conv" in name and "relu" not in name
    ]
    found: list[tuple[int, int]] = []
    for block in range(1, 6):
        mine = [name for name in names if name.startswith(f"block{block}_")]
        width = trunk.get_submodule(mine[0]).out_channels
        found.append((width, len(mine) + (block > 2)))
    return tuple(found)


def networks(
    plan: FuturePlan, classes: tuple[str, str], kept: Kept, progress: Progress
) -> list[Network]:
    """AlexNet trained here; EfficientNet-Lite0 and SqueezeNet with ImageNet's weights."""
    shown = photos.load()
    pixels, labels = shown.pixels[: plan.n_photos], shown.labels[: plan.n_photos]
    packaged = [
        Network(
            "EfficientNet-Lite0",
            efficientnet_lite0.efficientnet_lite0(),
            efficientnet_lite0.preprocessed(pixels),
            labels,
            residual_cuts(),
        ),
        Network(
            "SqueezeNet",
            squeezenet.squeezenet(),
            caffe.preprocessed(pixels),
            labels,
            concatenated_cuts(),
        ),
    ]
    return [_alexnet(plan, classes, kept, progress), *packaged]


def residual_cuts() -> tuple[Cut, ...]:
    """Before a residual block, inside it (two tensors cross) and after it."""
    return tuple(
        cut
        for block in RESIDUALS
        for cut in (
            Cut(f"before block {block}", (f"blocks.{block - 1}",)),
            Cut(f"inside block {block}", (f"blocks.{block - 1}", f"blocks.{block}.depthwise")),
            Cut(f"after block {block}", (f"blocks.{block}",)),
        )
    )


def concatenated_cuts() -> tuple[Cut, ...]:
    """In a fire module: at its narrow point, between its two branches, after it."""
    found: list[Cut] = []
    for fire in FIRES:
        narrow, one = f"stages.{fire}.squeeze1x1", f"stages.{fire}.expand1x1"
        found += [
            Cut(f"{fire}, squeezed", (narrow,), (narrow,)),
            Cut(f"{fire}, between branches", (narrow, one), (narrow, one)),
            Cut(f"{fire}, concatenated", (f"stages.{fire}",)),
        ]
    return tuple(found)


def cut_results(
    plan: FuturePlan, found: Sequence[Network], kept: Kept, progress: Progress
) -> list[CutResult]:
    """Every cut of every network at SQ and TCQ and all bits."""
    options: list[tuple[Method, int]] = [
        (method, bits) for method in ("SQ", "TCQ") for bits in plan.cut_bits
    ]
    results: list[CutResult] = []
    for network in found:
        for cut in network.cuts:

            def compute(network: Network = network, cut: Cut = cut) -> dict[str, Any]:
                return {"rows": [asdict(r) for r in evaluate(network, cut, options, progress)]}

            recipe = asdict(plan) | {"network": network.name, "cut": asdict(cut)}
            rows = kept.values("cut", recipe, compute)["rows"]
            results += [CutResult(**row) for row in rows]
    return results


def weight_results(
    plan: FuturePlan,
    found: Sequence[Network],
    trunk: Any,
    images: Floats,
    kept: Kept,
    progress: Progress,
) -> list[WeightResult]:
    """The edge part of VGG16's last split, and networks with ImageNet's weights, coded.

    AlexNet, which a few hundred images have hardly moved from where it started, is left out.
    """

    def edge(module: Any) -> Floats:
        return tapped(module, images, [])[0]

    last = 1 + [name for name, _ in trunk.named_children()].index(f"{EDGE_UNTIL}_relu")
    name = f"VGG16 to {EDGE_UNTIL}"
    runs: list[tuple[str, Any, Callable[[Any], Floats], Any]] = [
        (name, trunk[:last], edge, None)
    ]
    for network in found:
        if network.name == "AlexNet":
            continue

        def whole(module: Any, network: Network = network) -> Floats:
            return tapped(module, network.images, [])[0]

        runs.append((network.name, network.module, whole, network.labels))
    results: list[WeightResult] = []
    for name, module, run, labels in runs:
        for method in METHODS:
            for bits in plan.weight_bits:

                def compute(
                    name: str = name,
                    module: Any = module,
                    run: Callable[[Any], Floats] = run,
                    labels: Any = labels,
                    option: tuple[Method, int] = (method, bits),
                ) -> dict[str, Any]:
                    progress(f"weights of {name}: {option[0]}, {option[1]} bits")
                    return asdict(_weights(name, module, run, labels, *option))

                recipe = asdict(plan) | {"network": name, "method": method, "bits": bits}
                recipe |= {"shape": list(images.shape)}
                results.append(WeightResult(**kept.values("weights", recipe, compute)))
    return results


def _weights(
    name: str, module: Any, run: Callable[[Any], Floats], labels: Any, method: Method, bits: int
) -> WeightResult:
    changed, coded = coded_weights(module, method, bits)
    output_db, before, after = output_change(run, module, changed)
    right = [None if labels is None else accuracy(out, labels) for out in (after, before)]
    return WeightResult(
        name, method, bits, coded.coded_bits, coded.weight_db, output_db, right[0], right[1]
    )


def _alexnet(
    plan: FuturePlan, classes: tuple[str, str], kept: Kept, progress: Progress
) -> Network:
    train, test = pair.load_pair(classes, plan.n_alexnet, plan.alexnet_test)

    def compute() -> dict[str, Floats]:
        progress(f"training AlexNet on {len(train)} images")
        return arrays_of(
            alexnet.trained_alexnet(_centred(train), train.labels, epochs=plan.alexnet_epochs)
        )

    recipe = {"classes": classes, "count": len(train), "epochs": plan.alexnet_epochs}
    module = alexnet.alexnet_of(kept.arrays("alexnet", recipe, compute))
    return Network(
        "AlexNet",
        module,
        _centred(test),
        test.labels,
        tuple(Cut(name, (name,)) for name in ALEXNET_CUTS),
    )


def _centred(images: pair.Pair) -> Floats:
    large = pair.scaled(images.pixels, alexnet.INPUT_SHAPE[2]).transpose(0, 3, 1, 2)
    return np.ascontiguousarray(large, np.float32) / np.float32(128) - np.float32(1)


def network_claims(results: Sequence[CutResult], change: float) -> list[Claim]:
    """Serial networks, residual ones and those that concatenate."""
    at_8 = [row for row in results if row.bits == max(r.bits for r in results)]
    serial = [row for row in at_8 if row.network == "AlexNet" and row.method == "SQ"]
    return [
        statement(
            "Future work, AlexNet",
            "generalize our results",
            f"SQNR {min(r.sqnr_db for r in serial):.1f} to {max(r.sqnr_db for r in serial):.1f} dB "
            f"at 8 bits at {len(serial)} cuts, accuracy {serial[0].float_accuracy:.3f} in float, "
            f"{min(r.accuracy for r in serial):.3f} or more quantized; trained here on two "
            "classes, since its weights are in no package",
            holds=min(r.sqnr_db for r in serial) >= _LEAST_DB,
        ),
        statement(
            "Future work, VGG19",
            "generalize our results",
            f"grown out of VGG16 by three layers that change nothing: features differ by "
            f"{change:g}; sizes and operations are VGG19's, its weights are in no package",
            holds=change == 0,
        ),
        _crossing_claim(at_8, "EfficientNet-Lite0", "inside", "Residual Net"),
        _crossing_claim(at_8, "SqueezeNet", "between", "Dense Nets"),
    ]


def _crossing_claim(
    results: Sequence[CutResult], network: str, inner: str, paper: str
) -> Claim:
    """Cuts through a block, which sever two tensors, beside those around it."""
    mine = [row for row in results if row.network == network and row.method == "SQ"]
    inside = [row for row in mine if inner in row.cut]
    around = [row for row in mine if inner not in row.cut]

    def said(rows: Sequence[CutResult]) -> str:
        db, kb = [row.sqnr_db for row in rows], [row.coded_kb for row in rows]
        return (
            f"{min(db):.1f} to {max(db):.1f} dB, {min(kb):.1f} to {max(kb):.1f} kB coded, top-1 "
            f"{min(row.accuracy for row in rows):.2f} or more"
        )

    return statement(
        f"Future work, {paper} ({network})",
        "evaluate how the intermediate output is affected",
        f"8 bits, SQ: one tensor crosses around a block: {said(around)}; two inside: "
        f"{said(inside)}; in float {mine[0].float_accuracy:.2f}",
        holds=min(row.sqnr_db for row in mine) >= _LEAST_DB,
        reason="codebooks of few photos clip what others exceed; no ReLU bounds what a residual "
        "block adds",
    )


def weight_claims(results: Sequence[WeightResult]) -> list[Claim]:
    """Parameters compressed: the fewest bits at which each network is as good as before."""
    return [
        _weight_claim(network, [row for row in results if row.network == network])
        for network in dict.fromkeys(row.network for row in results)
    ]


def _weight_claim(network: str, rows: Sequence[WeightResult]) -> Claim:
    best = min(filter(_is_as_good, rows), key=lambda row: row.coded_bits, default=None)
    said = "none"
    if best is not None:
        said = (
            f"{best.coded_bits:.2f} bits a parameter ({32 / best.coded_bits:.1f} times fewer) "
            f"with {best.method} of {best.bits} bits; output {best.output_db:.1f} dB"
        )
        if best.accuracy is not None:
            said += f", top-1 {best.accuracy:.2f}, in float {best.float_accuracy:.2f}"
    return statement(
        f"Future work, weights and biases of {network}",
        "reduce the total size of the edge model",
        f"fewest bits that keep the top-1 answers or {_LEAST_OUTPUT_DB:g} dB: {said}",
        holds=best is not None and best.coded_bits <= 8,
    )


def _is_as_good(row: WeightResult) -> bool:
    if row.accuracy is None or row.float_accuracy is None:
        return row.output_db >= _LEAST_OUTPUT_DB
    return row.accuracy >= row.float_accuracy
