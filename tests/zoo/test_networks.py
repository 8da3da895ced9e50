"""The networks have the sizes that their papers state, and quantizers where they must be."""

# torch annotates only in part.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
from __future__ import annotations

from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("brevitas")
pytestmark = pytest.mark.train

from torch import nn  # noqa: E402
from zoo_networks import NETWORKS, calibrated, inputs  # noqa: E402

from joulecut.zoo import digits, resnet8  # noqa: E402
from joulecut.zoo.export import brevitas_logits  # noqa: E402
from joulecut.zoo.quantizers import pixels  # noqa: E402


def parameters(module: nn.Module) -> int:
    """Weights and biases; scales are none."""
    return sum(
        value.numel()
        for name, value in module.named_parameters()
        if name.endswith((".weight", ".bias"))
    )


def macs(module: nn.Module, shape: tuple[int, ...]) -> int:
    """Multiplications of one input, counted where they happen."""
    counts: list[int] = []

    def count(layer: nn.Module, _inputs: Any, output: Any) -> None:
        out = output if isinstance(output, torch.Tensor) else output.value
        weight: Any = layer.weight
        counts.append(out.numel() * weight[0].numel())

    hooks = [
        layer.register_forward_hook(count)
        for layer in module.modules()
        if isinstance(layer, nn.Conv2d | nn.Linear)
    ]
    with torch.no_grad():
        module(torch.zeros(shape))
    for hook in hooks:
        hook.remove()
    return sum(counts)


def test_digits_have_the_papers_size():
    for module in (digits.float_digits(), calibrated("digits-8"), calibrated("digits-4")):
        assert parameters(module) == digits.PARAMETERS == 433_274
        assert macs(module.eval(), digits.INPUT_SHAPE) == digits.MACS == 6_236_544


def test_float_and_quantized_digits_share_their_names():
    quantized = {name for name in digits.digits().state_dict() if "scaling_impl" not in name}
    assert quantized == set(digits.float_digits().state_dict())


def test_resnet8_has_mlperf_tinys_size():
    """MLPerf Tiny counts 78,666: with four numbers for each of 240 normalized channels."""
    normalized = 3 * 16 + 2 * 32 + 2 * 64
    assert parameters(calibrated("resnet8-8")) + 4 * normalized == 78_666
    assert macs(calibrated("resnet8-8"), resnet8.INPUT_SHAPE) == 12_501_632


@pytest.mark.parametrize("name", NETWORKS)
def test_outputs_depend_on_the_input(name: str):
    x = inputs(name, 8)
    y = brevitas_logits(calibrated(name), x, batch_size=3)
    assert y.shape == (8, 10)
    assert np.isfinite(y).all()
    assert (y.std(axis=0) > 1e-3).all()
    # One input at a time gives the same numbers, but for the order of float sums.
    np.testing.assert_allclose(brevitas_logits(calibrated(name), x, 1), y, atol=0.05 * y.std())


def test_pixels_are_kept_exactly():
    levels = torch.arange(256, dtype=torch.float32)
    quantized: Any = pixels().eval()(levels / 255)
    assert torch.equal(torch.round(quantized.value * 255), levels)
    assert not list(pixels().parameters())


@pytest.mark.parametrize("bits", [2, 4, 8])
def test_weights_and_activations_keep_to_their_bits(bits: int):
    module: Any = digits.digits(bits, bits).eval()
    weight = module.conv1.quant_weight().int()
    highest = 2 ** (bits - 1) - 1
    assert weight.min() >= -highest
    assert weight.abs().max() == highest
    out = module.relu1(module.conv1(module.input(torch.rand(1, 1, 28, 28)))).int()
    assert out.min() >= 0
    assert out.max() <= 2**bits - 1
