"""What a trial does on a worker: train, build the cut, run samples through it, price it.

Every step checks that the model and the samples it finds are those that its hash was made of, so
a result never stands under a name that is not its own.
"""

from __future__ import annotations

import base64
import fcntl
import hashlib
import tempfile
import threading
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from joulecut.compiler.config import CodecConfig
from joulecut.compiler.cost import Cost, cost
from joulecut.compiler.cut import cut_at
from joulecut.compiler.errors import ConfigError
from joulecut.compiler.graph import Graph, input_specs
from joulecut.compiler.graph_file import graph_to_bytes
from joulecut.compiler.load import load
from joulecut.compiler.pipeline import pipeline
from joulecut.compiler.plan import Plan, partition
from joulecut.compiler.profile import Profile, Provenance, Quantity
from joulecut.hw.cache import default_cache_dir, kept
from joulecut.hw.energy_table import EnergyTable, load_table
from joulecut.hw.links import load_link
from joulecut.hw.radio import RadioLink
from joulecut.sweep.job import digest
from joulecut.targets.build import build
from joulecut.targets.price import price
from joulecut.targets.profile import profile
from joulecut.targets.session import SplitResult, run_split
from joulecut.targets.study import VECTORS, accuracy

Arguments = Mapping[str, Any]
Results = Sequence[Mapping[str, Any]]
Arrays = Mapping[str, np.ndarray]

SIMULATED = ("qemu:", "fpga-sim")
PJ_PER_J = 1e12
NS_PER_S = 1e9
TIMES = ("latency", "time_min")  # of a profile: modelled for a board's core, or by a clock

_one_at_a_time = threading.Lock()  # torch and TVM have settings of the whole process


def train(arguments: Arguments, results: Results, boards: Sequence[str]) -> dict[str, Any]:
    """Train the digit network by a recipe; a training that was stopped goes on.

    Returns:
        `onnx`, the QCDQ file in base64, and `accuracy` and `seconds`, both measured.
    """
    del results, boards
    try:
        from joulecut.zoo.export import export_qcdq
        from joulecut.zoo.train import TrainConfig, load_trained
        from joulecut.zoo.train import train as train_network
    except ModuleNotFoundError as missing:
        raise ConfigError(
            f"a worker that trains must have the package {missing.name}, which is not installed; "
            "run: pip install torch==2.13.0, then pip install 'joulecut[train]'"
        ) from missing
    recipe = arguments["recipe"]
    folder = cache_dir() / f"training-{digest(dict(arguments))[:16]}"
    with _alone(folder):
        done = train_network(TrainConfig(directory=folder, **recipe))
        images, _ = _held_out(recipe["dataset"])
        exported = export_qcdq(load_trained(done.path), images[:1], folder / "digits.onnx")
        text = base64.b64encode(exported.read_bytes()).decode()
    return {"onnx": text, "accuracy": done.accuracy, "seconds": done.seconds}


def run_shard(arguments: Arguments, results: Results, boards: Sequence[str]) -> dict[str, Any]:
    """Build the bundle, unless it is there, and run samples `start` to `stop` through it.

    Returns:
        `samples` and what is summed over them: `correct` (None without labels), `coded_bytes`;
        of the cut `raw_bytes` and the `cost` of the edge part; and, where it is asked for,
        `compute_s`: seconds of both parts for one sample, as a Quantity's fields.
    """
    graph = _graph(arguments, results)
    feeds, labels = read_samples(arguments["samples"], graph, arguments["hints"])
    plan = partition(graph, cut_at(graph, arguments["cut"]))
    bundle = _bundle(arguments, plan, feeds)
    edge, cloud = devices(arguments, boards)
    start, stop = arguments["start"], arguments["stop"]
    ran = run_split(
        bundle,
        {name: feed[start:stop] for name, feed in feeds.items()},
        edge_device=edge,
        cloud_device=cloud,
        batch=arguments["batch"],
    )
    return {
        "samples": stop - start,
        "correct": _correct(ran, None if labels is None else labels[start:stop]),
        "coded_bytes": float(ran.coded_bytes.sum()),
        "raw_bytes": ran.raw_bytes,
        "cost": asdict(cost(plan.edge.graph)),
        "compute_s": _times(bundle, edge, cloud) if arguments["timed"] else None,
    }


def merge(arguments: Arguments, results: Results, boards: Sequence[str]) -> dict[str, Any]:
    """Shards to the quantities of a trial, each with its unit and provenance."""
    samples = sum(shard["samples"] for shard in results)
    coded = sum(shard["coded_bytes"] for shard in results) / samples
    prices, radio = load_table(arguments["hints"]["energy"]), load_link(arguments["link"]).link
    if prices_digest(prices, radio) != arguments["prices"]:
        raise ConfigError(
            f"energy table must be the driver's on every machine; "
            f"'{arguments['hints']['energy']}' or link '{arguments['link']}' here differs"
        )
    energy = price(Cost(**results[0]["cost"]), 8 * coded, prices, radio)
    found = {
        "energy_j": Quantity(energy.total_pj / PJ_PER_J, "J", "modelled"),
        "processing_j": Quantity(energy.processing_pj / PJ_PER_J, "J", "modelled"),
        "radio_j": Quantity(energy.radio_pj / PJ_PER_J, "J", "modelled"),
        "coded_bytes": Quantity(coded, "B", "measured"),
        "raw_bytes": Quantity(results[0]["raw_bytes"], "B", "measured"),
    }
    edge, cloud = devices(arguments, boards)
    correct = [shard["correct"] for shard in results]
    if None not in correct:
        how: Provenance = "measured"
        if any(place.startswith(SIMULATED) for place in (edge, cloud)):
            how = "simulated"
        found["accuracy"] = Quantity(sum(correct) / samples, "1", how)
    times = [shard["compute_s"] for shard in results if shard["compute_s"] is not None]
    if times:
        sending = Quantity(8 * coded / radio.rate_bits_per_s, "s", "modelled")
        found["latency_s"] = Quantity(*times[0]) + sending
    notes = {"samples": samples, "boards": list(boards), "edge": edge, "cloud": cloud}
    quantities = {name: [q.value, q.unit, q.provenance] for name, q in found.items()}
    return {"quantities": quantities, "notes": notes}


def run_whole(arguments: Arguments, results: Results, boards: Sequence[str]) -> dict[str, Any]:
    """A trial in one go: all samples as one shard."""
    return merge(arguments, [run_shard(arguments, results, boards)], boards)


def devices(arguments: Arguments, boards: Sequence[str]) -> tuple[str, str]:
    """Addresses of both devices; boards stand for those that are left open, edge first."""
    addresses: Mapping[str, str] = arguments["hints"]["boards"]
    chosen = iter(boards)
    edge, cloud = (
        arguments[side]["device"] or addresses[next(chosen)] for side in ("edge", "cloud")
    )
    return edge, cloud


def graph_digest(graph: Graph) -> str:
    """Of the integer Graph, weights included, wherever its file kept them."""
    return hashlib.sha256(graph_to_bytes(graph)).hexdigest()


def prices_digest(prices: EnergyTable, radio: RadioLink) -> str:
    """Of all that a table and a link say."""
    return digest(repr((prices, radio)))


def samples_digest(feeds: Arrays, labels: np.ndarray | None) -> str:
    """Of the samples' names, types, shapes and values."""
    said = hashlib.sha256()
    for name, array in sorted({**feeds, **({} if labels is None else {"": labels})}.items()):
        said.update(f"{name}\0{array.dtype}\0{array.shape}\0".encode())
        said.update(np.ascontiguousarray(array).tobytes())
    return said.hexdigest()


def read_samples(
    samples: Mapping[str, Any], graph: Graph, hints: Mapping[str, Any]
) -> tuple[Arrays, np.ndarray | None]:
    """Held-out samples for each input, [N, ...], and their labels, [N], or None.

    Args:
        samples: `dataset` or `file`, `count`, and their `sha256`, or None before it is known.
        graph: has the inputs.
        hints: `samples`: path of the file.

    Raises:
        ConfigError: an input has no samples, or they are not those of the digest.
    """
    inputs = [spec.name for spec in input_specs(graph)]
    if samples["dataset"] is not None:
        feeds, labels = _from_dataset(samples["dataset"], inputs)
    else:
        feeds, labels = _from_file(Path(hints["samples"]), inputs)
    count = samples["count"]
    feeds = {name: feed[:count] for name, feed in feeds.items()}
    labels = None if labels is None else labels[:count]
    if samples["sha256"] not in (None, samples_digest(feeds, labels)):
        raise ConfigError(
            f"samples must be the same on every machine, and those of "
            f"{samples['dataset'] or hints['samples']} here differ from the driver's"
        )
    return feeds, labels


def _from_dataset(name: str, inputs: Sequence[str]) -> tuple[Arrays, np.ndarray]:
    if len(inputs) != 1:
        raise ConfigError(
            f"samples must be a file for a model with inputs {', '.join(inputs)}, not {name}"
        )
    images, labels = _held_out(name)
    return {inputs[0]: images}, labels


@lru_cache(maxsize=1)
def _held_out(name: str) -> tuple[np.ndarray, np.ndarray]:
    from joulecut.zoo.data import fashion_mnist, mnist

    held_out = (mnist.load() if name == "mnist" else fashion_mnist.load()).held_out
    return held_out.images, held_out.labels


def _from_file(path: Path, inputs: Sequence[str]) -> tuple[Arrays, np.ndarray | None]:
    try:
        with np.load(path, allow_pickle=False) as archive:
            arrays = {str(name): archive[name] for name in archive.files}
    except (OSError, ValueError, EOFError) as error:
        raise ConfigError(f"samples must be a .npz file, not '{path}': {error}") from error
    absent = [name for name in inputs if name not in arrays]
    if absent:
        raise ConfigError(
            f"samples '{path}' must hold input '{absent[0]}', not only {', '.join(arrays)}"
        )
    return {name: arrays[name] for name in inputs}, arrays.get("labels")


def _graph(arguments: Arguments, results: Results) -> Graph:
    """The integer Graph: what was trained, or the file of the driver."""
    expected = arguments["model"]
    if expected is None:
        return trained_graph(results[0])
    path = arguments["hints"]["model"]
    graph = pipeline(load(path))
    if graph_digest(graph) != expected:
        raise ConfigError(f"model must be the driver's on every machine; '{path}' here differs")
    return graph


def trained_graph(result: Mapping[str, Any]) -> Graph:
    """The integer Graph of what `train` returned."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        path.write_bytes(base64.b64decode(result["onnx"]))
        return pipeline(load(path))


def _bundle(arguments: Arguments, plan: Plan, feeds: Arrays) -> Path:
    """The bundle of a cut, built by one process of this machine and kept for the others."""
    vectors = {name: feed[:VECTORS] for name, feed in feeds.items()}
    said = [
        graph_digest(plan.whole),
        samples_digest(vectors, None),
        *(arguments[name] for name in ("cut", "codec", "versions")),
        *(arguments[side]["target"] for side in ("edge", "cloud")),
    ]
    path = cache_dir() / "bundles" / f"{digest(said)[:32]}.zip"

    def make(out: Path) -> None:
        build(
            plan,
            edge=arguments["edge"]["target"],
            cloud=arguments["cloud"]["target"],
            out=out,
            codec=CodecConfig.model_validate(arguments["codec"]),
            vectors=vectors,
        )

    with _alone(path):
        return kept(path, make)


def _correct(ran: SplitResult, labels: np.ndarray | None) -> int | None:
    """How many samples get their label."""
    share = accuracy(next(iter(ran.outputs.values())), labels)
    return None if share is None or labels is None else round(share * len(labels))


def _times(bundle: Path, edge: str, cloud: str) -> list[Any]:
    total = Quantity(0.0, "s", "measured")
    for part, place in (("edge", edge), ("cloud", cloud)):
        total += seconds_of(profile(bundle, part=part, device=place), part)
    return [total.value, total.unit, total.provenance]


def seconds_of(found: Profile, part: str) -> Quantity:
    """Time of a part for one sample.

    Raises:
        ConfigError: the device neither has a clock nor stands for a board whose core is known.
    """
    totals = found.total()
    if not found.layers:
        return Quantity(0.0, "s", "measured")
    name = next((name for name in TIMES if name in totals), None)
    if name is None:
        raise ConfigError(
            f"device of the {part} part must have a clock, or its target a core to model, for "
            f"latency_s; {found.device} only counts: build for a board, such as raspberry_pi_4"
        )
    return Quantity(totals[name].value / NS_PER_S, "s", totals[name].provenance)


def cache_dir() -> Path:
    """Bundles and trainings of this machine; can be removed at any time."""
    return default_cache_dir() / "sweep"


@contextmanager
def _alone(path: Path) -> Generator[None]:
    """One thread of this process, and one process of this machine, in the block at a time."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with _one_at_a_time, path.with_name(f"{path.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # ends with the file, and with the process
        yield
