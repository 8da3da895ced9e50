"""The report of a study as one HTML page: cuts, verification, layers, and where numbers come from."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from joulecut.compiler.profile import Profile
from joulecut.compiler.report import charts, cut_table
from joulecut.compiler.report.cut_table import CutRow
from joulecut.compiler.report.page import Card, Page, Section, render
from joulecut.compiler.verify import Report
from joulecut.hw.energy import co2_kg
from joulecut.hw.energy_table import EnergyTable
from joulecut.hw.radio import RadioLink
from joulecut.targets.study import Study

MAX_COLUMNS = 12  # of a table of layers


def study_page(
    study: Study,
    rows: Sequence[CutRow],
    report: Report,
    profiles: Mapping[str, Profile],
    machine: str,
) -> str:
    """The page as HTML.

    Args:
        study: what was the same for every cut.
        rows: one per cut, at least one.
        report: the verification of one bundle.
        profiles: of that bundle's parts, by "edge" and "cloud".
        machine: the processor and system that measured, in one line.
    """
    best = cut_table.cheapest(list(rows))
    name = study.graph.graph.name or "network"
    page = Page(
        title=f"{name}: every cut, built, run and priced",
        lead=(
            f"Edge: {study.edge} on {study.edge_device}. Cloud: {study.cloud} on "
            f"{study.cloud_device}. {study.samples:,} samples through {len(rows)} cuts, coded "
            f"{study.batch} at a time. Machine: {machine}."
        ),
        cards=_cards(study, rows, best),
        sections=[
            _cuts(study, rows, best),
            *_arrays(rows),
            Section(
                "What crosses",
                chart=charts.to_html(charts.bytes_by_cut(rows)),
                note="Raw: the tensors in memory. Coded: mean of the coded bytes. The line is "
                "the order-0 entropy of what crossed; a coder with one static table cannot "
                "go below it.",
            ),
            _verification(report),
            *(_layers(part, profile) for part, profile in profiles.items()),
            _origins(study.table, study.radio),
        ],
    )
    return render(page)


def _cards(study: Study, rows: Sequence[CutRow], best: CutRow) -> list[Card]:
    inferences = sum(row.inferences for row in rows)
    identical = sum(row.identical for row in rows)
    co2 = co2_kg(study.table, best.total_pj / 1e12)
    cards = [
        Card(best.cut, "cheapest cut on the default link"),
        Card(f"{best.total_pj / 1e6:.2f} uJ", "edge energy per inference (modelled)"),
        Card(f"{best.coded_bytes:,.0f} B", f"across the cut, of {best.raw_bytes:,} (measured)"),
        Card(f"{identical:,} / {inferences:,}", "split outputs identical to the unsplit"),
        Card(f"{co2:.2e} kg", "CO2 per inference (modelled, EU mean)"),
    ]
    if best.accuracy is not None:
        cards.insert(3, Card(f"{100 * best.accuracy:.1f} %", "accuracy when split (measured)"))
    return cards


def _cuts(study: Study, rows: Sequence[CutRow], best: CutRow) -> Section:
    return Section(
        "Cuts",
        cut_table.COLUMNS,
        [cut_table.cells(row) for row in rows],
        charts.to_html(charts.energy_by_cut(rows)),
        "Bytes, bits and accuracies are measured over all samples; MACs are counted from the "
        f"graph; energy is modelled: arithmetic and weight fetches by table {study.table.name}, "
        "transmission at the Shannon rate of the link. b/elem: bits per element.",
        list(rows).index(best),
    )


def _arrays(rows: Sequence[CutRow]) -> list[Section]:
    """Each cut with an accelerator at the edge; no section if none was built."""
    found = [(row, row.array) for row in rows if row.array is not None]
    if not found:
        return []
    first = found[0][1]
    cells = [
        (
            row.cut,
            f"{array.layers}",
            f"{array.cycles:,}",
            f"{array.cycles / array.clock_hz * 1e3:.3f}",
            f"{array.energy_pj / 1e6:.2f}",
            f"{array.identical}/{array.inferences}",
        )
        for row, array in found
    ]
    section = Section(
        "The edge with an accelerator",
        ("cut", "layers there", "cycles", "ms", "energy uJ", "identical"),
        cells,
        note=f"Edge: {first.target}. Layers that the accelerator cannot run stay with the "
        "processor and are not in these numbers. Cycles are the simulated RTL's; ms assume "
        f"{first.clock_hz / 1e6:g} MHz; energy is modelled: every access on the chip and to DRAM. "
        "No board has run it.",
    )
    return [section]


def _verification(report: Report) -> Section:
    rows = report.rows()
    return Section(
        "Verification",
        tuple(rows[0]) if rows else (),
        [tuple(row.values()) for row in rows],
        note="The reference is the integer specification. Built code must equal it in every "
        "layer; onnxruntime is compared, not obeyed, because it rounds in its own order.",
    )


def _layers(part: str, profile: Profile) -> Section:
    rows = profile.to_rows()
    counts = Counter(key for row in rows[:-1] for key in row)
    columns = list(counts)
    if len(columns) > MAX_COLUMNS:  # a part on two sides: what most of its layers have
        columns = [column for column in columns if 2 * counts[column] >= len(rows) - 1]
    shown = [tuple(_text(row.get(column, "")) for column in columns) for row in rows]
    axes = ("time_min", "latency [", "instructions")
    complete = [column for column in columns if all(column in row for row in rows[:-1])]
    axis = next((key for start in axes for key in complete if key.startswith(start)), None)
    chart = ""
    if axis is not None:
        names = [layer.name for layer in profile.layers]
        heights = [float(row[axis]) for row in rows[:-1]]
        chart = charts.to_html(charts.layer_bars(names, heights, axis))
    return Section(
        f"Layers of the {part} on {profile.device}",
        columns,
        shown,
        chart,
        ". ".join((profile.machine, *profile.notes)) + ".",
    )


def _text(value: str | float) -> str:
    if isinstance(value, str):
        return value
    return f"{value:,.0f}" if value >= 1000 or value == int(value) else f"{value:,.3g}"


def _origins(table: EnergyTable, radio: RadioLink) -> Section:
    return Section(
        "Where the prices come from",
        ("quantity", "value", "origin"),
        [
            ("energy table", table.name, "modelled; docs/energy.md has every row's source"),
            ("bandwidth", f"{radio.bandwidth_hz / 1e6:g} MHz", "assumed"),
            ("transmit power", f"{radio.power_w * 1e3:g} mW", "assumed"),
            ("noise density", f"{radio.noise_density_w_per_hz:g} W/Hz", "assumed"),
            ("channel gain", f"{radio.gain:g}", "assumed"),
            ("rate", f"{radio.rate_bits_per_s / 1e6:.3f} Mbit/s", "modelled: Shannon"),
        ],
    )
