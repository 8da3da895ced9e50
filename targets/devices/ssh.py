"""A Linux board behind ssh: runs a part's static executable there, and leaves nothing behind.

It needs nothing on the board but a login and a POSIX shell, and it is the way to a board that
has no TVM.
"""

from __future__ import annotations

import atexit
import threading
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np

from joulecut.compiler.errors import ConfigError, DeviceError
from joulecut.compiler.graph import sizes
from joulecut.compiler.profile import Profile
from joulecut.targets.devices.batches import (
    batch_samples,
    run_records,
    send_records,
    trace_records,
)
from joulecut.targets.devices.board import FACTS_SCRIPT, Board, clock_note, read_board
from joulecut.targets.devices.clock import read_times
from joulecut.targets.devices.hosts import check_host, check_name, check_port
from joulecut.targets.devices.protocol import Progress, Sent, Signature
from joulecut.targets.devices.records import check_feeds, read_layers, to_records
from joulecut.targets.devices.ssh_program import RemoteProgram, board_arch, push_program
from joulecut.targets.devices.ssh_session import Login, Session

FACTS_TIMEOUT_S = 30.0


@dataclass(frozen=True)
class SshDevice:
    """A board that can be logged in to.

    A connection stays open for the next call; `close` ends it, and so does the end of Python.

    Attributes:
        host: a name that ssh knows, or an address.
        user: None for the user's configuration of ssh, as for all that follow.
        port: of the ssh server.
        identity: file of the private key.
        config: file in place of ~/.ssh/config.
        cpu: the core that programs are pinned to, where the board has `taskset`.
        folder: on the board, where a folder for our files is made; None for its TMPDIR or /tmp.
        timeout_s: for each batch of samples, its transfer included.
        threads: that share a part's work; no more than there are processors take part.
    """

    host: str
    user: str | None = None
    port: int | None = None
    identity: Path | None = None
    config: Path | None = None
    cpu: int | None = None
    folder: str | None = None
    timeout_s: float = 600.0
    threads: int = 1

    def __post_init__(self) -> None:
        check_host("ssh", self.host)
        if self.user is not None:
            check_name("user of ssh", self.user)
        if self.port is not None:
            check_port("ssh", self.port)
        if self.cpu is not None and self.cpu < 0:
            raise ConfigError(f"cpu of ssh must be the number of a core, not {self.cpu}")
        if self.threads < 1:
            raise ConfigError(f"threads of ssh must be at least 1, not {self.threads}")
        if self.cpu is not None and self.threads > 1:
            raise ConfigError(
                f"cpu of ssh must not be given with {self.threads} threads: it is one core"
            )
        if self.folder is not None and not self.folder.startswith("/"):
            raise ConfigError(f"dir of ssh must begin with '/', not '{self.folder}'")
        if not self.timeout_s > 0:
            raise ConfigError(f"timeout of ssh must be positive, not {self.timeout_s}")
        for name, path in (("identity", self.identity), ("config", self.config)):
            if path is not None and not path.is_file():
                raise ConfigError(f"{name} of ssh must be a file, not '{path}'")

    @property
    def address(self) -> str:
        """`ssh://user@host:port,cpu=1`."""
        cpu = f",cpu={self.cpu}" if self.cpu is not None else ""
        threads = f",threads={self.threads}" if self.threads > 1 else ""
        return f"ssh://{self._login}{cpu}{threads}"

    @property
    def arch(self) -> str:
        """The architecture of the board's own programs; asks the board."""
        with self._session() as session:
            return board_arch(session)

    def check(self) -> None:
        """The client must be installed, and the board let us in; see Device.check."""
        with self._session():
            pass

    def close(self) -> None:
        """End the connection, and remove what is ours on the board; the next call connects anew."""
        line = _line(self)
        with line.lock:
            line.end()

    def run(
        self,
        part: Path,
        inputs: Mapping[str, np.ndarray],
        signature: Signature,
        progress: Progress | None = None,
    ) -> dict[str, np.ndarray]:
        """The outputs of the part; see Device.run."""
        runner = partial(self._batches, part, signature, progress)
        return run_records(runner, inputs, signature)

    def send(
        self,
        part: Path,
        inputs: Mapping[str, np.ndarray],
        signature: Signature,
        progress: Progress | None = None,
    ) -> Sent:
        """Outputs and coded frames; see Device.send."""
        runner = partial(self._batches, part, signature, progress)
        return send_records(runner, inputs, signature)

    def trace(
        self,
        part: Path,
        inputs: Mapping[str, np.ndarray],
        signature: Signature,
        progress: Progress | None = None,
    ) -> dict[str, np.ndarray]:
        """The output of every layer; see Device.trace."""
        runner = partial(self._batches, part, signature, progress)
        return trace_records(runner, part, inputs, signature)

    def profile(
        self,
        part: Path,
        inputs: Mapping[str, np.ndarray],
        signature: Signature,
        repeats: int = 20,
    ) -> Profile:
        """Nanoseconds per layer, measured on the board, and its clocks; see Device.profile."""
        if repeats < 1:
            raise ConfigError(f"repeats must be at least 1, not {repeats}")
        check_feeds(inputs, signature.fed)
        record = to_records(inputs, signature.fed)[:1]
        coded = bool(signature.link)
        options = ["--profile", "profile", "--repeat", str(repeats)]
        options += ["--link", "link"] if coded else []
        options += self._threads()
        with self._session() as session:
            run = self._program(session, part)
            before = _board(session)
            (text,) = run(options, record, ("profile",))
            after = _board(session)
            pinned = self._pinned(session)
        written = text.decode(errors="replace")
        layers, notes = read_times(written, part, repeats, coded=coded, threads=self.threads)
        return Profile(
            self.address, layers, after.machine, (*notes, clock_note(before, after), *pinned)
        )

    def _batches(
        self,
        part: Path,
        signature: Signature,
        progress: Progress | None,
        records: np.ndarray,
        wanted: Sequence[str],
    ) -> list[bytes]:
        """What the program wrote for all records: outputs, then what each wanted option writes."""
        sample_bytes = records.shape[1] + sizes(signature.outputs)
        if "trace" in wanted:
            sample_bytes += sizes([layer.output for layer in read_layers(part)])
        step = batch_samples(sample_bytes)
        options = [word for name in wanted for word in (f"--{name}", name)]
        options += self._threads()
        columns: list[list[bytes]] = [[] for _ in ("output", *wanted)]
        with self._session() as session:
            run = self._program(session, part)
            for first in range(0, len(records), step):
                chunk = records[first : first + step]
                try:
                    made = run(options, chunk, ("output", *wanted))
                except DeviceError as error:
                    last = first + len(chunk) - 1
                    raise DeviceError(f"samples {first}..{last}: {error}") from error
                for column, text in zip(columns, made, strict=True):
                    column.append(text)
                if progress is not None:
                    progress(first + len(chunk), len(records))
        return [b"".join(column) for column in columns]

    def _program(self, session: Session, part: Path) -> RemoteProgram:
        cpu = self.cpu if session.has_taskset else None
        return push_program(session, part, cpu, self.timeout_s)

    def _threads(self) -> list[str]:
        return ["--threads", str(self.threads)] if self.threads > 1 else []

    def _pinned(self, session: Session) -> tuple[str, ...]:
        if self.cpu is None:
            return ()
        if session.has_taskset:
            return (f"pinned to core {self.cpu}",)
        return (f"not pinned to core {self.cpu}: the board has no taskset",)

    @property
    def _login(self) -> Login:
        return Login(self.host, self.user, self.port, self.identity, self.config)

    @contextmanager
    def _session(self) -> Generator[Session]:
        """The open connection, for one at a time; any error closes it, which cleans the board."""
        line = _line(self)
        with line.lock:
            if line.session is None or not line.session.is_open:
                line.end()
                line.session = Session(self._login, self.folder)
            try:
                yield line.session
            except BaseException:
                line.end()
                raise


@dataclass
class _Line:
    """The connection of a device between its calls."""

    session: Session | None = None
    lock: threading.RLock = field(default_factory=threading.RLock)

    def end(self) -> None:
        if self.session is not None:
            self.session.close()
            self.session = None


_lines: dict[SshDevice, _Line] = {}
_lines_lock = threading.Lock()


def _line(device: SshDevice) -> _Line:
    with _lines_lock:
        return _lines.setdefault(device, _Line())


@atexit.register
def _end_all() -> None:
    for line in _lines.values():
        line.end()


def _board(session: Session) -> Board:
    answer = session.call(FACTS_SCRIPT, FACTS_TIMEOUT_S)
    return read_board(answer.stdout.decode(errors="replace"), session.machine)
