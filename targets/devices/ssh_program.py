"""A part's program on a board: put there, checked that it can run there, and run."""

from __future__ import annotations

import hashlib
import shlex
import signal
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from joulecut.compiler.errors import DeviceError
from joulecut.targets.devices.elf import machine
from joulecut.targets.devices.native import arch_of
from joulecut.targets.devices.ssh_session import Answer, Session

PROBE_TIMEOUT_S = 30.0
_FULL = ("No space left on device", "Disk quota exceeded")
_UNWRITTEN = 90  # a status of ours; those of the program are 0 and 2 to 4


@dataclass(frozen=True)
class RemoteProgram:
    """A program in the folder of a session.

    Attributes:
        session: must stay open.
        name: of its file there.
        cpu: the core that it is pinned to, by taskset, or None.
        timeout_s: for one run, the transfer of what it reads and writes included.
    """

    session: Session
    name: str
    cpu: int | None
    timeout_s: float

    def __call__(
        self, options: Sequence[str], records: np.ndarray, wanted: Sequence[str]
    ) -> list[bytes]:
        """Run it over some records.

        Args:
            options: before INPUT, OUTPUT (the file `output`) and COUNT.
            records: [N, bytes of a record].
            wanted: names of files that it writes.

        Returns:
            The contents of the wanted files.

        Raises:
            DeviceError: it does not end well or in time, or there is no room for files.
        """
        pin = ["taskset", "-c", str(self.cpu)] if self.cpu is not None else []
        words = [*pin, f"./{self.name}", *options, "input", "output", str(len(records))]
        files = " ".join(map(shlex.quote, wanted))
        script = (
            f"rm -f {files} && cat > input && {_run_script(words)} && "
            f"for f in {files}; do [ -f $f ] || exit {_UNWRITTEN}; wc -c < $f; done && cat {files}"
        )
        answer = self.session.call(script, self.timeout_s, records.tobytes())
        if answer.status != 0:
            raise self._fault(answer, records.nbytes, files)
        *sizes, rest = answer.stdout.split(b"\n", len(wanted))
        made: list[bytes] = []
        for size in map(int, sizes):
            made.append(rest[:size])
            rest = rest[size:]
        return made

    def _fault(self, answer: Answer, nbytes: int, files: str) -> DeviceError:
        login, code = self.session.login, answer.status
        if any(text in answer.stderr for text in _FULL):
            return self.session.no_room(
                f"{nbytes} B of samples and what is made of them", answer
            )
        if code == _UNWRITTEN:
            return DeviceError(
                f"the part's program must write {files}, and did not; build the part again"
            )
        said = f"it said:\n{answer.stderr}" if answer.stderr else "it said nothing on stderr"
        if 128 < code < 128 + signal.NSIG:
            name = signal.Signals(code - 128).name
            lacks = "the processor there lacks what the part was built for; "
            lacks = lacks if name == "SIGILL" else ""
            return DeviceError(
                f"model on {login} must end by itself, not by {name}; {lacks}{said}"
            )
        return DeviceError(f"model on {login} must exit with 0, not {code}; {said}")


def push_program(
    session: Session, part: Path, cpu: int | None, timeout_s: float
) -> RemoteProgram:
    """Put a part's program on the board, once for each content.

    Raises:
        DeviceError: the part was built for another architecture, or there is no room.
    """
    path = part / "model"
    built, own = machine(path), board_arch(session)
    either = session.machine == "aarch64" and built in ("aarch64", "armv7")
    if built != own and not either:
        raise DeviceError(
            f"{path} must be built for {own}, which {session.login} is, not {built}; "
            f"build the part for {own}, or name another board"
        )
    data = path.read_bytes()
    name = f"model-{hashlib.sha256(data).hexdigest()[:16]}"
    session.push(name, data, timeout_s)
    if built != own and "usage" not in session.call(f"./{name}", PROBE_TIMEOUT_S).stderr:
        raise DeviceError(
            f"{path} must be built for {own}, not {built}: {session.login} has a kernel that "
            f"starts no {built} programs; build the part for {own}"
        )
    return RemoteProgram(session, name, cpu, timeout_s)


def board_arch(session: Session) -> str:
    """That of the board's own programs: a kernel of 64 bits may carry a system of 32."""
    if session.machine == "aarch64" and session.bits == "32":
        return "armv7"
    return arch_of(session.machine)


def _run_script(words: Sequence[str]) -> str:
    """Run a program where the keeper of the session finds it, and end with its status."""
    command = " ".join(map(shlex.quote, words))
    return (
        f"{{ echo $$ > pid; {command} > /dev/null & echo $$ $! > pid; wait $!; "
        "code=$?; rm -f pid; [ $code -eq 0 ] || exit $code; }"
    )
