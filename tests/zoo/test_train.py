"""Training is repeatable, resumable to the last bit, and good enough."""

# torch annotates only in part.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("brevitas")
pytest.importorskip("mlxtend")
pytestmark = pytest.mark.train

from joulecut.compiler.errors import ConfigError, UntrustedInputError  # noqa: E402
from joulecut.zoo.checkpoint import read_checkpoint  # noqa: E402
from joulecut.zoo.data import fashion_mnist, mnist  # noqa: E402
from joulecut.zoo.epochs import Epoch, shifted  # noqa: E402
from joulecut.zoo.export import brevitas_logits  # noqa: E402
from joulecut.zoo.train import (  # noqa: E402
    TrainConfig,
    load_trained,
    train,
)

QUICK = TrainConfig(
    Path("unused"),
    float_epochs=2,
    quantized_epochs=2,
    train_count=192,
    held_out_count=100,
    threads=1,
)


class StoppedError(Exception):
    """Stands for an interruption."""


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train(replace(QUICK, directory=tmp_path_factory.mktemp("whole"))).path


def weights_of(path: Path) -> dict[str, np.ndarray]:
    checkpoint = read_checkpoint(path)
    assert checkpoint is not None
    return {name: value.numpy() for name, value in checkpoint.weights.items()}


@pytest.mark.parametrize("stop_after", [1, 2, 3])
def test_a_stopped_training_ends_at_the_same_weights(
    tmp_path: Path, uninterrupted: Path, stop_after: int
):
    config = replace(QUICK, directory=tmp_path)
    seen: list[Epoch] = []

    def stop(epoch: Epoch) -> None:
        seen.append(epoch)
        if epoch.index == stop_after:
            raise StoppedError

    with pytest.raises(StoppedError):
        train(config, stop)
    result = train(config, seen.append)
    assert [epoch.index for epoch in seen] == [1, 2, 3, 4]
    assert list(result.epochs) == seen
    ours, whole = weights_of(result.path), weights_of(uninterrupted)
    assert ours.keys() == whole.keys()
    for name, value in ours.items():
        np.testing.assert_array_equal(value, whole[name], err_msg=name)


def test_a_finished_training_only_reports(uninterrupted: Path):
    before = uninterrupted.read_bytes()
    seen: list[Epoch] = []
    result = train(replace(QUICK, directory=uninterrupted.parent), seen.append)
    assert seen == []
    assert len(result.epochs) == 4
    assert result.seconds == sum(epoch.seconds for epoch in result.epochs)
    assert uninterrupted.read_bytes() == before


def test_the_loaded_network_has_the_reported_accuracy(uninterrupted: Path):
    result = train(replace(QUICK, directory=uninterrupted.parent))
    held_out = mnist.load().held_out.take(100)
    logits = brevitas_logits(load_trained(result.path), held_out.images)
    assert (logits.argmax(1) == held_out.labels).mean() == result.accuracy


def test_seeds_differ(tmp_path: Path):
    short = replace(QUICK, float_epochs=0, quantized_epochs=1, train_count=64)
    one = train(replace(short, directory=tmp_path / "1", seed=1)).path
    two = train(replace(short, directory=tmp_path / "2", seed=2)).path
    assert not np.array_equal(weights_of(one)["fc1.weight"], weights_of(two)["fc1.weight"])


def test_another_recipe_is_refused(uninterrupted: Path):
    other = replace(QUICK, directory=uninterrupted.parent, seed=5)
    with pytest.raises(ConfigError, match=r'recipe .*"seed": 5.*"seed": 0.*another directory'):
        train(other)


def test_damaged_checkpoint_is_refused(tmp_path: Path, uninterrupted: Path):
    path = tmp_path / "digits.safetensors"
    whole = uninterrupted.read_bytes()
    for content in (b"", whole[:7], whole[:-1], b"\xff" * 64):
        path.write_bytes(content)
        with pytest.raises(UntrustedInputError, match=r"must be a checkpoint of joulecut"):
            load_trained(path)


def test_unfinished_and_missing_networks_are_named(tmp_path: Path):
    def stop(_epoch: Epoch) -> None:
        raise StoppedError

    with pytest.raises(StoppedError):
        train(replace(QUICK, directory=tmp_path, train_count=32), stop)
    with pytest.raises(ConfigError, match="quantized network, not one in its float phase"):
        load_trained(tmp_path / "digits.safetensors")
    with pytest.raises(ConfigError, match=r"none\.safetensors, which is not a file"):
        load_trained(tmp_path / "none.safetensors")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"dataset": "cifar"},
            r"dataset must be one of \['mnist', 'fashion-mnist'\], not 'cifar'",
        ),
        ({"weight_bits": 1}, "weight_bits must be 2 to 8, not 1"),
        ({"activation_bits": 9}, "activation_bits must be 2 to 8, not 9"),
        ({"quantized_epochs": 0}, "quantized_epochs must be at least 1, not 0"),
        ({"batch_size": 0}, "batch_size must be at least 1, not 0"),
        ({"threads": 0}, "threads must be at least 1, not 0"),
        ({"seed": -1}, "seed must be at least 0, not -1"),
        ({"shift_pixels": -1}, "shift_pixels must be at least 0, not -1"),
    ],
)
def test_recipes_are_checked(change: dict[str, int], message: str):
    with pytest.raises(ConfigError, match=message):
        replace(QUICK, **change)


def test_training_leaves_torch_as_it_was(tmp_path: Path):
    torch.manual_seed(11)
    expected = torch.rand(3)
    torch.manual_seed(11)
    before = torch.get_num_threads()
    train(replace(QUICK, directory=tmp_path, train_count=32, float_epochs=1, threads=2))
    load_trained(tmp_path / "digits.safetensors")
    assert torch.equal(torch.rand(3), expected)
    assert torch.get_num_threads() == before
    assert not torch.are_deterministic_algorithms_enabled()


def test_shifts_move_whole_images():
    images = torch.zeros(200, 1, 5, 6)
    images[:, 0, 2, 3] = 1
    moved = shifted(images, 2, torch.Generator().manual_seed(0))
    assert moved.shape == images.shape
    assert torch.equal(moved.sum((1, 2, 3)), torch.ones(200))
    where = {(int(row), int(column)) for _, _, row, column in moved.nonzero()}
    assert where == {(row, column) for row in range(5) for column in range(1, 6)}
    assert torch.equal(shifted(images, 0, torch.Generator()), images)


def test_what_leaves_the_frame_is_lost():
    images = torch.ones(300, 1, 4, 4)
    kept = shifted(images, 1, torch.Generator().manual_seed(0)).sum((1, 2, 3))
    assert {int(value) for value in kept} == {9, 12, 16}


def test_a_short_training_learns(tmp_path: Path):
    config = replace(
        QUICK, directory=tmp_path, train_count=1500, float_epochs=3, quantized_epochs=1
    )
    assert train(config).accuracy >= 0.85


@pytest.mark.slow
@pytest.mark.parametrize(("bits", "floor"), [(8, 0.96), (4, 0.95)])
def test_the_default_recipe_reaches_its_accuracy(tmp_path: Path, bits: int, floor: float):
    result = train(TrainConfig(tmp_path, weight_bits=bits, activation_bits=bits))
    assert result.accuracy >= floor


@pytest.mark.slow
@pytest.mark.tool
@pytest.mark.skipif(
    not fashion_mnist.DEBIAN_FOLDER.is_dir(),
    reason="needs Fashion-MNIST: apt-get install dataset-fashion-mnist",
)
def test_fashion_mnist_trains(tmp_path: Path):
    config = TrainConfig(
        tmp_path, "fashion-mnist", train_count=6000, held_out_count=1000, shift_pixels=0
    )
    assert train(config).accuracy >= 0.82
