"""What the catalog says of features: what of an item is looked at, and features that somebody else computed."""

from typing import Any, ClassVar, Literal, TypeAlias

from m2v.entries.base import Entry, EntryPart, FileName, Name

# What of an item an extractor looks at. A rationale is what a model wrote about it.
Modality: TypeAlias = Literal["text", "picture", "frames", "sound", "rationale"]


class RecordedFeatures(EntryPart):
    """Features of a dataset's items that were computed elsewhere and published as a file.

    Attributes:
        recorded: Parquet with a column of ids and one of vectors, or safetensors with a vector for each id.
        item_id, vector: Columns of a parquet file.
        modality: What of an item was looked at.
        extractor: What looked at it, in words.
        source: Whose file it is; absent: the dataset's own.
    """

    recorded: FileName
    item_id: str = "item_id"
    vector: str = "embedding"
    modality: Modality
    extractor: str
    source: Name | None = None


class Extractor(Entry):
    """What makes vectors of items' parts.

    Attributes:
        kind: Of each kind of extractor a literal, by which its YAML and its program are known.
        gpus: What a replica takes on a cluster; a fraction lets several share one.
    """

    # Whether datasets bring its vectors along, so that none are computed.
    is_recorded: ClassVar[bool] = False

    kind: Any
    gpus: float = 0

    @property
    def identity(self) -> dict[str, Any]:
        """What decides a vector, in plain data."""
        return {"kind": self.kind}

    @property
    def loaded_gib(self) -> float:
        """About what its weights take on an accelerator."""
        return 0.0

    def modalities(self, *, of_videos: bool) -> tuple[Modality, ...]:
        """Return what of memes or videos it looks at; nothing where it extracts none."""
        return ()


class RecordedExtractor(Extractor):
    """An extractor whose features datasets bring along, by the name that they have in each dataset's ``features``."""

    is_recorded: ClassVar[bool] = True

    title: str = "recorded elsewhere"
    kind: Literal["recorded"] = "recorded"


class SoundStatistics(Extractor):
    """Mean and standard deviation over time of log-mel energies and of the cepstrum (``m2v/media/audio.py``)."""

    kind: Literal["sound"]

    def modalities(self, *, of_videos: bool) -> tuple[Modality, ...]:
        """Return what it looks at: videos' sound."""
        return ("sound",) if of_videos else ()
