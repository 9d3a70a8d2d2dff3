"""Passwords: what makes one fit, how it is stored, and what guessing costs."""

import hashlib
import os
import re
import unittest
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta, timezone
from typing import List, Sequence
from unittest import mock

from support import PASSWORD, DatabaseTestCase, run

import database
import users
from users import AuthenticationError, InvalidInputError, Role, SessionEndedError

NEW = "a new horse 7"


class RuleTest(unittest.TestCase):
    def test_a_fit_one_is_taken_whole_as_it_is(self) -> None:
        for fit in (
            *(PASSWORD, "  two  spaces  ", "äöüßéèêçñõøå", "abcd9" * 204 + "x7yz", "abcdeabcdeabcde", "839201748265"),
            *("correct-horse-1", "vier grüne Enten am Teich", "gr8 Tuesday lunch", "eixzwpqlfgvtbnma"),
        ):
            with self.subTest(fit=fit):
                self.assertEqual(users.parse_password(fit, "alice"), fit)
        users.parse_password("a large lady's umbrella", "lar")

    def test_any_other_is_refused_with_the_reason(self) -> None:
        for reason, passwords in (
            ("at least 12 characters", ("", "elevenchars", "äöüßéèêçñõø", "abcd9" * 205)),
            ("five different characters", ("aaaaaaaaaaaa", "abcdabcdabcd", "1212121212121", "....----....")),
            ("only printable characters", ("tab\there it is", "bell\x07 rings here", "null\0 is not it")),
            ("too common", ("Password1234", "Welcome2026!!", "P@$$w0rd!!!!", "!!!qwerty!!!", "123456789012")),
            ("too common", ("2026-letmein!", "HelpDesk#123", "1qaz2wsx!!!!", "passwordpassword", "Summer 2026!!")),
            ("not contain the username", ("my-Alice-is-long",)),
            ("not contain the name of this program", ("work order 77 x", "WorkOrder2026!", "my_work-order_x")),
        ):
            for password in passwords:
                with self.subTest(password=password), self.assertRaisesRegex(InvalidInputError, reason):
                    users.parse_password(password, "alice")
        with self.assertRaisesRegex(InvalidInputError, "is the current one"):
            users.parse_password("cafe\u0301 au lait", "alice", "caf\u00e9 au lait")


class PasswordTest(DatabaseTestCase):
    def refused(self, username: str = "uma", password: str = PASSWORD, client: str = "") -> str:
        """Try to log in, from an SSH client, and return the words of the refusal, if it is refused."""
        with mock.patch.dict(os.environ, SSH_CLIENT=f"{client} 50000 22"):
            try:
                users.log_in(self.connection, username, password)
            except AuthenticationError as error:
                return str(error)
        return ""

    def guess(self, times: int = 5, username: str = "uma", clients: Sequence[object] = ("",)) -> None:
        for client in clients:
            for _ in range(times):
                self.assertTrue(self.refused(username, "not the one", str(client)))

    def failures(self) -> List[object]:
        return [failures for (failures,) in self.rows("SELECT failures FROM password_failures")]

    def age_failures(self, seconds: int) -> None:
        older = "strftime('%Y-%m-%dT%H:%M:%S+00:00', last_failed_at, ?)"
        self.connection.execute(f"UPDATE password_failures SET last_failed_at = {older}", (f"{-seconds} seconds",))

    def hash_of(self, username: str) -> str:
        ((stored,),) = self.rows("SELECT password_hash FROM users WHERE username = ?", username)
        return str(stored)

    def test_one_of_an_earlier_rule_and_cost_stays_valid_and_gets_todays_cost_without_ending_a_session(self) -> None:
        earlier = "$scrypt$ln=3,r=8,p=3$AAECAwQFBgcICQoLDA0ODw$syTInlYf5s3CLZ8nrpOTGwds7pBFIHixSJmnS9ysCLA"
        self.connection.execute("UPDATE users SET password_hash = ? WHERE username = 'uma'", (earlier,))
        for _ in range(2):
            self.assertFalse(self.refused(password="caf\u00e9 1"))
            self.assertIn("$scrypt$ln=4,", self.hash_of("uma"))
        users.change_password(self.uma, "caf\u00e9 1", NEW)
        self.assertEqual(users.current_user(self.uma).username, "uma")

    def test_the_whole_password_counts_in_either_composition_of_an_accent(self) -> None:
        users.register(self.connection, "ada", "caf\u00e9 au lait", Role.USER)
        self.assertFalse(self.refused("ada", "cafe\u0301 au lait"))
        for wrong in ("caf\u00e9 au lai", "caf\u00e9 au lait ", "cafe au lait", "CAF\u00c9 AU LAIT", ""):
            with self.subTest(wrong=wrong):
                self.assertTrue(self.refused("ada", wrong))

    def test_a_stored_hash_that_asks_for_too_much_or_is_garbled_is_refused_with_a_sentence(self) -> None:
        digests = f"${'A' * 22}${'A' * 43}"
        asking = ("scrypt$ln=40,r=8,p=3", "scrypt$ln=15,r=99,p=3", "pbkdf2-sha256$i=99999999", "md5", "scrypt$x")
        for stored in (*(f"${each}{digests}" for each in asking), "!", "$scrypt$ln=4,r=8,p=3$====$!"):
            self.connection.execute("UPDATE users SET password_hash = ? WHERE username = 'uma'", (stored,))
            users.unlock(self.anna, "uma")
            with self.subTest(stored=stored):
                self.assertIn("an admin can reset it", self.refused())

    def test_a_python_without_scrypt_uses_pbkdf2(self) -> None:
        self.addCleanup(setattr, hashlib, "scrypt", hashlib.scrypt)
        del hashlib.scrypt
        users.register(self.connection, "ada", PASSWORD, Role.USER)
        self.assertIn("$pbkdf2-sha256$i=600000$", self.hash_of("ada"))
        self.assertFalse(self.refused("ada"))
        self.assertIn("This Python cannot check the stored password", self.refused("uma"))

    def test_too_little_memory_is_said_and_is_no_wrong_password(self) -> None:
        self.guess()
        for username, error in (("anna", MemoryError), ("anna", ValueError), ("uma", MemoryError)):
            with mock.patch("hashlib.scrypt", side_effect=error), self.subTest(username=username, error=error):
                with self.assertRaisesRegex(database.ApplicationError, "There is not enough memory"):
                    users.log_in(self.connection, username, PASSWORD)
                self.assertEqual(self.failures(), [5])

    def test_hashes_are_salted_and_one_time_passwords_random(self) -> None:
        self.assertEqual(self.rows("SELECT count(DISTINCT password_hash) FROM users"), [(4,)])
        passwords = {users.reset_password(self.anna, "uma") for _ in range(20)}
        self.assertEqual([len(password) for password in passwords], [16] * 20)

    def test_an_account_closed_or_changed_while_a_password_is_hashed_is_refused(self) -> None:
        self.session("eva", Role.ADMIN, ("anna", PASSWORD))
        scrypt, content, change = hashlib.scrypt, self.path.read_bytes(), ""

        def slow(*arguments: object, **options: object) -> bytes:
            self.connection.execute(f"UPDATE users SET {change} WHERE username = 'anna'")
            return scrypt(*arguments, **options)  # type: ignore[arg-type]

        for call in (
            lambda: users.log_in(self.connection, "anna", PASSWORD),
            lambda: users.change_password(self.anna, PASSWORD, NEW),
            lambda: users.register(self.connection, "eve", PASSWORD, Role.ADMIN, ("anna", PASSWORD)),
        ):
            for change in ("is_active = 0", "password_version = password_version + 1"):
                self.use(content)
                with self.subTest(change=change), mock.patch("hashlib.scrypt", slow):
                    self.assertRaises((AuthenticationError, SessionEndedError), call)

    def test_after_five_failures_the_right_password_has_to_wait_too_ever_longer_and_at_any_clock(self) -> None:
        self.guess(4)
        self.assertFalse(self.refused())
        self.assertEqual(self.failures(), [])
        self.guess(5)
        self.assertTrue(self.refused())
        self.age_failures(10)
        self.assertTrue(self.refused())
        self.age_failures(-3600)
        self.assertTrue(self.refused())
        self.age_failures(30)
        self.assertFalse(self.refused())
        waits = [users.wait_seconds(failures) for failures in (0, 4, 5, 6, 7, 8, 9, 10, 11, 1000)]
        self.assertEqual(waits, [0, 0, 30, 60, 120, 240, 480, 900, 900, 900])

    def test_wrong_unknown_deactivated_without_a_password_and_waiting_cost_the_same_and_are_told_alike(self) -> None:
        users.add_caller(self.max, "Tom Berg", None)
        self.connection.execute("UPDATE users SET is_active = 0 WHERE username = 'max'")
        self.guess()
        seen = set()
        for username in ("ugo", "ghost", "max", "tom.berg", "uma"):
            password = PASSWORD if username in ("max", "uma") else "not the one"
            with mock.patch("hashlib.scrypt", wraps=hashlib.scrypt) as scrypt:
                words = self.refused(username, password)
            seen.add((words, *(call[1]["n"] for call in scrypt.call_args_list)))
        self.assertEqual(len(seen), 1)

    def test_failures_of_any_name_are_counted_for_a_day_but_names_not_kept_in_clear(self) -> None:
        self.connection.execute("UPDATE users SET is_active = 0 WHERE username = 'uma'")
        for username in ("uma", "A-secret-typed-too-early", "a-secret-typed-too-early"):
            self.guess(3, username)
        self.assertTrue(self.refused())
        self.assertEqual(self.failures(), [4, 5])
        self.assertNotIn("secret", str(self.rows("SELECT * FROM password_failures")).lower())
        self.age_failures(25 * 60 * 60)
        self.assertFalse(self.refused("anna"))
        self.assertEqual(self.failures(), [])

    def test_guessers_at_once_have_five_tries_between_them(self) -> None:
        def guess(number: int) -> str:
            return run(self.path, *("Log in", "uma", f"guess {number}") * 3).output

        with ThreadPoolExecutor(4) as pool:
            outputs = "".join(pool.map(guess, range(4)))
        refusals = re.findall("Error: The (username or the password is wrong|database is busy)", outputs)
        self.assertEqual(len(refusals), 12, outputs)
        self.assertEqual(self.failures(), [5])

    def test_approvals_and_current_passwords_are_counted_with_logins(self) -> None:
        for password in ("wrong", "wrong", "wrong", PASSWORD):
            self.assertRaises(AuthenticationError, users.change_password, self.anna, password, NEW)
            with self.assertRaises(AuthenticationError):
                users.register(self.connection, "eve", PASSWORD, Role.ADMIN, ("anna", password))
        self.assertRaises(AuthenticationError, users.log_in, self.connection, "anna", PASSWORD)

    def test_a_right_password_is_no_failure_even_if_what_follows_fails(self) -> None:
        for _ in range(7):
            self.assertRaises(InvalidInputError, users.change_password, self.uma, PASSWORD, "short")
        self.assertEqual(self.failures(), [])

    def test_a_new_account_and_a_reset_password_need_not_wait(self) -> None:
        self.guess(5, "ada")
        users.register(self.connection, "ada", PASSWORD, Role.USER)
        self.assertFalse(self.refused("ada"))
        self.guess()
        self.assertFalse(self.refused("uma", users.reset_password(self.anna, "uma")))

    def test_the_program_tells_clients_apart_by_their_ssh_address_and_notes_it(self) -> None:
        guesses = ("Log in", "uma", "not the one") * 5
        output = run(self.path, *guesses, "Log in", "uma", PASSWORD, SSH_CLIENT="10.0.0.1 50000 22").output
        self.assertNotIn("Main menu", output)
        self.assertIn("Main menu", self.run_as("uma", SSH_CLIENT="10.0.0.2 50000 22"))
        log = self.rows("SELECT event, os_user <> '', ssh_client FROM audit_log ORDER BY id DESC LIMIT 1")
        self.assertEqual(log, [("logged in", 1, "10.0.0.2")])

    def test_an_unknown_client_waits_after_fifty_failures_from_all_a_known_one_after_five_of_its_own(self) -> None:
        self.guess(4, clients=range(12))
        for client in ("desk", "phone"):
            self.assertFalse(self.refused(client=client))
        self.guess(2, clients=["new"])
        self.assertTrue(self.refused(client="new"))
        self.assertFalse(self.refused(client="desk"))
        self.guess(clients=["desk"])
        self.assertTrue(self.refused(client="desk"))
        self.assertFalse(self.refused(client="phone"))
        self.assertEqual(users.unlock(self.anna, "uma"), 55)
        self.assertEqual(self.failures(), [])

    def test_a_client_is_known_for_thirty_days(self) -> None:
        for days, is_refused in ((29, False), (31, True)):
            self.assertFalse(self.refused())
            last = database.utc_text(datetime.now(timezone.utc) - timedelta(days=days))
            self.connection.execute("UPDATE login_clients SET last_login_at = ?", (last,))
            self.guess(clients=range(20))
            self.assertEqual(bool(self.refused()), is_refused)
            users.unlock(self.anna, "uma")
