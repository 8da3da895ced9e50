"""Colours of the charts: Okabe and Ito's, never alone, always with a dash, a marker, a pattern.

Only the five of their eight colours are taken that stand out from white by a contrast of 3 to 1
(WCAG 2.2, 1.4.11). Without red or green cones they stay 17 apart (CIE 1976); in grey print some
are nearly alike, and dash, marker and pattern alone tell series apart.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import cycle, islice

INK = "#1d2733"
GREY = "#76818d"  # of what stands in the background


@dataclass(frozen=True)
class Style:
    """How one series looks, in three ways that do not need colour.

    Attributes:
        colour: #rrggbb.
        dash: of a line, in plotly's words.
        symbol: of a marker, in plotly's words.
        pattern: of a bar, in plotly's words; "" is filled.
    """

    colour: str
    dash: str
    symbol: str
    pattern: str


STYLES = (
    Style("#0072B2", "solid", "circle", ""),
    Style("#D55E00", "dash", "square", "/"),
    Style("#009E73", "dot", "diamond", "."),
    Style("#CC79A7", "dashdot", "triangle-up", "x"),
    Style("#000000", "longdash", "cross", "-"),
)


def styles(n: int) -> list[Style]:
    """A style for each of n series; from the sixth on dashes and markers pair anew."""
    looks = list(islice(cycle(STYLES), n))
    return [
        Style(
            look.colour,
            STYLES[(i + i // 5) % 5].dash,
            STYLES[(i + 2 * (i // 5)) % 5].symbol,
            STYLES[(i + i // 5) % 5].pattern,
        )
        for i, look in enumerate(looks)
    ]


def luminance(colour: str) -> float:
    """Relative luminance of a colour #rrggbb, 0 (black) to 1 (white), as WCAG 2.2 defines it."""
    channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4 for v in channels]
    return sum(w * v for w, v in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def contrast(first: str, second: str) -> float:
    """Contrast of two colours #rrggbb, 1 (none) to 21 (black on white), as WCAG 2.2 defines it."""
    dark, light = sorted((luminance(first), luminance(second)))
    return (light + 0.05) / (dark + 0.05)
