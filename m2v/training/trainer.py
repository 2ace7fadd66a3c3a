"""The Hugging Face Trainer, with our optimiser, our order of examples, and our way of keeping states."""

import math
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from peft import PeftModel
from transformers import TrainerCallback, TrainingArguments

from m2v.catalog.entries import Lora
from m2v.progress import Report
from m2v.training import adapters, collate, processes, states


def arguments(model: Lora, *, n_examples: int, seed: int, save_steps: int, folder: Path) -> TrainingArguments:
    """Everything the Trainer must know. Made before the model, which ZeRO-3 shards as it is loaded."""
    n_steps = model.epochs * math.ceil(n_examples / model.batch_size)
    return TrainingArguments(
        output_dir=str(folder),
        # Without this the Trainer believes that a CPU group has one member, and each trains on the same data.
        use_cpu=not torch.cuda.is_available(),
        per_device_train_batch_size=processes.share(model),
        num_train_epochs=model.epochs,
        learning_rate=model.learning_rate,
        lr_scheduler_type="linear",
        warmup_steps=round(model.warmup_share * n_steps),
        weight_decay=model.weight_decay,
        max_grad_norm=model.max_gradient_norm,
        seed=seed,
        remove_unused_columns=False,
        # A logged loss is a mean since the last one or since the resume: only at each step are the two the same.
        logging_steps=1,
        save_strategy="steps",
        save_steps=save_steps,
        # One that is complete, one that is being written.
        save_total_limit=2,
        report_to="none",
        disable_tqdm=True,
        deepspeed=processes.zero(model),
    )


class LoraTrainer(transformers.Trainer):
    """The Trainer with an optimiser of our own and an order of examples that a resume and every process repeat.

    Args:
        entry: The catalog's entry.
        train: The examples.
        held_out: The validation split's examples; None where nothing is selected.
        best: Folder for the best epoch.
    """

    def __init__(
        self,
        entry: Lora,
        *,
        model: PeftModel,
        args: TrainingArguments,
        train: collate.Examples,
        held_out: collate.Examples | None,
        best: Path,
        report: Report,
        pad_token_id: int,
    ) -> None:
        self.entry, self.peft_model, self.held_out, self.best, self.report = entry, model, held_out, best, report
        self.collate = collate.Collate(pad_token_id)
        self.order = collate.Order(train.lengths, batch_size=entry.batch_size, seed=args.seed)
        super().__init__(model=model, args=args, train_dataset=train, data_collator=self.collate)  # pyright: ignore[reportArgumentType]
        self.remove_callback(transformers.trainer_callback.PrinterCallback)
        self.add_callback(Watch(self))

    def create_optimizer(self, model: torch.nn.Module | None = None) -> torch.optim.Optimizer:
        """AdamW over the trainable parameters."""
        if self.optimizer is None:
            groups = adapters.parameter_groups(self.peft_model, self.entry)
            self.optimizer = torch.optim.AdamW(groups, weight_decay=self.args.weight_decay)
        return self.optimizer

    def get_train_dataloader(self) -> torch.utils.data.DataLoader:
        """Batches in our order; accelerate gives each process its share of them."""
        loader = torch.utils.data.DataLoader(
            self.train_dataset,  # pyright: ignore[reportArgumentType]
            batch_size=self.args.per_device_train_batch_size,
            sampler=self.order,
            collate_fn=self.collate,
            pin_memory=torch.cuda.is_available(),
        )
        return self.accelerator.prepare(loader)

    def score(self) -> np.ndarray | None:
        """Probabilities of the validation split, (videos,), in every process the same."""
        if self.held_out is None:
            return None
        engine = self.model_wrapped
        assert engine is not None
        engine.eval()
        return collate.probabilities(engine, self.held_out.tokens, pad_token_id=self.collate.pad_token_id).numpy()


class Watch(TrainerCallback):
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
        self.trainer.order.epoch = state.global_step // self._steps_per_epoch(state)

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
        found, trained = trainer.score(), processes.gathered(trainer.peft_model)
        if processes.is_first():
            states.keep_best(
                trainer.best,
                epoch=state.global_step // self._steps_per_epoch(state),
                model=trainer.peft_model,
                trained=trained,
                labels=trainer.held_out.labels if trainer.held_out else None,
                probabilities=found,
            )
        control.should_save = True

    def on_save(self, args, state, control, **_) -> None:
        """Mark the state complete once every process has written its part."""
        torch.distributed.barrier()
        if processes.is_first():
            folder = Path(args.output_dir) / f"checkpoint-{state.global_step}"
            states.mark_complete(folder, n_processes=processes.size())

    def _steps_per_epoch(self, state: transformers.TrainerState) -> int:
        return state.max_steps // state.num_train_epochs
