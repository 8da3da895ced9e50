"""The tables of a page as files: CSV for spreadsheets, JSON for programs."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from joulecut.compiler.errors import ConfigError
from joulecut.compiler.report.page import Page

_NUMBER = re.compile(r"[+-]?(\d{1,3}(,\d{3})+|\d+)(\.\d+)?(e[+-]?\d+)?")
_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,79}")

Value = str | float | None


@dataclass(frozen=True)
class Table:
    """A table that stands in a page, and beside it as files.

    Attributes:
        name: of its files: small letters, digits and dashes.
        title: what it shows, with units and where the numbers come from.
        columns: headings.
        rows: plain values, one for each column.
    """

    name: str
    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Value, ...], ...]


def tables_of(page: Page) -> list[Table]:
    """The tables of a page; cells that are numbers as numbers, "-" as nothing."""
    found: list[Table] = []
    for section in page.sections:
        if section.columns:
            name = unique(slug(section.title), [table.name for table in found])
            rows = tuple(tuple(map(plain_value, row)) for row in section.rows)
            found.append(Table(name, section.title, tuple(section.columns), rows))
    return found


def write_tables(tables: Sequence[Table], folder: Path) -> list[str]:
    """Write NAME.csv and NAME.json, a list of objects by column, for each table.

    Returns:
        The names.

    Raises:
        ConfigError: a name is no name of a file, or is there twice.
    """
    names = [table.name for table in tables]
    for name in names:
        if not _NAME.fullmatch(name) or names.count(name) > 1:
            raise ConfigError(
                f"table must have a name of its own of small letters, digits and dashes, "
                f"not '{name}'"
            )
    folder.mkdir(parents=True, exist_ok=True)
    for table in tables:
        with (folder / f"{table.name}.csv").open("w", encoding="utf-8", newline="") as file:
            rows = csv.writer(file)
            rows.writerow(table.columns)
            rows.writerows(table.rows)
        objects = [dict(zip(table.columns, row, strict=True)) for row in table.rows]
        text = json.dumps(objects, indent=1)
        (folder / f"{table.name}.json").write_text(text + "\n", encoding="utf-8")
    return names


def plain_value(cell: str) -> Value:
    """What a cell says: a number without separators, None for "-", else its text."""
    if cell == "-":
        return None
    if not _NUMBER.fullmatch(cell):
        return cell
    number = float(cell.replace(",", ""))
    return (
        int(number) if number.is_integer() and "." not in cell and "e" not in cell else number
    )


def slug(title: str) -> str:
    """A title as a name of files and anchors."""
    words = re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")
    return words[:60].strip("-") or "table"


def unique(name: str, taken: Sequence[str]) -> str:
    """The name, or with a number behind it if it is taken."""
    candidate, again = name, 2
    while candidate in taken:
        candidate, again = f"{name}-{again}", again + 1
    return candidate
