"""`--report` and `--tables`: what a verb found as a page for people and as files for programs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from joulecut.cli.output import errors
from joulecut.compiler.errors import ConfigError

if TYPE_CHECKING:
    from joulecut.compiler.report.page import Page

ReportFile = Annotated[
    Path | None, typer.Option("--report", help="Write one self-contained HTML page here.")
]
TablesFolder = Annotated[
    Path | None, typer.Option("--tables", help="Write each table here, as CSV and as JSON.")
]


def write_report(page: Callable[[], Page], report: Path | None, tables: Path | None) -> None:
    """Write what was asked for; the page is made only if something was.

    Raises:
        ConfigError: a file cannot be written.
    """
    if report is None and tables is None:
        return
    from joulecut.compiler.report.files import write_tables
    from joulecut.compiler.report.page import render

    made = page()
    if report is not None:
        try:
            report.write_text(render(made), encoding="utf-8")
        except OSError as error:
            raise ConfigError(
                f"--report must be a file in a folder that exists, not '{report}': {error}"
            ) from error
        errors.print(f"wrote {report}")
    if tables is not None:
        written = write_tables(made.tables(), tables)
        errors.print(f"wrote {len(written)} files in {tables}")
