"""Bundles of the shared networks, built for real: what runs, verifies or profiles them needs one."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from integer_graphs import NETWORKS, feeds

from joulecut.compiler.bundle import Bundle
from joulecut.compiler.config import CodecConfig
from joulecut.compiler.cut import cuts
from joulecut.compiler.graph import Graph
from joulecut.compiler.plan import Plan, partition
from joulecut.targets.base import target
from joulecut.targets.build import build


def samples(graph: Graph, count: int, first_seed: int = 0) -> dict[str, np.ndarray]:
    """`count` different samples for every input."""
    single = [feeds(graph, first_seed + i) for i in range(count)]
    return {name: np.concatenate([one[name] for one in single]) for name in single[0]}


def middle_plan(graph: Graph) -> Plan:
    """A network, cut in the middle of its cuts."""
    found = cuts(graph)
    return partition(graph, found[len(found) // 2])


def need_target(name: str) -> None:
    """Skip the test if programs for a target cannot be made or run here."""
    place = target(name)
    if not any(map(shutil.which, place.toolchain.compilers)):
        pytest.skip(f"no compiler for {name} (Debian: {place.toolchain.package})")
    if shutil.which(place.emulator.program) is None:
        pytest.skip(f"{place.emulator.program} is not installed (Debian: qemu-user)")


def build_bundle(
    name: str,
    out: Path,
    *,
    edge: str = "x86_64",
    codec: CodecConfig | None = None,
    source: bytes | None = None,
) -> Bundle:
    """A bundle of a shared network with three test vectors, its cloud for x86-64."""
    need_target(edge)
    plan = middle_plan(NETWORKS[name]())
    vectors = samples(plan.whole, 3, first_seed=100)
    return build(
        plan, edge=edge, cloud="x86_64", out=out, codec=codec, vectors=vectors, source=source
    )
