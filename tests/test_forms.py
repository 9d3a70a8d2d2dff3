"""What a person is asked, one answer after the other: accounts, creating, editing, people, dates, and ways out."""

import re
from datetime import datetime, timezone
from typing import List

from support import PASSWORD, DatabaseTestCase, command, environment, lines, run, run_command

import users
import work_order
from users import Role
from work_order import Priority, Status

SURE = "Are you sure? [no]: \n"


class FormTestCase(DatabaseTestCase):
    def dialogue(self, username: str, answers: str, **changes: str) -> str:
        """Return what is printed when somebody who logs in gives these answers, which stand between bars."""
        return self.run_as(username, *map(str.strip, answers.split("|")), **changes)

    def assert_said(self, output: str, *words: str) -> None:
        for each in words:
            self.assertIn(each, output)


class AccountTest(FormTestCase):
    def test_at_registering_wrong_answers_are_asked_for_again_and_an_empty_one_leaves(self) -> None:
        wrong = ("a", "me", "uma", "Ada Lovelace", "ada", "short", "123456789012", "aaaaaaaaaaaa", PASSWORD, "boss", 4)
        output = run(self.path, "Register", *wrong, "", "Register", "", "Register", "bob", "").output
        self.assertEqual((output.count("Error: "), output.count("Cancelled. Nothing was saved.")), (9, 2))
        self.assert_said(output, f"\n{users.PASSWORD_RULE}\nPassword: ", "User ada registered as user.")
        self.assertEqual(self.rows("SELECT username FROM users WHERE id > 4"), [("ada",)])

    def test_the_first_accounts_default_is_admin_and_with_an_admin_user(self) -> None:
        ada, bob, eve = (("Register", name, PASSWORD) for name in ("ada", "bob", "eve"))
        output = run(self.folder / "new.db", *ada, "user", *bob, "", *eve, "").output
        self.assertIn("Role [admin]: \nUser ada registered as user.\n", output)
        self.assertIn("Role [admin]: \nUser bob registered as admin.\n", output)
        self.assertIn("Role [user]: \nUser eve registered as user.\n", output)

    def test_an_admin_or_manager_needs_an_admin_who_is_asked_for_at_most_three_times(self) -> None:
        wrong = ("anna", "wrong", "max", PASSWORD, "nobody", PASSWORD)
        eve, mia = ("Register", "eve", PASSWORD, "admin"), ("Register", "mia", PASSWORD, "manager")
        output = run(self.path, *eve, *wrong, *eve, "", *mia, "anna", "wrong", "Anna", PASSWORD).output
        self.assertEqual(output.count("Error: The admin's username or password is wrong. Nothing was created."), 4)
        self.assertEqual(output.count("\nAdmin username: \nAdmin password: \n"), 5)
        self.assert_said(output, "Cancelled. Nothing was saved.", "User mia registered as manager.")
        self.assertEqual(self.rows("SELECT username FROM users WHERE id > 4"), [("mia",)])

    def test_whatever_is_wrong_at_a_login_the_words_are_the_same(self) -> None:
        work_order.deactivate(self.anna, "ugo")
        ghost, uma, ugo, beginning = (("Log in", name) for name in ("ghost", "uma", "ugo", "um"))
        output = run(self.path, *ghost, PASSWORD, *uma, "wrong", *ugo, PASSWORD, *beginning, PASSWORD).output
        errors = re.findall("Error: .*", output)
        self.assertIn("Error: The username or the password is wrong.", errors[0])
        self.assertEqual(errors, errors[:1] * 4)

    def test_ones_own_password_is_changed_with_the_current_one_and_a_wish_for_mail_is_heard(self) -> None:
        change, new = "Change password", "a new horse 7"
        answers = (change, "not it", new, change, PASSWORD, PASSWORD, new, "Change mail about new work orders", "un")
        output = self.run_as("max", "My account", *answers)
        self.assert_said(output, "Error: The current password is wrong.", "Error: The new password is the current one")
        self.assertIn("new work orders [none]: \nMail about new work orders is now: unassigned.\n", output)
        self.assertEqual(output.count("Password changed."), 1)


class ManageUsersTest(FormTestCase):
    def test_whom_it_changed_is_named_and_wrong_answers_are_asked_for_again(self) -> None:
        output = self.dialogue(
            "anna",
            "Manage users | Add user | uma | x | new | root | | Reset password | ghost | ug | no"
            "| Change role | ghost | ug | 9 | man | Change role | ma | user | maybe | | Change role | ma |"
            "| Deactivate | ug | yes | Reactivate | ug | Deactivate | anna | yes"
            "| Unlock (clear failed logins) | um | Change name or email | uma | Uma Uno | u@example.org"
            "| Change name or email | uma | none |",
        )
        self.assert_said(
            output,
            "Error: The username uma is taken",
            "User new added as user.\nOne-time password: ",
            f"User ugo will be logged out and get a one-time password.\n{SURE}Cancelled",
            "ugo is now a manager.",
            "Role [manager]: \nNothing changed.\n",
            "User ugo deactivated.",
            "User ugo reactivated.",
            "Error: anna is the last active admin",
            "User uma unlocked: 0 failed logins cleared.",
            "Name [none]: \nEmail [none]: \nUser uma has the name Uma Uno and the email u@example.org.",
            "Name [Uma Uno]: \nEmail [u@example.org]: \nUser uma has the name none and the email u@example.org.",
        )
        self.assertEqual(output.count("Error: There is no user ghost"), 2)
        self.assertEqual(output.count("Error: Answer with a number from 1 to 3"), 2)
        self.assertEqual(output.count(SURE), 5)  # not for the promotion, but again after "maybe"
        self.assertNotIn("takes over", output)

    def test_who_takes_over_is_asked_when_somebody_leaves_or_becomes_a_user(self) -> None:
        self.session("mara", Role.MANAGER, ("anna", PASSWORD))
        for name in ("max", "mara") * 2:
            self.create(self.anna, requester="uma", assignee=name)
        leave, change = "Deactivate | max", "Change role | mara | user"
        output = self.dialogue("anna", f"Manage users|{leave}|||{change}|||{leave}| me | y |{change}| me | y")
        for name, consequence, done in (
            ("max", "User max will be logged out and can no longer log in.", "User max deactivated."),
            ("mara", "User mara will be a user and no longer a manager.", "mara is now a user."),
        ):
            question = "Who takes over their 2 unfinished work orders? [nobody]: \n"
            self.assertIn(f"{question}{consequence} 2 work orders will lose their assignee.\n{SURE}Cancelled", output)
            self.assertIn(f"{consequence} anna takes over 2 work orders.\n{SURE}{done}", output)
            self.assertIn(f"2 work orders that were assigned to {name} were handed over to anna.\n", output)


class CreateTest(FormTestCase):
    def test_every_prompt_refuses_wrong_answers_and_the_new_work_order_is_opened(self) -> None:
        output = self.dialogue(
            "uma",
            f"Create work order | {'x' * 121} | Title | {'d' * 10_001} | none | blue | 5 | | Add comment | at once"
            f"| Change status | open | | Change status | 6 | blue | o | prog | {'n' * 10_001} |"
            f"| Edit title | {'x' * 121} |",
        )
        self.assert_said(
            output,
            "Error: A title has 1 to 120 characters; this one has 121.\nTitle: \n",
            "Error: A text has at most 10,000 characters; this one has 10,001.\nDescription (optional): ",
            "Priority [Medium]: \nWork order #1 created.\n\nWork order #1: Title\n",
            "Comment on work order #1 added.\n",
            "Error: The status of work order #1 is already Open.\n",
            "Error: Answer with a number from 1 to 5 or one of: Open, On Hold.\n",
            "this one has 10,001.\nNote (optional): ",
            "this one has 121.\nTitle [Title]: ",
        )
        self.assertEqual(output.count("from 1 to 4 or one of: Low, Medium, High, Critical."), 2)
        self.assertEqual(output.count("Error: Answer with a number from 1 to 5"), 3)
        self.assertEqual(self.rows("SELECT title, description, priority FROM work_orders"), [("Title", "", 2)])

    def test_a_choice_is_a_number_a_name_a_beginning_of_one_or_a_usual_word_and_a_text_is_any_text(self) -> None:
        expected = {"1": 1, "LOW": 1, "c": 4, "hi": 3, "": 2, "urgent": 4, "P3": 2}
        self.run_as("uma", *(each for answer in expected for each in ("Create work order", "?", "0", answer, "Back")))
        stored = self.rows("SELECT title, description, priority FROM work_orders ORDER BY id")
        self.assertEqual(stored, [("?", "0", priority) for priority in expected.values()])

    def test_a_manager_names_new_categories_a_requester_and_an_assignee_and_a_user_chooses_a_category(self) -> None:
        create = "Create work order | t | |"
        output = self.dialogue("max", f"{create}| Hard  disks | um | ann | Back | {create}|||")
        self.assertIn("\n  1. none\nChoose one, or type a new name.\nCategory [none]: \nRequester [me]: \n", output)
        self.assertIn("  1. anna (0 unfinished)\n  2. max (0 unfinished)\n  3. nobody\nAssignee [nobody]: \n", output)
        output = self.dialogue("uma", f"{create}| Network | HARD")
        self.assertIn("\n  1. Hard  disks\n  2. none\nCategory [none]: \n", output)
        self.assertIn("Error: Answer with a number from 1 to 2 or one of: Hard  disks, none.", output)
        created = self.rows("SELECT category, requester_id, assignee_id FROM work_orders ORDER BY id")
        self.assertEqual(created, [("Hard  disks", 3, 1), (None, 2, None), ("Hard  disks", 3, None)])


class EditTest(FormTestCase):
    def test_edits_offer_todays_value_and_say_what_was_done_in_a_line_that_names_the_thing(self) -> None:
        self.create(self.uma, "Old title", "Old text", priority=Priority.HIGH)
        output = self.dialogue(
            "max",
            "#1 | Edit title | | Edit description | | Change priority | | Change category | | Change requester | |"
            "| Edit title | t | Edit description | none | Edit description | one\\ | two\\ | | Change priority | low"
            "| Change category | Net | Change status | prog | | Assign | me | | Assign | | Change status |",
        )
        for prompt in ("Title [Old title]: ", "Description [Old text]: ", "Priority [High]: ", "Category [none]: "):
            self.assertIn(f"{prompt}\nNothing changed.\n", output)
        for done in (
            "Title of work order #1 saved.",
            "Description of work order #1 saved.",
            "Priority of work order #1 is now Low.",
            "Category of work order #1 is now Net.",
            "Work order #1 is now In Progress.",
            "Work order #1 is now assigned to max.",
        ):
            self.assertIn(f"{done}\n\nWork order #1: ", output)
        self.assert_said(output, "Requester [uma]: \n", "Assignee: \nCancelled.", "Status: \nCancelled.")
        self.assertIn("End a line with \\ for more.\nDescription [none]: \n> \n> \n", output)
        self.assertEqual(self.get(self.max, 1).description, "one\ntwo")
        self.assertEqual(len(work_order.history(self.max, 1)), 8)

    def test_delete_says_who_can_restore_it_and_needs_a_yes(self) -> None:
        self.create(self.uma)
        output = self.dialogue("anna", "#1 | Delete | | Delete | maybe | no | Delete | y")
        self.assertRegex(output, rf"\nWork order #1 will be deleted; .*admin.* restore it\.\n{re.escape(SURE)}")
        self.assertEqual(output.count("Cancelled. Nothing was saved."), 2)
        self.assert_said(output, "Error: Answer yes or no.", "Work order #1 deleted.\n\nMain menu")

    def test_only_digits_are_an_id_and_one_of_somebody_else_is_as_good_as_none(self) -> None:
        self.create(self.ugo)
        for_ids = "Update work order | 1 | Update work order | #1 | Update work order | # 2 | Update work order"
        output = self.dialogue("uma", f"{for_ids} | 999999999999999999 | Update work order | x | -1 | 1.5 | ² | 1e3 |")
        self.assertEqual(output.count("Error: A work order ID is a number such as 12.\nWork order ID: "), 5)
        self.assertEqual(output.count("Error: There is no work order #"), 4)
        self.assertNotIn("Printer", output)
        refused = self.rows("SELECT user_id, subject FROM audit_log WHERE event = 'refused'")
        self.assertEqual(refused[0], (self.uma.user_id, "There is no work order #1."))

    def test_a_due_date_is_taken_with_what_there_is_to_say_about_it(self) -> None:
        self.create(self.uma)
        answers = "#1 | Set due date | soon | 2026-02-30 | 2027-03-28 02:30 | 2027-03-28 03:30 | Set due date"
        output = self.dialogue("max", f"{answers} | 2020-01-01 | Set due date | none", TZ="CET-1CEST,M3.5.0,M10.5.0/3")
        self.assertEqual(output.count("\nError: A due date is a day such as "), 2)
        self.assert_said(
            output,
            "Error: There is no 2027-03-28 02:30 here: the clocks are set forward over it.\n",
            "Due date of work order #1 is now 2027-03-28 03:30.\n",
            "\nThe due date, 2027-03-28 03:30, was set by hand; only setting it again changes it.\nDue date ",
            "Due date of work order #1 is now 2020-01-01, which is in the past.\n",
        )

    def test_a_note_may_be_empty_or_stand_behind_a_colon(self) -> None:
        self.create(self.uma)
        after = "#1 | Change requester | ug | he called | Change status | prog |"
        behind = "Assign | 2: you | Assign | anna: or you | Change status | done: plugged it in"
        output = self.dialogue("max", f"{after} | {behind} | Change priority | high: because |")
        self.assertEqual(output.count("End a line with \\ for more.\nNote (optional): "), 2)
        self.assertEqual(output.count("Error: "), 1)
        requester, status = ("requester", "ugo", "he called"), ("status", "In Progress", "")
        assigned = [("assignee", "max", "you"), ("assignee", "anna", "or you")]
        written = self.rows("SELECT field, new_value, note FROM work_order_history ORDER BY id")
        self.assertEqual(written[1:], [requester, status, *assigned, ("status", "Resolved", "plugged it in")])

    def test_taking_makes_it_mine_and_in_progress_and_asks_where_somebody_else_has_it(self) -> None:
        self.create(self.uma)
        self.create(self.max, assignee="max")
        output = self.dialogue("anna", "#1 | Take | | Take | #2 | Take | | Take | no | Take | yes | why")
        question = f"\nWork order #2 is assigned to max; you would take it from them.\n{SURE}"
        self.assertEqual(output.count(f"{question}Cancelled."), 2)
        self.assertIn("Work order #1 is now yours.\n\nWork order #1: Printer jams\n  Status:     In Progress", output)
        self.assert_said(output, "Error: Choose one of the numbers 1, 2, 4, ", "Work order #2 is now yours.")
        self.assertEqual({entry.note for entry in work_order.history(self.anna, 2)}, {"", "why"})

    def test_what_could_not_be_saved_is_offered_again_with_its_note(self) -> None:
        self.create(self.uma, "First", "First text")
        talk = self.talk()
        talk.log_in("max")
        talk.choose("#1")
        for name, option, value, typed, note, prompt in (
            ("title", "Edit title", "Second", "Third", "", "Title [Third]: "),
            ("description", "Edit description", "Second", "none", "", "Description [none]: "),
            ("priority", "Change priority", Priority.HIGH, "Low", "", "Priority [Low]: "),
            ("due date", "Set due date", datetime.now(timezone.utc), "2099-01-01", "", "[2099-01-01]: "),
            ("status", "Change status", Status.RESOLVED, "In Progress", "why", "Status [In Progress]: "),
            ("assignee", "Assign", "anna", "max", "why", "Assignee [max]: "),
            ("requester", "Change requester", "anna", "ugo", "why", "Requester [ugo]: "),
        ):
            field = work_order.FIELDS[name]
            talk.choose(option)
            talk.answer(*([": ", typed] if note else []))
            talk.expect(": ")
            self.change(self.anna, 1, field, value)
            talk.send(f"{note or typed}\n")
            talk.expect("anna changed it in the meantime. Nothing was saved. What you typed is offered when")
            talk.choose(option)
            talk.answer(prompt, "", *(["Note [why]: ", ""] if note else []))
            talk.expect("0. Back")
            self.assertEqual(field.show(field.read(self.get(self.max, 1))), typed.replace("none", ""), name)
            self.assertEqual(work_order.history(self.max, 1)[0].note, note)


class PersonTest(FormTestCase):
    def test_an_assignee_is_a_number_a_beginning_me_or_nobody_and_no_ambiguous_beginning(self) -> None:
        self.session("mara", Role.MANAGER, ("anna", PASSWORD))
        for _ in range(3):
            self.create(self.anna, assignee="max")
        self.change_status(self.anna, 1, Status.RESOLVED)
        taken = "Assign | an | | Assign | 4 | | Assign | MAX | | Assign | me | | Assign | nobody |"
        output = self.dialogue("mara", f"#2 | {taken} | Assign | ma | u | 9 | Tom O'Brien |")
        named = re.findall("is now assigned to ([a-z]+)", output)
        self.assertEqual(named, ["anna", "nobody", "max", "mara", "nobody"])
        people = "  1. anna (0 unfinished)\n  2. mara (0 unfinished)\n  3. max (2 unfinished)\n  4. nobody\nAssignee: "
        self.assert_said(output, people, "Error: ma can be any of mara, max.")
        self.assertEqual(output.count("\nError: "), 4)
        self.assertNotIn("has no account", output)

    def test_a_requester_without_an_account_is_added_after_a_question(self) -> None:
        self.create(self.uma)
        refused = "#1 | Change requester | nobody | any | Tom O'Brien | | ugo | | 00"
        call = "Create work order | Phone dead | | | | Tom O'Brien | yes | tom@example.org | me | 00"
        output = self.dialogue("max", f"{refused} | {call} | View work orders | Filter | requester | tom o")
        question = "Tom O'Brien has no account. Add him as tom.o.brien, without a password? [no]: \n"
        self.assertIn(f"{question}Error: There is no user Tom O'Brien.\nRequester [uma]: ", output)
        self.assertIn(f"Requester [me]: \n{question}Email [none]: \n", output)
        self.assert_said(output, "  Requester:  tom.o.brien (Tom O'Brien)", "1 work order: requester tom.o.brien,")
        self.assertEqual(output.count("has no account"), 2)
        account = self.rows("SELECT name, email, password_hash, role FROM users WHERE username = 'tom.o.brien'")
        self.assertEqual(account, [("Tom O'Brien", "tom@example.org", None, "user")])


class HelpTest(FormTestCase):
    def test_a_question_mark_says_what_can_be_answered_and_0_leaves(self) -> None:
        self.create(self.uma)
        prompts = {
            "#1 | Change status": "  5. Cancelled\nAnswer with a number, or a name or its beginning.\n",
            "#1 | Change priority": "An empty answer takes Medium; 0 leaves the form.\nPriority [Medium]: ",
            "#1 | Set due date": "A due date is a day such as 2026-12-31, tomorrow, fri or +3d",
            "#1 | Change requester": "me:\n  anna\n  max\n  ugo\n  uma\nAn empty answer takes uma; 0 leaves",
            "#1 | Delete": "Answer yes or no.\nAn empty answer takes no; 0 leaves the form.\nAre you sure?",
            "Update work order": "A work order ID is a number such as 12.\nAn empty answer or 0 leaves the form.\n",
            "View work orders | Filter | assignee": "  uma\nAn empty answer takes any; 0 leaves the form.\n",
            "View work orders | Change all": "Type IDs and ranges such as 3 5 9-12",
            "Manage users | Add user": "A username has 2 to 32 characters",
            "My account | Change email": "An email is one plain address",
        }
        output = self.dialogue("anna", "".join(f"{labels} | ? | 0 | 00 | " for labels in prompts))
        self.assert_said(output, *prompts.values())
        self.assertEqual(len(re.findall(r": \nCancelled\.( Nothing was saved\.)?\n", output)), len(prompts))
        self.assertNotIn("Error", output)

    def test_at_a_prompt_for_a_person_it_lists_at_most_20_and_to_a_user_nobody_else(self) -> None:
        self.create(self.uma)
        for number in range(20):
            users.add_caller(self.max, f"Caller {number:02}", None)
        output = self.dialogue("max", "#1 | Change requester | ?")
        self.assertEqual(output.count("\n  caller."), 16)
        self.assert_said(output, "  caller.00 (Caller 00)\n", "\n  and more\n")
        output = self.dialogue("uma", "View work orders | Filter | assignee | ?")
        self.assertIn(":\n  uma\nAn empty answer", output)
        self.assertNotIn("max", output)


class TextTest(FormTestCase):
    # Of the kinds that are known to break programs.
    WORDS = """NULL -1 1/0 NaN 1e309 ٣٤ １２ ½ 2147483648 " \\ %s%n {0} $(ls) ../../etc 田中さん 👾🙇 ﷺ none me any
        nobody #1 # [1] AND NEAR( yes : 1- 9-1 + , ? 00"""
    CONTROLS = ("\x00", "\x1b]0;title\x07", "\x9b31m", "\u202ecilbup", "\ufeff", "\u2028", "\u3000", "\u200b")
    JOINED = ("👨\u200d👩", "z\u0351", "' OR 1=1 --", "a: b", "high+, high", " ", "a" * 5000)
    TEXTS = (*WORDS.split(), *CONTROLS, *JOINED)
    FORMS = """Create work order;Update work order;Search work orders;My account|Change email;View work orders|Sort;
        View work orders|Change all;View work orders|Filter|;#1|Take;#1|Change category;#1|Change status;
        #1|Add comment;#1|Edit title;#1|Edit description;#1|Assign;#1|Set due date;#1|Change requester;
        Reports|Resolution times;Manage users|Add user;Manage users|Change role;Manage users|Change name or email;
        Data and audit|Deleted work orders|Restore work order;Data and audit|Audit log|Filter;
        Data and audit|Audit log|Show entry"""

    def test_no_prompt_breaks_on_any_of_them_and_none_drives_the_terminal(self) -> None:
        self.create(self.uma)
        answers: List[str] = []
        filters = [f"View work orders|Filter|{name}" for name in work_order.FILTER_NAMES]
        for form in [*re.split(r";\s*", self.FORMS), *filters]:
            for text in self.TEXTS:
                answers += [*form.split("|"), text, text, text, "", "", "00", "0", "0", "Log in", "anna", PASSWORD]
        output = self.run_as("anna", *answers)
        self.assertEqual(re.findall("Traceback|.*unexpected.*", output), [])
        self.assertEqual([each for each in {*output} - {*"\n\u200c\u200d"} if not each.isprintable()], [])
        self.assertFalse((self.folder / "work_order.log").exists())

    def test_a_text_of_endless_lines_is_refused_as_soon_as_it_is_too_long(self) -> None:
        endless = (f"{'x' * 99}\\\n" * 2_000 + "the end", "\\\n" * 25_000)
        output = self.run_as("uma", "Create work order", "Title", *endless, "short", "")
        self.assertEqual(output.count("Error: A text has at most 10,000 characters; this one has more.\n"), 2)
        self.assertEqual(self.rows("SELECT title, description FROM work_orders"), [("Title", "short")])

    def test_the_end_of_input_leaves_the_program_at_a_menu_with_0_and_inside_a_form_with_1(self) -> None:
        answers = ("Log in", "uma", PASSWORD, "Create work order", "Title", "text\\", "more")
        for length, code in ((0, 0), (2, 1), (3, 0), (5, 1), (6, 1), (7, 1)):
            ended = run(self.path, *answers[:length])
            self.assertEqual(ended.code, code, length)
            self.assertEqual(ended.output.endswith("Cancelled. Nothing was saved.\n"), bool(code))
        self.assertEqual(self.ids(self.anna), [])

    def test_no_prompt_takes_what_is_no_text_or_too_long_and_windows_line_ends_are_line_ends(self) -> None:
        answers = ("Log in", "uma", PASSWORD, "Create work order", "Title", "", "low")
        bad = b"\xff\xfe\na\0b\n\xed\xa0\x80\n" + b"x" * 1_000_000 + b"\n"
        typed = b"".join(bad + lines(answer).replace("\n", "\r\n").encode() for answer in answers)
        output = run_command(command(), typed.rstrip(), environment(self.path)).output  # the last line needs no end
        self.assertEqual(output.count("Error: That is not text"), 3 * len(answers))
        self.assertEqual(output.count("Error: That line is too long"), len(answers))
        self.assertIn("Work order #1 created.", output)

    def test_no_text_can_pass_for_an_entry_of_the_history_and_what_the_encoding_cannot_show_is_replaced(self) -> None:
        self.create(self.uma, "Drücker 印刷")
        work_order.comment(self.uma, 1, "x\n2026-01-01 09:00  anna: forged")
        output = self.dialogue("uma", "#1 | Show history", PYTHONIOENCODING="ascii")
        self.assert_said(output, "Dr?cker ??", "\n      2026-01-01 09:00  anna: forged")
