"""Where an encoder's weights come from: a package, or the Hub's cache."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from m2v import catalog
from m2v.entries.pretrained import Encoder
from m2v.models import weights
from tests import encoders


@pytest.fixture
def encoder(tmp_path: Path) -> Encoder:
    return encoders.tiny(tmp_path)


def folder(encoder: Encoder, packages: Path) -> "subprocess.CompletedProcess[str]":
    """Print the folder, in a process that has its own Hub cache and no network."""
    script = (
        "import sys; from m2v.models import weights; from m2v.entries.pretrained import Encoder; "
        "print(weights.folder(Encoder.model_validate_json(sys.argv[1])))"
    )
    return subprocess.run(
        [sys.executable, "-c", script, encoder.model_dump_json()],
        env=encoders.environment(packages) | {"HF_HOME": str(packages / "hub")},
        capture_output=True,
        text=True,
        check=False,
    )


def snapshot(packages: Path, encoder: Encoder) -> Path:
    return packages / "hub" / "hub" / "models--nobody--tiny" / "snapshots" / encoder.revision


def test_a_package_is_found_without_importing_it(tmp_path: Path, encoder: Encoder) -> None:
    result = folder(encoder, tmp_path)
    assert result.stdout.strip() == str(tmp_path / str(encoder.package) / "model"), result.stderr


def test_what_the_hub_gave_before_is_found_offline(tmp_path: Path, encoder: Encoder) -> None:
    shutil.copytree(tmp_path / str(encoder.package) / "model", snapshot(tmp_path, encoder))
    result = folder(encoder.model_copy(update={"package": None}), tmp_path)
    assert result.stdout.strip() == str(snapshot(tmp_path, encoder)), result.stderr


def test_a_snapshot_that_was_never_downloaded_whole_is_missing(tmp_path: Path, encoder: Encoder) -> None:
    snapshot(tmp_path, encoder).mkdir(parents=True)
    shutil.copy(tmp_path / str(encoder.package) / "model" / "config.json", snapshot(tmp_path, encoder))
    result = folder(encoder.model_copy(update={"package": None}), tmp_path)
    last = result.stderr.strip().splitlines()[-1]
    assert last.startswith("m2v.errors.MissingSource: The weights of nobody/tiny at revision 000000000000")
    assert "Offline: no package has it" in last


def test_the_real_encoder_is_the_pinned_one() -> None:
    encoder = catalog.load().models["minilm"]
    assert isinstance(encoder, Encoder)
    assert (weights.folder(encoder) / "tokenizer.json").is_file()
