"""Accounts: registration, passwords, sessions, roles, and what an admin does with them."""

import hashlib
import sys
import threading
import unittest
from typing import Callable, List
from unittest import mock

from support import PASSWORD, ROOT, DatabaseTestCase, environment, run, run_command

import database
import users
from users import (
    AuthenticationError,
    InvalidInputError,
    PermissionDeniedError,
    Role,
    Session,
    SessionEndedError,
)


class UsernameTest(unittest.TestCase):
    def test_it_is_folded_to_lower_case(self) -> None:
        self.assertEqual(users.parse_username("Ada.Love-lace_1"), "ada.love-lace_1")

    def test_what_is_no_username_is_refused(self) -> None:
        for bad in ("", "a", "a" * 33, "a b", "ä1", "a\n", "a/b", "\u212aim", "me", "NOBODY", "none", "any"):
            with self.subTest(bad=bad), self.assertRaises(InvalidInputError):
                users.parse_username(bad)


class PasswordTest(unittest.TestCase):
    def assert_refused(self, *passwords: str) -> None:
        for password in passwords:
            with self.subTest(password=password), self.assertRaises(InvalidInputError):
                users.parse_password(password, "alice")

    def test_a_good_one_is_taken_whole_with_its_spaces(self) -> None:
        for good in (
            PASSWORD,
            "  two spaces  ",
            "pässwörter sind lang",
            "x7" + "ab9" * 340,
            "correct-horse-1",
            "83920174",
        ):
            with self.subTest(password=good):
                self.assertEqual(users.parse_password(good, "alice"), good)

    def test_its_length_counts_in_bytes(self) -> None:
        self.assertEqual(users.parse_password("äöüß", "alice"), "äöüß")
        self.assert_refused("", "seven77", "äöü", "x7" + "a9b" * 341)

    def test_unprintable_characters_are_refused(self) -> None:
        self.assert_refused("tab\there it is", "bell\x07 rings here", "null\0 is not it")

    def test_common_ones_are_refused_however_they_are_decorated(self) -> None:
        self.assert_refused(
            *("Password123!", "w3lcome2026", "P@$$w0rd", "12qwerty!!", "1qaz2wsx", "Dr4g0n99"),
            *(
                "admin2026",
                "$unshine123!",
                "letmein!!",
                "qwertyuiop",
                "1q2w3e4r5t",
                "iloveyou",
                "trustno1",
                "HelpDesk#1",
            ),
        )

    def test_one_repeated_or_running_sequence_is_refused(self) -> None:
        self.assert_refused(
            "aaaaaaaa", "abcabcabc", "xyzwxyzw", "12345678", "1234567890", "87654321", "abcdefgh", "zyxwvuts"
        )

    def test_keyboard_runs_and_disguised_names_are_refused(self) -> None:
        self.assert_refused("!QAZ2wsx", "zaq1@WSX", "qwer1234", "!@#$%^&*", "aaaaaaab", "11112222", "1q2w3e4r5t6y")
        self.assert_refused("W0rk0rder!!", "@l1ce.is.here", "management1")

    def test_the_username_and_the_programs_name_are_refused(self) -> None:
        self.assert_refused("my-Alice-is-long", "work order 77", "WorkOrder2026", "my_work_order_x")


class RegisterTest(DatabaseTestCase):
    def test_it_stores_a_salted_scrypt_hash_at_the_cost_that_owasp_asks_for(self) -> None:
        users.SCRYPT_LOG_N = 15
        self.addCleanup(setattr, users, "SCRYPT_LOG_N", 4)
        for username in ("ada", "bea"):
            users.register(self.connection, username, PASSWORD, Role.USER)
        hashes = [str(row[0]) for row in self.rows("SELECT password_hash FROM users WHERE id > 4")]
        self.assertRegex(hashes[0], r"^\$scrypt\$ln=15,r=8,p=3\$[A-Za-z0-9+/]{22}\$[A-Za-z0-9+/]{43}$")
        self.assertNotEqual(*hashes)

    def test_a_taken_name_is_refused_in_any_case(self) -> None:
        with self.assertRaisesRegex(InvalidInputError, "taken"):
            users.register(self.connection, "UMA", PASSWORD, Role.USER)

    def test_no_other_role_is_had_without_an_active_admin_who_knows_his_password(self) -> None:
        pending = users.add_user(self.anna, "eva", Role.ADMIN)
        users.register(self.connection, "old", PASSWORD, Role.ADMIN, ("anna", PASSWORD))
        users.deactivate(self.anna, "old")
        for approval in (
            None,
            ("anna", "wrong"),
            ("max", PASSWORD),
            ("ghost", PASSWORD),
            ("old", PASSWORD),
            ("eva", pending),
        ):
            for role in (Role.MANAGER, Role.ADMIN):
                with self.subTest(approval=approval, role=role), self.assertRaises(AuthenticationError):
                    users.register(self.connection, "eve", PASSWORD, role, approval)
        self.assertEqual(self.rows("SELECT * FROM users WHERE username = 'eve'"), [])

    def test_two_first_registrations_at_once_make_one_admin(self) -> None:
        path = self.folder / "new.db"
        database.connect(path, create=True).close()
        threads = [
            threading.Thread(target=run, args=(path, "Register", name, PASSWORD, "admin", "0"))
            for name in ("ada", "bea", "cleo")
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        connection = database.connect(path)
        self.addCleanup(connection.close)
        (admins,) = connection.execute("SELECT count(*) FROM users WHERE role = 'admin'").fetchone()
        self.assertEqual(admins, 1)


class LogInTest(DatabaseTestCase):
    def test_the_whole_password_counts_in_either_composition_of_an_accent(self) -> None:
        users.register(self.connection, "ada", "caf\u00e9 au lait", Role.USER)
        users.log_in(self.connection, "ada", "cafe\u0301 au lait")
        for wrong in ("caf\u00e9 au lai", "caf\u00e9 au lait ", "cafe au lait", "CAF\u00c9 AU LAIT", ""):
            with self.subTest(wrong=wrong), self.assertRaises(AuthenticationError):
                users.log_in(self.connection, "ada", wrong)

    def test_an_outdated_hash_is_replaced_and_the_password_still_fits(self) -> None:
        users.SCRYPT_LOG_N = 5
        self.addCleanup(setattr, users, "SCRYPT_LOG_N", 4)
        users.log_in(self.connection, "uma", PASSWORD)
        self.assertEqual(
            self.rows("SELECT password_hash LIKE '$scrypt$ln=5,%' FROM users WHERE username = 'uma'"), [(1,)]
        )
        users.log_in(self.connection, "uma", PASSWORD)

    def test_it_ends_no_session_when_the_hash_is_replaced(self) -> None:
        users.SCRYPT_LOG_N = 5
        self.addCleanup(setattr, users, "SCRYPT_LOG_N", 4)
        users.log_in(self.connection, "uma", PASSWORD)
        self.assertEqual(users.current_user(self.uma).username, "uma")

    def test_a_python_without_scrypt_uses_pbkdf2(self) -> None:
        code = (
            "import hashlib; del hashlib.scrypt\n"
            "import database, users\n"
            "users.PBKDF2_ITERATIONS = 1000\n"
            "connection = database.connect(database.default_path())\n"
            "users.register(connection, 'ada', 'battery horse 9', users.Role.USER)\n"
            "users.log_in(connection, 'ada', 'battery horse 9')\n"
            "try: users.log_in(connection, 'uma', 'battery horse 9')\n"
            "except users.AuthenticationError as error: print(error)\n"
        )
        variables = environment(self.path, PYTHONPATH=str(ROOT))
        output = run_command([sys.executable, "-c", code], b"", variables).output
        self.assertEqual(output, "This Python cannot check the stored password; an admin can reset it.\n")
        self.assertEqual(
            self.rows("SELECT password_hash LIKE '$pbkdf2-sha256$i=1000$%' FROM users WHERE username = 'ada'"), [(1,)]
        )
        users.log_in(self.connection, "ada", PASSWORD)

    def test_a_stored_hash_that_asks_for_too_much_is_refused_unread(self) -> None:
        for parameters in (
            "scrypt$ln=40,r=8,p=3",
            "scrypt$ln=15,r=99,p=3",
            "pbkdf2-sha256$i=99999999",
            "md5",
            "scrypt$x",
        ):
            with self.subTest(parameters=parameters), self.assertRaises(AuthenticationError):
                self.connection.execute(
                    "UPDATE users SET password_hash = ? WHERE username = 'uma'",
                    (f"${parameters}${'A' * 22}${'A' * 43}",),
                )
                users.log_in(self.connection, "uma", PASSWORD)

    def test_a_locked_or_garbled_stored_hash_is_refused_with_a_sentence(self) -> None:
        for stored in ("!", "*", "", "$scrypt$ln=4,r=8,p=3$====$!"):
            self.connection.execute("UPDATE users SET password_hash = ? WHERE username = 'uma'", (stored,))
            with self.subTest(stored=stored), self.assertRaisesRegex(AuthenticationError, "an admin can reset it"):
                users.log_in(self.connection, "uma", PASSWORD)

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


class WhileHashingTest(DatabaseTestCase):
    """A hash takes long enough for others to change the account: what counts is how it stands afterwards."""

    def meanwhile(self, *statements: str) -> "mock._patch[object]":
        scrypt = hashlib.scrypt

        def slow(*arguments: object, **options: object) -> bytes:
            for statement in statements:
                self.connection.execute(statement)
            return scrypt(*arguments, **options)  # type: ignore[arg-type]

        return mock.patch("hashlib.scrypt", slow)

    def test_a_login_is_refused_to_an_account_that_is_closed_or_has_a_new_password_by_then(self) -> None:
        for change in ("is_active = 0", "password_version = password_version + 1"):
            with self.subTest(change=change), self.meanwhile(f"UPDATE users SET {change} WHERE username = 'uma'"):
                with self.assertRaises(AuthenticationError):
                    users.log_in(self.connection, "uma", PASSWORD)
                self.connection.execute("UPDATE users SET is_active = 1")

    def test_an_approval_counts_only_from_one_who_still_is_an_active_admin(self) -> None:
        self.session("eva", Role.ADMIN, ("anna", PASSWORD))
        for change in ("role = 'user'", "is_active = 0", "password_version = password_version + 1"):
            with self.subTest(change=change), self.meanwhile(f"UPDATE users SET {change} WHERE username = 'anna'"):
                with self.assertRaises(AuthenticationError):
                    users.register(self.connection, "eve", PASSWORD, Role.ADMIN, ("anna", PASSWORD))
                self.connection.execute("UPDATE users SET role = 'admin', is_active = 1 WHERE username = 'anna'")

    def test_no_password_is_set_on_an_account_that_is_closed_by_then(self) -> None:
        closing = self.meanwhile("UPDATE users SET is_active = 0 WHERE username = 'uma'")
        with closing, self.assertRaises((AuthenticationError, SessionEndedError)):
            users.change_password(self.uma, PASSWORD, "a new horse 7")
        self.assertEqual(self.rows("SELECT password_version FROM users WHERE username = 'uma'"), [(1,)])

    def test_an_unknown_name_costs_as_much_as_a_wrong_password(self) -> None:
        costs = []
        for name in ("uma", "ghost"):
            with mock.patch.object(hashlib, "scrypt", wraps=hashlib.scrypt) as scrypt:
                with self.assertRaises(AuthenticationError):
                    users.log_in(self.connection, name, "not the one")
                costs.append([(call[1]["n"], call[1]["r"], call[1]["p"]) for call in scrypt.call_args_list])
        self.assertEqual(costs[0], costs[1])
        self.assertEqual(len(costs[0]), 1)


class SessionTest(DatabaseTestCase):
    def test_a_new_password_ends_all_sessions_but_the_one_that_set_it(self) -> None:
        other = users.log_in(self.connection, "uma", PASSWORD)
        users.change_password(self.uma, PASSWORD, "a new horse 7")
        self.assertEqual(users.current_user(self.uma).username, "uma")
        with self.assertRaises(SessionEndedError):
            users.current_user(other)

    def test_the_current_password_is_needed_and_the_new_one_must_be_fit_and_new(self) -> None:
        for current, new, error in (
            ("wrong one", "a new horse 7", AuthenticationError),
            (PASSWORD, PASSWORD, InvalidInputError),
            (PASSWORD, "short", InvalidInputError),
        ):
            with self.subTest(new=new), self.assertRaises(error):
                users.change_password(self.uma, current, new)
        users.log_in(self.connection, "uma", PASSWORD)

    def test_a_one_time_password_opens_nothing_but_its_own_change(self) -> None:
        one_time = users.add_user(self.anna, "mia", Role.ADMIN)
        mia = users.log_in(self.connection, "mia", one_time)
        self.assertTrue(users.current_user(mia).must_change_password)
        with self.assertRaisesRegex(PermissionDeniedError, "one-time password"):
            users.list_users(mia)
        users.change_password(mia, one_time, "a new horse 7")
        self.assertEqual(len(users.list_users(mia)), 5)

    def test_one_time_passwords_are_long_and_never_the_same(self) -> None:
        passwords = {users.reset_password(self.anna, "uma") for _ in range(20)}
        self.assertEqual(len(passwords), 20)
        self.assertTrue(all(len(password) >= 16 for password in passwords))


class ManageUsersTest(DatabaseTestCase):
    def actions(self) -> List[Callable[[Session], object]]:
        return [
            lambda session: users.list_users(session),
            lambda session: users.add_user(session, "new", Role.USER),
            lambda session: users.change_role(session, "ugo", Role.MANAGER),
            lambda session: users.reset_password(session, "ugo"),
            lambda session: users.deactivate(session, "ugo"),
            lambda session: users.reactivate(session, "ugo"),
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
        users.change_role(self.anna, "eva", Role.MANAGER)
        for action in self.actions():
            with self.assertRaises(PermissionDeniedError):
                action(other)
        users.deactivate(self.anna, "eva")
        for action in self.actions():
            with self.assertRaises(SessionEndedError):
                action(other)

    def test_the_last_active_admin_is_neither_demoted_nor_deactivated(self) -> None:
        self.session("eva", Role.ADMIN, ("anna", PASSWORD))
        users.deactivate(self.anna, "eva")
        with self.assertRaisesRegex(PermissionDeniedError, "last active admin"):
            users.change_role(self.anna, "anna", Role.USER)
        with self.assertRaisesRegex(PermissionDeniedError, "last active admin"):
            users.deactivate(self.anna, "anna")
        users.reactivate(self.anna, "eva")
        users.change_role(self.anna, "anna", Role.USER)

    def test_a_session_does_not_outlive_a_deactivation(self) -> None:
        users.deactivate(self.anna, "uma")
        users.reactivate(self.anna, "uma")
        with self.assertRaises(SessionEndedError):
            users.current_user(self.uma)

    def test_a_deactivated_admin_may_be_demoted(self) -> None:
        self.session("eva", Role.ADMIN, ("anna", PASSWORD))
        users.deactivate(self.anna, "eva")
        users.change_role(self.anna, "eva", Role.USER)
        self.assertEqual(users.find(self.connection, "eva").role, Role.USER)

    def test_unknown_names_and_what_stands_already_are_refused(self) -> None:
        for call in (
            lambda: users.change_role(self.anna, "ghost", Role.USER),
            lambda: users.change_role(self.anna, "uma", Role.USER),
            lambda: users.reset_password(self.anna, "ghost"),
            lambda: users.deactivate(self.anna, "ghost"),
            lambda: users.reactivate(self.anna, "uma"),
            lambda: users.add_user(self.anna, "uma", Role.USER),
            lambda: users.add_user(self.anna, "me", Role.USER),
        ):
            with self.assertRaises(InvalidInputError):
                call()

    def test_each_change_of_an_account_is_in_the_audit_log(self) -> None:
        for action in self.actions():
            action(self.anna)
        events = [row[0] for row in self.rows("SELECT event FROM audit_log WHERE id > 9 AND user_id = 1")]
        self.assertEqual(events, ["user added", "role changed", "password reset", "deactivated", "reactivated"])


class PeopleTest(DatabaseTestCase):
    def test_me_is_oneself_and_nobody_is_none_in_any_case_of_letters(self) -> None:
        self.assertEqual(users.parse_assignee(self.max, "Me"), "max")
        self.assertIsNone(users.parse_assignee(self.max, "NOBODY"))
        self.assertEqual(users.parse_requester(self.max, "ME"), "max")
        self.assertEqual(users.parse_requester(self.max, "UMA"), "uma")
        self.assertEqual(users.parse_user(self.anna, "me").username, "anna")
        self.assertEqual(users.parse_user(self.anna, "Uma").username, "uma")

    def test_only_those_who_may_act_on_the_answer_have_it_parsed(self) -> None:
        for text in ("me", "nobody", "uma", "max", "ghost"):
            for parse in (users.parse_assignee, users.parse_requester, users.parse_user):
                with self.subTest(text=text, parse=parse), self.assertRaises(PermissionDeniedError):
                    parse(self.uma, text)
            with self.subTest(text=text), self.assertRaises(PermissionDeniedError):
                users.parse_user(self.max, text)

    def test_who_is_demoted_has_nothing_parsed_any_more(self) -> None:
        parsers = (users.parse_assignee, users.parse_requester)
        for parse in parsers:
            parse(self.max, "me")
        users.change_role(self.anna, "max", Role.USER)
        for parse in parsers:
            with self.subTest(parse=parse), self.assertRaises(PermissionDeniedError):
                parse(self.max, "me")

    def test_an_admin_who_is_demoted_has_no_user_parsed_any_more(self) -> None:
        eva = self.session("eva", Role.ADMIN, ("anna", PASSWORD))
        users.parse_user(eva, "uma")
        users.change_role(self.anna, "eva", Role.MANAGER)
        with self.assertRaises(PermissionDeniedError):
            users.parse_user(eva, "uma")

    def test_whose_session_has_ended_has_nothing_parsed_any_more(self) -> None:
        users.deactivate(self.anna, "max")
        for parse in (users.parse_assignee, users.parse_requester, users.parse_user, users.parse_person):
            with self.subTest(parse=parse), self.assertRaises(SessionEndedError):
                parse(self.max, "me")

    def test_unknown_and_deactivated_people_are_refused(self) -> None:
        users.deactivate(self.anna, "ugo")
        for parse, text in (
            (users.parse_assignee, "ghost"),
            (users.parse_assignee, "uma"),
            (users.parse_requester, "ghost"),
            (users.parse_requester, "ugo"),
            (users.parse_user, "ghost"),
            (users.parse_person, "ghost"),
        ):
            with self.subTest(parse=parse, text=text), self.assertRaises(InvalidInputError):
                parse(self.anna, text)
        self.assertFalse(users.parse_user(self.anna, "ugo").is_active)

    def test_a_filter_tells_a_user_nothing_about_accounts(self) -> None:
        self.assertEqual(
            [users.parse_person(self.uma, text) for text in ("ME", "Ugo", "ghost")], ["uma", "ugo", "ghost"]
        )


if __name__ == "__main__":
    unittest.main()
