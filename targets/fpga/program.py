"""What the accelerator is given to run a part, and running it.

A program is a list of descriptors and an image of the memory that it works in: descriptors,
weights and parameters, then room for activations. Addresses count from the start of that memory.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from joulecut.compiler.errors import ConfigError
from joulecut.hw.config import MacArrayConfig
from joulecut.hw.cycles import Counts, count
from joulecut.hw.descriptors import Descriptor, pack
from joulecut.hw.model import AcceleratorModel
from joulecut.hw.simulator import Simulator
from joulecut.targets.fpga.tensors import Bytes, PackedTensor, Tensor

MODEL_LATENCY = 20  # cycles of an ideal memory, in models and simulations


@dataclass(frozen=True)
class Value:
    """A value of the graph and where it lies.

    Attributes:
        name: of the graph's value.
        shape: of the graph's value, [1, ..].
        places: an input may be wanted in two layouts.
    """

    name: str
    shape: tuple[int, ...]
    places: tuple[Tensor | PackedTensor, ...]

    @property
    def dtype(self) -> np.dtype[np.integer]:
        """uint8 or int8."""
        return np.dtype(self.places[0].dtype)


@dataclass(frozen=True)
class Program:
    """A part for the accelerator.

    Attributes:
        config: sizes of the accelerator that it is for.
        descriptors: what runs, in order.
        labels: the value that each descriptor has to do with.
        image: bytes of the memory that do not change, from address 0.
        size: bytes of the memory.
        inputs: of the part.
        outputs: of the part.
        layers: every value that is stored.
        macs: multiply-accumulates that the graph asks for.
    """

    config: MacArrayConfig
    descriptors: tuple[Descriptor, ...]
    labels: tuple[str, ...]
    image: Bytes
    size: int
    inputs: tuple[Value, ...]
    outputs: tuple[Value, ...]
    layers: tuple[Value, ...]
    macs: int

    def counts(self, latency: int = MODEL_LATENCY) -> Counts:
        """Cycles and accesses of a run on an ideal memory (modelled, and equal to the RTL's)."""
        return count(self.config, self.descriptors, latency=latency)

    def memory(self) -> Bytes:
        """The memory before a run: what is not in the image is poisoned."""
        memory = np.full(self.size, 0xA5, np.uint8)
        memory[: self.image.size] = self.image
        return memory

    def put(self, memory: Bytes, feeds: Mapping[str, np.ndarray]) -> None:
        """Writes the inputs of one sample.

        Raises:
            ConfigError: an input is missing, or not of its type and shape.
        """
        for value in self.inputs:
            array = feeds.get(value.name)
            if array is None or array.dtype != value.dtype or array.shape != value.shape:
                found = "nothing" if array is None else f"{array.dtype} {list(array.shape)}"
                raise ConfigError(
                    f"input '{value.name}' must be {value.dtype} {list(value.shape)}, not {found}"
                )
            for place in value.places:
                shape = (place.channels, place.height, place.width)
                place.put(memory, array.reshape(shape))

    def get(
        self, memory: Bytes, values: Sequence[Value] | None = None
    ) -> dict[str, np.ndarray]:
        """Reads values, the outputs if none are named."""
        found: dict[str, np.ndarray] = {}
        for value in self.outputs if values is None else values:
            (place,) = value.places
            assert isinstance(place, Tensor)
            found[value.name] = place.get(memory).reshape(value.shape)
        return found


class Machine(Protocol):
    """What runs programs: the model, the simulated RTL, or a board."""

    def run(self, program: Program, feeds: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """All stored values of one sample."""
        ...


class ModelMachine:
    """Runs programs on the functional model."""

    def run(self, program: Program, feeds: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """All stored values of one sample, computed without a clock."""
        memory = program.memory()
        program.put(memory, feeds)
        AcceleratorModel(program.config, memory).run(program.descriptors)
        return program.get(memory, program.layers)


class RtlMachine:
    """Runs programs on the simulated RTL.

    Args:
        config: of the accelerator; programs must be for the same.
        latency: of its memory, in cycles.
        seed: if not 0, memory and buses pause at random.

    Attributes:
        counts: the counters of the last run (simulated).
    """

    def __init__(
        self, config: MacArrayConfig, *, latency: int = MODEL_LATENCY, seed: int = 0
    ) -> None:
        self.config, self.latency, self.seed = config, latency, seed
        self.counts = Counts()

    def run(self, program: Program, feeds: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """All stored values of one sample.

        Raises:
            ConfigError: the program is for an accelerator of another size.
        """
        if program.config != self.config:
            raise ConfigError(
                f"program must be for the accelerator '{self.config.name}', "
                f"not '{program.config.name}'"
            )
        at = -(-program.size // 128) * 128
        memory = np.concatenate(
            [
                program.memory(),
                np.zeros(at - program.size + len(pack(program.descriptors)), np.uint8),
            ]
        )
        program.put(memory, feeds)
        with Simulator(self.config, memory, latency=self.latency, seed=self.seed) as simulator:
            self.counts = simulator.run(program.descriptors, at)
        return program.get(memory, program.layers)
