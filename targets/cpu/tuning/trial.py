"""Kernels of one convolution as a program, which checks them against each other (`trial.c`)."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from joulecut.compiler.errors import DeviceError, VerificationError
from joulecut.targets.base import Target
from joulecut.targets.cpu.cache import object_files
from joulecut.targets.cpu.nhwc.conv import Conv
from joulecut.targets.cpu.nhwc.kernels import Choice, Kernels
from joulecut.targets.cpu.nhwc.signature import signature
from joulecut.targets.cpu.script import Arg, Step
from joulecut.targets.cpu.toolchains import compiler, run
from joulecut.targets.devices.program import run_program

TIMEOUT_S = 300.0
_SOURCE = Path(__file__).with_name("trial.c")
_CFLAGS = ("-std=c11", "-O2", "-Wall", "-Wextra", "-Werror", "-static", "-no-pie")


@dataclass(frozen=True)
class Trial:
    """A program of kernels that must compute the same.

    Attributes:
        work: what they compute.
        choices: how; the first is what the others must be equal to.
        program: its file; beside it lies what it reads.
        symbols: of the kernels.
    """

    work: Conv
    choices: tuple[Choice, ...]
    program: Path
    symbols: tuple[str, ...]

    def run(self, prefix: Sequence[str], *words: str | Path) -> None:
        """Run it, and compare what the kernels made.

        Args:
            prefix: an emulator and its options, or nothing.
            words: arguments after those for input and output.

        Raises:
            VerificationError: a kernel makes something else than the first.
            DeviceError: the program does not end well.
        """
        folder = self.program.parent
        files = (self.program, folder / "in", folder / "out")
        try:
            run_program([*prefix, *map(str, (*files, *words))], TIMEOUT_S)
        except DeviceError as error:
            raise DeviceError(f"kernels of {self._named(self.choices)}: {error}") from error
        made = np.fromfile(folder / "out", np.uint8).reshape(len(self.choices), -1)
        for choice, bytes_ in zip(self.choices[1:], made[1:], strict=True):
            wrong = np.count_nonzero(bytes_ != made[0])
            if wrong:
                raise VerificationError(
                    f"kernel {self._named([choice])} must compute what {self.choices[0]} does, "
                    f"and differs in {wrong} of {made[0].size} bytes; report it, and build "
                    "without tuning"
                )

    def _named(self, choices: Sequence[Choice]) -> str:
        return f"{' and '.join(map(str, choices))} of '{signature(self.work)}'"


def trial(
    work: Conv,
    choices: Sequence[Choice],
    kernels: Kernels,
    place: Target,
    folder: Path,
    other_bytes: int,
) -> Trial:
    """Compile kernels and link them into a program.

    Args:
        work: what they compute; buffers are filled at random, weights are its own.
        choices: the default first.
        kernels: that the choices are of.
        place: where the program runs.
        folder: of the program; compiled kernels are kept beside it.
        other_bytes: what else a network reads between two runs of the kernel.

    Raises:
        ConfigError: a choice cannot compute the convolution.
        DeviceError: the tool chain is missing or refuses.
    """
    folder.mkdir(parents=True, exist_ok=True)
    steps = [kernels.chosen(work, choice)[0] for choice in choices]
    objects = object_files(steps, place, folder.parent / "kernels")
    buffers = _buffers(steps)
    with (folder / "in").open("wb") as file:
        for array in buffers.values():
            array.tofile(file)
    (folder / "kernels.h").write_text(_header(work, steps, buffers, other_bytes))
    shutil.copy(_SOURCE, folder)
    parts = [str(path) for path in objects.values()]
    flags = [*place.toolchain.cflags, *_CFLAGS]
    run([compiler(place), *flags, "-o", "trial", _SOURCE.name, *parts], folder)
    return Trial(work, tuple(choices), folder / "trial", tuple(step.symbol for step in steps))


def _buffers(steps: Sequence[Step]) -> dict[str, np.ndarray]:
    """The bytes of all buffers: those with names are shared, constants are of one kernel."""
    rng = np.random.default_rng(0)
    found: dict[str, np.ndarray] = {}
    for number, step in enumerate(steps):
        for arg in step.args:
            if not isinstance(arg.source, str):
                found[_key(number, arg)] = np.ascontiguousarray(arg.source).reshape(-1)
            elif arg.source not in found:
                found[arg.source] = rng.integers(0, 256, arg.nbytes, np.uint8)
    return found


def _key(number: int, arg: Arg) -> str:
    """The name of the buffer of an argument of kernel `number`."""
    return arg.source if isinstance(arg.source, str) else f"{arg.name} of {number}"


def _header(
    work: Conv, steps: Sequence[Step], buffers: dict[str, np.ndarray], other_bytes: int
) -> str:
    """`kernels.h`: tables of buffers and kernels."""
    names = list(buffers)
    sizes = ", ".join(str(array.nbytes) for array in buffers.values())
    declared = {
        f"int32_t {step.symbol}({', '.join(['void *'] * len(step.args))}, int32_t, int32_t);"
        for step in steps
    }
    calls: list[str] = []
    for number, step in enumerate(steps):
        words = [f"p[{names.index(_key(number, a))}] + {a.offset_bytes}" for a in step.args]
        call = f"{step.symbol}({', '.join(words)}, 0, {step.tasks});"
        calls.append(f"static void kernel_{number}(uint8_t *const *p)\n{{\n    {call}\n}}")
    table = ", ".join(f"kernel_{number}" for number in range(len(steps)))
    return f"""\
/* Kernels to be compared; generated by joulecut. */
#include <stddef.h>
#include <stdint.h>

enum {{ N_BUFFERS = {len(names)}, N_KERNELS = {len(steps)} }};
enum {{ X = {names.index(work.x.name)}, Y = {names.index(work.y.name)} }};

static const size_t buffer_bytes[] = {{{sizes}}};
static const size_t other_bytes = {other_bytes};

{chr(10).join(sorted(declared))}
{chr(10).join(calls)}
static void (*const kernels[])(uint8_t *const *) = {{{table}}};
"""
