"""Suites with the names in a study's plans resolved, and what is wrong with them."""

from collections.abc import Mapping
from typing import Any

from m2v import schemas
from m2v.catalog.names import known, of_kind
from m2v.catalog.plan import StudyPlan, SuiteAsking
from m2v.datasets import details
from m2v.entries.datasets import MemeDataset
from m2v.entries.prompts import Prompt
from m2v.entries.study import Study
from m2v.entries.suites import Suite, SuitePlan
from m2v.errors import InvalidCatalog


def asked(
    plan: SuitePlan,
    study: Study,
    *,
    suites: Mapping[str, Suite],
    memes: Mapping[str, MemeDataset],
    models: Mapping[str, Any],
    prompts: Mapping[str, Prompt],
) -> SuiteAsking:
    """Return a suite with the models that are asked it.

    Args:
        suites, memes, models, prompts: Every entry by name.

    Raises:
        UnknownName: With the nearest known names.
        InvalidCatalog: A model cannot be asked, the prompt does not say the definition, or a task maps a facet of a
            dataset that has none.
    """
    suite = known(suites, "suite", plan.suite)
    prompt = known(prompts, "prompt", plan.prompt)
    if not prompt.says_definition:
        problem = (
            f"the prompt {prompt.name!r} does not say the definition, which a suite's tasks differ in; take `defined`."
        )
        raise InvalidCatalog(study.name, problem)
    why = "a suite is answered by a vlm"
    asked_models = tuple(of_kind("vlm", name, "model", models, where=study.name, why=why) for name in plan.models)
    for task in suite.tasks:
        dataset = known(memes, f"meme dataset (of task {task.name} of suite {suite.name})", task.dataset)
        if task.mapping and schemas.FACETS not in details.of(dataset):
            problem = f"task {task.name} maps the facet {task.mapping.facet!r}, and {dataset.name} has no facets."
            raise InvalidCatalog(f"suites/{suite.name}.yaml", problem)
    return SuiteAsking(plan, suite, asked_models, prompt)


def refuse_twice(plan: StudyPlan) -> None:
    """Raise where a model is asked a suite twice, so that its answers would have one name.

    Raises:
        InvalidCatalog: Names the model and the suite.
    """
    named = [(asked.suite.name, model.name) for asked in plan.suites for model in asked.models]
    for suite, model in named:
        if named.count((suite, model)) > 1:
            raise InvalidCatalog(plan.study.name, f"`suites:` has {model} answer {suite} twice; name each once.")
