"""Verdicts follow from figures, and a claim that does not hold is never quiet."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from joulecut.compiler.errors import ConfigError
from joulecut.compiler.profile import Quantity
from joulecut.repro.claims import figure, missed, statement
from joulecut.repro.study import Reproduction, Table
from joulecut.repro.write import write

JOULES = Quantity(2.2, "J", "modelled")


@pytest.mark.parametrize(
    ("paper", "tolerance", "reason", "verdict", "said"),
    [
        (2.0, 0.11, "", "reproduced", ""),
        (2.0, 0.11, "known", "reproduced", ""),
        (2.0, 0.09, "", "missed", ""),
        (2.0, 0.09, "known", "approximated", "known"),
        (-2.0, 0.5, "", "missed", ""),
    ],
)
def test_a_figure_is_judged_by_its_distance(
    paper: float, tolerance: float, reason: str, verdict: str, said: str
):
    claim = figure("Table I", paper, JOULES, tolerance=tolerance, reason=reason)
    assert (claim.verdict, claim.reason, claim.provenance) == (verdict, said, "modelled")
    assert claim.ours == "2.2 J"


def test_what_is_not_reproducible_says_why():
    claim = statement("Fig. 1", "a", "b", holds=True, reproducible=False, reason="no data")
    assert (claim.verdict, claim.reason) == ("not reproducible", "no data")
    with pytest.raises(ConfigError, match=r"'Fig\. 1' must have a reason why"):
        figure("Fig. 1", 1, JOULES, tolerance=1, reproducible=False)


def test_only_missed_claims_are_missed():
    claims = [
        statement("a", "x", "x", holds=True),
        statement("b", "x", "y", holds=False, reason="known"),
        statement("c", "x", "y", holds=False),
    ]
    assert [claim.entry for claim in missed(claims)] == ["c"]


def test_the_page_and_the_tables_hold_every_claim(tmp_path: Path):
    claims = (statement("Sec. <II>", "more", "less", holds=False),)
    table = Table("sizes", "Sizes, bytes (measured)", ("name", "bytes"), (("a", 1200),))
    page = write(Reproduction("A paper", "What was run.", claims, (table,)), tmp_path)
    text = page.read_text(encoding="utf-8")
    assert "Sec. &lt;II&gt;" in text
    assert "missed" in text
    assert "1,200" in text
    assert json.loads((tmp_path / "sizes.json").read_text()) == [{"name": "a", "bytes": 1200}]
    assert (tmp_path / "claims.csv").read_text().splitlines() == [
        "entry,paper,ours,how ours is known,verdict,reason",
        "Sec. <II>,more,less,measured,missed,",
    ]
