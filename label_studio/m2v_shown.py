"""What annotators are shown of what the server answers: their own, and nothing of others'."""

import json
import re

from m2v_exposure import record

ADDRESS = re.compile(r"^(/data/|s3://|gs://|azure-blob://)")
PERSONAL = ("email", "username", "first_name", "last_name", "initials", "phone", "avatar")
TASK_FIELDS = {
    *("id", "data", "meta", "project", "inner_id", "created_at", "annotations", "drafts", "queue", "allow_skip"),
    *("overlap", "is_in_review", "review_settings", "mode"),
}


def rewritten(response, user, blind):
    """Return what an annotator is told in JSON: blinded where a rule says so, and nobody else's name or address.

    What is no JSON has nothing of others.
    """
    if response.streaming or response.status_code != 200 or "json" not in response.get("Content-Type", ""):
        return response

    def change(content):
        said = json.loads(content)
        return json.dumps(nameless(blind(said, user) if blind else said, user)).encode()

    return _changed(response, change)


def nameless(data, user):
    """Return the same without the names and addresses of anybody else."""
    if isinstance(data, list):
        return [nameless(each, user) for each in data]
    if not isinstance(data, dict):
        return data
    kept = {name: nameless(value, user) for name, value in data.items()}
    if "email" in data and str(data.get("id", data.get("user"))) != str(user.id):
        kept |= {name: "" for name in PERSONAL if isinstance(data.get(name), str)}
    return kept


def with_script(response, *, is_annotators):
    """Return a page with our script, and anything else as it is."""
    if response.streaming or not response.get("Content-Type", "").startswith("text/html"):
        return response
    script = b'<script src="/m2v/page.js"%s></script></head>' % (b' data-for="annotator"' if is_annotators else b"")
    return _changed(response, lambda content: content.replace(b"</head>", script, 1))


def _changed(response, change):
    if hasattr(response, "render") and not response.is_rendered:
        response.render()
    response.content = change(response.content)
    response["Content-Length"] = str(len(response.content))
    return response


def item(data, user):
    """Return one item: with its own content, media by number, and one's own answers only."""
    if "id" not in data:
        return data
    task = blinded_item(data, user)
    if not task["annotations"]:
        record(user, task["id"])
    return task


def items(data, user):
    """Return a list without its items' content, which has a warning first."""
    rows = data if isinstance(data, list) else data.get("tasks", data.get("results", []))
    blinded = [{**blinded_item(row, user), "data": {}} for row in rows]
    if isinstance(data, list):
        return blinded
    return {"tasks": blinded, "total": data.get("total", len(blinded)), "total_annotations": 0, "total_predictions": 0}


def blinded_item(row, user):
    shown = {name: value for name, value in row.items() if name in TASK_FIELDS}
    for name in ("annotations", "drafts"):
        shown[name] = own(row[name], user) if isinstance(row.get(name), list) else []
    shown |= {"predictions": [], "total_annotations": len(shown["annotations"]), "total_predictions": 0}
    if isinstance(shown.get("data"), dict):
        shown["data"] = addressed(row["id"], shown["data"])
    return shown


def addressed(task_id, data):
    """Return an item's data with numbers for the addresses of its media, whose names may tell what it is."""
    from tasks.models import Task

    stored = Task.objects.filter(id=task_id).values_list("data", flat=True).first() or {}
    media = {name for name, value in stored.items() if isinstance(value, str) and ADDRESS.match(value)}
    return {name: f"/m2v/media/{task_id}/{name}" if name in media else value for name, value in data.items()}


def own(data, user):
    rows = data if isinstance(data, list) else data.get("results", [])
    kept = [row for row in rows if isinstance(row, dict) and author(row) == user.id]
    return kept if isinstance(data, list) else {**data, "results": kept, "count": len(kept)}


def author(row):
    author = row.get("completed_by", row.get("user"))
    return author.get("id") if isinstance(author, dict) else author


def own_users(data, user):
    rows = data if isinstance(data, list) else data.get("results", [])
    kept = [row for row in rows if row.get("id") == user.id]
    return kept if isinstance(data, list) else {**data, "results": kept, "count": len(kept)}


COUNTS = re.compile(
    r"annotat\w*_(number|count)|_annotations$|_labels$|finished_task|ground_truth_number|predictions_number"
)


def project(data, _):
    """Return projects without the counts of others' answers; zero rather than missing, as the pages calculate."""
    rows = data if isinstance(data, list) else data.get("results", [data])
    for row in rows:
        for name, value in row.items():
            if isinstance(value, int) and not isinstance(value, bool) and COUNTS.search(name):
                row[name] = 0
    return data
