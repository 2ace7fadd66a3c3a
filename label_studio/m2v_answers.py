"""What an answer may say: in one's own name, about its own item, and exactly one thing."""

import json

# How m2v_resources/annotators marks a project that is a round.
ROUND = "m2v-round:"
FIELDS = {
    *("result", "lead_time", "was_cancelled", "draft_id", "parent_prediction", "parent_annotation", "started_at"),
    *("project", "task", "completed_by", "user", "ground_truth", "was_postponed", "id", "annotation"),
}


def not_ones_own(data, user_id, *, task_id, annotation_id):
    """Return why an answer, or a draft of one, is not somebody's own word about its item, or null.

    ``data`` holds each field of the body with all of its values, here and below.
    """
    unknown = set(data) - FIELDS
    if unknown:
        return f"An answer has no field {min(unknown)!r}."
    if any(_plain(value) not in _either(user_id) for name in ("completed_by", "user") for value in data.get(name, [])):
        return "An answer is given in one's own name."
    if any(map(_is_yes, data.get("ground_truth", []))):
        return "What is gold is the platform's business."
    for name, number in (("task", task_id), ("annotation", annotation_id)):
        if any(_plain(value) not in _either(number) for value in data.get(name, [])):
            return "An answer stays with its item."
    return None


def not_one_thing(data, *, task_id):
    """Return why a round would quarantine an answer, or null: there it would use up a place that another's needs."""
    from tasks.models import Task

    cancelled = data.get("was_cancelled", [])
    if cancelled and all(map(_is_yes, cancelled)):
        return None  # the server's own skip
    about = Task.objects.filter(id=task_id).values_list("project__description", flat=True).first()
    if not (about or "").startswith(ROUND):
        return None
    if all(len(_chosen(result)) == 1 for result in data.get("result") or [None]):
        return None
    return "Choose one answer, or one reason to skip, then submit."


def _chosen(result):
    """Return the answers and reasons to skip in an answer's result, whatever its shape."""
    if isinstance(result, str):
        try:
            result = json.loads(result)
        except ValueError:
            return []
    chosen = []
    for region in result if isinstance(result, list) else []:
        value = region.get("value") if isinstance(region, dict) else None
        if isinstance(value, dict) and region.get("from_name") in {"label", "skip"}:
            choices = value.get("choices")
            chosen += choices if isinstance(choices, list) else [choices]
    return chosen


def _is_yes(value):
    return _plain(value) not in {None, False, "", "false", "False", "0"}


def _either(number):
    return {None, "", number, str(number)}


def _plain(value):
    return value if isinstance(value, (str, int, bool, type(None))) else object()
