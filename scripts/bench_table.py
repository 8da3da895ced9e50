"""Tables of the codec benchmarks: one look, wide enough for a file."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping

import numpy as np
from rich.console import Console
from rich.table import Table

CONSOLE = Console(width=150)


def show(title: str, columns: Iterable[str], rows: Iterable[Iterable[str]]) -> None:
    """Print a table; the first column is text, the others are numbers."""
    table = Table(title=title, title_justify="left")
    for index, column in enumerate(columns):
        table.add_column(column, justify="right" if index else "left")
    for row in rows:
        table.add_row(*row)
    CONSOLE.print(table)


def fastest(calls: Mapping[str, Callable[[], float | None]], rounds: int) -> dict[str, float]:
    """Seconds of the fastest round of each, interleaved so that noise meets all alike.

    A call that measures itself returns its seconds.
    """
    best = dict.fromkeys(calls, float("inf"))
    for _ in range(rounds):
        for name, call in calls.items():
            start = time.perf_counter()
            measured = call()
            seconds = time.perf_counter() - start if measured is None else measured
            best[name] = min(best[name], seconds)
    return best


def uniform_indices(tensor: np.ndarray, bits: int) -> np.ndarray:
    """Nearest of 2^bits evenly spaced values from the least to the greatest; uint8."""
    low, high = float(tensor.min()), float(tensor.max())
    step = (high - low) / (2**bits - 1)
    return np.rint((tensor - low) / step).astype(np.uint8)
