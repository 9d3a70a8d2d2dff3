"""How SQLite answers what the menus ask: with which indexes, and what it sorts."""

import contextlib
import itertools
import re
import unittest
from functools import partial
from typing import Callable, Dict, List, NamedTuple, Sequence
from unittest import mock

from support import DatabaseTestCase

import users
import work_order
from users import NOBODY, NONE, AuditFilter, Session
from work_order import UNFINISHED, Count, Counted, Due, Filter, Grouping, Priority, Query, Sort, Status, WorkOrder

# What each index is for.
INDEXES: Dict[str, str] = {
    "audit_log_by_event": "the audit log of a kind, and its kinds",
    "audit_log_by_subject": "the audit log of an account to which something was done",
    "audit_log_by_user": "the audit log of an account that did something",
    "outbox_by_next_attempt": "whether a message is due",
    "outbox_by_work_order": "what a new message may be added to",
    "password_failures_by_time": "forgetting old failures",
    "users_active_by_role": "the last active admin",
    "work_order_history_by_former_assignee": "what was taken from somebody",
    "work_order_history_by_work_order": "the history of a work order, and its notes",
    "work_order_history_from_finished": "what was reopened",
    "work_order_history_to_finished": "what was resolved or cancelled",
    "work_orders_by_assignee_change": "an assignee's, by change, and what others have changed of them",
    "work_orders_by_assignee_urgency": "an assignee's, and those of nobody",
    "work_orders_by_category_urgency": "a category's, and the categories",
    "work_orders_by_change": "everything by change",
    "work_orders_by_due": "everything by due date, and what is due this week, finished or not",
    "work_orders_by_requester_change": "a requester's, by change, and what others have changed of them",
    "work_orders_by_requester_urgency": "a requester's",
    "work_orders_by_status_urgency": "those of a status",
    "work_orders_by_urgency": "everything, what is unfinished, and those of a priority",
    "work_orders_created": "what was created in a week",
    "work_orders_deleted": "the deleted ones",
    "work_orders_finished": "what was finished only after a moment",
    "work_orders_resolved": "what resolution times are made of",
    "work_orders_stopped": "what is not overdue because it is On Hold",
    "work_orders_unfinished": "the backlog, and who has what of it",
    "work_orders_unfinished_by_due": "what is overdue, and how many",
}


class Step(NamedTuple):
    """A statement and a line of its plan."""

    statement: str
    plan: str


class PlanTest(DatabaseTestCase):
    """Without statistics, since the program never makes any."""

    def setUp(self) -> None:
        super().setUp()
        for _ in range(4):
            shown = self.create(self.uma, category=None)
        work_order.comment(self.max, 1, "On my way")
        work_order.change(self.max, shown, work_order.CATEGORY, "Hardware")
        work_order.take(self.max, self.get(self.max, 1))
        self.connection.execute("UPDATE mail_settings SET host = '127.0.0.1', sender = 'it@example.org'")

    def steps(self, call: Callable[..., object], *arguments: object) -> List[Step]:
        found = []
        for statement in self.statements(call, *arguments):
            if not re.match(r"BEGIN|COMMIT|ROLLBACK|PRAGMA", statement):
                rows = self.rows(f"EXPLAIN QUERY PLAN {statement}")
                found += [Step(statement, str(row[3]).replace("TABLE ", "")) for row in rows]
        return found

    def assert_reads_no_table_from_end_to_end(self, steps: Sequence[Step]) -> None:
        self.assertTrue(steps)
        for step in steps:
            self.assertNotRegex(step.plan, r"SCAN (work_orders|work_order_history|audit_log|users)\b(?! USING)")

    def filters(self) -> List[Filter]:
        """Return every filter alone, every two of them together, and all of them together."""
        alone = (
            *(Filter(status=status) for status in (UNFINISHED, Status.ON_HOLD, Status.RESOLVED)),
            Filter(priority=Priority.HIGH),
            *(Filter(category=category) for category in (NONE, "Hardware")),
            Filter(requester="uma"),
            *(Filter(assignee=assignee) for assignee in (NOBODY, "max")),
            *(Filter(due=due) for due in Due),
        )
        two = [self.together(*pair) for pair in itertools.combinations(alone, 2)]
        everything = Filter(Status.OPEN, Priority.HIGH, "Hardware", "uma", "max", Due.OVERDUE)
        return [Filter(), *alone, *two, everything]

    def together(self, first: Filter, second: Filter) -> Filter:
        return first._replace(**{name: value for name, value in second._asdict().items() if value})

    def read(self, session: Session, query: Query, seen: Sequence[WorkOrder]) -> List[Step]:
        return self.steps(work_order.read_page, session, query, seen, 10)

    def test_no_list_reads_the_table_from_end_to_end(self) -> None:
        seen = [self.get(self.max, 2)]
        for session, each, sort in itertools.product((self.uma, self.max), self.filters(), Sort):
            with self.subTest(filter=each, sort=sort):
                steps = self.read(session, Query(each, sort), seen)
                self.assert_reads_no_table_from_end_to_end(steps)
                if each != Filter():
                    self.assertNotIn("SCAN work_orders", " ".join(step.plan for step in steps))

    def test_where_many_match_only_ids_are_sorted(self) -> None:
        with mock.patch.object(work_order, "COUNTED_AT_MOST", 0):
            for session, each, sort in itertools.product((self.uma, self.max), self.filters(), Sort):
                for statement, plan in self.read(session, Query(each, sort), ()):
                    with self.subTest(filter=each, sort=sort, statement=statement):
                        is_of_ids = "work_orders.id IN (SELECT id FROM work_orders WHERE" in statement
                        self.assertTrue(is_of_ids or "TEMP B-TREE" not in plan, plan)

    def test_in_the_order_of_urgency_nothing_is_sorted_but_a_few_by_due_date(self) -> None:
        for session, each in itertools.product((self.uma, self.max), self.filters()):
            with self.subTest(filter=each):
                plans = [step.plan for step in self.read(session, Query(each), ())]
                self.assertTrue(each.due or "TEMP B-TREE" not in " ".join(plans), plans)

    def test_of_several_filters_the_one_that_rules_out_most_leads(self) -> None:
        alone = {
            "requester": Filter(requester="uma"),
            "assignee": Filter(assignee="max"),
            "category": Filter(category="Hardware"),
            "status": Filter(status=Status.OPEN),
        }
        for first, second in itertools.combinations(alone, 2):
            each = self.together(alone[first], alone[second])
            for sort in Sort:
                plans = " ".join(step.plan for step in self.read(self.max, Query(each, sort), ()))
                with self.subTest(filter=each, sort=sort):
                    self.assertNotIn(f"work_orders_by_{second}", plans)

    def test_ones_own_are_found_among_ones_own_however_many_they_are(self) -> None:
        with mock.patch.object(work_order, "COUNTED_AT_MOST", 0):
            plans = " ".join(step.plan for step in self.read(self.uma, Query(), ()))
        self.assertNotIn("work_orders_by_urgency", plans)
        self.assertIn("work_orders_by_requester_urgency", plans)

    def test_totals_and_what_is_overdue_are_counted_in_indexes_alone(self) -> None:
        with mock.patch.object(work_order, "COUNTED_AT_MOST", 0):
            for each in self.filters()[:12]:
                if each.due is Due.THIS_WEEK:  # which only the generated rank of due dates answers
                    continue
                counting = [step for step in self.read(self.max, Query(each), ()) if "count(*)" in step.statement]
                for step in counting:
                    with self.subTest(filter=each, statement=step.statement):
                        self.assertNotRegex(step.plan, "work_orders USING INDEX")

    def test_a_search_goes_through_the_full_text_indexes(self) -> None:
        for session, text, sort in itertools.product((self.uma, self.max), ("pri", "printer", "inte", "nt"), Sort):
            query = work_order.search(session, text)._replace(sort=sort)
            for hits in (work_order.SORTED_AT_MOST, 0):
                with mock.patch.multiple(work_order, SORTED_AT_MOST=hits, COUNTED_AT_MOST=hits):
                    steps = self.read(session, query, ())
                with self.subTest(query=query, hits=hits):
                    self.assert_reads_no_table_from_end_to_end(steps)
                    sorts = [step for step in steps if "TEMP B-TREE" in step.plan and "note <>" not in step.statement]
                    if hits == 0 or sort in (Sort.NEWEST, Sort.OLDEST):
                        self.assertEqual(sorts, [])

    def test_nothing_else_reads_a_table_from_end_to_end(self) -> None:
        self.assert_reads_no_table_from_end_to_end(self.steps_of_everything_else())

    def steps_of_everything_else(self) -> List[Step]:
        entry = users.audit_log(self.anna, AuditFilter(), None, 1)[0]
        all_time = work_order.parse_period("all")
        behind = [Query(Filter(counted=Counted(count, *all_time.bounds))) for count in Count]
        calls: Sequence[Callable[[], object]] = (
            lambda: work_order.my_work(self.uma),
            lambda: work_order.my_work(self.max),
            lambda: work_order.read_page(self.max, Query(work_order.CHANGED), (), 10),
            lambda: work_order.get(self.max, 1),
            lambda: work_order.history(self.max, 1),
            lambda: work_order.summary(self.uma),
            lambda: work_order.categories(self.uma),
            lambda: work_order.list_deleted(self.anna, None, 10),
            lambda: users.list_assignees(self.max),
            lambda: users.audit_events(self.anna),
            lambda: users.audit_log(self.anna, AuditFilter(), entry, 10),
            lambda: users.audit_log(self.anna, AuditFilter(username="max"), entry, 10),
            lambda: users.audit_log(self.anna, AuditFilter(event="logged in"), entry, 10),
            lambda: users.audit_log(self.anna, AuditFilter("max", "logged in"), entry, 10),
            lambda: work_order.resolution_times(self.max, all_time, Grouping.REQUESTER),
            lambda: work_order.backlog(self.max),
            lambda: work_order.weekly_flow(self.max, all_time),
            lambda: work_order.workload(self.max, all_time),
            *(partial(work_order.read_page, self.max, query, (), 10) for query in behind),
            lambda: work_order.service_targets(self.max),
            lambda: work_order.comment(self.max, 1, "Done"),
            lambda: users.is_mail_due(self.connection),
            lambda: work_order.change_status(self.max, self.get(self.max, 1), Status.RESOLVED, "Done"),
            lambda: work_order.change_status(self.max, self.get(self.max, 1), Status.OPEN),
            lambda: users.log_in(self.connection, "ghost", "battery horse 8"),
            lambda: users.change_role(self.anna, "max", users.Role.USER),
            lambda: users.change_role(self.anna, "max", users.Role.MANAGER),
        )
        return [step for call in calls for step in self.steps(self.accept_refusals, call)]

    def accept_refusals(self, call: Callable[[], object]) -> None:
        with contextlib.suppress(users.AuthenticationError):
            call()

    def test_each_index_is_used_and_no_other_is_kept(self) -> None:
        kept = self.rows("SELECT name FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL ORDER BY name")
        self.assertEqual([name for (name,) in kept], sorted(INDEXES))
        steps = self.steps_of_everything_else()
        for many in (users.COUNTED_AT_MOST, 0):
            with mock.patch.object(work_order, "COUNTED_AT_MOST", many):
                for each, sort in itertools.product(self.filters()[:12], Sort):
                    steps += self.read(self.max, Query(each, sort), ())
        used = " ".join(step.plan for step in steps)
        for index in INDEXES:
            with self.subTest(index=index):
                self.assertIn(f"INDEX {index} ", f"{used} ")


if __name__ == "__main__":
    unittest.main()
