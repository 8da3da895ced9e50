"""Devices run real programs: natively through ctypes, and aarch64 and armv7 under QEMU."""

import dataclasses
import json
import os
import shutil
import subprocess
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tiny_part import (
    SIGNATURE,
    build_tiny,
    need_emulator,
    tiny_answers,
    tiny_feeds,
)

from joulecut.compiler.errors import ConfigError, DeviceError, UntrustedInputError
from joulecut.compiler.quant import QType, TensorSpec
from joulecut.targets.base import Target, target, targets
from joulecut.targets.devices.device import device, device_for
from joulecut.targets.devices.elf import machine, symbol_address
from joulecut.targets.devices.local import LocalDevice
from joulecut.targets.devices.native import missing_features, native_arch, runs_here
from joulecut.targets.devices.plugin import CacheModel
from joulecut.targets.devices.qemu import QemuDevice, models
from joulecut.targets.devices.records import check_feeds, from_records, read_layers, to_records

FOREIGN = ("aarch64", "armv7")


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> "Parts":
    return Parts(tmp_path_factory.mktemp("parts"))


class Parts:
    """Built once per module and kind of trouble."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __call__(self, arch: str = "native", trouble: int = 0, work: int = 0) -> Path:
        folder = self.folder / f"{arch}-{trouble}-{work}"
        return (
            folder if folder.exists() else build_tiny(folder, arch, trouble=trouble, work=work)
        )


def assert_equal(got: dict[str, np.ndarray], expected: dict[str, np.ndarray]) -> None:
    assert set(got) == set(expected)
    for name, array in expected.items():
        assert got[name].dtype == array.dtype
        np.testing.assert_array_equal(got[name], array)


# --- local --------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [1, 2, 65])
def test_local_runs_every_sample(parts: Parts, count: int):
    feeds = tiny_feeds(count)
    assert_equal(LocalDevice().run(parts(), feeds, SIGNATURE), tiny_answers(feeds))


def test_local_traces_every_layer_in_order(parts: Parts):
    feeds = tiny_feeds(5)
    traced = LocalDevice().trace(parts(), feeds, SIGNATURE)
    assert list(traced) == ["double", "sum"]
    assert_equal(traced, tiny_answers(feeds))


def test_local_accepts_strided_inputs(parts: Parts):
    feeds = tiny_feeds(8)
    strided = {name: array[::-2] for name, array in feeds.items()}
    assert_equal(LocalDevice().run(parts(), strided, SIGNATURE), tiny_answers(strided))


def test_local_runs_in_threads_side_by_side(parts: Parts):
    def one(seed: int) -> None:
        feeds = tiny_feeds(200, seed)
        assert_equal(LocalDevice().run(parts(), feeds, SIGNATURE), tiny_answers(feeds))
        assert_equal(LocalDevice().trace(parts(), feeds, SIGNATURE), tiny_answers(feeds))

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(one, range(8)))


def test_local_lets_go_of_the_interpreter_while_the_part_runs(parts: Parts):
    slow = parts(work=300_000_000)
    turns = 0
    worker = threading.Thread(target=LocalDevice().run, args=(slow, tiny_feeds(1), SIGNATURE))
    worker.start()
    while worker.is_alive():
        turns += 1
        time.sleep(0.005)
    assert turns > 5  # a held lock would let this thread turn once or twice


def test_local_sees_that_a_part_was_built_again(tmp_path: Path):
    feeds = tiny_feeds(1)
    part = build_tiny(tmp_path / "part")
    LocalDevice().run(part, feeds, SIGNATURE)
    shutil.rmtree(part)
    build_tiny(part, trouble=3)
    with pytest.raises(DeviceError, match=r"model_run of .*libmodel.so must return 0, not 7"):
        LocalDevice().run(part, feeds, SIGNATURE)


def test_local_reports_progress_per_sample(parts: Parts):
    seen: list[tuple[int, int]] = []
    LocalDevice().run(
        parts(), tiny_feeds(3), SIGNATURE, lambda done, total: seen.append((done, total))
    )
    assert seen == [(1, 3), (2, 3), (3, 3)]


def test_local_refuses_a_trace_that_does_not_match_the_layers(parts: Parts):
    with pytest.raises(
        DeviceError, match=r"layer 'double' must make 4 bytes, not 5; layers.json"
    ):
        LocalDevice().trace(parts(trouble=5), tiny_feeds(1), SIGNATURE)


def test_local_refuses_what_is_no_library(tmp_path: Path):
    with pytest.raises(DeviceError, match=r"libmodel.so must be readable, not No such file"):
        LocalDevice().run(tmp_path, tiny_feeds(1), SIGNATURE)
    (tmp_path / "libmodel.so").write_bytes(b"MZ" * 50)
    with pytest.raises(DeviceError, match=r"must be a little-endian ELF file, not another"):
        LocalDevice().run(tmp_path, tiny_feeds(1), SIGNATURE)


def test_local_profile_is_measured_per_layer(parts: Parts):
    profile = LocalDevice().profile(parts(work=100_000), tiny_feeds(2), SIGNATURE, repeats=3)
    assert [(layer.name, layer.kind) for layer in profile.layers] == [
        ("double", "Mul"),
        ("sum", "Add"),
    ]
    times = [layer.quantities["time_min"] for layer in profile.layers]
    assert {(t.unit, t.provenance) for t in times} == {("ns", "measured")}
    assert times[1].value > times[0].value  # 100 000 turns against four
    assert "CLOCK_MONOTONIC" in profile.notes[0]
    assert "3 runs" in profile.notes[0]
    assert "cores" in profile.machine


def test_local_profile_needs_a_repeat(parts: Parts):
    with pytest.raises(ConfigError, match="repeats must be at least 1, not 0"):
        LocalDevice().profile(parts(), tiny_feeds(1), SIGNATURE, repeats=0)


def test_local_refuses_code_that_this_processor_lacks(
    parts: Parts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    part = shutil.copytree(parts(), tmp_path / "part")
    report = json.loads((part / "layers.json").read_text())
    (part / "layers.json").write_text(json.dumps(report | {"target": "generic_x86_64"}))
    read_text = Path.read_text

    def old_processor(path: Path, encoding: str | None = None) -> str:
        if path == Path("/proc/cpuinfo"):
            return "flags\t\t: sse4_1 sse4_2 avx\n"
        return read_text(path, encoding=encoding)

    monkeypatch.setattr(Path, "read_text", old_processor)
    text = r"processor must have cx16, .*avx2, .* of target 'generic_x86_64', .*`qemu:x86_64`"
    for use in (LocalDevice().run, LocalDevice().trace, LocalDevice().profile):
        with pytest.raises(DeviceError, match=text):
            use(part, tiny_feeds(1), SIGNATURE)
    assert missing_features(_level("x86-64-v2")) == ["cx16", "lahf_lm", "popcnt", "ssse3"]
    assert missing_features(_level("cortex-a53")) == []
    assert device_for(target("x86_64")).address == "qemu:x86_64,cpu=max"


def _level(mcpu: str) -> Target:
    """A target of an LLVM level."""
    return dataclasses.replace(target("x86_64"), llvm={"mcpu": mcpu})


# --- qemu ---------------------------------------------------------------------------------


@pytest.mark.tool
@pytest.mark.parametrize("arch", FOREIGN)
@pytest.mark.parametrize("count", [1, 3, 150])
def test_qemu_runs_every_sample(parts: Parts, arch: str, count: int):
    need_emulator(arch)
    feeds = tiny_feeds(count)
    assert_equal(
        QemuDevice(arch, jobs=2).run(parts(arch), feeds, SIGNATURE), tiny_answers(feeds)
    )


@pytest.mark.tool
def test_qemu_traces_in_the_order_of_samples_whatever_the_jobs(parts: Parts):
    need_emulator("aarch64")
    feeds = tiny_feeds(131)
    for jobs in (1, 3):
        traced = QemuDevice("aarch64", jobs=jobs).trace(parts("aarch64"), feeds, SIGNATURE)
        assert list(traced) == ["double", "sum"]
        assert_equal(traced, tiny_answers(feeds))


@pytest.mark.tool
def test_qemu_reports_progress_per_batch(parts: Parts):
    need_emulator("aarch64")
    seen: list[tuple[int, int]] = []
    QemuDevice("aarch64", jobs=1).run(
        parts("aarch64"),
        tiny_feeds(130),
        SIGNATURE,
        lambda done, total: seen.append((done, total)),
    )
    assert len(seen) == 3
    assert seen == sorted(seen)
    assert seen[-1] == (130, 130)


@pytest.mark.tool
def test_qemu_shows_what_the_program_said(parts: Parts):
    need_emulator("aarch64")
    with pytest.raises(
        DeviceError,
        match=r"samples 0..2: qemu-aarch64 .*/model must exit with 0, not 4; it said:\n"
        r"model_run did not return 0",
    ):
        QemuDevice("aarch64", jobs=1).run(parts("aarch64", trouble=3), tiny_feeds(3), SIGNATURE)


@pytest.mark.tool
def test_qemu_names_the_signal_of_a_crash(parts: Parts):
    need_emulator("aarch64")
    with pytest.raises(DeviceError, match=r"must end by itself, not by SIGSEGV"):
        QemuDevice("aarch64").run(parts("aarch64", trouble=2), tiny_feeds(1), SIGNATURE)


def running(part: Path) -> list[str]:
    """Processes whose command line names the part."""
    found: list[str] = []
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            found += [str(entry)] if str(part).encode() in entry.read_bytes() else []
        except OSError:
            continue
    return found


@pytest.mark.tool
def test_qemu_ends_a_program_that_does_not_end_and_its_siblings(parts: Parts):
    need_emulator("aarch64")
    part = parts("aarch64", trouble=1)
    start = time.monotonic()
    with pytest.raises(DeviceError, match=r"must end within 1 s, and did not; give a longer"):
        QemuDevice("aarch64", jobs=2, timeout_s=1).run(part, tiny_feeds(400), SIGNATURE)
    assert time.monotonic() - start < 20
    assert running(part) == []


@pytest.mark.tool
def test_qemu_notices_output_that_is_too_short(parts: Parts):
    need_emulator("aarch64")
    with pytest.raises(DeviceError, match=r"3 records must be 36 bytes, not 33; the part was"):
        QemuDevice("aarch64").run(parts("aarch64", trouble=4), tiny_feeds(3), SIGNATURE)


@pytest.mark.tool
def test_qemu_refuses_an_unknown_cpu_and_names_close_ones(parts: Parts):
    need_emulator("aarch64")
    message = (
        r"cpu of qemu-aarch64 must be one that it emulates, not 'cortex-z72'; the closest are "
        r"cortex-a72, .*, and `qemu-aarch64 -cpu help` lists all"
    )
    with pytest.raises(ConfigError, match=message):
        device("qemu:aarch64,cpu=cortex-z72").run(parts("aarch64"), tiny_feeds(1), SIGNATURE)
    with pytest.raises(ConfigError, match=message):
        device("qemu:aarch64,cpu=cortex-z72").check()


@pytest.mark.tool
@pytest.mark.parametrize("place", targets(), ids=lambda place: place.name)
def test_every_board_file_names_what_its_emulator_knows(place: Target):
    program = shutil.which(place.emulator.program)
    if program is None:
        pytest.skip(f"{place.emulator.program} is absent: apt-get install qemu-user")
    assert place.emulator.cpu in models(program)


def test_an_emulator_that_lists_no_cpus_is_believed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    plain = tmp_path / "qemu-arm"
    plain.write_text("#!/bin/sh\necho 'usage: qemu-arm [options] program'\n")
    plain.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    assert models(str(plain)) == ()
    device("qemu:armv7,cpu=cortex-z72").check()


@pytest.mark.tool
def test_a_part_for_another_architecture_is_refused_by_name(parts: Parts):
    need_emulator("aarch64")
    part = parts("armv7")
    with pytest.raises(DeviceError, match=r"model must be built for aarch64, not armv7; use a"):
        QemuDevice("aarch64").run(part, tiny_feeds(1), SIGNATURE)
    with pytest.raises(
        DeviceError, match=rf"libmodel.so must be built for {native_arch()}, not"
    ):
        LocalDevice().run(part, tiny_feeds(1), SIGNATURE)


def test_missing_emulator_names_the_package(parts: Parts, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PATH", "")
    with pytest.raises(
        DeviceError, match=r"qemu-riscv64 must be installed .*; run: apt-get install qemu-user"
    ):
        QemuDevice("riscv64").run(parts(), tiny_feeds(1), SIGNATURE)


# --- counts under qemu --------------------------------------------------------------------


@pytest.mark.tool
@pytest.mark.parametrize("arch", FOREIGN)
def test_counts_are_per_layer_and_repeat_exactly(
    parts: Parts, arch: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    need_emulator(arch)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "a,cache"))  # qemu splits at commas
    some = QemuDevice(arch)
    first = some.profile(parts(arch), tiny_feeds(1), SIGNATURE)
    assert some.profile(parts(arch), tiny_feeds(1), SIGNATURE).layers == first.layers
    assert [layer.name for layer in first.layers] == ["double", "sum"]
    counts = [layer.quantities for layer in first.layers]
    assert all(q.provenance == "simulated" for layer in counts for q in layer.values())
    assert 20 < counts[0]["instructions"].value < 200
    assert counts[0]["load_bytes"].value >= 4  # it reads four bytes of x
    assert counts[0]["l2_misses"].value == 0  # the second run is warm


@pytest.mark.tool
@pytest.mark.parametrize("arch", FOREIGN)
def test_more_work_in_one_layer_is_counted_in_that_layer(parts: Parts, arch: str):
    need_emulator(arch)
    idle, busy = (
        QemuDevice(arch).profile(parts(arch, work=work), tiny_feeds(1), SIGNATURE)
        for work in (1024, 4096)  # bounds that armv7 compares with at once
    )
    more = [
        {name: b.quantities[name].value - a.quantities[name].value for name in b.quantities}
        for a, b in zip(idle.layers, busy.layers, strict=True)
    ]
    assert more[0]["instructions"] == 0
    assert more[1]["instructions"] % 3072 == 0  # a whole number for each turn
    assert more[1]["instructions"] >= 4 * 3072
    # A volatile counter is stored once a turn, and loaded to be compared and to be increased.
    assert more[1]["stores"] == 3072
    assert more[1]["store_bytes"] == 4 * 3072
    assert more[1]["loads"] in (3072, 2 * 3072)
    assert more[1]["l1_misses"] == 0


@pytest.mark.tool
def test_counting_without_gcc_says_what_to_do(
    parts: Parts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    need_emulator("aarch64")
    part = parts("aarch64")
    (tmp_path / "bin").mkdir()
    emulator = shutil.which("qemu-aarch64")
    assert emulator is not None
    (tmp_path / "bin/qemu-aarch64").symlink_to(emulator)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with pytest.raises(DeviceError, match=r"gcc must be installed to count .* `local`"):
        QemuDevice("aarch64").profile(part, tiny_feeds(1), SIGNATURE)


@pytest.mark.tool
def test_counting_with_an_emulator_without_plugins_says_what_to_do(
    parts: Parts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    part = parts("aarch64")
    plain = tmp_path / "qemu-aarch64"
    plain.write_text("#!/bin/sh\necho 'usage: qemu-aarch64 [options] program'\n")
    plain.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    with pytest.raises(DeviceError, match=r"must be built with plugins .* Debian's qemu-user"):
        QemuDevice("aarch64").profile(part, tiny_feeds(1), SIGNATURE)


@pytest.mark.tool
def test_counting_a_stripped_program_says_what_is_missing(parts: Parts, tmp_path: Path):
    need_emulator("aarch64")
    part = shutil.copytree(parts("aarch64"), tmp_path / "part")
    program = part / "model"
    subprocess.run(["aarch64-linux-gnu-strip", program], check=True)
    with pytest.raises(DeviceError, match=r"must have the symbol model_hook, not be stripped"):
        QemuDevice("aarch64").profile(part, tiny_feeds(1), SIGNATURE)


def test_cache_arguments_are_sets_of_powers_of_two():
    arguments = CacheModel().arguments()
    assert arguments == {
        "l1_sets": 128,
        "l1_ways": 4,
        "l2_sets": 512,
        "l2_ways": 16,
        "line_shift": 6,
    }


# --- addresses ----------------------------------------------------------------------------


def test_addresses_are_parsed_and_shown():
    assert device("local") == LocalDevice()
    assert device("qemu:aarch64,cpu=cortex-a53,jobs=3,timeout=2.5") == QemuDevice(
        "aarch64", "cortex-a53", jobs=3, timeout_s=2.5
    )
    assert device("qemu:armv7").address == "qemu:armv7"
    assert device("qemu:aarch64,cpu=cortex-a72").address == "qemu:aarch64,cpu=cortex-a72"


@pytest.mark.parametrize(
    ("address", "text"),
    [
        ("", r"device must be `local` or `qemu:ARCH.*, not ''"),
        ("local,threads=0", "threads of local must be at least 1, not 0"),
        (
            "local,threads=two",
            "threads in device 'local,threads=two' must be a number, not 'two'",
        ),
        ("local,cpu=1", r"device must be `local` or .*`local,threads=N`, not 'local,cpu=1'"),
        ("local:1", r"device must be `local` or .*, not 'local:1'"),
        ("qemu:", r"device must be `local` or .*, not 'qemu:'"),
        ("ssh:pi", r"device must be `local` or .*, not 'ssh:pi'"),
        ("qemu:aarch64,speed=9", r"device must be .*, not 'qemu:aarch64,speed=9'"),
        ("qemu:aarch64,cpu=", r"device must be .*, not 'qemu:aarch64,cpu='"),
        ("qemu:vax", r"must be one of aarch64, armv7, riscv64, x86_64, not 'vax'"),
        ("qemu:aarch64,jobs=0", r"jobs of qemu must be at least 1, not 0"),
        ("qemu:aarch64,jobs=two", r"jobs in device '.*' must be a number, not 'two'"),
        ("qemu:aarch64,timeout=-1", r"timeout of qemu must be positive, not -1.0"),
    ],
)
def test_addresses_that_name_no_device(address: str, text: str):
    with pytest.raises(ConfigError, match=text):
        device(address)


def test_a_target_runs_natively_or_as_the_processor_that_it_is_for():
    assert device_for(target("aarch64")).address in ("local", "qemu:aarch64,cpu=cortex-a53")
    native = [each for each in targets() if runs_here(each)]
    assert all(device_for(each) == LocalDevice() for each in native)
    assert all(QemuDevice(each.arch).address == f"qemu:{each.arch}" for each in targets())


# --- records ------------------------------------------------------------------------------

DTYPES = st.sampled_from(["int8", "uint8", "int32", "float32"])
SPECS = st.lists(
    st.tuples(st.lists(st.integers(1, 3), max_size=3), DTYPES), min_size=1, max_size=4
).map(lambda rows: [TensorSpec(f"t{i}", tuple(s), d) for i, (s, d) in enumerate(rows)])


@given(SPECS, st.integers(1, 4))
def test_records_round_trip(specs: list[TensorSpec], count: int):
    rng = np.random.default_rng(1)
    arrays: dict[str, np.ndarray] = {}
    for spec in specs:
        shape = spec.shape[1:] if spec.shape[:1] == (1,) else spec.shape
        arrays[spec.name] = rng.integers(-99, 99, (count, *shape)).astype(spec.dtype)
    assert check_feeds(arrays, specs) == count
    records = to_records(arrays, specs)
    assert records.shape == (count, sum(spec.nbytes for spec in specs))
    assert_equal(from_records(records.tobytes(), specs, count), arrays)


def test_a_record_is_little_endian_and_in_spec_order():
    feeds = {"k": np.array([[1, -2]], np.int32), "x": np.array([[1, 2, 3, -4]], np.int8)}
    assert to_records(feeds, SIGNATURE.inputs).tobytes() == bytes(
        [1, 2, 3, 0xFC, 1, 0, 0, 0, 0xFE, 0xFF, 0xFF, 0xFF]
    )


X = TensorSpec("x", (1, 2), "float32")
Q = TensorSpec("q", (1, 2), "uint8", QType(4, False, (1.0,)))


@pytest.mark.parametrize(
    ("feeds", "specs", "text"),
    [
        ({}, [X], r"feeds must be 'x', not none"),
        ({"y": np.zeros((1, 2))}, [X], r"feeds must be 'x', not 'y'"),
        ({"x": np.zeros((1, 2))}, [X], r"feed 'x' must be float32, not float64"),
        ({"x": np.zeros((1, 3), np.float32)}, [X], r"'x' must be \[N, 2\], not \[1, 3\]"),
        ({"x": np.zeros(2, np.float32)}, [X], r"'x' must be \[N, 2\], not \[2\]"),
        ({"x": np.zeros((0, 2), np.float32)}, [X], r"must hold at least one sample, not none"),
        (
            {"x": np.array([[0, 1], [np.nan, 2]], np.float32)},
            [X],
            r"'x' must be finite, not nan at \[1, 0\]",
        ),
        ({"q": np.full((1, 2), 16, np.uint8)}, [Q], r"'q' must be in 0..15, not 16..16"),
        (
            {"x": np.zeros((1, 2), np.float32), "q": np.zeros((2, 2), np.uint8)},
            [X, Q],
            r"must hold the same number of samples, not \{'x': 1, 'q': 2\}",
        ),
    ],
)
def test_feeds_are_refused_by_name(
    feeds: dict[str, np.ndarray], specs: list[TensorSpec], text: str
):
    with pytest.raises(ConfigError, match=text):
        check_feeds(feeds, specs)


SHORT_OUTPUT = '{"shape": [2], "dtype": "int8", "nbytes": 3}'


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "JSONDecodeError"),
        ("[]", "must be a JSON object, not list"),
        ('{"layers": [{"name": "a"}]}', r"KeyError\('output'\)"),
        (
            '{"layers": [{"name": "a", "kind": "", "output": %s}]}'.replace("%s", SHORT_OUTPUT),
            r"nbytes of a must be 2, not 3",
        ),
    ],
)
def test_layers_that_cannot_be_read_are_refused(tmp_path: Path, text: str, message: str):
    (tmp_path / "layers.json").write_text(text)
    with pytest.raises(UntrustedInputError, match=message):
        read_layers(tmp_path)


# --- elf ----------------------------------------------------------------------------------


def test_elf_survives_truncation_at_every_kilobyte(parts: Parts, tmp_path: Path):
    data = (parts() / "model").read_bytes()
    cut = tmp_path / "model"
    for size in (0, 3, 63, 64, *range(1024, len(data), len(data) // 40)):
        cut.write_bytes(data[:size])
        with pytest.raises(DeviceError, match="must"):
            symbol_address(cut, "model_hook")
    assert machine(parts() / "model") == native_arch()
    assert symbol_address(parts() / "model", "model_hook") > 0
    with pytest.raises(DeviceError, match="must have the symbol absent"):
        symbol_address(parts() / "model", "absent")


def test_elf_without_a_fixed_address_is_refused(parts: Parts):
    with pytest.raises(DeviceError, match=r"linked at a fixed address \(-no-pie\)"):
        symbol_address(parts() / "libmodel.so", "model_hook")


def test_a_device_says_before_it_runs_what_it_lacks(monkeypatch: pytest.MonkeyPatch):
    device("local").check()
    monkeypatch.setenv("PATH", "/nonexistent")
    device("local").check()
    with pytest.raises(DeviceError, match=r"qemu-arm must be installed .* install qemu-user"):
        device("qemu:armv7").check()
