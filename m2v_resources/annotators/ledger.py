"""The rounds' ledger: what was meant, written before the server hears of it, and all that came back.

``<home>/rounds/<alignment>/<round>/`` holds ``items.parquet``, ``round.json`` (written last: what has one is meant),
``annotations.parquet`` (everything ever pulled), ``seen.parquet`` (which state of which task the last pull saw) and
``pulled.json`` (how far, written after these).
"""

import contextlib
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from pathlib import Path

import polars as pl

from m2v.annotation.answers import RAW_COLUMNS, Judged, judge, together
from m2v.annotation.rounds import ITEM_COLUMNS, Round
from m2v.errors import BadInput, LabelStudioError, StoreError, UnknownName
from m2v.files import documents, locks
from m2v.files.parquet import DAMAGED
from m2v.files.whole import replacing

SEEN_COLUMNS = {"project_id": pl.Int64, "task_id": pl.Int64, "changed_at": pl.Datetime("us", "UTC")}


@dataclass(frozen=True)
class Pulled:
    """How far a round was pulled.

    Attributes:
        until: The server's latest time of change that was seen.
        n_since_full: Pulls since everything was last looked at.
        state: ``open``, ``complete`` (all was answered) or ``closed`` (by hand).
        missing: Annotations that the server no longer has, by the last full pull; they still count.
    """

    until: datetime | None = None
    n_since_full: int = 0
    state: str = "open"
    missing: int = 0


class Ledger:
    """The rounds of one alignment."""

    def __init__(self, home: Path, alignment: str) -> None:
        self.alignment = alignment
        self.folder = home / "rounds" / alignment

    @contextlib.contextmanager
    def only_writer(self) -> Iterator[None]:
        """Hold the alignment's lock.

        Raises:
            LabelStudioError: Another process opens or pulls its rounds.
        """
        busy = (
            f"Another process is opening or pulling the rounds of {self.alignment}. Wait for it; what it finds is what "
            "you would find."
        )
        with contextlib.ExitStack() as stack:
            try:
                self.folder.mkdir(parents=True, exist_ok=True)
                stack.enter_context(locks.held(self.folder / ".lock", busy=lambda: LabelStudioError(busy)))
            except OSError as error:
                raise StoreError(
                    f"{self.folder} cannot be written: {error.strerror}. Free space, or move M2V_HOME."
                ) from error
            yield

    def rounds(self) -> list[Round]:
        """Every round that was meant, in order."""
        return [self._load(path) for path in sorted(self.folder.glob("*/round.json"))]

    def round(self, name: str) -> Round:
        """Return a round by name."""
        known = {asked.name: asked for asked in self.rounds()}
        if name not in known:
            raise UnknownName("round", name, known)
        return known[name]

    def intend(self, asked: Round, items: pl.DataFrame) -> None:
        """Write down what a round will ask, before the server hears of it."""
        folder = self.folder / asked.name
        with replacing(folder / "items.parquet") as path:
            items.select(list(ITEM_COLUMNS)).write_parquet(path)
        with replacing(folder / "round.json") as path:
            path.write_text(json.dumps(asdict(asked), indent=1, ensure_ascii=False), encoding="utf-8")

    def items(self, asked: Round) -> pl.DataFrame:
        """Columns of ``ITEM_COLUMNS``."""
        items = self._frame(asked, "items.parquet")
        # What an earlier version wrote lacks the columns that came later.
        later = {name: kind for name, kind in ITEM_COLUMNS.items() if name not in items.columns}
        return items.with_columns(pl.lit(None, dtype=kind).alias(name) for name, kind in later.items())

    def annotations(self, asked: Round) -> pl.DataFrame:
        """Columns of ``RAW_COLUMNS``: the newest state of each annotation that was ever pulled."""
        if not (self.folder / asked.name / "annotations.parquet").exists():
            return pl.DataFrame(schema=RAW_COLUMNS)
        return self._frame(asked, "annotations.parquet")

    def record(
        self,
        asked: Round,
        pulled: Pulled,
        *,
        annotations: pl.DataFrame | None = None,
        seen: pl.DataFrame | None = None,
    ) -> None:
        """Write down what came back; killed between the files, the next pull sees the same again."""
        folder = self.folder / asked.name
        for name, rows in (("annotations.parquet", annotations), ("seen.parquet", seen)):
            if rows is not None:
                with replacing(folder / name) as path:
                    rows.write_parquet(path)
        text = json.dumps({**asdict(pulled), "until": pulled.until.isoformat() if pulled.until else None})
        with replacing(folder / "pulled.json") as path:
            path.write_text(text, encoding="utf-8")

    def forget(self, asked: Round, meme_id: str) -> None:
        """Delete all that was said about a meme, then the item itself."""
        items, annotations = self.items(asked), self.annotations(asked)
        about = items.filter(meme_id=meme_id)
        if (self.folder / asked.name / "annotations.parquet").exists():
            with replacing(self.folder / asked.name / "annotations.parquet") as path:
                annotations.join(about, on="item_key", how="anti").write_parquet(path)
        with replacing(self.folder / asked.name / "items.parquet") as path:
            items.join(about, on="item_key", how="anti").write_parquet(path)

    def seen(self, asked: Round) -> pl.DataFrame:
        """Columns of ``SEEN_COLUMNS``: when each task that the last pull looked at had changed."""
        if not (self.folder / asked.name / "seen.parquet").exists():
            return pl.DataFrame(schema=SEEN_COLUMNS)
        return self._frame(asked, "seen.parquet")

    def pulled(self, asked: Round) -> Pulled:
        """How far a round was pulled."""
        path = self.folder / asked.name / "pulled.json"
        if not path.exists():
            return Pulled()
        record = _json(path)
        return Pulled(**{**record, "until": datetime.fromisoformat(record["until"]) if record["until"] else None})

    def close(self, asked: Round) -> None:
        """Take a round out of polling; its answers count, what was not answered may be asked in another round."""
        self.record(asked, replace(self.pulled(asked), state="closed"))

    def judged(self, asked: Round) -> Judged:
        """Return a round's answers, skips and quarantine, gold items included."""
        return judge(self.annotations(asked), self.items(asked), asked)

    def all_judged(self) -> Judged:
        """Those of all rounds."""
        return together(self.judged(asked) for asked in self.rounds())

    def asked(self) -> set[str]:
        """``question_sha256`` of what an open round asks, or any round got its answers to."""
        questions: set[str] = set()
        for asked in self.rounds():
            items = self.items(asked)
            if self.pulled(asked).state != "open":
                answered = self.judged(asked).answers
                items = items.join(answered, on="meme_id", how="semi")
            questions |= set(items["question_sha256"])
        return questions

    def open_rounds(self) -> list[Round]:
        """Those that are neither complete nor closed, in order."""
        return [asked for asked in self.rounds() if self.pulled(asked).state == "open"]

    def open_memes(self, role: str) -> set[str]:
        """Memes about which people in this role are asked in a round that is open."""
        return {meme for asked in self.open_rounds() if asked.role == role for meme in self.items(asked)["meme_id"]}

    def _frame(self, asked: Round, name: str) -> pl.DataFrame:
        path = self.folder / asked.name / name
        try:
            return pl.read_parquet(path)
        except DAMAGED as error:
            raise StoreError(
                f"{path} is missing or damaged. Restore it from a backup; if only annotations.parquet is damaged, "
                "delete it with seen.parquet and pulled.json beside it and run `m2v rounds pull --full`."
            ) from error

    def _load(self, path: Path) -> Round:
        record = _json(path)
        try:
            return Round(**{**record, "annotators": tuple(record["annotators"])})
        except (KeyError, TypeError) as error:
            raise StoreError(f"{path} is damaged: it is no round. Restore it from a backup.") from error


def _json(path: Path) -> dict:
    try:
        data = documents.read_json(path)
    except BadInput as error:
        raise StoreError(f"{path} is damaged and cannot be read. Restore it from a backup.") from error
    if not isinstance(data, dict):
        raise StoreError(f"{path} is damaged: it holds no object. Restore it from a backup.")
    return data
