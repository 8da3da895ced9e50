"""`joulecut quantize`: a float ONNX file becomes a quantized one, calibrated on samples."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, cast

import typer

from joulecut.cli.files import require_other, write_whole
from joulecut.cli.output import emit, errors, progress, table, verb
from joulecut.compiler.errors import ConfigError

if TYPE_CHECKING:
    from joulecut.compiler.post_training.ranges import Method
    from joulecut.compiler.post_training.report import LayerRow, OutputRow, Report


@verb
def quantize(
    model: Annotated[Path, typer.Argument(help="A float model (.onnx).")],
    calib: Annotated[
        Path,
        typer.Option(help="Samples to calibrate with: .npz, an array [N, ...] for each input."),
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="The quantized model to write.")],
    method: Annotated[
        str, typer.Option(help="How to choose ranges: minmax, percentile or mse.")
    ] = "mse",
    percentile: Annotated[float, typer.Option(help="Of the method of that name.")] = 99.999,
    samples: Annotated[
        int, typer.Option(help="Calibrate with at most so many, evenly spread over the file.")
    ] = 128,
    activations: Annotated[
        str, typer.Option(help="Type of the activations' codes: uint8 or int8.")
    ] = "uint8",
    bias_correction: Annotated[
        bool, typer.Option(help="Make up for what rounding does to each channel's mean.")
    ] = True,
    check: Annotated[
        Path | None,
        typer.Option(help="Held-out samples to compare both models on; 'y' in it are labels."),
    ] = None,
    shape: Annotated[
        list[str] | None,
        typer.Option(help="Dimensions of an input, as input=1,3,224,224 (again for more)."),
    ] = None,
    require_integer: Annotated[
        bool, typer.Option(help="Make a node that stays in float an error.")
    ] = False,
    report: Annotated[
        Path | None, typer.Option(help="Write all that was measured here, as JSON.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Quantize a float model after training: int8 weights, 8-bit activations, QDQ out."""
    from joulecut.compiler.post_training.arrays import open_arrays
    from joulecut.compiler.post_training.stage import Options, quantized

    options = Options(
        method=cast("Method", method),
        percentile=percentile,
        samples=samples,
        activations=cast("Literal['int8', 'uint8']", activations),
        bias_correction=bias_correction,
        shapes=dict(map(_shape, shape or [])),
        require_integer=require_integer,
    )
    for path in (out, report):
        if path is not None:
            _require_writable(path, [model, calib, *([check] if check else [])])
    found = quantized(
        model,
        open_arrays(calib),
        options,
        check=None if check is None else open_arrays(check),
        walk=progress,
    )
    write_whole(out, found.model.SerializeToString(deterministic=True))
    document = {"model": str(out), **found.report.to_dict()}
    if report is not None:
        write_whole(report, (json.dumps(document, indent=2) + "\n").encode())
    if as_json:
        emit(document)
        return
    _show(model, found.report)
    errors.print(f"wrote {out}")


def _shape(text: str) -> tuple[str, Sequence[int]]:
    name, _, sizes = text.rpartition("=")
    parts = sizes.split(",")
    if not name or not all(part.strip().isdecimal() for part in parts):
        raise ConfigError(f"--shape must be like input=1,3,224,224, not '{text}'")
    return name, [int(part) for part in parts]


def _require_writable(path: Path, sources: Sequence[Path]) -> None:
    """Found out before the work, not after it."""
    for source in sources:
        if source.exists():
            require_other(path, source)
    if not path.absolute().parent.is_dir():
        raise ConfigError(f"folder '{path.parent}' must exist; make it, then run again")


def _show(model: Path, report: Report) -> None:
    for note in report.notes:
        errors.print(f"[dim]>[/] {note}")
    table(
        f"{model}: measured on {report.compared} of the samples",
        ("value", "layer", "codes", "scale", "covers", "calibration met", "SQNR dB"),
        [_cells(row) for row in report.layers],
        left=3,
    )
    for output in report.outputs:
        errors.print(f"output {_output(output)}, on the same samples")
    if report.check is not None:
        _show_check(report)
    for node in report.float_nodes:
        errors.print(f"[bold]stays in float:[/] {node}", markup=True)
    errors.print(
        f"calibrated on {report.samples} of {report.samples_given} samples ({_method(report)}); "
        f"constants {report.weight_bytes:,} bytes in float, {report.integer_bytes:,} quantized"
    )


def _show_check(report: Report) -> None:
    check = report.check
    assert check is not None
    for output in check.outputs:
        errors.print(f"check on {check.samples} samples: output {_output(output)}")
    if check.float_accuracy is not None and check.integer_accuracy is not None:
        errors.print(
            f"accuracy: float {check.float_accuracy:.2%}, integer {check.integer_accuracy:.2%}"
        )


def _cells(row: LayerRow) -> tuple[str, ...]:
    return (
        row.name,
        row.kind,
        row.dtype,
        f"{row.scale:.4g}",
        f"{row.low:.4g} .. {row.high:.4g}",
        f"{row.seen_low:.4g} .. {row.seen_high:.4g}",
        _decibels(row.sqnr_db),
    )


def _output(row: OutputRow) -> str:
    agreement = "" if row.agreement is None else f", argmax agrees {row.agreement:.2%}"
    return f"'{row.name}': SQNR {_decibels(row.sqnr_db)} dB{agreement}"


def _decibels(found: float | None) -> str:
    return "exact" if found is None else f"{found:.1f}"


def _method(report: Report) -> str:
    method = report.method if report.percentile is None else f"percentile {report.percentile}"
    return f"{method}, biases {'corrected' if report.bias_correction else 'as they are'}"
