"""Images in Label Studio: from a folder, and never from beside it."""

import base64
import contextlib
import struct
import zlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import boto3
import pytest
from moto.server import ThreadedMotoServer

from m2v.errors import LabelStudioError
from m2v_resources.annotators import pictures
from m2v_resources.annotators.rounds import RoundQuestion
from tests.conftest import running
from tests.m2v_resources.annotators.asking import leeks, plan, project_id, question, rounds, tasks
from tests.people import join


def png() -> bytes:
    """One grey pixel."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", 1, 1, 8, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0\x80")) + chunk(b"IEND", b"")
    )


PICTURE = "media/pictures/1/1 +#&%20.png"


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A home with a decoded picture, under a name that an address must quote."""
    home = tmp_path / "home"
    (home / PICTURE).parent.mkdir(parents=True)
    (home / PICTURE).write_bytes(png())
    (home / "secret.txt").write_text("not for annotators")
    (home / "media" / "secret.txt").write_text("not for annotators")
    return home


@pytest.fixture
def served(migrated: Path, home: Path) -> Iterator[Path]:
    with running(migrated, home) as server:
        yield server.home


def pictured(n: int = 1) -> RoundQuestion:
    """Memes of which the first one has a picture."""
    return replace(question(leeks(n)), pictures={"leek 0000": PICTURE})


def test_an_annotator_sees_the_image_and_nothing_beside_the_folder(served: Path) -> None:
    found = rounds(served, "pictures")
    (this,) = found.open(plan(), pictured())
    person = join(served)
    (task_id,) = tasks(found, this).values()
    task = person.http.get(f"/api/tasks/{task_id}").json()
    assert task["data"]["image"] == f"/m2v/media/{task_id}/image", "a file's name may tell what it is"
    shown = person.http.get(task["data"]["image"])
    assert (shown.status_code, shown.content) == (200, png())
    assert ".png" not in str(shown.headers)
    for other in ("secret.txt", "../secret.txt", "pictures/../secret.txt", "pictures/1/not_asked.png"):
        assert person.http.get(f"/data/local-files/?d={other}").status_code == 403
    assert person.http.get(f"/m2v/media/{task_id}/text").status_code == 404
    assert join(served).http.get(f"/m2v/media/{task_id}/image").status_code == 403, "nobody showed it to them"


def test_one_meme_without_a_picture_hides_nobody_elses(served: Path) -> None:
    found = rounds(served, "mixed")
    (this,) = found.open(plan(), pictured(2))
    person, where = join(served), tasks(found, this)
    shown = {meme: person.http.get(f"/api/tasks/{where[meme]}").json()["data"]["image"] for meme in where}
    assert shown == {"leek 0000": f"/m2v/media/{where['leek 0000']}/image", "leek 0001": pictures.NONE}


def test_a_round_whose_pictures_the_server_does_not_show_asks_nobody(
    served: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = rounds(served, "unserved")
    gone = replace(pictured(2), pictures={"leek 0000": "media/pictures/1/gone.png"})
    monkeypatch.setenv("LABEL_STUDIO_DOCUMENT_ROOT", "/not/on/this/machine")
    for asked in (gone, pictured(2)):
        with pytest.raises(LabelStudioError, match=r"does not show pictures .* so nobody is asked.*pictures: false"):
            found.open(plan(), asked)
        (this,) = found.ledger.rounds()
        assert not tasks(found, this)
    monkeypatch.delenv("LABEL_STUDIO_DOCUMENT_ROOT")
    with pytest.raises(LabelStudioError, match="nobody is asked"):
        found.open(plan(), gone)
    (served / "media/pictures/1/gone.png").write_bytes(png())
    found.open(plan(), gone)
    assert set(tasks(found, this)) == {"leek 0000", "leek 0001"}, "a rerun goes on where this one stopped"


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A bucket with one image, on an S3 server of the test's own."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    host, port = server.get_host_and_port()
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "leek")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "potato")
    monkeypatch.setenv("M2V_STORAGE", "s3://memes/fhm")
    client = boto3.client("s3", region_name="us-east-1")
    client.create_bucket(Bucket="memes")
    client.put_object(Bucket="memes", Key=f"fhm/{PICTURE}", Body=png(), ContentType="image/png")
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
        for place in ("s3://memes/tables/secret.parquet", f"s3://memes/fhm/{PICTURE}"):
            query = {"fileuri": base64.urlsafe_b64encode(place.encode()).decode()}
            project = project_id(found, this)
            for path in (f"tasks/{task_id}", f"projects/{project}"):
                for verb in ("resolve", "presign"):
                    assert person.http.get(f"/{path}/{verb}/", params=query).status_code == 403
        assert person.http.get(f"/api/storages/s3?project={project_id(found, this)}").status_code == 403
