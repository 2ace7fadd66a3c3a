"""Batches: the order of examples, and their padding."""

import numpy as np
import torch

from m2v.detectors.trainer.collate import Collate, Order, batches, probabilities


def test_the_order_depends_on_the_seed_and_the_epoch_alone() -> None:
    lengths = list(np.random.default_rng(0).integers(1, 30, size=101))
    first, second = Order(lengths, batch_size=8, seed=3), Order(lengths, batch_size=8, seed=3)
    orders = []
    for epoch in (0, 1):
        first.epoch = second.epoch = epoch
        torch.manual_seed(epoch)  # the process's random state is not asked
        orders.append(list(first))
        torch.manual_seed(99)
        assert list(second) == orders[-1]
        assert sorted(orders[-1]) == list(range(101))
    assert orders[0] != orders[1]
    assert list(Order(lengths, batch_size=8, seed=4)) != orders[0]


def test_a_step_holds_texts_of_like_length_and_the_rest_comes_last() -> None:
    lengths = [1, 9] * 10 + [5]
    order = list(Order(lengths, batch_size=5, seed=0))
    steps = [order[start : start + 5] for start in range(0, 21, 5)]
    assert [len(step) for step in steps] == [5, 5, 5, 5, 1]
    assert sum(len({lengths[place] for place in step}) == 1 for step in steps[:4]) >= 2


def test_fewer_texts_than_a_step() -> None:
    assert sorted(Order([3, 1], batch_size=8, seed=0)) == [0, 1]


def test_a_batch_is_padded_to_its_longest_text() -> None:
    batch = Collate(9)([{"input_ids": [1, 2, 3], "labels": 1.0}, {"input_ids": [4], "labels": 0.0}])
    assert batch["input_ids"].tolist() == [[1, 2, 3], [4, 9, 9]]
    assert batch["attention_mask"].tolist() == [[1, 1, 1], [1, 0, 0]]
    assert batch["labels"].tolist() == [1.0, 0.0]
    assert "labels" not in Collate(9)([{"input_ids": [1]}])


def test_batches_keep_the_padded_size_within_the_budget() -> None:
    assert list(batches([4, 1, 2, 9, 2], max_tokens=6)) == [[1, 2, 4], [0], [3]]  # 3 × 2, 1 × 4, one too long by itself


class SumOfTokens(torch.nn.Module):
    """The logit is the mean token; padding must not count."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.tensor(1.0))

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> dict[str, torch.Tensor]:
        return {"logits": (input_ids * attention_mask).sum(1) / attention_mask.sum(1) * self.weight}


def test_probabilities_come_in_the_order_of_the_texts() -> None:
    found = probabilities(SumOfTokens(), [[3, 3], [0], [-2, -2, -2]], pad_token_id=7, max_tokens=4)
    np.testing.assert_allclose(found.numpy(), [1 / (1 + np.exp(-3)), 0.5, 1 / (1 + np.exp(2))], rtol=1e-6)
