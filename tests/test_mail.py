"""Mail: the settings, the outbox, and a mail server that takes a message, refuses it, stalls, dies or is a stranger."""

import email.policy
import itertools
import os
import re
import socketserver
import ssl
import subprocess
import sys
import threading
from datetime import datetime, timezone
from email.message import EmailMessage
from email.parser import BytesParser
from typing import Any, Dict, List, Tuple
from unittest import mock

from support import PATIENCE_SECONDS, ROOT, DatabaseTestCase, environment, run

import users
import work_order
from database import ApplicationError, transaction
from users import ConflictError, InvalidInputError, MailSettings, MailWish, Security

STALL, CLOSE = "stall", "close"  # answers for which the server waits until it is released, and hangs up
# A certificate for localhost that nobody has signed but itself, from 2000 to 2100.
CERTIFICATE = """\
-----BEGIN PRIVATE KEY-----
MC4CAQAwBQYDK2VwBCIEIBLEdixVJaDMHg3ffV5modYnwIxZZEKGULivORXwr1iy
-----END PRIVATE KEY-----
-----BEGIN CERTIFICATE-----
MIIBLTCB4KADAgECAgEBMAUGAytlcDAUMRIwEAYDVQQDDAlsb2NhbGhvc3QwIBcN
MDAwMTAxMDAwMDAwWhgPMjEwMDAxMDEwMDAwMDBaMBQxEjAQBgNVBAMMCWxvY2Fs
aG9zdDAqMAUGAytlcAMhAGtY+3RYMQVBR6+gPriIn/DTBBis99Ve5D6XnUBoHdVa
o1UwUzAPBgNVHRMBAf8EBTADAQH/MAsGA1UdDwQEAwIChDAdBgNVHQ4EFgQUfrV1
jaamPNlN6HR1ditdTYgGGIwwFAYDVR0RBA0wC4IJbG9jYWxob3N0MAUGAytlcANB
ADvIHDa8KxcSN8inUnwMlbf+LPoqORpcx9Uan+kbPCnh9GOFcOdN6kCM7Yn0BlCA
xtSqc0yQanRfDSWoDXvV9A4=
-----END CERTIFICATE-----
"""
REFUSED = "550 5.1.1 no such user"
USUAL = {"CONNECT": "220 ready", "STARTTLS": "220 go on", "AUTH": "235 welcome", "DATA": "354 go on"}
USUAL.update(EHLO="250-localhost\r\n250-STARTTLS\r\n250 AUTH PLAIN", CONTENT="250 kept as 7")


class MailServer(socketserver.ThreadingTCPServer):
    """A mail server whose `answers` to commands, and to CONTENT, are the usual ones unless a test sets others."""

    daemon_threads = True
    context: ssl.SSLContext

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Dialogue)
        self.port = int(self.server_address[1])
        self.answers: Dict[str, str] = {}
        self.commands: List[str] = []
        self.received: List[EmailMessage] = []
        self.stalled, self.released = threading.Event(), threading.Event()
        threading.Thread(target=self.serve_forever, args=(0.002,), daemon=True).start()

    def handle_error(self, *_: object) -> None:
        """Say nothing of a client that hung up."""


class _Dialogue(socketserver.StreamRequestHandler):
    server: MailServer

    def handle(self) -> None:
        envelope: Dict[str, str] = {}
        for line in itertools.chain(["CONNECT"], iter(lambda: self.rfile.readline().decode(), "")):
            self.server.commands.append(line.strip())
            verb = line.split()[0].upper()
            envelope[verb] = line
            answer = self.answer(verb)
            if verb == "STARTTLS":
                self.request = self.server.context.wrap_socket(self.request, server_side=True)
                self.setup()
            if verb == "DATA" and answer.startswith("3"):
                self.take(envelope)
                self.answer("CONTENT")

    def answer(self, verb: str) -> str:
        """Give the answer to a command, and return it."""
        usual = USUAL.get(verb, "250 OK")
        answer = self.server.answers.get(verb, usual)
        if answer == CLOSE:
            raise ConnectionAbortedError
        if answer == STALL:
            self.server.stalled.set()
            self.server.released.wait(PATIENCE_SECONDS)
            answer = usual
        self.wfile.write(f"{answer}\r\n".encode())
        return answer

    def take(self, envelope: Dict[str, str]) -> None:
        lines = list(iter(self.rfile.readline, b".\r\n"))
        content = b"".join(line[1:] if line.startswith(b".") else line for line in lines).replace(b"\r\n", b"\n")
        assert content.isascii()
        assert max(map(len, lines)) <= 1000
        message = BytesParser(_class=EmailMessage, policy=email.policy.default).parsebytes(content)
        addressed = f"mail from:<{message['From']}>\r\nrcpt to:<{message['To']}>\r\n"
        assert (envelope["MAIL"] + envelope["RCPT"]).lower() == addressed
        self.server.received.append(message)

    def finish(self) -> None:
        super().finish()
        self.request.close()


class MailTestCase(DatabaseTestCase):
    """A test in which everybody has an address, there is a mail server, and uma and ugo have a work order each."""

    def setUp(self) -> None:
        super().setUp()
        self.addCleanup(self.join_background)
        self.connection.execute("UPDATE users SET email = username || '@example.org'")
        self.create(self.uma, "Printer jams")
        self.create(self.ugo, "No sound")
        self.server = MailServer()
        for end in (self.server.server_close, self.server.shutdown, self.server.released.set):
            self.addCleanup(end)
        self.set_up_mail()

    def join_background(self) -> None:
        for thread in threading.enumerate():
            if "ThreadPool" in thread.name:
                thread.join(PATIENCE_SECONDS)

    def set_up_mail(self, **changes: Any) -> MailSettings:
        shown, _ = users.mail_state(self.anna)
        usual = MailSettings("127.0.0.1", self.server.port, Security.NONE, "it@example.org", None, None)
        return users.change_mail_settings(self.anna, shown, usual._replace(**changes))

    def write(self, to: str = "uma", text: str = "max: commented", *more: Tuple[int, str], heading: str = "") -> None:
        """Put a message about uma's work order in the outbox, and about more of them."""
        user_id = users.find(self.connection, to).id
        with transaction(self.connection):
            users.put_in_outbox(self.connection, user_id, "[#1] Printer jams", [(1, text), *more], heading)

    def fail_once(self, **answers: str) -> users.Message:
        """Let an attempt to send the only message fail, and return what has become of it."""
        self.server.answers = answers
        self.assertEqual(users.send_waiting(self.path), 0)
        (message,) = users.outbox(self.anna)
        return message

    def age_outbox(self, seconds: int) -> None:
        """Move what the outbox tells of moments back, as if that time had passed."""
        for name in ("created_at", "next_attempt_at"):
            older = f"strftime('%Y-%m-%dT%H:%M:%S+00:00', {name}, '{-seconds} seconds')"
            self.connection.execute(f"UPDATE outbox SET {name} = {older}")


class MessageTest(MailTestCase):
    def test_those_concerned_hear_of_a_change_but_not_who_made_it(self) -> None:
        users.change_mail_wish(self.anna, MailWish.ALL)
        users.change_mail_wish(self.max, MailWish.UNASSIGNED)
        self.create(self.uma)  # to anna and max, who wish it
        self.create(self.max, requester="ugo", assignee="max")  # to anna, who wishes it, and ugo
        work_order.comment(self.uma, 1, "Still.")  # to anna and max, as nobody has it
        self.change(self.max, 1, work_order.ASSIGNEE, "anna")  # to anna and uma
        self.change(self.max, 1, work_order.ASSIGNEE, "max")  # to anna, who had it, and uma
        self.change_status(self.uma, 1, work_order.Status.ON_HOLD)  # to max
        self.change(self.anna, 1, work_order.TITLE, "Jams")
        users.send_waiting(self.path)
        recipients = " ".join(each["To"].partition("@")[0] for each in self.server.received)
        self.assertEqual(recipients, "anna max anna ugo anna max anna uma anna uma max")

    def test_who_must_not_get_it_any_more_gets_nothing(self) -> None:
        for to, change, written in (
            ("uma", "users SET is_active = 0 WHERE id = 3", 1),
            ("uma", "users SET email = NULL WHERE id = 3", 1),
            ("max", "users SET role = 'user' WHERE id = 2", 2),
            ("uma", "work_orders SET requester_id = 4", 2),
            ("uma", "work_orders SET requester_id = 3, deleted_at = created_at", 2),
        ):
            with self.subTest(change=change):
                self.write(to)
                self.connection.execute(f"UPDATE {change}")
                self.write(to)
                self.assertEqual(len(users.outbox(self.anna)), written)
                self.assertEqual((users.send_waiting(self.path), users.outbox(self.anna)), (0, []))
                self.connection.execute("UPDATE users SET is_active = 1, email = username || '@example.org'")

    def test_it_tells_what_its_recipient_may_see_and_how_to_get_no_more(self) -> None:
        users.add_caller(self.max, "Tom O'Brien", "tom@example.org")
        self.connection.execute("UPDATE work_orders SET requester_id = 5 WHERE id = 1")
        for username in ("max", "tom.o.brien"):
            self.write(username, "one", (2, "two"), heading="anna changed 2 work orders.")
        users.send_waiting(self.path)
        other, toms = self.server.received
        heading, end = "anna changed 2 work orders.\n\n", "-- \nTo stop getting these messages, "
        self.assertEqual(toms.get_content(), f"{heading}one\n\n{end}ask an admin, such as anna.\n")
        own_way = "choose My account > Change email and answer none.\n"
        self.assertEqual(other.get_content(), f"{heading}one\n\ntwo\n\n{end}{own_way}")
        for message, thread in ((toms, "<work-order-1@example.org>"), (other, None)):  # none if it is about several
            self.assertEqual((message["References"], message["In-Reply-To"]), (thread, thread))
            self.assertRegex(message["Message-ID"], r"^<\w{32}@example\.org>$")

    def test_it_is_plain_text_in_any_script_in_which_nothing_typed_becomes_a_header(self) -> None:
        for typed in (
            *("=?utf-8?q?x?=", "=?x", "Bcc: eve@example.org", "a\r\nBcc: eve@example.org", '"<eve@example.org>, \\'),
            *("ü" * 120, "x" * 120, "two  spaces " * 10, "日本語 " * 500, "\U0001f469\u200d\U0001f467" * 40),
            *("From here\n..", "\u2028\x85\x0b\x0c\x1c\x1b[31m\u202e\u2029b"),
        ):
            with self.subTest(typed=typed[:20]):
                body = f"{typed}\n.\nBcc: eve@example.org\n{'y' * 2000}"
                self.write(text=body)
                self.connection.execute("UPDATE outbox SET subject = ?", (typed,))
                users.change_email(self.uma, "uma@example.com")  # the address at the time of sending counts
                self.assertEqual(users.send_waiting(self.path), 1)
                message = self.server.received.pop()
                self.assertEqual((message["From"], message["To"]), ("it@example.org", "uma@example.com"))
                self.assertEqual((message["Subject"].split(), message["Bcc"]), (typed.split(), None))
                self.assertEqual(message.get_content_type(), "text/plain")
                self.assertTrue(message.get_content().startswith(body.replace("\r\n", "\n") + "\n\n-- "))
                self.assertEqual(message["Auto-Submitted"], "auto-generated")
                self.assertEqual(message["X-Auto-Response-Suppress"], "All")


class RefusalTest(MailTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.write()

    def test_only_a_refused_recipient_or_message_has_failed_and_is_not_tried_again(self) -> None:
        self.set_up_mail(username="it", password="wrong")
        answers = (REFUSED, f"421 {'later ' * 99}", CLOSE, "nonsense", "", f"550 {'x' * 9000}", "\0\xff")
        verbs = ("CONNECT", "EHLO", "AUTH", "MAIL", "RCPT", "DATA", "CONTENT")
        for verb, answer in (*itertools.product(verbs, answers), ("MAIL", STALL), ("CONTENT", STALL)):
            answered = mock.patch.object(users, "ANSWER_SECONDS", 0.1 if answer == STALL else PATIENCE_SECONDS)
            with self.subTest(verb=verb, answer=answer[:20]), answered:
                message = self.fail_once(**{verb: answer, "HELO": answer})
                if answer == REFUSED and verb in ("RCPT", "DATA", "CONTENT"):
                    self.assertEqual((message.reason, users.describe_attempt(message)), (REFUSED, "failed"))
                    self.assertEqual(self.fail_once(), message)
                else:
                    self.assertIn(len(message.reason), range(1, users.LONGEST_REASON + 1))
                    self.assertIsNotNone(message.next_attempt_at)
                self.connection.execute("UPDATE outbox SET next_attempt_at = created_at")

    def test_an_attempt_counts_for_all_messages_where_there_is_no_connection_and_else_for_its_own(self) -> None:
        self.write("max")
        for attempts, verb, connections in ((1, "CONNECT", 1), (2, "RCPT", 2)):
            with self.subTest(verb=verb):
                self.server.answers, self.server.commands = {verb: CLOSE}, []
                users.send_waiting(self.path)
                self.assertEqual([message.attempts for message in users.outbox(self.anna)], [attempts] * 2)
                self.assertEqual(self.server.commands.count("CONNECT"), connections)

    def test_what_another_tool_has_damaged_holds_up_nothing_else(self) -> None:
        self.write("max")
        self.connection.execute("UPDATE users SET email = 'a@b.c, d@e.f' WHERE username = 'uma'")
        self.connection.execute("UPDATE outbox SET subject = CAST(x'ff41' AS TEXT) WHERE user_id = 2")
        self.assertEqual(users.send_now(self.anna), "1 message sent; 0 messages wait, 1 failed for good.")
        self.assertEqual([each["Subject"] for each in self.server.received], ["\ufffdA"])

    def test_the_pauses_grow_until_the_message_has_failed_after_three_days_and_ten_attempts_at_least(self) -> None:
        for attempts, is_old, minutes in (
            *((0, False, 1), (1, False, 2), (7, False, 128), (8, False, 240), (100, False, 240)),
            *((0, True, 1), (9, True, 240), (10, True, None)),
        ):
            with self.subTest(attempts=attempts, is_old=is_old):
                self.age_outbox(is_old * users.RETRIED_SECONDS)
                self.connection.execute("UPDATE outbox SET attempts = ?", (attempts,))
                next_at = self.fail_once(RCPT="450 later").next_attempt_at
                pause = next_at and round((next_at - datetime.now(timezone.utc)).total_seconds() / 60)
                self.assertEqual(pause, minutes)
                self.assertEqual(users.send_waiting(self.path, due_only=True), 0)
                self.assertEqual(users.outbox(self.anna)[0].attempts, attempts + 1)

    def test_an_attempt_that_failed_while_the_clock_was_ahead_is_tried_again_and_fails_some_day(self) -> None:
        self.fail_once(RCPT="450 later")
        self.age_outbox(-365 * 24 * 3600)
        users.send_waiting(self.path, due_only=True)
        (message,) = users.outbox(self.anna)
        self.assertEqual(message.attempts, 2)
        self.assertLessEqual(message.created_at, datetime.now(timezone.utc))

    def test_what_the_server_took_is_sent_however_it_takes_leave_and_our_name_is_not_looked_up(self) -> None:
        for answer in (CLOSE, "500 what?", STALL):
            self.server.answers["QUIT"] = answer
            with mock.patch("socket.getfqdn", return_value="desk.example.org"):
                self.assertEqual(users.send_waiting(self.path), 1)
            self.write()
        self.assertNotIn("desk.example.org", " ".join(self.server.commands))

    def test_only_a_trusted_certificate_of_the_right_name_is_accepted(self) -> None:
        certificate = self.folder / "certificate.pem"
        certificate.write_text(CERTIFICATE)
        self.server.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.server.context.load_cert_chain(certificate)
        trusted = {"SSL_CERT_FILE": str(certificate)}
        self.set_up_mail(security=Security.STARTTLS)
        self.assertIn("STARTTLS", self.fail_once(EHLO="250 localhost").reason)  # it is not offered
        self.server.answers = {}
        for security in (Security.STARTTLS, Security.TLS):
            if security is Security.TLS:
                self.server.socket = self.server.context.wrap_socket(self.server.socket, server_side=True)
            for host, variables, sent in (("localhost", {}, 0), ("127.0.0.1", trusted, 0), ("localhost", trusted, 1)):
                with self.subTest(security=security, host=host), mock.patch.dict(os.environ, variables):
                    self.set_up_mail(host=host, security=security)
                    self.assertEqual(users.send_waiting(self.path), sent)
                    reasons = [message.reason for message in users.outbox(self.anna)]
                    self.assertEqual(["CERTIFICATE_VERIFY_FAILED" in each for each in reasons], [True] * (1 - sent))
            self.write()
        self.assertEqual(len(self.server.received), 2)


class SettingsTest(MailTestCase):
    def test_the_password_is_kept_for_the_same_server_alone(self) -> None:
        for change in ({"host": "localhost"}, {"port": 9}, {"security": Security.TLS}, {"host": None}):
            with self.subTest(change=change):
                self.set_up_mail(username="helper", password="kept secret")
                shown, _ = users.mail_state(self.anna)
                users.change_mail_settings(self.anna, shown, shown._replace(**change))
                self.assertEqual(self.rows("SELECT password FROM mail_settings"), [(None,)])
                self.set_up_mail(username="helper", password="typed again", **change)
                self.assertEqual(self.rows("SELECT password FROM mail_settings"), [("typed again",)])

    def test_what_another_admin_has_changed_since_is_not_overwritten(self) -> None:
        shown, _ = users.mail_state(self.anna)
        self.set_up_mail(port=9, username="helper", password="kept secret")
        users.change_mail_settings(self.anna, shown, shown._replace(sender="help@example.org"))
        for change, words in (({"port": 25}, "port is now 9"), ({"password": "x"}, "password is now another")):
            with self.subTest(change=change), self.assertRaisesRegex(ConflictError, f"{words}: anna changed it"):
                users.change_mail_settings(self.anna, shown, shown._replace(**change))
        stored = self.rows("SELECT port, sender, username, password FROM mail_settings")
        self.assertEqual(stored, [(9, "help@example.org", "helper", "kept secret")])
        shown = self.set_up_mail(port=9, password=None)
        self.set_up_mail(port=25)
        with self.assertRaisesRegex(ConflictError, "another mail server"):
            users.change_mail_settings(self.anna, shown, shown._replace(password="for port 9"))

    def test_wrong_answers_are_refused(self) -> None:
        for parse, texts in (
            (users.parse_mail_host, ("a b", "smtp.example.org\r\n", "ü.org", "x" * 254)),
            (users.parse_port, ("0", "65536", "x", "-1", "٢٥")),
            (users.parse_address, ("none", "a", "a@b.c\nBcc: d@e.f", "a@b.c, d@e.f")),
            (users.parse_credential, ("x" * 1001, "pässword", "a\nb")),
        ):
            for typed in texts:
                with self.subTest(typed=typed), self.assertRaises(InvalidInputError):
                    parse(typed)
        with self.assertRaises(InvalidInputError):
            self.set_up_mail(sender=None)


@mock.patch.object(users, "FINISH_SECONDS", PATIENCE_SECONDS)
class SendingTest(MailTestCase):
    def mailer(self) -> users.Mailer:
        """Return a mailer that has begun to work."""
        mailer = users.Mailer(self.connection, self.fail)
        self.addCleanup(mailer.finish)
        self.addCleanup(self.server.released.set)
        mailer.wake()
        return mailer

    @mock.patch.object(users, "MAILER_SECONDS", 0.01)
    def test_a_session_that_has_nothing_to_send_sends_what_others_save(self) -> None:
        self.server.answers["CONNECT"] = STALL
        self.mailer()
        self.write()
        self.assertTrue(self.server.stalled.wait(PATIENCE_SECONDS))

    def test_without_mail_nothing_is_written_nor_done_in_the_background_and_a_test_message_refused(self) -> None:
        self.set_up_mail(host=None)
        threads = threading.active_count()
        self.write()
        self.mailer()
        self.assertEqual(users.outbox(self.anna), [])
        self.assertLessEqual(threading.active_count(), threads)
        for session, words in ((self.anna, "no SMTP host"), (self.max, "not let you"), (self.uma, "not let you")):
            with self.assertRaisesRegex(ApplicationError, words):
                users.send_test_message(session, "eve@example.org")

    @mock.patch.multiple(users, MAILER_SECONDS=2 * PATIENCE_SECONDS, FINISH_SECONDS=PATIENCE_SECONDS)
    def test_what_another_session_sends_or_has_just_tried_is_left_alone_and_what_came_last_is_sent(self) -> None:
        mailer = self.mailer()
        self.server.answers = {"CONTENT": STALL}
        self.write()
        self.write("max")
        mailer.wake()
        self.assertTrue(self.server.stalled.wait(PATIENCE_SECONDS))  # with the message to uma
        self.server.answers = {"RCPT": "450 later"}
        self.assertEqual(users.send_waiting(self.path), 0)
        self.server.answers = {}
        self.write("anna")
        self.server.released.set()
        mailer.finish()
        self.assertEqual([each["To"] for each in self.server.received], ["uma@example.org", "anna@example.org"])
        tried = re.findall(r"(?i)rcpt to:<(\w+)@", " ".join(self.server.commands))
        self.assertEqual(tried, ["uma", "max", "anna"])

    @mock.patch.object(users, "WAITED_SECONDS", 0.05)
    def test_nobody_at_a_prompt_waits_for_a_server_that_stalls(self) -> None:
        self.write()
        self.server.answers["CONNECT"] = STALL
        self.assertEqual(users.send_now(self.anna), "Sending continues in the background.")
        self.assertTrue(self.server.stalled.wait(PATIENCE_SECONDS))
        self.assertEqual([users.describe_attempt(message) for message in users.outbox(self.anna)], ["being sent"])
        no_answer, refusal = "No answer within", rf"The message was not sent \({REFUSED}\)"
        for seconds, answer, words in ((0.05, STALL, no_answer), (PATIENCE_SECONDS, REFUSED, refusal)):
            self.server.answers["CONNECT"] = answer
            with mock.patch.object(users, "WAITED_SECONDS", seconds), self.assertRaisesRegex(ApplicationError, words):
                users.send_test_message(self.anna, "eve@example.org")


class ProgramTest(MailTestCase):
    def test_one_that_is_killed_while_it_sends_loses_nothing_even_in_the_last_attempt(self) -> None:
        self.write()
        self.age_outbox(2 * users.RETRIED_SECONDS)
        self.connection.execute("UPDATE outbox SET attempts = 100")
        message_ids = self.rows("SELECT message_id FROM outbox")
        self.server.answers = {"CONTENT": STALL}
        code = "import database, users; users.send_waiting(database.default_path(), due_only=True)"
        variables = environment(self.path, PYTHONPATH=str(ROOT))
        with subprocess.Popen([sys.executable, "-c", code], env=variables) as sender:
            self.assertTrue(self.server.stalled.wait(PATIENCE_SECONDS))
            sender.kill()
        self.assertIsNotNone(self.fail_once().next_attempt_at)  # the claim stands
        self.age_outbox(users.CLAIM_SECONDS)
        self.assertEqual(users.send_waiting(self.path, due_only=True), 1)
        # It had arrived before, which nobody could know; so it comes again under the same ID.
        self.assertEqual([(each["Message-ID"],) for each in self.server.received], message_ids * 2)

    def test_what_is_saved_is_sent_and_a_server_that_stalls_holds_up_no_save_and_not_the_end(self) -> None:
        self.server.answers["CONTENT"] = STALL
        talk = self.talk()
        talk.log_in("max")
        for text in ("on my way", "two"):
            talk.choose("#1", "Add comment")
            talk.answer("Comment: ", text)
            talk.expect("Comment on work order #1 added.")
            self.assertTrue(self.server.stalled.wait(PATIENCE_SECONDS))
        self.assertEqual(talk.end().code, 0)
        (message,) = self.server.received
        self.assertEqual(message["To"], "uma@example.org")
        self.assertRegex(message.get_content(), "max.* commented.*:\n    on my way\n")
        self.assertEqual([each.attempts for each in users.outbox(self.anna)], [0, 0])  # none had failed at the end

    def test_settings_are_asked_for_in_order_kept_by_an_empty_answer_and_tried_with_a_test_message(self) -> None:
        self.set_up_mail(host=None, sender=None, port=587, security=Security.STARTTLS)
        answers = ("127.0.0.1", self.server.port, "none", "it@example.org", "helper", "kept secret")
        again = ("Settings", *[""] * 6, "Send a test message", "eve@example.org")
        output = self.run_as("anna", "Data and audit", "Mail", "Settings", *answers, *again)
        settings = r"SMTP host \[none]: .*Port \[587]: .*Security \[starttls]: .*Sender's address: .*Username \[none]: "
        kept = r"SMTP host \[127.0.0.1]: .*Password \[unchanged]: .*To \[anna@example.org]: .* says: 250 kept as 7\n"
        self.assertRegex(output, f"(?s){settings}.*{kept}")
        self.assertIn("AUTH PLAIN AGhlbHBlcgBrZXB0IHNlY3JldA==", self.server.commands)  # helper, kept secret
        self.assertEqual([each["To"] for each in self.server.received], ["eve@example.org"])
        audited = self.rows("SELECT DISTINCT subject FROM audit_log WHERE subject LIKE '%helper%'")
        self.assertEqual(audited, [(f"127.0.0.1:{self.server.port} (none) as helper, from it@example.org",)])
        self.assertNotIn("secret", output)

    def test_waiting_messages_are_listed_and_sent_by_the_menu_and_the_command_whatever_their_pause(self) -> None:
        self.write()
        self.fail_once(RCPT=f"550 no\x1b[31m such user {'x' * 200}")
        self.write("max")
        self.server.answers["RCPT"] = "450 later"
        ended = run(self.path, program=ROOT / "work_order.py")
        self.assertEqual(ended, ("Error: 0 messages sent; 1 message waits, 1 failed for good.\n", 1))
        output = self.run_as("anna", "Data and audit", "Mail", "Show waiting messages", "Back", "Send now")
        self.assertIn("; 1 message waits, 1 failed for good\n", output)
        self.assertRegex(output, r"(?s)\bmax .*450 later.*\buma .*550 no\\x1b\[31m such user x+")
        self.assertIn("\n0 messages sent; 1 message waits, 1 failed for good.\n", output)
        newest, oldest = users.outbox(self.anna)
        self.assertEqual((newest.attempts, users.outbox(self.anna, newest, 1)), (2, [oldest]))
        self.server.answers = {}
        ended = run(self.path, program=ROOT / "work_order.py")
        self.assertEqual(ended, ("1 message sent; 0 messages wait, 1 failed for good.\n", 0))
