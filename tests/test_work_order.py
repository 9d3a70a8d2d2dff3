"""Work orders: each role against each action, what is refused, and what the history tells."""

import random
import unittest
from datetime import datetime, timedelta, timezone
from typing import Callable, Dict, List, Optional, Tuple
from unittest import mock

from support import DatabaseTestCase

import users
import work_order
from database import ApplicationError
from users import InvalidInputError, Session
from work_order import (
    NOBODY,
    UNFINISHED,
    ConflictError,
    Due,
    NotFoundError,
    Priority,
    Selection,
    Sort,
    Status,
    WorkOrder,
)

Change = Callable[[Session, WorkOrder], object]
DUE = datetime(2026, 12, 31, 12, tzinfo=timezone.utc)


class RightsTest(DatabaseTestCase):
    """Section by section of the table in the README: each role, its own work orders and others'."""

    def changes(self) -> Dict[str, Change]:
        connection = self.connection
        return {
            "open": lambda session, order: work_order.get(connection, session, order.id),
            "history": lambda session, order: work_order.history(connection, session, order.id),
            "status": lambda session, order: work_order.change_status(connection, session, order, Status.ON_HOLD),
            "title": lambda session, order: work_order.edit_title(connection, session, order, "Another"),
            "description": lambda session, order: work_order.edit_description(connection, session, order, "Another"),
            "priority": lambda session, order: work_order.change_priority(connection, session, order, Priority.LOW),
            "latest comment": lambda session, order: work_order.latest_comment(connection, session, order.id),
            "comment": lambda session, order: work_order.comment(connection, session, order.id, "text"),
            "assign": lambda session, order: work_order.assign(connection, session, order, "max"),
            "due date": lambda session, order: work_order.set_due_date(connection, session, order, DUE),
            "requester": lambda session, order: work_order.change_requester(connection, session, order, "ugo"),
            "delete": lambda session, order: work_order.delete(connection, session, order.id),
        }

    def refusal(self, session: Session, change: Change, order: WorkOrder) -> str:
        before = self.rows("SELECT * FROM work_orders"), self.rows("SELECT * FROM work_order_history")
        try:
            change(session, order)
        except ApplicationError as error:
            self.assertEqual(
                (self.rows("SELECT * FROM work_orders"), self.rows("SELECT * FROM work_order_history")), before
            )
            return type(error).__name__
        return "allowed"

    def assert_rights(self, session: Session, owner: Session, expected: Dict[str, str], finished: bool = False) -> None:
        for name, change in self.changes().items():
            order = self.create(owner)
            if finished:
                work_order.change_status(self.connection, self.anna, order, Status.RESOLVED)
                order = work_order.get(self.connection, self.anna, order.id)
            with self.subTest(action=name):
                self.assertEqual(self.refusal(session, change, order), expected.get(name, "allowed"))

    def test_a_user_on_ones_own(self) -> None:
        refused = ("assign", "due date", "requester", "delete")
        self.assert_rights(self.uma, self.uma, dict.fromkeys(refused, "PermissionDeniedError"))

    def test_a_user_on_ones_own_that_is_finished(self) -> None:
        refused = dict.fromkeys(
            ("title", "description", "priority", "assign", "due date", "requester", "delete"), "PermissionDeniedError"
        )
        self.assert_rights(self.uma, self.uma, refused, finished=True)

    def test_to_a_user_nothing_of_somebody_elses_exists(self) -> None:
        self.assert_rights(self.uma, self.ugo, dict.fromkeys(self.changes(), "NotFoundError"))

    def test_a_manager_does_all_but_delete(self) -> None:
        self.assert_rights(self.max, self.uma, {"delete": "PermissionDeniedError"})
        self.assert_rights(self.max, self.uma, {"delete": "PermissionDeniedError"}, finished=True)

    def test_an_admin_does_everything(self) -> None:
        self.assert_rights(self.anna, self.uma, {})
        self.assert_rights(self.anna, self.uma, {}, finished=True)

    def test_a_deleted_one_exists_for_nobody(self) -> None:
        order = self.create(self.uma)
        work_order.delete(self.connection, self.anna, order.id)
        for session in (self.uma, self.max, self.anna):
            for name, change in self.changes().items():
                seen_by_admins = name == "history" and session is self.anna
                with self.subTest(action=name, session=session):
                    expected = "allowed" if seen_by_admins else "NotFoundError"
                    self.assertEqual(self.refusal(session, change, order), expected)

    def test_somebody_elses_and_none_are_refused_in_the_same_words(self) -> None:
        order = self.create(self.ugo)
        words = []
        for work_order_id in (order.id, order.id + 1):
            with self.assertRaises(NotFoundError) as raised:
                work_order.get(self.connection, self.uma, work_order_id)
            words.append(str(raised.exception).replace(str(work_order_id), "N"))
        self.assertEqual(words[0], words[1])

    def test_the_list_holds_a_users_own_and_for_managers_and_admins_all(self) -> None:
        mine, others = self.create(self.uma).id, self.create(self.ugo).id
        for session, expected in ((self.uma, [mine]), (self.max, [mine, others]), (self.anna, [mine, others])):
            self.assertEqual(self.ids(session), expected)
            orders = work_order.list_these(self.connection, session, Selection(), [others, mine, 99])
            self.assertEqual(
                [order.id for order in orders], [number for number in (others, mine) if number in expected]
            )
            self.assertEqual(work_order.count(self.connection, session, Selection()), len(expected))


class CreateTest(DatabaseTestCase):
    def test_ids_start_at_1_and_are_never_given_again(self) -> None:
        first = self.create(self.uma)
        work_order.delete(self.connection, self.anna, first.id)
        self.assertEqual((first.id, self.create(self.uma).id), (1, 2))

    def test_it_is_open_and_ones_own_and_its_space_is_trimmed(self) -> None:
        order = self.create(self.uma, "  Printer  ", "\n text \n")
        self.assertEqual((order.title, order.description, order.requester), ("Printer", "text", "uma"))
        self.assertEqual((order.status, order.priority, order.assignee), (Status.OPEN, Priority.MEDIUM, None))

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
    def status(self, order: WorkOrder, status: Status, note: str = "") -> WorkOrder:
        work_order.change_status(self.connection, self.max, order, status, note)
        return work_order.get(self.connection, self.max, order.id)

    def test_any_status_follows_any_other_and_only_resolved_has_a_time_of_resolution(self) -> None:
        for first in Status:
            for second in Status:
                if first is not second:
                    order = self.create(self.uma)
                    if first is not Status.OPEN:
                        order = self.status(order, first)
                    order = self.status(order, second)
                    self.assertEqual((order.status, order.resolved_at is not None), (second, second is Status.RESOLVED))

    def test_a_status_that_stands_is_refused(self) -> None:
        with self.assertRaisesRegex(ConflictError, "is Open already"):
            self.status(self.create(self.uma), Status.OPEN)

    def test_a_note_above_ten_thousand_characters_is_refused(self) -> None:
        with self.assertRaises(InvalidInputError):
            self.status(self.create(self.uma), Status.ON_HOLD, "n" * 10_001)

    def test_what_somebody_else_changed_is_not_overwritten_and_is_named(self) -> None:
        connection, shown = self.connection, self.create(self.uma, "First", "First")
        work_order.edit_title(connection, self.max, shown, "Second")
        work_order.edit_description(connection, self.max, shown, "Second")
        work_order.change_priority(connection, self.max, shown, Priority.HIGH)
        work_order.change_status(connection, self.max, shown, Status.ON_HOLD)
        work_order.change_requester(connection, self.max, shown, "ugo")
        changes: List[Tuple[str, Callable[[], object]]] = [
            ('title is "Second" now: max', lambda: work_order.edit_title(connection, self.anna, shown, "Third")),
            (
                'description is "Second" now: max',
                lambda: work_order.edit_description(connection, self.anna, shown, "Third"),
            ),
            (
                'priority is "High" now: max',
                lambda: work_order.change_priority(connection, self.anna, shown, Priority.LOW),
            ),
            (
                'status is "On Hold" now: max',
                lambda: work_order.change_status(connection, self.anna, shown, Status.OPEN),
            ),
            ('requester is "ugo" now: max', lambda: work_order.change_requester(connection, self.anna, shown, "max")),
        ]
        for words, change in changes:
            with self.subTest(words=words), self.assertRaisesRegex(ConflictError, words):
                change()

    def test_saving_what_stands_adds_nothing_to_the_history(self) -> None:
        order = self.create(self.uma, "Same", "Same", Priority.LOW)
        work_order.edit_title(self.connection, self.uma, order, "Same")
        work_order.edit_description(self.connection, self.uma, order, "Same")
        work_order.change_priority(self.connection, self.uma, order, Priority.LOW)
        work_order.change_requester(self.connection, self.max, order, "uma")
        self.assertEqual(len(work_order.history(self.connection, self.uma, order.id)), 1)

    def test_a_requester_is_an_active_account(self) -> None:
        order = self.create(self.max)
        users.deactivate(self.connection, self.anna, "ugo")
        for username in ("ugo", "ghost"):
            with self.assertRaises(InvalidInputError):
                work_order.change_requester(self.connection, self.max, order, username)
        work_order.change_requester(self.connection, self.anna, order, "me")
        self.assertEqual(work_order.get(self.connection, self.max, order.id).requester, "anna")


class RaceTest(DatabaseTestCase):
    def test_the_time_of_a_change_is_the_work_orders(self) -> None:
        order = self.create(self.uma)
        old = "2020-01-01T00:00:00+00:00"
        self.connection.execute("UPDATE work_orders SET updated_at = ?, created_at = ?", (old, old))
        work_order.edit_title(self.connection, self.uma, order, "Another")
        self.assertNotEqual(self.rows("SELECT updated_at FROM work_orders"), [(old,)])
        work_order.change_status(self.connection, self.uma, order, Status.RESOLVED)
        same = (
            "SELECT count(*) FROM work_orders, work_order_history WHERE resolved_at = changed_at AND field = 'status'"
        )
        self.assertEqual(self.rows(same), [(1,)])

    def test_a_pending_one_time_password_opens_no_work_order(self) -> None:
        self.create(self.uma)
        mia = users.log_in(self.connection, "mia", users.add_user(self.connection, self.anna, "mia", users.Role.ADMIN))
        for call in (
            lambda: work_order.get(self.connection, mia, 1),
            lambda: work_order.list_after(self.connection, mia, Selection(), None, 10),
            lambda: work_order.summary(self.connection, mia),
            lambda: work_order.news(self.connection, mia, 5),
            lambda: work_order.create(self.connection, mia, "t", "", Priority.LOW),
            lambda: work_order.delete(self.connection, mia, 1),
        ):
            with self.assertRaisesRegex(users.PermissionDeniedError, "one-time password"):
                call()

    def test_a_user_learns_nothing_about_accounts_from_a_refusal(self) -> None:
        order = self.create(self.uma)
        words = []
        for name in ("ugo", "ghost"):
            with self.assertRaises(users.PermissionDeniedError) as raised:
                work_order.change_requester(self.connection, self.uma, order, name)
            words.append(str(raised.exception))
        self.assertEqual(words[0], words[1])

    def test_a_change_by_another_program_is_a_conflict_too(self) -> None:
        order = self.create(self.uma)
        self.connection.execute("UPDATE work_orders SET title = 'Other'")
        with self.assertRaisesRegex(ConflictError, "another program changed it"):
            work_order.edit_title(self.connection, self.uma, order, "Mine")


class HistoryTest(DatabaseTestCase):
    def test_it_tells_who_changed_what_from_what_to_what_with_the_note_oldest_first(self) -> None:
        order = self.create(self.uma, "First")
        work_order.edit_title(self.connection, self.uma, order, "Second")
        work_order.change_status(self.connection, self.max, order, Status.ON_HOLD, "waiting for a part")
        work_order.change_priority(self.connection, self.anna, order, Priority.HIGH)
        entries = work_order.history(self.connection, self.uma, order.id)
        self.assertEqual(
            [(entry.username, entry.field, entry.old_value, entry.new_value, entry.note) for entry in entries],
            [
                ("uma", "created", None, None, ""),
                ("uma", "title", "First", "Second", ""),
                ("max", "status", "Open", "On Hold", "waiting for a part"),
                ("anna", "priority", "Medium", "High", ""),
            ],
        )

    def test_a_deletion_is_in_the_history_and_in_the_audit_log(self) -> None:
        order = self.create(self.uma)
        work_order.delete(self.connection, self.anna, order.id)
        self.assertEqual(
            self.rows("SELECT field, user_id FROM work_order_history WHERE field = 'deleted'"), [("deleted", 1)]
        )
        self.assertEqual(self.rows("SELECT subject FROM audit_log WHERE event = 'work order deleted'"), [("#1",)])


class ListTest(DatabaseTestCase):
    def test_the_order_is_unfinished_then_highest_priority_then_oldest(self) -> None:
        low, high, critical, high_too = (self.create(self.uma, priority=Priority(p)) for p in (1, 3, 4, 3))
        work_order.change_status(self.connection, self.uma, critical, Status.CANCELLED)
        self.assertEqual(self.ids(self.uma), [high.id, high_too.id, low.id, critical.id])

    def test_it_goes_on_after_the_key_and_leaves_out_what_was_seen(self) -> None:
        orders = [self.create(self.uma) for _ in range(5)]
        rest = work_order.list_after(self.connection, self.uma, Selection(), orders[1], 10, {orders[3].id})
        self.assertEqual([order.id for order in rest], [orders[2].id, orders[4].id])

    def test_no_order_filter_or_count_sorts_or_reads_the_whole_table(self) -> None:
        order = self.create(self.uma)
        one_by_one = (
            {"status": "Open"},
            {"status": UNFINISHED},
            {"priority": Priority.HIGH},
            {"requester": "uma"},
            {"assignee": "max"},
            {"assignee": NOBODY},
            {"due": Due.OVERDUE},
            {"due": Due.THIS_WEEK},
            {"status": "Open", "priority": Priority.HIGH, "assignee": "max"},
            {"text": "printer", "sort": Sort.NEWEST},
            *({"sort": sort} for sort in Sort),
        )
        for changes in one_by_one:
            selection = Selection(**changes)  # type: ignore[arg-type]
            # A user's own in another order are so few that sorting them beats an index more.
            for session in (self.uma, self.max) if selection.sort is Sort.URGENCY else (self.max,):
                for after in (None, order):
                    with self.subTest(selection=selection, after=after, session=session):
                        statements: List[str] = []
                        self.connection.set_trace_callback(statements.append)
                        work_order.list_after(self.connection, session, selection, after, 10)
                        work_order.count(self.connection, session, selection)
                        self.connection.set_trace_callback(None)
                        self.assert_indexed([statement for statement in statements if "work_orders" in statement])

    def assert_indexed(self, statements: List[str]) -> None:
        for statement in statements:
            plan = [str(row[3]) for row in self.rows(f"EXPLAIN QUERY PLAN {statement}")]
            self.assertNotIn("TEMP B-TREE", " ".join(plan))
            # The order of the ids and the counting of everything need no index: both stop at their limit.
            if "ORDER BY work_orders.id" not in statement and "LIMIT 1001" not in statement:
                self.assertRegex(" ".join(plan), "(SEARCH|SCAN) work_orders USING|SCAN work_order_search")


class SelectionTest(DatabaseTestCase):
    """Each filter, order and search against what an independent look at the rows gives, on every page."""

    def setUp(self) -> None:
        super().setUp()
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
            order = self.create(session, title, text, chance.choice(list(Priority)))
            if chance.random() < 0.4:
                work_order.assign(self.connection, self.max, order, chance.choice(("max", "anna")))
            if chance.random() < 0.5:
                due_date = datetime.now(timezone.utc) + timedelta(days=chance.randint(-20, 20), hours=1)
                work_order.set_due_date(self.connection, self.max, order, due_date.replace(microsecond=0))
            if chance.random() < 0.5:
                work_order.change_status(self.connection, self.max, order, chance.choice(list(Status)[1:]))
            if chance.random() < 0.3:
                work_order.comment(self.connection, self.max, order.id, f"{chance.choice(words)} and more")
        moments = [f"2026-01-{day:02d}T00:00:00+00:00" for day in range(1, 29)]
        for number in range(1, 121):
            self.connection.execute(
                "UPDATE work_orders SET updated_at = ? WHERE id = ?", (chance.choice(moments), number)
            )
        work_order.delete(self.connection, self.anna, 5)

    def everything(self) -> List[WorkOrder]:
        return [work_order.get(self.connection, self.anna, n) for n in range(1, 121) if n != 5]

    def pages(self, session: Session, selection: Selection) -> List[WorkOrder]:
        found: List[WorkOrder] = []
        while True:
            page = work_order.list_after(self.connection, session, selection, found[-1] if found else None, 7)
            if not page:
                return found
            found += page

    def assert_selects(self, selection: Selection, wanted: Callable[[WorkOrder], bool]) -> None:
        for session, name in ((self.anna, ""), (self.uma, "uma")):
            expected = {order.id for order in self.everything() if wanted(order) and name in ("", order.requester)}
            with self.subTest(selection=selection, name=name):
                found = [order.id for order in self.pages(session, selection)]
                self.assertEqual(sorted(found), sorted(expected))
                self.assertEqual(work_order.count(self.connection, session, selection), len(expected))
                these = work_order.list_these(self.connection, session, selection, list(range(1, 121)))
                self.assertEqual({order.id for order in these}, expected)

    def test_each_filter(self) -> None:
        now = datetime.now(timezone.utc)
        today = datetime.now().date()
        monday = today - timedelta(days=today.weekday())
        week = [monday + timedelta(days=day) for day in range(7)]
        self.assert_selects(Selection(status="Open"), lambda order: order.status is Status.OPEN)
        self.assert_selects(Selection(status=UNFINISHED), lambda order: not order.status.is_finished)
        self.assert_selects(Selection(priority=Priority.HIGH), lambda order: order.priority is Priority.HIGH)
        self.assert_selects(Selection(requester="ugo"), lambda order: order.requester == "ugo")
        self.assert_selects(Selection(assignee="max"), lambda order: order.assignee == "max")
        self.assert_selects(Selection(assignee=NOBODY), lambda order: order.assignee is None)
        self.assert_selects(
            Selection(due=Due.OVERDUE),
            lambda order: bool(order.due_date and order.due_date < now and not order.status.is_finished),
        )
        self.assert_selects(
            Selection(due=Due.THIS_WEEK),
            lambda order: bool(order.due_date and order.due_date.astimezone().date() in week),
        )

    def test_filters_together_and_with_a_search(self) -> None:
        for sort in Sort:
            self.assert_selects(
                Selection(status=UNFINISHED, priority=Priority.LOW, assignee=NOBODY, sort=sort),
                lambda order: (order.status.is_finished, order.priority, order.assignee) == (False, Priority.LOW, None),
            )
            self.assert_selects(
                Selection(status="Open", text="print", sort=sort),
                lambda order: order.status is Status.OPEN and self.has_word(order, "print"),
            )

    def test_what_matches_often_is_read_in_its_order_and_comes_out_the_same(self) -> None:
        selections = [Selection(status=UNFINISHED, sort=sort) for sort in Sort]
        selections += [Selection(assignee="max", due=Due.THIS_WEEK, sort=sort) for sort in Sort]
        for selection in selections:
            expected = self.pages(self.max, selection), self.pages(self.uma, selection)
            with mock.patch.object(work_order, "COUNTED_AT_MOST", 3), self.subTest(selection=selection):
                self.assertEqual((self.pages(self.max, selection), self.pages(self.uma, selection)), expected)

    def has_word(self, order: WorkOrder, beginning: str) -> bool:
        return any(word.lower().startswith(beginning.lower()) for word in self.text(order).split())

    def text(self, order: WorkOrder) -> str:
        notes = [entry.note for entry in work_order.history(self.connection, self.anna, order.id)]
        return " ".join((order.title, order.description, *notes))

    def test_words_and_their_beginnings_are_found_as_they_are_typed(self) -> None:
        for word in ("print", "PRINTER", "toner", "50%", "a_b", "don't", '"quoted"', "and", "x-r", "印刷"):
            selection = work_order.search(self.connection, self.anna, word)
            self.assertFalse(selection.as_substring, word)
            self.assert_selects(selection, lambda order, word=word: self.has_word(order, word))  # type: ignore[misc]

    def test_all_words_have_to_be_there(self) -> None:
        selection = work_order.search(self.connection, self.anna, "toner print")
        self.assert_selects(selection, lambda order: self.has_word(order, "toner") and self.has_word(order, "print"))

    def test_accents_do_not_matter(self) -> None:
        self.assert_selects(Selection(text="naive"), lambda order: "naïve" in self.text(order))

    def test_where_no_word_matches_the_bare_substring_is_found(self) -> None:
        for part in ("rint", "刷", "%", "_", "*", "O'", "rinter TON", "'", "-", '"', "oner", "xyzzy"):
            selection = work_order.search(self.connection, self.anna, part)
            self.assertTrue(selection.as_substring, part)
            self.assert_selects(selection, lambda order, part=part: part.lower() in self.searchable(order))  # type: ignore[misc]

    def searchable(self, order: WorkOrder) -> str:
        notes = [entry.note for entry in work_order.history(self.connection, self.anna, order.id) if entry.note]
        return "\n".join((order.title, order.description, *notes)).lower()

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
                selection = work_order.search(self.connection, self.anna, text)
                self.assertEqual(self.pages(self.anna, selection), [])

    def test_hits_come_newest_first_and_show_where_they_matched(self) -> None:
        selection = work_order.search(self.connection, self.uma, "toner")
        found = [order.id for order in self.pages(self.uma, selection)]
        self.assertEqual(found, sorted(found, reverse=True))
        for place in work_order.excerpts(self.connection, self.uma, selection, found).values():
            self.assertRegex(place, r"^(title|description|comment): .*\[toner\]")

    def test_where_it_matched_is_told_to_those_alone_who_may_see_it(self) -> None:
        everything = list(range(1, 121))
        selection = work_order.search(self.connection, self.anna, "toner")
        places = work_order.excerpts(self.connection, self.uma, selection, everything)
        own = {order.id for order in self.everything() if order.requester == "uma"}
        self.assertEqual(set(places), own - {5})
        self.assertNotIn(5, work_order.excerpts(self.connection, self.anna, selection, everything))

    def test_the_match_is_marked_where_it_stands(self) -> None:
        for title, text, place in (
            ("jumble a_b", "b", "jumble a_[b]"),
            ("학교 한국", "한국", "학교 [한국]"),
            ("the Café", "cafe", "the [Café]"),
            ("the Café", "cafe\u0301", "the [Café]"),
        ):
            order = self.create(self.uma, title)
            selection = work_order.search(self.connection, self.uma, text)
            places = work_order.excerpts(self.connection, self.uma, selection, [order.id])
            self.assertEqual(places, {order.id: f"title: {place}"})

    def test_a_search_longer_than_200_characters_is_refused(self) -> None:
        with self.assertRaises(InvalidInputError):
            work_order.search(self.connection, self.uma, "x" * 201)
        work_order.search(self.connection, self.uma, "x " * 100)

    def test_each_order(self) -> None:
        never = datetime.max.replace(tzinfo=timezone.utc)
        keys: Dict[Sort, Callable[[WorkOrder], object]] = {
            Sort.URGENCY: lambda o: (o.status.is_finished, -o.priority, o.created_at, o.id),
            Sort.NEWEST: lambda o: -o.id,
            Sort.OLDEST: lambda o: o.id,
            Sort.CHANGED: lambda o: (-o.updated_at.timestamp(), -o.id),
            Sort.DUE: lambda o: (o.due_date or never, o.id),
        }
        for sort, key in keys.items():
            with self.subTest(sort=sort):
                expected = [order.id for order in sorted(self.everything(), key=key)]  # type: ignore[arg-type]
                found = [order.id for order in self.pages(self.max, Selection(sort=sort))]
                self.assertEqual(found, expected)

    def test_the_index_and_the_counters_agree_with_the_rows(self) -> None:
        self.connection.execute("INSERT INTO work_order_search (work_order_search, rank) VALUES ('integrity-check', 1)")
        work_order.restore(self.connection, self.anna, 5)
        counts = work_order.summary(self.connection, self.uma)
        for status in Status:
            for priority in Priority:
                alike = [
                    o
                    for o in (*self.everything(), work_order.get(self.connection, self.anna, 5))
                    if (o.status, o.priority) == (status, priority)
                ]
                own = [o for o in alike if o.requester == "uma"]
                self.assertEqual(counts.get((status, priority), (0, 0)), (len(alike), len(own)))


class CommentTest(DatabaseTestCase):
    def test_it_stands_in_the_history_and_counts_as_a_change(self) -> None:
        order = self.create(self.uma)
        self.connection.execute("UPDATE work_orders SET updated_at = '2020-01-01T00:00:00+00:00'")
        work_order.comment(self.connection, self.max, order.id, "  On my way \n soon ")
        entry = work_order.history(self.connection, self.uma, order.id)[-1]
        self.assertEqual((entry.field, entry.note), ("comment", "On my way \n soon"))
        self.assertGreater(work_order.get(self.connection, self.uma, order.id).updated_at.year, 2020)

    def test_nothing_and_more_than_ten_thousand_characters_are_refused(self) -> None:
        order = self.create(self.uma)
        for text in ("", "  ", "c" * 10_001):
            with self.assertRaises(InvalidInputError):
                work_order.comment(self.connection, self.uma, order.id, text)


class AssignTest(DatabaseTestCase):
    def assignee(self, order: WorkOrder) -> Optional[str]:
        return work_order.get(self.connection, self.anna, order.id).assignee

    def assign(self, username: str) -> WorkOrder:
        order = self.create(self.uma)
        work_order.assign(self.connection, self.anna, order, username)
        return work_order.get(self.connection, self.anna, order.id)

    def test_me_and_nobody_are_understood(self) -> None:
        order = self.assign("ME")
        self.assertEqual(order.assignee, "anna")
        work_order.assign(self.connection, self.max, order, "Nobody")
        self.assertIsNone(self.assignee(order))
        told = [(entry.old_value, entry.new_value) for entry in work_order.history(self.connection, self.uma, order.id)]
        self.assertEqual(told[1:], [("nobody", "anna"), ("anna", "nobody")])

    def test_only_an_active_manager_or_admin_is_an_assignee(self) -> None:
        users.deactivate(self.connection, self.anna, "max")
        for username in ("uma", "max", "ghost", "none"):
            with self.subTest(username=username), self.assertRaises(InvalidInputError):
                self.assign(username)

    def test_who_is_deactivated_or_demoted_loses_what_is_unfinished_with_a_history_row(self) -> None:
        leave: List[Callable[[], int]] = [
            lambda: users.deactivate(self.connection, self.anna, "max"),
            lambda: users.change_role(self.connection, self.anna, "max", users.Role.USER),
        ]
        for leaving in leave:
            first, second, finished = self.assign("max"), self.assign("max"), self.assign("max")
            work_order.change_status(self.connection, self.anna, finished, Status.RESOLVED)
            self.assertEqual(leaving(), 2)
            self.assertEqual([self.assignee(order) for order in (first, second, finished)], [None, None, "max"])
            entry = work_order.history(self.connection, self.anna, first.id)[-1]
            self.assertEqual((entry.username, entry.old_value, entry.new_value), ("anna", "max", "nobody"))
            reopened = work_order.get(self.connection, self.anna, finished.id)
            work_order.change_status(self.connection, self.anna, reopened, Status.OPEN)
            self.assertIsNone(self.assignee(finished))
            users.reactivate(self.connection, self.anna, "max") if leaving is leave[0] else None

    def test_what_is_restored_comes_back_without_an_assignee_who_has_left(self) -> None:
        order = self.assign("max")
        work_order.delete(self.connection, self.anna, order.id)
        users.deactivate(self.connection, self.anna, "max")
        work_order.restore(self.connection, self.anna, order.id)
        self.assertIsNone(self.assignee(order))

    def test_promoting_somebody_takes_nothing_away(self) -> None:
        order = self.assign("max")
        self.assertEqual(users.change_role(self.connection, self.anna, "max", users.Role.ADMIN), 0)
        self.assertEqual(self.assignee(order), "max")


class DueDateTest(DatabaseTestCase):
    def test_a_date_is_its_last_second_and_a_time_is_local(self) -> None:
        for text in ("2026-12-31", "2026-12-31 17:05"):
            due_date = work_order.valid_due_date(text)
            assert due_date
            self.assertEqual((due_date.tzinfo, work_order.local_time(due_date)), (timezone.utc, text))
        self.assertIsNone(work_order.valid_due_date("None"))

    def test_what_is_no_date_is_refused(self) -> None:
        for text in (
            "",
            "tomorrow",
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
                work_order.valid_due_date(text)

    def test_it_is_told_in_the_history_and_can_be_taken_back(self) -> None:
        order = self.create(self.uma)
        work_order.set_due_date(self.connection, self.max, order, DUE)
        order = work_order.get(self.connection, self.max, order.id)
        self.assertEqual(order.due_date, DUE)
        work_order.set_due_date(self.connection, self.max, order, None)
        told = [(entry.old_value, entry.new_value) for entry in work_order.history(self.connection, self.uma, order.id)]
        self.assertEqual(told[1:], [("none", "2026-12-31T12:00:00+00:00"), ("2026-12-31T12:00:00+00:00", "none")])

    def test_only_what_is_unfinished_is_overdue(self) -> None:
        order = self.create(self.uma)
        work_order.set_due_date(self.connection, self.max, order, datetime(2020, 1, 1, tzinfo=timezone.utc))
        self.assertTrue(work_order.get(self.connection, self.max, order.id).is_overdue)
        work_order.change_status(self.connection, self.max, order, Status.RESOLVED)
        self.assertFalse(work_order.get(self.connection, self.max, order.id).is_overdue)


class NewsTest(DatabaseTestCase):
    def news(self, session: Session) -> Tuple[int, List[Tuple[int, str]]]:
        number, latest = work_order.news(self.connection, session, 2)
        return number, [(order.id, entry.field) for order, entry in latest]

    def test_it_is_what_others_changed_on_ones_own_since_it_was_asked_last(self) -> None:
        first, second, third = (self.create(self.uma) for _ in range(3))
        self.create(self.ugo)
        work_order.comment(self.connection, self.uma, third.id, "by myself")
        self.assertEqual(self.news(self.uma), (0, []))
        work_order.comment(self.connection, self.max, first.id, "by max")
        work_order.change_status(self.connection, self.max, second, Status.ON_HOLD)
        work_order.edit_title(self.connection, self.max, first, "Another")
        self.assertEqual(self.news(self.uma), (2, [(1, "title"), (2, "status")]))
        self.assertEqual(self.news(self.uma), (0, []))
        self.assertEqual(self.news(self.ugo), (0, []))

    def test_what_one_is_assigned_counts_too_and_no_more_than_asked_for_comes(self) -> None:
        for _ in range(3):
            work_order.assign(self.connection, self.anna, self.create(self.uma), "max")
        number, latest = self.news(self.max)
        self.assertEqual((number, len(latest)), (3, 2))


class DeletedTest(DatabaseTestCase):
    def test_only_admins_see_and_restore(self) -> None:
        order = self.create(self.uma)
        work_order.delete(self.connection, self.anna, order.id)
        for session in (self.uma, self.max):
            for call in (
                lambda: work_order.list_deleted(self.connection, session, None, 10),  # noqa: B023
                lambda: work_order.get_deleted(self.connection, session, order.id),  # noqa: B023
                lambda: work_order.restore(self.connection, session, order.id),  # noqa: B023
            ):
                with self.assertRaises(users.PermissionDeniedError):
                    call()
        self.assertEqual(work_order.get_deleted(self.connection, self.anna, order.id).id, order.id)

    def test_what_is_restored_is_as_it_was_and_both_are_on_record(self) -> None:
        order = self.create(self.uma, "As it was")
        work_order.delete(self.connection, self.anna, order.id)
        work_order.restore(self.connection, self.anna, order.id)
        self.assertEqual(work_order.get(self.connection, self.uma, order.id).title, "As it was")
        fields = [entry.field for entry in work_order.history(self.connection, self.uma, order.id)]
        self.assertEqual(fields, ["created", "deleted", "restored"])
        events = self.rows("SELECT event, subject FROM audit_log ORDER BY id DESC LIMIT 2")
        self.assertEqual(events, [("work order restored", "#1"), ("work order deleted", "#1")])

    def test_what_is_not_deleted_cannot_be_restored(self) -> None:
        self.create(self.uma)
        for number in (1, 2):
            with self.assertRaises(NotFoundError):
                work_order.restore(self.connection, self.anna, number)

    def test_the_list_goes_from_the_latest_deletion_by_pages(self) -> None:
        for number in range(1, 6):
            self.create(self.uma)
            work_order.delete(self.connection, self.anna, number)
        first = work_order.list_deleted(self.connection, self.anna, None, 3)
        rest = work_order.list_deleted(self.connection, self.anna, first[-1], 3)
        self.assertEqual([order.id for order in (*first, *rest)], [5, 4, 3, 2, 1])


if __name__ == "__main__":
    unittest.main()
