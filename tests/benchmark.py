"""How much slower is each action with many work orders than with few? `python tests/benchmark.py [MANY]` tells.

It fills two databases, one with 1,000 work orders and one with MANY (1,000,000), takes the median of several calls of
each function that a screen waits for on both, and prints the two times and their ratio. It is no test.
"""

import statistics
import sys
import tempfile
import time
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Callable, Dict

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import database
import users
import work_order
from users import Role, Session
from work_order import Due, Filter, Priority, Query, Sort, Status

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
                INSERT INTO work_orders (title, description, priority, category, status, requester_id, assignee_id,
                    created_at, updated_at, resolved_at, due_at)
                VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
                """,
                (
                    title,
                    f"The {WORDS[n % 11]} in room {n % 500} does not work since the {WORDS[n % 7]} was changed.",
                    n % 4 + 1,
                    WORDS[n % 8] if n % 3 else None,
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


def actions(anna: Session, uma: Session) -> Dict[str, Callable[[], object]]:
    """Return what is measured, by name."""

    def listed(session: Session, filter: Filter = Filter(), sort: Sort = Sort.URGENCY) -> Callable[[], object]:
        return lambda: work_order.read_page(session, Query(filter, sort), (), 20)

    def counted(filter: Filter = Filter()) -> Callable[[], object]:
        return lambda: work_order.read_page(anna, Query(filter), (), 0)

    def searched(session: Session, text: str, sort: Sort = Sort.NEWEST) -> Callable[[], object]:
        return lambda: work_order.read_page(session, work_order.search(session, text)._replace(sort=sort), (), 20)

    first_25_pages = work_order.read_page(anna, Query(), (), 500).work_orders
    (own,) = work_order.read_page(uma, Query(Filter(status=work_order.UNFINISHED)), (), 1).work_orders
    return {
        "open": lambda: work_order.get(anna, 500),
        "history": lambda: work_order.history(anna, 500),
        "create": lambda: work_order.create(uma, "Printer jams", "Tray 2", Priority.HIGH),
        "comment": lambda: work_order.comment(uma, own.id, "Still so"),
        "summary": lambda: work_order.summary(anna),
        "my work": lambda: work_order.my_work(anna),
        "my work of a user": lambda: work_order.my_work(uma),
        "categories": lambda: work_order.categories(anna),
        "assignees": lambda: users.list_assignees(anna),
        **{f"list by {sort}": listed(anna, sort=sort) for sort in Sort},
        "list, page 26": lambda: work_order.read_page(anna, Query(), first_25_pages, 20),
        "list of a user": listed(uma),
        "filter status": listed(anna, Filter(status=Status.OPEN)),
        "filter unfinished": listed(anna, Filter(status=work_order.UNFINISHED)),
        "filter priority": listed(anna, Filter(priority=Priority.HIGH)),
        "filter category": listed(anna, Filter(category="network")),
        "filter requester": listed(anna, Filter(requester="user7")),
        "filter assignee": listed(anna, Filter(assignee=users.NOBODY)),
        "filter overdue": listed(anna, Filter(due=Due.OVERDUE)),
        "filter this week": listed(anna, Filter(due=Due.THIS_WEEK)),
        "filter all": listed(anna, Filter(Status.OPEN, Priority.HIGH, assignee="anna")),
        **{f"filter, by {sort}": listed(anna, Filter(assignee="anna", status=Status.OPEN), sort) for sort in Sort},
        "filter rare, by newest": listed(anna, Filter(requester="anna"), Sort.NEWEST),
        "count all": counted(),
        "count overdue": counted(Filter(due=Due.OVERDUE)),
        "search rare": searched(anna, "number 777"),
        "search common": searched(anna, "printer"),
        "search of a user": searched(uma, "printer"),
        "search, by urgency": searched(anna, "printer", Sort.URGENCY),
        "search substring": searched(anna, "inte"),
        "search nothing": searched(anna, "xyzzy"),
    }


def measure(path: Path) -> Dict[str, float]:
    """Return the median time of each action in seconds."""
    connection = database.connect(path)
    anna, uma = (users.log_in(connection, name, PASSWORD) for name in ("anna", "user7"))
    medians = {}
    for name, action in actions(anna, uma).items():
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
