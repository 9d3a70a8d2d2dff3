"""Work orders: their fields, who may change them, how they are found, their history, reports, export and import.

`python work_order.py` sends the waiting messages about them.
"""

import hashlib
import itertools
import json
import os
import re
import sqlite3
import sys
import time
import unicodedata
from bisect import bisect_right
from collections import Counter, defaultdict
from contextlib import ExitStack, closing, contextmanager, suppress
from datetime import date, datetime, timedelta, timezone, tzinfo
from datetime import time as time_of_day
from enum import Enum, IntEnum
from functools import cache, lru_cache, partial
from itertools import accumulate, islice
from pathlib import Path
from typing import (
    Any,
    BinaryIO,
    Callable,
    Container,
    DefaultDict,
    Dict,
    Generic,
    Iterable,
    Iterator,
    List,
    Mapping,
    NamedTuple,
    Optional,
    Sequence,
    Tuple,
    TypeVar,
    Union,
    cast,
)

import database
import users
from database import NEVER, ApplicationError, Connection, fold, moment, now, quantity, sound, transaction, utc_text
from users import ANY, NOBODY, NONE, Action, ConflictError, InvalidInputError, People, Scope, Session, User, Word

UNFINISHED = "unfinished"
COUNTED_AT_MOST = 1_000  # work orders, where each is looked at
NO_DAY = "no day"
ALL = "(all)"  # in a report; which no username and no category can be
MAXIMUM_TITLE = 120
MAXIMUM_TEXT = 10_000
MAXIMUM_CATEGORY = 40
LATEST_NOTES = 20  # that a work order's screen can show
WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
# Of a work order's comments and notes together, each of which has to be indexed again with the next one.
MAXIMUM_NOTE_CHARACTERS, NOTE_OVERHEAD = 200_000, 100
MAXIMUM_SEARCH = 200  # characters, which also bounds how many words are looked up
CHANGED_AT_ONCE = 1_000
LISTED_IN_MESSAGE = 50

T = TypeVar("T")
V = TypeVar("V")


# Errors


class NoRoomError(InvalidInputError):
    """The comments and notes of a work order are as long as they can be."""


class NotFoundError(ApplicationError):
    """There is no such work order for this account: never given, deleted, or somebody else's."""


# Vocabulary


class Status(Word):
    OPEN = "Open"
    IN_PROGRESS = "In Progress"
    ON_HOLD = "On Hold"
    RESOLVED = "Resolved"
    CANCELLED = "Cancelled"

    @property
    def is_finished(self) -> bool:
        """Whether no more work is expected."""
        return self.value in database.FINISHED


class Priority(IntEnum):
    LOW = 1
    MEDIUM = 2
    HIGH = 3
    CRITICAL = 4

    def __str__(self) -> str:
        return self.name.capitalize()


# What other systems and people say for our words, in English, German, French, Spanish and Portuguese; capitals, accents
# and punctuation don't matter. Bare numbers are not here: what they mean differs.
USUAL_WORDS: Mapping[object, str] = {
    Status.OPEN: """new, reopened, re-opened, to do, todo, backlog, submitted, registered, logged, received,
        acknowledged, unassigned, neu, offen, wiedereröffnet, eingegangen, nouveau, nouvelle, ouvert, ouverte, à
        faire, à traiter, réouvert, nuevo, nueva, abierto, abierta, reabierto, por hacer, novo, nova, aberto, aberta,
        reaberto, a fazer""",
    Status.IN_PROGRESS: """assigned, started, active, work in progress, wip, processing, processing (assigned),
        processing (planned), accepted, confirmed, investigating, under investigation, being worked on, in
        bearbeitung, in arbeit, zugewiesen, in bearbeitung (zugewiesen), in bearbeitung (geplant), begonnen, en cours,
        en cours (attribué), attribué, en cours (planifié), en traitement, assigné, en progreso, en curso, en proceso,
        en curso (asignada), asignado, en curso (planificada), asignada, em andamento, em progresso, em atendimento,
        em atendimento (atribuído), atribuído""",
    Status.ON_HOLD: """pending, waiting, awaiting, hold, onhold, feedback, blocked, suspended, deferred, paused,
        stalled, postponed, awaiting user info, awaiting problem, awaiting vendor, awaiting evidence, awaiting caller,
        awaiting change, awaiting parts, awaiting approval, waiting for customer, waiting on customer, waiting for
        user, waiting for parts, waiting for vendor, waiting for approval, wartend, wartet, zurückgestellt,
        angehalten, pausiert, blockiert, en attente, suspendu, bloqué, en espera, pendiente, suspendido, bloqueado,
        pendente, em espera, aguardando, suspenso""",
    Status.RESOLVED: """closed, done, fixed, completed, complete, solved, finished, closed complete, closed
        successful, closed - completed, gelöst, geschlossen, erledigt, abgeschlossen, behoben, fertig, résolu,
        résolue, clos, close, fermé, fermée, terminé, terminée, traité, clôturé, cerrado, cerrada, resuelto, resuelta,
        completado, terminado, finalizado, solucionado, fechado, fechada, resolvido, resolvida, concluído, concluída,
        encerrado, finalizada, solucionada""",
    Status.CANCELLED: """canceled, rejected, duplicate, won't fix, won't do, declined, withdrawn, invalid, abandoned,
        closed - cancelled, closed incomplete, closed - duplicate, closed skipped, obsolete, not a bug, abgebrochen,
        abgelehnt, storniert, verworfen, duplikat, annulé, annulée, rejeté, refusé, abandonné, doublon, cancelado,
        cancelada, rechazado, anulado, duplicado, rejeitado, recusado""",
    Priority.CRITICAL: """urgent, blocker, p1, highest, immediate, emergency, very high, top, kritisch, dringend,
        sofort, sehr hoch, notfall, critique, urgente, très haute, immédiate, crítico, crítica, muy alta, inmediata,
        muito alta, imediata, emergência""",
    Priority.HIGH: "major, p2, important, severe, hoch, wichtig, haute, élevée, élevé, majeure, alta, alto, importante",
    Priority.MEDIUM: """normal, moderate, p3, average, standard, regular, routine, mittel, moyenne, moyen, normale,
        media, medio, moderada, média, médio""",
    Priority.LOW: """minor, trivial, p4, p5, lowest, very low, planning, cosmetic, niedrig, gering, sehr niedrig,
        basse, faible, bas, très basse, mineure, baja, bajo, muy baja, menor, baixa, baixo, muito baixa, leve""",
}


def _matching(text: str) -> str:
    """Return what names and words of other systems are compared by: letters and digits without accents, and #."""
    return re.sub(r"[^\w#]|_", "", fold(text))


@cache
def _names(table: str) -> List[str]:
    return [_matching(name) for name in table.split(",")]


class Sort(Enum):
    """An order of lists: its name, what comes first in it, its index, the columns that it sorts by, their direction."""

    URGENCY = ("urgency", "most urgent first", "work_orders_by_urgency", ("urgency", "created_at", "id"))
    NEWEST = ("newest", "newest first", "work_orders_by_id", ("id",), "DESC")
    OLDEST = ("oldest", "oldest first", "work_orders_by_id", ("id",))
    CHANGED = ("recently changed", "most recently changed first", "work_orders_by_change", ("updated_at", "id"), "DESC")
    DUE = ("due", "earliest due first", "work_orders_by_due", ("due_rank", "id"))

    def __init__(
        self, word: str, description: str, index_name: str, columns: Sequence[str], direction: str = ""
    ) -> None:
        self.word, self.description, self.index_name = word, description, index_name
        self.columns, self.direction = columns, direction

    def __str__(self) -> str:
        return self.word


class Due(Word):
    """When work orders are due, to filter by, in local time; a week runs from Monday to Sunday."""

    OVERDUE = "overdue"
    TODAY = "today"
    TOMORROW = "tomorrow"
    THIS_WEEK = "this week"
    NEXT_7_DAYS = "next 7 days"
    NONE = "none"


class DueBy(Word):
    """What has set a due time."""

    HAND = "hand"
    TARGET = "target"


class AtLeast(NamedTuple):
    """A priority and those above it, to filter by."""

    priority: Priority

    def __str__(self) -> str:
        return f"{self.priority} or above"


# Rows


class WorkOrder(NamedTuple):
    """A row of work_orders with the names of its people; times are UTC. For what is derived, see database.Derived.

    `due_by` is what set the due time, even to none; `is_hold_over` says that nothing keeps it On Hold any more.
    """

    id: int
    title: str
    description: str
    priority: Priority
    category: Optional[str]
    status: Status
    requester_id: int
    requester: str
    requester_name: Optional[str]
    assignee_id: Optional[int]
    assignee: Optional[str]
    assignee_name: Optional[str]
    created_at: datetime
    updated_at: datetime
    resolved_at: Optional[datetime]
    due_at: Optional[datetime]
    deleted_at: Optional[datetime]
    due_by: Optional[DueBy]
    response_hours: Optional[int]
    source: Optional[str]
    source_id: Optional[str]
    urgency: int
    due_rank: str
    overdue_at: str
    stopped_since: Optional[str]
    stopped_seconds: int
    responded_at: Optional[str]
    spent_minutes: int
    held_until: Optional[datetime]
    is_hold_over: bool

    @property
    def is_overdue(self) -> bool:
        """Whether it should have been finished by now."""
        return self.overdue_at < now()


class HistoryEntry(NamedTuple):
    """One change of a work order, or a comment: when (UTC), by whom, which field, from what, to what, and its note."""

    id: int
    changed_at: datetime
    username: str
    field: str
    old_value: Optional[str]
    new_value: Optional[str]
    note: str


class _Entry(NamedTuple):
    """A history row that is to be written."""

    field: str
    old_value: Optional[str] = None
    new_value: Optional[str] = None
    note: str = ""


class Details(NamedTuple):
    """A work order as its screen shows it: its latest comments and notes, newest first, and its links."""

    work_order: WorkOrder
    is_mine: bool
    notes: List[HistoryEntry]
    links: "List[Link]"


# The day has come, or nothing unfinished blocks it any more and something that did was finished or deleted since.
_HOLD_IS_OVER = """
    (work_orders.status = 'On Hold' AND (
        work_orders.held_until <= strftime('%Y-%m-%dT%H:%M:%S+00:00', 'now') OR (
            SELECT max(CASE
                    WHEN blocker.deleted_at IS NOT NULL THEN blocker.deleted_at >= work_orders.stopped_since
                    WHEN blocker.urgency >= 4 THEN blocker.stopped_since >= work_orders.stopped_since
                END) AND NOT max(blocker.urgency < 4 AND blocker.deleted_at IS NULL)
            FROM links JOIN work_orders AS blocker ON blocker.id = links.other_id
            WHERE links.work_order_id = work_orders.id AND links.kind = 'blocked by'
        )
    ))
"""
_SELECT = f"""
    SELECT work_orders.*, coalesce({_HOLD_IS_OVER}, 0) AS is_hold_over,
        requesters.username AS requester, requesters.name AS requester_name,
        assignees.username AS assignee, assignees.name AS assignee_name
    FROM work_orders
    LEFT JOIN users AS requesters ON requesters.id = requester_id
    LEFT JOIN users AS assignees ON assignees.id = assignee_id
"""
_SELECT_HISTORY = """
    SELECT history.id, work_order_id, changed_at, username, field, old_value, new_value, note
    FROM work_order_history AS history JOIN users ON users.id = user_id
"""


def _work_order(row: sqlite3.Row) -> WorkOrder:
    with sound(f"Work order #{row['id']}"):
        stored = {name: row[name] for name in WorkOrder._fields}
        texts = ("title", "description", "requester", "due_rank", "overdue_at")
        for name in (*texts, "category", "source", "source_id"):
            if not isinstance(stored[name], str) and (name in texts or stored[name] is not None):
                raise ValueError(f"{name} is {stored[name]!r}")
        if not isinstance(row["urgency"], int):
            raise ValueError(f"urgency is {row['urgency']!r}")
        moment(row["stopped_since"])
        for name in ("created_at", "updated_at", "resolved_at", "due_at", "deleted_at", "held_until"):
            stored[name] = moment(row[name])
        stored.update(
            priority=Priority(row["priority"]),
            status=Status(row["status"]),
            due_by=DueBy(row["due_by"]) if row["due_by"] else None,
            is_hold_over=bool(row["is_hold_over"]),
        )
        return WorkOrder(**stored)


def _history_entry(row: sqlite3.Row) -> HistoryEntry:
    with sound(f"The history of work order #{row['work_order_id']}"):
        if not isinstance(row["note"], str):
            raise ValueError(f"a note is {row['note']!r}")
        stored = {name: row[name] for name in HistoryEntry._fields}
        return HistoryEntry(**{**stored, "changed_at": moment(row["changed_at"])})


# Input


def parse_id(text: str) -> int:
    """Return the id of a work order written as 12, #12 or # 12. Raises InvalidInputError."""
    if not re.fullmatch("# ?[0-9]{1,18}|[0-9]{1,18}", text):
        raise InvalidInputError("A work order ID is a number such as 12.")
    return int(text.lstrip("# "))


def parse_title(text: str) -> str:
    """Return the title trimmed, on one line, in Unicode's NFC. Raises InvalidInputError outside 1 to 120 characters."""
    title = re.sub(r"[\n\r\t]", " ", users.plain_text(text))
    if not 1 <= len(title) <= MAXIMUM_TITLE:
        raise InvalidInputError(f"A title has 1 to {MAXIMUM_TITLE} characters; this one has {len(title):,}.")
    return title


def parse_text(text: str) -> str:
    """Return the text trimmed, in Unicode's NFC. Raises InvalidInputError above 10,000 characters, and for NUL."""
    plain = users.plain_text(text)
    if len(plain) > MAXIMUM_TEXT:
        raise InvalidInputError(f"A text has at most {MAXIMUM_TEXT:,} characters; this one has {len(plain):,}.")
    return plain


def parse_optional_text(text: str) -> str:
    """Return a text as parse_text does; `none` is the empty one. Raises InvalidInputError."""
    return "" if text.lower() == NONE else parse_text(text)


def parse_word(words: Sequence[T], text: str) -> T:
    """Return the word that a number, a name, a beginning or a usual word means. Raises InvalidInputError."""
    beginning = text.lower()
    names = {word: str(word).lower() for word in words}
    if text.isdigit() or any(name.startswith(beginning) for name in names.values()):
        return users.parse_choice(words, text)
    inside = [word for word, name in names.items() if any(part.startswith(beginning) for part in name.split())]
    usual = [word for word in words if _matching(text) and _matching(text) in _names(USUAL_WORDS.get(word, ""))]
    found = inside or usual
    return found[0] if len(found) == 1 else users.parse_choice(words, text)


def parse_category(session: Session, text: str) -> Optional[str]:
    """Return the category that the text is or begins, None for `none`. Capitals don't matter. Raises InvalidInputError.

    Those who may name a new one can use any name that is not the beginning of one in use.
    """
    known = (*categories(session), NONE)
    is_known = any(name.lower().startswith(text.lower()) for name in known)
    if is_known or text.isdigit() or not users.may(users.current_user(session), Action.NAME_CATEGORY):
        choice = users.parse_choice(known, text)
        return None if choice == NONE else choice
    return _check_category(session, text)


def categories(session: Session) -> List[str]:
    """Return the categories in use, by name."""
    with users.reading(session, Action.CREATE):
        rows = session.connection.execute(
            "SELECT DISTINCT category FROM work_orders WHERE category IS NOT NULL AND deleted_at IS NULL"
        ).fetchall()
    with sound("A category"):
        return sorted((row["category"] for row in rows), key=str.casefold)


def _check_category(session: Session, name: Optional[str]) -> Optional[str]:
    """Return the category as it is spelt already, or a new one if the person may name it."""
    if name is None:
        return None
    name = users.plain_text(name).replace("\n", " ")
    for known in categories(session):
        if known.casefold() == name.casefold():
            return known
    if not users.may(users.current_user(session), Action.NAME_CATEGORY):
        raise InvalidInputError(f"There is no category {name[:MAXIMUM_CATEGORY]}.")
    return parse_new_category(name)


def parse_new_category(name: str) -> str:
    """Return the name if a category can have it. Raises InvalidInputError."""
    if name.lower() in (NONE, ANY, ALL) or not name.isprintable():
        raise InvalidInputError(f"A category has printable characters and cannot be named {NONE}, {ANY} or {ALL}.")
    if not 1 <= len(name) <= MAXIMUM_CATEGORY:
        raise InvalidInputError(f"A category has 1 to {MAXIMUM_CATEGORY} characters; this one has {len(name):,}.")
    return name


_END_OF_DAY = time_of_day(23, 59, 59)


def parse_due_date(text: str, default_time: time_of_day = _END_OF_DAY, what: str = "A due date") -> Optional[datetime]:
    """Return the moment, in UTC, that the text means, or None for `none`.

    It is a local day (its last second), a day and a time, a time today, a number of days from today (+3d) or of hours
    from now (+4h). A day is a date, today, tomorrow, or a weekday's beginning: the next one. Raises InvalidInputError.
    """
    text = " ".join(text.lower().split())
    if text == NONE:
        return None
    hours = re.fullmatch(r"\+([0-9]{1,4})h", text)
    if hours:
        return (datetime.now(timezone.utc) + timedelta(hours=int(hours[1]))).replace(second=0, microsecond=0)
    form = re.fullmatch(r"([0-9]{4}-[0-9]{2}-[0-9]{2}|\+[0-9]{1,4}d|[a-z]+)? ?([0-9]{1,2}:[0-9]{2})?", text)
    try:
        day = _parse_day(form[1]) if form and text else None
        time = datetime.strptime(form[2], "%H:%M").time() if form and form[2] else default_time
    except ValueError:
        day = None
    if not (day and 2000 <= day.year <= 2999):
        raise InvalidInputError(
            f"{what} is a day such as 2026-12-31, tomorrow, fri or +3d, with or without a time such as 17:00; or a "
            "time, +4h, or none."
        )
    local = datetime.combine(day, time)
    moment = _in_utc(local)
    # On some days the clocks are set forward at midnight; their first moment is what that turns into.
    if moment.astimezone().replace(tzinfo=None) != local and (form and form[2]):
        raise InvalidInputError(f"There is no {local:%Y-%m-%d %H:%M} here: the clocks are set forward over it.")
    return moment


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
    """A field of a work order that can be changed, declared once: its prompt, right, history and column.

    A change takes the right `action`; `column` is its name in the database and in CSV files, if that is another one;
    `check` judges a value inside the transaction; `none` is the word for None; `hint` follows its label in a prompt. A
    field that `is_text` may have several lines, one that `starts_from_current` is edited; `done` is said once saved.
    """

    def __init__(
        self,
        name: str,
        action: Action,
        parse: Callable[[Session, str], V],
        column: str = "",
        check: Callable[[Session, V], V] = lambda _, value: value,
        none: str = NONE,
        choices: Callable[[Session], Sequence[Tuple[V, str]]] = lambda _: (),
        hint: str = "",
        takes_note: bool = False,
        is_text: bool = False,
        starts_from_current: bool = False,
        done: str = "",
    ) -> None:
        self.name, self.label, self.column, self.action = name, name.capitalize(), column or name, action
        self.parse, self.check, self.none, self.choices, self.hint = parse, check, none, choices, hint
        self.takes_note, self.is_text, self.starts_from_current = takes_note, is_text, starts_from_current
        self.done = done or "{label} of work order #{id} " + ("saved." if starts_from_current else "is now {value}.")

    def read(self, work_order: WorkOrder) -> V:
        """Return its value in a work order."""
        return cast(V, getattr(work_order, self.column))

    def as_text(self, value: V) -> str:
        """Return a value as the history stores it; a moment is UTC, ISO 8601."""
        if value is None:
            return self.none
        return utc_text(value) if isinstance(value, datetime) else str(value)

    def show(self, value: V) -> str:
        """Return a value as a person sees it; a moment is local time."""
        return local_time(value) if isinstance(value, datetime) else self.as_text(value)


def by_name(values: Iterable[T]) -> List[Tuple[T, str]]:
    """Return the values as choices, each under its own name."""
    return [(value, str(value)) for value in values]


TITLE: Field[str] = Field(
    "title",
    Action.EDIT,
    lambda _, text: parse_title(text),
    check=lambda _, title: parse_title(title),
    starts_from_current=True,
)
DESCRIPTION: Field[str] = Field(
    "description",
    Action.EDIT,
    lambda _, text: parse_optional_text(text),
    check=lambda _, description: parse_text(description),
    is_text=True,
    starts_from_current=True,
)
PRIORITY: Field[Priority] = Field(
    "priority", Action.EDIT, lambda _, text: parse_word([*Priority], text), choices=lambda _: by_name(Priority)
)
CATEGORY: Field[Optional[str]] = Field(
    "category",
    Action.EDIT,
    parse_category,
    check=_check_category,
    choices=lambda session: [*by_name(categories(session)), (None, NONE)],
)
STATUS: Field[Status] = Field(
    "status",
    Action.CHANGE_STATUS,
    lambda _, text: parse_word([*Status], text),
    choices=lambda _: by_name(Status),
    takes_note=True,
    done="Work order #{id} is now {value}.",
)
DUE_DATE: Field[Optional[datetime]] = Field(
    "due date",
    Action.SET_DUE_DATE,
    lambda _, text: parse_due_date(text),
    column="due_at",
    hint="(2026-12-31, 2026-12-31 17:00, tomorrow, fri, +3d, none ...)",
)
HELD_UNTIL: Field[Optional[datetime]] = Field(
    "hold until",
    Action.CHANGE_STATUS,
    # A day means its first moment.
    lambda _, text: None if text.lower() == NO_DAY else parse_due_date(text, time_of_day(), "The end of a hold"),
    column="held_until",
    none=NO_DAY,
)
ASSIGNEE: Field[Optional[str]] = Field(
    "assignee",
    Action.ASSIGN,
    lambda session, text: None if _is_nobody(session, text) else users.parse_person(session, text, People.ASSIGNEES),
    check=lambda session, name: name and users.find(session.connection, name, People.ASSIGNEES).username,
    none=NOBODY,
    choices=lambda session: _assignee_choices(session),
    takes_note=True,
    done="Work order #{id} is now assigned to {value}.",
)
REQUESTER: Field[str] = Field(
    "requester",
    Action.CHANGE_REQUESTER,
    lambda session, text: users.parse_person(session, text, People.REQUESTERS),
    check=lambda session, username: users.find(session.connection, username, People.REQUESTERS).username,
    takes_note=True,
)


FIELDS: Mapping[str, Field[Any]] = {
    field.name: field
    for field in (TITLE, DESCRIPTION, PRIORITY, CATEGORY, STATUS, HELD_UNTIL, DUE_DATE, ASSIGNEE, REQUESTER)
}


def _is_nobody(session: Session, text: str) -> bool:
    """Return whether the text means nobody, and not an assignee whose username begins with it."""
    assigns = users.may(users.current_user(session), Action.ASSIGN)
    people = users.list_people(session, People.ASSIGNEES) if assigns and text.lower() != NOBODY else ()
    return NOBODY.startswith(text.lower()) and not any(each.username.startswith(text.lower()) for each in people)


def _assignee_choices(session: Session) -> List[Tuple[Optional[str], str]]:
    with users.reading(session, Action.ASSIGN):
        rows = session.connection.execute(
            f"""
            SELECT username, name, (
                SELECT count(*) FROM work_orders WHERE assignee_id = users.id AND urgency < 4 AND deleted_at IS NULL
            ) FROM users WHERE {People.ASSIGNEES.condition} ORDER BY username
            """
        ).fetchall()
    texts = {username: f"{describe_person(username, name)} ({number_of(n)} unfinished)" for username, name, n in rows}
    return [*texts.items(), (None, NOBODY)]


def describe_done(field: Field[V], shown: WorkOrder, value: V) -> str:
    """Return the sentence that says that a field of the work order has another value now."""
    if field in (ASSIGNEE, REQUESTER) and value == field.read(shown):
        return f"Comment on work order #{shown.id} added."
    if field is DUE_DATE and value == shown.due_at:
        return f"The due date of work order #{shown.id}, {field.show(value)}, is now set by hand."
    past = isinstance(value, datetime) and value < datetime.now(timezone.utc)
    text = f"{field.show(value)}{', which is in the past' if past else ''}"
    return field.done.format(label=field.label, id=shown.id, value=text)


# Periods


class Period(NamedTuple):
    """A name that parse_period accepts, and its bounds in UTC: `begin` (None: no limit) included, `end` excluded."""

    name: str
    begin: Optional[datetime]
    end: datetime

    @property
    def bounds(self) -> Tuple[str, str]:
        """The beginning and the end as the database stores moments; "" is before all of them."""
        return utc_text(self.begin) if self.begin else "", utc_text(self.end)


PERIODS = (
    *(f"last {days} days" for days in (7, 30, 90, 365)),
    *("this week", "this month", "last month", "last quarter", "this year", "all"),
)


def parse_period(text: str) -> Period:
    """Return the period that the text means: one of PERIODS, a number of days of one, a month, or two days.

    It consists of whole local days, or lasts until now and then includes the present second. Raises InvalidInputError.
    """
    present = datetime.fromisoformat(now())
    today = present.astimezone().date()
    try:
        name, first, after = _parse_days(" ".join(text.lower().split()), today)
    except (ValueError, InvalidInputError):
        accepted = f"{', '.join(PERIODS)}; a month such as 2026-10; or 2026-11-01 to 2026-11-15"
        raise InvalidInputError(f"A period is one of: {accepted}.") from None
    if first and not (first.year >= 2000 and first <= today and first < after):
        raise InvalidInputError("A period begins in 2000 or later but not in the future, and does not end before that.")
    end = _midnight(after) if after <= today else present + timedelta(seconds=1)
    return Period(name, _midnight(first) if first else None, end)


def _parse_days(words: str, today: date) -> Tuple[str, Optional[date], date]:
    """Return the name of a period, its first day, and the first day after it. Raises ValueError, InvalidInputError."""
    if re.fullmatch("[0-9]{4}-[0-9]{2}", words):
        first = date.fromisoformat(f"{words}-01")
        return words, first, _add_months(first, 1)
    days = re.fullmatch("([0-9]{4}-[0-9]{2}-[0-9]{2}) ?(?:to|-) ?([0-9]{4}-[0-9]{2}-[0-9]{2})", words)
    if days:
        first, last = map(date.fromisoformat, days.groups())
        return f"{first} to {last}", first, date.fromordinal(last.toordinal() + 1)
    name = users.parse_choice(PERIODS, f"last {words} days" if words.isdigit() else words, has_numbers=False)
    month, tomorrow = today.replace(day=1), date.fromordinal(today.toordinal() + 1)
    quarter = _add_months(month, -((today.month - 1) % 3))
    named = {
        "this week": (today - timedelta(days=today.weekday()), tomorrow),
        "this month": (month, tomorrow),
        "last month": (_add_months(month, -1), month),
        "last quarter": (_add_months(quarter, -3), quarter),
        "this year": (today.replace(month=1, day=1), tomorrow),
        "all": (None, tomorrow),
        **{f"last {days} days": (today - timedelta(days=days), tomorrow) for days in (7, 30, 90, 365)},
    }
    return (name, *named[name])


def _add_months(day: date, months: int) -> date:
    """Return the same day of another month, or the last day of a shorter one."""
    from calendar import monthrange

    year, month = divmod(day.year * 12 + day.month - 1 + months, 12)
    return date(year, month + 1, min(day.day, monthrange(year, month + 1)[1]))


def _midnight(day: date) -> datetime:
    """Return the first moment of a local day, in UTC."""
    return _in_utc(datetime.combine(day, time_of_day()))


def _in_utc(local: datetime) -> datetime:
    """Return a moment of local time in UTC; what the clocks skip is counted from before they are set forward."""
    # For that, astimezone() returns an earlier moment before Python 3.12.
    return datetime.fromtimestamp(local.timestamp(), timezone.utc)


def describe_period(period: Period) -> str:
    """Return the period's name and its bounds in local time; the bounds alone where they are the name."""
    bounds = describe_bounds(period.begin, period.end)
    return bounds if " to " in period.name else f"{period.name}: {bounds}"


def describe_bounds(begin: Optional[datetime], end: Optional[datetime]) -> str:
    """Return from when until when, in local time; None is no bound. Whole days are named without the time."""
    last = local_time(end - timedelta(seconds=1)) if end else ""
    if begin is None:
        return f"until {last}"
    first = f"{begin.astimezone():%Y-%m-%d %H:%M}".replace(" 00:00", "")
    return f"from {first} to {last}" if last else f"since {first}"


# What reports count


class Count(Word):
    """What a report counts in a period."""

    CREATED = "created"
    RESOLVED = "resolved"  # and still so
    CHANGED_TO_RESOLVED = "changed to Resolved"  # whatever came later
    REOPENED = "reopened"
    UNFINISHED = "unfinished"  # at the end of the period


class ReportScope(NamedTuple):
    """What a number in a report counts, from `begin` ("" for the very beginning) until before `end`, UTC as stored."""

    what: Count
    begin: str
    end: str


_IS_FINISHING = "old_value NOT IN ('Resolved', 'Cancelled') AND new_value IN ('Resolved', 'Cancelled')"
_IS_REOPENING = "old_value IN ('Resolved', 'Cancelled') AND new_value NOT IN ('Resolved', 'Cancelled')"
_STATUS_CHANGES = """
    SELECT work_order_id FROM work_order_history WHERE field = 'status' AND changed_at >= :begin AND changed_at < :end
"""

# The condition on a row of work_orders; a number and the list behind it use the same one.
COUNTED: Mapping[Count, str] = {
    Count.CREATED: "work_orders.created_at >= :begin AND work_orders.created_at < :end",
    Count.RESOLVED: "work_orders.resolved_at >= :begin AND work_orders.resolved_at < :end",
    Count.CHANGED_TO_RESOLVED: f"work_orders.id IN ({_STATUS_CHANGES} AND new_value = 'Resolved')",
    Count.REOPENED: f"work_orders.id IN ({_STATUS_CHANGES} AND {_IS_REOPENING})",
    # It is unfinished now or was finished after the moment, and was not reopened before that, but after the moment.
    Count.UNFINISHED: f"""
        work_orders.created_at < :end
        AND (work_orders.urgency < 4 OR work_orders.id IN (
            SELECT work_order_id FROM work_order_history
            WHERE field = 'status' AND changed_at >= :end AND {_IS_FINISHING}
        ))
        AND work_orders.id NOT IN (
            SELECT work_order_id FROM work_order_history AS reopening
            WHERE field = 'status' AND changed_at >= :end AND {_IS_REOPENING} AND NOT EXISTS (
                SELECT 1 FROM work_order_history
                WHERE work_order_id = reopening.work_order_id AND id < reopening.id
                    AND field = 'status' AND changed_at >= :end AND {_IS_FINISHING}
            )
        )
    """,
}


def describe_counted(counted: ReportScope) -> str:
    """Return in words what a number of a report counts, with its period in local time."""
    end = None if counted.end == NEVER else moment(counted.end)
    if counted.what is not Count.UNFINISHED:
        return f"{counted.what} {describe_bounds(moment(counted.begin), end)}"
    last = describe_bounds(None, end).replace("until ", "")
    return f"unfinished at {last if ' ' in last else f'the end of {last}'}"


# Finding


class Changes(NamedTuple):
    """What others have changed of somebody's work orders: the history rows after one and up to another."""

    user_id: int
    after: int
    upto: int


class Filter(NamedTuple):
    """Which work orders a list shows, None standing for any.

    The status may be UNFINISHED, the assignee NOBODY, the category NONE; `changed` stands for what others have
    changed, `counted` for what a report has counted, `hold_is_over_for` for what somebody (an id) may take up again.
    """

    status: Optional[str] = None
    priority: Union[Priority, AtLeast, None] = None
    category: Optional[str] = None
    requester: Optional[str] = None
    assignee: Optional[str] = None
    due: Optional[Due] = None
    created: Optional[Period] = None
    resolved: Optional[Period] = None
    changed: Optional[Changes] = None
    counted: Optional[ReportScope] = None
    hold_is_over_for: Optional[int] = None


class Query(NamedTuple):
    """What a list asks for: a filter, an order, and a text, whose words may stand inside others if `is_inside`."""

    filter: Filter = Filter()
    sort: Sort = Sort.URGENCY
    text: str = ""
    is_inside: bool = False


class Page(NamedTuple):
    """A page of a list, all of it from one moment.

    Its rows, how many work orders the list has and how many are overdue (above COUNTED_AT_MOST not counted), and by id
    what stands below a row: the place that a search matched, in square brackets, or what others have changed.
    """

    work_orders: List[WorkOrder]
    total: int
    overdue: int
    below: Dict[int, List[str]]


def find(session: Session, query: Query, after: Optional[WorkOrder], limit: int) -> Page:
    """Return a page of the list: up to `limit` work orders that the person may see and that follow `after`."""
    order = query.sort
    with users.reading(session, Action.VIEW) as user:
        source, keys, values = _selection(session.connection, user, query)
        total = _count(session.connection, source, values)
        overdue = _count(session.connection, f"{source} AND urgency < 4 AND overdue_at < :now", values)
        if after:
            places = ", ".join(f":after_{column}" for column in order.columns)
            source += f" AND ({', '.join(keys)}) {'<' if order.direction else '>'} ({places})"
            values.update(after_id=after.id, after_urgency=after.urgency, after_due_rank=after.due_rank)
            values.update(after_created_at=utc_text(after.created_at), after_updated_at=utc_text(after.updated_at))
        directed = ", ".join(f"{key} {order.direction}" for key in keys)
        rows = session.connection.execute(
            f"{_SELECT} WHERE work_orders.id IN (SELECT id FROM {source} ORDER BY {directed} LIMIT {limit})", values
        ).fetchall()
        found = list(map(_work_order, rows))
        found.sort(key=lambda row: [getattr(row, column) for column in order.columns], reverse=bool(order.direction))
        return Page(found, total, overdue, _lines_below(session.connection, query, found))


def search(session: Session, text: str) -> Query:
    """Return the query for all words of a text as beginnings or, if none fits, anywhere. Raises InvalidInputError."""
    if len(text) > MAXIMUM_SEARCH:
        raise InvalidInputError(f"A search has at most {MAXIMUM_SEARCH} characters; this one has {len(text):,}.")
    query = Query(text=users.plain_text(text), sort=Sort.NEWEST)
    with users.reading(session, Action.VIEW) as user:
        source, _, values = _selection(session.connection, user, query)
        has_words = session.connection.execute(f"SELECT 1 FROM {source} LIMIT 1", values).fetchone()
    return query if has_words else query._replace(is_inside=True)


def _selection(connection: Connection, user: User, query: Query) -> Tuple[str, Sequence[str], Dict[str, object]]:
    """Return the SQL of what a query finds for somebody: tables with their condition, sort keys, and bound values.

    Each order is walked in its own index, and a person's list in that of the person.
    """
    order = query.sort
    own = None if users.scope(user, Action.VIEW) is Scope.ALL else user.id
    (condition, values), (hits, words) = _condition(query.filter, own), _hits(connection, query)
    values.update(words)
    keys = [f"work_orders.{column}" for column in order.columns]
    if own or query.filter.requester:
        source = "work_orders INDEXED BY work_orders_by_requester"
    elif query.filter.assignee and (query.filter.assignee != NOBODY or query.sort is Sort.URGENCY):
        source = "work_orders INDEXED BY work_orders_by_assignee"
    elif query.filter.changed or query.filter.counted:
        source = "work_orders"
    elif query.text and order.columns == ("id",):
        # The index of the search has its rows in the order of the ids.
        source = "work_order_search CROSS JOIN work_orders INDEXED BY work_orders_by_id ON id = work_order_search.rowid"
        return f"{source} WHERE {hits} AND {condition}", ["work_order_search.rowid"], values
    else:
        source = f"work_orders INDEXED BY {order.index_name}"
    if query.text:
        condition += f" AND work_orders.id IN (SELECT rowid FROM work_order_search WHERE {hits})"
    return f"{source} WHERE {condition}", keys, values


def _count(connection: Connection, source: str, values: Mapping[str, object]) -> int:
    """Return how many work orders a selection has, at most COUNTED_AT_MOST + 1."""
    sql = f"SELECT count(*) FROM (SELECT 1 FROM {source} LIMIT {COUNTED_AT_MOST + 1})"
    return int(connection.execute(sql, values).fetchone()[0])


def _condition(filter: Filter, own: Optional[int]) -> Tuple[str, Dict[str, object]]:
    """Return the condition that a filter stands for, with `own` for a requester's own work orders, and its values."""
    is_finished = filter.status not in (None, UNFINISHED) and Status(filter.status).is_finished
    conditions = (
        (True, "work_orders.deleted_at IS NULL"),
        (own, "requester_id = :own"),
        (filter.status, "urgency >= 4" if is_finished else "urgency < 4"),
        (filter.status not in (None, UNFINISHED), "status = :status"),
        (isinstance(filter.priority, Priority), "urgency IN (4 - :priority, 8 - :priority)"),
        (isinstance(filter.priority, AtLeast), "urgency % 4 <= 4 - :priority"),
        (filter.category == NONE, "category IS NULL"),
        (filter.category not in (None, NONE), "category = :category"),
        (filter.requester, "requester_id = (SELECT id FROM users WHERE username = :requester)"),
        (filter.assignee == NOBODY, "assignee_id IS NULL"),
        (filter.assignee not in (None, NOBODY), "assignee_id = (SELECT id FROM users WHERE username = :assignee)"),
        (filter.due is Due.OVERDUE, "urgency < 4 AND overdue_at < :now"),
        (filter.due is Due.NONE, "due_at IS NULL"),
        (filter.changed, _CHANGED_BY_OTHERS),
        (filter.counted, COUNTED[filter.counted.what] if filter.counted else ""),
        (filter.hold_is_over_for, f"urgency < 4 AND {_HOLD_IS_OVER}"),
        (filter.hold_is_over_for, "(assignee_id = :hold_is_over_for OR assignee_id IS NULL)"),
    )
    values: Dict[str, object] = {
        **filter._asdict(),
        **(filter.changed._asdict() if filter.changed else {}),
        **(filter.counted._asdict() if filter.counted else {}),
        "priority": filter.priority.priority if isinstance(filter.priority, AtLeast) else filter.priority,
        "own": own,
        "now": now(),
        "recently": utc_text(datetime.now(timezone.utc) - timedelta(days=90)),  # for changes of finished ones
    }
    wanted = [sql for is_wanted, sql in conditions if is_wanted]
    periods = {"created": filter.created, "resolved": filter.resolved, "due": _due_period(filter.due)}
    for name, period in periods.items():
        if period:
            wanted.append(f"work_orders.{name}_at >= :{name}_begin AND work_orders.{name}_at < :{name}_end")
            values[f"{name}_begin"], values[f"{name}_end"] = period.bounds
    return " AND ".join(wanted), values


# A history row that somebody else has written.
_BY_OTHERS = """
    history.id > :after AND history.id <= :upto AND user_id <> :user_id AND is_imported = 0
        AND field NOT IN ('link', 'link removed')
"""
_CHANGED_BY_OTHERS = f"""
    work_orders.id IN (
        SELECT id FROM work_orders WHERE requester_id = :user_id AND (urgency < 4 OR updated_at >= :recently)
        UNION SELECT id FROM work_orders WHERE assignee_id = :user_id AND (urgency < 4 OR updated_at >= :recently)
        UNION SELECT work_order_id FROM work_order_history AS handover
        WHERE field IN ('assignee', 'requester') AND old_value = (SELECT username FROM users WHERE id = :user_id)
            AND id > :after AND id <= :upto AND EXISTS (
                SELECT 1 FROM work_order_history AS other
                WHERE other.work_order_id = handover.work_order_id AND other.id > :after AND other.id <= handover.id
                    AND other.user_id <> :user_id AND other.is_imported = 0 AND other.field <> 'created'
            )
    ) AND EXISTS (
        SELECT 1 FROM work_order_history AS history
        WHERE work_order_id = work_orders.id AND {_BY_OTHERS} AND (urgency < 4 OR changed_at >= :recently)
    )
"""


def _due_period(due: Optional[Due]) -> Optional[Period]:
    """Return the local days that are meant, or None where none are."""
    today, weekday = date.today(), date.today().weekday()
    days = {Due.TODAY: (0, 1), Due.TOMORROW: (1, 2), Due.NEXT_7_DAYS: (0, 7), Due.THIS_WEEK: (-weekday, 7 - weekday)}
    if due not in days:
        return None
    begin, end = (_midnight(today + timedelta(days=day)) for day in days[due])
    return Period(str(due), begin, end)


# Searching text


WORDS_LOOKED_UP = 10  # inside the words of the index, each in some milliseconds; the others in the texts
WORDS_AT_MOST = 500  # of which a search may find a part inside; if there are more, the texts are read


def _hits(connection: Connection, query: Query) -> Tuple[str, Dict[str, object]]:
    """Return the condition on work_order_search that a query's text stands for, and its values."""
    matches: List[str] = []
    conditions: List[str] = []
    values: Dict[str, object] = {}
    for number, word in enumerate(filter(None, (fold(word).strip() for word in query.text.split()))):
        match, is_enough = _prefix_match(word)
        if query.is_inside and (number >= WORDS_LOOKED_UP or not is_enough):
            match, is_enough = "", False
        elif query.is_inside and " " not in word:
            sql = f"SELECT term FROM work_order_words WHERE instr(term, ?) > 0 LIMIT {WORDS_AT_MOST + 1}"
            terms = [f'"{row["term"]}"' for row in connection.execute(sql, (word,))]
            if not terms:
                return "0", {}
            is_enough = len(terms) <= WORDS_AT_MOST
            match = f"({' OR '.join(terms)})" if is_enough else ""
        matches += [match] if match else []
        if not is_enough:
            conditions.append(f"instr(text, :word_{number}) > 0")
            values[f"word_{number}"] = word
    if matches:
        conditions.append("work_order_search MATCH :match")
        values["match"] = " AND ".join(matches)
    return " AND ".join(conditions) or "0", values


def _prefix_match(word: str) -> Tuple[str, bool]:
    """Return what matches the word as a beginning, and whether that is all; else the text has to contain it literally.

    Letters that are younger than SQLite's tables are looked for in the text alone.
    """
    categories = [unicodedata.ucd_3_2_0.category(character) for character in word]
    if "Cn" in categories:
        return "", False
    is_in_word = [category[0] in "LNM" or category == "Co" for category in categories]
    parts = "".join(character if is_in else " " for character, is_in in zip(word, is_in_word)).split()
    phrase = f'"{" ".join(parts)}"{" *" if is_in_word[-1] else ""}' if parts else ""
    return phrase, " ".join(parts) == word


def _lines_below(connection: Connection, query: Query, found: Sequence[WorkOrder]) -> Dict[int, List[str]]:
    """Return by work order what others have changed or, for a search, the place that matched, in square brackets."""
    changes = query.filter.changed
    if not found or not (query.text or changes):
        return {}
    ids, condition = ", ".join(str(row.id) for row in found), _BY_OTHERS if changes else "note <> ''"
    rows = connection.execute(
        f"{_SELECT_HISTORY} WHERE work_order_id IN ({ids}) AND {condition} ORDER BY history.id DESC",
        changes._asdict() if changes else {},
    ).fetchall()
    entries: DefaultDict[int, List[HistoryEntry]] = defaultdict(list)
    for row in rows:
        entries[row["work_order_id"]].append(_history_entry(row))
    words = [fold(word).strip() for word in query.text.split()]
    lines = {}
    for work_order in found:
        own = entries[work_order.id]
        if changes:
            more = [f"and {len(own) - 3:,} more: Show history"] if len(own) > 3 else []
            lines[work_order.id] = [*map(describe_entry, own[:3]), *more]
        else:
            lines[work_order.id] = _excerpt(work_order, own, words, query.is_inside)
    return lines


def _excerpt(work_order: WorkOrder, notes: Sequence[HistoryEntry], words: Sequence[str], is_inside: bool) -> List[str]:
    """Return the place where a word stands, a note or comment before the title, which the list shows anyway."""
    texts = [("comment" if entry.field == "comment" else "note", entry.note) for entry in notes]
    left = 10_000  # characters to look through
    for place, text in (*texts, ("description", work_order.description), ("title", work_order.title)):
        span = _find_words(text[:left], words, is_inside)
        if span:
            before, after = text[: span.start], text[span.stop :]
            before = f"...{before[-30:]}" if len(before) > 33 else before
            after = f"{after[:30]}..." if len(after) > 33 else after
            return [f"{place}: {before}[{text[span.start : span.stop]}]{after}".replace("\n", " ")]
        left = max(MAXIMUM_TITLE, left - len(text))
    return []


def _find_words(text: str, words: Sequence[str], is_inside: bool) -> Optional[range]:
    """Return where one of the folded words stands first in the text, preferring the beginning of a word.

    In the middle of one only a word with signs in it matches, unless the search `is_inside`.
    """
    pieces = list(map(_fold_character, text))
    places = [place for place, piece in enumerate(pieces) for _ in piece] + [len(text)]
    # O'Reilly is found as oreilly, too.
    either = "|".join("'?".join(map(re.escape, word)).replace(r"\ ", " ?") for word in words if word)
    beginning = rf"(?:(?<![^\W_])|{database.AFTER_SPACELESS})(?:{either})"
    for pattern in (beginning, either) if is_inside or not "".join(words).isalnum() else (beginning,):
        match = re.search(pattern, "".join(pieces))
        if match:
            return range(places[match.start()], max(places[match.end() - 1] + 1, places[match.end()]))
    return None


@cache
def _fold_character(character: str) -> str:
    """Return the character folded; nothing for a mark, and a space before one of a script without spaces."""
    return fold(f"x{character}")[1:]


# My work


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
    hold_over: int


UNASSIGNED = Filter(status=UNFINISHED, assignee=NOBODY)
OVERDUE = Filter(due=Due.OVERDUE)
DUE_THIS_WEEK = Filter(status=UNFINISHED, due=Due.THIS_WEEK)


def assigned_to(username: str) -> Filter:
    """Return the filter for the unfinished work orders that are assigned to somebody."""
    return Filter(status=UNFINISHED, assignee=username)


def my_work(session: Session) -> MyWork:
    """Return how many work orders wait for the person, among those that they may see."""
    with users.reading(session, Action.VIEW) as user:
        assigned = assigned_to(user.username)
        filters = (
            *(assigned, assigned._replace(due=Due.OVERDUE), UNASSIGNED, OVERDUE, DUE_THIS_WEEK),
            Filter(status=UNFINISHED, requester=user.username),
            *(Filter(changed=_changes(session.connection, user)), Filter(hold_is_over_for=user.id)),
        )
        selections = [_selection(session.connection, user, Query(each)) for each in filters]
        counts = [_count(session.connection, source, values) for source, _, values in selections]
    return MyWork(users.may(user, Action.ASSIGN), *counts)


def open_changes(session: Session) -> Query:
    """Return the query for what others have changed, by now, since the person last looked, and mark it as seen."""
    with users.writing(session, Action.VIEW) as user:
        changes = _changes(session.connection, user)
        session.connection.execute("UPDATE users SET seen_history_id = ? WHERE id = ?", (changes.upto, user.id))
    return Query(Filter(changed=changes), Sort.CHANGED)


def _changes(connection: Connection, user: User) -> Changes:
    (after,) = connection.execute("SELECT seen_history_id FROM users WHERE id = ?", (user.id,)).fetchone()
    return Changes(user.id, after, _last_history_id(connection))


def _last_history_id(connection: Connection) -> int:
    return int(connection.execute("SELECT coalesce(max(id), 0) FROM work_order_history").fetchone()[0])


# Filters by name


FILTER_NAMES = ("status", "priority", "category", "requester", "assignee", "due", "created", "resolved")


def filter_choices(session: Session, name: str) -> Sequence[object]:
    """Return the values of a filter that a person can choose from; none where it is typed."""
    if name == "category":
        return (*categories(session), NONE)
    choices: Mapping[str, Sequence[object]] = {
        "status": (*Status, UNFINISHED),
        "priority": (*Priority, AtLeast(Priority.MEDIUM), AtLeast(Priority.HIGH)),
        "due": tuple(Due),
        "created": PERIODS,
        "resolved": PERIODS,
    }
    return choices.get(name, ())


def parse_filter_value(session: Session, name: str, text: str) -> object:
    """Return what a text means as the value of a filter, None for `any`. Raises InvalidInputError."""
    if text.lower() == ANY:
        return None
    if name in ("created", "resolved"):
        return parse_period(text)
    if name == "assignee" and _is_nobody(session, text):
        return NOBODY
    if name in ("requester", "assignee"):
        return users.parse_person(session, text, People.EVERYBODY)
    if name == "priority" and re.fullmatch(r".*\w ?\+", text):
        return AtLeast(PRIORITY.parse(session, text.rstrip("+ ")))
    return parse_word(filter_choices(session, name), text)


def parse_filters(session: Session, text: str, filter: Filter) -> Filter:
    """Return the filter narrowed by what the text says: values such as `high+, overdue, assignee lena`.

    A value needs its field where several could have it, and a person always. Raises InvalidInputError.
    """
    named: Dict[str, Any] = {}
    for part in (part.strip() for part in text.split(",") if part.strip()):
        first, _, rest = part.partition(" ")
        names = [name for name in FILTER_NAMES if name.startswith(first.lower())]
        found: Dict[str, object] = {}
        if rest and len(names) == 1:
            found[names[0]] = parse_filter_value(session, names[0], rest.strip())
        elif not part.isdigit():
            for name in ("status", "priority", "category", "due"):
                with suppress(InvalidInputError):
                    found[name] = parse_filter_value(session, name, part)
        if len(found) != 1:
            which = f'"{part[:40]}" could be {" or ".join(found)}' if found else f'Nothing is known as "{part[:40]}"'
            raise InvalidInputError(
                f"{which}. Name the field and its value, such as high+, overdue, assignee lena, created this week; "
                f"the fields are {', '.join(FILTER_NAMES)}."
            )
        ((name, value),) = found.items()
        if name in named:
            raise InvalidInputError(f"Give one value for {name}, not two.")
        named[name] = value
    return filter._replace(**named)


# History and counts


def get_with_deleted(session: Session, work_order_id: int) -> WorkOrder:
    """Return the work order; admins see a deleted one too. Raises NotFoundError."""
    with users.reading(session, Action.VIEW) as user:
        return _visible(session, user, work_order_id, include_deleted=users.may(user, Action.RESTORE))


def history(
    session: Session, work_order_id: int, before: Optional[HistoryEntry] = None, limit: int = -1
) -> List[HistoryEntry]:
    """Return up to `limit` (-1: all) changes and comments older than `before`, newest first. Raises NotFoundError."""
    with users.reading(session, Action.VIEW) as user:
        _visible(session, user, work_order_id, include_deleted=users.may(user, Action.RESTORE))
        rows = session.connection.execute(
            f"{_SELECT_HISTORY} WHERE work_order_id = ? AND history.id < ? ORDER BY history.id DESC LIMIT ?",
            (work_order_id, before.id if before else sys.maxsize, limit),
        ).fetchall()
    return list(map(_history_entry, rows))


# Creating and opening


class Draft(NamedTuple):
    """What a new work order is to be; without a requester, it is the person's own."""

    title: str
    description: str = ""
    priority: Priority = Priority.MEDIUM
    category: Optional[str] = None
    requester: Optional[str] = None
    assignee: Optional[str] = None


def create(session: Session, draft: Draft) -> int:
    """Create a work order and return its id. Raises InvalidInputError, PermissionDeniedError."""
    with _writing(session, Action.CREATE) as user:
        if draft.requester not in (None, user.username):
            users.authorize(session, Action.CHANGE_REQUESTER)
        if draft.assignee:
            users.authorize(session, Action.ASSIGN)
        return _insert(session.connection, user, _columns(session, user, draft), _Entry("created"))


def _columns(session: Session, user: User, draft: Draft) -> Dict[str, object]:
    """Return the columns for a draft, whose values are checked. Raises InvalidInputError."""
    connection, requester, assignee = session.connection, draft.requester or user.username, draft.assignee
    return {
        "title": parse_title(draft.title),
        "description": parse_text(draft.description),
        "priority": draft.priority,
        "category": _check_category(session, draft.category),
        "requester_id": users.find(connection, requester, People.REQUESTERS).id,
        "assignee_id": users.find(connection, assignee, People.ASSIGNEES).id if assignee else None,
    }


def _insert(connection: Connection, by: User, columns: Mapping[str, Any], entry: _Entry) -> int:
    """Write a new work order with what the service target sets, unless a column says otherwise; return its id."""
    at = now()
    _, response, hours = _service_target(connection, Priority(columns["priority"]))
    due_at = utc_text(datetime.fromisoformat(at) + timedelta(hours=hours)) if hours else None
    promise = {"due_at": due_at, "due_by": due_at and DueBy.TARGET, "response_hours": response}
    values = {**promise, **columns, "created_at": at, "updated_at": at}
    work_order_id = database.insert(connection, "work_orders", values)
    _write_changes(connection, by, work_order_id, at, [entry], {})
    return work_order_id


def get(session: Session, work_order_id: int) -> Details:
    """Return the work order as its screen shows it. Raises NotFoundError, in the same words for somebody else's."""
    with users.reading(session, Action.VIEW) as user:
        work_order = _visible(session, user, work_order_id)
        notes = session.connection.execute(
            f"{_SELECT_HISTORY} WHERE work_order_id = ? AND note <> '' ORDER BY history.id DESC LIMIT {LATEST_NOTES}",
            (work_order_id,),
        ).fetchall()
        links = _links(session.connection, user, work_order_id)
    return Details(work_order, work_order.assignee_id == user.id, list(map(_history_entry, notes)), links)


def is_permitted(user: User, action: Action, work_order: WorkOrder) -> bool:
    """Return whether the user may take the action on this work order, as things stood when both were read."""
    scope = users.scope(user, action)
    if scope is Scope.OWN_UNFINISHED and work_order.status.is_finished:
        return False
    return scope is Scope.ALL or (scope is not Scope.NONE and work_order.requester_id == user.id)


def _find_by_id(connection: Connection, work_order_id: int) -> Optional[WorkOrder]:
    row = connection.execute(f"{_SELECT} WHERE work_orders.id = ?", (work_order_id,)).fetchone()
    return _work_order(row) if row else None


def _visible(session: Session, user: User, work_order_id: int, include_deleted: bool = False) -> WorkOrder:
    found = _find_by_id(session.connection, work_order_id)
    if found is None or not is_permitted(user, Action.VIEW, found) or (found.deleted_at and not include_deleted):
        raise NotFoundError(f"There is no work order #{work_order_id}.")
    return found


# Changing


def change(
    session: Session, shown: WorkOrder, field: Field[V], value: V, note: str = "", until: Optional[datetime] = None
) -> bool:
    """Change a field of the work order, and the end of a hold; return whether a change or a note was saved.

    Raises NotFoundError, PermissionDeniedError, InvalidInputError (also for a status that stands already), and
    ConflictError if somebody else changed the field since the work order was `shown`; other fields don't matter.
    """
    with _writing(session, Action.VIEW) as user:
        is_changed = _change(session, user, shown, _values(field, value, until), note)
        if not is_changed and field is STATUS:
            raise InvalidInputError(f"The status of work order #{shown.id} is already {value}.")
        if not is_changed and note:  # it is kept all the same
            comment(session, shown.id, note)
    return is_changed or bool(note)


def take(session: Session, shown: WorkOrder, note: str = "") -> bool:
    """Assign the work order to oneself and, if it is Open, set it In Progress; return as change does."""
    with _writing(session, Action.VIEW) as user:
        values: Dict[Field[Any], Any] = {ASSIGNEE: user.username}
        if _visible(session, user, shown.id).status is Status.OPEN:
            values[STATUS] = Status.IN_PROGRESS
        is_changed = _change(session, user, shown, values, note)
        if not is_changed and note:  # it is kept all the same
            comment(session, shown.id, note)
    return is_changed or bool(note)


def comment(session: Session, work_order_id: int, text: str) -> None:
    """Add a comment to the work order's history, where it stays. Raises NotFoundError, InvalidInputError."""
    text = parse_text(text)
    if not text:
        raise InvalidInputError("A comment has at least 1 character.")
    with _writing(session, Action.VIEW) as user:
        current = _changeable(session, user, Action.COMMENT, work_order_id)
        _write_changes(session.connection, user, current.id, now(), [_Entry("comment", note=text)], {})


def delete(session: Session, work_order_id: int) -> None:
    """Hide the work order from everybody; nothing of it is lost. Raises NotFoundError, PermissionDeniedError."""
    with users.writing(session, Action.VIEW) as user:
        current = _changeable(session, user, Action.DELETE, work_order_id)
        at = now()
        _write_changes(session.connection, user, current.id, at, [_Entry("deleted")], {"deleted_at": at})
        users.audit(session.connection, user.id, "work order deleted", f"#{current.id}")


def restore(session: Session, work_order_id: int) -> None:
    """Bring the deleted work order back as it was. Raises NotFoundError, PermissionDeniedError to all but admins."""
    with users.writing(session, Action.RESTORE) as user:
        deleted = get_deleted(session, work_order_id)
        columns: Dict[str, object] = {"deleted_at": None}
        released = [] if deleted.status.is_finished else _release_assignee(session.connection, deleted, columns)
        entries = [_Entry("restored"), *released]
        _write_changes(session.connection, user, deleted.id, now(), entries, columns)
        users.audit(session.connection, user.id, "work order restored", f"#{deleted.id}")


def _changeable(session: Session, user: User, action: Action, work_order_id: int) -> WorkOrder:
    """Return the work order as it stands now, if the action is permitted."""
    current = _visible(session, user, work_order_id)
    users.authorize(session, action)
    if not is_permitted(user, action, current):
        raise users.PermissionDeniedError(f"Work order #{current.id} is finished ({current.status}); reopen it first.")
    return current


def _values(field: Field[V], value: Any, until: Optional[datetime]) -> Dict[Field[Any], Any]:
    return {field: value, HELD_UNTIL: until} if field is STATUS and value is Status.ON_HOLD else {field: value}


def _change(session: Session, user: User, shown: WorkOrder, values: Mapping[Field[Any], Any], note: str = "") -> bool:
    """Give fields other values, with what follows from that; return False if all had them already."""
    at, note = now(), parse_text(note)
    columns: Dict[str, object] = {}
    entries: List[_Entry] = []
    for field, value in values.items():
        current = _changeable(session, user, field.action, shown.id)
        new, old = field.check(session, value), field.read(current)
        if old != field.read(shown):
            text, by = field.show(old), _last_changed_by(session.connection, shown.id, field)
            short = text if len(text) <= 200 else f"{text[:200]}..."
            raise ConflictError(
                f'The {field.name} is now "{short}": {by} changed it in the meantime. Nothing was saved.'
            )
        is_by_hand_now = field is DUE_DATE and current.due_by is not DueBy.HAND
        if old != new or is_by_hand_now:
            entries.append(_Entry(field.name, field.as_text(old), field.as_text(new), "" if entries else note))
            entries += _dependent_changes(session.connection, current, field, new, at, columns)
    if entries:
        _write_changes(session.connection, user, shown.id, at, entries, columns)
    return bool(entries)


def _dependent_changes(
    connection: Connection, current: WorkOrder, field: Field[V], new: Any, at: str, columns: Dict[str, object]
) -> List[_Entry]:
    """Add the columns that a field's new value sets, and return the history rows of what else changes with it."""
    if field in (ASSIGNEE, REQUESTER):
        columns[f"{field.column}_id"] = new and users.find(connection, new).id
    else:
        columns[field.column] = utc_text(new) if isinstance(new, datetime) else new
    entries: List[_Entry] = []
    due_at = current.due_at
    if field is DUE_DATE:
        columns["due_by"] = DueBy.HAND
    if field is PRIORITY:
        _, response, hours = _service_target(connection, new)
        columns["response_hours"] = None if current.source else response
        if current.due_by is not DueBy.HAND:
            due_at = current.created_at + timedelta(hours=hours, seconds=current.stopped_seconds) if hours else None
    if field is STATUS:
        columns["resolved_at"] = at if new is Status.RESOLVED else None
        columns["held_until"] = None
        is_reopened = current.status.is_finished and not new.is_finished
        entries += _release_assignee(connection, current, columns) if is_reopened else []
        stop_ends = current.stopped_since and (is_reopened or current.status is Status.ON_HOLD)
        if stop_ends and due_at and current.due_by is DueBy.TARGET:
            due_at += timedelta(seconds=database.seconds_between(current.stopped_since or at, at))
    if due_at != current.due_at:
        columns.update(due_at=due_at and utc_text(due_at), due_by=due_at and DueBy.TARGET)
        entries.append(_Entry(DUE_DATE.name, DUE_DATE.as_text(current.due_at), DUE_DATE.as_text(due_at)))
    return entries


def _release_assignee(connection: Connection, current: WorkOrder, columns: Dict[str, object]) -> List[_Entry]:
    """Take an assignee away who can be none any more."""
    try:
        if current.assignee:
            users.find(connection, current.assignee, People.ASSIGNEES)
        return []
    except InvalidInputError:
        columns["assignee_id"] = None
        return [_Entry(ASSIGNEE.name, current.assignee, NOBODY)]


def _write_changes(
    connection: Connection, by: User, work_order_id: int, at: str, entries: List[_Entry], columns: Mapping[str, object]
) -> None:
    """Write columns and history rows of one work order, and what is derived: everything that is saved comes here."""
    # A note that has no room is refused before anything is written, since change_many goes on with the others.
    minutes = [_check_note(connection, by, work_order_id, entry.note) if entry.note else 0 for entry in entries]
    database.update(connection, "work_orders", work_order_id, {**columns, "updated_at": at})
    for entry, spent in zip(entries, minutes):
        users.record_change(connection, work_order_id, by.id, at, **entry._asdict(), minutes=spent)
    database.refresh_derived(connection, work_order_id)


def _check_note(connection: Connection, by: User, work_order_id: int, note: str) -> int:
    """Return a note's minutes. Raises InvalidInputError if all notes would be too long, or all minutes less than 0."""
    minutes = parse_spent(by, note)
    length, spent = connection.execute(
        """
        SELECT coalesce(sum(CASE note WHEN '' THEN 0 ELSE max(length(note), :overhead) END), 0),
            coalesce(sum(minutes), 0)
        FROM work_order_history WHERE work_order_id = :id
        """,
        {"id": work_order_id, "overhead": NOTE_OVERHEAD},
    ).fetchone()
    if length + max(len(note), NOTE_OVERHEAD) > MAXIMUM_NOTE_CHARACTERS:
        raise NoRoomError(
            f"The comments and notes of work order #{work_order_id} would have more than "
            f"{MAXIMUM_NOTE_CHARACTERS:,} characters; continue in a new work order."
        )
    if minutes and spent + minutes < 0:
        raise InvalidInputError(f"Only {describe_minutes(spent)} of work are noted; no more can be taken back.")
    return minutes


def parse_spent(user: User, note: str) -> int:
    """Return the minutes that a note by a manager or an admin begins with, such as +1h 30m or -20m; 0 for none."""
    form = re.match(r"([+-])(?=[0-9])(?:([0-9]{1,3})h)?(?: ?([0-9]{1,4})m)?(?!\S)", note)
    if not (form and (form[2] or form[3]) and users.may(user, Action.ASSIGN)):
        return 0
    return int(f"{form[1]}1") * (60 * int(form[2] or 0) + int(form[3] or 0))


def _last_changed_by(connection: Connection, work_order_id: int, field: Field[Any]) -> str:
    row = connection.execute(
        """
        SELECT username FROM work_order_history JOIN users ON users.id = user_id
        WHERE work_order_id = ? AND field IN (?, ?) ORDER BY work_order_history.id DESC LIMIT 1
        """,
        (work_order_id, field.name, HELD_UNTIL.name if field is STATUS else field.name),
    ).fetchone()
    return str(row["username"]) if row else "another program"


# Changing many


class ManyChanges(NamedTuple):
    """A change of many work orders, as it was shown to the person before it is made.

    For duplicates, `original` is the work order that they duplicate, and `field` the status if they are cancelled too.
    For a comment, there is neither, and only the note is used.
    """

    shown: List[WorkOrder]
    original: Optional[int]
    field: Optional[Field[Any]]
    value: Any
    note: str
    until: Optional[datetime]

    @property
    def sentence(self) -> str:
        """What will happen."""
        which = quantity(len(self.shown))
        if self.field is None:
            is_comment = self.original is None
            return f"A comment will be added to {which}." if is_comment else f"{which} will be {self.result}."
        kept = self.original is not None and any(each.status.is_finished for each in self.shown)
        counts = Counter(self.field.show(self.field.read(work_order)) for work_order in self.shown)
        at_present = ", ".join(f"{count:,} {text}" for text, count in counts.most_common(10))
        more = f" and {len(counts) - 10:,} more" if len(counts) > 10 else ""
        return f"{which} will be {self.result}: {at_present}{more}.{' What is finished keeps its status.' * kept}"

    @property
    def result(self) -> str:
        """What the work orders are afterwards."""
        if self.original is not None:
            return f"{Status.CANCELLED if self.field else 'linked'} as duplicates of #{self.original}"
        assert self.field
        text = self.field.show(self.value)
        day = f" until {HELD_UNTIL.show(self.until)}" if self.until else ""
        due = f"due {text}" if self.value else "without a due date"
        forms = {STATUS.name: f"{text}{day}", ASSIGNEE.name: f"assigned to {text}", DUE_DATE.name: due}
        return forms.get(self.field.name, f"given the {self.field.name} {text}")


DUPLICATES = "duplicate of"
# What can be changed of many work orders at once.
CHANGEABLE_TOGETHER = ("status", "assignee", "priority", "category", "due date", "comment", DUPLICATES)
_ID_OR_RANGE = "#?[0-9]{1,15}(-[0-9]{1,15})?"


def select_ids(session: Session, query: Query, text: str = "") -> List[int]:
    """Return the IDs of a list that a text such as `3 5 9-12` selects, or all for none. Raises InvalidInputError."""
    if text and not re.fullmatch(f"{_ID_OR_RANGE}([ ,]+{_ID_OR_RANGE})*[ ,]*", text):
        raise InvalidInputError("Type IDs and ranges such as 3 5 9-12, or press Enter for all.")
    parts = re.findall("([0-9]+)(?:-([0-9]+))?", text)
    if len(parts) > CHANGED_AT_ONCE:
        raise InvalidInputError(f"At most {CHANGED_AT_ONCE:,} IDs and ranges can be typed.")
    spans = [(int(first), int(last or first)) for first, last in parts] or [(1, sys.maxsize)]
    with users.reading(session, Action.CHANGE_MANY) as user:
        source, keys, values = _selection(session.connection, user, query)
        directed = ", ".join(f"{key} {query.sort.direction}" for key in keys)
        limit = -1 if text else CHANGED_AT_ONCE + 1
        rows = session.connection.execute(
            f"SELECT id FROM {source} AND id BETWEEN :first AND :last ORDER BY {directed} LIMIT {limit}",
            {**values, "first": min(spans)[0], "last": max(last for _, last in spans)},
        ).fetchall()
    listed = [row["id"] for row in rows]
    if not text and len(listed) > CHANGED_AT_ONCE:
        raise InvalidInputError(
            f"At most {CHANGED_AT_ONCE:,} work orders can be changed at once: filter first, or type their IDs."
        )
    selected: Dict[int, None] = {}
    for first, last in spans:
        found = [each for each in listed if first <= each <= last]
        if not found and first == last:
            raise InvalidInputError(f"Work order #{first} is not in the list.")
        selected.update(dict.fromkeys(found))
    if text and not 1 <= len(selected) <= CHANGED_AT_ONCE:
        raise InvalidInputError(f"Choose 1 to {CHANGED_AT_ONCE:,} work orders; that is {len(selected):,}.")
    return list(selected)


def plan_changes(
    session: Session, ids: Sequence[int], what: str, value: Any, note: str = "", until: Optional[datetime] = None
) -> ManyChanges:
    """Return the change of these work orders as they stand, not made yet. Raises InvalidInputError, NotFoundError.

    `what` is one of CHANGEABLE_TOGETHER; the value of `duplicate of` is an ID and whether to cancel them.
    """
    field, original = FIELDS.get(what), None
    if what == DUPLICATES:
        original, cancels = value
        field, value, note = (STATUS, Status.CANCELLED, f"Duplicate of #{original}.") if cancels else (None, None, "")
    with users.reading(session, Action.CHANGE_MANY) as user:
        if parse_spent(user, note):
            raise InvalidInputError("Time spent is noted on one work order at a time.")
        if original is not None:
            _visible(session, user, original)
        shown = [_find_by_id(session.connection, work_order_id) for work_order_id in ids]
    present = [each for each in shown if each and not each.deleted_at]
    if not present:
        raise InvalidInputError("All of these work orders have been deleted in the meantime.")
    return ManyChanges(present, original, field, value, parse_text(note), until)


def change_many(session: Session, changes: ManyChanges) -> str:
    """Make the change in one transaction; return a sentence: how many changed, which did not, and why."""
    done = 0
    kept: List[str] = []
    with _writing(session, Action.CHANGE_MANY) as user:
        if changes.original is not None:
            _visible(session, user, changes.original)
        for shown in changes.shown:
            if shown.id == changes.original:
                kept.append(f"#{shown.id} is the original")
                continue
            try:
                done += _change_one(session, user, shown, changes)
            except ConflictError:
                assert changes.field
                by = _last_changed_by(session.connection, shown.id, changes.field)
                kept.append(f"#{shown.id} was changed by {by}")
            except NotFoundError:
                kept.append(f"#{shown.id} was deleted")
            except NoRoomError:
                kept.append(f"#{shown.id} has no room for more notes")
    standing = len(changes.shown) - done - len(kept)
    already = [f"{standing:,} {'was' if standing == 1 else 'were'} {changes.result} already"] if standing else []
    more = [f"{len(kept) - 10:,} more stayed as they were"] if len(kept) > 10 else []
    return f"{', '.join((f'{done:,} changed', *already, *kept[:10], *more))}."


def _change_one(session: Session, user: User, shown: WorkOrder, changes: ManyChanges) -> bool:
    """Make the change of one work order; return False if it had the value already."""
    is_changed = False
    if changes.field and not (changes.original and shown.status.is_finished):
        values = _values(changes.field, changes.value, changes.until)
        is_changed = _change(session, user, shown, values, changes.note)
    if changes.original is not None:
        return link(session, shown, Kind.DUPLICATE_OF, changes.original) or is_changed
    if not changes.field:
        comment(session, shown.id, changes.note)
    return is_changed or not changes.field


def deactivate(session: Session, username: str, successor: Optional[str] = None) -> int:
    """Close an account, hand over its unfinished work orders and return how many. Raises as users.deactivate does."""
    with _writing(session, Action.MANAGE_USERS) as admin:
        return _hand_over(session, admin, users.deactivate(session.connection, admin, username), successor)


def change_role(session: Session, username: str, role: users.Role, successor: Optional[str] = None) -> int:
    """Give an account another role, and hand over a new user's unfinished work orders, as deactivate does."""
    with _writing(session, Action.MANAGE_USERS) as admin:
        user = users.change_role(session.connection, admin, username, role)
        return _hand_over(session, admin, user, successor) if role is users.Role.USER else 0


def _hand_over(session: Session, admin: User, user: User, successor: Optional[str]) -> int:
    successor_id = users.find(session.connection, successor, People.ASSIGNEES).id if successor else None
    ids = session.connection.execute(
        "SELECT id FROM work_orders WHERE assignee_id = ? AND urgency < 4 AND deleted_at IS NULL ORDER BY id",
        (user.id,),
    ).fetchall()
    requester_id = None if user.is_active else user.id  # whoever has become a user can still be one
    session.connection.execute(
        """
        UPDATE templates SET assignee_id = CASE assignee_id WHEN :user THEN :successor ELSE assignee_id END,
            requester_id = CASE requester_id WHEN :requester THEN coalesce(:successor, :admin) ELSE requester_id END,
            saved_by = CASE saved_by WHEN :user THEN coalesce(:successor, :admin) ELSE saved_by END
        WHERE :user IN (assignee_id, requester_id, saved_by) AND stopped_at IS NULL
        """,
        {"user": user.id, "requester": requester_id, "successor": successor_id, "admin": admin.id},
    )
    entry = _Entry(ASSIGNEE.name, user.username, successor or NOBODY)
    columns = {"assignee_id": successor_id}
    for row in ids:
        _write_changes(session.connection, admin, row["id"], now(), [entry], columns)
    return len(ids)


# Service targets


class ServiceTarget(NamedTuple):
    """What is promised for a priority: the hours to the first response and to the resolution, None for nothing."""

    priority: Priority
    response_hours: Optional[int] = None
    resolution_hours: Optional[int] = None


SERVICE_TARGETS = (
    "A work order gets its due date from the target for its priority when it is created, and again when its priority "
    "changes. Time On Hold, and time Resolved or Cancelled before a reopening, postpones it by the same amount. A due "
    "date set by hand stays. Changing a target does not affect existing due dates."
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
    with users.reading(session, Action.REPORTS):
        return [_service_target(session.connection, priority) for priority in reversed(Priority)]


def set_service_target(session: Session, shown: ServiceTarget, target: ServiceTarget) -> bool:
    """Set a priority's target; return False if nothing changed. Raises ConflictError if another admin changed it."""
    with users.writing(session, Action.SERVICE_TARGETS) as user:
        old = _service_target(session.connection, target.priority)
        if old != shown:
            raise ConflictError(
                f"The target for {old.priority} is now {describe_target(old)}: another admin changed it in the "
                "meantime. Nothing was saved."
            )
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
    with sound(f"The service target for {priority}"):
        if not all(hours is None or 1 <= hours <= 9999 for hours in row):
            raise ValueError(", ".join(map(repr, row)))
        return ServiceTarget(priority, *row)


# Telling those whom a change concerns


@contextmanager
def _writing(session: Session, action: Action) -> Iterator[User]:
    """Write as users.writing does, and notify the recipients of the changes; or join the enclosing block, if any."""
    if session.connection.in_transaction:
        yield users.authorize(session, action)
        return
    with users.writing(session, action) as user:
        last_id = _last_history_id(session.connection)
        yield user
        _notify(session.connection, user, last_id)


# The history rows written after an ID that people are told about.
_NEWS = "history.id > :after AND field IN ('created', 'recurs', 'requester', 'status', 'assignee', 'comment')"
# Who gets a message about a work order that has just changed, except the author of the change:
# - its requester, its assignee, and the assignee it was taken from;
# - managers and admins who asked for mail about all new work orders, if it is new;
# - those who asked for mail about all or unassigned ones, if nobody has it and it is new, or its requester commented on
#   it or reopened it.
_SELECT_RECIPIENTS = f"""
    SELECT work_order_id, users.id AS user_id
    FROM (
        SELECT work_order_id, max(field IN ('created', 'recurs')) AS is_new, max(field = 'comment') AS is_comment,
            max(field = 'status' AND old_value IN ('Resolved', 'Cancelled')) AS was_finished,
            max(CASE field WHEN 'assignee' THEN old_value END) AS former
        FROM work_order_history AS history WHERE {_NEWS}
        GROUP BY +work_order_id -- without the plus, SQLite walks an index of the whole history
    ) JOIN work_orders ON work_orders.id = work_order_id JOIN users ON (
        is_active = 1 AND email IS NOT NULL AND users.id <> :by AND (role <> 'user' OR users.id = requester_id)
    )
    WHERE users.id IN (requester_id, assignee_id) OR username = former OR role <> 'user' AND (
        new_work_order_mail = 'all' AND is_new OR new_work_order_mail <> 'none' AND assignee_id IS NULL AND (
            is_new OR requester_id = :by AND (is_comment OR was_finished AND urgency < 4)
        )
    ) ORDER BY users.id
"""


def _notify(connection: Connection, by: User, after: int, tells_author: bool = False) -> None:
    """Put one message per recipient of the history rows after that ID in the outbox, inside their transaction.

    A message about several work orders lists the first 50. Whoever made the changes gets none unless it `tells_author`.
    """
    if not users.is_mail_on(connection):
        return
    values = {"after": after, "by": 0 if tells_author else by.id}
    recipients: DefaultDict[int, List[int]] = defaultdict(list)
    for work_order_id, user_id in connection.execute(_SELECT_RECIPIENTS, values):
        recipients[work_order_id].append(user_id)
    rows = connection.execute(f"{_SELECT_HISTORY} WHERE {_NEWS} ORDER BY history.id", values).fetchall()
    messages: DefaultDict[int, List[Tuple[WorkOrder, str]]] = defaultdict(list)
    for work_order_id, group in itertools.groupby(rows, key=lambda row: int(row["work_order_id"])):
        work_order = _find_by_id(connection, work_order_id)
        assert work_order
        text = "\n\n".join(describe_message(_history_entry(row), work_order) for row in group)
        for user_id in recipients[work_order_id]:
            messages[user_id].append((work_order, text))
    for user_id, told in messages.items():
        work_order, text = told[0]
        if len(told) == 1:
            # All messages about a work order have the title that it was created with in their subject.
            sql = "SELECT old_value FROM work_order_history WHERE work_order_id = ? AND field = 'title' ORDER BY id"
            renaming = connection.execute(sql, (work_order.id,)).fetchone()
            subject = f"[#{work_order.id}] {renaming['old_value'] if renaming else work_order.title}"
            users.put_in_outbox(connection, user_id, subject, [(work_order.id, text)])
        else:
            subject = f"{by.username} changed {quantity(len(told))}"
            more = f" These are the first {LISTED_IN_MESSAGE}." if len(told) > LISTED_IN_MESSAGE else ""
            parts = [(about.id, f"#{about.id} {text}") for about, text in told[:LISTED_IN_MESSAGE]]
            users.put_in_outbox(connection, user_id, subject, parts, f"{subject}.{more}")


# Deleted work orders


def list_deleted(session: Session, after: Optional[WorkOrder], limit: int) -> List[WorkOrder]:
    """Return up to `limit` deleted work orders after one, latest deletion first. Raises PermissionDeniedError."""
    deleted_at = utc_text(after.deleted_at) if after and after.deleted_at else NEVER
    with users.reading(session, Action.RESTORE):
        rows = session.connection.execute(
            f"""
            {_SELECT} WHERE deleted_at IS NOT NULL AND (deleted_at, work_orders.id) < (?, ?)
            ORDER BY deleted_at DESC, work_orders.id DESC LIMIT ?
            """,
            (deleted_at, after.id if after else 0, limit),
        ).fetchall()
    return list(map(_work_order, rows))


def get_deleted(session: Session, work_order_id: int) -> WorkOrder:
    """Return the deleted work order. Raises NotFoundError, PermissionDeniedError to all but admins."""
    with users.reading(session, Action.RESTORE):
        found = _find_by_id(session.connection, work_order_id)
    if found is None or found.deleted_at is None:
        raise NotFoundError(f"There is no deleted work order #{work_order_id}.")
    return found


# Links


class Kind(Word):
    """How a work order is linked to another one."""

    DUPLICATE_OF = "duplicate of"
    BLOCKED_BY = "blocked by"
    RELATED_TO = "related to"

    @property
    def inverse(self) -> str:
        """What the other work order says of it."""
        return {Kind.DUPLICATE_OF: "has duplicate", Kind.BLOCKED_BY: "blocks"}.get(self, str(self))


class Link(NamedTuple):
    """A link as one of its ends shows it: in words, with the other end's number, and its status and title, or ""."""

    id: int
    words: str
    other_id: int
    other: str

    def __str__(self) -> str:
        return f"{self.words} #{self.other_id} {self.other}".rstrip()


def link(session: Session, shown: WorkOrder, kind: Kind, other_id: int) -> bool:
    """Link the work order and another one; return False if they were. Raises NotFoundError, InvalidInputError."""
    connection, ends = session.connection, (shown.id, other_id)
    with _writing(session, Action.LINK) as user:
        for end in ends:
            _visible(session, user, end)
        if shown.id == other_id:
            raise InvalidInputError("A work order cannot be linked to itself.")
        inverse = "SELECT 1 FROM links WHERE other_id = ? AND work_order_id = ? AND kind = ?"
        if connection.execute(inverse, (*ends, kind)).fetchone():
            if kind is Kind.RELATED_TO:
                return False
            raise InvalidInputError(f"Work order #{other_id} is {kind} #{shown.id} already.")
        new = "INSERT OR IGNORE INTO links (work_order_id, other_id, kind) VALUES (?, ?, ?)"
        is_new = connection.execute(new, (*ends, kind)).rowcount > 0
        if is_new:
            _record_link(connection, user, ends, kind, "link")
    return is_new


def unlink(session: Session, shown: WorkOrder, link: Link) -> None:
    """Remove a link, with history rows on both ends. Raises NotFoundError, PermissionDeniedError to users."""
    with users.writing(session, Action.LINK) as user:
        row = session.connection.execute(
            "SELECT work_order_id, other_id, kind FROM links WHERE id = ? AND ? IN (work_order_id, other_id)",
            (link.id, _visible(session, user, shown.id).id),
        ).fetchone()
        if row is None:
            raise NotFoundError(f"Work order #{shown.id} is no longer {link.words} #{link.other_id}.")
        session.connection.execute("DELETE FROM links WHERE id = ?", (link.id,))
        ends = row["work_order_id"], row["other_id"]
        _record_link(session.connection, user, ends, Kind(row["kind"]), "link removed")


def _record_link(connection: Connection, user: User, ends: Tuple[int, int], kind: Kind, field: str) -> None:
    """Write the history rows of both ends."""
    _write_changes(connection, user, ends[1], now(), [_Entry(field, None, f"{kind.inverse} #{ends[0]}")], {})
    _write_changes(connection, user, ends[0], now(), [_Entry(field, None, f"{kind} #{ends[1]}")], {})


def _links(connection: Connection, user: User, work_order_id: int) -> List[Link]:
    """Return the links of a work order; of one that the user may not see, the number alone."""
    rows = connection.execute(
        """
        SELECT links.id, kind, work_orders.id AS other_id, links.work_order_id = :id AS is_from,
            deleted_at IS NULL AND (requester_id = :user OR :sees_all) AS is_shown, status, title
        FROM links JOIN work_orders
            ON work_orders.id = CASE links.work_order_id WHEN :id THEN other_id ELSE links.work_order_id END
        WHERE links.work_order_id = :id OR other_id = :id ORDER BY links.id
        """,
        {"id": work_order_id, "user": user.id, "sees_all": users.scope(user, Action.VIEW) is Scope.ALL},
    ).fetchall()
    links = []
    for row in rows:
        words = str(Kind(row["kind"])) if row["is_from"] else Kind(row["kind"]).inverse
        end = f"{row['status']}: {row['title']}" if row["is_shown"] else ""
        links.append(Link(row["id"], words, row["other_id"], end))
    return links


# Recurring work orders


class Template(NamedTuple):
    """What is created again and again: a draft, the days until it is due, and how often, from which local day on."""

    draft: Draft
    due_days: Optional[int]
    every: int
    unit: str
    first_day: date
    id: int = 0
    saved_by: str = ""
    next_day: date = date.max

    @property
    def rhythm(self) -> str:
        """How often, as parse_rhythm takes it."""
        return quantity(self.every, self.unit)


def parse_rhythm(text: str) -> Tuple[int, str]:
    """Return the number and the unit of `3 days`, `2 weeks` or `1 month`. Raises InvalidInputError."""
    form = re.fullmatch(r"([0-9]{1,3}) ?([a-z]+)", text.lower())
    unit = next((unit for unit in ("day", "week", "month") if form and f"{unit}s".startswith(form[2])), None)
    if not (form and unit and int(form[1])):
        raise InvalidInputError("Answer with a number of days, weeks or months, such as 3 days, 2 weeks or 1 month.")
    return int(form[1]), unit


def parse_days(text: str) -> Optional[int]:
    """Return a whole number of days from 0 to 3,650, or None for `none`. Raises InvalidInputError."""
    if text.lower() == NONE:
        return None
    if not re.fullmatch("[0-9]{1,4}", text) or int(text) > 3650:
        raise InvalidInputError(f"Answer with a number of days from 0 to 3,650, or {NONE}.")
    return int(text)


def parse_first_day(text: str) -> date:
    """Return a local day that is written as a due date's day. Raises InvalidInputError."""
    first_moment = parse_due_date(text, what="A first day")
    if first_moment is None:
        raise InvalidInputError("A first day is a day such as 2026-12-31, today, fri or +3d.")
    return first_moment.astimezone().date()


def list_templates(session: Session) -> List[Template]:
    """Return the templates that are not stopped, what comes next first. Raises PermissionDeniedError to users."""
    with users.reading(session, Action.RECURRING):
        return sorted(_templates(session.connection), key=lambda template: (template.next_day, template.id))


def save_template(session: Session, template: Template) -> None:
    """Add a template, or change the one with its id, from today on. Raises InvalidInputError, NotFoundError."""
    connection, draft = session.connection, template.draft
    with users.writing(session, Action.RECURRING) as user:
        values = {
            **_columns(session, user, draft),
            "due_days": template.due_days,
            "every": template.every,
            "unit": template.unit,
            "first_day": str(template.first_day),
            "saved_by": user.id,
            "saved_on": str(date.today()),
        }
        if template.id:
            _update_template(connection, template, values)
        else:
            database.insert(connection, "templates", values)
        users.audit(connection, user.id, "recurring work order saved", f"{draft.title}, every {template.rhythm}")


def stop_template(session: Session, template: Template) -> None:
    """Create no more work orders from the template. Raises PermissionDeniedError to users, NotFoundError."""
    with users.writing(session, Action.RECURRING) as user:
        _update_template(session.connection, template, {"stopped_at": now()})
        users.audit(session.connection, user.id, "recurring work order stopped", template.draft.title)


def _update_template(connection: Connection, template: Template, values: Mapping[str, object]) -> None:
    if not _templates(connection, template.id):
        raise NotFoundError("Somebody has stopped this recurring work order in the meantime.")
    database.update(connection, "templates", template.id, values)


def create_due(connection: Connection, busy_seconds: int = 0) -> int:
    """Create one work order for each template that is due, however many days were missed; return their number.

    Raises sqlite3.OperationalError if the database stays locked for `busy_seconds`.
    """
    created = 0
    connection.execute(f"PRAGMA busy_timeout = {busy_seconds * 1000}")
    try:
        for due in [template for template in _templates(connection) if template.next_day <= date.today()]:
            with transaction(connection):
                # Another session may have been faster.
                for template in _templates(connection, due.id):
                    if template.next_day <= date.today():
                        _create_from(connection, template)
                        created += 1
    finally:
        connection.execute(f"PRAGMA busy_timeout = {database.BUSY_SECONDS * 1000}")
    return created


def _create_from(connection: Connection, template: Template) -> None:
    by = users.find(connection, template.saved_by)
    days = [template.next_day]
    while days[-1] <= date.today():
        days.append(_regular_day(template, days[-1] + timedelta(days=1)))
    missed = len(days) - 2
    note = f"{quantity(missed, 'earlier day')} passed without one." if missed else ""
    row = connection.execute(
        f"""
        SELECT title, description, priority, category, requester_id, templates.id AS template_id,
            (SELECT id FROM users WHERE id = assignee_id AND {People.ASSIGNEES.condition}) AS assignee_id
        FROM templates WHERE id = ?
        """,
        (template.id,),
    ).fetchone()
    columns = {**dict(row), "template_day": str(days[-2])}
    if template.due_days is not None:
        due_at = utc_text(datetime.combine(date.today() + timedelta(days=template.due_days), _END_OF_DAY))
        columns.update(due_at=due_at, due_by=DueBy.HAND, response_hours=None)
    last_id = _last_history_id(connection)
    _insert(connection, by, columns, _Entry("recurs", note=note))
    _notify(connection, by, last_id, tells_author=True)


def _templates(connection: Connection, template_id: Optional[int] = None) -> List[Template]:
    """Return the templates that are not stopped, or one of them, each with the day when its next work order is due."""
    rows = connection.execute(
        """
        SELECT templates.*, requesters.username AS requester, assignees.username AS assignee,
            savers.username AS saver, (
                SELECT max(template_day) FROM work_orders WHERE template_id = templates.id AND template_day <= :today
            ) AS last_day
        FROM templates
        JOIN users AS requesters ON requesters.id = requester_id
        JOIN users AS savers ON savers.id = saved_by
        LEFT JOIN users AS assignees ON assignees.id = assignee_id
        WHERE stopped_at IS NULL AND templates.id = coalesce(:id, templates.id) ORDER BY templates.id
        """,
        {"today": str(date.today()), "id": template_id},
    ).fetchall()
    templates = []
    for row in rows:
        with sound(f"Recurring work order {row['id']}"):
            draft = Draft(*(row[name] for name in Draft._fields))._replace(priority=Priority(row["priority"]))
            first_day = date.fromisoformat(row["first_day"])
            template = Template(draft, row["due_days"], row["every"], row["unit"], first_day, row["id"], row["saver"])
            last = row["last_day"] and date.fromisoformat(row["last_day"]) + timedelta(days=1)
            saved_on = min(date.fromisoformat(row["saved_on"]), date.today())  # the clock may have been ahead
            earliest = max(first_day, saved_on, last or date.min)
            templates.append(template._replace(next_day=_regular_day(template, earliest)))
    return templates


def _regular_day(template: Template, earliest: date) -> date:
    """Return the template's first regular day that is not earlier; a 31st is the last day of a shorter month."""
    days = template.every * {"day": 1, "week": 7, "month": 31}[template.unit]
    number = max(0, (earliest - template.first_day).days // days)  # at most the right one, so that few are tried
    while True:
        day = template.first_day + timedelta(days=number * days)
        if template.unit == "month":
            day = _add_months(template.first_day, number * template.every)
        if day >= earliest:
            return day
        number += 1


# Reports. But for the summary, these functions raise PermissionDeniedError to users.


class Cell(NamedTuple):
    """What stands in a row and a column: a text, the query for the work orders that it counts, and a bar's length."""

    text: str
    query: Optional[Query] = None
    value: float = 0


class Row(NamedTuple):
    """A row of a report: its name and a cell for each column."""

    name: str
    cells: Sequence[Cell]


class ReportColumn(NamedTuple):
    """A column of a report: its heading, what its numbers mean, and whether bars, all on one scale, show them, too."""

    heading: str
    meaning: str = ""
    rank: int = 0  # where room is lacking, the column with the lowest goes first, and 0 never
    is_bar: bool = False


class Report(NamedTuple):
    """A table: the heading of its rows' names, its columns and rows, a note on its numbers, and a backlog's oldest."""

    title: str
    name_column: str
    columns: Sequence[ReportColumn]
    rows: Sequence[Row]
    note: str = ""
    oldest: Sequence[WorkOrder] = ()


def _count_cell(number: int, filter: Optional[Filter] = None) -> Cell:
    return Cell(f"{number:,}", Query(filter) if filter else None, number)


def _time_cell(seconds: Sequence[int], average: Callable[[Sequence[int]], float]) -> Cell:
    return Cell(duration(average(seconds)) if seconds else "-")


def _share_cell(flags: Sequence[int]) -> Cell:
    """Return the share of those that are 1, not 0, in whole percent, rounded half up."""
    return Cell(f"{(200 * sum(flags) + len(flags)) // (2 * len(flags))}%" if flags else "-")


def summary(session: Session) -> Report:
    """Return how many work orders each status has by priority, whoever's they are, and how many are one's own."""
    existing = "FROM work_orders WHERE deleted_at IS NULL"
    by_both = f"SELECT status, priority, count(*) {existing} GROUP BY status, priority"
    by_status = f"SELECT status, count(*) {existing} AND requester_id = ? GROUP BY status"
    with users.reading(session, Action.SUMMARY) as user:
        counts = Counter({(status, priority): n for status, priority, n in session.connection.execute(by_both)})
        own = Counter(dict(map(tuple, session.connection.execute(by_status, (user.id,)))))
    rows = []
    for status in Status:
        numbers = [counts[status.value, priority.value] for priority in Priority]
        rows.append(Row(str(status), list(map(_count_cell, (*numbers, sum(numbers), own[status.value])))))
    title = f"Summary of all work orders: {sum(counts.values()):,}, {sum(own.values()):,} requested by you"
    columns = (*map(ReportColumn, map(str, Priority)), ReportColumn("Total", rank=2, is_bar=True))
    return Report(title, "Status", (*columns, ReportColumn("Yours", rank=1)), rows)


class Grouping(Enum):
    """What resolution times are grouped by: a field of Filter, and the SQL of its value for a row of work_orders."""

    PRIORITY = ("priority", "priority")
    CATEGORY = ("category", f"coalesce(category, '{NONE}')")
    ASSIGNEE = ("assignee", f"coalesce((SELECT username FROM users WHERE users.id = assignee_id), '{NOBODY}')")
    REQUESTER = ("requester", "(SELECT username FROM users WHERE users.id = requester_id)")

    def __init__(self, field: str, group: str) -> None:
        self.field, self.group = field, group

    def __str__(self) -> str:
        return self.field


_RESOLUTION_COLUMNS = (
    ReportColumn("Count", "Count: resolved in the period and still Resolved."),
    ReportColumn("Median", "Times run from creation, less time On Hold or finished before a reopening."),
    ReportColumn("Mean", rank=2),
    ReportColumn("90% in", rank=8),
    ReportColumn("On time", "On time: of those with a due date.", rank=7),
    ReportColumn("Reopened", "Reopened: of those changed to Resolved, not Cancelled now.", rank=6),
    ReportColumn("Response", "Response: median, by anyone but the requester.", rank=5),
    ReportColumn("In target", "In target: of responses with one.", rank=3),
    ReportColumn("Spent", "Spent: time noted.", rank=4),
    ReportColumn("Spent each", rank=1),
)


def resolution_times(session: Session, period: Period, grouping: Grouping) -> Report:
    """Return how long it took to resolve work orders, by group and, in the last row, all together."""
    with users.reading(session, Action.REPORTS):
        resolved = _read_resolved(session.connection, period, grouping)
        rows = session.connection.execute(
            f"""
            SELECT {grouping.group}, EXISTS (
                    SELECT 1 FROM work_order_history
                    WHERE work_order_id = work_orders.id AND id > first_id AND field = 'status' AND {_IS_REOPENING}
                )
            FROM (
                SELECT work_order_id, min(id) AS first_id FROM work_order_history
                WHERE field = 'status' AND changed_at >= :begin AND changed_at < :end AND new_value = 'Resolved'
                GROUP BY work_order_id
            ) JOIN work_orders ON work_orders.id = work_order_id
            WHERE deleted_at IS NULL AND status <> 'Cancelled'
            """,
            dict(zip(("begin", "end"), period.bounds)),
        ).fetchall()
    reopened: DefaultDict[Any, List[int]] = defaultdict(list)
    for group, was_reopened in rows:
        reopened[group].append(was_reopened)
    groups: Sequence[object] = [*reversed(Priority)]
    if grouping is not Grouping.PRIORITY:
        groups = sorted({*resolved, *reopened}, key=lambda group: (-len(resolved[group]), str(group).casefold()))
    for by_group in (resolved, reopened):
        by_group[ALL] = [each for group in groups for each in by_group[group]]
    counted = Filter(counted=ReportScope(Count.RESOLVED, *period.bounds))
    table = []
    for group in (*groups, ALL):
        narrowed: Dict[str, Any] = {} if group == ALL else {grouping.field: group}
        table.append(_resolution_row(str(group), counted._replace(**narrowed), resolved[group], reopened[group]))
    title = f"Resolution times by {grouping}, {describe_period(period)}"
    return Report(title, grouping.field.capitalize(), _RESOLUTION_COLUMNS, table)


def _read_resolved(connection: Connection, period: Period, grouping: Grouping) -> DefaultDict[Any, List[Any]]:
    """Return by group how long it took to resolve and to respond to what was resolved in the period and still is."""
    rows = connection.execute(
        f"""
        SELECT id, {grouping.group} AS name, resolved_at <= due_at AS is_on_time, spent_minutes,
            max(0, strftime('%s', resolved_at) - strftime('%s', created_at) - stopped_seconds) AS seconds,
            max(0, strftime('%s', responded_at) - strftime('%s', created_at)) AS response,
            strftime('%s', responded_at) - strftime('%s', created_at) <= 3600 * response_hours AS is_in_target
        FROM work_orders WHERE deleted_at IS NULL AND {COUNTED[Count.RESOLVED]}
        """,
        dict(zip(("begin", "end"), period.bounds)),
    )
    resolved: DefaultDict[Any, List[Any]] = defaultdict(list)
    for row in rows:
        if row["seconds"] is None:
            raise database.DamageError(
                f"Work order #{row['id']} is damaged in the database (its moments). Restore a backup."
            )
        resolved[row["name"]].append(row)
    return resolved


def _resolution_row(name: str, filter: Filter, resolved: Sequence[sqlite3.Row], reopened: Sequence[int]) -> Row:
    from statistics import fmean, median

    seconds, on_time, responses, in_target = (
        sorted(row[column] for row in resolved if row[column] is not None)
        for column in ("seconds", "is_on_time", "response", "is_in_target")
    )
    count, spent = len(seconds), sum(row["spent_minutes"] for row in resolved)
    cells = (
        _count_cell(count, filter),
        _time_cell(seconds, median),
        _time_cell(seconds, fmean),
        _time_cell(seconds, lambda ordered: ordered[-(-count * 9 // 10) - 1]),  # the nearest rank
        _share_cell(on_time),
        _share_cell(reopened),
        _time_cell(responses, median),
        _share_cell(in_target),
        *(Cell(describe_minutes(minutes) if count else "-") for minutes in (spent, spent // max(1, count))),
    )
    return Row(name, cells)


def backlog(session: Session) -> Report:
    """Return what is unfinished now, by priority and age, and the oldest ten."""
    present = datetime.fromisoformat(now())
    # A creation in the future, by a clock that was ahead, is in the youngest band.
    edges = [NEVER, *(utc_text(present - timedelta(days=days) + timedelta(seconds=1)) for days in (1, 7, 30, 90)), ""]
    bands = [ReportScope(Count.CREATED, begin, end) for end, begin in zip(edges, edges[1:])]
    rows = []
    with users.reading(session, Action.REPORTS):
        for priority in (*reversed(Priority), None):
            total = Filter(status=UNFINISHED, priority=priority)
            filters = (total, *(total._replace(counted=band) for band in bands), total._replace(assignee=NOBODY))
            rows.append(Row(str(priority or ALL), [_counted_cell(session.connection, each) for each in filters]))
        oldest = session.connection.execute(
            f"""
            {_SELECT} WHERE work_orders.deleted_at IS NULL AND work_orders.urgency < 4
            ORDER BY work_orders.created_at, work_orders.id LIMIT 10
            """
        ).fetchall()
    rows[-1] = Row(ALL, [cell._replace(value=0) for cell in rows[-1].cells])  # whose bar would dwarf the others
    columns = (
        ReportColumn("Total", "Unfinished work orders by the time since their creation.", is_bar=True),
        *(ReportColumn(name, rank=rank) for rank, name in enumerate(("<1d", "1-7d", "7-30d", "30-90d", "90d+"), 3)),
        ReportColumn("Nobody's", "Nobody's: without an assignee."),
    )
    title = f"Backlog: what is unfinished now, {local_time(present)}"
    return Report(title, "Priority", columns, rows, oldest=list(map(_work_order, oldest)))


_FLOW_COLUMNS = (
    ReportColumn("Created", rank=2, is_bar=True),
    ReportColumn("Resolved", "Resolved: changed to Resolved.", is_bar=True),
    ReportColumn("Reopened", "Reopened: from Resolved or Cancelled to an unfinished status.", rank=1),
    ReportColumn("Backlog", "Backlog: unfinished at the week's end, or now."),
)


def weekly_flow(session: Session, period: Period) -> Report:
    """Return what was created, resolved and reopened in each week, and what was unfinished at its end."""
    weeks, connection = [], session.connection
    with users.reading(session, Action.REPORTS):
        (first,) = connection.execute("SELECT min(created_at) FROM work_orders WHERE deleted_at IS NULL").fetchone()
        with sound("The first work order"):
            begin = period.begin or moment(first) or period.end
        monday = begin.astimezone().date() - timedelta(days=begin.astimezone().weekday())
        while begin < period.end:
            monday += timedelta(days=7)
            weeks.append(Period(f"{begin.astimezone():%Y-%m-%d}", begin, min(_midnight(monday), period.end)))
            begin = weeks[-1].end
        rows = _flow(connection, weeks)
    note = "A week runs from Monday to Sunday, cut to the period; each column counts a work order once a week."
    return Report(f"Weekly flow, {describe_period(period)}", "Week", _FLOW_COLUMNS, rows, note)


def _flow(connection: Connection, periods: Sequence[Period]) -> List[Row]:
    """Return what was created, resolved and reopened in each period, and what was unfinished at its end, or now."""
    # What COUNTED says of all ends, in order, follows from what is unfinished now and what has changed since the first.
    ends = [utc_text(period.end) if utc_text(period.end) <= now() else NEVER for period in periods]
    changes = connection.execute(
        f"""
        SELECT work_order_history.id, work_order_id, created_at, changed_at, {_IS_FINISHING} AS is_finishing
        FROM work_order_history JOIN work_orders ON work_orders.id = work_order_id
        WHERE field = 'status' AND changed_at >= ? AND ({_IS_FINISHING} OR {_IS_REOPENING}) AND deleted_at IS NULL
        """,
        ends[:1] or [NEVER],
    ).fetchall()
    unfinished = connection.execute("SELECT id, created_at FROM work_orders WHERE deleted_at IS NULL AND urgency < 4")
    growth = [0] * (len(ends) + 1)
    since: Dict[int, str] = {}  # by work order, the latest moment of its changes so far
    for _, work_order_id, created_at, changed_at, is_finishing in sorted(map(tuple, changes)):
        begin = since.get(work_order_id, created_at)
        if changed_at > begin:  # otherwise the clock was set back
            since[work_order_id] = changed_at
            if is_finishing:
                growth[bisect_right(ends, begin)] += 1
                growth[bisect_right(ends, changed_at)] -= 1
    for work_order_id, created_at in unfinished:
        growth[bisect_right(ends, since.get(work_order_id, created_at))] += 1
    rows = []
    for period, end, number in zip(periods, ends, accumulate(growth)):
        counts = (Count.CREATED, Count.CHANGED_TO_RESOLVED, Count.REOPENED)
        cells = [_counted_cell(connection, Filter(counted=ReportScope(each, *period.bounds))) for each in counts]
        at_end = Filter(status=UNFINISHED) if end == NEVER else Filter(counted=ReportScope(Count.UNFINISHED, "", end))
        rows.append(Row(period.name, (*cells, _count_cell(number, at_end))))
    return rows


def _counted_cell(connection: Connection, filter: Filter) -> Cell:
    condition, values = _condition(filter, None)
    (number,) = connection.execute(f"SELECT count(*) FROM work_orders WHERE {condition}", values).fetchone()
    return _count_cell(number, filter)


def workload(session: Session, period: Period) -> Report:
    """Return each assignee's unfinished and resolved work orders, the most unfinished first, nobody's last."""
    from statistics import median

    rows, connection = [], session.connection
    with users.reading(session, Action.REPORTS):
        resolved = _read_resolved(connection, period, Grouping.ASSIGNEE)
        spent = spent_minutes(connection, *period.bounds)
        assignees = connection.execute(
            f"""
            SELECT username FROM users WHERE {People.ASSIGNEES.condition}
                OR id IN (SELECT assignee_id FROM work_orders WHERE deleted_at IS NULL AND urgency < 4)
            """
        ).fetchall()
        for name in {NOBODY, *(row["username"] for row in assignees), *resolved, *spent}:
            seconds = [row["seconds"] for row in resolved[name]]
            cells = (
                _counted_cell(connection, assigned_to(name)),
                _counted_cell(connection, Filter(assignee=name, due=Due.OVERDUE)),
                _counted_cell(connection, Filter(assignee=name, status=Status.ON_HOLD)),
                _count_cell(len(seconds), Filter(assignee=name, counted=ReportScope(Count.RESOLVED, *period.bounds))),
                _time_cell(seconds, median),
                Cell(describe_minutes(spent[name])),
            )
            rows.append(Row(name, cells))
    rows.sort(key=lambda row: (row.name == NOBODY, -row.cells[0].value, row.name))
    columns = (
        ReportColumn("Unfinished", "Unfinished, Overdue and On Hold are as of now.", is_bar=True),
        ReportColumn("Overdue"),
        ReportColumn("On Hold", rank=2),
        ReportColumn("Resolved", "Resolved: in the period and still resolved, by current assignee.", rank=4),
        ReportColumn("Median", "Median: of the resolution times.", rank=3),
        ReportColumn("Spent", "Spent: noted in the period, on any work order.", rank=1),
    )
    return Report(f"Workload by assignee, {describe_period(period)}", "Assignee", columns, rows)


def spent_minutes(connection: Connection, begin: str, end: str) -> Mapping[str, int]:
    """Return the minutes of work noted from `begin` until before `end`, by username, but for deleted work orders."""
    rows = connection.execute(
        """
        SELECT username, sum(minutes) FROM work_order_history
        JOIN work_orders ON work_orders.id = work_order_id JOIN users ON users.id = user_id
        WHERE minutes <> 0 AND changed_at >= ? AND changed_at < ? AND deleted_at IS NULL GROUP BY username
        """,
        (begin, end),
    )
    return Counter(dict(map(tuple, rows)))


# Pages


ROWS_ON_PAGE, OVERDUE_ON_PAGE = 1_000, 50
_STYLE = """
:root { color-scheme: light dark; --ink: #1c1c1e; --paper: #fff; --muted: #55585e; --line: #c4c7cc; --bar: #2f6fb3;
    --late: #a3101c }
@media screen and (prefers-color-scheme: dark) { :root { --ink: #e9eaec; --paper: #17191c; --muted: #b3b7bd;
    --line: #4b5057; --bar: #6fa9e4; --late: #ff9d94 } }
@page { margin: 15mm } @media print { :root { color-scheme: light } body { font-size: 0.8rem } }
body { max-width: 75rem; margin: 0 auto; padding: 1rem; background: var(--paper); color: var(--ink);
    font-family: system-ui, sans-serif; line-height: 1.45; overflow-wrap: break-word }
h1 { font-size: 1.5em; line-height: 1.25 } h2 { font-size: 1.25em } h3, h4 { font-size: 1.05em }
h2, h3, h4 { margin: 1.75em 0 0.5em; break-after: avoid }
table { min-width: 50%; border-collapse: collapse; font-size: 0.9em }
thead { display: table-header-group; color: var(--muted) } tr, dl div, .line { break-inside: avoid }
th, td { padding: 0.3em 0.6em 0.3em 0; border-bottom: 1px solid var(--line); text-align: left; vertical-align: top }
.numbers tbody th, .list td:nth-child(n + 4):nth-child(-n + 7) { min-width: 4.5em; overflow-wrap: anywhere }
.list td:nth-child(4) { width: 40%; min-width: 8em } svg { display: block; width: 6em; height: 0.5em; fill: var(--bar) }
.numbers td { white-space: pre-line; font-variant-numeric: tabular-nums }
dl { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 16em), 1fr)); gap: 0.5em 1.5em }
dd { margin: 0 } strong { color: var(--late) } small { display: block } .text { white-space: pre-wrap }
small, dt, .note { color: var(--muted); font-size: 0.875em } td, dd, .text { unicode-bidi: plaintext }
.line { padding-top: 2em; border-bottom: 1px solid var(--ink) }
@media screen and (max-width: 48rem) {
    table, tbody, tr, th, .list td:nth-child(n), .numbers td { display: block; padding: 0; border: 0 }
    .list td:nth-child(4) { width: auto } thead, .list td:empty { display: none }
    tr { margin: 0.75em 0 } .numbers tr { display: flex; flex-wrap: wrap; gap: 0 1.25em }
    td::before { content: attr(data-heading) ": "; color: var(--muted) } .numbers tbody th { flex-basis: 100% } }
"""


def save_report(session: Session, report: Report) -> Path:
    """Save a report as a page in exports/ and return its path. Raises PermissionDeniedError to users, OutputError."""
    return _save_page(session, "report", report.title, _report_html(report, 2))


def save_list(session: Session, query: Query) -> Path:
    """Save the first 1,000 work orders that the query finds, as save_report does; the page says if there are more."""
    page = find(session, query, None, ROWS_ON_PAGE)
    first = f'<p class="note">These are the first {ROWS_ON_PAGE:,}.</p>\n' if page.total > ROWS_ON_PAGE else ""
    title, body = describe_list(query, page.total, page.overdue), _work_orders_html(page.work_orders, page.below)
    return _save_page(session, "list", title, first + body)


def save_work_order(session: Session, work_order_id: int) -> Path:
    """Save all about a work order, as save_report does, with a place for signatures. Raises NotFoundError, too."""
    with users.reading(session, Action.EXPORT):
        details, entries = get(session, work_order_id), history(session, work_order_id)
    row = details.work_order
    fields: Sequence[Field[Any]] = (PRIORITY, CATEGORY, STATUS, HELD_UNTIL, DUE_DATE)
    texts = {
        **{field.label: field.show(field.read(row)) for field in fields if field.read(row) is not None},
        ASSIGNEE.label: describe_person(row.assignee or NOBODY, row.assignee_name),
        REQUESTER.label: describe_person(row.requester, row.requester_name),
        "Overdue": describe_due(row).partition(" ")[2] if row.is_overdue else "",
        "Created": local_time(row.created_at),
        "Changed": local_time(row.updated_at),
        "Resolved": local_time(row.resolved_at) if row.resolved_at else "",
        "Time spent": describe_minutes(row.spent_minutes) if row.spent_minutes else "",
        "From": f"{row.source or ''} {row.source_id or ''}".strip(),
    }
    facts = (f"<div><dt>{name}</dt><dd>{_escaped(text)}</dd></div>\n" for name, text in texts.items() if text)
    lines = ("Work done", "Date and time", "Signature of the technician", "Signature of the requester")
    sections = (
        ("Description", _paragraphs(filter(None, [row.description]))),
        ("Links", _paragraphs(map(str, details.links))),
        ("Done", "".join(f'<p class="line">{line}</p>\n' for line in lines)),
        ("History, newest first", _paragraphs(map(describe_entry, entries))),
    )
    body = f"<dl>\n{''.join(facts)}</dl>\n{''.join(_section(name, text, 2) for name, text in sections if text)}"
    return _save_page(session, f"work-order-{row.id}", f"Work order #{row.id}: {row.title}", body)


def parse_month(text: str) -> Period:
    """Return the month that `last month` or one such as 2026-10 means, named in this form. Raises InvalidInputError."""
    with suppress(InvalidInputError):
        period = parse_period(text)
        if period.begin and re.fullmatch("last month|[0-9]{4}-[0-9]{2}", period.name):
            return period._replace(name=f"{period.begin.astimezone():%Y-%m}")
    raise InvalidInputError("A month is last month, or one such as 2026-10 that has begun, in 2000 or later.")


def monthly_report(session: Session, month: Period) -> Path:
    """Save a page about a month of parse_month beside the month before, and about what stands now, as save_report."""
    begin = _add_months(date.fromisoformat(f"{month.name}-01"), -1)
    before = Period(f"{begin:%Y-%m}", _midnight(begin), _midnight(_add_months(begin, 1)))
    with users.reading(session, Action.REPORTS):
        times, times_before = [resolution_times(session, period, Grouping.PRIORITY) for period in (month, before)]
        both = [
            Row(row.name, [Cell(f"{cell.text}\n({old.text})") for cell, old in zip(row.cells, old_row.cells)])
            for row, old_row in zip(times.rows, times_before.rows)
        ]
        of_month = (
            _month_numbers(session.connection, month, before),
            times._replace(rows=both, note=f"In parentheses: {describe_period(before)}."),
            weekly_flow(session, Period(f"{before.name} to {month.name}", before.begin, month.end)),
        )
        of_now = (backlog(session), workload(session, month))
        overdue = find(session, Query(OVERDUE, Sort.DUE), None, OVERDUE_ON_PAGE)
    limit = f", the first {OVERDUE_ON_PAGE}" if overdue.total > OVERDUE_ON_PAGE else ""
    sections = (
        *(_section(report.title, _report_html(report, 3), 2) for report in of_month),
        _section(f"As of {_local(now())}", "", 2),
        *(_section(report.title, _report_html(report, 4), 3) for report in of_now),
        _section(f"Overdue: {quantity_found(overdue.total)}{limit}", _work_orders_html(overdue.work_orders), 3),
    )
    return _save_page(session, month.name, f"Monthly report, {month.name}", "".join(sections))


def _month_numbers(connection: Connection, month: Period, before: Period) -> Report:
    names = ("Created", "Resolved", "Reopened", "Unfinished at the end, or now", "Time spent")
    of_before, of_month = _flow(connection, (before, month))
    minutes = [sum(spent_minutes(connection, *period.bounds).values()) for period in (month, before)]
    spent = [Cell(describe_minutes(each)) for each in minutes]
    rows = list(map(Row, names, (*zip(of_month.cells, of_before.cells), spent)))
    columns = [ReportColumn(period.name, is_bar=True) for period in (month, before)]
    note = " ".join(("Each row counts a work order once a month.", *(column.meaning for column in _FLOW_COLUMNS[1:3])))
    return Report(f"{month.name} beside {before.name}", "Work orders", columns, rows, note)


def _escaped(text: str) -> str:
    """Return the text for HTML as the program shows it, with its line breaks."""
    from html import escape

    return "\n".join(escape(database.printable(line)) for line in text.split("\n"))


def _section(heading: str, content: str, level: int) -> str:
    return f"<h{level}>{_escaped(heading)}</h{level}>\n{content}\n"


def _paragraphs(texts: Iterable[str]) -> str:
    return "".join(f'<p class="text">{_escaped(text)}</p>\n' for text in texts)


def _table(kind: str, headings: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table of cells that are HTML, the first of each row its heading."""
    lines = []
    for name, *cells in rows:
        others = "".join(f'<td data-heading="{_escaped(each)}">{cell}</td>' for each, cell in zip(headings[1:], cells))
        lines.append(f'<tr><th scope="row">{name}</th>{others}</tr>\n')
    head = "".join(f'<th scope="col">{_escaped(heading)}</th>' for heading in headings)
    table = f'<table class="{kind}">\n<thead><tr>{head}</tr></thead>\n<tbody>\n{"".join(lines)}</tbody>\n</table>'
    return table if lines else "<p>Nothing to show.</p>"


def _report_html(report: Report, level: int) -> str:
    """Return a report's table, what its numbers mean, and its oldest work orders under a heading of the level."""
    bars = [column.is_bar for column in report.columns]
    longest = max((cell.value for row in report.rows for cell in itertools.compress(row.cells, bars)), default=0)
    rows = [
        [_escaped(row.name), *(_escaped(cell.text) + _bar(cell, longest * bar) for cell, bar in zip(row.cells, bars))]
        for row in report.rows
    ]
    table = _table("numbers", [report.name_column, *(column.heading for column in report.columns)], rows)
    meanings = " ".join(filter(None, (*(column.meaning for column in report.columns), report.note)))
    oldest = _section("The oldest", _work_orders_html(report.oldest), level) if report.oldest else ""
    return f'{table}\n<p class="note">{_escaped(meanings)}</p>\n{oldest}'


def _bar(cell: Cell, longest: float) -> str:
    if not (cell.value and longest):
        return ""
    bar = f'<rect width="{max(1, round(100 * cell.value / longest, 1))}" height="8"/>'
    label = f"{cell.text} of {longest:,}"
    return f'<svg viewBox="0 0 100 8" preserveAspectRatio="none" role="img" aria-label="{label}">{bar}</svg>'


def _work_orders_html(rows: Iterable[WorkOrder], below: Mapping[int, Sequence[str]] = {}) -> str:
    """Return a table of work orders, with what stands below each under its title."""
    headings = ("ID", "Priority", "Status", "Title", "Category", "Requester", "Assignee", "Age", "Due")
    lines = []
    for row in rows:
        people = (row.requester, row.requester_name), (row.assignee or NOBODY, row.assignee_name)
        texts = (str(row.id), str(row.priority), describe_status(row), row.title, row.category or "")
        last = (*(describe_person(*person) for person in people), age(row.created_at), describe_due(row))
        *cells, due = map(_escaped, (*texts, *last))
        cells[3] += "".join(f"<small>{_escaped(text)}</small>" for text in below.get(row.id, ()))
        lines.append([*cells, f"<strong>{due}</strong>" if row.is_overdue else due])
    return _table("list", headings, lines)


def _save_page(session: Session, name: str, title: str, body: str) -> Path:
    """Save the HTML as a page that loads and runs nothing, audit it, and return its path. Raises OutputError."""
    with _kept_together("The page", "None was saved.") as paths, users.writing(session, Action.EXPORT) as user:
        by = f" by {user.username}" if user.username else ""
        page = f"""<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>{_escaped(title)}</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<style>{_STYLE}</style></head>
<body><main>
<h1>{_escaped(title)}</h1>
<p class="note">Saved {datetime.now().astimezone():%Y-%m-%d %H:%M %z}{by}.</p>
{body}</main></body></html>
"""
        target = database.new_path(session.connection, "export", f"-{name}.html")
        with database.partial_files(target) as (unfinished,):
            unfinished.write_text(page, encoding="utf-8")
            paths.append(database.publish_numbered(unfinished, target))
        users.audit(session.connection, user.id, "page saved", f"{paths[0].name}: {title}")
    return paths[0]


@contextmanager
def _kept_together(subject: str, outcome: str = "") -> Iterator[List[Path]]:
    """Yield a list for published paths; if the block raises, remove the files. Raises OutputError for OSError."""
    paths: List[Path] = []
    try:
        yield paths
    except BaseException as error:
        for path in paths:
            path.unlink()
        if isinstance(error, OSError):
            raise database.OutputError(f"{subject} cannot be written: {error.strerror}. {outcome}".strip()) from error
        raise


# Words and names of other systems


# What a column of each name becomes, the likeliest name first; of several columns the one whose name comes first, but
# all of MANY_COLUMNS. Capitals, accents, spaces and punctuation don't matter.
COLUMN_NAMES: Mapping[str, str] = {
    "id": """number, issue key, key, id, ticket id, ticket number, ticket no, ticket, incident number, incident id,
        incident, request id, request number, case id, case number, case, case enquiry id, service request number, sr
        number, service request (sr) number, service request id, unique key, unique id, wo #, wo number, wo no, wo id,
        wonum, work order, work order number, work order id, work order no, work order #, order number, bug id, issue
        id, task id, issue number, task number, ticket#, reference, reference number, ref, #, no, nr, nummer,
        ticketnummer, auftragsnummer, vorgangsnummer, auftrag, kennung, numéro, numéro de ticket, numéro du ticket,
        identifiant, id unique, n°, référence, folio, código, número, número de solicitud, número de caso, protocolo,
        chamado, número do chamado, sys id""",
    "title": """title, short description, summary, case title, issue title, ticket title, subject, brief description,
        headline, request title, work order title, task name, problem summary, request details, descriptor, betreff,
        titel, kurzbeschreibung, zusammenfassung, bezeichnung, titre, objet, sujet, résumé, intitulé, nature, título,
        asunto, assunto, resumo, resumen, request type, service request type, sr type, sr description, service request
        name, service name, service type, complaint type, type of request, case type, problem, issue, task, work
        requested, name""",
    "description": """description, details, long description, detailed description, full description, body, content,
        problem description, request description, description of work, work description, beschreibung, inhalt,
        détails, contenu, descripción, detalle, detalles, descrição, detalhes, conteúdo, steps to reproduce,
        additional information, close notes, resolution notes, resolution description, workaround, closure reason,
        closure notes, lösung, lösungsbeschreibung, solution, solution - solution, solución, solução""",
    "priority": """priority, priorität, priorité, prioridad, prioridade, urgency, dringlichkeit, urgence, urgencia,
        urgência, severity, schweregrad, gravité, importance""",
    "category": """category, kategorie, catégorie, categoría, categoria, component, components, component/s, service
        category, queue, help topic, department, complaint type, problem type, tracker, issue type, work type, ticket
        type, type, trade, classification, abteilung, komponente, rubrique, type de demande, departamento, tipo,
        division, project""",
    "status": """status, state, incident state, current status, ticket status, case status, sr status, request status,
        wo status, work order status, issue status, bearbeitungsstatus, zustand, statut, état, dernier statut, estado,
        estado actual, situação, situación""",
    "requester": """requester, caller, caller id, requested by, requested for, reporter, requestor, requestors,
        reported by, opened by, customer, customer user, customer name, requester name, requestor name, caller name,
        author, submitter, submitted by, full name, contact, contact name, created by, creator, from, user, client,
        requester - requester, anforderer, anforderer - anforderer, melder, gemeldet von, antragsteller, ersteller,
        erstellt von, autor, kunde, demandeur, demandeur - demandeur, auteur, rapporteur, créé par, solicitante,
        solicitante - solicitante, informador, cliente, reportado por, creado por, requerente, requerente -
        requerente, relator, criado por""",
    "requester_email": """requester email, requester e-mail, caller email, caller id email, reporter email, requestor
        email, contact email, from email, customer email, user email, opened by email, email, e-mail, email address,
        e-mail-adresse, courriel, adresse e-mail, correo, correo electrónico""",
    "assignee": """assignee, assigned to, assignment, assigned, assigned technician, agent, agent assigned, agent
        name, technician, assigned to - technician, assigned user, assigned agent, owner, handler, responsible,
        engineer, zugewiesen an, zugewiesen an - techniker, zugewiesen, bearbeiter, zuständig, techniker,
        verantwortlich, attribué à, attribué à - technicien, assigné à, technicien, responsable, asignado a, asignado
        a - técnico, asignado, técnico, atribuído a, atribuído a - técnico, atribuído para, responsável""",
    "assignee_email": "assignee email, assigned to email, agent email, technician email, owner email",
    "created_at": """created at, created, opened at, opened, date created, created date, created on, creation date,
        create date, created time, opening date, open date, date opened, date submitted, submitted, submitted at,
        submitted on, date reported, reported at, reported date, reported on, reported, date requested, requested
        date, request date, requested at, requested on, requested datetime, date received, received, open dt, sys
        created on, sys created at, creation time, creation timestamp, erstellt, erstellt am, erstelldatum,
        erstellungsdatum, eröffnet, eröffnet am, eröffnungsdatum, angelegt am, angelegt, gemeldet am, meldedatum,
        eingang, eingangsdatum, date d'ouverture, ouvert le, date de création, créé, créé le, date de la demande, dds
        date creation, fecha de creación, fecha de apertura, creado, creado el, fecha, data de criação, data de
        abertura, criado, criado em, aberto em, start date, date, datum""",
    "updated_at": """updated at, updated, updated on, last updated, last update, last modified, last modified date,
        modified, modified at, modified date, date modified, last updated at, last update time, last update date, last
        changed, changed, updated date, date updated, sys updated on, sys updated at, status change date, resolution
        action updated date, geändert, geändert am, letzte änderung, aktualisiert, aktualisiert am, zuletzt
        aktualisiert, dernière modification, mis à jour, mis à jour le, modifié, modifié le, date de modification,
        date dernier statut, última modificación, actualizado, última actualización, fecha de actualización,
        modificado, última atualização, atualizado, atualizado em""",
    "resolved_at": """resolved at, resolved, date resolved, resolved date, resolution date, resolved time, resolved
        on, solved at, solved, closed at, closed, closed on, date closed, closed date, close date, closing date,
        closed time, closed dt, completed, completed at, completed on, date completed, completion date, completed
        date, actual finish, finished, finished at, done at, sys closed at, gelöst, gelöst am, lösungsdatum, erledigt,
        erledigt am, geschlossen, geschlossen am, abgeschlossen, abgeschlossen am, abschlussdatum, date de résolution,
        résolu, résolu le, fermé, fermé le, date de clôture, clôturé le, date de fermeture, fecha de resolución, fecha
        de solución, fecha de cierre, resuelto, cerrado, cerrado el, data de resolução, data de solução, data de
        fechamento, data de conclusão, resolvido, fechado, fechado em, concluído em""",
    "due_at": """due at, due date, due, due by, due by time, due on, date due, deadline, target date, target dt,
        target resolution, time to resolve, sla due date, sla due, needed by, required by, due date/time, fällig,
        fällig am, fälligkeit, fälligkeitsdatum, termin, frist, échéance, date d'échéance, date limite, fecha de
        vencimiento, fecha límite, vencimiento, vencimento, data de vencimento, prazo, data limite""",
    "comment": """comment, comments, work notes, additional comments, comments and work notes, notes, note, last
        notes, internal notes, technician notes, followups, follow-up, followups - description, remarks, remark,
        journal, bemerkung, bemerkungen, kommentar, kommentare, notizen, commentaire, commentaires, suivis, suivis -
        description, remarques, comentario, comentarios, observaciones, notas, comentário, comentários, observações,
        anotações""",
}
MANY_COLUMNS = ("description", "comment")
EMPTY_CELLS = ("", "?", "-", "--", "n/a", "null", "-- none --", "(null)", "#n/a")
NOBODY_WORDS = ("none", "nobody", "unassigned", "(none)", "(unassigned)", "niemand", "nicht zugewiesen", "personne")
# By the first three letters, or four where three are not enough, without accents.
MONTHS = (
    "jan ene gen", "feb fev", "mar mrz", "apr avr abr", "may mai", "jun juin", "jul juil", "aug aou ago", "sep set",
    "oct okt out", "nov", "dec dez dic",
)  # fmt: skip
WORDS_IN_DATES = frozenset("mon tue wed thu fri sat sun at um uhr de of th st nd rd".split())
OTHER_KINDS = {
    b"PK\x03\x04": "a workbook or an archive",
    b"\xd0\xcf\x11\xe0": "an old workbook",
    b"%PDF": "a PDF document",
    b"<": "a page (HTML or XML)",
}  # by how their files begin
# What the dry run says of the rows for which a condition holds, if there are any.
_REMARKS = {
    "here IN (SELECT id FROM main.work_orders WHERE deleted_at IS NOT NULL)": "here, but deleted: they stay deleted",
    ":is_own AND here IS NULL AND CAST(source_id AS INTEGER) IN (SELECT id FROM main.work_orders)": (
        "the ID is that of another work order here; these are new ones"
    ),
    "given NOT LIKE '%created_at%'": "no creation; the earliest other time counts, or else now",
    "requester IS NULL": "no requester; they will be your own",
    "status IN ('Resolved', 'Cancelled') AND resolved_at IS NULL": (
        "finished without a time of resolution: reports leave them out"
    ),
    "source_id = ''": "no ID: what differs from an earlier file is new",
}
# Of our own files.
COLUMNS = """id title description priority category status requester assignee created_at updated_at resolved_at due_at
    spent_minutes""".split()
HISTORY_COLUMNS = "work_order_id changed_at username field old_value new_value note".split()


# Export


ROWS_AT_ONCE = 1_000  # rows that are read or written at once
Progress = Callable[[int], None]  # gets the number of rows that are done

# What a spreadsheet would run as a formula (https://owasp.org/www-community/attacks/CSV_Injection), or what looks like
# such a text after guarding; and the guard.
_FORMULA = re.compile("'*[=+@\t\r-]")
_GUARD = re.compile("^'(?='*[=+@\t\r-])")
_STORED_MOMENT = re.compile(r"^(\d{4}-\d\d-\d\d)T(\d\d:\d\d:\d\d)\+00:00\Z")


def export(session: Session, query: Query, with_history: bool, progress: Progress) -> Tuple[List[Path], int]:
    """Write what the query finds, in its order, to a new CSV file in exports/; return the files and how many it found.

    With history, a second file has all changes. Everything is read from one moment, in a copy of the database, so
    that others can save meanwhile. `progress` gets the number of work orders written; if it raises, no file is kept.
    Raises PermissionDeniedError, OutputError.
    """
    users.authorize(session, Action.EXPORT)
    target = database.new_path(session.connection, "export", ".csv")
    with (
        _kept_together(f"{target}", "No export was made.") as paths,
        database.copied(session.connection) as copy,
        database.partial_files(*[target] * (1 + with_history)) as partials,
    ):
        count = _write_csv(Session(copy, session.user_id, session.password_version), query, partials, progress)
        with users.writing(session, Action.EXPORT) as user:
            for partial in partials:
                paths.append(database.publish_numbered(partial, target))
                target = paths[0].with_name(f"{paths[0].stem}-history.csv")
            users.audit(session.connection, user.id, "exported", f"{paths[0].name}: {quantity(count)}")
    return paths, count


def _write_csv(session: Session, query: Query, paths: Sequence[Path], progress: Progress) -> int:
    """Write the work orders to the first file, their history to the second if there is one, and return how many."""
    import csv

    count, last = 0, None
    select = f"{_SELECT_HISTORY} WHERE work_order_id = ? ORDER BY history.id"
    with ExitStack() as files:
        opened = (files.enter_context(path.open("w", encoding="utf-8-sig", newline="")) for path in paths)
        writers = [csv.writer(file) for file in opened]
        for writer, header in zip(writers, (COLUMNS, HISTORY_COLUMNS)):
            writer.writerow(header)
        while True:
            rows = find(session, query, last, ROWS_AT_ONCE).work_orders
            writers[0].writerows([_cell(getattr(row, column)) for column in COLUMNS] for row in rows)
            for row, writer in itertools.product(rows, writers[1:]):
                history = session.connection.execute(select, (row.id,))
                writer.writerows([_cell(entry[column]) for column in HISTORY_COLUMNS] for entry in history)
            count += len(rows)
            progress(count)
            if len(rows) < ROWS_AT_ONCE:
                return count
            last = rows[-1]


def _cell(value: object) -> str:
    """Return what a cell says: a moment is UTC, in a form that spreadsheets take for one; no text is a formula."""
    text = utc_text(value) if isinstance(value, datetime) else "" if value is None else str(value)
    text = _STORED_MOMENT.sub(r"\1 \2", text)
    return f"'{text}" if _FORMULA.match(text) else text


# Import: the file


LARGEST_FILE = 1 << 30  # bytes
LONGEST_ROW = 1_000_000  # characters
MOST_COLUMNS = 2_000
EXAMINED_ROWS = 100  # from which the delimiter and the columns are guessed
COUNTED_WORDS, ASKED_WORDS = 1_000, 30  # for a status or a priority; of further ones the guess is taken
_DELIMITER_LINE = re.compile(r'"?sep=(.)"?\s*')


class UnreadableFileError(ApplicationError):
    """A file cannot be imported at all."""


class ImportAnswers(NamedTuple):
    """What was answered about a file; remembered for files with the same header."""

    columns: Sequence[str] = ()  # what each becomes: a name in COLUMN_NAMES, or nothing if it is left out
    source: str = ""  # the system that the file comes from
    empty_word: str = ""  # besides EMPTY_CELLS
    words: Mapping[str, str] = {}  # what the keys of Import.words mean
    day_first: Optional[bool] = None
    zone: str = "local"  # of times without one
    people: Mapping[str, str] = {}  # usernames by the keys of Import.people


class Import:
    """An open file, what it tells about itself, what was answered about it, and what becomes of its rows."""

    def __init__(self, session: Session, name: str, content: BinaryIO) -> None:
        self.session, self.name, self.content = session, name, content
        self.encoding, self.sample, self.content_hash = _examine(name, content)  # no sample where nothing is guessed
        self.words: Counter[str] = Counter()  # rows by the column and text of a word: `status in review`
        self.numeric_days: Dict[Optional[bool], str] = {}  # a date by whether its day comes first, if that is seen
        self.people: Dict[str, ImportedPerson] = {}  # by key: the email or else the name, in lower case
        self.categories: Dict[str, str] = {}  # as they are spelt, by their casefolded names
        self.wrong = self.new = self.here = self.here_without_id = 0  # rows
        self.created = self.updated = 0  # work orders
        self.begin()

    def begin(self, has_header: Optional[bool] = None) -> None:
        """Guess the delimiter, header and columns, or remember what was answered. Raises UnreadableFileError."""
        self.delimiter, rows, known = _guess_delimiter(self)
        if not rows or len(rows[0]) > MOST_COLUMNS:
            what = f"more than {MOST_COLUMNS:,} columns" if rows else "no rows"
            raise UnreadableFileError(f"{self.name} has {what}.")
        self.first_row = header = rows[0]
        self.is_certain = known > 1  # that the first row is the header
        if has_header is None:
            has_header = known > 0 or (all(header) and not re.search(r"\d", "".join(header)))
        self.has_header = has_header
        self.header = header if has_header else [f"Column {number}" for number in range(1, len(header) + 1)]
        table = itertools.zip_longest(header, *rows[has_header:], fillvalue="")
        values = [[cell for cell in cells if cell] for _, *cells in islice(table, len(header))]
        self.examples = [column[0] if column else "" for column in values]
        names = [name.lower() for name in self.header]
        self.is_own = {"id", "requester", "created_at"} <= {*names} <= {*COLUMNS, ""}  # our export
        sql = "SELECT answers FROM import_answers WHERE header_hash = ?"
        row = self.session.connection.execute(sql, (_hash(self.header),)).fetchone()
        self.is_remembered = bool(row)
        if row:
            with sound("What was answered at an earlier import"):
                self.answers = ImportAnswers(**json.loads(row["answers"]))
        elif self.is_own:
            self.answers = ImportAnswers([name if name in COLUMN_NAMES else "" for name in names], zone="UTC")
        else:
            columns = _guess_columns(self.header, values)
            dates = (cell for name, column in zip(columns, values) if name.endswith("_at") for cell in column)
            day_first = next((order for order in map(_day_first, dates) if order is not None), None)
            self.answers = ImportAnswers(columns, day_first=day_first)

    def answer(self, **answers: Any) -> None:
        """Take these answers."""
        self.answers = self.answers._replace(**answers)


def list_imports(session: Session) -> List[str]:
    """Return the names of the files in imports/, newest first. Raises PermissionDeniedError, UnreadableFileError."""
    users.authorize(session, Action.IMPORT)
    folder = session.connection.path.with_name("imports")
    try:
        paths = [] if folder.is_symlink() else sorted(folder.iterdir(), key=lambda path: -path.lstat().st_mtime)
    except OSError as error:
        raise UnreadableFileError(f"{folder} cannot be read: {error.strerror}. Put the CSV file there.") from error
    names = [path.name for path in paths if path.is_file() and not path.is_symlink()]
    if not names:
        raise UnreadableFileError(f"There is no file in {folder} (links are not followed); put the CSV file there.")
    return names


@contextmanager
def open_import(session: Session, name: str) -> Iterator[Import]:
    """Open the file of that name in imports/, and yield it. Raises PermissionDeniedError, UnreadableFileError."""
    import stat

    users.authorize(session, Action.IMPORT)
    # Through no link, and without waiting for anybody to write into a pipe.
    flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    with ExitStack() as stack:
        try:
            descriptor = os.open(session.connection.path.with_name("imports") / name, flags)
            content = stack.enter_context(os.fdopen(descriptor, "rb"))
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode) or status.st_size > LARGEST_FILE:
                raise UnreadableFileError(f"{name} is no regular file, or has more than {LARGEST_FILE:,} bytes.")
            imported = Import(session, name, content)
        except OSError as error:
            raise UnreadableFileError(f"{name} cannot be read: {error.strerror}.") from error
        for table, columns in _STAGING.items():
            stack.callback(session.connection.execute, f"DROP TABLE temp.{table}")
            session.connection.execute(f"DROP TABLE IF EXISTS temp.{table}")
            session.connection.execute(f"CREATE TABLE temp.{table} ({columns})")
        yield imported


def _examine(name: str, content: BinaryIO) -> Tuple[str, str, str]:
    """Return the encoding, a line that is not ASCII if the encoding is a guess, and a hash of the content."""
    import codecs

    start = content.read(8)
    for beginning, kind in OTHER_KINDS.items():
        if start.startswith(beginning):
            raise UnreadableFileError(f"{name} is {kind}; save it as CSV.")
    has_mark = start.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    for encoding in ("utf-16",) if has_mark else ("utf-8-sig", "windows-1252"):
        decoder, digest, sample = codecs.getincrementaldecoder(encoding)(), hashlib.sha256(), ""
        content.seek(0)
        with suppress(UnicodeError):
            for block in iter(lambda: content.read(1 << 20), b""):
                text = decoder.decode(block)
                digest.update(block)
                if "\0" in text:
                    raise UnreadableFileError(f"{name} has NUL characters, which no text has; save it as CSV UTF-8.")
                if encoding == "windows-1252" and not sample:
                    sample = next((line[:60] for line in text.splitlines() if not line.isascii()), "")
            decoder.decode(b"", final=True)
            return encoding, sample, digest.hexdigest()
    raise UnreadableFileError(f"{name} is neither in UTF-8 nor in Windows-1252; save it as CSV UTF-8.")


def _read_rows(imported: Import, delimiter: str) -> Iterator[Tuple[int, int, List[str], str]]:
    """Yield the number, line, cells and fault of each row (RFC 4180) that is not blank. Raises UnreadableFileError."""
    import csv
    import io

    csv.field_size_limit(LONGEST_ROW)
    imported.content.seek(0)
    text = io.TextIOWrapper(imported.content, imported.encoding, "replace", newline="")
    length = 0

    def lines() -> Iterator[str]:
        nonlocal length
        for some in iter(lambda: text.readline(LONGEST_ROW), ""):
            length += len(some)
            if length >= LONGEST_ROW:
                raise csv.Error("too long")
            yield some

    reader = csv.reader(lines(), delimiter=delimiter, strict=True)
    try:
        for number in itertools.count(1):
            line, length = reader.line_num + 1, 0
            try:
                cells = [cell.strip() for cell in next(reader)]
                names_delimiter = number == 1 and _DELIMITER_LINE.fullmatch(delimiter.join(cells))
                if any(cells) and not names_delimiter:
                    yield number, line, cells, ""
            except StopIteration:
                return
            except csv.Error as error:
                if "expected after" not in str(error):
                    what = f"has more than {LONGEST_ROW:,} characters, or a quote in it never closes"
                    raise UnreadableFileError(f"The row on line {line:,} {what}.") from error
                yield number, line, [], "something follows the quote that closes a cell"
    finally:
        text.detach()


# Import: columns, words, times and people


def _guess_delimiter(imported: Import) -> Tuple[str, List[List[str]], int]:
    """Return the delimiter that the file names or that fits best, the first rows, and how many names are usual."""
    imported.content.seek(0)
    named = _DELIMITER_LINE.match(imported.content.read(40).decode(imported.encoding, "ignore"))
    usual = {name for table in COLUMN_NAMES.values() for name in _names(table)}
    best: Tuple[Tuple[int, float], str, List[List[str]]] = (0, 0.0), "", []
    fault = None
    for delimiter in named[1] if named else ",;\t|":
        try:
            read = islice(_read_rows(imported, delimiter), EXAMINED_ROWS)
            rows = [cells for _, _, cells, wrong in read if not wrong]
        except UnreadableFileError as error:
            fault = error
            continue
        if rows:
            ((width, count),) = Counter(map(len, rows)).most_common(1)
            known = sum(_matching(name) in usual for name in rows[0])
            score = known, count / len(rows) * width if width > 1 else 0
            best = max(best, (score, delimiter, rows), key=lambda each: each[0])
    score, delimiter, rows = best
    if fault and max(score) <= 1:  # with another delimiter there is one column, and so no fault
        raise fault
    return delimiter, rows, score[0]


def _hash(cells: Sequence[str]) -> str:
    return hashlib.sha256("\0".join(cells).encode()).hexdigest()[:32]


def _guess_columns(header: Sequence[str], values: Sequence[Sequence[str]]) -> List[str]:
    forms = [{_matching(name), _matching(re.sub(r"\(.*?\)", "", name))} for name in header]
    columns = [""] * len(header)
    for target, table in COLUMN_NAMES.items():
        places = [
            place
            for name in _names(table)
            for place, form in enumerate(forms)
            if name in form and not columns[place] and _can_become(target, values[place])
        ]
        for place in places if target in MANY_COLUMNS else places[:1]:
            columns[place] = target
    if not {"title", "description"} & {*columns}:
        free = [place for place, target in enumerate(columns) if not target] or [0]  # the longest texts tell most
        columns[max(free, key=lambda place: len(re.findall(r"[^\W\d_]", "".join(values[place]))))] = "title"
    return columns


def _can_become(target: str, values: Sequence[str]) -> bool:
    """Return whether the first values of a column are of the target's kind: half of them times, or few words."""
    if target.endswith("_at"):
        return sum(any(_parse_moment(value, order) for order in (True, False)) for value in values) * 2 >= len(values)
    return target not in ("status", "priority") or len({*values}) <= 20


def parse_source(text: str) -> str:
    """Return the name of a system, in lower case. Raises InvalidInputError."""
    name = " ".join(users.plain_text(text).lower().split())
    if not (1 <= len(name) <= MAXIMUM_CATEGORY and name.isprintable()):
        raise InvalidInputError(f"The name of a system has 1 to {MAXIMUM_CATEGORY} printable characters.")
    return name


def set_column(imported: Import, place: int, target: str) -> None:
    """Let a column become the target, and no other one, except for MANY_COLUMNS. Raises InvalidInputError."""
    is_one = target not in MANY_COLUMNS
    columns = ["" if is_one and each == target else each for each in imported.answers.columns]
    columns[place] = target
    if not {"title", "description"} & {*columns}:
        raise InvalidInputError("One column has to become the title or the description.")
    imported.answer(columns=columns)


@lru_cache(COUNTED_WORDS)
def _usual_meaning(column: str, text: str) -> Optional[object]:
    """Return what a word means, maybe after a number (`3 - Moderate`); a bare number means nothing."""
    name = _matching(re.sub(r"^\(?p?\d+\)?\s*[-–.:)]*\s*(?=[^\W\d_])", "", text, flags=re.IGNORECASE))
    words: Sequence[object] = tuple(Status if column == "status" else Priority)
    own = [word for word in words if _matching(str(word)) == name]
    return next(iter(own + [word for word in words if name in _names(USUAL_WORDS[word])]), None)


def word_meaning(imported: Import, word: str) -> Optional[object]:
    """Return the status or priority that a word means as far as it was answered or is usual."""
    column, _, text = word.partition(" ")
    return _usual_meaning(column, imported.answers.words.get(word, text))


def guess_word(word: str) -> Optional[object]:
    """Return what a word may mean: what a part of it means, or what does no harm; nothing for a bare number."""
    column, _, text = word.partition(" ")
    parts = re.findall(r"[^\W\d_]+", text)
    harmless = Status.ON_HOLD if column == "status" else Priority.MEDIUM
    return next(filter(None, (_usual_meaning(column, part) for part in parts)), harmless) if parts else None


def unknown_words(imported: Import) -> List[Tuple[str, int]]:
    """Return the words that have to be asked about, the most frequent first, with the number of rows that have them."""
    return [each for each in imported.words.most_common() if not word_meaning(imported, each[0])][:ASKED_WORDS]


def parse_zone(text: str) -> str:
    """Return the zone of times without one: `local`, UTC, or an offset. Raises InvalidInputError."""
    try:
        return "local" if _zone(text) is None else text.upper()
    except ValueError as error:
        raise InvalidInputError("A zone is local, UTC, or an offset such as +02:00.") from error


def _zone(text: str) -> Optional[tzinfo]:
    """Return the zone, None for the local one. Raises ValueError."""
    if text.lower() == "local":
        return None
    offset = re.sub("^(z|utc|gmt)$", "+00", text.lower())
    return datetime.strptime(f"{offset}00" if len(offset) == 3 else offset, "%z").tzinfo


_CLOCK = re.compile(
    r"(?:(?<=\d)t)?(?<!\d)(?P<hour>\d{1,2}):(?P<minute>\d\d)(?::(?P<second>\d\d)(?:[.,]\d+)?)?"
    r"(?: ?(?P<half>[ap])\.? ?m\b\.?)?(?: ?(?P<zone>z|utc|gmt|[+-]\d\d(?::?\d\d)?)(?!\w))?"
)
_NUMERIC_DAY = re.compile(r"(\d{1,2})([/.-])(\d{1,2})\2(?:\d{4}|\d\d)(?!\d)")
_MONTHS = {name: number for number, names in enumerate(MONTHS, 1) for name in names.split()}


def _day_first(text: str) -> Optional[bool]:
    """Return whether the day comes first in a date that begins with it or with the month, if that is to be seen."""
    day = _NUMERIC_DAY.match(text)
    if not day or (day[2] != "." and max(int(day[1]), int(day[3])) <= 12):
        return None
    return day[2] == "." or int(day[1]) > 12


def _parse_moment(text: str, day_first: bool) -> Optional[date]:
    """Return the moment that a cell means, without a zone where it tells none, a date for a bare day, or else None."""
    text = fold(text.strip())
    number = text.replace(",", ".") if re.fullmatch(r"\d+([.,]\d+)?", text) else ""
    length = len(number.partition(".")[0])
    try:
        if not number:
            found = _parse_words(text, day_first)
        elif length == 8:
            found = datetime.strptime(number, "%Y%m%d").date()
        elif length == 5:  # a spreadsheet's day
            found = datetime(1899, 12, 30) + timedelta(seconds=round(float(number) * 86_400))
            found = found.date() if number.isdigit() else found
        else:  # seconds since 1970, nine digits or more; more than eleven are milliseconds
            seconds = int(float(number)) // (1000 if length > 11 else 1)
            found = datetime.fromtimestamp(seconds, timezone.utc) if 9 <= length <= 13 else date.min
    except (ValueError, OverflowError, OSError):  # Windows knows no local time before 1970
        return None
    return found if 1970 <= found.year < 3000 else None


def _parse_words(text: str, day_first: bool) -> date:
    """Return the moment that is written as a day, maybe with a time. Raises ValueError."""
    clock = _CLOCK.search(text)
    rest = f"{text[: clock.start()]} {text[clock.end() :]}" if clock else text
    words = [word for word in re.findall(r"\d+|[^\W\d_]+", rest) if word[:3] not in WORDS_IN_DATES]
    months = [_MONTHS.get(word[:4]) or _MONTHS.get(word[:3], 0) for word in words if not word.isdigit()]
    numbers = [word for word in words if word.isdigit()]
    if len(numbers) + len(months) != 3 or len(months) > 1:
        raise ValueError(text)
    if len(numbers[0]) == 4:
        year, *others, day_of_month = numbers
    else:
        *others, year = numbers
        day_of_month = others.pop(0 if months or day_first or re.match(r"\s*\d+\.", rest) else 1)
    century = (1900 if int(year) >= 70 else 2000) if len(year) == 2 else 0
    day = date(century + int(year), int((months or others)[0]), int(day_of_month))
    if not clock:
        return day
    hour = int(clock["hour"]) % 12 + 12 * (clock["half"] == "p") if clock["half"] else int(clock["hour"])
    zone = _zone(clock["zone"]) if clock["zone"] else None
    return datetime.combine(day, time_of_day(hour, int(clock["minute"]), int(clock["second"] or 0), tzinfo=zone))


class ImportedPerson(NamedTuple):
    """A person in a file, and whose account that is."""

    name: str
    email: str
    is_needed: bool  # if there is no account, one is made: somebody who only has unfinished work orders needs none
    username: str = ""
    has_account: bool = False
    is_certain: bool = False  # that the account is the person's; nobody is asked


def _match_people(imported: Import) -> None:
    """Find out whose accounts the people in the file have, and make usernames for the others."""
    emails: Dict[str, str] = {}  # by username, of all who have or get an account
    # Usernames by the key or name of a person: certain by an email, an earlier answer or the name of an account without
    # a password; likely, and asked about, by another name or the username that the name becomes.
    certain: Dict[str, str] = {}
    likely: Dict[str, str] = {}
    for account in imported.session.connection.execute("SELECT * FROM users ORDER BY id DESC"):
        username, name = account["username"], (account["name"] or "").casefold()
        emails[username] = (account["email"] or "").lower()
        likely.update({name: username, username: username})
        certain[emails[username]] = username
        if not account["password_hash"]:
            certain[name] = username
        if imported.is_own:
            certain[username] = username
    certain.update({key: name for key, name in imported.answers.people.items() if name in emails})
    existing, numbers = {*emails}, Counter[str]()
    for key, person in imported.people.items():
        lower = person.name.casefold()
        made = re.sub(r"[^a-z0-9_-]+", ".", fold(re.sub(r"(.+?), *(.+)", r"\2 \1", lower))).strip(".")
        sure = [certain.get(key), certain.get(lower)]
        possible = [*sure, likely.get(lower), likely.get(made or lower)]
        found = [each for each in possible if each and (not person.email or emails[each] in ("", person.email))]
        username = found[0] if found else _free_username(imported, person.name, emails, numbers)
        emails[username] = emails.get(username) or person.email
        if not found:
            certain.setdefault(lower, username)
        has_account, is_certain = username in existing, not found or username in sure
        imported.people[key] = person._replace(username=username, has_account=has_account, is_certain=is_certain)
    imported.people = {key: each._replace(email=emails[each.username]) for key, each in imported.people.items()}


def _free_username(imported: Import, name: str, taken: Container[str], numbers: Counter[str]) -> str:
    """Return a username made from the name; `numbers` has the last number behind each beginning."""
    username = users.username_from_name(imported.session.connection, name)
    stem = re.sub(r"\.\d+$", "", username)[:24]
    while username in taken:
        numbers[stem] += 1
        username = f"{stem}.{numbers[stem]}"
    return username


def unknown_people(imported: Import) -> List[Tuple[str, ImportedPerson]]:
    """Return the keys and people whose account is not certain, then those who will get one."""
    people = imported.people.items()
    asked = [(key, person) for key, person in people if person.has_account and not person.is_certain]
    return asked + [(key, person) for key, person in people if person.is_needed and not person.has_account]


def rename_person(imported: Import, key: str, text: str) -> str:
    """Give a person that username, or for `new` one made from the name, and return it. Raises InvalidInputError."""
    person, taken = imported.people[key], {other.username for other in imported.people.values()}
    accounts = {username for (username,) in imported.session.connection.execute("SELECT username FROM users")}
    is_new = text.lower() == "new"
    username = _free_username(imported, person.name, taken | accounts, Counter()) if is_new else text.lower()
    has_account = username in accounts
    if not has_account and users.parse_username(username) != person.username and username in taken:
        raise InvalidInputError(f"Somebody else in the file will be {username}; choose another username.")
    imported.people[key] = person._replace(username=username, has_account=has_account, is_certain=False)
    imported.answer(people={**imported.answers.people, key: username})
    return username


# Import: the rows


# In SQLite's temporary database, a file of its own. Times are UTC ISO 8601, people keys of Import.people, `comments` a
# JSON list, `given` names what the file fills; `source_key` tells a row from all others of its system, `place` is its
# place among those with the same key, and `here` the work order that it is, if that is here already.
_STAGING = {
    "import_rows": """
        number INTEGER PRIMARY KEY, line, source_id, source_key, title, description, priority, category, status,
        requester, assignee, created_at, updated_at, resolved_at, due_at, comments, given, place, here
    """,
    "import_findings": "number, line, kind, example",
}


class _RowParser:
    """Turns the cells of a row into what will be stored; `findings` has what is wrong or does not fit, and examples."""

    def __init__(self, imported: Import) -> None:
        self._imported = imported
        self._texts: DefaultDict[str, List[str]] = defaultdict(list)  # the filled cells by what they become
        self.findings: List[Tuple[str, str]] = []

    def parse(self, cells: List[str], fault: str) -> Dict[str, object]:
        """Return columns of temp.import_rows, or nothing if the row is wrong; blank cells too many are no fault."""
        imported, width = self._imported, len(self._imported.header)
        if imported.is_own:
            cells = [_GUARD.sub("", cell) for cell in cells]
        if not fault and (len(cells) < width or any(cells[width:])):
            fault = f"it has {len(cells):,} cells instead of {width:,}"
        if fault:
            self._find(f"wrong: {fault}")
            return {}
        empty_cells = (*EMPTY_CELLS, imported.answers.empty_word.lower())
        cells = ["" if cell.lower() in empty_cells else cell for cell in cells[:width]]
        has_names = imported.answers.columns.count("description") > 1
        for name, target, cell in zip(imported.header, imported.answers.columns, cells):
            if target and cell:
                label = f"{name}: " if has_names and target == "description" else ""
                self._texts[target].append(label + users.plain_text(cell))
        source_id = " ".join(self._first("id").split())[: users.LONGEST_NAME]
        status = self._meaning("status", Status.OPEN)
        is_finished = status in database.FINISHED
        times = self._times(is_finished)
        own_key = f"{source_id} {str(times['created_at'])[:16]}"
        values = {
            "source_id": source_id,
            "source_key": own_key if imported.is_own else source_id or _hash(cells),
            "status": status,
            "priority": self._meaning("priority", Priority.MEDIUM),
            **times,
            **self._describe(),
            "requester": self._person("requester", is_needed=True),
            "assignee": self._person("assignee", is_needed=is_finished),
            "given": " ".join(self._texts),
        }
        return {} if any(kind.startswith("wrong: ") for kind, _ in self.findings) else values

    def _find(self, kind: str, example: str = "") -> None:
        self.findings.append((kind, example[:80]))

    def _first(self, target: str) -> str:
        return self._texts.get(target, [""])[0]

    def _meaning(self, column: str, default: object) -> object:
        text = " ".join(self._first(column).lower().split())
        if not text:
            return default
        word = f"{column} {text}"[:80]
        if len(self._imported.words) < COUNTED_WORDS or word in self._imported.words:
            self._imported.words[word] += 1
        return word_meaning(self._imported, word) or guess_word(word) or default

    def _describe(self) -> Dict[str, object]:
        """Return the title, the description, the category and the comments; what is too long goes on in the next."""
        title, category = re.sub(r"[\n\r\t]", " ", self._first("title")), " ".join(self._first("category").split())
        if not title:
            self._find("a blank title takes the beginning of the description, or is (no title)")
            title = " ".join(self._first("description").split())[:MAXIMUM_TITLE] or "(no title)"
        if len(title) > MAXIMUM_TITLE:
            self._find(f"a title of more than {MAXIMUM_TITLE} characters stands in the description", title)
            self._texts["description"].insert(0, title)
        if len(category) > MAXIMUM_CATEGORY:
            self._find(f"of a category of more than {MAXIMUM_CATEGORY} characters the end is kept", category)
            self._texts["description"].append(f"Category: {category}")
            category = re.split(r" ?(?:>|::|/|\\|») ?", category)[-1][:MAXIMUM_CATEGORY].strip()
        known = self._imported.categories
        try:
            category = category and known.setdefault(category.casefold(), parse_new_category(category))
        except InvalidInputError:
            self._find("what cannot be a category is left out", category)
            category = ""
        texts = ["\n\n".join(self._texts.get("description", ())), *self._texts.get("comment", ())]
        description, *pieces = [
            text[start : start + MAXIMUM_TEXT] for text in texts for start in range(0, len(text) or 1, MAXIMUM_TEXT)
        ]
        comments = _fitting(pieces, MAXIMUM_NOTE_CHARACTERS - MAXIMUM_TEXT)  # the row 'created' may need the rest
        if len(pieces) >= len(texts):
            self._find(f"a text of more than {MAXIMUM_TEXT:,} characters goes on in comments")
        if comments != pieces:
            self._find(f"comments beyond {MAXIMUM_NOTE_CHARACTERS:,} characters are cut", pieces[-1])
        title = title[:MAXIMUM_TITLE].strip()
        described = {"title": title, "description": description, "category": category or None}
        return {**described, "comments": json.dumps(comments)}

    def _times(self, is_finished: bool) -> Dict[str, object]:
        created, updated, resolved, due = map(self._moment, ("created_at", "updated_at", "resolved_at", "due_at"))
        if resolved and not is_finished:
            self._find("the time of resolution of what is unfinished is ignored", resolved)
            resolved = None
        for at, name in ((created, "creation"), (resolved, "resolution")):
            if at and at > now():
                self._find(f"wrong: its {name} is in the future", at)
        created = created or min(filter(None, (updated, resolved, now())))
        if resolved and resolved < created:
            if _local(resolved)[:10] != _local(created)[:10]:
                self._find("wrong: its creation is later than its resolution", created)
            resolved = created  # a bare day is sometime on that day
        updated = max(min(updated or resolved or created, now()), created)
        return {"created_at": created, "updated_at": updated, "resolved_at": resolved, "due_at": due}

    def _moment(self, target: str) -> Optional[str]:
        """Return the moment as the database stores it; a bare day is a local one, and due until its end."""
        text = self._first(target)
        if not text:
            return None
        numeric = _NUMERIC_DAY.match(text)
        if numeric and int(numeric[1]) != int(numeric[3]):
            self._imported.numeric_days.setdefault(_day_first(text), text)
        found = _parse_moment(text, self._imported.answers.day_first is not False)
        if not found:
            self._find(f"wrong: {target} is no date from 1970 to 2999", text)
            return None
        if not isinstance(found, datetime):
            return utc_text(datetime.combine(found, _END_OF_DAY if target == "due_at" else time_of_day()))
        return utc_text(found if found.tzinfo else found.replace(tzinfo=_zone(self._imported.answers.zone)))

    def _person(self, target: str, is_needed: bool) -> Optional[str]:
        """Return the key of a person in Import.people, or None for nobody."""
        from email.utils import parseaddr

        name, email = " ".join(self._first(target).split()), self._first(f"{target}_email")
        if "@" in name and not email:
            name, email = parseaddr(name)
        try:
            email = (users.parse_email(email or NONE) or "").lower()
        except InvalidInputError:
            self._find("an email that is no plain address is left out", email)
            email = ""
        key = email or name.casefold()
        if not key or key in NOBODY_WORDS:
            return None
        person = self._imported.people.get(key, ImportedPerson(name or email, email, is_needed))
        self._imported.people[key] = person._replace(is_needed=person.is_needed or is_needed)
        return key


def _fitting(comments: Sequence[str], room: int) -> List[str]:
    """Return the comments, cut where they have more characters than there is room for notes."""
    ends = [0, *accumulate(max(len(text), NOTE_OVERHEAD) for text in comments)]
    return [text[: room - start] for text, start in zip(comments, ends) if room - start >= NOTE_OVERHEAD]


# Of rows with the same ID the latest counts; rows without one that are equal are numbered. A row of our own export is
# also the work order that has its ID and minute of creation.
_MATCH_ROWS = (
    """
    UPDATE temp.import_rows
    SET place = ranked.place, source_key = source_key || iif(source_id = '', ' ' || ranked.place, '')
    FROM (
        SELECT number AS row, row_number() OVER (PARTITION BY source_key ORDER BY updated_at DESC, number DESC) AS place
        FROM temp.import_rows
    ) AS ranked WHERE number = row
    """,
    """
    INSERT INTO temp.import_findings
    SELECT number, line, 'an earlier state of a work order, with the same ID, is left out', source_id
    FROM temp.import_rows WHERE source_id <> '' AND place > 1
    """,
    "DELETE FROM temp.import_rows WHERE source_id <> '' AND place > 1",
    """
    UPDATE temp.import_rows SET here = coalesce(
        (SELECT id FROM main.work_orders WHERE source = :source AND source_key = import_rows.source_key),
        (
            SELECT id FROM main.work_orders WHERE :is_own AND id = CAST(import_rows.source_id AS INTEGER)
                AND substr(created_at, 1, 16) = substr(import_rows.created_at, 1, 16)
        )
    )
    """,
    "CREATE INDEX IF NOT EXISTS temp.import_order ON import_rows (created_at, number)",
)


def stage(imported: Import, progress: Progress) -> None:
    """Read the rows, and find out which are here already. Raises UnreadableFileError, PermissionDeniedError."""
    connection = imported.session.connection
    users.authorize(imported.session, Action.IMPORT)
    for table in _STAGING:
        connection.execute(f"DELETE FROM temp.{table}")
    imported.words, imported.numeric_days, imported.people = Counter(), {}, {}
    imported.categories = {name.casefold(): name for name in categories(imported.session)}
    rows = islice(_read_rows(imported, imported.delimiter), imported.has_header, None)
    for done, batch in enumerate(iter(lambda: list(islice(rows, ROWS_AT_ONCE)), [])):
        progress(done * ROWS_AT_ONCE)
        with database.snapshot(connection):  # of nothing but the temporary database, so that nobody waits
            for number, line, cells, fault in batch:
                parser = _RowParser(imported)
                values = parser.parse(cells, fault)
                found = [(number, line, *finding) for finding in parser.findings]
                connection.executemany("INSERT INTO temp.import_findings VALUES (?, ?, ?, ?)", found)
                if values:
                    database.insert(connection, "temp.import_rows", {"number": number, "line": line, **values})
    known = [is_first for is_first in imported.numeric_days if is_first is not None]
    was_day_first = imported.answers.day_first is not False
    imported.answer(day_first=known[0] if known else imported.answers.day_first)
    if known and known[0] is not was_day_first:
        stage(imported, progress)
        return
    _match_people(imported)
    if not imported.answers.source:
        most = connection.execute(
            """
            SELECT source FROM work_orders
            WHERE source_id IN (SELECT source_id FROM temp.import_rows WHERE source_id <> '')
            GROUP BY source ORDER BY count(*) DESC LIMIT 1
            """
        ).fetchone()
        words = re.findall(r"[^\W\d_]+", Path(imported.name).stem.lower())
        imported.answer(source=most["source"] if most else "-".join(words)[:MAXIMUM_CATEGORY] or "import")
    for statement in _MATCH_ROWS:
        connection.execute(statement, {"source": imported.answers.source, "is_own": imported.is_own})


def describe_import(imported: Import) -> List[str]:
    """Return what an import of the staged rows would do, and count them. Raises UnreadableFileError for none."""
    totals = ", ".join(f"total({condition})" for condition in _REMARKS)
    connection = imported.session.connection
    sql = f"""
        SELECT count(*), min(created_at), max(created_at), count(here), count(iif(source_id = '', here, NULL)),
            (SELECT count(DISTINCT number) FROM temp.import_findings WHERE kind LIKE 'wrong: %'), {totals}
        FROM temp.import_rows
    """
    counted = connection.execute(sql, {"is_own": imported.is_own}).fetchone()
    rows, first, last, imported.here, imported.here_without_id, imported.wrong, *counts = counted
    imported.new = rows - imported.here
    sql = "SELECT count(*), kind, min(number), line, example FROM temp.import_findings GROUP BY kind ORDER BY 1 DESC"
    found = [
        f"{quantity(count, 'row')}, {kind} (first row {number:,}, line {line:,}{example and f': {example}'})."
        for count, kind, number, line, example in connection.execute(sql)
    ]
    if not rows:
        raise UnreadableFileError(" ".join((f"{imported.name} has no row that can be imported.", *found[:3])))
    remarks = [f"{quantity(int(n), 'row')}: {remark}." for n, remark in zip(counts, _REMARKS.values()) if n]
    fit = f"SELECT username FROM users WHERE {People.ASSIGNEES.condition}"
    assignees = {username for (username,) in connection.execute(fit)}
    unfinished = (
        f"SELECT DISTINCT assignee FROM temp.import_rows WHERE here IS NULL AND status NOT IN {database.FINISHED}"
    )
    people = [imported.people[key] for (key,) in connection.execute(unfinished) if key]
    unfit = [person.name for person in people if person.username not in assignees]
    if unfit:
        names = f"{', '.join(unfit[:10])}{' and more' * (len(unfit) > 10)}"
        remarks.append(f"Unfinished work orders come in without these assignees, not managers or admins here: {names}.")
    meanings = {word: word_meaning(imported, word) or guess_word(word) for word in imported.words}
    words = [f"{word.partition(' ')[2]} = {meaning}" for word, meaning in meanings.items()]
    order, zone = "day" if imported.answers.day_first is not False else "month", imported.answers.zone
    return [
        f"{quantity(rows, 'row')} from {imported.answers.source}, created from {_local(first)} to {_local(last)}.",
        f"Dates in digits have the {order} first; times without a zone are {zone}.",
        f"Words: {', '.join(words) or 'none'}.",
        *remarks,
        *found,
        *([f"All that was found, row by row, is in {_write_report(connection)}."] if found else []),
    ]


def _write_report(connection: Connection) -> Path:
    target = database.new_path(connection, "export", "-import.txt")
    rows = connection.execute("SELECT * FROM temp.import_findings ORDER BY number, rowid").fetchall()
    with _kept_together(f"{target}") as paths, database.partial_files(target) as (partial,):
        with partial.open("w", encoding="utf-8") as file:
            for number, line, kind, example in rows:
                text = f"Row {number:,}, line {line:,}, {kind}{example and f': {example}'}"
                file.write(f"{database.printable(text)}\n")
        paths.append(database.publish_numbered(partial, target))
    return paths[0]


# Import: storing


SKIP, UPDATE, ADD = "skip", "update", "add"  # rows that are here already; only those without an ID can be added
BATCH_SECONDS = PAUSE_SECONDS = 0.1  # SQLite's waiting tries again every 100 ms


def import_rows(imported: Import, repeat: str, progress: Progress) -> Path:
    """Store the staged rows in many short transactions with pauses for the others; return the backup from before.

    If it is interrupted, what it has stored stays, and the same file goes on there. `progress` gets the number of rows
    that are stored; if it raises, the import stops. Raises PermissionDeniedError to all but admins, OutputError.
    """
    connection = imported.session.connection
    backup = users.back_up(imported.session)
    if repeat == ADD:  # the same file again adds nothing more
        sql = "UPDATE temp.import_rows SET source_key = source_key || ?, here = NULL WHERE source_id = '' AND here"
        connection.execute(sql, (f" {imported.content_hash[:16]}",))
    if repeat != UPDATE:
        connection.execute("DELETE FROM temp.import_rows WHERE here IS NOT NULL")

    def audit(event: str) -> None:
        what = f"{imported.created:,} created, {imported.updated:,} updated, {backup.name} made before"
        subject = f"{database.printable(imported.name)} from {imported.answers.source}: {what}"
        users.audit(connection, imported.session.user_id, event, subject)

    try:
        with users.writing(imported.session, Action.IMPORT):
            joined = {key: person.username for key, person in unknown_people(imported) if person.has_account}
            imported.answer(people={**imported.answers.people, **joined})
            answers = (_hash(imported.header), json.dumps(imported.answers._asdict()), now())
            connection.execute("INSERT OR REPLACE INTO import_answers VALUES (?, ?, ?)", answers)
            audit("import begun")
        while True:
            outcomes = Counter[str]()
            with users.writing(imported.session, Action.IMPORT) as admin:
                end = time.monotonic() + BATCH_SECONDS
                for row in connection.execute("SELECT * FROM temp.import_rows ORDER BY created_at, number"):
                    outcomes[_store(imported, admin, row)] += 1
                    if time.monotonic() >= end:
                        break
                if not outcomes:
                    audit("imported")
                    return backup
                stored = "DELETE FROM temp.import_rows WHERE (created_at, number) <= (?, ?)"
                connection.execute(stored, (row["created_at"], row["number"]))
            imported.created += outcomes["created"]
            imported.updated += outcomes["updated"]
            progress(imported.created + imported.updated)
            time.sleep(PAUSE_SECONDS)
    except BaseException:
        with suppress(*database.EXPECTED_FAULTS), transaction(connection):
            audit("import stopped")
        raise


def _store(imported: Import, admin: User, row: sqlite3.Row) -> str:
    """Create or update the work order of a row, and return what was done: created, updated, or left."""
    connection, source = imported.session.connection, imported.answers.source
    find = "SELECT 1 FROM work_orders WHERE source = ? AND source_key = ?"
    if not row["here"] and connection.execute(find, (source, row["source_key"])).fetchone():
        return "left"  # another import has created it meanwhile
    for person in (imported.people.get(row[name]) for name in ("requester", "assignee")):
        taken = person and connection.execute("SELECT 1 FROM users WHERE username = ?", (person.username,)).fetchone()
        if person and person.is_needed and not taken:
            name = person.name[: users.LONGEST_NAME].strip()
            users.insert_caller(connection, admin, name, person.email, person.username)
    if not row["here"]:
        _create_imported(imported, admin, row)
        return "created"
    written = [(field, old, new) for field, old, new, stays in _differences(imported, row) if not stays]
    current = _find_by_id(connection, row["here"])
    if not written or not current:
        return "left"
    record = partial(users.record_change, connection, current.id, admin.id, is_imported=True)
    columns: Dict[str, object] = {"updated_at": max(now(), utc_text(current.updated_at))}
    for field, old, new in written:
        if field is _COMMENT:
            record(row["updated_at"], field.name, note=new)
            continue
        at = row["resolved_at"] if field is STATUS and row["resolved_at"] else now()
        record(at, field.name, old_value=field.as_text(old), new_value=field.as_text(new))
        for entry in _dependent_changes(connection, current, field, new, at, columns):
            record(at, **entry._asdict())
    database.update(connection, "work_orders", current.id, columns)
    database.refresh_derived(connection, current.id)
    return "updated"


def _usernames(imported: Import, row: sqlite3.Row) -> Dict[str, Optional[str]]:
    """Return who is the requester and the assignee; of what is unfinished only somebody who can have it."""
    requester, assignee = (imported.people.get(row[name]) for name in ("requester", "assignee"))
    can_have = f"SELECT 1 FROM users WHERE {People.ASSIGNEES.condition} AND username = ?"
    if assignee and row["status"] not in database.FINISHED:
        found = imported.session.connection.execute(can_have, (assignee.username,)).fetchone()
        assignee = assignee if found else None
    return {"requester": requester and requester.username, "assignee": assignee and assignee.username}


def _create_imported(imported: Import, admin: User, row: sqlite3.Row) -> None:
    connection, source, source_id = imported.session.connection, imported.answers.source, row["source_id"]
    people = _usernames(imported, row)
    names = ("title", "description", "priority", "category", "status", "created_at", "updated_at", "due_at")
    columns = {
        **{name: row[name] for name in names},
        "requester_id": users.find(connection, people["requester"] or admin.username).id,
        "assignee_id": users.find(connection, people["assignee"]).id if people["assignee"] else None,
        "due_by": DueBy.HAND,
        "resolved_at": row["resolved_at"] if row["status"] == Status.RESOLVED else None,
        "source": source,
        "source_key": row["source_key"],
        "source_id": source_id or None,
    }
    work_order_id = database.insert(connection, "work_orders", columns)
    note = f"Imported from {source}{'; the ID was ' * bool(source_id)}{source_id}."
    if row["assignee"] and not people["assignee"]:
        note += f" It was assigned to {imported.people[row['assignee']].name[:200]}."
    status = None if row["resolved_at"] or row["status"] == Status.OPEN else row["status"]
    is_stop = status in (*database.FINISHED, database.ON_HOLD)
    since = row["updated_at"] if "updated_at" in row["given"] else now()
    record = partial(users.record_change, connection, work_order_id, admin.id, is_imported=True)
    record(row["created_at"], "created", old_value=since if is_stop else None, new_value=status, note=note)
    if row["resolved_at"]:
        record(row["resolved_at"], STATUS.name, old_value=str(Status.OPEN), new_value=row["status"])
    for text in json.loads(row["comments"]):
        record(row["updated_at"], "comment", note=text)
    database.refresh_derived(connection, work_order_id)


_COMMENT: Field[str] = Field("comment", Action.COMMENT, lambda _, text: parse_text(text))


def _differences(imported: Import, row: sqlite3.Row) -> Iterator[Tuple[Field[Any], Any, Any, bool]]:
    """Yield the fields in which a row differs from its work order, both values, and whether the one here stays."""
    here = _find_by_id(imported.session.connection, row["here"])
    if not here or here.deleted_at:
        return
    sql = "SELECT field, changed_at, note, is_imported FROM work_order_history WHERE work_order_id = ? ORDER BY id"
    history = imported.session.connection.execute(sql, (here.id,)).fetchall()
    last = {entry["field"]: entry for entry in history}
    parsed = {"priority": Priority(row["priority"]), "status": Status(row["status"]), "due_at": moment(row["due_at"])}
    told: Dict[str, Any] = {**dict(row), **_usernames(imported, row), **parsed}
    resolved_at, updated_at = moment(row["resolved_at"]), row["updated_at"][:16]
    for field in FIELDS.values():
        old, new, entry = field.read(here), told.get(field.column), last.get(field.name)
        compared = (here.resolved_at, resolved_at) if new is old is Status.RESOLVED and resolved_at else (old, new)
        before, after = (each.replace(second=0) if isinstance(each, datetime) else each for each in compared)
        if new and before != after and field.column in row["given"].split():
            # Kept is what a person changed last; for our own export only if that change is newer than the row.
            stays = entry and (entry["changed_at"][:16] > updated_at if imported.is_own else not entry["is_imported"])
            yield field, old, new, bool(stays)
    known = Counter(entry["note"] for entry in history if entry["field"] == "comment" and entry["is_imported"])
    comments = [*(Counter(json.loads(row["comments"])) - known).elements()]
    room = MAXIMUM_NOTE_CHARACTERS - sum(max(len(entry["note"]), NOTE_OVERHEAD) for entry in history if entry["note"])
    for text in _fitting(comments, room):
        yield _COMMENT, "", text, False


def describe_updates(imported: Import, progress: Progress) -> List[str]:
    """Return what an update would change, and what it would leave, by field, each with the first old and new value."""
    found: Dict[str, Tuple[int, str]] = {}
    here = "SELECT * FROM temp.import_rows WHERE here IS NOT NULL ORDER BY created_at, number"
    for number, row in enumerate(imported.session.connection.execute(here), 1):
        progress(number)
        for field, old, new, stays in _differences(imported, row):
            shown = [database.printable(field.show(value))[:40] for value in (old, new)]
            kind = f"{field.name}, {'written here and left alone' if stays else 'to update'}"
            count, first = found.get(kind, (0, f"#{row['here']}: {' -> '.join(shown)}"))
            found[kind] = count + 1, first
    return [f"{kind}: {count:,} (first {first})." for kind, (count, first) in found.items()] or ["Nothing differs."]


# Words


def local_time(moment: datetime) -> str:
    """Return the moment in local time to the minute; the last second of a day is the day."""
    local = moment.astimezone()
    is_a_day = (local.hour, local.minute, local.second) == (23, 59, 59)
    return local.strftime("%Y-%m-%d" if is_a_day else "%Y-%m-%d %H:%M")


def _local(stored: str) -> str:
    return local_time(datetime.fromisoformat(stored))


def duration(seconds: float) -> str:
    """Return a length of time in its two largest units: 12m, 5h 12m, 3d 4h."""
    minutes = int(seconds) // 60
    return describe_minutes(minutes) if minutes < 1440 else f"{minutes // 1440}d {minutes % 1440 // 60}h"


def describe_minutes(minutes: int) -> str:
    """Return the time spent, in hours and minutes: 1h 30m, 20m, 26h 0m."""
    sign, minutes = "-" * (minutes < 0), abs(minutes)
    return f"{sign}{minutes // 60}h {minutes % 60}m" if minutes >= 60 else f"{sign}{minutes}m"


def age(moment: datetime) -> str:
    """Return how long ago the moment was."""
    return duration(max(0, (datetime.now(timezone.utc) - moment).total_seconds()))


def quantity_found(count: int) -> str:
    """Return a number of work orders in words; above COUNTED_AT_MOST it was not counted."""
    return f"{number_of(count)} work order{'' if count == 1 else 's'}"


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


def explain_due_by(work_order: WorkOrder) -> str:
    """Return a sentence on what has set the due time and what moves it."""
    due = DUE_DATE.show(work_order.due_at)
    if work_order.due_by is DueBy.HAND:
        return f"The due date, {due}, was set by hand; only setting it again changes it."
    return f"The due date, {due}, comes from the service target: a hold, a reopening and a change of priority move it."


def describe_target(target: ServiceTarget) -> str:
    """Return what is promised for a priority."""
    response, resolution = (f"{hours:,} h" if hours else NONE for hours in target[1:])
    return f"first response {response}, resolution {resolution}"


def describe_my_work(work: MyWork) -> str:
    """Return in a line what waits for somebody; what is 0 is left out."""
    late = f", {number_of(work.assigned_overdue)} of them overdue" if work.assigned_overdue else ""
    overdue = f", {number_of(work.overdue)} overdue" if work.overdue else ""
    holds_are = "hold is" if work.hold_over == 1 else "holds are"
    parts = (
        (work.assigns and work.assigned, f"{number_of(work.assigned)} assigned to you{late}"),
        (work.assigns and work.unassigned, f"{number_of(work.unassigned)} unassigned"),
        (not work.assigns and work.requested, f"{number_of(work.requested)} unfinished{overdue}"),
        (work.assigns and work.hold_over, f"{number_of(work.hold_over)} {holds_are} over"),
        (work.changed, f"{number_of(work.changed)} changed by others"),
    )
    return "; ".join(words for count, words in parts if count) or "Nothing waits for you."


def describe_person(username: str, name: Optional[str]) -> str:
    """Return the username, with the person's name beside it where it is known."""
    return f"{username} ({name})" if name else username


def describe_status(work_order: WorkOrder) -> str:
    """Return the status as a list shows it."""
    return "Hold over" if work_order.is_hold_over else str(work_order.status)


def describe_list(query: Query, total: int, overdue: int) -> str:
    """Return how many work orders a list has, which, how many of them are overdue, and their order."""
    text = [f'containing "{query.text}"{" anywhere" * query.is_inside}'] if query.text else []
    words = ", ".join((*text, *describe_filter(query.filter)))
    which = f"{quantity_found(total) if total else 'No work orders'}{': ' if words else ''}{words}"
    late = f", {number_of(overdue)} overdue" if overdue and query.filter.due is not Due.OVERDUE else ""
    return f"{which}{late}, {query.sort.description}"


def describe_filter(filter: Filter) -> List[str]:
    """Return in words what each part of the filter lets through."""
    due = f"due {filter.due}".replace("due overdue", "overdue").replace("due none", "without a due date")
    periods = {"created": filter.created, "resolved": filter.resolved}
    words = (
        (filter.status, f"{filter.status}"),
        *((getattr(filter, name), f"{name} {getattr(filter, name)}") for name in FILTER_NAMES[1:5]),
        (filter.due, due),
        *((period, f"{name} {describe_bounds(*period[1:])}") for name, period in periods.items() if period),
        (filter.changed, "changed by others"),
        (filter.hold_is_over_for, "hold is over"),
        (filter.counted, describe_counted(filter.counted) if filter.counted else ""),
    )
    return [text for value, text in words if value]


def describe_entry(entry: HistoryEntry) -> str:
    """Return who changed what when, in local time, followed by the text that goes with it."""
    return f"{local_time(entry.changed_at)}  {_describe_change(entry)}"


def describe_message(entry: HistoryEntry, work_order: WorkOrder) -> str:
    """Return what a message says about a change, with the zone of its time; nothing typed begins a line of it."""
    is_new = entry.field in ("created", "recurs", REQUESTER.name)
    change = _describe_change(entry._replace(note=work_order.description) if is_new else entry)
    text = f"{change}\n{entry.changed_at.astimezone():%Y-%m-%d %H:%M %z}"
    return "\n    ".join(re.split("\r\n|\r|\n", text))  # not splitlines, which knows more line ends than email


def _describe_change(entry: HistoryEntry) -> str:
    what = "commented" if entry.field == "comment" else entry.field
    if entry.field in FIELDS and entry.new_value is not None:
        old, new = entry.old_value or "", entry.new_value
        if entry.field in (DUE_DATE.name, HELD_UNTIL.name):
            with sound("A date of the history"):
                old, new = (text if text in (NONE, NO_DAY, "") else _local(text) for text in (old, new))
        what = f'{entry.field} from "{old}" to "{new}"'
    elif entry.new_value is not None:
        what = f"{entry.field} {'as ' * (entry.field == 'created')}{entry.new_value}"
    return f"{entry.username}: {what}" + (f":\n{entry.note}" if entry.note else "")


def warn_unassigned(count: int) -> str:
    """Return what to add about the work orders that will lose their assignee, if there are any."""
    return f" {quantity(count)} will lose {'its' if count == 1 else 'their'} assignee." if count else ""


def describe_handover(count: int, username: str, successor: Optional[str]) -> str:
    """Return what to add about the work orders that were handed over, if there are any."""
    if not count:
        return ""
    were, have = ("was", "has") if count == 1 else ("were", "have")
    end = f"now {have} no assignee" if successor is None else f"{were} handed over to {successor}"
    return f" {quantity(count)} that {were} assigned to {username} {end}."


# Command line


def main() -> List[str]:
    """Create what is due, send what waits, and say what became of it. Raises ApplicationError if some waits still."""
    with closing(database.connect(database.default_path())) as connection:
        create_due(connection, database.BUSY_SECONDS)
        sent = users.send_waiting(connection.path)
        waiting, state = users.outbox_state(connection)
    summary = f"{quantity(sent, 'message')} sent; {state}."
    if waiting:
        raise ApplicationError(summary)
    return [summary]


def parse_command(arguments: Sequence[str]) -> Callable[[], List[str]]:
    """Return the command: main, or what saves a monthly report and returns its path. Raises InvalidInputError."""
    if not arguments:
        return main
    if arguments[0] != "report" or len(arguments) > 2:
        raise InvalidInputError("There is no such command.")
    return partial(_report, parse_month(arguments[1] if len(arguments) > 1 else "last month"))


def _report(month: Period) -> List[str]:
    with closing(database.connect(database.default_path())) as connection:
        return [str(monthly_report(users.host_session(connection), month))]


if __name__ == "__main__":
    try:
        command = parse_command(sys.argv[1:])
    except InvalidInputError as error:
        print(f"usage: python work_order.py [report [2026-10]]\n{error}", file=sys.stderr)
        sys.exit(2)
    os._exit(database.run_command(command))
