"""The page of `joulecut codec bench`, from the document that `--json` prints."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from joulecut.compiler.report.charts import to_html
from joulecut.compiler.report.files import Table
from joulecut.compiler.report.page import Card, Page, Section
from joulecut.compiler.report.pareto import pareto_section
from joulecut.compiler.report.rate_distortion import Curve, rate_distortion

COLUMNS = {
    "quantizer": "quantizer",
    "bits": "index bits",
    "entropy": "entropy",
    "bits_per_sample": "bits a sample",
    "sqnr_db": "SQNR dB",
    "encode_mb_s": "encode MB/s",
    "decode_mb_s": "decode MB/s",
}


def codec_page(document: Mapping[str, Any]) -> Page:
    """The page: rate, distortion and speed of each way to code a tensor."""
    rows = [
        {**row, "name": f"{row['quantizer']}{_bits(row)}, {row['entropy']}"}
        for row in document["rows"]
    ]
    how = document["provenance"]
    table = Table(
        "codecs",
        f"Codecs ({how})",
        tuple(COLUMNS.values()),
        tuple(tuple(row[key] for key in COLUMNS) for row in rows),
    )
    least = min(rows, key=lambda row: row["bits_per_sample"])
    fastest = max(rows, key=lambda row: row["decode_mb_s"])
    return Page(
        f"{document['tensor']}: every quantizer and lossless stage",
        f"Rates, distortions and speeds are {how}. Machine: {document['machine']}.",
        [
            Card(f"{least['bits_per_sample']:.3f} bits", f"least a sample: {least['name']}"),
            Card(f"{fastest['decode_mb_s']:,.0f} MB/s", f"fastest back: {fastest['name']}"),
        ],
        [
            *_curves(rows, how),
            pareto_section(
                "Rate against speed", rows,
                ("bits_per_sample", f"bits a sample ({how})"),
                ("decode_mb_s", f"decoding, MB/s ({how})"),
                better=("less", "more"), log=(False, True), name="rate-speed",
            ),
            Section.of(table),
        ],
    )  # fmt: skip


def _curves(rows: list[dict[str, Any]], how: str) -> list[Section]:
    """A curve for each quantizer that loses something; none if all keep everything."""
    lossy = [row for row in rows if row["sqnr_db"] is not None]
    if not lossy:
        return []
    curves = [
        Curve(
            name,
            [row["bits_per_sample"] for row in lossy if row["quantizer"] == name],
            [row["sqnr_db"] for row in lossy if row["quantizer"] == name],
            [row["name"] for row in lossy if row["quantizer"] == name],
        )
        for name in dict.fromkeys(row["quantizer"] for row in lossy)
    ]
    chart = to_html(rate_distortion("", curves, f"SQNR, dB ({how})"))
    note = (
        "Up and left is better. Each quantizer has a point for each number of bits and lossless "
        "stage."
    )
    return [Section("Rate and distortion", chart=chart, note=note, name="rate-distortion")]


def _bits(row: Mapping[str, Any]) -> str:
    return "" if row["bits"] is None else f" {row['bits']} bits"
