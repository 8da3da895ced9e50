"""What `joulecut analyze --objective` adds to its page, from the document that `--json` prints."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from joulecut.compiler.report.charts import to_html
from joulecut.compiler.report.files import Table, Value
from joulecut.compiler.report.page import Card, Section
from joulecut.compiler.report.pareto import pareto_section
from joulecut.compiler.report.rate_distortion import Curve, rate_distortion
from joulecut.compiler.report.selection_bands import selection_bands

Document = Mapping[str, Any]


def search_cards(found: Document) -> list[Card]:
    """The best candidate."""
    best = found["best"]
    cards = [
        Card(
            _cut(best), f"best cut by {found['objective']}, {_coded(best)}, on {best['edge']}"
        ),
        Card(
            f"{best['energy_j'] * 1e6:.3g} uJ",
            f"energy of the edge there ({best['provenance']['energy']})",
        ),
    ]
    if best["latency_s"] is not None:
        how = best["provenance"]["latency"]
        cards.append(Card(f"{best['latency_s'] * 1e3:.3g} ms", f"latency there ({how})"))
    if best["accuracy"] is not None:
        cards.append(Card(f"{100 * best['accuracy']:.1f} %", "accuracy there (measured)"))
    return cards


def search_sections(found: Document) -> list[Section]:
    """The front of all candidates, what coding costs at the best cut, and cuts by rate."""
    best = found["best"]
    how = best["provenance"]
    rows = [
        {
            **row,
            "name": f"{_cut(row)}, {_coded(row)}, {row['edge']}",
            "uj": row["energy_j"] * 1e6,
            "ms": None if row["latency_s"] is None else row["latency_s"] * 1e3,
        }
        for row in found["pareto"]
    ]
    sections = [
        pareto_section(
            "Energy against latency, of what nothing beats", rows,
            ("uj", f"energy of the edge, uJ ({how['energy']})"),
            ("ms", f"latency, ms ({how['latency']})"),
            log=(True, True), name="energy-latency",
            note="Points off the line are not beaten because they keep more (SQNR).",
        ),
        Section.of(_candidates(found), best=0, note=_provisos(found)),
    ]  # fmt: skip
    if found["rate_distortion"]:
        sections.append(_rate_distortion(found))
    if found["selection"]:
        sections.append(_selection(found["selection"]))
    return sections


def _candidates(found: Document) -> Table:
    best = found["best"]
    columns = (
        "cut",
        "coded",
        "edge",
        "bytes",
        "energy uJ",
        "latency ms",
        "SQNR dB",
        "accuracy %",
        f"CO2 ug ({found['country']})",
    )
    rows = (best, *(row for row in found["pareto"] if row != best))
    title = f"The best by {found['objective']}, then what nothing beats"
    return Table("candidates", title, columns, tuple(map(_cells, rows)))


def _cells(row: Document) -> tuple[Value, ...]:
    return (
        _cut(row),
        _coded(row),
        row["edge"],
        row["bytes"],
        row["energy_j"] * 1e6,
        None if row["latency_s"] is None else row["latency_s"] * 1e3,
        "exact" if row["sqnr_db"] is None else row["sqnr_db"],
        None if row["accuracy"] is None else row["accuracy"] * 100,
        row["co2_kg"] * 1e9,
    )


def _rate_distortion(found: Document) -> Section:
    rows = found["rate_distortion"]
    lossy = [row for row in rows if row["sqnr_db"] is not None]
    groups = dict.fromkeys((row["quantizer"], row["entropy"]) for row in lossy)
    curves = [
        Curve(
            f"{quantizer}, {entropy}",
            [row["bits_per_element"] for row in own],
            [row["sqnr_db"] for row in own],
            [f"{row['bits']} bits" for row in own],
        )
        for quantizer, entropy in groups
        for own in [
            [row for row in lossy if (row["quantizer"], row["entropy"]) == (quantizer, entropy)]
        ]
    ]
    columns = ("quantizer", "index bits", "lossless stage", "bits an element", "SQNR dB")
    keys = ("quantizer", "bits", "entropy", "bits_per_element")
    table = Table(
        "rate-distortion",
        f"What coding costs at {_cut(found['best'])} (measured)",
        columns,
        tuple(
            (*(row[key] for key in keys), "exact" if row["sqnr_db"] is None else row["sqnr_db"])
            for row in rows
        ),
    )
    chart = to_html(rate_distortion("", curves, "SQNR, dB (measured)")) if curves else ""
    return Section.of(table, chart=chart)


def _selection(rows: list[Document]) -> Section:
    """The table of cuts by rate; the chart counts seconds a bit, as the table in a bundle does."""
    falling = rows[::-1]
    starts = [0.0, *(1 / row["rate_to"] for row in falling[1:])]
    figure = selection_bands(
        "", starts, [row["cut"] for row in falling], "seconds a bit: 1 / rate (modelled)"
    )
    columns = ("cut", "from bit/s", "to bit/s")
    cells = tuple((row["cut"], row["rate_from"], row["rate_to"]) for row in rows)
    return Section.of(
        Table("selection", "When the channel moves", columns, cells),
        chart=to_html(figure),
        note="Cuts coded without loss on the first edge, by least energy of the edge. The first "
        "and the last rate stand for 0 and infinity.",
    )


def _provisos(found: Document) -> str:
    notes = [note for place in found["places"] for note in place["notes"]]
    if not found["samples"]["given"]:
        notes.insert(0, "inputs were random: bytes say little of real ones")
    counted = (
        f"{found['candidates']:,} candidates: {found['cuts']} cuts, {found['settings']} ways to "
        f"code, every edge. Bytes are {found['best']['provenance']['bytes']}"
    )
    return " ".join(f"{note}." for note in (counted, *notes))


def _cut(row: Document) -> str:
    return " + ".join(row["tensors"])


def _coded(row: Document) -> str:
    stage = "" if row["entropy"] == "best" else f", {row['entropy']}"
    return (
        f"lossless{stage}"
        if row["bits"] is None
        else f"{row['quantizer']} {row['bits']} bits{stage}"
    )
