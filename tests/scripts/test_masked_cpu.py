"""What is behind AVX2 can be hidden from a program that asks the processor."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from joulecut.compiler.errors import DeviceError

SCRIPTS = Path(__file__).resolve().parents[2] / "scripts"
CPUINFO = Path("/proc/cpuinfo")
CAN_MASK = CPUINFO.is_file() and "cpuid_fault" in CPUINFO.read_text(encoding="utf-8")
masks = pytest.mark.skipif(not CAN_MASK, reason="needs a processor with the flag cpuid_fault")

# Prints, for the first thread and for another one, what CPUID says of AVX2 and of what is hidden.
# With an argument it then reads address 1.
PROGRAM = r"""
#include <cpuid.h>
#include <pthread.h>
#include <stdio.h>
static void *look(void *unused) {
    unsigned a, b, c, d, e, f;
    __cpuid_count(7, 0, a, b, c, d);
    __cpuid_count(7, 1, e, f, f, f);
    printf("%u %u\n", b >> 5 & 1,
           (b >> 16 & 1) | (b >> 30 & 1) | (c >> 11 & 1) | (d >> 24 & 3) | (e >> 4 & 1));
    return unused;
}
int main(int argc, char **argv) {
    pthread_t thread;
    look(NULL);
    pthread_create(&thread, NULL, look, NULL);
    pthread_join(thread, NULL);
    fflush(stdout);
    return argc > 1 ? *(volatile int *)1 : 0;
}
"""

AGAIN = """\
import subprocess, sys
from pathlib import Path
from peers.masked_cpu import is_masked, run_masked
print("masked" if is_masked() else "bare", sys.argv[1:])
if not is_masked():
    run_masked(Path(sys.argv[1]))
"""


@pytest.fixture(scope="module")
def module() -> Any:
    patch = pytest.MonkeyPatch()
    patch.setattr(sys, "path", [str(SCRIPTS), *sys.path])
    yield importlib.import_module("peers.masked_cpu")
    patch.undo()


def see(library: Path, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    (folder / "see.c").write_text(PROGRAM, encoding="utf-8")
    subprocess.run(["gcc", "-pthread", "see.c", "-o", "see"], cwd=folder, check=True)
    environment = {**os.environ, "LD_PRELOAD": str(library)}
    command = [str(folder / "see"), *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


@masks
def test_hides_all_behind_avx2_from_every_thread(module: Any, tmp_path: Path) -> None:
    done = see(module.built(tmp_path), tmp_path)
    assert (done.returncode, done.stdout) == (0, "1 0\n1 0\n")


@masks
def test_other_faults_end_the_program(module: Any, tmp_path: Path) -> None:
    done = see(module.built(tmp_path), tmp_path, "fault")
    assert (done.returncode, done.stdout) == (-11, "1 0\n1 0\n")


@masks
def test_a_program_runs_once_more_with_its_arguments(tmp_path: Path) -> None:
    script = tmp_path / "again.py"
    script.write_text(AGAIN, encoding="utf-8")
    command = [sys.executable, str(script), str(tmp_path)]
    paths = os.pathsep.join([str(SCRIPTS), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, "PYTHONPATH": paths}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.stdout == f"bare ['{tmp_path}']\nmasked ['{tmp_path}']\n", done.stderr


def test_names_what_is_missing(
    module: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refuses = tmp_path / "refuses"  # stands for a python that the preloaded library ends
    refuses.write_text("#!/bin/sh\nexit 86\n", encoding="utf-8")
    refuses.chmod(0o755)
    monkeypatch.setattr(module, "sys", SimpleNamespace(executable=str(refuses)))
    with pytest.raises(DeviceError, match=r"CPUID must fault .* lists cpuid_fault"):
        module.run_masked(tmp_path)
