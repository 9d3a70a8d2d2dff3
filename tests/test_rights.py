"""Who may do what, by role: each action, each menu, and what is refused to somebody who lost a right meanwhile."""

import contextlib
import re
from datetime import date
from typing import Any, Callable, ClassVar, Dict, List, Tuple

from support import PASSWORD, DatabaseTestCase, run

import users
import work_order
from users import Action, AuditFilter, MailWish, People, PermissionDeniedError, Role, Session, SessionEndedError
from work_order import Draft, Field, Grouping, Kind, NotFoundError, Priority, Query, ServiceTarget, Status, Template

USERNAMES = {Role.USER: "uma", Role.MANAGER: "max", Role.ADMIN: "anna"}
EVERYBODY, STAFF, ADMINS = "user manager admin", "manager admin", "admin"


Call = Callable[[Session], object]


class ActionTest(DatabaseTestCase):
    """Each role against each action, where work order #1 is a user's own."""

    def setUp(self) -> None:
        super().setUp()
        for _ in range(3):
            self.create(self.uma)
        work_order.delete(self.anna, 3)
        work_order.deactivate(self.anna, "ugo")
        (self.folder / "imports").mkdir()
        (self.folder / "imports" / "old.csv").touch()
        self.content = self.path.read_bytes()

    def change_to(self, field: "Field[Any]", value: object) -> Call:
        shown = self.get(self.anna, 1)
        return lambda who: work_order.change(who, shown, field, value)

    def calls_on_own(self) -> List[Tuple[Action, Call]]:
        """Return what users may do with their own work orders."""
        return [
            (Action.VIEW, lambda who: work_order.get(who, 1)),
            (Action.VIEW, lambda who: work_order.history(who, 1)),
            (Action.COMMENT, lambda who: work_order.comment(who, 1, "text")),
            (Action.EDIT, self.change_to(work_order.TITLE, "Another")),
            (Action.EDIT, self.change_to(work_order.DESCRIPTION, "Another")),
            (Action.EDIT, self.change_to(work_order.PRIORITY, Priority.HIGH)),
            (Action.EDIT, self.change_to(work_order.CATEGORY, None)),
            (Action.CHANGE_STATUS, self.change_to(work_order.STATUS, Status.IN_PROGRESS)),
        ]

    def calls(self) -> Dict[str, List[Tuple[Action, Call]]]:
        """Return what can be done, by the roles that may."""
        shown, query, month = self.get(self.anna, 1), Query(), work_order.parse_month("last month")
        target, (mail, _) = ServiceTarget(Priority.LOW), users.mail_state(self.anna)
        many = work_order.plan_changes(self.anna, [1], "priority", Priority.LOW)
        work_order.link(self.anna, shown, Kind.RELATED_TO, 2)
        work_order.save_template(self.anna, Template(Draft("t"), None, 1, "day", date.today()))
        ((link,), (template,)) = work_order.get(self.anna, 1).links, work_order.list_templates(self.anna)
        report, self.content = work_order.backlog(self.anna), self.path.read_bytes()
        return {
            EVERYBODY: [
                *self.calls_on_own(),
                (Action.VIEW, lambda who: work_order.find(who, query, None, 9)),
                (Action.CREATE, lambda who: work_order.create(who, Draft("t"))),
                (Action.SUMMARY, work_order.summary),
                (Action.OWN_ACCOUNT, lambda who: users.change_email(who, None)),
                (Action.OWN_ACCOUNT, lambda who: users.change_password(who, PASSWORD, "a new horse 7")),
            ],
            STAFF: [
                (Action.CHANGE_REQUESTER, self.change_to(work_order.REQUESTER, "max")),
                (Action.CHANGE_REQUESTER, lambda who: users.parse_person(who, "me", People.REQUESTERS)),
                (Action.ADD_CALLER, lambda who: users.add_caller(who, "Tom", None)),
                (Action.ASSIGN, self.change_to(work_order.ASSIGNEE, "max")),
                (Action.ASSIGN, lambda who: work_order.take(who, shown)),
                (Action.ASSIGN, lambda who: users.parse_person(who, "max", People.ASSIGNEES)),
                (Action.ASSIGN, lambda who: users.list_people(who, People.ASSIGNEES)),
                (Action.SET_DUE_DATE, self.change_to(work_order.DUE_DATE, None)),
                (Action.CHANGE_MANY, lambda who: work_order.change_many(who, many)),
                (Action.CHANGE_MANY, lambda who: work_order.select_ids(who, query)),
                (Action.CHANGE_MANY, lambda who: work_order.plan_changes(who, [1], "comment", None, "text")),
                (Action.LINK, lambda who: work_order.link(who, shown, Kind.BLOCKED_BY, 2)),
                (Action.LINK, lambda who: work_order.unlink(who, shown, link)),
                (Action.RECURRING, work_order.list_templates),
                (Action.RECURRING, lambda who: work_order.save_template(who, template)),
                (Action.RECURRING, lambda who: work_order.stop_template(who, template)),
                (Action.REPORTS, work_order.backlog),
                (Action.REPORTS, lambda who: work_order.resolution_times(who, month, Grouping.CATEGORY)),
                (Action.REPORTS, lambda who: work_order.weekly_flow(who, month)),
                (Action.REPORTS, lambda who: work_order.workload(who, month)),
                (Action.REPORTS, work_order.service_targets),
                (Action.REPORTS, lambda who: work_order.monthly_report(who, month)),
                (Action.EXPORT, lambda who: work_order.export(who, query, True, lambda _: None)),
                (Action.EXPORT, lambda who: work_order.save_work_order(who, 1)),
                (Action.EXPORT, lambda who: work_order.save_list(who, query)),
                (Action.EXPORT, lambda who: work_order.save_report(who, report)),
                (Action.MAIL_WISH, lambda who: users.change_mail_wish(who, MailWish.ALL)),
            ],
            ADMINS: [
                (Action.IMPORT, work_order.list_imports),
                (Action.SERVICE_TARGETS, lambda who: work_order.set_service_target(who, target, target)),
                (Action.DELETE, lambda who: work_order.delete(who, 1)),
                (Action.RESTORE, lambda who: work_order.restore(who, 3)),
                (Action.RESTORE, lambda who: work_order.list_deleted(who, None, 9)),
                (Action.RESTORE, lambda who: work_order.get_deleted(who, 3)),
                (Action.MANAGE_USERS, users.list_users),
                (Action.MANAGE_USERS, lambda who: users.add_user(who, "new", Role.USER)),
                (
                    Action.MANAGE_USERS,
                    lambda who: users.change_person(who, users.find(self.connection, "ugo"), "Ugo", None),
                ),
                (Action.MANAGE_USERS, lambda who: users.reset_password(who, "ugo")),
                (Action.MANAGE_USERS, lambda who: users.unlock(who, "ugo")),
                (Action.MANAGE_USERS, lambda who: users.reactivate(who, "ugo")),
                (Action.MANAGE_USERS, lambda who: work_order.change_role(who, "ugo", Role.MANAGER)),
                (Action.MANAGE_USERS, lambda who: work_order.deactivate(who, "uma")),
                (Action.AUDIT, lambda who: users.audit_log(who, AuditFilter(), None, 9)),
                (Action.AUDIT, lambda who: users.get_audit_entry(who, 1)),
                (Action.AUDIT, users.audit_events),
                (Action.BACK_UP, users.back_up),
                (Action.BACK_UP, users.check_database),
                (Action.MAIL, lambda who: users.change_mail_settings(who, mail, mail)),
                *((Action.MAIL, call) for call in (users.mail_state, users.outbox, users.send_now)),
            ],
        }

    def test_each_role_may_take_its_actions_and_is_told_which_it_may_not(self) -> None:
        table = self.calls()
        actions = {action for calls in table.values() for action, _ in calls}
        # A category that a user may not name is refused as unknown.
        self.assertEqual(set(Action) - actions, {Action.NAME_CATEGORY})
        for roles, calls in table.items():
            for role in Role:
                for number, (action, call) in enumerate(calls):
                    with self.subTest(role=role, action=action, number=number):
                        session = {Role.USER: self.uma, Role.MANAGER: self.max, Role.ADMIN: self.anna}[role]
                        if role.value in roles:
                            call(session)
                            self.use(self.content)
                        else:
                            with self.assertRaisesRegex(PermissionDeniedError, f"{role}.* not let you {action.words}"):
                                call(session)
                            self.assertEqual(self.path.read_bytes(), self.content)
        with self.assertRaisesRegex(users.InvalidInputError, "There is no category New"):
            work_order.create(self.uma, Draft("t", category="New"))

    def test_for_a_session_that_has_ended_or_has_a_one_time_password_nothing_is_done(self) -> None:
        calls = [call for calls in self.calls().values() for call in calls]
        for change, refusal in (
            ("is_active = 0", SessionEndedError),
            ("password_version = 2", SessionEndedError),
            ("must_change_password = 1", PermissionDeniedError),
        ):
            self.use(self.content)
            self.connection.execute(f"UPDATE users SET {change} WHERE id = 1")
            content = self.path.read_bytes()
            for number, (action, call) in enumerate(calls):
                if refusal is SessionEndedError or action is not Action.OWN_ACCOUNT:
                    with self.subTest(change=change, number=number, action=action), self.assertRaises(refusal):
                        call(self.anna)
            self.assertEqual(self.path.read_bytes(), content)

    def test_to_a_user_somebody_elses_work_order_does_not_exist(self) -> None:
        calls = self.calls_on_own()
        self.change(self.anna, 1, work_order.REQUESTER, "max")
        for number, (_, call) in enumerate(calls):
            with self.subTest(number=number), self.assertRaisesRegex(NotFoundError, "There is no work order #1"):
                call(self.uma)
        self.assertEqual(self.ids(self.uma), [2])

    def test_to_a_user_a_finished_work_order_is_not_to_be_edited_but_to_be_reopened(self) -> None:
        self.change_status(self.anna, 1, Status.CANCELLED)
        for number, (action, call) in enumerate(self.calls_on_own()):
            with self.subTest(number=number), contextlib.ExitStack() as stack:
                if action is Action.EDIT:
                    stack.enter_context(self.assertRaisesRegex(PermissionDeniedError, "Cancelled.*reopen it first"))
                call(self.uma)


class MenuTest(DatabaseTestCase):
    """On the way to each menu: which options managers have there and users have not, and which admins alone."""

    MENUS: ClassVar[Dict[Tuple[str, ...], Tuple[str, str]]] = {
        (): ("Reports, Data and audit, Recurring work orders", "Manage users"),
        ("#1",): ("Take, Assign, Set due date, Change requester, Link, Save as a page", "Delete"),
        ("View work orders",): ("Export to CSV, Change all, Save as a page", ""),
        ("My work",): ("Assigned to me, Unassigned, Hold is over", ""),
        ("My account",): ("Change mail about new work orders", ""),
        ("Reports",): (
            "Resolution times, Backlog, Weekly flow, Workload, Service targets, Monthly report, Back",
            "",
        ),
        ("Reports", "Service targets"): ("Back", "Change target"),
        ("Data and audit",): (
            "Export work orders, Back",
            "Back up now, Import work orders, Deleted work orders, Audit log, Check database, Mail",
        ),
        ("Manage users",): (
            "",
            "List users, Add user, Change role, Reset password, Deactivate, Reactivate, Unlock (clear failed logins), "
            "Change name or email, Back",
        ),
    }

    def options(self, username: str) -> Dict[Tuple[str, ...], List[str]]:
        """Return the labels that somebody finds on the way to each menu: none where the way is barred."""
        answers = (answer for path in self.MENUS for answer in (*path, "00"))
        found = {}
        for path, visit in zip(self.MENUS, self.run_as(username, *answers).split("\nMain menu: ")[1:]):
            menus = re.findall(r"\n((?:  \d+\. .*\n)+)Choose an option or #ID: \n", visit)
            menu = menus[len(path)] if len(menus) > len(path) else ""
            found[path] = re.findall(r"^  \d+\. ([^:\n]*)", menu, re.MULTILINE)
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

    def test_a_user_opens_ones_own_work_order_once_logged_in_and_edits_it_unless_it_is_finished(self) -> None:
        self.create(self.uma)
        self.create(self.ugo, "Secret")
        self.change_status(self.max, 1, Status.RESOLVED)
        own = ("#1", "Change status", "open", "", "Edit title", "Another")
        output = run(self.path, "#1", "Log in", "uma", PASSWORD, "#2", "#3", "View work orders", "00", *own).output
        self.assertIn("Error: Choose one of the numbers 1, 2, 0.\n", output)
        self.assertRegex(output, r"Error: There is no work order #2\.\n(.*\n)+Error: There is no work order #3\.\n")
        self.assertNotIn("Secret", output)
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
        refused = self.rows("SELECT user_id, subject FROM audit_log WHERE event = 'refused'")
        self.assertEqual(refused, [(1, refusal)])
        talk.expect("0. Log out")
        one_time = users.reset_password(eva, "anna")
        talk.choose("Create work order")
        talk.expect("Error: You are logged out: your password has been changed.")
        talk.answer("option: ", "Log in", "Username: ", "anna", "Password: ", one_time)
        talk.expect("New password: ")
        work_order.deactivate(eva, "anna")
        talk.send("a new horse 7\n")
        talk.expect("Error: You are logged out: your account has been deactivated.\n\nIT Work Order")

    def test_the_previous_page_of_a_history_shows_nothing_after_access_is_lost(self) -> None:
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
        self.assertEqual(seen.count("Error: There is no work order #1.\n"), 1)
