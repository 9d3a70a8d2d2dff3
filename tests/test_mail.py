"""Mail: the settings, the outbox, and a mail server that takes a message, refuses it, stalls, dies or is a stranger."""

import contextlib
import email.message
import email.policy
import os
import queue
import re
import socketserver
import ssl
import subprocess
import sys
import threading
import unittest
from datetime import datetime, timedelta, timezone
from email.parser import BytesParser
from typing import Any, Callable, List, NamedTuple, Optional, Tuple
from unittest import mock

from support import PATIENCE_SECONDS, ROOT, DatabaseTestCase, environment, run

import database
import users
from database import ApplicationError, transaction
from users import ConflictError, InvalidInputError, MailSettings, MailWish, PermissionDeniedError, Security

STALL, CLOSE = "stall", "close"
# A certificate for localhost that nobody has signed but itself, from 2000 to 2100.
CERTIFICATE = """\
-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgH5MzXi/5JjiBB5cM
Mep2BGFEroRa44YIU3QwCFqE+pShRANCAAToll3ezzlza61xeeEMzGeiNkx7ML6s
qO94di/Spd1I0J7bsp2aTBgsgTDFscFlPfqrtTxIN/1LdejCE5D3mfYD
-----END PRIVATE KEY-----
-----BEGIN CERTIFICATE-----
MIIBcDCCARegAwIBAgIBATAKBggqhkjOPQQDAjAUMRIwEAYDVQQDDAlsb2NhbGhv
c3QwIBcNMDAwMTAxMDAwMDAwWhgPMjEwMDAxMDEwMDAwMDBaMBQxEjAQBgNVBAMM
CWxvY2FsaG9zdDBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABOiWXd7POXNrrXF5
4QzMZ6I2THswvqyo73h2L9Kl3UjQntuynZpMGCyBMMWxwWU9+qu1PEg3/Ut16MIT
kPeZ9gOjWDBWMA8GA1UdEwEB/wQFMAMBAf8wDgYDVR0PAQH/BAQDAgKEMB0GA1Ud
DgQWBBTZN0kk9pnM5RXEXhNIaL2hw420ODAUBgNVHREEDTALgglsb2NhbGhvc3Qw
CgYIKoZIzj0EAwIDRwAwRAIgPK9EIVt+rgrotW2hVe86D1jmuU8DwuYeV3yU9Kgn
eqYCIEdUZzGN/rF1D0NwPXQaMlEYiM4GiXcsIQAgH9jZ/vdD
-----END CERTIFICATE-----
"""


class Received(NamedTuple):
    """What the mail server took: the envelope and the message."""

    sender: str
    recipient: str
    message: email.message.EmailMessage

    @property
    def subject(self) -> str:
        return str(self.message["Subject"])

    @property
    def text(self) -> str:
        return str(self.message.get_content()).replace("\r\n", "\n")


class MailServer(socketserver.ThreadingTCPServer):
    """A mail server whose `answers`, by command, are the usual ones unless a test sets others.

    STALL waits until the server is released and then goes on, CLOSE hangs up. CONNECT is the greeting, CONTENT the
    answer to a message.
    """

    daemon_threads = True

    def __init__(self, **answers: str) -> None:
        super().__init__(("127.0.0.1", 0), _Dialogue)
        self.answers = answers
        self.received: queue.Queue[Received] = queue.Queue()
        self.commands: List[str] = []
        self.stalled, self.released = threading.Event(), threading.Event()
        self.context: Optional[ssl.SSLContext] = None
        self.is_tls = False
        threading.Thread(target=self.serve_forever, args=(0.002,), daemon=True).start()

    @property
    def port(self) -> int:
        return int(self.server_address[1])

    def handle_error(self, *_: object) -> None:
        """Say nothing of a client that hung up."""

    def end(self) -> None:
        self.released.set()
        self.shutdown()
        self.server_close()


class _Dialogue(socketserver.StreamRequestHandler):
    server: MailServer

    def handle(self) -> None:
        self.server.commands.append("CONNECT")
        if self.server.is_tls:
            self.encrypt()
        if not self.answer("CONNECT", "220 ready"):
            return
        sender = recipient = ""
        for line in iter(lambda: self.rfile.readline().decode(), ""):
            verb = line.split()[0].upper()
            self.server.commands.append(line.strip().upper())
            sender = line if verb == "MAIL" else sender
            recipient = line if verb == "RCPT" else recipient
            usual = {"EHLO": self.features(), "DATA": "354 go on", "STARTTLS": "220 go on", "QUIT": "221 bye"}
            if not self.answer(verb, usual.get(verb, "250 OK")):
                return
            if verb == "STARTTLS":
                self.encrypt()
            if (
                verb == "DATA"
                and self.server.answers.get("DATA", "3").startswith("3")
                and not self.take(sender, recipient)
            ):
                return
            if verb == "QUIT":
                return

    def features(self) -> str:
        starttls = "250-STARTTLS\r\n" * (self.server.context is not None)
        return f"250-localhost\r\n{starttls}250 {self.server.answers.get('FEATURES', 'HELP')}"

    def answer(self, verb: str, usual: str) -> bool:
        """Give the answer, and return whether the dialogue goes on."""
        answer = self.server.answers.get(verb, usual)
        if answer == STALL:
            self.server.stalled.set()
            self.server.released.wait(PATIENCE_SECONDS)
            answer = usual
        if answer != CLOSE:
            self.wfile.write(f"{answer}\r\n".encode())
        return answer != CLOSE

    def take(self, sender: str, recipient: str) -> bool:
        lines = list(iter(self.rfile.readline, b".\r\n"))
        content = b"".join(line[1:] if line.startswith(b".") else line for line in lines)
        assert content.isascii()
        assert max(map(len, lines)) <= 1000
        message = BytesParser(_class=email.message.EmailMessage, policy=email.policy.default).parsebytes(content)
        is_taken = self.server.answers.get("CONTENT", "2").startswith(("2", STALL, CLOSE))
        addresses = [re.findall("<(.*?)>", line)[0] for line in (sender, recipient)]
        if is_taken:
            self.server.received.put(Received(addresses[0], addresses[1], message))
        return self.answer("CONTENT", "250 kept as 7")

    def finish(self) -> None:
        with contextlib.suppress(OSError):
            super().finish()
        self.request.close()

    def encrypt(self) -> None:
        assert self.server.context
        self.connection = self.request = self.server.context.wrap_socket(self.request, server_side=True)
        self.setup()


class MailTestCase(DatabaseTestCase):
    """A test in which everybody has an address, there is a mail server, and uma and ugo have a work order each."""

    def setUp(self) -> None:
        super().setUp()
        self.connection.execute("UPDATE users SET email = username || '@example.org'")
        self.row = self.create(self.uma, "Printer jams")
        self.other = self.create(self.ugo, "No sound")
        self.server = MailServer()
        self.addCleanup(self.server.end)
        self.set_up_mail()

    def set_up_mail(self, **changes: Any) -> MailSettings:
        shown, _ = users.mail_state(self.anna)
        usual = MailSettings("127.0.0.1", self.server.port, Security.NONE, "it@example.org", None, None)
        return users.change_mail_settings(self.anna, shown, usual._replace(**changes))

    def set(self, name: str, value: object) -> None:
        """Give a setting of users.py another value until the test ends."""
        self.addCleanup(setattr, users, name, getattr(users, name))
        setattr(users, name, value)

    def write(self, to: str = "uma", text: str = "max: commented", *more: Tuple[int, str], heading: str = "") -> None:
        """Put a message about uma's work order in the outbox, and about more of them."""
        user_id = users.find(self.connection, to).id
        with transaction(self.connection):
            parts = [(self.row.id, text), *more]
            users.put_in_outbox(self.connection, user_id, "[#1] Printer jams", parts, heading)

    def sent(self) -> List[Received]:
        """Send what waits, and return what the mail server took."""
        users.send_waiting(self.connection)
        return self.taken()

    def taken(self) -> List[Received]:
        taken = []
        with contextlib.suppress(queue.Empty):
            while True:
                taken.append(self.server.received.get_nowait())
        return taken

    def waiting(self) -> List[users.Message]:
        return users.outbox(self.anna)

    def age_outbox(self, seconds: int) -> None:
        """Move what the outbox tells of moments back, as if that time had passed."""
        names = ("created_at", "next_attempt_at")
        columns = ", ".join(f"{name} = strftime('%Y-%m-%dT%H:%M:%S+00:00', {name}, :passed)" for name in names)
        self.connection.execute(f"UPDATE outbox SET {columns}", {"passed": f"{-seconds} seconds"})


class WhoGetsItTest(MailTestCase):
    def test_the_address_is_the_one_at_the_time_of_sending(self) -> None:
        self.write()
        users.change_email(self.uma, "uma@example.com")
        (message,) = self.sent()
        self.assertEqual((message.sender, message.recipient), ("it@example.org", "uma@example.com"))
        self.assertEqual(self.waiting(), [])

    def test_a_deactivated_account_gets_nothing_not_even_what_waits(self) -> None:
        self.write()
        with transaction(self.connection):
            users.deactivate(self.anna, "uma")
        self.assertEqual((self.sent(), self.waiting()), ([], []))
        self.write()
        self.assertEqual(self.waiting(), [])

    def test_without_an_address_nothing_is_written_and_what_waits_is_dropped(self) -> None:
        self.write()
        users.change_email(self.uma, None)
        self.write()
        self.assertEqual(len(self.waiting()), 1)
        self.assertEqual((self.sent(), self.waiting()), ([], []))

    def test_without_a_mail_server_nothing_is_written(self) -> None:
        self.set_up_mail(host=None)
        self.write()
        self.assertEqual(self.waiting(), [])

    def test_what_waits_about_a_deleted_work_order_is_dropped(self) -> None:
        self.write()
        self.connection.execute("UPDATE work_orders SET deleted_at = created_at WHERE id = 1")
        self.assertEqual((self.sent(), self.waiting()), ([], []))

    def test_who_may_not_see_the_work_order_any_more_gets_nothing(self) -> None:
        self.write()
        self.write("max")
        self.connection.execute("UPDATE work_orders SET requester_id = 4 WHERE id = 1")
        self.assertEqual([each.recipient for each in self.sent()], ["max@example.org"])
        self.write("max")
        with transaction(self.connection):
            users.change_role(self.anna, "max", users.Role.USER)
        self.assertEqual((self.sent(), self.waiting()), ([], []))

    def test_of_several_work_orders_only_those_that_the_recipient_may_see_are_told(self) -> None:
        self.write("uma", "one", (self.other.id, "two"), heading="anna changed 2 work orders.")
        self.write("max", "one", (self.other.id, "two"), heading="anna changed 2 work orders.")
        texts = {each.recipient: each.text.split("\n\n") for each in self.sent()}
        self.assertEqual(texts["uma@example.org"][:-1], ["anna changed 2 work orders.", "one"])
        self.assertEqual(texts["max@example.org"][:-1], ["anna changed 2 work orders.", "one", "two"])

    def test_a_message_says_how_to_get_no_more(self) -> None:
        users.add_caller(self.max, "Tom O'Brien", "tom@example.org")
        self.connection.execute("UPDATE work_orders SET requester_id = 5 WHERE id = 1")
        self.write("max")
        self.write("tom.o.brien")
        ends = {each.recipient: each.text.splitlines()[-1] for each in self.sent()}
        own_way = "To stop getting these messages, choose My account > Change email and answer none."
        self.assertEqual(ends["max@example.org"], own_way)
        self.assertEqual(ends["tom@example.org"], "To stop getting these messages, ask an admin, such as anna.")

    def test_a_change_that_is_rolled_back_leaves_no_message(self) -> None:
        with contextlib.suppress(KeyError), transaction(self.connection):
            users.put_in_outbox(self.connection, 3, "[#1] Printer jams", [(1, "text")])
            raise KeyError
        self.assertEqual(self.waiting(), [])

    def test_the_wish_for_mail_about_new_work_orders_is_a_managers_or_an_admins(self) -> None:
        users.change_mail_wish(self.max, MailWish.UNASSIGNED)
        self.assertEqual(users.current_user(self.max).new_work_order_mail, MailWish.UNASSIGNED)
        with self.assertRaises(PermissionDeniedError):
            users.change_mail_wish(self.uma, MailWish.ALL)


class MessageTest(MailTestCase):
    def test_it_is_plain_text_that_no_program_answers(self) -> None:
        self.write(text="max: status from Open to Resolved\n    New roller.")
        (message,) = self.sent()
        self.assertEqual((message.subject, message.message["To"]), ("[#1] Printer jams", "uma@example.org"))
        self.assertTrue(message.text.startswith("max: status from Open to Resolved\n    New roller.\n\n-- \n"))
        self.assertEqual(message.message.get_content_type(), "text/plain")
        self.assertEqual(message.message["Auto-Submitted"], "auto-generated")
        self.assertEqual(message.message["X-Auto-Response-Suppress"], "All")

    def test_messages_about_one_work_order_form_a_thread(self) -> None:
        for _ in range(2):
            self.write("max")
        with transaction(self.connection):
            users.put_in_outbox(self.connection, 2, "[#2] No sound", [(self.other.id, "text")])
        first, second, third = (each.message for each in self.sent())
        self.assertEqual((first["References"], first["In-Reply-To"]), (second["References"], first["References"]))
        self.assertNotEqual(first["References"], third["References"])
        self.assertEqual(len({each["Message-ID"] for each in (first, second, third)}), 3)
        self.assertRegex(first["Message-ID"], r"^<\S+@example\.org>$")
        self.assertRegex(first["References"], r"^<work-order-1@example\.org>$")

    def test_one_about_several_work_orders_belongs_to_no_thread(self) -> None:
        self.write("max", "one", (self.other.id, "two"))
        (message,) = self.sent()
        self.assertEqual((message.message["References"], message.message["In-Reply-To"]), (None, None))

    def test_nothing_typed_becomes_a_header_or_a_recipient(self) -> None:
        for title in (
            "=?utf-8?q?x?=",
            "=?x",
            "Bcc: eve@example.org",
            "a\r\nBcc: eve@example.org",
            "ü" * 120,
            "x" * 120,
            "two  spaces " * 10,
            "\u2028\x85\x0b\x1c\x1b[31m\u202e",
            "\U0001f469\u200d\U0001f467" * 40,
            '"<eve@example.org>, \\',
        ):
            with self.subTest(title=title):
                self.write(text=f"{title}\n.\nBcc: eve@example.org\n{'y' * 2000}")
                self.connection.execute("UPDATE outbox SET subject = ?", (title,))
                (message,) = self.sent()
                self.assertEqual(message.recipient, "uma@example.org")
                self.assertNotIn("Bcc", message.message)
                self.assertIn(f"\n.\nBcc: eve@example.org\n{'y' * 2000}\n", message.text)
                self.assertEqual(message.subject.split(), title.split())

    def test_a_text_in_any_script_arrives_as_it_was_written(self) -> None:
        for text in ("für Ümläute", "日本語 " * 500, "From here\n..\n\x1b[31m", "\u2028a\u2029b\x85c\x0bd\x0ce\x1cf"):
            with self.subTest(text=text[:20]):
                self.write(text=text)
                (message,) = self.sent()
                self.assertTrue(message.text.startswith(f"{text}\n\n-- "))


class RefusalTest(MailTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.write()

    def fail(self, **answers: str) -> users.Message:  # type: ignore[override]
        """Let one attempt fail and return what has become of the message."""
        self.server.answers = answers
        self.assertEqual(users.send_waiting(self.connection), 0)
        (message,) = self.waiting()
        return message

    def test_what_is_refused_for_now_waits_and_is_sent_later_under_the_same_message_id(self) -> None:
        (before,) = self.rows("SELECT message_id FROM outbox")
        message = self.fail(RCPT="450 greylisted")
        self.assertEqual((message.attempts, message.reason), (1, "450 greylisted"))
        self.server.answers = {}
        (sent,) = self.sent()
        self.assertEqual((sent.message["Message-ID"],), before)
        self.assertEqual(self.waiting(), [])

    def test_what_is_refused_for_good_has_failed_and_is_not_tried_again(self) -> None:
        for verb in ("RCPT", "DATA", "CONTENT"):
            with self.subTest(verb=verb):
                message = self.fail(**{verb: "550 5.1.1 no such user"})
                self.assertIsNone(message.next_attempt_at)
                self.assertEqual(users.describe_attempt(message), "failed")
                self.assertEqual(message.reason, "550 5.1.1 no such user")
                self.server.answers = {}
                self.assertEqual(self.sent(), [])
                self.connection.execute("UPDATE outbox SET next_attempt_at = created_at")

    def test_nothing_else_is_final(self) -> None:
        for verb in ("CONNECT", "EHLO", "MAIL", "RCPT", "DATA", "CONTENT"):
            for answer in ("421 later", CLOSE, "nonsense", "", f"550 {'x' * 9000}", "\0\xff"):
                with self.subTest(verb=verb, answer=answer[:20]):
                    message = self.fail(**{verb: answer, "HELO": answer})
                    self.assertIsNotNone(message.next_attempt_at)
                    self.assertTrue(message.reason)
                    self.taken()
        self.assertIsNotNone(self.fail(CONNECT="554 go away").next_attempt_at)
        self.assertIsNotNone(self.fail(MAIL="550 not from you").next_attempt_at)

    def test_a_wrong_password_waits(self) -> None:
        self.set_up_mail(username="it", password="wrong")
        message = self.fail(FEATURES="AUTH PLAIN LOGIN", AUTH="535 5.7.8 wrong")
        self.assertIsNotNone(message.next_attempt_at)
        self.assertEqual(message.reason, "535 5.7.8 wrong")

    def test_a_password_is_sent_to_a_server_that_takes_it(self) -> None:
        self.set_up_mail(username="it", password="right")
        self.server.answers = {"FEATURES": "AUTH PLAIN", "AUTH": "235 welcome"}
        self.assertEqual(len(self.sent()), 1)

    def test_without_a_server_all_of_them_wait_after_one_attempt_to_connect(self) -> None:
        self.write("max")
        self.server.answers["CONNECT"] = CLOSE
        users.send_waiting(self.connection)
        self.assertEqual([message.attempts for message in self.waiting()], [1, 1])
        self.assertEqual(self.server.commands, ["CONNECT"])
        self.set_up_mail(port=9)
        self.assertEqual(users.send_waiting(self.connection), 0)
        self.assertEqual([message.reason for message in self.waiting()], ["Connection refused"] * 2)

    def test_one_that_the_server_cannot_stand_does_not_hold_up_the_others(self) -> None:
        self.write("max")
        self.server.answers["RCPT"] = CLOSE
        users.send_waiting(self.connection)
        self.assertEqual(len([line for line in self.server.commands if line.startswith("RCPT")]), 2)

    def test_a_server_that_stalls_is_given_up_and_the_messages_wait(self) -> None:
        self.set("ANSWER_SECONDS", 0.05)
        for verb in ("CONNECT", "MAIL", "CONTENT"):
            with self.subTest(verb=verb):
                message = self.fail(**{verb: STALL})
                self.assertIn("timed out", message.reason)
                self.assertIsNotNone(message.next_attempt_at)

    def test_what_another_tool_has_broken_fails_and_the_others_go_out(self) -> None:
        self.write("max")
        self.connection.execute("UPDATE users SET email = 'a@b.c, d@e.f' WHERE username = 'uma'")
        self.assertEqual([each.recipient for each in self.sent()], ["max@example.org"])
        (failed,) = self.waiting()
        self.assertEqual((failed.username, failed.next_attempt_at), ("uma", None))

    def test_a_text_that_is_damaged_holds_up_no_other(self) -> None:
        self.write("max")
        self.connection.execute("UPDATE outbox SET subject = CAST(x'ff41' AS TEXT) WHERE user_id = 3")
        self.assertEqual(users.send_now(self.anna), "2 messages sent; 0 messages wait, 0 failed for good.")
        self.assertEqual([each.subject for each in self.taken()], ["\ufffdA", "[#1] Printer jams"])

    def test_the_pauses_grow(self) -> None:
        pauses = []
        for _ in range(11):
            self.fail(RCPT="450 later")
            (pause,) = self.rows("SELECT strftime('%s', next_attempt_at) - strftime('%s', 'now') FROM outbox")
            pauses.append(round(int(str(pause[0])) / 60))
        self.assertEqual(pauses, [1, 2, 4, 8, 16, 32, 64, 128, 240, 240, 240])
        self.assertEqual(users.send_waiting(self.connection, due_only=True), 0)
        self.assertEqual(self.waiting()[0].attempts, 11)

    def test_it_has_failed_after_three_days_and_ten_attempts_at_least(self) -> None:
        self.age_outbox(users.RETRIED_SECONDS)
        for _ in range(users.RETRIED_AT_LEAST):
            self.assertIsNotNone(self.fail(RCPT="450 later").next_attempt_at)
        self.assertIsNone(self.fail(RCPT="450 later").next_attempt_at)

    def test_what_the_server_took_is_sent_however_it_takes_leave(self) -> None:
        for answer in (CLOSE, "500 what?", STALL):
            self.server.answers["QUIT"] = answer
            self.assertEqual(len(self.sent()), 1)
            self.write()

    def test_our_own_name_is_not_looked_up(self) -> None:
        with mock.patch("socket.getfqdn") as asked:
            self.assertEqual(len(self.sent()), 1)
        asked.assert_not_called()
        self.assertIn("EHLO [127.0.0.1]", self.server.commands)


class ClockTest(MailTestCase):
    def test_what_was_written_while_the_clock_was_ahead_goes_out_when_it_is_right_again(self) -> None:
        self.write()
        self.age_outbox(-365 * 24 * 3600)
        self.assertEqual(users.send_waiting(self.connection, due_only=True), 1)

    def test_an_attempt_that_failed_while_the_clock_was_ahead_is_tried_again_and_fails_some_day(self) -> None:
        self.server.answers["RCPT"] = "450 later"
        self.write()
        users.send_waiting(self.connection)
        self.age_outbox(-365 * 24 * 3600)
        users.send_waiting(self.connection, due_only=True)
        (message,) = self.waiting()
        self.assertEqual(message.attempts, 2)
        self.assertLessEqual(message.created_at, datetime.now(timezone.utc))

    def test_a_pause_is_not_taken_for_a_wrong_clock(self) -> None:
        self.server.answers["RCPT"] = "450 later"
        self.write()
        self.connection.execute("UPDATE outbox SET attempts = 20")
        users.send_waiting(self.connection)
        self.assertEqual(users.send_waiting(self.connection, due_only=True), 0)
        self.assertEqual(self.waiting()[0].attempts, 21)


class EncryptionTest(MailTestCase):
    host = "localhost"

    def setUp(self) -> None:
        super().setUp()
        self.certificate = self.folder / "certificate.pem"
        self.certificate.write_text(CERTIFICATE)
        self.server.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.server.context.load_cert_chain(self.certificate)
        self.write()

    def attempts(self) -> List[str]:
        """Try both ways of encryption, and return the reasons why nothing was sent, or nothing where it was."""
        reasons = []
        for security in (Security.STARTTLS, Security.TLS):
            self.server.is_tls = security is Security.TLS
            self.set_up_mail(host=self.host, security=security)
            users.send_waiting(self.connection)
            reasons += [message.reason for message in self.waiting()]
        return reasons

    def test_a_certificate_that_nobody_vouches_for_is_refused_and_the_message_waits(self) -> None:
        for reason in self.attempts():
            self.assertIn("CERTIFICATE_VERIFY_FAILED", reason)
        self.assertEqual((len(self.waiting()), self.taken()), (1, []))
        self.assertNotIn("MAIL", "".join(self.server.commands))

    def test_a_trusted_certificate_of_another_name_is_refused_too(self) -> None:
        self.host = "127.0.0.1"
        with mock.patch.dict(os.environ, SSL_CERT_FILE=str(self.certificate)):
            reasons = self.attempts()
        self.assertEqual(["CERTIFICATE_VERIFY_FAILED" in reason for reason in reasons], [True, True])

    def test_a_trusted_one_of_the_right_name_is_accepted(self) -> None:
        with mock.patch.dict(os.environ, SSL_CERT_FILE=str(self.certificate)):
            self.assertEqual(self.attempts(), [])
            self.write()
            self.assertEqual(len(self.sent()), 2)

    def test_starttls_that_is_not_offered_means_no_message(self) -> None:
        self.server.context = None
        self.set_up_mail(security=Security.STARTTLS)
        self.assertEqual(self.sent(), [])
        self.assertIn("STARTTLS", self.waiting()[0].reason)


class SettingsTest(MailTestCase):
    def stored(self) -> Tuple[object, ...]:
        (row,) = self.rows("SELECT host, port, security, sender, username, password FROM mail_settings")
        return row

    def test_only_admins_get_at_mail(self) -> None:
        shown, _ = users.mail_state(self.anna)
        for session in (self.max, self.uma):
            calls: Tuple[Callable[[users.Session], object], ...] = (
                users.mail_state,
                users.outbox,
                users.send_now,
                lambda session: users.send_test_message(session, "max@example.org"),
                lambda session: users.change_mail_settings(session, shown, shown),
            )
            for number, call in enumerate(calls):
                with self.subTest(number=number), self.assertRaises(PermissionDeniedError):
                    call(session)

    def test_they_are_stored_and_audited_without_the_password(self) -> None:
        self.set_up_mail(username="helper", password="kept secret")
        self.assertEqual(self.stored()[2:], ("none", "it@example.org", "helper", "kept secret"))
        shown, _ = users.mail_state(self.anna)
        self.assertNotIn("secret", str(shown))
        subject = self.rows("SELECT subject FROM audit_log ORDER BY id DESC LIMIT 1")
        self.assertEqual(subject, [(f"127.0.0.1:{self.server.port} (none) as helper, from it@example.org",)])

    def test_a_new_host_port_or_security_forgets_the_password(self) -> None:
        for change in ({"host": "localhost"}, {"port": 9}, {"security": Security.TLS}, {"host": None}):
            with self.subTest(change=change):
                self.set_up_mail(username="helper", password="kept secret")
                shown, _ = users.mail_state(self.anna)
                stored = users.change_mail_settings(self.anna, shown, shown._replace(**change))
                self.assertEqual((self.stored()[-1], stored.password), (None, None))

    def test_a_password_that_is_typed_again_goes_to_the_new_server(self) -> None:
        self.set_up_mail(username="helper", password="kept secret")
        self.set_up_mail(username="helper", password="kept secret", port=9)
        self.assertEqual(self.stored()[-1], "kept secret")

    def test_other_changes_keep_the_password(self) -> None:
        self.set_up_mail(username="helper", password="kept secret")
        shown, _ = users.mail_state(self.anna)
        users.change_mail_settings(self.anna, shown, shown._replace(sender="help@example.org"))
        self.assertEqual(self.stored()[-3:], ("help@example.org", "helper", "kept secret"))

    def test_what_one_admin_has_not_touched_is_not_overwritten_with_what_they_saw_before(self) -> None:
        shown, _ = users.mail_state(self.anna)
        self.set_up_mail(port=9, username="helper", password="kept secret")
        users.change_mail_settings(self.anna, shown, shown._replace(sender="help@example.org"))
        self.assertEqual(self.stored(), ("127.0.0.1", 9, "none", "help@example.org", "helper", "kept secret"))

    def test_a_field_that_two_admins_changed_is_refused(self) -> None:
        self.set_up_mail(username="helper", password="kept secret")
        shown, _ = users.mail_state(self.anna)
        for change, again, words in (
            ({"port": 9}, {"port": 25}, "The port is now 9: anna changed it"),
            ({"password": "x"}, {"password": "y"}, "The password is now another: anna changed it"),
        ):
            users.change_mail_settings(self.anna, shown, shown._replace(**change))
            with self.subTest(change=change), self.assertRaisesRegex(ConflictError, words):
                users.change_mail_settings(self.anna, shown, shown._replace(**again))
            self.set_up_mail(username="helper", password="kept secret")

    def test_wrong_answers_are_refused(self) -> None:
        for parse, texts in (
            (users.parse_mail_host, ("a b", "smtp.example.org\r\n", "ü.org", "x" * 254)),
            (users.parse_port, ("0", "65536", "x", "-1", "٢٥")),
            (users.parse_address, ("none", "a", "a@b.c\nBcc: d@e.f", "a@b.c, d@e.f")),
            (users.parse_credential, ("x" * 1001, "pässword", "a\nb")),
        ):
            for text in texts:
                with self.subTest(text=text), self.assertRaises(InvalidInputError):
                    parse(text)

    def test_a_host_needs_a_sender(self) -> None:
        with self.assertRaises(InvalidInputError):
            self.set_up_mail(sender=None)


class TestMessageTest(MailTestCase):
    def test_it_is_sent_at_once_and_the_servers_own_words_are_returned(self) -> None:
        self.assertEqual(users.send_test_message(self.anna, "eve@example.org"), "250 kept as 7")
        (message,) = self.taken()
        self.assertEqual((message.recipient, message.subject), ("eve@example.org", "Test message"))
        self.assertEqual(message.message["Auto-Submitted"], "auto-generated")

    def test_a_refusal_is_told_in_the_servers_words(self) -> None:
        self.server.answers["RCPT"] = "550 no such user"
        with self.assertRaisesRegex(ApplicationError, r"The message was not sent \(550 no such user\)\."):
            users.send_test_message(self.anna, "eve@example.org")

    def test_nobody_waits_for_a_server_that_stalls(self) -> None:
        self.set("WAITED_SECONDS", 0.05)
        self.server.answers["CONNECT"] = STALL
        with self.assertRaisesRegex(ApplicationError, "No answer within"):
            users.send_test_message(self.anna, "eve@example.org")

    def test_without_a_mail_server_there_is_none(self) -> None:
        self.set_up_mail(host=None)
        with self.assertRaisesRegex(ApplicationError, "no SMTP host"):
            users.send_test_message(self.anna, "eve@example.org")


class OutboxTest(MailTestCase):
    def test_it_is_listed_newest_first_by_pages(self) -> None:
        for name in ("uma", "max", "uma"):
            self.write(name)
        first, second = users.outbox(self.anna, limit=2)
        self.assertEqual([first.username, second.username], ["uma", "max"])
        self.assertEqual([each.id for each in users.outbox(self.anna, second, 2)], [1])

    def test_what_waits_and_what_has_failed_is_counted(self) -> None:
        self.write()
        self.server.answers["RCPT"] = "550 no such user"
        users.send_waiting(self.connection)
        self.write()
        self.assertTrue(users.mail_state(self.anna)[1].endswith("; 1 message waits, 1 failed for good"))

    def test_send_now_tries_what_waits_whatever_its_pause(self) -> None:
        self.server.answers["RCPT"] = "450 later"
        self.write()
        users.send_waiting(self.connection)
        self.server.answers = {}
        self.assertEqual(users.send_now(self.anna), "1 message sent; 0 messages wait, 0 failed for good.")
        self.assertEqual((len(self.taken()), self.waiting()), (1, []))

    def test_send_now_does_not_wait_for_a_server_that_stalls(self) -> None:
        self.set("WAITED_SECONDS", 0.05)
        self.write()
        self.server.answers["CONNECT"] = STALL
        self.assertEqual(users.send_now(self.anna), "Sending continues in the background.")
        self.assertTrue(self.server.stalled.wait(PATIENCE_SECONDS))
        self.assertEqual([users.describe_attempt(message) for message in self.waiting()], ["being sent"])


class BackgroundTest(MailTestCase):
    def mailer(self) -> users.Mailer:
        mailer = users.Mailer(self.connection, self.fail)
        self.addCleanup(mailer.finish)
        self.addCleanup(self.server.released.set)
        return mailer

    def test_what_is_saved_is_sent(self) -> None:
        mailer = self.mailer()
        mailer.wake()
        self.write()
        mailer.wake()
        self.assertEqual(self.server.received.get(timeout=PATIENCE_SECONDS).recipient, "uma@example.org")

    def test_a_session_that_has_nothing_to_send_sends_what_others_save(self) -> None:
        self.set("MAILER_SECONDS", 0.01)
        self.mailer().wake()
        self.write()
        self.assertEqual(self.server.received.get(timeout=PATIENCE_SECONDS).recipient, "uma@example.org")

    def test_without_mail_there_is_nothing_in_the_background(self) -> None:
        self.set_up_mail(host=None)
        before = threading.active_count()
        mailer = self.mailer()
        mailer.wake()
        mailer.finish()
        self.assertEqual(threading.active_count(), before)

    def test_what_was_saved_last_is_sent_at_the_end(self) -> None:
        self.set("FINISH_SECONDS", PATIENCE_SECONDS)
        mailer = self.mailer()
        mailer.wake()
        self.write()
        mailer.finish()
        self.assertEqual((len(self.taken()), self.waiting()), (1, []))

    def test_whether_a_message_is_still_due_is_asked_when_it_is_claimed(self) -> None:
        self.set("FINISH_SECONDS", PATIENCE_SECONDS)
        self.write()
        self.write("max")
        self.server.answers["CONTENT"] = STALL
        mailer = self.mailer()
        mailer.wake()
        self.assertTrue(self.server.stalled.wait(PATIENCE_SECONDS))
        later = database.utc_text(datetime.now(timezone.utc) + timedelta(minutes=1))
        self.connection.execute("UPDATE outbox SET next_attempt_at = ? WHERE user_id = 2", (later,))
        self.server.released.set()
        mailer.finish()
        self.assertEqual([each.recipient for each in self.taken()], ["uma@example.org"])

    def test_what_another_session_is_sending_is_not_sent_twice(self) -> None:
        self.set("FINISH_SECONDS", PATIENCE_SECONDS)
        self.write()
        self.server.answers["CONTENT"] = STALL
        mailer = self.mailer()
        mailer.wake()
        self.assertTrue(self.server.stalled.wait(PATIENCE_SECONDS))
        self.assertEqual(users.send_waiting(self.connection), 0)
        self.server.released.set()
        mailer.finish()
        self.assertEqual((len(self.taken()), self.waiting()), (1, []))

    def test_starting_the_program_imports_nothing_of_mail(self) -> None:
        program = "import sys, main; print({'smtplib', 'email', 'ssl', 'socket', 'concurrent'} & {*sys.modules})"
        done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
        self.assertEqual(done.stdout, "set()\n")


class KilledTest(MailTestCase):
    """A program that is killed while it sends loses nothing."""

    def send_and_kill(self, verb: str) -> None:
        self.server.answers = {verb: STALL}
        self.server.stalled.clear()
        self.server.released.clear()
        code = "import database, users; users.send_waiting(database.connect(database.default_path()), due_only=True)"
        sender = subprocess.Popen(
            [sys.executable, "-c", code], env=environment(self.path, PYTHONPATH=str(ROOT)), stderr=subprocess.DEVNULL
        )
        self.assertTrue(self.server.stalled.wait(PATIENCE_SECONDS))
        sender.kill()
        sender.wait()
        self.server.released.set()
        self.server.answers = {}

    def test_the_message_is_sent_when_the_claim_is_over(self) -> None:
        for verb in ("CONNECT", "RCPT", "CONTENT"):
            with self.subTest(verb=verb):
                self.write()
                self.send_and_kill(verb)
                self.assertEqual(users.send_waiting(self.connection), 0)  # the claim stands
                self.age_outbox(users.CLAIM_SECONDS)
                self.assertEqual(users.send_waiting(self.connection, due_only=True), 1)
                self.server.received.get(timeout=PATIENCE_SECONDS)
                self.taken()

    def test_what_may_have_arrived_is_sent_again_under_the_same_message_id(self) -> None:
        self.write()
        self.send_and_kill("CONTENT")
        first = self.server.received.get(timeout=PATIENCE_SECONDS)
        self.age_outbox(users.CLAIM_SECONDS)
        (again,) = self.sent()
        self.assertEqual((again.message["Message-ID"], again.text), (first.message["Message-ID"], first.text))

    def test_a_kill_in_the_last_attempt_loses_nothing(self) -> None:
        self.write()
        self.age_outbox(2 * users.RETRIED_SECONDS)
        self.connection.execute("UPDATE outbox SET attempts = 100")
        self.send_and_kill("RCPT")
        self.age_outbox(users.CLAIM_SECONDS)
        self.assertEqual(len(self.sent()), 1)


class CommandTest(MailTestCase):
    def test_it_ends_with_1_if_something_still_waits_and_not_for_what_has_failed(self) -> None:
        self.write("max")
        self.write()
        self.server.answers["RCPT"] = "450 later"
        ended = run(self.path, program=ROOT / "work_order.py")
        self.assertEqual(ended, ("Error: 0 messages sent; 2 messages wait, 0 failed for good.\n", 1))
        self.server.answers = {}
        self.connection.execute("UPDATE outbox SET next_attempt_at = NULL WHERE user_id = 3")
        ended = run(self.path, program=ROOT / "work_order.py")  # whatever the pause of the other
        self.assertEqual(ended, ("1 message sent; 0 messages wait, 1 failed for good.\n", 0))
        self.assertEqual(len(self.taken()), 1)

    def test_arguments_get_a_usage_line_and_2(self) -> None:
        self.assertEqual(run(self.path, program=ROOT / "work_order.py", arguments=["x"]).code, 2)


class ProgramTest(MailTestCase):
    def test_the_end_of_the_program_sends_what_was_saved_last(self) -> None:
        self.run_as("max", "#1", "Add comment", "on my way")
        self.assertEqual(self.server.received.get(timeout=PATIENCE_SECONDS).recipient, "uma@example.org")

    def test_settings_are_asked_for_in_order_and_kept_by_an_empty_answer(self) -> None:
        self.set_up_mail(host=None, sender=None, port=587, security=Security.STARTTLS)
        answers = ("smtp.example.org", 25, "none", "it@example.org", "helper", "kept secret")
        output = self.run_as("anna", "Data and audit", "Mail", "Settings", *answers, "Settings", *[""] * 6)
        prompts = ("SMTP host [none]: ", "Port [587]: ", "Security [starttls]: ", "Sender's address: ")
        again = ("SMTP host [smtp.example.org]: ", "Port [25]: ", "Password [unchanged]: ")
        self.assertRegex(output, "(?s)" + ".*".join(map(re.escape, (*prompts, *again))))
        stored = self.rows("SELECT port, username, password FROM mail_settings")
        self.assertEqual(stored, [(25, "helper", "kept secret")])
        self.assertNotIn("secret", output)

    def test_a_server_that_stalls_holds_up_no_save_and_not_the_end(self) -> None:
        self.server.answers["CONNECT"] = STALL
        talk = self.talk()
        talk.log_in("max")
        talk.choose("#1", "Add comment")
        talk.answer("Comment: ", "one")
        self.assertTrue(self.server.stalled.wait(PATIENCE_SECONDS))
        talk.choose("Add comment")
        talk.answer("Comment: ", "two")
        talk.expect("Comment on work order #1 added.")
        ended = talk.end()
        self.assertEqual((ended.code, self.server.released.is_set()), (0, False))
        self.assertNotIn("Error", ended.output)

    def test_waiting_messages_are_listed_with_their_reason(self) -> None:
        self.server.answers["RCPT"] = f"550 no\x1b[31m such user {'x' * 200}"
        self.write()
        users.send_waiting(self.connection)
        output = self.run_as("anna", "Data and audit", "Mail", "Show waiting messages")
        self.assertIn("; 0 messages wait, 1 failed for good\n", output)
        self.assertRegex(output, r"550 no\\x1b\[31m such user x+")


if __name__ == "__main__":
    unittest.main()
