"""Quantize a float network after training: file and samples in, integer Graph and report out."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
import onnx

from joulecut.compiler.codes import Codes
from joulecut.compiler.errors import ConfigError
from joulecut.compiler.graph import Graph, op_key
from joulecut.compiler.load import graph_of
from joulecut.compiler.pipeline import float_nodes, pipeline
from joulecut.compiler.post_training.arrays import Source
from joulecut.compiler.post_training.bias import corrected_biases
from joulecut.compiler.post_training.calibrate import observed
from joulecut.compiler.post_training.compare import checked, compared_layers, lowered
from joulecut.compiler.post_training.float_model import fixed, read_float
from joulecut.compiler.post_training.points import Point, points
from joulecut.compiler.post_training.ranges import METHODS, Method, chosen_range, codes_for
from joulecut.compiler.post_training.report import Report
from joulecut.compiler.post_training.samples import (
    Progress,
    Samples,
    check_numbers,
    matched,
)
from joulecut.compiler.post_training.write import with_quantizers

Walk = Callable[[str], AbstractContextManager[Progress]]


@dataclass(frozen=True)
class Options:
    """How to quantize; the defaults are those that measured best (docs/quantize.md).

    Attributes:
        method: of choosing the range of each activation (`ranges.py`).
        percentile: of the method of that name.
        samples: at most so many, evenly spread over what is given; None takes all.
        activations: the type of their codes.
        bias_correction: make up for shifted means (`bias.py`).
        compared: samples that the report compares layers on.
        shapes: dimensions of inputs by name, instead of the file's.
        require_integer: refuse a network in which a node would stay in float.
    """

    method: Method = "mse"
    percentile: float = 99.999
    samples: int | None = 128
    activations: Literal["int8", "uint8"] = "uint8"
    bias_correction: bool = True
    compared: int = 8
    shapes: Mapping[str, Sequence[int]] = field(default_factory=dict[str, Sequence[int]])
    require_integer: bool = False

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            raise ConfigError(f"method must be one of {[*METHODS]}, not '{self.method}'")
        if not 50 < self.percentile <= 100:
            raise ConfigError(
                f"percentile must be above 50 and at most 100, not {self.percentile}"
            )
        if self.samples is not None and self.samples < 1:
            raise ConfigError(f"samples must be at least 1, not {self.samples}")
        if self.compared < 1:
            raise ConfigError(f"compared must be at least 1, not {self.compared}")
        if self.activations not in ("int8", "uint8"):
            raise ConfigError(f"activations must be int8 or uint8, not '{self.activations}'")


@dataclass(frozen=True, eq=False)
class Quantized:
    """What came out.

    Attributes:
        graph: the integer Graph, as `pipeline` makes it from `model`.
        model: QDQ in standard ONNX, which `load` and other tools read.
        report: what it cost.
    """

    graph: Graph
    model: onnx.ModelProto
    report: Report


@contextmanager
def silence(_label: str) -> Generator[Progress]:
    """A walk that nobody watches."""
    yield lambda _done, _total: None


def quantized(
    path: Path,
    calibration: Mapping[str, Source],
    options: Options | None = None,
    *,
    check: Mapping[str, Source] | None = None,
    walk: Walk = silence,
) -> Quantized:
    """Quantize a float ONNX file.

    Samples are read one at a time, several times over; memory does not grow with their number.

    Args:
        path: the model, float32.
        calibration: an array of samples for each input (`arrays.py`).
        options: how; None takes the defaults.
        check: held-out samples, to compare both networks on; `y` are labels.
        walk: opens a progress display for each walk over the samples.

    Raises:
        ConfigError: the samples or the options do not fit the model.
        UntrustedInputError: the model is damaged or contradicts itself.
        UnsupportedError: it has nodes that joulecut cannot take, all at once.
    """
    options = options or Options()
    model = read_float(path, options.shapes)
    samples = matched(calibration, model.inputs, options.samples, "calibration")
    held_out = None if check is None else matched(check, model.inputs, None, "check")
    _same_shapes(samples, held_out)
    shapes = {name: (1, *source.shape[1:]) for name, source in samples.sources.items()}
    graph, notes = fixed(model, shapes)
    places = points(graph)
    _rehearse(graph, places, options)
    for what, part in (("calibration", samples), ("check", held_out)):
        if part is not None:
            with walk(f"reading {what}") as advance:
                check_numbers(part, what, advance)
    with walk("calibrating") as advance:
        seen = observed(
            graph, places, samples, counts=options.method != "minmax", advance=advance
        )
    notes += [
        f"'{place.values[0]}' is 0 for every sample; its quantizer is a guess"
        for place, part in zip(places, seen, strict=True)
        if part.low == part.high
    ]
    ranges = [chosen_range(part, options.method, options.percentile) for part in seen]
    codes = _codes(places, ranges, options)
    biases: dict[str, np.ndarray] = {}
    if options.bias_correction:
        with walk("correcting biases") as advance:
            biases = corrected_biases(graph, codes, samples, advance)
    made = with_quantizers(graph, codes, biases)
    integer = lowered(graph_of(_copy(made)))
    compared = samples.first(options.compared)
    with walk("comparing") as advance:
        rows, outputs = compared_layers(graph, integer, places, seen, codes, compared, advance)
    result = None
    if held_out is not None:
        with walk("checking") as advance:
            result = checked(graph, integer.graph, held_out, advance)
    report = Report(
        method=options.method,
        percentile=options.percentile if options.method == "percentile" else None,
        activations=options.activations,
        bias_correction=options.bias_correction,
        samples=len(samples),
        samples_given=samples.total,
        compared=len(compared),
        notes=tuple(notes),
        float_nodes=_stay_float(integer.graph),
        weight_bytes=_constant_bytes(graph),
        integer_bytes=_constant_bytes(integer.graph),
        layers=rows,
        outputs=outputs,
        check=result,
    )
    return Quantized(integer.graph, made, report)


def _rehearse(graph: Graph, places: Sequence[Point], options: Options) -> None:
    """Quantize with made-up ranges: what has no integer form shows before any sample is run."""
    codes = _codes(places, [(-1.0, 1.0)] * len(places), options)
    made = graph_of(with_quantizers(graph, codes, {}))
    pipeline(made, require_integer=options.require_integer)


def _codes(
    places: Sequence[Point], ranges: Sequence[tuple[float, float]], options: Options
) -> dict[str, Codes]:
    dtype = np.dtype(options.activations)
    made = [codes_for(low, high, dtype) for low, high in ranges]
    return {
        name: codes for place, codes in zip(places, made, strict=True) for name in place.values
    }


def _same_shapes(samples: Samples, check: Samples | None) -> None:
    """Sizes that the model leaves open are fixed by the first samples."""
    if check is None:
        return
    for name, source in samples.sources.items():
        found, wanted = check.sources[name].shape[1:], source.shape[1:]
        if found != wanted:
            raise ConfigError(
                f"'{name}' of check must have shape {['N', *wanted]} as in calibration, not "
                f"{list(check.sources[name].shape)}"
            )


def _stay_float(graph: Graph) -> tuple[str, ...]:
    return tuple(f"{op_key(node)} '{node.name}'" for node in float_nodes(graph))


def _constant_bytes(graph: Graph) -> int:
    tensors = (value.const_value for value in graph.graph.initializers.values())
    return sum(tensor.nbytes for tensor in tensors if tensor is not None)


def _copy(model: onnx.ModelProto) -> onnx.ModelProto:
    """For readers that change what they read."""
    made = onnx.ModelProto()
    made.CopyFrom(model)
    return made
