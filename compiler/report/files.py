"""Tables of a report as files: each as CSV and as JSON, the same values as on the page."""

from __future__ import annotations

import csv
import json
import math
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from joulecut.compiler.errors import ConfigError

Value = str | float | bool | None

_NAME = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*", re.IGNORECASE)


@dataclass(frozen=True)
class Table:
    """A table that goes into the page, and beside it as CSV and JSON.

    Attributes:
        name: of its files and of its place in the page: letters, digits and dashes.
        title: what it shows, with units and where the numbers come from.
        columns: headings, each once.
        rows: plain values, one for each column.
    """

    name: str
    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Value, ...], ...]

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise ConfigError(
                f"name of a table must be letters, digits and dashes, not '{self.name}'"
            )
        if len(set(self.columns)) != len(self.columns):
            raise ConfigError(f"columns of table '{self.name}' must differ: {self.columns}")
        for row in self.rows:
            if len(row) != len(self.columns):
                raise ConfigError(
                    f"rows of table '{self.name}' must have {len(self.columns)} values, "
                    f"not {len(row)}: {row}"
                )


def write_tables(tables: Iterable[Table], directory: Path) -> list[Path]:
    """Write `NAME.csv` and `NAME.json` of each table; returns the paths in this order.

    Raises:
        ConfigError: two tables have one name, or the folder cannot be written.
    """
    every = list(tables)
    names = [table.name for table in every]
    if len(set(names)) != len(names):
        raise ConfigError(f"tables must have names that differ, not {', '.join(names)}")
    try:
        directory.mkdir(parents=True, exist_ok=True)
        return [path for table in every for path in write_table(table, directory)]
    except OSError as error:
        raise ConfigError(
            f"folder of the tables must be writable, not '{directory}': {error}"
        ) from error


def write_table(table: Table, directory: Path) -> tuple[Path, Path]:
    """Write `NAME.csv` and `NAME.json`, a list of objects by column, into a folder that exists.

    JSON knows no infinity and no NaN: they become null there and `inf` or `nan` in the CSV.
    """
    as_csv, as_json = (directory / f"{table.name}.{kind}" for kind in ("csv", "json"))
    with as_csv.open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(table.columns)
        rows.writerows(table.rows)
    objects = [dict(zip(table.columns, row, strict=True)) for row in json_rows(table)]
    as_json.write_text(json.dumps(objects, indent=1) + "\n", encoding="utf-8")
    return as_csv, as_json


def json_rows(table: Table) -> list[list[Value]]:
    """The rows as JSON can hold them."""
    return [
        [None if isinstance(v, float) and not math.isfinite(v) else v for v in row]
        for row in table.rows
    ]


def text_of(value: Value) -> str:
    """A value as people read it: thousands apart, four digits of what is no whole number."""
    match value:
        case None:
            return "-"
        case bool():
            return "yes" if value else "no"
        case str():
            return value
        case int():
            return f"{value:,}"
        case _:
            return f"{value:,.0f}" if 1e4 <= abs(value) < 1e9 else f"{value:.4g}"
