"""What one inference costs at each cut, as lines over the seconds that a bit takes.

Energy at the edge is processing + power * bits * x and latency is edge time + cloud time +
bits * x, where x is 1 / rate. Every number keeps its source.
"""

from __future__ import annotations

from dataclasses import dataclass

from joulecut.compiler.errors import ConfigError
from joulecut.compiler.line import Line
from joulecut.compiler.profile import PROVENANCES, Provenance, Quantity


@dataclass(frozen=True)
class CutCosts:
    """What one inference costs with the network cut at one place, each number with its source.

    Attributes:
        name: of the cut, for people.
        processing: energy of the edge's part, J.
        bits: that cross, as they are coded; 0 if the edge does everything and tells nobody.
        power: drawn while sending, W.
        edge_time: of the edge's part, coding included, s; None: not known.
        cloud_time: of all that does not depend on the rate: the cloud's part, the way there and
            back, s; None: not known.
        accuracy: of the whole, as a fraction, 1; None: not known.
    """

    name: str
    processing: Quantity
    bits: Quantity
    power: Quantity
    edge_time: Quantity | None = None
    cloud_time: Quantity | None = None
    accuracy: Quantity | None = None

    def __post_init__(self) -> None:
        for field, unit in (
            ("processing", "J"),
            ("bits", "bit"),
            ("power", "W"),
            ("edge_time", "s"),
            ("cloud_time", "s"),
            ("accuracy", "1"),
        ):
            quantity: Quantity | None = getattr(self, field)
            if quantity is None:
                continue
            if quantity.unit != unit:
                raise ConfigError(
                    f"{field} of cut '{self.name}' must be in '{unit}', not '{quantity.unit}'"
                )
            if quantity.value < 0:
                raise ConfigError(
                    f"{field} of cut '{self.name}' must be 0 or more, not {quantity.value}"
                )

    @property
    def energy_line(self) -> Line:
        """Joules over seconds per bit."""
        return Line(self.processing.value, self.power.value * self.bits.value)

    @property
    def energy_provenance(self) -> Provenance:
        """That of its weakest term; what is known of the channel is not in it."""
        return weakest(self.processing, self.bits, self.power)

    @property
    def latency_line(self) -> Line:
        """Seconds over seconds per bit.

        Raises:
            ConfigError: a time is not known.
        """
        edge, cloud = self._times()
        return Line(edge.value + cloud.value, self.bits.value)

    @property
    def latency_provenance(self) -> Provenance:
        """That of its weakest term; what is known of the channel is not in it.

        Raises:
            ConfigError: a time is not known.
        """
        return weakest(self.bits, *self._times())

    def _times(self) -> tuple[Quantity, Quantity]:
        if self.edge_time is None or self.cloud_time is None:
            missing = "edge_time" if self.edge_time is None else "cloud_time"
            raise ConfigError(
                f"{missing} of cut '{self.name}' must be known to weigh or bound its latency; "
                f"profile the part, or model it"
            )
        return self.edge_time, self.cloud_time


def weakest(*quantities: Quantity) -> Provenance:
    """The provenance that a result of these has."""
    return PROVENANCES[max(PROVENANCES.index(each.provenance) for each in quantities)]
