"""Pictures' states that are kept give what their pixels give, and are computed once."""

from pathlib import Path

import pytest
import torch

from m2v.detectors.vlm_lora import vision
from m2v.prediction import models, processing
from m2v.prediction.prompts import Shown
from tests import vlms

SIZES = ((60, 40), (40, 90), (56, 56))


# A picture's states: 2 tiles of 17 patches, 32 numbers of 4 bytes each.
@pytest.mark.parametrize(("budget", "n_computed"), [(None, 3), (0, 6), (2 * 17 * 32 * 4, 5)])
def test_kept_states_give_what_pixels_give(tmp_path: Path, budget: int | None, n_computed: int) -> None:
    loaded = models.load(vlms.entry("mllama"), home=tmp_path)
    colours = ((200, 30, 30), (30, 200, 30), (10, 10, 90))
    paths = [
        vlms.picture(tmp_path, f"p{place}", colour, size)
        for place, (colour, size) in enumerate(zip(colours, SIZES, strict=True))
    ]
    pictures = [(Shown(text="", pictures=(str(path),), pictures_sha256=(path.name,), media="image"),) for path in paths]
    batch = processing.inputs(
        [f"<|begin_of_text|><|image|>{'a leek ' * n}" for n in (1, 2, 3)], pictures, loaded=loaded
    )
    with torch.no_grad():
        expected = loaded.model(**batch).logits
    computed = []
    loaded.model.model.vision_model.register_forward_hook(lambda *_: computed.append(1))
    kept = vision.VisionCache(loaded.model, budget=budget)
    for order in ([0, 1, 2], [2, 0, 1]):
        given = kept({name: each[order] for name, each in batch.items()}, order)
        with torch.no_grad():
            torch.testing.assert_close(loaded.model(**given).logits, expected[order], atol=1e-4, rtol=0)
    assert len(computed) == n_computed


@pytest.mark.parametrize(
    ("limit", "used", "left"), [("max", "100", None), ("1000", "300", 700), ("1000", "1200", 0), (None, None, None)]
)
def test_a_containers_limit_counts(tmp_path: Path, limit: str | None, used: str | None, left: int | None) -> None:
    for name, value in (("memory.max", limit), ("memory.current", used)):
        if value is not None:
            (tmp_path / name).write_text(f"{value}\n", encoding="utf-8")
    found = vision.free_bytes(tmp_path)
    assert found > 1_000_000 if left is None else found == left
