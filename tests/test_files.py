"""A bare copy, and the database file: made, opened, refused, backed up, checked, and whole whatever happens."""

import errno
import os
import re
import shutil
import sqlite3
import stat
import subprocess
import sys
import unittest
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Callable, List, Sequence, Tuple
from unittest import mock

from support import PASSWORD, ROOT, DatabaseTestCase, FolderTestCase, command, environment, lines, run, run_command

import database
import main
import users
import work_order
from database import DatabaseFileError
from users import Role
from work_order import Query

posix = unittest.skipIf(os.name == "nt", "needs POSIX")


class ProjectTest(FolderTestCase):
    def run_copy(self, *answers: object) -> str:
        real = [sys.executable, str(self.folder / "main.py")]
        return run_command(real, lines(*answers).encode(), environment(None, WORK_ORDER_DB="")).output

    def test_a_bare_copy_registers_people_takes_work_orders_and_finds_all_again_after_a_restart(self) -> None:
        for name in ("main.py", "database.py", "users.py", "work_order.py"):
            shutil.copy(ROOT / name, self.folder)
        first = self.run_copy(
            *("Register", "Anna", PASSWORD, ""),
            *("Register", "uma", PASSWORD, ""),
            *("Log in", "uma", PASSWORD, "Create work order", "Printer jams", "Tray 2\\", "since Monday", "high"),
        )
        self.assertIn("User anna registered as admin.\n", first)
        self.assertIn("Work order #1 created.\n", first)
        change = ("Update work order", 1, "Change status", "prog", "ordered a part", "Back")
        views = ("View work orders", "Open work order", "#1", "Show history")
        second = self.run_copy("Log in", "ANNA", PASSWORD, *change, *views)
        self.assertIn("Work order #1 is now In Progress.\n", second)
        self.assertIn("1   High      In Progress  Printer jams", second)
        self.assertIn("    Tray 2\n    since Monday\n", second)
        self.assertIn('anna: status from "Open" to "In Progress":\n      ordered a part\n', second)
        self.assertTrue((self.folder / "work_order.db").exists())

    def test_it_is_exactly_seven_names_and_holds_no_package(self) -> None:
        names = {path.name for path in ROOT.iterdir() if not path.name.startswith((".", "__pycache__"))}
        kept = {name for name in names if not name.startswith(("work_order.db", "work_order.log"))}
        expected = {"main.py", "database.py", "users.py", "work_order.py", "tests", "README.md", "LICENSE"}
        self.assertEqual(kept - {"backups", "exports", "imports"}, expected)
        self.assertEqual(list(ROOT.glob("tests/**/__init__.py")), [])


class OpeningTest(FolderTestCase):
    def make(self) -> bytes:
        database.connect(self.path, create=True).close()
        return self.path.read_bytes()

    def assert_refused(self, content: bytes, words: str) -> None:
        self.path.write_bytes(content)
        with self.assertRaisesRegex(DatabaseFileError, f"^{re.escape(str(self.path))} .*{words}"):
            database.connect(self.path, create=True)
        self.assertEqual(self.path.read_bytes(), content)

    def test_the_program_says_where_the_database_is_and_its_version_and_does_no_harm_again(self) -> None:
        first = run(self.path, program=ROOT / "database.py")
        before = self.path.read_bytes()
        self.assertEqual(first, (f"Database: {self.path}\nSchema version: {database.newest_version()}\n", 0))
        self.assertEqual(run(self.path, program=ROOT / "database.py"), first)
        self.assertEqual(self.path.read_bytes(), before)

    @posix
    def test_the_file_is_its_owners_alone_whatever_the_umask(self) -> None:
        self.addCleanup(os.umask, os.umask(0))
        self.make()
        self.assertEqual(stat.S_IMODE(self.path.stat().st_mode), 0o600)

    def test_programs_that_start_at_once_all_get_a_sound_database(self) -> None:
        program = [sys.executable, str(ROOT / "database.py")]
        programs = [subprocess.Popen(program, env=environment(self.path), stdout=subprocess.DEVNULL) for _ in range(4)]
        self.assertEqual([process.wait() for process in programs], [0] * 4)
        database.connect(self.path).close()
        self.assertEqual(list(self.folder.iterdir()), [self.path])

    def test_an_sqlite_that_is_too_old_is_refused(self) -> None:
        too_old = mock.patch("sqlite3.sqlite_version_info", (3, 33, 0))
        with too_old, self.assertRaisesRegex(database.ApplicationError, r"SQLite .* is older than 3\.34;"):
            database.connect(self.path, create=True)
        self.assertFalse(self.path.exists())

    def test_what_is_no_database_of_this_program_is_refused(self) -> None:
        with closing(sqlite3.connect(self.path)) as other:
            other.execute("CREATE TABLE work_orders (id)")
        self.assert_refused(self.path.read_bytes(), "another program")
        self.assert_refused(b"not a database\n" * 20, "is not a database")
        self.assert_refused(b"SQLite format 3\0", "is not a database")  # shorter than a header
        words = "is empty. If it was your database, restore a backup; to start with a new one, remove it."
        self.assert_refused(b"", words)
        self.assertEqual(list(self.folder.iterdir()), [self.path])

    def test_what_is_damaged_is_refused(self) -> None:
        sound = self.make()
        self.assert_refused(sound[:8192], "damaged")
        self.assert_refused(sound.replace(b"CREATE TABLE users", b"CREATE T\xffBLE users"), "damaged")
        for page in range(1, len(sound) // 4096):
            with self.subTest(page=page):
                self.assert_refused(sound[: page * 4096] + b"\xa5" * 4096 + sound[(page + 1) * 4096 :], "damaged")
        self.assertEqual(list(self.folder.iterdir()), [self.path])
        version_9 = sound[:60] + b"\0\0\0\x09" + sound[64:]
        self.assert_refused(version_9, "cannot be used .no such .*left as it was")

    @posix
    def test_a_path_that_leads_to_no_file_is_refused_and_nothing_is_made(self) -> None:
        with self.assertRaisesRegex(DatabaseFileError, "does not exist"):
            database.connect(self.path)
        self.path.symlink_to(self.folder / "nowhere.db")
        for path in (self.path, self.folder, self.folder / "missing" / "test.db", self.folder / ("x" * 300)):
            for create in (False, True):
                words = f"^{path} (does not exist|is not a file|cannot be created|cannot be read: File name)"
                with self.subTest(create=create), self.assertRaisesRegex(DatabaseFileError, words):
                    database.connect(path, create)
        self.assertEqual(list(self.folder.iterdir()), [self.path])

    @posix
    def test_a_working_directory_that_was_removed_is_one_sentence_from_all_four_programs(self) -> None:
        for program in ("main.py", "database.py", "users.py anna", "work_order.py"):
            shell = f'cd "{self.folder}"; mkdir x; cd x; rmdir ../x; exec "{sys.executable}" "{ROOT}"/{program}'
            ended = run_command(["sh", "-c", shell], b"", environment(None, WORK_ORDER_DB="test.db", PWD=""))
            with self.subTest(program=program):
                self.assertEqual((ended.code, ended.output.count("\n")), (1, 1), ended.output)
                self.assertRegex(ended.output, "^Error: .*folder")


class ConnectionTest(DatabaseTestCase):
    def test_it_is_configured_as_the_promises_need(self) -> None:
        expected = {"foreign_keys": 1, "synchronous": 3, "cell_size_check": 1, "journal_mode": "delete"}
        expected.update(application_id=0x574F524B, busy_timeout=10_000)
        with closing(database.connect(self.path)) as connection:
            set_up = {name: connection.execute(f"PRAGMA {name}").fetchone()[0] for name in expected}
        self.assertEqual(set_up, expected)

    def test_a_transaction_stands_as_a_whole_or_not_at_all(self) -> None:
        with self.assertRaises(ZeroDivisionError), database.transaction(self.connection):
            self.connection.execute("UPDATE users SET role = 'admin'")
            raise ZeroDivisionError
        self.assertEqual(self.rows("SELECT count(*) FROM users WHERE role = 'admin'"), [(1,)])
        self.assertFalse(self.connection.in_transaction)

    def test_a_transaction_holds_the_right_to_write_from_its_beginning_and_a_snapshot_keeps_nobody_out(self) -> None:
        with closing(sqlite3.connect(self.path, timeout=0, isolation_level=None)) as other:
            with database.transaction(self.connection), self.assertRaisesRegex(sqlite3.OperationalError, "locked"):
                other.execute("BEGIN IMMEDIATE")
            with database.snapshot(self.connection):
                self.rows("SELECT * FROM users")
                self.assertEqual(other.execute("SELECT count(*) FROM users").fetchone(), (4,))
        self.assertFalse(self.connection.in_transaction)

    def test_the_schema_refuses_what_the_code_would_not_write(self) -> None:
        self.create(self.uma)
        for table, values in (
            ("users", ("role = 'root'", "username = 'Anna' WHERE id = 1", "username = 'uma' WHERE id = 1")),
            ("users", ("created_at = 'yesterday'", "password_hash = NULL WHERE id = 1")),
            ("work_orders", ("status = 'Done'", "resolved_at = created_at", "priority = 5", "requester_id = 99")),
            ("work_orders", ("title = ''", "title = char(97, 0)", "description = char(0)", "due_at = '2026-11-22'")),
            ("work_order_history", ("note = 'x'",)),
            ("audit_log", ("subject = 'x'",)),
        ):
            for statement in (*(f"UPDATE {table} SET {value}" for value in values), f"DELETE FROM {table}"):
                with self.subTest(statement=statement), self.assertRaises(sqlite3.IntegrityError):
                    self.connection.execute(statement)

    def test_each_fault_has_a_sentence_of_its_own(self) -> None:
        self.assertEqual(database.explain(database.OutputError("No backup was made.")), "No backup was made.")
        for words, meaning in (
            ("database or disk is full", "The disk is full"),
            ("unable to open database file", "cannot be opened"),
            ("disk I/O error", "disk reported an error"),
            ("database disk image is malformed", "damaged"),
            ("Could not decode to UTF-8 column 'title' with text '\ufffd'", "damaged"),
            ("near syntax", "(near syntax)"),
        ):
            self.assertIn(meaning, database.explain(sqlite3.OperationalError(words)))


class BackupAndCheckTest(DatabaseTestCase):
    def backups(self) -> List[Path]:
        return list((self.folder / "backups").iterdir())

    def test_it_never_replaces_a_file_but_takes_another_name(self) -> None:
        target = self.folder / "taken.db"
        target.write_text("something dear")
        paths = [database.back_up(self.connection, target) for _ in range(2)]
        self.assertEqual([path.name for path in paths], ["taken-2.db", "taken-3.db"])
        self.assertEqual(target.read_text(), "something dear")
        self.assertEqual(list(self.folder.glob(".*.partial*")), [])

    def test_what_is_not_sound_gets_no_backup_and_the_check_says_why(self) -> None:
        self.create(self.uma)
        self.connection.execute("PRAGMA foreign_keys = OFF")
        self.connection.execute("UPDATE work_orders SET assignee_id = 99")
        output = self.run_as("anna", "Data and audit", "Back up now", "Check database")
        self.assertIn("Error: The copy is not sound (row 1 of work_orders refers to nothing); no backup", output)
        self.assertIn("Error: row 1 of work_orders refers to nothing\nRestore the database from a backup.", output)
        self.assertEqual(self.backups(), [])
        self.assertEqual(self.rows("SELECT * FROM audit_log WHERE event = 'backed up'"), [])

    @posix
    def test_a_folder_that_is_a_link_or_a_file_is_refused(self) -> None:
        folder = self.folder / "backups"
        folder.symlink_to(self.folder)
        with self.assertRaisesRegex(database.OutputError, "backups is a symbolic link; no backup was made."):
            users.back_up(self.anna)
        folder.unlink()
        folder.write_text("in the way")
        with self.assertRaisesRegex(database.OutputError, "backups cannot be created: File exists. No backup"):
            users.back_up(self.anna)

    def test_a_backup_that_cannot_be_audited_is_reported(self) -> None:
        full = "CREATE TRIGGER full BEFORE INSERT ON audit_log BEGIN SELECT RAISE(ABORT, 'disk is full'); END"
        self.connection.execute(full)
        with self.assertRaisesRegex(database.ApplicationError, "The backup is in .*, but the audit log has no row"):
            users.back_up(self.anna)
        (backup,) = self.backups()
        database.connect(backup).close()

    @unittest.skipUnless(sys.platform == "linux", "other file systems refuse the name")
    def test_it_is_its_owners_alone_and_its_name_needs_not_be_utf_8(self) -> None:
        path = self.folder / os.fsdecode(b"\xff") / os.fsdecode(b"\xff.db")
        path.parent.mkdir()
        shutil.copy(self.path, path)
        output = run(path, "Log in", "anna", PASSWORD, "Data and audit", "Back up now").output
        self.assertIn("Backed up to ", output)
        (copy,) = path.parent.glob(f"backups/{path.stem}-*.db")
        self.assertEqual([stat.S_IMODE(each.stat().st_mode) for each in (copy.parent, copy)], [0o700, 0o600])

    @posix
    def test_a_folder_that_cannot_be_flushed_is_no_error_unless_the_disk_is_broken(self) -> None:
        full, extra = 2, 3  # of PRAGMA synchronous
        for number, synchronous in ((errno.EINVAL, full), (errno.ENOTSUP, full), (errno.EIO, extra)):

            def fsync(descriptor: int, number: int = number) -> None:
                if stat.S_ISDIR(os.fstat(descriptor).st_mode):
                    raise OSError(number, os.strerror(number))

            with self.subTest(number=number), mock.patch("os.fsync", fsync):
                with closing(database.connect(self.path)) as connection:
                    self.assertEqual(connection.execute("PRAGMA synchronous").fetchone()[0], synchronous)
                if number == errno.EIO:
                    with self.assertRaisesRegex(database.OutputError, r"\.db was written, but its folder reported"):
                        users.back_up(self.anna)
                else:
                    database.connect(users.back_up(self.anna)).close()
                    database.connect(self.folder / f"new {number}.db", create=True).close()
        self.assertEqual(len(self.backups()), 3)

    def test_each_derived_value_that_differs_is_named_with_its_work_order(self) -> None:
        for session in (self.uma, self.ugo):
            work_order.comment(session, self.create(session).id, "a comment")
        moments = ("due_rank", "overdue_at", "stopped_since", "responded_at")
        for name, statement in (
            *((each, f"UPDATE work_orders SET {each} = '2026-12-24T12:00:00+00:00'") for each in moments),
            *((each, f"UPDATE work_orders SET {each} = 7") for each in ("urgency", "stopped_seconds", "spent_minutes")),
            ("text", "UPDATE work_order_search SET text = 'something else'"),
            ("text", "DELETE FROM work_order_search"),
        ):
            with self.subTest(statement=statement):
                self.connection.execute(f"{statement} WHERE rowid = 2")
                (problem,) = users.check_database(self.anna)
                self.assertRegex(problem, f"#2: the stored {name} differ")
                with database.transaction(self.connection):
                    database.refresh_derived(self.connection, 2)
                self.assertEqual(users.check_database(self.anna), [])
        self.assertEqual(list(self.folder.iterdir()), [self.path])

    def test_a_damaged_search_index_is_named(self) -> None:
        self.create(self.uma)
        self.connection.execute("UPDATE work_order_search_data SET block = zeroblob(length(block)) WHERE id > 10")
        self.assertRegex(" ".join(users.check_database(self.anna)), "search index is damaged")


class DamagedValueTest(DatabaseTestCase):
    def setUp(self) -> None:
        super().setUp()
        for _ in range(4):
            self.create(self.uma)
        for trigger in ("history_is_never_changed", "audit_log_is_never_changed"):
            self.connection.execute(f"DROP TRIGGER {trigger}")

    def damage(self, table: str, value: str) -> None:
        for pragma in ("ignore_check_constraints = ON", "foreign_keys = OFF"):
            self.connection.execute(f"PRAGMA {pragma}")
        self.connection.execute(f"UPDATE {table} SET {value} WHERE id = 4")

    def test_each_is_named_where_it_is_read(self) -> None:
        sound = self.path.read_bytes()
        of_work_orders = (
            *("status = 'Xpen'", "priority = 'much'", "due_at = 'soon'", "due_by = 'foot'", "stopped_since = 'once'"),
            *("created_at = '20x6-01-01T00:00:00+00:00'", "created_at = '0001-01-01T00:00:00+00:00'"),
            *("updated_at = '2026-01-01T00:00:00'", "requester_id = 99"),
            *("title = x'ff00'", "description = x'ff00'", "overdue_at = x'ff00'"),
        )
        of_users = ("role = 'rooot'", "email = x'ff'", "name = x'ff'", "created_at = '9999-01-01T00:00:00+00:00'")
        of_audit_log = ("recorded_at = 'then'", "event = x'ff'", "subject = x'ff'", "os_user = x'ff'")
        cases: Sequence[Tuple[str, Sequence[str], Callable[[], object]]] = (
            ("work_orders", of_work_orders, lambda: work_order.find(self.max, Query(), None, 9)),
            ("users", of_users, lambda: users.list_users(self.anna)),
            ("work_order_history", ["changed_at = 'then'"], lambda: work_order.history(self.max, 4)),
            ("audit_log", of_audit_log, lambda: users.audit_log(self.anna, users.AuditFilter(), None, 9)),
            ("audit_log", ["event = x'ff'"], lambda: users.audit_events(self.anna)),
        )
        for table, values, read in cases:
            for value in values:
                with self.subTest(table=table, value=value):
                    self.use(sound)
                    self.damage(table, value)
                    with self.assertRaises(database.EXPECTED_FAULTS) as raised:
                        read()
                    self.assertRegex(database.explain(raised.exception), "is damaged.*[Rr]estore")

    def test_the_rest_of_the_program_goes_on(self) -> None:
        self.damage("work_orders", "status = 'Xpen'")
        self.damage("audit_log", "recorded_at = 'then'")
        self.connection.execute("CREATE TABLE ballast AS SELECT zeroblob(2000000)")  # too large to be read when opened
        places = ("View work orders", "Data and audit", "Audit log", "Back")
        output = self.run_as("anna", *places, "Create work order", "Still works", *[""] * 6)
        self.assertEqual(len(re.findall("Error: .* is damaged", output)), 2, output)
        self.assertIn("Work order #5 created.", output)


class FaultTest(DatabaseTestCase):
    FORM = ("Title: ", "New", "(optional): ", "", "[Medium]: ", "")

    @posix
    def test_a_kill_leaves_nothing_that_looks_whole_and_an_hour_later_the_rest_is_removed(self) -> None:
        die = "import os, pathlib, database\nos.link = os.rename = lambda *_: os.kill(os.getpid(), 9)\n"
        new, copy = self.folder / "new.db", self.folder / "copy.db"
        back_up = f"database.back_up(database.connect(database.default_path()), pathlib.Path({str(copy)!r}))"
        for path, code in ((new, "database.main()"), (self.path, back_up)):
            variables = environment(path, PYTHONPATH=str(ROOT))
            self.assertEqual(run_command([sys.executable, "-c", die + code], b"", variables).code, -9)
        self.assertEqual(list(self.folder.glob("[!.]*")), [self.path])
        for left in [*self.folder.glob(".*.partial")]:
            left.with_name(f"{left.name}-journal").touch()
        database.connect(new, create=True).close()
        self.assertEqual(len([*self.folder.glob(".*.partial*")]), 4)
        for left in self.folder.glob(".*.partial*"):
            os.utime(left, (0, 0))
        database.back_up(self.connection, copy)
        self.assertEqual({*self.folder.iterdir()}, {self.path, new, copy})

    @posix
    def test_what_was_acknowledged_outlives_a_kill_at_any_moment(self) -> None:
        acknowledged: List[str] = []
        for number in range(4):
            talk = self.talk()
            talk.log_in("uma")
            talk.send(lines("Create work order", f"Title {number}.", "text", "", "Back") * 40)
            seen = "".join(talk.expect(" created.") for _ in range(number * 4 + 1))
            talk.process.kill()
            acknowledged += re.findall(r"Work order #(\d+) created\.", seen + talk.end().output)
        self.assertLessEqual({int(each) for each in acknowledged}, {*self.ids(self.uma)})
        self.assertEqual(database.check(self.connection), [])
        histories = "SELECT count(*) FROM work_orders WHERE id NOT IN (SELECT work_order_id FROM work_order_history)"
        self.assertEqual(self.rows(histories), [(0,)])

    @posix
    def test_a_disk_that_fails_at_the_commit_leaves_it_uncertain_whether_it_was_saved(self) -> None:
        limit = f'ulimit -f {self.path.stat().st_size // 512}; exec "$0" "$@"'
        answers = lines("Log in", "uma", PASSWORD, "Create work order", "t", "x" * 9000, "", "Log out", "Exit").encode()
        ended = run_command(["sh", "-c", limit, *command()], answers, environment(self.path))
        words = "Error: The disk (is full|reported an error .* It is not certain whether it was saved)"
        self.assertRegex(ended.output, words)
        self.assertEqual((ended.code, self.ids(self.uma)), (0, []))

    def test_a_locked_database_is_reported_and_work_goes_on_when_it_is_free(self) -> None:
        talk = self.talk(busy_seconds=0)
        talk.log_in("uma")
        talk.choose("Create work order")
        talk.answer(*self.FORM[:-2])
        talk.expect("[Medium]: ")
        with database.snapshot(self.connection):
            self.rows("SELECT * FROM users")  # a reader keeps a writer from its COMMIT
            talk.send("\n")
            talk.expect("Error: The database is busy with somebody else's work. Nothing was saved")
        self.connection.execute("BEGIN EXCLUSIVE")
        talk.choose("View work orders")
        talk.expect("Error: The database is busy with somebody else's work.")
        talk.expect("0. Log out\n")
        self.connection.execute("ROLLBACK")
        talk.choose("View work orders")
        talk.expect("No work orders")

    @posix
    def test_a_file_that_was_moved_or_replaced_is_said_and_nothing_is_saved_until_it_is_back(self) -> None:
        self.create(self.uma, "Still to be seen")
        talk = self.talk()
        talk.log_in("uma")
        talk.expect("0. Log out\n")
        moved = self.path.rename(self.folder / "moved.db")
        talk.choose("View work orders")
        seen = talk.expect("Still to be seen")
        self.assertIn(f"Error: {self.path} was moved, removed or replaced: you are seeing the old file.", seen)
        shutil.copy(moved, self.path)
        talk.choose("Back")
        talk.expect("was moved, removed or replaced")
        talk.choose("Create work order")
        talk.answer(*self.FORM)
        talk.expect("Error: The database or its folder is not writable, or the file was moved or replaced.")
        moved.replace(self.path)
        talk.choose("Create work order")
        talk.answer(*self.FORM)
        talk.expect("Work order #2 created.")

    @posix
    def test_a_closed_output_causes_no_traceback(self) -> None:
        for sink in ("| true", ">/dev/full" if Path("/dev/full").exists() else "| head -1", ">&-"):
            shell = f'"{sys.executable}" "{ROOT / "main.py"}" {sink}'
            ended = run_command(["sh", "-c", shell], lines("Exit").encode(), environment(self.path))
            with self.subTest(sink=sink):
                self.assertNotRegex(ended.output, "Error|Exception")

    @posix
    def test_an_error_that_nobody_expected_is_one_sentence_and_a_line_in_a_log_that_is_no_link(self) -> None:
        broken = command()
        broken[2] = f"import work_order; del work_order.summary\n{broken[2]}"
        answers = lines("Log in", "uma", PASSWORD, "Summary", "Create work order", "t", "", "").encode()
        variables = environment(self.path, PYTHONPATH=str(ROOT))
        output = run_command(broken, answers, variables).output
        self.assertIn("Error: Something unexpected happened. Nothing was saved. Details are in ", output)
        self.assertNotIn("Traceback", output)
        self.assertIn("Work order #1 created.", output)
        log = self.folder / "work_order.log"
        self.assertIn("AttributeError", log.read_text())
        self.assertEqual(stat.S_IMODE(log.stat().st_mode), 0o600)
        log.unlink()
        log.symlink_to(self.folder / "new")
        self.assertNotIn("Details are in", run_command(broken, answers, variables).output)
        self.assertFalse((self.folder / "new").exists())

    def test_nothing_is_printed_while_a_lock_is_held(self) -> None:
        for number in range(30):
            self.create(self.uma, f"Title {number}", description="x" * 9_000)
        other = sqlite3.connect(self.path, timeout=0, isolation_level=None)
        self.addCleanup(other.close)
        printed: List[object] = []

        def print_unlocked(*texts: object, **_: object) -> None:
            other.execute("BEGIN EXCLUSIVE")
            other.execute("ROLLBACK")
            printed.extend(texts)

        data = main.DataScreen(self.anna)
        lists: List[main.Screen] = [main.MainScreen(self.anna), main.ListScreen(self.anna), main.AuditScreen(self.anna)]
        texts: List[main.Screen] = [main.WorkOrderScreen(self.anna, 30), main.HistoryScreen(self.anna, 30)]
        with mock.patch("builtins.print", print_unlocked):
            for screen in (data, *lists, *texts):
                screen.refresh()
            for option in data.options:
                if option.label in ("Back up now", "Check database"):
                    option.choose(data)
        self.assertIn("The database is sound.", printed)

    def test_two_admins_who_demote_each_other_leave_one(self) -> None:
        self.session("eva", Role.ADMIN, ("anna", PASSWORD))
        talks = [self.talk(), self.talk()]
        for talk, admin, other in zip(talks, ("anna", "eva"), ("eva", "anna")):
            talk.log_in(admin)
            talk.choose("Manage users", "Change role")
            talk.answer("Username: ", other, "Role [admin]: ", "user")
            talk.expect("Are you sure? [no]: ")
        for talk in talks:
            talk.send("yes\n")
        for talk in talks:
            talk.end()
        self.assertEqual(self.rows("SELECT count(*) FROM users WHERE role = 'admin'"), [(1,)])

    # The wheel of SQLite 3.34 that CI has was built to sleep whole seconds between two tries for a lock.
    @unittest.skipIf(sqlite3.sqlite_version_info < (3, 35), "this SQLite may be one that waits in whole seconds")
    def test_four_sessions_lose_nothing_and_one_backs_up_meanwhile(self) -> None:
        self.create(self.uma)

        def work(username: str) -> str:
            more = [""] * 3 if username in ("max", "anna") else []  # category, requester and assignee
            create = ("Create work order", f"By {username}", "x" * 9_000, "high", *more, "Back")
            comment = ("#1", "Add comment", f"Comment by {username}", "Back")
            last = ("Data and audit", "Back up now") if username == "anna" else ("View work orders",)
            return self.run_as(username, *(*create, *comment, *last, "Back") * 5)

        with ThreadPoolExecutor(4) as pool:
            output = "".join(pool.map(work, ("uma", "ugo", "max", "anna")))
        self.assertNotIn("busy", output)
        created = map(int, re.findall(r"Work order #(\d+) created", output))
        self.assertEqual((sorted(created), sorted(self.ids(self.max))), ([*range(2, 22)], [*range(1, 22)]))
        self.assertEqual(sum(bool(entry.note) for entry in work_order.history(self.max, 1)), 15)  # ugo cannot see it
        for path in (self.path, *(self.folder / "backups").iterdir()):
            with closing(database.connect(path)) as connection:
                self.assertEqual(database.check(connection), [])
