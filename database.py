"""The SQLite database: where it is, how it is opened, its schema and its transactions.

`python database.py` creates the database and prints its path and its schema version.
"""

import contextlib
import os
import sqlite3
import sys
import unicodedata
from contextlib import contextmanager
from datetime import datetime, timezone
from pathlib import Path
from typing import Callable, Iterable, Iterator, List, Optional, Sequence, Tuple

APPLICATION_ID = 0x574F524B  # "WORK" in ASCII; https://www.sqlite.org/fileformat2.html#application_id
BUSY_SECONDS = 10
PAGES_PER_STEP = 10_000  # of a backup: 40 MB
_SQLITE_BUSY, _SQLITE_LOCKED = 5, 6  # https://www.sqlite.org/rescode.html
# quick_check reads the whole file: 16 MiB take the blink of an eye, while a large database must still open at once.
CHECKED_WHEN_OPENED_BYTES = 16 * 1024 * 1024


# Errors


class ApplicationError(Exception):
    """An expected failure; its message is a complete sentence for the user."""


class BackupError(ApplicationError):
    """No backup was made."""


class DatabaseFileError(ApplicationError):
    """The database file is missing, foreign, damaged or from a newer version; it was left as it was."""


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
)
_DAMAGE = ("malformed", "not a database")


def explain(fault: Exception) -> str:
    """Return the finished sentence for the person about any of the EXPECTED_FAULTS."""
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
    return "".join(map(_printable_character, text))


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
            ON CONFLICT DO UPDATE SET total = total + 1;
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
            ON CONFLICT DO UPDATE SET total = total + 1;
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

# PRAGMA user_version counts these. A migration that has landed is never edited: the next change is a new one.
MIGRATIONS: Tuple[Sequence[str], ...] = (_INITIAL_SCHEMA, _DAILY_WORK, _GUESSING)


def schema_version(connection: sqlite3.Connection) -> int:
    """Return how many migrations the database has had."""
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    return int(version)


def migrate(connection: sqlite3.Connection, migrations: Sequence[Sequence[str]] = MIGRATIONS) -> None:
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


def _back_up_before_migration(connection: sqlite3.Connection, version: int) -> None:
    path = _path(connection)
    reader = sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)  # what holds the lock cannot be copied from
    try:
        back_up(reader, path.with_name(f"{path.name}.version-{version}.{_timestamp()}"))
    finally:
        reader.close()


# Transactions


@contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """Commit everything written inside when the block ends, or nothing if it raises.

    Raises sqlite3.OperationalError if others hold the database for BUSY_SECONDS.
    """
    connection.execute("BEGIN IMMEDIATE")
    with _ended_by_commit(connection):
        yield


@contextmanager
def snapshot(connection: sqlite3.Connection) -> Iterator[None]:
    """Read everything inside from one moment; nothing may be written in it. Raises as transaction does."""
    connection.execute("BEGIN")
    with _ended_by_commit(connection):
        yield


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


def connect(path: Path, create: bool = False) -> sqlite3.Connection:
    """Open the database at the newest schema version; with `create`, make a missing one, for its owner alone.

    Raises DatabaseFileError for a file that is not a sound database of this program, and leaves it as it was, and
    ApplicationError where Python's SQLite lacks what the schema needs.
    """
    _check_sqlite()
    if create:
        _create_file(path)
    _check_header(path)
    connection = sqlite3.connect(f"{path.as_uri()}?mode=rw", uri=True, timeout=BUSY_SECONDS, isolation_level=None)
    try:
        connection.row_factory = sqlite3.Row
        connection.create_function("casefold", 1, str.casefold, deterministic=True)
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute("PRAGMA cell_size_check = ON")
        connection.execute("PRAGMA synchronous = EXTRA")
        _check_content(connection, path)
        connection.execute("PRAGMA journal_mode = DELETE")
        migrate(connection)
    except (sqlite3.DatabaseError, UnicodeDecodeError) as error:
        connection.close()
        if any(words in str(error) for words, _ in _PASSING_FAULTS):
            raise
        reason = " ".join(str(error).split())
        raise DatabaseFileError(f"{path} is damaged ({reason}). Restore it from a backup.") from error
    except BaseException:
        connection.close()
        raise
    return connection


def _check_sqlite() -> None:
    memory = sqlite3.connect(":memory:")
    (has_full_text_search,) = memory.execute("SELECT sqlite_compileoption_used('ENABLE_FTS5')").fetchone()
    memory.close()
    if sqlite3.sqlite_version_info < (3, 34) or not has_full_text_search:
        raise ApplicationError(
            f"This Python's SQLite {sqlite3.sqlite_version} is older than 3.34 or lacks the full-text search FTS5; "
            "use another Python."
        )


def _create_file(path: Path) -> None:
    try:
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
    except FileExistsError:
        pass
    except OSError as error:
        raise DatabaseFileError(f"{path} cannot be created: {error.strerror}.") from error


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
        return
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


def _check_content(connection: sqlite3.Connection, path: Path) -> None:
    connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    if path.stat().st_size <= CHECKED_WHEN_OPENED_BYTES:
        (problem,) = connection.execute("PRAGMA quick_check(1)").fetchone()
        if problem != "ok":
            raise sqlite3.DatabaseError(problem)


# Backup and check


def new_backup_path(connection: sqlite3.Connection) -> Path:
    """Return where the next backup of the database goes: a dated name in backups/ beside it.

    Raises BackupError if that folder is a link or cannot be made.
    """
    path = _path(connection)
    folder = path.with_name("backups")
    try:
        if folder.is_symlink():
            raise BackupError(f"{folder} is a symbolic link; no backup was made.")
        folder.mkdir(mode=0o700, exist_ok=True)
    except OSError as error:
        raise BackupError(f"{folder} cannot be created: {error.strerror}. No backup was made.") from error
    return folder / f"{path.stem}-{_timestamp()}.db"


def back_up(
    connection: sqlite3.Connection, target: Path, progress: Optional[Callable[[int, int, int], None]] = None
) -> None:
    """Write a copy of the database to a new file, for its owner alone, check it and flush it to the disk.

    Others go on reading; what they write waits until the pages are copied. `progress` is called with SQLite's status,
    the pages left and all pages. Raises BackupError if the file exists, or the copy cannot be written or is not sound;
    then there is no such file.
    """
    partial = target.with_name(f".{target.name}.{os.getpid()}.partial")
    try:
        os.close(os.open(partial, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
        try:
            _copy(connection, partial, progress)
            os.close(os.open(target, os.O_CREAT | os.O_EXCL, 0o600))  # so that no file is ever replaced
            partial.replace(target)
            _flush(target.parent)
        finally:
            partial.unlink(missing_ok=True)
    except OSError as error:
        raise BackupError(f"{target} cannot be written: {error.strerror}. No backup was made.") from error


def _copy(
    connection: sqlite3.Connection, target: Path, progress: Optional[Callable[[int, int, int], None]] = None
) -> None:
    """Copy the database to the empty file, and check and flush the copy. Raises BackupError if it is not sound."""

    def step(status: int, remaining: int, total: int) -> None:
        # SQLite has waited for the others already; Python would retry forever.
        if status in (_SQLITE_BUSY, _SQLITE_LOCKED):
            raise sqlite3.OperationalError("database is locked")
        if progress:
            progress(status, remaining, total)

    copy = sqlite3.connect(target, isolation_level=None)
    try:
        with snapshot(connection):
            # An open read keeps others from committing, which would make SQLite restart the copy.
            connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
            connection.backup(copy, pages=PAGES_PER_STEP, progress=step)
        problems = find_problems(copy)
    finally:
        copy.close()
    if problems:
        raise BackupError(f"The copy is not sound ({problems[0]}); no backup was made. Check the database.")
    _flush(target)


def find_problems(connection: sqlite3.Connection) -> List[str]:
    """Return what is wrong with the database's structure and references: an empty list if it is sound."""
    structure = [str(line) for (line,) in connection.execute("PRAGMA integrity_check").fetchall()]
    references = connection.execute("PRAGMA foreign_key_check").fetchall()
    return [
        *(line for line in structure if line != "ok"),
        *(f"row {row} of {table} refers to nothing" for table, row, _, _ in references),
    ]


def _path(connection: sqlite3.Connection) -> Path:
    _, _, path = connection.execute("PRAGMA database_list").fetchone()
    return Path(path)


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
