"""Device addresses: the words with which people say where a part shall run."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from joulecut.compiler.errors import ConfigError
from joulecut.targets.base import Target
from joulecut.targets.devices.fpga_sim import FpgaSimDevice
from joulecut.targets.devices.hosts import split_host
from joulecut.targets.devices.local import LocalDevice
from joulecut.targets.devices.native import runs_here
from joulecut.targets.devices.protocol import Device
from joulecut.targets.devices.qemu import QemuDevice
from joulecut.targets.devices.rpc import RpcDevice
from joulecut.targets.devices.ssh import SshDevice

__all__ = ["Device", "device", "device_for"]

GRAMMAR = (
    "`local` or `qemu:ARCH[,cpu=NAME][,jobs=N][,timeout=SECONDS]` or "
    "`ssh://[USER@]HOST[:PORT][,cpu=N][,threads=N][,dir=FOLDER][,identity=FILE][,config=FILE]"
    "[,timeout=SECONDS]` or `rpc://HOST:PORT/KEY[,timeout=SECONDS]` or "
    "`fpga-sim[,engine=rtl|model]` or `local,threads=N`"
)
TIMEOUT_S = 600.0


def device(address: str) -> Device:
    """The device that an address names.

    Args:
        address: `local` with the option `threads=N`;
            `qemu:ARCH` with options `cpu=NAME`, `jobs=N`, `timeout=SECONDS`;
            `ssh://[USER@]HOST[:PORT]` with options `cpu=N` (the core that programs are pinned
            to), `dir=FOLDER` (where our files go on the board), `identity=FILE` (the key),
            `config=FILE` (in place of ~/.ssh/config), `threads=N`, `timeout=SECONDS`; or
            `rpc://HOST:PORT/KEY` (a TVM RPC tracker) with the option `timeout=SECONDS`; or
            `fpga-sim` (for parts with an accelerator) with the option `engine=rtl` or `model`.
            A comma stands before each option.

    Raises:
        ConfigError: if the address is anything else.
    """
    if address.partition(",")[0] == "local":
        options = _options(address, address.split(",")[1:], ("threads",))
        return LocalDevice(_threads(address, options))
    if address.partition(",")[0] == "fpga-sim":
        options = _options(address, address.split(",")[1:], ("engine",))
        return FpgaSimDevice(options.get("engine", "rtl"))
    for prefix, (known, parse) in _KINDS.items():
        if address.startswith(prefix):
            where, *words = address.removeprefix(prefix).split(",")
            return parse(address, where, _options(address, words, known))
    raise _refusal(address)


def device_for(place: Target) -> Device:
    """Where a part that was built for a target can run on this machine.

    Natively if this processor has all that the code uses, else emulated, as the processor that
    the code is for; with an accelerator, simulated.
    """
    if place.accelerator is not None:
        return FpgaSimDevice()
    if runs_here(place):
        return LocalDevice()
    return QemuDevice(place.arch, place.emulator.cpu)


_Options = Mapping[str, str]


def _qemu(address: str, arch: str, options: _Options) -> Device:
    if not arch:
        raise _refusal(address)
    jobs, timeout_s = _integer(address, options, "jobs"), _timeout(address, options)
    return QemuDevice(arch, options.get("cpu"), jobs, timeout_s)


def _ssh(address: str, where: str, options: _Options) -> Device:
    user, at, place = where.rpartition("@")
    host, port = split_host(place)
    return SshDevice(
        host,
        user if at else None,
        None if port is None else _integer(address, {"port": port}, "port"),
        _path(options, "identity"),
        _path(options, "config"),
        _integer(address, options, "cpu"),
        options.get("dir"),
        _timeout(address, options),
        _threads(address, options),
    )


def _rpc(address: str, where: str, options: _Options) -> Device:
    place, slash, key = where.partition("/")
    host, port = split_host(place)
    number = None if port is None else _integer(address, {"port": port}, "port")
    if not slash or number is None:
        raise _refusal(address)
    return RpcDevice(host, number, key, _timeout(address, options))


# Prefix: the options, and what makes the device from address, what follows the prefix, options.
_KINDS: dict[str, tuple[tuple[str, ...], Callable[[str, str, _Options], Device]]] = {
    "qemu:": (("cpu", "jobs", "timeout"), _qemu),
    "ssh://": (("cpu", "dir", "identity", "config", "threads", "timeout"), _ssh),
    "rpc://": (("timeout",), _rpc),
}


def _options(address: str, words: Sequence[str], known: Sequence[str]) -> _Options:
    options: dict[str, str] = {}
    for word in words:
        key, _, value = word.partition("=")
        if key not in known or key in options or not value:
            raise _refusal(address)
        options[key] = value
    return options


def _threads(address: str, options: _Options) -> int:
    given = _integer(address, options, "threads")
    return 1 if given is None else given


def _path(options: _Options, key: str) -> Path | None:
    return Path(options[key]).expanduser() if key in options else None


def _integer(address: str, options: _Options, key: str) -> int | None:
    if key not in options:
        return None
    try:
        return int(options[key])
    except ValueError as error:
        raise _no_number(address, key, options[key]) from error


def _timeout(address: str, options: _Options) -> float:
    text = options.get("timeout", str(TIMEOUT_S))
    try:
        seconds = float(text)
    except ValueError as error:
        raise _no_number(address, "timeout", text) from error
    if not math.isfinite(seconds):
        raise _no_number(address, "timeout", text)
    return seconds


def _no_number(address: str, key: str, value: str) -> ConfigError:
    return ConfigError(f"{key} in device '{address}' must be a number, not '{value}'")


def _refusal(address: str) -> ConfigError:
    return ConfigError(f"device must be {GRAMMAR}, not '{address}'")
