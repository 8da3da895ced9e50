"""The trellis quantizers reach the figures of the papers."""

from __future__ import annotations

import importlib
import math
import sys
from pathlib import Path
from typing import Any

import pytest

SCRIPTS = Path(__file__).resolve().parents[2] / "scripts"


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(sys, "path", [str(SCRIPTS), *sys.path])
    return importlib.import_module("bench_tcq")


@pytest.mark.parametrize("rate", [1, 3])
@pytest.mark.parametrize("source", ["uniform", "Gaussian", "Laplacian"])
def test_trellises_reach_the_known_figures(bench: Any, source: str, rate: int):
    rows = list(bench.measured(200_000, (4, 8), (source,), (rate,)))
    assert [row.misses for row in rows] == [[], []]
    four, eight = rows
    assert four.scalar_db < four.snr_db < eight.snr_db < eight.limit_db
    assert 0.08 < eight.snr_db - four.snr_db < 0.25


@pytest.mark.slow
@pytest.mark.parametrize("source", ["uniform", "Gaussian", "Laplacian"])
def test_trellises_reach_the_known_figures_on_a_million_samples(bench: Any, source: str):
    rows = list(bench.measured(1_000_000, (4, 8), (source,)))
    assert len(rows) == 8
    assert [row.misses for row in rows] == [[]] * 8


@pytest.mark.slow
def test_256_states_come_close_to_the_limit(bench: Any):
    rows = list(bench.measured(150_000, (256,), ("uniform",), (1, 2, 3)))
    assert [row.misses for row in rows] == [[]] * 3


@pytest.mark.parametrize(("source", "shannon_db"), [("uniform", 1.533), ("Laplacian", 0.629)])
def test_limits_stay_below_shannons_bound(bench: Any, source: str, shannon_db: float):
    """Shannon's lower bound on distortion: 10 log10 of 2 pi e / 12, and of pi / e, above 6.02 R."""
    for rate in (1, 2, 3, 4):
        assert 6.0206 * rate < bench.limit_db(source, rate) < 6.0206 * rate + shannon_db + 0.005


@pytest.mark.slow
def test_a_limit_is_what_blahut_finds(bench: Any):
    low, high = importlib.import_module("rate_distortion").limit_db("uniform", 1)
    assert low - 0.01 < bench.limit_db("uniform", 1) < high + 0.01


def test_a_figure_that_nobody_gave_is_a_dash(bench: Any):
    assert bench.shown(math.nan).strip() == "-"
    assert bench.shown(6.239) == "   6.24"
