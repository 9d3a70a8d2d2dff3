"""The README's recipes: their keys, typed as they stand there, do what it says, and in few answers."""

import itertools
import re
import shutil
import sys
import unittest
from typing import List, Tuple

from support import (
    PASSWORD,
    ROOT,
    Conversation,
    DatabaseTestCase,
    command,
    environment,
    needs_terminal,
    run,
    run_command,
)

import work_order
from users import Role
from work_order import Priority, Status

README = (ROOT / "README.md").read_text(encoding="utf-8")


def keys(title: str) -> List[str]:
    """Return the answers of a recipe: the first code spans in a row after its title, in bold type."""
    found = re.search(rf"\*\*{title}\*\*[^`]*((?:`[^`]+`\s+)*`[^`]+`)", README)
    assert found, title
    meanings = {"Enter": "", "password": PASSWORD}
    return [meanings.get(answer, answer) for answer in re.findall("`([^`]+)`", found[1])]


class RecipeTest(DatabaseTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.lena, self.marc = (
            self.session(username, Role.MANAGER, ("anna", PASSWORD)) for username in ("lena", "marc")
        )

    def stored(self, *ids: int) -> List[Tuple[Status, object]]:
        """Return the status and the assignee of these work orders."""
        found = [self.get(self.anna, work_order_id) for work_order_id in ids]
        return [(each.status, each.assignee) for each in found]

    @needs_terminal
    def test_from_nothing_to_the_first_work_order(self) -> None:
        answers = [*keys("Register"), *keys("Log in"), *keys("Create")]
        prompts = (
            *("option: ", "Username: ", "Password: ", "Confirm password: ", "Role [admin]: "),
            *("option: ", "Username: ", "Password: "),
            *("#ID: ", "Title: ", "(optional): ", "[Medium]: ", "Category [none]: "),
        )
        talk = Conversation(command(), environment(self.folder / "new.db"), (80, 24))
        self.addCleanup(talk.close)
        talk.answer(*itertools.chain(*zip(prompts, answers)))
        talk.expect("Work order #1 created.")
        self.assertIn("  12. Delete", talk.expect("#ID: "))  # it is open
        self.assertEqual((len(answers), len(prompts)), (13, 13))

    def test_log_a_call(self) -> None:
        self.create(self.uma)
        self.run_as("lena", *keys("Log a call"))
        call = self.get(self.anna, 2)
        self.assertEqual((call.requester, call.requester_name, call.assignee), ("tom.o.brien", "Tom O'Brien", "lena"))
        self.assertLessEqual(len(keys("Log a call")), 10)

    def test_log_a_call_of_somebody_with_an_account(self) -> None:
        answers = [{"Tom O'Brien": "um"}.get(answer, answer) for answer in keys("Log a call")]
        self.run_as("lena", *answers[:6], *answers[8:])
        self.assertEqual((self.get(self.anna, 1).requester, self.get(self.anna, 1).assignee), ("uma", "lena"))

    def test_take_and_resolve(self) -> None:
        for _ in range(5):
            self.create(self.uma)
        self.run_as("lena", *keys("Take and resolve"))
        self.assertEqual(self.stored(4, 5), [(Status.OPEN, None), (Status.RESOLVED, "lena")])
        self.assertEqual(work_order.history(self.anna, 5)[0].note, "Replaced the roller.")

    def test_find_how_it_was_fixed_last_time(self) -> None:
        for _ in range(5):
            self.create(self.uma, "Printer on floor 3 jams")
        self.change_status(self.lena, 5, Status.RESOLVED, "Replaced the roller.")
        output = self.run_as("marc", *keys("Find how it was fixed last time"))
        self.assertIn("title: [Printer] on floor 3", output)
        self.assertRegex(output, "History of work order #5.*\n.*lena: status .*:\n +Replaced the roller\\.")

    def test_hand_over_a_queue(self) -> None:
        for _ in range(20):
            self.create(self.lena, assignee="marc")
        self.create(self.lena, assignee="marc")
        self.change_status(self.marc, 21, Status.RESOLVED)
        self.run_as("lena", *keys("Hand over a queue"))
        self.assertEqual(self.stored(*range(1, 21)), [(Status.OPEN, "lena")] * 20)
        self.assertEqual(self.stored(21), [(Status.RESOLVED, "marc")])
        self.assertLessEqual(len(keys("Hand over a queue")), 8)

    def test_somebody_leaves(self) -> None:
        self.create(self.lena, assignee="marc")
        self.assertIn("User marc deactivated.", self.run_as("anna", *keys("Somebody leaves")))
        self.assertEqual(self.stored(1), [(Status.OPEN, "lena")])

    def test_close_duplicates(self) -> None:
        for number in range(1, 28):
            self.create(self.uma, "Mail is down" if number >= 12 else "Monitor flickers")
        self.run_as("lena", *keys("Close duplicates"))
        self.assertEqual(self.stored(12, *range(13, 28)), [(Status.OPEN, None), *[(Status.CANCELLED, None)] * 15])
        self.assertIn("Duplicate of #12.", [entry.note for entry in work_order.history(self.anna, 27)])
        self.assertLessEqual(len(keys("Close duplicates")), 9)

    def test_close_all_that_a_search_finds(self) -> None:
        for number in range(1, 28):
            self.create(self.uma, "Mail is down" if number > 12 else "Monitor flickers")
        self.run_as("lena", *({"13-27": ""}.get(answer, answer) for answer in keys("Close duplicates")))
        self.assertEqual(self.stored(*range(13, 28)), [(Status.CANCELLED, None)] * 15)

    def test_monthly_maintenance(self) -> None:
        self.run_as("anna", *keys("Monthly maintenance"))
        (template,) = work_order.list_templates(self.anna)
        self.assertEqual((template.draft.assignee, template.due_days, template.rhythm), ("lena", 5, "1 month"))
        self.assertEqual(self.get(self.anna, 1).title, "Test the UPS")

    def test_month_end(self) -> None:
        self.create(self.uma)
        self.run_as("anna", *keys("Month end"))
        self.assertEqual(len(list((self.folder / "exports").glob("*.html"))), 1)

    def test_filter_by_two_things(self) -> None:
        for priority, due in itertools.product((Priority.CRITICAL, Priority.LOW), ("2020-01-01", "none")):
            shown = self.create(self.lena, priority=priority)
            self.change(self.lena, shown.id, work_order.DUE_DATE, work_order.parse_due_date(due))
        answers = keys("Filter by two things")
        output = self.run_as("lena", *answers, "4", "due any", "6")
        headings = [line for line in output.splitlines() if "most urgent first" in line]
        self.assertEqual([heading.split(":")[0] for heading in headings[1:3]], ["1 work order", "2 work orders"])
        self.assertTrue(headings[3].startswith("4 work orders, "))
        self.assertLessEqual(len(answers), 3)

    def test_import_another_systems_file(self) -> None:
        rows = ["Number,Short description,State,Opened", "INC7,VPN is slow,Closed,2016-02-28 08:00"]
        (self.folder / "imports").mkdir()
        (self.folder / "imports" / "incident.csv").write_text("\n".join(rows), encoding="utf-8")
        first = self.run_as("anna", *keys("Import another system's file")[:2], *[""] * 20)
        self.assertIn("1 work order imported from incident.csv.", first)
        again = self.run_as("anna", *keys("Import another system's file")[:2], *[""] * 20)
        self.assertIn("Nothing was imported.", again)
        self.assertEqual(self.rows("SELECT title, status FROM work_orders"), [("VPN is slow", "Resolved")])

    def test_reset_a_password(self) -> None:
        output = self.run_as("anna", *keys("Reset a password"))
        (password,) = re.findall("One-time password: (.*)", output)
        self.assertIn("Password changed.", run(self.path, "Log in", "uma", password, "blue kettle 77 stove").output)
        done = run(self.path, "green kettle 78 stove", arguments=["anna"], program=ROOT / "users.py")
        self.assertEqual(done.output, "Password of user anna set.\n")
        self.assertIn("Main menu: anna", run(self.path, "Log in", "anna", "green kettle 78 stove").output)

    def test_back_up_and_restore(self) -> None:
        self.create(self.uma, "Before")
        self.run_as("anna", *keys("Back up"))
        self.create(self.uma, "After")
        self.connection.close()
        self.path.rename(self.folder / "test.db.old")
        (backup,) = (self.folder / "backups").iterdir()
        shutil.copy(backup, self.path)
        self.assertIn(f"Database: {self.path}\n", run(self.path, program=ROOT / "database.py").output)
        listed = self.run_as("anna", "View work orders")
        self.assertIn("Before", listed)
        self.assertNotIn("After", listed)

    def test_the_command_that_ssh_is_tied_to_shows_the_start_menu_and_names_the_client(self) -> None:
        found = re.search("ForceCommand python3 (.*) /srv/workorders/main.py", README)
        assert found
        variables = environment(self.path, SSH_CLIENT="192.0.2.7 50000 22", SSH_ORIGINAL_COMMAND="id")
        forced = [sys.executable, *found[1].split(), str(ROOT / "main.py")]
        self.assertIn("  2. Log in", run_command(forced, b"0\n", variables).output)
        output = self.run_as("anna", "Data and audit", "Audit log", SSH_CLIENT="192.0.2.7 50000 22")
        self.assertIn("192.0.2.7", output)


def source() -> str:
    return "".join(
        (ROOT / f"{name}.py").read_text(encoding="utf-8") for name in ("main", "work_order", "users", "database")
    )


class ReadmeTest(unittest.TestCase):
    def test_each_message_that_it_explains_is_one_of_the_programs(self) -> None:
        table = README.partition("| It says |")[2].partition("\n\n")[0]
        for row in table.splitlines()[2:]:
            for message in re.findall("`([^`]+)`", row.split("|")[1]):
                with self.subTest(message=message):
                    self.assertIn(message, source())

    def test_what_it_names_in_the_code_is_there(self) -> None:
        names = (
            "MIGRATIONS FIELDS PRIORITY COLUMNS Draft Filter FILTER_NAMES Report Cell ReportsScreen ReportScreen Action"
        )
        functions = "_fields edit create create_work_order _condition filter_choices describe_filter backlog snapshot"
        for name in (*names.split(), *functions.split()):
            with self.subTest(name=name):
                self.assertRegex(README, rf"[`.]{name}\b")
                self.assertRegex(source(), rf"(?m)^(class |    def |def )?{name}\b")

    def test_its_screens_fit_80_columns(self) -> None:
        screens = README.partition("```text\n")[2].partition("```")[0]
        self.assertLessEqual(max(map(len, screens.splitlines())), 80)


if __name__ == "__main__":
    unittest.main()
