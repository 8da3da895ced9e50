"""`joulecut quantize` as a user types it: files, JSON, exit codes and what errors say."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from float_models import FloatBuilder, network
from typer.testing import CliRunner, Result

from joulecut.cli.app import app
from joulecut.compiler.load import load
from joulecut.compiler.onnxrt import session
from joulecut.compiler.pipeline import pipeline


def joulecut(*words: str | Path, expect: int = 0) -> Result:
    """Run the command; its exit code must be as expected."""
    done = CliRunner(env={"COLUMNS": "300", "NO_COLOR": "1"}).invoke(app, list(map(str, words)))
    assert done.exit_code == expect, done.output
    return done


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A float model, samples for it, and labelled samples that it classifies perfectly."""
    build = network("residual")
    path = build.write(tmp_path / "float.onnx")
    np.savez(tmp_path / "calib.npz", allow_pickle=False, x=build.samples(24)["x"])
    held_out = build.samples(20, seed=9)["x"]
    engine = session(path, optimize=True)
    labels = [int(engine.run({"x": x[None]})[0].argmax()) for x in held_out]
    np.savez(tmp_path / "held_out.npz", allow_pickle=False, x=held_out, y=np.array(labels))
    return tmp_path


def quantize(folder: Path, *words: str | Path, expect: int = 0, model: str = "float") -> Result:
    return joulecut(
        *("quantize", folder / f"{model}.onnx", "--calib", folder / "calib.npz"),
        *("-o", folder / "int8.onnx", *words),
        expect=expect,
    )


def test_a_table_for_people_and_a_file_for_load(folder: Path):
    done = quantize(folder, "--check", folder / "held_out.npz")
    assert "float.onnx: measured on 8 of the samples" in done.stdout
    assert "Conv+Add" in done.stdout
    for text in (
        "calibrated on 24 of 24 samples (mse, biases corrected)",
        "check on 20 samples: output 'gemm17': SQNR ",
        "accuracy: float 100.00%, integer ",
        "wrote ",
    ):
        assert text in done.stderr
    pipeline(load(folder / "int8.onnx"), require_integer=True)
    joulecut("analyze", folder / "int8.onnx")


def test_no_progress_in_a_pipe(folder: Path):
    done = quantize(folder)
    assert "calibrating" not in done.stderr
    assert "\x1b" not in done.stderr


def test_json_is_the_report(folder: Path):
    report = folder / "report.json"
    done = quantize(
        folder, "--json", "--report", report, "--samples", "10", "--method", "minmax"
    )
    document = json.loads(done.stdout)
    assert document == json.loads(report.read_text())
    assert document["samples"] == 10
    assert document["samples_given"] == 24
    assert document["method"] == "minmax"
    assert document["provenance"] == "measured"
    assert document["check"] is None
    assert {row["dtype"] for row in document["layers"]} == {"uint8"}
    assert set(document["layers"][0]) == {
        *("name", "kind", "source", "dtype", "scale", "zero_point", "low", "high"),
        *("seen_low", "seen_high", "sqnr_db"),
    }


def test_options_reach_the_quantizer(folder: Path):
    done = quantize(
        folder,
        *("--method", "percentile", "--percentile", "99", "--activations", "int8"),
        *("--no-bias-correction", "--json"),
    )
    document = json.loads(done.stdout)
    assert document["percentile"] == 99
    assert document["activations"] == "int8"
    assert document["bias_correction"] is False
    assert {row["dtype"] for row in document["layers"]} == {"int8"}


def test_open_dimensions_are_named(folder: Path):
    build = FloatBuilder()
    x = build.conv(build.input("x", ("N", 3, "h", 12), (1, 3, 12, 12)), 4)
    build.output(build.dense(build.average(x), 3))
    build.write(folder / "open.onnx")
    done = quantize(folder, model="open")
    assert "> dimension 2 of input 'x' was 'h' and is 12 (as in the samples)" in done.stderr
    done = quantize(folder, "--shape", "x=1,3,12,12", model="open")
    assert "was 'h' and is 12 (as given)" in done.stderr


def test_nodes_that_stay_in_float(folder: Path):
    build = FloatBuilder()
    x = build.conv(build.input("x", (1, 3, 12, 12)), 4)
    one = build.constant("one", np.array([20], np.float32))
    divisor = build.node("Add", [build.relu(x), one], (1, 4, 12, 12))
    build.output(build.conv(build.node("Div", [x, divisor], (1, 4, 12, 12)), 2))
    build.write(folder / "div.onnx")
    assert "stays in float: Div 'div" in quantize(folder, model="div").stderr
    refused = quantize(folder, "--require-integer", model="div", expect=3)
    assert "all nodes must be integer, and 1 stayed in float" in refused.stderr


@pytest.mark.parametrize(
    ("words", "expect", "text"),
    [
        (["--method", "best"], 2, "method must be one of ['minmax', 'percentile', 'mse'], not"),
        (["--shape", "x"], 2, "--shape must be like input=1,3,224,224, not 'x'"),
        (["--shape", "x=1,a"], 2, "--shape must be like input=1,3,224,224, not 'x=1,a'"),
        (["--shape", "z=1,2"], 2, "a given shape must be for one of the inputs ['x'], not 'z'"),
        (["--samples", "0"], 2, "samples must be at least 1, not 0"),
        (
            ["--check", "none.npz"],
            2,
            "samples must be a .npz or .npy file, and 'none.npz' is n",
        ),
        (["--report", "none/report.json"], 2, "folder 'none' must exist; make it, then run"),
        (["-o", "none/int8.onnx"], 2, "folder 'none' must exist; make it, then run again"),
    ],
)
def test_what_cannot_be(folder: Path, words: list[str], expect: int, text: str):
    assert text in quantize(folder, *words, expect=expect).stderr
    assert not (folder / "int8.onnx").exists()


def test_the_model_is_not_written_over(folder: Path):
    done = quantize(folder, "-o", folder / "float.onnx", expect=2)
    assert "output must be another file than the input" in done.stderr
    done = quantize(folder, "--report", folder / "calib.npz", expect=2)
    assert "output must be another file than the input" in done.stderr


def test_a_quantized_model_is_not_quantized_again(folder: Path):
    quantize(folder)
    (folder / "int8.onnx").rename(folder / "done.onnx")
    done = quantize(folder, model="done", expect=2)
    assert "model must be float, and its QuantizeLinear 'x_q' says" in done.stderr


def test_load_points_here(folder: Path):
    done = joulecut("analyze", folder / "float.onnx", expect=3)
    assert "run `joulecut quantize`, or train it with Brevitas" in done.stderr
