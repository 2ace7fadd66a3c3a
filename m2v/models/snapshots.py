"""Models' files as they are downloaded from the Hugging Face Hub, and how to get those that are not here."""

from collections.abc import Sequence
from pathlib import Path

from m2v.entries.pretrained import Pretrained

# What a model needs, and nothing that could hold code or pickles.
PATTERNS = ["*.json", "*.jinja", "*.safetensors", "tokenizer.model", "merges.txt", "vocab.txt"]
TIMEOUT_S = 30


def missing(entry: Pretrained) -> str | None:
    """How to get the model's weights, where they are not on this machine; no network is asked."""
    if entry.built:
        return None
    assert entry.hub
    assert entry.revision
    try:
        snapshot(entry.hub, entry.revision, patterns=PATTERNS, is_asked=False)
    except NotHere:
        return how_to_get(entry)
    return None


def how_to_get(entry: Pretrained, reason: str | None = None, *, is_refused: bool = False) -> str:
    """Return that a model's weights are not here, why they were not downloaded if that was tried, and what to do."""
    gated = (
        f" It is gated: agree to its licence on https://huggingface.co/{entry.hub}, then run `hf auth login`."
        if entry.gated or is_refused
        else ""
    )
    tried = f" and could not be downloaded ({reason})" if reason else ""
    return (
        f"The weights of {entry.hub} at revision {str(entry.revision)[:12]} (about {entry.memory_gib:g} GB) are not on "
        f"this machine{tried}.{gated} With a network: `hf download {entry.hub} --revision {entry.revision}`. "
        "Without one: set HF_HOME to a cache that has them."
    )


class NotHere(Exception):
    """Why a snapshot cannot be had."""

    def __init__(self, reason: str, *, is_refused: bool = False) -> None:
        super().__init__(reason)
        self.reason, self.is_refused = reason, is_refused


def snapshot(hub: str, revision: str, *, patterns: Sequence[str], is_asked: bool = True) -> Path:
    """Return the folder of a repository's files as they are cached or downloaded.

    Args:
        is_asked: Whether the Hub may be asked for what is not cached.

    Raises:
        NotHere: They are neither.
    """
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import GatedRepoError, HfHubHTTPError, LocalEntryNotFoundError

    try:
        path = snapshot_download(
            hub,
            revision=revision,
            allow_patterns=list(patterns),
            etag_timeout=TIMEOUT_S,
            max_workers=2,
            local_files_only=not is_asked,
        )
        # Offline, a snapshot that was never downloaded whole is given as if it were.
        if not any(Path(path).glob("*.safetensors")):
            raise FileNotFoundError(f"{path} has no weights")
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
        raise NotHere(type(error).__name__, is_refused=isinstance(error, GatedRepoError)) from error
    return Path(path)
