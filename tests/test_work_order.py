"""Work orders: each role against each action, what is refused, and what the history tells."""

import unittest
from typing import Callable, Dict, List, Tuple

from support import DatabaseTestCase

import users
import work_order
from database import ApplicationError
from users import InvalidInputError, Session
from work_order import ConflictError, NotFoundError, Priority, Status, WorkOrder

Change = Callable[[Session, WorkOrder], object]


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
        self.assert_rights(
            self.uma, self.uma, {"requester": "PermissionDeniedError", "delete": "PermissionDeniedError"}
        )

    def test_a_user_on_ones_own_that_is_finished(self) -> None:
        refused = dict.fromkeys(("title", "description", "priority", "requester", "delete"), "PermissionDeniedError")
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
                with self.subTest(action=name, session=session):
                    self.assertEqual(self.refusal(session, change, order), "NotFoundError")

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
            orders = work_order.list_after(self.connection, session, None, set(), 10)
            self.assertEqual([order.id for order in orders], expected)
            orders = work_order.list_these(self.connection, session, [mine, others, 99])
            self.assertEqual([order.id for order in orders], expected)


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
            lambda: work_order.list_after(self.connection, mia, None, set(), 10),
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
        orders = work_order.list_after(self.connection, self.uma, None, set(), 10)
        self.assertEqual([order.id for order in orders], [high.id, high_too.id, low.id, critical.id])

    def test_it_goes_on_after_the_key_and_leaves_out_what_was_seen(self) -> None:
        orders = [self.create(self.uma) for _ in range(5)]
        rest = work_order.list_after(self.connection, self.uma, orders[1].key, {orders[3].id}, 10)
        self.assertEqual([order.id for order in rest], [orders[2].id, orders[4].id])

    def test_no_page_reads_the_whole_table_or_sorts(self) -> None:
        statements: List[str] = []
        self.connection.set_trace_callback(statements.append)
        for session in (self.uma, self.max):
            work_order.list_after(self.connection, session, None, set(), 10)
            work_order.list_after(self.connection, session, (0, "", 0), set(), 10)
        self.connection.set_trace_callback(None)
        lists = [statement for statement in statements if "ORDER BY" in statement]
        self.assertEqual(len(lists), 4)
        for statement in lists:
            plan = " ".join(str(row[3]) for row in self.rows(f"EXPLAIN QUERY PLAN {statement}"))
            self.assertRegex(plan, "(SEARCH|SCAN) work_orders USING INDEX")  # read in its order, up to the limit
            self.assertNotIn("TEMP B-TREE", plan)


if __name__ == "__main__":
    unittest.main()
