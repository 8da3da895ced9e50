"""`joulecut profile`: what each layer of a built part costs on a device."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from joulecut.cli.devices import DEVICE_HELP
from joulecut.cli.output import emit, errors, table, verb
from joulecut.cli.report_files import ReportFile, TablesFolder, write_report
from joulecut.compiler.errors import ConfigError


@verb
def profile(
    bundle: Annotated[Path, typer.Argument(help="A bundle.")],
    part: Annotated[str, typer.Option(help="edge or cloud.")] = "edge",
    device: Annotated[str | None, typer.Option(help=DEVICE_HELP)] = None,
    energy_table: Annotated[
        str, typer.Option("--energy", help="Energy table: a name or a TOML file.")
    ] = "horowitz_45nm",
    repeats: Annotated[int, typer.Option(help="Runs of each layer on a timed device.")] = 20,
    board: Annotated[
        str | None,
        typer.Option(help="Target whose latency is modelled from counts; default: the part's."),
    ] = None,
    clock: Annotated[
        float | None, typer.Option(help="Clock in Hz of that model; default: the board's.")
    ] = None,
    trace: Annotated[
        Path | None, typer.Option(help="Write a Chrome trace here, for a trace viewer.")
    ] = None,
    report: ReportFile = None,
    tables: TablesFolder = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Time or instructions, bytes and energy, layer by layer; each number says its origin."""
    from joulecut.compiler.report.profile_page import profile_page
    from joulecut.targets.profile import profile as profile_bundle

    if part not in ("edge", "cloud"):
        raise ConfigError(f"--part must be edge or cloud, not '{part}'")
    result = profile_bundle(
        bundle,
        part=part,
        device=device,
        energy=energy_table,
        repeats=repeats,
        board=board,
        clock_hz=clock,
    )
    if trace is not None:
        result.to_trace(trace)
        errors.print(f"wrote {trace}")
    document = result.to_dict() | {"part": part}
    write_report(lambda: profile_page(document), report, tables)
    if as_json:
        emit(document)
        return
    rows = result.to_rows()
    table(
        f"{part} on {result.device} ({result.machine})",
        [_heading(key) for key in rows[0]],
        [[_cell(value) for value in row.values()] for row in rows],
        left=2,
    )
    for note in result.notes:
        errors.print(f"[dim]{note}[/]")


def _heading(key: str) -> str:
    """`latency [ns, modelled]` in two lines, without what the table takes for markup."""
    return key.replace(" [", "\n").removesuffix("]")


def _cell(value: str | float) -> str | float:
    """A tenth of a unit is more than a model or a clock knows."""
    return f"{value:.1f}".removesuffix(".0") if isinstance(value, float) else value
