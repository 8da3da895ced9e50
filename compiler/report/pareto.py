"""The Pareto front: what no other point beats in both respects."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, cast

import plotly.graph_objects as go

from joulecut.compiler.report.charts import line_style, log_axis, plain, styled, to_html
from joulecut.compiler.report.files import text_of
from joulecut.compiler.report.page import Section
from joulecut.compiler.report.palette import GREY, STYLES

Better = Literal["less", "more"]


def front(
    points: Sequence[tuple[float, float]], better: tuple[Better, Better] = ("less", "less")
) -> list[int]:
    """Numbers of the points that no other equals or beats in both, by their first coordinate.

    Of points that are equal the first stands for all.
    """
    signs = [-1.0 if each == "more" else 1.0 for each in better]
    order = sorted(
        range(len(points)),
        key=lambda i: (signs[0] * points[i][0], signs[1] * points[i][1], i),
    )
    found: list[int] = []
    for i in order:
        if not found or signs[1] * points[i][1] < signs[1] * points[found[-1]][1]:
            found.append(i)
    return sorted(found, key=lambda i: points[i][0])


def pareto_chart(
    title: str,
    names: Sequence[str],
    points: Sequence[tuple[float, float]],
    labels: tuple[str, str],
    better: tuple[Better, Better] = ("less", "less"),
    log: tuple[bool, bool] = (False, False),
) -> Any:
    """Points, and their front as a step line; names show on hover.

    Args:
        title: of the chart.
        names: of the points.
        points: finite; positive where an axis is logarithmic.
        labels: of the axes, with units and how the numbers are known.
        better: whether less or more is better, for each axis.
        log: whether each axis is logarithmic.
    """
    best = front(points, better)
    figure: Any = go.Figure()
    others = [i for i in range(len(points)) if i not in set(best)]
    hover = "%{text}<br>%{x}, %{y}<extra></extra>"
    figure.add_scatter(
        name="beaten", x=[points[i][0] for i in others], y=[points[i][1] for i in others],
        text=[plain(names[i]) for i in others], mode="markers", hovertemplate=hover,
        marker={"color": GREY, "symbol": "circle-open", "size": 8},
    )  # fmt: skip
    figure.add_scatter(
        name="Pareto front", x=[points[i][0] for i in best], y=[points[i][1] for i in best],
        text=[plain(names[i]) for i in best], hovertemplate=hover,
        **line_style(STYLES[1], shape="hv" if better[0] == "less" else "vh"),
    )  # fmt: skip
    for axis, update in enumerate((figure.update_xaxes, figure.update_yaxes)):
        scale = log_axis(point[axis] for point in points) if log[axis] else {}
        update(title=plain(labels[axis]), **scale)
    return styled(figure, title, height=430)


def pareto_section(
    title: str,
    points: Sequence[Mapping[str, Any]],
    x: tuple[str, str],
    y: tuple[str, str],
    *,
    label: str = "name",
    better: tuple[Better, Better] = ("less", "less"),
    log: tuple[bool, bool] = (False, False),
    note: str = "",
    name: str = "",
) -> Section:
    """A section with a Pareto chart of rows of a document; rows without both numbers are left out.

    Args:
        title: of the section.
        points: the rows.
        x: key of a row's number, and the axis' label with unit and provenance.
        y: the same of the other axis.
        label: key of what names a row: text, or a list of tensors.
        better: whether less or more is better, for each axis.
        log: whether an axis is logarithmic, if all its numbers are positive.
        note: under the chart, after what it says of itself.
        name: of the section in links.
    """
    known = [row for row in points if row.get(x[0]) is not None and row.get(y[0]) is not None]
    pairs = [(float(row[x[0]]), float(row[y[0]])) for row in known]
    names = [_name(row.get(label)) for row in known]
    positive = [all(pair[axis] > 0 for pair in pairs) for axis in (0, 1)]
    figure = pareto_chart(
        "", names, pairs, (x[1], y[1]), better, (log[0] and positive[0], log[1] and positive[1])
    )
    said = f"{len(front(pairs, better)):,} of {len(pairs):,} points are on the front."
    return Section(title, chart=to_html(figure), note=f"{said} {note}".strip(), name=name)


def _name(value: Any) -> str:
    if isinstance(value, list | tuple):
        return " + ".join(map(str, cast("Sequence[object]", value)))
    return text_of(value)
