"""VGG19 grown out of VGG16: three more convolutions that change nothing.

Nobody packages VGG19's weights. A convolution that passes each channel on, followed by a ReLU,
hands on exactly what it gets after a ReLU; so VGG19 with such layers as its fourth ones computes
VGG16 (Chen, Goodfellow, Shlens: "Net2Net", 2016). Its sizes and operations are VGG19's; its
tensors are VGG16's, with three of them twice.
"""

# torch annotates only in part.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
from __future__ import annotations

import torch
from torch import nn

from joulecut.zoo.vgg16 import Blocks, float_vgg16

BLOCKS: Blocks = ((64, 2), (128, 2), (256, 4), (512, 4), (512, 4))
CONVOLUTION_PARAMETERS = 20_024_384


def deepened(trunk: nn.Sequential, blocks: Blocks = BLOCKS) -> nn.Sequential:
    """A deeper trunk that computes the same; in eval mode.

    Args:
        trunk: as `zoo.vgg16.float_vgg16` makes it.
        blocks: channels as in the trunk, at least as many convolutions.
    """
    module = float_vgg16(blocks)
    known = dict(trunk.named_modules())
    with torch.no_grad():
        for name, layer in module.named_modules():
            if not isinstance(layer, nn.Conv2d):
                continue
            given = known.get(name)
            if isinstance(given, nn.Conv2d):
                layer.load_state_dict(given.state_dict())
            else:
                assert layer.bias is not None
                nn.init.dirac_(layer.weight)
                nn.init.zeros_(layer.bias)
    module.eval()
    return module
