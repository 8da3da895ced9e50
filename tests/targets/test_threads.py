"""A team of threads makes the same numbers as one thread, in every layer, run after run."""

from __future__ import annotations

import ctypes
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cpu_cases import samples
from cpu_parts import Builder, require_tools, run_program
from integer_graphs import NETWORKS

from joulecut.compiler.reference import run_reference, trace
from joulecut.targets.base import target
from joulecut.targets.devices.device import device
from joulecut.targets.devices.protocol import Signature


@pytest.fixture(scope="module")
def builder(tmp_path_factory: pytest.TempPathFactory) -> Builder:
    return Builder(tmp_path_factory.mktemp("threads"))


def test_two_threads_give_what_one_gives(builder: Builder) -> None:
    graph = NETWORKS["dense_block"]()
    built = builder(graph, target("x86_64"))
    feeds = samples(graph, 6)
    stacked = {name: np.concatenate([feed[name] for feed in feeds]) for name in feeds[0]}
    where = device("local,threads=2")
    assert where.address == "local,threads=2"
    signature = Signature.of(graph)
    found = where.run(built.directory, stacked, signature)
    again = where.run(built.directory, stacked, signature)
    for spec, known in zip(signature.outputs, run_reference(graph, stacked), strict=True):
        np.testing.assert_array_equal(found[spec.name], known)
        np.testing.assert_array_equal(again[spec.name], known)
    profile = where.profile(built.directory, stacked, signature, repeats=3)
    assert profile.device == "local,threads=2"
    assert len(profile.layers) == len(built.layers)


@pytest.mark.parametrize("place", ["aarch64", "armv7", "riscv64"])
def test_threads_of_other_processors(place: str, builder: Builder, tmp_path: Path) -> None:
    require_tools(target(place))
    graph = NETWORKS["conv1d"]()
    built = builder(graph, target(place))
    (feed, *_) = samples(graph, 1)
    (found,) = run_program(built, target(place), [feed], tmp_path, threads=2)
    expected = trace(graph, feed)
    for name, array in found.items():
        np.testing.assert_array_equal(array, expected[name])


def test_a_team_has_no_more_threads_than_there_are_processors(builder: Builder) -> None:
    built = builder(NETWORKS["conv1d"](), target("x86_64"))
    library: Any = ctypes.CDLL(str(built.directory / "libmodel.so"))
    library.model_threads_start.restype = ctypes.c_void_p
    team = ctypes.c_void_p(library.model_threads_start(4096))
    assert library.model_threads_count(team) == len(os.sched_getaffinity(0))
    assert library.model_threads_count(None) == 1
    library.model_threads_stop(team)
    library.model_threads_stop(None)
