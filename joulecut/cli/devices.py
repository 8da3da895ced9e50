"""How verbs are told where a part shall run."""

from __future__ import annotations

import re
from collections.abc import Sequence

DEVICES = (
    "local[,threads=N], qemu:ARCH[,cpu=NAME], ssh://[USER@]HOST[:PORT], rpc://HOST:PORT/KEY "
    "or fpga-sim[,engine=model]; more options in docs/devices.md"
)
DEVICE_HELP = f"{DEVICES}; default: this machine, or QEMU for what it cannot run."


def engines(words: Sequence[str]) -> list[str]:
    """Engines of all words, in order; a comma before `name=` belongs to a device's address."""
    return [engine for word in words for engine in re.split(r",(?![a-z]+=)", word)]
