"""One table of registers and descriptors: what is written from it is fresh, and nothing overlaps."""

from __future__ import annotations

from itertools import combinations

import pytest

from joulecut.hw.cycles import Counts
from joulecut.hw.regs import COUNTERS, KINDS, REGISTERS, files


@pytest.mark.parametrize("path", files(), ids=lambda path: path.name)
def test_written_files_are_fresh(path: object) -> None:
    for written, text in files().items():
        if written == path:
            assert written.read_text(encoding="utf-8") == text, "python -m joulecut.hw.regs"


@pytest.mark.parametrize("kind", KINDS)
def test_fields_do_not_overlap(kind: str) -> None:
    bits = [set(range(32 * f.word + f.lsb, 32 * f.word + f.lsb + f.width)) for f in KINDS[kind]]
    assert all(not a & b for a, b in combinations(bits, 2))
    assert all(max(b) < 512 for b in bits)
    assert all(f.lsb + f.width <= 32 for f in KINDS[kind])


def test_counters_are_what_the_cycle_model_counts() -> None:
    assert tuple(vars(Counts())) == COUNTERS
    assert [r.offset for r in REGISTERS] == list(range(0, 4 * len(REGISTERS), 4))
