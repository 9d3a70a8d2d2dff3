"""Import: any tracker's file comes in as it is, each row once, and of a bad file nothing."""

import contextlib
import itertools
import os
import re
import signal
import sys
import unittest
from datetime import datetime, timedelta
from typing import Any, Dict, Iterator, List, Tuple

from support import PASSWORD, ROOT, DatabaseTestCase, environment, run_command

import database
import users
import work_order
from users import InvalidInputError, PermissionDeniedError, Role
from work_order import ADD, SKIP, UPDATE, Import, Priority, Query, Sort, Status, UnreadableFileError

SERVICENOW = """\
Number,Short description,Caller,Priority,State,Category,Assigned to,Opened,Updated,Resolved,Tags,Work notes
INC23,VPN is slow,Łukasz Lis,1 - Critical,Closed,Network,max,29/02/2016 01:23,03/03/2016 10:00,02/03/2016 09:00,,"Sent
the log"
INC24,Mouse,王小明,3 - Moderate,In Progress,,max,01/03/2016 08:00,02/03/2016 08:00,,,
INC25,Toner,Иван Петров,4 - Low,Canceled,Printers,Lena Berg,28/02/2016 08:00,02/03/2016 08:00,,,
INC23,VPN,Łukasz Lis,2 - High,In Progress,Network,max,29/02/2016 01:23,01/03/2016 10:00,,,
"""


def utc(*numbers: int) -> str:
    """Return a local time as the database stores it."""
    return database.utc_text(datetime(*numbers))  # type: ignore[arg-type]


def nothing(_: int) -> None:
    """Show no progress."""


class ImportTestCase(DatabaseTestCase):
    def put(self, content: object, name: str = "incident.csv") -> None:
        (self.folder / "imports").mkdir(exist_ok=True)
        data = content if isinstance(content, bytes) else str(content).encode()
        (self.folder / "imports" / name).write_bytes(data)

    @contextlib.contextmanager
    def staged(self, content: object, name: str = "incident.csv", **answers: Any) -> Iterator[Import]:
        """Read the rows of a file about which this was answered; `lines` are what is said before they are stored."""
        self.put(content, name)
        with work_order.open_import(self.anna, name) as imported:
            imported.answer(**answers)
            work_order.stage(imported, nothing)
            self.lines = work_order.describe_import(imported)
            yield imported

    def import_file(self, content: object, name: str = "incident.csv", repeat: str = SKIP, **answers: Any) -> Import:
        with self.staged(content, name, **answers) as imported:
            self.backup = work_order.import_rows(imported, repeat, nothing)
        return imported

    def stored(self, *columns: str) -> List[Tuple[object, ...]]:
        """Return these columns of all work orders in the order of their IDs, people by their usernames."""
        username = "(SELECT username FROM users WHERE id = {}_id)"
        names = [username.format(name) if name in ("requester", "assignee") else name for name in columns]
        return self.rows(f"SELECT {', '.join(names)} FROM work_orders ORDER BY id")

    def comments(self) -> List[Tuple[object, ...]]:
        return self.rows("SELECT changed_at, note FROM work_order_history WHERE field = 'comment' ORDER BY id")


class FileTest(ImportTestCase):
    def test_a_file_as_servicenow_writes_it_comes_in_after_a_backup(self) -> None:
        self.import_file(SERVICENOW)
        self.assertEqual(
            self.stored("title", "priority", "status", "category", "requester", "assignee", "source", "source_id"),
            [
                ("Toner", 1, "Cancelled", "Printers", "person.2", "lena.berg", "incident", "INC25"),
                ("VPN is slow", 4, "Resolved", "Network", "lukasz.lis", "max", "incident", "INC23"),
                ("Mouse", 2, "In Progress", None, "person.1", "max", "incident", "INC24"),
            ],
        )
        (row,) = self.rows("SELECT created_at, updated_at, resolved_at FROM work_orders WHERE status = 'Resolved'")
        self.assertEqual(row, (utc(2016, 2, 29, 1, 23), utc(2016, 3, 3, 10), utc(2016, 3, 2, 9)))
        self.assertEqual(self.comments(), [(utc(2016, 3, 3, 10), "Sent\nthe log")])
        self.assertEqual(database.check(self.connection), [])
        with contextlib.closing(database.connect(self.backup)) as backup:
            self.assertEqual(backup.execute("SELECT id FROM work_orders").fetchall(), [])
        told = "1 row, an earlier state of a work order, with the same ID, is left out (first row 5, line 6: INC23)."
        self.assertIn(told, self.lines)

    def test_encodings_and_delimiters_are_found_and_what_is_left_out_may_repeat_or_be_empty(self) -> None:
        for content, cells in (
            ("\ufeffID;Titre;Créé par\n12;Écran, noir;Zoé;;\n", ["12", "Écran, noir", "Zoé"]),
            ("ID\tTitel\tAnforderer\n13\tTüröffner\tZoé\n".encode("windows-1252"), ["13", "Türöffner", "Zoé"]),
            ("ID,Subject,Caller\n7,Łódź,東京\n".encode("utf-16"), ["7", "Łódź", "東京"]),
            ('sep=^\nID^Title^Caller\n8^"b,c\n^d"^max\n', ["8", "b,c\n^d", "max"]),
            (f"ID,Title,Caller{',,x,x' * 400}\n9,e,uma{',,x,x' * 400}\n", ["9", "e", "uma"]),
        ):
            with self.subTest(cells=cells), self.staged(content) as imported:
                self.assertEqual((imported.header[0], imported.examples[:3], imported.new), ("ID", cells, 1))

    def test_one_that_cannot_be_read_is_refused_in_a_sentence(self) -> None:
        too_long, unclosed = "has more than 1,000,000 characters", b'title,x\na,"b\n'
        for content, sentence in (
            (b"\n\n,,\n", "has no rows"),
            (b"PK\x03\x04", "is a workbook or an archive; save it as CSV"),
            (b"<!doctype html>", r"is a page \(HTML or XML\)"),
            (b"title\nx\0y\n", "has NUL characters"),
            (unclosed + b"c,d\n" * 9, f"row on line 2 {too_long}, or a quote"),
            (unclosed + b"c,d\n" * 300_000, f"row on line 2 {too_long}, or a quote"),
            (b"title," + b"x," * 3_000, "has more than 2,000 columns"),
            (b"title," + b"x," * 1_000_000, too_long),
            (b"title," + b'"\n",' * 1_000_000, too_long),
            (b"title\n", "has no row that can be imported"),
        ):
            with self.subTest(content=content[:20]), self.assertRaisesRegex(UnreadableFileError, sentence):
                self.import_file(content)
        self.assertEqual(self.stored("id"), [])
        self.assertEqual(self.rows("SELECT name FROM temp.sqlite_master"), [])

    def test_wrong_rows_are_told_by_kind_and_the_report_has_each(self) -> None:
        right = "7,i,2020-01-02,,\n8,j,2020-01-03\n9,k,2020-01-04\n"
        wrong = '1,a,never\n2,b,soon\n\n3,"c\nd",2020-01-01\n4,"g"h,\n5,e\n6,f,x,y\n'
        with self.staged(f"id,title,created\n{wrong}{right}") as imported:
            self.assertEqual((imported.new, imported.wrong), (4, 5))
        no_date = "wrong: created_at is no date from 1970 to 2999"
        self.assertIn(f"2 rows, {no_date} (first row 2, line 2: never).", self.lines)
        (report,) = (self.folder / "exports").iterdir()
        expected = (
            f"Row 2, line 2, {no_date}: never\nRow 3, line 3, {no_date}: soon\n"
            "Row 6, line 7, wrong: something follows the quote that closes a cell\n"
            "Row 7, line 8, wrong: it has 2 cells instead of 3\nRow 8, line 9, wrong: it has 4 cells instead of 3\n"
        )
        self.assertEqual(report.read_text(encoding="utf-8"), expected)

    @unittest.skipIf(os.name == "nt", "needs POSIX")
    def test_only_regular_files_are_offered_and_opened_and_none_through_a_link(self) -> None:
        folder, none = self.folder / "imports", "There is no file in .*imports .links are not followed.; put the CSV"
        (folder / "b folder").mkdir(parents=True)
        os.mkfifo(folder / "c pipe")
        (folder / "a link").symlink_to(self.path)
        with self.assertRaisesRegex(UnreadableFileError, none):
            work_order.list_imports(self.anna)
        self.put("title\nx\n")
        self.assertEqual(work_order.list_imports(self.anna), ["incident.csv"])
        for name in ("a link", "b folder", "c pipe", "nothing"):
            with self.assertRaises(UnreadableFileError), work_order.open_import(self.anna, name):
                pass
        folder.symlink_to(folder.rename(self.folder / "elsewhere"))
        with self.assertRaisesRegex(UnreadableFileError, none):
            work_order.list_imports(self.anna)

    def test_only_admins_import(self) -> None:
        self.put("title\nx\n")
        for session in (self.uma, self.max):
            with self.assertRaises(PermissionDeniedError):
                work_order.list_imports(session)
            with self.assertRaises(PermissionDeniedError), work_order.open_import(session, "incident.csv"):
                pass


class CellsTest(ImportTestCase):
    def proposed(self, content: str) -> Dict[str, str]:
        """Return what each column would become."""
        self.put(content)
        with work_order.open_import(self.anna, "incident.csv") as imported:
            return dict(zip(imported.header, imported.answers.columns))

    def test_of_columns_with_the_same_meaning_the_likeliest_is_taken_and_something_is_the_title(self) -> None:
        header, row = "Complaint Type,Descriptor,Created Date,Closed,Issue id,Key", "Noise,Loud,2020-01-02,True,1,A-1"
        meanings = ["category", "title", "created_at", "", "", "id"]
        self.assertEqual(self.proposed(f"{header}\n{row}\n"), dict(zip(header.split(","), meanings)))
        self.assertEqual(self.proposed("x,y,z\n1,Broken lamp in the hall,ab\n")["y"], "title")

    def test_each_name_and_word_of_the_tables_means_one_thing_whatever_its_form(self) -> None:
        tables = [names.split(",") for names in work_order.COLUMN_NAMES.values()]
        for row in itertools.zip_longest(*tables, fillvalue=""):
            forms = ["_".join(name.upper().split()) for name in row]
            expected = {form: target for form, target in zip(forms, work_order.COLUMN_NAMES) if form}
            if "title" not in expected.values():
                expected["Title"] = "title"
            self.assertEqual(self.proposed(";".join(expected)), expected)
        with self.staged("Title\na\n") as imported:
            for word, words in work_order.USUAL_WORDS.items():
                column = "status" if isinstance(word, Status) else "priority"
                for name in words.split(","):
                    text = f"{column} {' '.join(name.upper().split())}"
                    self.assertIs(work_order.word_meaning(imported, text), word, text)

    def test_only_whole_words_are_understood_the_others_asked_once_each_and_empty_ones_are_no_values(self) -> None:
        rows = "a,In Review,1\nb,in review,2\nc,C,P2\nd,closed,2 - High\ne,3 - Resolved,?\nf,Waits for us,-\ng,NULL,nil"
        content, words = f"Title,Status,Priority\n{rows}", {"priority 1": "Critical"}
        with self.staged(content, words=words, empty_word="nil") as imported:
            asked = {word: (count, work_order.guess_word(word)) for word, count in work_order.unknown_words(imported)}
            work_order.import_rows(imported, SKIP, nothing)
        hold, resolved = Status.ON_HOLD, Status.RESOLVED
        holds = {"status in review": (2, hold), "status c": (1, hold), "status waits for us": (1, hold)}
        self.assertEqual(asked, {**holds, "priority 2": (1, None)})
        told = "in review = On Hold, 1 = Critical, 2 = None, c = On Hold, p2 = High, closed = Resolved, 2 - high = High"
        self.assertIn(f"Words: {told}, 3 - resolved = Resolved, waits for us = On Hold.", self.lines)
        statuses = (hold, hold, hold, resolved, resolved, hold, Status.OPEN)
        self.assertEqual(self.stored("status", "priority"), [*zip(statuses, (4, 2, 3, 3, 2, 2, 2))])

    def test_the_forms_of_a_date_and_what_is_none(self) -> None:
        moments = {
            utc(2016, 2, 29): "2016-02-29|29-02-16|20160229|42429",
            utc(2016, 2, 29, 12): "42429,5",
            utc(2016, 2, 29, 1, 23): "29/2/2016 1:23",
            utc(2016, 2, 29, 1, 23, 45): "2016/02/29 01:23:45.678",
            utc(2023, 2, 9): "9 févr. 2023|9.2.2023",
            utc(2023, 2, 9, 0, 5): "Feb 9, 2023, 12:05 a.m.",
            utc(
                2023, 2, 9, 18, 16
            ): "9/Feb/23 6:16 PM|Thu Feb 9 18:16:00 2023|Thursday, 9th of February 2023 18:16 Uhr",
            "2016-02-29T01:23:45+00:00": "2016-02-29T01:23:45Z|2016-02-29T06:53:45.000+0530|1456709025|1456709025123",
        }
        wrong = (
            "31/31/2016|30.2.2016|1.2|soon|1.2.3|12:30|0000-01-01|2016-02-29T25:00|1969-12-31|3000-01-01|123456|٣|"
            "2016-02-29 01:23 EST|May May 2016|1 2 3 2016|2016-13-01"
        )
        dates = {text: moment for moment, texts in moments.items() for text in texts.split("|")}
        rows = "".join(f"{text};{text}\n" for text in (*dates, *wrong.split("|")))
        imported = self.import_file(f"Title;Created\n{rows}")
        self.assertEqual({*self.stored("title", "created_at")}, {*dates.items()})
        self.assertEqual(imported.wrong, 16)

    def test_day_or_month_first_is_seen_or_asked(self) -> None:
        for rows, day_first, asked in (
            ("a,3/4/2020,\na,3/14/2020,\n", False, "3/4/2020"),
            ("a,3/4/2020 8:00,\na,14/3/2020 8:00,\n", True, "3/4/2020 8:00"),
            ("a,3/4/2020,\na,4/5/2020,\n", None, "3/4/2020"),
            ("a,3/4/2020,12/31/2020\n", False, "3/4/2020"),
            ("a,2020-03-04T08:00Z,\na,2020-03-04,\n", None, None),
        ):
            with self.subTest(rows=rows), self.staged(f"Title,Created,Due\n{rows}") as imported:
                self.assertEqual((imported.answers.day_first, imported.numeric_days.get(None)), (day_first, asked))

    def test_what_the_file_does_not_tell_is_not_made_up_and_what_cannot_be_is_refused(self) -> None:
        later = f"{datetime.now() + timedelta(days=400):%Y-%m-%d}"
        imported = self.import_file(
            "Title,Status,Created,Updated,Resolved,Due\na,Done,2020-01-01,2020-01-05,,\n"
            "b,Rejected,2020-01-02,,2020-01-04,\nc,On Hold,2020-01-03,2020-01-05,2020-01-04,2020-01-25\n"
            f"d,Done,2020-01-04 15:00,,2020-01-04,\ne,Open,2020-01-05,{later},,\n"
            f"f,Done,2020-01-02,,2020-01-01,\ng,Open,{later},,,\nh,Done,2020-01-02,,{later},\n"
        )
        self.assertEqual(imported.wrong, 3)
        self.assertEqual(
            self.stored("title", "status", "resolved_at", "stopped_since", "due_at"),
            [
                ("a", "Resolved", None, utc(2020, 1, 5), None),
                ("b", "Cancelled", None, utc(2020, 1, 4), None),
                ("c", "On Hold", None, utc(2020, 1, 5), utc(2020, 1, 25, 23, 59, 59)),
                ("d", "Resolved", utc(2020, 1, 4, 15), utc(2020, 1, 4, 15), None),
                ("e", "Open", None, None, None),
            ],
        )

    def test_what_is_too_long_is_kept_elsewhere(self) -> None:
        title, path = "t" * 130, "Hardware > Printers > Third floor, room 3.12 > Toner"
        text, comment, many = "disk " * 5_000, "card " * 2_400, "cable " * 30_000
        header = ("title", "description", "steps to reproduce", "category", "comment", "comment")
        row = (title, text, "Look", path, comment, many)
        self.import_file("\n".join(map(";".join, (header, row))))
        whole = f"{title}\n\ndescription: {text.strip()}\n\nsteps to reproduce: Look\n\nCategory: {path}"
        self.assertEqual(self.stored("title", "description", "category"), [(title[:120], whole[:10_000], "Toner")])
        notes = [str(note) for _, note in self.comments()]
        self.assertEqual(notes[:4], [whole[10_000:20_000], whole[20_000:], comment[:10_000], comment[10_000:].strip()])
        self.assertIn(sum(map(len, notes)), range(189_900, 190_001))
        self.assertTrue(any("comments beyond 200,000 characters are cut" in line for line in self.lines))

    def test_each_gets_a_title_and_the_category_as_spelt_here_but_no_target_and_is_no_news(self) -> None:
        target = work_order.service_targets(self.anna)[1]
        work_order.set_service_target(self.anna, target, target._replace(response_hours=1, resolution_hours=8))
        self.create(self.anna, "Here", category="VPN")
        header = "id,title,category,description,requester,assignee,comment\n"
        self.import_file(f"{header}1,,vpn,Lamp,max,max,x\n2,?,Switch,,,,\n3,c,SWITCH,,,,\n4,d,any,,,,\n")
        titles, categories = ("Here", "Lamp", "(no title)", "c", "d"), ("VPN", "VPN", "Switch", "Switch", None)
        self.assertEqual(self.stored("title", "category"), [*zip(titles, categories)])
        imported = self.stored("due_at", "due_by", "response_hours", "responded_at")[1]
        self.assertEqual(imported, (None, "hand", None, None))
        self.assertEqual(work_order.my_work(self.max).changed, 0)


class PeopleTest(ImportTestCase):
    def test_unknown_people_get_accounts_without_a_password_and_are_found_again(self) -> None:
        header = "id,title,status,caller,caller email,assignee\n"
        self.import_file(
            f"{header}1,a,Closed,Bo <bo@x.org>,,Ann Lee\n2,b,Open,王小明,,Ann Lee\n3,c,Open,Ann Lee,lee@x.org,Eve Roe\n"
            "4,d,Open,Łukasz Lis,lis@x.org,max\n5,e,Open,Łukasz Lis,lu@x.org,None\n6,f,Open,Dee,not one,\n"
        )
        accounts = "SELECT username, name, email FROM users WHERE password_hash IS NULL AND role = 'user' ORDER BY name"
        expected = [
            *(("ann.lee", "Ann Lee", "lee@x.org"), ("bo", "Bo", "bo@x.org"), ("dee", "Dee", None)),
            *(("lukasz.lis", "Łukasz Lis", "lis@x.org"), ("lukasz.lis.1", "Łukasz Lis", "lu@x.org")),
            ("person.1", "王小明", None),
        ]
        self.assertEqual(self.rows(accounts), expected)
        self.assertIn("not managers or admins here: Ann Lee, Eve Roe.", " ".join(self.lines))
        self.assertEqual(self.stored("assignee"), [("ann.lee",), (None,), (None,), ("max",), (None,), (None,)])
        ((note,),) = self.rows("SELECT note FROM work_order_history WHERE work_order_id = 2")
        self.assertEqual(note, "Imported from incident; the ID was 2. It was assigned to Ann Lee.")
        self.import_file(f"{header}7,a,,L. Lis,LIS@x.org,\n8,b,,dee,,\n9,c,,王小明,,\n")
        self.assertEqual(self.rows(accounts), expected)
        self.assertEqual(self.stored("requester")[6:], [("lukasz.lis",), ("dee",), ("person.1",)])

    def test_a_name_that_leads_to_an_account_joins_it_unless_it_is_taken_out(self) -> None:
        self.session("lukasz.lis", Role.USER)
        self.session("uma.1", Role.USER)
        with self.staged('title,reporter\na,Łukasz Lis\nb,"Lis, Łukasz"\nc,uma\n') as imported:
            people = [
                (person.name, person.username)
                for _, person in work_order.unknown_people(imported)
                if person.has_account
            ]
            self.assertEqual(people, [("Łukasz Lis", "lukasz.lis"), ("Lis, Łukasz", "lukasz.lis"), ("uma", "uma")])
            for _ in range(2):  # the second time, what was proposed first is taken
                work_order.rename_person(imported, "uma", "new")
            work_order.import_rows(imported, SKIP, nothing)
        self.assertEqual(self.stored("requester"), [("lukasz.lis",), ("lukasz.lis",), ("uma.3",)])
        with self.staged("title,reporter\nd,Łukasz Lis\ne,uma\n") as imported:
            self.assertEqual(work_order.unknown_people(imported), [])

    def test_two_names_never_become_one_account(self) -> None:
        long = "Maximiliane Alexandra von Hohenfels"
        with self.staged(f"title,reporter\na,{long} A\nb,{long} B\nc,Ö\nd,山\n") as imported:
            work_order.rename_person(imported, "ö", "wang")
            for username in ("wang", "x", "no body"):
                with self.assertRaises(InvalidInputError):
                    work_order.rename_person(imported, "山", username)
            usernames = [person.username for _, person in work_order.unknown_people(imported)]
        self.assertEqual((len({*usernames}), usernames[2]), (4, "wang"))


class RepeatTest(ImportTestCase):
    def test_two_systems_may_have_the_same_ids_and_the_one_that_most_came_from_is_proposed(self) -> None:
        for rows, source in (("1,a\n2,b", "old"), ("1,a\n3,x", "jira"), ("1,skipped\n4,c", "old")):
            self.import_file(f"id,title\n{rows}\n", source=source)
        self.assertEqual(self.stored("title", "source"), [*zip("abaxc", ("old", "old", "jira", "jira", "old"))])
        for rows, source in (("1,a\n3,x\n", "jira"), ("12,b\n13,c\n", "export")):
            with self.staged(f"key,summary\n{rows}", "export (12).csv") as imported:
                self.assertEqual(imported.answers.source, source)

    def test_rows_without_an_id_are_known_by_their_cells(self) -> None:
        rows = "title,status\na,Open\na,Open\n"
        more, again = f"{rows}a,Open\na,Closed\n", f"{rows}\n"
        files = ((rows, SKIP), (rows, SKIP), (more, SKIP), (again, ADD), (again, ADD))
        self.assertEqual([self.import_file(rows, repeat=repeat).created for rows, repeat in files], [2, 0, 2, 2, 0])

    def test_an_update_writes_what_differs_and_leaves_what_was_written_here_or_deleted(self) -> None:
        header = "id,title,description,priority,status,category,assignee,due,resolved,comment\n"
        self.import_file(f"{header}1,a,x,Low,Open,Web,,2020-05-01,,one\n2,b,,Low,Open,Web,,,,\n3,c,,,,,,,,\n")
        work_order.change(self.anna, self.get(self.anna, 1), work_order.TITLE, "mine")
        work_order.delete(self.anna, 3)
        rows = "1,A,y,High,Closed,,max,2020-06-01 08:00,2020-04-01 09:00,one\n2,b,,,Closed,,,,,new\n3,C,,,,,,,,\n"
        before = database.now()
        with self.staged(header + rows) as imported:
            told = work_order.describe_updates(imported, nothing)
            work_order.import_rows(imported, UPDATE, nothing)
        self.assertEqual((imported.new, imported.here, imported.created, imported.updated), (0, 3, 0, 2))
        self.assertIn("1 row: here, but deleted: they stay deleted.", self.lines)
        self.assertIn("title, written here and left alone: 1 (first #1: mine -> A).", told)
        self.assertIn("priority, to update: 1 (first #1: Low -> High).", told)
        self.assertIn("comment, to update: 1 (first #2:  -> new).", told)
        first, second, third = self.stored("title", "description", "priority", "status", "category", "assignee")
        expected = (("mine", "y", 3, "Resolved", "Web", "max"), ("b", "", 1, "Resolved", "Web", None), "c")
        self.assertEqual((first, second, third[0]), expected)
        (due, *_), (resolved, now, _) = zip(*self.stored("due_at", "resolved_at"))
        self.assertEqual((due, resolved), (utc(2020, 6, 1, 8), utc(2020, 4, 1, 9)))
        self.assertGreaterEqual(str(now), before)
        self.assertEqual([note for _, note in self.comments()], ["one", "new"])
        self.assertEqual(self.import_file(header + rows, repeat=UPDATE).updated, 0)
        self.assertEqual(work_order.my_work(self.anna).changed, 0)
        self.assertEqual(database.check(self.connection), [])

    @unittest.skipIf(os.name == "nt", "needs POSIX")
    def test_one_that_is_stopped_or_killed_goes_on_without_a_duplicate(self) -> None:
        def stop(_: int) -> None:
            raise KeyboardInterrupt

        rows = "title,requester\n" + "a,Oz\n" * 3
        with self.staged(rows) as imported, self.assertRaises(KeyboardInterrupt):
            work_order.import_rows(imported, SKIP, stop)
        rows += "b,Bo\n" * 3
        self.put(rows)
        code = """
import database, os, signal, work_order
from users import Session
work_order.BATCH_SECONDS = 0
with work_order.open_import(Session(database.connect(database.default_path()), 1, 1), "incident.csv") as imported:
    work_order.stage(imported, lambda _: None)
    work_order.import_rows(imported, work_order.SKIP, lambda _: os.kill(os.getpid(), signal.SIGKILL))
"""
        ended = run_command([sys.executable, "-c", code], b"", environment(self.path, PYTHONPATH=str(ROOT)))
        self.assertEqual(ended.code, -signal.SIGKILL, ended.output)
        self.assertEqual(self.stored("title"), [("a",)] * 3 + [("b",)])
        self.import_file(f"{rows}c,Bo\n")
        self.assertEqual(self.stored("title", "requester"), [("a", "oz")] * 3 + [("b", "bo")] * 3 + [("c", "bo")])
        self.assertEqual(database.check(self.connection), [])
        events = [entry.event for entry in users.audit_log(self.anna, users.AuditFilter(), None, 99)]
        expected = ["import begun", "import stopped", "import begun", "import begun", "imported"]
        self.assertEqual([event for event in reversed(events) if "import" in event], expected)

    def test_an_admin_whom_another_demotes_meanwhile_imports_nothing_more(self) -> None:
        eva = self.session("eva", Role.ADMIN, ("anna", PASSWORD))

        def demote(_: int) -> None:
            work_order.change_role(eva, "anna", Role.USER)

        with self.staged("title\nx\n") as imported:
            for progress in (demote, nothing):
                with self.assertRaises(PermissionDeniedError):
                    work_order.import_rows(imported, SKIP, progress)
        self.assertEqual(self.stored("title", "requester"), [("x", "anna")])


class OwnExportTest(ImportTestCase):
    def exported(self) -> str:
        (path,), _ = work_order.export(self.anna, Query(sort=Sort.OLDEST), False, nothing)
        return path.read_bytes().decode()

    def test_it_brings_nothing_new_here_and_gives_the_same_export_in_an_empty_database(self) -> None:
        for number in range(10):
            others = {"priority": Priority(number % 4 + 1), "category": "=Web", "requester": "uma"}
            self.create(self.anna, f"={number}", f"'={number}\n-x", **others)
            if number % 2:
                self.change(self.anna, number + 1, work_order.ASSIGNEE, "max")
            if number % 3:
                self.change_status(self.anna, number + 1, (Status.ON_HOLD, Status.RESOLVED)[number % 2])
        before = self.exported()
        with self.staged(before, "work_order.csv") as imported:
            self.assertEqual(work_order.unknown_people(imported), [])
            self.assertEqual((imported.is_own, imported.new, imported.here, imported.wrong), (True, 0, 10, 0))
            self.assertEqual(work_order.describe_updates(imported, nothing), ["Nothing differs."])
        self.setUp()
        self.import_file(before, "work_order.csv")
        self.assertEqual(self.exported(), before)
        self.assertEqual(self.import_file(before, "work_order-2.csv").created, 0)

    def test_a_row_that_was_edited_in_a_spreadsheet_updates_what_has_not_changed_since(self) -> None:
        for title in ("a", "b"):
            self.create(self.uma, title)
        self.pass_time(hours=2)
        edited = re.sub(r",([ab]),", r",\1\1\1,", self.exported())
        without_seconds = re.sub(r"( \d\d:\d\d):\d\d", r"\1", edited)
        work_order.change(self.anna, self.get(self.anna, 2), work_order.TITLE, "mine")
        self.import_file(without_seconds.replace(",", ";"), repeat=UPDATE)
        self.assertEqual(self.stored("title"), [("aaa",), ("mine",)])

    def test_an_id_of_another_work_order_here_is_told_and_makes_a_new_one(self) -> None:
        self.create(self.uma, "mine")
        with self.staged("id,title,requester,created_at\n1,theirs,uma,2020-01-02T08:00:00+00:00\n") as imported:
            self.assertIn("1 row: the ID is that of another work order here; these are new ones.", self.lines)
            self.assertEqual((imported.new, imported.wrong), (1, 0))


class ConversationTest(ImportTestCase):
    def prompts(self, *answers: object) -> List[str]:
        """Import as anna, and return the prompts that came."""
        self.output = self.run_as("anna", "Data and audit", "Import work orders", *answers)
        return re.findall(r"^(.+?): $", self.output[self.output.index("File ") :], re.MULTILINE)

    def test_a_good_guess_is_confirmed_with_enter_and_remembered_for_next_months_file(self) -> None:
        self.put(SERVICENOW.replace("INC25", "INC26").replace("Mouse", "Key").replace("is slow", "is up"), "march.csv")
        os.utime(self.folder / "imports" / "march.csv", (0, 0))
        self.put(SERVICENOW)
        again, update = ("Import work orders", *[""] * 7), ("Import work orders", "march.csv", "", "update", "")
        prompts = self.prompts(*[""] * 6, "no", *again, *update)
        questions = (
            "File [incident.csv]",
            "Change which column [none]",
            "From which system [incident]",
            "Another word for an empty cell, besides ? - n/a NULL [none]",
            "Times without a zone are [local]",
            "Change which person [none]",
            "Import 3 work orders? [yes]",
            "Choose an option or #ID",
        )
        repeat = "What to do with 2 work orders that are here already [skip]"
        updating = "Import 1 work order, and update those that differ? [yes]"
        self.assertEqual(prompts[:-1], [*questions * 2, *questions[:2], repeat, updating])
        self.assertEqual(self.output.count("Cancelled. Nothing was saved."), 1)
        for text in (
            "8. Opened             29/02/2016 01:23  created_at, day first\n",
            "\n3 work orders imported from incident.csv. The backup from before is ",
            "title, to update: 2 (first #2: VPN is slow -> VPN is up).",
            "\n1 work order imported and 2 updated from march.csv.",
        ):
            self.assertIn(text, self.output)

    def test_it_asks_what_the_file_does_not_tell(self) -> None:
        self.put("Büro,Weird,1,3/4/2020 8:00,Jörg\n,,,never,Zoë\n".encode("windows-1252"), "märz 7.csv")
        columns = (6, 5, "(left out)", 1, "title", 2, "status", 3, "priority", 4, "created_at", 5, "requester", "")
        cells = ("Old Desk", "", "hold", "crit", "month", "Mars/Base", "+02:00")
        self.prompts("", "no", "Import work orders", "", "", "", *columns, *cells, 1, "wang", *[""] * 3)
        for text in (
            "Are all letters right in Büro,Weird,1,3/4/2020 8:00,Jörg? [yes]: \nError: Save märz 7.csv as CSV UTF-8.",
            "Does the first row name the columns (Büro, Weird, 1, 3/4/2020 8:00, Jörg)? [no]",
            "Answer with a number from 1 to 5, or none.",
            "Column 5 becomes [title]: \nError: One column has to become the title or the description.",
            'Status "weird" (1 row) becomes [On Hold]: \nPriority "1" (1 row) becomes: ',
            "3/4/2020 8:00 is [day first]",
            "A zone is local, UTC, or an offset such as +02:00.",
            "Leave out the 1 wrong? [yes]",
            "1 work order imported from märz 7.csv",
        ):
            self.assertIn(text, self.output)
        row = ("old desk", "Büro", "On Hold", 4, "2020-03-04T06:00:00+00:00", "wang")
        self.assertEqual(self.stored("source", "title", "status", "priority", "created_at", "requester"), [row])
