"""What a catalog entry may say. Entries are frozen, unknown keys are refused, names are checked against each other."""

import math
from pathlib import Path, PurePosixPath
from typing import Annotated, Literal, Self, TypeAlias

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, PrivateAttr, model_validator

from m2v.schemas import RELEASED_LABELS

Name: TypeAlias = Annotated[str, Field(pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$")]
Sha256: TypeAlias = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


def _stays_below(name: str) -> str:
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or "\\" in name or not path.parts:
        raise ValueError("must be a relative path that stays below its folder")
    return name


FileName: TypeAlias = Annotated[str, AfterValidator(_stays_below)]


def _is_released(column: str) -> str:
    if column not in RELEASED_LABELS.columns:
        raise ValueError(f"no release has a column {column!r}; they have {', '.join(RELEASED_LABELS.columns)}")
    return column


ReleasedColumn: TypeAlias = Annotated[str, AfterValidator(_is_released)]
Strategy: TypeAlias = Literal["no_ft", "om_ft", "rm_ft", "vid_ft", "vid_rm_ft"]


class Entry(BaseModel):
    """A YAML file of the catalog; its name is the file's name."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Name
    title: str
    _folder: Path = PrivateAttr(default=Path())

    def __hash__(self) -> int:
        # Entries hold dicts, which have no hash; within a catalog a kind and a name are one entry.
        return hash((type(self), self.name))

    @property
    def folder(self) -> Path:
        """Where relative paths of this entry start: the checkout for our own entries, else the study's folder."""
        return self._folder


class Item(BaseModel):
    """A part of an entry."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Licence(Item):
    """What the licence is called, where it stands, and what it lets us publish.

    Attributes:
        publishable: Columns of a release that may leave this machine; empty: none, so that nothing is published.
    """

    name: str
    link: str | None = None
    publishable: tuple[ReleasedColumn, ...] = ()


class SourceFile(Item):
    """A file of a source.

    Attributes:
        sha256: What the file must be; absent for files that are the user's to edit.
        path: Where it stands below the source's download address.
    """

    sha256: Sha256 | None = None
    path: str | None = None


class Source(Entry):
    """A set of files: where they may be found, and what they must be.

    Attributes:
        environment: Variable that names their folder; it comes first.
        folders: Folders to look in, in order; relative ones start at the entry's ``folder``.
        download: Address of a pinned revision, tried last.
        generator: Makes the files instead (``sample``), from ``seed``.
        files: By name. Every one must be there.
    """

    licence: Licence
    environment: str | None = None
    folders: tuple[str, ...] = ()
    download: str | None = None
    generator: Literal["sample"] | None = None
    seed: int = 0
    files: dict[FileName, SourceFile]


class Columns(Item):
    """A file of the source and its columns that hold what was recorded outside the platform."""

    file: FileName
    meme_id: str = "id"
    label: str
    annotator: str | None = None
    probability: str | None = None


class Recorded(Item):
    """Predictions and answers that somebody else made and wrote down.

    Attributes:
        model: Which model predicted.
        revision: Its revision, where known.
        predictions: One label per meme.
        answers: Annotators' labels; empty where a meme has none. Without ``annotator`` there is one, unnamed.
        votes: Final labels that were published, to compare ours with.
        gold: Labels that are known to be right, of memes that live rounds mix in to see how annotators do.
    """

    model: str
    revision: str | None = None
    predictions: Columns
    answers: Columns | None = None
    votes: Columns | None = None
    gold: Columns | None = None


class SplitShares(Item):
    """Shares of a seeded split, for datasets that come without one."""

    train: float = Field(ge=0, le=1)
    validation: float = Field(ge=0, le=1)
    test: float = Field(ge=0, le=1)
    seed: int = 0

    @model_validator(mode="after")
    def _sum_to_one(self) -> Self:
        if not math.isclose(self.train + self.validation + self.test, 1, abs_tol=1e-6):
            raise ValueError("train, validation and test must sum to 1")
        return self


class Dataset(Entry):
    """Items with labels, in a known layout (a function in ``m2v/datasets/readers.py``).

    Attributes:
        source: Whose files they are.
        files: Which of the source's files, in the order the layout expects.
        languages: BCP 47 tags.
        split_shares: Only for layouts without splits.
    """

    source: Name
    layout: str
    files: tuple[FileName, ...] = Field(min_length=1)
    languages: tuple[str, ...] = ("en",)
    split_shares: SplitShares | None = None


class MemeDataset(Dataset):
    """Memes, and what was recorded about them for some targets.

    Attributes:
        licence: Of the memes themselves, where it is not the source's, which may hold copies out of several datasets.
    """

    licence: Licence | None = None
    recorded: dict[Name, Recorded] = {}


class LabelDefinition(Item):
    """What the target's label means, in words: two for the prompt, two sentences for people and for similarity."""

    positive: str
    negative: str
    positive_definition: str
    negative_definition: str


class VideoDataset(Dataset):
    """Videos in splits, their label's definition, and few-shot demonstrations of it."""

    label: LabelDefinition
    demonstrations: FileName | None = None


class Encoder(Entry):
    """A frozen text encoder.

    Attributes:
        hub: Repository on the Hugging Face Hub.
        revision: Commit there.
        package: Python package that carries the same weights, used where it is installed.
        weights_sha256: Of ``model.safetensors``, checked wherever it comes from.
        max_tokens: Longer texts are cut on the right.
        dimensions: Length of an embedding.
    """

    kind: Literal["encoder"]
    hub: str
    revision: Annotated[str, Field(pattern=r"^[0-9a-f]{40}$")]
    package: str | None = None
    weights_sha256: Sha256
    max_tokens: int = Field(gt=0)
    dimensions: int = Field(gt=0)


class Probe(Entry):
    """Logistic regression on frozen embeddings.

    Attributes:
        c_grid: Inverse regularisation strengths; validation AUROC chooses.
        paper_c: The one that ``paper_mode`` uses, where nothing is selected.
    """

    kind: Literal["probe"]
    encoder: Name
    c_grid: tuple[float, ...] = Field(min_length=1)
    paper_c: float = 10.0


class Lora(Entry):
    """An encoder with a LoRA adapter and a linear head, trained by DeepSpeed ZeRO.

    Attributes:
        targets: Regular expression over module names that get an adapter.
        zero_stage: 2 or 3.
        n_processes: Started by torchrun; they share the batch.
        batch_size: Examples per step, over all processes.
    """

    kind: Literal["lora"]
    encoder: Name
    rank: int = 8
    alpha: int = 16
    dropout: float = 0.05
    targets: str
    epochs: int = 3
    batch_size: int = 32
    learning_rate: float = 2e-4
    head_learning_rate: float = 1e-3
    warmup_share: float = 0.1
    max_gradient_norm: float = 1.0
    weight_decay: float = 0.01
    zero_stage: Literal[2, 3] = 2
    n_processes: int = Field(default=1, gt=0)


Model: TypeAlias = Annotated[Encoder | Probe | Lora, Field(discriminator="kind")]


class TrainingPlan(Item):
    """Which runs of one model a study makes: every strategy × memes × target × seed that makes sense.

    Attributes:
        memes, targets: Default: all of the study's.
        paper_mode: Train on train + validation and keep leaks, with nothing selected, as the paper did.
    """

    model: Name
    strategies: tuple[Strategy, ...] = Field(min_length=1)
    memes: tuple[Name, ...] | None = None
    targets: tuple[Name, ...] | None = None
    seeds: tuple[int, ...] = Field(default=(0,), min_length=1)
    paper_mode: bool = False


class RoundPlan(Item):
    """How people are asked in Label Studio, where a study's ``answers`` are ``live``.

    Attributes:
        n_annotators: Different people per item; 1 is the paper's way.
        annotators: Pseudonyms (``m2v rounds annotators`` lists them) whose answers count; empty: everybody's but the
            platform's own account.
        mode: ``assisted`` shows the model's label, which anchors people; every answer says which it was.
        adjudicator: Pseudonym of who decides what the others left open, in a second round.
        adjudicate_below: Votes with a smaller margin are left open: 1 is ties and items that too few could answer.
        guideline: Text that annotators read beside the item, below the study's folder; else the label's definition.
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
    accept_imports: bool = False
    gold_bar: float = Field(default=0.7, ge=0, le=1)
    floor_s: float = Field(default=1.0, ge=0)


class PublishPlan(Item):
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


class Study(Entry):
    """Datasets, models and choices; the graph is built from it.

    Attributes:
        leaks: Items that stand in a later split too: out of the earlier one (default), or kept.
        audit_share: Share of agreed rows that people look at all the same.
        min_answers: A conflict with fewer answers stays undecided.
        answers: What was recorded elsewhere, or ``live``: rounds in Label Studio, as ``rounds`` says.
    """

    memes: tuple[Name, ...] = ()
    targets: tuple[Name, ...] = Field(min_length=1)
    training: tuple[TrainingPlan, ...] = ()
    predictions: Literal["recorded"] = "recorded"
    answers: Literal["recorded", "live"] = "recorded"
    rounds: RoundPlan = RoundPlan()
    publish: PublishPlan | None = None
    leaks: Literal["drop_from_train", "keep"] = "drop_from_train"
    audit_share: float = Field(default=0.0, ge=0, le=1)
    audit_seed: int = 0
    min_answers: int = Field(default=1, ge=1)
