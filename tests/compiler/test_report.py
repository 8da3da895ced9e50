from __future__ import annotations

import re
from dataclasses import asdict, replace

import pytest

from joulecut.compiler.report import charts
from joulecut.compiler.report.cut_table import COLUMNS, ArrayRow, CutRow, cells, cheapest
from joulecut.compiler.report.page import Card, Page, Section, render

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
