"""Export: what goes out is of one moment, is a CSV file that other programs read, and runs nothing in a spreadsheet."""

import re
import sqlite3
from pathlib import Path
from typing import Callable, List

from support import DatabaseTestCase

import database
import main
import users
import work_order
from users import PermissionDeniedError, Role, Session
from work_order import Filter, Priority, Query, Sort, Status

EVERYTHING = Query(sort=Sort.OLDEST)
HEADER = (
    "id,title,description,priority,category,status,requester,assignee,created_at,updated_at,resolved_at,due_at,"
    "spent_minutes"
)


class ExportTest(DatabaseTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.create(self.uma, 'Say "Tür", please', "one\ntwo")

    def export(
        self,
        session: Session,
        query: Query = EVERYTHING,
        with_history: bool = False,
        progress: Callable[[int], None] = lambda _: None,
    ) -> List[Path]:
        return work_order.export(session, query, with_history, progress)[0]

    def files(self) -> List[Path]:
        """Return all files of exports, and those beside the database that would have been left behind."""
        return [*(self.folder / "exports").iterdir(), *self.folder.glob(".*")]

    def test_it_is_rfc_4180_in_utf_8_with_a_mark_and_times_are_utc(self) -> None:
        created = f"{self.get(self.uma, 1).created_at:%Y-%m-%d %H:%M:%S}"
        row = f'1,"Say ""Tür"", please","one\ntwo",Medium,,Open,uma,,{created},{created},,,0'
        (path,) = self.export(self.anna)
        self.assertEqual(path.read_bytes().decode("utf-8"), f"\ufeff{HEADER}\r\n{row}\r\n")

    def test_a_list_comes_whole_in_its_order_with_its_filter_and_without_deleted_ones(self) -> None:
        for number in range(10):
            session = self.uma if number % 2 else self.ugo
            self.create(session, f"Printer {number}", priority=Priority(number % 4 + 1))
        work_order.delete(self.anna, 2)
        queries = (Query(Filter(requester="uma")), work_order.search(self.anna, "printer"))
        for query in (*queries, *(Query(sort=sort) for sort in Sort)):
            with self.subTest(query=query):
                text = self.export(self.anna, query)[0].read_text(encoding="utf-8-sig")
                ids = re.findall(r"^(\d+),", text, re.MULTILINE)
                self.assertEqual(ids, [str(number) for number in self.ids(self.anna, query)])

    def test_more_than_are_read_at_once_are_of_one_moment_though_others_save_meanwhile(self) -> None:
        other = Session(database.connect(self.path), 1, 1)
        self.addCleanup(other.connection.close)
        counts: List[int] = []

        def save(count: int) -> None:
            work_order.comment(other, 2346, "meanwhile")
            counts.append(count)

        columns = "title, requester_id, created_at, updated_at"
        numbers = "WITH RECURSIVE counter (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM counter LIMIT 2345)"
        self.connection.execute(
            f"INSERT INTO work_orders ({columns}) {numbers} SELECT {columns} FROM work_orders, counter"
        )
        path, history = self.export(self.anna, with_history=True, progress=save)
        self.assertEqual(counts, [1000, 2000, 2346])
        self.assertEqual(path.read_bytes().count(b"\r\n"), 2347)
        self.assertNotIn("meanwhile", history.read_text(encoding="utf-8"))

    def test_no_cell_is_a_formula(self) -> None:
        for start in ("=", "+", "-", "@"):
            self.create(self.uma, f"{start}1", f"{start}1")
        (path,) = self.export(self.anna)
        self.assertNotRegex(path.read_text(encoding="utf-8"), '[,"\n][=+@-]')

    def test_the_history_of_what_was_exported_goes_into_a_second_file(self) -> None:
        self.create(self.ugo)
        self.change_status(self.anna, 1, Status.ON_HOLD, "=waits")
        work_order.comment(self.anna, 2, "not mine")
        _, path = self.export(self.anna, Query(Filter(requester="uma")), with_history=True)
        text = re.sub(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", "AT", path.read_text(encoding="utf-8-sig"))
        header = "work_order_id,changed_at,username,field,old_value,new_value,note\n"
        self.assertEqual(text, f"{header}1,AT,uma,created,,,\n1,AT,anna,status,Open,On Hold,'=waits\n")

    def test_it_is_recorded(self) -> None:
        (path,) = self.export(self.max)
        entry = users.audit_log(self.anna, users.AuditFilter(event="exported"), None, 9)[0]
        self.assertEqual((entry.username, entry.subject), ("max", f"{path.name}: 1 work order"))

    def test_one_that_fails_leaves_no_file(self) -> None:
        def stop(_: int) -> None:
            self.assertEqual([path.suffix for path in self.files()], [".partial"] * 3)
            raise main.Cancelled

        def demote(_: int) -> None:
            work_order.change_role(self.anna, "max", Role.USER)

        def keep_from_recording(_: int) -> None:
            refusal = "BEFORE INSERT ON audit_log BEGIN SELECT RAISE(ABORT, 'not recorded'); END"
            self.connection.execute(f"CREATE TRIGGER refuses {refusal}")

        for meanwhile, session, fault in (
            (stop, self.max, main.Cancelled),
            (demote, self.max, PermissionDeniedError),
            (keep_from_recording, self.anna, sqlite3.IntegrityError),
        ):
            with self.subTest(fault=fault):
                with self.assertRaises(fault):
                    self.export(session, with_history=True, progress=meanwhile)
                self.assertEqual(self.files(), [])

    def test_a_list_and_all_are_exported_from_their_menus(self) -> None:
        self.create(self.ugo, "Newer")
        answers = ("View work orders", "Filter", "requester uma", "Export to CSV", "", 0)
        output = self.run_as("max", *answers, "Data and audit", "Export work orders", "y")
        self.assertRegex(output, r"History too\? \[no\]: \n1 work order exported to \S+exports/test-\S+\.csv\.\n")
        ((name, _),) = re.findall(r"2 work orders exported to ((\S+)\.csv) and \2-history\.csv\.\n", output)
        self.assertTrue(Path(name).read_text(encoding="utf-8").splitlines()[-1].startswith("2,Newer,"))
