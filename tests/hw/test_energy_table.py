"""The table of prices: what it says, and every text with which it refuses a file."""

from __future__ import annotations

from pathlib import Path

import pytest

from joulecut.hw.energy_table import EnergyTableError, load_table, parse_table, tables

ROW = 'unit = "pJ", node = "7 nm", source = "a person", date = "2024-05-01", measured = true'
GOOD = f"""
name = "mine"
description = "one of everything"
[operations.int8]
add = {{ value = 1, {ROW} }}
mul = {{ value = 2.5, {ROW} }}
[memories]
sram = {{ value = 4, low = 3, high = 5, access_bits = 32, {ROW} }}
[carbon]
eu = {{ value = 0.1, {ROW.replace("pJ", "kg/kWh")} }}
"""


def test_the_45_nm_table_is_that_of_the_paper():
    table = load_table("horowitz_45nm")
    operations = {
        name: (operation.add.pj(), operation.mul.pj())
        for name, operation in table.operations.items()
    }
    assert operations == {
        "int8": (0.03, 0.2),
        "fp16": (0.4, 1.1),
        "int32": (0.1, 3.1),
        "fp32": (0.9, 3.7),
    }
    assert {name: row.pj() for name, row in table.memories.items()} == {
        "sram_8kb": 10,
        "sram_32kb": 20,
        "sram_1mb": 100,
        "dram": 1950,
    }
    dram = table.memory("dram")
    assert (dram.pj("low"), dram.pj("high"), dram.access_bits) == (1300, 2600, 64)
    assert table.region("eu").value == 0.275
    assert table.instruction("in_order").pj() == 70


@pytest.mark.parametrize("name", tables())
def test_every_row_has_a_parent_and_nothing_is_called_measured(name: str):
    table = load_table(name)
    assert table.name == name
    rows = [*table.memories.values(), *table.carbon.values(), *table.instructions.values()]
    rows += [row for op in table.operations.values() for row in (op.add, op.mul)]
    assert all(row.source and row.node and row.date for row in rows)
    assert not any(row.measured for row in rows)


@pytest.mark.parametrize("name", ["carbon", "links"])
def test_tables_of_other_things_are_no_energy_tables(name: str):
    assert name not in tables()
    text = rf"energy table must be one of horowitz_45nm or a \.toml file, not '{name}'"
    with pytest.raises(EnergyTableError, match=text):
        load_table(name)


def test_instructions_are_optional():
    with pytest.raises(
        EnergyTableError, match="instructions of 'mine' must be one of none, not"
    ):
        parse_table(GOOD).instruction("in_order")
    row = f"[instructions]\nbig = {{ value = 9, {ROW} }}\n"
    assert parse_table(GOOD + row).instruction("big").pj() == 9
    with pytest.raises(EnergyTableError, match=r"instructions\.big: unit must be"):
        parse_table(GOOD + row.replace('"pJ"', '"V"'))


def test_a_table_of_ones_own(tmp_path: Path):
    path = tmp_path / "mine.toml"
    path.write_text(GOOD)
    table = load_table(path)
    assert table == parse_table(GOOD)
    sram = table.memory("sram")
    assert (sram.pj("low"), sram.pj(), sram.pj("high")) == (3, 4, 5)
    row = table.operation("int8").add
    assert (row.source, row.node, row.date, row.measured) == (
        "a person",
        "7 nm",
        "2024-05-01",
        True,
    )


def test_a_table_does_not_change():
    table = parse_table(GOOD)
    with pytest.raises(TypeError):
        table.memories["sram"] = table.memory("sram")  # pyright: ignore[reportIndexIssue]
    with pytest.raises(AttributeError):
        table.name = "other"  # pyright: ignore[reportAttributeAccessIssue]


@pytest.mark.parametrize(
    ("before", "after", "text"),
    [
        ('name = "mine"', "", "table: name must be there"),
        ('name = "mine"', 'name = "mine"\nauthor = "me"', "table: keys must be among carbon, .*, not author"),
        ('name = "mine"', 'name = ""', "table: name must be a text, not ''"),
        ('name = "mine"', "name = ", "table: text must be TOML: "),
        ("mul = {", "div = {", r"operations.int8: mul must be there"),
        ("value = 1,", "value = -1,", "operations.int8.add: value must be a positive number, not -1"),
        ("value = 1,", "value = nan,", "operations.int8.add: value must be a positive number, not nan"),
        ("value = 1,", "value = true,", "operations.int8.add: value must be a positive number, not True"),
        ("value = 1,", "value = '1',", "operations.int8.add: value must be a positive number, not '1'"),
        ("value = 1,", "value = 1, pj = 1,", "operations.int8.add: keys must be among .*, not pj"),
        ("value = 1,", "value = 1, access_bits = 8,", "operations.int8.add: keys must be among .*, not access_bits"),
        ('unit = "pJ"', 'unit = "J"', "operations.int8.add: unit must be nJ, pJ, not 'J'"),
        ('"kg/kWh"', '"pJ"', "carbon.eu: unit must be kg/kWh, not 'pJ'"),
        ('date = "2024-05-01"', 'date = "May"', "operations.int8.add: date must be YYYY, .*, not 'May'"),
        ('source = "a person"', 'source = " "', "operations.int8.add: source must be a text, not ' '"),
        ("measured = true", 'measured = "yes"', "operations.int8.add: measured must be true or false, not 'yes'"),
        ("low = 3", "low = 4.5", r"memories.sram: value must be in 4.5..5.0, not 4.0"),
        ("access_bits = 32", "access_bits = 0", "memories.sram: access_bits must be a positive integer, not 0"),
        ("access_bits = 32,", "", "memories.sram: access_bits must be there"),
        ("[carbon]", "[carbon.eu.x]\n[other]", "table: keys must be among .*, not other"),
        ("[operations.int8]", "[operations]", "operations.add: add, mul must be there"),
    ],
)  # fmt: skip
def test_what_a_table_may_not_say(before: str, after: str, text: str):
    assert before in GOOD
    with pytest.raises(EnergyTableError, match=text):
        parse_table(GOOD.replace(before, after, 1))


def test_sections_must_have_rows():
    text = 'name = "a"\ndescription = "b"\noperations = {}\nmemories = {}\ncarbon = {}'
    with pytest.raises(
        EnergyTableError, match="operations must be a table with one row or more"
    ):
        parse_table(text)
    text = text.replace("operations = {}", "operations = { int8 = 3 }")
    with pytest.raises(EnergyTableError, match=r"operations.int8 must be a table, not 3"):
        parse_table(text)


def test_a_table_that_is_not_there():
    text = r"energy table must be one of horowitz_45nm or a .toml file, not 'horowitz_7nm'"
    with pytest.raises(EnergyTableError, match=text):
        load_table("horowitz_7nm")
    with pytest.raises(EnergyTableError, match=r"not 'nowhere/x.toml'"):
        load_table(Path("nowhere/x.toml"))


def test_a_file_that_is_no_text(tmp_path: Path):
    path = tmp_path / "bytes.toml"
    path.write_bytes(b"name = '\xff'")
    with pytest.raises(EnergyTableError, match=r"bytes.toml: text must be UTF-8"):
        load_table(path)


def test_what_a_table_lacks():
    table = parse_table(GOOD)
    with pytest.raises(
        EnergyTableError, match="number format of 'mine' must be one of int8, not 'fp8'"
    ):
        table.operation("fp8")
    with pytest.raises(
        EnergyTableError, match="memory of 'mine' must be one of sram, not 'dram'"
    ):
        table.memory("dram")
    with pytest.raises(EnergyTableError, match="region of 'mine' must be one of eu, not 'fr'"):
        table.region("fr")


def test_the_table_in_the_documentation_is_a_table():
    page = (Path(__file__).parents[2] / "docs" / "energy.md").read_text("utf-8")
    example = page.split("```toml")[1].split("```")[0]
    assert parse_table(example).memory("dram").pj("high") == 2600
