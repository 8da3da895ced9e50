"""The quantizers by their short names, as options and configurations give them."""

from __future__ import annotations

from typing import Literal

from joulecut.compiler.errors import ConfigError
from joulecut.compiler.quantizers.dead_zone import DeadZoneQuantizer
from joulecut.compiler.quantizers.fixed_trellis import FixedTrellisQuantizer
from joulecut.compiler.quantizers.lloyd_max import LloydMaxQuantizer
from joulecut.compiler.quantizers.quantizer import Quantizer
from joulecut.compiler.quantizers.rate import Candidate, RateQuantizer
from joulecut.compiler.quantizers.trellis import TrellisQuantizer
from joulecut.compiler.quantizers.uniform import UniformQuantizer

Name = Literal["sq", "sq-clip", "lloyd", "rdo", "tcq", "tcq-fixed", "auto"]
NAMES: tuple[Name, ...] = ("sq", "sq-clip", "lloyd", "rdo", "tcq", "tcq-fixed", "auto")

NEAREST = DeadZoneQuantizer(step=1.0, weight=0, centroids=0)
RDO = DeadZoneQuantizer(step=1.0)
TCQ = TrellisQuantizer(step=1.0)
AT_A_RATE: dict[str, tuple[Candidate, ...]] = {
    "sq": (NEAREST,),
    "rdo": (RDO,),
    "tcq": (TCQ,),
    "auto": (RDO, TCQ),
}


def named(
    name: Name,
    bits: int | None = None,
    rate: float | None = None,
    entropy: Literal["best", "fast"] = "best",
    block_log2: int | None = None,
) -> Quantizer:
    """A quantizer.

    Args:
        name: one of NAMES.
        bits: of an index; or
        rate: bits a sample, of the whole coded tensor.
        entropy: the coder by which a rate is measured.
        block_log2: its blocks.

    Raises:
        ConfigError: there is no such quantizer, or it cannot be had in that way.
    """
    if name not in NAMES:
        raise ConfigError(
            f"quantizer must be one of {', '.join(NAMES)}, a Quantizer or None, not {name!r}"
        )
    if (bits is None) == (rate is None):
        raise ConfigError(
            f"quantizer={name!r} must come with bits or with rate, "
            f"not with bits={bits} and rate={rate}"
        )
    if rate is not None:
        if name not in AT_A_RATE:
            raise ConfigError(
                f"rate must go with {', '.join(AT_A_RATE)}, not with {name!r}; give bits"
            )
        return RateQuantizer(rate, AT_A_RATE[name], entropy, block_log2)
    assert bits is not None
    return _of_bits(name, bits)


def _of_bits(name: Name, bits: int) -> Quantizer:
    match name:
        case "sq":
            return UniformQuantizer(bits)
        case "sq-clip":
            return UniformQuantizer(bits, clip="mse")
        case "lloyd":
            return LloydMaxQuantizer(bits)
        case "rdo":
            return DeadZoneQuantizer(bits=bits)
        case "tcq":
            return TrellisQuantizer(bits=bits)
        case "tcq-fixed":
            return FixedTrellisQuantizer(bits)
        case "auto":
            raise ConfigError("quantizer='auto' must come with rate, not with bits")
