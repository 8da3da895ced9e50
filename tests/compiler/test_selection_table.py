"""Tables as bytes: they read back, and nothing damaged is taken."""

from __future__ import annotations

import math
import struct
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from joulecut.compiler.errors import ConfigError, UntrustedInputError
from joulecut.compiler.selection_table import SelectionTable, Span
from joulecut.kernels import coder

PAGE = Path(__file__).resolve().parents[2] / "docs/selection.md"
TABLE = SelectionTable(
    5, (0, 1e-6, 2e-6, math.inf), (4, 0, None, 2), (Span(0, 5e-7, 1.5e-6), Span(4, 0, 1e-6))
)


def sealed(said: bytes) -> bytes:
    """With a checksum that fits."""
    return said + struct.pack("<I", coder.xxh32(said))


def patched(at: int, what: bytes) -> bytes:
    said = bytearray(TABLE.to_bytes()[:-4])
    said[at : at + len(what)] = what
    return sealed(bytes(said))


@st.composite
def tables(draw: st.DrawFn) -> SelectionTable:
    n_cuts = draw(st.integers(1, 4))
    starts = sorted(draw(st.sets(st.floats(0, exclude_min=True), max_size=5)))
    choices: list[int | None] = []
    for _ in range(len(starts) + 1):
        others = [each for each in (None, *range(n_cuts)) if choices[-1:] != [each]]
        choices.append(draw(st.sampled_from(others)))
    spans: list[Span] = []
    for cut in range(n_cuts):
        ends = sorted(draw(st.sets(st.floats(0), max_size=4)))
        spans += [Span(cut, a, b) for a, b in zip(ends[::2], ends[1::2], strict=False)]
    return SelectionTable(n_cuts, (0.0, *starts), tuple(choices), tuple(spans))


@given(tables())
def test_bytes_read_back(table: SelectionTable):
    assert SelectionTable.from_bytes(table.to_bytes()) == table


def test_the_worked_example_of_the_page():
    table = SelectionTable(3, (0, 0.5), (2, None), (Span(2, 0, 0.75),))
    blocks = PAGE.read_text().split("```")[1::2]
    (example,) = [each for each in blocks if each.strip().startswith("4a 43 44 1a")]
    assert table.to_bytes() == bytes.fromhex(example)
    assert [table.lookup(x, 2) for x in (0, 0.5, 0.75, 1, math.inf)] == [2, 2, 2, None, None]
    assert [table.lookup(x) for x in (0, 0.5, 0.75)] == [2, None, None]


def test_every_flipped_bit_and_every_truncation_is_refused():
    blob = TABLE.to_bytes()
    for at in range(8 * len(blob)):
        flipped = bytearray(blob)
        flipped[at // 8] ^= 1 << at % 8
        with pytest.raises(UntrustedInputError, match=r"selection table: .* \(offset \d+\)"):
            SelectionTable.from_bytes(flipped)
    for size in range(len(blob)):
        with pytest.raises(UntrustedInputError):
            SelectionTable.from_bytes(blob[:size])
    with pytest.raises(UntrustedInputError, match=r"it must have \d+ bytes, not \d+"):
        SelectionTable.from_bytes(blob + b"\0")


@pytest.mark.parametrize(
    ("blob", "message"),
    [
        (b"", r"its header must have 20 bytes \(offset 0\); get it from its maker again"),
        (patched(0, b"JCX"), r"it must start with b'JCD\\x1a', not b'JCX\\x1a' \(offset 0\)"),
        (patched(4, b"\x02"), r"its version must be 1, not 2 \(offset 4\)"),
        (patched(5, b"\x01"), r"its flags must be 0, not 1 \(offset 5\)"),
        (patched(8, b"\0\0\0\1"), r"its entries must be fewer than 16777216 \(offset 8\)"),
        (TABLE.to_bytes()[:-1] + b"\0", r"its checksum must match"),
        (patched(6, b"\0\0"), r"n_cuts must be in 1\.\.65535, not 0"),
        (patched(6, b"\2\0"), r"every cut must be in 0\.\.1"),
        (patched(16, struct.pack("<d", 1e-9)), r"starts must ascend from 0"),
        (patched(24, struct.pack("<d", math.nan)), r"starts must ascend from 0"),
        (patched(32, struct.pack("<d", 1e-6)), r"starts must ascend from 0"),
        (patched(48, struct.pack("<d", -1)), r"spans must start at 0 or later and end no earl"),
        (patched(48, struct.pack("<d", math.nan)), r"spans must start at 0 or later and end"),
        (patched(56, struct.pack("<d", 1e-7)), r"spans must start at 0 or later and end no earl"),
        (patched(80, b"\0\0\0\0"), r"neighbouring choices must differ"),
        (patched(88, b"\4\0\0\0"), r"spans must ascend by cut and channel, apart from one anot"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said(blob: bytes, message: str):
    with pytest.raises(UntrustedInputError, match=message):
        SelectionTable.from_bytes(blob)


def test_entries_are_limited():
    with pytest.raises(ConfigError, match=r"spans must be less than 16777216, not 16777216"):
        SelectionTable(1, (0,), (0,), (Span(0, 0, 1),) * (1 << 24))


@pytest.mark.parametrize("x", [-1.0, math.nan])
def test_a_channel_is_checked(x: float):
    with pytest.raises(ConfigError, match=r"x must be 0 or more seconds per bit, not"):
        TABLE.lookup(x)


def test_the_previous_cut_is_checked():
    with pytest.raises(ConfigError, match=r"previous must be in 0\.\.4 or None, not 5"):
        TABLE.lookup(0, 5)
