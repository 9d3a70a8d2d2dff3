"""The terminal: what is typed, pasted, interrupted or left alone, what is echoed, and how wide a text is."""

import contextlib
import os
import re
import signal
import time
import unittest
from pathlib import Path
from typing import Dict, List, Sequence, Tuple
from unittest import mock

from support import (
    PASSWORD,
    Conversation,
    DatabaseTestCase,
    command,
    environment,
    lines,
    needs_terminal,
    plain,
    run,
    run_bytes,
)

import database
import main
import work_order

try:
    import readline
except ImportError:  # not in every Python
    readline = None  # type: ignore[assignment]
try:
    import termios
except ImportError:  # not on Windows
    termios = None  # type: ignore[assignment]

# Each line would do something at a menu.
MAIL = ("Dear all,", "1", "2", "res", "0", "yes", "#1", "3", "4", "5", "Thanks", "0")
SIZE = (80, 24)
PLACES = ("menu", "password", "first", "second")
has_gnu_readline = readline is not None and "libedit" not in (readline.__doc__ or "")
needs_gnu_readline = unittest.skipUnless(has_gnu_readline, "this Python has no GNU readline")
posix = unittest.skipIf(os.name == "nt", "needs POSIX")


class TerminalTestCase(DatabaseTestCase):
    def signed_in(self, username: str, size: Tuple[int, int] = SIZE, **changes: str) -> Conversation:
        """Start the program in a terminal and log in."""
        talk = self.talk(size, database.BUSY_SECONDS, **changes)
        talk.log_in(username)
        return talk

    def notes(self) -> List[Tuple[object, ...]]:
        return self.rows("SELECT field, note FROM work_order_history WHERE note <> '' ORDER BY id")

    def go_to(self, place: str, talk: Conversation) -> None:
        """Go to a prompt: of a menu, a password, a form's first or second question."""
        if place == "password":
            talk.answer("option: ", "Log in", "Username: ", "uma")
        elif place != "menu":
            talk.log_in("uma")
            talk.choose("Create work order")
        if place == "second":
            talk.answer("Title: ", "t")
        talk.expect({"menu": "option: ", "password": "Password: ", "first": "Title: ", "second": "(optional): "}[place])

    def everything(self) -> List[List[Tuple[object, ...]]]:
        return [self.rows(f"SELECT * FROM {table}") for table in ("work_orders", "work_order_history", "users")]


def is_echoing(talk: Conversation) -> bool:
    return bool(termios.tcgetattr(talk._output)[3] & termios.ECHO)


def paste(talk: Conversation, *texts: str) -> None:
    """Do what a terminal does when these lines are pasted, and press Enter."""
    talk.send(f"\x1b[200~{chr(13).join(texts)}\x1b[201~\r")


@needs_terminal
@needs_gnu_readline
class PasteTest(TerminalTestCase):
    """What is pasted in one go is one answer."""

    def test_at_a_title_it_is_one_line(self) -> None:
        talk = self.signed_in("uma")
        talk.choose("Create work order")
        talk.expect("Title: ")
        paste(talk, *MAIL)
        talk.answer("(optional): ", "", "[Medium]: ", "")
        talk.expect("Work order #1 created.")
        self.assertEqual(self.rows("SELECT title, description FROM work_orders"), [(" ".join(MAIL), "")])

    def test_at_a_text_it_is_that_text_with_all_its_lines(self) -> None:
        self.create(self.uma)
        talk = self.signed_in("max")
        talk.choose("#1", "Add comment")
        talk.expect("Comment: ")
        paste(talk, *MAIL)
        talk.expect("Comment on work order #1 added.")
        talk.choose("Change status")
        talk.answer("Status: ", "in progress")
        talk.expect("Note (optional): ")
        paste(talk, *MAIL)
        talk.expect("Work order #1 is now In Progress.")
        talk.choose("Edit description")
        talk.expect("Description [none]: ")
        paste(talk, *MAIL)
        talk.expect("Description of work order #1 saved.")
        text = "\n".join(MAIL)
        self.assertEqual(self.notes(), [("comment", text), ("status", text)])
        self.assertEqual(self.get(self.uma, 1).description, text)

    def test_at_a_menu_it_is_one_wrong_answer(self) -> None:
        self.create(self.uma)
        before = self.everything()
        for labels in ((), ("#1",), ("View work orders",), ("My work",), ("Manage users",), ("Data and audit",)):
            with self.subTest(labels=labels):
                talk = self.signed_in("anna")
                talk.choose(*labels)
                talk.expect("#ID: ")
                paste(talk, *MAIL)
                seen = talk.expect("Error: Choose one of the numbers ") + talk.expect("#ID: ")
                seen += plain(talk.end().output)
                self.assertEqual((seen.count("Error: "), seen.count("  0. ")), (1, 0))
        self.assertEqual(self.everything(), before)

    def test_at_the_start_menu_and_at_a_password_it_is_one_wrong_answer(self) -> None:
        talk = self.talk(SIZE)
        talk.expect("option: ")
        paste(talk, *MAIL)
        talk.expect("Error: Choose one of the numbers 1, 2, 0.")
        talk.choose("Log in")
        talk.answer("Username: ", "uma")
        talk.expect("Password: ")
        paste(talk, *MAIL)
        seen = talk.expect("Error: The username or the password is wrong.") + talk.expect("option: ")
        self.assertEqual(seen.count("Error: "), 1)
        self.assertNotIn("Thanks", seen)

    def test_a_pasted_password_may_have_its_line_end(self) -> None:
        talk = self.talk(SIZE)
        talk.answer("option: ", "Log in", "Username: ", "uma")
        talk.expect("Password: ")
        paste(talk, PASSWORD, "")
        self.assertNotIn(PASSWORD, talk.expect("Main menu: uma"))

    def test_at_every_other_question_it_is_one_wrong_answer(self) -> None:
        self.create(self.uma)
        before = self.everything()
        questions: Sequence[Tuple[Sequence[str], str]] = (
            (("#1", "Change status"), "Status: "),
            (("#1", "Change priority"), "Priority [Medium]: "),
            (("#1", "Assign"), "Assignee: "),
            (("#1", "Set due date"), "none ...): "),
            (("#1", "Delete"), "Are you sure? [no]: "),
            (("Update work order",), "Work order ID: "),
            (("View work orders", "Filter"), "Filter by: "),
            (("View work orders", "Change all"), "Which [all 1]: "),
            (("View work orders", "Sort"), "Sort by [urgency]: "),
            (("Manage users", "Add user"), "Username: "),
            (("My account", "Change email"), "Email [none]: "),
            (("Data and audit", "Audit log", "Show entry"), "Entry ID: "),
        )
        for labels, prompt in questions:
            with self.subTest(labels=labels):
                talk = self.signed_in("anna")
                talk.choose(*labels)
                talk.expect(prompt)
                paste(talk, *MAIL)
                seen = talk.expect("Error: ") + talk.expect(prompt)
                talk.send("\x03")
                seen += talk.expect("Cancelled.")
                self.assertEqual((seen.count("Error: "), seen.count("  0. ")), (1, 0))
        self.assertEqual(self.everything(), before)


@needs_terminal
class PasteWithoutLineEditingTest(TerminalTestCase):
    """A terminal that cannot tell what is pasted: its lines come as if somebody typed them very fast."""

    def test_lines_that_wait_behind_a_texts_first_belong_to_it(self) -> None:
        self.create(self.uma)
        talk = self.signed_in("max", TERM="dumb")
        talk.choose("#1", "Add comment")
        talk.expect("Comment: ")
        talk.send("".join(f"{line}\r" for line in MAIL))
        talk.expect("Comment on work order #1 added.")
        self.assertEqual(self.notes(), [("comment", "\n".join(MAIL))])


@needs_terminal
class RefusedAnswerTest(TerminalTestCase):
    @needs_gnu_readline
    def test_it_comes_back_to_be_mended_and_the_key_that_removes_it_is_said_once(self) -> None:
        talk = self.signed_in("uma", (240, 24))
        talk.choose("Create work order")
        talk.answer("Title: ", "x" * 139)
        talk.expect("Error: A title has 1 to 120 characters; this one has 139. Ctrl-U empties the line.\n")
        talk.expect(f"Title: {'x' * 139}")
        talk.send("\x7f\r")
        self.assertNotIn("Ctrl-U", talk.expect("Title: "))
        talk.send("\x15Printer\r")
        talk.answer("(optional): ", "", "[Medium]: ", "blue")
        talk.expect("Priority [Medium]: blue")
        talk.send("\x15hi\r")
        talk.expect("created.")
        self.assertEqual(self.rows("SELECT title, priority FROM work_orders"), [("Printer", 3)])

    def test_a_password_never_does(self) -> None:
        talk = self.talk(SIZE)
        talk.answer("option: ", "Register", "Username: ", "ada", "Password: ", "short")
        talk.expect("Error: ")
        talk.answer("Password: ", PASSWORD, "Confirm password: ", PASSWORD)
        self.assertNotIn("short", talk.expect("Role [user]: "))

    def test_what_could_drive_the_terminal_does_not(self) -> None:
        talk = self.signed_in("uma")
        talk.choose("Update work order")
        talk.answer("Work order ID: ", "\x16\x1b[31mred")
        talk.expect("Error: ")
        self.assertNotIn("red", talk.expect("Work order ID: "))

    def test_over_a_pipe_it_does_not(self) -> None:
        output = self.run_as("uma", "Create work order", "x" * 139)
        self.assertEqual(output.count("x" * 100), 0)
        self.assertTrue(output.endswith("has 139.\nTitle: \nCancelled. Nothing was saved.\n"), output)


class PipedConversation(Conversation):
    """The program with its input from a terminal and its output into a pipe."""

    def _start_in_terminal(self, command: List[str], variables: Dict[str, str], size: Tuple[int, int]) -> None:
        super()._start_in_terminal(["/bin/sh", "-c", '"$0" "$@" | cat', *command], variables, size)


@needs_terminal
class OfferedTextTest(TerminalTestCase):
    """A description that is offered to be edited, and kept by pressing Enter."""

    TEXT = "first line\nzweite Zeile für Jürgen\nlast line"

    def assert_enter_keeps(self, text: str, talk: Conversation, keys: str = "\n\n\n\n") -> None:
        self.create(self.uma, description=text)
        talk.log_in("uma")
        talk.choose("Update work order")
        talk.answer("Work order ID: ", "1")
        talk.choose("Edit description")
        talk.expect("Description")
        talk.send(keys)
        talk.expect("Choose an option or #ID: ")
        self.assertEqual(self.rows("SELECT description FROM work_orders"), [(text,)])

    def test_lines_that_a_locale_cannot_offer_are_kept(self) -> None:
        for locale in ("C", "xx_XX"):
            with self.subTest(locale=locale):
                self.setUp()
                self.assert_enter_keeps(self.TEXT, self.talk(SIZE, LC_ALL=locale))

    def test_lines_are_kept_where_the_output_goes_into_a_pipe(self) -> None:
        talk = PipedConversation(command(), environment(self.path), SIZE)
        self.addCleanup(talk.close)
        self.assert_enter_keeps(self.TEXT, talk, "\nthe menu's\n\n\n")

    def test_a_backslash_at_the_end_of_a_line_and_of_the_text_is_kept(self) -> None:
        self.assert_enter_keeps("C:\\\nis the folder\nD:\\", self.talk(SIZE))


@needs_terminal
class LocaleTest(TerminalTestCase):
    def test_what_is_typed_is_saved_as_typed_or_refused_whatever_the_locale(self) -> None:
        for locale in ("C", "POSIX", "xx_XX", "C.UTF-8"):
            with self.subTest(locale=locale):
                talk = self.signed_in("uma", LC_ALL=locale)
                talk.choose("Create work order")
                talk.expect("Title: ")
                talk.send("Büro 印刷\r")
                talk.answer("(optional): ", "", "[Medium]: ", "")
                talk.expect("created.")
        self.assertEqual(self.rows("SELECT DISTINCT title FROM work_orders"), [("Büro 印刷",)])


@needs_terminal
@needs_gnu_readline
class KeysTest(TerminalTestCase):
    def talk_at_title(self) -> Conversation:
        talk = self.signed_in("uma")
        talk.choose("Create work order")
        talk.expect("Title: ")
        return talk

    def test_what_one_session_cut_no_other_can_paste(self) -> None:
        talk = self.talk_at_title()
        talk.send("confidential\x01\x0b\n")
        talk.choose("Log out")
        talk.answer("Log out? [yes]: ", "")
        talk.choose("Log in")
        talk.expect("Username: ")
        talk.send("\x19\x1b\x19\n")
        self.assertNotIn("confidential", talk.expect("Choose an option: "))

    def test_the_keys_of_a_search_do_not_end_the_program(self) -> None:
        for keys in ("\x12\x18x", "\x12x\x18\x12", "\x1bp\x18x"):
            talk = self.talk_at_title()
            talk.send(keys)
            talk.send("\x15Printer\n")
            talk.expect("Description (optional): ")

    def test_no_folder_and_no_account_of_the_host_is_shown(self) -> None:
        for keys in ("~root\x1b&", "/et\x1b*", "/et\x1b?", "~ro\x1b~", "/et\x1b=", "tes\x1b\t\x1b\t\t\t"):
            talk = self.talk_at_title()
            talk.send(f"{keys}\n")
            found = re.escape(str(Path("~root").expanduser())) + "|/etc|test.db"
            self.assertNotRegex(talk.expect("Description (optional): "), found)


@needs_terminal
class EchoTest(TerminalTestCase):
    def test_passwords_are_not_shown_and_a_new_one_is_confirmed(self) -> None:
        talk = self.talk(SIZE)
        talk.answer(
            "option: ", "Register", "Username: ", "ada", "Password: ", PASSWORD, "Confirm password: ", "different"
        )
        talk.expect("Error: The two passwords differ; type the password again.\n")
        seen = talk.answer("Password: ", PASSWORD, "Confirm password: ", PASSWORD, "Role [user]: ", "")
        seen += talk.expect("User ada registered as user.")
        self.assertNotIn(PASSWORD, seen)

    def test_what_is_typed_or_pasted_ahead_is_kept_at_a_password_too(self) -> None:
        talk = self.talk(SIZE)
        talk.expect("Choose an option: ")
        password = f"x\x15wrong\x7f\x7f\x7f\x7f\x7f{PASSWORD}ü\x7f"
        ahead = lines("Log in", "uma", password, "Create work order", "Pasted", "", "")
        talk.send(ahead.replace("\n", "\r"))
        talk.expect("Work order #1 created.")

    def test_what_is_typed_while_the_password_is_checked_is_not_shown_before_the_next_message(self) -> None:
        talk = self.talk(SIZE)
        talk.answer("option: ", "Log in", "Username: ", "uma")
        talk.expect("Password: ")
        self.connection.execute("BEGIN EXCLUSIVE")  # so that it takes a while
        talk.send("wrong\r")
        talk.expect("\n")
        talk.send("dana")
        self.connection.execute("ROLLBACK")
        seen = talk.expect("Error: ")
        self.assertNotIn("dana", seen)
        talk.expect("dana")

    def test_ctrl_c_a_termination_and_an_idle_session_give_the_echo_back(self) -> None:
        for minutes, leave in (("0", "\x03"), ("0", ""), ("0.01", "")):
            with self.subTest(minutes=minutes, leave=leave):
                talk = self.talk(SIZE, database.BUSY_SECONDS, WORK_ORDER_IDLE_MINUTES=minutes)
                self.go_to("password", talk)
                self.assertFalse(is_echoing(talk))
                talk.send(leave)
                if leave or minutes != "0":
                    talk.choose("Exit")
                else:
                    talk.process.terminate()
                talk.process.wait()
                self.assertTrue(is_echoing(talk))

    def test_the_keys_that_stop_and_quit_leave_the_terminal_as_it_was(self) -> None:
        for place in PLACES:
            for keys in ("\x1a\x1c", "\x1c"):
                with self.subTest(place=place, keys=keys):
                    talk = self.talk(SIZE)
                    before = termios.tcgetattr(talk._output)[3]
                    self.go_to(place, talk)
                    talk.send(keys)
                    talk.process.wait()
                    self.assertEqual(termios.tcgetattr(talk._output)[3], before)


class EndOfInputTest(TerminalTestCase):
    FORM = ("Log in", "uma", PASSWORD, "Create work order", "Title", "text\\", "more", "high")

    def test_at_a_menu_the_program_leaves_with_0(self) -> None:
        for answers in ((), self.FORM[:3], (*self.FORM[:3], "View work orders"), (*self.FORM[:3], "My account")):
            with self.subTest(answers=answers):
                self.assertEqual(run(self.path, *answers).code, 0)

    def test_inside_a_form_nothing_is_saved_and_the_code_is_1(self) -> None:
        for length in (1, 2, 4, 5, 6, 7):
            with self.subTest(answers=self.FORM[:length]):
                ended = run(self.path, *self.FORM[:length])
                self.assertEqual(ended.code, 1)
                self.assertTrue(ended.output.endswith("Cancelled. Nothing was saved.\n"), ended.output)
        self.assertEqual(self.rows("SELECT * FROM work_orders"), [])

    @needs_terminal
    def test_ctrl_d_on_a_terminal_leaves_just_the_form_and_at_a_menu_the_program(self) -> None:
        talk = self.talk(SIZE)
        for place in PLACES[1:]:
            with self.subTest(place=place):
                talk = self.talk(SIZE)
                self.go_to(place, talk)
                talk.send("\x04")
                talk.expect("Cancelled.")
                talk.expect("  0. ")
                talk.expect(": ")
                self.assertEqual(talk.end().code, 0)
        self.assertEqual(self.rows("SELECT * FROM work_orders"), [])


@posix
class InterruptTest(TerminalTestCase):
    def test_ctrl_c_at_a_menu_is_the_way_back(self) -> None:
        talk = self.talk()
        talk.log_in("uma")
        talk.expect("Log out\nChoose an option or #ID: ")
        talk.interrupt()
        talk.expect("Logged out.")
        talk.expect("Exit\nChoose an option: ")
        talk.interrupt()
        self.assertEqual(talk.end().code, 0)

    def test_in_a_form_it_saves_nothing_and_goes_back(self) -> None:
        for prompts in (
            ("Title: ",),
            ("Title: ", "t", "Description (optional): "),
            ("Title: ", "t", "(optional): ", "", "[Medium]: "),
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

    @needs_terminal
    def test_on_a_terminal_it_leaves_a_form_with_half_an_answer(self) -> None:
        talk = self.signed_in("uma")
        talk.choose("Create work order")
        talk.expect("Title: ")
        talk.send("half a tit\x03")
        talk.expect("Cancelled. Nothing was saved.")
        talk.expect("Main menu")

    def test_again_and_again_it_shows_neither_a_traceback_nor_a_complaint(self) -> None:
        talk = self.talk()
        talk.expect("Choose an option: ")
        talk.send(lines("Log in", "uma"))
        with contextlib.suppress(BrokenPipeError):  # the program may have ended
            for _ in range(200):
                talk.interrupt()
                talk.send(lines("Log in", "uma", PASSWORD, "Create work order"))
        output = talk.end().output
        self.assertNotIn("Traceback", output)
        self.assertNotIn("race condition", output)

    def test_while_the_program_starts_it_ends_it_without_a_word(self) -> None:
        talk = self.talk()
        while talk.process.poll() is None:
            talk.interrupt()
        self.assertNotIn("main.py", talk.end().output.replace("IT Work Order", ""))


@posix
class TerminationTest(TerminalTestCase):
    def test_it_saves_nothing_and_leaves_no_traceback(self) -> None:
        for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT):
            for place in PLACES:
                with self.subTest(signal=number, place=place):
                    talk = self.talk()
                    self.go_to(place, talk)
                    talk.process.send_signal(number)
                    talk.process.wait()
                    ended = talk.end()
                    self.assertEqual((ended.code, "Traceback" in ended.output), (128 + number, False))
        self.assertEqual(self.rows("SELECT * FROM work_orders"), [])

    @needs_terminal
    def test_a_closed_terminal_ends_the_program(self) -> None:
        for place in PLACES:
            with self.subTest(place=place):
                talk = self.talk(SIZE)
                self.go_to(place, talk)
                os.close(talk._output)
                talk._input = talk._output = os.open(os.devnull, os.O_RDONLY)
                talk.process.wait()
                self.assertFalse((self.folder / "work_order.log").exists())

    @needs_terminal
    def test_one_that_meets_ctrl_c_ends_the_program_and_gives_the_echo_back(self) -> None:
        for place in PLACES:
            talk = self.talk(SIZE)
            self.go_to(place, talk)
            # A program that is stopped finds both when it goes on.
            for number in (signal.SIGSTOP, signal.SIGINT, signal.SIGTERM, signal.SIGCONT):
                talk.process.send_signal(number)
            with self.subTest(place=place):
                self.assertEqual(talk.process.wait(), 128 + signal.SIGTERM)
                self.assertTrue(is_echoing(talk))

    @needs_terminal
    def test_no_interpreter_opens_at_the_end(self) -> None:
        talk = self.talk(SIZE, database.BUSY_SECONDS, PYTHONINSPECT="1")
        talk.choose("Exit")
        ended = talk.end()
        self.assertEqual(ended.code, 0)
        self.assertNotIn(">>>", ended.output)


class IdleTest(TerminalTestCase):
    def test_an_idle_session_is_logged_out_and_an_idle_form_saves_nothing(self) -> None:
        talk = self.talk(WORK_ORDER_IDLE_MINUTES="0.01")
        talk.log_in("uma")
        talk.expect("Error: You are logged out. Nothing was typed for 0.01 minutes.\n\nIT Work Order")
        talk.log_in("uma")
        talk.choose("Create work order")
        talk.answer("Title: ", "half a form")
        talk.expect("Error: You are logged out. Nothing was typed for 0.01 minutes. Nothing of the form was saved.\n")
        talk.choose("Exit")
        self.assertEqual(talk.end().code, 0)
        self.assertEqual(self.rows("SELECT * FROM work_orders"), [])

    def test_a_number_of_minutes_that_is_none_is_refused_at_the_start(self) -> None:
        for minutes in ("soon", "-1", "1e3", "inf", "nan"):
            with self.subTest(minutes=minutes):
                ended = run(self.path, "Exit", WORK_ORDER_IDLE_MINUTES=minutes)
                self.assertEqual((ended.code, ended.output.count("\n")), (1, 1))
                self.assertIn("Error: WORK_ORDER_IDLE_MINUTES must be a number of minutes", ended.output)
        for minutes in ("0", "", "2.5"):
            self.assertEqual(run(self.path, "Exit", WORK_ORDER_IDLE_MINUTES=minutes).code, 0)

    def test_the_time_counts_from_the_last_key(self) -> None:
        start = time.monotonic()
        deadline = main.Deadline(60)
        with mock.patch.object(time, "monotonic", return_value=start + 50):
            deadline.extend()
        with mock.patch.object(time, "monotonic", return_value=start + 100):
            deadline.check()
        with mock.patch.object(time, "monotonic", return_value=start + 120), contextlib.redirect_stdout(None):
            self.assertRaisesRegex(main.IdleError, "^Nothing was typed for 1 minute.$", deadline.check)


class WidthTest(unittest.TestCase):
    def test_a_text_takes_the_cells_that_a_terminal_gives_it(self) -> None:
        for text, cells in (
            ("abc", 3),
            ("印刷", 4),
            ("e\u0301", 1),
            ("🔥", 2),
            ("👍🏽", 2),  # with a skin tone
            ("❤\ufe0f", 1),  # with a variation selector
            ("👩\u200d👩\u200d👧\u200d👦", 2),
            ("🏳\ufe0f\u200d🌈", 1),
            ("क्\u200dष", 2),
            ("می\u200cخواهم", 7),
        ):
            with self.subTest(text=text):
                self.assertEqual(main.cell_width(database.printable(text)), cells)

    def test_what_joins_letters_is_printed_and_what_turns_or_hides_text_is_an_escape(self) -> None:
        for text in ("क्\u200dष", "می\u200cخواهم", "👩\u200d👧", "❤\ufe0f"):
            self.assertEqual(database.printable(text), text)
        for text in ("\u202e", "\u2066", "\u200b", "\u2060", "\U000e0041", "\x1b", "\u2028"):
            self.assertTrue(database.printable(text).isascii(), text)

    def test_a_text_is_cut_or_filled_to_its_cells_and_a_mark_stays_with_its_letter(self) -> None:
        self.assertEqual(main.fit("印刷機が紙を噛む", 9), "印刷機...")
        self.assertEqual(main.fit("印刷", 6), "印刷  ")
        self.assertEqual(main.fit("e\u0301" * 9, 5), "e\u0301" * 2 + "...")

    def test_text_is_broken_between_words_to_the_width_and_never_loops(self) -> None:
        for columns in (20, 25, 80):
            with self.subTest(columns=columns), mock.patch.dict(os.environ, COLUMNS=str(columns)):
                for text in ("one two three four", "x" * 50, "印刷機が紙を噛む" * 4, "\u202e" * 9, "e\u0301" * 30, ""):
                    wrapped = main.wrap(text)
                    self.assertEqual("".join("".join(wrapped).split()), "".join(database.printable(text).split()))
                    self.assertLessEqual(max(map(main.cell_width, wrapped)), columns)
                self.assertIn("between words", main.wrap(f"{'x' * (columns - 18)} between words")[-1])

    def test_later_lines_stand_deeper_than_the_first(self) -> None:
        self.assertEqual(main.wrap("a\nb", indent="  ", hanging="  "), ["  a", "    b"])

    def test_a_terminal_has_20_to_1000_columns(self) -> None:
        for columns, taken in (("9999999999999", 1000), ("1", 20), ("80", 80)):
            with mock.patch.dict(os.environ, COLUMNS=columns):
                self.assertEqual(main.terminal_size().columns, taken)


class TextTest(DatabaseTestCase):
    def test_a_text_of_endless_lines_is_refused_as_soon_as_it_is_too_long(self) -> None:
        endless = "x" * 99 + "\\\n"
        output = self.run_as("uma", "Create work order", "Title", f"{endless * 2_000}the end", "short", "")
        self.assertIn("Error: A text has at most 10,000 characters; this one has more.\n", output)
        self.assertEqual(self.rows("SELECT title, description FROM work_orders"), [("Title", "short")])

    def test_lines_of_a_backslash_alone_are_no_text_without_end(self) -> None:
        output = self.run_as("uma", "Create work order", "Title", "\\\n" * 25_000, "", "")
        self.assertEqual(output.count("this one has more."), 1)

    def test_bytes_that_are_no_text_are_refused_at_every_prompt(self) -> None:
        for bad in (b"\xff\xfe", b"a\0b", b"\xed\xa0\x80"):
            with self.subTest(bad=bad):
                answers = ("Log in", "uma", PASSWORD, "Create work order", "Title", "", "", "Back", "Log out", "Exit")
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
        shown = ("Back", "View work orders", "Open work order", 1, "Edit title", "", "Show history")
        output = self.run_as("uma", "Create work order", hostile, hostile, "", *shown)
        self.assertIn(r"red\x1b[31m bell\x07 c1\x9b bidi\u202e line\u2028 del\x7f", output)
        for character in "\x1b\x07\x9b\u202e\u2028\x7f":
            self.assertNotIn(character, output)

    def test_what_the_terminals_encoding_cannot_show_is_replaced(self) -> None:
        self.create(self.uma, "Drücker 印刷")
        self.assertIn("Dr?cker ??", self.run_as("uma", "View work orders", PYTHONIOENCODING="ascii"))

    def test_windows_line_ends_are_line_ends_and_a_last_line_needs_none(self) -> None:
        answers = lines("Log in", "uma", PASSWORD, "Create work order").replace("\n", "\r\n")
        self.assertIn("Title: ", run_bytes(self.path, answers.encode().rstrip()).output)

    def test_no_text_can_pass_for_an_entry_of_the_history(self) -> None:
        self.create(self.uma)
        self.change(self.uma, 1, work_order.DESCRIPTION, "x\n2026-01-01 09:00  anna: forged")
        output = self.run_as("uma", "Update work order", 1, "Show history")
        self.assertIn("\n      2026-01-01 09:00  anna: forged", output)


if __name__ == "__main__":
    unittest.main()
