"""One HTML file that holds everything it shows: text, tables, charts and their scripts."""

from __future__ import annotations

import json
import re
from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup
from plotly.offline import get_plotlyjs

from joulecut.compiler.report.files import Table, Value, json_rows, text_of

TEMPLATE = Path(__file__).with_name("page.html")
SCRIPT = Path(__file__).with_name("page.js")

_PLOT = "Plotly.newPlot"  # in every fragment that needs plotly's script
_SCRIPTS = re.compile(r"<script[^>]*>(.*?)</script>", re.DOTALL | re.IGNORECASE)

_NUMBER = re.compile(
    r"([-+]?(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?(?:e[-+]?\d+)?)(?: ?(?:%|[^\W\d_]+))?",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Card:
    """One figure that a reader should take away, and what it is."""

    value: str
    label: str


@dataclass(frozen=True)
class Section:
    """A heading with a chart, a table, a note, or several of them.

    Attributes:
        columns: headings of a table that is only text; see `table`.
        rows: its cells. Text that is a number, with a unit or without, sorts as a number.
        chart: an HTML fragment of `charts.to_html` or `graph_drawing.draw`.
        best: index of the row to set off, or -1.
        table: a table of plain values, in place of `columns` and `rows`.
        name: of the section in links: letters, digits and dashes; by default from the title.
    """

    title: str
    columns: Sequence[str] = ()
    rows: Sequence[Sequence[str]] = ()
    chart: str = ""
    note: str = ""
    best: int = -1
    table: Table | None = None
    name: str = ""

    @staticmethod
    def of(table: Table, *, chart: str = "", note: str = "", best: int = -1) -> Section:
        """A section that shows a table of plain values under the table's own title."""
        return Section(table.title, chart=chart, note=note, best=best, table=table)


@dataclass(frozen=True)
class Page:
    """A report from its title down."""

    title: str
    lead: str
    cards: Sequence[Card]
    sections: Sequence[Section]

    def tables(self) -> list[Table]:
        """The tables of plain values, in order, to be written beside the page."""
        return [section.table for section in self.sections if section.table is not None]


@dataclass(frozen=True)
class Cell:
    """What a cell shows, and the number by which it sorts, if it is one."""

    text: str
    number: float | None


def render(page: Page) -> str:
    """The page as HTML (UTF-8); a plotly chart in it brings plotly's script, about 5 MB."""
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined)
    template = environment.from_string(TEMPLATE.read_text(encoding="utf-8"))
    fragments = [str(section.chart) for section in page.sections if section.chart]
    plotly = get_plotlyjs() if any(_PLOT in each for each in fragments) else ""
    own = SCRIPT.read_text(encoding="utf-8")
    drawn = [script for fragment in fragments for script in _SCRIPTS.findall(fragment)]
    return template.render(
        page=page,
        sections=_views(page.sections),
        plotly_js=_script(plotly),
        page_js=_script(own),
        policy=Markup(_policy([each for each in (plotly, own, *drawn) if each])),
    )


def _policy(scripts: Sequence[str]) -> str:
    """A content security policy: these scripts run, by their digests; nothing is loaded.

    Styles stay free, because plotly writes its own into the page while it draws.
    """
    digests = (sha256(script.encode("utf-8")).digest() for script in scripts)
    allowed = " ".join(f"'sha256-{b64encode(digest).decode('ascii')}'" for digest in digests)
    return (
        f"default-src 'none'; script-src {allowed}; style-src 'unsafe-inline'; "
        "img-src data: blob:; base-uri 'none'; form-action 'none'"
    )


def number_in(text: str) -> float | None:
    """The number that a text is, with a unit or without: 1234.5 of `1,234.5 uJ`."""
    found = _NUMBER.fullmatch(text.strip())
    return float(found[1].replace(",", "")) if found else None


def slug(title: str) -> str:
    """A title as it stands in links: `Layers of the edge` is `layers-of-the-edge`."""
    return "-".join(re.findall(r"[a-z0-9]+", title.lower())) or "section"


def _views(sections: Sequence[Section]) -> list[dict[str, Any]]:
    """What the template shows of each section, each under a name of its own."""
    seen: dict[str, int] = {}
    views: list[dict[str, Any]] = []
    for section in sections:
        name = section.name or (section.table.name if section.table else slug(section.title))
        seen[name] = seen.get(name, 0) + 1
        name = name if seen[name] == 1 else f"{name}-{seen[name]}"
        views.append({"name": name, "shown": section, **_table_view(section, name)})
    return views


def _table_view(section: Section, name: str) -> dict[str, Any]:
    if section.table is not None:
        columns, values = section.table.columns, json_rows(section.table)
        rows = [
            [Cell(text_of(value), _number(value)) for value in row]
            for row in section.table.rows
        ]
    else:
        columns = tuple(section.columns)
        rows = [[Cell(text, number_in(text)) for text in row] for row in section.rows]
        values = [[_plain(cell) for cell in row] for row in rows]
    data = json.dumps({"name": name, "columns": columns, "rows": values})
    numeric = [_mostly_numbers([row[i] for row in rows]) for i in range(len(columns))]
    # "<" must not end the script element that holds the data.
    held = Markup(data.replace("<", "\\u003c"))
    return {"columns": list(zip(columns, numeric, strict=True)), "rows": rows, "data": held}


def _mostly_numbers(cells: Sequence[Cell]) -> bool:
    filled = [cell for cell in cells if cell.text not in ("", "-")]
    return bool(filled) and 2 * sum(cell.number is not None for cell in filled) > len(filled)


def _plain(cell: Cell) -> Value:
    """A cell of text as data: a number if it is no more than that."""
    if cell.number is None or not cell.text.strip().endswith(tuple("0123456789")):
        return None if cell.text == "-" else cell.text
    return int(cell.number) if cell.number.is_integer() else cell.number


def _number(value: Value) -> float | None:
    return None if isinstance(value, bool | str) else value


def _script(text: str) -> Markup:
    """A script of ours to trust; only "</script" could end its element early."""
    assert "</script" not in text.lower()
    return Markup(text)
