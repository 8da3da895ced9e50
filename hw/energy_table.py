"""What an operation, a memory access and a kilowatt-hour cost, and who says so.

Code carries no energies: each is a row of a toml file in hw/tables with its value, unit, process,
source and date, so that a result can name what it rests on and a board can bring its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Literal, TypeVar

from joulecut.hw import table_rows as rows

Bound = Literal["low", "typical", "high"]
EnergyTableError = rows.TableError

_OF_OTHER_THINGS = {"carbon", "links"}
_PJ = {"pJ": 1.0, "nJ": 1e3}
_KG_PER_KWH = "kg/kWh"
_TEXTS = ("unit", "node", "source", "date")
_T = TypeVar("_T")


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
    return tuple(sorted({path.stem for path in rows.TABLES.glob("*.toml")} - _OF_OTHER_THINGS))


def load_table(name_or_path: str | Path) -> EnergyTable:
    """Read and check a table of hw/tables by name, or any file by path.

    Raises:
        EnergyTableError: there is no such table, or something in it is missing, unknown,
            or not a number that an energy can be.
    """
    text = str(name_or_path)
    is_path = text.endswith(".toml")
    path = Path(text) if is_path else rows.TABLES / f"{text}.toml"
    if not path.is_file() or (not is_path and text not in tables()):
        raise EnergyTableError(
            f"energy table must be one of {', '.join(tables())} or a .toml file, not '{text}'"
        )
    return parse_table(rows.read(path), where=path.name)


def parse_table(text: str, where: str = "energy table") -> EnergyTable:
    """The table in a toml text; `where` names it in errors, which are EnergyTableError."""
    top = rows.section(
        rows.parse(text, where),
        where,
        {"name", "description", "operations", "memories", "carbon"},
        frozenset({"instructions"}),
    )
    operations = {
        name: _operation(row, f"{where}: operations.{name}")
        for name, row in rows.entries(top["operations"], f"{where}: operations").items()
    }
    memories = {
        name: parse_quantity(row, f"{where}: memories.{name}", set(_PJ), memory=True)
        for name, row in rows.entries(top["memories"], f"{where}: memories").items()
    }
    carbon = {
        name: parse_quantity(row, f"{where}: carbon.{name}", {_KG_PER_KWH})
        for name, row in rows.entries(top["carbon"], f"{where}: carbon").items()
    }
    instructions = {
        name: parse_quantity(row, f"{where}: instructions.{name}", set(_PJ))
        for name, row in (
            rows.entries(top["instructions"], f"{where}: instructions").items()
            if "instructions" in top
            else ()
        )
    }
    return EnergyTable(
        name=rows.text(top, "name", where),
        description=rows.text(top, "description", where),
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


def _operation(value: object, where: str) -> Operation:
    section = rows.section(value, where, {"add", "mul"})
    add, mul = (
        parse_quantity(section[key], f"{where}.{key}", set(_PJ)) for key in ("add", "mul")
    )
    return Operation(add, mul)


def parse_quantity(
    value: object, where: str, units: set[str], *, memory: bool = False
) -> Quantity:
    """One row; `where` names it in errors, which are EnergyTableError.

    Args:
        value: what the toml text says.
        where: names the row.
        units: that it may have.
        memory: does it have access_bits, too?
    """
    required = {"value", "measured", *_TEXTS, *(["access_bits"] if memory else [])}
    row = rows.section(value, where, required, frozenset({"low", "high"}))
    unit, date = rows.unit(row, where, units), rows.date(row, where)
    node, source = (rows.text(row, key, where) for key in ("node", "source"))
    if not isinstance(row["measured"], bool):
        raise EnergyTableError(
            f"{where}: measured must be true or false, not {row['measured']!r}"
        )
    typical = rows.positive(row, "value", where)
    low, high = (
        rows.positive(row, end, where) if end in row else typical for end in ("low", "high")
    )
    if not low <= typical <= high:
        raise EnergyTableError(f"{where}: value must be in {low}..{high}, not {typical}")
    bits = row.get("access_bits", 0)
    if memory and (type(bits) is not int or bits < 1):
        raise EnergyTableError(f"{where}: access_bits must be a positive integer, not {bits!r}")
    return Quantity(
        typical,
        unit,
        node,
        source,
        date,
        measured=row["measured"],
        low=low,
        high=high,
        access_bits=bits,
    )
