"""Runs kernels of a part by themselves, here or under QEMU: buffers in, buffers out."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest

from joulecut.targets.base import Target
from joulecut.targets.cpu.cache import llvm_target
from joulecut.targets.cpu.codegen import compile_object
from joulecut.targets.cpu.script import Step
from joulecut.targets.cpu.toolchains import compiler
from joulecut.targets.devices.native import native_arch, runs_here

Arrays = dict[str, np.ndarray]
SLACK_BYTES = 64  # kernels may read, never write, so far beyond a buffer

_MAIN = """\
#include <stdio.h>
#include <stdlib.h>
#include <stdint.h>
{declarations}
void model_hook(int32_t layer);
__attribute__((noinline, noclone)) void model_hook(int32_t layer) {{
    __asm__ volatile("" : : "r"(layer) : "memory");
}}
static const size_t sizes[] = {{{sizes}}};
int main(int argc, char **argv) {{
    uint8_t *p[{count}];
    FILE *in = fopen(argv[1], "rb");
    for (int i = 0; i < {count}; i++) {{
        if (posix_memalign((void **)&p[i], 64, sizes[i] + {slack})) return 2;
        if (fread(p[i], 1, sizes[i], in) != sizes[i]) return 3;
    }}
    model_hook(0);
    {calls}
    model_hook(1);
    FILE *out = fopen(argv[2], "wb");
    for (int i = 0; i < {count}; i++) fwrite(p[i], 1, sizes[i], out);
    return argc == 3 && !fclose(out) ? 0 : 4;
}}
"""


def build_steps(steps: Sequence[Step], target: Target, folder: Path) -> Path:
    """A static program that runs every kernel once over the buffers in a file."""
    folder.mkdir(parents=True, exist_ok=True)
    declarations: list[str] = []
    calls: list[str] = []
    sizes: list[int] = []
    sources = {step.symbol: step.source for step in steps}
    for symbol, source in sources.items():
        compile_object(source, symbol, llvm_target(target), folder / f"{symbol}.o")
    for step in steps:
        names, first = _buffers(step), len(sizes)
        sizes += [_nbytes(step, name) for name in names]
        words = [
            f"p[{first + names.index(_key(step, i))}] + {arg.offset_bytes}"
            for i, arg in enumerate(step.args)
        ]
        parameters = ["void *"] * len(words) + ["int32_t"] * (2 if step.tasks else 0)
        words += ["0", str(step.tasks)] if step.tasks else []
        declarations.append(f"extern int32_t {step.symbol}({', '.join(parameters)});")
        calls.append(f"{step.symbol}({', '.join(words)});")
    text = _MAIN.format(
        declarations="\n".join(declarations),
        sizes=", ".join(map(str, sizes)),
        count=len(sizes),
        slack=SLACK_BYTES,
        calls="\n    ".join(calls),
    )
    (folder / "main.c").write_text(text)
    command = [compiler(target), *target.toolchain.cflags, "-O1", "-static", "-w"]
    subprocess.run(
        [*command, "-o", "model", "main.c", *(f"{symbol}.o" for symbol in sources)],
        cwd=folder,
        check=True,
        capture_output=True,
    )
    return folder / "model"


def run_steps(
    jobs: Sequence[tuple[Step, Mapping[str, np.ndarray]]], target: Target, folder: Path
) -> list[Arrays]:
    """The named buffers of each kernel after it ran; constants come from the step.

    One program runs them all, because linking one takes as long as compiling a kernel.

    Args:
        jobs: kernels, each with buffers by name, of the type and the size that it sees.
        target: what they are compiled for; other machines are emulated.
        folder: for files.
    """
    if target.arch == native_arch() and not runs_here(target):
        pytest.skip(f"this processor lacks what {target.name} needs, and QEMU does, too")
    program = build_steps([step for step, _ in jobs], target, folder)
    with (folder / "in").open("wb") as file:
        for step, buffers in jobs:
            for name in _buffers(step):
                array = buffers[name] if name in buffers else step.args[int(name)].source
                file.write(np.ascontiguousarray(array).tobytes())
    emulated = target.arch != "x86_64"
    prefix = [target.emulator.program, "-cpu", target.emulator.cpu] if emulated else []
    subprocess.run([*prefix, program, folder / "in", folder / "out"], check=True)
    raw, found = (folder / "out").read_bytes(), list[Arrays]()
    for step, buffers in jobs:
        made = Arrays()
        for name in _buffers(step):
            nbytes = _nbytes(step, name)
            if name in buffers:
                made[name] = np.frombuffer(raw[:nbytes], buffers[name].dtype)
            raw = raw[nbytes:]
        found.append(made)
    return found


def run_step(
    step: Step, buffers: Mapping[str, np.ndarray], target: Target, folder: Path
) -> Arrays:
    """The same for one kernel."""
    (found,) = run_steps([(step, buffers)], target, folder)
    return found


def _key(step: Step, index: int) -> str:
    """The name of a buffer, or the position of a constant."""
    source = step.args[index].source
    return source if isinstance(source, str) else str(index)


def _buffers(step: Step) -> list[str]:
    return list(dict.fromkeys(_key(step, i) for i in range(len(step.args))))


def _nbytes(step: Step, name: str) -> int:
    return next(a.nbytes for i, a in enumerate(step.args) if _key(step, i) == name)
