"""The sample study as it comes: media, labels of a tiny vision-language model, LoRA of two, scores and report."""

import json
import shutil
from pathlib import Path

import polars as pl
import pytest

from m2v import schemas
from m2v.catalog import open_study
from m2v.files import storage
from m2v_assets import requirements
from m2v_assets.definitions import assets
from m2v_resources.store.versions import TableStore, open_store
from tests.buckets import Server
from tests.m2v_assets.conftest import Run, as_json, command, sample_home

LLAVA = "tiny_llava_video_lora_vid_rm_ft_veggie_garden_s0"
MLLAMA = "tiny_mllama_lora_rm_ft_veggie_garden_s0"
UNTRAINED = "tiny_mllama_lora_no_ft_garden_s0"


@pytest.fixture(scope="module")
def made() -> Path:
    return sample_home()


@pytest.fixture
def copied(made: Path, home: Path) -> Run:
    shutil.copytree(made, home)
    return command(home)


def rows(home: Path, name: str) -> pl.DataFrame:
    return TableStore(home / "tables").read(*name.split("/"))


def test_the_graph_shows_what_a_model_was_shown() -> None:
    graph = {
        spec.key.to_user_string(): {dep.asset_key.to_user_string() for dep in spec.deps}
        for each in assets(open_study("sample"))
        for spec in each.specs
    }
    assert graph["meme_images/veggie"] == {"memes/veggie", "files/veggie_media"}
    assert graph["video_features/garden"] == {"videos/garden", "files/garden_media"}
    assert graph["predictions/veggie_garden"] == {
        "memes/veggie", "meme_images/veggie", "demonstrations/garden", "video_features/garden",
    }  # fmt: skip
    assert graph[f"checkpoints/{LLAVA}"] == {
        *("videos/garden", "texts/garden", "video_features/garden"),
        *("training_examples/vid_rm_ft_veggie_garden", "meme_images/veggie"),
    }
    seen = {"videos/garden", "texts/garden", "video_features/garden"}
    assert graph[f"checkpoints/{UNTRAINED}"] == seen
    assert graph[f"test_predictions/{MLLAMA}"] == {*seen, f"checkpoints/{MLLAMA}"}


def test_every_meme_has_a_picture_a_probability_and_the_request_that_gave_it(made: Path) -> None:
    images, predictions = rows(made, "meme_images/veggie"), rows(made, "predictions/veggie_garden")
    assert images.height == predictions.height == 240
    assert images["problem"].null_count() == 240
    assert predictions["probability"].is_between(0, 1).all()
    assert ((predictions["probability"] > 0.5) == predictions["predicted"]).all()
    assert predictions["request_sha256"].str.len_chars().unique().to_list() == [64]
    assert predictions["model"].unique().to_list() == ["tiny-mllama"]
    # It knows nothing, but it looks: not all answers are alike.
    assert predictions["probability"].n_unique() > 100


def test_every_video_has_frames_their_vectors_sound_and_words(made: Path) -> None:
    videos = rows(made, "video_features/garden")
    assert videos["problem"].null_count() == videos.height == 120
    assert videos["frames"].list.len().unique().to_list() == [4]
    assert set(videos["transcript_source"]) >= {"dataset", "whisper"}
    assert videos["sound"].null_count() == videos["audio_problem"].is_not_null().sum() < 120
    seen = rows(made, "features/tiny_clip_garden").filter(role="item", modality="frames")
    # One video stands in two splits.
    assert seen.select("item_id", "part").unique().height == 4 * 120
    assert seen["vector"].list.len().unique().to_list() == [32]
    assert seen["time_s"].null_count() == 0


def test_a_second_run_makes_nothing(copied: Run) -> None:
    assert as_json(copied("run", "--study", "sample", "--json"))["materialised"] == 0
    assert as_json(copied("status", "--study", "sample", "--json"))["missing"] == {}


def test_one_changed_meme_is_one_request(made: Path, tmp_path: Path) -> None:
    home = tmp_path / "home"
    shutil.copytree(made, home)
    m2v = command(home)
    study = as_json(m2v("study", "copy", "sample", str(tmp_path / "mine"), "--json"))["study"]
    selected = ("run", "--study", study, "--select", "predictions/veggie_garden", "--json")
    m2v(*selected)
    # The same items, shown the same way, wherever they lie: no program was started.
    assert _asked(home) == (1, 231)
    table = Path(study).parent / "tables/sample/veggie_aligned_with_garden.csv"
    table.write_text(table.read_text(encoding="utf-8").replace("leeks", "leeks!", 1), encoding="utf-8")
    m2v(*selected)
    assert _asked(home) == (2, 1)


def _asked(home: Path) -> tuple[int, int]:
    """How often the program ran, and what the last time asked."""
    said = sorted(
        (home / "programs/predict/veggie_garden").glob("*/manifest.json"), key=lambda path: path.stat().st_mtime
    )
    return len(said), json.loads(said[-1].read_text(encoding="utf-8"))["n_asked"]


def test_rows_are_equal_wherever_tables_and_media_lie(
    made: Path, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder,) = (made / "sources").glob("*-media-*")
    with Server() as server:
        settings = {
            **server.environment,
            "M2V_STORAGE": server.new(),
            "M2V_MEDIA": server.new(),
            "M2V_CACHE": str(tmp_path / "cache"),
        }
        for name, value in settings.items():
            monkeypatch.setenv(name, value)
        for path in folder.rglob("*.*"):
            storage.upload(Path(shutil.copy(path, tmp_path)), f"{settings['M2V_MEDIA']}/{path.relative_to(folder)}")
        m2v = command(home)
        done = as_json(m2v("run", "--study", "sample", "--select", "predictions/veggie_garden", "--json", **settings))
        assert (done["failed"], done["materialised"]) == (0, 6)
        ours, theirs = TableStore(made / "tables"), open_store(home)
        # Other media have other folders of what was decoded, and only that differs.
        for name, paths in {"meme_images/veggie": "path", "video_features/garden": "frames"}.items():
            assert theirs.read(*name.split("/")).drop(paths).equals(rows(made, name).drop(paths))
        for name in ("memes/veggie", "videos/garden", "demonstrations/garden", "predictions/veggie_garden"):
            table, variant = name.split("/")
            assert theirs.version(table, variant).rows_hash == ours.version(table, variant).rows_hash, name
        assert not (home / "tables").exists()
        assert not (home / "media/pictures").exists()
        assert as_json(m2v("audit", "verify", "--rows", "--json", **settings))["problems"] == []


def test_scores_say_which_model_and_whether_it_was_trained(made: Path) -> None:
    checkpoint = rows(made, f"checkpoints/{UNTRAINED}").row(0, named=True)
    assert checkpoint["weights_sha256"] is None
    assert checkpoint["n_train"] == 0
    trained = rows(made, f"checkpoints/{LLAVA}").row(0, named=True)
    assert len(trained["weights_sha256"]) == 64
    results = rows(made, "results/sample")
    assert {"tiny-mllama-lora", "tiny-llava-video-lora", "minilm-lora", "minilm-probe"} <= set(results["model"])
    for run in (UNTRAINED, MLLAMA, LLAVA):
        assert rows(made, f"test_predictions/{run}")["probability"].is_between(0, 1).all()


def test_an_audit_of_a_checkpoint_names_its_examples_and_seed(copied: Run) -> None:
    said = copied("audit", "checkpoint", LLAVA).stdout
    assert "training_examples/vid_rm_ft_veggie_garden@1" in said
    assert "video_features/garden@1" in said


def test_an_audit_of_a_meme_gives_the_prompt_in_full(copied: Run, home: Path, tmp_path: Path) -> None:
    name = rows(home, "predictions/veggie_garden")["meme_id"][0]
    page = tmp_path / "story.html"
    story = as_json(copied("audit", "meme", f"veggie/{name}", "--json", "-o", str(page)))
    (how,) = story["asked"]
    study = open_study("sample")
    assert study.asking
    assert how["version"] == "predictions/veggie_garden@1"
    assert how["prompt"] == study.asking.prompt.model_dump(mode="json")
    assert how["model"] == study.asking.model.model_dump(mode="json")
    assert how["label"] == study.targets[0].label.model_dump(mode="json")
    assert len(how["demonstrations"]) == len(story["demonstrations"])
    assert not any("its prompt" in gap for gap in story["gaps"])
    assert "How a model was asked" in page.read_text(encoding="utf-8")
    printed = " ".join(copied("audit", "meme", f"veggie/{name}").stdout.split())
    assert "How a model was asked for predictions/veggie_garden@1" in printed


def test_verify_looks_at_frames_answers_and_pictures(copied: Run, home: Path) -> None:
    assert copied("audit", "verify").returncode == 0
    for pattern, flag in (
        ("media/videos/*/*.jpg", ()),
        ("requests/*/*.parquet", ()),
        ("media/pictures/*/*.png", ("--rows",)),
    ):
        path = sorted(home.glob(pattern))[0]
        content = path.read_bytes()
        damaged = bytearray(content)
        damaged[len(damaged) // 2] ^= 1
        path.write_bytes(damaged)
        assert path.name in copied("audit", "verify", *flag, code=1).stderr.replace("\n", "")
        path.write_bytes(content)


def test_a_forgotten_meme_leaves_pictures_requests_and_copies(copied: Run, home: Path) -> None:
    name = rows(home, "predictions/veggie_garden")["meme_id"][0]
    picture = rows(home, "meme_images/veggie").filter(meme_id=name)["path"][0]
    request = rows(home, "predictions/veggie_garden").filter(meme_id=name)["request_sha256"][0]
    text = rows(home, "memes/veggie").filter(meme_id=name)["text"][0]
    assert (home / picture).is_file()
    copied("forget", "meme", f"veggie/{name}", "--why", "asked")
    assert not (home / picture).exists()
    kept = [pl.read_parquet(path) for path in home.glob("requests/*/*.parquet")]
    assert all(request not in each["request_sha256"] for each in kept)
    for path in home.glob("programs/**/*items.parquet"):
        assert text not in pl.read_parquet(path)["text"], path
    assert name not in rows(home, "meme_images/veggie")["meme_id"]
    assert copied("audit", "verify").returncode == 0
    assert as_json(copied("run", "--study", "sample", "--json"))["failed"] == 0


def test_the_papers_study_says_what_each_asset_waits_for(m2v: Run) -> None:
    said = as_json(m2v("status", "--study", "paper", "--json"))["missing"]
    waiting = {asset for assets in said.values() for asset in assets}
    assert {"meme_images/fhm", "meme_images/mami", "video_features/hatemm", "video_features/mhc"} <= waiting
    runs = {f"checkpoints/{run.name}" for run in open_study("paper").runs}
    assert runs <= waiting
    texts = " ".join(said)
    for how in ("M2V_MEDIA", "hf download meta-llama/Llama-3.2-11B-Vision-Instruct", "hf auth login", "accelerator"):
        assert how in texts
    printed = m2v("status", "--study", "paper").stdout + m2v("status", "--study", "paper").stderr
    assert "cannot be made yet" in printed


def test_without_media_a_run_names_what_is_missing_and_makes_the_rest(m2v: Run) -> None:
    done = m2v("run", "--study", "paper", "--select", "meme_images/fhm", code=1)
    said = (done.stdout + done.stderr).replace("\n", " ")
    assert "M2V_MEDIA" in said
    assert "Traceback" not in said


def test_media_named_by_the_environment_come_first(made: Path, home: Path, tmp_path: Path) -> None:
    shutil.copytree(made, home)
    media = tmp_path / "elsewhere"
    media.mkdir()
    stale = as_json(command(home)("status", "--study", "sample", "--json", M2V_MEDIA=str(media)))["stale"]
    reasons = {each["asset"]: each["reason"] for each in stale}
    assert "files/veggie_media" in reasons["meme_images/veggie"]
    gone = command(home)(
        "run", "--study", "sample", "--select", "meme_images/veggie", code=1, M2V_MEDIA=str(tmp_path / "no")
    )
    assert "which is no folder" in (gone.stdout + gone.stderr).replace("\n", " ")


def test_a_models_share_of_memory_follows_its_quantisation() -> None:
    said = requirements.missing(open_study("paper"), home=Path("nowhere"))
    (llama,) = (text for text in said if text.startswith("llama-3.2-11b-vision's weights alone"))
    assert "8 GB" in llama
    assert schemas.CHECKPOINTS.nullable == {"weights_sha256"}


def test_a_run_says_what_it_asks_under_which_policy_and_who_knows_nothing(copied: Run) -> None:
    done = copied("run", "--study", "sample", "--json")
    made = as_json(done)
    assert made["materialised"] == 0
    first = made["asked"][0]
    assert (first["model"], first["items"], first["prompt"]) == ("tiny-mllama", "veggie under garden", "defined")
    assert "This video attacks a kind of vegetable for what it is" in first["words"]
    assert "tiny-mllama" in made["know_nothing"]
    told = " ".join(done.stderr.split())
    assert "policy of garden: insulting is “This video attacks a kind of vegetable for what it is" in told
    assert (
        "asks tiny-mllama about veggie under garden, with the target's own demonstrations, by the prompt defined"
        in told
    )
    assert "random weights, which know nothing" in told
    page = Path(as_json(copied("report", "--study", "sample", "--json"))["report"]).read_text(encoding="utf-8")
    assert "tiny-mllama knows nothing: its weights are random" in page
