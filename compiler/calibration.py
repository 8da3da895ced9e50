"""What coding makes of each tensor of a network, measured on samples: bits and distortion.

A search asks for every tensor and every way to code it. That takes its time once; what was
measured is kept on disk under the digest of all that it depends on, tensor by tensor, so that a
calibration that was stopped goes on.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from joulecut.compiler import codec
from joulecut.compiler.config import CodecConfig
from joulecut.compiler.cut import Cut
from joulecut.compiler.errors import ConfigError
from joulecut.compiler.graph import Graph
from joulecut.compiler.link_code import frozen
from joulecut.compiler.profile import Quantity
from joulecut.compiler.quant import TensorSpec
from joulecut.compiler.reference import trace

VERSION = 1  # of what is kept; another coder measures something else
QUANTIZABLE = ("int8", "uint8", "float32")  # without loss, int32 can be coded, too
FRAME_BYTES, ENTRY_BYTES = 12, 4  # of the frame around the tensors, docs/bitstream.md

Progress = Callable[[int, int], None]  # tensors done, tensors in all


@dataclass(frozen=True)
class Coded:
    """One tensor, coded in one way, on average over the samples.

    Attributes:
        nbytes: of the coded tensor of one sample, without the frame around it.
        signal: mean square of the values, in steps of the tensor's scale.
        noise: mean square of what coding changes, likewise; 0 without loss.
    """

    nbytes: float
    signal: float
    noise: float

    @property
    def sqnr_db(self) -> float:
        """Signal over noise in decibels; infinite without loss."""
        return 10 * math.log10(self.signal / self.noise) if self.noise else math.inf


@dataclass(frozen=True)
class Calibration:
    """What was measured of every tensor at which a network may be cut.

    Attributes:
        settings: the ways to code.
        tensors: for each tensor what each of them makes of it, in their order; None: it cannot
            be coded so.
        samples: how many it was measured on.
        fitted: on how many of them codecs were fitted; the others are those it was measured on,
            if there were others.
        real: whether samples were given; random ones say little of what networks see.
    """

    settings: tuple[CodecConfig, ...]
    tensors: Mapping[str, tuple[Coded | None, ...]]
    samples: int
    fitted: int
    real: bool

    def bits(self, cut: Cut, setting: int) -> Quantity | None:
        """Bits of the frame that a cut sends for one inference; None: it cannot be coded so.

        Tensors were coded one by one. Where several cross, they share static tables, and the sum
        is modelled, not measured.
        """
        coded = self._of(cut, setting)
        if coded is None:
            return None
        nbytes = FRAME_BYTES + ENTRY_BYTES * len(coded)
        nbytes += math.fsum(each.nbytes for each in coded)
        if not self.real:
            return Quantity(8 * nbytes, "bit", "assumed")
        return Quantity(8 * nbytes, "bit", "measured" if len(coded) == 1 else "modelled")

    def sqnr_db(self, cut: Cut, setting: int) -> float | None:
        """Of the worst of the tensors that cross; infinite without loss; None as for bits."""
        coded = self._of(cut, setting)
        return None if coded is None else min(each.sqnr_db for each in coded)

    def _of(self, cut: Cut, setting: int) -> list[Coded] | None:
        coded = [self.tensors[name][setting] for name in cut.tensors]
        known = [each for each in coded if each is not None]
        return known if len(known) == len(coded) else None


def calibrate(
    graph: Graph,
    feeds: Mapping[str, np.ndarray],
    settings: Sequence[CodecConfig],
    tensors: Sequence[TensorSpec],
    *,
    real: bool = True,
    directory: Path | None = None,
    progress: Progress = lambda _done, _all: None,
) -> Calibration:
    """Code every tensor in every way and measure what that takes and changes.

    Codecs are fitted on the first half of the samples and measured on the second, so that a
    codebook does not answer for the samples that it was made from; with one sample it does.

    Args:
        graph: integer Graph.
        feeds: N samples for each input, [N, ...].
        settings: the ways to code.
        tensors: which, each once.
        real: whether the samples are of the task, and not random.
        directory: where results are kept; None keeps none.
        progress: called after each tensor.

    Raises:
        ConfigError: there is no sample, or no setting.
    """
    count = len(next(iter(feeds.values())))
    if count == 0 or not settings:
        raise ConfigError(
            f"calibration must have a sample and a setting, not {count} and {len(settings)}"
        )
    fitted = max(1, count // 2)
    store = _Store(directory, _digest(graph, feeds, settings), len(settings))
    found: dict[str, tuple[Coded | None, ...]] = {}
    known: Mapping[str, np.ndarray] | None = None
    for done, spec in enumerate(tensors):
        kept = store.read(spec.name)
        if kept is None:
            if known is None:
                known = trace(graph, feeds)
            kept = tuple(_measured(spec, known[spec.name], settings, fitted))
            store.write(spec.name, kept)
        found[spec.name] = kept
        progress(done + 1, len(tensors))
    return Calibration(tuple(settings), found, max(1, count - fitted), fitted, real)


def crossing(cuts: Sequence[Cut]) -> list[TensorSpec]:
    """Every tensor that crosses at one of the cuts, each once."""
    return list({spec.name: spec for cut in cuts for spec in cut.specs}.values())


def _measured(
    spec: TensorSpec, array: np.ndarray, settings: Sequence[CodecConfig], fitted: int
) -> Iterator[Coded | None]:
    """All settings for one tensor; array holds N samples in its leading dimension."""
    fit, rest = array[:fitted], array[fitted:]
    judged = rest if len(rest) else fit
    zero = 0 if spec.qtype is None else spec.qtype.zero_point
    signal = _mean_square(judged, zero)
    for setting in settings:
        if setting.quantizer != "none" and spec.dtype not in QUANTIZABLE:
            yield None
            continue
        code = frozen((spec,), {spec.name: fit}, setting)
        nbytes = noise = 0.0
        for sample in judged:
            blob = code.pack([sample[np.newaxis]])
            nbytes += len(blob) - FRAME_BYTES - ENTRY_BYTES
            if setting.quantizer != "none":
                noise += _mean_square(code.unpack(blob)[0], sample)
        yield Coded(nbytes / len(judged), signal, noise / len(judged))


def _mean_square(array: np.ndarray, other: np.ndarray | int) -> float:
    difference = array.astype(np.float64) - other
    return float(np.mean(difference * difference)) if difference.size else 0.0


def _digest(
    graph: Graph, feeds: Mapping[str, np.ndarray], settings: Sequence[CodecConfig]
) -> str:
    """Identifies all that the results depend on."""
    from joulecut.compiler.graph_file import graph_to_bytes

    said = hashlib.sha256(f"{VERSION} {codec.MAX_BYTES}".encode())
    said.update(graph_to_bytes(graph))
    for name, feed in feeds.items():
        said.update(f"{name} {feed.dtype} {feed.shape}".encode())
        said.update(np.ascontiguousarray(feed).tobytes())
    for setting in settings:
        said.update(setting.model_dump_json().encode())
    return said.hexdigest()[:32]


@dataclass(frozen=True)
class _Store:
    """Results on disk, a file a tensor, under the digest of what they depend on."""

    directory: Path | None
    digest: str
    settings: int

    def read(self, tensor: str) -> tuple[Coded | None, ...] | None:
        """What was kept of a tensor; None: nothing."""
        path = self._path(tensor)
        if path is None or not path.is_file():
            return None
        try:
            rows = json.loads(path.read_text(encoding="utf-8"))
            found = tuple(None if row is None else Coded(**row) for row in rows)
        except (ValueError, TypeError):
            return None  # cut short; measured again
        return found if len(found) == self.settings else None

    def write(self, tensor: str, coded: Sequence[Coded | None]) -> None:
        """Keep what was measured; complete, or not at all."""
        path = self._path(tensor)
        if path is None:
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        scratch = path.with_suffix(".part")
        rows = [None if row is None else asdict(row) for row in coded]
        scratch.write_text(json.dumps(rows), encoding="utf-8")
        scratch.replace(path)

    def _path(self, tensor: str) -> Path | None:
        if self.directory is None:
            return None
        name = hashlib.sha256(tensor.encode()).hexdigest()[:16]
        return self.directory / self.digest / f"{name}.json"
