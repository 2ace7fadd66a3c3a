from pathlib import Path

import polars as pl
import pytest

from m2v import schemas
from m2v.features.texts import EMBEDDINGS
from m2v.files import row_cache
from m2v_resources.audit.verification import verify
from m2v_resources.store.versions import TableStore
from tests.tables import memes


@pytest.mark.parametrize("said", ["created_at", "run_id", "n_rows"])
def test_one_changed_byte_in_a_claim_is_found_and_named(tmp_path: Path, said: str) -> None:
    store = TableStore(tmp_path / "tables")
    store.write(memes({"meme_id": "m1"}), schemas.MEMES, "fhm", provenance={"run_id": "1"})
    assert verify(tmp_path)[1] == []
    claim = tmp_path / "tables/memes/fhm/versions/1.json"
    content = bytearray(claim.read_bytes())
    place = next(at for at in range(content.index(said.encode()), len(content)) if chr(content[at]).isdigit())
    content[place] ^= 1
    claim.write_bytes(content)
    problems = verify(tmp_path)[1]
    assert str(claim) in {problem.where for problem in problems}


def test_a_version_that_is_gone_though_a_later_one_is_there_is_named(tmp_path: Path) -> None:
    store = TableStore(tmp_path / "tables")
    for number in range(3):
        store.write(memes({"meme_id": f"m{number}"}), schemas.MEMES, "fhm")
    assert verify(tmp_path)[1] == []
    (tmp_path / "tables/memes/fhm/versions/2.json").unlink()
    assert [problem.where for problem in verify(tmp_path)[1]] == ["memes/fhm@2"]


@pytest.mark.parametrize("kept", ["encodings", "requests", "media/embeddings", "media/transcripts", "media/sounds"])
def test_one_changed_byte_of_what_a_model_said_is_found_and_named(tmp_path: Path, kept: str) -> None:
    TableStore(tmp_path / "tables").write(memes({"meme_id": "m1"}), schemas.MEMES, "fhm")
    rows = pl.DataFrame([("a", [1.0])], schema=EMBEDDINGS, orient="row")
    row_cache.append(tmp_path / kept / "tiny-0123", rows, EMBEDDINGS)
    assert verify(tmp_path)[1] == []
    (shard,) = (tmp_path / kept / "tiny-0123").iterdir()
    content = bytearray(shard.read_bytes())
    content[-1] ^= 1
    shard.write_bytes(content)
    assert [problem.where for problem in verify(tmp_path)[1]] == [str(shard)]
