"""What a person is asked, one answer after the other: accounts, creating, editing, people, dates, and ways out."""

import re
import unittest
from datetime import datetime, timedelta, timezone
from typing import Any, List, Sequence, Tuple

from support import PASSWORD, Conversation, DatabaseTestCase, Ended, needs_terminal, run

import users
import work_order
from users import Role
from work_order import ASSIGNEE, DUE_DATE, REQUESTER, STATUS, Field, Priority, Status

POSIX_BERLIN = "CET-1CEST,M3.5.0,M10.5.0/3"
NEW_PASSWORD = "a new horse 7"


class FormTestCase(DatabaseTestCase):
    def history(self, work_order_id: int = 1) -> List[Tuple[str, str, str, str]]:
        """Return what was changed, oldest first: the field, from what to what, and the note."""
        entries = work_order.history(self.anna, work_order_id)[::-1]
        return [(entry.field, entry.old_value or "", entry.new_value or "", entry.note) for entry in entries]


class RegisterTest(FormTestCase):
    def usernames(self) -> str:
        return " ".join(str(username) for (username,) in self.rows("SELECT username FROM users ORDER BY id"))

    def register(self, *answers: object) -> Ended:
        return run(self.folder / "new.db", *answers)

    def test_a_wrong_username_password_or_role_is_asked_for_again(self) -> None:
        output = run(
            self.path,
            *("Register", "a", "me", "uma", "Ada Lovelace", "ada"),
            *("short", "123456789012", "aaaaaaaaaaaa", PASSWORD),
            *("boss", 4, ""),
        ).output
        self.assertEqual(output.count("Error: "), 9)
        self.assertIn("User ada registered as user.", output)

    def test_what_a_password_needs_stands_above_the_question(self) -> None:
        self.assertIn(f"\n{users.PASSWORD_RULE}\nPassword: ", run(self.path, "Register", "ada").output)

    def test_the_first_accounts_default_is_admin_and_with_an_admin_user(self) -> None:
        output = self.register(
            *("Register", "ada", PASSWORD, "user", "Register", "bob", PASSWORD, "", "Register", "eve", PASSWORD, "")
        ).output
        self.assertIn("Role [admin]: \nUser ada registered as user.\n", output)
        self.assertIn("Role [admin]: \nUser bob registered as admin.\n", output)
        self.assertIn("Role [user]: \nUser eve registered as user.\n", output)

    def test_an_admin_or_manager_needs_an_admin_who_is_asked_for_at_most_three_times(self) -> None:
        wrong = ("anna", "wrong", "max", PASSWORD, "nobody", PASSWORD)
        output = run(self.path, "Register", "eve", PASSWORD, "manager", *wrong, "Exit").output
        self.assertEqual(output.count("Error: The admin's username or password is wrong. Nothing was created."), 3)
        self.assertEqual(output.count("\nAdmin username: \nAdmin password: \n"), 3)
        self.assertIn("Cancelled. Nothing was saved.", run(self.path, "Register", "eve", PASSWORD, "admin", "").output)
        self.assertEqual(self.usernames(), "anna max uma ugo")

    def test_a_wrong_password_of_the_admin_throws_nothing_away(self) -> None:
        output = run(self.path, "Register", "mia", PASSWORD, "manager", "anna", "wrong", "Anna", PASSWORD).output
        self.assertIn("User mia registered as manager.", output)

    def test_an_empty_answer_leaves_the_form(self) -> None:
        self.assertIn("Cancelled. Nothing was saved.", run(self.path, "Register", "", "Exit").output)
        self.assertIn("Cancelled. Nothing was saved.", run(self.path, "Register", "ada", "", "Exit").output)
        self.assertEqual(self.usernames(), "anna max uma ugo")


class LogInTest(FormTestCase):
    def test_an_unknown_name_a_wrong_password_and_a_closed_account_get_the_same_words(self) -> None:
        work_order.deactivate(self.anna, "ugo")
        outputs = {
            run(self.path, "Log in", name, password, "Exit").output
            for name, password in (("ghost", PASSWORD), ("uma", "wrong"), ("ugo", PASSWORD))
        }
        self.assertEqual(len(outputs), 1)
        self.assertIn("Error: The username or the password is wrong.", outputs.pop())

    def test_the_beginning_of_a_username_will_not_do(self) -> None:
        self.assertIn("Error: The username or the password is wrong.", run(self.path, "Log in", "um", PASSWORD).output)

    def test_a_one_time_password_has_to_be_changed_before_anything_else(self) -> None:
        added = self.run_as("anna", "Manage users", "Add user", "mia", "manager")
        one_time = added.split("One-time password: ")[1].split("\n")[0]
        cancelled = run(self.path, "Log in", "mia", one_time, "", "Exit").output
        self.assertIn("\nCancelled.\n\nIT Work Order", cancelled)
        self.assertNotIn("Main menu", cancelled)
        same = run(self.path, "Log in", "mia", one_time, one_time).output
        self.assertIn("Error: The new password is the current one", same)
        changed = run(self.path, "Log in", "mia", one_time, NEW_PASSWORD).output
        self.assertRegex(changed, r"Password changed\.\n\nMain menu: mia \(manager\)\n")
        self.assertIn("Error: ", run(self.path, "Log in", "mia", one_time, "Exit").output)

    def test_the_password_is_changed_only_with_the_current_one(self) -> None:
        wrong = self.run_as("uma", "My account", "Change password", "not it", NEW_PASSWORD)
        self.assertIn("Error: The current password is wrong.", wrong)
        changed = ("My account", "Change password", PASSWORD, NEW_PASSWORD)
        right = self.run_as("uma", *changed, "Back", "Create work order", "t", "", "")
        self.assertIn("Password changed.", right)
        self.assertIn("Work order #1 created.", right)

    def test_the_wish_for_mail_about_new_work_orders_is_a_managers(self) -> None:
        wish = ("My account", "Change mail about new work orders", "un")
        output = self.run_as("max", *wish)
        self.assertIn("Mail about new work orders [none]: \nMail about new work orders is now: unassigned.\n", output)
        self.assertIn("Error: Choose one of the numbers 1, 2, 0", self.run_as("uma", *wish))


class CreateTest(FormTestCase):
    def test_every_prompt_refuses_wrong_answers_and_asks_again(self) -> None:
        answers = ("x" * 121, "Title", "d" * 10_001, "none", "blue", 5, "")
        output = self.run_as("uma", "Create work order", *answers)
        self.assertIn("Error: A title has 1 to 120 characters; this one has 121.\nTitle: ", output)
        self.assertIn("Error: A text has at most 10,000 characters; this one has 10,001.\n", output)
        self.assertEqual(
            output.count("Error: Answer with a number from 1 to 4 or one of: Low, Medium, High, Critical."), 2
        )
        self.assertEqual(self.rows("SELECT title, description, priority FROM work_orders"), [("Title", "", 2)])

    def test_a_choice_is_a_number_a_name_a_beginning_of_one_or_a_usual_word(self) -> None:
        for answer, priority in (("1", 1), ("LOW", 1), ("c", 4), ("hi", 3), ("", 2), ("urgent", 4), ("P3", 2)):
            with self.subTest(answer=answer):
                self.run_as("uma", "Create work order", "t", "", answer)
                self.assertEqual(self.rows("SELECT priority FROM work_orders ORDER BY id DESC LIMIT 1"), [(priority,)])

    def test_the_new_work_order_is_opened(self) -> None:
        output = self.run_as("uma", "Create work order", "Printer jams", "", "", "Add comment", "at once")
        self.assertIn("Work order #1 created.\n\nWork order #1: Printer jams\n", output)
        self.assertIn("Comment on work order #1 added.\n", output)

    def test_a_user_is_asked_for_nobody_and_a_category_only_where_there_is_one(self) -> None:
        self.assertIn("[Medium]: \nWork order #1 created.\n", self.run_as("uma", "Create work order", "t", "", ""))
        self.create(self.max, category="Hard  disks")
        output = self.run_as("uma", "Create work order", "t", "", "", "Network", "HARD")
        self.assertIn("\n  1. Hard  disks\n  2. none\nCategory [none]: \n", output)
        self.assertIn("Error: Answer with a number from 1 to 2 or one of: Hard  disks, none.", output)
        self.assertEqual(self.get(self.uma, 3).category, "Hard  disks")

    def test_a_manager_names_a_new_category_and_the_prompt_says_so(self) -> None:
        output = self.run_as("max", "Create work order", "t", "", "", " Network ", "", "")
        self.assertIn("\n  1. none\nChoose one, or type a new name.\nCategory [none]: \n", output)
        self.assertEqual(self.get(self.max, 1).category, "Network")

    def test_a_manager_is_asked_for_requester_and_assignee_once_there_is_another_account(self) -> None:
        new = self.folder / "new.db"
        alone = run(
            new, "Register", "ada", PASSWORD, "", "Log in", "ada", PASSWORD, "Create work order", "t", "", "", ""
        )
        self.assertNotIn("Requester [", alone.output)
        output = self.run_as("max", "Create work order", "t", "", "", "", "um", "ann")
        self.assertIn("Requester [me]: \n  1. anna (0 unfinished)\n  2. max (0 unfinished)\n  3. nobody\n", output)
        self.assertIn("Assignee [nobody]: \nWork order #1 created.\n", output)
        created = self.get(self.max, 1)
        self.assertEqual((created.requester, created.assignee), ("uma", "anna"))
        self.run_as("max", "Create work order", "t", "", "", "", "", "")
        created = self.get(self.max, 2)
        self.assertEqual((created.requester, created.assignee), ("max", None))


class EditTest(FormTestCase):
    def test_edits_offer_todays_value_and_an_empty_answer_keeps_it(self) -> None:
        self.create(self.uma, "Old title", "Old text", Priority.HIGH)
        edits = ("Edit title", "", "Edit description", "", "Change priority", "", "Change category", "")
        output = self.run_as("max", "Update work order", 1, *edits, "Change requester", "", "")
        for prompt in ("Title [Old title]: ", "Description [Old text]: ", "Priority [High]: ", "Category [none]: "):
            self.assertIn(f"{prompt}\nNothing changed.\n", output)
        self.assertIn("Requester [uma]: \n", output)
        self.assertEqual(self.history(), [("created", "", "", "")])

    def test_done_is_said_in_a_line_that_names_the_thing(self) -> None:
        self.create(self.uma)
        edits = ("Edit title", "t", "Edit description", "d", "Change priority", "high", "Change category", "Net")
        output = self.run_as("max", "#1", *edits, "Change status", "prog", "", "Assign", "me", "")
        for done in (
            "Title of work order #1 saved.",
            "Description of work order #1 saved.",
            "Priority of work order #1 is now High.",
            "Category of work order #1 is now Net.",
            "Work order #1 is now In Progress.",
            "Work order #1 is now assigned to max.",
        ):
            self.assertIn(f"{done}\n\nWork order #1: ", output)

    def test_none_empties_a_description_and_a_backslash_goes_on(self) -> None:
        self.create(self.uma, description="Old text")
        self.run_as("uma", "#1", "Edit description", "none")
        self.assertEqual(self.rows("SELECT description FROM work_orders"), [("",)])
        output = self.run_as("uma", "#1", "Edit description", "one\\", "two\\", "")
        self.assertIn("End a line with \\ for more.\nDescription [none]: \n> \n> \n", output)
        self.assertEqual(self.rows("SELECT description FROM work_orders"), [("one\ntwo",)])

    def test_wrong_answers_are_asked_for_again(self) -> None:
        self.create(self.uma)
        answers = ("Change status", 6, "blue", "o", "prog", "n" * 10_001, "", "Edit title", "x" * 121, "")
        status = self.run_as("uma", "#1", *answers)
        self.assertEqual(status.count("Error: Answer with a number from 1 to 5"), 3)
        self.assertIn("one of: Open, On Hold.", status)
        self.assertIn("this one has 10,001.\nNote (optional): ", status)
        self.assertIn("this one has 121.\nTitle [Printer jams]: ", status)

    def test_a_status_that_stands_is_refused(self) -> None:
        self.create(self.uma)
        output = self.run_as("uma", "#1", "Change status", "open", "")
        self.assertIn("Error: The status of work order #1 is already Open.\n", output)

    def test_delete_says_who_can_restore_it_and_needs_a_yes(self) -> None:
        self.create(self.uma)
        output = self.run_as("anna", "#1", "Delete", "", "Delete", "maybe", "no", "Delete", "y")
        self.assertRegex(output, r"\nWork order #1 will be deleted; .*admin.* restore it\.\nAre you sure\? \[no\]: \n")
        self.assertEqual(output.count("Cancelled. Nothing was saved."), 2)
        self.assertIn("Error: Answer yes or no.", output)
        self.assertIn("Work order #1 deleted.\n\nMain menu", output)

    def test_one_that_was_never_given_and_somebody_elses_get_the_same_words(self) -> None:
        self.create(self.ugo)
        tried = [answer for number in (1, 2, 999999999999999999) for answer in ("Update work order", number)]
        output = self.run_as("uma", *tried)
        self.assertEqual(output.count("Error: There is no work order #"), 3)
        self.assertNotIn("Printer", output)
        refused = self.rows("SELECT user_id, subject FROM audit_log WHERE event = 'refused'")
        self.assertEqual(refused[0], (self.uma.user_id, "There is no work order #1."))

    def test_only_digits_with_or_without_a_sign_are_an_id(self) -> None:
        for answer in ("1", "#1", "# 1"):
            self.assertIn("Error: There is no work order #1.", self.run_as("uma", "Update work order", answer))
        output = self.run_as("uma", "Update work order", "x", "-1", "1.5", "²", "9" * 19, "1e3", "")
        self.assertEqual(output.count("Error: A work order ID is a number such as 12.\nWork order ID: "), 6)


class NoteTest(FormTestCase):
    """A status, an assignee and a requester take a note, on the same line or on the next."""

    def test_each_is_asked_for_a_note_which_may_be_empty(self) -> None:
        self.create(self.uma)
        assign, requester = ("Assign", "anna", "please look first"), ("Change requester", "ugo", "he called")
        output = self.run_as("max", "#1", *assign, *requester, "Change status", "prog", "", "Take", "yes", "mine now")
        self.assertEqual(output.count("End a line with \\ for more.\nNote (optional): "), 4)
        self.assertEqual(
            self.history()[1:],
            [
                ("assignee", "nobody", "anna", "please look first"),
                ("requester", "uma", "ugo", "he called"),
                ("status", "Open", "In Progress", ""),
                ("assignee", "anna", "max", "mine now"),
            ],
        )

    def test_one_line_does_both(self) -> None:
        self.create(self.uma)
        answers = ("Assign", "2: please look first", "Change status", "done: plugged it in", "Assign", "anna: or you")
        output = self.run_as("max", "#1", *answers)
        self.assertNotIn("Note", output)
        changes = [("assignee", "nobody", "max", "please look first"), ("status", "Open", "Resolved", "plugged it in")]
        self.assertEqual(self.history()[1:], [*changes, ("assignee", "max", "anna", "or you")])

    def test_what_takes_no_note_takes_none_behind_a_colon_either(self) -> None:
        self.create(self.uma)
        self.assertIn("Error: ", self.run_as("max", "#1", "Change priority", "high: because", ""))
        self.assertEqual(len(self.history()), 1)


class TakeTest(FormTestCase):
    def test_it_makes_it_mine_and_in_progress(self) -> None:
        self.create(self.uma)
        output = self.run_as("max", "#1", "Take", "", "Take")
        self.assertIn("Work order #1 is now yours.\n\nWork order #1: Printer jams\n  Status:     In Progress", output)
        self.assertIn("Error: Choose one of the numbers 1, 2, 4, ", output)
        changes = [("assignee", "nobody", "max", ""), ("status", "Open", "In Progress", "")]
        self.assertEqual(self.history()[1:], changes)

    def test_what_somebody_else_has_is_taken_only_after_a_yes(self) -> None:
        self.create(self.max, requester="uma", assignee="max")
        question = "\nWork order #1 is assigned to max; you would take it from them.\nAre you sure? [no]: \nCancelled."
        output = self.run_as("anna", "#1", "Take", "", "Take", "no")
        self.assertEqual(output.count(question), 2)
        self.assertEqual(self.get(self.anna, 1).assignee, "max")
        self.assertIn("is now yours", self.run_as("anna", "#1", "Take", "yes", ""))


class PersonTest(FormTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.session("mara", Role.MANAGER, ("anna", PASSWORD))

    def test_assign_shows_who_there_is_numbered_with_what_each_has(self) -> None:
        for _ in range(2):
            self.create(self.anna, assignee="max")
        self.change_status(self.anna, 1, Status.RESOLVED)
        output = self.run_as("anna", "#2", "Assign", "2", "")
        people = "  1. anna (0 unfinished)\n  2. mara (0 unfinished)\n  3. max (1 unfinished)\n  4. nobody\nAssignee: "
        self.assertIn(people, output)
        self.assertIn("Work order #2 is now assigned to mara.", output)

    def test_a_number_a_beginning_me_and_nobody_will_do_and_no_ambiguous_beginning(self) -> None:
        self.create(self.uma)
        answers = [answer for who in ("an", "4", "MAX", "me", "nobody") for answer in ("Assign", who, "")]
        output = self.run_as("mara", "#1", *answers, "Assign", "ma", "u", 9, "")
        named = re.findall("is now assigned to ([a-z]+)", output)
        self.assertEqual(named, ["anna", "nobody", "max", "mara", "nobody"])
        self.assertIn("Error: ma can be any of mara, max.", output)
        self.assertEqual(output.count("\nError: "), 3)

    def test_a_beginning_will_do_wherever_a_person_is_asked_for(self) -> None:
        self.create(self.uma)
        output = self.run_as(
            *("anna", "#1", "Change requester", "ug", "", "Back"),
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


class CallerTest(FormTestCase):
    """A requester who has no account yet."""

    QUESTION = "Tom O'Brien has no account. Add him as tom.o.brien, without a password? [no]: "

    def test_whoever_is_unknown_is_added_after_a_question_with_an_email(self) -> None:
        call = ("Create work order", "Phone dead", "", "", "", "Tom O'Brien", "yes", "tom@example.org", "me")
        output = self.run_as("max", *call)
        self.assertIn(f"Requester [me]: \n{self.QUESTION}\nEmail [none]: \n", output)
        account = self.rows("SELECT name, email, password_hash, role FROM users WHERE username = 'tom.o.brien'")
        self.assertEqual(account, [("Tom O'Brien", "tom@example.org", None, "user")])
        self.assertIn("  Requester:  tom.o.brien (Tom O'Brien)", output)
        self.assertEqual(self.get(self.max, 1).requester, "tom.o.brien")

    def test_no_asks_for_another_requester_and_adds_nobody(self) -> None:
        self.create(self.max)
        output = self.run_as("max", "#1", "Change requester", "Tom O'Brien", "", "uma", "")
        self.assertIn(f"{self.QUESTION}\nError: There is no user Tom O'Brien.\nRequester [max]: ", output)
        self.assertIn("Requester of work order #1 is now uma.", output)
        self.assertEqual(self.rows("SELECT count(*) FROM users"), [(4,)])

    def test_the_name_is_understood_from_then_on(self) -> None:
        users.add_caller(self.max, "Tom O'Brien", None)
        self.create(self.max, requester="tom.o.brien")
        output = self.run_as("max", "View work orders", "Filter", "requester", "tom o", "Search work orders")
        self.assertIn("1 work order: requester tom.o.brien,", output)

    def test_nobody_is_added_as_an_assignee_or_for_a_word_that_means_something_else(self) -> None:
        self.create(self.uma)
        output = self.run_as("max", "#1", "Assign", "Tom O'Brien", "", "Change requester", "nobody", "any", "")
        self.assertNotIn("has no account", output)
        self.assertEqual(output.count("Error: "), 3)


class DueDateTest(FormTestCase):
    def test_due_tomorrow_takes_two_answers_on_the_open_work_order(self) -> None:
        self.create(self.uma)
        output = self.run_as("max", "#1", "Set due date", "tomorrow")
        tomorrow = datetime.now(timezone.utc).date() + timedelta(days=1)  # the program runs in UTC
        self.assertIn(f"Due date of work order #1 is now {tomorrow}.\n", output)

    def test_one_in_the_past_is_taken_and_said_to_be(self) -> None:
        self.create(self.uma)
        output = self.run_as("max", "#1", "Set due date", "2020-01-01")
        self.assertIn("Due date of work order #1 is now 2020-01-01, which is in the past.\n", output)
        self.assertRegex(output, r"Due:        2020-01-01, overdue \d+d \(by hand\)\n")

    def test_what_set_it_is_said_before_it_is_asked_for(self) -> None:
        self.create(self.uma)
        output = self.run_as("max", "#1", "Set due date", "2099-01-01", "Set due date", "")
        self.assertIn(
            "\nThe due date, 2099-01-01, was set by hand; only setting it again changes it.\nDue date ", output
        )

    def test_what_is_no_date_is_asked_for_again(self) -> None:
        self.create(self.uma)
        output = self.run_as("max", "#1", "Set due date", "soon", "2026-02-30", "none", "Set due date", "")
        self.assertEqual(output.count("\nError: A due date is a day such as "), 2)
        self.assertIn("none ...): \nCancelled. Nothing was saved.\n", output)

    def test_a_time_that_the_clocks_leave_out_is_refused(self) -> None:
        self.create(self.uma)
        times = ("2027-03-28 02:30", "2027-03-28 03:30")
        output = self.run_as("max", "#1", "Set due date", *times, TZ=POSIX_BERLIN)
        self.assertIn("Error: There is no 2027-03-28 02:30 here: the clocks are set forward over it.\n", output)
        self.assertIn("is now 2027-03-28 03:30.", output)


class CollisionTest(FormTestCase):
    def opened_by(self, username: str) -> Conversation:
        talk = self.talk()
        talk.log_in(username)
        talk.choose("#1")
        return talk

    def test_what_was_typed_is_offered_again_for_each_field(self) -> None:
        self.create(self.uma, "First", "First text")
        fields: Sequence[Tuple[str, str, str, str, Field[Any], object]] = (
            ("Edit title", "Title [First]: ", "Third", "Title [Third]: ", work_order.TITLE, "Second"),
            ("Edit description", "[First text]: ", "none", "Description [none]: ", work_order.DESCRIPTION, "Second"),
            ("Change priority", "[Medium]: ", "low", "Priority [Low]: ", work_order.PRIORITY, Priority.HIGH),
            ("Change category", "[none]: ", "Net", "Category [Net]: ", work_order.CATEGORY, "Disks"),
            ("Set due date", "none ...): ", "2099-01-01", "[2099-01-01]: ", DUE_DATE, datetime.now(timezone.utc)),
        )
        for option, prompt, typed, again, field, value in fields:
            with self.subTest(option=option):
                talk = self.opened_by("max")
                talk.choose(option)
                talk.expect(prompt)
                self.change(self.anna, 1, field, value)
                talk.send(f"{typed}\n")
                talk.expect("anna changed it in the meantime. Nothing was saved. ")
                talk.expect("What you typed is offered when you choose the same option again.\n")
                talk.choose(option)
                talk.answer(again, "")
                talk.expect("0. Back")
                self.assertEqual(
                    field.show(field.read(self.get(self.max, 1))) or "none",
                    field.show(field.parse(self.max, typed)) or "none",
                )

    def test_a_note_is_offered_too(self) -> None:
        self.create(self.uma)
        fields: Sequence[Tuple[str, str, str, Field[Any], object]] = (
            ("Change status", "Status", "In Progress", STATUS, Status.RESOLVED),
            ("Assign", "Assignee", "max", ASSIGNEE, "anna"),
            ("Change requester", "Requester", "ugo", REQUESTER, "anna"),
        )
        for option, prompt, typed, field, value in fields:
            with self.subTest(option=option):
                talk = self.opened_by("max")
                talk.choose(option)
                talk.answer(": ", typed)
                talk.expect("Note (optional): ")
                self.change(self.anna, 1, field, value)
                talk.send("waiting\n")
                talk.expect("Error: ")
                talk.choose(option)
                talk.answer(f"{prompt} [{typed}]: ", "", "Note [waiting]: ", "")
                talk.expect("0. Back")
                self.assertEqual(self.history()[-1][0::3], (field.name, "waiting"))

    def test_a_change_of_another_field_does_not_get_in_the_way(self) -> None:
        self.create(self.uma, "First")
        talk = self.opened_by("uma")
        talk.choose("Edit title")
        talk.expect("Title [First]: ")
        self.change(self.anna, 1, work_order.PRIORITY, Priority.HIGH)
        talk.send("Third\n")
        talk.expect("saved.")
        self.assertEqual(self.rows("SELECT title, priority FROM work_orders"), [("Third", 3)])


class ManageUsersTest(FormTestCase):
    def test_whom_it_changed_is_named_and_wrong_answers_are_asked_for_again(self) -> None:
        forms = (
            *("Add user", "uma", "x", "new", "root", ""),
            *("Change role", "ghost", "ugo", 9, "manager", "Change role", "max", "user", "maybe", ""),
            *("Reset password", "ghost", "ugo", "maybe", ""),
            *("Deactivate", "ugo", "yes", "Reactivate", "ugo", "Reactivate", "ugo"),
            *("Deactivate", "anna", "yes", "Unlock (clear failed logins)", "uma"),
        )
        output = self.run_as("anna", "Manage users", *forms)
        self.assertEqual(output.count("Error: There is no user ghost"), 2)
        self.assertEqual(output.count("Error: Answer with a number from 1 to 3"), 2)
        self.assertEqual(output.count("Error: Answer yes or no."), 2)
        for words in (
            "Error: The username uma is taken",
            "ugo is now a manager.",
            "User ugo deactivated.",
            "User ugo reactivated.",
            "Error: User ugo is already active.",
            "Error: anna is the last active admin",
            "User uma unlocked: 0 failed logins cleared.",
        ):
            self.assertIn(words, output)

    def test_an_empty_answer_keeps_the_role_and_a_promotion_does_not_ask(self) -> None:
        output = self.run_as("anna", "Manage users", "Change role", "max", "", "Change role", "uma", "admin")
        self.assertIn("Role [manager]: \nNothing changed.\n", output)
        self.assertIn("\numa is now an admin.\n", output)
        self.assertNotIn("Are you sure?", output)

    def test_who_takes_over_is_asked_when_somebody_leaves_or_becomes_a_user(self) -> None:
        question = "Who takes over their 2 unfinished work orders? [nobody]: \n"
        for option, answers, consequence, done in (
            ("Deactivate", (), "User max will be logged out and can no longer log in.", "User max deactivated."),
            ("Change role", ("user",), "User max will be a user and no longer a manager.", "max is now a user."),
        ):
            with self.subTest(option=option):
                self.setUp()
                for _ in range(2):
                    self.create(self.anna, requester="uma", assignee="max")
                output = self.run_as("anna", "Manage users", option, "max", *answers, "", "")
                lost = (
                    f"{question}{consequence} 2 work orders will lose their assignee.\nAre you sure? [no]: \nCancelled"
                )
                self.assertIn(lost, output)
                self.assertEqual(self.get(self.anna, 1).assignee, "max")
                output = self.run_as("anna", "Manage users", option, "max", *answers, "me", "yes")
                self.assertIn(f"{consequence} anna takes over 2 work orders.\nAre you sure? [no]: \n{done}", output)
                self.assertIn("2 work orders that were assigned to max were handed over to anna.\n", output)
                self.assertEqual(self.get(self.anna, 1).assignee, "anna")

    def test_without_unfinished_work_orders_nobody_is_asked_who_takes_over(self) -> None:
        output = self.run_as("anna", "Manage users", "Deactivate", "max", "yes")
        self.assertNotIn("takes over", output)
        self.assertIn("User max deactivated.\n", output)

    def test_a_name_and_an_email_are_changed_and_emptied(self) -> None:
        change = ("Manage users", "Change name or email", "uma")
        output = self.run_as("anna", *change, "Uma Uno", "uma@example.org", "Change name or email", "Uma U", "none", "")
        self.assertIn(
            "Name [none]: \nEmail [none]: \nUser uma has the name Uma Uno and the email uma@example.org.", output
        )
        self.assertIn("Name [Uma Uno]: \nEmail [uma@example.org]: \nUser uma has the name none", output)
        self.assertEqual(users.find(self.connection, "uma")[2:5:2], (None, "uma@example.org"))


class HelpTest(FormTestCase):
    """A question mark says what can be answered, and 0 leaves."""

    def test_at_each_prompt_but_texts_it_says_what_can_be_answered_and_asks_again(self) -> None:
        self.create(self.uma)
        for answers, words in (
            (("#1", "Change status", "?"), "  5. Cancelled\nAnswer with a number, or a name or its beginning.\n"),
            (("#1", "Change priority", "?"), "An empty answer takes Medium; 0 leaves the form.\nPriority [Medium]: "),
            (("#1", "Set due date", "?"), "A due date is a day such as 2026-12-31, tomorrow, fri or +3d"),
            (
                ("#1", "Change requester", "?"),
                "or me:\n  anna\n  max\n  ugo\n  uma\nAn empty answer takes uma; 0 leaves",
            ),
            (("#1", "Delete", "?"), "Answer yes or no.\nAn empty answer takes no; 0 leaves the form.\nAre you sure?"),
            (
                ("Update work order", "?"),
                "A work order ID is a number such as 12.\nAn empty answer or 0 leaves the form.\n",
            ),
            (("View work orders", "Filter", "?"), "Answer with a number, or a name or its beginning.\n"),
            (("View work orders", "Filter", "assignee", "?"), "  uma\nAn empty answer takes any; 0 leaves the form.\n"),
            (("View work orders", "Change all", "?"), "Type IDs and ranges such as 3 5 9-12"),
            (("Manage users", "Add user", "?"), "A username has 2 to 32 characters"),
            (("My account", "Change email", "?"), "An email is one plain address"),
        ):
            with self.subTest(answers=answers):
                output = self.run_as("anna", *answers)
                self.assertIn(words, output)
                self.assertNotIn("Error", output)

    def test_at_a_prompt_for_a_person_at_most_20_people_are_listed(self) -> None:
        self.create(self.uma)
        for number in range(20):
            users.add_caller(self.max, f"Caller {number:02}", None)
        output = self.run_as("max", "#1", "Change requester", "?")
        self.assertEqual(output.count("\n  caller."), 16)
        self.assertIn("  caller.00 (Caller 00)\n", output)
        self.assertIn("\n  and more\n", output)

    def test_to_a_user_it_names_nobody_else(self) -> None:
        output = self.run_as("uma", "View work orders", "Filter", "assignee", "?")
        self.assertIn(":\n  uma\nAn empty answer", output)
        self.assertNotIn("max", output)

    def test_at_a_text_it_is_that_text(self) -> None:
        self.run_as("uma", "Create work order", "?", "0", "")
        self.assertEqual(self.rows("SELECT title, description FROM work_orders"), [("?", "0")])

    def test_0_leaves_a_form_at_choices_ids_people_and_dates(self) -> None:
        self.create(self.uma)
        for answers in (
            *(("#1", option) for option in ("Change status", "Assign", "Set due date", "Change requester")),
            *(("Update work order",), ("Create work order", "t", ""), ("View work orders", "Change all")),
            *(
                ("View work orders", "Filter"),
                ("View work orders", "Filter", "assignee"),
                ("Manage users", "Deactivate"),
            ),
        ):
            with self.subTest(answers=answers):
                output = self.run_as("anna", *answers, "0")
                self.assertRegex(output, r": \nCancelled\.( Nothing was saved\.)?\n")
        self.assertEqual(len(self.history()), 1)


class HostileTextTest(FormTestCase):
    """Strings of the kinds that are known to break programs, typed at every prompt."""

    STRINGS = (
        *(
            "NULL",
            "-1",
            "1/0",
            "NaN",
            "1e309",
            "٣٤",
            "１２",
            "½",
            "2147483648",
            "' OR 1=1 --",
            '"',
            "\\",
            "%s%n",
            "{0}",
        ),
        *("$(ls)", "../../etc", "\x1b]0;title\x07", "\x9b31m", "\u202ecilbup", "\ufeff", "\u2028", "田中さん", "👾🙇"),
        *(
            "👨\u200d👩",
            "z\u0351\u032b",
            "\u3000",
            "\u200b",
            "ﷺ",
            "\x00",
            "none",
            "me",
            "any",
            "nobody",
            "#1",
            "#",
            " ",
        ),
        *("a" * 5000, "[1]", "AND", "NEAR(", "yes", ":", "a: b", "1-", "9-1", "+", ",", "?", "00", "high+, high"),
    )
    FORMS = (
        *(("Create work order",), ("Update work order",), ("Search work orders",), ("My account", "Change email")),
        *(("View work orders", "Filter", by) for by in ("", *work_order.FILTER_NAMES)),
        *(("View work orders", "Sort"), ("View work orders", "Change all"), ("#1", "Take"), ("#1", "Change category")),
        *(("#1", option) for option in ("Change status", "Add comment", "Edit title", "Edit description", "Assign")),
        *(("#1", "Set due date"), ("#1", "Change requester"), ("Reports", "Resolution times")),
        *(("Manage users", option) for option in ("Add user", "Change role", "Change name or email")),
        *(("Data and audit", "Deleted work orders", "Restore work order"), ("Data and audit", "Audit log", "Filter")),
        ("Data and audit", "Audit log", "Show entry"),
    )

    def test_no_prompt_breaks_on_any_of_them(self) -> None:
        self.create(self.uma)
        for form in self.FORMS:
            with self.subTest(form=form):
                answers = [
                    answer
                    for text in self.STRINGS
                    for answer in ("Log in", "anna", PASSWORD, *form, text, text, text, "", "", "00", "0", "0")
                ]
                output = run(self.path, *answers).output
                self.assertNotIn("Traceback", output)
                self.assertNotIn("unexpected", output)
                joiners = "\n\u200c\u200d"
                self.assertEqual([each for each in {*output} - {*joiners} if not each.isprintable()], [])
        self.assertFalse((self.folder / "work_order.log").exists())


class AnswerCountTest(FormTestCase):
    """How many answers, from the main menu, the errands of a day take."""

    def test_the_errands_of_a_day_take_few_answers(self) -> None:
        for _ in range(14):
            self.create(self.uma)
        call = ("Create work order", "Phone dead", "", "", "", "Tom O'Brien", "y", "", "me")
        errands: Sequence[Tuple[int, Sequence[object], str]] = (
            (2, ("My work", "Assigned to me"), "unfinished, assignee max, most urgent first"),
            (2, ("My work", "Overdue"), "overdue, earliest due first"),
            (3, ("#14", "Take", ""), "Work order #14 is now yours."),
            (3, ("#14", "Change status", "res: Plugged it in"), "Work order #14 is now Resolved."),
            (10, call, "Work order #15 created."),
            (3, ("View work orders", "Filter", "open, medium"), "14 work orders: Open, priority Medium, "),
            (8, ("View work orders", "Change all", "", "assignee", "anna", "y"), "15 changed."),
            (9, ("Search work orders", "printer", "Change all", "", "status", "canc: double", "y"), "14 changed."),
        )
        for number, answers, done in errands:
            with self.subTest(answers=answers):
                self.assertLessEqual(len(answers), number)
                self.assertIn(done, self.run_as("max", *answers))

    @needs_terminal
    def test_the_first_work_order_of_somebody_new_takes_thirteen(self) -> None:
        talk = self.talk((80, 24))
        talk.answer(
            *("option: ", "1", "Username: ", "ada", "Password: ", PASSWORD, "Confirm password: ", PASSWORD),
            *("Role [user]: ", "", "option: ", "2", "Username: ", "ada", "Password: ", PASSWORD),
            *("#ID: ", "1", "Title: ", "Printer", "(optional): ", "", "[Medium]: ", ""),
        )
        talk.expect("Work order #1 created.")


if __name__ == "__main__":
    unittest.main()
