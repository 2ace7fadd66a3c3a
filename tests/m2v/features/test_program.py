"""The program that extracts features, run as a program: CLIP's both halves, and sound."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
import transformers
from PIL import Image

from m2v.entries.features import SoundStatistics
from m2v.entries.pretrained import Perceiver
from m2v.features import rows
from m2v.files.digests import file_sha256, text_sha256
from m2v.media import audio
from m2v.models import weights
from tests import encoders, films, vlms

CLIP = Perceiver(name="tiny-clip", title="Tiny", kind="clip", built="clip")
TEXTS = ["a leek", "a basket of carrots", ""]


class Desk:
    """A home with pictures and texts, and the program that looks at them."""

    def __init__(self, home: Path) -> None:
        self.home = home
        (home / "media").mkdir(parents=True)
        pictures = []
        for number, colour in enumerate(["red", "green", "blue"]):
            path = home / "media" / f"{number}.png"
            Image.new("RGB", (40, 30 + number), colour).save(path)
            pictures.append({"modality": "picture", "sha256": file_sha256(path), "path": f"media/{number}.png"})
        # A frame may be the same file as a picture.
        pictures.append({**pictures[0], "modality": "frames"})
        texts = [{"modality": "text", "sha256": text_sha256(text), "text": text} for text in TEXTS]
        schema = {name: rows.PARTS[name] for name in ("modality", "sha256", "text", "path")}
        self.parts = pl.DataFrame([*pictures, *texts], schema=schema)

    def run(self, name: str, *, extractor: Any, parts: pl.DataFrame, media: Path | None = None) -> pl.DataFrame:
        parts.write_parquet(self.home / f"{name}.in")
        spec = vlms.spec(
            self.home / f"{name}.json", extractor=extractor, parts=self.home / f"{name}.in", media=media, home=self.home
        )
        result = encoders.run(encoders.command("m2v.features.program", spec=spec, out=self.home / name), self.home)
        assert result.returncode == 0, result.stderr[-3000:]
        self.said = result.stderr
        self.manifest = json.loads((self.home / name / "manifest.json").read_text(encoding="utf-8"))
        return pl.read_parquet(self.home / name / rows.FILE)


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Desk:
    return Desk(tmp_path_factory.mktemp("desk") / "home")


def vector(found: pl.DataFrame, sha256: str, modality: str) -> np.ndarray:
    return np.array(found.filter(sha256=sha256, modality=modality)["vector"].to_list())


def test_both_halves_of_clip_give_what_transformers_own_model_gives(desk: Desk) -> None:
    found = desk.run("pooled", extractor=CLIP, parts=desk.parts)
    assert found.height == desk.parts.height
    assert desk.manifest["n_computed"] == 6  # a frame and a picture are one file
    folder = weights.whole(CLIP, home=desk.home)
    clip = transformers.CLIPModel.from_pretrained(folder).eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    images = transformers.AutoImageProcessor.from_pretrained(folder)
    with torch.inference_mode():
        for text in TEXTS:
            theirs = clip.get_text_features(**tokenizer([text], return_tensors="pt"))
            theirs = getattr(theirs, "pooler_output", theirs)[0].numpy()
            mine = vector(found, text_sha256(text), "text")[0]
            np.testing.assert_allclose(mine, theirs / np.linalg.norm(theirs), atol=1e-5)
        for row in desk.parts.filter(modality="picture").iter_rows(named=True):
            given = images(Image.open(desk.home / row["path"]), return_tensors="pt")
            theirs = clip.get_image_features(**given)
            theirs = getattr(theirs, "pooler_output", theirs)[0].numpy()
            mine = vector(found, row["sha256"], "picture")[0]
            np.testing.assert_allclose(mine, theirs / np.linalg.norm(theirs), atol=1e-5)
    # What was seen is looked at by no model again.
    again = desk.run("again", extractor=CLIP, parts=desk.parts)
    assert again.equals(found)
    assert "embedded" not in desk.said


def test_token_by_token_there_is_a_vector_for_each_patch_and_each_word(desk: Desk) -> None:
    tokens = CLIP.model_copy(update={"level": "tokens"})
    assert tokens.identity != CLIP.identity
    found = desk.run("tokens", extractor=tokens, parts=desk.parts)
    folder = weights.whole(CLIP, home=desk.home)
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    for text in TEXTS:
        n_tokens = len(tokenizer(text)["input_ids"])
        assert vector(found, text_sha256(text), "text").shape == (n_tokens, 32)
    for digest in desk.parts.filter(modality="picture")["sha256"]:
        seen = vector(found, digest, "picture")
        # 28 pixels in patches of 7, and the class token.
        assert seen.shape == (17, 32)
        np.testing.assert_allclose(np.linalg.norm(seen, axis=1), 1, atol=1e-5)
    first = found.filter(modality="text", token=0)
    assert first.height == len(TEXTS)


def test_sound_is_its_statistics(desk: Desk, tmp_path: Path) -> None:
    path = films.tone(tmp_path / "a.wav", seconds=1.5)
    parts = desk.parts.clear().vstack(
        pl.DataFrame(
            [{"modality": "sound", "sha256": file_sha256(path), "text": None, "path": "a.wav"}],
            schema=desk.parts.schema,
        )
    )
    extractor = SoundStatistics(name="sound-statistics", title="Sound", kind="sound")
    found = desk.run("sound", extractor=extractor, parts=parts, media=tmp_path)
    theirs = audio.statistics(path)
    expected = np.concatenate([theirs[name] for name in ("mel_mean", "mel_std", "mfcc_mean", "mfcc_std")])
    np.testing.assert_allclose(vector(found, file_sha256(path), "sound")[0], expected, rtol=1e-5)
    desk.run("sound-again", extractor=extractor, parts=parts, media=tmp_path)
    assert desk.manifest["n_computed"] == 0
