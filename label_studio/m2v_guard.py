"""What the community edition lacks, enforced where nobody can step around it: on the server.

For every account but the one that made the organization: other people's answers are not shown, nothing can be deleted,
imported, exported or changed that is not one's own, an item takes as many answers as its round asks for, and after so
many items or minutes a day, or so long without a break, labelling pauses. Runs inside Label Studio (m2v_settings.py).
"""

import json
import os
import re
from datetime import timedelta

from django.http import JsonResponse
from django.utils import timezone

ITEMS_PER_DAY = int(os.environ.get("M2V_ITEMS_PER_DAY", "200"))
MINUTES_PER_DAY = float(os.environ.get("M2V_MINUTES_PER_DAY", "120"))
MINUTES_BEFORE_BREAK = float(os.environ.get("M2V_MINUTES_BEFORE_BREAK", "25"))
BREAK_MINUTES = float(os.environ.get("M2V_BREAK_MINUTES", "5"))

ANNOTATE = re.compile(r"^/api/tasks/(\d+)/annotations/?$")
ANNOTATION = re.compile(r"^/api/annotations/(\d+)/?$")
TASK = re.compile(r"^/api/tasks/(\d+)/?$")
NEXT = re.compile(r"^/api/projects/\d+/next/?$")
LISTS = re.compile(r"^/api/(tasks|projects/\d+/tasks)/?$")
DRAFT = re.compile(r"^/api/drafts/(\d+)/?$")
DRAFTS = re.compile(r"^/api/tasks/\d+/(annotations/\d+/)?drafts/?$")
VIEWS = re.compile(r"^/api/dm/views(/|$)")
ACTIONS = re.compile(r"^/api/dm/actions/?$")
OWN = re.compile(r"^/api/(current-user|users/\d+|token|user)(/|$)")
ITEM_LISTS = ("annotations", "drafts", "predictions")


class Guard:
    """Middleware. Accounts that are nobody's business here (not logged in, the owner) pass."""

    def __init__(self, get_response):
        self.get_response = get_response

    def __call__(self, request):
        user = getattr(request, "user", None)
        path = request.path
        if not path.startswith("/api/") or not user or not user.is_authenticated:
            # A token is only looked at inside the view, so ask for it here as the view will.
            user = _by_token(request) if path.startswith("/api/") else None
        if user is None or _is_owner(user):
            return self.get_response(request)
        refusal = _forbidden(request, user, path) or _exposure(request, user, path)
        if refusal:
            return refusal
        response = self.get_response(request)
        is_shown = request.method == "GET" and any(shown.match(path) for shown in (TASK, LISTS, ANNOTATE))
        if is_shown or _asks_next(request, path):
            return _blinded(response, user, with_items=not LISTS.match(path))
        return response


def _by_token(request):
    from jwt_auth.auth import TokenAuthenticationPhaseout
    from rest_framework.exceptions import APIException

    try:
        found = TokenAuthenticationPhaseout().authenticate(request)
    except APIException:
        return None  # the view says so
    return found[0] if found else None


def _is_owner(user):
    from organizations.models import Organization

    return Organization.objects.filter(created_by=user).exists()


def _forbidden(request, user, path):
    if request.method in {"GET", "HEAD", "OPTIONS"}:
        is_way_around = "/export" in path or path.startswith(("/api/storages", "/api/invite", "/api/organizations"))
        return _no("Answers leave through the platform only.") if is_way_around else None
    for pattern, methods, judge in (
        (ANNOTATE, {"POST"}, _answering),
        (ANNOTATION, {"PATCH", "PUT"}, _changing),
        (DRAFT, {"PATCH", "PUT", "DELETE"}, _drafting),
    ):
        found = pattern.match(path)
        if found and request.method in methods:
            return judge(request, user, found[1])
    if any(pattern.match(path) for pattern in (DRAFTS, OWN, VIEWS)) or _asks_next(request, path):
        return None
    return _no("Annotators label and skip; everything else is the platform's.")


def _asks_next(request, path):
    """The label stream's next item, as the API and as the pages ask for it."""
    is_action = ACTIONS.match(path) and request.GET.get("id") == "next_task"
    return (request.method == "GET" and NEXT.match(path)) or (request.method == "POST" and is_action)


def _answering(request, user, task_id):
    from tasks.models import Annotation, Task

    others = Annotation.objects.filter(task_id=task_id, was_cancelled=False).exclude(completed_by=user)
    overlap = Task.objects.filter(id=task_id).values_list("overlap", flat=True).first()
    if overlap is not None and others.values("completed_by").distinct().count() >= overlap:
        return _no("This item has all the answers that its round asks for. Go on to the next one.", status=409)
    is_own = _body(request).get("completed_by") in {None, user.id}
    return None if is_own else _no("An answer is given in one's own name.")


def _changing(request, user, annotation_id):
    from tasks.models import Annotation

    is_own = Annotation.objects.filter(id=annotation_id, completed_by=user).exists()
    if is_own and _body(request).get("completed_by") in {None, user.id}:
        return None
    return _no("Only one's own answers can be changed.")


def _drafting(request, user, draft_id):
    from tasks.models import AnnotationDraft

    own = AnnotationDraft.objects.filter(id=draft_id, user=user).exists()
    return None if own else _no("Only one's own drafts can be changed.")


def _exposure(request, user, path):
    """Refuse another item when the day's share is used up or a break is due; an item that is open can be finished."""
    task = TASK.match(path) if request.method == "GET" else None
    if not task and not _asks_next(request, path):
        return None
    from tasks.models import Annotation

    if task and Annotation.objects.filter(task_id=task[1], completed_by=user).exists():
        return None  # to look again at what one said
    now = timezone.now()
    today = now.replace(hour=0, minute=0, second=0, microsecond=0)
    done = list(
        Annotation.objects.filter(completed_by=user, created_at__gte=today)
        .order_by("created_at")
        .values_list("created_at", "lead_time")
    )
    minutes = sum(seconds or 0 for _, seconds in done) / 60
    if len(done) >= ITEMS_PER_DAY or minutes >= MINUTES_PER_DAY:
        return _no(
            f"That was enough for today: {len(done)} items, {minutes:.0f} minutes. Thank you; go on tomorrow.", 429
        )
    since = _since_break([at for at, _ in done])
    if since and now - done[-1][0] < timedelta(minutes=BREAK_MINUTES):
        worked = (done[-1][0] - since).total_seconds() / 60
        if worked >= MINUTES_BEFORE_BREAK:
            until = done[-1][0] + timedelta(minutes=BREAK_MINUTES)
            return _no(f"Time for a break: {worked:.0f} minutes without one. Go on at {until:%H:%M} UTC.", 429)
    return None


def _since_break(times):
    """When the stretch of work that reaches the last answer began."""
    start = None
    for at in reversed(times):
        if start and start - at >= timedelta(minutes=BREAK_MINUTES):
            break
        start = at
    return start


def _blinded(response, user, *, with_items):
    """The response without what other people or models said; a list shows no items, which have a warning first."""
    if response.status_code != 200 or "json" not in response.get("Content-Type", ""):
        return response
    if hasattr(response, "render") and not response.is_rendered:
        response.render()
    data = json.loads(response.content)
    rows = data if isinstance(data, list) else data["tasks"] if isinstance(data, dict) and "tasks" in data else [data]
    kept = [row for row in rows if not _is_others(row, user)]
    for row in kept:
        if not with_items and "data" in row:
            row["data"] = {}
        for name in ("annotations", "drafts"):
            if isinstance(row.get(name), list):
                row[name] = [each for each in row[name] if not _is_others(each, user)]
        for name in ("annotators", "annotations_results", "annotations_ids", "updated_by", "comment_authors"):
            row.pop(name, None)
    if isinstance(data, list):
        data = kept
    response.content = json.dumps(data).encode()
    response["Content-Length"] = str(len(response.content))
    return response


def _is_others(row, user):
    author = row.get("completed_by", row.get("user"))
    author = author.get("id") if isinstance(author, dict) else author
    return isinstance(author, int) and author != user.id


def _body(request):
    try:
        found = json.loads(request.body or b"{}")
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _no(detail, status=403):
    return JsonResponse({"status_code": status, "detail": detail}, status=status)
