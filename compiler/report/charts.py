"""Charts of the report, as plotly figures without any file or network of their own."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from html import escape
from typing import Any

import plotly.graph_objects as go
from markupsafe import Markup

from joulecut.compiler.report.cut_table import CutRow
from joulecut.compiler.report.palette import GREY, INK, STYLES, Style, styles

ENERGIES = ("compute", "memory", "radio")
BARS_A_CHART = 40  # what a page of paper holds


def plain(name: str) -> str:
    """A name from outside as plotly must get it, which reads tags and entities in any text."""
    return escape(name, quote=False)


def energy_by_cut(rows: Sequence[CutRow]) -> Any:
    """Stacked bars: modelled energy of the edge per inference, by where it goes."""
    cuts = [row.cut for row in rows]
    names = [plain(cut) for cut in cuts]
    figure: Any = go.Figure()
    for source, style in zip(ENERGIES, styles(len(ENERGIES)), strict=True):
        microjoules = [getattr(row, f"{source}_pj") / 1e6 for row in rows]
        figure.add_bar(name=source, x=names, y=microjoules, marker=bar_marker(style))
    figure.update_xaxes(**name_axis(cuts))
    figure.update_yaxes(title="uJ (modelled)")
    return styled(figure, "energy at the edge per inference, uJ (modelled)", barmode="stack")


def bytes_by_cut(rows: Sequence[CutRow]) -> Any:
    """Grouped bars on a log axis: what crosses raw, coded, and the entropy's floor."""
    cuts = [row.cut for row in rows]
    names = [plain(cut) for cut in cuts]
    entropy = [
        row.coded_bytes * row.entropy_bits / row.coded_bits if row.coded_bits else 0.0
        for row in rows
    ]
    figure: Any = go.Figure()
    figure.add_bar(name="raw", x=names, y=[row.raw_bytes for row in rows], marker_color=GREY)
    figure.add_bar(
        name="coded", x=names, y=[row.coded_bytes for row in rows], marker=bar_marker(STYLES[0])
    )
    figure.add_scatter(
        name="order-0 entropy", x=names, y=entropy, mode="markers",
        marker={"color": INK, "symbol": "line-ew-open", "size": 16},
    )  # fmt: skip
    figure.update_xaxes(**name_axis(cuts))
    shown = [*entropy, *(b for row in rows for b in (row.raw_bytes, row.coded_bytes))]
    figure.update_yaxes(**log_axis(shown), title="bytes (measured)")
    return styled(figure, "bytes across the cut per inference (measured)", barmode="group")


def layer_bars(
    names: Sequence[str], values: Sequence[float], title: str, most: float | None = None
) -> Any:
    """Horizontal bars, one per layer, the first layer on top.

    Args:
        names: of the layers, each once.
        values: of one quantity.
        title: the quantity, with its unit and how it is known.
        most: where the axis ends; by default behind the longest bar.
    """
    shown = [plain(name) for name in names]
    figure: Any = go.Figure()
    figure.add_bar(
        y=shown, x=list(values), orientation="h", marker=bar_marker(STYLES[0]),
        hovertemplate="%{y}: %{x}<extra></extra>",
    )  # fmt: skip
    figure.update_yaxes(**name_axis(names))
    figure.update_yaxes(autorange="reversed")
    figure.update_xaxes(title=plain(title), range=None if most is None else [0, 1.02 * most])
    return styled(figure, title, height=100 + 22 * len(names))


def layer_charts(names: Sequence[str], values: Sequence[float], title: str) -> str:
    """`layer_bars` as a fragment, in charts of 40 layers or fewer with one scale."""
    most = max(values, default=0.0) or 1.0
    charts = math.ceil(len(names) / BARS_A_CHART)
    size = math.ceil(len(names) / max(charts, 1))
    drawn: list[Markup] = []
    for first in range(0, len(names), max(size, 1)):
        part = slice(first, first + size)
        figure = layer_bars(names[part], values[part], title, most)
        if charts > 1:
            last = min(first + size, len(names))
            figure.layout.title.text += f", layers {first + 1} to {last}"
        drawn.append(to_html(figure))
    return Markup("").join(drawn)


def bar_marker(style: Style) -> dict[str, Any]:
    """Bars that stay apart without colour: a pattern, and a dark outline."""
    return {
        "color": style.colour,
        "line": {"color": INK, "width": 0.5},
        "pattern": {"shape": style.pattern, "fgcolor": "#ffffff", "size": 7, "solidity": 0.25},
    }


def line_style(style: Style, mode: str = "lines+markers", **line: Any) -> dict[str, Any]:
    """Arguments of a plotly line that stays apart without colour."""
    return {
        "mode": mode,
        "line": {"color": style.colour, "dash": style.dash, "width": 2, **line},
        "marker": {"color": style.colour, "symbol": style.symbol, "size": 8},
    }


def to_html(figure: Any) -> Markup:
    """The chart as a fragment under its title; the page that holds it brings plotly's script."""
    title = figure.layout.title.text or ""
    bare: Any = go.Figure(figure)
    bare.update_layout(title=None)
    drawn = bare.to_html(
        full_html=False,
        include_plotlyjs=False,
        config={"displayModeBar": False, "responsive": True},
    )
    caption = Markup("<figcaption>{}</figcaption>").format(Markup(title)) if title else ""
    return Markup('<figure>{}<div class="chart">{}</div></figure>').format(
        caption, Markup(drawn)
    )


def styled(figure: Any, title: str, height: int = 380, **layout: Any) -> Any:
    """What all charts have in common; the title, which may be a name's, is text."""
    figure.update_layout(
        title={"text": plain(title), "font": {"size": 15}},
        template="simple_white",
        height=height,
        margin={"l": 10, "r": 14, "t": 24, "b": 10},
        font={"family": "system-ui, sans-serif", "size": 13, "color": INK},
        legend={"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0, "xanchor": "left"},
        dragmode=False,
        **layout,
    )
    grid = {
        "automargin": True,
        "showgrid": True,
        "gridcolor": "#e4e8ec",
        "exponentformat": "SI",
    }
    figure.update_yaxes(**grid, title_standoff=8)
    figure.update_xaxes(**grid, title_standoff=8)
    return figure


def log_axis(values: Iterable[float], **last: Any) -> dict[str, Any]:
    """A logarithmic axis with a tick each decade, and between decades if there are few.

    plotly's own ticks between decades are digits too small for a phone, one above the other.
    """
    logs = [math.log10(v) for v in values if 0 < v < math.inf] or [0.0]
    first, end = math.floor(min(logs)), math.ceil(max(logs))
    span = max(logs) - min(logs)
    digits = range(1, 10) if span < 0.6 else (1, 2, 5) if span < 1.5 else (1,)
    every = max(1, (end - first) // 8)
    ticks = [d * 10.0**e for e in range(first - 1, end + 2, every) for d in digits]
    return {"type": "log", "tickmode": "array", "tickvals": ticks, **last}


def name_axis(names: Sequence[str], most: int = 22) -> dict[str, Any]:
    """An axis of names that leaves room for the chart: long ones without their middle."""
    return {
        "type": "category",
        "tickmode": "array",
        "tickvals": [plain(name) for name in names],
        "ticktext": [plain(short(name, most)) for name in names],
    }


def short(name: str, most: int = 26) -> str:
    """A name of `most` characters or fewer, its middle left out if it must be."""
    return name if len(name) <= most else f"{name[: most // 2]}…{name[-(most // 2 - 1) :]}"
