"""Runs a part on a board with the accelerator: one file, which needs numpy and the driver beside it.

Copy the folder of the part from the bundle (`edge`), the bitstream and its .hwh to the board. There:

    import sys; sys.path.insert(0, "edge")
    import pynq, driver, board_part

    overlay = pynq.Overlay("joulecut.bit")
    with board_part.Part("edge", overlay.jc_core_0) as part:
        outputs, frame, counters = part.run({"x": image})

`frame` is what the edge sends, coded. Python 3.10 and numpy 1.26 are enough, hence no newer syntax.
"""

from __future__ import annotations

import ctypes
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

ALIGNMENT = 64  # of the arena and of the coder's workspace, by model.h


class Ran(NamedTuple):
    """What a part made of one sample.

    Attributes:
        outputs: arrays by name, those of every run of layers.
        frame: what crosses the cut, coded; None if the part sends nothing.
        counters: of the accelerator, one for each of its runs.
    """

    outputs: dict[str, np.ndarray]
    frame: bytes | None
    counters: list[dict[str, int]]


class Part:
    """A part that is loaded, its programs in the accelerator's memory.

    Args:
        folder: with segments.json and a folder for each run.
        accelerator: `overlay.jc_core_0`, an Accelerator of driver.py.
        timeout_s: seconds after which a run of the accelerator is given up.

    Raises:
        driver.AcceleratorError: the bitstream is not what the part was built for.
        OSError: a library is for another processor.
    """

    def __init__(
        self, folder: str | Path, accelerator: Any, *, timeout_s: float = 10.0
    ) -> None:
        folder = Path(folder)
        described = json.loads((folder / "segments.json").read_text(encoding="utf-8"))
        self.inputs = described["inputs"]
        self._timeout_s = timeout_s
        self._runs: list[Any] = []
        try:
            for row in described["segments"]:
                where = folder / row["folder"]
                if row["place"] == "array":
                    self._runs.append(accelerator.load(where))
                else:
                    self._runs.append(_Library(where, row))
        except BaseException:
            self.close()
            raise

    def run(self, feeds: Mapping[str, np.ndarray]) -> Ran:
        """Runs one sample.

        Args:
            feeds: an array for every input, of its type and shape.

        Raises:
            ValueError: an input is missing, or not of its type and shape; or what crosses is not
                finite.
            driver.AcceleratorError: the accelerator did not end, or reported an error.
        """
        for spec in self.inputs:
            _check_feed(spec, feeds.get(spec["name"]))
        known = dict(feeds)
        frame: bytes | None = None
        counters: list[dict[str, int]] = []
        for run in self._runs:
            if isinstance(run, _Library):
                frame = run.run(known)
            else:
                needed = {value["name"]: known[value["name"]] for value in run.inputs}
                made, counted = run.run(needed, timeout_s=self._timeout_s)
                known.update(made)
                counters.append(counted)
        outputs = {name: array for name, array in known.items() if name not in feeds}
        return Ran(outputs, frame, counters)

    def close(self) -> None:
        """Gives the accelerator's memory back."""
        while self._runs:
            run = self._runs.pop()
            if not isinstance(run, _Library):
                run.close()

    def __enter__(self) -> Part:  # noqa: PYI034 - Python 3.10 has no Self
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class _Library:
    """Layers on the processor: libmodel.so, and memory for what it reads and makes."""

    def __init__(self, folder: Path, row: Mapping[str, Any]) -> None:
        self._library = ctypes.CDLL(str((folder / "libmodel.so").resolve()))
        self._run = self._library.model_run
        self._run.argtypes, self._run.restype = [ctypes.c_void_p] * 3, ctypes.c_int32
        self._inputs, self._outputs, self._sent = row["inputs"], row["outputs"], row["sends"]
        self._arena = _aligned(ctypes.c_size_t.in_dll(self._library, "model_arena_bytes").value)
        if self._sent:
            self._encode = self._library.model_encode_link
            self._encode.argtypes = [*[ctypes.c_void_p] * 3, ctypes.c_size_t]
            sizes = [self._library.model_link_workspace, self._library.model_link_bound]
            for function in (self._encode, *sizes):
                function.restype = ctypes.c_size_t
            self._workspace, self._frame = (_aligned(size()) for size in sizes)

    def run(self, known: dict[str, np.ndarray]) -> bytes | None:
        """Adds what it makes to what is known, and returns the frame if it sends one."""
        read = [np.ascontiguousarray(known[spec["name"]]) for spec in self._inputs]
        made = [np.empty(spec["shape"], spec["dtype"]) for spec in self._outputs]
        if made:
            done = self._run(_pointers(read), _pointers(made), self._arena.ctypes.data)
            if done != 0:
                raise RuntimeError(f"model_run must return 0, not {done}")
        known.update((spec["name"], array) for spec, array in zip(self._outputs, made))  # noqa: B905
        if not self._sent:
            return None
        tensors = [np.ascontiguousarray(known[name]) for name in self._sent]
        workspace, frame = self._workspace.ctypes.data, self._frame.ctypes.data
        nbytes = self._encode(workspace, _pointers(tensors), frame, self._frame.size)
        if nbytes == 0:
            raise ValueError(
                f"what crosses ({', '.join(self._sent)}) must be finite, and is not"
            )
        return self._frame[:nbytes].tobytes()


def _pointers(arrays: Sequence[np.ndarray]) -> Any:
    """A C array of the addresses; the arrays must outlive its use."""
    return (ctypes.c_void_p * len(arrays))(*(array.ctypes.data for array in arrays))


def _aligned(nbytes: int) -> np.ndarray:
    raw = np.zeros(nbytes + ALIGNMENT, np.uint8)
    start = -raw.ctypes.data % ALIGNMENT
    return raw[start : start + nbytes]


def _check_feed(spec: Mapping[str, Any], array: np.ndarray | None) -> None:
    if array is None or array.dtype != spec["dtype"] or list(array.shape) != spec["shape"]:
        found = "nothing" if array is None else f"{array.dtype} {list(array.shape)}"
        raise ValueError(
            f"input '{spec['name']}' must be {spec['dtype']} {spec['shape']}, not {found}"
        )
