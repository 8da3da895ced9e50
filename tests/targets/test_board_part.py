"""What a board runs: both sides of a part, with the driver over the simulated accelerator."""

from __future__ import annotations

import ast
import importlib.util
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pynq_stand_in
import pytest
from built_bundles import need_target, samples
from integer_graphs import NETWORKS
from rtl_design import require

from joulecut.compiler.cut import cuts
from joulecut.compiler.graph import Graph
from joulecut.compiler.plan import partition
from joulecut.compiler.reference import trace
from joulecut.hw.config import CONFIGS, Z7020
from joulecut.targets.build import build
from joulecut.targets.fpga.part import BOARD_PART
from joulecut.targets.fpga.simulated_board import SimulatedBoard
from joulecut.targets.opened import opened


class Deployed:
    """A bundle whose edge lies in a folder, and what imports from there."""

    def __init__(self, graph: Graph, folder: Path, modules: dict[str, Any]) -> None:
        self.graph, self.bundle = graph, folder / "b.bundle"
        plan = partition(graph, cuts(graph)[-1])
        build(plan, edge="x86_64+z7020", out=self.bundle, vectors=samples(graph, 1))
        # A copy, as on a board: what is imported leaves compiled files in its folder.
        self.folder = Path(shutil.copytree(self.bundle / "edge", folder / "edge"))
        self.driver, self.board_part = (
            self._imported(name, modules) for name in ("driver", "board_part")
        )

    def _imported(self, name: str, modules: dict[str, Any]) -> Any:
        spec = importlib.util.spec_from_file_location(name, self.folder / f"{name}.py")
        assert spec is not None
        assert spec.loader is not None
        modules[name] = module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module

    def accelerator(self, board: SimulatedBoard) -> Any:
        return pynq_stand_in.Overlay(self.driver.VLNV, board).jc_core_0


@pytest.fixture(scope="module", params=["digits", "dense_block"])
def deployed(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Deployed]:
    need_target("x86_64")
    require("verilator")
    with pytest.MonkeyPatch.context() as patched:
        patched.setitem(sys.modules, "pynq", pynq_stand_in.module())
        for name in ("driver", "board_part"):
            patched.setitem(sys.modules, name, None)
        yield Deployed(
            NETWORKS[request.param](), tmp_path_factory.mktemp(request.param), sys.modules
        )


@pytest.fixture
def board() -> Iterator[SimulatedBoard]:
    made = SimulatedBoard(Z7020)
    yield made
    made.close()


def test_a_part_on_a_board(deployed: Deployed, board: SimulatedBoard) -> None:
    """Values, and the frame that crosses, are those of the processor alone; three samples."""
    x = samples(deployed.graph, 3)
    (name,) = x
    expected = trace(deployed.graph, x)
    with opened(deployed.bundle) as held:
        split = held.split
        link = [spec.name for spec in split.link]
        with deployed.board_part.Part(
            deployed.folder, deployed.accelerator(board), timeout_s=300
        ) as part:
            for index in range(3):
                found = part.run({name: x[name][index : index + 1]})
                for output in split.edge.signature.outputs:
                    np.testing.assert_array_equal(
                        found.outputs[output.name], expected[output.name][index : index + 1]
                    )
                    assert found.outputs[output.name].dtype == output.dtype
                sent = [expected[tensor][index : index + 1] for tensor in link]
                assert found.frame == split.pack(sent)
                assert len(found.counters) == len(list(deployed.folder.glob("*/program.json")))
                assert all(counted["cycles"] > 1000 for counted in found.counters)


def test_feeds_are_checked(deployed: Deployed, board: SimulatedBoard) -> None:
    (name,) = samples(deployed.graph, 1)
    with deployed.board_part.Part(deployed.folder, deployed.accelerator(board)) as part:
        with pytest.raises(ValueError, match=f"input '{name}' must be float32 .*, not nothing"):
            part.run({})
        with pytest.raises(ValueError, match=r"not float64 \[2\]"):
            part.run({name: np.zeros(2)})


def test_another_bitstream_is_refused_before_anything_starts(deployed: Deployed) -> None:
    other = SimulatedBoard(CONFIGS["z7020-wide"])
    with pytest.raises(deployed.driver.AcceleratorError, match="accelerator must be 'z7020'"):
        deployed.board_part.Part(deployed.folder, deployed.accelerator(other))
    other.close()


def test_another_processor_s_library_is_refused(
    deployed: Deployed, board: SimulatedBoard, tmp_path: Path
) -> None:
    copy = Path(shutil.copytree(deployed.folder, tmp_path / "edge"))
    library = bytearray((copy / "0/libmodel.so").read_bytes())
    library[18] = 40  # e_machine: Arm
    (copy / "0/libmodel.so").write_bytes(library)
    with pytest.raises(OSError, match=r"libmodel\.so"):
        deployed.board_part.Part(copy, deployed.accelerator(board))


def test_it_needs_numpy_alone_and_python_310() -> None:
    tree = ast.parse(BOARD_PART.read_text(), feature_version=(3, 10))
    modules = {
        name.split(".")[0]
        for node in ast.walk(tree)
        for name in (
            [alias.name for alias in node.names]
            if isinstance(node, ast.Import)
            else [node.module or ""]
            if isinstance(node, ast.ImportFrom)
            else []
        )
    }
    assert modules - set(sys.stdlib_module_names) == {"numpy"}
