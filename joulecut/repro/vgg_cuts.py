"""Cuts of networks that are no chains: several tensors cross, each coded for itself.

The edge computes everything before the cut exactly; the cloud gets what was decoded of every
tensor that crosses, wherever it is used after the cut.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from joulecut.repro.distortion import (
    Floats,
    Method,
    crossed,
    quantizer_of,
    sqnr_db,
    squared_error,
)
from joulecut.zoo.tapped import replaced, tapped


@dataclass(frozen=True)
class Cut:
    """Where a network is severed.

    Attributes:
        name: for people.
        outputs: the modules whose outputs cross.
        rectified: those of them that a ReLU follows at the edge: what crosses is its output.
            A second ReLU, in the cloud, changes nothing.
    """

    name: str
    outputs: tuple[str, ...]
    rectified: tuple[str, ...] = ()


@dataclass(frozen=True)
class Network:
    """A trained network with inputs.

    Attributes:
        name: for people, and for what is kept.
        module: in eval mode.
        images: float32 [N, ...]; the first `n_codebook` make the codebooks only.
        labels: int64 [N].
        cuts: where it is severed.
        n_codebook: see images.
    """

    name: str
    module: Any
    images: Floats
    labels: NDArray[np.int64]
    cuts: tuple[Cut, ...]
    n_codebook: int = 3


@dataclass(frozen=True)
class CutResult:
    """A cut at a quantizer, on the images that made no codebook; means over them.

    Attributes:
        network: its name.
        cut: its name.
        tensors: how many cross.
        numbers: in all of them, for one image.
        method: of quantizing.
        bits: of an index.
        coded_kb: what crosses for an image, kB of 1000 bytes, headers included.
        sqnr_db: of all tensors together.
        worst_db: of the tensor that lost most.
        output_db: SQNR of the network's output.
        zeros: share of exact zeros among the numbers.
        accuracy: share of right answers.
        float_accuracy: without quantizing.
    """

    network: str
    cut: str
    tensors: int
    numbers: int
    method: Method
    bits: int
    coded_kb: float
    sqnr_db: float
    worst_db: float
    output_db: float
    zeros: float
    accuracy: float
    float_accuracy: float


def evaluate(
    network: Network,
    cut: Cut,
    options: Sequence[tuple[Method, int]],
    progress: Callable[[str], None] = lambda _step: None,
) -> list[CutResult]:
    """The cut at each method and number of bits."""
    progress(f"{network.name} cut at {cut.name}")
    output, seen = tapped(network.module, network.images, cut.outputs)
    crossing = {
        name: np.maximum(value, 0) if name in cut.rectified else value
        for name, value in seen.items()
    }
    return [_result(network, cut, output, crossing, *option) for option in options]


def _result(
    network: Network,
    cut: Cut,
    output: Floats,
    crossing: dict[str, Floats],
    method: Method,
    bits: int,
) -> CutResult:
    first = network.n_codebook
    measured = {name: value[first:] for name, value in crossing.items()}
    decoded: dict[str, Floats] = {}
    coded_bits = 0.0
    for name, value in crossing.items():
        quantizer = quantizer_of(method, bits).calibrate(list(value[:first]))
        found = [crossed(tensor, quantizer) for tensor in value[first:]]
        decoded[name] = np.stack([tensor for tensor, _ in found])
        coded_bits += value[0].size * float(np.mean([bits for _, bits in found]))
    signal = {name: squared_error(value, np.zeros(1)) for name, value in measured.items()}
    noise = {name: squared_error(value, decoded[name]) for name, value in measured.items()}
    answers = replaced(network.module, network.images[first:], decoded)
    expected, labels = output[first:], network.labels[first:]
    return CutResult(
        network=network.name,
        cut=cut.name,
        tensors=len(crossing),
        numbers=sum(value[0].size for value in crossing.values()),
        method=method,
        bits=bits,
        coded_kb=coded_bits / 8000,
        sqnr_db=sqnr_db(sum(signal.values()), sum(noise.values())),
        worst_db=min(sqnr_db(signal[name], noise[name]) for name in signal),
        output_db=sqnr_db(
            squared_error(expected, np.zeros(1)), squared_error(answers, expected)
        ),
        zeros=_zeros(measured.values()),
        accuracy=accuracy(answers, labels),
        float_accuracy=accuracy(expected, labels),
    )


def accuracy(logits: Floats, labels: NDArray[np.int64]) -> float:
    """Share of rows whose largest logit is that of the label."""
    return int(np.count_nonzero(np.argmax(logits, axis=1) == labels)) / len(labels)


def _zeros(tensors: Iterable[Floats]) -> float:
    """Share of exact zeros in all of them."""
    kinds = [(np.count_nonzero(tensor), tensor.size) for tensor in tensors]
    return 1 - sum(some for some, _ in kinds) / sum(size for _, size in kinds)
