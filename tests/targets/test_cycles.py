"""Cycles beside nanoseconds: counted where the kernel allows it, explained where it does not."""

import json
import resource
import shutil
import subprocess
from pathlib import Path

import pytest
from built_bundles import middle_plan, need_target
from integer_graphs import NETWORKS, feeds
from tiny_part import SIGNATURE, build_tiny, tiny_feeds

from joulecut.compiler.errors import DeviceError
from joulecut.compiler.link_code import LinkCode
from joulecut.targets.base import target
from joulecut.targets.cpu import build
from joulecut.targets.cpu.build import build_part
from joulecut.targets.devices.clock import read_times
from joulecut.targets.devices.local import LocalDevice
from joulecut.targets.devices.native import native_arch

RUNTIME = Path(build.__file__).with_name("runtime")
# A counter that every Linux has, in place of one that virtual machines lack.
TASK_CLOCK = ("-DCYCLES_TYPE=PERF_TYPE_SOFTWARE", "-DCYCLES_CONFIG=PERF_COUNT_SW_TASK_CLOCK")


@pytest.fixture(scope="module")
def part(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The edge of `conv1d` with its link, and `in`, one record."""
    need_target(native_arch())
    folder = tmp_path_factory.mktemp("part")
    plan = middle_plan(NETWORKS["conv1d"]())
    code = LinkCode(plan.link.specs, (None,) * len(plan.link.specs), "best")
    built = build_part(plan.edge.graph, target(native_arch()), folder, link=code)
    sample = feeds(plan.whole, 0)
    (folder / "in").write_bytes(b"".join(sample[spec.name].tobytes() for spec in built.inputs))
    return folder


def profile_of(program: Path, part: Path, folder: Path) -> str:
    """What the program writes of nine runs."""
    out = folder / "profile.json"
    options = ["--repeat", "9", "--link", folder / "frames", "--profile", out]
    subprocess.run([program, *options, part / "in", folder / "out", "1"], check=True)
    return out.read_text()


@pytest.mark.tool
def test_what_the_kernel_counts_is_read_around_every_layer(part: Path, tmp_path: Path):
    gcc = shutil.which("gcc")
    assert gcc is not None  # the part was built
    program = tmp_path / "model"
    flags = ["-std=c11", "-O2", "-Wall", "-Wextra", "-Werror", *TASK_CLOCK]
    sources = [f"-I{part}", f"-I{RUNTIME}", RUNTIME / "main.c", part / "libmodel.so"]
    command = [gcc, *flags, *sources, f"-Wl,-rpath,{part}", "-o", program]
    subprocess.run(command, check=True)
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    text = profile_of(program, part, tmp_path)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    spent_ns = 1e9 * (after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    written = json.loads(text)
    if not written["cycles"]:
        pytest.skip(f"perf_event_open is forbidden here: {written['cycles_reason']}")
    rows = [*written["layers"], written["link"]]
    assert all(0 < row["cycles_min"] <= row["cycles_median"] for row in rows)
    # What was counted in nine runs, layer after layer, is a part of what the process took.
    assert 9 * sum(row["cycles_min"] for row in rows) <= spent_ns
    layers, notes = read_times(text, part, 9, coded=True)
    counted = [layer.quantities["cycles"] for layer in layers]
    assert [q.value for q in counted] == [row["cycles_min"] for row in rows]
    assert {(q.unit, q.provenance) for q in counted} == {("cycle", "measured")}
    assert notes[-1].startswith("cycles: the processor's counter, user mode only, minimum")
    _, notes = read_times(text, part, 9, coded=True, threads=2)
    assert notes[-1].startswith("cycles of the first of 2 threads, waiting included: the proc")


@pytest.mark.tool
def test_cycles_are_counted_or_the_reason_is_told(part: Path, tmp_path: Path):
    text = profile_of(part / "model", part, tmp_path)
    written = json.loads(text)
    layers, notes = read_times(text, part, 9, coded=True)
    has_cycles = ["cycles" in layer.quantities for layer in layers]
    if written["cycles"]:
        assert all(has_cycles)
    else:
        assert written["cycles_reason"].startswith(("perf_event_open: ", "the counter ran"))
        assert notes[-1].startswith(f"no cycles: {written['cycles_reason']}")
        assert not any(has_cycles)


ADVICE = "`sysctl kernel.perf_event_paranoid=2` there lets users count"
ROW = '{"name": "double", "ns_min": 1, "ns_median": 2}, {"name": "sum", "ns_min": 3, "ns_median": 3}'


@pytest.mark.parametrize(
    ("fields", "note"),
    [
        (
            '"cycles": false, "cycles_reason": "perf_event_open: Permission denied"',
            f"no cycles: perf_event_open: Permission denied; {ADVICE}",
        ),
        (
            '"cycles": false, "cycles_reason": "perf_event_open: Function not implemented"',
            "no cycles: perf_event_open: Function not implemented",
        ),
        ('"more": 1', "no cycles: the part's program counts none"),
    ],
)
def test_the_note_says_why_there_are_no_cycles(fields: str, note: str, tmp_path: Path):
    part = build_tiny(tmp_path / "part")
    text = f'{{"clock": "CLOCK_MONOTONIC", {fields}, "layers": [{ROW}]}}'
    layers, notes = read_times(text, part, 2, coded=False)
    assert notes[-1] == note
    assert [layer.quantities["time_min"].value for layer in layers] == [1, 3]


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"clock": "c", "layers": [{"name": "?"}]}'])
def test_what_is_no_profile_is_refused(text: str, tmp_path: Path):
    part = build_tiny(tmp_path / "part")
    with pytest.raises(
        DeviceError, match=r"model --profile must write clock and layers; .* in"
    ):
        read_times(text, part, 2, coded=False)


def test_a_part_that_counts_none_is_profiled_all_the_same(tmp_path: Path):
    part = build_tiny(tmp_path / "part")
    profile = LocalDevice().profile(part, tiny_feeds(1), SIGNATURE, repeats=2)
    assert profile.notes[-1] == "no cycles: the part's program counts none"
    assert all("cycles" not in layer.quantities for layer in profile.layers)
