"""Tables of the Arm bench, from the documents that `--json` writes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

Document = dict[str, Any]

_NONE = "-"
_WORDS = ("network", "core", "target", "engine", "with", "bar", "kernel of layer", "kind")


def ratio(document: Document, engine: str | None = None) -> float | None:
    """Our instructions over those of an engine, or of the one with the fewest."""
    counts = {name: each["instructions"] for name, each in document.get("engines", {}).items()}
    if engine is not None:
        counts = {name: count for name, count in counts.items() if name == engine}
    if "ours" not in document or not counts:
        return None
    return document["ours"]["instructions"] / min(counts.values())


def verdict(document: Document) -> str:
    """Whether the bars of a network on a core are held."""
    most = document.get("most")
    if most is not None and "ours" in document:
        held = document["ours"]["instructions"] <= most
        return f"{'held' if held else 'missed'}: {most / 1e6:.1f} M"
    found, bar, stretch = ratio(document), document.get("bar"), document.get("stretch")
    if found is None or bar is None:
        return _NONE
    if found > bar:
        return f"missed: {bar}"
    return f"held: {bar}, and {stretch}" if stretch and found <= stretch else f"held: {bar}"


def show_instructions(console: Console, documents: Sequence[Document]) -> None:
    """Ours beside the engines."""
    rows: list[list[str]] = []
    for each in documents:
        engines, ours = each.get("engines", {}), each.get("ours")
        litert, onnxruntime = engines.get("litert"), engines.get("onnxruntime")
        row = [each["network"], each["core"], f"{each['macs'] / 1e6:,.2f}"]
        row += [_millions(ours), _millions(litert), _millions(onnxruntime)]
        row.append(onnxruntime["form"] if onnxruntime else _NONE)
        row.append(f"{ours['instructions'] / each['macs']:.3f}" if ours else _NONE)
        ratios = (ratio(each, engine) for engine in ("litert", "onnxruntime", None))
        row += [_NONE if found is None else f"{found:.2f}" for found in ratios]
        rows.append([*row, verdict(each)])
    columns = ["network", "core", "MMAC", "joulecut", "LiteRT", "onnxruntime", "with"]
    columns += ["ours / MAC", "/ LiteRT", "/ onnxruntime", "/ best", "bar"]
    title = "millions of instructions of one inference, one thread, int8 (simulated)"
    _show(console, title, columns, rows)
    held = [verdict(each).partition(":")[0] for each in documents]
    console.print(
        f"bars held: {held.count('held')} of {held.count('held') + held.count('missed')}"
    )


def show_outputs(console: Console, documents: Sequence[Document]) -> None:
    """How far the engines are from the specification; ours is it, or was not counted."""
    rows: list[list[str]] = []
    for each in documents:
        for engine, found in each.get("engines", {}).items():
            count = found["count"]
            if count["differing"]:
                apart = f"{count['differing']:,} of {count['elements']:,}"
                row = [each["network"], each["core"], engine, apart, str(count["largest"])]
                rows.append(row)
    if rows:
        title = "outputs that are not those of docs/spec.md, on one random input (simulated)"
        _show(console, title, ["network", "core", "engine", "differing", "largest"], rows)


def show_floats(console: Console, documents: Sequence[Document]) -> None:
    """Our int8 beside float32."""
    rows: list[list[str]] = []
    for each in documents:
        for engine, count in each.get("floats", {}).items():
            ours = each.get("ours")
            row = [each["network"], each["core"], engine, f"{count / 1e6:.3f}", _millions(ours)]
            row.append(f"{ours['instructions'] / count:.2f}" if ours else _NONE)
            rows.append(row)
    if rows:
        columns = ["network", "core", "engine", "float32", "joulecut int8"]
        title = "millions of instructions of one inference, float32 and int8 (simulated)"
        _show(console, title, [*columns, "int8 / float32"], rows)


def show_cycles(console: Console, documents: Sequence[Document]) -> None:
    """Hot loops of our kernels, the heaviest of each kernel."""
    rows: list[list[str]] = []
    for each in documents:
        for loop in each.get("loops", []):
            head = [each["network"], each["target"], loop["layer"], f"{loop['share']:.0%}"]
            head += [str(loop["instructions"]), str(loop["macs"])]
            head.append(f"{loop['instructions'] / loop['macs']:.3f}")
            for rate in loop["rates"]:
                speed = f"{rate['mac_per_cycle']:.2f}"
                rows.append([*head, rate["cpu"], speed, _rate_verdict(rate)])
            if not loop["rates"]:
                rows.append([*head, _NONE, _NONE, _NONE])
    if rows:
        columns = ["network", "target", "kernel of layer", "of all MAC", "instructions", "MAC"]
        columns += ["instructions / MAC", "core", "MAC / cycle", "bar"]
        title = (
            "one turn of each kernel's heaviest loop; cycles modelled by llvm-mca, loads hit"
        )
        _show(console, title, columns, rows)


def show_layers(console: Console, documents: Sequence[Document]) -> None:
    """Our counts layer by layer."""
    for each in documents:
        if "ours" in each:
            rows: list[list[str]] = []
            for layer in each["ours"]["layers"]:
                macs, count = layer["macs"], layer["instructions"]
                row = [
                    layer["name"],
                    layer["kind"],
                    f"{macs / 1e6:,.3f}",
                    f"{count / 1e6:,.3f}",
                ]
                rows.append([*row, f"{count / macs:.3f}" if macs else _NONE])
            columns = ["layer", "kind", "MMAC", "M instructions", "instructions / MAC"]
            _show(console, f"{each['network']} on {each['core']} (simulated)", columns, rows)


def _rate_verdict(rate: Document) -> str:
    return f"{'held' if rate['mac_per_cycle'] >= rate['bar'] else 'missed'}: {rate['bar']}"


def _millions(count: Document | None) -> str:
    return _NONE if count is None else f"{count['instructions'] / 1e6:,.3f}"


def _show(
    console: Console, title: str, columns: Iterable[str], rows: Iterable[Sequence[str]]
) -> None:
    shown = Table(title=title, title_justify="left")
    for index, column in enumerate(columns):
        is_text = not index or column in _WORDS
        shown.add_column(column, justify="left" if is_text else "right")
    for row in rows:
        shown.add_row(*row)
    console.print(shown)
