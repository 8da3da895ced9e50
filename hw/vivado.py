"""What the Vivado scripts of hw/vivado/ need of the registers and configurations, as Tcl.

`python -m joulecut.hw.vivado` writes hw/vivado/generated.tcl; a test fails when it is stale.
"""

from __future__ import annotations

from pathlib import Path

from joulecut.hw.config import CONFIGS, MacArrayConfig
from joulecut.hw.regs import REGISTERS, VLNV

GENERATED = Path(__file__).resolve().parent / "vivado" / "generated.tcl"
_ACCESS = {"ro": "read-only", "rw": "read-write", "w1": "write-only"}
_BLOCK_RAM_BITS = 36 * 1024
_PARAMETER_BITS = 64  # a bias and a multiplier


def least_block_rams(config: MacArrayConfig) -> int:
    """Block RAMs of 36 Kbit that cannot hold less than a configuration's memories.

    A lower bound from bits alone, for refusing what cannot fit; a design takes more.
    """
    bits = (
        8 * config.columns * (config.activation_words + config.weight_words)
        + 8 * config.rows * config.output_words
        + _PARAMETER_BITS * config.parameter_words
    )
    return -(-bits // _BLOCK_RAM_BITS)


def tables() -> str:
    """hw/vivado/generated.tcl: the core's name, its registers, and every configuration."""
    lines = [
        "# Written by joulecut.hw.vivado; do not edit.",
        f"set vlnv {VLNV}",
        "set registers {",
    ]
    lines += [
        f"  {{{r.name} 0x{r.offset:02X} {_ACCESS[r.access]} {{{r.text}}}}}" for r in REGISTERS
    ]
    lines += ["}", "set configurations {"]
    for config in CONFIGS.values():
        parameters = " ".join(f"{name} {value}" for name, value in config.parameters.items())
        lines += [
            f"  {config.name} {{",
            f"    clock_hz {config.clock_hz:.0f}",
            f"    least_block_rams {least_block_rams(config)}",
            f"    parameters {{{parameters}}}",
            "  }",
        ]
    return "\n".join([*lines, "}", ""])


if __name__ == "__main__":
    GENERATED.write_text(tables(), encoding="utf-8")
