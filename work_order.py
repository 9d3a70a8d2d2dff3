"""Work orders: their fields, who may change them, how they are found, their history, reports, export and import.

`python work_order.py` sends the waiting messages about them.
"""

import os
import re
import sqlite3
import sys
import unicodedata
from bisect import bisect_right
from collections import Counter, defaultdict
from contextlib import ExitStack, closing, contextmanager
from datetime import date, datetime, timedelta, timezone
from datetime import time as time_of_day
from enum import Enum, IntEnum
from functools import lru_cache
from itertools import chain, islice
from pathlib import Path
from typing import (
    AbstractSet,
    Any,
    BinaryIO,
    Callable,
    Dict,
    FrozenSet,
    Generic,
    Iterable,
    Iterator,
    List,
    Mapping,
    NamedTuple,
    Optional,
    Protocol,
    Sequence,
    TextIO,
    Tuple,
    TypeVar,
    Union,
)

import database
import users
from database import ApplicationError, Connection, distinct, limited, now, snapshot, transaction, utc_text, where
from users import COUNTED_AT_MOST, NOBODY, NONE, Action, InvalidInputError, Scope, Session, User

UNFINISHED = "unfinished"
MAXIMUM_TITLE = 120
MAXIMUM_TEXT = 10_000
MAXIMUM_CATEGORY = 40
LATEST_NOTES = 20  # that a work order's screen can show
WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
MAXIMUM_NOTES = 200_000  # of a work order, comments and notes together: what each new one has to index again
LEAST_NOTE = 100  # that a note counts as
MAXIMUM_SEARCH = 200  # which also bounds how many words the index is asked for
# How much a report reads at once, so that nobody who saves has to wait for all of it: rows of an index, rows that need
# others looked up, weeks.
SLICE, SLICE_WITH_LOOKUPS, WEEKS_AT_ONCE = 25_000, 500, 13
SEARCH_SECONDS = 2  # for as long as somebody reads, nobody else can save
SORTED_AT_MOST = 15_000  # hits of a search; if there are more, each row is looked up in the list's order instead
TERMS_AT_MOST = 100  # words that a beginning may stand for in a search

V = TypeVar("V")


# Errors


class NotFoundError(ApplicationError):
    """There is no such work order for this account: never given, deleted, or somebody else's."""


class ConflictError(ApplicationError):
    """Somebody else changed the same field after it was shown."""


# Vocabulary


class Status(str, Enum):
    OPEN = "Open"
    IN_PROGRESS = "In Progress"
    ON_HOLD = "On Hold"
    RESOLVED = "Resolved"
    CANCELLED = "Cancelled"

    @property
    def is_finished(self) -> bool:
        """Whether no more work is expected."""
        return self in (Status.RESOLVED, Status.CANCELLED)

    def __str__(self) -> str:
        return self.value


class Priority(IntEnum):
    LOW = 1
    MEDIUM = 2
    HIGH = 3
    CRITICAL = 4

    def __str__(self) -> str:
        return self.name.capitalize()


class Sort(str, Enum):
    """The order of a list."""

    URGENCY = "urgency"
    NEWEST = "newest"
    OLDEST = "oldest"
    CHANGED = "recently changed"
    DUE = "due"

    def __str__(self) -> str:
        return self.value

    @property
    def description(self) -> str:
        """What comes first in a list of this order."""
        return {
            Sort.URGENCY: "most urgent first",
            Sort.NEWEST: "newest first",
            Sort.OLDEST: "oldest first",
            Sort.CHANGED: "most recently changed first",
            Sort.DUE: "earliest due first",
        }[self]


class Due(str, Enum):
    """When work orders are due, to filter by; a week runs from Monday to Sunday in local time."""

    OVERDUE = "overdue"
    THIS_WEEK = "this week"

    def __str__(self) -> str:
        return self.value


class DueBy(str, Enum):
    """What has set a due time."""

    HAND = "hand"
    TARGET = "target"

    def __str__(self) -> str:
        return self.value


# Rows


class WorkOrder(NamedTuple):
    """A row of work_orders with the usernames of its people; times are UTC.

    `due_by` is what set the due time, even to none, and `held_since` when the present hold began. `urgency`,
    `is_finished` and `due_rank` are what lists are sorted by, lowest first: those without a due date come last.
    """

    id: int
    title: str
    description: str
    priority: Priority
    category: Optional[str]
    status: Status
    requester_id: int
    requester: str
    assignee: Optional[str]
    created_at: datetime
    updated_at: datetime
    resolved_at: Optional[datetime]
    due_at: Optional[datetime]
    deleted_at: Optional[datetime]
    due_by: Optional[DueBy]
    held_since: Optional[datetime]
    urgency: int
    is_finished: int
    due_rank: str

    @property
    def created_second(self) -> int:
        """When it was created, in seconds since 1970."""
        return int(self.created_at.timestamp())

    @property
    def is_overdue(self) -> bool:
        """Whether it should have been finished by now; a due time that came from a target does not run out On Hold."""
        stopped_at = self.held_since if self.due_by is DueBy.TARGET else None
        moment = stopped_at or datetime.now(timezone.utc)
        return self.due_at is not None and not self.status.is_finished and self.due_at < moment


class HistoryEntry(NamedTuple):
    """One change of a work order, or a comment: when (UTC), by whom, which field, from what, to what, and its note."""

    id: int
    changed_at: datetime
    username: str
    field: str
    old_value: Optional[str]
    new_value: Optional[str]
    note: str


class Details(NamedTuple):
    """A work order as its screen shows it: its latest comments and notes, newest first, and what the person may do."""

    work_order: WorkOrder
    notes: List[HistoryEntry]
    actions: FrozenSet[Action]
    is_mine: bool


_SELECT_HISTORY = """
    SELECT work_order_history.id, work_order_id, changed_at, username, field, old_value, new_value, note
    FROM work_order_history JOIN users ON users.id = user_id
"""


def _select(source: str = "work_orders") -> str:
    return f"""
        SELECT work_orders.id, work_orders.title, work_orders.description, priority, category, status,
            requester_id,
            requesters.username AS requester, assignees.username AS assignee, work_orders.created_at, updated_at,
            resolved_at, due_at, deleted_at, due_by, held_since, urgency, is_finished, due_rank
        FROM {source}
        LEFT JOIN users AS requesters ON requesters.id = requester_id
        LEFT JOIN users AS assignees ON assignees.id = assignee_id
    """


def _work_order(row: sqlite3.Row) -> WorkOrder:
    return WorkOrder(
        id=row["id"],
        title=row["title"],
        description=row["description"],
        priority=Priority(row["priority"]),
        category=row["category"],
        status=Status(row["status"]),
        requester_id=row["requester_id"],
        requester=row["requester"],
        assignee=row["assignee"],
        created_at=datetime.fromisoformat(row["created_at"]),
        updated_at=datetime.fromisoformat(row["updated_at"]),
        resolved_at=_moment(row["resolved_at"]),
        due_at=_moment(row["due_at"]),
        deleted_at=_moment(row["deleted_at"]),
        due_by=_due_by(row["due_by"], row["due_at"]),
        held_since=_moment(row["held_since"]),
        urgency=row["urgency"],
        is_finished=row["is_finished"],
        due_rank=row["due_rank"],
    )


def _moment(text: Optional[str]) -> Optional[datetime]:
    return datetime.fromisoformat(text) if text else None


def _due_by(text: Optional[str], due_at: Optional[str]) -> Optional[DueBy]:
    """Return what set the due time; if there is one and nothing says what set it, it was set by hand."""
    return DueBy(text) if text else DueBy.HAND if due_at else None


def _history_entry(row: sqlite3.Row) -> HistoryEntry:
    return HistoryEntry(
        id=row["id"],
        changed_at=datetime.fromisoformat(row["changed_at"]),
        username=row["username"],
        field=row["field"],
        old_value=row["old_value"],
        new_value=row["new_value"],
        note=row["note"],
    )


# Input


def parse_id(text: str) -> int:
    """Return the id of a work order written as 12 or #12. Raises InvalidInputError."""
    if not re.fullmatch("#?[0-9]{1,18}", text):
        raise InvalidInputError("A work order ID is a number such as 12.")
    return int(text.lstrip("#"))


def parse_title(text: str) -> str:
    """Return the title on one line, in Unicode's form NFC, without space around it.

    Raises InvalidInputError outside 1 to 120 characters, and for NUL.
    """
    title = re.sub(r"[\n\r\t]", " ", users.plain_text(text))
    if not 1 <= len(title) <= MAXIMUM_TITLE:
        raise InvalidInputError(f"A title has 1 to {MAXIMUM_TITLE} characters; this one has {len(title):,}.")
    return title


def parse_text(text: str) -> str:
    """Return a text in Unicode's form NFC, without space around it.

    Raises InvalidInputError above 10,000 characters, and for NUL.
    """
    plain = users.plain_text(text)
    if len(plain) > MAXIMUM_TEXT:
        raise InvalidInputError(f"A text has at most {MAXIMUM_TEXT:,} characters; this one has {len(plain):,}.")
    return plain


def parse_optional_text(text: str) -> str:
    """Return a text as parse_text does; `none` is the empty one. Raises InvalidInputError."""
    return "" if text.lower() == NONE else parse_text(text)


def parse_category(session: Session, text: str) -> Optional[str]:
    """Return the category that the text means: one in use by its name or the beginning of one; `none` is None.

    Those who may name a new one can use any name that is not the beginning of one in use. Capitals don't matter. Raises
    InvalidInputError.
    """
    known = (*categories(session), NONE)
    is_known = any(name.lower().startswith(text.lower()) for name in known)
    if is_known or text.isdigit() or not users.may(users.current_user(session), Action.NAME_CATEGORY):
        choice = users.parse_choice(known, text)
        return None if choice == NONE else choice
    return _check_category(session, text)


def categories(session: Session) -> List[str]:
    """Return the categories in use, by name."""
    with snapshot(session.connection):
        users.authorize(session, Action.CREATE)
        return _categories(session.connection)


def parse_due_date(text: str) -> Optional[datetime]:
    """Return the moment, in UTC, that the text means, or None for `none`.

    It is a local day (its last second), a day and a time, a time today, a number of days from today (+3d) or of hours
    from now (+4h). A day is a date, today, tomorrow, or the beginning of a weekday, which is the next such day. Raises
    InvalidInputError.
    """
    if text.lower() == NONE:
        return None
    text = " ".join(text.lower().split())
    hours = re.fullmatch(r"\+([0-9]{1,4})h", text)
    if hours:
        return (datetime.now(timezone.utc) + timedelta(hours=int(hours[1]))).replace(second=0, microsecond=0)
    form = re.fullmatch(r"([0-9]{4}-[0-9]{2}-[0-9]{2}|\+[0-9]{1,4}d|[a-z]+)? ?([0-9]{1,2}:[0-9]{2})?", text)
    try:
        day = _parse_day(form[1]) if form and text else None
        time = datetime.strptime(form[2], "%H:%M").time() if form and form[2] else _END_OF_DAY
    except ValueError:
        day = None
    if not (day and 2000 <= day.year <= 2999):
        raise InvalidInputError(
            "A due date is a day such as 2026-12-31, tomorrow, fri or +3d, with or without a time such as 17:00; "
            "or a time, +4h, or none."
        )
    local = datetime.combine(day, time)
    moment = local.astimezone(timezone.utc)
    if moment.astimezone().replace(tzinfo=None) != local:
        raise InvalidInputError(f"There is no {local:%Y-%m-%d %H:%M} here: the clocks are set forward over it.")
    return moment


_END_OF_DAY = time_of_day(23, 59, 59)


def _parse_day(text: Optional[str]) -> Optional[date]:
    """Return the day that the text means: today for none, or None if it means no day. Raises ValueError."""
    today = date.today()
    if not text:
        return today
    if text[0].isdigit():
        return date.fromisoformat(text)
    if text.startswith("+"):
        return today + timedelta(days=int(text[1:-1]))
    days = {"today": 0, "tomorrow": 1}
    days.update({word: (number - today.weekday() - 1) % 7 + 1 for number, word in enumerate(WEEKDAYS)})
    possible = [days[word] for word in days if word.startswith(text)]
    return today + timedelta(days=possible[0]) if len(possible) == 1 else None


# Fields


class Field(Generic[V]):
    """What can be changed of a work order, declared once.

    Its name in the history, the right that a change takes, how it is read, the SQL that assigns `:new` to it, how a new
    value is checked inside the transaction, how the history's text is shown, the history's word for None, and what
    follows from a change: it gets the connection, who acts, the work order as it was, the new value and the time.
    """

    def __init__(
        self,
        name: str,
        action: Action,
        read: Callable[[WorkOrder], V],
        assignment: str,
        check: Callable[[Session, V], V] = lambda _, value: value,
        describe: Callable[[str], str] = str,
        none: str = NONE,
        follow_up: Callable[[Connection, User, WorkOrder, V, str], None] = lambda *_: None,
    ) -> None:
        self.name, self.action, self.read, self.assignment = name, action, read, assignment
        self.check, self.describe, self.none, self.follow_up = check, describe, none, follow_up

    def as_text(self, value: V) -> str:
        """Return a value as the history stores it; a moment is UTC, ISO 8601."""
        if value is None:
            return self.none
        return utc_text(value) if isinstance(value, datetime) else str(value)


TITLE = Field(
    "title",
    Action.EDIT,
    lambda work_order: work_order.title,
    "title = :new",
    lambda _, title: parse_title(title),
)
DESCRIPTION = Field(
    "description",
    Action.EDIT,
    lambda work_order: work_order.description,
    "description = :new",
    lambda _, description: parse_text(description),
)
PRIORITY = Field(
    "priority",
    Action.EDIT,
    lambda work_order: work_order.priority,
    "priority = :new",
    follow_up=lambda *change: _follow_priority(*change),
)
CATEGORY: Field[Optional[str]] = Field(
    "category",
    Action.EDIT,
    lambda work_order: work_order.category,
    "category = :new",
    lambda session, category: _check_category(session, category),
)
_STATUS = Field(
    "status",
    Action.CHANGE_STATUS,
    lambda work_order: work_order.status,
    "status = :new, resolved_at = CASE WHEN :new = 'Resolved' THEN :now END",
    follow_up=lambda *change: _follow_hold(*change),
)
DUE_DATE = Field(
    "due date",
    Action.SET_DUE_DATE,
    lambda work_order: work_order.due_at,
    "due_at = :new, due_by = 'hand'",
    describe=lambda text: local_time(datetime.fromisoformat(text)),
)
ASSIGNEE: Field[Optional[str]] = Field(
    "assignee",
    Action.ASSIGN,
    lambda work_order: work_order.assignee,
    "assignee_id = (SELECT id FROM users WHERE username = :new)",
    lambda session, username: None if username is None else users.find_assignee(session.connection, username).username,
    none=NOBODY,
)
REQUESTER = Field(
    "requester",
    Action.CHANGE_REQUESTER,
    lambda work_order: work_order.requester,
    "requester_id = (SELECT id FROM users WHERE username = :new)",
    lambda session, username: users.find_requester(session.connection, username).username,
)


FIELDS: Mapping[str, Field[Any]] = {
    field.name: field for field in (TITLE, DESCRIPTION, PRIORITY, CATEGORY, _STATUS, DUE_DATE, ASSIGNEE, REQUESTER)
}


def _check_category(session: Session, name: Optional[str]) -> Optional[str]:
    """Return the category as it is spelt already, or a new one if the person may name it."""
    if name is None:
        return None
    name = users.plain_text(name).replace("\n", " ")
    for known in _categories(session.connection):
        if known.casefold() == name.casefold():
            return known
    if not users.may(users.current_user(session), Action.NAME_CATEGORY):
        raise InvalidInputError(f"There is no category {name[:MAXIMUM_CATEGORY]}.")
    return _parse_new_category(name)


def _parse_new_category(name: str) -> str:
    if name.lower() in (NONE, users.ANY, ALL) or not name.isprintable():
        raise InvalidInputError(
            f"A category has printable characters and cannot be named {NONE}, {users.ANY} or {ALL}."
        )
    if not 1 <= len(name) <= MAXIMUM_CATEGORY:
        raise InvalidInputError(f"A category has 1 to {MAXIMUM_CATEGORY} characters; this one has {len(name):,}.")
    return name


def _categories(connection: Connection) -> List[str]:
    return sorted(distinct(connection, "work_orders", "category", "deleted_at IS NULL"), key=str.casefold)


# Creating and opening


def create(
    session: Session,
    title: str,
    description: str,
    priority: Priority,
    category: Optional[str] = None,
    requester: Optional[str] = None,
) -> int:
    """Create a work order of the person's own, or of the requester whom a manager or admin names; return its id.

    Raises InvalidInputError, PermissionDeniedError.
    """
    title, description = parse_title(title), parse_text(description)
    with transaction(session.connection):
        user = owner = users.authorize(session, Action.CREATE)
        category = _check_category(session, category)
        if requester and requester != user.username:
            users.authorize(session, Action.CHANGE_REQUESTER)
            owner = users.find_requester(session.connection, requester)
        at, target = now(), _service_target(session.connection, priority)
        due_at = _due_at(datetime.fromisoformat(at), target.resolution_hours)
        cursor = session.connection.execute(
            """
            INSERT INTO work_orders (
                title, description, priority, category, requester_id, created_at, updated_at,
                due_at, due_by, response_hours
            )
            VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
            """,
            (
                *(title, description, priority, category, owner.id, at, at),
                *(due_at and utc_text(due_at), due_at and DueBy.TARGET, target.response_hours),
            ),
        )
        assert cursor.lastrowid is not None
        _record(session.connection, cursor.lastrowid, user, at, "created")
    return cursor.lastrowid


def get(session: Session, work_order_id: int) -> Details:
    """Return the work order with its latest comments and notes and what the person may do with it.

    Raises NotFoundError, in the same words for somebody else's work order and for one never given.
    """
    with snapshot(session.connection):
        user = users.authorize(session, Action.VIEW)
        work_order = _visible(session, user, work_order_id)
        notes = session.connection.execute(
            f"""
            {_SELECT_HISTORY}
            WHERE work_order_id = ? AND note <> '' ORDER BY work_order_history.id DESC LIMIT {LATEST_NOTES}
            """,
            (work_order_id,),
        ).fetchall()
    actions = frozenset(action for action in Action if is_permitted(user, action, work_order))
    return Details(work_order, list(map(_history_entry, notes)), actions, work_order.assignee == user.username)


def is_permitted(user: User, action: Action, work_order: WorkOrder) -> bool:
    """Return whether the user may take the action on this work order, as things stood when both were read."""
    scope = users.scope(user, action)
    if scope is Scope.OWN_UNFINISHED and work_order.status.is_finished:
        return False
    return scope is Scope.ALL or (scope is not Scope.NONE and work_order.requester_id == user.id)


def _find(connection: Connection, work_order_id: int) -> Optional[WorkOrder]:
    row = connection.execute(_select() + "WHERE work_orders.id = ?", (work_order_id,)).fetchone()
    return _work_order(row) if row else None


def _visible(session: Session, user: User, work_order_id: int, include_deleted: bool = False) -> WorkOrder:
    found = _find(session.connection, work_order_id)
    if found is None or not is_permitted(user, Action.VIEW, found) or (found.deleted_at and not include_deleted):
        raise NotFoundError(f"There is no work order #{work_order_id}.")
    return found


# Changing


def change(session: Session, shown: WorkOrder, field: Field[V], new: V) -> bool:
    """Give a field of the work order another value; return False if it was that already.

    Raises NotFoundError, PermissionDeniedError, InvalidInputError, and ConflictError if somebody else changed the field
    since the work order was `shown`; changes of other fields don't matter.
    """
    with transaction(session.connection):
        return _change(session, shown, field, new)


def change_status(session: Session, shown: WorkOrder, status: Status, note: str = "") -> None:
    """Give the work order another status; resolved_at holds the time of the Resolved that stands.

    Raises as change does, and InvalidInputError for the note and for a status that already stands.
    """
    note = parse_text(note)
    with transaction(session.connection):
        if not _change(session, shown, _STATUS, status, note):
            raise InvalidInputError(f"The status of work order #{shown.id} is already {status}.")
        if shown.status.is_finished and not status.is_finished:
            users.release_work_orders(session.connection, users.current_user(session), work_order_id=shown.id)


def take(session: Session, shown: WorkOrder) -> bool:
    """Assign the work order to oneself and, if it is Open, set it In Progress; return False if nothing changed.

    Raises as change does.
    """
    with transaction(session.connection):
        user, current = _changeable(session, Action.ASSIGN, shown.id)
        is_assigned = current.assignee != user.username and _change(session, shown, ASSIGNEE, user.username)
        is_started = current.status is Status.OPEN and _change(session, shown, _STATUS, Status.IN_PROGRESS)
    return is_assigned or is_started


def comment(session: Session, work_order_id: int, text: str) -> None:
    """Add a comment to the work order's history, where it stays. Raises NotFoundError, InvalidInputError."""
    text = parse_text(text)
    if not text:
        raise InvalidInputError("A comment has at least 1 character.")
    with transaction(session.connection):
        user, current = _changeable(session, Action.COMMENT, work_order_id)
        _refuse_too_many_notes(session.connection, current.id, text)
        at = now()
        session.connection.execute("UPDATE work_orders SET updated_at = ? WHERE id = ?", (at, current.id))
        _record(session.connection, current.id, user, at, "comment", note=text)


def delete(session: Session, work_order_id: int) -> None:
    """Hide the work order from everybody; nothing of it is lost. Raises NotFoundError, PermissionDeniedError."""
    with transaction(session.connection):
        user, current = _changeable(session, Action.DELETE, work_order_id)
        at = now()
        session.connection.execute(
            "UPDATE work_orders SET deleted_at = ?, updated_at = ? WHERE id = ?", (at, at, current.id)
        )
        users.record_change(session.connection, current.id, user, at, "deleted")
        users.audit(session.connection, user.id, "work order deleted", f"#{current.id}")


def _changeable(session: Session, action: Action, work_order_id: int) -> Tuple[User, WorkOrder]:
    """Return who acts and the work order as both stand now, if the action is permitted."""
    user = users.authorize(session, Action.VIEW)
    current = _visible(session, user, work_order_id)
    if not is_permitted(user, action, current):
        if users.scope(user, action) is Scope.OWN_UNFINISHED:
            raise users.PermissionDeniedError(
                f"Work order #{current.id} is finished ({current.status}); reopen it first."
            )
        users.deny(user, action)
    return user, current


def _change(session: Session, shown: WorkOrder, field: Field[V], new: V, note: str = "") -> bool:
    user, current = _changeable(session, field.action, shown.id)
    new, old = field.check(session, new), field.read(current)
    if old != field.read(shown):
        raise _conflict(session.connection, current.id, field, old)
    becomes_by_hand = field.name == DUE_DATE.name and current.due_by is not DueBy.HAND
    if old == new and not becomes_by_hand:
        return False
    _refuse_too_many_notes(session.connection, current.id, note)
    at = now()
    session.connection.execute(
        f"UPDATE work_orders SET {field.assignment}, updated_at = :now WHERE id = :id",
        {"new": utc_text(new) if isinstance(new, datetime) else new, "now": at, "id": current.id},
    )
    old_text, new_text = field.as_text(old), field.as_text(new)
    _record(session.connection, current.id, user, at, field.name, old_text, new_text, note)
    field.follow_up(session.connection, user, current, new, at)
    return True


def _refuse_too_many_notes(connection: Connection, work_order_id: int, note: str) -> None:
    (length,) = connection.execute(
        """
        SELECT coalesce(sum(max(length(note), :least)), 0) FROM work_order_history
        WHERE work_order_id = :id AND note <> ''
        """,
        {"id": work_order_id, "least": LEAST_NOTE},
    ).fetchone()
    if note and length + max(len(note), LEAST_NOTE) > MAXIMUM_NOTES:
        raise InvalidInputError(
            f"The comments and notes of work order #{work_order_id} would have more than {MAXIMUM_NOTES:,} characters; "
            "continue in a new work order."
        )


def _conflict(connection: Connection, work_order_id: int, field: Field[V], value: V) -> ConflictError:
    row = connection.execute(
        """
        SELECT username FROM work_order_history JOIN users ON users.id = user_id
        WHERE work_order_id = ? AND field = ? ORDER BY work_order_history.id DESC LIMIT 1
        """,
        (work_order_id, field.name),
    ).fetchone()
    username = row["username"] if row else "another program"
    text = describe_value(field.name, field.as_text(value))
    short = text if len(text) <= 200 else f"{text[:200]}..."
    return ConflictError(
        f'The {field.name} is now "{short}": {username} changed it in the meantime. Nothing was saved.'
    )


# Service targets


class ServiceTarget(NamedTuple):
    """What is promised for a priority: the hours to the first response and to the resolution, None for nothing."""

    priority: Priority
    response_hours: Optional[int] = None
    resolution_hours: Optional[int] = None


SERVICE_TARGETS = (
    "A work order gets its due date from the target for its priority when it is created, and again when its priority "
    "changes; time On Hold postpones it by the same amount. A due date set by hand stays. Changing a target does not "
    "affect existing due dates."
)


def parse_hours(text: str) -> Optional[int]:
    """Return a whole number of hours from 1 to 9,999, or None for `none`. Raises InvalidInputError."""
    if text.lower() == NONE:
        return None
    if not re.fullmatch("[0-9]{1,4}", text) or int(text) == 0:
        raise InvalidInputError(f"A target is a whole number of hours from 1 to 9,999, or {NONE}.")
    return int(text)


def service_targets(session: Session) -> List[ServiceTarget]:
    """Return what is promised, highest priority first. Raises PermissionDeniedError to users."""
    with snapshot(session.connection):
        users.authorize(session, Action.REPORTS)
        return [_service_target(session.connection, priority) for priority in reversed(Priority)]


def set_service_target(session: Session, target: ServiceTarget) -> bool:
    """Promise this from now on; return False if it is promised already. Existing due times stay as they are.

    Raises PermissionDeniedError to all but admins.
    """
    with transaction(session.connection):
        user = users.authorize(session, Action.SERVICE_TARGETS)
        old = _service_target(session.connection, target.priority)
        if target == old:
            return False
        session.connection.execute(
            "UPDATE service_targets SET response_hours = ?, resolution_hours = ? WHERE priority = ?",
            (target.response_hours, target.resolution_hours, target.priority),
        )
        change = f"{target.priority}: {describe_target(old)} -> {describe_target(target)}"
        users.audit(session.connection, user.id, "service target changed", change)
    return True


def _service_target(connection: Connection, priority: Priority) -> ServiceTarget:
    row = connection.execute(
        "SELECT response_hours, resolution_hours FROM service_targets WHERE priority = ?", (priority,)
    ).fetchone()
    return ServiceTarget(priority, row["response_hours"], row["resolution_hours"])


def _due_at(created_at: datetime, hours: Optional[int], held_seconds: float = 0) -> Optional[datetime]:
    return created_at + timedelta(hours=hours, seconds=held_seconds) if hours else None


def _follow_priority(connection: Connection, user: User, old: WorkOrder, priority: Priority, at: str) -> None:
    """Replace the old priority's targets with the new one's; a due time that was set by hand stays."""
    target = _service_target(connection, priority)
    connection.execute("UPDATE work_orders SET response_hours = ? WHERE id = ?", (target.response_hours, old.id))
    if old.due_by is not DueBy.HAND:
        due_at = _due_at(old.created_at, target.resolution_hours, _held_seconds(connection, old))
        _move_due_date(connection, user, old, due_at, at)


def _follow_hold(connection: Connection, user: User, old: WorkOrder, _: Status, at: str) -> None:
    """Move a due time that came from a target by the time On Hold that has just ended, if one has."""
    if old.status is Status.ON_HOLD and old.held_since and old.due_at and old.due_by is DueBy.TARGET:
        _move_due_date(connection, user, old, old.due_at + (datetime.fromisoformat(at) - old.held_since), at)


def _move_due_date(connection: Connection, user: User, old: WorkOrder, due_at: Optional[datetime], at: str) -> None:
    if due_at != old.due_at:
        connection.execute(
            "UPDATE work_orders SET due_at = ?, due_by = ? WHERE id = ?",
            (due_at and utc_text(due_at), due_at and DueBy.TARGET, old.id),
        )
        texts = DUE_DATE.as_text(old.due_at), DUE_DATE.as_text(due_at)
        users.record_change(connection, old.id, user, at, DUE_DATE.name, *texts)


def _held_seconds(connection: Connection, work_order: WorkOrder) -> int:
    """Return for how long the work order was On Hold, not counting a hold that has not ended."""
    (seconds,) = connection.execute(
        """
        SELECT coalesce(sum(strftime('%s', ended_at) - strftime('%s', began_at)), 0) FROM (
            SELECT old_value, changed_at AS ended_at, lag(changed_at, 1, :created) OVER (ORDER BY id) AS began_at
            FROM work_order_history WHERE work_order_id = :id AND field = 'status'
        ) WHERE old_value = 'On Hold'
        """,
        {"created": utc_text(work_order.created_at), "id": work_order.id},
    ).fetchone()
    return int(seconds)


# Telling those whom a change concerns


def _record(
    connection: Connection,
    work_order_id: int,
    by: User,
    at: str,
    field: str,
    old: Optional[str] = None,
    new: Optional[str] = None,
    note: str = "",
) -> None:
    """Record a change in the history, inside its transaction, and put the messages about it in the outbox."""
    users.record_change(connection, work_order_id, by, at, field, old, new, note)
    changed = _find(connection, work_order_id) if field in _SUBJECTS and users.is_mail_on(connection) else None
    if changed:
        entry = HistoryEntry(0, datetime.fromisoformat(at), by.username, field, old, new, note)
        ending, text = _SUBJECTS[field].format(new), describe_message(entry, changed)
        notice = users.Notice(changed.id, changed.title, ending, field == _STATUS.name, text)
        for recipient in _concerned(connection, entry, changed):
            if recipient.id != by.id and recipient.is_active and is_permitted(recipient, Action.VIEW, changed):
                users.put_in_outbox(connection, recipient, notice)


# How the subject of a message ends, by the field of the change; nobody hears of other fields.
_SUBJECTS: Mapping[str, str] = {
    "created": "created",
    REQUESTER.name: "created",
    _STATUS.name: "{}",
    ASSIGNEE.name: "assigned to {}",
    "comment": "comment",
}


def _concerned(connection: Connection, entry: HistoryEntry, changed: WorkOrder) -> List[User]:
    """Return the requester and, unless the work order is new to the requester, its assignee and the former one."""
    usernames = {changed.requester}
    if entry.field not in ("created", REQUESTER.name):
        usernames.add(changed.assignee or NOBODY)
    if entry.field == ASSIGNEE.name:
        usernames.add(entry.old_value or NOBODY)
    return [users.find(connection, username) for username in sorted(usernames - {NOBODY})]


# Deleted work orders


def list_deleted(session: Session, after: Optional[WorkOrder], limit: int) -> List[WorkOrder]:
    """Return up to `limit` deleted work orders that follow `after` (None: from the start), latest deletion first.

    Raises PermissionDeniedError to all but admins.
    """
    condition, values = where(
        (
            (True, "deleted_at IS NOT NULL", ()),
            (after, "(deleted_at, work_orders.id) < (?, ?)", _key(after, ("deleted_at", "id")) if after else ()),
        )
    )
    with snapshot(session.connection):
        users.authorize(session, Action.RESTORE)
        rows = session.connection.execute(
            f"{_select()} WHERE {condition} ORDER BY deleted_at DESC, work_orders.id DESC LIMIT ?", [*values, limit]
        ).fetchall()
    return list(map(_work_order, rows))


def get_deleted(session: Session, work_order_id: int) -> WorkOrder:
    """Return the deleted work order. Raises NotFoundError, PermissionDeniedError to all but admins."""
    with snapshot(session.connection):
        users.authorize(session, Action.RESTORE)
        return _deleted(session.connection, work_order_id)


def restore(session: Session, work_order_id: int) -> None:
    """Bring the deleted work order back as it was. Raises NotFoundError, PermissionDeniedError to all but admins."""
    with transaction(session.connection):
        user = users.authorize(session, Action.RESTORE)
        deleted = _deleted(session.connection, work_order_id)
        at = now()
        session.connection.execute(
            "UPDATE work_orders SET deleted_at = NULL, updated_at = ? WHERE id = ?", (at, deleted.id)
        )
        users.record_change(session.connection, deleted.id, user, at, "restored")
        users.release_work_orders(session.connection, user, work_order_id=deleted.id)
        users.audit(session.connection, user.id, "work order restored", f"#{deleted.id}")


def _deleted(connection: Connection, work_order_id: int) -> WorkOrder:
    found = _find(connection, work_order_id)
    if found is None or found.deleted_at is None:
        raise NotFoundError(f"There is no deleted work order #{work_order_id}.")
    return found


# Finding


class Count(str, Enum):
    """What a report counts in a period."""

    CREATED = "created"
    RESOLVED = "resolved"  # and still so
    CHANGED_TO_RESOLVED = "changed to Resolved"  # whatever came later
    REOPENED = "reopened"
    UNFINISHED = "unfinished"  # at the end of the period

    def __str__(self) -> str:
        return self.value


class Counted(NamedTuple):
    """What a number in a report counts, from `begin` ("" for the very beginning) until before `end`, UTC as stored."""

    what: Count
    begin: str
    end: str


class Filter(NamedTuple):
    """Which work orders a list shows, None standing for any.

    The status may be UNFINISHED, the assignee NOBODY, the category NONE; `changed` stands for what others have changed
    since the person's last login, `counted` for what a report has counted.
    """

    status: Optional[str] = None
    priority: Optional[Priority] = None
    category: Optional[str] = None
    requester: Optional[str] = None
    assignee: Optional[str] = None
    due: Optional[Due] = None
    changed: bool = False
    counted: Optional[Counted] = None

    @property
    def is_finished(self) -> bool:
        """Whether it lets only finished work orders through."""
        return self.status not in (None, UNFINISHED) and Status(self.status).is_finished

    @property
    def is_unfinished(self) -> bool:
        """Whether it lets only unfinished work orders through."""
        return bool(self.status or self.due is Due.OVERDUE) and not self.is_finished


class Query(NamedTuple):
    """What a list asks for: a filter, an order, and a text; with `as_substring`, it may be inside words too."""

    filter: Filter = Filter()
    sort: Sort = Sort.URGENCY
    text: str = ""
    as_substring: bool = False

    @property
    def is_by_word(self) -> bool:
        """Whether the full-text index answers it."""
        return bool(self.text) and not self.as_substring


class Page(NamedTuple):
    """A page of a list, all of it from one moment.

    Its rows, how many work orders the whole list has and how many of them are overdue (above COUNTED_AT_MOST they were
    not counted), and by id what stands below a row: the place that a search matched, in square brackets, or what others
    have changed.
    """

    work_orders: List[WorkOrder]
    total: int
    overdue: int
    below: Dict[int, List[str]]


class Order(NamedTuple):
    """An order of the list: its columns, their direction, and what to read from where many rows match.

    An order by id, which is how tables and full-text indexes have their rows, also has the condition that an id is
    among those that come soon after another one.
    """

    columns: Tuple[str, ...]
    direction: str = ""
    source: str = "work_orders"
    soon: str = ""


# In the order of urgency, and of changes, SQLite finds the index of a filter by itself.
_ORDERS: Mapping[Sort, Order] = {
    Sort.URGENCY: Order(("urgency", "created_second", "id")),
    Sort.NEWEST: Order(
        ("id",),
        "DESC",
        "work_orders NOT INDEXED",
        soon="work_orders.id > coalesce(?, (SELECT max(id) FROM work_orders)) - 2000",
    ),
    Sort.OLDEST: Order(("id",), source="work_orders NOT INDEXED", soon="work_orders.id < coalesce(?, 0) + 2000"),
    Sort.CHANGED: Order(("updated_at", "id"), "DESC", "work_orders INDEXED BY work_orders_by_change"),
    Sort.DUE: Order(("is_finished", "due_rank", "id"), source="work_orders INDEXED BY work_orders_by_due"),
}


def search(session: Session, text: str) -> Query:
    """Return the query for the work orders that contain all words of the text, whole or as beginnings.

    If there are none, it is the query for those that contain the text anywhere. Raises InvalidInputError above 200
    characters.
    """
    if len(text) > MAXIMUM_SEARCH:
        raise InvalidInputError(f"A search has at most {MAXIMUM_SEARCH} characters; this one has {len(text):,}.")
    query = Query(text=users.plain_text(text), sort=Sort.NEWEST)
    with _searching(session, text):
        selection = _selection(session, users.authorize(session, Action.VIEW), query)
        has_words = any(map(str.isalnum, query.text)) and _count_all(session.connection, selection, 0)
    return query if has_words else query._replace(as_substring=True)


def read_page(session: Session, query: Query, seen: Sequence[WorkOrder], limit: int) -> Page:
    """Return the next page: up to `limit` of the work orders that the person may see and has not `seen` yet.

    It begins where the last one seen stood when it was read, and ends with those that have moved ahead of that since.
    """
    with _searching(session, query.text):
        selection = _selection(session, users.authorize(session, Action.VIEW), query)
        total, overdue = _count(session.connection, selection)
        found = _read_following(session.connection, selection, total, seen, limit) if total else []
        rows = _rows_below(session, query, found)
    return Page(found, total, overdue, _below(query, found, rows))


def reread_page(session: Session, query: Query, shown: Sequence[WorkOrder]) -> Page:
    """Return a page that was read before with its work orders as they are now, without those that left the list."""
    ids = [work_order.id for work_order in shown]
    with _searching(session, query.text):
        selection = _selection(session, users.authorize(session, Action.VIEW), query)
        total, overdue = _count(session.connection, selection)
        plan = _by_row(selection, "work_orders NOT INDEXED")  # they are looked up by their ids
        rows = session.connection.execute(
            f"{_select(plan.source)} WHERE {plan.condition} AND work_orders.id IN ({', '.join('?' * len(ids))})",
            [*plan.values, *ids],
        ).fetchall()
        found = sorted(map(_work_order, rows), key=lambda work_order: ids.index(work_order.id))
        below = _rows_below(session, query, found)
    return Page(found, total, overdue, _below(query, found, below))


class MyWork(NamedTuple):
    """How many work orders wait for somebody, who assigns or not; above COUNTED_AT_MOST they were not counted."""

    assigns: bool
    assigned: int
    assigned_overdue: int
    unassigned: int
    overdue: int
    due_this_week: int
    requested: int
    changed: int


def my_work(session: Session) -> MyWork:
    """Return how many work orders wait for the person, among those that they may see."""
    with _searching(session, ""):
        user = users.authorize(session, Action.VIEW)
        total, overdue = _count(session.connection, _selection(session, user, Query(assigned_to(user.username))))
        filters = (UNASSIGNED, OVERDUE, DUE_THIS_WEEK, requested_by(user.username), CHANGED)
        totals = [_count_all(session.connection, _selection(session, user, Query(each))) for each in filters]
    return MyWork(users.may(user, Action.ASSIGN), total, overdue, *totals)


UNASSIGNED = Filter(status=UNFINISHED, assignee=NOBODY)
OVERDUE = Filter(due=Due.OVERDUE)
DUE_THIS_WEEK = Filter(status=UNFINISHED, due=Due.THIS_WEEK)
CHANGED = Filter(changed=True)


def assigned_to(username: str) -> Filter:
    """Return the filter for the unfinished work orders that are assigned to somebody."""
    return Filter(status=UNFINISHED, assignee=username)


def requested_by(username: str) -> Filter:
    """Return the filter for the unfinished work orders of a requester."""
    return Filter(status=UNFINISHED, requester=username)


@contextmanager
def _searching(session: Session, text: str) -> Iterator[None]:
    """Read what is inside in one snapshot; where it takes too long, stop it with an ApplicationError."""
    advice = "search for more or longer words" if text else "try again in a moment"
    sentence = f"Reading was stopped after {SEARCH_SECONDS} seconds, so that others can save; {advice}."
    with limited(session.connection, SEARCH_SECONDS, sentence), snapshot(session.connection):
        yield


# What a query asks for, in SQL


class _Selection(NamedTuple):
    """What a query asks for and somebody may see.

    The condition that the rows have to meet, with the values bound in it; the column by whose index they are found, if
    a filter has one; what the full-text indexes have to match; and how many rows the first of these has, up to one
    above SORTED_AT_MOST, where that matters.
    """

    query: Query
    condition: str
    values: List[object]
    leading: str
    texts: Mapping[str, str]
    hits: int

    @property
    def order(self) -> Order:
        return _ORDERS[self.query.sort]


class _Plan(NamedTuple):
    """Where to read a selection from, what its id is called there, the condition, and the values to bind."""

    source: str
    row_id: str
    condition: str
    values: List[object]


def _selection(session: Session, user: User, query: Query) -> _Selection:
    own = None if users.scope(user, Action.VIEW) is Scope.ALL else user.id
    equalities = [condition for condition in _equalities(query.filter, own) if condition[0]]
    condition, values = where(
        (
            (True, "work_orders.deleted_at IS NULL", ()),
            *equalities[:1],
            # A plus sign keeps SQLite from using the index of a condition that rules out less.
            *((True, f"+{sql}", values) for _, sql, values in equalities[1:]),
            *_filter_conditions(query.filter),
            (query.filter.changed, *_changed_by_others(session, user)),
            *((True, *_contains(literal)) for literal in _literals(query)),
        )
    )
    leading = equalities[0][1].split()[0] if equalities else ""
    texts = _text_indexes(session.connection, query)
    hits = 0 if _ORDERS[query.sort].soon else _count_hits(session.connection, texts)
    return _Selection(query, condition, values, leading, texts, hits)


def _equalities(filter: Filter, own: Optional[int]) -> Sequence[Tuple[object, str, Sequence[object]]]:
    """Return the conditions that an index answers, from what rules out most to what rules out least."""
    person = "(SELECT id FROM users WHERE username = ?)"
    return (
        (own, "requester_id = ?", [own]),
        (filter.requester, f"requester_id = {person}", [filter.requester]),
        (filter.assignee == NOBODY, "assignee_id IS NULL", ()),
        (filter.assignee not in (None, NOBODY), f"assignee_id = {person}", [filter.assignee]),
        (filter.category == NONE, "category IS NULL", ()),
        (filter.category not in (None, NONE), "category = ?", [filter.category]),
        (filter.status not in (None, UNFINISHED), "status = ?", [filter.status]),
    )


def _filter_conditions(filter: Filter) -> Sequence[Tuple[object, str, Sequence[object]]]:
    this_week = "due_at >= ? AND due_at < ?"
    if not filter.is_unfinished:  # the index of due dates that includes the finished ones
        this_week = "is_finished IN (0, 1) AND due_rank >= ? AND due_rank < ?"
    return (
        (filter.is_unfinished or filter.due is Due.OVERDUE, "urgency < 4", ()),
        (filter.is_finished, "urgency >= 4", ()),
        (filter.priority, "urgency IN (4 - ?, 8 - ?)", [filter.priority] * 2),
        (filter.due, "due_at IS NOT NULL", ()),
        (filter.due is Due.OVERDUE, f"due_at < ? AND {_RUNS_OUT}", [now()]),
        (filter.due is Due.THIS_WEEK, this_week, _this_week()),
        *((True, *_counted_condition(counted)) for counted in (filter.counted,) if counted),
    )


# As in WorkOrder.is_overdue. The few excluded ids have an index of their own, so that others need no more columns.
_RUNS_OUT = """
    work_orders.id NOT IN (
        SELECT id FROM work_orders INDEXED BY work_orders_stopped
        WHERE deleted_at IS NULL AND status = 'On Hold' AND due_by = 'target' AND due_at >= held_since
    )
"""
_OVERDUE = f"urgency < 4 AND due_at < ? AND {_RUNS_OUT}"


def _changed_by_others(session: Session, user: User) -> Tuple[str, List[object]]:
    """Return the condition that others have changed the work order since the last login, and its values.

    Those are the work orders that concern the person now, and those that were taken from them; of each kind, the
    latest that can be counted. What was changed while the clock was set back before the last login is left out.
    """
    changed = """
        SELECT id FROM work_orders
        WHERE {person} = ? AND deleted_at IS NULL
            AND updated_at >= coalesce((SELECT changed_at FROM work_order_history WHERE id = ?), '')
            AND EXISTS (
                SELECT 1 FROM work_order_history
                WHERE work_order_id = work_orders.id AND work_order_history.id > ? AND user_id <> ?
            )
        ORDER BY updated_at DESC LIMIT {limit}
    """
    taken = """
        SELECT work_order_id FROM work_order_history
        WHERE field = 'assignee' AND old_value = ? AND id > ? AND user_id <> ? ORDER BY id DESC LIMIT {limit}
    """
    seen, limit = session.seen_history_id, COUNTED_AT_MOST + 1
    arms = [changed.format(person="requester_id", limit=limit)]
    values: List[object] = [user.id, seen, seen, user.id]
    if users.scope(user, Action.VIEW) is Scope.ALL:
        arms += [changed.format(person="assignee_id", limit=limit), taken.format(limit=limit)]
        values += [*values, user.username, seen, user.id]
    union = " UNION ALL ".join(f"SELECT * FROM ({arm})" for arm in arms)
    return f"work_orders.id IN ({union})", values


def _this_week() -> Tuple[str, str]:
    today = datetime.now().replace(hour=0, minute=0, second=0, microsecond=0)
    monday = today - timedelta(days=today.weekday())
    return utc_text(monday), utc_text(monday + timedelta(days=7))


def _plan(selection: _Selection, total: int = 0) -> _Plan:
    """Return where to read from, given how many rows match; without that hint, SQLite would sort or read too much.

    If many rows match, walking the order's index soon finds enough of them; fewer are faster to sort.
    """
    query, order = selection.query, selection.order
    if selection.texts:
        is_walked = total and not order.soon and selection.hits > SORTED_AT_MOST
        return _by_row(selection, order.source) if is_walked else _by_text(selection)
    if query.filter.changed:
        return _by_row(selection, "work_orders NOT INDEXED")
    if total > COUNTED_AT_MOST and query.sort is Sort.URGENCY and query.filter.counted and not selection.leading:
        return _by_row(selection, "work_orders INDEXED BY work_orders_by_urgency")
    return _by_row(selection, order.source if total > COUNTED_AT_MOST else "work_orders")


def _by_text(selection: _Selection) -> _Plan:
    """Return the plan that goes through the full-text indexes, which have their rows in the order of the ids."""
    first, *others = selection.texts
    joined = "".join(f" CROSS JOIN {index} ON {index}.rowid = {first}.rowid" for index in others)
    source = f"{first}{joined} CROSS JOIN work_orders ON work_orders.id = {first}.rowid"
    return _Plan(source, f"{first}.rowid", *_with_texts(selection, selection.texts))


def _by_row(selection: _Selection, source: str) -> _Plan:
    """Return the plan that goes through the work orders and looks up the words of each."""
    # The condition by itself finds out what the index of trigrams would answer.
    texts = {index: match for index, match in selection.texts.items() if index == _WORDS}
    joined = "".join(f" CROSS JOIN {index} ON {index}.rowid = work_orders.id" for index in texts)
    return _Plan(source + joined, "work_orders.id", *_with_texts(selection, texts))


def _with_texts(selection: _Selection, texts: Mapping[str, str]) -> Tuple[str, List[object]]:
    matches = [(True, f"{index} MATCH ?", [expression]) for index, expression in texts.items()]
    return where(((True, selection.condition, selection.values), *matches))


# Counting and reading


def _count(connection: Connection, selection: _Selection) -> Tuple[int, int]:
    """Return how many work orders match, and how many of them are overdue; each stops one above COUNTED_AT_MOST.

    If more match, the overdue ones are not counted in a search, among what others have changed, or behind a report:
    finding them would mean reading every match.
    """
    plan, limit = _plan(selection), COUNTED_AT_MOST + 1
    row = connection.execute(
        f"""
        SELECT count(*) AS total, coalesce(sum(is_overdue), 0) AS overdue
        FROM (SELECT {_OVERDUE} AS is_overdue FROM {plan.source} WHERE {plan.condition} LIMIT {limit})
        """,
        [now(), *plan.values],
    ).fetchone()
    if row["total"] < limit:
        return row["total"], row["overdue"]
    if selection.query.text or selection.query.filter.changed or selection.query.filter.counted:
        return limit, 0
    indexes = {
        "requester_id": "work_orders_by_requester_urgency",
        "assignee_id": "work_orders_by_assignee_urgency",
    }
    index = indexes.get(selection.leading, "work_orders_unfinished_by_due")
    (overdue,) = connection.execute(
        f"""
        SELECT count(*) FROM (
            SELECT 1 FROM work_orders INDEXED BY {index} WHERE {plan.condition} AND {_OVERDUE} LIMIT {limit}
        )
        """,
        [*plan.values, now()],
    ).fetchone()
    return limit, overdue


def _count_all(connection: Connection, selection: _Selection, most: int = COUNTED_AT_MOST) -> int:
    """Return how many work orders match, up to one above `most`."""
    plan = _plan(selection)
    (total,) = connection.execute(
        f"SELECT count(*) FROM (SELECT 1 FROM {plan.source} WHERE {plan.condition} LIMIT {most + 1})", plan.values
    ).fetchone()
    return int(total)


def _read_following(
    connection: Connection, selection: _Selection, total: int, seen: Sequence[WorkOrder], limit: int
) -> List[WorkOrder]:
    """Return up to `limit` that follow the last one seen and, after them, those that have moved ahead of it."""
    found: List[WorkOrder] = []
    for after in (seen[-1], None) if seen else (None,):
        ids = {work_order.id for work_order in (*seen, *found)}
        if len(found) < limit:
            found += _read(connection, selection, total, limit - len(found), after, ids)
    return found


def _read(
    connection: Connection,
    selection: _Selection,
    total: int,
    limit: int,
    after: Optional[WorkOrder] = None,
    seen: AbstractSet[int] = frozenset(),
) -> List[WorkOrder]:
    """Return up to `limit` of the rows in the selection's order that follow `after`, without the ids in `seen`."""
    order, plan = selection.order, _plan(selection, total)
    columns = _columns(selection, plan)
    # If few match, a plus sign keeps SQLite from walking the whole order to find them.
    is_of_filter = selection.query.sort is Sort.URGENCY and not selection.query.filter.due
    if total <= COUNTED_AT_MOST and not selection.texts and not is_of_filter:
        columns = [f"+{column}" for column in columns]
    comparison = "<" if order.direction else ">"
    following = f"({', '.join(columns)}) {comparison} ({', '.join('?' * len(columns))})"
    condition, values = where(
        (
            (True, plan.condition, plan.values),
            (after, following, _key(after, order.columns) if after else ()),
            (selection.query.filter.is_finished and selection.query.sort is Sort.DUE, "is_finished = 1", ()),
        )
    )
    order_by = ", ".join(f"{column} {order.direction}" for column in columns)

    ordered = f"{_select(plan.source)} WHERE {{}} ORDER BY {order_by}"
    if not order.soon or selection.texts or total <= COUNTED_AT_MOST:
        return _fetch(connection, ordered.format(condition), values, limit, seen)
    soon = [*values, after and after.id]
    found = _fetch(connection, ordered.format(f"{condition} AND {order.soon}"), soon, limit, seen)
    if len(found) == limit:
        return found
    # If too few of many come soon, as with the unfinished ones when sorted by oldest, their ids are sorted.
    ids = f"SELECT id FROM work_orders WHERE {condition} ORDER BY id {order.direction} LIMIT {limit + len(seen)}"
    return _fetch(connection, ordered.format(f"work_orders.id IN ({ids})"), values, limit, seen)


def _fetch(
    connection: Connection, sql: str, values: Sequence[object], limit: int, without: AbstractSet[int]
) -> List[WorkOrder]:
    cursor = connection.execute(sql, values)
    found = list(islice((_work_order(row) for row in cursor if row["id"] not in without), limit))
    cursor.close()
    return found


def _columns(selection: _Selection, plan: _Plan) -> List[str]:
    return [plan.row_id if column == "id" else f"work_orders.{column}" for column in selection.order.columns]


def _key(work_order: WorkOrder, columns: Sequence[str]) -> List[object]:
    """Return the work order's values in these columns, as the database stores them."""
    values = (getattr(work_order, column) for column in columns)
    return [utc_text(value) if isinstance(value, datetime) else value for value in values]


# Searching text


_WORDS, _TRIGRAMS = "work_order_search", "work_order_trigrams"


def _is_word(text: str) -> bool:
    """Return whether the index of words takes the text for one; newer letters may be unknown to SQLite."""
    return all(unicodedata.ucd_3_2_0.category(character)[0] in "LN" for character in text)


def _literals(query: Query) -> List[str]:
    """Return what has to be looked for in the text itself, since the index of words knows nothing but words."""
    if query.as_substring:
        return [query.text]
    return [word for word in query.text.split() if not _is_word(word)]


def _text_indexes(connection: Connection, query: Query) -> Dict[str, str]:
    """Return the full-text indexes that a query's text is looked up in, each with what it has to match."""
    words = [] if query.as_substring else [word for word in query.text.split() if _is_word(word)]
    trigrams = (_trigram_expression(connection, literal) for literal in _literals(query))
    expressions = {
        _TRIGRAMS: " AND ".join(filter(None, trigrams)),
        _WORDS: " AND ".join(_word_expression(connection, word) for word in words),
    }
    return {index: expression for index, expression in expressions.items() if expression}


def _word_expression(connection: Connection, word: str) -> str:
    """Return what matches a word and the words that begin with it.

    The index has the beginnings of up to three letters. For a longer one, FTS5 would collect all hits before returning
    the first, but the lists of whole words it merges as it goes.
    """
    if len(word) > 3:
        words = _terms_beginning_with(connection, _WORDS, _as_indexed(word))
        if 0 < len(words) <= TERMS_AT_MOST:
            return _any_of(words)
    return f"{_quoted(word)}*"


def _as_indexed(word: str) -> str:
    """Return the word as the index of words has it: in lower case, Latin letters without their accents."""
    parts = (unicodedata.normalize("NFD", character) for character in word)
    return _lower(part[0] if part[0].isascii() else character for part, character in zip(parts, word))


def _trigram_expression(connection: Connection, text: str) -> str:
    """Return what narrows the work orders down to those that may contain the text, or nothing if it narrows little."""
    if len(text) > 2:
        trigrams = {text[start : start + 3] for start in range(len(text) - 2)}
        return " AND ".join(_quoted(trigram) for trigram in sorted(trigrams) if _has_usual_capitals(trigram))
    if not _has_usual_capitals(text):
        return ""
    trigrams_of_text = _terms_beginning_with(connection, _TRIGRAMS, _lower(text))
    if len(trigrams_of_text) > TERMS_AT_MOST:
        return ""
    return _any_of(trigrams_of_text or [f"{text}\n\n"[:3]])  # which no text has either


def _has_usual_capitals(text: str) -> bool:
    """Return whether each letter has one capital and one small form, and is old enough for SQLite to know it."""
    forms = {form for character in text for form in (character, character.lower(), character.upper())}
    return all(
        len(form) == 1 and form.upper().lower() == form.lower() and unicodedata.ucd_3_2_0.category(form) != "Cn"
        for form in forms
    )


def _lower(characters: Iterable[str]) -> str:
    """Return the text in lower case letter by letter, as SQLite does: `str.lower` looks at the end of a Greek word."""
    return "".join(character.lower() for character in characters)


def _terms_beginning_with(connection: Connection, index: str, beginning: str) -> List[str]:
    """Return the terms of the index that begin with this, up to one above TERMS_AT_MOST."""
    # A DISTINCT would read every place where a term stands.
    rows = connection.execute(
        f"""
        WITH RECURSIVE terms (term) AS (
            SELECT (SELECT term FROM {index}_terms WHERE term >= :beginning LIMIT 1)
            UNION ALL
            SELECT (SELECT term FROM {index}_terms WHERE term >= terms.term || char(1) LIMIT 1)
            FROM terms WHERE term < :end
        )
        SELECT term FROM terms WHERE term < :end LIMIT {TERMS_AT_MOST + 1}
        """,
        {"beginning": beginning, "end": beginning + chr(0x10FFFF)},
    ).fetchall()
    return [row["term"] for row in rows]


def _any_of(terms: Sequence[str]) -> str:
    return f"({' OR '.join(map(_quoted, terms))})"


def _quoted(term: str) -> str:
    escaped = term.replace('"', '""')
    return f'"{escaped}"'


def _count_hits(connection: Connection, texts: Mapping[str, str]) -> int:
    """Return how many work orders the first of the full-text indexes finds, up to one above SORTED_AT_MOST."""
    if not texts:
        return 0
    index = next(iter(texts))
    (hits,) = connection.execute(
        f"SELECT count(*) FROM (SELECT 1 FROM {index} WHERE {index} MATCH ? LIMIT {SORTED_AT_MOST + 1})",
        (texts[index],),
    ).fetchone()
    return int(hits)


def _contains(term: str) -> Tuple[str, List[str]]:
    """Return the condition that a work order's text contains the term, and its values; capitals don't matter."""
    pattern = f"*{''.join(map(_either_case, term))}*"
    condition = """
        (work_orders.title GLOB ? OR work_orders.description GLOB ? OR EXISTS (
            SELECT 1 FROM work_order_history
            WHERE work_order_id = work_orders.id AND note <> '' AND note GLOB ?
        ))
    """
    return condition, [pattern] * 3


def _either_case(character: str) -> str:
    """Return what matches the character, small or capital, in GLOB, where brackets make anything stand for itself."""
    if character == "^":  # which would turn the meaning of brackets round
        return character
    forms = {character, character.lower(), character.upper()}
    return f"[{''.join(form for form in forms if len(form) == 1)}]"


def _rows_below(session: Session, query: Query, found: Sequence[WorkOrder]) -> List[sqlite3.Row]:
    """Return the history rows, newest first, that supply the lines below a page's work orders."""
    if not (found and (query.text or query.filter.changed)):
        return []
    changes = "work_order_history.id > ? AND user_id <> ?"
    condition, values = where(
        (
            (query.filter.changed, changes, [session.seen_history_id, session.user_id]),
            (not query.filter.changed, "note <> ''", ()),
            (True, f"work_order_id IN ({', '.join('?' * len(found))})", [work_order.id for work_order in found]),
        )
    )
    return session.connection.execute(
        f"{_SELECT_HISTORY} WHERE {condition} ORDER BY work_order_history.id DESC", values
    ).fetchall()


def _below(query: Query, found: Sequence[WorkOrder], rows: Sequence[sqlite3.Row]) -> Dict[int, List[str]]:
    """Return by work order what others have changed or, for a search, the place that matched, in square brackets."""
    if query.filter.changed:
        return {
            work_order.id: [
                describe_entry(_history_entry(row)) for row in rows if row["work_order_id"] == work_order.id
            ]
            for work_order in found
        }
    if not query.text:
        return {}
    terms = [query.text] if query.as_substring else query.text.split()
    texts = {row.id: [("title", row.title), ("description", row.description)] for row in found}
    for row in rows:
        texts[row["work_order_id"]].append(("comment" if row["field"] == "comment" else "note", row["note"]))
    return {work_order_id: [_excerpt(places, terms)] for work_order_id, places in texts.items()}


def _excerpt(texts: Sequence[Tuple[str, str]], terms: Sequence[str]) -> str:
    pattern = "|".join(re.escape(_without_accents(term)) for term in terms)
    for beginning in (r"(?<![^\W_])", ""):  # the beginning of a word rather than what stands in the middle of one
        for place, text in texts:
            match = re.search(f"{beginning}(?:{pattern})", _without_accents(text), re.IGNORECASE)
            if match:
                before, middle, after = text[: match.start()], text[slice(*match.span())], text[match.end() :]
                before = f"...{before[-30:]}" if len(before) > 33 else before
                after = f"{after[:30]}..." if len(after) > 33 else after
                return f"{place}: {before}[{middle}]{after}".replace("\n", " ")
    return ""


def _without_accents(text: str) -> str:
    """Return the text without accents, each character in its old place."""
    if text.isascii():
        return text
    parts = (unicodedata.normalize("NFD", character) for character in text)
    return "".join(part[0] if "\u0300" <= part[-1] <= "\u036f" else character for part, character in zip(parts, text))


# History and counts


def get_with_deleted(session: Session, work_order_id: int) -> WorkOrder:
    """Return the work order; admins see a deleted one too. Raises NotFoundError."""
    with snapshot(session.connection):
        user = users.authorize(session, Action.VIEW)
        return _visible(session, user, work_order_id, include_deleted=users.may(user, Action.RESTORE))


def history(
    session: Session, work_order_id: int, before: Optional[HistoryEntry] = None, limit: int = -1
) -> List[HistoryEntry]:
    """Return up to `limit` (-1: all) changes and comments older than `before`, newest first.

    Raises NotFoundError; admins see the history of a deleted work order too.
    """
    with snapshot(session.connection):
        user = users.authorize(session, Action.VIEW)
        _visible(session, user, work_order_id, include_deleted=users.may(user, Action.RESTORE))
        condition, values = where(
            (
                (True, "work_order_id = ?", [work_order_id]),
                (before, "work_order_history.id < ?", [before and before.id]),
            )
        )
        rows = session.connection.execute(
            f"{_SELECT_HISTORY} WHERE {condition} ORDER BY work_order_history.id DESC LIMIT ?", [*values, limit]
        ).fetchall()
    return list(map(_history_entry, rows))


class StatusCount(NamedTuple):
    """How many work orders have a status, by priority and all together, and how many of them are one's own."""

    status: Status
    by_priority: Dict[Priority, int]
    total: int
    own: int


def summary(session: Session) -> List[StatusCount]:
    """Return for each status how many work orders there are, whoever's they are."""
    with snapshot(session.connection):
        user = users.authorize(session, Action.SUMMARY)
        rows = session.connection.execute("SELECT status, priority, total FROM work_order_totals").fetchall()
        own = dict(
            session.connection.execute(
                "SELECT status, sum(total) FROM work_order_counts WHERE requester_id = ? GROUP BY status", (user.id,)
            ).fetchall()
        )
    counts = []
    for status in Status:
        those = [row for row in rows if row["status"] == status]
        by_priority = {**dict.fromkeys(Priority, 0), **{Priority(row["priority"]): row["total"] for row in those}}
        counts.append(StatusCount(status, by_priority, sum(by_priority.values()), own.get(status, 0)))
    return counts


# What reports count


# Written as in the conditions of the partial indexes, so that SQLite sees that it can use those.
_FINISHED, _UNFINISHED = "('Resolved', 'Cancelled')", "('Open', 'In Progress', 'On Hold')"
_TO_FINISHED = f"field = 'status' AND new_value IN {_FINISHED}"
_FROM_FINISHED = f"field = 'status' AND old_value IN {_FINISHED}"
_FINISHES = f"{_TO_FINISHED} AND old_value NOT IN {_FINISHED}"
_RESOLVES = f"{_TO_FINISHED} AND new_value = 'Resolved'"
_REOPENS = f"{_FROM_FINISHED} AND new_value NOT IN {_FINISHED}"

# The work orders whose present status does not tell what they were at a moment: few are ever changed once finished.
_MOMENT = "(SELECT at FROM moment)"
_CHANGED_ONCE_FINISHED = f"""
    SELECT work_order_id FROM work_order_history WHERE {_FROM_FINISHED} AND changed_at >= {_MOMENT}
"""
_WAS_UNFINISHED = f"""
    work_orders.id IN (
        WITH moment (at) AS (VALUES (?))
        SELECT id FROM work_orders WHERE deleted_at IS NULL AND status IN {_UNFINISHED} AND created_at < {_MOMENT}
            AND id NOT IN ({_CHANGED_ONCE_FINISHED})
        UNION ALL
        SELECT id FROM work_orders WHERE deleted_at IS NULL AND finished_at >= {_MOMENT} AND created_at < {_MOMENT}
            AND id NOT IN ({_CHANGED_ONCE_FINISHED})
        UNION ALL
        SELECT changed.id FROM work_orders AS changed
        WHERE changed.id IN ({_CHANGED_ONCE_FINISHED}) AND created_at < {_MOMENT} AND (
            SELECT old_value FROM work_order_history
            WHERE work_order_id = changed.id AND field = 'status' AND changed_at >= {_MOMENT}
            ORDER BY work_order_history.id LIMIT 1
        ) IN {_UNFINISHED}
    )
"""
_COUNTED: Mapping[Count, str] = {
    Count.CREATED: "work_orders.created_at >= ? AND work_orders.created_at < ?",
    Count.RESOLVED: "urgency >= 4 AND resolved_at >= ? AND resolved_at < ?",
    Count.CHANGED_TO_RESOLVED: f"""
        work_orders.id IN (
            SELECT work_order_id FROM work_order_history WHERE {_RESOLVES} AND changed_at >= ? AND changed_at < ?
        )
    """,
    Count.REOPENED: f"""
        work_orders.id IN (
            SELECT work_order_id FROM work_order_history WHERE {_REOPENS} AND changed_at >= ? AND changed_at < ?
        )
    """,
    Count.UNFINISHED: _WAS_UNFINISHED,
}


def _counted_condition(counted: Counted) -> Tuple[str, List[object]]:
    """Return the condition that a report has counted a work order, and its values."""
    begin = () if counted.what is Count.UNFINISHED else (counted.begin,)
    return _COUNTED[counted.what], [*begin, counted.end]


# Reports


class Period(NamedTuple):
    """A period of a report: a name that parse_period takes, its beginning (None: the first work order) and its end.

    It holds its beginning and not its end. Moments are UTC.
    """

    name: str
    begin: Optional[datetime]
    end: datetime

    @property
    def bounds(self) -> Tuple[str, str]:
        """When it begins and ends, as the database stores it."""
        return utc_text(self.begin) if self.begin else "", utc_text(self.end)


PERIODS = (*(f"last {days} days" for days in (7, 30, 90, 365)), "all")


def parse_period(text: str) -> Period:
    """Return the period that the text means: one of PERIODS, a number of days of one, or 2026-01-01 to 2026-03-31.

    Days are local and whole; what lasts until now includes the second that has begun. Raises InvalidInputError.
    """
    text, end = " ".join(text.lower().split()), datetime.fromisoformat(now()) + timedelta(seconds=1)
    form = re.fullmatch(r"([0-9]{4}-[0-9]{2}-[0-9]{2}) ?(?:to|-) ?([0-9]{4}-[0-9]{2}-[0-9]{2})", text)
    if form:
        return _parse_from_to(form[1], form[2], end)
    try:
        name = users.parse_choice(PERIODS, f"last {text} days" if text.isdigit() else text)
    except InvalidInputError:
        raise InvalidInputError(f"A period is one of: {', '.join(PERIODS)}; or 2026-01-01 to 2026-03-31.") from None
    if name == PERIODS[-1]:
        return Period(name, None, end)
    today = datetime.combine(end.astimezone().date(), time_of_day())
    return Period(name, (today - timedelta(days=int(name.split()[1]))).astimezone(timezone.utc), end)


def _parse_from_to(first: str, last: str, latest: datetime) -> Period:
    try:
        days = datetime.fromisoformat(first), datetime.fromisoformat(last) + timedelta(days=1)
        begin, end = (day.astimezone(timezone.utc) for day in days)
    except (ValueError, OverflowError):
        raise InvalidInputError("A period runs from one day to another, such as 2026-01-01 to 2026-03-31.") from None
    if not (begin < end and begin < latest and days[0].year >= 2000):
        raise InvalidInputError("A period begins in 2000 or later but not in the future, and does not end before that.")
    return Period(f"{first} to {last}", begin, min(end, latest))


class ReportRow(Protocol):
    """A row of any report: its name, and for each of its numbers the filter for the work orders behind it."""

    @property
    def name(self) -> str: ...

    @property
    def filters(self) -> Mapping[str, Filter]: ...


ALL = "(all)"  # which no username and no new category can be


class Grouping(str, Enum):
    """What resolution times are grouped by; a filter has a field of the same name."""

    PRIORITY = "priority"
    CATEGORY = "category"
    ASSIGNEE = "assignee"
    REQUESTER = "requester"

    def __str__(self) -> str:
        return self.value


class ResolutionTimes(NamedTuple):
    """A row of the report: times in seconds and shares in whole percent, None where there is nothing to count.

    `resolved` is how many work orders were counted. `reopened` is a share of those that were changed to Resolved in
    the period; the others are of those that still are.
    """

    name: str
    filters: Mapping[str, Filter]
    resolved: int
    median: Optional[float]
    mean: Optional[float]
    percentile_90: Optional[int]
    on_time: Optional[int]
    reopened: Optional[int]
    response_median: Optional[float]
    response_on_time: Optional[int]


class _Times:
    """What is known of the work orders of a group: seconds, and whether each was on time (0 or 1)."""

    def __init__(self) -> None:
        self.seconds: List[int] = []
        self.on_time: List[int] = []
        self.response_seconds: List[int] = []
        self.response_on_time: List[int] = []
        self.no_longer_resolved = self.reopened = 0


RESOLUTION_TIMES = (
    "Count: work orders resolved in the period that still are. Their time runs from creation, day and night, less the "
    "time On Hold and any time Resolved or Cancelled before a reopening; 90% of them took no longer than 90% in "
    "says. On time: of those with a due date. Reopened: of all that were changed to Resolved in the period and are not "
    "Cancelled, those reopened since. Response: the median time to the first comment, assignment or change of status "
    "by anyone but the requester; in target: of the responses with a target. Deleted work orders are not counted."
)


def resolution_times(session: Session, period: Period, grouping: Grouping) -> List[ResolutionTimes]:
    """Return how long it took to resolve work orders, by group and, in the last row, all together.

    Raises PermissionDeniedError to users.
    """
    column = "work_orders." + (f"{grouping}_id" if grouping in (Grouping.ASSIGNEE, Grouping.REQUESTER) else grouping)
    groups: Dict[object, _Times] = defaultdict(_Times)
    for _, _, key, seconds, response_seconds, on_time, response_on_time in _resolved(session, period, column):
        times = groups[key]
        times.seconds.append(seconds)
        if on_time is not None:
            times.on_time.append(on_time)
        if response_seconds is not None:
            times.response_seconds.append(response_seconds)
            if response_on_time is not None:
                times.response_on_time.append(response_on_time)
    for key, is_resolved, is_reopened in _changed_once_resolved(session, period, column):
        groups[key].no_longer_resolved += not is_resolved
        groups[key].reopened += is_reopened
    counted = Filter(counted=Counted(Count.RESOLVED, *period.bounds))
    rows = []
    for key, name in _group_names(session, grouping, groups).items():
        narrowed: Dict[str, Any] = {grouping.value: name}
        rows.append(_resolution_times(str(name), counted._replace(**narrowed), groups.get(key, _Times())))
    if grouping is not Grouping.PRIORITY:
        rows.sort(key=lambda row: (-row.resolved, row.name.casefold()))
    return [*rows, _resolution_times(ALL, counted, _together(groups.values()))]


def _resolved(session: Session, period: Period, column: str) -> Iterator[Tuple[Any, ...]]:
    """Yield a place and what is counted, for each work order that was resolved in the period and still is."""
    begin, end = period.bounds
    return _read_in_slices(
        session,
        f"""
        SELECT resolved_at, id, {column}, resolution_seconds, response_seconds, resolved_at <= due_at,
            response_seconds <= response_hours * 3600
        FROM work_orders INDEXED BY work_orders_resolved
        WHERE deleted_at IS NULL AND resolved_at >= :moment AND resolved_at < :end
            AND (resolved_at, id) > (:moment, :id)
        ORDER BY resolved_at, id LIMIT :size
        """,
        {"moment": begin, "end": end, "size": SLICE},
    )


def _changed_once_resolved(session: Session, period: Period, column: str) -> Iterable[Tuple[object, bool, bool]]:
    """Return the group of each work order that was changed to Resolved in the period and changed again after that.

    With it come whether it has been Resolved since a moment in the period, and whether it was reopened.
    """
    begin, end = period.bounds
    # Of several changes in one second, the one that says most: 1 if it had been resolved, 2 if that was undone, too.
    rows = _read_in_slices(
        session,
        f"""
        SELECT changed_at, work_order_id, {column}, resolved_at >= :begin AND resolved_at < :end,
            max(CASE WHEN new_value IN {_FINISHED} THEN 1 ELSE 2 END * EXISTS (
                SELECT 1 FROM work_order_history
                WHERE work_order_id = changed.work_order_id AND id < changed.id
                    AND {_RESOLVES} AND changed_at >= :begin AND changed_at < :end
            ))
        FROM work_order_history AS changed CROSS JOIN work_orders ON work_orders.id = work_order_id
        WHERE {_FROM_FINISHED} AND changed_at >= :moment AND (changed_at, work_order_id) > (:moment, :id)
            AND deleted_at IS NULL AND status <> 'Cancelled'
        GROUP BY changed_at, work_order_id ORDER BY changed_at, work_order_id LIMIT :size
        """,
        {"moment": begin, "begin": begin, "end": end, "size": SLICE_WITH_LOOKUPS},
    )
    found: Dict[object, Tuple[object, bool, bool]] = {}
    for _, work_order_id, key, is_resolved, undone in rows:
        if undone:
            was_reopened = work_order_id in found and found[work_order_id][2]
            found[work_order_id] = key, bool(is_resolved), undone == 2 or was_reopened
    return found.values()


def _read_in_slices(session: Session, sql: str, values: Mapping[str, object]) -> Iterator[Tuple[Any, ...]]:
    """Yield the rows of the SQL, a slice of `:size` in each snapshot.

    They are ordered by their first two columns, a moment and an id, which no two rows share; the next slice begins
    after the `:moment` and the `:id` of the last row.
    """
    cursor = session.connection.cursor()
    cursor.row_factory = None
    place: Mapping[str, object] = {"id": 0}
    while place:
        with snapshot(session.connection):
            users.authorize(session, Action.REPORTS)
            rows = cursor.execute(sql, {**values, **place}).fetchall()
        yield from rows
        place = dict(zip(("moment", "id"), rows[-1])) if len(rows) == values["size"] else {}


def _together(groups: Iterable[_Times]) -> _Times:
    together = _Times()
    for times in groups:
        together.seconds += times.seconds
        together.on_time += times.on_time
        together.response_seconds += times.response_seconds
        together.response_on_time += times.response_on_time
        together.no_longer_resolved += times.no_longer_resolved
        together.reopened += times.reopened
    return together


def _resolution_times(name: str, filter: Filter, times: _Times) -> ResolutionTimes:
    times.seconds.sort()
    times.response_seconds.sort()
    count = len(times.seconds)
    return ResolutionTimes(
        name=name,
        filters={"count": filter},
        resolved=count,
        median=_median(times.seconds),
        mean=sum(times.seconds) / count if count else None,
        percentile_90=times.seconds[-(-count * 9 // 10) - 1] if count else None,  # the nearest rank
        on_time=_share(sum(times.on_time), len(times.on_time)),
        reopened=_share(times.reopened, count + times.no_longer_resolved),
        response_median=_median(times.response_seconds),
        response_on_time=_share(sum(times.response_on_time), len(times.response_on_time)),
    )


def _median(ordered: Sequence[int]) -> Optional[float]:
    middle = len(ordered) // 2
    return (ordered[middle] + ordered[~middle]) / 2 if ordered else None


def _share(part: int, whole: int) -> Optional[int]:
    """Return the whole percent, rounded half up."""
    return (200 * part + whole) // (2 * whole) if whole else None


def _group_names(session: Session, grouping: Grouping, groups: Iterable[object]) -> Mapping[object, object]:
    """Return what a filter calls each group, by key; priorities are complete, highest first."""
    if grouping is Grouping.PRIORITY:
        return {priority: priority for priority in reversed(Priority)}
    if grouping is Grouping.CATEGORY:
        return {key: key or NONE for key in groups}
    usernames = _usernames(session)
    return {key: usernames[key] for key in groups}


def _usernames(session: Session, condition: str = "1") -> Dict[object, str]:
    """Return the usernames of the accounts that meet the condition, by id; None stands for nobody."""
    with snapshot(session.connection):
        users.authorize(session, Action.REPORTS)
        rows = session.connection.execute(f"SELECT id, username FROM users WHERE {condition}").fetchall()
    return {None: NOBODY, **{row["id"]: row["username"] for row in rows}}


# By days of age: below the first, the second ...
AGE_BANDS = (1, 7, 30, 90)
BAND_NAMES = ("<1d", *(f"{low}-{high}d" for low, high in zip(AGE_BANDS, AGE_BANDS[1:])), f"{AGE_BANDS[-1]}d+")


class BacklogRow(NamedTuple):
    """A row of the report: how many unfinished work orders there are, by age band, youngest first, and unassigned."""

    name: str
    filters: Mapping[str, Filter]
    bands: List[int]
    unassigned: int

    @property
    def total(self) -> int:
        """How many there are together."""
        return sum(self.bands)


class Backlog(NamedTuple):
    """What is unfinished: by priority, highest first, and in the last row all together; and the oldest ten."""

    rows: List[BacklogRow]
    oldest: List[WorkOrder]


BACKLOG = (
    "These are the work orders unfinished now, by time since creation: under a day, under 7, 30 and 90 days, and "
    "older. Deleted work orders are not counted."
)


def backlog(session: Session) -> Backlog:
    """Return what is unfinished now. Raises PermissionDeniedError to users."""
    moment = datetime.fromisoformat(now())
    begins = [utc_text(moment - timedelta(days=days) + timedelta(seconds=1)) for days in AGE_BANDS]
    counts = {priority: [0] * (len(AGE_BANDS) + 1) for priority in reversed(Priority)}
    unassigned = dict.fromkeys(Priority, 0)
    begins_in_order = begins[::-1]
    for created_at, _, priority, is_unassigned in _unfinished(session, "priority, assignee_id IS NULL"):
        counts[priority][len(begins) - bisect_right(begins_in_order, created_at)] += 1
        unassigned[priority] += is_unassigned
    end = utc_text(moment + timedelta(seconds=1))
    bands = [Counted(Count.CREATED, *bounds) for bounds in zip([*begins, ""], [end, *begins])]
    rows = [
        BacklogRow(str(priority), _backlog_filters(bands, priority), counts[priority], unassigned[priority])
        for priority in counts
    ]
    together = [sum(band) for band in zip(*counts.values())]
    rows.append(BacklogRow(ALL, _backlog_filters(bands), together, sum(unassigned.values())))
    return Backlog(rows, _oldest(session))


def _backlog_filters(bands: Iterable[Counted], priority: Optional[Priority] = None) -> Dict[str, Filter]:
    total = Filter(UNFINISHED, priority)
    by_band = {name: total._replace(counted=counted) for name, counted in zip(BAND_NAMES, bands)}
    return {"total": total, **by_band, "nobody's": total._replace(assignee=NOBODY)}


def _unfinished(session: Session, columns: str) -> Iterator[Tuple[Any, ...]]:
    """Yield these columns of each unfinished work order, after its place; in them, `:now` is the present moment."""
    return _read_in_slices(
        session,
        f"""
        SELECT created_at, id, {columns} FROM work_orders INDEXED BY work_orders_unfinished
        WHERE deleted_at IS NULL AND status IN {_UNFINISHED} AND created_at >= :moment
            AND (created_at, id) > (:moment, :id)
        ORDER BY created_at, id LIMIT :size
        """,
        {"moment": "", "now": now(), "size": SLICE},
    )


def _oldest(session: Session) -> List[WorkOrder]:
    with snapshot(session.connection):
        users.authorize(session, Action.REPORTS)
        rows = session.connection.execute(
            f"""
            {_select("work_orders INDEXED BY work_orders_unfinished")}
            WHERE deleted_at IS NULL AND status IN {_UNFINISHED}
            ORDER BY work_orders.created_at, work_orders.id LIMIT 10
            """
        ).fetchall()
    return list(map(_work_order, rows))


class Week(NamedTuple):
    """A row of the report: when the week, or its part in the period, begins and ends, in UTC, and its counts."""

    begin: datetime
    end: datetime
    created: int
    resolved: int
    reopened: int
    unfinished: int

    @property
    def name(self) -> str:
        """Its first day."""
        return str(self.begin.astimezone().date())

    @property
    def filters(self) -> Mapping[str, Filter]:
        """The filters for the work orders behind its counts."""
        counts = {
            "created": Count.CREATED,
            "resolved": Count.CHANGED_TO_RESOLVED,
            "reopened": Count.REOPENED,
            "backlog": Count.UNFINISHED,
        }
        bounds = utc_text(self.begin), utc_text(self.end)
        return {name: Filter(counted=Counted(count, *bounds)) for name, count in counts.items()}


WEEKLY_FLOW = (
    "A week runs from Monday to Sunday; the first and the last are cut to the period. A work order counts once a week "
    "as created, resolved (changed to Resolved) and reopened (from Resolved or Cancelled to an unfinished status). "
    "The backlog is what was unfinished at the week's end, or is unfinished now. Deleted work orders are not counted."
)


def weekly_flow(session: Session, period: Period) -> List[Week]:
    """Return what was created, resolved and reopened in each week of the period, and what was unfinished at its end.

    Raises PermissionDeniedError to users.
    """
    end = datetime.fromisoformat(now()) + timedelta(seconds=1)
    begin = period.begin or _first_creation(session)
    if begin is None:
        return []
    # What was unfinished follows from what is so now and from what has happened since.
    weeks = _weeks(begin, period.end) + _weeks(period.end, end)
    flow: List[Week] = []
    unfinished: Optional[int] = None
    while weeks:
        weeks, those = weeks[:-WEEKS_AT_ONCE], weeks[-WEEKS_AT_ONCE:]
        with snapshot(session.connection):
            users.authorize(session, Action.REPORTS)
            if unfinished is None:
                unfinished = _count_unfinished(session.connection)
            rows = _count_weeks(session.connection, those)
        for (week_begin, week_end), row in zip(reversed(those), reversed(rows)):
            created, resolved, reopened, growth = row
            flow.append(Week(week_begin, week_end, created, resolved, reopened, unfinished))
            unfinished -= created + growth
    return [week for week in reversed(flow) if week.end <= period.end]


def _weeks(begin: datetime, end: datetime) -> List[Tuple[datetime, datetime]]:
    """Return the weeks between two moments, in UTC; each but the first begins on a local Monday."""
    local, weeks = begin.astimezone(), []
    monday = datetime.combine(local.date() - timedelta(days=local.weekday()), time_of_day())
    while begin < end:
        monday += timedelta(days=7)  # without a zone: a week in which the clocks change is shorter or longer
        weeks.append((begin, min(monday.astimezone(timezone.utc), end)))
        begin = weeks[-1][1]
    return weeks


def _first_creation(session: Session) -> Optional[datetime]:
    with snapshot(session.connection):
        users.authorize(session, Action.REPORTS)
        (first,) = session.connection.execute(
            "SELECT min(created_at) FROM work_orders WHERE deleted_at IS NULL"
        ).fetchone()
    return _moment(first)


def _count_unfinished(connection: Connection) -> int:
    (count,) = connection.execute(
        f"""
        SELECT count(*) FROM work_orders INDEXED BY work_orders_unfinished
        WHERE deleted_at IS NULL AND status IN {_UNFINISHED}
        """
    ).fetchone()
    return int(count)


def _count_weeks(connection: Connection, weeks: Sequence[Tuple[datetime, datetime]]) -> List[sqlite3.Row]:
    """Return for each week what was created, resolved and reopened, and how many more were reopened than finished."""
    in_week = """
        changed_at >= week.first AND changed_at < week.next
        AND work_order_id NOT IN (SELECT id FROM work_orders WHERE deleted_at IS NOT NULL)
    """
    return connection.execute(
        f"""
        WITH week (first, next) AS (VALUES {", ".join(["(?, ?)"] * len(weeks))})
        SELECT
            (SELECT count(*) FROM work_orders
                WHERE deleted_at IS NULL AND created_at >= week.first AND created_at < week.next) AS created,
            (SELECT count(DISTINCT work_order_id) FROM work_order_history WHERE {_RESOLVES} AND {in_week}) AS resolved,
            (SELECT count(DISTINCT work_order_id) FROM work_order_history WHERE {_REOPENS} AND {in_week}) AS reopened,
            (SELECT count(*) FROM work_order_history WHERE {_REOPENS} AND {in_week})
                - (SELECT count(*) FROM work_order_history WHERE {_FINISHES} AND {in_week}) AS growth
        FROM week ORDER BY week.first
        """,
        [utc_text(moment) for week in weeks for moment in week],
    ).fetchall()


class Workload(NamedTuple):
    """A row of the report: what an assignee has now and has resolved in the period, and the median time in seconds."""

    name: str
    filters: Mapping[str, Filter]
    unfinished: int
    overdue: int
    on_hold: int
    resolved: int
    median: Optional[float]


WORKLOAD = (
    "Unfinished, overdue and On Hold are as of now. Resolved is what was resolved in the period and still is, by "
    "present assignee, with the median of the resolution times. Deleted work orders are not counted."
)


def workload(session: Session, period: Period) -> List[Workload]:
    """Return what each assignee has, those with the most first; the last row is nobody's.

    They are all who can be assignees now, and anybody else who has something that counts. Raises PermissionDeniedError
    to users.
    """
    usernames, possible = _usernames(session), _usernames(session, "is_active = 1 AND role <> 'user'")
    seconds: Dict[object, List[int]] = defaultdict(list)
    counts: Dict[object, List[int]] = defaultdict(lambda: [0, 0, 0])
    for _, _, key, resolution_seconds, *_ in _resolved(session, period, "assignee_id"):
        seconds[key].append(resolution_seconds)
    columns = f"assignee_id, due_at IS NOT NULL AND due_at < :now AND {_RUNS_OUT}, status = 'On Hold'"
    for _, _, key, is_overdue, is_held in _unfinished(session, columns):
        those = counts[key]
        those[0] += 1
        those[1] += is_overdue
        those[2] += is_held
    rows = []
    for key in [key for key in usernames if key in possible or key in counts or key in seconds]:
        name, (unfinished, overdue, on_hold), taken = usernames[key], counts[key], sorted(seconds[key])
        filters = _workload_filters(name, period)
        rows.append(Workload(name, filters, unfinished, overdue, on_hold, len(taken), _median(taken)))
    return sorted(rows, key=lambda row: (row.name == NOBODY, -row.unfinished, row.name))


def _workload_filters(username: str, period: Period) -> Dict[str, Filter]:
    return {
        "unfinished": assigned_to(username),
        "overdue": Filter(assignee=username, due=Due.OVERDUE),
        "on hold": Filter(Status.ON_HOLD, assignee=username),
        "resolved": Filter(assignee=username, counted=Counted(Count.RESOLVED, *period.bounds)),
    }


# Export


COLUMNS = (
    *("id", "title", "description", "priority", "category", "status", "requester", "assignee"),
    *("created_at", "updated_at", "resolved_at", "due_at"),
)
HISTORY_COLUMNS = ("work_order_id", "changed_at", "username", "field", "old_value", "new_value", "note")
ROWS_AT_ONCE = 1_000  # rows that are read, written or stored at once
EVERYTHING = Query(sort=Sort.OLDEST)

# What a spreadsheet would run as a formula (https://owasp.org/www-community/attacks/CSV_Injection), and what looks like
# such a text after guarding.
_FORMULA = re.compile("'*[=+@\t\r-]")


def guarded(text: str) -> str:
    """Return the text, after an apostrophe if a spreadsheet would run it as a formula or if it looks guarded."""
    return f"'{text}" if _FORMULA.match(text) else text


def unguarded(text: str) -> str:
    """Return the text that was guarded."""
    return text[1:] if text.startswith("'") and _FORMULA.match(text) else text


class Exported(NamedTuple):
    """The files that were made, and how many work orders they have."""

    paths: List[Path]
    total: int


def export(session: Session, query: Query, with_history: bool, progress: Callable[[int], None]) -> Exported:
    """Write the work orders that the query finds, in its order, to a new CSV file in exports/; return what was made.

    With history, a second file has all changes of these work orders. Their ids are read at one moment, and each work
    order later, as it is then, so that others can save meanwhile. `progress` gets the number of those written; if it
    raises, there is no new file. Raises PermissionDeniedError, OutputError.
    """
    ids = _ids(session, query)
    target = database.new_path(session.connection, "export", ".csv")
    targets = (target, _beside(target, "history.csv"))[: 1 + with_history]
    paths: List[Path] = []
    try:
        with database.partial_files(*targets) as partials:
            count = _write_csv(session, ids, partials, progress)
            with transaction(session.connection):
                user = users.authorize(session, Action.EXPORT)
                paths.append(database.publish_numbered(partials[0], target))
                for partial in partials[1:]:
                    paths.append(database.publish_numbered(partial, _beside(paths[0], "history.csv")))
                users.audit(session.connection, user.id, "exported", f"{paths[0].name}: {quantity_of_all(count)}")
    except BaseException as error:
        for path in paths:
            path.unlink()
        if isinstance(error, OSError):
            raise database.OutputError(f"{target} cannot be written: {error.strerror}. No export was made.") from error
        raise
    return Exported(paths, count)


def _beside(target: Path, ending: str) -> Path:
    return target.with_name(f"{target.stem}-{ending}")


def _ids(session: Session, query: Query) -> Sequence[int]:
    """Return the ids of what the query finds: eight bytes for each."""
    from array import array

    with _searching(session, query.text):
        selection = _selection(session, users.authorize(session, Action.EXPORT), query)
        plan = _plan(selection)
        order_by = ", ".join(f"{column} {selection.order.direction}" for column in _columns(selection, plan))
        rows = session.connection.execute(
            f"SELECT work_orders.id FROM {plan.source} WHERE {plan.condition} ORDER BY {order_by}", plan.values
        )
        return array("q", (row["id"] for row in rows))


def _write_csv(session: Session, ids: Sequence[int], paths: Sequence[Path], progress: Callable[[int], None]) -> int:
    """Write the work orders to the first file, their history to the second if there is one, and return how many."""
    import csv

    count = 0
    with ExitStack() as files:
        opened = [files.enter_context(path.open("w", encoding="utf-8-sig", newline="")) for path in paths]
        writers = [csv.writer(file) for file in opened]
        for writer, header in zip(writers, (COLUMNS, HISTORY_COLUMNS)):
            writer.writerow(header)
        for start in range(0, len(ids), ROWS_AT_ONCE):
            rows, history = _read_slice(session, ids[start : start + ROWS_AT_ONCE], len(paths) > 1)
            for writer, cells in zip(writers, (map(_cells, rows), map(_history_cells, history))):
                writer.writerows(cells)
            count += len(rows)
            progress(count)
    return count


def _read_slice(
    session: Session, ids: Sequence[int], with_history: bool
) -> Tuple[List[sqlite3.Row], List[sqlite3.Row]]:
    """Return these work orders and their history, oldest change first, both in the order of the ids."""
    listed = ", ".join("?" * len(ids))
    with snapshot(session.connection):
        users.authorize(session, Action.EXPORT)
        rows = session.connection.execute(
            f"{_select()} WHERE work_orders.id IN ({listed}) AND deleted_at IS NULL", list(ids)
        ).fetchall()
        changes = (
            session.connection.execute(
                f"{_SELECT_HISTORY} WHERE work_order_id IN ({listed}) ORDER BY work_order_history.id",
                [row["id"] for row in rows] + [None] * (len(ids) - len(rows)),
            ).fetchall()
            if with_history
            else []
        )
    positions = {work_order_id: position for position, work_order_id in enumerate(ids)}
    rows.sort(key=lambda row: positions[row["id"]])
    changes.sort(key=lambda row: positions[row["work_order_id"]])
    return rows, changes


def _cells(row: sqlite3.Row) -> List[object]:
    values = {**dict(row), "priority": str(Priority(row["priority"]))}
    return [row["id"], *(guarded(values[column] or "") for column in COLUMNS[1:])]


def _history_cells(row: sqlite3.Row) -> List[object]:
    return [row["work_order_id"], *(guarded(row[column] or "") for column in HISTORY_COLUMNS[1:])]


# Import


# Even a wrong row has to be read to be reported: the longest cell and the longest line, in characters.
LONGEST_CELL = 16 * 1024 * 1024
LONGEST_NAME = 100  # of a person, or an old id
SHOWN_OF_EACH = 10  # wrong rows, names and accounts of a dry run; its report has them all
# Measured on a machine with two cores. The dry run uses them to estimate how long an import takes, and how long its
# last transaction, which depends on whether most pages of the indexes are new or have to be changed.
ROWS_PER_SECOND, ROWS_PER_SECOND_AMONG_FEWER, ROWS_PER_SECOND_AMONG_MORE = 10_000, 100_000, 30_000

# What is read from a file: good rows, wrong ones, and the people by their names and their usernames.
_STAGING = (
    """
    CREATE TABLE staging.rows (
        number INTEGER PRIMARY KEY, line, old_id, title, description, priority, category, status, requester,
        requester_name, assignee, assignee_name, created_at, updated_at, resolved_at, due_at
    )
    """,
    "CREATE TABLE staging.wrong_rows (line INTEGER PRIMARY KEY, reason)",
    "CREATE TABLE staging.requesters (username PRIMARY KEY, user_id, total)",
    "CREATE TABLE staging.assignees (username PRIMARY KEY, user_id, total)",
    "CREATE TABLE staging.names (username, name, is_account, PRIMARY KEY (username, name))",
)
_STAGE_PEOPLE = (
    "INSERT INTO staging.requesters SELECT requester, NULL, count(*) FROM staging.rows GROUP BY requester",
    """
    INSERT INTO staging.assignees
        SELECT assignee, NULL, count(*) FROM staging.rows WHERE assignee IS NOT NULL GROUP BY assignee
    """,
    """
    INSERT INTO staging.names
        SELECT requester, requester_name, 0 FROM staging.rows
        UNION SELECT assignee, assignee_name, 0 FROM staging.rows WHERE assignee IS NOT NULL
    """,
    "UPDATE staging.requesters SET user_id = (SELECT id FROM main.users WHERE users.username = requesters.username)",
    """
    UPDATE staging.assignees SET user_id = (
        SELECT id FROM main.users WHERE users.username = assignees.username AND is_active = 1 AND role <> 'user'
    )
    """,
    "UPDATE staging.names SET is_account = EXISTS (SELECT 1 FROM main.users WHERE users.username = names.username)",
)
# So that the ids have no gaps; each new number is at most the old one, and so is free by then.
_RENUMBER = (
    "CREATE TABLE staging.numbers (old INTEGER PRIMARY KEY, new)",
    "INSERT INTO staging.numbers SELECT number, row_number() OVER (ORDER BY number) FROM staging.rows",
    "DELETE FROM staging.numbers WHERE old = new",
    """
    UPDATE staging.rows SET number = (SELECT new FROM staging.numbers WHERE old = number)
        WHERE number IN (SELECT old FROM staging.numbers)
    """,
)
_STAGE_WORK_ORDERS = (
    """
    INSERT INTO staging.work_orders (id, title, description, priority, category, status, requester_id, assignee_id,
        created_at, updated_at, resolved_at, due_at)
    SELECT :work_orders + number, title, description, priority, category, status, requesters.user_id,
        assignees.user_id, created_at, updated_at, resolved_at, due_at
    FROM staging.rows
    JOIN staging.requesters ON requesters.username = requester
    LEFT JOIN staging.assignees ON assignees.username = assignee
    WHERE number > :start AND number <= :end ORDER BY number
    """,
    """
    INSERT INTO staging.work_order_history
        (id, work_order_id, user_id, changed_at, field, old_value, new_value, note)
    SELECT :work_order_history + 2 * number - 1, :work_orders + number, :user_id, created_at, 'created', NULL, NULL,
        CASE old_id WHEN '' THEN '' ELSE 'Imported; the ID was ' || old_id || '.' END
    FROM staging.rows WHERE number > :start AND number <= :end
    UNION ALL
    SELECT :work_order_history + 2 * number, :work_orders + number, :user_id,
        coalesce(resolved_at, max(created_at, updated_at)), 'status', 'Open', status, ''
    FROM staging.rows WHERE number > :start AND number <= :end AND status <> 'Open'
    ORDER BY 1
    """,
    # What triggers set for work orders that are typed in.
    """
    UPDATE staging.work_orders SET
        urgency = computed_urgency,
        created_second = CAST(strftime('%s', created_at) AS INTEGER),
        (held_since, finished_at, resolution_seconds, response_seconds) = (
            SELECT held_since, finished_at, resolution_seconds, response_seconds FROM staging.work_order_measures
            WHERE id = work_orders.id
        )
    WHERE id > :work_orders + :start AND id <= :work_orders + :end
    """,
)


class UnreadableFileError(ApplicationError):
    """A file cannot be imported at all."""


class WrongRow(NamedTuple):
    """A row that cannot be imported: the line on which it begins, the header being line 1, and why not."""

    line: int
    reason: str


class Unknown(NamedTuple):
    """Usernames in a file without an eligible account: how many, in how many rows, and the first of them."""

    total: int
    rows: int
    first: List[str]


class DryRun(NamedTuple):
    """What an import of the file would do, prepared in `staging`. The report lists all findings, this only the first.

    `names` says what became of names that are not usernames; `imported_at` (UTC) is when the same content was imported;
    `existing` is about how many work orders there are already.
    """

    file: str
    content_hash: str
    imported_at: Optional[datetime]
    left_out_columns: List[str]
    existing: int
    good: int
    wrong: int
    wrong_rows: List[WrongRow]
    requesters: Unknown
    assignees: Unknown
    names: List[str]
    report: Optional[Path]


def list_imports(session: Session) -> Tuple[List[str], List[str]]:
    """Return the names of the files in imports/ beside the database, and why anything else in it is left out.

    Raises PermissionDeniedError to all but admins, UnreadableFileError where there is no file.
    """
    users.authorize(session, Action.IMPORT)
    folder = _imports(session)
    if folder.is_symlink():
        raise UnreadableFileError(f"{folder} is a symbolic link; nothing is read from it.")
    files, left_out = [], []
    try:
        for path in sorted(folder.iterdir()):
            if path.is_file() and not path.is_symlink():
                files.append(path.name)
            else:
                kind = "a link" if path.is_symlink() else "a folder" if path.is_dir() else "not a regular file"
                left_out.append(f"{path.name} is left out: it is {kind}.")
    except OSError as error:
        raise UnreadableFileError(f"{folder} cannot be read: {error.strerror}. Put the CSV file there.") from error
    if not files:
        raise UnreadableFileError(" ".join((f"There is no file in {folder}; put the CSV file there.", *left_out)))
    return files, left_out


@contextmanager
def dry_run(session: Session, file: str, progress: Callable[[int], None]) -> Iterator[DryRun]:
    """Read and check the file of that name in imports/, and prepare its rows until the block ends; nobody has to wait.

    `progress` gets the number of rows that were read. Raises PermissionDeniedError to all but admins,
    UnreadableFileError, OutputError.
    """
    admin = users.authorize(session, Action.IMPORT)
    with _open_import(_imports(session) / file) as content, database.staging(session.connection):
        for statement in _STAGING:
            session.connection.execute(statement)
        content_hash = _content_hash(content)
        left_out_columns = _stage_rows(session.connection, content, _Importer(session, admin), progress)
        for statement in _STAGE_PEOPLE:
            session.connection.execute(statement)
        yield _describe_staged(session.connection, file, content_hash, left_out_columns)


def count_left_out(session: Session, dry_run: DryRun, creates_accounts: bool, drops_assignees: bool) -> int:
    """Return how many lines import_rows would leave out, given the same answers.

    Raises UnreadableFileError if that is all of them.
    """
    condition, values = _left_out(creates_accounts, drops_assignees)
    (rows,) = session.connection.execute(f"SELECT count(*) FROM staging.rows WHERE {condition}", values).fetchone()
    if rows == dry_run.good:
        raise UnreadableFileError(f"{dry_run.file} has no row that can be imported.")
    return int(dry_run.wrong + rows)


def import_rows(
    session: Session, dry_run: DryRun, creates_accounts: bool, drops_assignees: bool, progress: Callable[[int], None]
) -> int:
    """Create the work orders of the dry run, inside its block, all or none, and return how many.

    Rows of unknown requesters are left out unless deactivated accounts are created for them, rows of unknown or
    unfit assignees unless the assignees are dropped. `progress` gets the number of rows that are ready; until all
    are, others wait for moments only. Raises PermissionDeniedError to all but admins, ConflictError if others have
    changed an account since, ApplicationError if somebody has begun another import.
    """
    connection = session.connection
    admin = users.authorize(session, Action.IMPORT)
    condition, values = _left_out(creates_accounts, drops_assignees)
    connection.execute(f"DELETE FROM staging.rows WHERE {condition}", values)
    for statement in _RENUMBER:
        connection.execute(statement)
    unknown = connection.execute(
        "SELECT username FROM staging.requesters WHERE user_id IS NULL AND ? ORDER BY username", (creates_accounts,)
    ).fetchall()
    (last,) = connection.execute("SELECT coalesce(max(number), 0) FROM staging.rows").fetchone()
    with (
        database.bulk(connection),
        database.reserved_ids(connection, users=len(unknown), work_orders=last, work_order_history=2 * last) as before,
    ):
        accounts = [(before["users"] + number, row["username"]) for number, row in enumerate(unknown, 1)]
        connection.executemany("UPDATE staging.requesters SET user_id = ? WHERE username = ?", accounts)
        _stage_work_orders(connection, {**before, "user_id": admin.id}, last, progress)
        with database.indexed_texts(connection, lambda count: progress((last + count) // 2)), transaction(connection):
            _insert_staged(session, dry_run, accounts, last)
    return int(last)


def _insert_staged(session: Session, dry_run: DryRun, accounts: Sequence[Tuple[int, str]], total: int) -> None:
    """Do the part of an import that others have to wait for."""
    connection = session.connection
    admin = users.authorize(session, Action.IMPORT)
    changed = connection.execute(
        """
        SELECT username FROM staging.assignees
        WHERE user_id NOT IN (SELECT id FROM main.users WHERE is_active = 1 AND role <> 'user') LIMIT 1
        """
    ).fetchone()
    if changed:
        raise ConflictError(f"{changed['username']} can no longer be an assignee. Nothing was imported; start again.")
    database.insert_staged(connection)
    try:
        users.add_deactivated(connection, admin, accounts)
    except sqlite3.IntegrityError as error:
        raise ConflictError("Somebody has taken one of the usernames. Nothing was imported; start again.") from error
    connection.execute(
        """
        INSERT INTO imported_files VALUES (:hash, :now) ON CONFLICT (content_hash) DO UPDATE SET imported_at = :now
        """,
        {"hash": dry_run.content_hash, "now": now()},
    )
    subject = f"{database.printable(dry_run.file)}: {quantity_of_all(total)}"
    users.audit(connection, admin.id, "imported", subject)


def _left_out(creates_accounts: bool, drops_assignees: bool) -> Tuple[str, List[object]]:
    """Return the condition that a row is left out because of its people."""
    return (
        """
        NOT ? AND requester IN (SELECT username FROM staging.requesters WHERE user_id IS NULL)
        OR NOT ? AND assignee IN (SELECT username FROM staging.assignees WHERE user_id IS NULL)
        """,
        [creates_accounts, drops_assignees],
    )


def _stage_work_orders(
    connection: Connection, values: Mapping[str, int], last: int, progress: Callable[[int], None]
) -> None:
    """Turn the rows in `staging` into what will be inserted, with its index entries."""
    database.stage_schema(connection, "table", "work_orders", "work_order_history", "texts_being_imported")
    database.stage_schema(connection, "view", "work_order_texts", "work_order_measures")
    database.stage_schema(connection, "index", "work_order_history")
    for start in range(0, last, 10 * ROWS_AT_ONCE):
        end = min(start + 10 * ROWS_AT_ONCE, last)
        with snapshot(connection):  # of nothing but `staging`, so that nobody has to wait
            for statement in _STAGE_WORK_ORDERS:
                connection.execute(statement, {**values, "start": start, "end": end})
        progress(end // 2)
    database.stage_schema(connection, "index", "work_orders")
    connection.execute(
        """
        CREATE TABLE staging.counts AS
            SELECT requester_id, status, priority, count(*) AS total FROM staging.work_orders GROUP BY 1, 2, 3
        """
    )


def _imports(session: Session) -> Path:
    return session.connection.path.with_name("imports")


@contextmanager
def _open_import(path: Path) -> Iterator[BinaryIO]:
    """Open a regular file, through no link, and without waiting for anybody to write into a pipe."""
    import os
    import stat

    flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    try:
        with os.fdopen(os.open(path, flags), "rb") as content:
            if not stat.S_ISREG(os.fstat(content.fileno()).st_mode):
                raise UnreadableFileError(f"{path.name} is not a regular file.")
            yield content
    except OSError as error:
        raise UnreadableFileError(f"{path.name} cannot be read: {error.strerror}.") from error


def _content_hash(content: BinaryIO) -> str:
    import hashlib

    digest = hashlib.sha256()
    for block in iter(lambda: content.read(1 << 20), b""):
        digest.update(block)
    content.seek(0)
    return digest.hexdigest()


def _stage_rows(
    connection: Connection, content: BinaryIO, importer: "_Importer", progress: Callable[[int], None]
) -> List[str]:
    """Read the file's rows into `staging`, and return the names of the columns that are left out."""
    import io

    text = io.TextIOWrapper(content, encoding="utf-8-sig", newline="")
    number = 0
    try:
        rows = _Rows(text)
        parsed = map(importer.parse, rows)
        for some in iter(lambda: list(islice(parsed, ROWS_AT_ONCE)), []):
            wrong = [row for row in some if isinstance(row, WrongRow)]
            good = [row for row in some if not isinstance(row, WrongRow)]
            with snapshot(connection):  # of nothing but `staging`
                connection.executemany(
                    "INSERT INTO staging.rows VALUES (NULL, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", good
                )
                connection.executemany("INSERT INTO staging.wrong_rows VALUES (?, ?)", wrong)
            number += len(some)
            progress(number)
    except UnicodeDecodeError as error:
        line = _line_of_undecodable(content)
        raise UnreadableFileError(f"Line {line:,} is not encoded in UTF-8; save the file as CSV UTF-8.") from error
    finally:
        text.detach()
    return rows.left_out_columns


def _line_of_undecodable(content: BinaryIO) -> int:
    """Return the first line of the file that is not in UTF-8."""
    import codecs

    content.seek(0)
    decoder, line = codecs.getincrementaldecoder("utf-8")(), 1
    try:
        for block in iter(lambda: content.read(1 << 20), b""):
            line += decoder.decode(block).count("\n")
    except UnicodeDecodeError as error:
        line += error.object[: error.start].count(b"\n")
    return line


class _Rows:
    """The rows of a CSV file (RFC 4180), each with its line: by their columns, or wrong."""

    def __init__(self, text: TextIO) -> None:
        import csv

        csv.field_size_limit(LONGEST_CELL)
        self._error = csv.Error
        lines = _lines(text)
        first = next(lines, "")
        delimiter = max(",;\t", key=lambda each: sum(map(COLUMNS.__contains__, _names(first.split(each)))))
        self._reader = csv.reader(chain([first], lines), delimiter=delimiter, strict=True)
        try:
            header = _names(next(self._reader))
        except csv.Error as error:
            raise UnreadableFileError(f"The first line of the file cannot be read: {_csv_fault(error)}") from error
        repeated = [name for name, count in Counter(filter(None, header)).items() if count > 1]
        if "title" not in header:
            raise UnreadableFileError("The first line of the file does not name the column title, which is required.")
        if repeated:
            raise UnreadableFileError(f"The first line of the file names the column {repeated[0][:40]} twice.")
        self._width = len(header)
        self._columns = [(name, header.index(name)) for name in header if name in COLUMNS]
        self.left_out_columns = [name for name in header if name not in COLUMNS]

    def __iter__(self) -> Iterator[Tuple[int, Union[str, Dict[str, str]]]]:
        """Yield for each row the line on which it begins, and what is wrong with it or its cells by column."""
        while True:
            line = self._reader.line_num + 1
            try:
                cells = next(self._reader)
            except StopIteration:
                return
            except self._error as error:
                yield line, _csv_fault(error)
                if "field limit" in str(error):
                    return  # nobody knows where the next row begins
                continue
            if cells and len(cells) != self._width:
                yield (
                    line,
                    f"It has {len(cells):,} cell{'' if len(cells) == 1 else 's'}, but the header has {self._width:,}.",
                )
            elif cells:
                yield line, {name: unguarded(cells[place]) for name, place in self._columns}


def _names(cells: Sequence[str]) -> List[str]:
    return [unguarded(cell).strip().strip('"').strip().lower() for cell in cells]


def _lines(text: TextIO) -> Iterator[str]:
    """Yield the lines of a file; what stands for a NUL is refused wherever it matters."""
    for line in iter(lambda: text.readline(LONGEST_CELL + 1), ""):
        if len(line) > LONGEST_CELL:
            raise UnreadableFileError(f"The file has a line of more than {LONGEST_CELL:,} characters.")
        yield line.replace("\0", "\ud800")  # before Python 3.11, the csv module stumbles over a NUL


def _csv_fault(error: Exception) -> str:
    """Return in a sentence what the csv module says."""
    if "unexpected end" in str(error):
        return "A quote that opens in this row never closes; the rest of the file belongs to it."
    if "field limit" in str(error):
        return f"A cell has more than {LONGEST_CELL:,} characters, or its quote never closes; nothing more was read."
    return "Something follows the quote that closes a cell; a quote inside a cell has to be doubled."


class _Importer:
    """Turns the cells of a row into what is stored, for the admin who imports."""

    def __init__(self, session: Session, admin: User) -> None:
        self._username, self._now = admin.username, now()
        self._parse_name = lru_cache(maxsize=10_000)(users.username_from_name)
        with snapshot(session.connection):
            self._categories = {name.casefold(): name for name in _categories(session.connection)}

    def parse(self, row: Tuple[int, Union[str, Dict[str, str]]]) -> Union[WrongRow, Tuple[object, ...]]:
        """Return the row's line and values in the order of `staging.rows`, or what is wrong with it."""
        line, cells = row
        try:
            return WrongRow(line, cells) if isinstance(cells, str) else (line, *self._values(cells))
        except InvalidInputError as error:
            return WrongRow(line, str(error))

    def _values(self, cells: Mapping[str, str]) -> Tuple[object, ...]:
        title, description = parse_title(cells["title"]), parse_text(cells.get("description", ""))
        old_id = " ".join(users.plain_text(cells.get("id", "")).split())
        if len(old_id) > LONGEST_NAME:
            raise InvalidInputError(f"An id has at most {LONGEST_NAME} characters; this one has {len(old_id):,}.")
        texts = {name: users.plain_text(text) for name, text in cells.items() if name not in ("title", "description")}
        requester, assignee = texts.get("requester") or self._username, texts.get("assignee", "")
        assignee = "" if assignee.lower() == NOBODY else assignee
        status = _parse_word("status", Status, texts.get("status") or str(Status.OPEN))
        return (
            old_id,
            title,
            description,
            int(_parse_word("priority", Priority, texts.get("priority") or str(Priority.MEDIUM))),
            self._parse_category(texts.get("category", "")),
            str(status),
            *self._parse_person(requester),
            *(self._parse_person(assignee) if assignee else (None, None)),
            *self._parse_times(status, texts),
        )

    def _parse_category(self, name: str) -> Optional[str]:
        name = name.replace("\n", " ")
        if not name or name.lower() == NONE:
            return None
        if name.casefold() not in self._categories:
            self._categories[name.casefold()] = _parse_new_category(name)
        return self._categories[name.casefold()]

    def _parse_person(self, name: str) -> Tuple[str, str]:
        """Return the username that a name stands for, and the name as it is listed."""
        if len(name) > LONGEST_NAME:
            raise InvalidInputError(f"A name has at most {LONGEST_NAME} characters; this one has {len(name):,}.")
        username = self._parse_name(name)
        return username, username if name.lower() == username else name

    def _parse_times(self, status: Status, texts: Mapping[str, str]) -> Tuple[str, str, Optional[str], Optional[str]]:
        """Return when it was created, changed and resolved, and when it is due, each as it is stored."""
        created, updated, resolved = (
            parse_moment(name, texts.get(name, "")) for name in ("created_at", "updated_at", "resolved_at")
        )
        if resolved and not status.is_finished:
            raise InvalidInputError(f"Its status is {status}, but it has a resolved_at.")
        if status is Status.RESOLVED:
            resolved = resolved or updated or self._now
        created = created or min(filter(None, (updated, resolved, self._now)))
        if resolved and created > resolved:
            raise InvalidInputError("Its created_at is later than its resolved_at.")
        updated = updated or resolved or created
        due = parse_moment("due_at", texts.get("due_at", ""), _END_OF_DAY)
        return created, updated, resolved if status is Status.RESOLVED else None, due


def _parse_word(column: str, words: Iterable[V], text: str) -> V:
    """Return the status or priority of that name. Raises InvalidInputError."""
    for word in words:
        if str(word).lower() == text.lower():
            return word
    known = ", ".join(map(str, words))
    raise InvalidInputError(f'Its {column} "{text[:40]}" is not one of {known}.')


_ISO_8601 = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2})"
    r"(?:[T ]([0-9]{2}:[0-9]{2}(?::[0-9]{2})?)(?:[.,][0-9]+)? ?(Z|[+-][0-9]{2}(?::?[0-9]{2})?)?)?",
    re.IGNORECASE,
)


def parse_moment(column: str, text: str, time_of_bare_day: time_of_day = time_of_day()) -> Optional[str]:
    """Return the date and time in ISO 8601 as the database stores it, cut to the second, or None for no text.

    Without a zone it is local time. Raises InvalidInputError, also before 1970 and after 2999.
    """
    if not text:
        return None
    form = _ISO_8601.fullmatch(text)
    try:
        if not form:
            raise ValueError
        day, time, zone = form.groups()
        # What any zone can show, and what due dates and periods can be.
        if not "1970" <= day < "3000":
            raise ValueError
        if not time:
            return utc_text(datetime.combine(date.fromisoformat(day), time_of_bare_day))
        digits = "0000" if not zone or zone in "Zz" else (zone[1:].replace(":", "") + "00")[:4]
        offset = f"{zone[0] if zone and zone not in 'Zz' else '+'}{digits[:2]}:{digits[2:]}" if zone else ""
        return utc_text(datetime.fromisoformat(f"{day}T{time}{offset}"))
    except (ValueError, OverflowError, OSError) as error:  # Windows knows no local time before 1970
        raise InvalidInputError(
            f'Its {column} "{text[:40]}" is not a date from 1970 to 2999 such as 2026-12-31 or '
            "2026-12-31T17:00:00+01:00."
        ) from error


def _describe_staged(connection: Connection, file: str, content_hash: str, left_out_columns: List[str]) -> DryRun:
    imported = connection.execute(
        "SELECT imported_at FROM main.imported_files WHERE content_hash = ?", (content_hash,)
    ).fetchone()
    (existing,) = connection.execute("SELECT coalesce(max(id), 0) FROM main.work_orders").fetchone()
    (good,) = connection.execute("SELECT count(*) FROM staging.rows").fetchone()
    wrong_rows = [
        WrongRow(row["line"], row["reason"])
        for row in connection.execute(f"{_SELECT_WRONG} LIMIT {SHOWN_OF_EACH}").fetchall()
    ]
    (wrong,) = connection.execute("SELECT count(*) FROM staging.wrong_rows").fetchone()
    names = connection.execute(f"{_SELECT_NAMES} LIMIT {SHOWN_OF_EACH}").fetchall()
    return DryRun(
        file,
        content_hash,
        _moment(imported["imported_at"]) if imported else None,
        left_out_columns,
        existing,
        good,
        wrong,
        wrong_rows,
        _unknown(connection, "requesters"),
        _unknown(connection, "assignees"),
        [row["words"] for row in names],
        _write_report(connection),
    )


# Wrong rows, and rows of unfit assignees, which are wrong unless the assignees are dropped.
_SELECT_WRONG = """
    SELECT line, reason FROM (
        SELECT line, reason FROM staging.wrong_rows
        UNION ALL
        SELECT line, 'Its assignee ' || assignee || ' is not an active manager or admin.' FROM staging.rows
        WHERE assignee IN (SELECT username FROM staging.assignees WHERE user_id IS NULL)
    ) ORDER BY line
"""
_SELECT_NAMES = """
    SELECT '"' || name || '" becomes ' || username || CASE
        WHEN is_account THEN ', an existing account'
        WHEN (SELECT count(*) FROM staging.names AS others WHERE others.username = names.username) > 1
            THEN ', as does another name'
        ELSE '' END AS words
    FROM staging.names WHERE name <> username ORDER BY username, name
"""


def _unknown(connection: Connection, kind: str) -> Unknown:
    rows = connection.execute(
        f"SELECT username, total FROM staging.{kind} WHERE user_id IS NULL ORDER BY username LIMIT {SHOWN_OF_EACH}"
    ).fetchall()
    count, total = connection.execute(
        f"SELECT count(*), coalesce(sum(total), 0) FROM staging.{kind} WHERE user_id IS NULL"
    ).fetchone()
    return Unknown(count, total, [row["username"] for row in rows])


def _write_report(connection: Connection) -> Optional[Path]:
    """Write all that the dry run found to a file in exports/, and return its path; None if there is nothing to say."""
    target = database.new_path(connection, "export", "-import.txt")
    everything = f"""
        SELECT 'Line ' || line || ': ' || reason FROM ({_SELECT_WRONG})
        UNION ALL SELECT 'Unknown requester: ' || username FROM staging.requesters WHERE user_id IS NULL
        UNION ALL SELECT 'Unknown or unfit assignee: ' || username FROM staging.assignees WHERE user_id IS NULL
        UNION ALL SELECT 'Name: ' || words FROM ({_SELECT_NAMES})
    """
    try:
        with database.partial_files(target) as (partial,):
            with closing(connection.execute(everything)) as lines, partial.open("w", encoding="utf-8") as file:
                file.writelines(f"{database.printable(line)}\n" for (line,) in lines)
            return database.publish_numbered(partial, target) if partial.stat().st_size else None
    except OSError as error:
        raise database.OutputError(f"{target} cannot be written: {error.strerror}.") from error


# Words


def local_time(moment: datetime) -> str:
    """Return the moment in local time to the minute; the last second of a day is the day."""
    local = moment.astimezone()
    is_a_day = (local.hour, local.minute, local.second) == (23, 59, 59)
    return local.strftime("%Y-%m-%d" if is_a_day else "%Y-%m-%d %H:%M")


def duration(seconds: float) -> str:
    """Return a length of time in its two largest units: 12m, 5h 12m, 3d 4h."""
    minutes = int(seconds) // 60
    if minutes < 60:
        return f"{minutes}m"
    if minutes < 24 * 60:
        return f"{minutes // 60}h {minutes % 60}m"
    return f"{minutes // 1440}d {minutes % 1440 // 60}h"


def age(moment: datetime) -> str:
    """Return how long ago the moment was."""
    return duration(max(0, (datetime.now(timezone.utc) - moment).total_seconds()))


def quantity(count: int) -> str:
    """Return a number of work orders in words; above COUNTED_AT_MOST it was not counted."""
    return f"{number_of(count) if count else 'no'} work order{'' if count == 1 else 's'}"


def quantity_of_all(count: int) -> str:
    """Return a number of work orders in words, however many."""
    return f"{count:,} work order{'' if count == 1 else 's'}"


def number_of(count: int) -> str:
    """Return a number; above COUNTED_AT_MOST it was not counted."""
    return f"{COUNTED_AT_MOST:,}+" if count > COUNTED_AT_MOST else f"{count:,}"


def describe_due(work_order: WorkOrder) -> str:
    """Return on which day the work order is due, at which time if it is today, or for how long it has been overdue."""
    if not work_order.due_at:
        return ""
    if work_order.is_overdue:
        return f"overdue {age(work_order.due_at).split()[0]}"
    day, _, time = local_time(work_order.due_at).partition(" ")
    return f"today {time}".rstrip() if day == f"{date.today()}" else day


def describe_due_by(work_order: WorkOrder) -> str:
    """Return whether the due time was set by hand or came from a service target; nothing where there is none."""
    return f"by {work_order.due_by}" if work_order.due_by else ""


def explain_due_by(work_order: WorkOrder) -> str:
    """Return a sentence on what has set the due time and what moves it."""
    due = local_time(work_order.due_at) if work_order.due_at else NONE
    if work_order.due_by is DueBy.HAND:
        return f"The due date, {due}, was set by hand; only setting it again changes it."
    return f"The due date, {due}, comes from the service target: time On Hold and a change of priority move it."


def describe_target(target: ServiceTarget) -> str:
    """Return what is promised for a priority."""
    response, resolution = (f"{hours:,} h" if hours else NONE for hours in target[1:])
    return f"first response {response}, resolution {resolution}"


def _describe_counted(counted: Counted) -> str:
    begin, end = _moment(counted.begin), datetime.fromisoformat(counted.end)
    if counted.what is Count.UNFINISHED:
        text = _last_moment(end)
        return f"unfinished at {'' if ' ' in text else 'the end of '}{text}"
    return f"{counted.what} {_from_to(begin, end)}"


def describe_period(session: Session, period: Period) -> str:
    """Return the period's name, its beginning (or else the first work order's creation) and its end, in local time.

    Raises PermissionDeniedError to users.
    """
    return f"{period.name}: {_from_to(period.begin or _first_creation(session), period.end)}"


def _from_to(begin: Optional[datetime], end: datetime) -> str:
    """Return the range in days if it consists of whole days, otherwise to the minute."""
    if begin is None:
        return f"until {_last_moment(end)}"
    first, last = begin.astimezone(), (end - timedelta(seconds=1)).astimezone()
    are_days = (first.time(), last.time()) == (time_of_day(), _END_OF_DAY)
    form = "%Y-%m-%d" if are_days else "%Y-%m-%d %H:%M"
    return f"from {first.strftime(form)} to {last.strftime(form)}"


def _last_moment(end: datetime) -> str:
    return local_time(end - timedelta(seconds=1))


def describe_seconds(seconds: Optional[float]) -> str:
    """Return a length of time, or - for none."""
    return "-" if seconds is None else duration(seconds)


def describe_share(share: Optional[int]) -> str:
    """Return a share, or - where there was nothing to count."""
    return "-" if share is None else f"{share}%"


def describe_my_work(work: MyWork) -> str:
    """Return in a line what waits for somebody."""
    changed = f"{number_of(work.changed)} changed by others since your last login"
    if not work.assigns:
        return f"{number_of(work.requested)} unfinished, {number_of(work.overdue)} overdue; {changed}"
    overdue = f", {number_of(work.assigned_overdue)} of them overdue" if work.assigned_overdue else ""
    return f"{number_of(work.assigned)} assigned to you{overdue}; {number_of(work.unassigned)} unassigned; {changed}"


def describe_query(query: Query) -> str:
    """Return in words which work orders the query asks for; nothing if for all."""
    text = [f'containing "{query.text}"{" anywhere" * query.as_substring}'] if query.text else []
    return ", ".join((*text, *_describe_filter(query.filter)))


def _describe_filter(filter: Filter) -> List[str]:
    words = (
        (filter.status, f"{filter.status}"),
        (filter.priority, f"priority {filter.priority}"),
        (filter.category, f"category {filter.category}"),
        (filter.requester, f"requester {filter.requester}"),
        (filter.assignee, f"assignee {filter.assignee}"),
        (filter.due, f"{'due ' * (filter.due is Due.THIS_WEEK)}{filter.due}"),
        (filter.changed, "changed by others since your last login"),
        (filter.counted, _describe_counted(filter.counted) if filter.counted else ""),
    )
    return [text for value, text in words if value]


def describe_entry(entry: HistoryEntry) -> str:
    """Return who changed what when, in local time, followed by the text that goes with it."""
    return f"{local_time(entry.changed_at)}  {_describe_change(entry)}"


def describe_message(entry: HistoryEntry, work_order: WorkOrder) -> str:
    """Return what a message says about a change; nothing that somebody typed begins a line of it.

    It may be read elsewhere, so its time has its zone.
    """
    is_new = entry.field in ("created", REQUESTER.name)
    change = _describe_change(entry._replace(note=work_order.description) if is_new else entry)
    text = f"{entry.changed_at.astimezone():%Y-%m-%d %H:%M %z}  {change}"
    return "\n    ".join(re.split("\r\n|\r|\n", text))  # not splitlines, which knows more line ends than email


def _describe_change(entry: HistoryEntry) -> str:
    what = "commented" if entry.field == "comment" else entry.field
    if entry.new_value is not None:
        old, new = (describe_value(entry.field, value or "") for value in (entry.old_value, entry.new_value))
        what = f'{entry.field} from "{old}" to "{new}"'
    return f"{entry.username}: {what}" + (f"\n{entry.note}" if entry.note else "")


def describe_dry_run(dry_run: DryRun) -> List[str]:
    """Return line by line what an import would do, what is wrong with the file, and how long it takes."""
    rows = dry_run.good + dry_run.wrong
    repeated = dry_run.imported_at and f"The same content was imported on {local_time(dry_run.imported_at)}."
    columns = ", ".join(
        name[:MAXIMUM_CATEGORY] or "without a name" for name in dry_run.left_out_columns[:SHOWN_OF_EACH]
    )
    last_rate = ROWS_PER_SECOND_AMONG_MORE if dry_run.existing >= dry_run.good else ROWS_PER_SECOND_AMONG_FEWER
    seconds, locked = (max(1, round(dry_run.good / rate)) for rate in (ROWS_PER_SECOND, last_rate))
    return [
        f"{dry_run.file}: {rows:,} row{'' if rows == 1 else 's'}, {dry_run.wrong:,} wrong.",
        *([repeated] if repeated else []),
        *([f"Unknown columns, left out: {_and_more(columns, len(dry_run.left_out_columns))}."] if columns else []),
        *(f"Line {row.line:,}: {row.reason}" for row in dry_run.wrong_rows),
        *_describe_unknown("Unknown requesters", dry_run.requesters),
        *_describe_unknown("Unknown or unfit assignees", dry_run.assignees),
        *(f"Name: {words}" for words in dry_run.names),
        *([f"All of this is in {dry_run.report}."] if dry_run.report else []),
        f"The import takes about {seconds:,} s. Others who save wait for up to 1 s, "
        f"and at the end for about {locked:,} s."
        + f" After {database.BUSY_SECONDS} s, a save is refused."
        * (locked >= database.BUSY_SECONDS),
    ]


def _describe_unknown(kind: str, unknown: Unknown) -> List[str]:
    if not unknown.total:
        return []
    rows = f"{unknown.rows:,} row{'' if unknown.rows == 1 else 's'}"
    return [f"{kind}, in {rows}: {_and_more(', '.join(unknown.first), unknown.total)}."]


def _and_more(words: str, count: int) -> str:
    return f"{words} and {count - SHOWN_OF_EACH:,} more" if count > SHOWN_OF_EACH else words


def describe_loss(count: int) -> str:
    """Return what to add about the work orders that will lose their assignee, if there are any."""
    return f" {quantity(count)} will lose {'its' if count == 1 else 'their'} assignee." if count else ""


def describe_release(count: int, username: str) -> str:
    """Return what to add about the work orders that have lost their assignee, if there are any."""
    if not count:
        return ""
    were, have = ("was", "has") if count == 1 else ("were", "have")
    return f" {quantity(count)} that {were} assigned to {username} now {have} no assignee."


def describe_value(field: str, text: str) -> str:
    """Return a value that the history stores as the person sees it: a moment in local time."""
    return FIELDS[field].describe(text) if text != FIELDS[field].none else text


# Command line


def main() -> List[str]:
    """Send the waiting messages, until Ctrl-C, and return what became of them, or raise it if some still wait."""
    import signal

    stop = users.Stop()
    with closing(database.connect(database.default_path())) as connection:
        signal.signal(signal.SIGINT, lambda *_: stop.interrupt())
        sent = users.send_waiting(connection, stop=stop)
        count = users.count_outbox(connection)
    summary = f"{users.describe_sent(sent)}; {users.describe_outbox(count)}."
    if count.waiting:
        raise ApplicationError(summary)
    return [summary]


if __name__ == "__main__":
    if len(sys.argv) > 1:
        print("usage: python work_order.py", file=sys.stderr)
        sys.exit(2)
    os._exit(database.run_command(main))
