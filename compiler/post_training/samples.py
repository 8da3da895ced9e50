"""Samples that fit a network's inputs, checked whole before any work begins."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from joulecut.compiler.errors import ConfigError
from joulecut.compiler.post_training.arrays import UNNAMED, Source

LABELS = "y"  # an array of this name beside the inputs holds the right classes
Progress = Callable[[int, int], None]
Dims = tuple[int | None, ...]


@dataclass(frozen=True, eq=False)
class Samples:
    """Samples for all inputs of a network.

    Attributes:
        sources: the array of each input, by name.
        chosen: indices of the samples that are used, rising.
        total: samples that there are.
        labels: the right class of each chosen sample, int64 [N], or None.
    """

    sources: Mapping[str, Source]
    chosen: Sequence[int]
    total: int
    labels: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.chosen)

    def feeds(self) -> Iterator[dict[str, np.ndarray]]:
        """The samples one by one, [1, ...] for each input."""
        streams = [source.rows(self.chosen) for source in self.sources.values()]
        for arrays in zip(*streams, strict=True):
            yield dict(zip(self.sources, arrays, strict=True))

    def first(self, count: int) -> Samples:
        """The first `count` of them."""
        labels = None if self.labels is None else self.labels[:count]
        return Samples(self.sources, self.chosen[:count], self.total, labels)


def matched(
    arrays: Mapping[str, Source], inputs: Mapping[str, Dims], most: int | None, what: str
) -> Samples:
    """The arrays as samples of the inputs, by their headers alone.

    Args:
        arrays: by name; one without a name will do for one input. An array `y` that is no
            input is taken for labels.
        inputs: dimensions of each input, the first one for the batch; None where any will do.
        most: how many samples to use, evenly spread over what there is; None uses all.
        what: the name of the data in messages.

    Raises:
        ConfigError: names, shapes, types or counts that do not fit.
    """
    arrays = dict(arrays)
    labels = None if LABELS in inputs else arrays.pop(LABELS, None)
    if [*arrays] == [UNNAMED] and len(inputs) == 1:
        arrays = dict(zip(inputs, arrays.values(), strict=True))
    if sorted(arrays) != sorted(inputs):
        raise ConfigError(
            f"{what} must have one array for each of the inputs {sorted(inputs)}, not "
            f"{sorted(arrays)}; save it with numpy.savez(path, {next(iter(inputs))}=...)"
        )
    sources = {name: arrays[name] for name in inputs}
    for name, source in sources.items():
        _check_header(name, source, inputs[name], what)
    counts = {name: source.shape[0] for name, source in sources.items()}
    if labels is not None:
        counts[LABELS] = _label_count(labels, what)
    total = counts[next(iter(inputs))]
    if len(set(counts.values())) > 1:
        raise ConfigError(f"arrays of {what} must have one number of samples, not {counts}")
    if total < 1:
        raise ConfigError(f"{what} must have at least 1 sample, not none")
    chosen = _spread(total, most)
    classes = None if labels is None else _joined(labels, chosen)
    return Samples(sources, chosen, total, classes)


def check_numbers(samples: Samples, what: str, advance: Progress) -> None:
    """Refuse NaN and infinity.

    Raises:
        ConfigError: naming the sample and the place in it.
    """
    for i, feed in enumerate(samples.feeds()):
        for name, array in feed.items():
            if not np.isfinite(array).all():
                place = np.argwhere(~np.isfinite(array))[0].tolist()
                raise ConfigError(
                    f"'{name}' of {what} must be finite, not {array[tuple(place)]} at "
                    f"{[samples.chosen[i], *place[1:]]}"
                )
        advance(i + 1, len(samples))


def _check_header(name: str, source: Source, dims: Dims, what: str) -> None:
    wanted = ["N", *("?" if dim is None else dim for dim in dims[1:])]
    fits = len(source.shape) == len(dims) and all(
        dim in (None, size) for size, dim in zip(source.shape[1:], dims[1:], strict=True)
    )
    if not fits:
        text = str(wanted).replace("'", "")
        raise ConfigError(
            f"'{name}' of {what} must have shape {text}, not {list(source.shape)}"
        )
    if source.dtype != np.float32:
        raise ConfigError(
            f"'{name}' of {what} must be float32, not {source.dtype}; prepare it as for the "
            "float network and save it with astype(numpy.float32)"
        )


def _label_count(labels: Source, what: str) -> int:
    if labels.dtype.kind not in "iu" or len(labels.shape) != 1:
        raise ConfigError(
            f"labels '{LABELS}' of {what} must be whole numbers [N], not {labels.dtype} "
            f"{list(labels.shape)}"
        )
    return labels.shape[0]


def _spread(total: int, most: int | None) -> Sequence[int]:
    """Indices from first to last: files are often sorted by class."""
    if most is None or most >= total:
        return range(total)
    return [int(index) for index in np.linspace(0, total - 1, most).round()]


def _joined(labels: Source, chosen: Sequence[int]) -> np.ndarray:
    return np.concatenate([*labels.rows(chosen)]).astype(np.int64)
