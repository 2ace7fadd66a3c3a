"""The program that asks: what is known is not asked again, whatever was killed."""

import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from tests import encoders, vlms
from tests.killing import kill_when


class Asking:
    """A folder with items, and the program."""

    def __init__(self, folder: Path, n: int = 12) -> None:
        self.folder = folder
        self.rows = vlms.garden(folder / "pictures", n)
        self.examples = vlms.written(vlms.garden(folder / "pictures", 4, start=60), folder / "examples.parquet")

    def command(self, out: str, **changes: Any) -> list[str]:
        items = vlms.written(self.rows, self.folder / f"{out}-items.parquet")
        content = {
            "model": vlms.entry("mllama"),
            "prompt": vlms.PROMPT,
            "label": vlms.LABEL,
            "items": items,
            "demonstrations": self.examples,
            "mode": "score",
            "home": self.folder,
            **changes,
        }
        spec = vlms.spec(self.folder / f"{out}.json", **content)
        return encoders.command("m2v.prediction.predict", spec=spec, out=self.folder / out)

    def __call__(self, out: str, **changes: Any) -> dict[str, Any]:
        result = encoders.run(self.command(out, **changes), self.folder)
        assert result.returncode == 0, result.stderr[-3000:]
        self.said = result.stderr
        return json.loads((self.folder / out / "manifest.json").read_text(encoding="utf-8"))

    def answers(self, out: str) -> pl.DataFrame:
        return pl.read_parquet(self.folder / out / "answers.parquet")


@pytest.fixture
def asking(tmp_path: Path) -> Asking:
    return Asking(tmp_path)


def test_only_what_changed_is_asked_again(asking: Asking) -> None:
    assert (asking("first")["n_asked"], asking("again")["n_asked"]) == (12, 0)
    assert asking.answers("again").equals(asking.answers("first"))
    asking.rows[3]["text"] += " and a pea"
    asking.rows[5]["pictures_sha256"] = ["0" * 64]
    assert asking("changed")["n_asked"] == 2
    # Anything else that decides an answer makes another request of every item.
    other = vlms.PROMPT.model_copy(update={"instruction": vlms.PROMPT.instruction + " Say it."})
    assert asking("prompt", prompt=other)["n_asked"] == 12
    label = vlms.LABEL.model_copy(update={"positive_definition": "is rude"})
    assert asking("definition", label=label)["n_asked"] == 12
    assert asking("weights", model=vlms.entry("mllama", seed=1))["n_asked"] == 12
    assert asking("mode", mode="generate")["n_asked"] == 12
    examples = pl.read_parquet(asking.examples)
    for name, others in (("reversed", examples.reverse()), ("fewer", examples.head(2))):
        others.write_parquet(asking.folder / f"{name}.parquet")
        assert asking(name, demonstrations=asking.folder / f"{name}.parquet")["n_asked"] == 12
    # Where a picture lies, and what items are called, decides nothing.
    for row in asking.rows:
        row["item_id"] += "x"
    assert asking("renamed")["n_asked"] == 0


def test_items_that_are_the_same_are_asked_about_once(asking: Asking) -> None:
    asking.rows += [row | {"item_id": f"{row['item_id']}-again"} for row in asking.rows[:3]]
    assert asking("twice")["n_asked"] == 12
    found = asking.answers("twice")
    assert found.height == 15
    assert found["request_sha256"].n_unique() == 12


@pytest.mark.usefixtures("cold")
def test_outcomes_are_counted_and_none_becomes_a_label(asking: Asking) -> None:
    said = asking("written", mode="generate")
    assert sum(said["outcomes"].values()) == 12
    found = asking.answers("written")
    assert found["probability"].null_count() == 12
    assert set(found["outcome"]) <= {"unparsed", "refused"}


def test_a_killed_program_loses_no_answer(tmp_path: Path) -> None:
    asking = Asking(tmp_path, n=48)
    folder = tmp_path / "requests" / "tiny-mllama"
    kill_when(
        lambda: any(path.stat().st_size for path in folder.glob("*.jsonl")),
        asking.command("killed"),
        encoders.environment(tmp_path),
        made=(tmp_path / "killed", folder),
    )
    n_kept = sum(path.read_text(encoding="utf-8").count("\n") for path in folder.glob("*.jsonl"))
    assert n_kept > 0
    said = asking("again")
    assert (said["n_asked"], said["n_known"]) == (48 - n_kept, n_kept)
    assert asking.answers("again")["probability"].null_count() == 0
    assert not list(folder.glob("*.jsonl"))
