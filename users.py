"""Accounts: rights, sessions, people, passwords, the ledgers of what was done, and mail.

`python users.py NAME` sets a new password for an account.
"""

import base64
import hashlib
import hmac
import itertools
import math
import os
import re
import signal
import sqlite3
import string
import sys
import unicodedata
from contextlib import closing, contextmanager, suppress
from datetime import datetime, timezone
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any, Callable, Dict, Iterator, List, NamedTuple, Optional, Sequence, Tuple, TypeVar

import database
from database import ApplicationError, Connection, fold, moment, now, quantity, snapshot, sound, transaction

if TYPE_CHECKING:
    import email.message
    import smtplib
    from concurrent.futures import Future

T = TypeVar("T")

ME, NOBODY, NONE, ANY = "me", "nobody", "none", "any"
RESERVED_USERNAMES = frozenset({ME, NOBODY, NONE, ANY})
LONGEST_NAME = 100

# OWASP Password Storage Cheat Sheet: scrypt with N=2^15, r=8, p=3, or PBKDF2-HMAC-SHA256 with 600,000 iterations.
SCRYPT_LOG_N, SCRYPT_R, SCRYPT_P = 15, 8, 3
PBKDF2_ITERATIONS = 600_000
# Far beyond what we write: a stored hash that asks for more would stop the machine.
_MAXIMUM_LOG_N, _MAXIMUM_R, _MAXIMUM_P, _MAXIMUM_ITERATIONS = 18, 16, 16, 10_000_000

# Failures without a wait for each username: from one client, and from all clients together.
FREE_FAILURES, FREE_FAILURES_ALL_CLIENTS = 5, 50
FIRST_WAIT_SECONDS, LONGEST_WAIT_SECONDS = 30, 15 * 60
FAILURES_COUNT_SECONDS, CLIENTS_COUNT_SECONDS = 24 * 60 * 60, 30 * 24 * 60 * 60
_LOCKED = "An account is locked for up to 15 minutes after five failed attempts."
PASSWORD_RULE = (
    "A password has at least 12 characters, five of them different, is not a common one, and contains neither the "
    "username nor the program's name."
)

NAMED_AT_MOST = 10  # choices in an error message
ANSWER_SECONDS = 20  # for each answer of a mail server
CLAIM_SECONDS = 5 * 60  # longer than an attempt to send takes
FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 60, 4 * 60 * 60
RETRIED_SECONDS, RETRIED_AT_LEAST = 3 * 24 * 60 * 60, 10
WAITED_SECONDS = 10  # at a prompt, for a message that is sent at once
FINISH_SECONDS = 1  # at the end of the program, for messages that are still being sent
MAILER_SECONDS = 60  # between looks at the outbox for messages whose pause is over
LONGEST_REASON, LONGEST_CREDENTIAL = 300, 1000


# Errors


class InvalidInputError(ApplicationError):
    """The answer is not acceptable; the same question may be asked again."""


class UnknownPersonError(InvalidInputError):
    """Nobody has the name that was given for a person."""


class PermissionDeniedError(ApplicationError):
    """The account may not do this."""


class AuthenticationError(ApplicationError):
    """The name and password do not match an account that may be used."""


class SessionEndedError(ApplicationError):
    """The account behind the session was deactivated, or its password was changed elsewhere."""


class ConflictError(ApplicationError):
    """Somebody else changed the same field after it was shown."""


# Input


def plain_text(text: str) -> str:
    """Return the text in NFC, with LF line ends and without space around it. Raises InvalidInputError."""
    if "\0" in text or any("\ud800" <= character <= "\udfff" for character in text):
        raise InvalidInputError("A text cannot contain NUL or an incomplete character.")
    return unicodedata.normalize("NFC", text).replace("\r\n", "\n").strip()


def parse_choice(choices: Sequence[T], text: str, describe: Callable[[T], str] = str, has_numbers: bool = True) -> T:
    """Return the choice with that number, name or unambiguous beginning of a name. Raises InvalidInputError."""
    if has_numbers and text in map(str, range(1, len(choices) + 1)):
        return choices[int(text) - 1]
    named = [(describe(choice), choice) for choice in choices]
    possible = [(name, choice) for name, choice in named if name.lower().startswith(text.lower())]
    for name, choice in possible:
        if len(possible) == 1 or name.lower() == text.lower():
            return choice
    accepted = f"a number from 1 to {len(choices)} or " if has_numbers else ""
    raise InvalidInputError(f"Answer with {accepted}one of: {_joined([name for name, _ in possible or named])}.")


def parse_yes_or_no(text: str) -> bool:
    """Return True for `yes`, False for `no`; the beginning will do. Raises InvalidInputError."""
    for answer in ("yes", "no"):
        if answer.startswith(text.lower()):
            return answer == "yes"
    raise InvalidInputError("Answer yes or no.")


def _joined(names: Sequence[str]) -> str:
    more = f" and {len(names) - NAMED_AT_MOST:,} more" if len(names) > NAMED_AT_MOST else ""
    return f"{', '.join(names[:NAMED_AT_MOST])}{more}"


# Roles and rights


class Word(str, Enum):
    """A vocabulary; each value is the word that is stored, typed and shown."""

    __str__ = str.__str__


class Role(Word):
    USER = "user"
    MANAGER = "manager"
    ADMIN = "admin"

    @property
    def with_article(self) -> str:
        """The role in a sentence: a user, an admin."""
        return f"{'an' if self is Role.ADMIN else 'a'} {self}"


class Scope(Enum):
    """For which work orders a role may take an action."""

    NONE = "none"
    OWN_UNFINISHED = "one's own, until finished"
    OWN = "one's own"
    ALL = "all"


class Action(Enum):
    """What somebody can do, and for which work orders a user, a manager and an admin may."""

    CREATE = ("create a work order", Scope.ALL, Scope.ALL, Scope.ALL)
    VIEW = ("see work orders", Scope.OWN, Scope.ALL, Scope.ALL)
    CHANGE_STATUS = ("change the status", Scope.OWN, Scope.ALL, Scope.ALL)
    EDIT = ("edit the title, description, priority or category", Scope.OWN_UNFINISHED, Scope.ALL, Scope.ALL)
    COMMENT = ("comment", Scope.OWN, Scope.ALL, Scope.ALL)
    NAME_CATEGORY = ("name a new category", Scope.NONE, Scope.ALL, Scope.ALL)
    CHANGE_REQUESTER = ("change the requester", Scope.NONE, Scope.ALL, Scope.ALL)
    ADD_CALLER = ("add a requester without a password", Scope.NONE, Scope.ALL, Scope.ALL)
    ASSIGN = ("assign a work order", Scope.NONE, Scope.ALL, Scope.ALL)
    SET_DUE_DATE = ("set a due date", Scope.NONE, Scope.ALL, Scope.ALL)
    CHANGE_MANY = ("change many work orders at once", Scope.NONE, Scope.ALL, Scope.ALL)
    LINK = ("link work orders", Scope.NONE, Scope.ALL, Scope.ALL)
    RECURRING = ("set up recurring work orders", Scope.NONE, Scope.ALL, Scope.ALL)
    SUMMARY = ("see the summary", Scope.ALL, Scope.ALL, Scope.ALL)
    REPORTS = ("see reports", Scope.NONE, Scope.ALL, Scope.ALL)
    EXPORT = ("export work orders", Scope.NONE, Scope.ALL, Scope.ALL)
    IMPORT = ("import work orders", Scope.NONE, Scope.NONE, Scope.ALL)
    SERVICE_TARGETS = ("change the service targets", Scope.NONE, Scope.NONE, Scope.ALL)
    DELETE = ("delete a work order", Scope.NONE, Scope.NONE, Scope.ALL)
    RESTORE = ("see and restore deleted work orders", Scope.NONE, Scope.NONE, Scope.ALL)
    MANAGE_USERS = ("manage users", Scope.NONE, Scope.NONE, Scope.ALL)
    AUDIT = ("see the audit log", Scope.NONE, Scope.NONE, Scope.ALL)
    BACK_UP = ("back up or check the database", Scope.NONE, Scope.NONE, Scope.ALL)
    MAIL = ("set up mail or see what waits to be sent", Scope.NONE, Scope.NONE, Scope.ALL)
    OWN_ACCOUNT = ("change one's own account", Scope.ALL, Scope.ALL, Scope.ALL)
    MAIL_WISH = ("get mail about new work orders", Scope.NONE, Scope.ALL, Scope.ALL)

    def __init__(self, words: str, *scopes: Scope) -> None:
        self.words, self.scopes = words, dict(zip(Role, scopes))


# Sessions


class MailWish(Word):
    """Which new work orders a manager or admin gets mail about."""

    NONE = "none"
    UNASSIGNED = "unassigned"
    ALL = "all"


class User(NamedTuple):
    """A row of users; created_at is UTC. `name` is the person's real name, where it is known."""

    id: int
    username: str
    name: Optional[str]
    role: Role
    email: Optional[str]
    is_active: bool
    created_at: datetime
    must_change_password: bool
    password_version: int
    has_password: bool
    new_work_order_mail: MailWish


class Session:
    """Somebody signed in on a connection, for as long as the account is active and its password stays the same.

    The user ID is None for a command of the host; see host_session.
    """

    def __init__(self, connection: Connection, user_id: Optional[int], password_version: int) -> None:
        self.connection = connection
        self.user_id = user_id
        self.password_version = password_version


def host_session(connection: Connection) -> Session:
    """Return a session for a command of this host, run by whoever may read and write the database file."""
    return Session(connection, None, 0)


def current_user(session: Session) -> User:
    """Return the account behind the session as it stands now. Raises SessionEndedError."""
    if session.user_id is None:
        return User(0, "", None, Role.ADMIN, None, True, datetime.now(timezone.utc), False, 0, False, MailWish.NONE)
    row = session.connection.execute(f"{_SELECT_USERS} WHERE id = ?", (session.user_id,)).fetchone()
    if row is None or not row["is_active"]:
        raise SessionEndedError(f"You are logged out: your account {'has been deactivated' if row else 'is gone'}.")
    user = _user(row)
    if user.password_version != session.password_version:
        raise SessionEndedError("You are logged out: your password has been changed. Log in with the new one.")
    return user


def scope(user: User, action: Action) -> Scope:
    """Return for which work orders the user's role may take the action."""
    return action.scopes[user.role]


def may(user: User, action: Action) -> bool:
    """Return whether the user's role may take the action for at least some work orders."""
    return scope(user, action) is not Scope.NONE


def authorize(session: Session, action: Action) -> User:
    """Return the session's account if it may take the action. Call this inside the transaction that does the work.

    Raises SessionEndedError, PermissionDeniedError.
    """
    user = current_user(session)
    if user.must_change_password and action is not Action.OWN_ACCOUNT:
        raise PermissionDeniedError("Change your one-time password first.")
    if not may(user, action):
        raise PermissionDeniedError(f"Your role ({user.role}) does not let you {action.words}.")
    return user


@contextmanager
def reading(session: Session, action: Action) -> Iterator[User]:
    """Read everything inside from one moment, if the session may take the action. Raises as authorize does."""
    with snapshot(session.connection):
        yield authorize(session, action)


@contextmanager
def writing(session: Session, action: Action) -> Iterator[User]:
    """Commit everything written inside, if the session may take the action. Raises as authorize and transaction do."""
    with transaction(session.connection):
        yield authorize(session, action)


_SELECT_USERS = "SELECT *, password_hash IS NOT NULL AS has_password FROM users"


def _user(row: sqlite3.Row) -> User:
    with sound(f"User {row['username']}"):
        stored = _values(row, User._fields)
        stored.update({name: bool(row[name]) for name in ("is_active", "must_change_password", "has_password")})
        stored.update(role=Role(row["role"]), new_work_order_mail=MailWish(row["new_work_order_mail"]))
        return User(**stored)


def _values(row: sqlite3.Row, names: Sequence[str]) -> Dict[str, Any]:
    """Return these columns by name, the moments among them parsed. Raises ValueError for bytes, which no column has."""
    for name in names:
        if isinstance(row[name], bytes):
            raise ValueError(f"the {name} is {row[name]!r}")
    return {name: moment(row[name]) if name.endswith("_at") else row[name] for name in names}


# People: which account a text means


class People(Enum):
    """Who can be named at a prompt: a condition in SQL, the right to name one, and the refusal of anybody else."""

    EVERYBODY = ("1", Action.VIEW, "")
    REQUESTERS = ("is_active", Action.CHANGE_REQUESTER, "A requester must have an active account; {} is deactivated.")
    ASSIGNEES = ("is_active AND role <> 'user'", Action.ASSIGN, "An assignee is an active manager or admin; {} is not.")

    def __init__(self, condition: str, needed: Action, refusal: str) -> None:
        self.condition, self.needed, self.refusal = condition, needed, refusal


class Person(NamedTuple):
    username: str
    name: Optional[str]


def find(connection: Connection, username: str, people: People = People.EVERYBODY) -> User:
    """Return the account. Raises UnknownPersonError, InvalidInputError if it is not one of these people."""
    sql = f"SELECT *, {people.condition} AS is_fit FROM ({_SELECT_USERS}) WHERE username = ?"
    row = connection.execute(sql, (username.lower(),)).fetchone()
    if row is None:
        raise UnknownPersonError(f"There is no user {username[:LONGEST_NAME]}.")
    if not row["is_fit"]:
        raise InvalidInputError(people.refusal.format(row["username"]))
    return _user(row)


def parse_person(session: Session, text: str, people: People) -> str:
    """Return the username that a username, a name, the beginning of one or `me` means. Raises InvalidInputError."""
    user, username, name = authorize(session, people.needed), text.lower(), fold(text)
    if not name.strip():
        raise InvalidInputError("Answer with a username or a name.")
    if username == ME:
        return find(session.connection, user.username, people).username
    if scope(user, Action.VIEW) is not Scope.ALL:  # so that they don't learn which accounts there are
        return parse_username(text)
    sql = f"SELECT username, name, {people.condition} AS is_fit FROM users ORDER BY username"
    rows = session.connection.execute(sql).fetchall()
    names = {str(row["username"]): fold(str(row["name"] or "")) for row in rows}
    fit = [str(row["username"]) for row in rows if row["is_fit"]]
    found = (
        [username] * (username in names)
        or [each for each in fit if names[each] == name]
        or [each for each in names if names[each] == name]
        or [each for each in fit if each.startswith(username) or names[each].startswith(name)]
        or [text]
    )
    if len(found) > 1:
        raise InvalidInputError(f"{text[:LONGEST_NAME]} can be any of {_joined(found)}. Answer with a username.")
    return find(session.connection, found[0], people).username


def list_people(session: Session, people: People, limit: int = -1) -> List[Person]:
    """Return up to `limit` (-1: all) of these people that the session may know of, those with a password first."""
    with reading(session, people.needed) as user:
        rows = session.connection.execute(
            f"""
            SELECT username, name FROM users WHERE {people.condition} AND (? OR id = ?)
            ORDER BY password_hash IS NULL, username LIMIT ?
            """,
            (scope(user, Action.VIEW) is Scope.ALL, user.id, limit),
        )
        return [Person(*row) for row in rows]


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


def has_admin(connection: Connection) -> bool:
    """Return whether there is an active admin with a password."""
    condition = "role = 'admin' AND is_active = 1 AND password_hash IS NOT NULL"
    return connection.execute(f"SELECT 1 FROM users WHERE {condition}").fetchone() is not None


def register(
    connection: Connection, username: str, password: str, role: Role, approval: Optional[Tuple[str, str]] = None
) -> User:
    """Create an account; `approval` is an admin's name and password. Raises InvalidInputError, AuthenticationError."""
    username = parse_new_username(connection, username)
    password_hash = _hash(parse_password(password, username))
    approver = _authenticated(connection, *approval) if approval else None
    with transaction(connection):
        is_needed, asked_for = role is not Role.USER and has_admin(connection), f"{username} as {role}"
        is_admin = approver and approver.role is Role.ADMIN and not approver.must_change_password
        if not is_needed or (approver and is_admin and find(connection, approver.username) == approver):
            user = _insert(connection, username, role, password_hash)
            audit(connection, user.id, "registered", asked_for, user.id)
            if is_needed and approver:
                _clear_failures(connection, approver.username, _client())
                audit(connection, approver.id, "registration approved", asked_for, user.id)
            return user
        asked, asked_id = _known_name(connection, approval[0]) if approval else (NOBODY, None)
        audit(connection, None, "approval failed", f"{asked} for {asked_for}", asked_id)
    raise AuthenticationError(f"The admin's username or password is wrong. Nothing was created. {_LOCKED}")


def log_in(connection: Connection, username: str, password: str) -> Session:
    """Return a new session. Raises AuthenticationError, in the same words and after the same work whatever is wrong."""
    user = _authenticated(connection, username, password)
    outdated = "SELECT 1 FROM users WHERE id = ? AND password_hash NOT LIKE ? || '%'"
    is_outdated = user and connection.execute(outdated, (user.id, f"${_parameters()}$")).fetchone()
    new_hash = _hash(password) if is_outdated else None
    with transaction(connection):
        if user and find(connection, user.username) == user:
            if new_hash:
                connection.execute("UPDATE users SET password_hash = ? WHERE id = ?", (new_hash, user.id))
            _clear_failures(connection, user.username, _client())
            login = "INSERT OR REPLACE INTO login_clients (user_id, client, last_login_at) VALUES (?, ?, ?)"
            connection.execute(login, (user.id, _client(), now()))
            audit(connection, user.id, "logged in", user.username, user.id)
            return Session(connection, user.id, user.password_version)
        audit(connection, None, "login failed", *_known_name(connection, username))
    raise AuthenticationError(f"The username or the password is wrong. {_LOCKED}")


def _insert(connection: Connection, username: str, role: Role, password_hash: Optional[str], **others: object) -> User:
    """Create an account, inside an open transaction; `others` are further columns. Raises InvalidInputError."""
    username = parse_new_username(connection, username)
    _clear_failures(connection, username)
    (latest,) = connection.execute("SELECT coalesce(max(id), 0) FROM work_order_history").fetchone()
    values = {"username": username, "password_hash": password_hash, "role": role, "created_at": now(), **others}
    database.insert(connection, "users", {**values, "seen_history_id": latest})
    return find(connection, username)


def _known_name(connection: Connection, username: str) -> Tuple[str, Optional[int]]:
    """Return the name and id for the audit log. An unknown name may be a password typed one line too early."""
    row = connection.execute("SELECT username, id FROM users WHERE username = ?", (username.lower(),)).fetchone()
    return (row["username"], row["id"]) if row else ("an unknown name", None)


# Accounts without a password


def parse_person_name(text: str) -> Optional[str]:
    """Return a person's name on one line, or None for `none`. Raises InvalidInputError."""
    name = " ".join(plain_text(text).split())
    if name.lower() == NONE:
        return None
    if not 1 <= len(name) <= LONGEST_NAME:
        raise InvalidInputError(f"A name has 1 to {LONGEST_NAME} characters.")
    return name


def username_from_name(connection: Connection, name: str) -> str:
    """Return a free username made from the name: tom.o.brien, tom.o.brien.2, or person.1 for a name without letters."""
    made = re.sub(r"[^a-z0-9_-]+", ".", fold(name)).strip(".")[:28].rstrip(".")
    base = made if len(made) >= 2 and made not in RESERVED_USERNAMES else "person"
    rows = connection.execute("SELECT username FROM users WHERE username >= ? AND username < ?", (base, f"{base}/"))
    taken = {row["username"] for row in rows}
    names = (base if number == 1 and base == made else f"{base}.{number}" for number in itertools.count(1))
    return next(name for name in names if name not in taken)


def add_caller(session: Session, name: str, email: Optional[str]) -> str:
    """Create an account without a password and return its username. Raises InvalidInputError."""
    with writing(session, Action.ADD_CALLER) as by:
        return insert_caller(session.connection, by, name, email).username


def insert_caller(connection: Connection, by: User, name: str, email: Optional[str], username: str = "") -> User:
    """Create an account as add_caller does, inside an open transaction; the username must be free."""
    others = {"name": parse_person_name(name), "email": parse_email(email or NONE)}
    user = _insert(connection, username or username_from_name(connection, name), Role.USER, None, **others)
    audit(connection, by.id, "user added", f"{user.username} without a password", user.id)
    return user


# One's own account


def parse_address(text: str) -> str:
    """Return one plain email address. Raises InvalidInputError."""
    # The form that HTML's email fields take, RFC 5321's length: https://html.spec.whatwg.org/#valid-e-mail-address
    if len(text) > 254 or not re.fullmatch(r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]+@[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)+", text):
        raise InvalidInputError("An email is one plain address such as ada@example.org.")
    return text


def parse_email(text: str) -> Optional[str]:
    """Return one plain address, or None for `none`. Raises InvalidInputError."""
    return None if text.lower() == NONE else parse_address(text)


def change_email(session: Session, email: Optional[str]) -> None:
    """Change one's own email address, or remove it. Raises InvalidInputError."""
    email = parse_email(email or NONE)
    with writing(session, Action.OWN_ACCOUNT) as user:
        session.connection.execute("UPDATE users SET email = ? WHERE id = ?", (email, user.id))
        audit(session.connection, user.id, "email changed", user.username, user.id)


def change_mail_wish(session: Session, wish: MailWish) -> None:
    """Choose which new work orders to get mail about. Raises PermissionDeniedError to users."""
    with writing(session, Action.MAIL_WISH) as user:
        session.connection.execute("UPDATE users SET new_work_order_mail = ? WHERE id = ?", (wish, user.id))
        audit(session.connection, user.id, "mail wish changed", f"{user.username}: {wish}", user.id)


def change_password(session: Session, current: str, new: str) -> None:
    """Change one's own password; all other sessions end. Raises AuthenticationError, InvalidInputError."""
    connection = session.connection
    user = authorize(session, Action.OWN_ACCOUNT)
    if _authenticated(connection, user.username, current) != user:
        record_refusal(session, "wrong current password")
        raise AuthenticationError(f"The current password is wrong. {_LOCKED}")
    new_hash = _hash(parse_password(new, user.username, current))
    with writing(session, Action.OWN_ACCOUNT):
        _set_password(connection, user, new_hash, user.id, "password changed")
    session.password_version = user.password_version + 1


# Managing users, for admins. These functions raise PermissionDeniedError, UnknownPersonError.


class ListedUser(NamedTuple):
    """An account, and in words whether its person can log in; after a colon, what to do about it."""

    user: User
    state: str


def list_users(session: Session, after: Optional[ListedUser] = None, limit: int = -1) -> Tuple[List[ListedUser], int]:
    """Return up to `limit` (-1: all) accounts, those who can log in first, and how many there are in all."""
    connection = session.connection
    key = (not (after.user.is_active and after.user.has_password), after.user.username) if after else (-1, "")
    with reading(session, Action.MANAGE_USERS):
        rows = connection.execute(
            f"""
            {_SELECT_USERS} WHERE (is_active = 0 OR password_hash IS NULL, username) > (?, ?)
            ORDER BY is_active = 0 OR password_hash IS NULL, username LIMIT ?
            """,
            (*key, limit),
        ).fetchall()
        (count,) = connection.execute("SELECT count(*) FROM users").fetchone()
        return [ListedUser(user, _state(connection, user)) for user in map(_user, rows)], int(count)


def _state(connection: Connection, user: User) -> str:
    if not user.is_active:
        return "deactivated"
    if not user.has_password:
        return f"no password{': choose Reset password' if user.must_change_password else ''}"
    seconds = min(max(_waits(connection, user.username)), LONGEST_WAIT_SECONDS)
    if seconds > 0:
        return f"locked for {math.ceil(seconds / 60)}m"
    return "one-time password" if user.must_change_password else "active"


def add_user(session: Session, username: str, role: Role) -> str:
    """Create an account for somebody else and return its one-time password. Raises InvalidInputError."""
    one_time_password, password_hash = _one_time_password()
    with writing(session, Action.MANAGE_USERS) as admin:
        user = _insert(session.connection, username, role, password_hash, must_change_password=True)
        audit(session.connection, admin.id, "user added", f"{user.username} as {role}", user.id)
    return one_time_password


def change_person(session: Session, shown: User, name: Optional[str], email: Optional[str]) -> None:
    """Store the name and the email address where they differ from the shown ones; None removes one.

    Raises InvalidInputError, and ConflictError where somebody else has changed the same one.
    """
    changes = {"name": parse_person_name(name or NONE), "email": parse_email(email or NONE)}
    with writing(session, Action.MANAGE_USERS) as admin:
        user = find(session.connection, shown.username)
        for column, new in changes.items():
            old, current = getattr(shown, column), getattr(user, column)
            if new != old and current not in (old, new):
                raise ConflictError(f"The {column} is now {current or NONE}: somebody changed it. Nothing was saved.")
            if new != old:
                database.update(session.connection, "users", user.id, {column: new})
                audit(session.connection, admin.id, f"{column} changed", user.username, user.id)


def reset_password(session: Session, username: str) -> str:
    """Give the account a one-time password and return it; the account's sessions end."""
    one_time_password, password_hash = _one_time_password()
    with writing(session, Action.MANAGE_USERS) as admin:
        user = find(session.connection, username)
        _set_password(session.connection, user, password_hash, admin.id, "password reset", must_change=True)
    return one_time_password


def reactivate(session: Session, username: str) -> None:
    """Reactivate an account, with the role and password it had. Raises InvalidInputError."""
    with writing(session, Action.MANAGE_USERS) as admin:
        user = find(session.connection, username)
        if user.is_active:
            raise InvalidInputError(f"User {user.username} is already active.")
        # Without a password, the list of users then says how to let the person in.
        changes = "is_active = 1, must_change_password = must_change_password OR password_hash IS NULL"
        session.connection.execute(f"UPDATE users SET {changes} WHERE id = ?", (user.id,))
        audit(session.connection, admin.id, "reactivated", user.username, user.id)


def unlock(session: Session, username: str) -> int:
    """Forget the account's failed password checks, so that it is not locked, and return how many there were."""
    with writing(session, Action.MANAGE_USERS) as admin:
        user = find(session.connection, username)
        count = "SELECT coalesce(sum(failures), 0) FROM password_failures WHERE name_hash = ?"
        (failures,) = session.connection.execute(count, (_name_hash(user.username),)).fetchone()
        _clear_failures(session.connection, user.username)
        audit(session.connection, admin.id, "unlocked", user.username, user.id)
    return int(failures)


def change_role(connection: Connection, admin: User, username: str, role: Role) -> User:
    """Change the role, inside the transaction that hands over the work orders. Raises InvalidInputError."""
    user = find(connection, username)
    if user.role is role:
        raise InvalidInputError(f"The role of {user.username} is already {role}.")
    if not user.has_password:
        raise InvalidInputError(f"User {user.username} has no password; choose Reset password before another role.")
    connection.execute("UPDATE users SET role = ? WHERE id = ?", (role, user.id))
    _require_admin(connection, user)
    audit(connection, admin.id, "role changed", f"{user.username} from {user.role} to {role}", user.id)
    return user._replace(role=role)


def deactivate(connection: Connection, admin: User, username: str) -> User:
    """Deactivate the account, inside the transaction that hands over its work orders. Raises InvalidInputError."""
    user = find(connection, username)
    if not user.is_active:
        raise InvalidInputError(f"User {user.username} is already deactivated.")
    changes = {"is_active": False, "password_version": user.password_version + 1}
    database.update(connection, "users", user.id, changes)
    _require_admin(connection, user)
    audit(connection, admin.id, "deactivated", user.username, user.id)
    return user._replace(is_active=False)


def _require_admin(connection: Connection, user: User) -> None:
    """Raise PermissionDeniedError, which undoes the change, if the user was the last active admin."""
    if not has_admin(connection):
        raise PermissionDeniedError(f"{user.username} is the last active admin; make somebody else an admin first.")


# Ledgers, backup and check. What is for admins raises PermissionDeniedError.


class AuditEntry(NamedTuple):
    """A row of audit_log: when (UTC), by which account ("": unknown), from where, what happened and to what."""

    id: int
    recorded_at: datetime
    username: str
    os_user: str
    ssh_client: str
    event: str
    subject: str


class AuditFilter(NamedTuple):
    """Which entries of the audit log to show: by and about an account, of one kind; None means any."""

    username: Optional[str] = None
    event: Optional[str] = None


def audit(connection: Connection, by_id: Optional[int], event: str, subject: str, whom: Optional[int] = None) -> None:
    """Add an entry to the audit log, inside the transaction of what it records; `whom` is the account it concerns."""
    os_user, _, ssh_client = _client().rpartition(" ")
    values = {"recorded_at": now(), "user_id": by_id or None, "os_user": os_user, "ssh_client": ssh_client}
    database.insert(connection, "audit_log", {**values, "event": event, "subject": subject, "subject_id": whom})


def record_change(
    connection: Connection, work_order_id: int, user_id: int, at: str, field: str, **others: object
) -> None:
    """Add a row to the history, inside the transaction of the change; `others` are more columns."""
    values = {"work_order_id": work_order_id, "user_id": user_id, "changed_at": at, "field": field, **others}
    database.insert(connection, "work_order_history", values)


def record_refusal(session: Session, subject: str) -> None:
    with transaction(session.connection):
        audit(session.connection, session.user_id, "refused", subject)


def audit_log(session: Session, filter: AuditFilter, before: Optional[int], limit: int) -> List[AuditEntry]:
    """Return up to `limit` entries, newest first; `before` is the ID of the last one that was shown, if any."""
    values: Dict[str, object] = {"before": before or sys.maxsize, "event": filter.event, "limit": limit}
    condition = "audit_log.id < :before"
    with reading(session, Action.AUDIT):
        if filter.event:
            condition += " AND event = :event"
        if filter.username:
            values["account"] = find(session.connection, filter.username).id
            own = "SELECT id FROM audit_log WHERE user_id = :account OR subject_id = :account"
            condition += f" AND audit_log.id IN ({own})"
        rows = session.connection.execute(
            f"""
            SELECT audit_log.*, coalesce(username, '') AS username FROM audit_log LEFT JOIN users ON users.id = user_id
            WHERE {condition} ORDER BY audit_log.id DESC LIMIT :limit
            """,
            values,
        ).fetchall()
    with sound("The audit log"):
        return [AuditEntry(**_values(row, AuditEntry._fields)) for row in rows]


def get_audit_entry(session: Session, entry_id: int) -> AuditEntry:
    """Return an entry of the audit log. Raises InvalidInputError if there is none."""
    for entry in audit_log(session, AuditFilter(), entry_id + 1, 1):
        if entry.id == entry_id:
            return entry
    raise InvalidInputError(f"There is no entry {entry_id}.")


def audit_events(session: Session) -> List[str]:
    with reading(session, Action.AUDIT), sound("The audit log"):
        rows = session.connection.execute("SELECT DISTINCT event FROM audit_log ORDER BY event")
        return [_values(row, ["event"])["event"] for row in rows]


def _client() -> str:
    """Return the account on this host, whatever the environment says, and after a space the SSH client's address."""
    try:
        import pwd

        os_user = pwd.getpwuid(os.getuid()).pw_name
    except ImportError:  # Windows
        os_user = os.getlogin()
    except KeyError:
        os_user = str(os.getuid())
    ssh_client, _, _ = os.environ.get("SSH_CLIENT", "").partition(" ")
    return f"{os_user} {ascii(ssh_client)[1:-1]}"


def back_up(session: Session) -> Path:
    """Back up the database and return the path of the copy. Raises OutputError."""
    admin = authorize(session, Action.BACK_UP)
    path = database.back_up(session.connection, database.new_path(session.connection, "backup", ".db"))
    try:
        with transaction(session.connection):
            audit(session.connection, admin.id, "backed up", database.printable(path.name))
    except database.EXPECTED_FAULTS as fault:
        reason = database.explain(fault)
        raise ApplicationError(f"The backup is in {path}, but the audit log has no row about it. {reason}") from fault
    return path


def check_database(session: Session) -> List[str]:
    """Return what is wrong with the database, if anything. Raises OutputError."""
    with writing(session, Action.BACK_UP) as admin:
        audit(session.connection, admin.id, "database checked", "")
    return database.check(session.connection)


# Mail: the settings, for admins. These functions raise PermissionDeniedError.


class Security(Word):
    """How the connection to the mail server is encrypted: after STARTTLS, from the beginning, or not at all."""

    STARTTLS = "starttls"
    TLS = "tls"
    NONE = "none"


class MailSettings(NamedTuple):
    """The mail server (None: no mail is sent), the address that messages come from, and the account there, if any."""

    host: Optional[str]
    port: int
    security: Security
    sender: Optional[str]
    username: Optional[str]
    password: Optional[str]


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


def parse_credential(text: str) -> Optional[str]:
    """Return a username or password for the mail server, or None for `none`. Raises InvalidInputError."""
    if len(text) > LONGEST_CREDENTIAL or not (text.isascii() and text.isprintable()):
        raise InvalidInputError(f"It has at most {LONGEST_CREDENTIAL:,} letters, digits and signs of ASCII; or none.")
    return None if text.lower() == NONE else text


def mail_state(session: Session) -> Tuple[MailSettings, str]:
    """Return the settings, with a stand-in for the password, and in words where messages go and how many wait."""
    with reading(session, Action.MAIL):
        settings = _without_password(_mail_settings(session.connection))
        return settings, f"{describe_mail_settings(settings)}; {outbox_state(session.connection)[1]}"


def change_mail_settings(session: Session, shown: MailSettings, new: MailSettings) -> MailSettings:
    """Store the settings that differ from `shown` and return all; another server does not get the old password.

    Raises ConflictError, and InvalidInputError for a host without a sender.
    """
    changes = {name: value for name, was, value in zip(new._fields, shown, new) if value != was}
    with writing(session, Action.MAIL) as admin:
        old = _mail_settings(session.connection)
        for name, value in changes.items():
            current = getattr(_without_password(old), name)
            if current not in (value, getattr(shown, name)):
                words = "another" if name == "password" else current or NONE
                entries = audit_log(session, AuditFilter(event="mail settings changed"), None, 1)
                by = entries[0].username if entries else "another program"
                raise ConflictError(f"The {name} is now {words}: {by} changed it in the meantime. Nothing was saved.")
        if "password" in changes and old[:3] != shown[:3]:
            raise ConflictError("Somebody has named another mail server in the meantime. Nothing was saved.")
        stored = MailSettings(**{**old._asdict(), **changes})
        if stored[:3] != old[:3] and "password" not in changes:
            stored = stored._replace(password=None)
        if stored.host:
            parse_address(stored.sender or NONE)
        database.update(session.connection, "mail_settings", 1, stored._asdict())
        audit(session.connection, admin.id, "mail settings changed", describe_mail_settings(stored))
    return _without_password(stored)


def describe_mail_settings(settings: MailSettings) -> str:
    """Return in words where messages go, without the password."""
    if not settings.host:
        return "no mail is sent"
    account = f" as {database.printable(settings.username)}" if settings.username else ""
    return f"{settings.host}:{settings.port} ({settings.security}){account}, from {settings.sender}"


def is_mail_on(connection: Connection) -> bool:
    return connection.execute("SELECT 1 FROM mail_settings WHERE host IS NOT NULL").fetchone() is not None


def _mail_settings(connection: Connection) -> MailSettings:
    row = connection.execute("SELECT * FROM mail_settings").fetchone()
    with sound("The row of the mail settings"):
        return MailSettings(**_values(row, MailSettings._fields))._replace(security=Security(row["security"]))


def _without_password(settings: MailSettings) -> MailSettings:
    """Return the settings with a stand-in for the password: nobody can type it, and it differs where passwords do."""
    password = settings.password
    return settings._replace(password=f"\0{hashlib.sha256(password.encode()).hexdigest()}" if password else None)


# Mail: the outbox


class Message(NamedTuple):
    """A message: written when (UTC), to whom, tried how often and next (None: it has failed for good), failed why."""

    id: int
    created_at: datetime
    username: str
    subject: str
    attempts: int
    next_attempt_at: Optional[datetime]
    reason: str


def put_in_outbox(
    connection: Connection, user_id: int, subject: str, parts: Sequence[Tuple[int, str]], heading: str = ""
) -> None:
    """Write a message about work orders, inside the transaction that changes them.

    A part is the ID of a work order and a text about it; it is left out if the recipient may not see that work order
    when the message is sent. Does nothing if mail is off or the account is deactivated or has no email.
    """
    cursor = connection.execute(
        """
        INSERT INTO outbox (user_id, message_id, subject, text, created_at, next_attempt_at)
        SELECT users.id, '<' || :random || substr(sender, instr(sender, '@')) || '>', :subject, :heading, :now, :now
        FROM users, mail_settings WHERE users.id = :id AND is_active = 1 AND email IS NOT NULL AND host IS NOT NULL
        """,
        {"id": user_id, "random": os.urandom(16).hex(), "subject": subject, "heading": heading, "now": now()},
    )
    if cursor.rowcount:
        connection.executemany(
            "INSERT INTO outbox_parts (outbox_id, work_order_id, text) VALUES (?, ?, ?)",
            [(cursor.lastrowid, work_order_id, text) for work_order_id, text in parts],
        )


def outbox(session: Session, after: Optional[Message] = None, limit: int = -1) -> List[Message]:
    """Return up to `limit` (-1: all) messages older than `after`, waiting or failed, newest first."""
    with reading(session, Action.MAIL):
        rows = session.connection.execute(
            """
            SELECT outbox.id, outbox.created_at, username, subject, attempts, next_attempt_at, reason
            FROM outbox JOIN users ON users.id = user_id WHERE outbox.id < ? ORDER BY outbox.id DESC LIMIT ?
            """,
            (after.id if after else sys.maxsize, limit),
        ).fetchall()
    with sound("The outbox"):
        return [Message(**_values(row, Message._fields)) for row in rows]


def outbox_state(connection: Connection) -> Tuple[int, str]:
    """Return how many messages wait, and in words how many wait and how many have failed for good."""
    total, waiting = connection.execute("SELECT count(*), count(next_attempt_at) FROM outbox").fetchone()
    waits = f"{waiting:,} message{' waits' if waiting == 1 else 's wait'}"
    return waiting, f"{waits}, {total - waiting:,} failed for good"


def describe_attempt(message: Message) -> str:
    """Return in words when the message is tried next, in local time."""
    if message.next_attempt_at is None:
        return "failed"
    if message.reason == BEING_SENT and message.next_attempt_at > datetime.now(timezone.utc):
        return BEING_SENT
    return f"{message.next_attempt_at.astimezone():%Y-%m-%d %H:%M}"


# Mail: sending


class Mailer:
    """Sends due messages in the background, on a connection of its own; calls `log` for an unexpected error."""

    def __init__(self, connection: Connection, log: Callable[[], object]) -> None:
        self._connection, self._log = connection, log
        self._running: Optional[Future[None]] = None
        self._is_ending = False

    def wake(self) -> None:
        """Have the due messages sent in the background; this takes no time and raises nothing."""
        with suppress(sqlite3.Error, RuntimeError):  # busy, or no room for a thread: the next call may succeed
            if not self._running and is_mail_on(self._connection):
                from threading import Event

                self._woken = Event()
                self._running = _in_background(self._run)
        if self._running:
            self._woken.set()

    def finish(self) -> None:
        """Have the messages that were saved last sent, and wait for that for up to FINISH_SECONDS."""
        if self._running:
            from concurrent.futures import wait

            self._is_ending = True
            self._woken.set()
            wait([self._running], FINISH_SECONDS)

    def _run(self) -> None:
        is_last = False
        while not is_last:
            self._woken.wait(MAILER_SECONDS)
            self._woken.clear()
            is_last = self._is_ending
            try:
                with suppress(*database.EXPECTED_FAULTS):  # busy, full or gone: the next round may succeed
                    send_waiting(self._connection.path, due_only=True)
            except Exception:  # noqa: BLE001 - the last resort: the other messages go on, and the log says what to fix
                self._log()


def send_now(session: Session) -> str:
    """Try each waiting message, and return the sentence that says what has become of them."""
    authorize(session, Action.MAIL)
    sent = _wait_for(lambda: send_waiting(session.connection.path))
    if sent is None:
        return "Sending continues in the background."
    return f"{quantity(sent, 'message')} sent; {outbox_state(session.connection)[1]}."


def send_test_message(session: Session, to: str) -> str:
    """Send a message and return the mail server's answer. Raises ApplicationError if that fails or takes too long."""
    with writing(session, Action.MAIL) as admin:
        settings = _mail_settings(session.connection)
        if not settings.host:
            raise ApplicationError("No mail is sent: there is no SMTP host in the settings.")
        audit(session.connection, admin.id, "test message sent", to)
    sender, text = settings.sender or "", f"This is a test message that {admin.username} sent."
    message_id = f"<{os.urandom(16).hex()}@{sender.rpartition('@')[2]}>"

    def send() -> str:
        with _server(settings) as server:
            return _transmit(server, _compose(sender, to, "Test message", text, message_id))

    try:
        answer = _wait_for(send)
    except _MAIL_FAULTS as fault:
        raise ApplicationError(f"The message was not sent ({_reason(fault)}).") from fault
    if answer is None:
        raise ApplicationError(f"No answer within {WAITED_SECONDS:g} seconds; the message may still arrive.")
    return answer


def send_waiting(path: Path, due_only: bool = False) -> int:
    """Try each message that waits, or each that is due, once; return how many were sent.

    A message is claimed before it is sent, so that nobody else sends it too; if this program is killed, another one
    sends it when the claim has expired. No transaction is open during the dialogue with the mail server.
    """
    # Not connect(), which also opens the file itself, without SQLite: closing it would drop the locks of the whole
    # process (https://www.sqlite.org/howtocorrupt.html, section 2.2).
    with closing(database.open_file(path)) as connection:
        connection.text_factory = lambda text: text.decode(errors="replace")  # a damaged message holds up no other
        settings, sent = _mail_settings(connection), 0
        waiting = f"SELECT id FROM outbox WHERE {_IS_WAITING} ORDER BY id"
        rows = connection.execute(waiting, {"due_only": due_only}).fetchall() if settings.host else []
        for (message_id,) in rows:
            message, is_connected = _claim(connection, message_id, due_only), False
            if message is None:
                continue
            try:
                with _server(settings) as server:
                    is_connected = True
                    _transmit(server, message)
            except _MAIL_FAULTS as fault:
                _postpone(connection, message_id, fault, due_only, with_others=not is_connected)
                if not is_connected:
                    break
            else:
                with transaction(connection):
                    connection.execute("DELETE FROM outbox WHERE id = ?", (message_id,))
                sent += 1
    return sent


def _in(seconds: object) -> str:
    """Return the SQL for the moment `seconds` from now, in the form that is stored."""
    return f"strftime('%Y-%m-%dT%H:%M:%S+00:00', 'now', {seconds} || ' seconds')"


BEING_SENT = "being sent"  # the reason of a claimed message
# Due, or put too far ahead by a wrong clock; or in a pause, where those are tried, too.
_IS_WAITING = f"""(
    next_attempt_at <= {_in(0)} OR next_attempt_at > {_in(LONGEST_PAUSE_SECONDS)}
    OR NOT :due_only AND next_attempt_at IS NOT NULL AND reason <> '{BEING_SENT}'
)"""
_MAIL_FAULTS = (OSError, ValueError, InvalidInputError)  # of smtplib and ssl, and of a recipient that is no address


def _claim(connection: Connection, message_id: int, due_only: bool) -> "Optional[email.message.Message]":
    """Claim a message, if it still waits, and return it; remove it if its recipient gets no mail or may see no part."""
    values = {"id": message_id, "due_only": due_only}
    claim = f"next_attempt_at = {_in(CLAIM_SECONDS)}, reason = '{BEING_SENT}', created_at = min(created_at, {_in(0)})"
    with transaction(connection):
        if not connection.execute(f"UPDATE outbox SET {claim} WHERE id = :id AND {_IS_WAITING}", values).rowcount:
            return None
        parts = connection.execute(
            """
            SELECT sender, email, subject, outbox.text AS heading, message_id, work_order_id, outbox_parts.text,
                CASE WHEN password_hash IS NOT NULL THEN 'choose My account > Change email and answer none'
                ELSE 'ask an admin, such as ' || (
                    SELECT coalesce(name, username) FROM users WHERE role = 'admin' AND is_active ORDER BY id LIMIT 1
                ) END AS way_to_stop
            FROM mail_settings, outbox JOIN users ON users.id = user_id
                JOIN outbox_parts ON outbox_id = outbox.id JOIN work_orders ON work_orders.id = work_order_id
            WHERE outbox.id = :id AND is_active = 1 AND email IS NOT NULL
                AND deleted_at IS NULL AND (role <> 'user' OR requester_id = user_id)
            ORDER BY outbox_parts.id
            """,
            values,
        ).fetchall()
        if not parts:
            connection.execute("DELETE FROM outbox WHERE id = :id", values)
            return None
    first = parts[0]
    footer = f"-- \nTo stop getting these messages, {first['way_to_stop']}."
    text = "\n\n".join(filter(None, [first["heading"], *(part["text"] for part in parts), footer]))
    message = _compose(first["sender"], first["email"], first["subject"], text, first["message_id"])
    if len(parts) == 1:  # then all messages about this work order form a thread
        thread = f"<work-order-{first['work_order_id']}@{first['message_id'].rpartition('@')[2]}"
        message["In-Reply-To"] = message["References"] = thread
    return message


def _postpone(connection: Connection, message_id: int, fault: Exception, due_only: bool, with_others: bool) -> None:
    """Record why a message, and perhaps all that wait, was not sent; each attempt is followed by a longer pause."""
    from smtplib import SMTPDataError

    is_refused = isinstance(fault, SMTPDataError) and fault.smtp_code // 100 == 5
    is_final = is_refused or isinstance(fault, InvalidInputError)
    values = {"id": message_id, "reason": _reason(fault), "is_final": is_final, "due_only": due_only}
    pause = f"min({FIRST_PAUSE_SECONDS} << min(attempts, 30), {LONGEST_PAUSE_SECONDS})"
    with transaction(connection):
        connection.execute(
            f"""
            UPDATE outbox SET attempts = attempts + 1, reason = :reason, next_attempt_at = CASE
                WHEN :is_final OR created_at <= {_in(-RETRIED_SECONDS)} AND attempts >= {RETRIED_AT_LEAST} THEN NULL
                ELSE {_in(pause)}
            END
            WHERE id = :id OR :with_others AND {_IS_WAITING}
            """,
            {**values, "with_others": with_others},
        )


def _wait_for(run: Callable[[], T]) -> Optional[T]:
    """Run the function in the background and return its result, or None if that takes longer than WAITED_SECONDS."""
    from concurrent.futures import wait

    future = _in_background(run)
    return future.result() if wait([future], WAITED_SECONDS).done else None


def _in_background(run: Callable[[], T]) -> "Future[T]":
    """Run the function in a thread that does not delay the program's end, which is always os._exit.

    The thread gets no signals: they must interrupt the prompt in the main thread.
    """
    from concurrent.futures import ThreadPoolExecutor

    if not hasattr(signal, "pthread_sigmask"):  # on Windows
        return ThreadPoolExecutor(1).submit(run)
    blocked = signal.SIG_BLOCK, signal.valid_signals()
    return ThreadPoolExecutor(1, initializer=signal.pthread_sigmask, initargs=blocked).submit(run)


@contextmanager
def _server(settings: MailSettings) -> Iterator["smtplib.SMTP"]:
    """Connect to the mail server, encrypt and log in as the settings say, and hang up at the end."""
    import smtplib
    import ssl

    context = None if settings.security is Security.NONE else ssl.create_default_context()  # verifies certificates
    host, port, own_name = settings.host or "", settings.port, "[127.0.0.1]"  # or smtplib asks the DNS for our name
    if settings.security is Security.TLS:
        server: smtplib.SMTP = smtplib.SMTP_SSL(host, port, own_name, timeout=ANSWER_SECONDS, context=context)
    else:
        server = smtplib.SMTP(host, port, own_name, timeout=ANSWER_SECONDS)
    try:
        if settings.security is Security.STARTTLS:
            server.starttls(context=context)
        server.ehlo_or_helo_if_needed()
        if settings.username:
            server.login(settings.username, settings.password or "")
        yield server
    finally:
        with suppress(OSError):  # of which kind are all errors of smtplib
            server.putcmd("QUIT")
        server.close()


def _transmit(server: "smtplib.SMTP", message: "email.message.Message") -> str:
    """Hand a message over and return the answer. SMTPDataError means that this recipient or message was refused."""
    from smtplib import SMTPDataError, SMTPResponseException

    code, words = server.mail(message["From"])
    if code // 100 != 2:
        raise SMTPResponseException(code, words)
    code, words = server.rcpt(parse_address(message["To"]))
    if code // 100 == 2:
        code, words = server.data(message.as_string())
    if code // 100 != 2:
        raise SMTPDataError(code, words)
    return _reason(SMTPResponseException(code, words))


def _reason(fault: Exception) -> str:
    """Return in words what went wrong, or what the mail server answered."""
    words = getattr(fault, "smtp_error", None)
    if words is None:
        return (getattr(fault, "strerror", None) or str(fault) or type(fault).__name__)[:LONGEST_REASON]
    text = words.decode(errors="replace") if isinstance(words, bytes) else str(words)
    return f"{getattr(fault, 'smtp_code', '')} {' '.join(text.split())}"[:LONGEST_REASON]


def _compose(sender: str, to: str, subject: str, text: str, message_id: str) -> "email.message.Message":
    """Return a message in plain text that no program answers, in ASCII and short lines."""
    import email.message
    from email.charset import QP, Charset
    from email.header import Header
    from email.utils import format_datetime

    message, utf_8 = email.message.Message(), Charset("utf-8")
    utf_8.body_encoding = QP
    message.set_payload(f"{text}\n", utf_8)
    subject = " ".join(subject.split())
    is_plain = subject.isascii() and subject.isprintable() and "=?" not in subject
    message["From"], message["To"] = sender, to
    message["Subject"] = subject if is_plain else Header(subject, "utf-8", header_name="Subject").encode()
    message["Date"] = format_datetime(datetime.now(timezone.utc))
    message["Message-ID"] = message_id
    message["Auto-Submitted"] = "auto-generated"  # RFC 3834, section 5
    message["X-Auto-Response-Suppress"] = "All"  # what Exchange looks at
    return message


# Passwords


def parse_password(password: str, username: str, current: Optional[str] = None) -> str:
    """Return the password if it follows PASSWORD_RULE and is not the current one. Raises InvalidInputError."""
    composed = unicodedata.normalize("NFC", password)
    lowered = composed.lower()
    if current is not None and composed == unicodedata.normalize("NFC", current):
        raise InvalidInputError("The new password is the current one; choose another.")
    if not password.isprintable():
        raise InvalidInputError("A password may contain only printable characters.")
    if len(composed) < 12 or len(password.encode()) > 1024:
        raise InvalidInputError("A password has at least 12 characters, and at most 1,024 bytes.")
    if len(set(composed)) < 5:
        raise InvalidInputError("A password has at least five different characters.")
    if len(username) >= 4 and username in lowered:
        raise InvalidInputError("A password must not contain the username.")
    if "workorder" in re.sub(r"[\W_]", "", lowered):
        raise InvalidInputError("A password must not contain the name of this program.")
    around = string.digits + string.punctuation + " "
    cores = {lowered, lowered.strip(around), lowered.lstrip(around), lowered.rstrip(around)}
    if not _COMMON_PASSWORDS.isdisjoint(cores):
        raise InvalidInputError("This password is too common; choose one that nobody would guess.")
    return password


def _one_time_password() -> Tuple[str, str]:
    """Return a password of 80 random bits, in letters and digits that nobody confuses, and its hash."""
    password = base64.b32encode(os.urandom(10)).decode().lower()
    return password, _hash(password)


# Common in lists of leaked passwords, often with digits and punctuation around them.
_COMMON_PASSWORDS = frozenset(
    """
    abc abcd abcdef abcdefgh abcdefghij abcdefghijkl access account admin administrator adminadmin amanda andrew angel
    apple asdf asdfgh asdfghjkl ashley azerty azertyuiop babygirl bailey banana baseball basketball batman buster
    butterfly changeit changeme charlie cheese chelsea chocolate computer cookie correcthorsebatterystaple dallas daniel
    default diamond dragon falcon ferrari flower football freedom friends fuckyou george ginger google guest hannah
    hello hellohello helloworld helpdesk hockey hunter iloveyou iloveyouiloveyou internet jasmine jennifer jessica
    jordan joshua justin killer letmein letmeinletmein letmeinnow liverpool login london lovely maggie management
    manager martin master matrix matthew mercedes merlin michael michelle microsoft monkey mustang mypassword network
    newpassword nicole ninja orange p@$$w0rd p@ssw0rd p@ssword pa$$w0rd pa$$word pass passport passw0rd password
    passwordpassword passwort patrick peanut pepper pokemon princess purple qazwsx qazwsxedc qwaszx qwer qwerasdf
    qwerasdfzxcv qwert qwerty qwertyqwerty qwertyuiop qwertyuiop[] qwertyuiopas qwertyuiopasdf qwertz qwertzuiop robert
    root samsung secret secretsecret service shadow silver snoopy soccer spring starwars summer sunshine superman
    support supervisor sysadmin system temp test tester testing thomas thunder tigger trustno1 user username victoria
    welcome welcomewelcome whatever william winter work yamaha yellow zaqxsw zxcvbn zxcvbnm 1q2w3e 1q2w3e4r 1q2w3e4r5t
    1q2w3e4r5t6y 1qaz2wsx 1qaz2wsx3edc 1qazxsw2 123qwe 123qweasd 123qweasdzxc a1b2c3d4 a1b2c3d4e5f6 abc123abc123
    q1w2e3r4 q1w2e3r4t5y6 qwe123qwe123 qwerty12345qwerty zaq12wsx zaq12wsxcde3 zaq1xsw2 !qaz2wsx !qaz@wsx 012345678901
    098765432109 112233445566 123456123456 123456789000 123456789012 1234567890123 12345678901234 123456789012345
    1234567890123456 1234567891011 123456789123 123456789123456 147258369147 159753159753 987654321098 987654321987
    """.split()
)


def wait_seconds(failures: int, free: int = FREE_FAILURES) -> int:
    """Return for how many seconds a username is locked after its last failure; the first `free` cost nothing."""
    return 0 if failures < free else min(FIRST_WAIT_SECONDS << min(failures - free, 30), LONGEST_WAIT_SECONDS)


def _authenticated(connection: Connection, username: str, password: str) -> Optional[User]:
    """Return the active account with that username and password, unless it is locked.

    A failure is counted before the hash is computed, so that parallel guesses all count, and taken back if the password
    is right; log_in clears the earlier ones. An unknown username, a locked one, and the right password of a deactivated
    account cost as much as a wrong password, and count as one.
    """
    may_try = _record_failure(connection, username)
    row = connection.execute(f"{_SELECT_USERS} WHERE username = ?", (username.lower(),)).fetchone()
    user = _user(row) if row and may_try else None
    try:
        stored = (user and row["password_hash"]) or f"${_parameters()}${'A' * 22}${'A' * 43}"
        is_right = hmac.compare_digest(_hash(password, stored), stored)
    except ApplicationError:
        if may_try:
            _undo_failure(connection, username)
        raise
    if not (is_right and user and user.is_active and user.has_password):
        return None
    _undo_failure(connection, username)
    return user


def _record_failure(connection: Connection, username: str) -> bool:
    """Count a failure of the username, in a transaction of its own, unless it is locked; return whether it may try.

    A client from which the account has logged in lately is locked only by its own failures, so that nobody else can
    keep the account's owner out.
    """
    values = {"name": _name_hash(username), "username": username.lower(), "client": _client(), "now": now()}
    with transaction(connection):
        connection.execute(f"DELETE FROM password_failures WHERE last_failed_at < {_in(-FAILURES_COUNT_SECONDS)}")
        # If the clock was set back, the wait starts again, so that it ends.
        is_later = "name_hash = :name AND last_failed_at > :now"
        connection.execute(f"UPDATE password_failures SET last_failed_at = :now WHERE {is_later}", values)
        known = "SELECT 1 FROM login_clients JOIN users ON users.id = user_id WHERE username = :username"
        lately = f"client = :client AND last_login_at >= {_in(-CLIENTS_COUNT_SECONDS)}"
        is_known = connection.execute(f"{known} AND {lately}", values).fetchone()
        here, elsewhere, _ = _waits(connection, username)
        if here > 0 or (elsewhere > 0 and not is_known):
            return False
        connection.execute(
            """
            INSERT INTO password_failures (name_hash, client, failures, last_failed_at) VALUES (:name, :client, 1, :now)
            ON CONFLICT (name_hash, client) DO UPDATE SET failures = failures + 1, last_failed_at = :now
            """,
            values,
        )
    return True


def _undo_failure(connection: Connection, username: str) -> None:
    is_here, values = "name_hash = ? AND client = ?", (_name_hash(username), _client())
    with transaction(connection):
        connection.execute(f"DELETE FROM password_failures WHERE {is_here} AND failures = 1", values)
        connection.execute(f"UPDATE password_failures SET failures = failures - 1 WHERE {is_here}", values)


def _clear_failures(connection: Connection, username: str, client: Optional[str] = None) -> None:
    """Forget the failures of the username, from one client or all (None)."""
    which = "name_hash = ? AND client = coalesce(?, client)"
    connection.execute(f"DELETE FROM password_failures WHERE {which}", (_name_hash(username), client))


def _waits(connection: Connection, username: str) -> Tuple[float, float, float]:
    """Return for how many seconds the username is locked at this client, at an unknown one, and at most at any."""
    query = "SELECT client, failures, last_failed_at FROM password_failures WHERE name_hash = ?"
    rows = connection.execute(query, (_name_hash(username),)).fetchall()
    passed = [(datetime.now(timezone.utc) - datetime.fromisoformat(row[2])).total_seconds() for row in rows]
    own = {row["client"]: wait_seconds(row["failures"]) - seconds for row, seconds in zip(rows, passed)}
    failures = sum(row["failures"] for row in rows)
    elsewhere = wait_seconds(failures, FREE_FAILURES_ALL_CLIENTS) - min(passed, default=0)
    return own.get(_client(), 0), elsewhere, max(0, elsewhere, *own.values())


def _name_hash(username: str) -> str:
    return hashlib.sha256(username.lower().encode()).hexdigest()


def _set_password(
    connection: Connection, user: User, password_hash: str, by_id: Optional[int], event: str, must_change: bool = False
) -> None:
    """Store and audit a new password. Failures are forgotten; after one's own change only those of this client."""
    changes = "password_hash = ?, must_change_password = ?, password_version = password_version + 1"
    connection.execute(f"UPDATE users SET {changes} WHERE id = ?", (password_hash, must_change, user.id))
    _clear_failures(connection, user.username, _client() if by_id == user.id else None)
    audit(connection, by_id, event, user.username, user.id)


def _hash(password: str, stored: Optional[str] = None) -> str:
    """Return the password's hash as a PHC string, with the scheme, cost and salt of a stored one, or else new ones."""
    parameters, salt = _parameters(), os.urandom(16)
    if stored is not None:
        parts = re.fullmatch(r"\$(.+)\$([A-Za-z0-9+/]{22})\$[A-Za-z0-9+/]{43}", str(stored))
        if not parts:
            raise AuthenticationError("The stored password of this account cannot be read; an admin can reset it.")
        parameters, salt = parts[1], base64.b64decode(f"{parts[2]}==")
    encoded = [base64.b64encode(part).decode().rstrip("=") for part in (salt, _derived(password, parameters, salt))]
    return "$".join(["", parameters, *encoded])


def _parameters() -> str:
    """Return the scheme and cost of a new hash as in a PHC string."""
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
            try:
                return hashlib.scrypt(secret, salt=salt, n=1 << log_n, r=r, p=p, maxmem=2 * memory, dklen=32)
            except (MemoryError, ValueError) as error:
                raise ApplicationError("There is not enough memory for a password now; try again later.") from error
    if pbkdf2 and 1 <= int(pbkdf2[1]) <= _MAXIMUM_ITERATIONS:
        return hashlib.pbkdf2_hmac("sha256", secret, salt, int(pbkdf2[1]))
    raise AuthenticationError("This Python cannot check the stored password; an admin can reset it.")


# Command line


def main() -> List[str]:
    """Ask for a new password for the account that the command line names, set it, and say so."""
    with closing(database.connect(database.default_path())) as connection:
        user = find(connection, sys.argv[1])
        if sys.stdin is None:
            raise EOFError
        if sys.stdin.isatty():
            import getpass
            import textwrap

            password = getpass.getpass(f"{textwrap.fill(PASSWORD_RULE, 79)}\nNew password: ")
            if getpass.getpass("Confirm password: ") != password:
                raise InvalidInputError("The two passwords differ. Nothing was changed.")
        else:
            password = sys.stdin.readline().rstrip("\r\n")
        password_hash = _hash(parse_password(password, user.username))
        with transaction(connection):
            _set_password(connection, user, password_hash, None, "password set from outside")
    return [f"Password of user {user.username} set.{'' if user.is_active else ' The account is deactivated.'}"]


if __name__ == "__main__":
    if len(sys.argv) != 2 or sys.argv[1].startswith("-"):
        print("usage: python users.py NAME", file=sys.stderr)
        sys.exit(2)
    os._exit(database.run_command(main))
