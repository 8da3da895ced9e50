"""Every cut of a network, built, run on its devices and priced: one row each.

A row is not an estimate of a deployment but one that took place: the edge part ran on its
device, its tensors were coded and decoded, and the cloud part finished. Only energy is modelled.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np

from joulecut.compiler.bundle import Bundle
from joulecut.compiler.config import CodecConfig
from joulecut.compiler.cost import cost
from joulecut.compiler.cut import Cut
from joulecut.compiler.errors import ConfigError
from joulecut.compiler.graph import Graph
from joulecut.compiler.plan import Plan, partition
from joulecut.compiler.reference import run_reference
from joulecut.compiler.report.cut_table import ArrayRow, CutRow
from joulecut.hw.energy_table import EnergyTable
from joulecut.hw.radio import RadioLink
from joulecut.targets.base import target
from joulecut.targets.build import build
from joulecut.targets.devices.fpga_sim import FpgaSimDevice
from joulecut.targets.fpga.part import array_cycles, array_energies
from joulecut.targets.opened import opened
from joulecut.targets.price import price
from joulecut.targets.session import run_split
from joulecut.targets.split import run_parts

VECTORS = 4  # samples that become the test vectors of each bundle

Progress = Callable[[str, int, int], None]  # cut, samples done, samples in all


@dataclass(frozen=True)
class Study:
    """What is the same for every cut of a study.

    Attributes:
        graph: the unsplit integer Graph.
        feeds: N samples for each input, [N, ...].
        labels: class of each sample, [N], or None.
        trained_accuracy: of the network in the framework that trained it, or None.
        edge: target of the edge part.
        cloud: target of the cloud part.
        edge_device: where the edge part runs.
        cloud_device: where the cloud part runs.
        codec: how the tensors at the cut are coded.
        batch: samples coded together.
        table: energies.
        radio: the link.
        directory: bundles and finished rows go here; a study that was stopped goes on.
        source: the model as it was exported; goes into the bundles, to compare with later.
        array_edge: a target with an accelerator, for which each edge part is built as well, to
            run on its simulated source; None: none.
        array_samples: how many samples run there.
    """

    graph: Graph
    feeds: Mapping[str, np.ndarray]
    labels: np.ndarray | None
    trained_accuracy: float | None
    table: EnergyTable
    radio: RadioLink
    directory: Path
    edge: str = "aarch64"
    cloud: str = "x86_64"
    edge_device: str = "qemu:aarch64"
    cloud_device: str = "local"
    codec: CodecConfig = field(default_factory=CodecConfig)
    batch: int = 100
    source: bytes | None = None
    array_edge: str | None = None
    array_samples: int = 10

    @property
    def samples(self) -> int:
        """Number of samples, N."""
        return len(next(iter(self.feeds.values())))

    def bundle_path(self, cut: Cut) -> Path:
        """Where the bundle of a cut is."""
        return self.directory / f"{_file_name(cut)}.bundle"

    def array_path(self, cut: Cut) -> Path:
        """Where the bundle of a cut with an accelerator at the edge is."""
        return self.directory / f"{_file_name(cut)}.array.bundle"

    def digest(self, bundle_digest: str) -> str:
        """Identifies a row: the bundle, the samples, the devices and the prices."""
        said = hashlib.sha256(bundle_digest.encode())
        for name, feed in self.feeds.items():
            said.update(name.encode() + np.ascontiguousarray(feed).tobytes())
        if self.labels is not None:
            said.update(np.ascontiguousarray(self.labels).tobytes())
        settings = (
            self.trained_accuracy,
            self.edge_device,
            self.cloud_device,
            self.batch,
            self.array_edge,
            self.array_samples,
        )
        said.update(repr((settings, self.table, self.radio)).encode())
        return said.hexdigest()[:16]


def accuracy(outputs: np.ndarray, labels: np.ndarray | None) -> float | None:
    """Fraction of samples whose largest output is that of the label; None without labels."""
    if labels is None:
        return None
    return float((outputs.reshape(len(outputs), -1).argmax(axis=1) == labels).mean())


def run_study(
    study: Study, cuts: Sequence[Cut], progress: Progress = lambda _cut, _done, _all: None
) -> list[CutRow]:
    """Build, run and price each cut.

    Args:
        study: the network, its samples and its places.
        cuts: cuts of the study's graph.
        progress: called as samples finish.

    Raises:
        DeviceError: a tool chain or a device is missing.
        ConfigError: the study has no sample.
    """
    if study.samples == 0:
        raise ConfigError("study must have at least one sample, not none")
    whole = run_reference(study.graph, study.feeds)
    return [_row(study, cut, whole, progress) for cut in cuts]


def _row(study: Study, cut: Cut, whole: Sequence[np.ndarray], progress: Progress) -> CutRow:
    name = " + ".join(cut.tensors)
    plan = partition(study.graph, cut)
    study.directory.mkdir(parents=True, exist_ok=True)
    bundle = _built(study, plan, study.edge, study.bundle_path(cut))
    finished = bundle.path.with_suffix(f".{study.digest(bundle.digest)}.json")
    if finished.is_file():
        progress(name, study.samples, study.samples)
        return CutRow.from_dict(json.loads(finished.read_text()))
    result = run_split(
        bundle.path,
        study.feeds,
        edge_device=study.edge_device,
        cloud_device=study.cloud_device,
        batch=study.batch,
        progress=lambda done, count: progress(name, done, count),
    )
    elements = sum(spec.size for spec in cut.specs)
    coded_bytes = float(result.coded_bytes.mean())
    energy = price(cost(plan.edge.graph), 8 * coded_bytes, study.table, study.radio)
    outputs = list(result.outputs.values())
    row = CutRow(
        cut=name,
        raw_bytes=result.raw_bytes,
        coded_bits=8 * coded_bytes / elements,
        entropy_bits=8 * result.entropy_bytes / elements,
        coded_bytes=coded_bytes,
        edge_macs=cut.edge_macs,
        compute_pj=energy.compute_pj,
        memory_pj=energy.memory_pj,
        radio_pj=energy.radio_pj,
        inferences=study.samples,
        identical=_identical(outputs, whole),
        accuracy=accuracy(outputs[0], study.labels),
        whole_accuracy=accuracy(whole[0], study.labels),
        trained_accuracy=study.trained_accuracy,
        array=_array_row(study, cut, plan, whole),
    )
    finished.write_text(json.dumps(asdict(row)))
    return row


def _built(study: Study, plan: Plan, edge: str, out: Path) -> Bundle:
    return build(
        plan,
        edge=edge,
        cloud=study.cloud,
        out=out,
        codec=study.codec,
        vectors={name: feed[:VECTORS] for name, feed in study.feeds.items()},
        source=study.source,
    )


def _array_row(
    study: Study, cut: Cut, plan: Plan, whole: Sequence[np.ndarray]
) -> ArrayRow | None:
    """The same cut with an accelerator at the edge, on its simulated source."""
    if study.array_edge is None:
        return None
    place = target(study.array_edge)
    assert place.accelerator is not None, f"{place.name} must have an accelerator"
    bundle = _built(study, plan, place.name, study.array_path(cut))
    feeds = {name: feed[: study.array_samples] for name, feed in study.feeds.items()}
    with opened(bundle) as held:
        result = run_parts(held.split, feeds, FpgaSimDevice())
        part = held.split.edge.directory
        energies = array_energies(part, study.table)
        outputs = list(result.outputs.values())
        return ArrayRow(
            target=place.name,
            layers=len(energies),
            cycles=array_cycles(part),
            clock_hz=place.accelerator.clock_hz,
            energy_pj=sum(energies.values()),
            inferences=len(outputs[0]),
            identical=_identical(outputs, [array[: study.array_samples] for array in whole]),
        )


def _identical(outputs: Sequence[np.ndarray], whole: Sequence[np.ndarray]) -> int:
    """Samples all of whose outputs have the same bits as the unsplit network's."""
    same = [
        (_bits(got) == _bits(want)).all(axis=1)
        for got, want in zip(outputs, whole, strict=True)
    ]
    return int(np.logical_and.reduce(same).sum())


def _bits(array: np.ndarray) -> np.ndarray:
    """The bytes of each sample, uint8 [N, ...]: 0.0 is not -0.0, and a NaN is itself."""
    return np.ascontiguousarray(array).reshape(len(array), -1).view(np.uint8)


def _file_name(cut: Cut) -> str:
    """The cut as a file name: letters and digits of its tensors, and what tells it apart."""
    words = "+".join(re.sub(r"[^A-Za-z0-9_.]+", "-", name).strip("-") for name in cut.tensors)
    distinct = hashlib.sha256("\0".join(cut.tensors).encode()).hexdigest()[:8]
    return f"{words[:60]}-{distinct}"
