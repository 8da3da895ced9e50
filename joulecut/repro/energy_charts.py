"""Figures 3 to 5 of the energy paper, as charts for the page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import plotly.graph_objects as go

from joulecut.compiler.report.charts import styled, to_html
from joulecut.hw.trajectory import Point
from joulecut.repro.digit_counts import Counts

# Apart in lightness as well as in hue, so that they differ in print and to every eye.
SHADES = {"PS": "#0b3c68", "PSNC": "#3b8bc4", "pool1": "#e0a030", "softmax": "#8c4a3c"}
BEFORE, AFTER = "#b9c2cc", "#0b3c68"


def layer_bars(
    before: Sequence[Counts],
    after: Sequence[Counts],
    values: Sequence[Sequence[float]],
    title: str,
) -> str:
    """Grouped bars on a log axis, before and after compression; what is 0 has no bar."""
    figure: Any = go.Figure()
    names = [each.name for each in before]
    assert names == [each.name for each in after]
    for label, colour, own in zip(
        ("before compression", "after"), (BEFORE, AFTER), values, strict=True
    ):
        figure.add_bar(
            name=label, x=names, y=[each or None for each in own], marker_color=colour
        )
    figure.update_yaxes(type="log")
    return to_html(styled(figure, title, barmode="group"))


def path_map(points: Mapping[str, Point], server: Point) -> str:
    """Fig. 4(a): where the client is, and where the server."""
    figure: Any = go.Figure()
    x, y = zip(*points.values(), strict=True)
    figure.add_scatter(
        name="client", x=x, y=y, mode="lines+markers+text", text=list(points),
        textposition="top center", marker={"color": AFTER, "size": 9},
    )  # fmt: skip
    figure.add_scatter(
        name="server", x=[server[0]], y=[server[1]], mode="markers",
        marker={"color": SHADES["softmax"], "symbol": "square", "size": 13},
    )  # fmt: skip
    figure.update_xaxes(title="x, m", constrain="domain")
    figure.update_yaxes(title="y, m", scaleanchor="x", constrain="domain")
    return to_html(styled(figure, "Fig. 4(a): positions (assumed)"))


def policy_lines(
    points: Sequence[str], energies: Mapping[str, Sequence[float]], title: str
) -> str:
    """Fig. 4(b) to (d): one line a policy over the positions, J on a log axis."""
    figure: Any = go.Figure()
    for (name, own), symbol in zip(
        energies.items(), ("circle", "square", "diamond", "x"), strict=True
    ):
        figure.add_scatter(
            name=name, x=list(points), y=list(own), mode="lines+markers",
            marker={"symbol": symbol, "size": 9, "color": SHADES[name]},
        )  # fmt: skip
    figure.update_yaxes(type="log", title="J")
    return to_html(styled(figure, title))


def compression_curve(
    ratios: Sequence[float], energies: Sequence[float], accuracies: Sequence[float], title: str
) -> str:
    """Fig. 5: energy on the left axis, accuracy on the right, over the compression ratio."""
    figure: Any = go.Figure()
    figure.add_scatter(
        name="energy", x=list(ratios), y=list(energies), mode="lines+markers",
        marker={"color": AFTER, "size": 9},
    )  # fmt: skip
    figure.add_scatter(
        name="accuracy", x=list(ratios), y=list(accuracies), mode="lines+markers", yaxis="y2",
        line={"dash": "dash"}, marker={"color": SHADES["pool1"], "size": 9, "symbol": "square"},
    )  # fmt: skip
    figure.update_xaxes(title="compression ratio", type="log")
    figure.update_yaxes(title="mean energy, J")
    second = {"title": "held-out accuracy", "overlaying": "y", "side": "right"}
    return to_html(styled(figure, title, yaxis2=second))
