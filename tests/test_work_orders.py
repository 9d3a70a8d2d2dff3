"""What is written of work orders: created, changed, taken, commented, deleted, restored, and what follows from it."""

import itertools
from datetime import datetime, timezone
from typing import Any, Dict, List, Optional, Sequence, Tuple

from support import PASSWORD, DatabaseTestCase, needs_terminal

import database
import users
import work_order
from users import NOBODY, ConflictError, InvalidInputError, PermissionDeniedError, Role, Session
from work_order import ASSIGNEE, CATEGORY, DUE_DATE, PRIORITY, REQUESTER, STATUS, TITLE, Draft, Priority, Query, Status

DUE = datetime(2031, 12, 31, 12, tzinfo=timezone.utc)
FieldAndValues = Tuple[work_order.Field[Any], Sequence[Any]]


class WorkOrderTestCase(DatabaseTestCase):
    """Uma has work order #1; `shown` is how it is at first."""

    def setUp(self) -> None:
        super().setUp()
        self.shown = self.create(self.uma)

    def tearDown(self) -> None:
        """Whatever was done, what is derived is what the check computes anew; that this is right, the reports show."""
        self.assertEqual(database.find_differences(self.connection), [])

    def history(self, work_order_id: int = 1) -> List[Tuple[str, str, Optional[str], Optional[str], str]]:
        """Return who changed which field from what to what with which note, oldest first."""
        entries = reversed(work_order.history(self.anna, work_order_id))
        return [(entry.username, entry.field, entry.old_value, entry.new_value, entry.note) for entry in entries]


class CreateTest(WorkOrderTestCase):
    def test_it_is_open_and_ones_own_and_its_texts_are_trimmed_composed_and_as_typed(self) -> None:
        shown = self.create(self.uma, "  Cafe\u0301 ", "\n'); DROP TABLE users; -- \n")
        self.assertEqual((shown.id, shown.title, shown.description), (2, "Caf\u00e9", "'); DROP TABLE users; --"))
        self.assertEqual((shown.requester, shown.assignee, shown.category), ("uma", None, None))
        self.assertEqual((shown.status, shown.priority), (Status.OPEN, Priority.MEDIUM))
        self.assertEqual(self.history(), [("uma", "created", None, None, "")])

    def test_a_manager_names_its_requester_its_assignee_and_a_new_category(self) -> None:
        shown = self.create(self.max, category="Hardware", requester="ugo", assignee="anna")
        self.assertEqual((shown.requester, shown.assignee, shown.category), ("ugo", "anna", "Hardware"))
        self.assertEqual(self.history(2), [("max", "created", None, None, "")])

    def test_wrong_texts_people_who_cannot_be_it_and_what_a_user_may_not_name_are_refused(self) -> None:
        work_order.deactivate(self.anna, "ugo")
        for session, draft, error in (
            *((self.uma, Draft("t", requester=username), PermissionDeniedError) for username in ("max", "ghost")),
            (self.uma, Draft("t", assignee="max"), PermissionDeniedError),
            (self.uma, Draft("t", category="New"), InvalidInputError),
            *((self.max, Draft("t", requester=username), InvalidInputError) for username in ("ugo", "ghost")),
            *((self.max, Draft("t", assignee=username), InvalidInputError) for username in ("uma", "ghost")),
            *((self.uma, Draft(title), InvalidInputError) for title in ("", "   ", "x" * 121, "a\0b")),
            (self.uma, Draft("t", "d" * 10_001), InvalidInputError),
        ):
            with self.subTest(session=session, draft=str(draft)[:99]), self.assertRaises(error):
                work_order.create(session, draft)
        work_order.create(self.uma, Draft("x" * 120, "d" * 10_000, requester="uma"))
        self.assertEqual(self.ids(self.max), [1, 2])


class ChangeTest(WorkOrderTestCase):
    def test_any_status_follows_any_other_and_only_resolved_has_a_time_of_resolution(self) -> None:
        shown = self.shown
        for pair in itertools.permutations(Status, 2):
            for status in pair:
                if shown.status is not status:
                    shown = self.change_status(self.max, 1, status)
                self.assertEqual((shown.status, shown.resolved_at is not None), (status, status is Status.RESOLVED))

    def test_saving_what_stands_adds_nothing_and_for_a_status_is_refused(self) -> None:
        same: Sequence[Tuple[work_order.Field[Any], Any]] = (
            *((TITLE, " Printer jams "), (work_order.DESCRIPTION, "\n"), (PRIORITY, Priority.MEDIUM), (CATEGORY, None)),
            *((ASSIGNEE, None), (REQUESTER, "uma")),
        )
        for field, value in same:
            self.assertFalse(work_order.change(self.max, self.shown, field, value), field.name)
        with self.assertRaisesRegex(InvalidInputError, "^The status of work order #1 is already Open.$"):
            work_order.change(self.max, self.shown, STATUS, Status.OPEN)
        self.assertEqual((self.get(self.uma, 1), len(self.history())), (self.shown, 1))
        self.assertEqual(work_order.describe_done(REQUESTER, self.shown, "uma"), "Comment on work order #1 added.")

    def test_it_is_in_the_history_with_its_note_and_its_time_is_the_work_orders(self) -> None:
        self.pass_time(days=1)
        self.change(self.max, 1, STATUS, Status.RESOLVED, " it works\n")
        self.assertEqual(self.history()[1:], [("max", "status", "Open", "Resolved", "it works")])
        times = "SELECT updated_at = changed_at, resolved_at = changed_at, created_at < changed_at"
        self.assertEqual(self.rows(f"{times} FROM work_orders, work_order_history WHERE field = 'status'"), [(1, 1, 1)])

    def test_what_cannot_be_is_refused(self) -> None:
        for username in ("max", "ugo"):
            work_order.deactivate(self.anna, username)
        wrong: Sequence[FieldAndValues] = (
            *((ASSIGNEE, ("uma", "max", "ghost")), (REQUESTER, ("ugo", "ghost"))),
            *((TITLE, ("", "x" * 121)), (work_order.DESCRIPTION, ("x" * 10_001,))),
            (CATEGORY, ("", "x" * 41, "none", "ANY", "(ALL)", "a\x1bb")),
        )
        for field, values in wrong:
            for value in values:
                with self.subTest(field=field.name, value=value[:5]), self.assertRaises(InvalidInputError):
                    work_order.change(self.anna, self.shown, field, value)
        for text in ("", "  \n", "x" * 10_001, "a\0b"):
            self.assertRaises(InvalidInputError, work_order.comment, self.uma, 1, text)
        with self.assertRaises(InvalidInputError):
            work_order.change(self.anna, self.shown, STATUS, Status.ON_HOLD, "n" * 10_001)
        self.assertEqual((self.get(self.anna, 1), len(self.history())), (self.shown, 1))

    def test_a_category_keeps_its_spelling_and_is_there_as_long_as_a_work_order_has_it(self) -> None:
        self.create(self.max, category="Hardware")
        self.assertEqual(self.change(self.uma, 1, CATEGORY, "HARDWARE").category, "Hardware")
        self.change(self.max, 2, CATEGORY, None)
        self.assertEqual(work_order.categories(self.uma), ["Hardware"])
        work_order.delete(self.anna, 1)
        self.assertEqual(work_order.categories(self.uma), [])

    def test_n_is_the_assignee_whose_name_begins_with_it_and_not_nobody(self) -> None:
        self.session("nils", Role.MANAGER, ("anna", PASSWORD))
        for text, expected in (("n", "nils"), ("ni", "nils"), ("no", None), ("nobody", None)):
            found = ASSIGNEE.parse(self.max, text), work_order.parse_filter_value(self.max, "assignee", text)
            self.assertEqual(found, (expected, expected or NOBODY), text)

    @needs_terminal
    def test_the_priority_of_a_finished_one_has_no_colour(self) -> None:
        for priority in (Priority.CRITICAL, Priority.HIGH):
            self.create(self.uma, priority=priority)
        self.change_status(self.max, 2, Status.RESOLVED)
        talk = self.talk((100, 40))
        talk.log_in("max")
        talk.choose("View work orders")
        seen = talk.expect("0. Back")
        self.assertRegex(seen, r"\x1b\[\d+mHigh")
        self.assertRegex(seen, "(?<!m)Critical")

    def test_what_somebody_else_changed_is_not_overwritten_and_is_named(self) -> None:
        changes: Sequence[FieldAndValues] = (
            *((TITLE, ("Second", "Third")), (work_order.DESCRIPTION, ("Second", "Third"))),
            *((PRIORITY, (Priority.HIGH, Priority.LOW)), (CATEGORY, ("Hardware", "Network"))),
            *((DUE_DATE, (DUE, None)), (ASSIGNEE, ("max", "anna")), (REQUESTER, ("ugo", "max"))),
            (STATUS, (Status.ON_HOLD, Status.RESOLVED)),
        )
        for field, (value, _) in changes:  # changes of other fields do not get in the way
            self.assertTrue(work_order.change(self.max, self.shown, field, value), field.name)
        before = self.get(self.anna, 1)
        for field, (value, other) in changes:
            words = f'^The {field.name} is now "{field.show(value)}": max changed it in the meantime. Nothing was saved'
            with self.subTest(field=field.name), self.assertRaisesRegex(ConflictError, words):
                work_order.change(self.anna, self.shown, field, other)
        self.assertEqual(self.get(self.anna, 1), before)

    def test_a_change_by_another_program_is_a_conflict_too(self) -> None:
        self.connection.execute("UPDATE work_orders SET title = 'Other'")
        with self.assertRaisesRegex(ConflictError, "another program changed it"):
            work_order.change(self.uma, self.shown, TITLE, "Mine")
        database.refresh_derived(self.connection, 1)

    def test_a_fault_in_the_midst_of_a_change_leaves_nothing_of_it(self) -> None:
        self.create(self.uma)
        many = work_order.plan_changes(self.max, [2, 1], PRIORITY.name, Priority.HIGH)
        before = self.rows("SELECT * FROM work_orders")
        when = "BEFORE INSERT ON work_order_history WHEN new.work_order_id = 1"
        self.connection.execute(f"CREATE TRIGGER refuse {when} BEGIN SELECT RAISE(ABORT, 'no'); END")
        self.assertRaises(database.EXPECTED_FAULTS, work_order.take, self.max, self.shown)
        self.assertRaises(database.EXPECTED_FAULTS, work_order.change_many, self.max, many)
        self.assertEqual(self.rows("SELECT * FROM work_orders"), before)


class TakeTest(WorkOrderTestCase):
    def test_it_is_mine_and_in_progress_with_two_rows(self) -> None:
        self.assertTrue(work_order.take(self.max, self.shown, "I know this one"))
        assigned = ("max", "assignee", "nobody", "max", "I know this one")
        self.assertEqual(self.history()[1:], [assigned, ("max", "status", "Open", "In Progress", "")])
        self.assertFalse(work_order.take(self.max, self.get(self.max, 1)))
        self.assertRaisesRegex(ConflictError, 'is now ".*": max changed it', work_order.take, self.anna, self.shown)

    def test_what_is_mine_is_started_and_what_is_put_on_hold_meanwhile_stays_so(self) -> None:
        self.create(self.max, assignee="max")
        self.assertTrue(work_order.take(self.max, self.get(self.max, 2)))
        self.change_status(self.anna, 1, Status.ON_HOLD)
        self.assertTrue(work_order.take(self.max, self.shown))
        self.assertTrue(work_order.take(self.max, self.get(self.max, 2), "is kept"))
        self.assertEqual(self.history(2)[-1], ("max", "comment", None, None, "is kept"))
        self.assertEqual(self.history(1)[2:], [("max", "assignee", "nobody", "max", "")])


class CommentTest(WorkOrderTestCase):
    def test_it_stands_in_the_history_and_counts_as_a_change(self) -> None:
        self.pass_time(days=1)
        before = self.get(self.uma, 1)
        work_order.comment(self.uma, 1, " Any news? ")
        self.assertEqual(self.history()[1:], [("uma", "comment", None, None, "Any news?")])
        self.assertGreater(self.get(self.uma, 1).updated_at, before.updated_at)

    def test_the_details_have_the_latest_and_the_history_has_all_by_parts(self) -> None:
        for number in range(25):
            work_order.comment(self.uma, 1, f"{number}")
        self.change(self.max, 1, STATUS, Status.ON_HOLD, "a note")
        notes = [entry.note for entry in work_order.get(self.uma, 1).notes]
        first = work_order.history(self.uma, 1, limit=9)
        rest = work_order.history(self.uma, 1, first[-1])
        everything = ["a note", *(f"{number}" for number in reversed(range(25))), ""]
        self.assertEqual([entry.note for entry in (*first, *rest)], everything)
        self.assertEqual(notes, everything[: work_order.LATEST_NOTES])

    def test_above_200000_characters_with_100_for_a_short_note_there_is_no_room(self) -> None:
        with database.transaction(self.connection):
            for note in (*"x" * 98, *["y" * 10_000] * 19):
                users.record_change(self.connection, 1, 3, database.now(), "comment", note=note)
        for _ in range(2):
            work_order.comment(self.uma, 1, "z")
        sentence = "would have more than 200,000 characters; continue in a new work order"
        self.assertRaisesRegex(InvalidInputError, sentence, work_order.comment, self.uma, 1, "z")
        with self.assertRaisesRegex(InvalidInputError, sentence):
            work_order.change(self.uma, self.shown, STATUS, Status.CANCELLED, "z")
        self.assertEqual(self.change_status(self.uma, 1, Status.CANCELLED).status, Status.CANCELLED)


class DeletedTest(WorkOrderTestCase):
    def test_only_admins_see_its_history(self) -> None:
        work_order.delete(self.anna, 1)
        for session in (self.uma, self.max):
            self.assertRaises(work_order.NotFoundError, work_order.history, session, 1)
        self.assertEqual((work_order.get_deleted(self.anna, 1).id, len(self.history())), (1, 2))

    def test_it_exists_for_nobody_is_found_nowhere_and_its_id_is_not_given_again(self) -> None:
        work_order.delete(self.anna, 1)
        for session in (self.uma, self.max, self.anna):
            self.assertRaises(work_order.NotFoundError, work_order.get, session, 1)
            self.assertRaises(work_order.NotFoundError, work_order.comment, session, 1, "still there?")
            self.assertEqual(self.ids(session), [])
            self.assertEqual(self.ids(session, work_order.search(session, "printer")), [])
        self.assertEqual(self.create(self.uma).id, 2)

    def test_what_is_restored_is_as_it_was_and_both_are_on_record(self) -> None:
        work_order.delete(self.anna, 1)
        work_order.restore(self.anna, 1)
        self.assertEqual(self.get(self.uma, 1)._replace(updated_at=self.shown.updated_at), self.shown)
        self.assertEqual([entry[1] for entry in self.history()], ["created", "deleted", "restored"])
        events = self.rows("SELECT event, subject FROM audit_log ORDER BY id DESC LIMIT 2")
        self.assertEqual(events, [("work order restored", "#1"), ("work order deleted", "#1")])
        for number in (1, 2):
            self.assertRaises(work_order.NotFoundError, work_order.restore, self.anna, number)

    def test_the_list_goes_from_the_latest_deletion_by_pages(self) -> None:
        for number in range(1, 6):
            self.create(self.uma)
            work_order.delete(self.anna, number)
        first = work_order.list_deleted(self.anna, None, 3)
        rest = work_order.list_deleted(self.anna, first[-1], 3)
        self.assertEqual([shown.id for shown in (*first, *rest)], [5, 4, 3, 2, 1])


class HandOverTest(WorkOrderTestCase):
    """Max leaves with #2 Open, #3 On Hold and #4 Resolved."""

    def setUp(self) -> None:
        super().setUp()
        for _ in range(3):
            self.create(self.max, requester="uma", assignee="max")
        self.change_status(self.anna, 3, Status.ON_HOLD)
        self.change_status(self.anna, 4, Status.RESOLVED)

    def assignees(self) -> List[Optional[str]]:
        return [self.get(self.anna, number).assignee for number in (2, 3, 4)]

    def test_who_is_deactivated_loses_what_is_unfinished_with_a_history_row(self) -> None:
        self.assertEqual(work_order.deactivate(self.anna, "max"), 2)
        self.assertEqual(self.assignees(), [None, None, "max"])
        self.assertEqual(self.history(2)[-1], ("anna", "assignee", "max", "nobody", ""))

    def test_who_is_made_a_user_does_too_and_who_is_promoted_does_not(self) -> None:
        self.assertEqual(work_order.change_role(self.anna, "max", Role.ADMIN), 0)
        self.assertEqual(work_order.change_role(self.anna, "max", Role.USER), 2)
        self.assertEqual(self.assignees(), [None, None, "max"])

    def test_a_successor_takes_over_from_an_admin_who_closes_their_own_account_too(self) -> None:
        self.connection.execute("UPDATE users SET role = 'admin' WHERE username = 'max'")
        self.assertEqual(work_order.deactivate(self.max, "max", "anna"), 2)
        self.assertFalse(users.find(self.connection, "max").is_active)
        self.assertEqual(self.assignees(), ["anna", "anna", "max"])
        self.assertEqual(self.history(2)[-1], ("max", "assignee", "max", "anna", ""))

    def test_an_unfit_successor_is_refused_and_nothing_changes(self) -> None:
        for successor in ("uma", "ghost", "max"):
            with self.subTest(successor=successor), self.assertRaises(InvalidInputError):
                work_order.deactivate(self.anna, "max", successor)
        self.assertEqual((self.assignees(), users.find(self.connection, "max").is_active), (["max"] * 3, True))
        output = self.run_as("anna", "Manage users", "Deactivate", "max", "max", "nobody", "yes")
        self.assertIn("Error: max cannot take over from themselves", output)
        self.assertIn("User max deactivated.", output)

    def test_what_is_reopened_or_restored_comes_back_without_them_and_what_is_finished_with_them(self) -> None:
        for number in (2, 4):
            work_order.delete(self.anna, number)
        work_order.deactivate(self.anna, "max")
        for number in (2, 4):
            work_order.restore(self.anna, number)
        self.assertEqual(self.assignees(), [None, None, "max"])
        self.assertEqual(self.history(2)[-1], ("anna", "assignee", "max", "nobody", ""))
        self.assertIsNone(self.change_status(self.anna, 4, Status.OPEN).assignee)


class ChangeManyTest(WorkOrderTestCase):
    def setUp(self) -> None:
        super().setUp()
        for _ in range(4):
            self.create(self.uma)

    def test_ids_and_ranges_select_of_the_list_and_anything_else_is_refused(self) -> None:
        newest, high = Query(sort=work_order.Sort.NEWEST), Query(work_order.Filter(priority=Priority.HIGH))
        self.assertEqual(work_order.select_ids(self.max, newest), [5, 4, 3, 2, 1])
        for text, expected in (("3", [3]), ("#2 4-9", [2, 4, 5]), ("1,1 2", [1, 2]), ("2-3, 5", [2, 3, 5])):
            self.assertEqual(sorted(work_order.select_ids(self.max, newest, text)), expected, text)
        self.change(self.max, 3, PRIORITY, Priority.HIGH)
        self.assertEqual(work_order.select_ids(self.max, high, "1-5"), [3])
        for text in ("1", "9", "x", "3-", "4-2", "4-5", f"{' '.join(map(str, range(1000, 1400)))}; 7"):
            with self.subTest(text=text), self.assertRaises(InvalidInputError):
                work_order.select_ids(self.max, high, text)

    def test_what_will_happen_is_said_and_then_what_happened(self) -> None:
        self.change(self.max, 2, STATUS, Status.IN_PROGRESS)
        self.change(self.max, 3, STATUS, Status.CANCELLED)
        changes = work_order.plan_changes(self.max, [1, 2, 3], STATUS.name, Status.CANCELLED, "Duplicates")
        self.assertEqual(changes.sentence, "3 work orders will be Cancelled: 1 Open, 1 In Progress, 1 Cancelled.")
        self.assertEqual(self.get(self.max, 1).status, Status.OPEN)
        self.assertEqual(work_order.change_many(self.max, changes), "2 changed, 1 was Cancelled already.")
        self.assertEqual(self.history(2)[-1], ("max", "status", "In Progress", "Cancelled", "Duplicates"))
        self.assertEqual(self.get(self.max, 4).status, Status.OPEN)

    def test_what_others_changed_or_deleted_meanwhile_stays_and_is_named(self) -> None:
        changes = work_order.plan_changes(self.max, [1, 2, 3], PRIORITY.name, Priority.HIGH)
        self.change(self.anna, 2, PRIORITY, Priority.LOW)
        work_order.delete(self.anna, 3)
        said = "1 changed, #2 was changed by anna, #3 was deleted."
        self.assertEqual(work_order.change_many(self.max, changes), said)
        self.assertEqual(self.get(self.max, 2).priority, Priority.LOW)
        gone = (self.max, [3], PRIORITY.name, Priority.HIGH)
        self.assertRaisesRegex(InvalidInputError, "have been deleted", work_order.plan_changes, *gone)

    def test_a_comment_for_which_one_has_no_room_goes_to_the_others(self) -> None:
        for _ in range(20):
            work_order.comment(self.max, 2, "x" * 9_950)
        changes = work_order.plan_changes(self.max, [1, 2, 3], "comment", None, "y" * 2_000)
        self.assertEqual(work_order.change_many(self.max, changes), "2 changed, #2 has no room for more notes.")
        self.assertEqual(self.history(3)[-1], ("max", "comment", None, None, "y" * 2_000))

    def test_a_value_that_cannot_be_is_refused(self) -> None:
        impossible = work_order.plan_changes(self.max, [1, 2], ASSIGNEE.name, "uma")
        self.assertRaises(InvalidInputError, work_order.change_many, self.max, impossible)


class ChangedByOthersTest(WorkOrderTestCase):
    def changes(self, session: Session) -> Dict[int, str]:
        """Return by work order what the list has below its row, as it is when it is opened."""
        count = work_order.my_work(session).changed
        page = work_order.find(session, work_order.open_changes(session), None, 10)
        self.assertEqual((page.total, set(page.below)), (count, {row.id for row in page.work_orders}))
        return {number: "\n".join(texts) for number, texts in page.below.items()}

    def test_it_is_what_others_changed_on_ones_own_since_one_last_looked(self) -> None:
        for session in (self.uma, self.uma, self.ugo):
            self.create(session)
        work_order.comment(self.max, 1, "by max")
        for number in (1, 3):
            work_order.comment(self.uma, number, "by myself")
        self.change(self.max, 2, STATUS, Status.ON_HOLD)
        self.change(self.max, 1, TITLE, "Another")
        texts = self.changes(self.uma)
        self.assertEqual(sorted(texts), [1, 2])
        self.assertRegex(texts[1], '^.* max: title from "Printer jams" to "Another"\n.* max: commented:\nby max$')
        self.assertEqual((self.changes(self.uma), self.changes(self.ugo)), ({}, {}))

    def test_an_open_list_keeps_its_rows_and_what_comes_then_is_in_the_next(self) -> None:
        work_order.comment(self.max, 1, "first")
        query = work_order.open_changes(self.uma)
        work_order.comment(self.max, 1, "second")
        ((text,),) = work_order.find(self.uma, query, None, 10).below.values()
        self.assertIn("first", text)
        self.assertIn("second", self.changes(self.uma)[1])

    def test_a_manager_has_what_is_assigned_too_and_what_others_changed_before_it_was_given_away(self) -> None:
        for _ in range(3):
            self.create(self.anna, requester="uma", assignee="max")
        self.assertEqual(sorted(self.changes(self.max)), [2, 3, 4])
        self.change(self.anna, 1, ASSIGNEE, "max")
        work_order.take(self.anna, self.get(self.anna, 2))
        work_order.comment(self.uma, 3, "Any news?")
        for number in (3, 4):
            self.change(self.max, number, ASSIGNEE, "anna")
        work_order.comment(self.uma, 1, "Any news?")
        self.assertEqual(sorted(self.changes(self.max)), [1, 2, 3])
        work_order.comment(self.uma, 1, "Any news?")
        work_order.change_role(self.anna, "max", Role.USER)
        self.assertEqual(self.changes(self.max), {})

    def test_what_one_reassigned_or_changed_oneself_was_not_changed_by_others(self) -> None:
        for assignee in ("max", "anna"):
            self.change(self.max, 1, ASSIGNEE, assignee)
        self.create(self.max)
        self.change(self.max, 2, PRIORITY, Priority.HIGH)
        self.assertEqual((work_order.my_work(self.max).changed, work_order.my_work(self.anna).changed), (0, 1))

    def test_of_finished_ones_it_is_what_was_changed_within_90_days(self) -> None:
        self.create(self.uma)
        for number in (1, 2):
            work_order.comment(self.max, number, "by max")
        self.change(self.uma, 2, STATUS, Status.RESOLVED)
        self.pass_time(days=91)
        self.assertEqual(self.ids(self.uma, work_order.open_changes(self.uma)), [1])


class TargetTest(WorkOrderTestCase):
    """Service targets: Medium has a response in 4 hours and a resolution in 24; High a resolution in 8."""

    MEDIUM, HIGH = work_order.ServiceTarget(Priority.MEDIUM, 4, 24), work_order.ServiceTarget(Priority.HIGH, None, 8)

    def setUp(self) -> None:
        super().setUp()
        for target in (self.MEDIUM, self.HIGH):
            work_order.set_service_target(self.anna, work_order.ServiceTarget(target.priority), target)
        self.create(self.uma)

    def due(self, number: int = 2) -> Optional[int]:
        """Return in how many hours from its creation the work order is due."""
        shown = self.get(self.max, number)
        return round((shown.due_at - shown.created_at).total_seconds() / 3600) if shown.due_at else None

    def set_status(self, *hours_and_statuses: Tuple[float, Status], number: int = 2) -> None:
        """Give a work order one status after the other, each after some hours."""
        for hours, status in hours_and_statuses:
            self.pass_time(hours=hours)
            self.change_status(self.max, number, status)

    def test_what_is_created_from_then_on_is_due_by_the_target_of_its_priority(self) -> None:
        self.assertTrue(work_order.set_service_target(self.anna, self.MEDIUM, self.MEDIUM._replace(resolution_hours=1)))
        self.assertEqual([self.due(1), self.due(2)], [None, 24])
        self.assertEqual([self.get(self.max, number).response_hours for number in (1, 2)], [None, 4])

    def test_another_priority_moves_it_to_its_own_target_from_the_creation_on_with_a_history_row(self) -> None:
        self.pass_time(hours=3)
        for target in (self.HIGH, work_order.ServiceTarget(Priority.LOW), self.MEDIUM):
            shown = self.change(self.max, 2, PRIORITY, target.priority)
            self.assertEqual((self.due(), shown.response_hours), (target.resolution_hours, target.response_hours))
        self.assertEqual([entry[1] for entry in self.history(2)], ["created", *["priority", "due date"] * 3])

    def test_a_hold_moves_it_by_as_long_when_it_ends_however_it_ends(self) -> None:
        for number, status in enumerate((Status.OPEN, Status.RESOLVED, Status.CANCELLED), 3):
            self.create(self.uma)
            self.set_status((0, Status.ON_HOLD), number=number)
            self.pass_time(hours=5)
            self.assertEqual(self.due(number), 24)
            self.change_status(self.uma, number, status)
            self.assertEqual(self.due(number), 29)
            self.assertEqual(self.history(number)[-1][:2], ("uma", "due date"))

    def test_time_finished_before_a_reopening_moves_it_too(self) -> None:
        self.set_status((1, Status.RESOLVED), (40, Status.CANCELLED))
        self.assertEqual(self.due(), 24)
        self.set_status((20, Status.OPEN))
        self.assertEqual((self.due(), self.get(self.max, 2).is_overdue), (84, False))

    def test_a_change_of_the_priority_keeps_the_time_on_hold_and_counts_no_hold_twice(self) -> None:
        self.set_status((0, Status.ON_HOLD), (2, Status.IN_PROGRESS), (0, Status.ON_HOLD))
        self.pass_time(hours=1)
        self.change(self.max, 2, PRIORITY, Priority.HIGH)
        self.assertEqual(self.due(), 10)
        self.set_status((1, Status.IN_PROGRESS))
        self.assertEqual(self.due(), 12)

    def test_one_set_by_hand_is_never_moved_not_even_to_the_same_time_or_none(self) -> None:
        for number, priority in ((3, Priority.MEDIUM), (4, Priority.MEDIUM), (5, Priority.MEDIUM), (6, Priority.LOW)):
            shown = self.create(self.uma, priority=priority)
            by_hand = {3: DUE, 4: shown.due_at}.get(number)
            self.assertTrue(work_order.change(self.max, shown, DUE_DATE, by_hand))
            self.assertFalse(work_order.change(self.max, self.get(self.max, number), DUE_DATE, by_hand))
            before = self.due(number)
            self.set_status(
                (0, Status.ON_HOLD), (1, Status.OPEN), (0, Status.RESOLVED), (5, Status.OPEN), number=number
            )
            self.change(self.max, number, PRIORITY, Priority.HIGH)
            self.assertEqual((self.due(number), self.get(self.max, number).due_by), (before, work_order.DueBy.HAND))

    def test_a_change_of_the_targets_is_audited_and_overwrites_nothing(self) -> None:
        self.assertEqual(work_order.service_targets(self.max)[1:3], [self.HIGH, self.MEDIUM])
        self.assertFalse(work_order.set_service_target(self.anna, self.HIGH, self.HIGH))
        work_order.set_service_target(self.anna, self.HIGH, self.HIGH._replace(resolution_hours=6))
        with self.assertRaisesRegex(ConflictError, "High is now first response none, resolution 6 h"):
            work_order.set_service_target(self.anna, self.HIGH, self.HIGH._replace(resolution_hours=5))
        subjects = self.rows("SELECT subject FROM audit_log WHERE event = 'service target changed' ORDER BY id")
        last = "High: first response none, resolution 8 h -> first response none, resolution 6 h"
        self.assertEqual((len(subjects), subjects[-1]), (3, (last,)))
