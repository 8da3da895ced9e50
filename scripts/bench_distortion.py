"""Distortion at equal coded rates: scalar, dead-zone and trellis quantization, and who wins.

A rate is that of the whole coded tensor, header included, as the real coder makes it; all
quantizers decode to learned values. SQNR is of the decoded tensor.
"""

from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path

import numpy as np
from bench_table import CONSOLE, show
from codec_data import vgg16_tensors

from joulecut.compiler import codec
from joulecut.compiler.quantizers import (
    DeadZoneQuantizer,
    RateQuantizer,
    TrellisQuantizer,
)
from joulecut.kernels import coder

ROOT = Path(__file__).resolve().parents[1]
KERNELS = ROOT / "kernels/c"
PEERS = ROOT / "scripts/peers"
CUTS = ("b1c2", "b2pool", "b3c2", "b4pool")
RATES = (0.2, 0.5, 1.0, 2.0, 3.0, 4.0, 6.0)
KINDS = {
    "SQ": (DeadZoneQuantizer(step=1.0, weight=0.0),),
    "RDO-SQ": (DeadZoneQuantizer(step=1.0),),
    "TCQ": (TrellisQuantizer(step=1.0),),
    "auto": (DeadZoneQuantizer(step=1.0), TrellisQuantizer(step=1.0)),
}
GAUSSIAN_SAMPLES = 1_000_000
GAUSSIAN_RATES = (1.0, 2.0, 3.0, 4.0)
DB_PER_BIT = 20 * np.log10(2)


def main() -> None:
    """Real tensors, a Gaussian source beside its bound, and the speed of the quantizers."""
    real = {name: tensor[0] for name, tensor in vgg16_tensors(1, CUTS).items()}
    rows = [row(name, tensor, rate) for name, tensor in real.items() for rate in RATES]
    show(
        "SQNR in dB at equal coded rates (bits a sample), measured; photo 1 at cuts of VGG16",
        ["tensor", "rate", *KINDS, "TCQ - SQ", "TCQ - RDO-SQ", "auto - RDO-SQ"],
        rows,
    )
    gaussian = np.random.default_rng(0).normal(size=GAUSSIAN_SAMPLES).astype(np.float32)
    show(
        f"Gaussian, {GAUSSIAN_SAMPLES:,} samples: dB below the rate-distortion bound, measured",
        ["rate", "TCQ, dB", "bound, dB", "distance"],
        (below_bound(gaussian, rate) for rate in GAUSSIAN_RATES),
    )
    show(
        "trellis alone, 8 states, blocks of 2^17 in the cache: Msample/s, one thread, measured in C "
        f"({', '.join(coder.cpu_features()) or 'scalar'})",
        ["tensor", "nearest", "with prices", "values", "learned values", "copy of floats"],
        in_cache(real),
    )


def at_rate(tensor: np.ndarray, kind: str, rate: float) -> tuple[float, float]:
    """SQNR in dB, and the rate that was met."""
    blob = codec.encode(tensor, quantizer=RateQuantizer(rate, KINDS[kind]))
    error = codec.decode(blob).astype(np.float64) - tensor
    signal = np.sum(tensor.astype(np.float64) ** 2)
    return float(10 * np.log10(signal / np.sum(error**2))), 8 * len(blob) / tensor.size


def row(name: str, tensor: np.ndarray, rate: float) -> list[str]:
    """One tensor at one rate; a rate that was missed by more than 3 % is named."""
    met = {kind: at_rate(tensor, kind, rate) for kind in KINDS}
    db = {kind: value for kind, (value, _) in met.items()}
    missed = [
        f"{kind} at {got:.2f}" for kind, (_, got) in met.items() if abs(got / rate - 1) > 0.03
    ]
    if missed:
        CONSOLE.print(f"{name}: rate {rate:g} is not met by {', '.join(missed)}")
    differences = (db["TCQ"] - db["SQ"], db["TCQ"] - db["RDO-SQ"], db["auto"] - db["RDO-SQ"])
    return [
        name,
        f"{rate:g}",
        *(f"{value:.2f}" for value in db.values()),
        *(f"{value:+.2f}" for value in differences),
    ]


def below_bound(samples: np.ndarray, rate: float) -> list[str]:
    """D(R) of a Gaussian is 6.02 dB a bit; the rate is the one that was met."""
    value, met = at_rate(samples, "TCQ", rate)
    bound = DB_PER_BIT * met
    return [f"{met:.3f}", f"{value:.2f}", f"{bound:.2f}", f"{bound - value:.2f}"]


def in_cache(tensors: dict[str, np.ndarray]) -> list[list[str]]:
    """What bench_trellis.c says of each tensor, at 255 steps to its maximum."""
    rows: list[list[str]] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        sources = [PEERS / "bench_trellis.c", *sorted(KERNELS.glob("*.c"))]
        command = ["gcc", "-std=c11", "-O3", "-ffp-contract=off", f"-I{KERNELS}"]
        command += [*map(str, sources), "-lm", "-o", str(folder / "bench")]
        subprocess.run(command, check=True)
        for tensor, samples in tensors.items():
            if samples.size < 1 << 17:
                continue
            samples.tofile(folder / tensor)
            run = [str(folder / "bench"), str(samples.max() / 510), tensor]
            said = subprocess.run(run, check=True, capture_output=True, text=True, cwd=folder)
            rows.append([tensor, *said.stdout.split()])
    return rows


if __name__ == "__main__":
    main()
