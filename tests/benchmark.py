"""How long does each screen take? `python tests/benchmark.py [MANY]` tells; it is no test.

It fills databases with 1,000 and 100,000 work orders, and with MANY if that is given, and prints, as Markdown, the
median milliseconds of what each screen waits for, how many times as long that takes with 100,000 as with 1,000, and
the time that it may take.
"""

import os
import random
import sqlite3
import statistics
import sys
import tempfile
import time
from contextlib import closing
from datetime import datetime, timezone
from functools import partial
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List, NamedTuple, Optional, Sequence, Tuple, cast

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import database
import users
import work_order
from users import NOBODY, NONE, AuditFilter, Role, Session
from work_order import AtLeast, Draft, Due, Filter, Grouping, Priority, Query, Sort, Status

FEW, SOME = 1_000, 100_000
CALLS, PATIENCE_SECONDS = 7, 3  # of each action at most
PASSWORD = "battery horse 9"
YEARS, DAY, HOUR = 5, 24 * 3600, 3600
BATCH = 10_000
FREQUENT = """
the to not is and printer of in on it network does after work laptop since no password screen an mail my room when
account has server keyboard error disk with update login cannot slow phone toner backup again from office gerät écran
monitor cable driver überhitzt 打印机 ネットワーク señal bloqueó 서버 c++ 10.0.0.1 o'neill
""".split()
CATEGORIES = "Hardware Software Network Printing Access Mail Phones Backup Security Laptops Monitors Servers".split()
HISTORY_COLUMNS = "work_order_id user_id changed_at field old_value new_value note is_imported minutes".split()
# Milliseconds at 100,000 work orders (design, section 1).
SCREEN, SORTED_SEARCH, INSIDE, REPORT = 50, 150, 500, 300


# Making up a database


class Department:
    """Invents, always the same, what a department writes in five years up to now."""

    def __init__(self, number: int) -> None:
        self.number, self.random, self.now = number, random.Random(10), int(time.time())
        self.begin = self.now - YEARS * 365 * DAY
        users_in_all = min(2_000, max(20, number // 100))
        self.assignees = range(1, 31 if number > FEW else 7)  # the first is anna
        self.requesters = range(self.assignees.stop, self.assignees.stop + users_in_all)
        self.words = self._sample()

    def name(self, user_id: int) -> str:
        kind = "manager" if user_id in self.assignees else "user"
        return "anna" if user_id == 1 else f"{kind}{user_id}"

    def work_orders(self) -> Iterator[Tuple[Dict[str, Any], List[Dict[str, Any]]]]:
        """Yield the row of each work order with its rows of the history, oldest first."""
        for number in range(1, self.number + 1):
            created = self.begin + int((number - self.random.random()) / self.number * (self.now - self.begin))
            yield self._work_order(number, created)

    def _work_order(self, number: int, created: int) -> Tuple[Dict[str, Any], List[Dict[str, Any]]]:
        pick = self.random
        requester = self.requesters[int(len(self.requesters) * pick.random() ** 1.5)]
        row: Dict[str, Any] = {
            "id": number,
            "title": self._sentence(3, 8).capitalize()[:120],
            "description": self._sentence(10, 60),
            "priority": pick.choices((1, 2, 3, 4), (25, 50, 20, 5))[0],
            "category": pick.choice(CATEGORIES) if pick.random() < 0.85 else None,
            "status": "Open",
            "requester_id": requester,
            "assignee_id": None,
            "created_at": _text(created),
            "resolved_at": None,
            "due_at": None,
            "due_by": None,
            "deleted_at": _text(self.now) if pick.random() < 0.005 else None,
            "source_id": None,
        }
        history: List[Dict[str, Any]] = []
        at = created
        for by, field, new, note in self._steps(requester):
            if at > self.now:
                break
            old = {"status": row["status"], "assignee": NOBODY, "due date": NONE}.get(field)
            entry = (number, by, _text(at), field, old, new, note, 0, 0)
            history.append(dict(zip(HISTORY_COLUMNS, entry)))
            row["updated_at"] = _text(at)
            if field == "status":
                row.update(status=new, resolved_at=_text(at) if new == "Resolved" else None)
            elif field == "assignee":
                row["assignee_id"] = by
            elif field == "due date":
                row.update(due_at=new, due_by="hand")
            at += 60 + int(pick.expovariate(1 / (8 * HOUR)))
        return row, history

    def _steps(self, requester: int) -> Iterator[Tuple[int, str, Optional[str], str]]:
        """Yield who does what to a work order, about four things, mostly up to its end."""
        chance, assignee = self.random.random, self.random.choice(self.assignees)
        yield requester, "created", None, ""
        if chance() < 0.15:
            yield assignee, "due date", _text(self.now + self.random.randrange(-1800, 60) * DAY), ""
        if chance() < 0.88:
            yield assignee, "assignee", self.name(assignee), ""
        if chance() < 0.65:
            yield assignee, "status", "In Progress", ""
        if chance() < 0.1:
            yield assignee, "status", "On Hold", self._sentence(3, 12)
            yield assignee, "status", "In Progress", ""
        while chance() < 0.3:
            yield self.random.choice((requester, assignee)), "comment", None, self._sentence(5, 30)
        if chance() < 0.8:
            yield assignee, "status", "Resolved" if chance() < 0.93 else "Cancelled", self._sentence(3, 15)
            if chance() < 0.05:
                yield requester, "status", "In Progress", self._sentence(3, 15)
                yield assignee, "status", "Resolved", ""

    def _sentence(self, shortest: int, longest: int) -> str:
        length = self.random.randint(shortest, longest)
        start = self.random.randrange(len(self.words) - length)
        return " ".join(self.words[start : start + length])

    def _sample(self) -> List[str]:
        """Return words, 30,000 different ones, as often as Zipf's law has it: the nth of them 1/n as often."""
        syllables = [a + b for a in "b d f g k l m n p r s t v st tr".split() for b in "a e i o u an er".split()]
        words = dict.fromkeys(FREQUENT)
        while len(words) < 30_000:
            words["".join(self.random.choices(syllables, k=self.random.choice((2, 3, 3, 4))))] = None
        return self.random.choices(list(words), [1 / rank for rank in range(1, len(words) + 1)], k=1_000_000)


def _text(moment: int) -> str:
    return datetime.fromtimestamp(moment, timezone.utc).isoformat()


def fill(path: Path, number: int) -> None:
    """Make a database with that number of work orders, and anna, managers and users who all have the same password."""
    department = Department(number)
    with closing(database.connect(path, create=True)) as connection:
        users.register(connection, "anna", PASSWORD, Role.ADMIN)
        connection.execute("PRAGMA foreign_keys = OFF")
        connection.execute("PRAGMA synchronous = OFF")
        with database.transaction(connection):
            made_again = _drop_indexes(connection)
            _insert_users(connection, department)
            work_orders = department.work_orders()
            for done in range(0, number, BATCH):
                print(f"\r{done:,} of {number:,} work orders  ", end="", file=sys.stderr, flush=True)
                _insert(connection, [next(work_orders) for _ in range(min(BATCH, number - done))])
            for statement in made_again:
                connection.execute(statement)
            connection.execute(
                "UPDATE users SET seen_history_id = (SELECT max(id) FROM work_order_history) - ?", (number // 100,)
            )
    print(f"\r{number:,} work orders filled in{' ' * 20}", file=sys.stderr)
    if hasattr(os, "sync"):  # so that what is measured does not wait for what was filled
        os.sync()


def _drop_indexes(connection: sqlite3.Connection) -> List[str]:
    """Drop the indexes, which are made faster of what is filled already, and return the SQL that makes them again."""
    rows = connection.execute("SELECT name, sql FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL").fetchall()
    for name, _ in rows:
        connection.execute(f"DROP INDEX {name}")
    return [sql for _, sql in rows]


def _insert_users(connection: sqlite3.Connection, department: Department) -> None:
    (password_hash,) = connection.execute("SELECT password_hash FROM users").fetchone()
    connection.executemany(
        "INSERT INTO users (id, username, password_hash, role, created_at) VALUES (?, ?, ?, ?, ?)",
        (
            (number, department.name(number), password_hash, role, _text(department.begin))
            for role, numbers in (("manager", department.assignees[1:]), ("user", department.requesters))
            for number in numbers
        ),
    )
    connection.executemany(
        """
        INSERT INTO audit_log (recorded_at, user_id, subject_id, os_user, ssh_client, event, subject)
        VALUES (?, ?, ?, 'host', '', 'logged in', ?)
        """,
        (
            (_text(department.begin + n), number, number, department.name(number))
            for n in range(department.number)
            for number in (department.random.choice(department.requesters),)
        ),
    )


def _insert(connection: sqlite3.Connection, stories: Sequence[Tuple[Dict[str, Any], List[Dict[str, Any]]]]) -> None:
    """Insert work orders with their history, what is derived of them, and what is searched."""
    rows, texts = [], []
    for row, history in stories:
        derived = database.derive(cast(Any, row), cast(Any, history))._asdict()
        texts.append((row["id"], derived.pop("text")))
        rows.append({**row, **derived})
    for table, filled in (("work_orders", rows), ("work_order_history", [each for _, own in stories for each in own])):
        columns = ", ".join(filled[0])
        placeholders = ", ".join(f":{column}" for column in filled[0])
        connection.executemany(f"INSERT INTO {table} ({columns}) VALUES ({placeholders})", filled)
    connection.executemany("INSERT INTO work_order_search (rowid, text) VALUES (?, ?)", texts)


# What is measured


class Action(NamedTuple):
    """What somebody waits for, the milliseconds that it may take, and the calls of which the slowest counts."""

    name: str
    budget: int
    calls: Sequence[Callable[[], object]]


def actions(path: Path, connection: database.Connection, number: int) -> Iterator[Action]:
    """Yield what is measured in a database with that number of work orders."""
    people = {row["username"]: row["id"] for row in connection.execute("SELECT id, username FROM users")}
    requester = next(name for name in people if name.startswith("user"))
    anna, manager, user = (Session(connection, people[name], 1) for name in ("anna", "manager2", requester))
    year = work_order.parse_period("last 365 days")
    month = work_order.parse_period("last 30 days")
    middle = next(work_order.get(anna, each).work_order for each in range(number // 2, number) if _is_there(anna, each))
    filters = (
        *(Filter(status=status) for status in (*Status, work_order.UNFINISHED)),
        *(Filter(priority=priority) for priority in (Priority.CRITICAL, AtLeast(Priority.HIGH))),
        *(Filter(category=category) for category in ("Network", NONE)),
        *(Filter(requester=requester), Filter(assignee="manager2"), work_order.UNASSIGNED),
        *(Filter(due=due) for due in Due),
        *(Filter(created=month), Filter(resolved=month)),
        Filter(Status.RESOLVED.value, Priority.CRITICAL, "Network", None, "manager2"),
        Filter(Status.ON_HOLD.value, Priority.CRITICAL, NONE, due=Due.OVERDUE),
    )

    def page(session: Session, query: Query, after: Optional[work_order.WorkOrder] = None) -> Callable[[], object]:
        return lambda: work_order.find(session, query, after, 20)

    def found(text: str, filter: Filter = Filter(), sort: Sort = Sort.NEWEST) -> Callable[[], object]:
        return lambda: work_order.find(
            manager, work_order.search(manager, text)._replace(filter=filter, sort=sort), None, 20
        )

    yield Action("Open the database", SCREEN, [lambda: database.connect(path).close()])
    for sort in Sort:
        yield Action(f"List, {sort}", SCREEN, [page(manager, Query(sort=sort), after) for after in (None, middle)])
        filtered = [page(manager, Query(each, sort), after) for each in filters for after in (None, middle)]
        yield Action(f"List, {sort}, the slowest of {len(filters)} filters", SCREEN, filtered)
    yield Action(
        "List of a user", SCREEN, [page(user, Query(sort=sort), after) for sort in Sort for after in (None, middle)]
    )
    usual = ("printer", "the", "pri", "network slow", "c++", "10.0.0.1", "oneill", "打印")
    yield Action("Search", SCREEN, [found(text) for text in usual])
    sorted_otherwise = [found(text, sort=sort) for text in usual[:4] for sort in (Sort.URGENCY, Sort.CHANGED, Sort.DUE)]
    narrowed = [found(text, each) for text in usual[:4] for each in filters]
    yield Action("Search, filtered or sorted", SORTED_SEARCH, [*sorted_otherwise, *narrowed])
    yield Action("Search inside words", INSIDE, [found(text) for text in ("rinte", "bamosta", "werk tenz", "x+y")])
    yield Action(
        "Work order and its history",
        SCREEN,
        [lambda: (work_order.get(manager, middle.id), work_order.history(manager, middle.id, None, 20))],
    )
    yield Action("My work, main menu", SCREEN, [lambda: work_order.my_work(manager), lambda: work_order.my_work(user)])
    yield Action("Changed by others", SCREEN, [page(manager, work_order.open_changes(manager))])
    yield Action("Summary", SCREEN, [lambda: work_order.summary(manager), lambda: work_order.summary(user)])
    yield Action(
        "Assignees, categories, audit log",
        SCREEN,
        [
            lambda: users.list_people(manager, users.People.ASSIGNEES),
            lambda: work_order.categories(manager),
            lambda: users.audit_log(anna, AuditFilter(username=requester), None, 20),
        ],
    )
    yield Action(
        "Resolution times of a year",
        REPORT,
        [partial(work_order.resolution_times, manager, year, grouping) for grouping in Grouping],
    )
    yield Action("Weekly flow of a year", REPORT, [lambda: work_order.weekly_flow(manager, year)])
    yield Action("Workload of a year", REPORT, [lambda: work_order.workload(manager, year)])
    yield Action("Backlog", REPORT, [lambda: work_order.backlog(manager)])
    yield Action(
        "Create", SCREEN, [lambda: work_order.create(user, Draft("Printer jams", "on every second page " * 20))]
    )
    yield Action("Comment", SCREEN, [lambda: work_order.comment(manager, middle.id, "I have looked at it. " * 10)])
    yield Action("Change the status", SCREEN, [lambda: _change_status(manager, middle.id)])


def _is_there(session: Session, number: int) -> bool:
    try:
        return bool(work_order.get(session, number))
    except work_order.NotFoundError:
        return False


def _change_status(session: Session, number: int) -> None:
    shown = work_order.get(session, number).work_order
    other = Status.ON_HOLD if shown.status is Status.OPEN else Status.OPEN
    work_order.change(session, shown, work_order.STATUS, other, "Because")


def milliseconds(call: Callable[[], object]) -> float:
    """Return the median time of some calls."""
    times: List[float] = []
    until = time.perf_counter() + PATIENCE_SECONDS
    while len(times) < CALLS and (not times or time.perf_counter() < until):
        begin = time.perf_counter()
        call()
        times.append((time.perf_counter() - begin) * 1000)
    return statistics.median(times)


def measure(path: Path, number: int) -> Dict[str, Tuple[float, int]]:
    """Return how long each action takes, and how long it may."""
    measured = {}
    with closing(database.connect(path)) as connection:
        for action in actions(path, connection, number):
            measured[action.name] = max(map(milliseconds, action.calls)), action.budget
            print(f"{measured[action.name][0]:8.1f} ms  {action.name}", file=sys.stderr)
    return measured


def main() -> None:
    """Fill, measure and print."""
    users.SCRYPT_LOG_N = 4
    numbers = [FEW, SOME, *(int(argument.replace(",", "")) for argument in sys.argv[1:])]
    results = []
    for number in numbers:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "work_order.db"
            fill(path, number)
            results.append(measure(path, number))
            megabytes = path.stat().st_size / 1e6
            print(f"{number:,} work orders take {megabytes:,.0f} MB.")
    print(f"\nSQLite {sqlite3.sqlite_version}, Python {sys.version.split()[0]}; milliseconds:\n")
    print("|", " | ".join(["Action", *(f"{number:,}" for number in numbers), "100,000 : 1,000", "Budget"]), "|")
    print("| --- |" + " ---: |" * (len(numbers) + 2))
    for name, (few, budget) in results[0].items():
        times = [result[name][0] for result in results]
        mark = " (over)" if times[1] > budget else ""
        print(
            "|",
            " | ".join([name, *(f"{each:,.1f}" for each in times), f"{times[1] / few:,.1f}", f"{budget}{mark}"]),
            "|",
        )


if __name__ == "__main__":
    main()
