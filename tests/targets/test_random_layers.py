"""Random layers of every operator on every target equal the reference, number for number.

The default run draws a layer of every operator for each class of processor; `make
verify-kernels` draws a million outputs for each operator and target, and runs the networks of
the speed bench as well. Boards with the same core get the same code, which is tested here, and
are run once.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from cpu_cases import samples
from cpu_parts import Builder, check_part, code_of, require_runnable, with_code_of_their_own
from random_layers import OPERATORS, layers_of, one_of_each

from joulecut.compiler.graph import Graph
from joulecut.targets.base import Target, target, targets

MILLION = 1_000_000


@pytest.fixture(scope="module")
def builder(tmp_path_factory: pytest.TempPathFactory) -> Builder:
    return Builder(tmp_path_factory.mktemp("layers"))


def check(graph: Graph, place: Target, builder: Builder, folder: Path) -> None:
    built = builder(graph, place)
    feeds = samples(graph, 1)[:1]
    check_part(built, place, graph, feeds, folder)


KERNELS = sorted({place.kernels: place.name for place in targets()}.values())


@pytest.mark.parametrize("name", KERNELS)
def test_one_of_each(name: str, builder: Builder, tmp_path: Path) -> None:
    require_runnable(target(name))
    check(one_of_each(seed=KERNELS.index(name)), target(name), builder, tmp_path)


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("operator", OPERATORS)
@pytest.mark.parametrize("name", [place.name for place in with_code_of_their_own(targets())])
def test_million(name: str, operator: str, builder: Builder, tmp_path: Path) -> None:
    require_runnable(target(name))
    for graph in layers_of(operator, MILLION, seed=2):
        check(graph, target(name), builder, tmp_path)


def test_boards_with_one_core_get_one_code(builder: Builder) -> None:
    (graph,) = layers_of("grouped", 1, seed=3)
    alike = [place for place in targets() if code_of(place) == code_of(target("aarch64"))]
    assert {"aarch64", "kria_kv260", "raspberry_pi_3", "zcu104"} == {p.name for p in alike}
    programs = {(builder(graph, place).directory / "model").read_bytes() for place in alike}
    assert len(programs) == 1
