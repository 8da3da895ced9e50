"""Finding a cluster: what it must offer, and what is said when it does not."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import sweep_steps as steps
from sweep_processes import driver_words, free_port, process, scheduler_words, worker_words

from joulecut.compiler.errors import ConfigError, DeviceError
from joulecut.sweep import cluster
from joulecut.sweep.cluster import local_cluster, remote_cluster, require_workers
from joulecut.sweep.ledger import Ledger


@pytest.mark.parametrize("address", ["10.0.0.1:8786", "http://10.0.0.1", "inproc://1"])
def test_a_cluster_is_an_address_of_dask(address: str):
    with pytest.raises(ConfigError, match="cluster must be tcp://HOST:PORT or tls://HOST:PORT"):
        remote_cluster(address, 1.0)


def test_a_scheduler_that_stays_away_is_named(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(cluster, "CONNECT_S", 1.0)
    connect = remote_cluster(f"tcp://127.0.0.1:{free_port()}", patience_s=0.0)
    with pytest.raises(DeviceError, match=r"scheduler must answer at tcp://127.*it goes on"):
        connect()


def test_a_board_must_be_a_resource_of_a_worker():
    with local_cluster(3, ("one",)) as connect, connect() as client:
        assert require_workers(client, ("one",), 10.0) == 3
        with pytest.raises(DeviceError, match=r"--resources 'board:two=1'"):
            require_workers(client, ("one", "two"), 0.0)


def test_a_missing_package_is_named():
    code = (
        "import sys; sys.modules['optuna'] = None\n"
        "from joulecut.cli import main; sys.argv = ['joulecut', 'sweep', 'x.yaml']; main()"
    )
    done = subprocess.run(
        [sys.executable, "-P", "-c", code], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "a sweep must have the package optuna" in done.stderr
    assert "pip install 'joulecut[sweep]'" in done.stderr


def certificate(folder: Path) -> dict[str, str]:
    """A certificate for everybody, signed by itself, as settings of Dask."""
    pem, key = folder / "cert.pem", folder / "key.pem"
    subprocess.run(
        [
            "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
            "-nodes", "-keyout", str(key), "-out", str(pem), "-days", "1", "-subj", "/CN=test",
        ],
        check=True,
        capture_output=True,
    )  # fmt: skip
    files = {"CA_FILE": pem}
    for role in ("SCHEDULER", "WORKER", "CLIENT"):
        files |= {f"{role}__CERT": pem, f"{role}__KEY": key}
    prefix = "DASK_DISTRIBUTED__COMM__"
    settings = {f"{prefix}TLS__{name}": str(path) for name, path in files.items()}
    return {**settings, f"{prefix}REQUIRE_ENCRYPTION": "true"}


@pytest.mark.slow
@pytest.mark.tool
def test_a_sweep_through_tls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    if shutil.which("openssl") is None:
        pytest.skip("openssl must be installed: Debian's package openssl")
    settings = certificate(tmp_path)
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    port, log = free_port(), tmp_path / "log"
    words = [*scheduler_words(port), "--protocol", "tls"]
    address = f"tls://127.0.0.1:{port}"
    with process(*words, log=log), process(*worker_words(address, tmp_path), log=log):
        done = driven(address, tmp_path)
        assert done.stdout.split()[-1:] == ["12"], done.stderr[-3000:] + log.read_text()[-3000:]
        plain = driven(address.replace("tls", "tcp"), tmp_path)
        assert plain.returncode != 0
        assert "cluster must be reached as Dask's settings demand" in plain.stderr


def driven(address: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """A driver that sweeps the grid, in a process that reads the settings."""
    ledger = Ledger(f"sqlite:///{folder / 'ledger.db'}")
    words = driver_words(ledger, address, {}, step="plane")
    tests = str(Path(steps.__file__).parent)
    env = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([tests, os.environ.get("PYTHONPATH", "")]),
    }
    return subprocess.run(words, capture_output=True, text=True, env=env, check=False)
