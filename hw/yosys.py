"""What a design would take of a Xilinx 7-series FPGA, and how fast it might run, by Yosys.

An estimate of Yosys, not of Vivado: nothing is placed or routed, and the delay is what ABC adds
up from its model of the cells with 0.3 ns for each wire. The figures serve to compare one version
of a design with the next.
"""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from importlib import metadata, util
from pathlib import Path
from types import MappingProxyType

from joulecut.hw.cache import default_cache_dir, kept
from joulecut.hw.errors import RtlToolError

_NO_PARAMETERS: Mapping[str, int] = MappingProxyType({})
_SYNTH = "synth_xilinx -family xc7 -abc9 -flatten -noiopad -noclkbuf -top"
_RUN = """
import sys
from pyosys import libyosys
libyosys.run_pass("script " + sys.argv[1], libyosys.Design())
"""
_DELAY = re.compile(r"Del =\s*([0-9.]+)\.")
_LUTRAM = {  # LUTs of one primitive (UG474, table 2-3)
    "RAM32X1S": 1,
    "RAM32X1D": 2,
    "RAM32M": 4,
    "RAM64X1S": 1,
    "RAM64X1D": 2,
    "RAM64M": 4,
    "RAM128X1S": 2,
    "RAM128X1D": 4,
    "RAM256X1S": 4,
}


@dataclass(frozen=True)
class Resources:
    """What Yosys makes of a design.

    Attributes:
        lut: LUTs that compute, inverters included; two small ones may share a site.
        lutram: LUTs that are memory.
        srl: LUTs that are shift registers.
        ff: flip-flops.
        dsp48e1: multipliers.
        ramb36: memories of 36 Kbit.
        ramb18: memories of 18 Kbit.
        delay_ns: the longest path between registers, ports and memories by ABC's model.
    """

    lut: int
    lutram: int
    srl: int
    ff: int
    dsp48e1: int
    ramb36: int
    ramb18: int
    delay_ns: float


def synthesize(
    top: str,
    sources: Sequence[Path],
    parameters: Mapping[str, int] = _NO_PARAMETERS,
    *,
    cache_dir: Path | None = None,
) -> Resources:
    """Synthesize a module for the 7 series, or remember what came out the last time.

    Args:
        top: module; its ports are taken as inner wires, without pads.
        sources: packages before what imports them; .svh files that they include too. Waivers of
            Verilator (.vlt) are passed over.
        parameters: of the top module.
        cache_dir: where results are kept; `default_cache_dir()` if None.

    Raises:
        RtlToolError: pyosys is missing, or refuses the source; the message has what to install,
            or what Yosys said.
    """
    files = [path for path in sources if path.suffix != ".vlt"]
    texts = [(path.name, path.read_text(encoding="utf-8")) for path in files]
    key = json.dumps([top, texts, sorted(parameters.items()), _SYNTH, yosys_version()])
    digest = hashlib.sha256(key.encode()).hexdigest()[:32]

    def make(made: Path) -> None:
        found = _resources(
            *_synthesize(top, dict(texts), _script(top, list(dict(texts)), parameters))
        )
        made.write_text(json.dumps(asdict(found)), encoding="utf-8")

    path = kept(
        (cache_dir or default_cache_dir()) / "synthesized" / f"{top}-{digest}.json", make
    )
    return Resources(**json.loads(path.read_text(encoding="utf-8")))


@cache
def yosys_version() -> str:
    """The release of pyosys on PyPI.

    Raises:
        RtlToolError: it is not installed.
    """
    if util.find_spec("pyosys") is None:
        raise RtlToolError(
            "pyosys must be installed to synthesize the accelerator, and is not; "
            "run: pip install 'joulecut[hw]'"
        )
    return metadata.version("pyosys")


def _script(top: str, names: Sequence[str], parameters: Mapping[str, int]) -> str:
    read = " ".join(name for name in names if not name.endswith(".svh"))
    sets = "".join(f" -set {name} {value}" for name, value in sorted(parameters.items()))
    chparam = [f"chparam{sets} {top}"] if sets else []
    return "\n".join([f"read_verilog -sv -I. {read}", *chparam, f"{_SYNTH} {top}"])


def _synthesize(top: str, texts: Mapping[str, str], script: str) -> tuple[str, dict[str, int]]:
    """The log, and how often each primitive occurs.

    Yosys is native and large, so it gets a process. The sources lie in its working folder: names
    in the design have their paths in them, and what ABC finds depends on the names.
    """
    with tempfile.TemporaryDirectory() as folder:
        for name, text in texts.items():
            (Path(folder) / name).write_text(text, encoding="utf-8")
        counts, commands = Path(folder) / "counts.json", Path(folder) / "commands.ys"
        commands.write_text(f"{script}\ntee -q -o {counts.name} stat -json\n", encoding="utf-8")
        command = [sys.executable, "-P", "-c", _RUN, commands.name]
        done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=folder)
        if done.returncode != 0 or not counts.exists():
            errors = [line for line in done.stdout.splitlines() if "ERROR" in line]
            raise RtlToolError(
                f"yosys must accept {top}, but returned {done.returncode}:\n"
                + "\n".join([*errors, done.stderr[-4000:]])
            )
        design = json.loads(counts.read_text(encoding="utf-8"))["design"]
        return done.stdout, design["num_cells_by_type"]


def _resources(log: str, count: Mapping[str, int]) -> Resources:
    def total(*names: str) -> int:
        return sum(count.get(name, 0) for name in names)

    return Resources(
        lut=total(*(f"LUT{n}" for n in range(1, 7)), "INV"),
        lutram=sum(size * count.get(name, 0) for name, size in _LUTRAM.items()),
        srl=total("SRL16E", "SRLC32E"),
        ff=total("FDRE", "FDSE", "FDCE", "FDPE", "FDRE_1", "FDSE_1"),
        dsp48e1=total("DSP48E1"),
        ramb36=total("RAMB36E1"),
        ramb18=total("RAMB18E1"),
        delay_ns=_delay_ns(log),
    )


def _delay_ns(log: str) -> float:
    """The last delay that each run of ABC's mapper prints, in ps; the longest of the runs."""
    runs = [_DELAY.findall(run) for run in log.split("&if ")[1:]]
    return max((float(found[-1]) / 1000 for found in runs if found), default=0.0)
