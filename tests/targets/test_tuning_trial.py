"""Trials of kernels: what they compare, what they refuse; and builds that take what was found."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from cpu_parts import assert_equal, require_tools, run_here
from integer_graphs import NETWORKS, feeds
from nhwc_cases import ConvCase, conv_of

from joulecut.compiler.errors import ConfigError, DeviceError, VerificationError
from joulecut.targets.base import Target, target
from joulecut.targets.cpu.build import build_part, kernels_of
from joulecut.targets.cpu.nhwc.conv import Conv
from joulecut.targets.cpu.nhwc.family import Family, packed
from joulecut.targets.cpu.nhwc.kernels import Choice, Kernels
from joulecut.targets.cpu.nhwc.plane import Border
from joulecut.targets.cpu.nhwc.sdot import SDOT
from joulecut.targets.cpu.nhwc.signature import signature
from joulecut.targets.cpu.nhwc.tile import Tile
from joulecut.targets.cpu.nhwc.vnni import VNNI512
from joulecut.targets.cpu.tuning.costs import Clock, scale_of
from joulecut.targets.cpu.tuning.database import read
from joulecut.targets.cpu.tuning.trial import Trial, trial
from joulecut.targets.cpu.tuning.tune import convolutions, tune
from joulecut.targets.devices.native import runs_here

X86, ARM = target("x86_64_vnni"), target("raspberry_pi_5")
CASE = ConvCase(channels=8, outputs=24, residual=True, border=Border(1, 2, 0, 1), others=3)


def wrong(family: Family) -> Family:
    """The family, but the last weight of each stretch is forgotten."""

    def pack(weights: np.ndarray, starts: list[int]) -> np.ndarray:
        weights = weights.copy()
        weights[..., -1] = 0
        return packed(weights, starts, lanes=family.lanes, granule=family.granule)

    return replace(family, name="wrong", pack=pack)


def trial_of(
    family: Family, place: Target, folder: Path, *choices: Choice, case: ConvCase = CASE
) -> Trial:
    kernels = Kernels((family, wrong(family)), lambda _: Tile(1, 4, 1))
    work = conv_of(case, family, np.random.default_rng(0))
    default = kernels.default_of(work)
    return trial(work, [default, *choices], kernels, place, folder / "trial", 5000)


def require_vnni() -> None:
    require_tools(X86)
    if not runs_here(X86):
        pytest.skip("the processor has no AVX-512 VNNI")


def test_a_clock_compares_kernels_that_are_equal(tmp_path: Path) -> None:
    require_vnni()
    choices = [Choice("vnni512", Tile(2, 3, 2, order)) for order in ("rows", "channels")]
    costs = Clock().costs(trial_of(VNNI512, X86, tmp_path, *choices))
    assert len(costs) == 3
    assert all(cost >= 1 for cost in costs)


def test_a_kernel_that_differs_is_named(tmp_path: Path) -> None:
    require_vnni()
    with pytest.raises(VerificationError) as caught:
        Clock().costs(trial_of(VNNI512, X86, tmp_path, Choice("wrong", Tile(1, 5, 1))))
    assert re.match(
        r"kernel wrong 1x5x1 rows of '3x3 8>24 to 6x9 x-part y-part ends 1\+2 of 1 -128' must "
        r"compute what vnni512 1x4x1 rows does, and differs in \d+ of \d+ bytes; report it",
        str(caught.value),
    )


@pytest.mark.tool
def test_counts_repeat_and_check(tmp_path: Path) -> None:
    require_tools(ARM)
    scale, choice = scale_of(ARM), Choice("sdot", Tile(1, 8, 1))
    assert scale.how.startswith("modelled: cortex_a76 at 1200 MHz")
    one, two = (
        scale.costs(trial_of(SDOT, ARM, tmp_path / name, choice)) for name in ("one", "two")
    )
    assert one == two
    assert all(cost > 0 for cost in one)
    # Costs are those of the kernel alone, whatever runs beside it.
    assert (
        scale.costs(trial_of(SDOT, ARM, tmp_path / "one", choice, choice))[1:]
        == (pytest.approx(one[1], rel=0.01),) * 2
    )
    with pytest.raises(VerificationError, match=r"kernel wrong 1x8x1 rows of .* must compute"):
        scale.costs(trial_of(SDOT, ARM, tmp_path / "three", Choice("wrong", Tile(1, 8, 1))))


def test_a_program_that_stops_names_its_kernels(tmp_path: Path) -> None:
    require_vnni()
    made = trial_of(VNNI512, X86, tmp_path)
    with pytest.raises(
        DeviceError,
        match=r"kernels of vnni512 1x4x1 rows of '3x3 8>24 .*': .* exit with 0, not 3",
    ):
        made.run((), "one argument too many")


@pytest.mark.parametrize(
    ("name", "by", "error", "message"),
    [
        ("x86_64_vnni", "moon", ConfigError, "--by must be time or counts, not 'moon'"),
        ("x86_64_vnni", "counts", ConfigError, "must be tuned by time: qemu has no AVX-512"),
        (
            "raspberry_pi_5",
            "time",
            DeviceError,
            "must be timed on a processor that runs its code",
        ),
        ("riscv64", None, ConfigError, "for a known core, and 'generic-rv64' is none"),
    ],
)
def test_scales_that_do_not_fit(
    name: str, by: str, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        scale_of(target(name), by)


@pytest.mark.parametrize("minutes", [-1.0, float("nan"), float("inf")])
def test_minutes_are_a_length_of_time(minutes: float) -> None:
    with pytest.raises(ConfigError, match="minutes of tuning must be 0 or more, not"):
        tune(NETWORKS["digits"](), X86, minutes)


def test_a_portable_target_has_nothing_to_tune() -> None:
    with pytest.raises(ConfigError, match="'riscv64' has portable kernels only"):
        tune(NETWORKS["digits"](), target("riscv64"), 1)


def test_a_search_stores_what_a_build_takes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    require_vnni()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home"))
    graph, kernels, db = (
        NETWORKS["digits"](),
        kernels_of(X86),
        tmp_path / "x86-64-v4.vnni512.json",
    )
    assert kernels is not None
    assert tune(graph, X86, 0, db=db) == {}
    assert not db.exists()
    found = tune(graph, X86, 0.02, db=db)
    assert read(db) == found
    assert 1 <= len(found) <= len(works := convolutions(graph, X86, kernels))
    assert set(found) <= set(map(signature, works))


def test_a_build_takes_tuned_tiles_and_says_so(tmp_path: Path) -> None:
    require_vnni()
    graph, kernels = NETWORKS["conv1d"](), kernels_of(X86)
    assert kernels is not None
    tiles = {signature(work): other_tile(work) for work in convolutions(graph, X86, kernels)}
    cached = partial(build_part, graph, X86, cache_dir=tmp_path / "cache")
    tuned, plain = cached(tmp_path / "a", tuning=tiles), cached(tmp_path / "b", tuning={})
    sample = feeds(graph, 1)
    assert_equal(graph, sample, run_here(tuned, sample))
    assert_equal(graph, sample, run_here(plain, sample))
    one, two = (
        json.loads((part.directory / "layers.json").read_text()) for part in (tuned, plain)
    )
    said = [row["kernel"] for row in one["layers"] if row["kernel"].endswith(", tuned")]
    assert len(said) == len(convolutions(graph, X86, kernels))
    assert all(
        re.fullmatch(r"vnni512 \dx\d pixels x 16 channels, tuned", each) for each in said
    )
    assert not any("tuned" in row["kernel"] for row in two["layers"])
    assert re.fullmatch("[0-9a-f]{64}", one["tuning"])
    assert two["tuning"] is None
    again = cached(tmp_path / "c", tuning=tiles | {"of another network": other_tile()})
    for file in again.files:
        assert (again.directory / file).read_bytes() == (tuned.directory / file).read_bytes()


def other_tile(work: Conv | None = None) -> Choice:
    rows, columns = (1, 1) if work is None else work.pool
    return Choice("vnni512", Tile(rows, columns, 1, "channels"))
