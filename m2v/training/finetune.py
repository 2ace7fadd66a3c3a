"""Program: a LoRA adapter and a head, trained by the Hugging Face Trainer under DeepSpeed ZeRO.

The spec says ``model`` and ``encoder`` (catalog entries), ``train`` (parquet with ``text`` and ``label``), ``validation``
(the same, or null: then nothing is selected), ``seed``, ``content`` (copied into the manifest) and optionally
``save_steps``. Started plainly, or by torchrun with as many processes as the entry says.

After each epoch the validation split is scored; the epoch with the best AUROC is kept. The folder gets the adapter,
``history.parquet``, ``validation.parquet`` and, last, ``manifest.json``. A run that was killed goes on from its last
complete checkpoint below ``state/``, with the same losses.
"""

import json
import logging
import math
import os
import shutil
import time
from pathlib import Path
from typing import Any

import deepspeed
import deepspeed.ops
import numpy as np
import polars as pl
import torch
import transformers
from transformers import Trainer, TrainerCallback, TrainingArguments

from m2v import programfiles, progress
from m2v.catalog.entries import Encoder, Lora
from m2v.training import adapters, collate, selection

SAVE_STEPS = 50
LOG_STEPS = 5
COMPLETE = "complete"
BEST = "best"


def main() -> None:
    spec, out = programfiles.arguments(__doc__ or "")
    if programfiles.finished(out):
        return
    prepare()
    with progress.reporting() as report:
        Finetuning(spec, out, report).run()


def prepare() -> None:
    """Make one process a group of one, share the cores, and keep DeepSpeed from compiling kernels at start."""
    alone = {"RANK": "0", "LOCAL_RANK": "0", "WORLD_SIZE": "1", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "0"}
    for name, value in alone.items():
        os.environ.setdefault(name, value)
    # torchrun gives each process one thread whatever the machine has.
    torch.set_num_threads(max(1, (os.cpu_count() or 1) // int(os.environ["WORLD_SIZE"])))
    # Built on CPU at first use: 21 s for a gain that gloo does not need.
    deepspeed.ops.__compatible_ops__["deepspeed_shm_comm"] = False
    deepspeed.init_distributed(dist_backend="nccl" if torch.cuda.is_available() else "gloo", verbose=False)
    transformers.logging.set_verbosity_error()
    logging.getLogger("DeepSpeed").setLevel(logging.WARNING)
    torch.use_deterministic_algorithms(mode=True, warn_only=True)


class Finetuning:
    """One training, from its spec to its manifest."""

    def __init__(self, spec: dict[str, Any], out: Path, report: progress.Report) -> None:
        self.out, self.report = out, report
        self.model = Lora.model_validate(spec["model"])
        self.encoder = Encoder.model_validate(spec["encoder"])
        self.seed, self.content = spec["seed"], spec["content"]
        self.save_steps = spec.get("save_steps", SAVE_STEPS)
        self.is_first = os.environ["RANK"] == "0"
        self.tokenizer = collate.tokenizer(self.encoder)
        self.train, self.train_labels = self._read(spec["train"])
        self.held_out = self._read(spec["validation"]) if spec["validation"] else None

    def _read(self, path: str) -> tuple[list[list[int]], np.ndarray]:
        rows = pl.read_parquet(path, columns=["text", "label"])
        tokens = collate.tokenise(rows["text"].to_list(), tokenizer=self.tokenizer, max_tokens=self.encoder.max_tokens)
        return tokens, rows["label"].to_numpy()

    def run(self) -> None:
        """Train, select, and write the folder."""
        began = time.monotonic()
        arguments = self._arguments()  # before the model: ZeRO-3 shards it as it is loaded
        n_positive = int(self.train_labels.sum())
        balance = (len(self.train_labels) - n_positive) / max(n_positive, 1)
        peft = adapters.fresh(self.model, self.encoder, positive_weight=balance, seed=self.seed)
        watch = Watch(self)
        trainer = LoraTrainer(
            self.model,
            model=peft,
            args=arguments,
            train_dataset=collate.Examples(self.train, self.train_labels.tolist()),
            data_collator=collate.Collate(int(self.tokenizer.pad_token_id or 0)),  # pyright: ignore[reportArgumentType]
            callbacks=[watch],
        )
        watch.trainer = trainer
        trainer.remove_callback(transformers.trainer_callback.PrinterCallback)
        trainer.train(resume_from_checkpoint=last_complete(self.out / "state"))
        torch.distributed.barrier()
        if self.is_first:
            self._finish(trainer, seconds=time.monotonic() - began)
        torch.distributed.destroy_process_group()

    def _arguments(self) -> TrainingArguments:
        world = int(os.environ["WORLD_SIZE"])
        if self.model.batch_size % world:
            raise SystemExit(f"batch_size {self.model.batch_size} is not divisible by {world} processes.")
        n_steps = self.model.epochs * math.ceil(len(self.train) / self.model.batch_size)
        return TrainingArguments(
            output_dir=str(self.out / "state"),
            # Without this the Trainer believes that a CPU group has one member, and each trains on the same data.
            use_cpu=not torch.cuda.is_available(),
            per_device_train_batch_size=self.model.batch_size // world,
            num_train_epochs=self.model.epochs,
            learning_rate=self.model.learning_rate,
            lr_scheduler_type="linear",
            warmup_steps=round(self.model.warmup_share * n_steps),
            weight_decay=self.model.weight_decay,
            max_grad_norm=self.model.max_gradient_norm,
            seed=self.seed,
            data_seed=self.seed,
            train_sampling_strategy="group_by_length",
            length_column_name="length",
            remove_unused_columns=False,
            logging_steps=LOG_STEPS,
            save_strategy="steps",
            save_steps=self.save_steps,
            save_total_limit=2,
            report_to="none",
            disable_tqdm=True,
            dataloader_pin_memory=torch.cuda.is_available(),
            deepspeed=zero(self.model, world=world),
        )

    def score(self, trainer: Trainer) -> np.ndarray:
        """Probabilities of the validation split, (videos,), from every process the same."""
        assert self.held_out is not None
        engine = trainer.model_wrapped
        engine.eval()
        found = collate.probabilities(engine, self.held_out[0], pad_token_id=int(self.tokenizer.pad_token_id or 0))  # pyright: ignore[reportArgumentType]
        engine.train()
        return found.numpy()

    def _finish(self, trainer: Trainer, *, seconds: float) -> None:
        best = json.loads((self.out / BEST / "best.json").read_text(encoding="utf-8"))
        for name in (adapters.ADAPTER, adapters.CONFIG):
            shutil.copyfile(self.out / BEST / name, self.out / name)
        history(trainer).write_parquet(self.out / "history.parquet")
        held_out = pl.DataFrame({"probability": best["probabilities"]}, schema={"probability": pl.Float64})
        held_out.write_parquet(self.out / "validation.parquet")
        programfiles.finish(
            self.out,
            files=[adapters.ADAPTER, adapters.CONFIG, "history.parquet", "validation.parquet"],
            packages=["torch", "transformers", "peft", "deepspeed"],
            program="m2v.training.finetune",
            model=self.model.model_dump(mode="json"),
            seed=self.seed,
            n_processes=int(os.environ["WORLD_SIZE"]),
            threshold=best["threshold"],
            selection=best["selection"],
            n_train=len(self.train),
            seconds=seconds,
            content=self.content,
        )
        shutil.rmtree(self.out / "state", ignore_errors=True)
        shutil.rmtree(self.out / BEST, ignore_errors=True)


class LoraTrainer(Trainer):
    """The Trainer with an optimiser of our own: the head learns faster than the adapter."""

    def __init__(self, entry: Lora, **arguments: Any) -> None:
        self.entry = entry
        super().__init__(**arguments)

    def create_optimizer(self, model: torch.nn.Module | None = None) -> torch.optim.Optimizer:
        """AdamW over the trainable parameters, in two groups."""
        if self.optimizer is None:
            named = [(name, each) for name, each in self.model.named_parameters() if each.requires_grad]
            groups = [
                {"params": [each for name, each in named if "head" not in name], "lr": self.entry.learning_rate},
                {"params": [each for name, each in named if "head" in name], "lr": self.entry.head_learning_rate},
            ]
            self.optimizer = torch.optim.AdamW(groups, weight_decay=self.args.weight_decay)
        return self.optimizer


class Watch(TrainerCallback):
    """Reports progress, keeps the best epoch, and marks checkpoints complete."""

    def __init__(self, finetuning: Finetuning) -> None:
        self.finetuning = finetuning
        self.trainer: Trainer | None = None
        self.began, self.first_step = 0.0, 0

    def on_train_begin(self, args, state, control, **_) -> None:  # noqa: ANN001
        """Refuse to train if the processes do not share the work, or DeepSpeed is not in charge."""
        assert self.trainer is not None
        world = int(os.environ["WORLD_SIZE"])
        if args.world_size != world or torch.distributed.get_world_size() != world:
            raise SystemExit(f"{world} processes were started, but the Trainer sees {args.world_size}.")
        if self.trainer.deepspeed is None:
            raise SystemExit("DeepSpeed is not in charge of this training.")
        self.began, self.first_step = time.monotonic(), state.global_step

    def on_log(self, args, state, control, logs=None, **_) -> None:  # noqa: ANN001
        """Loss and throughput."""
        if logs and "loss" in logs:
            n_examples = (state.global_step - self.first_step) * self.finetuning.model.batch_size
            speed = n_examples / (time.monotonic() - self.began)
            state.log_history[-1]["samples_per_s"] = speed
            self.finetuning.report.step(
                state.global_step, state.max_steps, unit="steps", loss=logs["loss"], samples_per_s=speed
            )

    def on_epoch_end(self, args, state, control, **_) -> None:  # noqa: ANN001
        """Score the validation split; keep the adapter if it is the best so far."""
        finetuning, trainer = self.finetuning, self.trainer
        assert trainer is not None
        epoch = round(state.epoch or 0)
        path = finetuning.out / BEST / "best.json"
        chosen: dict[str, Any] = {"selection": {"epoch": epoch}, "threshold": 0.5, "probabilities": []}
        if finetuning.held_out is not None:
            labels = finetuning.held_out[1]
            found = finetuning.score(trainer)
            score = selection.auroc(labels, found)
            chosen["selection"]["validation_auroc"] = score
            chosen |= {"threshold": selection.threshold(labels, found), "probabilities": found.tolist()}
            before = json.loads(path.read_text(encoding="utf-8"))["selection"] if path.exists() else {"epoch": 0}
            # An epoch that a killed run had scored already is scored again with the same outcome.
            if before["epoch"] not in {0, epoch} and (score or 0) <= (before["validation_auroc"] or 0):
                torch.distributed.barrier()
                return
        trainable = gathered(trainer)
        torch.distributed.barrier()
        if finetuning.is_first:
            adapters.save(trainer.model, finetuning.out / BEST, state=trainable)  # pyright: ignore[reportArgumentType]
            programfiles.replace(path, json.dumps(chosen).encode())
        torch.distributed.barrier()

    def on_save(self, args, state, control, **_) -> None:  # noqa: ANN001
        """Mark the checkpoint complete once every process has written its part."""
        torch.distributed.barrier()
        if self.finetuning.is_first:
            (Path(args.output_dir) / f"checkpoint-{state.global_step}" / COMPLETE).touch()


def gathered(trainer: Trainer) -> dict[str, torch.Tensor]:
    """The trainable parameters, whole, wherever ZeRO keeps their shards."""
    assert trainer.model is not None
    named = {name: each for name, each in trainer.model.named_parameters() if each.requires_grad}
    is_sharded = any(hasattr(each, "ds_id") for each in named.values())
    with deepspeed.zero.GatheredParameters(list(named.values()), enabled=is_sharded):
        return {name: each.detach().cpu().clone() for name, each in named.items()}


def zero(model: Lora, *, world: int) -> dict[str, Any]:
    """DeepSpeed's configuration: the ZeRO stage, and a torch optimiser, which needs nothing compiled."""
    return {
        "train_batch_size": model.batch_size,
        "train_micro_batch_size_per_gpu": model.batch_size // world,
        "gradient_accumulation_steps": 1,
        "gradient_clipping": model.max_gradient_norm,
        "zero_optimization": {
            "stage": model.zero_stage,
            "stage3_param_persistence_threshold": 1_000,
            "stage3_prefetch_bucket_size": 1_000_000,
            "reduce_bucket_size": 1_000_000,
        },
        "zero_allow_untested_optimizer": True,
        "zero_force_ds_cpu_optimizer": False,
    }


def last_complete(folder: Path) -> str | None:
    """The newest checkpoint that was written whole; torn ones are removed."""
    found = sorted(folder.glob("checkpoint-*"), key=lambda path: int(path.name.rpartition("-")[2]))
    whole = [path for path in found if (path / COMPLETE).exists()]
    if os.environ["RANK"] == "0":
        for path in found:
            if path not in whole:
                shutil.rmtree(path)
    return str(whole[-1]) if whole else None


def history(trainer: Trainer) -> pl.DataFrame:
    """One row per logged step."""
    rows = [
        {
            "step": each["step"],
            "epoch": each["epoch"],
            "loss": each["loss"],
            "learning_rate": each["learning_rate"],
            "samples_per_s": each.get("samples_per_s"),
        }
        for each in trainer.state.log_history
        if "loss" in each
    ]
    dtypes = {"step": pl.UInt32, "epoch": pl.Float64, "loss": pl.Float64, "learning_rate": pl.Float64}
    return pl.DataFrame(rows, schema={**dtypes, "samples_per_s": pl.Float64})


if __name__ == "__main__":
    main()
