"""The database file and the files beside it: made, opened, refused, backed up, checked, and whole whatever happens."""

import contextlib
import errno
import io
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
from contextlib import closing
from pathlib import Path
from typing import Any, Callable, List

from support import (
    NUMBERS,
    PASSWORD,
    ROOT,
    DatabaseTestCase,
    Ended,
    FolderTestCase,
    command,
    environment,
    lines,
    run,
    run_command,
)

import database
import main
import users
import work_order
from database import DatabaseFileError
from users import Role, Session

PROGRAMS = ("main.py", "database.py", "users.py", "work_order.py")
posix = unittest.skipIf(os.name == "nt", "needs POSIX")
# Any step of a program can be its last one: what is replaced by die() kills it there.
DIE = "import os, signal, sqlite3\ndef die(*_, **__): os.kill(os.getpid(), signal.SIGKILL)\n"


def set_up(path: Path) -> Ended:
    return run(path, program=ROOT / "database.py")


def start(path: Path, program: str, **changes: str) -> Ended:
    """Run one of the four programs as far as its first question, and leave it there."""
    return run(path, "Exit", arguments=["anna"] * (program == "users.py"), program=ROOT / program, **changes)


class MakingTest(FolderTestCase):
    def test_it_says_where_the_database_is_and_its_version_and_does_no_harm_again(self) -> None:
        first = set_up(self.path)
        before = self.path.read_bytes()
        self.assertEqual(first, (f"Database: {self.path}\nSchema version: {database.newest_version()}\n", 0))
        self.assertEqual(set_up(self.path), first)
        self.assertEqual(self.path.read_bytes(), before)

    @posix
    def test_the_file_is_its_owners_alone_whatever_the_umask(self) -> None:
        shell = f'umask 000; exec "{sys.executable}" "{ROOT / "database.py"}"'
        run_command(["sh", "-c", shell], b"", environment(self.path))
        self.assertEqual(stat.S_IMODE(self.path.stat().st_mode), 0o600)

    def test_without_create_a_missing_file_is_refused_and_not_made(self) -> None:
        with self.assertRaisesRegex(DatabaseFileError, "does not exist"):
            database.connect(self.path)
        for program in ("users.py", "work_order.py"):
            ended = start(self.path, program)
            self.assertEqual((ended.code, ended.output.count("\n")), (1, 1))
            self.assertIn("does not exist", ended.output)
        self.assertEqual(list(self.folder.iterdir()), [])

    def test_a_python_whose_sqlite_is_too_old_is_told_so(self) -> None:
        code = "import sqlite3; sqlite3.sqlite_version_info = (3, 33, 0); import main; raise SystemExit(main.main([]))"
        ended = run_command([sys.executable, "-c", code], b"", environment(self.path, PYTHONPATH=str(ROOT)))
        self.assertEqual(ended.code, 1)
        self.assertRegex(ended.output, r"^Error: This Python's SQLite .* is older than 3\.34;")
        self.assertFalse(self.path.exists())

    def test_programs_that_start_at_once_all_get_a_sound_database(self) -> None:
        program = [sys.executable, str(ROOT / "database.py")]
        programs = [subprocess.Popen(program, env=environment(self.path), stdout=subprocess.DEVNULL) for _ in range(4)]
        self.assertEqual([process.wait() for process in programs], [0] * 4)
        database.connect(self.path).close()
        self.assertEqual(list(self.folder.iterdir()), [self.path])


class CommandLineTest(DatabaseTestCase):
    def test_what_is_not_an_argument_gets_a_usage_line_and_2(self) -> None:
        for program, arguments in (
            ("main.py", ["extra"]),
            ("main.py", ["--unknown"]),
            ("users.py", []),
            ("users.py", ["anna", "uma"]),
            ("users.py", ["--help"]),
            ("work_order.py", ["extra"]),
        ):
            with self.subTest(program=program, arguments=arguments):
                ended = run(self.path, "Exit", arguments=arguments, program=ROOT / program)
                self.assertEqual(ended.code, 2, ended.output)
                self.assertIn("usage: ", ended.output)

    def test_each_ends_with_0_where_all_is_well(self) -> None:
        for program, answers, arguments in (
            ("main.py", ["Exit"], []),
            ("main.py", [], []),
            ("database.py", [], []),
            ("users.py", ["another horse 7"], ["anna"]),
            ("work_order.py", [], []),
        ):
            with self.subTest(program=program):
                ended = run(self.path, *answers, arguments=arguments, program=ROOT / program)
                self.assertEqual(ended.code, 0, ended.output)


# Files that are refused


class RefusedFileTest(FolderTestCase):
    def make(self) -> None:
        database.connect(self.path, create=True).close()

    def assert_refused(self, words: str) -> None:
        before = self.path.read_bytes()
        for program in PROGRAMS:
            with self.subTest(program=program):
                ended = start(self.path, program)
                self.assertEqual((ended.code, ended.output.count("\n")), (1, 1), ended.output)
                self.assertTrue(ended.output.startswith(f"Error: {self.path} "), ended.output)
                self.assertIn(words, ended.output)
        self.assertEqual(self.path.read_bytes(), before)
        self.assertEqual(list(self.folder.iterdir()), [self.path])

    def test_an_empty_file(self) -> None:
        self.path.touch()
        self.assert_refused("is empty. If it was your database, restore a backup; to start with a new one, remove it.")

    def test_a_text_file(self) -> None:
        self.path.write_text("not a database\n" * 20)
        self.assert_refused("is not a database")

    def test_a_file_shorter_than_a_header(self) -> None:
        self.path.write_bytes(b"SQLite format 3\0")
        self.assert_refused("is not a database")

    def test_somebody_elses_database(self) -> None:
        with closing(sqlite3.connect(self.path)) as other:
            other.execute("CREATE TABLE work_orders (id)")
        self.assert_refused("another program")

    def test_a_truncated_file(self) -> None:
        self.make()
        self.path.write_bytes(self.path.read_bytes()[:8192])
        self.assert_refused("damaged")

    def test_a_scribbled_page_anywhere(self) -> None:
        self.make()
        sound = self.path.read_bytes()
        for page in range(1, len(sound) // 4096):
            scribbled = sound[: page * 4096] + b"\xa5" * 4096 + sound[(page + 1) * 4096 :]
            self.path.write_bytes(scribbled)
            with self.subTest(page=page), self.assertRaisesRegex(DatabaseFileError, "damaged"):
                database.connect(self.path)
            self.assertEqual(self.path.read_bytes(), scribbled)

    def test_bytes_in_the_schema_that_are_no_text(self) -> None:
        self.make()
        self.path.write_bytes(self.path.read_bytes().replace(b"CREATE TABLE users", b"CREATE T\xffBLE users"))
        self.assert_refused("damaged")

    def test_a_version_that_is_not_the_schemas(self) -> None:
        self.make()
        with closing(sqlite3.connect(self.path, isolation_level=None)) as wrong:
            wrong.execute("PRAGMA user_version = 9")
        content = self.path.read_bytes()
        with self.assertRaisesRegex(DatabaseFileError, "cannot be used .no such .*left as it was"):
            database.connect(self.path)
        self.assertEqual(self.path.read_bytes(), content)

    def test_a_folder(self) -> None:
        self.path.mkdir()
        with self.assertRaisesRegex(DatabaseFileError, "is not a file"):
            database.connect(self.path, create=True)


class PathTest(FolderTestCase):
    """A path that leads nowhere is one sentence from all four programs."""

    def assert_one_sentence(self, ended: Ended, words: str) -> None:
        self.assertEqual((ended.code, ended.output.count("\n")), (1, 1), ended.output)
        self.assertTrue(ended.output.startswith("Error: "), ended.output)
        self.assertIn(words, ended.output)

    def test_a_folder_that_is_not_there(self) -> None:
        for program in PROGRAMS:
            with self.subTest(program=program):
                self.assert_one_sentence(start(self.folder / "missing" / "test.db", program), "missing")

    def test_a_name_that_is_too_long(self) -> None:
        for program in PROGRAMS:
            with self.subTest(program=program):
                self.assert_one_sentence(start(self.folder / ("x" * 300), program), "xxx")

    @unittest.skipIf(not hasattr(os, "getuid") or os.getuid() == 0, "root may look into every folder")
    def test_a_folder_of_another_account(self) -> None:
        locked = self.folder / "locked"
        locked.mkdir(mode=0)
        self.addCleanup(locked.chmod, 0o700)
        for program in PROGRAMS:
            with self.subTest(program=program):
                self.assert_one_sentence(start(locked / "test.db", program), "Permission denied")

    @posix
    def test_a_link_that_leads_nowhere(self) -> None:
        self.path.symlink_to(self.folder / "nowhere.db")
        for program in PROGRAMS:
            with self.subTest(program=program):
                self.assert_one_sentence(start(self.path, program), str(self.path))

    @posix
    def test_a_working_directory_that_was_removed(self) -> None:
        for program in PROGRAMS:
            name = "anna" if program == "users.py" else ""
            shell = f'mkdir gone; cd gone; rmdir ../gone; exec "{sys.executable}" "{ROOT / program}" {name}'
            variables = environment(None, WORK_ORDER_DB="test.db", PWD="")
            ended = run_command(["sh", "-c", f'cd "{self.folder}"; {shell}'], b"", variables)
            with self.subTest(program=program):
                self.assert_one_sentence(ended, "folder")


# Connections and transactions


class FailingCommit(sqlite3.Connection):
    """A connection whose disk reports an error when COMMIT has been done, or refuses it."""

    error = ""

    def execute(self, sql: str, *values: Any) -> sqlite3.Cursor:
        cursor = super().execute(sql, *values)
        if sql == "COMMIT":
            raise sqlite3.OperationalError(self.error)
        return cursor


class ConnectionTest(DatabaseTestCase):
    def test_it_is_configured_as_the_promises_need(self) -> None:
        expected = {"foreign_keys": 1, "synchronous": 3, "cell_size_check": 1, "journal_mode": "delete"}
        expected.update(application_id=0x574F524B, busy_timeout=10_000)
        with closing(database.connect(self.path)) as connection:
            for pragma, value in expected.items():
                with self.subTest(pragma=pragma):
                    self.assertEqual(connection.execute(f"PRAGMA {pragma}").fetchone()[0], value)

    def test_a_transaction_stands_as_a_whole_or_not_at_all(self) -> None:
        with self.assertRaises(ZeroDivisionError), database.transaction(self.connection):
            self.connection.execute("UPDATE users SET role = 'admin'")
            raise ZeroDivisionError
        self.assertEqual(self.rows("SELECT count(*) FROM users WHERE role = 'admin'"), [(1,)])
        self.assertFalse(self.connection.in_transaction)

    def test_a_transaction_holds_the_right_to_write_from_its_beginning(self) -> None:
        other = sqlite3.connect(self.path, timeout=0, isolation_level=None)
        self.addCleanup(other.close)
        with database.transaction(self.connection), self.assertRaisesRegex(sqlite3.OperationalError, "locked"):
            other.execute("BEGIN IMMEDIATE")

    def test_a_snapshot_reads_one_moment_and_keeps_nobody_from_reading(self) -> None:
        other = sqlite3.connect(self.path, timeout=0)
        self.addCleanup(other.close)
        with database.snapshot(self.connection):
            self.rows("SELECT * FROM users")
            self.assertEqual(other.execute("SELECT count(*) FROM users").fetchone(), (4,))
        self.assertFalse(self.connection.in_transaction)

    def test_a_disk_that_fails_at_the_commit_leaves_it_uncertain_whether_it_was_saved(self) -> None:
        failing = sqlite3.connect(self.path, isolation_level=None, factory=FailingCommit)
        self.addCleanup(failing.close)
        failing.error = "disk I/O error"
        with self.assertRaises(database.UncertainCommitError) as raised, database.transaction(failing):
            failing.execute("UPDATE users SET email = 'uma@example.org' WHERE username = 'uma'")
        self.assertIn("It is not certain whether it was saved", database.explain(raised.exception))
        self.assertEqual(self.rows("SELECT email FROM users WHERE username = 'uma'"), [("uma@example.org",)])

    def test_a_disk_that_is_full_at_the_commit_has_saved_nothing(self) -> None:
        failing = sqlite3.connect(self.path, isolation_level=None, factory=FailingCommit)
        self.addCleanup(failing.close)
        failing.error = "database or disk is full"
        with self.assertRaises(sqlite3.OperationalError) as raised, database.transaction(failing):
            failing.execute("SELECT 1")
        self.assertIn("Nothing was saved", database.explain(raised.exception))

    def test_the_schema_refuses_what_the_code_would_not_write(self) -> None:
        self.create(self.uma)
        for statement in (
            "UPDATE users SET role = 'root'",
            "UPDATE users SET username = 'Anna' WHERE id = 1",
            "UPDATE users SET username = 'uma' WHERE id = 1",
            "UPDATE users SET created_at = 'yesterday'",
            "UPDATE users SET password_hash = NULL WHERE id = 1",
            "UPDATE work_orders SET status = 'Done'",
            "UPDATE work_orders SET resolved_at = created_at",
            "UPDATE work_orders SET priority = 5",
            "UPDATE work_orders SET title = ''",
            "UPDATE work_orders SET title = 'a' || char(0)",
            "UPDATE work_orders SET description = 'a' || char(0)",
            "UPDATE work_orders SET requester_id = 99",
            "UPDATE work_orders SET due_at = '2026-11-22'",
            "DELETE FROM work_orders",
            "UPDATE work_order_history SET note = 'x'",
            "DELETE FROM work_order_history",
            "UPDATE audit_log SET subject = 'x'",
            "DELETE FROM audit_log",
        ):
            with self.subTest(statement=statement), self.assertRaises(sqlite3.IntegrityError):
                self.connection.execute(statement)


class ExplainTest(unittest.TestCase):
    def test_each_fault_has_a_sentence_of_its_own(self) -> None:
        for words, meaning in (
            ("database is locked", "busy"),
            ("database or disk is full", "disk is full"),
            ("attempt to write a readonly database", "is not writable"),
            ("unable to open database file", "cannot be opened"),
            ("disk I/O error", "disk reported an error"),
            ("database disk image is malformed", "damaged"),
            ("Could not decode to UTF-8 column 'title' with text '\ufffd'", "damaged"),
        ):
            with self.subTest(words=words):
                self.assertIn(meaning, database.explain(sqlite3.OperationalError(words)))

    def test_a_refusal_is_its_own_sentence(self) -> None:
        refusal = database.OutputError("No backup was made.")
        self.assertIsInstance(refusal, database.EXPECTED_FAULTS)
        self.assertEqual(database.explain(refusal), "No backup was made.")

    def test_another_fault_is_told_in_sqlites_words(self) -> None:
        self.assertIn("(near syntax)", database.explain(sqlite3.DatabaseError("near syntax")))


# Backup


class BackupTest(DatabaseTestCase):
    def backups(self) -> List[Path]:
        return list((self.folder / "backups").iterdir())

    def refer_to_nothing(self) -> None:
        self.create(self.uma)
        self.connection.execute("PRAGMA foreign_keys = OFF")
        self.connection.execute("UPDATE work_orders SET assignee_id = 99")

    def test_the_restore_drill_brings_back_what_was_backed_up(self) -> None:
        self.create(self.uma, "Worth keeping")
        output = self.run_as("anna", "Data and audit", "Back up now")
        (copy,) = self.backups()
        self.assertIn(f"Backed up to {copy}.\n", output)
        self.connection.close()
        self.path.write_bytes(b"lost")
        shutil.copy(copy, self.path)
        self.assertIn("Worth keeping", self.run_as("uma", "View work orders"))

    def test_one_that_is_not_sound_is_not_published(self) -> None:
        self.refer_to_nothing()
        with self.assertRaisesRegex(database.OutputError, "not sound .row 1 of work_orders refers to nothing"):
            users.back_up(self.anna)
        self.assertEqual(self.backups(), [])
        self.assertEqual(self.rows("SELECT * FROM audit_log WHERE event = 'backed up'"), [])

    @posix
    def test_it_is_its_owners_alone(self) -> None:
        copy = users.back_up(self.anna)
        self.assertEqual(stat.S_IMODE(copy.stat().st_mode), 0o600)
        self.assertEqual(stat.S_IMODE(copy.parent.stat().st_mode), 0o700)
        self.assertEqual(self.backups(), [copy])

    def test_it_comes_to_its_end_beside_a_busy_writer_who_loses_nothing(self) -> None:
        done, created = threading.Event(), []

        def write() -> None:
            with closing(database.connect(self.path)) as connection:
                ugo = Session(connection, self.ugo.user_id, self.ugo.password_version)
                while not done.wait(0.1):  # as an import does, so that others come first
                    created.append(work_order.create(ugo, work_order.Draft("Meanwhile", "x" * 9_000)))

        writer = threading.Thread(target=write)
        writer.start()
        try:
            copies = [users.back_up(self.anna) for _ in range(8)]
        finally:
            done.set()
            writer.join()
        for copy in copies:
            database.connect(copy).close()
        self.assertEqual([row[0] for row in self.rows("SELECT id FROM work_orders ORDER BY id")], created)
        self.assertEqual(database.check(self.connection), [])

    def test_one_that_finds_no_room_leaves_nothing_and_no_row_that_it_was_made(self) -> None:
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

    def test_those_of_one_second_all_exist(self) -> None:
        paths = {users.back_up(self.anna) for _ in range(3)}
        self.assertEqual(len(paths), 3)
        self.assertEqual(set(self.backups()), paths)

    @posix
    def test_it_goes_through_no_link(self) -> None:
        (self.folder / "elsewhere").mkdir()
        (self.folder / "backups").symlink_to(self.folder / "elsewhere")
        output = self.run_as("anna", "Data and audit", "Back up now")
        self.assertIn("backups is a symbolic link; no backup was made.", output)
        self.assertEqual(list((self.folder / "elsewhere").iterdir()), [])

    def test_a_disk_that_is_full_only_then_does_not_hide_where_it_is(self) -> None:
        (pages,) = self.connection.execute("PRAGMA page_count").fetchone()
        self.connection.execute(f"PRAGMA max_page_count = {pages}")
        with contextlib.suppress(sqlite3.OperationalError):
            while True:
                users.audit(self.connection, 1, "backed up", "")
        with self.assertRaises(database.ApplicationError) as raised:
            users.back_up(self.anna)
        (backup,) = self.backups()
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

    def test_only_admins_back_up_and_check(self) -> None:
        for session in (self.uma, self.max):
            with self.assertRaises(users.PermissionDeniedError):
                users.back_up(session)
            with self.assertRaises(users.PermissionDeniedError):
                users.check_database(session)


@posix
class FolderThatCannotBeFlushedTest(DatabaseTestCase):
    """On some file systems fsync of a folder is not supported; on a broken disk it fails."""

    def run_where_folders_fail(self, path: Path, number: int, code: str) -> Ended:
        failing = f"""
import database, os, stat, sys, users
flush = os.fsync
def fsync(descriptor):
    if stat.S_ISDIR(os.fstat(descriptor).st_mode):
        raise OSError({number}, os.strerror({number}))
    flush(descriptor)
os.fsync = fsync
def back_up():
    session = users.Session(database.connect(database.default_path()), 1, 1)
    return [str(users.back_up(session))]
sys.exit(database.run_command({code}))
"""
        return run_command([sys.executable, "-c", failing], b"", environment(path, PYTHONPATH=str(ROOT)))

    def test_one_that_cannot_be_flushed_is_no_error(self) -> None:
        for number in (errno.EINVAL, errno.ENOTSUP):
            ended = self.run_where_folders_fail(self.path, number, "back_up")
            self.assertEqual(ended.code, 0, ended.output)
            database.connect(Path(ended.output.strip())).close()

    def test_a_save_there_needs_no_flush_of_the_folder(self) -> None:
        code = "lambda: [database.connect(database.default_path()).execute('PRAGMA synchronous').fetchone()[0] * '.']"
        self.assertEqual(self.run_where_folders_fail(self.path, errno.EINVAL, code).output, "..\n")  # FULL
        self.assertEqual(self.run_where_folders_fail(self.path, errno.EIO, code).output, "...\n")  # EXTRA

    def test_a_new_database_is_made_there_too(self) -> None:
        path = self.folder / "new.db"
        ended = self.run_where_folders_fail(path, errno.EINVAL, "database.main")
        self.assertEqual(ended.code, 0, ended.output)
        database.connect(path).close()

    def test_a_real_error_names_the_file_that_is_there(self) -> None:
        ended = self.run_where_folders_fail(self.path, errno.EIO, "back_up")
        (backup,) = (self.folder / "backups").iterdir()
        self.assertEqual(ended.code, 1)
        self.assertIn(str(backup), ended.output)
        self.assertNotIn("No backup was made", ended.output)


# Check


class CheckTest(DatabaseTestCase):
    def setUp(self) -> None:
        super().setUp()
        for session in (self.uma, self.ugo):
            work_order.comment(session, self.create(session).id, "a comment")

    def test_a_sound_database_has_nothing_to_tell_and_leaves_no_copy(self) -> None:
        self.assertIn("The database is sound.", self.run_as("anna", "Data and audit", "Check database"))
        self.assertEqual(list(self.folder.iterdir()), [self.path])

    def test_a_reference_to_nothing_is_named(self) -> None:
        self.connection.execute("PRAGMA foreign_keys = OFF")
        self.connection.execute("UPDATE work_orders SET assignee_id = 99 WHERE id = 1")
        output = self.run_as("anna", "Data and audit", "Check database")
        self.assertIn("Error: row 1 of work_orders refers to nothing", output)
        self.assertIn("Restore the database from a backup.", output)

    def test_each_derived_value_that_differs_is_named_with_its_work_order(self) -> None:
        for column, value in (
            ("urgency", 7),
            ("due_rank", "2026-12-24T12:00:00+00:00"),
            ("overdue_at", "2026-12-24T12:00:00+00:00"),
            ("stopped_since", "2026-12-24T12:00:00+00:00"),
            ("stopped_seconds", 60),
            ("responded_at", "2026-12-24T12:00:00+00:00"),
        ):
            with self.subTest(column=column):
                self.connection.execute(f"UPDATE work_orders SET {column} = ? WHERE id = 2", (value,))
                (problem,) = users.check_database(self.anna)
                self.assertRegex(problem, f"#2: the stored {column} differ")
                with database.transaction(self.connection):
                    database.refresh_derived(self.connection, 2)
                self.assertEqual(users.check_database(self.anna), [])

    def test_a_search_text_that_differs_or_is_missing_is_named(self) -> None:
        for statement in (
            "UPDATE work_order_search SET text = 'something else' WHERE rowid = 1",
            "DELETE FROM work_order_search WHERE rowid = 1",
        ):
            with self.subTest(statement=statement):
                self.connection.execute(statement)
                (problem,) = users.check_database(self.anna)
                self.assertRegex(problem, "#1: the stored text differ")


# Damage


class DamagedValueTest(DatabaseTestCase):
    """One impossible value in a large file is named, with the way out, and the rest of the program goes on."""

    def setUp(self) -> None:
        super().setUp()
        for title in ("First", "Second", "Third"):
            self.create(self.uma, title)
        self.connection.execute("PRAGMA ignore_check_constraints = ON")

    def damage(self, statement: str) -> None:
        self.connection.execute(statement)
        self.connection.execute("CREATE TABLE ballast AS SELECT zeroblob(2000000) AS much")

    def assert_named(self, *answers: object) -> None:
        output = self.run_as("anna", *answers, "Create work order", "Still works", *[""] * 6)
        self.assertRegex(output, "Error: .* is damaged")
        self.assertNotIn("unexpected", output)
        self.assertIn("Work order #4 created.", output)

    def test_of_a_work_order(self) -> None:
        sound = self.path.read_bytes()
        for column, value in (
            ("status", "Xpen"),
            ("created_at", "20x6-01-01T00:00:00+00:00"),
            ("priority", "much"),
            ("due_at", "soon"),
            ("due_by", "foot"),
            ("created_at", "0001-01-01T00:00:00+00:00"),
            ("updated_at", "2026-01-01T00:00:00"),
            ("stopped_since", "once"),
        ):
            with self.subTest(column=column):
                self.use(sound)
                self.connection.execute("PRAGMA ignore_check_constraints = ON")
                self.damage(f"UPDATE work_orders SET {column} = '{value}' WHERE id = 2")
                self.assert_named("View work orders")

    def test_of_texts_that_are_none(self) -> None:
        sound = self.path.read_bytes()
        for column in ("title", "description", "overdue_at"):
            with self.subTest(column=column):
                self.use(sound)
                self.connection.execute("PRAGMA ignore_check_constraints = ON")
                self.damage(f"UPDATE work_orders SET {column} = x'ff00' WHERE id = 2")
                self.assert_named("View work orders")

    def test_of_a_requester_who_is_not_there(self) -> None:
        self.connection.execute("PRAGMA foreign_keys = OFF")
        self.damage("UPDATE work_orders SET requester_id = 99 WHERE id = 2")
        self.assert_named("View work orders")

    def test_of_the_search_index(self) -> None:
        self.connection.execute("UPDATE work_order_search_data SET block = zeroblob(length(block)) WHERE id > 10")
        self.assertRegex(" ".join(users.check_database(self.anna)), "search index is damaged")

    def test_of_an_account(self) -> None:
        sound = self.path.read_bytes()
        for damage in ("role = 'rooot'", "email = x'ff'", "name = x'ff'", "created_at = '9999-01-01T00:00:00+00:00'"):
            with self.subTest(damage=damage):
                self.use(sound)
                self.connection.execute("PRAGMA ignore_check_constraints = ON")
                self.damage(f"UPDATE users SET {damage} WHERE username = 'ugo'")
                self.assert_named("Manage users", "List users", "Back")

    def test_of_the_history(self) -> None:
        self.connection.execute("DROP TRIGGER history_is_never_changed")
        self.damage("UPDATE work_order_history SET changed_at = 'then' WHERE work_order_id = 2")
        self.assert_named("#2", "Show history", "Back")

    def test_of_the_audit_log(self) -> None:
        self.connection.execute("DROP TRIGGER audit_log_is_never_changed")
        self.damage("UPDATE audit_log SET recorded_at = 'then' WHERE id = 2")
        self.assert_named("Data and audit", "Audit log", "Back")


# Programs that are killed


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

    def test_the_next_check_removes_what_a_check_left_beside_the_database(self) -> None:
        self.kill(
            self.path,
            "import database\n"
            "connection = database.connect(database.default_path())\n"
            "sqlite3.connect = die\n"
            "database.check(connection)\n",
        )
        self.assertEqual(len(list(self.folder.glob(".*.partial*"))), 1)
        users.check_database(self.anna)
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
            self.assertEqual(set_up(path).code, 0)
            database.connect(path).close()

    def test_what_was_acknowledged_outlives_a_kill_at_any_moment(self) -> None:
        acknowledged: List[str] = []
        for round_number in range(8):
            talk = self.talk()
            talk.log_in("uma")
            titles = [f"Title {round_number}.{n}." for n in range(40)]
            talk.send("".join(lines("Create work order", title, "text", "", "Back") for title in titles))
            for _ in range(round_number * 2 + 1):
                acknowledged += re.findall(r"Work order #(\d+) created", talk.expect(" created."))
            talk.process.kill()
            acknowledged += re.findall(r"Work order #(\d+) created\.", talk.end().output)
        ids = {str(row[0]) for row in self.rows("SELECT id FROM work_orders")}
        self.assertLessEqual(set(acknowledged), ids)
        self.assertEqual(database.check(self.connection), [])
        histories = "SELECT count(*) FROM work_orders WHERE id NOT IN (SELECT work_order_id FROM work_order_history)"
        self.assertEqual(self.rows(histories), [(0,)])


# Faults


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
    def test_a_disk_that_cannot_take_more_is_said(self) -> None:
        self.create(self.uma)
        limit = f'ulimit -f {self.path.stat().st_size // 512}; exec "$0" "$@"'
        forms = ("Create work order", "t", "x" * 9000, "", "Create work order", "t", "", "")
        answers = lines("Log in", "uma", PASSWORD, *forms, "Log out", "Exit").encode()
        ended = run_command(["sh", "-c", limit, *command()], answers, environment(self.path))
        self.assertRegex(ended.output, "Error: The disk (is full|reported an error)")
        self.assertNotIn("Traceback", ended.output)
        self.assertEqual(ended.code, 0)

    def test_a_database_that_others_hold_is_said_and_nothing_of_the_form_is_saved(self) -> None:
        talk = self.talk(busy_seconds=0)
        talk.log_in("uma")
        talk.choose("Create work order")
        talk.answer("Title: ", "While it is locked", "(optional): ", "")
        talk.expect("[Medium]: ")
        with database.transaction(self.connection):
            talk.send("\n")
            talk.expect("Error: The database is busy with somebody else's work. Nothing was saved")
        self.assertEqual(self.rows("SELECT * FROM work_orders"), [])
        talk.choose("Create work order")
        talk.answer("Title: ", "Later", "(optional): ", "", "[Medium]: ", "")
        talk.expect("Work order #1 created.")

    @posix
    def test_nobody_who_reads_the_output_is_no_traceback(self) -> None:
        program = f'echo {NUMBERS["Exit"]} | "{sys.executable}" "{ROOT / "main.py"}"'
        for sink in ("| true", "| head -1", ">/dev/full" if Path("/dev/full").exists() else "| true", ">&-"):
            with self.subTest(sink=sink):
                ended = run_command(["sh", "-c", f"{program} {sink}"], b"", environment(self.path))
                self.assertNotIn("Error", ended.output)
                self.assertNotIn("Exception", ended.output)


class LogTest(DatabaseTestCase):
    """What the program does with an error that nobody expected."""

    def run_broken(self) -> str:
        broken = command()
        broken[2] = "import work_order; del work_order.summary\n" + broken[2]
        answers = lines("Log in", "uma", PASSWORD, "Summary", "Create work order", "t", "", "").encode()
        return run_command(broken, answers, environment(self.path)).output

    def test_it_is_one_sentence_and_a_line_in_the_log(self) -> None:
        output = self.run_broken()
        self.assertIn("Error: Something unexpected happened. Nothing was saved. Details are in ", output)
        self.assertNotIn("Traceback", output)
        self.assertIn("Work order #1 created.", output)
        log = self.folder / "work_order.log"
        self.assertIn("AttributeError", log.read_text())
        if os.name != "nt":
            self.assertEqual(stat.S_IMODE(log.stat().st_mode), 0o600)

    @posix
    def test_the_log_follows_no_symbolic_link(self) -> None:
        elsewhere = self.folder / "elsewhere"
        (self.folder / "work_order.log").symlink_to(elsewhere)
        output = self.run_broken()
        self.assertIn("Something unexpected happened", output)
        self.assertNotIn("Details are in", output)
        self.assertFalse(elsewhere.exists())


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

    def test_nothing_is_saved_there_and_work_goes_on_when_it_is_back(self) -> None:
        talk = self.talk()
        talk.log_in("uma")
        talk.expect("0. Log out\n")
        self.path.rename(self.folder / "moved.db")
        talk.choose("Create work order")
        talk.answer("Title: ", "New", "(optional): ", "", "[Medium]: ", "")
        talk.expect("Error: The database or its folder is not writable, or the file was moved or replaced.")
        (self.folder / "moved.db").rename(self.path)
        talk.choose("Create work order")
        talk.answer("Title: ", "New", "(optional): ", "", "[Medium]: ", "")
        talk.expect("Work order #1 created.")


# Many at once


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
    """A terminal that was stopped must keep nobody from saving."""

    def test_nothing_is_printed_while_one_is_held(self) -> None:
        for number in range(30):
            shown = self.create(self.uma, f"Title {number}", description="x" * 9_000)
        output = WatchfulOutput(self.path)
        self.addCleanup(output.other.close)
        screens: List[main.Screen] = [
            *(kind(self.anna) for kind in (main.MainScreen, main.DataScreen, main.ListScreen, main.AuditScreen)),
            *(kind(self.anna, shown.id) for kind in (main.WorkOrderScreen, main.HistoryScreen)),
        ]
        with contextlib.redirect_stdout(output):
            for screen in screens:
                screen.refresh()
                for option in screen.options:
                    if option.label in ("Summary", "Back up now", "Check database"):
                        option.choose(screen)
        self.assertEqual(output.under_lock, [])
        self.assertIn("The database is sound.", "".join(output.printed))


class ManyAtOnceTest(DatabaseTestCase):
    # The wheel of SQLite 3.34 that CI has was built to sleep whole seconds between two tries for a lock.
    @unittest.skipIf(sqlite3.sqlite_version_info < (3, 35), "this SQLite may be one that waits in whole seconds")
    def test_eight_sessions_lose_nothing(self) -> None:
        order = self.create(self.uma)

        def add(number: int) -> str:
            username = ("uma", "ugo", "max", "anna")[number % 4]
            more = [""] * 3 if username in ("max", "anna") else []  # category, requester and assignee
            create = ("Create work order", f"By {number}", "text", "high", *more, "Back")
            comment = ("#1", "Add comment", f"Comment by {number}", "Back")
            return self.run_as(username, *(*create, *comment, "View work orders", "Back") * 5)

        with ThreadPoolExecutor(8) as pool:
            outputs = list(pool.map(add, range(8)))
        created = re.findall(r"Work order #(\d+) created", "".join(outputs))
        self.assertEqual(sorted(map(int, created)), list(range(2, 42)))
        self.assertEqual(len(self.ids(self.max)), 41)
        self.assertNotIn("busy", "".join(outputs))
        comments = [entry for entry in work_order.history(self.max, order.id) if entry.note]
        self.assertEqual(len(comments), 30)  # ugo cannot see it
        self.assertEqual(database.check(self.connection), [])

    def test_two_admins_who_demote_each_other_leave_one(self) -> None:
        eva = self.session("eva", Role.ADMIN, ("anna", PASSWORD))
        barrier = threading.Barrier(2)

        def demote(admin: Session, username: str) -> None:
            with closing(database.connect(self.path)) as connection:
                session = Session(connection, admin.user_id, admin.password_version)
                barrier.wait()
                with contextlib.suppress(users.PermissionDeniedError):
                    work_order.change_role(session, username, Role.USER, None)

        threads = [threading.Thread(target=demote, args=pair) for pair in ((self.anna, "eva"), (eva, "anna"))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(self.rows("SELECT count(*) FROM users WHERE role = 'admin'"), [(1,)])


if __name__ == "__main__":
    unittest.main()
