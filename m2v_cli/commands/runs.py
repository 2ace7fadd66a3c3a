"""``m2v compare``: what the scores of runs are worth."""

from typing import Any

from m2v_cli.commands.options import Json, ScoredRun


def compare(a: ScoredRun, b: ScoredRun, as_json: Json = False) -> None:
    """Compare two runs of one home, of any study, version or release, on the test videos that both scored."""
    from m2v.evaluation.comparisons import mcnemar
    from m2v.evaluation.differences import paired
    from m2v.evaluation.predicted import shared
    from m2v_cli import console
    from m2v_resources.store import scored
    from m2v_resources.store.home import home
    from m2v_resources.store.versions import open_store

    store = open_store(home())
    runs = [scored.scored(store, scored.version_of(store, name)) for name in (a, b)]
    both = shared(runs)
    found = {
        "a": {"run": runs[0].run, "n_scored": len(runs[0].ids)},
        "b": {"run": runs[1].run, "n_scored": len(runs[1].ids)},
        **mcnemar(*(run.is_right for run in both)),
        "differences": {score: vars(each) for score, each in paired(both[:1], both[1:]).items()},
    }
    if as_json:
        console.line(found)
    else:
        _show(found)


def _show(found: dict[str, Any]) -> None:
    from m2v.evaluation import wording
    from m2v_cli import console

    a, b = found["a"], found["b"]
    rows = [
        [
            wording.SCORES[score],
            wording.decimal(row["value_a"]),
            wording.decimal(row["value_b"]),
            wording.NOT_ESTIMABLE if row["difference"] is None else wording.difference(row["difference"]),
            wording.interval(row["low"], row["high"]),
            "never differ" if row["smallest"] is None else wording.decimal(row["smallest"]),
        ]
        for score, row in found["differences"].items()
    ]
    scored = [f"{side} {run['run']} ({run['n_scored']} videos)" for side, run in (("A", a), ("B", b))]
    title = f"{', '.join(scored)}; both scored {found['n_both']}"
    console.table(title, ["score", "A", "B", "B less A", "95 %", "smallest detectable"], rows)
    only_a, only_b, p_value = found["n_only_a_right"], found["n_only_b_right"], wording.p_value(found["p_value"])
    console.out.print(f"Right only in A {only_a}, only in B {only_b}: McNemar's exact test, {p_value}.")
    console.out.print(
        "A true difference of the smallest detectable size would be found in four of five test sets like this one "
        "(2.80 standard errors; Bloom 1995)."
    )
