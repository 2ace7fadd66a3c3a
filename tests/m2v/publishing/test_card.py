"""What of a card is ours and what a maintainer's."""

import pytest
import yaml

from m2v.errors import HubError
from m2v.publishing.card import _merged, split_card

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
