"""Prints what quantizing after training costs, by method and number of samples (docs/quantize.md).

Every number is measured on samples that calibration did not see: SQNR of the logits, how often
the largest logit stays the largest, and top-1 accuracy of the float and of the integer network.
Beside ours stands onnxruntime's quantize_static, lowered and run by the same reference.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain, product
from pathlib import Path
from typing import TYPE_CHECKING

from float_networks import FloatNetwork, photographed, trained

from joulecut.cli.doctor import machine_line
from joulecut.compiler.errors import ConfigError
from joulecut.compiler.load import load
from joulecut.compiler.pipeline import pipeline
from joulecut.compiler.post_training.arrays import held_arrays
from joulecut.compiler.post_training.compare import checked
from joulecut.compiler.post_training.float_model import fixed, read_float
from joulecut.compiler.post_training.ranges import METHODS
from joulecut.compiler.post_training.samples import matched
from joulecut.compiler.post_training.stage import Options, quantized
from joulecut.compiler.ptq import quantize_static_qdq

if TYPE_CHECKING:
    from joulecut.compiler.post_training.report import Check

COUNTS = (1, 8, 32, 128, 512)
HEADER = (
    "network",
    "ranges",
    "biases",
    "samples",
    "SQNR dB",
    "argmax agrees",
    "top-1 float / int8",
)


@dataclass(frozen=True)
class Row:
    """One way to quantize one network."""

    network: str
    ranges: str
    biases: str
    samples: int
    check: Check

    @property
    def cells(self) -> tuple[str, ...]:
        """For a table."""
        output = self.check.outputs[0]
        assert output.sqnr_db is not None
        assert output.agreement is not None
        return (
            self.network,
            self.ranges,
            self.biases,
            str(self.samples),
            f"{output.sqnr_db:.1f}",
            f"{output.agreement:.1%}",
            f"{self.check.float_accuracy:.1%} / {self.check.integer_accuracy:.1%}",
        )


def by_method(network: FloatNetwork) -> Iterator[Row]:
    """Onnxruntime's way, then every method, without and with corrected biases."""
    yield _theirs(network)
    for method, correct in product(METHODS, (False, True)):
        yield _ours(network, Options(method=method, bias_correction=correct))


def by_count(network: FloatNetwork) -> Iterator[Row]:
    """The defaults, calibrated on more and more samples."""
    for count in COUNTS:
        if count <= len(network.calibration):
            yield _ours(network, Options(samples=count))


def show(rows: Iterable[Row]) -> None:
    """A table in Markdown, line by line as they are measured."""
    for cells in chain([HEADER, ("---",) * len(HEADER)], (row.cells for row in rows)):
        print(f"| {' | '.join(cells)} |", flush=True)


def _ours(network: FloatNetwork, options: Options) -> Row:
    held_out = held_arrays({"x": network.held_out, "y": network.labels})
    found = quantized(
        network.path, held_arrays({"x": network.calibration}), options, check=held_out
    )
    report = found.report
    assert report.check is not None
    biases = "corrected" if options.bias_correction else "as they are"
    ranges = options.method
    if options.method == "percentile":
        ranges = f"percentile {options.percentile}"
    return Row(network.name, ranges, biases, report.samples, report.check)


def _theirs(network: FloatNetwork) -> Row:
    options = Options()
    model = read_float(network.path, {})
    samples = matched(
        held_arrays({"x": network.calibration}), model.inputs, options.samples, "calibration"
    )
    held_out = held_arrays({"x": network.held_out, "y": network.labels})
    graph, _ = fixed(model, {"x": (1, *network.held_out.shape[1:])})
    with tempfile.TemporaryDirectory() as folder:
        path = quantize_static_qdq(network.path, Path(folder) / "q.onnx", samples.feeds())
        integer = pipeline(load(path))
    judge = matched(held_out, model.inputs, None, "check")
    check = checked(graph, integer, judge, lambda _done, _total: None)
    return Row(network.name, "onnxruntime's minmax", "as they are", len(samples), check)


def main() -> None:
    """Both tables, and what was left out."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("out/quantize"))
    folder: Path = parser.parse_args().out
    folder.mkdir(parents=True, exist_ok=True)
    small = [trained("digits", folder), trained("resnet8", folder)]
    for network in small:
        network.save(folder)
    print(f"measured on {machine_line()}\n")
    try:
        large = photographed(folder)
    except ConfigError as absent:
        large = list[FloatNetwork]()
        print(f"skipped efficientnet_lite0: {absent}\n")
    show(row for network in (*small, *large) for row in by_method(network))
    print()
    show(row for network in small for row in by_count(network))


if __name__ == "__main__":
    main()
