"""The loop: what a killed training goes on from, what chooses the epoch, what the rate is."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from m2v.detectors import program, selection
from m2v.detectors.fitting import states
from m2v.detectors.fitting.inputs import Sequences, pooled, thinned
from m2v.detectors.fitting.loop import learning_rate
from m2v.detectors.fusion.entry import Fusion
from m2v.programs.progress import Report, Send, quiet
from tests.made_features import Patch, only_text, xor


def head(**changes: Any) -> Fusion:
    given = {"name": "head", "title": "Head", "kind": "fusion", "head": "gated", "features": ["eye", "pen"]}
    return Fusion.model_validate({**given, "learning_rate": 1e-3, "epochs": 8, "width": 32, **changes})


class Killed(BaseException):
    """The end of a process, here raised by what hears of its progress."""


class Killer(Send):
    """Ends the training when it says that an epoch is done."""

    def __init__(self, epoch: int) -> None:
        self.epoch = epoch

    def __call__(self, message: dict) -> None:
        if message["done"] >= self.epoch:
            raise Killed


class Hearing(Send):
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.messages: list[dict[str, Any]] = []

    def __call__(self, message: dict) -> None:
        self.messages.append(message)


@pytest.mark.parametrize("epoch", [1, 5])
def test_a_killed_training_goes_on_and_ends_with_the_same_bits(tmp_path: Path, epoch: int) -> None:
    patch = Patch(tmp_path / "patch", xor, n=120, strength=1.5)
    whole = patch.made(head(), "whole")
    spec, out = patch.spec(head(), save_steps=1), patch.folder / "killed"
    out.mkdir()
    with pytest.raises(Killed):
        program.run(spec, out, Report(Killer(epoch), interval_s=0))
    assert not (out / "manifest.json").exists()
    assert (out / states.FOLDER / states.FILE).is_file()
    heard = Hearing()
    program.run(spec, out, Report(heard, interval_s=0))
    # It went on where it was, and did not begin anew.
    assert heard.messages[0]["done"] == epoch + 1
    assert (out / "head.safetensors").read_bytes() == (whole / "head.safetensors").read_bytes()
    manifests = [json.loads((folder / "manifest.json").read_text()) for folder in (whole, out)]
    assert manifests[0]["selection"] == manifests[1]["selection"]
    assert manifests[0]["threshold"] == manifests[1]["threshold"]
    assert not (out / states.FOLDER).exists()


def test_patience_ends_a_training_and_the_best_epoch_is_kept(tmp_path: Path) -> None:
    patch = Patch(tmp_path / "patch", only_text, n=120, strength=1)
    entry = head(epochs=40, patience=2)
    heard = Hearing()
    out = patch.folder / "out"
    out.mkdir()
    program.run(patch.spec(entry), out, Report(heard))
    chosen = json.loads((out / "manifest.json").read_text())["selection"]
    assert heard.messages[-1]["done"] < 40
    assert chosen["validation_auroc"] >= max(message["figures"]["auroc"] for message in heard.messages) - 1e-9
    assert chosen["epoch"] <= heard.messages[-1]["done"]


def test_average_precision_can_choose_the_epoch(tmp_path: Path) -> None:
    patch = Patch(tmp_path / "patch", only_text, n=120, strength=1)
    heard = Hearing()
    out = patch.folder / "out"
    out.mkdir()
    program.run(patch.spec(head(select_by="average_precision", epochs=2)), out, Report(heard))
    assert "average_precision" in heard.messages[-1]["figures"]


def test_balanced_weights_find_more_of_a_rare_class(tmp_path: Path) -> None:
    patch = Patch(tmp_path / "patch", only_text, n=1500, strength=0.7)
    rare = patch.of("train").filter(~pl.col("label") | (pl.int_range(pl.len()) % 10 == 0))
    rare.write_parquet(patch.folder / "train.parquet")
    recall = {}
    for weights in ("balanced", "none"):
        entry = head(class_weights=weights, head="concat", width=0, learning_rate=0.01)
        checkpoint = patch.made(entry, weights, validation=None)
        scored = pl.read_parquet(patch.scored(entry, checkpoint) / program.PROBABILITIES)
        called = scored["probability"].to_numpy() > 0.5
        recall[weights] = called[patch.of("test")["label"].to_numpy()].mean()
    assert recall["balanced"] > recall["none"] + 0.3


def test_the_rate_rises_then_falls_along_a_half_cosine() -> None:
    entry = head(learning_rate=1.0, epochs=4, warmup_epochs=2, schedule="cosine")
    rates = [learning_rate(entry, step=step, per_epoch=2) for step in range(8)]
    np.testing.assert_allclose(rates, [0.25, 0.5, 0.75, 1, 1, 0.853553, 0.5, 0.146447], rtol=1e-5)
    assert learning_rate(head(learning_rate=1.0, warmup_epochs=0, schedule="constant"), step=7, per_epoch=2) == 1


def test_average_precision_is_scikit_learns() -> None:
    from sklearn.metrics import average_precision_score

    generator = np.random.default_rng(3)
    for _ in range(20):
        labels = generator.integers(0, 2, 30).astype(bool)
        probabilities = generator.integers(0, 6, 30) / 5
        expected = average_precision_score(labels, probabilities)
        assert selection.average_precision(labels, probabilities) == pytest.approx(expected)
    assert selection.average_precision(np.ones(3, bool), np.ones(3)) is None


def test_items_keep_their_vectors_when_some_are_taken_pooled_or_thinned() -> None:
    given = Sequences(np.arange(7, dtype=np.float32)[:, None], np.array([0, 2, 2, 7]))
    assert given.present.tolist() == [True, False, True]
    some = given.of(np.array([2, 1, 0]))
    assert some.vectors[:, 0].tolist() == [2, 3, 4, 5, 6, 0, 1]
    assert some.starts.tolist() == [0, 5, 5, 7]
    means = pooled(given)
    assert (means.vectors[:, 0].tolist(), means.starts.tolist()) == ([0.5, 4.0], [0, 1, 1, 2])
    fewer = thinned(given, 2)
    assert (fewer.vectors[:, 0].tolist(), fewer.starts.tolist()) == ([0, 1, 2, 4], [0, 2, 2, 4])


def test_scoring_nothing_gives_nothing(tmp_path: Path) -> None:
    patch = Patch(tmp_path / "patch", xor, n=60)
    checkpoint = patch.made(head(epochs=1), "head")
    patch.of("test").head(0).write_parquet(patch.folder / "none.parquet")
    spec = patch.spec(head(epochs=1), checkpoint=str(checkpoint), items=str(patch.folder / "none.parquet"))
    out = patch.folder / "nothing"
    out.mkdir()
    program.run(spec, out, quiet())
    assert pl.read_parquet(out / program.PROBABILITIES).is_empty()
