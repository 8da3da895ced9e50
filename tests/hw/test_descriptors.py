"""Descriptors as bytes and back, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from joulecut.hw.config import CONFIGS, ConfigurationError, MacArrayConfig
from joulecut.hw.descriptors import (
    Compute,
    Descriptor,
    DescriptorError,
    Load,
    Memory,
    Operation,
    Store,
    Waits,
    pack,
    unpack,
)
from joulecut.hw.regs import KINDS, Field

SKIPPED = ("opcode", "plane_beats", "memory", "operation", "addend_scale")


def number(field: Field) -> st.SearchStrategy[int]:
    return st.integers(field.low, field.high)


def waits() -> st.SearchStrategy[Waits]:
    return st.builds(Waits, *[st.integers(0, 65535)] * 3)


@st.composite
def descriptors(draw: st.DrawFn) -> Descriptor:
    kind = draw(st.sampled_from(sorted(KINDS)))
    values = {
        field.name: draw(number(field))
        for field in KINDS[kind]
        if field.name not in SKIPPED and not field.name.startswith(("wait_", "is_"))
    }
    if kind == "compute":
        scale = draw(st.floats(2**-100, 2.0**100, width=32))
        operation = draw(st.sampled_from(Operation))
        flags = {"is_packed": draw(st.booleans()), "is_unsigned": draw(st.booleans())}
        return Compute(
            **values, **flags, operation=operation, addend_scale=scale, waits=draw(waits())
        )
    values["row_beats"], values["rows"] = draw(st.integers(1, 255)), draw(st.integers(1, 255))
    if kind == "store":
        return Store(**values, waits=draw(waits()))
    memory, planar = draw(st.sampled_from(Memory)), draw(st.booleans())
    return Load(**values, memory=memory, is_planar=planar, waits=draw(waits()))


@given(st.lists(descriptors(), max_size=5))
def test_bytes_and_back(made: list[Descriptor]) -> None:
    data = pack(made)
    assert len(data) % 128 == 0
    assert unpack(data) == made


def test_values_must_fit() -> None:
    store = Store(address=0, row_beats=1, word=1 << 16, word_planes=2)
    with pytest.raises(
        DescriptorError, match=r"descriptor 0 \(store\): word must be 0\.\.65535"
    ):
        pack([store])


def test_unknown_opcodes_are_refused() -> None:
    words = np.zeros(16, np.uint32)
    words[0] = 9
    with pytest.raises(DescriptorError, match="descriptor 0: opcode 9 is none"):
        unpack(words.tobytes())
    with pytest.raises(DescriptorError, match="must be a multiple of 64 bytes, not 63"):
        unpack(bytes(63))


@given(st.integers(0, 1 << 20), st.integers(1, 70), st.integers(1, 4), st.integers(1, 3))
def test_bursts_hold_all_beats_and_stay_in_their_pages(
    address: int, beats: int, rows: int, planes: int
) -> None:
    load = Load(
        memory=Memory.WEIGHTS,
        address=address * 8,
        row_beats=beats,
        rows=rows,
        planes=planes,
        row_stride=8 * 71,
        plane_stride=8 * 300,
    )
    bursts = load.bursts()
    assert sum(bursts) == load.beats
    assert max(bursts) <= 16
    at, left = load.address, beats
    for burst in bursts[: len(bursts) // (rows * planes)]:
        assert at // 4096 == (at + 8 * burst - 1) // 4096
        at, left = at + 8 * burst, left - burst
        if not left:
            break


def test_configurations_say_what_is_wrong() -> None:
    assert CONFIGS["z7020"].macs_per_cycle == 256
    with pytest.raises(ConfigurationError, match="'odd': columns must be 16 or 32"):
        MacArrayConfig("odd", 16, 24, 64, 4, 8192, 1024, 1024, 1024, 1e8)
    with pytest.raises(ConfigurationError, match="rows must be a multiple of 8 and of lanes"):
        MacArrayConfig("odd", 20, 16, 64, 4, 8192, 1024, 1024, 1024, 1e8)
