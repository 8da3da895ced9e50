"""Tables of the CPU bench, from the documents that `--json` writes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from bench_row import OURS, PASSES
from peers.onnxrt_int8 import FORMS
from rich.console import Console
from rich.table import Table

Document = dict[str, Any]

_NONE = "-"
_MANY_CHANNELS, _GOOD_SHARE = 16, 0.8


def show_speed(console: Console, documents: Sequence[Document]) -> None:
    """Ours beside onnxruntime's best, then its forms one by one."""
    rows: list[list[str]] = []
    for each in documents:
        times, best = each["times"], each["best_form"]
        ours = times.get(OURS)
        row = [each["name"], f"{each['macs'] / 1e6:,.2f}"]
        row += [_pair(ours), _pair(times[best]), best, _pair(times[PASSES])]
        ratio = each.get("ratio")
        row.append(f"{ratio['min']:.3f} / {ratio['median']:.3f}" if ratio else _NONE)
        speeds = [_rate(each["macs"], time) for time in (ours, times[best])]
        row.append(" / ".join(_NONE if speed is None else f"{speed:.0f}" for speed in speeds))
        peak = each["peak_products_per_s"]
        row.append(
            " / ".join(
                _NONE if speed is None or not peak else f"{1e9 * speed / peak:.0%}"
                for speed in speeds
            )
        )
        rows.append(row)
    columns = ["network", "MMAC", "joulecut us", "onnxruntime us", "in its form"]
    columns += ["a call alone us", "ours / theirs", "GMAC/s", "of VNNI's peak"]
    _show(console, "one thread, min / median (measured)", columns, rows)
    peaks = [each["peak_products_per_s"] for each in documents if each["peak_products_per_s"]]
    if peaks:
        clocks = [each["clock_hz"] / 1e9 for each in documents if each["clock_hz"]]
        console.print(
            f"peak of vpdpbusd on 512 bits: {min(peaks) / 1e9:.0f} to {max(peaks) / 1e9:.0f} "
            f"GMAC/s over the networks' runs; clock {min(clocks):.2f} to {max(clocks):.2f} GHz "
            "(measured: multiplications that wait for one another, 3 cycles each)"
        )
    forms = [
        [each["name"], *(_pair(each["times"][form]) for form in FORMS)] for each in documents
    ]
    title = "onnxruntime's forms, one thread, us, min / median (measured)"
    _show(console, title, ["network", *FORMS], forms)


def show_threads(console: Console, documents: Sequence[Document]) -> None:
    """Two threads, where our libraries have them."""
    rows: list[list[str]] = []
    for each in documents:
        two = each.get("two_threads")
        if two is None:
            continue
        best = two["best_form"]
        row = [each["name"], _pair(two["times"][OURS])]
        row += [_pair(two["times"][best]), best]
        pairs = (two["ratio"], two["speedup"][OURS], two["speedup"]["onnxruntime"])
        row += [f"{pair['min']:.2f} / {pair['median']:.2f}" for pair in pairs]
        rows.append(row)
    if not rows:
        console.print("skipped two threads: no library of ours ran on two")
        return
    columns = ["network", "joulecut us", "onnxruntime us", "in its form", "ours / theirs"]
    columns += ["our speedup", "their speedup"]
    _show(console, "two threads, wall clock, min / median (measured)", columns, rows)


def show_sizes(console: Console, documents: Sequence[Document], engine_bytes: int) -> None:
    """What a build takes and makes."""
    rows: list[list[str]] = []
    for each in documents:
        build = each["build"]
        if build is None:
            continue
        row = [each["name"], f"{build['seconds']:.1f}"]
        keys = ("arena_bytes", "arena_bound_bytes", "text_bytes", "constant_bytes")
        row += [f"{build[key]:,}" for key in (*keys, "library_bytes")]
        rows.append([*row, f"{each['model_bytes']:,}"])
    if not rows:
        return
    columns = ["network", "build s", "arena B", "its bound B", "code B", "constants B"]
    columns += ["our library B", "their model B"]
    _show(console, "building and sizes (measured)", columns, rows)
    console.print(f"onnxruntime's libraries: {engine_bytes:,} B; ours need libc only")


def show_peak(console: Console, documents: Iterable[Document]) -> None:
    """How near layers come to the processor's peak that have enough channels to fill its lanes."""
    rows: list[list[str]] = []
    for each in documents:
        peak = each["peak_products_per_s"]
        many = [one for one in each["layers"] if one["channels"] >= _MANY_CHANNELS]
        seconds = [1e-9 * one["ns_min"] for one in many]
        if not peak or not many or not min(seconds):
            continue
        macs = [one["macs"] for one in many]
        shares = [m / s / peak for m, s in zip(macs, seconds, strict=True)]
        good = [m for m, share in zip(macs, shares, strict=True) if share >= _GOOD_SHARE]
        row = [each["name"], f"{len(many)}", f"{sum(macs) / sum(seconds) / peak:.0%}"]
        row += [f"{min(shares):.0%} to {max(shares):.0%}", f"{sum(good) / sum(macs):.0%}"]
        rows.append(row)
    if rows:
        columns = ["network", "layers", "of the peak", "the least, the best"]
        columns.append(f"MAC in layers at {_GOOD_SHARE:.0%} or more")
        title = f"layers of {_MANY_CHANNELS} channels or more, fastest runs (measured)"
        _show(console, title, columns, rows)


def show_layers(console: Console, documents: Iterable[Document]) -> None:
    """Our layers, slowest parts included."""
    for each in documents:
        rows: list[list[str]] = []
        for layer in each["layers"]:
            seconds = 1e-9 * layer["ns_min"]
            rate = (
                f"{layer['macs'] / seconds / 1e9:.0f}" if layer["macs"] and seconds else _NONE
            )
            row = [layer["name"], layer["kind"], f"{layer['macs'] / 1e6:,.2f}"]
            row += [f"{layer['ns_min'] / 1e3:.2f}", f"{layer['ns_median'] / 1e3:.2f}", rate]
            rows.append(row)
        if rows:
            columns = ["layer", "kind", "MMAC", "min us", "median us", "GMAC/s"]
            title = f"{each['name']}, layer by layer (measured, clock included)"
            _show(console, title, columns, rows)


def _pair(time: dict[str, float] | None) -> str:
    if time is None:
        return _NONE
    return f"{_us(time['us_min'])} / {_us(time['us_median'])}"


def _us(number: float) -> str:
    return f"{number:,.1f}" if number < 1e4 else f"{number:,.0f}"


def _rate(macs: int, time: dict[str, float] | None) -> float | None:
    """Billions of products a second in the fastest block."""
    return None if time is None else macs / time["us_min"] / 1e3


def _show(
    console: Console, title: str, columns: Iterable[str], rows: Iterable[Sequence[str]]
) -> None:
    shown = Table(title=title, title_justify="left")
    for index, column in enumerate(columns):
        shown.add_column(column, justify="right" if index else "left")
    for row in rows:
        shown.add_row(*row)
    console.print(shown)
