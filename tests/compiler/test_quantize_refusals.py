"""Models and samples that cannot be quantized, and sizes that are open: every text."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from float_models import FloatBuilder, network, open_shapes
from onnx import TensorProto

from joulecut.compiler.errors import (
    ConfigError,
    JoulecutError,
    UnsupportedError,
    UntrustedInputError,
)
from joulecut.compiler.post_training.arrays import held_arrays
from joulecut.compiler.post_training.samples import Progress
from joulecut.compiler.post_training.stage import Options, Quantized, quantized


def quantize(tmp_path: Path, build: FloatBuilder, **options: Any) -> Quantized:
    """The network of a builder, calibrated on its own samples."""
    path = build.write(tmp_path / "float.onnx")
    return quantized(path, held_arrays(build.samples(16)), Options(**options))


# ---- shapes, operator sets --------------------------------------------------------------


def test_open_dimensions_are_those_of_the_samples(tmp_path: Path):
    found = quantize(tmp_path, open_shapes())
    assert found.report.notes == (
        "dimension 0 of input 'x' was 'N' and is 1 (the batch)",
        "dimension 2 of input 'x' was 'height' and is 8 (as in the samples)",
        "dimension 3 of input 'x' was '?' and is 12 (as in the samples)",
    )
    assert found.report.outputs[0].name == "gemm3"


def test_dimensions_may_be_given(tmp_path: Path):
    build = open_shapes()
    found = quantize(tmp_path, build, shapes={"x": (1, 3, 8, 12)})
    assert "is 8 (as given)" in found.report.notes[1]
    path = tmp_path / "float.onnx"
    wrong = Options(shapes={"x": (1, 3, 16, 12)})
    with pytest.raises(ConfigError, match=r"must have shape \[N, 3, 16, 12\], not \[4, 3, 8"):
        quantized(path, held_arrays(build.samples(4)), wrong)


def test_a_fixed_batch_can_be_made_one(tmp_path: Path):
    build = FloatBuilder()
    x = build.conv(build.input("x", (4, 3, 8, 8), (1, 3, 8, 8)), 4)
    build.output(build.dense(build.average(x), 3))
    with pytest.raises(
        ConfigError, match=r"must begin with a batch of 1, not have shape \[4, 3"
    ):
        quantize(tmp_path, build)
    found = quantize(tmp_path, build, shapes={"x": (1, 3, 8, 8)})
    assert found.report.notes == ("dimension 0 of input 'x' was 4 and is 1 (the batch)",)


@pytest.mark.parametrize("opset", [11, 12, 13, 18, 21, 24])
def test_operator_sets(tmp_path: Path, opset: int):
    build = network("perceptron", opset=opset)
    found = quantize(tmp_path, build)
    assert found.report.outputs[0].sqnr_db is not None
    assert found.report.outputs[0].sqnr_db > 20


# ---- refusals ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (
            {"method": "magic"},
            r"method must be one of \['minmax', 'percentile', 'mse'\], not 'ma",
        ),
        ({"percentile": 50}, "percentile must be above 50 and at most 100, not 50"),
        ({"samples": 0}, "samples must be at least 1, not 0"),
        ({"compared": 0}, "compared must be at least 1, not 0"),
        ({"activations": "int4"}, "activations must be int8 or uint8, not 'int4'"),
    ],
)
def test_options(options: dict[str, Any], text: str):
    with pytest.raises(ConfigError, match=text):
        Options(**options)


def images(count: int = 4, *shape: int) -> np.ndarray:
    return np.zeros((count, *(shape or (3, 12, 12))), np.float32)


def broken(value: float) -> np.ndarray:
    found = images()
    found[2, 1, 3, 4] = value
    return found


@pytest.mark.parametrize(
    ("data", "text"),
    [
        ({"image": images()}, r"one array for each of the inputs \['x'\], not \['image'\]"),
        (
            {"x": images(), "z": images()},
            r"inputs \['x'\], not \['x', 'z'\]; save it with numpy",
        ),
        (
            images(4, 12, 12, 3),
            r"'x' of calibration must have shape \[N, 3, 12, 12\], not \[4, 12",
        ),
        (images(4, 3, 12), r"must have shape \[N, 3, 12, 12\], not \[4, 3, 12\]"),
        (
            images().astype(np.float64),
            "'x' of calibration must be float32, not float64; prepare",
        ),
        (images().astype(np.uint8), "'x' of calibration must be float32, not uint8"),
        (images(0, 3, 12, 12), "calibration must have at least 1 sample, not none"),
        (broken(np.nan), r"'x' of calibration must be finite, not nan at \[2, 1, 3, 4\]"),
        (broken(-np.inf), r"'x' of calibration must be finite, not -inf at \[2, 1, 3, 4\]"),
        ({"x": images(), "y": np.zeros(3, int)}, "one number of samples, not {'x': 4, 'y': 3}"),
        (
            {"x": images(), "y": np.zeros(4)},
            r"labels 'y' .* must be whole numbers \[N\], not flo",
        ),
    ],
)
def test_samples_that_do_not_fit(tmp_path: Path, data: Any, text: str):
    path = network("residual").write(tmp_path / "float.onnx")
    with pytest.raises(ConfigError, match=text):
        quantized(path, held_arrays(data))


def test_nothing_runs_before_all_samples_were_read(tmp_path: Path):
    """The NaN is in the last sample of the check, and no calibration has begun."""
    build = network("residual")
    path = build.write(tmp_path / "float.onnx")
    begun: list[str] = []

    @contextmanager
    def walk(label: str) -> Generator[Progress]:
        begun.append(label)
        yield lambda _done, _total: None

    check = images(9)
    check[8] = np.nan
    with pytest.raises(
        ConfigError, match=r"'x' of check must be finite, not nan at \[8, 0, 0, 0"
    ):
        quantized(path, held_arrays(images()), check=held_arrays(check), walk=walk)
    assert begun == ["reading calibration", "reading check"]


def test_a_check_has_the_sizes_of_the_calibration(tmp_path: Path):
    build = open_shapes()
    path = build.write(tmp_path / "float.onnx")
    other = held_arrays(np.zeros((4, 3, 8, 16), np.float32))
    with pytest.raises(ConfigError, match=r"'x' of check must have shape .* as in calibration"):
        quantized(path, held_arrays(build.samples(4)), check=other)


@pytest.mark.parametrize(
    ("labels", "text"),
    [
        (np.array([0, 10, 3, 4]), "labels must be in 0..9, not 0..10"),
        (np.array([0, -1, 3, 4]), "labels must be in 0..9, not -1..4"),
    ],
)
def test_labels_are_classes(tmp_path: Path, labels: np.ndarray, text: str):
    path = network("residual").write(tmp_path / "float.onnx")
    check = held_arrays({"x": images(), "y": labels})
    with pytest.raises(ConfigError, match=text):
        quantized(path, held_arrays(images()), check=check)


def test_labels_need_classes(tmp_path: Path):
    build = network("two ends")
    path = build.write(tmp_path / "float.onnx")
    check = held_arrays({**build.samples(2), "y": np.zeros(2, int)})
    with pytest.raises(
        ConfigError, match=r"a first output of shape \[1, classes\], not \[1, 4, 8"
    ):
        quantized(path, held_arrays(build.samples(2)), check=check)


def _softmax(build: FloatBuilder) -> None:
    logits = build.dense(build.input("x", (1, 8)), 4)
    build.output(build.node("Sigmoid", [build.node("Softmax", [logits], (1, 4))], (1, 4)))


def _left_weights(build: FloatBuilder) -> None:
    weight = build.constant("w", np.ones((5, 5), np.float32))
    build.output(build.node("MatMul", [weight, build.input("x", (1, 5, 8))], (1, 5, 8)))


def _overflowing(build: FloatBuilder) -> None:
    huge = build.constant("huge", np.full((8, 4), 1e38, np.float32))
    build.output(build.node("MatMul", [build.input("x", (1, 8)), huge], (1, 4)))


def _not_a_number(build: FloatBuilder) -> None:
    weight = build.constant("w", np.full((8, 4), np.nan, np.float32))
    build.output(build.node("MatMul", [build.input("x", (1, 8)), weight], (1, 4)))


def _quantized_already(build: FloatBuilder) -> None:
    scale = build.constant("s", np.array(0.1, np.float32))
    zero = build.constant("z", np.array(0, np.uint8))
    build.output(build.node("QuantizeLinear", [build.input("x", (1, 8)), scale, zero], (1, 8)))


def _contradicting(build: FloatBuilder) -> None:
    weight = build.constant("w", np.ones((9, 4), np.float32))
    build.output(build.node("MatMul", [build.input("x", (1, 8)), weight], (1, 4)))


@pytest.mark.parametrize(
    ("make", "kind", "text"),
    [
        (_softmax, UnsupportedError, r"2 are not:\n  Softmax .*\n  Sigmoid"),
        (_left_weights, UnsupportedError, "its weights must be the second operand"),
        (_overflowing, ConfigError, "'matmul0' must be finite, and is not for sample 0"),
        (_not_a_number, UntrustedInputError, "tensor 'w' must hold numbers, and 32 of its 32"),
        (
            _quantized_already,
            ConfigError,
            "must be float, and its QuantizeLinear 'quantizelinear0",
        ),
        (_contradicting, JoulecutError, "onnxruntime, which refuses it|shapes must agree"),
    ],
)
def test_models_that_cannot_be_quantized(
    tmp_path: Path, make: Any, kind: type[JoulecutError], text: str
):
    build = FloatBuilder()
    make(build)
    path = build.write(tmp_path / "float.onnx")
    samples = {name: np.abs(x) + np.float32(1) for name, x in build.samples(2).items()}
    with pytest.raises(kind, match=text):
        quantized(path, held_arrays(samples))


def test_the_model_is_float32(tmp_path: Path):
    build = network("perceptron")
    model = build.model()
    model.graph.input[0].type.tensor_type.elem_type = TensorProto.FLOAT16
    (tmp_path / "half.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(ConfigError, match="input 'x' must be float32, not float16; export"):
        quantized(tmp_path / "half.onnx", held_arrays(build.samples(2)))


def test_the_model_is_there(tmp_path: Path):
    with pytest.raises(ConfigError, match=r"model must be a file, and .*none\.onnx' is none"):
        quantized(tmp_path / "none.onnx", held_arrays(images()))


@pytest.mark.parametrize(
    ("shapes", "text"),
    [
        ({"z": (1, 20)}, r"a given shape must be for one of the inputs \['x'\], not 'z'"),
        ({"x": (1, 20, 1)}, r"given shape of 'x' must be 2 positive numbers, not \[1, 20, 1\]"),
        ({"x": (1, 0)}, r"given shape of 'x' must be 2 positive numbers, not \[1, 0\]"),
        ({"x": (2, 20)}, r"must begin with a batch of 1, not have shape \[2, 20\]"),
    ],
)
def test_shapes_that_do_not_fit(tmp_path: Path, shapes: Any, text: str):
    build = network("perceptron")
    path = build.write(tmp_path / "float.onnx")
    with pytest.raises(ConfigError, match=text):
        quantized(path, held_arrays(build.samples(2)), Options(shapes=shapes))


def test_what_onnx_cannot_convert_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def refuse(*_: object) -> None:
        raise RuntimeError("no adapter")

    monkeypatch.setattr(onnx.version_converter, "convert_version", refuse)
    build = network("perceptron", opset=11)
    with pytest.raises(
        UnsupportedError, match=r"must be 13 or later.*no adapter.*opset_version="
    ):
        quantize(tmp_path, build)
