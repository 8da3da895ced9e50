"""Targets are read from files, found by name or alias, and their numbers have sources."""

from __future__ import annotations

from pathlib import Path

import pytest

from joulecut.compiler.errors import ConfigError
from joulecut.targets.base import read_target, target, targets


@pytest.mark.parametrize(
    ("alias", "name"),
    [
        ("x86_64", "generic_x86_64"),
        ("aarch64", "aarch64"),
        ("armv7", "pynq_z2"),
        ("cortex_a72", "raspberry_pi_4"),
        ("cortex_a9", "pynq_z2"),
        ("riscv64", "riscv64"),
    ],
)
def test_aliases(alias: str, name: str) -> None:
    assert target(alias) is target(name)
    assert target(alias).name == name


def test_names_are_unique() -> None:
    names = [name for each in targets() for name in (each.name, *each.aliases)]
    assert len(names) == len(set(names))


def test_every_number_has_a_source() -> None:
    facts = [fact for each in targets() for fact in each.facts.values()]
    assert facts
    for fact in facts:
        assert fact.value > 0
        assert len(fact.source) > 10


def test_no_target_is_the_machine_that_builds() -> None:
    for each in targets():
        assert each.llvm["mcpu"] != "native"
        assert not any("native" in flag for flag in each.toolchain.cflags)


def test_an_unknown_name_is_answered_with_the_closest() -> None:
    with pytest.raises(ConfigError, match=r"not 'arch64'; the closest is aarch64"):
        target("arch64")


def test_a_file_with_an_unknown_field_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "odd.toml"
    text = Path(read_target.__code__.co_filename).with_name("boards") / "aarch64.toml"
    path.write_text("colour = 'red'\n" + text.read_text())
    with pytest.raises(ConfigError, match=r"odd.toml must have exactly the fields .*colour"):
        read_target(path)
