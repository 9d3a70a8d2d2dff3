"""Recurring work orders: their regular days by any calendar and clock, what is created, by whom, and their screen."""

import calendar
import sqlite3
import subprocess
import sys
import tempfile
import unittest
from datetime import date, datetime, timedelta, timezone
from pathlib import Path
from typing import List, Optional, Tuple

from support import PASSWORD, ROOT, DatabaseTestCase, command, environment

import database
import users
import work_order
from users import Action, InvalidInputError, PermissionDeniedError, Role
from work_order import Draft, NotFoundError, Priority, ServiceTarget, Template

DAY = timedelta(days=1)
BERLIN = "CET-1CEST,M3.5.0,M10.5.0/3"
BACKUP = Draft("Check the backup")
FAR_WEST, FAR_EAST = "SST11", "LINT-14"  # 25 hours apart

# Sets the clock of a program to the moment in its environment, and to another one when that is changed.
_CLOCK = """
import datetime, os

class Kind(type):
    def __instancecheck__(self, value):
        return isinstance(value, self.real)

class Moment(datetime.datetime, metaclass=Kind):
    real = datetime.datetime

    @classmethod
    def now(cls, tz=None):
        now = cls.fromisoformat(os.environ["CLOCK"])
        return now.astimezone(tz) if tz else now.astimezone().replace(tzinfo=None)

class Day(datetime.date, metaclass=Kind):
    real = datetime.date

    @classmethod
    def today(cls):
        return Moment.now().date()

datetime.datetime, datetime.date = Moment, Day
"""
# Creates what is due at each of the moments in its standard input.
_WALK = f"""
import os, sys
sys.path.insert(0, {str(ROOT)!r})
import database, work_order
connection = database.connect(database.default_path())
connection.execute("PRAGMA synchronous = OFF")
for os.environ["CLOCK"] in sys.stdin.read().split():
    work_order.create_due(connection)
"""


def days(first: str, last: str) -> List[str]:
    """Return all days from the first to the last, in ISO 8601."""
    begin = date.fromisoformat(first)
    return [str(begin + number * DAY) for number in range((date.fromisoformat(last) - begin).days + 1)]


class RecurringTestCase(DatabaseTestCase):
    def setUp(self) -> None:
        super().setUp()
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        (Path(folder.name) / "sitecustomize.py").write_text(_CLOCK)
        self.python_path = folder.name

    def save(
        self,
        rhythm: str = "1 day",
        first_day: str = "2026-01-01",
        saved_on: str = "2026-01-01",
        due_days: Optional[int] = None,
        draft: Draft = BACKUP,
    ) -> Template:
        """Save a template as max, as if that had been on another day, and return it."""
        template = Template(draft, due_days, *work_order.parse_rhythm(rhythm), date.fromisoformat(first_day))
        work_order.save_template(self.max, template)
        self.set_saved_on(saved_on)
        return self.templates()[-1]

    def set_saved_on(self, day: str) -> None:
        self.connection.execute("UPDATE templates SET saved_on = ? WHERE saved_on = ?", (day, str(date.today())))

    def templates(self) -> List[Template]:
        return sorted(work_order.list_templates(self.max), key=lambda template: template.id)

    def walk(self, *moments: str, zone: str = "UTC") -> None:
        """Create what is due at one moment after the other; a day alone is its noon, UTC."""
        full = (moment if "T" in moment else f"{moment}T12:00:00+00:00" for moment in moments)
        subprocess.run(
            [sys.executable, "-c", _WALK],
            input="\n".join(full).encode(),
            env=environment(self.path, PYTHONPATH=self.python_path, TZ=zone),
            check=True,
        )

    def created(self) -> List[str]:
        """Return the regular days of all that was created, in the order of creation."""
        return [
            str(day)
            for (day,) in self.rows("SELECT template_day FROM work_orders WHERE template_day <> '' ORDER BY id")
        ]

    def notes(self) -> List[str]:
        rows = self.rows("SELECT note FROM work_order_history WHERE field = 'recurs' ORDER BY id")
        return [str(note) for (note,) in rows]


class RegularDayTest(RecurringTestCase):
    def test_every_three_days(self) -> None:
        self.save("3 days")
        self.walk(*days("2026-01-01", "2026-01-10"))
        self.assertEqual(self.created(), ["2026-01-01", "2026-01-04", "2026-01-07", "2026-01-10"])

    def test_a_first_day_on_a_monday_with_a_week_is_every_monday(self) -> None:
        self.save("1 week", first_day="2026-01-05")
        self.walk(*days("2026-01-01", "2027-12-31"))
        expected = [day for day in days("2026-01-01", "2027-12-31") if date.fromisoformat(day).weekday() == 0]
        self.assertEqual(self.created(), expected)

    def test_the_31st_is_the_last_day_of_a_shorter_month_in_leap_years_too(self) -> None:
        self.save("1 month", first_day="2027-01-31", saved_on="2027-01-31")
        self.walk(*days("2027-01-01", "2028-12-31"))
        months = [(year, month) for year in (2027, 2028) for month in range(1, 13)]
        expected = [str(date(year, month, calendar.monthrange(year, month)[1])) for year, month in months]
        self.assertEqual(self.created(), expected)
        self.assertIn("2028-02-29", expected)

    def test_the_30th_is_the_30th_again_after_a_february(self) -> None:
        self.save("1 month", first_day="2027-01-30", saved_on="2027-01-30")
        self.walk(*days("2027-01-30", "2027-04-30"))
        self.assertEqual(self.created(), ["2027-01-30", "2027-02-28", "2027-03-30", "2027-04-30"])

    def test_twelve_months_are_a_year_for_the_29th_of_february_too(self) -> None:
        self.save("12 months", first_day="2028-02-29", saved_on="2028-02-29")
        around = [str(date(year, month, 28) + n * DAY) for year in range(2028, 2033) for month in (2,) for n in (0, 1)]
        self.walk(*around)
        self.assertEqual(self.created(), ["2028-02-29", "2029-02-28", "2030-02-28", "2031-02-28", "2032-02-29"])

    def test_eleven_months_go_on_from_month_to_month(self) -> None:
        self.save("11 months", first_day="2026-03-31", saved_on="2026-03-31")
        self.walk(*days("2026-03-31", "2028-12-31"))
        self.assertEqual(self.created(), ["2026-03-31", "2027-02-28", "2028-01-31", "2028-12-31"])

    def test_nothing_comes_before_a_first_day_in_the_future(self) -> None:
        self.save("1 week", first_day="2026-02-01")
        self.walk(*days("2026-01-01", "2026-02-10"))
        self.assertEqual(self.created(), ["2026-02-01", "2026-02-08"])

    def test_each_day_is_a_local_one_and_there_is_one_where_the_clocks_change(self) -> None:
        self.save("1 day", first_day="2026-03-28", saved_on="2026-03-28")
        for first in ("2026-03-28T00:00:00+00:00", "2026-10-24T00:00:00+00:00"):
            begin = datetime.fromisoformat(first)
            moments = [(begin + timedelta(minutes=30 * n)).isoformat() for n in range(46 + 48 + 50)]
            self.walk(*moments, zone=BERLIN)
        created_at = "datetime(created_at, CASE WHEN created_at < '2026-10' THEN '+2 hours' ELSE '+1 hours' END)"
        self.assertEqual(self.created(), [*days("2026-03-28", "2026-03-31"), *days("2026-10-24", "2026-10-27")][:8])
        late = self.rows(f"SELECT template_day, {created_at} FROM work_orders WHERE template_day LIKE '%-30'")
        self.assertEqual(late, [("2026-03-30", "2026-03-30 00:00:00")])

    def test_what_comes_next_is_listed_by_its_day(self) -> None:
        today = date.today()
        self.save("1 month", str(today + 9 * DAY), str(today), draft=Draft("Later"))
        self.save("2 weeks", str(today + 2 * DAY), str(today), draft=Draft("Sooner"))
        listed = [(each.draft.title, each.next_day) for each in work_order.list_templates(self.max)]
        self.assertEqual(listed, [("Sooner", today + 2 * DAY), ("Later", today + 9 * DAY)])


class AbsenceTest(RecurringTestCase):
    def test_one_work_order_stands_for_all_days_that_were_missed_and_says_how_many(self) -> None:
        self.save("1 month", first_day="2026-01-31")
        self.walk("2026-06-15", "2026-06-16", "2026-06-30", "2026-08-31")
        self.assertEqual(self.created(), ["2026-05-31", "2026-06-30", "2026-08-31"])
        self.assertEqual(
            self.notes(),
            ["4 earlier days passed without one.", "", "1 earlier day passed without one."],
        )

    def test_each_template_has_its_own(self) -> None:
        for title in ("One", "Two"):
            self.save("1 week", draft=Draft(title))
        self.walk("2026-02-01")
        self.assertEqual(self.created(), ["2026-01-29"] * 2)
        self.assertEqual(self.rows("SELECT title FROM work_orders ORDER BY id"), [("One",), ("Two",)])

    def test_what_lies_before_the_day_of_saving_is_not_owed(self) -> None:
        self.save("1 week", first_day="2025-01-01", saved_on="2026-01-10")
        self.walk("2026-01-12", "2026-01-14", "2026-01-20")
        self.assertEqual((self.created(), self.notes()), (["2026-01-14"], [""]))

    def test_a_change_owes_nothing_from_before_it_either(self) -> None:
        template = self.save("1 day")
        self.walk("2026-01-01")
        work_order.save_template(self.max, template._replace(every=2))
        self.set_saved_on("2026-01-10")
        self.walk("2026-01-10", "2026-01-11", "2026-01-12")
        self.assertEqual(self.created(), ["2026-01-01", "2026-01-11"])
        self.assertEqual(self.notes(), ["", ""])

    def test_a_change_on_a_day_that_has_its_work_order_creates_no_second(self) -> None:
        template = self.save("1 day")
        self.walk("2026-01-01")
        work_order.save_template(self.max, template._replace(every=1, unit="week"))
        self.set_saved_on("2026-01-01")
        self.walk("2026-01-01", "2026-01-08")
        self.assertEqual(self.created(), ["2026-01-01", "2026-01-08"])


class WrongClockTest(RecurringTestCase):
    def test_a_clock_that_jumps_a_year_ahead_and_back_creates_none_twice_and_misses_none(self) -> None:
        self.save("1 day", first_day="2026-01-01")
        self.walk(*days("2026-01-01", "2026-01-05"))
        self.walk("2027-01-03")
        self.walk(*days("2026-01-05", "2027-01-10"))
        created = self.created()
        self.assertEqual(sorted(created), days("2026-01-01", "2027-01-10"))
        self.assertEqual(created[5], "2027-01-03")

    def test_a_clock_that_was_set_back_creates_nothing_again(self) -> None:
        self.save("1 week", first_day="2026-01-01")
        self.walk("2026-01-01", "2026-01-08", "2026-01-01", "2026-01-07", "2026-01-08", "2026-01-15")
        self.assertEqual(self.created(), ["2026-01-01", "2026-01-08", "2026-01-15"])

    def test_a_template_that_was_saved_while_the_clock_was_ahead_is_not_stopped(self) -> None:
        self.save("1 day", first_day="2026-01-01", saved_on="2027-01-01")
        self.walk("2026-01-02", "2026-01-03")
        self.assertEqual(self.created(), ["2026-01-02", "2026-01-03"])


class OnceTest(RecurringTestCase):
    def start(self, clock: str, zone: str) -> "subprocess.Popen[bytes]":
        return subprocess.Popen(
            command(ROOT / "work_order.py"),
            env=environment(self.path, PYTHONPATH=self.python_path, TZ=zone, CLOCK=clock),
            stdout=subprocess.DEVNULL,
        )

    def test_eight_programs_that_start_at_once_create_one(self) -> None:
        self.save("1 day", draft=Draft("First"))
        self.save("1 day", draft=Draft("Second"))
        programs = [self.start("2026-01-01T00:00:00+00:00", "UTC") for _ in range(8)]
        self.assertEqual([program.wait() for program in programs], [0] * 8)
        self.assertEqual(self.created(), ["2026-01-01"] * 2)

    def test_eight_in_different_time_zones_create_one_for_each_day_that_has_begun_somewhere(self) -> None:
        self.save("1 day")
        zones = ("UTC", BERLIN, FAR_WEST, FAR_EAST) * 2
        programs = [self.start("2026-03-10T10:30:00+00:00", zone) for zone in zones]
        self.assertEqual([program.wait() for program in programs], [0] * 8)
        self.assertEqual(len(self.created()), len(set(self.created())))
        self.assertLessEqual({"2026-03-11"}, set(self.created()))
        self.assertLessEqual(set(self.created()), {"2026-03-09", "2026-03-10", "2026-03-11"})

    def test_eight_sessions_that_sign_in_at_once_create_one(self) -> None:
        self.save("1 day", first_day=str(date.today()), saved_on=str(date.today()))
        talks = [self.talk() for _ in range(8)]
        for talk, username in zip(talks, ("anna", "max", "uma", "ugo") * 2):
            talk.choose("Log in")
            talk.answer("Username: ", username)
            talk.expect("Password: ")
        for talk in talks:
            talk.send(f"{PASSWORD}\n")
        for talk in talks:
            self.assertNotIn("Error", talk.expect("Log out"))
        for talk in talks:
            talk.choose("")  # the main menu again: whoever was kept from it by another one creates what is left
            talk.expect("Log out")
        self.assertEqual(len(self.created()), 1)

    def test_the_database_refuses_a_second_for_one_day(self) -> None:
        self.save("1 day")
        self.walk("2026-01-01")
        with self.assertRaises(sqlite3.IntegrityError):
            self.connection.execute(
                """
                INSERT INTO work_orders (title, requester_id, created_at, updated_at, template_id, template_day)
                SELECT title, requester_id, created_at, updated_at, template_id, template_day FROM work_orders
                """
            )

    def test_a_deleted_one_is_not_created_again(self) -> None:
        self.save("1 day")
        self.walk("2026-01-01")
        work_order.delete(self.anna, 1)
        self.walk("2026-01-01", "2026-01-02")
        self.assertEqual(self.created(), ["2026-01-01", "2026-01-02"])


class CreatedTest(RecurringTestCase):
    def history(self) -> List[Tuple[str, str]]:
        return [(entry.username, entry.field) for entry in work_order.history(self.max, 1)[::-1]]

    def test_it_is_as_the_template_says(self) -> None:
        self.save(draft=Draft("Tapes", "All of them", Priority.HIGH, "Backup", "uma", "anna"))
        self.walk("2026-01-01")
        row = self.get(self.uma, 1)
        self.assertEqual((row.title, row.description, row.priority), ("Tapes", "All of them", Priority.HIGH))
        self.assertEqual((row.category, row.requester, row.assignee), ("Backup", "uma", "anna"))
        self.assertEqual((row.due_at, row.responded_at), (None, None))
        self.assertEqual(self.history(), [("max", "recurs")])
        self.assertEqual(database.find_differences(self.connection), [])

    def test_days_until_due_count_from_the_creation_to_the_end_of_that_day(self) -> None:
        self.save("1 month", due_days=3)
        self.save("1 month", due_days=0)
        self.walk("2026-01-05")
        due = self.rows("SELECT due_at, due_by FROM work_orders ORDER BY id")
        self.assertEqual(due, [("2026-01-08T23:59:59+00:00", "hand"), ("2026-01-05T23:59:59+00:00", "hand")])

    def test_without_days_the_service_target_says_when_it_is_due(self) -> None:
        (shown,) = (each for each in work_order.service_targets(self.anna) if each.priority is Priority.MEDIUM)
        work_order.set_service_target(self.anna, shown, ServiceTarget(Priority.MEDIUM, 4, 24))
        self.save()
        self.walk("2026-01-01")
        columns = "due_at, due_by, response_hours"
        expected = [("2026-01-02T12:00:00+00:00", "target", 4)]
        self.assertEqual(self.rows(f"SELECT {columns} FROM work_orders"), expected)

    def test_its_requester_is_whoever_saved_it_unless_another_is_named(self) -> None:
        self.save()
        self.walk("2026-01-01")
        self.assertEqual(self.get(self.max, 1).requester, "max")

    def test_it_is_created_in_the_name_of_whoever_saved_it_last_whatever_they_may_do_by_then(self) -> None:
        template = self.save()
        work_order.save_template(self.anna, template)
        self.set_saved_on("2026-01-01")
        self.connection.execute("UPDATE users SET role = 'user' WHERE username = 'anna'")
        self.walk("2026-01-01")
        self.assertEqual(self.history(), [("anna", "recurs")])

    def test_an_assignee_who_can_be_none_any_more_is_nobody(self) -> None:
        for change in ("role = 'user'", "is_active = 0"):
            with self.subTest(change=change):
                self.save(draft=Draft("Tapes", assignee="anna"))
                self.connection.execute(f"UPDATE users SET {change} WHERE username = 'anna'")
                self.walk("2026-01-01")
                self.assertEqual(self.rows("SELECT DISTINCT assignee_id FROM work_orders"), [(None,)])
                self.connection.execute("UPDATE users SET role = 'admin', is_active = 1 WHERE username = 'anna'")

    def test_everybody_whom_it_concerns_gets_mail_whoever_saved_it_too(self) -> None:
        self.connection.execute("UPDATE mail_settings SET host = 'localhost', sender = 'it@example.org'")
        self.connection.execute("UPDATE users SET email = username || '@example.org'")
        self.save(draft=Draft("Tapes", requester="uma", assignee="max"))
        self.walk("2026-01-01")
        mail = self.rows("SELECT user_id, subject FROM outbox ORDER BY user_id")
        self.assertEqual(mail, [(2, "[#1] Tapes"), (3, "[#1] Tapes")])

    def test_for_others_it_is_a_change_by_others_and_no_response(self) -> None:
        self.save(draft=Draft("Tapes", requester="uma", assignee="max"))
        self.walk("2026-01-01")
        self.assertEqual(work_order.my_work(self.uma).changed, 1)
        self.assertIsNone(self.get(self.max, 1).responded_at)


class TakeOverTest(RecurringTestCase):
    def people(self) -> List[Tuple[Optional[str], Optional[str], str]]:
        return [(each.draft.requester, each.draft.assignee, each.saved_by) for each in self.remaining()]

    def remaining(self) -> List[Template]:
        return work_order.list_templates(self.anna)

    def setUp(self) -> None:
        super().setUp()
        self.session("lena", Role.MANAGER, ("anna", PASSWORD))
        self.save(draft=Draft("Tapes", requester="max", assignee="max"))

    def test_the_successor_of_a_deactivated_person_takes_over_their_templates(self) -> None:
        work_order.deactivate(self.anna, "max", "lena")
        self.assertEqual(self.people(), [("lena", "lena", "lena")])

    def test_without_one_whoever_deactivates_does_and_nobody_is_the_assignee(self) -> None:
        work_order.deactivate(self.anna, "max")
        self.assertEqual(self.people(), [("anna", None, "anna")])

    def test_who_becomes_a_user_stays_the_requester(self) -> None:
        work_order.change_role(self.anna, "max", Role.USER, "lena")
        self.assertEqual(self.people(), [("max", "lena", "lena")])

    def test_of_others_nothing_changes(self) -> None:
        work_order.deactivate(self.anna, "ugo")
        self.assertEqual(self.people(), [("max", "max", "max")])


class RightsTest(RecurringTestCase):
    def test_managers_and_admins_alone_see_save_and_stop_templates(self) -> None:
        template = self.save()
        for call in (
            lambda: work_order.list_templates(self.uma),
            lambda: work_order.save_template(self.uma, template),
            lambda: work_order.stop_template(self.uma, template),
        ):
            with self.assertRaises(PermissionDeniedError):
                call()
        for session in (self.max, self.anna):
            work_order.save_template(session, template)
            self.assertTrue(users.may(users.current_user(session), Action.RECURRING))

    def test_a_user_who_signs_in_creates_what_is_due_and_sees_no_option(self) -> None:
        self.save(first_day=str(date.today()), saved_on=str(date.today()))
        output = self.run_as("uma")
        self.assertEqual(len(self.created()), 1)
        self.assertNotIn("Recurring", output)

    def test_a_stopped_one_creates_nothing_and_is_neither_changed_nor_stopped_again(self) -> None:
        template = self.save()
        work_order.stop_template(self.anna, template)
        self.walk("2026-01-02")
        self.assertEqual((self.created(), self.templates()), ([], []))
        for call in (work_order.stop_template, work_order.save_template):
            with self.assertRaisesRegex(NotFoundError, "stopped"):
                call(self.max, template)

    def test_what_cannot_be_saved_is_refused(self) -> None:
        for draft in (
            Draft(""),
            Draft("t", requester="ghost"),
            Draft("t", assignee="uma"),
            Draft("t", category="x" * 41),
        ):
            with self.subTest(draft=draft), self.assertRaises(InvalidInputError):
                self.save(draft=draft)
        self.assertEqual(self.rows("SELECT count(*) FROM templates"), [(0,)])

    def test_saving_and_stopping_are_in_the_audit_log(self) -> None:
        work_order.stop_template(self.anna, self.save("2 weeks"))
        audited = self.rows("SELECT user_id, event, subject FROM audit_log WHERE event LIKE 'recurring%' ORDER BY id")
        self.assertEqual(
            audited,
            [
                (2, "recurring work order saved", "Check the backup, every 2 weeks"),
                (1, "recurring work order stopped", "Check the backup"),
            ],
        )


class BusyTest(RecurringTestCase):
    def test_nobody_waits_for_others_who_save_and_the_next_screen_creates_it(self) -> None:
        talk = self.talk()
        talk.log_in("max")
        talk.expect("Log out")
        self.save(first_day=str(date.today()), saved_on=str(date.today()))
        self.connection.execute("BEGIN IMMEDIATE")
        talk.choose("")
        self.assertNotIn("Error", talk.expect("Log out"))
        self.assertEqual(self.created(), [])
        self.connection.execute("COMMIT")
        talk.choose("")
        talk.expect("Log out")
        self.assertEqual(len(self.created()), 1)

    def test_what_cannot_be_created_keeps_nobody_from_signing_in(self) -> None:
        self.save(first_day=str(date.today()), saved_on=str(date.today()))
        self.connection.execute(
            "CREATE TRIGGER refuse BEFORE INSERT ON work_orders BEGIN SELECT RAISE(ABORT, 'disk is full'); END"
        )
        output = self.run_as("max", "Summary")
        self.assertNotIn("Error", output)
        self.assertIn("Summary", output)
        self.assertEqual(self.created(), [])


class ScreenTest(RecurringTestCase):
    def test_a_template_is_added_by_one_answer_after_the_other_and_listed(self) -> None:
        add = ("Recurring work orders", "Add", "", "Check tapes", "All of them", "high", "Backup", "uma", "anna")
        tomorrow = date.today() + DAY
        output = self.run_as("max", *add, 3, "2 weeks", "tomorrow")
        prompts = (
            *("Like work order ID [none]: ", "Title: ", "Description: ", "Priority [Medium]: ", "Category [none]: "),
            *("Requester [max]: ", "Assignee [nobody]: ", "Days until due [none]: ", "Every [1 month]: "),
            "First day [today]: ",
        )
        ends = [output.find(prompt) for prompt in prompts]
        self.assertTrue(all(0 < first < last for first, last in zip(ends, ends[1:])), list(zip(prompts, ends)))
        self.assertIn(f'Recurring work order "Check tapes" saved: every 2 weeks from {tomorrow} on.\n', output)
        self.assertRegex(output, rf"\n{tomorrow} +2 weeks +Check tapes +anna +uma\n")
        (template,) = self.templates()
        self.assertEqual(template.draft, Draft("Check tapes", "All of them", Priority.HIGH, "Backup", "uma", "anna"))
        self.assertEqual((template.due_days, template.first_day), (3, tomorrow))

    def test_one_like_a_work_order_takes_its_fields_by_enter(self) -> None:
        self.create(self.max, "Tapes", "All", Priority.LOW, "Backup", "uma", "anna")
        self.run_as("max", "Recurring work orders", "Add", "#1", *[""] * 9)
        (template,) = self.templates()
        self.assertEqual(template.draft, Draft("Tapes", "All", Priority.LOW, "Backup", "uma", "anna"))
        self.assertEqual((template.rhythm, template.first_day, template.due_days), ("1 month", date.today(), None))
        self.assertEqual(len(self.created()), 0)  # until somebody comes to the main menu

    def test_leaving_the_screen_creates_what_is_due_today(self) -> None:
        self.run_as("max", "Recurring work orders", "Add", "", "Tapes", *[""] * 8, "Back")
        self.assertEqual(self.created(), [str(date.today())])

    def test_a_work_order_that_is_not_there_is_refused(self) -> None:
        output = self.run_as("max", "Recurring work orders", "Add", 99)
        self.assertIn("Error: There is no work order #99.\n", output)

    def test_change_starts_from_what_stands(self) -> None:
        self.save("2 weeks", str(date.today() + DAY), draft=Draft("Tapes", "All", assignee="anna", requester="uma"))
        before = self.templates()
        self.run_as("anna", "Recurring work orders", "Change", 1, *[""] * 9)
        (after,) = self.templates()
        self.assertEqual([after._replace(saved_by="max")], before)
        self.assertEqual(after.saved_by, "anna")
        output = self.run_as(
            "max", "Recurring work orders", "Change", "tapes", "", "none", "", "", "", "nobody", 0, "3 m", ""
        )
        (after,) = self.templates()
        self.assertEqual((after.draft.description, after.draft.assignee, after.due_days), ("", None, 0))
        self.assertEqual(after.rhythm, "3 months")
        self.assertIn(f"First day [{date.today() + DAY}]: ", output)

    def test_stop_asks_and_takes_it_from_the_list(self) -> None:
        self.save(first_day="2999-01-01")
        stop = ("Recurring work orders", "Stop", 1)
        self.assertIn("Cancelled. Nothing was saved.", self.run_as("max", *stop, ""))
        output = self.run_as("max", *stop, "yes", "Add")
        self.assertIn('No more work orders "Check the backup" will be created.\nAre you sure? [no]: ', output)
        self.assertIn('Recurring work order "Check the backup" stopped.\n', output)
        self.assertIn("There are none.\n  1. Add\n  0. Back\n", output)

    def test_wrong_answers_are_refused_and_asked_for_again(self) -> None:
        start = ("Recurring work orders", "Add", "x", "", "", "Add", "", "Tapes", "", "", "", "", "")
        rest = ("-1", "3651", "soon", "", "0 days", "1 year", "days", "1000 days", "2 w", "none", "2026-02-30", "")
        output = self.run_as("max", *start, *rest)
        self.assertEqual(output.count("\nError: ") + output.count(": Error: "), 10, output)
        self.assertEqual(self.templates()[0].rhythm, "2 weeks")

    def test_0_leaves_the_form(self) -> None:
        form = ("", "Tapes", "", "", "", "", "", "", "", "")
        for place in (0, 3, 4, 5, 6, 8, 9):  # not at the days until due, which can be 0
            with self.subTest(place=place):
                output = self.run_as("max", "Recurring work orders", "Add", *form[:place], 0)
                self.assertIn("Cancelled. Nothing was saved.\n", output)
        self.assertEqual(self.templates(), [])

    def test_no_line_is_wider_than_the_terminal(self) -> None:
        self.save("100 months", "2999-01-01", draft=Draft("Check tapes " * 10, requester="uma", assignee="anna"))
        for columns in (50, 80):
            output = self.run_as("max", "Recurring work orders", COLUMNS=str(columns))
            self.assertLessEqual(max(map(len, output.splitlines())), columns)
            self.assertIn("100 months", output)


class WordsTest(unittest.TestCase):
    def test_rhythms(self) -> None:
        for text, expected in (
            *(("3 days", (3, "day")), ("1 Day", (1, "day")), ("2w", (2, "week")), ("1 month", (1, "month"))),
            *(("12 months", (12, "month")), ("999 d", (999, "day"))),
        ):
            self.assertEqual(work_order.parse_rhythm(text), expected)
        for text in ("", "0 days", "-1 day", "1000 days", "month", "1 year", "1 dog", "1.5 days", "1 5 days"):
            with self.subTest(text=text), self.assertRaises(InvalidInputError):
                work_order.parse_rhythm(text)

    def test_days_until_due(self) -> None:
        self.assertEqual([work_order.parse_days(text) for text in ("0", "3650", "None")], [0, 3650, None])
        for text in ("", "-1", "3651", "1.5", "\u0663"):
            with self.subTest(text=text), self.assertRaises(InvalidInputError):
                work_order.parse_days(text)

    def test_first_days(self) -> None:
        self.assertEqual(work_order.parse_first_day("2026-12-31"), date(2026, 12, 31))
        self.assertEqual(work_order.parse_first_day("tomorrow"), date.today() + DAY)
        late = datetime.now(timezone.utc).astimezone().date()
        self.assertEqual(work_order.parse_first_day("today"), late)
        for text in ("none", "someday", "2026-02-30", ""):
            with self.subTest(text=text), self.assertRaises(InvalidInputError):
                work_order.parse_first_day(text)


if __name__ == "__main__":
    unittest.main()
