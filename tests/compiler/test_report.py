from __future__ import annotations

import base64
import csv
import hashlib
import json
import math
import re
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from joulecut.compiler.errors import ConfigError
from joulecut.compiler.report import charts
from joulecut.compiler.report.cut_table import COLUMNS, ArrayRow, CutRow, cells, cheapest
from joulecut.compiler.report.files import Table, Value, write_tables
from joulecut.compiler.report.page import Card, Page, Section, number_in, render
from joulecut.compiler.report.palette import STYLES, contrast, styles

ROW = CutRow(
    cut="pool1",
    raw_bytes=3136,
    coded_bits=4.0,
    entropy_bits=3.5,
    coded_bytes=1568.0,
    edge_macs=313_600,
    compute_pj=1e6,
    memory_pj=2e6,
    radio_pj=5e6,
    inferences=1000,
    identical=1000,
    accuracy=0.975,
    whole_accuracy=0.975,
)


def test_energies_add():
    assert ROW.total_pj == 8e6
    assert ROW.to_dict()["total_pj"] == 8e6


def test_the_cheapest_is_the_first_of_equals():
    dear = replace(ROW, cut="dear", radio_pj=6e6)
    twin = replace(ROW, cut="twin")
    assert cheapest([dear, ROW, twin]) is ROW


def test_nothing_is_not_cheap():
    with pytest.raises(ValueError, match="rows must hold at least one cut, not none"):
        cheapest([])


def test_cells_follow_the_columns():
    shown = dict(zip(COLUMNS, cells(ROW), strict=True))
    assert shown["energy uJ"] == "8.00"
    assert shown["compute/memory/radio %"] == "12/25/62"
    assert shown["identical"] == "1000/1000"
    assert (shown["split acc %"], shown["Brevitas acc %"]) == ("97.5", "-")


def test_an_accelerator_has_cells_of_its_own():
    assert cells(ROW)[-3:] == ("-", "-", "-")
    array = ArrayRow("pynq_z2+z7020", 13, 103_152, 100e6, 1.3e8, 10, 9)
    row = replace(ROW, array=array)
    shown = dict(zip(COLUMNS, cells(row), strict=True))
    assert (shown["array cycles"], shown["array uJ"], shown["on RTL"]) == (
        "103,152",
        "130.00",
        "9/10",
    )
    assert CutRow.from_dict(asdict(row)) == row
    assert CutRow.from_dict(asdict(ROW)) == ROW


def test_a_row_without_energy_has_no_shares():
    free = replace(ROW, compute_pj=0.0, memory_pj=0.0, radio_pj=0.0)
    assert dict(zip(COLUMNS, cells(free), strict=True))["compute/memory/radio %"] == "-"


@pytest.fixture(scope="module")
def page() -> str:
    hostile = replace(ROW, cut="<script>alert(1)</script>")
    rows = [ROW, hostile]
    table = Section("cuts", COLUMNS, [cells(row) for row in rows], note="modelled", best=0)
    drawn = [charts.energy_by_cut(rows), charts.bytes_by_cut(rows)]
    sections = [table, *(Section("chart", chart=charts.to_html(figure)) for figure in drawn)]
    return render(Page("title & all", "lead", [Card("8 uJ", "energy")], sections))


def test_a_page_needs_nothing_from_outside(page: str):
    outside = re.findall(r"""<(?:script|link|img)[^>]+(?:src|href)\s*=\s*["']https?:""", page)
    assert not outside
    assert "Plotly.newPlot" in page


def test_names_from_a_model_are_text_and_not_markup(page: str):
    assert '<td class="short">pool1</td>' in page
    assert "<script>alert(1)</script>" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page


def test_the_best_row_stands_out_once(page: str):
    assert page.count('<tr class="best">') == 1


def test_a_chart_per_layer_begins_at_the_top():
    figure = charts.layer_bars(["first", "second"], [1.0, 2.0], "instructions")
    assert figure.layout.yaxis.autorange == "reversed"
    assert list(figure.data[0].y) == ["first", "second"]


HOSTILE = "</script><img src=x onerror=alert(1)>"


def test_names_cannot_leave_the_embedded_data():
    shown = render(Page("t", "l", [], [Section.of(Table("a", "A", ("n",), ((HOSTILE,),)))]))
    (data,) = re.findall(r'<script type="application/json">(.*?)</script>', shown)
    assert json.loads(data) == {"name": "a", "columns": ["n"], "rows": [[HOSTILE]]}
    assert "<img" not in shown


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("1,234.5", 1234.5),
        ("12 %", 12.0),
        ("3.5 uJ", 3.5),
        ("4a1", None),
        ("-2e-3", -0.002),
        ("1,23", None),
        ("12/25/62", None),
        ("conv1", None),
        ("-", None),
        ("", None),
    ],
)
def test_text_that_is_a_number_sorts_as_one(text: str, number: float | None):
    assert number_in(text) == number


def test_sections_have_names_of_their_own():
    shown = render(Page("t", "l", [], [Section("Same: name"), Section("Same name")]))
    assert re.findall(r'<h2 id="([^"]*)"', shown) == ["same-name", "same-name-2"]
    assert re.findall(r'<a href="#([^"]*)"', shown) == ["same-name", "same-name-2"]


def test_a_cell_keeps_its_value_beside_its_text():
    table = Table("a", "A", ("v", "w"), ((1234567, 0.123456), (None, 2.0)))
    shown = render(Page("t", "l", [], [Section.of(table)]))
    assert '<td class="n short" data-value="1234567">1,234,567</td>' in shown
    assert '<td class="n short" data-value="0.123456">0.1235</td>' in shown


def test_tables_become_files_with_the_same_values(tmp_path: Path):
    table = Table("a-b", "A", ("name", "v"), (("x, y", 1.5), ('"z"', math.inf)))
    paths = write_tables([table], tmp_path / "new")
    assert [path.name for path in paths] == ["a-b.csv", "a-b.json"]
    with paths[0].open(encoding="utf-8", newline="") as file:
        assert list(csv.reader(file)) == [["name", "v"], ["x, y", "1.5"], ['"z"', "inf"]]
    assert json.loads(paths[1].read_text()) == [
        {"name": "x, y", "v": 1.5},
        {"name": '"z"', "v": None},
    ]


def test_tables_that_would_overwrite_each_other_are_refused(tmp_path: Path):
    table = Table("a", "A", ("v",), ())
    with pytest.raises(ConfigError, match="tables must have names that differ, not a, a"):
        write_tables([table, table], tmp_path)


def test_tables_that_cannot_be_written_are_refused(tmp_path: Path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="folder of the tables must be writable, not "):
        write_tables([Table("a", "A", ("v",), ())], tmp_path / "file")


@pytest.mark.parametrize(
    ("name", "columns", "rows", "text"),
    [
        ("../a", ("v",), (), "name of a table must be letters, digits and dashes"),
        ("a", ("v", "v"), (), "columns of table 'a' must differ"),
        ("a", ("v",), ((1, 2),), "rows of table 'a' must have 1 values, not 2"),
    ],
)
def test_tables_that_are_none_are_refused(
    name: str, columns: tuple[str, ...], rows: tuple[tuple[Value, ...], ...], text: str
):
    with pytest.raises(ConfigError, match=text):
        Table(name, "A", columns, rows)


def test_colours_stand_out_from_paper():
    assert min(contrast(style.colour, "#ffffff") for style in STYLES) >= 3
    assert contrast("#000000", "#ffffff") == 21


def test_series_differ_without_their_colours():
    fifteen = [(style.dash, style.symbol) for style in styles(15)]
    assert len(set(fifteen)) == 15
    assert len({style.pattern for style in STYLES}) == len(STYLES)


def test_only_scripts_of_ours_may_run():
    chart = charts.to_html(charts.energy_by_cut([ROW]))
    shown = render(Page("t", "l", [], [Section("s", chart=chart)]))
    policy = re.search(r'Content-Security-Policy" content="([^"]+)"', shown)
    assert policy is not None
    assert policy[1].startswith("default-src 'none'; script-src 'sha256-")
    scripts = re.findall(
        r"<script(?: type=\"text/javascript\")?>(.*?)</script>", shown, re.DOTALL
    )
    assert len(scripts) == 3  # plotly's, the chart's, the page's
    for script in scripts:
        digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
        assert f"'sha256-{digest}'" in policy[1]


def test_a_page_without_charts_is_small():
    shown = render(Page("t", "l", [], [Section("s", ("a",), [("1",)])]))
    assert len(shown) < 50_000
    assert "Plotly.newPlot" not in shown
