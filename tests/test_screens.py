"""What stands in the terminal: each screen whole, with its menu and its prompt, at each size; and the way around."""

import re
from datetime import datetime, timezone
from typing import List, Tuple

from support import PASSWORD, Conversation, DatabaseTestCase, lines, needs_terminal, plain, run

import database
import main
import users
import work_order
from work_order import Status

SIZES = ((50, 24), (80, 24), (160, 50))
LATE = datetime(2020, 1, 1, tzinfo=timezone.utc)


class ScreenTest(DatabaseTestCase):
    def test_help_and_version_answer_and_anything_else_is_refused(self) -> None:
        self.assertRegex(run(self.path, arguments=["--version"]).output, r"^IT Work Order Management System \d")
        for argument, code in (("--help", 0), ("--vers", 2)):
            ended = run(self.path, arguments=[argument])
            self.assertEqual((ended.code, ended.output.startswith("usage: main.py")), (code, True))

    def test_a_wrong_answer_does_nothing_and_an_empty_one_shows_the_screen_again(self) -> None:
        wrong = ["-1", "99", "x", "1.0", "٢", "0x1", "#", "1 2", "\x1b[A", "9" * 5000]
        output = run(self.path, "", " ", "?", *wrong, "Register", "eve", PASSWORD, "manager").output
        self.assertEqual(output.count("IT Work Order Management System\n  1. Register\n"), 3)
        self.assertIn("Choose one of the numbers 1, 2, 0. An empty answer shows", output)
        self.assertEqual(output.count("Error: Choose one of the numbers 1, 2, 0."), len(wrong))
        self.assertIn("An admin has to approve a new manager.\nAdmin username: ", output)

    def test_00_leads_to_the_main_menu_and_never_further(self) -> None:
        self.create(self.uma)
        places = ("Data and audit", "Audit log", "00", "00", "#1", "00")
        output = self.run_as("anna", "?", "", *places, "Search work orders", "")
        self.assertIn("0 leaves it; 00 leads to the main menu, and #12 opens work order 12.\nChoose an opt", output)
        self.assertEqual(output.count("Main menu: anna (admin)\n"), 6)
        self.assertIn("Search for: \nCancelled.\n", output)
        self.assertNotRegex(output, "Logged out|Error")

    @needs_terminal
    def test_on_a_terminal_logging_out_asks(self) -> None:
        talk = self.talk((80, 24))
        talk.log_in("uma")
        for answer in ("no", "0", "\x03"):
            talk.choose("Log out")
            talk.answer("Log out? [yes]: ", answer)
            talk.expect("Main menu")
        talk.choose("Log out")
        talk.answer("Log out? [yes]: ", "")
        talk.expect("Logged out.")

    def test_a_long_history_and_a_long_list_of_users_go_by_pages(self) -> None:
        self.create(self.uma)
        self.create(self.uma)
        for number in range(60):
            work_order.comment(self.uma, 1, f"Comment {number}." + "\nand more" * 5)
            users.add_caller(self.max, f"User {number:02}", None)
        history = ("#1", "Show history", "Next page", "Next page", "Previous page")
        opened = ("#2", "Back")  # it takes the place of #1 and its history
        output = self.run_as("anna", *history, *opened, "Manage users", "List users", *["Next page"] * 3)
        for number in range(60):
            self.assertIn(f"Comment {number}.", output)
            self.assertIn(f"user.{number:02}", output)
        pages = re.split(r"History of work order #1, newest first \(page \d.*\)\n", output)[1:]
        shown = [(" Comment 59." in page, " Comment 0." in page) for page in pages]
        self.assertEqual(shown, [(True, False), (False, False), (False, True), (False, False)])
        self.assertIn("\n64 users (page 1 of 4)\n", output)

    def test_short_ones_do_not(self) -> None:
        users.add_caller(self.max, "Tom O'Brien", None)
        self.create(self.max, requester="tom.o.brien")
        imported = "source = 'servicenow', source_id = 'INC0010023', source_key = '1'"
        self.connection.execute(f"UPDATE work_orders SET {imported}, created_at = '2026-01-31T20:30:00+00:00'")
        answers = ("#1", "Show history", "Back", "Manage users", "List users")
        output = self.run_as("anna", *answers, TZ="Asia/Tokyo")
        self.assertIn("  Requester:  tom.o.brien (Tom O'Brien) ", output)
        self.assertIn("  From:       servicenow INC0010023\n", output)
        self.assertIn("Created:    2026-02-01 05:30  ", output)
        self.assertIn("History of work order #1, newest first\n", output)
        self.assertIn("\n5 users (page 1 of 1)\n", output)
        self.assertRegex(output, r"\ntom\.o\.brien +user +no password +Tom O'Brien ")
        self.assertNotIn("Next page", output)
        self.assertTrue(output.endswith("Change name or email\n  0. Back\nChoose an option or #ID: \n"), output)

    def test_deleted_work_orders_are_listed_opened_and_restored(self) -> None:
        self.create(self.uma, "Gone", "Its text")
        work_order.delete(self.anna, 1)
        answers = ("Open work order", 1, "Restore work order", 2, "Restore work order", 1)
        output = self.run_as("anna", "Data and audit", "Deleted work orders", *answers)
        self.assertIn("    Its text\n", output)
        self.assertIn("anna: deleted\n", output)
        self.assertIn("Error: There is no deleted work order #2.", output)
        restored = "Work order #1 restored.\n\nDeleted work orders, latest deletion first (page 1)\nThere are none."
        self.assertIn(restored, output)
        self.assertEqual(self.ids(self.uma), [1])

    def test_the_audit_log_goes_by_pages_is_filtered_and_shows_an_entry_whole(self) -> None:
        for _ in range(25):
            users.log_in(self.connection, "uma", PASSWORD)
        filters = ("Filter", "max", "", "Filter", "ghost", "", "registered", "Clear filter")
        answers = ("Next page", "Previous page", *filters, "Show entry", 999, "x", 1)
        output = self.run_as("anna", "Data and audit", "Audit log", *answers)
        pages = [page.split(" (")[0] for page in output.split("Audit log, newest first: ")[1:]]
        self.assertEqual(pages, [*["everything"] * 3, "max", "registered", "everything"])
        self.assertIn("Error: There is no user ghost", output)
        self.assertIn("Error: There is no entry 999.\n", output)
        self.assertRegex(output, r"\nAudit log entry\n  ID:          1\n(.*\n)+  Subject:     anna as admin\n")

    def test_the_summary_counts_by_status_and_priority_and_ones_own(self) -> None:
        for session in (self.uma, self.ugo, self.ugo):
            self.create(session)
        self.change_status(self.max, 3, Status.RESOLVED)
        output = self.run_as("uma", "Summary")
        self.assertIn("\nSummary of all work orders: 3, 1 requested by you\n", output)
        self.assertRegex(output, r"\nStatus +Low +Medium +High +Critical +Total +Yours\nOpen +0 +2 +0 +0 +2 +█+ +1\n")
        self.assertRegex(output, r"\nResolved +0 +1 +0 +0 +1 +█+ +0\n")


@needs_terminal
class FitTest(DatabaseTestCase):
    """What stands in the terminal when the prompt has come: its last lines, none of which wraps."""

    def signed_in(self, username: str, size: Tuple[int, int], **changes: str) -> Conversation:
        talk = self.talk(size, database.BUSY_SECONDS, **changes)
        talk.log_in(username)
        return talk

    def assert_in_sight(self, talk: Conversation, size: Tuple[int, int], done: str, *texts: str) -> List[str]:
        """Return the lines in sight at the next menu prompt that follows what was done."""
        seen = plain(talk.expect(done) + talk.expect("#ID: ")).split("\n")
        shown = seen[-size[1] :]
        for text in ("0. Back", *texts):
            self.assertTrue(any(text in line for line in shown), (text, "\n".join(shown)))
        self.assertLessEqual(max(map(main.cell_width, shown)), size[0])
        return shown

    def full_work_order(self) -> None:
        description = "\n".join(f"Line {number} " + "of the description " * 9 for number in range(40))
        self.create(self.uma, "A title of 120 characters " * 4 + "x" * 16, description)
        self.change(self.max, 1, work_order.CATEGORY, "A category of 40 characters" + "x" * 13)
        self.change(self.max, 1, work_order.DUE_DATE, LATE)
        for number in range(12):
            work_order.comment(self.uma, 1, f"Comment {number} " + "is long " * 60)

    def test_after_every_action_the_work_order_is_in_sight_with_the_menu(self) -> None:
        self.full_work_order()
        fields = ("Work order #1: A title", "Status:", "Priority:", "Requester:", "Assignee:", "Due:")
        menu = ("1. Change status", "8. Edit description", "12. Delete")
        for size in SIZES:
            talk = self.signed_in("anna", size)
            talk.choose("#1")
            talk.expect("#ID: ")
            for option, answers, done in (
                ("Add comment", ("Comment: ", "Another"), "Comment on work order #1 added."),
                ("Assign", ("Assignee: ", "max", "(optional): ", ""), "is now assigned to max."),
                ("Take", ("sure? [no]: ", "y", "(optional): ", ""), "Work order #1 is now yours."),
                ("Change priority", ("]: ", "low" if size == SIZES[1] else "high"), "is now "),
                ("Set due date", ("...): ", f"2020-01-{size[0] // 10:02} 17:00"), "which is in the past."),
                ("Change status", ("Status: ", "reso", "(optional): ", "Plugged it in"), "is now Resolved."),
                ("Change status", ("Status: ", "hold", "[no day]: ", "", "(optional): ", "Away"), "is now On Hold."),
                ("Change status", ("Status: ", "open", "(optional): ", ""), "is now Open."),
            ):
                with self.subTest(size=size, option=option, done=done):
                    talk.send(lines(option))
                    talk.answer(*answers)
                    self.assert_in_sight(talk, size, done.split()[-1], done.split()[-1], *fields, *menu)

    def test_what_has_no_room_is_in_the_history_and_a_user_sees_no_less_than_a_manager(self) -> None:
        self.full_work_order()
        seen = []
        for username, size, text in (
            ("max", (50, 24), "Comment 11"),
            ("max", (80, 24), "Line 0 of"),
            ("uma", (80, 24), "Line 0 of"),
        ):
            talk = self.signed_in(username, size)
            talk.choose("#1")
            shown = self.assert_in_sight(talk, size, "Work order #1", "more in Show history", text)
            seen.append(sum(line.startswith("    ") for line in shown))
        self.assertGreaterEqual(seen[2], seen[1])

    def test_where_there_is_room_texts_keep_their_line_breaks_and_the_menu_has_one_column(self) -> None:
        self.create(self.uma)
        work_order.comment(self.uma, 1, "Dear all,\nthe printer jams.\nBye")
        talk = self.signed_in("uma", (80, 24))
        talk.choose("#1")
        menu = "  1. Change status\n  2. Add comment\n"
        self.assertIn(f"Dear all,\n      the printer jams.\n      Bye\n{menu}", plain(talk.expect("#ID: ")))

    def test_a_history_goes_by_pages_that_fit_and_leave_nothing_out(self) -> None:
        self.full_work_order()
        for size in SIZES:
            with self.subTest(size=size):
                talk = self.signed_in("max", size)
                talk.choose("#1", "Show history")
                pages = [self.assert_in_sight(talk, size, "newest first", "History of work order #1, newest first")]
                while any("1. Next page" in line for line in pages[-1]):
                    talk.send("1\r")
                    pages.append(self.assert_in_sight(talk, size, "newest first", "History of work order #1"))
                everything = "\n".join(line for page in pages for line in page)
                self.assertEqual(list(map(int, re.findall(r"Comment (\d+) ", everything))), list(range(12))[::-1])
                self.assertEqual(everything.count("long"), 12 * 60)
                self.assertIn("Line 39 of", everything)

    def test_a_list_is_in_sight_with_its_heading_and_its_menu(self) -> None:
        for number in range(1, 51):
            self.create(self.anna, f"Printer {number} " * 6)
            self.change(self.max, number, work_order.DUE_DATE, LATE)
        for number in range(43, 51):
            for _ in range(8):
                work_order.comment(self.max, number, f"Line {number}\n" * 50)
        run(self.path, "Register", "x" * 32, PASSWORD, "admin", "anna", "wrong", "")
        for size in SIZES:
            with self.subTest(size=size):
                self.connection.execute("UPDATE users SET seen_history_id = 0")
                talk = self.signed_in("anna", size)
                talk.choose("View work orders", "Next page")
                self.assert_in_sight(talk, size, "page 2", "50 work orders", "ID  Pri")
                talk.send(lines("00", "My work", "Overdue", "Next page"))
                self.assert_in_sight(talk, size, "page 2", "50 work orders", "ID  Pri")
                talk.send(lines("00", "Search work orders", " ".join(["printer"] * 20), "Next page"))
                self.assert_in_sight(talk, size, "page 2", "50 work orders", "ID  Pri")
                talk.send(lines("00", "My work", "Changed by others"))
                self.assert_in_sight(talk, size, "50 work orders", "50 work orders", "ID  Pri", "6 more: Show history")
                talk.send(lines("00", "Data and audit", "Audit log"))
                self.assert_in_sight(talk, size, "newest first", "Audit log, newest first", "ID  ", "approval")

    def test_on_a_narrow_terminal_no_sentence_and_no_prompt_wraps(self) -> None:
        self.create(self.uma)
        talk = self.signed_in("max", (50, 24))
        seen = talk.answer("#ID: ", "x", "#ID: ", "?", "#ID: ", "#1", "#ID: ", "Set due date") + talk.expect("...): ")
        self.assertLessEqual(max(map(len, plain(seen).split("\n"))), 50)

    def test_where_colours_are_not_wanted_there_are_none(self) -> None:
        self.create(self.uma)
        self.change(self.max, 1, work_order.DUE_DATE, LATE)
        for name, value, is_coloured in (("NO_COLOR", "", True), ("NO_COLOR", "1", False), ("TERM", "dumb", False)):
            talk = self.signed_in("uma", (80, 24), **{name: value})
            talk.choose("View work orders")
            self.assertEqual("\x1b[1;31moverdue" in talk.expect("0. Back"), is_coloured, value)
