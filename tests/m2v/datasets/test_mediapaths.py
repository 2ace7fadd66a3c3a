"""Media are found where the tables say, and where their distributions put them; too few of them are an error."""

import csv
import re
import unicodedata
from pathlib import Path

import polars as pl
import pytest

from m2v.datasets import mediapaths
from m2v.datasets.mediapaths import Listing
from m2v.entries.datasets import Dataset
from m2v.errors import Unusable
from m2v.media import images


def dataset(layout: str) -> Dataset:
    return Dataset(name="bed", title="Bed", source="bed", layout=layout, files=("bed.csv",))


def laid(root: Path, names: list[str]) -> Path:
    """A media folder with links to one small file: thousands of them cost little."""
    root.mkdir(parents=True, exist_ok=True)
    one = root.parent / "one"
    one.write_bytes(b"a leek")
    for folder in {(root / name).parent for name in names}:
        folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        (root / name).hardlink_to(one)
    return root


def found(layout: str, root: Path, *items: tuple[str, bool, str | None]) -> list[str | None]:
    rows = pl.DataFrame(items, schema={"id": pl.String, "label": pl.Boolean, "image": pl.String}, orient="row")
    return mediapaths.resolved(rows, dataset(layout), Listing(root), item_id="id", media="image")["image"].to_list()


@pytest.mark.parametrize(
    ("layout", "lies", "item"),
    [
        ("published", "FHM/img/42.png", ("42", True, "../FHM/img/42.png")),
        ("published", "img/42.png", ("42", True, "../../FHM/img/42.png")),  # the folder as downloaded, without a root
        ("published", "HateMM/hate_videos/v1.mp4", ("v1", True, "../HateMM/hate_videos/v1/video.mp4")),
        ("published", "hate_videos/v1.mp4", ("v1", True, "../HateMM/hate_videos/v1/video.mp4")),
        ("published", "FHM/img/42.png", ("42", True, "..\\FHM\\img\\42.png")),
        ("hateful-memes", "img/00042.png", ("42", True, "img/00042.png")),
        ("hateful-memes", "FHM/img/00042.png", ("42", True, "img/00042.png")),
        ("mami", "training/7.jpg", ("7", True, "7.jpg")),
        ("mami", "MAMI/images/7.jpg", ("7", True, "7.jpg")),
        ("hatemm", "hate_videos/hate_video_1.mp4", ("hate_video_1", True, "hate_video_1.mp4")),
        ("hatemm", "non_hate_videos/non_hate_video_1.webm", ("non_hate_video_1", False, "non_hate_video_1.mp4")),
        ("hatemm", "HateMM/hate_videos/hate_video_1.mp4", ("hate_video_1", True, "hate_video_1.mp4")),
        ("multihateclip", "dQw4/video.mp4", ("dQw4", False, "dQw4.mp4")),
        ("multihateclip", "MultiHateClip/dQw4/video.mkv", ("dQw4", False, "dQw4.mp4")),
        ("multihateclip", "dQw4.mp4", ("dQw4", False, "dQw4.mp4")),
    ],
)
def test_media_are_found_where_distributions_put_them(
    tmp_path: Path, layout: str, lies: str, item: tuple[str, bool, str | None]
) -> None:
    assert found(layout, laid(tmp_path / "media", [lies, "other/7.png"]), item) == [lies]


def test_a_name_is_found_however_its_accents_are_written(tmp_path: Path) -> None:
    composed, apart = (unicodedata.normalize(form, "Grünkohl.png") for form in ("NFC", "NFD"))
    assert composed != apart
    assert found("hateful-memes", laid(tmp_path / "a", [apart]), ("1", True, composed)) == [apart]
    assert found("hateful-memes", laid(tmp_path / "b", [composed]), ("1", True, apart)) == [composed]


def test_no_name_leads_out_of_the_media_folder(tmp_path: Path) -> None:
    media = laid(tmp_path / "media", ["a/1.png"])
    (tmp_path / "secret.png").write_bytes(b"a pea")
    (media / "link").symlink_to(tmp_path)
    names = ["../secret.png", "a/../../secret.png", "/etc/passwd", "link/secret.png", f"{tmp_path}/secret.png"]
    for layout in ("published", "hateful-memes"):
        for name in found(layout, media, *(("secret", True, each) for each in names)):
            assert name
            with pytest.raises(images.NoPicture):
                images.below(media, name)


def test_a_loose_path_must_name_its_item(tmp_path: Path) -> None:
    media = laid(tmp_path / "media", ["v2/video.mp4", "video.mp4"])
    assert found("published", media, ("v1", True, "../bed/v1/video.mp4")) == ["bed/v1/video.mp4"]  # as it is stated


def test_a_linked_folder_below_the_media_is_followed_and_an_absent_name_stays_absent(tmp_path: Path) -> None:
    media = laid(tmp_path / "media", ["disk/1.png"])
    (media / "FHM").symlink_to(media / "disk")
    assert found("published", media, ("1", True, "FHM/1.png"), ("2", True, None)) == ["FHM/1.png", None]


@pytest.mark.parametrize(
    ("name", "column", "n"),
    [
        ("fhm_aligned_with_hatemm.csv", "image", 3000),
        ("mami_aligned_with_mhc.csv", "image", 3000),
        ("hatemm.csv", "video", 1079),
        ("mhc.csv", "video", 1001),
    ],
)
def test_the_papers_media_laid_out_as_its_tables_say_are_found_whole(
    tmp_path: Path, published: dict[str, Path], name: str, column: str, n: int
) -> None:
    with published[name].open(encoding="utf-8", newline="") as file:
        rows = {row["id"]: row[column] for row in csv.DictReader(file)}
    wanted = {name.removeprefix("../") for name in rows.values()}
    media = laid(tmp_path / "media", sorted(wanted))
    names = found("published", media, *((item, True, path) for item, path in rows.items()))
    assert (set(names), len(wanted)) == (wanted, n if column == "image" else len(rows))


def test_too_few_usable_media_are_an_error_that_says_where_and_what(tmp_path: Path) -> None:
    listing = Listing(laid(tmp_path / "media", ["bed/leek.png"]))

    def check(n_lost: int, *, share: float) -> None:
        column = pl.Series("problem", ["missing"] * n_lost + [None] * (20 - n_lost), dtype=pl.String)
        mediapaths.check_usable(
            column.to_frame(), title="Bed", what="pictures", names=["bed/pea.png"], listing=listing, share=share
        )

    check(1, share=0.95)
    check(20, share=0)
    with pytest.raises(Unusable) as error:
        check(2, share=0.95)
    said = str(error.value)
    for part in (
        "2 of 20 pictures of 'Bed' cannot be used (2 missing); the study wants at least 95% usable.",
        f"Looked below {tmp_path / 'media'}: 1 files lie there: 'bed/leek.png'",
        "'bed/leek.png'; not there is, for example, 'bed/pea.png'.",
        "Point M2V_MEDIA",
        "`usable_media_share`",
    ):
        assert re.search(re.escape(part), said), said
