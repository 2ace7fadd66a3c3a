"""What the community edition lacks, enforced where nobody can step around it: on the server.

Judge every request of an account that did not make the organization by the route that the server itself resolved.
Routes are allowed by name (`RULES`), everything else is refused. What others said is taken out of what is shown,
media are served for items that the person may see now, and after so many items or minutes a day, or so long without
a break (m2v_exposure.py), labelling pauses. Runs inside Label Studio (m2v_settings.py).
"""

import json
import os
import re
import threading
from dataclasses import dataclass, field

from django.http import JsonResponse
from m2v_answers import not_one_thing, not_ones_own
from m2v_exposure import exposed, may_see, open_s, record
from m2v_shown import item, items, own, own_users, project, rewritten, with_script

# Two answers to an item are judged one after the other, or both would find a place free.
ANSWERING = threading.Lock()
# Accounts, the platform's own among them; the invitation is a key that is passed on.
ACCOUNTS = int(os.environ.get("M2V_ACCOUNTS", "100"))


class Guard:
    """Middleware. Accounts that are nobody's business here (not logged in, the owner) pass."""

    def __init__(self, get_response):
        self.get_response = get_response

    def __call__(self, request):
        response = self.get_response(request)
        annotator = getattr(request, "m2v_annotator", None)
        if annotator:
            response = rewritten(response, annotator, getattr(request, "m2v_blind", None))
        return with_script(response, is_annotators=bool(annotator))

    def process_view(self, request, view, _, kwargs):
        """Refuse the request, or let the view answer and remember what has to be taken out of its answer."""
        users = _users(request)
        route = route_of(request.resolver_match.route)
        if not users or (any(_is_owner(user) for user in users) and len(users) == 1):
            signs_up = not users and route == "user/signup/" and request.method == "POST"
            return (
                _no("This server takes no more accounts. Ask whoever invited you.") if signs_up and _is_full() else None
            )
        if len(users) > 1:
            return _no("This request is in the name of two accounts. Log out of one.")
        (user,) = users
        request.m2v_annotator = user
        rule = RULES.get(route)
        method = "GET" if request.method == "HEAD" else request.method
        if rule is None or method not in rule.methods:
            return _no("Annotators label and skip; everything else is the platform's.")
        data = _data(request, view)
        if data is None:
            return _no("The body cannot be read.", 400)
        return _judged(Ask(request, user, kwargs, data), rule, view)


def _judged(ask, rule, view):
    """Refuse what a rule refuses; let the view answer, with the server's own word for how long that took."""
    if ask.method == "POST" and rule is RULES[ANSWERS]:
        with ANSWERING:
            return rule.judge(ask) or _timed(ask, view, open_s(ask.user, ask.kwargs["pk"]))
    refusal = rule.judge(ask)
    if refusal is None and ask.method != "GET" and rule is RULES[ANSWER]:
        return _timed(ask, view, _time_of(ask.kwargs["pk"]))
    if refusal is None and rule.blind:
        ask.request.m2v_blind = rule.blind
    return refusal


@dataclass(frozen=True)
class Ask:
    """A request as the server will act on it: ``data`` holds each field of the body with all of its values."""

    request: object
    user: object
    kwargs: dict
    data: dict

    @property
    def method(self):
        return "GET" if self.request.method == "HEAD" else self.request.method


@dataclass(frozen=True)
class Rule:
    """Which methods a route takes, who is refused, and what is taken out of its answer."""

    methods: tuple = ("GET",)
    judge: object = field(default=lambda ask: None)
    blind: object = None


def route_of(pattern):
    """Return a resolved pattern without its anchors, which Django joins differently here and there."""
    return re.sub(r"(?<!\[)\^|\$$", "", pattern)


def _users(request):
    """Return each account that a view may take this request for: by its token, and by its session."""
    from jwt_auth.auth import TokenAuthenticationPhaseout
    from rest_framework.exceptions import APIException

    users = []
    try:
        by_token = TokenAuthenticationPhaseout().authenticate(request)
    except APIException:
        by_token = None  # the view says so
    session = getattr(request, "user", None)
    for user in (by_token and by_token[0], session):
        if user and user.is_authenticated and user.id not in {owner.id for owner in users}:
            users.append(user)
    return users


def _is_full():
    from users.models import User

    return User.objects.count() >= ACCOUNTS


def _timed(ask, view, seconds):
    """Let the view answer, and write down how long the item was open by the server's clock: a browser may lie."""
    from tasks.models import Annotation

    response = view(ask.request, **ask.kwargs)
    data = getattr(response, "data", None)
    if response.status_code in {200, 201} and isinstance(data, dict) and "id" in data:
        Annotation.objects.filter(id=data["id"]).update(lead_time=seconds)
        data["lead_time"] = seconds
    return response


def _time_of(number):
    from tasks.models import Annotation

    return Annotation.objects.filter(id=number).values_list("lead_time", flat=True).first()


def _is_owner(user):
    from organizations.models import Organization

    return Organization.objects.filter(created_by_id=user.id).exists()


def _data(request, view):
    """Return the body's fields with all their values, read by the parsers of the view itself; null if they cannot."""
    from django.http import RawPostDataException
    from rest_framework.exceptions import APIException
    from rest_framework.request import Request

    parsers = getattr(getattr(view, "cls", None), "parser_classes", None)
    if parsers is None:
        return {}
    try:
        request.body  # noqa: B018 (kept, so that the view can read it once more)
        data = Request(request, parsers=[parser() for parser in parsers]).data
    except (APIException, RawPostDataException):
        return None
    if hasattr(data, "lists"):
        return dict(data.lists())
    return {name: [value] for name, value in data.items()} if isinstance(data, dict) else None


# --- who is refused


def _answering(ask):
    from tasks.models import Annotation, Task

    if ask.method == "GET":
        return None
    task_id = ask.kwargs["pk"]
    refusal = _in_own_name(ask) or _says_one_thing(ask) or _within_the_day(ask)
    if refusal:
        return refusal
    others = Annotation.objects.filter(task_id=task_id, was_cancelled=False).exclude(completed_by_id=ask.user.id)
    overlap = Task.objects.filter(id=task_id).values_list("overlap", flat=True).first()
    if overlap is not None and others.values("completed_by").distinct().count() >= overlap:
        return _no("This item has all the answers that its round asks for. Go on to the next one.", 409)
    if overlap is not None and not may_see(ask.user, task_id):
        record(ask.user, task_id)
    return None


def _in_own_name(ask):
    task_id = _task_id(ask)
    refusal = not_ones_own(
        ask.data, ask.user.id, task_id=task_id, annotation_id=ask.kwargs.get("annotation_id", task_id)
    )
    return _no(refusal) if refusal else None


def _says_one_thing(ask):
    refusal = not_one_thing(ask.data, task_id=_task_id(ask))
    return _no(refusal) if refusal else None


def _task_id(ask):
    from tasks.models import Annotation, AnnotationDraft

    kind = {ANSWER: Annotation, DRAFT: AnnotationDraft}.get(route_of(ask.request.resolver_match.route))
    if kind is None:
        return ask.kwargs.get("pk")
    return kind.objects.filter(id=ask.kwargs["pk"]).values_list("task_id", flat=True).first()


def _own_answer(ask):
    from tasks.models import Annotation

    number = ask.kwargs.get("annotation_id", ask.kwargs["pk"])
    if not Annotation.objects.filter(id=number, completed_by_id=ask.user.id).exists():
        return _no("Only one's own answers can be read and changed.")
    return None if ask.method == "GET" else _in_own_name(ask)


def _changing(ask):
    """Refuse what is wrong with a change of an answer; one that leaves its result alone says what it said."""
    return _own_answer(ask) or (_says_one_thing(ask) if "result" in ask.data else None)


def _own_draft(ask):
    from tasks.models import AnnotationDraft

    if not AnnotationDraft.objects.filter(id=ask.kwargs["pk"], user_id=ask.user.id).exists():
        return _no("Only one's own drafts can be read and changed.")
    return None if ask.method == "GET" else _in_own_name(ask)


def _drafting(ask):
    return None if ask.method == "GET" else _in_own_name(ask)


def _own_account(ask):
    return None if str(ask.kwargs["pk"]) == str(ask.user.id) else _no("Only one's own account can be read.")


def _within_the_day(ask):
    refusal = exposed(ask.user, ask.kwargs.get("pk") if "tasks/" in ask.request.resolver_match.route else None)
    return _no(refusal, 429) if refusal else None


def _seen(ask):
    return None if may_see(ask.user, ask.kwargs["task_id"]) else _no("This item is not open for you.")


def _unsorted(ask):
    """Refuse to choose items by what others said about them, or by what they say."""
    from data_manager.models import View

    asked = ask.request.GET
    if set(asked) & {"query", "filters", "ordering", "only_annotated", "selectedItems"}:
        return _no("Lists of annotators are neither filtered nor sorted.")
    views = [*asked.getlist("view"), *ask.data.get("view", [])]
    for view in View.objects.filter(id__in=[view for view in views if str(view).isdigit()]):
        if (view.filter_group_id and view.filter_group.filters.exists()) or view.ordering or _chooses(view.data):
            return _no("Lists of annotators are neither filtered nor sorted.")
    if any(_chooses({name: value}) for name, values in ask.data.items() for value in values):
        return _no("Lists of annotators are neither filtered nor sorted.")
    return None


def _chooses(data):
    """Return whether a view's or an action's settings filter or sort."""
    if isinstance(data, str):
        try:
            data = json.loads(data)
        except ValueError:
            return False
    if isinstance(data, list):
        return any(map(_chooses, data))
    if not isinstance(data, dict):
        return False
    filters = data.get("filters")
    if (isinstance(filters, str) and filters) or (isinstance(filters, list) and filters):
        return True
    if isinstance(filters, dict) and filters.get("items"):
        return True
    return bool(data.get("ordering")) or bool(data.get("filter_group")) or _chooses(data.get("data"))


def _next(ask):
    return _unsorted(ask) or _within_the_day(ask)


def _action(ask):
    if ask.method == "GET":
        return None
    if ask.request.GET.getlist("id") != ["next_task"]:
        return _no("Annotators label and skip; everything else is the platform's.")
    return _next(ask)


def _none(answer):
    """Answer that there are none: the page shows an error where it is refused."""
    return lambda ask: JsonResponse(answer, safe=False)


ANSWERS = "api/tasks/<int:pk>/annotations/"
ANSWER = "api/annotations/<int:pk>/"
DRAFT = "api/drafts/<int:pk>/"
RULES = {
    **dict.fromkeys(
        (
            *(
                "",
                "sw\\.js",
                "sw-fallback\\.js",
                "favicon\\.ico",
                "label-studio-frontend/(?P<path>.*)",
                "dm/(?P<path>.*)",
            ),
            *("react-app/(?P<path>.*)", "static/fonts/roboto/roboto.css", "static/(?P<path>.*)", "projects/"),
            *("projects/<int:pk>/", "projects/<int:pk>/data/", "user/account/", "user/account/<sub_path>"),
            *(
                "data/avatars/(?P<path>.*)",
                "api/current-user/token",
                "api/current-user/whoami",
                "api/version/",
                "health/",
            ),
            *(
                "version/",
                "feature-flags/",
                "heidi-tips/",
                "api/dm/columns/",
                "api/projects/<int:pk>/label-stream-history/",
            ),
        ),
        Rule(),
    ),
    **dict.fromkeys(("user/login/", "user/signup/", "logout/?", "api-auth/logout/", "__lsa/"), Rule(("GET", "POST"))),
    **dict.fromkeys(("api/token/", "api/current-user/reset-token/"), Rule(("GET", "POST"))),
    **dict.fromkeys(("api/token/refresh/", "api/token/blacklist/", "api/token/rotate/"), Rule(("POST",))),
    **dict.fromkeys(("api/current-user/product-tour", "api/current-user/hotkeys/"), Rule(("GET", "PATCH"))),
    **dict.fromkeys(
        ("api/projects/", "api/projects/counts/", "api/projects/<int:pk>/", "api/dm/project/"), Rule(blind=project)
    ),
    "api/projects/<int:pk>/next/": Rule(("GET",), _next, item),
    "api/tasks/": Rule(("GET",), _unsorted, items),
    "api/projects/<int:pk>/tasks/": Rule(("GET",), _unsorted, items),
    "api/tasks/<int:pk>/": Rule(("GET",), _within_the_day, item),
    ANSWERS: Rule(("GET", "POST"), _answering, own),
    ANSWER: Rule(("GET", "PATCH", "PUT"), _changing),
    "api/tasks/<int:pk>/drafts": Rule(("GET", "POST"), _drafting, own),
    "api/tasks/<int:pk>/annotations/<int:annotation_id>/drafts": Rule(("GET", "POST"), _own_answer, own),
    DRAFT: Rule(("GET", "PATCH", "PUT", "DELETE"), _own_draft),
    "api/dm/views/": Rule(("GET", "POST"), _unsorted),
    "api/dm/views/(?P<pk>[^/.]+)/": Rule(("GET", "PATCH", "PUT"), _unsorted),
    "api/dm/actions/": Rule(
        ("GET", "POST"), _action, lambda data, user: item(data, user) if isinstance(data, dict) else data
    ),
    "api/users/": Rule(("GET",), blind=own_users),
    "api/users/(?P<pk>[^/.]+)/": Rule(("GET",), _own_account),
    "api/label_links/": Rule(("GET",), _none({"count": 0, "results": []})),
    "api/ml/": Rule(("GET",), _none([])),
    "m2v/media/<int:task_id>/<str:name>": Rule(("GET",), _seen),
    "m2v/page.js": Rule(),
}


def _no(detail, status=403):
    return JsonResponse({"status_code": status, "detail": detail}, status=status)
