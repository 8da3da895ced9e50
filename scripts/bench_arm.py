"""Instructions a sample that the codec takes on Arm, counted by an emulator: they repeat.

The same sources are built with NEON and as scalar C that the compiler may not vectorize either. Every
build must make the same bytes.
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from bench_table import CONSOLE, show
from codec_data import vgg16_tensors

from joulecut.targets.devices.elf import symbol_address
from joulecut.targets.devices.plugin import CacheModel, build_plugin

ROOT = Path(__file__).resolve().parents[1]
KERNELS = ROOT / "kernels/c"
PROGRAM = ROOT / "scripts/peers/codec_steps.c"
FLAGS = ("-std=c11", "-O3", "-ffp-contract=off", "-static", f"-I{KERNELS}")
CUT = "b3c2"
SAMPLES = 1 << 17


@dataclass(frozen=True)
class Machine:
    """What to build for and to run on.

    Attributes:
        name: of the architecture.
        cc: Debian's cross compiler.
        emulator: of QEMU's user mode.
        flags: of the processor.
        thumb: the lowest bit of a function's address says Thumb.
    """

    name: str
    cc: str
    emulator: str
    flags: tuple[str, ...]
    thumb: bool = False


MACHINES = (
    Machine("aarch64", "aarch64-linux-gnu-gcc", "qemu-aarch64", ("-mcpu=cortex-a53",)),
    Machine(
        "armv7", "arm-linux-gnueabihf-gcc", "qemu-arm", ("-mcpu=cortex-a9", "-mfpu=neon"), True
    ),
)
FORMS = {"NEON": (), "scalar": ("-DJC_SCALAR", "-fno-tree-vectorize")}


def main() -> None:
    """A table for each machine whose tools are here."""
    samples = vgg16_tensors(1, (CUT,))[CUT].reshape(-1)[:SAMPLES]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        samples.tofile(folder / "samples")
        for machine in MACHINES:
            missing = [
                tool for tool in (machine.cc, machine.emulator) if not shutil.which(tool)
            ]
            if missing:
                CONSOLE.print(f"skipped {machine.name}: {', '.join(missing)} is absent")
                continue
            counted = {form: counts(machine, flags, folder) for form, flags in FORMS.items()}
            if len({made for made, _ in counted.values()}) != 1:
                raise AssertionError(f"{machine.name}: NEON and scalar make different bytes")
            report(machine.name, {form: steps for form, (_, steps) in counted.items()})


def report(machine: str, counted: dict[str, dict[str, int]]) -> None:
    """Instructions for each sample, and how many times fewer NEON takes."""
    show(
        f"instructions a sample on {machine}, simulated by QEMU; {CUT} of photo 1, {SAMPLES} samples",
        ["step", *counted, "scalar / NEON"],
        (
            [step]
            + [f"{steps[step] / SAMPLES:.2f}" for steps in counted.values()]
            + [f"{counted['scalar'][step] / counted['NEON'][step]:.1f}"]
            for step in counted["NEON"]
        ),
    )


def counts(
    machine: Machine, flags: tuple[str, ...], folder: Path
) -> tuple[str, dict[str, int]]:
    """What the steps made, and the instructions of each."""
    program = folder / "steps"
    sources = [PROGRAM, *sorted(KERNELS.glob("*.c"))]
    command = [machine.cc, *FLAGS, *machine.flags, *flags, *map(str, sources), "-lm"]
    subprocess.run([*command, "-o", str(program)], check=True)
    hook = symbol_address(program, "model_hook") & (~1 if machine.thumb else ~0)
    out = folder / "counts"
    options = {"hook": hook, "out": out, **CacheModel().arguments()}
    plugin = ",".join(
        [str(build_plugin(machine.emulator)), *(f"{k}={v}" for k, v in options.items())]
    )
    run = [
        machine.emulator,
        "-plugin",
        plugin,
        str(program),
        str(folder / "samples"),
        str(SAMPLES),
    ]
    made = subprocess.run(run, check=True, capture_output=True, text=True).stdout
    names = [line.split()[0] for line in made.splitlines()]
    instructions = [int(line.split()[0]) for line in out.read_text().splitlines()]
    spans = [
        after - before
        for before, after in zip(instructions[::2], instructions[1::2], strict=False)
    ]
    return made, dict(zip(names, spans, strict=True))


if __name__ == "__main__":
    main()
