"""The verbs as a user types them: output, JSON, exit codes and what errors say."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper
from qdq_models import network, write
from typer.testing import CliRunner

from joulecut.cli.app import app
from joulecut.compiler.bundle import read_bundle
from joulecut.compiler.graph import input_specs
from joulecut.compiler.load import load
from joulecut.targets.devices.device import GRAMMAR


def joulecut(*words: str | Path, expect: int = 0) -> subprocess.CompletedProcess[str]:
    """Run the command; its exit code must be as expected."""
    done = subprocess.run(
        [sys.executable, "-P", "-c", "from joulecut.cli import main; main()", *map(str, words)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "COLUMNS": "300", "NO_COLOR": "1"},
    )
    assert done.returncode == expect, done.stdout + done.stderr
    return done


def document(*words: str | Path, expect: int = 0) -> dict[str, Any]:
    return json.loads(joulecut(*words, "--json", expect=expect).stdout)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(network("convnet", dialect="QCDQ"), tmp_path_factory.mktemp("cli"))


@pytest.fixture(scope="module")
def bundle(model: Path) -> Path:
    """Both parts for this machine's architecture, so that no emulator is needed."""
    path = model.with_suffix(".bundle")
    joulecut("build", model, "--edge", "x86_64", "--out", path)
    return path


@pytest.fixture(scope="module")
def samples(model: Path) -> Path:
    (spec,) = input_specs(load(model))
    rng = np.random.default_rng(0)
    path = model.with_name("x.npy")
    np.save(path, rng.standard_normal((6, *spec.shape[1:])).astype(np.float32))
    return path


class TestAnalyze:
    def test_lists_dialect_layers_cuts_and_prices(self, model: Path):
        found = document("analyze", model)
        assert found["dialect"] == "QCDQ"
        assert found["cuts_complete"] is True
        assert sum(layer["macs"] for layer in found["layers"]) == found["macs"] > 0
        for cut in found["cuts"]:
            parts = cut["compute_pj"] + cut["memory_pj"] + cut["radio_pj"]
            assert cut["total_pj"] == pytest.approx(parts)
            assert cut["provenance"] == "modelled"
            assert cut["edge_macs"] + cut["cloud_macs"] == found["macs"]

    def test_the_pareto_front_is_what_nothing_beats(self, model: Path):
        cuts = document("analyze", model)["cuts"]
        for cut in cuts:
            beaten = any(
                other["edge_macs"] <= cut["edge_macs"]
                and other["bytes"] <= cut["bytes"]
                and (other["edge_macs"], other["bytes"]) != (cut["edge_macs"], cut["bytes"])
                for other in cuts
            )
            assert not (cut["pareto"] and beaten)

    def test_a_table_for_people(self, model: Path):
        shown = joulecut("analyze", model)
        assert "legal cuts" in shown.stdout
        assert "QCDQ" in shown.stderr

    def test_a_worse_channel_costs_more_radio_energy_only(self, model: Path):
        good = document("analyze", model)["cuts"][0]
        bad = document("analyze", model, "--gain", "0.01")["cuts"][0]
        assert bad["radio_pj"] > good["radio_pj"]
        assert bad["compute_pj"] == good["compute_pj"]

    def test_the_link_is_a_name_whose_values_options_change(self, model: Path):
        default = document("analyze", model)
        assert default["radio"]["link"] == "paper-5mhz"
        assert default["radio"]["bandwidth_hz"] == 5e6
        assert default["radio"]["noise_density_w_per_hz"] == 1e-9
        wide = document("analyze", model, "--link", "paper-15mhz")
        typed = document("analyze", model, "--bandwidth-hz", "15e6")
        assert wide["cuts"] == typed["cuts"] != default["cuts"]
        faded = document("analyze", model, "--link", "wifi", "--gain", "0.5")["radio"]
        full = document("analyze", model, "--link", "wifi")["radio"]
        assert faded["gain"] == full["gain"] / 2
        assert faded["bandwidth_hz"] == full["bandwidth_hz"] == 20e6

    def test_people_are_told_the_link(self, model: Path):
        said = joulecut("analyze", model, "--link", "lte").stderr
        assert "link lte: 9 MHz, 199.526 mW" in said
        assert "at most (modelled)" in said

    def test_unsupported_nodes_are_all_listed_with_code_3(self, tmp_path: Path):
        x = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 4])
        y = helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 4])
        nodes = [
            helper.make_node("Softmax", ["x"], ["a"], name="first"),
            helper.make_node("Erf", ["a"], ["y"], name="second"),
        ]
        graph = helper.make_graph(nodes, "bad", [x], [y])
        path = tmp_path / "bad.onnx"
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
        path.write_bytes(model.SerializeToString())
        said = joulecut("analyze", path, expect=3).stderr
        assert "Softmax 'first'" in said
        assert "Erf 'second'" in said

    def test_a_damaged_file_is_code_5(self, tmp_path: Path):
        path = tmp_path / "broken.onnx"
        path.write_bytes(b"not a model at all")
        assert "must be an ONNX file" in joulecut("analyze", path, expect=5).stderr

    def test_a_missing_file_is_code_2(self, tmp_path: Path):
        said = joulecut("analyze", tmp_path / "none.onnx", expect=2).stderr
        assert "model must be a file" in said

    def test_a_wrong_price_or_radio_is_code_2(self, model: Path):
        assert "7nm" in joulecut("analyze", model, "--energy", "7nm", expect=2).stderr
        said = joulecut("analyze", model, "--bandwidth-hz", "0", expect=2).stderr
        assert "bandwidth_hz must be finite and positive, not 0" in said
        said = joulecut("analyze", model, "--link", "wlan", expect=2).stderr
        assert "link must be one of paper-15khz, paper-5mhz" in said
        assert "not 'wlan'" in said


class TestBuild:
    def test_twice_gives_identical_bytes(self, model: Path, bundle: Path, tmp_path: Path):
        again = tmp_path / "again.bundle"
        joulecut("build", model, "--edge", "x86_64", "--out", again)
        first = {p.relative_to(bundle): p for p in sorted(bundle.rglob("*")) if p.is_file()}
        second = {p.relative_to(again): p for p in sorted(again.rglob("*")) if p.is_file()}
        assert first.keys() == second.keys()
        for name, path in first.items():
            assert path.read_bytes() == second[name].read_bytes(), name

    def test_a_configuration_and_its_overrides(self, model: Path, tmp_path: Path):
        config = tmp_path / "split.yaml"
        config.write_text(f"model: {model}\nedge: x86_64\nout: a.zip\n")
        cut = document("analyze", model)["cuts"][1]["tensors"]
        built = document(
            "build", config, "--set", f"cut={json.dumps(cut)}", "--set", "codec.bits=4"
        )
        assert built["cut"]["tensors"] == cut
        assert (tmp_path / "a.zip").is_file()

    def test_an_illegal_cut_is_code_2(self, model: Path, tmp_path: Path):
        said = joulecut(
            "build", model, "--cut", "nowhere", "--out", tmp_path / "b", expect=2
        ).stderr
        assert "cut tensor must be a value of the graph, not 'nowhere'" in said
        assert not (tmp_path / "b").exists()

    def test_options_of_a_model_do_not_go_with_a_configuration(self, tmp_path: Path):
        config = tmp_path / "split.yaml"
        config.write_text("model: a.onnx\nout: b\n")
        said = joulecut("build", config, "--edge", "armv7", expect=2).stderr
        assert "--edge must go with a model (.onnx)" in said

    def test_an_unknown_target_is_code_2(self, model: Path, tmp_path: Path):
        said = joulecut(
            "build", model, "--edge", "aarch65", "--out", tmp_path / "b", expect=2
        ).stderr
        assert "the closest is aarch64" in said


class TestVerify:
    def test_all_engines_on_an_intact_bundle(self, bundle: Path):
        found = document("verify", bundle, "--against", "reference,tvm,onnxrt")
        assert found["ok"] is True
        assert {"reference", "tvm", "onnxrt"} <= {each["engine"] for each in found["results"]}

    def test_a_device_brings_its_options_along(self, bundle: Path):
        given = ("--against", "local,threads=1,reference", "--against", "tvm")
        found = document("verify", bundle, *given)
        asked = dict.fromkeys(each["engine"] for each in found["results"])
        assert list(asked) == ["local,threads=1", "golden", "reference", "tvm"]
        said = joulecut("verify", bundle, "--against", "reference,local,speed=9", expect=2)
        assert "engine must be reference, tvm, rtl, onnxrt, or a device address" in said.stderr
        assert "not 'local,speed=9'" in said.stderr

    def test_a_changed_byte_is_code_5(self, bundle: Path, tmp_path: Path):
        copy = tmp_path / "copy.bundle"
        subprocess.run(["cp", "-r", bundle, copy], check=True)
        library = copy / "edge" / "libmodel.so"
        data = bytearray(library.read_bytes())
        data[len(data) // 2] ^= 1
        library.write_bytes(data)
        assert "libmodel.so" in joulecut("verify", copy, expect=5).stderr

    def test_an_accuracy_below_its_baseline_is_code_1(
        self, bundle: Path, samples: Path, tmp_path: Path
    ):
        outputs = tmp_path / "y.npz"
        joulecut("run", bundle, "--input", samples, "--out", outputs)
        (logits,) = np.load(outputs).values()
        classes = logits.reshape(len(logits), -1).argmax(axis=1)
        right, wrong = tmp_path / "right.npy", tmp_path / "wrong.npy"
        np.save(right, classes)
        np.save(wrong, classes + 1)
        stored = tmp_path / "baseline.json"
        given = ("verify", bundle, "--against", "reference", "--input", samples, "--labels")
        found = document(*given, right, "--store-baseline", stored)
        assert found["accuracy"] == {"value": 1.0, "provenance": "measured"}
        joulecut(*given, right, "--baseline", stored)
        said = joulecut(*given, wrong, "--baseline", stored, expect=1).stderr
        assert "top1 must be at least 0.998" in said

    def test_a_baseline_needs_labels(self, bundle: Path, tmp_path: Path):
        said = joulecut("verify", bundle, "--baseline", tmp_path / "b.json", expect=2).stderr
        assert "--baseline and --store-baseline need --labels and --input" in said


class TestRunAndProfile:
    def test_run_counts_what_crosses(self, bundle: Path, samples: Path):
        found = document("run", bundle, "--input", samples)
        assert found["samples"] == 6
        assert found["entropy_bytes"]["value"] <= found["coded_bytes"]["value"]

    def test_run_without_samples_takes_the_vectors(self, bundle: Path):
        assert document("run", bundle)["samples"] == 2

    def test_the_number_of_inputs_must_fit(self, bundle: Path, samples: Path):
        said = joulecut("run", bundle, "--input", samples, "--input", samples, expect=2).stderr
        assert "--input must be given once for each of the inputs" in said

    def test_a_file_that_is_no_array_is_code_2(self, bundle: Path, model: Path):
        said = joulecut("run", bundle, "--input", model, expect=2).stderr
        assert "samples must be a .npy array" in said

    def test_profile_says_where_each_number_comes_from(self, bundle: Path, tmp_path: Path):
        trace = tmp_path / "t.json"
        found = document("profile", bundle, "--part", "cloud", "--trace", trace)
        assert found["part"] == "cloud"
        for layer in found["layers"]:
            origins = {name: q[2] for name, q in layer["quantities"].items()}
            assert origins["time_min"] == "measured"
            assert origins["energy"] == "modelled"
        assert json.loads(trace.read_text())["traceEvents"]

    def test_a_part_must_be_edge_or_cloud(self, bundle: Path):
        said = joulecut("profile", bundle, "--part", "fog", expect=2).stderr
        assert "--part must be edge or cloud, not 'fog'" in said

    @pytest.mark.parametrize("verb", ["verify", "run", "profile"])
    def test_the_help_names_every_kind_of_device(self, verb: str):
        said = " ".join(joulecut(verb, "--help").stdout.replace("│", " ").split())
        kinds = re.findall(r"`([a-z]+(?::(?://)?)?)", GRAMMAR)
        assert len(kinds) >= 4
        assert [kind for kind in kinds if kind not in said] == []

    def test_an_unknown_device_is_code_2(self, bundle: Path):
        said = joulecut("run", bundle, "--edge-device", "toaster", expect=2).stderr
        assert "device must be" in said
        assert "not 'toaster'" in said


def test_doctor_names_what_is_here_and_how_to_get_the_rest():
    checks = {check["name"]: check for check in document("doctor")["checks"]}
    assert checks["numpy"]["found"] == np.__version__
    for check in checks.values():
        assert bool(check["found"]) != bool(check["fix"]), check


def test_version_and_help():
    assert joulecut("--version").stdout.startswith("joulecut 0.")
    for verb in ("analyze", "build", "verify", "profile", "run", "train", "doctor"):
        assert verb in joulecut("--help").stdout
        assert "--json" in joulecut(verb, "--help").stdout


def test_train_must_know_its_data_set(tmp_path: Path):
    said = joulecut("train", "--out", tmp_path / "m.onnx", "--dataset", "cats", expect=2).stderr
    assert "dataset must be one of" in said


def test_a_target_with_an_accelerator(model: Path, tmp_path: Path) -> None:
    """Built, verified and profiled on the functional model, which needs no other tool."""
    path = tmp_path / "mixed.bundle"
    words = ("build", model, "--edge", "x86_64+z7020", "--out", path)
    said = joulecut(*words).stderr
    assert "layers on the accelerator" in said
    assert "stays with the processor: no operation of the accelerator" in said
    rows = document("verify", path, "--against", "reference,fpga-sim,engine=model")["results"]
    assert {row["divergence"] for row in rows} == {None}
    found = document("profile", path, "--device", "fpga-sim,engine=model")
    kinds = {layer["kind"] for layer in found["layers"]}
    assert {"accelerator", "to the accelerator", "from the accelerator"} <= kinds
    said = joulecut(*words, "--assign", "time", expect=2).stderr
    assert "must have a clock in its facts to assign layers by time" in said
    said = joulecut(*words, "--assign", "best", expect=2).stderr
    assert "assign: Input should be 'all', 'time' or 'energy'" in said


def refused(*words: str | Path) -> str:
    """What a call with arguments that do not fit says, in this process."""
    done = CliRunner().invoke(app, [*map(str, words)], env={"COLUMNS": "300"})
    assert done.exit_code == 2, done.output
    return done.stderr


@pytest.fixture(scope="module")
def adaptive(model: Path) -> Path:
    path = model.with_name("adaptive.bundle")
    found = document(
        "build", model, "--adaptive", "--link", "wifi", "--edge", "x86_64", "--out", path
    )
    assert len(found["cuts"]) >= 2
    assert found["parts"] == {"edge": "generic_x86_64", "cloud": "generic_x86_64"}
    return path


class TestAdaptive:
    def test_the_rate_decides(self, adaptive: Path, samples: Path):
        slow, fast = (
            document("run", adaptive, "--input", samples, "--rate", rate)
            for rate in ("1", "1e15")
        )
        assert len(set(slow["chosen"])) == len(set(fast["chosen"])) == 1
        assert slow["chosen"] != fast["chosen"]
        (row,) = slow["cuts"]
        assert row["samples"] == slow["samples"] == 6
        assert row["bytes"]["provenance"] == "measured"

    def test_a_trajectory_has_a_rate_for_each_sample(self, adaptive: Path, samples: Path):
        path = samples.with_name("rates.txt")
        path.write_text("1\n1e15\n0\n1\n1e15\n1\n")
        words = ("run", adaptive, "--input", samples, "--trajectory", path)
        chosen = document(*words)["chosen"]
        assert chosen[0] == chosen[2] == chosen[3] != chosen[1]
        out = samples.with_name("out.npz")
        shown = joulecut(*words, "--out", out).stdout
        with np.load(out) as outputs:
            assert {len(outputs[name]) for name in outputs.files} == {6}
        assert "bytes a sample (measured)" in shown
        path.write_text("1\n2\n")
        said = refused(*words)
        assert "trajectory must have a rate for each of 6 samples, not 2" in said

    def test_every_cut_is_verified(self, adaptive: Path):
        found = document("verify", adaptive)["results"]
        assert {row["engine"] for row in found} == {"reference", "tvm"}
        assert {row["divergence"] for row in found} == {None}

    def test_a_configuration_can_say_it(self, model: Path, adaptive: Path):
        config = model.with_name("adaptive.yaml")
        config.write_text(
            f"model: {model.name}\nedge: x86_64\nout: again.bundle\nselection:\n  link: wifi\n"
        )
        said = document("build", config)
        assert said["digest"] == read_bundle(adaptive).digest
        said = refused("build", config, "--set", "cut=[x]")
        assert "selection must come without cut and assign" in said
        said = refused("build", config, "--set", "selection.edge_macs_per_s=1")
        assert "edge_macs_per_s and cloud_macs_per_s must be given together" in said

    def test_options_that_do_not_fit(self, model: Path, bundle: Path, adaptive: Path):
        for words, said in (
            (("run", adaptive), "--rate or --trajectory must say what the channel"),
            (("run", adaptive, "--rate", "-1"), "rate must be 0 or more bit/s, not -1"),
            (("run", bundle, "--rate", "1"), "must go with an adaptive bundle"),
            (("build", model, "--link", "wifi"), "--link must go with --adaptive"),
            (
                ("build", model, "--adaptive", "--objective", "x"),
                "--objective must be energy or latency, not 'x'",
            ),
            (
                ("build", model, "--adaptive", "--objective", "latency"),
                "must be known to weigh or bound its latency",
            ),
        ):
            assert said in refused(*words)
