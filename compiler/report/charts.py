"""Charts of the report, as plotly figures without any file or network of their own.

Names come from models: plotly shows text with its own small set of tags, so `plain` takes from
them what would begin one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import plotly.graph_objects as go

from joulecut.compiler.report.cut_table import CutRow
from joulecut.compiler.report.palette import GREY, INK, STYLES, styles

COLOURS = {"compute": STYLES[0].colour, "memory": STYLES[1].colour, "radio": STYLES[2].colour}
NAME_CHARACTERS = 28
_PATTERN = {"fgcolor": "white", "size": 6, "solidity": 0.25}


@dataclass(frozen=True)
class Point:
    """One candidate in a scatter.

    Attributes:
        x: in the unit of the axis.
        y: the same.
        label: shown when pointed at.
        group: which series it belongs to.
    """

    x: float
    y: float
    label: str
    group: str = ""


def energy_by_cut(rows: Sequence[CutRow]) -> Any:
    """Stacked bars: modelled energy of the edge per inference, by where it goes."""
    return stacked(
        [row.cut for row in rows],
        {name: [getattr(row, f"{name}_pj") / 1e6 for row in rows] for name in COLOURS},
        "energy at the edge per inference, uJ (modelled)",
    )


def stacked(names: Sequence[str], parts: Mapping[str, Sequence[float]], title: str) -> Any:
    """Stacked bars, one for each name; parts differ in colour and pattern."""
    figure: Any = go.Figure()
    for (part, values), look in zip(parts.items(), styles(len(parts)), strict=True):
        figure.add_bar(
            name=plain(part),
            x=short(names),
            y=list(values),
            marker={"color": look.colour, "pattern": {**_PATTERN, "shape": look.pattern}},
            hovertext=[plain(name) for name in names],
        )
    return styled(figure, title, barmode="stack")


def bytes_by_cut(rows: Sequence[CutRow]) -> Any:
    """Grouped bars on a log axis: what crosses raw, coded, and the entropy's floor."""
    names = short([row.cut for row in rows])
    entropy = [
        row.coded_bytes * row.entropy_bits / row.coded_bits if row.coded_bits else 0.0
        for row in rows
    ]
    figure: Any = go.Figure()
    figure.add_bar(name="raw", x=names, y=[row.raw_bytes for row in rows], marker_color=GREY)
    figure.add_bar(
        name="coded",
        x=names,
        y=[row.coded_bytes for row in rows],
        marker_color=STYLES[0].colour,
    )
    figure.add_scatter(
        name="order-0 entropy", x=names, y=entropy, mode="markers",
        marker={"color": INK, "symbol": "line-ew-open", "size": 16},
    )  # fmt: skip
    figure.update_yaxes(type="log")
    return styled(figure, "bytes across the cut per inference (measured)", barmode="group")


def layer_bars(names: Sequence[str], values: Sequence[float], title: str) -> Any:
    """Horizontal bars, one per layer, the first layer on top."""
    figure: Any = go.Figure()
    figure.add_bar(
        y=short(names),
        x=list(values),
        orientation="h",
        marker_color=STYLES[0].colour,
        hovertext=[plain(name) for name in names],
    )
    figure.update_yaxes(autorange="reversed", type="category")
    return styled(figure, title, height=100 + 20 * len(names))


def pareto(
    front: Sequence[Point],
    others: Sequence[Point],
    axes: tuple[str, str],
    best: Point | None = None,
) -> Any:
    """A scatter of candidates, those that nothing beats in colour, by group.

    Args:
        front: what nothing beats.
        others: the rest, in grey.
        axes: titles with units, and how the numbers are known.
        best: set off.
    """
    figure: Any = go.Figure()
    if others:
        _scatter(figure, "beaten", others, {"color": "#c9cfd6", "size": 5})
    groups = list(dict.fromkeys(point.group for point in front))
    for group, look in zip(groups, styles(len(groups)), strict=True):
        mark = {
            "color": look.colour,
            "symbol": look.symbol,
            "size": 9,
            "line": {"color": "white", "width": 1},
        }
        _scatter(figure, group or "front", [p for p in front if p.group == group], mark)
    if best is not None:
        ring = {"color": INK, "symbol": "circle-open", "size": 18, "line": {"width": 3}}
        _scatter(figure, "best", [best], ring)
    figure.update_xaxes(title=axes[0], **_scale([p.x for p in (*front, *others)]))
    figure.update_yaxes(title=axes[1], **_scale([p.y for p in (*front, *others)]))
    return styled(figure, "what nothing beats", height=460)


def lines(
    series: Mapping[str, Sequence[tuple[float, float]]],
    axes: tuple[str, str],
    title: str,
    *,
    log_y: bool = False,
) -> Any:
    """Lines with marks, as rate-distortion curves are drawn; each has colour, dash and symbol."""
    figure: Any = go.Figure()
    for (name, points), look in zip(series.items(), styles(len(series)), strict=True):
        figure.add_scatter(
            name=plain(name),
            x=[x for x, _ in points],
            y=[y for _, y in points],
            mode="lines+markers",
            line={"color": look.colour, "dash": look.dash, "width": 2},
            marker={"symbol": look.symbol, "size": 7},
        )
    figure.update_xaxes(title=axes[0])
    figure.update_yaxes(title=axes[1], type="log" if log_y else "linear")
    return styled(figure, title, height=420)


def trajectory(
    values: Mapping[str, Sequence[float]],
    cuts: Mapping[str, Sequence[str]],
    axis: str,
    title: str,
) -> Any:
    """What each policy spends along a path, inference by inference.

    Args:
        values: by policy.
        cuts: by policy, the cut that it used each time; shown when pointed at.
        axis: title of the vertical axis, which is logarithmic.
        title: of the chart.
    """
    figure: Any = go.Figure()
    for (name, each), look in zip(values.items(), styles(len(values)), strict=True):
        figure.add_scatter(
            name=plain(name),
            x=list(range(1, len(each) + 1)),
            y=list(each),
            mode="lines+markers" if len(each) <= 60 else "lines",
            line={"color": look.colour, "dash": look.dash, "width": 2},
            marker={"symbol": look.symbol, "size": 7},
            hovertext=[plain(cut) for cut in cuts[name]],
        )
    figure.update_xaxes(title="inference")
    figure.update_yaxes(title=axis, type="log")
    return styled(figure, title, height=420)


def bands(ends: Sequence[tuple[float, float, str]], axis: str, title: str) -> Any:
    """Which cut is best between which channels: bars on a logarithmic axis, one row a cut."""
    figure: Any = go.Figure()
    names = list(dict.fromkeys(name for _, _, name in ends))
    labels, looks = short(names), styles(len(names))
    for first, last, name in ends:
        number = names.index(name)
        figure.add_scatter(
            x=[first, last],
            y=[labels[number]] * 2,
            mode="lines",
            line={"color": looks[number].colour, "width": 14},
            hovertext=plain(name),
            showlegend=False,
        )
    figure.update_xaxes(type="log", title=axis)
    figure.update_yaxes(type="category", autorange="reversed")
    return styled(figure, title, height=140 + 30 * len(names))


def to_html(figure: Any) -> str:
    """The chart as a fragment; the page that holds it brings plotly's script once."""
    return figure.to_html(
        full_html=False,
        include_plotlyjs=False,
        config={"displayModeBar": False, "responsive": True},
    )


def styled(figure: Any, title: str, height: int = 380, **layout: Any) -> Any:
    """The figure with what all have in common."""
    figure.update_layout(
        title={"text": plain(title), "font": {"size": 15}, "x": 0, "xanchor": "left"},
        template="simple_white",
        height=height,
        margin={"l": 10, "r": 10, "t": 84, "b": 10},
        font={"family": "system-ui, sans-serif", "size": 12, "color": INK},
        legend={"orientation": "h", "y": 1.02, "x": 0, "xanchor": "left", "yanchor": "bottom"},
        **layout,
    )
    figure.update_yaxes(automargin=True, gridcolor="#e6e9ed", showgrid=True)
    figure.update_xaxes(automargin=True)
    return figure


def plain(text: str) -> str:
    """Text of which plotly makes no tag, link or entity."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def short(names: Sequence[str]) -> list[str]:
    """Names cut to what an axis has room for, each still different from the others."""
    made: list[str] = []
    for name in names:
        half = NAME_CHARACTERS // 2
        text = name if len(name) <= NAME_CHARACTERS else f"{name[:half]}…{name[1 - half :]}"
        candidate, again = plain(text), 2
        while candidate in made:
            candidate, again = f"{plain(text)} ({again})", again + 1
        made.append(candidate)
    return made


def _scatter(
    figure: Any, name: str, points: Sequence[Point], marker: Mapping[str, Any]
) -> None:
    figure.add_scatter(
        name=plain(name),
        x=[point.x for point in points],
        y=[point.y for point in points],
        mode="markers",
        marker=dict(marker),
        hovertext=[plain(point.label) for point in points],
    )


def _scale(values: Sequence[float]) -> dict[str, Any]:
    """A logarithmic axis where values span more than a decade."""
    positive = [value for value in values if value > 0]
    wide = len(positive) == len(values) and positive and max(positive) > 10 * min(positive)
    return {"type": "log"} if wide else {}
