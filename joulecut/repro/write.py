"""A reproduction as files: one page, and each table as CSV and JSON."""

from __future__ import annotations

from pathlib import Path

from joulecut.compiler.report.files import Table, write_table, write_tables
from joulecut.compiler.report.page import Card, Page, Section, render
from joulecut.repro.claims import Claim
from joulecut.repro.study import Reproduction

__all__ = ["write", "write_table"]


def write(done: Reproduction, directory: Path) -> Path:
    """Write `index.html` and the tables; returns the page's path."""
    claims = _table_of(done.claims)
    write_tables((claims, *done.tables), directory)
    page = directory / "index.html"
    page.write_text(render(_page(done, claims)), encoding="utf-8")
    return page


def _table_of(claims: tuple[Claim, ...]) -> Table:
    return Table(
        "claims",
        "The paper's figures beside ours",
        ("entry", "paper", "ours", "how ours is known", "verdict", "reason"),
        tuple((c.entry, c.paper, c.ours, c.provenance, c.verdict, c.reason) for c in claims),
    )


def _page(done: Reproduction, claims: Table) -> Page:
    verdicts = [claim.verdict for claim in done.claims]
    cards = [Card(f"{verdicts.count(verdict)}", verdict) for verdict in dict.fromkeys(verdicts)]
    tables = [Section.of(each) for each in (claims, *done.tables)]
    return Page(done.title, done.lead, cards, [tables[0], *done.sections, *tables[1:]])
