"""How verbs write what people would rather look at: a page, and its tables as files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from joulecut.cli.files import write_whole
from joulecut.cli.output import errors

if TYPE_CHECKING:
    from joulecut.compiler.report.page import Page


def write_page(page: Page, report: Path | None, tables: Path | None) -> None:
    """Write the page, its tables, or both, and say where.

    Raises:
        ConfigError: a path cannot be written.
    """
    from joulecut.compiler.report.files import write_tables
    from joulecut.compiler.report.page import render

    if report is not None:
        write_whole(report, render(page).encode("utf-8"))
        errors.print(f"wrote {report}")
    if tables is not None:
        write_tables(page.tables(), tables)
        names = ", ".join(table.name for table in page.tables())
        errors.print(f"wrote {names} as CSV and JSON in {tables}")
