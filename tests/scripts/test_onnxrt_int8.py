"""The forms in which onnxruntime is timed give one answer, and keep their channels where they say."""

from __future__ import annotations

import importlib
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from joined_network import ENDS, SHAPE, qdq_model

from joulecut.compiler import onnxrt

SCRIPTS = Path(__file__).resolve().parents[2] / "scripts"


@dataclass(frozen=True)
class Network:
    qdq_path: Path


@pytest.fixture
def peers(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(sys, "path", [str(SCRIPTS), *sys.path])
    return importlib.import_module("peers.onnxrt_int8")


@pytest.fixture
def strip(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(sys, "path", [str(SCRIPTS), *sys.path])
    return importlib.import_module("integer_ends").with_integer_ends


def codes(count: int) -> list[np.ndarray]:
    return list(np.random.default_rng(0).integers(0, 256, (count, *SHAPE)).astype(np.uint8))


def kinds(model: bytes) -> Counter[str]:
    return Counter(node.op_type for node in onnx.ModelProto.FromString(model).graph.node)


def write(model: onnx.ModelProto, path: Path) -> Path:
    path.write_bytes(model.SerializeToString())
    return path


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("seed", [0, 1])
def test_channels_last_gives_the_same_codes(
    peers: Any, strip: Any, tmp_path: Path, end: str, seed: int
):
    path = write(strip(qdq_model(tmp_path, end, seed)), tmp_path / "net.onnx")
    models = peers.models(path)
    for x in codes(5):
        (expected,) = onnxrt.run(models["qlinear"], {"x": x})
        (found,) = onnxrt.run(models["channels_last"], {"x": x})
        np.testing.assert_array_equal(found, expected)
        assert len(np.unique(found)) > 3


# Transposes: one at the start; then where pixels are flattened, an image is an output, or an
# operator has no rule.
TRANSPOSES = {"one pixel": 1, "pixels": 2, "image": 2, "swapped": 5}


@pytest.mark.parametrize("end", ENDS)
def test_transposes_stand_only_where_they_must(
    peers: Any, strip: Any, tmp_path: Path, end: str
):
    models = peers.models(write(strip(qdq_model(tmp_path, end)), tmp_path / "net.onnx"))
    found = kinds(models["channels_last"])
    assert found["Transpose"] == TRANSPOSES[end]
    assert found["NhwcMaxPool"] == 1
    assert found["MaxPool"] == 0
    graph = onnx.ModelProto.FromString(models["channels_last"]).graph
    for node in graph.node:
        if node.op_type == "QLinearConv":
            assert node.domain == "com.microsoft"
            assert {entry.name: entry.i for entry in node.attribute}["channels_last"] == 1
    before, after = kinds(models["qlinear"]), kinds(models["channels_last"])
    for kind in ("QLinearConv", "QLinearAdd", "QLinearConcat", "QGemm"):
        assert after[kind] == before[kind]
    assert before["QLinearConv"] == (6 if end in ("image", "swapped") else 5)
    assert before["QLinearAdd"] == before["QLinearConcat"] == 1


@pytest.mark.parametrize("threads", [1, 2])
def test_bound_calls_read_and_write_their_arrays(
    peers: Any, strip: Any, tmp_path: Path, threads: int
):
    path = write(strip(qdq_model(tmp_path, "one pixel")), tmp_path / "net.onnx")
    found = peers.peers(Network(path), threads)
    assert tuple(found) == peers.FORMS
    for peer, model in zip(found.values(), peers.models(path).values(), strict=True):
        assert peer.model_bytes == len(model)
        session = onnxrt.session(model, optimize=True)
        for x in codes(3):
            np.testing.assert_array_equal(peer.outputs(x), session.run({"x": x})[0])


def test_calls_keep_their_arrays_alive(peers: Any, strip: Any, tmp_path: Path):
    path = write(strip(qdq_model(tmp_path, "one pixel")), tmp_path / "net.onnx")
    calls = peers.peer_calls(Network(path))
    others = [np.zeros(SHAPE, np.uint8) for _ in range(100)]
    for call in calls.values():
        _, kept = call()
        assert [array.shape for array in kept] == [SHAPE, (1, 9)]
    assert not any(array.any() for array in others)


@pytest.mark.parametrize("dtype", ["uint8", "int8"])
def test_identity_hands_its_input_through(peers: Any, dtype: str):
    peer = peers.identity((1, 2, 3), dtype)
    x = np.arange(6).reshape(1, 2, 3).astype(dtype)
    np.testing.assert_array_equal(peer.outputs(x), x)


def test_unknown_shapes_cost_transposes_only(peers: Any, strip: Any, tmp_path: Path):
    convert = importlib.import_module("peers.channels_last").channels_last
    stripped = strip(qdq_model(tmp_path, "pixels"))
    fused = peers.qlinear(stripped.SerializeToString())
    untouched = convert(fused, {})
    assert kinds(untouched.SerializeToString()) == kinds(fused.SerializeToString())
