"""A vision-language model's LoRA adapter, trained to answer with the label's word under DeepSpeed ZeRO.

The conversation about an example is the one that labelling has, and the loss is over the answer's tokens alone. What is
kept, and how a killed training goes on, is as ``m2v/detectors/text_lora/program.py`` says. A model that is not trained
gets a threshold on the validation split, and answers as it is.
"""

import os
from pathlib import Path

import numpy as np
import polars as pl

from m2v.detectors import selection
from m2v.detectors.family import Task, Trained
from m2v.detectors.vlm_lora.given import parts
from m2v.models import lean, weights
from m2v.prediction import predict
from m2v.prediction.task import PredictionTask
from m2v.programs import checkpoints
from m2v.programs.progress import Report


def train(task: Task, *, out: Path, report: Report) -> Trained | None:
    """Train on conversations, in as many processes as were started; without a training split choose a threshold."""
    model, base, _, _ = parts(task)
    if task.train is None:
        return _untrained(task, report=report)
    with lean.imports(quantisation=model.quantisation):
        from m2v.detectors.trainer import processes
        from m2v.detectors.vlm_lora import conversations
    if os.environ.get("LOCAL_RANK", "0") == "0":
        # One process of a machine downloads or builds; the others wait for it where they join.
        weights.whole(base, home=task.home)
    with processes.joined(out):
        return conversations.train(task, out=out, report=report)


def score(task: Task, *, checkpoint: Path, items: pl.DataFrame, report: Report) -> np.ndarray:
    """Return the probabilities that the model gives to items, with its adapter where it was trained."""
    is_trained = predict.ADAPTER in checkpoints.manifest(checkpoint)["files"]
    return _asked(task, items, adapter=checkpoint if is_trained else None, report=report)


def _untrained(task: Task, *, report: Report) -> Trained:
    """Return the threshold of the model as it is."""
    threshold, chosen = 0.5, {}
    if task.validation and parts(task)[0].fidelity == "best":
        rows = pl.read_parquet(task.validation)
        probabilities, labels = _asked(task, rows, adapter=None, report=report), rows["label"].to_numpy()
        threshold = selection.threshold(labels, probabilities)
        chosen = {"validation_auroc": selection.auroc(labels, probabilities)}
    return Trained(files=[], packages=[], threshold=threshold, selection=chosen, facts={"n_train": 0})


def _asked(task: Task, items: pl.DataFrame, *, adapter: Path | None, report: Report) -> np.ndarray:
    """Ask about items as labelling does, each unless its answer is known."""
    model, base, prompt, label = parts(task)
    asking = PredictionTask(model=model.evaluated(base), prompt=prompt, label=label, adapter=adapter, home=task.home)
    demonstrations = pl.read_parquet(task.demonstrations) if task.demonstrations else None
    answers, _ = predict.answers(asking, items, demonstrations=demonstrations, report=report)
    return answers["probability"].to_numpy()
