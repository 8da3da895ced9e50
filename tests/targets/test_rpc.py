"""Boards behind a TVM RPC tracker: tracker and servers on loopback stand for them."""

import json
import shutil
import socket
import subprocess
import threading
from collections.abc import Callable, Generator
from pathlib import Path

import numpy as np
import pytest
from built_bundles import build_bundle, middle_plan, need_target, samples
from integer_graphs import NETWORKS
from loopback_sshd import free_port
from loopback_tvm import tracker
from tiny_part import LAYERS, SIGNATURE, SOURCE, build_tiny, tiny_answers, tiny_feeds

from joulecut.compiler.errors import ConfigError, DeviceError
from joulecut.compiler.link_code import LinkCode
from joulecut.compiler.plan import Plan
from joulecut.targets.base import target, targets
from joulecut.targets.cpu.build import build_part
from joulecut.targets.cpu.rpc_client import RemoteBoard
from joulecut.targets.cpu.toolchains import compiler
from joulecut.targets.devices import batches, rpc
from joulecut.targets.devices.device import device
from joulecut.targets.devices.elf import machine
from joulecut.targets.devices.local import LocalDevice
from joulecut.targets.devices.native import native_arch
from joulecut.targets.devices.protocol import CODING, Signature
from joulecut.targets.devices.rpc import TRUST, RpcDevice
from joulecut.targets.devices.rpc_library import rpc_library
from joulecut.targets.verify import verify

pytestmark = [
    pytest.mark.tool,
    pytest.mark.filterwarnings("ignore:rpc is for trusted networks only:UserWarning"),
]
OTHER = "armv7" if native_arch() != "armv7" else "aarch64"


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Generator[int]:
    with tracker(tmp_path_factory.mktemp("rpc"), "board", "fragile") as running:
        yield running


@pytest.fixture(scope="module")
def board(port: int) -> RpcDevice:
    return RpcDevice("127.0.0.1", port, "board", timeout_s=120)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Builds each tiny part once."""
    folder = tmp_path_factory.mktemp("tiny")

    def made(arch: str = "native", trouble: int = 0) -> Path:
        part = folder / f"{arch}-{trouble}"
        return part if part.exists() else build_tiny(part, arch, trouble=trouble)

    return made


def assert_equal(got: dict[str, np.ndarray], expected: dict[str, np.ndarray]) -> None:
    assert list(got) == list(expected)
    for name, array in expected.items():
        assert got[name].dtype == array.dtype
        np.testing.assert_array_equal(got[name], array)


# --- what it computes ---------------------------------------------------------------------


def test_every_sample_is_run_and_traced(board: RpcDevice, tiny: Callable[..., Path]):
    feeds = tiny_feeds(130)
    answers = tiny_answers(feeds)
    seen: list[tuple[int, int]] = []

    def note(done: int, total: int) -> None:
        seen.append((done, total))

    assert_equal(board.run(tiny(), feeds, SIGNATURE, note), answers)
    assert seen == [(64, 130), (128, 130), (130, 130)]
    traced = board.trace(tiny(), feeds, SIGNATURE)
    assert_equal(traced, {"double": answers["double"], "sum": answers["sum"]})


def test_batches_are_small_where_samples_are_large(
    board: RpcDevice, tiny: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(batches, "BATCH_BYTES", 150)  # four samples of 12 + 12 + 12 bytes
    seen: list[int] = []
    feeds = tiny_feeds(9)
    traced = board.trace(tiny(), feeds, SIGNATURE, lambda done, _: seen.append(done))
    assert seen == [4, 8, 9]
    np.testing.assert_array_equal(traced["sum"], tiny_answers(feeds)["sum"])


def test_a_profile_is_measured_inside_the_server(board: RpcDevice, tiny: Callable[..., Path]):
    found = board.profile(tiny(), tiny_feeds(2), SIGNATURE, repeats=4)
    assert found.device == board.address == f"rpc://127.0.0.1:{board.port}/board"
    assert [(layer.name, layer.kind) for layer in found.layers] == [
        ("double", "Mul"),
        ("sum", "Add"),
    ]
    times = [layer.quantities["time_min"] for layer in found.layers]
    assert {(t.unit, t.provenance) for t in times} == {("ns", "measured")}
    assert found.notes[0].startswith("measured with CLOCK_MONOTONIC; minimum and median of 4")
    assert found.notes[2].startswith(
        ("cycles: ", "no cycles: perf_event_open: ", "no cycles: the")
    )
    assert found.notes[-1] == TRUST
    assert found.machine.endswith(", a TVM RPC server")
    with pytest.raises(ConfigError, match="repeats must be at least 1, not 0"):
        board.profile(tiny(), tiny_feeds(1), SIGNATURE, repeats=0)


@pytest.fixture(scope="module")
def coded(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Plan]:
    """The edge of `conv1d`, which codes its link."""
    need_target(native_arch())
    plan = middle_plan(NETWORKS["conv1d"]())
    part = tmp_path_factory.mktemp("coded")
    code = LinkCode(plan.link.specs, (None,) * len(plan.link.specs), "best")
    build_part(plan.edge.graph, target(native_arch()), part, link=code)
    return part, plan


def test_a_built_part_does_what_it_does_here(board: RpcDevice, coded: tuple[Path, Plan]):
    part, plan = coded
    signature = Signature.of(plan.edge.graph, plan.link.specs)
    feeds = samples(plan.whole, 70)
    here = LocalDevice()
    assert_equal(board.run(part, feeds, signature), here.run(part, feeds, signature))
    assert_equal(board.trace(part, feeds, signature), here.trace(part, feeds, signature))
    sent, expected = board.send(part, feeds, signature), here.send(part, feeds, signature)
    assert sent.frames == expected.frames
    assert_equal(sent.outputs, expected.outputs)
    found = board.profile(part, feeds, signature, repeats=2)
    assert [layer.name for layer in found.layers][-1] == CODING[0]
    assert all(layer.quantities["time_min"].value > 0 for layer in found.layers)


def test_an_address_serves_to_verify(port: int, tmp_path: Path):
    bundle = build_bundle("two_inputs", tmp_path / "m.bundle", edge=native_arch())
    report = verify(bundle, [f"rpc://127.0.0.1:{port}/board,timeout=120"])
    assert report.first_divergence is None
    assert {row.part for row in report.results} >= {"edge", "split"}


def test_whoever_connects_is_warned(board: RpcDevice):
    rpc.warn_once.cache_clear()
    with pytest.warns(UserWarning, match="rpc is for trusted networks only: a TVM RPC server"):
        board.check()
    assert board.arch == native_arch()


@pytest.mark.parametrize("name", [place.name for place in targets()])
def test_the_wrapper_compiles_for_every_target(name: str, tmp_path: Path):
    need_target(name)
    place, part = target(name), tmp_path
    flags = [*place.toolchain.cflags, "-O1", "-shared", "-fPIC"]
    command = [compiler(place), *flags, "-o", part / "libmodel.so", SOURCE]
    subprocess.run(command, check=True)
    (part / "layers.json").write_text(json.dumps({"target": name, "layers": LAYERS}))
    with rpc_library(part) as (library, wrapper):
        assert library.read_bytes() == (part / "libmodel.so").read_bytes()
        assert machine(wrapper) == place.arch
        said = subprocess.run(
            ["readelf", "-d", wrapper], capture_output=True, text=True, check=True
        ).stdout
    assert "[libmodel.so]" in said
    assert "[$ORIGIN]" in said
    assert "tvm" not in said  # libc is all that a board must have


# --- what it says when it cannot ----------------------------------------------------------


def test_what_a_part_does_wrong_is_named(board: RpcDevice, tiny: Callable[..., Path]):
    feeds = tiny_feeds(2)
    with pytest.raises(DeviceError, match=r"model_run at rpc://.*/board must return 0, not 7"):
        board.run(tiny(trouble=3), feeds, SIGNATURE)
    with pytest.raises(
        DeviceError, match=r"must show the layers of layers.json, and shows oth"
    ):
        board.trace(tiny(trouble=5), feeds, SIGNATURE)
    linked = Signature(SIGNATURE.inputs, SIGNATURE.outputs, SIGNATURE.outputs)
    with pytest.raises(DeviceError, match=r"must code its link, and does not; build the part"):
        board.send(tiny(), feeds, linked)
    with pytest.raises(DeviceError, match=r"must code its link, and does not; build the part"):
        board.profile(tiny(), feeds, linked)


def test_a_part_that_is_not_what_its_report_says_is_refused(
    board: RpcDevice, tiny: Callable[..., Path], tmp_path: Path
):
    part = shutil.copytree(tiny(), tmp_path / "part")
    (part / "layers.json").write_text(json.dumps({"layers": LAYERS[:1]}))
    with pytest.raises(
        DeviceError, match=r"must be called as layers.json and the signature say"
    ):
        board.profile(part, tiny_feeds(1), SIGNATURE)
    library = bytearray((part / "libmodel.so").read_bytes())
    library[18:20] = (20).to_bytes(2, "little")  # PowerPC
    (part / "libmodel.so").write_bytes(library)
    with pytest.raises(DeviceError, match=r"built for a known target, not for machine 20"):
        board.run(part, tiny_feeds(1), SIGNATURE)


def test_a_server_without_llvm_runs_parts_but_cannot_say_what_it_is(
    board: RpcDevice, tiny: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
):
    def silent(_board: RemoteBoard) -> str:
        return ""

    monkeypatch.setattr(RemoteBoard, "triple", silent)
    monkeypatch.setattr(RemoteBoard, "cpu", silent)
    feeds = tiny_feeds(2)
    assert_equal(board.run(tiny(), feeds, SIGNATURE), tiny_answers(feeds))
    found = board.profile(tiny(), feeds, SIGNATURE, repeats=1)
    assert found.machine == "unknown processor, a TVM RPC server"
    with pytest.raises(
        DeviceError, match=r"must have TVM's LLVM to say what it is, and has not"
    ):
        assert board.arch
    with pytest.raises(
        DeviceError, match=r"must run the part, and did not: .*Failed to load dynamic"
    ):
        board.run(tiny(OTHER), feeds, SIGNATURE)


def test_a_part_for_another_architecture_is_refused(
    board: RpcDevice, tiny: Callable[..., Path]
):
    text = rf"libmodel.so must be built for {native_arch()}, which the server .* not {OTHER};"
    with pytest.raises(DeviceError, match=text):
        board.run(tiny(OTHER), tiny_feeds(1), SIGNATURE)


def test_a_key_that_nobody_has_is_told_with_those_that_there_are(port: int):
    text = r"must name a board that the tracker knows \(board(, fragile)?\), not 'pi'; start there: `python"
    with pytest.raises(DeviceError, match=text):
        RpcDevice("127.0.0.1", port, "pi").check()


def test_a_board_in_use_is_waited_for(port: int, board: RpcDevice, tiny: Callable[..., Path]):
    """While one call has the only board, another waits, and gives up after its time."""
    impatient = RpcDevice("127.0.0.1", port, "board", timeout_s=0.5)
    refusals: list[str] = []

    def ask(_done: int, _total: int) -> None:
        with pytest.raises(DeviceError) as caught:
            impatient.check()
        refusals.append(str(caught.value))

    board.run(tiny(), tiny_feeds(1), SIGNATURE, ask)
    assert len(refusals) == 1
    assert refusals[0].endswith(
        "must become free within 0.5 s, and did not; wait for who uses it, or give a longer timeout"
    )


def test_a_part_that_does_not_end_is_ended_and_the_board_stays(
    port: int, board: RpcDevice, tiny: Callable[..., Path]
):
    short = RpcDevice("127.0.0.1", port, "board", timeout_s=3)
    text = (
        r"a session at rpc://.*/board must end within 3 s, and did not; give a longer timeout"
    )
    with pytest.raises(DeviceError, match=text):
        short.run(tiny(trouble=1), tiny_feeds(1), SIGNATURE)
    feeds = tiny_feeds(1)
    assert_equal(board.run(tiny(), feeds, SIGNATURE), tiny_answers(feeds))


def test_a_part_that_crashes_takes_the_server_along(port: int, tiny: Callable[..., Path]):
    fragile = RpcDevice("127.0.0.1", port, "fragile", timeout_s=60)
    text = r"must run the part, and did not: the part's code ended the server's process; is it"
    with pytest.raises(DeviceError, match=text):
        fragile.run(tiny(trouble=2), tiny_feeds(1), SIGNATURE)


def test_what_is_no_tracker_is_told():
    port = free_port()
    text = (
        rf"a TVM RPC tracker must answer at 127.0.0.1:{port}, and does not: Connection refused"
    )
    with pytest.raises(DeviceError, match=text):
        RpcDevice("127.0.0.1", port, "board").check()
    with socket.create_server(("127.0.0.1", 0)) as other:

        def greet() -> None:
            connection, _ = other.accept()
            with connection:
                connection.sendall(b"220 smtp\r\n")

        thread = threading.Thread(target=greet)
        thread.start()
        port = other.getsockname()[1]
        with pytest.raises(
            DeviceError, match=rf"127.0.0.1:{port} must be a TVM RPC tracker, not"
        ):
            RpcDevice("127.0.0.1", port, "board").check()
        thread.join()


@pytest.mark.parametrize(
    ("address", "text"),
    [
        (
            "rpc://pi/board",
            r"device must be `local` or .*`rpc://HOST:PORT/KEY.*'rpc://pi/board'",
        ),
        ("rpc://pi:9190", r"device must be `local` or .*, not 'rpc://pi:9190'"),
        ("rpc://pi:9190/", r"key of rpc must be letters, digits, .*, not ''"),
        ("rpc://pi:9190/a b -timeout=1", r"key of rpc must be .*, not 'a b -timeout=1'"),
        ("rpc://pi:9190/a/b", r"key of rpc must be .*, not 'a/b'"),
        ("rpc://-pi:9190/a", r"host of rpc must be a name or an address, not '-pi'"),
        ("rpc://pi:99999/a", r"port of rpc must be in 1..65535, not 99999"),
        ("rpc://pi:x/a", r"port in device 'rpc://pi:x/a' must be a number, not 'x'"),
        ("rpc://pi:9190/a,timeout=-1", r"timeout of rpc must be positive, not -1.0"),
        ("rpc://pi:9190/a,cpu=1", r"device must be `local` or .*, not 'rpc://pi:9190/a,cpu=1'"),
    ],
)
def test_addresses_that_name_no_board(address: str, text: str):
    with pytest.raises(ConfigError, match=text):
        device(address)


def test_addresses_are_parsed_and_shown():
    assert device("rpc://pi:9190/pi4,timeout=30") == RpcDevice("pi", 9190, "pi4", 30.0)
    assert device("rpc://[::1]:9190/pi4").address == "rpc://[::1]:9190/pi4"
