"""Fine-tuning vision-language models, run as programs: both architectures, ZeRO-2 and 3, quantised, resumed."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from safetensors.numpy import load_file

from m2v.detectors.vlm_lora.entry import VlmLora
from m2v.entries.pretrained import Vlm
from tests import encoders, vlms
from tests.killing import kill_when

LOSSES = ["step", "epoch", "loss", "learning_rate"]


class Class:
    """A folder with examples, and the programs that learn from them."""

    def __init__(self, folder: Path, *, as_video: bool = False) -> None:
        self.folder = folder
        self.train = vlms.written(vlms.garden(folder / "pictures", 16, as_video=as_video), folder / "train.parquet")
        held_out = vlms.garden(folder / "pictures", 6, as_video=as_video, start=16)
        self.validation = vlms.written(held_out, folder / "validation.parquet")

    def command(self, name: str, *, base: Vlm, model: VlmLora, **changes: Any) -> list[str]:
        """Write a spec; give the command that trains it into a folder of that name."""
        content = {
            "model": model,
            "base": base,
            "prompt": vlms.PROMPT,
            "label": vlms.LABEL,
            "train": self.train,
            "validation": self.validation,
            "home": self.folder,
            "seed": 3,
            "content": {"made_from": "vegetables"},
            **changes,
        }
        path = vlms.spec(self.folder / f"{name}.json", **content)
        n_processes = model.n_processes if model.n_processes > 1 else None
        return encoders.command("m2v.detectors.program", spec=path, out=self.folder / name, n_processes=n_processes)

    def trained(self, name: str, *, base: Vlm, model: VlmLora, **changes: Any) -> Path:
        """Train into a folder of that name."""
        result = encoders.run(self.command(name, base=base, model=model, **changes), self.folder)
        assert result.returncode == 0, result.stderr[-3000:]
        return self.folder / name

    def asked(self, name: str, *, base: Vlm, adapter: Path | None, items: Path | None = None) -> pl.DataFrame:
        """What the model says of the validation split, or of other items."""
        nothing = vlms.written([], self.folder / "nothing.parquet")
        content = {
            "model": base,
            "prompt": vlms.PROMPT,
            "label": vlms.LABEL,
            "items": items or self.validation,
            "demonstrations": nothing,
            "mode": "score",
            "adapter": adapter,
            "home": self.folder,
        }
        path = vlms.spec(self.folder / f"{name}.json", **content)
        result = encoders.run(
            encoders.command("m2v.prediction.predict", spec=path, out=self.folder / name), self.folder
        )
        assert result.returncode == 0, result.stderr[-3000:]
        return pl.read_parquet(self.folder / name / "answers.parquet")


@pytest.fixture(scope="module")
def memes(tmp_path_factory: pytest.TempPathFactory) -> Class:
    return Class(tmp_path_factory.mktemp("memes"))


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Class:
    return Class(tmp_path_factory.mktemp("videos"), as_video=True)


@pytest.fixture(scope="module")
def zero_2(memes: Class) -> Path:
    """An Mllama trained by two processes, a step in two parts each."""
    model = vlms.lora(n_processes=2, micro_batch_size=1)
    return memes.trained("zero_2", base=vlms.entry("mllama"), model=model)


def losses(folder: Path) -> pl.DataFrame:
    return pl.read_parquet(folder / "history.parquet").select(LOSSES)


def manifest(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "manifest.json").read_text(encoding="utf-8"))


def test_an_mllama_fits_sixteen_pictures(memes: Class, zero_2: Path) -> None:
    loss = losses(zero_2)["loss"].to_numpy()
    assert len(loss) == 24
    assert loss[-1] < loss[0] / 3
    answers = memes.asked("fitted", base=vlms.entry("mllama"), adapter=zero_2, items=memes.train)
    labels = pl.read_parquet(memes.train)["label"]
    assert ((answers["probability"] > manifest(zero_2)["threshold"]) == labels).all()


def test_a_llava_fits_sixteen_videos(videos: Class) -> None:
    base = vlms.entry("llava_next_video")
    # The last epoch, not the first that ranks the validation split right.
    folder = videos.trained("llava", base=base, model=vlms.lora(fidelity="paper", quantisation="none"))
    loss = losses(folder)["loss"].to_numpy()
    assert loss[-1] < loss[0] / 3
    answers = videos.asked("fitted", base=base, adapter=folder, items=videos.train)
    assert ((answers["probability"] > 0.5) == pl.read_parquet(videos.train)["label"]).all()


@pytest.mark.parametrize("architecture", ["smolvlm", "qwen3_vl"])
def test_what_is_newer_than_the_paper_fits_sixteen_pictures(memes: Class, architecture: str) -> None:
    base = vlms.entry(architecture)
    folder = memes.trained(architecture, base=base, model=vlms.lora(fidelity="paper", quantisation="none"))
    answers = memes.asked(f"{architecture}_fitted", base=base, adapter=folder, items=memes.train)
    assert ((answers["probability"] > 0.5) == pl.read_parquet(memes.train)["label"]).all()
    names = load_file(folder / "adapter_model.safetensors")
    assert names
    assert all("language_model" in name or "text_model" in name for name in names)


def test_a_reloaded_adapter_gives_the_probabilities_that_it_was_selected_by(memes: Class, zero_2: Path) -> None:
    found = memes.asked("reloaded", base=vlms.entry("mllama"), adapter=zero_2)
    expected = pl.read_parquet(zero_2 / "validation.parquet")
    np.testing.assert_allclose(found["probability"], expected["probability"], atol=1e-5)
    base = memes.asked("base", base=vlms.entry("mllama"), adapter=None)
    assert (base["probability"] - found["probability"]).abs().max() > 0.05


def test_one_process_learns_what_two_learn(memes: Class, zero_2: Path) -> None:
    alone = memes.trained("alone", base=vlms.entry("mllama"), model=vlms.lora())
    np.testing.assert_allclose(losses(alone).to_numpy(), losses(zero_2).to_numpy(), atol=2e-3)


def test_zero_3_learns_the_same(memes: Class, zero_2: Path) -> None:
    model = vlms.lora(n_processes=2, micro_batch_size=1, zero_stage=3, offload=True)
    three = memes.trained("zero_3", base=vlms.entry("mllama"), model=model)
    np.testing.assert_allclose(losses(three).to_numpy(), losses(zero_2).to_numpy(), atol=1e-3)
    found, expected = (load_file(folder / "adapter_model.safetensors") for folder in (three, zero_2))
    assert found.keys() == expected.keys()


@pytest.mark.parametrize("quantisation", ["4bit", "8bit"])
def test_a_quantised_model_learns_and_is_evaluated_as_it_was_trained(memes: Class, quantisation: str) -> None:
    # Blocks of 64 weights are quantised together, so the layers must be that wide.
    base = vlms.entry("mllama", width=64)
    folder = memes.trained(quantisation, base=base, model=vlms.lora(quantisation=quantisation, epochs=4))
    loss = losses(folder)["loss"].to_numpy()
    assert loss[-1] < loss[0] / 2
    expected = pl.read_parquet(folder / "validation.parquet")["probability"]
    quantised = base.model_copy(update={"quantisation": quantisation})
    same = memes.asked(f"{quantisation}_same", base=quantised, adapter=folder)["probability"]
    other = memes.asked(f"{quantisation}_other", base=base, adapter=folder)["probability"]
    assert (same - expected).abs().max() < (other - expected).abs().max()
    np.testing.assert_allclose(same, expected, atol=5e-3)


def test_a_model_in_bfloat16_learns(memes: Class) -> None:
    folder = memes.trained("bf16", base=vlms.entry("mllama", dtype="bfloat16"), model=vlms.lora(epochs=4))
    loss = losses(folder)["loss"].to_numpy()
    assert loss[-1] < loss[0] / 2


def test_activations_computed_twice_change_nothing(memes: Class) -> None:
    base = vlms.entry("mllama")
    plain = memes.trained("plain", base=base, model=vlms.lora(epochs=1))
    twice = memes.trained("twice", base=base, model=vlms.lora(epochs=1, checkpoints_gradients=True))
    np.testing.assert_allclose(losses(plain).to_numpy(), losses(twice).to_numpy(), atol=1e-5)


@pytest.mark.parametrize(("scope", "is_wider"), [("language", False), ("all", True)])
def test_the_scope_decides_whether_the_vision_tower_is_trained(memes: Class, scope: str, is_wider: bool) -> None:
    model = vlms.lora(epochs=1, scope=scope, projections=("q_proj", "v_proj"))
    folder = memes.trained(f"scope_{scope}", base=vlms.entry("mllama"), model=model)
    saved = load_file(folder / "adapter_model.safetensors")
    # Its second half begins as zeros, so what is not zero was trained.
    trained = {name for name, weights in saved.items() if "lora_B" in name and weights.any()}
    assert any("vision" in name for name in trained) == is_wider
    assert any("cross_attn" in name for name in trained)


@pytest.mark.usefixtures("cold")
def test_the_papers_way_keeps_the_last_epoch_and_no_threshold(memes: Class) -> None:
    model = vlms.lora(epochs=3, fidelity="paper", quantisation="none")
    folder = memes.trained("paper", base=vlms.entry("mllama"), model=model)
    assert manifest(folder)["selection"]["epoch"] == 3
    assert manifest(folder)["threshold"] == 0.5


def test_a_killed_training_goes_on_with_the_same_losses(memes: Class) -> None:
    model = vlms.lora(micro_batch_size=2)
    whole = memes.trained("whole", base=vlms.entry("mllama"), model=model, save_steps=3)
    command = memes.command("killed", base=vlms.entry("mllama"), model=model, save_steps=3)
    out = memes.folder / "killed"
    kill_when(
        lambda: any(out.glob("state/checkpoint-*/complete")),
        command,
        encoders.environment(memes.folder),
        made=(out,),
    )
    result = encoders.run(command, memes.folder)
    assert result.returncode == 0, result.stderr[-3000:]
    np.testing.assert_allclose(losses(out).to_numpy(), losses(whole).to_numpy(), atol=1e-6)


def test_a_checkpoint_says_what_it_was_made_of(zero_2: Path) -> None:
    found = manifest(zero_2)
    assert found["base"]["built"] == "mllama"
    assert found["n_train"] == 16
    assert found["n_processes"] == 2
    assert found["content"] == {"made_from": "vegetables"}
    assert set(found["versions"]) == {"torch", "transformers", "peft", "deepspeed"}
    card = (zero_2 / "card.md").read_text(encoding="utf-8")
    assert "16 examples" in card
    assert "made_from: `vegetables`" in card
    size = sum(path.stat().st_size for path in zero_2.iterdir())
    assert size < 2e6
    assert not (zero_2 / "state").exists()


def test_a_damaged_checkpoint_or_another_models_is_an_error(memes: Class, zero_2: Path) -> None:
    copy = memes.folder / "copy"
    shutil.copytree(zero_2, copy)
    (copy / "adapter_model.safetensors").write_bytes(b"half")
    for name, base, adapter, said in (
        ("mistyped", vlms.entry("mllama"), memes.folder / "nowhere", "is no checkpoint"),
        ("damaged", vlms.entry("mllama"), copy, "is missing or damaged"),
        ("other", vlms.entry("mllama", seed=5, name="other"), zero_2, "was trained on tiny-mllama"),
    ):
        content = {
            "model": base,
            "prompt": vlms.PROMPT,
            "label": vlms.LABEL,
            "items": memes.validation,
            "demonstrations": vlms.written([], memes.folder / "nothing.parquet"),
            "mode": "score",
            "adapter": adapter,
            "home": memes.folder,
        }
        path = vlms.spec(memes.folder / f"{name}.json", **content)
        command = encoders.command("m2v.prediction.predict", spec=path, out=memes.folder / name)
        result = encoders.run(command, memes.folder)
        assert result.returncode != 0
        assert said in result.stderr
