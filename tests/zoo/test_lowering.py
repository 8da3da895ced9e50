"""From Brevitas through ONNX to integers: what the reference computes is what was trained."""

# torch annotates only in part.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("brevitas")
pytest.importorskip("mlxtend")
pytestmark = pytest.mark.train

from zoo_networks import NETWORKS, calibrated, inputs  # noqa: E402

from joulecut.compiler.cost import cost  # noqa: E402
from joulecut.compiler.graph import Graph, name_of  # noqa: E402
from joulecut.compiler.load import load  # noqa: E402
from joulecut.compiler.pipeline import pipeline  # noqa: E402
from joulecut.compiler.reference import run_reference, trace  # noqa: E402
from joulecut.zoo import digits  # noqa: E402
from joulecut.zoo.data import mnist  # noqa: E402
from joulecut.zoo.export import brevitas_logits, export_qcdq, export_qonnx  # noqa: E402
from joulecut.zoo.train import TrainConfig, load_trained, train  # noqa: E402

Export = Callable[[Any, np.ndarray, Path], Path]

# Brevitas adds in float32 in an order of its own, so a value beside a tie may round the other
# way. Measured here: none of 95,744 in the digit network, none of 471,296 in ResNet-8.
MAX_DIFFERING = 1e-3


def lowered(export: Export, module: Any, example: np.ndarray, path: Path) -> Graph:
    return pipeline(load(export(module, example, path / "model.onnx")))


def name_in_graph(module_path: str) -> str:
    """The output of the module `stacks.0.relu1` is called `stacks/stacks.0/relu1`."""
    parts = module_path.split(".")
    named = [
        f"{parts[at - 1]}.{part}" if part.isdigit() else part for at, part in enumerate(parts)
    ]
    return "/".join(named)


def brevitas_integers(module: Any, x: np.ndarray) -> dict[str, np.ndarray]:
    """What each activation quantizer of the network makes, by its name in the Graph."""
    found: dict[str, np.ndarray] = {}

    def keep(path: str) -> Any:
        def hook(_layer: Any, _inputs: Any, output: Any) -> None:
            found[name_in_graph(path)] = output.int().numpy()

        return hook

    hooks = [
        layer.register_forward_hook(keep(path))
        for path, layer in module.named_modules()
        if type(layer).__name__ in ("QuantReLU", "QuantIdentity")
    ]
    with torch.no_grad():
        module(torch.from_numpy(x))
    for hook in hooks:
        hook.remove()
    return found


@pytest.mark.parametrize("name", NETWORKS)
def test_both_dialects_compute_brevitas_integers(tmp_path: Path, name: str):
    module, x = calibrated(name), inputs(name, 4)
    theirs = brevitas_integers(module, x)
    assert len(theirs) >= 8
    logits: list[np.ndarray] = []
    for export in (export_qcdq, export_qonnx):
        graph = lowered(export, module, x[:1], tmp_path)
        others = {node.op_type for node in graph.graph if node.domain != "joulecut"}
        assert others <= {"MaxPool", "Concat", "Reshape"}
        ours = trace(graph, {"x": x})
        logits.append(ours[name_of(graph.graph.outputs[0])])
        differing = 0
        for value, expected in theirs.items():
            found = ours[value]
            assert found.dtype == (np.int8 if expected.dtype == np.int8 else np.uint8)
            steps = np.abs(found.astype(int) - expected.astype(int))
            assert steps.max() <= 1, value
            differing += int((steps > 0).sum())
        total = sum(expected.size for expected in theirs.values())
        print(f"{name} {export.__name__}: {differing} of {total} integers differ")
        assert differing / total <= MAX_DIFFERING
    np.testing.assert_array_equal(logits[0], logits[1])


def test_the_lowered_digits_cost_what_the_paper_says(tmp_path: Path):
    graph = lowered(export_qcdq, calibrated("digits-8"), inputs("digits-8", 1), tmp_path)
    assert cost(graph).macs == digits.MACS
    assert cost(graph).parameters == digits.PARAMETERS


def compare(module: Any, count: int, path: Path) -> tuple[float, float, float]:
    """Accuracy of Brevitas, accuracy of the reference, agreement of their classes."""
    data = mnist.load().held_out.take(count)
    theirs = brevitas_logits(module, data.images).argmax(1)
    graph = lowered(export_qcdq, module, data.images[:1], path)
    ours = run_reference(graph, {"x": data.images})[0].argmax(1)
    return (
        float((theirs == data.labels).mean()),
        float((ours == data.labels).mean()),
        float((ours == theirs).mean()),
    )


def test_a_trained_network_keeps_its_classes(tmp_path: Path):
    config = TrainConfig(
        tmp_path,
        float_epochs=3,
        quantized_epochs=1,
        train_count=1000,
        held_out_count=100,
        threads=1,
    )
    module = load_trained(train(config).path)
    theirs, ours, agreement = compare(module, 100, tmp_path)
    assert theirs > 0.5
    assert abs(ours - theirs) <= 0.005
    assert agreement >= 0.99


@pytest.mark.slow
@pytest.mark.parametrize("bits", [8, 4])
def test_the_default_recipe_keeps_its_accuracy(tmp_path: Path, bits: int):
    result = train(TrainConfig(tmp_path, weight_bits=bits, activation_bits=bits))
    theirs, ours, agreement = compare(load_trained(result.path), 1000, tmp_path)
    assert theirs >= 0.95
    assert abs(ours - theirs) <= 0.002
    assert agreement >= 0.998
