"""Builds parts for tests and runs them: in this process, or as programs under QEMU."""

from __future__ import annotations

import ctypes
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from joulecut.compiler.graph import Graph
from joulecut.compiler.quant import TensorSpec
from joulecut.compiler.reference import trace
from joulecut.targets.base import Target
from joulecut.targets.cpu.build import BuiltPart, build_part
from joulecut.targets.devices.native import native_arch, runs_here

Arrays = dict[str, np.ndarray]
OBSERVER = ctypes.CFUNCTYPE(
    None, ctypes.c_void_p, ctypes.c_int32, ctypes.c_void_p, ctypes.c_size_t
)


def require_tools(target: Target) -> None:
    """Skip the test unless the target's compiler and emulator are there."""
    wanted = {
        target.toolchain.compilers[0]: target.toolchain.package,
        target.emulator.program: "qemu-user",
    }
    for program, package in wanted.items():
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not installed (Debian: {package})")


def require_runnable(place: Target) -> None:
    """Skip the test as well where the target is of this machine, but needs more than it has."""
    require_tools(place)
    if place.arch == native_arch() and not runs_here(place):
        pytest.skip(f"this processor lacks what {place.name} needs, and QEMU does, too")


def code_of(place: Target) -> tuple[object, ...]:
    """What a target's code depends on: boards with the same core get the same code."""
    return (place.llvm.items(), place.kernels, place.toolchain, place.emulator, place.vectors)


def with_code_of_their_own(places: Sequence[Target]) -> list[Target]:
    """The targets, less those whose code is that of one before them."""
    found: list[Target] = []
    for place in places:
        if code_of(place) not in map(code_of, found):
            found.append(place)
    return found


def check_part(
    built: BuiltPart,
    place: Target,
    graph: Graph,
    feeds: Sequence[Mapping[str, np.ndarray]],
    folder: Path,
) -> None:
    """Every layer of some samples equals the reference, here or under QEMU."""
    if runs_here(place):
        found = [run_here(built, feed) for feed in feeds]
    else:
        found = run_program(built, place, feeds, folder)
    for feed, arrays in zip(feeds, found, strict=True):
        assert_equal(graph, feed, arrays)


def run_here(built: BuiltPart, feeds: Mapping[str, np.ndarray], *, shift: int = 0) -> Arrays:
    """Every layer's output of one sample, and the part's outputs, through libmodel.so.

    `shift` moves the tensors that many bytes off a multiple of 64.
    """
    library = ctypes.CDLL(str(built.directory / "libmodel.so"))
    given = [_buffer(spec.nbytes, shift) for spec in built.inputs]
    made = [_buffer(spec.nbytes, shift) for spec in built.outputs]
    for buffer, spec in zip(given, built.inputs, strict=True):
        buffer[:] = np.ascontiguousarray(feeds[spec.name]).reshape(-1).view(np.uint8)
    arena = _buffer(built.arena_bytes, 0)
    found: Arrays = {}

    def observe(_: object, layer: int, output: int, nbytes: int) -> None:
        spec = built.layers[layer].output
        dense = ctypes.create_string_buffer(nbytes)
        library.model_read_layer(layer, ctypes.c_void_p(output), dense)
        found[spec.name] = _array(dense.raw, spec)

    inputs, outputs = _pointers(given), _pointers(made)
    run: Any = library.model_run_observed
    assert (
        run(inputs, outputs, arena.ctypes.data_as(ctypes.c_void_p), OBSERVER(observe), None)
        == 0
    )
    observed = [buffer.tobytes() for buffer in made]
    plain: Any = library.model_run
    arena[:] = 0xA5  # what an earlier run left must not matter
    assert plain(inputs, outputs, arena.ctypes.data_as(ctypes.c_void_p)) == 0
    assert [buffer.tobytes() for buffer in made] == observed
    for raw, spec in zip(observed, built.outputs, strict=True):
        found[spec.name] = _array(raw, spec)
    return found


def run_program(
    built: BuiltPart,
    target: Target,
    feeds: Sequence[Mapping[str, np.ndarray]],
    folder: Path,
    *,
    threads: int = 1,
) -> list[Arrays]:
    """Every layer's output and the part's outputs of all samples, through the program."""
    records = [feed[spec.name].tobytes() for feed in feeds for spec in built.inputs]
    (folder / "in").write_bytes(b"".join(records))
    emulator = [target.emulator.program, "-cpu", target.emulator.cpu]
    files = [folder / "in", folder / "out", str(len(feeds))]
    options = ["--trace", folder / "trace", "--threads", threads]
    program = [*emulator, built.directory / "model", *options, *files]
    subprocess.run([str(word) for word in program], check=True)
    layers = [layer.output for layer in built.layers]
    traced = _split((folder / "trace").read_bytes(), layers, len(feeds))
    outputs = _split((folder / "out").read_bytes(), built.outputs, len(feeds))
    return [{**a, **b} for a, b in zip(traced, outputs, strict=True)]


def assert_equal(graph: Graph, feeds: Mapping[str, np.ndarray], found: Arrays) -> None:
    """All that was found is what the reference computes, number for number."""
    expected = trace(graph, feeds)
    assert found
    for name, array in found.items():
        np.testing.assert_array_equal(array, expected[name], err_msg=name)
        assert array.dtype == expected[name].dtype


class Builder:
    """Builds with one cache of kernels for all tests of a session."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._count = 0

    @property
    def cache_dir(self) -> Path:
        """Where the kernels are."""
        return self._root / "cache"

    def __call__(self, graph: Graph, target: Target) -> BuiltPart:
        self._count += 1
        folder = self._root / f"part{self._count}"  # the loader knows libraries by their path
        return build_part(graph, target, folder, cache_dir=self.cache_dir)


def _split(raw: bytes, specs: Sequence[TensorSpec], count: int) -> list[Arrays]:
    samples: list[Arrays] = []
    at = 0
    for _ in range(count):
        sample: Arrays = {}
        for spec in specs:
            sample[spec.name] = _array(raw[at : at + spec.nbytes], spec)
            at += spec.nbytes
        samples.append(sample)
    assert at == len(raw)
    return samples


def _array(raw: bytes, spec: TensorSpec) -> np.ndarray:
    return np.frombuffer(raw, spec.dtype).reshape(spec.shape)


def _buffer(nbytes: int, shift: int) -> np.ndarray:
    raw = np.zeros(nbytes + 128, np.uint8)
    start = -raw.ctypes.data % 64 + shift
    return raw[start : start + nbytes]


def _pointers(buffers: Sequence[np.ndarray]) -> Any:
    return (ctypes.c_void_p * len(buffers))(*(buffer.ctypes.data for buffer in buffers))
