"""A board with the int8 MAC accelerator, simulated: its layers on the RTL, the others emulated.

Verilator runs the accelerator's own source cycle by cycle, or a functional model computes the same
bytes without a clock. What stays with the processor runs where the processor's programs can run
here. Values go from one to the other as on a board.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from joulecut.compiler.errors import ConfigError, DeviceError
from joulecut.compiler.profile import LayerProfile, Profile, Quantity
from joulecut.hw.config import CONFIGS
from joulecut.hw.errors import RtlToolError
from joulecut.hw.simulator import SimulationError, simulation_library
from joulecut.targets.base import Target, target
from joulecut.targets.devices.local import LocalDevice
from joulecut.targets.devices.native import machine_line, runs_here
from joulecut.targets.devices.plugin import CacheModel
from joulecut.targets.devices.protocol import Device, Progress, Sent, Signature
from joulecut.targets.devices.qemu import QemuDevice
from joulecut.targets.devices.records import check_feeds, read_target
from joulecut.targets.fpga.handover import handover
from joulecut.targets.fpga.part import BuiltSegment, is_mixed, layer_cycles, read_segments
from joulecut.targets.fpga.program import (
    MODEL_LATENCY,
    ModelMachine,
    Program,
    RtlMachine,
)

ENGINES = ("rtl", "model")
Arrays = Mapping[str, np.ndarray]
_NS = 1e9


@dataclass(frozen=True)
class FpgaSimDevice:
    """A simulated accelerator beside an emulated processor.

    Attributes:
        engine: "rtl" for Verilator, "model" for the functional model, which knows no clock.
        caches: the data caches of the processor in a profile.
    """

    engine: str = "rtl"
    caches: CacheModel = CacheModel()  # noqa: RUF009 frozen

    def __post_init__(self) -> None:
        if self.engine not in ENGINES:
            raise ConfigError(
                f"engine of fpga-sim must be one of {', '.join(ENGINES)}, not '{self.engine}'"
            )

    @property
    def address(self) -> str:
        """`fpga-sim`, or `fpga-sim,engine=model`."""
        return "fpga-sim" if self.engine == "rtl" else f"fpga-sim,engine={self.engine}"

    @property
    def arch(self) -> str:
        """Any processor: it is emulated."""
        return "fpga-sim"

    def check(self) -> None:
        """Verilator and g++ must be here for the RTL; see Device.check."""
        if self.engine == "rtl":
            with _as_device_errors():
                simulation_library(CONFIGS["z7020"])

    def run(
        self,
        part: Path,
        inputs: Arrays,
        signature: Signature,
        progress: Progress | None = None,
    ) -> dict[str, np.ndarray]:
        """The outputs of the part; see Device.run."""
        count = check_feeds(inputs, signature.inputs)
        walk = _Walk(part, self, inputs, count, progress)
        for segment in walk.segments:
            walk.run(segment)
        return {spec.name: walk.known[spec.name] for spec in signature.outputs}

    def send(
        self,
        part: Path,
        inputs: Arrays,
        signature: Signature,
        progress: Progress | None = None,
    ) -> Sent:
        """Outputs and coded frames; see Device.send."""
        count = check_feeds(inputs, signature.fed)
        walk = _Walk(part, self, inputs, count, progress)
        frames: tuple[bytes, ...] = ()
        for segment in walk.segments:
            if segment.sends:
                frames = walk.send(segment, signature)
            else:
                walk.run(segment)
        outputs = {spec.name: walk.known[spec.name] for spec in signature.outputs}
        return Sent(outputs, frames)

    def trace(
        self,
        part: Path,
        inputs: Arrays,
        signature: Signature,
        progress: Progress | None = None,
    ) -> dict[str, np.ndarray]:
        """The output of every layer; see Device.trace."""
        count = check_feeds(inputs, signature.inputs)
        walk = _Walk(part, self, inputs, count, progress)
        made: dict[str, np.ndarray] = {}
        for segment in walk.segments:
            made |= walk.trace(segment)
        return made

    def profile(
        self,
        part: Path,
        inputs: Arrays,
        signature: Signature,
        repeats: int = 20,
    ) -> Profile:
        """Rows of both sides in order, and one for each hand-over; see Device.profile.

        The processor's rows are those of its device. The accelerator's have cycles: the model's,
        layer by layer, whose sum the counters of the RTL must confirm.
        """
        check_feeds(inputs, signature.fed)
        first = {name: array[:1] for name, array in inputs.items()}
        walk = _Walk(part, self, first, 1)
        rows: list[LayerProfile] = []
        notes: dict[str, None] = {}
        machines = {machine_line(): None}
        for segment in walk.segments:
            if segment.place == "array":
                rows.append(handover(segment.inputs, "array", self.caches.line_bytes))
                walk.run(segment)
                rows += _array_rows(segment.program())
                rows.append(handover(segment.outputs, "processor", self.caches.line_bytes))
                notes[walk.said] = None
                continue
            found = walk.profile(segment, signature, repeats)
            rows += found.layers
            machines |= {found.machine: None}
            notes |= dict.fromkeys(found.notes)
        return Profile(self.address, tuple(rows), "; ".join(machines), tuple(notes))


class _Walk:
    """The runs of a part one after the other, and what is known so far, [N, ...] by name."""

    def __init__(
        self,
        part: Path,
        device: FpgaSimDevice,
        inputs: Arrays,
        count: int,
        progress: Progress | None = None,
    ) -> None:
        if not is_mixed(part):
            raise DeviceError(
                f"{part} must be built for a target with an accelerator to run on "
                f"{device.address}, and is built for '{read_target(part)}'; build it for one "
                "such as pynq_z2+z7020"
            )
        self.segments = read_segments(part)
        self.known = dict(inputs)
        self.said = ""
        self._device, self._count, self._progress = device, count, progress
        self._processor = _processor(target(read_target(part)).processor, device.caches)
        self._arrays = sum(segment.place == "array" for segment in self.segments)
        self._done = 0

    def run(self, segment: BuiltSegment) -> None:
        """Makes a run's outputs known."""
        if segment.place == "array":
            self._array(segment.program())
        elif segment.outputs:
            own = Signature(segment.inputs, segment.outputs)
            self.known |= self._processor.run(segment.folder, self._fed(own), own)

    def send(self, segment: BuiltSegment, signature: Signature) -> tuple[bytes, ...]:
        """Runs the last run, and codes what crosses."""
        own = Signature(segment.inputs, segment.outputs, signature.link)
        sent = self._processor.send(segment.folder, self._fed(own), own)
        self.known |= sent.outputs
        return sent.frames

    def trace(self, segment: BuiltSegment) -> dict[str, np.ndarray]:
        """Every layer of a run."""
        if segment.place == "array":
            return self._array(segment.program())
        own = Signature(segment.inputs, segment.outputs)
        if not own.outputs:
            return {}
        made = self._processor.trace(segment.folder, self._fed(own), own)
        self.known |= made
        return made

    def profile(self, segment: BuiltSegment, signature: Signature, repeats: int) -> Profile:
        """What the layers of a run on the processor cost."""
        link = signature.link if segment.sends else ()
        own = Signature(segment.inputs, segment.outputs, link)
        found = self._processor.profile(segment.folder, self._fed(own), own, repeats)
        self.run(segment)
        return found

    def _fed(self, own: Signature) -> dict[str, np.ndarray]:
        return {spec.name: self.known[spec.name] for spec in own.fed}

    def _array(self, program: Program) -> dict[str, np.ndarray]:
        """All stored values of all samples."""
        shapes = {value.name: value.shape for value in program.inputs}
        rows: list[dict[str, np.ndarray]] = []
        for index in range(self._count):
            feeds = {name: self.known[name][index].reshape(shapes[name]) for name in shapes}
            with _as_device_errors():
                rows.append(self._once(program, feeds))
            if self._progress is not None:
                self._done += 1
                self._progress(self._done // self._arrays, self._count)
        made = {
            value.name: np.stack([row[value.name].reshape(value.shape[1:]) for row in rows])
            for value in program.layers
        }
        self.known |= made
        return made

    def _once(self, program: Program, feeds: Arrays) -> dict[str, np.ndarray]:
        config = program.config
        if self._device.engine == "model":
            self.said = (
                f"accelerator '{config.name}': functional model; cycles modelled, on a memory of "
                f"{MODEL_LATENCY} cycles; {config.clock_hz / 1e6:g} MHz assumed"
            )
            return ModelMachine().run(program, feeds)
        machine = RtlMachine(config)
        found = machine.run(program, feeds)
        modelled = program.counts()
        if machine.counts != modelled:
            raise DeviceError(
                f"counters of the RTL must equal the cycle model's {modelled}, "
                f"not {machine.counts}"
            )
        self.said = (
            f"accelerator '{config.name}': {machine.counts.cycles} cycles by the RTL's counters "
            f"(simulated), on a memory of {MODEL_LATENCY} cycles; "
            f"{config.clock_hz / 1e6:g} MHz assumed"
        )
        return found


def _processor(place: Target, caches: CacheModel) -> Device:
    """Where what stays with the processor runs."""
    if runs_here(place):
        return LocalDevice()
    return QemuDevice(place.arch, place.emulator.cpu, caches=caches)


def _array_rows(program: Program) -> list[LayerProfile]:
    """The layers of a program; what only has another name costs nothing."""
    cycles = layer_cycles(program)
    rows: list[LayerProfile] = []
    for value in program.layers:
        own = cycles.get(value.name, 0)
        latency = Quantity(own / program.config.clock_hz * _NS, "ns", "modelled")
        quantities = {
            "cycles": Quantity(own, "cycle", "modelled"),
            "latency": latency,
            "latency_worst": latency,
        }
        rows.append(LayerProfile(value.name, "accelerator", quantities))
    return rows


@contextmanager
def _as_device_errors() -> Generator[None]:
    """What simulators raise, as every device does."""
    try:
        yield
    except (RtlToolError, SimulationError) as error:
        raise DeviceError(str(error)) from error
