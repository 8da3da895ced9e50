"""Whether LLVM knows the processor and the features that a board file names.

LLVM prints a line about a name that it does not know and goes on without it: kernels would be
made for another processor, and nobody would notice.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping

from joulecut.compiler.errors import ConfigError
from joulecut.targets.cpu.codegen import tvm

Options = Mapping[str, object]


def require_known(name: str, options: Options) -> None:
    """Refuse names that LLVM does not know.

    Args:
        name: of the target, for people.
        options: TVM's description of it; mtriple must be one that LLVM knows.

    Raises:
        ConfigError: mcpu or a feature of mattr is unknown; the message names the closest.
    """
    cpu, known = str(options.get("mcpu", "")), processors(options)
    if cpu and cpu not in known:
        raise ConfigError(
            f"mcpu of target '{name}' must be a processor that LLVM knows, not '{cpu}'; "
            f"{_closest(cpu, known)}"
        )
    features = options.get("mattr", ())
    assert isinstance(features, list | tuple)
    for feature in map(str, features):  # pyright: ignore[reportUnknownArgumentType]
        if feature[:1] not in ("+", "-"):
            raise ConfigError(
                f"mattr of target '{name}' must begin with + or -, not '{feature}'; "
                f"write '+{feature}' to have it"
            )
        if feature[1:] not in _enabled({**options, "mattr": [f"+{feature[1:]}"]}):
            raise ConfigError(
                f"mattr of target '{name}' must be features that LLVM knows, not "
                f"'{feature[1:]}'; {_closest(feature[1:], _features(options))}"
            )


def processors(options: Options) -> list[str]:
    """The processors that LLVM knows for mtriple."""
    bare = {key: value for key, value in options.items() if key in ("kind", "mtriple")}
    found = tvm.get_global_func("target.llvm_get_cpu_archlist")(tvm.target.Target(bare))
    return sorted(map(str, found))


def _features(options: Options) -> set[str]:
    """Those that some processor has; LLVM gives no list of all."""
    plain = {key: value for key, value in options.items() if key != "mattr"}
    return set[str]().union(*(_enabled({**plain, "mcpu": cpu}) for cpu in processors(options)))


def _enabled(options: Options) -> set[str]:
    """Features of mcpu with mattr; those that LLVM does not know are never among them."""
    asked = tvm.get_global_func("target.llvm_get_cpu_features")
    return set(map(str, asked(tvm.target.Target(dict(options))).keys()))


def _closest(name: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(name, sorted(known), n=3, cutoff=0.0)
    return f"the closest are {', '.join(close)}"
