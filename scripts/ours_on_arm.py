"""Our build of a network for an emulated Arm core: exact or refused, counted, and modelled.

Counts are simulated: of the last of the runs that the emulator's profile makes. Rates of loops
are modelled by llvm-mca (mca.py).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import asdict, dataclass

import numpy as np
from bench_networks import FOLDER, BenchNetwork
from kept_results import KeptResults
from mca import Loop, hot_loops

from joulecut.compiler.errors import VerificationError
from joulecut.compiler.reference import run_reference
from joulecut.targets.base import Target
from joulecut.targets.cpu.build import BuiltPart, build_part
from joulecut.targets.devices.protocol import Signature
from joulecut.targets.devices.qemu import QemuDevice

KEPT = KeptResults(FOLDER / "arm_ours.json")
TIMEOUT_S = 3600.0
SMALL_SHARE = 0.02  # kernels with less of the products are not shown


@dataclass(frozen=True)
class LayerCount:
    """A layer as it ran.

    Attributes:
        name: of the layer.
        kind: its operators.
        macs: products that it sums.
        instructions: of one inference.
    """

    name: str
    kind: str
    macs: int
    instructions: int


@dataclass(frozen=True)
class Ours:
    """A build that computes the specification on the core.

    Attributes:
        part: what the build made.
        layers: in the order in which they run.
    """

    part: BuiltPart
    layers: tuple[LayerCount, ...]

    @property
    def instructions(self) -> int:
        """Of one inference."""
        return sum(layer.instructions for layer in self.layers)


@dataclass(frozen=True)
class HotLoop:
    """The loop of a kernel that makes the most products.

    Attributes:
        layer: the first that runs the kernel.
        share: of the network's products that the kernel makes.
        loop: its body.
    """

    layer: str
    share: float
    loop: Loop


def ours(
    network: BenchNetwork,
    target: Target,
    say: Callable[[str], None],
    *,
    fresh: bool = False,
) -> Ours:
    """Build a network, prove one random input equal to the reference, and count.

    Args:
        network: to build.
        target: aarch64 or armv7, with an emulator.
        say: is told what is compiled.
        fresh: count again what is kept.

    Raises:
        VerificationError: the build computes something else than the reference.
        DeviceError: a compiler or the emulator is absent.
    """
    graph = network.graph()
    part = build_part(graph, target, FOLDER / f"{network.name}-{target.name}", progress=say)
    assert target.emulator is not None
    device = QemuDevice(target.arch, target.emulator.cpu, timeout_s=TIMEOUT_S)
    program = (part.directory / "model").read_bytes()
    digest = hashlib.sha256(program).hexdigest()[:24]
    key = f"{network.name} {target.name} {target.emulator.cpu} {digest}"
    kept = None if fresh else KEPT.get(key)
    if kept is None:
        say(f"count {network.name} on {target.name}")
        feeds = {network.input_name: network.sample()}
        signature = Signature.of(graph)
        made = device.run(part.directory, feeds, signature)
        (expected,) = run_reference(graph, feeds)
        (name,) = made
        apart = int(np.count_nonzero(made[name] != expected))
        if apart:
            raise VerificationError(
                f"{network.name} on {target.name} must be the reference, and differs in "
                f"{apart} of {expected.size} outputs; run joulecut verify on it"
            )
        profile = device.profile(part.directory, feeds, signature)
        counts = [int(layer.quantities["instructions"].value) for layer in profile.layers]
        rows = zip(part.layers, counts, strict=True)
        layers = [LayerCount(r.name, r.kind, r.macs, count) for r, count in rows]
        kept = {"layers": [asdict(layer) for layer in layers]}
        KEPT.put(key, kept)
    return Ours(part, tuple(LayerCount(**layer) for layer in kept["layers"]))


def hot_loops_of(part: BuiltPart) -> list[HotLoop]:
    """The heaviest loop of every kernel that makes a good share of the products.

    Raises:
        DeviceError: LLVM's tools are absent.
    """
    total = sum(layer.macs for layer in part.layers)
    shares: dict[str, float] = {}
    first: dict[str, str] = {}
    for layer in part.layers:
        for symbol in layer.symbols:
            shares[symbol] = shares.get(symbol, 0.0) + layer.macs / total
            first.setdefault(symbol, layer.name)
    found: list[HotLoop] = []
    for symbol, share in shares.items():
        if share >= SMALL_SHARE:
            loops = hot_loops(part.directory / "model", symbol)
            found += [HotLoop(first[symbol], share, loop) for loop in loops[:1]]
    return found
