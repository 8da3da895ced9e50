"""The page of `joulecut codec bench`, from the very document that --json prints."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from joulecut.compiler.report import charts
from joulecut.compiler.report.files import Table
from joulecut.compiler.report.page import Card, Page, Section


def codec_page(document: Mapping[str, Any]) -> Page:
    """Rate-distortion curves of all quantizers, their speeds, and the table of everything."""
    rows = document["rows"]
    curves: dict[str, list[tuple[float, float]]] = {}
    for row in rows:
        if row["sqnr_db"] is not None:
            name = f"{row['quantizer']}, {row['entropy']}"
            curves.setdefault(name, []).append((row["bits_per_sample"], row["sqnr_db"]))
    distortion = charts.lines(
        {name: sorted(points) for name, points in curves.items()},
        ("bits a sample, the whole blob (measured)", "SQNR, dB (measured)"),
        "rate and distortion",
    )
    names = [_name(row) for row in rows]
    speeds = charts.layer_bars(
        names, [row["encode_mb_s"] for row in rows], "encoding, MB/s (measured)"
    )
    keys = (
        "quantizer",
        "bits",
        "entropy",
        "bits_per_sample",
        "sqnr_db",
        "encode_mb_s",
        "decode_mb_s",
    )
    cells = tuple(tuple(row[key] for key in keys) for row in rows)
    columns = (
        "quantizer",
        "index bits",
        "lossless stage",
        "bits a sample",
        "SQNR dB",
        "encode MB/s",
        "decode MB/s",
    )
    least = min(rows, key=lambda row: row["bits_per_sample"] if row["bits"] is None else 99)
    cards = [
        Card(
            f"{least['bits_per_sample']:.3f}", f"bits a sample without loss, {least['entropy']}"
        )
    ]
    sections = [
        *([Section("Rate and distortion", chart=charts.to_html(distortion))] if curves else []),
        Section("Speed", chart=charts.to_html(speeds)),
        Section.of(Table("rows", "All rows", columns, cells)),
    ]
    lead = f"Measured on {document['machine']}; the fastest of some runs."
    return Page(f"Codec on {document['tensor']}", lead, cards, sections)


def _name(row: Mapping[str, Any]) -> str:
    bits = "" if row["bits"] is None else f" {row['bits']} bits"
    return f"{row['quantizer']}{bits}, {row['entropy']}"
