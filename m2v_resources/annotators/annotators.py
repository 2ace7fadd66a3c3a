"""People who answer in rounds, as the graph sees them."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import dagster as dg
import polars as pl

from m2v import schemas
from m2v.annotation import agreement, rounds
from m2v.annotation.answers import Judged
from m2v.entries.study import Study, VoteRule
from m2v.entries.variants import Alignment
from m2v_resources.annotators.address import address
from m2v_resources.annotators.label_studio import AnnotationServer
from m2v_resources.annotators.ledger import Ledger
from m2v_resources.annotators.rounds import RoundQuestion, Rounds, guideline
from m2v_resources.store.rows import rows_hash

# Items that nobody who spoke so far can finish.
WANTING_OTHERS = "wanting_others"


@dataclass(frozen=True)
class Standing:
    """Where an alignment's rounds are.

    Attributes:
        rounds: Rows of ``rounds``.
        items: Of all rounds.
        state: Counts and agreement by name.
    """

    rounds: pl.DataFrame
    items: pl.DataFrame
    judged: Judged
    state: dict[str, int | float]


class Annotators(dg.ConfigurableResource):
    """Rounds whose ledger lies in ``<home>/rounds``; the server is found when it is needed."""

    home: str

    def open(
        self,
        alignment: Alignment,
        study: Study,
        *,
        conflicts: pl.DataFrame,
        memes: pl.DataFrame,
        gold: pl.DataFrame,
        pictures: Mapping[str, str],
    ) -> Standing:
        """Ask what nobody was asked yet; see ``Rounds.open`` and, for the arguments, ``RoundQuestion``."""
        home = Path(self.home)
        text = guideline(study.rounds, alignment.target, folder=study.folder)
        server = AnnotationServer(address(home))
        server.check()
        question = RoundQuestion(conflicts, memes, gold, text, pictures, min_answers=study.vote_rule.min_answers)
        Rounds(home, alignment.name, server).open(study.rounds, question)
        return standing(Ledger(home, alignment.name))

    def pull(self, alignment: str, *, full: bool = False) -> int:
        """Fetch new and changed answers of an alignment's rounds; give how many annotations were new or changed."""
        home = Path(self.home)
        server = AnnotationServer(address(home))
        server.check()
        return Rounds(home, alignment, server).pull(full=full)

    def has_rounds(self, alignment: str) -> bool:
        """Whether anything was asked yet."""
        return bool(Ledger(Path(self.home), alignment).rounds())

    def judged(self, alignment: str) -> Judged:
        """Everything that was pulled."""
        return Ledger(Path(self.home), alignment).all_judged()

    def counted(self, answers: pl.DataFrame, alignment: str, *, rule: VoteRule) -> pl.DataFrame:
        """Return the answers that a vote counts: all, or where it waits those of rounds that are not open.

        Args:
            answers: Rows of ``human_labels``.
        """
        if not rule.waits:
            return answers
        opened = [asked.name for asked in Ledger(Path(self.home), alignment).open_rounds()]
        return answers.filter(~pl.col("round").is_in(opened))

    def version(self, alignment: str) -> str:
        """Return a hash of what was pulled: answers, skips, quarantine and which rounds are done."""
        return version(Ledger(Path(self.home), alignment))


def version(ledger: Ledger) -> str:
    """Return a hash of what was pulled and of which rounds have ended; the same as long as neither changes."""
    judged = ledger.all_judged()
    parts = [rows_hash(frame)[:16] for frame in (judged.answers, judged.skips, judged.quarantined)]
    # An open round is no news to those who read answers; an ended one is to those who open the next.
    ended = [opened.name for opened in ledger.rounds() if ledger.pulled(opened).state != "open"]
    return "-".join([*parts, *ended])


def standing(ledger: Ledger) -> Standing:
    """Where an alignment's rounds are, from what was pulled."""
    judged = ledger.all_judged()
    opened = ledger.rounds()
    items = pl.concat([pl.DataFrame(schema=rounds.ITEM_COLUMNS), *(ledger.items(asked) for asked in opened)])
    spoken = {"answers": judged.answers, "skips": judged.skips}
    covers = {asked.name: rounds.coverage(ledger.items(asked), **spoken, asked=asked) for asked in opened}
    n_done = sum(int(cover["is_done"].sum()) for cover in covers.values())
    state: dict[str, int | float] = {
        "n_rounds": len(opened),
        "n_open": len(ledger.open_rounds()),
        "n_items": items.height,
        "n_items_done": n_done,
        "n_answers": judged.answers.height,
        "n_skips": judged.skips.height,
        "n_quarantined": judged.quarantined.height,
    }
    for asked in opened:
        if ledger.pulled(asked).state == "open":
            n_wanting = rounds.wanting_others(covers[asked.name], **spoken, asked=asked)
            state |= {f"{asked.name}: {WANTING_OTHERS}": n_wanting} if n_wanting else {}
        state |= {f"{asked.name}: {name}": value for name, value in _agreement(ledger, asked).items()}
    rows = [_row(ledger, asked) for asked in opened]
    table = pl.DataFrame(rows, schema=dict(schemas.ROUNDS.columns), orient="row").sort("round")
    return Standing(table, items, judged, state)


def _agreement(ledger: Ledger, asked: rounds.Round) -> dict[str, int | float]:
    """How far a round's annotators agree so far; what cannot be estimated is left out."""
    answers = ledger.judged(asked).answers
    counted = agreement.latest(answers)
    positive = agreement.posterior(counted)
    figures: dict[str, int | float | None] = {
        "undecided": rounds.left_open(ledger.items(asked), answers, below=1).height,
        "krippendorff_alpha": agreement.krippendorff_alpha(counted),
        "fleiss_kappa": agreement.fleiss_kappa(counted),
        "pairwise_cohen_kappa": agreement.pairwise_kappa(counted),
        # By Dawid and Skene's posterior: memes of which even a weighted look at the answers leaves one in ten in doubt.
        "in_doubt": None if positive is None else positive.filter(pl.col("positive").is_between(0.1, 0.9)).height,
    }
    return {name: round(value, 4) for name, value in figures.items() if value is not None}


def _row(ledger: Ledger, asked: rounds.Round) -> dict[str, object]:
    items = ledger.items(asked)
    kinds = items["kind"]
    return {
        "round": asked.name,
        "role": asked.role,
        "mode": asked.mode,
        "n_annotators": asked.n_annotators,
        "n_conflicts": int((kinds == "conflict").sum()),
        "n_audit": int((kinds == "audit").sum()),
        "n_gold": int((kinds == "gold").sum()),
        "n_pictures": items["picture"].count(),
        "config_sha256": asked.definition.config_sha256,
        "guideline_sha256": asked.definition.guideline_sha256,
        "state": ledger.pulled(asked).state,
    }
