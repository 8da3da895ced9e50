"""`--report` and `--tables` as a user types them: what they write agrees with `--json`."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path

import numpy as np
import pytest
from qdq_models import network, write
from typer.testing import CliRunner, Result

from joulecut.cli.app import app


def run(*words: str | Path, expect: int = 0) -> Result:
    done = CliRunner().invoke(app, [*map(str, words)])
    assert done.exit_code == expect, done.output
    return done


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(network("resnet", dialect="QCDQ"), tmp_path_factory.mktemp("report"))


def test_an_analysis_is_a_page_and_tables_that_agree_with_its_json(model: Path):
    page, tables = model.with_name("a.html"), model.with_name("tables")
    done = run("analyze", model, "--report", page, "--tables", tables, "--json")
    document = json.loads(done.stdout)
    with (tables / "cuts.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [int(row["bytes"]) for row in rows] == [cut["bytes"] for cut in document["cuts"]]
    assert [float(row["total uJ"]) for row in rows] == [
        cut["total_pj"] / 1e6 for cut in document["cuts"]
    ]
    assert len(json.loads((tables / "layers.json").read_text())) == len(document["layers"])
    shown = page.read_text(encoding="utf-8")
    for layer in document["layers"]:
        assert f"<title>{layer['name']}: " in shown
    (first, *_) = document["layers"]
    assert first["inputs"] == ["image"]
    assert len(re.findall(r'<g class="cut">', shown)) >= len(document["cuts"])


def test_a_codec_bench_is_a_page_and_a_table(tmp_path: Path):
    np.save(
        tmp_path / "t.npy", np.random.default_rng(0).standard_normal(256).astype(np.float32)
    )
    page = tmp_path / "codec.html"
    done = run(
        "codec", "bench", tmp_path / "t.npy", "--repeats", "1", "--json",
        "--report", page, "--tables", tmp_path,
    )  # fmt: skip
    rows = json.loads((tmp_path / "codecs.json").read_text())
    found = json.loads(done.stdout)["rows"]
    assert [row["bits a sample"] for row in rows] == [row["bits_per_sample"] for row in found]
    assert 'id="rate-distortion"' in page.read_text(encoding="utf-8")


def test_a_page_that_cannot_be_written_says_so(model: Path):
    page = model.with_name("absent") / "a.html"
    done = run("analyze", model, "--report", page, expect=2)
    assert "--report must be a file in a folder that exists, not" in done.stderr
