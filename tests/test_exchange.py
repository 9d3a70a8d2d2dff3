"""Export to CSV and import from it: what goes out comes in again, and of a bad file nothing but its good rows."""

import csv
import os
import re
import signal
import sqlite3
import stat
import sys
import unittest
from datetime import datetime, timezone
from pathlib import Path
from typing import Callable, Dict, List, Tuple
from unittest import mock

from support import (
    PASSWORD,
    ROOT,
    DatabaseTestCase,
    environment,
    needs_terminal,
    run_command,
)

import database
import main
import users
import work_order
from users import InvalidInputError, PermissionDeniedError, Role, Session
from work_order import (
    EVERYTHING,
    ConflictError,
    DryRun,
    Filter,
    Priority,
    Query,
    ServiceTarget,
    Sort,
    Status,
    UnreadableFileError,
)

posix = unittest.skipIf(os.name == "nt", "Windows has no links, pipes, modes and signals of this kind")
DIE = """
import os, signal
def die(*_, **__):
    os.kill(os.getpid(), signal.SIGKILL)
import database, users, work_order
session = users.Session(database.connect(database.default_path()), 1, 1)
"""
IMPORT = """
with work_order.dry_run(session, "file.csv", lambda _: None) as dry_run:
    work_order.import_rows(session, dry_run, True, True, lambda _: None)
"""


def hostile_texts() -> List[str]:
    """Return texts that are formulas, look guarded, break CSV, or are unusual, in more than a hundred combinations."""
    starts = ("=1+1", "+1", "-1", "@SUM(A1)", "'", "''", "'=x", "''=x", "'@", "'a", '"', "=cmd|' /C calc'!A0", "\ufeff")
    ends = ("", '"', ",;\t", "\n\n-x", "'", '""', "\r x", "e\u0301\u202e", "👩‍💻\x1b[31m\ufeff")
    return [f"{start}x{end}" for start in starts for end in ends]


class ExchangeTestCase(DatabaseTestCase):
    """Exports and imports, without anybody who watches."""

    def put(self, content: str, name: str = "file.csv") -> None:
        self.put_bytes(content.encode(), name)

    def put_bytes(self, content: bytes, name: str = "file.csv") -> None:
        (self.folder / "imports").mkdir(exist_ok=True)
        (self.folder / "imports" / name).write_bytes(content)

    def dry_run(self, content: str = "") -> DryRun:
        """Return what the dry run of this content, or of what was put, finds."""
        if content:
            self.put(content)
        with work_order.dry_run(self.anna, "file.csv", lambda _: None) as dry_run:
            return dry_run

    def import_file(
        self,
        content: str = "",
        creates_accounts: bool = True,
        drops_assignees: bool = True,
        progress: Callable[[int], None] = lambda _: None,
    ) -> int:
        if content:
            self.put(content)
        with work_order.dry_run(self.anna, "file.csv", lambda _: None) as dry_run:
            return work_order.import_rows(self.anna, dry_run, creates_accounts, drops_assignees, progress)

    def export(self, query: Query = EVERYTHING, with_history: bool = False) -> List[Path]:
        return work_order.export(self.anna, query, with_history, lambda _: None).paths

    def exported(self, query: Query = EVERYTHING) -> List[Dict[str, str]]:
        """Return the rows of an export as a CSV reader of another program sees them."""
        with self.export(query)[0].open(encoding="utf-8-sig", newline="") as file:
            return list(csv.DictReader(file))

    def everything(self) -> List[object]:
        tables = (
            *("work_orders", "work_order_history", "users", "work_order_counts", "work_order_totals"),
            *("imported_files", "texts_being_imported"),
        )
        ids = self.rows("SELECT * FROM sqlite_sequence WHERE seq > 0 ORDER BY name")
        return [*(self.rows(f"SELECT * FROM {table}") for table in tables), ids]

    def left_behind(self) -> List[str]:
        return [path.name for path in (*self.folder.glob(".*"), *self.folder.glob("exports/.*"))]


class ExportTest(ExchangeTestCase):
    def test_one_that_cannot_be_recorded_leaves_no_file(self) -> None:
        self.create(self.uma)
        self.connection.execute(
            """
            CREATE TRIGGER refuses BEFORE INSERT ON audit_log WHEN new.event = 'exported'
            BEGIN SELECT RAISE(ABORT, 'not recorded'); END
            """
        )
        with self.assertRaises(sqlite3.IntegrityError):
            self.export(with_history=True)
        self.assertEqual(list((self.folder / "exports").iterdir()), [])

    def test_it_is_rfc_4180_in_utf_8_with_a_mark_and_has_the_header_that_was_agreed(self) -> None:
        self.create(self.uma, 'Say "Tür", please', "one\ntwo")
        (path,) = self.export()
        created = self.get(self.uma, 1).created_at.isoformat()
        header = (
            "id,title,description,priority,category,status,requester,assignee,created_at,updated_at,resolved_at,due_at"
        )
        row = f'1,"Say ""Tür"", please","one\ntwo",Medium,,Open,uma,,{created},{created},,'
        self.assertEqual(path.read_bytes().decode("utf-8"), f"\ufeff{header}\r\n{row}\r\n")

    @posix
    def test_folder_and_file_are_for_their_owner_alone(self) -> None:
        (path,) = self.export()
        self.assertEqual([stat.S_IMODE(each.stat().st_mode) for each in (path.parent, path)], [0o700, 0o600])

    @posix
    def test_it_goes_through_no_link(self) -> None:
        (self.folder / "elsewhere").mkdir()
        (self.folder / "exports").symlink_to(self.folder / "elsewhere")
        with self.assertRaisesRegex(database.OutputError, "exports is a symbolic link; no export was made"):
            self.export()
        self.assertEqual(list((self.folder / "elsewhere").iterdir()), [])

    def test_it_never_replaces_a_file(self) -> None:
        with mock.patch.object(database, "_timestamp", return_value="now"):
            names = [path.name for _ in range(2) for path in self.export(with_history=True)]
        self.assertEqual(names, ["test-now.csv", "test-now-history.csv", "test-now-2.csv", "test-now-2-history.csv"])

    def test_all_come_in_the_order_of_their_ids_without_deleted_ones(self) -> None:
        for priority in (Priority.LOW, Priority.CRITICAL, Priority.HIGH):
            self.create(self.uma, priority=priority)
        work_order.delete(self.anna, 2)
        self.assertEqual([row["id"] for row in self.exported()], ["1", "3"])

    def test_a_list_comes_whole_in_its_order_with_its_filter(self) -> None:
        with mock.patch.object(work_order, "ROWS_AT_ONCE", 2):
            for number in range(10):
                self.create(
                    self.uma if number % 2 else self.ugo, f"Printer {number}", priority=Priority(number % 4 + 1)
                )
            for query in (
                *(Query(sort=sort) for sort in Sort),
                Query(Filter(requester="uma")),
                Query(Filter(priority=Priority.HIGH), Sort.NEWEST),
                Query(text="printer", sort=Sort.NEWEST),
                Query(text="rinte", sort=Sort.DUE, as_substring=True),
            ):
                with self.subTest(query=query):
                    self.assertEqual([int(row["id"]) for row in self.exported(query)], self.ids(self.anna, query))

    def test_no_cell_is_a_formula(self) -> None:
        for start in ("=", "+", "-", "@"):
            self.create(self.uma, f"{start}1", f"{start}1")
        self.create(self.uma, "a", "\t=1\r=2")
        for row in self.exported():
            for cell in row.values():
                self.assertNotRegex(cell, r"\A[=+@\t\r-]")

    def test_the_history_of_what_was_exported_goes_into_a_second_file(self) -> None:
        for requester in (self.uma, self.ugo):
            self.create(requester)
        work_order.change_status(self.anna, self.get(self.anna, 1), Status.ON_HOLD, "=waits")
        work_order.comment(self.anna, 2, "not mine")
        _, path = self.export(Query(Filter(requester="uma")), with_history=True)
        text = re.sub(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00", "AT", path.read_text(encoding="utf-8-sig"))
        header = "work_order_id,changed_at,username,field,old_value,new_value,note\n"
        self.assertEqual(text, f"{header}1,AT,uma,created,,,\n1,AT,anna,status,Open,On Hold,'=waits\n")

    def test_it_stands_in_the_audit_log(self) -> None:
        self.create(self.uma)
        (path,) = self.export()
        entry = users.audit_log(self.anna, users.AuditFilter(event="exported"), None, 9)[0]
        self.assertEqual((entry.username, entry.subject), ("anna", f"{path.name}: 1 work order"))

    def test_managers_may_and_users_may_not(self) -> None:
        work_order.export(self.max, EVERYTHING, False, lambda _: None)
        with self.assertRaises(PermissionDeniedError):
            work_order.export(self.uma, EVERYTHING, False, lambda _: None)
        self.assertEqual(len(list((self.folder / "exports").iterdir())), 1)

    def test_a_manager_who_is_demoted_meanwhile_gets_no_file(self) -> None:
        self.create(self.uma)

        def demote(_: int) -> None:
            users.change_role(self.anna, "max", Role.USER)

        with self.assertRaises(PermissionDeniedError):
            work_order.export(self.max, EVERYTHING, True, demote)
        self.assertEqual(list((self.folder / "exports").iterdir()), [])

    def test_others_save_meanwhile(self) -> None:
        self.create(self.uma)
        other = database.connect(self.path)
        self.addCleanup(other.close)
        work_order.export(
            self.anna, EVERYTHING, True, lambda _: work_order.comment(Session(other, 1, 1), 1, "saved meanwhile")
        )
        self.assertEqual(len(work_order.history(self.anna, 1)), 2)

    def test_what_is_deleted_meanwhile_is_left_out(self) -> None:
        for _ in range(3):
            self.create(self.uma)

        def delete(count: int) -> None:
            if count == 1:
                work_order.delete(self.anna, 3)

        with mock.patch.object(work_order, "ROWS_AT_ONCE", 1):
            exported = work_order.export(self.anna, EVERYTHING, True, delete)
        self.assertEqual(exported.total, 2)
        self.assertEqual([path.read_text(encoding="utf-8").count("\n3,") for path in exported.paths], [0, 0])

    def test_what_is_stopped_leaves_no_file(self) -> None:
        self.create(self.uma)

        def stop(_: int) -> None:
            raise main.Cancelled

        with self.assertRaises(main.Cancelled):
            work_order.export(self.anna, EVERYTHING, True, stop)
        self.assertEqual(list((self.folder / "exports").iterdir()), [])

    @posix
    def test_what_is_killed_leaves_a_hidden_file_that_the_next_export_removes(self) -> None:
        self.create(self.uma)
        code = f"{DIE}work_order.export(session, work_order.EVERYTHING, True, die)\n"
        ended = run_command([sys.executable, "-c", code], b"", environment(self.path, PYTHONPATH=str(ROOT)))
        self.assertEqual(ended.code, -signal.SIGKILL, ended.output)
        for path in (self.folder / "exports").iterdir():
            self.assertRegex(path.name, r"^\..*\.partial$")
        (path,) = self.export()
        self.assertEqual(list((self.folder / "exports").iterdir()), [path])


class RoundTripTest(ExchangeTestCase):
    # A work order of each kind that reports tell apart.
    KINDS = (
        "id,title,status,requester,created_at,updated_at,resolved_at,due_at\n"
        "7,a,Open,anna,2026-01-01,,,\n"
        "8,b,On Hold,anna,2026-01-01,2026-01-02,,2026-01-05\n"
        ",c,On Hold,uma,2026-01-01,2026-01-02,,2026-01-05\n"
        ",d,In Progress,uma,2026-01-01,2026-01-03,,\n"
        ",e,Resolved,anna,2026-01-01,,2026-01-04,2026-01-03\n"
        ",f,Resolved,oz,2026-01-01,,2026-01-05,2026-01-06\n"
        ",g,Cancelled,anna,2026-01-01,2026-01-06,,\n"
        ",h,Cancelled,uma,2026-01-01,,2026-01-07,\n"
    )

    def fill(self) -> None:
        """Make work orders of every kind, with hostile texts and service targets, and none deleted."""
        for priority in (Priority.HIGH, Priority.CRITICAL):
            work_order.set_service_target(self.anna, ServiceTarget(priority, 1, 8))
        for number, text in enumerate(hostile_texts()):
            category = "=Printers" if number % 3 else None
            requester = ("uma", "ugo", "anna")[number % 3]
            work_order.create(self.anna, text, text, Priority(number % 4 + 1), category, requester)
            row = self.get(self.anna, number + 1)
            if number % 2:
                work_order.change(self.anna, row, work_order.ASSIGNEE, "max")
            if number % 5:
                work_order.change_status(self.anna, row, tuple(Status)[number % 5])
            if number % 7 == 0:
                work_order.change(
                    self.anna, row, work_order.DUE_DATE, datetime(2026, 5, number % 28 + 1, tzinfo=timezone.utc)
                )

    def test_into_an_empty_database_it_gives_the_same_export_again(self) -> None:
        self.fill()
        (path,) = self.export()
        before = path.read_bytes()
        self.path.unlink()
        path.unlink()
        super().setUp()
        for priority in Priority:  # of which an import knows nothing
            work_order.set_service_target(self.anna, ServiceTarget(priority, 2, 3))
        self.put_bytes(before)
        self.assertEqual(self.import_file(), len(hostile_texts()))
        self.assertEqual(self.export()[0].read_bytes(), before)
        self.assertEqual(database.check(self.connection), [])

    def test_what_triggers_keep_is_the_same_as_if_the_rows_had_been_inserted_with_them(self) -> None:
        self.create(self.uma)
        self.import_file(self.KINDS)
        self.assertEqual(database.check(self.connection), [])
        kept = "SELECT id, urgency, created_second, held_since, finished_at, resolution_seconds, response_seconds "
        imported = self.rows(f"{kept} FROM work_orders WHERE id > 1")
        self.assertEqual(
            [row[3:] for row in imported],
            [
                (None, None, None, None),
                ("2026-01-02T00:00:00+00:00", None, None, None),
                ("2026-01-02T00:00:00+00:00", None, None, 86_400),
                (None, None, None, 2 * 86_400),
                (None, "2026-01-04T00:00:00+00:00", 3 * 86_400, None),
                (None, "2026-01-05T00:00:00+00:00", 4 * 86_400, 4 * 86_400),
                (None, "2026-01-06T00:00:00+00:00", None, None),
                (None, "2026-01-07T00:00:00+00:00", None, 6 * 86_400),
            ],
        )
        columns = "title, description, priority, status, requester_id, created_at, updated_at, resolved_at"
        self.connection.execute(
            f"INSERT INTO work_orders ({columns}) SELECT {columns} FROM work_orders WHERE id > 1 ORDER BY id"
        )
        self.connection.execute(
            """
            INSERT INTO work_order_history (work_order_id, user_id, changed_at, field, old_value, new_value, note)
            SELECT work_order_id + 8, user_id, changed_at, field, old_value, new_value, note
            FROM work_order_history WHERE work_order_id > 1 ORDER BY id
            """
        )
        inserted = self.rows(f"{kept} FROM work_orders WHERE id > 9")
        self.assertEqual([row[1:] for row in inserted], [row[1:] for row in imported])

    def test_imported_ones_are_found_and_changed_like_those_that_were_typed(self) -> None:
        with mock.patch.object(database, "INDEXED_AT_ONCE", 30):
            self.import_file(self.KINDS)
        self.assertEqual(self.rows("SELECT * FROM texts_being_imported"), [])
        self.assertEqual(self.ids(self.anna, work_order.search(self.anna, "was")), [2, 1])
        for number in range(1, 9):
            work_order.comment(self.anna, number, "xyzzy")
            work_order.change(self.anna, self.get(self.anna, number), work_order.TITLE, "plugh")
            work_order.change(self.anna, self.get(self.anna, number), work_order.PRIORITY, Priority.CRITICAL)
        work_order.create(self.uma, "frotz", "", Priority.LOW)
        for word in ("xyzzy", "plugh", "lug"):
            self.assertEqual(self.ids(self.anna, work_order.search(self.anna, word)), list(range(8, 0, -1)))
        self.assertEqual(self.ids(self.anna, work_order.search(self.anna, "frotz")), [9])
        self.assertEqual(database.check(self.connection), [])

    def test_a_due_date_that_came_in_counts_as_set_by_hand_and_no_target_sets_one(self) -> None:
        work_order.set_service_target(self.anna, ServiceTarget(Priority.MEDIUM, 1, 8))
        self.import_file("title,due_at\na,2026-05-01\nb,\n")
        self.assertEqual(self.rows("SELECT due_by, response_hours FROM work_orders"), [(None, None)] * 2)
        self.assertIs(self.get(self.anna, 1).due_by, work_order.DueBy.HAND)
        self.assertIsNone(self.get(self.anna, 2).due_at)

    def test_the_triggers_are_those_from_before(self) -> None:
        def triggers() -> List[Tuple[object, ...]]:
            return self.rows("SELECT tbl_name, sql FROM sqlite_master WHERE type = 'trigger' ORDER BY tbl_name, rowid")

        before = triggers()
        self.import_file("title\nx\n")
        self.assertEqual(triggers(), before)
        with self.assertRaises(sqlite3.IntegrityError):
            self.connection.execute("DELETE FROM work_orders")

    def test_each_trigger_of_a_new_row_has_its_counterpart_in_bulk(self) -> None:
        """Whoever adds one lets database.insert_staged or what is staged do the same, unless it only refuses."""
        rows = self.rows(
            """
            SELECT name FROM sqlite_master WHERE type = 'trigger'
                AND (sql LIKE '% AFTER INSERT ON work_orders%' OR sql LIKE '% AFTER INSERT ON work_order_history%')
            """
        )
        known = {
            *("work_orders_count_new", "work_orders_index_new", "work_order_notes_index", "work_orders_place_new"),
            *("work_orders_measure_new", "work_orders_measure_history"),
        }
        self.assertEqual({name for (name,) in rows}, known)


class ImportedTest(ExchangeTestCase):
    def imported(self, header: str, row: str) -> Dict[str, str]:
        """Return the last work order's exported row after an import of that one row."""
        self.assertEqual(self.import_file(f"{header}\n{row}\n"), 1)
        return self.exported()[-1]

    def test_a_title_is_enough(self) -> None:
        row = self.imported("Title", "x")
        at = row["created_at"]
        self.assertLessEqual(abs(datetime.fromisoformat(at).timestamp() - datetime.now().timestamp()), 60)
        expected = ("1", "x", "", "Medium", "", "Open", "anna", "", at, at, "", "")
        self.assertEqual(tuple(row.values()), expected)

    def test_columns_come_in_any_order_with_any_delimiter_and_line_end(self) -> None:
        for delimiter, end, mark in ((",", "\r\n", "\ufeff"), (";", "\n", ""), ("\t", "\r", "\ufeff"), (",", "\n", "")):
            with self.subTest(delimiter=delimiter, end=end, mark=mark):
                lines = (delimiter.join((" STATUS ", '"Title"', "x")), delimiter.join(("on hold", "a", "b")))
                self.import_file(mark + end.join(lines) + end)
                self.assertEqual(self.exported()[-1]["status"], "On Hold")

    def test_text_is_kept_as_if_it_were_typed(self) -> None:
        row = self.imported("title,description,category", '" Tu\u0308r\nzu ","\ta\r\nb ", Printers ')
        self.assertEqual((row["title"], row["description"], row["category"]), ("Tür zu", "a\nb", "Printers"))

    def test_words_are_taken_in_any_case_and_categories_as_they_are_spelt_already(self) -> None:
        work_order.create(self.anna, "a", "", Priority.LOW, "VPN")
        row = self.imported("title,status,priority,category", "x,in progress,CRITICAL,vpn")
        self.assertEqual((row["status"], row["priority"], row["category"]), ("In Progress", "Critical", "VPN"))
        self.import_file("title,category\nx,Switch\ny,SWITCH\n")
        self.assertEqual({row["category"] for row in self.exported()[-2:]}, {"Switch"})

    def test_the_history_has_the_old_id_and_follows_from_the_times(self) -> None:
        header = "id,title,status,created_at,resolved_at"
        self.import_file(f"{header}\nINC7,x,Resolved,2020-01-01T00:00:00Z,2020-02-01T00:00:00Z\n")
        resolved, created = work_order.history(self.anna, 1)
        self.assertEqual(
            (created.field, created.changed_at.year, created.note), ("created", 2020, "Imported; the ID was INC7.")
        )
        self.assertEqual((resolved.field, resolved.old_value, resolved.new_value), ("status", "Open", "Resolved"))
        self.assertEqual(resolved.changed_at, datetime(2020, 2, 1, tzinfo=timezone.utc))
        self.assertEqual(self.ids(self.anna, work_order.search(self.anna, "inc7")), [1])

    def test_missing_times_follow_from_the_others(self) -> None:
        a, b, c = "2020-01-01T00:00:00+00:00", "2020-01-02T00:00:00+00:00", "2020-01-03T00:00:00+00:00"
        for given, expected in (
            (("Open", a, "", ""), (a, a, "")),
            (("Open", a, b, ""), (a, b, "")),
            (("Resolved", a, "", b), (a, b, b)),
            (("Resolved", a, b, ""), (a, b, b)),
            (("Resolved", a, c, b), (a, c, b)),
            (("Resolved", "", "", b), (b, b, b)),
            (("Cancelled", a, "", b), (a, b, "")),
        ):
            with self.subTest(given=given):
                row = self.imported("title,status,created_at,updated_at,resolved_at", f"x,{','.join(given)}")
                self.assertEqual((row["created_at"], row["updated_at"], row["resolved_at"]), expected)

    def test_resolved_without_any_time_was_resolved_by_the_import(self) -> None:
        row = self.imported("title,status,created_at", "x,Resolved,2020-01-01")
        self.assertEqual(row["resolved_at"][:10], f"{datetime.now(timezone.utc):%Y-%m-%d}")
        self.assertEqual(row["updated_at"], row["resolved_at"])

    def test_it_is_on_the_audit_log_and_a_second_time_the_dry_run_says_so(self) -> None:
        self.assertIsNone(self.dry_run("title\nx\n").imported_at)
        self.import_file()
        entry = users.audit_log(self.anna, users.AuditFilter(event="imported"), None, 9)[0]
        self.assertEqual((entry.username, entry.subject), ("anna", "file.csv: 1 work order"))
        dry_run = self.dry_run()
        assert dry_run.imported_at
        self.assertIn("The same content was imported on ", work_order.describe_dry_run(dry_run)[1])
        self.assertIsNone(self.dry_run("title\ny\n").imported_at)

    def test_ids_are_new_and_go_on_from_the_last(self) -> None:
        self.create(self.uma)
        self.import_file("id,title\n1,a\n99,b\n")
        self.assertEqual(self.create(self.uma).id, 4)


class MomentTest(unittest.TestCase):
    def test_dates_are_iso_8601_with_a_zone_or_local_and_cut_to_the_second(self) -> None:
        def local(*numbers: int) -> str:
            return database.utc_text(datetime(*numbers))  # type: ignore[arg-type]

        for text, expected in {
            "2026-01-02T03:04:05+00:00": "2026-01-02T03:04:05+00:00",
            "2026-01-02T03:04:05Z": "2026-01-02T03:04:05+00:00",
            "2026-01-02t03:04:05z": "2026-01-02T03:04:05+00:00",
            "2026-01-02 03:04:05.9Z": "2026-01-02T03:04:05+00:00",
            "2026-01-02T03:04:05,123456789+0100": "2026-01-02T02:04:05+00:00",
            "2026-01-02T03:04-05": "2026-01-02T08:04:00+00:00",
            "2026-01-02T03:04:05": local(2026, 1, 2, 3, 4, 5),
            "2026-01-02 03:04": local(2026, 1, 2, 3, 4),
            "2026-01-02": local(2026, 1, 2),
            "": None,
        }.items():
            with self.subTest(text=text):
                self.assertEqual(work_order.parse_moment("created_at", text), expected)
        end_of_day = work_order.parse_moment("due_at", "2026-01-02", work_order._END_OF_DAY)
        self.assertEqual(end_of_day, local(2026, 1, 2, 23, 59, 59))

    def test_anything_else_is_refused(self) -> None:
        for text in (
            *("0000-01-01", "10000-01-01", "2026-13-01", "2026-02-30", "2026-1-2", "01/02/2026", "today", "1700000000"),
            *(
                "2026-01-02T25:00",
                "2026-01-02T24:00:00",
                "2026-01-02T03:04:60Z",
                "2026-01-02T03:04+99:00",
                "٢٠٢٦-01-02",
            ),
            *("0001-01-01T00:00:00Z", "1969-12-31", "3000-01-01", "9999-12-31T23:59:59Z"),  # no zone shows them all
            *("0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-12:00", "2026-01-02Z", "2026-01-02T03:04:05+1"),
        ):
            with self.subTest(text=text), self.assertRaisesRegex(InvalidInputError, "^Its created_at "):
                work_order.parse_moment("created_at", text)


class PeopleTest(ExchangeTestCase):
    def test_a_name_is_made_a_username(self) -> None:
        for name, username in {
            "uma": "uma",
            "UMA": "uma",
            "a..b": "a..b",
            "Anna Maria Ü.": "anna.maria.u",
            "Müller, Jörg (IT)": "muller.jorg.it",
            "joerg@example.org": "joerg.example.org",
            "ﬁnn": "finn",
            "x" * 40: "x" * 32,
            "-a-": "-a-",
        }.items():
            with self.subTest(name=name):
                self.assertEqual(users.username_from_name(name), username)

    def test_an_empty_or_reserved_one_is_refused(self) -> None:
        for name in ("???", "中村", "x", "Ü", "me", "Nobody", "(none)", "ány"):
            with self.subTest(name=name), self.assertRaises(InvalidInputError):
                users.username_from_name(name)

    def test_unknown_requesters_become_deactivated_accounts_that_no_password_opens(self) -> None:
        self.import_file("title,requester\na,Öz\nb,oz\nc,uma\n")
        self.assertEqual([row["requester"] for row in self.exported()], ["oz", "oz", "uma"])
        account = users.find(self.connection, "oz")
        self.assertEqual((account.role, account.is_active), (Role.USER, False))
        self.assertEqual(users.audit_log(self.anna, users.AuditFilter("oz"), None, 9)[0].event, "user added")
        with self.assertRaisesRegex(users.AuthenticationError, "^The username or the password is wrong"):
            users.log_in(self.connection, "oz", PASSWORD)
        users.reactivate(self.anna, "oz")
        one_time_password = users.reset_password(self.anna, "oz")
        users.log_in(self.connection, "oz", one_time_password)

    def test_or_their_rows_are_left_out(self) -> None:
        self.assertEqual(self.import_file("title,requester\na,oz\nb,uma\n", creates_accounts=False), 1)
        self.assertEqual(self.rows("SELECT username FROM users WHERE username = 'oz'"), [])

    def test_assignees_are_active_managers_and_admins_or_wrong_or_nobody(self) -> None:
        self.session("mia", Role.MANAGER, ("anna", PASSWORD))
        users.deactivate(self.anna, "mia")
        rows = "title,assignee\na,max\nb,uma\nc,mia\nd,Oz\ne,nobody\nf,\n"
        dry_run = self.dry_run(rows)
        self.assertEqual((dry_run.assignees.total, dry_run.assignees.first), (3, ["mia", "oz", "uma"]))
        self.assertEqual([row.line for row in dry_run.wrong_rows], [3, 4, 5])
        self.assertEqual(self.import_file(rows, drops_assignees=False), 3)
        self.assertEqual(
            [(row["id"], row["assignee"]) for row in self.exported()], [("1", "max"), ("2", ""), ("3", "")]
        )
        self.assertEqual(self.import_file(rows), 6)
        self.assertEqual([row["assignee"] for row in self.exported()[3:]], ["max"] + [""] * 5)

    def test_the_dry_run_lists_names_and_which_of_them_meet(self) -> None:
        dry_run = self.dry_run("title,requester,assignee\na,Uma!,\nb,Öz,\nc,O z,Max M.\nd,OZ,\n")
        expected = (
            ("Max M.", "max.m"),
            ("O z", "o.z"),
            ("Öz", "oz, as does another name"),
            ("Uma!", "uma, an existing account"),
        )
        self.assertEqual(dry_run.names, [f'"{name}" becomes {username}' for name, username in expected])
        self.assertEqual(dry_run.requesters.first, ["o.z", "oz"])

    def test_an_assignee_who_was_demoted_since_the_dry_run_stops_it_all(self) -> None:
        self.put("title,assignee\na,max\n")
        before = self.everything()[0]
        with work_order.dry_run(self.anna, "file.csv", lambda _: None) as dry_run:
            users.change_role(self.anna, "max", Role.USER)
            with self.assertRaisesRegex(ConflictError, "max can no longer be an assignee"):
                work_order.import_rows(self.anna, dry_run, True, True, lambda _: None)
        self.assertEqual(self.everything()[0], before)

    def test_a_username_that_was_taken_since_the_dry_run_stops_it_all(self) -> None:
        self.put("title,requester\na,oz\n")
        with work_order.dry_run(self.anna, "file.csv", lambda _: None) as dry_run:
            users.add_user(self.anna, "oz", Role.USER)
            with self.assertRaisesRegex(ConflictError, "taken one of the usernames"):
                work_order.import_rows(self.anna, dry_run, True, True, lambda _: None)
        self.assertEqual(self.rows("SELECT * FROM work_orders"), [])

    def test_only_admins_import(self) -> None:
        self.put("title\nx\n")
        for session in (self.uma, self.max):
            with self.assertRaises(PermissionDeniedError):
                work_order.list_imports(session)
            with self.assertRaises(PermissionDeniedError), work_order.dry_run(session, "file.csv", lambda _: None):
                pass

    def test_an_admin_who_is_demoted_after_the_dry_run_imports_nothing(self) -> None:
        self.put("title\nx\n")
        self.session("eva", Role.ADMIN, ("anna", PASSWORD))
        with work_order.dry_run(self.anna, "file.csv", lambda _: None) as dry_run:
            self.connection.execute("UPDATE users SET role = 'user' WHERE username = 'anna'")
            with self.assertRaises(PermissionDeniedError):
                work_order.import_rows(self.anna, dry_run, True, True, lambda _: None)
        self.assertEqual(self.rows("SELECT * FROM work_orders"), [])


class BadFileTest(ExchangeTestCase):
    def wrong(self, content: str) -> List[Tuple[int, str]]:
        return [tuple(row) for row in self.dry_run(content).wrong_rows]  # type: ignore[misc]

    def test_each_wrong_row_gets_the_line_on_which_it_begins_and_a_sentence(self) -> None:
        for row, sentence in (
            ("a", "It has 1 cell, but the header has 6."),
            ("a,,,,,,", "It has 7 cells, but the header has 6."),
            (",,,,,", "A title has 1 to 120 characters; this one has 0."),
            (f"{'x' * 121},,,,,", "A title has 1 to 120 characters; this one has 121."),
            (f"a,{'x' * 10_001},,,,", "A text has at most 10,000 characters; this one has 10,001."),
            ("a\0b,,,,,", "A text cannot contain NUL or an incomplete character."),
            ("a,,Done,,,", 'Its status "Done" is not one of Open, In Progress, On Hold, Resolved, Cancelled.'),
            ("a,,,2,,", 'Its priority "2" is not one of Low, Medium, High, Critical.'),
            ("a,,,,0000-01-01,", 'Its created_at "0000-01-01" is not a date from 1970 to 2999 such as'),
            ("a,,,,10000-01-01,", 'Its created_at "10000-01-01" is not a date from 1970 to 2999 such as'),
            ("a,,Resolved,,2026-01-02,2026-01-01", "Its created_at is later than its resolved_at."),
            ("a,,Open,,,2026-01-01", "Its status is Open, but it has a resolved_at."),
            ('a,"b"c,,,,', "Something follows the quote that closes a cell"),
        ):
            with self.subTest(row=row[:30]):
                content = (
                    f'title,description,status,priority,created_at,resolved_at\nok,"1\n2\n3",,,,\n\n{row}\nok,,,,,\n'
                )
                dry_run = self.dry_run(content)
                (found,) = dry_run.wrong_rows
                self.assertEqual((found.line, dry_run.good), (6, 2))
                self.assertTrue(found.reason.startswith(sentence), found.reason)

    def test_a_category_an_id_or_a_name_may_be_wrong_too(self) -> None:
        content = f"title,category,id,requester\na,{'x' * 41},,\nb,any,,\nc,,{'9' * 101},\nd,\x07,,\ne,,,{'n' * 101}\n"
        self.assertEqual([line for line, _ in self.wrong(content)], [2, 3, 4, 5, 6])

    def test_a_header_may_have_very_many_columns(self) -> None:
        header = ",".join(["title", *map(str, range(100_000))])
        self.assertEqual(self.dry_run(f"{header}\n").good, 0)

    def test_nothing_is_read_through_a_linked_folder(self) -> None:
        self.put("title\na\n")
        (self.folder / "imports").rename(self.folder / "elsewhere")
        (self.folder / "imports").symlink_to(self.folder / "elsewhere")
        with self.assertRaisesRegex(UnreadableFileError, "is a symbolic link"):
            work_order.list_imports(self.anna)

    def test_a_quote_that_never_ends_has_the_line_where_its_row_begins(self) -> None:
        self.assertEqual(
            self.wrong('title,description\na,b\nc,"d\ne,f\n'),
            [(3, "A quote that opens in this row never closes; the rest of the file belongs to it.")],
        )
        self.assertEqual(self.import_file(), 1)

    def test_a_row_of_ten_megabytes_is_one_wrong_row(self) -> None:
        megabytes = "x" * 10_000_000
        ((line, reason),) = self.wrong(f'title,description\na,"{megabytes}"\nb,c\n')
        self.assertEqual((line, reason), (2, "A text has at most 10,000 characters; this one has 10,000,000."))

    def test_a_cell_beyond_all_measure_ends_the_reading(self) -> None:
        with mock.patch.object(work_order, "LONGEST_CELL", 100):
            content = 'title,description\na,b\nc,"' + "d\n" * 100 + "e,f\n"
            ((line, reason),) = self.wrong(content)
            self.assertEqual((line, reason[:35]), (3, "A cell has more than 100 characters"))
            self.assertEqual(self.import_file(), 1)
            with self.assertRaisesRegex(UnreadableFileError, "has a line of more than 100 characters"):
                self.dry_run("title\n" + "x" * 101)

    def test_a_file_that_cannot_be_read_is_refused_in_a_sentence(self) -> None:
        for content, sentence in (
            (b"", "does not name the column title"),
            (b"name,status\na,b\n", "does not name the column title"),
            (b"title,Status, status\na,b,c\n", "names the column status twice"),
            (b"title\nok\nT\xfcr\n", "^Line 3 is not encoded in UTF-8"),
            ("title\nx\n".encode("utf-16"), "^Line 1 is not encoded in UTF-8"),
            (bytes(range(256)), "Line 2 is not encoded in UTF-8"),
            (bytes(1000), "does not name the column title"),
        ):
            with self.subTest(content=content[:20]):
                self.put_bytes(content)
                with self.assertRaisesRegex(UnreadableFileError, sentence):
                    self.dry_run()
        self.assertEqual(self.left_behind(), [])

    def test_unknown_columns_are_named_and_left_out(self) -> None:
        dry_run = self.dry_run("title,Colour,=x\na,red,1\n")
        self.assertEqual((dry_run.left_out_columns, dry_run.good), (["colour", "=x"], 1))

    @posix
    def test_only_regular_files_are_offered_and_opened(self) -> None:
        folder = self.folder / "imports"
        folder.mkdir()
        (folder / "b folder").mkdir()
        os.mkfifo(folder / "c pipe")
        (folder / "a link").symlink_to(self.path)
        with self.assertRaisesRegex(UnreadableFileError, "There is no file in .*imports; put the CSV file there"):
            work_order.list_imports(self.anna)
        self.put("title\nx\n")
        files, left_out = work_order.list_imports(self.anna)
        self.assertEqual(files, ["file.csv"])
        kinds = ("a link is left out: it is a link.", "b folder is left out: it is a folder.")
        self.assertEqual(left_out, [*kinds, "c pipe is left out: it is not a regular file."])
        for name in ("a link", "b folder", "c pipe", "nothing"):
            with self.assertRaises(UnreadableFileError), work_order.dry_run(self.anna, name, lambda _: None):
                pass

    def test_the_report_has_all_and_the_dry_run_the_first_ten(self) -> None:
        dry_run = self.dry_run("title,requester\n" + ",\n" * 30 + "a,Öz\n")
        self.assertEqual((dry_run.wrong, [row.line for row in dry_run.wrong_rows]), (30, list(range(2, 12))))
        assert dry_run.report
        lines = dry_run.report.read_text(encoding="utf-8").splitlines()
        self.assertEqual(lines[29], "Line 31: A title has 1 to 120 characters; this one has 0.")
        self.assertEqual(lines[30:], ["Unknown requester: oz", 'Name: "Öz" becomes oz'])
        self.assertIn(f"All of this is in {dry_run.report}.", work_order.describe_dry_run(dry_run))

    def test_a_good_file_needs_no_report(self) -> None:
        self.assertIsNone(self.dry_run("title\nx\n").report)
        self.assertEqual(list((self.folder / "exports").iterdir()), [])

    def test_a_report_that_cannot_be_written_ends_it_and_the_next_one_works(self) -> None:
        exports = self.folder / "exports"
        exports.write_text("in the way")
        with self.assertRaises(database.OutputError):
            self.dry_run("title,id\n,\n")
        exports.unlink()
        self.assertEqual(self.dry_run().wrong, 1)

    def test_the_dry_run_says_how_long_others_wait_and_when_they_are_refused(self) -> None:
        dry_run = self.dry_run("title\nx\n")
        for existing, good, seconds, locked, refusal in (
            (0, 1, 1, 1, ""),
            (0, 100_000, 10, 1, ""),
            (100_000, 100_000, 10, 3, ""),
            (0, 1_000_000, 100, 10, " After 10 s, a save is refused."),
        ):
            with self.subTest(existing=existing, good=good):
                self.assertEqual(
                    work_order.describe_dry_run(dry_run._replace(existing=existing, good=good))[-1],
                    f"The import takes about {seconds} s. Others who save wait for up to 1 s, "
                    f"and at the end for about {locked} s.{refusal}",
                )
        self.assertEqual((dry_run.existing, self.import_file(), self.dry_run().existing), (0, 1, 1))


class WholeOrNothingTest(ExchangeTestCase):
    ROWS = "title,requester\n" + "a,oz\n" * 50

    def stop_at(self, target: object, name: str, stop: Callable[..., None]) -> None:
        """Import, and do something else instead of a step."""
        self.put(self.ROWS)
        before = self.everything()
        with mock.patch.object(target, name, stop), self.assertRaises(main.Cancelled):
            self.import_file()
        self.assertEqual(self.everything(), before)
        self.assertEqual(database.find_differences(self.connection), [])
        self.assertEqual(self.left_behind(), [])
        self.assertEqual(self.rows("PRAGMA foreign_keys"), [(1,)])
        self.assertEqual(self.import_file(), 50)

    def test_whatever_fails_nothing_was_imported_and_no_id_is_lost(self) -> None:
        def stop(*_: object) -> None:
            raise main.Cancelled

        for target, name in ((work_order, "_stage_work_orders"), (database, "insert_staged"), (users, "audit")):
            with self.subTest(step=name):
                self.use(self.path.read_bytes())
                self.stop_at(target, name, stop)
                self.path.unlink()
                super().setUp()

    def test_the_progress_can_stop_it(self) -> None:
        def stop(_: int) -> None:
            raise main.Cancelled

        def stop_when_half_is_indexed(count: int) -> None:
            if count > 37:
                self.assertIn(len(self.rows("SELECT * FROM texts_being_imported")), range(25, 50))
                self.connection.set_progress_handler(lambda: 1, 1)  # as Ctrl-C does
                stop(count)

        self.put(self.ROWS)
        before = self.everything()
        with self.assertRaises(main.Cancelled), work_order.dry_run(self.anna, "file.csv", stop):
            pass
        for progress in (stop, stop_when_half_is_indexed):
            with mock.patch.object(database, "INDEXED_AT_ONCE", 50), self.assertRaises(main.Cancelled):
                self.import_file(progress=progress)
            self.assertEqual(self.everything(), before)
            self.assertEqual(database.find_differences(self.connection), [])

    def test_what_is_indexed_already_is_neither_found_nor_a_fault(self) -> None:
        def look(_: int) -> None:
            self.assertEqual(work_order.read_page(self.anna, Query(text="a"), (), 9).total, 0)
            self.assertEqual(database.check(self.connection), [])

        self.assertEqual(self.import_file(self.ROWS, progress=look), 50)

    def test_ids_whose_texts_stay_in_the_index_are_never_given_again(self) -> None:
        def stop(count: int) -> None:
            if count > 25:
                raise main.Cancelled

        self.put(self.ROWS)
        with mock.patch.object(database, "_FORGET_TEXTS", ("this fails",)), self.assertRaises(sqlite3.OperationalError):
            self.import_file(progress=stop)
        self.assertEqual(self.create(self.uma).id, 51)
        self.assertEqual(database.check(self.connection), [])
        self.assertEqual(self.import_file(), 50)
        self.assertEqual(database.check(self.connection), [])

    def test_of_two_imports_at_once_the_later_one_gets_through(self) -> None:
        other = Session(database.connect(self.path), 1, 1)
        self.addCleanup(other.connection.close)
        imported: List[int] = []

        def import_too(count: int) -> None:
            if count > 25 and not imported:
                imported.append(0)
                with work_order.dry_run(other, "other.csv", lambda _: None) as dry_run:
                    imported.append(work_order.import_rows(other, dry_run, True, True, lambda _: None))

        self.put("title\nother\n", "other.csv")
        with (
            mock.patch.object(database, "INDEXED_AT_ONCE", 50),
            self.assertRaisesRegex(database.ApplicationError, "^Somebody has begun another import. "),
        ):
            self.import_file(self.ROWS, progress=import_too)
        self.assertEqual(imported, [0, 1])
        self.assertEqual(self.rows("SELECT id, title FROM work_orders"), [(51, "other")])
        self.assertEqual(database.check(self.connection), [])

    def test_the_database_can_interrupt_it_anywhere(self) -> None:
        self.put(self.ROWS)
        before = self.everything()
        for steps in (1, 100, 1_000, 3_000, 10_000):
            calls = iter([0] * (steps // 100) + [1] * 10**6)
            self.connection.set_progress_handler(lambda calls=calls: next(calls), 100)  # type: ignore[misc]
            with self.subTest(steps=steps), self.assertRaisesRegex(sqlite3.OperationalError, "interrupted"):
                self.import_file()
            self.connection.set_progress_handler(None, 0)
            self.assertEqual(self.everything(), before)
            self.assertEqual(self.left_behind(), [])

    @posix
    def test_what_is_killed_leaves_nothing_but_a_hidden_file_that_the_next_import_removes(self) -> None:
        after_insertion = (
            "insert = database.insert_staged; database.insert_staged = lambda *args: (insert(*args), die())"
        )
        for where in ("database.stage_schema = die", after_insertion):
            with self.subTest(where=where):
                self.put(self.ROWS)
                code = f"{DIE}{where}\n{IMPORT}"
                ended = run_command([sys.executable, "-c", code], b"", environment(self.path, PYTHONPATH=str(ROOT)))
                self.assertEqual(ended.code, -signal.SIGKILL, ended.output)
                self.connection.close()
                self.connection = database.connect(self.path)
                self.addCleanup(self.connection.close)
                self.anna = Session(self.connection, 1, 1)
                self.assertEqual(self.rows("SELECT * FROM work_orders"), [])
                self.assertEqual(self.rows("SELECT * FROM users WHERE username = 'oz'"), [])
                self.assertEqual(database.check(self.connection), [])
        self.assertEqual(len(self.rows("SELECT * FROM texts_being_imported")), 50)
        self.assertEqual(self.import_file(), 50)
        self.assertEqual(database.check(self.connection), [])
        self.assertEqual(self.left_behind(), [])

    def test_others_save_until_the_last_moment(self) -> None:
        other = database.connect(self.path)
        self.addCleanup(other.close)
        uma = Session(other, 3, 1)

        def save(_: int) -> None:
            work_order.create(uma, "meanwhile", "", Priority.LOW)

        self.put(self.ROWS)
        with work_order.dry_run(self.anna, "file.csv", save) as dry_run:
            work_order.import_rows(self.anna, dry_run, True, True, save)
        titles = self.rows("SELECT id, title FROM work_orders WHERE title = 'meanwhile'")
        self.assertEqual(titles, [(1, "meanwhile"), (52, "meanwhile"), (53, "meanwhile")])
        self.assertEqual(len(self.rows("SELECT * FROM work_orders")), 53)
        self.assertEqual(database.check(self.connection), [])


class ConversationTest(ExchangeTestCase):
    IMPORTING = ("Data and audit", "Import work orders")

    def test_export_from_a_list_and_of_all(self) -> None:
        self.create(self.uma)
        output = self.run_as(
            "max", "View work orders", "Export to CSV", "", 0, "Data and audit", "Export work orders", "y"
        )
        self.assertRegex(output, r"History too\? \[no\]: \n1 work order exported to \S+exports/test-\S+\.csv\.\n")
        self.assertRegex(output, r"1 work order exported to \S+\.csv and \S+-history\.csv\.\n")

    def test_each_role_has_its_options(self) -> None:
        self.create(self.uma)
        managers, others = (
            self.run_as(username, "View work orders", 0, "Data and audit", 0) for username in ("max", "uma")
        )
        self.assertIn("  7. Export to CSV\n", managers)
        self.assertNotIn("Export", others)
        self.assertIn("Data and audit\n  2. Export work orders\n  0. Back\n", managers)
        self.assertIn("Error: Choose one of the numbers", others)

    def test_an_empty_list_has_nothing_to_export(self) -> None:
        self.assertNotIn("Export to CSV", self.run_as("max", "View work orders"))

    def test_an_import_asks_only_what_it_has_to(self) -> None:
        self.put("title\nx\n")
        output = self.run_as("anna", *self.IMPORTING, "file", "y")
        self.assertIn("  1. file.csv\nFile: \nfile.csv: 1 row, 0 wrong.\n", output)
        self.assertIn(
            "1 work order will be created.\nAre you sure? [no]: \n1 work order imported from file.csv.\n", output
        )

    def test_an_import_asks_all_in_the_order_that_was_agreed(self) -> None:
        self.put("title,requester,assignee\na,Öz,\nb,,uma\n,,\nd,,\n")
        output = self.run_as("anna", *self.IMPORTING, 1, "y", "y", "y", "y")
        questions = re.findall(r"^(.*\?) \[no\]: $", output, re.MULTILINE)
        self.assertEqual(
            questions,
            [
                "Create 1 deactivated account?",
                "Set unknown or unfit assignees to nobody?",
                "Leave out 1 wrong line?",
                "Are you sure?",
            ],
        )
        self.assertIn("3 work orders imported from file.csv.\n", output)

    def test_no_is_what_an_empty_answer_takes_and_nothing_is_saved(self) -> None:
        self.put("title,requester,assignee\na,Öz,\nb,,uma\n,,\nd,,\n")
        for answers in ((1, "", "", ""), (1, "y", "y", "y", "")):
            with self.subTest(answers=answers):
                output = self.run_as("anna", *self.IMPORTING, *answers)
                self.assertIn("Cancelled. Nothing was saved.\n", output)
        self.assertEqual(self.rows("SELECT * FROM work_orders"), [])
        self.assertEqual(self.left_behind(), [])

    def test_the_wrong_lines_are_counted_after_the_answers(self) -> None:
        self.put("title,requester,assignee\na,Öz,\nb,,uma\n,,\nd,,\n")
        output = self.run_as("anna", *self.IMPORTING, 1, "", "", "y", "y")
        self.assertIn("Leave out 3 wrong lines? [no]: \n1 work order will be created.\n", output)
        self.assertIn("1 work order imported from file.csv.\n", output)

    def test_a_file_without_a_good_row_ends_in_an_error(self) -> None:
        self.put("title\n\n,\n")
        output = self.run_as("anna", *self.IMPORTING, 1)
        self.assertIn("Error: file.csv has no row that can be imported.\n", output)

    def test_without_a_folder_it_is_said_where_it_should_be(self) -> None:
        self.assertRegex(
            self.run_as("anna", *self.IMPORTING), r"Error: \S+imports cannot be read: .* Put the CSV file there\."
        )

    @needs_terminal
    def test_on_a_terminal_ctrl_c_leaves_nothing(self) -> None:
        self.put("title\n" + "x\n" * 200_000)
        talk = self.talk((80, 24))
        talk.log_in("anna")
        talk.choose(*self.IMPORTING)
        talk.answer("File: ", "1")
        talk.expect("Rows read: ")
        talk.interrupt()
        talk.expect("Cancelled. Nothing was saved.")
        talk.expect("Data and audit")
        self.assertEqual(self.rows("SELECT * FROM work_orders"), [])
        self.assertEqual(self.left_behind(), [])


if __name__ == "__main__":
    unittest.main()
