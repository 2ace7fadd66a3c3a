"""How each dataset's own files say what an item is."""

import hashlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath

from m2v.datasets import jsonfiles
from m2v.datasets.csvfiles import PLAIN_TABS, TABS, read
from m2v.datasets.textfiles import N_QUOTED, Row, check_unique
from m2v.entries.datasets import Dataset, SplitShares
from m2v.errors import BadInput, InvalidCatalog

SPLITS = {"train": "train", "validation": "validation", "test": "test"}
ZERO_ONE = {"0": False, "1": True}
# The harmful classes of MultiHateClip count as positive (Wang et al. 2024, ACM Multimedia).
MULTIHATECLIP = {"Hateful": True, "Offensive": True, "Normal": False}
HATEMM = {"Hate": True, "Non Hate": False}
# The columns that each layout's tables must have.
PUBLISHED_MEMES = ("id", "image", "text", "type", "original_dataset_label")
PUBLISHED_MEMES += ("model_prediction", "human_annotation", "majority_voting")
PUBLISHED_VIDEOS = ("id", "video", "frames", "image", "audio", "text", "type", "label")
MAMI_COLUMNS = ("file_name", "misogynous", "Text Transcription")
HATEMM_COLUMNS = ("video_file_name", "label", "hate_snippet", "target")


@dataclass(frozen=True)
class RawItem:
    """A meme or a video as a file has it.

    Attributes:
        media: Paths below the dataset's media folder, by column.
        row: Where it stands, for errors.
    """

    item_id: str
    split: str
    text: str
    label: bool
    row: Row
    media: dict[str, str | None] = field(default_factory=dict)


def published_memes(dataset: Dataset, paths: list[Path]) -> list[RawItem]:
    """Return the re-annotated tables of the M2V paper; predictions and answers in them are read elsewhere."""
    return [
        RawItem(
            item_id=row.filled("id"),
            split=row.choice("type", SPLITS),
            text=row["text"],
            label=row.choice("original_dataset_label", ZERO_ONE),
            media={"image": row["image"] or None},
            row=row,
        )
        for path in paths
        for row in read(path, columns=PUBLISHED_MEMES)
    ]


def published_videos(dataset: Dataset, paths: list[Path]) -> list[RawItem]:
    """Return the video tables of the M2V paper."""
    return [
        RawItem(
            item_id=row.filled("id"),
            split=row.choice("type", SPLITS),
            text=row["text"],
            label=row.choice("label", ZERO_ONE),
            media={"video": row["video"] or None, "audio": row["audio"] or None},
            row=row,
        )
        for path in paths
        for row in read(path, columns=PUBLISHED_VIDEOS)
    ]


def hateful_memes(dataset: Dataset, paths: list[Path]) -> list[RawItem]:
    """Hateful Memes (Kiela et al. 2020): ``train.jsonl``, ``dev_seen.jsonl``, …; the split is the file's name."""
    items = []
    for path in paths:
        split = {"train": "train", "dev": "validation", "test": "test"}.get(path.stem.partition("_")[0])
        if split is None:
            raise BadInput(path, "its name must begin with train, dev or test, which is its split.")
        for row in jsonfiles.records(path, keys=("id", "img", "text"), optional=("label",)):
            if "label" not in row.cells:
                problem = "has no label; the challenge's test files have none. Leave this file out of `files`."
                raise row.bad("label", problem)
            items.append(
                RawItem(
                    item_id=row.filled("id"),
                    split=split,
                    text=row["text"],
                    label=row.choice("label", ZERO_ONE),
                    media={"image": row["img"] or None},
                    row=row,
                )
            )
    return items


def mami(dataset: Dataset, paths: list[Path]) -> list[RawItem]:
    """MAMI (Fersini et al. 2022, SemEval task 5): ``training.csv``, tab-separated; all of it trains."""
    return [
        RawItem(
            item_id=PurePosixPath(row.filled("file_name")).stem,
            split="train",
            text=row["Text Transcription"],
            label=row.choice("misogynous", ZERO_ONE),
            media={"image": row["file_name"]},
            row=row,
        )
        for path in paths
        for row in read(path, columns=MAMI_COLUMNS, others=True, dialect=TABS)
    ]


def hatemm(dataset: Dataset, paths: list[Path]) -> list[RawItem]:
    """HateMM (Das et al. 2023, ICWSM): ``HateMM_annotation.csv``, then optionally the transcripts, which it lacks.

    Transcripts are a CSV with columns ``video_file_name`` and ``text``, or a JSON object of texts by video. It comes
    without splits, so ``split_shares`` says how to draw them.
    """
    if dataset.split_shares is None:
        raise InvalidCatalog(dataset.name, "layout 'hatemm' has no splits; add `split_shares: {train: …}` to its YAML.")
    texts = _transcripts(paths[1]) if len(paths) > 1 else None
    items = []
    for row in read(paths[0], columns=HATEMM_COLUMNS, others=True):
        name = row.filled("video_file_name")
        video_id = PurePosixPath(name).stem
        text = "" if texts is None else _text_of(texts, [video_id, name], row, "video_file_name", paths[1])
        label = row.choice("label", HATEMM)
        items.append(RawItem(item_id=video_id, split="", text=text, label=label, media={"video": name}, row=row))
    # Before splits are drawn: a video with both labels could land in two of them.
    check_unique(((item.item_id,), item.row) for item in items)
    return drawn_splits(items, shares=dataset.split_shares)


def multihateclip(dataset: Dataset, paths: list[Path]) -> list[RawItem]:
    """MultiHateClip (Wang et al. 2024), English or Chinese: ``train.tsv``, ``valid.tsv``, ``test.tsv``, ``text.json``.

    Three classes; Hateful and Offensive are positive. The text is title, description and transcript, a line each.
    """
    tables = [path for path in paths if path.suffix == ".tsv"]
    others = [path for path in paths if path.suffix == ".json"]
    if not tables or len(others) != 1:
        raise InvalidCatalog(dataset.name, "layout 'multihateclip' needs .tsv files and one .json among `files`.")
    texts = jsonfiles.texts(others[0])
    items = []
    for path in tables:
        split = {"train": "train", "valid": "validation", "test": "test"}.get(path.stem)
        if split is None:
            raise BadInput(path, "must be called train.tsv, valid.tsv or test.tsv, which is its split.")
        for row in read(path, columns=["Video_ID", "Majority_Voting"], others=True, dialect=PLAIN_TABS):
            video_id = row.filled("Video_ID")
            items.append(
                RawItem(
                    item_id=video_id,
                    split=split,
                    text=_text_of(texts, [video_id], row, "Video_ID", others[0]),
                    label=row.choice("Majority_Voting", MULTIHATECLIP),
                    media={"video": f"{video_id}.mp4"},
                    row=row,
                )
            )
    return items


def drawn_splits(items: Iterable[RawItem], *, shares: SplitShares) -> list[RawItem]:
    """Return the items with splits drawn by seed, with each label's share in every split.

    An item's place is decided by the sha256 of seed and id, so that the order of the file does not matter.
    """
    placed = []
    for label in (False, True):
        ranked = sorted(
            (item for item in items if item.label is label),
            key=lambda item: hashlib.sha256(f"{shares.seed}:{item.item_id}".encode()).digest(),
        )
        n_test = round(len(ranked) * shares.test)
        n_held_out = round(len(ranked) * (shares.test + shares.validation))
        for rank, item in enumerate(ranked):
            split = "test" if rank < n_test else "validation" if rank < n_held_out else "train"
            placed.append(replace(item, split=split))
    return placed


MEMES: Mapping[str, Callable[[Dataset, list[Path]], list[RawItem]]] = {
    "published": published_memes,
    "hateful-memes": hateful_memes,
    "mami": mami,
}
VIDEOS: Mapping[str, Callable[[Dataset, list[Path]], list[RawItem]]] = {
    "published": published_videos,
    "hatemm": hatemm,
    "multihateclip": multihateclip,
}


def _transcripts(path: Path) -> dict[str, str]:
    if path.suffix != ".csv":
        return jsonfiles.texts(path)
    rows = read(path, columns=["video_file_name", "text"], others=True)
    check_unique(((row["video_file_name"],), row) for row in rows)
    return {row["video_file_name"]: row["text"] for row in rows}


def _text_of(texts: Mapping[str, str], names: list[str], row: Row, column: str, path: Path) -> str:
    for name in names:
        if name in texts:
            return texts[name]
    problem = f"{names[0][:N_QUOTED]!r} has no text in {path.name}; add one, an empty one if nothing is said."
    raise row.bad(column, problem)
