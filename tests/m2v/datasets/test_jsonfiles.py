import re
from pathlib import Path

import pytest

from m2v.datasets import jsonfiles
from m2v.errors import BadInput


def write(tmp_path: Path, content: bytes) -> Path:
    path = tmp_path / "bed.json"
    path.write_bytes(content)
    return path


def test_a_record_is_a_line(tmp_path: Path) -> None:
    # A line separator inside a text ends no line.
    path = write(tmp_path, '\ufeff{"id": 7, "text": "a\u2028b", "kind": []}\r\n\n{"id": "8", "text": ""}'.encode())
    rows = jsonfiles.records(path, keys=("id", "text"), optional=("label",))
    assert [(row.number, row.cells) for row in rows] == [
        (1, {"id": "7", "text": "a\u2028b"}),
        (3, {"id": "8", "text": ""}),
    ]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (b'{"id": leek}', "bed.json, row 2: is not valid JSON at character 7."),
        (b"[" * 100_000, "bed.json, row 2: is not valid JSON."),
        (b"[1]", "bed.json, row 2: is not a JSON object."),
        (b'{"id": 1}', "bed.json, row 2, column 'text': is missing."),
        (b'{"id": true, "text": "a"}', "bed.json, row 2, column 'id': must be a text, not bool."),
        (b'{"id": 1.5, "text": "a"}', "bed.json, row 2, column 'id': must be a text, not float."),
        (b'{"id": 1, "text": null}', "bed.json, row 2, column 'text': must be a text, not NoneType."),
        (b'{"id": 1, "text": ["a"]}', "bed.json, row 2, column 'text': must be a text, not list."),
        (b'{"id": 1, "text": "\\ud800"}', "bed.json, row 2, column 'text': holds a NUL or half of a surrogate pair"),
        (b'{"id": 1, "text": "\\u0000"}', "bed.json, row 2, column 'text': holds a NUL or half of a surrogate pair"),
        (b'{"id": 1, "text": "l\xe9ek"}', "bed.json: line 2 is not UTF-8 (byte 0xe9 at offset 46)."),
        (b'{"id": 1, "text": "%s"}' % (b"a" * 1_048_577), "row 2, column 'text': has more than 1,048,576 characters."),
        (b'{"id": 1, "text": "%s"}' % (b"a" * 9_000_000), "bed.json: line 2 has more than 8,388,608 bytes."),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_bad_record_is_named_by_its_place(tmp_path: Path, line: bytes, message: str) -> None:
    path = write(tmp_path, b'{"id": 1, "text": "leek"}\n' + line + b"\n")
    with pytest.raises(BadInput, match=re.escape(message)):
        jsonfiles.records(path, keys=("id", "text"))


def test_texts_are_joined_from_their_parts(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        b'{"v1": "plain", "v2": {"transcript": "c", "title": "a", "description": "b", "label": 3},'
        b' "v3": {"title": "a", "transcript": ""}, "v4": {"title": null}}',
    )
    assert jsonfiles.texts(path) == {"v1": "plain", "v2": "a\nb\nc", "v3": "a", "v4": ""}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"[]", "must be a JSON object with a text for each video."),
        (b"", "is not valid JSON at character 0."),
        (b'{"v1": 3}', "the text of 'v1' must be a text, not int."),
        (b'{"v1": {"title": ["a"]}}', "the text of 'v1' must be a text, not list."),
        (b'{"%s": 3}' % (b"v" * 50), f"the text of '{'v' * 20}' must be"),
    ],
)
def test_bad_texts_are_named_by_their_video(tmp_path: Path, content: bytes, message: str) -> None:
    with pytest.raises(BadInput, match=re.escape(message)):
        jsonfiles.texts(write(tmp_path, content))
