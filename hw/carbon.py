"""What a kilowatt-hour of a country's electricity emits, and who says so (hw/tables/carbon.toml)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from types import MappingProxyType

from joulecut.hw import table_rows as rows
from joulecut.hw.energy_table import Quantity, parse_quantity

_CODE = re.compile("[A-Z]{2}")


@dataclass(frozen=True)
class CarbonTable:
    """Carbon intensities of electricity.

    Attributes:
        name: what results name.
        description: what the values have in common, and what not.
        regions: kg of CO2 equivalent per kWh by ISO 3166-1 alpha-2 code, and by EU; the node of a
            row is the country's name.
    """

    name: str
    description: str
    regions: Mapping[str, Quantity]

    def region(self, code: str) -> Quantity:
        """What a kilowatt-hour emits in a country.

        Args:
            code: ISO 3166-1 alpha-2, in small or capital letters, or EU.

        Raises:
            TableError: the country is not in the table; the error names the closest that is.
        """
        row = self.regions.get(code.upper())
        if row is None:
            closest = self._closest(code)
            raise rows.TableError(
                f"region must be one of {', '.join(self.regions)}, not '{code}'; "
                f"the closest is {closest} ({self.regions[closest].node})"
            )
        return row

    def _closest(self, wanted: str) -> str:
        """The code whose letters, name or initials are most like a text."""
        codes = {
            text.lower(): code
            for code, row in self.regions.items()
            for text in ("".join(re.findall(r"\b\w", row.node)), row.node, code)
        }
        return codes[get_close_matches(wanted.lower(), codes, n=1, cutoff=0)[0]]


def load_carbon(path: str | Path | None = None) -> CarbonTable:
    """Read and check the table that comes with joulecut, or one's own.

    Raises:
        TableError: there is no such file, or something in it is missing, unknown, or not a
            number that an intensity can be.
    """
    found = rows.TABLES / "carbon.toml" if path is None else Path(path)
    if not found.is_file():
        raise rows.TableError(f"carbon table must be a .toml file, not '{path}'")
    return parse_carbon(rows.read(found), where=found.name)


def parse_carbon(text: str, where: str = "carbon table") -> CarbonTable:
    """The table in a toml text; `where` names it in errors, which are TableError."""
    top = rows.section(rows.parse(text, where), where, {"name", "description", "regions"})
    regions: dict[str, Quantity] = {}
    for code, row in rows.entries(top["regions"], f"{where}: regions").items():
        if not _CODE.fullmatch(code):
            raise rows.TableError(
                f"{where}: regions must have two capital letters (ISO 3166-1 alpha-2), not '{code}'"
            )
        regions[code] = parse_quantity(row, f"{where}: regions.{code}", {"kg/kWh"})
    return CarbonTable(
        name=rows.text(top, "name", where),
        description=rows.text(top, "description", where).strip(),
        regions=MappingProxyType(regions),
    )
