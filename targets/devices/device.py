"""Device addresses: the words with which people say where a part shall run."""

from __future__ import annotations

import dataclasses

from joulecut.compiler.errors import ConfigError
from joulecut.targets.base import Target
from joulecut.targets.devices.local import LocalDevice
from joulecut.targets.devices.native import runs_here
from joulecut.targets.devices.protocol import Device
from joulecut.targets.devices.qemu import QemuDevice

__all__ = ["Device", "device", "device_for"]

GRAMMAR = "`local` or `qemu:ARCH[,cpu=NAME][,jobs=N][,timeout=SECONDS]`"


def device(address: str) -> Device:
    """The device that an address names.

    Args:
        address: `local`, or `qemu:ARCH[,cpu=NAME][,jobs=N][,timeout=SECONDS]`.

    Raises:
        ConfigError: if the address is anything else.
    """
    kind, colon, rest = address.partition(":")
    if kind == "local" and not colon:
        return LocalDevice()
    if kind == "qemu" and rest:
        arch, *options = rest.split(",")
        return _with_options(QemuDevice(arch), options, address)
    raise ConfigError(f"device must be {GRAMMAR}, not '{address}'")


def device_for(place: Target) -> Device:
    """Where a part that was built for a target can run on this machine.

    Natively if this processor has all that the code uses, else emulated, as the processor that
    the code is for.
    """
    if runs_here(place):
        return LocalDevice()
    return QemuDevice(place.arch, place.emulator.cpu)


def _with_options(start: QemuDevice, options: list[str], address: str) -> QemuDevice:
    made = start
    for option in options:
        key, _, value = option.partition("=")
        if key == "cpu" and value:
            made = dataclasses.replace(made, cpu=value)
        elif key == "jobs":
            made = dataclasses.replace(made, jobs=int(_number(key, value, address)))
        elif key == "timeout":
            made = dataclasses.replace(made, timeout_s=_number(key, value, address))
        else:
            raise ConfigError(f"device must be {GRAMMAR}, not '{address}'")
    return made


def _number(key: str, value: str, address: str) -> float:
    try:
        return float(value)
    except ValueError as error:
        raise ConfigError(
            f"{key} in device '{address}' must be a number, not '{value}'"
        ) from error
