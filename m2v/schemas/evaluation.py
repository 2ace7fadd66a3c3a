"""Tables of the stage evaluation."""

import polars as pl

from m2v.schemas.table import SPLITS, Table

SCORES = ("accuracy", "macro_f1", "f1", "recall", "precision", "auroc")

METRICS = Table(
    name="metrics",
    row="one run's scores on its target's test split, with 95 % intervals",
    columns={
        "run": pl.String,
        "model": pl.String,
        "strategy": pl.String,
        "memes": pl.String,
        "target": pl.String,
        "split": pl.String,  # the target's own, or one that its YAML names
        "fold": pl.UInt32,
        "split_digest": pl.String,  # sha256 of which videos stand in which part
        "seed": pl.Int32,
        "paper_mode": pl.Boolean,
        "n_train": pl.UInt32,  # examples that it was trained on; 0 where the model is scored as it is
        "validation_auroc": pl.Float64,  # by which runs are chosen, so that no test video chooses
        "n_listed": pl.UInt32,
        "n_scored": pl.UInt32,
        "n_positive": pl.UInt32,  # of the scored
        "coverage_share": pl.Float64,
        "threshold": pl.Float64,
        **{f"{score}{end}": pl.Float64 for score in SCORES for end in ("", "_low", "_high")},
    },
    key=("run",),
    # no_ft and vid_ft use no memes; most splits have no folds; AUROC needs both classes; paper mode holds no validation
    # videos back; the majority class is neither trained nor has a threshold.
    nullable=frozenset(
        {"memes", "fold", "n_train", "validation_auroc", "threshold", "auroc", "auroc_low", "auroc_high"}
    ),
)

RESULTS = Table(
    name="results",
    row="one run's scores with intervals, the majority class of each target among them",
    columns=METRICS.columns,
    key=METRICS.key,
    nullable=METRICS.nullable,
)

COMPARISONS = Table(
    name="comparisons",
    row="two strategies on the same test videos: McNemar's exact test",
    columns={
        "target": pl.String,
        "run_a": pl.String,
        "run_b": pl.String,
        "n_both": pl.UInt32,  # videos that both scored
        "n_only_a_right": pl.UInt32,
        "n_only_b_right": pl.UInt32,
        "p_value": pl.Float64,
        "p_holm": pl.Float64,  # adjusted over the comparisons of one target
    },
    key=("run_a", "run_b"),
)

DIFFERENCES = Table(
    name="differences",
    row="the difference of one score between two candidates on the test videos that both scored, with its interval",
    columns={
        "target": pl.String,
        "split": pl.String,
        "fold": pl.UInt32,
        "paper_mode": pl.Boolean,
        "varies": pl.Enum(["strategy", "model", "memes"]),  # the one thing in which the two differ
        "a": pl.String,  # a run's name without its seed
        "b": pl.String,
        "n_items": pl.UInt32,  # videos that all runs of both scored
        "n_seeds_a": pl.UInt32,
        "n_seeds_b": pl.UInt32,
        "score": pl.String,
        "value_a": pl.Float64,  # over seeds, the mean
        "value_b": pl.Float64,
        "difference": pl.Float64,  # b less a
        "low": pl.Float64,  # paired bootstrap over videos and seeds, 95 %
        "high": pl.Float64,
        "smallest": pl.Float64,  # the smallest true difference that would be seen four times in five
    },
    key=("a", "b", "score"),
    is_checked=True,
    # One label only has no AUROC; of candidates that never differ nothing is known of the error.
    nullable=frozenset({"fold", "value_a", "value_b", "difference", "low", "high", "smallest"}),
)

SCALINGS = pl.Enum(["none", "temperature", "isotonic"])

CALIBRATION = Table(
    name="calibration",
    row="how far a run's probabilities of test videos are from the shares that they claim, with one way of scaling",
    columns={
        "run": pl.String,
        "scaling": SCALINGS,  # fitted on validation; without both labels there, only none
        "temperature": pl.Float64,
        "n_validation": pl.UInt32,
        "n_test": pl.UInt32,
        "brier": pl.Float64,
        "brier_low": pl.Float64,
        "brier_high": pl.Float64,
        "brier_change": pl.Float64,  # by scaling; below zero is better
        "brier_change_low": pl.Float64,
        "brier_change_high": pl.Float64,
        "ece": pl.Float64,  # expected calibration error, ten bins of equal width
        "ece_low": pl.Float64,
        "ece_high": pl.Float64,
        "ece_by_chance": pl.Float64,  # perfectly calibrated probabilities stay below it in 95 of 100 test sets
    },
    key=("run", "scaling"),
    is_checked=True,
    nullable=frozenset({"temperature"}),
)

RELIABILITY = Table(
    name="reliability",
    row="a bin of a run's reliability curve: its mean probability, and which share of its test videos is positive",
    columns={
        "run": pl.String,
        "scaling": SCALINGS,
        "bin": pl.UInt32,  # from 1: up to .1, up to .2 …
        "n": pl.UInt32,
        "mean_probability": pl.Float64,
        "positive_share": pl.Float64,
        "low": pl.Float64,  # exact binomial, 95 %
        "high": pl.Float64,
    },
    key=("run", "scaling", "bin"),
)

OPERATING_POINTS = Table(
    name="operating_points",
    row="a threshold chosen on validation for what somebody wishes of a run, and what it does to test videos",
    columns={
        "run": pl.String,
        "goal": pl.Enum(["precision", "recall", "false_positive_rate", "cost_ratio"]),
        "wish": pl.Float64,  # a share; of a cost ratio, how many false alarms a miss costs
        "prevalence": pl.Float64,  # null: as among the videos themselves
        "n_validation": pl.UInt32,
        "n_validation_positive": pl.UInt32,
        "threshold": pl.Float64,  # null: none does what is wished on validation
        "promise": pl.Enum(["promised", "not_promised", "out_of_reach", "not_asked"]),
        "n_test": pl.UInt32,
        "n_test_positive": pl.UInt32,
        # Exact 95 % intervals; null where there is nothing to count.
        **{
            f"{name}{end}": pl.Float64
            for name in ("precision", "recall", "false_positive_rate", "flagged_per_10000")
            for end in ("", "_low", "_high")
        },
    },
    key=("run", "goal", "wish"),
    is_checked=True,
    nullable=frozenset(
        {"prevalence", "threshold"}
        | {
            f"{name}{end}"
            for name in ("precision", "recall", "false_positive_rate", "flagged_per_10000")
            for end in ("", "_low", "_high")
        }
    ),
)

REVIEW_BANDS = Table(
    name="review_bands",
    row="one of three bands of a run's probabilities: what is left alone, what people review, what is acted on",
    columns={
        "run": pl.String,
        "band": pl.Enum(["leave", "review", "act"]),
        "error": pl.Float64,  # share of positives left, and of negatives acted on, that is not exceeded on average
        "prevalence": pl.Float64,  # null: as among the test videos
        "leave_below": pl.Float64,  # null: nothing can be left
        "act_from": pl.Float64,  # null: nothing can be acted on
        "n_positive": pl.UInt32,  # test videos in the band
        "n_negative": pl.UInt32,
        "per_10000": pl.Float64,
        "per_10000_low": pl.Float64,
        "per_10000_high": pl.Float64,
    },
    key=("run", "band"),
    is_checked=True,
    nullable=frozenset({"prevalence", "leave_below", "act_from", "per_10000", "per_10000_low", "per_10000_high"}),
)

PREVALENCE_ESTIMATES = Table(
    name="prevalence_estimates",
    row="which share of the test videos a run says is positive, had nobody labelled them",
    columns={
        "run": pl.String,
        "n_validation": pl.UInt32,
        "n_test": pl.UInt32,
        "called": pl.Float64,
        "estimate": pl.Float64,  # null: validation does not show how often the run is wrong
        "estimate_low": pl.Float64,
        "estimate_high": pl.Float64,
        "observed": pl.Float64,
    },
    key=("run",),
    is_checked=True,
    nullable=frozenset({"called", "estimate", "estimate_low", "estimate_high", "observed"}),
)

PREVALENCE_SCORES = Table(
    name="prevalence_scores",
    row="what a run's scores would be at another share of positives",
    columns={
        "run": pl.String,
        "prevalence": pl.Float64,
        "precision": pl.Float64,  # null: the run flags no test video
        "precision_low": pl.Float64,
        "precision_high": pl.Float64,
        "macro_f1": pl.Float64,
        "macro_f1_low": pl.Float64,
        "macro_f1_high": pl.Float64,
    },
    key=("run", "prevalence"),
    nullable=frozenset({"precision", "precision_low", "precision_high"}),
)

LEARNING_CURVES = Table(
    name="learning_curves",
    row="scores of a run's detector, trained on one draw of a share of its training data",
    columns={
        "run": pl.String,
        "share": pl.Float64,
        "draw": pl.UInt32,
        "n_train": pl.UInt32,
        "n_test": pl.UInt32,
        "macro_f1": pl.Float64,  # null: test videos of one label
        "auroc": pl.Float64,
    },
    key=("run", "share", "draw"),
    is_checked=True,
    nullable=frozenset({"macro_f1", "auroc"}),
)

ROBUSTNESS = Table(
    name="robustness",
    row="what an operator makes a run lose: of the items that it makes of test videos, those flagged before and after",
    columns={
        "run": pl.String,
        "operator": pl.String,
        "modality": pl.String,
        "label": pl.Enum(["stays", "flips", "control"]),
        "strength": pl.Float64,
        "seed": pl.UInt32,
        "is_seen": pl.Boolean,  # whether the run was trained on it
        "n_items": pl.UInt32,  # new items
        "n_left_out": pl.UInt32,  # test videos of the label that it changes of which it made none
        "n_positive": pl.UInt32,  # new items that are to be flagged
        "false_positive_rate": pl.Float64,  # on the untouched test videos
        "recall_before": pl.Float64,  # of the positive new items, the share whose parents are flagged
        "recall_after": pl.Float64,
        "n_flagged": pl.UInt32,  # positive new items whose parents are flagged
        "n_lost": pl.UInt32,  # of these, not flagged any more
        **{f"lost_share{end}": pl.Float64 for end in ("", "_low", "_high")},
        "n_newly_flagged": pl.UInt32,  # new items that are flagged and whose parents are not
        **{f"newly_flagged_share{end}": pl.Float64 for end in ("", "_low", "_high")},  # of those with such parents
        "n_wrongly_flagged": pl.UInt32,  # negative new items that are flagged
        **{f"wrongly_flagged_share{end}": pl.Float64 for end in ("", "_low", "_high")},
        "n_only_before": pl.UInt32,  # flagged before and not after, whatever the label
        "p_value": pl.Float64,  # McNemar's exact test of flagged before and after
        "plain": pl.String,  # the same run, trained on plain items alone
        **{f"untouched_change{end}": pl.Float64 for end in ("", "_low", "_high")},  # macro-F1, less the plain run's
        "note": pl.String,  # why something is not known
    },
    key=("run", "operator"),
    # A share of nothing is not known; only runs that were trained on operators are compared with a plain one.
    nullable=frozenset(
        {"false_positive_rate", "recall_before", "recall_after", "p_value", "plain", "note"}
        | {
            f"{name}{end}"
            for name in ("lost_share", "newly_flagged_share", "wrongly_flagged_share", "untouched_change")
            for end in ("", "_low", "_high")
        }
    ),
    is_checked=True,
)

SLICE_SCORES = ("accuracy", "macro_f1", "f1", "recall", "precision", "false_positive_rate", "auroc")

SLICES = Table(
    name="slices",
    row="a run's scores on the test videos that share the value of a facet",
    columns={
        "run": pl.String,
        "facet": pl.String,
        "value": pl.String,
        "n_items": pl.UInt32,
        "n_positive": pl.UInt32,
        **{f"{score}{end}": pl.Float64 for score in SLICE_SCORES for end in ("", "_low", "_high")},
        "n_right": pl.UInt32,
        "n_right_expected": pl.Float64,  # were its videos called rightly as often as others of the same label
        "p_value": pl.Float64,
        "p_holm": pl.Float64,  # adjusted over all slices of a run
    },
    key=("run", "facet", "value"),
    is_checked=True,
    # Scores of two labels need both; a slice of fewer videos than ten has none; one without others like it no test.
    nullable=frozenset(
        {f"{score}{end}" for score in SLICE_SCORES for end in ("", "_low", "_high")}
        | {"n_right_expected", "p_value", "p_holm"}
    ),
)

NEAR_DUPLICATES = Table(
    name="near_duplicates",
    row="a test video that has a near-duplicate among the examples of a training set, with the nearest of them",
    columns={
        "video_id": pl.String,
        "by": pl.Enum(["text", "picture"]),
        "dataset": pl.String,  # of the nearest example
        "item_id": pl.String,
        "split": SPLITS,
        "similarity": pl.Float64,  # of texts Jaccard's index of their shingles; of pictures the share of frames alike
        "n_examples": pl.UInt32,  # that are near enough
    },
    key=("video_id", "by"),
    is_checked=True,
)

SEEN = Table(
    name="seen",
    row="how many of a run's test videos have a near-duplicate in what it was trained on, and its scores on the others",
    columns={
        "run": pl.String,
        "n_test": pl.UInt32,
        "n_seen": pl.UInt32,
        "n_seen_text": pl.UInt32,
        "n_seen_picture": pl.UInt32,
        "n_unseen_positive": pl.UInt32,
        **{f"{score}{end}": pl.Float64 for score in SLICE_SCORES for end in ("", "_low", "_high")},
    },
    key=("run",),
    # As of slices.
    nullable=frozenset(f"{score}{end}" for score in SLICE_SCORES for end in ("", "_low", "_high")),
)

LABEL_SUSPECTS = Table(
    name="label_suspects",
    row="a training example with what a detector that was trained without it says of its label, the least likely first",
    columns={
        "rank": pl.UInt32,  # from 1 on
        "model": pl.String,
        "dataset": pl.String,
        "item_id": pl.String,
        "split": SPLITS,
        "label": pl.Boolean,  # the final one, as it is trained on
        "label_source": pl.Enum(["original", "voted", "video"]),
        "fold": pl.UInt32,  # from 0 on
        "probability": pl.Float64,  # of the positive label, out of fold
        "self_confidence": pl.Float64,  # of its own label
        "is_suspect": pl.Boolean,  # a confident error
    },
    key=("dataset", "item_id", "split"),
    is_checked=True,
)

SUITE_RESULTS = Table(
    name="suite_results",
    row="a model's score in a task of a suite, asked under the task's definition or under that of another task",
    columns={
        "suite": pl.String,
        "model": pl.String,
        "task": pl.String,
        "definition": pl.String,  # the task under whose definition it was asked
        "is_transfer": pl.Boolean,  # another task's
        "dataset": pl.String,
        "split": SPLITS,
        "metric": pl.Enum(["macro_f1", "accuracy", "f1"]),
        "n_items": pl.UInt32,
        "n_positive": pl.UInt32,
        "n_refused": pl.UInt32,  # these two count as wrong answers
        "n_unparsed": pl.UInt32,
        "value": pl.Float64,
        "low": pl.Float64,
        "high": pl.Float64,
        "chance": pl.Float64,  # what answers reach at best that do not look at the items
        "n_changed": pl.UInt32,  # answers that are others than under the task's own definition
    },
    key=("suite", "model", "task", "definition"),
    is_checked=True,
    # Of items of one label only accuracy says something; under its own definition nothing changed.
    nullable=frozenset({"value", "low", "high", "chance", "n_changed"}),
)
