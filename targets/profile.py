"""What a part of a bundle costs, layer by layer, on a device."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from joulecut.compiler.bundle import Bundle
from joulecut.compiler.errors import ConfigError
from joulecut.compiler.profile import Profile
from joulecut.targets.devices import device as devices
from joulecut.targets.devices.device import Device
from joulecut.targets.opened import opened
from joulecut.targets.verify import expected_of

DEFAULT_REPEATS = 20


def profile(
    bundle: Bundle | str | Path,
    device: Device | str | None = None,
    *,
    part: str | None = None,
    feeds: Mapping[str, np.ndarray] | None = None,
    repeats: int = DEFAULT_REPEATS,
) -> Profile:
    """Profile one part of a bundle with its first sample.

    Args:
        bundle: a bundle, or where one lies; its hashes are checked first.
        device: a Device or its address; None: natively if the part can run here, else QEMU.
        part: "edge" or "cloud"; None for the first that was built for the device's processor.
        feeds: samples for each input of the whole; None for the vectors in the bundle.
        repeats: runs behind each measured time; simulated counts need none.

    Raises:
        ConfigError: if there is no such part, or no part is for the device.
        UntrustedInputError: if the bundle is corrupt.
        DeviceError: if the device is missing or cannot profile.
    """
    place = devices.device(device) if isinstance(device, str) else device
    with opened(bundle) as held:
        sides = {side.name: side for side in held.split.sides if side.signature.outputs}
        if part is not None and part not in sides:
            raise ConfigError(f"part must be one of {', '.join(sides)}, not '{part}'")
        fitting = [
            side
            for side in sides.values()
            if part in (None, side.name) and (place is None or place.arch == side.target.arch)
        ]
        if not fitting:
            built = ", ".join(f"{side.name}: {side.target.arch}" for side in sides.values())
            raise ConfigError(
                f"device '{place.address if place else ''}' must be for a processor that "
                f"{part or 'a part'} was built for ({built}); name another device or part"
            )
        side = fitting[0]
        samples = held.inputs() if feeds is None else feeds
        first = {name: array[:1] for name, array in samples.items()}
        known = expected_of(held.split, first).sides[side.name]
        home = place or devices.device_for(side.target)
        return home.profile(side.directory, side.inputs_of(known), side.signature, repeats)
