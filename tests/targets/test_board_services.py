"""What a board's server answers to PYNQ.remote, without gRPC: files, registers, three memories."""

from __future__ import annotations

import re
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from rtl_design import require

from joulecut.hw.config import Z7020
from joulecut.hw.regs import IDENTITY
from joulecut.targets.fpga.board_services import BoardServices
from joulecut.targets.fpga.processors import ZYNQ_ULTRASCALE
from joulecut.targets.fpga.simulated_board import POISON, SimulatedBoard

MANAGER = "/sys/class/fpga_manager/fpga0/firmware"
AT = ZYNQ_ULTRASCALE.registers_at


@pytest.fixture
def services() -> Iterator[BoardServices]:
    require("verilator")
    board = SimulatedBoard(Z7020, processor=ZYNQ_ULTRASCALE)
    yield BoardServices(board)
    board.close()


def ask(**fields: object) -> SimpleNamespace:
    return SimpleNamespace(**fields)


def joined(answers: Iterator[dict[str, Any]]) -> bytes:
    return b"".join(answer["data"] for answer in answers)


# Memory


def test_a_flush_takes_what_was_written_to_memory(services: BoardServices) -> None:
    name = services.allocate(ask(size=300))["buffer_id"]
    address = services.procedures["buffer.RemoteBuffer/physical_address"](ask(buffer_id=name))[
        "address"
    ]
    memory = services.board.memory[address : address + 300]
    data = bytes(i % 251 for i in range(300))
    parts = [ask(buffer_id=name, data=part) for part in (data[:200], data[200:])]
    assert services.write_buffer(parts) == {}
    assert (memory == POISON).all()
    services.flush(ask(buffer_id=name))
    assert memory.tobytes() == data


def test_an_invalidation_takes_memory_to_what_is_read(services: BoardServices) -> None:
    name = services.allocate(ask(size=300))["buffer_id"]
    before = joined(services.read_buffer(ask(buffer_id=name)))
    (address,) = services.board.buffers
    services.board.memory[address : address + 300] = np.arange(300) % 251
    assert joined(services.read_buffer(ask(buffer_id=name))) == before
    services.invalidate(ask(buffer_id=name))
    found = joined(services.read_buffer(ask(buffer_id=name)))
    assert found == bytes(i % 251 for i in range(300)) != before


@pytest.mark.parametrize("nbytes", [1, (1 << 20) - 1, 1 << 20, (1 << 20) + 1])
def test_an_answer_comes_in_chunks(services: BoardServices, nbytes: int) -> None:
    name = services.allocate(ask(size=nbytes))["buffer_id"]
    sizes = [len(answer["data"]) for answer in services.read_buffer(ask(buffer_id=name))]  # pyright: ignore[reportArgumentType]
    assert sum(sizes) == nbytes
    assert max(sizes) <= 1 << 20
    assert len(sizes) == -(-nbytes // (1 << 20))


def test_data_must_fit_their_buffer(services: BoardServices) -> None:
    name = services.allocate(ask(size=8))["buffer_id"]
    parts = [ask(buffer_id=name, data=bytes(n)) for n in (8, 1)]
    with pytest.raises(ValueError, match="data must fit the 8 bytes of the buffer, not 9"):
        services.write_buffer(parts)


def test_a_freed_buffer_has_no_name_any_more(services: BoardServices) -> None:
    first, second = (services.allocate(ask(size=8))["buffer_id"] for _ in range(2))
    services.free(ask(buffer_id=first))
    assert len(services.board.buffers) == 1
    for procedure in ("flush", "invalidate", "read", "physical_address", "freebuffer"):
        with pytest.raises(ValueError, match=f"no buffer has the name '{first}'; allocate it"):
            services.procedures[f"buffer.RemoteBuffer/{procedure}"](ask(buffer_id=first))
    assert services.allocate(ask(size=8))["buffer_id"] not in (first, second)
    with pytest.raises(MemoryError, match="make a board with more memory_bytes"):
        services.allocate(ask(size=1 << 30))


# Registers


def test_registers_are_read_and_written_by_a_range_and_an_offset(
    services: BoardServices,
) -> None:
    name = services.get_mmio(ask(base_addr=AT, length=0x10000))["mmio_id"]
    read = services.read_register
    assert read(ask(mmio_id=name, offset=0, length=4))["data"] == IDENTITY
    assert read(ask(mmio_id=name, offset=0, length=1))["data"] == IDENTITY & 0xFF
    data = (0xDEADBEEF).to_bytes(4, "little")
    services.write_register(ask(mmio_id=name, offset=0x34, data=data))
    assert read(ask(mmio_id=name, offset=0x34, length=4))["data"] == 0xDEADBEEF
    clock = services.get_mmio(ask(base_addr=0xFF5E_0000, length=0x100))["mmio_id"]
    assert clock != name
    assert read(ask(mmio_id=clock, offset=0xC0, length=4))["data"] == 0x0101_0F00


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"length": 8}, "a register must be read by 4 bytes, not 8"),
        ({"offset": 0x80}, "0xA0000080 is no register of the simulated board"),
        ({"offset": 0xFFFD}, "4 bytes at 65533 must lie in the 65536 of their range"),
        ({"mmio_id": "1"}, "no range of registers has the name '1'"),
    ],
)
def test_what_is_no_register_is_refused(
    services: BoardServices, changed: dict[str, object], message: str
) -> None:
    name = services.get_mmio(ask(base_addr=AT, length=0x10000))["mmio_id"]
    fields = {"mmio_id": name, "offset": 0, "length": 4, **changed}
    with pytest.raises(ValueError, match=message):
        services.read_register(ask(**fields))


@pytest.mark.parametrize("nbytes", [0, 2, 8])
def test_registers_are_written_whole(services: BoardServices, nbytes: int) -> None:
    name = services.get_mmio(ask(base_addr=AT, length=0x10000))["mmio_id"]
    message = f"a register must be written by 4 bytes, not {nbytes}"
    with pytest.raises(ValueError, match=message):
        services.write_register(ask(mmio_id=name, offset=0x34, data=bytes(nbytes)))


# Files


def test_the_processor_says_what_it_is(services: BoardServices) -> None:
    assert b"aarch64" in joined(services.read_file(ask(file_path="/proc/version")))
    assert services.exists_file(ask(file_path="/proc/version")) == {"exists": True}
    missing = "/proc/device-tree/family"
    assert services.exists_file(ask(file_path=missing)) == {"exists": False}
    with pytest.raises(FileNotFoundError, match=f"{missing} must be on the board, and is not"):
        services.read_file(ask(file_path=missing))


def test_a_bitstream_is_loaded_by_its_name(services: BoardServices) -> None:
    scratch = AT + 0x34
    services.board.write(scratch, 7)
    named = [ask(file_path=MANAGER, data=b"joulecut.bin")]
    message = re.escape("/lib/firmware/joulecut.bin must be on the board to be loaded")
    with pytest.raises(FileNotFoundError, match=message):
        services.write_file(named)
    parts = [ask(file_path="/lib/firmware/joulecut.bin", data=part) for part in (b"ab", b"c")]
    services.write_file(parts)
    assert joined(services.read_file(ask(file_path="/lib/firmware/joulecut.bin"))) == b"abc"
    assert services.board.read(scratch) == 7
    services.write_file(named)
    assert services.board.read(scratch) == 0
    with pytest.raises(ValueError, match="a file must have a path, and no part of one was"):
        services.write_file([])
