"""Accounts: registration, sessions, people, what an admin does with accounts, and the audit log."""

import os
import sys
import unittest
from typing import Callable, Tuple

from support import PASSWORD, ROOT, DatabaseTestCase, environment, run_command

import users
import work_order
from users import AuditFilter, AuthenticationError, InvalidInputError, People, Role, SessionEndedError


class AccountTest(DatabaseTestCase):
    def test_a_username_is_folded_and_what_is_none_or_taken_is_refused(self) -> None:
        users.add_caller(self.max, "Tom O'Brien", None)
        ada = users.register(self.connection, "Ada.Love-lace_1", PASSWORD, Role.USER).username
        self.assertEqual(ada, "ada.love-lace_1")
        unfit = ("", "a", "a" * 33, "a b", "ä1", "a\n", "a/b", "\u212aim", "me", "NOBODY", "none", "any")
        for username in (*unfit, "UMA", "tom.o.brien"):
            with self.subTest(username=username), self.assertRaises(InvalidInputError):
                users.register(self.connection, username, PASSWORD, Role.USER)

    def test_another_role_takes_an_active_admin_who_knows_the_password_as_long_as_there_is_one(self) -> None:
        one_time = users.add_user(self.anna, "eva", Role.ADMIN)
        users.register(self.connection, "old", PASSWORD, Role.ADMIN, ("anna", PASSWORD))
        work_order.deactivate(self.anna, "old")
        wrong = (("anna", "wrong"), ("max", PASSWORD), ("ghost", PASSWORD), ("old", PASSWORD), ("eva", one_time))
        for approval in (None, *wrong):
            with self.subTest(approval=approval), self.assertRaises(AuthenticationError):
                users.register(self.connection, "eve", PASSWORD, Role.MANAGER, approval)
        log = self.rows("SELECT subject FROM audit_log WHERE event = 'approval failed' ORDER BY id")
        names = ("nobody", "anna", "max", "an unknown name", "old", "eva")
        self.assertEqual(log, [(f"{name} for eve as manager",) for name in names])
        self.connection.execute("UPDATE users SET is_active = 0 WHERE role = 'admin'")
        users.register(self.connection, "eve", PASSWORD, Role.ADMIN)

    def test_an_email_is_one_plain_address_or_none(self) -> None:
        users.change_email(self.uma, "uma@example.org")
        for bad in ("a", "a@b", "a@b.c, d@e.f", "a@b.c\nBcc: d@e.f", "<a@b.c>", "ä@b.c", f"{'x' * 251}@b.c"):
            with self.subTest(bad=bad), self.assertRaises(InvalidInputError):
                users.change_email(self.uma, bad)
        self.assertEqual(users.current_user(self.uma).email, "uma@example.org")

    def test_the_last_active_admin_is_neither_demoted_nor_deactivated(self) -> None:
        self.session("eva", Role.ADMIN, ("anna", PASSWORD))
        work_order.deactivate(self.anna, "eva")
        with self.assertRaisesRegex(users.PermissionDeniedError, "last active admin"):
            work_order.change_role(self.anna, "anna", Role.USER)
        with self.assertRaisesRegex(users.PermissionDeniedError, "last active admin"):
            work_order.deactivate(self.anna, "anna")
        work_order.change_role(self.anna, "eva", Role.USER)

    def test_names_that_are_unknown_or_unfit_and_what_stands_already_are_refused(self) -> None:
        work_order.deactivate(self.anna, "ugo")
        calls: Tuple[Callable[[], object], ...] = (
            lambda: work_order.change_role(self.anna, "uma", Role.USER),
            lambda: work_order.deactivate(self.anna, "ugo"),
            lambda: users.reactivate(self.anna, "uma"),
            lambda: users.add_user(self.anna, "me", Role.USER),
            lambda: users.change_person(self.anna, users.current_user(self.uma), "x" * 101, None),
            lambda: users.change_person(self.anna, users.current_user(self.uma), None, "no address"),
            lambda: users.add_caller(self.max, "a\0b", None),
            lambda: users.add_caller(self.max, "Tom", "no address"),
        )
        for number, call in enumerate(calls):
            with self.subTest(number=number):
                self.assertRaises(InvalidInputError, call)

    def test_accounts_are_listed_with_their_states_those_who_can_log_in_first_by_pages(self) -> None:
        users.add_caller(self.max, "Tom", None)
        work_order.deactivate(self.anna, users.add_caller(self.max, "Zoe", None))
        users.reactivate(self.anna, "zoe")
        users.reset_password(self.anna, "ugo")
        work_order.deactivate(self.anna, "max")
        for _ in range(5):
            self.assertRaises(AuthenticationError, users.log_in, self.connection, "uma", "not the one")
        first, total = users.list_users(self.anna, None, 3)
        second, _ = users.list_users(self.anna, first[-1], 9)
        self.assertEqual(
            "; ".join(f"{listed.user.username}: {listed.state}" for listed in (*first, *second)),
            "anna: active; ugo: one-time password; uma: locked for 1m; max: deactivated; tom: no password; "
            "zoe: no password: choose Reset password",
        )
        self.assertEqual(total, 6)

    def test_no_password_lets_in_an_account_without_one_and_it_has_no_other_role_before_it_has_one(self) -> None:
        self.assertEqual(users.add_caller(self.max, " Tom\n  O'Brien ", "tom@example.org"), "tom.o.brien")
        tom = users.find(self.connection, "tom.o.brien")
        self.assertEqual((tom.name, tom.email, tom.role), ("Tom O'Brien", "tom@example.org", Role.USER))
        for password in ("", "none", "\0" * 32, PASSWORD):
            with self.subTest(password=password), self.assertRaises(AuthenticationError):
                users.log_in(self.connection, "tom.o.brien", password)
        with self.assertRaisesRegex(InvalidInputError, "choose Reset password"):
            work_order.change_role(self.anna, "tom.o.brien", Role.ADMIN)
        users.reset_password(self.anna, "tom.o.brien")
        work_order.change_role(self.anna, "tom.o.brien", Role.ADMIN)

    def test_a_username_is_made_from_any_name_and_never_taken_twice(self) -> None:
        for name, username in (
            *(("Tom O'Brien", "tom.o.brien"), ("Tom O’Brien", "tom.o.brien.2"), ("tom o brien", "tom.o.brien.3")),
            *(("Łukasz Żółć", "lukasz.zolc"), ("Jürgen Groß", "jurgen.gross"), ("Uma", "uma.2"), ("X", "person.1")),
            *(("Me", "person.2"), ("王小明", "person.3"), ("y" * 40, "y" * 28), ("y" * 50, "y" * 28 + ".2")),
        ):
            with self.subTest(name=name):
                self.assertEqual(users.add_caller(self.max, name, None), username)


class PeopleTest(DatabaseTestCase):
    """Whom a text means, and who learns that, where ugo and the first of two Tom Bergs are deactivated."""

    def setUp(self) -> None:
        super().setUp()
        for name in ("Tom O'Brien", "Łukasz Lis", "王小明", "Tom Berg", "Tom Berg", "Tom Berger"):
            users.add_caller(self.max, name, None)
        for username in ("ugo", "tom.berg"):
            work_order.deactivate(self.anna, username)

    def test_a_username_a_name_in_any_script_the_beginning_of_one_and_me_mean_somebody_who_can_be_meant(self) -> None:
        for text, people, username in (
            *(("UMA", People.EVERYBODY, "uma"), ("ug", People.EVERYBODY, "ugo"), ("Me", People.EVERYBODY, "max")),
            *(("tom o'brien", People.EVERYBODY, "tom.o.brien"), ("TOM O’", People.EVERYBODY, "tom.o.brien")),
            *(("ŁUKASZ LIS", People.EVERYBODY, "lukasz.lis"), ("王小", People.EVERYBODY, "person.1")),
            *(("tom.berg", People.EVERYBODY, "tom.berg"), ("TOM BERG", People.REQUESTERS, "tom.berg.2")),
            *(("u", People.REQUESTERS, "uma"), ("a", People.ASSIGNEES, "anna")),
        ):
            with self.subTest(text=text, people=people):
                self.assertEqual(users.parse_person(self.max, text, people), username)

    def test_whoever_cannot_be_meant_is_refused_with_the_reason(self) -> None:
        for text, people, reason in (
            *(("u", People.EVERYBODY, "u can be any of ugo, uma"), ("Tom Berg", People.EVERYBODY, "berg, tom.berg.2")),
            *(("uma", People.ASSIGNEES, "uma is not"), ("um", People.ASSIGNEES, "There is no user um")),
            *(("ugo", People.REQUESTERS, "ugo is deactivated"), ("ghost", People.EVERYBODY, "There is no user ghost")),
        ):
            with self.subTest(text=text, people=people), self.assertRaisesRegex(InvalidInputError, reason):
                users.parse_person(self.max, text, people)

    def test_a_user_learns_nothing_about_accounts(self) -> None:
        for text, username in (("ME", "uma"), ("Anna", "anna"), ("ghost", "ghost"), ("um", "um")):
            self.assertEqual(users.parse_person(self.uma, text, People.EVERYBODY), username)
        self.assertEqual([person.username for person in users.list_people(self.uma, People.EVERYBODY)], ["uma"])

    def test_people_are_listed_with_their_names_those_with_a_password_first(self) -> None:
        listed = [work_order.describe_person(*person) for person in users.list_people(self.max, People.REQUESTERS, 4)]
        self.assertEqual(listed, ["anna", "max", "uma", "lukasz.lis (Łukasz Lis)"])
        self.assertEqual([person.username for person in users.list_people(self.max, People.ASSIGNEES)], ["anna", "max"])


class AuditTest(DatabaseTestCase):
    def test_each_change_of_an_account_is_recorded_and_no_secret(self) -> None:
        one_time = users.add_user(self.anna, "mia", Role.USER)
        for username in ("uma", "my-wrong-guess"):
            self.assertRaises(AuthenticationError, users.log_in, self.connection, username, "not the one")
        users.log_in(self.connection, "mia", one_time)
        users.add_caller(self.anna, "Tom", None)
        ugo = users.find(self.connection, "ugo")
        users.change_person(self.anna, ugo, "Ugo Neri", "ugo@example.org")
        self.assertRaises(users.ConflictError, users.change_person, self.anna, ugo, "Hugo", None)
        work_order.change_role(self.anna, "ugo", Role.MANAGER)
        work_order.deactivate(self.anna, "ugo")
        users.reactivate(self.anna, "ugo")
        self.assertRaises(SessionEndedError, users.current_user, self.ugo)
        users.reset_password(self.anna, "ugo")
        users.unlock(self.anna, "ugo")
        users.change_email(self.uma, "uma@example.org")
        users.check_database(self.anna)
        log = self.rows("SELECT event || ': ' || subject FROM audit_log WHERE id > 9 ORDER BY id")
        self.assertEqual(
            "; ".join(str(entry) for (entry,) in log),
            "user added: mia as user; login failed: uma; login failed: an unknown name; logged in: mia; "
            "user added: tom without a password; name changed: ugo; email changed: ugo; "
            "role changed: ugo from user to manager; deactivated: ugo; reactivated: ugo; password reset: ugo; "
            "unlocked: ugo; email changed: uma; database checked: ",
        )

    def test_it_is_found_by_account_whether_it_did_or_suffered_it_by_kind_and_by_page(self) -> None:
        self.session("there", Role.USER)
        work_order.change_role(self.anna, "there", Role.MANAGER)
        users.record_refusal(self.uma, "there is no work order #7.")
        found = users.audit_log(self.anna, AuditFilter("there"), None, 9)
        self.assertEqual([entry.event for entry in found], ["role changed", "logged in", "registered"])
        first, second = users.audit_log(self.anna, AuditFilter(event="logged in"), None, 2)
        rest = users.audit_log(self.anna, AuditFilter(event="logged in"), second.id, 9)
        self.assertEqual([entry.username for entry in (first, second, *rest)], ["there", "ugo", "uma", "max", "anna"])
        self.assertEqual(users.get_audit_entry(self.anna, first.id), first)
        self.assertRaises(InvalidInputError, users.get_audit_entry, self.anna, 9999)


class UsersProgramTest(DatabaseTestCase):
    def test_it_sets_a_password_at_the_cost_that_owasp_asks_for_and_that_is_on_record(self) -> None:
        command = [sys.executable, str(ROOT / "users.py"), "Anna"]
        ended = run_command(command, b"a new horse 7\n", environment(self.path))
        self.assertEqual((ended.output, ended.code), ("Password of user anna set.\n", 0))
        ((stored,),) = self.rows("SELECT password_hash FROM users WHERE username = 'anna'")
        self.assertRegex(str(stored), r"^\$scrypt\$ln=15,r=8,p=3\$[A-Za-z0-9+/]{22}\$[A-Za-z0-9+/]{43}$")
        users.log_in(self.connection, "anna", "a new horse 7")
        log = self.rows("SELECT event, subject FROM audit_log ORDER BY id DESC LIMIT 2")
        self.assertEqual(log, [("logged in", "anna"), ("password set from outside", "anna")])

    @unittest.skipIf(os.name == "nt", "needs a POSIX shell")
    def test_what_it_refuses_changes_nothing_and_is_told_in_one_line(self) -> None:
        content, program = self.path.read_bytes(), f'"{sys.executable}" "{ROOT / "users.py"}"'
        missing = self.folder / "missing.db"
        for path, arguments, code in (
            *((self.path, "", 2), (self.path, "anna uma", 2), (self.path, "--help", 2), (self.path, "anna", 1)),
            *((self.path, "anna <&-", 1), (self.path, "anna >&-", 1), (self.path, "$(printf '\\033[31m\\377')", 1)),
            (missing, "anna", 1),
        ):
            with self.subTest(path=path, arguments=arguments):
                ended = run_command(["sh", "-c", f"{program} {arguments}"], b"short\n", environment(path))
                self.assertRegex(ended.output, r"^[^\x1b\n]*\n?\Z")
                self.assertEqual(ended.code, code)
        self.assertEqual(self.path.read_bytes(), content)
        self.assertFalse(missing.exists())
