"""Rate-distortion curves: what is kept, against the bits that a sample takes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import plotly.graph_objects as go

from joulecut.compiler.report.charts import line_style, plain, short, styled
from joulecut.compiler.report.palette import INK, styles


@dataclass(frozen=True)
class Curve:
    """One codec, or one bound.

    Attributes:
        name: in the legend.
        bits: a sample.
        quality: at these bits: SQNR in dB, or accuracy; None where there is none.
        texts: of the points on hover; () for none.
    """

    name: str
    bits: Sequence[float]
    quality: Sequence[float | None]
    texts: Sequence[str] = ()


def rate_distortion(
    title: str, curves: Sequence[Curve], quality: str, floors: Sequence[Curve] = ()
) -> Any:
    """Curves of codecs, and thin black ones of floors: the entropy, a bound.

    Args:
        title: of the chart.
        curves: in the legend's order.
        quality: label of the vertical axis, with unit and how it is known.
        floors: what no such codec can be left of.
    """
    figure: Any = go.Figure()
    for curve, style in zip(curves, styles(len(curves)), strict=True):
        order = sorted(range(len(curve.bits)), key=lambda i: curve.bits[i])
        texts = [plain(curve.texts[i]) for i in order] if curve.texts else None
        figure.add_scatter(
            name=plain(short(curve.name)), x=[curve.bits[i] for i in order],
            y=[curve.quality[i] for i in order], text=texts, **line_style(style),
        )  # fmt: skip
    for curve in floors:
        figure.add_scatter(
            name=plain(short(curve.name)), x=list(curve.bits), y=list(curve.quality), mode="lines",
            line={"color": INK, "width": 1, "dash": "dot"},
        )  # fmt: skip
    figure.update_xaxes(title="bits a sample (measured)")
    figure.update_yaxes(title=plain(quality))
    return styled(figure, title, height=460)
