from m2v.lineage.graph import Node
from m2v.lineage.in_words import causal, sentences

MEME = {"version": "memes/veggie@1", "row": {"meme_id": "7", "label": False}}
PREDICTION = {"predicted": True, "probability": 0.57, "model": "turnip"}


def told(*answers: bool, vote: dict | None = None, prediction: dict = PREDICTION) -> dict:
    rows = [MEME, {"version": "predictions/veggie_garden@2", "row": prediction}]
    rows += [{"version": "conflicts/veggie_garden@1", "row": {}}]
    rows += [{"version": "human_labels/veggie_garden@1", "row": {"label": label}} for label in answers]
    rows += [{"version": "voted_labels/veggie_garden@1", "row": vote}] if vote else []
    return {"rows": rows}


def test_a_meme_is_told_from_its_own_label_over_the_model_and_people_to_what_rests_on_it() -> None:
    rests = {
        "training_examples": ["training_examples/rm_ft_veggie_garden@1"],
        "checkpoints": ["checkpoints/a@1", "checkpoints/b@1"],
        "metrics": ["metrics/a@1", "metrics/b@1"],
        "releases": [],
    }
    story = told(True, False, True, vote={"label": True, "decided_by": "humans"}) | rests

    assert sentences(story) == [
        "The dataset veggie calls it negative.",
        "Under the definition of veggie_garden, the model turnip calls it positive (probability 0.57); people call it "
        "negative once, positive twice; its final label is positive (decided by humans).",
        "With it stand or fall 1 training set, 2 detectors, 2 runs' scores.",
    ]


def test_what_is_missing_is_said() -> None:
    silent = {"predicted": None, "probability": None, "model": "turnip"}
    story = told(vote={"label": None, "decided_by": "too_few_answers"}, prediction=silent)

    assert sentences(story | {"training_examples": []})[1:] == [
        "Under the definition of veggie_garden, the model turnip gave no label; nobody was asked or has answered yet; "
        "it has no final label (too few answers).",
        "No detector, score or release rests on it.",
    ]


def test_a_run_is_told_by_what_it_was_trained_on_and_scores() -> None:
    scores = {"macro_f1": 0.648, "macro_f1_low": 0.47, "macro_f1_high": 0.8, "n_scored": 40, "target": "garden"}
    rows = [
        {"version": "checkpoints/radish@1", "row": {"n_train": 1230, "threshold": 0.4321}},
        {"version": "metrics/radish@3", "row": scores},
    ]

    assert sentences({"rows": rows}) == [
        "radish was trained on 1,230 examples; it calls a video positive from a probability of 0.432 on, chosen on the "
        "validation split.",
        "radish has a macro-F1 of 0.648 [0.47, 0.80] on 40 test videos of garden.",
    ]


def test_what_rests_on_something_comes_after_it() -> None:
    names = ["voted_labels", "metrics", "checkpoints", "human_labels", "memes", "training_examples", "predictions"]
    nodes = [Node(name, "veggie", 1, "", "", 0, "") for name in names]

    assert [node.table for node in sorted(nodes, key=causal)] == [
        "memes",
        "predictions",
        "human_labels",
        "voted_labels",
        "training_examples",
        "checkpoints",
        "metrics",
    ]
