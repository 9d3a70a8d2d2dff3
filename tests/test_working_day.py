"""What a long day at the program needs: nothing pasted runs an option, nothing typed is lost, all in sight and near."""

import re
import unittest
from datetime import date, datetime, timedelta, timezone
from typing import Dict, List, Sequence, Tuple
from unittest import mock

from support import PASSWORD, Conversation, DatabaseTestCase, Ended, needs_terminal, plain, run

import database
import main
import users
import work_order
from database import ApplicationError
from users import InvalidInputError, PermissionDeniedError, Role
from work_order import ASSIGNEE, CATEGORY, DUE_DATE, Priority, Query, Sort, Status

try:
    import readline
except ImportError:  # not in every Python
    readline = None  # type: ignore[assignment]

# Each line would do something at a menu.
MAIL = ("Dear all,", "1", "2", "res", "0", "yes", "#1", "3", "4", "5", "Thanks", "0")
has_bracketed_paste = readline is not None and "libedit" not in (readline.__doc__ or "")
needs_bracketed_paste = unittest.skipUnless(has_bracketed_paste, "this line editor has no bracketed paste")
SIZES = ((80, 24), (50, 24), (160, 50))
POSIX_BERLIN = "CET-1CEST,M3.5.0,M10.5.0/3"


class WorkingDayTestCase(DatabaseTestCase):
    def signed_in(self, username: str, size: Tuple[int, int] = (80, 24), **changes: str) -> Conversation:
        """Start the program in a terminal and log in."""
        talk = self.talk(size, database.BUSY_SECONDS, **changes)
        talk.log_in(username)
        return talk

    def history(self, work_order_id: int = 1) -> List[Tuple[str, str, str, str]]:
        """Return what was changed, oldest first: the field, from what to what, and the note."""
        entries = work_order.history(self.anna, work_order_id)[::-1]
        return [(entry.field, entry.old_value or "", entry.new_value or "", entry.note) for entry in entries]

    def everything(self) -> List[List[Tuple[object, ...]]]:
        """Return all that the program keeps, but for what a login leaves."""
        tables = ("work_orders", "work_order_history")
        accounts = "SELECT username, password_hash, role, email, is_active FROM users"
        return [*(self.rows(f"SELECT * FROM {table}") for table in tables), self.rows(accounts)]


def paste(talk: Conversation, *lines: str) -> None:
    """Do what a terminal does when these lines are pasted, and press Enter."""
    talk.send(f"\x1b[200~{chr(13).join(lines)}\x1b[201~\r")


@needs_terminal
@needs_bracketed_paste
class PasteTest(WorkingDayTestCase):
    def test_at_a_title_it_is_one_line(self) -> None:
        talk = self.signed_in("uma")
        talk.choose("Create work order")
        talk.expect("Title: ")
        paste(talk, *MAIL)
        talk.answer("(optional): ", "", "[Medium]: ", "")
        seen = talk.expect("Work order #1 created.") + talk.expect("#ID: ")
        self.assertEqual(self.rows("SELECT title, description FROM work_orders"), [(" ".join(MAIL), "")])
        self.assertEqual(seen.count("Main menu"), 1)
        self.assertEqual(len(self.history()), 1)

    def test_at_a_text_it_is_that_text_with_all_its_lines(self) -> None:
        order = self.create(self.uma)
        talk = self.signed_in("max")
        talk.choose("#1", "Add comment")
        talk.expect("Comment: ")
        paste(talk, *MAIL)
        talk.expect("Comment on work order #1 added.")
        talk.choose("Change status")
        talk.answer("Status: ", "on hold")
        talk.expect("Note (optional): ")
        paste(talk, *MAIL)
        talk.expect("Work order #1 is now On Hold.")
        talk.choose("Edit description")
        talk.expect("Description [none]: ")
        paste(talk, *MAIL)
        talk.expect("Description of work order #1 saved.")
        seen = talk.expect("#ID: ")
        self.assertEqual(seen.count("Work order #1: "), 1)
        text = "\n".join(MAIL)
        expected = [("comment", "", "", text), ("status", "Open", "On Hold", text), ("description", "", text, "")]
        self.assertEqual(self.history()[1:], expected)
        self.assertEqual(self.get(self.uma, order.id).description, text)

    def test_at_a_menu_it_is_one_wrong_answer(self) -> None:
        self.create(self.uma)
        before = self.everything()
        for labels in ((), ("#1",), ("View work orders",), ("My work",), ("Manage users",), ("Data and audit",)):
            with self.subTest(labels=labels):
                talk = self.signed_in("anna")
                talk.choose(*labels)
                talk.expect("#ID: ")
                paste(talk, *MAIL)
                seen = talk.expect("Error: Choose one of the numbers ") + talk.expect("#ID: ")
                seen += plain(talk.end().output)
                self.assertEqual((seen.count("Error: "), seen.count("  0. ")), (1, 0))
        self.assertEqual(self.everything(), before)

    def test_at_the_start_menu_and_a_username_and_a_password_it_is_one_wrong_answer(self) -> None:
        talk = self.talk((80, 24))
        talk.expect("option: ")
        paste(talk, *MAIL)
        talk.expect("Error: Choose one of the numbers 1, 2, 0.")
        talk.choose("Log in")
        talk.answer("Username: ", "uma")
        talk.expect("Password: ")
        paste(talk, *MAIL)
        seen = talk.expect("Error: The username or the password is wrong.") + talk.expect("option: ")
        self.assertEqual(seen.count("Error: "), 1)
        self.assertNotIn("Thanks", seen)
        self.assertEqual(self.rows("SELECT count(*) FROM audit_log WHERE event = 'login failed'"), [(1,)])

    def test_a_pasted_password_may_have_its_line_end(self) -> None:
        talk = self.talk((80, 24))
        talk.choose("Log in")
        talk.answer("Username: ", "uma")
        talk.expect("Password: ")
        paste(talk, PASSWORD, "")
        self.assertNotIn(PASSWORD, talk.expect("Main menu: uma"))

    def test_at_a_search_it_is_one_search(self) -> None:
        self.create(self.uma, "Dear all, thanks", "1 2 res 0 yes #1 3 4 5")
        talk = self.signed_in("max")
        talk.choose("Search work orders")
        talk.expect("Search for: ")
        paste(talk, *MAIL)
        seen = plain(talk.expect("1 work order: ") + talk.expect("#ID: "))
        self.assertEqual(seen.count("  0. Back"), 1)
        heading = " ".join(seen.split("1 work order: ")[1].split("ID  Priority")[0].split("\n"))
        self.assertEqual(heading, f'containing "{" ".join(MAIL)}", newest first (page 1 of 1) ')

    def test_at_every_other_question_it_is_one_wrong_answer(self) -> None:
        self.create(self.uma)
        before = self.everything()
        questions: Sequence[Tuple[Sequence[str], str]] = (
            (("#1", "Change status"), "Status: "),
            (("#1", "Change priority"), "Priority [Medium]: "),
            (("#1", "Assign"), "Assignee: "),
            (("#1", "Set due date"), "none ...): "),
            (("#1", "Change requester"), "Requester [uma]: "),
            (("#1", "Delete"), "Are you sure? [no]: "),
            (("Update work order",), "Work order ID: "),
            (("View work orders", "Filter"), "Filter by: "),
            (("View work orders", "Sort"), "Sort by [urgency]: "),
            (("Manage users", "Add user"), "Username: "),
            (("Manage users", "Change role"), "Username: "),
            (("My account", "Change email"), "Email [none]: "),
            (("Data and audit", "Audit log", "Show entry"), "Entry ID: "),
        )
        for labels, prompt in questions:
            with self.subTest(labels=labels):
                talk = self.signed_in("anna")
                talk.choose(*labels)
                talk.expect(prompt)
                paste(talk, *MAIL)
                seen = talk.expect("Error: ") + talk.expect(prompt)
                talk.send("\x03")
                seen += talk.expect("Cancelled.")
                self.assertEqual((seen.count("Error: "), seen.count("  0. ")), (1, 0))
        self.assertEqual(self.everything(), before)

    def test_one_line_is_the_answer_that_it_would_be_typed(self) -> None:
        talk = self.signed_in("uma")
        talk.choose("Create work order")
        talk.expect("Title: ")
        paste(talk, "Printer jams", "")
        talk.expect("(optional): ")
        paste(talk, "Tray 2")
        talk.answer("[Medium]: ", "")
        talk.expect("created.")
        self.assertEqual(self.rows("SELECT title, description FROM work_orders"), [("Printer jams", "Tray 2")])


@needs_terminal
class PasteWithoutLineEditingTest(WorkingDayTestCase):
    """A terminal that cannot tell what is pasted: its lines come as if somebody typed them very fast."""

    def test_lines_that_wait_behind_a_texts_first_belong_to_it(self) -> None:
        self.create(self.uma)
        talk = self.signed_in("max", TERM="dumb")
        talk.choose("#1", "Add comment")
        talk.expect("Comment: ")
        talk.send("".join(f"{line}\r" for line in MAIL))
        talk.expect("Comment on work order #1 added.")
        seen = talk.expect("#ID: ")
        self.assertEqual(seen.count("Work order #1: "), 1)
        self.assertEqual(self.history()[1:], [("comment", "", "", "\n".join(MAIL))])

    def test_a_description_too_and_an_empty_line_in_it(self) -> None:
        talk = self.signed_in("uma", TERM="dumb")
        talk.choose("Create work order")
        talk.answer("Title: ", "Printer")
        talk.expect("(optional): ")
        talk.send("Dear all,\r\r1\r2\r0\r")
        talk.answer("[Medium]: ", "")
        talk.expect("created.")
        self.assertEqual(self.rows("SELECT description FROM work_orders"), [("Dear all,\n\n1\n2\n0",)])


@needs_terminal
class RefusedAnswerTest(WorkingDayTestCase):
    def test_a_title_that_is_too_long_comes_back_to_be_mended(self) -> None:
        talk = self.signed_in("uma", (240, 24))
        talk.choose("Create work order")
        talk.answer("Title: ", "x" * 139)
        talk.expect("Error: A title has 1 to 120 characters; this one has 139.\n")
        talk.expect(f"Title: {'x' * 139}")
        talk.send("\x7f" * 19 + "\r")
        talk.answer("(optional): ", "", "[Medium]: ", "urgent")
        talk.expect("Error: ")
        talk.expect("Priority [Medium]: urgent")
        talk.send("\x15hi\r")
        talk.expect("created.")
        self.assertEqual(self.rows("SELECT title, priority FROM work_orders"), [("x" * 120, 3)])

    def test_a_password_never_does(self) -> None:
        talk = self.talk((80, 24))
        talk.choose("Register")
        talk.answer("Username: ", "ada", "Password: ", "short")
        talk.expect("Error: ")
        talk.answer("Password: ", PASSWORD, "Confirm password: ", PASSWORD)
        self.assertNotIn("short", talk.expect("Role [user]: "))

    def test_what_could_drive_the_terminal_does_not(self) -> None:
        talk = self.signed_in("uma")
        talk.choose("Update work order")
        talk.answer("Work order ID: ", "\x16\x1b[31mred")
        talk.expect("Error: ")
        self.assertNotIn("red", talk.expect("Work order ID: ") + talk.end().output)

    def test_over_a_pipe_it_does_not(self) -> None:
        output = self.run_as("uma", "Create work order", "x" * 139)
        self.assertEqual(output.count("x" * 100), 0)
        self.assertTrue(output.endswith("has 139.\nTitle: \nCancelled. Nothing was saved.\n"), output)


class TakeTest(WorkingDayTestCase):
    def test_two_answers_make_it_mine_and_in_progress_with_two_rows(self) -> None:
        self.create(self.uma)
        output = self.run_as("max", "#1", "Take", "Take")
        self.assertIn("Work order #1 is now yours.\n\nWork order #1: Printer jams\n  Status:     In Progress", output)
        self.assertIn("Error: Choose one of the numbers 1, 2, 4, ", output)
        changes = [("assignee", "nobody", "max", ""), ("status", "Open", "In Progress", "")]
        self.assertEqual(self.history()[1:], changes)

    def test_it_is_one_transaction(self) -> None:
        order = self.create(self.uma)
        self.connection.execute(
            "CREATE TRIGGER refuse BEFORE UPDATE OF status ON work_orders BEGIN SELECT RAISE(ABORT, 'no'); END"
        )
        with self.assertRaises(database.EXPECTED_FAULTS):
            work_order.take(self.max, order)
        self.assertEqual(self.get(self.max, 1), order)
        self.assertEqual(len(self.history()), 1)

    def test_what_is_open_and_mine_is_started_and_what_is_not_open_keeps_its_status(self) -> None:
        first, second = self.create(self.uma), self.create(self.uma)
        work_order.change(self.max, first, ASSIGNEE, "max")
        work_order.change_status(self.max, second, Status.ON_HOLD)
        self.run_as("max", "#1", "Take", "#2", "Take")
        self.assertEqual(self.history(1)[2:], [("status", "Open", "In Progress", "")])
        self.assertEqual(self.history(2)[2:], [("assignee", "nobody", "max", "")])

    def test_what_somebody_else_has_is_taken_only_after_a_yes(self) -> None:
        work_order.change(self.max, self.create(self.uma), ASSIGNEE, "max")
        output = self.run_as("anna", "#1", "Take", "", "Take", "no")
        self.assertEqual(
            output.count(
                "\nWork order #1 is assigned to max; you would take it from them.\nAre you sure? [no]: \nCancelled."
            ),
            2,
        )
        self.assertEqual(self.get(self.anna, 1).assignee, "max")
        self.assertIn("is now yours", self.run_as("anna", "#1", "Take", "yes"))
        self.assertEqual(self.get(self.anna, 1).assignee, "anna")

    def test_what_somebody_takes_meanwhile_is_a_conflict(self) -> None:
        shown = self.create(self.uma)
        work_order.take(self.max, shown)
        with self.assertRaisesRegex(work_order.ConflictError, 'assignee is now "max": max changed it'):
            work_order.take(self.anna, shown)

    def test_a_user_has_no_such_option_and_is_refused(self) -> None:
        order = self.create(self.uma)
        self.assertIn("Error: Choose one of the numbers 1, 2, 5, ", self.run_as("uma", "#1", "Take"))
        with self.assertRaises(PermissionDeniedError):
            work_order.take(self.uma, order)
        with self.assertRaises(ApplicationError):
            work_order.take(self.uma, self.create(self.ugo))
        self.assertEqual(self.rows("SELECT assignee_id FROM work_orders"), [(None,), (None,)])


class CategoryTest(WorkingDayTestCase):
    def test_a_manager_names_one_and_a_user_chooses_among_those_in_use(self) -> None:
        self.assertIn("[Medium]: \nWork order #1 created.\n", self.run_as("uma", "Create work order", "t", "", ""))
        output = self.run_as("max", "Create work order", "t", "", "", " Hard  disks ", "")
        self.assertIn("\n  1. none\nCategory [none]: \nRequester [me]: \nWork order #2 created.\n", output)
        create = ("Create work order", "t", "", "")
        output = self.run_as("uma", *create, "Network", "HARD", *create, 1, *create, "")
        self.assertEqual(output.count("\n  1. Hard  disks\n  2. none\nCategory [none]: \n"), 3)
        self.assertIn("Error: Answer with a number from 1 to 2 or one of: Hard  disks, none.", output)
        categories = [row[0] for row in self.rows("SELECT category FROM work_orders ORDER BY id")]
        self.assertEqual(categories, [None, "Hard  disks", "Hard  disks", "Hard  disks", None])

    def test_it_is_edited_filtered_by_and_told_in_the_heading_and_the_history(self) -> None:
        for title in ("First", "Second"):
            self.create(self.uma, title)
        change = ("#1", "Change category", "Network", "Change category", "", "Show history", "Back")
        filters = ("View work orders", "Filter", "category", "net", "Filter", "category", "none")
        output = self.run_as("max", *change, *filters)
        self.assertIn("Category of work order #1 is now Network.\n", output)
        self.assertIn("  Category:   Network ", output)
        self.assertIn("Category [Network]: \nNothing changed.\n", output)
        self.assertIn('max: category from "none" to "Network"\n', output)
        for which, title, other in (("Network", "First", "Second"), ("none", "Second", "First")):
            page = output.split(f"\n1 work order: category {which}, most urgent first (page 1 of 1)\n")[1]
            self.assertIn(title, page.split("Choose")[0])
            self.assertNotIn(other, page.split("Choose")[0])

    def test_capitals_do_not_matter_and_it_keeps_its_spelling(self) -> None:
        self.create(self.max, category="Network")
        self.assertEqual(self.create(self.max, category="NETWORK").category, "Network")
        self.assertEqual(self.create(self.uma, category="network").category, "Network")
        self.assertEqual(work_order.parse_category(self.uma, "nEt"), "Network")

    def test_it_is_there_as_long_as_a_work_order_has_it(self) -> None:
        order = self.create(self.max, category="Network")
        self.assertEqual(work_order.categories(self.uma), ["Network"])
        work_order.change(self.max, order, CATEGORY, None)
        self.assertEqual(work_order.categories(self.uma), [])
        deleted = self.create(self.max, category="Phones")
        work_order.delete(self.anna, deleted.id)
        self.assertEqual(work_order.categories(self.uma), [])
        with self.assertRaises(InvalidInputError):
            self.create(self.uma, category="Phones")

    def test_one_outside_1_to_40_characters_and_a_users_new_one_are_refused_by_function(self) -> None:
        self.create(self.max, category="x" * 40)
        for session, category in ((self.max, "x" * 41), (self.max, " "), (self.uma, "New"), (self.uma, "x")):
            with self.subTest(category=category), self.assertRaises(InvalidInputError):
                self.create(session, category=category)
        with self.assertRaises(InvalidInputError):
            work_order.change(self.uma, self.create(self.uma), CATEGORY, "New")
        self.assertEqual(work_order.categories(self.anna), ["x" * 40])

    def test_a_user_empties_ones_own_with_none(self) -> None:
        work_order.change(self.max, self.create(self.uma), CATEGORY, "Network")
        self.assertIn("Category of work order #1 is now none.", self.run_as("uma", "#1", "Change category", "none"))


class SearchTest(WorkingDayTestCase):
    def below(self, text: str) -> Dict[int, List[str]]:
        return work_order.read_page(self.max, work_order.search(self.max, text), (), 10).below

    def test_a_note_is_found_and_each_place_is_named(self) -> None:
        order = self.create(self.uma, "Printer jams", "Tray two squeaks")
        work_order.comment(self.uma, order.id, "It smokes")
        work_order.change_status(self.max, order, Status.RESOLVED, "Replaced the fuser")
        for text, place in (
            ("jam", "title: Printer [jam]s"),
            ("squeak", "description: Tray two [squeak]s"),
            ("smokes", "comment: It [smokes]"),
            ("FUSER", "note: Replaced the [fuser]"),
            ("quea", "description: Tray two s[quea]ks"),
            ("use", "note: Replaced the f[use]r"),
        ):
            with self.subTest(text=text):
                self.assertEqual(self.below(text), {order.id: [place]})
        output = self.run_as("max", "Search work orders", "fuser")
        self.assertIn("\n    note: Replaced the [fuser]\n", output)

    def test_no_excerpt_holds_two_texts(self) -> None:
        order = self.create(self.uma, "Alpha", "beta")
        for text in ("gamma", "delta", "epsilon"):
            work_order.comment(self.uma, order.id, text)
        for text in ("alpha", "beta", "gamma", "delta", "epsilon", "elt"):
            ((excerpt,),) = self.below(text).values()
            words = re.findall("alpha|beta|gamma|delta|epsilon", re.sub(r"[\[\]]", "", excerpt.lower()))
            self.assertEqual(len(words), 1, excerpt)

    def test_the_excerpt_is_of_the_latest_where_several_match(self) -> None:
        order = self.create(self.uma)
        for text in ("toner first", "toner second"):
            work_order.comment(self.uma, order.id, text)
        self.assertEqual(self.below("toner"), {order.id: ["comment: [toner] second"]})


class PeopleTest(WorkingDayTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.session("mara", Role.MANAGER, ("anna", PASSWORD))

    def test_assign_shows_who_there_is_numbered_with_what_each_has(self) -> None:
        for _ in range(2):
            work_order.change(self.anna, self.create(self.uma), ASSIGNEE, "max")
        work_order.change_status(self.anna, self.get(self.anna, 1), Status.RESOLVED)
        output = self.run_as("anna", "#2", "Assign", 2)
        people = "  1. anna (0 unfinished)\n  2. mara (0 unfinished)\n  3. max (1 unfinished)\n  4. nobody\nAssignee: "
        self.assertIn(people, output)
        self.assertIn("Work order #2 is now assigned to mara.", output)

    def test_a_number_a_beginning_me_and_nobody_will_do_and_no_ambiguous_beginning(self) -> None:
        self.create(self.uma)
        answers = [answer for who in ("an", "4", "MAX", "me", "nobody") for answer in ("Assign", who)]
        output = self.run_as("mara", "#1", *answers, "Assign", "ma", "u", 9, 0, "")
        named = re.findall("is now assigned to ([a-z]+)", output)
        self.assertEqual(named, ["anna", "nobody", "max", "mara", "nobody"])
        self.assertIn("Error: More than one username begins with ma: mara, max.\n", output)
        self.assertEqual(output.count("\nError: "), 4)

    def test_a_beginning_will_do_wherever_a_person_is_asked_for(self) -> None:
        self.create(self.uma)
        output = self.run_as(
            *("anna", "#1", "Change requester", "ug", "Back"),
            *("View work orders", "Filter", "requester", "ug", "Filter", "assignee", "mar", "Back"),
            *("Manage users", "Change role", "um", "manager", "Reset password", "mar", "", "Back"),
            *("Data and audit", "Audit log", "Filter", "an", ""),
        )
        for words in (
            "Requester of work order #1 is now ugo.",
            "requester ugo, assignee mara,",
            "uma is now a manager.",
            "User mara will be logged out",
            "Audit log, newest first: anna",
        ):
            self.assertIn(words, output)

    def test_never_at_the_login_nor_at_an_approval(self) -> None:
        self.assertIn("Error: The username or the password is wrong.", run(self.path, "Log in", "um", PASSWORD).output)
        output = run(self.path, "Register", "eve", PASSWORD, "admin", "an", PASSWORD).output
        self.assertIn("Nothing was created.", output)

    def test_who_is_deactivated_is_not_meant_by_a_beginning(self) -> None:
        users.deactivate(self.anna, "mara")
        self.assertEqual(users.parse_assignee(self.anna, "ma"), "max")
        self.assertEqual([each.username for each in users.list_assignees(self.anna)], ["anna", "max"])
        self.assertEqual(users.parse_requester(self.anna, "ma"), "max")

    def test_a_whole_name_is_meant_even_if_others_begin_with_it(self) -> None:
        self.session("maxine", Role.MANAGER, ("anna", PASSWORD))
        self.assertEqual(users.parse_assignee(self.anna, "max"), "max")

    def test_to_a_user_a_beginning_tells_nothing_about_accounts(self) -> None:
        with self.assertRaises(PermissionDeniedError):
            users.list_assignees(self.uma)
        for text in ("an", "ma"):
            self.assertEqual(users.parse_person(self.uma, text), text)

    def test_only_admins_learn_what_somebody_has(self) -> None:
        for session in (self.uma, self.max):
            with self.assertRaises(PermissionDeniedError):
                users.count_assigned(session, users.find(self.connection, "max"))


class RequesterTest(WorkingDayTestCase):
    def test_a_call_is_logged_for_somebody_in_six_answers(self) -> None:
        for username in ("max", "anna"):
            output = self.run_as(username, "Create work order", "Phone dead", "", "", "", "um", "#1")
            self.assertIn("Category [none]: \nRequester [me]: \nWork order #", output)
        self.assertEqual(self.rows("SELECT requester_id FROM work_orders"), [(self.uma.user_id,)] * 2)
        self.assertEqual(self.rows("SELECT user_id FROM work_order_history"), [(2,), (1,)])
        self.assertIn("2 unfinished, 0 overdue; 2 changed by others", self.run_as("uma"))

    def test_an_empty_answer_is_oneself_and_a_user_is_not_asked(self) -> None:
        self.run_as("max", "Create work order", "t", "", "", "", "ghost", "")
        output = self.run_as("uma", "Create work order", "t", "", "")
        self.assertNotIn("Requester", output)
        requesters = [(self.max.user_id,), (self.uma.user_id,)]
        self.assertEqual(self.rows("SELECT requester_id FROM work_orders ORDER BY id"), requesters)

    def test_a_user_is_refused_by_function_whoever_it_is_for(self) -> None:
        words = set()
        for requester in ("ugo", "ghost"):
            with self.assertRaises(PermissionDeniedError) as raised:
                work_order.create(self.uma, "t", "", Priority.LOW, None, requester)
            words.add(str(raised.exception))
        self.assertEqual(len(words), 1)
        self.assertEqual(self.rows("SELECT * FROM work_orders"), [])
        work_order.create(self.uma, "t", "", Priority.LOW, None, "uma")

    def test_nobody_who_is_unknown_or_deactivated_becomes_one(self) -> None:
        users.deactivate(self.anna, "ugo")
        for requester in ("ugo", "ghost"):
            with self.assertRaises(InvalidInputError):
                work_order.create(self.max, "t", "", Priority.LOW, None, requester)
        self.assertEqual(self.rows("SELECT * FROM work_orders"), [])


class Wednesday(date):
    """A day whose today is a Wednesday."""

    @classmethod
    def today(cls) -> "Wednesday":
        return cls(2026, 7, 15)


class DueDateTest(WorkingDayTestCase):
    def test_days_and_times_in_every_form(self) -> None:
        for text, meant in (
            ("2026-12-31", "2026-12-31"),
            ("2026-12-31 17:00", "2026-12-31 17:00"),
            ("2026-12-31 9:05", "2026-12-31 09:05"),
            ("today", "2026-07-15"),
            ("TOMORROW", "2026-07-16"),
            ("tom", "2026-07-16"),
            ("fri", "2026-07-17"),
            ("F", "2026-07-17"),
            ("friday 17:00", "2026-07-17 17:00"),
            ("wed", "2026-07-22"),
            ("tu", "2026-07-21"),
            ("Tomorrow 9:00", "2026-07-16 09:00"),
            ("+3d", "2026-07-18"),
            ("+0d", "2026-07-15"),
            ("+3d  17:00", "2026-07-18 17:00"),
            ("9:00", "2026-07-15 09:00"),
            ("09:00", "2026-07-15 09:00"),
        ):
            with self.subTest(text=text), mock.patch.object(work_order, "date", Wednesday):
                due_at = work_order.parse_due_date(text)
                assert due_at
                self.assertEqual((due_at.tzinfo, work_order.local_time(due_at)), (timezone.utc, meant))

    def test_hours_are_counted_from_now(self) -> None:
        due_at = work_order.parse_due_date("+4h")
        assert due_at
        seconds = (due_at - datetime.now(timezone.utc)).total_seconds()
        self.assertTrue(4 * 3600 - 61 <= seconds <= 4 * 3600, seconds)

    def test_the_beginning_of_several_days_is_refused(self) -> None:
        for text in ("t", "s", "to", "tod 17:00x", "friday17", "wednesdays"):
            with self.subTest(text=text), self.assertRaises(InvalidInputError):
                work_order.parse_due_date(text)

    def test_due_tomorrow_takes_two_answers_on_the_open_work_order(self) -> None:
        self.create(self.uma)
        output = self.run_as("max", "#1", "Set due date", "tomorrow")
        tomorrow = datetime.now(timezone.utc).date() + timedelta(days=1)  # the program runs in UTC
        self.assertIn(f"Due date of work order #1 is now {tomorrow}.\n", output)

    def test_one_in_the_past_is_taken_and_said_to_be(self) -> None:
        self.create(self.uma)
        output = self.run_as("max", "#1", "Set due date", "2020-01-01")
        self.assertIn("Due date of work order #1 is now 2020-01-01, which is in the past.\n", output)
        self.assertRegex(output, r"Due:        2020-01-01, overdue \d+d\n")

    def test_a_time_that_the_clocks_leave_out_is_refused(self) -> None:
        self.create(self.uma)
        times = ("2027-03-28 02:30", "2027-03-28 03:30")
        output = self.run_as("max", "#1", "Set due date", *times, TZ=POSIX_BERLIN)
        self.assertIn("Error: There is no 2027-03-28 02:30 here: the clocks are set forward over it.\n", output)
        self.assertIn("is now 2027-03-28 03:30.", output)

    def test_due_today_shows_its_time_and_what_is_overdue_for_how_long(self) -> None:
        today = datetime.now().date()
        now = datetime.now(timezone.utc).replace(microsecond=0)
        order = self.create(self.uma)
        for due_at, told in (
            (datetime.combine(today, datetime.max.time()).replace(microsecond=0).astimezone(), "today"),
            (now - timedelta(days=3, hours=4), "overdue 3d"),
            (now - timedelta(hours=2, minutes=5), "overdue 2h"),
            (datetime(2099, 1, 2, 12).astimezone(), "2099-01-02"),
            (None, ""),
        ):
            self.assertEqual(work_order.describe_due(order._replace(due_at=due_at)), told)
        with mock.patch.object(work_order, "date", Wednesday):
            wednesday = datetime(2026, 7, 15, 17).astimezone()
            shown = order._replace(due_at=wednesday)
            with mock.patch.object(work_order.WorkOrder, "is_overdue", False):
                self.assertEqual(work_order.describe_due(shown), "today 17:00")

    @needs_terminal
    def test_what_is_overdue_says_so_at_every_width(self) -> None:
        order = self.create(self.uma, "Printer jams")
        work_order.change(self.max, order, DUE_DATE, datetime(2020, 1, 1, tzinfo=timezone.utc))
        for columns in (40, 50, 80, 160):
            with self.subTest(columns=columns):
                talk = self.signed_in("max", (columns, 24), NO_COLOR="1")
                talk.choose("View work orders")
                page = talk.expect("#ID: ")
                self.assertIn("overdue", page.split("first (page")[0].replace("\n", " ").split("Main menu")[-1])
                row = next(line for line in page.split("\n") if line.startswith("1  "))
                self.assertIn("overdue", row)

    def test_sorted_by_due_unfinished_comes_first_and_the_heading_counts_what_is_overdue(self) -> None:
        for day in (1, 2, 3):
            work_order.change(self.max, self.create(self.uma), DUE_DATE, datetime(2020, 1, day, tzinfo=timezone.utc))
        work_order.change_status(self.max, self.get(self.max, 1), Status.RESOLVED)
        self.assertEqual(self.ids(self.max, Query(sort=Sort.DUE)), [2, 3, 1])
        output = self.run_as("max", "View work orders", "Sort", "due")
        self.assertIn("\n3 work orders, 2 overdue, earliest due first (page 1 of 1)\n", output)


class RoleTest(WorkingDayTestCase):
    def register(self, *answers: object) -> Ended:
        return run(self.folder / "new.db", *answers)

    def role(self, username: str) -> str:
        return users.find(self.connection, username).role.value

    def test_the_first_accounts_default_is_admin_and_the_next_ones_user(self) -> None:
        output = self.register("Register", "ada", PASSWORD, "", "Register", "bob", PASSWORD, "").output
        self.assertIn("Role [admin]: \nUser ada registered as admin.\n", output)
        self.assertIn("Role [user]: \nUser bob registered as user.\n", output)

    def test_while_there_is_no_admin_the_default_is_admin(self) -> None:
        output = self.register("Register", "ada", PASSWORD, "user", "Register", "bob", PASSWORD, "").output
        self.assertIn("Role [admin]: \nUser bob registered as admin.\n", output)

    def test_an_empty_answer_keeps_the_role(self) -> None:
        for username, role in (("max", "manager"), ("uma", "user"), ("anna", "admin")):
            output = self.run_as("anna", "Manage users", "Change role", username, "")
            self.assertIn(f"Role [{role}]: \nNothing changed.\n", output)
            self.assertEqual(self.role(username), role)

    def test_demoting_says_what_is_lost_and_asks(self) -> None:
        for _ in range(2):
            work_order.change(self.anna, self.create(self.uma), ASSIGNEE, "max")
        demote = ("Change role", "max", "user")
        output = self.run_as("anna", "Manage users", *demote, "", *demote, "no")
        question = (
            "User max will be a user and no longer a manager. 2 work orders will lose their assignee.\n"
            "Are you sure? [no]: \nCancelled. Nothing was saved.\n"
        )
        self.assertEqual(output.count(question), 2)
        self.assertEqual((self.role("max"), self.get(self.anna, 1).assignee), ("manager", "max"))
        output = self.run_as("anna", "Manage users", *demote, "yes")
        self.assertIn("max is now a user. 2 work orders that were assigned to max now have no assignee.\n", output)
        self.assertEqual((self.role("max"), self.get(self.anna, 1).assignee), ("user", None))

    def test_promoting_does_not_ask_and_names_the_role_with_its_article(self) -> None:
        output = self.run_as("anna", "Manage users", "Change role", "uma", "admin")
        self.assertIn("\numa is now an admin.\n", output)
        self.assertNotIn("Are you sure?", output)

    def test_deactivating_and_resetting_say_what_they_take_away(self) -> None:
        work_order.change(self.anna, self.create(self.uma), ASSIGNEE, "max")
        output = self.run_as("anna", "Manage users", "Deactivate", "max", "", "Reset password", "max", "")
        self.assertRegex(
            output, r"User max will be logged out and can no longer log in\. 1 work order .*assignee\.\nAre"
        )
        self.assertIn("User max will be logged out and get a one-time password.\nAre you sure? [no]: ", output)


class MyWorkTest(WorkingDayTestCase):
    def setUp(self) -> None:
        super().setUp()
        soon, late = (work_order.parse_due_date(text) for text in ("today", "2020-01-01"))
        for session, title, assignee, due_at in (
            (self.uma, "Mine and late", "max", late),
            (self.uma, "Mine and soon", "max", soon),
            (self.ugo, "Nobody's", None, None),
            (self.max, "Asked by me", "anna", None),
            (self.ugo, "Finished", "max", late),
        ):
            order = self.create(session, title)
            work_order.change(self.anna, order, ASSIGNEE, assignee)
            work_order.change(self.anna, order, DUE_DATE, due_at)
        work_order.change_status(self.ugo, self.get(self.ugo, 5), Status.CANCELLED)

    def lists(self, username: str, *labels: str) -> List[str]:
        """Return the titles of each list that My work opens, after the count that stands before it."""
        told = []
        for label in labels:
            output = self.run_as(username, "My work", label)
            (count,) = re.findall(rf"  \d\. {label}: (.*)\n", output)
            page = output.split("\nMy work\n")[1].split("#ID: \n")[1]
            titles = re.findall("Mine and late|Mine and soon|Nobody's|Asked by me|Finished", page)
            told.append(": ".join([count, ", ".join(titles)]))
        return told

    def test_a_managers_counts_and_lists(self) -> None:
        labels = ("Assigned to me", "Unassigned", "Overdue", "Due this week", "Requested by me")
        expected = ["2, 1 overdue: Mine and late, Mine and soon", "1: Nobody's", "1: Mine and late"]
        expected += ["1: Mine and soon", "1: Asked by me"]
        self.assertEqual(self.lists("max", *labels), expected)
        line = "2 assigned to you, 1 of them overdue; 1 unassigned; 0 changed by others since your last login"
        self.assertIn(f"Main menu: max (manager)\n  {line}\n", self.run_as("max"))

    def test_an_admins(self) -> None:
        labels = ("Assigned to me", "Requested by me")
        self.assertEqual(self.lists("anna", *labels), ["1: Asked by me", "0: "])

    def test_a_user_has_ones_own_under_the_same_numbers(self) -> None:
        self.assertEqual(
            self.lists("uma", "Overdue", "Due this week", "Requested by me"),
            ["1: Mine and late", "1: Mine and soon", "2: Mine and late, Mine and soon"],
        )
        output = self.run_as("uma", "My work", 1)
        self.assertIn(
            "\nMy work\n  3. Overdue: 1\n  4. Due this week: 1\n  5. Requested by me: 2\n  6. Changed", output
        )
        self.assertIn("Error: Choose one of the numbers 3, 4, 5, 6, 0", output)
        self.assertIn("\n  2 unfinished, 1 overdue; ", output)

    def test_changed_by_others_shows_what_was_changed_and_nothing_of_ones_own(self) -> None:
        self.run_as("max")
        work_order.change(self.anna, self.get(self.anna, 3), ASSIGNEE, "max")
        work_order.take(self.anna, self.get(self.anna, 1))
        work_order.comment(self.max, 2, "by myself")
        output = self.run_as("max", "My work", "Changed by others").split("  6. Changed by others: 2\n")[1]
        self.assertIn("2 work orders: changed by others since your last login, ", output)
        self.assertIn('anna: assignee from "nobody" to "max"\n', output)
        self.assertIn('anna: assignee from "max" to "anna"\n', output)
        self.assertIn('anna: status from "Open" to "In Progress"\n', output)
        self.assertNotIn("by myself", output)


class ListTest(WorkingDayTestCase):
    def test_a_filter_takes_three_answers_and_keeps_what_was_filtered_before(self) -> None:
        self.create(self.uma, "Wanted", priority=Priority.HIGH)
        self.create(self.uma, "Unwanted")
        filters = ("Filter", "status", "open", "Filter", "priority", "high", "Filter", "status", "any")
        output = self.run_as("max", "View work orders", *filters)
        headings = re.findall(r"\n(\d work orders?)(.*), most urgent", output)
        self.assertEqual(
            headings,
            [
                ("2 work orders", ""),
                ("2 work orders", ": Open"),
                ("1 work order", ": Open, priority High"),
                ("1 work order", ": priority High"),
            ],
        )

    def test_filter_order_and_page_stay_while_a_work_order_is_looked_at(self) -> None:
        for number in range(25):
            self.create(self.uma, f"Title {number}.")
        looks = ("Open work order", 3, "Back", "#4", "Show history", "Back", "Back")
        output = self.run_as(
            "max", "View work orders", "Filter", "status", "open", "Sort", "newest", "Next page", *looks, "Back"
        )
        heading = "\n25 work orders: Open, newest first (page 2 of 2)\n"
        self.assertEqual(output.count(heading), 3)
        again = self.run_as("max", "View work orders", "Filter", "status", "open", "Back", "View work orders")
        self.assertIn("\n25 work orders, most urgent first (page 1 of 2)\n", again.split("Open, most urgent first")[1])

    def test_what_can_do_nothing_now_is_left_out(self) -> None:
        empty = self.run_as("uma", "View work orders", "Filter", "status", "open")
        self.assertIn("(page 1 of 1)\n  4. Filter\n  5. Sort\n  0. Back\n", empty)
        self.assertIn("(page 1 of 1)\n  4. Filter\n  5. Sort\n  6. Clear filter\n  0. Back\n", empty)
        self.create(self.uma)
        self.assertIn("\n  3. Open work order\n  4. Filter\n  5. Sort\n  0. Back\n", self.run_as("uma", 2))
        deleted = self.run_as("anna", "Data and audit", "Deleted work orders")
        self.assertIn("There are none.\n  0. Back\n", deleted)

    def test_leaving_a_filter_a_sort_or_a_search_says_nothing_about_saving(self) -> None:
        output = self.run_as("uma", "Search work orders", "", "Update work order", "", "View work orders", "Filter", "")
        self.assertEqual(output.count("\nCancelled.\n"), 3)
        self.assertNotIn("Nothing was saved", output)

    def test_a_deletion_says_that_an_admin_can_restore_it(self) -> None:
        self.create(self.uma)
        output = self.run_as("anna", "#1", "Delete", "no")
        self.assertRegex(output, r"\nWork order #1 will be deleted; .*admin.* restore it\.\nAre you sure\? \[no\]: \n")

    def test_a_text_prompt_and_a_menu_say_how_to_go_on(self) -> None:
        self.create(self.uma)
        texts = ("#1", "Add comment", "x", "Change status", "on hold", "", "Edit description", "y")
        output = self.run_as("uma", "Create work order", "t", "", "", *texts)
        for prompt in ("Description (optional)", "Comment", "Note (optional)", "Description [none]"):
            self.assertIn(f"End a line with \\ for more.\n{prompt}: ", output)
        self.assertIn("\nChoose an option or #ID: \n", output)


class AuditTest(WorkingDayTestCase):
    @needs_terminal
    def test_an_entry_is_read_whole_at_any_width(self) -> None:
        subject = "x" * 32
        with self.assertRaises(users.AuthenticationError):
            users.register(self.connection, subject, PASSWORD, Role.ADMIN, ("anna", "wrong"))
        ((entry,),) = self.rows("SELECT max(id) FROM audit_log")
        talk = self.signed_in("anna", (50, 24), SSH_CLIENT="192.0.2.7 50000 22")
        talk.choose("Data and audit", "Audit log", "Show entry")
        talk.answer("Entry ID: ", str(entry))
        talk.expect("Audit log entry\n")
        shown = plain(talk.expect("#ID: "))
        words = (f"anna for {subject} as admin", "approval failed", "ID:", "When:", "System user:", "SSH client:")
        for text in words:
            self.assertIn(text.replace(" ", ""), re.sub(r"\s", "", shown))
        self.assertLessEqual(max(map(main.cell_width, shown.split("\n"))), 50)
        talk.send("0\r")
        talk.choose("Show entry")
        talk.answer("Entry ID: ", str(int(str(entry)) + 1))
        talk.expect("Audit log entry\n")
        shown = re.sub(r" +", " ", plain(talk.expect("#ID: ")))
        for text in ("Account: anna", "Event: logged in", "SSH client: 192.0.2.7"):
            self.assertIn(text, shown)

    def test_the_list_names_the_ids_and_an_unknown_one_is_refused(self) -> None:
        output = self.run_as("anna", "Data and audit", "Audit log", "Show entry", 999, "x", "")
        self.assertRegex(output, r"\nID +When +Account +Event +Subject")
        self.assertIn("Error: There is no entry 999.\n", output)
        self.assertIn("Entry ID: \nCancelled.\n", output)

    def test_only_admins_read_one(self) -> None:
        for session in (self.uma, self.max):
            with self.assertRaises(PermissionDeniedError):
                users.get_audit_entry(session, 1)


@needs_terminal
class ScreenTest(WorkingDayTestCase):
    """What stands in the terminal when the prompt has come: its last lines."""

    def screen(self, talk: Conversation, size: Tuple[int, int], done: str = "") -> List[str]:
        """Return the lines of the terminal at the next menu prompt that follows what was done."""
        seen = plain(talk.expect(done)) if done else ""
        seen += plain(talk.expect("#ID: "))
        lines = []
        for line in seen.split("\n"):
            width = max(1, main.cell_width(line))
            lines += [line, *[""] * ((width - 1) // size[0])]  # what the terminal itself breaks
        return lines[-size[1] :]

    def assert_in_sight(self, lines: List[str], *texts: str) -> None:
        for text in texts:
            self.assertTrue(any(text in line for line in lines), (text, "\n".join(lines)))

    def full_work_order(self) -> None:
        description = "\n".join(f"Line {number} " + "of the description " * 9 for number in range(40))
        order = self.create(self.uma, "A title of 120 characters " * 4 + "x" * 16, description, category=None)
        work_order.change(self.max, order, CATEGORY, "A category of 40 characters" + "x" * 13)
        work_order.change(self.max, order, DUE_DATE, datetime(2020, 1, 1, tzinfo=timezone.utc))
        for number in range(30):
            work_order.comment(self.uma, order.id, f"Comment {number} " + "is long " * 60)

    def test_after_every_action_the_work_order_is_in_sight_with_the_menu(self) -> None:
        self.full_work_order()
        for size in SIZES:
            talk = self.signed_in("anna", size)
            talk.choose("#1")
            self.assert_in_sight(self.screen(talk, size), "Work order #1: A title", "Status:", "#ID: ")
            for option, answers, done in (
                ("Add comment", ("Comment: ", "Another"), "Comment on work order #1 added."),
                ("Assign", ("Assignee: ", "max"), "is now assigned to max."),
                ("Take", ("sure? [no]: ", "y"), "Work order #1 is now yours."),
                ("Change priority", ("]: ", f"{'low' if size == SIZES[1] else 'high'}"), "is now "),
                ("Set due date", ("...): ", "2020-01-02 17:00"), "which is in the past."),
                ("Set due date", ("...): ", "2020-01-03 17:00"), "which is in the past."),
                ("Change status", ("Status: ", "reso", "(optional): ", "Plugged it in"), "is now Resolved."),
                ("Change status", ("Status: ", "on hold", "(optional): ", "Waiting for Eve"), "is now On Hold."),
                ("Change status", ("Status: ", "open", "(optional): ", ""), "is now Open."),
            ):
                with self.subTest(size=size, option=option, done=done):
                    talk.send(f"{self.number(option)}\r")
                    talk.answer(*answers)
                    lines = self.screen(talk, size, done)
                    texts = (done, "Work order #1: A title", "Status:", "Priority:", "Requester:", "Assignee:", "Due:")
                    menu = ("1. Change status", "8. Edit description", "12. Delete", "0. Back", "#ID: ")
                    self.assert_in_sight(lines, *texts, *menu)
                    screen = [line for line in lines if done not in line]
                    self.assertLessEqual(max(map(main.cell_width, screen)), size[0])
                    if answers[-1] and option in ("Add comment", "Change status"):
                        self.assert_in_sight(lines, answers[-1])

    @staticmethod
    def number(label: str) -> str:
        return next(str(option.number) for option in main.WorkOrderScreen.MENU if option.label == label)

    def test_what_has_no_room_is_said_to_be_in_the_history(self) -> None:
        self.full_work_order()
        for size in SIZES:
            with self.subTest(size=size):
                talk = self.signed_in("max", size)
                talk.choose("#1")
                lines = self.screen(talk, size)
                self.assert_in_sight(lines, "more in Show history", "Comment 29")
                self.assertEqual(any("Line 0 of" in line for line in lines), size[0] > 50)

    def test_why_a_usual_work_order_is_on_hold_is_seen_at_once(self) -> None:
        order = self.create(self.uma, description="Tray 2 squeaks. " * 30)
        for number in range(30):
            work_order.comment(self.uma, order.id, f"Comment {number} " + "is long " * 60)
        work_order.change_status(self.max, order, Status.ON_HOLD, "Waiting for a part")
        for size in SIZES:
            with self.subTest(size=size):
                talk = self.signed_in("max", size)
                talk.choose("#1")
                lines = self.screen(talk, size)
                self.assert_in_sight(lines, "Work order #1: ", "On Hold", "Waiting for a part", "more in Show history")
                if size[0] > 50:
                    self.assert_in_sight(lines, "Tray 2 squeaks.")

    def test_a_short_work_order_has_its_menu_in_one_column_where_there_is_room(self) -> None:
        self.create(self.uma)
        talk = self.signed_in("uma", (80, 40))
        talk.choose("#1")
        self.assertIn("  1. Change status\n  2. Add comment\n", plain(talk.expect("#ID: ")))

    def test_a_history_goes_by_pages_that_fit_and_leave_nothing_out(self) -> None:
        self.full_work_order()
        for size in SIZES:
            with self.subTest(size=size):
                talk = self.signed_in("max", size)
                talk.choose("#1", "Show history")
                pages = [self.screen(talk, size, "newest first")]
                while any("1. Next page" in line for line in pages[-1]):
                    talk.send("1\r")
                    pages.append(self.screen(talk, size, "newest first"))
                for page in pages:
                    self.assert_in_sight(page, "History of work order #1, newest first", "0. Back", "#ID: ")
                    self.assertLessEqual(max(map(main.cell_width, page)), size[0])
                everything = "\n".join(line for page in pages for line in page)
                found = list(map(int, re.findall(r"Comment (\d+) ", everything)))
                self.assertEqual(found, list(range(30))[::-1])
                self.assertEqual(everything.count("long"), 30 * 60)
                self.assertIn("Line 39 of", everything)

    def test_a_list_is_in_sight_with_its_heading_and_its_menu(self) -> None:
        for number in range(60):
            order = self.create(self.uma, f"Printer {number} " * 6, category=None)
            work_order.change(self.max, order, DUE_DATE, datetime(2020, 1, 1, tzinfo=timezone.utc))
        for size in SIZES:
            for start in (("View work orders",), ("My work", "Overdue"), ("My work", "Changed by others")):
                with self.subTest(size=size, start=start):
                    self.connection.execute("UPDATE users SET seen_history_id = 0")
                    talk = self.signed_in("uma", size)
                    talk.choose(*start, "Next page")
                    lines = self.screen(talk, size, "60 work orders")
                    self.assert_in_sight(lines, "60 work orders", "ID  Priority", "0. Back", "#ID: ")

    def test_a_search_is_in_sight_with_its_heading_and_its_menu(self) -> None:
        for number in range(30):
            self.create(self.uma, "A printer", f"{number} words " * 30)
        for size in SIZES:
            for text in ("printer", "words", " ".join(["words"] * 33)):
                with self.subTest(size=size, text=text):
                    talk = self.signed_in("max", size)
                    talk.choose("Search work orders")
                    talk.answer("Search for: ", text)
                    lines = self.screen(talk, size, "30 work orders")
                    self.assert_in_sight(lines, "30 work orders", "ID  Priority", "0. Back", "#ID: ")

    def test_what_others_changed_is_in_sight_however_much_it_is(self) -> None:
        self.full_work_order()
        for number in range(3):
            work_order.comment(self.anna, self.create(self.max).id, f"Line {number}\n" * 50)
        for size in SIZES:
            with self.subTest(size=size):
                self.connection.execute("UPDATE users SET seen_history_id = 0")
                talk = self.signed_in("max", size)
                talk.choose("My work", "Changed by others")
                lines = self.screen(talk, size, "3 work orders")
                self.assert_in_sight(lines, "3 work orders", "ID  Priority", "0. Back", "#ID: ")

    def test_errors_break_between_words(self) -> None:
        talk = self.signed_in("max", (50, 24))
        talk.choose("View work orders")
        talk.answer("#ID: ", "x")
        seen = plain(talk.expect("Error: ") + talk.expect("#ID: "))
        self.assertIn("Error: Choose one of the numbers 4, 5, 0, or # and", seen.replace("\n", " ").replace("  ", " "))
        self.assertLessEqual(max(map(len, seen.split("\n"))), 50)
        self.assertIn("ID of a work order.", seen.replace("\n", " "))


class AnswerCountTest(WorkingDayTestCase):
    """How many answers, after log-in, the errands of a day take."""

    def test_the_errands_of_a_day_take_few_answers(self) -> None:
        for _ in range(14):
            self.create(self.uma)
        errands: Sequence[Tuple[int, Sequence[object], str]] = (
            (2, ("My work", "Assigned to me"), "unfinished, assignee max, most urgent first"),
            (2, ("My work", "Overdue"), "overdue, earliest due first"),
            (2, ("#14", "Take"), "Work order #14 is now yours."),
            (4, ("#14", "Change status", "res", "Plugged it in"), "Work order #14 is now Resolved."),
            (6, ("Create work order", "Phone dead", "", "", "", "uma"), "Work order #15 created."),
            (4, ("View work orders", "Filter", "status", "open"), ": Open, "),
        )
        for number, answers, done in errands:
            with self.subTest(answers=answers):
                self.assertEqual(len(answers), number)
                self.assertIn(done, self.run_as("max", *answers))

    @needs_terminal
    def test_the_first_work_order_of_somebody_new_takes_twelve(self) -> None:
        talk = self.talk((80, 24))
        talk.answer(
            *("option: ", "1", "Username: ", "ada", "Password: ", PASSWORD, "Confirm password: ", PASSWORD),
            *("Role [user]: ", "", "option: ", "2", "Username: ", "ada", "Password: ", PASSWORD),
            *("#ID: ", "1", "Title: ", "Printer", "(optional): ", "", "[Medium]: ", ""),
        )
        talk.expect("Work order #1 created.")


if __name__ == "__main__":
    unittest.main()
