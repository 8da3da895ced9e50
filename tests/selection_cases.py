"""Cuts with costs, and the channels at which their tables could be wrong."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator

from joulecut.compiler.cut_costs import CutCosts
from joulecut.compiler.profile import Quantity
from joulecut.compiler.selection_table import SelectionTable


def cut(
    processing: float = 0,
    bits: float = 0,
    power: float = 1,
    edge: float = 0,
    cloud: float = 0,
    accuracy: float = 1,
) -> CutCosts:
    return CutCosts(
        "a cut",
        Quantity(processing, "J", "modelled"),
        Quantity(bits, "bit", "measured"),
        Quantity(power, "W", "assumed"),
        Quantity(edge, "s", "measured"),
        Quantity(cloud, "s", "simulated"),
        Quantity(accuracy, "1", "measured"),
    )


def random_cuts(seed: int, n: int = 20) -> list[CutCosts]:
    """Cuts like those of a network: deeper costs more and sends less, mostly."""
    rng = random.Random(seed)
    made: list[CutCosts] = []
    processing = edge = 0.0
    for i in range(n):
        processing += rng.expovariate(1e5)
        edge += rng.expovariate(1e3)
        bits = 1e6 * 0.6**i * rng.uniform(0.3, 3)
        accuracy = rng.choice([0.95, 0.96, 0.97])
        made.append(cut(processing, round(bits), 1e-3, edge, 1e-3, accuracy))
    return made


def random_channels(seed: int, n: int) -> list[float]:
    rng = random.Random(seed)
    return [10 ** rng.uniform(-9, -2) for _ in range(n)]


def around(x: float) -> Iterator[float]:
    """x and its neighbours."""
    below, above = x, x
    yield x
    for _ in range(2):
        below, above = math.nextafter(below, 0), math.nextafter(above, math.inf)
        yield from (below, above)


def channels_of(table: SelectionTable) -> list[float]:
    """Every border of a table and its neighbours, 0 and infinity."""
    borders = {0.0, math.inf, *table.starts}
    for span in table.spans:
        borders |= {span.first, span.last}
    return sorted({x for border in borders for x in around(border)})
