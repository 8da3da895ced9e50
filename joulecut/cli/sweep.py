"""`joulecut sweep`: what needs training, compiling or boards, tried out and kept."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from joulecut.cli.output import emit, errors, progress, table, verb
from joulecut.compiler.errors import ConfigError

if TYPE_CHECKING:
    from joulecut.sweep.run import SweepResult


@verb
def sweep(
    config: Annotated[Path, typer.Argument(help="A sweep configuration (.yaml).")],
    settings: Annotated[
        list[str] | None, typer.Option("--set", help="key=value over the configuration.")
    ] = None,
    cluster: Annotated[
        str | None,
        typer.Option(help="tcp://HOST:PORT or tls://HOST:PORT of a Dask scheduler."),
    ] = None,
    threads: Annotated[
        int, typer.Option(min=1, help="Without --cluster: trials at once in this process.")
    ] = 1,
    retry_failed: Annotated[
        bool, typer.Option("--retry-failed", help="Run again what was given up before.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Try cuts, codecs, widths and devices; print the Pareto front. Goes on where it stopped."""
    try:
        from joulecut.sweep.config import SweepConfig
        from joulecut.sweep.run import sweep as run_sweep
    except ModuleNotFoundError as missing:
        raise ConfigError(
            f"a sweep must have the package {missing.name}, which is not installed; "
            "run: pip install 'joulecut[sweep]'"
        ) from missing
    asked = SweepConfig.from_yaml(config, tuple(settings or ()))
    with progress(f"sweep {asked.name}") as advance:
        result = run_sweep(
            asked,
            cluster=cluster,
            threads=threads,
            retry_failed=retry_failed,
            progress=advance,
            say=lambda step: None if as_json else errors.print(f"[dim]>[/] {step}"),
        )
    if as_json:
        emit(result.to_dict())
    else:
        _show(result)


def _show(result: SweepResult) -> None:
    from joulecut.sweep.page import table as trials

    front = trials("Pareto front", list(result.objectives), result.front, result.rows)
    words = [name for name in front.columns if name in ("trial", *result.rows[0].point)]
    table(front.title, front.columns, front.rows, left=len(words))
    if front.note:
        errors.print(front.note, markup=False)
    for row in result.rows:
        if row.state == "failed":
            errors.print(f"[yellow]trial {row.number} failed:[/] {row.reason}", markup=True)
    errors.print(f"wrote {result.page}")
