"""Which cut is best between which channels, as bands over a logarithmic axis."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import plotly.graph_objects as go

from joulecut.compiler.report.charts import log_axis, name_axis, plain, styled
from joulecut.compiler.report.palette import INK, styles


def selection_bands(
    title: str, starts: Sequence[float], cuts: Sequence[str | None], label: str
) -> Any:
    """A band for each piece of a selection table, one line of the chart for each cut.

    The first band begins and the last ends a decade beyond the other limits, as 0 and infinity
    are on no logarithmic axis.

    Args:
        title: of the chart.
        starts: where each piece begins, ascending from 0.
        cuts: name of the cut of each piece, None for none.
        label: of the axis, with unit and provenance: `s/bit (modelled)`.
    """
    inner = [start for start in starts if start > 0] or [1.0]
    ends = [inner[0] / 10, *inner, inner[-1] * 10]
    limits = ends if len(ends) == len(starts) + 1 else [ends[0], ends[-1]]
    bands = [
        (limits_of, "none" if cut is None else cut)
        for limits_of, cut in zip(pairwise(limits), cuts, strict=True)
    ]
    names = list(dict.fromkeys(name for _, name in bands))
    look = dict(zip(names, styles(len(names)), strict=True))
    figure: Any = go.Figure()
    for (first, last), name in bands:
        style = look[name]
        figure.add_scatter(
            x=[first, last], y=[plain(name)] * 2, name=plain(name), showlegend=False,
            mode="lines+markers", line={"color": style.colour, "width": 14},
            marker={"color": INK, "symbol": "line-ns-open", "size": 18},
            hovertemplate="%{y}: from or to %{x}<extra></extra>",
        )  # fmt: skip
    figure.update_yaxes(**name_axis(names))
    figure.update_xaxes(
        **log_axis(ends), title=plain(label), range=[math.log10(ends[0]), math.log10(ends[-1])]
    )
    return styled(figure, title, height=120 + 34 * len(names))
