"""What of a card is ours and what a maintainer's."""

from pathlib import Path
from typing import Any

import polars as pl
import pytest
import yaml
from markdown_it import MarkdownIt

from m2v.errors import HubError, RefusedCard, RefusedName
from m2v.publishing import folder, hub_rules
from m2v.publishing.card import _merged, said, split_card
from m2v.publishing.release import DatasetRelease
from tests.m2v.publishing.parts import PUBLISHED_AT, part

OURS = {"license": "other", "tags": ["m2v"]}
BODY = "# Leeks\n\n## Use\n\nour text\n"


def test_what_we_do_not_write_stays_and_what_we_write_is_written_anew() -> None:
    there = (
        "---\nlicense: mit\ntags: [soup, m2v]\nthumbnail: leek.png\n---\n# Old\n\n## Use\n\nold text\n\n"
        "## Thanks\n\nTo the gardeners.\n"
    )
    card = _merged(OURS, BODY, there, sections=("Use",))
    keys, before, sections = split_card(card)
    assert keys == {"license": "other", "tags": ["m2v", "soup"], "thumbnail": "leek.png"}
    assert before.strip() == "# Leeks"
    assert {name: text.strip() for name, text in sections.items()} == {
        "Use": "our text",
        "Thanks": "To the gardeners.",
    }
    assert _merged(OURS, BODY, card, sections=("Use",)) == card, "a second time changes nothing"


def test_a_heading_in_a_block_of_code_begins_no_section() -> None:
    there = "## Thanks\n\n```\n## Use\n```\n\nafter\n"
    _, _, sections = split_card(_merged(OURS, BODY, there, sections=("Use",)))
    assert sections["Thanks"].strip() == "```\n## Use\n```\n\nafter"
    assert sections["Use"].strip() == "our text"


def test_a_card_without_keys_is_a_card() -> None:
    assert split_card("# Leeks\n") == ({}, "# Leeks\n", {})
    front = _merged(OURS, BODY, "# Leeks\n", sections=("Use",)).split("---")[1]
    assert yaml.safe_load(front) == OURS


@pytest.mark.parametrize("front", ["a: [", "- a list"])
def test_keys_that_cannot_be_read_are_an_error_that_says_where(front: str) -> None:
    with pytest.raises(HubError, match="Put it right there"):
        _merged(OURS, BODY, f"---\n{front}\n---\n", sections=())


KEYS = {
    "pretty_name": "Leeks",
    "license": "other",
    "license_name": "apache-2.0",
    "license_link": "https://example.org/licence",
    "language": ["en", "zh", "yue"],
    "language_bcp47": ["zh-Hans", "en-GB"],
    "task_categories": ["text-classification"],
    "annotations_creators": ["machine-generated", "other"],
    "source_datasets": ["extended|other-veggie"],
    "size_categories": ["n<1K"],
    "tags": ["m2v"],
    "configs": [{"config_name": "veggie_garden", "data_files": []}],
    "base_model": "me/leeks",
    "base_model_relation": "adapter",
    "thumbnail": None,  # a maintainer's key, of which nothing is known
}


def test_a_card_that_keeps_the_hubs_rules_passes() -> None:
    hub_rules.check_card(KEYS, where="leeks")


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("license", "my-own"),
        ("license_name", ""),
        ("license_name", "Apache 2.0"),
        ("license_link", "ask me"),
        ("language", ["zh-Hans"]),
        ("language", ["xx"]),
        ("language", ["english"]),
        ("language_bcp47", ["zh"]),
        ("task_categories", ["leek-classification"]),
        ("annotations_creators", ["gardeners"]),
        ("source_datasets", ["extended|野菜"]),
        ("size_categories", ["a few"]),
        ("tags", ["m2v", ""]),
        ("tags", [7]),
        ("configs", [{"config_name": "a/b"}]),
        ("base_model", "a/b/c"),
        ("base_model_relation", "beside"),
        ("pretty_name", ""),
    ],
)
def test_a_value_that_the_hub_does_not_take_is_named(key: str, value: Any) -> None:
    with pytest.raises(RefusedCard, match=rf"leeks: the Hub would refuse it: {key}"):
        hub_rules.check_card({**KEYS, key: value}, where="leeks")


@pytest.mark.parametrize(
    ("tags", "expected"),
    [
        (["en"], {"language": ["en"]}),
        (["zh-Hans", "zh", "EN"], {"language": ["en", "zh"], "language_bcp47": ["zh-Hans"]}),
        (["zh-Hans", "zh-Hant"], {"language": ["zh"], "language_bcp47": ["zh-Hans", "zh-Hant"]}),
    ],
)
def test_of_a_language_the_hub_is_told_the_code(tags: list[str], expected: dict[str, list[str]]) -> None:
    assert hub_rules.languages(tags) == expected


@pytest.mark.parametrize(
    ("name", "slug"),
    [
        ("Apache-2.0", "apache-2.0"),
        ("Meta's research licence (no redistribution)", "meta-s-research-licence-no-redistribution"),
        ("Größere Gärten", "grossere-garten"),
        ("木兰宽松许可证", "see-the-card"),
        ("木兰许可证 v2", "v2"),
    ],
)
def test_a_licences_name_in_any_script_becomes_one_that_the_hub_takes(name: str, slug: str) -> None:
    assert hub_rules.slug(name) == slug
    hub_rules.check_card({**KEYS, "license_name": hub_rules.slug(name)}, where="leeks")


@pytest.mark.parametrize("repo", ["leeks", "me/a--b", "me/" + "a" * 97, "me/野菜", "a/b/c", "me/leeks.git"])
def test_a_repositorys_name_that_the_hub_does_not_take_is_refused(repo: str) -> None:
    with pytest.raises(RefusedName, match=r"cannot name a repository|whose repository"):
        hub_rules.check_repository(repo)


def test_a_release_of_a_chinese_dataset_is_written_and_one_in_no_language_is_not(tmp_path: Path) -> None:
    rows = pl.DataFrame({"meme_id": ["1"], "label": [True]})

    def written(**said: Any) -> dict[str, Any]:
        release = DatasetRelease("me/leeks", (part("leeks", columns=("meme_id", "label"), **said),), (rows,), {})
        about = {"version": 1, "content_sha256": "0" * 64, "existing_card": None, "published_at": PUBLISHED_AT}
        place = folder.write_dataset(release, tmp_path / "v1", **about)
        return split_card((place / folder.CARD).read_text(encoding="utf-8"))[0]

    keys = written(languages=("zh-Hans",), licence="木兰宽松许可证")
    assert (keys["language"], keys["language_bcp47"]) == (["zh"], ["zh-Hans"])
    assert (keys["license_name"], keys["license_link"]) == (
        "see-the-card",
        "https://huggingface.co/datasets/me/leeks#licence-and-the-originals",
    )
    with pytest.raises(RefusedCard, match="language: 'klingon' is no code of ISO 639"):
        written(languages=("klingon",))
    with pytest.raises(RefusedCard, match="license_link: 'ask me'"):
        written(licence_link="ask me")


def test_words_of_a_strangers_catalog_are_words_in_a_card() -> None:
    shown = said("Leeks](http://evil.example) ![x](y)\n# <script>alert(1)</script> `code` | *b* _i_")
    rendered = MarkdownIt("commonmark").enable("table").render(f"- {shown}")
    assert "\n" not in shown
    for element in ("<a ", "<img", "<h1", "<script", "<code", "<em", "<strong"):
        assert element not in rendered
    assert "Leeks](http://evil.example) ![x](y) # &lt;script&gt;" in rendered
    assert said("Hateful Memes (2020), re-annotated") == "Hateful Memes (2020), re-annotated"
