"""Instructions per inference on emulated Arm cores, beside onnxruntime and LiteRT in int8.

No clock is right under an emulator: what is counted are instructions, which repeat, on cores
whose kernels every engine picks as on the real ones. For cores that run in order, llvm-mca's
model of the hot loops stands beside the counts. Nothing here was measured on silicon.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from arm_tables import show_cycles, show_floats, show_instructions, show_layers, show_outputs
from bench_networks import NAMES, BenchNetwork, networks
from mca import mac_per_cycle, version
from ours_on_arm import Ours, hot_loops_of, ours
from peers.arm_engines import inference
from peers.float_network import count_float
from rich.console import Console

import joulecut as jc
from joulecut.compiler.errors import ConfigError, JoulecutError
from joulecut.targets.base import Target

P = ParamSpec("P")
T = TypeVar("T")
console = Console(highlight=False, width=150)


@dataclass(frozen=True)
class Place:
    """A core, what we build for it, and what the build should reach.

    Attributes:
        core: that other engines run on.
        target: what we build for.
        float_core: that LiteRT's float kernels run on.
        bar: most instructions, of those of the better engine; None where there is no bar.
        stretch: as few as are thought possible.
        most: instructions by network, where no int8 engine is a fair bar.
        cycles: the core that llvm-mca models and the products a cycle that hot loops should
            reach there.
    """

    core: str
    target: str
    float_core: str
    bar: float | None
    stretch: float | None
    most: tuple[tuple[str, int], ...] = ()
    cycles: tuple[tuple[str, float], ...] = ()


# Bars are our own, from what hand-written kernels reached on ResNet-8 and DS-CNN.
PLACES = (
    Place("cortex-a53", "cortex_a53", "cortex-a53", 0.72, 0.58, cycles=(("cortex-a53", 4.0),)),
    Place("cortex-a72", "cortex_a72", "cortex-a72", 0.80, 0.65, cycles=(("cortex-a72", 7.9),)),
    Place(
        "cortex-a76",
        "cortex_a76",
        "cortex-a76",
        0.85,
        0.72,
        # LLVM models the Cortex-A76 as an A57, which loads one vector a cycle instead of two; the
        # Neoverse N1 is the same core and has a model of its own.
        cycles=(("cortex-a76", 31.0), ("neoverse-n1", 31.0), ("cortex-a55", 9.0)),
    ),
    # PyPI's newest LiteRT for ARMv7 has no XNNPACK, and its float kernels need VFPv4.
    Place("cortex-a9", "pynq_z2", "cortex-a15", None, None, (("resnet8", 4_000_000),)),
)
LARGE_MACS = 1e9  # networks beyond take an hour to emulate: only if they are named
FLOATS = ("resnet8",)  # networks that are built in float32 too


def main() -> None:
    """Count all networks that are small, or those that are named."""
    options = _options()
    places = [place for place in PLACES if not options.core or place.core in options.core]
    found = networks(options.networks, say=console.print)
    documents: list[dict[str, Any]] = []
    for network in found.values():
        if network.macs > LARGE_MACS and not options.networks:
            console.print(f"skipped {network.name}: large; name it to count it")
            continue
        for place in places:
            target = _target(place)
            if target is not None:
                documents.append(_document(network, place, target, options))
    show_instructions(console, documents)
    show_outputs(console, documents)
    show_floats(console, documents)
    show_cycles(console, documents)
    if options.layers:
        show_layers(console, documents)
    if options.json:
        options.json.write_text(json.dumps(documents, indent=1) + "\n", encoding="utf-8")
    if not documents:
        sys.exit("nothing was counted")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument(
        "networks", nargs="*", help=f"of {', '.join(NAMES)}; small ones if none"
    )
    cores = [place.core for place in PLACES]
    parser.add_argument("--core", action="append", choices=cores, help="all if absent")
    parser.add_argument("--fresh", action="store_true", help="count again what is kept")
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--ours", action="store_true", help="leave the other engines out")
    which.add_argument("--peers", action="store_true", help="leave our builds out")
    parser.add_argument("--layers", action="store_true", help="show our counts layer by layer")
    parser.add_argument("--json", type=Path, help="write all numbers into this file")
    return parser.parse_args()


def _target(place: Place) -> Target | None:
    try:
        return jc.target(place.target)
    except ConfigError as missing:
        console.print(f"skipped {place.core}: {missing}", markup=False)
        return None


def _document(
    network: BenchNetwork, place: Place, target: Target, options: argparse.Namespace
) -> dict[str, Any]:
    """All numbers of a network on a core."""
    console.print(f"{network.name} on {place.core}")
    document: dict[str, Any] = {
        "network": network.name,
        "macs": network.macs,
        "core": place.core,
        "target": target.name,
        "provenance": "simulated",
        "bar": place.bar,
        "stretch": place.stretch,
        "most": dict(place.most).get(network.name),
    }
    built = (
        None if options.peers else _or_line(ours, network, target, _say, fresh=options.fresh)
    )
    if built is not None:
        document["ours"] = {
            "instructions": built.instructions,
            "layers": [asdict(layer) for layer in built.layers],
        }
        document["loops"] = _or_line(_loops, built, place) or []
    if not options.ours:
        document["engines"] = dict(_engines(network, place, options.fresh))
        if network.name in FLOATS:
            document["floats"] = dict(_floats(network, place, target, options.fresh))
    return document


def _engines(
    network: BenchNetwork, place: Place, fresh: bool
) -> Iterator[tuple[str, dict[str, Any]]]:
    for engine in ("litert", "onnxruntime"):
        found = _or_line(inference, engine, network.qdq_path, place.core, fresh=fresh)
        if found is not None:
            yield engine, asdict(found)


def _floats(
    network: BenchNetwork, place: Place, target: Target, fresh: bool
) -> Iterator[tuple[str, int]]:
    found = _or_line(inference, "litert_f32", network.qdq_path, place.float_core, fresh=fresh)
    if found is not None:
        yield f"LiteRT on {place.float_core}", found.instructions
    count = _or_line(count_float, network.name, target, fresh=fresh)
    if count is not None:
        yield "TVM's operators, a short schedule", count


def _loops(built: Ours, place: Place) -> list[dict[str, Any]]:
    """The hot loops; those of 32-bit cores have no rates."""
    return [
        {
            "layer": hot.layer,
            "share": hot.share,
            "instructions": len(hot.loop.instructions),
            "macs": hot.loop.macs,
            "provenance": "modelled",
            "model": f"llvm-mca {version()}",
            "rates": [
                {"cpu": cpu, "mac_per_cycle": mac_per_cycle(hot.loop, cpu), "bar": bar}
                for cpu, bar in place.cycles
            ],
        }
        for hot in hot_loops_of(built.part)
    ]


def _or_line(make: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T | None:
    """What is made, or a line that says why it was not."""
    try:
        return make(*args, **kwargs)
    except JoulecutError as error:
        console.print(f"skipped: {error}", markup=False)
        return None


def _say(line: str) -> None:
    if console.is_terminal:
        console.print(line, style="dim", markup=False)


if __name__ == "__main__":
    main()
