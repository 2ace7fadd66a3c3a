"""The classifier: what it computes, what of it is trained, what of it is saved."""

import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from m2v.catalog.entries import Encoder, Lora
from m2v.training import adapters
from tests import encoders

IDS, MASK = torch.tensor([[2, 5, 6, 3], [2, 7, 3, 0]]), torch.tensor([[1, 1, 1, 1], [1, 1, 1, 0]])
MODEL = Lora(
    name="tiny-lora",
    title="Tiny",
    kind="lora",
    encoder="tiny",
    targets=r".*layer\.1\..*self\.query",
    rank=3,
    learning_rate=0.1,
    head_learning_rate=0.7,
)


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Encoder:
    folder = tmp_path_factory.mktemp("packages")
    sys.path.append(str(folder))
    return encoders.tiny(folder)


def trained(model: torch.nn.Module) -> dict[str, torch.Size]:
    return {name: each.shape for name, each in model.named_parameters() if each.requires_grad}


def test_the_adapter_on_the_targets_and_the_head_are_trained_and_nothing_else(encoder: Encoder) -> None:
    model = adapters.fresh(MODEL, encoder, positive_weight=1.0, seed=0)
    query = "base_model.model.encoder.encoder.layer.1.attention.self.query"
    head = "base_model.model.head.modules_to_save.default"
    assert trained(model) == {
        f"{query}.lora_A.default.weight": (3, 32),
        f"{query}.lora_B.default.weight": (32, 3),
        f"{head}.weight": (1, 32),
        f"{head}.bias": (1,),
    }
    groups = adapters.parameter_groups(model, MODEL)
    assert [(group["lr"], [each.shape for each in group["params"]]) for group in groups] == [
        (0.1, [(3, 32), (32, 3)]),
        (0.7, [(1, 32), (1,)]),
    ]


def test_the_seed_decides_the_first_weights(encoder: Encoder) -> None:
    def logits(seed: int) -> list[float]:
        model = adapters.fresh(MODEL, encoder, positive_weight=1.0, seed=seed).eval()
        return model(input_ids=IDS, attention_mask=MASK)["logits"].tolist()

    first = logits(1)
    torch.manual_seed(5)
    assert logits(1) == first
    assert logits(2) != first


def test_padding_changes_nothing_and_positives_weigh_as_told(encoder: Encoder) -> None:
    model = adapters.fresh(MODEL, encoder, positive_weight=3.0, seed=0).eval()
    found = model(input_ids=IDS, attention_mask=MASK, labels=torch.tensor([1.0, 0.0]))
    alone = model(input_ids=IDS[1:, :3], attention_mask=MASK[1:, :3])
    torch.testing.assert_close(found["logits"][1:], alone["logits"])
    probability = 1 / (1 + np.exp(-found["logits"].detach().numpy().astype(np.float64)))
    expected = -(3 * np.log(probability[0]) + np.log(1 - probability[1])) / 2
    assert found["loss"].item() == pytest.approx(expected, abs=1e-6)


def test_the_frozen_part_draws_nothing(encoder: Encoder) -> None:
    model = adapters.fresh(MODEL.model_copy(update={"dropout": 0.0}), encoder, positive_weight=1.0, seed=0).train()
    first, second = (model(input_ids=IDS, attention_mask=MASK)["logits"] for _ in range(2))
    assert first.tolist() == second.tolist()


def test_what_is_saved_is_loaded(tmp_path: Path, encoder: Encoder) -> None:
    model = adapters.fresh(MODEL, encoder, positive_weight=1.0, seed=0).eval()
    with torch.no_grad():
        for each in model.parameters():
            if each.requires_grad:
                each.add_(0.1)
    adapters.save(model, tmp_path)
    saved = load_file(tmp_path / adapters.ADAPTER)
    assert sum(each.numel() for each in saved.values()) == 3 * 32 * 2 + 33
    loaded = adapters.load(encoder, tmp_path)
    expected = model(input_ids=IDS, attention_mask=MASK)["logits"]
    torch.testing.assert_close(loaded(input_ids=IDS, attention_mask=MASK)["logits"], expected)
