"""How much slower is each action with many work orders than with few? `python tests/benchmark.py [MANY]` tells.

It is no test.
"""

import heapq
import itertools
import random
import re
import sqlite3
import sys
import time
from datetime import datetime, timezone
from pathlib import Path
from typing import Dict, Iterator, List, NamedTuple, Optional, Tuple

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import database
import users
from users import NOBODY, NONE, Role
from work_order import Status

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
        self.assignees = range(1, 2 + min(30, max(4, accounts // 8)))  # the first is anna
        self.requesters = range(self.assignees.stop, self.assignees.stop + accounts)
        names = [f"manager{n}" for n in self.assignees[:-1]] + [f"user{n}" for n in range(1, accounts + 1)]
        self.names = dict(enumerate(["anna", *names], 1))
        self.categories = CATEGORIES[: 6 + number // 29_000]
        self.words = _sample(self.random)
        self.position = itertools.count()

    def accounts(self, password_hash: str) -> Iterator[Row]:
        """Return the rows of everybody but anna; each fortieth user has left."""
        for id, name in list(self.names.items())[1:]:
            role = Role.MANAGER if id in self.assignees else Role.USER
            yield id, name, password_hash, role, role is Role.MANAGER or id % 40 > 0, _text(self.begin)

    def work_orders(self) -> Iterator[Tuple[Row, List[Row]]]:
        """Return each work order, oldest first, with what has happened in all of them since the one before."""
        pending: List[Row] = []
        for id in range(1, self.number + 1):
            created = self.begin + int((id - 1 + self.random.random()) / self.number * (self.now - self.begin))
            work_order, history = self._work_order(id, created)
            for row in history:
                heapq.heappush(pending, row)
            passed = []
            while pending and (pending[0][0] <= created or id == self.number):  # type: ignore[operator]
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

    def _work_order(self, id: int, created: int) -> Tuple[Row, List[Row]]:
        """Return the row of a work order and those of its history, which tells how the row became what it is."""
        requester, assignee = self._requester(), self._assignee()
        state: Dict[str, Optional[str]] = {"status": Status.OPEN, "assignee": NOBODY, "due date": NONE}
        at, resolved, history = created, None, []
        for by, field, new, note in self._steps(requester, assignee, created):
            if at > self.now:
                break
            changed, old = at, state.get(field) if new else None
            history.append((at, next(self.position), id, by, field, old, new, note))
            state[field] = new
            if field == "status":
                resolved = at if new == Status.RESOLVED else None
            at += 60 + int(self.random.expovariate(1 / (8 * HOUR)))
        return (
            id,
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
        ), history

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
        for statement in (*made_again, *_backfills(connection)):
            _report(" ".join(statement.split())[:60])
            connection.execute(statement)
        connection.execute("UPDATE users SET seen_history_id = max(0, (SELECT max(id) FROM work_order_history) - 2000)")
    _report("")
    connection.close()


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


def _backfills(connection: sqlite3.Connection) -> List[str]:
    """Return what fills the tables that triggers keep: each full-text index, and what the migrations have filled.

    Where several migrations have filled the same table, the last one knows its columns.
    """
    tables = connection.execute("SELECT name, sql FROM sqlite_master WHERE type = 'table'").fetchall()
    indexes = [name for name, sql in tables if re.match(r"CREATE VIRTUAL TABLE .*\bfts5\b", sql, re.DOTALL)]
    by_table = {}
    for statement in itertools.chain(*database.MIGRATIONS):
        insert = re.match(r"\s*INSERT INTO (\w+)\b.*\bFROM (work_orders|audit_log)\b", statement, re.DOTALL)
        if insert and insert[1] in {name for name, _ in tables} - set(indexes):
            by_table[insert[1]] = statement
    emptied = [f"DELETE FROM {name}" for name in by_table]
    return [*emptied, *by_table.values(), *(f"INSERT INTO {name} ({name}) VALUES ('rebuild')" for name in indexes)]


def _report(text: str) -> None:
    print(f"\r{text:<70}", end="\r" if not text else "", file=sys.stderr, flush=True)
