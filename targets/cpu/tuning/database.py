"""What searches found, a small JSON file for each micro-architecture.

    KEY.json = {"format": 1, "key": KEY, "found": {SIGNATURE: {..}, ..}}      one line a signature

KEY is LLVM's name of the processor and the name of the kernels: `cortex-a53.smull`. Files beside
this one came with joulecut; those under the user's cache are what the user's own searches found.
Costs of one line are comparable, those of two lines are not.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import re
import tempfile
import warnings
from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from math import isfinite
from pathlib import Path
from typing import Any, cast

from joulecut.compiler.errors import ConfigError
from joulecut.hw.cache import default_cache_dir
from joulecut.targets.base import Target
from joulecut.targets.cpu.nhwc.kernels import PORTABLE, Choice
from joulecut.targets.cpu.nhwc.tile import Order, Tile

FORMAT = 1
COMMITTED = Path(__file__).parent

_CHOICE = re.compile(r"(\w+) (\d+)x(\d+)x(\d+) (rows|channels)")


@dataclass(frozen=True)
class Found:
    """What a search knows of one signature.

    Attributes:
        best: the default, if nothing better was found.
        cost: of the best.
        default: what it was compared with.
        default_cost: of that, found in the same way at the same time.
        unit: of both costs: "ns" or "cycle".
        how: the costs were found; begins with "measured" or "modelled".
        tried: everything that was compared with the default, and its cost in costs of that.
    """

    best: Choice
    cost: float
    default: Choice
    default_cost: float
    unit: str
    how: str
    tried: Mapping[Choice, float] = field(default_factory=dict[Choice, float])

    @property
    def ratio(self) -> float:
        """Cost of the best in costs of the default; 1 or less."""
        return self.cost / self.default_cost

    @property
    def is_better(self) -> bool:
        """Is there anything to take instead of the default?"""
        return self.best != self.default


Database = dict[str, Found]


def key_of(place: Target) -> str:
    """The name of a target's database, which targets of one micro-architecture share.

    Raises:
        ConfigError: the target has no tiles.
    """
    if place.kernels == PORTABLE:
        raise ConfigError(
            f"target must have kernels with tiles to be tuned, and '{place.name}' has portable "
            "kernels only; build it without tuning"
        )
    return f"{place.llvm['mcpu']}.{place.kernels}"


def committed_path(place: Target) -> Path:
    """The database that came with joulecut."""
    return COMMITTED / f"{key_of(place)}.json"


def user_path(place: Target) -> Path:
    """The database of the user's own searches."""
    return default_cache_dir() / "tuning" / f"{key_of(place)}.json"


def tuned_tiles(place: Target) -> dict[str, Choice]:
    """What a build takes instead of defaults, by signature; nothing for portable kernels.

    Where both databases know a signature the user's result wins, unless it was found in the same
    way and gains less. A user's file of a later joulecut is left out, with a warning.

    Raises:
        ConfigError: a file is not a database.
    """
    if place.kernels == PORTABLE:
        return {}
    return {
        signature: found.best for signature, found in known(place).items() if found.is_better
    }


def known(place: Target) -> Database:
    """Both databases of a target; see tuned_tiles."""
    both = read(committed_path(place))
    for signature, found in _of_this_format(user_path(place)).items():
        other = both.get(signature)
        if other is None or found.how != other.how or found.ratio < other.ratio:
            both[signature] = found
    return both


def _of_this_format(path: Path) -> Database:
    try:
        return read(path)
    except _LaterError as error:
        warnings.warn(f"{error}; it is left out", stacklevel=3)
        return {}


class _LaterError(ConfigError):
    """The file was written by a later joulecut."""


def read(path: Path) -> Database:
    """A database; empty if there is no file.

    Raises:
        ConfigError: the file is not a database, or one of another format.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} must be readable: {error}") from error
    try:
        raw = json.loads(text)
        form, key = raw["format"], raw["key"]
        if form == FORMAT and key == path.stem:
            return {name: _found(row) for name, row in raw["found"].items()}
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise ConfigError(
            f"{path} must be a database of tiles, and is not: "
            f"{type(error).__name__} {error}; delete it or restore it"
        ) from error
    if form != FORMAT:
        kind = _LaterError if isinstance(form, int) and form > FORMAT else ConfigError
        raise kind(f"{path} must be a database of tiles of format {FORMAT}, not {form!r}")
    raise ConfigError(
        f"{path} must be the database of '{path.stem}', not of {key!r}; rename it"
    )


def store(path: Path, signature: str, found: Found) -> None:
    """Put one line into a database. Whoever reads sees the file before or after, never between.

    Raises:
        ConfigError: what is there is not a database, or the place cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with _locked(path.parent):
            _write(path, read(path) | {signature: found})
    except OSError as error:
        raise ConfigError(
            f"{path} must be writable: {error}; name another with --db"
        ) from error


@contextmanager
def _locked(folder: Path) -> Generator[None]:
    """Another search may store at the same time."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)  # which unlocks


def _write(path: Path, database: Database) -> None:
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".tuning-") as folder:
        fresh = Path(folder) / path.name
        fresh.write_text(to_text(path.stem, database), encoding="utf-8")
        fresh.replace(path)


def to_text(key: str, database: Database) -> str:
    """The file, sorted by signature."""
    rows = (
        f"  {json.dumps(name)}: {json.dumps(_row(found))}"
        for name, found in sorted(database.items())
    )
    head = f'{{\n "format": {FORMAT},\n "key": {json.dumps(key)},\n "found": {{'
    return head + "\n" + ",\n".join(rows) + "\n }\n}\n"


def digest(choices: Mapping[str, Choice]) -> str:
    """What stands for some choices in a build report."""
    text = json.dumps({name: str(choice) for name, choice in choices.items()}, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


class Noted(Mapping[str, Choice]):
    """Choices that note which of them were asked for."""

    def __init__(self, choices: Mapping[str, Choice]) -> None:
        self._choices = choices
        self.used: dict[str, Choice] = {}

    def __getitem__(self, signature: str) -> Choice:
        self.used[signature] = self._choices[signature]
        return self.used[signature]

    def __iter__(self) -> Iterator[str]:
        return iter(self._choices)

    def __len__(self) -> int:
        return len(self._choices)


def choice_of(text: str) -> Choice:
    """The choice that a text names; ValueError if it names none."""
    found = _CHOICE.fullmatch(text)
    if found is None:
        raise ValueError(f"'{text}' must be FAMILY ROWSxCOLUMNSxBLOCKS ORDER")
    family, *sizes, order = found.groups()
    return Choice(family, Tile(*map(int, sizes), order=cast("Order", order)))


def _row(found: Found) -> dict[str, Any]:
    return {
        "best": str(found.best),
        "cost": found.cost,
        "default": str(found.default),
        "default_cost": found.default_cost,
        "unit": found.unit,
        "how": found.how,
        "tried": {str(choice): ratio for choice, ratio in found.tried.items()},
    }


def _found(row: Any) -> Found:
    found = Found(
        best=choice_of(row["best"]),
        cost=float(row["cost"]),
        default=choice_of(row["default"]),
        default_cost=float(row["default_cost"]),
        unit=str(row["unit"]),
        how=str(row["how"]),
        tried={choice_of(text): float(ratio) for text, ratio in row["tried"].items()},
    )
    if not (isfinite(found.default_cost) and 0 < found.cost <= found.default_cost):
        raise ValueError(
            f"costs must be positive and no larger than the default's, not {row['cost']}"
        )
    return found
