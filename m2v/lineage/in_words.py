"""An audit in a few sentences: from the original label over the model and people to the final one and the detectors."""

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from m2v import schemas
from m2v.lineage.graph import Node

ORDER = {name: place for place, name in enumerate(schemas.TABLES)}


def causal(node: Node) -> tuple[int, str, int]:
    """Return by what versions are sorted so that whatever rests on something comes after it."""
    return ORDER.get(node.table, len(ORDER)), node.variant, node.number


def sentences(story: Mapping[str, Any]) -> list[str]:
    """Return what an audit tells, the first cause first.

    Args:
        story: As ``Stories`` tells it: ``rows`` with ``version`` and ``row``, and what rests on them.
    """
    rows: dict[str, dict[str, list[Mapping[str, Any]]]] = {}
    for told in story.get("rows", []):
        table, _, version = told["version"].partition("/")
        rows.setdefault(table, {}).setdefault(version.rpartition("@")[0], []).append(told["row"])
    return [*_labels(rows), *_runs(rows), *_rests(story)]


def _labels(rows: Mapping[str, Mapping[str, list[Mapping[str, Any]]]]) -> Iterable[str]:
    for dataset, memes in rows.get("memes", {}).items():
        yield f"The dataset {dataset} calls it {_label(memes[0]['label'])}."
    for alignment, predictions in rows.get("predictions", {}).items():
        prediction = predictions[0]
        sure = f" (probability {prediction['probability']:.2f})" if prediction["probability"] is not None else ""
        called = (
            "gave no label" if prediction["predicted"] is None else f"calls it {_label(prediction['predicted'])}{sure}"
        )
        parts = [f"under the definition of {alignment}, the model {prediction['model']} {called}"]
        answers = Counter(_label(row["label"]) for row in rows.get("human_labels", {}).get(alignment, []))
        if answers:
            parts.append(f"people call it {', '.join(f'{label} {_times(n)}' for label, n in sorted(answers.items()))}")
        elif rows.get("conflicts", {}).get(alignment):
            parts.append("nobody was asked or has answered yet")
        parts += [_final(vote) for vote in rows.get("voted_labels", {}).get(alignment, [])]
        text = "; ".join(parts)
        yield f"{text[0].upper()}{text[1:]}."


def _runs(rows: Mapping[str, Mapping[str, list[Mapping[str, Any]]]]) -> Iterable[str]:
    for run, checkpoints in rows.get("checkpoints", {}).items():
        row = checkpoints[0]
        yield (
            f"{run} was trained on {row['n_train']:,} examples; it calls a video positive from a probability of "
            f"{row['threshold']:.3g} on, chosen on the validation split."
        )
    for run, metrics in rows.get("metrics", {}).items():
        row = metrics[0]
        yield (
            f"{run} has a macro-F1 of {row['macro_f1']:.3f} [{row['macro_f1_low']:.2f}, {row['macro_f1_high']:.2f}] on "
            f"{row['n_scored']:,} test videos of {row['target']}."
        )


def _rests(story: Mapping[str, Any]) -> Iterable[str]:
    if "training_examples" not in story:
        return
    kinds = {
        "training_examples": ("training set", "training sets"),
        "checkpoints": ("detector", "detectors"),
        "metrics": ("run's scores", "runs' scores"),
        "releases": ("release", "releases"),
    }
    counts = [
        f"{n:,} {one if n == 1 else many}" for name, (one, many) in kinds.items() if (n := len(story.get(name, [])))
    ]
    yield f"With it stand or fall {', '.join(counts)}." if counts else "No detector, score or release rests on it."


def _final(vote: Mapping[str, Any]) -> str:
    if vote["label"] is None:
        return f"it has no final label ({str(vote['decided_by']).replace('_', ' ')})"
    return f"its final label is {_label(vote['label'])} (decided by {vote['decided_by']})"


def _label(label: bool | None) -> str:
    return "undecided" if label is None else "positive" if label else "negative"


def _times(n: int) -> str:
    return {1: "once", 2: "twice"}.get(n, f"{n} times")
