"""What the digit network computes, fetches and sends up to each layer, counted as its paper does.

Parameters are float32, zeros are skipped in products and in memory, and every live neuron is
sent with 32 bits (Eqs. 1, 2 and 6 of docs/energy.md). Hardware that skips zeros is assumed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate

import numpy as np
import numpy.typing as npt

from joulecut.compiler.cut_costs import CutCosts
from joulecut.compiler.profile import Provenance, Quantity
from joulecut.hw.energy import EnergyTable, mac_energy_pj
from joulecut.zoo.digits import PARAMETERS

Array = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]

CONVOLUTIONS = ("conv1", "conv2", "conv3", "conv4")
DENSE = ("fc1", "fc2", "fc3", "fc4", "fc5")
LAYERS = (*CONVOLUTIONS, *DENSE)
BITS = 32  # of a neuron that is sent, and of a parameter
LAST = "softmax"  # the cut behind fc5, whose outputs are sent as the paper's labels

_SIDES = (28, 14, 7, 4, 2)  # of the planes: pools of 2x2 round up


@dataclass(frozen=True)
class Counts:
    """One layer, or one pool; counts add.

    Attributes:
        name: conv1, pool1, ..., fc4, softmax.
        products: with weights that are not 0, between neurons that are live.
        parameters: weights and biases of these that are not 0.
        outputs: live neurons.
    """

    name: str
    products: int
    parameters: int
    outputs: int

    def processing_pj(self, table: EnergyTable, fetch_pj: float) -> float:
        """E_p: every product with its addition, and a fetch of every parameter."""
        return mac_energy_pj(table, self.products, "fp32") + fetch_pj * self.parameters


def live_units(found: Mapping[str, Array]) -> dict[str, Mask]:
    """Which filters and neurons do anything, by layer.

    One is dead if no live one reads it, or if nothing live feeds it and its bias is not positive,
    so that its ReLU is always 0. Removing dead ones changes no output.

    Args:
        found: parameters of `float_digits`, by name.
    """
    weights = _weights(found)
    live = {name: np.ones(len(weights[name]), np.bool_) for name in LAYERS}
    before = -1
    while before != (before := sum(int(mask.sum()) for mask in live.values())):
        for number, name in enumerate(LAYERS[:-1]):
            fed = _between(weights, live, number).any(axis=1) | (found[f"{name}.bias"] > 0)
            behind = LAYERS[number + 1]
            live[name] &= fed & (weights[behind][live[behind]] != 0).any(axis=(0, 2))
    return live


def layer_counts(found: Mapping[str, Array]) -> list[Counts]:
    """Counts of every layer and pool, in order.

    Args:
        found: parameters of `float_digits`, by name.
    """
    weights, live = _weights(found), live_units(found)
    counts: list[Counts] = []
    for number, name in enumerate(LAYERS):
        own = live[name]
        nonzero = int((_between(weights, live, number)[own] != 0).sum())
        biases = int(np.count_nonzero(found[f"{name}.bias"][own]))
        is_conv = name in CONVOLUTIONS
        places = _SIDES[number] ** 2 if is_conv else 1
        shown = LAST if name == LAYERS[-1] else name
        outputs = int(own.sum()) * places
        counts.append(Counts(shown, nonzero * places, nonzero + biases, outputs))
        if is_conv:
            pooled = int(own.sum()) * _SIDES[number + 1] ** 2
            counts.append(Counts(f"pool{number + 1}", 0, 0, pooled))
    return counts


def cut_costs(
    counts: Sequence[Counts], table: EnergyTable, fetch_pj: float, power_w: float
) -> list[CutCosts]:
    """Costs of a cut behind every layer and pool, as selection takes them.

    They are modelled, and of a network with zeros assumed: hardware must skip them.

    Args:
        counts: of `layer_counts`.
        table: prices of arithmetic.
        fetch_pj: e_m of one parameter of 32 bits.
        power_w: of sending.
    """
    energies = accumulate(each.processing_pj(table, fetch_pj) for each in counts)
    known: Provenance = "assumed" if is_sparse(counts) else "modelled"
    return [
        CutCosts(
            each.name,
            Quantity(energy / 1e12, "J", known),
            Quantity(BITS * each.outputs, "bit", "modelled"),
            Quantity(power_w, "W", "modelled"),
        )
        for each, energy in zip(counts, energies, strict=True)
    ]


def is_sparse(counts: Sequence[Counts]) -> bool:
    """Is a parameter missing that the original has?"""
    return sum(each.parameters for each in counts) < PARAMETERS


def removed(found: Mapping[str, Array], layer: str) -> float:
    """The fraction of the weights of a layer that are 0."""
    weights = found[f"{layer}.weight"]
    return 1 - np.count_nonzero(weights) / weights.size


def _weights(found: Mapping[str, Array]) -> dict[str, Array]:
    """[O, I, taps] of every layer; a pooled plane of conv4 is 4 taps of fc1."""
    return dict(_shaped(found))


def _shaped(found: Mapping[str, Array]) -> Iterator[tuple[str, Array]]:
    channels = 1
    for name in LAYERS:
        weights = found[f"{name}.weight"]
        yield name, weights.reshape(len(weights), channels, -1)
        channels = len(weights)


def _between(
    weights: Mapping[str, Array], live: Mapping[str, Mask], number: int
) -> npt.NDArray[np.float32]:
    """Weights of a layer of what is live before it, [O, live I * taps]."""
    own = weights[LAYERS[number]]
    inputs = own[:, live[LAYERS[number - 1]]] if number else own
    return inputs.reshape(len(own), -1)
