"""A database of schema version 9, opened by this program: everything in it is there afterwards, or it was left alone.

version_9.sql is one that its own program made: accounts of each kind, an import with and without IDs, work orders held,
reopened, deleted and restored, due dates by hand and by target, odd characters, waiting and failed messages.
"""

import functools
import os
import signal
import sqlite3
import subprocess
import sys
import tempfile
import unittest
from contextlib import closing
from pathlib import Path
from typing import Any, Dict, List

from support import PASSWORD, ROOT, FolderTestCase, command, environment, run, run_command

import database
import users
import work_order
from database import DatabaseFileError
from users import Session

Row = Dict[str, Any]

# What it has of an import: what no person has touched since, and whose history rows came with it.
CALLERS = ["otto", "pia.k"]
IMPORTED = (
    "Old: no network",
    "Old: password",
    "Old: waits for a part",
    "Old: not wanted",
    "No id and open",
    "No id in progress",
    "No id and mistyped",
    "No id and no time",
)
LEDGERS_AND_SETTINGS = ("audit_log", "password_failures", "login_clients", "service_targets", "mail_settings")


@functools.cache
def version_9() -> bytes:
    """Return the content of the database file."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "old.db"
        with closing(sqlite3.connect(path, isolation_level=None)) as old:
            old.executescript(Path(__file__).with_name("version_9.sql").read_text(encoding="utf-8"))
        return path.read_bytes()


def rows(connection: sqlite3.Connection, sql: str) -> List[Row]:
    connection.row_factory = sqlite3.Row
    return [dict(row) for row in connection.execute(sql)]


class UpgradeTestCase(FolderTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.path.write_bytes(version_9())

    def assert_left_alone(self, content: bytes) -> None:
        self.assertEqual(self.path.read_bytes(), content)
        self.assertEqual(list(self.folder.iterdir()), [self.path])


class UpgradedTest(UpgradeTestCase):
    """Each test compares the upgraded database with a copy of the old one."""

    def setUp(self) -> None:
        super().setUp()
        (self.folder / "old.db").write_bytes(version_9())
        self.old = sqlite3.connect(self.folder / "old.db", isolation_level=None)
        self.addCleanup(self.old.close)
        self.connection = database.connect(self.path)
        self.addCleanup(self.connection.close)

    def before(self, sql: str) -> List[Row]:
        return rows(self.old, sql)

    def after(self, sql: str) -> List[Row]:
        return rows(self.connection, sql)

    def sessions(self) -> Dict[str, Session]:
        accounts = self.after("SELECT id, username, password_version FROM users")
        return {row["username"]: Session(self.connection, row["id"], row["password_version"]) for row in accounts}

    def test_it_is_a_sound_database_of_the_newest_version(self) -> None:
        self.assertEqual(database.check(self.connection), [])
        self.assertEqual(database.schema_version(self.connection), database.newest_version())
        self.assertEqual(self.after("PRAGMA foreign_keys"), [{"foreign_keys": 1}])
        self.assertEqual(self.after("PRAGMA application_id"), [{"application_id": database.APPLICATION_ID}])

    def test_its_schema_is_that_of_a_new_database(self) -> None:
        schema = "SELECT type, name, sql FROM sqlite_master ORDER BY type, name"
        with closing(database.connect(self.folder / "new.db", create=True)) as new:
            self.assertEqual(self.after(schema), rows(new, schema))

    def test_ledgers_and_settings_are_the_same(self) -> None:
        for table in LEDGERS_AND_SETTINGS:
            with self.subTest(table=table):
                before = self.before(f"SELECT * FROM {table} ORDER BY 1, 2")
                self.assertTrue(before)
                self.assertEqual(self.after(f"SELECT * FROM {table} ORDER BY 1, 2"), before)

    def test_accounts_are_the_same_but_for_those_that_an_import_made(self) -> None:
        expected = self.before("SELECT * FROM users ORDER BY id")
        for row in expected:
            row.update(name=None, new_work_order_mail="none")
            if row["username"] in CALLERS:
                row.update(password_hash=None, is_active=1, must_change_password=0)
        self.assertEqual(self.after("SELECT * FROM users ORDER BY id"), expected)

    def test_work_orders_are_the_same(self) -> None:
        expected = self.before("SELECT * FROM work_orders ORDER BY id")
        columns = {row["name"] for row in self.after("PRAGMA table_info(work_orders)")}
        derived = {"urgency", "due_rank"}  # which Check database computes
        for row in expected:
            if row["due_at"] and not row["due_by"]:  # it came from an import
                row["due_by"] = "hand"
        kept = [name for name in expected[0] if name in columns - derived]
        self.assertEqual(len(kept), 15)
        self.assertEqual(
            self.after(f"SELECT {', '.join(kept)} FROM work_orders ORDER BY id"),
            [{name: row[name] for name in kept} for row in expected],
        )

    def test_the_history_is_the_same_and_tells_what_an_import_wrote(self) -> None:
        expected = self.before("SELECT * FROM work_order_history ORDER BY id")
        titles = {row["id"]: row["title"] for row in self.after("SELECT id, title FROM work_orders")}
        imported = set()
        for row in expected:
            came_with_it = row["field"] == "created" or (row["id"] - 1 in imported and row["field"] == "status")
            if titles[row["work_order_id"]] in IMPORTED and came_with_it:
                imported.add(row["id"])
            row.update(is_imported=int(row["id"] in imported), minutes=0)
        self.assertEqual(len(imported), 12)
        self.assertEqual(self.after("SELECT * FROM work_order_history ORDER BY id"), expected)

    def test_messages_wait_or_have_failed_as_before(self) -> None:
        expected = [
            {
                **{name: row[name] for name in ("id", "user_id", "message_id", "created_at", "attempts", "reason")},
                "next_attempt_at": None if row["failed_at"] else row["next_attempt_at"],
                "work_order_id": row["work_order_id"],
                "text": row["text"],
            }
            for row in self.before("SELECT * FROM outbox ORDER BY id")
        ]
        self.assertEqual(
            self.after(
                """
                SELECT outbox.id, user_id, message_id, created_at, attempts, reason, next_attempt_at,
                    outbox_parts.work_order_id, outbox_parts.text
                FROM outbox JOIN outbox_parts ON outbox_id = outbox.id ORDER BY outbox.id
                """
            ),
            expected,
        )
        subjects = [row["subject"] for row in self.after("SELECT subject FROM outbox ORDER BY id")]
        for row, subject in zip(self.before("SELECT * FROM outbox ORDER BY id"), subjects):
            self.assertIn(f"[#{row['work_order_id']}] {row['title']}", subject)

    def test_no_id_is_given_again(self) -> None:
        kept = "SELECT name, seq FROM sqlite_sequence WHERE name IN (SELECT name FROM sqlite_master) ORDER BY name"
        self.assertEqual(self.after(kept), self.before(kept))
        (last,) = self.before("SELECT seq FROM sqlite_sequence WHERE name = 'work_orders'")
        self.assertGreater(last["seq"], len(self.before("SELECT id FROM work_orders")))
        created = work_order.create(self.sessions()["uma"], work_order.Draft("New"))
        self.assertEqual(created, last["seq"] + 1)

    def test_reports_count_what_they_counted(self) -> None:
        before = self.before(
            """
            SELECT id, resolution_seconds, response_seconds, held_since FROM work_orders
            WHERE NOT EXISTS (
                SELECT 1 FROM work_order_history WHERE work_order_id = work_orders.id AND changed_at < created_at
            ) AND title NOT LIKE 'Old: %' AND title NOT LIKE 'No id%' ORDER BY id
            """
        )
        numbers = ", ".join(str(row["id"]) for row in before)
        after = self.after(
            f"""
            SELECT id, strftime('%s', resolved_at) - strftime('%s', created_at) - stopped_seconds AS resolution_seconds,
                strftime('%s', responded_at) - strftime('%s', created_at) AS response_seconds,
                CASE status WHEN 'On Hold' THEN stopped_since END AS held_since
            FROM work_orders WHERE id IN ({numbers}) ORDER BY id
            """
        )
        self.assertGreater(len(before), 10)
        self.assertEqual(after, before)

    def test_what_came_with_an_import_is_no_response(self) -> None:
        untouched = self.after("SELECT responded_at FROM work_orders WHERE title = 'Old: not wanted'")
        self.assertEqual(untouched, [{"responded_at": None}])
        (later,) = self.after(
            """
            SELECT responded_at, changed_at FROM work_orders JOIN work_order_history ON work_order_id = work_orders.id
            WHERE title = 'Old: waits for a part' AND field = 'status' ORDER BY work_order_history.id DESC LIMIT 1
            """
        )
        self.assertEqual(later["responded_at"], later["changed_at"])

    def test_passwords_and_sessions_stay_valid_and_a_caller_has_none(self) -> None:
        for username, session in self.sessions().items():
            with self.subTest(username=username):
                has_left = username in ("paul", "gone", "nina", "kurt")
                if has_left or username in CALLERS:
                    with self.assertRaises(users.AuthenticationError):
                        users.log_in(self.connection, username, PASSWORD)
                else:
                    self.assertEqual(users.current_user(session).username, username)
        users.log_in(self.connection, "anna", PASSWORD)
        users.log_in(self.connection, "lena", PASSWORD)

    def test_every_word_is_found(self) -> None:
        anna = self.sessions()["anna"]
        for text, title in (
            ("strasse 7", "Überhitzt: Straße 7, 打印机 im Flur"),
            ("c++", "C++ compiler on 10.0.0.1"),
            ("rollers", "Printer on floor 3 jams"),
            ("waits part", "Old: waits for a part"),
            ("inc-10", "Old: not wanted"),
            ("cafe", "Odd 'characters' \"here\"; -- %s {0} \\"),
        ):
            with self.subTest(text=text):
                page = work_order.find(anna, work_order.search(anna, text), None, 9)
                self.assertIn(title, [found.title for found in page.work_orders])

    def test_work_goes_on_in_the_program(self) -> None:
        comment = ("#1", "Add comment", "After the upgrade", "Back")
        output = run(self.path, "Log in", "max", PASSWORD, "Create work order", "New", *[""] * 6, *comment).output
        self.assertRegex(output, "Work order #[0-9]+ created.")
        self.assertIn("After the upgrade", output)
        self.assertEqual(database.check(self.connection), [])


class BackupTest(UpgradeTestCase):
    def assert_one_backup(self) -> None:
        (backup,) = self.folder.glob("test.db.version-9.*")
        with closing(sqlite3.connect(backup)) as copy:
            self.assertEqual(copy.execute("PRAGMA user_version").fetchone(), (9,))
            self.assertEqual(copy.execute("PRAGMA integrity_check").fetchone(), ("ok",))
            self.assertEqual(copy.execute("SELECT count(*) FROM work_order_history").fetchone(), (75,))
        self.assertEqual(sorted(self.folder.iterdir()), sorted([self.path, backup]))

    def test_it_is_made_before_and_only_once(self) -> None:
        for _ in range(2):
            database.connect(self.path).close()
        self.assert_one_backup()

    def test_six_programs_that_start_at_once_make_one(self) -> None:
        programs = [
            subprocess.Popen(command(ROOT / "database.py"), env=environment(self.path), stdout=subprocess.DEVNULL)
            for _ in range(6)
        ]
        self.assertEqual([program.wait() for program in programs], [0] * 6)
        self.assert_one_backup()
        with closing(database.connect(self.path)) as connection:
            self.assertEqual(database.check(connection), [])

    def test_where_it_cannot_be_made_nothing_is_upgraded(self) -> None:
        with closing(sqlite3.connect(self.path)) as old:
            old.execute("UPDATE work_orders SET assignee_id = 99 WHERE id = 1")
            old.commit()
        damaged = self.path.read_bytes()
        with self.assertRaisesRegex(database.ApplicationError, "row 1 of work_orders refers to nothing"):
            database.connect(self.path)
        self.assert_left_alone(damaged)

    @unittest.skipIf(os.name == "nt", "needs POSIX")
    def test_a_program_that_is_killed_in_the_midst_leaves_the_old_version(self) -> None:
        code = (
            "import database, os, signal\n"
            "database.refresh_derived = lambda *_: os.kill(os.getpid(), signal.SIGKILL)\n"
            "database.connect(database.default_path())\n"
        )
        ended = run_command([sys.executable, "-c", code], b"", environment(self.path, PYTHONPATH=str(ROOT)))
        self.assertEqual(ended.code, -signal.SIGKILL, ended.output)
        with closing(sqlite3.connect(self.path)) as old:
            self.assertEqual(old.execute("PRAGMA user_version").fetchone(), (9,))
        with closing(database.connect(self.path)) as connection:
            self.assertEqual(database.check(connection), [])


class OtherVersionTest(UpgradeTestCase):
    def assert_refused(self, version: int, words: str) -> None:
        with closing(sqlite3.connect(self.path, isolation_level=None)) as other:
            other.execute(f"PRAGMA user_version = {version}")
        content = self.path.read_bytes()
        with self.assertRaisesRegex(DatabaseFileError, words):
            database.connect(self.path)
        self.assert_left_alone(content)

    def test_an_older_one_is_refused_with_what_to_do(self) -> None:
        for version in range(1, 9):
            with self.subTest(version=version):
                self.assert_refused(version, f"{self.path} has schema version {version}, .* schema version 9, then")

    def test_a_newer_one_is_refused(self) -> None:
        newer = database.newest_version() + 1
        self.assert_refused(newer, f"{self.path} comes from a newer version of this program .schema version {newer};")

    def test_the_programs_say_it_in_one_line(self) -> None:
        with closing(sqlite3.connect(self.path, isolation_level=None)) as other:
            other.execute("PRAGMA user_version = 8")
        for program in ("main.py", "database.py", "users.py", "work_order.py"):
            with self.subTest(program=program):
                ended = run(self.path, "0", arguments=["anna"] * (program == "users.py"), program=ROOT / program)
                self.assertEqual((ended.code, ended.output.count("\n")), (1, 1), ended.output)
                self.assertTrue(ended.output.startswith(f"Error: {self.path} has schema version 8"), ended.output)


if __name__ == "__main__":
    unittest.main()
