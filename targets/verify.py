"""Does what was built compute what the network means? One row for each engine and part.

The reference says what is right: layer by layer for built code, so that a fault has a name, and
output by output for the split as a whole. An engine with its own idea of rounding is compared,
and its difference reported, but it is not obeyed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from joulecut.compiler import onnxrt
from joulecut.compiler.bundle import Bundle, read_bundle
from joulecut.compiler.errors import ConfigError
from joulecut.compiler.graph import Graph, input_specs, output_specs, spec_of
from joulecut.compiler.layers import layers
from joulecut.compiler.reference import trace
from joulecut.compiler.verify import (
    Divergence,
    EngineResult,
    Report,
    compare,
    fraction_differing,
)
from joulecut.targets import layout
from joulecut.targets.adaptive.verify import verify_adaptive
from joulecut.targets.devices.device import Device, device, device_for
from joulecut.targets.devices.fpga_sim import FpgaSimDevice
from joulecut.targets.devices.protocol import Progress
from joulecut.targets.devices.records import check_feeds, read_layers, sample_shape
from joulecut.targets.opened import opened
from joulecut.targets.split import Side, Split, run_parts, through_codec

Arrays = Mapping[str, np.ndarray]

DEFAULT_AGAINST = ("reference", "tvm")


def verify(
    bundle: Bundle | str | Path,
    against: Sequence[str] = DEFAULT_AGAINST,
    feeds: Arrays | None = None,
    progress: Progress | None = None,
) -> Report:
    """Compare what a bundle holds with the reference and with other engines.

    Of an adaptive bundle every cut is compared: see `verify_adaptive`.

    Args:
        bundle: a bundle, or where one lies; its hashes are checked first.
        against: "reference" (the stored vectors, and the parts composed, against the
            interpreter of the specification), "tvm" (the built code of both parts, natively
            or emulated; layers for an accelerator on its simulated source), "rtl" (that of the
            parts with an accelerator alone), a device address such as "qemu:aarch64,cpu=cortex-a53" (the parts
            built for it), "onnxrt" (the float model that was quantized, if the bundle has it).
        feeds: N samples for each input; None for the vectors in the bundle.
        progress: called as samples finish on a device.

    Raises:
        ConfigError: if an engine is unknown, or cannot say anything about this bundle.
        UntrustedInputError: if the bundle is corrupt.
        DeviceError: if a device is missing or stops.
    """
    if not against:
        raise ConfigError(f"against must name an engine ({_ENGINES}), not none")
    checked = bundle if isinstance(bundle, Bundle) else read_bundle(Path(bundle))
    if layout.is_adaptive(checked):
        return verify_adaptive(checked, against, feeds, progress)
    with opened(checked) as held:
        samples = held.inputs() if feeds is None else feeds
        case = expected_of(held.split, samples)
        results: list[EngineResult] = []
        for engine in against:
            if engine == "reference":
                golden = held.answers() if feeds is None else None
                results += _by_reference(case, golden)
            elif engine == "onnxrt":
                results.append(_by_onnxruntime(case, held.source()))
            else:
                results += by_device(case, engine, progress)
        return Report(str(held.bundle.path), tuple(results))


_ENGINES = "reference, tvm, rtl, onnxrt, or a device address such as local or qemu:aarch64"


@dataclass(frozen=True)
class Case:
    """Samples, and what the reference makes of them.

    Attributes:
        split: what is verified.
        feeds: [N, ...] for each input of the whole.
        count: N.
        whole: every value of the unsplit graph, [N, ...].
        sides: for each part its inputs and every value, the cloud after the codec.
    """

    split: Split
    feeds: Arrays
    count: int
    whole: Arrays
    sides: Mapping[str, Arrays]

    def outputs(self) -> dict[str, np.ndarray]:
        """What the split must make; that of the whole if the codec loses nothing."""
        known = {**self.feeds, **self.sides["edge"], **self.sides["cloud"]}
        return {spec.name: known[spec.name] for spec in output_specs(self.split.whole)}


def expected_of(split: Split, feeds: Arrays) -> Case:
    """Run the reference on the whole and on the parts, with the codec between them."""
    count = check_feeds(feeds, input_specs(split.whole))
    edge = _values(split.edge.graph, split.edge.inputs_of(feeds), count)
    received, _ = through_codec(split, {**feeds, **edge}, count)
    cloud = _values(split.cloud.graph, split.cloud.inputs_of(received), count)
    whole = _values(split.whole, feeds, count)
    return Case(split, feeds, count, whole, {"edge": edge, "cloud": cloud})


def _values(graph: Graph, feeds: Arrays, count: int) -> dict[str, np.ndarray]:
    """Inputs and layer outputs by the reference, [N, ...].

    The reference takes samples together where every input has a batch of 1 to put them in.
    """
    inputs = input_specs(graph)
    specs = [*inputs, *(spec_of(layer.output) for layer in layers(graph))]
    if all(spec.shape[:1] == (1,) for spec in inputs):
        made = trace(graph, feeds)
        return {s.name: made[s.name].reshape(count, *sample_shape(s)) for s in specs}
    rows = [
        trace(graph, {spec.name: feeds[spec.name][i].reshape(spec.shape) for spec in inputs})
        for i in range(count)
    ]
    return {s.name: np.stack([r[s.name].reshape(sample_shape(s)) for r in rows]) for s in specs}


def _names(graph: Graph) -> list[str]:
    return [layer.name for layer in layers(graph)]


def _stored(side: Side) -> list[str]:
    """The layers whose outputs the built part stores: others run fused with the one behind."""
    inside = {name for layer in read_layers(side.directory) for name in layer.layers[:-1]}
    return [name for name in _names(side.graph) if name not in inside]


def _by_reference(case: Case, golden: Arrays | None) -> list[EngineResult]:
    """The stored answers, and the property of a split: its parts compose to the whole."""
    split = case.split
    results: list[EngineResult] = []
    outputs = {spec.name: case.whole[spec.name] for spec in output_specs(split.whole)}
    if golden is not None:
        results.append(_result("golden", "whole", case, golden, outputs, list(outputs)))
    lossless = split.codec.quantizer == "none"
    for side in split.sides:
        order = _names(side.graph)
        exact = lossless or side.name == "edge"
        note = "" if exact else "the codec is lossy: a difference is its price, not a fault"
        results.append(
            _result(
                "reference",
                side.name,
                case,
                case.whole,
                case.sides[side.name],
                order,
                outputs=[name for name in outputs if name in order],
                obeyed=exact,
                note=note,
            )
        )
    return results


def by_device(case: Case, engine: str, progress: Progress | None = None) -> list[EngineResult]:
    """Built code, layer by layer for each part, then the split from end to end.

    Args:
        case: from `expected_of`.
        engine: "tvm" for both parts where they can run, or a device address for those parts
            that are built for it.
        progress: called as samples finish.

    Raises:
        ConfigError: if the engine is no device, or no part is built for it.
        DeviceError: if a device is missing or stops.
    """
    split = case.split
    places = _places(split, engine)
    results = [
        _result(
            engine,
            side.name,
            case,
            case.sides[side.name],
            place.trace(
                side.directory,
                side.inputs_of({**case.feeds, **case.sides[side.name]}),
                side.signature,
                progress,
            ),
            _stored(side),
            outputs=[spec.name for spec in side.signature.outputs],
            note=f"on {place.address}",
        )
        for side in split.sides
        if (place := places.get(side.name)) is not None
    ]
    ran = run_parts(
        split, case.feeds, places.get("edge"), places.get("cloud"), progress=progress
    )
    expected = case.outputs()
    note = f"{ran.coded_bytes.mean():.1f} B a sample cross, {ran.raw_bytes} B raw"
    results.append(
        _result(engine, "split", case, expected, ran.outputs, list(expected), note=note)
    )
    return results


def _places(split: Split, engine: str) -> dict[str, Device]:
    """Which sides run where: an address is for the parts that its processor can run."""
    sides = split.sides
    if engine == "tvm":
        return {side.name: device_for(side.target) for side in sides}
    place = FpgaSimDevice() if engine == "rtl" else _device(engine)
    if isinstance(place, FpgaSimDevice):
        able = [side.name for side in sides if side.target.accelerator is not None]
        if not able:
            raise ConfigError(
                f"engine '{engine}' must be for a part with an accelerator, and the bundle has "
                "none; build it for a target such as pynq_z2+z7020"
            )
        return dict.fromkeys(able, place)
    found = {
        side.name: place
        for side in sides
        if side.target.arch == place.arch and side.target.accelerator is None
    }
    if not found:
        built = ", ".join(f"{side.name}: {_built_for(side)}" for side in sides)
        raise ConfigError(
            f"engine '{engine}' must be for a processor that a part was built for, "
            f"not {place.arch} ({built})"
        )
    return found


def _built_for(side: Side) -> str:
    config = side.target.accelerator
    return side.target.arch if config is None else f"{side.target.arch}+{config.name}"


def _device(engine: str) -> Device:
    try:
        return device(engine)
    except ConfigError as error:
        raise ConfigError(f"engine must be {_ENGINES}, not '{engine}'; {error}") from error


def _by_onnxruntime(case: Case, original: bytes | None) -> EngineResult:
    """The float model node by node, sample by sample: near, but rounded by other rules."""
    if original is None:
        raise ConfigError(
            "bundle must hold the original model to be compared with onnxrt, and does not; "
            "build it with the model, or leave onnxrt out"
        )
    session = onnxrt.session(original, optimize=False)
    specs = output_specs(case.split.whole)
    made: list[list[np.ndarray]] = []
    for index in range(case.count):
        sample = {
            spec.name: case.feeds[spec.name][index].reshape(spec.shape)
            for spec in input_specs(case.split.whole)
        }
        made.append(session.run(sample))
    columns = zip(session.outputs, zip(*made, strict=True), strict=True)
    joined = {name: np.stack(column) for name, column in columns}
    actual = {
        spec.name: joined[spec.name].reshape(case.count, *sample_shape(spec))
        for spec in specs
        if spec.name in joined
    }
    expected = {spec.name: case.whole[spec.name] for spec in specs}
    note = "compared, not obeyed: it rounds in float between its nodes"
    return _result(
        "onnxrt", "whole", case, expected, actual, list(expected), obeyed=False, note=note
    )


def _result(
    engine: str,
    part: str,
    case: Case,
    expected: Arrays,
    actual: Arrays,
    order: Sequence[str],
    *,
    outputs: Sequence[str] | None = None,
    obeyed: bool = True,
    note: str = "",
) -> EngineResult:
    divergence: Divergence | None = compare(expected, actual, order)
    final = {name: expected[name] for name in (order if outputs is None else outputs)}
    return EngineResult(
        engine=engine,
        part=part,
        layers=len(order),
        samples=case.count,
        divergence=divergence,
        fraction_differing=fraction_differing(final, actual),
        obeyed=obeyed,
        note=note,
    )
