"""Training for sparsity is repeatable and resumable, and pruning keeps what it should."""

# torch annotates only in part.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
from __future__ import annotations

import shutil
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("brevitas")
pytest.importorskip("mlxtend")
pytestmark = pytest.mark.train

from joulecut.compiler.errors import ConfigError, UntrustedInputError  # noqa: E402
from joulecut.zoo import sparsify  # noqa: E402
from joulecut.zoo.data import mnist  # noqa: E402
from joulecut.zoo.epochs import Epoch  # noqa: E402
from joulecut.zoo.sparsify import (  # noqa: E402
    SparseConfig,
    kept,
    load_float,
    parameters,
    prune,
    train_sparse,
)

QUICK = SparseConfig(Path("unused"), epochs=2, train_count=128, held_out_count=50)
THRESHOLDS = (0.02, 0.03)


@pytest.fixture(scope="module", autouse=True)
def digits_are_read_once():
    patch = pytest.MonkeyPatch()
    patch.setitem(sparsify.DATASETS, "mnist", cache(mnist.load))
    yield
    patch.undo()


class StoppedError(Exception):
    """Stands for an interruption."""


def stop(epoch: Epoch) -> None:
    if epoch.index == 1:
        raise StoppedError


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> SparseConfig:
    config = replace(QUICK, directory=tmp_path_factory.mktemp("sparse"))
    train_sparse(config)
    prune(config, THRESHOLDS, 2)
    return config


def arrays(config: SparseConfig, name: str) -> dict[str, np.ndarray]:
    return parameters(config.directory / f"{name}.safetensors")


def test_stopped_runs_end_at_the_same_weights(trained: SparseConfig, tmp_path: Path):
    config = replace(QUICK, directory=tmp_path)
    with pytest.raises(StoppedError):
        train_sparse(config, stop)
    assert [epoch.index for epoch in train_sparse(config).epochs] == [1, 2]
    with pytest.raises(StoppedError):
        prune(config, THRESHOLDS, 2, stop)
    prune(config, THRESHOLDS, 2)
    for name in ("sparse", "pruned-1", "pruned-2"):
        ours, whole = arrays(config, name), arrays(trained, name)
        for each in whole:
            np.testing.assert_array_equal(ours[each], whole[each], err_msg=each)


def test_the_norm_shrinks_parameters(trained: SparseConfig, tmp_path: Path):
    without = replace(QUICK, directory=tmp_path, mu=1.0)
    train_sparse(without)
    ours, plain = arrays(trained, "sparse"), arrays(without, "sparse")
    norms = [sum(np.abs(each).sum() for each in found.values()) for found in (ours, plain)]
    assert norms[0] < 0.98 * norms[1]  # Adam moves by 0.001 a step, and there were four


def test_what_is_pruned_stays_zero_and_the_rest_is_trained(trained: SparseConfig):
    stages = [arrays(trained, name) for name in ("sparse", "pruned-1", "pruned-2")]
    for before, after, threshold in zip(stages, stages[1:], THRESHOLDS, strict=False):
        for name, value in before.items():
            small = np.abs(value) < threshold
            assert not after[name][small].any()
            assert not np.array_equal(after[name][~small], value[~small])
    assert kept(stages[0]) == 433_274 > kept(stages[1]) > kept(stages[2])


def test_pruning_without_training_only_makes_zeros(trained: SparseConfig, tmp_path: Path):
    shutil.copy(trained.directory / "sparse.safetensors", tmp_path)
    config = replace(trained, directory=tmp_path)
    whole, less = prune(config, (0.0, 0.02), 0)
    assert whole.epochs == less.epochs == ()
    assert prune(config, (0.0, 0.02), 0) == [whole, less]
    before = arrays(trained, "sparse")
    assert kept(parameters(whole.path)) == kept(before)
    after = parameters(less.path)
    for name, value in before.items():
        np.testing.assert_array_equal(after[name], np.where(np.abs(value) < 0.02, 0, value))


def test_another_recipe_is_refused(trained: SparseConfig):
    with pytest.raises(ConfigError, match=r"must be of the recipe .*choose another directory"):
        train_sparse(replace(trained, seed=1))


def test_refusals(tmp_path: Path):
    config = replace(QUICK, directory=tmp_path)
    with pytest.raises(ConfigError, match=r"which is not a file; train it"):
        prune(config, THRESHOLDS)
    with pytest.raises(ConfigError, match=r"must be 0 or more, not \(0.1, -1.0\), 4"):
        prune(config, (0.1, -1.0))
    for fields, text in (
        ({"mu": 0.0}, "mu must be above 0 and at most 1, not 0"),
        ({"dataset": "cifar"}, "dataset must be one of"),
        ({"epochs": 0}, "epochs must be at least 1, not 0"),
    ):
        with pytest.raises(ConfigError, match=text):
            replace(config, **fields)
    (tmp_path / "sparse.safetensors").write_bytes(b"no checkpoint")
    with pytest.raises(UntrustedInputError, match="must be a checkpoint"):
        load_float(tmp_path / "sparse.safetensors")
