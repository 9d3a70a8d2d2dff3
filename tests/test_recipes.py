"""The README's recipes: their keys, typed as they stand there, do what it says, and in few answers."""

import itertools
import re
import shutil
import sys
import unittest
from typing import List

from support import PASSWORD, ROOT, DatabaseTestCase, environment, needs_terminal, run, run_command

import users
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
        self.lena, self.marc = (self.session(name, Role.MANAGER, ("anna", PASSWORD)) for name in ("lena", "marc"))

    @needs_terminal
    def test_from_nothing_to_the_first_work_order(self) -> None:
        prompts = (
            *("option: ", "Username: ", "Password: ", "Confirm password: ", "Role [admin]: "),
            *("option: ", "Username: ", "Password: "),
            *("#ID: ", "Title: ", "(optional): ", "[Medium]: ", "Category [none]: "),
        )
        answers = [*keys("Register"), *keys("Log in"), *keys("Create")]
        self.assertEqual(len(answers), len(prompts))
        self.path = self.folder / "new.db"
        talk = self.talk((80, 24))
        talk.answer(*itertools.chain(*zip(prompts, answers)))
        talk.expect("Work order #1 created.")
        self.assertIn("  12. Delete", talk.expect("#ID: "))  # it is open

    def test_those_for_managers_in_few_answers(self) -> None:
        for number in range(1, 28):
            title = "Mail is down" if number >= 12 else "Printer on floor 3 jams"
            priority = Priority.CRITICAL if number < 3 else Priority.LOW
            self.create(self.lena, title, priority=priority, assignee="marc" if number < 5 else None)
        for number in (1, 3):
            self.change(self.lena, number, work_order.DUE_DATE, work_order.parse_due_date("2020-01-01"))
        self.change_status(self.marc, 4, Status.CANCELLED)
        call = keys("Log a call")
        again = [{"Tom O'Brien": "to"}.get(answer, answer) for answer in (*call[:6], *call[8:])]
        titles = ("Take and resolve", "Find how it was fixed last time", "Close duplicates", "Hand over a queue")
        narrowed = keys("Filter by two things")
        self.assertLessEqual(len(call + narrowed + keys(titles[2]) + keys(titles[3])), 30)
        others = itertools.chain(*([*keys(title), "00"] for title in titles))
        output = self.run_as("lena", *call, "00", *again, "00", *others, *narrowed, "4", "due any", "6")
        self.assertRegex(output, "History of work order #5.*\n.*lena: status .*:\n +Replaced the roller\\.")
        counts = re.findall("(\\d+) work orders?[,:] .*most urgent first", output)
        self.assertEqual(counts[-3:], ["1", "2", "29"])
        lena, marc = self.lena.user_id, self.marc.user_id
        first = [*[("Open", lena)] * 3, ("Cancelled", marc), ("Resolved", lena), *[("Open", None)] * 7]
        stored = self.rows("SELECT status, assignee_id FROM work_orders ORDER BY id")
        self.assertEqual(stored, [*first, *[("Cancelled", None)] * 15, *[("Open", lena)] * 2])
        self.assertIn("Duplicate of #12.", [entry.note for entry in work_order.history(self.anna, 27)])
        calls = "SELECT title, name FROM work_orders JOIN users ON users.id = requester_id WHERE work_orders.id > 27"
        self.assertEqual(self.rows(calls), [("Monitor flickers", "Tom O'Brien")] * 2)

    def test_those_for_admins(self) -> None:
        lena = self.lena.user_id
        self.create(self.lena, assignee="marc")
        (self.folder / "imports").mkdir()
        rows = "Number,Short description,State,Opened\nINC7,VPN is slow,Closed,2016-02-28 08:00\n"
        (self.folder / "imports" / "incident.csv").write_text(rows, encoding="utf-8")
        imports = [*keys("Import another system's file")[:2], *[""] * 20, "00"]
        titles = ("Monthly maintenance", "Month end", "Reset a password", "Somebody leaves")
        output = self.run_as("anna", *imports, *imports, *itertools.chain(*([*keys(title), "00"] for title in titles)))
        self.assertRegex(output, "(?s)1 work order imported from incident.csv.*Nothing was imported")
        (template,) = work_order.list_templates(self.anna)
        self.assertEqual((template.draft.assignee, template.due_days, template.rhythm), ("lena", 5, "1 month"))
        expected = [("Printer jams", "Open", lena), ("VPN is slow", "Resolved", None), ("Test the UPS", "Open", lena)]
        self.assertEqual(self.rows("SELECT title, status, assignee_id FROM work_orders ORDER BY id"), expected)
        self.assertEqual(len(list((self.folder / "exports").glob("*.html"))), 1)
        (password,) = re.findall("One-time password: (.*)", output)
        self.assertEqual(users.log_in(self.connection, "uma", password).user_id, 3)
        self.assertIn("User marc deactivated.", output)

    def test_back_up_and_restore(self) -> None:
        self.create(self.uma, "Before")
        self.run_as("anna", *keys("Back up"))
        self.create(self.uma, "After")
        self.connection.close()
        self.path.rename(self.folder / "test.db.old")
        (backup,) = (self.folder / "backups").iterdir()
        shutil.copy(backup, self.path)
        self.assertIn(f"Database: {self.path}\n", run(self.path, program=ROOT / "database.py").output)
        self.use(self.path.read_bytes())
        self.assertEqual(self.rows("SELECT title FROM work_orders"), [("Before",)])

    def test_the_command_that_ssh_is_tied_to_shows_the_start_menu(self) -> None:
        found = re.search("ForceCommand python3 (.*) /srv/workorders/main.py", README)
        assert found
        forced = [sys.executable, *found[1].split(), str(ROOT / "main.py")]
        ended = run_command(forced, b"0\n", environment(self.path, SSH_ORIGINAL_COMMAND="id"))
        self.assertIn("  2. Log in", ended.output)


class ReadmeTest(unittest.TestCase):
    def setUp(self) -> None:
        self.source = "".join(path.read_text(encoding="utf-8") for path in ROOT.glob("*.py"))

    def test_each_message_that_it_explains_is_one_of_the_programs(self) -> None:
        table = README.partition("| It says |")[2].partition("\n\n")[0]
        for row in table.splitlines()[2:]:
            for message in re.findall("`([^`]+)`", row.split("|")[1]):
                with self.subTest(message=message):
                    self.assertIn(message, self.source)

    def test_what_it_names_in_the_code_is_there(self) -> None:
        names = "MIGRATIONS FIELDS PRIORITY COLUMNS Draft Filter FILTER_NAMES Report Cell ReportsScreen ReportScreen"
        functions = "_fields edit create create_work_order _condition filter_choices describe_filter backlog"
        for name in (*names.split(), "Action", *functions.split()):
            with self.subTest(name=name):
                self.assertRegex(README, rf"[`.]{name}\b")
                self.assertRegex(self.source, rf"(?m)^(class |    def |def )?{name}\b")

    def test_its_screens_fit_80_columns(self) -> None:
        screens = README.partition("```text\n")[2].partition("```")[0]
        self.assertLessEqual(max(map(len, screens.splitlines())), 80)
