"""A part that its board cannot hold is refused, with what needs how much."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from integer_graphs import NETWORKS

from joulecut.compiler.errors import ConfigError
from joulecut.targets.base import Fact, Target, target
from joulecut.targets.cpu.build import build_part, tiling_of
from joulecut.targets.cpu.nhwc.kernels import PORTABLE
from joulecut.targets.cpu.part import lower_part
from joulecut.targets.room_on_board import (
    PartSizes,
    largest_constants,
    require_room,
    sizes_of,
)

SIZES = PartSizes(arena_bytes=300, constant_bytes=600, code_bytes=124)


def board(ram_bytes: int) -> Target:
    """A board with little memory."""
    return replace(
        target("aarch64"), title="a board", facts={"ram_bytes": Fact(ram_bytes, "this test")}
    )


def test_a_part_may_fill_the_memory() -> None:
    assert SIZES.total_bytes == 1024
    require_room("edge", SIZES, board(1024))


def test_a_part_that_is_a_byte_too_large_is_refused() -> None:
    with pytest.raises(
        ConfigError,
        match=r"part 'edge' must fit the 1,023 bytes of a board, not need 1,024: "
        r"arena 300, constants 600, code 124; cut the network elsewhere, or",
    ):
        require_room("edge", SIZES, board(1023))


@pytest.mark.parametrize("field", ["arena_bytes", "constant_bytes", "code_bytes"])
def test_everything_counts(field: str) -> None:
    with pytest.raises(ConfigError, match=r"must fit"):
        require_room("edge", replace(SIZES, **{field: 1025}), board(1024))


def test_a_target_without_a_memory_takes_everything() -> None:
    assert "ram_bytes" not in target("aarch64").facts
    require_room("edge", replace(SIZES, arena_bytes=1 << 60), target("aarch64"))


def test_sizes_are_those_of_the_build(tmp_path: Path) -> None:
    (tmp_path / "model").write_bytes(bytes(5000))
    assert sizes_of(tmp_path, 128, 3000) == PartSizes(128, 3000, 2000)


def test_the_layers_with_the_most_constants_are_named() -> None:
    with pytest.raises(
        ConfigError, match=r"code 124 \(most constants: 'dense' 500, 'conv1' 80\); cut the"
    ):
        require_room("edge", SIZES, board(1023), [("dense", 500), ("conv1", 80)])


def test_a_build_refuses_what_its_board_cannot_hold(tmp_path: Path) -> None:
    here = target("x86_64")
    graph = NETWORKS["digits"]()
    here = replace(here, kernels=PORTABLE)
    lowered = lower_part(graph, tiling_of(here), None)
    names = [name for name, _ in largest_constants(lowered)]
    assert largest_constants(lowered)[0][1] == 512 * (256 + 4 + 4)  # weights, bias, scale
    little = replace(here, title="a board", facts={"ram_bytes": Fact(400_000, "this test")})
    most = ", ".join(f"'{name}' [0-9,]+" for name in names)
    with pytest.raises(
        ConfigError, match=rf"must fit the 400,000 .* \(most constants: {most}\)"
    ):
        build_part(graph, little, tmp_path / "part", cache_dir=tmp_path / "cache")
    enough = replace(little, facts={"ram_bytes": Fact(4_000_000, "this test")})
    build_part(graph, enough, tmp_path / "part", cache_dir=tmp_path / "cache")
