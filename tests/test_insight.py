"""Targets and reports: every number against an independent calculation, and the lists behind them."""

import contextlib
import decimal
import io
import os
import random
import time
import unittest
from datetime import date, datetime, timedelta, timezone
from typing import Any, Callable, Dict, Iterator, List, NamedTuple, Optional, Sequence, Tuple
from unittest import mock

from support import DatabaseTestCase

import database
import main
import users
import work_order
from users import Role, Session
from work_order import (
    ALL,
    BAND_NAMES,
    Count,
    Counted,
    DueBy,
    Filter,
    Grouping,
    Period,
    Priority,
    Query,
    ServiceTarget,
    Sort,
    Status,
)

BERLIN, KATHMANDU = "CET-1CEST,M3.5.0,M10.5.0/3", "NPT-5:45"
NOW = "2024-04-30T09:30:00+00:00"
PERIODS = ("last 7 days", "last 30 days", "last 90 days", "all", "2024-03-25 to 2024-04-07", "2024-03-31 to 2024-03-31")
STATUSES = tuple(map(str, Status))
FINISHED = ("Resolved", "Cancelled")


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


def bounds(zone: str, period: str) -> Tuple[datetime, datetime]:
    """Return when the period begins and ends; until now means that the present second is over."""
    now = moment(NOW) + timedelta(seconds=1)
    if period == "all":
        return moment("2000-01-01T00:00:00+00:00"), now
    if period.startswith("last"):
        today = (now + offset(zone, now)).date()
        return midnight(zone, today - timedelta(days=int(period.split()[1]))), now
    first, last = (date.fromisoformat(day) for day in period.split(" to "))
    return midnight(zone, first), min(now, midnight(zone, last + timedelta(days=1)))


class Case(NamedTuple):
    """A work order with its history, oldest first."""

    row: Dict[str, Any]
    history: List[Dict[str, Any]]

    @property
    def created(self) -> datetime:
        return moment(self.row["created_at"])

    def changes(self) -> Iterator[Tuple[datetime, str, str]]:
        for row in self.history:
            if row["field"] == "status":
                yield moment(row["changed_at"]), row["old_value"], row["new_value"]

    def status_at(self, at: datetime) -> Optional[str]:
        status = "Open"
        for changed, _, new in self.changes():
            status = new if changed < at else status
        return status if self.created < at else None

    def resolution(self) -> Optional[Tuple[datetime, float]]:
        """Return when it was resolved, if it still is, and how many seconds that took."""
        changes = list(self.changes())
        if not changes or changes[-1][2] != "Resolved":
            return None
        counted, begins = timedelta(), [self.created, *(at for at, _, _ in changes)]
        for number, (at, status, _) in enumerate(changes):
            is_reopened = any(old in FINISHED and new not in FINISHED for _, old, new in changes[number:])
            if status != "On Hold" and not (status in FINISHED and is_reopened):
                counted += at - begins[number]
        return begins[-1], counted.total_seconds()

    def response(self) -> Optional[float]:
        for row in self.history:
            if row["field"] in ("comment", "assignee", "status") and row["user_id"] != self.row["requester_id"]:
                return (moment(row["changed_at"]) - self.created).total_seconds()
        return None

    def reopened(self, begin: datetime, end: datetime) -> Optional[bool]:
        """Return whether it was reopened after it had been changed to Resolved in the period; None if it had not."""
        was_resolved = was_reopened = False
        for at, old, new in self.changes():
            was_reopened |= was_resolved and old in FINISHED and new not in FINISHED
            was_resolved |= new == "Resolved" and begin <= at < end
        return was_reopened if was_resolved and self.row["status"] != "Cancelled" else None


def middle(values: Sequence[float]) -> Optional[float]:
    ordered = sorted(values)
    while len(ordered) > 2:
        ordered = ordered[1:-1]
    return sum(ordered) / len(ordered) if ordered else None


def ninth_tenth(values: Sequence[float]) -> Optional[float]:
    return next((value for rank, value in enumerate(sorted(values), 1) if 10 * rank >= 9 * len(values)), None)


def percent(are: Sequence[bool]) -> Optional[int]:
    if not are:
        return None
    exact = decimal.Decimal(100 * sum(are)) / len(are)
    return int(exact.quantize(decimal.Decimal(1), decimal.ROUND_HALF_UP))


class ReplayTestCase(DatabaseTestCase):
    """A few hundred work orders with random histories, many of whose moments are the first or last of a week."""

    content = b""

    def setUp(self) -> None:
        super().setUp()
        if not ReplayTestCase.content:
            with database.transaction(self.connection):
                self.replay(random.Random(11))
            ReplayTestCase.content = self.path.read_bytes()
        self.use(ReplayTestCase.content)
        patch = mock.patch.object(work_order, "now", return_value=NOW)
        patch.start()
        self.addCleanup(patch.stop)
        rows = [
            dict(row)
            for row in self.connection.execute("SELECT * FROM work_orders WHERE deleted_at IS NULL ORDER BY id")
        ]
        history = [dict(row) for row in self.connection.execute("SELECT * FROM work_order_history ORDER BY id")]
        of: Dict[int, List[Dict[str, Any]]] = {row["id"]: [] for row in rows}
        for row in history:
            of.get(row["work_order_id"], []).append(row)
        self.cases = [Case(row, of[row["id"]]) for row in rows]

    def replay(self, chance: random.Random) -> None:
        first, last = moment("2024-02-10T00:00:00+00:00"), moment(NOW)
        edges = [
            midnight(zone, date(2024, 2, 5) + timedelta(days=7 * n)) for n in range(12) for zone in (BERLIN, KATHMANDU)
        ]
        for _ in range(260):
            at = first + timedelta(seconds=chance.randrange(int((last - first).total_seconds())))
            if chance.random() < 0.1:
                at = last - timedelta(days=chance.choice((1, 7, 30)), seconds=chance.choice((-1, 0, 1)))
            elif chance.random() < 0.2:
                at = chance.choice(edges[2:]) + timedelta(seconds=chance.choice((-1, 0, 1)))
            number = self.connection.execute(
                """
                INSERT INTO work_orders (title, priority, category, requester_id, assignee_id, created_at, updated_at,
                    due_at, response_hours)
                VALUES ('A title', ?, ?, ?, ?, ?, ?, ?, ?)
                """,
                (
                    chance.choice((1, 2, 2, 3, 4)),
                    chance.choice((None, "Network", "Printing")),
                    chance.randint(1, 4),
                    chance.choice((None, 1, 2, 2)),
                    *(text(at), text(at)),
                    chance.choice((None, text(at + timedelta(hours=chance.randrange(600))))),
                    chance.choice((None, 1, 24)),
                ),
            ).lastrowid
            assert number
            self.record(number, 1, at, "created", None, None)
            self.live(chance, number, at, last, edges)

    def live(self, chance: random.Random, number: int, at: datetime, last: datetime, edges: List[datetime]) -> None:
        status = "Open"
        for _ in range(chance.randrange(9)):
            edge = min((edge for edge in edges if edge >= at), default=last)
            at = edge if chance.random() < 0.2 else at + timedelta(seconds=int(chance.expovariate(1 / 200_000)))
            if at > last:
                break
            by = chance.randint(1, 4)
            what = chance.choice(("status",) * 5 + ("comment", "assignee", "requester"))
            if what == "status":
                new = chance.choice([other for other in STATUSES + FINISHED if other != status])
                resolved_at = text(at) if new == "Resolved" else None
                self.connection.execute(
                    "UPDATE work_orders SET status = ?, resolved_at = ? WHERE id = ?", (new, resolved_at, number)
                )
                if chance.random() < 0.1:  # on time to the second
                    self.connection.execute("UPDATE work_orders SET due_at = ? WHERE id = ?", (resolved_at, number))
                self.record(number, by, at, what, status, new)
                status = new
            elif what == "requester":
                self.connection.execute(
                    "UPDATE work_orders SET requester_id = ? WHERE id = ?", (chance.randint(1, 4), number)
                )
                self.record(number, by, at, what, "uma", "ugo")
            else:
                self.record(number, by, at, what, None, None)
        if chance.random() < 0.05:
            self.connection.execute("UPDATE work_orders SET deleted_at = ? WHERE id = ?", (text(at), number))

    def record(self, number: int, by: int, at: datetime, field: str, old: Optional[str], new: Optional[str]) -> None:
        self.connection.execute(
            """
            INSERT INTO work_order_history (work_order_id, user_id, changed_at, field, old_value, new_value)
            VALUES (?, ?, ?, ?, ?, ?)
            """,
            (number, by, text(at), field, old, new),
        )

    @contextlib.contextmanager
    def zone(self, name: str) -> Iterator[None]:
        with mock.patch.dict(os.environ, TZ=name):
            time.tzset()
            yield
        time.tzset()

    def each_period(self) -> Iterator[Tuple[Period, datetime, datetime, str]]:
        for zone in (BERLIN, KATHMANDU):
            with self.zone(zone):
                for name in PERIODS:
                    begin, end = bounds(zone, name)
                    with self.subTest(zone=zone, period=name):
                        yield work_order.parse_period(name), begin, end, zone

    def assert_counted(self, filter: Filter, expected: Sequence[Case], number: int) -> None:
        self.assertEqual(number, len(expected))
        listed = work_order.read_page(self.max, Query(filter, Sort.OLDEST), (), 1000)
        self.assertEqual([row.id for row in listed.work_orders], [case.row["id"] for case in expected])


@unittest.skipUnless(hasattr(time, "tzset"), "this system changes no time zone while a program runs")
class ReportTest(ReplayTestCase):
    def test_resolution_times_by_each_grouping(self) -> None:
        names = {None: "nobody", 1: "anna", 2: "max", 3: "uma", 4: "ugo"}
        keys: Dict[Grouping, Callable[[Case], str]] = {
            Grouping.PRIORITY: lambda case: str(Priority(case.row["priority"])),
            Grouping.CATEGORY: lambda case: case.row["category"] or "none",
            Grouping.ASSIGNEE: lambda case: names[case.row["assignee_id"]],
            Grouping.REQUESTER: lambda case: names[case.row["requester_id"]],
        }
        for period, begin, end, _ in self.each_period():
            for grouping, key in keys.items():
                rows = work_order.resolution_times(self.max, period, grouping)
                known = {key(case) for case in self.cases if self.counts(case, begin, end)}
                known |= set(map(str, Priority)) if grouping is Grouping.PRIORITY else set()
                self.assertEqual({row.name for row in rows[:-1]}, known)
                self.assertEqual(rows[-1].name, ALL)
                for row in rows:
                    with self.subTest(grouping=grouping, row=row.name):
                        those = [case for case in self.cases if row.name in (ALL, key(case))]
                        self.assert_row(row, those, begin, end)

    def counts(self, case: Case, begin: datetime, end: datetime) -> bool:
        resolution = case.resolution()
        return bool(resolution and begin <= resolution[0] < end) or case.reopened(begin, end) is not None

    def assert_row(self, row: work_order.ResolutionTimes, cases: List[Case], begin: datetime, end: datetime) -> None:
        counted, seconds, on_time, responses = [], [], [], []
        for case in cases:
            resolved, taken = case.resolution() or (end, 0)
            if begin <= resolved < end:
                counted.append(case)
                seconds.append(taken)
                on_time += [resolved <= moment(case.row["due_at"])] if case.row["due_at"] else []
                response, hours = case.response(), case.row["response_hours"]
                responses += [(response, hours)] if response is not None else []
        reopened = [case.reopened(begin, end) for case in cases]
        self.assert_counted(row.filters["count"], counted, row.resolved)
        self.assertEqual(row.median, middle(seconds))
        self.assertEqual(row.mean, sum(seconds) / len(seconds) if seconds else None)
        self.assertEqual(row.percentile_90, ninth_tenth(seconds))
        self.assertEqual(row.on_time, percent(on_time))
        self.assertEqual(row.reopened, percent([was for was in reopened if was is not None]))
        self.assertEqual(row.response_median, middle([response for response, _ in responses]))
        self.assertEqual(row.response_on_time, percent([taken <= hours * 3600 for taken, hours in responses if hours]))

    def test_weekly_flow(self) -> None:
        for period, begin, end, zone in self.each_period():
            first = min(case.created for case in self.cases) if period.name == "all" else begin
            weeks = work_order.weekly_flow(self.max, period)
            self.assertEqual([(week.begin, week.end) for week in weeks], list(self.weeks(zone, first, end)))
            for week in weeks:
                with self.subTest(week=week.name):
                    self.assert_week(week)

    def weeks(self, zone: str, begin: datetime, end: datetime) -> Iterator[Tuple[datetime, datetime]]:
        day = (begin + offset(zone, begin)).date()
        while begin < end:
            day += timedelta(days=1)
            if day.weekday() == 0 or midnight(zone, day) >= end:
                yield begin, min(end, midnight(zone, day))
                begin = midnight(zone, day)

    def assert_week(self, week: work_order.Week) -> None:
        def happened(is_meant: Callable[[str, str], bool]) -> List[Case]:
            return [
                case
                for case in self.cases
                if any(is_meant(old, new) for at, old, new in case.changes() if week.begin <= at < week.end)
            ]

        created = [case for case in self.cases if week.begin <= case.created < week.end]
        unfinished = [case for case in self.cases if case.status_at(week.end) not in (None, *FINISHED)]
        self.assert_counted(week.filters["created"], created, week.created)
        resolved = happened(lambda _, new: new == "Resolved")
        self.assert_counted(week.filters["resolved"], resolved, week.resolved)
        reopened = happened(lambda old, new: old in FINISHED and new not in FINISHED)
        self.assert_counted(week.filters["reopened"], reopened, week.reopened)
        self.assert_counted(week.filters["backlog"], unfinished, week.unfinished)

    def test_workload(self) -> None:
        names = {"anna": 1, "max": 2, "nobody": None}
        for period, begin, end, _ in self.each_period():
            rows = work_order.workload(self.max, period)
            self.assertEqual({row.name for row in rows}, set(names))
            self.assertEqual(rows[-1].name, "nobody")
            for row in rows:
                those = [case for case in self.cases if case.row["assignee_id"] == names[row.name]]
                unfinished = [case for case in those if case.row["status"] not in FINISHED]
                overdue = [case for case in unfinished if case.row["due_at"] and case.row["due_at"] < NOW]
                held = [case for case in unfinished if case.row["status"] == "On Hold"]
                resolved = [case for case in those if begin <= (case.resolution() or (end, 0))[0] < end]
                self.assert_counted(row.filters["unfinished"], unfinished, row.unfinished)
                self.assert_counted(row.filters["overdue"], overdue, row.overdue)
                self.assert_counted(row.filters["on hold"], held, row.on_hold)
                self.assert_counted(row.filters["resolved"], resolved, row.resolved)
                self.assertEqual(row.median, middle([(case.resolution() or (end, 0))[1] for case in resolved]))

    def test_backlog(self) -> None:
        report = work_order.backlog(self.max)
        unfinished = [case for case in self.cases if case.row["status"] not in FINISHED]
        for row in report.rows:
            those = [case for case in unfinished if row.name in (ALL, str(Priority(case.row["priority"])))]
            self.assert_counted(row.filters["total"], those, row.total)
            nobodys = [case for case in those if case.row["assignee_id"] is None]
            self.assert_counted(row.filters["nobody's"], nobodys, row.unassigned)
            edges = (-1, 1, 7, 30, 90, 999_999)
            for number, (younger, older) in enumerate(zip(edges, edges[1:])):
                ages = [(case, (moment(NOW) - case.created).total_seconds() / 86400) for case in those]
                band = [case for case, age in ages if (younger <= age if number else True) and age < older]
                self.assert_counted(row.filters[BAND_NAMES[number]], band, row.bands[number])
        oldest = sorted(unfinished, key=lambda case: (case.created, case.row["id"]))[:10]
        self.assertEqual([row.id for row in report.oldest], [case.row["id"] for case in oldest])

    def test_a_report_reads_in_slices_and_finds_the_same(self) -> None:
        def reports() -> List[object]:
            period = work_order.parse_period("all")
            return [
                work_order.resolution_times(self.max, period, Grouping.CATEGORY),
                work_order.weekly_flow(self.max, period),
                work_order.workload(self.max, period),
                work_order.backlog(self.max),
            ]

        whole = reports()
        with mock.patch.multiple(work_order, SLICE=7, SLICE_WITH_LOOKUPS=2, WEEKS_AT_ONCE=1):
            self.assertEqual(reports(), whole)

    def test_its_rights_are_checked_in_each_slice(self) -> None:
        with mock.patch.object(work_order, "SLICE", 7):
            rows = work_order._resolved(self.max, work_order.parse_period("all"), "priority")
            next(rows)
            users.change_role(self.anna, "max", Role.USER)
            with self.assertRaises(users.PermissionDeniedError):
                list(rows)

    def test_everything_is_read_from_the_indexes_made_for_it(self) -> None:
        statements: List[str] = []
        self.connection.set_trace_callback(statements.append)
        for name in ("last 30 days", "all"):
            period = work_order.parse_period(name)
            for grouping in Grouping:
                work_order.resolution_times(self.max, period, grouping)
            work_order.weekly_flow(self.max, period)
            work_order.workload(self.max, period)
        work_order.backlog(self.max)
        self.connection.set_trace_callback(None)
        plans = [
            str(row[3])
            for statement in set(statements)
            if "work_order" in statement and "requesters" not in statement  # the oldest ten
            for row in self.rows(f"EXPLAIN QUERY PLAN {statement}")
        ]
        for plan in plans:
            if "work_order" in plan and "work_order_history_by_work_order" not in plan:
                self.assertRegex(plan, "COVERING INDEX|INTEGER PRIMARY KEY")
        for index in ("orders_resolved", "orders_unfinished", "orders_created", "to_finished", "from_finished"):
            self.assertTrue(
                any(
                    f"COVERING INDEX work_{'' if 'orders' in index else 'order_history_'}{index}" in plan
                    for plan in plans
                ),
                index,
            )

    def test_a_list_behind_a_number_reads_no_table_whole(self) -> None:
        begin, end = "2024-03-04T00:00:00+00:00", "2024-03-11T00:00:00+00:00"
        for count in Count:
            for sort in Sort:
                statements: List[str] = []
                self.connection.set_trace_callback(statements.append)
                page = work_order.read_page(self.max, Query(Filter(counted=Counted(count, begin, end)), sort), (), 5)
                self.connection.set_trace_callback(None)
                self.assertTrue(page.work_orders)
                for statement in statements:
                    for row in self.rows(f"EXPLAIN QUERY PLAN {statement}") if "SELECT" in statement else ():
                        self.assertNotRegex(str(row[3]), r"SCAN (TABLE )?work_orders?(_history)?( AS \w+)?$")


class RankTest(DatabaseTestCase):
    def test_the_median_of_ten_is_the_mean_of_the_middle_two_and_the_90th_percentile_the_ninth(self) -> None:
        for minutes in range(10, 0, -1):
            self.connection.execute(
                """
                INSERT INTO work_orders (title, requester_id, created_at, updated_at, status, resolved_at)
                VALUES ('A title', 3, ?, ?, 'Resolved', ?)
                """,
                (NOW, NOW, text(moment(NOW) + timedelta(minutes=minutes))),
            )
        *_, row = work_order.resolution_times(self.max, work_order.parse_period("all"), Grouping.PRIORITY)
        self.assertEqual((row.median, row.mean, row.percentile_90), (330, 330, 540))


class MigrationTest(ReplayTestCase):
    def test_it_fills_in_what_the_changes_themselves_would_have_kept(self) -> None:
        before = database.MIGRATIONS[: database.MIGRATIONS.index(database._INSIGHT)]
        path = self.folder / "old.db"
        path.touch()
        old = database.open_file(path)
        self.addCleanup(old.close)
        database.migrate(old, before)
        old.execute("ATTACH ? AS new", (str(self.path),))
        with database.transaction(old):
            for table in ("users", "work_orders", "work_order_history"):
                names = [row["name"] for row in old.execute(f"PRAGMA main.table_xinfo ({table})") if row["hidden"] == 0]
                columns = ", ".join(names)
                old.execute(f"INSERT INTO main.{table} ({columns}) SELECT {columns} FROM new.{table}")
        old.execute("DETACH new")
        database.migrate(old)
        kept = "SELECT id, held_since, finished_at, resolution_seconds, response_seconds FROM work_orders"
        self.assertEqual([tuple(row) for row in old.execute(kept)], self.rows(kept))
        (by_hand,) = old.execute(
            "SELECT count(*) FROM work_orders WHERE due_at IS NOT NULL AND due_by = 'hand'"
        ).fetchone()
        self.assertEqual([(by_hand,)], self.rows("SELECT count(*) FROM work_orders WHERE due_at IS NOT NULL"))
        self.assertEqual(database.find_problems(old) + database.find_differences(old), [])


class CheckTest(ReplayTestCase):
    def test_what_differs_from_the_history_is_named(self) -> None:
        self.assertEqual(database.find_differences(self.connection), [])
        self.connection.execute("UPDATE work_orders SET response_seconds = 1 WHERE id IN (3, 5)")
        problems = ["What reports count differs from the history of 2 work orders."]
        self.assertEqual(database.find_differences(self.connection), problems)

    def test_moments_that_are_set_afterwards_are_followed(self) -> None:
        self.connection.execute(
            """
            UPDATE work_orders SET created_at = '2020-01-01T00:00:00+00:00',
                resolved_at = CASE WHEN status = 'Resolved' THEN '2030-01-01T00:00:00+00:00' END
            """
        )
        self.assertEqual(database.find_differences(self.connection), [])


class TargetTest(DatabaseTestCase):
    """The targets' rules, by a clock that the tests set."""

    def setUp(self) -> None:
        super().setUp()
        self.clock = moment("2024-03-02T08:00:00+00:00")
        patch = mock.patch.object(work_order, "now", side_effect=lambda: text(self.clock))
        patch.start()
        self.addCleanup(patch.stop)
        work_order.set_service_target(self.anna, ServiceTarget(Priority.MEDIUM, 4, 24))
        work_order.set_service_target(self.anna, ServiceTarget(Priority.HIGH, None, 8))

    def wait(self, hours: float) -> None:
        self.clock += timedelta(hours=hours)

    def change(self, field: "work_order.Field[Any]", value: object) -> None:
        work_order.change(self.max, self.get(self.max, 1), field, value)

    def set_status(self, status: Status, session: Optional[Session] = None) -> None:
        work_order.change_status(session or self.max, self.get(self.max, 1), status)

    def due(self) -> Tuple[Optional[str], Optional[str]]:
        row = self.get(self.max, 1)
        return f"{row.due_at:%d %H:%M}" if row.due_at else None, row.due_by

    def kept(self) -> Tuple[object, ...]:
        (row,) = self.rows(
            "SELECT resolution_seconds / 3600.0, response_seconds / 3600.0, response_hours FROM work_orders"
        )
        return row

    def due_changes(self) -> List[Tuple[object, ...]]:
        rows = self.rows(
            """
            SELECT username, old_value, new_value FROM work_order_history JOIN users ON users.id = user_id
            WHERE field = 'due date'
            """
        )
        return [(who, str(old)[8:16], str(new)[8:16]) for who, old, new in rows]

    def test_without_a_target_nothing_is_due(self) -> None:
        self.create(self.uma, priority=Priority.LOW)
        self.assertEqual(self.due(), (None, None))

    def test_a_new_work_order_is_due_by_the_target_of_its_priority(self) -> None:
        self.create(self.uma)
        self.assertEqual(self.due(), ("03 08:00", DueBy.TARGET))
        self.assertEqual(self.kept(), (None, None, 4))

    def test_a_change_of_the_targets_moves_nothing(self) -> None:
        self.create(self.uma)
        self.assertTrue(work_order.set_service_target(self.anna, ServiceTarget(Priority.MEDIUM, 1, 1)))
        self.assertEqual(self.due(), ("03 08:00", DueBy.TARGET))
        self.assertEqual(self.kept(), (None, None, 4))

    def test_another_priority_moves_it_to_its_own_target_from_the_creation_on_with_a_history_row(self) -> None:
        self.create(self.uma)
        self.wait(3)
        self.change(work_order.PRIORITY, Priority.HIGH)
        self.assertEqual(self.due(), ("02 16:00", DueBy.TARGET))
        self.assertEqual(self.kept()[2], None)
        self.assertEqual(self.due_changes(), [("max", "03T08:00", "02T16:00")])

    def test_a_priority_without_a_target_takes_the_due_time_away_and_one_with_a_target_brings_it(self) -> None:
        self.create(self.uma)
        self.change(work_order.PRIORITY, Priority.LOW)
        self.assertEqual(self.due(), (None, None))
        self.change(work_order.PRIORITY, Priority.MEDIUM)
        self.assertEqual(self.due(), ("03 08:00", DueBy.TARGET))
        self.assertEqual(self.due_changes(), [("max", "03T08:00", ""), ("max", "", "03T08:00")])

    def test_a_hold_moves_it_by_as_long_when_it_ends_however_it_ends(self) -> None:
        for number, status in enumerate((Status.OPEN, Status.RESOLVED, Status.CANCELLED), 1):
            row = self.create(self.uma)
            at = row.due_at
            work_order.change_status(self.max, row, Status.ON_HOLD)
            self.wait(5)
            self.assertEqual(self.get(self.max, number).due_at, at)
            work_order.change_status(self.uma, self.get(self.max, number), status)
            self.assertEqual(self.get(self.max, number).due_at, at and at + timedelta(hours=5))
        self.assertEqual([who for who, _, _ in self.due_changes()], ["uma"] * 3)

    def test_a_change_of_the_priority_keeps_the_time_on_hold_and_counts_no_hold_twice(self) -> None:
        self.create(self.uma)
        self.set_status(Status.ON_HOLD)
        self.wait(2)
        self.set_status(Status.IN_PROGRESS)
        self.set_status(Status.ON_HOLD)
        self.wait(1)
        self.change(work_order.PRIORITY, Priority.HIGH)
        self.assertEqual(self.due()[0], "02 18:00")
        self.wait(1)
        self.set_status(Status.IN_PROGRESS)
        self.assertEqual(self.due()[0], "02 20:00")

    def test_reopening_moves_nothing(self) -> None:
        self.create(self.uma)
        self.set_status(Status.RESOLVED)
        self.wait(30)
        self.set_status(Status.OPEN)
        self.assertEqual(self.due(), ("03 08:00", DueBy.TARGET))

    def test_one_set_by_hand_is_never_moved_not_even_to_the_same_time_or_none(self) -> None:
        due_at = moment("2024-03-03T08:00:00+00:00")
        for number, by_hand in enumerate((moment("2024-03-09T08:00:00+00:00"), due_at, None), 1):
            row = self.create(self.uma)
            self.assertTrue(work_order.change(self.max, row, work_order.DUE_DATE, by_hand))
            work_order.change_status(self.max, self.get(self.max, number), Status.ON_HOLD)
            self.clock += timedelta(hours=1)
            work_order.change_status(self.max, self.get(self.max, number), Status.OPEN)
            work_order.change(self.max, self.get(self.max, number), work_order.PRIORITY, Priority.HIGH)
            row = self.get(self.max, number)
            self.assertEqual((row.due_at, row.due_by), (by_hand, DueBy.HAND))
            self.assertFalse(work_order.change(self.max, row, work_order.DUE_DATE, by_hand))
            self.clock -= timedelta(hours=1)

    def test_none_by_hand_where_none_is_due_stays_none(self) -> None:
        row = self.create(self.uma, priority=Priority.LOW)
        self.wait(1)
        self.assertTrue(work_order.change(self.max, row, work_order.DUE_DATE, None))
        self.assertFalse(work_order.change(self.max, row, work_order.DUE_DATE, None))
        self.assertEqual(self.get(self.max, 1).updated_at, self.clock)
        self.assertEqual(self.due_changes(), [("max", "", "")])
        self.change(work_order.PRIORITY, Priority.MEDIUM)
        self.assertEqual(self.due(), (None, DueBy.HAND))

    def test_on_hold_it_does_not_run_out_unless_it_had_before_or_was_set_by_hand(self) -> None:
        ids = [self.create(self.uma).id for _ in range(3)]
        row = self.get(self.max, 3)
        work_order.change(self.max, row, work_order.DUE_DATE, row.due_at)
        for number, hours in ((1, 1), (3, 0), (2, 25)):
            self.wait(hours)
            work_order.change_status(self.max, self.get(self.max, number), Status.ON_HOLD)
        self.wait(1)
        self.assertEqual(self.ids(self.max, Query(Filter(due=work_order.Due.OVERDUE))), [2, 3])
        self.assertEqual([self.get(self.max, number).is_overdue for number in ids], [False, True, True])
        (*_, row_of_nobody) = work_order.workload(self.max, work_order.parse_period("all"))
        self.assertEqual(row_of_nobody.overdue, 2)

    def test_the_resolution_time_leaves_out_what_was_on_hold_or_was_finished_before_a_reopening(self) -> None:
        self.create(self.uma)
        held = (Status.ON_HOLD, Status.OPEN)
        for status in (*held, Status.RESOLVED, Status.CANCELLED, Status.OPEN, Status.CANCELLED, Status.RESOLVED):
            self.wait(1)
            self.set_status(status)
        self.assertEqual(self.kept()[0], 4)
        self.set_status(Status.OPEN)
        self.assertEqual(self.kept()[0], None)

    def test_resolved_again_without_a_reopening_it_took_until_the_resolved_that_stands(self) -> None:
        self.create(self.uma)
        for hours, status in ((1, Status.RESOLVED), (2, Status.CANCELLED), (7, Status.RESOLVED)):
            self.wait(hours)
            self.set_status(status)
        self.assertEqual(self.kept()[0], 10)

    def test_the_first_response_is_anybodys_but_the_present_requesters(self) -> None:
        self.create(self.uma)
        self.wait(1)
        work_order.comment(self.uma, 1, "Hello?")
        self.change(work_order.PRIORITY, Priority.HIGH)
        self.assertEqual(self.kept()[1], None)
        self.wait(1)
        self.change(work_order.ASSIGNEE, "anna")
        self.assertEqual(self.kept()[1], 2)
        self.change(work_order.REQUESTER, "ugo")
        self.assertEqual(self.kept()[1], 1)
        self.change(work_order.REQUESTER, "max")
        self.assertEqual(self.kept()[1], 1)
        self.change(work_order.REQUESTER, "uma")
        self.assertEqual(self.kept()[1], 2)

    def test_an_imported_due_time_counts_as_by_hand_and_an_imported_resolution_has_its_time(self) -> None:
        at = "2024-03-01T08:00:00+00:00"
        self.connection.execute(
            """
            INSERT INTO work_orders (title, requester_id, created_at, updated_at, status, resolved_at, due_at)
            VALUES ('A title', 3, ?, ?, 'Resolved', '2024-03-01T10:00:00+00:00', ?)
            """,
            (at, at, at),
        )
        self.assertEqual(self.due()[1], DueBy.HAND)
        self.assertEqual(self.kept()[0], 2)

    def test_one_imported_after_its_history_is_measured_even_if_open(self) -> None:
        self.connection.execute("PRAGMA foreign_keys = 0")
        self.connection.execute(
            "INSERT INTO work_order_history (work_order_id, user_id, changed_at, field, note) VALUES (1, 2, ?, ?, '')",
            ("2024-03-01T10:00:00+00:00", "comment"),
        )
        self.connection.execute(
            "INSERT INTO work_orders (title, requester_id, created_at, updated_at) VALUES ('A title', 3, :at, :at)",
            {"at": "2024-03-01T08:00:00+00:00"},
        )
        self.assertEqual(self.kept()[1], 2)

    def test_one_imported_without_its_history_was_finished_when_it_was_resolved_or_created(self) -> None:
        created, resolved = "2024-03-01T08:00:00+00:00", "2024-03-01T10:00:00+00:00"
        for status, resolved_at in (("Resolved", resolved), ("Cancelled", None)):
            self.connection.execute(
                """
                INSERT INTO work_orders (title, requester_id, created_at, updated_at, status, resolved_at)
                VALUES ('A title', 3, ?, ?, ?, ?)
                """,
                (created, created, status, resolved_at),
            )
        self.assertEqual(self.rows("SELECT finished_at FROM work_orders ORDER BY id"), [(resolved,), (created,)])

    def test_a_reopening_in_the_second_of_another_change_counts_wherever_a_slice_ends(self) -> None:
        self.create(self.uma)
        changes = (Status.CANCELLED, Status.OPEN, Status.RESOLVED, Status.OPEN, Status.RESOLVED, Status.CANCELLED)
        for status in (*changes, Status.RESOLVED):
            self.set_status(status)
        self.create(self.uma)
        for status in changes[:3]:
            work_order.change_status(self.max, self.get(self.max, 2), status)
        with mock.patch.multiple(work_order, SLICE=1, SLICE_WITH_LOOKUPS=1):
            *_, row = work_order.resolution_times(self.max, work_order.parse_period("all"), Grouping.CATEGORY)
        self.assertEqual((row.resolved, row.reopened), (2, 50))

    def test_who_may_see_and_change_them(self) -> None:
        self.assertEqual(
            work_order.service_targets(self.max)[1:3],
            [ServiceTarget(Priority.HIGH, None, 8), ServiceTarget(Priority.MEDIUM, 4, 24)],
        )
        for session in (self.max, self.uma):
            with self.assertRaises(users.PermissionDeniedError):
                work_order.set_service_target(session, ServiceTarget(Priority.LOW, 1, 1))
        with self.assertRaises(users.PermissionDeniedError):
            work_order.service_targets(self.uma)

    def test_a_change_of_them_is_audited_and_the_same_again_is_none(self) -> None:
        self.assertFalse(work_order.set_service_target(self.anna, ServiceTarget(Priority.HIGH, None, 8)))
        subjects = self.rows("SELECT subject FROM audit_log WHERE event = 'service target changed' ORDER BY id")
        before, after = "first response none, resolution none", "first response 4 h, resolution 24 h"
        self.assertEqual(len(subjects), 2)
        self.assertEqual(subjects[0], (f"Medium: {before} -> {after}",))

    def test_hours_are_whole_and_at_least_one(self) -> None:
        self.assertEqual([work_order.parse_hours(hours) for hours in ("1", "9999", "None")], [1, 9999, None])
        for wrong in ("0", "-1", "1.5", "10000", "x", "٣"):
            with self.subTest(hours=wrong), self.assertRaises(users.InvalidInputError):
                work_order.parse_hours(wrong)


class PeriodTest(unittest.TestCase):
    def test_a_name_a_beginning_of_one_a_number_of_days_or_two_days_will_do(self) -> None:
        for given, name in (
            ("30", "last 30 days"),
            ("last 9", "last 90 days"),
            ("A", "all"),
            ("2024-01-01  to 2024-01-31", "2024-01-01 to 2024-01-31"),
            ("2024-01-01-2024-01-31", "2024-01-01 to 2024-01-31"),
        ):
            with self.subTest(given=given):
                period = work_order.parse_period(given)
                self.assertEqual(period.name, name)
                self.assertEqual(work_order.parse_period(period.name).begin, period.begin)

    @unittest.skipUnless(hasattr(time, "tzset"), "this system changes no time zone while a program runs")
    def test_the_first_day_of_2000_is_a_local_one(self) -> None:
        with mock.patch.dict(os.environ, TZ=KATHMANDU):
            time.tzset()
            period = work_order.parse_period("2000-01-01 to 2000-02-01")
        time.tzset()
        self.assertEqual(period.begin, moment("1999-12-31T18:15:00+00:00"))

    def test_a_period_ends_now_if_its_last_day_has_not_ended(self) -> None:
        with mock.patch.object(work_order, "now", return_value=NOW):
            period = work_order.parse_period("2024-04-01 to 2024-06-30")
        self.assertEqual(period.end, moment(NOW) + timedelta(seconds=1))

    def test_what_is_no_period_is_refused(self) -> None:
        for wrong in (
            "last",
            "31",
            "x",
            "2024-01-01",
            "2024-02-30 to 2024-03-01",
            "2024-03-02 to 2024-03-01",
            "2999-01-01 to 2999-01-02",
            "1999-01-01 to 2024-01-01",
            "0001-01-01 to 9999-12-31",
        ):
            with self.subTest(wrong=wrong), self.assertRaises(users.InvalidInputError):
                work_order.parse_period(wrong)


class RightsTest(DatabaseTestCase):
    def test_a_user_gets_no_report(self) -> None:
        reports: Tuple[Callable[[Period], object], ...] = (
            lambda period: work_order.resolution_times(self.uma, period, Grouping.PRIORITY),
            lambda period: work_order.weekly_flow(self.uma, period),
            lambda period: work_order.workload(self.uma, period),
            lambda _: work_order.backlog(self.uma),
        )
        for name in ("all", "last 30 days"):
            for number, report in enumerate(reports):
                with self.subTest(period=name, number=number), self.assertRaises(users.PermissionDeniedError):
                    report(work_order.parse_period(name))

    def test_a_list_behind_a_number_shows_a_user_nothing_of_others(self) -> None:
        self.create(self.uma)
        self.create(self.ugo)
        counted = Counted(Count.CREATED, "", "9999")
        self.assertEqual(self.ids(self.ugo, Query(Filter(counted=counted))), [2])

    def test_only_managers_and_admins_have_the_menu(self) -> None:
        for username, has_it in (("uma", False), ("max", True), ("anna", True)):
            output = self.run_as(username, "Reports", 5)
            self.assertEqual("Service targets, in hours" in output, has_it)
            self.assertEqual("Change target" in output, username == "anna")


class ScreenTest(DatabaseTestCase):
    def test_the_list_behind_a_number_is_an_ordinary_list_and_leads_back(self) -> None:
        for priority in (Priority.HIGH, Priority.LOW, Priority.HIGH):
            row = self.create(self.uma, priority=priority)
            work_order.change_status(self.max, row, Status.RESOLVED)
        output = self.run_as(
            "max",
            *(
                "Reports",
                "Resolution times",
                "7",
                "",
                "Show work orders",
                "high",
                "Sort",
                "newest",
                "Clear filter",
                "Back",
            ),
            *("Another period", "all", "Show work orders", ALL, "Back", "Back"),
            *("Weekly flow", "", "Show work orders", "1", "x", "resolved", 0, 0),
        )
        self.assertRegex(output, r"Resolution times by priority, last 7 days: from .* 00:00 to ")
        self.assertRegex(output, r"High +2 +0m +0m +0m +- +0% +0m +-")
        self.assertIn("\n2 work orders: priority High, resolved from ", output)
        self.assertIn("\n3 work orders, newest first", output)
        self.assertIn("\n3 work orders: resolved until ", output)
        self.assertIn(
            "Error: Answer with a number from 1 to 4 or one of: created, resolved, reopened, backlog.", output
        )
        self.assertIn("\nNo work orders: changed to Resolved from ", output)

    def test_a_target_is_changed_and_shown_where_it_matters(self) -> None:
        output = self.run_as(
            "anna",
            *("Reports", "Service targets", "Change target", "medium", "0", "4", "none", "Back", "Back"),
            *("Reports", "Service targets", "Change target", "medium", "", "24", "Back", "Back"),
            *("Create work order", "Toner", "", "", "", "", "#1", "Set due date", "2099-01-01", "Back"),
        )
        self.assertIn("Error: A target is a whole number of hours from 1 to 9,999, or none.", output)
        self.assertIn("Service target for priority Medium is now: first response 4 h, resolution none.", output)
        self.assertRegex(output, r"Due: +\d{4}-\d\d-\d\d \d\d:\d\d \(by target\)")
        self.assertRegex(output, r"The due date, .*, comes from the service target: time On Hold and a change of prior")
        self.assertRegex(output, r"Due: +2099-01-01 \(by hand\)")

    def test_a_backlog_without_any_and_a_flow_before_the_first_say_so(self) -> None:
        output = self.run_as("max", "Reports", "Backlog", 2, "Back", "Weekly flow", "all")
        self.assertIn("Error: Choose one of the numbers 1, 0, or # and the ID of a work order.", output)
        self.assertRegex(output, r"\(all\) +0 +0 +0 +0 +0 +0 +0")
        self.assertIn("Nothing to show.", output)

    def test_no_line_is_wider_than_the_terminal(self) -> None:
        row = self.create(self.uma, "A title that is as long as titles are allowed to be, " * 2)
        work_order.change_status(self.max, row, Status.RESOLVED)
        self.create(self.uma, "A title " * 14)
        period = work_order.parse_period("all")
        screens: List[main.ReportScreen[Any]] = [
            *(main.ResolutionTimesScreen(self.max, period, grouping) for grouping in Grouping),
            main.BacklogScreen(self.max),
            main.WeeklyFlowScreen(self.max, period),
            main.WorkloadScreen(self.max, period),
        ]
        for columns in (50, 80, 120):
            for screen in screens:
                with self.subTest(columns=columns, screen=screen):
                    self.assertLessEqual(max(map(main.cell_width, self.shown(screen, columns))), columns)

    def test_the_whole_backlog_is_in_sight_on_a_low_terminal(self) -> None:
        for _ in range(12):
            self.create(self.uma)
        for columns, lines, oldest, printed in ((80, 24, 9, 23), (50, 24, 7, 23), (80, 40, 10, 24), (80, 9, 1, 15)):
            with self.subTest(columns=columns, lines=lines):
                shown = self.shown(main.BacklogScreen(self.max), columns, lines)
                self.assertEqual((sum("Printer jams" in line for line in shown), len(shown)), (oldest, printed))

    def shown(self, screen: "main.ReportScreen[Any]", columns: int, lines: int = 0) -> List[str]:
        """Return the lines of the screen with its menu, in a terminal if it has lines."""
        printed = io.TextIOWrapper(io.BytesIO(), "utf-8")
        size = {"COLUMNS": str(columns), "LINES": str(lines), "NO_COLOR": "1"}
        with (
            mock.patch.dict(os.environ, size),
            contextlib.redirect_stdout(printed),
            mock.patch.object(printed, "isatty", return_value=bool(lines)),
        ):
            screen.refresh()
            screen.print_menu()
        printed.seek(0)
        return printed.read().splitlines()

    def test_no_category_or_username_is_taken_for_all(self) -> None:
        self.session("all", Role.USER)
        for category in ("All", "Network"):
            row = self.create(self.max, category=category)
            work_order.change_status(self.max, row, Status.RESOLVED)
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
            row = self.create(self.max, category=f"Kind {number:02}")
            work_order.change_status(self.max, row, Status.RESOLVED)
        by_category = ("Reports", "Resolution times", "", "category", "Show work orders")
        output = self.run_as("max", *by_category, "1", "kind 0", "kind", "kind 07")
        kinds = [f"Kind {number:02}" for number in range(10)]
        named = ", ".join(kinds)
        self.assertNotIn("1. Kind", output)
        self.assertIn(f"Row (a name or its beginning): \nError: Answer with one of: {named} and 11 more.\n", output)
        self.assertIn(f"Error: Answer with one of: {named}.\n", output)
        self.assertIn(f"Error: Answer with one of: {named} and 10 more.\n", output)
        self.assertIn("\n1 work order: category Kind 07, resolved from", output)

    def test_a_due_date_that_becomes_one_by_hand_is_said_to(self) -> None:
        self.create(self.uma)
        output = self.run_as("max", "#1", "Set due date", "none", "Set due date", "none")
        self.assertIn("The due date of work order #1, none, is now set by hand.\n", output)
        self.assertEqual(output.count("Nothing changed."), 1)

    def test_a_heading_has_days_or_minutes_at_both_ends_and_all_begins_with_the_first_work_order(self) -> None:
        def words(name: str) -> str:
            return work_order.describe_period(self.max, work_order.parse_period(name))

        with mock.patch.object(work_order, "now", return_value=NOW), mock.patch.dict(os.environ, TZ="UTC"):
            self.assertEqual(words("all"), "all: until 2024-04-30 09:30")
            self.create(self.uma)
            for name, expected in (
                ("all", "from 2024-04-30 09:30 to 2024-04-30 09:30"),
                ("last 7 days", "from 2024-04-23 00:00 to 2024-04-30 09:30"),
                ("2024-01-01 to 2024-03-01", "from 2024-01-01 to 2024-03-01"),
                ("2024-01-01 to 2024-05-01", "from 2024-01-01 00:00 to 2024-04-30 09:30"),
            ):
                self.assertEqual(words(name), f"{name}: {expected}")
            counted = Counted(Count.CREATED, "2024-03-01T10:00:00+00:00", "2024-03-04T00:00:00+00:00")
            listed = work_order.describe_query(Query(Filter(counted=counted)))
            self.assertEqual(listed, "created from 2024-03-01 10:00 to 2024-03-03 23:59")

    def test_bars_are_plain_where_the_encoding_has_no_blocks(self) -> None:
        self.create(self.uma)
        for encoding, block in (("ascii", "#"), ("utf-8", "\u2588")):
            output = self.run_as("max", "Reports", "Weekly flow", "", PYTHONIOENCODING=encoding, COLUMNS="80")
            self.assertRegex(output, rf"\d{{4}}-\d\d-\d\d +1 +{block}{{14}} +0 ")


if __name__ == "__main__":
    unittest.main()
