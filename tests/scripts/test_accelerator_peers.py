"""What is compared with ZigZag, and what ZigZag is told; running it is the bench's affair."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Any

import pytest

from joulecut.hw.config import CONFIGS, Z7020

SCRIPTS = Path(__file__).resolve().parents[2] / "scripts"


@pytest.fixture
def peers(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(sys, "path", [str(SCRIPTS), *sys.path])
    return importlib.import_module("accelerator_peers")


def test_accesses_are_those_of_the_loops(peers: Any) -> None:
    """2 tiles of inputs, 3 of outputs, 3x3 over 16 x 16 pixels, which are 4 strips."""
    found = peers.accesses(Z7020, peers.Layer(32, 48, 3, 1, 1), 16)
    assert found == {
        "mac_cycles": 2 * 3 * 9 * 256,
        "activation_reads": 2 * 3 * 9 * 256,
        "weight_reads": 2 * 3 * 9 * 4 * 16,
        "sum_updates": 2 * 3 * 9 * 256,
        "sum_drains": 3 * 256,
        "output_writes": 3 * 256,
        "activation_beats": 32 * 256 // 8,
        "weight_beats": 32 * 48 * 9 // 8,
        "output_beats": 48 * 256 // 8,
    }
    assert tuple(found) == peers.zigzag.COUNTED


@pytest.mark.parametrize("name", CONFIGS)
def test_zigzag_is_told_our_sizes(peers: Any, name: str) -> None:
    config = CONFIGS[name]
    told = peers.zigzag.accelerator(config)
    sizes = {key: memory["size"] for key, memory in told["memories"].items()}
    assert told["operational_array"]["sizes"] == [config.rows, config.columns]
    assert sizes["weights"] == config.weight_words * config.columns * 8
    assert sizes["sums"] == config.strip * config.rows * 32
    assert sizes["registers"] == 8


def test_the_loops_cover_the_layer(peers: Any) -> None:
    layer, mapping = peers.zigzag.case(peers.Layer(32, 64, 3, 2, 1), 16, Z7020)
    assert layer["loop_sizes"] == [1, 64, 1, 8, 32, 3, 8, 3]
    assert mapping["temporal_ordering"] == [
        ("OX", 8),
        ("OY", 8),
        ("C", 2),
        ("FX", 3),
        ("FY", 3),
        ("K", 4),
    ]


def test_a_strip_that_is_no_rectangle_is_refused(peers: Any) -> None:
    with pytest.raises(ValueError, match="a strip of 64 pixels must tile 28 x 28"):
        peers.zigzag.case(peers.Layer(16, 16, 3, 1, 1), 28, Z7020)
