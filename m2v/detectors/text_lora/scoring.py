"""What a trained adapter says of texts."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
import transformers

from m2v.detectors.family import Task
from m2v.detectors.text_lora import classifier
from m2v.detectors.trainer import collate
from m2v.detectors.trainer.adapters import ADAPTER
from m2v.entries.pretrained import Encoder
from m2v.programs import checkpoints, cores
from m2v.programs.progress import Report


def probabilities(task: Task, checkpoint: Path, *, texts: Sequence[str], report: Report) -> np.ndarray:
    """Return the positive label's probability of each text, (texts,), float32.

    Raises:
        StoreError: The checkpoint is missing, damaged, or of another encoder.
    """
    encoder = task.base
    assert isinstance(encoder, Encoder)
    checkpoints.verified(checkpoint, weights=ADAPTER, base=(encoder.name, encoder.weights))
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    torch.set_num_threads(cores.n_cores())
    model = classifier.load(encoder, checkpoint).to("cuda" if torch.cuda.is_available() else "cpu")
    tokenizer = collate.tokenizer(encoder)
    tokens = collate.tokenise(texts, tokenizer=tokenizer, max_tokens=encoder.max_tokens)
    padding = int(tokenizer.pad_token_id or 0)  # pyright: ignore[reportArgumentType]
    return collate.probabilities(model, tokens, pad_token_id=padding, report=report).numpy()
