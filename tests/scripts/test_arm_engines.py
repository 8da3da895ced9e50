"""Counts are kept under what decides them; engines and ours agree on an emulated core."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from qdq_models import QdqBuilder

import joulecut as jc
from joulecut.compiler.errors import DeviceError, VerificationError
from joulecut.compiler.graph import input_specs

SCRIPTS = Path(__file__).resolve().parents[2] / "scripts"


@pytest.fixture(scope="module")
def scripts() -> Iterator[Any]:
    patch = pytest.MonkeyPatch()
    patch.setattr(sys, "path", [str(SCRIPTS), *sys.path])
    yield importlib.import_module
    patch.undo()


def test_results_are_kept_by_key(scripts: Any, tmp_path: Path):
    kept = scripts("kept_results").KeptResults(tmp_path / "deep" / "results.json")
    assert kept.get("a") is None
    kept.put("a", {"x": 1})
    kept.put("b", {"x": 2})
    kept.put("a", {"x": 3})
    assert (kept.get("a"), kept.get("b")) == ({"x": 3}, {"x": 2})
    assert [path.name for path in kept.path.parent.iterdir()] == ["results.json"]
    kept.path.write_text("{")  # cut off
    assert kept.get("a") is None


def test_a_core_says_what_linux_says_there(scripts: Any):
    core = scripts("arm_cores").CORES["cortex-a76"]
    lines = dict(line.split("\t: ") for line in core.cpuinfo.splitlines())
    assert lines["CPU part"] == "0xd0b"
    assert "asimddp" in lines["Features"].split()
    command = core.command(["-c", "pass"], "-plugin", "x")
    assert command[:3] == ["qemu-aarch64", "-cpu", "cortex-a76"]
    assert command[-3:] == [str(core.prefix / "usr/bin/python3.11"), "-c", "pass"]
    assert "asimddp" not in scripts("arm_cores").CORES["cortex-a53"].cpuinfo


def test_a_sysroot_that_is_absent_is_named(scripts: Any, monkeypatch: pytest.MonkeyPatch):
    sysroot = scripts("arm_sysroot")
    monkeypatch.setattr(sysroot, "SYSROOT", sysroot.ROOT / "out/nowhere")
    with pytest.raises(DeviceError) as caught:
        sysroot.ready("cortex-a53")
    assert str(caught.value) == (
        "out/nowhere must hold onnxruntime==1.31.1, ai-edge-litert==2.3.0, numpy==2.4.6 for "
        "arm64, and does not; run make arm-sysroot"
    )
    with pytest.raises(
        DeviceError, match=r"core must be one of cortex-a53, .* not 'cortex-a1'"
    ):
        sysroot.ready("cortex-a1")


def quantized(path: Path) -> Path:
    """A small QDQ model with uint8 at both ends."""
    b = QdqBuilder(3)
    x = b.quantize(b.input("x", (1, 3, 8, 8)), signed=False, zero_point=120)
    x = b.node("Conv", [x, b.weight((8, 3, 3, 3))], pads=[1, 1, 1, 1])
    x = b.quantize(b.node("Relu", [x]), signed=False)
    x = b.node("Flatten", [b.node("GlobalAveragePool", [x])])
    x = b.quantize(x, signed=False, scale=0.02)
    x = b.quantize(b.node("MatMul", [x, b.weight((8, 5), axis=1)]), signed=False, zero_point=99)
    b.output(x)
    model = b.model()
    for size in (1, 5):
        model.graph.output[0].type.tensor_type.shape.dim.add().dim_value = size
    ends = importlib.import_module("integer_ends")
    path.write_bytes(ends.with_integer_ends(model).SerializeToString())
    return path


@pytest.mark.slow
@pytest.mark.tool
@pytest.mark.parametrize("core", ["cortex-a76", "cortex-a9"])
def test_engines_compute_the_specification_on_an_emulated_core(
    scripts: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, core: str
):
    engines = scripts("peers.arm_engines")
    try:
        place = scripts("arm_sysroot").ready(core)
    except DeviceError as missing:
        pytest.skip(str(missing))
    monkeypatch.setattr(
        engines, "KEPT", scripts("kept_results").KeptResults(tmp_path / "kept.json")
    )
    monkeypatch.setattr(engines, "RUNS", (1, 3))
    model = quantized(tmp_path / "model.onnx")
    macs = 64 * 8 * 27 + 40
    for engine in place.system.engines:
        found = engines.inference(engine, model, core)
        assert macs / 16 < found.instructions < 10 * macs
        assert found.count.elements == 5
        assert found.count.largest <= 1
        with monkeypatch.context() as patch:
            patch.setattr(engines, "_run", _not_again)
            assert engines.inference(engine, model, core) == found
            with pytest.raises(AssertionError, match="not kept"):
                engines.inference(engine, model, core, fresh=True)


def _sevens(*_: object) -> list[np.ndarray]:
    return [np.full((1, 5), 7, np.uint8)]


def _not_again(_: object) -> str:
    raise AssertionError("not kept")


@pytest.mark.slow
@pytest.mark.tool
def test_our_build_is_checked_counted_and_kept(
    scripts: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    mine = scripts("ours_on_arm")
    monkeypatch.setattr(mine, "FOLDER", tmp_path)
    monkeypatch.setattr(
        mine, "KEPT", scripts("kept_results").KeptResults(tmp_path / "kept.json")
    )
    model = quantized(tmp_path / "model.onnx")
    (spec,) = input_specs(jc.pipeline(jc.load(model)))
    network = scripts("bench_networks").BenchNetwork(
        "net", model, spec.name, spec.shape, spec.dtype, 1, "seeded"
    )
    said: list[str] = []
    found = mine.ours(network, jc.target("cortex_a53"), said.append)
    macs = 64 * 8 * 27 + 40
    assert sum(layer.macs for layer in found.layers) == macs
    assert macs / 16 < found.instructions < 10 * macs
    assert "count net on aarch64" in said
    said.clear()
    assert mine.ours(network, jc.target("cortex_a53"), said.append).layers == found.layers
    assert "count net on aarch64" not in said
    loops = mine.hot_loops_of(found.part)
    assert max(loop.share for loop in loops) > 0.9
    assert all(loop.loop.macs for loop in loops)
    monkeypatch.setattr(mine, "run_reference", _sevens)
    with pytest.raises(
        VerificationError, match="net on aarch64 must be the reference, and differs in"
    ):
        mine.ours(network, jc.target("cortex_a53"), said.append, fresh=True)
