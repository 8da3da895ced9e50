"""Ratios and verdicts of the Arm bench."""

from __future__ import annotations

import importlib
import io
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

SCRIPTS = Path(__file__).resolve().parents[2] / "scripts"


@pytest.fixture(scope="module")
def tables() -> Iterator[Any]:
    patch = pytest.MonkeyPatch()
    patch.setattr(sys, "path", [str(SCRIPTS), *sys.path])
    yield importlib.import_module("arm_tables")
    patch.undo()


def document(ours: int, **engines: int) -> dict[str, Any]:
    """A network on a core with a bar of 0.72 and a stretch of 0.58."""
    count = {"differing": 0, "elements": 10, "largest": 0}
    return {
        "network": "net",
        "core": "cortex-a53",
        "target": "aarch64",
        "macs": 1_000_000,
        "bar": 0.72,
        "stretch": 0.58,
        "ours": {"instructions": ours, "layers": []},
        "engines": {
            name: {"instructions": instructions, "form": "int8", "count": count}
            for name, instructions in engines.items()
        },
    }


@pytest.mark.parametrize(
    ("ours", "expected"),
    [(721, "missed: 0.72"), (720, "held: 0.72"), (580, "held: 0.72, and 0.58")],
)
def test_the_better_engine_decides(tables: Any, ours: int, expected: str):
    made = document(ours, litert=1000, onnxruntime=1100)
    assert tables.ratio(made) == ours / 1000
    assert tables.ratio(made, "onnxruntime") == ours / 1100
    assert tables.verdict(made) == expected


def test_a_number_of_instructions_is_a_bar_of_its_own(tables: Any):
    made = document(4_000_001, litert=1)
    assert tables.verdict({**made, "most": 4_000_000}) == "missed: 4.0 M"
    assert tables.verdict({**made, "most": 4_000_001}) == "held: 4.0 M"


def test_without_engines_or_a_build_there_is_no_verdict(tables: Any):
    made = document(1, litert=2)
    del made["ours"]
    assert tables.ratio(made) is None
    assert tables.ratio(document(1)) is None
    assert tables.verdict(made) == tables.verdict(document(1)) == "-"


def test_tables_say_where_numbers_come_from(tables: Any):
    made = document(720_000, litert=1_000_000)
    made["engines"]["litert"]["count"] = {"differing": 3, "elements": 10, "largest": 1}
    made["floats"] = {"TVM": 1_440_000}
    made["loops"] = [
        {
            "layer": "c1",
            "share": 0.5,
            "instructions": 56,
            "macs": 256,
            "rates": [{"cpu": "cortex-a53", "mac_per_cycle": 4.06, "bar": 4.0}],
        },
        {"layer": "c2", "share": 0.5, "instructions": 9, "macs": 8, "rates": []},
    ]
    made["ours"]["layers"] = [
        {"name": "c1", "kind": "Conv", "macs": 500_000, "instructions": 110_000}
    ]
    text = io.StringIO()
    out = Console(file=text, width=160)
    for show in ("instructions", "outputs", "floats", "cycles", "layers"):
        getattr(tables, f"show_{show}")(out, [made])
    for words in (
        "int8 (simulated)",
        "held: 0.72",
        "bars held: 1 of 1",
        "3 of 10",
        "0.50",  # int8 / float32
        "cycles modelled by llvm-mca",
        "4.06",
        "held: 4.0",
        "0.220",  # instructions / MAC of c1
    ):
        assert words in text.getvalue()
