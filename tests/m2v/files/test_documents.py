"""YAML and JSON that were made to hurt: one line each, with the file and the place, before they cost anything."""

import json
from pathlib import Path

import pytest

from m2v import catalog
from m2v.errors import BadInput, M2VError
from m2v.files import documents

# Twelve levels of nine: 9 ** 12 keys, in half a kilobyte.
MERGES = "l0: &l0 {" + ", ".join(f"k{i}: 1" for i in range(9)) + "}\n"
MERGES += "".join(f"l{i}: &l{i} {{<<: [{', '.join([f'*l{i - 1}'] * 9)}], x{i}: 1}}\n" for i in range(1, 12))
LAUGHS = "l0: &l0 [ha]\n" + "".join(f"l{i}: &l{i} [{', '.join([f'*l{i - 1}'] * 9)}]\n" for i in range(1, 12))

BAD = {
    "merges": (MERGES, r"at line 5, column \d+: it stands for more than 50,000 values"),
    "laughs": (LAUGHS, r"at line 6, column \d+: it stands for more than 50,000 values"),
    "itself": ("a: &a [*a]", "at line 1, column 8: it stands for more than 50,000 values, or for itself"),
    "digits": ("title: garden\nseed: " + "1" * 5000, r"at line 2, column 7: is read as a number or a date"),
    "date": ("when: 2024-13-45", r"at line 1, column 7: is read as a number or a date, and is none; put it in quotes"),
    "lists": ("a: " + "[" * 200 + "]" * 200, r"at line 1, column 23: lists and mappings nest more than 20 deep"),
    "many lists": ("[" * 100_000, "nest more than 20 deep"),
    "mappings": ("a: " + "{a: " * 200 + "}" * 200, "nest more than 20 deep"),
    "unhashable": ("? [leek]\n: 1", r"at line 1, column 3: found unhashable key"),
    "tag": ("a: !!python/object/apply:os.getcwd []", r"could not determine a constructor for the tag"),
    "alias": ("a: *leek", r"at line 1, column 4: found undefined alias"),
    "size": ("a: " + "leek " * 60_000, "has more than 262,144 bytes"),
    "twice": ("leek: 1\nkale: 2\nleek: 3", r"at line 3, column 1: repeats 'leek'; one of them would be lost"),
    "NUL": ("a: \0", "cannot be read as YAML"),
}


@pytest.mark.parametrize(("text", "message"), BAD.values(), ids=BAD)
def test_yaml_that_hurts_is_one_line(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "study.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(M2VError, match=message) as error:
        catalog.open_study(str(path))
    assert str(error.value).startswith(f"{path}: ")
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 400


def test_honest_anchors_and_merges_are_read(tmp_path: Path) -> None:
    path = tmp_path / "study.yaml"
    path.write_text("a: &a {leek: 1}\nb: {<<: *a, kale: 2}\nc: [*a, *a]", encoding="utf-8")
    assert documents.read_yaml(path)["b"] == {"leek": 1, "kale": 2}


def test_a_name_of_300_letters_is_no_study() -> None:
    for name in ("x" * 300, "x" * 300 + ".yaml"):
        with pytest.raises(M2VError) as error:
            catalog.open_study(name)
        assert "\n" not in str(error.value)


@pytest.mark.parametrize("text", ["[" * 100_000, '{"a": ' * 100_000, "1" * 5000, "{", "\0"])
def test_json_that_hurts_is_one_line(tmp_path: Path, text: str) -> None:
    path = tmp_path / "release.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(BadInput, match="is not valid JSON") as error:
        documents.read_json(path)
    assert str(error.value).startswith(f"{path}: ")


def test_json_that_is_no_utf8_and_a_file_that_is_not_there_are_named(tmp_path: Path) -> None:
    path = tmp_path / "release.json"
    with pytest.raises(BadInput, match=r"release\.json: cannot be read as JSON: No such file"):
        documents.read_json(path)
    path.write_bytes(b'"\xff"')
    with pytest.raises(BadInput, match="byte 2 is not UTF-8"):
        documents.read_json(path)
    path.write_text(json.dumps({"leek": 1}), encoding="utf-8")
    assert documents.read_json(path) == {"leek": 1}
