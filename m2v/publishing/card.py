"""Cards of datasets and adapters: filled from tables, merged with what a maintainer added on the Hub."""

import html
import re
from collections.abc import Mapping, Sequence
from importlib.resources import files
from typing import Any

import yaml

from m2v.errors import HubError
from m2v.evaluation import sections
from m2v.publishing import hub_rules
from m2v.publishing.adapter import AdapterRelease
from m2v.publishing.release import DatasetRelease

FRONT = re.compile(r"\A---\s*\n(.*?\n)?---\s*(?:\n|\Z)", re.DOTALL)
HUB = "https://huggingface.co"
FENCE = re.compile(r"^(```|~~~)")
# Keys that a card of ours may have; everything else in a card is a maintainer's. ``tags`` are joined.
OURS = frozenset(
  (
    "pretty_name", "license", "license_name", "license_link", "language", "language_bcp47", "task_categories",
    "annotations_creators", "language_creators", "source_datasets", "multilinguality", "size_categories", "configs",
    "dataset_info", "extra_gated_prompt", "extra_gated_fields", "extra_gated_button_content", "m2v", "base_model",
    "base_model_relation", "library_name", "pipeline_tag", "datasets", "model-index",
  )
)  # fmt: skip
SECTIONS = {
    "dataset": (
        "Use", "What a label means", "How labels were made", "Annotators", "Agreement", "Known defects",
        "Labels", "Columns", "Intended and refused uses", "Licence and the originals", "Provenance",
    ),
    "adapter": (
        "Use", "What it predicts", "Scores", "Operating points", "Calibration", "Where it fails", "Training data",
        "Recipe", "Known defects", "Intended and refused uses",
        "Licence", "Provenance",
    ),
}  # fmt: skip
PROMPT = (
    "These labels are about memes that attack people, and are for research and for protecting people from such memes. "
    "By asking for access you agree not to use them to make, target or spread hate, not to try to find out who "
    "annotated or who is shown, and to keep the licence of the original memes, which are not in this repository."
)
SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"))


def dataset_card(release: DatasetRelease, *, version: int, content_sha256: str, existing: str | None) -> str:
    """Return the README of a dataset release.

    Args:
        existing: The card that is there; keys and sections in it that are not ours stay.

    Raises:
        HubError: The card that is there cannot be read.
    """
    parts = release.parts
    n_rows = sum(rows.height for rows in release.rows)
    title = f"{_titles(parts, 'memes_title')}: labels as of {_titles(parts, 'target_title')}"
    links = {part.licence_link for part in parts if part.licence_link}
    human = ["other"] if any(part.n_answers for part in parts) else []
    ours = {
        "pretty_name": title,
        "license": "other",
        "license_name": hub_rules.slug(_titles(parts, "licence")),
        "license_link": links.pop() if len(links) == 1 else f"{HUB}/datasets/{release.repo}#licence-and-the-originals",
        **hub_rules.languages(language for part in parts for language in part.languages),
        "task_categories": ["text-classification", "image-classification"],
        "annotations_creators": ["machine-generated", *human],
        "language_creators": ["found"],
        "source_datasets": sorted({f"extended|other-{part.memes}" for part in parts}),
        "multilinguality": "monolingual" if len({part.languages for part in parts}) == 1 else "multilingual",
        "size_categories": [next((name for limit, name in SIZES if n_rows < limit), "n>1M")],
        "tags": ["not-for-all-audiences", "hate-speech", "memes", "m2v"],
        "configs": [
            {
                "config_name": part.name,
                "data_files": [{"split": split, "path": path} for split, path in data_files(part.name, rows).items()],
            }
            for part, rows in zip(parts, release.rows, strict=True)
        ],
        **_gate(release.gated),
        "m2v": {"version": f"v{version}", "content_sha256": content_sha256},
    }
    columns = list(dict.fromkeys(column for part in parts for column in part.columns))
    content = {
        "release": release, "parts": parts, "columns": columns, "tag": f"v{version}", "content_sha256": content_sha256,
        "title": title, "deciders": sorted({by for part in parts for by in part.decided_by}),
    }  # fmt: skip
    return _merged(ours, _rendered("dataset_card.md", content), existing, sections=SECTIONS["dataset"])


def adapter_card(release: AdapterRelease, *, version: int, content_sha256: str, existing: str | None) -> str:
    """Return the README of an adapter release; the same rules hold."""
    ours = {
        "license": "other",
        "license_name": hub_rules.slug(release.licence),
        **({"license_link": release.licence_link} if release.licence_link else {}),
        "base_model": release.base_model,
        "base_model_relation": "adapter",
        "library_name": "peft",
        "pipeline_tag": "text-classification",
        **hub_rules.languages(release.languages),
        **({"datasets": list(release.datasets)} if release.datasets else {}),
        "tags": ["not-for-all-audiences", "hate-speech", "lora", "m2v"],
        "model-index": _model_index(release),
        **_gate(release.gated),
        "m2v": {"version": f"v{version}", "content_sha256": content_sha256},
    }
    content = {
        "release": release, "tag": f"v{version}", "content_sha256": content_sha256, "goals": sections.GOALS,
        "promises": sections.PROMISES,
    }  # fmt: skip
    return _merged(ours, _rendered("adapter_card.md", content), existing, sections=SECTIONS["adapter"])


def data_files(config: str, rows: Any) -> dict[str, str]:
    """Return the path of each split's parquet file; without splits everything is ``train``, as on the Hub."""
    splits = rows["split"].unique().sort().to_list() if "split" in rows.columns else ["train"]
    return {split: f"data/{config}/{split}.parquet" for split in splits}


def split_card(card: str) -> tuple[dict[str, Any], str, dict[str, str]]:
    """Return a card's keys, what stands before its first section, and its sections by heading, in order.

    Raises:
        HubError: Its YAML cannot be read.
    """
    front = FRONT.match(card)
    try:
        keys = yaml.safe_load(front[1] or "") if front else {}
    except yaml.YAMLError as error:
        raise HubError(
            f"The card on the Hub has YAML that cannot be read: {str(error).splitlines()[0]}. Put it right there."
        ) from error
    if not isinstance(keys or {}, dict):
        raise HubError("The card on the Hub has YAML that is no mapping of keys to values. Put it right there.")
    heading, fenced, sections = "", False, {"": ""}
    for line in (card[front.end() :] if front else card).splitlines(keepends=True):
        fenced ^= bool(FENCE.match(line))
        if line.startswith("## ") and not fenced:
            heading = line.removeprefix("## ").strip()
            sections.setdefault(heading, "")
            continue
        sections[heading] += line
    return keys or {}, sections.pop(""), sections


def _merged(ours: Mapping[str, Any], body: str, existing: str | None, *, sections: Sequence[str]) -> str:
    theirs, _, their_sections = split_card(existing or "")
    added = {key: value for key, value in theirs.items() if key not in OURS and key not in ours}
    tags = theirs.get("tags") or []
    more = [tag for tag in (tags if isinstance(tags, list) else [tags]) if tag not in ours["tags"]]
    keys = {**ours, "tags": [*ours["tags"], *more], **added}
    kept = [f"## {name}\n{text.rstrip()}\n" for name, text in their_sections.items() if name not in sections]
    front = yaml.safe_dump(keys, sort_keys=False, allow_unicode=True, width=1000)
    return "\n".join([f"---\n{front}---\n{body.rstrip()}\n", *kept])


def _rendered(template: str, content: Mapping[str, Any]) -> str:
    from jinja2 import Environment, StrictUndefined

    text = files("m2v.publishing").joinpath(template).read_text(encoding="utf-8")
    # Markdown, not HTML: titles and words out of a catalog, which may be a stranger's, go through `said`.
    environment = Environment(  # noqa: S701 # nosec B701
        undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True
    )
    environment.filters |= {"said": said, "share": _share}
    return environment.from_string(text).render(**content)


def said(text: object) -> str:
    """Return a text as it is shown in Markdown: one line, in which nothing is markup, a link or a picture."""
    line = html.escape(" ".join(str(text).split()), quote=False)
    return re.sub(r"([\\`*_\[\]#|~!])", r"\\\1", line)


def _share(row: Mapping[str, Any], name: str) -> str:
    """Return a figure of a table with its 95 % interval, or that there was nothing to count."""
    if row[name] is None:
        return "none counted"
    return f"{row[name]:.3f} ({row[f'{name}_low']:.3f} to {row[f'{name}_high']:.3f})"


def _gate(gated: str | bool) -> dict[str, Any]:
    if not gated:
        return {}
    return {
        "extra_gated_prompt": PROMPT,
        "extra_gated_fields": {"Affiliation": "text", "Purpose": "text", "I agree": "checkbox"},
    }


def _model_index(release: AdapterRelease) -> list[dict[str, Any]]:
    metrics = [
        {"type": name, "name": f"{name} (95 % interval {low:.3f} to {high:.3f})", "value": round(value, 6)}
        for name, (value, low, high) in release.scores.items()
    ]
    dataset = {"name": release.target_title, "type": release.target, "split": "test"}
    results = [{"task": {"type": "text-classification"}, "dataset": dataset, "metrics": metrics}]
    return [{"name": release.run, "results": results}]


def _titles(parts: Sequence[Any], attribute: str) -> str:
    return " and ".join(dict.fromkeys(getattr(part, attribute) for part in parts))
