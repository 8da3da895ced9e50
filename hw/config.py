"""How large an accelerator is: one record that sizes the RTL, the models and the driver."""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType

BEAT_BYTES = 8  # of the AXI data bus; channels lie in memory in planes of as many


class ConfigurationError(ValueError):
    """An accelerator cannot be of this size."""


@dataclass(frozen=True)
class MacArrayConfig:
    """An array of `rows` x `columns` processing elements and the memories around it.

    Attributes:
        name: what people call it.
        rows: output channels computed side by side; a multiple of 8 and of `lanes`.
        columns: input channels summed side by side, and the bytes of an activation word; 16 or
            32, so that a byte address splits into word and lane.
        strip: pixels whose sums are held while the weights of a tile stay in the array.
        lanes: sums requantized per cycle.
        activation_words: of `columns` bytes; a power of two.
        weight_words: of `columns` bytes, each one row of a tile of weights.
        output_words: of `rows` bytes.
        parameter_words: channels whose bias and scale are held.
        clock_hz: what the design is meant to reach; nobody has closed its timing in Vivado.
    """

    name: str
    rows: int
    columns: int
    strip: int
    lanes: int
    activation_words: int
    weight_words: int
    output_words: int
    parameter_words: int
    clock_hz: float

    def __post_init__(self) -> None:
        checks = {
            "rows must be a multiple of 8 and of lanes": self.rows % 8
            or self.rows % self.lanes,
            "columns must be 16 or 32": self.columns not in (16, 32),
            "strip must be a power of two from 16 to 64": self.strip not in (16, 32, 64),
            "lanes must be a power of two": self.lanes & (self.lanes - 1) or self.lanes < 1,
            "activation_words must be a power of two": self.activation_words
            & (self.activation_words - 1),
            "memories must have 65,536 words at most": max(
                self.activation_words,
                self.weight_words,
                self.output_words,
                self.parameter_words,
            )
            > 1 << 16,
        }
        for rule, is_broken in checks.items():
            if is_broken:
                raise ConfigurationError(f"configuration '{self.name}': {rule}")

    @property
    def macs_per_cycle(self) -> int:
        """Multiply-accumulates in a cycle in which the array is active."""
        return self.rows * self.columns

    @property
    def tile_bytes(self) -> int:
        """Weights that the array holds at a time."""
        return self.rows * self.columns

    @property
    def parameters(self) -> dict[str, int]:
        """The parameters of the RTL's top module."""
        return {
            "Rows": self.rows,
            "Columns": self.columns,
            "Strip": self.strip,
            "Lanes": self.lanes,
            "ActivationWords": self.activation_words,
            "WeightWords": self.weight_words,
            "OutputWords": self.output_words,
            "ParameterWords": self.parameter_words,
        }


Z7020 = MacArrayConfig("z7020", 16, 16, 64, 8, 8192, 10240, 2048, 1024, 100e6)
Z7020_WIDE = MacArrayConfig("z7020-wide", 24, 16, 64, 8, 8192, 10752, 2048, 1152, 150e6)
ZU = MacArrayConfig("zu", 32, 32, 64, 8, 8192, 20480, 2048, 2048, 200e6)

CONFIGS = MappingProxyType({config.name: config for config in (Z7020, Z7020_WIDE, ZU)})
