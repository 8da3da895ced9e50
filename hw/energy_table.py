"""What an operation, a memory access and a kilowatt-hour cost, and who says so.

Code carries no energies: each is a row of a toml file in hw/tables with its value, unit, process,
source and date, so that a result can name what it rests on and a board can bring its own.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from math import isfinite
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal, TypeVar, cast

Bound = Literal["low", "typical", "high"]

_TABLES = Path(__file__).parent / "tables"
_PJ = {"pJ": 1.0, "nJ": 1e3}
_KG_PER_KWH = "kg/kWh"
_TEXTS = ("unit", "node", "source", "date")
_DATE = re.compile(r"\d{4}(-\d{2}){0,2}|not stated")
_T = TypeVar("_T")


class EnergyTableError(ValueError):
    """An energy table is not usable, or lacks what was asked of it."""


@dataclass(frozen=True)
class Quantity:
    """One row of a table.

    Attributes:
        value: in `unit`; typical, where the source gives a range.
        unit: pJ, nJ or kg/kWh.
        node: the process and voltage, or what else the value holds for.
        source: who says so.
        date: when they said it.
        measured: was it read from a meter on our own hardware?
        low: the lower end of the range; the value itself where there is none.
        high: the upper end.
        access_bits: what one access of a memory moves; 0 for everything else.
    """

    value: float
    unit: str
    node: str
    source: str
    date: str
    measured: bool
    low: float
    high: float
    access_bits: int = 0

    def at(self, bound: Bound) -> float:
        """The value at an end or in the middle of its range, in `unit`."""
        return {"low": self.low, "typical": self.value, "high": self.high}[bound]

    def pj(self, bound: Bound = "typical") -> float:
        """The value in pJ."""
        return self.at(bound) * _PJ[self.unit]


@dataclass(frozen=True)
class Operation:
    """Energy of one addition and of one multiplication in a number format."""

    add: Quantity
    mul: Quantity


@dataclass(frozen=True)
class EnergyTable:
    """Energies of one process.

    Attributes:
        name: what results name.
        description: one sentence.
        operations: by number format (int8, int32, fp16, fp32).
        memories: energy of one access, by memory.
        carbon: CO2 equivalent per kWh, by region.
        instructions: energy of one instruction, whatever it computes, by kind of processor; a
            table may have none.
    """

    name: str
    description: str
    operations: Mapping[str, Operation]
    memories: Mapping[str, Quantity]
    carbon: Mapping[str, Quantity]
    instructions: Mapping[str, Quantity] = field(default_factory=dict[str, Quantity])

    def operation(self, number_format: str) -> Operation:
        """Energy of arithmetic in a number format."""
        return _named(self.operations, number_format, f"number format of '{self.name}'")

    def memory(self, name: str) -> Quantity:
        """Energy of an access to a memory."""
        return _named(self.memories, name, f"memory of '{self.name}'")

    def instruction(self, processor: str) -> Quantity:
        """Energy of an instruction's fetch, control and registers."""
        return _named(self.instructions, processor, f"instructions of '{self.name}'")

    def region(self, name: str) -> Quantity:
        """What electricity emits in a region."""
        return _named(self.carbon, name, f"region of '{self.name}'")


def tables() -> tuple[str, ...]:
    """Names of the tables that come with joulecut."""
    return tuple(sorted(path.stem for path in _TABLES.glob("*.toml")))


def load_table(name_or_path: str | Path) -> EnergyTable:
    """Read and check a table of hw/tables by name, or any file by path.

    Raises:
        EnergyTableError: there is no such table, or something in it is missing, unknown,
            or not a number that an energy can be.
    """
    text = str(name_or_path)
    path = Path(text) if text.endswith(".toml") else _TABLES / f"{text}.toml"
    if not path.is_file():
        raise EnergyTableError(
            f"energy table must be one of {', '.join(tables())} or a .toml file, not '{text}'"
        )
    try:
        return parse_table(path.read_text("utf-8"), where=path.name)
    except UnicodeDecodeError as error:
        raise EnergyTableError(f"{path.name}: text must be UTF-8: {error}") from error


def parse_table(text: str, where: str = "energy table") -> EnergyTable:
    """The table in a toml text; `where` names it in errors, which are EnergyTableError."""
    try:
        found = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise EnergyTableError(f"{where}: text must be TOML: {error}") from error
    top = _section(
        found,
        where,
        {"name", "description", "operations", "memories", "carbon"},
        frozenset({"instructions"}),
    )
    operations = {
        name: _operation(row, f"{where}: operations.{name}")
        for name, row in _entries(top["operations"], f"{where}: operations").items()
    }
    memories = {
        name: _quantity(row, f"{where}: memories.{name}", set(_PJ), memory=True)
        for name, row in _entries(top["memories"], f"{where}: memories").items()
    }
    carbon = {
        name: _quantity(row, f"{where}: carbon.{name}", {_KG_PER_KWH})
        for name, row in _entries(top["carbon"], f"{where}: carbon").items()
    }
    instructions = {
        name: _quantity(row, f"{where}: instructions.{name}", set(_PJ))
        for name, row in (
            _entries(top["instructions"], f"{where}: instructions").items()
            if "instructions" in top
            else ()
        )
    }
    return EnergyTable(
        name=_text(top, "name", where),
        description=_text(top, "description", where),
        operations=MappingProxyType(operations),
        memories=MappingProxyType(memories),
        carbon=MappingProxyType(carbon),
        instructions=MappingProxyType(instructions),
    )


def _named(found: Mapping[str, _T], name: str, what: str) -> _T:
    if name not in found:
        known = ", ".join(found) or "none"
        raise EnergyTableError(f"{what} must be one of {known}, not '{name}'")
    return found[name]


# What a file may say


def _section(
    value: object, where: str, keys: set[str], optional: frozenset[str] = frozenset()
) -> dict[str, Any]:
    """A toml table that has these keys and no others."""
    if not isinstance(value, dict):
        raise EnergyTableError(f"{where} must be a table, not {value!r}")
    section = cast("dict[str, Any]", value)
    missing = sorted(keys - section.keys())
    if missing:
        raise EnergyTableError(f"{where}: {', '.join(missing)} must be there")
    unknown = sorted(section.keys() - keys - optional)
    if unknown:
        known = ", ".join(sorted(keys | optional))
        raise EnergyTableError(f"{where}: keys must be among {known}, not {', '.join(unknown)}")
    return section


def _entries(value: object, where: str) -> dict[str, object]:
    """A toml table with keys of the author's choice, one at least."""
    if not isinstance(value, dict) or not value:
        raise EnergyTableError(f"{where} must be a table with one row or more, not {value!r}")
    return cast("dict[str, object]", value)


def _operation(value: object, where: str) -> Operation:
    section = _section(value, where, {"add", "mul"})
    add, mul = (_quantity(section[key], f"{where}.{key}", set(_PJ)) for key in ("add", "mul"))
    return Operation(add, mul)


def _quantity(value: object, where: str, units: set[str], *, memory: bool = False) -> Quantity:
    required = {"value", "measured", *_TEXTS, *(["access_bits"] if memory else [])}
    row = _section(value, where, required, frozenset({"low", "high"}))
    texts = {key: _text(row, key, where) for key in _TEXTS}
    if texts["unit"] not in units:
        units_text = ", ".join(sorted(units))
        raise EnergyTableError(f"{where}: unit must be {units_text}, not '{texts['unit']}'")
    if not _DATE.fullmatch(texts["date"]):
        raise EnergyTableError(
            f"{where}: date must be YYYY, YYYY-MM, YYYY-MM-DD or 'not stated', "
            f"not '{texts['date']}'"
        )
    if not isinstance(row["measured"], bool):
        raise EnergyTableError(
            f"{where}: measured must be true or false, not {row['measured']!r}"
        )
    typical = _number(row, "value", where)
    low, high = (_number(row, end, where) if end in row else typical for end in ("low", "high"))
    if not low <= typical <= high:
        raise EnergyTableError(f"{where}: value must be in {low}..{high}, not {typical}")
    bits = row.get("access_bits", 0)
    if memory and (type(bits) is not int or bits < 1):
        raise EnergyTableError(f"{where}: access_bits must be a positive integer, not {bits!r}")
    return Quantity(
        typical, **texts, measured=row["measured"], low=low, high=high, access_bits=bits
    )


def _number(row: dict[str, Any], key: str, where: str) -> float:
    value = row[key]
    if type(value) not in (int, float) or not (isfinite(value) and value > 0):
        raise EnergyTableError(f"{where}: {key} must be a positive number, not {value!r}")
    return float(value)


def _text(row: dict[str, Any], key: str, where: str) -> str:
    value = row[key]
    if not isinstance(value, str) or not value.strip():
        raise EnergyTableError(f"{where}: {key} must be a text, not {value!r}")
    return value
