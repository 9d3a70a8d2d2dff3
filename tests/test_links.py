"""Links between work orders, On Hold until a day or until nothing blocks, and the time spent."""

import re
from datetime import datetime, timedelta, timezone
from typing import List, Optional, Tuple

from support import DatabaseTestCase, needs_terminal, plain

import database
import main
import users
import work_order
from users import ConflictError, InvalidInputError, Session
from work_order import ASSIGNEE, DUPLICATES, STATUS, Kind, NotFoundError, Status

PAST = datetime(2020, 1, 1, tzinfo=timezone.utc)
FUTURE = datetime(2999, 1, 1, tzinfo=timezone.utc)


class LinkTestCase(DatabaseTestCase):
    """Three work orders: 1 and 2 are uma's, 3 is ugo's."""

    def setUp(self) -> None:
        super().setUp()
        for session, title in ((self.uma, "Printer jams"), (self.uma, "No toner"), (self.ugo, "Secret plan")):
            self.create(session, title)

    def link(self, work_order_id: int, kind: Kind, other_id: int, session: Optional[Session] = None) -> bool:
        return work_order.link(session or self.max, self.get(self.max, work_order_id), kind, other_id)

    def links(self, work_order_id: int) -> List[str]:
        return [str(link) for link in work_order.get(self.max, work_order_id).links]

    def unlink(self, work_order_id: int, number: int = 0, session: Optional[Session] = None) -> None:
        details = work_order.get(self.max, work_order_id)
        work_order.unlink(session or self.max, details.work_order, details.links[number])

    def history(self, work_order_id: int) -> List[Tuple[str, str, Optional[str], str]]:
        """Return what was changed after the creation, oldest first: by whom, the field, to what, and the note."""
        entries = work_order.history(self.anna, work_order_id)[::-1]
        return [(entry.username, entry.field, entry.new_value, entry.note) for entry in entries][1:]

    def statuses(self) -> List[str]:
        return [str(status) for (status,) in self.rows("SELECT status FROM work_orders ORDER BY id")]

    def hold(self, work_order_id: int, until: Optional[datetime] = None, note: str = "") -> bool:
        return work_order.change(self.max, self.get(self.max, work_order_id), STATUS, Status.ON_HOLD, note, until)

    def is_over(self, work_order_id: int) -> bool:
        """Return whether the hold is over, as the work order and the list of what may be taken up again say."""
        is_over = self.get(self.max, work_order_id).is_hold_over
        listed = self.ids(self.max, work_order.Query(work_order.Filter(hold_is_over_for=self.max.user_id)))
        self.assertEqual(work_order.my_work(self.max).hold_over, len(listed))
        self.assertEqual(is_over, work_order_id in listed)
        return is_over

    def set_up_mail(self) -> None:
        self.connection.execute("UPDATE mail_settings SET host = 'localhost', sender = 'it@example.org'")
        self.connection.execute("UPDATE users SET email = username || '@example.org'")

    def mail(self) -> List[Tuple[object, ...]]:
        sql = "SELECT username, outbox_parts.text FROM outbox JOIN users ON users.id = user_id JOIN outbox_parts"
        return self.rows(f"{sql} ON outbox_id = outbox.id ORDER BY outbox_parts.id")


class LinkTest(LinkTestCase):
    def test_both_ends_show_it_and_record_it_in_their_own_words_and_once(self) -> None:
        for kind, words, inverse in (
            (Kind.DUPLICATE_OF, "duplicate of", "has duplicate"),
            (Kind.BLOCKED_BY, "blocked by", "blocks"),
            (Kind.RELATED_TO, "related to", "related to"),
        ):
            self.assertEqual([self.link(1, kind, 2), self.link(1, kind, 2)], [True, False])
            self.assertEqual(self.links(1)[-1], f"{words} #2 Open: No toner")
            self.assertEqual(self.links(2)[-1], f"{inverse} #1 Open: Printer jams")
            self.assertEqual(self.history(1)[-1], ("max", "link", f"{words} #2", ""))
            self.assertEqual(self.history(2)[-1], ("max", "link", f"{inverse} #1", ""))
        self.assertFalse(self.link(2, Kind.RELATED_TO, 1))
        self.assertEqual((len(self.links(1)), len(self.history(1))), (3, 3))

    def test_none_leads_to_itself_to_a_deleted_one_or_in_both_directions_or_is_made_by_a_user(self) -> None:
        work_order.delete(self.anna, 3)
        with self.assertRaisesRegex(InvalidInputError, "to itself"):
            self.link(1, Kind.RELATED_TO, 1)
        for number in (3, 99):
            with self.assertRaisesRegex(NotFoundError, f"^There is no work order #{number}.$"):
                self.link(1, Kind.RELATED_TO, number)
        for kind in (Kind.BLOCKED_BY, Kind.DUPLICATE_OF):
            self.link(1, kind, 2)
            with self.assertRaisesRegex(InvalidInputError, f"^Work order #1 is {kind} #2 already.$"):
                self.link(2, kind, 1)
        self.assertEqual(len(self.links(2)), 2)

    def test_managers_remove_it_from_either_end_which_both_record_but_no_mail_tells(self) -> None:
        self.set_up_mail()
        for number in (1, 2):
            self.link(1, Kind.BLOCKED_BY, 2)
            shown = work_order.get(self.max, number)
            self.unlink(number)
            self.assertEqual((self.links(1), self.links(2)), ([], []))
            self.assertEqual(self.history(1)[-1], ("max", "link removed", "blocked by #2", ""))
            self.assertEqual(self.history(2)[-1], ("max", "link removed", "blocks #1", ""))
            with self.assertRaisesRegex(NotFoundError, "no longer"):
                work_order.unlink(self.max, shown.work_order, shown.links[0])
        self.assertEqual((self.mail(), work_order.my_work(self.uma).changed), ([], 0))
        self.assertIsNone(self.get(self.max, 1).responded_at)

    def test_a_user_sees_of_somebody_elses_work_order_the_number_alone(self) -> None:
        self.link(1, Kind.DUPLICATE_OF, 3)
        self.link(1, Kind.BLOCKED_BY, 2)
        output = self.run_as(
            "uma", "#1", "Show history", "00", "View work orders", "00", "Search work orders", "secret"
        )
        self.assertRegex(output, "duplicate of #3\n.* blocked by #2 Open: No toner\n")
        self.assertIn("Link:       blocked by #2 Open: No toner", output[output.index("History of") :])
        self.assertNotIn("Secret", output)

    def test_a_duplicate_is_cancelled_and_a_blocked_one_put_on_hold_after_a_question(self) -> None:
        self.set_up_mail()
        answers = ("Link", "dup", "#3", "", "#2", "Link", "blocked by", 3, "", "Link", "related", 1)
        output = self.run_as("max", "#1", *answers)
        self.assertIn("Kind: \nWork order ID: \nWork order #1 is now duplicate of #3.\n", output)
        self.assertEqual(re.findall(r"\n(.*)\? \[yes\]: ", output), ["Cancel it", "Put it On Hold"])
        self.assertIn("\nWork order #1 is now Cancelled.\n", output)
        self.assertEqual(self.statuses(), ["Cancelled", "On Hold", "Open"])
        self.assertEqual(self.history(1)[1], ("max", "status", "Cancelled", "Duplicate of #3."))
        username, text = self.mail()[0]
        self.assertEqual(username, "uma")
        self.assertIn('status from "Open" to "Cancelled":\n    Duplicate of #3.\n', str(text))
        self.assertNotIn("Secret", str(text))

    def test_no_only_links_it_and_what_is_finished_or_on_hold_already_is_not_asked_about(self) -> None:
        self.hold(3)
        answers = ("Link", 1, 2, "no", "Link", "dup", 2, "yes", "Link", "blocked", 3, "#3", "Link", "blocked", 2)
        output = self.run_as("max", "#1", *answers)
        self.assertIn("Work order #1 is already duplicate of #2.\n", output)
        self.assertEqual(output.count("? [yes]"), 2)
        self.assertEqual([entry[1] for entry in self.history(1)], ["link", "status", "link"])
        self.assertEqual(self.statuses(), ["Cancelled", "Open", "On Hold"])

    def test_the_existing_ones_are_choices_that_remove_them_and_0_leaves(self) -> None:
        self.link(1, Kind.BLOCKED_BY, 2)
        self.link(3, Kind.DUPLICATE_OF, 1)
        answers = ("Link", "remove blocked by #2", "Link", "?", "remove has", "Link", 1, 0, "Link", 0)
        output = self.run_as("max", "#1", *answers)
        self.assertIn("  3. related to\n  4. remove blocked by #2\n  5. remove has duplicate #3\nKind: ", output)
        self.assertIn("Work order #1 is no longer linked: blocked by #2.\n", output)
        self.assertEqual(output.count("Cancelled. Nothing was saved.\n"), 2)
        self.assertEqual((self.links(1), self.links(3)), ([], []))

    @needs_terminal
    def test_with_many_links_a_hold_and_time_spent_the_screen_fits_the_terminal_with_its_menu(self) -> None:
        for number in range(30):
            self.link(1, Kind.RELATED_TO, self.create(self.uma, f"Number {number} " + "is long " * 10).id)
        self.hold(1, FUTURE, "+4h " + "no part " * 30)
        self.change(self.max, 1, work_order.DUE_DATE, PAST)
        for columns, lines, more in ((80, 24, 29), (50, 24, 29), (80, 40, 25)):
            with self.subTest(columns=columns, lines=lines):
                talk = self.talk((columns, lines))
                talk.log_in("anna")
                talk.choose("#1")
                talk.expect("Work order #1: ")
                shown = plain(talk.expect("#ID: "))
                self.assertLessEqual(len(shown.split("\n")), lines, shown)
                self.assertLessEqual(max(map(main.cell_width, shown.split("\n"))), columns)
                words = ("On Hold", "4h 0m", "2999-01-01", " related to #4 Open: N", f"and {more} more", "0. Back")
                self.assertEqual([word for word in words if word not in shown], [])


class DuplicatesTest(LinkTestCase):
    def plan(self, ids: List[int], original: int = 1, cancels: bool = True) -> work_order.ManyChanges:
        return work_order.plan_changes(self.max, ids, DUPLICATES, (original, cancels))

    def test_all_of_a_list_are_cancelled_as_duplicates_and_what_is_finished_keeps_its_status(self) -> None:
        self.create(self.uma)
        self.change_status(self.max, 3, Status.RESOLVED)
        self.set_up_mail()
        output = self.run_as("max", "View work orders", "Change all", "2-4", "duplicate", "#1", "", "yes")
        self.assertIn("Cancel them? [yes]: ", output)
        will = "3 work orders will be Cancelled as duplicates of #1: 2 Open, 1 Resolved."
        self.assertIn(f"{will} What is finished keeps its status.\nAre you sure? [no]: \n3 changed.\n", output)
        self.assertEqual(self.statuses(), ["Open", "Cancelled", "Resolved", "Cancelled"])
        self.assertEqual([len(self.links(number)) for number in (1, 2, 3, 4)], [3, 1, 1, 1])
        self.assertIn(("max", "status", "Cancelled", "Duplicate of #1."), self.history(2))
        self.assertEqual([username for username, _ in self.mail()], ["uma", "uma"])
        self.assertEqual(self.rows("SELECT count(*) FROM outbox"), [(1,)])

    def test_they_can_only_be_linked_and_the_original_and_what_was_one_already_stay(self) -> None:
        self.link(2, Kind.DUPLICATE_OF, 1)
        changes = self.plan([1, 2, 3], cancels=False)
        self.assertEqual(changes.sentence, "3 work orders will be linked as duplicates of #1.")
        said = work_order.change_many(self.max, changes)
        self.assertEqual(said, "1 changed, 1 was linked as duplicates of #1 already, #1 is the original.")
        self.assertEqual(self.links(3), ["duplicate of #1 Open: Printer jams"])
        self.assertEqual(self.statuses(), ["Open"] * 3)

    def test_what_somebody_changed_or_deleted_meanwhile_stays_and_gets_no_link(self) -> None:
        changes = self.plan([2, 3])
        self.change_status(self.anna, 2, Status.IN_PROGRESS)
        work_order.delete(self.anna, 3)
        said = work_order.change_many(self.max, changes)
        self.assertEqual(said, "0 changed, #2 was changed by anna, #3 was deleted.")
        self.assertEqual((self.links(1), self.statuses()), ([], ["Open", "In Progress", "Open"]))

    def test_an_original_that_is_deleted_or_a_duplicate_itself_is_refused_and_nothing_changes(self) -> None:
        for number in (0, 99):
            with self.assertRaisesRegex(NotFoundError, f"#{number}"):
                self.plan([2], original=number)
        self.link(1, Kind.DUPLICATE_OF, 3)
        changes = self.plan([2, 3])
        with self.assertRaisesRegex(InvalidInputError, "#1 is duplicate of #3 already"):
            work_order.change_many(self.max, changes)
        work_order.delete(self.anna, 1)
        with self.assertRaisesRegex(NotFoundError, "#1"):
            work_order.change_many(self.max, changes)
        self.assertEqual(self.statuses(), ["Open"] * 3)


class HoldTest(LinkTestCase):
    def test_a_day_is_asked_for_on_hold_and_means_its_first_moment(self) -> None:
        answers = ("someday", "2999-01-01", "no part", "Change status", "hold", "2026-03-08", "")
        last = ("Change status", "hold", "no day", "", "Change status", "resolved", "", "Show history")
        forward_at_midnight = "XST3XDT,M3.2.0/0,M11.1.0/0"  # on 2026-03-08
        output = self.run_as("max", "#1", "Change status", "hold", *answers, *last, TZ=forward_at_midnight)
        self.assertEqual((output.count("Until [no day]: "), output.count("Error: The end of a hold")), (4, 1))
        self.assertRegex(output, r"Until: +2999-01-01 00:00\n")
        days = ["no day", "2999-01-01 00:00", "2026-03-08 01:00", "no day"]
        for before, after in zip(days, days[1:]):
            self.assertIn(f'max: hold until from "{before}" to "{after}"', output)

    def test_on_hold_again_moves_the_day_in_a_row_of_the_history_and_the_stop_goes_on(self) -> None:
        self.hold(1, FUTURE, "no part")
        before = self.get(self.max, 1)
        self.pass_time(hours=1)
        self.hold(1, None, "later")
        status, day = ("max", "status", "On Hold", "no part"), "2999-01-01T00:00:00+00:00"
        moved = [("max", "hold until", day, ""), ("max", "hold until", "no day", "later")]
        self.assertEqual(self.history(1), [status, *moved])
        self.assertEqual(before.held_until, FUTURE)
        self.assertLess(str(self.get(self.max, 1).stopped_since), str(before.stopped_since))
        with self.assertRaisesRegex(InvalidInputError, "already On Hold"):
            self.hold(1)

    def test_a_day_that_somebody_else_moved_is_not_overwritten(self) -> None:
        work_order.change(self.uma, self.get(self.uma, 1), STATUS, Status.ON_HOLD, "", FUTURE)
        shown = self.get(self.max, 1)
        changes = work_order.plan_changes(self.anna, [1], STATUS.name, Status.ON_HOLD, "", PAST)
        self.hold(1)
        with self.assertRaisesRegex(ConflictError, 'hold until is now "no day": max'):
            work_order.change(self.anna, shown, STATUS, Status.ON_HOLD, "", PAST)
        self.assertEqual(work_order.change_many(self.anna, changes), "0 changed, #1 was changed by max.")

    def test_when_its_day_has_come_it_is_over_but_a_targets_clock_stands_until_it_is_taken_up(self) -> None:
        due_at = database.utc_text(datetime.now(timezone.utc) + timedelta(hours=8))
        self.connection.execute("UPDATE work_orders SET due_at = ?, due_by = 'target'", (due_at,))
        self.hold(1, FUTURE)
        self.assertFalse(self.is_over(1))
        self.hold(1, PAST)
        self.pass_time(hours=10)
        self.assertTrue(self.is_over(1))
        self.assertFalse(self.get(self.max, 1).is_overdue)
        self.assertIsNone(self.change_status(self.max, 1, Status.IN_PROGRESS).held_until)
        self.hold(1)
        self.assertFalse(self.is_over(1))

    def test_change_all_asks_for_it_before_the_note_and_moves_it(self) -> None:
        self.hold(1, FUTURE)
        self.hold(2, PAST)
        answers = ("Change all", "", "status", "hold", "2999-01-01", "no part", "y")
        output = self.run_as("max", "View work orders", *answers)
        self.assertIn("Until [no day]: \nEnd a line with \\ for more.\nNote (optional): \n", output)
        self.assertIn("3 work orders will be On Hold until 2999-01-01 00:00: 2 On Hold, 1 Open.", output)
        self.assertIn("\n2 changed, 1 was On Hold until 2999-01-01 00:00 already.\n", output)
        self.assertEqual([self.get(self.max, number).held_until for number in (1, 2, 3)], [FUTURE] * 3)
        self.assertEqual([entry[1] for entry in self.history(2)], ["status", "hold until", "hold until"])

    def test_it_waits_for_its_assignee_and_without_one_for_managers_and_admins(self) -> None:
        for number, assignee in ((1, "max"), (2, "anna"), (3, None)):
            self.change(self.max, number, ASSIGNEE, assignee)
            self.hold(number, PAST)
        for columns, words in (("80", "Medium +Hold over"), ("50", "Med +Over")):
            output = self.run_as("max", "My work", "Hold is over", "#1", COLUMNS=columns)
            self.assertIn("; 2 holds are over", " ".join(output.split()))
            self.assertIn("  7. Hold is over: 2\n", output)
            self.assertRegex(output, rf"\n2 work orders: hold is over, most urgent first(.*\n)+1 +{words}(.*\n)+3 +M")
            self.assertIn("On Hold (hold over)", output)
        self.assertEqual(work_order.my_work(self.anna).hold_over, 2)
        self.change_status(self.max, 3, Status.RESOLVED)
        self.assertIn("1 hold is over", work_order.describe_my_work(work_order.my_work(self.anna)))
        work_order.delete(self.anna, 2)
        for session in (self.anna, self.uma):
            self.assertNotIn("hold", work_order.describe_my_work(work_order.my_work(session)))


class BlockedTest(LinkTestCase):
    """Work order 1 is On Hold, blocked by 2 and 3, and related to 4, which does not matter."""

    def setUp(self) -> None:
        super().setUp()
        self.link(1, Kind.BLOCKED_BY, 2)
        self.link(1, Kind.BLOCKED_BY, 3)
        self.link(1, Kind.RELATED_TO, self.create(self.uma).id)
        self.hold(1)

    def test_it_is_over_while_nothing_unfinished_blocks_it_which_changes_and_tells_nothing(self) -> None:
        self.set_up_mail()
        before = self.rows("SELECT * FROM work_orders WHERE id = 1"), self.history(1)
        self.change_status(self.uma, 2, Status.RESOLVED)
        self.assertFalse(self.is_over(1))
        self.change_status(self.ugo, 3, Status.RESOLVED)
        self.assertTrue(self.is_over(1))
        self.assertEqual((self.rows("SELECT * FROM work_orders WHERE id = 1"), self.history(1)), before)
        self.assertEqual(self.mail(), [])
        self.change_status(self.max, 3, Status.IN_PROGRESS)
        self.assertFalse(self.is_over(1))
        self.change_status(self.max, 3, Status.CANCELLED)
        self.assertTrue(self.is_over(1))
        self.assertFalse(self.change_status(self.max, 1, Status.RESOLVED).is_hold_over)

    def test_a_deleted_blocker_blocks_no_more_until_it_is_restored_and_its_link_can_be_removed(self) -> None:
        work_order.delete(self.anna, 2)
        work_order.delete(self.anna, 3)
        self.assertEqual((self.links(1)[1], self.is_over(1)), ("blocked by #3", True))
        work_order.restore(self.anna, 3)
        self.assertEqual((self.links(1)[1], self.is_over(1)), ("blocked by #3 Open: Secret plan", False))
        work_order.delete(self.anna, 3)
        self.unlink(1, 1)
        work_order.restore(self.anna, 3)
        self.assertTrue(self.is_over(1))

    def test_its_day_ends_it_and_a_blocker_that_is_finished_during_the_hold_and_not_before(self) -> None:
        self.change_status(self.max, 1, Status.OPEN)
        for number in (2, 3):
            self.change_status(self.max, number, Status.RESOLVED)
        self.pass_time(hours=1)
        for until, is_over in ((None, False), (PAST, True), (FUTURE, False)):
            self.hold(1, until)
            self.assertEqual(self.is_over(1), is_over)
        for status in (Status.OPEN, Status.RESOLVED):
            self.change_status(self.max, 3, status)
        self.assertTrue(self.is_over(1))


class SpentTest(LinkTestCase):
    def test_a_note_begins_with_a_duration_with_its_sign_or_tells_no_time(self) -> None:
        max_ = users.current_user(self.max)
        for text, minutes in (
            *(("+1h 30m replaced the fuser", 90), ("+20m", 20), ("-20m typo", -20), ("+2h", 120), ("+1h30m", 90)),
            *(("+90m\nand more", 90), ("+0h 5m x", 5)),
            *((text, 0) for text in ("20m cable replaced", "1h 30m", "+20", "+ 20m", "+20min", "+1.5h", "+h", "+m")),
            *((text, 0) for text in ("+1h30", "-", "+", "took +20m", "+1d", "+20m, done", "+1h-20m", "++20m", "")),
            *((text, 0) for text in ("\u00b120m", "+\u0662m", "+20 m")),
        ):
            with self.subTest(text=text):
                self.assertEqual(work_order.parse_spent(max_, text), minutes)

    def test_the_sum_stands_on_the_work_order_with_the_notes_and_in_the_workload(self) -> None:
        work_order.comment(self.uma, 1, "+1h waited")  # a user notes no time
        work_order.comment(self.max, 1, "+1h 30m replaced the fuser")
        self.hold(1, FUTURE, "+20m")  # two changes at once
        self.change(self.max, 1, work_order.REQUESTER, "ugo", "-10m typo")
        work_order.take(self.max, self.get(self.max, 1), "+5m")
        self.change(self.max, 1, ASSIGNEE, "anna", "+1h look")
        self.assertTrue(work_order.change(self.max, self.get(self.max, 1), ASSIGNEE, "anna", "+7m"))
        self.assertEqual(work_order.history(self.max, 1)[0].field, "comment")  # as nothing else changed
        self.assertEqual(self.get(self.max, 1).spent_minutes, 172)
        stored = self.rows("SELECT minutes FROM work_order_history WHERE minutes <> 0 ORDER BY id")
        self.assertEqual(stored, [(90,), (20,), (-10,), (5,), (60,), (7,)])
        ((first,),) = self.rows("SELECT min(changed_at) FROM work_order_history WHERE minutes <> 0")
        self.assertEqual(work_order.spent_minutes(self.connection, str(first), database.NEVER), {"max": 172})
        self.assertEqual(database.find_differences(self.connection), [])
        self.connection.execute("UPDATE users SET role = 'user' WHERE username = 'max'")
        rows = work_order.workload(self.anna, work_order.parse_period("all")).rows
        self.assertIn(("max", "2h 52m"), [(row.name, row.cells[-1].text) for row in rows])

    def test_what_would_make_the_sum_less_than_0_is_refused_and_so_is_time_in_change_all(self) -> None:
        work_order.comment(self.max, 1, "+20m")
        only, one = "^Only 20m of work are noted; no more can be taken back.$", "is noted on one work order at a time"
        for call, message in (
            (lambda: work_order.comment(self.anna, 1, "-21m"), only),
            (lambda: self.change_status(self.max, 1, Status.RESOLVED, "-1h"), only),
            (lambda: work_order.plan_changes(self.max, [1], STATUS.name, Status.RESOLVED, "+20m x"), one),
            (lambda: work_order.plan_changes(self.max, [1], "comment", None, "+20m x"), one),
        ):
            with self.assertRaisesRegex(InvalidInputError, message):
                call()
        work_order.comment(self.anna, 1, "-20m")
        self.assertEqual(self.get(self.max, 1).spent_minutes, 0)

    def test_the_done_line_says_so_to_managers_and_admins_where_something_was_done(self) -> None:
        answers = ("Change status", "prog", "-20m typo", "Take", "+5m", "Assign", "max: +10m", "Add comment", "20m")
        output = self.run_as("max", "#1", "Add comment", "+1h 30m replaced", *answers)
        self.assertEqual(re.findall(r"\. (.*) of work noted\.\n", output), ["1h 30m", "-20m", "5m", "10m"])
        self.assertRegex(output, r"Time spent: +1h 25m\n")
        output = self.run_as("uma", "#2", "Add comment", "+1h")
        self.assertIn("Comment on work order #2 added.\n", output)
        self.assertNotIn("Time spent", output)
