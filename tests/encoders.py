"""A real BERT of a few thousand parameters in a package of its own, and the programs that use it."""

import hashlib
import os
import subprocess
import uuid
from pathlib import Path

from m2v.entries.pretrained import Encoder
from tests import warm

CHECKOUT = Path(__file__).parents[1]
WORDS = ["leek", "carrot", "pea", "onion", "kale", "plum", "fig", "sweet", "bitter", "fresh", "rotten", "green"]
WORDS += ["the", "is", "not", "and"]


def tiny(folder: Path, *, max_tokens: int = 16) -> Encoder:
    """An encoder whose package lies in ``folder``, which must be on the path of whoever loads it."""
    import torch
    import transformers

    package = f"tiny_encoder_{uuid.uuid4().hex[:8]}"
    path = folder / package / "model"
    path.mkdir(parents=True)
    # Importing it must not be needed.
    (path.parent / "__init__.py").write_text("raise ImportError('needs sentence-transformers')\n", encoding="utf-8")
    vocabulary = {word: number for number, word in enumerate(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS])}
    tokenizer = transformers.BertTokenizer(vocab=vocabulary)
    tokenizer.save_pretrained(path)
    torch.manual_seed(0)
    config = transformers.BertConfig(
        vocab_size=len(vocabulary),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=64,
    )
    transformers.BertModel(config).save_pretrained(path)
    return Encoder(
        name="tiny",
        title="A tiny BERT",
        kind="encoder",
        hub="nobody/tiny",
        revision="0" * 40,
        package=package,
        weights_sha256=hashlib.sha256((path / "model.safetensors").read_bytes()).hexdigest(),
        max_tokens=max_tokens,
        dimensions=32,
    )


def command(module: str, *, spec: Path, out: Path, n_processes: int | None = None) -> list[str]:
    """How a program is started, plainly or by torchrun."""
    launcher = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={n_processes}"] if n_processes else []
    return [warm.python(), *launcher, "-m", module, "--spec", str(spec), "--out", str(out)]


def environment(packages: Path) -> dict[str, str]:
    """The environment in which a program finds the tiny encoder and no Hub."""
    path = os.pathsep.join([str(CHECKOUT), str(packages)])
    return os.environ | {"PYTHONPATH": path, **warm.environment()}


def run(command: list[str], packages: Path) -> "subprocess.CompletedProcess[str]":
    """Run a program to its end; what it says is in the result."""
    return subprocess.run(command, env=environment(packages), capture_output=True, text=True, check=False)
