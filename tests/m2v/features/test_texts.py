"""The program that encodes texts, run as a program."""

import json
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
import transformers

from m2v.entries.pretrained import Encoder
from m2v.features import texts as encoding
from m2v.files import row_cache
from tests import encoders
from tests.killing import kill_when
from tests.tables import sha256

LONG = "leek " * 40
TEXTS = ["the leek is green", "", "the kale is not bitter", LONG, "fig", "pea and plum and fig and pea"]


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("packages")


@pytest.fixture(scope="module")
def encoder(packages: Path) -> Encoder:
    return encoders.tiny(packages)


def start(folder: Path, texts: list[str], *, encoder: Encoder, name: str = "out") -> list[str]:
    """Write the program's input; give its command."""
    parts = {"modality": "text", "sha256": [sha256(text) for text in texts], "text": texts, "path": None}
    pl.DataFrame(parts).unique("sha256").write_parquet(folder / f"{name}.in")
    spec = {
        "extractor": encoder.model_dump(mode="json"),
        "parts": str(folder / f"{name}.in"),
        "media": None,
        "home": str(folder),
    }
    (folder / f"{name}.json").write_text(json.dumps(spec), encoding="utf-8")
    return encoders.command("m2v.features.program", spec=folder / f"{name}.json", out=folder / name)


def counts(folder: Path) -> dict[str, int]:
    manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    return {name: manifest[name] for name in ("n_parts", "n_computed", "n_known", "n_cut")}


def one_by_one(texts: list[str], *, encoder: Encoder, packages: Path) -> np.ndarray:
    """What sentence-transformers' recipe gives a text alone: mean over its tokens, unit length."""
    path = packages / str(encoder.package) / "model"
    tokenizer = transformers.AutoTokenizer.from_pretrained(path)
    model = transformers.AutoModel.from_pretrained(path).eval()
    rows = []
    for text in texts:
        tokens = tokenizer(text, truncation=True, max_length=encoder.max_tokens, return_tensors="pt")
        with torch.no_grad():
            mean = model(**tokens).last_hidden_state[0].mean(0).numpy()
        rows.append(mean / np.linalg.norm(mean))
    return np.array(rows)


@pytest.mark.usefixtures("cold")
def test_embeddings_are_those_of_each_text_alone(tmp_path: Path, packages: Path, encoder: Encoder) -> None:
    result = encoders.run(start(tmp_path, [*TEXTS, TEXTS[0]], encoder=encoder), packages)
    assert result.returncode == 0, result.stderr
    assert "6 of 6 texts" in result.stderr
    assert counts(tmp_path / "out") == {"n_parts": 6, "n_computed": 6, "n_known": 0, "n_cut": 1}
    found = pl.read_parquet(tmp_path / "out" / "vectors.parquet")
    assert found["sha256"].to_list() == sorted(map(sha256, TEXTS))
    expected = dict(zip(map(sha256, TEXTS), one_by_one(TEXTS, encoder=encoder, packages=packages), strict=True))
    np.testing.assert_allclose(
        np.array(found["vector"].to_list()), [expected[key] for key in sorted(expected)], atol=1e-5
    )


def test_only_new_texts_are_encoded_and_known_ones_need_no_torch(
    tmp_path: Path, packages: Path, encoder: Encoder
) -> None:
    assert encoders.run(start(tmp_path, TEXTS, encoder=encoder), packages).returncode == 0
    changed = [*TEXTS[:-1], "pea and plum and kale"]
    assert encoders.run(start(tmp_path, changed, encoder=encoder, name="changed"), packages).returncode == 0
    assert counts(tmp_path / "changed") == {"n_parts": 6, "n_computed": 1, "n_known": 5, "n_cut": 0}
    command = start(tmp_path, TEXTS, encoder=encoder, name="again")
    result = encoders.run([sys.executable, "-X", "importtime", *command[1:]], packages)
    assert counts(tmp_path / "again") == {"n_parts": 6, "n_computed": 0, "n_known": 6, "n_cut": 0}
    imported = {line.rpartition("|")[2].strip() for line in result.stderr.splitlines()}
    assert "polars" in imported
    assert not imported & {"torch", "transformers"}
    assert (tmp_path / "again" / "vectors.parquet").read_bytes() == (tmp_path / "out" / "vectors.parquet").read_bytes()


def test_another_encoder_version_shares_nothing(encoder: Encoder) -> None:
    shorter = encoder.model_copy(update={"max_tokens": 8})
    assert encoder.identity != shorter.identity
    retitled = encoder.model_copy(update={"title": "The same"})
    assert encoder.identity == retitled.identity


def test_a_killed_program_loses_only_its_last_shard(tmp_path: Path, packages: Path, encoder: Encoder) -> None:
    texts = [" ".join(encoders.WORDS[(n >> 4 * place) % 16] for place in range(4)) for n in range(6_000)]
    texts = sorted({*texts})
    command = start(tmp_path, texts, encoder=encoder)
    folder = row_cache.folder(tmp_path / "encodings", encoder.name, encoder.identity)
    kill_when(
        lambda: len(list(folder.glob("*.parquet"))) >= 3,
        command,
        encoders.environment(packages),
        made=(tmp_path / "out", folder),
    )
    n_kept = row_cache.read(folder, encoding.EMBEDDINGS).height
    assert 3 * 512 <= n_kept < len(texts)
    assert encoders.run(command, packages).returncode == 0
    assert counts(tmp_path / "out") == {
        "n_parts": len(texts),
        "n_computed": len(texts) - n_kept,
        "n_known": n_kept,
        "n_cut": 0,
    }


def test_a_finished_folder_is_left_alone_and_a_damaged_one_made_again(
    tmp_path: Path, packages: Path, encoder: Encoder
) -> None:
    command = start(tmp_path, TEXTS[:2], encoder=encoder)
    assert encoders.run(command, packages).returncode == 0
    manifest = tmp_path / "out" / "manifest.json"
    before = manifest.stat().st_mtime_ns
    assert encoders.run(command, packages).returncode == 0
    assert manifest.stat().st_mtime_ns == before
    whole = (tmp_path / "out" / "vectors.parquet").read_bytes()
    (tmp_path / "out" / "vectors.parquet").write_bytes(whole[:-1])
    assert encoders.run(command, packages).returncode == 0
    assert (tmp_path / "out" / "vectors.parquet").read_bytes() == whole


@pytest.mark.parametrize("damage", ["weights", "package"])
def test_weights_that_are_not_the_pinned_ones(tmp_path: Path, packages: Path, encoder: Encoder, damage: str) -> None:
    change = {"weights": {"weights_sha256": "f" * 64}, "package": {"package": "not_installed"}}[damage]
    result = encoders.run(start(tmp_path, TEXTS, encoder=encoder.model_copy(update=change)), packages)
    assert result.returncode == 1
    last = result.stderr.strip().splitlines()[-1]
    if damage == "weights":
        assert last.startswith("m2v.errors.ChecksumMismatch: ")
        assert "model.safetensors: sha256 is" in last
    else:
        assert last.startswith("m2v.errors.MissingSource: The weights of nobody/tiny at revision 000000000000")
        assert "not_installed" in last
        assert "HF_HOME" in last
