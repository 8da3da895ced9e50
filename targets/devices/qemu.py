"""An emulated processor: runs a part's static executable under QEMU's user-mode emulator.

It executes every instruction of the real program for the foreign processor, so results are
those of the board; times are not, which is why its profile counts instead.
"""

from __future__ import annotations

import difflib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from joulecut.compiler.errors import ConfigError, DeviceError
from joulecut.compiler.profile import Profile
from joulecut.compiler.quant import TensorSpec
from joulecut.targets.devices.elf import require_machine, symbol_address
from joulecut.targets.devices.native import machine_line
from joulecut.targets.devices.plugin import CacheModel, build_plugin, read_counts
from joulecut.targets.devices.program import Batch, model_command, run_batches, run_program
from joulecut.targets.devices.protocol import CODING, Progress, Sent, Signature
from joulecut.targets.devices.records import (
    check_feeds,
    from_frames,
    from_records,
    read_layers,
    to_records,
)

EMULATORS = {
    "aarch64": "qemu-aarch64",
    "armv7": "qemu-arm",
    "riscv64": "qemu-riscv64",
    "x86_64": "qemu-x86_64",
}
BATCH_SAMPLES = (
    64  # per process: long enough to forget the start, short enough to show progress
)
WARM_RUNS = 2  # the profile keeps the last: caches and branches have seen the part once


@dataclass(frozen=True)
class QemuDevice:
    """An emulated processor of another (or the same) architecture.

    Attributes:
        arch: a key of EMULATORS.
        cpu: a name that `qemu-ARCH -cpu help` lists, or None for QEMU's own choice.
        jobs: processes at a time; None for one per core.
        timeout_s: for each process of at most BATCH_SAMPLES samples.
        caches: the data caches of a profile.
    """

    arch: str
    cpu: str | None = None
    jobs: int | None = None
    timeout_s: float = 600.0
    caches: CacheModel = CacheModel()  # noqa: RUF009 frozen

    def __post_init__(self) -> None:
        if self.arch not in EMULATORS:
            raise ConfigError(
                f"architecture of qemu must be one of {', '.join(EMULATORS)}, not '{self.arch}'"
            )
        if self.jobs is not None and self.jobs < 1:
            raise ConfigError(f"jobs of qemu must be at least 1, not {self.jobs}")
        if not self.timeout_s > 0:
            raise ConfigError(f"timeout of qemu must be positive, not {self.timeout_s}")

    @property
    def address(self) -> str:
        """`qemu:aarch64,cpu=cortex-a53`."""
        return f"qemu:{self.arch}" + (f",cpu={self.cpu}" if self.cpu else "")

    def check(self) -> None:
        """The emulator must be installed; see Device.check."""
        self.emulator()

    def run(
        self,
        part: Path,
        inputs: Mapping[str, np.ndarray],
        signature: Signature,
        progress: Progress | None = None,
    ) -> dict[str, np.ndarray]:
        """The outputs of the part; see Device.run."""
        count = check_feeds(inputs, signature.inputs)
        records = to_records(inputs, signature.inputs)
        (raw,) = self._batches(part, records, (), progress)
        return from_records(raw, signature.outputs, count)

    def send(
        self,
        part: Path,
        inputs: Mapping[str, np.ndarray],
        signature: Signature,
        progress: Progress | None = None,
    ) -> Sent:
        """Outputs and coded frames; see Device.send."""
        count = check_feeds(inputs, signature.fed)
        records = to_records(inputs, signature.fed)
        raw, frames = self._batches(part, records, ("link",), progress)
        return Sent(from_records(raw, signature.outputs, count), from_frames(frames, count))

    def trace(
        self,
        part: Path,
        inputs: Mapping[str, np.ndarray],
        signature: Signature,
        progress: Progress | None = None,
    ) -> dict[str, np.ndarray]:
        """The output of every layer; see Device.trace."""
        count = check_feeds(inputs, signature.inputs)
        records = to_records(inputs, signature.inputs)
        specs: list[TensorSpec] = [layer.output for layer in read_layers(part)]
        _, raw = self._batches(part, records, ("trace",), progress)
        return from_records(raw, specs, count)

    def profile(
        self,
        part: Path,
        inputs: Mapping[str, np.ndarray],
        signature: Signature,
        repeats: int = 1,
    ) -> Profile:
        """Instructions, accesses, bytes and cache misses per layer, simulated.

        Counts do not vary, so `repeats` changes nothing; see Device.profile.
        """
        del repeats
        check_feeds(inputs, signature.fed)
        record = to_records(inputs, signature.fed)[:1].tobytes()
        layers = read_layers(part)
        emulator = self.emulator()
        self._require_program(part)
        plugin = build_plugin(emulator[0])
        hook = symbol_address(part / "model", "model_hook")
        if self.arch == "armv7":
            hook &= ~1  # the lowest bit says Thumb, it is no part of the address
        with tempfile.TemporaryDirectory(prefix="joulecut-") as name:
            folder = Path(name)
            counts = folder / "counts"
            options = {"hook": hook, "out": counts, **self.caches.arguments()}
            words = [_escaped(plugin), *(f"{k}={_escaped(v)}" for k, v in options.items())]
            files = (folder / "input", folder / "output", WARM_RUNS)
            files[0].write_bytes(record * WARM_RUNS)
            prefix = (*emulator, "-plugin", ",".join(words))
            coding = ("--link", str(folder / "frames")) if signature.link else ()
            run_program(model_command(prefix, part, coding, files), self.timeout_s)
            stages = [(layer.name, layer.kind) for layer in layers]
            stages += [CODING] if signature.link else []
            profiles = read_counts(counts, stages, WARM_RUNS)
        notes = (
            f"simulated: one sample, run {WARM_RUNS} of {WARM_RUNS} (caches are warm)",
            f"caches: {self.caches}",
            "counts are not cycles; a vector access counts as those that QEMU makes of it, bytes are exact",
        )
        machine = f"{Path(emulator[0]).name} on {machine_line()}"
        return Profile(self.address, tuple(profiles), machine, notes)

    def emulator(self) -> tuple[str, ...]:
        """The emulator and its options; DeviceError if it is not installed."""
        name = EMULATORS[self.arch]
        program = shutil.which(name)
        if program is None:
            raise DeviceError(
                f"{name} must be installed for the device '{self.address}', and is not; "
                "run: apt-get install qemu-user"
            )
        if not self.cpu:
            return (program,)
        _require_model(name, self.cpu.partition(",")[0], models(program))
        return (program, "-cpu", self.cpu)

    def _require_program(self, part: Path) -> None:
        require_machine(part / "model", self.arch)

    def _batches(
        self,
        part: Path,
        records: np.ndarray,
        wanted: Sequence[str],
        progress: Progress | None,
    ) -> list[bytes]:
        """What the program wrote for all records: outputs, then what each wanted option writes."""
        emulator = self.emulator()
        self._require_program(part)
        jobs = self.jobs or os.cpu_count() or 1
        step = min(BATCH_SAMPLES, -(-len(records) // jobs))
        with tempfile.TemporaryDirectory(prefix="joulecut-") as name:
            folder = Path(name)
            batches: list[Batch] = []
            results: list[list[Path]] = []
            for first in range(0, len(records), step):
                chunk = records[first : first + step]
                source, output = folder / f"{first}.input", folder / f"{first}.output"
                written = {f"--{option}": folder / f"{first}.{option}" for option in wanted}
                chunk.tofile(source)
                options = [str(word) for pair in written.items() for word in pair]
                files = (source, output, len(chunk))
                command = model_command(emulator, part, options, files)
                batches.append(Batch(command, first, len(chunk)))
                results.append([output, *written.values()])
            run_batches(batches, jobs, self.timeout_s, progress)
            return [_joined(column) for column in zip(*results, strict=True)]


@cache
def models(program: str) -> tuple[str, ...]:
    """The processors that an emulator knows; none if it does not say."""
    done = subprocess.run(
        [program, "-cpu", "help"], capture_output=True, text=True, check=False
    )
    listed = done.stdout.partition("\n\n")[0].splitlines()  # on x86 the features follow
    if listed[:1] == ["Available CPUs:"]:
        return tuple(line.removeprefix("x86 ").split()[0] for line in listed[1:])
    names = [line.strip() for line in listed]  # of riscv64, under no heading
    return () if any(" " in name for name in names) else tuple(names)


def _require_model(emulator: str, name: str, known: Sequence[str]) -> None:
    if not known or name in known:
        return
    close = difflib.get_close_matches(name, known, n=3, cutoff=0.0)
    raise ConfigError(
        f"cpu of {emulator} must be one that it emulates, not '{name}'; the closest are "
        f"{', '.join(close)}, and `{emulator} -cpu help` lists all"
    )


def _joined(paths: Sequence[Path]) -> bytes:
    try:
        return b"".join(path.read_bytes() for path in paths)
    except OSError as error:
        raise DeviceError(
            f"the part's program must write {error.filename}, and did not; build the part again"
        ) from error


def _escaped(value: object) -> str:
    """QEMU splits options at commas; two stand for one."""
    return str(value).replace(",", ",,")
