"""Import: any tracker's file comes in as it is, each row once, and of a bad file nothing."""

import contextlib
import csv
import io
import os
import re
import signal
import sys
import unittest
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List, Mapping, Optional, Sequence, Tuple

from support import PASSWORD, ROOT, DatabaseTestCase, environment, run_command

import database
import users
import work_order
from users import InvalidInputError, PermissionDeniedError, Role, Session
from work_order import ADD, SKIP, UPDATE, Import, Priority, Query, Sort, Status, UnreadableFileError

posix = unittest.skipIf(os.name == "nt", "Windows has no links, pipes and signals of this kind")

SERVICENOW = """\
"Number","Short description","Caller","Priority","State","Category","Assigned to","Opened","Updated","Resolved","Tags",\
"Work notes"
INC0010023,VPN does not connect,Łukasz Lis,1 - Critical,Closed,Network,max,29/02/2016 01:23,03/03/2016 10:00,\
02/03/2016 09:00,urgent vip,"Asked for the log
and got it"
INC0010024,Mouse,王小明,3 - Moderate,In Progress,,max,01/03/2016 08:00,02/03/2016 08:00,,,
INC0010025,Toner,Иван Петров,4 - Low,Canceled,Printers,Lena Berg,28/02/2016 08:00,02/03/2016 08:00,,,
"""


def table(delimiter: str, *rows: Sequence[str]) -> str:
    """Return a CSV file of these rows."""
    text = io.StringIO()
    csv.writer(text, delimiter=delimiter).writerows(rows)
    return text.getvalue()


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
    def staged(
        self,
        name: str = "incident.csv",
        columns: Mapping[int, str] = {},
        words: Mapping[str, object] = {},
        people: Mapping[str, str] = {},
        **answers: Any,
    ) -> Iterator[Import]:
        """Answer the questions about a file as the screen does, with Enter but for what is given here."""
        with work_order.open_import(self.anna, name) as imported:
            for place, target in columns.items():
                work_order.set_column(imported, place, target)
            imported.answer(**answers)
            work_order.stage(imported, nothing)
            for word, _ in work_order.unknown_words(imported):
                meaning = words.get(word.partition(" ")[2], work_order.guess_word(word))
                imported.answer(words={**imported.answers.words, word: str(meaning)})
            work_order.stage(imported, nothing)
            for key, person in work_order.unknown_people(imported):
                if person.name in people:
                    username = work_order.rename_person(imported, key, people[person.name])
                    imported.answer(people={**imported.answers.people, key: username})
            yield imported

    def import_file(
        self,
        content: object = None,
        name: str = "incident.csv",
        repeat: str = SKIP,
        progress: Callable[[int], None] = nothing,
        **answers: Any,
    ) -> Import:
        if content is not None:
            self.put(content, name)
        with self.staged(name, **answers) as imported:
            work_order.describe_import(imported)
            self.backup = work_order.import_rows(imported, repeat, progress)
        return imported

    def dry_run(self, content: object, name: str = "incident.csv", **answers: Any) -> Tuple[List[str], Import]:
        self.put(content, name)
        with self.staged(name, **answers) as imported:
            return work_order.describe_import(imported), imported

    def proposed(self, content: object, name: str = "incident.csv") -> Dict[str, str]:
        """Return what each column would become."""
        self.put(content, name)
        with work_order.open_import(self.anna, name) as imported:
            return dict(zip(imported.header, imported.answers.columns))

    def stored(self, *columns: str) -> List[Tuple[object, ...]]:
        """Return these columns of all work orders in the order of their IDs, people by their usernames."""
        names = {
            "requester": "(SELECT username FROM users WHERE id = requester_id)",
            "assignee": "(SELECT username FROM users WHERE id = assignee_id)",
        }
        return self.rows(f"SELECT {', '.join(names.get(name, name) for name in columns)} FROM work_orders ORDER BY id")

    def comments(self) -> List[Tuple[object, ...]]:
        return self.rows(
            "SELECT work_order_id, changed_at, note FROM work_order_history WHERE field = 'comment' ORDER BY id"
        )


class SystemsTest(ImportTestCase):
    """Files as other systems write them, each compared with a reading of its own."""

    def test_servicenow(self) -> None:
        self.import_file(SERVICENOW)
        self.assertEqual(
            self.stored("title", "priority", "status", "category", "requester", "assignee", "source", "source_id"),
            [
                ("Toner", 1, "Cancelled", "Printers", "person.2", "lena.berg", "incident", "INC0010025"),
                ("VPN does not connect", 4, "Resolved", "Network", "lukasz.lis", "max", "incident", "INC0010023"),
                ("Mouse", 2, "In Progress", None, "person.1", "max", "incident", "INC0010024"),
            ],
        )
        self.assertEqual(
            self.stored("created_at", "updated_at", "resolved_at"),
            [
                (utc(2016, 2, 28, 8), utc(2016, 3, 2, 8), None),
                (utc(2016, 2, 29, 1, 23), utc(2016, 3, 3, 10), utc(2016, 3, 2, 9)),
                (utc(2016, 3, 1, 8), utc(2016, 3, 2, 8), None),
            ],
        )
        self.assertEqual(self.comments(), [(2, utc(2016, 3, 3, 10), "Asked for the log\nand got it")])
        self.assertEqual(database.check(self.connection), [])

    def test_jira_repeats_a_column_for_each_comment(self) -> None:
        self.import_file(
            "Summary,Issue key,Issue id,Issue Type,Status,Priority,Assignee,Reporter,Created,Updated,Resolved,"
            "Description,Comment,Comment,Comment\n"
            "Disk is full,IT-7,10007,Bug,Done,Highest,,Ada,09/Feb/23 6:16 PM,11/Feb/23 9:00 AM,10/Feb/23 12:05 AM,"
            "Server *a*,10/Feb/23 9:00 AM;ada;one,,two\n",
            "Jira 2023.csv",
        )
        self.assertEqual(
            self.stored("title", "source", "source_id", "category", "status", "priority", "description"),
            [("Disk is full", "jira", "IT-7", "Bug", "Resolved", 4, "Server *a*")],
        )
        self.assertEqual(self.stored("created_at", "resolved_at"), [(utc(2023, 2, 9, 18, 16), utc(2023, 2, 10, 0, 5))])
        self.assertEqual(
            self.comments(),
            [(1, utc(2023, 2, 11, 9), "10/Feb/23 9:00 AM;ada;one"), (1, utc(2023, 2, 11, 9), "two")],
        )

    def test_glpi_in_french_and_german_with_semicolons(self) -> None:
        french = (
            "ID;Titre;Statut;Dernière modification;Date d'ouverture;Priorité;Demandeur - Demandeur;"
            "Attribué à - Technicien;Catégorie;Temps de résolution;\n"
            "12;Écran noir;En cours (Attribué);2023-05-02 10:00;2023-05-01 09:30;Très haute;Zoé;max;"
            "Matériel > Écran;;\n"
        )
        german = (
            "ID;Titel;Status;Letzte Änderung;Eröffnungsdatum;Priorität;Anforderer - Anforderer\n"
            "12;Türöffner;Geschlossen;02.05.2023 10:00;01.05.2023 09:30;Niedrig;Zoé\n"
        )
        self.import_file(f"\ufeff{french}", "glpi.csv")
        self.import_file(german.encode("windows-1252"), "deutsch.csv", source="deutsch")
        columns = (
            "title",
            "status",
            "priority",
            "category",
            "requester",
            "assignee",
            "created_at",
            "updated_at",
            "source",
        )
        begin, change = utc(2023, 5, 1, 9, 30), utc(2023, 5, 2, 10)
        self.assertEqual(
            self.stored(*columns),
            [
                ("Écran noir", "In Progress", 4, "Matériel > Écran", "zoe", "max", begin, change, "glpi"),
                ("Türöffner", "Resolved", 1, None, "zoe", None, begin, change, "deutsch"),
            ],
        )

    def test_mantis_puts_several_columns_into_the_description(self) -> None:
        self.import_file(
            "Id,Project,Reporter,Assigned To,Priority,Severity,Category,Date Submitted,Updated,Summary,Status,"
            "Resolution,Description,Steps To Reproduce,Additional Information\n"
            "0000042,Site,uma,max,immediate,minor,Web,2019-01-02,2019-02-03,It blinks,feedback,open,On and off,Look,\n",
            "mantis.csv",
        )
        columns = ("source_id", "title", "description", "priority", "status", "created_at")
        text = "Description: On and off\n\nSteps To Reproduce: Look"
        self.assertEqual(self.stored(*columns), [("0000042", "It blinks", text, 4, "On Hold", utc(2019, 1, 2))])

    def test_redmine(self) -> None:
        self.import_file(
            "#,Project,Tracker,Status,Priority,Subject,Author,Assignee,Updated,Created,Due date,Closed\n"
            "815,IT,Bug,Rejected,Immediate,No toner,Ada L,,07/02/2022 04:05 PM,07/01/2022 04:05 PM,07/25/2022,"
            "07/03/2022 01:00 AM\n",
            "issues.csv",
        )
        self.assertEqual(
            self.stored("source_id", "title", "category", "status", "created_at", "resolved_at", "due_at"),
            [("815", "No toner", "Bug", "Cancelled", utc(2022, 7, 1, 16, 5), None, utc(2022, 7, 25, 23, 59, 59))],
        )
        self.assertEqual(self.stored("stopped_since"), [(utc(2022, 7, 3, 1),)])

    def test_a_citys_requests_in_windows_1252(self) -> None:
        text = (
            "Service Request Number,Type of Request,Status,Created Date,Closed Date,Street\n"
            "23-1,Straßenlampe,Completed,3/4/2020 1:05 PM,3/25/2020,Göthestr.\n"
        )
        self.import_file(text.encode("windows-1252"), "requests 2020.csv")
        self.assertEqual(
            self.stored("title", "status", "created_at", "resolved_at", "requester", "source"),
            [("Straßenlampe", "Resolved", utc(2020, 3, 4, 13, 5), utc(2020, 3, 25), "anna", "requests")],
        )

    def test_utf_16_with_tabs(self) -> None:
        self.import_file(table("\t", ("Ticket", "Subject", "State"), ("7", "Łódź, 東京", "new")).encode("utf-16"))
        self.assertEqual(self.stored("source_id", "title", "status"), [("7", "Łódź, 東京", "Open")])

    def test_an_event_log_counts_as_the_last_state_of_each(self) -> None:
        lines, imported = self.dry_run(
            "number,incident_state,sys_updated_at,u_symptom\n"
            "INC1,New,29/2/2016 01:23,x\nINC1,Resolved,3/3/2016 10:00,y\nINC2,Active,1/3/2016 00:00,z\n"
            "INC1,Active,29/2/2016 08:53,x\n"
        )
        self.assertEqual((imported.new, imported.wrong), (2, 0))
        self.assertIn(
            "2 rows, an earlier state of a work order, with the same ID, is left out (first row 2, line 2: INC1).",
            lines,
        )
        self.import_file()
        self.assertEqual(
            self.stored("source_id", "status", "title"), [("INC2", "In Progress", "z"), ("INC1", "Resolved", "y")]
        )


class ColumnsTest(ImportTestCase):
    def test_without_a_header_nothing_is_lost(self) -> None:
        self.put("Printer jams,Open\nNo toner,Closed\n")
        with work_order.open_import(self.anna, "incident.csv") as imported:
            self.assertFalse(imported.is_certain)
            imported.begin(has_header=False)
        self.assertEqual(imported.header, ["Column 1", "Column 2"])

    def test_the_first_line_may_name_the_delimiter(self) -> None:
        self.import_file('sep=|\nTitle|Description\na|"b,c\n|d"\n')
        self.assertEqual(self.stored("title", "description"), [("a", "b,c\n|d")])

    def test_of_columns_with_the_same_meaning_the_likeliest_is_taken(self) -> None:
        self.assertEqual(
            self.proposed(
                "Complaint Type,Descriptor,Created Date,Closed,Issue id,Issue key\nNoise,Loud,2020-01-02,True,1,A-1\n"
            ),
            {
                "Complaint Type": "category",
                "Descriptor": "title",
                "Created Date": "created_at",
                "Closed": "",
                "Issue id": "",
                "Issue key": "id",
            },
        )

    def test_something_becomes_the_title(self) -> None:
        self.assertEqual(self.proposed("x,y,z\n1,Broken lamp in the hall,ab\n")["y"], "title")
        self.put("x,Title\n1,a\n")
        with work_order.open_import(self.anna, "incident.csv") as imported, self.assertRaises(InvalidInputError):
            work_order.set_column(imported, 1, "")

    def test_columns_that_are_left_out_may_repeat_be_empty_or_be_a_thousand(self) -> None:
        extra = ",".join(["", "x", "x"] * 400)
        self.import_file(f"Title,{extra}\na,{extra}\n")
        self.assertEqual(self.stored("title"), [("a",)])

    def test_words_of_the_tables_are_found_whatever_their_form(self) -> None:
        for target, names in work_order.COLUMN_NAMES.items():
            for name in names.split(","):
                header = ("Title", name.strip().upper().replace(" ", "_"))
                guessed = work_order._guess_columns(header[target == "title" :], [])
                self.assertIn(target, guessed, name)

    def test_no_word_of_a_table_means_two_things(self) -> None:
        for words in (tuple(Status), tuple(Priority)):
            seen: Dict[str, object] = {}
            for word in words:
                for name in work_order._names(work_order.USUAL_WORDS[word]):
                    self.assertIs(seen.setdefault(name, word), word, name)


class WordsTest(ImportTestCase):
    def words(self, content: str) -> List[Tuple[str, int, object]]:
        self.put(content)
        with work_order.open_import(self.anna, "incident.csv") as imported:
            work_order.stage(imported, nothing)
            found = work_order.unknown_words(imported)
        return [(word.partition(" ")[2], rows, work_order.guess_word(word)) for word, rows in found]

    def test_only_whole_words_are_understood_and_the_others_asked_once_each(self) -> None:
        rows = "Title,Status\na,In Review\nb,in review\nc,C\nd,closed\ne,3 - Resolved\nf,Waiting for Bob\ng,?\n"
        self.assertEqual(
            self.words(rows),
            [
                ("in review", 2, Status.ON_HOLD),
                *(("c", 1, Status.ON_HOLD), ("waiting for bob", 1, Status.ON_HOLD)),
            ],
        )

    def test_bare_numbers_are_asked_and_never_guessed(self) -> None:
        self.assertEqual(self.words("Title,Priority\na,1\nb,2\nc,P2\nd,2 - High\n"), [("1", 1, None), ("2", 1, None)])
        self.import_file(words={"1": Priority.CRITICAL, "2": Priority.LOW})
        self.assertEqual(self.stored("priority"), [(4,), (1,), (3,), (3,)])

    def test_empty_words_are_no_values(self) -> None:
        self.import_file("Title,Status,Priority,Category,Assignee,Due date\na,?,-,n/a,NULL,nil\n", empty_word="nil")
        self.assertEqual(
            self.stored("status", "priority", "category", "assignee", "due_at"), [("Open", 2, None, None, None)]
        )

    def test_the_dry_run_lists_what_each_word_became(self) -> None:
        lines, _ = self.dry_run("Title,Status,Priority\na,Fixed,P4\nb,Weird,High\nc,Open,Urgent\n")
        words = "fixed = Resolved, p4 = Low, weird = On Hold, high = High, open = Open, urgent = Critical"
        self.assertIn(f"Words: {words}.", lines)


class TimesTest(ImportTestCase):
    def test_the_forms_of_a_date(self) -> None:
        for text, moment in {
            "2016-02-29": datetime(2016, 2, 29),
            "29/2/2016 1:23": datetime(2016, 2, 29, 1, 23),
            "29-02-16": datetime(2016, 2, 29),
            "2016/02/29 01:23:45.678": datetime(2016, 2, 29, 1, 23, 45),
            "09/Feb/23 6:16 PM": datetime(2023, 2, 9, 18, 16),
            "Feb 9, 2023, 12:05 a.m.": datetime(2023, 2, 9, 0, 5),
            "Thu Feb  9 18:16:00 2023": datetime(2023, 2, 9, 18, 16),
            "Thursday, 9th of February 2023 at 18:16 Uhr": datetime(2023, 2, 9, 18, 16),
            "9 févr. 2023": datetime(2023, 2, 9),
            "25.10.2013": datetime(2013, 10, 25),
            "5. März 2013 07:08": datetime(2013, 3, 5, 7, 8),
            "20160229": datetime(2016, 2, 29),
            "42429": datetime(2016, 2, 29),
            "42429,5": datetime(2016, 2, 29, 12),
            "1456709400": datetime(2016, 2, 29, 1, 30, tzinfo=timezone.utc),
            "1456709400123": datetime(2016, 2, 29, 1, 30, tzinfo=timezone.utc),
            "2016-02-29T01:23:45Z": datetime(2016, 2, 29, 1, 23, 45, tzinfo=timezone.utc),
            "2016-02-29T01:23:45.000+0530": datetime(2016, 2, 28, 19, 53, 45, tzinfo=timezone.utc),
            "29/02/2016 01:23 UTC": datetime(2016, 2, 29, 1, 23, tzinfo=timezone.utc),
        }.items():
            with self.subTest(text=text):
                self.assertEqual(work_order._parse_moment(text, day_first=True)[0], moment)
        self.assertEqual(work_order._parse_moment("2/3/2016 1:23 PM", day_first=False)[0], datetime(2016, 2, 3, 13, 23))

    def test_anything_else_is_no_date(self) -> None:
        texts = "31/31/2016 30.2.2016 1.2 soon 1.2.3 12:30 0000-01-01 2016-02-29T25:00 1969-12-31 3000-01-01 123456"
        for text in (*texts.split(), "٣", "2016-02-29 01:23 EST", "May May 2016", "1 2 3 2016", "2016-13-01", ""):
            with self.subTest(text=text):
                self.assertIsNone(work_order._try_moment(text, day_first=True))

    def survey(self, *dates: str) -> Tuple[Optional[bool], str]:
        self.put("Title,Created,Due\n" + "".join(f"a,{date}\n" for date in dates))
        with work_order.open_import(self.anna, "incident.csv") as imported:
            work_order.stage(imported, nothing)
            day_first = imported.answers.day_first
            return day_first, imported.numeric_days.get(None, "") if day_first is None else ""

    def test_day_or_month_first_is_seen_or_asked(self) -> None:
        self.assertEqual(self.survey("3/4/2020,", "3/14/2020,"), (False, ""))
        self.assertEqual(self.survey("3/4/2020 8:00,", "14/3/2020 8:00,"), (True, ""))
        self.assertEqual(self.survey("3/4/2020,", "4/5/2020,"), (None, "3/4/2020"))
        self.assertEqual(self.survey("3/4/2020,12/31/2020"), (False, ""))
        self.assertEqual(self.survey("2020-03-04T08:00Z,", "2020-03-04,"), (None, ""))

    def test_a_zone_is_for_times_without_one(self) -> None:
        rows = "Title,Created,Updated\na,2020-07-01 08:00,2020-07-02T08:00Z\nb,2020-01-01 08:00,2020-02-01\n"
        self.import_file(rows, zone=work_order.parse_zone("+02:00"))
        self.assertEqual(
            self.stored("created_at", "updated_at"),
            [
                ("2020-01-01T06:00:00+00:00", utc(2020, 2, 1)),
                ("2020-07-01T06:00:00+00:00", "2020-07-02T08:00:00+00:00"),
            ],
        )
        with self.assertRaises(InvalidInputError):
            work_order.parse_zone("Mars/Base")

    def test_the_future_is_refused_and_a_resolution_before_the_creation(self) -> None:
        later = f"{datetime.now() + timedelta(days=400):%Y-%m-%d}"
        _, imported = self.dry_run(
            "Title,Status,Created,Updated,Resolved\n"
            f"a,Done,2020-01-02,,2020-01-01\nb,Open,{later},,\nc,Done,2020-01-02,,{later}\nd,Open,2020-01-02,{later},\n"
            "e,Done,2020-01-02 15:00,,2020-01-02\n"
        )
        self.assertEqual((imported.new, imported.wrong), (2, 3))
        self.import_file()
        self.assertEqual(self.stored("title", "resolved_at"), [("d", None), ("e", utc(2020, 1, 2, 15))])

    def test_what_the_file_does_not_tell_is_not_made_up(self) -> None:
        self.import_file(
            "Title,Status,Created,Updated,Resolved\na,Resolved,2020-01-01,2020-01-05,\n"
            "b,Resolved,2020-01-02,,2020-01-04\nc,On Hold,2020-01-03,2020-01-05,2020-01-04\n"
        )
        self.assertEqual(
            self.stored("status", "resolved_at", "stopped_since"),
            [
                ("Resolved", None, utc(2020, 1, 5)),
                ("Resolved", utc(2020, 1, 4), utc(2020, 1, 4)),
                ("On Hold", None, utc(2020, 1, 5)),
            ],
        )
        self.assertEqual(
            self.rows(
                "SELECT work_order_id, field, new_value, changed_at FROM work_order_history WHERE new_value <> ''"
            ),
            [
                (1, "created", "Resolved", utc(2020, 1, 1)),
                (2, "status", "Resolved", utc(2020, 1, 4)),
                (3, "created", "On Hold", utc(2020, 1, 3)),
            ],
        )


class PeopleTest(ImportTestCase):
    def test_unknown_people_get_accounts_without_a_password_and_are_found_again(self) -> None:
        self.import_file("id,title,caller,caller email\n1,a,Łukasz Lis,lis@example.org\n2,b,Ukasz Lis,\n3,c,王小明,\n")
        accounts = "SELECT username, name, email, role, password_hash FROM users WHERE id > 4 ORDER BY id"
        self.assertEqual(
            self.rows(accounts),
            [
                ("lukasz.lis", "Łukasz Lis", "lis@example.org", "user", None),
                ("ukasz.lis", "Ukasz Lis", None, "user", None),
                ("person.1", "王小明", None, "user", None),
            ],
        )
        before = self.rows(accounts)
        self.put("id,title,caller,caller email\n4,a,L. Lis,LIS@example.org\n5,b,ukasz lis,\n6,c,王小明,\n")
        with self.staged() as imported:
            self.assertEqual(work_order.unknown_people(imported), [])
            work_order.import_rows(imported, SKIP, nothing)
        self.assertEqual(self.rows(accounts), before)
        self.assertEqual([row[0] for row in self.stored("requester")], ["lukasz.lis", "ukasz.lis", "person.1"] * 2)

    def test_a_name_that_leads_to_an_account_joins_it_unless_it_is_taken_out(self) -> None:
        self.session("lukasz.lis", Role.USER)
        self.put('title,reporter\na,Łukasz Lis\nb,"Lis, Łukasz"\nc,uma\n')
        with self.staged(people={"uma": "new"}) as imported:
            found = [(person.name, person.username, person.has_account) for _, person in work_order.unknown_people(imported)]
            self.assertEqual(
                found,
                [("Łukasz Lis", "lukasz.lis", True), ("Lis, Łukasz", "lukasz.lis", True), ("uma", "uma.2", False)],
            )
            work_order.import_rows(imported, SKIP, nothing)
        self.assertEqual(self.stored("requester"), [("lukasz.lis",), ("lukasz.lis",), ("uma.2",)])
        self.put("title,reporter\nd,Łukasz Lis\ne,uma\n")
        with self.staged() as imported:  # it was answered
            self.assertEqual(work_order.unknown_people(imported), [])

    def test_two_names_never_become_one_account(self) -> None:
        long = "Maximiliane Alexandra von Hohenfels"
        self.import_file(f"title,reporter\na,{long} A\nb,{long} B\nc,Ö\nd,山\n")
        self.assertEqual(len(set(self.stored("requester"))), 4)
        self.session("person.9", Role.USER)
        with self.staged(people={"Ö": "person.9"}):
            pass

    def test_a_username_can_be_chosen(self) -> None:
        self.put("title,reporter\na,王小明\nb,山\n")
        with self.staged(people={"王小明": "wang"}) as imported:
            _, (key, _) = work_order.unknown_people(imported)
            for username in ("wang", "x", "no body"):
                with self.assertRaises(InvalidInputError):
                    work_order.rename_person(imported, key, username)
            work_order.import_rows(imported, SKIP, nothing)
        self.assertEqual(self.stored("requester"), [("wang",), ("person.2",)])

    def test_an_email_tells_two_people_of_the_same_name_apart(self) -> None:
        self.import_file(
            "title,reporter,email\na,Ann Lee,a@x.org\nb,Ann Lee,b@x.org\nc,Bo <bo@x.org>,\nd,Dee,not one\n"
        )
        self.assertEqual(
            self.rows("SELECT username, name, email FROM users WHERE id > 4"),
            [
                *(("ann.lee", "Ann Lee", "a@x.org"), ("ann.lee.1", "Ann Lee", "b@x.org"), ("bo", "Bo", "bo@x.org")),
                ("dee", "Dee", None),
            ],
        )

    def test_one_name_with_and_without_its_email_is_one_person(self) -> None:
        self.import_file("title,status,reporter,email,assignee\na,Closed,Bo,,Ann Lee\nb,Open,Ann Lee,a@x.org,\n")
        self.assertEqual(self.stored("requester", "assignee"), [("bo", "ann.lee"), ("ann.lee", None)])
        self.assertEqual(self.rows("SELECT email FROM users WHERE username = 'ann.lee'"), [("a@x.org",)])

    def test_an_assignee_who_cannot_be_one_is_kept_on_what_is_finished(self) -> None:
        self.import_file("title,status,assignee\na,Closed,Lena Berg\nb,Open,Lena Berg\nc,Open,max\nd,Closed,Nobody\n")
        self.assertEqual(self.stored("assignee"), [("lena.berg",), (None,), ("max",), (None,)])
        ((note,),) = self.rows("SELECT note FROM work_order_history WHERE work_order_id = 2")
        self.assertEqual(note, "Imported from incident. It was assigned to Lena Berg.")


class FitTest(ImportTestCase):
    def test_what_is_too_long_is_kept_elsewhere(self) -> None:
        title, path = "t" * 130, "Hardware > Printers > Third floor, room 3.12 > Toner"
        text, comment = "disk " * 5_000, "card " * 2_400
        self.import_file(table(",", ("title", "description", "category", "comment"), (title, text, path, comment)))
        whole, comment = f"{title}\n\n{text.strip()}\n\nCategory: {path}", comment.strip()
        self.assertEqual(self.stored("title", "description", "category"), [(title[:120], whole[:10_000], "Toner")])
        notes = [str(note) for _, _, note in self.comments()]
        self.assertEqual(notes, [whole[10_000:20_000], whole[20_000:], comment[:10_000], comment[10_000:]])

    def test_comments_beyond_all_measure_are_cut_and_named(self) -> None:
        rows = table(",", ("title", *["comment"] * 5), ("a", *["cable " * 15_000] * 5))
        lines, _ = self.dry_run(rows)
        self.assertTrue(any("comments beyond 200,000 characters are cut" in line for line in lines))
        self.import_file()
        self.assertIn(sum(len(str(note)) for _, _, note in self.comments()), range(189_900, 190_001))
        self.assertEqual(database.check(self.connection), [])

    def test_a_blank_title_takes_the_beginning_of_the_description(self) -> None:
        self.import_file("id,title,description\n1,,Lamp\n2,?,\n")
        self.assertEqual(self.stored("title"), [("Lamp",), ("(no title)",)])

    def test_categories_are_spelt_as_they_are_already(self) -> None:
        self.create(self.anna, category="VPN")
        self.import_file("title,category\na,vpn\nb,Switch\nc,SWITCH\nd,any\ne,None\n")
        self.assertEqual(self.stored("category"), [("VPN",), ("VPN",), ("Switch",), ("Switch",), (None,), (None,)])

    def test_an_imported_one_has_no_service_target_and_is_no_news(self) -> None:
        target = work_order.service_targets(self.anna)[1]
        work_order.set_service_target(self.anna, target, target._replace(response_hours=1, resolution_hours=8))
        self.import_file("title,requester,assignee\na,max,max\n")
        self.assertEqual(self.stored("due_at", "response_hours", "responded_at"), [(None, None, None)])
        self.assertEqual(work_order.my_work(self.max).changed, 0)


class RepeatTest(ImportTestCase):
    ROWS = "id,title,status,updated\n1,a,Open,2020-01-01 08:00\n2,b,Open,2020-01-01 08:00\n"

    def test_what_is_here_is_skipped_and_deleted_ones_stay_deleted(self) -> None:
        self.import_file(self.ROWS)
        work_order.delete(self.anna, 2)
        lines, dry_run = self.dry_run(f"{self.ROWS}3,c,Open,\n")
        self.assertEqual((dry_run.new, dry_run.here), (1, 2))
        self.assertIn("1 row: here, but deleted: they stay deleted.", lines)
        imported = self.import_file(repeat=UPDATE)
        self.assertEqual((imported.created, imported.updated), (1, 0))
        self.assertEqual(self.stored("title", "deleted_at IS NULL"), [("a", 1), ("b", 0), ("c", 1)])

    def test_two_systems_may_have_the_same_ids(self) -> None:
        self.import_file(self.ROWS, "old.csv")
        self.import_file(self.ROWS.replace("a,", "x,"), "new.csv", source="new")
        self.assertEqual(self.stored("title", "source"), [("a", "old"), ("b", "old"), ("x", "new"), ("b", "new")])

    def test_the_system_that_most_ids_came_from_is_proposed(self) -> None:
        self.import_file(self.ROWS, "old.csv", source="jira")
        self.put("key,summary\n2,b\n3,c\n", "export (12).csv")
        with self.staged("export (12).csv") as imported:
            self.assertEqual(imported.answers.source, "jira")
        self.put("key,summary\n12,b\n13,c\n", "export (12).csv")
        with self.staged("export (12).csv") as imported:
            self.assertEqual(imported.answers.source, "export")

    def test_rows_without_an_id_are_known_by_their_cells(self) -> None:
        rows = "title,status\na,Open\na,Open\nb,Open\n"
        self.assertEqual(self.import_file(rows).created, 3)
        self.assertEqual(self.import_file().created, 0)
        self.assertEqual(self.import_file(f"{rows}a,Open\nb,Closed\n").created, 2)
        self.assertEqual(self.import_file(f"{rows}\n", repeat=ADD).created, 3)
        self.assertEqual(self.import_file(repeat=ADD).created, 0)

    def test_an_update_writes_what_differs_and_leaves_what_was_written_here(self) -> None:
        header = "id,title,description,priority,status,category,assignee,due,resolved,comment\n"
        self.import_file(f"{header}1,a,x,Low,Open,Web,,2020-05-01,,one\n2,b,,Low,Open,Web,,,,\n")
        work_order.change(self.anna, self.get(self.anna, 1), work_order.TITLE, "mine")
        self.put(f"{header}1,A,y,High,Closed,,max,2020-06-01 08:00,2020-04-01 09:00,one\n2,b,,,Open,,,,,new\n")
        with self.staged() as imported:
            lines = work_order.describe_updates(imported, nothing)
            work_order.import_rows(imported, UPDATE, nothing)
        self.assertEqual((imported.created, imported.updated), (0, 2))
        self.assertIn("title, written here and left alone: 1 (first #1: mine -> A).", lines)
        self.assertIn("priority, to update: 1 (first #1: Low -> High).", lines)
        self.assertIn("comment, to update: 1 (first #2:  -> new).", lines)
        self.assertEqual(
            self.stored("title", "description", "priority", "status", "category", "assignee", "due_at", "resolved_at"),
            [
                ("mine", "y", 3, "Resolved", "Web", "max", utc(2020, 6, 1, 8), utc(2020, 4, 1, 9)),
                ("b", "", 1, "Open", "Web", None, None, None),
            ],
        )
        self.assertEqual([note for _, _, note in self.comments()], ["one", "new"])
        self.assertEqual(self.import_file(repeat=UPDATE).updated, 0)
        self.assertEqual(work_order.my_work(self.anna).changed, 0)
        self.assertEqual(database.check(self.connection), [])

    def test_a_status_without_a_time_counts_from_now(self) -> None:
        self.import_file(self.ROWS)
        self.import_file(self.ROWS.replace("a,Open", "a,Closed"), repeat=UPDATE)
        ((resolved_at,), _) = self.stored("resolved_at")
        age = datetime.now(timezone.utc) - datetime.fromisoformat(str(resolved_at))
        self.assertLess(age, timedelta(minutes=2))

    def test_answers_are_remembered_for_files_with_the_same_header(self) -> None:
        header = "Nr,Was,Stand,Wann\n"
        answers: Dict[str, Any] = {
            "columns": {1: "title", 2: "status"},
            "words": {"weg": Status.RESOLVED},
            "source": "old",
            "zone": "UTC",
        }
        self.import_file(f"{header}1,a,Weg,2020-01-01 08:00\n", **answers)
        self.put(f"{header}2,b,Weg,2020-01-01 08:00\n", "february.csv")
        with self.staged("february.csv") as imported:
            self.assertTrue(imported.is_remembered)
            self.assertEqual((imported.answers.source, imported.answers.zone), ("old", "UTC"))
            work_order.import_rows(imported, SKIP, nothing)
        self.assertEqual(self.stored("title", "status"), [("a", "Resolved"), ("b", "Resolved")])


class OwnExportTest(ImportTestCase):
    def exported(self) -> Path:
        (path,) = work_order.export(self.anna, Query(sort=Sort.OLDEST), False, nothing).paths
        return path

    def fill(self) -> None:
        for number in range(10):
            self.create(self.anna, f"={number}", f"'{number}\n-x", Priority(number % 4 + 1), "=Web", "uma")
            if number % 2:
                self.change(self.anna, number + 1, work_order.ASSIGNEE, "max")
            if number % 3:
                self.change_status(self.anna, number + 1, (Status.ON_HOLD, Status.RESOLVED)[number % 2])

    def test_into_its_own_database_it_brings_nothing_new(self) -> None:
        self.fill()
        self.put(self.exported().read_bytes(), "work_order.csv")
        with self.staged("work_order.csv") as imported:
            self.assertTrue(imported.is_own)
            self.assertEqual(work_order.unknown_people(imported), [])
            work_order.describe_import(imported)
            self.assertEqual((imported.new, imported.here, imported.wrong), (0, 10, 0))
            self.assertEqual(work_order.describe_updates(imported, nothing), ["Nothing differs."])

    def test_into_an_empty_database_it_gives_the_same_export_again(self) -> None:
        self.fill()
        path = self.exported()
        before = path.read_bytes()
        self.setUp()
        self.import_file(before, "work_order.csv")
        self.assertEqual(self.exported().read_bytes(), before)
        self.assertEqual(self.import_file(before, "work_order-2.csv").created, 0)

    def test_a_row_that_was_edited_in_a_spreadsheet_updates_what_has_not_changed_since(self) -> None:
        self.create(self.uma, "a")
        self.create(self.uma, "b")
        self.pass_time(hours=2)
        rows = list(csv.reader(io.StringIO(self.exported().read_text(encoding="utf-8-sig"))))
        header, *cells = rows
        for row in cells:
            row[1] = row[1] * 3
            for place, name in enumerate(header):
                row[place] = row[place][:16] if name.endswith("_at") else row[place]  # no seconds
        work_order.change(self.anna, self.get(self.anna, 2), work_order.TITLE, "mine")
        self.put(table(";", header[:-1], *(row[:-1] for row in cells)), "edited.csv")
        with self.staged("edited.csv") as imported:
            work_order.import_rows(imported, UPDATE, nothing)
        self.assertEqual(self.stored("title"), [("aaa",), ("mine",)])

    def test_an_id_of_another_work_order_here_is_told(self) -> None:
        self.create(self.uma, "mine")
        rows = "id,title,requester,created_at\n1,theirs,uma,2020-01-02 08:00:00\n"
        self.assertIn("1 row: the ID is that of another work order here; these are new ones.", self.dry_run(rows)[0])
        self.import_file()
        self.assertEqual(self.stored("title", "created_at")[1], ("theirs", "2020-01-02T08:00:00+00:00"))

    def test_the_old_form_of_times_comes_in(self) -> None:
        self.import_file("id,title,requester,created_at\n1,a,uma,2020-01-02T08:00:00+00:00\n")
        self.assertEqual(self.stored("created_at"), [("2020-01-02T08:00:00+00:00",)])


class BadFileTest(ImportTestCase):
    def test_a_file_that_cannot_be_read_is_refused_in_a_sentence(self) -> None:
        for content, sentence in (
            (b"", "has no rows"),
            (b"\n\n,,\n", "has no row"),
            (b"PK\x03\x04", "is a workbook or an archive; save it as CSV"),
            (b"<!doctype html>", r"is a page \(HTML or XML\)"),
            (b"title\nx\0y\n", "has NUL characters"),
            (("title\n" * 9).encode("utf-16-le"), "has NUL characters"),
            (b'title,x\na,"b\n' + b"c,d\n" * 9, "row on line 2 has more than 1,000,000 characters, or a quote"),
            (
                b'title,x\na,"b\n' + b"c,d\n" * 300_000,
                "row on line 2 has more than 1,000,000 characters, or a quote",
            ),
            (b"title," + b"x," * 3_000, "has more than 2,000 columns"),
            (b"title," + b"x," * 1_000_000, "has more than 1,000,000 characters"),
            (b"title," + b'"\n",' * 1_000_000, "has more than 1,000,000 characters"),
            (b"title\n", "has no row that can be imported"),
            (b"title,status\na\n", "has no row that can be imported"),
        ):
            with self.subTest(content=content[:20]):
                self.put(content)
                with self.assertRaisesRegex(UnreadableFileError, sentence):
                    self.import_file()
        self.assertEqual(self.stored("id"), [])
        self.assertEqual(self.rows("SELECT name FROM temp.sqlite_master"), [])

    def test_wrong_rows_are_told_by_kind_and_the_report_has_each(self) -> None:
        lines, imported = self.dry_run(
            'id,title,created\n1,a,never\n2,b,soon\n\n3,"c\nd",2020-01-01\n4,e\n5,f,x,y\n6,"g"h,\n7,i,2020-01-02\n8,j,2020-01-03\n'
        )
        self.assertEqual((imported.new, imported.wrong), (3, 5))
        self.assertIn("2 rows, wrong: created_at is no date from 1970 to 2999 (first row 2, line 2: never).", lines)
        (report,) = (self.folder / "exports").iterdir()
        self.assertEqual(
            report.read_text(encoding="utf-8").splitlines(),
            [
                "Row 2, line 2, wrong: created_at is no date from 1970 to 2999: never",
                "Row 3, line 3, wrong: created_at is no date from 1970 to 2999: soon",
                "Row 6, line 7, wrong: it has 2 cells instead of 3",
                "Row 7, line 8, wrong: it has 4 cells instead of 3",
                "Row 8, line 9, wrong: something follows the quote that closes a cell",
            ],
        )

    @posix
    def test_only_regular_files_are_offered_and_opened(self) -> None:
        folder = self.folder / "imports"
        folder.mkdir()
        (folder / "b folder").mkdir()
        os.mkfifo(folder / "c pipe")
        (folder / "a link").symlink_to(self.path)
        with self.assertRaisesRegex(
            UnreadableFileError, "There is no file in .*imports .links are not followed.; put the CSV file there"
        ):
            work_order.list_imports(self.anna)
        self.put("title\nx\n")
        self.assertEqual(work_order.list_imports(self.anna), ["incident.csv"])
        for name in ("a link", "b folder", "c pipe", "nothing"):
            with self.assertRaises(UnreadableFileError), work_order.open_import(self.anna, name):
                pass

    @posix
    def test_nothing_is_read_through_a_linked_folder(self) -> None:
        self.put("title\na\n")
        (self.folder / "imports").rename(self.folder / "elsewhere")
        (self.folder / "imports").symlink_to(self.folder / "elsewhere")
        with self.assertRaisesRegex(UnreadableFileError, "There is no file in .* .links are not followed."):
            work_order.list_imports(self.anna)

    def test_only_admins_import(self) -> None:
        self.put("title\nx\n")
        for session in (self.uma, self.max):
            with self.assertRaises(PermissionDeniedError):
                work_order.list_imports(session)
            with self.assertRaises(PermissionDeniedError), work_order.open_import(session, "incident.csv"):
                pass


STOP = """
import os, signal, sys
import database, users, work_order
from users import Session
session = Session(database.connect(database.default_path()), 1, 1)
work_order.BATCH_SECONDS = 0
def stop(count):
    if count == int(sys.argv[1]):
        os.kill(os.getpid(), signal.SIGKILL)
with work_order.open_import(session, "incident.csv") as imported:
    work_order.stage(imported, lambda _: None)
    work_order.import_rows(imported, work_order.SKIP, stop)
"""


class InterruptedTest(ImportTestCase):
    ROWS = "title,requester\n" + "a,Oz\n" * 6 + "b,Bo\n" * 4

    def test_a_stopped_one_keeps_what_it_has_and_goes_on(self) -> None:
        def stop(_: int) -> None:
            raise KeyboardInterrupt

        with self.assertRaises(KeyboardInterrupt):
            self.import_file("title\n" + "a\n" * 2_000, progress=stop)
        before = len(self.stored("id"))
        self.assertGreater(before, 0)
        self.assertEqual(self.import_file().created, 2_000 - before)
        events = [entry.event for entry in users.audit_log(self.anna, users.AuditFilter(), None, 99)]
        self.assertEqual(
            [event for event in events if "import" in event][::-1],
            ["import begun", "import stopped", "import begun", "imported"],
        )

    @posix
    def test_a_killed_one_goes_on_without_a_duplicate(self) -> None:
        self.put(self.ROWS)
        for count in (2, 3, 1):
            command = [sys.executable, "-c", STOP, str(count)]
            ended = run_command(command, b"", environment(self.path, PYTHONPATH=str(ROOT)))
            self.assertEqual(ended.code, -signal.SIGKILL, ended.output)
        self.assertGreater(len(self.stored("id")), 0)
        self.import_file()
        self.assertEqual(self.stored("title", "requester"), [("a", "oz")] * 6 + [("b", "bo")] * 4)
        self.assertEqual(database.check(self.connection), [])

    def test_others_save_between_its_transactions(self) -> None:
        other = Session(database.connect(self.path), 3, 1)
        self.addCleanup(other.connection.close)
        self.put("title\n" + "a\n" * 500)
        with self.staged() as imported:
            work_order.import_rows(imported, SKIP, lambda _: self.create(other, "meanwhile") and None)
        self.assertGreater(len(self.rows("SELECT 1 FROM work_orders WHERE title = 'meanwhile'")), 0)
        self.assertEqual(database.check(self.connection), [])

    def test_an_admin_who_is_demoted_imports_nothing_more(self) -> None:
        self.put("title\nx\n")
        self.session("eva", Role.ADMIN, ("anna", PASSWORD))
        with self.staged() as imported:
            self.connection.execute("UPDATE users SET role = 'user' WHERE username = 'anna'")
            with self.assertRaises(PermissionDeniedError):
                work_order.import_rows(imported, SKIP, nothing)
        self.assertEqual(self.stored("id"), [])

    def test_a_backup_is_made_before_the_first_row(self) -> None:
        self.import_file("title\nx\n")
        backup = database.connect(self.backup)
        self.addCleanup(backup.close)
        self.assertEqual(backup.execute("SELECT count(*) FROM work_orders").fetchone()[0], 0)


class ConversationTest(ImportTestCase):
    IMPORTING = ("Data and audit", "Import work orders")

    def prompts(self, *answers: object) -> List[str]:
        """Import the newest file as anna, and return the prompts and the last line."""
        output = self.run_as("anna", *self.IMPORTING, *answers)
        self.output = output[output.index("File ") :]
        return re.findall(r"^(.+?): $", self.output, re.MULTILINE)

    def test_a_good_guess_is_confirmed_with_enter(self) -> None:
        self.put(SERVICENOW)
        prompts = self.prompts(*[""] * 8)
        self.assertEqual(
            prompts[:7],
            [
                "File [incident.csv]",
                "Change which column [none]",
                "From which system [incident]",
                "Another word for an empty cell, besides ? - n/a NULL [none]",
                "Times without a zone are [local]",
                "Change which person [none]",
                "Import 3 work orders? [yes]",
            ],
        )
        self.assertRegex(self.output, r"\n3\. +Caller|\n3\. Caller +Łukasz Lis +requester\n")
        self.assertRegex(self.output, r"\n8\. Opened +29/02/2016 01:23 +created_at, day first\n")
        self.assertIn("\n3 work orders imported from incident.csv. The backup from before is ", self.output)

    def test_next_months_file_takes_three_times_enter(self) -> None:
        self.import_file(SERVICENOW)
        self.put(SERVICENOW.replace("INC0010025", "INC0010026"), "march.csv")
        prompts = self.prompts("march.csv", *[""] * 4)
        self.assertEqual(
            prompts[1:4],
            [
                "Change which column [none]",
                "What to do with 2 work orders that are here already [skip]",
                "Import 1 work order? [yes]",
            ],
        )
        self.assertIn("1 work order imported", self.output)

    def test_it_asks_what_the_file_does_not_tell(self) -> None:
        self.put("Was,Stand,Prio,Wann\nBüro,Weird,1,3/4/2020\n,,,never\n".encode("windows-1252"), "märz 7.csv")
        answers = (
            "",
            "",
            "",
            1,
            "title",
            2,
            "status",
            3,
            "priority",
            4,
            "created_at",
            "",
            "",
            "",
            "hold",
            "crit",
            "month",
            "",
            "",
            "",
        )
        self.prompts(*answers)
        for text in (
            "Are all letters right in Büro,Weird,1,3/4/2020? [yes]",
            "Does the first row name the columns (Was, Stand, Prio, Wann)? [yes]",
            "From which system [märz]",
            '"weird" (1 row) becomes [On Hold]',
            '"1" (1 row) becomes: ',
            "3/4/2020 is [day first]",
            "Leave out the 1 wrong? [yes]",
            "1 work order imported from märz 7.csv",
        ):
            self.assertIn(text, self.output)
        self.assertEqual(
            self.stored("title", "status", "priority", "created_at"), [("Büro", "On Hold", 4, utc(2020, 3, 4))]
        )

    def test_no_imports_nothing(self) -> None:
        self.put(SERVICENOW)
        self.prompts(*[""] * 6, "no")
        self.assertIn("Cancelled. Nothing was saved.", self.output)
        self.assertEqual(self.stored("id"), [])

    def test_an_update_says_what_it_changes(self) -> None:
        self.import_file(SERVICENOW)
        self.put(SERVICENOW.replace("Mouse", "Keyboard"))
        self.prompts("", "", "update", "")
        self.assertIn("title, to update: 1 (first #3: Mouse -> Keyboard).", self.output)
        self.assertIn("Import 0 work orders, and update those that differ? [yes]", self.output)
        self.assertIn("0 work orders imported and 1 updated from incident.csv.", self.output)

    def test_a_username_is_changed_by_its_number(self) -> None:
        self.put("title,reporter\na,王小明\n")
        self.prompts("", "", "", "", 1, "wang", "", "")
        self.assertIn("  1. 王小明 = person.1\n", self.output)
        self.assertEqual(self.stored("requester"), [("wang",)])


if __name__ == "__main__":
    unittest.main()
