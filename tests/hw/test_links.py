"""Links by name: where every value comes from, link budgets worked by hand, and every refusal."""

from __future__ import annotations

import math
from pathlib import Path
from typing import get_args

import pytest

from joulecut.hw.links import Provenance, links, load_link, parse_links
from joulecut.hw.radio import RadioLink
from joulecut.hw.table_rows import TableError

PAGE = Path(__file__).resolve().parents[2] / "docs/energy.md"
ROW = 'source = "a person", date = "2024", provenance = "measured"'
GOOD = f"""
[mine]
description = "a bench"
bandwidth = {{ value = 200, unit = "kHz", {ROW} }}
power = {{ value = 0, unit = "dBm", {ROW} }}
noise_density = {{ value = -170, unit = "dBm/Hz", {ROW} }}
path_loss = {{ value = 80, unit = "dB", {ROW} }}
"""


def test_the_links_of_the_issue_are_there():
    wanted = ("paper-15khz", "paper-5mhz", "paper-15mhz", "nb-iot", "lte", "wifi")
    assert links() == wanted


@pytest.mark.parametrize(
    ("name", "bandwidth_hz"), [("paper-15khz", 15e3), ("paper-5mhz", 5e6), ("paper-15mhz", 15e6)]
)  # fmt: skip
def test_the_papers_links_are_radio_links_defaults(name: str, bandwidth_hz: float):
    assert load_link(name).link == RadioLink(bandwidth_hz)


@pytest.mark.parametrize("name", links())
def test_every_value_has_a_source_and_says_how_it_is_known(name: str):
    preset = load_link(name)
    assert preset.name == name
    assert preset.description
    assert {"bandwidth", "power", "noise_density", "path_loss"} <= preset.values.keys()
    for value in preset.values.values():
        assert value.source
        assert value.date
        assert value.provenance in get_args(Provenance)
        assert value.provenance != "measured"


@pytest.mark.parametrize(
    ("name", "received_dbm", "noise_dbm"),
    [  # power less path loss; -174 dBm/Hz, the noise figure and 10 log10 of the bandwidth
        ("nb-iot", 23 - 140.9, -174 + 5 + 41.76),
        ("lte", 23 - 116.8, -174 + 5 + 69.54),
        ("wifi", 20 - 74.6, -174 + 7 + 73.01),
    ],
)
def test_a_link_budget_worked_by_hand(name: str, received_dbm: float, noise_dbm: float):
    link = load_link(name).link
    assert 10 * math.log10(link.snr) == pytest.approx(received_dbm - noise_dbm, abs=0.01)


def test_path_losses_follow_from_the_models_that_they_name():
    def loss(name: str) -> float:
        return load_link(name).values["path_loss"].value

    assert loss("nb-iot") == pytest.approx(120.9 + 37.6 * math.log10(1) + 20, abs=0.05)
    assert loss("lte") == pytest.approx(128.1 + 37.6 * math.log10(0.5), abs=0.05)
    indoor = 40.05 + 20 * math.log10(5) + 35 * math.log10(10 / 5) + 2 * 5
    assert loss("wifi") == pytest.approx(indoor, abs=0.05)


@pytest.mark.parametrize("name", links())
def test_the_page_shows_the_link(name: str):
    preset = load_link(name)
    values, link = preset.values, preset.link
    noise = f"{values['noise_density'].value:g} {values['noise_density'].unit}"
    if "noise_figure" in values:
        noise += f" + {values['noise_figure'].value:g} dB"
    cells = (
        f"`{name}`",
        f"{values['bandwidth'].value:g} {values['bandwidth'].unit}",
        f"{values['power'].value:g} {values['power'].unit}",
        noise,
        f"{values['path_loss'].value:g} dB",
        f"{10 * math.log10(link.snr):.1f} dB",
        f"{link.rate_bits_per_s / 1e6:.4g} Mb/s",
    )
    assert f"| {' | '.join(cells)} |" in PAGE.read_text(encoding="utf-8")


def test_units_become_those_of_a_radio_link():
    mine = parse_links(GOOD)["mine"]
    link = mine.link
    assert link.bandwidth_hz == 200e3
    assert link.power_w == pytest.approx(1e-3)
    assert link.noise_density_w_per_hz == pytest.approx(1e-20)
    assert link.gain == pytest.approx(1e-8)
    power = mine.values["power"]
    assert (power.value, power.unit, power.provenance) == (0, "dBm", "measured")
    assert (power.source, power.date) == ("a person", "2024")
    figure = f'noise_figure = {{ value = 3, unit = "dB", {ROW} }}\n'
    noisier = parse_links(GOOD + figure)["mine"].link
    assert noisier.noise_density_w_per_hz == pytest.approx(1e-20 * 10**0.3)


def test_a_link_that_is_not_there():
    text = "^link must be one of paper-15khz, .*, wifi, not '5g'$"
    with pytest.raises(TableError, match=text):
        load_link("5g")


@pytest.mark.parametrize(
    ("before", "after", "text"),
    [
        ("[mine]", "[mine", "^links: text must be TOML: "),
        ('description = "a bench"', "", "^links: mine: description must be there$"),
        ('description = "a bench"', 'description = ""', "^links: mine: description must be a text, not ''$"),
        ("path_loss", "gain", "^links: mine: path_loss must be there$"),
        ("[mine]", "[mine]\ncolour = 1", "^links: mine: keys must be among bandwidth, description, .*, not colour$"),
        ('"kHz"', '"dBm"', r"^links: mine\.bandwidth: unit must be Hz, MHz, kHz, not 'dBm'$"),
        ('"dBm"', '"dB"', r"^links: mine\.power: unit must be W, dBm, mW, not 'dB'$"),
        ("value = 200", "value = -200", r"^links: mine\.bandwidth: value must be a positive number, not -200$"),
        ("value = -170", "value = inf", r"^links: mine\.noise_density: value must be a finite number, not inf$"),
        ("value = 80", "value = '80'", r"^links: mine\.path_loss: value must be a finite number, not '80'$"),
        ("value = 80, ", "", r"^links: mine\.path_loss: value must be there$"),
        ('"measured"', '"guessed"', "provenance must be measured, simulated, modelled, assumed, not 'guessed'$"),
        ('date = "2024"', 'date = "then"', "date must be YYYY, .*, not 'then'$"),
        ('source = "a person"', 'source = ""', "source must be a text, not ''$"),
    ],
)  # fmt: skip
def test_what_a_link_may_not_say(before: str, after: str, text: str):
    with pytest.raises(TableError, match=text):
        parse_links(GOOD.replace(before, after))


def test_a_table_without_links():
    with pytest.raises(
        TableError, match=r"^links must be a table with one row or more, not {}$"
    ):
        parse_links("")
