"""What the benchmarks of labelling and training share: models of about 20 million parameters, and items."""

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from m2v.datasets import sample
from m2v.entries.datasets import LabelDefinition
from m2v.entries.pretrained import Vlm
from m2v.entries.prompts import Prompt

LABEL = LabelDefinition(
    positive="insulting",
    negative="neighbourly",
    positive_definition="This attacks a kind of vegetable for what it is.",
    negative_definition="This attacks no kind of vegetable.",
)
PROMPT = Prompt(
    name="paper",
    title="The paper's words",
    instruction=(
        "Text: '{text}' \n Analyze the image and text to determine if the content is {positive}. Respond with "
        "'{positive}' or '{negative}'—just one word, no sentences."
    ),
)
ARCHITECTURES = ("llava_next_video", "mllama")


def entry(architecture: str) -> Vlm:
    """A model of about 20 million parameters, whose weights are drawn from a seed."""
    return Vlm(
        name=f"medium-{architecture.replace('_', '-')}",
        title="About 20 million parameters",
        kind="vlm",
        built=architecture,  # pyright: ignore[reportArgumentType]
        width=576,
        dtype="float32",
        max_text_tokens=256,
        context_tokens=8192,
    )


def items(folder: Path, n: int, *, seed: int) -> list[dict[str, Any]]:
    """Memes: a picture of noise and a sentence of the sample's."""
    draw = np.random.default_rng(seed)
    rows = []
    for place in range(n):
        path = folder / f"{seed}-{place}.png"
        Image.effect_noise(tuple(draw.integers(60, 200, 2).tolist()), 80).convert("RGB").save(path)
        sentence = str(draw.choice(sample.ATTACKS + sample.FRIENDLY)).format(kind="leeks", place="market")
        rows.append(
            {
                "label": bool(draw.integers(2)),
                "text": sentence,
                "pictures": (str(path),),
                "pictures_sha256": (str(path),),
                "media": "image",
                "description": None,
            }
        )
    return rows
