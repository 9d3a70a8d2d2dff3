"""Accounts: rights, sessions, registration, passwords, the ledgers of what was done, and mail.

`python users.py NAME` sets a new password for an account.
"""

import base64
import hashlib
import hmac
import math
import os
import re
import sqlite3
import string
import sys
import time
import unicodedata
from contextlib import closing, contextmanager, suppress
from datetime import datetime, timedelta, timezone
from enum import Enum, IntEnum
from pathlib import Path
from typing import (
    TYPE_CHECKING,
    BinaryIO,
    Callable,
    Dict,
    Iterable,
    Iterator,
    List,
    Mapping,
    NamedTuple,
    NoReturn,
    Optional,
    Sequence,
    Set,
    Tuple,
    TypeVar,
    Union,
)

import database
from database import ApplicationError, Connection, now, snapshot, transaction, utc_text

if TYPE_CHECKING:
    import smtplib
    import socket
    import threading

T = TypeVar("T")

COUNTED_AT_MOST = 1_000  # of what is counted row by row
ME, NOBODY, NONE, ANY = "me", "nobody", "none", "any"
RESERVED_USERNAMES = frozenset({ME, NOBODY, NONE, ANY})

# OWASP Password Storage Cheat Sheet: scrypt with N=2^15, r=8, p=3, or PBKDF2-HMAC-SHA256 with 600,000 iterations.
SCRYPT_LOG_N, SCRYPT_R, SCRYPT_P = 15, 8, 3
PBKDF2_ITERATIONS = 600_000
# Far beyond what we write: a stored hash that asks for more would stop the machine rather than check a password.
_MAXIMUM_LOG_N, _MAXIMUM_R, _MAXIMUM_P, _MAXIMUM_ITERATIONS = 18, 16, 16, 10_000_000

# Failures of a name before it has to wait: those from one client, and those from all clients together.
FREE_FAILURES, FREE_FAILURES_OF_ALL = 5, 50
FIRST_WAIT_SECONDS, LONGEST_WAIT_SECONDS = 30, 15 * 60
FAILURES_COUNT_FOR, CLIENTS_COUNT_FOR = timedelta(days=1), timedelta(days=30)
_LOCKED = "An account is locked for up to 15 minutes after five failed attempts."

NAMED_AT_MOST = 10  # by a message that says what can be chosen
MERGED_SECONDS = 60
# An attempt to send, and the attempts to record that it was sent, take less than a claim lasts.
ATTEMPT_SECONDS, RECORDING_ATTEMPTS, CLAIM_SECONDS = 120, 6, 300
FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS, RETRIED_FOR = 60, 4 * 60 * 60, timedelta(days=3)
TEST_SECONDS = 10
# For how long sending may hold up a prompt or the end of the program, and its last part, in which no message is begun.
PROMPT_SECONDS, LAST_SECONDS = 0.6, 0.3
MAILER_SECONDS = 60  # between looking for messages whose pause is over
POLL_SECONDS = 0.05  # between looking whether to stop waiting for a server
LONGEST_REASON, LONGEST_CREDENTIAL = 300, 1000
LONGEST_DIALOGUE = 200  # lines that a server may send in reply to a message: it needs about 10


# Errors


class InvalidInputError(ApplicationError):
    """The answer is not acceptable; the same question may be asked again."""


class PermissionDeniedError(ApplicationError):
    """The account may not do this."""


class AuthenticationError(ApplicationError):
    """The name and password do not match an account that may be used."""


class SessionEndedError(ApplicationError):
    """The account behind the session was deactivated, or its password was changed elsewhere."""


# Input


def plain_text(text: str) -> str:
    """Return the text in Unicode's form NFC, with line feeds as line ends, without space around it.

    Raises InvalidInputError for what is not text.
    """
    if "\0" in text or any("\ud800" <= character <= "\udfff" for character in text):
        raise InvalidInputError("A text cannot contain NUL or an incomplete character.")
    return unicodedata.normalize("NFC", text).replace("\r\n", "\n").strip()


def parse_choice(choices: Sequence[T], text: str, describe: Callable[[T], str] = str) -> T:
    """Return the choice with that number, name or unambiguous beginning. Raises InvalidInputError."""
    numbers = [str(number) for number in range(1, len(choices) + 1)]
    if text in numbers:
        return choices[numbers.index(text)]
    return parse_name(choices, text, describe, f"a number from 1 to {len(choices)} or ")


def parse_name(choices: Sequence[T], text: str, describe: Callable[[T], str] = str, accepted: str = "") -> T:
    """Return the choice with that name or unambiguous beginning.

    Raises InvalidInputError, which says what else is `accepted` and names the first ten that are possible.
    """
    names = [describe(choice) for choice in choices]
    lowered = [name.lower() for name in names]
    if text.lower() in lowered:
        return choices[lowered.index(text.lower())]
    possible = [number for number, name in enumerate(lowered) if name.startswith(text.lower())]
    if len(possible) == 1:
        return choices[possible[0]]
    known = [names[number] for number in possible] or names
    more = f" and {len(known) - NAMED_AT_MOST:,} more" if len(known) > NAMED_AT_MOST else ""
    raise InvalidInputError(f"Answer with {accepted}one of: {', '.join(known[:NAMED_AT_MOST])}{more}.")


def optional(parse: Callable[[str], T]) -> Callable[[str], Optional[T]]:
    """Return what parses the value of a filter, None for `any`."""
    return lambda text: None if text.lower() == ANY else parse(text)


def parse_yes_or_no(text: str) -> bool:
    """Return True for `yes` or a beginning of it, False for `no`. Raises InvalidInputError."""
    for answer in ("yes", "no"):
        if answer.startswith(text.lower()):
            return answer == "yes"
    raise InvalidInputError("Answer yes or no.")


# Roles and rights


class Role(str, Enum):
    USER = "user"
    MANAGER = "manager"
    ADMIN = "admin"

    @property
    def with_article(self) -> str:
        """The role in a sentence: a user, an admin."""
        return f"{'an' if self is Role.ADMIN else 'a'} {self}"

    def __str__(self) -> str:
        return self.value


class Action(Enum):
    """What a role may be allowed to do."""

    CREATE = "create a work order"
    VIEW = "see work orders"
    CHANGE_STATUS = "change the status"
    EDIT = "edit the title, description, priority or category"
    NAME_CATEGORY = "name a new category"
    CHANGE_REQUESTER = "change the requester"
    COMMENT = "comment"
    ASSIGN = "assign a work order"
    SET_DUE_DATE = "set a due date"
    SUMMARY = "see the summary"
    REPORTS = "see reports"
    SERVICE_TARGETS = "change the service targets"
    DELETE = "delete a work order"
    RESTORE = "see and restore deleted work orders"
    MANAGE_USERS = "manage users"
    EXPORT = "export work orders"
    IMPORT = "import work orders"
    AUDIT = "see the audit log"
    BACK_UP = "back up or check the database"
    MAIL = "set up mail or see what waits to be sent"
    OWN_ACCOUNT = "change one's own account"


class Scope(Enum):
    """For which work orders a role may take an action."""

    NONE = "none"
    OWN_UNFINISHED = "one's own, until finished"
    OWN = "one's own"
    ALL = "all"


RIGHTS: Mapping[Action, Mapping[Role, Scope]] = {
    action: dict(zip(Role, scopes))
    for action, scopes in {
        # for a user, a manager, an admin
        Action.CREATE: (Scope.ALL, Scope.ALL, Scope.ALL),
        Action.VIEW: (Scope.OWN, Scope.ALL, Scope.ALL),
        Action.CHANGE_STATUS: (Scope.OWN, Scope.ALL, Scope.ALL),
        Action.EDIT: (Scope.OWN_UNFINISHED, Scope.ALL, Scope.ALL),
        Action.NAME_CATEGORY: (Scope.NONE, Scope.ALL, Scope.ALL),
        Action.CHANGE_REQUESTER: (Scope.NONE, Scope.ALL, Scope.ALL),
        Action.COMMENT: (Scope.OWN, Scope.ALL, Scope.ALL),
        Action.ASSIGN: (Scope.NONE, Scope.ALL, Scope.ALL),
        Action.SET_DUE_DATE: (Scope.NONE, Scope.ALL, Scope.ALL),
        Action.SUMMARY: (Scope.ALL, Scope.ALL, Scope.ALL),
        Action.REPORTS: (Scope.NONE, Scope.ALL, Scope.ALL),
        Action.SERVICE_TARGETS: (Scope.NONE, Scope.NONE, Scope.ALL),
        Action.EXPORT: (Scope.NONE, Scope.ALL, Scope.ALL),
        Action.IMPORT: (Scope.NONE, Scope.NONE, Scope.ALL),
        Action.RESTORE: (Scope.NONE, Scope.NONE, Scope.ALL),
        Action.DELETE: (Scope.NONE, Scope.NONE, Scope.ALL),
        Action.MANAGE_USERS: (Scope.NONE, Scope.NONE, Scope.ALL),
        Action.AUDIT: (Scope.NONE, Scope.NONE, Scope.ALL),
        Action.BACK_UP: (Scope.NONE, Scope.NONE, Scope.ALL),
        Action.MAIL: (Scope.NONE, Scope.NONE, Scope.ALL),
        Action.OWN_ACCOUNT: (Scope.ALL, Scope.ALL, Scope.ALL),
    }.items()
}


# Sessions


class User(NamedTuple):
    """A row of users; created_at is UTC."""

    id: int
    username: str
    role: Role
    email: Optional[str]
    is_active: bool
    created_at: datetime
    must_change_password: bool
    password_version: int


class Session:
    """Somebody signed in on a connection, for as long as the account is active and its password stays the same.

    What others have changed since the account's last login has a history id above `seen_history_id`.
    """

    def __init__(self, connection: Connection, user_id: int, password_version: int, seen_history_id: int = 0) -> None:
        self.connection = connection
        self.user_id = user_id
        self.password_version = password_version
        self.seen_history_id = seen_history_id


def current_user(session: Session) -> User:
    """Return the account behind the session as it stands now. Raises SessionEndedError."""
    row = session.connection.execute(_SELECT_USERS + "WHERE id = ?", (session.user_id,)).fetchone()
    if row is None:
        raise SessionEndedError("You are logged out: your account no longer exists.")
    user = _user(row)
    if not user.is_active:
        raise SessionEndedError("You are logged out: your account has been deactivated.")
    if user.password_version != session.password_version:
        raise SessionEndedError("You are logged out: your password has been changed. Log in with the new one.")
    return user


def scope(user: User, action: Action) -> Scope:
    """Return for which work orders the user's role may take the action."""
    return RIGHTS[action][user.role]


def may(user: User, action: Action) -> bool:
    """Return whether the user's role may take the action, for some work orders at least."""
    return scope(user, action) is not Scope.NONE


def authorize(session: Session, action: Action) -> User:
    """Return the account behind the session if it may take the action, for some work orders at least.

    To be called inside the transaction that does the work. Raises SessionEndedError or PermissionDeniedError.
    """
    user = current_user(session)
    if user.must_change_password and action is not Action.OWN_ACCOUNT:
        raise PermissionDeniedError("Change your one-time password first.")
    if not may(user, action):
        deny(user, action)
    return user


def deny(user: User, action: Action) -> NoReturn:
    """Raise the PermissionDeniedError that says that the user's role may not do this."""
    raise PermissionDeniedError(f"Your role ({user.role}) does not let you {action.value}.")


_SELECT_USERS = """
    SELECT id, username, role, email, is_active, created_at, must_change_password, password_version, password_hash
    FROM users
"""


def _user(row: sqlite3.Row) -> User:
    return User(
        id=row["id"],
        username=row["username"],
        role=Role(row["role"]),
        email=row["email"],
        is_active=bool(row["is_active"]),
        created_at=datetime.fromisoformat(row["created_at"]),
        must_change_password=bool(row["must_change_password"]),
        password_version=row["password_version"],
    )


# People: which account a text means


def find(connection: Connection, username: str) -> User:
    """Return the account with that username, in any case of letters. Raises InvalidInputError if there is none."""
    row = connection.execute(_SELECT_USERS + "WHERE username = ?", (username.lower(),)).fetchone()
    if row is None:
        raise InvalidInputError(f"There is no user {username[:32]}.")
    return _user(row)


def find_assignee(connection: Connection, username: str) -> User:
    """Return the account with that username if it can be an assignee: an active manager or admin.

    Raises InvalidInputError.
    """
    user = find(connection, username)
    if not user.is_active or user.role is Role.USER:
        raise InvalidInputError(f"An assignee is an active manager or admin; {user.username} is not.")
    return user


def find_requester(connection: Connection, username: str) -> User:
    """Return the account with that username if it can be a requester: an active one. Raises InvalidInputError."""
    user = find(connection, username)
    if not user.is_active:
        raise InvalidInputError(f"User {user.username} is deactivated; a requester must have an active account.")
    return user


def parse_user(session: Session, text: str) -> User:
    """Return the account that an admin means by its username, the beginning of one, or `me`.

    Raises InvalidInputError, PermissionDeniedError to all but admins.
    """
    authorize(session, Action.MANAGE_USERS)
    return find(session.connection, _username(session, text, "1"))


def parse_assignee(session: Session, text: str) -> Optional[str]:
    """Return the username of the assignee that the text means: a username, the beginning of one, or `me`.

    `nobody` is None. Raises InvalidInputError, PermissionDeniedError to those who may not assign.
    """
    authorize(session, Action.ASSIGN)
    name = text.lower()
    if name == NOBODY or (
        NOBODY.startswith(name) and not any(each.username.startswith(name) for each in list_assignees(session))
    ):
        return None
    username = _username(session, text, "is_active = 1 AND role <> 'user'")
    return find_assignee(session.connection, username).username


def parse_requester(session: Session, text: str) -> str:
    """Return the username of the requester that the text means: a username, the beginning of one, or `me`.

    Raises InvalidInputError, PermissionDeniedError to those who may not change a requester.
    """
    authorize(session, Action.CHANGE_REQUESTER)
    return find_requester(session.connection, _username(session, text, "is_active = 1")).username


def parse_person(session: Session, text: str) -> str:
    """Return the username that a filter means: a username, the beginning of one, or `me`.

    Raises InvalidInputError; to those who see only their own work orders it does not tell which accounts there are.
    """
    if scope(authorize(session, Action.VIEW), Action.VIEW) is not Scope.ALL and text.lower() != ME:
        return parse_username(text)
    return find(session.connection, _username(session, text, "1")).username


def parse_assignee_filter(session: Session, text: str) -> str:
    """Return the username of an assignee to filter by, as parse_person does, or `nobody`. Raises InvalidInputError."""
    try:
        return NOBODY if text.lower() == NOBODY else parse_person(session, text)
    except InvalidInputError:
        if NOBODY.startswith(text.lower()):
            return NOBODY
        raise


def has_others(session: Session) -> bool:
    """Return whether there is another active account than the session's."""
    (has_others,) = session.connection.execute(
        "SELECT EXISTS (SELECT 1 FROM users WHERE is_active = 1 AND id <> ?)", (session.user_id,)
    ).fetchone()
    return bool(has_others)


class Assignee(NamedTuple):
    """Somebody to whom work orders can be assigned, and how many unfinished ones they have.

    Above COUNTED_AT_MOST they were not counted.
    """

    username: str
    unfinished: int


def list_assignees(session: Session) -> List[Assignee]:
    """Return the active managers and admins by username. Raises PermissionDeniedError to those who may not assign."""
    with snapshot(session.connection):
        authorize(session, Action.ASSIGN)
        rows = session.connection.execute(
            f"""
            SELECT username, (SELECT count(*) FROM ({_UNFINISHED} LIMIT {COUNTED_AT_MOST + 1})) AS unfinished
            FROM users WHERE is_active = 1 AND role <> 'user' ORDER BY username
            """
        ).fetchall()
    return [Assignee(row["username"], row["unfinished"]) for row in rows]


def count_assigned(session: Session, user: User) -> int:
    """Return how many unfinished work orders are assigned to the account. Raises as list_users does."""
    with snapshot(session.connection):
        authorize(session, Action.MANAGE_USERS)
        row = session.connection.execute(
            f"SELECT (SELECT count(*) FROM ({_UNFINISHED})) AS unfinished FROM users WHERE id = ?", (user.id,)
        ).fetchone()
    return int(row["unfinished"])


_UNFINISHED = "SELECT 1 FROM work_orders WHERE assignee_id = users.id AND urgency < 4 AND deleted_at IS NULL"


def _username(session: Session, text: str, condition: str) -> str:
    """Return the username that equals the text or, among the accounts that meet the condition, begins with it."""
    name = text.lower()
    if name == ME:
        return current_user(session).username
    rows = session.connection.execute(
        f"""
        SELECT username FROM users
        WHERE username = :name OR (username > :name AND username < :name || '{{' AND {condition})
        ORDER BY username LIMIT 6
        """,
        {"name": name},
    ).fetchall()
    usernames = [row["username"] for row in rows]
    if len(usernames) > 1 and name not in usernames:
        raise InvalidInputError(f"More than one username begins with {name[:32]}: {', '.join(usernames)}.")
    return name if name in usernames or not usernames else usernames[0]


# Registration and login


def parse_username(text: str) -> str:
    """Return the username in lower case. Raises InvalidInputError."""
    if not re.fullmatch(r"[A-Za-z0-9._-]{2,32}", text):
        raise InvalidInputError("A username has 2 to 32 characters: a-z, 0-9, dot, underscore and hyphen.")
    if text.lower() in RESERVED_USERNAMES:
        raise InvalidInputError(f"The username {text.lower()} is reserved.")
    return text.lower()


def parse_new_username(connection: Connection, text: str) -> str:
    """Return the username in lower case if a new account can have it. Raises InvalidInputError."""
    username = parse_username(text)
    if connection.execute("SELECT 1 FROM users WHERE username = ?", (username,)).fetchone():
        raise InvalidInputError(f"The username {username} is taken; choose another one.")
    return username


def needs_approval(connection: Connection, role: Role) -> bool:
    """Return whether an account of this role can only be registered with an admin's name and password."""
    return role is not Role.USER and _has_active_admin(connection)


def register(
    connection: Connection,
    username: str,
    password: str,
    role: Role,
    approval: Optional[Tuple[str, str]] = None,
) -> User:
    """Create an account and return it; `approval` is an admin's name and password.

    While there is an active admin, a manager or admin account needs the approval. Raises InvalidInputError for the
    username or password, AuthenticationError for a missing or wrong approval; then nothing is created.
    """
    username = parse_new_username(connection, username)
    password_hash = _hash(parse_password(password, username))
    approver = _authenticated(connection, *approval) if approval else None
    try:
        with transaction(connection):
            approved_by = _approving_admin(connection, approver) if needs_approval(connection, role) else None
            user = _insert(connection, username, password_hash, role, must_change_password=False)
            audit(connection, user.id, "registered", f"{username} as {role}", user.id)
            if approved_by:
                _clear_failures(connection, approved_by.username, _client())
                audit(connection, approved_by.id, "registration approved", f"{username} as {role}", user.id)
    except AuthenticationError:
        with transaction(connection):
            asked, asked_id = _known_name(connection, approval[0]) if approval else (NOBODY, None)
            audit(connection, None, "approval failed", f"{asked} for {username} as {role}", asked_id)
        raise
    return user


def log_in(connection: Connection, username: str, password: str) -> Session:
    """Return a new session for the active account of that name and password.

    Raises AuthenticationError, in the same words and after the same work whether the name is unknown, the account is
    deactivated or locked, or the password is wrong. A hash with outdated parameters is replaced.
    """
    user = _authenticated(connection, username, password)
    new_hash = _hash(password) if user and _is_outdated(_password_hash(connection, user)) else None
    with transaction(connection):
        if user and user.is_active and find(connection, user.username) == user:
            if new_hash:
                connection.execute("UPDATE users SET password_hash = ? WHERE id = ?", (new_hash, user.id))
            _clear_failures(connection, user.username, _client())
            _remember_client(connection, user)
            audit(connection, user.id, "logged in", user.username, user.id)
            return Session(connection, user.id, user.password_version, _see_history(connection, user))
        audit(connection, None, "login failed", *_known_name(connection, username))
    raise AuthenticationError(f"The username or the password is wrong. {_LOCKED}")


def _see_history(connection: Connection, user: User) -> int:
    """Mark the history as seen up to now, and return up to where it was before."""
    (seen_before,) = connection.execute("SELECT seen_history_id FROM users WHERE id = ?", (user.id,)).fetchone()
    connection.execute(
        "UPDATE users SET seen_history_id = (SELECT coalesce(max(id), 0) FROM work_order_history) WHERE id = ?",
        (user.id,),
    )
    return int(seen_before)


def _has_active_admin(connection: Connection) -> bool:
    (has_one,) = connection.execute(
        "SELECT EXISTS (SELECT 1 FROM users WHERE role = 'admin' AND is_active = 1)"
    ).fetchone()
    return bool(has_one)


def _approving_admin(connection: Connection, approver: Optional[User]) -> User:
    if (
        approver is None
        or approver.role is not Role.ADMIN
        or not approver.is_active
        or approver.must_change_password
        or find(connection, approver.username) != approver
    ):
        raise AuthenticationError(f"The admin's username or password is wrong. Nothing was created. {_LOCKED}")
    return approver


def _insert(connection: Connection, username: str, password_hash: str, role: Role, must_change_password: bool) -> User:
    username = parse_new_username(connection, username)
    _clear_failures(connection, username)
    connection.execute(
        """
        INSERT INTO users (username, password_hash, role, created_at, must_change_password, seen_history_id)
        VALUES (?, ?, ?, ?, ?, (SELECT coalesce(max(id), 0) FROM work_order_history))
        """,
        (username, password_hash, role, now(), must_change_password),
    )
    return find(connection, username)


def username_from_name(name: str) -> str:
    """Return the username that a name stands for: itself, or the name without accents and in lower case.

    Each run of other characters becomes a dot: `Anna Maria Ü.` is anna.maria.u. Raises InvalidInputError if the result
    is not a username.
    """
    if re.fullmatch(r"[A-Za-z0-9._-]{2,32}", name):
        return parse_username(name)
    letters = "".join(each for each in unicodedata.normalize("NFKD", name) if not unicodedata.combining(each))
    username = re.sub(r"[^a-z0-9_-]+", ".", letters.lower()).strip(".")[:32]
    try:
        return parse_username(username)
    except InvalidInputError as error:
        raise InvalidInputError(f'No username can be made from the name "{name[:40]}". {error}') from error


def add_deactivated(connection: Connection, admin: User, accounts: Iterable[Tuple[int, str]]) -> None:
    """Create deactivated accounts, with the role user, with these ids and usernames, inside the caller's transaction.

    No password fits them: once reactivated, they need a new one. Raises sqlite3.IntegrityError for a username in use.
    """
    password_hash = _encoded(_parameters(), os.urandom(16), os.urandom(32))
    for user_id, username in accounts:
        connection.execute(
            """
            INSERT INTO users
                (id, username, password_hash, role, is_active, created_at, must_change_password, seen_history_id)
            VALUES (?, ?, ?, ?, 0, ?, 1, (SELECT coalesce(max(id), 0) FROM work_order_history))
            """,
            (user_id, username, password_hash, Role.USER, now()),
        )
        audit(connection, admin.id, "user added", f"{username} as {Role.USER}, deactivated", user_id)


def _known_name(connection: Connection, username: str) -> Tuple[str, Optional[int]]:
    """Return the name and id for the audit log; an unknown name may be a password that was typed a line too early."""
    row = connection.execute("SELECT username, id FROM users WHERE username = ?", (username.lower(),)).fetchone()
    return (row["username"], row["id"]) if row else ("an unknown name", None)


# One's own account


def parse_email(text: str) -> Optional[str]:
    """Return the address, or None for `none`. Raises InvalidInputError for anything but one plain address."""
    if text.lower() == NONE:
        return None
    # The form that HTML's email fields take, RFC 5321's length: https://html.spec.whatwg.org/#valid-e-mail-address
    if len(text) > 254 or not re.fullmatch(r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]+@[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)+", text):
        raise InvalidInputError("An email is one plain address such as ada@example.org, or none.")
    return text


def change_email(session: Session, email: Optional[str]) -> None:
    """Give one's own account another email address, or none. Raises InvalidInputError."""
    email = parse_email(email or NONE)
    with transaction(session.connection):
        user = authorize(session, Action.OWN_ACCOUNT)
        session.connection.execute("UPDATE users SET email = ? WHERE id = ?", (email, user.id))
        audit(session.connection, user.id, "email changed", user.username, user.id)


def change_password(session: Session, current: str, new: str) -> None:
    """Give one's own account a new password; this session continues, the account's others end.

    Raises AuthenticationError if `current` is wrong, InvalidInputError if `new` is unfit or the same.
    """
    connection = session.connection
    user = authorize(session, Action.OWN_ACCOUNT)
    if _authenticated(connection, user.username, current) != user:
        record_refusal(session, "wrong current password")
        raise AuthenticationError(f"The current password is wrong. {_LOCKED}")
    new_hash = _hash(parse_password(new, user.username, current))
    with transaction(connection):
        authorize(session, Action.OWN_ACCOUNT)
        _set_password(connection, user, new_hash, must_change_password=False)
        _clear_failures(connection, user.username, _client())
        audit(connection, user.id, "password changed", user.username, user.id)
    session.password_version = user.password_version + 1


def set_password(connection: Connection, username: str, password: str) -> User:
    """Give the account a new password from outside the menus, for whoever may write the database file; return it.

    The account is unlocked, and its sessions end. Raises InvalidInputError.
    """
    user = find(connection, username)
    password_hash = _hash(parse_password(password, user.username))
    with transaction(connection):
        _set_password(connection, user, password_hash, must_change_password=False)
        _clear_failures(connection, user.username)
        audit(connection, None, "password set from outside", user.username, user.id)
    return user


# Managing users


def list_users(session: Session, after: Optional[User] = None, limit: int = -1) -> List[User]:
    """Return up to `limit` (-1: all) accounts that follow `after`, by username.

    Raises PermissionDeniedError to all but admins.
    """
    with snapshot(session.connection):
        authorize(session, Action.MANAGE_USERS)
        rows = session.connection.execute(
            _SELECT_USERS + "WHERE username > ? ORDER BY username LIMIT ?", (after.username if after else "", limit)
        ).fetchall()
    return list(map(_user, rows))


def describe_state(user: User) -> str:
    """Return in words whether the account can be used."""
    if not user.is_active:
        return "deactivated"
    return "one-time password" if user.must_change_password else "active"


def add_user(session: Session, username: str, role: Role) -> str:
    """Create an account for somebody else and return its one-time password, which must be changed at the first login.

    Raises InvalidInputError for the username, PermissionDeniedError to all but admins.
    """
    one_time_password = _one_time_password()
    password_hash = _hash(one_time_password)
    with transaction(session.connection):
        admin = authorize(session, Action.MANAGE_USERS)
        user = _insert(session.connection, username, password_hash, role, must_change_password=True)
        audit(session.connection, admin.id, "user added", f"{user.username} as {role}", user.id)
    return one_time_password


def change_role(session: Session, username: str, role: Role) -> int:
    """Give the account another role; return how many unfinished work orders a new user was assigned and lost.

    Raises PermissionDeniedError to all but admins and for the last active admin, InvalidInputError for an unknown name
    and for the role that the account already has.
    """
    with transaction(session.connection):
        admin = authorize(session, Action.MANAGE_USERS)
        user = find(session.connection, username)
        if user.role is role:
            raise InvalidInputError(f"The role of {user.username} is already {role}.")
        _refuse_losing_last_admin(session.connection, user)
        session.connection.execute("UPDATE users SET role = ? WHERE id = ?", (role, user.id))
        audit(session.connection, admin.id, "role changed", f"{user.username} from {user.role} to {role}", user.id)
        return release_work_orders(session.connection, admin, user_id=user.id)


def reset_password(session: Session, username: str) -> str:
    """Replace the account's password with a one-time password and return that; the account's sessions end.

    Raises PermissionDeniedError to all but admins, InvalidInputError for an unknown name.
    """
    one_time_password = _one_time_password()
    password_hash = _hash(one_time_password)
    with transaction(session.connection):
        admin = authorize(session, Action.MANAGE_USERS)
        user = find(session.connection, username)
        _set_password(session.connection, user, password_hash, must_change_password=True)
        _clear_failures(session.connection, user.username)
        audit(session.connection, admin.id, "password reset", user.username, user.id)
    return one_time_password


def deactivate(session: Session, username: str) -> int:
    """Close the account: its sessions end and it cannot log in; return how many unfinished work orders it lost.

    Raises PermissionDeniedError to all but admins and for the last active admin, InvalidInputError for an unknown name
    and for an account that is already deactivated.
    """
    with transaction(session.connection):
        admin = authorize(session, Action.MANAGE_USERS)
        user = find(session.connection, username)
        if not user.is_active:
            raise InvalidInputError(f"User {user.username} is already deactivated.")
        _refuse_losing_last_admin(session.connection, user)
        session.connection.execute(
            "UPDATE users SET is_active = 0, password_version = password_version + 1 WHERE id = ?", (user.id,)
        )
        audit(session.connection, admin.id, "deactivated", user.username, user.id)
        return release_work_orders(session.connection, admin, user_id=user.id)


def reactivate(session: Session, username: str) -> None:
    """Open a deactivated account again, with the role and the password it had.

    Raises PermissionDeniedError to all but admins, InvalidInputError for an unknown name and for an active account.
    """
    with transaction(session.connection):
        admin = authorize(session, Action.MANAGE_USERS)
        user = find(session.connection, username)
        if user.is_active:
            raise InvalidInputError(f"User {user.username} is already active.")
        session.connection.execute("UPDATE users SET is_active = 1 WHERE id = ?", (user.id,))
        audit(session.connection, admin.id, "reactivated", user.username, user.id)


def unlock(session: Session, username: str) -> int:
    """Forget the failed password checks of the name, so that it need not wait, and return how many there were.

    Raises PermissionDeniedError to all but admins, InvalidInputError for an unknown name.
    """
    with transaction(session.connection):
        admin = authorize(session, Action.MANAGE_USERS)
        user = find(session.connection, username)
        failures = _clear_failures(session.connection, user.username)
        audit(session.connection, admin.id, "unlocked", user.username, user.id)
    return failures


def release_work_orders(
    connection: Connection, by: User, user_id: Optional[int] = None, work_order_id: Optional[int] = None
) -> int:
    """Unassign the unfinished work orders of an account, or one work order, if the assignee can no longer be one.

    To be called inside the transaction that changes the account, or that reopens or restores the work order; each gets
    a row in its history. Returns how many there are.
    """
    is_unfit = "SELECT 1 FROM users WHERE users.id = assignee_id AND (is_active = 0 OR role = 'user')"
    condition, values = database.where(
        (
            (user_id, "assignee_id = ?", [user_id]),
            (work_order_id, "work_orders.id = ?", [work_order_id]),
            (True, f"urgency < 4 AND deleted_at IS NULL AND EXISTS ({is_unfit})", ()),
        )
    )
    at = now()
    connection.execute(
        f"""
        INSERT INTO work_order_history (work_order_id, user_id, changed_at, field, old_value, new_value)
            SELECT work_orders.id, ?, ?, 'assignee', (SELECT username FROM users WHERE users.id = assignee_id), ?
            FROM work_orders WHERE {condition}
        """,
        [by.id, at, NOBODY, *values],
    )
    return connection.execute(
        f"UPDATE work_orders SET assignee_id = NULL, updated_at = ? WHERE {condition}", [at, *values]
    ).rowcount


def _refuse_losing_last_admin(connection: Connection, user: User) -> None:
    (others,) = connection.execute(
        "SELECT count(*) FROM users WHERE role = 'admin' AND is_active = 1 AND id <> ?", (user.id,)
    ).fetchone()
    if user.role is Role.ADMIN and user.is_active and others == 0:
        raise PermissionDeniedError(f"{user.username} is the last active admin; make somebody else an admin first.")


# Ledgers


class AuditEntry(NamedTuple):
    """A row of audit_log: when (UTC), whose account ("" where none is known), from where, what, on what."""

    id: int
    recorded_at: datetime
    username: str
    os_user: str
    ssh_client: str
    event: str
    subject: str


class AuditFilter(NamedTuple):
    """Which entries of the audit log are meant: those about an account, those of a kind; None stands for any."""

    username: Optional[str] = None
    event: Optional[str] = None


def audit(
    connection: Connection, user_id: Optional[int], event: str, subject: str, subject_id: Optional[int] = None
) -> None:
    """Add a row to the audit log: who, from where, what, on what, and on which account if on one.

    To be called inside the transaction that does what the row says.
    """
    connection.execute(
        """
        INSERT INTO audit_log (recorded_at, user_id, os_user, ssh_client, event, subject, subject_id)
        VALUES (?, ?, ?, ?, ?, ?, ?)
        """,
        (now(), user_id, _os_user(), _ssh_client(), event, subject, subject_id),
    )


def record_change(
    connection: Connection,
    work_order_id: int,
    by: User,
    at: str,
    field: str,
    old: Optional[str] = None,
    new: Optional[str] = None,
    note: str = "",
) -> None:
    """Add a row to the history of a work order, inside the transaction that changes it."""
    connection.execute(
        """
        INSERT INTO work_order_history (work_order_id, user_id, changed_at, field, old_value, new_value, note)
        VALUES (?, ?, ?, ?, ?, ?, ?)
        """,
        (work_order_id, by.id, at, field, old, new, note),
    )


def record_refusal(session: Session, subject: str) -> None:
    """Record that the account behind the session was refused something."""
    with transaction(session.connection):
        audit(session.connection, session.user_id, "refused", subject)


def get_audit_entry(session: Session, entry_id: int) -> AuditEntry:
    """Return the entry of the audit log. Raises InvalidInputError if there is none, PermissionDeniedError."""
    with snapshot(session.connection):
        authorize(session, Action.AUDIT)
        row = session.connection.execute(_SELECT_AUDIT_LOG + "WHERE audit_log.id = ?", (entry_id,)).fetchone()
    if row is None:
        raise InvalidInputError(f"There is no entry {entry_id}.")
    return _audit_entry(row)


def audit_log(session: Session, filter: AuditFilter, after: Optional[AuditEntry], limit: int) -> List[AuditEntry]:
    """Return up to `limit` entries older than `after` (None: the latest), newest first.

    An entry is about the account that did it and the account that it was done to. Raises PermissionDeniedError to all
    but admins.
    """
    condition, values = database.where(
        (
            (after, "audit_log.id < ?", [after and after.id]),
            (filter.event, "event = ?", [filter.event]),
        )
    )
    if filter.username:
        latest = (
            f"""
            SELECT * FROM (
                SELECT audit_log.id FROM audit_log
                WHERE {column} = (SELECT id FROM users WHERE username = ?) AND {condition}
                ORDER BY audit_log.id DESC LIMIT ?
            )
            """
            for column in ("user_id", "subject_id")
        )
        condition = f"audit_log.id IN ({' UNION '.join(latest)})"
        values = [filter.username, *values, limit] * 2
    with snapshot(session.connection):
        authorize(session, Action.AUDIT)
        rows = session.connection.execute(
            f"{_SELECT_AUDIT_LOG} WHERE {condition} ORDER BY audit_log.id DESC LIMIT ?", [*values, limit]
        ).fetchall()
    return list(map(_audit_entry, rows))


_SELECT_AUDIT_LOG = """
    SELECT audit_log.id, recorded_at, coalesce(username, '') AS username, os_user, ssh_client, event, subject
    FROM audit_log LEFT JOIN users ON users.id = user_id
"""


def _audit_entry(row: sqlite3.Row) -> AuditEntry:
    return AuditEntry(**{**dict(row), "recorded_at": datetime.fromisoformat(row["recorded_at"])})


def audit_events(session: Session) -> List[str]:
    """Return the kinds of entries that the audit log holds. Raises PermissionDeniedError to all but admins."""
    with snapshot(session.connection):
        authorize(session, Action.AUDIT)
        return database.distinct(session.connection, "audit_log", "event")


def describe_audit_filter(filter: AuditFilter) -> str:
    """Return in words which entries the filter lets through."""
    return ", ".join(value for value in filter if value) or "everything"


def _client() -> str:
    """Return where the person sits: the host's account and the SSH client's address."""
    return f"{_os_user()} {_ssh_client()}"


def _ssh_client() -> str:
    return ascii(os.environ.get("SSH_CLIENT", "").split(" ")[0])[1:-1]


def _os_user() -> str:
    """Return the operating system's name for who runs the program, not what the environment claims it is."""
    try:
        import pwd

        return pwd.getpwuid(os.getuid()).pw_name
    except ImportError:  # Windows
        return os.getlogin()
    except KeyError:
        return str(os.getuid())


# Backup and check


def back_up(session: Session) -> Path:
    """Back the database up and return the path of the copy.

    Raises PermissionDeniedError to all but admins, OutputError; ApplicationError, which names the copy, where only the
    audit log could not be written.
    """
    with snapshot(session.connection):
        admin = authorize(session, Action.BACK_UP)
    path = database.back_up(session.connection, database.new_path(session.connection, "backup", ".db"))
    try:
        with transaction(session.connection):
            audit(session.connection, admin.id, "backed up", database.printable(path.name))
    except sqlite3.Error as error:
        reason = database.explain(error)
        raise ApplicationError(f"The backup is in {path}, but the audit log has no row about it. {reason}") from error
    return path


def check_database(session: Session) -> List[str]:
    """Return what is wrong with the database, if anything.

    Raises PermissionDeniedError to all but admins, OutputError where there is no room for the copy that is checked.
    """
    with transaction(session.connection):
        admin = authorize(session, Action.BACK_UP)
        audit(session.connection, admin.id, "database checked", "")
    return database.check(session.connection)


# Mail: the settings


class Security(str, Enum):
    """How the connection to the mail server is encrypted: after STARTTLS, from the beginning, or not at all."""

    STARTTLS = "starttls"
    TLS = "tls"
    NONE = "none"

    def __str__(self) -> str:
        return self.value


class MailSettings(NamedTuple):
    """The mail server (None: no mail is sent), the address that messages come from, and the account there, if any."""

    host: Optional[str]
    port: int
    security: Security
    sender: Optional[str]
    username: Optional[str]
    password: Optional[str]


class Stage(IntEnum):
    """How far an attempt to send a message has come; the connection includes encryption, login and the sender."""

    CONNECTION = 1
    RECIPIENT = 2
    CONTENT = 3


class MailError(ApplicationError):
    """A message was not sent; `stage` is how far the attempt came.

    If it `is_final`, trying again is no use; if it `concerns_all`, neither is trying another message now.
    """

    def __init__(self, reason: str, stage: Stage, is_final: bool = False, is_late: bool = False) -> None:
        self.reason, self.stage, self.is_final = reason[:LONGEST_REASON], stage, is_final
        self.concerns_all = is_late or stage is Stage.CONNECTION
        super().__init__(f"The message was not sent ({self.reason}).")


def parse_mail_host(text: str) -> Optional[str]:
    """Return the name or IP address of a mail server, or None for `none`. Raises InvalidInputError."""
    if text.lower() == NONE:
        return None
    if not re.fullmatch(r"[A-Za-z0-9._-]{1,253}|[0-9A-Fa-f]*:[0-9A-Fa-f:.]*:[0-9A-Fa-f.]*", text):
        raise InvalidInputError("A mail server is a name such as smtp.example.org, an IP address, or none.")
    return text


def parse_port(text: str) -> int:
    """Return the number of a port. Raises InvalidInputError."""
    if not re.fullmatch("[0-9]{1,5}", text) or not 1 <= int(text) <= 65535:
        raise InvalidInputError("A port is a number from 1 to 65535.")
    return int(text)


def parse_address(text: str) -> str:
    """Return an email address. Raises InvalidInputError, for `none` too."""
    address = parse_email(text)
    if address is None:
        raise InvalidInputError("Mail needs one plain address such as helpdesk@example.org.")
    return address


def parse_credential(text: str) -> Optional[str]:
    """Return a username or password for the mail server, or None for `none`. Raises InvalidInputError."""
    if len(text) > LONGEST_CREDENTIAL:
        raise InvalidInputError(f"A username or password has at most {LONGEST_CREDENTIAL} characters.")
    return None if text.lower() == NONE else text


def change_mail_settings(session: Session, settings: MailSettings) -> None:
    """Store the settings; if they turn mail on, messages that have waited for too long without it fail.

    Raises PermissionDeniedError to all but admins, InvalidInputError without a sender.
    """
    if settings.host:
        parse_address(settings.sender or NONE)
    with transaction(session.connection):
        admin = authorize(session, Action.MAIL)
        if settings.host and not is_mail_on(session.connection):
            session.connection.execute(
                """
                UPDATE outbox SET failed_at = ?, reason = 'mail was off for too long'
                WHERE failed_at IS NULL AND created_at <= ?
                """,
                (now(), utc_text(datetime.now(timezone.utc) - RETRIED_FOR)),
            )
        session.connection.execute(
            """
            UPDATE mail_settings
            SET host = :host, port = :port, security = :security, sender = :sender, username = :username,
                password = :password
            """,
            settings._asdict(),
        )
        audit(session.connection, admin.id, "mail settings changed", describe_mail_settings(settings))


def describe_mail_settings(settings: MailSettings) -> str:
    """Return in words where messages go, without the password."""
    if not settings.host:
        return "no mail is sent"
    account = f" as {database.printable(settings.username)}" if settings.username else ""
    return f"{settings.host}:{settings.port} ({settings.security}){account}, from {settings.sender}"


def is_mail_on(connection: Connection) -> bool:
    """Return whether there is a mail server to send messages to."""
    return connection.execute("SELECT 1 FROM mail_settings WHERE host IS NOT NULL").fetchone() is not None


def _mail_settings(connection: Connection) -> MailSettings:
    row = connection.execute("SELECT host, port, security, sender, username, password FROM mail_settings").fetchone()
    return MailSettings(**{**dict(row), "security": Security(row["security"])})


# Mail: the outbox


class Message(NamedTuple):
    """A message of the outbox: when it was written, to whom, about which work order, and what became of it (UTC).

    It is being sent until `claimed_until`, and has failed for good at `failed_at`; `reason` is why the last attempt
    failed.
    """

    id: int
    created_at: datetime
    username: str
    work_order_id: int
    attempts: int
    next_attempt_at: datetime
    claimed_until: Optional[datetime]
    failed_at: Optional[datetime]
    reason: str


class Notice(NamedTuple):
    """What somebody is told about a change: its work order, how the subject ends, whether in a status, and the text."""

    work_order_id: int
    title: str
    ending: str
    has_status: bool
    text: str


def put_in_outbox(connection: Connection, recipient: User, notice: Notice) -> None:
    """Write a message about a change, inside the transaction that makes the change.

    If there is one about the same work order from the last minute that was not transmitted yet, it is added to that;
    the subject then ends in the latest status, if there is one.
    """
    at = datetime.now(timezone.utc)
    values = {**notice._asdict(), "user_id": recipient.id, "at": utc_text(at)}
    merged = connection.execute(
        """
        UPDATE outbox
        SET title = :title, text = text || char(10, 10) || :text, has_status = has_status OR :has_status,
            ending = CASE WHEN has_status AND NOT :has_status THEN ending ELSE :ending END
        WHERE work_order_id = :work_order_id AND user_id = :user_id AND created_at > :since
            AND failed_at IS NULL AND claimed_until IS NULL AND was_transmitted = 0
        """,
        {**values, "since": utc_text(at - timedelta(seconds=MERGED_SECONDS))},
    )
    if not merged.rowcount:
        domain = _domain(_mail_settings(connection).sender)
        message_id = f"<work-order-{notice.work_order_id}.{os.urandom(8).hex()}@{domain}>"
        connection.execute(
            """
            INSERT INTO outbox
                (work_order_id, user_id, message_id, title, ending, has_status, text, created_at, next_attempt_at)
            VALUES (:work_order_id, :user_id, :message_id, :title, :ending, :has_status, :text, :at, :at)
            """,
            {**values, "message_id": message_id},
        )


def outbox(session: Session, after: Optional[Message] = None, limit: int = -1) -> List[Message]:
    """Return up to `limit` (-1: all) messages older than `after`, newest first: those that wait, and those that failed.

    Raises PermissionDeniedError to all but admins.
    """
    condition, values = database.where(((after, "outbox.id < ?", [after and after.id]),))
    with snapshot(session.connection):
        authorize(session, Action.MAIL)
        rows = session.connection.execute(
            f"""
            SELECT outbox.id, outbox.created_at, username, work_order_id, attempts, next_attempt_at, claimed_until,
                failed_at, reason
            FROM outbox JOIN users ON users.id = user_id
            WHERE {condition} ORDER BY outbox.id DESC LIMIT ?
            """,
            [*values, limit],
        ).fetchall()
    return list(map(_message, rows))


def _message(row: sqlite3.Row) -> Message:
    moments = {
        name: datetime.fromisoformat(row[name]) if row[name] else None
        for name in ("created_at", "next_attempt_at", "claimed_until", "failed_at")
    }
    return Message(**{**dict(row), **moments})


class OutboxCount(NamedTuple):
    """How many messages wait, and how many have failed for good."""

    waiting: int
    failed: int


def mail_state(session: Session) -> Tuple[MailSettings, OutboxCount]:
    """Return the settings, with the password, which is not to be shown, and how many messages there are.

    Raises PermissionDeniedError to all but admins.
    """
    with snapshot(session.connection):
        authorize(session, Action.MAIL)
        return _mail_settings(session.connection), count_outbox(session.connection)


def count_outbox(connection: Connection) -> OutboxCount:
    """Return how many messages the outbox has."""
    row = connection.execute(
        "SELECT count(*) - count(failed_at) AS waiting, count(failed_at) AS failed FROM outbox"
    ).fetchone()
    return OutboxCount(**dict(row))


def describe_outbox(count: OutboxCount) -> str:
    """Return in words how many messages wait, and how many have failed."""
    waiting = f"{count.waiting:,} message{' waits' if count.waiting == 1 else 's wait'}"
    return f"{waiting}, {count.failed:,} failed for good"


def describe_sent(count: int) -> str:
    """Return in words how many messages were sent."""
    return f"{count:,} message{'' if count == 1 else 's'} sent"


def describe_attempt(message: Message) -> str:
    """Return in words what will become of the message next; a moment is local time."""
    if message.failed_at:
        return "failed"
    if message.claimed_until and message.claimed_until > datetime.now(timezone.utc):
        return "being sent"
    return f"{message.next_attempt_at.astimezone():%Y-%m-%d %H:%M}"


# Mail: sending


def is_mail_due(connection: Connection) -> bool:
    """Return whether mail is on and the pause of a message that waits is over."""
    (is_due,) = connection.execute(
        """
        SELECT EXISTS (SELECT 1 FROM outbox WHERE failed_at IS NULL AND next_attempt_at <= ?)
            AND (SELECT host IS NOT NULL FROM mail_settings)
        """,
        (now(),),
    ).fetchone()
    return bool(is_due)


class Stop:
    """When sending is to stop: at `moment`, in seconds of the monotonic clock."""

    moment = math.inf

    def seconds_left(self) -> float:
        """Return for how many seconds sending may go on."""
        return self.moment - time.monotonic()

    def interrupt(self) -> None:
        """Stop now, as Ctrl-C asks for."""
        self.moment = 0


class Mailer:
    """Sends due messages in the background, on a connection of its own, once mail is on for the first time.

    It prints nothing; an unexpected error goes to `log`.
    """

    def __init__(self, connection: Connection, log: Callable[[], object]) -> None:
        self._connection, self._log = connection, log
        self._thread: Optional[threading.Thread] = None
        self._stop = Stop()

    def wake(self) -> None:
        """Have the due messages sent in the background; this takes no time and raises nothing."""
        with suppress(sqlite3.Error, RuntimeError):  # busy, or no room for a thread: then at the next call
            if not self._thread:
                if not self._is_mail_on():
                    return
                import threading

                self._woken = threading.Event()
                thread = threading.Thread(target=self._run, daemon=True)
                thread.start()
                self._thread = thread
            self._woken.set()

    def finish(self) -> None:
        """Try to send what was saved last, and wait for what is being sent, but no longer than a person should."""
        self._stop.moment = time.monotonic() + PROMPT_SECONDS
        if self._thread:
            self._woken.set()
            self._thread.join(PROMPT_SECONDS + LAST_SECONDS)  # the rest is for writing down what became of it

    def _is_mail_on(self) -> bool:
        self._connection.execute("PRAGMA busy_timeout = 0")
        try:
            return is_mail_on(self._connection)
        finally:
            self._connection.execute(f"PRAGMA busy_timeout = {database.BUSY_SECONDS * 1000}")

    def _run(self) -> None:
        import signal

        if hasattr(signal, "pthread_sigmask"):  # signals are for the main thread, which may be waiting for an answer
            signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        while self._stop.moment == math.inf:
            self._woken.wait(MAILER_SECONDS)
            self._woken.clear()
            try:
                _send_from(self._connection.path, due_only=True, stop=self._stop)
            except sqlite3.Error:
                pass  # busy, full, or gone: the next time may be better
            except Exception:  # noqa: BLE001 - the last resort: the other messages go on, and the log says what to fix
                self._log()


def send_now(session: Session) -> Optional[int]:
    """Try each waiting message, even if its pause is not over; return how many were sent, or None if that takes long.

    It then goes on in the background. Raises PermissionDeniedError to all but admins, ApplicationError without a mail
    server.
    """
    with snapshot(session.connection):
        authorize(session, Action.MAIL)
        _check_mail_is_on(_mail_settings(session.connection))
    return _within(PROMPT_SECONDS, lambda: _send_from(session.connection.path))


def send_test_message(session: Session, to: str, stop: Stop) -> str:
    """Send a message at once and return the mail server's answer.

    Raises MailError where that fails, is stopped or takes longer than 10 seconds, PermissionDeniedError to all but
    admins, ApplicationError without a mail server.
    """
    with transaction(session.connection):
        admin = authorize(session, Action.MAIL)
        settings = _mail_settings(session.connection)
        _check_mail_is_on(settings)
        audit(session.connection, admin.id, "test message sent", to)
    message_id = f"<test.{os.urandom(8).hex()}@{_domain(settings.sender)}>"
    text = f"This is a test message that {admin.username} sent."
    message = _compose(settings, to, "Test message", text, datetime.now(timezone.utc), message_id)
    return Attempt(settings, to, message).answer(TEST_SECONDS, stop)


def send_waiting(connection: Connection, due_only: bool = False, stop: Optional[Stop] = None) -> int:
    """Try each message that waits, or each that is due, once; return how many were sent.

    Each is claimed first, so that nobody else sends it too. No transaction is open while talking to the mail server. A
    failure that concerns all messages, such as no connection, ends this.
    """
    settings, sent, last_id, stop = _mail_settings(connection), 0, 0, stop or Stop()
    while settings.host and stop.seconds_left() > LAST_SECONDS:
        claim = _claim_next(connection, last_id, due_only)
        if claim is None:
            break
        error, last_id = _attempt(connection, settings, claim, stop), claim.id
        sent += error is None
        if error and error.concerns_all and stop.seconds_left() > 0:  # else it was we who gave up
            _postpone_rest(connection, last_id, due_only, error)
            break
    return sent


class Claim(NamedTuple):
    """A message that is this session's to send until `claimed_until`, and the address that it goes to.

    Its texts are bytes, since what other tools write need not be UTF-8, which sqlite3 refuses to read.
    """

    id: int
    address: str
    work_order_id: int
    opened_at: str
    message_id: bytes
    title: bytes
    ending: bytes
    text: bytes
    created_at: str
    claimed_until: str


def _claim_next(connection: Connection, after_id: int, due_only: bool) -> Optional[Claim]:
    """Claim the next waiting message that nobody else is sending, and remove those that nobody may get any more."""
    while True:
        with transaction(connection):
            moment = datetime.now(timezone.utc)
            claimed_until = utc_text(moment + timedelta(seconds=CLAIM_SECONDS))
            row = connection.execute(
                f"""
                SELECT outbox.id, user_id, work_order_id, requester_id, deleted_at,
                    work_orders.created_at AS opened_at, CAST(message_id AS BLOB) AS message_id,
                    CAST(outbox.title AS BLOB) AS title, CAST(ending AS BLOB) AS ending, CAST(text AS BLOB) AS text,
                    outbox.created_at
                FROM outbox NOT INDEXED JOIN work_orders ON work_orders.id = work_order_id
                WHERE {_IS_WAITING} ORDER BY outbox.id LIMIT 1
                """,
                _waiting(moment, after_id, due_only),
            ).fetchone()
            if row is None:
                return None
            address = _address(connection, row)
            if address:
                # An expired claim is that of a session that was killed: the message may have been transmitted.
                connection.execute(
                    """
                    UPDATE outbox SET was_transmitted = was_transmitted OR claimed_until IS NOT NULL, claimed_until = ?
                    WHERE id = ?
                    """,
                    (claimed_until, row["id"]),
                )
                values = {**dict(row), "address": address, "claimed_until": claimed_until}
                return Claim(*(values[name] for name in Claim._fields))
            connection.execute("DELETE FROM outbox WHERE id = ?", (row["id"],))


_IS_WAITING = """
    outbox.id > :after_id AND failed_at IS NULL AND next_attempt_at <= :due
    AND coalesce(claimed_until, '') NOT BETWEEN :at AND :latest_claim
"""


def _waiting(moment: datetime, after_id: int, due_only: bool) -> Dict[str, object]:
    """Return what _IS_WAITING compares with."""
    at, latest_claim = utc_text(moment), utc_text(moment + timedelta(seconds=CLAIM_SECONDS))
    return {"after_id": after_id, "due": at if due_only else "9999", "at": at, "latest_claim": latest_claim}


def _address(connection: Connection, row: sqlite3.Row) -> Optional[str]:
    """Return the recipient's address, or None if they have none, are deactivated, or cannot see the work order now."""
    user = _user(connection.execute(_SELECT_USERS + "WHERE id = ?", (row["user_id"],)).fetchone())
    may_see = scope(user, Action.VIEW) is Scope.ALL or row["requester_id"] == user.id
    return user.email if user.is_active and may_see and row["deleted_at"] is None else None


def _attempt(connection: Connection, settings: MailSettings, claim: Claim, stop: Stop) -> Optional[MailError]:
    """Try to send a message and write down what became of it; return what went wrong, if anything."""
    try:
        message = _notification(settings, claim)
        Attempt(settings, claim.address, message).answer(ATTEMPT_SECONDS, stop)
    except MailError as error:
        was_transmitted = error.stage is Stage.CONTENT
        condition, values = "id = :id AND claimed_until = :claimed_until", claim._asdict()
        _postpone(connection, error, condition, {**values, "was_transmitted": was_transmitted})
        return error
    _remove_sent(connection, claim)
    return None


def _postpone_rest(connection: Connection, after_id: int, due_only: bool, error: MailError) -> None:
    values = _waiting(datetime.now(timezone.utc), after_id, due_only)
    _postpone(connection, error, _IS_WAITING, {**values, "was_transmitted": False, "claimed_until": None})


def _postpone(connection: Connection, error: MailError, condition: str, values: Mapping[str, object]) -> None:
    """Record why messages were not sent; each pauses, longer each time, until it has failed for good."""
    moment = datetime.now(timezone.utc)
    with transaction(connection):
        connection.execute(
            f"""
            UPDATE outbox
            SET attempts = attempts + 1,
                next_attempt_at = strftime(
                    '%Y-%m-%dT%H:%M:%S+00:00', :now, min(:pause << min(attempts, 30), :longest_pause) || ' seconds'
                ),
                failed_at = CASE WHEN :is_final OR created_at <= :oldest THEN :now END,
                reason = :reason,
                was_transmitted = was_transmitted OR :was_transmitted OR claimed_until IS NOT :claimed_until,
                claimed_until = NULL
            WHERE {condition}
            """,
            {
                **values,
                "now": utc_text(moment),
                "oldest": utc_text(moment - RETRIED_FOR),
                "pause": FIRST_PAUSE_SECONDS,
                "longest_pause": LONGEST_PAUSE_SECONDS,
                "is_final": error.is_final,
                "reason": error.reason,
            },
        )


def _remove_sent(connection: Connection, claim: Claim) -> None:
    """Remove a message that was sent, trying longer than for a person who waits: otherwise it would be sent again."""
    for _ in range(RECORDING_ATTEMPTS):
        with suppress(sqlite3.OperationalError):
            with transaction(connection):
                connection.execute("DELETE FROM outbox WHERE id = ?", (claim.id,))
            return


def _send_from(path: Path, due_only: bool = False, stop: Optional[Stop] = None) -> int:
    # Not connect(), which also opens the file itself, without SQLite: closing it would drop the locks of the whole
    # process (https://www.sqlite.org/howtocorrupt.html, section 2.2).
    with closing(database.open_file(path)) as connection:
        is_needed = not due_only or is_mail_due(connection)
        return send_waiting(connection, due_only, stop) if is_needed else 0


def _within(seconds: float, run: Callable[[], T], stop: Optional[Stop] = None) -> Optional[T]:
    """Return what the function returns, or None if that takes longer; it then goes on in the background."""
    from concurrent import futures

    future, deadline = futures.ThreadPoolExecutor(1).submit(run), time.monotonic() + seconds
    while time.monotonic() < deadline and not (stop and stop.seconds_left() <= 0):
        with suppress(futures.TimeoutError):
            return future.result(POLL_SECONDS)
    return None


def _check_mail_is_on(settings: MailSettings) -> None:
    if not settings.host:
        raise ApplicationError("No mail is sent: there is no SMTP host in the settings.")


# Mail: a message on its way


def _notification(settings: MailSettings, claim: Claim) -> bytes:
    """Return the message about a work order; those about one work order refer to the same one, as replies do.

    Raises a final MailError for what cannot be a message or an address, which only other tools can have written.
    """
    from email.errors import MessageError

    message_id, title, ending, text = (
        each.decode(errors="replace") for each in (claim.message_id, claim.title, claim.ending, claim.text)
    )
    heading = re.sub("[\r\n]+", " ", title)
    number, opened_at = f"#{claim.work_order_id}", datetime.fromisoformat(claim.opened_at)
    try:
        return _compose(
            settings,
            parse_address(claim.address),
            f"[{number}] {title}: {ending}",
            f"Work order {number}: {heading}\n\n{text}",
            datetime.fromisoformat(claim.created_at),
            message_id,
            f"<work-order-{claim.work_order_id}.{opened_at:%Y%m%d%H%M%S}@{_domain(message_id.rstrip('>'))}>",
        )
    except (InvalidInputError, MessageError, ValueError) as error:
        raise MailError(str(error), Stage.RECIPIENT, is_final=True) from None


def _compose(
    settings: MailSettings,
    to: str,
    subject: str,
    text: str,
    moment: datetime,
    message_id: str,
    thread: Optional[str] = None,
) -> bytes:
    """Return a message as it goes over the wire: ASCII, in lines that are not too long and end in CR LF."""
    from email.contentmanager import raw_data_manager
    from email.message import EmailMessage
    from email.policy import compat32
    from email.utils import format_datetime

    # The newer policies take what looks like an encoded word for one.
    message = EmailMessage(compat32.clone(linesep="\r\n", cte_type="7bit"))
    message["From"], message["To"] = settings.sender, to
    message["Subject"] = _encoded_words(subject)
    message["Date"] = format_datetime(moment)
    message["Message-ID"] = message_id
    if thread:
        message["In-Reply-To"] = message["References"] = thread
    message["Auto-Submitted"] = "auto-generated"  # RFC 3834, section 5
    message.set_content(f"{text}\n{_FOOTER}", content_manager=raw_data_manager)
    return message.as_bytes(policy=message.policy.clone(max_line_length=998))  # RFC 5322, section 2.1.1


_FOOTER = "\n-- \nTo stop getting these messages, choose My account > Change email and answer none.\n"


def _encoded_words(text: str) -> str:
    """Return the text as a header has it: as encoded words of at most 75 characters (RFC 2047), unless it is plain."""
    if text.isascii() and text.isprintable() and "=?" not in text and len(text) <= 65:
        return text
    pieces = re.findall("(?s).{1,11}", text)
    return "\n ".join(f"=?utf-8?b?{base64.b64encode(piece.encode()).decode()}?=" for piece in pieces)


def _domain(address: Optional[str]) -> str:
    return (address or "").rpartition("@")[2]


class Attempt:
    """An attempt to hand a message to the mail server; `stage` is how far it has come.

    It runs in a thread of its own, so that it can be given up at any moment.
    """

    def __init__(self, settings: MailSettings, to: str, message: bytes) -> None:
        self.stage = Stage.CONNECTION
        self._settings, self._to, self._message = settings, to, message
        self._line: Optional[socket.socket] = None
        self._is_over = False

    def answer(self, seconds: float, stop: Stop) -> str:
        """Return the mail server's answer. Raises MailError, also if told to stop or after `seconds`."""
        try:
            answer = _within(seconds, self._transmit, stop)
        finally:
            self._cut()
        if answer is None:
            is_stopped = stop.seconds_left() <= 0
            reason = "interrupted before the mail server answered" if is_stopped else "no answer in time"
            raise MailError(reason, self.stage, is_late=True)
        return answer

    def _cut(self) -> None:
        """Shut the connection down: a server that trickles would never run into its timeout."""
        from socket import SHUT_RDWR

        self._is_over = True
        with suppress(OSError):  # it may be closed already
            if self._line:
                self._line.shutdown(SHUT_RDWR)

    def _transmit(self) -> str:
        import smtplib

        try:
            with self._connected() as client:
                _accepted(client.mail(self._settings.sender or ""))
                self.stage = Stage.RECIPIENT
                _accepted(client.rcpt(self._to))
                self.stage = Stage.CONTENT
                return _accepted(client.data(self._message))
        except smtplib.SMTPResponseException as error:
            words = error.smtp_error
            # What smtplib says itself, of a line that is too long, is a str.
            is_final = self.stage >= Stage.RECIPIENT and error.smtp_code // 100 == 5 and isinstance(words, bytes)
            raise MailError(_answer(error.smtp_code, words), self.stage, is_final) from None
        except (OSError, ValueError, ImportError) as error:  # no server, TLS, a malformed answer, a Python without ssl
            reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
            raise MailError(reason, self.stage) from None

    @contextmanager
    def _connected(self) -> Iterator["smtplib.SMTP"]:
        """Connect to the mail server, encrypt and log in as the settings say."""
        import socket

        host, port, security, _, username, password = self._settings
        context = None
        if security is not Security.NONE:
            import ssl

            context = ssl.create_default_context()  # which verifies certificates
        # answer() gives up sooner.
        with socket.create_connection((host or "", port), CLAIM_SECONDS) as plain, plain.dup() as self._line:
            if self._is_over:  # the name or the connection took too long
                raise TimeoutError
            is_tls = context and security is Security.TLS
            connection = context.wrap_socket(plain, server_hostname=host) if context and is_tls else plain
            with _mail_client(host or "", connection) as client:
                if security is Security.STARTTLS:
                    client.starttls(context=context)
                client.ehlo_or_helo_if_needed()
                if username:
                    _log_in(client, username, password or "")
                yield client


def _accepted(answer: Tuple[int, bytes]) -> str:
    """Return the mail server's answer in words. Raises SMTPResponseException unless it is a yes."""
    import smtplib

    if answer[0] // 100 != 2:
        raise smtplib.SMTPResponseException(*answer)
    return _answer(*answer)


def _answer(code: int, words: Union[bytes, str]) -> str:
    text = words.decode(errors="replace") if isinstance(words, bytes) else words
    return f"{code} {' '.join(text.split())}"[:LONGEST_REASON]


@contextmanager
def _mail_client(host: str, connection: "socket.socket") -> Iterator["smtplib.SMTP"]:
    """Speak SMTP on the connection, and quit without waiting for an answer."""
    import smtplib

    class Client(smtplib.SMTP):
        def _get_socket(self, *_: object) -> "socket.socket":
            return connection

        def getreply(self) -> Tuple[int, bytes]:
            if self.file is None and self.sock:
                self.file = _Answers(self.sock.makefile("rb"))
            return super().getreply()

    # Without a name, smtplib would ask the DNS for our own. An address will do (RFC 5321, section 4.1.3).
    address = connection.getsockname()[0]
    client = Client(host, local_hostname=f"[IPv6:{address}]" if ":" in address else f"[{address}]")
    try:
        yield client
    finally:
        with suppress(OSError):  # all errors of smtplib are OSErrors
            client.putcmd("QUIT")
        client.close()


class _Answers:
    """The lines that a mail server sends, up to LONGEST_DIALOGUE: it might never stop."""

    def __init__(self, lines: BinaryIO) -> None:
        self._lines, self._left = lines, LONGEST_DIALOGUE

    def readline(self, limit: int) -> bytes:
        """Return the next line, or none if the server has sent too many."""
        self._left -= 1
        return self._lines.readline(limit) if self._left >= 0 else b""

    def close(self) -> None:
        """Read no more."""
        self._lines.close()


def _log_in(client: "smtplib.SMTP", username: str, password: str) -> None:
    try:
        client.login(username, password)
    except UnicodeEncodeError:
        raise ValueError("only ASCII can be sent as username and password") from None


# Choosing a password
# Choosing a password


def parse_password(password: str, username: str, current: Optional[str] = None) -> str:
    """Return the password if it is fit to guard the account.

    Raises InvalidInputError for the current one, a length outside 8 to 1,024 bytes of UTF-8, unprintable characters and
    what is easily guessed (NIST SP 800-63B-4, section 3.1.1.2: common, sequential, or built on the username or the
    service's name).
    """
    if current is not None and unicodedata.normalize("NFC", password) == unicodedata.normalize("NFC", current):
        raise InvalidInputError("The new password is the current one; choose another.")
    if not password.isprintable():
        raise InvalidInputError("A password may contain only printable characters.")
    if not 8 <= len(password.encode()) <= 1024:
        raise InvalidInputError("A password has 8 to 1,024 bytes.")
    forms = _forms(password.lower())
    if any(username in form for form in forms):
        raise InvalidInputError("A password must not contain the username.")
    if not _COMMON_PASSWORDS.isdisjoint(forms) or any("workorder" in re.sub(r"[\W_]", "", form) for form in forms):
        raise InvalidInputError("This password is too common; choose one that nobody would guess.")
    if any(_is_predictable(password.lower().translate(substitutions)) for substitutions in _SUBSTITUTIONS):
        raise InvalidInputError("A password must not be a repeated pattern or a run such as 12345678 or 1qaz2wsx.")
    return password


def _forms(password: str) -> Set[str]:
    """Return the password as it is, and without digits and punctuation at its ends, each without substitutions."""
    stripped = (
        password,
        password.strip(_NOT_LETTERS),
        password.lstrip(_NOT_LETTERS),
        password.rstrip(_NOT_LETTERS),
    )
    return {form.translate(substitutions) for form in stripped for substitutions in _SUBSTITUTIONS}


def _is_predictable(text: str) -> bool:
    """Return whether a password is one pattern repeated, two runs interleaved, or little more than runs and words."""
    if text in (text + text)[1:-1] or len(set(text)) < 4:
        return True
    parts = _parts(text)
    halves = max(len(_parts(text[::2])), len(_parts(text[1::2])))
    is_mostly_runs = 2 * parts.count(_SINGLE) < len(text)
    return halves == 1 or (is_mostly_runs and sum(guesses for _, guesses in parts) < 8)


def _parts(text: str) -> List[Tuple[int, int]]:
    """Return the parts of which a guesser would make the text, each with its length and how many guesses it counts."""
    parts: List[Tuple[int, int]] = []
    position = 0
    while position < len(text):
        possible = (
            (_length_of_run(text, position), 2),
            (_length_of_word(text, position), 3),
            (_length_of_repetition(text, position), 1),
            _SINGLE,
        )
        parts.append(max(possible, key=lambda part: (part[0], -part[1])))
        position += parts[-1][0]
    return parts


def _length_of_run(text: str, start: int) -> int:
    """Return the length of the straight walk on a keyboard, keypad or the alphabet that starts there; 0 if under 3."""
    longest = 0
    for keys in _KEYS:
        end, step = start + 1, None
        while end < len(text) and text[end - 1] in keys and text[end] in keys:
            (row, column), (next_row, next_column) = keys[text[end - 1]], keys[text[end]]
            move = (next_row - row, next_column - column)
            if max(map(abs, move)) > 1 or step not in (None, move):
                break
            end, step = end + 1, move
        longest = max(longest, end - start)
    return longest if longest >= 3 else 0


def _length_of_word(text: str, start: int) -> int:
    return max((len(word) for word in _COMMON_PASSWORDS if len(word) > 3 and text.startswith(word, start)), default=0)


def _length_of_repetition(text: str, start: int) -> int:
    end = start + 3
    while end <= len(text) and text[start:end] in text[:start]:
        end += 1
    return end - 1 - start if end > start + 3 else 0


def _one_time_password() -> str:
    """Return 80 random bits in letters and digits that cannot be taken for one another."""
    return base64.b32encode(os.urandom(10)).decode().lower()


# The cores of the passwords that lists of leaked ones are full of; digits and punctuation around them do not count.
_COMMON_PASSWORDS = frozenset(
    """
    abc abcd abcdef access account admin administrator amanda andrew angel apple asdf asdfgh asdfghjkl asdfjkl
    ashley azerty babygirl bailey banana baseball basketball batman biteme buster butterfly changeit changeme
    charlie cheese chelsea chocolate computer cookie corvette cowboy dallas daniel default diamond dragon eagles
    falcon ferrari flower football freedom friends fuckyou george ginger google guest hannah harley hello helpdesk
    hockey hunter iloveu iloveyou infinity internet jasmine jennifer jessica jordan joshua justin killer letmein
    liverpool login london love lovely maggie manager martin master matrix matthew mercedes merlin michael michelle
    microsoft monkey mustang mypassword network newpassword nicole ninja nothing orange pass passport password
    passwort patrick peanut pepper pokemon princess purple qazwsx qazwsxedc qwaszx qwerasdf qwert qwerty qwertyui
    qwertyuiop qwertz ranger robert root samsung scooter secret service shadow silver snoopy soccer spring starwars
    steelers summer sunshine superman support supervisor sysadmin system taylor tech temp temporary test tester
    testing thomas thunder tigger trustno1 user username victoria welcome welcometo whatever william winter work
    workorders yamaha yankees yellow zaq zaqxsw zxcv zxcvbn zxcvbnm
    qwer wasd management ithelpdesk
    1q2w3e 1q2w3e4r 1q2w3e4r5t 1q2w3e4r5t6y q2w3e4r5 zaq1xsw2
    1qaz2wsx 1qazxsw2 123qwe q1w2e3 q1w2e3r4 q1w2e3r4t5 qwe123 zaq12wsx
    """.split()
)
_SUBSTITUTIONS = (
    str.maketrans("", ""),
    str.maketrans("@4301!5$7", "aaeoiisst"),
    str.maketrans("@4301!5$7", "aaeollsst"),
    str.maketrans("!@#$%^&*()", "1234567890"),  # the digits with the shift key held
)
_NOT_LETTERS = string.digits + string.punctuation + " "


def _places(*rows: str) -> Mapping[str, Tuple[int, int]]:
    return {key: (row, column) for row, keys in enumerate(rows) for column, key in enumerate(keys)}


_KEYS = (
    _places("1234567890", "qwertyuiop", "asdfghjkl", "zxcvbnm"),
    _places("1234567890", "qwertzuiop", "asdfghjkl", "yxcvbnm"),
    _places("1234567890", "azertyuiop", "qsdfghjklm", "wxcvbn"),
    _places("789", "456", "123", "0"),
    _places(string.ascii_lowercase),
)
_SINGLE = (1, 1)  # a character that is part of no run, word or repetition


# Checking a password


def wait_seconds(failures: int, free: int = FREE_FAILURES) -> int:
    """Return how many seconds a name has to wait after the last of so many failures, of which some are free."""
    if failures < free:
        return 0
    return min(FIRST_WAIT_SECONDS << min(failures - free, 30), LONGEST_WAIT_SECONDS)


def _authenticated(connection: Connection, username: str, password: str) -> Optional[User]:
    """Return the account, active or not, if name and password match and the name need not wait.

    The failure is recorded before the hash is computed, so that parallel attempts gain nothing, and undone if the
    password is right; earlier failures stay until they are cleared. An unknown name, and one that has to wait,
    cost as much as a wrong password.
    """
    may_try = _record_failure(connection, username)
    row = connection.execute(_SELECT_USERS + "WHERE username = ?", (username.lower(),)).fetchone()
    try:
        is_right = _matches(password, row["password_hash"] if row and may_try else _hash_of_nobody())
    except (MemoryError, ValueError) as error:
        _undo_failure(connection, username)
        raise ApplicationError("There is not enough memory to check a password now; try again later.") from error
    if not (is_right and row and may_try):
        return None
    _undo_failure(connection, username)
    return _user(row)


def _record_failure(connection: Connection, username: str) -> bool:
    """Count a failure of the name, in a transaction of its own, unless it has to wait; return whether it may try.

    A client from which the account has logged in lately waits only for its own failures, so that nobody else can keep
    the account's owner out.
    """
    with transaction(connection):
        _remove_old_failures(connection, username)
        own_failures, own_wait = _failures(connection, username, _client(), FREE_FAILURES)
        _, wait = _failures(connection, username, None, FREE_FAILURES_OF_ALL)
        may_try = own_wait <= 0 and (wait <= 0 or _is_known_client(connection, username))
        if may_try:
            _write_failures(connection, username, own_failures + 1, now())
    return may_try


def _undo_failure(connection: Connection, username: str) -> None:
    with transaction(connection):
        connection.execute(
            "DELETE FROM password_failures WHERE name_hash = ? AND client = ? AND failures = 1",
            (_name_hash(username), _client()),
        )
        connection.execute(
            "UPDATE password_failures SET failures = failures - 1 WHERE name_hash = ? AND client = ?",
            (_name_hash(username), _client()),
        )


def _clear_failures(connection: Connection, username: str, client: Optional[str] = None) -> int:
    """Forget the failures of the name, from one client or from all, and return how many there were."""
    condition, values = _failures_of(username, client)
    (failures,) = connection.execute(
        f"SELECT coalesce(sum(failures), 0) FROM password_failures WHERE {condition}", values
    ).fetchone()
    connection.execute(f"DELETE FROM password_failures WHERE {condition}", values)
    return int(failures)


def _failures(connection: Connection, username: str, client: Optional[str], free: int) -> Tuple[int, float]:
    """Return the failures of the name, from one client or from all, and the seconds that it still has to wait."""
    condition, values = _failures_of(username, client)
    row = connection.execute(
        f"""
        SELECT coalesce(sum(failures), 0) AS failures, max(last_failed_at) AS last_failed_at
        FROM password_failures WHERE {condition}
        """,
        values,
    ).fetchone()
    if not row["failures"]:
        return 0, 0
    waited = (datetime.now(timezone.utc) - datetime.fromisoformat(row["last_failed_at"])).total_seconds()
    return row["failures"], wait_seconds(row["failures"], free) - waited


def _failures_of(username: str, client: Optional[str]) -> Tuple[str, List[object]]:
    return database.where(((True, "name_hash = ?", [_name_hash(username)]), (client, "client = ?", [client])))


def _write_failures(connection: Connection, username: str, failures: int, last_failed_at: str) -> None:
    connection.execute(
        """
        INSERT INTO password_failures (name_hash, client, failures, last_failed_at) VALUES (?, ?, ?, ?)
            ON CONFLICT (name_hash, client)
            DO UPDATE SET failures = excluded.failures, last_failed_at = excluded.last_failed_at
        """,
        (_name_hash(username), _client(), failures, last_failed_at),
    )


def _remove_old_failures(connection: Connection, username: str) -> None:
    oldest = utc_text(datetime.now(timezone.utc) - FAILURES_COUNT_FOR)
    connection.execute(
        "DELETE FROM password_failures WHERE name_hash = ? AND last_failed_at < ?", (_name_hash(username), oldest)
    )
    # Only a limited number of the others, so that nobody has to wait; the next login continues.
    connection.execute(
        """
        DELETE FROM password_failures WHERE (name_hash, client) IN (
            SELECT name_hash, client FROM password_failures WHERE last_failed_at < ? ORDER BY last_failed_at LIMIT 1000
        )
        """,
        (oldest,),
    )
    # If the clock was set back, the wait starts again now, so that it does end.
    connection.execute(
        "UPDATE password_failures SET last_failed_at = :now WHERE name_hash = :name AND last_failed_at > :now",
        {"now": now(), "name": _name_hash(username)},
    )


def _remember_client(connection: Connection, user: User) -> None:
    connection.execute(
        """
        INSERT INTO login_clients (user_id, client, last_login_at) VALUES (?, ?, ?)
            ON CONFLICT (user_id, client) DO UPDATE SET last_login_at = excluded.last_login_at
        """,
        (user.id, _client(), now()),
    )


def _is_known_client(connection: Connection, username: str) -> bool:
    oldest = utc_text(datetime.now(timezone.utc) - CLIENTS_COUNT_FOR)
    (is_known,) = connection.execute(
        """
        SELECT EXISTS (
            SELECT 1 FROM login_clients
            WHERE user_id = (SELECT id FROM users WHERE username = ?) AND client = ? AND last_login_at >= ?
        )
        """,
        (username.lower(), _client(), oldest),
    ).fetchone()
    return bool(is_known)


def _name_hash(username: str) -> str:
    return hashlib.sha256(username.lower().encode()).hexdigest()


# Storing a password


def _password_hash(connection: Connection, user: User) -> str:
    (password_hash,) = connection.execute("SELECT password_hash FROM users WHERE id = ?", (user.id,)).fetchone()
    return str(password_hash)


def _set_password(connection: Connection, user: User, password_hash: str, must_change_password: bool) -> None:
    connection.execute(
        """
        UPDATE users SET password_hash = ?, must_change_password = ?, password_version = password_version + 1
        WHERE id = ?
        """,
        (password_hash, must_change_password, user.id),
    )


def _hash(password: str) -> str:
    salt = os.urandom(16)
    try:
        return _encoded(_parameters(), salt, _derived(password, _parameters(), salt))
    except (MemoryError, ValueError) as error:
        raise ApplicationError("There is not enough memory to store a password now; try again later.") from error


def _hash_of_nobody() -> str:
    return _encoded(_parameters(), bytes(16), bytes(32))


def _matches(password: str, password_hash: str) -> bool:
    stored = re.fullmatch(r"\$(.+)\$([A-Za-z0-9+/]{22})\$([A-Za-z0-9+/]{43})", password_hash)
    if not stored:
        raise AuthenticationError("The stored password of this account cannot be read; an admin can reset it.")
    parameters, salt, digest = stored.groups()
    return hmac.compare_digest(_derived(password, parameters, _from_base64(salt)), _from_base64(digest))


def _is_outdated(password_hash: str) -> bool:
    return not password_hash.startswith(f"${_parameters()}$")


def _parameters() -> str:
    """Return the scheme and cost of a new hash, in the form of a PHC string."""
    if hasattr(hashlib, "scrypt"):
        return f"scrypt$ln={SCRYPT_LOG_N},r={SCRYPT_R},p={SCRYPT_P}"
    return f"pbkdf2-sha256$i={PBKDF2_ITERATIONS}"


def _derived(password: str, parameters: str, salt: bytes) -> bytes:
    # Keyboards differ in how they compose an accented letter (NIST SP 800-63B-4, section 3.1.1.2).
    secret = unicodedata.normalize("NFC", password).encode()
    scrypt = re.fullmatch(r"scrypt\$ln=(\d{1,2}),r=(\d{1,2}),p=(\d{1,2})", parameters)
    pbkdf2 = re.fullmatch(r"pbkdf2-sha256\$i=(\d{1,8})", parameters)
    if scrypt and hasattr(hashlib, "scrypt"):
        log_n, r, p = map(int, scrypt.groups())
        if 1 <= log_n <= _MAXIMUM_LOG_N and 1 <= r <= _MAXIMUM_R and 1 <= p <= _MAXIMUM_P:
            memory = 128 * r * ((1 << log_n) + p + 2)
            return hashlib.scrypt(secret, salt=salt, n=1 << log_n, r=r, p=p, maxmem=2 * memory, dklen=32)
    if pbkdf2 and 1 <= int(pbkdf2[1]) <= _MAXIMUM_ITERATIONS:
        return hashlib.pbkdf2_hmac("sha256", secret, salt, int(pbkdf2[1]))
    raise AuthenticationError("This Python cannot check the stored password; an admin can reset it.")


def _encoded(parameters: str, salt: bytes, digest: bytes) -> str:
    return f"${parameters}${_to_base64(salt)}${_to_base64(digest)}"


def _to_base64(data: bytes) -> str:
    return base64.b64encode(data).decode().rstrip("=")


def _from_base64(text: str) -> bytes:
    return base64.b64decode(text + "=" * (-len(text) % 4))


# Command line


def main() -> List[str]:
    """Ask for a new password for the account that the command line names, set it, and say so."""
    connection = database.connect(database.default_path())
    try:
        user = find(connection, sys.argv[1])
        set_password(connection, user.username, _ask_password())
    finally:
        connection.close()
    return [f"Password of user {user.username} set.{'' if user.is_active else ' The account is deactivated.'}"]


def _ask_password() -> str:
    if sys.stdin is None:
        raise EOFError
    if not sys.stdin.isatty():
        return sys.stdin.readline().rstrip("\r\n")
    import getpass

    password = getpass.getpass("New password: ")
    if getpass.getpass("Confirm password: ") != password:
        raise InvalidInputError("The two passwords differ. Nothing was changed.")
    return password


if __name__ == "__main__":
    if len(sys.argv) != 2 or sys.argv[1].startswith("-"):
        print("usage: python users.py NAME", file=sys.stderr)
        sys.exit(2)
    os._exit(database.run_command(main))
