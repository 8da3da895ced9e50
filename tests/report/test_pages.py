"""Pages hold what their documents hold, tables leave them as plain values, charts have data."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from qdq_models import network, write
from typer.testing import CliRunner

from joulecut.cli.app import app
from joulecut.compiler.profile import LayerProfile, Profile, Quantity
from joulecut.compiler.report import charts
from joulecut.compiler.report.analysis import analysis_page
from joulecut.compiler.report.charts import Point
from joulecut.compiler.report.page import render
from joulecut.compiler.report.profile_page import profile_page
from joulecut.compiler.report.verify_page import verify_page

FAST = ("--quantizer", "none,sq", "--bits", "2,4", "--sample-count", "2")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(network("convnet", dialect="QCDQ"), tmp_path_factory.mktemp("pages"))


@pytest.fixture(scope="module")
def document(model: Path) -> dict[str, Any]:
    words = ["analyze", str(model), "--objective", "energy", *FAST, "--json"]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


class TestAnalysis:
    def test_every_cut_and_layer_has_its_row(self, document: dict[str, Any]):
        tables = {table.name: table for table in analysis_page(document).tables()}
        assert [row[1] for row in tables["cuts"].rows] == [
            " + ".join(row["tensors"]) for row in document["cuts"]
        ]
        assert [row[2] for row in tables["cuts"].rows] == [c["bytes"] for c in document["cuts"]]
        assert [row[0] for row in tables["layers"].rows] == [
            row["name"] for row in document["layers"]
        ]
        assert len(tables["rate-distortion"].rows) == document["search"]["settings"]

    def test_the_best_is_first_and_drawn_thick(self, document: dict[str, Any]):
        page = analysis_page(document)
        best = document["search"]["best"]
        table = page.sections[0].table
        assert table is not None
        assert table.rows[0][0] == " + ".join(best["tensors"])
        assert page.sections[0].best == 0
        drawn = next(s.chart for s in page.sections if s.title == "Network and cuts")
        assert drawn.count('class="cut strong"') == len(best["tensors"])
        assert drawn.count('class="layer"') == len(document["layers"])

    def test_without_a_search_the_cheapest_is_set_off(self, document: dict[str, Any]):
        plain = {key: value for key, value in document.items() if key != "search"}
        page = analysis_page(plain)
        cuts = next(section for section in page.sections if section.title == "Cuts")
        least = min(document["cuts"], key=lambda row: row["total_pj"])
        assert cuts.table is not None
        assert cuts.table.rows[cuts.best][1] == " + ".join(least["tensors"])

    def test_rates_join_without_gaps(self, document: dict[str, Any]):
        rows = document["search"]["selection"]
        assert rows
        for row, following in pairwise(rows):
            assert row["rate_to"] == following["rate_from"] > row["rate_from"]

    def test_the_verb_writes_page_and_tables(self, model: Path, tmp_path: Path):
        page, folder = tmp_path / "a.html", tmp_path / "tables"
        words = ["analyze", str(model), "--report", str(page), "--tables", str(folder)]
        assert CliRunner().invoke(app, words).exit_code == 0
        assert "<svg class=" in page.read_text(encoding="utf-8")
        assert {path.name for path in folder.iterdir()} == {
            "cuts.csv",
            "cuts.json",
            "layers.csv",
            "layers.json",
        }
        done = CliRunner().invoke(app, ["analyze", str(model), "--tables", str(page)])
        assert done.exit_code == 2
        assert "folder of the tables must be writable" in done.output


def test_a_profile_has_a_chart_for_each_quantity_that_all_layers_have():
    rows = tuple(
        LayerProfile(
            name,
            "Conv",
            {
                "instructions": Quantity(1e3 * (i + 1), "instruction", "simulated"),
                "energy": Quantity(5.5, "pJ", "modelled"),
                **({"time_min": Quantity(1, "ns", "measured")} if i else {}),
            },
        )
        for i, name in enumerate(("<u>", "c"))
    )
    profile = Profile("qemu:aarch64", rows, "QEMU", ("a note",))
    page = profile_page(profile.to_dict() | {"part": "edge"})
    titles = [section.title for section in page.sections]
    assert titles == ["instructions by layer", "energy by layer", "All layers"]
    assert [card.label for card in page.cards] == [
        "instructions, simulated",
        "energy, modelled",
    ]
    assert "a note." in page.lead
    assert "<u>" not in render(page).split("<body>")[1]


class TestCharts:
    def test_groups_differ_in_more_than_colour(self):
        points = [Point(i, i, str(i), f"board{i}") for i in range(1, 6)]
        figure = charts.pareto(points, [], ("x", "y"), points[0])
        symbols = [trace.marker.symbol for trace in figure.data]
        assert len(set(symbols)) == len(symbols)
        lines = charts.lines({f"c{i}": [(0, 1), (1, 2)] for i in range(5)}, ("x", "y"), "t")
        assert len({trace.line.dash for trace in lines.data}) == 5
        bars = charts.stacked(["a"], {"p": [1], "q": [2], "r": [3]}, "t")
        assert len({trace.marker.pattern.shape for trace in bars.data}) == 3

    def test_an_axis_over_a_decade_is_logarithmic(self):
        wide = charts.pareto([Point(1, 1, "a"), Point(100, 2, "b")], [], ("x", "y"))
        assert (wide.layout.xaxis.type, wide.layout.yaxis.type) == ("log", None)
        zero = charts.pareto([Point(0, 1, "a"), Point(100, 2, "b")], [], ("x", "y"))
        assert zero.layout.xaxis.type is None

    def test_a_trajectory_shows_each_cut(self):
        figure = charts.trajectory(
            {"PS": [1, 2], "pool1": [3, 4]},
            {"PS": ["a", "b"], "pool1": ["p", "p"]},
            "J",
            "energy",
        )
        assert [list(trace.hovertext) for trace in figure.data] == [["a", "b"], ["p", "p"]]
        assert figure.layout.yaxis.type == "log"

    def test_bands_give_each_cut_one_row(self):
        figure = charts.bands([(1, 10, "a"), (10, 50, "b"), (50, 60, "a")], "rate", "t")
        assert [trace.y[0] for trace in figure.data] == ["a", "b", "a"]

    def test_long_names_stay_different(self):
        names = [f"{'x' * 40}{i}{'y' * 40}" for i in range(3)]
        shown = charts.short(names)
        assert len(set(shown)) == 3
        assert all(len(name) <= 40 for name in shown)

    def test_plotly_sees_no_tags(self):
        figure = charts.stacked(["<b>a</b>"], {"<i>": [1]}, "<a href='x'>")
        assert figure.data[0].name == "&lt;i&gt;"
        assert figure.data[0].x == ("&lt;b&gt;a&lt;/b&gt;",)
        assert figure.layout.title.text == "&lt;a href='x'&gt;"


def test_the_codec_bench_draws_a_curve_for_each_quantizer(tmp_path: Path):
    tensor = np.random.default_rng(0).standard_normal((1, 8, 20, 20)).astype(np.float32)
    np.save(tmp_path / "x.npy", tensor)
    page, folder = tmp_path / "page.html", tmp_path / "tables"
    words = ["codec", "bench", str(tmp_path / "x.npy"), "--repeats", "1", "--bits", "2-3"]
    words += ["--report", str(page), "--tables", str(folder), "--json"]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, done.output
    rows = json.loads(done.stdout)["rows"]
    assert {row["bits"] for row in rows} == {None, 2, 3}
    kept = json.loads((folder / "rows.json").read_text())
    assert [row["index bits"] for row in kept] == [row["bits"] for row in rows]
    assert "rate and distortion" in page.read_text(encoding="utf-8")


def test_a_verification_says_its_verdict():
    row = {"engine": "tvm", "part": "edge", "verdict": "equal", "first divergence": ""}
    page = verify_page("m.bundle", [row], ok=True, accuracy=0.975)
    assert [card.value for card in page.cards] == ["equal", "1", "97.50 %"]
    (table,) = page.tables()
    assert table.rows == (("tvm", "edge", "equal", None),)
    assert verify_page("m.bundle", [], ok=False).cards[0].value == "differs"
