"""Export: what goes out is of one moment, is a CSV file that other programs read, and runs nothing in a spreadsheet."""

import csv
import os
import re
import signal
import sqlite3
import stat
import sys
import unittest
from pathlib import Path
from typing import Callable, Dict, List

from support import ROOT, DatabaseTestCase, environment, run_command

import database
import main
import users
import work_order
from users import PermissionDeniedError, Role, Session
from work_order import Filter, Priority, Query, Sort, Status

posix = unittest.skipIf(os.name == "nt", "Windows has no links, pipes, modes and signals of this kind")
EVERYTHING = Query(sort=Sort.OLDEST)
HEADER = (
    "id,title,description,priority,category,status,requester,assignee,created_at,updated_at,resolved_at,due_at,"
    "spent_minutes"
)


class ExportTest(DatabaseTestCase):
    def export(
        self,
        query: Query = EVERYTHING,
        with_history: bool = False,
        progress: Callable[[int], None] = lambda _: None,
    ) -> List[Path]:
        return work_order.export(self.anna, query, with_history, progress).paths

    def exported(self, query: Query = EVERYTHING) -> List[Dict[str, str]]:
        """Return the rows of an export as a CSV reader of another program sees them."""
        with self.export(query)[0].open(encoding="utf-8-sig", newline="") as file:
            return list(csv.DictReader(file))

    def test_it_is_rfc_4180_in_utf_8_with_a_mark_and_times_are_utc(self) -> None:
        self.create(self.uma, 'Say "Tür", please', "one\ntwo")
        (path,) = self.export()
        created = f"{self.get(self.uma, 1).created_at:%Y-%m-%d %H:%M:%S}"
        row = f'1,"Say ""Tür"", please","one\ntwo",Medium,,Open,uma,,{created},{created},,,0'
        self.assertEqual(path.read_bytes().decode("utf-8"), f"\ufeff{HEADER}\r\n{row}\r\n")

    def test_all_come_in_the_order_of_their_ids_without_deleted_ones(self) -> None:
        for priority in (Priority.LOW, Priority.CRITICAL, Priority.HIGH):
            self.create(self.uma, priority=priority)
        work_order.delete(self.anna, 2)
        self.assertEqual([row["id"] for row in self.exported()], ["1", "3"])

    def test_a_list_comes_whole_in_its_order_with_its_filter(self) -> None:
        for number in range(10):
            session = self.uma if number % 2 else self.ugo
            self.create(session, f"Printer {number}", priority=Priority(number % 4 + 1))
        for query in (
            *(Query(sort=sort) for sort in Sort),
            Query(Filter(requester="uma")),
            Query(Filter(priority=Priority.HIGH), Sort.NEWEST),
            work_order.search(self.anna, "printer"),
        ):
            with self.subTest(query=query):
                self.assertEqual([int(row["id"]) for row in self.exported(query)], self.ids(self.anna, query))

    def test_more_than_are_read_at_once(self) -> None:
        self.create(self.uma)
        columns = "title, requester_id, created_at, updated_at"
        numbers = "WITH RECURSIVE counter (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM counter LIMIT 2345)"
        self.connection.execute(
            f"INSERT INTO work_orders ({columns}) {numbers} SELECT {columns} FROM work_orders, counter"
        )
        counts: List[int] = []
        (path,) = self.export(progress=counts.append)
        self.assertEqual(counts, [1000, 2000, 2346])
        self.assertEqual(path.read_bytes().count(b"\r\n"), 2347)

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
        self.change_status(self.anna, 1, Status.ON_HOLD, "=waits")
        work_order.comment(self.anna, 2, "not mine")
        _, path = self.export(Query(Filter(requester="uma")), with_history=True)
        text = re.sub(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", "AT", path.read_text(encoding="utf-8-sig"))
        header = "work_order_id,changed_at,username,field,old_value,new_value,note\n"
        self.assertEqual(text, f"{header}1,AT,uma,created,,,\n1,AT,anna,status,Open,On Hold,'=waits\n")

    def test_others_save_meanwhile_and_it_is_of_one_moment(self) -> None:
        self.create(self.uma)
        other = database.connect(self.path)
        self.addCleanup(other.close)
        paths = self.export(
            with_history=True, progress=lambda _: work_order.comment(Session(other, 1, 1), 1, "saved meanwhile")
        )
        self.assertEqual(len(work_order.history(self.anna, 1)), 2)
        self.assertNotIn("saved meanwhile", paths[1].read_text(encoding="utf-8"))

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
            work_order.change_role(self.anna, "max", Role.USER, None)

        with self.assertRaises(PermissionDeniedError):
            work_order.export(self.max, EVERYTHING, True, demote)
        self.assertEqual(list((self.folder / "exports").iterdir()), [])

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

    def test_what_is_stopped_leaves_no_file(self) -> None:
        self.create(self.uma)

        def stop(_: int) -> None:
            raise main.Cancelled

        with self.assertRaises(main.Cancelled):
            self.export(with_history=True, progress=stop)
        self.assertEqual(list((self.folder / "exports").iterdir()), [])
        self.assertEqual(list(self.folder.glob(".*")), [])

    @posix
    def test_what_is_killed_leaves_a_hidden_file_that_the_next_export_removes(self) -> None:
        self.create(self.uma)
        code = """
import os, signal
import database, work_order
from users import Session
session = Session(database.connect(database.default_path()), 1, 1)
work_order.export(session, work_order.Query(), True, lambda _: os.kill(os.getpid(), signal.SIGKILL))
"""
        ended = run_command([sys.executable, "-c", code], b"", environment(self.path, PYTHONPATH=str(ROOT)))
        self.assertEqual(ended.code, -signal.SIGKILL, ended.output)
        for path in (self.folder / "exports").iterdir():
            self.assertRegex(path.name, r"^\..*\.partial$")
        (path,) = self.export()
        self.assertEqual(list((self.folder / "exports").iterdir()), [path])
        self.assertEqual(list(self.folder.glob(".*")), [])

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
        before = [path for _ in range(3) for path in self.export(with_history=True)]
        self.assertEqual(len({*before}), 6)
        for path, history in zip(before[::2], before[1::2]):
            self.assertEqual(history.name, f"{path.stem}-history.csv")


class ConversationTest(DatabaseTestCase):
    def test_from_a_list_and_of_all(self) -> None:
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
        self.assertIn("7. Export to CSV", managers)
        self.assertNotIn("Export", others)


if __name__ == "__main__":
    unittest.main()
