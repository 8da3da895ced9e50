"""Cores are read from files, every number has a source or a reason, and nonsense is refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from joulecut.compiler.errors import ConfigError
from joulecut.targets.base import Fact, Target, target, targets
from joulecut.targets.cores import CORES, Core, CoreFact, core, core_of, cores, read_core


def test_the_cores_that_boards_have_are_described() -> None:
    assert [each.name for each in cores()] == [
        "cortex_a53", "cortex_a55", "cortex_a72", "cortex_a76", "cortex_a9",
        "sifive_u74", "x86_64_v3", "x86_64_v4",
    ]  # fmt: skip
    assert {each.name for each in cores() if each.in_order} == {
        "cortex_a53", "cortex_a55", "cortex_a9", "sifive_u74",
    }  # fmt: skip


@pytest.mark.parametrize("each", cores(), ids=lambda each: each.name)
def test_every_number_has_a_source_or_a_reason(each: Core) -> None:
    assert len(each.facts) == 15
    for name, fact in each.facts.items():
        assert len(fact.source) > 15, name
        if not fact.assumed:  # a document has a number, a name with digits, or a vendor
            assert any(ch.isdigit() for ch in fact.source) or "Linux" in fact.source, name


@pytest.mark.parametrize("each", cores(), ids=lambda each: each.name)
def test_what_no_document_says_is_marked(each: Core) -> None:
    """An issue rate depends on the code; only a measurement on silicon would be a source."""
    assert each.facts["ipc"].assumed
    assert 0 < each.ipc.value <= each.issue_width.value


def test_caches_are_those_of_the_core() -> None:
    assert core("cortex_a53").caches.arguments() == {
        "l1_sets": 128, "l1_ways": 4, "l2_sets": 512, "l2_ways": 16, "line_shift": 6,
    }  # fmt: skip
    assert core("cortex_a9").caches.arguments() == {
        "l1_sets": 256, "l1_ways": 4, "l2_sets": 2048, "l2_ways": 8, "line_shift": 5,
    }  # fmt: skip


def test_an_unknown_name_is_answered_with_the_closest() -> None:
    with pytest.raises(ConfigError, match=r"not 'cortex_a35'; the closest is cortex_a"):
        core("cortex_a35")
    with pytest.raises(ConfigError, match=r"core must be one of cortex_a53, .*not 'z80'"):
        core("z80")


def test_every_target_with_a_clock_has_a_core() -> None:
    timed = [each for each in targets() if "clock_hz" in each.facts]
    assert {each.name for each in timed} >= {"raspberry_pi_4", "pynq_z2"}
    for each in timed:
        found = core_of(each)
        assert found is not None, each.name
        assert found.arch == each.arch


def test_a_target_finds_its_core_by_mcpu_and_architecture() -> None:
    found, known = core_of(target("raspberry_pi_4")), core("cortex_a72")
    assert found is not None
    for name, fact in known.facts.items():  # those of the board agree with the core's
        assert found.facts[name].value == fact.value
    assert core_of(target("riscv64")) is None
    misled = replace(target("riscv64"), llvm={"mcpu": "cortex-a53"})
    assert core_of(misled) is None


def test_a_board_overrides_the_memories_of_the_core() -> None:
    place: Target = replace(
        target("aarch64"),
        facts={
            "l2_bytes": Fact(1 << 20, "a data sheet of this board"),
            "memory_ns": Fact(120.0, "a measurement on this board"),
            "clock_hz": Fact(1e9, "no fact of a core"),
        },
    )
    found = core_of(place)
    assert found is not None
    assert found.l2_bytes == CoreFact(1 << 20, "a data sheet of this board")
    assert found.memory_ns.value == 120.0
    assert found.caches.l2_bytes == 1 << 20
    assert found.l1d_bytes == core("cortex_a53").l1d_bytes


def changed(tmp_path: Path, old: str, new: str) -> Path:
    """A file like that of the Cortex-A53 with one replacement."""
    text = (CORES / "cortex_a53.toml").read_text(encoding="utf-8")
    assert text.count(old) == 1
    path = tmp_path / "odd.toml"
    path.write_text(text.replace(old, new), encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("in_order = true", "in_order = true\ncolour = { value = 1, source = 's' }", "colour"),
        ("in_order = true", "in_order = 'no'", "in_order must be true or false, not 'no'"),
        ("in_order = true", "", "in_order"),
        ("l1i_ways = { value = 2, source", "l1i_ways = { value = 2, sauce", "sauce"),
        ("ipc = { value = 0.9", "ipc = { value = 2.1", "ipc of core 'cortex_a53' must be at most"),
        ("ipc = { value = 0.9", "ipc = { value = 0", r"ipc of .* must be positive, not 0"),
        ("ipc = { value = 0.9", "ipc = { value = nan", r"ipc of .* must be positive, not nan"),
        ("l2_line_cycles = { value = 10.95", "l2_line_cycles = { value = 35", "its l2_cycles, 34.1"),
        ("memory_line_ns = { value = 28.8", "memory_line_ns = { value = 200", "its memory_ns, 176.5"),
        ("l1d_ways = { value = 4", "l1d_ways = { value = 3", "l1d .* power of two of sets, not 170"),
        ("name =", "name", "odd.toml must have exactly the fields of Core"),
    ],
)  # fmt: skip
def test_a_file_that_is_no_core_is_refused(
    tmp_path: Path, old: str, new: str, said: str
) -> None:
    with pytest.raises(ConfigError, match=said):
        read_core(changed(tmp_path, old, new))
