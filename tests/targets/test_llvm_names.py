"""Processors and features that LLVM does not know are refused, with the closest that it knows."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from integer_graphs import NETWORKS

from joulecut.compiler.errors import ConfigError
from joulecut.targets.base import Target, target, targets
from joulecut.targets.cpu.build import build_part
from joulecut.targets.cpu.cache import llvm_target

PI = target("raspberry_pi_4")


def changed(**llvm: str | tuple[str, ...]) -> Target:
    """A Raspberry Pi whose board file says something else."""
    return replace(PI, llvm={**PI.llvm, **llvm})


@pytest.mark.parametrize("place", targets(), ids=lambda place: place.name)
def test_every_board_file_names_what_llvm_knows(place: Target) -> None:
    from joulecut.targets.cpu.llvm_names import require_known

    require_known(place.name, llvm_target(place))


@pytest.mark.parametrize(
    ("place", "message"),
    [
        (
            changed(mcpu="cortex-a27"),
            r"mcpu of target 'raspberry_pi_4' .* not 'cortex-a27'; the closest are cortex-a\d+, ",
        ),
        (
            changed(mattr=("+dotprodd",)),
            r"mattr of target 'raspberry_pi_4' .* not 'dotprodd'; the closest are dotprod, ",
        ),
        (changed(mattr=("-neom",)), r"must be features .* not 'neom'; the closest are .*neon"),
        (changed(mattr=("neon",)), r"must begin with \+ or -, not 'neon'; write '\+neon' to"),
    ],
)
def test_what_llvm_does_not_know_is_refused(place: Target, message: str) -> None:
    from joulecut.targets.cpu.llvm_names import require_known

    with pytest.raises(ConfigError, match=message):
        require_known(place.name, llvm_target(place))


def test_a_build_refuses_it_before_it_compiles(tmp_path: Path) -> None:
    here = target("x86_64")
    place = replace(here, llvm={**here.llvm, "mcpu": "x86-64-v9"})
    with pytest.raises(ConfigError, match=r"not 'x86-64-v9'; the closest are x86-64-v"):
        build_part(NETWORKS["two_inputs"](), place, tmp_path / "part", cache_dir=tmp_path)
    assert not list(tmp_path.rglob("*.o"))
