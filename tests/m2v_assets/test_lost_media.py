"""Media that do not match the tables stop their asset; a few lost ones are a line of `m2v run` and `m2v status`."""

from pathlib import Path

from PIL import Image

from m2v_resources.store.versions import TableStore
from tests.m2v_assets.conftest import Run, as_json

SELECTION = ("--study", "sample", "--select", "meme_images/veggie")


def laid(root: Path, names: list[str]) -> Path:
    """Pictures under these names, which are all one file."""
    root.mkdir()
    one = root.parent / "one.png"
    Image.new("RGB", (8, 8), "green").save(one)
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).hardlink_to(one)
    return root


def test_media_that_do_not_match_stop_the_asset_and_few_lost_ones_are_a_line(
    m2v: Run, home: Path, tmp_path: Path
) -> None:
    assert as_json(m2v("run", "--study", "sample", "--select", "memes/veggie", "--json"))["lost"] == []
    store = TableStore(home / "tables")
    names = sorted(store.read("memes", "veggie")["image"])
    elsewhere = laid(tmp_path / "elsewhere", ["bed/leek.png"])
    said = as_json(m2v("run", *SELECTION, "--json", code=1, M2V_MEDIA=str(elsewhere)))["errors"]["meme_images/veggie"]
    assert "240 of 240 pictures" in said
    assert "(240 missing); the study wants at least 95% usable. Looked below" in said
    assert "1 files lie there: 'bed/leek.png'" in said
    assert store.latest("meme_images", "veggie") is None
    # Twelve of 240 is as many as may be lost.
    few = str(laid(tmp_path / "few", names[12:]))
    done = as_json(m2v("run", *SELECTION, "--json", M2V_MEDIA=few))
    lost = "12 of 240 pictures of veggie cannot be used: 12 missing."
    assert (done["failed"], done["lost"]) == (0, [lost])
    status = m2v("status", *SELECTION, M2V_MEDIA=few)
    assert lost in status.stderr
    # One more stops, and what was complete stands.
    (Path(few) / names[12]).unlink()
    assert "13 of 240" in str(as_json(m2v("run", *SELECTION, "--json", code=1, M2V_MEDIA=few))["errors"])
    assert store.read("meme_images", "veggie")["problem"].null_count() == 228
