"""Reports: every number against an independent calculation, and the lists behind the numbers."""

import contextlib
import math
import os
import random
import statistics
import time
import unittest
from datetime import date, datetime, timedelta, timezone
from typing import Any, Callable, Dict, Iterator, List, Optional, Sequence, Tuple
from unittest import mock

from support import PASSWORD, DatabaseTestCase, needs_terminal, plain

import database
import users
import work_order
from users import Role
from work_order import ALL, Cell, Count, Filter, Grouping, Period, Priority, Query, Row, Sort, Status

ZONES = BERLIN, KATHMANDU = "CET-1CEST,M3.5.0,M10.5.0/3", "NPT-5:45"
NOW = "2024-04-30T09:30:00+00:00"
DAY, SECOND = timedelta(days=1), timedelta(seconds=1)
EARLIER, LATER = datetime(1970, 1, 1, tzinfo=timezone.utc), datetime(2999, 1, 1, tzinfo=timezone.utc)
MONDAYS = [date(2024, 2, 12) + 7 * number * DAY for number in range(12)]
# The first day of each period, and the day after its last; None is no bound, and now.
PERIODS = {
    "last 7 days": (date(2024, 4, 23), None),
    "last 30 days": (date(2024, 3, 31), None),
    "last month": (date(2024, 3, 1), date(2024, 4, 1)),
    "all": (None, None),
    "2024-03-25 to 2024-04-07": (date(2024, 3, 25), date(2024, 4, 8)),
    "2024-03-31 to 2024-03-31": (date(2024, 3, 31), date(2024, 4, 1)),
}
STATUSES, FINISHED = tuple(map(str, Status)), ("Resolved", "Cancelled")
COLUMNS = "work_order_id, user_id, changed_at, field, old_value, new_value, minutes, is_imported"
HISTORY_OF = "SELECT * FROM work_order_history WHERE work_order_id = ? ORDER BY id"
History = List[Tuple[object, ...]]
USERNAMES = {None: "nobody", 1: "anna", 2: "max", 3: "uma", 4: "ugo"}

moment = datetime.fromisoformat
text, spent = database.utc_text, work_order.describe_minutes
needs_zones = unittest.skipUnless(hasattr(time, "tzset"), "this system changes no time zone while a program runs")


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


def midnight(zone: str, day: date) -> datetime:
    """Return when the local day begins, in UTC."""
    with local_zone(zone):
        return datetime(day.year, day.month, day.day).astimezone(timezone.utc)


# The independent calculation: by section 7 of the design, from the raw rows, with its own clock.


class Case:
    """A work order with its history, oldest first."""

    def __init__(self, row: Dict[str, Any], history: List[Dict[str, Any]]) -> None:
        self.row, self.history = row, history
        self.created, self.is_finished = moment(row["created_at"]), row["status"] in FINISHED

    @property
    def is_overdue(self) -> bool:
        due_at = self.row["due_at"]
        if self.is_finished or due_at is None or due_at >= NOW:
            return False
        held_at = [self.history[0]["old_value"], *(text(at) for at, _, _ in self.changes())][-1]
        return bool(self.row["status"] != "On Hold" or self.row["due_by"] == "hand" or due_at < held_at)

    def changes(self) -> Iterator[Tuple[datetime, str, str]]:
        for row in self.history:
            if row["field"] == "status":
                yield moment(row["changed_at"]), row["old_value"], row["new_value"]

    def changes_in(self, begin: datetime, end: datetime) -> List[Tuple[str, str]]:
        return [(old, new) for at, old, new in self.changes() if begin <= at < end]

    def is_resolved_in(self, begin: datetime, end: datetime) -> bool:
        """Return whether it was resolved in the period and still is."""
        return bool(self.row["resolved_at"]) and begin <= moment(self.row["resolved_at"]) < end

    def is_unfinished_at(self, at: datetime) -> bool:
        """Return whether it existed and was unfinished, as all changes before the moment had left it."""
        moments = [self.created, *(changed for changed, _, _ in self.changes())]
        status = self.history[0]["new_value"] or "Open"
        if moments == sorted(moments):
            for changed, _, new in self.changes():
                status = new if changed < at else status
        else:  # the clock was set back; the first change after the moment tells what it was
            ends = [old for old, new in self.changes_in(at, LATER) if (old in FINISHED) != (new in FINISHED)]
            status = ends[0] if ends else self.row["status"]
        return self.created < at and status not in FINISHED

    def seconds(self) -> float:
        """Return how long it took to resolve it: no time On Hold, and none finished before a reopening."""
        came_at, came_as = self.history[0]["old_value"], self.history[0]["new_value"] or "Open"
        lost, kind, since = 0.0, "", None
        for at, _, status in ((came_at and moment(came_at), "", came_as), *self.changes()):
            new_kind = "finished" if status in FINISHED else status
            if new_kind != kind:
                is_stop = since and kind in ("finished", "On Hold")
                lost += max(0.0, (at - since).total_seconds()) if is_stop else 0
                kind, since = new_kind, at
        return max(0.0, (moment(self.row["resolved_at"]) - self.created).total_seconds() - lost)

    def response(self) -> Optional[float]:
        """Return how long it took until somebody did something who is not the requester."""
        acts = [row for row in self.history if row["field"] in ("comment", "assignee", "status")]
        others = [row for row in acts if row["user_id"] != self.row["requester_id"] and not row["is_imported"]]
        times = [(moment(row["changed_at"]) - self.created).total_seconds() for row in others]
        return max(0.0, min(times)) if times else None

    def reopened(self, begin: datetime, end: datetime) -> Optional[bool]:
        """Return whether it was reopened after it had been changed to Resolved in the period; None if it had not."""
        was_resolved = was_reopened = False
        for at, old, new in self.changes():
            was_reopened |= was_resolved and old in FINISHED and new not in FINISHED
            was_resolved |= new == "Resolved" and begin <= at < end
        return was_reopened if was_resolved and self.row["status"] != "Cancelled" else None


def middle(values: Sequence[float]) -> str:
    return work_order.duration(statistics.median(values)) if values else "-"


def percent(are: Sequence[bool]) -> str:
    return f"{math.floor(100 * sum(are) / len(are) + 0.5)}%" if are else "-"


def texts(row: Row) -> List[str]:
    return [cell.text for cell in row.cells]


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
        self.cases = [
            Case(dict(row), list(map(dict, self.connection.execute(HISTORY_OF, [row["id"]]))))
            for row in self.connection.execute("SELECT * FROM work_orders WHERE deleted_at IS NULL ORDER BY id")
        ]

    def replay(self, chance: random.Random) -> None:
        first, last = moment("2024-02-10T00:00:00+00:00"), moment(NOW)
        edges = [midnight(zone, day) for zone in ZONES for day in MONDAYS]
        edges = sorted((*edges, *(last - days * DAY for days in (1, 7, 30) * 5)))
        for number in range(1, 301):
            at = first + chance.randrange(int((last - first) / SECOND)) * SECOND
            if chance.random() < 0.5:
                at = chance.choice(edges) + chance.choice((-1, 0, 1)) * SECOND
            elif chance.random() < 0.02:
                at = last + chance.randrange(4) * DAY  # the clock was ahead
            row = {
                "id": number,
                "title": "A title",
                "priority": chance.choice((1, 2, 2, 3, 4)),
                "category": chance.choice((None, "Network", "Printing")),
                "requester_id": chance.randint(1, 4),
                "assignee_id": chance.choice((None, None, 1, 2)),
                "created_at": text(at),
                "updated_at": text(at),
                "due_at": chance.choice((None, None, text(at + chance.random() * 25 * DAY))),
                "due_by": chance.choice(("hand", "target")),
                "response_hours": chance.choice((None, 1, 24)),
                "deleted_at": chance.choice((*[None] * 20, NOW)),
            }
            history = self.live(chance, row, at, edges)
            marks = ", ".join("?" * len(row))
            self.connection.execute(f"INSERT INTO work_orders ({', '.join(row)}) VALUES ({marks})", [*row.values()])
            marks = ", ".join("?" * len(history[0]))
            self.connection.executemany(f"INSERT INTO work_order_history ({COLUMNS}) VALUES ({marks})", history)
            database.refresh_derived(self.connection, number)

    def live(self, chance: random.Random, row: Dict[str, Any], at: datetime, edges: List[datetime]) -> History:
        """Give a new work order the status and the resolution that it ends with, and return its history."""
        came_as = chance.choice((*[None] * 20, *STATUSES))
        came_at = text(at + DAY / 3) if came_as in (*FINISHED, "On Hold") else None
        row["status"] = came_as or "Open"
        history: History = [(row["id"], 1, text(at), "created", came_at, came_as, 0, bool(came_as))]
        for _ in range(chance.randrange(9)):
            edge = next((edge for edge in edges if edge >= at), moment(NOW))
            at = edge if chance.random() < 0.3 else at + int(chance.expovariate(1 / 200_000)) * SECOND
            if chance.random() < 0.02:
                at -= chance.randrange(9) * DAY  # the clock was set back
            if at > moment(NOW):
                break
            by, what = chance.randint(1, 4), chance.choice(("status",) * 5 + ("comment", "assignee"))
            old = new = None
            if what == "status":
                old = row["status"]
                new = chance.choice([status for status in (*STATUSES, "Resolved") if status != old])
                row.update(status=new, resolved_at=text(at) if new == "Resolved" else None)
            minutes = 17 * (row["id"] % 9) if what == "comment" and by < 3 else 0
            came_with_it = bool(came_as) and len(history) < 2
            history.append((row["id"], by, text(at), what, old, new, minutes, came_with_it))
        if chance.random() < 0.1 and row.get("resolved_at"):
            row["due_at"] = row["resolved_at"]  # on time to the second
        return history

    def each_period(self) -> Iterator[Tuple[Period, datetime, datetime]]:
        for zone in ZONES:
            for name, (first, after) in PERIODS.items():
                begin = midnight(zone, first) if first else EARLIER
                end = midnight(zone, after) if after else moment(NOW) + SECOND
                with local_zone(zone):
                    yield work_order.parse_period(name), begin, end

    def assert_counts(self, cell: Cell, expected: Sequence[Case]) -> None:
        """Compare the number and the list behind it with the work orders that are expected."""
        self.assertEqual(cell.text, f"{len(expected):,}")
        assert cell.query
        listed = self.ids(self.max, cell.query._replace(sort=Sort.OLDEST))
        self.assertEqual(listed, [case.row["id"] for case in expected])


@needs_zones
class ReportTest(ReplayTestCase):
    def test_resolution_times_by_each_grouping(self) -> None:
        keys: Dict[Grouping, Callable[[Case], str]] = {
            Grouping.PRIORITY: lambda case: str(Priority(case.row["priority"])),
            Grouping.CATEGORY: lambda case: case.row["category"] or "none",
            Grouping.ASSIGNEE: lambda case: USERNAMES[case.row["assignee_id"]],
            Grouping.REQUESTER: lambda case: USERNAMES[case.row["requester_id"]],
        }
        for period, begin, end in self.each_period():
            reopened = [case for case in self.cases if case.reopened(begin, end) is not None]
            counted = [case for case in self.cases if case.is_resolved_in(begin, end)] + reopened
            for grouping, key in keys.items():
                *rows, total = work_order.resolution_times(self.max, period, grouping).rows
                always = map(str, Priority) if grouping is Grouping.PRIORITY else ()
                self.assertEqual({row.name for row in rows}, {*map(key, counted), *always})
                for row in (*rows, total):
                    with self.subTest(period=period.name, grouping=grouping, row=row.name):
                        grouped = [case for case in self.cases if row.name in (ALL, key(case))]
                        self.assert_row(row, grouped, begin, end)

    def assert_row(self, row: Row, cases: List[Case], begin: datetime, end: datetime) -> None:
        counted = [case for case in cases if case.is_resolved_in(begin, end)]
        seconds = sorted(case.seconds() for case in counted)
        on_time = [case.row["resolved_at"] <= case.row["due_at"] for case in counted if case.row["due_at"]]
        responses = [(case.response(), case.row["response_hours"]) for case in counted]
        in_target = [taken <= hours * 3600 for taken, hours in responses if taken is not None and hours]
        reopened = [case.reopened(begin, end) for case in cases]
        total = sum(entry["minutes"] for case in counted for entry in case.history)
        self.assert_counts(row.cells[0], counted)
        expected = [
            middle(seconds),
            work_order.duration(statistics.mean(seconds)) if seconds else "-",
            work_order.duration(seconds[math.ceil(9 * len(seconds) / 10) - 1]) if seconds else "-",
            percent(on_time),
            percent([was for was in reopened if was is not None]),
            middle([taken for taken, _ in responses if taken is not None]),
            percent(in_target),
            *((spent(total), spent(total // len(counted))) if counted else "--"),
        ]
        self.assertEqual(texts(row)[1:], expected)

    def test_weekly_flow(self) -> None:
        for period, begin, end in self.each_period():
            first = min(case.created for case in self.cases) if period.name == "all" else begin
            mondays = [midnight(os.environ["TZ"], day) for day in MONDAYS]
            edges = [first, *(monday for monday in mondays if first < monday < end), end]
            weeks = list(zip(edges, edges[1:]))
            rows = work_order.weekly_flow(self.max, period).rows
            self.assertEqual([row.name for row in rows], [f"{start.astimezone().date()}" for start, _ in weeks])
            for row, (start, stop) in zip(rows, weeks):
                with self.subTest(period=period.name, week=row.name):
                    self.assert_week(row, start, stop)

    def assert_week(self, row: Row, begin: datetime, end: datetime) -> None:
        created, resolved, reopened, unfinished = row.cells
        is_running = end > moment(NOW)
        self.assert_counts(created, [case for case in self.cases if begin <= case.created < end])
        for cell, is_meant in (
            (resolved, lambda _, new: new == "Resolved"),
            (reopened, lambda old, new: old in FINISHED and new not in FINISHED),
        ):
            happened = [case for case in self.cases if any(is_meant(*each) for each in case.changes_in(begin, end))]
            self.assert_counts(cell, happened)
        left = [case for case in self.cases if (not case.is_finished if is_running else case.is_unfinished_at(end))]
        self.assert_counts(unfinished, left)

    def test_workload(self) -> None:
        for period, begin, end in self.each_period():
            rows = work_order.workload(self.max, period).rows
            self.assertEqual((sorted(row.name for row in rows), rows[-1].name), (["anna", "max", "nobody"], "nobody"))
            entries = [entry for case in self.cases for entry in case.history]
            noted = [entry for entry in entries if begin <= moment(entry["changed_at"]) < end]
            for row in rows:
                theirs = [case for case in self.cases if USERNAMES[case.row["assignee_id"]] == row.name]
                unfinished = [case for case in theirs if not case.is_finished]
                resolved = [case for case in theirs if case.is_resolved_in(begin, end)]
                self.assert_counts(row.cells[0], unfinished)
                self.assert_counts(row.cells[1], [case for case in unfinished if case.is_overdue])
                self.assert_counts(row.cells[2], [case for case in unfinished if case.row["status"] == "On Hold"])
                self.assert_counts(row.cells[3], resolved)
                minutes = sum(entry["minutes"] for entry in noted if USERNAMES[entry["user_id"]] == row.name)
                self.assertEqual(texts(row)[4:], [middle([case.seconds() for case in resolved]), spent(minutes)])

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

    def test_lists_are_in_the_order_of_urgency_and_of_the_due_date(self) -> None:
        orders: Dict[Sort, Callable[[Case], Any]] = {
            Sort.URGENCY: lambda case: (case.is_finished, -case.row["priority"], case.created, case.row["id"]),
            Sort.DUE: lambda case: (case.is_finished, case.row["due_at"] or database.NEVER, case.row["id"]),
        }
        for sort, key in orders.items():
            expected = [case.row["id"] for case in sorted(self.cases, key=key)]
            self.assertEqual(self.ids(self.max, Query(sort=sort)), expected)


class EdgeTest(DatabaseTestCase):
    everything = Period("all", None, moment(database.NEVER))

    def times(self, grouping: Grouping = Grouping.PRIORITY) -> List[str]:
        return texts(work_order.resolution_times(self.max, self.everything, grouping).rows[-1])

    def resolve(self, number: int) -> None:
        """Create and resolve work orders, an hour after the other."""
        for _ in range(number):
            self.create(self.uma)
        for each in range(1, number + 1):
            self.pass_time(hours=1)
            self.change_status(self.max, each, Status.RESOLVED)

    def test_the_median_of_ten_is_the_mean_of_the_middle_two_and_the_90th_percentile_the_ninth(self) -> None:
        self.resolve(10)
        self.assertEqual(self.times()[:4], ["10", "5h 30m", "5h 30m", "9h 0m"])

    def test_a_response_in_the_last_second_of_its_target_is_in_it_and_a_clock_set_back_takes_no_time(self) -> None:
        self.resolve(1)
        for seconds, share in ((3600, "100%"), (3601, "0%")):
            at = f"strftime('%Y-%m-%dT%H:%M:%S+00:00', created_at, '{seconds} seconds')"
            self.connection.execute(f"UPDATE work_orders SET response_hours = 1, responded_at = {at}")
            self.assertEqual(self.times()[7], share)
        self.connection.execute("UPDATE work_orders SET resolved_at = '2020-01-01T00:00:00+00:00'")
        self.assertEqual(self.times()[1], "0m")

    def test_of_nothing_there_is_a_row_of_dashes_and_no_week(self) -> None:
        for grouping in (Grouping.CATEGORY, Grouping.ASSIGNEE, Grouping.REQUESTER):
            (row,) = work_order.resolution_times(self.max, self.everything, grouping).rows
            self.assertEqual((row.name, texts(row)), (ALL, ["0", *["-"] * 9]))
        self.assertEqual(work_order.weekly_flow(self.max, work_order.parse_period("all")).rows, [])

    def test_a_deactivated_assignee_who_has_resolved_something_has_a_row(self) -> None:
        self.session("lena", Role.MANAGER, ("anna", PASSWORD))
        self.create(self.max, assignee="lena")
        self.change_status(self.max, 1, Status.RESOLVED)
        work_order.deactivate(self.anna, "lena")
        resolved = [(row.name, row.cells[3].text) for row in work_order.workload(self.max, self.everything).rows]
        self.assertEqual(resolved, [("anna", "0"), ("lena", "1"), ("max", "0"), ("nobody", "0")])

    def test_a_damaged_moment_is_named(self) -> None:
        self.resolve(1)
        self.connection.execute("PRAGMA ignore_check_constraints = ON")
        self.connection.execute("UPDATE work_orders SET created_at = '2024-03-xx'")
        for report in (work_order.workload, work_order.weekly_flow):
            with self.assertRaisesRegex(database.DamageError, "ork order.* is damaged in the database"):
                report(self.max, work_order.parse_period("all"))

    def test_a_user_sees_only_own_rows_behind_a_number(self) -> None:
        self.create(self.uma)
        self.create(self.ugo)
        counted = work_order.ReportScope(Count.CREATED, "", database.NEVER)
        self.assertEqual(self.ids(self.ugo, Query(Filter(counted=counted))), [2])


@needs_zones
class PeriodTest(unittest.TestCase):
    def test_it_is_named_by_a_name_or_its_beginning_a_number_of_days_a_month_or_two_days(self) -> None:
        for at, given, words in (
            ("2024-04-30", "this week", "this week: from 2024-04-29 to 2024-04-30 15:15"),
            ("2024-04-30", "this m", "this month: from 2024-04-01 to 2024-04-30 15:15"),
            ("2024-04-30", "this year", "this year: from 2024-01-01 to 2024-04-30 15:15"),
            ("2024-04-30", "Last  Q", "last quarter: from 2024-01-01 to 2024-03-31"),
            ("2024-01-31", "last quarter", "last quarter: from 2023-10-01 to 2023-12-31"),
            ("2024-04-30", "last 9", "last 90 days: from 2024-01-31 to 2024-04-30 15:15"),
            ("2024-04-30", "A", "all: until 2024-04-30 15:15"),
            ("2024-04-30", "2024-04", "2024-04: from 2024-04-01 to 2024-04-30 15:15"),
            ("2024-04-30", "2024-02", "2024-02: from 2024-02-01 to 2024-02-29"),
            ("2024-04-30", "2000-01-01  to 2023-12-31", "from 2000-01-01 to 2023-12-31"),
            ("2024-04-30", "2024-04-01-2024-06-30", "from 2024-04-01 to 2024-04-30 15:15"),
        ):
            with self.subTest(given=given), local_zone(KATHMANDU), clock(f"{at}T09:30:00+00:00"):
                period = work_order.parse_period(given)
                self.assertEqual(work_order.describe_period(period), words)
                self.assertEqual(work_order.parse_period(period.name), period)

    def test_what_is_no_period_is_refused(self) -> None:
        for wrong in (
            *("", "last", "this", "31", "x", "2024-01-01", "2024-13", "2999-01", "1999-12", "٢٠٢٤-٠١"),
            *("2024-02-30 to 2024-03-01", "2024-03-02 to 2024-03-01", "2999-01-01 to 2999-01-02"),
            *("1999-01-01 to 2024-01-01", "0001-01-01 to 9999-12-31", "2024-01-01 to 2024-01-31 x"),
        ):
            with self.subTest(wrong=wrong), self.assertRaises(users.InvalidInputError):
                work_order.parse_period(wrong)

    def test_a_list_tells_what_a_report_has_counted(self) -> None:
        monday, friday, next_monday = (f"2024-03-{at}:00:00+00:00" for at in ("04T00", "08T10", "11T00"))
        for what, begin, end, words in (
            (Count.CREATED, friday, next_monday, "created from 2024-03-08 10:00 to 2024-03-10"),
            (Count.CREATED, friday, database.NEVER, "created since 2024-03-08 10:00"),
            (Count.CHANGED_TO_RESOLVED, "", monday, "changed to Resolved until 2024-03-03"),
            (Count.UNFINISHED, "", monday, "unfinished at the end of 2024-03-03"),
            (Count.UNFINISHED, "", friday, "unfinished at 2024-03-08 09:59"),
        ):
            with self.subTest(words=words), local_zone("UTC"):
                counted = Filter(counted=work_order.ReportScope(what, begin, end))
                self.assertEqual(work_order.describe_filter(counted), [words])


class ScreenTest(DatabaseTestCase):
    def resolve(self, **draft: Any) -> None:
        self.change_status(self.max, self.create(self.max, **draft).id, Status.RESOLVED)

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

    def test_a_row_of_many_is_asked_for_without_showing_them_again_and_no_category_is_taken_for_all(self) -> None:
        for category in ("All", *(f"Kind {number:02}" for number in range(20))):
            self.resolve(category=category)
        rows = ("all", "Back", "Show work orders", "kind 0", "kind 07", "Back", "Show work orders", "(")
        output = self.run_as("max", "Reports", "Resolution times", "", "category", "Show work orders", *rows)
        self.assertNotIn("1. Kind", output)
        self.assertIn("Error: Answer with one of: Kind 00, Kind 01", output)
        for words in ("1 work order: category All, ", "1 work order: category Kind 07, ", "21 work orders: "):
            self.assertIn(f"\n{words}resolved from", output)

    def test_a_backlog_without_any_and_a_flow_before_the_first_say_so(self) -> None:
        output = self.run_as("max", "Reports", "Backlog", "Another period", "Back", "Weekly flow", "all")
        self.assertIn("Error: ", output)
        self.assertRegex(output, r"\(all\) +0 +0 +0 +0 +0 +0 +0")
        self.assertIn("Nothing to show.", output)

    def test_a_target_is_changed_and_shown_and_a_due_date_that_becomes_one_by_hand_is_said_to(self) -> None:
        output = self.run_as(
            "anna",
            *("Reports", "Service targets", "Change target", "medium", "0", "-1", "1.5", "10000", "x", "٣"),
            *("4", "none", "Change target", "medium", "", "9999", "Change target", "medium", "", "", "00"),
            *("Create work order", "Toner", "", "", "", "", "", "Set due date", "2099-01-01", "00"),
            *("Create work order", "Ink", "", "low", "", "", "", "Set due date", "none", "Set due date", "none"),
        )
        self.assertEqual(output.count("Error: A target is a whole number of hours from 1 to 9,999, or none."), 6)
        self.assertIn("Service target for priority Medium is now: first response 4 h, resolution none.", output)
        self.assertRegex(output, r"Due: +\d{4}-\d\d-\d\d( \d\d:\d\d)? \(by target\)")
        self.assertRegex(output, r"Due: +2099-01-01 \(by hand\)")
        self.assertIn("The due date of work order #2, none, is now set by hand.\n", output)
        self.assertEqual(output.count("Nothing changed."), 2)

    def test_no_line_is_too_wide_and_each_report_shows_what_matters(self) -> None:
        self.resolve(requester="uma", category="Category " * 4)
        self.create(self.uma, "A title " * 14)
        every = (
            *("Reports", "Resolution times", "all", "category", "Back", "Backlog", "Back"),
            *("Weekly flow", "all", "Back", "Workload", "all", "Back"),
        )
        outputs = {}
        for columns, encoding in ((50, "utf-8"), (80, "utf-8"), (120, "ascii")):
            outputs[columns] = self.run_as("max", *every, COLUMNS=f"{columns}", PYTHONIOENCODING=encoding)
            self.assertLessEqual(max(map(len, outputs[columns].splitlines())), columns)
            self.assertNotIn("Error", outputs[columns])
            self.assertIn("Count: ", outputs[columns])
        for heading in ("Category +Count +Median", "Priority +Total .*Nobody's", "Week .*Resolved.* +Backlog"):
            self.assertRegex(outputs[50], heading)
        self.assertRegex(outputs[50], "Assignee +Unfinished +Overdue")
        self.assertNotIn("Response: ", " ".join(outputs[50].split()))
        self.assertIn("Response: ", " ".join(outputs[120].split()))
        self.assertRegex(outputs[80], r"\d{4}-\d\d-\d\d +2 +\u2588+ +1 ")
        self.assertRegex(outputs[120], r"\d{4}-\d\d-\d\d +2 +#+ +1 ")

    @needs_terminal
    def test_on_a_low_terminal_the_whole_backlog_and_each_page_of_a_flow_are_in_sight(self) -> None:
        for _ in range(12):
            self.create(self.uma)
        self.pass_time(days=300)
        talk = self.talk(size=(80, 24))
        talk.log_in("max")
        talk.choose("Reports")
        for answers, heading, option in (
            (("Backlog",), "Backlog: ", "The oldest:"),
            (("Back", "Weekly flow", "all"), "Weekly flow, all: ", "Next page"),
            (("4",), "Weekly flow, all: ", "Previous page"),
        ):
            for answer in answers:
                talk.answer(": ", answer)
            talk.expect(heading)
            shown = plain(talk.expect("Choose an option"))
            self.assertLess(len(shown.splitlines()), 24, shown)
            self.assertIn(option, shown)
