"""Work orders: what they are, who may change what about them, and their history."""

import re
import sqlite3
import unicodedata
from dataclasses import dataclass, replace
from datetime import datetime, timedelta, timezone
from enum import Enum, IntEnum
from itertools import islice
from typing import AbstractSet, Any, Callable, Dict, List, Mapping, Optional, Sequence, Tuple, Union

import users
from database import ApplicationError, now, snapshot, transaction
from users import Action, InvalidInputError, Scope, Session, User

UNFINISHED = "unfinished"
NOBODY = "nobody"
MAXIMUM_TITLE = 120
MAXIMUM_TEXT = 10_000

# A search longer than this is no search; it also bounds how many words the index is asked for.
MAXIMUM_SEARCH = 200
COUNTED_AT_MOST = 1_000


class NotFoundError(ApplicationError):
    """There is no such work order for this account: never given, deleted, or somebody else's."""


class ConflictError(ApplicationError):
    """Somebody else changed the same field after it was shown, or it stands as asked already."""


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


class Due(str, Enum):
    """When work orders are due, to filter by; a week runs from Monday to Sunday in local time."""

    OVERDUE = "overdue"
    THIS_WEEK = "this week"

    def __str__(self) -> str:
        return self.value


@dataclass(frozen=True)
class Selection:
    """Which work orders a list shows, None standing for any, and in which order.

    The status may also be UNFINISHED, the assignee NOBODY; with `as_substring` the text stands anywhere, even inside a
    word.
    """

    status: Optional[str] = None
    priority: Optional[Priority] = None
    requester: Optional[str] = None
    assignee: Optional[str] = None
    due: Optional[Due] = None
    sort: Sort = Sort.URGENCY
    text: str = ""
    as_substring: bool = False


@dataclass(frozen=True)
class WorkOrder:
    """A row of work_orders with the usernames of its people; times are UTC."""

    id: int
    title: str
    description: str
    priority: Priority
    status: Status
    requester_id: int
    requester: str
    assignee: Optional[str]
    created_at: datetime
    updated_at: datetime
    resolved_at: Optional[datetime]
    due_date: Optional[datetime]
    deleted_at: Optional[datetime]
    urgency: int

    @property
    def is_overdue(self) -> bool:
        """Whether it should have been finished by now."""
        return self.due_date is not None and not self.status.is_finished and self.due_date < datetime.now(timezone.utc)


@dataclass(frozen=True)
class HistoryEntry:
    """One change of a work order, or a comment: when (UTC), by whom, of what, from, to and the text to it."""

    id: int
    changed_at: datetime
    username: str
    field: str
    old_value: Optional[str]
    new_value: Optional[str]
    note: str


def valid_id(text: str) -> int:
    """Return the id of a work order written as 12 or #12. Raises InvalidInputError."""
    if not re.fullmatch("#?[0-9]{1,18}", text):
        raise InvalidInputError("A work order ID is a number such as 12.")
    return int(text.lstrip("#"))


def valid_title(text: str) -> str:
    """Return the title without space around it. Raises InvalidInputError outside 1 to 120 characters."""
    title = text.strip().replace("\n", " ")
    if not 1 <= len(title) <= MAXIMUM_TITLE:
        raise InvalidInputError(f"A title has 1 to {MAXIMUM_TITLE} characters; this one has {len(title):,}.")
    return title


def valid_text(text: str) -> str:
    """Return a text without space around it. Raises InvalidInputError above 10,000 characters."""
    stripped = text.strip()
    if len(stripped) > MAXIMUM_TEXT:
        raise InvalidInputError(f"A text has at most {MAXIMUM_TEXT:,} characters; this one has {len(stripped):,}.")
    return stripped


def permitted(user: User, action: Action, order: WorkOrder) -> bool:
    """Return whether the user may take the action on this work order, as things stood when both were read."""
    scope = users.scope(user, action)
    if scope is Scope.OWN_UNFINISHED and order.status.is_finished:
        return False
    return scope is Scope.ALL or (scope is not Scope.NONE and order.requester_id == user.id)


def create(connection: sqlite3.Connection, session: Session, title: str, description: str, priority: Priority) -> int:
    """Create a work order of the person's own and return its id. Raises InvalidInputError."""
    title, description = valid_title(title), valid_text(description)
    with transaction(connection):
        user = users.authorize(connection, session, Action.CREATE)
        at = now()
        cursor = connection.execute(
            """
            INSERT INTO work_orders (title, description, priority, requester_id, created_at, updated_at)
            VALUES (?, ?, ?, ?, ?, ?)
            """,
            (title, description, priority, user.id, at, at),
        )
        assert cursor.lastrowid is not None
        _record(connection, cursor.lastrowid, user, at, "created")
    return cursor.lastrowid


def get(connection: sqlite3.Connection, session: Session, work_order_id: int) -> WorkOrder:
    """Return the work order. Raises NotFoundError, in the same words for one of somebody else's and for none."""
    with snapshot(connection):
        return _visible(connection, users.authorize(connection, session, Action.VIEW), work_order_id)


def search(connection: sqlite3.Connection, session: Session, text: str) -> Selection:
    """Return the selection of the work orders in which all words of the text stand, whole or as beginnings.

    Where there is none, it is that of the work orders in which the text stands anywhere. Raises InvalidInputError above
    200 characters.
    """
    if len(text) > MAXIMUM_SEARCH:
        raise InvalidInputError(f"A search has at most {MAXIMUM_SEARCH} characters; this one has {len(text):,}.")
    by_word = Selection(text=unicodedata.normalize("NFC", text), sort=Sort.NEWEST)
    if _match_expression(by_word.text) and list_after(connection, session, by_word, None, limit=1):
        return by_word
    return replace(by_word, as_substring=True)


def list_after(
    connection: sqlite3.Connection,
    session: Session,
    selection: Selection,
    after: Optional[WorkOrder],
    limit: int,
    seen: AbstractSet[int] = frozenset(),
) -> List[WorkOrder]:
    """Return up to `limit` of the selected work orders that the person may see, in the selection's order.

    They start behind where `after` stood when it was read (None: at the top) and leave out the ids in `seen`, which may
    have moved there meanwhile.
    """
    order, beyond, key = _SORTS[selection.sort]
    if _is_by_word(selection):  # the full-text index yields its rows in this order by itself, and starts anywhere
        order, beyond = (sql.replace("work_orders.id", "work_order_search.rowid") for sql in (order, beyond))
    with snapshot(connection):
        conditions, values = _conditions(users.authorize(connection, session, Action.VIEW), selection)
        source = _source(selection)
        in_order = _IN_ORDER.get(selection.sort)
        if in_order and source == "work_orders" and _count(connection, source, conditions, values) > COUNTED_AT_MOST:
            source = in_order
        if after:
            conditions.append(beyond)
            values.extend(key(after))
        where = " AND ".join(conditions)
        cursor = connection.execute(f"{_select(source)} WHERE {where} ORDER BY {order}", values)
        unseen = (_work_order(row) for row in cursor if row[0] not in seen)
        found = list(islice(unseen, limit))
        cursor.close()
    return found


def list_these(
    connection: sqlite3.Connection, session: Session, selection: Selection, ids: Sequence[int]
) -> List[WorkOrder]:
    """Return those of the work orders that are still selected and visible, as they are now, in the order of the ids."""
    if not ids:
        return []
    source = "work_orders NOT INDEXED"  # they are looked up by their ids
    with snapshot(connection):
        conditions, values = _conditions(users.authorize(connection, session, Action.VIEW), selection)
        conditions.append(f"work_orders.id IN ({', '.join('?' * len(ids))})")
        values.extend(ids)
        if _is_by_word(selection):
            source = _source(selection)
            conditions.append("work_order_search.rowid BETWEEN ? AND ?")
            values.extend((min(ids), max(ids)))
        rows = connection.execute(f"{_select(source)} WHERE {' AND '.join(conditions)}", values).fetchall()
    return sorted(map(_work_order, rows), key=lambda order: ids.index(order.id))


def count(connection: sqlite3.Connection, session: Session, selection: Selection) -> int:
    """Return how many work orders a list of the selection holds; above 1,000 it stops counting and returns 1,001."""
    with snapshot(connection):
        conditions, values = _conditions(users.authorize(connection, session, Action.VIEW), selection)
        return _count(connection, _source(selection), conditions, values)


def _count(connection: sqlite3.Connection, source: str, conditions: Sequence[str], values: Sequence[Any]) -> int:
    row = connection.execute(
        f"""
        SELECT count(*) FROM (
            SELECT 1 FROM {source} WHERE {" AND ".join(conditions)} LIMIT {COUNTED_AT_MOST + 1}
        )
        """,
        values,
    ).fetchone()
    return int(row[0])


def excerpts(
    connection: sqlite3.Connection, session: Session, selection: Selection, ids: Sequence[int]
) -> Dict[int, str]:
    """Return for each of the work orders found by a search the place where it matched, the match in square brackets."""
    sought = [selection.text] if selection.as_substring else selection.text.split()
    found = {}
    with snapshot(connection):
        user = users.authorize(connection, session, Action.VIEW)
        for work_order_id in ids:
            order = _find(connection, work_order_id)
            if order and permitted(user, Action.VIEW, order) and not order.deleted_at:
                found[work_order_id] = connection.execute(
                    "SELECT title, description, comments FROM work_order_texts WHERE id = ?", (work_order_id,)
                ).fetchone()
    return {work_order_id: _excerpt(texts, sought).replace("\n", " ") for work_order_id, texts in found.items()}


def _excerpt(texts: Sequence[str], sought: Sequence[str]) -> str:
    pattern = "|".join(re.escape(_without_accents(word)) for word in sought)
    for begin in (r"(?<![^\W_])", ""):  # the beginning of a word rather than what stands in the midst of one
        for name, text in zip(("title", "description", "comment"), texts):
            match = re.search(f"{begin}(?:{pattern})", _without_accents(text), re.IGNORECASE)
            if match:
                before, middle, after = text[: match.start()], text[slice(*match.span())], text[match.end() :]
                before = f"...{before[-30:]}" if len(before) > 33 else before
                after = f"{after[:30]}..." if len(after) > 33 else after
                return f"{name}: {before}[{middle}]{after}"
    return ""


def _without_accents(text: str) -> str:
    """Return the text as the full-text index compares it, each character in its old place."""
    if text.isascii():
        return text
    parts = (unicodedata.normalize("NFD", character) for character in text)
    return "".join(part[0] if "\u0300" <= part[-1] <= "\u036f" else character for part, character in zip(parts, text))


def _match_expression(text: str) -> str:
    """Return what asks the full-text index for each word or beginning of a word, each quoted and so no syntax."""
    words = (word.replace('"', '""') for word in text.split() if any(map(str.isalnum, word)))
    return " ".join(f'"{word}"*' for word in words)


def _stands_in(part: str) -> Tuple[str, List[str]]:
    """Return the condition that the part stands in a work order's text, and its values; capitals don't matter."""
    if part.isascii():  # LIKE knows no other capitals, but is quick
        test, value = "LIKE ? ESCAPE '!'", "%" + re.sub("([!%_])", r"!\1", part) + "%"
        condition = _PLACES.format(f"work_orders.title {test}", f"work_orders.description {test}", f"note {test}")
    else:
        test, value = "instr(casefold({}), ?)", part.casefold()
        condition = _PLACES.format(*map(test.format, ("work_orders.title", "work_orders.description", "note")))
    return condition, [value] * 3


_PLACES = """
    ({} OR {} OR EXISTS (
        SELECT 1 FROM work_order_history WHERE work_order_id = work_orders.id AND field = 'comment' AND {}
    ))
"""


def _conditions(user: User, selection: Selection) -> Tuple[List[str], List[Any]]:
    """Return the SQL conditions, and the values bound in them, of what is selected and the user may see."""
    possible: Sequence[Tuple[object, str, Sequence[object]]] = (
        (True, "work_orders.deleted_at IS NULL", ()),
        (users.scope(user, Action.VIEW) is not Scope.ALL, "requester_id = ?", [user.id]),
        (selection.status == UNFINISHED, "urgency < 4", ()),
        (selection.status not in (None, UNFINISHED), "status = ?", [selection.status]),
        (selection.priority, "priority = ?", [selection.priority]),
        (selection.requester, "requester_id = (SELECT id FROM users WHERE username = ?)", [selection.requester]),
        (selection.assignee == NOBODY, "assignee_id IS NULL", ()),
        (
            selection.assignee not in (None, NOBODY),
            "assignee_id = (SELECT id FROM users WHERE username = ?)",
            [selection.assignee],
        ),
        (selection.due, "due_at IS NOT NULL", ()),
        (selection.due is Due.OVERDUE, "urgency < 4 AND due_rank < ?", [now()]),
        (selection.due is Due.THIS_WEEK, "due_rank >= ? AND due_rank < ?", _this_week()),
        (_is_by_word(selection), "work_order_search MATCH ?", [_match_expression(selection.text)]),
        *((True, *_stands_in(part)) for part in _literal_parts(selection)),
    )
    chosen = [(condition, values) for wanted, condition, values in possible if wanted]
    return [condition for condition, _ in chosen], [value for _, values in chosen for value in values]


def _is_by_word(selection: Selection) -> bool:
    return bool(selection.text) and not selection.as_substring


def _source(selection: Selection) -> str:
    """Return the table that the selection is read from; left alone, SQLite would sort, or read what has no due date."""
    if _is_by_word(selection):
        return "work_order_search CROSS JOIN work_orders ON work_orders.id = work_order_search.rowid"
    if selection.due and selection.sort is Sort.URGENCY:
        return "work_orders INDEXED BY work_orders_with_due_by_urgency"
    return "work_orders"


def _literal_parts(selection: Selection) -> List[str]:
    """Return what has to be looked for in the text itself, since the index knows nothing but words."""
    if selection.as_substring:
        return [selection.text]
    return [word for word in selection.text.split() if not word.isalnum()]


def _this_week() -> Tuple[str, str]:
    today = datetime.now().replace(hour=0, minute=0, second=0, microsecond=0)
    monday = today - timedelta(days=today.weekday())
    return _stored(monday), _stored(monday + timedelta(days=7))


def _stored(local: datetime) -> str:
    return local.astimezone(timezone.utc).isoformat(timespec="seconds")


# For each order of a list: its SQL, the condition of what comes behind a work order, and the values bound in that.
_SORTS: Mapping[Sort, Tuple[str, str, Callable[[WorkOrder], Tuple[object, ...]]]] = {
    Sort.URGENCY: (
        "urgency, work_orders.created_at, work_orders.id",
        "(urgency, work_orders.created_at, work_orders.id) > (?, ?, ?)",
        lambda order: (order.urgency, _stored(order.created_at), order.id),
    ),
    Sort.NEWEST: (
        "work_orders.id DESC",
        "work_orders.id < ?",
        lambda order: (order.id,),
    ),
    Sort.OLDEST: (
        "work_orders.id",
        "work_orders.id > ?",
        lambda order: (order.id,),
    ),
    Sort.CHANGED: (
        "updated_at DESC, work_orders.id DESC",
        "(updated_at, work_orders.id) < (?, ?)",
        lambda order: (_stored(order.updated_at), order.id),
    ),
    Sort.DUE: (
        "due_rank, work_orders.id",
        "(due_rank, work_orders.id) > (?, ?)",
        lambda order: (_stored(order.due_date) if order.due_date else _NEVER, order.id),
    ),
}
# What matches more often than we count is met soon on the way through an order; what is rarer is better sorted. In the
# order of urgency each filter has an index of its own.
_IN_ORDER = {
    Sort.NEWEST: "work_orders NOT INDEXED",
    Sort.OLDEST: "work_orders NOT INDEXED",
    Sort.CHANGED: "work_orders INDEXED BY work_orders_by_change",
    Sort.DUE: "work_orders INDEXED BY work_orders_by_due",
}
_NEVER = "9999-12-31T23:59:59+00:00"


def history(
    connection: sqlite3.Connection, session: Session, work_order_id: int, after: int = 0, limit: int = -1
) -> List[HistoryEntry]:
    """Return up to `limit` (-1: all) changes and comments behind the id `after`, the oldest first.

    Raises NotFoundError; admins see the history of a deleted work order too.
    """
    with snapshot(connection):
        user = users.authorize(connection, session, Action.VIEW)
        _visible(connection, user, work_order_id, even_deleted=users.scope(user, Action.RESTORE) is Scope.ALL)
        rows = connection.execute(
            f"{_SELECT_HISTORY} WHERE work_order_id = ? AND work_order_history.id > ? "
            "ORDER BY work_order_history.id LIMIT ?",
            (work_order_id, after, limit),
        ).fetchall()
    return list(map(_history_entry, rows))


def change_status(
    connection: sqlite3.Connection, session: Session, shown: WorkOrder, status: Status, note: str = ""
) -> None:
    """Give the work order another status; resolved_at holds the time of the Resolved that stands.

    Raises NotFoundError, PermissionDeniedError, InvalidInputError for the note, ConflictError if somebody else changed
    the status since it was `shown` or it stands already.
    """
    with transaction(connection):
        if not _change(connection, session, Action.CHANGE_STATUS, shown, "status", status, valid_text(note)):
            raise ConflictError(f"The status of work order #{shown.id} is {status} already.")
        if shown.status.is_finished and not status.is_finished:
            users.release_work_orders(connection, users.account(connection, session))


def edit_title(connection: sqlite3.Connection, session: Session, shown: WorkOrder, title: str) -> bool:
    """Give the work order another title and return whether it had another one.

    Raises NotFoundError, PermissionDeniedError, InvalidInputError, ConflictError if somebody else changed it since it
    was `shown`.
    """
    with transaction(connection):
        return _change(connection, session, Action.EDIT, shown, "title", valid_title(title))


def edit_description(connection: sqlite3.Connection, session: Session, shown: WorkOrder, description: str) -> bool:
    """Give the work order another description and return whether it had another one. Raises as edit_title does."""
    with transaction(connection):
        return _change(connection, session, Action.EDIT, shown, "description", valid_text(description))


def change_priority(connection: sqlite3.Connection, session: Session, shown: WorkOrder, priority: Priority) -> bool:
    """Give the work order another priority and return whether it had another one. Raises as edit_title does."""
    with transaction(connection):
        return _change(connection, session, Action.EDIT, shown, "priority", priority)


def change_requester(connection: sqlite3.Connection, session: Session, shown: WorkOrder, username: str) -> bool:
    """Make the work order somebody else's, who must have an active account and return whether it had another one.

    Raises as edit_title does.
    """
    with transaction(connection):
        _changeable(connection, session, Action.CHANGE_REQUESTER, shown.id)
        requester = requester_username(connection, session, username)
        return _change(connection, session, Action.CHANGE_REQUESTER, shown, "requester", requester)


def requester_username(connection: sqlite3.Connection, session: Session, text: str) -> str:
    """Return the username of the active account that the text names; `me` is oneself. Raises InvalidInputError."""
    requester = users.named(connection, session, text)
    if not requester.is_active:
        raise InvalidInputError(f"User {requester.username} is deactivated; give the username of an active account.")
    return requester.username


def assign(connection: sqlite3.Connection, session: Session, shown: WorkOrder, assignee: str) -> bool:
    """Hand the work order to an active manager or admin or to `nobody`, and return whether it was in other hands.

    Raises as edit_title does.
    """
    with transaction(connection):
        _changeable(connection, session, Action.ASSIGN, shown.id)
        assignee = valid_assignee(connection, session, assignee)
        new = None if assignee == NOBODY else assignee
        return _change(connection, session, Action.ASSIGN, shown, "assignee", new)


def valid_assignee(connection: sqlite3.Connection, session: Session, text: str) -> str:
    """Return the username of the active manager or admin that the text names, or `nobody`; `me` is oneself.

    Raises InvalidInputError.
    """
    if text.lower() == NOBODY:
        return NOBODY
    assignee = users.named(connection, session, text)
    if not assignee.is_active or assignee.role is users.Role.USER:
        raise InvalidInputError(f"An assignee is an active manager or admin; {assignee.username} is not.")
    return assignee.username


def set_due_date(
    connection: sqlite3.Connection, session: Session, shown: WorkOrder, due_date: Optional[datetime]
) -> bool:
    """Say until when the work order has to be finished, or take that back (None).

    Returns whether that was different before; raises as edit_title does.
    """
    with transaction(connection):
        return _change(connection, session, Action.SET_DUE_DATE, shown, "due date", due_date)


def valid_due_date(text: str) -> Optional[datetime]:
    """Return the moment, in UTC, of a local date (its last second) or date and time, or None for `none`.

    Raises InvalidInputError.
    """
    if text.lower() == "none":
        return None
    form = re.fullmatch("2[0-9]{3}-[0-9]{2}-[0-9]{2}( [0-9]{2}:[0-9]{2})?", text)
    try:
        if form:
            local = datetime.fromisoformat(text if form[1] else f"{text} 23:59:59")
            return local.astimezone(timezone.utc)
    except ValueError:
        pass
    raise InvalidInputError("A due date is written 2026-12-31 or 2026-12-31 17:00, from 2000 to 2999, or none.")


def local_time(when: datetime) -> str:
    """Return the moment in local time to the minute; the last second of a day is the day."""
    local = when.astimezone()
    is_a_day = (local.hour, local.minute, local.second) == (23, 59, 59)
    return local.strftime("%Y-%m-%d" if is_a_day else "%Y-%m-%d %H:%M")


def comment(connection: sqlite3.Connection, session: Session, work_order_id: int, text: str) -> None:
    """Add a comment to the work order's history, where it stays. Raises NotFoundError, InvalidInputError."""
    text = valid_text(text)
    if not text:
        raise InvalidInputError("A comment has at least 1 character.")
    with transaction(connection):
        user, current = _changeable(connection, session, Action.COMMENT, work_order_id)
        at = now()
        connection.execute("UPDATE work_orders SET updated_at = ? WHERE id = ?", (at, current.id))
        _record(connection, current.id, user, at, "comment", note=text)


def latest_comment(
    connection: sqlite3.Connection, session: Session, work_order_id: int
) -> Tuple[int, Optional[HistoryEntry]]:
    """Return how many comments the work order has, and the latest of them. Raises NotFoundError."""
    with snapshot(connection):
        _visible(connection, users.authorize(connection, session, Action.VIEW), work_order_id)
        (number,) = connection.execute(
            "SELECT count(*) FROM work_order_history WHERE work_order_id = ? AND field = 'comment'", (work_order_id,)
        ).fetchone()
        latest = connection.execute(
            f"{_SELECT_HISTORY} WHERE work_order_id = ? AND field = 'comment' "
            "ORDER BY work_order_history.id DESC LIMIT 1",
            (work_order_id,),
        ).fetchone()
    return number, _history_entry(latest) if latest else None


def summary(connection: sqlite3.Connection, session: Session) -> Dict[Tuple[Status, Priority], Tuple[int, int]]:
    """Return for each status and priority how many work orders there are, and how many of them are one's own."""
    with snapshot(connection):
        user = users.authorize(connection, session, Action.SUMMARY)
        rows = connection.execute(
            """
            SELECT status, priority, sum(total), sum(CASE requester_id WHEN ? THEN total ELSE 0 END)
            FROM work_order_counts GROUP BY status, priority
            """,
            (user.id,),
        ).fetchall()
    return {(Status(row[0]), Priority(row[1])): (row[2], row[3]) for row in rows}


def news(
    connection: sqlite3.Connection, session: Session, limit: int
) -> Tuple[int, List[Tuple[WorkOrder, HistoryEntry]]]:
    """Return how many work orders, one's own or assigned, others have changed since this was last asked.

    With it come the up to `limit` ones that were changed last, each with its latest change.
    """
    with transaction(connection):
        user = users.authorize(connection, session, Action.VIEW)
        rows = connection.execute(
            """
            SELECT max(work_order_history.id), changed_at, username, field, old_value, new_value, note, work_order_id
            FROM work_order_history
            JOIN users ON users.id = user_id
            JOIN work_orders ON work_orders.id = work_order_id
            WHERE work_order_history.id > (SELECT seen_history_id FROM users WHERE id = :me) AND user_id <> :me
                AND (requester_id = :me OR assignee_id = :me AND :sees_all) AND deleted_at IS NULL
            GROUP BY +work_order_id ORDER BY 1 DESC
            """,
            {"me": user.id, "sees_all": users.scope(user, Action.VIEW) is Scope.ALL},
        ).fetchall()
        connection.execute(
            "UPDATE users SET seen_history_id = (SELECT coalesce(max(id), 0) FROM work_order_history) WHERE id = ?",
            (user.id,),
        )
        latest = [(_visible(connection, user, row[7]), _history_entry(row[:7])) for row in rows[:limit]]
    return len(rows), latest


def list_deleted(
    connection: sqlite3.Connection, session: Session, after: Optional[WorkOrder], limit: int
) -> List[WorkOrder]:
    """Return up to `limit` deleted work orders behind `after`, the latest deletion first.

    Raises PermissionDeniedError to all but admins.
    """
    with snapshot(connection):
        users.authorize(connection, session, Action.RESTORE)
        rows = connection.execute(
            f"""
            {_select()}
            WHERE deleted_at IS NOT NULL AND (deleted_at, work_orders.id) < (?, ?)
            ORDER BY deleted_at DESC, work_orders.id DESC LIMIT ?
            """,
            (_stored(after.deleted_at) if after and after.deleted_at else _NEVER, after.id if after else 0, limit),
        ).fetchall()
    return list(map(_work_order, rows))


def get_deleted(connection: sqlite3.Connection, session: Session, work_order_id: int) -> WorkOrder:
    """Return the deleted work order. Raises NotFoundError, PermissionDeniedError to all but admins."""
    with snapshot(connection):
        users.authorize(connection, session, Action.RESTORE)
        return _deleted(connection, work_order_id)


def restore(connection: sqlite3.Connection, session: Session, work_order_id: int) -> None:
    """Bring the deleted work order back as it was. Raises NotFoundError, PermissionDeniedError to all but admins."""
    with transaction(connection):
        user = users.authorize(connection, session, Action.RESTORE)
        order = _deleted(connection, work_order_id)
        at = now()
        connection.execute("UPDATE work_orders SET deleted_at = NULL, updated_at = ? WHERE id = ?", (at, order.id))
        _record(connection, order.id, user, at, "restored")
        users.release_work_orders(connection, user)
        users.audit(connection, user.id, "work order restored", f"#{order.id}")


def _deleted(connection: sqlite3.Connection, work_order_id: int) -> WorkOrder:
    order = _find(connection, work_order_id)
    if order is None or order.deleted_at is None:
        raise NotFoundError(f"There is no deleted work order #{work_order_id}.")
    return order


def person(connection: sqlite3.Connection, session: Session, text: str, or_nobody: bool = False) -> str:
    """Return the username that a filter means: of an account, of oneself for `me`, or `any`, or `nobody`.

    Raises InvalidInputError; to those who see only their own work orders it does not tell which accounts there are.
    """
    if text.lower() == "any" or (text.lower() == NOBODY and or_nobody):
        return text.lower()
    own_account = users.account(connection, session)
    if text.lower() != "me" and users.scope(own_account, Action.VIEW) is not Scope.ALL:
        return users.valid_username(text)
    return users.named(connection, session, text).username


def delete(connection: sqlite3.Connection, session: Session, work_order_id: int) -> None:
    """Put the work order out of everybody's sight; nothing of it is lost.

    Raises NotFoundError, PermissionDeniedError.
    """
    with transaction(connection):
        user, current = _changeable(connection, session, Action.DELETE, work_order_id)
        at = now()
        connection.execute("UPDATE work_orders SET deleted_at = ?, updated_at = ? WHERE id = ?", (at, at, current.id))
        _record(connection, current.id, user, at, "deleted")
        users.audit(connection, user.id, "work order deleted", f"#{current.id}")


def _select(source: str = "work_orders") -> str:
    return f"""
        SELECT work_orders.id, work_orders.title, work_orders.description, priority, status, requester_id,
            requesters.username, assignees.username, work_orders.created_at, updated_at, resolved_at, due_at,
            deleted_at, urgency
        FROM {source}
        LEFT JOIN users AS requesters ON requesters.id = requester_id
        LEFT JOIN users AS assignees ON assignees.id = assignee_id
    """


def _work_order(row: Sequence[Any]) -> WorkOrder:
    return WorkOrder(
        id=row[0],
        title=row[1],
        description=row[2],
        priority=Priority(row[3]),
        status=Status(row[4]),
        requester_id=row[5],
        requester=row[6],
        assignee=row[7],
        created_at=datetime.fromisoformat(row[8]),
        updated_at=datetime.fromisoformat(row[9]),
        resolved_at=datetime.fromisoformat(row[10]) if row[10] else None,
        due_date=datetime.fromisoformat(row[11]) if row[11] else None,
        deleted_at=datetime.fromisoformat(row[12]) if row[12] else None,
        urgency=row[13],
    )


_SELECT_HISTORY = """
    SELECT work_order_history.id, changed_at, username, field, old_value, new_value, note
    FROM work_order_history JOIN users ON users.id = user_id
"""


def _history_entry(row: Sequence[Any]) -> HistoryEntry:
    return HistoryEntry(row[0], datetime.fromisoformat(row[1]), *row[2:])


def _find(connection: sqlite3.Connection, work_order_id: int) -> Optional[WorkOrder]:
    row = connection.execute(_select() + "WHERE work_orders.id = ?", (work_order_id,)).fetchone()
    return _work_order(row) if row else None


def _visible(connection: sqlite3.Connection, user: User, work_order_id: int, even_deleted: bool = False) -> WorkOrder:
    order = _find(connection, work_order_id)
    if order is None or not permitted(user, Action.VIEW, order) or (order.deleted_at and not even_deleted):
        raise NotFoundError(f"There is no work order #{work_order_id}.")
    return order


def _changeable(
    connection: sqlite3.Connection, session: Session, action: Action, work_order_id: int
) -> Tuple[User, WorkOrder]:
    """Return who acts and the work order as both stand now, if the action is permitted."""
    user = users.authorize(connection, session, Action.VIEW)
    current = _visible(connection, user, work_order_id)
    if not permitted(user, action, current):
        if users.scope(user, action) is Scope.OWN_UNFINISHED:
            raise users.PermissionDeniedError(
                f"Work order #{current.id} is finished ({current.status}); reopen it first."
            )
        users.deny(user, action)
    return user, current


_UPDATES = {
    "title": "UPDATE work_orders SET title = :new, updated_at = :now WHERE id = :id",
    "description": "UPDATE work_orders SET description = :new, updated_at = :now WHERE id = :id",
    "priority": "UPDATE work_orders SET priority = :new, updated_at = :now WHERE id = :id",
    "status": """
        UPDATE work_orders SET status = :new, updated_at = :now,
            resolved_at = CASE WHEN :new = 'Resolved' THEN :now END
        WHERE id = :id
    """,
    "due date": "UPDATE work_orders SET due_at = :new, updated_at = :now WHERE id = :id",
    "assignee": """
        UPDATE work_orders SET assignee_id = (SELECT id FROM users WHERE username = :new), updated_at = :now
        WHERE id = :id
    """,
    "requester": """
        UPDATE work_orders SET requester_id = (SELECT id FROM users WHERE username = :new), updated_at = :now
        WHERE id = :id
    """,
}


def _change(
    connection: sqlite3.Connection,
    session: Session,
    action: Action,
    shown: WorkOrder,
    field: str,
    new: Union[str, Priority, datetime, None],
    note: str = "",
) -> bool:
    """Change one field and return whether it had another value; inside a transaction.

    Raises ConflictError if it is no longer as it was shown; changes of other fields don't matter.
    """
    user, current = _changeable(connection, session, action, shown.id)
    attribute = field.replace(" ", "_")
    old = getattr(current, attribute)
    if old != getattr(shown, attribute):
        raise _conflict(connection, current.id, field, old)
    if old == new:
        return False
    at = now()
    stored = _stored(new) if isinstance(new, datetime) else new
    connection.execute(_UPDATES[field], {"new": stored, "now": at, "id": current.id})
    _record(connection, current.id, user, at, field, _told(field, old), _told(field, new), note)
    return True


def _told(field: str, value: Union[str, Priority, datetime, None]) -> str:
    """Return a field's value as the history tells it; a moment stays UTC, ISO 8601."""
    if value is None:
        return NOBODY if field == "assignee" else "none"
    return _stored(value) if isinstance(value, datetime) else str(value)


def _conflict(
    connection: sqlite3.Connection, work_order_id: int, field: str, value: Union[str, Priority, datetime, None]
) -> ConflictError:
    row = connection.execute(
        """
        SELECT username FROM work_order_history JOIN users ON users.id = user_id
        WHERE work_order_id = ? AND field = ? ORDER BY work_order_history.id DESC LIMIT 1
        """,
        (work_order_id, field),
    ).fetchone()
    username = row[0] if row else "another program"
    told = local_time(value) if isinstance(value, datetime) else _told(field, value)
    short = told if len(told) <= 200 else f"{told[:200]}..."
    return ConflictError(
        f'The {field} is "{short}" now: {username} changed it in the meantime. Nothing was saved; '
        "what you typed is offered when you choose the same option again."
    )


def _record(
    connection: sqlite3.Connection,
    work_order_id: int,
    user: User,
    at: str,
    field: str,
    old: Optional[str] = None,
    new: Optional[str] = None,
    note: str = "",
) -> None:
    connection.execute(
        """
        INSERT INTO work_order_history (work_order_id, user_id, changed_at, field, old_value, new_value, note)
        VALUES (?, ?, ?, ?, ?, ?, ?)
        """,
        (work_order_id, user.id, at, field, old, new, note),
    )
