"""Places where a part can run, and the facts about each: read from `boards/*.toml`.

A Target is data. It says how code for the place is made and what is known of the place itself;
where a number came from stands beside it. `pynq_z2+z7020` is a board with the accelerator of that
configuration (docs/accelerator.md) beside its processor.
"""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any, cast

from joulecut.compiler.errors import ConfigError
from joulecut.hw.config import CONFIGS, MacArrayConfig

BOARDS = Path(__file__).with_name("boards")


@dataclass(frozen=True)
class Fact:
    """A number about a board, and where it was read.

    Attributes:
        value: its unit is in the name of the fact.
        source: a document that a reader can find.
    """

    value: float
    source: str


@dataclass(frozen=True)
class Toolchain:
    """How C becomes programs for a target.

    Attributes:
        compilers: names of gcc drivers, the best first.
        package: the Debian package that brings the first.
        cflags: what selects the instruction set and the ABI.
    """

    compilers: tuple[str, ...]
    package: str
    cflags: tuple[str, ...]


@dataclass(frozen=True)
class Emulator:
    """The user-mode QEMU that runs programs of a target elsewhere.

    Attributes:
        program: of Debian's qemu-user.
        cpu: the model that the code was made for.
    """

    program: str
    cpu: str


@dataclass(frozen=True)
class Vectors:
    """What kernels must know of the registers.

    Attributes:
        lanes: int32 accumulators side by side, a power of two.
        rows: such groups that are live at once.
        narrow_products: multiplying 16-bit lanes and widening the product costs less than
            multiplying 32-bit lanes.
        flush_subnormals: vector arithmetic is not IEEE below 2**-126.
    """

    lanes: int
    rows: int
    narrow_products: bool
    flush_subnormals: bool


@dataclass(frozen=True)
class Target:
    """A place where a part can run.

    Attributes:
        name: of the file that describes it.
        aliases: other names for it.
        title: for people.
        arch: `x86_64`, `aarch64`, `armv7` or `riscv64`; programs run wherever it is the same.
        llvm: options of LLVM: mtriple, mcpu and, where needed, mattr, mfloat-abi, mabi.
        toolchain: how C is compiled for it.
        emulator: how its programs run elsewhere.
        kernels: the kernels over planes that it has, by name, or "portable".
        vectors: what portable kernels must know.
        facts: numbers of the board, such as `clock_hz`, if one is meant.
        accelerator: the int8 MAC accelerator beside the processor, if one is meant.
    """

    name: str
    aliases: tuple[str, ...]
    title: str
    arch: str
    llvm: Mapping[str, str | tuple[str, ...]]
    toolchain: Toolchain
    emulator: Emulator
    kernels: str
    vectors: Vectors
    facts: Mapping[str, Fact]
    accelerator: MacArrayConfig | None = None

    @property
    def processor(self) -> Target:
        """The same place without its accelerator."""
        if self.accelerator is None:
            return self
        name = self.name.removesuffix(f"+{self.accelerator.name}")
        return replace(self, name=name, accelerator=None)


def target(name: str) -> Target:
    """The Target with this name or alias.

    Args:
        name: `aarch64`, or with an accelerator `pynq_z2+z7020`.

    Raises:
        ConfigError: there is none; the message names the closest.
    """
    board, plus, accelerator = name.partition("+")
    if plus:
        place = target(board)
        if accelerator not in CONFIGS:
            raise ConfigError(
                f"accelerator of target '{name}' must be one of {', '.join(CONFIGS)}, "
                f"not '{accelerator}'"
            )
        config = CONFIGS[accelerator]
        return replace(place, name=f"{place.name}+{config.name}", accelerator=config)
    known = {key: each for each in targets() for key in (each.name, *each.aliases)}
    if name in known:
        return known[name]
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.0)
    raise ConfigError(
        f"target must be one of {', '.join(sorted(known))}, not '{name}'; "
        f"the closest is {close[0]}"
    )


@cache
def targets() -> tuple[Target, ...]:
    """Every Target, by name."""
    return tuple(read_target(path) for path in sorted(BOARDS.glob("*.toml")))


def read_target(path: Path) -> Target:
    """The Target that a file describes.

    Raises:
        ConfigError: a field is missing or unknown.
    """
    fields: dict[str, Any] = tomllib.loads(path.read_text(encoding="utf-8"))
    try:
        return Target(
            name=fields.pop("name"),
            aliases=tuple(fields.pop("aliases")),
            title=fields.pop("title"),
            arch=fields.pop("arch"),
            llvm={key: _frozen(value) for key, value in fields.pop("llvm").items()},
            toolchain=Toolchain(**{k: _frozen(v) for k, v in fields.pop("toolchain").items()}),
            emulator=Emulator(**fields.pop("emulator")),
            kernels=fields.pop("kernels"),
            vectors=Vectors(**fields.pop("vectors")),
            facts={name: Fact(**fact) for name, fact in fields.pop("facts", {}).items()},
            accelerator=None,
            **fields,
        )
    except (KeyError, TypeError) as error:
        raise ConfigError(
            f"{path.name} must have exactly the fields of Target, not this: {error}"
        ) from error


def _frozen(value: Any) -> Any:
    return tuple(cast("list[Any]", value)) if isinstance(value, list) else value
