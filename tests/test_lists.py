"""Lists of work orders: filters, orders, pages, columns, My work, and changing many at once."""

import re
from datetime import datetime, timedelta, timezone
from typing import List

from support import PASSWORD, DatabaseTestCase

import main
import work_order
from users import Role
from work_order import ASSIGNEE, DUE_DATE, PRIORITY, Priority, Query, Sort, Status

LATE = datetime(2020, 1, 1, tzinfo=timezone.utc)


class ListTestCase(DatabaseTestCase):
    def create_many(self, number: int) -> None:
        for each in range(number):
            self.create(self.uma, f"Title {each}.")


class FilterTest(DatabaseTestCase):
    def test_filters_add_up_and_are_taken_away_one_by_one_or_all(self) -> None:
        for priority in Priority:
            self.create(self.uma, priority=priority)
        self.change(self.max, 4, DUE_DATE, LATE)
        narrowed = ("Filter", "status", "open", "Filter", "high+", "Filter", "status", "any")
        output = self.run_as("max", "View work orders", *narrowed, "Filter", "", "Clear filter")
        headings = re.findall(r"\n(\d work orders.*), 1 overdue, most urgent first", output)
        any_status = "2 work orders: priority High or above"
        expected = ["4 work orders", "4 work orders: Open", "2 work orders: Open, priority High or above"]
        self.assertEqual(headings, [*expected, any_status, any_status, "4 work orders"])
        menu = "\n  3. Open work order\n  4. Filter\n  5. Sort\n{}  7. Export to CSV\n  8. Change all\n  10. Save"
        self.assertEqual([output.count(menu.format(clear)) for clear in ("", "  6. Clear filter\n")], [2, 4])
        self.assertIn("Filter by: \nCancelled.\n\n2 work orders", output)

    def test_each_prompt_refuses_wrong_answers_and_takes_an_empty_one_for_any(self) -> None:
        self.create(self.uma)
        wrong = {"status": "blue", "priority": "blue", "category": "Hardware", "requester": "ghost"}
        wrong |= {"assignee": "none", "due": "someday", "created": "never", "resolved": "never"}
        answers = [answer for name, text in wrong.items() for answer in ("Filter", name, text, "")]
        several = ("Filter", "high, low", "open, max", "done, low", "Clear filter")
        periods = ("Filter", "created", "2", "Filter", "resolved", "last 7")
        output = self.run_as("max", "View work orders", *answers, *several, *periods)
        self.assertEqual(output.count("\nError: "), 10)
        self.assertEqual(output.count("\n1 work order, most urgent first (page 1 of 1)\n"), 10)
        self.assertIn("Error: Give one value for priority, not two.\nFilter by: ", output)
        self.assertIn('Error: Nothing is known as "max".', output)
        self.assertRegex(output, r"1 work order: created from [-0-9]+ to [-: 0-9]+, most urgent")
        self.assertRegex(output, r"No work orders: created .*, resolved from [-0-9]+ to [-: 0-9]+, most urgent")


class ListTest(ListTestCase):
    def test_filter_order_and_page_stay_while_work_orders_are_looked_at(self) -> None:
        self.create_many(25)
        self.pass_time(days=1)
        for number in (1, 2, 3):
            self.change(self.max, number, DUE_DATE, LATE - timedelta(days=number))
        self.change_status(self.max, 3, Status.RESOLVED)
        self.assertEqual(self.ids(self.max), [1, 2, *range(4, 26), 3])
        self.assertEqual(self.ids(self.max, Query(sort=Sort.DUE)), [2, 1, *range(4, 26), 3])
        self.assertEqual(self.ids(self.max, Query(sort=Sort.CHANGED))[:3], [3, 2, 1])
        narrowed = ("View work orders", "Sort", "", "Filter", "medium", "Next page", "Sort", "newest", "Next page")
        looks = ("Open work order", 3, "Back", "# 4", "#99", "Show history", "#5", "Back")
        output = self.run_as("max", *narrowed, *looks)
        self.assertIn("Sort by [urgency]: \n\n25 work orders, 2 overdue, most urgent first", output)
        heading = r"25 work orders: priority Medium, 2 overdue, newest first \(page (\d) of 2\)"
        self.assertEqual(re.findall(heading, output), ["1", "2", "2", "2"])
        self.assertEqual(re.findall("\nWork order #([0-9]): ", output), ["3", "4", "4", "4", "5"])
        self.assertIn("Error: There is no work order #99.", output)

    def test_a_search_shows_where_it_matched_and_another_one_keeps_filter_and_order(self) -> None:
        self.create(self.uma, "Printer jams")
        self.create(self.ugo, "Toner", priority=Priority.LOW)
        work_order.comment(self.max, 2, "like the printer upstairs")
        searches = ("Search work orders", "printr", "Search again", "print", "Filter", "low", "Sort", "old")
        output = self.run_as("max", *searches, "Search again", "toner", "Search again", "")
        empty = r'No work orders: containing "printr" anywhere, newest first \(page 1 of 1\)'
        self.assertRegex(output, rf"\n{empty}\n  4. Filter\n  5. Sort\n  9. Search again\n  0. Back\n")
        self.assertIn("Search for [printr]: ", output)
        self.assertIn('\n2 work orders: containing "print", newest first (page 1 of 1)\n', output)
        self.assertIn("\n    comment: like the [print]er upstairs\n", output)
        self.assertIn('\n1 work order: containing "print", priority Low, newest first (page 1 of 1)\n', output)
        self.assertEqual(output.count('1 work order: containing "toner", priority Low, oldest first'), 2)


class PageTest(ListTestCase):
    def test_next_and_previous_stand_only_where_there_is_such_a_page_and_an_empty_one_is_left(self) -> None:
        self.create_many(41)
        talk = self.talk()
        talk.log_in("uma")
        pages = []
        for step in ("View work orders", "Next page", "Next page", "", "Previous page"):
            talk.choose(step)
            pages.append(talk.expect("0. Back\n"))
            if len(pages) == 3:
                work_order.delete(self.anna, 41)
        numbers = [re.findall(r"\(page (\d of \d)\)", page)[0] for page in pages]
        self.assertEqual(numbers, ["1 of 3", "2 of 3", "3 of 3", "2 of 2", "1 of 2"])
        self.assertEqual(["1. Next page" in page for page in pages], [True, True, False, False, True])
        self.assertEqual(["2. Previous page" in page for page in pages], [False, True, True, True, False])
        self.assertEqual(["".join(pages[:3]).count(f"Title {number}.") for number in range(41)], [1] * 41)

    def test_nothing_is_repeated_or_skipped_when_others_change_what_is_on_other_pages(self) -> None:
        self.create_many(45)
        for sort in Sort:
            page, seen = work_order.find(self.max, Query(sort=sort), None, 20), []
            for number in (21, 31, 45):
                work_order.comment(self.max, number, "moved")
                self.change(self.max, number, PRIORITY, Priority.CRITICAL)
            while page.work_orders:
                seen += [each.id for each in page.work_orders]
                page = work_order.find(self.max, Query(sort=sort), page.work_orders[-1], 20)
            self.assertEqual(len({*seen}), len(seen), sort)
            self.assertLessEqual({*range(1, 46)} - {21, 31, 45}, {*seen}, sort)


class ColumnTest(DatabaseTestCase):
    """A list of two pages, the first with short rows: width and filter alone decide on the columns."""

    def setUp(self) -> None:
        super().setUp()
        self.session("maria.del.carmen.montserrat", Role.MANAGER, ("anna", PASSWORD))
        for _ in range(20):
            self.create(self.uma, "Short", priority=Priority.CRITICAL)
        for title in ("印刷機が紙を噛む " * 6, "A plain title " * 8, "x" * 120):
            self.create(self.uma, title)
        self.change(self.max, 23, ASSIGNEE, "maria.del.carmen.montserrat")
        self.change(self.max, 23, PRIORITY, Priority.LOW)
        self.change_status(self.max, 23, Status.IN_PROGRESS)
        self.change(self.max, 23, DUE_DATE, LATE)

    def lines(self, columns: int, *answers: str) -> List[str]:
        """Return the headings of the columns and the rows from 21 on."""
        output = self.run_as("max", *answers, COLUMNS=str(columns))
        self.assertIn("(page 1 of ", output)
        self.assertLessEqual(max(map(main.cell_width, output.split("\n"))), columns)
        return re.findall("^(?:ID |2[1-3] +[LM]).*", output, re.MULTILINE)

    def test_they_depend_on_width_and_filter_and_what_is_overdue_always_says_so(self) -> None:
        for columns, expected, late in (
            (40, "ID Pri Stat Title", r"Low +Prog +overdue: x+\.\.\."),
            (50, "ID Pri Stat Title Due", r"Low +Prog +x{15,}\.\.\. +overdue \d+d"),
            (80, "ID Priority Status Title Assignee Due", r"In Progress +x{21,}\.\.\. +maria.d\.\.\. +overdue \d+d"),
            (160, "ID Priority Status Title Category Requester Assignee Age Due", r"x+\.\.\. +uma +maria.* \d+d"),
        ):
            with self.subTest(columns=columns):
                first, second, wide, plain, late_one = self.lines(columns, "View work orders", "Next page")
                self.assertEqual((first.split(), second.split()), (expected.split(), expected.split()))
                self.assertRegex(late_one, f"{late}$")
                if columns >= 80:
                    self.assertEqual(main.cell_width(wide), main.cell_width(plain))
        unassigned, overdue, _ = self.lines(80, "My work", "Unassigned", "Back", "Overdue")
        self.assertEqual(unassigned.split(), "ID Priority Status Title Age Due".split())
        self.assertIn("Assignee", overdue)


class MyWorkTest(DatabaseTestCase):
    """The line under the main menu's heading, and the screen with the same numbers."""

    def setUp(self) -> None:
        super().setUp()
        soon, late = (work_order.parse_due_date(text) for text in ("today", "2020-01-01"))
        for session, assignee, due_at in (
            *((self.uma, "max", late), (self.uma, "max", soon), (self.ugo, None, None)),
            *((self.max, "anna", None), (self.ugo, "max", late), (self.ugo, "anna", late)),
        ):
            number = self.create(session).id
            self.change(self.anna, number, ASSIGNEE, assignee)
            self.change(self.anna, number, DUE_DATE, due_at)
        self.change_status(self.ugo, 5, Status.CANCELLED)

    def test_a_managers_counts_are_those_of_the_lists(self) -> None:
        output = self.run_as("max", "My work", 1, "Back", 2, "Back", 3, "Back", 4, "Back", 5)
        self.assertIn("\n  2 assigned to you, 1 of them overdue; 1 unassigned; 4 changed by others\n", output)
        self.assertIn("\n  1. Assigned to me: 2, 1 overdue\n  2. Unassigned: 1\n", output)
        self.assertIn("\n  3. Overdue: 2, 1 of them yours\n  4. Due this week: 1\n  5. Requested by me: 1\n", output)
        expected = [
            "2 work orders: unfinished, assignee max, 1 overdue, most urgent first",
            "1 work order: unfinished, assignee nobody, most urgent first",
            "2 work orders: overdue, earliest due first",
            "1 work order: unfinished, due this week, earliest due first",
            "1 work order: unfinished, requester max, most urgent first",
        ]
        self.assertEqual(re.findall(r"\n(\d work orders?: .*) \(page 1 of 1\)", output), expected)

    def test_a_user_has_ones_own_and_what_others_changed_is_seen_once_it_is_looked_at(self) -> None:
        for number in range(5):
            work_order.comment(self.max, 1, f"Comment {number}.")
        output = self.run_as("uma", "My work", "Changed by others", "", "Back", "Back")
        self.assertIn("\n  2 unfinished, 1 overdue; 2 changed by others\n", output)
        self.assertIn("\n  3. Overdue: 1\n  4. Due this week: 1\n  5. Requested by me: 2\n", output)
        self.assertEqual(output.count("2 work orders: changed by others, 1 overdue, most recently changed first"), 2)
        self.assertRegex(output, r": Comment 4\.\n.*: Comment 3\.\n.*: Comment 2\.\n    and 4 more: Show history\n")
        self.assertNotIn("changed by others", output.split("Main menu")[-1])
        newcomer = self.session("ada", Role.USER)
        self.assertEqual(work_order.describe_my_work(work_order.my_work(newcomer)), "Nothing waits for you.")


class ChangeAllTest(ListTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.create_many(5)

    def test_all_or_some_of_a_list_get_another_value_and_a_status_a_note(self) -> None:
        self.change_status(self.max, 3, Status.CANCELLED)
        fields = (("assignee", "anna"), ("priority", "urgent"), ("category", "Net"), ("due date", "2099-01-01"))
        changes = (*fields, ("comment", "seen"))
        some = [answer for change in changes for answer in ("Change all", "1-2 4", *change, "yes")]
        output = self.run_as("max", "View work orders", "Change all", "", "status", "canc", "all one", "y", *some)
        self.assertIn("Which [all 5]: \n  1. status\n  2. assignee\n  3. priority\n  4. category\n", output)
        question = "5 work orders will be Cancelled: 4 Open, 1 Cancelled.\nAre you sure? [no]: "
        self.assertIn(f"{question}\n4 changed, 1 was Cancelled already.\n", output)
        self.assertEqual((output.count("\n3 changed.\n"), output.count("Note")), (5, 1))
        changed = "assignee_id = 1 AND priority = 4 AND category = 'Net' AND due_at > '2099' AND status = 'Cancelled'"
        self.assertEqual(self.rows(f"SELECT id FROM work_orders WHERE {changed}"), [(1,), (2,), (4,)])
        notes = self.rows("SELECT note, count(*) FROM work_order_history WHERE note <> '' GROUP BY note")
        self.assertEqual(notes, [("all one", 4), ("seen", 3)])

    def test_leaving_changes_nothing_and_an_id_that_is_not_in_the_list_is_refused(self) -> None:
        self.change(self.max, 3, PRIORITY, Priority.LOW)
        change = ("Change all", "", "priority", "low")
        leaving = ("Filter", "medium", *change, "", *change, "no", "Change all", "", "0")
        refused = ("Change all", "3", "x", "2-9", "priority", "high", "y")
        output = self.run_as("max", "View work orders", *leaving, *refused)
        self.assertEqual(output.count("Cancelled. Nothing was saved.\n"), 3)
        self.assertIn("Error: Work order #3 is not in the list.\nWhich [all 4]: ", output)
        self.assertIn("Error: Type IDs and ranges such as 3 5 9-12, or press Enter for all.\n", output)
        self.assertEqual(self.rows("SELECT priority FROM work_orders ORDER BY id"), [(2,), (3,), (1,), (3,), (3,)])
