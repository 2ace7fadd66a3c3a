"""A run that is trained on operated items too."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from m2v.catalog.names import known
from m2v.catalog.plan import Augmentation, Run
from m2v.entries.operators import Operator
from m2v.errors import InvalidCatalog
from m2v.files.digests import text_sha256
from m2v.robustness import registry

# New training items for each plain one, where a plan does not say it.
SHARE = 0.5
# Letters that operators may add to a run's name, which is a folder's too.
LONGEST = 60


def checked(names: Iterable[str], operators: Mapping[str, Operator]) -> tuple[Operator, ...]:
    """Return the operators of these names.

    Raises:
        UnknownName: For one that does not exist, with the nearest that do.
        InvalidCatalog: One is stronger than its kind may be.
    """
    found = tuple(known(operators, "operator", name) for name in names)
    for operator in found:
        registry.check(operator)
    return found


def augmented(run: Run, operators: Sequence[Operator], *, share: float | None, study: str) -> Run:
    """Return the run as one that trains on operated items too; its model is called by them, and so is what it makes.

    Raises:
        InvalidCatalog: The run does not see what an operator changes.
    """
    seen = frozenset().union(*(run.sees(dataset) for dataset in run.datasets))
    for operator in operators:
        if registry.makes_items(operator):
            raise InvalidCatalog(
                study,
                f"{run.model.name} cannot be trained on operator {operator.name}: kind {operator.kind} makes new texts "
                "or frames, on which detectors are scored only. Name operators that change features.",
            )
        if operator.modality not in seen:
            raise InvalidCatalog(
                study,
                f"{run.model.name} cannot be trained on operator {operator.name}: it does not see {operator.modality}, "
                f"only {', '.join(sorted(seen))}.",
            )
    share = SHARE if share is None else share
    names = [operator.name for operator in operators]
    called = "-".join(names)
    if len(called) > LONGEST:
        called = f"{len(names)}-operators-{text_sha256(called)[:8]}"
    update = {
        "name": f"{run.model.name}-with-{called}{'' if share == SHARE else f'-{share:g}'}",
        "title": f"{run.model.title}, trained on {', '.join(names)} too",
    }
    model = run.model.model_copy(update=update)
    return replace(run, model=model, augmentation=Augmentation(tuple(operators), share, run.name))
