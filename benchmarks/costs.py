"""What corpora of many sizes cost, from rates: writes the tables of docs/scale.md.

A rate is *measured* (by a benchmark of ours, on the machine that docs/scale.md names), *computed* (from operations or
sizes) or *assumed*. Change a rate here and run this file to have the tables anew; nothing else rests on them.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

PAGE = Path(__file__).parent.parent / "docs" / "scale.md"
MEMES = (10_000, 1_000_000, 100_000_000)
VIDEOS = (1_000, 10_000, 100_000, 1_000_000)


@dataclass(frozen=True)
class Rate:
    """A number with its unit, how it is known and from where."""

    value: float
    unit: str
    known: Literal["measured", "computed", "assumed"]
    source: str


RATES = {
    "conflict_share": Rate(0.44, "of memes", "measured", "the published study: 5,271 of 12,000 predictions"),
    "answers_per_conflict": Rate(3, "answers", "assumed", "`n_annotators: 3`"),
    "answer_s": Rate(20, "s", "assumed", "a person, for one answer"),
    "label_tflop": Rate(
        14, "TFLOP a meme", "computed",
        "LLaMA 3.2 11B, forward: 2 × 9.8 G weights × 100 tokens, its tower 2 × 0.86 G × 6,404, its cross-attention 1",
    ),
    "train_tflop": Rate(105, "TFLOP an example and epoch", "computed", "LLaVA-NeXT-Video 7B, docs/vision-language.md"),
    "score_tflop": Rate(35, "TFLOP a video", "computed", "the same forward: a third"),
    "features_tflop": Rate(
        12, "TFLOP a video", "computed",
        "CLIP ViT-L/14: 16 frames × 2 × 0.3 G × 257; Whisper turbo's encoder: 5 × 30 s × 2 × 0.64 G × 1,500",
    ),
    "epochs": Rate(5, "epochs", "assumed", "the paper's recipe"),
    "gpu_tflops": Rate(312, "TFLOP/s", "assumed", "an A100's data sheet, bfloat16"),
    "utilisation": Rate(0.25, "of that", "assumed", "as in docs/vision-language.md; we had no GPU"),
    "meme_bytes": Rate(77, "bytes", "measured", "a row of `memes`, published study"),
    "prediction_bytes": Rate(37, "bytes", "measured", "a kept answer, `scale`; a row of `predictions` too"),
    "vote_bytes": Rate(3.9, "bytes", "measured", "a row of `voted_labels`, published study"),
    "item_bytes": Rate(73, "bytes", "measured", "an item of a round's ledger, `scale`"),
    "answer_bytes": Rate(41, "bytes", "measured", "an answer in the ledger, `scale`; in `human_labels` too"),
    "picture_mb": Rate(1.0, "MB", "computed", "a decoded picture, docs/vision-language.md"),
    "video_mb": Rate(3.2, "MB", "computed", "16 frames of 0.2 MB, docs/vision-language.md"),
    "video_row_kb": Rate(64, "kB", "computed", "a row of `video_features`: 17 vectors of 768 float32, text"),
    "picture_files": Rate(1 + 1 / 64, "files", "computed", "a PNG a meme, a `result.json` for 64"),
    "video_files": Rate(17, "files", "measured", "16 JPEGs and a `result.json`"),
    "decode_s": Rate(5.1, "s of a core", "measured", "a video of 144 s in 720p, rule `shots`, `scale`"),
    "prefix_items": Rate(8, "memes", "computed", "the demonstrations, which each of Ray's copies encodes once"),
    "load_s": Rate(120, "s", "assumed", "weights from a shared disk onto a GPU"),
    "queue_s": Rate(600, "s", "assumed", "a Slurm job in the queue; yours may say hours"),
    "gpu_price": Rate(2.0, "$ an hour", "assumed", "an A100, rented"),
    "core_price": Rate(0.05, "$ an hour", "assumed", "a core, rented"),
    "disk_price": Rate(0.023, "$ a GB and month", "assumed", "object storage"),
    "answer_price": Rate(0.10, "$", "assumed", "20 s at $18 an hour"),
}  # fmt: skip

# GPUs to label and to train with and cores to decode with, for one program: of one machine, or of eight hosts.
LAUNCHERS = {
    "local": {"label": 1, "train": 1, "cores": 16},
    "ray": {"label": 64, "train": 8, "cores": 64},
    "slurm": {"label": 1, "train": 64, "cores": 64},
}


def rate(name: str) -> float:
    return RATES[name].value


def gpu_hours(n_items: float, tflop: float) -> float:
    """Of one GPU at the assumed utilisation."""
    return n_items * tflop / (rate("gpu_tflops") * rate("utilisation")) / 3600


def labelling(n_memes: int) -> float:
    return gpu_hours(n_memes, rate("label_tflop"))


def training(n_examples: int) -> float:
    return gpu_hours(n_examples * rate("epochs"), rate("train_tflop"))


def decoding(n_videos: int) -> float:
    """Hours of one core."""
    return n_videos * rate("decode_s") / 3600


def seeing(n_videos: int) -> float:
    """By CLIP and Whisper."""
    return gpu_hours(n_videos, rate("features_tflop"))


def answers(n_memes: int) -> float:
    return n_memes * rate("conflict_share") * rate("answers_per_conflict")


def meme_gb(n_memes: int) -> float:
    """Tables of one alignment, the answers kept and the ledger; one version of each."""
    rows = rate("meme_bytes") + 2 * rate("prediction_bytes") + rate("vote_bytes")
    asked = rate("conflict_share") * rate("item_bytes")
    return (n_memes * (rows + asked) + 2 * answers(n_memes) * rate("answer_bytes")) / 1e9


def video_gb(n_videos: int) -> float:
    return n_videos * (rate("video_mb") / 1e3 + rate("video_row_kb") / 1e6)


def overhead(launcher: str) -> float:
    """What labelling takes besides, in GPU hours: the weights loaded and the shared beginning, both once a copy."""
    n_copies = LAUNCHERS[launcher]["label"]
    return n_copies * (rate("load_s") / 3600 + labelling(1) * rate("prefix_items"))


def rates_table() -> list[str]:
    head = ["| rate | value | known | from |", "|---|---|---|---|"]
    rows = (f"| {name} | {rate.value:.4g} {rate.unit} | {rate.known} | {rate.source} |" for name, rate in RATES.items())
    return [*head, *rows]


def memes_table() -> list[str]:
    head = [
        "| memes | labelled by LLaMA 11B, GPU h (c) | one LLaVA 7B trained on them, GPU h (c) | answers (m, a) "
        "| a person's hours (a) | tables, one version (m) | pictures (c) | files (c) |",
        "|---|---|---|---|---|---|---|---|",
    ]
    rows = (
        f"| {n:,} | {short(labelling(n))} | {short(training(n))} | {short(answers(n))} "
        f"| {short(answers(n) * rate('answer_s') / 3600)} | {size(meme_gb(n))} | {size(n * rate('picture_mb') / 1e3)} "
        f"| {short(n * rate('picture_files'))} |"
        for n in MEMES
    )
    return [*head, *rows]


def videos_table() -> list[str]:
    head = [
        "| videos | decoded, core h (m) | CLIP and Whisper, GPU h (c) | LLaVA 7B trained on them, GPU h (c) "
        "| scored once, GPU h (c) | frames and tables (c) | files (m) |",
        "|---|---|---|---|---|---|---|",
    ]
    return [*head, *(video_row(n) for n in VIDEOS)]


def video_row(n: int) -> str:
    scored = gpu_hours(n, rate("score_tflop"))
    return (
        f"| {n:,} | {short(decoding(n))} | {short(seeing(n))} | {short(training(n))} | {short(scored)} "
        f"| {size(video_gb(n))} | {short(n * rate('video_files'))} |"
    )


def launchers_table() -> list[str]:
    head = [
        "| memes | launcher | GPUs: label, train | labelled in (c) | overhead, GPU h (a) | trained in (c) | GPU, $ (a) "
        "| answers, $ (a) | storage, $ a month (a) |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    return [*head, *(launcher_row(n, launcher) for n in MEMES for launcher in LAUNCHERS)]


def launcher_row(n: int, launcher: str) -> str:
    about, extra = LAUNCHERS[launcher], overhead(launcher)
    waits = rate("queue_s") / 3600 if launcher == "slurm" else 0
    labelled = (labelling(n) + extra) / about["label"] + waits
    trained = training(n) / about["train"] + rate("load_s") / 3600 + waits
    stored = meme_gb(n) + n * rate("picture_mb") / 1e3
    return (
        f"| {n:,} | {launcher} | {about['label']}, {about['train']} | {time(labelled)} | {short(extra)} "
        f"| {time(trained)} | {short((labelling(n) + training(n) + extra) * rate('gpu_price'))} "
        f"| {short(answers(n) * rate('answer_price'))} | {short(stored * rate('disk_price'))} |"
    )


def launched_videos_table() -> list[str]:
    head = [
        "| videos | launcher | cores, GPUs to train | decoded in (a) | seen and heard in (c) | trained in (c) "
        "| GPUs and cores, $ (a) | storage, $ a month (a) |",
        "|---|---|---|---|---|---|---|---|",
    ]
    return [*head, *(launched_video_row(n, launcher) for n in VIDEOS for launcher in LAUNCHERS)]


def launched_video_row(n: int, launcher: str) -> str:
    about = LAUNCHERS[launcher]
    waits = rate("queue_s") / 3600 if launcher == "slurm" else 0
    starts = rate("load_s") / 3600 + waits
    scored = gpu_hours(n, rate("score_tflop"))
    dollars = (seeing(n) + training(n) + scored) * rate("gpu_price") + decoding(n) * rate("core_price")
    return (
        f"| {n:,} | {launcher} | {about['cores']}, {about['train']} | {time(decoding(n) / about['cores'] + waits)} "
        f"| {time(seeing(n) + starts)} | {time(training(n) / about['train'] + starts)} | {short(dollars)} "
        f"| {short(video_gb(n) * rate('disk_price'))} |"
    )


def short(number: float) -> str:
    """Two digits that count."""
    for unit, name in ((1e9, " G"), (1e6, " M"), (1e4, " k")):
        if number >= unit:
            return f"{_two_digits(number / (1e3 if unit == 1e4 else unit))}{name}"
    return _two_digits(number)


def _two_digits(number: float) -> str:
    return f"{float(f'{number:.2g}'):,g}"


def size(gb: float) -> str:
    return f"{short(gb * 1000)} MB" if gb < 1 else f"{short(gb)} GB" if gb < 1000 else f"{short(gb / 1000)} TB"


def time(hours: float) -> str:
    return (
        f"{short(hours * 60)} min" if hours < 1 else f"{short(hours)} h" if hours < 72 else f"{short(hours / 24)} days"
    )


TABLES = {
    "rates": rates_table,
    "memes": memes_table,
    "videos": videos_table,
    "launchers": launchers_table,
    "launched videos": launched_videos_table,
}


def filled(page: str) -> str:
    """The page with each table anew between its markers."""
    for name, table in TABLES.items():
        begin, end = f"<!-- {name}: written by benchmarks/costs.py -->", f"<!-- end of {name} -->"
        before, old, rest = page.partition(begin)
        _, ended, after = rest.partition(end)
        if not (old and ended):
            raise SystemExit(f"{PAGE} has no markers for the table {name!r}.")
        page = "\n".join([before + begin, "", *table(), "", end + after])
    return page


if __name__ == "__main__":
    PAGE.write_text(filled(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
