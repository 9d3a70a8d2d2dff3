"""Lists of work orders: filters, orders, pages, columns, My work, and changing many at once."""

import re
import unittest
from datetime import datetime, timezone
from typing import List, Tuple

from support import PASSWORD, Conversation, DatabaseTestCase, needs_terminal, plain

import main
import users
import work_order
from users import Role
from work_order import ASSIGNEE, DUE_DATE, Priority, Query, Sort, Status

LATE = datetime(2020, 1, 1, tzinfo=timezone.utc)


class ListTestCase(DatabaseTestCase):
    def signed_in(self, username: str, size: Tuple[int, int]) -> Conversation:
        """Start the program in a terminal without colours and log in."""
        talk = self.talk(size, NO_COLOR="1")
        talk.log_in(username)
        return talk

    def create_many(self, number: int) -> None:
        for each in range(number):
            self.create(self.uma, f"Title {each}.")


class FilterTest(ListTestCase):
    def test_a_filter_takes_three_answers_and_keeps_what_was_filtered_before(self) -> None:
        self.create(self.uma, "Wanted", priority=Priority.HIGH)
        self.create(self.uma, "Unwanted")
        filters = ("Filter", "status", "open", "Filter", "priority", "high", "Filter", "status", "any")
        output = self.run_as("max", "View work orders", *filters)
        headings = re.findall(r"\n(\d work orders?)(.*), most urgent", output)
        narrowed = [("2 work orders", ""), ("2 work orders", ": Open"), ("1 work order", ": Open, priority High")]
        self.assertEqual(headings, [*narrowed, ("1 work order", ": priority High")])

    def test_several_are_taken_at_once_and_one_is_removed_by_its_name(self) -> None:
        for priority in Priority:
            self.create(self.uma, f"{priority} one", priority=priority, requester="uma")
        self.change(self.max, 4, DUE_DATE, LATE)
        answers = ("Filter", "high+, overdue, requester uma, unfinished", "Filter", "due any")
        output = self.run_as("max", "View work orders", *answers)
        words = "unfinished, priority High or above, requester uma"
        self.assertIn(f"1 work order: {words}, overdue, most urgent first", output)
        self.assertIn(f"2 work orders: {words}, 1 overdue, most urgent first", output)

    def test_two_values_of_one_field_and_a_person_without_a_field_are_refused(self) -> None:
        output = self.run_as("max", "View work orders", "Filter", "high, low", "open, max", "done, low", "")
        self.assertIn("Error: Give one value for priority, not two.\nFilter by: ", output)
        self.assertIn('Error: Nothing is known as "max".', output)
        self.assertIn("No work orders: Resolved, priority Low,", output)

    def test_created_and_resolved_take_a_period_by_number_or_by_name(self) -> None:
        self.create(self.uma)
        answers = ("Filter", "created", "2", "Filter", "resolved", "2020-01")
        output = self.run_as("max", "View work orders", *answers)
        self.assertRegex(output, r"1 work order: created from [-0-9]+ to [-: 0-9]+, most urgent")
        self.assertRegex(output, r"No work orders: created .*, resolved from 2020-01-01 to 2020-01-31, most urgent")

    def test_each_prompt_refuses_wrong_answers_and_takes_an_empty_one_for_any(self) -> None:
        answers: List[str] = []
        for what, wrong in (
            *(("status", "blue"), ("priority", "blue"), ("category", "Hardware"), ("requester", "ghost")),
            *(("assignee", "none"), ("due", "someday"), ("created", "never")),
        ):
            answers += ["Filter", what, wrong, ""]
        output = self.run_as("max", "View work orders", *answers)
        self.assertEqual(output.count("\nError: "), 7)
        self.assertEqual(output.count("\nNo work orders, most urgent first (page 1 of 1)\n"), 8)

    def test_it_is_cleared_and_an_interrupted_one_changes_nothing(self) -> None:
        self.create(self.uma)
        output = self.run_as("max", "View work orders", "Filter", "", "Filter", "low", "Clear filter")
        self.assertIn("Filter by: \nCancelled.\n\n1 work order, most urgent first", output)
        self.assertEqual(output.count("\n1 work order, most urgent first (page 1 of 1)\n"), 3)

    def test_a_user_does_not_learn_from_a_filter_which_accounts_there_are(self) -> None:
        self.create(self.ugo, "Secret printer")
        answers = ("Filter", "requester", "ghost", "Filter", "assignee", "max", "Filter", "requester", "ugo")
        output = self.run_as("uma", "View work orders", *answers)
        self.assertNotIn("There is no user", output)
        self.assertNotIn("Secret", output)


class ListTest(ListTestCase):
    def test_the_heading_counts_what_is_overdue_and_names_the_order(self) -> None:
        for day in (1, 2, 3):
            self.create(self.uma)
            self.change(self.max, day, DUE_DATE, datetime(2020, 1, day, tzinfo=timezone.utc))
        self.change_status(self.max, 1, Status.RESOLVED)
        self.assertEqual(self.ids(self.max, Query(sort=Sort.DUE)), [2, 3, 1])
        output = self.run_as("max", "View work orders", "Sort", "due")
        self.assertIn("Sort by [urgency]: \n\n3 work orders, 2 overdue, earliest due first (page 1 of 1)\n", output)

    def test_it_is_read_anew_each_time_it_is_shown(self) -> None:
        talk = self.talk()
        talk.log_in("max")
        talk.choose("View work orders")
        talk.expect("No work orders")
        self.create(self.uma, "Just came in")
        talk.choose("")
        talk.expect("Just came in")

    def test_what_can_do_nothing_now_is_left_out(self) -> None:
        empty = self.run_as("uma", "View work orders", "Filter", "status", "open")
        self.assertIn("(page 1 of 1)\n  4. Filter\n  5. Sort\n  0. Back\n", empty)
        self.assertIn("(page 1 of 1)\n  4. Filter\n  5. Sort\n  6. Clear filter\n  0. Back\n", empty)
        self.create(self.uma)
        self.assertIn("\n  3. Open work order\n  4. Filter\n  5. Sort\n  0. Back\n", self.run_as("uma", 2))
        managers = "  5. Sort\n  7. Export to CSV\n  8. Change all\n  10. Save as a page\n  0. Back\n"
        self.assertIn(managers, self.run_as("max", 2))

    def test_filter_order_and_page_stay_while_a_work_order_is_looked_at(self) -> None:
        self.create_many(25)
        looks = ("Open work order", 3, "Back", "#4", "Show history", "Back")
        narrowed = ("View work orders", "Filter", "status", "open", "Sort", "newest", "Next page")
        output = self.run_as("max", *narrowed, *looks)
        self.assertEqual(output.count("\n25 work orders: Open, newest first (page 2 of 2)\n"), 3)

    def test_a_number_sign_and_an_id_open_a_work_order_at_any_menu(self) -> None:
        for title in ("First", "Second"):
            self.create(self.uma, title)
        from_account = ("My account", "# 1", "Back", "Back")
        from_list = ("View work orders", "#2", "#9", "Show history", "#1")
        output = self.run_as("max", "#1", "#2", "Back", *from_account, *from_list)
        opened = re.findall("^Work order #([0-9]): ", output, re.MULTILINE)
        self.assertEqual(opened, ["1", "2", "1", "2", "2", "2", "1"])
        self.assertIn("Error: There is no work order #9.", output)


class SearchTest(ListTestCase):
    def test_it_shows_where_it_matched_and_can_be_narrowed(self) -> None:
        self.create(self.uma, "Printer jams")
        self.create(self.ugo, "Other", priority=Priority.LOW)
        work_order.comment(self.max, 2, "like the printer upstairs")
        output = self.run_as("max", "Search work orders", "print", "Filter", "priority", "low")
        self.assertIn('\n2 work orders: containing "print", newest first (page 1 of 1)\n', output)
        self.assertIn("\n    title: [Print]er jams\n", output)
        self.assertIn("\n    comment: like the [print]er upstairs\n", output)
        self.assertIn('\n1 work order: containing "print", priority Low, newest first (page 1 of 1)\n', output)

    def test_another_one_starts_from_the_last_text_and_keeps_filter_and_order(self) -> None:
        for title in ("Printer", "Toner"):
            self.create(self.uma, title)
        answers = ("Search work orders", "printr", "Search again", "printer", "Filter", "medium", "Sort", "old")
        output = self.run_as("max", *answers, "Search again", "toner", "Search again", "")
        self.assertIn('No work orders: containing "printr" anywhere, newest first', output)
        self.assertIn("\n  9. Search again\n", output)
        self.assertIn("Search for [printr]: ", output)
        self.assertEqual(output.count('1 work order: containing "toner", priority Medium, oldest first'), 2)

    def test_an_ordinary_list_has_no_search_again(self) -> None:
        self.assertNotIn("Search again", self.run_as("max", "View work orders"))

    def test_a_hit_that_is_deleted_meanwhile_leaves_the_search_standing(self) -> None:
        self.create_many(25)
        talk = self.talk()
        talk.log_in("max")
        talk.choose("Search work orders")
        talk.answer("Search for: ", "title")
        talk.choose("Next page")
        talk.expect("(page 2 of 2)")
        work_order.delete(self.anna, 25)
        talk.choose("Previous page")
        page = talk.expect("0. Back")
        self.assertIn("(page 1 of 2)", page)
        self.assertNotIn("Title 24.", page)
        self.assertIn("Title 23.", page)


class PageTest(ListTestCase):
    def test_next_and_previous_stand_only_where_there_is_such_a_page(self) -> None:
        self.create_many(45)
        talk = self.talk()
        talk.log_in("uma")
        pages = [talk.choose("View work orders") and talk.expect("0. Back\n")]
        for step in ("Next page", "Next page", "Previous page", "Previous page"):
            talk.choose(step)
            pages.append(talk.expect("0. Back\n"))
        self.assertEqual([page.count("Title ") - 1 for page in pages], [20, 20, 5, 20, 20])
        self.assertEqual(["1. Next page" in page for page in pages], [True, True, False, True, True])
        self.assertEqual(["2. Previous page" in page for page in pages], [False, True, True, True, False])
        self.assertEqual(["".join(pages[:3]).count(f"Title {number}.") for number in range(45)], [1] * 45)

    def test_what_stays_behind_the_page_is_neither_repeated_nor_skipped(self) -> None:
        self.create_many(30)
        talk = self.talk()
        talk.log_in("max")
        talk.choose("View work orders")
        first = talk.expect("0. Back\n")
        self.change_status(self.uma, 4, Status.RESOLVED)
        self.create(self.ugo, "New one", priority=Priority.CRITICAL)
        talk.choose("Next page")
        second = talk.expect("0. Back\n")
        for number in {*range(30)} - {3}:
            self.assertEqual((first + second).count(f"Title {number}."), 1, number)

    def test_what_moves_ahead_of_the_page_is_not_repeated_at_the_end(self) -> None:
        self.create_many(45)
        for sort in Sort:
            with self.subTest(sort=sort):
                talk = self.talk()
                talk.log_in("max")
                talk.choose("View work orders", "Sort")
                talk.answer("[urgency]: ", sort)
                seen = talk.expect("0. Back\n")
                for number in (21, 31, 45):
                    work_order.comment(self.max, number, "moved")
                    self.change(self.max, number, work_order.PRIORITY, Priority.HIGH)
                    self.change(self.max, number, work_order.PRIORITY, Priority.CRITICAL)
                while "1. Next page" in seen[-300:]:
                    talk.choose("Next page")
                    seen += talk.expect("0. Back\n")
                shown = "".join(seen.split(f", {sort.description} (page")[1:])
                for number in {*range(45)} - {20, 30, 44}:
                    self.assertEqual(shown.count(f"Title {number}."), 1, number)
                for number in (20, 30, 44):
                    self.assertLessEqual(shown.count(f"Title {number}."), 1, number)

    def test_where_nothing_is_left_of_a_page_the_one_before_is_shown(self) -> None:
        self.create_many(22)
        talk = self.talk()
        talk.log_in("max")
        talk.choose("View work orders", "Next page")
        talk.expect("(page 2 of 2)")
        for number in (21, 22):
            work_order.delete(self.anna, number)
        talk.choose("")
        self.assertIn(
            "Title 0.", talk.expect("20 work orders, most urgent first (page 1 of 1)") + talk.expect("0. Back")
        )


@needs_terminal
class ColumnTest(ListTestCase):
    def page(self, columns: int, *labels: str) -> List[str]:
        """Return the lines of the list that a manager opens."""
        talk = self.signed_in("max", (columns, 40))
        talk.choose(*(labels or ("View work orders",)))
        page = plain(talk.expect("(page ") + talk.expect("#ID: "))
        talk.end()
        self.assertLessEqual(max(map(main.cell_width, page.split("\n"))), columns)
        return page.split("\n")

    def heading(self, columns: int, *labels: str) -> List[str]:
        return next(line for line in self.page(columns, *labels) if line.startswith("ID  ")).split()

    def setUp(self) -> None:
        super().setUp()
        self.session("maria.del.carmen.montserrat", Role.MANAGER, ("anna", PASSWORD))

    def test_they_depend_on_the_width(self) -> None:
        self.create(self.max, "A title " * 14, category="Network", requester="uma")
        everything = "ID Priority Status Title Category Requester Assignee Age Due"
        for columns, headings in (
            (50, "ID Pri Stat Title Due"),
            (80, "ID Priority Status Title Assignee Due"),
            (160, everything),
        ):
            with self.subTest(columns=columns):
                self.assertEqual(self.heading(columns), headings.split())

    def test_they_do_not_depend_on_the_rows(self) -> None:
        for _ in range(40):
            self.create(self.uma, "A title " * 14)
        self.create(self.max, "Late", assignee="maria.del.carmen.montserrat", priority=Priority.LOW)
        self.change(self.max, 41, DUE_DATE, LATE)
        talk = self.signed_in("max", (80, 24))
        talk.choose("View work orders")
        seen = talk.expect("0. Back")
        while "1. Next page" in seen[-400:]:
            talk.choose("Next page")
            seen += talk.expect("0. Back")
        headings = [line.split() for line in plain(seen).split("\n") if line.startswith("ID  ")]
        self.assertGreater(len(headings), 2)
        self.assertEqual({tuple(each) for each in headings}, {tuple("ID Priority Status Title Assignee Due".split())})

    def test_one_that_the_filter_fixes_makes_room(self) -> None:
        self.create(self.uma)
        self.assertEqual(self.heading(80, "My work", "Unassigned"), "ID Priority Status Title Age Due".split())
        self.change(self.max, 1, DUE_DATE, LATE)
        self.assertIn("Assignee", self.heading(80, "My work", "Overdue"))

    def test_at_80_a_title_has_at_least_24_cells_and_an_assignee_at_most_10_where_room_is_short(self) -> None:
        self.create(self.max, "x" * 120, assignee="maria.del.carmen.montserrat", priority=Priority.CRITICAL)
        self.change_status(self.max, 1, Status.IN_PROGRESS)
        self.change(self.max, 1, DUE_DATE, LATE)
        row = next(line for line in self.page(80) if line.startswith("1  "))
        self.assertRegex(row, r"1 +Critical +In Progress +x{21,}\.\.\. +maria\.d\.\.\. +overdue \d+d$")

    def test_at_160_nothing_is_cut_while_there_is_room(self) -> None:
        self.create(self.max, "A title of 40 characters " + "x" * 15, assignee="maria.del.carmen.montserrat")
        self.assertNotIn("...", "\n".join(self.page(160)))

    def test_what_is_overdue_says_so_at_every_width(self) -> None:
        self.create(self.uma, "Printer jams")
        self.change(self.max, 1, DUE_DATE, LATE)
        for columns in (40, 50, 80, 160):
            with self.subTest(columns=columns):
                self.assertIn("overdue", next(line for line in self.page(columns) if line.startswith("1  ")))

    def test_wide_characters_are_aligned(self) -> None:
        self.create(self.uma, "印刷機が紙を噛む " * 6, assignee=None)
        self.create(self.uma, "A plain title " * 8)
        ends = {main.cell_width(line.split("nobody")[0]) for line in self.page(80) if "nobody" in line}
        self.assertEqual(len(ends), 1)

    def test_no_heading_breaks_inside_its_page_number(self) -> None:
        self.create(self.uma)
        for width in range(40, 80, 3):
            page = "\n".join(self.page(width))
            self.assertIn("(page 1 of 1)", page)


class MyWorkTest(ListTestCase):
    """The line under the main menu's heading, and the screen with the same numbers."""

    def setUp(self) -> None:
        super().setUp()
        soon, late = (work_order.parse_due_date(text) for text in ("today", "2020-01-01"))
        for session, title, assignee, due_at in (
            (self.uma, "Mine and late", "max", late),
            (self.uma, "Mine and soon", "max", soon),
            (self.ugo, "Nobody's", None, None),
            (self.max, "Asked by me", "anna", None),
            (self.ugo, "Finished", "max", late),
            (self.ugo, "Late too", "anna", late),
        ):
            number = self.create(session, title).id
            self.change(self.anna, number, ASSIGNEE, assignee)
            self.change(self.anna, number, DUE_DATE, due_at)
        self.change_status(self.ugo, 5, Status.CANCELLED)

    def lists(self, username: str, *labels: str) -> List[str]:
        """Return the titles of each list that My work opens, after the count that stands before it."""
        told = []
        for label in labels:
            output = self.run_as(username, "My work", label)
            (count,) = re.findall(rf"  \d\. {label}: (.*)\n", output)
            page = output.split("\nMy work\n")[1].split("#ID: \n")[1]
            titles = re.findall("Mine and late|Mine and soon|Nobody's|Asked by me|Finished|Late too", page)
            told.append(": ".join([count, ", ".join(titles)]))
        return told

    def test_a_managers_counts_and_lists(self) -> None:
        labels = ("Assigned to me", "Unassigned", "Overdue", "Due this week", "Requested by me")
        expected = ["2, 1 overdue: Mine and late, Mine and soon", "1: Nobody's"]
        expected += ["2, 1 of them yours: Mine and late, Late too", "1: Mine and soon", "1: Asked by me"]
        self.assertEqual(self.lists("max", *labels), expected)
        self.assertRegex(
            self.run_as("max"), r"\n  2 assigned to you, 1 of them overdue; 1 unassigned; \d changed by oth"
        )

    def test_a_user_has_ones_own_under_the_same_numbers(self) -> None:
        self.assertEqual(
            self.lists("uma", "Overdue", "Due this week", "Requested by me"),
            ["1: Mine and late", "1: Mine and soon", "2: Mine and late, Mine and soon"],
        )
        output = self.run_as("uma", "My work", 1)
        self.assertIn("Error: Choose one of the numbers 3, 4, 5, 6, 0", output)
        self.assertIn("\n  2 unfinished, 1 overdue; ", output)

    def test_what_is_0_is_left_out_of_the_line(self) -> None:
        users.register(self.connection, "ada", PASSWORD, Role.USER)
        self.assertIn("Main menu: ada (user)\n  Nothing waits for you.\n", self.run_as("ada"))

    def test_changed_by_others_is_seen_once_it_is_looked_at_and_not_by_logging_in(self) -> None:
        self.change_status(self.max, 1, Status.ON_HOLD, "ordered")
        for _ in range(2):
            self.assertIn("; 2 changed by others\n", self.run_as("uma"))
        output = self.run_as("uma", "My work", "Changed by others", "", "Back", "Back")
        self.assertEqual(output.count('max: status from "Open" to "On Hold": ordered\n'), 2)
        self.assertEqual(output.count("2 work orders: changed by others, 1 overdue, most recently changed first"), 2)
        self.assertNotIn("changed by others", output.split("Main menu")[-1])

    def test_of_many_changes_three_are_shown(self) -> None:
        for number in range(50):
            work_order.comment(self.max, 1, f"Comment {number}.")
        output = self.run_as("uma", "My work", "Changed by others")
        self.assertEqual(output.count("Comment "), 3)
        self.assertRegex(output, r"\n    and 4\d more: Show history\n")


class ChangeAllTest(ListTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.create_many(5)

    def test_all_or_some_of_a_list_get_another_value_after_a_sentence_and_a_question(self) -> None:
        self.change_status(self.max, 2, Status.ON_HOLD)
        self.change_status(self.max, 3, Status.CANCELLED)
        output = self.run_as("max", "View work orders", "Change all", "", "status", "canc", "all one", "y")
        self.assertIn("Which [all 5]: \n  1. status\n  2. assignee\n  3. priority\n  4. category\n", output)
        self.assertIn(
            "5 work orders will be Cancelled: 3 Open, 1 On Hold, 1 Cancelled.\nAre you sure? [no]: \n", output
        )
        self.assertIn("\n4 changed, 1 was Cancelled already.\n", output)
        notes = self.rows("SELECT count(*) FROM work_order_history WHERE note = 'all one'")
        self.assertEqual(notes, [(4,)])

    def test_each_field_and_a_comment_is_asked_for_as_on_the_work_orders_own_screen(self) -> None:
        answers = []
        for what, value in (
            *(("assignee", "anna"), ("priority", "urgent"), ("category", "Net"), ("due date", "2099-01-01")),
            ("comment", "seen"),
        ):
            answers += ["Change all", "1-2 4", what, value, "yes"]
        output = self.run_as("max", "View work orders", *answers)
        self.assertEqual(output.count("\n3 changed.\n"), 5)
        self.assertNotIn("Note", output)
        for number, is_changed in ((1, True), (3, False), (4, True)):
            shown = self.get(self.max, number)
            changed = (shown.assignee, shown.priority, shown.category) == ("anna", Priority.CRITICAL, "Net")
            self.assertEqual(changed, is_changed, number)

    def test_no_changes_nothing_and_neither_does_leaving(self) -> None:
        change = ("Change all", "", "priority", "low")
        output = self.run_as("max", "View work orders", *change, "", *change, "no", "Change all", "", "0")
        self.assertEqual(output.count("Cancelled. Nothing was saved.\n"), 3)
        self.assertEqual(self.rows("SELECT DISTINCT priority FROM work_orders"), [(2,)])

    def test_an_id_that_is_not_in_the_list_is_refused_by_name(self) -> None:
        self.change(self.max, 3, work_order.PRIORITY, Priority.LOW)
        answers = ("Filter", "medium", "Change all", "3", "x", "2-9", "priority", "high", "y")
        output = self.run_as("max", "View work orders", *answers)
        self.assertIn("Error: Work order #3 is not in the list.\nWhich [all 4]: ", output)
        self.assertIn("Error: Type IDs and ranges such as 3 5 9-12, or press Enter for all.\n", output)
        self.assertIn("\n3 changed.\n", output)
        self.assertEqual(self.get(self.max, 3).priority, Priority.LOW)

    def test_what_somebody_changes_between_the_question_and_the_answer_stays(self) -> None:
        talk = self.talk()
        talk.log_in("max")
        talk.choose("View work orders", "Change all")
        talk.answer("Which [all 5]: ", "", "What: ", "priority", "Priority: ", "high")
        talk.expect("Are you sure? [no]: ")
        self.change(self.anna, 2, work_order.PRIORITY, Priority.LOW)
        work_order.delete(self.anna, 4)
        talk.send("yes\n")
        talk.expect("\n3 changed, #2 was changed by anna, #4 was deleted.\n")

    def test_users_have_no_such_option(self) -> None:
        self.assertNotIn("Change all", self.run_as("uma", "View work orders"))


if __name__ == "__main__":
    unittest.main()
