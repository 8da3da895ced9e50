"""`joulecut tune` and `joulecut build --tune`: output, errors, silence in a pipe."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from cpu_parts import require_tools
from qdq_models import network, write

from joulecut.targets.base import target
from joulecut.targets.devices.native import runs_here

X86 = target("x86_64_vnni")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(network("convnet", dialect="QCDQ"), tmp_path_factory.mktemp("tune"))


def joulecut(
    home: Path, *words: str | Path, expect: int = 0
) -> subprocess.CompletedProcess[str]:
    """Run the command with a cache of its own; its exit code must be as expected."""
    cache = {"XDG_CACHE_HOME": str(home), "COLUMNS": "300", "NO_COLOR": "1"}
    done = subprocess.run(
        [sys.executable, "-P", "-c", "from joulecut.cli import main; main()", *map(str, words)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **cache},
    )
    assert done.returncode == expect, done.stdout + done.stderr
    return done


def require_vnni() -> None:
    require_tools(X86)
    if not runs_here(X86):
        pytest.skip("the processor has no AVX-512 VNNI")


def test_results_are_shown_and_kept(model: Path, tmp_path: Path) -> None:
    require_vnni()
    words = ("tune", model, "--target", "x86_64_vnni", "--minutes", "0.02")
    done = joulecut(tmp_path, *words)
    path = tmp_path / "joulecut/tuning/x86-64-v4.vnni512.json"
    assert "tiles for x86_64_v4_vnni (measured: one thread of " in done.stdout
    assert (
        done.stderr == f"{len(json.loads(path.read_text())['found'])} results are in {path}\n"
    )
    other = tmp_path / "x86-64-v4.vnni512.json"
    said = json.loads(joulecut(tmp_path, *words, "--db", other, "--json").stdout)
    assert said["db"] == str(other)
    assert said["target"] == "x86_64_v4_vnni"
    (first, *_) = said["found"]
    assert set(first) >= {"signature", "tile", "default", "cost", "default_cost", "unit", "how"}
    assert {row["signature"] for row in said["found"]} == set(
        json.loads(other.read_text())["found"]
    )


def test_no_time_tries_nothing(model: Path, tmp_path: Path) -> None:
    require_vnni()
    done = joulecut(tmp_path, "tune", model, "--target", "x86_64_vnni", "--minutes", "0")
    assert (done.stdout, done.stderr) == ("", "nothing was tried\n")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--target", "riscv64", "--minutes", "1"), "'riscv64' has portable kernels only"),
        (("--target", "x86_64_vnni", "--minutes", "-1"), "must be 0 or more, not -1"),
        (
            ("--target", "x86_64_vnni", "--minutes", "1", "--by", "moon"),
            "must be time or counts",
        ),
    ],
)
def test_what_cannot_be_tuned(
    words: tuple[str, ...], message: str, model: Path, tmp_path: Path
) -> None:
    assert message in joulecut(tmp_path, "tune", model, *words, expect=2).stderr


def test_a_build_tunes_both_parts_first(model: Path, tmp_path: Path) -> None:
    require_vnni()
    places = ("--edge", "x86_64_vnni", "--cloud", "x86_64_vnni")
    words = ("build", model, *places, "--out", tmp_path / "b", "--tune", "0.04")
    said = joulecut(tmp_path, *words).stderr
    assert said.index("tune the edge for x86_64_v4_vnni") < said.index("tune the cloud for")
    assert said.index("tune the cloud for") < said.index("compile the edge for")
    path = tmp_path / "joulecut/tuning/x86-64-v4.vnni512.json"
    assert json.loads(path.read_text())["found"]


@pytest.mark.parametrize(
    ("edge", "minutes", "message"),
    [
        ("riscv64", "1", "riscv64 has portable kernels only; build without tuning"),
        ("x86_64_vnni", "-2", "minutes of tuning must be 0 or more, not -2"),
    ],
)
def test_a_build_that_cannot_tune(
    edge: str, minutes: str, message: str, model: Path, tmp_path: Path
) -> None:
    words = ("--edge", edge, "--cloud", edge, "--out", tmp_path / "b", "--tune", minutes)
    assert message in joulecut(tmp_path, "build", model, *words, expect=2).stderr
    assert not (tmp_path / "b").exists()
