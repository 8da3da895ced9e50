"""What the best cut is the least of, and what it must keep."""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist
from typing import Literal, get_args

from joulecut.compiler.errors import ConfigError

MAX_SIGMA = 10.0

Infeasible = Literal["none", "least"]


@dataclass(frozen=True)
class EstimationError:
    """What is known of the channel is an estimate: ln(x / estimate) is normal, its mean 0.

    What is minimized becomes the expected cost, and a bound holds with a probability. A line's
    expectation is the line at the expected x, so neither costs anything at run time.

    Attributes:
        sigma: standard deviation of ln(x / estimate); 0.23 is 1 dB.
        confidence: how probable it must be that a bound is kept, between 0 and 1.
    """

    sigma: float
    confidence: float = 0.95

    def __post_init__(self) -> None:
        if not 0 <= self.sigma <= MAX_SIGMA:
            raise ConfigError(f"sigma must be in 0..{MAX_SIGMA:g}, not {self.sigma}")
        if not 0 < self.confidence < 1:
            raise ConfigError(
                f"confidence must be between 0 and 1, both excluded, not {self.confidence}"
            )

    @property
    def mean_factor(self) -> float:
        """The expected x per estimate."""
        return math.exp(self.sigma**2 / 2)

    @property
    def bound_factor(self) -> float:
        """The x per estimate that is exceeded with a probability of 1 - confidence."""
        return math.exp(self.sigma * NormalDist().inv_cdf(self.confidence))


@dataclass(frozen=True)
class Objective:
    """What the best cut is the least of, and what it must keep.

    Attributes:
        energy_weight: of a joule, 0 or more.
        latency_weight: of a second, 0 or more; (0, 1) minimizes latency, (1, 2) counts a second
            as two joules.
        max_energy_j: bound of the edge's energy per inference.
        max_latency_s: bound of the latency.
        min_accuracy: cuts below it are never chosen.
        infeasible: where no cut keeps the bounds, "none" chooses no cut, and "least" the cut
            that exceeds the bound by the least (then there must be only one bound).
        margin: the cut of the inference before is kept while it costs at most 1 + margin times
            the least. 0: no hysteresis.
        error: of the estimate of x.
    """

    energy_weight: float = 1.0
    latency_weight: float = 0.0
    max_energy_j: float | None = None
    max_latency_s: float | None = None
    min_accuracy: float | None = None
    infeasible: Infeasible = "none"
    margin: float = 0.0
    error: EstimationError | None = None

    def __post_init__(self) -> None:
        for name in ("energy_weight", "latency_weight", "margin"):
            value: float = getattr(self, name)
            if not 0 <= value < math.inf:
                raise ConfigError(f"{name} must be finite and 0 or more, not {value}")
        if self.energy_weight == self.latency_weight == 0:
            raise ConfigError("energy_weight or latency_weight must be positive, not both 0")
        for name in ("max_energy_j", "max_latency_s"):
            bound: float | None = getattr(self, name)
            if bound is not None and not 0 < bound < math.inf:
                raise ConfigError(f"{name} must be finite and positive, not {bound}")
        if self.min_accuracy is not None and not 0 <= self.min_accuracy <= 1:
            raise ConfigError(f"min_accuracy must be in 0..1, not {self.min_accuracy}")
        if self.infeasible not in get_args(Infeasible):
            raise ConfigError(
                f"infeasible must be one of {', '.join(get_args(Infeasible))}, "
                f"not '{self.infeasible}'"
            )
        if self.infeasible == "least" and None not in (self.max_energy_j, self.max_latency_s):
            raise ConfigError(
                "infeasible must be 'none' where energy and latency are both bounded, not "
                "'least': joules and seconds in excess do not compare; drop one bound"
            )
