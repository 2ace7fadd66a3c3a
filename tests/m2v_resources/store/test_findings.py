"""What checks found, as it is kept beside the rows and read back."""

from pathlib import Path

import pytest

from m2v.errors import M2VError
from m2v.lineage.findings import Finding
from m2v_resources.store import findings
from m2v_resources.store.versions import TableStore

FOUND = [
    Finding("texts_unique", "memes", "fhm", is_fine=False, summary="2 texts.", ids=("1", "2"), figures={"n": 2}),
    Finding("texts_present", "memes", "fhm", is_fine=True, summary="None.", figures={"share": 0.25, "alpha": None}),
]


def test_what_was_found_comes_back_whole(tmp_path: Path) -> None:
    store = TableStore(tmp_path / "tables")
    findings.record(store, ("memes", "fhm"), FOUND)
    findings.record(store, ("videos", "hatemm"), [])
    assert findings.recorded(store, ("memes", "fhm"), ("videos", "hatemm")) == sorted(
        FOUND, key=lambda each: each.check
    )


def test_the_latest_stand_and_equal_ones_are_one_version(tmp_path: Path) -> None:
    store = TableStore(tmp_path / "tables")
    for found in (FOUND, FOUND, FOUND[1:]):
        findings.record(store, ("memes", "fhm"), found)
    assert store.numbers("findings", "memes_fhm") == [1, 2]
    assert findings.recorded(store, ("memes", "fhm")) == FOUND[1:]


def test_rows_whose_findings_nobody_recorded_say_how_to_get_them(tmp_path: Path) -> None:
    with pytest.raises(M2VError, match=r"memes/fhm was made by an earlier M2V.*m2v run --select memes/fhm"):
        findings.recorded(TableStore(tmp_path / "tables"), ("memes", "fhm"))
