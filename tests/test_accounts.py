"""Accounts: registration, login, sessions, people, what an admin does with accounts, rights, and the ledgers."""

import os
import sqlite3
import sys
import threading
import unittest
from typing import Callable, Dict, List, Tuple

from support import PASSWORD, ROOT, DatabaseTestCase, Ended, environment, run, run_command

import database
import users
import work_order
from database import DamageError, transaction
from users import (
    Action,
    AuditFilter,
    AuthenticationError,
    InvalidInputError,
    ListedUser,
    People,
    PermissionDeniedError,
    Role,
    Scope,
    Session,
    SessionEndedError,
    UnknownPersonError,
)

NEW = "a new horse 7"


class AccountsTestCase(DatabaseTestCase):
    def change_role(self, session: Session, username: str, role: Role) -> users.User:
        with transaction(self.connection):
            return users.change_role(session, username, role)

    def deactivate(self, session: Session, username: str) -> users.User:
        with transaction(self.connection):
            return users.deactivate(session, username)

    def add_tom(self) -> str:
        return users.add_caller(self.max, "Tom O'Brien", "tom@example.org")

    def states(self) -> Dict[str, str]:
        return {listed.user.username: users.describe_state(listed) for listed in users.list_users(self.anna)[0]}


class UsernameTest(unittest.TestCase):
    def test_it_is_folded_to_lower_case(self) -> None:
        self.assertEqual(users.parse_username("Ada.Love-lace_1"), "ada.love-lace_1")

    def test_what_is_no_username_is_refused(self) -> None:
        for bad in ("", "a", "a" * 33, "a b", "ä1", "a\n", "a/b", "\u212aim", "me", "NOBODY", "none", "any"):
            with self.subTest(bad=bad), self.assertRaises(InvalidInputError):
                users.parse_username(bad)


class RegisterTest(AccountsTestCase):
    def test_a_taken_name_is_refused_in_any_case(self) -> None:
        with self.assertRaisesRegex(InvalidInputError, "taken"):
            users.register(self.connection, "UMA", PASSWORD, Role.USER)

    def test_no_other_role_is_had_without_an_active_admin_who_knows_his_password(self) -> None:
        pending = users.add_user(self.anna, "eva", Role.ADMIN)
        users.register(self.connection, "old", PASSWORD, Role.ADMIN, ("anna", PASSWORD))
        self.deactivate(self.anna, "old")
        for approval in (
            *(None, ("anna", "wrong"), ("max", PASSWORD), ("ghost", PASSWORD), ("old", PASSWORD), ("eva", pending)),
        ):
            for role in (Role.MANAGER, Role.ADMIN):
                with self.subTest(approval=approval, role=role), self.assertRaises(AuthenticationError):
                    users.register(self.connection, "eve", PASSWORD, role, approval)
        self.assertEqual(self.rows("SELECT * FROM users WHERE username = 'eve'"), [])

    def test_while_there_is_no_active_admin_anybody_becomes_one(self) -> None:
        self.connection.execute("UPDATE users SET is_active = 0 WHERE username = 'anna'")
        self.assertFalse(users.needs_approval(self.connection, Role.ADMIN))
        users.register(self.connection, "eva", PASSWORD, Role.ADMIN)
        self.assertTrue(users.needs_approval(self.connection, Role.MANAGER))

    def test_two_first_registrations_at_once_make_one_admin(self) -> None:
        path = self.folder / "new.db"
        database.connect(path, create=True).close()

        def register(name: str) -> None:
            run(path, "Register", name, PASSWORD, "admin", "0")

        threads = [threading.Thread(target=register, args=(name,)) for name in ("ada", "bea", "cleo")]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        connection = database.connect(path)
        self.addCleanup(connection.close)
        (admins,) = connection.execute("SELECT count(*) FROM users WHERE role = 'admin'").fetchone()
        self.assertEqual(admins, 1)


class LogInTest(AccountsTestCase):
    def test_it_does_not_make_changes_by_others_seen(self) -> None:
        self.create(self.uma)
        users.log_in(self.connection, "uma", PASSWORD)
        self.assertEqual(self.rows("SELECT seen_history_id FROM users WHERE username = 'uma'"), [(0,)])

    def test_a_deactivated_account_is_let_in_by_no_password(self) -> None:
        self.deactivate(self.anna, "uma")
        with self.assertRaises(AuthenticationError):
            users.log_in(self.connection, "uma", PASSWORD)

    def test_an_account_without_a_password_is_let_in_by_none(self) -> None:
        self.add_tom()
        for password in ("", "none", "\0" * 32, PASSWORD):
            with self.subTest(password=password), self.assertRaises(AuthenticationError):
                users.log_in(self.connection, "tom.o.brien", password)

    def test_the_audit_log_tells_the_operating_systems_user_and_the_ssh_client(self) -> None:
        self.run_as("uma", "Log out", "Exit", SSH_CLIENT="192.0.2.7 50000 22")
        log = self.rows("SELECT os_user <> '', ssh_client FROM audit_log ORDER BY id DESC LIMIT 1")
        self.assertEqual(log, [(1, "192.0.2.7")])

    def test_logins_and_failures_are_in_the_audit_log_without_a_secret(self) -> None:
        for name, password in (("uma", "wrong one"), ("my-secret-typed-too-early", "x")):
            with self.assertRaises(AuthenticationError):
                users.log_in(self.connection, name, password)
        log = self.rows("SELECT event, subject FROM audit_log ORDER BY id DESC LIMIT 2")
        self.assertEqual(log, [("login failed", "an unknown name"), ("login failed", "uma")])
        self.assertNotIn(PASSWORD, str(self.rows("SELECT * FROM audit_log")))


class SessionTest(AccountsTestCase):
    def test_a_new_password_ends_all_sessions_but_the_one_that_set_it(self) -> None:
        other = users.log_in(self.connection, "uma", PASSWORD)
        users.change_password(self.uma, PASSWORD, NEW)
        self.assertEqual(users.current_user(self.uma).username, "uma")
        with self.assertRaises(SessionEndedError):
            users.current_user(other)

    def test_a_one_time_password_opens_nothing_but_its_own_change(self) -> None:
        one_time = users.add_user(self.anna, "mia", Role.ADMIN)
        mia = users.log_in(self.connection, "mia", one_time)
        self.assertTrue(users.current_user(mia).must_change_password)
        with self.assertRaisesRegex(PermissionDeniedError, "one-time password"):
            users.list_users(mia)
        users.change_password(mia, one_time, NEW)
        self.assertEqual(users.list_users(mia)[1], 5)

    def test_it_does_not_outlive_a_deactivation(self) -> None:
        self.deactivate(self.anna, "uma")
        users.reactivate(self.anna, "uma")
        with self.assertRaises(SessionEndedError):
            users.current_user(self.uma)

    def test_a_damaged_account_is_named_with_the_way_out(self) -> None:
        self.connection.execute("PRAGMA ignore_check_constraints = ON")
        self.connection.execute("UPDATE users SET role = 'boss' WHERE username = 'uma'")
        with self.assertRaisesRegex(DamageError, "User uma is damaged .* Restore a backup"):
            users.current_user(self.uma)


class RightsTest(unittest.TestCase):
    def test_each_action_is_in_the_table_of_rights_as_the_readme_has_it(self) -> None:
        own = {Action.VIEW, Action.CHANGE_STATUS, Action.COMMENT}
        everybody = {Action.CREATE, Action.SUMMARY, Action.OWN_ACCOUNT}
        admins = {
            *(Action.DELETE, Action.RESTORE, Action.IMPORT, Action.SERVICE_TARGETS, Action.MANAGE_USERS),
            *(Action.BACK_UP, Action.AUDIT, Action.MAIL),
        }
        for action in Action:
            with self.subTest(action=action):
                user, manager, admin = (action.scopes[role] for role in Role)
                if action is Action.EDIT:
                    self.assertIs(user, Scope.OWN_UNFINISHED)
                else:
                    expected = Scope.OWN if action in own else Scope.ALL if action in everybody else Scope.NONE
                    self.assertIs(user, expected)
                self.assertIs(manager, Scope.NONE if action in admins else Scope.ALL)
                self.assertIs(admin, Scope.ALL)


class OwnAccountTest(AccountsTestCase):
    def test_the_current_password_is_needed_and_the_new_one_must_be_fit_and_new(self) -> None:
        for current, new, error in (
            ("wrong one", NEW, AuthenticationError),
            (PASSWORD, PASSWORD, InvalidInputError),
            (PASSWORD, "short", InvalidInputError),
        ):
            with self.subTest(new=new), self.assertRaises(error):
                users.change_password(self.uma, current, new)
        users.log_in(self.connection, "uma", PASSWORD)

    def test_an_email_is_one_plain_address_or_none(self) -> None:
        users.change_email(self.uma, "uma@example.org")
        for bad in ("a", "a@b", "a@b.c, d@e.f", "a@b.c\nBcc: d@e.f", "<a@b.c>", "ä@b.c", f"{'x' * 251}@b.c"):
            with self.subTest(bad=bad), self.assertRaises(InvalidInputError):
                users.change_email(self.uma, bad)
        self.assertEqual(users.current_user(self.uma).email, "uma@example.org")
        users.change_email(self.uma, None)
        self.assertIsNone(users.current_user(self.uma).email)


class ManageUsersTest(AccountsTestCase):
    def actions(self) -> List[Callable[[Session], object]]:
        return [
            lambda session: users.list_users(session),
            lambda session: users.add_user(session, "new", Role.USER),
            lambda session: users.change_person(session, "ugo", "Ugo Neri", None),
            lambda session: self.change_role(session, "ugo", Role.MANAGER),
            lambda session: users.reset_password(session, "ugo"),
            lambda session: self.deactivate(session, "ugo"),
            lambda session: users.reactivate(session, "ugo"),
            lambda session: users.unlock(session, "ugo"),
        ]

    def test_only_admins_manage_users(self) -> None:
        before = self.rows("SELECT * FROM users")
        for number, action in enumerate(self.actions()):
            for session in (self.uma, self.max):
                with self.subTest(action=number, session=session), self.assertRaises(PermissionDeniedError):
                    action(session)
        self.assertEqual(self.rows("SELECT * FROM users"), before)
        for action in self.actions():
            action(self.anna)

    def test_an_admin_who_is_demoted_or_deactivated_is_refused_at_once(self) -> None:
        other = self.session("eva", Role.ADMIN, ("anna", PASSWORD))
        self.change_role(self.anna, "eva", Role.MANAGER)
        for action in self.actions():
            with self.assertRaises(PermissionDeniedError):
                action(other)
        self.deactivate(self.anna, "eva")
        for action in self.actions():
            with self.assertRaises(SessionEndedError):
                action(other)

    def test_the_last_active_admin_is_neither_demoted_nor_deactivated(self) -> None:
        self.session("eva", Role.ADMIN, ("anna", PASSWORD))
        self.deactivate(self.anna, "eva")
        with self.assertRaisesRegex(PermissionDeniedError, "last active admin"):
            self.change_role(self.anna, "anna", Role.USER)
        with self.assertRaisesRegex(PermissionDeniedError, "last active admin"):
            self.deactivate(self.anna, "anna")
        users.reactivate(self.anna, "eva")
        self.change_role(self.anna, "anna", Role.USER)

    def test_a_deactivated_admin_may_be_demoted(self) -> None:
        self.session("eva", Role.ADMIN, ("anna", PASSWORD))
        self.deactivate(self.anna, "eva")
        self.change_role(self.anna, "eva", Role.USER)
        self.assertEqual(users.find(self.connection, "eva").role, Role.USER)

    def test_unknown_names_and_what_stands_already_are_refused(self) -> None:
        for call in (
            lambda: self.change_role(self.anna, "ghost", Role.USER),
            lambda: self.change_role(self.anna, "uma", Role.USER),
            lambda: users.reset_password(self.anna, "ghost"),
            lambda: self.deactivate(self.anna, "ghost"),
            lambda: users.reactivate(self.anna, "uma"),
            lambda: users.add_user(self.anna, "uma", Role.USER),
            lambda: users.add_user(self.anna, "me", Role.USER),
            lambda: users.change_person(self.anna, "ghost", None, None),
            lambda: users.change_person(self.anna, "uma", "x" * 101, None),
            lambda: users.change_person(self.anna, "uma", None, "no address"),
        ):
            with self.assertRaises(InvalidInputError):
                call()

    def test_each_change_of_an_account_is_in_the_audit_log(self) -> None:
        (last,) = self.rows("SELECT max(id) FROM audit_log")
        for action in self.actions():
            action(self.anna)
        events = [row[0] for row in self.rows("SELECT event FROM audit_log WHERE id > ? AND user_id = 1", *last)]
        self.assertEqual(
            ", ".join(map(str, events)),
            "user added, name changed, role changed, password reset, deactivated, reactivated, unlocked",
        )

    def test_a_name_and_an_email_are_changed_and_emptied(self) -> None:
        users.change_person(self.anna, "uma", "  Uma\n Berg ", "uma@example.org")
        uma = users.find(self.connection, "uma")
        self.assertEqual((uma.name, uma.email), ("Uma Berg", "uma@example.org"))
        users.change_person(self.anna, "uma", None, None)
        uma = users.find(self.connection, "uma")
        self.assertEqual((uma.name, uma.email), (None, None))

    def test_those_who_can_log_in_are_listed_first_by_pages(self) -> None:
        self.add_tom()
        self.deactivate(self.anna, "max")
        seen: List[ListedUser] = []
        while True:
            page, total = users.list_users(self.anna, seen[-1] if seen else None, 2)
            self.assertEqual(total, 5)
            if not page:
                break
            seen += page
        self.assertEqual(" ".join(each.user.username for each in seen), "anna ugo uma max tom.o.brien")

    def test_each_state_is_told_in_words(self) -> None:
        self.add_tom()
        users.reset_password(self.anna, "ugo")
        self.deactivate(self.anna, "max")
        for _ in range(5):
            with self.assertRaises(AuthenticationError):
                users.log_in(self.connection, "uma", "not the one")
        self.assertEqual(
            self.states(),
            {
                "anna": "active",
                "max": "deactivated",
                "tom.o.brien": "no password",
                "ugo": "one-time password",
                "uma": "locked for 1m",
            },
        )
        users.unlock(self.anna, "uma")
        self.assertEqual(self.states()["uma"], "active")

    def test_an_account_without_a_password_that_is_reactivated_needs_one(self) -> None:
        self.add_tom()
        self.deactivate(self.anna, "tom.o.brien")
        users.reactivate(self.anna, "tom.o.brien")
        self.assertEqual(self.states()["tom.o.brien"], "no password: choose Reset password")
        users.reset_password(self.anna, "tom.o.brien")
        self.assertEqual(self.states()["tom.o.brien"], "one-time password")

    def test_two_admins_who_demote_each_other_leave_one(self) -> None:
        self.session("eva", Role.ADMIN, ("anna", PASSWORD))
        refused = []

        def demote(by: int, username: str) -> None:
            connection = database.connect(self.path)
            try:
                with transaction(connection):
                    users.change_role(Session(connection, by, 1), username, Role.USER)
            except PermissionDeniedError as error:
                refused.append(error)
            finally:
                connection.close()

        threads = [threading.Thread(target=demote, args=each) for each in ((1, "eva"), (5, "anna"))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(len(refused), 1)
        self.assertEqual(self.rows("SELECT count(*) FROM users WHERE role = 'admin'"), [(1,)])


class CallerTest(AccountsTestCase):
    """An account without a password, whose person can be a requester."""

    def test_it_is_a_user_with_a_name_and_an_email_and_is_audited(self) -> None:
        self.assertEqual(self.add_tom(), "tom.o.brien")
        tom = users.find(self.connection, "tom.o.brien", People.REQUESTERS)
        self.assertEqual((tom.name, tom.email), ("Tom O'Brien", "tom@example.org"))
        self.assertEqual((tom.role, tom.is_active, tom.has_password), (Role.USER, True, False))
        log = self.rows("SELECT event, subject, subject_id FROM audit_log ORDER BY id DESC LIMIT 1")
        self.assertEqual(log, [("user added", "tom.o.brien without a password", tom.id)])

    def test_only_managers_and_admins_add_one(self) -> None:
        with self.assertRaises(PermissionDeniedError):
            users.add_caller(self.uma, "Tom O'Brien", None)
        self.assertEqual(users.add_caller(self.anna, "Tom O'Brien", None), "tom.o.brien")

    def test_what_is_no_name_or_email_is_refused(self) -> None:
        for name, email in (("", None), ("x" * 101, None), ("a\0b", None), ("Tom", "no address")):
            with self.subTest(name=name, email=email), self.assertRaises(InvalidInputError):
                users.add_caller(self.max, name, email)
        self.assertEqual(users.list_users(self.anna)[1], 4)

    def test_a_username_is_made_from_any_name_and_never_taken_twice(self) -> None:
        made = {
            "Tom O'Brien": "tom.o.brien",
            "Tom O’Brien": "tom.o.brien.2",
            "tom o brien": "tom.o.brien.3",
            "Łukasz Żółć": "lukasz.zolc",
            "Jürgen Groß": "jurgen.gross",
            "王小明": "person.1",
            "Иван Петров": "person.2",
            "X": "person.3",
            "Me": "person.4",
            "Uma": "uma.2",
            "y" * 40: "y" * 28,
            "y" * 50: "y" * 28 + ".2",
        }
        self.assertEqual({name: users.add_caller(self.max, name, None) for name in made}, made)

    def test_its_role_cannot_be_changed_before_it_has_a_password(self) -> None:
        self.add_tom()
        with self.assertRaisesRegex(InvalidInputError, "choose Reset password"):
            self.change_role(self.anna, "tom.o.brien", Role.ADMIN)
        one_time = users.reset_password(self.anna, "tom.o.brien")
        users.log_in(self.connection, "tom.o.brien", one_time)
        self.change_role(self.anna, "tom.o.brien", Role.ADMIN)

    def test_nobody_registers_as_one(self) -> None:
        self.add_tom()
        with self.assertRaisesRegex(InvalidInputError, "taken"):
            users.register(self.connection, "tom.o.brien", PASSWORD, Role.USER)


class PeopleTest(AccountsTestCase):
    def parse(self, session: Session, text: str, people: People = People.EVERYBODY) -> str:
        return users.parse_person(session, text, people)

    def test_a_username_its_beginning_me_and_a_name_mean_somebody_in_any_case(self) -> None:
        self.add_tom()
        for text, username in (
            *(("UMA", "uma"), ("ug", "ugo"), ("Me", "max"), ("tom", "tom.o.brien")),
            *(("tom o'brien", "tom.o.brien"), ("Tom O’BRIEN", "tom.o.brien"), ("tom o", "tom.o.brien")),
        ):
            with self.subTest(text=text):
                self.assertEqual(self.parse(self.max, text), username)

    def test_a_name_in_any_script_is_understood(self) -> None:
        for name in ("Łukasz Lis", "王小明", "Иван Петров"):
            username = users.add_caller(self.max, name, None)
            with self.subTest(name=name):
                self.assertEqual(self.parse(self.max, name.upper()), username)
                self.assertEqual(self.parse(self.max, name[:2]), username)

    def test_a_text_that_can_be_several_people_is_refused_with_them(self) -> None:
        with self.assertRaisesRegex(InvalidInputError, "u can be any of ugo, uma"):
            self.parse(self.max, "u")
        for _ in range(2):
            users.add_caller(self.max, "Tom Berg", None)
        with self.assertRaisesRegex(InvalidInputError, "tom.berg, tom.berg.2"):
            self.parse(self.max, "Tom Berg")
        self.assertEqual(self.parse(self.max, "tom.berg"), "tom.berg")

    def test_nobody_of_that_name_is_an_error_of_its_own(self) -> None:
        for people in People:
            with self.subTest(people=people), self.assertRaises(UnknownPersonError):
                self.parse(self.anna, "ghost", people)

    def test_an_assignee_is_an_active_manager_or_admin(self) -> None:
        self.assertEqual(self.parse(self.max, "a", People.ASSIGNEES), "anna")
        with self.assertRaisesRegex(InvalidInputError, "uma is not"):
            self.parse(self.max, "uma", People.ASSIGNEES)
        with self.assertRaises(UnknownPersonError):
            self.parse(self.max, "um", People.ASSIGNEES)

    def test_a_deactivated_person_is_no_requester_but_still_found_by_a_filter(self) -> None:
        self.deactivate(self.anna, "ugo")
        with self.assertRaisesRegex(InvalidInputError, "deactivated"):
            self.parse(self.max, "ugo", People.REQUESTERS)
        self.assertEqual(self.parse(self.max, "u", People.REQUESTERS), "uma")
        self.assertEqual(self.parse(self.max, "ugo"), "ugo")

    def test_an_active_person_is_preferred_to_a_deactivated_one_of_the_same_name(self) -> None:
        for _ in range(2):
            users.add_caller(self.max, "Tom Berg", None)
        self.deactivate(self.anna, "tom.berg")
        self.assertEqual(self.parse(self.max, "Tom Berg", People.REQUESTERS), "tom.berg.2")

    def test_only_those_who_may_act_on_the_answer_have_it_parsed(self) -> None:
        for text in ("me", "uma", "max", "ghost"):
            for people in (People.REQUESTERS, People.ASSIGNEES):
                with self.subTest(text=text, people=people), self.assertRaises(PermissionDeniedError):
                    self.parse(self.uma, text, people)
        self.change_role(self.anna, "max", Role.USER)
        with self.assertRaises(PermissionDeniedError):
            self.parse(self.max, "me", People.ASSIGNEES)

    def test_whose_session_has_ended_has_nothing_parsed_any_more(self) -> None:
        self.deactivate(self.anna, "max")
        for people in People:
            with self.subTest(people=people), self.assertRaises(SessionEndedError):
                self.parse(self.max, "me", people)

    def test_a_user_learns_nothing_about_accounts(self) -> None:
        self.assertEqual([self.parse(self.uma, text) for text in ("ME", "Ugo", "ghost")], ["uma", "ugo", "ghost"])
        with self.assertRaisesRegex(InvalidInputError, "A username has"):
            self.parse(self.uma, "Tom O'Brien")
        self.assertEqual([person.username for person in users.list_people(self.uma, People.EVERYBODY)], ["uma"])
        with self.assertRaises(PermissionDeniedError):
            users.list_people(self.uma, People.ASSIGNEES)

    def test_people_are_listed_with_their_names_those_with_a_password_first(self) -> None:
        self.add_tom()
        listed = [person.label for person in users.list_people(self.max, People.REQUESTERS)]
        self.assertEqual(listed, ["anna", "max", "ugo", "uma", "tom.o.brien (Tom O'Brien)"])
        self.assertEqual([person.username for person in users.list_people(self.max, People.ASSIGNEES)], ["anna", "max"])
        self.assertEqual(len(users.list_people(self.max, People.EVERYBODY, 2)), 2)


class AuditTest(AccountsTestCase):
    def test_an_account_finds_what_it_did_and_what_was_done_to_it(self) -> None:
        self.change_role(self.anna, "ugo", Role.MANAGER)
        with self.assertRaises(AuthenticationError):
            users.log_in(self.connection, "ugo", "wrong")
        about = users.audit_log(self.anna, AuditFilter(username="ugo"), None, 3)
        self.assertEqual(
            [(entry.event, entry.username) for entry in about],
            [("login failed", ""), ("role changed", "anna"), ("logged in", "ugo")],
        )

    def test_it_is_found_by_account_and_kind_and_page(self) -> None:
        for _ in range(3):
            users.log_in(self.connection, "uma", PASSWORD)
        own = AuditFilter("uma", "logged in")
        first, second = users.audit_log(self.anna, own, None, 2)
        rest = users.audit_log(self.anna, own, second.id, 9)
        self.assertEqual([first.username, len(rest)], ["uma", 2])
        self.assertEqual(users.get_audit_entry(self.anna, first.id), first)
        self.assertEqual(users.audit_events(self.anna), ["logged in", "registered", "registration approved"])
        with self.assertRaises(InvalidInputError):
            users.get_audit_entry(self.anna, 9999)

    def test_an_account_is_found_by_its_id_and_not_by_the_first_word_of_a_text(self) -> None:
        self.session("there", Role.USER)
        users.record_refusal(self.uma, "there is no work order #7.")
        entries = users.audit_log(self.anna, AuditFilter("there"), None, 9)
        self.assertEqual([entry.event for entry in entries], ["logged in", "registered"])

    def test_a_refused_approval_is_on_record_with_whom_was_asked(self) -> None:
        for approval in (("max", PASSWORD), ("anna", "wrong"), ("not known", "x")):
            with self.assertRaises(AuthenticationError):
                users.register(self.connection, "eve", PASSWORD, Role.ADMIN, approval)
        log = self.rows("SELECT subject FROM audit_log WHERE event = 'approval failed' ORDER BY id")
        self.assertEqual(
            log, [("max for eve as admin",), ("anna for eve as admin",), ("an unknown name for eve as admin",)]
        )

    def test_only_admins_see_it(self) -> None:
        for session in (self.uma, self.max):
            for call in (
                lambda session=session: users.audit_log(session, AuditFilter(), None, 10),
                lambda session=session: users.audit_events(session),
                lambda session=session: users.get_audit_entry(session, 1),
            ):
                with self.assertRaises(PermissionDeniedError):
                    call()

    def test_neither_ledger_can_be_changed(self) -> None:
        self.create(self.uma)
        for table in ("audit_log", "work_order_history"):
            for sql in (f"UPDATE {table} SET user_id = 4", f"DELETE FROM {table}"):
                with self.subTest(sql=sql), self.assertRaises(sqlite3.IntegrityError):
                    self.connection.execute(sql)

    def test_a_change_is_recorded_whole(self) -> None:
        row = self.create(self.uma)
        with transaction(self.connection):
            at = database.now()
            entry = users.record_change(self.connection, row.id, 2, at, "status", "Open", "On Hold", "parts", 15, True)
        columns = "work_order_id, user_id, changed_at, field, old_value, new_value, note, minutes, is_imported"
        written = self.rows(f"SELECT {columns} FROM work_order_history WHERE id = ?", entry)
        self.assertEqual(written, [(row.id, 2, at, "status", "Open", "On Hold", "parts", 15, 1)])

    def test_every_kind_of_doing_leaves_its_row_and_none_a_secret(self) -> None:
        order = self.create(self.uma)
        work_order.delete(self.anna, order.id)
        work_order.restore(self.anna, order.id)
        one_time = users.add_user(self.anna, "mia", Role.USER)
        users.change_email(self.uma, "uma@example.org")
        users.back_up(self.anna)
        users.check_database(self.anna)
        with self.assertRaises(AuthenticationError):
            users.register(self.connection, "eve", PASSWORD, Role.ADMIN, ("anna", "my wrong guess"))
        text = str(self.rows("SELECT * FROM audit_log"))
        for event in (
            *("deleted", "restored", "user added", "email changed", "backed up", "database checked"),
            *("approval failed", "registered", "logged in"),
        ):
            self.assertIn(event, text)
        for secret in (PASSWORD, one_time, "my wrong guess"):
            self.assertNotIn(secret, text)

    def test_only_admins_back_up_and_check(self) -> None:
        for session in (self.uma, self.max):
            for call in (users.back_up, users.check_database):
                with self.assertRaises(PermissionDeniedError):
                    call(session)
        self.assertEqual(users.check_database(self.anna), [])


class SetPasswordTest(AccountsTestCase):
    """`python users.py NAME`, for whoever may write the database file."""

    def set_password(self, *arguments: str, answer: str = NEW) -> Ended:
        return run(self.path, answer, arguments=arguments, program=ROOT / "users.py")

    def test_whoever_owns_the_file_sets_a_new_password_which_is_on_record(self) -> None:
        for _ in range(5):
            with self.assertRaises(AuthenticationError):
                users.log_in(self.connection, "anna", "forgotten")
        ended = self.set_password("Anna")
        self.assertEqual((ended.output, ended.code), ("Password of user anna set.\n", 0))
        users.log_in(self.connection, "anna", NEW)
        with self.assertRaises(SessionEndedError):
            users.current_user(self.anna)
        event = "SELECT subject FROM audit_log WHERE event = 'password set from outside'"
        self.assertEqual(self.rows(event), [("anna",)])

    def test_what_it_refuses_changes_nothing(self) -> None:
        before = self.rows("SELECT * FROM users")
        cases: Tuple[Tuple[Tuple[str, ...], str, int], ...] = (
            (("ghost",), NEW, 1),
            (("anna",), "short", 1),
            (("anna",), "", 1),
            ((), "", 2),
            (("anna", "uma"), "", 2),
            (("--help",), "", 2),
        )
        for arguments, answer, code in cases:
            with self.subTest(arguments=arguments, answer=answer):
                ended = self.set_password(*arguments, answer=answer)
                self.assertEqual((ended.code, ended.output.count("\n")), (code, 1))
        self.assertEqual(self.rows("SELECT * FROM users"), before)

    @unittest.skipIf(os.name == "nt", "needs a POSIX shell")
    def test_no_end_of_input_strange_name_or_closed_output_is_a_traceback(self) -> None:
        program = f'"{sys.executable}" "{ROOT / "users.py"}"'
        for shell in (
            f"{program} anna <&-",
            f"{program} $'\\xff'",
            f"{program} $(printf '\\033[31m')",
            f"{program} anna >&-",
        ):
            with self.subTest(shell=shell):
                ended = run_command(["sh", "-c", shell], b"", environment(self.path))
                self.assertNotIn("Traceback", ended.output)
                self.assertNotIn("\x1b", ended.output)
                self.assertEqual(ended.code, 1)

    def test_it_makes_no_database(self) -> None:
        missing = self.folder / "missing.db"
        self.assertEqual(run(missing, "x", arguments=["anna"], program=ROOT / "users.py").code, 1)
        self.assertFalse(missing.exists())


if __name__ == "__main__":
    unittest.main()
