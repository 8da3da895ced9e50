"""The sweep's configuration: what the document shows is read, and what is wrong is named."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from joulecut.compiler.errors import ConfigError
from joulecut.sweep.config import SweepConfig, TrainRecipe, ledger_url, require_shared
from joulecut.sweep.ledger import Ledger

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "sweep.md"

LEAST: dict[str, Any] = {
    "name": "least",
    "model": "model.onnx",
    "samples": {"dataset": "mnist"},
    "objectives": {"energy_j": "minimize"},
    "out": "out",
}


def written(folder: Path, **fields: Any) -> Path:
    path = folder / "sweep.yaml"
    path.write_text(yaml.safe_dump({**LEAST, **fields}))
    return path


def test_the_document_s_example_is_a_configuration(tmp_path: Path):
    (example,) = re.findall(r"```yaml\n(.*?)```", DOCUMENT.read_text(), re.DOTALL)
    path = tmp_path / "sweep.yaml"
    path.write_text(example)
    config = SweepConfig.from_yaml(path)
    assert isinstance(config.model, TrainRecipe)
    assert config.model.weight_bits == (4, 8)
    assert config.edge[1].device == ("pi-a", "pi-b")
    assert config.bounds["accuracy"].at_least == 0.9
    assert config.search.trials == 60


def test_paths_are_relative_to_the_file_and_settings_change_it(tmp_path: Path):
    config = SweepConfig.from_yaml(written(tmp_path), ("batch=7", "link=wifi"))
    assert config.model == tmp_path / "model.onnx"
    assert config.out == tmp_path / "out"
    assert (config.batch, config.link) == (7, "wifi")
    assert ledger_url(config) == f"sqlite:///{tmp_path / 'out' / 'ledger.db'}"


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"cut": "auto"}, "cut: Extra inputs are not permitted"),
        ({"objectives": {}}, "objectives: Dictionary should have at least 1 item"),
        ({"objectives": {"speed": "maximize"}}, "objectives.speed.[key]: Input should be 'energy_j'"),
        ({"samples": None}, "samples must be given for a model that is a file"),
        ({"samples": {}}, "samples must have a dataset or a file, and not both"),
        ({"shard": 150}, "shard must be a multiple of batch 100, not 150"),
        ({"search": {"method": "nsga2"}}, "trials must be given for nsga2, and for nsga2 alone"),
        ({"search": {"trials": 3}}, "trials must be given for nsga2, and for nsga2 alone"),
        (
            {"edge": [{"target": "aarch64", "device": ["pi"]}]},
            "device must name boards, not 'pi'",
        ),
        ({"name": "../up"}, "name: String should match pattern"),
        ({"codecs": []}, "codecs: Tuple should have at least 1 item"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named(tmp_path: Path, fields: dict[str, Any], text: str):
    with pytest.raises(ConfigError, match="must fit the sweep schema") as refused:
        SweepConfig.from_yaml(written(tmp_path, **fields))
    assert text in str(refused.value)


def test_machines_do_not_share_a_file(tmp_path: Path):
    config = SweepConfig.from_yaml(written(tmp_path))
    require_shared(config, is_file=True, cluster=None)
    require_shared(config, is_file=True, cluster="tcp://127.0.0.1:8786")
    require_shared(config, is_file=False, cluster="tcp://10.0.0.1:8786")
    with pytest.raises(ConfigError, match="must be a PostgreSQL URL when machines share it"):
        require_shared(config, is_file=True, cluster="tcp://10.0.0.1:8786")


def test_a_password_is_never_shown(tmp_path: Path):
    url = "postgresql://me:secret@127.0.0.1:1/sweeps"
    ledger = Ledger(url)
    config = SweepConfig.from_yaml(written(tmp_path, ledger=url))
    with pytest.raises(ConfigError, match="ledger must be a database that can be opened") as no:
        ledger.create()
    for text in (
        repr(ledger),
        ledger.shown,
        str(no.value),
        repr(config),
        repr(no.value.__cause__),
    ):
        assert "secret" not in text
    assert "me:***@127.0.0.1:1/sweeps" in str(no.value)
    assert config.ledger == url


@pytest.mark.parametrize("url", ["mysql://me:secret@host/sweeps", "://me:secret@", "sqlite://"])
def test_other_ledgers_are_refused_without_their_password(url: str):
    with pytest.raises(
        ConfigError, match="ledger must be sqlite:///FILE or postgresql://"
    ) as no:
        Ledger(url).create()
    assert "secret" not in str(no.value)
