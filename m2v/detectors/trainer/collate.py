"""Texts as batches of tokens."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from transformers import AutoTokenizer, PreTrainedTokenizerBase

from m2v.entries.pretrained import Encoder
from m2v.models import weights
from m2v.programs.progress import Report


def tokenizer(encoder: Encoder) -> PreTrainedTokenizerBase:
    """Return the encoder's own."""
    return AutoTokenizer.from_pretrained(weights.folder(encoder))


def tokenise(texts: Sequence[str], *, tokenizer: PreTrainedTokenizerBase, max_tokens: int) -> list[list[int]]:
    """Return the tokens of each text, cut on the right."""
    return tokenizer(list(texts), truncation=True, max_length=max_tokens, verbose=False)["input_ids"]  # pyright: ignore[reportReturnType]


class Examples(torch.utils.data.Dataset):
    """Tokenised texts with labels (texts,), bool."""

    def __init__(self, tokens: Sequence[list[int]], labels: np.ndarray) -> None:
        self.tokens, self.labels = tokens, labels
        self.lengths = [len(ids) for ids in tokens]

    def __len__(self) -> int:
        return len(self.tokens)

    def __getitem__(self, place: int) -> dict[str, Any]:
        return {"input_ids": self.tokens[place], "labels": float(self.labels[place])}


class Order(torch.utils.data.Sampler):
    """Places of examples in an order that the seed and the epoch decide and nothing else, like lengths together.

    Each ``batch_size`` places are a step's. The Trainer's own sampler draws from the process's random state, which
    differs between processes and after a resume, so that they would see other data.

    Args:
        kinds: Of each example; a step has one kind, but for what fills no step and comes last.
    """

    # A batch's texts are sorted within this many batches, as transformers' LengthGroupedSampler does: less padding,
    # still other neighbours in each epoch.
    N_BATCHES = 50

    def __init__(
        self, lengths: Sequence[int], *, batch_size: int, seed: int, kinds: Sequence[int] | None = None
    ) -> None:
        self.lengths, self.batch_size, self.seed, self.epoch = np.array(lengths), batch_size, seed, 0
        self.kinds = np.array(kinds) if kinds is not None else np.zeros(len(self.lengths), dtype=int)

    def __len__(self) -> int:
        return len(self.lengths)

    def __iter__(self) -> Iterator[int]:
        random = np.random.default_rng([self.seed, self.epoch])
        shuffled = random.permutation(len(self))
        batches, rests = [], []
        for kind in np.unique(self.kinds):
            places = shuffled[self.kinds[shuffled] == kind]
            # What fills no batch comes last, so that no batch begins in the middle of another.
            whole, rest = np.split(places, [len(places) // self.batch_size * self.batch_size])
            window = self.N_BATCHES * self.batch_size
            parts = [whole[start : start + window] for start in range(0, len(whole), window)]
            batches += [part[np.argsort(self.lengths[part], kind="stable")] for part in parts]
            rests.append(rest)
        drawn = np.concatenate([*batches, shuffled[:0]]).reshape(-1, self.batch_size)
        return iter([*random.permutation(drawn).ravel().tolist(), *np.concatenate([*rests, shuffled[:0]]).tolist()])


class Collate:
    """Pads a batch to its longest text."""

    def __init__(self, pad_token_id: int) -> None:
        self.pad_token_id = pad_token_id

    def __call__(self, rows: list[dict[str, Any]]) -> dict[str, torch.Tensor]:
        """``input_ids`` and ``attention_mask`` (batch, tokens), int64; ``labels`` (batch,), float32, if known."""
        longest = max(len(row["input_ids"]) for row in rows)
        ids = torch.full((len(rows), longest), self.pad_token_id, dtype=torch.int64)
        mask = torch.zeros_like(ids)
        for place, row in enumerate(rows):
            ids[place, : len(row["input_ids"])] = torch.tensor(row["input_ids"])
            mask[place, : len(row["input_ids"])] = 1
        batch = {"input_ids": ids, "attention_mask": mask}
        if "labels" in rows[0]:
            batch["labels"] = torch.tensor([row["labels"] for row in rows])
        return batch


def batches(lengths: Sequence[int], *, max_tokens: int) -> Iterator[list[int]]:
    """Places of texts in order of length, as many at a time as keep the padded batch within ``max_tokens``."""
    batch: list[int] = []
    for place in sorted(range(len(lengths)), key=lambda place: (lengths[place], place)):
        if batch and lengths[place] * (len(batch) + 1) > max_tokens:
            yield batch
            batch = []
        batch.append(place)
    if batch:
        yield batch


@torch.no_grad()  # not inference_mode, whose tensors ZeRO-3 cannot train on afterwards
def probabilities(
    model: torch.nn.Module,
    tokens: Sequence[list[int]],
    *,
    pad_token_id: int,
    report: Report | None = None,
    max_tokens: int = 4096,
) -> torch.Tensor:
    """Return the positive label's probability for each text, (texts,), float64.

    Args:
        max_tokens: Of a padded batch.
    """
    collate = Collate(pad_token_id)
    device = next(model.parameters()).device
    probabilities = torch.zeros(len(tokens), dtype=torch.float64)
    n_done = 0
    for places in batches([len(ids) for ids in tokens], max_tokens=max_tokens):
        batch = collate([{"input_ids": tokens[place]} for place in places])
        logits = model(**{name: value.to(device) for name, value in batch.items()})["logits"]
        probabilities[places] = logits.double().sigmoid().cpu()
        n_done += len(places)
        if report:
            report.step(n_done, len(tokens), unit="texts")
    return probabilities
