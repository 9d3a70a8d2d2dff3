"""What stands in the terminal: each screen whole, with its menu and its prompt, at each size; and the way around."""

import re
import shutil
import subprocess
import sys
import tempfile
import unittest
from datetime import datetime, timezone
from pathlib import Path
from typing import List, Sequence, Tuple

from support import (
    PASSWORD,
    ROOT,
    Conversation,
    DatabaseTestCase,
    Ended,
    command,
    environment,
    lines,
    needs_terminal,
    plain,
    run,
    run_command,
)

import database
import main
import users
import work_order
from users import Role
from work_order import Status

SIZES = ((80, 24), (50, 24), (160, 50))
LATE = datetime(2020, 1, 1, tzinfo=timezone.utc)


class BareCopyTest(unittest.TestCase):
    """The main job on a copy of the four modules, the database beside them."""

    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)
        for name in ("main.py", "database.py", "users.py", "work_order.py"):
            shutil.copy(ROOT / name, self.folder)

    def run_copy(self, *answers: object, **changes: str) -> Ended:
        variables = {**environment(self.folder), **changes}
        if not changes:
            del variables["WORK_ORDER_DB"]
        real = [sys.executable, str(self.folder / "main.py")]
        return run_command(real, lines(*answers).encode(), variables)

    def test_a_department_registers_creates_updates_and_finds_all_again_after_a_restart(self) -> None:
        first = self.run_copy(
            *("Register", "Anna", PASSWORD, ""),
            *("Register", "uma", PASSWORD, ""),
            *("Log in", "uma", PASSWORD, "Create work order", "Printer jams", "Tray 2\\", "since Monday", "high"),
            *("Back", "Log out", "Exit"),
        )
        self.assertEqual(first.code, 0)
        self.assertIn("User anna registered as admin.\n", first.output)
        self.assertIn("Work order #1 created.\n", first.output)
        change = ("Update work order", 1, "Change status", "prog", "ordered a part")
        second = self.run_copy("Log in", "ANNA", PASSWORD, *change)
        self.assertIn("Work order #1 is now In Progress.\n", second.output)
        third = self.run_copy("Log in", "uma", PASSWORD, "View work orders", "Open work order", "#1", "Show history")
        self.assertIn("1   High      In Progress  Printer jams", third.output)
        self.assertIn("    Tray 2\n    since Monday\n", third.output)
        self.assertIn('anna: status from "Open" to "In Progress":\n      ordered a part\n', third.output)
        self.assertTrue((self.folder / "work_order.db").exists())

    def test_an_empty_work_order_db_is_as_good_as_none(self) -> None:
        self.run_copy("Exit", WORK_ORDER_DB="")
        self.assertTrue((self.folder / "work_order.db").exists())


class TopLevelTest(unittest.TestCase):
    def test_the_project_is_exactly_the_seven_names_and_holds_no_package(self) -> None:
        names = {path.name for path in ROOT.iterdir() if not path.name.startswith((".", "__pycache__"))}
        kept = {name for name in names if not name.startswith(("work_order.db", "work_order.log"))}
        expected = {"main.py", "database.py", "users.py", "work_order.py", "tests", "README.md", "LICENSE"}
        self.assertEqual(kept - {"backups", "exports", "imports"}, expected)
        self.assertEqual(list(ROOT.glob("tests/**/__init__.py")), [])


class CommandLineTest(DatabaseTestCase):
    def test_help_and_version_answer_and_anything_else_is_refused(self) -> None:
        self.assertIn("usage: main.py", run(self.path, arguments=["--help"]).output)
        self.assertRegex(run(self.path, arguments=["--version"]).output, r"^IT Work Order Management System \d")
        for argument in ("--vers", "x", "-v"):
            ended = run(self.path, arguments=[argument])
            self.assertEqual((ended.code, "usage: main.py" in ended.output), (2, True))

    def test_answers_can_come_from_a_file(self) -> None:
        answers = self.folder / "answers.txt"
        form = ("Create work order", "From a file", "", "")
        answers.write_text(lines("Log in", "uma", PASSWORD, *form, "Back", "Log out", "Exit"))
        with answers.open("rb") as file:
            done = subprocess.run(command(), stdin=file, capture_output=True, env=environment(self.path), check=True)
        self.assertIn(b"Work order #1 created.", done.stdout)


class OptionTest(unittest.TestCase):
    def test_a_class_has_its_own_and_inherited_options_by_number_and_0_last(self) -> None:
        labels = [each.label for each in main.DeletedScreen.options_by_number().values()]
        self.assertEqual(labels, ["Next page", "Previous page", "Open work order", "Restore work order", "Back"])

    def test_a_handler_of_the_wrong_form_is_refused_by_the_type_checker(self) -> None:
        checker = ROOT / ".ci" / "venv" / "bin" / "mypy"
        if not checker.exists():
            self.skipTest("the type checker is not here")
        wrong = (
            "from main import Next, SessionScreen, option\n"
            "class Wrong(SessionScreen):\n"
            "    @option(1, 'Returns a text')\n"
            "    def first(self) -> str: return ''\n"
            "    @option(2, 'Takes an argument')\n"
            "    def second(self, number: int) -> Next: return None\n"
            "    @option(3, 'Right')\n"
            "    def third(self) -> Next: return None\n"
        )
        checked = subprocess.run(
            [str(checker), "--strict", "--cache-dir", "/dev/null", "--follow-imports", "silent", "-c", wrong],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )
        self.assertEqual(re.findall(r"<string>:(\d+): error", checked.stdout), ["3", "5"], checked.stdout)


class WayAroundTest(DatabaseTestCase):
    def test_no_wrong_answer_at_a_menu_does_anything(self) -> None:
        answers = ["-1", "99", "x", "1.0", "٣", "0x1", "#", "1 2", "\x1b[A", "9" * 5000]
        output = run(self.path, *answers, 0).output
        self.assertEqual(output.count("Error: Choose one of the numbers 1, 2, 0."), len(answers))

    def test_an_empty_answer_shows_the_screen_again(self) -> None:
        self.assertEqual(run(self.path, "", " ", 0).output.count("IT Work Order Management System\n  1. Register\n"), 3)
        output = self.run_as("uma", "", "Log out", "Exit")
        self.assertEqual(output.count("Main menu: uma (user)\n"), 2)
        self.assertNotIn("Error", output)

    def test_a_question_mark_says_what_can_be_typed(self) -> None:
        self.assertIn("Choose one of the numbers 1, 2, 0. An empty answer shows", run(self.path, "?").output)
        output = self.run_as("uma", "?")
        self.assertIn("0 leaves it; 00 leads to the main menu, and #12 opens work order 12.\nChoose an opt", output)
        self.assertNotIn("Error", output)

    def test_00_leads_to_the_main_menu_and_never_further(self) -> None:
        self.create(self.uma)
        output = self.run_as("anna", "Data and audit", "Audit log", "00", "00", "#1", "00", "Summary")
        self.assertEqual(output.count("Main menu: anna (admin)\n"), 5)
        self.assertNotIn("Logged out", output)
        self.assertNotIn("Error", output)

    def test_one_opened_from_a_history_takes_its_place(self) -> None:
        for _ in range(2):
            self.create(self.uma)
        for number in range(60):
            work_order.comment(self.uma, 1, f"Comment {number}." + "\nand more" * 5)
        output = self.run_as("anna", "#1", "Show history", "#2", "Back", "Log out", "Exit")
        self.assertIn("Next page", output)
        self.assertTrue(output.endswith("0. Exit\nChoose an option: \n"))

    def test_leaving_what_saves_nothing_says_nothing_about_saving(self) -> None:
        output = self.run_as("uma", "Search work orders", "", "Update work order", "", "View work orders", "Filter", "")
        self.assertEqual(output.count("\nCancelled.\n"), 3)
        self.assertNotIn("Nothing was saved", output)

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

    def test_a_busy_database_keeps_the_session(self) -> None:
        talk = self.talk(busy_seconds=0)
        talk.log_in("uma")
        talk.expect("0. Log out\n")
        self.connection.execute("BEGIN EXCLUSIVE")
        talk.choose("View work orders")
        talk.expect("Error: The database is busy with somebody else's work.")
        talk.expect("0. Log out\n")
        self.connection.execute("ROLLBACK")
        talk.choose("View work orders")
        talk.expect("No work orders")


class ShortScreenTest(DatabaseTestCase):
    """What is printed at once, or by pages where it is long."""

    def test_a_long_history_and_a_long_list_of_users_go_by_pages(self) -> None:
        self.create(self.uma)
        for number in range(60):
            work_order.comment(self.uma, 1, f"Comment {number}." + "\nand more" * 5)
            users.add_caller(self.max, f"User {number:02}", None)
        history = ("#1", "Show history", "Next page", "Next page", "Previous page", "Back", "Back")
        output = self.run_as("anna", *history, "Manage users", "List users", *["Next page"] * 3)
        for number in range(60):
            self.assertIn(f"Comment {number}.", output)
            self.assertIn(f"user.{number:02}", output)
        pages = re.split(r"History of work order #1, newest first \(page \d.*\)\n", output)[1:]
        shown = [(" Comment 59." in page, " Comment 0." in page) for page in pages]
        self.assertEqual(shown[:3], [(True, False), (False, False), (False, True)])
        self.assertIn("\n64 users (page 1 of 4)\n", output)

    def test_short_ones_do_not(self) -> None:
        self.create(self.uma)
        output = self.run_as("anna", "#1", "Show history", "Back", "Manage users", "List users")
        self.assertIn("History of work order #1, newest first\n", output)
        self.assertIn("\n4 users (page 1 of 1)\n", output)
        self.assertNotIn("Next page", output)

    def test_a_list_of_users_says_who_has_no_password_and_who_is_locked(self) -> None:
        users.add_caller(self.max, "Tom O'Brien", None)
        for _ in range(5):
            run(self.path, "Log in", "uma", "not the one")
        output = self.run_as("anna", "Manage users", "List users")
        self.assertRegex(output, r"\ntom\.o\.brien +user +no password +Tom O'Brien ")
        self.assertRegex(output, r"\numa +user +locked ")

    def test_deleted_work_orders_are_listed_opened_and_restored(self) -> None:
        self.create(self.uma, "Gone", "Its text")
        work_order.delete(self.anna, 1)
        answers = ("Open work order", 1, "Restore work order", 2, "Restore work order", 1)
        output = self.run_as("anna", "Data and audit", "Deleted work orders", *answers)
        self.assertIn("    Its text\n", output)
        self.assertIn("anna: deleted\n", output)
        self.assertIn("Error: There is no deleted work order #2.", output)
        self.assertIn(
            "Work order #1 restored.\n\nDeleted work orders, latest deletion first (page 1)\nThere are no", output
        )
        self.assertEqual(self.ids(self.uma), [1])

    def test_the_audit_log_goes_by_pages_is_filtered_and_shows_an_entry_whole(self) -> None:
        for _ in range(25):
            users.log_in(self.connection, "uma", PASSWORD)
        filters = ("Filter", "max", "", "Filter", "ghost", "", "registered", "Clear filter")
        answers = ("Next page", "Previous page", *filters, "Show entry", 999, "x", 1)
        output = self.run_as("anna", "Data and audit", "Audit log", *answers)
        pages = output.split("Audit log, newest first: ")[1:]
        self.assertEqual([page.split(" (")[0] for page in pages][:5], ["everything"] * 3 + ["max", "registered"])
        self.assertIn("Error: There is no user ghost", output)
        self.assertIn("Error: There is no entry 999.\n", output)
        self.assertIn("\nAudit log entry\n  ID:          1\n", output)

    def test_times_are_local(self) -> None:
        self.create(self.uma)
        self.connection.execute("UPDATE work_orders SET created_at = '2026-01-31T20:30:00+00:00'")
        output = self.run_as("uma", "Update work order", 1, TZ="Asia/Tokyo")
        self.assertIn("Created:    2026-02-01 05:30  ", output)


@needs_terminal
class FitTest(DatabaseTestCase):
    """What stands in the terminal when the prompt has come: its last lines."""

    def signed_in(self, username: str, size: Tuple[int, int]) -> Conversation:
        talk = self.talk(size)
        talk.log_in(username)
        return talk

    def screen(self, talk: Conversation, size: Tuple[int, int], done: str = "") -> List[str]:
        """Return the lines of the terminal at the next menu prompt that follows what was done."""
        seen = plain(talk.expect(done)) if done else ""
        seen += plain(talk.expect("#ID: "))
        shown = []
        for line in seen.split("\n"):
            width = max(1, main.cell_width(line))
            shown += [line, *[""] * ((width - 1) // size[0])]  # what the terminal itself breaks
        return shown[-size[1] :]

    def assert_in_sight(self, shown: List[str], *texts: str) -> None:
        for text in texts:
            self.assertTrue(any(text in line for line in shown), (text, "\n".join(shown)))

    def full_work_order(self) -> None:
        description = "\n".join(f"Line {number} " + "of the description " * 9 for number in range(40))
        self.create(self.uma, "A title of 120 characters " * 4 + "x" * 16, description)
        self.change(self.max, 1, work_order.CATEGORY, "A category of 40 characters" + "x" * 13)
        self.change(self.max, 1, work_order.DUE_DATE, LATE)
        for number in range(30):
            work_order.comment(self.uma, 1, f"Comment {number} " + "is long " * 60)

    def test_after_every_action_the_work_order_is_in_sight_with_the_menu(self) -> None:
        self.full_work_order()
        numbers = {each.label: each.number for each in main.WorkOrderScreen.options_by_number().values()}
        for size in SIZES:
            talk = self.signed_in("anna", size)
            talk.choose("#1")
            self.assert_in_sight(self.screen(talk, size), "Work order #1: A title", "Status:", "#ID: ")
            for option, answers, done in (
                ("Add comment", ("Comment: ", "Another"), "Comment on work order #1 added."),
                ("Assign", ("Assignee: ", "max", "(optional): ", ""), "is now assigned to max."),
                ("Take", ("sure? [no]: ", "y", "(optional): ", ""), "Work order #1 is now yours."),
                ("Change priority", ("]: ", f"{'low' if size == SIZES[1] else 'high'}"), "is now "),
                ("Set due date", ("...): ", f"2020-01-{size[0] // 10:02} 17:00"), "which is in the past."),
                ("Change status", ("Status: ", "reso", "(optional): ", "Plugged it in"), "is now Resolved."),
                (
                    "Change status",
                    ("Status: ", "hold", "[no day]: ", "", "(optional): ", "Eve is away"),
                    "is now On Hold.",
                ),
                ("Change status", ("Status: ", "open", "(optional): ", ""), "is now Open."),
            ):
                with self.subTest(size=size, option=option, done=done):
                    talk.send(f"{numbers[option]}\r")
                    talk.answer(*answers)
                    shown = self.screen(talk, size, done.split()[-1])
                    texts = ("Work order #1: A title", "Status:", "Priority:", "Requester:", "Assignee:", "Due:")
                    menu = ("1. Change status", "8. Edit description", "12. Delete", "0. Back", "#ID: ")
                    self.assert_in_sight(shown, done.split()[-1], *texts, *menu)
                    self.assertLessEqual(max(map(main.cell_width, shown)), size[0])
                    if size[0] > 50 and answers[-1] and option in ("Add comment", "Change status"):
                        self.assert_in_sight(shown, answers[-1].split()[0])

    def test_what_has_no_room_is_said_to_be_in_the_history(self) -> None:
        self.full_work_order()
        for size in SIZES:
            for username in ("max", "uma"):
                with self.subTest(size=size, username=username):
                    talk = self.signed_in(username, size)
                    talk.choose("#1")
                    shown = self.screen(talk, size)
                    self.assert_in_sight(shown, "more in Show history", "Comment 29")
                    if size[0] > 50:
                        self.assert_in_sight(shown, "Line 0 of")

    def test_a_user_sees_no_less_of_it_than_a_manager(self) -> None:
        self.create(self.uma, description="\n".join(f"Line {number}." for number in range(40)))
        shown = {}
        for username in ("uma", "max"):
            talk = self.signed_in(username, (80, 24))
            talk.choose("#1")
            shown[username] = sum("Line " in line for line in self.screen(talk, (80, 24)))
        self.assertGreaterEqual(shown["uma"], shown["max"])

    def test_a_pasted_mail_keeps_its_line_breaks_where_there_is_room(self) -> None:
        self.create(self.uma)
        work_order.comment(self.uma, 1, "Dear all,\nthe printer jams.\nBye")
        talk = self.signed_in("uma", (80, 24))
        talk.choose("#1")
        self.assertIn("Dear all,\n      the printer jams.\n      Bye\n", plain(talk.expect("#ID: ")))

    def test_a_short_work_order_has_its_menu_in_one_column_where_there_is_room(self) -> None:
        self.create(self.uma)
        talk = self.signed_in("uma", (80, 24))
        talk.choose("#1")
        self.assertIn("  1. Change status\n  2. Add comment\n", plain(talk.expect("#ID: ")))

    def test_a_history_goes_by_pages_that_fit_and_leave_nothing_out(self) -> None:
        self.full_work_order()
        for size in SIZES:
            with self.subTest(size=size):
                talk = self.signed_in("max", size)
                talk.choose("#1", "Show history")
                pages = [self.screen(talk, size, "newest first")]
                while any("1. Next page" in line for line in pages[-1]):
                    talk.send("1\r")
                    pages.append(self.screen(talk, size, "newest first"))
                for page in pages:
                    self.assert_in_sight(page, "History of work order #1, newest first", "0. Back", "#ID: ")
                    self.assertLessEqual(max(map(main.cell_width, page)), size[0])
                everything = "\n".join(line for page in pages for line in page)
                self.assertEqual(list(map(int, re.findall(r"Comment (\d+) ", everything))), list(range(30))[::-1])
                self.assertEqual(everything.count("long"), 30 * 60)
                self.assertIn("Line 39 of", everything)

    def test_a_list_is_in_sight_with_its_heading_and_its_menu(self) -> None:
        for number in range(60):
            self.create(self.uma, f"Printer {number} " * 6)
            self.change(self.max, number + 1, work_order.DUE_DATE, LATE)
        starts: Sequence[Sequence[str]] = (
            ("View work orders",),
            ("My work", "Overdue"),
            ("My work", "Changed by others"),
            ("Search work orders",),
        )
        for size in SIZES:
            for start in starts:
                with self.subTest(size=size, start=start):
                    self.connection.execute("UPDATE users SET seen_history_id = 0")
                    talk = self.signed_in("uma", size)
                    talk.choose(*start)
                    if start == ("Search work orders",):
                        talk.answer("Search for: ", " ".join(["printer"] * 20))
                    talk.choose("Next page")
                    shown = self.screen(talk, size, "60 work orders")
                    self.assert_in_sight(shown, "60 work orders", "ID  Pri", "0. Back", "#ID: ")

    def test_what_others_changed_is_in_sight_however_much_it_is(self) -> None:
        for number in range(12):
            self.create(self.max, f"Printer {number}")
            for _ in range(8):
                work_order.comment(self.anna, number + 1, f"Line {number}\n" * 50)
        for size in SIZES:
            with self.subTest(size=size):
                self.connection.execute("UPDATE users SET seen_history_id = 0")
                talk = self.signed_in("max", size)
                talk.choose("My work", "Changed by others")
                shown = self.screen(talk, size, "12 work orders")
                self.assert_in_sight(shown, "12 work orders", "ID  Pri", "and 5 more: Show history", "0. Back", "#ID: ")

    def test_no_line_of_the_audit_log_wraps(self) -> None:
        run(self.path, "Register", "x" * 32, PASSWORD, "admin", "anna", "wrong", "")
        for size in SIZES:
            with self.subTest(size=size):
                talk = self.signed_in("anna", size)
                talk.choose("Data and audit", "Audit log")
                shown = self.screen(talk, size, "newest first")
                self.assertLessEqual(max(map(main.cell_width, shown)), size[0])
                self.assert_in_sight(shown, "Audit log, newest first", "ID  ", "approval failed"[:8], "0. Back")

    def test_no_line_breaks_inside_a_word_that_fits_it(self) -> None:
        for _ in range(2):
            self.create(self.anna, assignee="max")
        talk = self.signed_in("anna", (50, 24))
        talk.choose("View work orders")
        talk.answer("#ID: ", "x", "#ID: ", "?", "#ID: ", "Back")
        talk.choose("Manage users", "Deactivate")
        talk.answer("Username: ", "max", "[nobody]: ", "?", "[nobody]: ", "anna", "[no]: ", "yes")
        seen = plain(talk.expect("handed over") + talk.expect("#ID: "))
        words = {word for line in seen.split("\n") for word in line.split()}
        self.assertLessEqual(max(map(len, seen.split("\n"))), 50)
        self.assertFalse({word for word in words if word in ("assign", "ee.", "una", "bove")})

    def test_the_first_prompt_of_a_long_label_does_not_wrap(self) -> None:
        self.create(self.uma)
        talk = self.signed_in("max", (50, 24))
        talk.choose("#1", "Set due date")
        shown = plain(talk.expect("...): ")).split("\n")
        self.assertLessEqual(max(map(len, shown)), 50)

    def test_where_colours_are_not_wanted_there_are_none(self) -> None:
        self.create(self.uma)
        self.change(self.max, 1, work_order.DUE_DATE, LATE)
        for name, value, is_coloured in (("NO_COLOR", "", True), ("NO_COLOR", "1", False), ("TERM", "dumb", False)):
            talk = self.talk((80, 24), database.BUSY_SECONDS, **{name: value})
            talk.log_in("uma")
            talk.choose("View work orders")
            self.assertEqual("\x1b[1;31moverdue" in talk.expect("0. Back"), is_coloured, value)


class SummaryTest(DatabaseTestCase):
    def test_it_counts_everybodys_work_orders_by_status_and_priority_and_ones_own(self) -> None:
        for session in (self.uma, self.ugo, self.ugo):
            self.create(session)
        self.change_status(self.max, 3, Status.RESOLVED)
        output = self.run_as("uma", "Summary")
        self.assertIn("\nSummary of all work orders: 3, 1 requested by you\n", output)
        self.assertRegex(output, r"\nStatus +Low +Medium +High +Critical +Total +Yours\nOpen +0 +2 +0 +0 +2 +1 +█+\n")
        self.assertRegex(output, r"\nResolved +0 +1 +0 +0 +1 +0 +█+\n")


class FieldTest(DatabaseTestCase):
    def test_a_work_order_that_was_imported_shows_where_it_comes_from(self) -> None:
        self.create(self.uma)
        self.connection.execute(
            "UPDATE work_orders SET source = 'servicenow', source_id = 'INC0010023', source_key = '1'"
        )
        self.assertIn("  From:       servicenow INC0010023\n", self.run_as("uma", "#1"))

    def test_a_name_stands_beside_the_username_where_there_is_room(self) -> None:
        users.change_person(self.anna, "uma", "Uma Uno", None)
        self.create(self.uma)
        self.change_status(self.max, 1, Status.ON_HOLD)
        self.assertIn("  Requester:  uma (Uma Uno) ", self.run_as("max", "#1"))

    def test_who_needs_approval_is_told_so(self) -> None:
        output = run(self.path, "Register", "eve", PASSWORD, Role.MANAGER).output
        self.assertIn("An admin has to approve a new manager.\nAdmin username: ", output)


if __name__ == "__main__":
    unittest.main()
