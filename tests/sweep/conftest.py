"""A PostgreSQL server for the tests that need one."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path

import pytest
from sweep_processes import postgres_in

from joulecut.sweep.ledger import Ledger


@pytest.fixture
def postgres(tmp_path: Path) -> Generator[str]:
    """Its URL."""
    with postgres_in(tmp_path) as url:
        yield url
        Ledger(url).close()
