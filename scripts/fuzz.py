"""Fuzzes the codec and the table of cuts with libFuzzer under the address and undefined-behaviour sanitizers.

All targets of tests/fuzz run at the same time, from the committed corpus; what they find on the
way is kept in out/fuzz, so that a later run goes on from there. Exit 1 if anything is found.
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
KERNELS = ROOT / "kernels/c"
SOURCES = ROOT / "tests/fuzz"
CORPUS = SOURCES / "corpus"
TARGETS = ("decode", "round_trip", "select")
NO_CHECKSUMS = "-DFUZZING_BUILD_MODE_UNSAFE_FOR_PRODUCTION"
FLAGS = ("-std=c11", "-g", "-O1", "-ffp-contract=off", f"-I{KERNELS}")
SANITIZERS = "-fsanitize=address,undefined"
MAX_INPUT_BYTES = {  # encoders are slow under sanitizers
    "decode": 16384,
    "round_trip": 4096,
    "select": 4096,
}
TIMEOUT_S = 10


def main() -> None:
    """Build, run, say what was found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=600, help="how long each target runs")
    parser.add_argument("--out", type=Path, default=ROOT / "out/fuzz")
    parser.add_argument("--merge", action="store_true", help="keep what is new in the corpus")
    options = parser.parse_args()
    if shutil.which("clang") is None:
        raise SystemExit("clang must be here for libFuzzer; install it: apt install clang")
    programs = {target: build(target, options.out) for target in TARGETS}
    runs = {
        target: start(program, target, options.out, options.seconds)
        for target, program in programs.items()
    }
    found = [target for target, run in runs.items() if not report(target, run)]
    if options.merge and not found:
        for target, program in programs.items():
            merge(program, target, options.out)
    sys.exit(1 if found else 0)


def build(target: str, out: Path) -> Path:
    """The fuzzer of a target, beside its inputs."""
    (out / target).mkdir(parents=True, exist_ok=True)
    program = out / f"fuzz_{target}"
    sources = [SOURCES / f"{target}.c", *sorted(KERNELS.glob("*.c"))]
    command = ["clang", *FLAGS, NO_CHECKSUMS, f"{SANITIZERS},fuzzer"]
    command += ["-fno-sanitize-recover=all", *map(str, sources), "-lm", "-o", str(program)]
    subprocess.run(command, check=True)
    return program


def start(program: Path, target: str, out: Path, seconds: int) -> subprocess.Popen[str]:
    """Run a fuzzer in the background; crashing inputs go to out/."""
    command = [str(program), f"-max_total_time={seconds}", f"-timeout={TIMEOUT_S}"]
    command += [f"-max_len={MAX_INPUT_BYTES[target]}", "-print_final_stats=1", "-verbosity=1"]
    command += ["-rss_limit_mb=4096", f"-artifact_prefix={out}/found-{target}-"]
    folders = [out / target, CORPUS / target]
    command += [str(folder) for folder in folders if folder.is_dir()]
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=out
    )


def report(target: str, run: subprocess.Popen[str]) -> bool:
    """One line for a target that found nothing; all that it said for one that did."""
    said, _ = run.communicate()
    if run.returncode:
        print(said[-20000:])
        print(f"{target}: FOUND something; the input lies beside the fuzzer")
        return False
    runs = re.findall(r"number_of_executed_units: (\d+)", said)
    edges = re.findall(r"cov: (\d+)", said)
    print(f"{target}: {int(runs[-1]):,} inputs, {edges[-1]} edges, nothing found")
    return True


def merge(program: Path, target: str, out: Path) -> None:
    """Add to the committed corpus what reaches code that it does not reach."""
    (CORPUS / target).mkdir(parents=True, exist_ok=True)
    command = [str(program), "-merge=1", f"-max_len={MAX_INPUT_BYTES[target]}"]
    subprocess.run([*command, str(CORPUS / target), str(out / target)], check=True)


if __name__ == "__main__":
    main()
