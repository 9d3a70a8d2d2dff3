"""Pages: what is saved is one file that loads and runs nothing, tells what the program tells, and can be read."""

import os
import random
import re
import stat
import unittest
from datetime import date, datetime, timedelta
from functools import partial
from html.parser import HTMLParser
from pathlib import Path
from typing import Callable, Dict, List, Optional, Sequence, Tuple

from support import ROOT, DatabaseTestCase, Ended, run
from test_reports import (
    BERLIN,
    FINISHED,
    KATHMANDU,
    NOW,
    ReplayTestCase,
    clock,
    every_report,
    local_zone,
    middle,
    midnight,
    moment,
    needs_zones,
    percent,
    spent,
)

import database
import users
import work_order
from users import AuditFilter, PermissionDeniedError, Session
from work_order import Draft, Filter, Kind, Priority, Query, Report, Sort, Status

posix = unittest.skipIf(os.name == "nt", "Windows has no links and modes of this kind")
HOSTILE = (
    *("<script>alert(1)</script>", "<img src=x onerror=alert(1)>", "<svg/onload=alert(1)>", "</style><style>a{}"),
    *('"><a href="//evil">', "' autofocus onfocus='alert(1)", "</td></tr></table></main>", "<!-- ", " -->", "]]>"),
    *("&lt;b&gt;", "&#60;i&#62;", "&amp", "<base href=//evil>", "@import url(//evil)", "<meta http-equiv=refresh>"),
    *("javascript:alert(1)", "{title}", "%s", "\x1b[31m", "\u202e", "\u2028", "\x85", "<b", "`", "\\", "=1+1", "é漢🖨️"),
)
TAGS = {
    *("html head meta title style body main h1 h2 h3 h4 p small strong svg rect dl div dt dd".split()),
    *("table thead tbody tr th td".split()),
}
ATTRIBUTES = {
    *(("html", "lang"), ("meta", "charset"), ("meta", "name"), ("meta", "content"), ("meta", "http-equiv")),
    *(("p", "class"), ("table", "class"), ("th", "scope"), ("td", "data-heading")),
    *(("svg", name) for name in ("viewbox", "preserveaspectratio", "role", "aria-label")),
    *(("rect", "width"), ("rect", "height")),
}


class Page(HTMLParser):
    """A page as a browser understands it: its elements, its attributes, and the texts of its headings and tables."""

    def __init__(self, path: Path) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: List[str] = []
        self.attributes: List[Tuple[str, str, Optional[str]]] = []
        self.tables: List[List[List[str]]] = []
        self.texts: Dict[str, List[str]] = {}
        self._open: List[str] = []
        self.feed(path.read_text(encoding="utf-8"))
        self.close()
        assert not self._open, self._open

    def handle_starttag(self, tag: str, attrs: Sequence[Tuple[str, Optional[str]]]) -> None:
        self.tags.append(tag)
        self.attributes += [(tag, name, value) for name, value in attrs]
        self.texts.setdefault(tag, []).append("")
        if tag == "table":
            self.tables.append([])
        elif tag == "tr":
            self.tables[-1].append([])
        elif tag in ("th", "td"):
            self.tables[-1][-1].append("")
        if tag != "meta":
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag, tag

    def handle_data(self, data: str) -> None:
        for tag in self._open[-1:]:
            self.texts[tag][-1] += data
        if "td" in self._open or "th" in self._open:
            self.tables[-1][-1][-1] += data

    def handle_comment(self, data: str) -> None:
        raise AssertionError(data)

    handle_pi = unknown_decl = handle_comment


def table(report: Report) -> List[List[str]]:
    """Return what the table of a report's page has to say."""
    headings = [report.name_column, *(column.heading for column in report.columns)]
    return [headings, *([row.name, *(cell.text for cell in row.cells)] for row in report.rows)]


class PageTestCase(DatabaseTestCase):
    def each_kind(self, session: Session) -> List[Callable[[], Path]]:
        period = work_order.parse_period("last 30 days")
        return [
            *(partial(work_order.save_report, session, report) for report in every_report(self.anna, period)),
            lambda: work_order.save_list(session, Query(sort=Sort.OLDEST)),
            lambda: work_order.save_list(session, work_order.search(session, "b")),
            lambda: work_order.save_work_order(session, 1),
            lambda: work_order.monthly_report(session, work_order.parse_month("last month")),
        ]

    def files(self) -> List[Path]:
        folder = self.folder / "exports"
        return sorted(folder.iterdir()) if folder.exists() else []


class SavingTest(PageTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.create(self.uma, "Broken printer", "It beeps.\n  Twice.")

    def test_managers_and_admins_get_each_kind_and_users_none(self) -> None:
        for save in self.each_kind(self.uma):
            with self.assertRaises(PermissionDeniedError):
                save()
        self.assertEqual(self.files(), [])
        saved = [save() for session in (self.max, self.anna) for save in self.each_kind(session)]
        self.assertEqual(self.files(), sorted(saved))

    @posix
    def test_folder_and_file_are_for_their_owner_alone(self) -> None:
        for save in self.each_kind(self.anna):
            path = save()
            self.assertEqual([stat.S_IMODE(each.stat().st_mode) for each in (path.parent, path)], [0o700, 0o600])

    def test_each_stands_in_the_audit_log(self) -> None:
        path = work_order.save_work_order(self.max, 1)
        (entry,) = users.audit_log(self.anna, AuditFilter(event="page saved"), None, 9)
        self.assertEqual((entry.username, entry.subject), ("max", f"{path.name}: Work order #1: Broken printer"))

    def test_one_that_cannot_be_recorded_leaves_no_file(self) -> None:
        self.connection.execute(
            "CREATE TRIGGER refuses BEFORE INSERT ON audit_log BEGIN SELECT RAISE(ABORT, 'not recorded'); END"
        )
        with self.assertRaisesRegex(Exception, "not recorded"):
            work_order.save_work_order(self.anna, 1)
        self.assertEqual(self.files(), [])

    @posix
    def test_it_goes_through_no_link(self) -> None:
        (self.folder / "elsewhere").mkdir()
        (self.folder / "exports").symlink_to(self.folder / "elsewhere")
        with self.assertRaisesRegex(database.OutputError, "is a symbolic link"):
            work_order.save_work_order(self.anna, 1)
        self.assertEqual(list((self.folder / "elsewhere").iterdir()), [])

    def test_a_folder_that_is_a_file_is_said_to_be_none(self) -> None:
        (self.folder / "exports").write_text("")
        with self.assertRaises(database.OutputError):
            work_order.save_work_order(self.anna, 1)

    def test_a_deleted_work_order_has_no_page(self) -> None:
        work_order.delete(self.anna, 1)
        with self.assertRaises(work_order.NotFoundError):
            work_order.save_work_order(self.anna, 1)

    def test_all_of_a_work_order_and_room_for_signatures_stand_on_its_page(self) -> None:
        self.create(self.ugo, "Fuser")
        self.change(self.max, 1, work_order.ASSIGNEE, "max", "+1h 30m waits for\nthe fuser")
        self.change(self.max, 1, work_order.DUE_DATE, work_order.parse_due_date("2026-01-01"))
        work_order.link(self.max, self.get(self.max, 1), Kind.BLOCKED_BY, 2)
        page = Page(work_order.save_work_order(self.max, 1))
        self.assertEqual(page.texts["h1"], ["Work order #1: Broken printer"])
        fields = dict(zip(page.texts["dt"], page.texts["dd"]))
        self.assertEqual((fields["Requester"], fields["Assignee"], fields["Status"]), ("uma", "max", "Open"))
        self.assertEqual((fields["Due date"], fields["Time spent"]), ("2026-01-01", "1h 30m"))
        texts = page.texts["p"]
        self.assertIn("It beeps.\n  Twice.", texts)
        self.assertIn("blocked by #2 Open: Fuser", texts)
        self.assertIn("Signature of the technician", texts)
        for entry in work_order.history(self.max, 1):
            self.assertIn(work_order.describe_entry(entry), texts)

    def test_a_list_has_its_heading_its_order_and_the_places_that_matched(self) -> None:
        for number in range(5):
            self.create(self.ugo, f"Screen {number}", "The cable of the screen", Priority(number % 4 + 1))
        query = Query(Filter(requester="ugo"))
        page = Page(work_order.save_list(self.anna, query))
        self.assertEqual(page.texts["h1"], ["5 work orders: requester ugo, most urgent first"])
        self.assertEqual([row[0] for row in page.tables[0][1:]], list(map(str, self.ids(self.anna, query))))
        found = Page(work_order.save_list(self.anna, work_order.search(self.anna, "cable")))
        self.assertIn("description: The [cable] of the screen", found.texts["small"])

    def test_a_list_has_at_most_1000_rows_and_says_so(self) -> None:
        columns = "title, requester_id, created_at, updated_at"
        numbers = "WITH RECURSIVE counter (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM counter LIMIT 1200)"
        self.connection.execute(
            f"INSERT INTO work_orders ({columns}) {numbers} SELECT {columns} FROM work_orders, counter"
        )
        page = Page(work_order.save_list(self.anna, Query(sort=Sort.OLDEST)))
        self.assertEqual(page.texts["h1"], ["1,000+ work orders, oldest first"])
        self.assertIn("These are the first 1,000.", page.texts["p"])
        self.assertEqual([row[0] for row in page.tables[0][1:]], [str(number) for number in range(1, 1001)])


class ContentTest(PageTestCase):
    def test_hostile_texts_are_texts_and_nothing_is_loaded_or_run(self) -> None:
        chance = random.Random(5)
        strings = ["".join(chance.choices(HOSTILE, k=chance.randint(1, 4)))[:120] for _ in range(500)]
        for number, string in enumerate(strings):
            username = users.add_caller(self.anna, f"{string[:70]} {number}", None)
            category = "".join(filter(str.isprintable, string))[:30]
            work_order.create(
                self.anna, Draft(f"b {string}"[:120], string, Priority.LOW, f"{category}#", username, "max")
            )
            work_order.comment(self.anna, number % 100 + 1, f"b {string}\n{string}")
            if number % 2:
                self.change_status(self.anna, number + 1, Status.RESOLVED, string)
        kinds, said = self.each_kind(self.anna), ""
        kinds += [partial(work_order.save_work_order, self.anna, number) for number in range(2, 101)]
        for save in kinds:
            page = Page(save())
            self.assertLessEqual({*page.tags}, TAGS)
            self.assertLessEqual({(tag, name) for tag, name, _ in page.attributes}, ATTRIBUTES)
            self.assertEqual(page.texts["style"], [work_order._STYLE])
            said += "\n".join(text for texts in page.texts.values() for text in texts)
        for string in strings:
            shown = "\n".join(map(database.printable, work_order.parse_text(f"b {string}").split("\n")))
            self.assertIn(shown, said)
        self.assertNotRegex(said, "[\x1b\u202e\u2028\x85]")

    def test_the_style_loads_nothing_and_every_page_forbids_it_to(self) -> None:
        self.assertNotRegex(work_order._STYLE, r"url|@import|src|<")
        self.create(self.uma)
        for save in self.each_kind(self.anna):
            policy = "default-src 'none'; style-src 'unsafe-inline'"
            self.assertIn(("meta", "content", policy), Page(save()).attributes)

    def test_a_page_names_its_language_headings_rows_and_columns_and_says_what_its_bars_show(self) -> None:
        self.create(self.uma)
        for save in self.each_kind(self.anna):
            page = Page(save())
            self.assertIn(("html", "lang", "en"), page.attributes)
            self.assertEqual(page.texts["h1"], page.texts["title"])
            levels = [int(tag[1]) for tag in page.tags if re.fullmatch("h[1-4]", tag)]
            self.assertEqual(levels.count(1), 1)
            self.assertTrue(all(level <= before + 1 for before, level in zip([0, *levels], levels)))
            self.assertEqual(page.tags.count("th"), [name for _, name, _ in page.attributes].count("scope"))
            bars = [value for tag, name, value in page.attributes if name == "aria-label"]
            self.assertEqual(len(bars), page.tags.count("svg"))
            self.assertFalse([bar for bar in bars if not re.fullmatch("[0-9,]+ of [0-9,]+", bar or "")])

    def test_colours_contrast_enough_light_and_dark(self) -> None:
        """By WCAG 2.2 AA, 4.5 for texts and 3 for pictures."""
        schemes = [dict(re.findall(r"--(\w+): #(\w+)", scheme)) for scheme in work_order._STYLE.split("@media", 1)]
        for scheme in (schemes[0], {**schemes[0], **schemes[1]}):
            for name, least in (("ink", 4.5), ("muted", 4.5), ("late", 4.5), ("bar", 3)):
                lights = sorted(luminance(scheme[each]) for each in (name, "paper"))
                self.assertGreaterEqual((lights[1] + 0.05) / (lights[0] + 0.05), least, name)

    def test_a_year_by_weeks_and_300_people_fit(self) -> None:
        rows = ((f"technician.{number:03}", "x", "manager", database.now()) for number in range(300))
        self.connection.executemany(
            "INSERT INTO users (username, password_hash, role, created_at) VALUES (?, ?, ?, ?)", rows
        )
        self.create(self.max, assignee="technician.007")
        year = work_order.parse_period("2025-01-01 to 2025-12-31")
        for report, count in (
            (work_order.weekly_flow(self.max, year), 53),
            (work_order.workload(self.max, year), 303),
        ):
            page = Page(work_order.save_report(self.max, report))
            self.assertEqual(page.tables, [table(report)])
            self.assertEqual(len(report.rows), count)


def luminance(colour: str) -> float:
    """Return the relative luminance of #rgb or #rrggbb by WCAG 2.2."""
    digits = colour if len(colour) == 6 else "".join(2 * digit for digit in colour)
    parts = (int(digits[place : place + 2], 16) / 255 for place in (0, 2, 4))
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


@needs_zones
class NumbersTest(ReplayTestCase):
    """What the pages say against the reports, and the month against an independent count."""

    def test_a_report_has_the_numbers_of_the_program(self) -> None:
        for name in ("all", "2024-03", "last 90 days"):
            period = work_order.parse_period(name)
            for report in every_report(self.max, period):
                page = Page(work_order.save_report(self.max, report))
                self.assertEqual(page.texts["h1"], [report.title])
                self.assertEqual(page.tables[0], table(report))
                for column in report.columns:
                    self.assertIn(column.meaning, page.texts["p"][-1])

    def test_the_month_stands_beside_the_month_before(self) -> None:
        for zone in (BERLIN, KATHMANDU):
            with local_zone(zone):
                for name, last in (("last month", 3), ("2024-04", 4)):
                    page = Page(work_order.monthly_report(self.max, work_order.parse_month(name)))
                    first, second, third = (
                        midnight(zone, date(2024, month, 1)) for month in (last - 1, last, last + 1)
                    )
                    third = min(third, moment(NOW) + timedelta(seconds=1))
                    month, before = self.counted(second, third), self.counted(first, second)
                    numbers, times = page.tables[:2]
                    self.assertEqual(numbers[0], ["Work orders", f"2024-0{last}", f"2024-0{last - 1}"])
                    self.assertEqual([tuple(row[1:]) for row in numbers[1:]], list(zip(month, before)))
                    took, took_before = self.timed(second, third), self.timed(first, second)
                    shown = dict(zip(times[0], times[-1]))
                    for heading, value in took.items():
                        self.assertEqual(shown[heading], f"{value}\n({took_before[heading]})", heading)

    def counted(self, begin: datetime, end: datetime) -> List[str]:
        """Return what was created, resolved, reopened, unfinished at the end, and spent."""

        def happened(is_it: Callable[[str, str], bool]) -> int:
            found = (
                any(begin <= at < end and is_it(old, new) for at, old, new in case.changes()) for case in self.cases
            )
            return sum(found)

        is_over = end <= moment(NOW)
        noted = [entry for case in self.cases for entry in case.history if begin <= moment(entry["changed_at"]) < end]
        counts = (
            sum(begin <= case.created < end for case in self.cases),
            happened(lambda _, new: new == "Resolved"),
            happened(lambda old, new: old in FINISHED and new not in FINISHED),
            sum(case.is_unfinished_at(end) if is_over else not case.is_finished for case in self.cases),
        )
        return [*map(str, counts), spent(sum(entry["minutes"] for entry in noted))]

    def timed(self, begin: datetime, end: datetime) -> Dict[str, str]:
        """Return how long it took what was resolved."""
        resolved = [case for case in self.cases if case.row["resolved_at"]]
        resolved = [case for case in resolved if begin <= moment(case.row["resolved_at"]) < end]
        due = [case.row for case in resolved if case.row["due_at"]]
        reopened = [case.reopened(begin, end) for case in self.cases]
        return {
            "Count": str(len(resolved)),
            "Median": middle([case.seconds() for case in resolved]),
            "On time": percent([row["resolved_at"] <= row["due_at"] for row in due]),
            "Reopened": percent([each for each in reopened if each is not None]),
        }

    def test_what_stands_now_has_the_numbers_of_the_program_and_says_of_when(self) -> None:
        month = work_order.parse_month("last month")
        page = Page(work_order.monthly_report(self.max, month))
        reports = (
            work_order.weekly_flow(self.max, work_order.parse_period("2024-02-01 to 2024-03-31")),
            work_order.backlog(self.max),
            work_order.workload(self.max, month),
        )
        for report in reports:
            self.assertIn(table(report), page.tables)
        self.assertIn(f"As of {work_order.local_time(moment(NOW))}", page.texts["h2"])
        overdue = self.ids(self.max, Query(work_order.OVERDUE, Sort.DUE))
        self.assertIn(f"Overdue: {len(overdue)} work orders", page.texts["h3"])
        self.assertEqual([row[0] for row in page.tables[-1][1:]], list(map(str, overdue)))


class MonthTest(DatabaseTestCase):
    def test_a_month_is_the_last_one_or_has_a_number(self) -> None:
        with clock(NOW):
            months = {text: work_order.parse_month(text).name for text in ("last month", " LAST  Month", "2024-04")}
            self.assertEqual([*months.values()], ["2024-03", "2024-03", "2024-04"])
            self.assertEqual(work_order.parse_month("2024-03"), work_order.parse_month("last month"))

    def test_what_is_no_month_is_refused(self) -> None:
        for text in (
            "nonsense",
            "2024-13",
            "2999-01",
            "1999-12",
            "last 30 days",
            "2024-01-01 to 2024-01-31",
            "",
            "all",
        ):
            with self.assertRaisesRegex(users.InvalidInputError, "A month is last month, or one such as 2026-10"):
                work_order.parse_month(text)

    def test_the_first_month_there_is_stands_beside_the_one_before(self) -> None:
        page = Page(work_order.monthly_report(self.max, work_order.parse_month("2000-01")))
        self.assertIn("2000-01 beside 1999-12", page.texts["h2"])

    def test_it_shows_the_first_50_overdue_and_how_many_there_are(self) -> None:
        columns = "title, requester_id, created_at, updated_at, due_at, due_by, overdue_at, due_rank"
        past = "2026-01-01T00:00:00+00:00"
        row = ("'Late'", "1", *[f"'{past}'"] * 3, "'hand'", *[f"'{past}'"] * 2)
        self.connection.executescript(f"INSERT INTO work_orders ({columns}) VALUES ({', '.join(row)});" * 51)
        page = Page(work_order.monthly_report(self.max, work_order.parse_month("last month")))
        self.assertIn("Overdue: 51 work orders, the first 50", page.texts["h3"])
        self.assertEqual(len(page.tables[-1]), 1 + 50)


class CommandTest(DatabaseTestCase):
    def report(self, *arguments: str) -> Ended:
        return run(self.path, arguments=arguments, program=ROOT / "work_order.py")

    def test_it_saves_the_report_prints_its_path_and_is_audited_as_the_system_user(self) -> None:
        for arguments, month in (
            (("report",), work_order.parse_month("last month").name),
            (("report", "2026-10"), "2026-10"),
        ):
            ended = self.report(*arguments)
            self.assertEqual(ended.code, 0, ended.output)
            page = Page(Path(ended.output.rstrip("\n")))
            self.assertEqual(page.texts["h1"], [f"Monthly report, {month}"])
            entry = users.audit_log(self.anna, AuditFilter(), None, 1)[0]
            self.assertEqual((entry.event, entry.username), ("page saved", ""))

    def test_anything_else_is_refused_with_its_usage(self) -> None:
        for arguments in (
            ("report", "nonsense"),
            ("report", "2999-01"),
            ("report", "2026-10", "x"),
            ("x",),
            ("--help",),
        ):
            ended = self.report(*arguments)
            self.assertEqual(ended.code, 2)
            self.assertIn("usage: python work_order.py [report [2026-10]]\n", ended.output)
        self.assertFalse((self.folder / "exports").exists())

    def test_without_a_database_it_makes_none(self) -> None:
        missing = self.folder / "missing.db"
        ended = run(missing, arguments=("report",), program=ROOT / "work_order.py")
        self.assertEqual((ended.code, missing.exists()), (1, False), ended.output)


class ScreenTest(DatabaseTestCase):
    saved = r"Saved as \S+exports/test-\S+\.html\.\n"

    def test_the_month_takes_three_answers_from_the_main_menu(self) -> None:
        output = self.run_as("max", "Reports", "Monthly report", "", 0)
        self.assertRegex(output, rf"Month \[last month\]: \n{self.saved}")
        output = self.run_as("max", "Reports", "Monthly report", "soon", "?", "2026-10", 0)
        self.assertRegex(output, rf"(?s)Error: A month is last month.*A month is last month.*Month.*: \n{self.saved}")

    def test_a_list_a_work_order_and_a_report_are_saved_from_their_menus(self) -> None:
        self.create(self.uma)
        output = self.run_as(
            "max", "View work orders", "ListScreen: Save as a page", "#1", "WorkOrderScreen: Save as a page"
        )
        self.assertEqual(len(re.findall(self.saved, output)), 2, output)
        output = self.run_as("max", "Reports", "Weekly flow", "", "ReportScreen: Save as a page")
        self.assertEqual(len(re.findall(self.saved, output)), 1, output)

    def test_a_user_and_an_empty_list_have_no_such_option(self) -> None:
        self.assertNotIn("Save as a page", self.run_as("max", "View work orders"))
        self.create(self.uma)
        output = self.run_as("uma", "View work orders", "#1")
        self.assertIn("11. Show history", output)
        self.assertNotIn("Save as a page", output)


if __name__ == "__main__":
    unittest.main()
