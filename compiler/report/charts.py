"""Charts of the report, as plotly figures without any file or network of their own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import plotly.graph_objects as go

from joulecut.compiler.report.cut_table import CutRow

COLOURS = {"compute": "#3b6ea8", "memory": "#e0a030", "radio": "#b5483a"}
GREY = "#9aa5b1"


def energy_by_cut(rows: Sequence[CutRow]) -> Any:
    """Stacked bars: modelled energy of the edge per inference, by where it goes."""
    names = [row.cut for row in rows]
    figure: Any = go.Figure()
    for source, colour in COLOURS.items():
        microjoules = [getattr(row, f"{source}_pj") / 1e6 for row in rows]
        figure.add_bar(name=source, x=names, y=microjoules, marker_color=colour)
    return _styled(figure, "energy at the edge per inference, uJ (modelled)", barmode="stack")


def bytes_by_cut(rows: Sequence[CutRow]) -> Any:
    """Grouped bars on a log axis: what crosses raw, coded, and the entropy's floor."""
    names = [row.cut for row in rows]
    entropy = [
        row.coded_bytes * row.entropy_bits / row.coded_bits if row.coded_bits else 0.0
        for row in rows
    ]
    figure: Any = go.Figure()
    figure.add_bar(name="raw", x=names, y=[row.raw_bytes for row in rows], marker_color=GREY)
    figure.add_bar(
        name="coded", x=names, y=[row.coded_bytes for row in rows], marker_color="#3b6ea8"
    )
    figure.add_scatter(
        name="order-0 entropy", x=names, y=entropy, mode="markers",
        marker={"color": "#222222", "symbol": "line-ew-open", "size": 16},
    )  # fmt: skip
    figure.update_yaxes(type="log")
    return _styled(figure, "bytes across the cut per inference (measured)", barmode="group")


def layer_bars(names: Sequence[str], values: Sequence[float], title: str) -> Any:
    """Horizontal bars, one per layer, the first layer on top."""
    figure: Any = go.Figure()
    figure.add_bar(y=list(names), x=list(values), orientation="h", marker_color="#3b6ea8")
    figure.update_yaxes(autorange="reversed")
    return _styled(figure, title, height=80 + 26 * len(names))


def to_html(figure: Any) -> str:
    """The chart as a fragment; the page that holds it brings plotly's script once."""
    return figure.to_html(
        full_html=False, include_plotlyjs=False, config={"displayModeBar": False}
    )


def _styled(figure: Any, title: str, height: int = 360, **layout: Any) -> Any:
    figure.update_layout(
        title={"text": title, "font": {"size": 15}},
        template="simple_white",
        height=height,
        margin={"l": 60, "r": 20, "t": 50, "b": 60},
        font={"family": "system-ui, sans-serif", "size": 12},
        legend={"orientation": "h", "y": 1.12, "x": 1, "xanchor": "right"},
        **layout,
    )
    figure.update_yaxes(automargin=True)
    figure.update_xaxes(automargin=True)
    return figure
