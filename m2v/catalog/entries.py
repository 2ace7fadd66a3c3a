"""What a catalog entry may say. Entries are frozen, unknown keys are refused, names are checked against each other."""

import math
import re
from pathlib import Path, PurePosixPath
from string import Formatter
from typing import Annotated, Any, Literal, Self, TypeAlias

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, PrivateAttr, model_validator

from m2v.schemas import RELEASED_LABELS

Name: TypeAlias = Annotated[str, Field(pattern=r"^[a-z0-9]+([-.][a-z0-9]+)*$")]
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
Quantisation: TypeAlias = Literal["none", "8bit", "4bit"]
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
        environment: Variable that names their folder, and ends in ``_DIR``; it comes first.
        folders: Folders to look in, in order; relative ones start at the entry's ``folder``.
        download: Address of a pinned revision, tried last.
        generator: Makes the files instead (``sample``), from ``seed``.
        files: By name. Every one must be there.
    """

    licence: Licence
    environment: Annotated[str, Field(pattern=r"^[A-Z][A-Z0-9_]*_DIR$")] | None = None
    folders: tuple[str, ...] = ()
    download: Annotated[str, Field(pattern=r"^https?://")] | None = None
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
        predictions: One label per meme; not needed where a study asks a model itself.
        answers: Annotators' labels; empty where a meme has none. Without ``annotator`` there is one, unnamed.
        votes: Final labels that were published, to compare ours with.
        gold: Labels that are known to be right, of memes that live rounds mix in to see how annotators do.
    """

    model: str = "none"
    revision: str | None = None
    predictions: Columns | None = None
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
    """Items with labels, in a known layout (a function in ``m2v/datasets/layouts.py``).

    Attributes:
        source: Whose files they are.
        files: Which of the source's files, in the order the layout expects.
        languages: BCP 47 tags.
        media: Folder of its pictures or videos; relative ones start at the entry's ``folder``. ``M2V_MEDIA`` names a
            folder for all datasets instead.
        media_from: Where people get them, if not from the source.
        split_shares: Only for layouts without splits.
    """

    source: Name
    layout: str
    files: tuple[FileName, ...] = Field(min_length=1)
    languages: tuple[str, ...] = ("en",)
    media: str | None = None
    media_from: str | None = None
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

    def word(self, label: bool) -> str:
        """What stands for the label in a prompt."""
        return self.positive if label else self.negative


class VideoDataset(Dataset):
    """Videos in splits, their label's definition, and few-shot demonstrations of it."""

    label: LabelDefinition
    demonstrations: FileName | None = None


class Pretrained(Entry):
    """A model with a processor: its weights come from the Hugging Face Hub, or know nothing.

    Attributes:
        hub: Repository there, at ``revision``, a commit.
        gated: Whether one has to agree to its licence there before its weights can be had.
        built: Made on the spot from this architecture's config and ``seed`` instead.
        width: Of a built one's states.
        memory_gib: About what its weights take on an accelerator; for people who plan.
        gpus: What a copy of it takes on a cluster; a fraction lets several share one. Decides nothing else.
    """

    hub: str | None = None
    revision: Annotated[str, Field(pattern=r"^[0-9a-f]{40}$")] | None = None
    gated: bool = False
    built: Literal["mllama", "llava_next_video", "smolvlm", "qwen3_vl", "clip", "whisper"] | None = None
    seed: int = 0
    width: int = 32
    memory_gib: float = Field(default=1.0, gt=0)
    # Left out of what entries are told apart by: where a model works changes nothing that it finds.
    gpus: float = Field(default=1, ge=0, exclude=True)

    @model_validator(mode="after")
    def _comes_from_somewhere(self) -> Self:
        if (self.built is None) == (self.hub is None) or (self.hub is None) != (self.revision is None):
            raise ValueError("name either hub and revision, or built")
        if self.built and self.built not in self.buildable:
            raise ValueError(f"built must be {' or '.join(self.buildable)}")
        return self

    @property
    def buildable(self) -> tuple[str, ...]:
        """Architectures that can be built for an entry of its kind."""
        raise NotImplementedError

    @property
    def weights(self) -> dict[str, Any]:
        """Which weights it has, in plain data; an adapter fits no others."""
        return self.model_dump(mode="json", include={"hub", "revision", "built", "seed", "width"})


class Encoder(Entry):
    """A frozen text encoder.

    Attributes:
        hub: Repository on the Hugging Face Hub.
        revision: Commit there.
        package: Python package that carries the same weights, used where it is installed.
        weights_sha256: Of ``model.safetensors``, checked wherever it comes from.
        max_tokens: Longer texts are cut on the right.
        dimensions: Length of an embedding.
        gpus: What a copy of it takes on a cluster; a fraction lets several share one. Decides nothing else.
    """

    kind: Literal["encoder"]
    hub: str
    revision: Annotated[str, Field(pattern=r"^[0-9a-f]{40}$")]
    package: str | None = None
    weights_sha256: Sha256
    max_tokens: int = Field(gt=0)
    dimensions: int = Field(gt=0)
    gpus: float = Field(default=0, ge=0, exclude=True)

    @property
    def identity(self) -> dict[str, Any]:
        """What decides an embedding, in plain data."""
        return self.model_dump(mode="json", include={"hub", "revision", "weights_sha256", "max_tokens"})


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


class Adapted(Entry):
    """A pretrained model with a LoRA adapter, trained by DeepSpeed ZeRO.

    Attributes:
        batch_size: Examples per step, over all processes.
        micro_batch_size: As many of them at a time in each process; absent: all of its share.
        schedule: Of the learning rate, after the warm-up.
        zero_stage: 2 or 3.
        offload: Keep what ZeRO shards (optimiser states, with stage 3 parameters too) in the machine's memory.
        n_processes: Started by torchrun; they share the batch.
    """

    rank: int = Field(default=8, gt=0)
    alpha: int = 16
    dropout: float = Field(default=0.05, ge=0, lt=1)
    epochs: int = Field(default=3, gt=0)
    batch_size: int = Field(default=32, gt=0)
    micro_batch_size: int | None = Field(default=None, gt=0)
    learning_rate: float = Field(default=2e-4, gt=0)
    schedule: Literal["linear", "cosine", "constant"] = "linear"
    warmup_share: float = Field(default=0.1, ge=0, le=1)
    max_gradient_norm: float = 1.0
    weight_decay: float = 0.01
    zero_stage: Literal[2, 3] = 2
    offload: bool = False
    n_processes: int = Field(default=1, gt=0)


class Lora(Adapted):
    """A text encoder with a LoRA adapter and a linear head.

    Attributes:
        targets: Regular expression over module names that get an adapter.
    """

    kind: Literal["lora"]
    encoder: Name
    targets: str
    head_learning_rate: float = 1e-3


class Prompt(Entry):
    """What a vision-language model is asked about an item; any change of a text is another request.

    Attributes:
        instruction: With ``{text}``, ``{positive}`` and ``{negative}``, and where wanted ``{positive_definition}`` and
            ``{negative_definition}``.
        demonstrations: ``turns``: each is a question with its pictures and its answer; ``described``: all stand in the
            item's own question, their pictures in words.
        example: One described demonstration, with ``{description}``, ``{text}`` and ``{label}``.
    """

    instruction: str
    demonstrations: Literal["turns", "described"] = "turns"
    example: str = "Image: {description} Text: '{text}' Answer: {label}\n"

    @model_validator(mode="after")
    def _placeholders_are_known(self) -> Self:
        known = {
            "instruction": {"text", *LabelDefinition.model_fields},
            "example": {"text", "description", "label"},
        }
        for name, fields in known.items():
            used = {field for _, field, _, _ in Formatter().parse(getattr(self, name)) if field is not None}
            if used - fields:
                raise ValueError(f"{name} has the unknown placeholder {sorted(used - fields)[0]!r}")
            if "text" not in used:
                raise ValueError(f"{name} must have the placeholder {{text}}")
        return self


class Vlm(Pretrained):
    """A vision-language model.

    Attributes:
        dtype: In which it works; weights are kept in it too, unless quantised.
        quantisation: Of the weights, by bitsandbytes: ``8bit``, or ``4bit`` (nf4, double quantisation).
        n_frames: How many frames of a video it is shown.
        frame_variance: Of one frame, show the first whose grey levels vary more than this, else the last; absent: the
            middle one.
        video_as: Frames as one video, or each as an image.
        splits_pictures: Where a processor can cut a picture into tiles or leave it whole (SmolVLM's: 64 tokens whole,
            up to 1,100 in tiles), cut it.
        max_text_tokens: Longer texts of items and demonstrations are cut, nothing else ever is.
        cut: Which end of them is dropped.
        context_tokens: More than this is an error.
    """

    kind: Literal["vlm"]
    dtype: Literal["float32", "bfloat16"] = "bfloat16"
    quantisation: Quantisation = "none"
    n_frames: int = Field(default=1, gt=0)
    frame_variance: float | None = None
    video_as: Literal["images", "video"] = "images"
    splits_pictures: bool = True
    max_text_tokens: int = Field(default=512, gt=0)
    cut: Literal["right", "left"] = "right"
    context_tokens: int = Field(gt=0)

    @property
    def buildable(self) -> tuple[str, ...]:
        return "mllama", "llava_next_video", "smolvlm", "qwen3_vl"

    @property
    def identity(self) -> dict[str, Any]:
        """What decides its answers, in plain data."""
        reading = self.model_dump(mode="json", include={"dtype", "quantisation", "max_text_tokens", "cut"})
        whole = {} if self.splits_pictures else {"splits_pictures": False}
        return self.weights | reading | whole


# The published recipe, where it is no mistake (docs/vision-language.md, `fidelity`).
PAPER = {
    "rank": 8,
    "alpha": 16,
    "dropout": 0.05,
    "epochs": 5,
    "batch_size": 32,
    "micro_batch_size": 4,
    "learning_rate": 2e-4,
    "schedule": "constant",
    "warmup_share": 0.0,
    "max_gradient_norm": 0.3,
    "weight_decay": 0.0,
    "quantisation": "4bit",
    "checkpoints_gradients": True,
}


class VlmLora(Adapted):
    """A vision-language model with a LoRA adapter, trained to answer with the label's word.

    Attributes:
        vlm: The model.
        prompt: What it is asked, in training and afterwards.
        fidelity: ``best`` keeps the epoch with the best validation AUROC and its best threshold. ``paper`` has the
            published recipe's settings where this entry names none, keeps the last epoch, and calls an item positive
            when the positive word is the more probable.
        demonstrations: Whether a model that was not trained is shown the target's own (few-shot) or none (zero-shot).
        scope: Modules that get an adapter: of the language model only, or of the vision tower too.
        projections: Names of linear layers in them.
        quantisation: Of the frozen weights, in training and, unless ``evaluated_in`` says otherwise, afterwards.
        checkpoints_gradients: Compute activations twice instead of keeping them.
    """

    kind: Literal["vlm_lora"]
    vlm: Name
    prompt: Name = "paper"
    fidelity: Literal["best", "paper"] = "best"
    demonstrations: Literal["target", "none"] = "none"
    scope: Literal["language", "all"] = "language"
    projections: tuple[str, ...] = Field(default=("q_proj", "v_proj"), min_length=1)
    quantisation: Quantisation = "none"
    evaluated_in: Quantisation | None = None
    checkpoints_gradients: bool = True

    @model_validator(mode="before")
    @classmethod
    def _recipe(cls, data: Any) -> Any:
        return {**PAPER, **data} if isinstance(data, dict) and data.get("fidelity") == "paper" else data

    @model_validator(mode="after")
    def _can_be_sharded(self) -> Self:
        if self.quantisation != "none" and self.zero_stage == 3:
            raise ValueError("ZeRO-3 cannot shard quantised weights; take `zero_stage: 2`, or `quantisation: none`")
        return self

    @property
    def targets(self) -> str:
        """Regular expression over module names that get an adapter."""
        named = rf".*\.({'|'.join(map(re.escape, self.projections))})"
        # What transformers calls the language half: language_model nearly everywhere, text_model in Idefics, SmolVLM.
        return named if self.scope == "all" else rf"(.*\.)?(language_model|text_model){named}"


class FramePlan(Item):
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


class Perceiver(Pretrained):
    """A model whose view of pictures or sound is a feature: CLIP for frames, Whisper for speech."""

    kind: Literal["clip", "whisper"]

    @property
    def buildable(self) -> tuple[str, ...]:
        return (self.kind,)

    @property
    def identity(self) -> dict[str, Any]:
        """What decides what it finds, in plain data."""
        return {"kind": self.kind, **self.weights}


Model: TypeAlias = Annotated[Encoder | Probe | Lora | Vlm | VlmLora | Perceiver, Field(discriminator="kind")]


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


class Server(Item):
    """A server that speaks OpenAI's chat API: vLLM, SGLang, `transformers serve`, or a company's.

    Attributes:
        url: Up to and with ``/v1``.
        model: What it calls the model; default: the entry's ``hub``.
        key: Name of the environment variable that holds the key, where it wants one. To a server that is not on this
            machine it is sent where ``M2V_SERVER_KEYS`` says so.
        n_at_once: Requests under way at a time.
        timeout_s: For each answer.
        budget: At most this many requests in one run, repetitions not counted; what is left is asked in the next.
    """

    url: Annotated[str, Field(pattern=r"^https?://")]
    model: str | None = None
    key: str | None = None
    n_at_once: int = Field(default=8, ge=1)
    timeout_s: float = Field(default=120.0, gt=0)
    budget: int | None = Field(default=None, ge=1)


class PredictionPlan(Item):
    """How a vision-language model labels memes under each target's definition.

    Attributes:
        demonstrations: ``target``: those that the target's file names; ``train`` or ``validation``: drawn there, as
            many of either label; ``none``.
        n_demonstrations, seed: Of those drawn.
        pictures: False shows the model texts only.
        mode: ``score``: the probability of the two words; ``generate``: what it writes, strictly read.
        server: Ask there instead of in a program of ours.
    """

    model: Name
    prompt: Name = "paper"
    demonstrations: Literal["target", "train", "validation", "none"] = "target"
    n_demonstrations: int = Field(default=8, ge=2, multiple_of=2)
    seed: int = 0
    pictures: bool = True
    mode: Literal["score", "generate"] = "score"
    server: Server | None = None


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
        predictions: What was recorded elsewhere, or how a model of the catalog is asked.
        frames: Which frames of the targets' videos are looked at.
        clip: Model that embeds the frames, if any.
        whisper: Model that writes down what is said in videos that come without a transcript, if any.
        leaks: Items that stand in a later split too: out of the earlier one (default), or kept.
        audit_share: Share of agreed rows that people look at all the same.
        min_answers: A conflict with fewer answers stays undecided.
        answers: What was recorded elsewhere, or ``live``: rounds in Label Studio, as ``rounds`` says.
        usable_media_share: A dataset of whose pictures or videos fewer can be used stops. Labels are all needed.
    """

    memes: tuple[Name, ...] = ()
    targets: tuple[Name, ...] = Field(min_length=1)
    training: tuple[TrainingPlan, ...] = ()
    predictions: Literal["recorded"] | PredictionPlan = "recorded"
    frames: FramePlan = FramePlan()
    clip: Name | None = None
    whisper: Name | None = None
    answers: Literal["recorded", "live"] = "recorded"
    rounds: RoundPlan = RoundPlan()
    publish: PublishPlan | None = None
    leaks: Literal["drop_from_train", "keep"] = "drop_from_train"
    audit_share: float = Field(default=0.0, ge=0, le=1)
    audit_seed: int = 0
    min_answers: int = Field(default=1, ge=1)
    usable_media_share: float = Field(default=0.95, ge=0, le=1)
