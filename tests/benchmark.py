"""How long does each screen take? `python tests/benchmark.py [MANY]` tells; it is no test.

It fills databases with 1,000, with 100,000 and, if that is given, with MANY work orders. It prints, as Markdown, the
median milliseconds of what each screen waits for, how they grow from 1,000 to 100,000, and how many there may be.
"""

import random
import sqlite3
import statistics
import sys
import tempfile
import time
from contextlib import closing
from datetime import datetime, timedelta, timezone
from functools import partial
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List, Optional, Sequence, Tuple, cast

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import database
import users
import work_order
from users import NOBODY, NONE, AuditFilter, Role, Session
from work_order import AtLeast, Draft, Due, Filter, Grouping, Priority, Query, Sort, Status

FEW, SOME = 1_000, 100_000
CALLS, PATIENCE_SECONDS = 7, 3  # of each action at most
NOW, YEARS = datetime.now(timezone.utc), timedelta(days=5 * 365)
STAFF, FIRST_REQUESTER = range(1, 31), 31  # their IDs; 1 is an admin, the rest of the staff are managers
REQUESTER = f"person{FIRST_REQUESTER}"
FREQUENT = """
the to not is and printer of in on it network does after work laptop since no password screen an mail my room when
account has server keyboard error disk with update login cannot slow phone toner backup again from office gerät écran
monitor cable driver überhitzt 打印机 ネットワーク señal bloqueó 서버 c++ 10.0.0.1 o'neill
""".split()
CATEGORIES = "Hardware Software Network Printing Access Mail Phones Backup Security Laptops Monitors Servers".split()
COURSES = "Resolved|Cancelled|In Progress|In Progress,Resolved|In Progress,On Hold|Resolved,In Progress,Resolved"
HISTORY_COLUMNS = "work_order_id user_id changed_at field old_value new_value note is_imported minutes".split()
# Milliseconds at 100,000 work orders (design, section 1).
SCREEN, SORTED_SEARCH, INSIDE, REPORT = 50, 150, 500, 300

Row = Dict[str, Any]
Call = Callable[[], object]


def story(pick: random.Random, words: Sequence[str], number: int, total: int) -> Tuple[Row, List[Row]]:
    """Return the row of a work order and the rows of its history, oldest first."""

    def sentence(shortest: int, longest: int) -> str:
        start = pick.randrange(len(words) - longest)
        return " ".join(words[start : start + pick.randint(shortest, longest)])

    at = NOW - YEARS * (1 - number / total)
    requester = FIRST_REQUESTER + int(min(2_000, total // 50) * pick.random() ** 1.5)
    assignee = pick.choice(STAFF) if pick.random() < 0.88 else None
    (course,) = pick.choices(COURSES.split("|"), (18, 5, 18, 53, 3, 3))
    statuses = ["Open", *course.split(",")] if pick.random() < 0.9 else ["Open"]
    steps: List[Tuple[str, Optional[str], Optional[str], str]] = [("created", None, None, "")]
    steps += [("assignee", NOBODY, f"person{assignee}", "")] if assignee else []
    steps += [("comment", None, None, sentence(5, 30)) for _ in range(pick.choice((0, 0, 1, 2)))]
    steps += [("status", old, new, sentence(3, 15)) for old, new in zip(statuses, statuses[1:])]
    history: List[Row] = []
    for step in steps:
        history.append(dict(zip(HISTORY_COLUMNS, (number, assignee or requester, database.utc_text(at), *step, 0, 0))))
        at = min(NOW, at + timedelta(hours=pick.expovariate(1 / 8)))
    row: Row = {"id": number, "requester_id": requester, "assignee_id": assignee, "status": statuses[-1]}
    row.update(title=sentence(3, 8).capitalize()[:120], description=sentence(10, 60), due_by="hand", source_id=None)
    row.update(priority=pick.choices((1, 2, 3, 4), (25, 50, 20, 5))[0], category=pick.choice([None, *CATEGORIES]))
    row.update(created_at=history[0]["changed_at"], updated_at=history[-1]["changed_at"])
    row["resolved_at"] = row["updated_at"] if row["status"] == "Resolved" else None
    due_at = database.utc_text(NOW + timedelta(days=pick.randrange(-1800, 60)))
    row["due_at"] = due_at if pick.random() < 0.15 else None
    row["deleted_at"] = database.utc_text(NOW) if number % 200 == 1 else None
    return row, history


def fill(path: Path, number: int) -> None:
    """Make a database, always the same, of what a department writes in five years up to now."""
    pick = random.Random(10)
    # 30,000 different words, as often as Zipf's law has it: the nth of them 1/n as often as the first.
    syllables = [a + b for a in "b d f g k l m n p r s t v st tr".split() for b in "a e i o u an er".split()]
    known = dict.fromkeys(FREQUENT)
    while len(known) < 30_000:
        known["".join(pick.choices(syllables, k=pick.choice((2, 3, 3, 4))))] = None
    words = pick.choices(list(known), [1 / rank for rank in range(1, len(known) + 1)], k=1_000_000)
    people = [
        (each, "manager" if each in STAFF else "user") for each in range(2, FIRST_REQUESTER + min(2_000, number // 50))
    ]
    with closing(database.connect(path, create=True)) as connection:
        users.register(connection, "person1", "battery horse 9", Role.ADMIN)
        connection.execute("PRAGMA synchronous = OFF")
        with database.transaction(connection):
            columns = "id, username, password_hash, role, created_at"
            copied = "SELECT ?1, 'person' || ?1, password_hash, ?2, created_at FROM users WHERE id = 1"
            connection.executemany(f"INSERT INTO users ({columns}) {copied}", people)
            indexes = [*connection.execute("SELECT name, sql FROM sqlite_master WHERE type = 'index' AND sql > ''")]
            for name, _ in indexes:  # they are made faster of what is filled already
                connection.execute(f"DROP INDEX {name}")
            for each in range(1, number + 1):
                insert_story(connection, *story(pick, words, each, number))
            for _, sql in indexes:
                connection.execute(sql)
            columns = "recorded_at, user_id, subject_id, os_user, ssh_client, event, subject"
            logins = "SELECT created_at, requester_id, requester_id, 'host', '', 'logged in', '' FROM work_orders"
            connection.execute(f"INSERT INTO audit_log ({columns}) {logins}")
            changes = "(SELECT count(*) FROM work_order_history)"
            connection.execute(f"UPDATE users SET seen_history_id = {changes} - {number // 100}")


def insert_story(connection: sqlite3.Connection, row: Row, history: List[Row]) -> None:
    derived = database.derive(cast(Any, row), cast(Any, history))._asdict()
    search = [{"rowid": row["id"], "text": derived.pop("text")}]
    stored = {"work_orders": [{**row, **derived}], "work_order_history": history, "work_order_search": search}
    for table, rows in stored.items():
        placeholders = ", ".join(f":{column}" for column in rows[0])
        connection.executemany(f"INSERT INTO {table} ({', '.join(rows[0])}) VALUES ({placeholders})", rows)


def actions(path: Path, connection: database.Connection, number: int) -> Iterator[Tuple[str, int, Sequence[Call]]]:
    """Yield what somebody waits for, the milliseconds that it may take, and the calls of which the slowest counts."""
    admin, manager, user = (Session(connection, user_id, 1) for user_id in (1, 2, FIRST_REQUESTER))
    year, month = work_order.parse_period("last 365 days"), work_order.parse_period("last 30 days")
    middle = work_order.get(manager, number // 2).work_order
    starts = (None, middle)
    filters = (
        *(Filter(status=status) for status in (*Status, work_order.UNFINISHED)),
        *(Filter(priority=priority) for priority in (Priority.CRITICAL, AtLeast(Priority.HIGH))),
        *(Filter(category=category) for category in ("Network", NONE)),
        *(Filter(requester=REQUESTER), Filter(assignee="person2"), work_order.UNASSIGNED),
        *(*(Filter(due=due) for due in Due), Filter(created=month), Filter(resolved=month)),
        Filter(Status.RESOLVED.value, Priority.CRITICAL, "Network", None, "person2"),
        Filter(Status.ON_HOLD.value, Priority.CRITICAL, NONE, due=Due.OVERDUE),
    )

    def page(session: Session, query: Query, after: Optional[work_order.WorkOrder] = None) -> Call:
        return partial(work_order.find, session, query, after, 20)

    def found(text: str, filter: Filter = Filter(), sort: Sort = Sort.NEWEST) -> Call:
        return lambda: page(manager, work_order.search(manager, text)._replace(filter=filter, sort=sort))()

    def change_status() -> None:
        shown = work_order.get(manager, middle.id).work_order
        status = Status.ON_HOLD if shown.status is Status.OPEN else Status.OPEN
        work_order.change(manager, shown, work_order.STATUS, status, "Because")

    yield "Open the database", SCREEN, [lambda: database.connect(path).close()]
    for sort in Sort:
        yield f"List, {sort}", SCREEN, [page(manager, Query(sort=sort), after) for after in starts]
        filtered = [page(manager, Query(each, sort), after) for each in filters for after in starts]
        yield f"List, {sort}, the slowest of {len(filters)} filters", SCREEN, filtered
    yield "List of a user", SCREEN, [page(user, Query(sort=sort), after) for sort in Sort for after in starts]
    usual = ("printer", "the", "pri", "network slow", "c++", "10.0.0.1", "oneill", "打印")
    yield "Search", SCREEN, [found(text) for text in usual]
    narrowed = [found(text, each) for text in usual[:4] for each in filters]
    narrowed += [found(text, sort=sort) for text in usual[:4] for sort in (Sort.URGENCY, Sort.CHANGED, Sort.DUE)]
    yield "Search, filtered or sorted", SORTED_SEARCH, narrowed
    yield "Search inside words", INSIDE, [found(text) for text in ("rinte", "bamosta", "werk tenz", "x+y")]
    both = [lambda: (work_order.get(manager, middle.id), work_order.history(manager, middle.id, None, 20))]
    yield "Work order and its history", SCREEN, both
    yield "My work, main menu", SCREEN, [partial(work_order.my_work, session) for session in (manager, user)]
    yield "Changed by others", SCREEN, [page(manager, work_order.open_changes(manager))]
    yield "Summary", SCREEN, [partial(work_order.summary, session) for session in (manager, user)]
    assignees = partial(users.list_people, manager, users.People.ASSIGNEES)
    log = partial(users.audit_log, admin, AuditFilter(username=REQUESTER), None, 20)
    yield "Assignees, categories, audit log", SCREEN, [assignees, partial(work_order.categories, manager), log]
    times = [partial(work_order.resolution_times, manager, year, grouping) for grouping in Grouping]
    yield "Resolution times of a year", REPORT, times
    yield "Weekly flow of a year", REPORT, [partial(work_order.weekly_flow, manager, year)]
    yield "Workload of a year", REPORT, [partial(work_order.workload, manager, year)]
    yield "Backlog", REPORT, [partial(work_order.backlog, manager)]
    yield "Create", SCREEN, [partial(work_order.create, user, Draft("Printer jams", "on every second page " * 20))]
    yield "Comment", SCREEN, [partial(work_order.comment, manager, middle.id, "I have looked at it. " * 10)]
    yield "Change the status", SCREEN, [change_status]


def milliseconds(call: Call) -> float:
    """Return the median time of some calls."""
    times: List[float] = []
    until = time.perf_counter() + PATIENCE_SECONDS
    while len(times) < CALLS and (not times or time.perf_counter() < until):
        begin = time.perf_counter()
        call()
        times.append((time.perf_counter() - begin) * 1000)
    return statistics.median(times)


def measure(number: int) -> Dict[str, Tuple[float, int]]:
    """Return how long each action takes in a database with that number of work orders, and how long it may."""
    measured = {}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "work_order.db"
        print(f"Filling in {number:,} work orders ...", file=sys.stderr)
        fill(path, number)
        with closing(database.connect(path)) as connection:
            for name, budget, calls in actions(path, connection, number):
                measured[name] = max(map(milliseconds, calls)), budget
                print(f"{measured[name][0]:8.1f} ms  {name}", file=sys.stderr)
        print(f"{number:,} work orders take {path.stat().st_size / 1e6:,.0f} MB.")
    return measured


def main() -> None:
    users.SCRYPT_LOG_N = 4
    numbers = [FEW, SOME, *(int(argument.replace(",", "")) for argument in sys.argv[1:])]
    results = [measure(number) for number in numbers]
    print(f"\nSQLite {sqlite3.sqlite_version}, Python {sys.version.split()[0]}; milliseconds:\n")
    print("|", " | ".join(["Action", *(f"{number:,}" for number in numbers), "100,000 : 1,000", "Budget"]), "|")
    print("| --- |" + " ---: |" * (len(numbers) + 2))
    for name, (few, budget) in results[0].items():
        times = [result[name][0] for result in results]
        mark = " (over)" if times[1] > budget else ""
        cells = [name, *(f"{each:,.1f}" for each in times), f"{times[1] / few:,.1f}", f"{budget}{mark}"]
        print("|", " | ".join(cells), "|")


if __name__ == "__main__":
    main()
