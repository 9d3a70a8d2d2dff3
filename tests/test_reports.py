"""Reports and service targets: every number against an independent calculation, and the lists behind the numbers."""

import contextlib
import decimal
import itertools
import os
import random
import re
import textwrap
import time
import unittest
from datetime import date, datetime, timedelta, timezone
from typing import Any, Callable, Dict, Iterator, List, NamedTuple, Optional, Sequence, Tuple
from unittest import mock

from support import DatabaseTestCase, needs_terminal, plain

import database
import users
import work_order
from users import Role, Session
from work_order import (
    ALL,
    Cell,
    Count,
    Draft,
    Due,
    DueBy,
    Filter,
    Grouping,
    Period,
    Priority,
    Query,
    Report,
    ReportScope,
    Row,
    ServiceTarget,
    Sort,
    Status,
)

BERLIN, KATHMANDU = "CET-1CEST,M3.5.0,M10.5.0/3", "NPT-5:45"
NOW = "2024-04-30T09:30:00+00:00"
PERIODS = ("last 7 days", "last 30 days", "last month", "all", "2024-03-25 to 2024-04-07", "2024-03-31 to 2024-03-31")
STATUSES = tuple(map(str, Status))
FINISHED = ("Resolved", "Cancelled")
USERNAMES = {None: "nobody", 1: "anna", 2: "max", 3: "uma", 4: "ugo"}
DAY = timedelta(days=1)


def moment(text: str) -> datetime:
    return datetime.fromisoformat(text)


def text(at: datetime) -> str:
    return at.strftime("%Y-%m-%dT%H:%M:%S+00:00")


# The independent calculation: by section 7 of the design, from the raw rows, with its own clock.


def offset(zone: str, at: datetime) -> timedelta:
    """Return how far local time is ahead of UTC; summer time in 2024 lasted from March 31 to October 27."""
    if zone == KATHMANDU:
        return timedelta(hours=5, minutes=45)
    is_summer = moment("2024-03-31T01:00:00+00:00") <= at < moment("2024-10-27T01:00:00+00:00")
    return timedelta(hours=2 if is_summer else 1)


def midnight(zone: str, day: date) -> datetime:
    """Return when the local day begins, in UTC."""
    naive = datetime(day.year, day.month, day.day, tzinfo=timezone.utc)
    (found,) = {naive - offset(zone, naive - timedelta(hours=hours)) for hours in (1, 3, 6)}
    return found


def bounds(zone: str, period: str) -> Tuple[Optional[datetime], datetime]:
    """Return when the period begins and ends; until now means that the present second is over."""
    now = moment(NOW) + timedelta(seconds=1)
    if period == "all":
        return None, now
    if period == "last month":
        return midnight(zone, date(2024, 3, 1)), midnight(zone, date(2024, 4, 1))
    if period.startswith("last"):
        today = (now + offset(zone, now)).date()
        return midnight(zone, today - int(period.split()[1]) * DAY), now
    first, last = (date.fromisoformat(day) for day in period.split(" to "))
    return midnight(zone, first), min(now, midnight(zone, last + DAY))


class Case(NamedTuple):
    """A work order with its history, oldest first."""

    row: Dict[str, Any]
    history: List[Dict[str, Any]]

    @property
    def created(self) -> datetime:
        return moment(self.row["created_at"])

    @property
    def is_finished(self) -> bool:
        return self.row["status"] in FINISHED

    @property
    def is_overdue(self) -> bool:
        due_at, held_at = self.row["due_at"], self.history[0]["old_value"]
        for at, _, _ in self.changes():
            held_at = text(at)
        if self.is_finished or due_at is None or due_at >= NOW:
            return False
        return bool(self.row["status"] != "On Hold" or self.row["due_by"] == "hand" or due_at < held_at)

    def changes(self) -> Iterator[Tuple[datetime, str, str]]:
        for row in self.history:
            if row["field"] == "status":
                yield moment(row["changed_at"]), row["old_value"], row["new_value"]

    def is_unfinished_at(self, at: datetime) -> bool:
        """Return whether it existed and was unfinished, as all changes before the moment had left it.

        Where the clock was set back, the first one after the moment tells what it was.
        """
        moments = [self.created, *(changed for changed, _, _ in self.changes())]
        status = self.history[0]["new_value"] or "Open"
        if moments == sorted(moments):
            for changed, _, new in self.changes():
                status = new if changed < at else status
        else:
            ends = [old for changed, old, new in self.changes() if changed >= at and is_end(old, new)]
            status = ends[0] if ends else self.row["status"]
        return self.created < at and status not in FINISHED

    def seconds(self) -> float:
        """Return how long it took to resolve it: no time On Hold, and none finished before a reopening."""
        stops: List[Tuple[str, Optional[datetime], Optional[datetime]]] = []
        came_as, came_at = self.history[0]["new_value"] or "Open", self.history[0]["old_value"]
        spans = [(came_as, moment(came_at) if came_at else None), *((new, at) for at, _, new in self.changes())]
        for kind, group in itertools.groupby(spans, lambda span: "finished" if span[0] in FINISHED else span[0]):
            begin = next(group)[1]
            stops = [*stops[:-1], (*stops[-1][:2], begin)] if stops else stops
            stops.append((kind, begin, None))
        lost = sum(
            max(0.0, (end - begin).total_seconds())
            for kind, begin, end in stops
            if kind in ("finished", "On Hold") and begin and end
        )
        return max(0.0, (moment(self.row["resolved_at"]) - self.created).total_seconds() - lost)

    def response(self) -> Optional[float]:
        responses = [
            (moment(row["changed_at"]) - self.created).total_seconds()
            for row in self.history
            if row["field"] in ("comment", "assignee", "status")
            and row["user_id"] != self.row["requester_id"]
            and not row["is_imported"]
        ]
        return max(0.0, min(responses)) if responses else None

    def reopened(self, begin: datetime, end: datetime) -> Optional[bool]:
        """Return whether it was reopened after it had been changed to Resolved in the period; None if it had not."""
        was_resolved = was_reopened = False
        for at, old, new in self.changes():
            was_reopened |= was_resolved and old in FINISHED and new not in FINISHED
            was_resolved |= new == "Resolved" and begin <= at < end
        return was_reopened if was_resolved and self.row["status"] != "Cancelled" else None


def is_end(old: str, new: str) -> bool:
    """Return whether a change ends a time in which a work order was unfinished, or one in which it was finished."""
    return (old in FINISHED) != (new in FINISHED)


def middle(values: Sequence[float]) -> str:
    ordered = sorted(values)
    while len(ordered) > 2:
        ordered = ordered[1:-1]
    return length(sum(ordered) / len(ordered) if ordered else None)


def ninth_tenth(values: Sequence[float]) -> str:
    return length(next((value for rank, value in enumerate(sorted(values), 1) if 10 * rank >= 9 * len(values)), None))


def length(seconds: Optional[float]) -> str:
    if seconds is None:
        return "-"
    (days, hours), minutes = divmod(int(seconds) // 3600, 24), int(seconds) // 60 % 60
    return f"{days}d {hours}h" if days else f"{hours}h {minutes}m" if hours else f"{minutes}m"


def spent(minutes: float) -> str:
    hours = f"{int(minutes) // 60}h " if minutes >= 60 else ""
    return f"{hours}{int(minutes) % 60}m"


def percent(are: Sequence[bool]) -> str:
    if not are:
        return "-"
    exact = decimal.Decimal(100 * sum(are)) / len(are)
    return f"{int(exact.quantize(decimal.Decimal(1), decimal.ROUND_HALF_UP))}%"


@contextlib.contextmanager
def local_zone(name: str) -> Iterator[None]:
    """Be in another time zone."""
    with mock.patch.dict(os.environ, TZ=name):
        time.tzset()
        yield
    time.tzset()


def clock(at: str) -> Any:
    """Set the clock of work_order to a moment."""
    return mock.patch.object(work_order, "now", return_value=at)


needs_zones = unittest.skipUnless(hasattr(time, "tzset"), "this system changes no time zone while a program runs")


class ReplayTestCase(DatabaseTestCase):
    """A few hundred work orders with random histories, many of whose moments are the first or last of a week.

    Some come from an import, with the status that they had there; sometimes the clock is ahead or set back.
    """

    content = b""

    def setUp(self) -> None:
        super().setUp()
        if not ReplayTestCase.content:
            with database.transaction(self.connection):
                self.replay(random.Random(11))
            ReplayTestCase.content = self.path.read_bytes()
        self.use(ReplayTestCase.content)
        patch = clock(NOW)
        patch.start()
        self.addCleanup(patch.stop)
        rows = self.connection.execute("SELECT * FROM work_orders WHERE deleted_at IS NULL ORDER BY id").fetchall()
        history = self.connection.execute("SELECT * FROM work_order_history ORDER BY id").fetchall()
        of: Dict[int, List[Dict[str, Any]]] = {row["id"]: [] for row in rows}
        for row in history:
            of.get(row["work_order_id"], []).append(dict(row))
        self.cases = [Case(dict(row), of[row["id"]]) for row in rows]

    def replay(self, chance: random.Random) -> None:
        first, last = moment("2024-02-10T00:00:00+00:00"), moment(NOW)
        edges = [midnight(zone, date(2024, 2, 5) + 7 * n * DAY) for n in range(12) for zone in (BERLIN, KATHMANDU)]
        for _ in range(300):
            at = first + timedelta(seconds=chance.randrange(int((last - first).total_seconds())))
            if chance.random() < 0.1:
                at = last - timedelta(days=chance.choice((1, 7, 30)), seconds=chance.choice((-1, 0, 1)))
            elif chance.random() < 0.2:
                at = chance.choice(edges[2:]) + timedelta(seconds=chance.choice((-1, 0, 1)))
            elif chance.random() < 0.02:
                at = last + timedelta(hours=chance.randrange(100))  # the clock was ahead
            number = self.connection.execute(
                """
                INSERT INTO work_orders (title, priority, category, requester_id, assignee_id, created_at, updated_at,
                    due_at, due_by, response_hours)
                VALUES ('A title', ?, ?, ?, ?, ?, ?, ?, ?, ?)
                """,
                (
                    chance.choice((1, 2, 2, 3, 4)),
                    chance.choice((None, "Network", "Printing")),
                    chance.randint(1, 4),
                    chance.choice((None, 1, 2, 2)),
                    *(text(at), text(at)),
                    chance.choice((None, text(at + timedelta(hours=chance.randrange(600))))),
                    chance.choice(("hand", "target")),
                    chance.choice((None, 1, 24)),
                ),
            ).lastrowid
            assert number
            status = self.arrive(chance, number, at)
            self.live(chance, number, status, at, last, edges)
            database.refresh_derived(self.connection, number)

    def arrive(self, chance: random.Random, number: int, at: datetime) -> str:
        """Record the creation, as its requester's or as an import's, and return the status that it came with."""
        if chance.random() < 0.8:
            self.record(number, 1, at, "created", None, None)
            return "Open"
        resolved_at = at + timedelta(hours=chance.randrange(100))
        if chance.random() < 0.3 and text(resolved_at) < NOW:
            self.record(number, 1, at, "created", None, None, is_imported=True)
            self.set_status(number, 1, resolved_at, "Open", "Resolved", is_imported=True)
            return "Resolved"
        status = chance.choice(STATUSES)
        stopped_at = text(at + timedelta(hours=9)) if status in (*FINISHED, "On Hold") else None
        self.record(number, 1, at, "created", stopped_at, status, is_imported=True)
        self.connection.execute("UPDATE work_orders SET status = ? WHERE id = ?", (status, number))
        return status

    def live(
        self, chance: random.Random, number: int, status: str, at: datetime, last: datetime, edges: List[datetime]
    ) -> None:
        for _ in range(chance.randrange(9)):
            edge = min((edge for edge in edges if edge >= at), default=last)
            at = edge if chance.random() < 0.2 else at + timedelta(seconds=int(chance.expovariate(1 / 200_000)))
            if chance.random() < 0.02:
                at -= timedelta(hours=chance.randrange(200))  # the clock was set back
            if at > last:
                break
            by = chance.randint(1, 4)
            what = chance.choice(("status",) * 5 + ("comment", "assignee", "requester"))
            if what == "status":
                new = chance.choice([other for other in STATUSES + FINISHED if other != status])
                self.set_status(number, by, at, status, new)
                if chance.random() < 0.1 and new == "Resolved":  # on time to the second
                    self.connection.execute("UPDATE work_orders SET due_at = resolved_at WHERE id = ?", (number,))
                status = new
            elif what == "requester":
                self.connection.execute(
                    "UPDATE work_orders SET requester_id = ? WHERE id = ?", (chance.randint(1, 4), number)
                )
                self.record(number, by, at, what, "uma", "ugo")
            else:
                minutes = 17 * (number % 9) if what == "comment" and by < 3 else 0
                self.record(number, by, at, what, None, None, minutes=minutes)
        if chance.random() < 0.05:
            self.connection.execute("UPDATE work_orders SET deleted_at = ? WHERE id = ?", (text(at), number))

    def set_status(self, number: int, by: int, at: datetime, old: str, new: str, is_imported: bool = False) -> None:
        resolved_at = text(at) if new == "Resolved" else None
        self.connection.execute(
            "UPDATE work_orders SET status = ?, resolved_at = ? WHERE id = ?", (new, resolved_at, number)
        )
        self.record(number, by, at, "status", old, new, is_imported)

    def record(
        self,
        number: int,
        by: int,
        at: datetime,
        field: str,
        old: Optional[str],
        new: Optional[str],
        is_imported: bool = False,
        minutes: int = 0,
    ) -> None:
        self.connection.execute(
            """
            INSERT INTO work_order_history (work_order_id, user_id, changed_at, field, old_value, new_value,
                is_imported, minutes)
            VALUES (?, ?, ?, ?, ?, ?, ?, ?)
            """,
            (number, by, text(at), field, old, new, is_imported, minutes),
        )

    def each_period(self) -> Iterator[Tuple[Period, datetime, datetime, str]]:
        for zone in (BERLIN, KATHMANDU):
            with local_zone(zone):
                for name in PERIODS:
                    begin, end = bounds(zone, name)
                    with self.subTest(zone=zone, period=name):
                        yield work_order.parse_period(name), begin or moment("0001-01-02T00:00:00+00:00"), end, zone

    def assert_counts(self, cell: Cell, expected: Sequence[Case]) -> None:
        """Compare the number and the list behind it with the work orders that are expected."""
        self.assertEqual(cell.text, f"{len(expected):,}")
        assert cell.query
        listed = self.ids(self.max, cell.query._replace(sort=Sort.OLDEST))
        self.assertEqual(listed, [case.row["id"] for case in expected])


def texts(row: Row) -> List[str]:
    return [cell.text for cell in row.cells]


@needs_zones
class ReportTest(ReplayTestCase):
    def test_resolution_times_by_each_grouping(self) -> None:
        keys: Dict[Grouping, Callable[[Case], str]] = {
            Grouping.PRIORITY: lambda case: str(Priority(case.row["priority"])),
            Grouping.CATEGORY: lambda case: case.row["category"] or "none",
            Grouping.ASSIGNEE: lambda case: USERNAMES[case.row["assignee_id"]],
            Grouping.REQUESTER: lambda case: USERNAMES[case.row["requester_id"]],
        }
        for period, begin, end, _ in self.each_period():
            for grouping, key in keys.items():
                *rows, total = work_order.resolution_times(self.max, period, grouping).rows
                known = {key(case) for case in self.cases if self.counts(case, begin, end)}
                known |= set(map(str, Priority)) if grouping is Grouping.PRIORITY else set()
                self.assertEqual({row.name for row in rows}, known)
                for row in (*rows, total):
                    with self.subTest(grouping=grouping, row=row.name):
                        grouped = [case for case in self.cases if row.name in (ALL, key(case))]
                        self.assert_row(row, grouped, begin, end)

    def is_resolved(self, case: Case, begin: datetime, end: datetime) -> bool:
        resolved_at = case.row["resolved_at"]
        return resolved_at is not None and begin <= moment(resolved_at) < end

    def counts(self, case: Case, begin: datetime, end: datetime) -> bool:
        return self.is_resolved(case, begin, end) or case.reopened(begin, end) is not None

    def assert_row(self, row: Row, cases: List[Case], begin: datetime, end: datetime) -> None:
        counted = [case for case in cases if self.is_resolved(case, begin, end)]
        seconds = [case.seconds() for case in counted]
        on_time = [case.row["resolved_at"] <= case.row["due_at"] for case in counted if case.row["due_at"]]
        responses = [(case.response(), case.row["response_hours"]) for case in counted]
        in_target = [taken <= hours * 3600 for taken, hours in responses if taken is not None and hours]
        reopened = [case.reopened(begin, end) for case in cases]
        total = sum(entry["minutes"] for case in counted for entry in case.history)
        self.assert_counts(row.cells[0], counted)
        expected = [
            middle(seconds),
            length(sum(seconds) / len(seconds) if seconds else None),
            ninth_tenth(seconds),
            percent(on_time),
            percent([was for was in reopened if was is not None]),
            middle([taken for taken, _ in responses if taken is not None]),
            percent(in_target),
            *((spent(total), spent(total / len(counted))) if counted else "--"),
        ]
        self.assertEqual(texts(row)[1:], expected)

    def test_weekly_flow(self) -> None:
        for period, begin, end, zone in self.each_period():
            first = min(case.created for case in self.cases) if period.name == "all" else begin
            weeks = list(self.weeks(zone, first, end))
            rows = work_order.weekly_flow(self.max, period).rows
            names = [f"{(start + offset(zone, start)).date()}" for start, _ in weeks]
            self.assertEqual([row.name for row in rows], names)
            for row, (start, stop) in zip(rows, weeks):
                with self.subTest(week=row.name):
                    self.assert_week(row, start, stop)

    def weeks(self, zone: str, begin: datetime, end: datetime) -> Iterator[Tuple[datetime, datetime]]:
        day = (begin + offset(zone, begin)).date()
        while begin < end:
            day += DAY
            if day.weekday() == 0 or midnight(zone, day) >= end:
                yield begin, min(end, midnight(zone, day))
                begin = midnight(zone, day)

    def assert_week(self, row: Row, begin: datetime, end: datetime) -> None:
        def happened(is_meant: Callable[[str, str], bool]) -> List[Case]:
            return [
                case
                for case in self.cases
                if any(is_meant(old, new) for at, old, new in case.changes() if begin <= at < end)
            ]

        created, resolved, reopened, unfinished = row.cells
        is_running = end > moment(NOW)
        self.assert_counts(created, [case for case in self.cases if begin <= case.created < end])
        self.assert_counts(resolved, happened(lambda _, new: new == "Resolved"))
        self.assert_counts(reopened, happened(lambda old, new: old in FINISHED and new not in FINISHED))
        left = [case for case in self.cases if (not case.is_finished if is_running else case.is_unfinished_at(end))]
        self.assert_counts(unfinished, left)

    def test_workload(self) -> None:
        for period, begin, end, _ in self.each_period():
            rows = work_order.workload(self.max, period).rows
            self.assertEqual({row.name for row in rows}, {"anna", "max", "nobody"})
            self.assertEqual(rows[-1].name, "nobody")
            for row in rows:
                theirs = [case for case in self.cases if USERNAMES[case.row["assignee_id"]] == row.name]
                unfinished = [case for case in theirs if not case.is_finished]
                resolved = [case for case in theirs if self.is_resolved(case, begin, end)]
                self.assert_counts(row.cells[0], unfinished)
                self.assert_counts(row.cells[1], [case for case in unfinished if case.is_overdue])
                self.assert_counts(row.cells[2], [case for case in unfinished if case.row["status"] == "On Hold"])
                self.assert_counts(row.cells[3], resolved)
                self.assertEqual(row.cells[4].text, middle([case.seconds() for case in resolved]))
                entries = [entry for case in self.cases for entry in case.history]
                noted = [entry for entry in entries if begin <= moment(entry["changed_at"]) < end]
                minutes = [entry["minutes"] for entry in noted if USERNAMES[entry["user_id"]] == row.name]
                self.assertEqual(row.cells[5].text, spent(sum(minutes)))
            total = work_order.spent_minutes(self.connection, text(begin), text(end))
            self.assertEqual(spent(total), spent(sum(entry["minutes"] for entry in noted)))

    def test_backlog(self) -> None:
        report = work_order.backlog(self.max)
        unfinished = [case for case in self.cases if not case.is_finished]
        self.assertEqual([row.name for row in report.rows], ["Critical", "High", "Medium", "Low", ALL])
        for row in report.rows:
            ours = [case for case in unfinished if row.name in (ALL, str(Priority(case.row["priority"])))]
            ages = [(case, max(0.0, (moment(NOW) - case.created) / DAY)) for case in ours]
            total, *bands, nobodys = row.cells
            self.assert_counts(total, ours)
            for cell, low, high in zip(bands, (0, 1, 7, 30, 90), (1, 7, 30, 90, 999_999)):
                self.assert_counts(cell, [case for case, age in ages if low <= age < high])
            self.assert_counts(nobodys, [case for case in ours if case.row["assignee_id"] is None])
        self.assertEqual([row.cells[0].value > 0 for row in report.rows], [True, True, True, True, False])
        oldest = sorted(unfinished, key=lambda case: (case.created, case.row["id"]))[:10]
        self.assertEqual([row.id for row in report.oldest], [case.row["id"] for case in oldest])

    def test_what_is_derived_is_what_the_check_computes(self) -> None:
        self.assertEqual(database.find_differences(self.connection), [])


class EdgeTest(DatabaseTestCase):
    """Single histories, written by hand."""

    def add(self, *changes: Tuple[str, str], created: str = "03-04 08:00", came_as: Optional[str] = None) -> int:
        """Store a work order that came with a status and was changed at these moments of 2024; return its id."""
        at = self.at(created)
        self.connection.execute(
            "INSERT INTO work_orders (title, requester_id, created_at, updated_at) VALUES ('A', 3, ?, ?)", (at, at)
        )
        ((number,),) = self.rows("SELECT max(id) FROM work_orders")
        status = came_as or "Open"
        rows: List[Tuple[object, ...]] = [(number, at, "created", None, came_as)]
        for changed, new in changes:
            rows.append((number, self.at(changed), "status", status, new))
            status = new
        self.connection.executemany(
            """
            INSERT INTO work_order_history (work_order_id, user_id, changed_at, field, old_value, new_value)
            VALUES (?, 2, ?, ?, ?, ?)
            """,
            rows,
        )
        resolved_at = self.at(changes[-1][0]) if changes and status == "Resolved" else None
        self.connection.execute(
            "UPDATE work_orders SET status = ?, resolved_at = ? WHERE id = ?", (status, resolved_at, number)
        )
        database.refresh_derived(self.connection, int(str(number)))
        return int(str(number))

    def at(self, words: str) -> str:
        return f"2024-{words.replace(' ', 'T')}:00+00:00"

    def flow(self, begin: str = "03-04 00:00", end: str = "03-25 00:00") -> List[List[str]]:
        """Return the weekly flow, and check that each number equals its list."""
        period = Period("March", moment(self.at(begin)), moment(self.at(end)))
        report = work_order.weekly_flow(self.max, period)
        for row in report.rows:
            for cell in row.cells:
                assert cell.query
                self.assertEqual(cell.text, str(len(self.ids(self.max, cell.query))), (row, cell))
        return [texts(row) for row in report.rows]

    def times(self, grouping: Grouping = Grouping.PRIORITY) -> List[str]:
        return texts(work_order.resolution_times(self.max, work_order.parse_period("all"), grouping).rows[-1])

    @needs_zones
    def test_a_change_at_midnight_on_monday_belongs_to_the_week_that_begins(self) -> None:
        with local_zone("UTC"):
            self.add(("03-11 00:00", "Resolved"))
            self.assertEqual(self.flow(), [["1", "0", "0", "1"], ["0", "1", "0", "0"], ["0", "0", "0", "0"]])

    @needs_zones
    def test_several_changes_in_one_second_count_in_their_order(self) -> None:
        with local_zone("UTC"):
            self.add(("03-12 09:00", "Resolved"), ("03-12 09:00", "Open"), ("03-12 09:00", "Resolved"))
            self.add(("03-12 09:00", "Cancelled"), ("03-12 09:00", "Open"))
            self.assertEqual(self.flow(), [["2", "0", "0", "2"], ["0", "1", "2", "1"], ["0", "0", "0", "1"]])

    @needs_zones
    def test_where_the_clock_was_set_back_each_number_equals_its_list(self) -> None:
        with local_zone("UTC"):
            self.add(("03-20 09:00", "Resolved"), ("03-06 09:00", "Open"))
            self.add(("03-06 09:00", "Resolved"), created="03-13 08:00")
            self.add(("03-06 09:00", "In Progress"), ("03-20 09:00", "Resolved"), ("03-12 09:00", "Open"))
            self.add(("03-20 09:00", "On Hold"), ("03-06 09:00", "Cancelled"))
            for begin in ("03-04 00:00", "03-07 00:00", "03-18 00:00"):
                self.flow(begin)
            self.assertEqual((self.times()[:2], self.times()[6]), (["1", "0m"], "0m"))

    @needs_zones
    def test_what_is_created_in_the_future_is_unfinished_now_and_no_days_old(self) -> None:
        with local_zone("UTC"), clock(self.at("03-12 12:00")):
            self.add(created="03-13 08:00")
            ((*_, total),) = [work_order.backlog(self.max).rows]
            self.assertEqual(texts(total), ["1", "1", "0", "0", "0", "0", "1"])
            self.assertEqual(self.flow(end="03-12 12:00")[-1], ["0", "0", "0", "0"])
            rows = work_order.weekly_flow(self.max, work_order.parse_period("last 7 days")).rows
            self.assertEqual(texts(rows[-1]), ["0", "0", "0", "1"])

    @needs_zones
    def test_an_imported_one_that_came_finished_is_in_no_backlog_until_it_is_reopened(self) -> None:
        with local_zone("UTC"):
            self.add(came_as="Resolved")
            self.add(("03-12 09:00", "Open"), came_as="Cancelled")
            self.add(("03-12 09:00", "Resolved"), came_as="In Progress")
            self.assertEqual(self.flow(), [["3", "0", "0", "1"], ["0", "1", "1", "1"], ["0", "0", "0", "1"]])
            self.assertEqual(self.times()[0], "1")

    def test_the_median_of_ten_is_the_mean_of_the_middle_two_and_the_90th_percentile_the_ninth(self) -> None:
        for hours in range(10, 0, -1):
            self.add((f"03-04 {8 + hours:02}:00", "Resolved"))
        self.assertEqual(self.times()[:4], ["10", "5h 30m", "5h 30m", "9h 0m"])

    def test_a_reopening_counts_only_after_the_change_to_resolved(self) -> None:
        self.add(("03-05 08:00", "Cancelled"), ("03-05 09:00", "Open"), ("03-05 10:00", "Resolved"))
        self.add(("03-05 08:00", "Resolved"), ("03-05 08:00", "Open"), ("03-05 08:00", "Resolved"))
        self.assertEqual((self.times()[0], self.times()[5]), ("2", "50%"))

    def test_a_response_in_the_last_second_of_its_target_is_in_it(self) -> None:
        for at, share in (("03-04 09:00", "100%"), ("03-04 09:01", "50%")):
            number = self.add((at, "Resolved"))
            self.connection.execute("UPDATE work_orders SET response_hours = 1 WHERE id = ?", (number,))
            self.assertEqual(self.times()[7], share)

    def test_nothing_to_count_is_a_dash(self) -> None:
        self.assertEqual(self.times(Grouping.REQUESTER), ["0", *["-"] * 9])

    def test_a_category_or_person_without_anything_resolved_has_no_row_and_all_has_one(self) -> None:
        report = work_order.resolution_times(self.max, work_order.parse_period("all"), Grouping.CATEGORY)
        self.assertEqual([row.name for row in report.rows], [ALL])

    def test_a_flow_of_everything_without_any_work_order_has_no_week(self) -> None:
        self.assertEqual(work_order.weekly_flow(self.max, work_order.parse_period("all")).rows, [])

    def test_a_deactivated_assignee_who_has_resolved_something_has_a_row(self) -> None:
        self.session("lena", Role.MANAGER, ("anna", "battery horse 9"))
        row = self.create(self.max, assignee="lena")
        self.change_status(self.max, row.id, Status.RESOLVED)
        work_order.deactivate(self.anna, "lena", None)
        report = work_order.workload(self.max, work_order.parse_period("all"))
        resolved = [(row.name, row.cells[3].text) for row in report.rows]
        self.assertEqual(resolved, [("anna", "0"), ("lena", "1"), ("max", "0"), ("nobody", "0")])

    def test_a_damaged_moment_is_named(self) -> None:
        number = self.add(("03-04 09:00", "Resolved"))
        self.connection.execute("PRAGMA ignore_check_constraints = ON")
        self.connection.execute("UPDATE work_orders SET created_at = '2024-03-xx' WHERE id = ?", (number,))
        for report in (work_order.workload, work_order.weekly_flow):
            with self.assertRaisesRegex(database.DamageError, "ork order.* is damaged in the database"):
                report(self.max, work_order.parse_period("all"))

    def test_the_meanings_take_at_most_four_lines_of_80_columns(self) -> None:
        period = work_order.parse_period("all")
        for report in every_report(self.max, period):
            words = [*(column.meaning for column in report.columns), report.note]
            self.assertLessEqual(len(textwrap.wrap(" ".join(filter(None, words)), 79)), 4, report.title)

    def test_at_50_columns_there_is_room_for_what_is_never_left_out(self) -> None:
        for report in every_report(self.max, work_order.parse_period("all")):
            widths = [max(len(column.heading), 7) for column in report.columns if column.rank == 0]
            self.assertLessEqual(14 + sum(widths) + 2 * len(widths), 50, report.title)


def every_report(session: Session, period: Period) -> List[Report]:
    return [
        *(work_order.resolution_times(session, period, grouping) for grouping in Grouping),
        work_order.backlog(session),
        work_order.weekly_flow(session, period),
        work_order.workload(session, period),
    ]


class TargetTest(DatabaseTestCase):
    """Service targets: hours pass by making everything older."""

    def setUp(self) -> None:
        super().setUp()
        for target in (ServiceTarget(Priority.MEDIUM, 4, 24), ServiceTarget(Priority.HIGH, None, 8)):
            self.set_target(target)

    def set_target(self, target: ServiceTarget, session: Optional[Session] = None) -> bool:
        (shown,) = (shown for shown in work_order.service_targets(self.max) if shown.priority is target.priority)
        return work_order.set_service_target(session or self.anna, shown, target)

    def wait(self, hours: float) -> None:
        self.pass_time(hours=hours)

    def set_status(self, *statuses: Status, session: Optional[Session] = None, hours: float = 0) -> None:
        """Give work order 1 one status after the other, each after some hours."""
        for status in statuses:
            self.wait(hours)
            self.change_status(session or self.max, 1, status)

    def hours_to(self, name: str, number: int = 1) -> Optional[int]:
        """Return the hours from the creation to another moment of the work order."""
        ((created_at, at),) = self.rows(f"SELECT created_at, {name} FROM work_orders WHERE id = ?", number)
        return round((moment(str(at)) - moment(str(created_at))).total_seconds() / 3600) if at else None

    def due(self, number: int = 1) -> Tuple[Optional[int], Optional[DueBy]]:
        return self.hours_to("due_at", number), self.get(self.max, number).due_by

    def resolution_hours(self) -> int:
        """Return how long the work orders took to be resolved, in the mean."""
        report = work_order.resolution_times(self.max, work_order.parse_period("all"), Grouping.PRIORITY)
        found = re.fullmatch("(?:([0-9]+)d )?([0-9]+)h.*", report.rows[-1].cells[2].text)
        assert found, report
        return 24 * int(found[1] or 0) + int(found[2])

    def due_changes(self) -> List[Tuple[object, ...]]:
        return self.rows(
            """
            SELECT username FROM work_order_history JOIN users ON users.id = user_id WHERE field = 'due date'
            ORDER BY work_order_history.id
            """
        )

    def test_without_a_target_nothing_is_due(self) -> None:
        self.create(self.uma, priority=Priority.LOW)
        self.assertEqual(self.due(), (None, None))

    def test_a_new_work_order_is_due_by_the_target_of_its_priority(self) -> None:
        row = self.create(self.uma)
        self.assertEqual((self.due(), row.response_hours), ((24, DueBy.TARGET), 4))

    def test_a_change_of_the_targets_moves_nothing(self) -> None:
        self.create(self.uma)
        self.assertTrue(self.set_target(ServiceTarget(Priority.MEDIUM, 1, 1)))
        self.assertEqual((self.due(), self.get(self.max, 1).response_hours), ((24, DueBy.TARGET), 4))

    def test_another_priority_moves_it_to_its_own_target_from_the_creation_on_with_a_history_row(self) -> None:
        self.create(self.uma)
        self.wait(3)
        row = self.change(self.max, 1, work_order.PRIORITY, Priority.HIGH)
        self.assertEqual((self.due(), row.response_hours), ((8, DueBy.TARGET), None))
        self.assertEqual(self.due_changes(), [("max",)])

    def test_a_priority_without_a_target_takes_the_due_time_away_and_one_with_a_target_brings_it(self) -> None:
        self.create(self.uma)
        self.change(self.max, 1, work_order.PRIORITY, Priority.LOW)
        self.assertEqual(self.due()[0], None)
        self.change(self.max, 1, work_order.PRIORITY, Priority.MEDIUM)
        self.assertEqual(self.due(), (24, DueBy.TARGET))
        self.assertEqual(len(self.due_changes()), 2)

    def test_a_hold_moves_it_by_as_long_when_it_ends_however_it_ends(self) -> None:
        for number, status in enumerate((Status.OPEN, Status.RESOLVED, Status.CANCELLED), 1):
            self.create(self.uma)
            self.change_status(self.max, number, Status.ON_HOLD)
            self.wait(5)
            self.assertEqual(self.due(number)[0], 24)
            self.change_status(self.uma if status is Status.CANCELLED else self.max, number, status)
            self.assertEqual(self.due(number)[0], 29)
        self.assertEqual(self.due_changes(), [("max",), ("max",), ("uma",)])

    def test_a_change_of_the_priority_keeps_the_time_on_hold_and_counts_no_hold_twice(self) -> None:
        self.create(self.uma)
        self.set_status(Status.ON_HOLD)
        self.wait(2)
        self.set_status(Status.IN_PROGRESS, Status.ON_HOLD)
        self.wait(1)
        self.change(self.max, 1, work_order.PRIORITY, Priority.HIGH)
        self.assertEqual(self.due()[0], 10)
        self.wait(1)
        self.set_status(Status.IN_PROGRESS)
        self.assertEqual(self.due()[0], 12)

    def test_the_time_finished_before_a_reopening_moves_it_as_a_hold_does(self) -> None:
        self.create(self.uma)
        self.set_status(Status.RESOLVED, hours=2)
        self.set_status(Status.CANCELLED, hours=40)
        self.assertEqual(self.due()[0], 24)
        self.set_status(Status.OPEN, hours=56)
        self.assertEqual(self.due(), (24 + 96, DueBy.TARGET))
        self.assertFalse(self.get(self.max, 1).is_overdue)

    def test_promise_and_report_use_one_clock(self) -> None:
        self.create(self.uma, priority=Priority.HIGH)
        self.set_status(Status.RESOLVED, hours=1)
        self.set_status(Status.OPEN, hours=96)
        self.set_status(Status.RESOLVED, hours=1)
        row = work_order.resolution_times(self.max, work_order.parse_period("all"), Grouping.PRIORITY).rows[-1]
        self.assertEqual((row.cells[0].text, row.cells[1].text[:2], row.cells[4].text), ("1", "2h", "100%"))

    def test_one_set_by_hand_is_never_moved_not_even_to_the_same_time_or_none(self) -> None:
        for number, hours in enumerate((200, 24, None), 1):
            row = self.create(self.uma)
            by_hand = row.created_at + timedelta(hours=hours) if hours else None
            self.assertTrue(work_order.change(self.max, row, work_order.DUE_DATE, by_hand))
            for status in (Status.ON_HOLD, Status.OPEN, Status.RESOLVED, Status.OPEN):
                self.wait(1)
                self.change_status(self.max, number, status)
            self.change(self.max, number, work_order.PRIORITY, Priority.HIGH)
            self.assertEqual(self.due(number), (hours, DueBy.HAND))
            row = self.get(self.max, number)
            self.assertFalse(work_order.change(self.max, row, work_order.DUE_DATE, row.due_at))

    def test_none_by_hand_where_none_is_due_stays_none(self) -> None:
        row = self.create(self.uma, priority=Priority.LOW)
        self.assertTrue(work_order.change(self.max, row, work_order.DUE_DATE, None))
        self.assertFalse(work_order.change(self.max, row, work_order.DUE_DATE, None))
        self.assertEqual(len(self.due_changes()), 1)
        self.change(self.max, 1, work_order.PRIORITY, Priority.MEDIUM)
        self.assertEqual(self.due(), (None, DueBy.HAND))

    def test_on_hold_it_does_not_run_out_unless_it_had_before_or_was_set_by_hand(self) -> None:
        for _ in range(3):
            self.create(self.uma)
        row = self.get(self.max, 3)
        work_order.change(self.max, row, work_order.DUE_DATE, row.due_at)
        for number, hours in ((1, 1), (3, 0), (2, 25)):
            self.wait(hours)
            self.change_status(self.max, number, Status.ON_HOLD)
        self.wait(1)
        self.assertEqual(sorted(self.ids(self.max, Query(Filter(due=Due.OVERDUE)))), [2, 3])
        self.assertEqual([self.get(self.max, number).is_overdue for number in (1, 2, 3)], [False, True, True])
        nobodys = work_order.workload(self.max, work_order.parse_period("all")).rows[-1]
        self.assertEqual(nobodys.cells[1].text, "2")

    def test_the_resolution_time_leaves_out_what_was_on_hold_or_was_finished_before_a_reopening(self) -> None:
        self.create(self.uma)
        held = (Status.ON_HOLD, Status.OPEN)
        self.set_status(*held, Status.RESOLVED, Status.CANCELLED, Status.OPEN, Status.CANCELLED, hours=1)
        self.set_status(Status.RESOLVED, hours=1)
        self.assertEqual(self.resolution_hours(), 4)

    def test_resolved_again_without_a_reopening_it_took_until_the_resolved_that_stands(self) -> None:
        self.create(self.uma)
        for hours, status in ((1, Status.RESOLVED), (2, Status.CANCELLED), (7, Status.RESOLVED)):
            self.set_status(status, hours=hours)
        self.assertEqual(self.resolution_hours(), 10)

    def test_the_first_response_is_anybodys_but_the_present_requesters(self) -> None:
        self.create(self.uma)
        self.wait(1)
        work_order.comment(self.uma, 1, "Hello?")
        self.change(self.max, 1, work_order.PRIORITY, Priority.HIGH)
        self.assertEqual(self.hours_to("responded_at"), None)
        self.wait(1)
        self.change(self.max, 1, work_order.ASSIGNEE, "anna")
        self.assertEqual(self.hours_to("responded_at"), 2)
        for requester, hours in (("ugo", 1), ("max", 1), ("uma", 2)):
            self.change(self.anna, 1, work_order.REQUESTER, requester)
            self.assertEqual(self.hours_to("responded_at"), hours)

    def test_an_assignee_named_at_creation_is_no_response(self) -> None:
        self.create(self.max, requester="uma", assignee="anna")
        self.assertEqual(self.hours_to("responded_at"), None)

    def test_who_may_see_and_change_them(self) -> None:
        self.assertEqual(
            work_order.service_targets(self.max)[1:3],
            [ServiceTarget(Priority.HIGH, None, 8), ServiceTarget(Priority.MEDIUM, 4, 24)],
        )
        for session in (self.max, self.uma):
            with self.assertRaises(users.PermissionDeniedError):
                self.set_target(ServiceTarget(Priority.LOW, 1, 1), session)
        with self.assertRaises(users.PermissionDeniedError):
            work_order.service_targets(self.uma)

    def test_a_change_of_them_is_audited_and_the_same_again_is_none(self) -> None:
        self.assertFalse(self.set_target(ServiceTarget(Priority.HIGH, None, 8)))
        subjects = self.rows("SELECT subject FROM audit_log WHERE event = 'service target changed' ORDER BY id")
        before, after = "first response none, resolution none", "first response 4 h, resolution 24 h"
        self.assertEqual(len(subjects), 2)
        self.assertEqual(subjects[0], (f"Medium: {before} -> {after}",))

    def test_what_another_admin_has_changed_since_is_not_overwritten(self) -> None:
        shown = ServiceTarget(Priority.MEDIUM, 1, 1)
        with self.assertRaises(users.ConflictError):
            work_order.set_service_target(self.anna, shown, ServiceTarget(Priority.MEDIUM, 2, 2))
        self.assertIn(ServiceTarget(Priority.MEDIUM, 4, 24), work_order.service_targets(self.anna))

    def test_hours_are_whole_and_at_least_one(self) -> None:
        self.assertEqual([work_order.parse_hours(hours) for hours in ("1", "9999", "None")], [1, 9999, None])
        for wrong in ("0", "-1", "1.5", "10000", "x", "٣"):
            with self.subTest(hours=wrong), self.assertRaises(users.InvalidInputError):
                work_order.parse_hours(wrong)


@needs_zones
class PeriodTest(unittest.TestCase):
    def days(self, given: str, at: str = NOW, zone: str = BERLIN) -> Tuple[str, str]:
        """Return the first and the last moment of the period in local time."""
        with local_zone(zone), clock(at):
            period = work_order.parse_period(given)
            assert period.begin
            last = period.end - timedelta(seconds=1)
            return f"{period.begin.astimezone():%Y-%m-%d %H:%M:%S}", f"{last.astimezone():%Y-%m-%d %H:%M:%S}"

    def test_what_lasts_until_now_begins_with_a_local_day(self) -> None:
        for given, first in (
            ("last 7 days", "2024-04-23"),
            ("last 30 days", "2024-03-31"),
            ("last 365 days", "2023-05-01"),
            ("this week", "2024-04-29"),
            ("this month", "2024-04-01"),
            ("this year", "2024-01-01"),
            ("2024-04", "2024-04-01"),
            ("2024-04-30 to 2024-04-30", "2024-04-30"),
            ("2024-04-01 to 2024-06-30", "2024-04-01"),
        ):
            with self.subTest(given=given):
                self.assertEqual(self.days(given), (f"{first} 00:00:00", "2024-04-30 11:30:00"))

    def test_what_is_over_consists_of_whole_local_days(self) -> None:
        for given, first, last in (
            ("last month", "2024-03-01", "2024-03-31"),
            ("last quarter", "2024-01-01", "2024-03-31"),
            ("2024-02", "2024-02-01", "2024-02-29"),
            ("2023-12", "2023-12-01", "2023-12-31"),
            ("2024-03-25 to 2024-04-29", "2024-03-25", "2024-04-29"),
        ):
            with self.subTest(given=given):
                self.assertEqual(self.days(given), (f"{first} 00:00:00", f"{last} 23:59:59"))

    def test_in_january_the_last_month_and_the_last_quarter_are_of_the_year_before(self) -> None:
        for given, first in (("last month", "2023-12-01"), ("last quarter", "2023-10-01")):
            bounds = self.days(given, "2024-01-31T09:30:00+00:00")
            self.assertEqual(bounds, (f"{first} 00:00:00", "2023-12-31 23:59:59"))

    def test_a_name_a_beginning_of_one_a_number_of_days_a_month_or_two_days_will_do(self) -> None:
        for given, name in (
            ("30", "last 30 days"),
            ("last 9", "last 90 days"),
            ("Last  Q", "last quarter"),
            ("this m", "this month"),
            ("A", "all"),
            ("2024-01", "2024-01"),
            ("2024-01-01  to 2024-01-31", "2024-01-01 to 2024-01-31"),
            ("2024-01-01-2024-01-31", "2024-01-01 to 2024-01-31"),
        ):
            with self.subTest(given=given):
                period = work_order.parse_period(given)
                self.assertEqual(period.name, name)
                self.assertEqual(work_order.parse_period(period.name).begin, period.begin)

    def test_the_first_day_of_2000_is_a_local_one(self) -> None:
        with local_zone(KATHMANDU):
            period = work_order.parse_period("2000-01-01 to 2000-02-01")
        self.assertEqual(period.begin, moment("1999-12-31T18:15:00+00:00"))

    def test_what_is_no_period_is_refused(self) -> None:
        for wrong in (
            *("", "last", "this", "31", "x", "2024-01-01", "2024-13", "2999-01", "1999-12", "٢٠٢٤-٠١"),
            *("2024-02-30 to 2024-03-01", "2024-03-02 to 2024-03-01", "2999-01-01 to 2999-01-02"),
            *("1999-01-01 to 2024-01-01", "0001-01-01 to 9999-12-31", "2024-01-01 to 2024-01-31 x"),
        ):
            with self.subTest(wrong=wrong), self.assertRaises(users.InvalidInputError):
                work_order.parse_period(wrong)

    def test_the_bounds_are_told_once(self) -> None:
        for given, words in (
            ("last 7 days", "last 7 days: from 2024-04-23 to 2024-04-30 09:30"),
            ("all", "all: until 2024-04-30 09:30"),
            ("last month", "last month: from 2024-03-01 to 2024-03-31"),
            ("2024-04", "2024-04: from 2024-04-01 to 2024-04-30 09:30"),
            ("2024-01-01 to 2024-03-01", "from 2024-01-01 to 2024-03-01"),
            ("2024-01-01 to 2024-05-01", "from 2024-01-01 to 2024-04-30 09:30"),
        ):
            with self.subTest(given=given), local_zone("UTC"), clock(NOW):
                self.assertEqual(work_order.describe_period(work_order.parse_period(given)), words)

    def test_a_list_tells_what_a_report_has_counted(self) -> None:
        monday, friday, next_monday = (f"2024-03-{at}:00:00+00:00" for at in ("04T00", "08T10", "11T00"))
        for counted, words in (
            (ReportScope(Count.CREATED, friday, next_monday), "created from 2024-03-08 10:00 to 2024-03-10"),
            (ReportScope(Count.CREATED, friday, database.NEVER), "created since 2024-03-08 10:00"),
            (ReportScope(Count.CHANGED_TO_RESOLVED, "", monday), "changed to Resolved until 2024-03-03"),
            (ReportScope(Count.UNFINISHED, "", monday), "unfinished at the end of 2024-03-03"),
            (ReportScope(Count.UNFINISHED, "", friday), "unfinished at 2024-03-08 09:59"),
        ):
            with self.subTest(words=words), local_zone("UTC"):
                self.assertEqual(work_order.describe_query(Query(Filter(counted=counted))), words)


class RightsTest(DatabaseTestCase):
    def test_a_user_gets_no_report(self) -> None:
        period = work_order.parse_period("all")
        reports: Tuple[Callable[[], object], ...] = (
            lambda: work_order.resolution_times(self.uma, period, Grouping.PRIORITY),
            lambda: work_order.weekly_flow(self.uma, period),
            lambda: work_order.workload(self.uma, period),
            lambda: work_order.backlog(self.uma),
        )
        for number, report in enumerate(reports):
            with self.subTest(number=number), self.assertRaises(users.PermissionDeniedError):
                report()

    def test_a_list_behind_a_number_shows_a_user_nothing_of_others(self) -> None:
        self.create(self.uma)
        self.create(self.ugo)
        self.assertEqual(self.ids(self.ugo, Query(Filter(counted=ReportScope(Count.CREATED, "", database.NEVER)))), [2])

    def test_only_managers_and_admins_have_the_menu(self) -> None:
        for username, has_it in (("uma", False), ("max", True), ("anna", True)):
            output = self.run_as(username, "Reports", 5)
            self.assertEqual("Service targets" in output, has_it)
            self.assertEqual("Change target" in output, username == "anna")


class ScreenTest(DatabaseTestCase):
    # The answers that open each report and leave it.
    EVERY = (
        *("Resolution times", "all", "category", "Back", "Backlog", "Back"),
        *("Weekly flow", "all", "Back", "Workload", "all", "Back"),
    )

    def resolve(self, **draft: Any) -> None:
        number = work_order.create(self.max, Draft("Printer jams", **draft))
        self.change_status(self.max, number, Status.RESOLVED)

    def test_the_list_behind_a_number_is_an_ordinary_list_and_leads_back(self) -> None:
        for priority in (Priority.HIGH, Priority.LOW, Priority.HIGH):
            self.resolve(priority=priority, requester="uma")
        output = self.run_as(
            "max",
            *("Reports", "Resolution times", "last 7", "", "Show work orders", "high", "Sort", "newest"),
            *("Clear filter", "Back", "Another period", "all", "Show work orders", ALL, "Back", "Back"),
            *("Weekly flow", "", "Show work orders", "1", "x", "resolved", 0, 0),
        )
        self.assertRegex(output, r"Resolution times by priority, last 7 days: from \S+ to ")
        self.assertRegex(output, r"High +2 +0m ")
        self.assertIn("\n2 work orders: priority High, resolved from ", output)
        self.assertIn("\n3 work orders, newest first", output)
        self.assertIn("\n3 work orders: resolved until ", output)
        self.assertIn("Error: ", output)
        self.assertIn("\nNo work orders: changed to Resolved from ", output)

    def test_a_target_is_changed_and_shown_where_it_matters(self) -> None:
        output = self.run_as(
            "anna",
            *("Reports", "Service targets", "Change target", "medium", "0", "4", "none", "Back", "Back"),
            *("Reports", "Service targets", "Change target", "medium", "", "24", "Back", "Back"),
            *("Create work order", "Toner", "", "", "", "", "", "Set due date", "2099-01-01", "Back"),
        )
        self.assertIn("Error: A target is a whole number of hours from 1 to 9,999, or none.", output)
        self.assertIn("Service target for priority Medium is now: first response 4 h, resolution none.", output)
        self.assertRegex(output, r"Due: +\d{4}-\d\d-\d\d( \d\d:\d\d)? \(by target\)")
        self.assertRegex(output, r"Due: +2099-01-01 \(by hand\)")

    def test_a_backlog_without_any_and_a_flow_before_the_first_say_so(self) -> None:
        output = self.run_as("max", "Reports", "Backlog", "Another period", "Back", "Weekly flow", "all")
        self.assertIn("Error: ", output)
        self.assertRegex(output, r"\(all\) +0 +0 +0 +0 +0 +0 +0")
        self.assertIn("Nothing to show.", output)

    def test_no_line_is_wider_than_the_terminal(self) -> None:
        self.resolve(requester="uma", category="Category " * 4)
        work_order.create(self.uma, Draft("A title " * 14))
        for columns in (50, 80, 120):
            with self.subTest(columns=columns):
                output = self.run_as("max", "Reports", *self.EVERY, COLUMNS=str(columns))
                self.assertLessEqual(max(map(len, output.splitlines())), columns)
                self.assertNotIn("Error", output)

    def test_at_50_columns_each_report_shows_the_two_numbers_that_matter(self) -> None:
        self.resolve(requester="uma")
        output = self.run_as("max", "Reports", *self.EVERY, COLUMNS="50")
        for heading in ("Category +Count +Median", "Priority +Total .*Nobody's", "Week .*Resolved.* +Backlog"):
            self.assertRegex(output, heading)
        self.assertRegex(output, "Assignee +Unfinished +Overdue")

    def test_the_meaning_names_only_the_columns_that_are_shown(self) -> None:
        for columns, has_it in ((120, True), (50, False)):
            output = self.run_as("max", "Reports", "Resolution times", "all", "", COLUMNS=str(columns))
            self.assertEqual("Response: " in " ".join(output.split()), has_it)
            self.assertIn("Count: ", output)

    @needs_terminal
    def test_the_whole_backlog_is_in_sight_on_a_low_terminal(self) -> None:
        for _ in range(12):
            self.create(self.uma)
        self.assert_in_sight("Backlog", heading="Backlog: ")

    @needs_terminal
    def test_a_long_flow_is_shown_in_pages_with_the_heading_on_each(self) -> None:
        self.create(self.uma)
        self.pass_time(days=300)
        screen = self.assert_in_sight("Weekly flow", "all", heading="Weekly flow, all: ")
        self.assertIn("Next page", screen)

    def assert_in_sight(self, *answers: str, heading: str) -> str:
        """Open a report in a terminal of 24 lines, look that it fits with its heading, and return it."""
        talk = self.talk(size=(80, 24))
        talk.log_in("max")
        talk.choose("Reports", answers[0])
        for answer in answers[1:]:
            talk.answer("]: ", answer)
        talk.expect(heading)
        shown = heading + plain(talk.expect("Choose an option"))
        self.assertLess(len(shown.splitlines()), 24, shown)
        return shown

    def test_no_category_or_username_is_taken_for_all(self) -> None:
        self.session("all", Role.USER)
        for category in ("All", "Network"):
            self.resolve(category=category)
        by_category = ("Reports", "Resolution times", "", "category", "Show work orders")
        output = self.run_as("max", *by_category, "all", "Back", "Show work orders", "(", "Back")
        self.assertIn("\n1 work order: category All, resolved from", output)
        self.assertIn("\n2 work orders: resolved from", output)
        with self.assertRaises(users.InvalidInputError):
            self.create(self.max, category="(ALL)")
        with self.assertRaises(users.InvalidInputError):
            users.parse_username(ALL)

    def test_a_row_of_many_is_asked_for_without_showing_them_again(self) -> None:
        for number in range(20):
            self.resolve(category=f"Kind {number:02}")
        by_category = ("Reports", "Resolution times", "", "category", "Show work orders")
        output = self.run_as("max", *by_category, "kind 0", "kind 07")
        self.assertNotIn("1. Kind", output)
        self.assertIn("Error: Answer with one of: Kind 00, Kind 01", output)
        self.assertIn("\n1 work order: category Kind 07, resolved from", output)

    def test_a_due_date_that_becomes_one_by_hand_is_said_to(self) -> None:
        self.create(self.uma)
        output = self.run_as("max", "#1", "Set due date", "none", "Set due date", "none")
        self.assertIn("The due date of work order #1, none, is now set by hand.\n", output)
        self.assertEqual(output.count("Nothing changed."), 1)

    def test_bars_are_plain_where_the_encoding_has_no_blocks(self) -> None:
        self.create(self.uma)
        for encoding, block in (("ascii", "#"), ("utf-8", "\u2588")):
            output = self.run_as("max", "Reports", "Weekly flow", "", PYTHONIOENCODING=encoding, COLUMNS="100")
            self.assertRegex(output, rf"\d{{4}}-\d\d-\d\d +1 +{block}+ +0 ")


if __name__ == "__main__":
    unittest.main()
