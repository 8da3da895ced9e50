"""`joulecut verify`: does what was built compute what the network means?"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from joulecut.cli.arrays import read_samples
from joulecut.cli.devices import DEVICES, engines
from joulecut.cli.output import emit, errors, progress, table, verb
from joulecut.cli.report_files import ReportFile, TablesFolder, write_report
from joulecut.compiler.errors import ConfigError


@verb
def verify(
    bundle: Annotated[Path, typer.Argument(help="A bundle.")],
    against: Annotated[
        list[str] | None,
        typer.Option(
            help="Engines, by commas or by the option again: reference, tvm, rtl, onnxrt, or a device: "
            f"{DEVICES}; default: reference,tvm."
        ),
    ] = None,
    inputs: Annotated[
        list[Path] | None,
        typer.Option("--input", help="Samples [N, ...] as .npy, one file per input, in order."),
    ] = None,
    labels: Annotated[
        Path | None, typer.Option(help="Class of each sample, .npy: measures the accuracy.")
    ] = None,
    baseline: Annotated[
        Path | None, typer.Option(help="Fail if the accuracy falls below this stored one.")
    ] = None,
    store_baseline: Annotated[
        Path | None, typer.Option(help="Write the accuracy here, for --baseline later.")
    ] = None,
    tolerance: Annotated[
        float, typer.Option(help="With --store-baseline: how much it may fall, 0 to 1.")
    ] = 0.002,
    report: ReportFile = None,
    tables: TablesFolder = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Compare the built parts with engines, name the first divergent layer, exit 1 if any."""
    from joulecut.compiler.bundle import read_bundle
    from joulecut.compiler.report.verify_page import verify_page
    from joulecut.targets.verify import DEFAULT_AGAINST
    from joulecut.targets.verify import verify as verify_bundle

    if (baseline or store_baseline) and labels is None:
        raise ConfigError("--baseline and --store-baseline need --labels and --input")
    held = read_bundle(bundle)
    feeds = read_samples(held, inputs or [])
    with progress("verify") as advance:
        outcome = verify_bundle(
            held, engines(against) if against else DEFAULT_AGAINST, feeds, progress=advance
        )
    document = outcome.to_dict()
    top1: float | None = None
    if labels is not None:
        if feeds is None:
            raise ConfigError("--labels must come with --input, the samples that they name")
        top1 = _accuracy(held.path, feeds, labels)
        document["accuracy"] = {"value": top1, "provenance": "measured"}
    rows = outcome.rows()
    write_report(lambda: verify_page(document), report, tables)
    if as_json:
        emit(document)
    else:
        table(str(bundle), tuple(rows[0]), [tuple(row.values()) for row in rows], left=2)
    if top1 is not None:
        errors.print(f"top-1 accuracy of the split network: {top1:.4f} (measured)")
        _keep(top1, baseline, store_baseline, tolerance)
    outcome.require()


def _accuracy(bundle: Path, feeds: dict[str, np.ndarray], labels: Path) -> float:
    from joulecut.targets.session import run_split
    from joulecut.targets.study import accuracy

    try:
        classes = np.load(labels, allow_pickle=False)
    except (OSError, ValueError) as error:
        raise ConfigError(f"labels must be a .npy array, not '{labels}': {error}") from error
    result = run_split(bundle, feeds, batch=100)
    outputs = next(iter(result.outputs.values()))
    if classes.shape != (len(outputs),):
        raise ConfigError(
            f"labels must be one class for each of {len(outputs)} samples, "
            f"not an array {list(classes.shape)}"
        )
    measured = accuracy(outputs, classes)
    assert measured is not None
    return measured


def _keep(
    measured: float, baseline: Path | None, store_baseline: Path | None, tolerance: float
) -> None:
    from joulecut.compiler.verify import AccuracyBaseline

    if store_baseline is not None:
        AccuracyBaseline("top1", measured, tolerance).save(store_baseline)
    if baseline is not None:
        AccuracyBaseline.load(baseline).require(measured)
