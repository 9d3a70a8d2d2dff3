"""Work orders: what they are, who may change what about them, and their history."""

import re
import sqlite3
from dataclasses import dataclass
from datetime import datetime
from enum import Enum, IntEnum
from typing import AbstractSet, Any, List, Optional, Sequence, Tuple, Union

import users
from database import ApplicationError, now, snapshot, transaction
from users import Action, InvalidInputError, Scope, Session, User

MAXIMUM_TITLE = 120
MAXIMUM_TEXT = 10_000

# Where a work order stands in the order of urgency: what a list goes on after.
Key = Tuple[int, str, int]


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
    due_at: Optional[datetime]
    key: Key


@dataclass(frozen=True)
class HistoryEntry:
    """One change of a work order: when (UTC), by whom, of what, from, to and the note."""

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
    title = text.strip()
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


def list_after(
    connection: sqlite3.Connection, session: Session, after: Optional[Key], seen: AbstractSet[int], limit: int
) -> List[WorkOrder]:
    """Return up to `limit` of the work orders that the person may see, the most urgent first.

    They start after the key (None: at the top) and leave out the ids in `seen`, which may have moved there meanwhile.
    """
    with snapshot(connection):
        user = users.authorize(connection, session, Action.VIEW)
        conditions = ["work_orders.deleted_at IS NULL"]
        values: List[object] = []
        if users.scope(user, Action.VIEW) is not Scope.ALL:
            conditions.append("work_orders.requester_id = ?")
            values.append(user.id)
        if after is not None:
            conditions.append("(work_orders.urgency, work_orders.created_at, work_orders.id) > (?, ?, ?)")
            values.extend(after)
        cursor = connection.execute(
            f"""
            {_SELECT_WORK_ORDERS} WHERE {" AND ".join(conditions)}
            ORDER BY work_orders.urgency, work_orders.created_at, work_orders.id
            """,
            values,
        )
        found: List[WorkOrder] = []
        for row in cursor:
            if row[0] not in seen:
                found.append(_work_order(row))
            if len(found) == limit:
                break
        cursor.close()
    return found


def list_these(connection: sqlite3.Connection, session: Session, ids: Sequence[int]) -> List[WorkOrder]:
    """Return those of the work orders that the person may still see, as they are now, in the order of the ids."""
    with snapshot(connection):
        user = users.authorize(connection, session, Action.VIEW)
        orders = [_find(connection, work_order_id) for work_order_id in ids]
    return [order for order in orders if order and permitted(user, Action.VIEW, order)]


def history(connection: sqlite3.Connection, session: Session, work_order_id: int) -> List[HistoryEntry]:
    """Return every change of the work order, the oldest first. Raises NotFoundError."""
    with snapshot(connection):
        _visible(connection, users.authorize(connection, session, Action.VIEW), work_order_id)
        rows = connection.execute(
            """
            SELECT changed_at, username, field, old_value, new_value, note
            FROM work_order_history JOIN users ON users.id = user_id
            WHERE work_order_id = ? ORDER BY work_order_history.id
            """,
            (work_order_id,),
        ).fetchall()
    return [HistoryEntry(datetime.fromisoformat(row[0]), *row[1:]) for row in rows]


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
    requester = users.account(connection, session) if text.lower() == "me" else users.find(connection, text)
    if not requester.is_active:
        raise InvalidInputError(f"User {requester.username} is deactivated; give the username of an active account.")
    return requester.username


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


_SELECT_WORK_ORDERS = """
    SELECT work_orders.id, title, description, priority, status, requester_id, requesters.username,
        assignees.username, work_orders.created_at, updated_at, resolved_at, due_at, urgency
    FROM work_orders
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
        due_at=datetime.fromisoformat(row[11]) if row[11] else None,
        key=(row[12], row[8], row[0]),
    )


def _find(connection: sqlite3.Connection, work_order_id: int) -> Optional[WorkOrder]:
    row = connection.execute(
        _SELECT_WORK_ORDERS + "WHERE work_orders.id = ? AND deleted_at IS NULL", (work_order_id,)
    ).fetchone()
    return _work_order(row) if row else None


def _visible(connection: sqlite3.Connection, user: User, work_order_id: int) -> WorkOrder:
    order = _find(connection, work_order_id)
    if order is None or not permitted(user, Action.VIEW, order):
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
    new: Union[str, Priority],
    note: str = "",
) -> bool:
    """Change one field, named as in WorkOrder, and return whether it had another value; inside a transaction.

    Raises ConflictError if it is no longer as it was shown; changes of other fields don't matter.
    """
    user, current = _changeable(connection, session, action, shown.id)
    old = getattr(current, field)
    if old != getattr(shown, field):
        raise _conflict(connection, current.id, field, str(old))
    if old == new:
        return False
    at = now()
    connection.execute(_UPDATES[field], {"new": new, "now": at, "id": current.id})
    _record(connection, current.id, user, at, field, str(old), str(new), note)
    return True


def _conflict(connection: sqlite3.Connection, work_order_id: int, field: str, value: str) -> ConflictError:
    row = connection.execute(
        """
        SELECT username FROM work_order_history JOIN users ON users.id = user_id
        WHERE work_order_id = ? AND field = ? ORDER BY work_order_history.id DESC LIMIT 1
        """,
        (work_order_id, field),
    ).fetchone()
    username = row[0] if row else "another program"
    short = value if len(value) <= 200 else f"{value[:200]}..."
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
