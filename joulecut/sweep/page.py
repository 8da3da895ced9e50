"""The page of a sweep: the front, every trial, and what each number is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import plotly.graph_objects as go

from joulecut.compiler.profile import Quantity
from joulecut.compiler.report.charts import to_html
from joulecut.compiler.report.page import Card, Page, Section, render
from joulecut.sweep.search import TrialRow

FRONT, OTHERS = "#3b6ea8", "#9aa5b1"


def page(
    study: str,
    objectives: Mapping[str, str],
    rows: Sequence[TrialRow],
    front: Sequence[TrialRow],
) -> str:
    """The page as HTML.

    Args:
        study: its name.
        objectives: directions by name.
        rows: every trial.
        front: those that nothing dominates, each content hash once.
    """
    complete = [row for row in rows if row.state == "complete"]
    failed = [row for row in rows if row.state == "failed"]
    cards = [
        Card(str(len(front)), "on the front"),
        Card(str(len({row.key for row in complete})), "configurations run"),
        Card(str(len(complete)), "trials complete"),
        Card(str(len(failed)), "trials failed"),
    ]
    lead = "; ".join(f"{how} {name}" for name, how in objectives.items())
    sections = [
        Section("Pareto front", chart=_scatter(objectives, complete, front)),
        table("On the front", list(objectives), front, rows),
        table("Every trial that is complete", list(objectives), complete, rows),
    ]
    if failed:
        sections.append(
            Section(
                "Failed",
                ("trial", "point", "reason"),
                [(str(row.number), _words(row), row.reason) for row in failed],
            )
        )
    return render(Page(f"Sweep {study}", lead, cards, sections))


def table(
    title: str,
    objectives: Sequence[str],
    rows: Sequence[TrialRow],
    every_row: Sequence[TrialRow],
) -> Section:
    """Trials and all of their quantities, the objectives first.

    Args:
        title: of the table.
        objectives: names of quantities.
        rows: what stands in it.
        every_row: of the study; what is the same in all of them has no column, but the note.
    """
    every = list(dict.fromkeys(name for row in rows for name in row.quantities))
    names = [*objectives, *(name for name in every if name not in objectives)]
    labels = {
        name: list(dict.fromkeys(row.point.get(name, "") for row in every_row))
        for name in dict.fromkeys(name for row in every_row for name in row.point)
    }
    points = [name for name, found in labels.items() if len(found) > 1]
    same = [f"{name}: {found[0]}" for name, found in labels.items() if len(found) == 1]
    cells = [
        (
            str(row.number),
            *(row.point.get(name, "") for name in points),
            *(shown(row.quantities.get(name)) for name in names),
        )
        for row in rows
    ]
    note = f"the same in every trial: {'; '.join(same)}" if same else ""
    return Section(title, ("trial", *points, *names), cells, note=note)


def shown(quantity: Quantity | None) -> str:
    """`0.97 (measured)`, with its unit if it has one."""
    if quantity is None:
        return "-"
    unit = "" if quantity.unit == "1" else f" {quantity.unit}"
    return f"{quantity.value:.4g}{unit} ({quantity.provenance})"


def _scatter(
    objectives: Mapping[str, str], complete: Sequence[TrialRow], front: Sequence[TrialRow]
) -> str:
    """The first two objectives, or the one against the trial's number."""
    x, y = (
        [*objectives, *objectives][:2] if len(objectives) > 1 else ("", next(iter(objectives)))
    )
    best = {row.key for row in front}
    figure: Any = go.Figure()
    for name, colour, symbol, kept in (
        ("others", OTHERS, "circle-open", [row for row in complete if row.key not in best]),
        ("front", FRONT, "diamond", front),
    ):
        figure.add_scatter(
            name=name,
            x=[row.quantities[x].value if x else row.number for row in kept],
            y=[row.quantities[y].value for row in kept],
            text=[_words(row) for row in kept],
            mode="markers",
            marker={"color": colour, "symbol": symbol, "size": 10},
        )
    figure.update_layout(
        template="simple_white",
        height=460,
        font={"family": "system-ui, sans-serif", "size": 12},
        margin={"l": 60, "r": 20, "t": 30, "b": 60},
    )
    figure.update_xaxes(title=_axis(x, complete) if x else "trial", automargin=True)
    figure.update_yaxes(title=_axis(y, complete), automargin=True)
    return to_html(figure)


def _axis(name: str, rows: Sequence[TrialRow]) -> str:
    known = sorted({row.quantities[name].provenance for row in rows})
    units = sorted({row.quantities[name].unit for row in rows} - {"1"})
    return f"{name} [{', '.join([*units, *known])}]"


def _words(row: TrialRow) -> str:
    return ", ".join(f"{name}: {label}" for name, label in row.point.items())
