"""What the program promises whatever happens: guessers, faults, interruptions, and many people at once."""

import hashlib
import os
import re
import shutil
import signal
import sqlite3
import stat
import subprocess
import sys
import threading
import unittest
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import List
from unittest import mock

from support import (
    NUMBERS,
    PASSWORD,
    ROOT,
    Conversation,
    DatabaseTestCase,
    Ended,
    command,
    environment,
    lines,
    needs_terminal,
    run,
    run_command,
)

import database
import main
import users
import work_order
from users import AuditFilter, AuthenticationError, Role, Session
from work_order import Priority

PLACES = ("menu", "password", "first", "second")
posix = unittest.skipIf(os.name == "nt", "needs POSIX")


class GuessingTest(DatabaseTestCase):
    def log_in(self, username: str, password: str) -> str:
        try:
            users.log_in(self.connection, username, password)
        except AuthenticationError as error:
            return str(error)
        return "logged in"

    def fail(self, times: int, username: str = "uma") -> None:  # type: ignore[override]
        for _ in range(times):
            self.assertNotEqual(self.log_in(username, "not the one"), "logged in")

    def pass_time(self, seconds: int) -> None:
        self.connection.execute(
            """
            UPDATE password_failures SET last_failed_at =
                strftime('%Y-%m-%dT%H:%M:%S+00:00', last_failed_at, ? || ' seconds')
            """,
            (-seconds,),
        )

    def test_five_failures_are_free_and_then_the_right_password_has_to_wait_too(self) -> None:
        self.fail(4)
        self.assertEqual(self.log_in("uma", PASSWORD), "logged in")
        self.fail(5)
        self.assertNotEqual(self.log_in("uma", PASSWORD), "logged in")
        self.pass_time(29)
        self.assertNotEqual(self.log_in("uma", PASSWORD), "logged in")
        self.pass_time(1)
        self.assertEqual(self.log_in("uma", PASSWORD), "logged in")

    def test_the_wait_doubles_up_to_fifteen_minutes(self) -> None:
        waits = [users.wait_seconds(failures) for failures in (0, 4, 5, 6, 7, 8, 9, 10, 11, 1000)]
        self.assertEqual(waits, [0, 0, 30, 60, 120, 240, 480, 900, 900, 900])

    def test_waiting_wrong_and_unknown_get_the_same_words_for_the_same_work(self) -> None:
        self.fail(5)
        seen = set()
        for username, password in (("uma", PASSWORD), ("uma", "wrong"), ("ugo", "wrong"), ("ghost", "wrong")):
            with mock.patch("hashlib.scrypt", wraps=hashlib.scrypt) as scrypt:
                words = self.log_in(username, password)
            seen.add((words, tuple(call[1]["n"] for call in scrypt.call_args_list)))
        self.assertEqual(len(seen), 1)

    def test_a_clock_that_is_set_back_does_not_help(self) -> None:
        self.fail(5)
        self.pass_time(-3600)
        self.assertNotEqual(self.log_in("uma", PASSWORD), "logged in")
        self.pass_time(30)
        self.assertEqual(self.log_in("uma", PASSWORD), "logged in")

    def test_unknown_names_are_counted_too_and_not_kept_in_clear(self) -> None:
        self.fail(6, "a-secret-typed-too-early")
        self.assertEqual(self.rows("SELECT failures FROM password_failures"), [(5,)])
        self.assertNotIn("secret", str(self.rows("SELECT * FROM password_failures")))

    def test_ten_guessers_at_once_have_five_tries_between_them(self) -> None:
        outputs: List[str] = []

        def guess(number: int) -> None:
            outputs.append(run(self.path, *("Log in", "uma", f"guess {number}") * 3).output)

        with ThreadPoolExecutor(10) as pool:
            list(pool.map(guess, range(10)))
        self.assertEqual("".join(outputs).count("Error: The username or the password is wrong."), 30)
        self.assertEqual(self.rows("SELECT failures FROM password_failures"), [(5,)])
        self.assertIn("Error: ", self.run_as("uma"))

    def test_approvals_and_current_passwords_are_counted_with_logins(self) -> None:
        for _ in range(3):
            with self.assertRaises(AuthenticationError):
                users.register(self.connection, "eve", PASSWORD, Role.ADMIN, ("anna", "wrong"))
        for _ in range(2):
            with self.assertRaises(AuthenticationError):
                users.change_password(self.anna, "wrong", "a new horse 7")
        with self.assertRaises(AuthenticationError):
            users.register(self.connection, "eve", PASSWORD, Role.ADMIN, ("anna", PASSWORD))
        with self.assertRaises(AuthenticationError):
            users.change_password(self.anna, PASSWORD, "a new horse 7")
        self.assertNotEqual(self.log_in("anna", PASSWORD), "logged in")

    def test_an_admin_unlocks_a_name(self) -> None:
        self.fail(7)
        unlock = "Unlock (clear failed logins)"
        output = self.run_as("anna", "Manage users", unlock, "ghost", "uma", unlock, "uma")
        self.assertIn("User uma unlocked: 5 failed logins cleared.\n", output)
        self.assertIn("User uma unlocked: 0 failed logins cleared.\n", output)
        self.assertEqual(self.log_in("uma", PASSWORD), "logged in")

    def test_a_right_password_is_no_failure_even_if_what_follows_fails(self) -> None:
        for _ in range(7):
            with self.assertRaises(users.InvalidInputError):
                users.change_password(self.uma, PASSWORD, "short")
        self.assertEqual(self.log_in("uma", PASSWORD), "logged in")

    def test_a_new_account_and_a_reset_password_need_not_wait(self) -> None:
        self.fail(5, "ada")
        users.register(self.connection, "ada", PASSWORD, Role.USER)
        self.assertEqual(self.log_in("ada", PASSWORD), "logged in")
        self.fail(5)
        self.assertEqual(self.log_in("uma", users.reset_password(self.anna, "uma")), "logged in")

    def test_only_admins_unlock(self) -> None:
        for session in (self.uma, self.max):
            with self.assertRaises(users.PermissionDeniedError):
                users.unlock(session, "uma")

    @posix
    def test_too_little_memory_is_said_and_is_no_wrong_password(self) -> None:
        code = (
            "import resource, database, users\n"
            "users.SCRYPT_LOG_N = 15\n"
            "connection = database.connect(database.default_path())\n"
            "users.register(connection, 'ada', 'battery horse 9', users.Role.USER)\n"
            "used = int(open('/proc/self/statm').read().split()[0]) * resource.getpagesize()\n"
            "resource.setrlimit(resource.RLIMIT_AS, (used + 2**20, resource.RLIM_INFINITY))\n"
            "try: users.log_in(connection, 'ada', 'battery horse 9')\n"
            "except database.ApplicationError as error: print(error)\n"
        )
        if not Path("/proc/self/statm").exists():
            self.skipTest("cannot tell how much memory is in use")
        output = run_command([sys.executable, "-c", code], b"", environment(self.path, PYTHONPATH=str(ROOT))).output
        self.assertEqual(output, "There is not enough memory to check a password now; try again later.\n")
        self.assertEqual(self.rows("SELECT * FROM password_failures"), [])


class SessionTest(DatabaseTestCase):
    def test_an_idle_session_is_logged_out(self) -> None:
        talk = self.talk(WORK_ORDER_IDLE_MINUTES="0.02")
        talk.log_in("uma")
        talk.expect("Error: You are logged out. Nothing was typed for 0.02 minutes.\n\nIT Work Order")
        talk.choose("Exit")
        self.assertEqual(talk.end().code, 0)

    def test_an_idle_form_saves_nothing(self) -> None:
        talk = self.talk(WORK_ORDER_IDLE_MINUTES="0.02")
        talk.log_in("uma")
        talk.choose("Create work order")
        talk.answer("Title: ", "half a form")
        talk.expect("Error: You are logged out")
        self.assertEqual(self.rows("SELECT * FROM work_orders"), [])

    def test_a_number_of_minutes_that_is_none_is_refused_at_the_start(self) -> None:
        for minutes in ("soon", "-1", "1e3", "inf", "nan"):
            with self.subTest(minutes=minutes):
                ended = run(self.path, "Exit", WORK_ORDER_IDLE_MINUTES=minutes)
                self.assertEqual((ended.code, ended.output.count("\n")), (1, 1))
                self.assertIn("Error: WORK_ORDER_IDLE_MINUTES must be a number of minutes", ended.output)
        for minutes in ("0", "", "2.5"):
            self.assertEqual(run(self.path, "Exit", WORK_ORDER_IDLE_MINUTES=minutes).code, 0)

    @needs_terminal
    def test_no_interpreter_opens_at_the_end(self) -> None:
        talk = self.talk((80, 24), 10, PYTHONINSPECT="1")
        talk.choose("Exit")
        ended = talk.end()
        self.assertEqual(ended.code, 0)
        self.assertNotIn(">>>", ended.output)
        real = [sys.executable, str(ROOT / "main.py")]
        answers = lines("Exit", "print(6 * 7)").encode()
        output = run_command(real, answers, environment(self.path, PYTHONINSPECT="1")).output
        self.assertTrue(output.endswith("Choose an option: \n"), output)


class BreakGlassTest(DatabaseTestCase):
    def set_password(self, *arguments: str, answer: str = "a new horse 7") -> Ended:
        return run(self.path, answer, arguments=arguments, program=ROOT / "users.py")

    def test_whoever_owns_the_file_sets_a_new_password_which_is_on_record(self) -> None:
        for _ in range(5):
            with self.assertRaises(AuthenticationError):
                users.log_in(self.connection, "anna", "forgotten")
        ended = self.set_password("Anna")
        self.assertEqual((ended.output, ended.code), ("Password of user anna set.\n", 0))
        users.log_in(self.connection, "anna", "a new horse 7")
        with self.assertRaises(users.SessionEndedError):
            users.current_user(self.anna)
        event = "SELECT subject FROM audit_log WHERE event = 'password set from outside'"
        self.assertEqual(self.rows(event), [("anna",)])

    def test_what_it_refuses_changes_nothing(self) -> None:
        before = self.rows("SELECT * FROM users")
        for arguments, answer, code in (
            (("ghost",), "a new horse 7", 1),
            (("anna",), "short", 1),
            (("anna",), "", 1),
            ((), "", 2),
            (("anna", "uma"), "", 2),
            (("--help",), "", 2),
        ):
            with self.subTest(arguments=arguments, answer=answer):
                ended = self.set_password(*arguments, answer=answer)
                self.assertEqual((ended.code, ended.output.count("\n")), (code, 1))
        self.assertEqual(self.rows("SELECT * FROM users"), before)

    def test_no_end_of_input_strange_name_or_closed_output_is_a_traceback(self) -> None:
        program = f'"{sys.executable}" "{ROOT / "users.py"}"'
        for shell in (
            f"{program} anna <&-",
            f"{program} $'\\xff'",
            f"{program} $(printf '\\033[31m')",
            f"{program} anna >&-",
        ):
            with self.subTest(shell=shell):
                ended = run_command(["sh", "-c", shell], b"", environment(self.path))
                self.assertNotIn("Traceback", ended.output)
                self.assertNotIn("\x1b", ended.output)
                self.assertEqual(ended.code, 1)

    def test_it_makes_no_database(self) -> None:
        missing = self.folder / "missing.db"
        self.assertEqual(run(missing, "x", arguments=["anna"], program=ROOT / "users.py").code, 1)
        self.assertFalse(missing.exists())


class AuditTest(DatabaseTestCase):
    def test_it_is_shown_by_page_newest_first_and_filtered_by_account_and_kind(self) -> None:
        for _ in range(25):
            users.log_in(self.connection, "uma", PASSWORD)
        filters = ("Filter", "max", "", "Filter", "ghost", "", "registered", "Clear filter")
        output = self.run_as("anna", "Data and audit", "Audit log", "Next page", "Previous page", *filters)
        pages = output.split("Audit log, newest first: ")[1:]
        self.assertEqual([page.split(" (")[0] for page in pages][:5], ["everything"] * 3 + ["max", "registered"])
        self.assertEqual([page.count("logged in ") for page in pages][:4], [20, 10, 20, 1])
        self.assertEqual(pages[4].count(" registered "), 4)
        self.assertIn("Error: There is no user ghost", output)

    def test_a_refusal_is_on_record_with_who_and_what(self) -> None:
        talk = self.talk()
        talk.log_in("anna")
        talk.choose("Manage users")
        talk.expect("Manage users")
        self.session("eva", Role.ADMIN, ("anna", PASSWORD))
        users.change_role(self.anna, "anna", Role.USER)
        talk.choose("List users")
        talk.expect("Error: Your role (user) does not let you manage users.")
        talk.choose("Back")
        talk.end()
        refused = self.rows("SELECT user_id, subject FROM audit_log WHERE event = 'refused'")
        self.assertEqual(refused[0], (1, "Your role (user) does not let you manage users."))

    def test_who_tries_other_peoples_work_orders_is_on_record(self) -> None:
        self.create(self.ugo)
        self.run_as("uma", "#1", "Update work order", 1)
        refused = self.rows("SELECT user_id, subject FROM audit_log WHERE event = 'refused'")
        self.assertEqual(refused, [(self.uma.user_id, "There is no work order #1.")] * 2)

    def test_a_refused_approval_is_on_record_with_whom_was_asked(self) -> None:
        for approval in (("max", PASSWORD), ("anna", "wrong"), ("not known", "x")):
            with self.assertRaises(AuthenticationError):
                users.register(self.connection, "eve", PASSWORD, Role.ADMIN, approval)
        log = self.rows("SELECT subject FROM audit_log WHERE event = 'approval failed' ORDER BY id")
        self.assertEqual(
            log, [("max for eve as admin",), ("anna for eve as admin",), ("an unknown name for eve as admin",)]
        )

    def test_an_account_finds_what_was_done_to_it(self) -> None:
        users.change_role(self.anna, "ugo", Role.MANAGER)
        with self.assertRaises(AuthenticationError):
            users.log_in(self.connection, "ugo", "wrong")
        about = users.audit_log(self.anna, AuditFilter(username="ugo"), None, 2)
        self.assertEqual(
            [(entry.event, entry.username) for entry in about], [("login failed", ""), ("role changed", "anna")]
        )

    def test_only_admins_see_it(self) -> None:
        for session in (self.uma, self.max):
            with self.assertRaises(users.PermissionDeniedError):
                users.audit_log(session, AuditFilter(), None, 10)
            with self.assertRaises(users.PermissionDeniedError):
                users.audit_events(session)

    def test_every_kind_of_doing_leaves_its_row_and_none_a_secret(self) -> None:
        order = work_order.create(self.uma, "t", "", Priority.LOW)
        work_order.delete(self.anna, order)
        work_order.restore(self.anna, order)
        one_time = users.add_user(self.anna, "mia", Role.USER)
        users.change_email(self.uma, "uma@example.org")
        users.back_up(self.anna)
        with self.assertRaises(AuthenticationError):
            users.register(self.connection, "eve", PASSWORD, Role.ADMIN, ("anna", "my wrong guess"))
        text = str(self.rows("SELECT * FROM audit_log"))
        events = "deleted, restored, user added, email changed, backed up, approval failed, registered"
        for event in events.split(", "):
            self.assertIn(event, text)
        for secret in (PASSWORD, one_time, "my wrong guess"):
            self.assertNotIn(secret, text)


class BackupTest(DatabaseTestCase):
    def test_the_restore_drill_brings_back_what_was_backed_up(self) -> None:
        self.create(self.uma, "Worth keeping")
        output = self.run_as("anna", "Data and audit", "Back up now")
        (copy,) = (self.folder / "backups").iterdir()
        self.assertIn(f"Backed up to {copy}.\n", output)
        self.connection.close()
        self.path.write_bytes(b"lost")
        shutil.copy(copy, self.path)
        self.assertIn("Worth keeping", self.run_as("uma", "View work orders"))

    @posix
    def test_a_backup_is_its_owners_alone(self) -> None:
        copy = users.back_up(self.anna)
        self.assertEqual(stat.S_IMODE(copy.stat().st_mode), 0o600)
        self.assertEqual(stat.S_IMODE(copy.parent.stat().st_mode), 0o700)
        self.assertEqual(list(copy.parent.iterdir()), [copy])

    def test_a_backup_comes_to_its_end_beside_a_busy_writer_who_loses_nothing(self) -> None:
        for _ in range(20):
            self.create(self.uma, description="x" * 9000)
        done = threading.Event()

        def write() -> None:
            connection = database.connect(self.path)
            ugo = Session(connection, self.ugo.user_id, self.ugo.password_version)
            while not done.wait(0.001):
                work_order.create(ugo, "Meanwhile", "", Priority.LOW)
            connection.close()

        writer = threading.Thread(target=write)
        writer.start()
        with mock.patch.object(database, "PAGES_PER_STEP", 1):
            copy = users.back_up(self.anna)
        done.set()
        writer.join()
        reader = sqlite3.connect(copy)
        self.addCleanup(reader.close)
        self.assertGreaterEqual(reader.execute("SELECT count(*) FROM work_orders").fetchone()[0], 20)
        self.assertEqual(database.find_problems(self.connection), [])

    def test_a_backup_that_finds_no_room_leaves_nothing_and_no_row_that_it_was_made(self) -> None:
        (self.folder / "backups").write_text("in the way")
        with self.assertRaises(database.OutputError):
            users.back_up(self.anna)
        self.assertEqual(self.rows("SELECT * FROM audit_log WHERE event = 'backed up'"), [])

    def test_it_never_replaces_a_file_but_takes_another_name(self) -> None:
        target = self.folder / "taken.db"
        target.write_text("something dear")
        paths = [database.back_up(self.connection, target) for _ in range(2)]
        self.assertEqual([path.name for path in paths], ["taken-2.db", "taken-3.db"])
        self.assertEqual(target.read_text(), "something dear")
        self.assertEqual(list(self.folder.glob(".*.partial*")), [])

    @posix
    def test_it_goes_through_no_link(self) -> None:
        (self.folder / "elsewhere").mkdir()
        (self.folder / "backups").symlink_to(self.folder / "elsewhere")
        output = self.run_as("anna", "Data and audit", "Back up now")
        self.assertIn("backups is a symbolic link; no backup was made.", output)
        self.assertEqual(list((self.folder / "elsewhere").iterdir()), [])

    def test_only_admins_back_up_and_check(self) -> None:
        for session in (self.uma, self.max):
            with self.assertRaises(users.PermissionDeniedError):
                users.back_up(session)
            with self.assertRaises(users.PermissionDeniedError):
                users.check_database(session)

    def test_the_check_finds_a_reference_to_nothing(self) -> None:
        self.create(self.uma)
        self.assertIn("The database is sound.", self.run_as("anna", "Data and audit", "Check database"))
        self.connection.execute("PRAGMA foreign_keys = OFF")
        self.connection.execute("UPDATE work_orders SET assignee_id = 99")
        output = self.run_as("anna", "Data and audit", "Check database")
        self.assertIn("Error: row 1 of work_orders refers to nothing\nRestore the database from a backup.", output)

    def test_a_backup_of_what_was_there_precedes_a_migration(self) -> None:
        database.migrate(self.connection, (*database.MIGRATIONS, ("CREATE TABLE more (id)",)))
        (copy,) = self.folder.glob(f"test.db.version-{len(database.MIGRATIONS)}.*")
        reader = sqlite3.connect(copy)
        self.addCleanup(reader.close)
        self.assertEqual(reader.execute("PRAGMA user_version").fetchone(), (len(database.MIGRATIONS),))
        self.assertEqual(reader.execute("SELECT count(*) FROM users").fetchone(), (4,))

    @posix
    def test_a_program_that_is_killed_in_a_migration_leaves_the_old_version(self) -> None:
        code = (
            "import database, os, signal\n"
            "connection = database.connect(database.default_path())\n"
            "connection.create_function('die', 0, lambda: os.kill(os.getpid(), signal.SIGKILL))\n"
            "database.migrate(connection, (*database.MIGRATIONS, ('CREATE TABLE half (id)', 'SELECT die()')))\n"
        )
        ended = run_command([sys.executable, "-c", code], b"", environment(self.path, PYTHONPATH=str(ROOT)))
        self.assertEqual(ended.code, -signal.SIGKILL)
        connection = database.connect(self.path)
        self.addCleanup(connection.close)
        self.assertEqual(database.schema_version(connection), len(database.MIGRATIONS))
        self.assertEqual(self.rows("SELECT * FROM sqlite_master WHERE name = 'half'"), [])

    def test_programs_that_start_at_once_migrate_once(self) -> None:
        path = self.folder / "old.db"
        path.touch()
        old = database.open_file(path)
        database.migrate(old, database.MIGRATIONS[:1])
        old.close()
        programs = [
            subprocess.Popen(command(ROOT / "database.py"), env=environment(path), stdout=subprocess.DEVNULL)
            for _ in range(4)
        ]
        self.assertEqual([program.wait() for program in programs], [0] * 4)
        connection = database.connect(path)
        self.assertEqual(database.schema_version(connection), len(database.MIGRATIONS))
        connection.close()


class FaultTest(DatabaseTestCase):
    def test_a_full_disk_is_said_and_work_goes_on_when_there_is_room(self) -> None:
        (pages,) = self.connection.execute("PRAGMA page_count").fetchone()
        self.connection.execute(f"PRAGMA max_page_count = {pages}")
        with self.assertRaises(sqlite3.OperationalError) as raised:
            self.create(self.uma, description="x" * 10_000)
        self.assertIn("The disk is full. Nothing was saved", database.explain(raised.exception))
        self.assertEqual(self.ids(self.uma), [])
        self.connection.execute("PRAGMA max_page_count = 1000000")
        self.create(self.uma, description="x" * 10_000)

    @posix
    def test_a_moved_database_is_said_viewing_goes_on_and_work_when_it_is_back(self) -> None:
        self.create(self.uma, "Still to be seen")
        talk = self.talk()
        talk.log_in("uma")
        talk.expect("0. Log out\n")
        self.path.rename(self.folder / "moved.db")
        talk.choose("Create work order")
        talk.answer("Title: ", "New", "(optional): ", "", "[Medium]: ", "")
        talk.expect("Error: The database or its folder is not writable, or the file was moved or replaced.")
        talk.choose("View work orders")
        talk.expect("Still to be seen")
        (self.folder / "moved.db").rename(self.path)
        talk.choose("Back", "Create work order")
        talk.answer("Title: ", "New", "(optional): ", "", "[Medium]: ", "")
        talk.expect("Work order #2 created.")

    @posix
    def test_a_disk_that_cannot_take_more_is_said(self) -> None:
        self.create(self.uma)
        limit = f'ulimit -f {self.path.stat().st_size // 512}; exec "$0" "$@"'
        forms = ("Create work order", "t", "x" * 9000, "", "Create work order", "t", "", "")
        answers = lines("Log in", "uma", PASSWORD, *forms, "Log out", "Exit").encode()
        ended = run_command(["sh", "-c", limit, *command()], answers, environment(self.path))
        self.assertRegex(ended.output, "Error: The disk (is full|reported an error). Nothing was saved")
        self.assertEqual(ended.code, 0)

    def test_an_unexpected_error_is_one_sentence_and_a_line_in_the_log(self) -> None:
        broken = "import work_order; del work_order.summary\n"
        code = [*command()[:2], broken + command()[2], *command()[3:]]
        answers = lines("Log in", "uma", PASSWORD, "Summary", "Create work order", "t", "", "").encode()
        output = run_command(code, answers, environment(self.path)).output
        self.assertIn("Error: Something unexpected happened. Nothing was saved. An admin finds it in ", output)
        self.assertNotIn("Traceback", output)
        self.assertIn("Work order #1 created.", output)
        log = self.folder / "work_order.log"
        self.assertIn("AttributeError", log.read_text())
        if os.name != "nt":
            self.assertEqual(stat.S_IMODE(log.stat().st_mode), 0o600)

    @posix
    def test_nobody_who_reads_the_output_is_no_traceback(self) -> None:
        program = f'echo {NUMBERS["Exit"]} | "{sys.executable}" "{ROOT / "main.py"}"'
        for sink in ("| true", "| head -1", ">/dev/full" if Path("/dev/full").exists() else "| true", ">&-"):
            with self.subTest(sink=sink):
                ended = run_command(["sh", "-c", f"{program} {sink}"], b"", environment(self.path))
                self.assertNotIn("Error", ended.output)
                self.assertNotIn("Exception", ended.output)

    def test_what_was_acknowledged_outlives_a_kill_at_any_moment(self) -> None:
        acknowledged: List[str] = []
        for round_number in range(12):
            talk = self.talk()
            talk.log_in("uma")
            titles = [f"Title {round_number}.{n}." for n in range(40)]
            talk.send("".join(lines("Create work order", title, "text", "") for title in titles))
            for _ in range(round_number * 2 + 1):
                seen = talk.expect(" created.\n")
                acknowledged += re.findall(r"Work order #(\d+)", seen)
            talk.process.kill()
            acknowledged += re.findall(r"Work order #(\d+) created\.", talk.end().output)
        ids = {str(row[0]) for row in self.rows("SELECT id FROM work_orders")}
        self.assertLessEqual(set(acknowledged), ids)
        self.assertEqual(database.find_problems(self.connection), [])
        histories = "SELECT count(*) FROM work_orders WHERE id NOT IN (SELECT work_order_id FROM work_order_history)"
        self.assertEqual(self.rows(histories), [(0,)])


@posix
class SignalTest(DatabaseTestCase):
    def prompt(self, place: str, talk: Conversation) -> None:
        """Go to a prompt: of a menu, a password, a form's first or second question."""
        if place == "password":
            talk.answer("option: ", "Log in", "Username: ", "uma")
        elif place != "menu":
            talk.log_in("uma")
            talk.choose("Create work order")
        if place == "second":
            talk.answer("Title: ", "t")
        talk.expect({"menu": "option: ", "password": "Password: ", "first": "Title: ", "second": "(optional): "}[place])

    def test_the_ends_of_program_and_terminal_save_nothing_and_leave_no_traceback(self) -> None:
        for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT):
            for place in PLACES:
                with self.subTest(signal=number, place=place):
                    talk = self.talk()
                    self.prompt(place, talk)
                    talk.process.send_signal(number)
                    talk.process.wait(10)
                    ended = talk.end()
                    self.assertEqual((ended.code, "Traceback" in ended.output), (128 + number, False))
        self.assertEqual(self.rows("SELECT * FROM work_orders"), [])

    @needs_terminal
    def test_a_terminal_gets_its_echo_back(self) -> None:
        import termios

        talk = self.talk((80, 24))
        self.prompt("password", talk)
        self.assertFalse(termios.tcgetattr(talk._output)[3] & termios.ECHO)
        talk.process.terminate()
        talk.process.wait(10)
        self.assertTrue(termios.tcgetattr(talk._output)[3] & termios.ECHO)

    @needs_terminal
    def test_a_closed_terminal_ends_the_program(self) -> None:
        for place in PLACES:
            with self.subTest(place=place):
                talk = self.talk((80, 24))
                self.prompt(place, talk)
                os.close(talk._output)
                talk._input = talk._output = os.open(os.devnull, os.O_RDONLY)
                talk.process.wait(10)
                self.assertFalse((self.folder / "work_order.log").exists())

    @needs_terminal
    def test_the_keys_that_stop_and_quit_leave_the_terminal_as_it_was(self) -> None:
        import termios

        for place in PLACES:
            for key in ("\x1a", "\x1c"):
                with self.subTest(place=place, key=key):
                    talk = self.talk((80, 24))
                    before = termios.tcgetattr(talk._output)[3]
                    self.prompt(place, talk)
                    talk.send(key + ("\x1c" if key == "\x1a" else ""))
                    talk.process.wait(10)
                    self.assertEqual(termios.tcgetattr(talk._output)[3], before)

    @needs_terminal
    def test_an_idle_terminal_gets_its_echo_back(self) -> None:
        import termios

        talk = self.talk((80, 24), 10, WORK_ORDER_IDLE_MINUTES="0.02")
        self.prompt("password", talk)
        talk.expect("0. Exit\n")
        talk.choose("Exit")
        talk.process.wait(10)
        self.assertTrue(termios.tcgetattr(talk._output)[3] & termios.ECHO)


class ManyAtOnceTest(DatabaseTestCase):
    # The wheel of SQLite 3.34 that CI has was built to sleep whole seconds between two tries for a lock.
    @unittest.skipIf(sqlite3.sqlite_version_info < (3, 35), "this SQLite may be one that waits in whole seconds")
    def test_eight_sessions_lose_nothing(self) -> None:
        order = self.create(self.uma)

        def add(number: int) -> str:
            create = ("Create work order", f"By {number}", "text", "high")
            comment = ("#1", "Add comment", f"Comment by {number}", "Back")
            username = ("uma", "ugo", "max", "anna")[number % 4]
            category_and_requester = ("", "") if username in ("max", "anna") else ()
            form = (*create, *category_and_requester, *comment, "View work orders", "Back")
            return self.run_as(username, *form * 5)

        with ThreadPoolExecutor(8) as pool:
            outputs = list(pool.map(add, range(8)))
        created = re.findall(r"Work order #(\d+) created", "".join(outputs))
        self.assertEqual(sorted(map(int, created)), list(range(2, 42)))
        self.assertEqual(len(self.ids(self.max)), 41)
        self.assertNotIn("busy", "".join(outputs))
        comments = [entry for entry in work_order.history(self.max, order.id) if entry.note]
        self.assertEqual(len(comments), 30)  # ugo cannot see it

    def test_two_admins_who_demote_each_other_leave_one(self) -> None:
        eva = self.session("eva", Role.ADMIN, ("anna", PASSWORD))
        barrier = threading.Barrier(2)

        def demote(admin: Session, username: str) -> None:
            connection = database.connect(self.path)
            session = Session(connection, admin.user_id, admin.password_version)
            barrier.wait()
            try:
                users.change_role(session, username, Role.USER)
            except users.PermissionDeniedError:
                pass
            finally:
                connection.close()

        threads = [threading.Thread(target=demote, args=pair) for pair in ((self.anna, "eva"), (eva, "anna"))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(self.rows("SELECT count(*) FROM users WHERE role = 'admin'"), [(1,)])


class HostileTextTest(DatabaseTestCase):
    """Strings of the kinds that are known to break programs, typed at every prompt."""

    STRINGS = (
        *("undefined", "NULL", "None", "true", "-1", "1/0", "0x0", "NaN", "1e309", "٣٤", "１２", "½", "2147483648"),
        *("' OR 1=1 --", "'; DROP TABLE users", '"', "\\", "%s%n", "{0}", "${HOME}", "$(ls)", "`ls`", "../../etc"),
        *("C:\\", "<script>alert(1)</script>", "\x1b]0;title\x07", "\x1b[2J", "\x9b31m", "\u202ecilbup", "\u2066"),
        *("\ufeff", "\u2028", "Ω≈ç√", "田中さん", "👾🙇", "👨\u200d👩", "z\u0351\u032b\u0343", "\u3000", "\xa0"),
        *("\u200b", "ﷺ", "𝕳𝖊𝖑𝖑𝖔", "\x00", "none", "me", "any", "nobody", "#1", "#", "0", " ", "a" * 5000, "[1]", "*"),
        *("AND", "NEAR(", "yes"),
    )
    FORMS = (
        *(("Create work order",), ("Update work order",), ("Search work orders",), ("My account", "Change email")),
        *(("View work orders", "Filter", by) for by in ("", *main.FILTERS)),
        *(("View work orders", "Sort"), ("#1", "Take"), ("#1", "Change category")),
        *(("#1", "Change status"), ("#1", "Add comment"), ("#1", "Edit title"), ("#1", "Edit description")),
        *(("#1", "Assign"), ("#1", "Set due date"), ("#1", "Change requester")),
        *(("Manage users", "Add user"), ("Manage users", "Change role")),
        ("Data and audit", "Deleted work orders", "Restore work order"),
        *(("Data and audit", "Audit log", "Filter"), ("Data and audit", "Audit log", "Show entry")),
    )

    def test_no_prompt_breaks_on_any_of_them(self) -> None:
        self.create(self.uma)
        for form in self.FORMS:
            with self.subTest(form=form):
                answers: List[str] = []
                for text in self.STRINGS:
                    answers += ["Log in", "anna", PASSWORD, *form, text, text, text, "", "", *["Back"] * 4]
                ended = run(self.path, *answers)
                self.assertNotIn("Traceback", ended.output)
                self.assertNotIn("unexpected", ended.output)
                self.assertEqual([c for c in set(ended.output) if not c.isprintable() and c != "\n"], [])
                self.assertFalse((self.folder / "work_order.log").exists())


if __name__ == "__main__":
    unittest.main()
