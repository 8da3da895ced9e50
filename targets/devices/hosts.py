"""Names of machines, users and keys that other programs may be given: none looks like an option."""

from __future__ import annotations

import re

from joulecut.compiler.errors import ConfigError

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")
_IPV6 = re.compile(r"[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*(%[A-Za-z0-9]+)?")


def check_host(kind: str, host: str) -> None:
    """Refuse what is no name and no address; raises ConfigError."""
    if not (_NAME.fullmatch(host) or _IPV6.fullmatch(host)):
        raise ConfigError(f"host of {kind} must be a name or an address, not '{host}'")


def check_name(what: str, name: str) -> None:
    """Refuse a user or a key that is no plain word; raises ConfigError."""
    if not _NAME.fullmatch(name):
        raise ConfigError(
            f"{what} must be letters, digits, '_', '.' and '-', the first no '-', not '{name}'"
        )


def check_port(kind: str, port: int) -> None:
    """Refuse what is no TCP port; raises ConfigError."""
    if not 0 < port < 65536:
        raise ConfigError(f"port of {kind} must be in 1..65535, not {port}")


def shown_host(host: str) -> str:
    """The host as addresses have it: IPv6 in brackets."""
    return f"[{host}]" if ":" in host else host


def split_host(text: str) -> tuple[str, str | None]:
    """`host`, `host:port` or `[IPv6]:port` => the host, and the text of the port if there is one."""
    if text.startswith("["):
        host, end, rest = text[1:].partition("]")
        colon, port = rest[:1], rest[1:]
        if not end or colon not in ("", ":"):
            return text, None  # no host at all, which its check will say
    else:
        host, colon, port = text.partition(":")
    return host, port if colon else None
