"""An edge without Python chooses its cut, any of them is exact, and the server takes no lies."""

from __future__ import annotations

import ctypes
import json
import math
import random
import re
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from built_bundles import need_target, samples
from integer_graphs import NETWORKS
from selection_cases import channels_of

from joulecut.compiler.bundle import Bundle, write_bundle
from joulecut.compiler.config import CodecConfig
from joulecut.compiler.cut_costs import CutCosts
from joulecut.compiler.errors import ConfigError, DeviceError, UntrustedInputError
from joulecut.compiler.graph import input_specs
from joulecut.compiler.message import join
from joulecut.compiler.objective import Objective
from joulecut.compiler.profile import Quantity
from joulecut.compiler.reference import trace
from joulecut.compiler.selection import choose
from joulecut.hw.cache import default_cache_dir
from joulecut.targets.adaptive import layout as places
from joulecut.targets.adaptive.build import build_adaptive
from joulecut.targets.adaptive.choices import Times
from joulecut.targets.adaptive.edge import edge_library, read_run
from joulecut.targets.adaptive.opened import opened_adaptive
from joulecut.targets.adaptive.session import AdaptiveSession
from joulecut.targets.base import target
from joulecut.targets.cpu.build import build_part, compiled
from joulecut.targets.cpu.tuning.database import Noted
from joulecut.targets.opened import opened
from joulecut.targets.verify import verify

pytestmark = pytest.mark.tool

OBJECTIVE = Objective(
    margin=0.3, max_energy_j=1e-4
)  # with a border beyond which there is no cut
NAMES = ["conv1d", "two_inputs"]
CASES = [("conv1d", "x86_64"), ("two_inputs", "x86_64"), ("two_inputs", "aarch64")]


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Builds each bundle once."""

    @cache
    def made(name: str, edge: str, quantizer: str = "none") -> Bundle:
        need_target(edge)
        return build_network(
            name, edge, tmp_path_factory.mktemp("adaptive") / "a.bundle", quantizer
        )

    return made


def build_network(name: str, edge: str, out: Path, quantizer: str = "none") -> Bundle:
    graph = NETWORKS[name]()
    codec = CodecConfig.model_validate({"quantizer": quantizer, "bits": 4})
    return build_adaptive(
        graph,
        edge=edge,
        out=out,
        objective=OBJECTIVE,
        codec=codec,
        max_candidates=12,
        vectors=samples(graph, 3, first_seed=100),
    )


def costs_of(bundle: Bundle) -> list[CutCosts]:
    """What the cuts cost, as the manifest says."""

    def read(value: Any) -> Any:
        return Quantity(**value) if isinstance(value, dict) else value  # pyright: ignore[reportUnknownArgumentType]

    return [
        CutCosts(**{key: read(value) for key, value in row["costs"].items()})
        for row in bundle.manifest["cuts"]
    ]


def trajectory(bundle: Bundle) -> list[float]:
    """200 channels, every border of the table and its neighbours among them."""
    with opened_adaptive(bundle) as held:
        borders = channels_of(held.table)
    rng = random.Random(3)
    middle = [10 ** rng.uniform(-12, -3) for _ in range(max(0, 200 - len(borders)))]
    every = [*borders, *middle]
    rng.shuffle(every)
    return every


def followed(bundle: Bundle, channels: list[float]) -> tuple[int | None, ...]:
    """The cuts that `choose` takes one after the other."""
    costs = costs_of(bundle)
    cuts: list[int | None] = []
    for x in channels:
        cuts.append(choose(costs, x, OBJECTIVE, cuts[-1] if cuts else None))
    return tuple(cuts)


@pytest.mark.parametrize(("name", "edge"), CASES)
def test_the_edge_chooses_what_choose_does(name: str, edge: str, bundles: Any) -> None:
    bundle = bundles(name, edge)
    channels = trajectory(bundle)
    feeds = samples(NETWORKS[name](), 1)
    repeated = {key: np.repeat(array, len(channels), 0) for key, array in feeds.items()}
    want = followed(bundle, channels)
    assert None in want
    assert set(want) - {None} == set(range(len(costs_of(bundle))))
    with AdaptiveSession(bundle) as session:
        ran = session.run(repeated, channels)
    assert ran.cuts == want
    for cut, blob in zip(ran.cuts, ran.messages, strict=True):
        assert blob[:2] == (b"" if cut is None else cut.to_bytes(2, "little"))
        assert (blob == b"") == (cut is None)  # nothing is sent where no cut keeps the bounds


@pytest.mark.parametrize(("name", "edge"), CASES)
def test_every_cut_equals_the_whole(name: str, edge: str, bundles: Any) -> None:
    bundle = bundles(name, edge)
    graph = NETWORKS[name]()
    feeds = samples(graph, 4)
    known = trace(graph, feeds)
    with AdaptiveSession(bundle) as session:
        assert len(session.adaptive.codes) >= 3
        for cut in range(len(session.adaptive.codes)):
            made = session.run(feeds, [0.0] * 4, cut=cut).outputs
            for output, array in made.items():
                want = known[output].reshape(array.shape)
                assert array.dtype == want.dtype
                np.testing.assert_array_equal(array, want)


def test_messages_are_the_hosts_and_verify_says_so(bundles: Any) -> None:
    bundle = bundles("two_inputs", "aarch64", "tcq")
    report = verify(bundle, ["reference", "tvm", "qemu:aarch64"])
    report.require()
    cuts = len(bundle.manifest["cuts"])
    assert [result.engine for result in report.results] == [
        engine for engine in ("reference", "tvm", "qemu:aarch64") for _ in range(cuts)
    ]
    built = [result for result in report.results if result.engine != "reference"]
    assert all(result.divergence is None and result.obeyed for result in built)
    assert any(result.divergence for result in report.results)  # coding has its price


def test_verify_sees_another_weight(bundles: Any, tmp_path: Path) -> None:
    bundle = bundles("two_inputs", "x86_64")
    path = next(
        places.graph_path(number)
        for number, piece in enumerate(bundle.manifest["pieces"])
        if "n3.requantize" in piece["layers"]
    )
    graph = bytearray(bundle.open(path))
    with opened_adaptive(bundle) as held:
        weights = next(
            value.const_value.numpy()
            for piece in held.pieces
            for value in piece.graph.graph.initializers.values()
            if value.const_value is not None and value.const_value.numpy().ndim == 4
        )
    at = graph.index(weights.tobytes())
    graph[at] ^= 0x40
    broken = rewritten(bundle, tmp_path / "b.bundle", {path: bytes(graph)}, {})
    report = verify(broken, ["reference"])
    assert not all(result.ok for result in report.results)


def rewritten(
    bundle: Bundle, path: Path, files: dict[str, bytes], fields: dict[str, Any]
) -> Bundle:
    """The bundle with other files and fields, under hashes that fit."""
    kept = {k: v for k, v in bundle.manifest.items() if k not in ("schema_version", "files")}
    every = {name: bundle.open(name) for name in bundle.files}
    return write_bundle(path, {**kept, **fields}, {**every, **files})


def test_hysteresis_keeps_the_cut_within_its_span_only(bundles: Any) -> None:
    bundle = bundles("conv1d", "x86_64")
    with opened_adaptive(bundle) as held:
        library = edge_library(held.folder / places.EDGE)
        table = held.table
    kept = 0
    for span in table.spans:
        beyond = math.nextafter(span.last, math.inf)
        assert library.model_select(span.last, span.cut) == span.cut
        assert library.model_select(beyond, span.cut) != span.cut
        kept += library.model_select(span.last, -1) != span.cut
    assert kept >= 2  # where it would not have been chosen


def test_the_edge_says_that_no_cut_is_left(bundles: Any) -> None:
    bundle = bundles("conv1d", "x86_64")
    feeds = samples(NETWORKS["conv1d"](), 2)
    with AdaptiveSession(bundle) as session:
        ran = session.run(feeds, [math.inf, 0.0])
    assert ran.cuts[0] is None
    assert ran.cuts[1] is not None
    assert ran.messages[0] == b""
    (output,) = ran.outputs.values()
    assert not output[0].any()
    assert output[1].any()


@pytest.mark.parametrize(
    ("x", "previous"),
    [(-1.0, -1), (math.nan, -1), (0.0, -2), (0.0, 99), (1.0, 0xFFFF), (1.0, -(2**31))],
)
def test_the_edge_refuses_what_is_no_channel(x: float, previous: int, bundles: Any) -> None:
    with opened_adaptive(bundles("conv1d", "x86_64")) as held:
        library = edge_library(held.folder / places.EDGE)
        assert library.model_select(x, previous) == -2


def test_the_library_refuses_cuts_and_room_that_there_are_not(bundles: Any) -> None:
    with opened_adaptive(bundles("conv1d", "x86_64")) as held:
        library = edge_library(held.folder / places.EDGE)
        message = ctypes.create_string_buffer(b"\xaa" * 64)
        cuts = len(held.codes)
    for cut, capacity in ((-1, 64), (cuts, 64), (0, 0), (0, 1)):
        assert library.model_run_cut(None, cut, None, None, None, message, capacity) == 0
        assert message.raw[:64] == b"\xaa" * 64


def test_damaged_messages_are_refused(bundles: Any) -> None:
    bundle = bundles("two_inputs", "x86_64")
    feeds = samples(NETWORKS["two_inputs"](), 1)
    with AdaptiveSession(bundle) as session:
        cuts = range(len(session.adaptive.codes))
        blobs = [session.run(feeds, [0.0], cut=cut).messages[0] for cut in cuts]
        for cut, blob in enumerate(blobs):
            for length in range(0, len(blob), max(1, len(blob) // 40)):
                with pytest.raises(UntrustedInputError):
                    session.server.answer(blob[:length])
            for bit in range(0, 8 * len(blob), max(1, len(blob) // 8)):
                mutant = bytearray(blob)
                mutant[bit // 8] ^= 1 << bit % 8
                with pytest.raises(UntrustedInputError):
                    session.server.answer(bytes(mutant))
            with pytest.raises(UntrustedInputError):
                session.server.answer(blob + b"\0")
            for other in set(cuts) - {cut}:
                with pytest.raises(UntrustedInputError, match="frame must "):
                    session.server.answer(join(other, blob[2:]))
        with pytest.raises(UntrustedInputError, match="must have at least the 2 bytes"):
            session.server.answer(b"\0")
        with pytest.raises(UntrustedInputError, match=r"must be in 0\.\.\d, not 65535; edge"):
            session.server.answer(join(0xFFFF, blobs[0][2:]))
        two = session.adaptive.codes[0].pack(
            [np.repeat(feeds[spec.name], 2, 0) for spec in session.adaptive.codes[0].specs]
        )
        with pytest.raises(UntrustedInputError, match="must hold one sample, not 2"):
            session.server.answer(join(0, two))


def test_the_server_answers_messages_of_all_cuts_at_once(bundles: Any) -> None:
    bundle = bundles("two_inputs", "x86_64")
    graph = NETWORKS["two_inputs"]()
    feeds = samples(graph, 1)
    known = trace(graph, feeds)
    with AdaptiveSession(bundle) as session:
        cuts = [*range(len(session.adaptive.codes))] * 2
        blobs = [session.run(feeds, [0.0], cut=cut).messages[0] for cut in cuts]
        for answer in session.server.answers(blobs):
            assert answer
            for name, array in answer.items():
                np.testing.assert_array_equal(array, known[name].reshape(array.shape))


@pytest.mark.parametrize("name", NAMES)
def test_each_side_has_a_weight_once(name: str, bundles: Any, tmp_path: Path) -> None:
    """The constants of all pieces of a side are not more than those of the whole in one part."""
    bundle = bundles(name, "x86_64")
    whole = build_part(NETWORKS[name](), target("x86_64"), tmp_path).weight_bytes
    held = {
        path: json.loads(bundle.open(path))["weight_bytes"]
        for path in bundle.files
        if path.endswith("layers.json")
    }
    edge = held.pop("edge/layers.json")
    assert 0 < edge <= whole
    assert 0 < sum(held.values()) <= whole + 64 * len(held)
    layers = [each for piece in bundle.manifest["pieces"] for each in piece["layers"]]
    assert len(layers) == len(set(layers))


def test_equal_inputs_give_equal_bytes(bundles: Any, tmp_path: Path) -> None:
    again = build_network("two_inputs", "x86_64", tmp_path / "again.bundle")
    assert again.digest == bundles("two_inputs", "x86_64").digest


def test_the_library_needs_libc_only(bundles: Any) -> None:
    library = str(bundles("conv1d", "x86_64").path / "edge/libmodel.so")
    named = _say("nm", "-D", "--undefined-only", library)
    strong = {line.split()[1].split("@")[0] for line in named.splitlines() if " U " in line}
    teams = {name for name in strong if name.startswith(("pthread_", "sched_", "__sched_"))}
    assert strong - teams <= {"memcpy", "memset", "memmove", "memcmp", "aligned_alloc", "free"}
    exported = set(_say("nm", "-D", "--defined-only", library).split()[2::3])
    assert all(name.startswith("model_") for name in exported)
    assert {"model_select", "model_run_cut", "model_check", "model_hook"} <= exported
    assert "jc_decode_tensor" not in _say("nm", library)


@pytest.mark.parametrize("standard", [["gcc", "-std=c11"], ["g++", "-std=c++17"]])
def test_the_header_compiles(standard: list[str], bundles: Any, tmp_path: Path) -> None:
    folder = bundles("conv1d", "x86_64").path / "edge"
    language = "c++" if "g++" in standard else "c"
    command = [*standard, "-Wall", "-Wextra", "-Werror", "-pedantic", "-fsyntax-only"]
    subprocess.run([*command, "-x", language, folder / "model.h"], check=True, cwd=tmp_path)


def _say(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def test_a_damaged_table_is_noticed(bundles: Any, tmp_path: Path) -> None:
    bundle = bundles("conv1d", "x86_64")
    table = bundle.open(places.TABLE)
    library = bytearray(bundle.open("edge/libmodel.so"))
    library[library.index(table) + 20] ^= 1
    (tmp_path / "libmodel.so").write_bytes(library)
    (tmp_path / "layers.json").write_bytes(bundle.open("edge/layers.json"))
    with pytest.raises(DeviceError, match=r"table of cuts in .* must be as it was built"):
        edge_library(tmp_path)


def change_cuts(manifest: Any, among: list[Any]) -> dict[str, Any]:
    pieces = json.loads(json.dumps(manifest["pieces"]))
    pieces[-1]["cuts"] = among
    return {"pieces": pieces}


def test_a_manifest_that_does_not_fit_its_graph_is_refused(
    bundles: Any, tmp_path: Path
) -> None:
    bundle = bundles("conv1d", "x86_64")
    manifest = bundle.manifest
    fewer = manifest["cuts"][:-1]
    cases: list[tuple[dict[str, Any], str]] = [
        (change_cuts(manifest, [0]), "must find '.*' at cut 0, and does not"),
        (change_cuts(manifest, [99]), "cuts of piece . in a manifest must be numbers below"),
        (change_cuts(manifest, [True]), "cuts of piece . in a manifest must be numbers below"),
        ({"pieces": []}, "pieces of an adaptive manifest must be a list, not empty"),
        ({"pieces": [3]}, "must be at most 4096 objects"),
        ({"pieces": manifest["pieces"][:-1]}, "must make '.*', and do not"),
        ({"cuts": fewer}, "table of cuts must choose among"),
        ({"parts": {}}, "manifest must name the target of the edge"),
        ({"selection": {}}, "manifest must name the codec of its selection"),
    ]
    for number, (fields, said) in enumerate(cases):
        broken = rewritten(bundle, tmp_path / f"{number}.bundle", {}, fields)
        with pytest.raises(UntrustedInputError, match=said), opened_adaptive(broken):
            pass


def test_the_two_kinds_of_bundles_are_told_apart(bundles: Any, tmp_path: Path) -> None:
    with (
        pytest.raises(ConfigError, match="must be of one cut here, and is adaptive; run it"),
        opened(bundles("conv1d", "x86_64")),
    ):
        pass
    plain = write_bundle(tmp_path / "p.bundle", {"name": "p"}, {})
    with (
        pytest.raises(ConfigError, match="must be adaptive to choose its cut, and was built"),
        opened_adaptive(plain),
    ):
        pass


def test_arguments_that_do_not_fit(bundles: Any, tmp_path: Path) -> None:
    graph = NETWORKS["conv1d"]()
    with AdaptiveSession(bundles("conv1d", "x86_64")) as session:
        feeds = samples(graph, 2)
        with pytest.raises(ConfigError, match="channels must be one for each of 2 samples"):
            session.run(feeds, [0.0])
        with pytest.raises(ConfigError, match="x must be 0 or more seconds per bit, not -1"):
            session.run(feeds, [0.0, -1])
        with pytest.raises(ConfigError, match=r"cut must be in 0\.\.\d, not 77"):
            session.run(feeds, [0.0, 0.0], cut=77)
    with pytest.raises(ConfigError, match="edge of an adaptive bundle must be a processor"):
        build_adaptive(graph, edge="x86_64+z7020", out=tmp_path / "x")
    with pytest.raises(ConfigError, match=r"edge_time of cut '.*' must be known to weigh"):
        build_adaptive(graph, objective=Objective(0, 1), out=tmp_path / "x")
    with pytest.raises(ConfigError, match="edge_macs_per_s and cloud_macs_per_s must be"):
        Times(0, 1)
    with pytest.raises(DeviceError, match="edge's program must write 1 samples in 3 bytes"):
        read_run(b"abc", (), 1)


def test_inputs_of_the_bundle_are_its_vectors(bundles: Any) -> None:
    bundle = bundles("two_inputs", "x86_64")
    graph = NETWORKS["two_inputs"]()
    want = samples(graph, 3, first_seed=100)
    with opened_adaptive(bundle) as held:
        for spec in input_specs(graph):
            np.testing.assert_array_equal(held.inputs()[spec.name], want[spec.name])


def test_layers_of_later_pieces_go_on_counting() -> None:
    """A profiler at the one hook sees each layer of all pieces under a number of its own."""
    place = target("x86_64")
    part = compiled(NETWORKS["conv1d"](), place, Noted({}), default_cache_dir(), first=7)
    hooks = re.findall(r"model_hook\((\d+)\);", part.driver)
    assert list(map(int, hooks)) == list(range(7, 7 + len(part.lowered)))
    assert "void model_hook" not in part.driver
