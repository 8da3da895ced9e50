"""Databases of tiles: what is written is read, what is corrupt is refused by name."""

from __future__ import annotations

import json
import warnings
from dataclasses import replace
from pathlib import Path

import pytest

from joulecut.compiler.errors import ConfigError
from joulecut.targets.base import target, targets
from joulecut.targets.cpu.nhwc.kernels import PORTABLE, Choice, kernels
from joulecut.targets.cpu.nhwc.tile import Tile
from joulecut.targets.cpu.tuning import database
from joulecut.targets.cpu.tuning.database import (
    COMMITTED,
    Found,
    Noted,
    choice_of,
    digest,
    key_of,
    known,
    read,
    store,
    to_text,
    tuned_tiles,
    user_path,
)

PLACE = target("x86_64_vnni")
KEY = "x86-64-v4.vnni512"
DEFAULT, OTHER = Choice("vnni512", Tile(1, 8, 2)), Choice("vnni512", Tile(2, 6, 1, "channels"))


def found(cost: float = 80.0, best: Choice = OTHER, how: str = "measured: here") -> Found:
    return Found(best, cost, DEFAULT, 100.0, "ns", how, {OTHER: cost / 100})


@pytest.fixture
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    """The files of PLACE: the one that came with joulecut, and the user's."""
    monkeypatch.setattr(database, "COMMITTED", tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / f"{KEY}.json", user_path(PLACE)


def test_what_is_stored_is_read(tmp_path: Path) -> None:
    path = tmp_path / "deeper" / f"{KEY}.json"
    assert read(path) == {}
    store(path, "b", found())
    store(path, "a", found(90.0))
    store(path, "b", found(70.0))
    assert read(path) == {"a": found(90.0), "b": found(70.0)}
    assert [each.name for each in path.parent.iterdir()] == [path.name]  # nothing is left over


def test_a_file_has_a_line_for_each_signature() -> None:
    text = to_text(KEY, {"b": found(), "a": found(100.0, DEFAULT)})
    assert json.loads(text)["key"] == KEY
    assert [line.split(":")[0].strip() for line in text.splitlines() if "best" in line] == [
        '"a"',
        '"b"',
    ]


@pytest.mark.parametrize("choice", [DEFAULT, OTHER, Choice("a9", Tile(10, 1, 12))])
def test_choices_are_texts(choice: Choice) -> None:
    assert choice_of(str(choice)) == choice


@pytest.mark.parametrize(
    ("text", "must"),
    [
        ("{", "must be a database of tiles, and is not: JSONDecodeError"),
        ("[]", "must be a database of tiles, and is not: TypeError"),
        ('{"format": 1}', "must be a database of tiles, and is not: KeyError 'key'"),
        ('{"format": 0, "key": "KEY"}', "must be a database of tiles of format 1, not 0"),
        ('{"format": 2, "key": "KEY"}', "must be a database of tiles of format 1, not 2"),
        ('{"format": 1, "key": "a.b"}', "must be the database of 'KEY', not of 'a.b'"),
        ('{"format": 1, "key": "KEY", "found": {"s": {}}}', "KeyError 'best'"),
    ],
)
def test_other_files_are_refused(text: str, must: str, tmp_path: Path) -> None:
    path = tmp_path / f"{KEY}.json"
    text = text.replace('"KEY"', f'"{KEY}"')
    path.write_text(text)
    with pytest.raises(ConfigError) as caught:
        read(path)
    assert str(path) in str(caught.value)
    assert must.replace("'KEY'", f"'{KEY}'") in str(caught.value)
    with pytest.raises(ConfigError):  # a search does not write over it
        store(path, "s", found())
    assert path.read_text() == text


@pytest.mark.parametrize(
    ("row", "must"),
    [
        ({"best": "vnni512 1x8x2"}, "must be FAMILY ROWSxCOLUMNSxBLOCKS ORDER"),
        ({"cost": 101.0}, "costs must be positive and no larger than the default's, not 101.0"),
        ({"cost": float("nan")}, "costs must be positive"),
        ({"cost": -1.0}, "costs must be positive"),
        ({"tried": ["vnni512 1x8x2 rows"]}, "AttributeError"),
    ],
)
def test_rows_are_checked(row: dict[str, object], must: str, tmp_path: Path) -> None:
    path = tmp_path / f"{KEY}.json"
    raw = json.loads(to_text(KEY, {"s": found()}))
    raw["found"]["s"] |= row
    path.write_text(json.dumps(raw))
    with pytest.raises(ConfigError, match=must):
        read(path)


@pytest.mark.parametrize(
    ("mine", "wins"),
    [
        (found(70.0), True),  # found the same way, and better
        (found(90.0), False),
        (found(100.0, DEFAULT, "measured: there"), True),  # another way: the user's own
    ],
)
def test_the_users_results_win_where_they_should(
    mine: Found, wins: bool, folders: tuple[Path, Path]
) -> None:
    committed, user = folders
    store(committed, "s", found(80.0))
    store(committed, "only here", found(80.0))
    store(user, "s", mine)
    store(user, "only there", found(60.0))
    both = known(PLACE)
    assert both["s"] == (mine if wins else found(80.0))
    assert set(both) == {"s", "only here", "only there"}
    assert tuned_tiles(PLACE) == {name: OTHER for name in both if both[name].best == OTHER}


def test_a_file_of_a_later_joulecut_is_left_out(folders: tuple[Path, Path]) -> None:
    committed, user = folders
    store(committed, "s", found())
    user.parent.mkdir(parents=True)
    user.write_text(to_text(KEY, {}).replace('"format": 1', '"format": 2'))
    with pytest.warns(UserWarning, match=r"must be .* of format 1, not 2; it is left out"):
        assert tuned_tiles(PLACE) == {"s": OTHER}
    committed.write_text(user.read_text())
    with pytest.raises(ConfigError, match="of format 1, not 2"):
        tuned_tiles(PLACE)


def test_targets_without_tiles_have_no_database() -> None:
    place = replace(PLACE, kernels=PORTABLE)
    assert tuned_tiles(place) == {}
    with pytest.raises(
        ConfigError, match=r"must have kernels with tiles to be tuned, and 'x86"
    ):
        key_of(place)


def test_a_digest_stands_for_what_was_asked_for() -> None:
    tiles = Noted({"a": OTHER, "b": DEFAULT})
    assert tiles.get("c") is None
    assert tiles.used == {}
    assert tiles["a"] == OTHER
    assert tiles.used == {"a": OTHER}
    assert len({digest(tiles.used), digest(dict(tiles)), digest({"a": DEFAULT})}) == 3
    assert digest({"b": DEFAULT, "a": OTHER}) == digest(dict(tiles))


def test_committed_databases_are_small_and_of_a_target() -> None:
    warnings.simplefilter("error")
    places = {key_of(place): place for place in targets() if place.kernels != PORTABLE}
    for path in COMMITTED.glob("*.json"):
        assert path.stem in places
        assert path.stat().st_size < 100_000
        families = {family.name for family in kernels(places[path.stem].kernels).families}
        rows = read(path)
        assert path.read_text(encoding="utf-8") == to_text(path.stem, rows)
        for row in rows.values():
            assert {row.best.family, row.default.family} <= families
            assert row.how.split(":")[0] in ("measured", "modelled")
