from __future__ import annotations

import importlib
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper

from joulecut.compiler.errors import DeviceError

SCRIPTS = Path(__file__).resolve().parents[2] / "scripts"
CPUINFO = Path("/proc/cpuinfo")
CAN_MASK = CPUINFO.is_file() and "cpuid_fault" in CPUINFO.read_text(encoding="utf-8")
masks = pytest.mark.skipif(not CAN_MASK, reason="needs a processor with the flag cpuid_fault")

# Prints, for the first thread and for another one, what CPUID says of AVX2 and of what is hidden.
# With an argument it then reads address 1.
PROGRAM = r"""
#include <cpuid.h>
#include <pthread.h>
#include <stdio.h>
static void *look(void *unused) {
    unsigned a, b, c, d, e, f;
    __cpuid_count(7, 0, a, b, c, d);
    __cpuid_count(7, 1, e, f, f, f);
    printf("%u %u\n", b >> 5 & 1,
           (b >> 16 & 1) | (b >> 30 & 1) | (c >> 11 & 1) | (d >> 24 & 3) | (e >> 4 & 1));
    return unused;
}
int main(int argc, char **argv) {
    pthread_t thread;
    look(NULL);
    pthread_create(&thread, NULL, look, NULL);
    pthread_join(thread, NULL);
    fflush(stdout);
    return argc > 1 ? *(volatile int *)1 : 0;
}
"""


@pytest.fixture(scope="module")
def module() -> Any:
    patch = pytest.MonkeyPatch()
    patch.setattr(sys, "path", [str(SCRIPTS), *sys.path])
    yield importlib.import_module("peers.masked_onnxrt")
    patch.undo()


def see(library: Path, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    (folder / "see.c").write_text(PROGRAM, encoding="utf-8")
    subprocess.run(["gcc", "-pthread", "see.c", "-o", "see"], cwd=folder, check=True)
    environment = {**os.environ, "LD_PRELOAD": str(library)}
    command = [str(folder / "see"), *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


@masks
def test_hides_all_behind_avx2_from_every_thread(module: Any, tmp_path: Path) -> None:
    done = see(module.built(tmp_path), tmp_path)
    assert (done.returncode, done.stdout) == (0, "1 0\n1 0\n")


@masks
def test_other_faults_end_the_program(module: Any, tmp_path: Path) -> None:
    done = see(module.built(tmp_path), tmp_path, "fault")
    assert (done.returncode, done.stdout) == (-11, "1 0\n1 0\n")


def product(weights: np.ndarray) -> bytes:
    """y = int32 product of x, uint8 [1, C], and weights: what VNNI is chosen for."""
    ends = [
        helper.make_tensor_value_info("x", TensorProto.UINT8, [1, weights.shape[0]]),
        helper.make_tensor_value_info("y", TensorProto.INT32, [1, weights.shape[1]]),
    ]
    w = helper.make_tensor("w", TensorProto.INT8, weights.shape, weights.tobytes(), raw=True)
    node = helper.make_node("MatMulInteger", ["x", "w"], ["y"])
    graph = helper.make_graph([node], "product", ends[:1], ends[1:], [w])
    opsets = [helper.make_opsetid("", 17)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=8).SerializeToString()


@masks
def test_runs_and_times_models_in_turn(module: Any, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    weights = [rng.integers(-64, 64, (40, n), np.int8) for n in (5, 33)]
    x = rng.integers(0, 256, (1, 40), np.uint8)
    with module.masked([product(w) for w in weights], tmp_path) as peers:
        for peer, w in zip(peers, weights, strict=True):
            assert np.array_equal(peer.outputs(x), x.astype(np.int32) @ w.astype(np.int32))
            assert peer.seconds(3) > 0


def test_names_what_is_missing(
    module: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refuses = tmp_path / "refuses"  # stands for a python that the preloaded library ends
    refuses.write_text("#!/bin/sh\nexit 86\n", encoding="utf-8")
    refuses.chmod(0o755)
    monkeypatch.setattr(module, "sys", SimpleNamespace(executable=str(refuses)))
    with pytest.raises(DeviceError, match=r"CPUID must fault .* lists cpuid_fault"):
        module.masked([b""], tmp_path).__enter__()
