"""The codec beside its peers: sizes, speeds, distortion, and instructions on Arm.

Every ratio comes from one run on one machine; absolute speeds are only good for comparing inside
a table. Tensors are real: activations at the cuts of VGG16 on photos (scripts/codec_data.py).
`python scripts/bench_codec.py sizes` runs one section.
"""

from __future__ import annotations

import sys

import bench_arm
import bench_distortion
import bench_sizes
import bench_speed
import bench_tcq
from bench_table import CONSOLE

from joulecut.cli.doctor import machine_line

UNIFORM_256 = [
    "--samples",
    "150000",
    "--states",
    "256",
    "--sources",
    "uniform",
    "--rates",
    "1",
    "2",
    "3",
]


def fixed_rate() -> None:
    """4 and 8 states, then 256 on a uniform source."""
    bench_tcq.main([])
    bench_tcq.main(UNIFORM_256)


SECTIONS = {
    "sizes": bench_sizes.main,
    "speed": bench_speed.main,
    "distortion": bench_distortion.main,
    "fixed-rate": fixed_rate,
    "arm": bench_arm.main,
}


def main() -> None:
    """Run the sections that are named, or all."""
    names = sys.argv[1:] or list(SECTIONS)
    unknown = [name for name in names if name not in SECTIONS]
    if unknown:
        raise SystemExit(f"sections must be among {list(SECTIONS)}, not {unknown}")
    CONSOLE.print(machine_line())
    for name in names:
        SECTIONS[name]()


if __name__ == "__main__":
    main()
