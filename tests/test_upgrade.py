"""A database of schema version 9, opened by this program: everything in it is there afterwards, or it was left alone.

version_9.sql is one that its own program made: accounts of each kind, an import with and without IDs, work orders held,
reopened, deleted and restored, due dates by hand and by target, odd characters, waiting and failed messages.
"""

import shutil
import sqlite3
import subprocess
from contextlib import closing
from pathlib import Path
from typing import Any, Dict, List

from support import PASSWORD, ROOT, FolderTestCase, command, environment, run

import database
import users
import work_order


class UpgradeTestCase(FolderTestCase):
    def setUp(self) -> None:
        super().setUp()
        with closing(sqlite3.connect(self.path, isolation_level=None)) as old:
            old.executescript(Path(__file__).with_name("version_9.sql").read_text(encoding="utf-8"))


class UpgradedTest(UpgradeTestCase):
    def setUp(self) -> None:
        super().setUp()
        old = shutil.copy(self.path, self.folder / "old.db")
        self.connection = database.connect(self.path)
        self.addCleanup(self.connection.close)
        self.connection.execute("ATTACH ? AS old", (str(old),))

    def rows(self, sql: str) -> List[Dict[str, Any]]:
        return [dict(row) for row in self.connection.execute(sql)]

    def test_it_is_as_sound_as_a_new_database_and_has_its_schema(self) -> None:
        self.assertEqual(database.check(self.connection), [])
        with closing(database.connect(self.folder / "new.db", create=True)) as new:
            for sql in (
                "SELECT type, name, sql FROM main.sqlite_master ORDER BY type, name",
                *("PRAGMA main.user_version", "PRAGMA main.application_id", "PRAGMA foreign_keys"),
            ):
                self.assertEqual(self.rows(sql), [dict(row) for row in new.execute(sql)])

    def test_ledgers_and_settings_are_the_same(self) -> None:
        for table in ("audit_log", "password_failures", "login_clients", "service_targets", "mail_settings"):
            with self.subTest(table=table):
                after, before = (self.rows(f"SELECT * FROM {name}.{table} ORDER BY 1, 2") for name in ("main", "old"))
                self.assertEqual(after, before)

    def test_accounts_are_the_same_but_for_those_that_an_import_made(self) -> None:
        expected = self.rows("SELECT * FROM old.users ORDER BY id")
        for row in expected:
            row.update(name=None, new_work_order_mail="none")
            if row["username"] in ("otto", "pia.k"):  # whom no person has touched since
                row.update(password_hash=None, is_active=1, must_change_password=0)
        self.assertEqual(self.rows("SELECT * FROM main.users ORDER BY id"), expected)

    def test_work_orders_are_the_same(self) -> None:
        columns = (
            "id, title, description, priority, category, status, requester_id, assignee_id, created_at, updated_at, "
            "resolved_at, due_at, deleted_at, due_by, response_hours"
        )
        expected = self.rows(f"SELECT {columns} FROM old.work_orders ORDER BY id")
        for row in expected:
            if row["due_at"] and not row["due_by"]:  # it came from an import
                row["due_by"] = "hand"
        self.assertEqual(self.rows(f"SELECT {columns} FROM main.work_orders ORDER BY id"), expected)

    def test_the_history_is_the_same_and_tells_what_an_import_wrote(self) -> None:
        expected = self.rows("SELECT * FROM old.work_order_history ORDER BY id")
        came = self.rows("SELECT id FROM old.work_orders WHERE title LIKE 'Old: %' OR title LIKE 'No id %'")
        imported = set()
        for row in expected:
            came_with_it = row["field"] == "created" or (row["id"] - 1 in imported and row["field"] == "status")
            if {"id": row["work_order_id"]} in came and came_with_it:
                imported.add(row["id"])
            row.update(is_imported=int(row["id"] in imported), minutes=0)
        self.assertEqual(len(imported), 12)
        self.assertEqual(self.rows("SELECT * FROM main.work_order_history ORDER BY id"), expected)

    def test_messages_wait_or_have_failed_as_before(self) -> None:
        columns = "user_id, message_id, created_at, attempts, reason, work_order_id"
        expected = self.rows(
            f"""
            SELECT {columns}, text, '[#' || work_order_id || '] ' || title || ': ' || ending AS subject,
                CASE WHEN failed_at IS NULL THEN next_attempt_at END AS next_attempt_at
            FROM old.outbox ORDER BY id
            """
        )
        tables = "main.outbox JOIN outbox_parts AS part ON outbox_id = outbox.id"
        sql = f"SELECT {columns}, part.text, subject, next_attempt_at FROM {tables} ORDER BY outbox.id"
        self.assertEqual(self.rows(sql), expected)

    def test_no_id_is_given_again(self) -> None:
        kept = "name IN (SELECT name FROM main.sqlite_master) ORDER BY name"
        before = self.rows(f"SELECT * FROM old.sqlite_sequence WHERE {kept}")
        self.assertEqual(self.rows(f"SELECT * FROM main.sqlite_sequence WHERE {kept}"), before)
        (last,) = (row["seq"] for row in before if row["name"] == "work_orders")
        session = users.log_in(self.connection, "max", PASSWORD)
        self.assertEqual(work_order.create(session, work_order.Draft("New")), last + 1)

    def test_work_goes_on_in_the_program(self) -> None:
        comment = ("#1", "Add comment", "After the upgrade", 0)
        output = run(self.path, "Log in", "max", PASSWORD, "Search work orders", "strasse 7", 0, *comment).output
        self.assertIn("Überhitzt: Straße 7, 打印机 im Flur", output)
        self.assertIn("After the upgrade", output)
        self.assertEqual(database.check(self.connection), [])


class UpgradingTest(UpgradeTestCase):
    def assert_refused(self, words: str) -> None:
        content = self.path.read_bytes()
        with self.assertRaisesRegex(database.ApplicationError, words):
            database.connect(self.path)
        self.assertEqual(self.path.read_bytes(), content)

    def test_programs_that_start_at_once_make_one_backup_and_later_ones_none(self) -> None:
        program, variables = command(ROOT / "database.py"), environment(self.path)
        programs = [subprocess.Popen(program, env=variables, stdout=subprocess.DEVNULL) for _ in range(4)]
        self.assertEqual([program.wait() for program in programs], [0] * 4)
        with closing(database.connect(self.path)) as connection:
            self.assertEqual(database.check(connection), [])
        (backup,) = self.folder.glob("test.db.version-9.*")
        self.assertEqual({*self.folder.iterdir()}, {self.path, backup})
        with closing(sqlite3.connect(backup)) as copy:
            self.assertEqual(copy.execute("PRAGMA user_version").fetchone(), (9,))
            self.assertEqual(copy.execute("SELECT count(*) FROM work_order_history").fetchone(), (75,))

    def test_one_that_fails_after_or_before_its_backup_changes_nothing(self) -> None:
        year_0 = "(1, 1, '0000-01-01T00:00:00+00:00', 'status', 'On Hold')"
        later = "(1, 1, '2020-01-01T00:00:00+00:00', 'status', 'Open')"
        columns = "work_order_id, user_id, changed_at, field, new_value"
        for damage, words in (
            (f"INSERT INTO work_order_history ({columns}) VALUES {year_0}, {later}", "Work order #1 is damaged"),
            ("UPDATE work_orders SET assignee_id = 99 WHERE id = 2", "row 2 of work_orders refers to nothing"),
        ):
            with closing(sqlite3.connect(self.path, isolation_level=None)) as old:
                old.execute(damage)
            self.assert_refused(words)
            self.assertEqual(len(list(self.folder.iterdir())), 2)

    def test_any_other_version_is_refused_with_what_to_do(self) -> None:
        newer = database.newest_version() + 1
        for version, words in (
            *((old, f"has schema version {old}, .* schema version 9, then with this one") for old in range(1, 9)),
            (newer, f"comes from a newer version of this program .schema version {newer};"),
        ):
            with self.subTest(version=version):
                with closing(sqlite3.connect(self.path, isolation_level=None)) as other:
                    other.execute(f"PRAGMA user_version = {version}")
                self.assert_refused(f"^{self.path} {words}")
                self.assertEqual(list(self.folder.iterdir()), [self.path])
