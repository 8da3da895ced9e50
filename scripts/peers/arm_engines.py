"""Instructions that onnxruntime and LiteRT execute for one inference on an emulated Arm core.

    onnxruntime   the QDQ model, with int8 or with uint8 activations
    litert        the same integers as a .tflite file
    litert_f32    the real numbers that they stand for, in float32

Every run of a model is marked inside one process. What counts is the middle one of the later
runs, because now and then one does other work too (garbage is collected, a thread wakes up);
from it goes what the same call takes on a model that does nothing (an Identity, a sum of four
numbers): the binding to Python. Counts are simulated: exact, but not cycles. They are kept
under out/bench, because an emulated run takes long.
"""

from __future__ import annotations

import hashlib
import re
import statistics
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from arm_cores import ROOT, SYSROOT, Core
from arm_sysroot import ready, recipe
from kept_results import KeptResults
from onnx import helper
from peers.onnx_signs import with_signs
from peers.tflite_draft import channels_last, real_channels_last
from peers.tflite_file import TfliteFile
from peers.tflite_writer import write_tflite

import joulecut as jc
from joulecut.compiler.cost import cost
from joulecut.compiler.errors import DeviceError
from joulecut.compiler.graph import Graph, input_specs
from joulecut.compiler.reference import run_reference
from joulecut.targets.devices.plugin import FLAGS, QEMU_WITH_API_2

ENGINES = ("onnxruntime", "litert", "litert_f32")
KEPT = KeptResults(ROOT / "out/bench/arm_peers.json")
PLUGIN = Path(__file__).with_name("qemu_totals.c")
PROGRAM = Path(__file__).with_name("arm_run.py")
TIMEOUT_S = 3600
# (runs before those that count, runs that count); of a large network fewer will do, because
# what a run has more or less than another is some thousand instructions.
RUNS, RUNS_OF_LARGE, LARGE_MACS = (3, 20), (1, 3), 100e6

Arrays = Mapping[str, np.ndarray]


@dataclass(frozen=True)
class Count:
    """What runs were seen to take, and to return.

    Attributes:
        runs: instructions of each that counts, the binding to Python included.
        differing: outputs that are not those of docs/spec.md, on one random input.
        elements: outputs.
        largest: difference, in codes.
    """

    runs: list[int]
    differing: int = 0
    elements: int = 0
    largest: int = 0

    @property
    def middle(self) -> float:
        """The median of the runs."""
        return statistics.median(self.runs)


@dataclass(frozen=True)
class Inference:
    """An engine's inference on a core.

    Attributes:
        instructions: without the binding to Python.
        form: of the model that took the fewest.
        count: the runs of that form.
    """

    instructions: int
    form: str
    count: Count


def instructions(engine: str, model: str | Path, core: str, *, fresh: bool = False) -> int:
    """Instructions of one inference; see `inference`."""
    return inference(engine, model, core, fresh=fresh).instructions


def inference(engine: str, model: str | Path, core: str, *, fresh: bool = False) -> Inference:
    """What an engine takes for one inference on one thread, in its best form of the model.

    Args:
        engine: one of ENGINES.
        model: an integer QDQ model with one input and one output.
        core: a key of CORES.
        fresh: measure again what is kept.

    Raises:
        DeviceError: there is no sysroot, no such engine in it, or a program ended early.
        UnsupportedError: LiteRT has no int8 form of the model.
    """
    path = Path(model)
    graph = jc.pipeline(jc.load(path))
    x = _codes(graph)
    runs = RUNS if cost(graph).macs < LARGE_MACS else RUNS_OF_LARGE
    place = ready(core)
    if engine.removesuffix("_f32") not in place.system.engines:
        raise DeviceError(f"{engine} must have a wheel for {place.system.name}, and has none")
    base = _count(_nothing(engine), engine, place, runs, fresh)
    expected = cache(lambda: channels_last(run_reference(graph, x)[0]))
    jobs = _forms(engine, path, graph, x)
    found: list[Inference] = []
    for job in jobs:
        count = _count(replace(job, expected=expected), engine, place, runs, fresh)
        found.append(Inference(round(count.middle - base.middle), job.form, count))
    return min(found, key=lambda one: one.instructions)


@dataclass(frozen=True, eq=False)
class _Job:
    """A model file to run, its inputs, and what it must return, int8 with channels last."""

    form: str
    file: bytes
    feeds: Arrays
    expected: Callable[[], np.ndarray] | None = None


def _codes(graph: Graph) -> dict[str, np.ndarray]:
    """A random input."""
    (spec,) = input_specs(graph)
    limits = np.iinfo(spec.dtype)
    codes = np.random.default_rng(0).integers(limits.min, limits.max + 1, spec.shape)
    return {spec.name: codes.astype(spec.dtype)}


def _forms(engine: str, path: Path, graph: Graph, feeds: Arrays) -> Iterator[_Job]:
    """What an engine is given; onnxruntime fuses the quantizers of both types by itself."""
    ((name, x),) = feeds.items()
    if engine == "litert":
        yield _Job("int8", write_tflite(graph), {name: channels_last(x)})
        return
    if engine == "litert_f32":
        numbers = real_channels_last(x, graph.graph.inputs[0])
        yield _Job("float32", write_tflite(graph, real=True), {name: numbers})
        return
    model = onnx.ModelProto.FromString(path.read_bytes())
    for dtype in ("int8", "uint8"):
        form = with_signs(model, signed=dtype == "int8").SerializeToString()
        shift = np.iinfo(dtype).min - np.iinfo(x.dtype).min
        yield _Job(dtype, form, {name: (x.astype(np.int16) + shift).astype(dtype)})


def _nothing(engine: str) -> _Job:
    """A model that does next to nothing: what a call costs by itself."""
    if engine.startswith("litert"):
        file, dtype = TfliteFile(), "float32" if engine.endswith("f32") else "int8"
        scale = None if dtype == "float32" else 0.1
        x, y = (file.tensor((1, 1, 1, 4), dtype, scale=scale) for _ in "xy")
        file.operator("ADD", [x, x], y)
        return _Job("nothing", file.build([x], [y]), {"x": np.zeros((1, 1, 1, 4), dtype)})
    ends = [helper.make_tensor_value_info(n, onnx.TensorProto.INT8, [1, 10]) for n in "xy"]
    node = helper.make_node("Identity", ["x"], ["y"])
    graph = helper.make_graph([node], "nothing", ends[:1], ends[1:])
    opsets = [helper.make_opsetid("", 17)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=8)
    return _Job("nothing", model.SerializeToString(), {"x": np.zeros((1, 10), np.int8)})


# ---- one job on one core ---------------------------------------------------------------


def _count(job: _Job, engine: str, core: Core, runs: tuple[int, int], fresh: bool) -> Count:
    """What a run takes, from the results that are kept or by running it."""
    emulator = core.system.emulator
    plugin = _plugin(emulator)
    parts = (job.file, PROGRAM.read_bytes(), plugin.name.encode(), recipe(core.system).encode())
    digest = hashlib.sha256(b"\0".join(parts)).hexdigest()[:24]
    key = f"{engine} {core.name} {runs[0]}+{runs[1]} runs {_version(emulator)} {digest}"
    kept = None if fresh else KEPT.get(key)
    if kept is not None:
        return Count(**kept)
    with tempfile.TemporaryDirectory(prefix="joulecut-") as name:
        place = Path(name)
        (place / "model").write_bytes(job.file)
        feeds: Mapping[str, Any] = job.feeds
        np.savez(place / "inputs.npz", **feeds)
        files = [str(place / name) for name in ("inputs.npz", "outputs.npz")]
        name = engine.removesuffix("_f32")
        words = [str(PROGRAM), name, str(place / "model"), str(sum(runs)), *files]
        option = f"{plugin},out={place / 'marks'},marker={core.system.getppid}"
        _run(core.command(words, "-plugin", option))
        marks = np.array((place / "marks").read_text().split(), np.int64)
        with np.load(place / "outputs.npz") as file:
            result = file["y0"]
    if len(marks) != sum(runs) + 1:
        raise DeviceError(f"{engine} must mark {sum(runs) + 1} points, not {len(marks)}")
    count = Count(np.diff(marks)[runs[0] :].tolist())
    if job.expected is not None and not engine.endswith("f32"):
        codes = result if engine == "litert" else channels_last(result)
        apart = np.abs(codes.reshape(-1).astype(int) - job.expected().reshape(-1))
        seen = {"differing": int(np.count_nonzero(apart)), "elements": apart.size}
        count = replace(count, **seen, largest=int(apart.max()))
    KEPT.put(key, asdict(count))
    return count


def _plugin(emulator: str) -> Path:
    """The plugin, compiled for this emulator on first use."""
    api = 2 if int(_version(emulator).split(".")[0]) >= QEMU_WITH_API_2 else 1
    flags = (*FLAGS, f"-DPLUGIN_API_VERSION={api}")
    text = PLUGIN.read_bytes() + " ".join(flags).encode()
    built = SYSROOT / f"qemu_totals-{hashlib.sha256(text).hexdigest()[:16]}.so"
    if not built.exists():
        _run(["gcc", *flags, "-o", str(built.with_suffix(".new")), str(PLUGIN)])
        built.with_suffix(".new").replace(built)
    return built


@cache
def _version(emulator: str) -> str:
    said = _run([emulator, "--version"])
    found = re.search(r"version ([\d.]+)", said)
    if found is None:
        raise DeviceError(f"{emulator} must say its version, not '{said[:80]}'")
    return found[1]


def _run(command: list[str]) -> str:
    """What a command prints; it must be there, and end with 0."""
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, timeout=TIMEOUT_S
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise DeviceError(f"{command[0]} must run, and did not: {error}") from error
    if done.returncode != 0:
        said = done.stderr.strip()[-1000:]
        raise DeviceError(f"{command[0]} must end with 0, not {done.returncode}:\n{said}")
    return done.stdout
