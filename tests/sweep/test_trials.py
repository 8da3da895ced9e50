"""Whole sweeps: models cut, compiled, run and priced, with few samples."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from built_bundles import need_target
from qdq_models import network, write

from joulecut.compiler.config import CodecConfig
from joulecut.compiler.cut import cut_at, cuts
from joulecut.compiler.errors import ConfigError
from joulecut.compiler.graph import Graph, input_specs
from joulecut.compiler.load import load
from joulecut.compiler.pipeline import pipeline
from joulecut.compiler.profile import LayerProfile, Profile, Quantity
from joulecut.compiler.reference import run_reference
from joulecut.hw.energy_table import load_table
from joulecut.hw.links import load_link
from joulecut.sweep import steps
from joulecut.sweep.config import SweepConfig, TrainRecipe
from joulecut.sweep.ledger import Ledger
from joulecut.sweep.plan import planned, training_job
from joulecut.sweep.run import sweep
from joulecut.targets.study import Study, run_study

SAMPLES = 40
HERE = {"target": "x86_64", "device": "local"}
WIDTHS = [(4, 4), (4, 8), (8, 4), (8, 8)]
CODECS = [{"quantizer": "none"}, {"quantizer": "sq", "bits": 2}]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    need_target("x86_64")
    return write(network("convnet", dialect="QCDQ"), tmp_path_factory.mktemp("sweep"))


@pytest.fixture(scope="module")
def graph(model: Path) -> Graph:
    return pipeline(load(model))


@pytest.fixture(scope="module")
def samples(model: Path, graph: Graph) -> Path:
    """Noise, labelled by what the network makes of it: lossless cuts get all of it right."""
    (spec,) = input_specs(graph)
    rng = np.random.default_rng(0)
    feed = rng.standard_normal((SAMPLES, *spec.shape[1:])).astype(np.float32)
    (outputs, *_) = run_reference(graph, {spec.name: feed})
    labels = outputs.reshape(SAMPLES, -1).argmax(axis=1)
    path = model.with_name("samples.npz")
    arrays: dict[str, Any] = {"labels": labels, spec.name: feed}
    np.savez(path, **arrays)
    return path


def configured(model: Path, samples: Path, out: Path, **fields: Any) -> SweepConfig:
    tensors = [list(cuts(pipeline(load(model)))[1].tensors)]
    return SweepConfig.model_validate(
        {
            "name": "convnet",
            "model": model,
            "samples": {"file": samples},
            "cuts": tensors,
            "codecs": CODECS,
            "edge": [HERE],
            "cloud": [HERE],
            "objectives": {"coded_bytes": "minimize", "accuracy": "maximize"},
            "batch": 20,
            "out": out,
            **fields,
        }
    )


def starts(config: SweepConfig) -> int:
    ledger = Ledger(f"sqlite:///{config.out / 'ledger.db'}")
    count = Counter(line.event for line in ledger.log())
    ledger.close()
    assert count["START"] == count["DONE"]
    return count["START"]


def test_trials_are_those_of_a_study(model: Path, samples: Path, graph: Graph, tmp_path: Path):
    config = configured(model, samples, tmp_path)
    result = sweep(config)
    assert [row.state for row in result.rows] == ["complete"] * 2
    with np.load(samples) as archive:
        (spec,) = input_specs(graph)
        feeds, labels = {spec.name: archive[spec.name]}, archive["labels"]
    for row in result.rows:
        tensors = row.point["cut"].split(" + ")
        codec = CODECS[0] if row.point["codec"] == "none" else CODECS[1]
        study = Study(
            graph=graph,
            feeds=feeds,
            labels=labels,
            trained_accuracy=None,
            table=load_table("horowitz_45nm"),
            radio=load_link("paper-5mhz").link,
            directory=tmp_path / row.key,
            edge="x86_64",
            edge_device="local",
            codec=CodecConfig.model_validate(codec),
            batch=20,
        )
        (expected,) = run_study(study, [cut_at(graph, tensors)])
        found = row.quantities
        assert found["coded_bytes"] == Quantity(expected.coded_bytes, "B", "measured")
        assert found["accuracy"] == Quantity(expected.accuracy or 0, "1", "measured")
        assert found["energy_j"].value == pytest.approx(expected.total_pj / 1e12, rel=1e-12)
        assert found["energy_j"].provenance == "modelled"
        if codec["quantizer"] == "none":
            assert found["accuracy"].value == 1.0


def test_shards_add_up_to_the_whole(model: Path, samples: Path, tmp_path: Path):
    whole = sweep(configured(model, samples, tmp_path / "whole"))
    shards = configured(model, samples, tmp_path / "shards", shard=20)
    assert [row.quantities for row in sweep(shards).rows] == [
        row.quantities for row in whole.rows
    ]
    assert starts(shards) == 2 * (SAMPLES // 20 + 1)
    assert starts(configured(model, samples, tmp_path / "whole")) == 2


def test_latency_is_measured_where_there_is_a_clock(model: Path, samples: Path, tmp_path: Path):
    config = configured(
        model, samples, tmp_path, objectives={"latency_s": "minimize"}, shard=20
    )
    result = sweep(config)
    for row in result.rows:
        latency = row.quantities["latency_s"]
        bits = 8 * row.quantities["coded_bytes"].value
        sending = bits / load_link("paper-5mhz").link.rate_bits_per_s
        assert latency.provenance == "modelled"  # as weak as sending
        assert latency.value > sending


def test_the_verb_goes_on_and_runs_nothing_twice(model: Path, samples: Path, tmp_path: Path):
    config = configured(model, samples, tmp_path / "out")
    path = tmp_path / "sweep.yaml"
    path.write_text(yaml.safe_dump(config.model_dump(mode="json", exclude_none=True)))
    first = joulecut("sweep", path, "--threads", "2")
    assert "Pareto front" in first.stdout
    assert "measured" in first.stdout
    before = starts(config)
    document = json.loads(joulecut("sweep", path, "--json").stdout)
    assert starts(config) == before == 2
    assert len(document["trials"]) == 2
    assert document["front"]
    assert {row["quantities"]["accuracy"]["provenance"] for row in document["front"]} == {
        "measured"
    }
    with (config.out / "trials.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [float(row["coded_bytes [B, measured]"]) for row in rows] == [
        row["quantities"]["coded_bytes"]["value"] for row in document["trials"]
    ]
    page = Path(document["page"]).read_text()
    assert "coded_bytes [B, measured]" in page
    assert "scattergl" in page or "scatter" in page


def joulecut(*words: str | Path) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [sys.executable, "-P", "-c", "from joulecut.cli import main; main()", *map(str, words)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "COLUMNS": "300", "NO_COLOR": "1"},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done


def test_a_cut_that_does_not_sever_fails_and_the_sweep_goes_on(
    model: Path, samples: Path, tmp_path: Path, graph: Graph
):
    good = list(cuts(graph)[1].tensors)
    config = configured(model, samples, tmp_path, cuts=[["nowhere"], good], codecs=CODECS[:1])
    failed, complete = sweep(config).rows
    assert failed.state == "failed"
    assert failed.reason.startswith("CutError: ")
    assert "nowhere" in failed.reason
    assert complete.best


def test_samples_that_changed_are_refused(model: Path, samples: Path, tmp_path: Path):
    config = configured(model, samples, tmp_path)
    plan = planned(config, None)
    job = plan.job_of({name: labels[0] for name, labels in plan.problem.dimensions.items()})
    wrong = {**job.arguments, "samples": {**job.arguments["samples"], "sha256": "0" * 64}}
    with pytest.raises(ConfigError, match="samples must be the same on every machine"):
        steps.run_whole(wrong, [], [])
    wrong = {**job.arguments, "model": "0" * 64}
    with pytest.raises(ConfigError, match="model must be the driver's on every machine"):
        steps.run_whole(wrong, [], [])
    wrong = {**job.arguments, "prices": "0" * 64}
    with pytest.raises(ConfigError, match="energy table must be the driver's on every machine"):
        steps.run_whole(wrong, [], [])


def test_a_path_or_an_address_is_no_part_of_the_hash(
    model: Path, samples: Path, tmp_path: Path
):
    edge = [{"target": "x86_64", "device": ["board"]}]
    other = tmp_path / "copy.onnx"
    other.write_bytes(model.read_bytes())
    keys: set[str] = set()
    for path, address in ((model, "local"), (other, "local,threads=2")):
        config = configured(path, samples, tmp_path, edge=edge, boards={"board": address})
        plan = planned(config, None)
        point = {name: labels[0] for name, labels in plan.problem.dimensions.items()}
        keys.add(plan.job_of(point).key)
        assert plan.job_of(point).boards == (("board",),)
    assert len(keys) == 1


def test_two_parts_need_two_boards(model: Path, samples: Path, tmp_path: Path):
    place = [{"target": "x86_64", "device": ["board"]}]
    config = configured(
        model, samples, tmp_path, edge=place, cloud=place, boards={"board": "local"}
    )
    plan = planned(config, None)
    with pytest.raises(ConfigError, match="must run on two boards, not both on 'board'"):
        plan.job_of({name: labels[0] for name, labels in plan.problem.dimensions.items()})


def test_a_device_that_only_counts_has_no_latency():
    counted = LayerProfile("y", "Conv", {"instructions": Quantity(9, "1", "simulated")})
    with pytest.raises(ConfigError, match="device of the edge part must have a clock"):
        steps.seconds_of(Profile("qemu:aarch64", (counted,), "a machine"), "edge")


@pytest.mark.train
def test_a_recipe_is_trained_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    for package in ("torch", "brevitas", "mlxtend"):
        pytest.importorskip(package)
    need_target("x86_64")
    monkeypatch.setattr(steps, "cache_dir", lambda: tmp_path / "cache")  # trained anew
    config = SweepConfig.model_validate(
        {
            "name": "digits",
            "model": {
                "weight_bits": [4],
                "float_epochs": 0,
                "quantized_epochs": 1,
                "train_count": 64,
            },
            "samples": {"dataset": "mnist", "count": 20},
            "cuts": [["pool1"]],
            "edge": [HERE],
            "cloud": [HERE],
            "objectives": {"energy_j": "minimize", "accuracy": "maximize"},
            "batch": 20,
            "out": tmp_path / "out",
        }
    )
    result = sweep(config)
    assert [row.state for row in result.rows] == ["complete"]
    assert starts(config) == 1 + 1
    assert sweep(config).rows == result.rows
    assert starts(config) == 1 + 1


def test_each_pair_of_widths_has_a_training_of_its_own():
    recipe = TrainRecipe(weight_bits=(4, 8))
    jobs = [training_job(recipe, weights, activations) for weights, activations in WIDTHS]
    again = [
        training_job(TrainRecipe(), weights, activations) for weights, activations in WIDTHS
    ]
    assert [job.key for job in jobs] == [job.key for job in again]
    assert len({job.key for job in jobs}) == len(WIDTHS)
    assert training_job(TrainRecipe(seed=1), 4, 8).key not in {job.key for job in jobs}
