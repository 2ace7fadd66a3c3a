"""Rounds: opened, pulled and closed so that killing any process changes nothing that a rerun ends with."""

import contextlib
import json
import logging
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl

from m2v.annotation import rounds
from m2v.annotation.answers import RAW_COLUMNS, RAW_KEY, Judged, merged
from m2v.annotation.rounds import Round
from m2v.entries.datasets import VideoDataset
from m2v.entries.study import RoundPlan
from m2v.errors import BadInput, LabelStudioError, Refused, Unreachable
from m2v.files.checkout import CHECKOUT
from m2v_resources.annotators import pictures
from m2v_resources.annotators.label_studio import (
    AnnotationServer,
    AnnotationTask,
    Project,
    batches,
    before,
)
from m2v_resources.annotators.ledger import SEEN_COLUMNS, Ledger, Pulled

# The server stamps a change before it commits it, an import of 500 items half a second before; whatever was under way
# at the last pull is looked at again.
OVERLAP_S = 10.0
# Deleted tasks and annotations only show when everything is looked at, as does a state that a clock, put back, stamped
# earlier than what was seen before.
PULLS_PER_FULL = 60
N_ATTEMPTS = 4


@dataclass(frozen=True)
class RoundQuestion:
    """What a round asks, and how.

    Attributes:
        conflicts: Rows of ``conflicts``.
        memes: Rows of ``memes``.
        gold: Columns ``meme_id`` and ``label``.
        guideline: The label's definition, as annotators read it.
        min_answers: An item with fewer is left for the adjudicator.
        pictures: Where a meme's picture lies below the home, by meme id; memes without one are judged by their text.
    """

    conflicts: pl.DataFrame
    memes: pl.DataFrame
    gold: pl.DataFrame
    guideline: str
    pictures: Mapping[str, str] = field(default_factory=dict)
    min_answers: int = 1


def guideline(plan: RoundPlan, target: VideoDataset, *, folder: Path) -> str:
    """Return what annotators read beside the item: the study's guideline, or the label's two definitions."""
    if plan.guideline:
        path = folder / plan.guideline
        try:
            return path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise BadInput(
                path, "the guideline cannot be read as UTF-8 text; write it, or drop `guideline`."
            ) from error
    label = target.label.about_memes()
    return (
        f"The label is “{label.positive}”.\nIt fits: {label.positive_definition}\n"
        f"It does not fit: {label.negative_definition}"
    )


class Rounds:
    """The rounds of one alignment, in the ledger and on the server."""

    def __init__(self, home: Path, alignment: str, server: AnnotationServer) -> None:
        self.home = home
        self.ledger = Ledger(home, alignment)
        self.server = server

    def open(self, plan: RoundPlan, question: RoundQuestion) -> list[Round]:
        """Ask what nobody was asked: a new round where there is something, and every open one brought to the server.

        Raises:
            LabelStudioError: The server could not be reached or refused; a rerun goes on where this one stopped.
        """
        with self.ledger.only_writer():
            self._intend(plan, question)
            self._adjudicate(plan, question)
            opened = self.ledger.open_rounds()
            for asked in opened:
                with _named(asked):
                    self._bring(asked, question)
            return opened

    def pull(self, *, full: bool = False) -> int:
        """Fetch what changed in every open round; give the number of annotations that were new or changed."""
        with self.ledger.only_writer():
            n_new = 0
            for asked in self.ledger.rounds():
                if full or self.ledger.pulled(asked).state != "closed":
                    with _named(asked):
                        n_new += self._pull(asked, full=full)
            return n_new

    def close(self, name: str) -> None:
        """Take a round out of polling, after a last look at it where it is still on the server."""
        with self.ledger.only_writer():
            asked = self.ledger.round(name)
            if self.server.projects(asked.uid):
                self._pull(asked, full=True)
            self.ledger.close(asked)

    def _intend(self, plan: RoundPlan, question: RoundQuestion) -> None:
        people = tuple(name for name in plan.annotators if name != plan.adjudicator)
        self._new(plan, question, question.conflicts, role="annotator", n=plan.n_annotators, people=people)

    def _adjudicate(self, plan: RoundPlan, question: RoundQuestion) -> None:
        if not plan.adjudicator:
            return
        complete = [
            asked
            for asked in self.ledger.rounds()
            if asked.role == "annotator" and self.ledger.pulled(asked).state != "open"
        ]
        still = [self._left_open(asked, plan, question) for asked in complete]
        wanted = pl.concat([question.conflicts.select("meme_id").clear(), *still]).unique()
        rows = question.conflicts.join(wanted, on="meme_id", how="semi")
        nobody = replace(question, gold=question.gold.clear())
        self._new(plan, nobody, rows, role="adjudicator", n=1, people=(plan.adjudicator,))

    def _left_open(self, asked: Round, plan: RoundPlan, question: RoundQuestion) -> pl.DataFrame:
        return rounds.left_open(
            self.ledger.items(asked),
            self.ledger.judged(asked).answers,
            below=plan.adjudicate_below,
            min_answers=question.min_answers,
        )

    def _new(
        self,
        plan: RoundPlan,
        question: RoundQuestion,
        rows: pl.DataFrame,
        *,
        role: Any,
        n: int,
        people: tuple[str, ...],
    ) -> None:
        template = (CHECKOUT / "label_studio" / "meme.xml").read_text(encoding="utf-8")
        config = rounds.config_for(template, has_media=bool(question.pictures), mode=plan.mode)
        definition = rounds.Definition(config, question.guideline, plan.mode)
        new = rounds.to_ask(
            rows,
            question.memes,
            gold=question.gold,
            definition=definition,
            role=role,
            pictures=question.pictures,
            asked=self.ledger.asked(),
            open_memes=self.ledger.open_memes(role),
            earlier_configs={before.definition.config_sha256 for before in self.ledger.rounds()},
        )
        if new.is_empty():
            return
        number = len(self.ledger.rounds()) + 1
        # Of what is asked: two platforms that open the same round find each other's project.
        uid = _uid([self.ledger.alignment, role, number, definition.mode, sorted(new["question_sha256"])])
        asked = Round(
            name=f"{self.ledger.alignment}_{number:03d}",
            alignment=self.ledger.alignment,
            uid=uid,
            role=role,
            mode=plan.mode,
            n_annotators=n,
            annotators=people,
            accept_imports=plan.accept_imports,
            config=config,
            guideline=question.guideline,
            opened_at=datetime.now(UTC).isoformat(timespec="seconds"),
        )
        self.ledger.intend(asked, rounds.keyed(new, uid=uid))

    def _bring(self, asked: Round, question: RoundQuestion) -> None:
        """Make the server hold each of the round's unanswered items in exactly one task."""
        project = self._one_project(asked)
        self._check_config(asked, project)
        data = self._data(asked, question)
        self._serve_pictures(
            project, [item["image"] for item in data if item.get("image") not in {None, pictures.NONE}]
        )
        for attempt in range(1, N_ATTEMPTS + 1):
            tasks = self._one_task_each(project, self.server.tasks(project.project_id))
            known = {task.item_key for task in tasks}
            missing = [item for item in data if item["item_key"] not in known]
            if not missing:
                return
            try:
                for batch in batches(missing):
                    self.server.import_items(project.project_id, batch)
            except Unreachable:
                # It may have imported all the same: look before trying again, once it answers.
                if attempt == N_ATTEMPTS:
                    raise
                time.sleep(attempt)
        raise LabelStudioError(
            f"Round {asked.name}: after {N_ATTEMPTS} attempts project {project.project_id} still lacks items. Somebody "
            "deletes tasks there while we import; stop that, then run `m2v rounds open` again."
        )

    def _one_project(self, asked: Round) -> Project:
        projects = self.server.projects(asked.uid)
        if not projects:
            try:
                self.server.create_project(
                    title=asked.name,
                    uid=asked.uid,
                    config=asked.config,
                    guideline=asked.guideline,
                    overlap=asked.n_annotators,
                )
            except Unreachable:
                logging.getLogger(__name__).warning("Round %s: no answer to its creation; looking it up.", asked.name)
            projects = self.server.projects(asked.uid)
        if not projects:
            raise LabelStudioError(
                f"Round {asked.name} could not be created on the server. Run `m2v rounds open` again."
            )
        for double in projects[1:]:  # another platform opened the same round at the same moment; the oldest stays
            self.server.delete_empty_project(double)
        return projects[0]

    def _one_task_each(self, project: Project, tasks: Sequence[AnnotationTask]) -> list[AnnotationTask]:
        """Delete what stands twice and nobody answered; answers to both are counted by the item's key anyway."""
        kept: dict[str, AnnotationTask] = {}
        double: list[int] = []
        for task in sorted(tasks, key=lambda task: (-task.n_annotations, task.task_id)):
            if task.item_key not in kept:
                kept[task.item_key] = task
            elif not task.n_annotations:
                double.append(task.task_id)
        if double:
            self.server.delete_tasks(project.project_id, double)
        return list(kept.values())

    def _data(self, asked: Round, question: RoundQuestion) -> list[dict[str, Any]]:
        """Return what is sent: nothing that tells, or lets one tell, what the dataset or the model said."""
        items = self.ledger.items(asked)
        judged = self.ledger.judged(asked)
        done = rounds.coverage(items, answers=judged.answers, skips=judged.skips, asked=asked).filter("is_done")
        rows = items.join(done, on="item_key", how="anti").join(question.memes, on="meme_id", how="inner")
        suggested = dict(question.conflicts.select("meme_id", "predicted").iter_rows())
        place, tasks = pictures.place(self.home), []
        for row in rows.select("item_key", "meme_id", "text", "picture").sort("item_key").iter_rows(named=True):
            item = {"item_key": row["item_key"], "text": row["text"], "definition": asked.guideline}
            if "$image" in asked.config:
                # A round of an earlier version did not write down which picture it shows.
                shown = row["picture"] or question.pictures.get(row["meme_id"])
                item["image"] = pictures.url(place, shown) if shown else pictures.NONE
            if asked.mode == "assisted":
                item["suggestion"] = "Model: it fits" if suggested.get(row["meme_id"]) else "Model: it does not fit"
            tasks.append(item)
        return tasks

    def _serve_pictures(self, project: Project, addresses: Sequence[str]) -> None:
        """Let the project show pictures, before any item that has one is on the server."""
        if not addresses:
            return
        place = pictures.place(self.home)
        try:
            self.server.serve_media(project.project_id, place)
            self.server.check_media(project.project_id, addresses[0])
        except Refused as error:
            raise LabelStudioError(
                f"The server does not show pictures below {place}, so nobody is asked. {error} `make label-studio` "
                "starts one that does; for one of your own, LABEL_STUDIO_DOCUMENT_ROOT is M2V_HOME's folder `media` "
                "as that server sees it. To have texts judged alone, write `rounds: {pictures: false}` into the study."
            ) from None

    def _check_config(self, asked: Round, project: Project) -> None:
        if project.config_sha256 != asked.definition.config_sha256:
            raise LabelStudioError(
                f"Round {asked.name}: the labelling config of project {project.project_id} was changed on the server. "
                f"Put it back (it is in {self.ledger.folder / asked.name / 'round.json'}), or end the round with "
                f"`m2v rounds close {asked.name}`; answers given meanwhile are in quarantine."
            )

    def _pull(self, asked: Round, *, full: bool) -> int:
        pulled = self.ledger.pulled(asked)
        projects = self.server.projects(asked.uid)
        if not projects:
            raise LabelStudioError(
                f"Round {asked.name}: its project is gone from {self.server.address.url}. `m2v rounds open` makes it "
                f"anew with what is not answered; the {self.ledger.annotations(asked).height} annotations pulled stand."
            )
        since = before(pulled.until, seconds=OVERLAP_S)
        is_put_back = since is not None and self.server.clock is not None and self.server.clock < since
        full = full or is_put_back or since is None or pulled.n_since_full >= PULLS_PER_FULL
        known = self.ledger.annotations(asked)
        fresh, seen = self._fetch(asked, projects, since=None if full else since)
        rows = merged(known, fresh)
        n_there = sum(project.n_annotations for project in projects)
        if not full and n_there > rows.height - pulled.missing:
            # Some that no pull saw are stamped earlier than what was seen.
            full = True
            fresh, seen = self._fetch(asked, projects, since=None)
            rows = merged(known, fresh)
        n_new = rows.join(known, on=[*RAW_KEY, "updated_at"], how="anti").height
        n_missing = known.join(fresh, on=RAW_KEY, how="anti").height if full else pulled.missing
        until: Any = max((moment for moment in (pulled.until, seen["changed_at"].max()) if moment), default=None)  # pyright: ignore
        now = Pulled(
            until=min(until, self.server.clock or until) if until else None,
            n_since_full=0 if full else pulled.n_since_full + 1,
            state=pulled.state,
            missing=n_missing,
        )
        self.ledger.record(asked, now, annotations=rows if n_new else None, seen=seen)
        judged = self.ledger.judged(asked)
        cover = rounds.coverage(self.ledger.items(asked), answers=judged.answers, skips=judged.skips, asked=asked)
        if n_new:
            self._ask_others(asked, projects[0], judged, cover)
        state = "closed" if now.state == "closed" else "complete" if cover["is_done"].all() else "open"
        if state != now.state:
            self.ledger.record(asked, replace(now, state=state))
        self._check_config(asked, projects[0])
        return n_new

    def _fetch(
        self, asked: Round, projects: Sequence[Project], *, since: datetime | None
    ) -> tuple[pl.DataFrame, pl.DataFrame]:
        """Annotations of the tasks that changed, and all tasks that were looked at."""
        before_that = self.ledger.seen(asked)
        pages, seen = [pl.DataFrame(schema=RAW_COLUMNS)], [before_that.clear()]
        for project in projects:
            listed = self.server.changed(project.project_id, since=since)
            looked = pl.DataFrame(
                {"task_id": list(listed), "changed_at": list(listed.values())}, schema_overrides=SEEN_COLUMNS
            ).select(pl.lit(project.project_id, pl.Int64).alias("project_id"), "task_id", "changed_at")
            new = looked if since is None else looked.join(before_that, on=list(SEEN_COLUMNS), how="anti")
            pages += self.server.annotations(project, new["task_id"].to_list())
            seen.append(looked)
            if self.server.project(project.project_id) is None:
                raise LabelStudioError(
                    f"Project {project.project_id} was deleted while it was pulled; nothing of this pull was kept. Run "
                    "`m2v rounds pull` again."
                )
        return pl.concat(pages), pl.concat(seen)

    def _ask_others(self, asked: Round, project: Project, judged: Judged, cover: pl.DataFrame) -> None:
        """Give an item another turn for each that a skip by a choice, or an answer that does not count, used up."""
        lost = rounds.lost_turns(judged.quarantined, answers=judged.answers, skips=judged.skips)
        spent = cover.join(lost, on="meme_id", how="left").with_columns(
            n_spent=pl.col("n_skips") + pl.col("n_lost").fill_null(0)
        )
        short = spent.filter((pl.col("n_spent") > 0) & ~pl.col("is_done"))
        if short.is_empty():
            return
        wanted = dict(short.select("item_key", pl.col("n_spent") + asked.n_annotators).iter_rows())
        for task in self.server.tasks(project.project_id):
            if task.item_key in wanted and task.n_annotations >= asked.n_annotators:
                self.server.set_overlap(task.task_id, int(wanted[task.item_key]))


@contextlib.contextmanager
def _named(asked: Round) -> Iterator[None]:
    """Errors of the server say which round they stopped."""
    try:
        yield
    except Unreachable as error:
        raise Unreachable(f"Round {asked.name}: {error}") from None
    except Refused as error:
        raise Refused(f"Round {asked.name}: {error}", status=error.status) from None


def _uid(parts: Sequence[Any] | Mapping[str, Any]) -> str:
    return uuid.uuid5(uuid.NAMESPACE_URL, json.dumps(parts)).hex
