"""The scripts for Vivado, run by tclsh with Vivado's commands recorded. Vivado never ran them."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from joulecut.hw.config import CONFIGS, Z7020, ZU
from joulecut.hw.regs import REGISTERS, VLNV
from joulecut.hw.vivado import GENERATED, least_block_rams, tables
from joulecut.targets.fpga.handoff import INSTANCE
from joulecut.targets.fpga.processors import RANGE_BYTES, ZYNQ, ZYNQ_ULTRASCALE, Processor

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
SCRIPTS = ROOT / "hw/vivado"
STUB = HERE / "vivado_stub.tcl"
BOARDS = {"pynq_z2": "z7020", "kria_kv260": "z7020-wide", "zcu104": "zu"}
PROCESSORS = {"pynq_z2": ZYNQ, "kria_kv260": ZYNQ_ULTRASCALE, "zcu104": ZYNQ_ULTRASCALE}
BUSES = ("s_axi", "m_axi", "d_axi")
UTILIZATION = """
| Site Type       |  Used | Fixed | Available |
| {lut} | 30000 |     0 |     53200 |
| {ff} | 20000 |     0 |    106400 |
| Block RAM Tile  |  99.5 |     0 |       140 |
| DSPs            |   140 |     0 |       220 |
"""
POWER = "\n| Total On-Chip Power (W)  | 1.875        |\n"
NAMES = {"lut": "Slice LUTs*", "ff": "Slice Registers"}

pytestmark = pytest.mark.skipif(
    shutil.which("tclsh") is None, reason="no tclsh: install Debian's package tcl"
)


@dataclass(frozen=True)
class Dry:
    """A script's run: its calls (command and arguments), what it said, and its folder."""

    calls: list[list[str]]
    error: str
    folder: Path
    defined: set[str]
    called: set[str]

    def of(self, command: str) -> list[list[str]]:
        return [call[1:] for call in self.calls if call[0] == command]

    def at(self, *call: str) -> int:
        """The place of the first call that begins so."""
        return next(i for i, each in enumerate(self.calls) if tuple(each[: len(call)]) == call)


def braced(answers: Mapping[str, str]) -> str:
    return " ".join(f"{{{name}}} {{{value}}}" for name, value in answers.items())


def dry_run(
    folder: Path, board: str = "pynq_z2", configuration: str = "", **changed: str
) -> Dry:
    config = CONFIGS[configuration or BOARDS.get(board, "z7020")]
    answers = {
        "PROGRESS": "100%",
        "STATUS": "complete",
        "CONFIG.FREQ_HZ": f"{config.clock_hz:.0f}",
        "STATS.WNS": "0.125",
        "STATS.WHS": "0.031",
        "report_utilization": UTILIZATION.format(**NAMES),
        "report_power": POWER,
        "get_board_parts": "vendor:board:part0:1.0",
        "version": "2025.2",
        "missing_interfaces": "irq",
        **{name.replace("__", "."): value for name, value in changed.items()},
    }
    command = ["tclsh", str(STUB), str(SCRIPTS / "build.tcl"), braced(answers), board]
    done = subprocess.run(
        [*command, configuration, str(folder)], capture_output=True, text=True, check=False
    )
    assert (done.returncode == 0) == (not done.stderr), done.stderr
    calls = [line.split("\x1f") for line in done.stdout.splitlines()]
    calls = [call for call in calls if not call[0].startswith(("wrote ", "WARNING: "))]
    *calls, defined, called = calls
    return Dry(calls, done.stderr, folder, set(defined[1:]), set(called[1:]))


@pytest.fixture(params=BOARDS)
def dry(request: pytest.FixtureRequest, tmp_path: Path) -> Dry:
    done = dry_run(tmp_path, request.param)
    assert not done.error
    return done


def test_tables_are_fresh() -> None:
    assert GENERATED.read_text(encoding="utf-8") == tables(), "python -m joulecut.hw.vivado"


@pytest.mark.parametrize("path", sorted(SCRIPTS.glob("*.tcl")), ids=lambda path: path.name)
def test_scripts_parse_and_say_that_nobody_ran_them(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    check = f"exit [expr {{![info complete [read [open {{{path}}}]]]}}]"
    assert subprocess.run(["tclsh"], input=check, text=True, check=False).returncode == 0
    assert path == GENERATED or text.startswith("# Never run by us")
    assert all(len(line) <= 100 for line in text.splitlines() if path != GENERATED)


def test_everything_happens_in_order(dry: Dry) -> None:
    steps = [
        ("create_project",),
        ("ipx::package_project",),
        ("ipx::add_register",),
        ("ipx::save_core",),
        ("close_project",),
        ("update_ip_catalog",),
        ("create_bd_design",),
        ("create_bd_cell", "-type", "ip", "-vlnv", VLNV, INSTANCE),
        ("assign_bd_address",),
        ("validate_bd_design",),
        ("generate_target",),
        ("make_wrapper",),
        ("launch_runs", "synth_1"),
        ("wait_on_run", "synth_1"),
        ("launch_runs", "impl_1"),
        ("wait_on_run", "impl_1"),
        ("open_run", "impl_1"),
        ("get_property", "STATS.WNS"),
        ("get_property", "STATS.WHS"),
        ("report_utilization",),
        ("close_design",),
        ("launch_runs", "impl_1", "-to_step", "write_bitstream"),
    ]
    places = [dry.at(*step) for step in steps]
    assert places == sorted(places)
    assert {"joulecut.bit", "joulecut.hwh", "joulecut.json"} <= {
        path.name for path in dry.folder.iterdir()
    }


def test_every_procedure_ran(dry: Dry) -> None:
    assert dry.defined == dry.called


def test_every_file_is_there_and_every_module_is_packaged(dry: Dry) -> None:
    packaged = [Path(name) for name in dry.of("add_files")[0][1].split()]
    assert all(path.is_file() for path in packaged)
    sources = {p.name for p in (ROOT / "hw/rtl").iterdir() if p.suffix in (".sv", ".svh", ".v")}
    assert {path.name for path in packaged} == sources


def test_registers_are_at_their_offsets(dry: Dry) -> None:
    added = [name for name, _ in dry.of("ipx::add_register")]
    assert added == [register.name for register in REGISTERS]
    values = {
        (words[0], words[-1].split(":")[-1]): words[1] for words in dry.of("set_property")
    }
    for register in REGISTERS:
        assert int(values["address_offset", register.name], 16) == register.offset
        assert values["size", register.name] == "32"


def test_buses_have_a_clock_a_reset_and_an_address(dry: Dry) -> None:
    associated = dry.of("ipx::associate_bus_interfaces")
    assert [words[:4] for words in associated[:3]] == [
        ["-busif", bus, "-clock", "aclk"] for bus in BUSES
    ]
    assert associated[3][:4] == ["-clock", "aclk", "-reset", "aresetn"]
    assigned = dry.of("assign_bd_address")
    assert [words[-1] for words in assigned[:2]] == [
        f"{INSTANCE}/s_axi/reg0",
        "axi_intc_0/S_AXI/Reg",
    ]
    assert {words[5] for words in assigned[2:]} == {f"{INSTANCE}/m_axi", f"{INSTANCE}/d_axi"}
    assert all(words[1] == "0x00000000" for words in assigned[2:])
    assert len({words[-1] for words in assigned}) == len(assigned) == 4
    joined = {pin for pair in dry.of("connect_bd_intf_net") for pin in pair}
    assert {f"{INSTANCE}/{bus}" for bus in BUSES} <= joined
    nets = [pin for pair in dry.of("connect_bd_net") for pin in pair]
    crossings = [words[-1] for words in dry.of("create_bd_cell") if "smartconnect" in words[3]]
    for cell in (*crossings, INSTANCE):
        assert nets.count(f"{cell}/aclk") == nets.count(f"{cell}/aresetn") == 1


def test_the_interrupt_goes_through_a_controller(dry: Dry) -> None:
    nets = dry.of("connect_bd_net")
    assert [f"{INSTANCE}/irq", "axi_intc_0/intr"] in nets
    (to,) = (pins[1] for pins in nets if pins[0] == "axi_intc_0/irq")
    assert to in {f"{each.cell}/{each.interrupt}" for each in PROCESSORS.values()}
    values = {(words[0], words[-1]): words[1] for words in dry.of("set_property")}
    assert values["CONFIG.C_IRQ_CONNECTION", "axi_intc_0"] == "1"
    joined = dry.of("connect_bd_intf_net")
    for bus, slave in (("M00", f"{INSTANCE}/s_axi"), ("M01", "axi_intc_0/s_axi")):
        assert [f"registers_0/{bus}_AXI", slave] in joined
    ways = {words[-1]: words[1] for words in dry.of("set_property") if "NUM_MI" in words[1]}
    assert ways == {
        f"{bus}_0": f"CONFIG.NUM_SI 1 CONFIG.NUM_MI {slaves}"
        for bus, slaves in {"registers": 2, "m_axi": 1, "d_axi": 1}.items()
    }
    for pin in ("aclk", "aresetn"):
        assert [pins for pins in nets if f"axi_intc_0/s_axi_{pin}" in pins]


@pytest.mark.parametrize(("board", "processor"), PROCESSORS.items())
def test_simulated_boards_have_the_processor_of_the_design(
    tmp_path: Path, board: str, processor: Processor
) -> None:
    done = dry_run(tmp_path, board)
    vlnv, _ = processor.vlnv.rsplit(":", 1)  # Vivado chooses the version
    assert ["-type", "ip", "-vlnv", vlnv, processor.cell] in done.of("create_bd_cell")
    places = done.of("assign_bd_address")[:2]
    assert [int(words[1], 16) for words in places] == [
        processor.registers_at,
        processor.controller_at,
    ]
    assert {words[3] for words in places} == {f"{RANGE_BYTES >> 10}K"}
    assert all(words[5].startswith(f"{processor.cell}/") for words in places)
    assert ["axi_intc_0/irq", f"{processor.cell}/{processor.interrupt}"] in done.of(
        "connect_bd_net"
    )
    joined = {pin for pair in done.of("connect_bd_intf_net") for pin in pair}
    assert f"{processor.cell}/{processor.bus}" in joined


def test_buses_are_ports_of_the_top_module() -> None:
    text = (ROOT / "hw/rtl/jc_top.v").read_text(encoding="utf-8")
    ports = set(
        re.findall(r"^ +(?:input|output) +wire +(?:\[\S+\] +)?(\w+)", text, re.MULTILINE)
    )
    assert {"aclk", "aresetn", "irq"} <= ports
    assert {port[:5] for port in ports - {"aclk", "aresetn", "irq"}} == set(BUSES)


@pytest.mark.parametrize(("board", "name"), BOARDS.items())
def test_core_and_clock_are_the_configuration(tmp_path: Path, board: str, name: str) -> None:
    done, config = dry_run(tmp_path, board), CONFIGS[name]
    values = {words[0]: words[1] for words in done.of("set_property")}
    for parameter, value in config.parameters.items():
        assert values[f"CONFIG.{parameter}"] == str(value)
    settings = [w[1].split() for w in done.of("set_property") if "FREQMHZ" in w[1]]
    pairs = dict(zip(settings[0][::2], settings[0][1::2], strict=True))
    asked = next(value for key, value in pairs.items() if key.endswith("FREQMHZ"))
    assert float(asked) * 1e6 == config.clock_hz
    assert json.loads((tmp_path / "joulecut.json").read_text()) == {
        "board": board,
        "configuration": name,
        "source": "Vivado 2025.2, after routing; power is its estimate",
        "asked_clock_hz": config.clock_hz,
        "clock_hz": config.clock_hz,
        "setup_slack_ns": 0.125,
        "hold_slack_ns": 0.031,
        "lut": 30000,
        "ff": 20000,
        "block_ram_36k": 99.5,
        "dsp": 140,
        "power_w": 1.875,
    }


def test_without_board_files_the_processor_keeps_its_crystal(tmp_path: Path) -> None:
    done = dry_run(tmp_path, get_board_parts="")
    assert not done.error
    assert "board_part" not in {words[0] for words in done.of("set_property")}
    assert any("PCW_CRYSTAL_PERIPHERAL_FREQMHZ 50" in w[1] for w in done.of("set_property"))


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"STATS__WNS": "-0.417"}, r"timing fails: setup_slack_ns is -0\.417 at 100000000 Hz"),
        ({"STATS__WHS": "-0.02"}, r"timing fails: hold_slack_ns is -0\.02 at"),
        ({"STATS__WNS": ""}, "no setup_slack_ns .*is the design's clock constrained"),
        ({"PROGRESS": "43%", "STATUS": "place_design ERROR"}, r"run synth_1 stopped at 43%"),
        ({"CONFIG.FREQ_HZ": "125000000"}, "'125000000' Hz where 100000000 Hz were asked for"),
        ({"missing_interfaces": "d_axi"}, "no interface 'd_axi' from the ports of jc_top"),
        ({"report_power": "| Power | low |"}, r"no number for Total On-Chip Power \(W\)"),
    ],
)
def test_what_goes_wrong_ends_without_a_bitstream(
    tmp_path: Path, changed: dict[str, str], message: str
) -> None:
    done = dry_run(tmp_path, **changed)
    assert re.search(message, done.error)
    assert not [words for words in done.of("launch_runs") if "write_bitstream" in words]
    assert not (tmp_path / "joulecut.bit").exists()


def test_slack_is_in_the_report_of_a_design_that_fails(tmp_path: Path) -> None:
    assert dry_run(tmp_path, STATS__WNS="-0.417").error
    assert json.loads((tmp_path / "joulecut.json").read_text())["setup_slack_ns"] == -0.417


@pytest.mark.parametrize(
    ("board", "configuration", "message"),
    [
        ("zedboard", "", "no board 'zedboard'; choose one of pynq_z2, kria_kv260, zcu104"),
        ("kria_kv260", "zu", "at least 217 block RAMs of memory and kria_kv260 has 144"),
    ],
)
def test_what_cannot_be_built_is_refused(
    tmp_path: Path, board: str, configuration: str, message: str
) -> None:
    done = dry_run(tmp_path, board, configuration)
    assert message in done.error
    assert not done.calls


def test_unknown_configurations_are_refused(tmp_path: Path) -> None:
    command = [
        "tclsh",
        str(STUB),
        str(SCRIPTS / "build.tcl"),
        "",
        "pynq_z2",
        "z7",
        str(tmp_path),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert "no configuration 'z7'; choose one of z7020, z7020-wide, zu" in done.stderr


def test_the_stub_refuses_what_vivado_would(tmp_path: Path) -> None:
    for line, message in {
        "create_project -fast x": "create_project: no option -fast",
        "get_bd_pins nothing_0/aclk": "no cell of nothing_0/aclk",
        "validate_design": 'invalid command name "validate_design"',
    }.items():
        (script := tmp_path / "script.tcl").write_text(line)
        done = subprocess.run(
            ["tclsh", str(STUB), str(script), ""], capture_output=True, text=True, check=False
        )
        assert done.returncode == 1
        assert message in done.stderr


def test_least_block_rams_count_bits() -> None:
    bits = 8 * 16 * (8192 + 10240 + 2048) + 64 * 1024
    assert least_block_rams(Z7020) == -(-bits // 36864) == 73
    assert least_block_rams(ZU) == 217
