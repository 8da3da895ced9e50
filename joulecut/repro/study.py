"""What a reproduction hands out: claims, its tables, and a page to look at."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from joulecut.compiler.report.files import Table
from joulecut.compiler.report.page import Section
from joulecut.repro.claims import Claim


@dataclass(frozen=True)
class Reproduction:
    """A paper, done again.

    Attributes:
        title: of the paper, for people.
        lead: one sentence: what was run, on which data.
        claims: every entry of its tables and figures, in its order.
        tables: the numbers behind them.
        sections: charts for the page, in its order.
    """

    title: str
    lead: str
    claims: tuple[Claim, ...]
    tables: tuple[Table, ...] = ()
    sections: Sequence[Section] = ()
