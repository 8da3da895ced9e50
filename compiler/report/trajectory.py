"""An edge that moves: its channel, what each policy spends, and which cut each uses."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import plotly.subplots

from joulecut.compiler.report.charts import (
    line_style,
    log_axis,
    name_axis,
    plain,
    short,
    styled,
)
from joulecut.compiler.report.palette import INK, styles

ENERGIES = ("energy_j", "processing_j", "transmission_j")  # of a track, in the order drawn


@dataclass(frozen=True)
class Track:
    """One policy along the trajectory, a number or a name for each inference.

    Attributes:
        name: of the policy.
        processing_j: computing and fetching at the edge; infinite or NaN where it cannot be.
        transmission_j: sending.
        energy_j: both.
        cuts: name of the cut in use; None for none.
    """

    name: str
    processing_j: Sequence[float]
    transmission_j: Sequence[float]
    energy_j: Sequence[float]
    cuts: Sequence[str | None]


def trajectory(
    title: str, channel: Sequence[float], channel_label: str, tracks: Sequence[Track], how: str
) -> Any:
    """Five charts over one axis of inferences: channel, three energies, cuts as steps.

    Args:
        title: of the chart.
        channel: seconds a bit, or gain, of each inference.
        channel_label: which of the two, with its unit and how it is known.
        tracks: of the policies.
        how: provenance of the energies.
    """
    rows = (channel_label, "total, J", "processing, J", "transmission, J", "cut in use")
    titles = [plain(rows[0]), *(f"{row} ({how})" for row in rows[1:4]), rows[4]]
    subplots: Any = plotly.subplots
    figure: Any = subplots.make_subplots(
        rows=5, cols=1, shared_xaxes=True, vertical_spacing=0.05, subplot_titles=titles
    )
    steps = list(range(len(channel)))
    figure.add_scatter(
        x=steps, y=[_finite(v) for v in channel], showlegend=False, mode="lines",
        name="channel", line={"color": INK, "width": 1.5}, row=1, col=1,
    )  # fmt: skip
    for track, style in zip(tracks, styles(len(tracks)), strict=True):
        for row, key in enumerate(ENERGIES, 2):
            energy: Sequence[float] = getattr(track, key)
            figure.add_scatter(
                x=steps, y=[_finite(v) for v in energy], name=plain(track.name),
                legendgroup=plain(track.name), showlegend=row == 2,
                **line_style(style, "lines"), row=row, col=1,
            )  # fmt: skip
        figure.add_scatter(
            x=steps, y=[None if cut is None else plain(cut) for cut in track.cuts],
            name=plain(short(track.name)), legendgroup=plain(track.name), showlegend=False,
            **line_style(style, "lines", shape="hv"), row=5, col=1,
        )  # fmt: skip
    drawn = (
        channel,
        *([v for track in tracks for v in getattr(track, key)] for key in ENERGIES),
    )
    for row, values in enumerate(drawn, 1):
        figure.update_yaxes(**log_axis(values), row=row, col=1)
    figure.update_xaxes(title="inference", row=5, col=1)
    names = list(dict.fromkeys(cut for track in tracks for cut in track.cuts if cut))
    figure.update_yaxes(**name_axis(names, 14), row=5, col=1)
    figure = styled(figure, title, height=900 + 18 * len(names))
    figure.update_annotations(font_size=12, x=0, xanchor="left")
    return figure.update_layout(legend={"y": 1.04}, margin={"t": 60})


def _finite(value: float) -> float | None:
    """Nothing is drawn where nothing can be sent, nor at zero, which no log axis has."""
    return value if math.isfinite(value) and value > 0 else None
