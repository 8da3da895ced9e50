"""One HTML file that holds everything it shows: text, tables, charts and their script."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import jinja2
from markupsafe import Markup
from plotly.offline import get_plotlyjs

TEMPLATE = Path(__file__).with_name("page.html")


@dataclass(frozen=True)
class Card:
    """One figure that a reader should take away, and what it is."""

    value: str
    label: str


@dataclass(frozen=True)
class Section:
    """A heading with a chart, a table, a note, or several of them.

    Attributes:
        chart: an HTML fragment of `charts.to_html`.
        best: index of the row to set off, or -1.
    """

    title: str
    columns: Sequence[str] = ()
    rows: Sequence[Sequence[str]] = ()
    chart: str = ""
    note: str = ""
    best: int = -1


@dataclass(frozen=True)
class Page:
    """A report from its title down."""

    title: str
    lead: str
    cards: Sequence[Card]
    sections: Sequence[Section]


def render(page: Page) -> str:
    """The page as HTML (UTF-8), about 5 MB because plotly's script is inside it."""
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined)
    template = environment.from_string(TEMPLATE.read_text(encoding="utf-8"))
    script: str = get_plotlyjs()
    # The script is ours to trust; in a <script> element only "</script" could end it early.
    assert "</script" not in script.lower()
    return template.render(page=page, plotly_js=Markup(script))
