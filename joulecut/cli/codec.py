"""`joulecut codec`: code a tensor in a file, decode it, and say what it costs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, cast

import typer

from joulecut.cli.files import npy_bytes, read_array, read_bytes, require_other, write_whole
from joulecut.cli.lists import bits_of
from joulecut.cli.output import emit, errors, table, verb
from joulecut.cli.report_files import ReportFile, TablesFolder, write_report
from joulecut.compiler.errors import ConfigError

if TYPE_CHECKING:
    from joulecut.compiler.codec import BlobStat
    from joulecut.compiler.quantizers.named import Name

ENTROPIES = ("best", "fast", "raw")
MAX_BYTES = 2**28

app = typer.Typer(
    no_args_is_help=True, help="Code a tensor in a file, decode it, and say what it costs."
)

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]
Tensor = Annotated[
    Path, typer.Argument(help="A tensor (.npy) of int8, uint8, int32 or float32.")
]
Coded = Annotated[Path, typer.Argument(help="A coded tensor.")]
MaxBytes = Annotated[int, typer.Option(help="The largest tensor to accept.")]


@app.command("encode")
@verb
def encode(
    tensor: Tensor,
    out: Annotated[Path, typer.Option("--out", "-o", help="The coded tensor to write.")],
    quantizer: Annotated[
        str | None,
        typer.Option(
            help="sq, sq-clip, lloyd, rdo, tcq, tcq-fixed or auto; lossless without it."
        ),
    ] = None,
    bits: Annotated[int | None, typer.Option(help="Bits of an index.")] = None,
    rate: Annotated[
        float | None, typer.Option(help="Instead of bits: bits a sample of the result.")
    ] = None,
    entropy: Annotated[str, typer.Option(help="best, fast or raw.")] = "best",
    as_json: AsJson = False,
) -> None:
    """Code a tensor, with or without loss."""
    from joulecut.compiler import codec

    require_other(out, tensor)
    blob = codec.encode(
        read_array(tensor),
        cast("Name | None", quantizer),
        bits=bits,
        rate=rate,
        entropy=cast("Literal['best', 'fast', 'raw']", entropy),
    )
    write_whole(out, blob)
    found = codec.stat(blob)
    if as_json:
        emit({"coded": str(out), **_described(found)})
    else:
        errors.print(
            f"wrote {out}: {len(blob):,} bytes, {found.bits_per_sample:.4f} bits a sample"
        )


@app.command("decode")
@verb
def decode(
    coded: Coded,
    out: Annotated[Path, typer.Option("--out", "-o", help="The .npy file to write.")],
    max_bytes: MaxBytes = MAX_BYTES,
    threads: Annotated[int, typer.Option(help="How many may work on it.")] = 1,
    as_json: AsJson = False,
) -> None:
    """Decode a tensor; a damaged one is refused, and nothing is written."""
    from joulecut.compiler import codec

    require_other(out, coded)
    array = codec.decode(read_bytes(coded), max_bytes=max_bytes, threads=threads)
    write_whole(out, npy_bytes(array))
    if as_json:
        emit({"tensor": str(out), "dtype": array.dtype.name, "shape": list(array.shape)})
    else:
        errors.print(f"wrote {out}: {array.dtype.name} {list(array.shape)}")


@app.command("stat")
@verb
def stat(coded: Coded, max_bytes: MaxBytes = MAX_BYTES, as_json: AsJson = False) -> None:
    """Say what a coded tensor is: type, shape, quantizer, blocks by mode, bits a sample."""
    from joulecut.compiler import codec

    blob = read_bytes(coded)
    document = _described(codec.stat(blob))
    array = codec.decode(blob, max_bytes=max_bytes)
    document["entropy_bits"] = codec.entropy_bits(array)
    if as_json:
        emit({"coded": str(coded), **document})
        return
    blocks = (f"{count} {mode}" for mode, count in document["blocks"].items() if count)
    rule = (f"{key} {value}" for key, value in document["quantizer"].items())
    table(
        str(coded),
        ("what", "value"),
        [
            ("format", f"version {document['version']}"),
            ("tensor", f"{document['dtype']} {document['shape']}"),
            ("quantizer", ", ".join(rule)),
            ("blocks", ", ".join(blocks) or "none"),
            ("bytes", f"{document['coded_bytes']:,} ({document['header_bytes']:,} of header)"),
            ("bits a sample", f"{document['bits_per_sample']:.4f}"),
            ("order-0 entropy of the values", f"{document['entropy_bits']:.4f}"),
        ],
        left=2,
    )


@app.command("bench")
@verb
def bench(
    tensor: Tensor,
    bits: Annotated[
        str, typer.Option(help="Bits of an index, for all quantizers: 4, 2,4,8 or 1-8.")
    ] = "4",
    repeats: Annotated[int, typer.Option(help="Runs of each; the fastest counts.")] = 3,
    report: ReportFile = None,
    tables: TablesFolder = None,
    as_json: AsJson = False,
) -> None:
    """Measure rate, distortion and speed of all quantizers on a tensor."""
    from joulecut.cli.codec_bench import measured
    from joulecut.cli.doctor import machine_line
    from joulecut.compiler.report.codec_page import codec_page

    if repeats < 1:
        raise ConfigError(f"--repeats must be at least 1, not {repeats}")
    rows = measured(read_array(tensor), bits_of(bits), repeats)
    document = {
        "tensor": str(tensor),
        "machine": machine_line(),
        "provenance": "measured",
        "rows": [row.to_dict() for row in rows],
    }
    write_report(lambda: codec_page(document), report, tables)
    if as_json:
        emit(document)
        return
    table(
        f"{tensor}: measured, best of {repeats} on {machine_line()}",
        (
            "quantizer",
            "bits",
            "entropy",
            "bits/sample",
            "SQNR dB",
            "encode MB/s",
            "decode MB/s",
        ),
        [row.cells() for row in rows],
        left=2,
    )


def _described(found: BlobStat) -> dict[str, Any]:
    quantizer = found.quantizer
    rule: dict[str, Any] = {"kind": quantizer.kind, "width": quantizer.width}
    if quantizer.n_states:
        rule["states"] = quantizer.n_states
    if quantizer.kind in ("uniform", "dead_zone", "trellis"):
        rule["step"] = quantizer.step
    if quantizer.kind in ("integers", "uniform", "dead_zone", "trellis"):
        rule["offset"] = quantizer.offset
    return {
        "version": found.version,
        "dtype": found.dtype,
        "shape": list(found.shape),
        "quantizer": rule,
        "blocks": found.blocks,
        "coded_bytes": found.coded_bytes,
        "header_bytes": found.header_bytes,
        "bits_per_sample": found.bits_per_sample,
    }
