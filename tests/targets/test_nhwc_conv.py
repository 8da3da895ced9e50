"""Convolutions over planes equal numpy's, for every family, around the sizes of their tiles."""

from __future__ import annotations

from pathlib import Path

import pytest
from nhwc_cases import CASES, ConvCase, check_tiles

from joulecut.targets.base import target
from joulecut.targets.cpu.nhwc.vnni import VNNI512


@pytest.mark.parametrize("case", CASES, ids=str)
def test_vnni512(case: ConvCase, tmp_path: Path) -> None:
    check_tiles(case, VNNI512, target("x86_64_vnni"), tmp_path)
