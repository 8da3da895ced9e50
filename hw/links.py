"""Radio links by name: every value with its unit, its source and how it is known (hw/tables/links.toml)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Literal, cast, get_args

from joulecut.hw import table_rows as rows
from joulecut.hw.radio import RadioLink

Provenance = Literal["measured", "simulated", "modelled", "assumed"]


def _decibels(value: float) -> float:
    return 10 ** (value / 10)


# For each row, its units and what turns them into the base unit of `RadioLink`.
_UNITS: dict[str, dict[str, Callable[[float], float]]] = {
    "bandwidth": {
        "Hz": lambda value: value,
        "kHz": lambda value: value * 1e3,
        "MHz": lambda value: value * 1e6,
    },
    "power": {
        "W": lambda value: value,
        "mW": lambda value: value * 1e-3,
        "dBm": lambda value: _decibels(value - 30),
    },
    "noise_density": {
        "W/Hz": lambda value: value,
        "dBm/Hz": lambda value: _decibels(value - 30),
    },
    "noise_figure": {"dB": _decibels},
    "path_loss": {"dB": _decibels},
}
_REQUIRED = _UNITS.keys() - {"noise_figure"}


@dataclass(frozen=True)
class LinkValue:
    """One row of a link.

    Attributes:
        value: in `unit`.
        unit: as the source has it, decibels among them.
        base: the value in Hz, W or W/Hz, or as a ratio.
        source: who says so, or from what it follows.
        date: when they said it.
        provenance: how it is known.
    """

    value: float
    unit: str
    base: float
    source: str
    date: str
    provenance: Provenance


@dataclass(frozen=True)
class LinkPreset:
    """A link with a name.

    Attributes:
        name: what results name.
        description: one sentence.
        values: bandwidth, power, noise_density, path_loss and, if it has one, noise_figure.
    """

    name: str
    description: str
    values: Mapping[str, LinkValue]

    @property
    def link(self) -> RadioLink:
        """The link at its mean gain; `FadingLink` makes it vary."""
        base = {name: value.base for name, value in self.values.items()}
        return RadioLink(
            bandwidth_hz=base["bandwidth"],
            power_w=base["power"],
            noise_density_w_per_hz=base["noise_density"] * base.get("noise_figure", 1.0),
            gain=1 / base["path_loss"],
        )


def links() -> tuple[str, ...]:
    """Names of the links that come with joulecut."""
    return tuple(_shipped())


def load_link(name: str) -> LinkPreset:
    """The link of that name in hw/tables/links.toml.

    Raises:
        TableError: there is no such link.
    """
    found = _shipped()
    if name not in found:
        raise rows.TableError(f"link must be one of {', '.join(found)}, not '{name}'")
    return found[name]


def parse_links(text: str, where: str = "links") -> Mapping[str, LinkPreset]:
    """The links in a toml text, by name; `where` names it in errors, which are TableError."""
    top = rows.entries(rows.parse(text, where), where)
    return MappingProxyType(
        {name: _preset(name, value, f"{where}: {name}") for name, value in top.items()}
    )


def _shipped() -> Mapping[str, LinkPreset]:
    path = rows.TABLES / "links.toml"
    return parse_links(rows.read(path), where=path.name)


def _preset(name: str, value: object, where: str) -> LinkPreset:
    section = rows.section(
        value, where, {"description", *_REQUIRED}, frozenset({"noise_figure"})
    )
    return LinkPreset(
        name=name,
        description=rows.text(section, "description", where),
        values=MappingProxyType(
            {
                row: _value(section[row], f"{where}.{row}", units)
                for row, units in _UNITS.items()
                if row in section
            }
        ),
    )


def _value(
    value: object, where: str, units: Mapping[str, Callable[[float], float]]
) -> LinkValue:
    row = rows.section(value, where, {"value", "unit", "source", "date", "provenance"})
    unit = rows.unit(row, where, set(units))
    number = (rows.finite if unit.startswith("dB") else rows.positive)(row, "value", where)
    return LinkValue(
        value=number,
        unit=unit,
        base=units[unit](number),
        source=rows.text(row, "source", where),
        date=rows.date(row, where),
        provenance=_provenance(row, where),
    )


def _provenance(row: dict[str, Any], where: str) -> Provenance:
    found = rows.text(row, "provenance", where)
    known = get_args(Provenance)
    if found not in known:
        raise rows.TableError(f"{where}: provenance must be {', '.join(known)}, not '{found}'")
    return cast("Provenance", found)
