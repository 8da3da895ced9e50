"""What a toml table of hw/tables may say: sections, rows and their texts, each refused by name."""

from __future__ import annotations

import re
import tomllib
from math import isfinite
from pathlib import Path
from typing import Any, cast

TABLES = Path(__file__).parent / "tables"
_DATE = re.compile(r"\d{4}(-\d{2}){0,2}|not stated")


class TableError(ValueError):
    """A table is not usable, or lacks what was asked of it."""


def read(path: Path) -> str:
    """The text of a table's file."""
    try:
        return path.read_text("utf-8")
    except UnicodeDecodeError as error:
        raise TableError(f"{path.name}: text must be UTF-8: {error}") from error


def parse(text: str, where: str) -> dict[str, Any]:
    """What a toml text says; `where` names it in errors."""
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise TableError(f"{where}: text must be TOML: {error}") from error


def section(
    value: object, where: str, keys: set[str], optional: frozenset[str] = frozenset()
) -> dict[str, Any]:
    """A toml table that has these keys and no others."""
    if not isinstance(value, dict):
        raise TableError(f"{where} must be a table, not {value!r}")
    found = cast("dict[str, Any]", value)
    missing = sorted(keys - found.keys())
    if missing:
        raise TableError(f"{where}: {', '.join(missing)} must be there")
    unknown = sorted(found.keys() - keys - optional)
    if unknown:
        known = ", ".join(sorted(keys | optional))
        raise TableError(f"{where}: keys must be among {known}, not {', '.join(unknown)}")
    return found


def entries(value: object, where: str) -> dict[str, object]:
    """A toml table with keys of the author's choice, one at least."""
    if not isinstance(value, dict) or not value:
        raise TableError(f"{where} must be a table with one row or more, not {value!r}")
    return cast("dict[str, object]", value)


def text(row: dict[str, Any], key: str, where: str) -> str:
    """A text that is not blank."""
    value = row[key]
    if not isinstance(value, str) or not value.strip():
        raise TableError(f"{where}: {key} must be a text, not {value!r}")
    return value


def unit(row: dict[str, Any], where: str, units: set[str]) -> str:
    """A unit that fits the row."""
    found = text(row, "unit", where)
    if found not in units:
        raise TableError(f"{where}: unit must be {', '.join(sorted(units))}, not '{found}'")
    return found


def date(row: dict[str, Any], where: str) -> str:
    """When the source said it."""
    found = text(row, "date", where)
    if not _DATE.fullmatch(found):
        raise TableError(
            f"{where}: date must be YYYY, YYYY-MM, YYYY-MM-DD or 'not stated', not '{found}'"
        )
    return found


def positive(row: dict[str, Any], key: str, where: str) -> float:
    """A finite number above 0."""
    value = row[key]
    if type(value) not in (int, float) or not (isfinite(value) and value > 0):
        raise TableError(f"{where}: {key} must be a positive number, not {value!r}")
    return float(value)


def finite(row: dict[str, Any], key: str, where: str) -> float:
    """A finite number of any sign, such as a level in decibels."""
    value = row[key]
    if type(value) not in (int, float) or not isfinite(value):
        raise TableError(f"{where}: {key} must be a finite number, not {value!r}")
    return float(value)
