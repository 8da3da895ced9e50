"""Speed of built networks on this machine, beside onnxruntime on the same networks in the same run.

Both take and give integers. onnxruntime runs in the form that is its fastest here, on arrays that
are bound before; a model that only hands its input through says what its calls cost by
themselves. Blocks of calls alternate, so that a machine that slows down slows all alike. The
processor's peak is measured in the same rounds. Where the target lacks what this processor has,
onnxruntime does not see it either.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from bench_networks import FOLDER, NAMES, BenchNetwork, networks
from bench_row import (
    CLOCK,
    MULTIPLY,
    OURS,
    OURS_ON_ONE,
    PASSES,
    THEIRS_ON_ONE,
    Row,
    document,
)
from bench_tables import show_layers, show_peak, show_sizes, show_speed, show_threads
from built_network import Built, best_target, built, team_call
from interleaved import Timing, interleaved
from peers.masked_cpu import is_masked, run_masked
from peers.onnxrt_int8 import Peer, identity, library_bytes, peers
from rich.console import Console
from vnni_peak import Peak, vnni_peak

import joulecut as jc
from joulecut.cli.doctor import machine_line
from joulecut.compiler.errors import ConfigError, DeviceError, JoulecutError
from joulecut.compiler.graph import Graph, int_of, shape_of
from joulecut.compiler.layers import layers
from joulecut.targets.base import Target

FLAGS = ("avx2", "avx_vnni", "avx512f", "avx512_vnni", "amx_int8")  # those that matter
HIDDEN = ("avx_vnni", "avx512f")  # from onnxruntime, where the target has neither
VNNI = "vnni512"  # the kernels of targets that hide nothing
LAYER_REPEATS = 50
CHECKED = 2  # random inputs
SPINNING_ENDS_S = 0.005  # after so long neither engine's threads spin any more

console = Console(highlight=False, width=150)


def main() -> None:
    """Time all networks, or those that are named; exit 1 if one of ours is not there or wrong."""
    options = _options()
    try:
        documents = _bench(options)
    except ConfigError as error:
        raise SystemExit(str(error)) from error
    if not options.peers and not all(each["build"] for each in documents):
        raise SystemExit(1)


def _bench(options: argparse.Namespace) -> list[dict[str, Any]]:
    flags = cpu_flags()
    place = None if options.peers else best_target(flags, options.target)
    if place is not None and place.kernels != VNNI and flags.intersection(HIDDEN):
        _hide()
    with tempfile.TemporaryDirectory() as name:
        peak = _peak(Path(name), flags)
        header = _header(place, peak, flags, options)
        console.print("; ".join(map(str, header.values())))
        found = networks(options.networks, say=console.print)
        rows: list[Row] = []
        for network in found.values():
            folder = Path(name) / network.name
            folder.mkdir()
            rows.append(_measured(network, place, folder, peak, options))
            blocks = len(rows[-1].times[PASSES].blocks)
            console.print(f"timed {network.name}: {blocks} rounds")
    documents = [document(row) for row in rows]
    show_speed(console, documents)
    show_peak(console, documents)
    show_threads(console, documents)
    show_sizes(console, documents, library_bytes())
    if options.layers:
        show_layers(console, documents)
    if options.json:
        whole = {**header, "onnxruntime_bytes": library_bytes(), "networks": documents}
        options.json.write_text(json.dumps(whole, indent=1) + "\n", encoding="utf-8")
    return documents


def _hide() -> None:
    """Start again on a processor that seems to be no more than the target, if that can be."""
    if is_masked():
        return
    try:
        run_masked(FOLDER)
    except DeviceError as cannot:
        console.print(f"onnxruntime uses all that the processor has: {cannot}", markup=False)


def _header(
    place: Target | None, peak: Peak | None, flags: frozenset[str], options: argparse.Namespace
) -> dict[str, str]:
    """What must stand beside the numbers, first of all the machine."""
    found = {
        "machine": machine_line(),
        "flags": " ".join(flag for flag in FLAGS if flag in flags),
        "onnxruntime": f"onnxruntime {version('onnxruntime')}"
        + (" on a CPUID that ends with AVX2" if is_masked() else ""),
        "target": f"joulecut for {place.name}" if place else "onnxruntime alone",
        "times": "times measured, one input, "
        + ("processor time of the calling thread" if options.cpu_time else "wall clock"),
    }
    if peak is not None:
        seconds = interleaved({CLOCK: peak.count}, budget_s=0.1)[CLOCK].minimum
        found["clock"] = f"clock {peak.cycles / seconds / 1e9:.2f} GHz (measured)"
    return found


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("networks", nargs="*", help=f"of {', '.join(NAMES)}; all if none")
    parser.add_argument("--target", help="to build for; the best that runs here if absent")
    parser.add_argument("--peers", action="store_true", help="time onnxruntime alone")
    parser.add_argument("--seconds", type=float, default=10.0, help="of timing for a network")
    parser.add_argument(
        "--cpu-time",
        action="store_true",
        help="on a busy machine: count what the calling thread uses, not what passes",
    )
    parser.add_argument("--layers", action="store_true", help="show our times layer by layer")
    parser.add_argument("--json", type=Path, help="write all numbers into this file")
    return parser.parse_args()


def cpu_flags() -> frozenset[str]:
    """What the processor can do, as Linux names it."""
    path = Path("/proc/cpuinfo")
    lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    found = next((line for line in lines if line.startswith("flags")), "")
    return frozenset(found.partition(":")[2].split())


def _peak(folder: Path, flags: frozenset[str]) -> Peak | None:
    try:
        return vnni_peak(folder, flags)
    except DeviceError as missing:
        console.print(f"skipped the share of the peak: {missing}")
        return None


def _measured(
    network: BenchNetwork,
    place: Target | None,
    folder: Path,
    peak: Peak | None,
    options: argparse.Namespace,
) -> Row:
    theirs = peers(network)
    ours = _build(network, place, folder)
    if _check(network, theirs, ours):
        console.print(f"{network.name}: joulecut is not timed, because it is wrong")
        ours = None
    calls = {form: peer.call for form, peer in theirs.items()}
    if ours is not None:
        calls = {OURS: ours.call, **calls}
    calls[PASSES] = identity(network.shape, network.dtype).call
    if peak is not None:
        calls |= {MULTIPLY: peak.multiply, CLOCK: peak.count}
    clock = time.thread_time if options.cpu_time else time.perf_counter
    times = interleaved(calls, options.seconds, clock=clock)
    best = theirs[min(theirs, key=lambda form: times[form].minimum)]
    by_layer = [] if ours is None else list(_layers(ours, input_channels(network.graph())))
    return Row(
        network=network,
        times=times,
        times2=_two_threads(network, ours, best, options.seconds),
        peak=None if peak is None else peak.products / times[MULTIPLY].minimum,
        clock_hz=None if peak is None else peak.cycles / times[CLOCK].minimum,
        build=None if ours is None else _facts(ours),
        model_bytes=min(theirs.values(), key=lambda peer: peer.model_bytes).model_bytes,
        layers=by_layer,
    )


def _build(network: BenchNetwork, place: Target | None, folder: Path) -> Built | None:
    if place is None:
        return None
    try:
        return built(network, place, folder)
    except JoulecutError as error:
        console.print(f"{network.name} is not built for {place.name}: {error}", markup=False)
        return None


def _check(network: BenchNetwork, theirs: dict[str, Peer], ours: Built | None) -> bool:
    """Compare what is timed with the reference, and say what differs; must ours be dropped?

    Ours must be equal. onnxruntime's joins and averages may round elsewhere (docs/spec.md), and
    its sums may saturate on processors without VNNI.
    """
    graph = network.graph()
    engines: dict[str, Peer | Built] = {**theirs} if ours is None else {OURS: ours, **theirs}
    wrong: set[str] = set()
    for x in map(network.sample, range(CHECKED)):
        (expected,) = jc.run_reference(graph, {network.input_name: x})
        for name, engine in engines.items():
            apart = np.abs(engine.outputs(x).astype(np.int64) - expected)
            if apart.any():
                wrong.add(name)
                console.print(
                    f"{network.name}: {name} differs from the reference in "
                    f"{np.count_nonzero(apart):,} of {apart.size:,} elements, "
                    f"by {apart.max()} at most"
                )
    return OURS in wrong


def _two_threads(
    network: BenchNetwork, ours: Built | None, best: Peer, seconds: float
) -> dict[str, Timing]:
    """Ours and theirs on two threads, wall clock; both spin inside a run and a while after it."""
    if ours is None:
        return {}
    x = network.sample()
    expected = ours.outputs(x)
    with team_call(ours.library, ours.x, ours.y, threads=2) as call:
        if call is None:
            return {}
        ours.y[...] = 0
        call()
        if not np.array_equal(ours.y, expected):
            console.print(f"{network.name}: two threads differ from one, and are not timed")
            return {}
        theirs = {form: peer.call for form, peer in peers(network, threads=2).items()}
        alone = {OURS_ON_ONE: ours.call, THEIRS_ON_ONE: best.call}
        return interleaved({OURS: call, **theirs, **alone}, seconds, rest_s=SPINNING_ENDS_S)


def _layers(ours: Built, channels: dict[str, int]) -> Iterator[dict[str, Any]]:
    built_layers = {layer.name: layer for layer in ours.part.layers}
    for layer in ours.profile(LAYER_REPEATS).layers:
        made = built_layers[layer.name]
        yield {
            "channels": max((channels.get(name, 0) for name in made.layers), default=0),
            "name": layer.name,
            "kind": layer.kind,
            "macs": made.macs,
            "ns_min": layer.quantities["time_min"].value,
            "ns_median": layer.quantities["time_median"].value,
        }


def input_channels(graph: Graph) -> dict[str, int]:
    """Channels that every output sums over, by layer; none for depthwise and other layers."""
    found: dict[str, int] = {}
    for layer in layers(graph):
        node = layer.nodes[0]
        if node.op_type == "Conv" and int_of(node, "group", 1) == 1:
            found[layer.name] = shape_of(layer.inputs[0])[1]
        elif node.op_type == "MatMul":
            found[layer.name] = shape_of(layer.inputs[0])[-1]
    return found


def _facts(ours: Built) -> dict[str, Any]:
    return {
        "seconds": ours.build_s,
        "arena_bytes": ours.part.arena_bytes,
        "arena_bound_bytes": ours.part.arena_bound_bytes,
        "text_bytes": ours.text_bytes,
        "constant_bytes": ours.part.weight_bytes,
        "library_bytes": ours.library_bytes,
    }


if __name__ == "__main__":
    main()
