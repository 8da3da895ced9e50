"""The page of `joulecut analyze`, from the very document that --json prints."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from joulecut.compiler.report import charts
from joulecut.compiler.report.charts import Point
from joulecut.compiler.report.files import Table, Value
from joulecut.compiler.report.network import Box, CutMark, drawing
from joulecut.compiler.report.page import Card, Page, Section

Document = Mapping[str, Any]

MOST_BARS = 80  # of a chart of layers or cuts; the tables have all


def analysis_page(document: Document) -> Page:
    """Network, layers and cuts; and what a search chose, if there was one."""
    found = document.get("search")
    cards = [
        Card(f"{len(document['layers'])}", "layers"),
        Card(f"{document['macs'] / 1e6:,.2f} M", "multiply-accumulates (counted)"),
        Card(f"{document['weight_bytes']:,} B", "weights (counted)"),
        Card(f"{len(document['cuts'])}", "legal cuts"),
        *(_best_cards(found["best"]) if found else []),
    ]
    sections = [
        *(_search_sections(found) if found else []),
        _network(document),
        *_cut_sections(document),
        *_layer_sections(document),
    ]
    lead = (
        f"{document['dialect']}; link {document['radio']['link']}: "
        f"{document['radio']['description']}; energies by {document['energy_table']}."
    )
    return Page(f"Where to cut {document['model']}", lead, cards, sections)


def cut_name(row: Document) -> str:
    """The tensors that cross."""
    return " + ".join(row["tensors"])


def _network(document: Document) -> Section:
    """Drawn with all cuts; those on the front are numbered as in the table of cuts."""
    boxes = [
        Box(name, "input")
        for name in dict.fromkeys(
            name
            for row in document["layers"]
            for name in row["inputs"]
            if name not in {other["name"] for other in document["layers"]}
        )
    ]
    boxes += [
        Box(
            row["name"],
            row["kind"],
            tuple(row["inputs"]),
            " x ".join(map(str, row["shape"][1:])),
        )
        for row in document["layers"]
    ]
    found = document.get("search")
    best = set(found["best"]["tensors"]) if found else _cheapest(document)
    marks = [
        CutMark(
            tuple(row["tensors"]),
            str(number) if row["pareto"] or set(row["tensors"]) == best else "",
            set(row["tensors"]) == best,
        )
        for number, row in enumerate(document["cuts"], 1)
    ]
    return Section(
        "Network and cuts",
        chart=f'<div class="drawing">{drawing(boxes, marks, document["model"])}</div>',
        note="Dashes are legal cuts. Numbered ones are not beaten in MACs and bytes (rows of the "
        "table of cuts); the thick one is the best. A cut at several tensors has a mark at each.",
    )


def _cheapest(document: Document) -> set[str]:
    row = min(document["cuts"], key=lambda each: each["total_pj"], default=None)
    return set() if row is None else set(row["tensors"])


def _cut_sections(document: Document) -> list[Section]:
    cuts = document["cuts"]
    points = [
        Point(row["edge_macs"] + 1, row["bytes"], f"{number}: {cut_name(row)}")
        for number, row in enumerate(cuts, 1)
    ]
    front = [point for point, row in zip(points, cuts, strict=True) if row["pareto"]]
    others = [point for point, row in zip(points, cuts, strict=True) if not row["pareto"]]
    axes = ("MACs at the edge, plus 1 (counted)", "bytes that cross, uncompressed (counted)")
    rows = tuple(
        (
            number,
            cut_name(row),
            row["bytes"],
            row["edge_macs"],
            *(row[f"{part}_pj"] / 1e6 for part in ("compute", "memory", "radio", "total")),
            row["pareto"],
        )
        for number, row in enumerate(cuts, 1)
    )
    least = min(range(len(cuts)), key=lambda i: cuts[i]["total_pj"], default=-1)
    shown = _evenly(cuts)
    parts = {
        part: [row[f"{part}_pj"] / 1e6 for row in shown]
        for part in ("compute", "memory", "radio")
    }
    energy = charts.stacked(
        [cut_name(row) for row in shown],
        parts,
        "energy of the edge per inference, uJ (modelled), nothing compressed",
    )
    return [
        Section(
            "Work against bytes",
            chart=charts.to_html(charts.pareto(front, others, axes)),
        ),
        Section.of(
            Table(
                "cuts",
                "Cuts",
                (
                    "no.",
                    "cut",
                    "bytes",
                    "edge MACs",
                    "compute uJ",
                    "memory uJ",
                    "radio uJ",
                    "total uJ",
                    "not beaten",
                ),
                rows,
            ),
            chart=charts.to_html(energy),
            note="Bytes and MACs are counted, energies modelled. What crosses is not compressed.",
            best=least,
        ),
    ]


def _layer_sections(document: Document) -> list[Section]:
    layers = document["layers"]
    shown = [row for row in layers if row["macs"]][:MOST_BARS]
    bars = charts.layer_bars(
        [row["name"] for row in shown],
        [row["macs"] for row in shown],
        "MACs of layers that have any (counted)",
    )
    rows = tuple(
        (
            row["name"],
            row["kind"],
            f"{row['dtype']} {row['shape']}",
            row["bits"],
            row["macs"],
            row["weight_bytes"],
            row["output_bytes"],
        )
        for row in layers
    )
    columns = ("layer", "kind", "output", "bits", "MACs", "weight bytes", "output bytes")
    table = Table("layers", "Layers", columns, rows)
    return [Section.of(table, chart=charts.to_html(bars))]


def _best_cards(best: Document) -> list[Card]:
    cards = [
        Card(cut_name(best), f"best cut, {_coded(best)}, edge on {best['edge']}"),
        Card(
            f"{best['energy_j'] * 1e6:.3g} uJ",
            f"energy of the edge per inference ({best['provenance']['energy']})",
        ),
    ]
    if best["latency_s"] is not None:
        how = best["provenance"]["latency"]
        cards.append(Card(f"{best['latency_s'] * 1e3:.3g} ms", f"latency ({how})"))
    if best["accuracy"] is not None:
        cards.append(Card(f"{100 * best['accuracy']:.1f} %", "accuracy (measured)"))
    return cards


def _search_sections(found: Document) -> list[Section]:
    best, front = found["best"], found["pareto"]
    late = all(row["latency_s"] is not None for row in (best, *front))
    second = "latency_s" if late else "bytes"

    def point(row: Document) -> Point:
        label = f"{cut_name(row)}, {_coded(row)}, {row['edge']}"
        y = row["latency_s"] * 1e3 if late else row["bytes"]
        return Point(row["energy_j"] * 1e6, y, label, row["edge"])

    axes = (
        f"energy of the edge, uJ ({best['provenance']['energy']})",
        f"latency, ms ({best['provenance']['latency']})" if late else "bytes that cross",
    )
    scatter = charts.pareto([point(row) for row in front], [], axes, point(best))
    table = Table(
        "candidates",
        f"The best by {found['objective']}, and what nothing beats",
        (
            "cut",
            "coded",
            "edge",
            "bytes",
            "energy uJ",
            "latency ms",
            "SQNR dB",
            "accuracy %",
            f"CO2 ug ({found['country']})",
        ),
        tuple(_cells(row) for row in (best, *(row for row in front if row != best))),
    )
    sections = [
        Section.of(
            table,
            chart=charts.to_html(scatter),
            note=f"{found['candidates']:,} candidates: {found['cuts']} cuts, "
            f"{found['settings']} ways to code, every edge. The front is that of energy, "
            f"{'latency' if second == 'latency_s' else 'bytes'} and SQNR. Bytes are "
            f"{best['provenance']['bytes']}. " + _provisos(found),
            best=0,
        )
    ]
    curves = found.get("rate_distortion", [])
    if curves:
        sections.append(_rate_distortion(best, curves))
    if found.get("selection"):
        sections.append(_selection(found["selection"]))
    return sections


def _rate_distortion(best: Document, rows: Sequence[Document]) -> Section:
    series: dict[str, list[tuple[float, float]]] = {}
    for row in rows:
        if row["sqnr_db"] is not None:
            name = f"{row['quantizer']}, {row['entropy']}"
            series.setdefault(name, []).append((row["bits_per_element"], row["sqnr_db"]))
    figure = charts.lines(
        {name: sorted(points) for name, points in series.items()},
        ("bits an element (measured)", "SQNR, dB (measured)"),
        f"what coding costs at {cut_name(best)}",
    )
    columns = ("quantizer", "index bits", "lossless stage", "bits an element", "SQNR dB")
    cells = tuple(
        (
            row["quantizer"],
            row["bits"],
            row["entropy"],
            row["bits_per_element"],
            "exact" if row["sqnr_db"] is None else row["sqnr_db"],
        )
        for row in rows
    )
    table = Table("rate-distortion", "Rate and distortion", columns, cells)
    return Section.of(table, chart=charts.to_html(figure))


def _selection(rows: Sequence[Document]) -> Section:
    """Rates rise to the right: what is best for a fast link stands there."""
    ends = [(row["rate_from"], row["rate_to"], row["cut"]) for row in rows]
    figure = charts.bands(ends, "rate of the link, bits a second", "best cut by rate")
    columns = ("cut", "from bit/s", "to bit/s")
    cells = tuple((row["cut"], row["rate_from"], row["rate_to"]) for row in rows)
    return Section.of(
        Table("selection", "When the channel moves", columns, cells),
        chart=charts.to_html(figure),
        note="Cuts coded without loss, by least energy of the edge; docs/selection.md. The ends "
        "of the axis stand for 0 and infinity.",
    )


def _provisos(found: Document) -> str:
    notes = [note for place in found["places"] for note in place["notes"]]
    if not found["samples"]["given"]:
        notes.insert(0, "inputs were random: bytes say little of real ones")
    return " ".join(f"{note}." for note in notes)


def _coded(row: Document) -> str:
    if row["bits"] is None:
        return "lossless" if row["entropy"] == "best" else f"lossless, {row['entropy']}"
    stage = "" if row["entropy"] == "best" else f", {row['entropy']}"
    return f"{row['quantizer']} {row['bits']} bits{stage}"


def _cells(row: Document) -> tuple[Value, ...]:
    return (
        cut_name(row),
        _coded(row),
        row["edge"],
        row["bytes"],
        row["energy_j"] * 1e6,
        None if row["latency_s"] is None else row["latency_s"] * 1e3,
        "exact" if row["sqnr_db"] is None else row["sqnr_db"],
        None if row["accuracy"] is None else row["accuracy"] * 100,
        row["co2_kg"] * 1e9,
    )


def _evenly(rows: Sequence[Document]) -> Sequence[Document]:
    """At most as many as a chart shows, from all over the network."""
    step = -(-len(rows) // MOST_BARS) or 1
    return rows[::step]
