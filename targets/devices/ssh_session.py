"""One connection to a board, and a folder there that goes when the connection goes.

A process on the board, the keeper, holds the folder: it waits for the end of its input, then
kills what still runs and removes the folder. Its input ends when we close it, when this process
dies in whatever way, and when the line breaks. Its connection is the one that all commands
share (OpenSSH's ControlMaster), so that a board is logged in to once.
"""

from __future__ import annotations

import os
import re
import select
import shlex
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from joulecut.compiler.errors import DeviceError
from joulecut.targets.devices.hosts import shown_host
from joulecut.targets.devices.program import STDERR_SHOWN_CHARS

CONNECT_TIMEOUT_S = 10
LOGIN_TIMEOUT_S = 30.0  # connecting, authentication and the user's login shell
CLOSE_TIMEOUT_S = 10.0
SOCKET_PATH_CHARS = 60  # of the folder: a socket's path has 107, and ssh adds a suffix to it

_OPTIONS = {
    "BatchMode": "yes",  # never asks
    "ConnectTimeout": CONNECT_TIMEOUT_S,
    "ServerAliveInterval": 15,
    "ServerAliveCountMax": 4,
    "LogLevel": "ERROR",
    # What a user may have set for shells, and what would disturb or expose a program's run.
    "RequestTTY": "no",
    "RemoteCommand": "none",
    "PermitLocalCommand": "no",
    "ClearAllForwardings": "yes",
    "ForwardAgent": "no",
    "ForwardX11": "no",
    "ControlPersist": "no",
}
_HELLO = re.compile(r"^joulecut:([^:\n]*):([^:\n]*):([^:\n]*):(/.*)\n", re.MULTILINE)
_BEGIN, _END = b"joulecut-begin\n", b"\njoulecut-end "
_ADVICE = {
    "Permission denied": "put your key there (`ssh-copy-id`), or name it with identity=FILE",
    "Host key verification failed": "connect once by hand and compare the key of the host",
    "Could not resolve hostname": "check the name",
    "mktemp": "make room there, or name another folder with dir=FOLDER",
}


@dataclass(frozen=True)
class Login:
    """How to reach a board; what is None is left to the user's configuration of ssh."""

    host: str
    user: str | None = None
    port: int | None = None
    identity: Path | None = None
    config: Path | None = None

    def __str__(self) -> str:
        user = f"{self.user}@" if self.user else ""
        return f"{user}{shown_host(self.host)}" + (f":{self.port}" if self.port else "")

    def words(self, control: Path, role: str, command: str) -> list[str]:
        """The command line that runs a command there.

        Args:
            control: the socket that connections of this login share.
            role: "yes" makes the shared connection, "no" uses it.
            command: for the login shell, whichever that is.
        """
        options = {**_OPTIONS, "ControlMaster": role, "ControlPath": control}
        words = [_client(), *(["-F", str(self.config)] if self.config else [])]
        words += [word for key, value in options.items() for word in ("-o", f"{key}={value}")]
        words += ["-i", str(self.identity), "-o", "IdentitiesOnly=yes"] if self.identity else []
        words += ["-p", str(self.port)] if self.port else []
        words += ["-l", self.user] if self.user else []
        return [*words, "--", self.host, command]


@dataclass(frozen=True)
class Answer:
    """What a script on the board wrote, and how it ended."""

    status: int
    stdout: bytes
    stderr: str


class Session:
    """An open connection, with a fresh folder on the board; close it.

    Args:
        login: the board.
        base: where the folder is made; None for the board's TMPDIR or /tmp.

    Attributes:
        machine: what `uname -m` says.
        bits: of the board's own programs, "32" or "64", or "" where it cannot say.
        has_taskset: the board can pin a program to a core.
        folder: absolute, on the board.

    Raises:
        DeviceError: there is no ssh client, or the board does not let us in.
    """

    def __init__(self, login: Login, base: str | None = None) -> None:
        self.login = login
        self._pushed: set[str] = set()
        _client()
        short = None if len(tempfile.gettempdir()) <= SOCKET_PATH_CHARS else "/tmp"
        self._local = Path(tempfile.mkdtemp(prefix="joulecut-", dir=short))
        self._control = self._local / "control"
        self._said = (self._local / "stderr").open("a+b")
        self._keeper = subprocess.Popen(
            login.words(self._control, "yes", _for_any_shell(_keeper_script(base))),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._said,
            start_new_session=True,  # Ctrl-C is ours to handle
        )
        try:
            self.machine, self.bits, taskset, self.folder = self._hello()
        except BaseException:
            self.close()
            raise
        self.has_taskset = bool(taskset)

    @property
    def is_open(self) -> bool:
        """Does the connection still hold, as far as we know?"""
        return self._keeper.poll() is None

    def call(self, script: str, timeout_s: float, data: bytes = b"") -> Answer:
        """Run a script in the board's folder.

        Args:
            script: of `sh`, without newlines.
            timeout_s: until it must have ended.
            data: what the script can read from its input.

        Raises:
            DeviceError: it did not end in time, or the connection broke; close the session.
        """
        wrapped = (
            f"printf 'joulecut-begin\\n'; (umask 077; LC_ALL=C; export LC_ALL; "
            f"cd {shlex.quote(self.folder)} && {script}); printf '\\njoulecut-end %s' $?"
        )
        # The shared connection holds the pipes too: after a kill they have no end to be read to.
        with subprocess.Popen(
            self.login.words(self._control, "no", _for_any_shell(wrapped)),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        ) as process:
            try:
                stdout, said = process.communicate(data, timeout=timeout_s)
            except subprocess.TimeoutExpired as error:
                _kill(process)
                raise DeviceError(
                    f"a program on {self.login} must end within {timeout_s:g} s, and did not; "
                    "give a longer timeout"
                ) from error
            except BaseException:
                _kill(process)
                raise
        stderr = said.decode(errors="replace").strip()[-STDERR_SHOWN_CHARS:]
        _, begin, rest = stdout.partition(_BEGIN)  # before it a login shell may greet
        written, end, status = rest.rpartition(_END)
        if not (begin and end and status.isdigit()):
            line = (
                _last_line(stderr)
                or self._last_words()
                or f"ssh ended with {process.returncode}"
            )
            raise DeviceError(f"the connection to {self.login} must hold, and broke: {line}")
        return Answer(int(status), written, stderr)

    def push(self, name: str, data: bytes, timeout_s: float) -> None:
        """Put a program into the folder, unless it was put there before.

        Raises:
            DeviceError: there is no room for it, or see `call`.
        """
        if name in self._pushed:
            return
        file = shlex.quote(name)
        answer = self.call(f"cat > {file} && chmod 700 {file}", timeout_s, data)
        if answer.status != 0:
            raise self.no_room(f"a program of {len(data)} B", answer)
        self._pushed.add(name)

    def no_room(self, what: str, answer: Answer) -> DeviceError:
        """The error that says that files could not be written there."""
        return DeviceError(
            f"{self.login} must have room for {what} in {self.folder}, and has not; make room "
            f"there, or name another folder with dir=FOLDER; it said:\n{answer.stderr}"
        )

    def close(self) -> None:
        """End what still runs there, remove the folder, and close the connection."""
        keeper = self._keeper
        assert keeper.stdin is not None
        assert keeper.stdout is not None
        with suppress(BrokenPipeError):
            keeper.stdin.close()
        try:
            keeper.wait(CLOSE_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            _kill(keeper)
            keeper.wait()
        finally:
            keeper.stdout.close()
            self._said.close()
            shutil.rmtree(self._local, ignore_errors=True)

    def _hello(self) -> Sequence[str]:
        """Fields of the keeper's first line; a login shell may have written before it."""
        assert self._keeper.stdout is not None
        source = self._keeper.stdout.fileno()
        ready = select.poll()
        ready.register(source, select.POLLIN)
        deadline = time.monotonic() + LOGIN_TIMEOUT_S
        text = ""
        while (found := _HELLO.search(text)) is None:
            left_s = deadline - time.monotonic()
            if left_s <= 0 or not ready.poll(1000 * left_s):
                raise self._refusal(f"no answer within {LOGIN_TIMEOUT_S:g} s")
            chunk = os.read(source, 4096)
            if not chunk:
                self._keeper.wait()
                raise self._refusal(_last_line(text))
            text += chunk.decode(errors="replace")
        return found.groups()

    def _refusal(self, otherwise: str) -> DeviceError:
        line = "; ".join(filter(None, (self._last_words(), otherwise))) or "it said nothing"
        advice = next((text for key, text in _ADVICE.items() if key in line), None)
        advice = advice or "check that the board is on and that `ssh` gets there by hand"
        return DeviceError(f"{self.login} must let ssh in, and does not: {line}; {advice}")

    def _last_words(self) -> str:
        self._said.seek(0)
        return _last_line(self._said.read().decode(errors="replace"))


def _keeper_script(base: str | None) -> str:
    folder = '"${TMPDIR:-/tmp}"' if base is None else shlex.quote(base)
    return (
        f"umask 077; LC_ALL=C; export LC_ALL; d=$(mktemp -d {folder}/joulecut-XXXXXXXXXX) "
        '|| exit 1; trap "" HUP INT TERM PIPE; '
        "printf 'joulecut:%s:%s:%s:%s\\n' \"$(uname -m)\" "
        '"$(getconf LONG_BIT 2> /dev/null)" "$(command -v taskset)" "$d"; '
        "cat > /dev/null; "
        'set -- $(cat "$d/pid" 2> /dev/null); '
        'if [ $# -gt 0 ]; then kill -s KILL -- "-$1" "$@"; fi 2> /dev/null; '
        'rm -rf -- "$d"'
    )


def _for_any_shell(script: str) -> str:
    """`exec`, so that the number of the script's process is that of the process group."""
    return f"exec sh -c {shlex.quote(script)}"


def _client() -> str:
    found = shutil.which("ssh")
    if found is None:
        raise DeviceError(
            "ssh must be installed to reach a board, and is not; install Debian's openssh-client"
        )
    return found


def _kill(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)


def _last_line(text: str) -> str:
    lines = text.strip().splitlines()
    return lines[-1].strip() if lines else ""
