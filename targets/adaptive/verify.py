"""Does an adaptive bundle compute, at every cut, what the network means?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from joulecut.compiler import message
from joulecut.compiler.bundle import Bundle
from joulecut.compiler.errors import ConfigError
from joulecut.compiler.graph import Graph, input_specs, output_specs
from joulecut.compiler.link_code import sample_dims
from joulecut.compiler.pieces import run_cloud, run_edge
from joulecut.compiler.reference import run_reference
from joulecut.compiler.verify import EngineResult, Report, compare, fraction_differing
from joulecut.targets.adaptive.opened import Adaptive
from joulecut.targets.adaptive.session import AdaptiveSession
from joulecut.targets.devices.device import Device, device
from joulecut.targets.devices.protocol import Progress
from joulecut.targets.devices.records import check_feeds, sample_shape

Arrays = Mapping[str, np.ndarray]

MESSAGE = "what is sent"  # stands for the messages among names of tensors


def verify_adaptive(
    bundle: Bundle,
    against: Sequence[str],
    feeds: Arrays | None = None,
    progress: Progress | None = None,
) -> Report:
    """Compare every cut of an adaptive bundle with the reference.

    Args:
        bundle: an adaptive one.
        against: "reference" (the pieces of each cut and its codec, by the interpreter of the
            specification, against the whole), "tvm" (the built code of edge and server), or
            the address of a device for the edge such as "qemu:aarch64".
        feeds: N samples for each input; None for the vectors in the bundle.
        progress: called as cuts finish.

    Raises:
        ConfigError: an engine is unknown, or cannot say anything about this bundle.
        UntrustedInputError: the bundle is corrupt.
        DeviceError: a device is missing or stops.
    """
    results: list[EngineResult] = []
    for engine in against:
        place = None if engine in ("reference", "tvm") else _place(engine)
        with AdaptiveSession(bundle, edge_device=place) as session:
            adaptive = session.adaptive
            given = adaptive.inputs() if feeds is None else feeds
            check_feeds(given, input_specs(adaptive.whole))
            for cut in range(len(adaptive.codes)):
                results.append(_cut(session, engine, place, given, cut))
                if progress is not None:
                    progress(cut + 1, len(adaptive.codes))
    return Report(str(bundle.path), tuple(results))


def _place(engine: str) -> Device:
    try:
        return device(engine)
    except ConfigError as error:
        raise ConfigError(
            f"engine of an adaptive bundle must be reference, tvm, local or qemu:ARCH, not "
            f"'{engine}'"
        ) from error


def _cut(
    session: AdaptiveSession, engine: str, place: Device | None, feeds: Arrays, cut: int
) -> EngineResult:
    adaptive = session.adaptive
    expected, messages = expected_at(adaptive, feeds, cut)
    note = f"{messages.shape[1]} B a sample cross, at most"
    if engine == "reference":
        lossless = adaptive.lossless
        note = note if lossless else f"{note}; the codec is lossy: a difference is its price"
        whole = _whole(adaptive.whole, feeds)
        return _result(engine, adaptive.names[cut], whole, expected, obeyed=lossless, note=note)
    count = len(messages)
    ran = session.run(feeds, [0.0] * count, cut=cut)
    made = {**ran.outputs, MESSAGE: _array(ran.messages)}
    return _result(
        engine,
        adaptive.names[cut],
        {MESSAGE: messages, **expected},
        made,
        note=note if place is None else f"on {place.address}; {note}",
    )


def expected_at(
    adaptive: Adaptive, feeds: Arrays, cut: int
) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """The outputs of the whole at a cut, [N, ...], and its messages, by reference and host."""
    code = adaptive.codes[cut]
    rows: list[dict[str, np.ndarray]] = []
    messages: list[bytes] = []
    for fed in _samples(adaptive.whole, feeds):
        edge = run_edge(adaptive.pieces, cut, fed)
        arrays = [edge[spec.name].reshape(sample_dims(spec)) for spec in code.specs]
        frame = code.pack(arrays)
        received = {
            spec.name: array.reshape(spec.shape)
            for spec, array in zip(code.specs, code.unpack(frame), strict=True)
        }
        messages.append(message.join(cut, frame))
        rows.append({**edge, **run_cloud(adaptive.pieces, cut, received)})
    return _stacked(adaptive.whole, rows), _array(messages)


def _whole(graph: Graph, feeds: Arrays) -> dict[str, np.ndarray]:
    names = [spec.name for spec in output_specs(graph)]
    rows = [
        {**fed, **dict(zip(names, run_reference(graph, fed), strict=True))}
        for fed in _samples(graph, feeds)
    ]
    return _stacked(graph, rows)


def _samples(graph: Graph, feeds: Arrays) -> list[dict[str, np.ndarray]]:
    """One sample after the other, of the exact shapes."""
    specs = input_specs(graph)
    count = len(feeds[specs[0].name])
    return [
        {spec.name: feeds[spec.name][i].reshape(spec.shape) for spec in specs}
        for i in range(count)
    ]


def _stacked(graph: Graph, rows: Sequence[Arrays]) -> dict[str, np.ndarray]:
    return {
        spec.name: np.stack([row[spec.name].reshape(sample_shape(spec)) for row in rows])
        for spec in output_specs(graph)
    }


def _array(messages: Sequence[bytes]) -> np.ndarray:
    """Messages as uint8 [N, longest], shorter ones with zeros behind."""
    longest = max(map(len, messages))
    padded = b"".join(each.ljust(longest, b"\0") for each in messages)
    return np.frombuffer(padded, np.uint8).reshape(len(messages), longest)


def _result(
    engine: str,
    part: str,
    expected: Arrays,
    made: Arrays,
    *,
    obeyed: bool = True,
    note: str = "",
) -> EngineResult:
    return EngineResult(
        engine=engine,
        part=part,
        layers=len(expected),
        samples=len(next(iter(expected.values()))),
        divergence=compare(expected, made, list(expected)),
        fraction_differing=fraction_differing(expected, made),
        obeyed=obeyed,
        note=note,
    )
