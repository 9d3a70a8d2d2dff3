"""Recurring work orders: their regular days, what is created for them, once and by whom, and their screen."""

import re
import sqlite3
import subprocess
from datetime import date, datetime, timedelta, timezone
from typing import List, Optional

from support import PASSWORD, ROOT, DatabaseTestCase, command, environment

import database
import work_order
from users import InvalidInputError, Role
from work_order import Draft, NotFoundError, Priority, ServiceTarget, Template

DAY = timedelta(days=1)
BACKUP = Draft("Check the backup")


class RecurringTestCase(DatabaseTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.today = date.today()

    def save(
        self, rhythm: str = "1 day", first_day: Optional[date] = None, draft: Draft = BACKUP, days: Optional[int] = None
    ) -> Template:
        """Save a template as max, as if that had been on its first day, which is today if no other is given."""
        template = Template(draft, days, *work_order.parse_rhythm(rhythm), first_day or self.today)
        work_order.save_template(self.max, template)
        self.connection.execute("UPDATE templates SET saved_on = first_day WHERE id = (SELECT max(id) FROM templates)")
        return max(self.templates(), key=lambda each: each.id)

    def templates(self) -> List[Template]:
        return work_order.list_templates(self.anna)

    def created(self) -> List[str]:
        """Return the regular days of all that was created, in the order of creation."""
        rows = self.rows("SELECT template_day FROM work_orders WHERE template_id IS NOT NULL ORDER BY id")
        return [str(day) for (day,) in rows]


class DueTest(RecurringTestCase):
    def test_days_weeks_and_months_follow_the_calendar(self) -> None:
        for rhythm, first_day, *later in (
            ("3 days", "2020-02-26", "2020-02-29", "2020-03-03"),
            ("1 week", "2021-12-20", "2021-12-27", "2022-01-03"),
            ("1 month", "2019-12-31", "2020-01-31", "2020-02-29", "2020-03-31", "2020-04-30", "2020-05-31"),
            ("1 month", "2021-01-30", "2021-02-28", "2021-03-30"),
            ("11 months", "2019-03-31", "2020-02-29", "2021-01-31"),
            ("12 months", "2020-02-29", "2021-02-28", "2022-02-28", "2023-02-28", "2024-02-29"),
        ):
            with self.subTest(rhythm=rhythm, first_day=first_day):
                template = self.save(rhythm, date.fromisoformat(first_day))
                self.assertEqual(str(template.next_day), first_day)
                work_order.create_due(self.connection)
                for before, after in zip((first_day, *later), later):
                    self.connection.execute("UPDATE work_orders SET template_day = ?", (before,))
                    self.assertEqual(str(self.templates()[0].next_day), after)
                work_order.stop_template(self.max, template)
                self.connection.execute("UPDATE work_orders SET template_id = NULL")

    def test_one_work_order_stands_for_all_days_that_were_missed_and_says_how_many(self) -> None:
        for rhythm, days_ago in (("2 days", 9), ("1 day", 1), ("1 week", 0), ("1 month", -1)):
            self.save(rhythm, self.today - days_ago * DAY)
        work_order.create_due(self.connection)
        self.assertEqual(self.created(), [str(self.today - DAY), str(self.today), str(self.today)])
        notes = [("4 earlier days passed without one.",), ("1 earlier day passed without one.",), ("",)]
        self.assertEqual(self.rows("SELECT note FROM work_order_history ORDER BY id"), notes)

    def test_days_before_the_last_save_create_nothing(self) -> None:
        template = self.save("1 month", self.today.replace(year=2000))
        work_order.save_template(self.max, template)
        work_order.create_due(self.connection)
        self.assertEqual(self.created(), [str(self.today)])
        self.assertEqual(self.rows("SELECT note FROM work_order_history"), [("",)])

    def test_a_clock_that_was_ahead_stops_nothing_and_creates_nothing_twice(self) -> None:
        self.save()
        self.connection.execute("UPDATE templates SET saved_on = '2999-01-01'")
        work_order.create_due(self.connection)
        self.connection.execute("UPDATE work_orders SET template_day = '2999-01-01'")
        for _ in range(2):
            work_order.create_due(self.connection)
            self.assertEqual(self.created(), ["2999-01-01", str(self.today)])

    def test_programs_that_start_at_once_create_one_for_each_day_that_has_begun_somewhere(self) -> None:
        self.save(first_day=date(2020, 1, 1))
        work_order.create_due(self.connection)
        zones = {"WEST23:59": -1439, "UTC": 0, "EAST-23:59": 1439}
        begun = {str(datetime.now(timezone(timedelta(minutes=minutes))).date()) for minutes in zones.values()}
        script = command(ROOT / "work_order.py")
        programs = [
            subprocess.Popen(script, env=environment(self.path, TZ=zone), stdout=subprocess.DEVNULL)
            for zone in ("EAST-23:59", *zones)
        ]
        self.assertEqual([program.wait() for program in programs], [0] * 4)
        self.assertEqual(sorted(self.created()), sorted(begun))

    def test_what_another_session_creates_at_the_last_moment_is_not_created_again(self) -> None:
        self.save()
        other = database.connect(self.path)
        self.addCleanup(other.close)
        self.connection.set_trace_callback(lambda sql: sql.startswith("BEGIN") and work_order.create_due(other))
        self.assertEqual(work_order.create_due(self.connection), 0)
        self.connection.set_trace_callback(None)
        self.assertEqual(self.created(), [str(self.today)])
        columns = "title, requester_id, created_at, updated_at, template_id, template_day"
        with self.assertRaises(sqlite3.IntegrityError):
            self.connection.execute(f"INSERT INTO work_orders ({columns}) SELECT {columns} FROM work_orders")

    def test_a_day_gets_no_second_when_the_first_is_deleted_or_the_template_changed(self) -> None:
        template = self.save()
        work_order.create_due(self.connection)
        work_order.delete(self.anna, 1)
        work_order.create_due(self.connection)
        work_order.save_template(self.max, template._replace(unit="week"))
        work_order.create_due(self.connection)
        self.assertEqual(self.created(), [str(self.today)])
        self.assertEqual(self.templates()[0].next_day, self.today + 7 * DAY)


class TemplateTest(RecurringTestCase):
    def test_it_is_as_the_template_says_and_told_to_all_as_a_change_by_others_but_no_response(self) -> None:
        self.connection.execute("UPDATE mail_settings SET host = 'localhost', sender = 'it@example.org'")
        self.connection.execute("UPDATE users SET email = username || '@example.org'")
        self.save(draft=Draft("Tapes", "All of them", Priority.HIGH, "Backup", "uma", "max"))
        work_order.create_due(self.connection)
        row = self.get(self.uma, 1)
        self.assertEqual((row.title, row.description, row.priority), ("Tapes", "All of them", Priority.HIGH))
        self.assertEqual((row.category, row.requester, row.assignee), ("Backup", "uma", "max"))
        self.assertEqual((row.due_at, row.responded_at), (None, None))
        self.assertEqual([(each.username, each.field) for each in work_order.history(self.uma, 1)], [("max", "recurs")])
        mail = self.rows("SELECT user_id, subject FROM outbox ORDER BY user_id")
        self.assertEqual(mail, [(2, "[#1] Tapes"), (3, "[#1] Tapes")])
        self.assertEqual(work_order.my_work(self.uma).changed, 1)
        self.assertEqual(database.find_differences(self.connection), [])

    def test_it_is_due_days_after_its_creation_or_when_the_service_target_says(self) -> None:
        (shown,) = (each for each in work_order.service_targets(self.anna) if each.priority is Priority.MEDIUM)
        work_order.set_service_target(self.anna, shown, ServiceTarget(Priority.MEDIUM, 4, 24))
        for days in (3, 0, None):
            self.save("1 week", self.today - 2 * DAY, days=days)
        work_order.create_due(self.connection)
        rows = [self.get(self.max, number) for number in (1, 2, 3)]
        ends = [work_order.parse_due_date(str(day)) for day in (self.today + 3 * DAY, self.today)]
        self.assertEqual([row.due_at for row in rows], [*ends, rows[0].created_at + DAY])
        written = self.rows("SELECT due_by, response_hours FROM work_orders ORDER BY id")
        self.assertEqual(written, [("hand", None), ("hand", None), ("target", 4)])

    def test_who_may_no_more_still_has_created_it_but_is_not_assigned(self) -> None:
        template = self.save(draft=Draft("Tapes", assignee="max"))
        work_order.save_template(self.anna, template)
        self.connection.execute("UPDATE users SET role = 'user' WHERE username IN ('anna', 'max')")
        work_order.create_due(self.connection)
        row = self.get(self.max, 1)
        self.assertEqual((row.requester, row.assignee), ("max", None))
        self.assertEqual(work_order.history(self.max, 1)[0].username, "anna")

    def test_a_stopped_one_creates_nothing_and_is_neither_changed_nor_stopped_again(self) -> None:
        template = self.save("2 weeks")
        work_order.stop_template(self.anna, template)
        work_order.create_due(self.connection)
        self.assertEqual((self.created(), self.templates()), ([], []))
        for call in (work_order.stop_template, work_order.save_template):
            with self.assertRaisesRegex(NotFoundError, "stopped"):
                call(self.max, template)
        audited = self.rows("SELECT user_id, event, subject FROM audit_log WHERE event LIKE 'recurring%' ORDER BY id")
        saved = (2, "recurring work order saved", "Check the backup, every 2 weeks")
        self.assertEqual(audited, [saved, (1, "recurring work order stopped", "Check the backup")])

    def test_what_cannot_be_saved_is_refused(self) -> None:
        refused = (Draft(""), Draft("t", requester="ghost"), Draft("t", assignee="uma"), Draft("t", category="x" * 41))
        for draft in refused:
            with self.subTest(draft=draft), self.assertRaises(InvalidInputError):
                self.save(draft=draft)
        self.assertEqual(self.templates(), [])

    def test_who_leaves_hands_them_over_but_a_user_stays_the_requester(self) -> None:
        self.session("lena", Role.MANAGER, ("anna", PASSWORD))
        self.save(draft=Draft("Tapes", requester="max", assignee="max"))
        work_order.change_role(self.anna, "max", Role.USER, "lena")
        for username, successor, people in (
            ("ugo", None, ("max", "lena", "lena")),
            ("max", "lena", ("lena", "lena", "lena")),
            ("lena", None, ("anna", None, "anna")),
        ):
            work_order.deactivate(self.anna, username, successor)
            (template,) = self.templates()
            self.assertEqual((template.draft.requester, template.draft.assignee, template.saved_by), people)

    def test_rhythms_and_days_are_understood_or_refused(self) -> None:
        words = ("3 days", "1 Day", "2w", "12 months", "999 d")
        expected = [(3, "day"), (1, "day"), (2, "week"), (12, "month"), (999, "day")]
        self.assertEqual([work_order.parse_rhythm(text) for text in words], expected)
        self.assertEqual([work_order.parse_days(text) for text in ("0", "3650", "None")], [0, 3650, None])
        self.assertEqual(work_order.parse_first_day("2026-12-31"), date(2026, 12, 31))
        for parse, texts in (
            (work_order.parse_rhythm, ("", "0 days", "-1 day", "1000 days", "month", "1 year", "1.5 days", "1 5 days")),
            (work_order.parse_days, ("", "-1", "3651", "1.5", "\u0663")),
            (work_order.parse_first_day, ("", "none", "someday", "2026-02-30")),
        ):
            for text in texts:
                with self.subTest(text=text), self.assertRaises(InvalidInputError):
                    parse(text)


class ScreenTest(RecurringTestCase):
    def test_neither_a_fault_nor_others_who_save_keep_one_out_and_the_next_main_menu_creates_it(self) -> None:
        self.save()
        refuse = "BEFORE INSERT ON work_orders BEGIN SELECT RAISE(ABORT, 'disk is full'); END"
        self.connection.execute(f"CREATE TRIGGER refuse {refuse}")
        talk = self.talk(busy_seconds=3600)
        talk.log_in("uma")
        self.assertNotIn("Error", talk.expect("Log out"))
        self.connection.execute("DROP TRIGGER refuse")
        self.connection.execute("BEGIN IMMEDIATE")
        talk.choose("")
        self.assertNotIn("Error", talk.expect("Log out"))
        self.connection.execute("COMMIT")
        self.assertEqual(self.created(), [])
        talk.choose("")
        talk.expect("Log out")
        self.assertEqual(self.created(), [str(self.today)])

    def test_one_is_added_by_one_answer_after_the_other_and_listed_by_its_next_day(self) -> None:
        self.save("1 month", self.today + 9 * DAY, Draft("Later"))
        add = ("Add", "x", "", "Check tapes", "All of them", "high", "Backup", "uma", "anna")
        rhythm = ("-1", 0, "1 year", "2 weeks", "none", "tomorrow")
        output = self.run_as("max", "Recurring work orders", *add, *rhythm)
        tomorrow = self.today + DAY
        prompts = (
            *("Like work order ID [none]: ", "Title: ", "Description: ", "Priority [Medium]: ", "Category [none]: "),
            *("Requester [max]: ", "Assignee [nobody]: ", "Days until due [none]: ", "Every [1 month]: "),
            "First day [today]: ",
        )
        self.assertRegex(output, "(?s)" + ".*".join(map(re.escape, prompts)))
        self.assertEqual(output.count("Error: "), 4)
        self.assertIn(f'Recurring work order "Check tapes" saved: every 2 weeks from {tomorrow} on.\n', output)
        self.assertRegex(output, rf"\n{tomorrow} +2 weeks +Check tapes +anna +uma\n.* +1 month +Later +nobody +max\n")
        draft = Draft("Check tapes", "All of them", Priority.HIGH, "Backup", "uma", "anna")
        self.assertEqual(self.templates()[0], Template(draft, 0, 2, "week", tomorrow, 2, "max", tomorrow))

    def test_one_like_a_work_order_takes_its_fields_by_enter_and_comes_on_the_way_back(self) -> None:
        people = {"requester": "uma", "assignee": "anna"}
        self.create(self.max, "Tapes", "All", priority=Priority.LOW, category="Backup", **people)
        output = self.run_as("max", "Recurring work orders", "Add", 99, "Add", "#1", *[""] * 9, "Back")
        self.assertIn("Error: There is no work order #99.\n", output)
        draft = Draft("Tapes", "All", Priority.LOW, "Backup", "uma", "anna")
        expected = Template(draft, None, 1, "month", self.today, 1, "max")
        self.assertEqual([each._replace(next_day=date.max) for each in self.templates()], [expected])
        self.assertEqual(self.created(), [str(self.today)])

    def test_change_starts_from_what_stands_in_a_list_as_wide_as_the_terminal(self) -> None:
        tomorrow = self.today + DAY
        draft = Draft("Tapes " * 20, "All", Priority.HIGH, "Backup", "uma", "anna")
        before = self.save("100 weeks", tomorrow, draft, days=5)
        change = ("Change", 1, "", "none", "", "", "", "nobody", "", "3 m", "")
        output = self.run_as("anna", "Recurring work orders", *change, COLUMNS="50")
        self.assertLessEqual(max(len(line) for line in output.splitlines() if line.startswith(str(tomorrow))), 50)
        self.assertIn(f"First day [{tomorrow}]: ", output)
        draft = before.draft._replace(description="", assignee=None)
        changed = before._replace(draft=draft, every=3, unit="month", saved_by="anna")
        self.assertEqual(self.templates(), [changed])

    def test_stop_asks_and_takes_it_from_the_list_and_0_leaves(self) -> None:
        self.save(first_day=date(2999, 1, 1))
        leave = ("Add", 0, "Add", "", "Tapes", "", "", "", "", "", "", 0, "Change", 1, *[""] * 8, 0, "Stop", 0)
        output = self.run_as("max", "Recurring work orders", *leave, "Stop", 1, "", "Stop", 1, "yes")
        self.assertEqual(output.count("Cancelled. Nothing was saved."), 5)
        self.assertIn('No more work orders "Check the backup" will be created.\nAre you sure? [no]: ', output)
        self.assertIn('Recurring work order "Check the backup" stopped.\n', output)
        self.assertIn("There are none.\n  1. Add\n  0. Back\n", output)
