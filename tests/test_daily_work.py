"""What people keep the program open for all day: lists, searches, comments, assignments, and what is new."""

import re
import unittest

from support import PASSWORD, DatabaseTestCase, needs_terminal, plain, run

import main
import users
import work_order
from users import Role
from work_order import Priority, Status


class ListTest(DatabaseTestCase):
    def test_filters_are_told_in_words_and_cleared_again(self) -> None:
        self.create(self.uma, "Wanted", priority=Priority.HIGH)
        self.create(self.ugo, "Unwanted")
        values = (("status", "unf"), ("priority", "high"), ("requester", "UMA"), ("assignee", "nobody"), ("due", ""))
        filters = [answer for by, value in values for answer in ("Filter", by, value)]
        output = self.run_as("max", "View work orders", *filters, "Clear filter")
        narrowed = (
            "1 work order: unfinished, priority High, requester uma, assignee nobody, most urgent first (page 1 of 1)\n"
        )
        self.assertIn(narrowed, output)
        self.assertNotIn("Unwanted", output.split(narrowed)[1].split("Choose")[0])
        self.assertIn("\n2 work orders, most urgent first (page 1 of 1)\n", output.split(narrowed)[-1])

    def test_each_filter_prompt_refuses_wrong_answers_and_takes_an_empty_one_for_any(self) -> None:
        wrong = ("title", "status"), ("done",), ("urgent",), ("Hardware",), ("ghost",), ("none",), ("tomorrow",)
        by = ("", "priority", "category", "requester", "assignee", "due")
        answers = ["Filter", *wrong[0]]
        for what, value in zip(by, wrong[1:]):
            answers += [*(("Filter", what) if what else ()), *value, ""]
        output = self.run_as("max", "View work orders", *answers)
        self.assertEqual(output.count("\nError: "), 7)
        self.assertEqual(output.count("\nNo work orders, most urgent first (page 1 of 1)\n"), 7)

    def test_an_interrupted_filter_changes_nothing(self) -> None:
        output = self.run_as("max", "View work orders", "Filter", "", "Filter", "status")
        self.assertIn("Filter by: \nCancelled.\n\nNo work orders, most urgent first", output)
        self.assertTrue(output.endswith("Status [any]: \nCancelled. Nothing was saved.\n"))

    def test_a_list_is_sorted_as_chosen(self) -> None:
        for number in range(3):
            self.create(self.uma, f"Title {number}.")
        page = self.run_as("max", "View work orders", "Sort", "new").split("newest first")[1]
        self.assertLess(page.index("Title 2."), page.index("Title 0."))

    def test_a_single_page_is_read_anew_each_time_it_is_shown(self) -> None:
        talk = self.talk()
        talk.log_in("max")
        talk.choose("View work orders")
        talk.expect("No work orders")
        self.create(self.uma, "Just came in")
        talk.answer("#ID: ", "x", "#ID: ", "Sort", "[urgency]: ", "")
        talk.expect("Just came in")

    def test_a_search_shows_where_it_matched_and_can_be_narrowed(self) -> None:
        self.create(self.uma, "Printer jams")
        order = self.create(self.ugo, "Other", priority=Priority.LOW)
        work_order.comment(self.max, order.id, "like the printer upstairs")
        output = self.run_as("max", "Search work orders", "print", "Filter", "priority", "low")
        self.assertIn('\n2 work orders: containing "print", newest first (page 1 of 1)\n', output)
        self.assertIn("\n    title: [Print]er jams\n", output)
        self.assertIn("\n    comment: like the [print]er upstairs\n", output)
        self.assertIn('\n1 work order: containing "print", priority Low, newest first (page 1 of 1)\n', output)

    def test_a_filter_that_nothing_fits_says_so(self) -> None:
        self.create(self.uma)
        for due in ("overdue", "this week"):
            output = self.run_as("max", "View work orders", "Filter", "due", due)
            self.assertNotIn("Error", output)
            which = f"{'due ' * (due == 'this week')}{due}"
            self.assertIn(f"No work orders: {which}, most urgent first (page 1 of 1)\n", output)

    def test_a_hit_that_is_deleted_meanwhile_leaves_the_search_standing(self) -> None:
        for number in range(25):
            self.create(self.uma, f"Printer {number}.")
        talk = self.talk()
        talk.log_in("max")
        talk.choose("Search work orders")
        talk.answer("Search for: ", "printer")
        talk.choose("Next page")
        talk.expect("(page 2 of 2)")
        work_order.delete(self.anna, 25)
        talk.choose("Previous page")
        page = talk.expect("0. Back")
        self.assertIn("(page 1 of 2)", page)
        self.assertNotIn("Printer 24.", page)
        self.assertIn("Printer 23.", page)

    def test_what_moves_to_before_the_page_that_is_shown_is_not_skipped(self) -> None:
        orders = [self.create(self.uma, f"Title {number}.") for number in range(45)]
        for sort in work_order.Sort:
            with self.subTest(sort=sort):
                talk = self.talk()
                talk.log_in("max")
                talk.choose("View work orders", "Sort")
                talk.answer("[urgency]: ", sort)
                seen = talk.expect("0. Back\n")
                for number in (20, 30, 44):
                    order = self.get(self.max, orders[number].id)
                    work_order.comment(self.max, order.id, "moved")
                    other = Priority.HIGH if order.priority is Priority.CRITICAL else Priority.CRITICAL
                    work_order.change(self.max, order, work_order.PRIORITY, other)
                while "1. Next page" in seen[-200:]:
                    talk.choose("Next page")
                    seen += talk.expect("0. Back\n")
                shown = seen.split(f", {sort.description} (page")[1:]
                for number in range(45):
                    self.assertEqual("".join(shown).count(f"Title {number}."), 1, number)
                talk.end()

    def test_a_user_does_not_learn_from_a_filter_which_accounts_there_are(self) -> None:
        unknown = ("Filter", "requester", "ghost", "Filter", "assignee", "max")
        reserved = ("Filter", "requester", "nobody")
        output = self.run_as("uma", "View work orders", *unknown, *reserved)
        self.assertNotIn("There is no user", output)
        self.assertIn("Error: The username nobody is reserved.", output)

    def test_a_user_finds_and_filters_only_ones_own(self) -> None:
        self.create(self.ugo, "Secret printer")
        searched = ("Search work orders", "secret", "Back")
        output = self.run_as("uma", *searched, "View work orders", "Filter", "requester", "ugo")
        self.assertNotIn("Secret printer", output)
        self.assertEqual(output.count("No work orders"), 3)

    def test_a_number_sign_and_an_id_open_a_work_order_at_any_menu(self) -> None:
        for title in ("First", "Second"):
            self.create(self.uma, title)
        from_account = ("My account", "#1", "Back", "Back")
        from_list = ("View work orders", "#2", "#9", "Show history", "#1")
        output = self.run_as("max", "#1", "#2", "Back", *from_account, *from_list)
        opened = re.findall("^Work order #([0-9]): ", output, re.MULTILINE)
        self.assertEqual(opened, ["1", "2", "1", "2", "2", "2", "1"])
        self.assertIn("Error: There is no work order #9.", output)

    def test_nobody_opens_one_without_logging_in(self) -> None:
        self.create(self.uma)
        self.assertIn("Error: Choose one of the numbers 1, 2, 0.", run(self.path, "#1").output)


class WorkOrderTest(DatabaseTestCase):
    def test_comments_and_changes_stand_in_one_timeline_newest_first(self) -> None:
        self.create(self.uma)
        comment = ("Add comment", "Turned it off\\", "and on again")
        changes = ("Assign", "me", "Add comment", "", "Set due date", "2026-12-31")
        output = self.run_as("max", "Update work order", 1, *comment, *changes, "Show history")
        self.assertIn("Comment on work order #1 added.", output)
        self.assertIn("Work order #1 is now assigned to max.", output)
        self.assertIn("Due date of work order #1 is now 2026-12-31.", output)
        told = output.split("History of work order #1, newest first\n")[1].split("\n\n")[0]
        expected = (
            'to "2026-12-31"',
            'from "nobody" to "max"',
            "commented\n      Turned it off\n      and on again",
            "created",
        )
        self.assertEqual(sorted(expected, key=told.index), list(expected))

    def test_an_open_work_order_shows_its_comments_and_notes_newest_first(self) -> None:
        order = self.create(self.uma)
        self.assertNotIn("omments", self.run_as("uma", "#1").replace("Add comment", ""))
        work_order.comment(self.max, order.id, "First")
        work_order.change_status(self.max, order, Status.ON_HOLD, "Second")
        self.assertRegex(
            self.run_as("uma", "#1"),
            '  Latest comments and notes:\n  .* max: status from "Open" to "On Hold"\n      Second\n'
            "  .* max: commented\n      First\n  1. Change status\n",
        )

    def test_wrong_assignees_and_due_dates_are_asked_for_again(self) -> None:
        self.create(self.uma)
        assign = ("Assign", "uma", "ghost", "nobody")
        set_due_date = ("Set due date", "soon", "2026-02-30", "none", "Set due date", "none", "Set due date", "")
        output = self.run_as("max", "Update work order", 1, *assign, *set_due_date)
        self.assertEqual(output.count("\nError: "), 4)
        self.assertEqual(output.count("Nothing changed."), 2)
        self.assertIn("none ...): \nCancelled. Nothing was saved.\n", output)

    def test_a_long_history_and_a_long_list_of_users_go_by_pages(self) -> None:
        self.create(self.uma)
        for number in range(30):
            work_order.comment(self.uma, 1, f"Comment {number}." + "\nand more" * 5)
            users.register(self.connection, f"user{number:02d}", PASSWORD, Role.USER)
        history = ("#1", "Show history", "Next page", "Previous page", "Back", "Back")
        list_of_users = ("Manage users", "List users", "Next page", "Back", "Back")
        output = self.run_as("anna", *history, *list_of_users, "Log out", "Exit")
        for number in range(30):
            self.assertIn(f"Comment {number}.", output)
            self.assertIn(f"user{number:02d}", output)
        pages = output.split("History of work order #1, newest first\n")[1:]
        shown = [(" Comment 29." in page, " Comment 0." in page, "1. Next page" in page) for page in pages]
        self.assertEqual(shown, [(True, False, True), (False, True, False), (True, False, True)])
        self.assertTrue(output.endswith("0. Exit\nChoose an option: \n"))

    def test_a_work_order_opened_from_a_history_takes_its_place(self) -> None:
        for _ in range(2):
            self.create(self.uma)
        for number in range(30):
            work_order.comment(self.uma, 1, f"Comment {number}." + "\nand more" * 5)
        output = self.run_as("anna", "#1", "Show history", "#2", "Back", "Log out", "Exit")
        self.assertIn("Next page", output)
        self.assertTrue(output.endswith("0. Exit\nChoose an option: \n"))

    def test_deleted_work_orders_are_listed_opened_and_restored_by_admins(self) -> None:
        self.create(self.uma, "Gone", "Its text")
        work_order.delete(self.anna, 1)
        answers = ("Open work order", 1, "Restore work order", 2, "Restore work order", 1)
        output = self.run_as("anna", "Data and audit", "Deleted work orders", *answers)
        self.assertIn("    Its text\n", output)
        self.assertIn("anna: deleted\n", output)
        self.assertIn("Error: There is no deleted work order #2.", output)
        self.assertIn(
            "Work order #1 restored.\n\nDeleted work orders, latest deletion first (page 1)\nThere are none.\n", output
        )
        self.assertEqual(self.ids(self.uma), [1])

    def test_who_leaves_hands_back_what_is_unfinished_and_the_program_says_how_many(self) -> None:
        work_order.change(self.anna, self.create(self.uma), work_order.ASSIGNEE, "max")
        output = self.run_as("anna", "Manage users", "Deactivate", "max", "yes")
        self.assertIn("User max deactivated. 1 work order that was assigned to max now has no assignee.\n", output)


class MyWorkTest(DatabaseTestCase):
    """The line under the main menu's heading, and the screen with the same numbers."""

    def test_a_user_sees_what_others_changed_since_the_last_login_until_logging_out(self) -> None:
        order = self.create(self.uma, "Printer jams")
        work_order.change_status(self.max, order, Status.ON_HOLD, "ordered")
        self.create(self.ugo, "Somebody else's")
        answers = ("My work", "Changed by others", "Back", "Back")
        first = self.run_as("uma", *answers, *answers, "Log out")
        self.assertEqual(first.count("\n  1 unfinished, 0 overdue; 1 changed by others since your last login\n"), 3)
        self.assertEqual(first.count('max: status from "Open" to "On Hold" ordered\n'), 2)
        self.assertNotIn("Somebody else's", first)
        self.assertNotIn("nassigned", first)
        self.assertIn("; 0 changed by others since your last login\n", self.run_as("uma"))

    def test_a_manager_who_was_made_a_user_sees_ones_own_alone(self) -> None:
        order = self.create(self.uma, "Not his")
        work_order.change(self.anna, order, work_order.ASSIGNEE, "max")
        work_order.change_status(self.uma, order, Status.RESOLVED)
        users.change_role(self.anna, "max", Role.USER)
        output = self.run_as("max", "My work", "Changed by others", "Back", "Requested by me")
        self.assertIn("\n  0 unfinished, 0 overdue; 0 changed by others since your last login\n", output)
        self.assertNotIn("Not his", output)
        self.assertNotIn("Error", output)

    def test_managers_see_what_waits_for_them_with_its_numbers_and_open_it_in_two_answers(self) -> None:
        for number in range(7):
            self.create(self.uma, f"Title {number}.")
        order = self.create(self.uma, "Mine and late", priority=Priority.CRITICAL)
        work_order.change(self.anna, order, work_order.ASSIGNEE, "max")
        order = self.get(self.max, order.id)
        work_order.change(self.max, order, work_order.DUE_DATE, work_order.parse_due_date("2020-01-01"))
        line = "  1 assigned to you, 1 of them overdue; 7 unassigned; 1 changed by others since your last login\n"
        menu = (
            "  1. Assigned to me: 1, 1 overdue\n  2. Unassigned: 7\n  3. Overdue: 1\n  4. Due this week: 0\n"
            "  5. Requested by me: 0\n  6. Changed by others: 1\n  0. Back\n"
        )
        output = self.run_as("max", "My work", "Assigned to me", "Back", "Overdue")
        self.assertIn(f"Main menu: max (manager)\n{line}", output)
        self.assertEqual(output.count(f"\nMy work\n{menu}"), 2)
        row = r"\nID .*\n8 +Critical +Open +Mine and late +uma +max +0m +overdue \d+d\n  3"
        for which in ("unfinished, assignee max, 1 overdue, most urgent", "overdue, earliest due"):
            self.assertRegex(output, rf"\n1 work order: {which} first \(page 1 of 1\){row}")


class SummaryTest(DatabaseTestCase):
    def test_it_counts_all_and_ones_own_and_tells_a_user_no_title_and_no_name(self) -> None:
        self.create(self.uma, priority=Priority.HIGH)
        self.create(self.ugo, "Secret", priority=Priority.HIGH)
        work_order.change_status(self.ugo, self.create(self.ugo), Status.CANCELLED)
        output = self.run_as("uma", "Summary").split("Summary of all work orders: 3, 1 requested by you\n")[1]
        self.assertRegex(output, "Status +Low +Medium +High +Critical +Total +Yours\n")
        self.assertRegex(output, "Open +0 +0 +2 +0 +2 +1 +\u2588{20}\n")
        self.assertRegex(output, "Cancelled +0 +1 +0 +0 +1 +0 +\u2588{10}\n")
        for secret in ("Secret", "ugo", "anna"):
            self.assertNotIn(secret, output)

    def test_bars_are_plain_where_the_encoding_has_no_blocks(self) -> None:
        self.create(self.uma)
        output = self.run_as("uma", "Summary", PYTHONIOENCODING="ascii")
        self.assertIn("####################\n", output)


class EmailTest(DatabaseTestCase):
    def test_an_email_is_changed_and_taken_back(self) -> None:
        changed = ("Change email", "no address", "two@example.org, three@example.org", "uma@example.org")
        taken_back = ("Change email", "", "Change email", "none", "Change email", "")
        output = self.run_as("uma", "My account", *changed, *taken_back)
        self.assertEqual(output.count("Error: An email is one plain address"), 2)
        self.assertIn("Email is now uma@example.org.\n", output)
        self.assertIn("Email [uma@example.org]: ", output)
        self.assertEqual(self.rows("SELECT email FROM users WHERE username = 'uma'"), [(None,)])


@needs_terminal
class TerminalTest(DatabaseTestCase):
    def test_editing_starts_from_todays_text(self) -> None:
        self.create(self.uma, "Printer jam", "One line")
        talk = self.talk((80, 24))
        talk.log_in("uma")
        talk.choose("#1", "Edit title")
        talk.expect("Title: Printer jam")
        talk.send("s\r")
        talk.expect("Title of work order #1 saved.")
        talk.choose("Edit description")
        talk.expect("Description: One line")
        talk.send("\x15Two\\\r")
        talk.expect("> ")
        talk.send("lines\r")
        talk.expect("saved.")
        self.assertEqual(self.rows("SELECT title, description FROM work_orders"), [("Printer jams", "Two\nlines")])

    def test_a_text_of_several_lines_is_edited_line_by_line(self) -> None:
        self.create(self.uma, description="one\ntwo\nthree")
        talk = self.talk((80, 24))
        talk.log_in("uma")
        talk.choose("#1", "Edit description")
        talk.expect("Description: one")
        talk.send("\r")
        talk.expect("> two")
        talk.send(" and a half\r")
        talk.expect("> three")
        talk.send("\r")
        talk.expect("saved.")
        self.assertEqual(self.rows("SELECT description FROM work_orders"), [("one\ntwo and a half\nthree",)])
        talk.choose("Edit description")
        talk.answer("Description: one", "", "> two", "\x15")
        talk.expect("> three")
        talk.send("\\\rfour\r")
        talk.expect("saved.")
        self.assertEqual(self.rows("SELECT description FROM work_orders"), [("one\nthree\nfour",)])

    def test_a_wrong_edit_is_kept_to_be_mended(self) -> None:
        self.create(self.uma, "x" * 120)
        talk = self.talk((200, 24))
        talk.log_in("uma")
        talk.choose("#1", "Edit title")
        talk.expect("Title: x")
        talk.send("yz\r")
        talk.expect("Error: A title has 1 to 120 characters; this one has 122.")
        talk.expect("xyz")
        talk.send("\x7f\x7f\x7fy\r")
        talk.expect("saved.")
        self.assertEqual(self.rows("SELECT title FROM work_orders"), [("x" * 119 + "y",)])

    def test_text_that_could_drive_the_terminal_is_never_put_into_the_line(self) -> None:
        self.create(self.uma, "red\x1b[31m \u202e")
        talk = self.talk((80, 24))
        talk.log_in("uma")
        talk.choose("#1", "Edit title")
        seen = talk.expect(r"Title [red\x1b[31m \u202e]: ")
        self.assertNotIn("\x1b[31m ", seen)
        self.assertNotIn("\u202e", seen)

    def page(self, columns: int, **changes: str) -> str:
        talk = self.talk((columns, 30), 10, **changes)
        talk.log_in("max")
        talk.choose("View work orders")
        talk.expect("most urgent first")
        return talk.expect("3. Open")

    def test_priority_and_lateness_are_coloured_on_a_terminal_that_wants_it(self) -> None:
        order = self.create(self.uma, priority=Priority.CRITICAL)
        work_order.change(self.max, order, work_order.DUE_DATE, work_order.parse_due_date("2020-01-01"))
        self.assertIn("\x1b[1;31mCritical\x1b[0m", self.page(120))
        self.assertRegex(self.page(120), r"\x1b\[1;31moverdue \d+d\x1b\[0m")
        for changes in ({"NO_COLOR": "1"}, {"TERM": "dumb"}):
            self.assertNotIn("\x1b[1;31m", self.page(120, **changes))
        self.assertNotIn("\x1b", self.run_as("max", "View work orders"))

    def test_no_line_of_any_screen_is_wider_than_the_terminal(self) -> None:
        order = self.create(self.uma, "印刷機が紙を噛む " * 9, "emoji 🔥 and e\u0301 " * 30, Priority.CRITICAL)
        work_order.comment(self.max, order.id, "long words " + "x" * 300)
        work_order.change(self.max, order, work_order.DUE_DATE, work_order.parse_due_date("2020-01-01"))
        for columns in (50, 80, 160):
            with self.subTest(columns=columns):
                talk = self.talk((columns, 40), NO_COLOR="1")
                talk.log_in("max")
                talk.choose("View work orders", "Back", "Summary", "My work", "Changed by others", "Back", "Back")
                talk.choose("Search work orders")
                talk.answer("Search for: ", "words")
                seen = talk.choose("#1", "Show history", "Back")
                self.assertLessEqual(max(map(main.cell_width, plain(seen).split("\n"))), columns)


if __name__ == "__main__":
    unittest.main()
