"""The terminal: what is typed, pasted, interrupted or left alone, what is echoed, and how wide a text is."""

import contextlib
import os
import signal
import time
import unittest
from unittest import mock

from support import PASSWORD, Conversation, DatabaseTestCase, command, environment, lines, needs_terminal, run

import database
import main
import work_order

try:
    import readline
except ImportError:  # not in every Python
    readline = None  # type: ignore[assignment]

# Each line would do something at a menu.
MAIL = ("Dear all,", "1", "2", "res", "0", "yes", "#1", "3", "4", "5", "Thanks", "0")
SIZE = (80, 24)
# Prompts of a menu, a password and a text in a form, and the prompts and answers on the way there.
TO_PASSWORD = ("option: ", "Log in", "Username: ", "uma")
PLACES = {
    "option: ": (),
    "Password: ": TO_PASSWORD,
    "(optional): ": (*TO_PASSWORD, "Password: ", PASSWORD, "#ID: ", "Create work order", "Title: ", "t"),
}
needs_gnu_readline = unittest.skipUnless(readline and "libedit" not in (readline.__doc__ or ""), "no GNU readline")


def go_to(place: str, talk: Conversation) -> None:
    """Go from the start to one of the places."""
    talk.answer(*PLACES[place])
    talk.expect(place)


def mode(talk: Conversation) -> int:
    """Return the local modes of the terminal, of which one is the echo; over pipes there are none."""
    import termios

    return int(termios.tcgetattr(talk._output)[3]) if os.isatty(talk._output) else 0


def paste(talk: Conversation, prompt: str, *texts: str) -> str:
    """Wait for the prompt and do what a terminal does when lines are pasted, and Enter; return what was printed."""
    seen = talk.expect(prompt)
    talk.send(f"\x1b[200~{chr(13).join(texts)}\x1b[201~\r")
    return seen


@needs_terminal
@needs_gnu_readline
class LineEditingTest(DatabaseTestCase):
    def test_what_is_pasted_at_a_title_is_one_line_and_at_a_text_all_its_lines(self) -> None:
        talk = self.talk(SIZE)
        talk.log_in("uma")
        talk.choose("Create work order")
        self.assertIn("\x1b[?2004h", paste(talk, "Title: ", *MAIL))  # the terminal is asked to mark what is pasted
        paste(talk, "Description (optional): ", *MAIL)
        talk.answer("[Medium]: ", "")
        talk.choose("Change status")
        talk.answer("Status: ", "in progress")
        paste(talk, "Note (optional): ", *MAIL)
        talk.expect("Work order #1 is now In Progress.")
        text = "\n".join(MAIL)
        self.assertEqual(self.rows("SELECT title, description FROM work_orders"), [(" ".join(MAIL), text)])
        self.assertEqual(work_order.history(self.uma, 1)[0].note, text)

    def test_what_is_pasted_at_a_menu_or_any_other_question_is_one_wrong_answer(self) -> None:
        self.create(self.uma)
        everything = "SELECT * FROM work_orders, work_order_history, users"
        before = self.rows(everything)
        talk = self.talk(SIZE)
        talk.log_in("anna")
        for labels, prompt in (
            (("#1",), "#ID: "),
            (("Data and audit",), "#ID: "),
            (("#1", "Change status"), "Status: "),
            (("#1", "Change priority"), "Priority [Medium]: "),
            (("#1", "Set due date"), "none ...): "),
            (("#1", "Delete"), "Are you sure? [no]: "),
            (("Update work order",), "Work order ID: "),
            (("View work orders", "Change all"), "Which [all 1]: "),
            (("Manage users", "Reset password"), "Username: "),
        ):
            with self.subTest(labels=labels):
                talk.choose("00", *labels)
                paste(talk, prompt, *MAIL)
                seen = talk.expect("Error: ") + talk.expect(prompt)
                talk.send("\x03")
                seen += talk.expect("  0. ")
                self.assertEqual((seen.count("Error: "), seen.count("  0. ")), (1, 1))
        self.assertEqual(self.rows(everything), before)

    def test_at_the_start_menu_and_a_password_it_is_too_but_a_password_may_have_its_line_end(self) -> None:
        talk = self.talk(SIZE)
        paste(talk, "option: ", *MAIL)
        seen = talk.expect("Error: Choose one of the numbers 1, 2, 0.")
        for password, after in ((MAIL, "Error: The username or the password"), ((PASSWORD, ""), "Main menu: uma")):
            seen += talk.answer("option: ", "Log in", "Username: ", "uma")
            seen += paste(talk, "Password: ", *password) + talk.expect(after)
        self.assertEqual(seen.count("Error: "), 2)
        self.assertNotIn(PASSWORD, seen)

    def test_a_refused_answer_comes_back_to_be_mended_and_the_key_that_removes_it_is_said_once(self) -> None:
        talk = self.talk((240, 24))
        talk.log_in("uma")
        talk.choose("Create work order")
        talk.answer("Title: ", "x" * 139)
        talk.expect("Error: A title has 1 to 120 characters; this one has 139. Ctrl-U empties the line.\n")
        talk.expect(f"Title: {'x' * 139}")
        talk.send("\x7f\r")
        self.assertNotIn("Ctrl-U", talk.expect("Title: "))
        talk.send("\x15Printer\r")
        talk.answer("(optional): ", "", "[Medium]: ", "")
        talk.expect("created.")
        self.assertEqual(self.rows("SELECT title FROM work_orders"), [("Printer",)])
        # What could drive the terminal does not come back: the next answer is empty.
        talk.choose("00", "Update work order")
        talk.answer("Work order ID: ", "\x16\x1b[31mred", "Work order ID: ", "")
        self.assertNotIn("Error", talk.expect("Cancelled."))

    def test_no_key_ends_the_program_or_shows_what_another_session_cut_or_the_hosts_files_and_accounts(self) -> None:
        talk = self.talk(SIZE)
        talk.log_in("uma")
        for keys in (
            *("\x12\x18x\x15x", "\x12x\x18\x12\x15x", "\x1bp\x18x\x15x"),
            *("~root\x1b&", "/et\x1b*", "/et\x1b?", "~ro\x1b~", "/et\x1b=", "tes\x1b\t\x1b\t\t\t"),
        ):
            talk.choose("Create work order")
            talk.expect("Title: ")
            talk.send(f"{keys}\n")
            self.assertNotRegex(talk.expect("Description (optional): "), "/root|/etc|test.db")
            talk.send("\x03")
        talk.choose("Search work orders")
        talk.answer("Search for: ", "confidential\x01\x0b")
        talk.choose("Log out")
        talk.answer("Log out? [yes]: ", "")
        talk.choose("Log in")
        talk.answer("Username: ", "\x19\x1b\x19")
        self.assertNotIn("confidential", talk.expect("Choose an option: "))


@needs_terminal
class TypingTest(DatabaseTestCase):
    def test_without_line_editing_lines_that_wait_behind_a_texts_first_belong_to_it(self) -> None:
        self.create(self.uma)
        talk = self.talk(SIZE, TERM="dumb")
        talk.log_in("max")
        talk.choose("#1", "Add comment")
        talk.expect("Comment: ")
        talk.send("".join(f"{line}\r" for line in MAIL))
        talk.expect("Comment on work order #1 added.")
        self.assertEqual(work_order.history(self.uma, 1)[0].note, "\n".join(MAIL))

    def test_what_is_typed_or_offered_is_saved_as_it_is_in_every_locale_and_where_the_output_is_piped(self) -> None:
        direct, piped = command(), ["/bin/sh", "-c", '"$0" "$@" | cat', *command()]
        for program, locale in ((direct, "C"), (direct, "xx_XX"), (direct, "C.UTF-8"), (piped, "C.UTF-8")):
            talk = Conversation(program, environment(self.path, LC_ALL=locale), SIZE)
            self.addCleanup(talk.close)
            talk.log_in("uma")
            for text in ("first line\nzweite Zeile für Jürgen\nlast line", "C:\\\nis the folder\nD:\\"):
                shown = self.create(self.uma, description=text)
                talk.choose(f"#{shown.id}", "Edit description")
                talk.send("\nthe menu's\n\n" if program is piped else "\n\n\n")  # not offered, the first keeps it
                talk.choose("00", "Summary")
                talk.expect("Summary of all")
                self.assertEqual(self.get(self.uma, shown.id).description, text)
            talk.choose("Create work order")
            talk.answer("Title: ", "Büro 印刷", "(optional): ", "", "[Medium]: ", "")
            talk.expect("created.")
        titles = self.rows("SELECT title FROM work_orders WHERE description = ''")
        self.assertEqual(titles, [("Büro 印刷",)] * 4)

    def test_passwords_are_not_shown_and_a_new_one_is_confirmed(self) -> None:
        talk = self.talk(SIZE)
        talk.answer("option: ", "Register", "Username: ", "ada")
        seen = talk.answer("Password: ", "shorty", "Password: ", PASSWORD, "Confirm password: ", "another one")
        seen += talk.expect("Error: The two passwords differ; type the password again.\n")
        seen += talk.answer("Password: ", PASSWORD, "Confirm password: ", PASSWORD, "Role [user]: ", "")
        seen += talk.expect("User ada registered as user.")
        self.assertNotRegex(seen, f"shorty|another one|{PASSWORD}")

    def test_what_is_typed_ahead_is_kept_and_not_shown_before_the_next_message(self) -> None:
        talk = self.talk(SIZE)
        go_to("Password: ", talk)
        self.connection.execute("BEGIN EXCLUSIVE")  # so that it takes a while to check it
        talk.send("wrong\r")
        talk.expect("\n")
        talk.send("dana")
        self.connection.execute("ROLLBACK")
        self.assertNotIn("dana", talk.expect("Error: "))
        talk.expect("dana")
        password = f"x\x15wrong\x7f\x7f\x7f\x7f\x7f{PASSWORD}ü\x7f"
        talk.send("\x15" + lines("Log in", "uma", password, "Create work order", "Ahead", "", "").replace("\n", "\r"))
        talk.expect("Work order #1 created.")


@needs_terminal
class LeavingTest(DatabaseTestCase):
    def test_ctrl_c_leaves_a_form_and_at_a_menu_is_the_way_back(self) -> None:
        talk = self.talk()
        go_to("(optional): ", talk)
        talk.interrupt()
        talk.expect("Cancelled. Nothing was saved.\n\nMain menu")
        talk.expect("Log out\nChoose an option or #ID: ")
        talk.interrupt()
        talk.expect("Logged out.")
        talk.expect("Exit\nChoose an option: ")
        talk.interrupt()
        self.assertEqual(talk.end().code, 0)

    def test_on_a_terminal_ctrl_c_and_ctrl_d_leave_just_the_form_and_the_terminal_as_it_was(self) -> None:
        talk = self.talk(SIZE, PYTHONINSPECT="1")
        before = mode(talk)
        for keys in ("\x03", "\x04"):
            go_to("Password: ", talk)
            talk.send(keys)
            talk.expect("Cancelled.\n\nIT Work Order")
        talk.log_in("uma")
        for keys in ("half a tit\x03", "\x04", "t\r\x04"):
            talk.choose("Create work order")
            talk.expect("Title: ")
            talk.send(keys)
            talk.expect("Cancelled. Nothing was saved.\n\nMain menu")
        talk.choose("Log out")
        talk.answer("Log out? [yes]: ", "")
        talk.choose("Exit")
        ended = talk.end()
        self.assertEqual((ended.code, mode(talk)), (0, before))
        self.assertNotIn(">>>", ended.output)  # of an interpreter
        self.assertEqual(self.ids(self.anna), [])

    def test_ctrl_c_again_and_again_shows_neither_a_traceback_nor_a_complaint(self) -> None:
        talk = self.talk()
        talk.expect("Choose an option: ")
        talk.send(lines("Log in", "uma"))
        with contextlib.suppress(BrokenPipeError):  # the program may have ended
            for _ in range(200):
                talk.interrupt()
                talk.send(lines("Log in", "uma", PASSWORD, "Create work order"))
        self.assertNotRegex(talk.end().output, "Traceback|race condition")

    def test_ctrl_c_while_the_program_starts_ends_it_without_a_word(self) -> None:
        talk = self.talk(PYTHONVERBOSE="1")  # which tells what is being imported
        talk.expect("work_order.py")
        talk.interrupt()
        self.assertNotIn("Traceback", talk.end().output)


@needs_terminal
class TerminationTest(DatabaseTestCase):
    def test_a_signal_or_a_key_ends_it_and_leaves_the_terminal_as_it_was_and_nothing_saved(self) -> None:
        # A program that is stopped finds both when it goes on.
        with_ctrl_c = (signal.SIGSTOP, signal.SIGINT, signal.SIGTERM, signal.SIGCONT)
        for size, signals, keys, number in (
            (None, (signal.SIGTERM,), "", signal.SIGTERM),
            (SIZE, with_ctrl_c, "", signal.SIGTERM),
            (SIZE, (), "\x1c", signal.SIGQUIT),
        ):
            for place in PLACES:
                with self.subTest(place=place, signals=signals, keys=keys):
                    talk = self.talk(size)
                    before = mode(talk)
                    go_to(place, talk)
                    talk.send(keys)
                    for each in signals:
                        talk.process.send_signal(each)
                    self.assertEqual((talk.process.wait(), mode(talk)), (128 + number, before))
                    self.assertNotIn("Traceback", talk.end().output)
        self.assertEqual(self.ids(self.anna), [])

    def test_a_closed_terminal_ends_it(self) -> None:
        for place in PLACES:
            talk = self.talk(SIZE)
            go_to(place, talk)
            os.close(talk._output)
            talk._input = talk._output = os.open(os.devnull, os.O_RDONLY)
            self.assertGreaterEqual(talk.process.wait(), 0)  # no signal killed it
            self.assertFalse((self.folder / "work_order.log").exists())


class IdleTest(DatabaseTestCase):
    @needs_terminal
    def test_an_idle_session_is_logged_out_and_an_idle_form_saves_nothing(self) -> None:
        talk = self.talk((200, 24), WORK_ORDER_IDLE_MINUTES="0.02")
        idle = "Error: You are logged out. Nothing was typed for 0.02 minutes."
        for form, said in ((), "\n"), (("Create work order", "half"), " Nothing of the form was saved."):
            talk.send(lines("Log in", "uma", PASSWORD, *form))
            talk.expect(f"{idle}{said}")
            talk.expect("IT Work Order")
        talk.expect("option: ")  # a Ctrl-D that comes before the prompt is lost
        self.assertEqual(talk.end().code, 0)  # Ctrl-D at a menu
        self.assertEqual(self.ids(self.anna), [])

    def test_what_is_no_number_of_minutes_is_refused_at_the_start(self) -> None:
        ended = run(self.path, "Exit", WORK_ORDER_IDLE_MINUTES="soon")
        self.assertEqual((ended.code, ended.output.count("\n")), (1, 1))
        self.assertIn("Error: WORK_ORDER_IDLE_MINUTES must be a number of minutes", ended.output)
        for minutes, seconds in (("0", 0), ("", 900), ("2.5", 150)):
            with mock.patch.dict(os.environ, WORK_ORDER_IDLE_MINUTES=minutes):
                self.assertEqual(main.idle_seconds(), seconds)
        for minutes in ("-1", "1e3", "inf", "nan"):
            with mock.patch.dict(os.environ, WORK_ORDER_IDLE_MINUTES=minutes):
                self.assertRaises(database.ApplicationError, main.idle_seconds)

    def test_the_time_counts_from_the_last_key(self) -> None:
        with mock.patch.object(time, "monotonic", side_effect=[0, 50, 100, 120]), contextlib.redirect_stdout(None):
            deadline = main.Deadline(60)
            deadline.extend()
            deadline.check()
            self.assertRaisesRegex(main.IdleError, "^Nothing was typed for 1 minute.$", deadline.check)


class WidthTest(unittest.TestCase):
    def test_a_text_takes_the_cells_that_a_terminal_gives_it_and_what_hides_or_turns_text_is_an_escape(self) -> None:
        joined = {"👩\u200d👩\u200d👧\u200d👦": 2, "🏳\ufe0f\u200d🌈": 1, "क्\u200dष": 2, "می\u200cخواهم": 7}
        # Combining, with a skin tone, and with a variation selector.
        marked = {"e\u0301": 1, "👍🏽": 2, "❤\ufe0f": 1}
        for text, cells in {"abc": 3, "印刷": 4, "🔥": 2, **marked, **joined}.items():
            self.assertEqual((database.printable(text), main.cell_width(text)), (text, cells))
        for text in ("\u202e", "\u2066", "\u200b", "\u2060", "\U000e0041", "\x1b", "\u2028"):
            self.assertTrue(database.printable(text).isascii(), text)

    def test_a_text_is_cut_or_filled_to_its_cells_and_a_mark_stays_with_its_letter(self) -> None:
        self.assertEqual(main.fit("印刷機が紙を噛む", 9), "印刷機...")
        self.assertEqual(main.fit("印刷", 6), "印刷  ")
        self.assertEqual(main.fit("e\u0301" * 9, 5), "e\u0301" * 2 + "...")

    def test_text_is_broken_between_words_to_the_width_which_is_from_20_to_1000(self) -> None:
        for columns, width in (("9999999999999", 1000), ("1", 20), ("80", 80)):
            with self.subTest(columns=columns), mock.patch.dict(os.environ, COLUMNS=columns):
                self.assertEqual(main.terminal_size().columns, width)
                for text in ("x" * 1050, "印刷機が紙を噛む" * 4, "\u202e" * 9, "e\u0301" * 30, ""):
                    self.assertLessEqual(max(map(main.cell_width, main.wrap(text))), width)
                self.assertEqual(main.wrap(f"{'x' * (width - 9)} between words")[-1], "  between words")


if __name__ == "__main__":
    unittest.main()
