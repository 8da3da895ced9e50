"""The page of `joulecut profile`, from the very document that --json prints."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from joulecut.compiler.profile import Profile
from joulecut.compiler.report import charts
from joulecut.compiler.report.files import Table
from joulecut.compiler.report.page import Card, Page, Section

SHOWN = (  # quantities that get a chart, if every layer has them
    "latency",
    "time_min",
    "time_median",
    "cycles",
    "instructions",
    "energy",
)


def profile_page(document: Mapping[str, Any]) -> Page:
    """Bars of time and energy by layer, and the table of everything.

    Args:
        document: `Profile.to_dict()`, with `part` beside it.

    Raises:
        UntrustedInputError: it is no profile.
    """
    profile = Profile.from_dict(document)
    total = profile.total()
    names = [layer.name for layer in profile.layers]
    sections = [
        Section(
            f"{name.replace('_', ' ')} by layer",
            chart=charts.to_html(
                charts.layer_bars(
                    names,
                    [layer.quantities[name].value for layer in profile.layers],
                    f"{name.replace('_', ' ')}, {total[name].unit} ({total[name].provenance})",
                )
            ),
        )
        for name in SHOWN
        if name in total
    ]
    rows = profile.to_rows()
    columns = tuple(dict.fromkeys(key for row in rows for key in row))
    cells = tuple(tuple(row.get(key) for key in columns) for row in rows)
    table = Table("layers", "All layers", columns, cells)
    sections.append(Section.of(table, best=len(cells) - 1))
    cards = [
        Card(f"{quantity.value:,.6g} {quantity.unit}", f"{name}, {quantity.provenance}")
        for name, quantity in total.items()
        if name in SHOWN
    ]
    lead = f"{profile.device}; {profile.machine}. " + " ".join(
        f"{note.rstrip('.')}." for note in profile.notes
    )
    part = document.get("part", "part")
    return Page(f"What the {part} costs, layer by layer", lead, cards, sections)
