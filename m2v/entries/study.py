"""What a study may say: datasets, models and choices; the graph is built from it."""

from dataclasses import dataclass
from typing import Annotated, Literal, Self, TypeAlias

from pydantic import Field, field_validator, model_validator

from m2v.entries.base import Entry, EntryPart, FileName, Name, ReleasedColumn
from m2v.entries.prompts import Server
from m2v.entries.splits import OWN
from m2v.entries.suites import SuitePlan

Strategy: TypeAlias = Literal["no_ft", "om_ft", "rm_ft", "vid_ft", "vid_rm_ft"]


# So that somebody looks at what the dataset and the model agree on.
AUDIT_SHARE = 0.05


class FramePlan(EntryPart):
    """Which frames of a video are looked at.

    Attributes:
        n: How many; a model is shown as many of them as its entry says.
        rule: ``shots``, ``even``, ``keyframe``, or ``paper`` (m2v/media/frames.py).
        side: Pixels of a frame's longer side.
        variance: Of grey levels, for ``paper``.
    """

    n: int = Field(default=16, gt=0, le=256)
    rule: Literal["even", "shots", "keyframe", "paper"] = "shots"
    side: int = Field(default=560, ge=16, le=2048)
    variance: float = 100.0


class TrainingPlan(EntryPart):
    """Which runs of one model a study makes: every strategy × memes × target × seed that makes sense.

    Attributes:
        memes, targets: Default: all of the study's.
        paper_mode: Train on train + validation and keep leaks, with nothing selected, as the paper did.
        splits: Of the targets: ``own``, and names of their ``splits``.
        augment: Operators by which new training items are made, besides the plain ones; the detector is then another
            one, called by them.
        share: How many new items there are for each plain one, divided evenly among the operators; .5 by default.
    """

    model: Name
    strategies: tuple[Strategy, ...] = Field(min_length=1)
    memes: tuple[Name, ...] | None = None
    targets: tuple[Name, ...] | None = None
    seeds: tuple[int, ...] = Field(default=(0,), min_length=1)
    paper_mode: bool = False
    splits: tuple[Name, ...] = Field(default=(OWN,), min_length=1)
    augment: tuple[Name, ...] = ()
    share: float | None = Field(default=None, gt=0, le=1)

    @model_validator(mode="after")
    def _augments(self) -> Self:
        if self.share is not None and not self.augment:
            raise ValueError("share: says how much of the training set `augment:` adds; name its operators there")
        if len(set(self.augment)) < len(self.augment):
            raise ValueError("augment: names an operator twice")
        if self.augment and "no_ft" in self.strategies:
            raise ValueError("augment: changes what is trained on, and strategy no_ft trains on nothing; leave it out")
        return self


class PredictionPlan(EntryPart):
    """How a vision-language model labels memes under each target's definition.

    Attributes:
        prompt: Default: the one that says the label's definition. One that does not say it needs demonstrations.
        demonstrations: ``target``: those that the target's file names; ``train`` or ``validation``: drawn there, as
            many of either label; ``none``.
        n_demonstrations, seed: Of those drawn.
        pictures: False shows the model texts only.
        mode: ``score``: the probability of the two words; ``generate``: what it writes, strictly read.
        server: Ask there instead of in a program of ours.
    """

    model: Name
    prompt: Name = "defined"
    demonstrations: Literal["target", "train", "validation", "none"] = "target"
    n_demonstrations: int = Field(default=8, ge=2, multiple_of=2)
    seed: int = 0
    pictures: bool = True
    mode: Literal["score", "generate"] = "score"
    server: Server | None = None


class RoundPlan(EntryPart):
    """How people are asked in Label Studio, where a study's ``answers`` are ``live``.

    Attributes:
        n_annotators: Different people per item; 1 is the paper's way.
        annotators: Pseudonyms (``m2v rounds annotators`` lists them) whose answers count; empty: everybody's but the
            platform's own account.
        mode: ``assisted`` shows the model's label, which anchors people; every answer says which it was.
        adjudicator: Pseudonym of who decides what the others left open, in a second round.
        adjudicate_below: Votes with a smaller margin are left open: 1 is ties and items that too few could answer.
        guideline: Text that annotators read beside the item, below the study's folder; else the label's definition.
        pictures: Show each meme's picture; a round whose pictures cannot be had or served does not open. False has
            people judge the texts alone.
        accept_imports: Count answers that came in with an import; the server does not record who imported them.
        gold_bar: Alarm below this accuracy on gold items.
        floor_s: Alarm below this median time per answer.
    """

    n_annotators: int = Field(default=3, ge=1)
    annotators: tuple[str, ...] = ()
    mode: Literal["blind", "assisted"] = "blind"
    adjudicator: str | None = None
    adjudicate_below: int = Field(default=1, ge=1)
    guideline: FileName | None = None
    pictures: bool = True
    accept_imports: bool = False
    gold_bar: float = Field(default=0.7, ge=0, le=1)
    floor_s: float = Field(default=1.0, ge=0)


class PublishPlan(EntryPart):
    """What a study publishes to the Hugging Face Hub; without it a run publishes nothing.

    Attributes:
        namespace: The user or organisation that the repositories belong to.
        datasets: Alignments that `m2v run` publishes whenever they changed; each has a repository of its own.
        adapters: LoRA runs that it publishes.
        gated: ``manual``: somebody grants each request; ``auto``: whoever agrees to the prompt; false: nobody is asked.
        columns: Of the datasets; absent: all that the licence allows.
        contact: Where readers of the card may turn to.
    """

    namespace: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]
    datasets: tuple[str, ...] = ()
    adapters: tuple[str, ...] = ()
    private: bool = True
    gated: Literal["manual", "auto", False] = "manual"
    columns: tuple[ReleasedColumn, ...] | None = None
    contact: str | None = None


class WishPlan(EntryPart):
    """What a threshold is chosen for: one of these, as in ``{precision: 0.9}``.

    Attributes:
        precision: Of what is flagged, the share that is to be positive.
        recall: Of what is positive, the share that is to be flagged.
        false_positive_rate: Of what is negative, the share that may be flagged.
        cost_ratio: How many false alarms a miss costs.
    """

    precision: float | None = Field(default=None, gt=0, lt=1)
    recall: float | None = Field(default=None, gt=0, lt=1)
    false_positive_rate: float | None = Field(default=None, gt=0, lt=1)
    cost_ratio: float | None = Field(default=None, gt=0, allow_inf_nan=False)

    @model_validator(mode="after")
    def _is_one(self) -> "WishPlan":
        if len(self.model_dump(exclude_none=True)) != 1:
            names = ", ".join(type(self).model_fields)
            raise ValueError(f"must be one of {names}, as in {{precision: 0.9}}; each wish is a line of its own")
        return self

    @property
    def wish(self) -> tuple[str, float]:
        """The goal and its value."""
        [(goal, value)] = self.model_dump(exclude_none=True).items()
        return goal, value


@dataclass(frozen=True)
class VoteRule:
    """How votes become a meme's final label (m2v/annotation/voting.py).

    Attributes:
        min_answers: A conflict with fewer stays undecided.
        waits: Answers count once their round is no longer open, so that the first of three decides nothing.
    """

    by: Literal["paper", "people", "dawid_skene"] = "paper"
    min_answers: int = 1
    waits: bool = False


class Study(Entry):
    """Datasets, models and choices; the graph is built from it.

    Attributes:
        suites: Evaluation suites, and the models that are asked them.
        predictions: What was recorded elsewhere, or how a model of the catalog is asked.
        frames: Which frames of the targets' videos are looked at.
        clip: Model that embeds the frames, if any.
        whisper: Model that writes down what is said in videos that come without a transcript, if any.
        ocr: Model that reads the text in pictures of memes that come without one, if any.
        leaks: Items that stand in a later split too: out of the earlier one (default), or kept.
        audit_share: Share of agreed rows that people look at all the same. Default: .05 where people are asked, 0 where
            answers were recorded elsewhere.
        vote: ``paper``: the dataset's label, the model's and each person's answer have one vote each. ``people``: most
            people's answer decides, the other two only say who is asked about what. ``dawid_skene``: the posterior of
            Dawid and Skene's model, which weighs all of them, and how sure people said they were.
        min_answers: A conflict with fewer answers stays undecided. Default: as many as a round asks for, counted once
            the round is complete or closed; 1 where answers were recorded elsewhere.
        answers: What was recorded elsewhere, or ``live``: rounds in Label Studio, as ``rounds`` says.
        operators: By which test videos are changed, to see what each run calls the new ones.
        prevalence: Share of positives where the detectors are to work, at which the report says what a threshold flags;
            absent: as among the test videos.
        operating_points: What thresholds are chosen for; absent: a precision of .9, a recall of .9, a false-positive
            rate of .05, and a miss that costs five false alarms.
        review_error: Share of positives that may be left alone, and of negatives that may be acted on, in the three
            bands (leave, review, act).
        learning_curves: Shares of the training data on which detectors that are trained in seconds are trained as well,
            three draws of each, to see what more data would do; absent: none.
        probes: Sentences by function and target group that every run is asked about: ``probes/<name>.yaml`` of the
            catalog or beside the study.
        usable_media_share: A dataset of whose pictures or videos fewer can be used stops. Labels are all needed.
    """

    memes: tuple[Name, ...] = ()
    targets: tuple[Name, ...] = ()
    suites: tuple[SuitePlan, ...] = ()
    training: tuple[TrainingPlan, ...] = ()
    operators: tuple[Name, ...] = ()
    predictions: Literal["recorded"] | PredictionPlan = "recorded"
    frames: FramePlan = FramePlan()
    clip: Name | None = None
    whisper: Name | None = None
    ocr: Name | None = None
    answers: Literal["recorded", "live"] = "recorded"
    rounds: RoundPlan = RoundPlan()
    publish: PublishPlan | None = None
    leaks: Literal["drop_from_train", "keep"] = "drop_from_train"
    audit_share: float | None = Field(default=None, ge=0, le=1)
    audit_seed: int = 0
    vote: Literal["paper", "people", "dawid_skene"] = "paper"
    min_answers: int | None = Field(default=None, ge=1)
    usable_media_share: float = Field(default=0.95, ge=0, le=1)
    prevalence: float | None = Field(default=None, gt=0, lt=1)
    operating_points: tuple[WishPlan, ...] = ()
    review_error: float = Field(default=0.1, gt=0, lt=1)
    learning_curves: tuple[Annotated[float, Field(gt=0, lt=1)], ...] = ()
    probes: Name | None = None

    @field_validator("learning_curves")
    @classmethod
    def _shares_differ(cls, shares: tuple[float, ...]) -> tuple[float, ...]:
        for share in shares:
            if shares.count(share) > 1:
                raise ValueError(f"{share:g} stands there twice; remove one of them")
        return tuple(sorted(shares))

    @field_validator("operating_points")
    @classmethod
    def _wishes_differ(cls, points: tuple[WishPlan, ...]) -> tuple[WishPlan, ...]:
        wishes = [point.wish for point in points]
        for goal, value in wishes:
            if wishes.count((goal, value)) > 1:
                raise ValueError(f"{goal} {value:g} stands there twice; remove one of them")
        return points

    @model_validator(mode="after")
    def _is_about_something(self) -> Self:
        if not self.targets and not self.suites:
            raise ValueError("targets: name at least one dataset of videos, or a suite under `suites`")
        if self.memes and not self.targets:
            raise ValueError("targets: `memes` are labelled under a target's definition; name one")
        return self

    @property
    def audited_share(self) -> float:
        """``audit_share``, or its default."""
        if self.audit_share is not None:
            return self.audit_share
        return AUDIT_SHARE if self.answers == "live" else 0.0

    @property
    def vote_rule(self) -> VoteRule:
        """``vote`` and ``min_answers``, or their defaults."""
        is_live = self.answers == "live"
        needed = self.min_answers or (self.rounds.n_annotators if is_live else 1)
        return VoteRule(self.vote, needed, waits=is_live and self.min_answers is None)
