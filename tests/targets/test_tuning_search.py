"""The search: what it tries first, what it keeps, where it goes on; and the tiles it knows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import pytest
from nhwc_cases import CASES, ConvCase, conv_of

from joulecut.targets.cpu.nhwc.conv import Conv
from joulecut.targets.cpu.nhwc.kernels import Choice, Kernels
from joulecut.targets.cpu.nhwc.tile import Tile
from joulecut.targets.cpu.nhwc.vnni import VNNI512
from joulecut.targets.cpu.tuning.candidates import TASKS, candidates, tasks
from joulecut.targets.cpu.tuning.database import Database
from joulecut.targets.cpu.tuning.search import LEAST, MOST, Subject, Trials, search
from joulecut.targets.cpu.tuning.tune import subjects

KERNELS = Kernels((VNNI512,), lambda work: Tile(work.pool[0], work.pool[1], 1))
WIDE, SMALL = ConvCase(channels=64, outputs=64, size=(16, 16)), ConvCase(size=(4, 4))


def work_of(case: ConvCase) -> Conv:
    return conv_of(case, VNNI512, np.random.default_rng(0))


def cost_of(choice: Choice) -> float:
    """Least for 2 x 6 pixels and 1 block, more the further away."""
    tile = choice.tile
    return 100 + 10 * (abs(tile.rows - 2) + abs(tile.columns - 6) + abs(tile.blocks - 1))


class Machine:
    """Counts seconds and trials; `cost_of` says what a kernel costs."""

    def __init__(self) -> None:
        self.now = 0.0
        self.asked: list[tuple[Conv, Choice]] = []
        self.stored: Database = {}

    def costs(self, work: Conv, choices: Sequence[Choice]) -> tuple[float, ...]:
        self.now += 1.0
        self.asked.append((work, choices[1]))
        return tuple(work.macs / 1000 * cost_of(choice) for choice in choices)

    def search(
        self,
        some: Sequence[Subject],
        seconds: float,
        known: Database | None = None,
        progress: Callable[[Trials], None] = lambda _: None,
    ) -> Database:
        return search(
            some,
            self.costs,
            known or {},
            self.stored.__setitem__,
            seconds,
            unit="ns",
            how="measured: not at all",
            progress=progress,
            clock=lambda: self.now,
        )


def some_subjects(*cases: ConvCase) -> list[Subject]:
    return subjects([work_of(case) for case in cases], KERNELS, {})


def test_the_best_tile_is_found_without_trying_all() -> None:
    machine, (subject,) = Machine(), some_subjects(WIDE)
    (found,) = machine.search([subject], 1000).values()
    assert len(subject.candidates) > 2 * MOST
    assert LEAST <= len(found.tried) == len(machine.asked) <= MOST
    assert found.best.tile == Tile(2, 6, 1, found.best.tile.order)
    assert found.cost == pytest.approx(subject.work.macs / 1000 * cost_of(found.best), abs=0.1)
    assert found.default == subject.default
    assert found.ratio == pytest.approx(
        cost_of(found.best) / cost_of(subject.default), rel=1e-3
    )
    assert found.tried[found.best] == pytest.approx(found.ratio, abs=1e-3)
    assert machine.stored == {subject.signature: found}


def test_a_budget_of_zero_tries_nothing() -> None:
    machine = Machine()
    assert machine.search(some_subjects(WIDE), 0) == {}
    assert not machine.asked


def test_time_is_shared_by_cost() -> None:
    machine, some = Machine(), some_subjects(WIDE, SMALL, SMALL, WIDE, WIDE)
    assert [subject.count for subject in some] == [3, 2]
    machine.search(some, 8)
    assert [work.y.rows for work, _ in machine.asked] == [16] * 8  # the other is a percent
    machine.search(some, 1000, machine.stored)
    assert {work.y.rows for work, _ in machine.asked} == {16, 4}


def test_a_gain_below_the_noise_is_not_taken() -> None:
    (subject,) = some_subjects(SMALL)

    def costs(work: Conv, choices: Sequence[Choice]) -> tuple[float, ...]:
        del work
        return tuple(100.0 if choice == subject.default else 98.0 for choice in choices)

    stored = Database()
    search(
        [subject],
        costs,
        {},
        stored.__setitem__,
        1.0,
        unit="ns",
        how="measured: not at all",
        clock=lambda: 0.0,
    )
    (found,) = stored.values()
    assert found.best == found.default
    assert not found.is_better
    assert set(found.tried.values()) == {0.98}


def test_a_search_goes_on_where_another_was_stopped() -> None:
    whole, some = Machine(), some_subjects(WIDE)
    expected = whole.search(some, 1000)
    machine, shown = Machine(), list[Trials]()

    def stop(trials: Trials) -> None:
        shown.append(trials)
        if len(machine.asked) == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        machine.search(some, 1000, progress=stop)
    assert [len(each.found.tried) for each in shown] == [1, 2, 3, 4, 5]
    assert [each.left_s for each in shown] == [999, 998, 997, 996, 995]
    assert len(machine.stored[some[0].signature].tried) == 5  # nothing was lost
    assert machine.search(some, 1000, machine.stored) == expected
    assert [choice for _, choice in machine.asked] == [choice for _, choice in whole.asked]
    again = Machine()
    assert again.search(some, 1000, machine.stored) == expected
    assert not again.asked


def test_what_another_search_found_is_tried_first() -> None:
    machine, some = Machine(), some_subjects(WIDE)
    before = machine.search(some, 1000)
    best = before[some[0].signature].best
    fresh = Machine()
    fresh.search(subjects([work_of(WIDE)], KERNELS, before), 1)
    assert [choice for _, choice in fresh.asked] == [best]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_every_candidate_has_a_kernel_and_enough_tasks(case: ConvCase) -> None:
    work = work_of(case)
    default = KERNELS.default_of(work)
    least = min(TASKS, tasks(work, VNNI512, default.tile))
    found = candidates(work, KERNELS)
    assert default not in found
    assert all(modelled > 0 for modelled in found.values())
    for choice in list(found)[:: max(1, len(found) // 6)]:
        step, _ = KERNELS.chosen(work, choice)
        assert step.tasks == tasks(work, VNNI512, choice.tile) >= least
        tile = choice.tile
        assert tile.rows % work.pool[0] == tile.columns % work.pool[1] == 0
        assert tile.rows * tile.columns * tile.blocks <= max(
            work.pool[0] * work.pool[1], VNNI512.registers * 5 // 4
        )


def test_only_families_that_may_multiply_the_weights_are_tried() -> None:
    strict = replace(VNNI512, name="strict", lowest_weight=-127)
    wide = replace(strict, name="wide")
    kernels = Kernels((strict, wide, VNNI512), KERNELS.tile_of)
    work = work_of(ConvCase())
    assert int(work.weights.min()) == -128
    assert {choice.family for choice in candidates(work, kernels)} == {"vnni512"}
    work.weights[work.weights == -128] = -127
    assert {choice.family for choice in candidates(work, kernels)} == {"wide", "strict"}
