"""The YAML that makes a study of datasets in somebody's folder, to be written beside them."""

from collections.abc import Sequence
from typing import Any

from m2v.catalog import copy_study
from m2v.datasets.folders import Found
from m2v.entries.datasets import MemeDataset, Source, VideoDataset
from m2v.entries.study import Study

# Where a folder holds no videos: a target that comes with M2V and needs no files.
STAND_IN = "garden"
LICENCE = "as the dataset's authors state it; write it here before you publish anything"
PROBE = "minilm-probe"


def documents(layout: str, *, datasets: Sequence[tuple[MemeDataset | VideoDataset, Found]]) -> dict[str, str]:
    """Return source, datasets and study as YAML, by its path below the folder.

    The study trains a probe on texts by every strategy for which the folder holds what it needs.

    Args:
        found: The folder's datasets, and which of its files each is.
    """
    targets = [dataset.name for dataset, _ in datasets if isinstance(dataset, VideoDataset)] or [STAND_IN]
    memes, videos, training = [], [], []
    for dataset, files in datasets:
        if isinstance(dataset, VideoDataset):
            videos.append(dataset)
            continue
        recorded = {target: _recorded(name) for target, name in files.aligned.items()}
        memes.append(MemeDataset.model_validate({**dataset.model_dump(), "recorded": recorded}))
        if recorded:
            training.append(_training("rm_ft", "vid_rm_ft", memes=[dataset.name], targets=list(recorded)))
    study = Study.model_validate(
        {
            "name": f"my-{layout}",
            "title": "; ".join(dataset.title for dataset, _ in datasets),
            "memes": [dataset.name for dataset in memes],
            "targets": targets,
            "training": [_training("no_ft", *(["om_ft"] if memes else []), "vid_ft"), *training],
        }
    )
    demonstrations = [dataset.demonstrations for dataset in videos if dataset.demonstrations]
    used = [name for _, files in datasets for name in (*files.files, *files.aligned.values())]
    entry = source(layout, files=list(dict.fromkeys([*used, *demonstrations])))
    written = {f"sources/{entry.name}.yaml": entry, "study.yaml": study}
    written |= {f"memes/{dataset.name}.yaml": dataset for dataset in memes}
    own = [files.own_layout for _, files in datasets if files.own_layout]
    written |= {f"layouts/{layout.name}.yaml": layout for layout in own}
    written |= {f"videos/{dataset.name}.yaml": dataset for dataset in videos}
    return {path: copy_study.text(entry) for path, entry in sorted(written.items())}


def source(layout: str, *, files: Sequence[str]) -> Source:
    """Return the entry of files that lie beside the study, with no checksums: they are the user's own."""
    return Source.model_validate(
        {
            "name": f"my-{layout}",
            "title": f"My files in layout {layout}",
            "licence": {"name": LICENCE},
            "folders": ["."],
            "files": {name: {} for name in files},
        }
    )


def _training(*strategies: str, **given: list[str]) -> dict[str, Any]:
    return {"model": PROBE, "strategies": strategies, **given}


def _recorded(name: str) -> dict[str, Any]:
    labels = {"predictions": "model_prediction", "answers": "human_annotation", "votes": "majority_voting"}
    return {"model": "recorded", **{part: {"file": name, "label": column} for part, column in labels.items()}}
