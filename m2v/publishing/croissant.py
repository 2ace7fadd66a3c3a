"""``croissant.json``: the dataset in MLCommons' Croissant 1.1 with its annotation fields (RAI), checked offline.

The Hub makes a Croissant of its own from the parquet files; that one drops the RAI fields.
"""

import json
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import Any

import polars as pl

from m2v.entries.variants import variant
from m2v.errors import M2VError
from m2v.publishing.card import PROMPT, data_files
from m2v.publishing.release import DatasetRelease, Part

NAME = "croissant.json"

# How votes became labels, by the study's `vote`.
HOW = {
    "paper": "majority of original label, model's label and answers",
    "people": "majority of answers",
    "dawid_skene": "the more probable label by Dawid and Skene's model of original label, model's label and answers",
}


def write(
    release: DatasetRelease, folder: Path, *, version: int, published_at: datetime, files: dict[str, str]
) -> None:
    """Write ``croissant.json`` beside the parquet files.

    Args:
        files: sha256 of each of them by path.
    """
    import mlcroissant as mlc

    context = mlc.Context()
    distribution, record_sets = [], []
    for part, rows in zip(release.parts, release.rows, strict=True):
        for split, path in data_files(part.name, rows).items():
            name = f"{part.name}_{split}"
            distribution.append(
                mlc.FileObject(
                    ctx=context,
                    id=f"{name}.parquet",
                    name=f"{name}.parquet",
                    content_url=path,
                    encoding_formats=["application/x-parquet"],
                    sha256=files[path],
                )
            )
            fields = [_field(mlc, context, name, column, dtype) for column, dtype in rows.schema.items()]
            record_sets.append(mlc.RecordSet(ctx=context, id=name, name=name, fields=fields))
    metadata = mlc.Metadata(
        ctx=context,
        name=variant(release.repo.rpartition("/")[2]),
        description=_joined(release.parts, lambda part: f"{part.memes_title}, as {part.target_title} labels them."),
        url=f"https://huggingface.co/datasets/{release.repo}",
        license=[*dict.fromkeys(part.licence_link or part.licence for part in release.parts)],
        version=f"{version}.0.0",
        date_published=published_at,
        cite_as=f"{release.repo}, version v{version}",
        creators=[mlc.Organization(ctx=context, name=release.repo.partition("/")[0])],
        distribution=distribution,
        record_sets=record_sets,
        **_annotation(release),
    )
    (folder / NAME).write_text(json.dumps(metadata.to_json(), indent=1, default=str) + "\n", encoding="utf-8")


def validate(folder: Path) -> None:
    """Read ``croissant.json`` as a stranger would, and the first record of each of its record sets.

    Raises:
        M2VError: It is not valid Croissant, or a file is not the one that it names.
    """
    import mlcroissant as mlc

    try:
        dataset = mlc.Dataset(jsonld=folder / NAME)
        for record_set in dataset.metadata.record_sets:
            list(islice(dataset.records(record_set.id), 1))
    except (mlc.ValidationError, mlc.GenerationError, ValueError, KeyError) as error:
        raise M2VError(f"{folder / NAME} is not valid Croissant: {str(error).splitlines()[0]}") from error


def _annotation(release: DatasetRelease) -> dict[str, Any]:
    """Return the RAI fields on annotation, bias and use."""
    parts = release.parts
    return {
        "data_collection": "Memes of existing datasets, labelled again; the memes themselves are not collected here.",
        "data_annotation_protocol": [
            f"{part.name}: {part.model} labelled {part.n_memes} memes; people answered about {part.n_conflicts} whose "
            f"label differs from the original one and about {part.n_audited} drawn as an audit; {HOW[part.vote]}, "
            f"at least {part.min_answers} answers per conflict. "
            f"{part.positive}: {part.positive_definition} {part.negative}: {part.negative_definition}"
            for part in parts
        ],
        "data_annotation_platform": [_joined(parts, _platform)],
        "data_annotation_analysis": [
            f"{part.name}: {name}: {'not estimable' if value is None else f'{value:.3f}'}"
            for part in parts
            for name, value in part.coefficients.items()
        ],
        "annotations_per_item": _joined(
            parts,
            lambda part: f"{part.name}: {part.n_answers} answers about {part.n_conflicts + part.n_audited} memes.",
        ),
        "annotator_demographics": [
            _joined(parts, lambda part: f"{part.name}: {part.n_annotators} annotators; demographics are not recorded.")
        ],
        "machine_annotation_tools": [
            f"{part.model}{f' at {part.model_revision}' if part.model_revision else ''}" for part in parts
        ],
        "data_biases": [
            *(defect for part in parts for defect in part.defects),
            *(
                f"{part.name}, detectors that learned these labels: {part.worst_slice}"
                for part in parts
                if part.worst_slice
            ),
        ],
        "data_limitations": ["Labels are a vote under one definition, not truth about a single meme."],
        "data_use_cases": ["Research on detecting hateful and offensive videos and memes."],
        "data_social_impact": PROMPT,
        "personal_sensitive_information": [
            "The memes that the labels are about may show or attack people. No annotator is identified."
        ],
    }


def _platform(part: Part) -> str:
    modes = ", ".join(sorted({group.mode for group in part.answer_groups})) or "no people were asked"
    return f"{part.name}: whether annotators saw the model's label: {modes}."


def _field(mlc: Any, context: Any, name: str, column: str, dtype: pl.DataType) -> Any:
    types = {pl.Boolean(): mlc.DataType.BOOL, pl.Float64(): mlc.DataType.FLOAT, pl.String(): mlc.DataType.TEXT}
    return mlc.Field(
        ctx=context,
        id=f"{name}/{column}",
        name=column,
        data_types=[types.get(dtype, mlc.DataType.INTEGER)],
        source=mlc.Source(ctx=context, file_object=f"{name}.parquet", extract=mlc.Extract(ctx=context, column=column)),
    )


def _joined(parts: tuple[Part, ...], sentence: Any) -> str:
    return " ".join(sentence(part) for part in parts)
