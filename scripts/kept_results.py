"""Results that take long to get and do not change, kept in a JSON file under a key.

A key must name everything on which the result depends.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class KeptResults:
    """A file of results.

    Attributes:
        path: of the file; made with the first result.
    """

    path: Path

    def get(self, key: str) -> dict[str, Any] | None:
        """The result, if it is known."""
        return self._all().get(key)

    def put(self, key: str, result: dict[str, Any]) -> None:
        """Keep a result in place of a former one."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        partial = self.path.with_name(f".{self.path.name}-{os.getpid()}")
        partial.write_text(json.dumps({**self._all(), key: result}, indent=1) + "\n")
        partial.replace(self.path)

    def _all(self) -> dict[str, dict[str, Any]]:
        try:
            return json.loads(self.path.read_text())
        except (OSError, ValueError):  # not there, or cut off: measure again
            return {}
