"""Figures 2 to 5 of Brito et al. as the paper draws them, and the curves of its future work."""

# plotly annotates only in part.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from joulecut.repro.distortion import Distortion, Method
from joulecut.repro.vgg_study import Point
from joulecut.zoo.counted import CountedLayer

# Okabe and Ito's colours, told apart by all; each series has a dash and a mark of its own, too.
STYLES = (
    ("#0072b2", "solid", "circle"),
    ("#d55e00", "dash", "square"),
    ("#009e73", "dot", "diamond"),
    ("#cc79a7", "dashdot", "cross"),
    ("#e69f00", "longdash", "triangle-up"),
    ("#56b4e9", "longdashdot", "x"),
)


def cumulative_operations(layers: Sequence[CountedLayer]) -> Any:
    """Fig. 2: cumulative MFLOP at the edge over the number of its layers."""
    total = np.cumsum([2 * layer.macs / 1e6 for layer in layers[:9]]).tolist()
    names = [f"{number} {layer.name}" for number, layer in enumerate(layers[:9], 1)]
    chart: Any = go.Figure()
    _add_line(chart, 0, "edge", names, total)
    return _styled(chart, "layers at the edge", "MFLOP at the edge (counted)", legend=False)


def accuracy_by_bits(points: Sequence[Point], base: float) -> Any:
    """Fig. 3: accuracy over the quantizer's bits, a line for each method and split."""
    chart: Any = go.Figure()
    names = list(dict.fromkeys(f"{p.method} at {p.split}" for p in points))
    for index, name in enumerate(names):
        mine = [p for p in points if f"{p.method} at {p.split}" == name]
        _add_line(chart, index, name, [p.bits for p in mine], [p.accuracy for p in mine])
    chart.add_hline(y=base, line_dash="dot", annotation_text="float")
    return _styled(chart, "bits of the quantizer", "accuracy on test images (measured)")


def histograms(found: Mapping[str, Mapping[str, Any]]) -> Any:
    """Fig. 4: nine histograms of what an 8-bit quantizer makes, counts on a log axis."""
    chart: Any = make_subplots(rows=3, cols=3, subplot_titles=list(found))
    for index, histogram in enumerate(found.values()):
        counts = np.array(histogram["counts"], np.float64)
        low, high = float(histogram["low"]), float(histogram["high"])
        values = np.linspace(low, high, len(counts))
        chart.add_bar(
            x=values.tolist(),
            y=(counts / counts.sum()).tolist(),
            marker_color=STYLES[0][0],
            marker_line_width=0,
            row=index // 3 + 1,
            col=index % 3 + 1,
            showlegend=False,
        )
    chart.update_yaxes(type="log", tickformat=".0e")
    return _styled(chart, "", "", legend=False, height=700)


def entropy_and_sqnr(measured: Mapping[tuple[str, str], Distortion]) -> Any:
    """Fig. 5: entropy as bars, SQNR as lines on the right, over the splits at 8 bits."""
    chart: Any = make_subplots(specs=[[{"secondary_y": True}]])
    splits = list(dict.fromkeys(split for split, _ in measured))
    chart.add_bar(
        name="entropy, SQ",
        x=splits,
        y=[measured[split, "SQ"].entropy_bits for split in splits],
        marker_color="#c8d3dd",
    )
    for index, method in enumerate(dict.fromkeys(method for _, method in measured)):
        y = [measured[split, method].sqnr_db for split in splits]
        _add_line(chart, index, f"SQNR, {method}", splits, y, secondary_y=True)
    chart.add_hline(y=30, line_dash="dot", secondary_y=True, annotation_text="30 dB")
    chart.update_yaxes(title_text="SQNR, dB (measured)", secondary_y=True, rangemode="tozero")
    return _styled(chart, "", "entropy, bits a number (measured)")


def distance_by_rate(curves: Mapping[Method, Sequence[Distortion]]) -> Any:
    """SQNR over the bits of a Huffman code, a line for each method."""
    chart: Any = go.Figure()
    for index, (name, points) in enumerate(curves.items()):
        x, y = [p.huffman_bits for p in points], [p.sqnr_db for p in points]
        _add_line(chart, index, name, x, y)
    return _styled(chart, "Huffman code, bits a number (measured)", "SQNR, dB (measured)")


def _add_line(
    chart: Any, index: int, name: str, x: Sequence[Any], y: Sequence[float], **place: Any
) -> None:
    colour, dash, symbol = STYLES[index % len(STYLES)]
    chart.add_scatter(
        name=name,
        x=list(x),
        y=list(y),
        mode="lines+markers",
        line={"color": colour, "dash": dash},
        marker={"symbol": symbol, "size": 8},
        **place,
    )


def _styled(chart: Any, x: str, y: str, *, legend: bool = True, height: int = 420) -> Any:
    chart.update_layout(
        template="simple_white",
        height=height,
        showlegend=legend,
        margin={"l": 60, "r": 20, "t": 40, "b": 60},
        font={"family": "system-ui, sans-serif", "size": 12},
        legend={"orientation": "h", "y": -0.3},
    )
    chart.update_xaxes(automargin=True)
    chart.update_yaxes(automargin=True)
    if x:
        chart.update_xaxes(title_text=x)
    if y:
        chart.update_layout(yaxis_title_text=y)
    return chart
