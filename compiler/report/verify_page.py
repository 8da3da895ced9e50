"""The page of `joulecut verify`: one row for each engine and part, and a verdict."""

from __future__ import annotations

from collections.abc import Sequence

from joulecut.compiler.report.files import Table
from joulecut.compiler.report.page import Card, Page, Section


def verify_page(
    bundle: str, rows: Sequence[dict[str, str]], *, ok: bool, accuracy: float | None = None
) -> Page:
    """Args as `VerifyReport` has them: its bundle, its rows, whether all is well.

    Args:
        bundle: what was verified.
        rows: of text, one for each engine and part.
        ok: whether every engine that must agree does.
        accuracy: of the split network, a fraction, measured; None: was not.
    """
    columns = tuple(rows[0]) if rows else ()
    cards = [Card("equal" if ok else "differs", "verdict"), Card(f"{len(rows)}", "comparisons")]
    if accuracy is not None:
        cards.append(
            Card(f"{100 * accuracy:.2f} %", "accuracy of the split network (measured)")
        )
    cells = tuple(tuple(cell or None for cell in row.values()) for row in rows)
    table = Table("engines", "Engines against the reference", columns, cells)
    sections = [Section.of(table)] if rows else []
    lead = "Each engine ran on the same samples as the reference, layer by layer where it can."
    return Page(f"Verification of {bundle}", lead, cards, sections)
