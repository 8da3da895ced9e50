"""Boards behind ssh: an sshd on loopback stands for the board, everything else is real."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from built_bundles import build_bundle, middle_plan, need_target, samples
from integer_graphs import NETWORKS
from loopback_sshd import Sshd, free_port, sshd
from tiny_part import SIGNATURE, build_tiny, tiny_answers, tiny_feeds

from joulecut.compiler.bundle import Bundle
from joulecut.compiler.errors import ConfigError, DeviceError
from joulecut.compiler.link_code import LinkCode
from joulecut.compiler.plan import Plan
from joulecut.targets.base import target
from joulecut.targets.cpu.build import build_part
from joulecut.targets.devices import batches, ssh_session
from joulecut.targets.devices.device import device
from joulecut.targets.devices.local import LocalDevice
from joulecut.targets.devices.native import native_arch
from joulecut.targets.devices.protocol import CODING, Signature
from joulecut.targets.devices.ssh import SshDevice
from joulecut.targets.profile import profile
from joulecut.targets.verify import verify

pytestmark = pytest.mark.tool
OTHER = "armv7" if native_arch() != "armv7" else "aarch64"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Generator[Sshd]:
    with sshd(tmp_path_factory.mktemp("sshd")) as running:
        yield running


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Builds each tiny part once."""
    folder = tmp_path_factory.mktemp("tiny")

    def made(arch: str = "native", trouble: int = 0) -> Path:
        part = folder / f"{arch}-{trouble}"
        return part if part.exists() else build_tiny(part, arch, trouble=trouble)

    return made


@contextmanager
def board(
    server: Sshd, *, cpu: int | None = None, folder: str | None = None, timeout_s: float = 60.0
) -> Generator[SshDevice]:
    """A device of the server; afterwards nothing may be left on the board."""
    config = server.config
    found = SshDevice(
        "127.0.0.1", None, server.port, None, config, cpu, folder, timeout_s=timeout_s
    )
    try:
        yield found
    finally:
        found.close()
    assert list(server.temp.iterdir()) == []


@pytest.fixture
def pi(server: Sshd) -> Generator[SshDevice]:
    with board(server) as found:
        yield found


def assert_equal(got: dict[str, np.ndarray], expected: dict[str, np.ndarray]) -> None:
    assert list(got) == list(expected)
    for name, array in expected.items():
        assert got[name].dtype == array.dtype
        np.testing.assert_array_equal(got[name], array)


def until(condition: Callable[[], bool]) -> bool:
    """Does something become true soon?"""
    for _ in range(300):
        if condition():
            return True
        time.sleep(0.1)
    return False


def running(words: str) -> list[int]:
    """Processes whose command line has some words; none that are dead and not yet waited for."""
    found: list[int] = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if words.encode() in (entry / "cmdline").read_bytes():
                found.append(int(entry.name))
        except OSError:
            continue
    return found


# --- what it computes ---------------------------------------------------------------------


@pytest.mark.parametrize("count", [1, 3, 150])
def test_every_sample_is_run(pi: SshDevice, tiny: Callable[..., Path], count: int):
    feeds = tiny_feeds(count)
    assert_equal(pi.run(tiny(), feeds, SIGNATURE), tiny_answers(feeds))


def test_every_layer_is_traced_in_the_order_of_samples(
    pi: SshDevice, tiny: Callable[..., Path]
):
    feeds = tiny_feeds(131)
    answers = tiny_answers(feeds)
    traced = pi.trace(tiny(), feeds, SIGNATURE)
    assert_equal(traced, {"double": answers["double"], "sum": answers["sum"]})


def test_progress_is_reported_per_batch(
    pi: SshDevice, tiny: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
):
    seen: list[tuple[int, int]] = []

    def note(done: int, total: int) -> None:
        seen.append((done, total))

    pi.run(tiny(), tiny_feeds(130), SIGNATURE, note)
    assert seen == [(64, 130), (128, 130), (130, 130)]
    seen.clear()
    monkeypatch.setattr(batches, "BATCH_BYTES", 100)  # four samples of 24 bytes
    pi.run(tiny(), tiny_feeds(9), SIGNATURE, note)
    assert seen == [(4, 9), (8, 9), (9, 9)]


def test_a_profile_is_measured_on_the_board(pi: SshDevice, tiny: Callable[..., Path]):
    found = pi.profile(tiny(), tiny_feeds(2), SIGNATURE, repeats=3)
    assert found.device == pi.address == f"ssh://127.0.0.1:{pi.port}"
    assert [(layer.name, layer.kind) for layer in found.layers] == [
        ("double", "Mul"),
        ("sum", "Add"),
    ]
    times = [layer.quantities["time_median"] for layer in found.layers]
    assert {(t.unit, t.provenance) for t in times} == {("ns", "measured")}
    assert "minimum and median of 3 runs" in found.notes[0]
    assert found.notes[-2].startswith("no cycles: ")
    assert found.notes[-1].startswith("clock")
    kernel = subprocess.run(["uname", "-sr"], capture_output=True, text=True, check=True)
    assert found.machine.endswith(kernel.stdout.strip())
    with pytest.raises(ConfigError, match="repeats must be at least 1, not 0"):
        pi.profile(tiny(), tiny_feeds(1), SIGNATURE, repeats=0)


@pytest.fixture(scope="module")
def coded(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Plan]:
    """The edge of `conv1d`, which codes its link."""
    need_target(native_arch())
    plan = middle_plan(NETWORKS["conv1d"]())
    part = tmp_path_factory.mktemp("coded")
    code = LinkCode(plan.link.specs, (None,) * len(plan.link.specs), "best")
    build_part(plan.edge.graph, target(native_arch()), part, link=code)
    return part, plan


def test_a_built_part_does_what_it_does_here(pi: SshDevice, coded: tuple[Path, Plan]):
    part, plan = coded
    signature = Signature.of(plan.edge.graph, plan.link.specs)
    feeds = samples(plan.whole, 5)
    here = LocalDevice()
    assert_equal(pi.run(part, feeds, signature), here.run(part, feeds, signature))
    assert_equal(pi.trace(part, feeds, signature), here.trace(part, feeds, signature))
    sent, expected = pi.send(part, feeds, signature), here.send(part, feeds, signature)
    assert sent.frames == expected.frames
    assert_equal(sent.outputs, expected.outputs)
    team = replace(pi, threads=2)
    assert_equal(team.trace(part, feeds, signature), here.trace(part, feeds, signature))
    assert team.profile(part, feeds, signature, repeats=1).device.endswith(",threads=2")
    team.close()
    found = pi.profile(part, feeds, signature, repeats=2)
    assert [layer.name for layer in found.layers][-1] == CODING[0]
    assert all(layer.quantities["time_min"].value > 0 for layer in found.layers)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return build_bundle(
        "conv1d", tmp_path_factory.mktemp("bundle") / "m.bundle", edge=native_arch()
    )


def test_an_address_serves_to_verify_and_to_profile(server: Sshd, bundle: Bundle):
    report = verify(bundle, [server.address])
    assert report.first_divergence is None
    assert {row.part for row in report.results} >= {"edge", "split"}
    found = profile(bundle, device=server.address, repeats=2)
    assert found.device == f"ssh://127.0.0.1:{server.port}"
    assert found.total()["time_min"].provenance == "measured"
    place = device(server.address)
    assert isinstance(place, SshDevice)
    place.close()
    assert list(server.temp.iterdir()) == []


# --- what it leaves -----------------------------------------------------------------------


def test_one_connection_and_one_copy_of_the_program_serve_all_calls(
    server: Sshd, pi: SshDevice, tiny: Callable[..., Path]
):
    before = server.logins
    pi.check()
    pi.run(tiny(), tiny_feeds(1), SIGNATURE)
    (folder,) = server.temp.iterdir()
    (program,) = folder.glob("model-*")
    written = program.stat().st_mtime_ns
    pi.run(tiny(), tiny_feeds(130), SIGNATURE)
    pi.profile(tiny(), tiny_feeds(1), SIGNATURE, repeats=1)
    assert program.stat().st_mtime_ns == written
    assert pi.arch == native_arch()
    assert server.logins == before + 1
    assert folder.stat().st_mode & 0o077 == 0  # what crosses is nobody else's to read
    pi.close()
    assert list(server.temp.iterdir()) == []
    pi.run(tiny(), tiny_feeds(1), SIGNATURE)
    assert server.logins == before + 2


def test_threads_share_a_board(pi: SshDevice, tiny: Callable[..., Path]):
    def one(seed: int) -> None:
        feeds = tiny_feeds(5, seed)
        assert_equal(pi.run(tiny(), feeds, SIGNATURE), tiny_answers(feeds))

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(one, range(8)))


def test_an_interrupt_leaves_nothing(server: Sshd, pi: SshDevice, tiny: Callable[..., Path]):
    def interrupt(_done: int, _total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        pi.run(tiny(), tiny_feeds(1), SIGNATURE, interrupt)
    assert list(server.temp.iterdir()) == []


def test_a_program_that_does_not_end_is_killed(server: Sshd, tiny: Callable[..., Path]):
    with board(server, timeout_s=2) as pi:
        text = (
            r"samples 0..1: a program on 127.0.0.1:\d+ must end within 2 s, and did not; give"
        )
        with pytest.raises(DeviceError, match=text):
            pi.run(tiny(trouble=1), tiny_feeds(2), SIGNATURE)
        assert list(server.temp.iterdir()) == []
        assert until(lambda: running("./model-") == [])
        feeds = tiny_feeds(2)
        assert_equal(pi.run(tiny(), feeds, SIGNATURE), tiny_answers(feeds))


ENDLESS = """
import sys
from pathlib import Path
from tiny_part import SIGNATURE, tiny_feeds
from joulecut.targets.devices.device import device
device(sys.argv[1]).run(Path(sys.argv[2]), tiny_feeds(1), SIGNATURE)
"""


@pytest.mark.parametrize("ending", [signal.SIGKILL, signal.SIGTERM])
def test_the_board_cleans_up_after_us_however_we_end(
    server: Sshd, tiny: Callable[..., Path], ending: signal.Signals
):
    here = str(Path(__file__).parent.parent)
    command = [sys.executable, "-c", ENDLESS, server.address, str(tiny(trouble=1))]
    with tempfile.TemporaryDirectory() as ours:  # what stays of it here is an empty folder
        environment = {**os.environ, "PYTHONPATH": here, "TMPDIR": ours}
        with subprocess.Popen(command, env=environment) as process:
            assert until(lambda: running("./model-") != [])
            process.send_signal(ending)
    assert until(lambda: list(server.temp.iterdir()) == [])
    assert until(lambda: running("./model-") == [])


def test_a_lost_connection_is_noticed_and_made_again(
    server: Sshd, pi: SshDevice, tiny: Callable[..., Path]
):
    feeds = tiny_feeds(1)
    pi.run(tiny(), feeds, SIGNATURE)
    cut_the_line(server)
    assert until(lambda: list(server.temp.iterdir()) == [])
    assert_equal(pi.run(tiny(), feeds, SIGNATURE), tiny_answers(feeds))


def test_a_connection_that_breaks_during_a_run_is_told(
    server: Sshd, pi: SshDevice, tiny: Callable[..., Path]
):
    with ThreadPoolExecutor(1) as pool:
        run = pool.submit(pi.run, tiny(trouble=1), tiny_feeds(1), SIGNATURE)
        assert until(lambda: running("./model-") != [])
        cut_the_line(server)
        with pytest.raises(
            DeviceError, match=r"connection to 127.0.0.1:\d+ must hold, and broke"
        ):
            run.result()
    assert until(lambda: list(server.temp.iterdir()) == [])
    assert until(lambda: running("./model-") == [])


def cut_the_line(server: Sshd) -> None:
    """Kill the client that has the connection."""
    shared = running("ControlMaster=yes")
    ours = [p for p in shared if f"-p\0{server.port}" in Path(f"/proc/{p}/cmdline").read_text()]
    assert len(ours) == 1
    os.kill(ours[0], signal.SIGKILL)


# --- what it says when it cannot ----------------------------------------------------------


def test_what_a_program_says_is_shown(server: Sshd, pi: SshDevice, tiny: Callable[..., Path]):
    feeds = tiny_feeds(3)
    with pytest.raises(
        DeviceError,
        match=r"samples 0..2: model on 127.0.0.1:\d+ must exit with 0, not 4; it said:\n"
        r"model_run did not return 0",
    ):
        pi.run(tiny(trouble=3), feeds, SIGNATURE)
    assert list(server.temp.iterdir()) == []
    with pytest.raises(DeviceError, match=r"must end by itself, not by SIGSEGV; it said"):
        pi.run(tiny(trouble=2), feeds, SIGNATURE)
    with pytest.raises(DeviceError, match=r"3 records must be 36 bytes, not 33; the part was"):
        pi.run(tiny(trouble=4), feeds, SIGNATURE)


def test_a_missing_instruction_is_explained(
    pi: SshDevice, tiny: Callable[..., Path], tmp_path: Path
):
    part = shutil.copytree(tiny(), tmp_path / "part")
    (tmp_path / "m.c").write_text(
        "#include <signal.h>\nint main(void) { return raise(SIGILL); }"
    )
    subprocess.run(["gcc", "-o", part / "model", tmp_path / "m.c"], check=True)
    text = r"not by SIGILL; the processor there lacks what the part was built for; it said"
    with pytest.raises(DeviceError, match=text):
        pi.run(part, tiny_feeds(1), SIGNATURE)


def test_a_file_that_is_not_written_is_missed(pi: SshDevice, tiny: Callable[..., Path]):
    linked = Signature(SIGNATURE.inputs, SIGNATURE.outputs, SIGNATURE.outputs)
    with pytest.raises(
        DeviceError, match=r"program must write output link, and did not; build"
    ):
        pi.send(tiny(), tiny_feeds(1), linked)


def test_a_part_for_another_architecture_is_refused(pi: SshDevice, tiny: Callable[..., Path]):
    text = (
        rf"model must be built for {native_arch()}, which 127.0.0.1:\d+ is, not {OTHER}; build"
    )
    with pytest.raises(DeviceError, match=text):
        pi.run(tiny(OTHER), tiny_feeds(1), SIGNATURE)


@contextmanager
def pretending(folder: Path, **scripts: str) -> Generator[Sshd]:
    """A board on which some programs do something else, or are missing if their text is empty."""
    tools = folder / "tools"
    tools.mkdir()
    for place in ("/usr/bin", "/bin"):
        for path in Path(place).iterdir():
            if not (tools / path.name).exists() and path.name not in scripts:
                (tools / path.name).symlink_to(path)
    for name, text in scripts.items():
        if text:
            (tools / name).write_text(f"#!/bin/sh\n{text}\n")
            (tools / name).chmod(0o755)
    with sshd(folder / "sshd", {"PATH": str(tools)}) as running_server:
        yield running_server


@pytest.mark.parametrize(("bits", "arch"), [("64", "aarch64"), ("32", "armv7")])
def test_a_kernel_of_64_bits_may_carry_a_system_of_32(
    tmp_path: Path, tiny: Callable[..., Path], bits: str, arch: str
):
    if native_arch() != "x86_64":
        pytest.skip("this machine can be the board that is only pretended here")
    other = {"aarch64": "armv7", "armv7": "aarch64"}[arch]
    with (
        pretending(tmp_path, uname="echo aarch64", getconf=f"echo {bits}") as server,
        board(server) as pi,
    ):
        assert pi.arch == arch
        text = rf"must be built for {arch}, not {other}: .* has a kernel that starts no {other}"
        with pytest.raises(DeviceError, match=text):
            pi.run(tiny(other), tiny_feeds(1), SIGNATURE)
        with pytest.raises(
            DeviceError, match=rf"be built for {arch}, which .* not x86_64; build"
        ):
            pi.run(tiny(), tiny_feeds(1), SIGNATURE)


@pytest.mark.parametrize(
    ("file", "what"),
    [("model-", r"a program of \d+ B"), ("input", r"12 B of samples and what")],
)
def test_a_full_disk_is_named(tmp_path: Path, tiny: Callable[..., Path], file: str, what: str):
    full = (
        f'case "$(readlink /proc/$$/fd/1)" in */{file}*) '
        "echo 'cat: write error: No space left on device' >&2; exit 1;; esac; "
        'exec /bin/cat "$@"'
    )
    with pretending(tmp_path, cat=full) as server, board(server) as pi:
        text = (
            rf"127.0.0.1:\d+ must have room for {what}.* in /.*, and has not; make room there, "
        )
        with pytest.raises(DeviceError, match=text + r"or .* dir=FOLDER; it said:\ncat: write"):
            pi.run(tiny(), tiny_feeds(1), SIGNATURE)


def test_a_core_is_pinned_where_the_board_can(
    server: Sshd, tmp_path: Path, tiny: Callable[..., Path]
):
    feeds = tiny_feeds(1)
    if shutil.which("taskset") is None:
        pytest.skip("taskset is not installed (Debian: util-linux)")
    core = min(os.sched_getaffinity(0))
    with board(server, cpu=core) as pi:
        assert pi.address.endswith(f",cpu={core}")
        found = pi.profile(tiny(), feeds, SIGNATURE, repeats=1)
        assert found.notes[-1] == f"pinned to core {core}"
    with (
        board(server, cpu=99999) as pi,
        pytest.raises(DeviceError, match=r"not 1; it said:\n.*affinity: Invalid argument"),
    ):
        pi.run(tiny(), feeds, SIGNATURE)
    with pretending(tmp_path, taskset="") as bare, board(bare, cpu=core) as pi:
        found = pi.profile(tiny(), feeds, SIGNATURE, repeats=1)
        assert found.notes[-1] == f"not pinned to core {core}: the board has no taskset"


def refused(place: SshDevice) -> str:
    with pytest.raises(DeviceError) as caught:
        place.check()
    return str(caught.value)


def test_a_board_that_does_not_let_us_in_is_told_with_a_way_out(
    server: Sshd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    config = server.config
    absent = free_port()
    text = refused(SshDevice("127.0.0.1", port=absent, config=config))
    assert text.startswith(f"127.0.0.1:{absent} must let ssh in, and does not: ssh: connect to")
    assert "Connection refused; check that the board is on" in text
    text = refused(SshDevice("no-such-host.invalid", config=config))
    assert "Could not resolve hostname" in text
    assert text.endswith("; check the name")
    stranger = tmp_path / "client"
    stranger.write_text(config.read_text().replace("known", "absent"))
    text = refused(SshDevice("127.0.0.1", port=server.port, config=stranger))
    assert text.endswith("failed.; connect once by hand and compare the key of the host")
    subprocess.run(
        ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", tmp_path / "key"], check=True
    )
    locked = tmp_path / "locked"
    locked.write_text(f"Host *\n  UserKnownHostsFile {config.parent}/known\n")
    text = refused(
        SshDevice("127.0.0.1", port=server.port, config=locked, identity=tmp_path / "key")
    )
    assert "Permission denied (publickey" in text
    assert text.endswith("put your key there (`ssh-copy-id`), or name it with identity=FILE")
    text = refused(
        SshDevice("127.0.0.1", port=server.port, config=config, folder="/no/such/folder")
    )
    assert text.endswith("make room there, or name another folder with dir=FOLDER")
    monkeypatch.setenv("PATH", "/nonexistent")
    text = refused(SshDevice("127.0.0.1", port=server.port, config=config))
    assert text == (
        "ssh must be installed to reach a board, and is not; install Debian's openssh-client"
    )


def test_a_board_that_says_nothing_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(ssh_session, "LOGIN_TIMEOUT_S", 1.0)
    monkeypatch.setattr(ssh_session, "CLOSE_TIMEOUT_S", 0.1)
    with pretending(tmp_path, mktemp="exec sleep 5") as server, board(server) as pi:
        assert "does not: no answer within 1 s; check that the board is on" in refused(pi)


def test_an_identity_is_used(server: Sshd, tmp_path: Path):
    bare = tmp_path / "client"
    bare.write_text(f"Host *\n  UserKnownHostsFile {server.config.parent}/known\n")
    key = server.config.parent / "user"
    address = f"ssh://127.0.0.1:{server.port},identity={key},config={bare}"
    place = device(address)
    place.check()
    assert isinstance(place, SshDevice)
    place.close()


def test_a_login_shell_may_greet(tmp_path: Path, tiny: Callable[..., Path]):
    """What `sh` is on the board writes first, as a careless profile does."""
    greeting = "echo 'Welcome!'; echo; exec /bin/sh \"$@\""
    with pretending(tmp_path, sh=greeting) as server, board(server) as pi:
        feeds = tiny_feeds(3)
        assert_equal(pi.run(tiny(), feeds, SIGNATURE), tiny_answers(feeds))


def test_a_folder_with_an_odd_name_is_only_a_name(
    server: Sshd, tmp_path: Path, tiny: Callable[..., Path]
):
    folder = tmp_path / "a b'c\"$(touch planted);touch planted"
    folder.mkdir()
    feeds = tiny_feeds(2)
    with board(server, folder=str(folder)) as pi:
        assert_equal(pi.run(tiny(), feeds, SIGNATURE), tiny_answers(feeds))
        assert [path.name.startswith("joulecut-") for path in folder.iterdir()] == [True]
    assert list(folder.iterdir()) == []
    assert not list(tmp_path.rglob("planted"))
    assert not (Path.home() / "planted").exists()


@pytest.mark.parametrize(
    ("address", "text"),
    [
        ("ssh://", r"host of ssh must be a name or an address, not ''"),
        ("ssh://-oProxyCommand=sh", r"host of ssh must be .*, not '-oProxyCommand=sh'"),
        ("ssh://-l@pi", r"user of ssh must be letters, .* the first no '-', not '-l'"),
        ("ssh://a;b@pi", r"user of ssh must be letters, .*, not 'a;b'"),
        ("ssh://@pi", r"user of ssh must be letters, .*, not ''"),
        ("ssh://pi$(id)", r"host of ssh must be a name or an address, not 'pi\$\(id\)'"),
        ("ssh://pi board", r"host of ssh must be .*, not 'pi board'"),
        ("ssh://pi\n", r"host of ssh must be .*, not 'pi"),
        ("ssh://[::1", r"host of ssh must be .*, not '\[::1'"),
        ("ssh://[::1]x", r"host of ssh must be .*, not '\[::1\]x'"),
        ("ssh://pi:0", r"port of ssh must be in 1..65535, not 0"),
        ("ssh://pi:", r"port in device 'ssh://pi:' must be a number, not ''"),
        ("ssh://pi,cpu=-1", r"cpu of ssh must be the number of a core, not -1"),
        ("ssh://pi,cpu=one", r"cpu in device '.*' must be a number, not 'one'"),
        ("ssh://pi,threads=0", r"threads of ssh must be at least 1, not 0"),
        ("ssh://pi,cpu=1,threads=2", r"cpu of ssh must not be given with 2 threads: it is one"),
        ("ssh://pi,dir=tmp", r"dir of ssh must begin with '/', not 'tmp'"),
        ("ssh://pi,timeout=0", r"timeout of ssh must be positive, not 0.0"),
        ("ssh://pi,timeout=inf", r"timeout in device '.*' must be a number, not 'inf'"),
        ("ssh://pi,timeout=1,timeout=2", r"device must be `local` or .*timeout=2'"),
        ("ssh://pi,speed=9", r"device must be `local` or .*, not 'ssh://pi,speed=9'"),
        ("ssh://pi,identity=/no/key", r"identity of ssh must be a file, not '/no/key'"),
        ("ssh://pi,config=/no/config", r"config of ssh must be a file, not '/no/config'"),
    ],
)
def test_addresses_that_name_no_board(address: str, text: str):
    with pytest.raises(ConfigError, match=text):
        device(address)


def test_addresses_are_parsed_and_shown():
    assert device("ssh://me@pi:2222,cpu=3,dir=/data,timeout=2.5") == SshDevice(
        "pi", "me", 2222, cpu=3, folder="/data", timeout_s=2.5
    )
    assert device("ssh://me@pi:2222,cpu=3,timeout=9").address == "ssh://me@pi:2222,cpu=3"
    assert device("ssh://[fe80::1%eth0]:22").address == "ssh://[fe80::1%eth0]:22"
    assert device("ssh://pi.local") == SshDevice("pi.local")
    assert device("ssh://pi,threads=4") == SshDevice("pi", threads=4)
    assert SshDevice("pi", threads=4).address == "ssh://pi,threads=4"
