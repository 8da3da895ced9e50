"""The page of `joulecut verify`, from the document that `--json` prints."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from joulecut.compiler.report.files import Table, Value
from joulecut.compiler.report.page import Card, Page, Section


def verify_page(document: Mapping[str, Any]) -> Page:
    """The page: whether what was built equals the reference, and where it first does not."""
    results = document["results"]
    agreed = sum(result["ok"] for result in results)
    cards = [
        Card("ok" if document["ok"] else "diverges", "verdict"),
        Card(f"{agreed} / {len(results)}", "comparisons without a fault"),
    ]
    if accuracy := document.get("accuracy"):
        shown = f"{100 * accuracy['value']:.2f} %"
        cards.append(Card(shown, f"top-1 accuracy when split ({accuracy['provenance']})"))
    return Page(
        f"{document['bundle']}: what was built against the reference",
        "The reference is the integer specification. What was built must equal it, integer for "
        "integer, in every layer; engines that round in their own order are compared, not obeyed.",
        cards,
        [Section.of(_table(results))],
    )


def _table(results: list[Mapping[str, Any]]) -> Table:
    columns = (
        "engine",
        "part",
        "layers",
        "samples",
        "ok",
        "differing",
        "first divergence",
        "note",
    )
    return Table("engines", "Engines", columns, tuple(_row(result) for result in results))


def _row(result: Mapping[str, Any]) -> tuple[Value, ...]:
    first = result.get("divergence")
    where = f"layer '{first['layer']}': {first['reason']}" if first else ""
    keys = ("engine", "part", "layers", "samples", "ok", "fraction_differing")
    return (*(result[key] for key in keys), where, result["note"])
