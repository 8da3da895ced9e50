"""The page of a sweep: every number says how it is known, and the front stands out."""

from __future__ import annotations

import re
from typing import Literal

from joulecut.compiler.profile import Quantity
from joulecut.sweep.page import page, shown, table
from joulecut.sweep.search import TrialRow


def row(
    number: int, energy: float, *, best: bool, state: Literal["complete", "failed"] = "complete"
) -> TrialRow:
    found = {
        "accuracy": Quantity(0.9, "1", "measured"),
        "energy_j": Quantity(energy, "J", "modelled"),
    }
    return TrialRow(
        number=number,
        point={"cut": f"<pool{number}>", "codec": "none"},
        state=state,
        key=f"key{number}",
        quantities=found if state == "complete" else {},
        notes={},
        reason="" if state == "complete" else "DeviceError: <gone>",
        feasible=state == "complete",
        best=best,
    )


ROWS = [
    row(0, 1e-6, best=True),
    row(1, 2e-6, best=False),
    row(2, 0, best=False, state="failed"),
]
GOALS = {"energy_j": "minimize", "accuracy": "maximize"}


def test_the_page_has_the_front_every_trial_and_every_failure():
    text = page("study", GOALS, ROWS, ROWS[:1])
    body = text.rpartition("</script>\n</head>")[2]
    assert "&lt;pool0&gt;" in body
    assert "DeviceError: &lt;gone&gt;" in body
    assert "<pool" not in re.sub(r"<script.*?</script>", "", body, flags=re.DOTALL)
    assert "energy_j [J, modelled]" in body
    assert "accuracy [measured]" in body
    for name in ("front", "others"):
        assert f'"name":"{name}"' in body


def test_one_objective_is_drawn_over_the_trials():
    assert '"text":"trial"' in page("study", {"energy_j": "minimize"}, ROWS, ROWS[:1])


def test_a_sweep_without_a_complete_trial_still_has_a_page():
    assert "DeviceError" in page("study", GOALS, ROWS[2:], [])


def test_quantities_say_unit_and_source():
    assert shown(Quantity(1.25e-6, "J", "modelled")) == "1.25e-06 J (modelled)"
    assert shown(Quantity(0.97, "1", "measured")) == "0.97 (measured)"
    assert shown(None) == "-"


def test_the_table_has_the_objectives_first():
    section = table("All", ["energy_j"], ROWS[:1], ROWS)
    assert section.columns == ("trial", "cut", "energy_j", "accuracy")
    assert section.rows == [("0", "<pool0>", "1e-06 J (modelled)", "0.9 (measured)")]
    assert section.note == "the same in every trial: codec: none"
