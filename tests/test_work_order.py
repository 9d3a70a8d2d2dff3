"""Work orders: each role against each action, what is refused, and what the history tells."""

import itertools
import random
import unittest
from datetime import datetime, timedelta, timezone
from typing import Callable, Dict, List, Optional, Sequence, Tuple
from unittest import mock

from support import PASSWORD, DatabaseTestCase

import database
import users
import work_order
from database import ApplicationError
from users import NOBODY, NONE, Action, InvalidInputError, Session
from work_order import (
    ASSIGNEE,
    CATEGORY,
    DESCRIPTION,
    DUE_DATE,
    PRIORITY,
    REQUESTER,
    TITLE,
    UNFINISHED,
    ConflictError,
    Due,
    Filter,
    NotFoundError,
    Page,
    Priority,
    Query,
    Sort,
    Status,
    WorkOrder,
)

Change = Callable[[Session, WorkOrder], object]
DUE = datetime(2026, 12, 31, 12, tzinfo=timezone.utc)


class RightsTest(DatabaseTestCase):
    """Section by section of the table in the README: each role, its own work orders and others'."""

    def changes(self) -> Dict[str, Change]:
        return {
            "open": lambda session, shown: self.get(session, shown.id),
            "details": lambda session, shown: work_order.get(session, shown.id),
            "history": lambda session, shown: work_order.history(session, shown.id),
            "status": lambda session, shown: work_order.change_status(session, shown, Status.ON_HOLD),
            "title": lambda session, shown: work_order.change(session, shown, TITLE, "Another"),
            "description": lambda session, shown: work_order.change(session, shown, DESCRIPTION, "Another"),
            "priority": lambda session, shown: work_order.change(session, shown, PRIORITY, Priority.LOW),
            "category": lambda session, shown: work_order.change(session, shown, CATEGORY, None),
            "new category": lambda session, shown: work_order.change(session, shown, CATEGORY, f"New {shown.id}"),
            "comment": lambda session, shown: work_order.comment(session, shown.id, "text"),
            "take": lambda session, shown: work_order.take(session, shown),
            "assign": lambda session, shown: work_order.change(session, shown, ASSIGNEE, "max"),
            "due date": lambda session, shown: work_order.change(session, shown, DUE_DATE, DUE),
            "requester": lambda session, shown: work_order.change(session, shown, REQUESTER, "ugo"),
            "delete": lambda session, shown: work_order.delete(session, shown.id),
        }

    def refusal(self, session: Session, change: Change, shown: WorkOrder) -> str:
        before = self.rows("SELECT * FROM work_orders"), self.rows("SELECT * FROM work_order_history")
        try:
            change(session, shown)
        except ApplicationError as error:
            self.assertEqual(
                (self.rows("SELECT * FROM work_orders"), self.rows("SELECT * FROM work_order_history")), before
            )
            return type(error).__name__
        return "allowed"

    def assert_rights(self, session: Session, owner: Session, expected: Dict[str, str], finished: bool = False) -> None:
        for name, change in self.changes().items():
            shown = self.create(owner)
            if finished:
                work_order.change_status(self.anna, shown, Status.RESOLVED)
                shown = self.get(self.anna, shown.id)
            with self.subTest(action=name):
                self.assertEqual(self.refusal(session, change, shown), expected.get(name, "allowed"))

    def test_a_user_on_ones_own(self) -> None:
        refused = dict.fromkeys(("take", "assign", "due date", "requester", "delete"), "PermissionDeniedError")
        self.assert_rights(self.uma, self.uma, {**refused, "new category": "InvalidInputError"})

    def test_a_user_on_ones_own_that_is_finished(self) -> None:
        edits = ("title", "description", "priority", "category", "new category")
        refused = (*edits, "take", "assign", "due date", "requester", "delete")
        self.assert_rights(self.uma, self.uma, dict.fromkeys(refused, "PermissionDeniedError"), finished=True)

    def test_to_a_user_nothing_of_somebody_elses_exists(self) -> None:
        self.assert_rights(self.uma, self.ugo, dict.fromkeys(self.changes(), "NotFoundError"))

    def test_a_manager_does_all_but_delete(self) -> None:
        self.assert_rights(self.max, self.uma, {"delete": "PermissionDeniedError"})
        self.assert_rights(self.max, self.uma, {"delete": "PermissionDeniedError"}, finished=True)

    def test_an_admin_does_everything(self) -> None:
        self.assert_rights(self.anna, self.uma, {})
        self.assert_rights(self.anna, self.uma, {}, finished=True)

    def test_a_deleted_one_exists_for_nobody(self) -> None:
        shown = self.create(self.uma)
        work_order.delete(self.anna, shown.id)
        for session in (self.uma, self.max, self.anna):
            for name, change in self.changes().items():
                seen_by_admins = name == "history" and session is self.anna
                with self.subTest(action=name, session=session):
                    expected = "allowed" if seen_by_admins else "NotFoundError"
                    self.assertEqual(self.refusal(session, change, shown), expected)

    def test_somebody_elses_and_none_are_refused_in_the_same_words(self) -> None:
        shown = self.create(self.ugo)
        words = []
        for work_order_id in (shown.id, shown.id + 1):
            with self.assertRaises(NotFoundError) as raised:
                self.get(self.uma, work_order_id)
            words.append(str(raised.exception).replace(str(work_order_id), "N"))
        self.assertEqual(words[0], words[1])

    def test_the_list_holds_a_users_own_and_for_managers_and_admins_all(self) -> None:
        own, others = self.create(self.uma), self.create(self.ugo)
        for session, expected in ((self.uma, [own]), (self.max, [own, others]), (self.anna, [own, others])):
            with self.subTest(session=session):
                self.assertEqual(work_order.read_page(session, Query(), (), 10), Page(expected, len(expected), 0, {}))
                reread = work_order.reread_page(session, Query(), [others, own, own._replace(id=99)])
                self.assertEqual(reread, Page(expected[::-1], len(expected), 0, {}))

    def test_the_details_name_the_actions_that_are_allowed(self) -> None:
        shown = self.create(self.uma)
        work_order.change_status(self.uma, shown, Status.RESOLVED)
        for session, refused in (
            (self.uma, {Action.EDIT, Action.ASSIGN, Action.SET_DUE_DATE, Action.CHANGE_REQUESTER, Action.DELETE}),
            (self.max, {Action.DELETE}),
            (self.anna, set()),
        ):
            changes = {"EDIT", "CHANGE_STATUS", "COMMENT", "ASSIGN", "SET_DUE_DATE", "CHANGE_REQUESTER", "DELETE"}
            allowed = {Action[name] for name in changes} - refused
            with self.subTest(session=session):
                actions = work_order.get(session, shown.id).actions
                self.assertEqual({action for action in actions if action.name in changes}, allowed)


class CreateTest(DatabaseTestCase):
    def test_ids_start_at_1_and_are_never_given_again(self) -> None:
        first = self.create(self.uma)
        work_order.delete(self.anna, first.id)
        self.assertEqual((first.id, self.create(self.uma).id), (1, 2))

    def test_it_is_open_and_ones_own_and_its_space_is_trimmed(self) -> None:
        shown = self.create(self.uma, "  Printer  ", "\n text \n")
        self.assertEqual((shown.title, shown.description, shown.requester), ("Printer", "text", "uma"))
        self.assertEqual((shown.status, shown.priority, shown.assignee), (Status.OPEN, Priority.MEDIUM, None))

    def test_titles_and_texts_outside_their_lengths_are_refused(self) -> None:
        self.create(self.uma, "x" * 120, "d" * 10_000)
        for title, description in (("", ""), ("   ", ""), ("x" * 121, ""), ("x", "d" * 10_001)):
            with self.assertRaises(InvalidInputError):
                self.create(self.uma, title, description)
        self.assertEqual(self.rows("SELECT count(*) FROM work_orders"), [(1,)])

    def test_times_are_stored_as_utc_iso_8601(self) -> None:
        self.create(self.uma)
        self.assertRegex(
            str(self.rows("SELECT created_at FROM work_orders")[0][0]), r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00$"
        )

    def test_text_is_text_and_never_sql(self) -> None:
        title = "'); DROP TABLE users; --"
        self.assertEqual(self.create(self.uma, title, title).title, title)
        self.assertEqual(self.rows("SELECT count(*) FROM users"), [(4,)])


class ChangeTest(DatabaseTestCase):
    def status(self, shown: WorkOrder, status: Status, note: str = "") -> WorkOrder:
        work_order.change_status(self.max, shown, status, note)
        return self.get(self.max, shown.id)

    def test_any_status_follows_any_other_and_only_resolved_has_a_time_of_resolution(self) -> None:
        for first in Status:
            for second in Status:
                if first is not second:
                    shown = self.create(self.uma)
                    if first is not Status.OPEN:
                        shown = self.status(shown, first)
                    shown = self.status(shown, second)
                    self.assertEqual((shown.status, shown.resolved_at is not None), (second, second is Status.RESOLVED))

    def test_a_status_that_stands_is_refused(self) -> None:
        with self.assertRaisesRegex(InvalidInputError, "^The status of work order #1 is already Open.$"):
            self.status(self.create(self.uma), Status.OPEN)

    def test_a_note_above_ten_thousand_characters_is_refused(self) -> None:
        with self.assertRaises(InvalidInputError):
            self.status(self.create(self.uma), Status.ON_HOLD, "n" * 10_001)

    def test_what_somebody_else_changed_is_not_overwritten_and_is_named(self) -> None:
        shown = self.create(self.uma, "First", "First")
        work_order.change(self.max, shown, TITLE, "Second")
        work_order.change(self.max, shown, DESCRIPTION, "Second")
        work_order.change(self.max, shown, PRIORITY, Priority.HIGH)
        work_order.change(self.max, shown, DUE_DATE, DUE)
        work_order.change(self.max, shown, ASSIGNEE, "max")
        work_order.change_status(self.max, shown, Status.ON_HOLD)
        work_order.change(self.max, shown, CATEGORY, "Hardware")
        work_order.change(self.max, shown, REQUESTER, "ugo")
        before = self.get(self.anna, shown.id)
        changes: List[Tuple[str, str, Callable[[], object]]] = [
            ("title", "Second", lambda: work_order.change(self.anna, shown, TITLE, "Third")),
            ("description", "Second", lambda: work_order.change(self.anna, shown, DESCRIPTION, "Third")),
            ("priority", "High", lambda: work_order.change(self.anna, shown, PRIORITY, Priority.LOW)),
            ("due date", work_order.local_time(DUE), lambda: work_order.change(self.anna, shown, DUE_DATE, None)),
            ("assignee", "max", lambda: work_order.change(self.anna, shown, ASSIGNEE, "anna")),
            ("status", "On Hold", lambda: work_order.change_status(self.anna, shown, Status.OPEN)),
            ("category", "Hardware", lambda: work_order.change(self.anna, shown, CATEGORY, "Network")),
            ("assignee", "max", lambda: work_order.take(self.anna, shown)),
            ("requester", "ugo", lambda: work_order.change(self.anna, shown, REQUESTER, "max")),
        ]
        for field, value, change in changes:
            words = f'^The {field} is now "{value}": max changed it in the meantime. Nothing was saved.$'
            with self.subTest(field=field), self.assertRaisesRegex(ConflictError, words):
                change()
        self.assertEqual(self.get(self.anna, shown.id), before)

    def test_saving_what_stands_adds_nothing_to_the_history(self) -> None:
        shown = self.create(self.uma, "Same", "Same", Priority.LOW)
        self.assertFalse(work_order.change(self.uma, shown, TITLE, " Same "))
        self.assertFalse(work_order.change(self.uma, shown, DESCRIPTION, "Same"))
        self.assertFalse(work_order.change(self.uma, shown, PRIORITY, Priority.LOW))
        self.assertFalse(work_order.change(self.uma, shown, CATEGORY, None))
        self.assertFalse(work_order.change(self.max, shown, ASSIGNEE, None))
        self.assertFalse(work_order.change(self.max, shown, REQUESTER, "uma"))
        self.assertEqual(len(work_order.history(self.uma, shown.id)), 1)

    def test_a_requester_is_an_active_account(self) -> None:
        shown = self.create(self.max)
        users.deactivate(self.anna, "ugo")
        for username in ("ugo", "ghost"):
            with self.assertRaises(InvalidInputError):
                work_order.change(self.max, shown, REQUESTER, username)
        work_order.change(self.anna, shown, REQUESTER, users.parse_requester(self.anna, "me"))
        self.assertEqual(self.get(self.max, shown.id).requester, "anna")


class RaceTest(DatabaseTestCase):
    def test_the_time_of_a_change_is_the_work_orders(self) -> None:
        shown = self.create(self.uma)
        old = "2020-01-01T00:00:00+00:00"
        self.connection.execute("UPDATE work_orders SET updated_at = ?, created_at = ?", (old, old))
        work_order.change(self.uma, shown, TITLE, "Another")
        self.assertNotEqual(self.rows("SELECT updated_at FROM work_orders"), [(old,)])
        work_order.change_status(self.uma, shown, Status.RESOLVED)
        same = (
            "SELECT count(*) FROM work_orders, work_order_history WHERE resolved_at = changed_at AND field = 'status'"
        )
        self.assertEqual(self.rows(same), [(1,)])

    def test_a_pending_one_time_password_opens_no_work_order(self) -> None:
        self.create(self.uma)
        mia = users.log_in(self.connection, "mia", users.add_user(self.anna, "mia", users.Role.ADMIN))
        for call in (
            lambda: self.get(mia, 1),
            lambda: work_order.get(mia, 1),
            lambda: work_order.history(mia, 1),
            lambda: work_order.read_page(mia, Query(), (), 10),
            lambda: work_order.reread_page(mia, Query(), ()),
            lambda: work_order.search(mia, "printer"),
            lambda: work_order.summary(mia),
            lambda: work_order.my_work(mia),
            lambda: work_order.categories(mia),
            lambda: work_order.take(mia, self.get(self.uma, 1)),
            lambda: work_order.create(mia, "t", "", Priority.LOW),
            lambda: work_order.delete(mia, 1),
        ):
            with self.assertRaisesRegex(users.PermissionDeniedError, "one-time password"):
                call()

    def test_a_user_learns_nothing_about_accounts_from_a_refusal(self) -> None:
        shown = self.create(self.uma)
        words = []
        for name in ("ugo", "ghost"):
            for call in (
                lambda: work_order.change(self.uma, shown, REQUESTER, name),  # noqa: B023
                lambda: users.parse_requester(self.uma, name),  # noqa: B023
            ):
                with self.assertRaises(users.PermissionDeniedError) as raised:
                    call()
                words.append(str(raised.exception))
        self.assertEqual(len(set(words)), 1)

    def test_a_change_by_another_program_is_a_conflict_too(self) -> None:
        shown = self.create(self.uma)
        self.connection.execute("UPDATE work_orders SET title = 'Other'")
        with self.assertRaisesRegex(ConflictError, "another program changed it"):
            work_order.change(self.uma, shown, TITLE, "Mine")


class HistoryTest(DatabaseTestCase):
    def test_it_tells_who_changed_what_from_what_to_what_with_the_note_newest_first(self) -> None:
        shown = self.create(self.uma, "First")
        work_order.change(self.uma, shown, TITLE, "Second")
        work_order.change_status(self.max, shown, Status.ON_HOLD, "waiting for a part")
        work_order.change(self.anna, shown, PRIORITY, Priority.HIGH)
        entries = work_order.history(self.uma, shown.id)
        self.assertEqual(
            [(entry.username, entry.field, entry.old_value, entry.new_value, entry.note) for entry in entries],
            [
                ("anna", "priority", "Medium", "High", ""),
                ("max", "status", "Open", "On Hold", "waiting for a part"),
                ("uma", "title", "First", "Second", ""),
                ("uma", "created", None, None, ""),
            ],
        )

    def test_it_is_read_by_parts_of_which_each_goes_on_after_the_last_entry(self) -> None:
        shown = self.create(self.uma)
        for number in range(5):
            work_order.comment(self.uma, shown.id, f"{number}")
        first = work_order.history(self.uma, shown.id, limit=4)
        self.assertEqual([entry.note for entry in first], ["4", "3", "2", "1"])
        rest = work_order.history(self.uma, shown.id, first[-1], 4)
        self.assertEqual([(entry.field, entry.note) for entry in rest], [("comment", "0"), ("created", "")])

    def test_a_deletion_is_in_the_history_and_in_the_audit_log(self) -> None:
        shown = self.create(self.uma)
        work_order.delete(self.anna, shown.id)
        self.assertEqual(
            self.rows("SELECT field, user_id FROM work_order_history WHERE field = 'deleted'"), [("deleted", 1)]
        )
        self.assertEqual(self.rows("SELECT subject FROM audit_log WHERE event = 'work order deleted'"), [("#1",)])


class ListTest(DatabaseTestCase):
    def test_the_order_is_unfinished_then_highest_priority_then_oldest(self) -> None:
        low, high, critical, high_too = (self.create(self.uma, priority=Priority(p)) for p in (1, 3, 4, 3))
        work_order.change_status(self.uma, critical, Status.CANCELLED)
        self.assertEqual(self.ids(self.uma), [high.id, high_too.id, low.id, critical.id])

    def next_ids(self, seen: Sequence[WorkOrder], limit: int) -> List[int]:
        return [row.id for row in work_order.read_page(self.uma, Query(), seen, limit).work_orders]

    def test_it_goes_on_after_the_last_one_and_leaves_out_what_was_seen(self) -> None:
        first, second, third, fourth, fifth = (self.create(self.uma) for _ in range(5))
        self.assertEqual(self.next_ids([fourth, first, second], 10), [third.id, fifth.id])

    def test_what_has_moved_ahead_of_what_was_seen_comes_at_the_end(self) -> None:
        first, second, third, fourth = (self.create(self.uma) for _ in range(4))
        work_order.change(self.uma, fourth, PRIORITY, Priority.CRITICAL)
        self.assertEqual(self.next_ids([first, second], 1), [third.id])
        self.assertEqual(self.next_ids([first, second], 2), [third.id, fourth.id])
        self.assertEqual(self.next_ids([first, second, third, fourth], 2), [])

    def test_it_goes_on_where_the_last_one_stood_when_it_was_read(self) -> None:
        first, second, third = (self.create(self.uma) for _ in range(3))
        work_order.change_status(self.uma, first, Status.RESOLVED)
        self.assertEqual(self.next_ids([first], 10), [second.id, third.id])

    def test_what_is_read_again_is_as_it_is_now_without_what_left_the_list(self) -> None:
        first, second, third = (self.create(self.uma) for _ in range(3))
        work_order.change(self.uma, first, TITLE, "Another")
        work_order.change_status(self.uma, second, Status.RESOLVED)
        reread = work_order.reread_page(self.uma, Query(Filter(status="Open")), [third, second, first])
        self.assertEqual([(row.id, row.title) for row in reread.work_orders], [(3, "Printer jams"), (1, "Another")])
        self.assertEqual(reread.total, 2)

    def assert_one_snapshot(self, most: int, call: Callable[..., object], *arguments: object) -> None:
        statements = self.statements(call, *arguments)
        ends = [statement for statement in statements if statement in ("BEGIN", "COMMIT")]
        self.assertEqual((ends, statements[0], statements[-1]), (["BEGIN", "COMMIT"], "BEGIN", "COMMIT"))
        self.assertLessEqual(len(statements), most, statements)

    def test_a_screen_takes_few_statements_however_many_rows_it_has_and_all_in_one_snapshot(self) -> None:
        rows = [self.create(self.uma) for _ in range(30)]
        work_order.comment(self.max, 1, "On my way")
        for session in (self.uma, self.max):
            for query in (Query(), Query(Filter(status="Open"), Sort.DUE), work_order.search(session, "printer")):
                listed = rows[::-1] if query.sort is Sort.NEWEST else rows
                for seen in ((), listed[:10], listed[:25], listed):
                    with self.subTest(query=query, seen=len(seen)):
                        self.assert_one_snapshot(9, work_order.read_page, session, query, seen, 10)
                self.assert_one_snapshot(9, work_order.reread_page, session, query, listed[10:20])
            self.assert_one_snapshot(7, work_order.get, session, 1)

    def test_a_search_takes_few_statements_with_its_first_page(self) -> None:
        for _ in range(30):
            self.create(self.uma)
        for text in ("printer", "rinte", "xyzzy"):
            searching = self.statements(work_order.search, self.uma, text)
            query = work_order.search(self.uma, text)
            reading = self.statements(work_order.read_page, self.uma, query, (), 20)
            with self.subTest(text=text):
                self.assertLessEqual(len(searching) + len(reading), 14, searching + reading)


class QueryTest(DatabaseTestCase):
    """Each filter, order and search against what an independent look at the rows gives, on every page."""

    content = b""

    def setUp(self) -> None:
        super().setUp()
        if not QueryTest.content:
            self.fill()
            QueryTest.content = self.path.read_bytes()
        self.connection.close()
        self.use(QueryTest.content)

    def fill(self) -> None:
        chance = random.Random(7)
        words = (
            "printer",
            "Printing",
            "toner",
            "50%",
            "a_b",
            "naïve",
            "don't",
            '"quoted"',
            "AND",
            "reprint",
            "印刷機",
            "x-ray",
        )
        for _ in range(120):
            session = chance.choice((self.uma, self.ugo, self.max))
            title, text = " ".join(chance.sample(words, 2)), chance.choice(words)
            row = self.create(session, title, text, chance.choice(list(Priority)))
            if chance.random() < 0.4:
                work_order.change(self.max, row, ASSIGNEE, chance.choice(("max", "anna")))
            if chance.random() < 0.5:
                due_at = datetime.now(timezone.utc) + timedelta(days=chance.randint(-20, 20), hours=1)
                work_order.change(self.max, row, DUE_DATE, due_at.replace(microsecond=0))
            if chance.random() < 0.5:
                work_order.change_status(self.max, row, chance.choice(list(Status)[1:]))
            if chance.random() < 0.3:
                work_order.comment(self.max, row.id, f"{chance.choice(words)} and more")
            if chance.random() < 0.5:
                work_order.change(self.max, row, CATEGORY, chance.choice(("Hardware", "Network")))
        moments = [f"2026-01-{day:02d}T00:00:00+00:00" for day in range(1, 29)]
        for number in range(1, 121):
            self.connection.execute(
                "UPDATE work_orders SET updated_at = ? WHERE id = ?", (chance.choice(moments), number)
            )
        work_order.delete(self.anna, 5)

    def everything(self) -> List[WorkOrder]:
        return [self.get(self.anna, n) for n in range(1, 121) if n != 5]

    def pages(self, session: Session, query: Query) -> List[int]:
        """Return the ids of the whole list, read by pages of which each knows only the last row of the one before."""
        found: List[WorkOrder] = []
        total = len(self.ids(session, query))
        for number in range(0, total, 7):
            # No more than there still is, or the page would begin again from the top.
            found += work_order.read_page(session, query, found[-1:], min(7, total - number)).work_orders
        return [row.id for row in found]

    def assert_finds(self, query: Query, wanted: Callable[[WorkOrder], bool]) -> None:
        for session, name in ((self.anna, ""), (self.uma, "uma")):
            expected = {row.id for row in self.everything() if wanted(row) and name in ("", row.requester)}
            with self.subTest(query=query, name=name):
                found = self.pages(session, query)
                self.assertEqual(sorted(found), sorted(expected))
                self.assertEqual(self.ids(session, query), found)
                reread = work_order.reread_page(session, query, self.everything())
                self.assertEqual({row.id for row in reread.work_orders}, expected)
                overdue = sum(row.is_overdue for row in self.everything() if row.id in expected)
                page = work_order.read_page(session, query, (), 7)
                self.assertEqual((page.total, page.overdue), (len(expected), overdue))
                self.assertEqual((reread.total, reread.overdue), (len(expected), overdue))

    def test_each_filter(self) -> None:
        now = datetime.now(timezone.utc)
        today = datetime.now().date()
        monday = today - timedelta(days=today.weekday())
        week = [monday + timedelta(days=day) for day in range(7)]
        self.assert_finds(Query(Filter(status="Open")), lambda row: row.status is Status.OPEN)
        self.assert_finds(Query(Filter(status=UNFINISHED)), lambda row: not row.status.is_finished)
        self.assert_finds(Query(Filter(priority=Priority.HIGH)), lambda row: row.priority is Priority.HIGH)
        self.assert_finds(Query(Filter(category="Hardware")), lambda row: row.category == "Hardware")
        self.assert_finds(Query(Filter(category=NONE)), lambda row: row.category is None)
        self.assert_finds(Query(Filter(requester="ugo")), lambda row: row.requester == "ugo")
        self.assert_finds(Query(Filter(assignee="max")), lambda row: row.assignee == "max")
        self.assert_finds(Query(Filter(assignee=NOBODY)), lambda row: row.assignee is None)
        self.assert_finds(
            Query(Filter(due=Due.OVERDUE)),
            lambda row: bool(row.due_at and row.due_at < now and not row.status.is_finished),
        )
        self.assert_finds(
            Query(Filter(due=Due.THIS_WEEK)),
            lambda row: bool(row.due_at and row.due_at.astimezone().date() in week),
        )

    def test_filters_together_and_with_a_search(self) -> None:
        for sort in Sort:
            self.assert_finds(
                Query(Filter(UNFINISHED, Priority.LOW, assignee=NOBODY), sort),
                lambda row: (row.status.is_finished, row.priority, row.assignee) == (False, Priority.LOW, None),
            )
            self.assert_finds(
                Query(Filter(status="Open"), sort, "print"),
                lambda row: row.status is Status.OPEN and self.has_word(row, "print"),
            )

    def test_what_matches_often_is_read_in_its_order_and_comes_out_the_same(self) -> None:
        queries = [Query(Filter(status=UNFINISHED), sort) for sort in Sort]
        queries += [Query(Filter(assignee="max", due=Due.THIS_WEEK), sort) for sort in Sort]
        for query in queries:
            expected = self.pages(self.max, query), self.pages(self.uma, query)
            with mock.patch.object(work_order, "COUNTED_AT_MOST", 3), self.subTest(query=query):
                self.assertEqual((self.pages(self.max, query), self.pages(self.uma, query)), expected)

    def has_word(self, row: WorkOrder, beginning: str) -> bool:
        return any(word.lower().startswith(beginning.lower()) for word in self.text(row).split())

    def text(self, row: WorkOrder) -> str:
        notes = [entry.note for entry in work_order.history(self.anna, row.id)]
        return " ".join((row.title, row.description, *notes))

    def test_words_and_their_beginnings_are_found_as_they_are_typed(self) -> None:
        for word in ("print", "PRINTER", "toner", "50%", "a_b", "don't", '"quoted"', "and", "x-r", "印刷"):
            query = work_order.search(self.anna, word)
            self.assertFalse(query.as_substring, word)
            self.assert_finds(query, lambda row, word=word: self.has_word(row, word))  # type: ignore[misc]

    def test_all_words_have_to_be_there(self) -> None:
        query = work_order.search(self.anna, "toner print")
        self.assert_finds(query, lambda row: self.has_word(row, "toner") and self.has_word(row, "print"))

    def test_accents_do_not_matter(self) -> None:
        self.assert_finds(Query(text="naive"), lambda row: "naïve" in self.text(row))

    def test_where_no_word_matches_the_bare_substring_is_found(self) -> None:
        for part in ("rint", "刷", "%", "_", "*", "O'", "rinter TON", "'", "-", '"', "oner", "xyzzy"):
            query = work_order.search(self.anna, part)
            self.assertTrue(query.as_substring, part)
            self.assert_finds(query, lambda row, part=part: part.lower() in self.searchable(row))  # type: ignore[misc]

    def searchable(self, row: WorkOrder) -> str:
        notes = [entry.note for entry in work_order.history(self.anna, row.id) if entry.note]
        return "\n".join((row.title, row.description, *notes)).lower()

    def test_no_text_is_syntax(self) -> None:
        for text in (
            "NOT toner",
            "toner OR",
            "title: toner",
            "NEAR(a b)",
            "toner*",
            "(",
            "^toner",
            "a + b",
            '""',
            "\\",
            "{}",
        ):
            with self.subTest(text=text):
                query = work_order.search(self.anna, text)
                self.assertEqual(self.pages(self.anna, query), [])

    def test_many_hits_come_in_each_order_as_few_do(self) -> None:
        for session, text, sort in itertools.product((self.uma, self.max), ("toner", "oner", "toner print"), Sort):
            query = work_order.search(session, text)._replace(sort=sort)
            few = self.pages(session, query)
            with mock.patch.multiple(work_order, COUNTED_AT_MOST=3, SORTED_AT_MOST=3, TERMS_AT_MOST=0):
                found: List[WorkOrder] = []
                while len(found) < len(few):
                    found += work_order.read_page(session, query, found, 7).work_orders
            with self.subTest(text=text, sort=sort):
                self.assertEqual([row.id for row in found], few)

    def test_what_is_finished_is_not_overdue(self) -> None:
        for status in (Status.RESOLVED, Status.CANCELLED):
            self.assert_finds(Query(Filter(status, due=Due.OVERDUE)), lambda _: False)

    def test_hits_come_newest_first_and_show_where_they_matched(self) -> None:
        page = work_order.read_page(self.uma, work_order.search(self.uma, "toner"), (), 1000)
        found = [row.id for row in page.work_orders]
        self.assertEqual(found, sorted(found, reverse=True))
        self.assertEqual(set(page.below), set(found))
        for (place,) in page.below.values():
            self.assertRegex(place, r"^(title|description|comment|note): .*\[toner\]")

    def test_each_page_of_a_search_has_an_excerpt_for_each_row_and_the_total_of_all_pages(self) -> None:
        for text in ("toner", "oner"):
            query = work_order.search(self.max, text)
            seen: List[WorkOrder] = []
            for _ in range(3):
                page = work_order.read_page(self.max, query, seen, 5)
                self.assertEqual(sorted(page.below, reverse=True), [row.id for row in page.work_orders])
                self.assertEqual((len(page.work_orders), page.total), (5, len(self.ids(self.max, query))))
                self.assertEqual(work_order.reread_page(self.max, query, page.work_orders), page)
                seen += page.work_orders

    def test_a_list_that_is_no_search_has_no_excerpts(self) -> None:
        page = work_order.read_page(self.max, Query(Filter(status="Open")), (), 10)
        self.assertEqual((len(page.work_orders), page.below), (10, {}))
        self.assertEqual(work_order.reread_page(self.max, Query(), page.work_orders).below, {})

    def test_where_it_matched_is_told_to_those_alone_who_may_see_it(self) -> None:
        query = work_order.search(self.anna, "toner")
        everything = [*self.everything(), work_order.get_deleted(self.anna, 5)]
        own = {row.id for row in self.everything() if row.requester == "uma" and self.has_word(row, "toner")}
        for page in (
            work_order.read_page(self.uma, query, (), 1000),
            work_order.reread_page(self.uma, query, everything),
        ):
            self.assertEqual(set(page.below), own)
            self.assertEqual({row.id for row in page.work_orders}, own)
            self.assertEqual(page.total, len(own))
        self.assertNotIn(5, work_order.reread_page(self.anna, query, everything).below)

    def test_the_match_is_marked_where_it_stands(self) -> None:
        for title, text, place in (
            ("jumble a_b", "b", "jumble a_[b]"),
            ("학교 한국", "한국", "학교 [한국]"),
            ("the Café", "cafe", "the [Café]"),
            ("the Café", "cafe\u0301", "the [Café]"),
        ):
            row = self.create(self.uma, title)
            query = work_order.search(self.uma, text)
            page = work_order.read_page(self.uma, query, (), 1)
            self.assertEqual(page.below, {row.id: [f"title: {place}"]})

    def test_a_search_longer_than_200_characters_is_refused(self) -> None:
        with self.assertRaises(InvalidInputError):
            work_order.search(self.uma, "x" * 201)
        work_order.search(self.uma, "x " * 100)

    def test_each_order(self) -> None:
        never = datetime.max.replace(tzinfo=timezone.utc)
        keys: Dict[Sort, Callable[[WorkOrder], object]] = {
            Sort.URGENCY: lambda row: (row.status.is_finished, -row.priority, row.created_at, row.id),
            Sort.NEWEST: lambda row: -row.id,
            Sort.OLDEST: lambda row: row.id,
            Sort.CHANGED: lambda row: (-row.updated_at.timestamp(), -row.id),
            Sort.DUE: lambda row: (row.status.is_finished, row.due_at or never, row.id),
        }
        for sort, key in keys.items():
            with self.subTest(sort=sort):
                expected = [row.id for row in sorted(self.everything(), key=key)]  # type: ignore[arg-type]
                self.assertEqual(self.pages(self.max, Query(sort=sort)), expected)

    def test_the_index_and_the_counters_agree_with_the_rows(self) -> None:
        self.connection.execute("INSERT INTO work_order_search (work_order_search, rank) VALUES ('integrity-check', 1)")
        work_order.restore(self.anna, 5)
        everything = [*self.everything(), self.get(self.anna, 5)]
        expected = []
        for status in Status:
            alike = [row for row in everything if row.status is status]
            by_priority = {each: sum(row.priority is each for row in alike) for each in Priority}
            own = sum(row.requester == "uma" for row in alike)
            expected.append(work_order.StatusCount(status, by_priority, len(alike), own))
        self.assertEqual(work_order.summary(self.uma), expected)


class OtherAlphabetsTest(DatabaseTestCase):
    """SQLite and Python do not fold all letters alike."""

    def assert_finds(self, text: str, *titles: str) -> None:
        found = work_order.read_page(self.uma, work_order.search(self.uma, text), (), 10).work_orders
        self.assertEqual({row.title for row in found}, set(titles), text)

    def test_only_latin_letters_lose_their_accents(self) -> None:
        for title in ("герой дня", "герои", "ёлка", "елка", "άλφα", "Große Büroküche"):
            self.create(self.uma, title)
        self.assert_finds("герой", "герой дня")
        self.assert_finds("ёлка", "ёлка")
        self.assert_finds("άλφα", "άλφα")
        for text in ("burokuche", "BÜROK", "große buro"):
            self.assert_finds(text, "Große Büroküche")

    def test_a_letter_with_other_forms_is_found_inside_words(self) -> None:
        for title in ("ΟΔΟΣ-7", "IŞIKLAR", "KESİN-x"):
            self.create(self.uma, title)
        self.assert_finds("ΔΟΣ", "ΟΔΟΣ-7")
        self.assert_finds("ΟΣ", "ΟΔΟΣ-7")
        self.assert_finds("ŞIK", "IŞIKLAR")
        self.assert_finds("ışık", "IŞIKLAR")
        self.assert_finds("Sİ", "KESİN-x")

    def test_what_another_program_does_in_vain_leaves_the_index_as_it_was(self) -> None:
        self.create(self.uma, "герой")
        self.connection.execute("UPDATE OR IGNORE work_orders SET title = ''")
        self.connection.execute(
            """
            INSERT OR IGNORE INTO work_order_history (work_order_id, user_id, changed_at, field, note)
            VALUES (1, 3, 'no time', 'comment', 'in vain')
            """
        )
        self.assertEqual(database.find_differences(self.connection), [])

    def test_what_another_program_writes_takes_its_place_in_lists(self) -> None:
        for number in range(3):
            self.create(self.uma, f"Title {number}")
        self.connection.execute("UPDATE work_orders SET created_at = '2020-01-01T00:00:00+00:00' WHERE id = 2")
        self.connection.execute("UPDATE work_orders SET priority = 4, urgency = 7 WHERE id = 3")
        self.assertEqual(self.ids(self.uma), [3, 2, 1])
        self.assertEqual(database.find_differences(self.connection), [])


class CommentTest(DatabaseTestCase):
    def test_it_stands_in_the_history_and_counts_as_a_change(self) -> None:
        shown = self.create(self.uma)
        self.connection.execute("UPDATE work_orders SET updated_at = '2020-01-01T00:00:00+00:00'")
        work_order.comment(self.max, shown.id, "  On my way \n soon ")
        entry = work_order.history(self.uma, shown.id)[0]
        self.assertEqual((entry.field, entry.note), ("comment", "On my way \n soon"))
        self.assertGreater(self.get(self.uma, shown.id).updated_at.year, 2020)

    def test_nothing_and_more_than_ten_thousand_characters_are_refused(self) -> None:
        shown = self.create(self.uma)
        for text in ("", "  ", "c" * 10_001):
            with self.assertRaises(InvalidInputError):
                work_order.comment(self.uma, shown.id, text)

    def test_the_details_have_the_latest_comments_and_notes_newest_first(self) -> None:
        shown = self.create(self.uma)
        self.assertEqual(work_order.get(self.uma, shown.id).notes, [])
        work_order.comment(self.max, shown.id, "First")
        work_order.change_status(self.max, shown, Status.ON_HOLD, "Second")
        work_order.change(self.uma, shown, TITLE, "Another")
        details = work_order.get(self.uma, shown.id)
        self.assertEqual(details.work_order.title, "Another")
        notes = [(entry.username, entry.field, entry.note) for entry in details.notes]
        self.assertEqual(notes, [("max", "status", "Second"), ("max", "comment", "First")])

    def test_the_details_have_no_more_of_them_than_a_screen_can_show(self) -> None:
        shown = self.create(self.uma)
        for number in range(25):
            work_order.comment(self.max, shown.id, f"{number}")
        notes = work_order.get(self.uma, shown.id).notes
        self.assertEqual([entry.note for entry in notes], [f"{number}" for number in range(24, 4, -1)])


class AssignTest(DatabaseTestCase):
    def assignee(self, shown: WorkOrder) -> Optional[str]:
        return self.get(self.anna, shown.id).assignee

    def assign(self, username: Optional[str]) -> WorkOrder:
        shown = self.create(self.uma)
        work_order.change(self.anna, shown, ASSIGNEE, username)
        return self.get(self.anna, shown.id)

    def test_me_and_nobody_are_understood(self) -> None:
        shown = self.assign(users.parse_assignee(self.anna, "ME"))
        self.assertEqual(shown.assignee, "anna")
        work_order.change(self.max, shown, ASSIGNEE, users.parse_assignee(self.max, "Nobody"))
        self.assertIsNone(self.assignee(shown))
        told = [(entry.old_value, entry.new_value) for entry in work_order.history(self.uma, shown.id)]
        self.assertEqual(told[:-1], [("anna", "nobody"), ("nobody", "anna")])

    def test_only_an_active_manager_or_admin_is_an_assignee(self) -> None:
        users.deactivate(self.anna, "max")
        for username in ("uma", "max", "ghost", "none"):
            for call in (self.assign, lambda text: users.parse_assignee(self.anna, text)):
                with self.subTest(username=username), self.assertRaises(InvalidInputError):
                    call(username)
        self.assertEqual(self.rows("SELECT id FROM work_orders WHERE assignee_id IS NOT NULL"), [])

    def test_who_is_deactivated_or_demoted_loses_what_is_unfinished_with_a_history_row(self) -> None:
        leave: List[Callable[[], int]] = [
            lambda: users.deactivate(self.anna, "max"),
            lambda: users.change_role(self.anna, "max", users.Role.USER),
        ]
        for leaving in leave:
            first, second, finished = self.assign("max"), self.assign("max"), self.assign("max")
            work_order.change_status(self.anna, finished, Status.RESOLVED)
            self.assertEqual(leaving(), 2)
            self.assertEqual([self.assignee(shown) for shown in (first, second, finished)], [None, None, "max"])
            entry = work_order.history(self.anna, first.id)[0]
            self.assertEqual((entry.username, entry.old_value, entry.new_value), ("anna", "max", "nobody"))
            reopened = self.get(self.anna, finished.id)
            work_order.change_status(self.anna, reopened, Status.OPEN)
            self.assertIsNone(self.assignee(finished))
            users.reactivate(self.anna, "max") if leaving is leave[0] else None

    def test_what_is_restored_comes_back_without_an_assignee_who_has_left(self) -> None:
        shown = self.assign("max")
        work_order.delete(self.anna, shown.id)
        users.deactivate(self.anna, "max")
        work_order.restore(self.anna, shown.id)
        self.assertIsNone(self.assignee(shown))

    def test_promoting_somebody_takes_nothing_away(self) -> None:
        shown = self.assign("max")
        self.assertEqual(users.change_role(self.anna, "max", users.Role.ADMIN), 0)
        self.assertEqual(self.assignee(shown), "max")


class DueDateTest(DatabaseTestCase):
    def test_a_date_is_its_last_second_and_a_time_is_local(self) -> None:
        for text in ("2026-12-31", "2026-12-31 17:05"):
            due_at = work_order.parse_due_date(text)
            assert due_at
            self.assertEqual((due_at.tzinfo, work_order.local_time(due_at)), (timezone.utc, text))
        self.assertIsNone(work_order.parse_due_date("None"))

    def test_what_is_no_date_is_refused(self) -> None:
        for text in (
            "",
            "soon",
            "t",
            "s",
            "tomorrow 25:00",
            "+3",
            "+3w",
            "-1d",
            "+12345d",
            "17",
            "31.12.2026",
            "2026-02-29",
            "2026-13-01",
            "2026-01-01 25:00",
            "1999-12-31",
            "9999-12-31",
            "0001-01-01",
            "2026-01-01 10:00:00",
        ):
            with self.subTest(text=text), self.assertRaises(InvalidInputError):
                work_order.parse_due_date(text)

    def test_it_is_told_in_the_history_and_can_be_taken_back(self) -> None:
        shown = self.create(self.uma)
        work_order.change(self.max, shown, DUE_DATE, DUE)
        shown = self.get(self.max, shown.id)
        self.assertEqual(shown.due_at, DUE)
        work_order.change(self.max, shown, DUE_DATE, None)
        told = [(entry.old_value, entry.new_value) for entry in work_order.history(self.uma, shown.id)]
        moment = "2026-12-31T12:00:00+00:00"
        self.assertEqual(told[:-1], [(moment, "none"), ("none", moment)])

    def test_only_what_is_unfinished_is_overdue(self) -> None:
        shown = self.create(self.uma)
        work_order.change(self.max, shown, DUE_DATE, datetime(2020, 1, 1, tzinfo=timezone.utc))
        self.assertTrue(self.get(self.max, shown.id).is_overdue)
        work_order.change_status(self.max, shown, Status.RESOLVED)
        self.assertFalse(self.get(self.max, shown.id).is_overdue)


class ChangedByOthersTest(DatabaseTestCase):
    """What others have changed since the last login, which stays there until the next one."""

    CHANGED = Query(work_order.CHANGED, Sort.CHANGED)

    def log_in(self, username: str) -> Session:
        return users.log_in(self.connection, username, PASSWORD)

    def changes(self, session: Session) -> Dict[int, List[str]]:
        page = work_order.read_page(session, self.CHANGED, (), 10)
        self.assertEqual(set(page.below), {row.id for row in page.work_orders})
        self.assertEqual(work_order.my_work(session).changed, page.total)
        return {number: [text.split("  ")[1] for text in texts] for number, texts in page.below.items()}

    def test_it_is_all_that_others_changed_on_ones_own_since_the_last_login(self) -> None:
        first, second, third = (self.create(self.uma) for _ in range(3))
        self.create(self.ugo)
        work_order.comment(self.uma, third.id, "by myself")
        self.assertEqual(self.changes(self.log_in("uma")), {})
        work_order.comment(self.max, first.id, "by max")
        work_order.change_status(self.max, second, Status.ON_HOLD)
        work_order.change(self.max, first, TITLE, "Another")
        expected = {
            1: ['max: title from "Printer jams" to "Another"', "max: commented\nby max"],
            2: ['max: status from "Open" to "On Hold"'],
        }
        uma = self.log_in("uma")
        for _ in range(2):
            self.assertEqual(self.changes(uma), expected)
        self.assertEqual(self.changes(self.log_in("uma")), {})
        self.assertEqual(self.changes(self.log_in("ugo")), {})

    def test_what_comes_in_while_one_is_signed_in_counts_then_and_at_the_next_login(self) -> None:
        order = self.create(self.uma)
        uma = self.log_in("uma")
        work_order.comment(self.max, order.id, "meanwhile")
        for session in (uma, self.log_in("uma")):
            self.assertEqual(self.changes(session), {order.id: ["max: commented\nmeanwhile"]})

    def test_what_one_is_assigned_counts_too_and_what_is_taken_from_one(self) -> None:
        given, taken, neither = (self.create(self.uma) for _ in range(3))
        work_order.change(self.anna, taken, ASSIGNEE, "max")
        self.log_in("max")
        work_order.change(self.anna, given, ASSIGNEE, "max")
        work_order.take(self.anna, self.get(self.anna, taken.id))
        work_order.comment(self.anna, neither.id, "none of his")
        changes = self.changes(self.log_in("max"))
        self.assertEqual(set(changes), {given.id, taken.id})
        self.assertIn('anna: assignee from "max" to "anna"', changes[taken.id])

    def test_to_a_user_nothing_of_somebody_elses_has_changed(self) -> None:
        order = self.create(self.uma)
        work_order.change(self.anna, order, ASSIGNEE, "max")
        users.change_role(self.anna, "max", users.Role.USER)
        work_order.comment(self.anna, order.id, "no longer his")
        self.assertEqual(self.changes(self.log_in("max")), {})


class DeletedTest(DatabaseTestCase):
    def test_only_admins_see_and_restore(self) -> None:
        shown = self.create(self.uma)
        work_order.delete(self.anna, shown.id)
        for session in (self.uma, self.max):
            for call in (
                lambda: work_order.list_deleted(session, None, 10),  # noqa: B023
                lambda: work_order.get_deleted(session, shown.id),  # noqa: B023
                lambda: work_order.restore(session, shown.id),  # noqa: B023
            ):
                with self.assertRaises(users.PermissionDeniedError):
                    call()
        self.assertEqual(work_order.get_deleted(self.anna, shown.id).id, shown.id)

    def test_what_is_restored_is_as_it_was_and_both_are_on_record(self) -> None:
        shown = self.create(self.uma, "As it was")
        work_order.delete(self.anna, shown.id)
        work_order.restore(self.anna, shown.id)
        self.assertEqual(self.get(self.uma, shown.id).title, "As it was")
        fields = [entry.field for entry in work_order.history(self.uma, shown.id)]
        self.assertEqual(fields, ["restored", "deleted", "created"])
        events = self.rows("SELECT event, subject FROM audit_log ORDER BY id DESC LIMIT 2")
        self.assertEqual(events, [("work order restored", "#1"), ("work order deleted", "#1")])

    def test_what_is_not_deleted_cannot_be_restored(self) -> None:
        self.create(self.uma)
        for number in (1, 2):
            with self.assertRaises(NotFoundError):
                work_order.restore(self.anna, number)

    def test_the_list_goes_from_the_latest_deletion_by_pages(self) -> None:
        for number in range(1, 6):
            self.create(self.uma)
            work_order.delete(self.anna, number)
        first = work_order.list_deleted(self.anna, None, 3)
        rest = work_order.list_deleted(self.anna, first[-1], 3)
        self.assertEqual([shown.id for shown in (*first, *rest)], [5, 4, 3, 2, 1])


if __name__ == "__main__":
    unittest.main()
