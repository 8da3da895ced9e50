"""`joulecut analyze`: what a model is, what its layers cost, and every place to cut it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from joulecut.cli.choices import Wishes, choices, show_choices
from joulecut.cli.links import link_of
from joulecut.cli.output import emit, errors, table, verb
from joulecut.cli.report_files import ReportFile, TablesFolder, write_report

if TYPE_CHECKING:
    from joulecut.compiler.graph import Graph
    from joulecut.hw.fading import ErgodicLink
    from joulecut.hw.radio import RadioLink
    from joulecut.targets.cut_prices import PricedCut


@verb
def analyze(
    model: Annotated[Path, typer.Argument(help="An ONNX model: QDQ, QCDQ or QONNX.")],
    energy_table: Annotated[
        str, typer.Option("--energy", help="Energy table: a name or a TOML file.")
    ] = "horowitz_45nm",
    link: Annotated[
        str, typer.Option(help="Radio link: a name of docs/energy.md, such as wifi.")
    ] = "paper-5mhz",
    bandwidth_hz: Annotated[
        float | None, typer.Option(help="Radio bandwidth, in place of the link's.")
    ] = None,
    power_w: Annotated[
        float | None, typer.Option(help="Radio transmit power, in place of the link's.")
    ] = None,
    gain: Annotated[float, typer.Option(help="Channel gain |h|^2, times the link's.")] = 1.0,
    fading: Annotated[
        str, typer.Option(help="none, rayleigh or rician: the rate is the mean over it.")
    ] = "none",
    k_factor: Annotated[
        float | None, typer.Option(help="Of Rician fading: steady power over scattered.")
    ] = None,
    blocklength: Annotated[
        int | None, typer.Option(help="Symbols of a code word, in place of Shannon's rate.")
    ] = None,
    error_probability: Annotated[
        float | None, typer.Option(help="Of a word of that length.")
    ] = None,
    limit: Annotated[int, typer.Option(help="The most cuts to list.")] = 4096,
    require_integer: Annotated[
        bool, typer.Option(help="Make a node that stays in float an error.")
    ] = False,
    prune: Annotated[
        bool, typer.Option(help="First remove filters and neurons that no output depends on.")
    ] = False,
    objective: Annotated[
        str | None,
        typer.Option(
            help="Search the best cut, code and edge: energy, latency, or energy=1,latency=0.5 "
            "(joules, seconds)."
        ),
    ] = None,
    edge: Annotated[str, typer.Option(help="Targets of the edge to choose among.")] = (
        "raspberry_pi_4"
    ),
    cloud: Annotated[str, typer.Option(help="Target of the cloud.")] = "x86_64",
    cloud_clock: Annotated[float, typer.Option(help="Its clock in Hz, assumed.")] = 3e9,
    quantizer: Annotated[
        str, typer.Option(help="Quantizers to choose among; none is without loss.")
    ] = "none,sq,lloyd,rdo,tcq",
    bits: Annotated[str, typer.Option(help="Their bits: 1-8, or 2,4,8.")] = "1-8",
    entropy: Annotated[str, typer.Option(help="Lossless stages: best, fast.")] = "best",
    samples: Annotated[
        Path | None,
        typer.Option(help="Inputs to code: .npz, an array [N, ...] for each; y holds labels."),
    ] = None,
    sample_count: Annotated[int, typer.Option(help="Code at most so many of them.")] = 16,
    judge_count: Annotated[int, typer.Option(help="Judge accuracy by at most so many.")] = 500,
    max_energy_uj: Annotated[float | None, typer.Option(help="Bound of the edge's energy.")] = (
        None
    ),
    max_latency_ms: Annotated[float | None, typer.Option(help="Bound of the latency.")] = None,
    max_drop: Annotated[
        float | None, typer.Option(help="Points of accuracy that may be lost; measured.")
    ] = None,
    country: Annotated[
        str, typer.Option(help="Whose electricity: a code of docs/energy.md.")
    ] = "eu",
    account: Annotated[
        str, typer.Option(help="A processor's energy: by operations or by instructions.")
    ] = "operations",
    profile: Annotated[
        list[Path] | None,
        typer.Option(
            help="Times of the edge: JSON of `joulecut profile`; again for other parts."
        ),
    ] = None,
    cloud_profile: Annotated[
        list[Path] | None, typer.Option(help="Times of the cloud, likewise.")
    ] = None,
    report: ReportFile = None,
    tables: TablesFolder = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """List a model's dialect, layers and costs, and every legal cut with its price.

    With --objective, search all cuts, ways to code and edges for the best, exactly.
    """
    from joulecut.compiler.cut import cuts
    from joulecut.compiler.load import dialect_of, load
    from joulecut.compiler.pipeline import float_nodes, pipeline
    from joulecut.compiler.report.analysis import analysis_page
    from joulecut.hw.energy_table import load_table
    from joulecut.targets.cut_prices import price_cuts

    prices = load_table(energy_table)
    radio = link_of(
        link,
        bandwidth_hz=bandwidth_hz,
        power_w=power_w,
        gain=gain,
        fading=fading,
        k_factor=k_factor,
        blocklength=blocklength,
        error_probability=error_probability,
    )
    loaded = load(model)
    graph = pipeline(loaded, require_integer=require_integer, prune=prune)
    found = cuts(graph, limit=limit)
    priced = price_cuts(graph, found, prices, radio)
    document: dict[str, Any] = {
        "model": str(model),
        "dialect": dialect_of(loaded),
        **_counts(graph),
        "float_nodes": [f"{node.op_type} '{node.name}'" for node in float_nodes(graph)],
        "layers": _layers(graph),
        "cuts": [_cut(each) for each in priced],
        "cuts_complete": found.complete,
        "energy_table": prices.name,
        "radio": {"link": link, "description": radio.describe(), **_numbers(radio)},
    }
    if objective is not None:
        wishes = Wishes(
            objective, edge, cloud, cloud_clock, quantizer, bits, entropy, samples,
            sample_count, judge_count, max_energy_uj, max_latency_ms, max_drop, country,
            account, tuple(profile or ()), tuple(cloud_profile or ()),
        )  # fmt: skip
        document["search"] = choices(graph, found, radio, prices, wishes)
    write_report(lambda: analysis_page(document), report, tables)
    if as_json:
        emit(document)
        return
    if objective is None:
        _show(document, limit)
    else:
        show_choices(document["search"])


def _numbers(radio: RadioLink | ErgodicLink) -> dict[str, float | int | None]:
    from joulecut.hw.fading import ErgodicLink

    link = radio.link if isinstance(radio, ErgodicLink) else radio
    return {
        "bandwidth_hz": link.bandwidth_hz,
        "power_w": link.power_w,
        "noise_density_w_per_hz": link.noise_density_w_per_hz,
        "gain": link.gain,
        "k_factor": radio.k_factor if isinstance(radio, ErgodicLink) else None,
        "blocklength": link.blocklength,
        "error_probability": link.error_probability,
        "rate_bits_per_s": radio.rate_bits_per_s,
    }


def _counts(graph: Graph) -> dict[str, int]:
    from joulecut.compiler.cost import cost

    total = cost(graph)
    return {
        "macs": total.macs,
        "parameters": total.parameters,
        "weight_bytes": total.weight_bytes,
    }


def _layers(graph: Graph) -> list[dict[str, Any]]:
    from joulecut.compiler.cost import cost_of_layer
    from joulecut.compiler.graph import name_of, spec_of
    from joulecut.compiler.layers import layers

    rows: list[dict[str, Any]] = []
    for layer in layers(graph):
        cost, spec = cost_of_layer(layer), spec_of(layer.output)
        rows.append(
            {
                "name": layer.name,
                "kind": layer.kind,
                "inputs": [name_of(value) for value in layer.inputs],
                "shape": list(spec.shape),
                "dtype": spec.dtype,
                "bits": spec.qtype.bits if spec.qtype else 8 * spec.nbytes // spec.size,
                "macs": cost.macs,
                "weight_bytes": cost.weight_bytes,
                "output_bytes": spec.nbytes,
            }
        )
    return rows


def _cut(priced: PricedCut) -> dict[str, Any]:
    cut, energy = priced.cut, priced.energy
    return {
        "tensors": list(cut.tensors),
        "bytes": cut.nbytes,
        "edge_macs": cut.edge_macs,
        "cloud_macs": cut.cloud_macs,
        "compute_pj": energy.compute_pj,
        "memory_pj": energy.memory_pj,
        "radio_pj": energy.radio_pj,
        "total_pj": energy.total_pj,
        "provenance": "modelled",
        "pareto": priced.pareto,
    }


def _show(document: dict[str, Any], limit: int) -> None:
    errors.print(
        f"{document['model']}: {document['dialect']}, {len(document['layers'])} layers, "
        f"{document['macs']:,} MACs, {document['parameters']:,} parameters, "
        f"{document['weight_bytes']:,} bytes of weights"
    )
    errors.print(f"link {document['radio']['link']}: {document['radio']['description']}")
    for name in document["float_nodes"]:
        errors.print(f"[yellow]stays in float:[/] {name}")
    table(
        "layers (counted from the graph)",
        ("layer", "kind", "output", "bits", "MACs", "weight B", "output B"),
        [
            (
                row["name"],
                row["kind"],
                f"{row['dtype']} {row['shape']}",
                row["bits"],
                f"{row['macs']:,}",
                f"{row['weight_bytes']:,}",
                f"{row['output_bytes']:,}",
            )
            for row in document["layers"]
        ],
        left=3,
    )
    cuts = document["cuts"]
    best = min(cuts, key=lambda row: row["total_pj"], default=None)
    table(
        f"legal cuts; energy of the edge is modelled ({document['energy_table']}), "
        "what crosses is not compressed; * Pareto in MACs and bytes, < least energy",
        ("cut", "", "bytes", "edge MACs", "compute uJ", "memory uJ", "radio uJ", "total uJ"),
        [_cut_row(row, row is best) for row in cuts],
        left=2,
    )
    if not document["cuts_complete"]:
        errors.print(
            f"[yellow]the graph has more cuts than --limit {limit}: those at one tensor and "
            "those with the cheapest edges are listed[/]"
        )


def _cut_row(row: dict[str, Any], best: bool) -> tuple[str, ...]:
    energies = (row[f"{name}_pj"] / 1e6 for name in ("compute", "memory", "radio", "total"))
    return (
        " + ".join(row["tensors"]),
        ("*" if row["pareto"] else " ") + ("<" if best else " "),
        f"{row['bytes']:,}",
        f"{row['edge_macs']:,}",
        *(f"{value:.2f}" for value in energies),
    )
