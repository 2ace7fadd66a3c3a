"""The classifier: what it computes, what of it is trained, what of it is saved."""

import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file

from m2v.detectors.text_lora import classifier
from m2v.detectors.text_lora.entry import Lora
from m2v.detectors.trainer import adapters
from m2v.entries.pretrained import Encoder
from m2v.errors import StoreError
from m2v.models import loading, weights
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
    model = classifier.fresh(MODEL, encoder, positive_weight=1.0, seed=0)
    query = "base_model.model.encoder.encoder.layer.1.attention.self.query"
    head = "base_model.model.head.modules_to_save.default"
    assert trained(model) == {
        f"{query}.lora_A.default.weight": (3, 32),
        f"{query}.lora_B.default.weight": (32, 3),
        f"{head}.weight": (1, 32),
        f"{head}.bias": (1,),
    }
    groups = classifier.parameter_groups(model, MODEL)
    assert [(group["lr"], [each.shape for each in group["params"]]) for group in groups] == [
        (0.1, [(3, 32), (32, 3)]),
        (0.7, [(1, 32), (1,)]),
    ]


def test_the_seed_decides_the_first_weights(encoder: Encoder) -> None:
    def logits(seed: int) -> list[float]:
        model = classifier.fresh(MODEL, encoder, positive_weight=1.0, seed=seed).eval()
        return model(input_ids=IDS, attention_mask=MASK)["logits"].tolist()

    first = logits(1)
    torch.manual_seed(5)
    assert logits(1) == first
    assert logits(2) != first


def test_padding_changes_nothing_and_positives_weigh_as_told(encoder: Encoder) -> None:
    model = classifier.fresh(MODEL, encoder, positive_weight=3.0, seed=0).eval()
    found = model(input_ids=IDS, attention_mask=MASK, labels=torch.tensor([1.0, 0.0]))
    alone = model(input_ids=IDS[1:, :3], attention_mask=MASK[1:, :3])
    torch.testing.assert_close(found["logits"][1:], alone["logits"])
    probability = 1 / (1 + np.exp(-found["logits"].detach().numpy().astype(np.float64)))
    expected = -(3 * np.log(probability[0]) + np.log(1 - probability[1])) / 2
    assert found["loss"].item() == pytest.approx(expected, abs=1e-6)


def test_the_frozen_part_draws_nothing(encoder: Encoder) -> None:
    model = classifier.fresh(MODEL.model_copy(update={"dropout": 0.0}), encoder, positive_weight=1.0, seed=0).train()
    first, second = (model(input_ids=IDS, attention_mask=MASK)["logits"] for _ in range(2))
    assert first.tolist() == second.tolist()


def test_what_is_saved_is_loaded(tmp_path: Path, encoder: Encoder) -> None:
    model = classifier.fresh(MODEL, encoder, positive_weight=1.0, seed=0).eval()
    with torch.no_grad():
        for each in model.parameters():
            if each.requires_grad:
                each.add_(0.1)
    adapters.save(model, tmp_path)
    saved = load_file(tmp_path / adapters.ADAPTER)
    assert sum(each.numel() for each in saved.values()) == 3 * 32 * 2 + 33
    loaded = classifier.load(encoder, tmp_path)
    expected = model(input_ids=IDS, attention_mask=MASK)["logits"]
    torch.testing.assert_close(loaded(input_ids=IDS, attention_mask=MASK)["logits"], expected)


def renamed(path: Path, old: str, new: str | None) -> None:
    """Give what a file of weights holds another name, or take it out."""
    found = load_file(path)
    for key in [key for key in found if old in key]:
        value = found.pop(key)
        if new:
            found[key.replace(old, new)] = value
    save_file(found, path, metadata={"format": "pt"})


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("self.query", "self.quarry", r"lacks .*query\.lora_A.* and has .*quarry\.lora_A.*, which nothing uses"),
        ("lora_B", None, r"lacks .*self\.query\.lora_B\.weight\."),
        ("head", None, r"lacks base_model\.model\.head\.weight"),
        ("base_model.model", "model", "lacks base_model"),
    ],
)
def test_an_adapter_that_is_used_in_part_is_refused_and_its_keys_named(
    tmp_path: Path, encoder: Encoder, old: str, new: str | None, said: str
) -> None:
    adapters.save(classifier.fresh(MODEL, encoder, positive_weight=1.0, seed=0), tmp_path)
    renamed(tmp_path / adapters.ADAPTER, old, new)
    with pytest.raises(StoreError, match=said):
        classifier.load(encoder, tmp_path)


@pytest.mark.parametrize(("rank", "targets"), [("5", None), (None, "nowhere")])
def test_an_adapter_that_does_not_fit_is_refused(
    tmp_path: Path, encoder: Encoder, rank: str | None, targets: str | None
) -> None:
    adapters.save(classifier.fresh(MODEL, encoder, positive_weight=1.0, seed=0), tmp_path)
    config = json.loads((tmp_path / adapters.CONFIG).read_text())
    config |= {"r": int(rank)} if rank else {"target_modules": targets}
    (tmp_path / adapters.CONFIG).write_text(json.dumps(config))
    with pytest.raises(StoreError, match="does not fit the model"):
        classifier.load(encoder, tmp_path)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("layer.0.attention", "layer.0.attending", r"lacks encoder\.layer\.0\.attention.* and 5 more and has encoder"),
        ("layer.1.output", None, r"lacks encoder\.layer\.1\.output"),
        ("pooler", None, None),  # nobody looks at it
        ("pooler", "cls", None),
    ],
)
def test_a_pretrained_model_that_is_used_in_part_is_refused(
    tmp_path: Path, encoder: Encoder, old: str, new: str | None, said: str | None
) -> None:
    folder = shutil.copytree(weights.folder(encoder), tmp_path / "model")
    renamed(folder / weights.WEIGHTS, old, new)
    if said is None:
        loading.pretrained(transformers.AutoModel, folder, besides=[loading.HEADS])
        return
    with pytest.raises(StoreError, match=said):
        loading.pretrained(transformers.AutoModel, folder, besides=[loading.HEADS])


def test_a_pretrained_model_of_other_shapes_is_refused(tmp_path: Path, encoder: Encoder) -> None:
    folder = shutil.copytree(weights.folder(encoder), tmp_path / "model")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"intermediate_size": 60}))
    with pytest.raises(StoreError, match="of other shapes"):
        loading.pretrained(transformers.AutoModel, folder)
