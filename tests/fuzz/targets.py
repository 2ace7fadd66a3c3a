"""What is fuzzed: each target takes what a file, a server or an address may be, and asserts how it may end."""

import contextlib
import functools
import io
import json
import math
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import polars as pl
import yaml
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from pydantic import TypeAdapter
from starlette.datastructures import Headers

from m2v import catalog
from m2v.annotation import answers
from m2v.catalog import reading
from m2v.catalog.check import check
from m2v.datasets import layouts, mediapaths
from m2v.entries.datasets import MemeDataset, Source, VideoDataset
from m2v.entries.features import RecordedFeatures
from m2v.entries.layouts import Layout
from m2v.entries.study import Study
from m2v.errors import M2VError
from m2v.features import recorded
from m2v.files import buckets, documents
from m2v.media import audio, frames, images
from m2v_resources.team import door
from tests import films
from tests.fuzz.mutations import mutated, parquet, plain, safetensors, shaken
from tests.m2v.annotation.test_answers import ITEMS, a_round
from tests.m2v.datasets.layout_cases import CASES, written


def fails_well(work: Callable[[], Any]) -> Any:
    """Do something that may end in an error of ours, which says something in few words."""
    try:
        return work()
    except M2VError as error:
        said = str(error)
        assert said.strip()
        assert len(said) < 20_000
        return None


def _content(content: Any) -> bytes:
    if isinstance(content, list):
        with tempfile.TemporaryDirectory() as folder:
            written(Path(folder), {"a.xlsx": content})
            return (Path(folder) / "a.xlsx").read_bytes()
    return content if isinstance(content, bytes) else content.encode()


@functools.cache
def _datasets() -> dict[str, dict[str, bytes]]:
    """The files of a dataset in each layout, as the tests of layouts have them."""
    return {name: {file: _content(content) for file, content in case[0].items()} for name, case in CASES.items()}


@given(st.data())
def datasets(data: st.DataObject) -> None:
    """A folder with a dataset, of which one file is damaged: it is read, or an error says what is wrong."""
    name = data.draw(st.sampled_from(sorted(_datasets())))
    files = dict(_datasets()[name])
    changed = data.draw(st.sampled_from(sorted(files)))
    files[changed] = data.draw(mutated([files[changed]]))
    with tempfile.TemporaryDirectory() as folder:
        root = written(Path(folder), files)
        report = fails_well(lambda: check(root, layout=name))
        if report:
            for dataset in report.datasets:
                assert dataset.rows["text"].null_count() == 0
                assert dataset.rows.height > 0
            json.dumps(report.summary(), default=str)


KINDS: Mapping[str, Any] = {
    "sources": TypeAdapter(Source),
    "memes": TypeAdapter(MemeDataset),
    "videos": TypeAdapter(VideoDataset),
    "models": catalog.MODEL,
    "studies": TypeAdapter(Study),
    "layouts": TypeAdapter(Layout),
}


@functools.cache
def _entries() -> list[tuple[str, bytes]]:
    return [(kind, path.read_bytes()) for kind in KINDS for path in sorted((catalog.PACKAGE / kind).glob("*.yaml"))]


@given(st.data())
def entries(data: st.DataObject) -> None:
    """An entry of a catalog that somebody sent: it is one, or one line says where it is not."""
    kind, honest = data.draw(st.sampled_from(_entries()))
    is_shaken = data.draw(st.booleans())
    content = (
        yaml.safe_dump(data.draw(shaken(yaml.safe_load(honest)))).encode("utf-8", "replace")
        if is_shaken
        else data.draw(mutated([honest]))
    )
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "leek.yaml"
        path.write_bytes(content)
        fails_well(lambda: reading.entry(path, KINDS[kind], Path(folder)))


@given(st.one_of(mutated([b'{"a": [1, {"b": null}]}', b"[[[[]]]]"]), plain.map(json.dumps).map(str.encode)))
def json_documents(content: bytes) -> None:
    """JSON from outside."""
    fails_well(lambda: documents.parsed_json(content, where="leek.json"))


VECTORS = [[0.5, 1.5], [2.0, 3.0]]
HEADER = {name: {"dtype": "F32", "shape": [2], "data_offsets": [8 * n, 8 * n + 8]} for n, name in enumerate("ab")}
FEATURES = {
    ".parquet": [parquet(item_id=["a", "b"], embedding=VECTORS), parquet(item_id=["a"], embedding=[None])],
    ".safetensors": [safetensors(HEADER, bytes(16))],
}


@given(st.sampled_from(sorted(FEATURES)), st.data())
def features(ending: str, data: st.DataObject) -> None:
    """Features that somebody published."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"leek{ending}"
        path.write_bytes(data.draw(mutated(FEATURES[ending])))
        about = RecordedFeatures(recorded=path.name, modality="text", extractor="leek")
        items = pl.DataFrame({"item_id": ["a", "b"], "split": ["train", "test"]}, schema_overrides={"split": SPLIT})
        rows = fails_well(lambda: recorded.read(about, path, items=items))
        assert rows is None or rows.height == 2


SPLIT = pl.Enum(["train", "validation", "test"])


@functools.cache
def _pictures() -> list[bytes]:
    image = Image.effect_noise((40, 30), 60).convert("RGB")
    kinds: list[tuple[str, dict[str, Any]]] = [
        ("PNG", {}),
        ("JPEG", {"progressive": True}),
        ("WEBP", {}),
        ("GIF", {}),
        ("TIFF", {}),
        ("BMP", {}),
    ]
    made = []
    for kind, settings in kinds:
        out = io.BytesIO()
        image.save(out, kind, **settings)
        made.append(out.getvalue())
    return made


@given(st.data())
def pictures(data: st.DataObject) -> None:
    """A picture of a stranger: RGB of a size that models take, or a reason."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "leek.png"
        path.write_bytes(data.draw(mutated(_pictures())))
        with contextlib.suppress(images.NoPicture):
            picture = images.read(path)
            assert picture.image.mode == "RGB"
            assert max(picture.image.size) <= images.SIDE


@functools.cache
def _films() -> list[tuple[str, bytes]]:
    with tempfile.TemporaryDirectory() as folder:
        made = [films.film(Path(folder) / f"leek{end}", n=8, with_sound=True) for end in (".mp4", ".mkv")]
        return [(path.suffix, path.read_bytes()) for path in made]


@given(st.data())
def movies(data: st.DataObject) -> None:
    """A film of a stranger: as many frames as asked for and sound that ends, or a reason."""
    ending, honest = data.draw(st.sampled_from(_films()))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"leek{ending}"
        path.write_bytes(data.draw(mutated([honest])))
        found = fails_well(lambda: frames.sample(path, 3, rule="even", side=64))
        assert found is None or len(found) == 3
        fails_well(lambda: frames.probe(path))
        fails_well(lambda: sum(len(piece) for piece in audio.pieces(path)))


ANNOTATION: dict[str, Any] = {
    "completed_by": {"id": 3},
    "updated_by": 3,
    "was_cancelled": False,
    "lead_time": 2.5,
    "result": [
        {"from_name": "label", "to_name": "text", "type": "choices", "value": {"choices": ["positive"]}},
        {"from_name": "confidence", "value": {"choices": ["2"]}},
        {"from_name": "comment", "value": {"text": ["a leek"]}},
    ],
}
TIMES = {"created_at": "2026-01-02T03:04:05.678901Z", "updated_at": "2026-01-02T03:05:00Z"}


@given(st.data())
def annotations(data: st.DataObject) -> None:
    """Whatever the server can store is an answer, a skip, or in quarantine with its reason; nothing is lost."""
    pulled = []
    for number in range(data.draw(st.integers(1, 3))):
        honest = data.draw(shaken(ANNOTATION))
        given_back = honest if isinstance(honest, dict) else {"result": honest}
        pulled.append(
            answers.raw_row(
                {**given_back, **TIMES, "id": number},
                data.draw(st.one_of(plain, st.just({"item_key": ITEMS["item_key"][0]}))),
                project_id=1,
                config_sha256=a_round().definition.config_sha256,
                pseudonym=lambda user: f"annotator-{user}",
            )
        )
    raw = pl.DataFrame(pulled, schema=answers.RAW_COLUMNS)
    judged = answers.judge(answers.merged(raw.clear(), raw), ITEMS, a_round())
    n_people = raw.filter(pl.col("annotator").is_not_null()).select("item_key", "annotator").n_unique()
    assert judged.quarantined["reason"].null_count() == 0
    assert judged.answers.height + judged.skips.height <= max(n_people, 0)
    kept = judged.answers.height + judged.skips.height + judged.quarantined.height
    # Of several by one person about one item the latest word counts, and stands for the others.
    assert kept >= 1
    judged.answers.write_parquet(io.BytesIO())


names = st.lists(
    st.sampled_from(["..", ".", "", "a", "img", "a.png", "\0", "\ud800", "%2e%2e", "/", "\\", "C:", "~", "é"]),
    max_size=8,
).flatmap(lambda parts: st.sampled_from(["/", "//", "\\", "/./"]).map(lambda mark: mark.join(parts)))


@given(names)
def media_names(name: str) -> None:
    """A picture's name out of a table leads to nothing outside of the media folder, on disk or in a bucket."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "media"
        written(root, {"img/a.png": b"x"})
        written(Path(folder), {"secret/a.png": b"x", "a.png": b"x"})
        with contextlib.suppress(images.NoPicture):
            assert images.below(root, name).resolve().is_relative_to(root.resolve())
        address = buckets.inside("s3://garden/media", name)
        assert address is None or address.startswith("s3://garden/media/")
        listing = mediapaths.Listing(root)
        rows = pl.DataFrame({"meme_id": ["m"], "image": [name.encode("utf-8", "replace").decode()], "label": [True]})
        dataset = MemeDataset(name="veggie", title="v", source="s", layout="mami", files=("a.csv",))
        found = mediapaths.resolved(rows, dataset, listing, item_id="meme_id", media="image")["image"][0]
        if found is not None:
            with contextlib.suppress(images.NoPicture):
                assert images.below(root, found).resolve().is_relative_to(root.resolve())


hosts = st.one_of(
    st.sampled_from(["127.0.0.1", "localhost", "[::1]", "LOCALHOST", "evil.example", "127.0.0.1.evil.example", ""]),
    st.text(alphabet="abc.:@/[]%127 0localhost", max_size=20),
)
SITES = [None, "same-origin", "cross-site", "none", "x"]
ports = st.sampled_from(["", ":3000", ":", ":x", ":3000:3000", "@evil.example", "#", "/", "\t"])


@given(hosts, ports, st.none() | hosts, st.sampled_from(["GET", "POST", "HEAD"]), st.sampled_from(SITES))
def door_headers(host: str, port: str, origin: str | None, method: str, site: str | None) -> None:
    """What passes the door names this machine, and comes from no other site's page."""
    headers = {"host": f"{host}{port}", "content-type": "application/json"}
    headers |= {"origin": f"http://{origin}{port}"} if origin is not None else {}
    headers |= {"sec-fetch-site": site} if site else {}
    raw = [(name.encode(), value.encode("latin-1", "replace")) for name, value in headers.items()]
    scope = {"type": "http", "method": method, "path": "/graphql", "headers": raw}
    if door.refusal(scope, door.LOOPBACK) is None:
        said = Headers(scope=scope)
        assert said["host"].lower().rpartition(":")[0] in door.LOOPBACK or said["host"].lower() in door.LOOPBACK
        assert origin is None or said["origin"].lower() == f"http://{said['host'].lower()}"
        assert site in {None, "same-origin", "none"}


@given(st.sampled_from(layouts.names()), st.data())
def cells(name: str, data: st.DataObject) -> None:
    """Cells that say several things."""
    from m2v.datasets import cells as parsers
    from m2v.datasets.cells import Malformed

    honest = ["['00:00:01', '00:00:05']", "[(0, 26)]", "[[1,0],[0,1]]", "a, b", "['a', 'b']", "[['1', '2.5']]"]
    text = data.draw(mutated([cell.encode() for cell in honest])).decode("utf-8", "replace")
    for parse in (parsers.listed, parsers.names):
        with contextlib.suppress(Malformed):
            parse(text)
    for is_clock in (True, False):
        with contextlib.suppress(Malformed):
            for span in parsers.spans(text, is_clock=is_clock):
                assert all(math.isfinite(time) for time in span)


TARGETS: dict[str, Callable[[], None]] = {
    target.__name__: target
    for target in (
        datasets,
        entries,
        json_documents,
        features,
        pictures,
        movies,
        annotations,
        media_names,
        door_headers,
        cells,
    )
}
