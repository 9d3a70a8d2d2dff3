"""Who may do what, by role: what the menus leave out, and what is refused to somebody who lost a right meanwhile."""

import re
import unittest
from typing import ClassVar, Dict, Sequence, Set, Tuple

from support import PASSWORD, DatabaseTestCase, run

import users
import work_order
from users import Role
from work_order import Status

USERNAMES = {Role.USER: "uma", Role.MANAGER: "max", Role.ADMIN: "anna"}
EVERYBODY, STAFF, ADMINS = "user manager admin", "manager admin", "admin"


class MenuTest(DatabaseTestCase):
    """Each option of each menu, and the roles that have it; what nobody has there is in no menu."""

    MENUS: ClassVar[Dict[Tuple[str, ...], Dict[str, str]]] = {
        (): {
            **dict.fromkeys(
                ("Create work order", "View work orders", "Update work order", "Search work orders"), EVERYBODY
            ),
            **dict.fromkeys(("My work", "Summary", "My account", "Log out"), EVERYBODY),
            **dict.fromkeys(("Reports", "Data and audit", "Recurring work orders"), STAFF),
            "Manage users": ADMINS,
        },
        ("#1",): {
            **dict.fromkeys(("Change status", "Add comment", "Change priority", "Edit title"), EVERYBODY),
            **dict.fromkeys(("Edit description", "Change category", "Show history", "Back"), EVERYBODY),
            **dict.fromkeys(("Take", "Assign", "Set due date", "Change requester", "Link", "Save as a page"), STAFF),
            "Delete": ADMINS,
        },
        ("View work orders",): {
            **dict.fromkeys(("Open work order", "Filter", "Sort", "Back"), EVERYBODY),
            **dict.fromkeys(("Export to CSV", "Change all", "Save as a page"), STAFF),
        },
        ("My work",): {
            **dict.fromkeys(("Overdue", "Due this week", "Requested by me", "Changed by others", "Back"), EVERYBODY),
            **dict.fromkeys(("Assigned to me", "Unassigned", "Hold is over"), STAFF),
        },
        ("My account",): {
            **dict.fromkeys(("Change password", "Change email", "Back"), EVERYBODY),
            "Change mail about new work orders": STAFF,
        },
        ("Reports",): dict.fromkeys(
            ("Resolution times", "Backlog", "Weekly flow", "Workload", "Service targets", "Monthly report"), STAFF
        ),
        ("Reports", "Service targets"): {"Change target": ADMINS},
        ("Data and audit",): {
            "Export work orders": STAFF,
            **dict.fromkeys(("Back up now", "Import work orders", "Deleted work orders", "Audit log"), ADMINS),
            **dict.fromkeys(("Check database", "Mail"), ADMINS),
        },
        ("Manage users",): dict.fromkeys(
            (
                *("List users", "Add user", "Change role", "Reset password", "Deactivate", "Reactivate"),
                *("Unlock (clear failed logins)", "Change name or email"),
            ),
            ADMINS,
        ),
    }

    def options(self, username: str, path: Sequence[str]) -> Set[str]:
        """Return the labels of the menu that somebody reaches on this path."""
        menu = re.findall(r"\n((?:  \d+\. .*\n)+)Choose an option or #ID: \n", self.run_as(username, *path))[len(path)]
        return {re.sub(r"^  \d+\. |: \d.*", "", line) for line in menu.splitlines()}

    def test_each_role_has_its_options_and_no_other(self) -> None:
        self.create(self.uma)
        for path, menu in self.MENUS.items():
            for role, username in USERNAMES.items():
                expected = {label for label, roles in menu.items() if role.value in roles}
                with self.subTest(path=path, role=role):
                    if expected:
                        options = self.options(username, path)
                        self.assertEqual(options - {"Back"}, expected - {"Back"})

    def test_a_number_is_its_options_for_every_role(self) -> None:
        for username in USERNAMES.values():
            output = self.run_as(username, 9, 0)
            self.assertIn("  6. Summary\n", output)
            self.assertIn("  8. My account\n", output)
        self.assertIn("Error: Choose one of the numbers 1, 2, 3, 4, 5, 6, 8, 0, or #", self.run_as("uma", 9, 0))

    def test_to_a_user_a_finished_work_order_is_not_to_be_edited_until_it_is_reopened(self) -> None:
        self.create(self.uma)
        self.change_status(self.max, 1, Status.RESOLVED)
        self.assertEqual(self.options("uma", ["#1"]), {"Change status", "Add comment", "Show history", "Back"})
        self.change_status(self.uma, 1, Status.OPEN)
        self.assertIn("Edit title", self.options("uma", ["#1"]))

    def test_nobody_opens_a_work_order_without_logging_in(self) -> None:
        self.create(self.uma)
        self.assertIn("Error: Choose one of the numbers 1, 2, 0.", run(self.path, "#1", "00").output)

    def test_somebody_elses_work_order_does_not_exist(self) -> None:
        self.create(self.ugo, "Secret")
        output = self.run_as("uma", "#1", "#2", "Search work orders", "secret", "Back", "View work orders")
        self.assertIn("Error: There is no work order #1.\n", output)
        self.assertIn("Error: There is no work order #2.\n", output)
        self.assertNotIn("Secret", output)


class LostRightTest(DatabaseTestCase):
    """What somebody who is signed in may do any more is seen at the very next action."""

    def test_who_is_demoted_is_refused_once_and_that_is_recorded_once(self) -> None:
        self.session("eva", Role.ADMIN, ("anna", PASSWORD))
        talk = self.talk()
        talk.log_in("anna")
        talk.choose("Manage users")
        talk.expect("0. Back")
        work_order.change_role(self.anna, "anna", Role.USER)
        talk.choose("List users")
        seen = talk.expect("Main menu: anna (user)")
        self.assertEqual(seen.count("Error: Your role (user) does not let you manage users."), 1)
        refused = self.rows("SELECT user_id, subject FROM audit_log WHERE event = 'refused'")
        self.assertEqual(refused, [(1, "Your role (user) does not let you manage users.")])

    def test_who_cannot_see_a_work_order_any_more_is_told_once(self) -> None:
        self.create(self.uma)
        talk = self.talk()
        talk.log_in("max")
        talk.choose("#1", "Change priority")
        talk.expect("Priority [Medium]: ")
        work_order.change_role(self.anna, "max", Role.USER)
        talk.send("high\n")
        seen = talk.expect("Main menu: max (user)")
        self.assertEqual(seen.count("Error: There is no work order #1.\n"), 1)

    def test_a_page_of_a_history_that_is_turned_back_shows_nothing_any_more(self) -> None:
        self.create(self.uma)
        for number in range(60):
            work_order.comment(self.max, 1, f"Comment {number}." + "\nand more" * 5)
        talk = self.talk()
        talk.log_in("uma")
        talk.choose("#1", "Show history", "Next page")
        talk.expect("0. Back")
        self.change(self.anna, 1, work_order.REQUESTER, "ugo")
        talk.choose("Previous page")
        seen = talk.expect("Main menu: uma")
        self.assertNotIn("Comment", seen)
        self.assertIn("Error: There is no work order #1.\n", seen)

    def test_who_is_deactivated_is_logged_out(self) -> None:
        talk = self.talk()
        talk.log_in("max")
        talk.expect("0. Log out")
        work_order.deactivate(self.anna, "max")
        talk.choose("Create work order")
        talk.expect("Error: You are logged out: your account has been deactivated.\n\nIT Work Order")

    def test_a_changed_password_ends_the_accounts_other_sessions(self) -> None:
        self.create(self.uma)
        talk = self.talk()
        talk.log_in("uma")
        talk.choose("#1")
        talk.expect("0. Back\n")
        users.change_password(self.uma, PASSWORD, "a new horse 7")
        talk.choose("Edit title")
        talk.expect("Error: You are logged out: your password has been changed.")

    def test_an_account_that_is_closed_while_it_replaces_its_one_time_password_is_logged_out(self) -> None:
        one_time = users.add_user(self.anna, "mia", Role.USER)
        talk = self.talk()
        talk.answer("option: ", "Log in", "Username: ", "mia", "Password: ", one_time)
        talk.expect("New password: ")
        work_order.deactivate(self.anna, "mia")
        talk.send("a new horse 7\n")
        talk.expect("Error: You are logged out: your account has been deactivated.\n\nIT Work Order")


if __name__ == "__main__":
    unittest.main()
