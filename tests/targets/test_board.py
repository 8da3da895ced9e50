"""What boards say of themselves, and what a profile makes of it."""

import subprocess
from pathlib import Path

import pytest

from joulecut.targets.devices.board import FACTS_SCRIPT, Clock, clock_note, read_board

PI = """\
model Raspberry Pi 4 Model B Rev 1.4
cpu BCM2835
cores 4
system Linux 6.1.21-v8+
clock 600000 1500000 ondemand
clock 1500000 1500000 ondemand
clock 600000 1500000 ondemand
clock 600000 1500000 ondemand
"""


def test_a_board_names_itself_and_its_clocks():
    board = read_board(PI, "aarch64")
    assert board.machine == "Raspberry Pi 4 Model B Rev 1.4, 4 cores, Linux 6.1.21-v8+"
    assert board.clocks[1] == Clock(1_500_000, 1_500_000, "ondemand")
    assert len(board.clocks) == 4


@pytest.mark.parametrize(
    ("text", "machine"),
    [
        ("model \ncpu Zynq\ncores 2\nsystem Linux 5.15\n", "Zynq, 2 cores, Linux 5.15"),
        ("model\ncpu\ncores\nsystem Linux 6.6\n", "riscv64, Linux 6.6"),
        ("", "riscv64, an unknown system"),
    ],
)
def test_what_a_board_lacks_is_left_out(text: str, machine: str):
    board = read_board(text, "riscv64")
    assert board.machine == machine
    assert board.clocks == ()


def test_a_clock_that_is_none_is_passed_over():
    assert (
        read_board("clock ondemand\nclock 1 two three\nclock 5 6 ondemand x\n", "a").clocks
        == ()
    )


def test_the_note_has_clocks_before_and_after_and_says_what_moves_them():
    before = read_board(PI, "aarch64")
    after = read_board(PI.replace("600000", "1500000"), "aarch64")
    assert clock_note(before, after) == (
        "clock by the kernel's report: 600 to 1500 MHz before, 1500 MHz after, at most 1500 MHz, "
        "governor ondemand; it may change while we measure, "
        "`cpupower frequency-set -g performance` keeps it"
    )
    fixed = read_board(PI.replace("ondemand", "performance"), "aarch64")
    assert clock_note(fixed, fixed).endswith("at most 1500 MHz, governor performance")
    silent = read_board("system Linux 6\n", "x86_64")
    assert clock_note(silent, silent).startswith(
        "clock: unknown, the board's kernel reports none"
    )


def said_with(script: str) -> str:
    return subprocess.run(
        ["sh", "-c", script], capture_output=True, text=True, check=True
    ).stdout


def test_the_script_speaks_of_this_machine():
    kernel = subprocess.run(["uname", "-sr"], capture_output=True, text=True, check=True)
    assert read_board(said_with(FACTS_SCRIPT), "x").machine.endswith(kernel.stdout.strip())


def test_the_script_reads_what_linux_shows_of_a_board(tmp_path: Path):
    (tmp_path / "proc/device-tree").mkdir(parents=True)
    (tmp_path / "proc/device-tree/model").write_bytes(b"Board of the test\0")
    (tmp_path / "proc/cpuinfo").write_text("processor : 0\nmodel name : CPU 9000\n")
    for cpu in range(2):
        folder = tmp_path / f"sys/devices/system/cpu/cpu{cpu}/cpufreq"
        folder.mkdir(parents=True)
        (folder / "scaling_governor").write_text("powersave\n")
        (folder / "scaling_cur_freq").write_text(f"{600 + 400 * cpu}000\n")
        (folder / "cpuinfo_max_freq").write_text("1500000\n")
    script = FACTS_SCRIPT.replace("/proc/", f"{tmp_path}/proc/").replace(
        "/sys/", f"{tmp_path}/sys/"
    )
    board = read_board(said_with(script), "x")
    assert board.machine.startswith("Board of the test, ")
    assert board.clocks == (
        Clock(600_000, 1_500_000, "powersave"),
        Clock(1_000_000, 1_500_000, "powersave"),
    )
    (tmp_path / "proc/device-tree/model").unlink()
    assert read_board(said_with(script), "x").machine.startswith("CPU 9000, ")
