"""What nobody may lose and what may lock nobody out, whatever texts, clients, searches, kills and keys come."""

import contextlib
import io
import os
import re
import shutil
import signal
import sqlite3
import sys
import tempfile
import time
import unittest
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Callable, ContextManager, Dict, Iterator, List, Tuple
from unittest import mock

from support import (
    PASSWORD,
    ROOT,
    Conversation,
    DatabaseTestCase,
    command,
    environment,
    needs_terminal,
    run,
    run_command,
)

import database
import main
import users
import work_order
from users import AuditFilter, AuthenticationError, InvalidInputError, Role, Session
from work_order import Priority, Query, Status, WorkOrder

posix = unittest.skipIf(os.name == "nt", "needs POSIX")
SIZE = (80, 24)
# Any step of a program can be its last one: what is replaced by die() kills it there.
DIE = "import os, signal, sqlite3\ndef die(*_, **__): os.kill(os.getpid(), signal.SIGKILL)\n"

# A search without end that gets a SIGTERM as soon as it has its lock, and the prompt that comes after it.
ENDLESS = """
import database, main, os, signal, sqlite3, threading
connection = database.connect(database.default_path())
other = sqlite3.connect(connection.path, timeout=0, isolation_level=None, check_same_thread=False)

def terminate():
    try:
        while True:
            other.execute("BEGIN EXCLUSIVE")
            other.execute("ROLLBACK")
    except sqlite3.OperationalError:
        os.kill(os.getpid(), signal.SIGTERM)

def search():
    with database.limited(connection, 5, "slow"), database.snapshot(connection):
        threading.Thread(target=terminate).start()
        connection.execute(
            "WITH RECURSIVE n (i) AS (SELECT count(*) FROM users UNION ALL SELECT i FROM n) SELECT max(i) FROM n"
        )

signal.signal(signal.SIGTERM, main.Ending())
main.perform(main.Screen(), search)
main.read_line("")
"""


def days_ago(days: float) -> str:
    return database.utc_text(datetime.now(timezone.utc) - timedelta(days=days))


# Texts that are offered again


class PipedConversation(Conversation):
    """The program with its input from a terminal and its output into a pipe."""

    def _start_in_terminal(self, command: List[str], variables: Dict[str, str], size: Tuple[int, int]) -> None:
        super()._start_in_terminal(["/bin/sh", "-c", '"$0" "$@" | cat', *command], variables, size)


@needs_terminal
class EditDescriptionTest(DatabaseTestCase):
    TEXT = "first line\nzweite Zeile für Jürgen\nlast line"

    def assert_enter_keeps(self, text: str, talk: Conversation, keys: str = "\n\n\n\n") -> None:
        """Choose Edit description, press Enter and see that the text is still the same; what is more goes to a menu."""
        self.create(self.uma, description=text)
        talk.log_in("uma")
        talk.choose("Update work order")
        talk.answer("Work order ID: ", "1")
        talk.choose("Edit description")
        talk.expect("Description")
        talk.send(keys)
        talk.expect("Choose an option or #ID: ")
        self.assertEqual(self.rows("SELECT description FROM work_orders"), [(text,)])

    def test_lines_that_a_c_locale_cannot_offer_are_kept(self) -> None:
        self.assert_enter_keeps(self.TEXT, self.talk(SIZE, LC_ALL="C"))

    def test_lines_that_a_missing_locale_cannot_offer_are_kept(self) -> None:
        self.assert_enter_keeps(self.TEXT, self.talk(SIZE, LC_ALL="xx_XX"))

    def test_lines_are_kept_where_the_output_goes_into_a_pipe(self) -> None:
        talk = PipedConversation(command(), environment(self.path), SIZE)
        self.addCleanup(talk.close)
        self.assert_enter_keeps(self.TEXT, talk, "\nthe menu's\n\n\n")

    def test_a_line_that_ends_in_a_backslash_keeps_it(self) -> None:
        self.assert_enter_keeps("C:\\\nis a folder", self.talk(SIZE))

    def test_a_text_that_ends_in_a_backslash_keeps_it(self) -> None:
        self.assert_enter_keeps("the folder is\nC:\\", self.talk(SIZE))


# How much a work order holds


class BoundedNotesTest(DatabaseTestCase):
    def fill(self) -> WorkOrder:
        """Return a work order with 200,000 characters of comments and notes."""
        shown = self.create(self.uma)
        for number in range(19):
            work_order.comment(self.uma, shown.id, f"{number} " + "x" * (9_999 - len(str(number))))
        work_order.change_status(self.uma, shown, Status.ON_HOLD, "y " * 4_999 + "zz")
        self.assertEqual(self.rows("SELECT sum(length(note)) FROM work_order_history"), [(200_000,)])
        return self.get(self.uma, shown.id)

    def test_a_short_note_counts_as_a_hundred_characters(self) -> None:
        shown = self.create(self.uma)
        insert = """
            INSERT INTO work_order_history (work_order_id, user_id, changed_at, field, note)
            VALUES (?, 3, ?, 'comment', ?)
        """
        with database.transaction(self.connection):
            for note in (*"x" * 100, *["y" * 10_000] * 19):
                self.connection.execute(insert, (shown.id, database.now(), note))
        with self.assertRaisesRegex(InvalidInputError, "continue in a new work order"):
            work_order.comment(self.uma, shown.id, "x")
        with self.assertRaisesRegex(sqlite3.IntegrityError, "200,000"):
            self.connection.execute(insert, (shown.id, database.now(), "x"))

    def test_one_character_above_the_bound_is_refused_as_a_comment_and_as_a_note(self) -> None:
        shown = self.fill()
        sentence = "would have more than 200,000 characters; continue in a new work order"
        with self.assertRaisesRegex(InvalidInputError, sentence):
            work_order.comment(self.uma, shown.id, "z")
        with self.assertRaisesRegex(InvalidInputError, sentence):
            work_order.change_status(self.uma, shown, Status.OPEN, "z")
        self.assertEqual(self.get(self.uma, shown.id).status, Status.ON_HOLD)

    def test_the_schema_refuses_it_too(self) -> None:
        shown = self.fill()
        with self.assertRaisesRegex(sqlite3.IntegrityError, "at most 200,000 characters"):
            users.record_change(
                self.connection, shown.id, users.current_user(self.uma), database.now(), "note", note="z"
            )

    def test_work_goes_on_without_a_note_at_the_bound(self) -> None:
        shown = self.fill()
        with self.assertRaises(InvalidInputError):
            work_order.comment(self.uma, shown.id, "z")
        work_order.change_status(self.uma, shown, Status.RESOLVED)
        self.assertEqual(self.get(self.uma, shown.id).status, Status.RESOLVED)

    def test_another_work_order_has_its_own_bound(self) -> None:
        self.fill()
        other = self.create(self.uma)
        work_order.comment(self.uma, other.id, "z" * 10_000)
        self.assertEqual(database.find_differences(self.connection), [])

    def test_the_index_is_right_after_each_change_at_the_bound(self) -> None:
        shown = self.fill()
        self.assertEqual(database.find_differences(self.connection), [])
        for field, text in ((work_order.TITLE, "Renamed"), (work_order.DESCRIPTION, "Rewritten " * 999)):
            work_order.change(self.uma, shown, field, text)
            self.assertEqual(database.find_differences(self.connection), [])
        for text in ("Renamed", "Rewritten", "zz", "18"):
            self.assertTrue(work_order.search(self.uma, text).is_by_word, text)


# Guessing, by name and client


class ClientTest(DatabaseTestCase):
    def at(self, client: object) -> ContextManager[object]:
        return mock.patch.dict(os.environ, SSH_CLIENT=f"{client} 50000 22")

    def is_let_in(self, client: object, password: str = PASSWORD, username: str = "anna") -> bool:
        with self.at(client):
            try:
                users.log_in(self.connection, username, password)
            except AuthenticationError:
                return False
        return True

    def fail_from(self, clients: int, times: int = 5) -> None:
        for client in range(clients):
            for _ in range(times):
                self.assertFalse(self.is_let_in(f"10.0.0.{client}", "not the one"))

    def test_twenty_clients_that_fail_keep_nobody_out_at_the_usual_desk(self) -> None:
        self.assertTrue(self.is_let_in("desk"))
        self.fail_from(20)
        self.assertTrue(self.is_let_in("desk"))

    def test_the_program_tells_clients_apart_by_their_ssh_address(self) -> None:
        answers = [answer for _ in range(6) for answer in ("Log in", "anna", "not the one")]
        run(self.path, *answers, SSH_CLIENT="10.0.0.1 50000 22")
        for client, is_in in (("10.0.0.1", False), ("10.0.0.2", True)):
            output = self.run_as("anna", SSH_CLIENT=f"{client} 50000 22")
            self.assertEqual("Main menu: anna" in output, is_in, client)

    def test_an_unknown_client_waits_after_fifty_failures_from_all(self) -> None:
        self.fail_from(12, 4)
        self.assertTrue(self.is_let_in("a new desk"))
        self.fail_from(2, 1)
        self.assertFalse(self.is_let_in("another new desk"))
        self.assertTrue(self.is_let_in("a new desk"))

    def test_a_client_is_known_for_thirty_days(self) -> None:
        for days, is_in in ((29, True), (31, False)):
            self.assertTrue(self.is_let_in(f"desk {days}"))
            self.connection.execute("UPDATE login_clients SET last_login_at = ?", (days_ago(days),))
            self.fail_from(10)
            self.assertEqual(self.is_let_in(f"desk {days}"), is_in)
            users.unlock(self.anna, "anna")

    def test_its_own_five_failures_lock_a_known_client_and_no_other(self) -> None:
        for client in ("desk", "phone"):
            self.assertTrue(self.is_let_in(client))
        for _ in range(5):
            self.assertFalse(self.is_let_in("desk", "not the one"))
        self.assertFalse(self.is_let_in("desk"))
        self.assertTrue(self.is_let_in("phone"))

    def test_failures_older_than_a_day_are_removed_at_the_next_try_of_anybody(self) -> None:
        self.fail_from(3)
        self.connection.execute("UPDATE password_failures SET last_failed_at = ?", (days_ago(1.1),))
        self.assertTrue(self.is_let_in("desk", username="uma"))
        self.assertEqual(self.rows("SELECT * FROM password_failures"), [])

    def test_ones_own_old_failures_count_no_more_however_many_others_there_are(self) -> None:
        self.fail_from(10)
        self.connection.execute("UPDATE password_failures SET last_failed_at = ?", (days_ago(1.1),))
        self.connection.execute(
            """
            WITH RECURSIVE numbers (number) AS (SELECT 1 UNION ALL SELECT number + 1 FROM numbers WHERE number < 2500)
            INSERT INTO password_failures SELECT 'another ' || number, 'desk', 1, ? FROM numbers
            """,
            (days_ago(1.2),),
        )
        self.assertFalse(self.is_let_in("a new desk", "not the one"))
        self.assertTrue(self.is_let_in("a new desk"))
        self.assertEqual(self.rows("SELECT count(*) FROM password_failures"), [(500,)])

    def test_unlocking_clears_all_clients(self) -> None:
        self.fail_from(10)
        self.assertFalse(self.is_let_in("a new desk"))
        self.assertEqual(users.unlock(self.anna, "anna"), 50)
        self.assertEqual(self.rows("SELECT * FROM password_failures"), [])
        self.assertTrue(self.is_let_in("a new desk"))


# Upgrading


class UpgradeTest(unittest.TestCase):
    """A database of the third version, with something of everything in it."""

    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.path = Path(folder.name) / "old.db"
        self.path.touch()
        old = database.open_file(self.path)
        database.migrate(old, database.MIGRATIONS[:3])
        at = days_ago(0.5)
        for number, (username, role) in enumerate((("anna", "admin"), ("there", "user")), 1):
            old.execute(
                "INSERT INTO users (id, username, password_hash, role, created_at) VALUES (?, ?, ?, ?, ?)",
                (number, username, users._hash(PASSWORD), role, at),
            )
        for title, description in (("Toner", "is dry"), ("Scanner", "")):
            old.execute(
                """
                INSERT INTO work_orders (title, description, requester_id, created_at, updated_at)
                VALUES (?, ?, 2, ?, ?)
                """,
                (title, description, at, at),
            )
        for field, old_value, new_value, note in (
            ("created", None, None, ""),
            ("comment", None, None, "ordered a cartridge"),
            ("status", "Open", "On Hold", "supplier is late"),
        ):
            old.execute(
                """
                INSERT INTO work_order_history (work_order_id, user_id, changed_at, field, old_value, new_value, note)
                VALUES (1, 2, ?, ?, ?, ?, ?)
                """,
                (at, field, old_value, new_value, note),
            )
        old.execute("INSERT INTO password_failures VALUES (?, 3, ?)", (users._name_hash("there"), at))
        for user_id, event, subject in (
            (1, "logged in", "anna"),
            (None, "login failed", "there"),
            (1, "password reset", "there"),
            (1, "refused", "there is no work order #7."),
        ):
            old.execute(
                """
                INSERT INTO audit_log (recorded_at, user_id, os_user, ssh_client, event, subject)
                VALUES (?, ?, 'host', '10.0.0.1', ?, ?)
                """,
                (at, user_id, event, subject),
            )
        self.prepare(old)
        old.close()

    def prepare(self, old: "database.Connection") -> None:
        """Do something more to the old database."""

    def upgrade(self) -> "database.Connection":
        connection = database.connect(self.path)
        self.addCleanup(connection.close)
        return connection


class UpgradedTest(UpgradeTest):
    def setUp(self) -> None:
        super().setUp()
        self.connection = self.upgrade()
        self.anna, self.there = Session(self.connection, 1, 1), Session(self.connection, 2, 1)

    def test_it_is_sound_and_stays_so_as_work_goes_on(self) -> None:
        self.assertEqual(database.find_problems(self.connection) + database.find_differences(self.connection), [])
        work_order_id = work_order.create(self.there, "New", "", Priority.MEDIUM)
        work_order.change_status(
            self.there, work_order.get(self.there, work_order_id).work_order, Status.ON_HOLD, "why"
        )
        work_order.comment(self.there, 1, "arrived")
        work_order.delete(self.anna, 2)
        self.assertEqual(database.find_differences(self.connection), [])
        counts = {count.status: count for count in work_order.summary(self.there)}
        for status in (Status.OPEN, Status.ON_HOLD):
            self.assertEqual((counts[status].by_priority[Priority.MEDIUM], counts[status].own), (1, 1))

    def test_a_search_finds_notes_as_well_as_comments(self) -> None:
        for text in ("supplier", "cartridge", "dry"):
            query = work_order.search(self.there, text)
            self.assertEqual(work_order.read_page(self.there, query, (), 9).total, 1, text)
            self.assertTrue(query.is_by_word, text)

    def test_failures_are_kept(self) -> None:
        self.assertEqual(users.unlock(self.anna, "there"), 3)

    def test_the_audit_log_finds_what_was_done_to_an_account_and_no_sentence(self) -> None:
        entries = users.audit_log(self.anna, AuditFilter("there"), None, 9)
        self.assertEqual([entry.event for entry in entries], ["password reset", "login failed"])

    def test_a_client_that_has_logged_in_is_known(self) -> None:
        (row,) = self.connection.execute("SELECT user_id, client FROM login_clients").fetchall()
        self.assertEqual(tuple(row), (1, "host 10.0.0.1"))

    def test_what_is_on_record_still_cannot_be_changed(self) -> None:
        with self.assertRaises(sqlite3.IntegrityError):
            self.connection.execute("UPDATE audit_log SET subject = 'x'")


class IncompleteTest(UpgradeTest):
    def prepare(self, old: "database.Connection") -> None:
        old.execute("DROP TABLE password_failures")

    def test_a_program_error_at_the_start_is_not_called_damage(self) -> None:
        with self.assertRaisesRegex(database.DatabaseFileError, "cannot be used .no such table") as raised:
            self.upgrade()
        self.assertNotRegex(str(raised.exception), "damage|backup")
        fault = raised.exception.__cause__
        self.assertIsInstance(fault, sqlite3.OperationalError)
        self.assertNotRegex(database.explain(sqlite3.OperationalError(str(fault))), "damage|backup")


class SchemaTest(DatabaseTestCase):
    def test_no_conflict_is_resolved_without_its_target(self) -> None:
        texts = [str(sql) for (sql,) in self.rows("SELECT sql FROM sqlite_master")]
        texts += [path.read_text(encoding="utf-8") for path in ROOT.glob("*.py")]
        self.assertEqual([text for text in texts if re.search(r"ON\s+CONFLICT\s+DO", text)], [])


# Searching


class SearchTest(DatabaseTestCase):
    # Every three characters of it stand in the texts, but not together.
    NOWHERE = Query(text="abcab", as_substring=True)

    def fill(self) -> None:
        """Add so many work orders that may contain it that SQLite looks up from reading them."""
        self.connection.execute(
            """
            WITH RECURSIVE numbers (number) AS (SELECT 1 UNION ALL SELECT number + 1 FROM numbers WHERE number < 2000)
            INSERT INTO work_orders (title, requester_id, created_at, updated_at)
                SELECT 'abc bca cab ' || number, 3, :now, :now FROM numbers
            """,
            {"now": database.now()},
        )

    def test_one_without_a_hit_reads_the_texts_once(self) -> None:
        self.create(self.uma)
        statements: List[str] = []
        self.connection.set_trace_callback(statements.append)
        query = work_order.search(self.max, "nowhere")
        page = work_order.read_page(self.max, query, (), 20)
        self.connection.set_trace_callback(None)
        self.assertEqual((query.as_substring, page.total), (True, 0))
        self.assertEqual(sum("GLOB" in statement for statement in statements), 1)

    def test_a_long_one_is_stopped_with_a_sentence_and_holds_up_nobody_any_more(self) -> None:
        self.fill()
        with mock.patch.object(work_order, "SEARCH_SECONDS", 0):
            with self.assertRaisesRegex(
                database.ApplicationError, "Reading was stopped after 0 seconds, so that others can save; search for"
            ):
                work_order.read_page(self.max, self.NOWHERE, (), 20)
            self.assertFalse(self.connection.in_transaction)
        self.assertEqual(work_order.read_page(self.max, self.NOWHERE, (), 20).total, 0)

    @posix
    def test_ctrl_c_leaves_it(self) -> None:
        self.fill()
        self.addCleanup(signal.signal, signal.SIGINT, signal.signal(signal.SIGINT, signal.SIG_IGN))
        # SQLite calls a function for GLOB, and Ctrl-C is pressed just then.
        self.connection.create_function("glob", 2, lambda *_: os.kill(os.getpid(), signal.SIGINT))
        with self.assertRaises(sqlite3.OperationalError) as raised:
            main.ListScreen(self.max, self.NOWHERE).show()
        self.assertEqual(database.explain(raised.exception), "Interrupted.")
        self.assertIs(signal.getsignal(signal.SIGINT), signal.SIG_IGN)

    @posix
    def test_sigterm_in_the_midst_of_it_ends_the_program(self) -> None:
        ended = run_command([sys.executable, "-c", ENDLESS], b"", environment(self.path, PYTHONPATH=str(ROOT)))
        self.assertEqual(ended.code, 128 + signal.SIGTERM, ended.output)


# Backups that are whole


@posix
class KilledTest(DatabaseTestCase):
    def kill(self, path: Path, code: str) -> None:
        variables = environment(path, PYTHONPATH=str(ROOT))
        ended = run_command([sys.executable, "-c", DIE + code], b"", variables)
        self.assertEqual(ended.code, -signal.SIGKILL, ended.output)

    def kill_at_publishing(self) -> None:
        """Kill a program that has written all of a backup, but has not given it its name."""
        self.kill(
            self.path,
            "import database\n"
            "connection = database.connect(database.default_path())\n"
            "os.link = os.rename = os.replace = die\n"
            "database.back_up(connection, database.new_path(connection, 'backup', '.db'))\n",
        )

    def test_in_a_backup_it_leaves_nothing_that_looks_like_one(self) -> None:
        self.kill_at_publishing()
        (left,) = (self.folder / "backups").iterdir()
        self.assertRegex(left.name, r"^\..*\.partial$")

    def test_the_next_backup_removes_what_it_left(self) -> None:
        self.kill_at_publishing()
        (left,) = (self.folder / "backups").iterdir()
        left.with_name(f"{left.name}-journal").touch()
        backup = users.back_up(self.anna)
        self.assertEqual(list(backup.parent.iterdir()), [backup])

    def test_the_next_backup_also_removes_what_a_check_left_beside_the_database(self) -> None:
        self.kill(
            self.path,
            "import database\n"
            "connection = database.connect(database.default_path())\n"
            "sqlite3.connect = die\n"
            "database.check(connection)\n",
        )
        users.back_up(self.anna)
        self.assertEqual(list(self.folder.glob(".*.partial*")), [])

    def test_what_a_dead_program_with_the_same_process_id_left_is_not_in_the_way(self) -> None:
        for name in (self.path.name, "copy.db"):
            (self.folder / f".{name}.{os.getpid()}.partial").write_text("of an earlier container")
        self.assertEqual(users.check_database(self.anna), [])
        database.back_up(self.connection, self.folder / "copy.db")

    def test_while_a_database_is_made_it_leaves_none_and_the_next_start_makes_it(self) -> None:
        connect = (
            "connect = sqlite3.connect\n"
            "sqlite3.connect = lambda path, **named: (connect if path == ':memory:' else die)(path, **named)"
        )
        for number, death in enumerate((connect, "os.link = die")):
            path = self.folder / f"new {number}.db"
            self.kill(path, f"{death}\nimport database\ndatabase.main()\n")
            self.assertFalse(path.exists())
            self.assertEqual(run(path, program=ROOT / "database.py").code, 0)
            database.connect(path).close()


class BackupTest(DatabaseTestCase):
    def test_an_empty_file_is_no_new_database(self) -> None:
        empty = self.folder / "empty.db"
        empty.touch()
        for program in ("main.py", "database.py"):
            ended = run(empty, "Exit", program=ROOT / program)
            self.assertEqual((ended.code, ended.output.count("\n")), (1, 1))
            self.assertIn("is empty", ended.output)
        self.assertEqual(empty.stat().st_size, 0)

    def test_those_of_one_second_all_exist(self) -> None:
        paths = {users.back_up(self.anna) for _ in range(3)}
        self.assertEqual(len(paths), 3)
        self.assertEqual(set((self.folder / "backups").iterdir()), paths)

    def test_a_disk_that_is_full_only_then_does_not_hide_where_it_is(self) -> None:
        self.connection.execute("PRAGMA synchronous = OFF")
        (pages,) = self.connection.execute("PRAGMA page_count").fetchone()
        self.connection.execute(f"PRAGMA max_page_count = {pages}")
        with contextlib.suppress(sqlite3.OperationalError):
            while True:
                users.audit(self.connection, 1, "backed up", "")
        with self.assertRaises(database.ApplicationError) as raised:
            users.back_up(self.anna)
        (backup,) = (self.folder / "backups").iterdir()
        self.assertIn(f"The backup is in {backup}, but the audit log has no row", str(raised.exception))
        database.connect(backup).close()

    @posix
    def test_neither_the_folder_nor_the_file_needs_a_name_in_utf_8(self) -> None:
        folder = self.folder / os.fsdecode(b"\xff")
        try:
            folder.mkdir()
        except OSError as error:
            self.skipTest(f"this file system refuses the name: {error}")
        for name in ("test.db", os.fsdecode(b"\xff.db")):
            shutil.copy(self.path, folder / name)
            output = run(folder / name, "Log in", "anna", PASSWORD, "Data and audit", "Back up now").output
            self.assertIn("Backed up to ", output, ascii(name))
            self.assertEqual(len(list((folder / "backups").glob(f"{name[:-3]}-*.db"))), 1)


# What others wait for


class WatchfulOutput(io.TextIOWrapper):
    """A terminal that notices what is printed while anybody holds a lock of the database."""

    def __init__(self, path: Path) -> None:
        super().__init__(io.BytesIO(), "utf-8")
        self.printed: List[str] = []
        self.other = sqlite3.connect(path, timeout=0, isolation_level=None)
        self.under_lock: List[str] = []

    def isatty(self) -> bool:
        return True

    def write(self, text: str) -> int:
        try:
            self.other.execute("BEGIN EXCLUSIVE")
            self.other.execute("ROLLBACK")
        except sqlite3.OperationalError:
            self.under_lock.append(text)
        self.printed.append(text)
        return len(text)


class LockTest(DatabaseTestCase):
    def test_nothing_is_printed_while_one_is_held(self) -> None:
        for number in range(30):
            shown = self.create(self.uma, f"Title {number}", description="x" * 9_000)
        output = WatchfulOutput(self.path)
        self.addCleanup(output.other.close)
        data = main.DataScreen(self.anna)
        with contextlib.redirect_stdout(output), mock.patch.object(database, "PAGES_PER_STEP", 10):
            for show in (
                data.back_up,
                data.check_database,
                main.MainScreen(self.anna).show,
                main.MainScreen(self.anna).show_summary,
                *(screen(self.anna).show for screen in (main.ListScreen, main.AuditScreen, main.DeletedScreen)),
                main.WorkOrderScreen(self.anna, shown.id).show,
                main.HistoryScreen(self.anna, shown.id).show,
            ):
                show()
        self.assertEqual(output.under_lock, [])
        self.assertIn("The database is sound.", "".join(output.printed))


class CheckTest(DatabaseTestCase):
    def setUp(self) -> None:
        super().setUp()
        for session in (self.uma, self.ugo):
            work_order.comment(session, self.create(session).id, "a comment")

    def test_a_full_text_index_that_differs_is_named(self) -> None:
        self.assertEqual(users.check_database(self.anna), [])
        self.connection.execute("INSERT INTO work_order_search (work_order_search) VALUES ('delete-all')")
        self.assertEqual(users.check_database(self.anna), ["The full-text index differs from the texts."])

    def test_each_counter_that_differs_is_named(self) -> None:
        self.connection.execute("UPDATE work_order_counts SET total = 7 WHERE requester_id = 3")
        self.connection.execute("DELETE FROM work_order_counts WHERE requester_id = 4")
        first, second, third = users.check_database(self.anna)
        self.assertEqual(first, "The counter of requester 3, Open, priority 2 is 7, but there are 1 work orders.")
        self.assertTrue(second.startswith("The counter of requester 4, Open, priority 2 is 0,"), second)
        self.assertEqual(third, "The counter of all requesters, Open, priority 2 is 8, but there are 2 work orders.")
        self.assertEqual(list(self.folder.glob(".*")), [])


# The terminal


@needs_terminal
class KeysTest(DatabaseTestCase):
    def setUp(self) -> None:
        super().setUp()
        try:
            import readline
        except ImportError:
            self.skipTest("this Python edits no lines")
        if "libedit" in (readline.__doc__ or ""):
            self.skipTest("these are the keys of GNU readline")

    def talk_at_title(self) -> Conversation:
        talk = self.talk(SIZE)
        talk.log_in("uma")
        talk.choose("Create work order")
        talk.expect("Title: ")
        return talk

    def test_what_one_session_cut_no_other_can_paste(self) -> None:
        talk = self.talk_at_title()
        talk.send("confidential\x01\x0b\n")
        talk.choose("Log out", "Log in")
        talk.expect("Username: ")
        talk.send("\x19\x1b\x19\n")
        self.assertNotIn("confidential", talk.expect("Choose an option: "))

    def test_the_keys_of_a_search_do_not_end_the_program(self) -> None:
        for keys in ("\x12\x18x", "\x12x\x18\x12", "\x1bp\x18x"):
            talk = self.talk_at_title()
            talk.send(keys)
            talk.send("\x15Printer\n")
            talk.expect("Description (optional): ")

    def test_no_folder_of_the_host_is_shown(self) -> None:
        for keys in ("~root\x1b&", "/et\x1b*", "/et\x1b?", "~ro\x1b~", "/et\x1b="):
            talk = self.talk_at_title()
            talk.send(f"{keys}\n")
            self.assertNotRegex(
                talk.expect("Description (optional): "), re.escape(str(Path("~root").expanduser())) + "|/etc"
            )


@needs_terminal
class BothSignalsTest(DatabaseTestCase):
    def test_sigterm_that_meets_ctrl_c_ends_the_program_and_gives_the_echo_back(self) -> None:
        import termios

        for place in ("Choose an option: ", "Password: ", "Title: "):
            talk = self.talk(SIZE)
            if place != "Choose an option: ":
                talk.answer("option: ", "Log in", "Username: ", "uma")
            if place == "Title: ":
                talk.answer("Password: ", PASSWORD, "#ID: ", "Create work order")
            talk.expect(place)
            # A program that is stopped finds both when it goes on.
            for number in (signal.SIGSTOP, signal.SIGINT, signal.SIGTERM, signal.SIGCONT):
                talk.process.send_signal(number)
            with self.subTest(place=place):
                self.assertEqual(talk.process.wait(10), 128 + signal.SIGTERM)
                self.assertTrue(termios.tcgetattr(talk._output)[3] & termios.ECHO)


class DeadlineTest(DatabaseTestCase):
    @contextlib.contextmanager
    def after(self, seconds: float) -> Iterator[None]:
        moment = time.monotonic() + seconds
        with mock.patch.object(time, "monotonic", return_value=moment), contextlib.redirect_stdout(io.StringIO()):
            yield

    def test_its_sentence_is_right_for_one_minute_and_for_more(self) -> None:
        for seconds, words in ((60, "1 minute."), (90, "1.5 minutes."), (900, "15 minutes.")):
            deadline = main.Deadline(seconds)
            with self.after(seconds + 1), self.assertRaisesRegex(main.IdleError, f"^Nothing was typed for {words}$"):
                deadline.check()

    def test_it_counts_from_the_last_key(self) -> None:
        deadline = main.Deadline(60)
        with self.after(50):
            deadline.extend()
        with self.after(100):
            deadline.check()
        with self.after(120), self.assertRaises(main.IdleError):
            deadline.check()

    @needs_terminal
    def test_a_key_is_an_edited_line_or_a_terminal_that_was_read(self) -> None:
        import pty

        keys, terminal = pty.openpty()
        self.addCleanup(os.close, keys)
        with os.fdopen(terminal) as file, mock.patch.object(sys, "stdin", file):
            deadline = main.Deadline(60)
            os.utime(terminal, (1, 1))
            with self.after(100):
                deadline.check()
            with self.after(170), self.assertRaises(main.IdleError):
                deadline.check()

    def test_a_form_says_that_nothing_of_it_was_saved(self) -> None:
        talk = self.talk(WORK_ORDER_IDLE_MINUTES="0.02")
        talk.log_in("uma")
        talk.choose("Create work order")
        talk.expect("Title: ")
        seen = talk.expect("IT Work Order")
        self.assertIn("Nothing was typed for 0.02 minutes. Nothing of the form was saved.", seen)


# A file that is not there any more


@posix
class MovedTest(DatabaseTestCase):
    def assert_said_and_shown(self, move: Callable[[], object]) -> None:
        self.create(self.uma, "Still to be seen")
        talk = self.talk()
        talk.log_in("uma")
        talk.expect("0. Log out\n")
        move()
        talk.choose("View work orders")
        seen = talk.expect("Still to be seen")
        self.assertIn(f"Error: {self.path} was moved, removed or replaced: you are seeing the old file.", seen)

    def test_the_next_screen_says_that_it_was_moved_and_shows_the_old_one(self) -> None:
        self.assert_said_and_shown(lambda: self.path.rename(self.folder / "moved.db"))

    def test_the_next_screen_says_that_it_was_removed_and_shows_the_old_one(self) -> None:
        self.assert_said_and_shown(self.path.unlink)

    def test_the_next_screen_says_that_it_was_replaced_and_shows_the_old_one(self) -> None:
        newer = self.folder / "newer.db"
        shutil.copy(self.path, newer)
        self.assert_said_and_shown(lambda: newer.replace(self.path))

    def test_the_start_menu_says_it_too(self) -> None:
        talk = self.talk()
        talk.expect("0. Exit\n")
        self.path.rename(self.folder / "moved.db")
        talk.choose("Log in")
        talk.answer("Username: ", "")
        self.assertIn("was moved, removed or replaced", talk.expect("0. Exit\n"))


# Text


class TextTest(DatabaseTestCase):
    def test_nul_is_refused_wherever_a_text_is_taken(self) -> None:
        shown, nul = self.create(self.uma), "a\0b"
        for take in (
            lambda: work_order.create(self.uma, nul, "", Priority.LOW),
            lambda: work_order.create(self.uma, "Title", nul, Priority.LOW),
            lambda: work_order.change(self.uma, shown, work_order.TITLE, nul),
            lambda: work_order.change(self.uma, shown, work_order.DESCRIPTION, nul),
            lambda: work_order.comment(self.uma, shown.id, nul),
            lambda: work_order.change_status(self.uma, shown, Status.ON_HOLD, nul),
            lambda: work_order.search(self.uma, nul),
        ):
            with self.assertRaisesRegex(InvalidInputError, "NUL"):
                take()
        self.assertEqual(self.rows("SELECT count(*) FROM work_order_history"), [(1,)])

    def test_the_schema_refuses_nul_too(self) -> None:
        self.create(self.uma)
        at = database.now()
        for statement in (
            "UPDATE work_orders SET title = 'a' || char(0)",
            "UPDATE work_orders SET description = 'a' || char(0)",
            f"INSERT INTO work_orders (title, requester_id, created_at, updated_at)"
            f" VALUES ('a' || char(0), 3, '{at}', '{at}')",
            f"INSERT INTO work_order_history (work_order_id, user_id, changed_at, field, note)"
            f" VALUES (1, 3, '{at}', 'comment', 'a' || char(0))",
        ):
            with self.subTest(statement=statement), self.assertRaises(sqlite3.IntegrityError):
                self.connection.execute(statement)

    def test_it_is_stored_composed(self) -> None:
        decomposed, composed = "Cafe\u0301", "Caf\u00e9"
        shown = self.create(self.uma, decomposed, decomposed)
        work_order.comment(self.uma, shown.id, decomposed)
        work_order.change_status(self.uma, shown, Status.ON_HOLD, decomposed)
        self.assertEqual((shown.title, shown.description), (composed, composed))
        self.assertEqual(self.rows("SELECT DISTINCT note FROM work_order_history WHERE note <> ''"), [(composed,)])
        work_order.change(self.uma, shown, work_order.TITLE, f"{decomposed}s")
        self.assertEqual(self.get(self.uma, shown.id).title, f"{composed}s")

    def test_a_title_that_is_typed_decomposed_is_stored_composed(self) -> None:
        self.run_as("uma", "Create work order", "Cafe\u0301", "", "")
        self.assertEqual(self.rows("SELECT title FROM work_orders"), [("Caf\u00e9",)])

    def test_a_word_is_found_without_any_of_its_accents(self) -> None:
        self.create(self.uma, "Bàn phím tiếng Việt")
        for text in ("tieng viet", "tiếng Việt", "TIENG"):
            query = work_order.search(self.uma, text)
            self.assertTrue(query.is_by_word, text)
            self.assertEqual(self.ids(self.uma, query), [1], text)


# Passwords


class PasswordTest(unittest.TestCase):
    def assert_refused(self, *passwords: str) -> None:
        for password in passwords:
            with self.subTest(password=password), self.assertRaises(InvalidInputError):
                users.parse_password(password, "alice")

    def test_runs_walks_and_repeated_words_are_refused(self) -> None:
        self.assert_refused("12345678910", "11223344", "147258369", "1qaz2wsx3edc", "a1b2c3d4")
        self.assert_refused("password1password", "qwerty12345qwerty")

    def test_walks_are_refused_backwards_and_on_other_keyboards(self) -> None:
        self.assert_refused("01987654321", "963852741", "44332211", "cde3xsw2zaq1", "poiuytrewq", "lkjhgfdsa")
        self.assert_refused("azertyuiop", "poiuytreza", "qsdfghjklm", "qwertzuiop", "4d3c2b1a", "mlkjhgfdsq")

    def test_what_nobody_would_try_is_still_taken(self) -> None:
        for good in (
            *("83920174", "40718263", "27405916", "50628394", "70364918"),
            *(PASSWORD, "  two spaces  ", "pässwörter sind lang", "correct-horse-1", "x7" + "ab9" * 340),
            *("correct horse battery staple", "vier grüne Enten am Teich", "gr8 Tuesday lunch", "äöüß", "Tr0ub4dor&3"),
            *("7h2k9x4m", "mzkqvwpt", "nebel-uhr-kanne", "eixzwpqlfgvtbnma"),
        ):
            with self.subTest(password=good):
                self.assertEqual(users.parse_password(good, "alice"), good)

    def test_the_current_one_in_another_form_is_not_new(self) -> None:
        composed, decomposed = "caf\u00e9 au lait", "cafe\u0301 au lait"
        for current, new in ((composed, decomposed), (decomposed, composed)):
            with self.assertRaisesRegex(InvalidInputError, "is the current one"):
                users.parse_password(new, "alice", current)


class ChangePasswordTest(DatabaseTestCase):
    def test_the_current_one_in_another_form_is_refused_and_stays(self) -> None:
        ada = self.session("ada", Role.USER)
        users.change_password(ada, PASSWORD, "caf\u00e9 au lait")
        with self.assertRaises(InvalidInputError):
            users.change_password(ada, "caf\u00e9 au lait", "cafe\u0301 au lait")
        users.log_in(self.connection, "ada", "caf\u00e9 au lait")


# Small ones


class AssigneeTest(DatabaseTestCase):
    def test_reopening_releases_that_work_order_alone(self) -> None:
        first, other = (self.create(self.uma) for _ in range(2))
        work_order.change(self.anna, first, work_order.ASSIGNEE, "max")
        work_order.change_status(self.anna, first, Status.RESOLVED)
        users.deactivate(self.anna, "max")
        self.connection.execute("UPDATE work_orders SET assignee_id = 2 WHERE id = ?", (other.id,))
        work_order.change_status(self.anna, self.get(self.anna, first.id), Status.OPEN)
        self.assertEqual([self.get(self.anna, each.id).assignee for each in (first, other)], [None, "max"])
        self.assertEqual(len(work_order.history(self.anna, other.id)), 1)


class AuditTest(DatabaseTestCase):
    def test_an_account_is_found_by_its_id_and_not_by_the_first_word_of_a_text(self) -> None:
        self.session("there", Role.USER)
        users.record_refusal(self.uma, "there is no work order #7.")
        entries = users.audit_log(self.anna, AuditFilter("there"), None, 9)
        self.assertEqual([entry.event for entry in entries], ["logged in", "registered"])


class TimeTest(unittest.TestCase):
    def test_an_age_is_never_negative(self) -> None:
        self.assertEqual(work_order.age(datetime.now(timezone.utc) + timedelta(hours=5)), "0m")

    @unittest.skipUnless(hasattr(time, "tzset"), "this system changes no time zone while a program runs")
    def test_a_due_time_that_the_clock_change_leaves_out_is_refused(self) -> None:
        self.addCleanup(time.tzset)
        with mock.patch.dict(os.environ, TZ="CET-1CEST,M3.5.0,M10.5.0/3"):  # Berlin's
            time.tzset()
            for gap in ("2026-03-29 02:00", "2026-03-29 02:30", "2026-03-29 02:59"):
                with self.assertRaisesRegex(InvalidInputError, f"There is no {gap} here"):
                    work_order.parse_due_date(gap)
            for moment in ("2026-03-29 01:59", "2026-03-29 03:00", "2026-03-29", "2026-10-25 02:30"):
                self.assertIsNotNone(work_order.parse_due_date(moment))


if __name__ == "__main__":
    unittest.main()
