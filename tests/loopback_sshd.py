"""An ssh server of the test's own: on loopback, with its own keys, files and environment."""

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest


@dataclass(frozen=True)
class Sshd:
    """A server that runs.

    Attributes:
        port: on 127.0.0.1.
        config: a client's configuration that gets in.
        temp: TMPDIR of its sessions.
        log: what it says.
        pid: of its process.
    """

    port: int
    config: Path
    temp: Path
    log: Path
    pid: int

    @property
    def address(self) -> str:
        return f"ssh://127.0.0.1:{self.port},config={self.config}"

    @property
    def logins(self) -> int:
        return self.log.read_text().count("Accepted publickey")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def sshd(folder: Path, environment: Mapping[str, str] | None = None) -> Generator[Sshd]:
    """Start a server; skips the test if OpenSSH is absent."""
    server = shutil.which("sshd") or shutil.which("sshd", path="/usr/sbin")
    if server is None:
        pytest.skip("sshd is not installed (Debian: openssh-server)")
    if shutil.which("ssh") is None:
        pytest.skip("ssh is not installed (Debian: openssh-client)")
    folder.mkdir(parents=True, exist_ok=True)
    temp = folder / "temp"
    temp.mkdir()
    for name in ("host", "user"):
        command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / name)]
        subprocess.run(command, check=True)
    port = free_port()
    # A home of its own: no start file of the person who runs the tests takes part.
    variables = {"TMPDIR": str(temp), "HOME": str(folder), **(environment or {})}
    (folder / "sshd_config").write_text(
        f"Port {port}\nListenAddress 127.0.0.1\nHostKey {folder}/host\n"
        f"AuthorizedKeysFile {folder}/user.pub\nPidFile none\nUsePAM no\nStrictModes no\n"
        "PasswordAuthentication no\nKbdInteractiveAuthentication no\nPermitRootLogin yes\n"
        f"SetEnv {' '.join(f'{key}={value}' for key, value in variables.items())}\n"
    )
    key = " ".join((folder / "host.pub").read_text().split()[:2])
    (folder / "known").write_text(f"[127.0.0.1]:{port} {key}\n")
    config = folder / "client"
    config.write_text(
        f"Host *\n  UserKnownHostsFile {folder}/known\n  StrictHostKeyChecking yes\n"
        f"  IdentityFile {folder}/user\n  IdentitiesOnly yes\n"
    )
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(exist_ok=True)  # where its unprivileged half lives
    with (folder / "log").open("wb") as log:
        command = [server, "-D", "-e", "-f", str(folder / "sshd_config")]
        process = subprocess.Popen(command, stderr=log, start_new_session=True)
    try:
        _await(process, port, folder / "log")
        yield Sshd(port, config, temp, folder / "log", process.pid)
    finally:
        process.terminate()
        process.wait()


def _await(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    for _ in range(200):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        assert process.poll() is None, log.read_text()
        time.sleep(0.05)
    raise AssertionError(f"sshd does not listen: {log.read_text()}")
