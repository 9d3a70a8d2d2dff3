"""Passwords: what makes one fit, how it is stored, and what guessing costs."""

import contextlib
import hashlib
import os
import sys
import unittest
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import ContextManager, List
from unittest import mock

from support import PASSWORD, ROOT, DatabaseTestCase, environment, run, run_command

import database
import users
from database import transaction
from users import AuthenticationError, InvalidInputError, PermissionDeniedError, Role, SessionEndedError

NEW = "a new horse 7"


def days_ago(days: float) -> str:
    return database.utc_text(datetime.now(timezone.utc) - timedelta(days=days))


class RuleTest(unittest.TestCase):
    def assert_refused(self, *passwords: str) -> None:
        for password in passwords:
            with self.subTest(password=password), self.assertRaises(InvalidInputError):
                users.parse_password(password, "alice")

    def test_it_is_one_sentence(self) -> None:
        self.assertRegex(users.PASSWORD_RULE, r"^A password .*12 characters.*\.$")

    def test_a_good_one_is_taken_whole_with_its_spaces(self) -> None:
        for good in (
            *(PASSWORD, "  two  spaces  ", "pässwörter sind lang", "x7" + "abcd9" * 200, "correct-horse-1"),
            *("vier grüne Enten am Teich", "gr8 Tuesday lunch", "nebel-uhr-kanne", "eixzwpqlfgvtbnma", "839201748265"),
        ):
            with self.subTest(password=good):
                self.assertEqual(users.parse_password(good, "alice"), good)

    def test_it_has_twelve_characters_and_at_most_1024_bytes(self) -> None:
        self.assertEqual(users.parse_password("äöüßéèêçñõøå", "alice"), "äöüßéèêçñõøå")
        self.assert_refused("", "elevenchars", "äöüßéèêçñõø", "xyz7" + "äbc9" * 205)

    def test_five_of_its_characters_are_different(self) -> None:
        self.assert_refused("aaaaaaaaaaaa", "abcdabcdabcd", "1212121212121", "....----....")
        users.parse_password("abcdeabcdeabcde", "alice")

    def test_unprintable_characters_are_refused(self) -> None:
        self.assert_refused("tab\there it is", "bell\x07 rings here", "null\0 is not it")

    def test_common_ones_are_refused_with_digits_and_punctuation_around_them(self) -> None:
        self.assert_refused(
            *("Password1234", "Welcome2026!!", "P@$$w0rd!!!!", "!!!qwerty!!!", "123456789012", "1q2w3e4r5t6y"),
            *("QWERTYUIOP12", "2026-letmein!", "HelpDesk#123", "1qaz2wsx!!!!", "passwordpassword", "Summer 2026!!"),
        )

    def test_the_username_of_four_letters_or_more_and_the_programs_name_are_refused(self) -> None:
        self.assert_refused("my-Alice-is-long", "work order 77 x", "WorkOrder2026!", "my_work-order_x")
        users.parse_password("a large lady's umbrella", "lar")

    def test_the_current_one_in_another_form_is_not_new(self) -> None:
        composed, decomposed = "caf\u00e9 au lait", "cafe\u0301 au lait"
        for current, new in ((composed, decomposed), (decomposed, composed)):
            with self.assertRaisesRegex(InvalidInputError, "is the current one"):
                users.parse_password(new, "alice", current)


class EarlierRuleTest(DatabaseTestCase):
    def test_one_that_was_set_under_an_earlier_rule_stays_valid(self) -> None:
        self.connection.execute("UPDATE users SET password_hash = ? WHERE id = 3", (users._hash("short1"),))
        users.log_in(self.connection, "uma", "short1")
        users.change_password(self.uma, "short1", NEW)


class StoredTest(DatabaseTestCase):
    def cost(self, log_n: int) -> None:
        self.addCleanup(setattr, users, "SCRYPT_LOG_N", users.SCRYPT_LOG_N)
        users.SCRYPT_LOG_N = log_n

    def test_it_is_a_salted_scrypt_hash_at_the_cost_that_owasp_asks_for(self) -> None:
        self.cost(15)
        for username in ("ada", "bea"):
            users.register(self.connection, username, PASSWORD, Role.USER)
        hashes = [str(row[0]) for row in self.rows("SELECT password_hash FROM users WHERE id > 4")]
        self.assertRegex(hashes[0], r"^\$scrypt\$ln=15,r=8,p=3\$[A-Za-z0-9+/]{22}\$[A-Za-z0-9+/]{43}$")
        self.assertNotEqual(*hashes)

    def test_the_whole_password_counts_in_either_composition_of_an_accent(self) -> None:
        users.register(self.connection, "ada", "caf\u00e9 au lait", Role.USER)
        users.log_in(self.connection, "ada", "cafe\u0301 au lait")
        for wrong in ("caf\u00e9 au lai", "caf\u00e9 au lait ", "cafe au lait", "CAF\u00c9 AU LAIT", ""):
            with self.subTest(wrong=wrong), self.assertRaises(AuthenticationError):
                users.log_in(self.connection, "ada", wrong)

    def test_an_outdated_hash_is_replaced_and_no_session_ends(self) -> None:
        self.cost(5)
        users.log_in(self.connection, "uma", PASSWORD)
        stored = "SELECT password_hash LIKE '$scrypt$ln=5,%' FROM users WHERE username = 'uma'"
        self.assertEqual(self.rows(stored), [(1,)])
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
        stored = "SELECT password_hash LIKE '$pbkdf2-sha256$i=1000$%' FROM users WHERE username = 'ada'"
        self.assertEqual(self.rows(stored), [(1,)])
        users.log_in(self.connection, "ada", PASSWORD)

    def test_a_stored_hash_that_asks_for_too_much_or_is_garbled_is_refused_with_a_sentence(self) -> None:
        digests = f"${'A' * 22}${'A' * 43}"
        asking = ("scrypt$ln=40,r=8,p=3", "scrypt$ln=15,r=99,p=3", "pbkdf2-sha256$i=99999999", "md5", "scrypt$x")
        for stored in (*(f"${each}{digests}" for each in asking), "!", "*", "$scrypt$ln=4,r=8,p=3$====$!"):
            self.connection.execute("UPDATE users SET password_hash = ? WHERE username = 'uma'", (stored,))
            users.unlock(self.anna, "uma")
            with self.subTest(stored=stored), self.assertRaisesRegex(AuthenticationError, "an admin can reset it"):
                users.log_in(self.connection, "uma", PASSWORD)

    def test_one_time_passwords_are_long_and_never_the_same(self) -> None:
        passwords = {users.reset_password(self.anna, "uma") for _ in range(20)}
        self.assertEqual(len(passwords), 20)
        self.assertTrue(all(len(password) >= 16 for password in passwords))

    def test_too_little_memory_is_said_and_is_no_wrong_password(self) -> None:
        if not Path("/proc/self/statm").exists():
            self.skipTest("cannot tell how much memory is in use")
        code = (
            "import resource, database, users\n"
            "users.SCRYPT_LOG_N = 15\n"
            "connection = database.connect(database.default_path())\n"
            "users.register(connection, 'ada', 'battery horse 9', users.Role.USER)\n"
            "used = int(open('/proc/self/statm').read().split()[0]) * resource.getpagesize()\n"
            "resource.setrlimit(resource.RLIMIT_AS, (used + 2**20, resource.RLIM_INFINITY))\n"
            "try: users.log_in(connection, 'ada', 'battery horse 9')\n"
            "except database.ApplicationError as error: print(error)\n"
        )
        output = run_command([sys.executable, "-c", code], b"", environment(self.path, PYTHONPATH=str(ROOT))).output
        self.assertEqual(output, "There is not enough memory for a password now; try again later.\n")
        self.assertEqual(self.rows("SELECT * FROM password_failures"), [])


class WhileHashingTest(DatabaseTestCase):
    """A hash takes long enough for others to change the account: what counts is how it stands afterwards."""

    def meanwhile(self, statement: str) -> ContextManager[object]:
        scrypt = hashlib.scrypt

        def slow(*arguments: object, **options: object) -> bytes:
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
            users.change_password(self.uma, PASSWORD, NEW)
        self.assertEqual(self.rows("SELECT password_version FROM users WHERE username = 'uma'"), [(1,)])


class GuessingTestCase(DatabaseTestCase):
    def log_in(self, username: str, password: str = PASSWORD) -> str:
        try:
            users.log_in(self.connection, username, password)
        except AuthenticationError as error:
            return str(error)
        return "logged in"

    def guess(self, times: int, username: str = "uma") -> None:
        for _ in range(times):
            self.assertNotEqual(self.log_in(username, "not the one"), "logged in")

    def age_failures(self, seconds: int) -> None:
        self.connection.execute(
            "UPDATE password_failures SET last_failed_at = strftime('%Y-%m-%dT%H:%M:%S+00:00', last_failed_at, ?)",
            (f"{-seconds} seconds",),
        )


class GuessingTest(GuessingTestCase):
    def test_five_failures_are_free_and_then_the_right_password_has_to_wait_too(self) -> None:
        self.guess(4)
        self.assertEqual(self.log_in("uma"), "logged in")
        self.guess(5)
        self.assertNotEqual(self.log_in("uma"), "logged in")
        self.age_failures(28)
        self.assertNotEqual(self.log_in("uma"), "logged in")
        self.age_failures(2)
        self.assertEqual(self.log_in("uma"), "logged in")

    def test_the_wait_doubles_up_to_fifteen_minutes(self) -> None:
        waits = [users.wait_seconds(failures) for failures in (0, 4, 5, 6, 7, 8, 9, 10, 11, 1000)]
        self.assertEqual(waits, [0, 0, 30, 60, 120, 240, 480, 900, 900, 900])

    def test_wrong_unknown_deactivated_without_a_password_and_waiting_cost_the_same_and_are_told_alike(self) -> None:
        users.add_caller(self.max, "Tom Berg", None)
        with transaction(self.connection):
            users.deactivate(self.anna, "max")
        self.guess(5)
        seen = set()
        for username in ("ugo", "ghost", "max", "tom.berg", "uma"):
            password = PASSWORD if username in ("max", "uma") else "not the one"
            with mock.patch("hashlib.scrypt", wraps=hashlib.scrypt) as scrypt:
                statements: List[str] = []
                self.connection.set_trace_callback(statements.append)
                words = self.log_in(username, password)
                self.connection.set_trace_callback(None)
            hashed = tuple(call[1]["n"] for call in scrypt.call_args_list)
            begun = sum(statement.startswith("BEGIN") for statement in statements)
            seen.add((words, hashed, begun))
        self.assertEqual(len(seen), 1)

    def test_the_right_password_of_a_deactivated_account_counts_as_a_failure(self) -> None:
        with transaction(self.connection):
            users.deactivate(self.anna, "uma")
        for _ in range(7):
            self.log_in("uma")
        self.assertEqual(self.rows("SELECT failures FROM password_failures"), [(5,)])

    def test_a_clock_that_is_set_back_does_not_help(self) -> None:
        self.guess(5)
        self.age_failures(-3600)
        self.assertNotEqual(self.log_in("uma"), "logged in")
        self.age_failures(30)
        self.assertEqual(self.log_in("uma"), "logged in")

    def test_unknown_names_are_counted_too_and_not_kept_in_clear(self) -> None:
        self.guess(6, "a-secret-typed-too-early")
        self.assertEqual(self.rows("SELECT failures FROM password_failures"), [(5,)])
        self.assertNotIn("secret", str(self.rows("SELECT * FROM password_failures")))

    def test_ten_guessers_at_once_have_five_tries_between_them(self) -> None:
        outputs: List[str] = []

        def guess(number: int) -> None:
            outputs.append(run(self.path, *("Log in", "uma", f"guess {number}") * 3).output)

        with ThreadPoolExecutor(10) as pool:
            list(pool.map(guess, range(10)))
        self.assertEqual("".join(outputs).count("Error: The username or the password is wrong."), 30)
        self.assertEqual(self.rows("SELECT failures FROM password_failures"), [(5,)])
        self.assertIn("Error: ", self.run_as("uma"))

    def test_approvals_and_current_passwords_are_counted_with_logins(self) -> None:
        for _ in range(3):
            with self.assertRaises(AuthenticationError):
                users.register(self.connection, "eve", PASSWORD, Role.ADMIN, ("anna", "wrong"))
        for _ in range(2):
            with self.assertRaises(AuthenticationError):
                users.change_password(self.anna, "wrong", NEW)
        with self.assertRaises(AuthenticationError):
            users.register(self.connection, "eve", PASSWORD, Role.ADMIN, ("anna", PASSWORD))
        with self.assertRaises(AuthenticationError):
            users.change_password(self.anna, PASSWORD, NEW)
        self.assertNotEqual(self.log_in("anna"), "logged in")

    def test_too_little_memory_takes_no_failure_from_a_locked_name(self) -> None:
        self.guess(5)
        with mock.patch("hashlib.scrypt", side_effect=MemoryError), self.assertRaises(database.ApplicationError):
            users.log_in(self.connection, "uma", "not the one")
        self.assertEqual(self.rows("SELECT failures FROM password_failures"), [(5,)])

    def test_an_admin_unlocks_a_name(self) -> None:
        self.guess(7)
        for session in (self.uma, self.max):
            with self.assertRaises(PermissionDeniedError):
                users.unlock(session, "uma")
        self.assertEqual(users.unlock(self.anna, "uma"), 5)
        self.assertEqual(users.unlock(self.anna, "uma"), 0)
        self.assertEqual(self.log_in("uma"), "logged in")

    def test_a_right_password_is_no_failure_even_if_what_follows_fails(self) -> None:
        for _ in range(7):
            with self.assertRaises(InvalidInputError):
                users.change_password(self.uma, PASSWORD, "short")
        self.assertEqual(self.log_in("uma"), "logged in")

    def test_a_new_account_and_a_reset_password_need_not_wait(self) -> None:
        self.guess(5, "ada")
        users.register(self.connection, "ada", PASSWORD, Role.USER)
        self.assertEqual(self.log_in("ada"), "logged in")
        self.guess(5)
        self.assertEqual(self.log_in("uma", users.reset_password(self.anna, "uma")), "logged in")


class ClientTest(GuessingTestCase):
    """Failures are counted by the host's account and SSH client from which they come."""

    def at(self, client: object) -> ContextManager[object]:
        return mock.patch.dict(os.environ, SSH_CLIENT=f"{client} 50000 22")

    def is_let_in(self, client: object, password: str = PASSWORD, username: str = "anna") -> bool:
        with self.at(client), contextlib.suppress(AuthenticationError):
            users.log_in(self.connection, username, password)
            return True
        return False

    def fail_from(self, clients: int, times: int = 5) -> None:
        for client in range(clients):
            for _ in range(times):
                self.assertFalse(self.is_let_in(f"10.0.0.{client}", "not the one"))

    def test_twenty_clients_that_fail_keep_nobody_out_at_the_usual_desk(self) -> None:
        self.assertTrue(self.is_let_in("desk"))
        self.fail_from(20)
        self.assertTrue(self.is_let_in("desk"))

    def test_the_program_tells_clients_apart_by_their_ssh_address(self) -> None:
        answers = [answer for _ in range(6) for answer in ("Log in", "anna", "not the one")]
        run(self.path, *answers, SSH_CLIENT="10.0.0.1 50000 22")
        for client, is_in in (("10.0.0.1", False), ("10.0.0.2", True)):
            output = self.run_as("anna", SSH_CLIENT=f"{client} 50000 22")
            self.assertEqual("Main menu: anna" in output, is_in, client)

    def test_an_unknown_client_waits_after_fifty_failures_from_all(self) -> None:
        self.fail_from(12, 4)
        self.assertTrue(self.is_let_in("a new desk"))
        self.fail_from(2, 1)
        self.assertFalse(self.is_let_in("another new desk"))
        self.assertTrue(self.is_let_in("a new desk"))

    def test_a_client_is_known_for_thirty_days(self) -> None:
        for days, is_in in ((29, True), (31, False)):
            self.assertTrue(self.is_let_in(f"desk {days}"))
            self.connection.execute("UPDATE login_clients SET last_login_at = ?", (days_ago(days),))
            self.fail_from(10)
            self.assertEqual(self.is_let_in(f"desk {days}"), is_in)
            users.unlock(self.anna, "anna")

    def test_its_own_five_failures_lock_a_known_client_and_no_other(self) -> None:
        for client in ("desk", "phone"):
            self.assertTrue(self.is_let_in(client))
        for _ in range(5):
            self.assertFalse(self.is_let_in("desk", "not the one"))
        self.assertFalse(self.is_let_in("desk"))
        self.assertTrue(self.is_let_in("phone"))
        (listed, *_), _ = users.list_users(self.anna)
        self.assertEqual(users.describe_state(listed), "locked for 1m")

    def test_failures_older_than_a_day_are_removed_at_the_next_try_of_anybody(self) -> None:
        self.fail_from(3)
        self.connection.execute("UPDATE password_failures SET last_failed_at = ?", (days_ago(1.1),))
        self.assertTrue(self.is_let_in("desk", username="uma"))
        self.assertEqual(self.rows("SELECT * FROM password_failures"), [])

    def test_unlocking_clears_all_clients(self) -> None:
        self.fail_from(10)
        self.assertFalse(self.is_let_in("a new desk"))
        self.assertEqual(users.unlock(self.anna, "anna"), 50)
        self.assertEqual(self.rows("SELECT * FROM password_failures"), [])
        self.assertTrue(self.is_let_in("a new desk"))


if __name__ == "__main__":
    unittest.main()
