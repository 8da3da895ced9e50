"""`joulecut analyze --objective` as a user types it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import numpy_helper
from qdq_models import network, write
from typer.testing import CliRunner

from joulecut.cli.app import app
from joulecut.compiler.graph import input_specs
from joulecut.compiler.layers import layers
from joulecut.compiler.load import load
from joulecut.compiler.pipeline import pipeline

FAST = ("--quantizer", "none,sq", "--bits", "2,4-5", "--sample-count", "4")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(network("convnet", dialect="QCDQ"), tmp_path_factory.mktemp("choices"))


@pytest.fixture(scope="module")
def samples(model: Path) -> Path:
    (spec,) = input_specs(load(model))
    rng = np.random.default_rng(0)
    x = rng.standard_normal((12, *spec.shape[1:])).astype(np.float32)
    path = model.with_name("samples.npz")
    np.savez(path, allow_pickle=False, **{spec.name: x, "y": np.zeros(12, np.int64)})
    return path


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("joulecut.hw.cache.default_cache_dir", lambda: tmp_path)


def said(*words: str | Path, expect: int = 0) -> str:
    done = CliRunner().invoke(app, ["analyze", *map(str, words)], env={"COLUMNS": "300"})
    assert done.exit_code == expect, done.output
    return done.output


def searched(*words: str | Path) -> dict[str, Any]:
    done = CliRunner().invoke(app, ["analyze", *map(str, words), *FAST, "--json"])
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)["search"]


def test_it_counts_and_ranks_all_candidates(model: Path, samples: Path):
    words = ("--objective", "energy", "--edge", "raspberry_pi_4,pynq_z2", "--samples", samples)
    found = searched(model, *words)
    assert found["settings"] == 4
    assert found["candidates"] == found["cuts"] * 4 * 2
    assert [place["name"] for place in found["places"]][:2] == ["raspberry_pi_4", "pynq_z2"]
    assert found["samples"] == {"given": True, "measured_on": 2, "fitted_on": 2}
    best, front = found["best"], found["pareto"]
    assert best["energy_j"] == min(row["energy_j"] for row in front)
    assert best["provenance"]["bytes"] in ("measured", "modelled")
    assert best["provenance"]["accuracy"] == "measured"
    energies = [row["energy_j"] for row in front]
    assert energies == sorted(energies)


def test_latency_and_weights_move_the_choice(model: Path, samples: Path):
    by = {
        objective: searched(model, "--objective", objective, "--samples", samples)["best"]
        for objective in ("energy", "latency", "energy=1,latency=0.001")
    }
    assert by["latency"]["latency_s"] <= by["energy"]["latency_s"]
    assert by["energy"]["energy_j"] <= by["latency"]["energy_j"]
    weighted = {name: row["energy_j"] + 1e-3 * row["latency_s"] for name, row in by.items()}
    assert weighted["energy=1,latency=0.001"] == min(weighted.values())


def test_a_bound_on_accuracy_is_measured(model: Path, samples: Path):
    words = ("--objective", "energy", "--samples", samples, "--max-drop", "0")
    best = searched(model, *words)["best"]
    free = searched(model, "--objective", "energy", "--samples", samples)["best"]
    assert best["accuracy"] >= free["accuracy"] or best["energy_j"] == free["energy_j"]
    assert best["energy_j"] >= free["energy_j"]


def test_co2_is_that_of_a_country(model: Path, samples: Path):
    words = (model, "--objective", "energy", "--samples", samples)
    eu, no = (searched(*words, "--country", code)["best"] for code in ("eu", "no"))
    assert eu["energy_j"] == no["energy_j"]
    assert eu["co2_kg"] == pytest.approx(eu["energy_j"] / 3.6e6 * 0.275)
    assert no["co2_kg"] < eu["co2_kg"]


def test_fading_and_short_words_cost_energy(model: Path):
    def radio(*words: str) -> float:
        done = CliRunner().invoke(app, ["analyze", str(model), *words, "--json"])
        assert done.exit_code == 0, done.output
        found = json.loads(done.stdout)
        (first, *_) = found["cuts"]
        rate = found["radio"]["rate_bits_per_s"]
        assert first["radio_pj"] == pytest.approx(1e12 * 1e-3 * 8 * first["bytes"] / rate)
        return first["radio_pj"]

    steady = radio()
    assert (
        radio("--fading", "rayleigh") > radio("--fading", "rician", "--k-factor", "5") > steady
    )
    assert radio("--blocklength", "200", "--error-probability", "0.001") > steady


def test_dead_filters_are_removed_and_cuts_priced_again(model: Path, tmp_path: Path):
    dead = onnx.ModelProto.FromString(model.read_bytes())
    weights = [i for i in dead.graph.initializer if len(i.dims) == 4 and i.data_type == 3]
    first = numpy_helper.to_array(weights[0]).copy()
    first[1:] = 0  # one filter stays
    weights[0].CopyFrom(numpy_helper.from_array(first, weights[0].name))
    biases = [i for i in dead.graph.initializer if i.data_type == 6 and len(i.dims) == 1]
    bias = numpy_helper.to_array(biases[0]).copy()
    assert len(bias) == len(first)
    bias[1:] = -1000
    biases[0].CopyFrom(numpy_helper.from_array(bias, biases[0].name))
    path = tmp_path / "dead.onnx"
    path.write_bytes(dead.SerializeToString())

    def analyzed(*words: str) -> dict[str, Any]:
        done = CliRunner().invoke(app, ["analyze", str(path), *words, "--json"])
        assert done.exit_code == 0, done.output
        return json.loads(done.stdout)

    whole, pruned = analyzed(), analyzed("--prune")
    assert pruned["macs"] < whole["macs"] / 2
    assert pruned["weight_bytes"] < whole["weight_bytes"]
    assert len(pruned["cuts"]) == len(whole["cuts"])
    energies = [
        (small["total_pj"], large["total_pj"])
        for small, large in zip(pruned["cuts"], whole["cuts"], strict=True)
    ]
    assert all(small <= large for small, large in energies)
    assert any(small < large / 2 for small, large in energies)


def test_a_table_says_what_is_known_and_how(model: Path):
    text = said(model, "--objective", "energy", *FAST)
    assert "random inputs (give --samples for real ones)" in text
    assert "Pareto front of energy, latency and SQNR" in text
    assert "bytes assumed, energy assumed" in text


def profile_of(path: Path, names: list[str], device: str = "ssh://b") -> Path:
    rows = [
        {"name": name, "kind": "", "quantities": {"time_min": [5e6, "ns", "measured"]}}
        for name in names
    ]
    fields = {"device": device, "machine": "b", "notes": [], "layers": rows}
    path.write_text(json.dumps(fields))
    return path


def test_profiles_of_both_parts_give_the_times(model: Path, samples: Path, tmp_path: Path):
    names = [layer.name for layer in layers(pipeline(load(model)))]
    edge = profile_of(tmp_path / "edge.json", [*names[:3], "link: encode"])
    cloud = profile_of(tmp_path / "cloud.json", names[3:])
    words = (model, "--objective", "latency", "--samples", samples)
    both = ("--profile", edge, "--profile", cloud)
    place, other = searched(*words, *both)["places"]
    assert place["whole_s"] == pytest.approx(5e-3 * len(names))
    assert place["time_provenance"] == "measured"
    assert other["whole_s"] < 5e-3
    _, other = searched(*words, "--cloud-profile", edge, "--cloud-profile", cloud)["places"]
    assert other["whole_s"] == pytest.approx(5e-3 * len(names))
    text = said(*words, *FAST, "--profile", edge, expect=2)
    assert "must cover every layer of the network, and lacks" in text
    strange = profile_of(tmp_path / "strange.json", names[3:], "local")
    text = said(*words, *FAST, "--profile", edge, "--profile", strange, expect=2)
    assert "profiles must be of one device, not of local and ssh://b" in text


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["--objective", "speed"], "--objective must be energy, latency or weights like"),
        (["--objective", "energy=x"], "--objective must be energy, latency or weights like"),
        (["--objective", "energy", "--bits", "9-"], "--bits must be like 1-8 or 2,4,8, not"),
        (["--objective", "energy", "--bits", "0"], "--bits does not fit: "),
        (["--objective", "energy", "--quantizer", "vq"], "--quantizer does not fit: "),
        (["--objective", "energy", "--max-drop", "1"], "--max-drop must come with --samples"),
        (["--objective", "energy", "--country", "xx"], "xx"),
        (["--objective", "energy", "--edge", ","], "--edge must name something"),
        (["--objective", "energy", "--edge", "toaster"], "target must be one of"),
        (["--objective", "energy", "--max-energy-uj", "1e-9"], "bounds must leave a candidate"),
        (["--objective", "energy", "--gain", "0"], "the link must carry bits"),
        (["--fading", "snow"], "--fading must be one of none, rayleigh, rician, not 'snow'"),
        (["--fading", "rician"], "--k-factor must come with --fading rician and only then"),
        (["--k-factor", "3"], "--k-factor must come with --fading rician and only then"),
        (["--blocklength", "200"], "blocklength and error_probability must both be given"),
        (["--objective", "energy", "--samples", "no.npz"], "samples must be a .npz file"),
        (
            ["--objective", "energy", "--profile", "no.json"],
            "--profile must be what `joulecut profile --json` printed",
        ),
        (
            ["--objective", "energy", "--profile", "{profile}", "--edge", "pynq_z2,zcu104"],
            "--profile must go with one --edge, not with 2",
        ),
    ],
)
def test_what_does_not_fit_is_refused(model: Path, words: list[str], text: str, tmp_path: Path):
    profile = str(profile_of(tmp_path / "p.json", ["x"]))
    given = [word.format(profile=profile) for word in words]
    assert text in said(model, *FAST, *given, expect=2)
