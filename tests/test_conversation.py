"""The program as people meet it: the real main.py over pipes, a file and a pseudo-terminal."""

import contextlib
import os
import re
import shutil
import stat
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path
from typing import Dict, Iterator, Type
from unittest import mock

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
    run_bytes,
    run_command,
)

import database
import main
import users
import work_order
from users import Role
from work_order import Priority


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
            *("Register", "ugo", PASSWORD, 1),
            *("Log in", "uma", PASSWORD, "Create work order", "Printer jams", "Tray 2\\", "since Monday", "high"),
            *("Log out", "Exit"),
        )
        self.assertEqual(first.code, 0)
        self.assertIn("User anna registered as admin.\n", first.output)
        self.assertIn("Work order #1 created.\n", first.output)
        change = ("Update work order", 1, "Change status", "in", "ordered a part")
        second = self.run_copy("Log in", "ANNA", PASSWORD, *change)
        self.assertIn("Work order #1 is now In Progress.\n", second.output)
        third = self.run_copy("Log in", "uma", PASSWORD, "View work orders", "Open work order", "#1", "Show history")
        self.assertIn("1   High      In Progress  Printer jams", third.output)
        self.assertIn("    Tray 2\n    since Monday\n", third.output)
        self.assertIn('anna: status from "Open" to "In Progress"\n      ordered a part\n', third.output)

    @unittest.skipIf(os.name == "nt", "Windows has no owner-only modes")
    def test_the_database_is_made_beside_main_for_its_owner_alone(self) -> None:
        self.run_copy("Exit")
        self.assertEqual(stat.S_IMODE((self.folder / "work_order.db").stat().st_mode), 0o600)

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


GLANCED_AT: Dict[str, Type[main.Screen]] = {
    "start": main.StartScreen,
    "main": main.MainScreen,
    "my work": main.MyWorkScreen,
    "list": main.ListScreen,
    "work order": main.WorkOrderScreen,
    "reports": main.ReportsScreen,
    "a report": main.ReportScreen,
    "targets": main.ServiceTargetsScreen,
    "account": main.AccountScreen,
    "users": main.UsersScreen,
    "data": main.DataScreen,
    "mail": main.MailScreen,
    "audit log": main.AuditScreen,
    "deleted": main.DeletedScreen,
}


class ReadmeTest(unittest.TestCase):
    """The menus at a glance, which have to be those of the program."""

    def menus(self, screen: Type[main.Screen] = main.Screen) -> Iterator[Type[main.Screen]]:
        """Return the screens that have a menu of their own with more than the way back."""
        if any(option.number for option in vars(screen).get("MENU", ())):
            yield screen
        for subclass in screen.__subclasses__():
            yield from self.menus(subclass)

    def test_the_menus_at_a_glance_are_those_of_the_program(self) -> None:
        readme = (ROOT / "README.md").read_text(encoding="utf-8")
        (block,) = re.findall(r"^## The menus at a glance\n\n((?: {4}.*\n)+)\n", readme, re.MULTILINE)
        rejoined = re.sub(r"\n {5,}", "  ", block)  # a long menu goes on on the next line
        told = [re.split(": +| {2,}", menu.strip()) for menu in rejoined.splitlines()]
        shown = [[name, *(f"{each.number} {each.label}" for each in menu.MENU)] for name, menu in GLANCED_AT.items()]
        self.assertEqual(told, shown)

    def test_every_menu_stands_there_or_is_part_of_one(self) -> None:
        self.assertEqual({*self.menus()}, {*GLANCED_AT.values(), main.PagedScreen})
        turning = {(option.number, option.label) for option in main.PagedScreen.MENU}
        self.assertLess(turning, {(option.number, option.label) for option in main.ListScreen.MENU})


class CommandLineTest(DatabaseTestCase):
    def test_help_and_version_answer_and_leave_with_0(self) -> None:
        self.assertIn("usage: main.py", run(self.path, arguments=["--help"]).output)
        self.assertRegex(run(self.path, arguments=["--version"]).output, r"^IT Work Order Management System \d")
        self.assertEqual(run(self.path, arguments=["--help"]).code, 0)

    def test_any_other_argument_gets_a_usage_line_and_2(self) -> None:
        for argument in ("--vers", "x", "-v"):
            with self.subTest(argument=argument):
                ended = run(self.path, arguments=[argument])
                self.assertEqual(ended.code, 2)
                self.assertIn("usage: main.py", ended.output)


class MenuTest(DatabaseTestCase):
    def labels(self, username: str) -> str:
        return self.run_as(username, "Log out", "Exit").split("Main menu")[1]

    def test_each_role_sees_only_what_it_may_choose_under_the_same_numbers(self) -> None:
        common = "  1. Create work order\n  2. View work orders\n  3. Update work order\n"
        for username, role in (("uma", "user"), ("max", "manager"), ("anna", "admin")):
            with self.subTest(role=role):
                shown = self.labels(username)
                self.assertRegex(shown, rf"^: {username} \({role}\)\n  .* since your last login\n{common}")
                reports = "  7. Reports\n" * (role != "user")
                self.assertIn(f"  4. Search work orders\n  5. My work\n  6. Summary\n{reports}  8. My account\n", shown)
                self.assertEqual("  9. Manage users\n" in shown, role == "admin")
                self.assertEqual("  10. Data and audit\n" in shown, role != "user")
                self.assertIn("  0. Log out\n", shown)

    def test_a_number_that_the_role_has_no_option_for_is_refused_and_only_the_prompt_comes_again(self) -> None:
        output = self.run_as("uma", 9, 0, 0)
        numbers = "1, 2, 3, 4, 5, 6, 8, 0"
        self.assertIn(
            f"\nError: Choose one of the numbers {numbers}, or # and the ID of a work order.\n"
            "Choose an option or #ID: \nLogged out.\n",
            output,
        )

    def test_no_wrong_answer_at_a_menu_does_anything(self) -> None:
        answers = ["-1", "99", "x", "1.0", "٣", "0x1", "#", "1 2", "\x1b[A", "9" * 5000]
        output = run(self.path, *answers, 0).output
        self.assertEqual(output.count("Error: Choose one of the numbers 1, 2, 0."), len(answers))

    def test_an_empty_answer_at_a_menu_shows_the_screen_again(self) -> None:
        self.assertEqual(run(self.path, "", " ", 0).output.count("IT Work Order Management System\n  1. Register\n"), 3)
        output = self.run_as("uma", "", "Log out", "Exit")
        self.assertEqual(output.count("Main menu: uma (user)\n"), 2)
        self.assertNotIn("Error", output)

    def test_the_work_orders_menu_depends_on_the_role_and_on_what_is_finished(self) -> None:
        self.create(self.uma)
        managers = "1 2 3 4 5 6 7 8 9 10 11"
        numbers = {"uma": "1 2 5 7 8 9 11 0", "max": f"{managers} 0", "anna": f"{managers} 12 0"}
        for username, expected in numbers.items():
            with self.subTest(username=username):
                output = self.run_as(username, "Update work order", 1, "x")
                self.assertIn(f"Choose one of the numbers {expected.replace(' ', ', ')}, or # and", output)
        output = self.run_as("uma", "Update work order", 1, "Change status", "resolved", "", "x")
        self.assertIn("Choose one of the numbers 1, 2, 11, 0, or # and", output)


class RegisterTest(DatabaseTestCase):
    def usernames(self) -> str:
        return " ".join(str(username) for (username,) in self.rows("SELECT username FROM users ORDER BY id"))

    def test_a_wrong_username_password_or_role_is_asked_for_again(self) -> None:
        output = run(
            self.path,
            *("Register", "a", "me", "uma", "Ada Lovelace", "ada"),
            *("short", "12345678", "ada lovelace", "Password123!", PASSWORD),
            *("boss", 4, ""),
        ).output
        self.assertEqual(output.count("Error: "), 10)
        self.assertIn("User ada registered as user.", output)

    def test_an_admin_or_manager_needs_an_admins_name_and_password(self) -> None:
        for role in ("admin", "manager"):
            for name, password in (("anna", "wrong"), ("max", PASSWORD), ("uma", PASSWORD), ("nobody", PASSWORD)):
                with self.subTest(role=role, approver=name):
                    output = run(self.path, "Register", "eve", PASSWORD, role, name, password).output
                    self.assertIn("Error: The admin's username or password is wrong. Nothing was created.", output)
        output = run(self.path, "Register", "eve", PASSWORD, "admin", "").output
        self.assertIn("Cancelled. Nothing was saved.\n\nIT Work Order", output)
        self.assertEqual(self.usernames(), "anna max uma ugo")

    def test_with_an_admins_approval_the_account_is_made(self) -> None:
        output = run(self.path, "Register", "mia", PASSWORD, "manager", "Anna", PASSWORD).output
        self.assertIn("User mia registered as manager.", output)

    def test_an_empty_answer_leaves_the_form(self) -> None:
        self.assertIn("Cancelled. Nothing was saved.", run(self.path, "Register", "", "Exit").output)
        self.assertIn("Cancelled. Nothing was saved.", run(self.path, "Register", "ada", "", "Exit").output)
        self.assertEqual(self.usernames(), "anna max uma ugo")


class LogInTest(DatabaseTestCase):
    def test_an_unknown_name_a_wrong_password_and_a_closed_account_get_the_same_words(self) -> None:
        users.deactivate(self.anna, "ugo")
        outputs = {
            run(self.path, "Log in", name, password, "Exit").output
            for name, password in (("ghost", PASSWORD), ("uma", "wrong"), ("ugo", PASSWORD))
        }
        self.assertEqual(len(outputs), 1)
        self.assertIn("Error: The username or the password is wrong.", outputs.pop())

    def test_a_one_time_password_has_to_be_changed_before_anything_else(self) -> None:
        added = self.run_as("anna", "Manage users", "Add user", "mia", "manager")
        one_time = added.split("One-time password: ")[1].split("\n")[0]
        cancelled = run(self.path, "Log in", "mia", one_time, "", "Exit").output
        self.assertIn("\nCancelled.\n\nIT Work Order", cancelled)
        self.assertNotIn("Main menu", cancelled)
        same = run(self.path, "Log in", "mia", one_time, one_time).output
        self.assertIn("Error: The new password is the current one", same)
        changed = run(self.path, "Log in", "mia", one_time, "a new horse 7").output
        self.assertRegex(changed, r"Password changed\.\n\nMain menu: mia \(manager\)\n  0 assigned to you; ")
        self.assertIn("Error: ", run(self.path, "Log in", "mia", one_time, "Exit").output)
        self.assertIn("Main menu: mia", run(self.path, "Log in", "mia", "a new horse 7").output)

    def test_the_password_is_changed_only_with_the_current_one(self) -> None:
        wrong = self.run_as("uma", "My account", "Change password", "not it", "a new horse 7")
        self.assertIn("Error: The current password is wrong.", wrong)
        changed = ("My account", "Change password", PASSWORD, "a new horse 7")
        right = self.run_as("uma", *changed, "Back", "Create work order", "t", "", "")
        self.assertIn("Password changed.", right)
        self.assertIn("Work order #1 created.", right)


class FormTest(DatabaseTestCase):
    def test_every_prompt_of_create_refuses_wrong_answers_and_asks_again(self) -> None:
        answers = ("x" * 121, "Title", "d" * 10_001, "none", "urgent", 5, 0, "")
        output = self.run_as("uma", "Create work order", *answers)
        self.assertIn("Error: A title has 1 to 120 characters; this one has 121.\nTitle: ", output)
        self.assertIn(
            "Error: A text has at most 10,000 characters; this one has 10,001.\nDescription (optional): ", output
        )
        self.assertEqual(
            output.count("Error: Answer with a number from 1 to 4 or one of: Low, Medium, High, Critical."), 3
        )
        self.assertEqual(self.rows("SELECT title, description, priority FROM work_orders"), [("Title", "", 2)])

    def test_choices_are_taken_as_number_name_or_unambiguous_beginning(self) -> None:
        for answer, priority in (("1", 1), ("LOW", 1), ("c", 4), ("hi", 3), ("", 2), ("med", 2)):
            with self.subTest(answer=answer):
                self.run_as("uma", "Create work order", "t", "", answer)
                self.assertEqual(self.rows("SELECT priority FROM work_orders ORDER BY id DESC LIMIT 1"), [(priority,)])

    def test_every_other_prompt_refuses_wrong_answers_and_asks_again(self) -> None:
        self.create(self.uma)
        answers = ("Change status", 6, 0, "done", "hold", "on", "n" * 10_001, "", "Edit title", "x" * 121, "")
        status = self.run_as("uma", "Update work order", 1, *answers)
        self.assertEqual(status.count("Error: Answer with a number from 1 to 5"), 4)
        self.assertIn("this one has 10,001.\nNote (optional): ", status)
        self.assertIn("this one has 121.\nTitle [Printer jams]: ", status)
        password = self.run_as("uma", "My account", "Change password", PASSWORD, "short", "my uma is in it", "")
        self.assertEqual(password.count("\nNew password: "), 3)
        forms = (
            *("Add user", "uma", "x", "new", "root", ""),
            *("Change role", "ghost", "ugo", 9, "", "Change role", "max", "user", "maybe", ""),
            *("Reset password", "ghost", "ugo", "maybe", ""),
            *("Deactivate", "ghost", "ugo", ""),
            *("Reactivate", "ghost", "ugo"),
        )
        output = self.run_as("anna", "Manage users", *forms)
        self.assertEqual(output.count("Error: There is no user ghost"), 4)
        self.assertEqual(output.count("Error: Answer with a number from 1 to 3"), 2)
        self.assertEqual(output.count("Error: Answer yes or no."), 2)
        self.assertIn("Error: The username uma is taken", output)
        self.assertIn("Error: User ugo is already active.", output)

    def test_an_ambiguous_beginning_is_refused_with_what_it_could_be(self) -> None:
        self.create(self.uma)
        self.assertIn("one of: Open, On Hold.", self.run_as("uma", "Update work order", 1, "Change status", "o", ""))

    def test_a_work_order_that_was_never_given_and_somebody_elses_get_the_same_words(self) -> None:
        self.create(self.ugo)
        tried = [answer for number in (1, 2, 999999999999999999, 0) for answer in ("Update work order", number)]
        output = self.run_as("uma", *tried)
        self.assertEqual(output.count("Error: There is no work order #"), 4)
        self.assertNotIn("Printer", output)

    def test_only_digits_are_a_work_order_id(self) -> None:
        output = self.run_as("uma", "Update work order", "x", "-1", "1.5", "²", "9" * 19, "1e3", "")
        self.assertEqual(output.count("Error: A work order ID is a number such as 12.\nWork order ID: "), 6)
        self.assertIn("\nCancelled.\n\nMain menu", output)

    def test_edits_offer_todays_value_and_an_empty_answer_keeps_it(self) -> None:
        self.create(self.uma, "Old title", "Old text", Priority.HIGH)
        edits = ("Edit title", "", "Edit description", "", "Change priority", "")
        output = self.run_as("uma", "Update work order", 1, *edits)
        for prompt in ("Title [Old title]: ", "Description [Old text]: ", "Priority [High]: "):
            self.assertIn(prompt, output)
        self.assertEqual(self.rows("SELECT field FROM work_order_history"), [("created",)])

    def test_none_empties_a_description_and_a_backslash_goes_on(self) -> None:
        self.create(self.uma, description="Old text")
        self.run_as("uma", "Update work order", 1, "Edit description", "none")
        self.assertEqual(self.rows("SELECT description FROM work_orders"), [("",)])
        self.run_as("uma", "Update work order", 1, "Edit description", "one\\", "two\\", "")
        self.assertEqual(self.rows("SELECT description FROM work_orders"), [("one\ntwo",)])

    def test_delete_needs_a_yes(self) -> None:
        self.create(self.uma)
        output = self.run_as("anna", "Update work order", 1, "Delete", "", "Delete", "maybe", "no", "Delete", "y")
        self.assertEqual(output.count("Are you sure? [no]: "), 4)
        self.assertEqual(output.count("Cancelled. Nothing was saved."), 2)
        self.assertIn("Error: Answer yes or no.", output)
        self.assertIn("Work order #1 deleted.\n\nMain menu", output)

    def test_a_manager_logs_a_work_order_for_a_caller(self) -> None:
        self.create(self.max)
        output = self.run_as("max", "Update work order", 1, "Change requester", "ghost", "uma")
        self.assertIn("Error: There is no user ghost", output)
        self.assertIn("Requester [max]: ", output)
        self.assertIn("Requester of work order #1 is now uma.", output)
        self.assertIn("Work order #1: Printer jams", self.run_as("uma", "Update work order", 1))

    def test_the_users_menu_names_whom_it_changed_and_refuses_the_last_admin(self) -> None:
        output = self.run_as(
            *("anna", "Manage users"),
            *("Change role", "ghost", "ugo", "manager"),
            *("Deactivate", "ugo", "yes"),
            *("Reactivate", "ugo"),
            "List users",
            *("Deactivate", "anna", "yes"),
        )
        self.assertIn("Error: There is no user ghost", output)
        self.assertIn("ugo is now a manager.", output)
        self.assertIn("User ugo deactivated.", output)
        self.assertIn("User ugo reactivated.", output)
        self.assertRegex(output, r"\nUsers \(page 1\)\nUsername  Role     State   Email  Since\n(anna|max)")
        self.assertIn("Error: anna is the last active admin", output)


class HostileInputTest(DatabaseTestCase):
    def test_answers_can_come_from_a_file(self) -> None:
        answers = self.folder / "answers.txt"
        form = ("Create work order", "From a file", "", "")
        answers.write_text(lines("Log in", "uma", PASSWORD, *form, "Log out", "Exit"))
        with answers.open("rb") as file:
            done = subprocess.run(command(), stdin=file, capture_output=True, env=environment(self.path), check=True)
        self.assertIn(b"Work order #1 created.", done.stdout)

    def test_bytes_that_are_no_text_are_refused_at_every_prompt(self) -> None:
        for bad in (b"\xff\xfe", b"a\0b", b"\xed\xa0\x80"):
            with self.subTest(bad=bad):
                answers = ("Log in", "uma", PASSWORD, "Create work order", "Title", "", "", "Log out", "Exit")
                ended = run_bytes(self.path, b"".join(bad + b"\n" + lines(answer).encode() for answer in answers))
                self.assertEqual(ended.output.count("Error: That is not text"), len(answers))
                self.assertIn("created.", ended.output)
                self.assertEqual(ended.code, 0)

    def test_a_line_of_a_megabyte_gets_a_sentence_and_the_next_answer_counts(self) -> None:
        long = "x" * 1_000_000
        output = run(self.path, long, "Log in", "uma", PASSWORD, "Create work order", long, "Title", "", "").output
        self.assertEqual(output.count("Error: That line is too long"), 2)
        self.assertIn("Work order #1 created.", output)

    def test_control_characters_reach_the_screen_as_escapes_only(self) -> None:
        hostile = "red\x1b[31m bell\x07 c1\x9b bidi\u202e line\u2028 del\x7f"
        shown = ("View work orders", "Open work order", 1, "Edit title", "", "Show history")
        output = self.run_as("uma", "Create work order", hostile, hostile, "", *shown)
        self.assertIn(r"red\x1b[31m bell\x07 c1\x9b bidi\u202e line\u2028 del\x7f", output)
        for character in "\x1b\x07\x9b\u202e\u2028\x7f":
            self.assertNotIn(character, output)

    def test_what_the_terminals_encoding_cannot_show_is_replaced(self) -> None:
        self.create(self.uma, "Drücker 印刷")
        output = self.run_as("uma", "View work orders", PYTHONIOENCODING="ascii")
        self.assertIn("Dr?cker ??", output)

    def test_windows_line_ends_are_line_ends(self) -> None:
        output = run_bytes(self.path, lines("Log in", "uma", PASSWORD).replace("\n", "\r\n").encode()).output
        self.assertIn("Main menu: uma", output)


class EndOfInputTest(DatabaseTestCase):
    def test_at_a_menu_the_program_leaves_with_0(self) -> None:
        uma = ("Log in", "uma", PASSWORD)
        for answers in ((), uma, (*uma, "View work orders"), (*uma, "My account")):
            with self.subTest(answers=answers):
                self.assertEqual(run(self.path, *answers).code, 0)

    def test_inside_a_form_nothing_is_saved_and_the_code_is_1(self) -> None:
        form = ("Log in", "uma", PASSWORD, "Create work order", "Title", "text\\", "more", "high")
        for length in (1, 2, 4, 5, 6, 7):
            with self.subTest(answers=form[:length]):
                ended = run(self.path, *form[:length])
                self.assertEqual(ended.code, 1)
                self.assertTrue(ended.output.endswith("Cancelled. Nothing was saved.\n"), ended.output)
        self.assertEqual(self.rows("SELECT * FROM work_orders"), [])

    def test_a_last_line_without_a_line_end_counts(self) -> None:
        answers = lines("Log in", "uma", PASSWORD, "Create work order")
        self.assertIn("Title: ", run_bytes(self.path, answers.rstrip().encode()).output)

    @unittest.skipIf(os.name == "nt", "closes a descriptor as POSIX shells do")
    def test_a_closed_standard_input_is_an_ended_one(self) -> None:
        closing = ["sh", "-c", f'exec "{sys.executable}" "{ROOT / "main.py"}" <&-']
        self.assertEqual(run_command(closing, b"", environment(self.path)).code, 0)


@unittest.skipIf(os.name == "nt", "sends POSIX signals")
class InterruptTest(DatabaseTestCase):
    def test_ctrl_c_at_a_menu_is_the_way_back(self) -> None:
        talk = self.talk()
        talk.log_in("uma")
        talk.expect("Log out\nChoose an option or #ID: ")
        talk.interrupt()
        talk.expect("Logged out.")
        talk.expect("Exit\nChoose an option: ")
        talk.interrupt()
        self.assertEqual(talk.end().code, 0)

    def test_ctrl_c_in_a_form_saves_nothing_and_goes_back(self) -> None:
        for prompts in (
            ("Title: ",),
            ("Title: ", "t", "Description (optional): "),
            ("Title: ", "t", ": ", "", "[Medium]: "),
        ):
            with self.subTest(prompts=prompts):
                talk = self.talk()
                talk.log_in("uma")
                talk.choose("Create work order")
                talk.answer(*prompts[:-1])
                talk.expect(prompts[-1])
                talk.interrupt()
                talk.expect("Cancelled. Nothing was saved.\n\nMain menu")
                self.assertEqual(talk.end().code, 0)
        self.assertEqual(self.rows("SELECT * FROM work_orders"), [])

    def test_ctrl_c_again_and_again_never_shows_a_traceback(self) -> None:
        talk = self.talk()
        talk.expect("Choose an option: ")
        talk.send(lines("Log in", "uma"))
        with contextlib.suppress(BrokenPipeError):  # the program may have ended
            for _ in range(200):
                talk.interrupt()
                talk.send(lines("Log in", "uma", PASSWORD, "Create work order"))
        self.assertNotIn("Traceback", talk.end().output)

    def test_ctrl_c_while_the_program_starts_ends_it_without_a_word(self) -> None:
        talk = self.talk()
        while talk.process.poll() is None:
            talk.interrupt()
        output = talk.end().output
        self.assertNotIn("main.py", output.replace("IT Work Order", ""))


@needs_terminal
class TerminalTest(DatabaseTestCase):
    def test_passwords_are_not_shown_and_a_new_one_is_confirmed(self) -> None:
        talk = self.talk((80, 24))
        talk.answer(
            "option: ", "Register", "Username: ", "ada", "Password: ", PASSWORD, "Confirm password: ", "different"
        )
        talk.expect("Error: The two passwords differ; type the password again.\n")
        seen = talk.answer("Password: ", PASSWORD, "Confirm password: ", PASSWORD, "Role [user]: ", "")
        seen += talk.expect("User ada registered as user.")
        self.assertNotIn(PASSWORD, seen)

    def test_the_main_job_works_and_ctrl_c_leaves_a_form(self) -> None:
        talk = self.talk((80, 24))
        talk.log_in("uma")
        talk.choose("Create work order")
        talk.expect("Title: ")
        talk.send("half a tit\x03")
        talk.expect("Cancelled. Nothing was saved.")
        talk.choose("Create work order")
        talk.answer("Title: ", "Printer", "(optional): ", "", "[Medium]: ", "c")
        talk.expect("Work order #1 created.")
        talk.choose("Log out", "Exit")
        self.assertEqual(talk.end().code, 0)

    def test_what_is_typed_or_pasted_ahead_is_kept_at_a_password_too(self) -> None:
        talk = self.talk((80, 24))
        talk.expect("Choose an option: ")
        password = f"x\x15wrong\x7f\x7f\x7f\x7f\x7f{PASSWORD}ü\x7f"
        ahead = lines("Log in", "uma", password, "Create work order", "Pasted", "", "")
        talk.send(ahead.replace("\n", "\r"))
        talk.expect("Work order #1 created.")

    def test_the_end_of_input_key_ends_its_line(self) -> None:
        talk = self.talk((80, 24))
        talk.choose("Log in")
        talk.expect("Username: ")
        self.assertRegex(plain(talk.end().output), r"^\n+Cancelled\. Nothing was saved\.\n$")

    def test_the_tab_key_lists_no_files(self) -> None:
        talk = self.talk((80, 24))
        talk.choose("Log in")
        talk.expect("Username: ")
        talk.send("tes\x1b\t\x1b\t\t\t\n")
        self.assertNotIn("test.db", talk.expect("Password: "))

    def test_ctrl_c_at_a_password_gives_the_echo_back(self) -> None:
        import termios

        talk = self.talk((80, 24))
        talk.answer("option: ", "Log in", "Username: ", "uma")
        talk.expect("Password: ")
        self.assertFalse(termios.tcgetattr(talk._output)[3] & termios.ECHO)
        talk.send("secret\x03")
        talk.choose("Exit")
        talk.process.wait()
        self.assertTrue(termios.tcgetattr(talk._output)[3] & termios.ECHO)

    def test_the_end_of_input_key_leaves_with_0_at_a_menu_and_1_in_a_form(self) -> None:
        talk = self.talk((80, 24))
        talk.expect("option: ")
        self.assertEqual(talk.end().code, 0)
        talk = self.talk((80, 24))
        talk.choose("Log in")
        talk.expect("Username: ")
        self.assertEqual(talk.end().code, 1)

    def test_the_list_drops_columns_rather_than_wrap_and_aligns_wide_characters(self) -> None:
        self.create(self.uma, "印刷機が紙を噛む " * 6)
        self.create(self.uma, "A plain title " * 8)
        for columns, headings in ((50, "ID  Priority  Status  Title"), (160, "Title")):
            with self.subTest(columns=columns):
                talk = self.talk((columns, 24))
                talk.log_in("max")
                talk.choose("View work orders")
                page = talk.expect("0. Back")
                self.assertIn(headings, page)
                self.assertLessEqual(max(map(main.cell_width, page.split("\n"))), columns)
                self.assertEqual("Requester" in page, columns == 160)

    def test_a_page_holds_what_the_terminal_is_high(self) -> None:
        for _ in range(30):
            self.create(self.uma)
        talk = self.talk((80, 24))
        talk.log_in("uma")
        talk.choose("View work orders")
        talk.expect("30 work orders, most urgent first (page 1 of 3)\n")
        page = talk.expect("0. Back\n")
        self.assertEqual(page.count("Printer jams"), 13)
        self.assertLessEqual(page.count("\n"), 24 - 3)


class ScreenTest(unittest.TestCase):
    def test_text_is_broken_between_words_to_the_width_and_never_loops(self) -> None:
        for columns in (1, 3, 5, 12, 80):
            with self.subTest(columns=columns), mock.patch.dict(os.environ, COLUMNS=str(columns)):
                for text in ("one two three four", "x" * 50, "印刷機が紙を噛む" * 4, "\u202e" * 9, "e\u0301" * 30, ""):
                    lines = main.wrap(text, indent="  ")
                    self.assertEqual("".join("".join(lines).split()), "".join(database.printable(text).split()))
                    self.assertLessEqual(max(map(main.cell_width, lines)), max(4, columns))

    def test_later_lines_stand_deeper_than_the_first(self) -> None:
        self.assertEqual(main.wrap("a\nb", indent="  ", hanging="  "), ["  a", "    b"])

    def test_durations_are_told_in_their_two_largest_units(self) -> None:
        for seconds, told in ((59, "0m"), (720, "12m"), (18720, "5h 12m"), (273600, "3d 4h"), (86400 * 400, "400d 0h")):
            self.assertEqual(work_order.duration(seconds), told)

    def test_wide_and_combining_characters_count_as_cells(self) -> None:
        self.assertEqual([main.cell_width(text) for text in ("abc", "印刷", "e\u0301", "🔥")], [3, 4, 1, 2])
        self.assertEqual(main.fit("印刷機が紙を噛む", 9), "印刷機...")


class LocalTimeTest(DatabaseTestCase):
    def test_times_are_shown_in_local_time(self) -> None:
        self.create(self.uma)
        self.connection.execute("UPDATE work_orders SET created_at = '2026-01-31T20:30:00+00:00'")
        output = self.run_as("uma", "Update work order", 1, TZ="Asia/Tokyo")
        self.assertIn("Created:    2026-02-01 05:30  ", output)


class BusyTest(DatabaseTestCase):
    def test_a_busy_database_gets_a_sentence_and_the_session_goes_on(self) -> None:
        talk = self.talk(busy_seconds=0)
        talk.log_in("uma")
        talk.choose("Create work order")
        talk.answer("Title: ", "t", "(optional): ", "")
        talk.expect("[Medium]: ")
        self.connection.execute("BEGIN EXCLUSIVE")
        talk.send("\n")
        talk.expect("Error: The database is busy with somebody else's work. Nothing was saved;")
        talk.expect("Log out\n")
        self.connection.execute("ROLLBACK")
        talk.choose("Create work order")
        talk.answer("Title: ", "t", "(optional): ", "", "[Medium]: ", "")
        talk.expect("Work order #1 created.")

    def test_a_busy_database_at_the_start_gets_a_sentence_and_1(self) -> None:
        self.connection.execute("BEGIN EXCLUSIVE")
        ended = run_command(command(busy_seconds=0), b"", environment(self.path))
        self.assertEqual(ended.code, 1)
        self.assertTrue(ended.output.startswith("Error: The database is busy"), ended.output)


class PagingTest(DatabaseTestCase):
    def test_next_and_previous_stand_only_where_there_is_such_a_page(self) -> None:
        for number in range(45):
            self.create(self.uma, f"Title {number}.")
        talk = self.talk()
        talk.log_in("uma")
        pages = [talk.choose("View work orders") and talk.expect("0. Back\n")]
        for step in ("Next page", "Next page", "Previous page", "Previous page"):
            talk.choose(step)
            pages.append(talk.expect("0. Back\n"))
        talk.end()
        self.assertEqual([page.count("Title ") - 1 for page in pages], [20, 20, 5, 20, 20])
        self.assertEqual(["1. Next page" in page for page in pages], [True, True, False, True, True])
        self.assertEqual(["2. Previous page" in page for page in pages], [False, True, True, True, False])
        shown = [f"Title {number}." in "".join(pages[:3]) for number in range(45)]
        self.assertTrue(all(shown))

    def test_what_others_change_meanwhile_shows_no_work_order_twice(self) -> None:
        orders = [self.create(self.uma, f"Title {number}.") for number in range(30)]
        talk = self.talk()
        talk.log_in("max")
        talk.choose("View work orders")
        first = talk.expect("0. Back\n")
        work_order.change_status(self.uma, orders[3], work_order.Status.RESOLVED)
        self.create(self.ugo, "New one", priority=Priority.CRITICAL)
        talk.choose("Next page")
        second = talk.expect("0. Back\n")
        talk.end()
        for number in range(30):
            self.assertEqual((first + second).count(f"Title {number}."), 1, number)


class TwoSessionsTest(DatabaseTestCase):
    def opened_by(self, username: str) -> Conversation:
        talk = self.talk()
        talk.log_in(username)
        talk.choose("Update work order")
        talk.answer("Work order ID: ", "1")
        return talk

    def test_a_field_that_somebody_else_changed_is_kept_and_what_was_typed_is_offered_again(self) -> None:
        self.create(self.uma, "First")
        uma, anna = self.opened_by("uma"), self.opened_by("anna")
        uma.choose("Edit title")
        uma.expect("Title [First]: ")
        anna.choose("Edit title")
        anna.answer("Title [First]: ", "Second")
        anna.expect("saved.")
        uma.send("Third\n")
        uma.expect(
            'Error: The title is now "Second": anna changed it in the meantime. Nothing was saved. '
            "What you typed is offered when you choose the same option again.\n"
        )
        uma.choose("Edit title")
        uma.answer("Title [Third]: ", "")
        uma.expect("Title of work order #1 saved.")
        self.assertEqual(self.rows("SELECT title FROM work_orders"), [("Third",)])

    def test_a_change_of_another_field_does_not_get_in_the_way(self) -> None:
        self.create(self.uma, "First")
        uma, anna = self.opened_by("uma"), self.opened_by("anna")
        uma.choose("Edit title")
        uma.expect("Title [First]: ")
        anna.choose("Change priority")
        anna.answer("Priority [Medium]: ", "high")
        anna.expect("is now High.")
        uma.send("Third\n")
        uma.expect("saved.")
        self.assertEqual(self.rows("SELECT title, priority FROM work_orders"), [("Third", 3)])

    def test_what_was_typed_for_a_status_or_an_emptied_description_is_offered_too(self) -> None:
        self.create(self.uma, description="First")
        uma = self.opened_by("uma")
        uma.choose("Change status")
        uma.answer("Status: ", "on hold")
        uma.expect("Note (optional): ")
        order = self.get(self.max, 1)
        work_order.change_status(self.max, order, work_order.Status.RESOLVED)
        uma.send("waiting\n")
        uma.expect('Error: The status is now "Resolved": max changed it')
        uma.expect("Status:     Resolved")
        uma.choose("Change status")
        uma.answer("Status [On Hold]: ", "", "Note [waiting]: ", "")
        uma.expect("Work order #1 is now On Hold.")
        uma.choose("Edit description")
        uma.expect("Description [First]: ")
        work_order.change(self.max, order, work_order.DESCRIPTION, "Second")
        uma.send("none\n")
        uma.expect("Error: ")
        uma.choose("Edit description")
        uma.answer("Description [none]: ", "")
        uma.expect("Description of work order #1 saved.")
        uma.choose("Edit description")
        uma.answer("Description [none]: ", "")
        uma.expect("Nothing changed.")

    def test_an_account_that_is_closed_while_it_replaces_its_one_time_password_is_logged_out(self) -> None:
        one_time = users.add_user(self.anna, "mia", Role.USER)
        talk = self.talk()
        talk.answer("option: ", "Log in", "Username: ", "mia", "Password: ", one_time)
        talk.expect("New password: ")
        users.deactivate(self.anna, "mia")
        talk.send("a new horse 7\n")
        talk.expect("Error: You are logged out: your account has been deactivated.\n\nIT Work Order")

    def test_no_text_can_pass_for_an_entry_of_the_history(self) -> None:
        self.create(self.uma)
        order = self.get(self.uma, 1)
        work_order.change(self.uma, order, work_order.DESCRIPTION, "x\n2026-01-01 09:00  anna: forged")
        output = self.run_as("uma", "Update work order", 1, "Show history")
        self.assertIn("\n      2026-01-01 09:00  anna: forged", output)

    def test_who_is_demoted_or_deactivated_is_refused_at_the_next_action(self) -> None:
        self.create(self.uma)
        max_ = self.opened_by("max")
        max_.expect("0. Back\n")
        users.change_role(self.anna, "max", Role.USER)
        max_.choose("Change priority")
        max_.answer("Priority [Medium]: ", "high")
        max_.expect("Error: There is no work order #1.\n")
        max_.expect("Main menu: max (user)")
        users.deactivate(self.anna, "max")
        max_.choose("Create work order")
        max_.expect("Error: You are logged out: your account has been deactivated.\n\nIT Work Order")

    def test_a_changed_password_ends_the_accounts_other_sessions(self) -> None:
        self.create(self.uma)
        uma = self.opened_by("uma")
        uma.expect("0. Back\n")
        users.change_password(self.uma, PASSWORD, "a new horse 7")
        uma.choose("Edit title")
        uma.answer("]: ", "t")
        uma.expect("Error: You are logged out: your password has been changed.")
