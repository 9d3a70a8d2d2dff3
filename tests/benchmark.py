"""How long does each screen take, with many work orders and with few? `python tests/benchmark.py [MANY]` tells.

It fills databases with 1,000, 100,000 and MANY (1,000,000) work orders, and prints, as Markdown, the median time of
what each screen waits for on each of them and beside it, on the largest, that of SQL written by hand for the same
answer; then what many writers at once, the memory, the start and the disk come to. It is no test.
"""

import contextlib
import heapq
import itertools
import multiprocessing
import os
import platform
import random
import re
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import textwrap
import time
from concurrent.futures import ProcessPoolExecutor
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Callable, Dict, Iterable, Iterator, List, Mapping, NamedTuple, Optional, Sequence, Tuple

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import database
import users
import work_order
from users import NOBODY, NONE, AuditFilter, Role, Session
from work_order import Due, Filter, Grouping, Priority, Query, Sort, Status

PROGRAM = Path(__file__).resolve().parent.parent / "main.py"
FEW, SOME, MANY = 1_000, 100_000, 1_000_000
CALLS, PATIENCE_SECONDS = 7, 4  # of each action at most
WRITERS, SEARCHERS, CROWD_SECONDS = 8, 2, 10
PASSWORD = "battery horse 9"
SEED, BATCH = 10, 20_000
HOUR, DAY = 3600, 24 * 3600
YEARS = 5

# The most frequent words, by rank; the rest of the 30,000 is made up.
FREQUENT = """
the to not is and printer of in on it network does after work laptop since no password screen an mail my room when
account has server keyboard error disk with update login cannot slow phone toner backup again from office gerät écran
monitor cable driver überhitzt 打印机 ネットワーク señal bloqueó 서버
""".split()
CATEGORIES = """
Hardware Software Network Printing Access Mail Phones Backup Security Laptops Monitors Servers Storage Licences Video
Wireless Cabling Desks Mobile Payroll Intranet Website Database Scanners Remote Training Onboarding Leavers Virus Spam
Power Cooling Archive Audio Badges Cameras Kiosks Projectors Tablets VPN
""".split()

# The kinds of entries of the audit log, how many in a thousand, who appears as having done it, and on what.
ACTOR, ADMIN, NO_ONE = "the account itself", "an admin", "nobody known"
AUDITED = (
    ("logged in", 880, ACTOR, "{name}"),
    ("login failed", 40, NO_ONE, "{name}"),
    ("refused", 15, ACTOR, "see the audit log"),
    ("password changed", 12, ACTOR, "{name}"),
    ("email changed", 10, ACTOR, "{name}"),
    ("password reset", 8, ADMIN, "{name}"),
    ("unlocked", 8, ADMIN, "{name}"),
    ("backed up", 6, ADMIN, "work_order-2026-01-31-170000.db"),
    ("work order deleted", 5, ADMIN, "#12"),
    ("user added", 4, ADMIN, "{name} as user"),
    ("registered", 3, ACTOR, "{name} as user"),
    ("role changed", 3, ADMIN, "{name} from user to manager"),
    ("deactivated", 2, ADMIN, "{name}"),
    ("reactivated", 1, ADMIN, "{name}"),
    ("database checked", 1, ADMIN, ""),
    ("work order restored", 1, ADMIN, "#12"),
    ("approval failed", 1, NO_ONE, "{name} for max as manager"),
)

Row = Tuple[object, ...]


# Making up a database


class Step(NamedTuple):
    """What happens next to a work order: by whom, which field, its new value, and the note."""

    by: int
    field: str
    new: Optional[str] = None
    note: str = ""


class Department:
    """Invents, always the same, what a department writes in five years up to now."""

    def __init__(self, number: int) -> None:
        self.number, self.random, self.now = number, random.Random(SEED), int(time.time())
        self.begin = self.now - YEARS * 365 * DAY
        accounts = min(2_000, max(20, number // 500))
        self.assignees = range(1, 2 + min(30, max(6, accounts // 8)))  # the first is anna
        self.requesters = range(self.assignees.stop, self.assignees.stop + accounts)
        names = [f"manager{n}" for n in self.assignees[:-1]] + [f"user{n}" for n in range(1, accounts + 1)]
        self.names = dict(enumerate(["anna", *names], 1))
        self.categories = CATEGORIES[: 6 + number // 29_000]
        self.words = _sample(self.random)
        self.position = itertools.count()

    def accounts(self, password_hash: str) -> Iterator[Row]:
        """Return the rows of everybody but anna; each fortieth user has left."""
        for number, name in list(self.names.items())[1:]:
            role = Role.MANAGER if number in self.assignees else Role.USER
            yield number, name, password_hash, role, role is Role.MANAGER or number % 40 > 0, _text(self.begin)

    def work_orders(self) -> Iterator[Tuple[Row, List[Row]]]:
        """Return each work order, oldest first, with what has happened in all of them since the one before."""
        pending: List[Row] = []
        for number in range(1, self.number + 1):
            created = self.begin + int((number - 1 + self.random.random()) / self.number * (self.now - self.begin))
            work_order, history = self._work_order(number, created)
            for row in history:
                heapq.heappush(pending, row)
            passed = []
            while pending and (pending[0][0] <= created or number == self.number):  # type: ignore[operator]
                at, _, *row_without_time = heapq.heappop(pending)
                passed.append((_text(at), *row_without_time))  # type: ignore[arg-type]
            yield work_order, passed

    def audit_log(self) -> Iterator[Row]:
        """Return as many entries as there are work orders."""
        kinds = self.random.choices(AUDITED, [kind[1] for kind in AUDITED], k=self.number)
        for n, (event, _, actor, subject) in enumerate(kinds):
            about = self.random.choice(self.requesters) if self.random.random() < 0.8 else self._assignee()
            by = {ACTOR: about, ADMIN: 1, NO_ONE: None}[actor]
            at = _text(self.begin + n * (self.now - self.begin) // self.number)
            client = f"10.0.{about % 8}.{about % 250}"
            subject_id = about if "{name}" in subject else None
            yield at, by, self.names[by or about], client, event, subject.format(name=self.names[about]), subject_id

    def _work_order(self, number: int, created: int) -> Tuple[Row, List[Row]]:
        """Return the row of a work order and those of its history, which tells how the row became what it is."""
        requester, assignee = self._requester(), self._assignee()
        state: Dict[str, Optional[str]] = {"status": Status.OPEN, "assignee": NOBODY, "due date": NONE}
        at, resolved = created, None
        history: List[Row] = []
        for by, field, new, note in self._steps(requester, assignee, created):
            if at > self.now:
                break
            changed, old = at, state.get(field) if new else None
            history.append((at, next(self.position), number, by, field, old, new, note))
            state[field] = new
            if field == "status":
                resolved = at if new == Status.RESOLVED else None
            at += 60 + int(self.random.expovariate(1 / (8 * HOUR)))
        row = (
            number,
            self._sentence(3, 8).capitalize()[:120],
            self._sentence(10, 60).capitalize() + ".",
            self.random.choices((1, 2, 3, 4), (25, 50, 20, 5))[0],
            self.random.choice(self.categories) if self.random.random() < 0.85 else None,
            str(state["status"]),
            requester,
            assignee if state["assignee"] != NOBODY else None,
            _text(created),
            _text(changed),
            resolved and _text(resolved),
            state["due date"] if state["due date"] != NONE else None,
            _text(changed) if "deleted" in state else None,
        )
        return row, history

    def _steps(self, requester: int, assignee: int, created: int) -> Iterator[Step]:
        """Return what happens to one work order, in its order: about four things, mostly up to its end."""
        chance = self.random.random
        is_finished = chance() < 0.8
        yield Step(requester, "created")
        if chance() < 0.1:
            yield Step(assignee, "due date", self._due(created, is_finished))
        if chance() < 0.88:
            yield Step(assignee, "assignee", self.names[assignee])
        if chance() < 0.65:
            yield Step(assignee, "status", Status.IN_PROGRESS)
        if chance() < 0.1:
            yield Step(assignee, "status", Status.ON_HOLD, self._sentence(3, 12))
            if is_finished or chance() < 0.5:
                yield Step(assignee, "status", Status.IN_PROGRESS)
        while chance() < 0.3:
            yield Step(requester if chance() < 0.4 else assignee, "comment", note=self._sentence(5, 30))
        if is_finished:
            last = Status.RESOLVED if chance() < 0.93 else Status.CANCELLED
            yield Step(assignee, "status", last, self._sentence(3, 15) if chance() < 0.25 else "")
            if chance() < 0.05:
                yield Step(requester, "status", Status.IN_PROGRESS, self._sentence(3, 15))
                yield Step(assignee, "status", last)
        if chance() < 0.005:
            yield Step(1, "deleted")

    def _due(self, created: int, is_finished: bool) -> str:
        if is_finished or self.random.random() < 0.5:
            moment = created + self.random.randrange(1, 30) * DAY
        else:  # it was put off
            moment = self.now + self.random.randrange(-30, 60) * DAY
        return _text(moment - moment % DAY + DAY - 1)

    def _requester(self) -> int:
        """Return one of the users, of whom some need much more help than others."""
        return self.requesters[int(len(self.requesters) * self.random.random() ** 1.5)]

    def _assignee(self) -> int:
        return self.random.choice(self.assignees)

    def _sentence(self, shortest: int, longest: int) -> str:
        length = self.random.randint(shortest, longest)
        start = self.random.randrange(len(self.words) - length)
        return " ".join(self.words[start : start + length])


def _sample(random: random.Random) -> List[str]:
    """Return a million words, 30,000 different ones, as often as Zipf's law has it: the nth of them 1/n as often."""
    syllables = [a + b for a in "b d f g k l m n p r s t v st tr".split() for b in "a e i o u an er".split()]
    accented = str.maketrans("aeou", "áéöü")
    words = dict.fromkeys(FREQUENT)
    while len(words) < 30_000:
        word = "".join(random.choices(syllables, k=random.choice((2, 3, 3, 4))))
        words[word.translate(accented) if random.random() < 0.03 else word] = None
    sample = random.choices(list(words), [1 / rank for rank in range(1, len(words) + 1)], k=970_000)
    sample += words
    random.shuffle(sample)
    return sample


def _text(moment: int) -> str:
    return datetime.fromtimestamp(moment, timezone.utc).isoformat()


def fill(path: Path, number: int) -> None:
    """Make a database with that many work orders, all of it in one transaction.

    The rows come first; the indexes, the triggers and what those keep are made after them. It can be read as anna, an
    admin, manager1 or user1, all with the same password.
    """
    connection = database.connect(path, create=True)
    department = Department(number)
    users.register(connection, "anna", PASSWORD, Role.ADMIN)
    for pragma in ("foreign_keys = OFF", "synchronous = OFF", "journal_mode = MEMORY", "cache_size = -262144"):
        connection.execute(f"PRAGMA {pragma}")
    with database.transaction(connection):
        made_again = _drop_indexes_and_triggers(connection)
        _insert_rows(connection, department)
        # What fills the work orders looks up their history; other indexes are made faster of what is filled already.
        made_again.sort(key=lambda sql: "INDEX work_order_history_by_work_order " not in sql)
        for statement in (made_again[0], *_updates(), *made_again[1:], *_backfills(connection)):
            _report(" ".join(statement.split())[:60])
            connection.execute(statement)
        connection.execute("UPDATE users SET seen_history_id = max(0, (SELECT max(id) FROM work_order_history) - 2000)")
    _report("")
    connection.close()
    if hasattr(os, "sync"):  # so that what is measured does not wait for what was filled
        os.sync()


def _insert_rows(connection: sqlite3.Connection, department: Department) -> None:
    (password_hash,) = connection.execute("SELECT password_hash FROM users").fetchone()
    connection.executemany(
        "INSERT INTO users (id, username, password_hash, role, is_active, created_at) VALUES (?, ?, ?, ?, ?, ?)",
        department.accounts(password_hash),
    )
    stories, entries = department.work_orders(), department.audit_log()
    for done in range(0, department.number, BATCH):
        _report(f"{done:,} of {department.number:,} work orders")
        batch = list(itertools.islice(stories, BATCH))
        connection.executemany(
            """
            INSERT INTO work_orders (id, title, description, priority, category, status, requester_id, assignee_id,
                created_at, updated_at, resolved_at, due_at, deleted_at)
            VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
            """,
            (work_order for work_order, _ in batch),
        )
        connection.executemany(
            """
            INSERT INTO work_order_history (changed_at, work_order_id, user_id, field, old_value, new_value, note)
            VALUES (?, ?, ?, ?, ?, ?, ?)
            """,
            (row for _, history in batch for row in history),
        )
        connection.executemany(
            """
            INSERT INTO audit_log (recorded_at, user_id, os_user, ssh_client, event, subject, subject_id)
            VALUES (?, ?, ?, ?, ?, ?, ?)
            """,
            itertools.islice(entries, BATCH),
        )


def _drop_indexes_and_triggers(connection: sqlite3.Connection) -> List[str]:
    """Drop every index and trigger of the schema, and return the SQL that makes them again."""
    rows = connection.execute(
        "SELECT type, name, sql FROM sqlite_master WHERE type IN ('index', 'trigger') AND sql IS NOT NULL ORDER BY type"
    ).fetchall()
    for kind, name, _ in rows:
        connection.execute(f"DROP {kind} {name}")
    return [sql for _, _, sql in rows]


def _updates() -> List[str]:
    """Return what the migrations have filled of work orders that were there, and triggers fill of new ones."""
    return [each for each in itertools.chain(*database.MIGRATIONS) if each.lstrip().startswith("UPDATE work_orders ")]


def _backfills(connection: sqlite3.Connection) -> List[str]:
    """Return what fills the tables that triggers keep: each full-text index, and what the migrations have filled.

    Where several migrations have filled the same table, the last one knows its columns.
    """
    tables = connection.execute("SELECT name, sql FROM sqlite_master WHERE type = 'table'").fetchall()
    indexes = [name for name, sql in tables if re.match(r"CREATE VIRTUAL TABLE .*\bfts5 ", sql, re.DOTALL)]
    by_table = {}
    for statement in itertools.chain(*database.MIGRATIONS):
        insert = re.match(r"\s*INSERT INTO (\w+)\b.*\bFROM (work_orders|audit_log)\b", statement, re.DOTALL)
        if insert and insert[1] in {name for name, _ in tables} - set(indexes):
            by_table[insert[1]] = statement
    emptied = [f"DELETE FROM {name}" for name in by_table]
    rebuilt = [f"INSERT INTO {name} ({name}) VALUES ('{step}')" for name in indexes for step in ("rebuild", "optimize")]
    return [*emptied, *by_table.values(), *rebuilt]


def _report(text: str) -> None:
    print(f"\r{text:<70}", end="\r" if not text else "", file=sys.stderr, flush=True)


# SQL by hand


SELECT = """
    SELECT w.id, w.title, priority, status, requesters.username, assignees.username, w.created_at, due_at
    FROM work_orders AS w
    LEFT JOIN users AS requesters ON requesters.id = requester_id
    LEFT JOIN users AS assignees ON assignees.id = assignee_id
"""
SELECT_ONE = f"{SELECT} WHERE w.id = :ordinary"
SELECT_HISTORY = "SELECT * FROM work_order_history JOIN users ON users.id = user_id WHERE work_order_id = :ordinary"
SELECT_SUMMARY = """
    SELECT status, priority, sum(total), sum(total * (requester_id = :anna)) FROM work_order_counts GROUP BY 1, 2
"""
SELECT_ASSIGNEES = """
    SELECT username, (
        SELECT count(*) FROM work_orders WHERE assignee_id = users.id AND urgency < 4 AND deleted_at IS NULL
    ) FROM users WHERE is_active = 1 AND role <> 'user' ORDER BY username
"""
SELECT_AUDIT_LOG = "SELECT * FROM audit_log LEFT JOIN users ON users.id = user_id"
SELECT_CATEGORIES = """
    WITH RECURSIVE used (category) AS (
        SELECT min(category) FROM work_orders WHERE deleted_at IS NULL
        UNION ALL
        SELECT (SELECT min(category) FROM work_orders WHERE category > used.category AND deleted_at IS NULL)
        FROM used WHERE category IS NOT NULL
    )
    SELECT category FROM used
"""
SELECT_EVENTS = """
    WITH RECURSIVE used (event) AS (
        SELECT min(event) FROM audit_log
        UNION ALL
        SELECT (SELECT min(event) FROM audit_log WHERE event > used.event) FROM used WHERE event IS NOT NULL
    )
    SELECT event FROM used
"""
# One person's work, then what others have changed of it.
SELECT_MY_WORK = """
    SELECT (SELECT count(*) FROM work_orders WHERE assignee_id = :max AND urgency < 4 AND deleted_at IS NULL),
        (SELECT count(*) FROM work_orders
            WHERE assignee_id = :max AND urgency < 4 AND deleted_at IS NULL AND due_at < :now),
        (SELECT count(*) FROM (SELECT 1 FROM work_orders
            WHERE assignee_id IS NULL AND urgency < 4 AND deleted_at IS NULL LIMIT 1001)),
        (SELECT count(*) FROM (SELECT 1 FROM work_orders
            WHERE is_finished = 0 AND due_rank < :now AND deleted_at IS NULL LIMIT 1001)),
        (SELECT count(*) FROM (SELECT 1 FROM work_orders
            WHERE is_finished = 0 AND due_rank >= :monday AND due_rank < :next_monday AND deleted_at IS NULL
            LIMIT 1001)),
        (SELECT count(*) FROM work_orders WHERE requester_id = :max AND urgency < 4 AND deleted_at IS NULL)
"""
SELECT_CHANGED = """
    SELECT count(*) FROM (
        SELECT DISTINCT work_order_id
        FROM work_order_history AS h CROSS JOIN work_orders AS w ON w.id = work_order_id
        WHERE h.id > :seen AND user_id <> :max AND deleted_at IS NULL AND (
            requester_id = :max OR assignee_id = :max OR field = 'assignee' AND :max_name IN (old_value, new_value)
        ) LIMIT 1001
    )
"""

ORDER_BY = {
    Sort.URGENCY: "urgency, w.created_second, w.id",
    Sort.NEWEST: "w.id DESC",
    Sort.OLDEST: "w.id",
    Sort.CHANGED: "updated_at DESC, w.id DESC",
    Sort.DUE: "is_finished, due_rank, w.id",
}
OVERDUE = "due_at IS NOT NULL AND is_finished = 0 AND due_rank < :now"
FILTERS = (
    ("Open", Filter(status=Status.OPEN), "status = 'Open'"),
    ("Resolved", Filter(status=Status.RESOLVED), "status = 'Resolved'"),
    ("unfinished", Filter(status=work_order.UNFINISHED), "urgency < 4"),
    ("priority", Filter(priority=Priority.HIGH), "priority = 3"),
    ("category", Filter(category="Network"), "category = 'Network'"),
    ("no category", Filter(category=NONE), "category IS NULL"),
    ("requester", Filter(requester="user1"), "requester_id = :uma"),
    ("assignee", Filter(assignee="manager1"), "assignee_id = :max"),
    ("nobody's", Filter(assignee=NOBODY), "assignee_id IS NULL"),
    ("overdue", Filter(due=Due.OVERDUE), OVERDUE),
    (
        "due this week",
        Filter(due=Due.THIS_WEEK),
        "is_finished IN (0, 1) AND due_rank >= :monday AND due_rank < :next_monday",
    ),
    (
        "Resolved, assignee",
        Filter(status=Status.RESOLVED, assignee="manager1"),
        "status = 'Resolved' AND urgency >= 4 AND assignee_id = :max",
    ),
    (
        "assignee, requester",
        Filter(requester="user1", assignee="manager1"),
        "assignee_id = :max AND requester_id = :uma",
    ),
    (
        "Open, priority, assignee",
        Filter(status=Status.OPEN, priority=Priority.HIGH, assignee="manager1"),
        "status = 'Open' AND priority = 3 AND assignee_id = :max",
    ),
    (
        "category, requester",
        Filter(category="Network", requester="user1"),
        "category = 'Network' AND requester_id = :uma",
    ),
    ("unfinished, nobody's", work_order.UNASSIGNED, "urgency < 4 AND assignee_id IS NULL"),
)

RECORD = """
    INSERT INTO work_order_history (work_order_id, user_id, changed_at, field, old_value, new_value, note)
"""
TOUCH = "UPDATE work_orders SET updated_at = :now WHERE id = :quokka"
CREATE = """
    INSERT INTO work_orders (title, description, priority, requester_id, created_at, updated_at)
    VALUES ('Printer jams', 'Tray 2', 3, :uma, :now, :now)
"""
AUDIT = """
    INSERT INTO audit_log (recorded_at, user_id, os_user, ssh_client, event, subject, subject_id)
    SELECT :now, :anna, username, '', 'deactivated', username, id FROM users WHERE id = :id
"""
DEACTIVATE = (
    "UPDATE users SET is_active = 0, password_version = password_version + 1 WHERE id = :id",
    AUDIT,
    RECORD
    + """
    SELECT id, :anna, :now, 'assignee', (SELECT username FROM users WHERE id = :id), 'nobody', '' FROM work_orders
    WHERE assignee_id = :id AND urgency < 4 AND deleted_at IS NULL
    """,
    """
    UPDATE work_orders SET assignee_id = NULL, updated_at = :now
    WHERE assignee_id = :id AND urgency < 4 AND deleted_at IS NULL
    """,
)


# What is measured


class Action(NamedTuple):
    """Something that a screen waits for, and SQL written by hand that comes to the same, if there is any."""

    name: str
    call: Callable[[], object]
    by_hand: Optional[Callable[[], object]] = None
    calls: int = CALLS


class Desk:
    """Three people at work in a database, and somebody who asks it by hand for the same."""

    def __init__(self, path: Path) -> None:
        self.connection = database.connect(path)
        self.scratch = database.connect(path.with_name("scratch.db"), create=True)
        self.scratch.execute("CREATE TABLE IF NOT EXISTS single AS SELECT 1 AS n")
        self.anna, self.max, self.uma = (
            users.log_in(self.connection, name, PASSWORD) for name in ("anna", "manager1", "user1")
        )
        self.quokka = work_order.create(self.uma, "The quokka sleeps", "Nobody else writes of it", Priority.LOW)
        oldest = work_order.read_page(self.anna, Query(sort=Sort.OLDEST), (), 20).work_orders
        self.ordinary = oldest[-1].id
        today = datetime.now().replace(hour=0, minute=0, second=0, microsecond=0)
        monday = today - timedelta(days=today.weekday())
        self.values: Mapping[str, object] = {
            "now": database.now(),
            "monday": database.utc_text(monday),
            "next_monday": database.utc_text(monday + timedelta(days=7)),
            "anna": self.anna.user_id,
            "max": self.max.user_id,
            "max_name": "manager1",
            "uma": self.uma.user_id,
            "seen": self.max.seen_history_id,
            "quokka": self.quokka,
            "ordinary": self.ordinary,
        }

    def close(self) -> None:
        self.connection.close()
        self.scratch.close()

    def read(self, *statements: str, **values: object) -> Callable[[], object]:
        """Return what reads all rows of the statements at one moment."""

        def read() -> object:
            with database.snapshot(self.connection):
                return [self.connection.execute(sql, {**self.values, **values}).fetchall() for sql in statements]

        return read

    def save(self, *statements: str, ids: Iterable[int] = ()) -> Callable[[], object]:
        """Return what runs the statements in one transaction, each time with the next of the ids."""
        following = iter(ids)

        def save() -> None:
            values = {**self.values, "id": next(following, None)}
            with database.transaction(self.connection):
                for sql in statements:
                    self.connection.execute(sql, values)

        return save

    def flush(self) -> None:
        """Save one changed row, in a database of little else."""
        with database.transaction(self.scratch):
            self.scratch.execute("UPDATE single SET n = n + 1")

    def page(self, condition: str, order: str = ORDER_BY[Sort.URGENCY], after: str = "1") -> Callable[[], object]:
        """Return what reads a page of a list, and how many rows and overdue ones the list has, up to 1,001."""
        rows = f"{SELECT} WHERE deleted_at IS NULL AND {condition} AND {after} ORDER BY {order} LIMIT 20"
        return self.read(rows, *self.counts(condition))

    def counts(self, condition: str) -> Tuple[str, str]:
        """Return the SQL that counts how many work orders match, and how many overdue ones, up to 1,001."""
        matching = f"work_orders AS w WHERE deleted_at IS NULL AND {condition}"
        return (
            f"SELECT count(*) FROM (SELECT 1 FROM {matching} LIMIT 1001)",
            f"SELECT count(*) FROM (SELECT 1 FROM {matching} AND {OVERDUE} LIMIT 1001)",
        )

    def hits(self, match: str, condition: str = "1", order: str = "f.rowid DESC") -> Callable[[], object]:
        """Return what reads the first page of what the full-text index finds, and how many hits there are."""
        condition = f"work_order_search MATCH :match AND deleted_at IS NULL AND {condition}"
        joined = "work_order_search AS f CROSS JOIN work_orders AS w ON w.id = f.rowid"
        return self.read(
            f"{SELECT.replace('work_orders AS w', joined)} WHERE {condition} ORDER BY {order} LIMIT 20",
            f"SELECT count(*) FROM (SELECT 1 FROM {joined} WHERE {condition} LIMIT 1001)",
            match=match,
        )

    def texts(self, text: str, order: str = "w.id DESC") -> Callable[[], object]:
        """Return what reads the first page of the work orders with this text anywhere, and how many there are."""
        condition = """
            deleted_at IS NULL AND (w.title LIKE :like OR w.description LIKE :like OR EXISTS (
                SELECT 1 FROM work_order_history WHERE work_order_id = w.id AND note <> '' AND note LIKE :like
            ))
        """
        return self.read(
            f"{SELECT} WHERE {condition} ORDER BY {order} LIMIT 20",
            f"SELECT count(*) FROM (SELECT 1 FROM work_orders AS w WHERE {condition} LIMIT 1001)",
            like=f"%{text}%",
        )


def _screens(desk: Desk) -> List[Action]:
    anna, manager, uma, read = desk.anna, desk.max, desk.uma, desk.read
    returned = Session(desk.connection, manager.user_id, manager.password_version, 0)
    shown = work_order.read_page(anna, Query(), (), 20).work_orders
    return [
        Action("open", lambda: work_order.get(anna, desk.ordinary), read(SELECT_ONE, SELECT_HISTORY)),
        Action("history", lambda: work_order.history(anna, desk.ordinary), read(SELECT_ONE, SELECT_HISTORY)),
        Action("summary", lambda: work_order.summary(anna), read(SELECT_SUMMARY)),
        Action("my work", lambda: work_order.my_work(manager), read(SELECT_MY_WORK, SELECT_CHANGED)),
        Action("my work of a user", lambda: work_order.my_work(uma)),
        Action(
            "my work, away for years",
            lambda: work_order.my_work(returned),
            read(SELECT_MY_WORK, SELECT_CHANGED, seen=0),
        ),
        Action("changed by others", lambda: work_order.read_page(manager, Query(work_order.CHANGED), (), 20)),
        Action(
            "changed by others, away for years",
            lambda: work_order.read_page(returned, Query(work_order.CHANGED), (), 20),
        ),
        Action("categories", lambda: work_order.categories(anna), read(SELECT_CATEGORIES)),
        Action("assignees", lambda: users.list_assignees(anna), read(SELECT_ASSIGNEES)),
        Action(
            "what somebody would lose",
            lambda: users.count_assigned(anna, users.find(desk.connection, "manager1")),
            read("SELECT count(*) FROM work_orders WHERE assignee_id = :max AND urgency < 4 AND deleted_at IS NULL"),
        ),
        Action(
            "users",
            lambda: users.list_users(anna, None, 20),
            read("SELECT * FROM users WHERE username > '' ORDER BY username LIMIT 20"),
        ),
        Action(
            "deleted",
            lambda: work_order.list_deleted(anna, None, 20),
            read(SELECT + "WHERE deleted_at IS NOT NULL ORDER BY deleted_at DESC, w.id DESC LIMIT 20"),
        ),
        Action("list shown again", lambda: work_order.reread_page(anna, Query(), shown)),
    ]


def _audit_log(desk: Desk) -> List[Action]:
    anna, newest = desk.anna, "ORDER BY audit_log.id DESC LIMIT 20"
    filters = (
        ("audit log", AuditFilter(), "1"),
        ("audit log of an account", AuditFilter(username="user1"), "(user_id = :uma OR subject_id = :uma)"),
        ("audit log of an admin", AuditFilter(username="anna"), "(user_id = :anna OR subject_id = :anna)"),
        ("audit log of a common kind", AuditFilter(event="logged in"), "event = 'logged in'"),
        ("audit log of a rare kind", AuditFilter(event="database checked"), "event = 'database checked'"),
        (
            "audit log of an account and a kind",
            AuditFilter("user1", "password changed"),
            "event = 'password changed' AND (user_id = :uma OR subject_id = :uma)",
        ),
    )
    return [
        *(
            Action(
                name,
                lambda about=about: users.audit_log(anna, about, None, 20),  # type: ignore[misc]
                desk.read(f"{SELECT_AUDIT_LOG} WHERE {condition} {newest}"),
            )
            for name, about, condition in filters
        ),
        Action("audit log's kinds", lambda: users.audit_events(anna), desk.read(SELECT_EVENTS)),
    ]


def _listed(session: Session, query: Query, seen: Sequence[work_order.WorkOrder] = ()) -> Callable[[], object]:
    return lambda: work_order.read_page(session, query, seen, 20)


def _lists(desk: Desk) -> List[Action]:
    anna, seen = desk.anna, work_order.read_page(desk.anna, Query(), (), 500).work_orders
    last = seen[-1]
    after = f"(urgency, w.created_second, w.id) > ({last.urgency}, {last.created_second}, {last.id})"
    overdue, three = Filter(due=Due.OVERDUE), FILTERS[13]
    return [
        *(Action(f"list by {sort}", _listed(anna, Query(sort=sort)), desk.page("1", ORDER_BY[sort])) for sort in Sort),
        Action("list, page 26", _listed(anna, Query(), seen), desk.page("1", after=after)),
        Action("list of a user", _listed(desk.uma, Query()), desk.page("requester_id = :uma")),
        *(Action(f"list: {name}", _listed(anna, Query(each)), desk.page(sql)) for name, each, sql in FILTERS),
        *(
            Action(f"list: overdue, by {sort}", _listed(anna, Query(overdue, sort)), desk.page(OVERDUE, ORDER_BY[sort]))
            for sort in list(Sort)[1:]
        ),
        Action(
            f"list: {three[0]}, by due",
            _listed(anna, Query(three[1], Sort.DUE)),
            desk.page(three[2], ORDER_BY[Sort.DUE]),
        ),
        Action("count", lambda: work_order.read_page(anna, Query(), (), 0), desk.read(*desk.counts("1"))),
    ]


def _searched(session: Session, text: str, **changes: object) -> Callable[[], object]:
    """Return what searches for the text and shows the first page, in another order or filtered if it says so."""

    def search() -> object:
        query = work_order.search(session, text)._replace(**changes)  # type: ignore[arg-type]
        return work_order.read_page(session, query, (), 20)

    return search


def _searches(desk: Desk) -> List[Action]:
    anna, hits, texts = desk.anna, desk.hits, desk.texts
    return [
        Action("search: a rare word", _searched(anna, "quokka"), hits("quokka*")),
        Action("search: a common word", _searched(anna, "printer"), hits("printer*")),
        Action("search: two common words", _searched(anna, "printer network"), hits("printer* network*")),
        Action("search: a common and a rare word", _searched(anna, "the quokka"), hits("the* quokka*")),
        Action("search: two letters", _searched(anna, "pr"), hits("pr*")),
        Action("search: one letter", _searched(anna, "p"), hits("p*")),
        Action("search of a user", _searched(desk.uma, "printer"), hits("printer*", "requester_id = :uma")),
        Action(
            "search: a common word, of an assignee",
            _searched(anna, "printer", filter=Filter(assignee="manager1")),
            hits("printer*", "assignee_id = :max"),
        ),
        *(
            Action(
                f"search: a common word, by {sort}",
                _searched(anna, "printer", sort=sort),
                hits("printer*", order=ORDER_BY[sort].replace("w.id", "f.rowid")),
            )
            for sort in (Sort.URGENCY, Sort.OLDEST, Sort.CHANGED, Sort.DUE)
        ),
        Action("search: a common substring", _searched(anna, "rinte"), texts("rinte")),
        Action(
            "search: a common substring, by urgency",
            _searched(anna, "rinte", sort=Sort.URGENCY),
            texts("rinte", ORDER_BY[Sort.URGENCY]),
        ),
        Action("search: a rare substring", _searched(anna, "uokka"), texts("uokka")),
        Action("search: a substring not in ASCII", _searched(anna, "erät"), texts("erät")),
        Action("search: a substring in Chinese", _searched(anna, "印机"), texts("印机")),
        Action("search: what is not there", _searched(anna, "xyzzy"), texts("xyzzy")),
        Action("search: what is not there, not in ASCII", _searched(anna, "xÿzzÿ"), texts("xÿzzÿ")),
    ]


def _reports(desk: Desk) -> List[Action]:
    """Return the reports; each reads in slices, so that its time is no time that others wait."""
    anna = desk.anna
    return [
        Action("report: backlog", lambda: work_order.backlog(anna)),
        *(
            Action(f"report: {name}, {period.name}", lambda report=report, period=period: report(period))  # type: ignore[misc]
            for period in (work_order.parse_period("last 365 days"), work_order.parse_period("all"))
            for name, report in (
                ("resolution times", lambda period: work_order.resolution_times(anna, period, Grouping.PRIORITY)),
                ("weekly flow", lambda period: work_order.weekly_flow(anna, period)),
                ("workload", lambda period: work_order.workload(anna, period)),
            )
        ),
    ]


def _saves(desk: Desk) -> List[Action]:
    anna, uma, save, quokka = desk.anna, desk.uma, desk.save, desk.quokka
    names = itertools.cycle(("anna", "manager1"))

    def assign() -> object:
        return work_order.change(anna, work_order.get(anna, quokka).work_order, work_order.ASSIGNEE, next(names))

    return [
        Action("a flush alone, to compare with", desk.flush, calls=5 * CALLS),
        Action(
            "create",
            lambda: work_order.create(uma, "Printer jams", "Tray 2", Priority.HIGH),
            save(CREATE, f"{RECORD} VALUES (last_insert_rowid(), :uma, :now, 'created', NULL, NULL, '')"),
        ),
        Action(
            "comment",
            lambda: work_order.comment(uma, quokka, "It still sleeps"),
            save(TOUCH, f"{RECORD} VALUES (:quokka, :uma, :now, 'comment', NULL, NULL, 'It still sleeps')"),
        ),
        Action(
            "assign",
            assign,
            save(
                "UPDATE work_orders SET assignee_id = NULL, updated_at = :now WHERE id = :quokka",
                f"{RECORD} VALUES (:quokka, :anna, :now, 'assignee', 'anna', 'nobody', '')",
            ),
        ),
        Action("log in, but for the password", lambda: users.log_in(desk.connection, "user1", PASSWORD)),
    ]


def _changes_of_status(desk: Desk) -> List[Action]:
    """Return what changes a status, and takes another work order each time where it cannot be changed again."""
    anna, save, quokka = desk.anna, desk.save, desk.quokka
    resolved = work_order.read_page(anna, Query(Filter(status=Status.RESOLVED)), (), 2 * CALLS).work_orders
    opened = iter(work_order.read_page(anna, Query(Filter(status=Status.OPEN)), (), CALLS).work_orders)
    reopened, statuses = iter(resolved), itertools.cycle((Status.ON_HOLD, Status.OPEN))

    def change() -> None:
        work_order.change_status(anna, work_order.get(anna, quokka).work_order, next(statuses), "Waiting for a part")

    return [
        Action(
            "change the status, with a note",
            change,
            save(
                "UPDATE work_orders SET status = 'In Progress', updated_at = :now WHERE id = :quokka",
                f"{RECORD} VALUES (:quokka, :anna, :now, 'status', 'Open', 'In Progress', 'Waiting for a part')",
            ),
        ),
        Action("take", lambda: work_order.take(anna, next(opened))),
        Action(
            "reopen",
            lambda: work_order.change_status(anna, next(reopened), Status.IN_PROGRESS),
            save(
                "UPDATE work_orders SET status = 'In Progress', resolved_at = NULL, updated_at = :now WHERE id = :id",
                f"{RECORD} VALUES (:id, :anna, :now, 'status', 'Resolved', 'In Progress', '')",
                ids=[work_order.id for work_order in resolved[CALLS:]],
            ),
        ),
    ]


def _departures(desk: Desk) -> List[Action]:
    """Return what deactivates accounts: managers with much to do, and users who have none of it."""
    anna = desk.anna
    managers, others = iter(("manager2", "manager3")), (f"user{n}" for n in range(2, 2 + CALLS))
    ids = [users.find(desk.connection, name).id for name in ("manager4", "manager5")]
    idle = [users.find(desk.connection, f"user{n}").id for n in range(2 + CALLS, 2 + 2 * CALLS)]
    return [
        Action(
            "deactivate an assignee",
            lambda: users.deactivate(anna, next(managers)),
            desk.save(*DEACTIVATE, ids=ids),
            calls=2,
        ),
        Action(
            "deactivate somebody without work",
            lambda: users.deactivate(anna, next(others)),
            desk.save(*DEACTIVATE, ids=idle),
        ),
    ]


# Measuring


class Times(NamedTuple):
    """The median time of an action, and that of SQL written by hand, in seconds."""

    call: float
    by_hand: Optional[float]


def measure(path: Path) -> Dict[str, Times]:
    """Return the times of each action on a database that is ours to change."""
    desk, times = Desk(path), {}
    for group in (_screens, _audit_log, _lists, _searches, _reports, _saves, _changes_of_status, _departures):
        for action in group(desk):
            _report(f"{path.stem}: {action.name}")
            times[action.name] = _times(action)
    _report("")
    desk.close()
    return times


def _times(action: Action) -> Times:
    """Return the medians of several calls, of fewer where they take long.

    What is compared is called in turn, so that whatever else keeps the machine busy meets both.
    """
    began = time.monotonic()
    times: List[Tuple[float, float]] = []
    while len(times) < action.calls and time.monotonic() - began < PATIENCE_SECONDS:
        times.append((_time(action.call), _time(action.by_hand) if action.by_hand else 0))
    call, by_hand = map(statistics.median, zip(*times))
    return Times(call, by_hand or None)


def _time(call: Callable[[], object]) -> float:
    """Return how long a call takes in seconds; one that gives up counts as well."""
    start = time.perf_counter()
    with contextlib.suppress(database.TookTooLongError):
        call()
    return time.perf_counter() - start


def slowest_list(path: Path) -> Tuple[float, str]:
    """Return the time and the name of the slowest of all filters in all orders."""
    desk = Desk(path)
    times = [
        (_times(Action(name, _listed(desk.anna, Query(each, sort)))).call, f"{name}, by {sort}")
        for name, each, _ in FILTERS
        for sort in Sort
    ]
    desk.close()
    return max(times)


class Crowd(NamedTuple):
    """How long the slowest save took, in seconds, how many there were, and how often something was refused."""

    slowest: float
    saves: int
    refused: int


def crowd(path: Path) -> Crowd:
    """Let eight processes save comments, as fast as they can, while two search for what is not there."""
    connection = database.connect(path)
    ids = [each.id for each in work_order.read_page(Session(connection, 1, 1), Query(), (), 50 * WRITERS).work_orders]
    connection.close()
    tasks = [ids[n::WRITERS] for n in range(WRITERS)] + [[]] * SEARCHERS
    with ProcessPoolExecutor(len(tasks), multiprocessing.get_context("spawn")) as processes:
        slowest, saves, refused = zip(*processes.map(_take_part, [path] * len(tasks), tasks))
    return Crowd(max(slowest), sum(saves), sum(refused))


def _take_part(path: Path, ids: Sequence[int]) -> Crowd:
    """Comment on the work orders in turn or, if there are none, search, as often as the time allows."""
    try:
        connection = database.connect(path)
    except sqlite3.OperationalError:  # the others are at work already
        return Crowd(0, 0, 1)
    anna, times, refused = Session(connection, 1, 1), [], 0
    search, following, end = _searched(anna, "xyzzy"), itertools.cycle(ids), time.monotonic() + CROWD_SECONDS
    while time.monotonic() < end:
        start = time.perf_counter()
        try:
            if ids:
                work_order.comment(anna, next(following), "It jams again")
            else:
                search()
        except (sqlite3.OperationalError, database.TookTooLongError):
            refused += 1
        times.append(time.perf_counter() - start)
    connection.close()
    return Crowd(max(times), len(times), refused) if ids else Crowd(0, 0, refused)


# Somebody logs in, lists everything, searches for a common word and for what is not there, and leaves.
ANSWERS = f"2\nanna\n{PASSWORD}\n2\n1\n0\n4\nprinter\n0\n4\np\n0\n4\nxyzzy\n0\n0\n0\n"
# A process that has just been started counts the memory of the one that started it, so that one has to be small.
CHILD = """
import resource, subprocess, sys
subprocess.run([sys.executable, sys.argv[1]], stdout=subprocess.DEVNULL, check=True)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
"""


def memory(path: Path) -> float:
    """Return the peak memory of a session of the real program, in MiB."""
    done = _run(path, [sys.executable, "-c", CHILD, str(PROGRAM)], ANSWERS)
    return int(done) / (1024 * 1024 if sys.platform == "darwin" else 1024)


def start(path: Path) -> float:
    """Return how much longer the program takes to start than its largest imports do."""
    commands = ([sys.executable, str(PROGRAM)], [sys.executable, "-c", "import sqlite3, hashlib"])
    times: List[List[float]] = [[], []]
    for _ in range(15):
        for command, those in zip(commands, times):
            began = time.perf_counter()
            _run(path, command)
            those.append(time.perf_counter() - began)
    return statistics.median(times[0]) / statistics.median(times[1])


def _run(path: Path, command: List[str], answers: str = "") -> str:
    environment = {**os.environ, "WORK_ORDER_DB": str(path)}
    return subprocess.run(command, input=answers, stdout=subprocess.PIPE, env=environment, text=True, check=True).stdout


# Printing


def _print_table(measured: Mapping[int, Dict[str, Times]]) -> None:
    few, many = min(measured), max(measured)
    print(f"| Milliseconds | {' | '.join(f'{n:,}' for n in measured)} | ratio | to SQL by hand |")
    print(f"| --- |{' ---: |' * (len(measured) + 2)}")
    for name, (last, by_hand) in measured[many].items():
        times = " | ".join(_milliseconds(measured[n][name].call) for n in measured)
        compared = f"{last / by_hand:.1f}" if by_hand else "-"
        print(f"| {name} | {times} | {last / measured[few][name].call:.1f} | {compared} |")


def _milliseconds(seconds: float) -> str:
    return f"{seconds * 1000:.2f}" if seconds < 0.01 else f"{seconds * 1000:,.0f}"


def main() -> None:
    """Fill the databases, measure, and print it all."""
    many = int(sys.argv[1]) if len(sys.argv) > 1 else MANY
    users.SCRYPT_LOG_N, pause, database.YIELD_SECONDS = 4, database.YIELD_SECONDS, 0
    measured, lines = {}, []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for number in (*(n for n in (FEW, SOME) if n < many), many):
            path, began = folder / f"{number}.db", time.perf_counter()
            fill(path, number)
            seconds, size = time.perf_counter() - began, path.stat().st_size
            lines.append(
                f"{number:,} work orders: {size / number:,.0f} bytes each, filled in {seconds:,.0f} s; "
                f"a start takes {start(path):.1f} times as long as `import sqlite3, hashlib`."
            )
            measured[number] = measure(path)
        flush = measured[many]["a flush alone, to compare with"].call
        slowest, which = slowest_list(path)
        together = crowd(path)
        lines += [
            f"The slowest of {len(FILTERS)} filters in {len(Sort)} orders: {which}, {_milliseconds(slowest)} ms.",
            f"A save includes its flush to the disk, which alone took {_milliseconds(flush)} ms, but not the "
            f"pause of {_milliseconds(pause)} ms in which a session that has just saved lets others go first.",
            f"{WRITERS} processes that save {together.saves:,} comments without a pause, and {SEARCHERS} that search "
            f"for what is not there: the slowest save took {together.slowest:.2f} s, {together.refused} were refused.",
            f"A session that logs in, lists and searches takes at most {memory(path):.0f} MiB.",
        ]
    system = f"Python {platform.python_version()}, SQLite {sqlite3.sqlite_version}, {os.cpu_count()} processors"
    print(f"Medians of up to {CALLS} calls ({system}).\n")
    _print_table(measured)
    print()
    for line in lines:
        print(textwrap.fill(line, 118, initial_indent="- ", subsequent_indent="  "))


if __name__ == "__main__":
    main()
