"""The SQLite database: where it is, how it is opened, its schema and its transactions.

`python database.py` creates the database and prints its path and its schema version.
"""

import contextlib
import math
import os
import re
import sqlite3
import sys
import time
import unicodedata
from contextlib import closing, contextmanager
from datetime import datetime, timezone
from pathlib import Path
from typing import Callable, Dict, Iterable, Iterator, List, Optional, Sequence, Tuple

APPLICATION_ID = 0x574F524B  # "WORK" in ASCII; https://www.sqlite.org/fileformat2.html#application_id
BUSY_SECONDS = 10
YIELD_SECONDS = 0.003  # how long a session that has just written lets others try first
PAGES_PER_STEP = 10_000  # of a backup: 40 MB
_SQLITE_BUSY, _SQLITE_LOCKED = 5, 6  # https://www.sqlite.org/rescode.html
# quick_check reads the whole file: 1 MiB takes 10 ms, while a large database must still open at once.
CHECKED_WHEN_OPENED_BYTES = 1024 * 1024
CACHE_KIBIBYTES = 8 * 1024  # enough for the inner pages of every index of a million work orders


# Errors


class ApplicationError(Exception):
    """An expected failure; its message is a complete sentence for the user."""


class OutputError(ApplicationError):
    """A backup, or another file beside the database, was not made."""


class DatabaseFileError(ApplicationError):
    """The database file is missing, foreign, damaged or from a newer version; it was left as it was."""


class TookTooLongError(ApplicationError):
    """What was being read took so long that it would have held others up; it was stopped."""


EXPECTED_FAULTS = (ApplicationError, sqlite3.Error)

# SQLite's own words (sqlite3_errstr) and ours; Python has no error code to look at before 3.11.
_PASSING_FAULTS = (
    ("is locked", "The database is busy with somebody else's work. Nothing was saved; try again in a moment."),
    ("disk is full", "The disk is full. Nothing was saved; free some space and try again."),
    (
        "readonly database",
        "The database or its folder is not writable, or the file was moved or replaced. Nothing was saved.",
    ),
    ("unable to open", "The database file or its folder cannot be opened. Nothing was saved."),
    ("disk I/O error", "The disk reported an error. Nothing was saved."),
    ("interrupted", "Interrupted."),
)
_DAMAGE = ("malformed", "not a database")


def explain(fault: Exception) -> str:
    """Return a complete sentence that explains any of the EXPECTED_FAULTS to the person."""
    if isinstance(fault, ApplicationError):
        return str(fault)
    for words, sentence in _PASSING_FAULTS:
        if words in str(fault):
            return sentence
    if any(words in str(fault) for words in _DAMAGE):
        return "The database is damaged. Nothing was saved; restore it from a backup."
    return f"The database reported a problem ({fault}). Nothing was saved."


# Values


def printable(text: str) -> str:
    """Return the text on one line with every character that could control a terminal shown as an escape."""
    return text if text.isprintable() else "".join(map(_printable_character, text))


def _printable_character(character: str) -> str:
    if character.isprintable():
        return character
    if unicodedata.category(character) == "Zs":  # no-break and other spaces
        return " "
    return character.encode("unicode_escape").decode()


def now() -> str:
    """Return the present moment as the database stores it: UTC, ISO 8601 to the second."""
    return utc_text(datetime.now(timezone.utc))


def utc_text(moment: datetime) -> str:
    """Return a moment as the database stores it: UTC, ISO 8601 to the second; one without a zone is local time."""
    return moment.astimezone(timezone.utc).isoformat(timespec="seconds")


def where(conditions: Iterable[Tuple[object, str, Sequence[object]]]) -> Tuple[str, List[object]]:
    """Return the SQL of the conditions that are wanted, joined by AND, and the values to bind in it.

    A condition says whether it is wanted, its SQL, and its values.
    """
    wanted = [(sql, values) for is_wanted, sql, values in conditions if is_wanted]
    return " AND ".join(sql for sql, _ in wanted) or "1", [value for _, values in wanted for value in values]


def distinct(connection: sqlite3.Connection, table: str, column: str, condition: str = "1") -> List[str]:
    """Return the values of an indexed column, in order, going from each to the next: DISTINCT would read every row."""
    rows = connection.execute(
        f"""
        WITH RECURSIVE known (value) AS (
            SELECT min({column}) FROM {table} WHERE {condition}
            UNION ALL
            SELECT (SELECT min({column}) FROM {table} WHERE {column} > known.value AND {condition})
            FROM known WHERE known.value IS NOT NULL
        )
        SELECT value FROM known WHERE value IS NOT NULL
        """
    ).fetchall()
    return [value for (value,) in rows]


# Schema


_INITIAL_SCHEMA = (
    """
    CREATE TABLE users (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        username TEXT NOT NULL UNIQUE
            CHECK (length(username) BETWEEN 2 AND 32 AND username NOT GLOB '*[^a-z0-9._-]*'),
        password_hash TEXT NOT NULL,
        role TEXT NOT NULL CHECK (role IN ('user', 'manager', 'admin')),
        email TEXT CHECK (length(email) BETWEEN 3 AND 254),
        is_active INTEGER NOT NULL DEFAULT 1 CHECK (is_active IN (0, 1)),
        created_at TEXT NOT NULL CHECK (strftime('%Y-%m-%dT%H:%M:%S+00:00', created_at) IS created_at),
        must_change_password INTEGER NOT NULL DEFAULT 0 CHECK (must_change_password IN (0, 1)),
        password_version INTEGER NOT NULL DEFAULT 1
    )
    """,
    "CREATE INDEX users_active_by_role ON users (role) WHERE is_active = 1",
    """
    CREATE TABLE work_orders (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        title TEXT NOT NULL CHECK (length(title) BETWEEN 1 AND 120),
        description TEXT NOT NULL DEFAULT '' CHECK (length(description) <= 10000),
        priority INTEGER NOT NULL DEFAULT 2 CHECK (priority IN (1, 2, 3, 4)),
        status TEXT NOT NULL DEFAULT 'Open'
            CHECK (status IN ('Open', 'In Progress', 'On Hold', 'Resolved', 'Cancelled')),
        requester_id INTEGER NOT NULL REFERENCES users (id),
        assignee_id INTEGER REFERENCES users (id),
        created_at TEXT NOT NULL CHECK (strftime('%Y-%m-%dT%H:%M:%S+00:00', created_at) IS created_at),
        updated_at TEXT NOT NULL CHECK (strftime('%Y-%m-%dT%H:%M:%S+00:00', updated_at) IS updated_at),
        resolved_at TEXT CHECK (strftime('%Y-%m-%dT%H:%M:%S+00:00', resolved_at) IS resolved_at),
        due_at TEXT CHECK (strftime('%Y-%m-%dT%H:%M:%S+00:00', due_at) IS due_at),
        deleted_at TEXT CHECK (strftime('%Y-%m-%dT%H:%M:%S+00:00', deleted_at) IS deleted_at),
        urgency INTEGER GENERATED ALWAYS AS
            (CASE WHEN status IN ('Resolved', 'Cancelled') THEN 8 ELSE 4 END - priority) VIRTUAL,
        CHECK ((status = 'Resolved') = (resolved_at IS NOT NULL))
    )
    """,
    "CREATE INDEX work_orders_by_urgency ON work_orders (urgency, created_at, id) WHERE deleted_at IS NULL",
    """
    CREATE INDEX work_orders_by_requester_urgency ON work_orders (requester_id, urgency, created_at, id)
        WHERE deleted_at IS NULL
    """,
    """
    CREATE TABLE work_order_history (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        work_order_id INTEGER NOT NULL REFERENCES work_orders (id),
        user_id INTEGER NOT NULL REFERENCES users (id),
        changed_at TEXT NOT NULL CHECK (strftime('%Y-%m-%dT%H:%M:%S+00:00', changed_at) IS changed_at),
        field TEXT NOT NULL,
        old_value TEXT,
        new_value TEXT,
        note TEXT NOT NULL DEFAULT '' CHECK (length(note) <= 10000)
    )
    """,
    "CREATE INDEX work_order_history_by_work_order ON work_order_history (work_order_id, id)",
    """
    CREATE TRIGGER work_order_history_is_never_changed BEFORE UPDATE ON work_order_history
    BEGIN SELECT RAISE(ABORT, 'The history is never changed.'); END
    """,
    """
    CREATE TRIGGER work_order_history_is_never_removed BEFORE DELETE ON work_order_history
    BEGIN SELECT RAISE(ABORT, 'The history is never removed.'); END
    """,
    """
    CREATE TABLE audit_log (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        recorded_at TEXT NOT NULL CHECK (strftime('%Y-%m-%dT%H:%M:%S+00:00', recorded_at) IS recorded_at),
        user_id INTEGER REFERENCES users (id),
        os_user TEXT NOT NULL,
        ssh_client TEXT NOT NULL,
        event TEXT NOT NULL,
        subject TEXT NOT NULL
    )
    """,
    """
    CREATE TRIGGER audit_log_is_never_changed BEFORE UPDATE ON audit_log
    BEGIN SELECT RAISE(ABORT, 'The audit log is never changed.'); END
    """,
    """
    CREATE TRIGGER audit_log_is_never_removed BEFORE DELETE ON audit_log
    BEGIN SELECT RAISE(ABORT, 'The audit log is never removed.'); END
    """,
)

# The text of a work order is indexed as one document, so that its words may stand in any of its parts.
_DAILY_WORK = (
    "ALTER TABLE users ADD COLUMN seen_history_id INTEGER NOT NULL DEFAULT 0",
    "UPDATE users SET seen_history_id = (SELECT coalesce(max(id), 0) FROM work_order_history)",
    """
    ALTER TABLE work_orders ADD COLUMN due_rank TEXT
        GENERATED ALWAYS AS (coalesce(due_at, '9999-12-31T23:59:59+00:00')) VIRTUAL
    """,
    "CREATE INDEX work_orders_by_change ON work_orders (updated_at, id) WHERE deleted_at IS NULL",
    "CREATE INDEX work_orders_by_due ON work_orders (due_rank, id) WHERE deleted_at IS NULL",
    """
    CREATE INDEX work_orders_by_status_priority_assignee
        ON work_orders (status, priority, assignee_id, urgency, created_at, id) WHERE deleted_at IS NULL
    """,
    """
    CREATE INDEX work_orders_by_status_urgency ON work_orders (status, urgency, created_at, id)
        WHERE deleted_at IS NULL
    """,
    """
    CREATE INDEX work_orders_by_priority_urgency ON work_orders (priority, urgency, created_at, id)
        WHERE deleted_at IS NULL
    """,
    """
    CREATE INDEX work_orders_by_assignee_urgency ON work_orders (assignee_id, urgency, created_at, id)
        WHERE deleted_at IS NULL
    """,
    """
    CREATE INDEX work_orders_with_due_by_urgency ON work_orders (urgency, created_at, id, due_rank)
        WHERE deleted_at IS NULL AND due_at IS NOT NULL
    """,
    "CREATE INDEX work_orders_deleted ON work_orders (deleted_at, id) WHERE deleted_at IS NOT NULL",
    """
    CREATE TABLE work_order_counts (
        requester_id INTEGER NOT NULL REFERENCES users (id),
        status TEXT NOT NULL,
        priority INTEGER NOT NULL,
        total INTEGER NOT NULL,
        PRIMARY KEY (requester_id, status, priority)
    ) WITHOUT ROWID
    """,
    """
    INSERT INTO work_order_counts
        SELECT requester_id, status, priority, count(*) FROM work_orders WHERE deleted_at IS NULL GROUP BY 1, 2, 3
    """,
    """
    CREATE TRIGGER work_orders_count_new AFTER INSERT ON work_orders WHEN new.deleted_at IS NULL
    BEGIN
        INSERT INTO work_order_counts VALUES (new.requester_id, new.status, new.priority, 1)
            ON CONFLICT (requester_id, status, priority) DO UPDATE SET total = total + 1;
    END
    """,
    """
    CREATE TRIGGER work_orders_count_out AFTER UPDATE OF requester_id, status, priority, deleted_at ON work_orders
        WHEN old.deleted_at IS NULL
    BEGIN
        UPDATE work_order_counts SET total = total - 1
            WHERE requester_id = old.requester_id AND status = old.status AND priority = old.priority;
    END
    """,
    """
    CREATE TRIGGER work_orders_count_in AFTER UPDATE OF requester_id, status, priority, deleted_at ON work_orders
        WHEN new.deleted_at IS NULL
    BEGIN
        INSERT INTO work_order_counts VALUES (new.requester_id, new.status, new.priority, 1)
            ON CONFLICT (requester_id, status, priority) DO UPDATE SET total = total + 1;
    END
    """,
    """
    CREATE TRIGGER work_orders_are_never_removed BEFORE DELETE ON work_orders
    BEGIN SELECT RAISE(ABORT, 'A work order is never removed.'); END
    """,
    """
    CREATE INDEX work_order_comments ON work_order_history (work_order_id, id) WHERE field = 'comment'
    """,
    """
    CREATE VIEW work_order_texts AS
        SELECT id, title, description, coalesce((
            SELECT group_concat(note, char(10)) FROM (
                SELECT note FROM work_order_history
                WHERE work_order_id = work_orders.id AND field = 'comment' ORDER BY id
            )
        ), '') AS comments
        FROM work_orders
    """,
    """
    CREATE VIRTUAL TABLE work_order_search USING fts5 (
        title, description, comments, content = 'work_order_texts', content_rowid = 'id', tokenize = 'unicode61'
    )
    """,
    "INSERT INTO work_order_search (work_order_search) VALUES ('rebuild')",
    """
    CREATE TRIGGER work_orders_index_new AFTER INSERT ON work_orders
    BEGIN
        INSERT INTO work_order_search (rowid, title, description, comments)
            VALUES (new.id, new.title, new.description, '');
    END
    """,
    """
    CREATE TRIGGER work_orders_index_change AFTER UPDATE OF title, description ON work_orders
    BEGIN
        INSERT INTO work_order_search (work_order_search, rowid, title, description, comments)
            SELECT 'delete', id, old.title, old.description, comments FROM work_order_texts WHERE id = old.id;
        INSERT INTO work_order_search (rowid, title, description, comments)
            SELECT id, title, description, comments FROM work_order_texts WHERE id = new.id;
    END
    """,
    # The text as it was indexed is the text as it is without the new comment at its end.
    """
    CREATE TRIGGER work_order_comments_index AFTER INSERT ON work_order_history WHEN new.field = 'comment'
    BEGIN
        INSERT INTO work_order_search (work_order_search, rowid, title, description, comments)
            SELECT 'delete', id, title, description,
                substr(comments, 1, max(0, length(comments) - length(new.note) - 1))
            FROM work_order_texts WHERE id = new.work_order_id;
        INSERT INTO work_order_search (rowid, title, description, comments)
            SELECT id, title, description, comments FROM work_order_texts WHERE id = new.work_order_id;
    END
    """,
)

_GUESSING = (
    # A name is stored as its SHA-256: it may be a password that was typed a line too early.
    """
    CREATE TABLE password_failures (
        name_hash TEXT PRIMARY KEY,
        failures INTEGER NOT NULL CHECK (failures > 0),
        last_failed_at TEXT NOT NULL CHECK (strftime('%Y-%m-%dT%H:%M:%S+00:00', last_failed_at) IS last_failed_at)
    ) WITHOUT ROWID
    """,
    "CREATE INDEX audit_log_by_user ON audit_log (user_id, id)",
    "CREATE INDEX audit_log_by_event ON audit_log (event, id)",
)

# What is indexed of one work order is bounded, so that no change of it holds the write lock for long; a note counts as
# at least 100 characters, because many short ones take as long. The text as it
# was indexed before a note is the text without that note and what came after it.
_TRUST = (
    "DROP TRIGGER work_orders_count_new",
    """
    CREATE TRIGGER work_orders_count_new AFTER INSERT ON work_orders WHEN new.deleted_at IS NULL
    BEGIN
        INSERT INTO work_order_counts VALUES (new.requester_id, new.status, new.priority, 1)
            ON CONFLICT (requester_id, status, priority) DO UPDATE SET total = total + 1;
    END
    """,
    "DROP TRIGGER work_orders_count_in",
    """
    CREATE TRIGGER work_orders_count_in AFTER UPDATE OF requester_id, status, priority, deleted_at ON work_orders
        WHEN new.deleted_at IS NULL
    BEGIN
        INSERT INTO work_order_counts VALUES (new.requester_id, new.status, new.priority, 1)
            ON CONFLICT (requester_id, status, priority) DO UPDATE SET total = total + 1;
    END
    """,
    "DROP TRIGGER work_orders_index_new",
    "DROP TRIGGER work_orders_index_change",
    "DROP TRIGGER work_order_comments_index",
    "DROP TABLE work_order_search",
    "DROP VIEW work_order_texts",
    "CREATE INDEX work_order_notes ON work_order_history (work_order_id, id) WHERE note <> ''",
    """
    CREATE VIEW work_order_texts AS
        SELECT id, title, description, coalesce((
            SELECT substr(group_concat(note, char(10)), 1, 400000) FROM (
                SELECT note FROM work_order_history
                WHERE work_order_id = work_orders.id AND note <> '' ORDER BY id
            )
        ), '') AS notes
        FROM work_orders
    """,
    """
    CREATE VIRTUAL TABLE work_order_search USING fts5 (
        title, description, notes, content = 'work_order_texts', content_rowid = 'id',
        tokenize = 'unicode61 remove_diacritics 2'
    )
    """,
    # What is indexed at once stays in memory until the commit: writing it out in between would take longer.
    "INSERT INTO work_order_search (work_order_search, rank) VALUES ('hashsize', 16777216)",
    "INSERT INTO work_order_search (work_order_search) VALUES ('rebuild')",
    """
    CREATE TRIGGER work_orders_index_new AFTER INSERT ON work_orders
    BEGIN
        INSERT INTO work_order_search (rowid, title, description, notes)
            VALUES (new.id, new.title, new.description, '');
    END
    """,
    """
    CREATE TRIGGER work_orders_index_change AFTER UPDATE OF title, description ON work_orders
    BEGIN
        INSERT INTO work_order_search (work_order_search, rowid, title, description, notes)
            SELECT 'delete', id, old.title, old.description, notes FROM work_order_texts WHERE id = old.id;
        INSERT INTO work_order_search (rowid, title, description, notes)
            SELECT id, title, description, notes FROM work_order_texts WHERE id = new.id;
    END
    """,
    """
    CREATE TRIGGER work_order_notes_index AFTER INSERT ON work_order_history WHEN new.note <> ''
    BEGIN
        INSERT INTO work_order_search (work_order_search, rowid, title, description, notes)
            SELECT 'delete', id, title, description, coalesce((
                SELECT substr(group_concat(note, char(10)), 1, 400000) FROM (
                    SELECT note FROM work_order_history
                    WHERE work_order_id = new.work_order_id AND note <> '' AND id < new.id ORDER BY id
                )
            ), '')
            FROM work_orders WHERE id = new.work_order_id;
        INSERT INTO work_order_search (rowid, title, description, notes)
            SELECT id, title, description, notes FROM work_order_texts WHERE id = new.work_order_id;
    END
    """,
    """
    CREATE TRIGGER work_order_notes_are_bounded BEFORE INSERT ON work_order_history
        WHEN new.note <> '' AND max(length(new.note), 100) + (
            SELECT coalesce(sum(max(length(note), 100)), 0) FROM work_order_history
            WHERE work_order_id = new.work_order_id AND note <> ''
        ) > 200000
    BEGIN SELECT RAISE(ABORT, 'The comments and notes of a work order have at most 200,000 characters.'); END
    """,
    """
    CREATE TRIGGER work_order_notes_have_no_nul BEFORE INSERT ON work_order_history
        WHEN instr(new.note, char(0)) > 0
    BEGIN SELECT RAISE(ABORT, 'A text has no NUL.'); END
    """,
    """
    CREATE TRIGGER work_orders_have_no_nul BEFORE INSERT ON work_orders
        WHEN instr(new.title || new.description, char(0)) > 0
    BEGIN SELECT RAISE(ABORT, 'A text has no NUL.'); END
    """,
    """
    CREATE TRIGGER work_orders_get_no_nul BEFORE UPDATE OF title, description ON work_orders
        WHEN instr(new.title || new.description, char(0)) > 0
    BEGIN SELECT RAISE(ABORT, 'A text has no NUL.'); END
    """,
    # Failures are counted by name and client; a client is the host's account and the SSH client's address.
    "ALTER TABLE password_failures RENAME TO password_failures_of_all_clients",
    """
    CREATE TABLE password_failures (
        name_hash TEXT NOT NULL,
        client TEXT NOT NULL,
        failures INTEGER NOT NULL CHECK (failures > 0),
        last_failed_at TEXT NOT NULL CHECK (strftime('%Y-%m-%dT%H:%M:%S+00:00', last_failed_at) IS last_failed_at),
        PRIMARY KEY (name_hash, client)
    ) WITHOUT ROWID
    """,
    """
    INSERT INTO password_failures
        SELECT name_hash, '', failures, last_failed_at FROM password_failures_of_all_clients
    """,
    "DROP TABLE password_failures_of_all_clients",
    "CREATE INDEX password_failures_by_time ON password_failures (last_failed_at)",
    """
    CREATE TABLE login_clients (
        user_id INTEGER NOT NULL REFERENCES users (id),
        client TEXT NOT NULL,
        last_login_at TEXT NOT NULL CHECK (strftime('%Y-%m-%dT%H:%M:%S+00:00', last_login_at) IS last_login_at),
        PRIMARY KEY (user_id, client)
    ) WITHOUT ROWID
    """,
    """
    INSERT INTO login_clients
        SELECT user_id, os_user || ' ' || ssh_client, max(recorded_at) FROM audit_log
        WHERE event = 'logged in' AND user_id IS NOT NULL GROUP BY 1, 2
    """,
    "ALTER TABLE audit_log ADD COLUMN subject_id INTEGER REFERENCES users (id)",
    "DROP TRIGGER audit_log_is_never_changed",
    """
    UPDATE audit_log SET subject_id =
            (SELECT id FROM users WHERE username = substr(subject, 1, instr(subject || ' ', ' ') - 1))
        WHERE event IN (
            'registered', 'registration approved', 'approval failed', 'logged in', 'login failed', 'password changed',
            'password reset', 'password set from outside', 'email changed', 'user added', 'role changed',
            'deactivated', 'reactivated', 'unlocked'
        )
    """,
    """
    CREATE TRIGGER audit_log_is_never_changed BEFORE UPDATE ON audit_log
    BEGIN SELECT RAISE(ABORT, 'The audit log is never changed.'); END
    """,
    "CREATE INDEX audit_log_by_subject ON audit_log (subject_id, id)",
)

_WORKING_DAY = (
    """
    ALTER TABLE work_orders ADD COLUMN category TEXT
        CHECK (length(category) BETWEEN 1 AND 40 AND instr(category, char(0)) = 0)
    """,
    """
    CREATE INDEX work_orders_by_category_urgency ON work_orders (category, urgency, created_at, id)
        WHERE deleted_at IS NULL
    """,
    """
    ALTER TABLE work_orders ADD COLUMN is_finished INTEGER
        GENERATED ALWAYS AS (status IN ('Resolved', 'Cancelled')) VIRTUAL
    """,
    "DROP INDEX work_orders_by_due",
    "CREATE INDEX work_orders_by_due ON work_orders (is_finished, due_rank, id) WHERE deleted_at IS NULL",
)

_TEXT = """
    title || char(10) || description || char(10) || coalesce((
        SELECT substr(group_concat(note, char(10)), 1, 400000) FROM (
            SELECT note FROM work_order_history
            WHERE work_order_id = work_orders.id AND note <> '' ORDER BY id
        )
    ), '') || char(10, 10)
"""

# The indexes contain every column that lists and counts look at, so that only the rows on the screen have to be read.
# SQLite reads an index alone only if no generated column is asked for, so the urgency is stored; and a number of
# seconds takes a fifth of the room that a moment's text does. Every index ends in the rowid anyway.
_SCALE = (
    *(
        f"DROP INDEX {index}"
        for index in (
            "work_orders_by_urgency",
            "work_orders_by_requester_urgency",
            "work_orders_by_status_priority_assignee",
            "work_orders_by_status_urgency",
            "work_orders_by_priority_urgency",
            "work_orders_by_assignee_urgency",
            "work_orders_by_category_urgency",
            "work_orders_with_due_by_urgency",
            "work_orders_by_change",
            "work_orders_by_due",
            "work_order_comments",
            "work_order_notes",
            "work_order_history_by_work_order",
            "audit_log_by_user",
            "audit_log_by_subject",
            "audit_log_by_event",
        )
    ),
    "ALTER TABLE work_orders RENAME COLUMN urgency TO computed_urgency",
    "ALTER TABLE work_orders ADD COLUMN urgency INTEGER",
    "ALTER TABLE work_orders ADD COLUMN created_second INTEGER",
    "UPDATE work_orders SET urgency = computed_urgency, created_second = CAST(strftime('%s', created_at) AS INTEGER)",
    """
    CREATE TRIGGER work_orders_place_new AFTER INSERT ON work_orders
    BEGIN
        UPDATE work_orders
            SET urgency = computed_urgency, created_second = CAST(strftime('%s', created_at) AS INTEGER)
            WHERE id = new.id;
    END
    """,
    """
    CREATE TRIGGER work_orders_place_change
        AFTER UPDATE OF status, priority, created_at, urgency, created_second ON work_orders
        WHEN new.urgency IS NOT new.computed_urgency
            OR new.created_second IS NOT CAST(strftime('%s', new.created_at) AS INTEGER)
    BEGIN
        UPDATE work_orders
            SET urgency = computed_urgency, created_second = CAST(strftime('%s', created_at) AS INTEGER)
            WHERE id = new.id;
    END
    """,
    "CREATE INDEX work_order_history_by_work_order ON work_order_history (work_order_id)",
    "CREATE INDEX audit_log_by_user ON audit_log (user_id)",
    "CREATE INDEX audit_log_by_subject ON audit_log (subject_id)",
    "CREATE INDEX audit_log_by_event ON audit_log (event)",
    "CREATE INDEX work_orders_by_change ON work_orders (updated_at) WHERE deleted_at IS NULL",
    "CREATE INDEX work_orders_by_due ON work_orders (is_finished, due_rank) WHERE deleted_at IS NULL",
    """
    CREATE INDEX work_orders_by_urgency ON work_orders (urgency, created_second, id, due_at, deleted_at)
        WHERE deleted_at IS NULL
    """,
    """
    CREATE INDEX work_orders_by_status_urgency ON work_orders (status, urgency, created_second, id, due_at, deleted_at)
        WHERE deleted_at IS NULL
    """,
    """
    CREATE INDEX work_orders_by_category_urgency
        ON work_orders (category, urgency, created_second, id, due_at, deleted_at) WHERE deleted_at IS NULL
    """,
    """
    CREATE INDEX work_orders_by_requester_urgency
        ON work_orders (requester_id, urgency, created_second, id, status, category, assignee_id, due_at, deleted_at)
        WHERE deleted_at IS NULL
    """,
    """
    CREATE INDEX work_orders_by_assignee_urgency
        ON work_orders (assignee_id, urgency, created_second, id, status, category, due_at, deleted_at)
        WHERE deleted_at IS NULL
    """,
    """
    CREATE INDEX work_orders_by_requester_change ON work_orders (requester_id, updated_at, id, deleted_at)
        WHERE deleted_at IS NULL
    """,
    """
    CREATE INDEX work_orders_by_assignee_change ON work_orders (assignee_id, updated_at, id, deleted_at)
        WHERE deleted_at IS NULL AND assignee_id IS NOT NULL
    """,
    """
    CREATE INDEX work_orders_unfinished_by_due ON work_orders (due_at, status, category, urgency, deleted_at)
        WHERE deleted_at IS NULL AND due_at IS NOT NULL AND urgency < 4
    """,
    """
    CREATE INDEX work_order_history_by_former_assignee ON work_order_history (old_value)
        WHERE field = 'assignee'
    """,
    """
    CREATE TABLE work_order_totals (
        status TEXT NOT NULL,
        priority INTEGER NOT NULL,
        total INTEGER NOT NULL,
        PRIMARY KEY (status, priority)
    ) WITHOUT ROWID
    """,
    "INSERT INTO work_order_totals SELECT status, priority, sum(total) FROM work_order_counts GROUP BY 1, 2",
    """
    CREATE TRIGGER work_order_counts_total_new AFTER INSERT ON work_order_counts
    BEGIN
        INSERT INTO work_order_totals VALUES (new.status, new.priority, new.total)
            ON CONFLICT (status, priority) DO UPDATE SET total = total + new.total;
    END
    """,
    """
    CREATE TRIGGER work_order_counts_total_change AFTER UPDATE ON work_order_counts
    BEGIN
        UPDATE work_order_totals SET total = total + new.total - old.total
            WHERE status = new.status AND priority = new.priority;
    END
    """,
    "DROP TRIGGER work_orders_index_new",
    "DROP TRIGGER work_orders_index_change",
    "DROP TRIGGER work_order_notes_index",
    "DROP TABLE work_order_search",
    "DROP VIEW work_order_texts",
    # A text ends in two line feeds, so that its last two characters begin trigrams, too.
    f"CREATE VIEW work_order_texts AS SELECT id, {_TEXT} AS text FROM work_orders",
    # One index knows the words and their beginnings, the other every three adjacent characters. Neither knows where
    # they are: nothing asks for that, and it makes the indexes half the size.
    """
    CREATE VIRTUAL TABLE work_order_search USING fts5 (
        text, content = 'work_order_texts', content_rowid = 'id', detail = 'none', columnsize = 0,
        tokenize = 'unicode61 remove_diacritics 2', prefix = '1 2 3'
    )
    """,
    """
    CREATE VIRTUAL TABLE work_order_trigrams USING fts5 (
        text, content = 'work_order_texts', content_rowid = 'id', detail = 'none', columnsize = 0,
        tokenize = 'trigram'
    )
    """,
    "INSERT INTO work_order_search (work_order_search, rank) VALUES ('hashsize', 16777216)",
    "INSERT INTO work_order_trigrams (work_order_trigrams, rank) VALUES ('hashsize', 16777216)",
    # FTS5 merges a little with each save. It is to merge everything at once, which takes seconds at a million work
    # orders, only where far more pieces than usual have come together; and the large piece begins a level above them.
    "INSERT INTO work_order_search (work_order_search, rank) VALUES ('crisismerge', 256)",
    "INSERT INTO work_order_trigrams (work_order_trigrams, rank) VALUES ('crisismerge', 256)",
    "INSERT INTO work_order_search (work_order_search) VALUES ('rebuild')",
    "INSERT INTO work_order_trigrams (work_order_trigrams) VALUES ('rebuild')",
    "INSERT INTO work_order_search (work_order_search) VALUES ('optimize')",
    "INSERT INTO work_order_trigrams (work_order_trigrams) VALUES ('optimize')",
    "CREATE VIRTUAL TABLE work_order_search_terms USING fts5vocab (work_order_search, instance)",
    "CREATE VIRTUAL TABLE work_order_trigrams_terms USING fts5vocab (work_order_trigrams, instance)",
    *(
        f"""
        CREATE TRIGGER {name}
        BEGIN
            INSERT INTO work_order_search (work_order_search, rowid, text)
                SELECT 'delete', id, {old_text} FROM {table} WHERE id = {work_order};
            INSERT INTO work_order_trigrams (work_order_trigrams, rowid, text)
                SELECT 'delete', id, {old_text} FROM {table} WHERE id = {work_order};
            INSERT INTO work_order_search (rowid, text) SELECT id, text FROM work_order_texts WHERE id = {work_order};
            INSERT INTO work_order_trigrams (rowid, text) SELECT id, text FROM work_order_texts WHERE id = {work_order};
        END
        """
        for name, work_order, table, old_text in (
            (
                "work_orders_index_change AFTER UPDATE OF title, description ON work_orders",
                "new.id",
                "work_order_texts",
                """
                old.title || char(10) || old.description
                    || substr(text, length(new.title) + length(new.description) + 2)
                """,
            ),
            (
                "work_order_notes_index AFTER INSERT ON work_order_history WHEN new.note <> ''",
                "new.work_order_id",
                "work_orders",
                _TEXT.replace("note <> ''", "note <> '' AND id <> new.id"),
            ),
        )
    ),
    """
    CREATE TRIGGER work_orders_index_new AFTER INSERT ON work_orders
    BEGIN
        INSERT INTO work_order_search (rowid, text) SELECT id, text FROM work_order_texts WHERE id = new.id;
        INSERT INTO work_order_trigrams (rowid, text) SELECT id, text FROM work_order_texts WHERE id = new.id;
    END
    """,
)

# Each change stores what reports count, in columns that the reports' indexes contain. They are not generated columns:
# for those, SQLite would look up each row. That is why the indexes also name columns that their conditions fix.
_INSIGHT = (
    """
    CREATE TABLE service_targets (
        priority INTEGER PRIMARY KEY CHECK (priority IN (1, 2, 3, 4)),
        response_hours INTEGER CHECK (response_hours BETWEEN 1 AND 9999),
        resolution_hours INTEGER CHECK (resolution_hours BETWEEN 1 AND 9999)
    )
    """,
    "INSERT INTO service_targets (priority) VALUES (1), (2), (3), (4)",
    # Where the due time comes from; if there is one, NULL means by hand, too.
    "ALTER TABLE work_orders ADD COLUMN due_by TEXT CHECK (due_by IN ('hand', 'target'))",
    """
    ALTER TABLE work_orders ADD COLUMN held_since TEXT
        CHECK (strftime('%Y-%m-%dT%H:%M:%S+00:00', held_since) IS held_since)
    """,
    # When the work order was last finished, if it still is.
    """
    ALTER TABLE work_orders ADD COLUMN finished_at TEXT
        CHECK (strftime('%Y-%m-%dT%H:%M:%S+00:00', finished_at) IS finished_at)
    """,
    "ALTER TABLE work_orders ADD COLUMN resolution_seconds INTEGER",
    "ALTER TABLE work_orders ADD COLUMN response_seconds INTEGER",
    "ALTER TABLE work_orders ADD COLUMN response_hours INTEGER",
    # What these columns contain, computed from the history. Each change of the status ends a spell of the old one,
    # which began with the change before it or with the creation; spells after the last unfinished one were not
    # reopened.
    """
    CREATE VIEW work_order_measures AS SELECT
        id,
        CASE WHEN status = 'On Hold' THEN (
            SELECT changed_at FROM work_order_history
            WHERE work_order_id = work_orders.id AND field = 'status' ORDER BY work_order_history.id DESC LIMIT 1
        ) END AS held_since,
        CASE WHEN status IN ('Resolved', 'Cancelled') THEN coalesce((
            SELECT changed_at FROM work_order_history
            WHERE work_order_id = work_orders.id AND field = 'status' AND old_value NOT IN ('Resolved', 'Cancelled')
            ORDER BY work_order_history.id DESC LIMIT 1
        ), resolved_at, created_at) END AS finished_at,
        CASE WHEN status = 'Resolved' THEN strftime('%s', resolved_at) - strftime('%s', created_at) - (
            SELECT coalesce(sum(strftime('%s', ended_at) - strftime('%s', began_at)), 0) FROM (
                SELECT id, old_value, changed_at AS ended_at,
                    lag(changed_at, 1, work_orders.created_at) OVER (ORDER BY work_order_history.id) AS began_at
                FROM work_order_history WHERE work_order_id = work_orders.id AND field = 'status'
            ) WHERE old_value IN ('On Hold', 'Resolved', 'Cancelled') AND id <= (
                SELECT max(id) FROM work_order_history
                WHERE work_order_id = work_orders.id AND field = 'status'
                    AND old_value NOT IN ('Resolved', 'Cancelled')
            )
        ) END AS resolution_seconds,
        (
            SELECT strftime('%s', min(changed_at)) - strftime('%s', work_orders.created_at) FROM work_order_history
            WHERE work_order_id = work_orders.id AND field IN ('comment', 'assignee', 'status')
                AND user_id <> work_orders.requester_id
        ) AS response_seconds
    FROM work_orders
    """,
    """
    UPDATE work_orders SET
        due_by = CASE WHEN due_at IS NOT NULL OR EXISTS (
            SELECT 1 FROM work_order_history WHERE work_order_id = work_orders.id AND field = 'due date'
        ) THEN 'hand' END,
        (held_since, finished_at, resolution_seconds, response_seconds) = (
            SELECT held_since, finished_at, resolution_seconds, response_seconds FROM work_order_measures
            WHERE id = work_orders.id
        )
    """,
    *(
        f"""
        CREATE TRIGGER {name}
        BEGIN
            UPDATE work_orders SET (held_since, finished_at, resolution_seconds, response_seconds) = (
                SELECT held_since, finished_at, resolution_seconds, response_seconds FROM work_order_measures
                WHERE id = {work_order}
            ) WHERE id = {work_order};
        END
        """
        for name, work_order in (
            (
                """
                work_orders_measure_new AFTER INSERT ON work_orders
                    WHEN new.status <> 'Open' OR EXISTS (SELECT 1 FROM work_order_history WHERE work_order_id = new.id)
                """,
                "new.id",
            ),
            (
                """
                work_orders_measure_change AFTER UPDATE OF requester_id, status, created_at, resolved_at
                    ON work_orders
                """,
                "new.id",
            ),
            (
                """
                work_orders_measure_history AFTER INSERT ON work_order_history
                    WHEN new.field IN ('comment', 'assignee', 'status')
                """,
                "new.work_order_id",
            ),
        )
    ),
    """
    CREATE INDEX work_orders_resolved ON work_orders (
        resolved_at, id, priority, category, assignee_id, requester_id, resolution_seconds, response_seconds,
        response_hours, due_at, deleted_at
    ) WHERE deleted_at IS NULL AND resolved_at IS NOT NULL
    """,
    """
    CREATE INDEX work_orders_unfinished ON work_orders (
        created_at, id, priority, assignee_id, status, due_at, deleted_at
    ) WHERE deleted_at IS NULL AND status IN ('Open', 'In Progress', 'On Hold')
    """,
    # On Hold, a due time that came from a target does not run out.
    """
    CREATE INDEX work_orders_stopped ON work_orders (status, due_by, due_at, held_since, deleted_at)
        WHERE deleted_at IS NULL AND status = 'On Hold' AND due_by = 'target' AND due_at >= held_since
    """,
    "CREATE INDEX work_orders_created ON work_orders (created_at, deleted_at) WHERE deleted_at IS NULL",
    """
    CREATE INDEX work_orders_finished ON work_orders (finished_at, created_at, deleted_at)
        WHERE deleted_at IS NULL AND finished_at IS NOT NULL
    """,
    """
    CREATE INDEX work_order_history_to_finished
        ON work_order_history (changed_at, work_order_id, new_value, old_value, field)
        WHERE field = 'status' AND new_value IN ('Resolved', 'Cancelled')
    """,
    """
    CREATE INDEX work_order_history_from_finished
        ON work_order_history (changed_at, work_order_id, new_value, old_value, field)
        WHERE field = 'status' AND old_value IN ('Resolved', 'Cancelled')
    """,
)

# There is one row of settings. A message waits until it is sent, and then its row is removed; one that failed for good
# stays. While a session is sending it, it is claimed; `was_transmitted` says that the server may have it already.
_MAIL = (
    """
    CREATE TABLE mail_settings (
        id INTEGER PRIMARY KEY CHECK (id = 1),
        host TEXT,
        port INTEGER NOT NULL DEFAULT 587 CHECK (port BETWEEN 1 AND 65535),
        security TEXT NOT NULL DEFAULT 'starttls' CHECK (security IN ('starttls', 'tls', 'none')),
        sender TEXT CHECK (length(sender) BETWEEN 3 AND 254),
        username TEXT,
        password TEXT,
        CHECK (host IS NULL OR sender IS NOT NULL)
    )
    """,
    "INSERT INTO mail_settings (id) VALUES (1)",
    """
    CREATE TABLE outbox (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        work_order_id INTEGER NOT NULL REFERENCES work_orders (id),
        user_id INTEGER NOT NULL REFERENCES users (id),
        message_id TEXT NOT NULL UNIQUE,
        title TEXT NOT NULL,
        ending TEXT NOT NULL,
        has_status INTEGER NOT NULL CHECK (has_status IN (0, 1)),
        text TEXT NOT NULL,
        created_at TEXT NOT NULL CHECK (strftime('%Y-%m-%dT%H:%M:%S+00:00', created_at) IS created_at),
        attempts INTEGER NOT NULL DEFAULT 0,
        next_attempt_at TEXT NOT NULL
            CHECK (strftime('%Y-%m-%dT%H:%M:%S+00:00', next_attempt_at) IS next_attempt_at),
        claimed_until TEXT CHECK (strftime('%Y-%m-%dT%H:%M:%S+00:00', claimed_until) IS claimed_until),
        was_transmitted INTEGER NOT NULL DEFAULT 0 CHECK (was_transmitted IN (0, 1)),
        failed_at TEXT CHECK (strftime('%Y-%m-%dT%H:%M:%S+00:00', failed_at) IS failed_at),
        reason TEXT NOT NULL DEFAULT ''
    )
    """,
    "CREATE INDEX outbox_by_next_attempt ON outbox (next_attempt_at) WHERE failed_at IS NULL",
    "CREATE INDEX outbox_by_work_order ON outbox (work_order_id, user_id)",
)

# `imported_files` tells whether a file's content was imported before. The texts of an import are indexed before its
# work orders are inserted, so that others don't have to wait for that; until then they are in `texts_being_imported`.
_EXCHANGE = (
    """
    CREATE TABLE imported_files (
        content_hash TEXT PRIMARY KEY,
        imported_at TEXT NOT NULL CHECK (strftime('%Y-%m-%dT%H:%M:%S+00:00', imported_at) IS imported_at)
    ) WITHOUT ROWID
    """,
    "CREATE TABLE texts_being_imported (id INTEGER PRIMARY KEY, text TEXT NOT NULL)",
    "DROP VIEW work_order_texts",
    f"""
    CREATE VIEW work_order_texts AS
        SELECT id, {_TEXT} AS text FROM work_orders UNION ALL SELECT id, text FROM texts_being_imported
    """,
)

# PRAGMA user_version counts these. A migration that has landed is never edited: the next change is a new one.
MIGRATIONS: Tuple[Sequence[str], ...] = (
    _INITIAL_SCHEMA,
    _DAILY_WORK,
    _GUESSING,
    _TRUST,
    _WORKING_DAY,
    _SCALE,
    _INSIGHT,
    _MAIL,
    _EXCHANGE,
)


def schema_version(connection: sqlite3.Connection) -> int:
    """Return how many migrations the database has had."""
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    return int(version)


def migrate(connection: "Connection", migrations: Sequence[Sequence[str]] = MIGRATIONS) -> None:
    """Run the missing migrations, each in one transaction with its version number, after a backup of what was there.

    One that fails changes nothing; two programs that start at once run each of them once.
    """
    backed_up = schema_version(connection) == 0  # there is nothing yet
    while schema_version(connection) < len(migrations):
        with transaction(connection):
            version = schema_version(connection)
            if version < len(migrations) and not backed_up:
                _back_up_before_migration(connection, version)
                backed_up = True
            # Another program that started at the same moment may have been faster.
            if version < len(migrations):
                for statement in migrations[version]:
                    connection.execute(statement)
                connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
                connection.execute(f"PRAGMA user_version = {version + 1}")


def _back_up_before_migration(connection: "Connection", version: int) -> None:
    with closing(open_file(connection.path)) as reader:  # what holds the lock cannot be copied from
        back_up(reader, connection.path.with_name(f"{connection.path.name}.version-{version}.{_timestamp()}"))


# Transactions


@contextmanager
def transaction(connection: "Connection") -> Iterator[None]:
    """Commit everything written inside when the block ends, or nothing if it raises.

    Raises sqlite3.OperationalError if others hold the database for BUSY_SECONDS.
    """
    _begin_immediate(connection)
    with _ended_by_commit(connection):
        yield


@contextmanager
def snapshot(connection: sqlite3.Connection) -> Iterator[None]:
    """Read everything inside from one moment; nothing may be written in it. Raises as transaction does."""
    connection.execute("BEGIN")
    with _ended_by_commit(connection):
        yield


@contextmanager
def limited(connection: sqlite3.Connection, seconds: float, sentence: str) -> Iterator[None]:
    """Stop what is read inside when it takes longer than that many seconds, and raise TookTooLongError(sentence)."""
    deadline = time.monotonic() + seconds
    connection.set_progress_handler(lambda: time.monotonic() > deadline, 10_000)
    try:
        yield
    except sqlite3.OperationalError as error:
        if "interrupted" in str(error) and time.monotonic() > deadline:
            raise TookTooLongError(sentence) from error
        raise
    finally:
        connection.set_progress_handler(None, 0)


def _begin_immediate(connection: "Connection") -> None:
    """Begin to write, in a fair order: SQLite's own waiting backs off, so that whoever came last would win.

    Whoever has waited longer tries again sooner, from every 10 ms on down to 0.3 ms, and whoever has just written lets
    the others try first.
    """
    began = time.monotonic()
    if began - connection.last_begun < 1:
        time.sleep(YIELD_SECONDS)
    connection.execute("PRAGMA busy_timeout = 0")
    try:
        while True:
            waited = time.monotonic() - began
            try:
                connection.execute("BEGIN IMMEDIATE")
                connection.last_begun = time.monotonic()
                return
            except sqlite3.OperationalError as error:
                if "is locked" not in str(error) or waited >= BUSY_SECONDS:
                    raise
            time.sleep(max(0.0003, 0.010 * (0.5 + os.urandom(1)[0] / 256) * math.exp(-waited / 0.15)))
    finally:
        connection.execute(f"PRAGMA busy_timeout = {BUSY_SECONDS * 1000}")


@contextmanager
def _ended_by_commit(connection: sqlite3.Connection) -> Iterator[None]:
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        # SQLite has rolled back by itself after some faults, such as a full disk.
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


# Opening


def default_path() -> Path:
    """Return where the database is: what WORK_ORDER_DB names, or work_order.db beside this file."""
    named = os.environ.get("WORK_ORDER_DB")
    return Path(named).absolute() if named else Path(__file__).resolve().with_name("work_order.db")


class Connection(sqlite3.Connection):
    """A connection that knows its file: the path, and which file that was when it was opened.

    `last_begun` is when it last began to write, in seconds of the monotonic clock.
    """

    path: Path
    file: Tuple[int, int]
    last_begun = -math.inf


def connect(path: Path, create: bool = False) -> Connection:
    """Open the database at the newest schema version; with `create`, make a missing one, for its owner alone.

    Raises DatabaseFileError for a file that is not a sound database of this program, and leaves it as it was, and
    ApplicationError where Python's SQLite lacks what the schema needs.
    """
    _check_sqlite()
    if create and not path.exists():
        _create(path)
    _check_header(path)
    try:
        connection = open_file(path)
        try:
            _check_content(connection)
            connection.execute("PRAGMA journal_mode = DELETE")
            migrate(connection)
        except BaseException:
            connection.close()
            raise
    except (sqlite3.DatabaseError, UnicodeDecodeError) as error:
        if any(words in str(error) for words, _ in _PASSING_FAULTS):
            raise
        reason = " ".join(str(error).split())
        # An OperationalError is about what the program asked for, not about the file's content.
        if isinstance(error, sqlite3.OperationalError) and not any(words in reason for words in _DAMAGE):
            raise DatabaseFileError(f"{path} cannot be used ({reason}). It was left as it was.") from error
        raise DatabaseFileError(f"{path} is damaged ({reason}). Restore it from a backup.") from error
    return connection


def open_file(path: Path) -> Connection:
    """Open and configure a connection to an existing file, whatever it contains. Raises sqlite3.Error."""
    connection: Connection = sqlite3.connect(
        f"{path.as_uri()}?mode=rw", uri=True, timeout=BUSY_SECONDS, isolation_level=None, factory=Connection
    )
    connection.row_factory = sqlite3.Row
    connection.path, connection.file = path, _identity(path)
    try:
        for pragma in ("foreign_keys = ON", "cell_size_check = ON", "synchronous = EXTRA"):
            connection.execute(f"PRAGMA {pragma}")
        connection.execute(f"PRAGMA cache_size = {-CACHE_KIBIBYTES}")
    except BaseException:
        connection.close()
        raise
    return connection


def is_in_place(connection: Connection) -> bool:
    """Return whether the connection's path still leads to the file that was opened."""
    return _identity(connection.path) == connection.file


def _identity(path: Path) -> Tuple[int, int]:
    try:
        status = path.stat()
    except OSError:
        return 0, 0
    return status.st_dev, status.st_ino


def _create(path: Path) -> None:
    """Build a new database under another name and publish it whole, so that nobody ever meets half of one."""
    try:
        with partial_files(path) as (partial,):
            with closing(open_file(partial)) as connection:
                migrate(connection)
            with contextlib.suppress(FileExistsError):  # another program that started now was faster
                publish(partial, path)
    except OSError as error:
        raise DatabaseFileError(f"{path} cannot be created: {error.strerror}.") from error


def _check_sqlite() -> None:
    memory = sqlite3.connect(":memory:")
    (has_full_text_search,) = memory.execute("SELECT sqlite_compileoption_used('ENABLE_FTS5')").fetchone()
    memory.close()
    if sqlite3.sqlite_version_info < (3, 34) or not has_full_text_search:
        raise ApplicationError(
            f"This Python's SQLite {sqlite3.sqlite_version} is older than 3.34 or lacks the full-text search FTS5; "
            "use another Python."
        )


def _check_header(path: Path) -> None:
    """Judge the file by its first 100 bytes, before SQLite touches it (https://www.sqlite.org/fileformat2.html)."""
    try:
        # Opening a pipe or a device would wait for somebody to write to it.
        if path.exists() and not path.is_file():
            raise DatabaseFileError(f"{path} is not a file.")
        with path.open("rb") as file:
            header = file.read(100)
    except FileNotFoundError as error:
        raise DatabaseFileError(
            f"{path} does not exist. `python main.py` or `python database.py` creates it."
        ) from error
    except OSError as error:
        raise DatabaseFileError(f"{path} cannot be read: {error.strerror}.") from error
    if not header:
        raise DatabaseFileError(
            f"{path} is empty. If it was your database, restore a backup; to start with a new one, remove it."
        )
    if len(header) < 100 or not header.startswith(b"SQLite format 3\0"):
        raise DatabaseFileError(f"{path} is not a database, or is damaged. It was left as it was.")
    if int.from_bytes(header[68:72], "big") != APPLICATION_ID:
        raise DatabaseFileError(f"{path} is the database of another program. It was left as it was.")
    version = int.from_bytes(header[60:64], "big")
    if version > len(MIGRATIONS):
        raise DatabaseFileError(
            f"{path} comes from a newer version of this program (schema version {version}; "
            f"this one knows {len(MIGRATIONS)}). It was left as it was."
        )


def _check_content(connection: Connection) -> None:
    connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    if connection.path.stat().st_size <= CHECKED_WHEN_OPENED_BYTES:
        (problem,) = connection.execute("PRAGMA quick_check(1)").fetchone()
        if problem != "ok":
            raise sqlite3.DatabaseError(problem)


# Adding many work orders at once


BULK_CACHE_KIB = 64 * 1024
INDEXED_AT_ONCE = 2_000_000  # characters, which take about 0.5 s, for which others have to wait
_STAGED = ("work_orders", "work_order_history")
_INDEX_TEXTS = (
    """
    INSERT INTO main.texts_being_imported
        SELECT id, text FROM staging.work_order_texts WHERE id BETWEEN :first AND :last
    """,
    *(
        f"""
        INSERT INTO main.{index} (rowid, text)
            SELECT id, text FROM main.texts_being_imported WHERE id BETWEEN :first AND :last
        """
        for index in ("work_order_search", "work_order_trigrams")
    ),
)
_FORGET_TEXTS = (
    *(
        f"""
        INSERT INTO main.{index} ({index}, rowid, text)
            SELECT 'delete', id, text FROM main.texts_being_imported WHERE id BETWEEN :first AND :last
        """
        for index in ("work_order_search", "work_order_trigrams")
    ),
    "DELETE FROM main.texts_being_imported WHERE id BETWEEN :first AND :last",
)


@contextmanager
def staging(connection: Connection) -> Iterator[None]:
    """Attach an empty database of the connection's own as `staging`: a hidden file, removed at the end.

    It is on the disk, so that memory use stays flat; its content does not survive a power cut.
    """
    with partial_files(connection.path) as (partial,):
        connection.execute("ATTACH ? AS staging", (str(partial),))
        try:
            for pragma in ("journal_mode = OFF", "synchronous = OFF", f"cache_size = -{BULK_CACHE_KIB}"):
                connection.execute(f"PRAGMA staging.{pragma}").fetchall()
            yield
        finally:
            connection.execute("DETACH staging")


def stage_schema(connection: Connection, kind: str, *names: str) -> None:
    """Create the tables or views of these names, or the indexes of these tables, in `staging`, as in the database."""
    rows = connection.execute(
        f"""
        SELECT sql FROM main.sqlite_master
        WHERE type = ? AND tbl_name IN ({", ".join("?" * len(names))}) AND sql IS NOT NULL ORDER BY rowid
        """,
        (kind, *names),
    ).fetchall()
    for row in rows:
        connection.execute(re.sub("^CREATE (TABLE|INDEX|VIEW) ", r"CREATE \1 staging.", row["sql"]))


@contextmanager
def bulk(connection: Connection) -> Iterator[None]:
    """Let the transactions inside insert rows without checking what they refer to, and keep more pages in memory."""
    (cache_size,) = connection.execute("PRAGMA cache_size").fetchone()
    connection.execute(f"PRAGMA cache_size = -{BULK_CACHE_KIB}")
    connection.execute("PRAGMA foreign_keys = OFF")
    try:
        yield
    finally:
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute(f"PRAGMA cache_size = {cache_size}")


@contextmanager
def reserved_ids(connection: Connection, **counts: int) -> Iterator[Dict[str, int]]:
    """Reserve this many ids of each table, and yield, by table, the last id before them.

    If the block fails, they are given back if no others have followed and no text of theirs is indexed.
    """
    last = {}
    with transaction(connection):
        for table, count in counts.items():
            (last[table],) = connection.execute(
                "SELECT coalesce(max(seq), 0) FROM main.sqlite_sequence WHERE name = ?", (table,)
            ).fetchone()
            connection.execute("DELETE FROM main.sqlite_sequence WHERE name = ?", (table,))
            connection.execute("INSERT INTO main.sqlite_sequence VALUES (?, ?)", (table, last[table] + count))
    try:
        yield last
    except BaseException:
        connection.set_progress_handler(None, 0)  # which would stop this, too
        with transaction(connection):
            connection.executemany(
                """
                UPDATE main.sqlite_sequence SET seq = ?
                WHERE name = ? AND seq = ? AND NOT EXISTS (SELECT 1 FROM main.texts_being_imported)
                """,
                [(last[table], table, last[table] + count) for table, count in counts.items()],
            )
        raise


@contextmanager
def indexed_texts(connection: Connection, progress: Callable[[int], None]) -> Iterator[None]:
    """Index the texts of what `staging` has, in short transactions, and take them out again if the block fails.

    The block has to insert the work orders. `progress` gets the number of those indexed. What a killed import has left
    in the indexes is removed, and so is what another running import has put there, which then fails.
    """
    _forget_texts(connection, 0, sys.maxsize)
    first, last = _ends(connection, "staging.work_orders")
    assert first is not None
    assert last is not None
    indexed = None
    try:
        for piece in _pieces(connection, "staging.work_order_texts"):
            with transaction(connection):
                _check_texts(connection, (first if indexed else None, indexed))
                for statement in _INDEX_TEXTS:
                    connection.execute(statement, piece)
            indexed = piece["last"]
            progress(indexed - first + 1)
        yield
    except BaseException:
        connection.set_progress_handler(None, 0)  # which would stop this, too
        _forget_texts(connection, first, last)
        raise


def _forget_texts(connection: Connection, first: int, last: int) -> None:
    for piece in _pieces(connection, f"main.texts_being_imported WHERE id BETWEEN {first} AND {last}"):
        with transaction(connection):
            for statement in _FORGET_TEXTS:
                connection.execute(statement, piece)


def _ends(connection: Connection, table: str) -> Tuple[Optional[int], Optional[int]]:
    """Return the first and the last id of a table; SQLite would read all of it for both in one SELECT."""
    first, last = connection.execute(f"SELECT (SELECT min(id) FROM {table}), (SELECT max(id) FROM {table})").fetchone()
    return first, last


def _pieces(connection: Connection, texts: str) -> List[Dict[str, int]]:
    """Return the first and last ids of as many texts as are indexed at once."""
    rows = connection.execute(
        f"""
        SELECT min(id) AS first, max(id) AS last
        FROM (SELECT id, sum(length(text)) OVER (ORDER BY id) / {INDEXED_AT_ONCE} AS piece FROM {texts})
        GROUP BY piece ORDER BY piece
        """
    ).fetchall()
    return list(map(dict, rows))


def _check_texts(connection: Connection, ends: Tuple[Optional[int], Optional[int]]) -> None:
    """Raise ApplicationError unless the texts that are being imported have these first and last ids."""
    if _ends(connection, "main.texts_being_imported") != ends:
        raise ApplicationError("Somebody has begun another import. Nothing was imported; start again.")


def insert_staged(connection: Connection) -> None:
    """Insert the work orders and history that `staging` has, inside a transaction, within `bulk` and `indexed_texts`.

    The rows and the entries of their indexes are copied as they are: where both tables are alike and no trigger is in
    the way, SQLite does not even decode them (https://www.sqlite.org/src/doc/trunk/src/insert.c, xferOptimization).
    The rows already contain what triggers set; only the counters and the full-text indexes are kept separately.
    """
    _check_texts(connection, _ends(connection, "staging.work_orders"))
    triggers = connection.execute(
        """
        SELECT name, sql FROM main.sqlite_master
        WHERE type = 'trigger' AND tbl_name IN ('work_orders', 'work_order_history') ORDER BY rowid
        """
    ).fetchall()
    for trigger in triggers:
        connection.execute(f"DROP TRIGGER main.{trigger['name']}")
    for table in _STAGED:
        connection.execute(f"INSERT INTO main.{table} SELECT * FROM staging.{table}")
    for trigger in triggers:
        connection.execute(trigger["sql"])
    connection.execute("DELETE FROM main.texts_being_imported")
    connection.execute(
        """
        INSERT INTO main.work_order_counts SELECT * FROM staging.counts WHERE true
            ON CONFLICT (requester_id, status, priority) DO UPDATE SET total = total + excluded.total
        """
    )


# Backup and check


def new_path(connection: Connection, kind: str, suffix: str) -> Path:
    """Return where the next file of a kind goes: a dated name in that kind's folder (`exports/`) beside the database.

    Raises OutputError if that folder is a link or cannot be made.
    """
    folder = connection.path.with_name(f"{kind}s")
    try:
        if folder.is_symlink():
            raise OutputError(f"{folder} is a symbolic link; no {kind} was made.")
        folder.mkdir(mode=0o700, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{folder} cannot be created: {error.strerror}. No {kind} was made.") from error
    return folder / f"{connection.path.stem}-{_timestamp()}{suffix}"


def back_up(connection: Connection, target: Path) -> Path:
    """Write a copy of the database to a new file, for its owner alone, and return its path once it is on the disk.

    Where the target exists, a number is added to its name. The copy is checked before it gets that name. Others can
    read while the pages are copied, but what they save waits. Raises OutputError if the copy cannot be written or is
    not sound; then there is no new file.
    """
    try:
        _remove_dead_partials(connection.path.parent)
        with partial_files(target) as (partial,):
            _copy(connection, partial)
            with closing(open_file(partial)) as copy:
                problems = find_problems(copy)
            if problems:
                raise OutputError(f"The copy is not sound ({problems[0]}); no backup was made. Check the database.")
            return publish_numbered(partial, target)
    except OSError as error:
        raise OutputError(f"{target} cannot be written: {error.strerror}. No backup was made.") from error


def check(connection: Connection) -> List[str]:
    """Return what is wrong with the database: an empty list if it is sound.

    It looks at a copy, so that others wait no longer than for a backup. Raises OutputError where there is no room.
    """
    try:
        with partial_files(connection.path) as (partial,):
            _copy(connection, partial)
            with closing(open_file(partial)) as copy:
                return find_problems(copy) or find_differences(copy)
    except OSError as error:
        raise OutputError(f"A copy to check cannot be written: {error.strerror}.") from error


def find_problems(connection: sqlite3.Connection) -> List[str]:
    """Return what is wrong with the database's structure and references: an empty list if it is sound."""
    structure = [str(line) for (line,) in connection.execute("PRAGMA integrity_check").fetchall()]
    references = connection.execute("PRAGMA foreign_key_check").fetchall()
    return [
        *(line for line in structure if line != "ok"),
        *(f"row {row} of {table} refers to nothing" for table, row, _, _ in references),
    ]


def find_differences(connection: sqlite3.Connection) -> List[str]:
    """Return how the data derived from work orders and their history differs from them: an empty list if it does not.

    That is the full-text index, the counters, and what reports count.
    """
    differs = any(_differs(connection, index) for index in ("work_order_search", "work_order_trigrams"))
    problems = ["The full-text index differs from the texts."] if differs else []
    rows = connection.execute(
        """
        SELECT requester_id, status, priority, sum(total) AS counter, sum(found) AS found FROM (
            SELECT requester_id, status, priority, total, 0 AS found FROM work_order_counts
            UNION ALL
            SELECT requester_id, status, priority, 0, count(*) FROM work_orders WHERE deleted_at IS NULL
                GROUP BY 1, 2, 3
            UNION ALL
            SELECT NULL, status, priority, total, 0 FROM work_order_totals
            UNION ALL
            SELECT NULL, status, priority, 0, count(*) FROM work_orders WHERE deleted_at IS NULL GROUP BY 2, 3
        ) GROUP BY 1, 2, 3 HAVING sum(total) <> sum(found) ORDER BY requester_id IS NULL, 1, 2, 3
        """
    ).fetchall()
    for requester_id, status, priority, counter, found in rows:
        which = f"{f'requester {requester_id}' if requester_id else 'all requesters'}, {status}, priority {priority}"
        problems.append(f"The counter of {which} is {counter}, but there are {found} work orders.")
    rows = connection.execute(
        """
        SELECT id FROM work_orders
        WHERE urgency IS NOT computed_urgency OR created_second IS NOT CAST(strftime('%s', created_at) AS INTEGER)
        """
    ).fetchall()
    problems += [f"The place of work order #{work_order_id} in lists is not up to date." for (work_order_id,) in rows]
    (differing,) = connection.execute(
        """
        SELECT count(*) FROM work_orders JOIN work_order_measures AS measures ON measures.id = work_orders.id
        WHERE work_orders.held_since IS NOT measures.held_since
            OR work_orders.finished_at IS NOT measures.finished_at
            OR work_orders.resolution_seconds IS NOT measures.resolution_seconds
            OR work_orders.response_seconds IS NOT measures.response_seconds
        """
    ).fetchone()
    if differing:
        problems.append(f"What reports count differs from the history of {differing} work orders.")
    return problems


def _differs(connection: sqlite3.Connection, index: str) -> bool:
    try:
        connection.execute(f"INSERT INTO {index} ({index}, rank) VALUES ('integrity-check', 1)")
    except sqlite3.DatabaseError:
        return True
    return False


def _copy(connection: sqlite3.Connection, target: Path) -> None:
    """Copy the database to the empty file. It prints nothing: a stopped terminal would hold up everybody."""

    def step(status: int, *_: int) -> None:
        # SQLite has waited for the others already; Python would retry forever.
        if status in (_SQLITE_BUSY, _SQLITE_LOCKED):
            raise sqlite3.OperationalError("database is locked")

    with closing(sqlite3.connect(target, isolation_level=None)) as copy, snapshot(connection):
        # An open read keeps others from committing, which would make SQLite restart the copy.
        connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
        connection.backup(copy, pages=PAGES_PER_STEP, progress=step)


@contextmanager
def partial_files(*targets: Path) -> Iterator[List[Path]]:
    """Make an empty file beside each target, for its owner alone, after removing dead ones; remove them at the end."""
    for folder in {target.parent for target in targets}:
        _remove_dead_partials(folder)
    partials = [target.with_name(f".{target.name}.{os.getpid()}.partial") for target in targets]
    try:
        for partial in partials:
            os.close(os.open(partial, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
        yield partials
    finally:
        for partial in partials:
            for path in (partial, partial.with_name(f"{partial.name}-journal")):
                path.unlink(missing_ok=True)


def publish_numbered(partial: Path, target: Path) -> Path:
    """Give the finished file its name, with a number where that is taken, and return it. Raises OutputError."""
    _flush(partial)
    for path in (target, *(target.with_name(f"{target.stem}-{n}{target.suffix}") for n in range(2, 1000))):
        with contextlib.suppress(FileExistsError):
            publish(partial, path)
            return path
    raise OutputError(f"{target} and many names like it are taken. Nothing was written.")


def publish(partial: Path, target: Path) -> None:
    """Give the finished file its name, whole and on the disk. Raises FileExistsError rather than replace a file."""
    try:
        os.link(partial, target)
    except FileExistsError:
        raise
    except OSError:  # a file system without links
        if target.exists():
            raise FileExistsError(f"{target} exists") from None
        partial.rename(target)
    _flush(target.parent)


def _remove_dead_partials(folder: Path) -> None:
    """Remove what programs that were killed have left unfinished."""
    for path in folder.glob(".*.partial*"):
        match = re.fullmatch(r"\..+\.(\d+)\.partial(-journal)?", path.name)
        if match and not _is_running(int(match[1])):
            with contextlib.suppress(OSError):  # on Windows one that is still open
                path.unlink()


def _is_running(process_id: int) -> bool:
    # On Windows, os.kill would end the process; a file with our own number was left by an earlier process.
    if os.name == "nt" or process_id == os.getpid():
        return False
    try:
        os.kill(process_id, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        pass
    return True


def _timestamp() -> str:
    return datetime.now().strftime("%Y-%m-%d-%H%M%S")


def _flush(path: Path) -> None:
    if os.name == "nt" and path.is_dir():
        return  # Windows flushes no folders
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


# Command line


def run_command(command: Callable[[], List[str]]) -> int:
    """Run a module's command, print the lines that it returns, and return the exit code.

    What it refuses is printed as one line, and the code is 1.
    """
    try:
        lines = command()
    except EXPECTED_FAULTS as fault:
        reason = explain(fault)
    except (KeyboardInterrupt, EOFError, UnicodeError):
        reason = "Nothing was changed."
    else:
        with contextlib.suppress(OSError, AttributeError):  # nobody may be there to read it
            sys.stdout.reconfigure(errors="replace")  # type: ignore[union-attr]
            print(*map(printable, lines), sep="\n", flush=True)
        return 0
    with contextlib.suppress(OSError):
        print(f"Error: {printable(reason)}", file=sys.stderr)
    return 1


def main() -> List[str]:
    """Create the database if need be, and return its path and its schema version in words."""
    path = default_path()
    connection = connect(path, create=True)
    version = schema_version(connection)
    connection.close()
    return [f"Database: {path}", f"Schema version: {version}"]


if __name__ == "__main__":
    os._exit(run_command(main))
