"""Tables of the stage publishing."""

import polars as pl

from m2v.schemas.table import Table

RELEASED_LABELS = Table(
    name="released_labels",
    row="a meme's final label as it is published; a licence's allow-list says which of these columns may leave",
    columns={
        "meme_id": pl.String,
        "split": pl.String,
        "label": pl.Boolean,
        "decided_by": pl.String,
        "n_votes": pl.UInt32,
        "n_humans": pl.UInt32,
        "margin": pl.Int32,
        "probability": pl.Float64,
        "predicted": pl.Boolean,
        "original": pl.Boolean,
        "text_sha256": pl.String,
        "text": pl.String,
    },
    key=("meme_id",),
    nullable=frozenset({"label", "probability", "predicted"}),
    hidden=frozenset({"text"}),
)

DATASET_RELEASES = Table(
    name="dataset_releases",
    row="a version of an alignment that was published to the Hub",
    columns={
        "kind": pl.String,
        "name": pl.String,
        "repo": pl.String,
        "version": pl.UInt32,
        "tag": pl.String,
        "commit": pl.String,
        "content_sha256": pl.String,
        "inputs": pl.String,  # JSON: version and rows hash of each table read, by table/variant
        "files": pl.String,  # JSON: sha256 by path
        "published_at": pl.Datetime("us", "UTC"),
    },
    key=("repo", "version"),
)

ADAPTER_RELEASES = Table(
    name="adapter_releases",
    row="a version of a run's adapter that was published to the Hub",
    columns=DATASET_RELEASES.columns,
    key=DATASET_RELEASES.key,
)
