"""What each annotator was shown and when, counted on the server: what a browser reports can be anything."""

import os
from datetime import timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

from django.db import connection
from django.utils import timezone

ITEMS_PER_DAY = int(os.environ.get("M2V_ITEMS_PER_DAY", "200"))
MINUTES_PER_DAY = float(os.environ.get("M2V_MINUTES_PER_DAY", "120"))
MINUTES_BEFORE_BREAK = float(os.environ.get("M2V_MINUTES_BEFORE_BREAK", "25"))
# Of the team, as in "Europe/Berlin": where its day ends.
ZONE = ZoneInfo(os.environ.get("M2V_TIME_ZONE") or "UTC")
BREAK_MINUTES = float(os.environ.get("M2V_BREAK_MINUTES", "5"))
# Nobody looks at one item for longer; who leaves it open and goes away has not worked.
MINUTES_AT_ONE = max(BREAK_MINUTES, 5.0)
# A table of our own and no model: Label Studio's migrations stay its own.
TABLE = (
    "CREATE TABLE IF NOT EXISTS m2v_shown "
    "(user_id INTEGER NOT NULL, task_id INTEGER NOT NULL, at DOUBLE PRECISION NOT NULL)",
    "CREATE INDEX IF NOT EXISTS m2v_shown_user ON m2v_shown (user_id, at)",
)


def record(user, task_id):
    """Write down that an item was shown to somebody now."""
    with _table() as cursor:
        row = [user.id, task_id, timezone.now().timestamp()]
        cursor.execute("INSERT INTO m2v_shown (user_id, task_id, at) VALUES (%s, %s, %s)", row)


def may_see(user, task_id):
    """Return whether an item was shown to somebody, or answered by them."""
    from tasks.models import Annotation, Task

    if Annotation.objects.filter(task_id=task_id, completed_by_id=user.id).exists():
        return True
    made = Task.objects.filter(id=task_id).values_list("created_at", flat=True).first()
    if made is None:
        return False
    with _table() as cursor:  # numbers of deleted items are given again
        row = [user.id, task_id, made.timestamp()]
        cursor.execute("SELECT COUNT(*) FROM m2v_shown WHERE user_id = %s AND task_id = %s AND at >= %s", row)
        return cursor.fetchone()[0] > 0


def open_s(user, task_id):
    """Return for how many seconds an item has been open for somebody, at most as long as anybody looks at one."""
    with _table() as cursor:
        cursor.execute("SELECT MAX(at) FROM m2v_shown WHERE user_id = %s AND task_id = %s", [user.id, task_id])
        at = cursor.fetchone()[0]
    return 0.0 if at is None else min(max(timezone.now().timestamp() - at, 0.0), 60 * MINUTES_AT_ONE)


def exposed(user, task_id):
    """Return why no other item is shown now, or null; an item that is open can be finished."""
    if task_id is not None and may_see(user, task_id):
        return None
    now = timezone.now()
    events = _events(user, since=day_began(now, ZONE))
    if not events:
        return None
    n_items = len({task for _, task, _ in events})
    minutes = _minutes(events, now=now.timestamp())
    if n_items >= ITEMS_PER_DAY or minutes >= MINUTES_PER_DAY:
        return f"That was enough for today: {n_items} items, {minutes:.0f} minutes. Thank you; go on tomorrow."
    times = [at for at, _, _ in events]
    worked = (times[-1] - _since_break(times)) / 60
    if now.timestamp() - times[-1] < 60 * BREAK_MINUTES and worked >= MINUTES_BEFORE_BREAK:
        until = now + timedelta(seconds=times[-1] + 60 * BREAK_MINUTES - now.timestamp())
        return f"Time for a break: {worked:.0f} minutes without one. Go on at {until.astimezone(ZONE):%H:%M (%Z)}."
    return None


def day_began(now, zone):
    """Return when the day of a moment began where people work."""
    return now.astimezone(zone).replace(hour=0, minute=0, second=0, microsecond=0, fold=0)


def _events(user, *, since):
    """Return what was shown and answered, as (seconds, item, whether it was shown), in order."""
    from tasks.models import Annotation

    with _table() as cursor:
        cursor.execute(
            "SELECT at, task_id FROM m2v_shown WHERE user_id = %s AND at >= %s", [user.id, since.timestamp()]
        )
        shown = [(at, task_id, True) for at, task_id in cursor.fetchall()]
    answered = Annotation.objects.filter(completed_by_id=user.id, created_at__gte=since)
    return sorted(
        [*shown, *((at.timestamp(), task, False) for at, task in answered.values_list("created_at", "task_id"))]
    )


def _minutes(events, *, now):
    """Return how long items were open: from showing to whatever came next."""
    ends = [*events, (max(now, events[-1][0]), None, False)]
    return sum(min((end - at) / 60, MINUTES_AT_ONE) for (at, _, is_shown), (end, _, _) in pairwise(ends) if is_shown)


def _since_break(times):
    """Return when the stretch of work that reaches the last event began."""
    start = times[-1]
    for at in reversed(times):
        if start - at >= 60 * BREAK_MINUTES:
            break
        start = at
    return start


class _table:  # noqa: N801 (reads as a statement)
    """A cursor of a database that has the table."""

    is_made = False

    def __enter__(self):
        self.cursor = connection.cursor()
        if not _table.is_made:
            for statement in TABLE:
                self.cursor.execute(statement)
            _table.is_made = True
        return self.cursor

    def __exit__(self, *_):
        self.cursor.close()
