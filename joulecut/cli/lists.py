"""Options that hold several values."""

from __future__ import annotations

import re

from joulecut.compiler.errors import ConfigError


def words_of(text: str, option: str) -> list[str]:
    """`a,b` as its words.

    Raises:
        ConfigError: there is none.
    """
    words = [word.strip() for word in text.split(",") if word.strip()]
    if not words:
        raise ConfigError(f"{option} must name something, not ''")
    return words


def bits_of(text: str) -> list[int]:
    """Numbers of bits: `4`, `2,4,8` or `1-8`.

    Raises:
        ConfigError: it is none of these.
    """
    found: list[int] = []
    for word in words_of(text, "--bits"):
        match = re.fullmatch(r"(\d)(?:-(\d))?", word)
        if match is None:
            raise ConfigError(f"--bits must be like 1-8 or 2,4,8, not '{text}'")
        first, last = int(match[1]), int(match[2] or match[1])
        found += range(first, last + 1)
    return found
