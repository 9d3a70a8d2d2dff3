"""Work orders: their fields, who may change them, how they are found, and their history.

`python work_order.py` sends the messages about them that wait.
"""

import os
import re
import sqlite3
import sys
import unicodedata
from contextlib import closing, contextmanager
from datetime import date, datetime, timedelta, timezone
from datetime import time as time_of_day
from enum import Enum, IntEnum
from itertools import islice
from typing import (
    AbstractSet,
    Any,
    Callable,
    Dict,
    FrozenSet,
    Generic,
    Iterator,
    List,
    Mapping,
    NamedTuple,
    Optional,
    Sequence,
    Tuple,
    TypeVar,
)

import database
import users
from database import ApplicationError, Connection, limited, now, snapshot, transaction, utc_text, where
from users import NOBODY, NONE, Action, InvalidInputError, Scope, Session, User

UNFINISHED = "unfinished"
MAXIMUM_TITLE = 120
MAXIMUM_TEXT = 10_000
MAXIMUM_CATEGORY = 40
LATEST_NOTES = 20  # that a work order's screen can show
WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
MAXIMUM_NOTES = 200_000  # of a work order, comments and notes together: what each new one has to index again
LEAST_NOTE = 100  # that a note counts as
MAXIMUM_SEARCH = 200  # which also bounds how many words the index is asked for
SEARCH_SECONDS = 2  # for as long as somebody reads, nobody else can save
COUNTED_AT_MOST = 1_000

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


# Rows


class WorkOrder(NamedTuple):
    """A row of work_orders with the usernames of its people; times are UTC.

    `urgency`, `is_finished` and `due_rank` are what lists are sorted by: lowest first, without a due date last.
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
    urgency: int
    is_finished: int
    due_rank: str

    @property
    def is_overdue(self) -> bool:
        """Whether it should have been finished by now."""
        return self.due_at is not None and not self.status.is_finished and self.due_at < datetime.now(timezone.utc)


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
            resolved_at, due_at, deleted_at, urgency, is_finished, due_rank
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
        urgency=row["urgency"],
        is_finished=row["is_finished"],
        due_rank=row["due_rank"],
    )


def _moment(text: Optional[str]) -> Optional[datetime]:
    return datetime.fromisoformat(text) if text else None


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
    value is checked inside the transaction, how the history's text is shown, and the history's word for None.
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
    ) -> None:
        self.name, self.action, self.read, self.assignment = name, action, read, assignment
        self.check, self.describe, self.none = check, describe, none

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
)
DUE_DATE = Field(
    "due date",
    Action.SET_DUE_DATE,
    lambda work_order: work_order.due_at,
    "due_at = :new",
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
    if name.lower() in (NONE, users.ANY) or not name.isprintable():
        raise InvalidInputError(f"A category has printable characters and cannot be named {NONE} or {users.ANY}.")
    if not 1 <= len(name) <= MAXIMUM_CATEGORY:
        raise InvalidInputError(f"A category has 1 to {MAXIMUM_CATEGORY} characters; this one has {len(name):,}.")
    return name


def _categories(connection: Connection) -> List[str]:
    # From each category to the next by its index: a DISTINCT would read every work order.
    rows = connection.execute(
        """
        WITH RECURSIVE used (category) AS (
            SELECT min(category) FROM work_orders WHERE deleted_at IS NULL
            UNION ALL
            SELECT (SELECT min(category) FROM work_orders WHERE category > used.category AND deleted_at IS NULL)
            FROM used WHERE used.category IS NOT NULL
        )
        SELECT category FROM used WHERE category IS NOT NULL
        """
    ).fetchall()
    return sorted((row["category"] for row in rows), key=str.casefold)


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
        at = now()
        cursor = session.connection.execute(
            """
            INSERT INTO work_orders (title, description, priority, category, requester_id, created_at, updated_at)
            VALUES (?, ?, ?, ?, ?, ?, ?)
            """,
            (title, description, priority, category, owner.id, at, at),
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
    if old == new:
        return False
    _refuse_too_many_notes(session.connection, current.id, note)
    at = now()
    session.connection.execute(
        f"UPDATE work_orders SET {field.assignment}, updated_at = :now WHERE id = :id",
        {"new": utc_text(new) if isinstance(new, datetime) else new, "now": at, "id": current.id},
    )
    old_text, new_text = field.as_text(old), field.as_text(new)
    _record(session.connection, current.id, user, at, field.name, old_text, new_text, note)
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


class Filter(NamedTuple):
    """Which work orders a list shows, None standing for any.

    The status may be UNFINISHED, the assignee NOBODY, the category NONE; `changed` stands for what others have changed
    since the person's last login.
    """

    status: Optional[str] = None
    priority: Optional[Priority] = None
    category: Optional[str] = None
    requester: Optional[str] = None
    assignee: Optional[str] = None
    due: Optional[Due] = None
    changed: bool = False


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
    """An order of the list: its columns, their direction, and what to read from where many rows match."""

    columns: Tuple[str, ...]
    direction: str = ""
    source: str = "work_orders NOT INDEXED"


# In the order of urgency each filter has an index of its own.
_ORDERS: Mapping[Sort, Order] = {
    Sort.URGENCY: Order(("urgency", "created_at", "id"), source="work_orders"),
    Sort.NEWEST: Order(("id",), "DESC"),
    Sort.OLDEST: Order(("id",)),
    Sort.CHANGED: Order(("updated_at", "id"), "DESC", "work_orders INDEXED BY work_orders_by_change"),
    Sort.DUE: Order(("is_finished", "due_rank", "id"), source="work_orders INDEXED BY work_orders_by_due"),
}


def search(session: Session, text: str) -> Query:
    """Return the query for the work orders that contain all words of the text, whole or as beginnings.

    Where there is none, it is the query for those that contain the text anywhere. Raises InvalidInputError above 200
    characters.
    """
    if len(text) > MAXIMUM_SEARCH:
        raise InvalidInputError(f"A search has at most {MAXIMUM_SEARCH} characters; this one has {len(text):,}.")
    query = Query(text=users.plain_text(text), sort=Sort.NEWEST)
    with _searching(session, text):
        condition, values = _conditions(session, users.authorize(session, Action.VIEW), query)
        has_words = _match_expression(query.text) and _read(session.connection, query, 0, condition, values, 1)
    return query if has_words else query._replace(as_substring=True)


def read_page(session: Session, query: Query, seen: Sequence[WorkOrder], limit: int) -> Page:
    """Return the next page: up to `limit` of the work orders that the person may see and has not `seen` yet.

    It begins where the last one seen stood when it was read, and ends with those that have moved ahead of that since.
    """
    with _searching(session, query.text):
        condition, values = _conditions(session, users.authorize(session, Action.VIEW), query)
        if query.as_substring:
            found, total, overdue = _read_substring(session.connection, query, condition, values, seen)
        else:
            found, (total, overdue) = [], _count(session.connection, query, condition, values)
        if total and not (query.as_substring and (total <= COUNTED_AT_MOST or not seen)):
            found = _read_following(session.connection, query, total, condition, values, seen, limit)
        rows = _rows_below(session, query, found[:limit])
    return Page(found[:limit], total, overdue, _below(query, found[:limit], rows))


def reread_page(session: Session, query: Query, shown: Sequence[WorkOrder]) -> Page:
    """Return a page that was read before with its work orders as they are now, without those that left the list."""
    ids = [work_order.id for work_order in shown]
    listed = ", ".join("?" * len(ids))
    with _searching(session, query.text):
        condition, values = _conditions(session, users.authorize(session, Action.VIEW), query)
        total, overdue = _count(session.connection, query, condition, values)
        source = "work_orders NOT INDEXED"  # they are looked up by their ids
        condition, values = f"{condition} AND work_orders.id IN ({listed})", [*values, *ids]
        if query.is_by_word:
            source = _source(query)
            condition += " AND work_order_search.rowid BETWEEN ? AND ?"
            values += [min(ids, default=0), max(ids, default=0)]
        rows = session.connection.execute(f"{_select(source)} WHERE {condition}", values).fetchall()
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
        filters = (UNASSIGNED, OVERDUE, DUE_THIS_WEEK, requested_by(user.username), CHANGED)
        assigned, others = Query(assigned_to(user.username)), list(map(Query, filters))
        total, overdue = _count(session.connection, assigned, *_conditions(session, user, assigned))
        totals = [_count_all(session.connection, query, *_conditions(session, user, query)) for query in others]
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
    advice = "search for whole words or their beginnings" if text else "try again in a moment"
    sentence = f"Reading was stopped after {SEARCH_SECONDS} seconds, so that others can save; {advice}."
    with limited(session.connection, SEARCH_SECONDS, sentence), snapshot(session.connection):
        yield


def _conditions(session: Session, user: User, query: Query) -> Tuple[str, List[object]]:
    """Return the SQL condition, and the values bound in it, of what the query asks for and the user may see."""
    return where(
        (
            (True, "work_orders.deleted_at IS NULL", ()),
            (users.scope(user, Action.VIEW) is not Scope.ALL, "requester_id = ?", [user.id]),
            *_filter_conditions(query.filter),
            (query.filter.changed, *_changed_by_others(session, user)),
            (query.is_by_word, "work_order_search MATCH ?", [_match_expression(query.text)]),
            *((True, *_contains(term)) for term in _terms_without_index(query)),
        )
    )


def _filter_conditions(filter: Filter) -> Sequence[Tuple[object, str, Sequence[object]]]:
    person = "(SELECT id FROM users WHERE username = ?)"
    return (
        (filter.status == UNFINISHED, "urgency < 4", ()),
        (filter.status not in (None, UNFINISHED), "status = ?", [filter.status]),
        (filter.priority, "priority = ?", [filter.priority]),
        (filter.category == NONE, "category IS NULL", ()),
        (filter.category not in (None, NONE), "category = ?", [filter.category]),
        (filter.requester, f"requester_id = {person}", [filter.requester]),
        (filter.assignee == NOBODY, "assignee_id IS NULL", ()),
        (filter.assignee not in (None, NOBODY), f"assignee_id = {person}", [filter.assignee]),
        (filter.due, "due_at IS NOT NULL", ()),
        (filter.due is Due.OVERDUE, _OVERDUE, [now()]),
        (filter.due is Due.THIS_WEEK, "due_rank >= ? AND due_rank < ?", _this_week()),
    )


_OVERDUE = "urgency < 4 AND is_finished = 0 AND due_rank < ?"


def _changed_by_others(session: Session, user: User) -> Tuple[str, List[object]]:
    """Return the condition that others have changed the work order since the last login, and its values.

    Those are the work orders that concern the person now, and those that were assigned to them or taken from them.
    """
    condition = """
        work_orders.id IN (
            SELECT work_order_id
            FROM work_order_history JOIN work_orders AS changed ON changed.id = work_order_id
            WHERE work_order_history.id > ? AND user_id <> ? AND (
                requester_id = ?
                OR ? AND (assignee_id = ? OR field = 'assignee' AND ? IN (old_value, new_value))
            )
        )
    """
    sees_all = users.scope(user, Action.VIEW) is Scope.ALL
    return condition, [session.seen_history_id, user.id, user.id, sees_all, user.id, user.username]


def _this_week() -> Tuple[str, str]:
    today = datetime.now().replace(hour=0, minute=0, second=0, microsecond=0)
    monday = today - timedelta(days=today.weekday())
    return utc_text(monday), utc_text(monday + timedelta(days=7))


def _source(query: Query, total: int = 0) -> str:
    """Return the table to read from, given how many rows match; without a hint SQLite would sort or read too much.

    Where more rows match than we count, walking the order's index meets them soon; fewer are faster to sort.
    """
    if query.is_by_word:
        return "work_order_search CROSS JOIN work_orders ON work_orders.id = work_order_search.rowid"
    if query.filter.due and query.sort is Sort.URGENCY:
        return "work_orders INDEXED BY work_orders_with_due_by_urgency"
    return _ORDERS[query.sort].source if total > COUNTED_AT_MOST else "work_orders"


def _count(connection: Connection, query: Query, condition: str, values: Sequence[object]) -> Tuple[int, int]:
    """Return how many work orders match, and how many of them are overdue; each stops one above COUNTED_AT_MOST.

    Where more match, the overdue ones in a search, or among what others have changed, are not counted: finding
    them would mean reading every match.
    """
    limit = COUNTED_AT_MOST + 1
    row = connection.execute(
        f"""
        SELECT count(*) AS total, coalesce(sum(is_overdue), 0) AS overdue
        FROM (SELECT {_OVERDUE} AS is_overdue FROM {_source(query)} WHERE {condition} LIMIT {limit})
        """,
        [now(), *values],
    ).fetchone()
    if row["total"] < limit:
        return row["total"], row["overdue"]
    if query.is_by_word or query.filter.changed:
        return limit, 0
    (overdue,) = connection.execute(
        f"SELECT count(*) FROM (SELECT 1 FROM work_orders WHERE {condition} AND {_OVERDUE} LIMIT {limit})",
        [*values, now()],
    ).fetchone()
    return limit, overdue


def _read(
    connection: Connection,
    query: Query,
    total: int,
    condition: str,
    values: Sequence[object],
    limit: int,
    after: Optional[WorkOrder] = None,
    seen: AbstractSet[int] = frozenset(),
) -> List[WorkOrder]:
    """Return up to `limit` of the rows in the query's order that follow `after`, without the ids in `seen`."""
    order = _ORDERS[query.sort]
    # The full-text index yields its rows by rowid, from anywhere on, but does not know that this is the id.
    row_id = "work_order_search.rowid" if query.is_by_word else "work_orders.id"
    columns = [row_id if column == "id" else f"work_orders.{column}" for column in order.columns]
    if after:
        comparison = "<" if order.direction else ">"
        condition += f" AND ({', '.join(columns)}) {comparison} ({', '.join('?' * len(columns))})"
        values = [*values, *_key(after, order.columns)]
    order_by = ", ".join(f"{column} {order.direction}" for column in columns)
    cursor = connection.execute(f"{_select(_source(query, total))} WHERE {condition} ORDER BY {order_by}", values)
    found = list(islice((_work_order(row) for row in cursor if row["id"] not in seen), limit))
    cursor.close()
    return found


def _count_all(connection: Connection, query: Query, condition: str, values: Sequence[object]) -> int:
    """Return how many work orders match, up to one above COUNTED_AT_MOST."""
    (total,) = connection.execute(
        f"SELECT count(*) FROM (SELECT 1 FROM {_source(query)} WHERE {condition} LIMIT {COUNTED_AT_MOST + 1})", values
    ).fetchone()
    return int(total)


def _read_following(
    connection: Connection,
    query: Query,
    total: int,
    condition: str,
    values: Sequence[object],
    seen: Sequence[WorkOrder],
    limit: int,
) -> List[WorkOrder]:
    """Return up to `limit` that follow the last one seen and, after them, those that have moved ahead of it."""
    found: List[WorkOrder] = []
    for after in (seen[-1], None) if seen else (None,):
        ids = {work_order.id for work_order in (*seen, *found)}
        if len(found) < limit:
            found += _read(connection, query, total, condition, values, limit - len(found), after, ids)
    return found


def _read_substring(
    connection: Connection, query: Query, condition: str, values: Sequence[object], seen: Sequence[WorkOrder]
) -> Tuple[List[WorkOrder], int, int]:
    """Return what matches and was not seen yet, how many match, up to one more than we count, and how many are overdue.

    No index answers a substring, so that one pass over the texts has to do. What has moved ahead of the last one seen
    comes last.
    """
    matching = _read(connection, query, 0, condition, values, COUNTED_AT_MOST + 1)
    ids, order = {work_order.id for work_order in seen}, _ORDERS[query.sort]
    unseen = [work_order for work_order in matching if work_order.id not in ids]
    if seen:
        last = _key(seen[-1], order.columns)
        unseen.sort(key=lambda row: (_key(row, order.columns) < last) is not bool(order.direction))
    return unseen, len(matching), sum(work_order.is_overdue for work_order in matching)


def _key(work_order: WorkOrder, columns: Sequence[str]) -> List[object]:
    """Return the work order's values in these columns, as the database stores them."""
    values = (getattr(work_order, column) for column in columns)
    return [utc_text(value) if isinstance(value, datetime) else value for value in values]


# Searching text


def _match_expression(text: str) -> str:
    """Return what asks the full-text index for each word or beginning of a word, each quoted and so no syntax."""
    words = (word.replace('"', '""') for word in text.split() if any(map(str.isalnum, word)))
    return " ".join(f'"{word}"*' for word in words)


def _terms_without_index(query: Query) -> List[str]:
    """Return what has to be looked for in the text itself, since the index knows nothing but words."""
    if query.as_substring:
        return [query.text]
    return [word for word in query.text.split() if not word.isalnum()]


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
    """Return the text as the full-text index compares it, each character in its old place."""
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
        rows = session.connection.execute(
            """
            SELECT status, priority, sum(total) AS total, sum(CASE requester_id WHEN ? THEN total ELSE 0 END) AS own
            FROM work_order_counts GROUP BY status, priority
            """,
            (user.id,),
        ).fetchall()
    counts = []
    for status in Status:
        those = [row for row in rows if row["status"] == status]
        by_priority = {**dict.fromkeys(Priority, 0), **{Priority(row["priority"]): row["total"] for row in those}}
        counts.append(StatusCount(status, by_priority, sum(by_priority.values()), sum(row["own"] for row in those)))
    return counts


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
    )
    return [text for value, text in words if value]


def describe_entry(entry: HistoryEntry) -> str:
    """Return who changed what when, in local time, followed by the text that goes with it."""
    what = "commented" if entry.field == "comment" else entry.field
    if entry.new_value is not None:
        old, new = (describe_value(entry.field, value or "") for value in (entry.old_value, entry.new_value))
        what = f'{entry.field} from "{old}" to "{new}"'
    return f"{local_time(entry.changed_at)}  {entry.username}: {what}" + (f"\n{entry.note}" if entry.note else "")


def describe_message(entry: HistoryEntry, work_order: WorkOrder) -> str:
    """Return what a message says about a change; nothing that somebody typed begins a line of it."""
    is_new = entry.field in ("created", REQUESTER.name)
    text = describe_entry(entry._replace(note=work_order.description) if is_new else entry)
    return "\n    ".join(text.splitlines())


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
    """Send the messages that wait, and return what became of them; raise that if some still wait."""
    with closing(database.connect(database.default_path())) as connection:
        sent = users.send_waiting(connection)
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
