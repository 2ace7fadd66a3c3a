"""A study of one's own, begun as a copy of one that exists."""

import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import yaml

from m2v.catalog.plan import StudyPlan
from m2v.entries.base import Entry
from m2v.entries.datasets import MemeDataset, Source, VideoDataset
from m2v.errors import M2VError
from m2v.files.storage import Place

DatasetT = TypeVar("DatasetT", MemeDataset, VideoDataset)


def copy_study(
    plan: StudyPlan, *, folder: Path, files: Mapping[str, Mapping[str, Path]], media: Mapping[str, Place]
) -> Path:
    """Write the study, its datasets' and sources' entries and their files into a new folder; give the study's YAML.

    The copied sources look in ``tables/<source>`` beside the study and pin no checksums, because the files are now the
    user's to edit.

    Args:
        files: Per source, the path of each of its files.
        media: Folder of pictures or videos by dataset, where a model of the study looks at them. Generated ones are
            copied, others are named where they are.

    Raises:
        M2VError: The folder exists and is not empty.
    """
    if folder.exists() and any(folder.iterdir()):
        raise M2VError(f"{folder} is not empty. Name a folder that does not exist yet.")
    _write(
        folder / "memes", [_shown(dataset, media.get(dataset.name), plan=plan, folder=folder) for dataset in plan.memes]
    )
    _write(
        folder / "videos",
        [_shown(dataset, media.get(dataset.name), plan=plan, folder=folder) for dataset in plan.targets],
    )
    for source in plan.sources:
        tables = folder / "tables" / source.name
        tables.mkdir(parents=True)
        for name, path in files[source.name].items():
            (tables / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, tables / name)
    datasets = [about for dataset in (*plan.memes, *plan.targets) for about in (dataset, dataset.annotated)]
    _write(folder / "layouts", [dataset.own_layout for dataset in datasets if dataset.own_layout])
    _write(folder / "sources", (_own(source) for source in plan.sources))
    _write(folder / "suites", [asked.suite for asked in plan.suites])
    _write(folder, [plan.study], name="study")
    return folder / "study.yaml"


def text(entry: Entry) -> str:
    """Return the YAML of an entry, without what is so by default."""
    data = entry.model_dump(mode="json", exclude_defaults=True)
    return yaml.safe_dump(data, sort_keys=False, allow_unicode=True, width=120)


def _shown(dataset: DatasetT, media: Place | None, *, plan: StudyPlan, folder: Path) -> DatasetT:
    if not isinstance(media, Path):
        # Media in object storage are where M2V_MEDIA says, for the copy too.
        return dataset
    source = plan.source(dataset)
    if not source.generator:
        return dataset.model_copy(update={"media": str(media.resolve())})
    if not (folder / "media" / source.name).exists():
        shutil.copytree(media, folder / "media" / source.name)
    return dataset.model_copy(update={"media": f"media/{source.name}"})


def _own(source: Source) -> Source:
    own: dict[str, Any] = {
        "environment": None,
        "folders": (f"tables/{source.name}",),
        "download": None,
        "generator": None,
        "files": {name: file.model_copy(update={"sha256": None, "path": None}) for name, file in source.files.items()},
    }
    return source.model_copy(update=own)


def _write(folder: Path, entries: Iterable[Entry], *, name: str | None = None) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for entry in entries:
        (folder / f"{name or entry.name}.yaml").write_text(text(entry), encoding="utf-8")
