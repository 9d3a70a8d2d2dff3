"""Pages: what is saved is one file that loads and runs nothing, tells what the program tells, and can be read."""

import os
import re
import stat
from datetime import datetime, timedelta, timezone
from functools import partial
from html.parser import HTMLParser
from pathlib import Path
from typing import Callable, List, Optional, Sequence, Tuple
from unittest import mock

from support import ROOT, DatabaseTestCase, Ended, run

import database
import users
import work_order
from users import AuditFilter, InvalidInputError, Session
from work_order import Grouping, Kind, Period, Priority, Query, Report, Sort, Status

DAY = timedelta(days=1)
HOSTILE = (
    *("<script>alert(1)</script>", "<img src=x onerror=alert(1)>", "<svg/onload=alert(1)>", "</style><style>a{}"),
    *('"><a href="//evil">', "' autofocus onfocus='alert(1)", "</td></tr></table></main>", "<!-- ", " -->", "]]>"),
    *("&lt;b&gt;", "&#60;i&#62;", "&amp", "<base href=//evil>", "@import url(//evil)", "<meta http-equiv=refresh>"),
    *("javascript:alert(1)", "{title}", "%s", "\x1b[31m", "\u202e", "\u2028", "\x85", "<b", "`", "\\", "=1+1", "é漢🖨️"),
)


class Page(HTMLParser):
    """A page as a browser understands it: its attributes, and its elements with their own texts as they end."""

    def __init__(self, path: Path) -> None:
        super().__init__(convert_charrefs=True)
        self.attributes: List[Tuple[str, Optional[str]]] = []
        self.elements: List[Tuple[str, str]] = []
        self._open = [["", ""]]
        self.feed(path.read_text(encoding="utf-8"))
        self.close()

    def handle_starttag(self, tag: str, attrs: Sequence[Tuple[str, Optional[str]]]) -> None:
        self.attributes += attrs
        if tag != "meta":
            self._open.append([tag, ""])

    def handle_data(self, data: str) -> None:
        self._open[-1][1] += data

    def handle_endtag(self, tag: str) -> None:
        opened, text = self._open.pop()
        assert opened == tag, (opened, tag)
        self.elements.append((tag, text))

    def texts(self, *tags: str) -> List[str]:
        return [text for tag, text in self.elements if tag in tags]

    def values(self, name: str) -> List[Optional[str]]:
        return [value for attribute, value in self.attributes if attribute == name]

    def cells(self) -> str:
        return " | ".join(self.texts("th", "td"))


def cells(report: Report) -> str:
    """Return what the table of a report's page has to say."""
    rows = [[row.name, *(cell.text for cell in row.cells)] for row in report.rows]
    headings = [report.name_column, *(column.heading for column in report.columns)]
    return " | ".join(text for row in (headings, *rows) for text in row)


def reports(session: Session, period: Period) -> List[Report]:
    times = [work_order.resolution_times(session, period, grouping) for grouping in Grouping]
    others = work_order.backlog(session), work_order.workload(session, period)
    return [*times, *others, work_order.weekly_flow(session, period)]


class PageTest(DatabaseTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.create(self.uma, "Broken printer", "It beeps.\n  Twice.")

    def each_kind(self, session: Session) -> List[Callable[[], Path]]:
        month = work_order.parse_month("last month")
        return [
            *(partial(work_order.save_report, session, report) for report in reports(self.anna, month)),
            partial(work_order.save_list, session, Query(sort=Sort.OLDEST)),
            partial(work_order.save_list, session, work_order.search(session, "b")),
            partial(work_order.save_work_order, session, 1),
            partial(work_order.monthly_report, session, month),
        ]

    def test_managers_and_admins_get_each_kind_in_a_file_of_its_own(self) -> None:
        saved = {save() for session in (self.max, self.anna) for save in self.each_kind(session)}
        self.assertEqual({*self.folder.glob("exports/*")}, saved)
        if os.name != "nt":
            self.assertEqual({stat.S_IMODE(path.stat().st_mode) for path in saved}, {0o600})

    def test_each_stands_in_the_audit_log_and_one_that_does_not_leaves_no_file(self) -> None:
        path = work_order.save_work_order(self.max, 1)
        (entry,) = users.audit_log(self.anna, AuditFilter(event="page saved"), None, 9)
        self.assertEqual((entry.username, entry.subject), ("max", f"{path.name}: Work order #1: Broken printer"))
        self.connection.execute("CREATE TRIGGER no BEFORE INSERT ON audit_log BEGIN SELECT RAISE(ABORT, 'no'); END")
        with self.assertRaises(database.EXPECTED_FAULTS):
            work_order.save_work_order(self.anna, 1)
        self.assertEqual(list(self.folder.glob("exports/*")), [path])

    def test_a_folder_that_cannot_be_made_and_a_work_order_that_was_deleted_are_refused(self) -> None:
        (self.folder / "exports").write_text("")
        with self.assertRaises(database.OutputError):
            work_order.save_work_order(self.anna, 1)
        work_order.delete(self.anna, 1)
        with self.assertRaises(work_order.NotFoundError):
            work_order.save_work_order(self.anna, 1)

    def test_hostile_texts_are_texts(self) -> None:
        saves = self.each_kind(self.anna)
        pages = [Page(save()) for save in saves]
        known = {name for page in pages for name, _ in (*page.attributes, *page.elements)}
        strings = [f"b {first}{second}" for first, second in zip(HOSTILE, HOSTILE[1:] + HOSTILE[:1])]
        for number, string in enumerate(strings, 2):
            username = users.add_caller(self.anna, string, None)
            category = "".join(filter(str.isprintable, string))[:40]
            self.create(self.anna, string, string, category=category, requester=username)
            work_order.comment(self.anna, number, f"{string}\n{string}")
            self.change_status(self.anna, number, Status.RESOLVED, string)
            saves.append(partial(work_order.save_work_order, self.anna, number))
        pages = [Page(save()) for save in (*self.each_kind(self.anna), *saves)]
        self.assertEqual({name for page in pages for name, _ in (*page.attributes, *page.elements)}, known)
        said = "\n".join(text for page in pages for _, text in page.elements)
        for string in strings:
            shown = "\n".join(map(database.printable, work_order.parse_text(string).split("\n")))
            self.assertIn(shown, said)
        self.assertNotRegex(said, "[\x1b\u202e\u2028\x85]")

    def test_it_loads_nothing_and_names_its_language_headings_rows_columns_and_bars(self) -> None:
        for path in [save() for save in self.each_kind(self.anna)]:
            page = Page(path)
            self.assertNotRegex(path.read_text(), r"<(script|img|link|iframe)|(src|href)=|url\(|@import")
            self.assertIn("default-src 'none'; style-src 'unsafe-inline'", page.values("content"))
            self.assertEqual(page.values("lang"), ["en"])
            self.assertEqual(page.texts("h1"), page.texts("title"))
            levels = [int(tag[1]) for tag, _ in page.elements if re.fullmatch("h[1-4]", tag)]
            self.assertTrue(all(level <= before + 1 for before, level in zip([0, *levels], levels)))
            counts = (levels.count(1), len(page.values("scope")), len(page.values("aria-label")))
            self.assertEqual(counts, (1, len(page.texts("th")), len(page.texts("svg"))))
            for label in page.values("aria-label"):
                self.assertRegex(label or "", "^[0-9,]+ of [0-9,]+$")

    def test_colours_contrast_enough_light_and_dark(self) -> None:
        """By WCAG 2.2 AA, 4.5 for texts and 3 for pictures."""
        (style,) = Page(work_order.save_work_order(self.anna, 1)).texts("style")
        light, dark = (dict(re.findall(r"--(\w+): #(\w+)", scheme)) for scheme in style.split("@media", 1))
        for scheme in (light, {**light, **dark}):
            for name, least in (("ink", 4.5), ("muted", 4.5), ("late", 4.5), ("bar", 3)):
                lights = sorted(luminance(scheme[each]) for each in (name, "paper"))
                self.assertGreaterEqual((lights[1] + 0.05) / (lights[0] + 0.05), least, name)

    def test_all_of_a_work_order_and_room_for_signatures_stand_on_its_page(self) -> None:
        self.create(self.ugo, "Fuser")
        self.change(self.max, 1, work_order.ASSIGNEE, "max", "+1h 30m waits for\nthe fuser")
        self.change(self.max, 1, work_order.DUE_DATE, work_order.parse_due_date("2026-01-01"))
        work_order.link(self.max, self.get(self.max, 1), Kind.BLOCKED_BY, 2)
        page = Page(work_order.save_work_order(self.max, 1))
        fields = dict(zip(page.texts("dt"), page.texts("dd")))
        expected = {"Requester": "uma", "Assignee": "max", "Status": "Open", "Due date": "2026-01-01"}
        self.assertEqual(fields, {**fields, **expected, "Time spent": "1h 30m"})
        history = map(work_order.describe_entry, work_order.history(self.max, 1))
        texts = ("It beeps.\n  Twice.", "blocked by #2 Open: Fuser", "Signature of the technician", *history)
        self.assertLessEqual({*texts}, {*page.texts("p")})

    def test_a_list_has_its_heading_its_order_the_places_that_matched_and_at_most_1000_rows(self) -> None:
        self.create(self.ugo, "Screen", "The cable of the screen", priority=Priority.HIGH)
        page = Page(work_order.save_list(self.anna, work_order.search(self.anna, "cable")))
        self.assertEqual(page.texts("small"), ["description: The [cable] of the screen"])
        columns = "title, requester_id, created_at, updated_at"
        numbers = "WITH RECURSIVE counter (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM counter LIMIT 500)"
        select = f"{numbers} SELECT {columns} FROM work_orders, counter"
        self.connection.execute(f"INSERT INTO work_orders ({columns}) {select}")
        page = Page(work_order.save_list(self.anna, Query()))
        self.assertEqual(page.texts("h1"), ["1,000+ work orders, most urgent first"])
        self.assertIn("These are the first 1,000.", page.texts("p"))
        self.assertEqual(page.texts("th")[9:], [str(number) for number in (2, 1, *range(3, 1001))])


def luminance(colour: str) -> float:
    """Return about the relative luminance of #rgb or #rrggbb by WCAG 2.2."""
    digits = colour if len(colour) == 6 else "".join(2 * digit for digit in colour)
    red, green, blue = ((int(digits[place : place + 2], 16) / 255) ** 2.2 for place in (0, 2, 4))
    return float(0.2126 * red + 0.7152 * green + 0.0722 * blue)


class MonthTest(DatabaseTestCase):
    def test_a_month_is_the_last_one_or_has_a_number(self) -> None:
        last = f"{datetime.now().replace(day=1) - DAY:%Y-%m}"
        months = [work_order.parse_month(text) for text in ("last month", " LAST  Month", last)]
        self.assertEqual(([month.name for month in months], len({*months})), ([last] * 3, 1))
        for text in ("x", "2024-13", "2999-01", "1999-12", "last 30 days", "2024-01-01 to 2024-01-31", "", "all"):
            with self.assertRaisesRegex(InvalidInputError, "A month is last month, or one such as 2026-10"):
                work_order.parse_month(text)

    def test_a_report_and_what_stands_now_in_a_month_have_the_numbers_and_meanings_of_the_program(self) -> None:
        order = [*range(26, 52), *range(1, 26)]
        for number in range(1, 52):
            self.create(self.max, assignee="max")
            due_at = work_order.parse_due_date(f"2020-01-01 00:{order.index(number):02}")
            self.change(self.max, number, work_order.DUE_DATE, due_at)
        *times, backlog, workload, flow = reports(self.max, work_order.parse_period("2000-01-01 to 2099-12-31"))
        for report in (*times, backlog, workload, flow):
            page = Page(work_order.save_report(self.max, report))
            self.assertEqual(page.cells()[: len(cells(report))], cells(report))
            for column in report.columns:
                self.assertIn(column.meaning, page.texts("p")[-1])
        month = Page(work_order.monthly_report(self.max, work_order.parse_month("2000-02")))
        of_month = work_order.weekly_flow(self.max, work_order.parse_period("2000-01-01 to 2000-02-29"))
        for report in (backlog, workload, of_month):
            self.assertIn(cells(report), month.cells())
        self.assertRegex(month.texts("h2")[-1], r"^As of \d{4}-\d\d-\d\d \d\d:\d\d$")
        self.assertIn("Overdue: 51 work orders, the first 50", month.texts("h3"))
        self.assertEqual(month.texts("th")[-50:], list(map(str, order[:50])))
        work_order.delete(self.anna, 1)
        month = Page(work_order.monthly_report(self.max, work_order.parse_month("2000-01")))
        self.assertIn("2000-01 beside 1999-12", month.texts("h2"))
        self.assertIn("Overdue: 50 work orders", month.texts("h3"))


class CommandTest(DatabaseTestCase):
    """The monthly report from the command line, in a zone whose midnight is not that of UTC."""

    def report(self, path: Path, *arguments: str) -> Ended:
        return run(path, arguments=arguments, program=ROOT / "work_order.py", TZ="NPT-5:45")

    def happen(self, at: datetime, is_reopened: bool = True) -> None:
        """Let a work order be created, resolved with the time spent, and reopened in the same second."""
        with mock.patch.object(work_order, "now", return_value=database.utc_text(at)):
            number = self.create(self.uma).id
            self.change_status(self.max, number, Status.RESOLVED, "+30m")
            if is_reopened:
                self.change_status(self.uma, number, Status.OPEN)

    def test_the_month_stands_beside_the_month_before_and_is_audited_as_the_system_user(self) -> None:
        now, second = datetime.now(timezone(timedelta(hours=5, minutes=45))), timedelta(seconds=1)
        this = now.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
        last = (this - DAY).replace(day=1)
        before = (last - DAY).replace(day=1)
        for at in (before - second, before, last - second, last, last + DAY, this - second, this):
            self.happen(at)
        self.happen(last + DAY, is_reopened=False)
        counts = "Created | 4 | 2 | Resolved | 4 | 2 | Reopened | 3 | 2 | Unfinished at the end, or now | 6 | 3"
        numbers = f"Work orders | {last:%Y-%m} | {before:%Y-%m} | {counts} | Time spent | 2h 0m | 1h 0m"
        for arguments in (("report",), ("report", f"{last:%Y-%m}")):
            page = Page(Path(self.report(self.path, *arguments).output.rstrip("\n")))
            self.assertEqual(page.texts("h1"), [f"Monthly report, {last:%Y-%m}"])
            self.assertIn(numbers, page.cells())
            self.assertIn("(all) | 1\n(0)", page.cells())
            entry = users.audit_log(self.anna, AuditFilter(), None, 1)[0]
            self.assertEqual((entry.event, entry.username), ("page saved", ""))

    def test_in_the_running_month_unfinished_is_what_is_so_now(self) -> None:
        self.happen(datetime.now(timezone.utc) + 40 * DAY)
        month = work_order.parse_month(f"{datetime.now():%Y-%m}")
        page = Page(work_order.monthly_report(self.max, month._replace(end=month.end + DAY)))
        self.assertIn("Unfinished at the end, or now | 1 | 0 |", page.cells())

    def test_anything_else_is_refused_with_its_usage_and_without_a_database_it_makes_none(self) -> None:
        ended = self.report(self.path, "report", "nonsense")
        self.assertEqual(ended.code, 2)
        self.assertIn("usage: python work_order.py [report [2026-10]]\n", ended.output)
        for arguments in (("report", "2999-01"), ("report", "2026-10", "x"), ("x",), ("--help",)):
            with self.assertRaises(InvalidInputError):
                work_order.parse_command(arguments)
        self.assertEqual(self.report(self.folder / "missing.db", "report").code, 1)
        self.assertEqual(list(self.folder.iterdir()), [self.path])


class ScreenTest(DatabaseTestCase):
    def test_a_list_a_work_order_a_report_and_a_month_are_saved_from_their_menus(self) -> None:
        self.create(self.uma)
        from_list = ("View work orders", "Filter", "medium", 10, "#1")
        months = ("Back", "Monthly report", "", "Monthly report", "soon", "?", "2026-10")
        output = self.run_as("max", *from_list, 14, "00", "Reports", "Backlog", 3, *months)
        self.assertRegex(output, r"Month \[last month\]: \nSaved as ")
        self.assertRegex(output, r"(?s)Error: A month is last month.*A month is last month.*Month.*: \nSaved as ")
        saved = re.findall(r"Saved as (\S+exports/test-\S+\.html)\.\n", output)
        headings = "; ".join(Page(Path(path)).texts("h1")[0] for path in saved)
        self.assertRegex(
            headings, "^1 work order: priority Medium.*; Work order #1: .*; Backlog: .*; Monthly .*; .* 2026-10$"
        )
