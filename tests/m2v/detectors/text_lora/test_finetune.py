"""Training and scoring with LoRA, run as programs: one process and two, killed and resumed."""

import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal
from safetensors.numpy import load_file

from m2v.detectors import program
from m2v.detectors.text_lora import classifier
from m2v.detectors.text_lora.entry import Lora
from m2v.detectors.trainer import adapters
from m2v.entries.pretrained import Encoder
from m2v.errors import StoreError
from m2v.programs import checkpoints
from m2v_resources.launching.program import distributed
from tests import encoders, shared
from tests.killing import kill_when
from tests.patience import PATIENCE_S

PROGRAM = program.__name__
LOSSES = ["step", "epoch", "loss", "learning_rate"]
# Hateful is what calls a vegetable rotten; lengths differ, so that padding does.
TRAIN = [
    (f"the {noun} is {word}" + " and green" * (place % 3), word == "rotten")
    for place, noun in enumerate(encoders.WORDS[:7])
    for word in ("rotten", "fresh", "rotten", "sweet")
]
VALIDATION = [("fig is rotten", True), ("the fig is fresh and sweet", False), ("rotten kale", True), ("kale", False)]


@dataclass(frozen=True)
class Garden:
    """A folder with the tiny encoder and the examples."""

    folder: Path
    encoder: Encoder

    def command(self, name: str, *, entry: Mapping[str, Any] | None = None, **spec: Any) -> list[str]:
        """Write a spec; give the command that trains it into a folder of that name."""
        model = Lora(name="tiny-lora", title="Tiny", kind="lora", encoder="tiny", **ENTRY | dict(entry or {}))
        whole = {
            "model": model.model_dump(mode="json"),
            "base": self.encoder.model_dump(mode="json"),
            "train": str(self.folder / "train.parquet"),
            "validation": str(self.folder / "validation.parquet"),
            "seed": 7,
            "home": str(self.folder),
            "content": {"made_from": "vegetables"},
            **spec,
        }
        path = self.folder / f"{name}.json"
        path.write_text(json.dumps(whole), encoding="utf-8")
        n_processes = model.n_processes if model.n_processes > 1 else None
        return encoders.command(PROGRAM, spec=path, out=self.folder / name, n_processes=n_processes)

    def infer(self, name: str, *, checkpoint: Path) -> "subprocess.CompletedProcess[str]":
        """Score the validation split with a checkpoint into a folder of that name."""
        items = [f"v{place}" for place in range(len(VALIDATION))]
        texts = pl.DataFrame({"item_id": items, "text": [text for text, _ in VALIDATION]})
        texts.write_parquet(self.folder / f"{name}.parquet")
        model = Lora(name="tiny-lora", title="Tiny", kind="lora", encoder="tiny", **ENTRY)
        spec = {
            "model": model.model_dump(mode="json"),
            "base": self.encoder.model_dump(mode="json"),
            "home": str(self.folder),
            "checkpoint": str(checkpoint),
            "items": str(self.folder / f"{name}.parquet"),
        }
        path = self.folder / f"{name}.json"
        path.write_text(json.dumps(spec), encoding="utf-8")
        return encoders.run(encoders.command(PROGRAM, spec=path, out=self.folder / name), self.folder)


# 28 examples in batches of 8: the fourth step of an epoch has 4.
ENTRY = {"targets": r".*self\.(query|value)", "epochs": 8, "batch_size": 8, "dropout": 0.1, "learning_rate": 2e-2}
# Of rank 64, so that ZeRO-3 shards the adapter: below 1,000 values it would keep a parameter whole everywhere.
ENTRY |= {"head_learning_rate": 0.2, "rank": 64}


def planted(folder: Path) -> Garden:
    """A garden in a folder."""
    for name, rows in (("train", TRAIN), ("validation", VALIDATION)):
        pl.DataFrame(rows, schema=["text", "label"], orient="row").write_parquet(folder / f"{name}.parquet")
    return Garden(folder, encoders.tiny(folder))


def one_host(stage: int) -> Path:
    """What two processes on one host learn in two epochs, by ZeRO's stage; others learn it on several hosts."""

    def train(folder: Path) -> None:
        entry = {"n_processes": 2, "epochs": 2, "zero_stage": stage}
        result = encoders.run(planted(folder).command("trained", entry=entry), folder)
        assert result.returncode == 0, result.stderr

    return shared.once(f"one_host_{stage}", train) / "trained"


@pytest.fixture(scope="module")
def garden(tmp_path_factory: pytest.TempPathFactory) -> Garden:
    return planted(tmp_path_factory.mktemp("garden"))


PAPER = {"entry": {"epochs": 2}, "validation": None}


@pytest.fixture(scope="module")
def plain(garden: Garden) -> Path:
    """Trained by one process without a validation split."""
    result = encoders.run(garden.command("plain", **PAPER), garden.folder)
    assert result.returncode == 0, result.stderr
    assert "8 of 8 steps, loss 0." in result.stderr
    return garden.folder / "plain"


@pytest.fixture(scope="module")
def zero_2(garden: Garden) -> Path:
    """Trained by two processes with ZeRO-2, uninterrupted."""
    result = encoders.run(garden.command("zero_2", entry={"n_processes": 2, "zero_stage": 2}), garden.folder)
    assert result.returncode == 0, result.stderr
    return garden.folder / "zero_2"


def manifest(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "manifest.json").read_text(encoding="utf-8"))


def losses(folder: Path) -> pl.DataFrame:
    return pl.read_parquet(folder / "history.parquet").select(LOSSES)


def test_what_a_training_leaves(zero_2: Path) -> None:
    assert sorted(path.name for path in zero_2.iterdir()) == [
        "adapter_config.json",
        "adapter_model.safetensors",
        "card.md",
        "history.parquet",
        "manifest.json",
        "validation.parquet",
    ]
    history = pl.read_parquet(zero_2 / "history.parquet")
    assert history.schema == {"step": pl.UInt32} | dict.fromkeys(
        ["epoch", "loss", "learning_rate", "samples_per_s"], pl.Float64
    )
    assert history["step"].to_list() == list(range(1, 33))
    assert history["epoch"].to_list() == [step / 4 for step in range(1, 33)]
    loss = history["loss"].to_numpy()
    assert loss[-4:].mean() < loss[:4].mean() / 2
    found = manifest(zero_2)
    assert found["n_processes"] == 2
    assert found["zero_stage"] == 2
    assert found["n_train"] == 28
    assert found["seed"] == 7
    assert found["content"] == {"made_from": "vegetables"}
    assert found["selection"]["validation_auroc"] == 1.0
    assert set(found["versions"]) == {"torch", "transformers", "peft", "deepspeed"}
    assert pl.read_parquet(zero_2 / "validation.parquet").height == len(VALIDATION)


def test_zero_3_learns_the_same(garden: Garden, zero_2: Path) -> None:
    result = encoders.run(garden.command("zero_3", entry={"n_processes": 2, "zero_stage": 3}), garden.folder)
    assert result.returncode == 0, result.stderr
    three = garden.folder / "zero_3"
    np.testing.assert_allclose(losses(three).to_numpy(), losses(zero_2).to_numpy(), atol=1e-4)
    found, expected = (pl.read_parquet(folder / "validation.parquet").to_numpy() for folder in (three, zero_2))
    np.testing.assert_allclose(found, expected, atol=1e-4)
    saved, reference = (load_file(folder / adapters.ADAPTER) for folder in (three, zero_2))
    assert saved.keys() == reference.keys()
    for name, weights in saved.items():
        np.testing.assert_allclose(weights, reference[name], atol=1e-3)


def test_zero_3_saves_the_shards_of_all_processes(garden: Garden) -> None:
    # Scoring leaves a small model whole; without it, the last thing before the save is a step, which leaves shards.
    entry = {"epochs": 1, "n_processes": 2, "zero_stage": 3}
    result = encoders.run(garden.command("shards", entry=entry, validation=None), garden.folder)
    assert result.returncode == 0, result.stderr
    shapes = {weights.shape for weights in load_file(garden.folder / "shards" / adapters.ADAPTER).values()}
    assert shapes == {(64, 32), (32, 64), (1, 32), (1,)}


def test_killed_it_goes_on_with_the_same_losses(garden: Garden, zero_2: Path) -> None:
    command = garden.command("killed", entry={"n_processes": 2, "zero_stage": 2}, save_steps=3)
    folder = garden.folder / "killed"
    within_the_second_epoch = folder / "state" / "checkpoint-6" / "complete"
    kill_when(within_the_second_epoch.exists, command, encoders.environment(garden.folder), made=(folder,))
    assert not (folder / "manifest.json").exists()
    # A state that was being written when the kill came.
    shutil.copytree(folder / "state" / "checkpoint-6", folder / "state" / "checkpoint-7", dirs_exist_ok=True)
    (folder / "state" / "checkpoint-7" / "complete").unlink()
    (folder / "state" / "checkpoint-7" / "trainer_state.json").write_text("{", encoding="utf-8")
    result = encoders.run(command, garden.folder)
    assert result.returncode == 0, result.stderr
    np.testing.assert_allclose(losses(folder).to_numpy(), losses(zero_2).to_numpy(), rtol=0, atol=1e-6)
    same = ["adapter_model.safetensors", "validation.parquet"]
    assert [manifest(folder)["files"][name] for name in same] == [manifest(zero_2)["files"][name] for name in same]
    assert manifest(folder)["selection"] == manifest(zero_2)["selection"]


def test_a_clock_that_jumps_back_costs_no_state(garden: Garden, plain: Path) -> None:
    command = garden.command("jumps", **PAPER, save_steps=1)
    process = subprocess.Popen(command, env=encoders.environment(garden.folder), stderr=subprocess.PIPE, text=True)
    tomorrow = time.time() + 86_400
    while process.poll() is None:
        # Where the folder or a state is not there yet, or was removed meanwhile, the next look finds what is.
        with contextlib.suppress(FileNotFoundError):
            found = (garden.folder / "jumps" / "state").glob("checkpoint-*")
            for each in sorted(found, key=lambda each: int(each.name[11:]))[:-1]:
                os.utime(each, (tomorrow, tomorrow))
    assert process.returncode == 0, process.communicate()[1]
    assert_frame_equal(losses(garden.folder / "jumps"), losses(plain))


@pytest.mark.usefixtures("cold")
def test_the_reloaded_adapter_gives_the_probabilities_of_training(garden: Garden, zero_2: Path) -> None:
    result = garden.infer("scored", checkpoint=zero_2)
    assert result.returncode == 0, result.stderr
    scored = pl.read_parquet(garden.folder / "scored" / "probabilities.parquet")
    assert scored["item_id"].to_list() == ["v0", "v1", "v2", "v3"]
    kept = pl.read_parquet(zero_2 / "validation.parquet")["probability"]
    np.testing.assert_allclose(scored["probability"], kept, atol=1e-6)


def test_without_a_validation_split_the_last_epoch_is_kept(garden: Garden, plain: Path) -> None:
    found = manifest(plain)
    assert found["selection"] == {"epoch": 2}
    assert found["threshold"] == 0.5
    assert found["n_processes"] == 1
    assert pl.read_parquet(plain / "validation.parquet").height == 0
    written = (plain / "manifest.json").stat().st_mtime_ns
    assert encoders.run(garden.command("plain", **PAPER), garden.folder).returncode == 0  # finished: left alone
    assert (plain / "manifest.json").stat().st_mtime_ns == written


def test_killed_when_all_is_trained_it_still_keeps_the_last_epoch(garden: Garden, plain: Path) -> None:
    command = garden.command("killed_late", **PAPER)
    folder = garden.folder / "killed_late"
    all_is_trained = folder / "state" / "checkpoint-8" / "complete"
    kill_when(all_is_trained.exists, command, encoders.environment(garden.folder), made=(folder,))
    result = encoders.run(command, garden.folder)
    assert result.returncode == 0, result.stderr
    assert_frame_equal(losses(folder), losses(plain))
    assert manifest(folder)["selection"] == {"epoch": 2}
    assert manifest(folder)["files"][adapters.ADAPTER] == manifest(plain)["files"][adapters.ADAPTER]


def test_a_mistyped_path_never_scores_the_base_model(garden: Garden) -> None:
    result = garden.infer("mistyped", checkpoint=garden.folder / "zero_22")
    assert result.returncode == 1
    last = result.stderr.strip().splitlines()[-1]
    assert last.startswith("m2v.errors.StoreError: ")
    assert "zero_22 is no checkpoint: it has no manifest that can be read. Check the path" in last
    assert not (garden.folder / "mistyped" / "manifest.json").exists()


def verified(folder: Path, encoder: Encoder) -> dict[str, Any]:
    return checkpoints.verified(folder, weights=adapters.ADAPTER, base=(encoder.name, encoder.weights))


def test_a_checkpoint_of_another_encoder_is_refused(garden: Garden, zero_2: Path) -> None:
    other = garden.encoder.model_copy(update={"name": "other", "weights_sha256": "f" * 64})
    with pytest.raises(StoreError, match="zero_2 was trained on tiny, not on other's weights"):
        verified(zero_2, other)


def test_a_damaged_checkpoint_is_refused(tmp_path: Path, garden: Garden, zero_2: Path) -> None:
    shutil.copytree(zero_2, tmp_path / "copy")
    assert verified(tmp_path / "copy", garden.encoder) == manifest(zero_2)
    weights = tmp_path / "copy" / "adapter_model.safetensors"
    content = weights.read_bytes()
    weights.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(StoreError, match=r"adapter_model\.safetensors is missing or damaged"):
        verified(tmp_path / "copy", garden.encoder)
    (tmp_path / "copy" / "adapter_config.json").unlink()
    with pytest.raises(StoreError, match=r"has no adapter_config\.json; it is no LoRA checkpoint"):
        classifier.load(garden.encoder, tmp_path / "copy")


def test_two_nodes_learn_what_one_machine_learns(garden: Garden, zero_2: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two torchruns with one process each, as on two machines that share a disk."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = garden.command("nodes", entry={"n_processes": 2, "zero_stage": 2})
    arguments = command[command.index("--spec") :]
    processes = []
    for rank in range(2):
        group = f"--nnodes 2 --node-rank {rank} --master-addr 127.0.0.1 --master-port {port}"
        monkeypatch.setenv("M2V_TORCHRUN", group)
        program = [sys.executable, *distributed(PROGRAM, 1), *arguments]
        processes.append(subprocess.Popen(program, env=encoders.environment(garden.folder), stderr=subprocess.DEVNULL))
    assert [each.wait(timeout=PATIENCE_S) for each in processes] == [0, 0]
    assert manifest(garden.folder / "nodes")["n_processes"] == 2
    assert_frame_equal(losses(garden.folder / "nodes"), losses(zero_2), abs_tol=1e-6)


def test_deepspeeds_hostfile_starts_as_many_processes_as_it_lists(
    garden: Garden, zero_2: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hosts = garden.folder / "hosts.txt"
    hosts.write_text("localhost slots=2\n", encoding="utf-8")
    monkeypatch.setenv("M2V_HOSTFILE", str(hosts))
    command = garden.command("hosts", entry={"n_processes": 2, "zero_stage": 2})
    program = [
        sys.executable,
        *distributed(PROGRAM, 2),
        *command[command.index("--spec") :],
    ]
    result = encoders.run(program, garden.folder)
    assert result.returncode == 0, result.stderr[-3000:]
    assert_frame_equal(losses(garden.folder / "hosts"), losses(zero_2), abs_tol=1e-6)
