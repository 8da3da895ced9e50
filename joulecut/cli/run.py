"""`joulecut run`: edge part, codec, cloud part, on samples of the user's."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from joulecut.cli.arrays import read_samples
from joulecut.cli.devices import DEVICE_HELP
from joulecut.cli.output import emit, errors, progress, table, verb
from joulecut.compiler.errors import ConfigError


@verb
def run(
    bundle: Annotated[Path, typer.Argument(help="A bundle.")],
    inputs: Annotated[
        list[Path] | None,
        typer.Option(
            "--input",
            help="Samples [N, ...] as .npy, one file per input, in order; "
            "without it the bundle's own test vectors run.",
        ),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Write the outputs here, as .npz.")] = None,
    edge_device: Annotated[str | None, typer.Option(help=DEVICE_HELP)] = None,
    cloud_device: Annotated[str | None, typer.Option(help="The same for the cloud.")] = None,
    batch: Annotated[int, typer.Option(help="Samples that are coded together.")] = 100,
    rate: Annotated[
        float | None,
        typer.Option(help="Of an adaptive bundle: what the channel carries, bit/s."),
    ] = None,
    trajectory: Annotated[
        Path | None,
        typer.Option(help="Of an adaptive bundle: a rate for each sample, bit/s, one a line."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Run samples through both parts, and say what crossed."""
    from joulecut.cli.run_adaptive import run_adaptive
    from joulecut.compiler.bundle import read_bundle
    from joulecut.targets.layout import is_adaptive
    from joulecut.targets.opened import opened
    from joulecut.targets.session import run_split

    held = read_bundle(bundle)
    feeds = read_samples(held, inputs or [])
    if is_adaptive(held):
        run_adaptive(held, feeds, rate, trajectory, edge_device, cloud_device, out, as_json)
        return
    if rate is not None or trajectory is not None:
        raise ConfigError("--rate and --trajectory must go with an adaptive bundle")
    if feeds is None:
        with opened(held) as vectors:
            feeds = vectors.inputs()
    if out is not None and not out.parent.is_dir():
        raise ConfigError(f"folder '{out.parent}' must exist; make it, then run again")
    with progress("run") as advance:
        result = run_split(
            held, feeds, edge_device, cloud_device, batch=batch, progress=advance
        )
    if out is not None:
        with out.open("wb") as file:
            np.savez(file, allow_pickle=False, **result.outputs)
    count = len(result.coded_bytes)
    document = {
        "samples": count,
        "raw_bytes": {"value": result.raw_bytes, "provenance": "measured"},
        "coded_bytes": {"value": float(result.coded_bytes.mean()), "provenance": "measured"},
        "entropy_bytes": {"value": result.entropy_bytes, "provenance": "measured"},
        "outputs": {name: list(array.shape) for name, array in result.outputs.items()},
    }
    if as_json:
        emit(document)
        return
    table(
        f"{bundle}: {count} samples",
        ("across the cut, per sample", "bytes (measured)"),
        [
            ("raw", f"{result.raw_bytes:,}"),
            ("coded", f"{result.coded_bytes.mean():,.1f}"),
            ("order-0 entropy", f"{result.entropy_bytes:,.1f}"),
        ],
    )
    if out is not None:
        errors.print(f"wrote {out}")
