"""The Hub's own rules for cards and names, held offline: what breaks one is said before anything is uploaded."""

import re
import unicodedata
from collections.abc import Iterable, Iterator
from functools import cache
from importlib.resources import files
from typing import Any

import yaml

from m2v.errors import RefusedCard, RefusedName

# Keys whose value is one of a list, and keys whose value has a form; each may be a list of such values.
LISTED = (
    "license", "task_categories", "pipeline_tag", "annotations_creators", "language_creators", "multilinguality",
    "size_categories", "base_model_relation",
)  # fmt: skip
FORMED = {
    "license_name": "license_name", "license_link": "license_link", "tags": "tag", "language_bcp47": "language_bcp47",
    "source_datasets": "source_datasets",
}  # fmt: skip
REPOSITORIES = ("base_model", "datasets")
# Where nothing of a licence's name can stand in ``license_name``.
NAMELESS = "see-the-card"


def check_repository(repo: str) -> None:
    """Raise where the Hub would not take a repository's name.

    Raises:
        RefusedName: Says why.
    """
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id

    try:
        validate_repo_id(repo)
    except HFValidationError as error:
        raise RefusedName(f"{repo!r} cannot name a repository: {error} Write `--to user/name`.") from None
    if "/" not in repo:
        raise RefusedName(f"{repo!r} does not say whose repository it is. Write `--to user/name`.")


def check_card(keys: dict[str, Any], *, where: str) -> None:
    """Raise where the Hub would not take a card.

    Args:
        keys: The card's YAML.
        where: The card, for the message.

    Raises:
        RefusedCard: Names every key and value that breaks a rule.
    """
    problems = list(_problems(keys))
    if problems:
        raise RefusedCard(
            f"{where}: the Hub would refuse it: {'; '.join(problems)}. Put it right in the catalog's YAML, or, where a "
            "maintainer wrote it, in the card on the Hub. Nothing was uploaded."
        )


def languages(tags: Iterable[str]) -> dict[str, list[str]]:
    """Return ``language``, and where a tag says more than that, ``language_bcp47``.

    Args:
        tags: BCP 47; the Hub takes only their first part as a language.
    """
    known = sorted(set(tags))
    longer = [tag for tag in known if "-" in tag]
    keys = {"language": sorted({tag.partition("-")[0].lower() for tag in known})}
    return {**keys, "language_bcp47": longer} if longer else keys


def slug(name: str) -> str:
    """Return a licence's name as ``license_name`` takes it: lower case, ASCII; the card says the whole name."""
    plain = unicodedata.normalize("NFKD", name.casefold()).encode("ascii", "ignore").decode()
    return re.sub(r"[^a-z0-9.]+", "-", plain).strip("-.") or NAMELESS


def _problems(keys: dict[str, Any]) -> Iterator[str]:
    rules = _rules()
    for key, value in keys.items():
        values = value if isinstance(value, list) else [value]
        if key in LISTED:
            known = rules[key].split()
            yield from (f"{key}: {one!r} is none of {', '.join(known)}" for one in values if one not in known)
        elif key in FORMED:
            form = rules[FORMED[key]]
            yield from (f"{key}: {one!r} has not the form {form}" for one in values if not _has_form(form, one))
        elif key == "language":
            yield from (f"{key}: {one!r} is no code of ISO 639" for one in values if not _is_language(one))
        elif key in REPOSITORIES:
            yield from (f"{key}: {one!r} cannot name a repository" for one in values if not _is_repository(one))
        elif key == "configs":
            names = [config.get("config_name") for config in values if isinstance(config, dict)]
            form = rules["config_name"]
            yield from (f"{key}: {one!r} has not the form {form}" for one in names if not _has_form(form, one))
        elif key == "pretty_name" and not value:
            yield f"{key} is empty"


def _is_language(value: Any) -> bool:
    rules = _rules()
    return value in rules["language"].split() or _has_form(rules["language_iso_639_3"], value)


def _is_repository(value: Any) -> bool:
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id

    try:
        validate_repo_id(value)
    except HFValidationError:
        return False
    return True


def _has_form(form: str, value: Any) -> bool:
    return isinstance(value, str) and re.fullmatch(form, value) is not None


@cache
def _rules() -> dict[str, str]:
    return yaml.safe_load(files("m2v.publishing").joinpath("hub_rules.yaml").read_text(encoding="utf-8"))
