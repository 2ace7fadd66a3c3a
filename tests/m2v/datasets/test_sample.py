"""The sample study is what its docs and screenshots promise."""

from pathlib import Path

import polars as pl
import pytest
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score
from sklearn.pipeline import make_pipeline

from m2v import catalog, schemas
from m2v.datasets import integrity, readers, sample, sources


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return sources.find(catalog.load().sources["sample"], home=tmp_path_factory.mktemp("home"))


@pytest.fixture(scope="module")
def plan() -> catalog.StudyPlan:
    return catalog.open_study("sample")


@pytest.fixture(scope="module")
def memes(plan: catalog.StudyPlan, files: dict[str, Path]) -> pl.DataFrame:
    return schemas.MEMES.validate(readers.memes(plan.memes[0], files=files))


@pytest.fixture(scope="module")
def videos(plan: catalog.StudyPlan, files: dict[str, Path]) -> pl.DataFrame:
    return schemas.VIDEOS.validate(readers.videos(plan.targets[0], files=files))


def test_equal_seeds_give_equal_bytes_and_others_do_not(tmp_path: Path) -> None:
    contents = []
    for number, seed in enumerate((1, 1, 2)):
        folder = tmp_path / str(number)
        folder.mkdir()
        sample.write(folder, seed=seed)
        contents.append({path.name: path.read_bytes() for path in folder.iterdir()})
    assert contents[0] == contents[1]
    assert all(contents[0][name] != contents[2][name] for name in contents[0])
    assert not any(b"\r" in content for content in contents[0].values())


def test_both_labels_stand_in_every_split(memes: pl.DataFrame, videos: pl.DataFrame) -> None:
    assert memes.height == 240
    assert 0.3 < memes["label"].mean() < 0.7  # pyright: ignore[reportOperatorIssue, reportOptionalOperand]
    assert videos.group_by("split").len().sort("split").rows() == [("train", 61), ("validation", 20), ("test", 40)]
    assert videos.select("split", "label").unique().height == 6


def test_what_integrity_looks_for_is_planted(
    plan: catalog.StudyPlan, files: dict[str, Path], memes: pl.DataFrame, videos: pl.DataFrame
) -> None:
    demonstrations = readers.demonstrations(plan.targets[0], files=files)
    findings = [
        *integrity.video_findings(videos, variant="garden"),
        *integrity.meme_findings(memes, variant="veggie"),
        *integrity.demonstration_findings(demonstrations, videos, variant="garden"),
    ]
    assert {finding.check: len(finding.ids) for finding in findings if finding.table != "memes"} == {
        "ids_in_one_split": 1,
        "texts_in_one_split": 5,  # two texts in two videos each, and the video that stands in two splits
        "texts_present": 3,
        "audio_present": 2,
        "demonstrations_held_out": 8,
    }
    repeated, empty = (finding.figures for finding in findings if finding.table == "memes")
    assert (repeated["n_texts"] or 0) >= 6
    assert empty["n_rows"] == 0


def test_the_model_and_the_annotators_err_as_they_should(plan: catalog.StudyPlan, files: dict[str, Path]) -> None:
    alignment = plan.alignments[0]
    memes = readers.memes(plan.memes[0], files=files)
    predictions = schemas.PREDICTIONS.validate(readers.recorded_predictions(alignment, files=files, memes=memes))
    answers = schemas.HUMAN_LABELS.validate(readers.recorded_answers(alignment, files=files))
    truth = answers.group_by("meme_id").agg(truth=pl.col("label").mean() > 0.5)
    right = (
        answers.join(truth, on="meme_id")
        .group_by("annotator")
        .agg((pl.col("label") == pl.col("truth")).mean().alias("share"))
    )
    assert right["annotator"].n_unique() == 3
    assert right["share"].is_between(0.8, 0.99).all()
    modelled = predictions.join(truth, on="meme_id").select((pl.col("predicted") == pl.col("truth")).mean()).item()
    assert 0.75 < modelled < 0.92
    disagreement = (predictions["original"] != predictions["predicted"]).mean()
    assert 0.3 < disagreement < 0.6  # pyright: ignore[reportOperatorIssue, reportOptionalOperand]
    n_answers = answers.group_by("meme_id").len()["len"]
    assert set(n_answers) >= {2, 3}  # with original and prediction, two answers can tie


def test_reannotated_memes_teach_the_videos_label_better(
    plan: catalog.StudyPlan, files: dict[str, Path], memes: pl.DataFrame, videos: pl.DataFrame
) -> None:
    answers = readers.recorded_answers(plan.alignments[0], files=files)
    majority = answers.group_by("meme_id").agg(pl.col("label").mean() > 0.5)
    reannotated = memes.drop("label").join(majority, on="meme_id", maintain_order="left")
    test = videos.filter(split="test")

    def macro_f1(rows: pl.DataFrame) -> float:
        classifier = make_pipeline(TfidfVectorizer(), LogisticRegression(C=10, class_weight="balanced"))
        classifier.fit(rows["text"].to_list(), rows["label"].to_list())
        return f1_score(test["label"].to_list(), classifier.predict(test["text"].to_list()), average="macro")

    original, voted, own = macro_f1(memes), macro_f1(reannotated), macro_f1(videos.filter(split="train"))
    assert 0.5 < original < 0.7
    assert 0.75 < voted < 0.95
    assert 0.75 < own < 0.95
