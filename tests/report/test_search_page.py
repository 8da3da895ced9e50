"""The page of a search holds what its document holds."""

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
from joulecut.compiler.report.analysis import analysis_page
from joulecut.compiler.report.page import render

FAST = ("--quantizer", "none,sq", "--bits", "2,4", "--sample-count", "2")


@pytest.fixture(scope="module")
def document(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("pages")
    model = write(network("convnet", dialect="QCDQ"), folder)
    words = ["analyze", str(model), "--objective", "energy", *FAST, "--json"]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


def test_the_best_comes_first(document: dict[str, Any]):
    page = analysis_page(document)
    best = document["search"]["best"]
    assert page.cards[0].value == " + ".join(best["tensors"])
    tables = {table.name: table for table in page.tables()}
    candidates = tables["candidates"]
    assert candidates.rows[0][0] == " + ".join(best["tensors"])
    others = [row for row in document["search"]["pareto"] if row != best]
    assert len(candidates.rows) == 1 + len(others)
    assert [row[3] for row in candidates.rows[1:]] == [row["bytes"] for row in others]
    assert len(tables["rate-distortion"].rows) == document["search"]["settings"]


def test_rates_join_without_gaps(document: dict[str, Any]):
    rows = document["search"]["selection"]
    assert rows
    for row, following in pairwise(rows):
        assert row["rate_to"] == following["rate_from"] > row["rate_from"]
    (table,) = [t for t in analysis_page(document).tables() if t.name == "selection"]
    assert [row[0] for row in table.rows] == [row["cut"] for row in rows]


def test_without_a_search_there_is_none(document: dict[str, Any]):
    plain = {key: value for key, value in document.items() if key != "search"}
    names = [table.name for table in analysis_page(plain).tables()]
    assert names == ["cuts", "layers"]
    assert "Nothing was run." in analysis_page(plain).lead
    assert "Nothing was run." not in analysis_page(document).lead


def test_random_inputs_are_named(document: dict[str, Any]):
    assert "inputs were random" in render(analysis_page(document))


def test_a_codec_bench_of_several_bits(tmp_path: Path):
    tensor = np.random.default_rng(0).standard_normal((1, 8, 20, 20)).astype(np.float32)
    np.save(tmp_path / "x.npy", tensor)
    words = ["codec", "bench", str(tmp_path / "x.npy"), "--repeats", "1", "--bits", "2-3"]
    done = CliRunner().invoke(app, [*words, "--tables", str(tmp_path), "--json"])
    assert done.exit_code == 0, done.output
    rows = json.loads(done.stdout)["rows"]
    assert {row["bits"] for row in rows} == {None, 2, 3}
    kept = json.loads((tmp_path / "codecs.json").read_text())
    assert [row["index bits"] for row in kept] == [row["bits"] for row in rows]
