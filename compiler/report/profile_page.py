"""The page of `joulecut profile`, from the document that `--json` prints."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from joulecut.compiler.profile import TIME_AXES, Profile, Quantity
from joulecut.compiler.report.charts import layer_charts
from joulecut.compiler.report.files import Table, text_of
from joulecut.compiler.report.page import Card, Page, Section

DRAWN = (*TIME_AXES, "latency", "energy")  # quantities with a chart, if every layer has them


def profile_page(document: Mapping[str, Any]) -> Page:
    """The page.

    Args:
        document: what `joulecut profile --json` prints.

    Raises:
        UntrustedInputError: it is not such a document.
    """
    profile = Profile.from_dict(document)
    total = profile.total()
    part = document.get("part", "part")
    return Page(
        f"The {part} on {profile.device}, layer by layer",
        ". ".join((profile.machine, *profile.notes)) + ".",
        [Card(_amount(q), f"{_words(name)} ({q.provenance})") for name, q in total.items()],
        [
            *(_chart(profile, name, total[name]) for name in DRAWN if name in total),
            Section.of(_table(profile)),
        ],
    )


def _amount(quantity: Quantity) -> str:
    """A quantity in a unit in which it is short."""
    for unit, (larger, factor) in {"ns": ("ms", 1e6), "pJ": ("uJ", 1e6)}.items():
        if quantity.unit == unit and quantity.value >= factor / 100:
            return f"{text_of(quantity.value / factor)} {larger}"
    value = quantity.value
    shown = text_of(int(value) if float(value).is_integer() else value)
    return f"{shown} {quantity.unit}".removesuffix(" 1")


def _chart(profile: Profile, name: str, total: Quantity) -> Section:
    names = [layer.name for layer in profile.layers]
    values = [layer.quantities[name].value for layer in profile.layers]
    weakest = f"{_words(name)}, {total.unit} ({total.provenance})"
    return Section(
        f"{_words(name).capitalize()} of each layer",
        chart=layer_charts(names, values, weakest),
        name=f"by-{name.replace('_', '-')}",
    )


def _table(profile: Profile) -> Table:
    """A row for each layer; what a layer lacks is empty."""
    rows = profile.to_rows()[:-1]
    columns = tuple(dict.fromkeys(["layer", "kind", *(key for row in rows for key in row)]))
    return Table(
        "layers", "Layers", columns, tuple(tuple(row.get(c) for c in columns) for row in rows)
    )


def _words(name: str) -> str:
    return name.replace("_", " ")
