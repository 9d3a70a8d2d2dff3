"""Links between work orders, On Hold until a day or until nothing blocks, and the time spent."""

import os
import time
import unittest
from datetime import datetime, timedelta, timezone
from typing import List, Optional, Tuple
from unittest import mock

from support import Conversation, DatabaseTestCase, needs_terminal, plain

import database
import main
import users
import work_order
from users import ConflictError, InvalidInputError, PermissionDeniedError, Session
from work_order import (
    ASSIGNEE,
    DUE_DATE,
    DUPLICATES,
    HELD_UNTIL,
    PRIORITY,
    STATUS,
    DueBy,
    Filter,
    Grouping,
    Kind,
    NotFoundError,
    Priority,
    Query,
    Report,
    ServiceTarget,
    Status,
)

PAST = datetime(2020, 1, 1, tzinfo=timezone.utc)
FUTURE = datetime(2999, 1, 1, tzinfo=timezone.utc)


class LinkTestCase(DatabaseTestCase):
    """Three work orders: 1 and 2 are uma's, 3 is ugo's."""

    def setUp(self) -> None:
        super().setUp()
        for session, title in ((self.uma, "Printer jams"), (self.uma, "No toner"), (self.ugo, "Secret plan")):
            self.create(session, title)

    def link(self, work_order_id: int, kind: Kind, other_id: int, session: Optional[Session] = None) -> bool:
        shown = self.get(self.max, work_order_id)
        return work_order.link(session or self.max, shown, kind, other_id)

    def links(self, work_order_id: int, session: Optional[Session] = None) -> List[str]:
        return [str(link) for link in work_order.get(session or self.max, work_order_id).links]

    def history(self, work_order_id: int) -> List[Tuple[str, str, Optional[str], str]]:
        """Return what was changed after the creation, oldest first: by whom, the field, to what, and the note."""
        entries = work_order.history(self.anna, work_order_id)[::-1]
        return [(entry.username, entry.field, entry.new_value, entry.note) for entry in entries][1:]

    def hold(self, work_order_id: int, until: Optional[datetime] = None, note: str = "") -> bool:
        shown = self.get(self.max, work_order_id)
        return work_order.change(self.max, shown, STATUS, Status.ON_HOLD, note, until)

    def is_over(self, work_order_id: int) -> bool:
        """Return whether the hold is over, as the work order and the list of what may be taken up again say."""
        is_over = self.get(self.max, work_order_id).is_hold_over
        listed = self.ids(self.max, Query(work_order.hold_is_over_for(users.current_user(self.max))))
        self.assertEqual(work_order.my_work(self.max).hold_over, len(listed))
        self.assertEqual(is_over, work_order_id in listed)
        return is_over

    def set_up_mail(self) -> None:
        self.connection.execute("UPDATE mail_settings SET host = 'localhost', sender = 'it@example.org'")
        self.connection.execute("UPDATE users SET email = username || '@example.org'")

    def mail(self) -> List[Tuple[object, ...]]:
        """Return to whom mail waits, and its text."""
        sql = "SELECT username, outbox_parts.text FROM outbox JOIN users ON users.id = user_id JOIN outbox_parts"
        return self.rows(f"{sql} ON outbox_id = outbox.id ORDER BY outbox_parts.id")


# Links


class LinkTest(LinkTestCase):
    def test_both_ends_show_it_in_their_own_words_with_number_status_and_title(self) -> None:
        for kind, words, inverse in (
            (Kind.DUPLICATE_OF, "duplicate of", "has duplicate"),
            (Kind.BLOCKED_BY, "blocked by", "blocks"),
            (Kind.RELATED_TO, "related to", "related to"),
        ):
            with self.subTest(kind=kind):
                self.assertTrue(self.link(1, kind, 2))
                self.assertEqual(self.links(1)[-1], f"{words} #2 Open: No toner")
                self.assertEqual(self.links(2)[-1], f"{inverse} #1 Open: Printer jams")
        self.assertEqual(len(self.links(1)), 3)

    def test_both_ends_have_a_history_row(self) -> None:
        self.link(1, Kind.BLOCKED_BY, 3)
        self.assertEqual(self.history(1), [("max", "link", "blocked by #3", "")])
        self.assertEqual(self.history(3), [("max", "link", "blocks #1", "")])

    def test_the_same_one_again_is_none(self) -> None:
        for kind in Kind:
            self.assertEqual([self.link(1, kind, 2), self.link(1, kind, 2)], [True, False])
        self.assertFalse(self.link(2, Kind.RELATED_TO, 1))
        self.assertEqual((len(self.links(1)), len(self.history(1))), (3, 3))

    def test_none_leads_to_itself_to_a_deleted_one_or_in_both_directions(self) -> None:
        work_order.delete(self.anna, 3)
        self.link(1, Kind.BLOCKED_BY, 2)
        self.link(1, Kind.DUPLICATE_OF, 2)
        with self.assertRaisesRegex(InvalidInputError, "to itself"):
            self.link(1, Kind.RELATED_TO, 1)
        for number in (3, 99):
            with self.assertRaisesRegex(NotFoundError, f"^There is no work order #{number}.$"):
                self.link(1, Kind.RELATED_TO, number)
        for kind in (Kind.BLOCKED_BY, Kind.DUPLICATE_OF):
            with self.assertRaisesRegex(InvalidInputError, f"^Work order #1 is {kind} #2 already.$"):
                self.link(2, kind, 1)
        self.assertEqual(len(self.links(2)), 2)

    def test_of_a_deleted_end_the_number_alone_stays_and_restored_it_is_as_before(self) -> None:
        self.link(1, Kind.BLOCKED_BY, 2)
        work_order.delete(self.anna, 2)
        self.assertEqual(self.links(1), ["blocked by #2"])
        work_order.restore(self.anna, 2)
        self.assertEqual(self.links(1), ["blocked by #2 Open: No toner"])

    def test_managers_and_admins_alone_link_and_remove(self) -> None:
        self.link(1, Kind.RELATED_TO, 2, self.anna)
        shown, (link,) = self.get(self.uma, 1), work_order.get(self.uma, 1).links
        for call in (
            lambda: work_order.link(self.uma, shown, Kind.BLOCKED_BY, 2),
            lambda: work_order.unlink(self.uma, shown, link),
        ):
            with self.assertRaises(PermissionDeniedError):
                call()

    def test_a_user_sees_of_somebody_elses_work_order_the_number_alone(self) -> None:
        self.link(1, Kind.DUPLICATE_OF, 3)
        self.link(1, Kind.BLOCKED_BY, 2)
        self.assertEqual(self.links(1, self.uma), ["duplicate of #3", "blocked by #2 Open: No toner"])
        self.assertEqual(self.links(3, self.ugo), ["has duplicate #1"])
        ways = ("Show history", "00", "View work orders", "00", "Search work orders", "secret")
        output = self.run_as("uma", "#1", *ways)
        self.assertIn("duplicate of #3\n", output)
        self.assertNotIn("Secret", output)
        self.assertNotIn("Link", output.replace("Link: ", ""))

    def test_a_link_alone_sends_no_mail_and_is_no_change_by_others(self) -> None:
        self.set_up_mail()
        self.change(self.anna, 1, ASSIGNEE, "max")
        work_order.open_changes(self.uma)
        self.connection.execute("DELETE FROM outbox")
        self.link(1, Kind.BLOCKED_BY, 2, self.anna)
        (link,) = work_order.get(self.max, 1).links
        work_order.unlink(self.anna, self.get(self.anna, 1), link)
        self.assertEqual((self.mail(), work_order.my_work(self.uma).changed), ([], 0))
        self.assertIsNone(self.get(self.max, 2).responded_at)

    def test_either_end_removes_it_with_a_history_row_on_both(self) -> None:
        for number in (1, 2):
            self.link(1, Kind.BLOCKED_BY, 2)
            (link,) = work_order.get(self.max, number).links
            work_order.unlink(self.max, self.get(self.max, number), link)
            self.assertEqual((self.links(1), self.links(2)), ([], []))
            self.assertEqual(self.history(1)[-1], ("max", "link removed", "blocked by #2", ""))
            self.assertEqual(self.history(2)[-1], ("max", "link removed", "blocks #1", ""))
            with self.assertRaisesRegex(NotFoundError, "no longer"):
                work_order.unlink(self.max, self.get(self.max, number), link)

    def test_one_that_leads_to_a_deleted_work_order_can_be_removed(self) -> None:
        self.link(1, Kind.BLOCKED_BY, 2)
        work_order.delete(self.anna, 2)
        work_order.unlink(self.max, self.get(self.max, 1), work_order.get(self.max, 1).links[0])
        self.assertEqual(self.links(1), [])

    def test_what_is_derived_is_what_the_check_computes(self) -> None:
        self.link(1, Kind.BLOCKED_BY, 2)
        self.hold(1, FUTURE)
        work_order.comment(self.max, 1, "+1h looked")
        self.assertEqual(database.find_differences(self.connection), [])


class LinkFormTest(LinkTestCase):
    def test_a_duplicate_is_cancelled_with_a_note_after_a_question(self) -> None:
        output = self.run_as("max", "#1", "Link", "dup", "#2", "")
        for text in ("Kind: ", "Work order ID: ", "Work order #1 is now duplicate of #2.\n", "Cancel it? [yes]: "):
            self.assertIn(text, output)
        self.assertIn("\nWork order #1 is now Cancelled.\n", output)
        self.assertEqual(self.history(1)[-1], ("max", "status", "Cancelled", "Duplicate of #2."))

    def test_no_only_links_it(self) -> None:
        self.run_as("max", "#1", "Link", 1, 2, "no", "Link", "blocked", 3, "no")
        self.assertEqual(self.get(self.max, 1).status, Status.OPEN)
        self.assertEqual(self.links(1), ["duplicate of #2 Open: No toner", "blocked by #3 Open: Secret plan"])

    def test_a_blocked_one_is_put_on_hold_after_a_question(self) -> None:
        output = self.run_as("max", "#1", "Link", "blocked by", 2, "")
        self.assertIn("Put it On Hold? [yes]: ", output)
        self.assertEqual(self.get(self.max, 1).status, Status.ON_HOLD)

    def test_related_asks_nothing(self) -> None:
        output = self.run_as("max", "#1", "Link", "related", 2, "Show history")
        self.assertIn("History of work order #1", output)
        self.assertNotIn("? [yes]", output)

    def test_the_same_one_again_asks_only_its_question(self) -> None:
        self.link(1, Kind.DUPLICATE_OF, 2)
        output = self.run_as("max", "#1", "Link", "dup", 2, "yes")
        self.assertIn("Work order #1 is already duplicate of #2.\n", output)
        self.assertEqual(self.get(self.max, 1).status, Status.CANCELLED)
        self.assertNotIn("Cancel it?", self.run_as("max", "#1", "Link", "dup", 2))

    def test_the_requester_hears_of_the_cancelled_duplicate_and_of_the_other_the_number_alone(self) -> None:
        self.set_up_mail()
        self.run_as("max", "#1", "Link", "dup", 3, "yes")
        ((username, text),) = self.mail()
        self.assertEqual(username, "uma")
        self.assertIn('status from "Open" to "Cancelled":\n    Duplicate of #3.\n', str(text))
        self.assertNotIn("Secret", str(text))

    def test_the_existing_ones_are_choices_that_remove_them(self) -> None:
        self.link(1, Kind.BLOCKED_BY, 2)
        self.link(3, Kind.DUPLICATE_OF, 1)
        output = self.run_as("max", "#1", "Link", "remove blocked by #2", "Link", "?", "remove has")
        self.assertIn("  3. related to\n  4. remove blocked by #2\n  5. remove has duplicate #3\nKind: ", output)
        self.assertIn("Work order #1 is no longer linked: blocked by #2.\n", output)
        self.assertEqual((self.links(1), self.links(3)), ([], []))

    def test_what_cannot_be_is_refused_and_0_leaves(self) -> None:
        output = self.run_as("max", "#1", "Link", 1, 1, "Link", 1, 99, "Link", 1, "x", 0, "Link", 0, "Link", "")
        self.assertEqual(output.count("Error: "), 3)
        self.assertEqual(output.count("Cancelled. Nothing was saved.\n"), 3)
        self.assertEqual(self.links(1), [])


class DuplicatesTest(LinkTestCase):
    def plan(self, ids: List[int], original: int = 1, cancels: bool = True) -> work_order.ManyChanges:
        return work_order.plan_changes(self.max, ids, DUPLICATES, (original, cancels))

    def test_all_of_a_list_are_cancelled_as_duplicates_and_what_is_finished_keeps_its_status(self) -> None:
        self.create(self.uma)
        self.change_status(self.max, 3, Status.RESOLVED)
        answers = ("Change all", "2-4", "duplicate", "#1", "", "yes")
        output = self.run_as("max", "View work orders", *answers)
        self.assertIn("Cancel them? [yes]: ", output)
        will = "3 work orders will be Cancelled as duplicates of #1: 2 Open, 1 Resolved."
        self.assertIn(f"{will} What is finished keeps its status.\nAre you sure? [no]: \n3 changed.\n", output)
        statuses = [self.get(self.max, number).status for number in (1, 2, 3, 4)]
        self.assertEqual(statuses, [Status.OPEN, Status.CANCELLED, Status.RESOLVED, Status.CANCELLED])
        words = [link.split(":")[0] for link in self.links(1)]
        expected = ["has duplicate #2 Cancelled", "has duplicate #3 Resolved", "has duplicate #4 Cancelled"]
        self.assertEqual(sorted(words), expected)
        self.assertIn(("max", "status", "Cancelled", "Duplicate of #1."), self.history(2))

    def test_they_can_only_be_linked(self) -> None:
        changes = self.plan([2, 3], cancels=False)
        self.assertEqual(changes.sentence, "2 work orders will be linked as duplicates of #1.")
        self.assertEqual(work_order.change_many(self.max, changes), "2 changed.")
        self.assertEqual(self.links(3), ["duplicate of #1 Open: Printer jams"])
        self.assertEqual(self.get(self.max, 3).status, Status.OPEN)

    def test_the_original_among_them_stays_and_so_does_what_was_one_already(self) -> None:
        self.link(2, Kind.DUPLICATE_OF, 1)
        self.change_status(self.max, 2, Status.CANCELLED)
        said = work_order.change_many(self.max, self.plan([1, 2, 3]))
        self.assertEqual(said, "1 changed, 1 was Cancelled as duplicates of #1 already, #1 is the original.")
        self.assertEqual(self.get(self.max, 1).status, Status.OPEN)

    def test_what_somebody_changed_or_deleted_meanwhile_stays_and_gets_no_link(self) -> None:
        changes = self.plan([2, 3])
        self.change_status(self.anna, 2, Status.IN_PROGRESS)
        work_order.delete(self.anna, 3)
        said = work_order.change_many(self.max, changes)
        self.assertEqual(said, "0 changed, #2 was changed by anna, #3 was deleted.")
        self.assertEqual((self.links(1), self.get(self.max, 2).status), ([], Status.IN_PROGRESS))

    def test_an_original_that_is_not_there_is_named_and_nothing_changes(self) -> None:
        with self.assertRaisesRegex(NotFoundError, "#99"):
            self.plan([2], original=99)
        changes = self.plan([2, 3])
        work_order.delete(self.anna, 1)
        with self.assertRaisesRegex(NotFoundError, "#1"):
            work_order.change_many(self.max, changes)
        self.assertEqual(self.get(self.max, 2).status, Status.OPEN)

    def test_an_original_that_is_a_duplicate_of_one_of_them_is_refused(self) -> None:
        self.link(1, Kind.DUPLICATE_OF, 3)
        with self.assertRaisesRegex(InvalidInputError, "#1 is duplicate of #3 already"):
            work_order.change_many(self.max, self.plan([2, 3]))
        self.assertEqual(self.get(self.max, 2).status, Status.OPEN)

    def test_each_requester_gets_one_message(self) -> None:
        self.set_up_mail()
        self.create(self.uma)
        self.connection.execute("DELETE FROM outbox")
        work_order.change_many(self.max, self.plan([2, 3, 4]))
        self.assertEqual([username for username, _ in self.mail()], ["uma", "uma", "ugo"])
        self.assertEqual(self.rows("SELECT count(*) FROM outbox"), [(2,)])


# On Hold


class HoldUntilTest(LinkTestCase):
    def test_a_day_means_its_first_moment(self) -> None:
        with mock.patch.dict(os.environ, TZ="UTC"):
            for text, expected in (("2999-01-01", "2999-01-01 00:00"), ("2999-01-01 17:00", "2999-01-01 17:00")):
                until = HELD_UNTIL.parse(self.max, text)
                assert until
                self.assertEqual(f"{until:%Y-%m-%d %H:%M}", expected)
        for text in ("no day", "None"):
            self.assertIsNone(HELD_UNTIL.parse(self.max, text))

    @unittest.skipUnless(hasattr(time, "tzset"), "this system changes no time zone while a program runs")
    def test_a_day_without_a_midnight_begins_later(self) -> None:
        self.addCleanup(time.tzset)
        with mock.patch.dict(os.environ, TZ="XST3XDT,M3.2.0/0,M11.1.0/0"):  # forward at midnight on 2026-03-08
            time.tzset()
            until = HELD_UNTIL.parse(self.max, "2026-03-08")
            self.assertEqual(until, datetime(2026, 3, 8, 3, tzinfo=timezone.utc))
            self.assertEqual(HELD_UNTIL.show(until), "2026-03-08 01:00")
            self.assertEqual(work_order.parse_period("2026-03-08 to 2026-03-09").begin, until)

    def test_the_status_and_the_day_are_two_rows_of_the_history(self) -> None:
        self.hold(1, FUTURE, "no part")
        expected = [
            ("max", "status", "On Hold", "no part"),
            ("max", "hold until", "2999-01-01T00:00:00+00:00", ""),
        ]
        self.assertEqual(self.history(1), expected)
        self.assertEqual(self.get(self.max, 1).held_until, FUTURE)

    def test_on_hold_again_moves_the_day_in_one_row_and_the_stop_goes_on(self) -> None:
        self.hold(1, FUTURE)
        before = self.get(self.max, 1)
        self.hold(1, FUTURE + timedelta(days=1), "later")
        self.hold(1)
        entries = [("max", "hold until", "2999-01-02T00:00:00+00:00", "later"), ("max", "hold until", "no day", "")]
        self.assertEqual(self.history(1)[2:], entries)
        after = self.get(self.max, 1)
        self.assertEqual((after.held_until, after.stopped_since), (None, before.stopped_since))
        with self.assertRaisesRegex(InvalidInputError, "already On Hold"):
            self.hold(1)

    def test_a_day_that_somebody_else_moved_is_not_overwritten(self) -> None:
        self.hold(1, FUTURE)
        shown = self.get(self.max, 1)
        self.hold(1, PAST)
        with self.assertRaisesRegex(ConflictError, "hold until is now"):
            work_order.change(self.anna, shown, STATUS, Status.ON_HOLD, "", FUTURE + timedelta(days=1))

    def test_another_status_forgets_the_day(self) -> None:
        self.hold(1, PAST)
        self.assertEqual(self.change_status(self.max, 1, Status.IN_PROGRESS).held_until, None)
        self.hold(1)
        self.assertFalse(self.is_over(1))

    def test_when_its_day_has_come_it_is_over_and_stays_on_hold(self) -> None:
        self.hold(1, FUTURE)
        self.assertFalse(self.is_over(1))
        self.hold(1, PAST)
        self.assertTrue(self.is_over(1))
        self.assertEqual(self.get(self.max, 1).status, Status.ON_HOLD)
        self.hold(2)
        self.assertFalse(self.is_over(2))

    def test_the_clock_of_a_target_stands_until_somebody_takes_it_up(self) -> None:
        (shown,) = (each for each in work_order.service_targets(self.anna) if each.priority is Priority.HIGH)
        work_order.set_service_target(self.anna, shown, ServiceTarget(Priority.HIGH, None, 8))
        self.change(self.max, 1, PRIORITY, Priority.HIGH)
        self.hold(1, PAST)
        self.pass_time(hours=10)
        row = self.get(self.max, 1)
        self.assertEqual((row.is_hold_over, row.is_overdue, row.due_by), (True, False, DueBy.TARGET))
        due_at = self.change_status(self.max, 1, Status.OPEN).due_at
        assert due_at
        assert row.due_at
        self.assertEqual(round((due_at - row.due_at).total_seconds() / 3600), 10)

    def test_the_day_is_moved_in_change_all(self) -> None:
        self.hold(1, FUTURE)
        self.hold(2, PAST)
        changes = work_order.plan_changes(self.max, [1, 2, 3], STATUS.name, Status.ON_HOLD, "", FUTURE)
        day = HELD_UNTIL.show(FUTURE)
        self.assertEqual(changes.sentence, f"3 work orders will be On Hold until {day}: 2 On Hold, 1 Open.")
        said = work_order.change_many(self.max, changes)
        self.assertEqual(said, f"2 changed, 1 was On Hold until {day} already.")
        rows = [self.get(self.max, number) for number in (1, 2, 3)]
        self.assertEqual([(row.status, row.held_until) for row in rows], [(Status.ON_HOLD, FUTURE)] * 3)
        self.assertEqual([row[1] for row in self.history(2)], ["status", "hold until", "hold until"])

    def test_in_change_all_a_day_that_somebody_moved_meanwhile_stays_and_is_named(self) -> None:
        self.hold(1, FUTURE)
        changes = work_order.plan_changes(self.anna, [1], STATUS.name, Status.ON_HOLD, "", PAST)
        self.hold(1)
        self.assertEqual(work_order.change_many(self.anna, changes), "0 changed, #1 was changed by max.")

    def test_it_is_asked_for_as_a_due_date_is(self) -> None:
        output = self.run_as("max", "#1", "Change status", "hold", "someday", "2999-01-01", "no part")
        self.assertIn("Until [no day]: ", output)
        self.assertEqual(output.count("Error: "), 1)
        self.assertRegex(output, r"Until: +2999-01-01 00:00\n")
        output = self.run_as("uma", "#1", "Change status", "hold", "", "")
        self.assertEqual(self.get(self.max, 1).held_until, None)
        output = self.run_as("max", "#2", "Change status", "resolved", "", "Change status", "open", "")
        self.assertNotIn("Until", output)

    def test_change_all_asks_for_it_before_the_note(self) -> None:
        output = self.run_as(
            "max", "View work orders", "Change all", "1 2", "status", "hold", "2999-01-01", "no part", "y"
        )
        self.assertIn("Until [no day]: \nEnd a line with \\ for more.\nNote (optional): \n", output)
        self.assertEqual([self.get(self.max, number).held_until for number in (1, 2, 3)], [FUTURE, FUTURE, None])


class BlockedTest(LinkTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.link(1, Kind.BLOCKED_BY, 2)
        self.link(1, Kind.BLOCKED_BY, 3)
        self.hold(1)

    def finish(self, *ids: int) -> None:
        for number in ids:
            self.change_status(self.max, number, Status.RESOLVED)

    def test_it_is_over_when_nothing_unfinished_blocks_it_any_more(self) -> None:
        self.finish(2)
        self.assertFalse(self.is_over(1))
        self.finish(3)
        self.assertTrue(self.is_over(1))

    def test_a_deleted_blocker_blocks_no_more_and_a_restored_one_does(self) -> None:
        self.finish(2)
        work_order.delete(self.anna, 3)
        self.assertTrue(self.is_over(1))
        work_order.restore(self.anna, 3)
        self.assertFalse(self.is_over(1))

    def test_a_reopened_blocker_blocks_again(self) -> None:
        self.finish(2, 3)
        self.change_status(self.max, 3, Status.IN_PROGRESS)
        self.assertFalse(self.is_over(1))
        self.change_status(self.max, 3, Status.CANCELLED)
        self.assertTrue(self.is_over(1))

    def test_a_removed_link_blocks_no_more(self) -> None:
        self.finish(2)
        link = work_order.get(self.max, 1).links[1]
        work_order.unlink(self.max, self.get(self.max, 1), link)
        self.assertTrue(self.is_over(1))

    def test_blockers_that_were_finished_before_the_hold_began_do_not_end_it(self) -> None:
        self.finish(2, 3)
        self.pass_time(hours=1)
        self.change_status(self.max, 1, Status.OPEN)
        self.pass_time(hours=1)
        self.hold(1)
        self.assertFalse(self.is_over(1))
        self.hold(1, PAST)
        self.assertTrue(self.is_over(1))

    def test_one_that_is_finished_during_the_hold_does_beside_one_that_was_before(self) -> None:
        self.change_status(self.max, 1, Status.OPEN)
        self.finish(2)
        self.pass_time(hours=1)
        self.hold(1)
        self.finish(3)
        self.assertTrue(self.is_over(1))

    def test_a_hold_that_nothing_blocks_has_no_end(self) -> None:
        self.hold(2)
        self.finish(3)
        self.assertFalse(self.is_over(2))

    def test_other_links_do_not_block(self) -> None:
        self.link(2, Kind.RELATED_TO, 3)
        self.link(2, Kind.DUPLICATE_OF, 3)
        self.hold(2)
        self.finish(3)
        self.assertFalse(self.is_over(2))

    def test_a_day_and_a_blocker_end_it_whichever_is_first(self) -> None:
        self.hold(1, PAST)
        self.assertTrue(self.is_over(1))
        self.hold(1, FUTURE)
        self.finish(2, 3)
        self.assertTrue(self.is_over(1))

    def test_its_end_sends_no_mail_and_changes_nothing_of_it(self) -> None:
        before, entries = self.rows("SELECT * FROM work_orders WHERE id = 1"), self.history(1)
        self.set_up_mail()
        self.change_status(self.uma, 2, Status.RESOLVED)
        self.change_status(self.ugo, 3, Status.RESOLVED)
        self.assertTrue(self.is_over(1))
        self.assertEqual((self.rows("SELECT * FROM work_orders WHERE id = 1"), self.history(1)), (before, entries))
        self.assertEqual(self.mail(), [])


class HoldIsOverTest(LinkTestCase):
    def test_it_waits_for_its_assignee_and_without_one_for_managers_and_admins(self) -> None:
        for number, assignee in ((1, "max"), (2, "anna"), (3, None)):
            self.change(self.max, number, ASSIGNEE, assignee)
            self.hold(number, PAST)
        for session, username, count, listed in ((self.max, "max", 2, (1, 3)), (self.anna, "anna", 2, (2, 3))):
            self.assertEqual(work_order.my_work(session).hold_over, count)
            output = self.run_as(username, "My work", "Hold is over")
            self.assertIn("; 2 holds are over", output)
            self.assertIn("  7. Hold is over: 2\n", output)
            self.assertIn("\n2 work orders: hold is over, most urgent first", output)
            for number in listed:
                self.assertRegex(output, rf"\n{number} +Medium +Hold over")
        self.assertNotIn("old is over", self.run_as("uma", "My work"))

    def test_lists_and_the_screen_say_so_at_every_width(self) -> None:
        self.hold(1, PAST)
        for columns, words in ((80, "Medium  *Hold over"), (50, "Med  *Over")):
            answers = ("View work orders", "Filter", "on hold", "Open work order", 1)
            output = self.run_as("max", *answers, COLUMNS=f"{columns}")
            self.assertRegex(output, f"\n1 +{words} +Printer jams")
            self.assertIn("On Hold (hold over)", output)

    def test_one_hold_is_told_in_the_singular_and_a_finished_one_not(self) -> None:
        self.hold(1, PAST)
        self.assertIn("1 hold is over", work_order.describe_my_work(work_order.my_work(self.max)))
        self.change_status(self.max, 1, Status.RESOLVED)
        self.assertNotIn("hold", work_order.describe_my_work(work_order.my_work(self.max)))

    def test_a_deleted_one_is_not_counted(self) -> None:
        self.hold(1, PAST)
        work_order.delete(self.anna, 1)
        self.assertEqual(work_order.my_work(self.max).hold_over, 0)


# Time spent


class SpentTest(LinkTestCase):
    def test_a_note_or_comment_begins_with_a_duration_with_its_sign(self) -> None:
        for text, minutes in (
            *(("+1h 30m replaced the fuser", 90), ("+20m", 20), ("-20m typo", -20), ("+2h", 120), ("+1h30m", 90)),
            *(("+90m\nand more", 90), ("+0h 5m x", 5)),
        ):
            with self.subTest(text=text):
                self.assertEqual(work_order.parse_spent(users.current_user(self.max), text), minutes)

    def test_nothing_else_counts(self) -> None:
        for text in (
            *("20m cable replaced", "1h 30m", "+20", "+ 20m", "+20min", "+1.5h", "+h", "+m", "+1h30", "-", "+"),
            *("took +20m", "+1d", "+20m, done", "+1h-20m", "++20m", "\u00b120m", "+\u0662m", "+20 m", ""),
        ):
            with self.subTest(text=text):
                self.assertEqual(work_order.parse_spent(users.current_user(self.max), text), 0)

    def test_the_sum_stands_on_the_work_order_and_with_the_notes(self) -> None:
        work_order.comment(self.max, 1, "+1h 30m replaced the fuser")
        self.change(self.anna, 1, STATUS, Status.ON_HOLD, "+20m")
        self.change(self.max, 1, ASSIGNEE, "anna", "+1h look")
        self.change(self.max, 1, work_order.REQUESTER, "ugo", "-10m typo")
        work_order.take(self.max, self.get(self.max, 1), "+5m")
        self.assertEqual(self.get(self.max, 1).spent_minutes, 165)
        stored = self.rows("SELECT minutes FROM work_order_history WHERE minutes <> 0 ORDER BY id")
        self.assertEqual(stored, [(90,), (20,), (60,), (-10,), (5,)])
        self.assertEqual(database.find_differences(self.connection), [])

    def test_with_two_changes_at_once_it_counts_once(self) -> None:
        work_order.take(self.max, self.get(self.max, 1), "+30m")
        self.hold(1, FUTURE, "+15m")
        self.assertEqual(self.get(self.max, 1).spent_minutes, 45)

    def test_a_users_note_and_an_older_text_count_for_nothing(self) -> None:
        work_order.comment(self.uma, 1, "+1h waited")
        with database.transaction(self.connection):
            users.record_change(self.connection, 1, 2, database.now(), "comment", note="+3h", is_imported=True)
            database.refresh_derived(self.connection, 1)
        self.assertEqual(self.get(self.max, 1).spent_minutes, 0)

    def test_a_note_is_kept_as_a_comment_where_nothing_else_changes(self) -> None:
        self.assertTrue(work_order.change(self.max, self.get(self.max, 1), ASSIGNEE, None, "+1h"))
        self.assertEqual(self.get(self.max, 1).spent_minutes, 60)
        self.assertEqual(work_order.history(self.max, 1)[0].field, "comment")

    def test_a_correction_that_would_make_the_sum_less_than_0_is_refused(self) -> None:
        work_order.comment(self.max, 1, "+20m")
        for call in (
            lambda: work_order.comment(self.anna, 1, "-21m"),
            lambda: self.change_status(self.max, 1, Status.RESOLVED, "-1h"),
        ):
            with self.assertRaisesRegex(InvalidInputError, "^Only 20m of work are noted; no more can be taken back.$"):
                call()
        work_order.comment(self.anna, 1, "-20m")
        self.assertEqual(self.get(self.max, 1).spent_minutes, 0)

    def test_in_change_all_it_is_refused(self) -> None:
        for what, value in ((STATUS.name, Status.RESOLVED), ("comment", None)):
            with self.assertRaisesRegex(InvalidInputError, "one work order at a time"):
                work_order.plan_changes(self.max, [1, 2], what, value, "+20m replaced")
        output = self.run_as("max", "View work orders", "Change all", "", "comment", "+20m cable", "00")
        self.assertIn("Error: Time spent is noted on one work order at a time.\n", output)

    def test_the_done_line_says_so_where_something_was_done(self) -> None:
        output = self.run_as(
            *("max", "#1", "Add comment", "+1h 30m replaced", "Change status", "prog", "-20m typo", "Take", "+5m"),
            *("Assign", "max: +10m", "Add comment", "20m more"),
        )
        for text in (
            *("Comment on work order #1 added. 1h 30m of work noted.\n", "now In Progress. -20m of work noted.\n"),
            *(
                "#1 is now yours. 5m of work noted.\n",
                "to max. 10m of work noted.\n",
                "Comment on work order #1 added.\n",
            ),
        ):
            self.assertIn(text, output)
        self.assertEqual(output.count("of work noted"), 4)
        self.assertRegex(output, r"Time spent: +1h 25m\n")

    def test_a_users_done_line_does_not(self) -> None:
        output = self.run_as("uma", "#1", "Add comment", "+1h")
        self.assertIn("Comment on work order #1 added.\n", output)
        self.assertNotIn("Time spent", output)


class SpentReportTest(LinkTestCase):
    def setUp(self) -> None:
        super().setUp()
        work_order.comment(self.anna, 1, "+2h")
        work_order.comment(self.max, 1, "+31m")
        work_order.comment(self.max, 2, "+1h")
        for number in (1, 2):
            self.change_status(self.max, number, Status.RESOLVED)

    def spent(self, report: Report) -> List[Tuple[str, List[str]]]:
        places = [number for number, column in enumerate(report.columns) if column.heading.startswith("Spent")]
        return [(row.name, [row.cells[place].text for place in places]) for row in report.rows]

    def test_workload_counts_what_each_noted_in_the_period_and_lists_whoever_did(self) -> None:
        self.connection.execute("UPDATE users SET role = 'user' WHERE username = 'max'")
        everything = work_order.parse_period("all")
        report = work_order.workload(self.anna, everything)
        self.assertEqual(self.spent(report), [("anna", ["2h 0m"]), ("max", ["1h 31m"]), ("nobody", ["0m"])])
        self.pass_time(days=10)
        report = work_order.workload(self.anna, work_order.parse_period("last 7 days"))
        self.assertEqual(self.spent(report), [("anna", ["0m"]), ("nobody", ["0m"])])

    def test_resolution_times_have_the_sum_and_the_mean_of_what_is_counted(self) -> None:
        work_order.comment(self.max, 3, "+9h")
        report = work_order.resolution_times(self.max, work_order.parse_period("all"), Grouping.REQUESTER)
        self.assertEqual(self.spent(report), [("uma", ["3h 31m", "1h 45m"]), ("(all)", ["3h 31m", "1h 45m"])])

    def test_a_period_holds_its_beginning_and_not_its_end_and_deleted_ones_count_nowhere(self) -> None:
        ((at,),) = self.rows("SELECT changed_at FROM work_order_history WHERE minutes = 120")
        after = database.utc_text(datetime.fromisoformat(str(at)) + timedelta(minutes=5))
        for begin, end, minutes in ((str(at), after, 211), ("", str(at), 0), (after, database.NEVER, 0)):
            self.assertEqual(work_order.spent_minutes(self.connection, begin, end), minutes)
        work_order.delete(self.anna, 1)
        self.assertEqual(work_order.spent_minutes(self.connection, "", database.NEVER), 60)


# The screen


class ScreenTest(LinkTestCase):
    def full(self) -> None:
        """Give work order 1 ten links, a hold and four hours of time."""
        for number in range(10):
            self.link(1, Kind.RELATED_TO, self.create(self.uma, f"Number {number} " + "is long " * 10).id)
        self.hold(1, FUTURE, "+4h " + "no part " * 30)
        self.change(self.max, 1, DUE_DATE, PAST)

    @needs_terminal
    def test_with_ten_links_a_hold_and_time_it_fits_24_lines(self) -> None:
        self.full()
        for columns in (80, 50):
            for username in ("anna", "max", "uma"):
                with self.subTest(columns=columns, username=username):
                    talk = self.talk((columns, 24))
                    talk.log_in(username)
                    talk.choose("#1")
                    shown = self.screen(talk)
                    self.assertLessEqual(len(shown), 24, "\n".join(shown))
                    text = "\n".join(shown)
                    for words in (
                        "Work order #1: Printer jams",
                        "Status: ",
                        "On Hold",
                        "and 9 more",
                        "0. Back",
                        "#ID: ",
                    ):
                        self.assertIn(words, text)
                    self.assertRegex(text, r"Link: +related to #4 Open: Nu")
                    self.assertRegex(text, r"Time spent: 4h 0m")
                    self.assertRegex(text, r"Until: +2999-01-01")
                    self.assertLessEqual(max(map(main.cell_width, shown)), columns)

    @needs_terminal
    def test_with_many_links_the_menu_stays_in_sight_at_any_height(self) -> None:
        self.full()
        for number in range(30):
            self.link(1, Kind.RELATED_TO, self.create(self.uma, f"More {number}").id)
        for lines in (24, 30, 40, 50):
            with self.subTest(lines=lines):
                talk = self.talk((80, lines))
                talk.log_in("max")
                talk.choose("#1")
                shown = self.screen(talk)
                self.assertLessEqual(len(shown), lines, "\n".join(shown))

    def screen(self, talk: Conversation) -> List[str]:
        """Return the lines from the work order's title to the prompt."""
        seen = plain(talk.expect("#ID: "))
        while "Work order #1" not in seen:
            seen += plain(talk.expect("#ID: "))
        return seen[seen.rindex("Work order #1") :].split("\n")

    def test_without_a_terminal_all_links_are_shown(self) -> None:
        self.full()
        output = self.run_as("max", "#1")
        self.assertEqual(output.count("related to #"), 10)
        self.assertNotIn("more", output.partition("Link:")[0])

    def test_the_list_finds_what_is_on_hold_and_the_history_tells_the_day(self) -> None:
        self.hold(1, FUTURE)
        self.assertEqual(self.ids(self.max, Query(Filter(status=Status.ON_HOLD))), [1])
        output = self.run_as("max", "#1", "Show history")
        self.assertIn('max: hold until from "no day" to "2999-01-01 00:00"', output)


if __name__ == "__main__":
    unittest.main()
