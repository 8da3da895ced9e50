"""What a built part costs on a device, layer by layer, with the modelled energy beside it.

A part that codes what it sends has one row more, which says what that costs. Where a device
counts instead of timing, a modelled latency of the board stands beside the counts.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from joulecut.compiler.bundle import Bundle
from joulecut.compiler.cost import Cost, cost_of_layer
from joulecut.compiler.errors import ConfigError, UntrustedInputError
from joulecut.compiler.layers import layers
from joulecut.compiler.profile import LayerProfile, Profile, Quantity, sums
from joulecut.hw.energy_table import EnergyTable, load_table
from joulecut.hw.radio import RadioLink
from joulecut.targets.base import Target, target
from joulecut.targets.cores import Core, core_of
from joulecut.targets.devices.device import Device, device
from joulecut.targets.devices.fpga_sim import FpgaSimDevice
from joulecut.targets.devices.protocol import CODING
from joulecut.targets.devices.qemu import QemuDevice
from joulecut.targets.devices.records import read_layers
from joulecut.targets.fpga.part import array_energies
from joulecut.targets.latency import has_counts, modelled
from joulecut.targets.opened import Opened, opened
from joulecut.targets.price import price
from joulecut.targets.split import Side
from joulecut.targets.verify import expected_of


def profile(
    bundle: Bundle | str | Path,
    *,
    part: str = "edge",
    device: Device | str | None = None,
    energy: EnergyTable | str = "horowitz_45nm",
    feeds: Mapping[str, np.ndarray] | None = None,
    repeats: int = 20,
    board: str | None = None,
    clock_hz: float | None = None,
    kernel_cpi: Mapping[str, float] | None = None,
) -> Profile:
    """Profile one part of a bundle.

    Args:
        bundle: a bundle, or where one lies; its hashes are checked first.
        part: "edge" or "cloud".
        device: a Device or its address; None: this machine if the part was built for it, else
            an emulator.
        energy: the table that prices what the layers compute and fetch.
        feeds: N samples for each input of the whole, of which the first is run; None for the
            vectors in the bundle.
        repeats: runs of each layer on a device that has a clock.
        board: the target whose latency is modelled from counts; None: the part's own. Without a
            clock there is no such latency.
        clock_hz: the clock that is modelled; None: the fact of the board.
        kernel_cpi: cycles per instruction of kernels, by symbol; see `latency.modelled`.

    Raises:
        ConfigError: the part, the device, the board, the table or a feed is not usable.
        UntrustedInputError: the bundle is corrupt.
        DeviceError: the part cannot run on the device.
    """
    if part not in ("edge", "cloud"):
        raise ConfigError(f"part must be edge or cloud, not '{part}'")
    table = energy if isinstance(energy, EnergyTable) else load_table(energy)
    with opened(bundle) as held:
        side = held.split.edge if part == "edge" else held.split.cloud
        model = _core_and_clock(side.target, board, clock_hz)
        place = side.place(_place(device))
        if model is not None and isinstance(place, QemuDevice | FpgaSimDevice):
            place = replace(place, caches=model[0].caches)
        found = _profile(held, side, place, table, feeds, repeats)
        if model is None or not has_counts(found):
            if board is not None:
                raise ConfigError(
                    f"device must count for a latency of board '{board}' to be modelled, and "
                    f"{found.device} does not; use qemu:{side.target.arch}"
                )
            return found
        symbols = _symbols(side.directory) if kernel_cpi else None
        return modelled(found, *model, kernel_cpi=kernel_cpi, symbols=symbols)


def _profile(
    held: Opened,
    side: Side,
    place: Device,
    table: EnergyTable,
    feeds: Mapping[str, np.ndarray] | None,
    repeats: int,
) -> Profile:
    samples = held.inputs() if feeds is None else feeds
    first = {name: np.asarray(feed)[:1] for name, feed in samples.items()}
    case = expected_of(held.split, first)
    known = {**first, **case.sides[side.name]}
    fed = {spec.name: known[spec.name] for spec in side.signature.fed}
    found = place.profile(side.directory, fed, side.signature, repeats)
    each = {layer.name: _priced(cost_of_layer(layer), table) for layer in layers(side.graph)}
    prices = {
        built.name: sums(each[name] for name in built.layers)
        for built in read_layers(side.directory)
    }
    notes = [f"energy: arithmetic, and weights fetched once from DRAM, by table {table.name}"]
    if side.target.accelerator is not None:
        for name, energy_pj in array_energies(side.directory, table).items():
            prices[name]["energy"] = Quantity(energy_pj, "pJ", "modelled")
        notes.append(
            "energy on the accelerator: with every access to its memories and to DRAM; of "
            "handing over: not priced; see docs/accelerator.md"
        )
    if side.link:
        prices[CODING[0]] = _UNPRICED
        notes.append(f"energy of '{CODING[0]}': no table prices its instructions, so none")
    priced = tuple(
        LayerProfile(
            layer.name, layer.kind, {**layer.quantities, **prices.get(layer.name, _UNPRICED)}
        )
        for layer in found.layers
    )
    return replace(found, layers=priced, notes=(*found.notes, *notes))


_UNPRICED = {"macs": Quantity(0, "1", "modelled"), "energy": Quantity(0, "pJ", "assumed")}


def _place(where: Device | str | None) -> Device | None:
    return device(where) if isinstance(where, str) else where


def _core_and_clock(
    built_for: Target, board: str | None, clock_hz: float | None
) -> tuple[Core, float] | None:
    """What a latency is modelled of; None if the part's own target leaves it open."""
    place = built_for if board is None else target(board)
    if place.arch != built_for.arch:
        raise ConfigError(
            f"board must be {built_for.arch}, as the part is, not '{place.name}' of {place.arch}"
        )
    core = core_of(place)
    fact = place.facts.get("clock_hz")
    clock = clock_hz if clock_hz is not None else fact.value if fact is not None else None
    if core is not None and clock is not None:
        return core, clock
    if board is None and clock_hz is None:
        return None
    missing = "clock; give one in Hz" if core else "core in targets/cores; choose another board"
    raise ConfigError(f"'{place.name}' must name its {missing}")


def _symbols(part: Path) -> dict[str, list[str]]:
    """The kernels of each layer of a built part."""
    path = part / "layers.json"
    try:
        rows = json.loads(path.read_text(encoding="utf-8"))["layers"]
        return {str(row["name"]): [str(symbol) for symbol in row["symbols"]] for row in rows}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UntrustedInputError(
            f"{path} must list layers with name and symbols; {error!r} in the way"
        ) from error


def _priced(cost: Cost, table: EnergyTable) -> dict[str, Quantity]:
    """Counts follow from the graph; energy is a model of them."""
    energy = price(cost, 0.0, table, RadioLink())
    return {
        "macs": Quantity(cost.macs, "1", "modelled"),
        "energy": Quantity(energy.processing_pj, "pJ", "modelled"),
    }
