"""Tables from counts, written from docs/bitstream.md, "The encoder's choices"."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from itertools import pairwise

from joulecut.kernels.twin.context import N_CLASSES, Context, Counts, last_token
from joulecut.kernels.twin.huffman import code_lengths

ANS_SUM = 2048
MAX_CLUSTERS = 16
MAX_COUNTED = 1 << 24

Table = dict[int, int]  # token -> frequency, or code length


@dataclass(frozen=True)
class Model:
    """Which cluster codes a context, and the table of each cluster."""

    cluster_of: Mapping[Context, int]
    tables: list[Table]


@cache
def log_of_fraction(i: int) -> int:
    """floor(65536 log2(1 + i / 256)); none is so near to an integer that binary64 could err."""
    return math.floor(65536 * math.log2(1 + i / 256))


def lg(x: int) -> int:
    """About 65536 log2 x."""
    e = x.bit_length() - 1
    i, r = divmod((x << (24 - e)) - (1 << 24), 65536)
    step = log_of_fraction(i + 1) - log_of_fraction(i)
    return 65536 * e + log_of_fraction(i) + step * r // 65536


def price(counts: Counter[int]) -> int:
    """Of the symbols and of their table, in 1/65536 bits."""
    total = counts.total()
    used = [c for c in counts.values() if c]
    return sum(c * (lg(total) - lg(c)) for c in used) + 65536 * (24 + 7 * len(used))


def first_clusters(counts: Counts) -> list[tuple[Context, Counter[int]]]:
    """One for each class with symbols, and for each union without."""
    clusters: list[tuple[Context, Counter[int]]] = []
    for union in sorted({u for u, _ in counts}):
        classes = [(union, c) for c in range(N_CLASSES)]
        used = [context for context in classes if counts[context].total()] or classes[:1]
        clusters += [(context, counts[context]) for context in used]
    return clusters


def join_clusters(counts: Counts) -> list[tuple[Context, Counter[int]]]:
    """The clusters with their first class."""
    clusters = first_clusters(counts)
    while True:
        pairs = [
            (price(a[1] + b[1]) - price(a[1]) - price(b[1]), k)
            for k, (a, b) in enumerate(pairwise(clusters))
            if a[0][0] == b[0][0]
        ]
        if not pairs:
            return clusters
        saving, k = min(pairs)
        if saving >= 0 and len(clusters) <= MAX_CLUSTERS:
            return clusters
        clusters[k : k + 2] = [(clusters[k][0], clusters[k][1] + clusters[k + 1][1])]


def total_price(clusters: list[tuple[Context, Counter[int]]]) -> int:
    """Of all clusters; one without symbols costs nothing."""
    return sum(price(inside) for _, inside in clusters if inside.total())


def map_contexts(counts: Counts, firsts: list[Context]) -> dict[Context, int]:
    """Every context to the last cluster that starts at it or below, or else above it."""
    cluster_of: dict[Context, int] = {}
    for union, c in counts:
        same = [k for k, first in enumerate(firsts) if first[0] == union]
        below = [k for k in same if firsts[k][1] <= c]
        cluster_of[union, c] = below[-1] if below else same[0]
    return cluster_of


def is_writable(frequency: int) -> bool:
    """Whether at most four bits from the highest one on are not zero."""
    return frequency % (1 << max(frequency.bit_length() - 4, 0)) == 0


WRITABLE = [w for w in range(1, ANS_SUM) if is_writable(w)]


def share(c: int, total: int) -> int:
    """2048 c / total, rounded half up, at least 1."""
    return max(1, (2 * ANS_SUM * c + total) // (2 * total))


def writable_near(v: int) -> int:
    """The writable number nearest to v, the larger one of two."""
    return min(WRITABLE, key=lambda w: (abs(w - v), -w))


def frequencies(counts: Counter[int]) -> Table:
    """They add up to 2048."""
    total = counts.total()
    if total == 0:
        return {0: ANS_SUM}
    most = min(counts, key=lambda token: (-counts[token], token))
    table = {t: writable_near(share(c, total)) for t, c in counts.items() if c and t != most}
    while ANS_SUM - sum(table.values()) < (share(counts[most], total) + 1) // 2:
        largest = min(table, key=lambda token: (-table[token], token))
        table[largest] = max(w for w in WRITABLE if w < table[largest])
    return table | {most: ANS_SUM - sum(table.values())}


def lengths(counts: Counter[int]) -> Table:
    """Code lengths; 0 for an only token."""
    only = next((token for token, c in counts.items() if c), 0)
    return code_lengths(counts) or {only: 0}


def models(counts: Counts) -> tuple[Model, Model]:
    """The models of context prefix and context ANS."""
    while sum(c.total() for c in counts.values()) >= MAX_COUNTED:
        counts = {k: Counter({t: n - n // 2 for t, n in c.items()}) for k, c in counts.items()}
    clusters = join_clusters(counts)
    cluster_of = map_contexts(counts, [first for first, _ in clusters])
    if (1, 0) in counts:
        together = {(0, c): counts[0, c] + counts[1, c] for c in range(N_CLASSES)}
        shared = join_clusters(together)
        if total_price(shared) <= total_price(clusters):
            clusters = shared
            same = map_contexts(together, [first for first, _ in shared])
            cluster_of = {(u, c): same[0, c] for u, c in counts}
    return (
        Model(cluster_of, [lengths(inside) for _, inside in clusters]),
        Model(cluster_of, [frequencies(inside) for _, inside in clusters]),
    )


def static_models(counts: Counts, width: int) -> tuple[Model, Model]:
    """Models that can code every symbol of the width."""
    tokens = range(last_token(width) + 1)
    return models({k: Counter({t: max(1, c[t]) for t in tokens}) for k, c in counts.items()})
