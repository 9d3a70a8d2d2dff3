"""Mail: whom a change concerns, what they read, and a mail server that takes it, refuses it, stalls or dies."""

import contextlib
import email.message
import email.policy
import os
import queue
import re
import signal
import socketserver
import sqlite3
import ssl
import subprocess
import sys
import threading
import unittest
from email.parser import BytesParser
from typing import Any, Dict, List, NamedTuple, Optional, Tuple
from unittest import mock

from support import (
    PASSWORD,
    PATIENCE_SECONDS,
    ROOT,
    DatabaseTestCase,
    command,
    environment,
    needs_terminal,
    run,
)

import database
import users
import work_order
from users import MailError, MailSettings, Role, Security, Stage, Stop
from work_order import Priority, Status, WorkOrder

STALL, CLOSE, TRICKLE, FLOOD = "stall", "close", "trickle", "flood"
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

    STALL waits until the server is released and then goes on, CLOSE hangs up, TRICKLE never comes to an end of it, and
    neither does FLOOD, as fast as it can.
    CONNECT is the greeting, CONTENT the answer to a message.
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
        while answer == FLOOD:
            self.wfile.write(b"250-more\r\n" * 1000)
        if answer in (STALL, TRICKLE):
            self.server.stalled.set()
            while not self.server.released.wait(0.02 if answer == TRICKLE else PATIENCE_SECONDS):
                self.wfile.write(b"250-more\r\n")
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
    """A test in which everybody has an address, and a mail server."""

    def setUp(self) -> None:
        super().setUp()
        self.connection.execute("PRAGMA synchronous = OFF")  # no power fails here, and the tests write a lot
        self.connection.execute("UPDATE users SET email = username || '@example.org'")
        self.server = MailServer()
        self.addCleanup(self.server.end)
        self.set_up_mail()

    def set_up_mail(self, **changes: Any) -> None:
        usual = MailSettings("127.0.0.1", self.server.port, Security.NONE, "it@example.org", None, None)
        users.change_mail_settings(self.anna, usual._replace(**changes))

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

    def heard(self) -> Dict[str, str]:
        """Send what waits, and return the subject that each recipient got."""
        return {each.recipient.split("@")[0]: each.subject for each in self.sent()}

    def waiting(self) -> List[users.Message]:
        return users.outbox(self.anna)

    def assigned(self, title: str = "Printer jams") -> WorkOrder:
        """Return a work order that uma requested and max has; everybody has heard of it."""
        row = self.create(self.uma, title)
        work_order.change(self.anna, row, work_order.ASSIGNEE, "max")
        self.sent()
        return self.get(self.anna, row.id)

    def expire_claims(self) -> None:
        self.connection.execute("UPDATE outbox SET claimed_until = '2026-01-01T00:00:00+00:00'")


class WhoHearsTest(MailTestCase):
    def test_requester_and_assignee_hear_of_a_status_that_somebody_else_changed(self) -> None:
        row = self.assigned()
        work_order.change_status(self.anna, row, Status.RESOLVED, "new roller")
        self.assertEqual(self.heard(), dict.fromkeys(("uma", "max"), "[#1] Printer jams: Resolved"))

    def test_nobody_hears_of_what_they_did_themselves(self) -> None:
        row = self.assigned()
        work_order.comment(self.uma, row.id, "it jams again")
        work_order.comment(self.max, row.id, "on my way")
        self.assertEqual(self.heard(), dict.fromkeys(("uma", "max"), "[#1] Printer jams: comment"))
        self.create(self.uma)
        self.assertEqual(self.heard(), {})

    def test_of_an_assignment_the_requester_hears_and_the_new_assignee_and_the_former_one(self) -> None:
        mia = self.session("mia", Role.MANAGER, ("anna", PASSWORD))
        users.change_email(mia, "mia@example.org")
        row = self.assigned()
        work_order.change(self.anna, row, work_order.ASSIGNEE, "mia")
        self.assertEqual(self.heard(), dict.fromkeys(("uma", "max", "mia"), "[#1] Printer jams: assigned to mia"))
        work_order.change(self.anna, self.get(self.anna, 1), work_order.ASSIGNEE, None)
        self.assertEqual(self.heard(), dict.fromkeys(("uma", "mia"), "[#1] Printer jams: assigned to nobody"))

    def test_a_requester_hears_of_what_was_created_for_them(self) -> None:
        work_order.create(self.max, "New laptop", "13 inches", Priority.LOW, requester="uma")
        (message,) = self.sent()
        self.assertEqual((message.recipient, message.subject), ("uma@example.org", "[#1] New laptop: created"))
        self.assertIn("max: created\n    13 inches\n", message.text)

    def test_the_new_requester_hears_as_of_a_creation_and_the_old_one_nothing(self) -> None:
        row = self.create(self.uma, description="Tray 2")
        work_order.comment(self.max, row.id, "for uma's eyes")
        work_order.change(self.max, row, work_order.REQUESTER, "ugo")
        (message,) = self.sent()
        self.assertEqual((message.recipient, message.subject), ("ugo@example.org", "[#1] Printer jams: created"))
        self.assertIn("Tray 2", message.text)
        self.assertEqual(self.waiting(), [])

    def test_other_changes_are_told_to_nobody(self) -> None:
        row = self.assigned()
        work_order.change(self.anna, row, work_order.TITLE, "Printer")
        work_order.change(self.anna, row, work_order.PRIORITY, Priority.HIGH)
        work_order.delete(self.anna, row.id)
        work_order.restore(self.anna, row.id)
        self.assertEqual(self.waiting(), [])

    def test_no_mail_tells_of_work_orders_that_lose_their_assignee_with_the_account(self) -> None:
        self.assigned()
        users.deactivate(self.anna, "max")
        self.assertEqual((self.get(self.anna, 1).assignee, self.waiting()), (None, []))

    def test_an_assignee_who_has_become_a_user_hears_no_more_of_what_is_not_theirs(self) -> None:
        row = self.assigned()
        work_order.change_status(self.anna, row, Status.RESOLVED)  # finished, it keeps its assignee
        users.change_role(self.anna, "max", Role.USER)
        self.assertEqual(self.heard(), {"uma": "[#1] Printer jams: Resolved"})
        work_order.comment(self.uma, row.id, "thanks")
        self.assertEqual(self.waiting(), [])

    def test_a_deactivated_account_gets_nothing_not_even_what_waits(self) -> None:
        row = self.assigned()
        work_order.comment(self.anna, row.id, "one")
        users.deactivate(self.anna, "uma")
        self.assertEqual(self.heard(), {"max": "[#1] Printer jams: comment"})
        work_order.comment(self.max, row.id, "two")
        self.assertEqual(self.waiting(), [])

    def test_what_waits_about_a_deleted_work_order_is_dropped(self) -> None:
        row = self.assigned()
        work_order.comment(self.anna, row.id, "one")
        work_order.delete(self.anna, row.id)
        self.assertEqual((self.heard(), self.waiting()), ({}, []))

    def test_the_address_is_the_one_at_the_time_of_sending_and_without_one_the_message_is_dropped(self) -> None:
        row = self.assigned()
        work_order.comment(self.anna, row.id, "one")
        users.change_email(self.uma, "uma@example.com")
        users.change_email(self.max, None)
        (message,) = self.sent()
        self.assertEqual((message.sender, message.recipient), ("it@example.org", "uma@example.com"))
        self.assertEqual(self.waiting(), [])

    def test_without_a_mail_server_nothing_is_put_in_the_outbox(self) -> None:
        row = self.assigned()
        self.set_up_mail(host=None)
        work_order.comment(self.anna, row.id, "one")
        self.assertEqual(self.waiting(), [])

    def test_a_change_that_fails_leaves_no_message(self) -> None:
        row = self.assigned()
        with (
            mock.patch.object(users, "put_in_outbox", side_effect=sqlite_full),
            self.assertRaises(sqlite3.Error),
        ):
            work_order.change_status(self.anna, row, Status.RESOLVED)
        self.assertEqual((self.get(self.anna, row.id).status, self.waiting()), (Status.OPEN, []))


def sqlite_full(*_: object) -> None:
    raise sqlite3.OperationalError("database or disk is full")


class MessageTest(MailTestCase):
    def test_it_says_what_changed_by_whom_with_note_title_and_number(self) -> None:
        row = self.assigned("Printer on floor 3 jams")
        work_order.change_status(self.max, row, Status.RESOLVED, "New roller.\nTested.")
        (message,) = self.sent()
        self.assertEqual(message.subject, "[#1] Printer on floor 3 jams: Resolved")
        self.assertRegex(
            message.text,
            r"^Work order #1: Printer on floor 3 jams\n\n"
            r"\d{4}-\d\d-\d\d \d\d:\d\d [+-]\d{4}  "
            r'max: status from "Open" to "Resolved"\n    New roller.\n    Tested.\n\n',
        )
        self.assertEqual(message.message["Auto-Submitted"], "auto-generated")
        self.assertEqual(message.message.get_content_type(), "text/plain")
        self.assertEqual(message.message["To"], "uma@example.org")

    def test_messages_of_one_work_order_form_a_thread(self) -> None:
        first, second = self.assigned(), self.assigned("Other")
        headers = []
        for row in (first, first, second):
            work_order.comment(self.max, row.id, "text")
            (message,) = self.sent()
            headers.append(message.message)
        threads = [each["References"] for each in headers]
        self.assertEqual((threads[0], threads[0] == threads[2]), (threads[1], False))
        self.assertEqual(headers[0]["In-Reply-To"], threads[0])
        self.assertEqual(len({each["Message-ID"] for each in headers}), 3)
        self.assertRegex(headers[0]["Message-ID"], r"^<\S+@example\.org>$")

    def test_hostile_titles_and_notes_arrive_as_typed_and_add_no_header_and_no_recipient(self) -> None:
        titles = (
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
        )
        for title in titles:
            with self.subTest(title=title):
                row = self.create(self.uma, title)
                work_order.comment(self.max, row.id, f"{title}\n.\nBcc: eve@example.org\n{'y' * 2000}")
                (message,) = self.sent()
                self.assertEqual(message.subject, f"[#{row.id}] {row.title}: comment")
                self.assertEqual(message.recipient, "uma@example.org")
                self.assertNotIn("Bcc", message.message)
                self.assertNotIn("\nBcc", message.text)
                self.assertIn(f"\n    .\n    Bcc: eve@example.org\n    {'y' * 2000}\n", message.text)

    def test_a_note_in_any_script_arrives_as_typed_in_lines_of_ascii(self) -> None:
        row = self.create(self.uma)
        for note in ("für Ümläute", "日本語 " * 500, "From here\n..\n\x1b[31m", "\u2028a\u2029b\x85c\x0bd\x0ce\x1cf"):
            with self.subTest(note=note[:20]):
                work_order.comment(self.max, row.id, note)
                (message,) = self.sent()
                self.assertIn("\n    ".join(["", *work_order.parse_text(note).split("\n")]), message.text)

    def test_changes_within_a_minute_become_one_message_with_the_last_status(self) -> None:
        row = self.create(self.uma)
        work_order.take(self.max, row)
        work_order.change_status(self.max, self.get(self.max, 1), Status.ON_HOLD, "part ordered")
        work_order.comment(self.max, 1, "comes tomorrow")
        (message,) = self.sent()
        self.assertEqual(message.subject, "[#1] Printer jams: On Hold")
        told = re.findall(r"max: (.*)", message.text)
        self.assertEqual(told[0], 'assignee from "nobody" to "max"')
        self.assertEqual(told[1:3], ['status from "Open" to "In Progress"', 'status from "In Progress" to "On Hold"'])
        self.assertEqual(told[3:], ["commented"])

    def test_what_is_not_of_the_same_minute_person_or_work_order_is_a_message_of_its_own(self) -> None:
        first, second = self.assigned(), self.create(self.ugo)
        work_order.comment(self.anna, first.id, "one")
        work_order.comment(self.anna, second.id, "two")
        self.connection.execute("UPDATE outbox SET created_at = '2026-01-01T00:00:00+00:00'")
        work_order.comment(self.anna, second.id, "three")
        self.assertEqual(len(self.waiting()), 4)

    def test_it_is_merged_after_a_connection_that_failed_but_not_once_it_was_transmitted(self) -> None:
        row = self.assigned()
        work_order.comment(self.max, row.id, "one")
        self.server.answers["CONNECT"] = "421 later"
        users.send_waiting(self.connection)
        work_order.comment(self.max, row.id, "two")
        self.assertEqual(len(self.waiting()), 1)
        self.server.answers = {"CONTENT": "451 later"}
        users.send_waiting(self.connection)
        work_order.comment(self.max, row.id, "three")
        self.assertEqual(len(self.waiting()), 2)
        self.server.answers = {}
        first, second = self.sent()
        self.assertEqual(["one" in first.text, "two" in first.text, "three" in first.text], [True, True, False])
        self.assertIn("three", second.text)


class RefusalTest(MailTestCase):
    def setUp(self) -> None:
        super().setUp()
        row = self.create(self.uma)
        work_order.comment(self.max, row.id, "text")

    def fail(self, **answers: str) -> users.Message:  # type: ignore[override]
        """Let one attempt fail and return what has become of the message."""
        self.server.answers = answers
        self.assertEqual(users.send_waiting(self.connection), 0)
        (message,) = self.waiting()
        return message

    def test_what_is_refused_for_now_waits_and_is_sent_later_under_the_same_message_id(self) -> None:
        (before,) = self.rows("SELECT message_id FROM outbox")
        message = self.fail(RCPT="450 greylisted")
        self.assertEqual((message.failed_at, message.attempts, message.reason), (None, 1, "450 greylisted"))
        self.server.answers = {}
        (sent,) = self.sent()
        self.assertEqual((sent.message["Message-ID"],), before)
        self.assertEqual(self.waiting(), [])

    def test_what_is_refused_for_good_has_failed_and_is_not_tried_again(self) -> None:
        for verb in ("RCPT", "DATA", "CONTENT"):
            with self.subTest(verb=verb):
                message = self.fail(**{verb: "550 5.1.1 no such user"})
                self.assertTrue(message.failed_at)
                self.assertEqual(message.reason, "550 5.1.1 no such user")
                self.server.answers = {}
                self.assertEqual(self.sent(), [])
                self.connection.execute("UPDATE outbox SET failed_at = NULL")

    def test_nothing_else_is_final(self) -> None:
        for verb in ("CONNECT", "EHLO", "MAIL", "RCPT", "DATA", "CONTENT"):
            for answer in ("421 later", CLOSE, "nonsense", "", f"550 {'x' * 9000}", "\0\xff"):
                with self.subTest(verb=verb, answer=answer[:20]):
                    message = self.fail(**{verb: answer, "HELO": answer})
                    self.assertIsNone(message.failed_at)
                    self.assertTrue(message.reason)
                    self.taken()
        self.assertIsNone(self.fail(CONNECT="554 go away").failed_at)
        self.assertIsNone(self.fail(MAIL="550 not from you").failed_at)

    def test_a_wrong_password_waits(self) -> None:
        self.set_up_mail(username="it", password="wrong")
        message = self.fail(FEATURES="AUTH PLAIN LOGIN", AUTH="535 5.7.8 wrong")
        self.assertEqual((message.failed_at, message.reason), (None, "535 5.7.8 wrong"))

    def test_a_password_that_smtplib_cannot_send_waits_and_is_not_shown(self) -> None:
        self.set_up_mail(username="it", password="pässword")
        message = self.fail(FEATURES="AUTH PLAIN LOGIN")
        self.assertEqual(message.reason, "only ASCII can be sent as username and password")
        self.assertIsNone(message.failed_at)

    def test_a_password_is_sent_to_a_server_that_takes_it(self) -> None:
        self.set_up_mail(username="it", password="right")
        self.server.answers = {"FEATURES": "AUTH PLAIN", "AUTH": "235 welcome"}
        self.assertEqual(len(self.sent()), 1)

    def test_without_a_server_all_of_them_wait_after_one_attempt_to_connect(self) -> None:
        work_order.comment(self.max, self.create(self.ugo).id, "text")
        self.server.answers["CONNECT"] = CLOSE
        users.send_waiting(self.connection)
        self.assertEqual([message.attempts for message in self.waiting()], [1, 1])
        self.assertEqual(self.server.commands, ["CONNECT"])
        self.set_up_mail(port=9)
        self.assertEqual(users.send_waiting(self.connection), 0)
        self.assertEqual([message.reason for message in self.waiting()], ["Connection refused"] * 2)

    def test_one_that_the_server_cannot_stand_does_not_hold_up_the_others(self) -> None:
        work_order.comment(self.max, self.create(self.ugo).id, "text")
        self.server.answers["RCPT"] = CLOSE
        users.send_waiting(self.connection)
        self.assertEqual(len([line for line in self.server.commands if line.startswith("RCPT")]), 2)

    def test_a_server_that_stalls_and_one_that_refuses_the_sender_end_the_attempts_for_all(self) -> None:
        work_order.comment(self.max, self.create(self.ugo).id, "text")
        self.connection.execute("UPDATE outbox SET claimed_until = '2026-01-01T00:00:00+00:00' WHERE user_id = 4")
        for answers in ({"MAIL": "550 not from you"}, {"RCPT": STALL}, {"CONTENT": STALL}):
            with self.subTest(answers=answers), mock.patch.object(users, "ATTEMPT_SECONDS", 0.05):
                self.server.commands.clear()
                self.server.answers = answers
                self.assertEqual(users.send_waiting(self.connection), 0)
                self.assertEqual([message.claimed_until for message in self.waiting()], [None, None])
                self.assertEqual(self.server.commands.count("CONNECT"), 1)
        self.assertEqual([message.attempts for message in self.waiting()], [3, 3])
        # Whoever had claimed the second one may have transmitted it, and so may we the first one.
        self.assertEqual(self.rows("SELECT was_transmitted FROM outbox"), [(1,), (1,)])

    def test_a_server_that_never_ends_its_answer_is_not_listened_to(self) -> None:
        self.assertEqual(self.fail(EHLO=FLOOD).reason, "Connection unexpectedly closed")

    def test_what_another_tool_has_broken_fails_and_the_others_go_out(self) -> None:
        work_order.comment(self.max, self.create(self.ugo, "Second").id, "text")
        work_order.comment(self.max, self.create(self.ugo, "Third").id, "text")
        self.connection.execute("UPDATE users SET email = 'a@b.c, d@e.f' WHERE username = 'uma'")
        self.connection.execute("UPDATE outbox SET title = CAST(x'ff41' AS TEXT) WHERE title = 'Second'")
        self.connection.execute(
            "UPDATE outbox SET title = 'Third' || char(13, 10) || 'Bcc: d@e.f' WHERE title = 'Third'"
        )
        second, third = self.sent()
        self.assertEqual(second.subject, "[#2] \ufffdA: comment")
        self.assertTrue(third.text.startswith("Work order #3: Third Bcc: d@e.f\n"), third.text)
        (failed,) = self.waiting()
        self.assertEqual((failed.username, bool(failed.failed_at)), ("uma", True))

    def test_the_pauses_grow_and_after_three_days_it_has_failed(self) -> None:
        pauses = []
        for _ in range(11):
            message = self.fail(RCPT="450 later")
            (pause,) = self.rows("SELECT strftime('%s', next_attempt_at) - strftime('%s', 'now') FROM outbox")
            pauses.append(round(int(str(pause[0])) / 60))
        self.assertEqual(pauses, [1, 2, 4, 8, 16, 32, 64, 128, 240, 240, 240])
        self.assertIsNone(message.failed_at)
        self.assertEqual(users.send_waiting(self.connection, due_only=True), 0)
        self.assertEqual(self.waiting()[0].attempts, 11)
        old = database.utc_text(message.created_at - users.RETRIED_FOR)
        self.connection.execute("UPDATE outbox SET created_at = ?", (old,))
        self.assertTrue(self.fail(RCPT="450 later").failed_at)

    def test_a_server_that_trickles_is_cut_off(self) -> None:
        with mock.patch.object(users, "ATTEMPT_SECONDS", 0.05):
            for verb in ("CONNECT", "CONTENT"):
                self.assertIsNone(self.fail(**{verb: TRICKLE}).failed_at)

    def test_what_the_server_took_is_sent_however_it_takes_leave(self) -> None:
        self.server.answers["QUIT"] = CLOSE
        self.assertEqual(len(self.sent()), 1)
        work_order.comment(self.max, 1, "more")
        self.server.answers["QUIT"] = "500 what?"
        self.assertEqual(len(self.sent()), 1)
        work_order.comment(self.max, 1, "still more")
        self.server.answers["QUIT"] = STALL
        mailer = users.Mailer(self.connection, self.fail)
        mailer.wake()
        self.assertTrue(self.server.stalled.wait(PATIENCE_SECONDS))
        mailer.finish()
        self.assertEqual((len(self.taken()), self.waiting()), (1, []))

    def test_our_own_name_is_not_looked_up(self) -> None:
        with mock.patch("socket.getfqdn") as asked:
            self.assertEqual(len(self.sent()), 1)
        asked.assert_not_called()

    def test_one_attempt_takes_less_than_a_claim_and_that_at_most_10_minutes(self) -> None:
        recording = users.RECORDING_ATTEMPTS * 2 * database.BUSY_SECONDS  # to begin, and to commit
        self.assertLess(users.ATTEMPT_SECONDS + recording, users.CLAIM_SECONDS)
        self.assertLessEqual(users.CLAIM_SECONDS, 600)


class EncryptionTest(MailTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.certificate = self.folder / "certificate.pem"
        self.certificate.write_text(CERTIFICATE)
        self.server.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.server.context.load_cert_chain(self.certificate)
        work_order.comment(self.max, self.create(self.uma).id, "text")

    def attempts(self) -> List[str]:
        """Try both ways of encryption, and return the reasons why nothing was sent, or nothing where it was."""
        reasons = []
        for security in (Security.STARTTLS, Security.TLS):
            self.server.is_tls = security is Security.TLS
            self.set_up_mail(host=self.host, security=security)
            users.send_waiting(self.connection)
            reasons += [message.reason for message in self.waiting() if message.failed_at is None]
        return reasons

    host = "localhost"

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
            self.assertEqual(len(self.taken()), 1)
            self.server.is_tls = False
            self.set_up_mail(host="localhost", security=Security.STARTTLS)
            work_order.comment(self.max, 1, "more")
            self.assertEqual(len(self.sent()), 1)

    def test_starttls_that_is_not_offered_means_no_message(self) -> None:
        self.server.context = None
        self.set_up_mail(security=Security.STARTTLS)
        self.assertEqual(self.sent(), [])
        self.assertIn("STARTTLS", self.waiting()[0].reason)


class SettingsTest(MailTestCase):
    def test_only_admins_get_at_mail(self) -> None:
        for session in (self.max, self.uma):
            for refused in (
                lambda session=session: users.mail_state(session),
                lambda session=session: users.outbox(session),
                lambda session=session: users.send_now(session),
                lambda session=session: users.send_test_message(session, "max@example.org", Stop()),
                lambda session=session: users.change_mail_settings(session, users.mail_state(self.anna)[0]),
            ):
                with self.assertRaises(users.PermissionDeniedError):
                    refused()

    def test_settings_are_asked_for_in_order_and_kept_by_an_empty_answer(self) -> None:
        self.set_up_mail(host=None, sender=None, port=587, security=Security.STARTTLS)
        answers = ("smtp.example.org", 25, "none", "it@example.org", "helper", "kept secret")
        output = self.run_as("anna", "Data and audit", "Mail", "Settings", *answers, "Settings", *[""] * 6)
        prompts: Tuple[str, ...] = ("SMTP host [none]: ", "Port [587]: ", "Security [starttls]: ", "Sender's address: ")
        prompts += ("Username [none]: ", "Password [none]: ", "SMTP host [smtp.example.org]: ", "Port [25]: ")
        prompts += ("Security [none]: ", "Sender's address [it@example.org]: ", "Username [helper]: ")
        self.assertRegex(output, "(?s)" + ".*".join(map(re.escape, (*prompts, "Password [unchanged]: "))))
        stored, _ = users.mail_state(self.anna)
        expected = MailSettings("smtp.example.org", 25, Security.NONE, "it@example.org", "helper", "kept secret")
        self.assertEqual(stored, expected)
        self.assertNotIn("secret", output)
        told = self.rows("SELECT subject FROM audit_log WHERE event = 'mail settings changed' ORDER BY id DESC LIMIT 1")
        self.assertEqual(told, [("smtp.example.org:25 (none) as helper, from it@example.org",)])

    def test_none_empties_and_without_a_host_nothing_more_is_asked(self) -> None:
        self.set_up_mail(username="helper", password="kept secret")
        answers = ("", "", "", "", "none", "none", "Settings", "none", "Send now")
        output = self.run_as("anna", "Data and audit", "Mail", "Settings", *answers)
        self.assertEqual(users.mail_state(self.anna)[0][-2:], (None, None))
        self.assertIn("Mail settings saved: no mail is sent.\n", output)
        self.assertIn("Error: No mail is sent: there is no SMTP host in the settings.\n", output)
        self.assertFalse(users.is_mail_on(self.connection))

    def test_another_host_does_not_get_the_password_of_the_one_before(self) -> None:
        self.set_up_mail(username="helper", password="kept secret")
        output = self.run_as("anna", "Data and audit", "Mail", "Settings", "smtp.example.org", *[""] * 5)
        self.assertIn("Password [none]: ", output)
        self.assertEqual(users.mail_state(self.anna)[0].password, None)

    def test_what_has_waited_for_more_than_three_days_fails_when_mail_is_on_again(self) -> None:
        for row in (self.assigned("Old"), self.assigned("New")):
            work_order.comment(self.max, row.id, "text")
        self.set_up_mail(host=None)
        self.connection.execute("UPDATE outbox SET created_at = '2026-01-01T00:00:00+00:00' WHERE title = 'Old'")
        self.set_up_mail()
        self.assertEqual(self.heard(), {"uma": "[#2] New: comment"})
        self.assertEqual([message.reason for message in self.waiting()], ["mail was off for too long"])

    def test_wrong_answers_are_refused(self) -> None:
        for parse, texts in (
            (users.parse_mail_host, ("a b", "smtp.example.org\r\n", "ü.org", "x" * 254)),
            (users.parse_port, ("0", "65536", "x", "-1", "٢٥")),
            (users.parse_address, ("none", "a", "a@b.c\nBcc: d@e.f", "a@b.c, d@e.f")),
            (users.parse_credential, ("x" * 1001,)),
        ):
            for text in texts:
                with self.subTest(text=text), self.assertRaises(users.InvalidInputError):
                    parse(text)

    def test_a_host_needs_a_sender(self) -> None:
        with self.assertRaises(users.InvalidInputError):
            self.set_up_mail(sender=None)

    @needs_terminal
    def test_on_a_terminal_the_password_is_not_shown(self) -> None:
        talk = self.talk((80, 24))
        talk.log_in("anna")
        talk.choose("Data and audit", "Mail", "Settings")
        talk.answer("host", "", "Port", "", "Security", "", "address", "", "Username", "it", "Password", "kept secret")
        self.assertNotIn("secret", talk.expect("Choose"))


class TestMessageTest(MailTestCase):
    def test_it_is_sent_at_once_and_the_servers_own_words_are_shown(self) -> None:
        output = self.run_as("anna", "Data and audit", "Mail", "Send a test message", "", "Show waiting messages")
        self.assertIn("Waiting and failed messages, newest first (page 1)\nThere are none.\n", output)
        self.assertIn("To [anna@example.org]: \n", output)
        self.assertIn("Test message to anna@example.org sent. The mail server says: 250 kept as 7\n", output)
        (message,) = self.taken()
        self.assertEqual((message.recipient, message.subject), ("anna@example.org", "Test message"))
        self.assertEqual(message.message["Auto-Submitted"], "auto-generated")

    def test_a_refusal_is_told_in_the_servers_words(self) -> None:
        self.server.answers["RCPT"] = "550 no such user"
        with self.assertRaisesRegex(MailError, r"The message was not sent \(550 no such user\)\."):
            users.send_test_message(self.anna, "eve@example.org", Stop())

    def test_ctrl_c_gives_it_up(self) -> None:
        self.server.answers["CONNECT"] = STALL
        talk = self.talk()
        talk.log_in("anna")
        talk.choose("Data and audit", "Mail", "Send a test message")
        talk.answer("To", "")
        self.assertTrue(self.server.stalled.wait(PATIENCE_SECONDS))
        talk.interrupt()
        talk.expect("Error: The message was not sent (interrupted before the mail server answered).")

    def test_it_gives_up_on_a_server_that_stalls(self) -> None:
        self.server.answers["CONNECT"] = STALL
        with mock.patch.object(users, "TEST_SECONDS", 0.05), self.assertRaises(MailError) as refused:
            users.send_test_message(self.anna, "anna@example.org", Stop())
        self.assertIs(refused.exception.stage, Stage.CONNECTION)


class OutboxScreenTest(MailTestCase):
    def test_what_waits_and_what_has_failed_is_listed_with_its_reason(self) -> None:
        row = self.assigned()
        work_order.comment(self.anna, row.id, "text")
        self.server.answers["RCPT"] = f"550 no\x1b[31m such user {'x' * 200}"
        users.send_waiting(self.connection)
        self.set_up_mail(port=9)
        work_order.comment(self.anna, row.id, "more")
        self.connection.execute("UPDATE outbox SET next_attempt_at = '2999-01-01T00:00:00+00:00'")
        output = self.run_as("anna", "Data and audit", "Mail", "Show waiting messages")
        self.assertIn("; 2 messages wait, 2 failed for good\n", output)
        self.assertRegex(output, r"uma +#1 +1 +failed\n    550 no\\x1b\[31m such user x+\n")
        self.assertRegex(output, r"max +#1 +0 +2999-01-01 00:00\n")

    def test_send_now_tries_what_waits_whatever_its_pause(self) -> None:
        row = self.assigned()
        work_order.comment(self.anna, row.id, "text")
        self.connection.execute("UPDATE outbox SET next_attempt_at = '2999-01-01T00:00:00+00:00'")
        with mock.patch.object(users, "PROMPT_SECONDS", PATIENCE_SECONDS):
            self.assertEqual(users.send_now(self.anna), 2)
        self.assertEqual((len(self.taken()), self.waiting()), (2, []))

    def test_send_now_does_not_wait_for_a_server_that_stalls(self) -> None:
        row = self.assigned()
        work_order.comment(self.anna, row.id, "text")
        self.server.answers["CONNECT"] = STALL
        with mock.patch.object(users, "PROMPT_SECONDS", 0.01):
            self.assertIsNone(users.send_now(self.anna))
        self.assertTrue(self.server.stalled.wait(PATIENCE_SECONDS))
        self.assertEqual(sorted(map(users.describe_attempt, self.waiting()))[1], "being sent")


class BackgroundTest(MailTestCase):
    def test_a_session_that_has_nothing_to_send_sends_what_others_save(self) -> None:
        row = self.assigned()
        with mock.patch.object(users, "MAILER_SECONDS", 0.01):
            mailer = users.Mailer(self.connection, self.fail)
            self.addCleanup(mailer.finish)
            mailer.wake()
            work_order.comment(self.max, row.id, "text")
            self.assertEqual(self.server.received.get(timeout=PATIENCE_SECONDS).recipient, "uma@example.org")

    def test_without_mail_there_is_nothing_in_the_background(self) -> None:
        self.set_up_mail(host=None)
        before = threading.active_count()
        users.Mailer(self.connection, self.fail).wake()
        self.assertEqual(threading.active_count(), before)

    def test_nobody_waits_for_a_database_that_is_held_to_see_whether_mail_is_on(self) -> None:
        self.connection.execute(f"PRAGMA busy_timeout = {2 * PATIENCE_SECONDS * 1000}")
        with contextlib.closing(database.open_file(self.path)) as other:
            other.execute("BEGIN EXCLUSIVE")
            users.Mailer(self.connection, self.fail).wake()
        self.assertEqual(self.rows("PRAGMA busy_timeout"), [(database.BUSY_SECONDS * 1000,)])

    def test_whether_a_message_is_due_is_asked_when_it_is_claimed(self) -> None:
        work_order.comment(self.max, self.create(self.uma).id, "text")
        work_order.comment(self.max, self.create(self.ugo).id, "text")
        self.server.answers["CONTENT"] = STALL
        with mock.patch.object(users, "PROMPT_SECONDS", PATIENCE_SECONDS):
            mailer = users.Mailer(self.connection, self.fail)
            mailer.wake()
            self.assertTrue(self.server.stalled.wait(PATIENCE_SECONDS))
            self.connection.execute("UPDATE outbox SET next_attempt_at = '2999-01-01T00:00:00+00:00' WHERE user_id = 4")
            self.server.released.set()
            mailer.finish()
        self.assertEqual([each.recipient for each in self.taken()], ["uma@example.org"])
        self.assertEqual([message.username for message in self.waiting()], ["ugo"])

    def test_a_session_that_ends_gives_up_what_it_is_sending_and_begins_nothing_else(self) -> None:
        row = self.assigned()
        work_order.comment(self.anna, row.id, "text")
        self.server.answers["CONNECT"] = STALL
        self.server.commands.clear()
        with mock.patch.multiple(users, PROMPT_SECONDS=0.1, LAST_SECONDS=PATIENCE_SECONDS):
            mailer = users.Mailer(self.connection, self.fail)
            mailer.wake()
            self.assertTrue(self.server.stalled.wait(PATIENCE_SECONDS))
            mailer.finish()
        told = [(message.username, message.attempts, message.claimed_until) for message in self.waiting()]
        self.assertEqual(told, [("uma", 0, None), ("max", 1, None)])
        self.assertEqual(self.server.commands.count("CONNECT"), 1)
        work_order.comment(self.anna, row.id, "more")  # can be added to both: nothing was transmitted
        self.assertEqual(len(self.waiting()), 2)

    def test_the_end_of_the_program_gives_a_message_the_time_that_it_takes(self) -> None:
        row = self.assigned()
        output = self.run_as("anna", f"#{row.id}", "Add comment", "text")
        self.assertIn("Comment on work order #1 added.", output)
        self.assertEqual([each.recipient for each in self.taken()], ["max@example.org", "uma@example.org"])
        self.assertEqual(self.waiting(), [])

    def test_a_server_that_stalls_holds_up_no_prompt_no_save_and_not_the_end(self) -> None:
        row = self.assigned()
        self.server.answers["CONNECT"] = STALL
        talk = self.talk()
        talk.log_in("anna")
        talk.choose(f"#{row.id}", "Add comment")
        talk.answer("Comment: ", "one")
        self.server.stalled.wait(PATIENCE_SECONDS)
        talk.choose("Add comment")
        talk.answer("Comment: ", "two")
        talk.expect("Comment on work order #1 added.")
        ended = talk.end()
        self.assertEqual((ended.code, self.server.released.is_set()), (0, False))
        self.assertNotIn("Error", ended.output)
        self.assertFalse((self.folder / "work_order.log").exists())

    def test_what_another_session_is_sending_is_not_sent_twice(self) -> None:
        work_order.comment(self.max, self.create(self.uma).id, "text")
        self.server.answers["CONTENT"] = STALL
        mailer = users.Mailer(self.connection, self.fail)
        mailer.wake()
        self.assertTrue(self.server.stalled.wait(PATIENCE_SECONDS))
        self.assertEqual(users.send_waiting(self.connection), 0)
        self.server.released.set()
        mailer.finish()
        self.assertEqual((len(self.taken()), self.waiting()), (1, []))

    def test_one_that_is_killed_while_it_sends_loses_nothing_and_the_message_id_stays(self) -> None:
        row = self.create(self.uma)
        work_order.comment(self.max, row.id, "text")
        self.server.answers["CONTENT"] = STALL
        sender = subprocess.Popen(command(ROOT / "work_order.py"), env=environment(self.path))
        self.assertTrue(self.server.stalled.wait(PATIENCE_SECONDS))
        sender.kill()
        sender.wait()
        self.server.released.set()
        first = self.server.received.get(timeout=PATIENCE_SECONDS)
        self.server.answers = {}
        self.assertEqual((self.sent(), len(self.waiting())), ([], 1))  # the claim stands
        self.expire_claims()
        self.server.answers["CONNECT"] = CLOSE
        self.assertEqual(self.sent(), [])
        work_order.comment(self.max, row.id, "more")  # is not added to what may have been transmitted
        self.server.answers = {}
        again, second = self.sent()
        self.assertEqual((again.message["Message-ID"], again.text), (first.message["Message-ID"], first.text))
        self.assertNotEqual(second.message["Message-ID"], first.message["Message-ID"])

    def test_an_unexpected_error_is_logged_and_nothing_is_printed(self) -> None:
        logged = threading.Event()
        row = self.assigned()
        work_order.comment(self.anna, row.id, "text")
        with mock.patch.object(users, "_send_from", side_effect=KeyError):
            mailer = users.Mailer(self.connection, logged.set)
            mailer.wake()
            self.assertTrue(logged.wait(PATIENCE_SECONDS))
            mailer.finish()

    def test_starting_the_program_imports_nothing_of_mail(self) -> None:
        program = "import sys, main; print({'smtplib', 'email', 'ssl', 'socket', 'concurrent'} & {*sys.modules})"
        done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
        self.assertEqual(done.stdout, "set()\n")


class CommandTest(MailTestCase):
    def test_it_ends_with_1_if_something_still_waits_and_not_for_what_has_failed(self) -> None:
        row = self.assigned()
        work_order.comment(self.anna, row.id, "text")
        self.server.answers["RCPT"] = "450 later"
        ended = run(self.path, program=ROOT / "work_order.py")
        self.assertEqual(ended, ("Error: 0 messages sent; 2 messages wait, 0 failed for good.\n", 1))
        self.server.answers = {}
        self.connection.execute("UPDATE outbox SET failed_at = created_at WHERE user_id = 3")
        ended = run(self.path, program=ROOT / "work_order.py")  # whatever the pause of the other
        self.assertEqual(ended, ("1 message sent; 0 messages wait, 1 failed for good.\n", 0))
        self.assertEqual(len(self.taken()), 1)

    def test_ctrl_c_ends_it_and_it_says_what_was_sent(self) -> None:
        work_order.comment(self.max, self.create(self.uma).id, "text")
        self.server.answers["CONNECT"] = STALL
        sender = subprocess.Popen(
            command(ROOT / "work_order.py"), env=environment(self.path), stderr=subprocess.PIPE, text=True
        )
        self.addCleanup(sender.communicate)
        self.assertTrue(self.server.stalled.wait(PATIENCE_SECONDS))
        sender.send_signal(signal.SIGINT)
        _, error = sender.communicate(timeout=PATIENCE_SECONDS)
        self.assertEqual(error, "Error: 0 messages sent; 1 message waits, 0 failed for good.\n")
        self.assertEqual((sender.returncode, self.waiting()[0].claimed_until), (1, None))

    def test_arguments_get_a_usage_line_and_2(self) -> None:
        self.assertEqual(run(self.path, program=ROOT / "work_order.py", arguments=["x"]).code, 2)


class PlanTest(MailTestCase):
    def test_looking_for_what_is_due_and_merging_read_no_more_than_they_need(self) -> None:
        for sql in (
            "SELECT 1 FROM outbox WHERE failed_at IS NULL AND next_attempt_at <= 'x'",
            "SELECT 1 FROM outbox WHERE work_order_id = 1 AND user_id = 2 AND created_at > 'x'",
        ):
            plan = " ".join(str(row[3]) for row in self.rows(f"EXPLAIN QUERY PLAN {sql}"))
            self.assertIn("SEARCH", plan)


if __name__ == "__main__":
    unittest.main()
