"""What layers would cost a processor, before anything is compiled: predicted instructions and lines.

    instructions = per_mac x MACs + per_depthwise_mac x depthwise MACs + per_byte x bytes read and written

Each family of kernels has its three rates in kernel_rates.toml, fitted to the counts of an emulator
by scripts/kernel_rates.py, which prints how far a layer and a network are off. Lines follow from
sizes: weights come from memory if all of them together exceed L2, else from L2; activations that
exceed L1 come from L2. What becomes of them is docs/latency.md's.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

from joulecut.compiler.cost import Cost, cost_of_layer
from joulecut.compiler.errors import ConfigError
from joulecut.compiler.graph import int_of, op_key, shape_of
from joulecut.compiler.layers import Layer
from joulecut.compiler.profile import LayerProfile, Quantity
from joulecut.targets.cores import Core

RATES = Path(__file__).with_name("kernel_rates.toml")


@dataclass(frozen=True)
class KernelRates:
    """Instructions of a family of kernels.

    Attributes:
        per_mac: of convolutions and products.
        per_depthwise_mac: of convolutions with one filter a channel.
        per_byte: of activations read and written.
        source: how they were found, and how far predictions are off.
    """

    per_mac: float
    per_depthwise_mac: float
    per_byte: float
    source: str

    def instructions(self, macs: float, depthwise_macs: float, nbytes: float) -> float:
        """Of a layer."""
        return (
            self.per_mac * macs
            + self.per_depthwise_mac * depthwise_macs
            + self.per_byte * nbytes
        )


@cache
def kernel_rates() -> Mapping[str, KernelRates]:
    """All families by name."""
    rows: dict[str, dict[str, Any]] = tomllib.loads(RATES.read_text(encoding="utf-8"))
    return MappingProxyType({name: KernelRates(**row) for name, row in rows.items()})


def rates_of(kernels: str) -> KernelRates:
    """The rates of a family.

    Raises:
        ConfigError: nobody has counted it.
    """
    known = kernel_rates()
    if kernels not in known:
        raise ConfigError(
            f"kernels must be one of {', '.join(known)} to predict what they cost, not "
            f"'{kernels}'; choose another target, or give a profile of a built part"
        )
    return known[kernels]


def predicted(every: Sequence[Layer], kernels: str, core: Core) -> list[LayerProfile]:
    """Counts of each layer of a network, as docs/latency.md takes them; all are modelled."""
    rates = rates_of(kernels)
    costs = [cost_of_layer(layer) for layer in every]
    line = core.line_bytes.value
    from_memory = sum(_constants(cost) for cost in costs) > core.l2_bytes.value
    rows: list[LayerProfile] = []
    for layer, cost in zip(every, costs, strict=True):
        moved = cost.activation_bytes_in + cost.activation_bytes_out
        lines = _constants(cost) / line
        spilled = moved / line if moved > core.l1d_bytes.value else 0.0
        counts = {
            "instructions": rates.instructions(*products(layer, cost), moved),
            "l1_misses": lines + spilled,
            "l2_misses": lines if from_memory else 0.0,
        }
        units = {"instructions": "instruction", "l1_misses": "line", "l2_misses": "line"}
        rows.append(
            LayerProfile(
                layer.name,
                layer.kind,
                {name: Quantity(counts[name], units[name], "modelled") for name in counts},
            )
        )
    return rows


def products(layer: Layer, cost: Cost) -> tuple[int, int]:
    """MACs of a layer: dense ones, and those of convolutions with one filter a channel."""
    depthwise = any(
        op_key(node) == "joulecut.Conv"
        and node.inputs[1] is not None
        and int_of(node, "group", 1) > 1
        and shape_of(node.inputs[1])[1] == 1
        for node in layer.nodes
    )
    return (0, cost.macs) if depthwise else (cost.macs, 0)


def _constants(cost: Cost) -> int:
    return cost.weight_bytes + cost.constant_bytes
