"""Conversations as a vision-language model learns them: its adapter, by the answer's tokens alone."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch
from peft import LoraConfig, PeftModel, get_peft_model

from m2v.detectors.family import Task, Trained
from m2v.detectors.trainer import collate, processes
from m2v.detectors.trainer.fit import fit
from m2v.detectors.trainer.trainer import arguments
from m2v.detectors.vlm_lora import vision
from m2v.detectors.vlm_lora.entry import VlmLora
from m2v.detectors.vlm_lora.given import parts
from m2v.files import storage
from m2v.prediction import models, predict, processing, prompts, scoring
from m2v.programs.progress import Report


def train(task: Task, *, out: Path, report: Report) -> Trained | None:
    """Train, select, and fill the folder."""
    model, base, _, _ = parts(task)
    assert task.train
    rows = pl.read_parquet(task.train)
    args = arguments(
        model,
        n_examples=rows.height,
        seed=task.seed,
        save_steps=task.save_steps,
        folder=out / "state",
        is_bfloat16=base.dtype == "bfloat16",
    )
    learner = Conversations(task, rows=rows, held_out=pl.read_parquet(task.validation) if task.validation else None)
    facts = {"n_train": rows.height, "n_cut": learner.n_cut}
    keeps_last = model.fidelity == "paper"
    return fit(task, model, learner, args=args, out=out, report=report, keeps_last=keeps_last, facts=facts)


@dataclass(frozen=True)
class Lesson:
    """An example as a model learns it.

    Attributes:
        text: The whole conversation, rendered, the answer at its end.
        n_answer: Tokens at the end that are the answer.
        n_tokens: Without pictures.
    """

    text: str
    n_answer: int
    n_tokens: int
    shown: prompts.Shown


class Lessons(torch.utils.data.Dataset):
    """Examples to train on."""

    def __init__(self, lessons: list[Lesson]) -> None:
        self.lessons = lessons

    def __len__(self) -> int:
        return len(self.lessons)

    def __getitem__(self, place: int) -> Lesson:
        return self.lessons[place]


class Conversations:
    """A learner of conversations about memes and videos.

    Args:
        rows, held_out: As the program's spec says.
    """

    def __init__(self, task: Task, *, rows: pl.DataFrame, held_out: pl.DataFrame | None) -> None:
        self.entry, base, self.prompt, self.label = parts(task)
        self.is_bfloat16 = base.dtype == "bfloat16"
        self.loaded = models.load(base.quantised_to(self.entry.quantisation), home=task.home, is_trained=True)
        cut = scoring.Cutter(self.loaded)
        lessons = [self.lesson(predict.shown(row), label=row["label"], cut=cut) for row in rows.iter_rows(named=True)]
        # Before the loader forks its workers.
        storage.fetch(path for lesson in lessons for path in lesson.shown.pictures)
        self.n_cut = cut.n_cut
        self.examples = Lessons(lessons)
        kinds = {lesson: place for place, lesson in enumerate(sorted({_kind(kind.shown) for kind in lessons}))}
        self.order = collate.Order(
            [lesson.n_tokens for lesson in lessons],
            batch_size=self.entry.batch_size,
            seed=task.seed,
            kinds=[kinds[_kind(lesson.shown)] for lesson in lessons],
        )
        self.labels = held_out["label"].to_numpy() if held_out is not None else None
        self.asked: dict[str, prompts.Asked] = {}
        if held_out is not None:
            self.asked = {
                str(place): prompts.ask(predict.shown(row), prompt=self.prompt, label=self.label, cut=cut)
                for place, row in enumerate(held_out.iter_rows(named=True))
            }
        self.model = adapted(self.loaded, self.entry, seed=task.seed)
        self.pictures = {
            lesson: place for place, lesson in enumerate(sorted({digest.shown.pictures_sha256 for digest in lessons}))
        }
        # ZeRO-3 shards the frozen weights too.
        is_whole = self.entry.scope == "language" and self.entry.zero_stage < 3
        self.kept = vision.VisionCache(self.loaded.model) if is_whole and self.loaded.architecture == "mllama" else None

    def lesson(self, shown: prompts.Shown, *, label: bool, cut: prompts.Cut) -> Lesson:
        """Return the conversation about an item with its answer."""
        template = self.loaded.processor.apply_chat_template
        asked = prompts.ask(shown, prompt=self.prompt, label=self.label, cut=cut)
        answered, otherwise = (
            template([*asked.messages, prompts.answer(self.label.word(answer))]) for answer in (label, not label)
        )
        whole, other = self.loaded.tokens(answered), self.loaded.tokens(otherwise)
        open_end = self.loaded.tokens(template(asked.messages, add_generation_prompt=True))
        # A word may merge with what stands before it: where the two answers part is always learned.
        n_before = min(scoring.common(whole, open_end), scoring.common(whole, other))
        return Lesson(answered, len(whole) - n_before, len(whole), shown)

    def collate(self, rows: list[Lesson]) -> dict[str, torch.Tensor]:
        """Return processed pictures and tokens, padded on the right to the longest.

        Also ``n_answers`` and ``which``, (batch,), int64: tokens of the answer, and the picture's number.
        """
        pictures = [(lesson.shown,) if lesson.shown.pictures else () for lesson in rows]
        inputs = processing.inputs([lesson.text for lesson in rows], pictures, loaded=self.loaded)
        lengths = inputs["attention_mask"].sum(1).tolist()
        models.refuse_long(self.loaded.entry, lengths, ["an example"] * len(rows))
        return {
            **inputs,
            "n_answers": torch.tensor([lesson.n_answer for lesson in rows]),
            "which": torch.tensor([self.pictures[lesson.shown.pictures_sha256] for lesson in rows]),
        }

    def groups(self) -> list[dict[str, Any]]:
        """Return the adapter."""
        trained = [parameter for parameter in self.model.parameters() if parameter.requires_grad]
        return [{"params": trained, "lr": self.entry.learning_rate}]

    def loss(self, engine: torch.nn.Module, batch: dict[str, torch.Tensor]) -> torch.Tensor:
        """Cross entropy of the answer's tokens: the mean over examples of the mean over an answer.

        Logits are computed where an answer's token is predicted and nowhere else.
        """
        batch = dict(batch)
        n_answers, which = batch.pop("n_answers"), batch.pop("which")
        if self.kept and "pixel_values" in batch:
            batch = self.kept(batch, which.tolist())
        ids, n_rows = batch["input_ids"], len(n_answers)
        ends = batch["attention_mask"].sum(1)
        offsets = torch.arange(int(n_answers.max()), device=ids.device)
        # Of each row's answer tokens, from its last one backwards: (batch, longest answer).
        places = (ends - 1).unsqueeze(1) - offsets
        is_answer = offsets < n_answers.unsqueeze(1)
        places = places.clamp(min=1)
        kept, at = torch.unique(places - 1, return_inverse=True)
        logits = engine(**batch, logits_to_keep=kept, use_cache=False).logits  # (batch, kept, words)
        rows = torch.arange(n_rows, device=ids.device).unsqueeze(1)
        losses = torch.nn.functional.cross_entropy(
            logits[rows, at].float().flatten(0, 1), ids.gather(1, places).flatten(), reduction="none"
        ).view_as(is_answer)
        return ((losses * is_answer).sum(1) / n_answers).mean()

    def probabilities(self, engine: torch.nn.Module) -> np.ndarray:
        """Of the validation split, as labelling computes them."""
        asked = [(item, question, f"validation item {item}") for item, question in self.asked.items()]
        questions = scoring.questions(asked, loaded=self.loaded)
        words = scoring.words(questions[0], self.asked[questions[0].item], label=self.label, loaded=self.loaded)
        # Every process takes the same batches, which ZeRO-3 needs: none of them looks for the largest.
        largest = min(scoring.FIRST_BATCH, processes.share(self.entry))
        scorer = scoring.Scorer(replace(self.loaded, model=engine), words=words, shares_prefix=False, largest=largest)
        by_item = dict(scorer.probabilities(questions))
        return np.array([by_item[item] for item in self.asked])


def adapted(loaded: models.Loaded, model: VlmLora, *, seed: int) -> PeftModel:
    """Return the model with a new adapter; nothing else is trained."""
    base = loaded.model
    for module in base.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    if model.checkpoints_gradients:
        base.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    # peft draws the adapter's first weights here.
    torch.manual_seed(seed)
    config = LoraConfig(
        r=model.rank,
        lora_alpha=model.alpha,
        lora_dropout=model.dropout,
        target_modules=model.targets,
        task_type="CAUSAL_LM",
    )
    return get_peft_model(base, config)  # pyright: ignore[reportReturnType]


def _kind(shown: prompts.Shown) -> tuple[str, int]:
    return shown.media, len(shown.parts)
