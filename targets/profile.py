"""What a built part costs on a device, layer by layer, with the modelled energy beside it.

A part that codes what it sends has one row more, which says what that costs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from joulecut.compiler.bundle import Bundle
from joulecut.compiler.cost import Cost, cost_of_layer
from joulecut.compiler.errors import ConfigError
from joulecut.compiler.layers import layers
from joulecut.compiler.profile import LayerProfile, Profile, Quantity
from joulecut.hw.energy_table import EnergyTable, load_table
from joulecut.hw.radio import RadioLink
from joulecut.targets.devices.device import Device, device, device_for
from joulecut.targets.devices.protocol import CODING
from joulecut.targets.opened import Opened, opened
from joulecut.targets.price import price
from joulecut.targets.verify import expected_of


def profile(
    bundle: Bundle | str | Path,
    *,
    part: str = "edge",
    device: Device | str | None = None,
    energy: EnergyTable | str = "horowitz_45nm",
    feeds: Mapping[str, np.ndarray] | None = None,
    repeats: int = 20,
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

    Raises:
        ConfigError: the part, the device, the table or a feed is not usable.
        UntrustedInputError: the bundle is corrupt.
        DeviceError: the part cannot run on the device.
    """
    if part not in ("edge", "cloud"):
        raise ConfigError(f"part must be edge or cloud, not '{part}'")
    table = energy if isinstance(energy, EnergyTable) else load_table(energy)
    with opened(bundle) as held:
        return _profile(held, part, device, table, feeds, repeats)


def _profile(
    held: Opened,
    part: str,
    where: Device | str | None,
    table: EnergyTable,
    feeds: Mapping[str, np.ndarray] | None,
    repeats: int,
) -> Profile:
    side = held.split.edge if part == "edge" else held.split.cloud
    place = _place(where) or device_for(side.target)
    samples = held.inputs() if feeds is None else feeds
    first = {name: np.asarray(feed)[:1] for name, feed in samples.items()}
    case = expected_of(held.split, first)
    known = {**first, **case.sides[part]}
    fed = {spec.name: known[spec.name] for spec in side.signature.fed}
    found = place.profile(side.directory, fed, side.signature, repeats)
    prices = {layer.name: _priced(cost_of_layer(layer), table) for layer in layers(side.graph)}
    notes = [f"energy: arithmetic, and weights fetched once from DRAM, by table {table.name}"]
    if side.link:
        prices[CODING[0]] = _UNPRICED
        notes.append(f"energy of '{CODING[0]}': no table prices its instructions, so none")
    priced = tuple(
        LayerProfile(layer.name, layer.kind, {**layer.quantities, **prices[layer.name]})
        for layer in found.layers
    )
    return replace(found, layers=priced, notes=(*found.notes, *notes))


_UNPRICED = {"macs": Quantity(0, "1", "modelled"), "energy": Quantity(0, "pJ", "assumed")}


def _place(where: Device | str | None) -> Device | None:
    return device(where) if isinstance(where, str) else where


def _priced(cost: Cost, table: EnergyTable) -> dict[str, Quantity]:
    """Counts follow from the graph; energy is a model of them."""
    energy = price(cost, 0.0, table, RadioLink())
    return {
        "macs": Quantity(cost.macs, "1", "modelled"),
        "energy": Quantity(energy.processing_pj, "pJ", "modelled"),
    }
