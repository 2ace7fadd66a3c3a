"""Images in Label Studio: from a folder, and never from beside it."""

import base64
import contextlib
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest
from moto.server import ThreadedMotoServer

from m2v import catalog
from m2v.errors import LabelStudioError
from m2v_resources.annotators import pictures
from m2v_resources.annotators.annotators import with_places
from m2v_resources.annotators.pictures import media_url
from m2v_resources.annotators.rounds import RoundQuestion
from tests import tables
from tests.conftest import running
from tests.m2v_resources.annotators.asking import NO_GOLD, leeks, plan, project_id, question, rounds, tasks
from tests.people import join


def png() -> bytes:
    """One grey pixel."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", 1, 1, 8, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0\x80")) + chunk(b"IEND", b"")
    )


@pytest.fixture
def media(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "files" / "media"
    (folder / "veggie").mkdir(parents=True)
    (folder / "veggie" / "1.png").write_bytes(png())
    (folder.parent / "secret.txt").write_text("not for annotators")
    monkeypatch.setenv("LABEL_STUDIO_MEDIA", str(folder))
    return folder


@pytest.fixture
def served(migrated: Path, media: Path, tmp_path: Path) -> Iterator[Path]:
    with running(migrated, tmp_path / "home", media=str(media)) as server:
        yield server.home


def pictured() -> RoundQuestion:
    asked = question(leeks(1))
    memes = tables.memes({"meme_id": "leek 0000", "text": "a leek", "image": "veggie/1.png"})
    return RoundQuestion(asked.conflicts, memes, NO_GOLD, "g")


def test_an_annotator_sees_the_image_and_nothing_beside_the_folder(served: Path) -> None:
    found = rounds(served, "pictures")
    (this,) = found.open(plan(), pictured())
    person = join(served)
    (task_id,) = tasks(found, this).values()
    task = person.http.get(f"/api/tasks/{task_id}").json()
    assert task["data"]["image"] == f"/m2v/media/{task_id}/image", "a file's name may tell what it is"
    shown = person.http.get(task["data"]["image"])
    assert (shown.status_code, shown.content) == (200, png())
    assert "1.png" not in str(shown.headers)
    for other in ("secret.txt", "media/../secret.txt", "media/veggie/1.png", "media/not_asked.png"):
        assert person.http.get(f"/data/local-files/?d={other}").status_code == 403
    assert person.http.get(f"/m2v/media/{task_id}/text").status_code == 404
    assert join(served).http.get(f"/m2v/media/{task_id}/image").status_code == 403, "nobody showed it to them"


def test_one_meme_without_a_picture_hides_nobody_elses(served: Path) -> None:
    asked = question(leeks(2))
    memes = tables.memes(
        {"meme_id": "leek 0000", "text": "a leek", "image": "veggie/1.png"},
        {"meme_id": "leek 0001", "text": "words alone", "image": None},
    )
    found = rounds(served, "mixed")
    (this,) = found.open(plan(), RoundQuestion(asked.conflicts, memes, NO_GOLD, "g"))
    person, where = join(served), tasks(found, this)
    shown = {meme: person.http.get(f"/api/tasks/{where[meme]}").json()["data"]["image"] for meme in where}
    assert shown == {"leek 0000": f"/m2v/media/{where['leek 0000']}/image", "leek 0001": pictures.NONE}


@pytest.mark.parametrize("image", ["../secret.txt", "/etc/passwd", "veggie/link.png"])
def test_an_image_outside_the_media_folder_is_never_sent(media: Path, image: str) -> None:
    (media / "veggie" / "link.png").symlink_to(media.parent / "secret.txt")
    with pytest.raises(LabelStudioError, match="leads out of the media folder"):
        media_url(image)


def test_images_may_lie_in_a_bucket(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LABEL_STUDIO_MEDIA", "s3://memes/fhm/")
    assert media_url("img/1.png") == "s3://memes/fhm/img/1.png"
    with pytest.raises(LabelStudioError, match="leads out of s3://memes/fhm/"):
        media_url("../other/1.png")


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A bucket with one image, on an S3 server of the test's own."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    host, port = server.get_host_and_port()
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "leek")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "potato")
    monkeypatch.setenv("LABEL_STUDIO_MEDIA", "s3://memes/fhm")
    client = boto3.client("s3", region_name="us-east-1")
    client.create_bucket(Bucket="memes")
    client.put_object(Bucket="memes", Key="fhm/veggie/1.png", Body=png(), ContentType="image/png")
    yield "memes"
    server.stop()


@pytest.mark.usefixtures("bucket")
def test_an_annotator_sees_an_image_from_a_bucket(migrated: Path, tmp_path: Path) -> None:
    home = tmp_path / "home"
    with running(migrated, home):
        found = rounds(home, "bucket")
        (this,) = found.open(plan(), pictured())
        person = join(home)
        (task_id,) = tasks(found, this).values()
        address = person.http.get(f"/api/tasks/{task_id}").json()["data"]["image"]
        assert address == f"/m2v/media/{task_id}/image"
        with contextlib.closing(person.session()) as browser:
            shown = browser.get(address)
        assert (shown.status_code, shown.content, shown.history) == (200, png(), [])
        for place in ("s3://memes/tables/secret.parquet", "s3://memes/fhm/veggie/1.png"):
            query = {"fileuri": base64.urlsafe_b64encode(place.encode()).decode()}
            project = project_id(found, this)
            for path in (f"tasks/{task_id}", f"projects/{project}"):
                for verb in ("resolve", "presign"):
                    assert person.http.get(f"/{path}/{verb}/", params=query).status_code == 403
        assert person.http.get(f"/api/storages/s3?project={project_id(found, this)}").status_code == 403


def test_pictures_are_found_where_the_papers_tables_put_them(media: Path) -> None:
    (media / "img").mkdir()
    (media / "img" / "17.png").write_bytes(b"")
    rows = tables.memes({"meme_id": "17", "image": "../FHM/img/17.png"}, {"meme_id": "18", "image": "../../secret.txt"})
    shown = with_places(rows, catalog.load().memes["fhm"])
    assert shown["image"].to_list() == ["img/17.png", "secret.txt"]
    assert media_url(shown["image"][0]).endswith("img/17.png")


@pytest.mark.parametrize("image", ["a\0b", "../" * 3000 + "a"])
def test_a_name_that_no_file_can_have_is_an_error_of_ours(media: Path, image: str) -> None:
    with pytest.raises(LabelStudioError):
        media_url(image)
