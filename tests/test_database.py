"""The database file: how it is made, opened, upgraded and refused."""

import os
import sqlite3
import stat
import subprocess
import sys
import tempfile
import unittest
from contextlib import closing
from pathlib import Path

from support import ROOT, DatabaseTestCase, Ended, environment, run, run_command

import database
import users
from database import DatabaseFileError


def set_up(path: Path) -> Ended:
    return run(path, program=ROOT / "database.py")


class FileTestCase(unittest.TestCase):
    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)
        self.path = self.folder / "test.db"

    def make(self) -> None:
        database.connect(self.path, create=True).close()


class SetUpTest(FileTestCase):
    def test_it_says_where_the_database_is_and_its_version_and_does_no_harm_again(self) -> None:
        first = set_up(self.path)
        before = self.path.read_bytes()
        self.assertEqual(first, (f"Database: {self.path}\nSchema version: {len(database.MIGRATIONS)}\n", 0))
        self.assertEqual(set_up(self.path), first)
        self.assertEqual(self.path.read_bytes(), before)

    @unittest.skipIf(os.name == "nt", "Windows has no owner-only modes")
    def test_the_file_is_its_owners_alone_whatever_the_umask(self) -> None:
        command = f'umask 000; exec "{sys.executable}" "{ROOT / "database.py"}"'
        subprocess.run(["sh", "-c", command], env=environment(self.path), stdout=subprocess.DEVNULL, check=True)
        self.assertEqual(stat.S_IMODE(self.path.stat().st_mode), 0o600)

    def test_a_folder_that_is_not_there_is_named(self) -> None:
        ended = set_up(self.folder / "missing" / "test.db")
        self.assertEqual(ended.code, 1)
        self.assertIn("missing", ended.output)
        self.assertNotIn("Traceback", ended.output)

    def test_without_create_a_missing_file_is_refused_and_not_made(self) -> None:
        with self.assertRaisesRegex(DatabaseFileError, "does not exist"):
            database.connect(self.path)
        self.assertFalse(self.path.exists())

    def test_a_python_whose_sqlite_is_too_old_is_told_so(self) -> None:
        code = "import sqlite3; sqlite3.sqlite_version_info = (3, 33, 0); import main; raise SystemExit(main.main([]))"
        ended = run_command([sys.executable, "-c", code], b"", environment(self.path, PYTHONPATH=str(ROOT)))
        self.assertEqual(ended.code, 1)
        self.assertRegex(ended.output, r"^Error: This Python's SQLite .* is older than 3\.34 or lacks .* FTS5;")
        self.assertFalse(self.path.exists())

    def test_two_programs_that_start_at_once_both_get_a_sound_database(self) -> None:
        command = [sys.executable, str(ROOT / "database.py")]
        programs = [subprocess.Popen(command, env=environment(self.path), stdout=subprocess.DEVNULL) for _ in range(4)]
        self.assertEqual([process.wait() for process in programs], [0] * 4)
        database.connect(self.path).close()


class RefusedFileTest(FileTestCase):
    def assert_refused(self, words: str) -> None:
        before = self.path.read_bytes()
        for program in ("main.py", "database.py"):
            ended = run(self.path, "0", program=ROOT / program)
            self.assertEqual(ended.code, 1, ended.output)
            self.assertTrue(ended.output.startswith(f"Error: {self.path} "), ended.output)
            self.assertIn(words, ended.output)
            self.assertEqual(ended.output.count("\n"), 1)
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
        other = sqlite3.connect(self.path)
        other.execute("CREATE TABLE work_orders (id)")
        other.close()
        self.assert_refused("another program")

    def test_a_newer_version(self) -> None:
        self.make()
        newer = sqlite3.connect(self.path, isolation_level=None)
        newer.execute("PRAGMA user_version = 999")
        newer.close()
        self.assert_refused("newer version of this program (schema version 999;")

    def test_a_truncated_file(self) -> None:
        self.make()
        self.path.write_bytes(self.path.read_bytes()[:8192])
        self.assert_refused("damaged")

    def test_a_scribbled_page_anywhere(self) -> None:
        self.make()
        sound = self.path.read_bytes()
        for page in range(1, len(sound) // 4096):
            with self.subTest(page=page):
                scribbled = sound[: page * 4096] + b"\xa5" * 4096 + sound[(page + 1) * 4096 :]
                self.path.write_bytes(scribbled)
                with self.assertRaisesRegex(DatabaseFileError, "damaged"):
                    database.connect(self.path)
                self.assertEqual(self.path.read_bytes(), scribbled)
        self.assert_refused("damaged")

    def test_bytes_in_the_schema_that_are_no_text(self) -> None:
        self.make()
        self.path.write_bytes(self.path.read_bytes().replace(b"CREATE TABLE users", b"CREATE T\xffBLE users"))
        self.assert_refused("damaged")

    def test_a_version_that_is_not_the_schemas(self) -> None:
        self.make()
        wrong = sqlite3.connect(self.path, isolation_level=None)
        wrong.execute("PRAGMA user_version = 0")
        wrong.close()
        self.assert_refused("cannot be used (table users already exists). It was left as it was.")

    def test_a_folder(self) -> None:
        self.path.mkdir()
        with self.assertRaisesRegex(DatabaseFileError, "is not a file"):
            database.connect(self.path, create=True)


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

    def test_the_schema_refuses_what_the_code_would_not_write(self) -> None:
        self.create(self.uma)
        for statement in (
            "UPDATE users SET role = 'root'",
            "UPDATE users SET username = 'Anna' WHERE id = 1",
            "UPDATE users SET username = 'uma' WHERE id = 1",
            "UPDATE users SET created_at = 'yesterday'",
            "UPDATE work_orders SET status = 'Done'",
            "UPDATE work_orders SET status = 'Resolved'",
            "UPDATE work_orders SET priority = 5",
            "UPDATE work_orders SET title = ''",
            "UPDATE work_orders SET requester_id = 99",
            "UPDATE work_orders SET due_at = '2026-11-22'",
            "UPDATE work_order_history SET note = 'x'",
            "DELETE FROM work_order_history",
            "UPDATE audit_log SET subject = 'x'",
            "DELETE FROM audit_log",
        ):
            with self.subTest(statement=statement), self.assertRaises(sqlite3.IntegrityError):
                self.connection.execute(statement)


class MigrationTest(FileTestCase):
    def test_a_migration_that_fails_changes_nothing(self) -> None:
        self.make()
        connection = database.connect(self.path)
        self.addCleanup(connection.close)
        version = database.schema_version(connection)
        failing = (*database.MIGRATIONS, ("CREATE TABLE half (id)", "CREATE TABLE users (id)"))
        with self.assertRaises(sqlite3.OperationalError):
            database.migrate(connection, failing)
        self.assertEqual(database.schema_version(connection), version)
        self.assertEqual(connection.execute("SELECT * FROM sqlite_master WHERE name = 'half'").fetchall(), [])

    def test_each_missing_migration_runs_once_and_keeps_what_is_stored(self) -> None:
        self.make()
        connection = database.connect(self.path)
        self.addCleanup(connection.close)
        users.register(connection, "ada", "battery horse 9", users.Role.USER)
        more = (
            *database.MIGRATIONS,
            ("CREATE TABLE one (id)",),
            ("ALTER TABLE one ADD COLUMN more", "CREATE TABLE two (id)"),
        )
        database.migrate(connection, more)
        database.migrate(connection, more)
        self.assertEqual(database.schema_version(connection), len(more))
        self.assertEqual(connection.execute("SELECT more FROM one").fetchall(), [])
        self.assertEqual(users.find(connection, "ada").username, "ada")


class ExplainTest(unittest.TestCase):
    def test_each_fault_has_a_sentence_of_its_own(self) -> None:
        for words, meaning in (
            ("database is locked", "busy"),
            ("database or disk is full", "disk is full"),
            ("attempt to write a readonly database", "is not writable"),
            ("unable to open database file", "cannot be opened"),
            ("disk I/O error", "disk reported an error"),
            ("database disk image is malformed", "damaged"),
        ):
            with self.subTest(words=words):
                self.assertIn(meaning, database.explain(sqlite3.OperationalError(words)))

    def test_a_refusal_is_its_own_sentence(self) -> None:
        refusal = database.OutputError("No backup was made.")
        self.assertIsInstance(refusal, database.EXPECTED_FAULTS)
        self.assertEqual(database.explain(refusal), "No backup was made.")

    def test_another_fault_is_told_in_sqlites_words(self) -> None:
        self.assertIn("(near syntax)", database.explain(sqlite3.DatabaseError("near syntax")))


if __name__ == "__main__":
    unittest.main()
