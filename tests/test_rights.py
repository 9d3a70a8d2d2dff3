"""Who may do what, by role: each action, each menu, and what is refused to somebody who lost a right meanwhile."""

import re
import unittest
from typing import Callable, ClassVar, Dict, List, Tuple

from support import PASSWORD, DatabaseTestCase, run

import users
import work_order
from users import Action, People, PermissionDeniedError, Role, Session, SessionEndedError
from work_order import NotFoundError, Status

EVERYBODY, STAFF, ADMINS = "user manager admin", "manager admin", "admin"

Call = Callable[[Session], object]


class ActionTest(DatabaseTestCase):
    """Each role against each action, and what nobody but those who may take it gets from a function."""

    ROLES: ClassVar[Dict[str, Tuple[Action, ...]]] = {
        EVERYBODY: (
            *(Action.CREATE, Action.VIEW, Action.CHANGE_STATUS, Action.EDIT, Action.COMMENT, Action.SUMMARY),
            Action.OWN_ACCOUNT,
        ),
        STAFF: (
            *(Action.NAME_CATEGORY, Action.CHANGE_REQUESTER, Action.ADD_CALLER, Action.ASSIGN, Action.SET_DUE_DATE),
            *(Action.CHANGE_MANY, Action.LINK, Action.RECURRING, Action.REPORTS, Action.EXPORT, Action.MAIL_WISH),
        ),
        ADMINS: (
            *(Action.IMPORT, Action.SERVICE_TARGETS, Action.DELETE, Action.RESTORE, Action.MANAGE_USERS),
            *(Action.AUDIT, Action.BACK_UP, Action.MAIL),
        ),
    }

    def setUp(self) -> None:
        super().setUp()
        self.sessions = {Role.USER: self.uma, Role.MANAGER: self.max, Role.ADMIN: self.anna}
        self.create(self.uma)

    def test_each_role_may_take_its_actions_and_is_told_which_it_may_not(self) -> None:
        self.assertEqual({action for actions in self.ROLES.values() for action in actions}, set(Action))
        for roles, actions in self.ROLES.items():
            for action in actions:
                for role, session in self.sessions.items():
                    refusal = f"^Your role .{role}. does not let you {action.words}[.]$"
                    with self.subTest(role=role, action=action):
                        if role.value in roles:
                            users.authorize(session, action)
                        else:
                            self.assertRaisesRegex(PermissionDeniedError, refusal, users.authorize, session, action)

    def test_for_a_session_that_has_ended_or_has_a_one_time_password_nothing_is_done(self) -> None:
        content = self.path.read_bytes()
        for change in ("is_active = 0", "password_version = 2", "must_change_password = 1"):
            self.use(content)
            self.connection.execute(f"UPDATE users SET {change} WHERE username = 'anna'")
            for action in set(Action) - {Action.OWN_ACCOUNT}:
                with self.subTest(change=change, action=action):
                    self.assertRaises((SessionEndedError, PermissionDeniedError), users.authorize, self.anna, action)

    def test_accounts_and_the_audit_log_are_for_those_alone_who_may_manage_see_or_name_them(self) -> None:
        calls: Tuple[Tuple[str, Call], ...] = (
            (STAFF, lambda who: users.add_caller(who, "Tom", None)),
            (STAFF, lambda who: users.parse_person(who, "me", People.REQUESTERS)),
            (STAFF, lambda who: users.parse_person(who, "max", People.ASSIGNEES)),
            (STAFF, lambda who: users.list_people(who, People.ASSIGNEES)),
            (STAFF, lambda who: users.change_mail_wish(who, users.MailWish.ALL)),
            (ADMINS, lambda who: users.add_user(who, "new", Role.USER)),
            (ADMINS, lambda who: users.change_person(who, "ugo", "Ugo Neri", None)),
            (ADMINS, lambda who: users.reset_password(who, "ugo")),
            (ADMINS, lambda who: users.unlock(who, "ugo")),
            (ADMINS, lambda who: work_order.change_role(who, "ugo", Role.MANAGER)),
            (ADMINS, lambda who: work_order.deactivate(who, "ugo")),
            (ADMINS, lambda who: users.reactivate(who, "ugo")),
            (ADMINS, lambda who: users.audit_log(who, users.AuditFilter(), None, 9)),
            *((ADMINS, users.list_users), (ADMINS, users.audit_events)),
            *((ADMINS, users.back_up), (ADMINS, users.check_database)),
        )
        for role, session in self.sessions.items():
            for number, (roles, call) in enumerate(calls):
                before = self.path.read_bytes()
                with self.subTest(role=role, number=number):
                    if role.value in roles:
                        call(session)
                    else:
                        self.assertRaises(PermissionDeniedError, call, session)
                        self.assertEqual(self.path.read_bytes(), before)

    def changing(self, field: str) -> Call:
        shown = self.get(self.anna, 1)
        return lambda who: work_order.change(who, shown, work_order.FIELDS[field], None)

    def test_to_a_user_a_finished_work_order_is_not_to_be_edited_and_somebody_elses_does_not_exist(self) -> None:
        calls = [self.changing(field) for field in ("title", "description", "priority", "category")]
        self.change_status(self.anna, 1, Status.CANCELLED)
        for number, call in enumerate(calls):
            with self.subTest(number=number), self.assertRaisesRegex(PermissionDeniedError, "Cancelled.*reopen it"):
                call(self.uma)
        calls += [self.changing("status"), lambda who: work_order.comment(who, 1, "text")]
        calls += [lambda who: work_order.get(who, 1), lambda who: work_order.history(who, 1)]
        self.change(self.anna, 1, work_order.REQUESTER, "ugo")
        for number, call in enumerate(calls):
            with self.subTest(number=number), self.assertRaisesRegex(NotFoundError, "There is no work order #1"):
                call(self.uma)


class MenuTest(DatabaseTestCase):
    """On the way to each menu: which options managers have there and users have not, and which admins alone."""

    MENUS: ClassVar[Dict[Tuple[str, ...], Tuple[str, str]]] = {
        (): ("Reports, Data and audit, Recurring work orders", "Manage users"),
        ("#1",): ("Take, Assign, Set due date, Change requester, Link, Save as a page", "Delete"),
        ("View work orders",): ("Export to CSV, Change all, Save as a page", ""),
        ("My work",): ("Assigned to me, Unassigned, Hold is over", ""),
        ("My account",): ("Change mail about new work orders", ""),
        ("Reports",): ("Resolution times, Backlog, Weekly flow, Workload, Service targets, Monthly report", ""),
        ("Reports", "Service targets"): ("", "Change target"),
        ("Data and audit",): (
            "Export work orders",
            "Back up now, Import work orders, Deleted work orders, Audit log, Check database, Mail",
        ),
        ("Manage users",): (
            "",
            "List users, Add user, Change role, Reset password, Deactivate, Reactivate, Unlock (clear failed logins), "
            "Change name or email",
        ),
    }

    def options(self, username: str) -> Dict[Tuple[str, ...], List[str]]:
        """Return the labels that somebody finds on the way to each menu: none where the way is barred."""
        answers = (answer for path in self.MENUS for answer in (*path, "00"))
        found = {}
        for path, visit in zip(self.MENUS, self.run_as(username, *answers).split("\nMain menu: ")[1:]):
            menus = re.findall(r"\n((?:  \d+\. .*\n)+)Choose an option or #ID: \n", visit)
            menu = menus[len(path)] if len(menus) > len(path) else ""
            found[path] = re.findall(r"^  [1-9]\d*\. ([^:\n]*)", menu, re.MULTILINE)
        return found

    def test_each_role_has_its_options_and_no_other(self) -> None:
        self.create(self.uma)
        user, manager, admin = (self.options(username) for username in ("uma", "max", "anna"))
        for path, (staffs, admins) in self.MENUS.items():
            with self.subTest(path=path):
                self.assertEqual(", ".join(label for label in manager[path] if label not in user[path]), staffs)
                self.assertEqual(", ".join(label for label in admin[path] if label not in manager[path]), admins)
                self.assertLessEqual(set(user[path]), set(manager[path]))
                self.assertLessEqual(set(manager[path]), set(admin[path]))

    def test_a_work_order_is_opened_after_logging_in_and_a_user_reopens_a_finished_one_before_editing_it(self) -> None:
        self.create(self.uma)
        self.change_status(self.max, 1, Status.RESOLVED)
        answers = ("#1", "Change status", "open", "", "Edit title", "Another")
        output = run(self.path, "#1", "Log in", "uma", PASSWORD, *answers).output
        self.assertIn("Error: Choose one of the numbers 1, 2, 0.\n", output)
        self.assertRegex(output, r"\n  1\. Change status\n  2\. Add comment\n  11\. Show history\n  0\. Back\n")
        self.assertIn("Title of work order #1 saved.", output)


class LostRightTest(DatabaseTestCase):
    """What somebody who is signed in may do any more is seen at the very next action."""

    def test_who_is_demoted_is_refused_once_and_who_is_deactivated_or_has_another_password_is_logged_out(self) -> None:
        eva = self.session("eva", Role.ADMIN, ("anna", PASSWORD))
        talk = self.talk()
        talk.log_in("anna")
        talk.choose("Manage users")
        talk.expect("0. Back")
        work_order.change_role(eva, "anna", Role.USER)
        talk.choose("List users")
        refusal = "Your role (user) does not let you manage users."
        self.assertEqual(talk.expect("Main menu: anna (user)").count(f"Error: {refusal}"), 1)
        self.assertEqual(self.rows("SELECT user_id, subject FROM audit_log WHERE event = 'refused'"), [(1, refusal)])
        talk.expect("0. Log out")
        one_time = users.reset_password(eva, "anna")
        talk.choose("Create work order")
        talk.expect("Error: You are logged out: your password has been changed.")
        talk.answer("option: ", "Log in", "Username: ", "anna", "Password: ", one_time)
        talk.expect("New password: ")
        work_order.deactivate(eva, "anna")
        talk.send("a new horse 7\n")
        talk.expect("Error: You are logged out: your account has been deactivated.\n\nIT Work Order")


if __name__ == "__main__":
    unittest.main()
