"""The Hugging Face Trainer, with our optimiser, our order of examples, and our way of keeping states."""

import math
import time
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
import transformers
from peft import PeftModel
from transformers import TrainerCallback, TrainingArguments

from m2v.detectors.trainer import processes, states
from m2v.detectors.trainer.collate import Order
from m2v.detectors.trainer.entry import Adapted
from m2v.programs.progress import Report


class Learner(Protocol):
    """What is trained, and on what.

    Attributes:
        model: Its trainable parameters are the adapter's.
        order: Places in them.
        labels: Of the validation split, (items,), bool; None where nothing is selected.
        is_bfloat16: Whether it works in that type; else in float32.
    """

    model: PeftModel
    order: Order
    labels: np.ndarray | None
    is_bfloat16: bool

    @property
    def examples(self) -> torch.utils.data.Dataset[Any]:
        """To train on."""
        ...

    def collate(self, rows: list[Any]) -> dict[str, torch.Tensor]:
        """Examples as a batch, on the CPU."""
        ...

    def groups(self) -> list[dict[str, Any]]:
        """Return what the optimiser trains."""
        ...

    def loss(self, engine: torch.nn.Module, batch: dict[str, torch.Tensor]) -> torch.Tensor:
        """Return a scalar, the mean over the batch's examples; ``engine`` is the model as DeepSpeed runs it."""
        ...

    def probabilities(self, engine: torch.nn.Module) -> np.ndarray:
        """Of the validation split, (items,), in every process the same."""
        ...


def arguments(
    model: Adapted, *, n_examples: int, seed: int, save_steps: int, folder: Path, is_bfloat16: bool = False
) -> TrainingArguments:
    """Everything the Trainer must know. Made before the model, which ZeRO-3 shards as it is loaded."""
    n_steps = model.epochs * math.ceil(n_examples / model.batch_size)
    n_warmup = round(model.warmup_share * n_steps)
    return TrainingArguments(
        output_dir=str(folder),
        # Without this the Trainer believes that a CPU group has one member, and each trains on the same data.
        use_cpu=not torch.cuda.is_available(),
        per_device_train_batch_size=processes.share(model),
        gradient_accumulation_steps=processes.accumulation(model),
        num_train_epochs=model.epochs,
        learning_rate=model.learning_rate,
        # The plain constant schedule would ignore the warm-up.
        lr_scheduler_type="constant_with_warmup" if model.schedule == "constant" else model.schedule,
        warmup_steps=n_warmup,
        weight_decay=model.weight_decay,
        max_grad_norm=model.max_gradient_norm,
        bf16=is_bfloat16,
        seed=seed,
        remove_unused_columns=False,
        # A logged loss is a mean since the last one or since the resume: only at each step are the two the same.
        logging_steps=1,
        save_strategy="steps",
        save_steps=save_steps,
        report_to="none",
        disable_tqdm=True,
        deepspeed=processes.zero(model, is_bfloat16=is_bfloat16),
    )


class LoraTrainer(transformers.Trainer):
    """The Trainer with an optimiser of our own and an order of examples that a resume and every process repeat.

    Args:
        best: Folder for the best epoch.
        keeps_last: Keep the last epoch instead.
    """

    def __init__(
        self,
        entry: Adapted,
        learner: Learner,
        *,
        args: TrainingArguments,
        best: Path,
        keeps_last: bool = False,
        report: Report,
    ) -> None:
        self.entry, self.learner, self.best, self.keeps_last, self.report = entry, learner, best, keeps_last, report
        super().__init__(
            model=learner.model,  # pyright: ignore[reportArgumentType]
            args=args,
            train_dataset=learner.examples,
            data_collator=learner.collate,
        )
        # Ours is a mean over a part of a step: the Trainer is to divide it by the number of parts.
        self.model_accepts_loss_kwargs = False
        self.remove_callback(transformers.trainer_callback.PrinterCallback)
        self.add_callback(TrainingCallback(self))

    def create_optimizer(self, model: torch.nn.Module | None = None) -> torch.optim.Optimizer:
        """AdamW over the trainable parameters."""
        if self.optimizer is None:
            self.optimizer = torch.optim.AdamW(self.learner.groups(), weight_decay=self.args.weight_decay)
        return self.optimizer

    def get_train_dataloader(self) -> torch.utils.data.DataLoader:
        """Batches in our order; accelerate gives each process its share of them."""
        loader = torch.utils.data.DataLoader(
            self.learner.examples,
            batch_size=self.args.per_device_train_batch_size,
            sampler=self.learner.order,
            collate_fn=self.learner.collate,
            pin_memory=torch.cuda.is_available(),
            # An accelerator does not wait for pictures to be read.
            num_workers=2 if torch.cuda.is_available() else 0,
        )
        return self.accelerator.prepare(loader)

    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        """Return the learner's loss."""
        return self.learner.loss(model, inputs)

    def score(self) -> np.ndarray | None:
        """Probabilities of the validation split, (items,), in every process the same."""
        if self.learner.labels is None:
            return None
        engine = self.model_wrapped
        assert engine is not None
        engine.eval()
        return self.learner.probabilities(engine)


class TrainingCallback(TrainerCallback):
    """Reports progress, keeps the best epoch, and marks states complete."""

    def __init__(self, trainer: LoraTrainer) -> None:
        self.trainer = trainer
        self.began, self.first_step = 0.0, 0

    def on_train_begin(self, args, state, control, **_) -> None:
        """Refuse to train if the processes do not share the work."""
        processes.check(self.trainer)
        self.began, self.first_step = time.monotonic(), state.global_step

    def on_epoch_begin(self, args, state, control, **_) -> None:
        """Set the order from the step, which a resume knows."""
        self.trainer.learner.order.epoch = state.global_step // self._steps_per_epoch(state)

    def on_step_end(self, args, state, control, **_) -> None:
        """At the end of an epoch, save after it is scored: what is resumed there must not need its score any more."""
        if state.global_step % self._steps_per_epoch(state) == 0:
            control.should_save = False

    def on_log(self, args, state, control, logs: dict[str, Any] | None = None, **_) -> None:
        """Loss and throughput."""
        if logs and "loss" in logs:
            n_examples = (state.global_step - self.first_step) * self.trainer.entry.batch_size
            speed = n_examples / (time.monotonic() - self.began)
            state.log_history[-1]["samples_per_s"] = speed
            step = self.trainer.report.step
            step(state.global_step, state.max_steps, unit="steps", loss=logs["loss"], samples_per_s=speed)

    def on_epoch_end(self, args, state, control, **_) -> None:
        """Score the validation split, keep the adapter if it is the best so far, then save."""
        trainer = self.trainer
        score, trained = trainer.score(), processes.gathered(trainer.learner.model)
        if processes.is_first():
            states.keep_best(
                trainer.best,
                epoch=state.global_step // self._steps_per_epoch(state),
                model=trainer.learner.model,
                trained=trained,
                labels=trainer.learner.labels,
                probabilities=score,
                keeps_last=trainer.keeps_last,
            )
        control.should_save = True

    def on_save(self, args, state, control, **_) -> None:
        """Mark the state complete once every process has written its part; only then is the one before it removed.

        The Trainer would remove the oldest by the clock: after a clock jumps back, that is the new one.
        """
        torch.distributed.barrier()
        if processes.is_first():
            folder = Path(args.output_dir)
            newest = folder / f"checkpoint-{state.global_step}"
            states.mark_complete(newest, n_processes=processes.size())
            states.discard(folder, but=newest)

    def _steps_per_epoch(self, state: transformers.TrainerState) -> int:
        return state.max_steps // state.num_train_epochs
