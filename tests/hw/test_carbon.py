"""Carbon intensities by country: sources, a hand-worked sum, and every text of a refusal."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from joulecut.hw.carbon import load_carbon, parse_carbon
from joulecut.hw.energy import co2_kg, load_table
from joulecut.hw.table_rows import TableError

ROW = 'unit = "kg/kWh", node = "Germany", source = "a person", date = "2023", measured = false'
GOOD = f"""
name = "mine"
description = "one country"
[regions]
DE = {{ value = 0.4, {ROW} }}
"""


def test_the_eu_is_the_papers_in_both_tables():
    eu = load_carbon().region("EU")
    assert eu.value == load_table("horowitz_45nm").region("eu").value == 0.275
    assert eu.source == load_table("horowitz_45nm").region("eu").source
    assert co2_kg(load_carbon(), 3.6e6) == co2_kg(load_table("horowitz_45nm"), 3.6e6) == 0.275


def test_every_country_has_a_name_a_source_and_a_year():
    table = load_carbon()
    assert len(table.regions) > 25
    names = [row.node for row in table.regions.values()]
    assert len(set(names)) == len(names)
    for code, row in table.regions.items():
        assert row.source
        assert not row.measured
        assert 0.01 < row.value < 1, code
        assert code == "EU" or re.fullmatch(r"20\d\d", row.date)


@pytest.mark.parametrize(
    ("code", "kg_per_kwh"),
    [("FR", 0.056), ("de", 0.381), ("Pl", 0.662), ("SE", 0.041), ("IN", 0.713)],
)
def test_figures_as_printed_by_the_source(code: str, kg_per_kwh: float):
    assert load_carbon().region(code).value == kg_per_kwh
    assert co2_kg(load_carbon(), 7.2e6, code) == pytest.approx(2 * kg_per_kwh)


@pytest.mark.parametrize(
    ("code", "closest"),
    [
        ("Germany", r"DE \(Germany\)"),
        ("uk", r"GB \(United Kingdom\)"),
        ("USA", r"US \(United States\)"),
        ("swedn", r"SE \(Sweden\)"),
        ("", r"[A-Z]{2} \(.+\)"),
    ],
)
def test_a_country_that_is_not_there(code: str, closest: str):
    text = rf"^region must be one of EU, AT, .*, ZA, not '{code}'; the closest is {closest}$"
    with pytest.raises(TableError, match=text):
        load_carbon().region(code)


def test_a_table_of_ones_own(tmp_path: Path):
    path = tmp_path / "mine.toml"
    path.write_text(GOOD)
    assert load_carbon(path) == parse_carbon(GOOD)
    assert load_carbon(path).region("DE").value == 0.4


def test_no_such_file(tmp_path: Path):
    path = tmp_path / "none.toml"
    with pytest.raises(
        TableError, match=rf"^carbon table must be a \.toml file, not '{path}'$"
    ):
        load_carbon(path)


@pytest.mark.parametrize(
    ("before", "after", "text"),
    [
        ('name = "mine"', "", "carbon table: name must be there"),
        ("DE = {", "de = {", r"regions must have two capital letters \(ISO 3166-1 alpha-2\), not 'de'"),
        ("value = 0.4", "value = 0", r"regions\.DE: value must be a positive number, not 0"),
        ("kg/kWh", "g/kWh", r"regions\.DE: unit must be kg/kWh, not 'g/kWh'"),
        ('"2023"', '"last year"', r"regions\.DE: date must be YYYY, .* not 'last year'"),
        ("[regions]", "[countries]", "regions must be there"),
    ],
)  # fmt: skip
def test_what_a_table_may_not_say(before: str, after: str, text: str):
    with pytest.raises(TableError, match=text):
        parse_carbon(GOOD.replace(before, after))
