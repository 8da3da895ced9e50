"""Nanoseconds and cycles per layer, as the part's own executable measures them.

Timing inside the program leaves out Python, loading and copying, which no board would pay.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from joulecut.compiler.errors import ConfigError, DeviceError
from joulecut.compiler.profile import LayerProfile, Profile, Quantity
from joulecut.targets.devices.elf import require_machine
from joulecut.targets.devices.native import machine_line, native_arch, require_runnable
from joulecut.targets.devices.program import model_command, run_program
from joulecut.targets.devices.protocol import CODING
from joulecut.targets.devices.records import read_layers

PROFILE_TIMEOUT_S = 600.0


def profile_by_clock(
    address: str,
    part: Path,
    record: bytes,
    repeats: int,
    *,
    coded: bool = False,
    threads: int = 1,
) -> Profile:
    """Time each layer with the part's own executable on this machine.

    Args:
        address: of the device, for the profile.
        part: directory of a part built for this machine.
        record: one sample.
        repeats: runs of the whole part; the profile keeps minimum and median per layer.
        coded: time the coding of the link too; the record then holds what is passed.
        threads: that share the work.

    Raises:
        ConfigError: if `repeats` is not positive.
        DeviceError: if the program cannot run or writes something else.
    """
    if repeats < 1:
        raise ConfigError(f"repeats must be at least 1, not {repeats}")
    require_machine(part / "model", native_arch())
    require_runnable(part)
    with tempfile.TemporaryDirectory(prefix="joulecut-") as name:
        folder = Path(name)
        files = (folder / "input", folder / "output", 1)
        files[0].write_bytes(record)
        options = ["--profile", str(folder / "profile.json"), "--repeat", str(repeats)]
        options += ["--link", str(folder / "frames")] if coded else []
        options += ["--threads", str(threads)] if threads > 1 else []
        run_program(model_command((), part, options, files), PROFILE_TIMEOUT_S)
        text = (folder / "profile.json").read_text(encoding="utf-8")
    layers, notes = read_times(text, part, repeats, coded=coded, threads=threads)
    return Profile(address, layers, machine_line(), notes)


def read_times(
    text: str, part: Path, repeats: int, *, coded: bool, threads: int = 1
) -> tuple[tuple[LayerProfile, ...], tuple[str, ...]]:
    """The layers of a profile, and what a reader must know, from what `--profile` wrote.

    Args:
        text: the JSON that the program wrote.
        part: directory of the part.
        repeats: that were asked for.
        coded: the link was coded too.
        threads: that shared the work.

    Raises:
        DeviceError: if the text is anything else.
    """
    kinds = {layer.name: layer.kind for layer in read_layers(part)}
    try:
        written: dict[str, Any] = json.loads(text)
        layers = [_timed(row, row["name"], kinds[row["name"]]) for row in written["layers"]]
        layers += [_timed(written["link"], *CODING)] if coded else []
        clock = str(written["clock"])
        cycles = _cycles_note(written, threads)
    except (ValueError, KeyError, TypeError) as error:
        raise DeviceError(
            f"{part / 'model'} --profile must write clock and layers; {error!r} in the way"
        ) from error
    notes = (
        f"measured with {clock}; minimum and median of {repeats} runs, one sample",
        "a sum of minima is a lower bound of the whole, a sum of medians an estimate",
    )
    return tuple(layers), (*notes, cycles)


def _cycles_note(written: Mapping[str, Any], threads: int) -> str:
    if written.get("cycles"):
        whose = "" if threads == 1 else f" of the first of {threads} threads, waiting included"
        return f"cycles{whose}: the processor's counter, user mode only, minimum; reading it adds a few"
    reason = str(written.get("cycles_reason", "the part's program counts none"))
    refused = any(word in reason for word in ("denied", "not permitted"))
    advice = "; `sysctl kernel.perf_event_paranoid=2` there lets users count" if refused else ""
    return f"no cycles: {reason}{advice}"


def _timed(row: Mapping[str, Any], name: str, kind: str) -> LayerProfile:
    quantities = {
        "time_min": Quantity(float(row["ns_min"]), "ns", "measured"),
        "time_median": Quantity(float(row["ns_median"]), "ns", "measured"),
    }
    if "cycles_min" in row:
        quantities["cycles"] = Quantity(float(row["cycles_min"]), "cycle", "measured")
    return LayerProfile(name, kind, quantities)
