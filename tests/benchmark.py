"""How much slower is each action with many work orders than with few? `python tests/benchmark.py [MANY]` tells.

It fills two databases, one with 1,000 work orders and one with MANY (1,000,000), takes the median of several calls of
each function that a screen waits for on both, and prints the two times and their ratio. It is no test.
"""

import sqlite3
import statistics
import sys
import tempfile
import time
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Callable, Dict

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import database
import users
import work_order
from users import Role, Session
from work_order import Due, Priority, Selection, Sort, Status

FEW, MANY = 1_000, 1_000_000
CALLS = 5
PASSWORD = "battery horse 9"
WORDS = (
    "printer laptop screen network password account mail backup server disk keyboard phone toner update login".split()
)


def fill(path: Path, number: int) -> None:
    """Make a database with that many work orders of a hundred users, four of five of them finished."""
    connection = database.connect(path, create=True)
    users.register(connection, "anna", PASSWORD, Role.ADMIN)
    for user in range(100):
        users.register(connection, f"user{user}", PASSWORD, Role.USER)
    start = datetime(2020, 1, 1, tzinfo=timezone.utc)
    with database.transaction(connection):
        for n in range(1, number + 1):
            at = (start + timedelta(minutes=3 * n)).isoformat(timespec="seconds")
            status = Status.OPEN if n // 7 % 5 == 0 else Status.RESOLVED
            title = f"{WORDS[n % 15]} {WORDS[n % 13]} number {n}"
            connection.execute(
                """
                INSERT INTO work_orders (title, description, priority, status, requester_id, assignee_id, created_at,
                    updated_at, resolved_at, due_at)
                VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
                """,
                (
                    title,
                    f"The {WORDS[n % 11]} in room {n % 500} does not work since the {WORDS[n % 7]} was changed.",
                    n % 4 + 1,
                    status,
                    n % 100 + 2,
                    1 if n % 3 else None,
                    at,
                    at,
                    at if status is Status.RESOLVED else None,
                    at if n % 10 == 0 else None,
                ),
            )
            connection.execute(
                """
                INSERT INTO work_order_history (work_order_id, user_id, changed_at, field) VALUES (?, 1, ?, 'created')
                """,
                (n, at),
            )
    connection.close()


def actions(connection: sqlite3.Connection, anna: Session, uma: Session) -> Dict[str, Callable[[], object]]:
    """Return what is measured, by name."""

    def listed(session: Session, selection: Selection) -> Callable[[], object]:
        return lambda: work_order.list_after(connection, session, selection, None, 20)

    def searched(session: Session, text: str) -> Callable[[], object]:
        def search() -> None:
            selection = work_order.search(connection, session, text)
            found = work_order.list_after(connection, session, selection, None, 20)
            work_order.count(connection, session, selection)
            work_order.excerpts(connection, session, selection, [order.id for order in found])

        return search

    middle = work_order.list_after(connection, anna, Selection(), None, 500)[-1]
    own = work_order.list_after(connection, uma, Selection(status=work_order.UNFINISHED), None, 1)[0]
    return {
        "open": lambda: work_order.get(connection, anna, 500),
        "history": lambda: work_order.history(connection, anna, 500),
        "create": lambda: work_order.create(connection, uma, "Printer jams", "Tray 2", Priority.HIGH),
        "comment": lambda: work_order.comment(connection, uma, own.id, "Still so"),
        "summary": lambda: work_order.summary(connection, anna),
        "news": lambda: work_order.news(connection, uma, 5),
        **{f"list by {sort}": listed(anna, Selection(sort=sort)) for sort in Sort},
        "list, page 26": lambda: work_order.list_after(connection, anna, Selection(), middle, 20),
        "list of a user": listed(uma, Selection()),
        "filter status": listed(anna, Selection(status=Status.OPEN)),
        "filter unfinished": listed(anna, Selection(status=work_order.UNFINISHED)),
        "filter priority": listed(anna, Selection(priority=Priority.HIGH)),
        "filter requester": listed(anna, Selection(requester="user7")),
        "filter assignee": listed(anna, Selection(assignee=work_order.NOBODY)),
        "filter overdue": listed(anna, Selection(due=Due.OVERDUE)),
        "filter this week": listed(anna, Selection(due=Due.THIS_WEEK)),
        "filter all": listed(anna, Selection(Status.OPEN, Priority.HIGH, assignee="anna")),
        **{
            f"filter, by {sort}": listed(anna, Selection(assignee="anna", status=Status.OPEN, sort=sort))
            for sort in Sort
        },
        "filter rare, by newest": listed(anna, Selection(requester="anna", sort=Sort.NEWEST)),
        "count all": lambda: work_order.count(connection, anna, Selection()),
        "count overdue": lambda: work_order.count(connection, anna, Selection(due=Due.OVERDUE)),
        "search rare": searched(anna, "number 777"),
        "search common": searched(anna, "printer"),
        "search of a user": searched(uma, "printer"),
        "search, by urgency": lambda: work_order.list_after(
            connection, anna, replace(work_order.search(connection, anna, "printer"), sort=Sort.URGENCY), None, 20
        ),
        "search substring": searched(anna, "inte"),
        "search nothing": searched(anna, "xyzzy"),
    }


def measure(path: Path) -> Dict[str, float]:
    """Return the median time of each action in seconds."""
    connection = database.connect(path)
    anna, uma = (users.log_in(connection, name, PASSWORD) for name in ("anna", "user7"))
    medians = {}
    for name, action in actions(connection, anna, uma).items():
        times = []
        for _ in range(CALLS):
            start = time.perf_counter()
            action()
            times.append(time.perf_counter() - start)
        medians[name] = statistics.median(times)
    connection.close()
    return medians


def main() -> None:
    """Print a line for each action."""
    many = int(sys.argv[1]) if len(sys.argv) > 1 else MANY
    users.SCRYPT_LOG_N = 4
    with tempfile.TemporaryDirectory() as folder:
        medians = []
        for number in (FEW, many):
            path = Path(folder) / f"{number}.db"
            fill(path, number)
            medians.append(measure(path))
    print(f"{'':<26} {FEW:>12,} {many:>12,}  ratio")
    for name, few in medians[0].items():
        print(f"{name:<26} {few * 1000:>9.2f} ms {medians[1][name] * 1000:>9.2f} ms {medians[1][name] / few:>6.1f}")


if __name__ == "__main__":
    main()
