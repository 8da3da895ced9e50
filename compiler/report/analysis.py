"""The page of `joulecut analyze`, from the document that `--json` prints."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from joulecut.compiler.report.charts import layer_charts
from joulecut.compiler.report.files import Table, Value
from joulecut.compiler.report.graph_drawing import CutLine, boxes_of, draw
from joulecut.compiler.report.page import Card, Page, Section
from joulecut.compiler.report.pareto import pareto_section
from joulecut.compiler.report.search_sections import search_cards, search_sections

DRAWN = 60  # more cuts than this hide the network


def analysis_page(document: Mapping[str, Any]) -> Page:
    """The page of what `joulecut analyze --json` prints; what a search found comes first."""
    cuts, best = _cuts(document)
    found = document.get("search")
    return Page(
        f"{document['model']}: where to cut",
        f"{document['dialect']} model. Energies are modelled by table "
        f"{document['energy_table']} and link {document['radio']['link']} "
        f"({document['radio']['description']}); "
        f"{'outside the search ' if found else ''}what crosses is not compressed. MACs and bytes "
        f"are counted from the graph.{'' if found else ' Nothing was run.'}",
        [*(search_cards(found) if found else []), *_cards(document, best)],
        [
            *(search_sections(found) if found else []),
            *_drawing(document, best),
            *_fronts(document),
            cuts,
            _layers(document),
        ],
    )


def _cards(document: Mapping[str, Any], best: int) -> list[Card]:
    cards = [
        Card(f"{document['macs']:,}", "multiply-accumulates (counted)"),
        Card(f"{document['weight_bytes']:,} B", "of weights (counted)"),
        Card(_count(document), "legal cuts"),
    ]
    if best >= 0:
        cut = document["cuts"][best]
        cards += [
            Card(_name(cut), "cut of least energy at the edge"),
            Card(f"{cut['total_pj'] / 1e6:,.2f} uJ", "edge energy there (modelled)"),
        ]
    return cards


def _count(document: Mapping[str, Any]) -> str:
    return f"{len(document['cuts']):,}{'' if document['cuts_complete'] else ' or more'}"


def _drawing(document: Mapping[str, Any], best: int) -> list[Section]:
    """The network; Pareto cuts first, then those at one tensor, as many as leave it readable."""
    boxes = boxes_of(document["layers"])
    if not boxes:
        return []
    cuts: list[Mapping[str, Any]] = document["cuts"]
    first = sorted(
        range(len(cuts)),
        key=lambda i: (i != best, not cuts[i]["pareto"], len(cuts[i]["tensors"])),
    )
    lines = [_line(cuts[i]) for i in sorted(first[: max(DRAWN, 2 * len(boxes))])]
    note = (
        f"{len(lines):,} of {len(cuts):,} cuts are drawn. Heavy lines: no other cut has both "
        "fewer MACs at the edge and fewer bytes to send. A cut separates what is above its line, "
        "with all that it needs, from the rest; the bytes are those that cross."
    )
    return [
        Section("The network and its cuts", chart=draw(boxes, lines), note=note, name="graph")
    ]


def _line(cut: Mapping[str, Any]) -> CutLine:
    return CutLine(f"{cut['bytes']:,} B: {_name(cut)}", tuple(cut["tensors"]), cut["pareto"])


def _fronts(document: Mapping[str, Any]) -> list[Section]:
    if not document["cuts"]:
        return []
    rows = [{**cut, "uj": cut["total_pj"] / 1e6} for cut in document["cuts"]]
    return [
        pareto_section(
            "Work at the edge against bytes to send", rows,
            ("edge_macs", "MACs at the edge (counted)"), ("bytes", "bytes to send (counted)"),
            label="tensors", log=(False, True), name="pareto-bytes",
        ),
        pareto_section(
            "Work at the edge against its energy", rows,
            ("edge_macs", "MACs at the edge (counted)"), ("uj", "energy, uJ (modelled)"),
            label="tensors", log=(False, True), name="pareto-energy",
        ),
    ]  # fmt: skip


def _cuts(document: Mapping[str, Any]) -> tuple[Section, int]:
    """The table of cuts, and the number of the cut of least energy, -1 if there is none."""
    energies = ("compute", "memory", "radio", "total")
    rows: list[tuple[Value, ...]] = [
        (
            _name(cut),
            cut["pareto"],
            cut["bytes"],
            cut["edge_macs"],
            cut["cloud_macs"],
            *(cut[f"{name}_pj"] / 1e6 for name in energies),
        )
        for cut in document["cuts"]
    ]
    table = Table(
        "cuts",
        "Cuts",
        (
            "cut",
            "Pareto",
            "bytes",
            "edge MACs",
            "cloud MACs",
            *(f"{name} uJ" for name in energies),
        ),
        tuple(rows),
    )
    totals = [cut["total_pj"] for cut in document["cuts"]]
    best = totals.index(min(totals)) if totals else -1
    note = "Energy of the edge for one inference, modelled. The cut of least energy is set off."
    return Section.of(table, best=best, note=note), best


def _layers(document: Mapping[str, Any]) -> Section:
    layers = document["layers"]
    names = [str(layer["name"]) for layer in layers]
    keys = ("name", "kind", "shape", "dtype", "bits", "macs", "weight_bytes", "output_bytes")
    table = Table(
        "layers",
        "Layers",
        ("layer", "kind", "shape", "type", "bits", "MACs", "weight bytes", "output bytes"),
        tuple(tuple(_value(layer[key]) for key in keys) for layer in layers),
    )
    floats = ", ".join(document["float_nodes"])
    return Section.of(
        table,
        chart=layer_charts(names, [layer["macs"] for layer in layers], "MACs (counted)")
        + layer_charts(
            names, [layer["output_bytes"] for layer in layers], "bytes of output (counted)"
        ),
        note=f"Stay in float: {floats}." if floats else "",
    )


def _name(cut: Mapping[str, Any]) -> str:
    return " + ".join(cut["tensors"])


def _value(value: Any) -> Value:
    if isinstance(value, list):
        return " x ".join(map(str, cast("list[object]", value)))
    return value
