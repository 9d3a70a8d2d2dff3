"""The SQLite database: where it is, how it is opened, its schema, its transactions, backups and checks.

`python database.py` creates the database and prints its path and its schema version.
"""

import errno
import os
import re
import sqlite3
import sys
import time
import unicodedata
from contextlib import ExitStack, closing, contextmanager, nullcontext, suppress
from datetime import datetime, timezone
from pathlib import Path
from typing import Callable, ContextManager, Iterable, Iterator, List, Mapping, NamedTuple, Optional, Sequence, Tuple

APPLICATION_ID = 0x574F524B  # "WORK" in ASCII; https://www.sqlite.org/fileformat2.html#application_id
BUSY_SECONDS = 10
PAGES_PER_STEP = 10_000  # of a copy: 40 MB
_SQLITE_BUSY, _SQLITE_LOCKED = 5, 6  # https://www.sqlite.org/rescode.html
# quick_check reads the whole file: 1 MiB takes 10 ms, while a large database must still open at once.
CHECKED_WHEN_OPENED_BYTES = 1024 * 1024
CACHE_KIBIBYTES = 32 * 1024  # enough for the index of a list of 100,000 work orders
NEVER = "9999-12-31T23:59:59+00:00"  # when nothing is due


# Errors


class ApplicationError(Exception):
    """An expected failure; its message is a complete sentence for the person."""


class OutputError(ApplicationError):
    """A backup, or another file beside the database, was not made."""


class DatabaseFileError(ApplicationError):
    """The database file is missing, foreign, damaged, or of a version that cannot be read; it was left as it was."""


class DamageError(ApplicationError):
    """A stored row contains an impossible value."""


EXPECTED_FAULTS = (ApplicationError, sqlite3.Error)

# SQLite's own words (sqlite3_errstr) and ours; Python has no error code to look at before 3.11.
_FAULT_SENTENCES = (
    ("is locked", "The database is busy with somebody else's work. Nothing was saved; try again in a moment."),
    ("disk is full", "The disk is full. Nothing was saved; free some space and try again."),
    (
        "readonly database",
        "The database or its folder is not writable, or the file was moved or replaced. Nothing was saved.",
    ),
    ("unable to open", "The database file or its folder cannot be opened. Nothing was saved."),
    ("disk I/O error", "The disk reported an error. Nothing was saved."),
    ("interrupted", "Interrupted."),
    ("no such module", "This Python's SQLite has no full-text search (FTS5); use another Python."),
)
_DAMAGE = ("malformed", "not a database", "decode to UTF-8")


def explain(fault: Exception) -> str:
    """Return a complete sentence that explains any of the EXPECTED_FAULTS to the person."""
    if isinstance(fault, ApplicationError):
        return str(fault)
    for words, sentence in _FAULT_SENTENCES:
        if words in str(fault):
            return sentence
    if any(words in str(fault) for words in _DAMAGE):
        return "The database is damaged. Nothing was saved; restore it from a backup."
    return f"The database reported a problem ({fault}). Nothing was saved."


@contextmanager
def sound(what: str) -> Iterator[None]:
    """Turn a bad stored value inside the block into a DamageError that names the row."""
    try:
        yield
    except (ValueError, TypeError, KeyError, IndexError, AttributeError, OverflowError) as error:
        reason = printable(" ".join(str(error).split()))[:100]
        raise DamageError(f"{what} is damaged in the database ({reason}). Restore a backup.") from error


# Time and text


def now() -> str:
    """Return the present moment as the database stores it: UTC, ISO 8601 to the second."""
    return utc_text(datetime.now(timezone.utc))


def utc_text(moment: datetime) -> str:
    """Return a moment as the database stores it: UTC, ISO 8601 to the second; one without a zone is local time."""
    return moment.astimezone(timezone.utc).isoformat(timespec="seconds")


def moment(text: Optional[str]) -> Optional[datetime]:
    """Return the moment that the database has stored, or None. Raises ValueError for what no zone could show."""
    if not text:
        return None
    stored = datetime.fromisoformat(text)
    if stored.tzinfo is None or not 1970 <= stored.year <= 2999:
        raise ValueError(f"{text!r} is no moment from 1970 to 2999")
    return stored


def seconds_between(begin: str, end: str) -> int:
    """Return the seconds from one stored moment to another, and 0 where the clock was set back in between."""
    return max(0, int((datetime.fromisoformat(end) - datetime.fromisoformat(begin)).total_seconds()))


def quantity(count: int, noun: str = "work order") -> str:
    """Return a number of things in words: 1 row, 1,204 rows."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def printable(text: str) -> str:
    """Return the text on one line with every character that could control a terminal shown as an escape."""
    return text if text.isprintable() else "".join(map(_printable_character, text))


def _printable_character(character: str) -> str:
    if character.isprintable() or character in "\u200c\u200d":  # which only join letters, as Hindi and emoji need
        return character
    if unicodedata.category(character) == "Zs":  # no-break and other spaces
        return " "
    return character.encode("unicode_escape").decode()


# Letters that Unicode does not decompose, every dash, and every apostrophe.
_PLAIN = str.maketrans("łđøħŧı‐‑‒–—―−﹘⸺⸻’ʼ＇", "ldohti----------'''")
# Han, kana, Thai, Lao, Burmese and Khmer, which are written without spaces; and their marks, which are no words.
_SPACELESS = (
    "\u2e80-\u2fdf\u3005-\u3007\u3041-\u3096\u309d-\u309f\u30a1-\u30ff\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff"
    "\uf900-\ufaff\U00020000-\U0003ffff\u0e01-\u0e30\u0e32\u0e33\u0e40-\u0e46\u0e50-\u0e59\u0e81-\u0eb0\u0eb2\u0eb3"
    "\u0ebd-\u0ec6\u0ed0-\u0edf\u1000-\u102a\u103f-\u1055\u1780-\u17b3\u17e0-\u17e9"
)
_MARKS = (
    "\u3099\u309a\u0e31\u0e34-\u0e3a\u0e47-\u0e4e\u0eb1\u0eb4-\u0ebc\u0ec8-\u0ece\u102b-\u103e\u1056-\u1059"
    "\u17b4-\u17d3"
)
AFTER_SPACELESS = f"(?<=[{_SPACELESS}{_MARKS}])"  # in a regular expression, where a new word begins without a space
_BETWEEN_WORDS = re.compile(rf"(?<=\S)(?=[{_SPACELESS}])|{AFTER_SPACELESS}(?=[^\s{_SPACELESS}{_MARKS}])")
_APOSTROPHES = re.compile(r"(?<![^\W_])[^\W_]+(?:'[^\W_]+)+")


def fold(text: str) -> str:
    """Return the text as it is searched: without case, accents and kinds of dashes and apostrophes.

    Each character of a script without spaces becomes a word of its own. Marks other than U+0300 to U+036F stay.
    """
    if text.isascii():
        return text.lower()
    folded = unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", text).casefold())
    folded = re.sub("[\u0300-\u036f]", "", folded).translate(_PLAIN)
    return _BETWEEN_WORDS.sub(" ", unicodedata.normalize("NFC", folded))


def searchable(*texts: str) -> str:
    """Return the folded texts, a line each; words with an apostrophe are repeated at the end without it."""
    folded = fold("\n".join(texts))
    joined = [word.replace("'", "") for word in _APOSTROPHES.findall(folded)]
    return "\n".join((folded, *joined))


# Schema


FINISHED = ("Resolved", "Cancelled")
ON_HOLD = "On Hold"


def _is_moment(column: str) -> str:
    return f"CHECK (strftime('%Y-%m-%dT%H:%M:%S+00:00', {column}) IS {column})"


# What a list's filter looks at: with these columns at its end, the index of an order answers any filter alone.
_FILTERED = "status, category, requester_id, assignee_id, created_at, resolved_at, due_at, overdue_at, deleted_at"

SCHEMA = f"""
CREATE TABLE users (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    username TEXT NOT NULL UNIQUE CHECK (length(username) BETWEEN 2 AND 32 AND username NOT GLOB '*[^a-z0-9._-]*'),
    name TEXT CHECK (length(name) BETWEEN 1 AND 100),
    password_hash TEXT, -- NULL: an account without a password, as a caller has; nobody can log in to it
    role TEXT NOT NULL CHECK (role IN ('user', 'manager', 'admin')),
    email TEXT CHECK (length(email) BETWEEN 3 AND 254),
    is_active INTEGER NOT NULL DEFAULT 1 CHECK (is_active IN (0, 1)),
    created_at TEXT NOT NULL {_is_moment("created_at")},
    must_change_password INTEGER NOT NULL DEFAULT 0 CHECK (must_change_password IN (0, 1)),
    password_version INTEGER NOT NULL DEFAULT 1, -- a session ends when it changes
    seen_history_id INTEGER NOT NULL DEFAULT 0, -- the last history row when "Changed by others" was last opened
    new_work_order_mail TEXT NOT NULL DEFAULT 'none' CHECK (new_work_order_mail IN ('none', 'unassigned', 'all')),
    CHECK (password_hash IS NOT NULL OR role = 'user')
);

CREATE TABLE work_orders (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    title TEXT NOT NULL CHECK (length(title) BETWEEN 1 AND 120 AND instr(title, char(0)) = 0),
    description TEXT NOT NULL DEFAULT '' CHECK (length(description) <= 10000 AND instr(description, char(0)) = 0),
    priority INTEGER NOT NULL DEFAULT 2 CHECK (priority IN (1, 2, 3, 4)),
    category TEXT CHECK (length(category) BETWEEN 1 AND 40 AND instr(category, char(0)) = 0),
    status TEXT NOT NULL DEFAULT 'Open'
        CHECK (status IN ('Open', 'In Progress', 'On Hold', 'Resolved', 'Cancelled')),
    requester_id INTEGER NOT NULL REFERENCES users (id),
    assignee_id INTEGER REFERENCES users (id),
    created_at TEXT NOT NULL {_is_moment("created_at")},
    updated_at TEXT NOT NULL {_is_moment("updated_at")},
    resolved_at TEXT {_is_moment("resolved_at")}, -- NULL for a Resolved one whose import did not tell the time
    due_at TEXT {_is_moment("due_at")},
    deleted_at TEXT {_is_moment("deleted_at")},
    due_by TEXT CHECK (due_by IN ('hand', 'target')), -- what set the due time, even to none
    response_hours INTEGER, -- the service target for the first response when it was created or its priority changed
    -- Where an imported one comes from, its ID there, and what tells its row from all others of that system.
    source TEXT,
    source_id TEXT,
    source_key TEXT,
    -- Derived from the columns above and the history; see derive().
    urgency INTEGER NOT NULL DEFAULT 2,
    due_rank TEXT NOT NULL DEFAULT '{NEVER}',
    overdue_at TEXT NOT NULL DEFAULT '{NEVER}',
    stopped_since TEXT,
    stopped_seconds INTEGER NOT NULL DEFAULT 0,
    responded_at TEXT,
    CHECK (status = 'Resolved' OR resolved_at IS NULL),
    UNIQUE (source, source_key)
);
-- One index for each order of a list, and one each for the people whose lists are read most.
CREATE INDEX work_orders_by_urgency ON work_orders (urgency, created_at, id, {_FILTERED});
CREATE INDEX work_orders_by_change ON work_orders (updated_at, id, urgency, {_FILTERED});
CREATE INDEX work_orders_by_due ON work_orders (due_rank, id, urgency, {_FILTERED});
CREATE INDEX work_orders_by_id ON work_orders (id, urgency, {_FILTERED});
CREATE INDEX work_orders_by_requester ON work_orders
    (requester_id, urgency, created_at, id, updated_at, due_rank, {_FILTERED});
CREATE INDEX work_orders_by_assignee ON work_orders
    (assignee_id, urgency, created_at, id, updated_at, due_rank, {_FILTERED});
-- For Summary and reports, which count many work orders.
CREATE INDEX work_orders_by_status ON work_orders (status, priority, deleted_at);
CREATE INDEX work_orders_by_creation ON work_orders (created_at, deleted_at);
CREATE INDEX work_orders_by_resolution ON work_orders (
    resolved_at, priority, category, assignee_id, requester_id, created_at, stopped_seconds, responded_at,
    response_hours, due_at, deleted_at
) WHERE resolved_at IS NOT NULL;
CREATE INDEX work_orders_by_deletion ON work_orders (deleted_at) WHERE deleted_at IS NOT NULL;

-- Every change and comment of a work order. The row 'created' of an imported one may have the status that it came
-- with as its new value and, as its old value, since when it has been stopped in that status.
CREATE TABLE work_order_history (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    work_order_id INTEGER NOT NULL REFERENCES work_orders (id),
    user_id INTEGER NOT NULL REFERENCES users (id),
    changed_at TEXT NOT NULL {_is_moment("changed_at")},
    field TEXT NOT NULL,
    old_value TEXT,
    new_value TEXT,
    note TEXT NOT NULL DEFAULT '' CHECK (length(note) <= 10000 AND instr(note, char(0)) = 0),
    is_imported INTEGER NOT NULL DEFAULT 0 CHECK (is_imported IN (0, 1))
);
CREATE INDEX history_by_work_order ON work_order_history (work_order_id);
CREATE INDEX history_of_status ON work_order_history (changed_at, work_order_id, old_value, new_value, field)
    WHERE field = 'status';
CREATE INDEX history_by_former_person ON work_order_history (old_value) WHERE field IN ('assignee', 'requester');

-- What is searched, folded: one row for each work order, with its ID as the rowid.
CREATE VIRTUAL TABLE work_order_search USING fts5 (
    text, prefix = '1 2 3', tokenize = "unicode61 remove_diacritics 0 categories 'L* N* M* Co'"
);
CREATE VIRTUAL TABLE work_order_words USING fts5vocab (work_order_search, row);

CREATE TABLE audit_log (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    recorded_at TEXT NOT NULL {_is_moment("recorded_at")},
    user_id INTEGER REFERENCES users (id),
    subject_id INTEGER REFERENCES users (id), -- the account that it was done to
    os_user TEXT NOT NULL,
    ssh_client TEXT NOT NULL,
    event TEXT NOT NULL,
    subject TEXT NOT NULL
);
CREATE INDEX audit_log_by_user ON audit_log (user_id);
CREATE INDEX audit_log_by_subject ON audit_log (subject_id);
CREATE INDEX audit_log_by_event ON audit_log (event);

-- A name is stored as its SHA-256: it may be a password that was typed a line too early.
CREATE TABLE password_failures (
    name_hash TEXT NOT NULL,
    client TEXT NOT NULL, -- the host's account and the SSH client's address
    failures INTEGER NOT NULL CHECK (failures > 0),
    last_failed_at TEXT NOT NULL {_is_moment("last_failed_at")},
    PRIMARY KEY (name_hash, client)
) WITHOUT ROWID;
CREATE INDEX password_failures_by_time ON password_failures (last_failed_at);

CREATE TABLE login_clients (
    user_id INTEGER NOT NULL REFERENCES users (id),
    client TEXT NOT NULL,
    last_login_at TEXT NOT NULL {_is_moment("last_login_at")},
    PRIMARY KEY (user_id, client)
) WITHOUT ROWID;

CREATE TABLE service_targets (
    priority INTEGER PRIMARY KEY CHECK (priority IN (1, 2, 3, 4)),
    response_hours INTEGER CHECK (response_hours BETWEEN 1 AND 9999),
    resolution_hours INTEGER CHECK (resolution_hours BETWEEN 1 AND 9999)
);
INSERT INTO service_targets (priority) VALUES (1), (2), (3), (4);

CREATE TABLE mail_settings (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    host TEXT, -- NULL: no mail is sent
    port INTEGER NOT NULL DEFAULT 587 CHECK (port BETWEEN 1 AND 65535),
    security TEXT NOT NULL DEFAULT 'starttls' CHECK (security IN ('starttls', 'tls', 'none')),
    sender TEXT CHECK (length(sender) BETWEEN 3 AND 254),
    username TEXT,
    password TEXT,
    CHECK (host IS NULL OR sender IS NOT NULL)
);
INSERT INTO mail_settings (id) VALUES (1);

-- A message is removed once it is sent. A session claims it by moving its next attempt into the future, so that
-- another one sends it then if this one is killed.
CREATE TABLE outbox (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    user_id INTEGER NOT NULL REFERENCES users (id),
    message_id TEXT NOT NULL UNIQUE,
    subject TEXT NOT NULL,
    text TEXT NOT NULL DEFAULT '', -- what stands above the parts
    created_at TEXT NOT NULL {_is_moment("created_at")},
    attempts INTEGER NOT NULL DEFAULT 0,
    next_attempt_at TEXT {_is_moment("next_attempt_at")}, -- NULL: it has failed for good
    reason TEXT NOT NULL DEFAULT ''
);
CREATE INDEX outbox_by_next_attempt ON outbox (next_attempt_at);
-- What it says of each work order; left out if its recipient may not see that one any more.
CREATE TABLE outbox_parts (
    id INTEGER PRIMARY KEY,
    outbox_id INTEGER NOT NULL REFERENCES outbox (id) ON DELETE CASCADE,
    work_order_id INTEGER NOT NULL REFERENCES work_orders (id),
    text TEXT NOT NULL
);
CREATE INDEX outbox_parts_by_message ON outbox_parts (outbox_id);

-- How the questions about an imported file were answered, for the next one with the same header.
CREATE TABLE import_answers (
    header_hash TEXT PRIMARY KEY,
    answers TEXT NOT NULL,
    saved_at TEXT NOT NULL {_is_moment("saved_at")}
) WITHOUT ROWID;

CREATE TRIGGER history_is_never_changed BEFORE UPDATE ON work_order_history
BEGIN SELECT RAISE(ABORT, 'The history is never changed.'); END;
CREATE TRIGGER history_is_never_removed BEFORE DELETE ON work_order_history
BEGIN SELECT RAISE(ABORT, 'The history is never removed.'); END;
CREATE TRIGGER audit_log_is_never_changed BEFORE UPDATE ON audit_log
BEGIN SELECT RAISE(ABORT, 'The audit log is never changed.'); END;
CREATE TRIGGER audit_log_is_never_removed BEFORE DELETE ON audit_log
BEGIN SELECT RAISE(ABORT, 'The audit log is never removed.'); END;
CREATE TRIGGER work_orders_are_never_removed BEFORE DELETE ON work_orders
BEGIN SELECT RAISE(ABORT, 'A work order is never removed.'); END;
"""
BASELINE = 10  # the version of SCHEMA


def _run_script(connection: sqlite3.Connection, script: str) -> None:
    """Run the statements inside the caller's transaction, which executescript would commit."""
    statement = ""
    for line in script.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            connection.execute(statement)
            statement = ""


# What is derived


class Derived(NamedTuple):
    """What lists and reports look at, computed from a work order's other columns and its history.

    `urgency` is 0 (Critical) to 3 (Low), and 4 more once finished; `due_rank` sorts by due date, finished ones last;
    `overdue_at` is when it becomes overdue: a due time from a target does not run out On Hold. `stopped_since` is
    since when it has been On Hold or finished, `stopped_seconds` for how long it was before that; `responded_at` is
    the first response, `spent_minutes` the time that notes tell of. `text` is what is searched.
    """

    urgency: int
    due_rank: str
    overdue_at: str
    stopped_since: Optional[str]
    stopped_seconds: int
    responded_at: Optional[str]
    spent_minutes: int
    text: str


def derive(row: sqlite3.Row, history: Sequence[sqlite3.Row]) -> Derived:
    """Return what follows from a row of work_orders and its rows in the history, oldest first."""
    is_finished, due_at = row["status"] in FINISHED, row["due_at"]
    stopped_since, stopped_seconds = _stops(history)
    is_paused = row["status"] == ON_HOLD and row["due_by"] == "target" and due_at and due_at >= (stopped_since or "")
    notes = [entry["note"] for entry in history]
    responses = [
        entry["changed_at"]
        for entry in history
        if entry["field"] in ("comment", "assignee", "status")
        and entry["user_id"] != row["requester_id"]
        and not entry["is_imported"]
    ]
    return Derived(
        urgency=4 - row["priority"] + 4 * is_finished,
        due_rank=("finished " if is_finished else "") + (due_at or NEVER),
        overdue_at=NEVER if is_finished or is_paused or not due_at else due_at,
        stopped_since=stopped_since,
        stopped_seconds=stopped_seconds,
        responded_at=min(responses, default=None),
        spent_minutes=sum(entry["minutes"] for entry in history),
        text=searchable(row["title"], row["description"], *filter(None, notes), row["source_id"] or ""),
    )


def _stops(history: Sequence[sqlite3.Row]) -> Tuple[Optional[str], int]:
    """Return since when the status has been a stop, if it is one, and for how many seconds it was one before.

    Moving between Resolved and Cancelled begins no new stop; leaving On Hold and reopening end one.
    """
    stop, since, seconds = "", None, 0
    for entry in history:
        if entry["field"] in ("created", "status"):
            status = entry["new_value"]
            new_stop = "finished" if status in FINISHED else "held" if status == ON_HOLD else ""
            if new_stop != stop:
                seconds += seconds_between(since, entry["changed_at"]) if since else 0
                begin = entry["old_value"] if entry["field"] == "created" else entry["changed_at"]
                stop, since = new_stop, begin if new_stop else None
    return since, seconds


def refresh_derived(connection: sqlite3.Connection, work_order_id: int) -> None:
    """Store what is derived of a work order, inside the transaction that has changed it or its history."""
    derived, stored = _compute(connection, work_order_id)
    if derived[:-1] != stored[:-1]:
        update(connection, "work_orders", work_order_id, dict(zip(Derived._fields[:-1], derived)))
    if derived.text != stored.text:
        connection.execute("REPLACE INTO work_order_search (rowid, text) VALUES (?, ?)", (work_order_id, derived.text))


def _compute(connection: sqlite3.Connection, work_order_id: int) -> Tuple[Derived, Derived]:
    """Return what is derived of a work order, and what is stored of that."""
    row = connection.execute(
        "SELECT *, (SELECT text FROM work_order_search WHERE rowid = :id) AS text FROM work_orders WHERE id = :id",
        {"id": work_order_id},
    ).fetchone()
    history = connection.execute(
        """
        SELECT user_id, changed_at, field, old_value, new_value, note, is_imported, minutes
        FROM work_order_history WHERE work_order_id = ? ORDER BY id
        """,
        (work_order_id,),
    ).fetchall()
    with sound(f"Work order #{work_order_id}"):
        derived = derive(row, history)
    return derived, Derived(*(row[name] for name in Derived._fields))


# Migrations


# Recurring work orders, holds until a day, links and time spent.
_VERSION_11 = f"""
CREATE TABLE templates (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    title TEXT NOT NULL CHECK (length(title) BETWEEN 1 AND 120),
    description TEXT NOT NULL DEFAULT '' CHECK (length(description) <= 10000),
    priority INTEGER NOT NULL CHECK (priority IN (1, 2, 3, 4)),
    category TEXT CHECK (length(category) BETWEEN 1 AND 40),
    requester_id INTEGER NOT NULL REFERENCES users (id),
    assignee_id INTEGER REFERENCES users (id),
    due_days INTEGER CHECK (due_days BETWEEN 0 AND 3650),
    every INTEGER NOT NULL CHECK (every BETWEEN 1 AND 1000),
    unit TEXT NOT NULL CHECK (unit IN ('day', 'week', 'month')),
    first_day TEXT NOT NULL CHECK (date(first_day) IS first_day),
    saved_by INTEGER NOT NULL REFERENCES users (id), -- in whose name its work orders are created
    saved_on TEXT NOT NULL CHECK (date(saved_on) IS saved_on), -- a local day; what lies before is not owed
    stopped_at TEXT {_is_moment("stopped_at")}
);
ALTER TABLE work_orders ADD COLUMN template_id INTEGER REFERENCES templates (id);
ALTER TABLE work_orders ADD COLUMN template_day TEXT; -- the regular day that it was created for
CREATE UNIQUE INDEX work_orders_by_template ON work_orders (template_id, template_day)
    WHERE template_id IS NOT NULL;
ALTER TABLE work_orders ADD COLUMN held_until TEXT {_is_moment("held_until")};
ALTER TABLE work_orders ADD COLUMN spent_minutes INTEGER NOT NULL DEFAULT 0; -- derived from the history
ALTER TABLE work_order_history ADD COLUMN minutes INTEGER NOT NULL DEFAULT 0; -- of work that the note tells of

-- The work order duplicates, is blocked by, or is related to the other one.
CREATE TABLE links (
    id INTEGER PRIMARY KEY,
    kind TEXT NOT NULL CHECK (kind IN ('duplicate of', 'blocked by', 'related to')),
    work_order_id INTEGER NOT NULL REFERENCES work_orders (id),
    other_id INTEGER NOT NULL REFERENCES work_orders (id),
    UNIQUE (work_order_id, other_id, kind),
    CHECK (work_order_id <> other_id)
);
CREATE INDEX links_by_other ON links (other_id);
CREATE INDEX history_of_time ON work_order_history (changed_at, user_id, work_order_id, minutes) WHERE minutes <> 0;
"""

# The scripts of the versions after the baseline. One that has landed is never edited: the next change is a new one.
MIGRATIONS: Tuple[str, ...] = (_VERSION_11,)


def newest_version() -> int:
    """Return the schema version that this program works with."""
    return BASELINE + len(MIGRATIONS)


def schema_version(connection: sqlite3.Connection) -> int:
    """Return the schema version of the database: 0 if it is empty."""
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    return int(version)


def migrate(connection: "Connection") -> None:
    """Bring the database to the newest version in one transaction, after a checked backup of what was there.

    A failure changes nothing; close the connection then. If several programs start at once, one migrates and the
    others wait.
    """
    if schema_version(connection) == newest_version():
        return
    connection.execute("PRAGMA foreign_keys = OFF")  # tables are drawn afresh; checked before the commit
    with transaction(connection):
        version = schema_version(connection)
        if version < newest_version():  # else another program was faster
            if version == 0:
                _run_script(connection, SCHEMA)
            else:
                name = f"{connection.path.name}.version-{version}.{_timestamp()}"
                with closing(open_file(connection.path)) as reader:  # what holds the lock cannot be copied from
                    backup = back_up(reader, connection.path.with_name(name))
            if version == BASELINE - 1:
                connection.execute("ATTACH ? AS version_9", (f"{backup.as_uri()}?mode=ro",))
                _upgrade_from_version_9(connection)
            for script in MIGRATIONS[max(0, version - BASELINE) :]:
                _run_script(connection, script)
            if version == BASELINE - 1:
                for (work_order_id,) in connection.execute("SELECT id FROM work_orders").fetchall():
                    refresh_derived(connection, work_order_id)
            if connection.execute("PRAGMA foreign_key_check").fetchone():
                raise DatabaseFileError(f"{connection.path} is damaged: rows refer to nothing. It was left as it was.")
            connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            connection.execute(f"PRAGMA user_version = {newest_version()}")
    if version == BASELINE - 1:
        connection.execute("DETACH version_9")
    connection.execute("PRAGMA foreign_keys = ON")


def _upgrade_from_version_9(connection: sqlite3.Connection) -> None:
    """Create the schema afresh, and copy every row from the backup, which is attached as version_9."""
    everything = connection.execute(
        """
        SELECT type, name FROM main.sqlite_master WHERE type IN ('table', 'view') AND name NOT LIKE 'sqlite_%'
        ORDER BY sql NOT LIKE 'CREATE VIRTUAL%'
        """
    ).fetchall()
    for kind, name in everything:
        connection.execute(f"DROP {kind} IF EXISTS main.{name}")  # the tables behind a virtual one go with it
    _run_script(connection, SCHEMA)
    _run_script(connection, _COPY_FROM_VERSION_9)


_COPY_FROM_VERSION_9 = """
-- An account that an import made, and that nobody has touched since, had a password that nobody knew.
INSERT INTO users
WITH untouched (id) AS (
    SELECT subject_id FROM version_9.audit_log GROUP BY subject_id
    HAVING sum(event = 'user added' AND subject LIKE '% as user, deactivated') = 1
        AND sum(event NOT IN ('user added', 'login failed', 'approval failed')) = 0
)
SELECT id, username, NULL, CASE WHEN id IN untouched THEN NULL ELSE password_hash END, role, email,
    is_active OR id IN untouched, created_at, must_change_password AND id NOT IN untouched, password_version,
    seen_history_id, 'none'
FROM version_9.users;

INSERT INTO work_orders (
    id, title, description, priority, category, status, requester_id, assignee_id, created_at, updated_at, resolved_at,
    due_at, deleted_at, due_by, response_hours
)
SELECT
    id, title, description, priority, category, status, requester_id, assignee_id, created_at, updated_at, resolved_at,
    due_at, deleted_at, coalesce(due_by, CASE WHEN due_at IS NOT NULL THEN 'hand' END), response_hours
FROM version_9.work_orders;

-- An import reserved two history IDs for each work order, the second for its status row, which an Open one has not;
-- so all of its 'created' rows have the same distance from the work orders' IDs.
INSERT INTO work_order_history
WITH importers (id, at) AS (
    SELECT user_id, max(recorded_at) FROM version_9.audit_log WHERE event = 'imported' GROUP BY user_id
),
neighbours (id, before, next_id) AS (
    SELECT id, lag(changed_at) OVER (ORDER BY id), lead(id) OVER (ORDER BY id) FROM version_9.work_order_history
),
candidates AS (
    SELECT entry.id, work_order_id, user_id, changed_at <= importers.at AS is_possible,
        2 * work_order_id - entry.id AS distance,
        note LIKE 'Imported; the ID was %.' OR changed_at < before
            OR changed_at < (SELECT created_at FROM version_9.users WHERE id = user_id)
            OR coalesce(next_id, (
                SELECT seq + 1 FROM version_9.sqlite_sequence WHERE name = 'work_order_history'
            )) > entry.id + 1 AS is_sure
    FROM version_9.work_order_history AS entry
    JOIN importers ON importers.id = user_id JOIN neighbours ON neighbours.id = entry.id
    WHERE field = 'created'
),
created AS (
    SELECT * FROM candidates AS candidate
    WHERE is_sure OR is_possible AND EXISTS (
        SELECT 1 FROM candidates WHERE is_sure AND user_id = candidate.user_id AND distance = candidate.distance
    )
)
SELECT id, work_order_id, user_id, changed_at, field, old_value, new_value, note,
    id IN (SELECT id FROM created) OR field = 'status' AND old_value = 'Open' AND EXISTS (
        SELECT 1 FROM created
        WHERE created.id = entry.id - 1 AND created.work_order_id = entry.work_order_id
            AND created.user_id = entry.user_id
    )
FROM version_9.work_order_history AS entry ORDER BY id;

INSERT INTO audit_log SELECT id, recorded_at, user_id, subject_id, os_user, ssh_client, event, subject
FROM version_9.audit_log ORDER BY id;
INSERT INTO password_failures SELECT * FROM version_9.password_failures;
INSERT INTO login_clients SELECT * FROM version_9.login_clients;
REPLACE INTO service_targets SELECT * FROM version_9.service_targets;
REPLACE INTO mail_settings SELECT * FROM version_9.mail_settings;
INSERT INTO outbox SELECT id, user_id, message_id, '[#' || work_order_id || '] ' || title || ': ' || ending, '',
    created_at, attempts, CASE WHEN failed_at IS NULL THEN next_attempt_at END, reason
FROM version_9.outbox;
INSERT INTO outbox_parts SELECT id, id, work_order_id, text FROM version_9.outbox;
DELETE FROM sqlite_sequence;
INSERT INTO sqlite_sequence SELECT name, seq FROM version_9.sqlite_sequence;
"""


# Transactions


@contextmanager
def transaction(connection: sqlite3.Connection, begin: str = "BEGIN IMMEDIATE") -> Iterator[None]:
    """Commit everything written inside when the block ends, or nothing if it raises.

    Raises sqlite3.OperationalError if others hold the database for BUSY_SECONDS, ApplicationError if the disk fails at
    the commit itself, so that nobody knows whether the change was saved.
    """
    connection.execute(begin)
    try:
        yield
        try:
            connection.execute("COMMIT")
        except sqlite3.OperationalError as error:
            if "disk I/O error" not in str(error):
                raise
            # The file may have been written completely before the disk failed.
            raise ApplicationError(
                "The disk reported an error at the very end of saving. It is not certain whether it was saved: "
                "look before you try again."
            ) from error
    except BaseException:
        # SQLite has rolled back by itself after some faults, such as a full disk.
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def snapshot(connection: sqlite3.Connection) -> ContextManager[None]:
    """Read from one moment, that of an enclosing block if any; write nothing inside. Raises as transaction does."""
    return nullcontext() if connection.in_transaction else transaction(connection, "BEGIN")


def insert(connection: sqlite3.Connection, table: str, values: Mapping[str, object]) -> int:
    """Insert a row with these values by column, inside the caller's transaction, and return its ID."""
    places = ", ".join(f":{column}" for column in values)
    cursor = connection.execute(f"INSERT INTO {table} ({', '.join(values)}) VALUES ({places})", values)
    return int(cursor.lastrowid or 0)


def update(connection: sqlite3.Connection, table: str, row_id: int, values: Mapping[str, object]) -> None:
    """Give the row with that ID these values by column, inside the caller's transaction."""
    assignments = ", ".join(f"{column} = :{column}" for column in values)
    connection.execute(f"UPDATE {table} SET {assignments} WHERE id = :id", {**values, "id": row_id})


# Opening


def default_path() -> Path:
    """Return the path in WORK_ORDER_DB, or work_order.db beside this file. Raises DatabaseFileError."""
    named = os.environ.get("WORK_ORDER_DB")
    try:
        return Path(named).absolute() if named else Path(__file__).resolve().with_name("work_order.db")
    except OSError as error:
        raise DatabaseFileError(f"The current folder cannot be used: {error.strerror}.") from error


class Connection(sqlite3.Connection):
    """A connection that knows its file: the path, and which file that was when it was opened."""

    path: Path
    file: os.stat_result


def connect(path: Path, create: bool = False) -> Connection:
    """Open the database at the newest schema version; with `create`, make a missing one, for its owner alone.

    Raises DatabaseFileError for a file that is not a sound database of this program, and leaves it as it was, and
    ApplicationError where Python's SQLite lacks what the schema needs.
    """
    if sqlite3.sqlite_version_info < (3, 34):
        version = sqlite3.sqlite_version
        raise ApplicationError(f"This Python's SQLite {version} is older than 3.34; use another Python.")
    if create and not os.path.lexists(path):
        _create(path)
    _check_header(path)
    try:
        connection = open_file(path)
        try:
            if connection.file.st_size <= CHECKED_WHEN_OPENED_BYTES:
                (problem,) = connection.execute("PRAGMA quick_check(1)").fetchone()
                if problem != "ok":
                    raise sqlite3.DatabaseError(problem)
            connection.execute("PRAGMA journal_mode = DELETE")
            migrate(connection)
        except BaseException:
            connection.close()
            raise
    except (sqlite3.DatabaseError, UnicodeDecodeError) as error:
        if any(words in str(error) for words, _ in _FAULT_SENTENCES):
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
    connection.path, connection.file = path, path.stat()
    try:
        safety = "EXTRA"  # which flushes the folder too; where that is not possible, each save would fail
        with suppress(OSError):  # a broken disk, of which the next save tells
            safety = "EXTRA" if _flush(path.parent) else "FULL"
        for pragma in ("foreign_keys = ON", "cell_size_check = ON", f"synchronous = {safety}", "fullfsync = ON"):
            connection.execute(f"PRAGMA {pragma}")
        connection.execute(f"PRAGMA cache_size = {-CACHE_KIBIBYTES}")
    except BaseException:
        connection.close()
        raise
    return connection


def is_in_place(connection: Connection) -> bool:
    """Return whether the connection's path still leads to the file that was opened."""
    try:
        return os.path.samestat(connection.path.stat(), connection.file)
    except OSError:
        return False


def _create(path: Path) -> None:
    """Build a new database under another name and publish it whole, so that nobody ever meets half of one."""
    try:
        with partial_files(path) as (partial,):
            with closing(open_file(partial)) as connection:
                migrate(connection)
            with suppress(FileExistsError):  # another program that started now was faster
                publish(partial, path)
    except (OSError, sqlite3.OperationalError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise DatabaseFileError(f"{path} cannot be created: {reason}.") from error


def _check_header(path: Path) -> None:
    """Judge the file by its first 100 bytes, before SQLite touches it (https://www.sqlite.org/fileformat2.html)."""
    try:
        # Opening a pipe or a device would wait for somebody to write to it.
        if not path.is_file() and path.exists():
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
    if version > newest_version():
        raise DatabaseFileError(
            f"{path} comes from a newer version of this program (schema version {version}; "
            f"this one knows {newest_version()}). It was left as it was."
        )
    if version < BASELINE - 1:
        raise DatabaseFileError(
            f"{path} has schema version {version}, which is too old. It was left as it was; open it once with the "
            f"program of schema version {BASELINE - 1}, then with this one."
        )


# Backup and check


def back_up(connection: Connection, target: Path) -> Path:
    """Write a copy of the database to a new file, for its owner alone, and return its path once it is on the disk.

    Where the target exists, a number is added to its name. The copy is checked before it gets that name. Others can
    read while the pages are copied, but what they save waits. Raises OutputError if the copy cannot be written or is
    not sound; then there is no new file.
    """
    try:
        with _copy(connection, target) as copy:
            problems = find_problems(copy)
            if problems:
                raise OutputError(f"The copy is not sound ({problems[0]}); no backup was made. Check the database.")
            copy.close()
            return publish_numbered(copy.path, target)
    except OSError as error:
        raise OutputError(f"{target} cannot be written: {error.strerror}. No backup was made.") from error


def check(connection: Connection) -> List[str]:
    """Return what is wrong with a copy of the database: an empty list if it is sound. Raises as copied does."""
    with copied(connection) as copy:
        return find_problems(copy) or find_differences(copy)


@contextmanager
def copied(connection: Connection) -> Iterator[Connection]:
    """Yield a connection to a private copy of the database, which is removed at the end.

    What takes long to read is read there, so that nobody who saves waits for it. Raises OutputError without room.
    """
    with ExitStack() as opened:
        try:
            copy = opened.enter_context(_copy(connection, connection.path))
        except OSError as error:
            raise OutputError(f"A copy of the database cannot be written: {error.strerror}.") from error
        yield copy


@contextmanager
def _copy(connection: Connection, target: Path) -> Iterator[Connection]:
    """Yield a copy beside the target. It prints nothing: a stopped terminal would hold up everybody."""

    def step(status: int, *_: int) -> None:
        # SQLite has waited for the others already; Python would retry forever.
        if status in (_SQLITE_BUSY, _SQLITE_LOCKED):
            raise sqlite3.OperationalError("database is locked")

    with partial_files(target) as (partial,), closing(open_file(partial)) as copy:
        with snapshot(connection):
            # An open read keeps others from committing, which would make SQLite restart the copy.
            connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
            connection.backup(copy, pages=PAGES_PER_STEP, progress=step)
        yield copy


def find_problems(connection: sqlite3.Connection) -> List[str]:
    """Return the faults in the database's structure and references, none if it is sound."""
    problems = [str(line) for (line,) in connection.execute("PRAGMA integrity_check") if line != "ok"]
    references = connection.execute("PRAGMA foreign_key_check")
    problems += [f"row {row} of {table} refers to nothing" for table, row, _, _ in references]
    if schema_version(connection) < BASELINE:
        return problems  # version 9 has another search index
    try:
        connection.execute("INSERT INTO work_order_search (work_order_search) VALUES ('integrity-check')")
        left = connection.execute("SELECT rowid FROM work_order_search WHERE rowid NOT IN (SELECT id FROM work_orders)")
        problems += [f"the search index has a work order #{number} that there is not" for (number,) in left]
    except sqlite3.DatabaseError as error:
        problems.append(f"the search index is damaged ({error})")
    return problems


def find_differences(connection: sqlite3.Connection) -> List[str]:
    """Return a line for each work order whose derived columns differ from a fresh computation."""
    problems = []
    for (work_order_id,) in connection.execute("SELECT id FROM work_orders ORDER BY id"):
        derived, stored = _compute(connection, work_order_id)
        names = ", ".join(name for name, new, old in zip(Derived._fields, derived, stored) if new != old)
        if names:
            problems.append(f"Work order #{work_order_id}: the stored {names} differ from the computed ones.")
    return problems


# Files beside the database


def new_path(connection: Connection, kind: str, suffix: str) -> Path:
    """Return a dated name in a kind's folder (`exports/`) beside the database. Raises OutputError if that is a link."""
    folder = connection.path.with_name(f"{kind}s")
    try:
        if folder.is_symlink():
            raise OutputError(f"{folder} is a symbolic link; no {kind} was made.")
        folder.mkdir(mode=0o700, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{folder} cannot be created: {error.strerror}. No {kind} was made.") from error
    return folder / f"{connection.path.stem}-{_timestamp()}{suffix}"


@contextmanager
def partial_files(*targets: Path) -> Iterator[List[Path]]:
    """Make an empty file beside each target, all in one folder, for its owner alone, and remove them at the end.

    Files that killed programs left are removed once they are an hour old.
    """
    for path in targets[0].parent.glob(f".?*.{'[0-9a-f]' * 16}.partial*"):
        with suppress(OSError):  # on Windows one that is still open
            if time.time() - path.stat().st_mtime > 60 * 60:
                path.unlink()
    partials = [target.with_name(f".{target.name}.{os.urandom(8).hex()}.partial") for target in targets]
    try:
        for partial in partials:
            partial.touch(mode=0o600, exist_ok=False)
        yield partials
    finally:
        for partial in partials:
            for path in (partial, partial.with_name(f"{partial.name}-journal")):
                with suppress(OSError):  # it is not there, or a later program removes it
                    path.unlink()


def publish_numbered(partial: Path, target: Path) -> Path:
    """Give the finished file its name, with a number where that is taken, and return it. Raises OutputError."""
    _flush(partial)
    for path in (target, *(target.with_name(f"{target.stem}-{n}{target.suffix}") for n in range(2, 1000))):
        with suppress(FileExistsError):
            publish(partial, path)
            return path
    raise OutputError(f"{target} and many names like it are taken. Nothing was written.")


def publish(partial: Path, target: Path) -> None:
    """Give the finished file its name, whole and on the disk.

    Raises FileExistsError rather than replace a file, and OutputError, which names the file, if only its name may not
    have reached the disk.
    """
    try:
        os.link(partial, target)
    except OSError as error:
        if os.path.lexists(target):
            raise FileExistsError(f"{target} exists") from error
        partial.rename(target)  # on a file system without links
    try:
        _flush(target.parent)
    except OSError as error:
        raise OutputError(
            f"{target} was written, but its folder reported an error: {error.strerror}. Look whether it is there."
        ) from error


def _timestamp() -> str:
    return datetime.now().strftime("%Y-%m-%d-%H%M%S")


def _flush(path: Path) -> bool:
    """Wait until the file or folder is on the disk; return False for a folder that its file system cannot flush."""
    is_folder = path.is_dir()
    if is_folder and os.name == "nt":
        return True  # Windows flushes no folders
    descriptor = os.open(path, os.O_RDONLY if is_folder else os.O_RDWR)  # as Windows wants it for files
    try:
        os.fsync(descriptor)
    except OSError as error:
        if is_folder and error.errno in (errno.EINVAL, errno.ENOTSUP):  # as on network drives
            return False
        raise
    finally:
        os.close(descriptor)
    return True


# Command line


def run_command(command: Callable[[], Iterable[str]]) -> int:
    """Run a module's command and return the exit code: 0 after its lines, 1 after a line that says what failed."""
    try:
        lines = command()
    except EXPECTED_FAULTS as fault:
        reason = explain(fault)
    except (KeyboardInterrupt, EOFError, UnicodeError):
        reason = "Nothing was changed."
    else:
        with suppress(OSError, AttributeError):  # nobody may be there to read it
            sys.stdout.reconfigure(errors="replace")  # type: ignore[union-attr]
            print(*map(printable, lines), sep="\n", flush=True)
        return 0
    with suppress(OSError):
        print(f"Error: {printable(reason)}", file=sys.stderr)
    return 1


def main() -> List[str]:
    """Create the database if need be, and return its path and its schema version in words."""
    path = default_path()
    connect(path, create=True).close()
    return [f"Database: {path}", f"Schema version: {newest_version()}"]


if __name__ == "__main__":
    os._exit(run_command(main))
