"""Items as a vision-language model is shown them, and the program that asks it about them."""

from pathlib import Path
from typing import Any, Literal, cast

import dagster as dg
import polars as pl

from m2v import schemas
from m2v.catalog.plan import Run
from m2v.entries.datasets import LabelDefinition
from m2v.entries.pretrained import Vlm
from m2v.entries.prompts import Prompt, Server
from m2v.entries.variants import variant
from m2v.files import storage
from m2v.prediction import demonstrations
from m2v_assets.describe import fingerprint
from m2v_resources.launching.programs import Programs
from m2v_resources.store.tables import Tables


def ask(
    context: dg.AssetExecutionContext,
    programs: Programs,
    *,
    name: str,
    model: Vlm,
    prompt: Prompt,
    label: LabelDefinition,
    items: pl.DataFrame,
    examples: pl.DataFrame,
    mode: Literal["score", "generate"] = "score",
    server: Server | None = None,
    adapter: Path | None = None,
) -> tuple[pl.DataFrame, dict[str, Any]]:
    """Answers by ``item_id``, and the program's manifest.

    Args:
        name: Of the program's folder.
        items, examples: As the program reads them, but with paths relative to the home.
        adapter: Folder of a checkpoint.
    """
    home = Path(programs.home)
    settings = {
        "model": model.model_dump(mode="json"),
        "prompt": prompt.model_dump(mode="json"),
        "label": label.model_dump(mode="json"),
        "mode": mode,
        "server": server.model_dump(mode="json") if server else None,
    }
    # Wherever the home is, the same question has the same folder.
    trained = str(adapter.relative_to(home)) if adapter else None
    out = programs.folder("predict", name, fingerprint(settings, trained, plain(items), plain(examples)))
    manifest = programs.run(
        context,
        module="m2v.prediction.predict",
        spec={
            **settings,
            "adapter": str(adapter) if adapter else None,
            "home": str(home),
            "items": str(programs.input(at_home(items, home), out / "items.parquet")),
            "demonstrations": str(programs.input(at_home(examples, home), out / "demonstrations.parquet")),
        },
        out=out,
        gpus=model.gpus,
        spreads=True,
    )
    return pl.read_parquet(out / "answers.parquet"), manifest


def demonstrated(
    tables: Tables, given: str | None, target: str, *, videos: pl.DataFrame, model: Vlm, pictures: bool = True
) -> pl.DataFrame:
    """Return the demonstrations of a variant, in prompt order; none of none.

    Args:
        videos: Rows of ``videos`` in the split that is scored.

    Raises:
        InvalidRows: One of them is in the test split.
    """
    if not given:
        return pl.DataFrame(schema=demonstrations.DEMONSTRATIONS)
    rows = tables.read(schemas.DEMONSTRATIONS, given).sort("position")
    demonstrations.refuse_tested(rows, videos)
    features = tables.read(schemas.VIDEO_FEATURES, target) if pictures else None
    shown = demonstrations.of_videos(rows, features, model=model)
    return shown.drop("item_id").with_columns(label=rows["label"])


def shown(tables: Tables, rows: pl.DataFrame, run: Run) -> pl.DataFrame:
    """Return items with what the run's model is shown of them: memes' pictures, then videos' frames and transcripts.

    Args:
        rows: Columns ``dataset``, ``item_id``, ``split``, ``text``, ``text_sha256``, ``label``.

    Returns:
        The same columns, and ``pictures``, ``pictures_sha256``, ``media``, ``description``.
    """
    # Only models that are asked are shown anything.
    model = cast(Vlm, run.base)
    columns = [*rows.columns, "pictures", "pictures_sha256", "media", "description"]
    parts = []
    memes = run.training_set.memes
    if memes:
        ours = rows.filter(dataset=memes.name)
        images = tables.read(schemas.MEME_IMAGES, variant(memes.name))
        parts.append((ours, demonstrations.of_memes(ours.rename({"item_id": "meme_id"}), images)))
    ours = rows.filter(dataset=run.target.name)
    features = tables.read(schemas.VIDEO_FEATURES, variant(run.target.name))
    parts.append((ours, demonstrations.of_videos(ours.rename({"item_id": "video_id"}), features, model=model)))
    return pl.concat(
        [pl.concat([ours.drop("text"), seen.drop("item_id")], how="horizontal") for ours, seen in parts]
    ).select(columns)


def at_home(rows: pl.DataFrame, home: Path) -> pl.DataFrame:
    """Rows whose paths of pictures, which tables keep relative to the home, are absolute, or addresses of objects."""
    root = storage.absolute(storage.place(home, "")).rstrip("/")
    return rows.with_columns(pictures=pl.col("pictures").list.eval(pl.format(f"{root}/{{}}", pl.element())))


def plain(rows: pl.DataFrame) -> list[list]:
    """Rows as plain data without paths: a picture is known by its hash, wherever the home is."""
    return [list(row) for row in rows.drop("pictures").rows()]
