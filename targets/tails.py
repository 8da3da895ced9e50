"""How accurate a network stays when what crosses a cut is coded with loss: measured, on this machine.

Both parts of a cut are built for the processor that runs this program; what the edge's part makes is
coded, decoded and given to the cloud's part. Kernels are kept, so each cut costs little more than
linking.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np

from joulecut.compiler.config import CodecConfig
from joulecut.compiler.cut import Cut
from joulecut.compiler.errors import ConfigError, DeviceError
from joulecut.compiler.graph import Graph, input_specs, output_specs
from joulecut.compiler.link_code import frozen
from joulecut.compiler.plan import Part, partition
from joulecut.compiler.profile import Quantity
from joulecut.targets.base import Target, target
from joulecut.targets.cpu.build import build_part
from joulecut.targets.devices.local import LocalDevice
from joulecut.targets.devices.native import native_arch, runs_here
from joulecut.targets.devices.protocol import Signature

_BEST_FIRST = (
    "x86_64_v4_vnni",
    "x86_64",
    "generic_x86_64_v2",
    "aarch64",
    "armv7",
    "riscv64",
)

Progress = Callable[[str], None]


@dataclass
class Tails:
    """Measures accuracy, and remembers what it measured.

    Attributes:
        graph: the unsplit integer Graph; its first output is judged.
        feeds: N samples for each input, [N, ...].
        labels: class of each sample, int [N]; None: those that the network itself gives, so that
            accuracy is how often a split network agrees with the unsplit one.
        place: the target whose code runs here; None: the best that does.
        progress: told what is measured.
    """

    graph: Graph
    feeds: Mapping[str, np.ndarray]
    labels: np.ndarray | None = None
    place: Target | None = None
    progress: Progress = lambda _step: None
    _known: dict[tuple[tuple[str, ...], str], Quantity] = field(
        default_factory=dict[tuple[tuple[str, ...], str], Quantity]
    )
    _crossing: tuple[tuple[str, ...], dict[str, np.ndarray]] | None = None

    def __post_init__(self) -> None:
        count = len(next(iter(self.feeds.values())))
        if self.labels is not None and self.labels.shape != (count,):
            raise ConfigError(
                f"labels must be one for each of {count} samples, not of shape "
                f"{list(self.labels.shape)}"
            )

    @property
    def samples(self) -> int:
        """How many samples judge."""
        return len(next(iter(self.feeds.values())))

    @cached_property
    def _home(self) -> Target:
        return native_target() if self.place is None else self.place

    @cached_property
    def _whole(self) -> np.ndarray:
        """The first output of the unsplit network, [N, ...]."""
        part = Part("whole", self.graph)
        return self._run(part, self.feeds)[output_specs(self.graph)[0].name]

    @cached_property
    def wanted(self) -> np.ndarray:
        """The class of each sample that is right, int [N]."""
        return _classes(self._whole) if self.labels is None else self.labels

    @property
    def whole(self) -> Quantity:
        """Accuracy of the unsplit network, a fraction; 1 without labels."""
        return self._accuracy(self._whole)

    def __call__(self, cut: Cut, setting: CodecConfig) -> Quantity:
        """Accuracy of the network, a fraction, cut at one place and coded in one way.

        Raises:
            DeviceError: the parts cannot be built or run here.
        """
        if setting.quantizer == "none":
            return self.whole  # parts equal the whole, bit for bit
        key = cut.tensors, setting.model_dump_json()
        if key not in self._known:
            self._known[key] = self._measured(cut, setting)
        return self._known[key]

    def _measured(self, cut: Cut, setting: CodecConfig) -> Quantity:
        said = f"{setting.quantizer} {setting.bits} bits"
        self.progress(f"accuracy at {' + '.join(cut.tensors)}, {said}")
        plan = partition(self.graph, cut)
        if self._crossing is None or self._crossing[0] != cut.tensors:
            made = {**self.feeds, **self._run(plan.edge, self.feeds)}
            self._crossing = cut.tensors, made
        known = dict(self._crossing[1])
        half = max(1, self.samples // 2)
        fit = {spec.name: known[spec.name][:half] for spec in cut.specs}
        code = frozen(cut.specs, fit, setting)
        columns = [known[spec.name] for spec in cut.specs]
        decoded = [
            code.unpack(code.pack([column[i : i + 1] for column in columns]))
            for i in range(self.samples)
        ]
        for number, spec in enumerate(cut.specs):
            known[spec.name] = np.concatenate([row[number] for row in decoded])
        name = output_specs(self.graph)[0].name
        outputs = known if name in known else self._run(plan.cloud, known)
        return self._accuracy(outputs[name])

    def _accuracy(self, outputs: np.ndarray) -> Quantity:
        return Quantity(float((_classes(outputs) == self.wanted).mean()), "1", "measured")

    def _run(self, part: Part, known: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        with tempfile.TemporaryDirectory(prefix="joulecut-") as folder:
            build_part(part.graph, self._home, Path(folder))
            fed = {spec.name: known[spec.name] for spec in input_specs(part.graph)}
            return LocalDevice().run(Path(folder), fed, Signature.of(part.graph))


def native_target() -> Target:
    """The best target whose code runs on this machine.

    Raises:
        DeviceError: there is none.
    """
    for name in _BEST_FIRST:
        place = target(name)
        if runs_here(place):
            return place
    raise DeviceError(
        f"this machine must run code for one of {', '.join(_BEST_FIRST)}, and is "
        f"{native_arch()}; leave accuracy unbounded"
    )


def _classes(outputs: np.ndarray) -> np.ndarray:
    return outputs.reshape(len(outputs), -1).argmax(axis=1)
