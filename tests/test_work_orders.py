"""What is written of work orders: created, changed, taken, commented, deleted, restored, and what follows from it."""

import random
import unittest
from datetime import datetime, timedelta, timezone
from typing import Any, Dict, List, NamedTuple, Optional, Tuple

from support import PASSWORD, DatabaseTestCase, needs_terminal, plain

import database
import users
import work_order
from users import NOBODY, ConflictError, InvalidInputError, PermissionDeniedError, Role, Session
from work_order import (
    ASSIGNEE,
    CATEGORY,
    DESCRIPTION,
    DUE_DATE,
    PRIORITY,
    REQUESTER,
    STATUS,
    TITLE,
    Draft,
    DueBy,
    Field,
    Filter,
    NotFoundError,
    Priority,
    Query,
    ServiceTarget,
    Status,
    WorkOrder,
)

DUE = datetime(2031, 12, 31, 12, tzinfo=timezone.utc)
LONG_AGO = datetime(2020, 1, 1, tzinfo=timezone.utc)


class WorkOrderTestCase(DatabaseTestCase):
    def history(self, work_order_id: int = 1) -> List[Tuple[str, str, Optional[str], Optional[str], str]]:
        """Return who changed which field from what to what with which note, oldest first."""
        entries = reversed(work_order.history(self.anna, work_order_id))
        return [(entry.username, entry.field, entry.old_value, entry.new_value, entry.note) for entry in entries]


# Creating


class CreateTest(WorkOrderTestCase):
    def test_ids_start_at_1_and_are_never_given_again(self) -> None:
        first = self.create(self.uma)
        work_order.delete(self.anna, first.id)
        self.assertEqual((first.id, self.create(self.uma).id), (1, 2))

    def test_it_is_open_and_ones_own_and_its_space_is_trimmed(self) -> None:
        shown = self.create(self.uma, "  Printer  ", "\n text \n")
        self.assertEqual((shown.title, shown.description, shown.requester), ("Printer", "text", "uma"))
        self.assertEqual((shown.status, shown.priority, shown.assignee), (Status.OPEN, Priority.MEDIUM, None))
        self.assertEqual(self.history(), [("uma", "created", None, None, "")])

    def test_titles_and_texts_outside_their_lengths_are_refused(self) -> None:
        self.create(self.uma, "x" * 120, "d" * 10_000)
        for title, description in (("", ""), ("   ", ""), ("x" * 121, ""), ("x", "d" * 10_001), ("a\0b", "")):
            with self.assertRaises(InvalidInputError):
                self.create(self.uma, title, description)
        self.assertEqual(self.rows("SELECT count(*) FROM work_orders"), [(1,)])

    def test_a_text_is_stored_composed_and_as_it_is(self) -> None:
        for text, stored in (("Cafe\u0301", "Caf\u00e9"), ("'); DROP TABLE users; --", "'); DROP TABLE users; --")):
            shown = self.create(self.uma, text, text)
            self.assertEqual((shown.title, shown.description), (stored, stored))
        self.assertEqual(self.rows("SELECT count(*) FROM users"), [(4,)])

    def test_a_manager_creates_one_for_somebody_and_gives_it_to_somebody(self) -> None:
        shown = self.create(self.max, category="Hardware", requester="ugo", assignee="anna")
        self.assertEqual((shown.requester, shown.assignee, shown.category), ("ugo", "anna", "Hardware"))
        self.assertEqual(self.history(), [("max", "created", None, None, "")])

    def test_a_user_names_no_requester_no_assignee_and_no_new_category(self) -> None:
        for draft in (Draft("t", requester="ugo"), Draft("t", requester="ghost"), Draft("t", assignee="max")):
            with self.subTest(draft=draft), self.assertRaises(PermissionDeniedError):
                work_order.create(self.uma, draft)
        with self.assertRaises(InvalidInputError):
            work_order.create(self.uma, Draft("t", category="New"))
        work_order.create(self.uma, Draft("t", requester="uma"))
        self.assertEqual(self.rows("SELECT count(*) FROM work_orders"), [(1,)])

    def test_people_who_cannot_be_it_are_refused(self) -> None:
        work_order.deactivate(self.anna, "ugo")
        for draft in (
            Draft("t", requester="ugo"),
            Draft("t", requester="ghost"),
            Draft("t", assignee="uma"),
            Draft("t", assignee="ghost"),
        ):
            with self.subTest(draft=draft), self.assertRaises(InvalidInputError):
                work_order.create(self.max, draft)
        self.assertEqual(self.rows("SELECT count(*) FROM work_orders"), [(0,)])


# Changing


class ChangeTest(WorkOrderTestCase):
    def test_any_status_follows_any_other_and_only_resolved_has_a_time_of_resolution(self) -> None:
        for first in Status:
            for second in Status:
                if first is not second:
                    shown = self.create(self.uma)
                    if first is not Status.OPEN:
                        self.change_status(self.max, shown.id, first)
                    shown = self.change_status(self.max, shown.id, second)
                    self.assertEqual((shown.status, shown.resolved_at is not None), (second, second is Status.RESOLVED))

    def test_a_status_that_stands_is_refused(self) -> None:
        shown = self.create(self.uma)
        with self.assertRaisesRegex(InvalidInputError, "^The status of work order #1 is already Open.$"):
            work_order.change(self.max, shown, STATUS, Status.OPEN)

    def test_saving_what_stands_adds_nothing_to_the_history(self) -> None:
        shown = self.create(self.uma, "Same", "Same", Priority.LOW)
        self.assertFalse(work_order.change(self.uma, shown, TITLE, " Same "))
        self.assertFalse(work_order.change(self.uma, shown, DESCRIPTION, "Same"))
        self.assertFalse(work_order.change(self.uma, shown, PRIORITY, Priority.LOW))
        self.assertFalse(work_order.change(self.uma, shown, CATEGORY, None))
        self.assertFalse(work_order.change(self.max, shown, ASSIGNEE, None))
        self.assertFalse(work_order.change(self.max, shown, REQUESTER, "uma"))
        self.assertEqual(self.get(self.uma, 1), shown)
        self.assertEqual(len(self.history()), 1)

    def test_a_note_goes_with_a_status_an_assignee_and_a_requester(self) -> None:
        self.create(self.uma)
        self.change(self.max, 1, STATUS, Status.ON_HOLD, " waiting for a part\n")
        self.change(self.max, 1, ASSIGNEE, "anna", "please look first")
        self.change(self.max, 1, REQUESTER, "ugo", "it is his")
        self.assertEqual(
            self.history()[1:],
            [
                ("max", "status", "Open", "On Hold", "waiting for a part"),
                ("max", "assignee", "nobody", "anna", "please look first"),
                ("max", "requester", "uma", "ugo", "it is his"),
            ],
        )

    def test_a_note_above_ten_thousand_characters_is_refused(self) -> None:
        shown = self.create(self.uma)
        with self.assertRaises(InvalidInputError):
            work_order.change(self.max, shown, STATUS, Status.ON_HOLD, "n" * 10_001)

    def test_the_time_of_a_change_is_the_work_orders(self) -> None:
        self.create(self.uma)
        self.pass_time(days=1)
        self.change(self.max, 1, STATUS, Status.RESOLVED)
        times = "SELECT updated_at = changed_at, resolved_at = changed_at, created_at < changed_at"
        self.assertEqual(self.rows(f"{times} FROM work_orders, work_order_history WHERE field = 'status'"), [(1, 1, 1)])

    def test_assignees_and_requesters_are_those_who_can_be(self) -> None:
        shown = self.create(self.uma)
        work_order.deactivate(self.anna, "max")
        work_order.deactivate(self.anna, "ugo")
        wrong: List[Tuple[Field[Any], Tuple[str, ...]]] = [
            (ASSIGNEE, ("uma", "max", "ghost")),
            (REQUESTER, ("ugo", "ghost")),
        ]
        for field, usernames in wrong:
            for username in usernames:
                with self.subTest(field=field.name, username=username), self.assertRaises(InvalidInputError):
                    work_order.change(self.anna, shown, field, username)
        self.assertEqual(self.get(self.anna, 1), shown)

    def test_a_category_keeps_its_spelling_and_is_there_as_long_as_a_work_order_has_it(self) -> None:
        for _ in range(2):
            self.create(self.uma)
        self.change(self.max, 1, CATEGORY, "Hardware")
        self.assertEqual(self.change(self.uma, 2, CATEGORY, "HARDWARE").category, "Hardware")
        self.change(self.max, 1, CATEGORY, None)
        self.assertEqual(work_order.categories(self.uma), ["Hardware"])
        work_order.delete(self.anna, 2)
        self.assertEqual(work_order.categories(self.uma), [])

    def test_a_category_outside_1_to_40_characters_and_a_reserved_one_are_refused(self) -> None:
        shown = self.create(self.uma)
        for name in ("", "x" * 41, "none", "ANY", "(all)", "a\x1bb"):
            with self.subTest(name=name), self.assertRaises(InvalidInputError):
                work_order.change(self.max, shown, CATEGORY, name)


class CollisionTest(WorkOrderTestCase):
    def test_what_somebody_else_changed_is_not_overwritten_and_is_named(self) -> None:
        shown = self.create(self.uma, "First", "First")
        changes: List[Tuple[Field[Any], Any, Any]] = [
            (TITLE, "Second", "Third"),
            (DESCRIPTION, "Second", "Third"),
            (PRIORITY, Priority.HIGH, Priority.LOW),
            (CATEGORY, "Hardware", "Network"),
            (DUE_DATE, DUE, None),
            (ASSIGNEE, "max", "anna"),
            (STATUS, Status.ON_HOLD, Status.RESOLVED),
            (REQUESTER, "ugo", "max"),
        ]
        for field, value, _ in changes:
            self.assertTrue(work_order.change(self.max, shown, field, value), field.name)
        before = self.get(self.anna, 1)
        for field, value, other in changes:
            words = (
                f'^The {field.name} is now "{field.show(value)}": max changed it in the meantime. Nothing was saved.$'
            )
            with self.subTest(field=field.name), self.assertRaisesRegex(ConflictError, words):
                work_order.change(self.anna, shown, field, other)
        self.assertEqual(self.get(self.anna, 1), before)

    def test_changes_of_other_fields_do_not_get_in_the_way(self) -> None:
        shown = self.create(self.uma)
        self.change(self.max, 1, PRIORITY, Priority.HIGH)
        work_order.comment(self.uma, 1, "Any news?")
        self.assertTrue(work_order.change(self.anna, shown, TITLE, "Another"))
        self.assertTrue(work_order.change(self.uma, shown, DESCRIPTION, "More"))

    def test_a_change_by_another_program_is_a_conflict_too(self) -> None:
        shown = self.create(self.uma)
        self.connection.execute("UPDATE work_orders SET title = 'Other'")
        with self.assertRaisesRegex(ConflictError, "another program changed it"):
            work_order.change(self.uma, shown, TITLE, "Mine")

    def test_a_refused_change_leaves_nothing(self) -> None:
        shown = self.create(self.uma)
        self.connection.execute(
            "CREATE TRIGGER refuse BEFORE UPDATE OF status ON work_orders BEGIN SELECT RAISE(ABORT, 'no'); END"
        )
        with self.assertRaises(database.EXPECTED_FAULTS):
            work_order.take(self.max, shown)
        self.assertEqual(self.get(self.max, 1), shown)
        self.assertEqual(len(self.history()), 1)


class TakeTest(WorkOrderTestCase):
    def test_it_is_mine_and_in_progress_with_two_rows(self) -> None:
        self.assertTrue(work_order.take(self.max, self.create(self.uma), "I know this one"))
        shown = self.get(self.max, 1)
        self.assertEqual((shown.assignee, shown.status), ("max", Status.IN_PROGRESS))
        self.assertEqual(
            self.history()[1:],
            [("max", "assignee", "nobody", "max", "I know this one"), ("max", "status", "Open", "In Progress", "")],
        )

    def test_what_is_open_and_mine_is_started_and_what_is_not_open_keeps_its_status(self) -> None:
        for _ in range(2):
            self.create(self.uma)
        self.assertTrue(work_order.take(self.max, self.change(self.max, 1, ASSIGNEE, "max")))
        self.assertTrue(work_order.take(self.max, self.change(self.max, 2, STATUS, Status.ON_HOLD)))
        self.assertEqual(self.history(1)[2:], [("max", "status", "Open", "In Progress", "")])
        self.assertEqual(self.history(2)[2:], [("max", "assignee", "nobody", "max", "")])
        self.assertFalse(work_order.take(self.max, self.get(self.max, 1)))

    def test_what_somebody_puts_on_hold_meanwhile_is_taken_and_stays_so(self) -> None:
        shown = self.create(self.uma)
        self.change_status(self.anna, 1, Status.ON_HOLD)
        self.assertTrue(work_order.take(self.max, shown))
        self.assertEqual(self.history()[2:], [("max", "assignee", "nobody", "max", "")])

    def test_what_somebody_takes_meanwhile_is_a_conflict(self) -> None:
        shown = self.create(self.uma)
        work_order.take(self.max, shown)
        with self.assertRaisesRegex(ConflictError, '(assignee|status) is now ".*": max changed it'):
            work_order.take(self.anna, shown)
        self.assertEqual(self.get(self.anna, 1).assignee, "max")


class CommentTest(WorkOrderTestCase):
    def test_it_stands_in_the_history_and_counts_as_a_change(self) -> None:
        self.create(self.uma)
        self.pass_time(days=1)
        before = self.get(self.uma, 1)
        work_order.comment(self.uma, 1, " Any news? ")
        self.assertEqual(self.history()[1:], [("uma", "comment", None, None, "Any news?")])
        self.assertGreater(self.get(self.uma, 1).updated_at, before.updated_at)

    def test_nothing_and_more_than_ten_thousand_characters_are_refused(self) -> None:
        self.create(self.uma)
        for text in ("", "  \n", "x" * 10_001, "a\0b"):
            with self.assertRaises(InvalidInputError):
                work_order.comment(self.uma, 1, text)
        self.assertEqual(len(self.history()), 1)

    def test_the_details_have_the_latest_comments_and_notes_newest_first(self) -> None:
        self.create(self.uma)
        for number in range(25):
            work_order.comment(self.uma, 1, f"{number}")
        self.change(self.max, 1, STATUS, Status.ON_HOLD, "a note")
        notes = [entry.note for entry in work_order.get(self.uma, 1).notes]
        self.assertEqual(notes[:3], ["a note", "24", "23"])
        self.assertEqual(len(notes), work_order.LATEST_NOTES)


class BoundedNotesTest(WorkOrderTestCase):
    def fill(self) -> WorkOrder:
        """Return a work order with 200,000 characters of comments and notes."""
        shown = self.create(self.uma)
        for number in range(19):
            work_order.comment(self.uma, shown.id, f"{number} " + "x" * (9_999 - len(str(number))))
        shown = self.change(self.uma, shown.id, STATUS, Status.ON_HOLD, "y " * 4_999 + "zz")
        self.assertEqual(self.rows("SELECT sum(length(note)) FROM work_order_history"), [(200_000,)])
        return shown

    def test_one_character_more_is_refused_as_a_comment_and_as_a_note_and_work_goes_on_without(self) -> None:
        shown = self.fill()
        sentence = "would have more than 200,000 characters; continue in a new work order"
        with self.assertRaisesRegex(InvalidInputError, sentence):
            work_order.comment(self.uma, shown.id, "z")
        with self.assertRaisesRegex(InvalidInputError, sentence):
            work_order.change(self.uma, shown, STATUS, Status.OPEN, "z")
        self.change(self.uma, shown.id, STATUS, Status.RESOLVED)
        work_order.comment(self.uma, self.create(self.uma).id, "z" * 10_000)
        self.assertEqual(database.check(self.connection), [])

    def test_a_short_note_counts_as_a_hundred_characters(self) -> None:
        self.create(self.uma)
        with database.transaction(self.connection):
            for note in (*"x" * 100, *["y" * 10_000] * 19):
                users.record_change(self.connection, 1, 3, database.now(), "comment", note=note)
            database.refresh_derived(self.connection, 1)
        with self.assertRaisesRegex(InvalidInputError, "continue in a new work order"):
            work_order.comment(self.uma, 1, "x")


# Deleting and restoring


class DeletedTest(WorkOrderTestCase):
    def test_a_finished_one_keeps_an_assignee_who_has_left(self) -> None:
        self.create(self.uma)
        self.change(self.anna, 1, ASSIGNEE, "max")
        self.change(self.anna, 1, STATUS, Status.RESOLVED)
        work_order.delete(self.anna, 1)
        work_order.deactivate(self.anna, "max")
        work_order.restore(self.anna, 1)
        self.assertEqual(self.get(self.anna, 1).assignee, "max")

    def test_only_admins_delete_see_and_restore(self) -> None:
        self.create(self.uma)
        for session in (self.uma, self.max):
            with self.assertRaises(PermissionDeniedError):
                work_order.delete(session, 1)
        work_order.delete(self.anna, 1)
        for session in (self.uma, self.max):
            for call in (
                lambda: work_order.list_deleted(session, None, 10),  # noqa: B023
                lambda: work_order.get_deleted(session, 1),  # noqa: B023
                lambda: work_order.restore(session, 1),  # noqa: B023
            ):
                with self.assertRaises(PermissionDeniedError):
                    call()
        self.assertEqual(work_order.get_deleted(self.anna, 1).id, 1)

    def test_it_exists_for_nobody_and_is_found_nowhere(self) -> None:
        self.create(self.uma, "Gone")
        work_order.delete(self.anna, 1)
        for session in (self.uma, self.max, self.anna):
            with self.assertRaises(NotFoundError):
                work_order.get(session, 1)
            with self.assertRaises(NotFoundError):
                work_order.comment(session, 1, "still there?")
            self.assertEqual(self.ids(session), [])
            self.assertEqual(self.ids(session, work_order.search(session, "gone")), [])

    def test_what_is_restored_is_as_it_was_and_both_are_on_record(self) -> None:
        shown = self.create(self.uma, "As it was")
        work_order.delete(self.anna, 1)
        work_order.restore(self.anna, 1)
        self.assertEqual(self.get(self.uma, 1)._replace(updated_at=shown.updated_at), shown)
        self.assertEqual([entry[1] for entry in self.history()], ["created", "deleted", "restored"])
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


# People who leave


class HandOverTest(WorkOrderTestCase):
    def setUp(self) -> None:
        super().setUp()
        for number, status in enumerate((Status.OPEN, Status.ON_HOLD, Status.RESOLVED), 1):
            self.create(self.uma)
            self.change(self.anna, number, ASSIGNEE, "max")
            if status is not Status.OPEN:
                self.change(self.anna, number, STATUS, status)

    def assignees(self) -> List[Optional[str]]:
        return [self.get(self.anna, number).assignee for number in (1, 2, 3)]

    def test_an_admin_can_close_their_own_account_if_there_is_another(self) -> None:
        self.connection.execute("UPDATE users SET role = 'admin' WHERE username = 'max'")
        self.assertEqual(work_order.deactivate(self.max, "max", "anna"), 2)
        self.assertFalse(users.find(self.connection, "max").is_active)
        self.assertEqual(self.assignees(), ["anna", "anna", "max"])

    def test_who_leaves_cannot_take_over(self) -> None:
        answers = ("Manage users", "Deactivate", "max", "max", "nobody", "yes")
        output = self.run_as("anna", *answers)
        self.assertIn("Error: max cannot take over from themselves", output)
        self.assertIn("User max deactivated.", output)

    def test_who_is_deactivated_loses_what_is_unfinished_with_a_history_row(self) -> None:
        self.assertEqual(work_order.deactivate(self.anna, "max"), 2)
        self.assertEqual(self.assignees(), [None, None, "max"])
        self.assertEqual(self.history()[-1], ("anna", "assignee", "max", "nobody", ""))

    def test_who_is_made_a_user_does_too_and_who_is_promoted_does_not(self) -> None:
        self.assertEqual(work_order.change_role(self.anna, "max", Role.ADMIN), 0)
        self.assertEqual(self.assignees(), ["max"] * 3)
        self.assertEqual(work_order.change_role(self.anna, "max", Role.USER), 2)
        self.assertEqual(self.assignees(), [None, None, "max"])

    def test_a_successor_takes_over(self) -> None:
        self.assertEqual(work_order.deactivate(self.anna, "max", "anna"), 2)
        self.assertEqual(self.assignees(), ["anna", "anna", "max"])
        self.assertEqual(self.history()[-1], ("anna", "assignee", "max", "anna", ""))

    def test_nobody_who_cannot_have_them_takes_over_and_nothing_is_done(self) -> None:
        for successor in ("uma", "ghost", "max"):
            with self.subTest(successor=successor), self.assertRaises(InvalidInputError):
                work_order.deactivate(self.anna, "max", successor)
        self.assertEqual(self.assignees(), ["max"] * 3)
        self.assertTrue(users.find(self.connection, "max").is_active)

    def test_what_is_reopened_or_restored_comes_back_without_an_assignee_who_has_left(self) -> None:
        work_order.delete(self.anna, 1)
        work_order.deactivate(self.anna, "max")
        self.assertIsNone(self.change_status(self.anna, 3, Status.OPEN).assignee)
        work_order.restore(self.anna, 1)
        self.assertIsNone(self.get(self.anna, 1).assignee)
        self.assertEqual(self.history()[-1], ("anna", "assignee", "max", "nobody", ""))


# Many at once


class ChangeManyTest(WorkOrderTestCase):
    def setUp(self) -> None:
        super().setUp()
        for number in range(1, 6):
            self.create(self.uma, f"Number {number}")

    def change_many(self, ids: List[int], what: str, value: Any, note: str = "") -> str:
        return work_order.change_many(self.max, work_order.plan_changes(self.max, ids, what, value, note))

    def test_ids_and_ranges_select_of_the_list(self) -> None:
        newest = Query(sort=work_order.Sort.NEWEST)
        self.assertEqual(work_order.select_ids(self.max, newest), [5, 4, 3, 2, 1])
        for text, expected in (("3", [3]), ("#2 4-9", [2, 4, 5]), ("1,1 2", [1, 2]), ("2-3, 5", [2, 3, 5])):
            with self.subTest(text=text):
                self.assertEqual(sorted(work_order.select_ids(self.max, newest, text)), expected)

    def test_a_wrong_separator_among_many_ids_is_refused_at_once(self) -> None:
        text = " ".join(map(str, range(1000, 1400))) + "; 7"
        with self.assertRaisesRegex(InvalidInputError, "Type IDs and ranges"):
            work_order.select_ids(self.max, Query(), text)

    def test_one_without_room_for_a_note_does_not_stop_the_others(self) -> None:
        for _ in range(20):
            work_order.comment(self.max, 2, "x" * 9_950)
        self.assertEqual(
            self.change_many([1, 2, 3], "comment", None, "y" * 2_000), "2 changed, #2 has no room for more notes."
        )

    def test_where_all_are_gone_it_says_so_instead_of_asking(self) -> None:
        work_order.delete(self.anna, 1)
        with self.assertRaisesRegex(InvalidInputError, "have been deleted"):
            work_order.plan_changes(self.max, [1], "status", Status.RESOLVED)

    def test_what_is_not_in_the_list_and_no_id_are_refused(self) -> None:
        self.change(self.max, 3, PRIORITY, Priority.HIGH)
        high = Query(Filter(priority=Priority.HIGH))
        self.assertEqual(work_order.select_ids(self.max, high, "1-5"), [3])
        for text in ("1", "9", "x", "3-", "4-2", "4-5"):
            with self.subTest(text=text), self.assertRaises(InvalidInputError):
                work_order.select_ids(self.max, high, text)

    def test_what_will_happen_is_said_and_then_what_happened(self) -> None:
        self.change(self.max, 2, STATUS, Status.IN_PROGRESS)
        self.change(self.max, 3, STATUS, Status.CANCELLED)
        changes = work_order.plan_changes(self.max, [1, 2, 3], STATUS.name, Status.CANCELLED, "Duplicates")
        for words in ("3 work orders", "Cancelled", "1 Open", "1 In Progress"):
            self.assertIn(words, changes.sentence)
        self.assertEqual(self.get(self.max, 1).status, Status.OPEN)
        said = work_order.change_many(self.max, changes)
        self.assertEqual(said, "2 changed, 1 was Cancelled already.")
        self.assertEqual(self.history(2)[-1], ("max", "status", "In Progress", "Cancelled", "Duplicates"))
        self.assertEqual(self.get(self.max, 4).status, Status.OPEN)

    def test_what_others_changed_or_deleted_meanwhile_stays_and_is_named(self) -> None:
        changes = work_order.plan_changes(self.max, [1, 2, 3], PRIORITY.name, Priority.HIGH)
        self.change(self.anna, 2, PRIORITY, Priority.LOW)
        work_order.delete(self.anna, 3)
        said = work_order.change_many(self.max, changes)
        self.assertEqual(said, "1 changed, #2 was changed by anna, #3 was deleted.")
        self.assertEqual(self.get(self.max, 2).priority, Priority.LOW)

    def test_each_field_and_a_comment(self) -> None:
        for field, value in ((ASSIGNEE, "anna"), (PRIORITY, Priority.LOW), (CATEGORY, "Hardware"), (DUE_DATE, DUE)):
            with self.subTest(field=field.name):
                self.assertEqual(self.change_many([1, 2], field.name, value), "2 changed.")
                self.assertEqual([field.read(self.get(self.max, number)) for number in (1, 2)], [value] * 2)
        self.assertEqual(self.change_many([1, 2], "comment", None, "To all of you"), "2 changed.")
        self.assertEqual(self.history(2)[-1], ("max", "comment", None, None, "To all of you"))

    def test_it_is_one_transaction(self) -> None:
        with self.assertRaises(InvalidInputError):
            self.change_many([1, 2], ASSIGNEE.name, "uma")
        work_order.comment(self.uma, 3, "x")
        self.connection.execute(
            "CREATE TRIGGER refuse BEFORE UPDATE ON work_orders WHEN new.id = 3 BEGIN SELECT RAISE(ABORT, 'no'); END"
        )
        with self.assertRaises(database.EXPECTED_FAULTS):
            self.change_many([1, 2, 3], PRIORITY.name, Priority.HIGH)
        self.assertEqual([self.get(self.max, number).priority for number in (1, 2, 3)], [Priority.MEDIUM] * 3)

    def test_users_may_not(self) -> None:
        changes = work_order.plan_changes(self.max, [1], PRIORITY.name, Priority.HIGH)
        for call in (
            lambda: work_order.select_ids(self.uma, Query()),
            lambda: work_order.plan_changes(self.uma, [1], PRIORITY.name, Priority.HIGH),
            lambda: work_order.change_many(self.uma, changes),
        ):
            with self.assertRaises(PermissionDeniedError):
                call()


# History


class HistoryTest(WorkOrderTestCase):
    def test_it_is_read_by_parts_of_which_each_goes_on_after_the_last_entry(self) -> None:
        self.create(self.uma)
        for number in range(5):
            work_order.comment(self.uma, 1, f"{number}")
        first = work_order.history(self.uma, 1, limit=4)
        self.assertEqual([entry.note for entry in first], ["4", "3", "2", "1"])
        rest = work_order.history(self.uma, 1, first[-1], 4)
        self.assertEqual([(entry.field, entry.note) for entry in rest], [("comment", "0"), ("created", "")])

    def test_admins_alone_read_that_of_a_deleted_one(self) -> None:
        self.create(self.uma)
        work_order.delete(self.anna, 1)
        self.assertEqual(len(work_order.history(self.anna, 1)), 2)
        for session in (self.uma, self.max):
            with self.assertRaises(NotFoundError):
                work_order.history(session, 1)


class ChangedByOthersTest(WorkOrderTestCase):
    def changes(self, session: Session) -> Dict[int, List[str]]:
        """Return what the list has, as it is when it is opened, by work order."""
        count = work_order.my_work(session).changed
        page = work_order.find(session, work_order.open_changes(session), None, 10)
        self.assertEqual((page.total, set(page.below)), (count, {row.id for row in page.work_orders}))
        return {number: [text.split("  ")[1] for text in texts] for number, texts in page.below.items()}

    def test_it_is_what_others_changed_on_ones_own_since_one_last_looked(self) -> None:
        for session in (self.uma, self.uma, self.uma, self.ugo):
            self.create(session)
        work_order.comment(self.uma, 3, "by myself")
        self.assertEqual(self.changes(self.uma), {})
        work_order.comment(self.max, 1, "by max")
        self.change(self.max, 2, STATUS, Status.ON_HOLD)
        self.change(self.max, 1, TITLE, "Another")
        texts = self.changes(self.uma)
        self.assertEqual(sorted(texts), [1, 2])
        self.assertIn('title from "Printer jams" to "Another"', texts[1][0])
        self.assertIn("by max", texts[1][1])
        self.assertEqual((self.changes(self.uma), self.changes(self.ugo)), ({}, {}))

    def test_logging_in_makes_nothing_seen(self) -> None:
        self.create(self.uma)
        work_order.comment(self.max, 1, "by max")
        for _ in range(2):
            uma = users.log_in(self.connection, "uma", PASSWORD)
            self.assertEqual(work_order.my_work(uma).changed, 1)

    def test_an_open_list_keeps_its_rows_and_what_comes_then_is_in_the_next(self) -> None:
        self.create(self.uma)
        work_order.comment(self.max, 1, "first")
        query = work_order.open_changes(self.uma)
        work_order.comment(self.max, 1, "second")
        self.assertEqual(self.ids(self.uma, query), [1])
        (texts,) = work_order.find(self.uma, query, None, 10).below.values()
        self.assertIn("first", "".join(texts))
        self.assertNotIn("second", "".join(texts))
        self.assertIn("second", "".join(self.changes(self.uma)[1]))

    def test_what_one_is_assigned_counts_too_and_what_is_taken_from_one(self) -> None:
        for _ in range(3):
            self.create(self.uma)
        self.change(self.anna, 2, ASSIGNEE, "max")
        self.changes(self.max)
        self.change(self.anna, 1, ASSIGNEE, "max")
        work_order.take(self.anna, self.get(self.anna, 2))
        work_order.comment(self.anna, 3, "none of his")
        self.assertEqual(sorted(self.changes(self.max)), [1, 2])

    def test_what_others_changed_while_one_had_it_is_listed_after_it_was_given_away(self) -> None:
        self.create(self.uma)
        self.change(self.anna, 1, ASSIGNEE, "max")
        work_order.open_changes(self.max)
        work_order.comment(self.uma, 1, "Any news?")
        self.change(self.max, 1, ASSIGNEE, "anna")
        self.assertEqual(work_order.my_work(self.max).changed, 1)

    def test_what_one_reassigned_or_changed_oneself_was_not_changed_by_others(self) -> None:
        self.create(self.uma)
        for assignee in ("max", "anna"):
            self.change(self.max, 1, ASSIGNEE, assignee)
        self.create(self.max)
        self.change(self.max, 2, PRIORITY, Priority.HIGH)
        self.assertEqual(work_order.my_work(self.max).changed, 0)
        self.assertEqual(work_order.my_work(self.anna).changed, 1)

    def test_to_a_user_nothing_of_somebody_elses_has_changed(self) -> None:
        self.create(self.uma)
        self.change(self.anna, 1, ASSIGNEE, "max")
        work_order.change_role(self.anna, "max", Role.USER)
        work_order.comment(self.anna, 1, "no longer his")
        self.assertEqual(self.changes(self.max), {})

    def test_of_finished_ones_it_is_what_was_changed_within_90_days(self) -> None:
        for number in (1, 2):
            self.create(self.uma)
            work_order.comment(self.max, number, "by max")
        self.change(self.uma, 2, STATUS, Status.RESOLVED)
        self.pass_time(days=91)
        self.assertEqual(self.ids(self.uma, work_order.open_changes(self.uma)), [1])

    def test_of_hundreds_of_changes_three_are_shown(self) -> None:
        self.create(self.uma)
        for number in range(50):
            work_order.comment(self.max, 1, f"{number}")
        texts = work_order.find(self.uma, work_order.open_changes(self.uma), None, 10).below[1]
        self.assertEqual((len(texts), texts[-1]), (4, "and 47 more: Show history"))


# Service targets


class TargetTest(WorkOrderTestCase):
    """Medium: response in 4 hours and resolution in 24; High: resolution in 8."""

    def setUp(self) -> None:
        super().setUp()
        for target in (ServiceTarget(Priority.MEDIUM, 4, 24), ServiceTarget(Priority.HIGH, None, 8)):
            work_order.set_service_target(self.anna, ServiceTarget(target.priority), target)

    def due(self, number: int = 1) -> Tuple[Optional[float], Optional[DueBy]]:
        """Return in how many hours from its creation the work order is due, and what has set that."""
        shown = self.get(self.max, number)
        seconds = (shown.due_at - shown.created_at).total_seconds() if shown.due_at else None
        return seconds and round(seconds / 3600, 1), shown.due_by

    def test_a_new_work_order_is_due_by_the_target_of_its_priority(self) -> None:
        self.assertEqual(self.create(self.uma).response_hours, 4)
        self.assertEqual(self.due(), (24, DueBy.TARGET))
        self.create(self.uma, priority=Priority.LOW)
        self.assertEqual(self.due(2), (None, None))

    def test_a_change_of_the_targets_moves_nothing(self) -> None:
        self.create(self.uma)
        old, new = ServiceTarget(Priority.MEDIUM, 4, 24), ServiceTarget(Priority.MEDIUM, 1, 1)
        self.assertTrue(work_order.set_service_target(self.anna, old, new))
        self.assertEqual(self.due(), (24, DueBy.TARGET))

    def test_another_priority_moves_it_to_its_own_target_from_the_creation_on_with_a_history_row(self) -> None:
        self.create(self.uma)
        self.pass_time(hours=3)
        self.assertIsNone(self.change(self.max, 1, PRIORITY, Priority.HIGH).response_hours)
        self.assertEqual(self.due(), (8, DueBy.TARGET))
        self.assertEqual([entry[1] for entry in self.history()], ["created", "priority", "due date"])

    def test_a_priority_without_a_target_takes_the_due_time_away_and_one_with_a_target_brings_it(self) -> None:
        self.create(self.uma)
        self.change(self.max, 1, PRIORITY, Priority.LOW)
        self.assertEqual(self.due(), (None, None))
        self.change(self.max, 1, PRIORITY, Priority.MEDIUM)
        self.assertEqual(self.due(), (24, DueBy.TARGET))

    def test_a_hold_moves_it_by_as_long_when_it_ends_however_it_ends(self) -> None:
        for number, status in enumerate((Status.OPEN, Status.RESOLVED, Status.CANCELLED), 1):
            self.create(self.uma)
            self.change_status(self.max, number, Status.ON_HOLD)
            self.pass_time(hours=5)
            self.assertEqual(self.due(number), (24, DueBy.TARGET))
            self.change_status(self.uma, number, status)
            self.assertEqual(self.due(number), (29, DueBy.TARGET))

    def test_time_finished_before_a_reopening_moves_it_too(self) -> None:
        self.create(self.uma)
        self.pass_time(hours=1)
        self.change_status(self.max, 1, Status.RESOLVED)
        self.pass_time(hours=40)
        self.change_status(self.max, 1, Status.CANCELLED)
        self.pass_time(hours=20)
        self.assertEqual(self.due(), (24, DueBy.TARGET))
        self.assertFalse(self.change_status(self.uma, 1, Status.OPEN).is_overdue)
        self.assertEqual(self.due(), (84, DueBy.TARGET))

    def test_a_change_of_the_priority_keeps_the_time_on_hold_and_counts_no_hold_twice(self) -> None:
        self.create(self.uma)
        for hours, status in ((0, Status.ON_HOLD), (2, Status.IN_PROGRESS), (0, Status.ON_HOLD)):
            self.pass_time(hours=hours)
            self.change_status(self.max, 1, status)
        self.pass_time(hours=1)
        self.change(self.max, 1, PRIORITY, Priority.HIGH)
        self.assertEqual(self.due()[0], 10)
        self.pass_time(hours=1)
        self.change_status(self.max, 1, Status.IN_PROGRESS)
        self.assertEqual(self.due()[0], 12)

    def test_one_set_by_hand_is_never_moved_not_even_to_the_same_time_or_none(self) -> None:
        for number in (1, 2, 3):
            shown = self.create(self.uma)
            by_hand = (DUE, shown.due_at, None)[number - 1]
            self.assertTrue(work_order.change(self.max, shown, DUE_DATE, by_hand))
            self.assertFalse(work_order.change(self.max, self.get(self.max, number), DUE_DATE, by_hand))
            before = self.due(number)
            for hours, status in ((0, Status.ON_HOLD), (1, Status.OPEN), (0, Status.RESOLVED), (5, Status.OPEN)):
                self.pass_time(hours=hours)
                self.change_status(self.max, number, status)
            self.change(self.max, number, PRIORITY, Priority.HIGH)
            self.assertEqual(self.due(number), before)
            self.assertEqual(before[1], DueBy.HAND)

    def test_on_hold_it_does_not_run_out_unless_it_had_before_or_was_set_by_hand(self) -> None:
        for _ in range(3):
            shown = self.create(self.uma)
        self.change(self.max, 3, DUE_DATE, shown.due_at)
        for number, hours in ((1, 1), (3, 0), (2, 25)):
            self.pass_time(hours=hours)
            self.change_status(self.max, number, Status.ON_HOLD)
        self.assertEqual(self.ids(self.max, Query(work_order.OVERDUE)), [2, 3])
        self.assertEqual([self.get(self.max, number).is_overdue for number in (1, 2, 3)], [False, True, True])

    def test_the_first_response_is_anybodys_but_the_present_requesters(self) -> None:
        self.create(self.uma)
        self.pass_time(hours=1)
        work_order.comment(self.uma, 1, "Hello?")
        self.assertIsNone(self.change(self.max, 1, PRIORITY, Priority.HIGH).responded_at)
        self.pass_time(hours=1)
        first = self.change(self.max, 1, ASSIGNEE, "anna").responded_at
        self.assertIsNotNone(first)
        self.assertLess(str(self.change(self.max, 1, REQUESTER, "ugo").responded_at), str(first))
        self.assertIsNotNone(self.change(self.max, 1, REQUESTER, "max").responded_at)
        self.assertEqual(self.change(self.max, 1, REQUESTER, "uma").responded_at, first)

    def test_an_assignee_named_at_creation_is_no_response(self) -> None:
        self.assertIsNone(self.create(self.max, requester="uma", assignee="max").responded_at)

    def test_who_may_see_and_change_them(self) -> None:
        high, medium = work_order.service_targets(self.max)[1:3]
        self.assertEqual((high, medium), (ServiceTarget(Priority.HIGH, None, 8), ServiceTarget(Priority.MEDIUM, 4, 24)))
        for session in (self.max, self.uma):
            with self.assertRaises(PermissionDeniedError):
                work_order.set_service_target(session, high, high._replace(response_hours=1))
        with self.assertRaises(PermissionDeniedError):
            work_order.service_targets(self.uma)

    def test_a_change_of_them_is_audited_and_what_another_admin_changed_is_not_overwritten(self) -> None:
        shown = ServiceTarget(Priority.HIGH, None, 8)
        self.assertFalse(work_order.set_service_target(self.anna, shown, shown))
        work_order.set_service_target(self.anna, shown, shown._replace(resolution_hours=6))
        with self.assertRaisesRegex(ConflictError, "High is now first response none, resolution 6 h"):
            work_order.set_service_target(self.anna, shown, shown._replace(resolution_hours=5))
        subjects = self.rows("SELECT subject FROM audit_log WHERE event = 'service target changed' ORDER BY id")
        last = "High: first response none, resolution 8 h -> first response none, resolution 6 h"
        self.assertEqual((len(subjects), subjects[-1]), (3, (last,)))

    def test_hours_are_whole_and_at_least_one(self) -> None:
        self.assertEqual([work_order.parse_hours(hours) for hours in ("1", "9999", "None")], [1, 9999, None])
        for wrong in ("0", "-1", "1.5", "10000", "x", "٣"):
            with self.subTest(hours=wrong), self.assertRaises(InvalidInputError):
                work_order.parse_hours(wrong)


# What is derived


class Kept(NamedTuple):
    """What the writer keeps of a work order beside its fields."""

    urgency: int
    due_rank: str
    overdue_at: str
    stopped_since: Optional[str]
    stopped_seconds: int
    responded_at: Optional[str]


NEVER = "9999-12-31T23:59:59+00:00"


class DerivedTest(DatabaseTestCase):
    def kept(self, number: int) -> Kept:
        ((*values,),) = self.rows(f"SELECT {', '.join(Kept._fields)} FROM work_orders WHERE id = ?", number)
        return Kept(*values)  # type: ignore[arg-type]

    def naive(self, number: int) -> Kept:
        """Compute the same from the design's words: walk through the history second by second, so to speak."""
        shown = self.get(self.anna, number)
        entries = list(reversed(work_order.history(self.anna, number)))
        kind, since, seconds = "", None, 0.0
        for entry in entries:
            if entry.field == "status":
                new = {"On Hold": "held", "Resolved": "finished", "Cancelled": "finished"}.get(str(entry.new_value), "")
                if new != kind:
                    seconds += (entry.changed_at - since).total_seconds() if since else 0
                    kind, since = new, entry.changed_at if new else None
        responses = [
            entry.changed_at
            for entry in entries
            if entry.field in ("comment", "assignee", "status") and entry.username != shown.requester
        ]
        is_finished, due = shown.status.is_finished, shown.due_at and database.utc_text(shown.due_at)
        waits = shown.due_by is DueBy.TARGET and kind == "held" and since and shown.due_at and shown.due_at >= since
        return Kept(
            urgency={"Critical": 0, "High": 1, "Medium": 2, "Low": 3}[str(shown.priority)] + (4 if is_finished else 0),
            due_rank=("finished " if is_finished else "") + (due or NEVER),
            overdue_at=NEVER if is_finished or waits or not due else due,
            stopped_since=database.utc_text(since) if since else None,
            stopped_seconds=int(seconds),
            responded_at=database.utc_text(min(responses)) if responses else None,
        )

    def do_something(self, number: int) -> None:
        """Do one of the things that people do to a work order, whatever they may."""
        session = self.random.choice((self.uma, self.ugo, self.max, self.anna))
        shown = self.get(self.anna, number)
        pick = self.random.choice
        action = self.random.randrange(9)
        if action < 4:
            work_order.change(session, shown, STATUS, pick(tuple(Status)))
        elif action == 4:
            work_order.comment(session, number, "A comment")
        elif action == 5:
            work_order.change(session, shown, PRIORITY, pick(tuple(Priority)))
        elif action == 6:
            work_order.change(session, shown, ASSIGNEE, pick((None, "max", "anna")))
        elif action == 7:
            later = datetime.now(timezone.utc).replace(microsecond=0) + timedelta(hours=pick((-5, 5, 50)))
            work_order.change(session, shown, DUE_DATE, pick((None, later)))
        else:
            work_order.change(session, shown, REQUESTER, pick(("uma", "ugo", "max")))

    def test_after_anything_that_people_do_it_is_what_the_history_says(self) -> None:
        self.random = random.Random(7)
        for priority, hours in ((Priority.CRITICAL, 2), (Priority.HIGH, 8), (Priority.MEDIUM, 48)):
            work_order.set_service_target(self.anna, ServiceTarget(priority), ServiceTarget(priority, 1, hours))
        numbers = [self.create(self.random.choice((self.uma, self.ugo))).id for _ in range(12)]
        for _ in range(25):
            self.pass_time(minutes=self.random.randrange(600))
            for number in numbers:
                try:
                    self.do_something(number)
                except database.ApplicationError:
                    continue
                self.assertEqual(self.kept(number), self.naive(number), number)
        for number in numbers:
            shown = self.get(self.anna, number)
            if shown.due_by is DueBy.TARGET and shown.due_at:
                hours = {Priority.CRITICAL: 2, Priority.HIGH: 8, Priority.MEDIUM: 48}[shown.priority]
                promised = shown.created_at + timedelta(hours=hours, seconds=self.kept(number).stopped_seconds)
                if shown.stopped_since is None:
                    self.assertEqual(shown.due_at, promised)
        self.assertEqual(database.check(self.connection), [])

    def test_a_clock_that_is_set_back_makes_no_time_negative(self) -> None:
        self.create(self.uma)
        self.change_status(self.max, 1, Status.ON_HOLD)
        self.pass_time(hours=-5)
        self.change_status(self.max, 1, Status.OPEN)
        self.assertEqual(self.kept(1).stopped_seconds, 0)
        self.assertEqual(database.check(self.connection), [])

    def test_deleting_and_restoring_change_nothing_of_it(self) -> None:
        self.create(self.uma)
        self.change_status(self.max, 1, Status.ON_HOLD, "why")
        before = self.kept(1)
        work_order.delete(self.anna, 1)
        self.assertEqual(self.kept(1), before)
        work_order.restore(self.anna, 1)
        self.assertEqual(self.kept(1), before)
        self.assertEqual(database.check(self.connection), [])


# In the program


class ConversationTest(WorkOrderTestCase):
    def test_a_collision_is_said_and_what_was_typed_is_offered_again(self) -> None:
        self.create(self.uma, "First")
        talk = self.talk()
        talk.log_in("uma")
        talk.choose("#1", "Edit title")
        talk.expect("Title")
        self.change(self.max, 1, TITLE, "Second")
        talk.send("Third\n")
        talk.expect('Error: The title is now "Second": max changed it in the meantime. Nothing was saved.')
        self.assertEqual(self.get(self.uma, 1).title, "Second")

    def test_n_is_the_assignee_whose_name_begins_with_it_and_not_nobody(self) -> None:
        self.session("nils", Role.MANAGER, ("anna", PASSWORD))
        self.create(self.uma)
        self.run_as("max", "#1", "Assign", "n", "")
        self.assertEqual(self.get(self.max, 1).assignee, "nils")
        self.run_as("max", "#1", "Assign", "no", "")
        self.assertIsNone(self.get(self.max, 1).assignee)

    def test_n_as_a_filter_is_that_assignee_too(self) -> None:
        self.session("nils", Role.MANAGER, ("anna", PASSWORD))
        for text, expected in (("n", "nils"), ("ni", "nils"), ("no", NOBODY), ("nobody", NOBODY)):
            with self.subTest(text=text):
                self.assertEqual(work_order.parse_filter_value(self.max, "assignee", text), expected)

    @needs_terminal
    def test_the_priority_of_a_finished_one_has_no_colour(self) -> None:
        for title, priority in (("Finished", Priority.CRITICAL), ("Going on", Priority.HIGH)):
            self.create(self.uma, title, priority=priority)
        self.change_status(self.max, 1, Status.RESOLVED)
        talk = self.talk((100, 40))
        talk.log_in("max")
        talk.choose("View work orders")
        seen = talk.expect("0. Back")
        talk.choose("#1")
        seen += talk.expect("0. Back")
        self.assertIn("mHigh", seen)
        self.assertNotIn("mCritical", seen)
        self.assertEqual(plain(seen).count("Critical"), 2)


if __name__ == "__main__":
    unittest.main()
