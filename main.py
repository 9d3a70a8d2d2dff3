"""The conversation: prompts, screens and menus. `python main.py` starts it.

A screen is a class whose options are its methods, each under its number and label; they prompt, call and print.
"""

import signal

if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # until the first prompt, Ctrl-C ends the program silently

import itertools
import math
import os
import re
import shutil
import sqlite3
import sys
import time
import unicodedata
from contextlib import closing, contextmanager, suppress
from datetime import date, datetime
from functools import partial
from pathlib import Path
from typing import Any, Callable, Dict, Generic, Iterator, List, NamedTuple, Optional, Sequence, Tuple, TypeVar, Union

import database
import users
import work_order
from database import ApplicationError, Connection, explain, printable, quantity
from users import ANY, ME, NOBODY, NONE, Action, AuditFilter, InvalidInputError, People, Role, Session, User
from work_order import ASSIGNEE, CATEGORY, REQUESTER, Field, Filter, Period, Priority, Query, Status, WorkOrder, by_name

try:
    import termios
except ImportError:  # not on Windows
    termios = None  # type: ignore[assignment]

VERSION = "1.0.0"
LONGEST_LINE = 100_000
ASKED_AT_MOST = 3  # times for an admin's password, while somebody registers
LISTED_AT_MOST = 20  # people at a prompt for one, and rows of a report
PERIOD_HINT = "Choose one, or type a month such as 2026-10 or two days such as 2026-01-01 to 2026-03-31."
FILTER_HINT = "Choose one, or type several filters at once: high+, overdue, assignee lena, created this week."
# Keys of readline that bring back what somebody else cut or recorded (yank, macros), that search a history that does
# not exist (which ends the process in readline 8.2), that list the host's files or accounts, or that change the keys.
UNSAFE_KEYS = (
    *(r"\C-y", r"\ey", r"\e\C-y", r"\e.", r"\e_", r"\C-x(", r"\C-x)", r"\C-xe"),
    *(r"\C-r", r"\C-s", r"\ep", r"\en", r"\C-o"),
    *(r"\e&", r"\e?", r"\e*", r"\e=", r"\e/", r"\e~", r"\e$", r"\e@", r"\e!", r"\e{"),
    *(r"\C-x\C-r", r"\e\C-j", r"\e\C-m", r"\ex"),
)
NARROW = 80  # columns; on a narrower terminal priorities and statuses are abbreviated
LOW = 40  # lines; on a lower terminal the menu of a list is set in two columns
MORE = "    ... more in Show history"
ROOM_FOR_TEXTS = 6  # lines of a work order's screen in which line breaks are kept
BOLD_RED, YELLOW = "1;31", "33"
# https://invisible-island.net/xterm/ctlseqs/ctlseqs.html#h2-Bracketed-Paste-Mode
PASTE_ON, PASTE_OFF, PASTE_BEGINS, PASTE_ENDS = "\x1b[?2004h", "\x1b[?2004l", b"\x1b[200~", b"\x1b[201~"

S = TypeVar("S", bound="Screen")
T = TypeVar("T")
V = TypeVar("V")


# Errors


class IdleError(users.SessionEndedError):
    """Nothing was typed for so long that somebody else may be sitting there now."""


class Cancelled(Exception):
    """The person left the form before its last answer."""


# Reading answers


def prepare_terminal() -> None:
    """Make the standard streams accept any bytes, and enable line editing without history or completion.

    On a terminal, keys are echoed only at a prompt from then on, so that nothing typed ahead mixes with the output.
    """
    sys.stdin = sys.stdin or Path(os.devnull).open()
    sys.stdout = sys.stdout or Path(os.devnull).open("w")
    sys.stderr = sys.stderr or Path(os.devnull).open("w")
    sys.stdin.reconfigure(errors="surrogateescape", newline="\n")  # type: ignore[union-attr]
    sys.stdout.reconfigure(errors="replace")  # type: ignore[union-attr]
    if not sys.stdin.isatty():
        return
    _set_terminal(is_echoing=False, is_by_line=True)
    with suppress(ImportError):  # not every Python has it
        import readline

        readline.set_auto_history(False)
        readline.set_completer(lambda *_: None)  # the default one lists files
        paste = f"enable-bracketed-paste {'on' if _is_capable_terminal() else 'off'}"
        # Where the locale is C, it would take bytes above 127 for keys.
        for setting in ("editing-mode emacs", paste, "input-meta on", "output-meta on", "convert-meta off"):
            readline.parse_and_bind(f"set {setting}")
        for keys in UNSAFE_KEYS:
            readline.parse_and_bind(f'"{keys}": abort')


def read_line(prompt: str, initial: str = "", may_idle: bool = False) -> str:
    """Return one line without space around it; where the terminal can, it starts from `initial`.

    Raises Cancelled at Ctrl-C, EOFError at the end of input, IdleError if nobody types anything unless they `may_idle`.
    """
    return _read(prompt, initial=initial, may_idle=may_idle).strip()


def read_password(prompt: str, _: str = "") -> str:
    """Return one line with its spaces, not shown while it is typed. Raises as read_line does."""
    return _read(prompt, is_hidden=True)


def read_text(prompt: str, initial: str = "") -> str:
    """Return a line, and the following ones as long as a line ends in a backslash.

    Each line of `initial` is offered in turn; one that is emptied is removed. Raises as read_line does, and
    InvalidInputError as soon as the text is too long.
    """
    offered, lines, continues, length = initial.split("\n"), [], False, 0
    while offered or continues:
        initial_line = offered.pop(0) if offered else ""
        # A space after a backslash at the end makes it stand for itself.
        line = _read(prompt, initial=f"{initial_line} " if initial_line.endswith("\\") else initial_line)
        continues = line.endswith("\\")
        if line or not initial_line:
            lines.append(line[:-1] if continues else re.sub(r"\\\s+$", r"\\", line))
        length += len(line) + 1
        if length > 2 * work_order.MAXIMUM_TEXT:
            while continues and not sys.stdin.isatty():  # its other lines are no answers to other questions
                continues = _read(prompt).endswith("\\")
            raise InvalidInputError(f"A text has at most {work_order.MAXIMUM_TEXT:,} characters; this one has more.")
        continues = continues or bool((line or len(lines) > 1) and _is_pasted_further())
        prompt = "> "
    return "\n".join(lines).strip()


def _read(prompt: str, is_hidden: bool = False, initial: str = "", may_idle: bool = False) -> str:
    while True:
        deadline = Deadline(0 if may_idle else idle_seconds())
        deadline.check()
        try:
            with _listening_for_signals(deadline):
                if not sys.stdin.isatty():
                    line = _read_from_file(prompt)
                else:
                    line = _read_hidden(prompt, deadline) if is_hidden else _read_from_terminal(prompt, initial)
        except KeyboardInterrupt:
            deadline.check()
            print()
            raise Cancelled from None
        deadline.check()  # without an alarm signal, the deadline can only be checked once the answer is in
        if len(line) > LONGEST_LINE:
            print_error(f"That line is too long; a line has at most {LONGEST_LINE:,} characters.")
        elif "\0" in line or any("\ud800" <= character <= "\udfff" for character in line):
            print_error(f"That is not text in the terminal's encoding ({sys.stdin.encoding}).")
        else:
            return line


class Deadline:
    """When an idle session ends: some seconds after the last key, or never for 0."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds or math.inf
        self._edited_line = ""
        self.extend()

    def extend(self) -> None:
        """Start again: a key was pressed."""
        self._moment = time.monotonic() + self._seconds

    def check(self) -> None:
        """Raise IdleError if the moment has passed, SystemExit after a termination signal."""
        handler = signal.getsignal(signal.SIGTERM)
        if isinstance(handler, Ending):
            handler.check()
        editor = sys.modules.get("readline")
        if editor and editor.get_line_buffer() != self._edited_line:
            self._edited_line = editor.get_line_buffer()
            self.extend()
        if time.monotonic() > self._moment:
            print()
            minutes = f"{self._seconds / 60:g} minute{'' if self._seconds == 60 else 's'}"
            raise IdleError(f"Nothing was typed for {minutes}.")


def idle_seconds() -> float:
    """Return the seconds without an answer after which a session ends; 0 means never. Raises ApplicationError."""
    minutes = os.environ.get("WORK_ORDER_IDLE_MINUTES") or "15"
    if not re.fullmatch(r"[0-9]{1,6}(\.[0-9]{1,6})?", minutes):
        raise ApplicationError("WORK_ORDER_IDLE_MINUTES must be a number of minutes; 0 means never.")
    return float(minutes) * 60


@contextmanager
def _listening_for_signals(deadline: Deadline) -> Iterator[None]:
    """Let Ctrl-C and the deadline interrupt the block; outside it, Ctrl-C does nothing, so it interrupts no save."""
    signal.signal(signal.SIGINT, _interrupt)
    if hasattr(signal, "setitimer"):
        # The tick also delivers a signal that arrived just before the wait began.
        signal.signal(signal.SIGALRM, lambda *_: deadline.check())
        signal.setitimer(signal.ITIMER_REAL, 0.5, 0.5)
    try:
        yield
        ignore_interrupts()
    except BaseException:
        ignore_interrupts()  # again, if it was interrupted
        raise


def ignore_interrupts() -> None:
    """Ignore Ctrl-C and the idle deadline from now on."""
    # SIGINT is blocked meanwhile: Python prints an error if one arrives while its handler is being replaced.
    if hasattr(signal, "pthread_sigmask"):
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGINT])


def _interrupt(*_: object) -> None:
    ignore_interrupts()  # a second Ctrl-C must not hit what handles the first
    raise KeyboardInterrupt


class Ending:
    """What a termination signal runs: it ends the program at once, or at the next prompt where that is impossible."""

    number = 0

    def __call__(self, number: int, _: object) -> None:
        if not self.number:
            self.number = number  # first of all: no call works while the exception of another handler is on its way
            self.check()

    def check(self) -> None:
        """Raise SystemExit if the signal has come."""
        if self.number:
            raise SystemExit(128 + self.number)


@contextmanager
def interruptible(connection: Connection) -> Iterator[None]:
    """Let Ctrl-C stop the reading inside, with sqlite3.OperationalError."""
    signal.signal(signal.SIGINT, lambda *_: connection.interrupt())
    try:
        yield
    finally:
        ignore_interrupts()


@contextmanager
def stoppable(label: str) -> Iterator[Callable[[int], None]]:
    """Let Ctrl-C cancel the long work inside; yield a function that shows on a terminal how many rows are done."""
    stops: List[int] = []
    signal.signal(signal.SIGINT, lambda number, _: stops.append(number))

    def show(count: int) -> None:
        if sys.stdout.isatty():
            print("\nStopping ..." if stops else f"\r{label}: {count:,}", end="", flush=True)
        if stops:
            raise Cancelled

    try:
        yield show
    finally:
        ignore_interrupts()
        print(end="\n" * sys.stdout.isatty())


def _read_from_terminal(prompt: str, initial: str) -> str:
    editor = sys.modules.get("readline")
    if editor:
        # A Ctrl-C that comes while a hook runs would be lost.
        editor.set_startup_hook((lambda: editor.insert_text(initial)) if initial else None)
    try:
        with _keys(are_echoed=True):
            return input(prompt)
    except EOFError:
        print()
        raise
    except SystemError as error:
        # The tick's handler can run while input() is already raising another handler's exception.
        raise error.__cause__ or error from None


def can_offer(text: str) -> bool:
    """Return whether the text can be put into the line to be edited, where the person sees it."""
    if not ("readline" in sys.modules and sys.stdin.isatty() and sys.stdout.isatty()):
        return False
    import locale

    try:
        text.encode(locale.nl_langinfo(locale.CODESET))  # what readline goes by, whatever Python's UTF-8 mode is
    except (UnicodeEncodeError, LookupError):
        return False
    return text.replace("\n", "").isprintable()  # what is not would reach the terminal as it is


def _is_capable_terminal() -> bool:
    return sys.stdin.isatty() and sys.stdout.isatty() and os.environ.get("TERM", "dumb") != "dumb"


def _is_pasted_further() -> bool:
    """Return whether more input is waiting on a terminal where text that is pasted does not arrive as one answer."""
    editor = sys.modules.get("readline")
    has_bracketed_paste = _is_capable_terminal() and editor and "libedit" not in (editor.__doc__ or "")
    if not sys.stdin.isatty() or has_bracketed_paste or os.name == "nt":
        return False
    import select

    return bool(select.select([sys.stdin], [], [], 0.05)[0])


def _read_hidden(prompt: str, deadline: Deadline) -> str:
    """Return a line that is not shown while it is typed; what was typed or pasted ahead is kept."""
    if termios is None:
        import getpass

        return getpass.getpass(prompt)
    # getpass would turn to the controlling terminal instead of standard input and drop what was typed ahead.
    keys, is_pasted, line = bytearray(), False, ""
    with _keys(are_echoed=False):
        print(prompt, end="", flush=True)
        while is_pasted or not keys.endswith((b"\n", b"\r")):
            key = os.read(sys.stdin.fileno(), 1)
            deadline.extend()
            if key == b"" or (key == b"\x04" and not is_pasted):  # Ctrl-D
                print()
                raise EOFError
            keys += key
            is_pasted = keys.endswith(PASTE_BEGINS) or (is_pasted and not keys.endswith(PASTE_ENDS))
    print()
    typed = re.sub("\x1b\\[200~|[\r\n]*\x1b\\[201~", "", keys.decode(sys.stdin.encoding, "surrogateescape"))
    for character in typed[:-1].rpartition("\x15")[2]:  # Ctrl-U
        line = line[:-1] if character in "\x7f\x08" else line + character
    return line


@contextmanager
def _keys(are_echoed: bool) -> Iterator[None]:
    """Echo the keys that are typed inside or, for a hidden answer, have each delivered at once."""
    pastes = _is_capable_terminal() and not are_echoed
    try:
        _set_terminal(is_echoing=are_echoed, is_by_line=are_echoed)
        print(PASTE_ON * pastes, end="", flush=True)
        yield
    finally:
        print(PASTE_OFF * pastes, end="", flush=True)
        with suppress(OSError):  # the terminal may be gone
            _set_terminal(is_echoing=False, is_by_line=True)


def _set_terminal(is_echoing: bool, is_by_line: bool) -> None:
    """Say whether the terminal echoes keys and delivers them by the line. Raises OSError."""
    if termios is None:
        return
    try:
        mode = termios.tcgetattr(sys.stdin)
        mode[3] &= ~(termios.ECHO | termios.ICANON)
        mode[3] |= termios.ECHO * is_echoing | termios.ICANON * is_by_line
        termios.tcsetattr(sys.stdin, termios.TCSADRAIN, mode)
    except termios.error as error:
        raise OSError(*error.args) from error


def _read_from_file(prompt: str) -> str:
    """Return the next line, cut just past the limit if it is too long."""
    print(prompt, end="", flush=True)
    line = rest = sys.stdin.readline(LONGEST_LINE + 2)
    while rest and not rest.endswith("\n"):
        rest = sys.stdin.readline(LONGEST_LINE)
    print()  # the newline was not echoed
    if not line:
        raise EOFError
    return line.rstrip("\n").rstrip("\r")


# Asking


class Default(Generic[T]):
    """What an empty answer means, and how the prompt shows it: None as `none`, and nothing of an empty text."""

    def __init__(self, value: T, text: Optional[str] = None) -> None:
        shown = NONE if value is None else str(value)
        self.value, self.text = value, shown if text is None else text


Choices = Sequence[Tuple[T, str]]  # values and their names


def ask(
    label: str,
    parse: Callable[[str], T],
    default: Optional[Default[T]] = None,
    read: Callable[[str, str], str] = read_line,
    edits_default: bool = False,
) -> T:
    """Ask for a text until it can be parsed, and return what it means; an empty answer takes the default.

    `parse` raises InvalidInputError for a wrong answer, which a capable terminal offers for editing; if the person
    `edits_default`, it offers the default from the start. Raises Cancelled for an empty answer without a default, and
    for Ctrl-D on a terminal.
    """
    initial, hint = "", " Ctrl-U empties the line."
    if edits_default and default and default.value and can_offer(default.text):
        initial, default = default.text, None
    *above, prompt = wrap(f"{label} [{brief(default.text)}]: " if default and default.text else f"{label}: ", indent="")
    say(*["End a line with \\ for more."] * (read is read_text))
    while True:
        print(*above, sep="\n", end="\n" * bool(above))
        answer = ""
        try:
            answer = read(prompt, initial)
            if answer:
                return parse(answer)
            if default:
                return default.value
            raise Cancelled
        except InvalidInputError as error:
            initial = answer if read is not read_password and can_offer(answer) else ""
            print_error(f"{error}{hint if initial else ''}")
            hint = "" if initial else hint
        except EOFError:
            if sys.stdin.isatty():
                raise Cancelled from None
            raise


def ask_value(
    label: str,
    parse: Callable[[str], T],
    default: Optional[Default[T]] = None,
    help: Optional[Callable[[], Sequence[str]]] = None,
    can_be_0: bool = False,
) -> T:
    """Ask as `ask` does for what is no text: `?` says what can be answered and, unless it `can_be_0`, 0 leaves."""

    def read(prompt: str, initial: str) -> str:
        while True:
            answer = read_line(prompt, initial)
            if answer == "0" and not can_be_0:
                raise Cancelled
            if answer != "?":
                return answer
            try:
                lines = help() if help else [str(parse(answer))]
            except InvalidInputError as error:
                lines = [str(error)]
            empty = f"takes {brief(default.text)}; 0 leaves" if default else "or 0 leaves"
            say(*lines, f"An empty answer {empty} the form.")

    return ask(label, parse, default, read)


def ask_choice(
    label: str,
    choices: Choices[T],
    default: Optional[Default[T]] = None,
    parse: Optional[Callable[[str], T]] = None,
    hint: str = "",
) -> T:
    """Show the choices numbered and ask for one, by number, or by name as `parse` understands it.

    Without `parse`, the beginning of a choice's name will do. A hint stands between the choices and the prompt.
    """
    lines = [f"  {number}. {text}" for number, (_, text) in enumerate(choices, 1)] + [hint] * bool(hint)
    say(*lines)

    def parse_answer(text: str) -> T:
        if parse and text not in map(str, range(1, len(choices) + 1)):
            return parse(text)
        return users.parse_choice(choices, text, lambda choice: choice[1])[0]

    answers = [*lines, "Answer with a number, or a name or its beginning."]
    return ask_value(label, parse_answer, default, lambda: answers)


def ask_yes_or_no(question: str, default: bool = False) -> bool:
    return ask_value(question, users.parse_yes_or_no, Default(default, "yes" if default else "no"))


def confirm(consequence: str) -> None:
    """Say what is about to happen and ask whether the person is sure. Raises Cancelled unless the answer is yes."""
    say(consequence)
    if not ask_yes_or_no("Are you sure?"):
        raise Cancelled


def ask_new_password(label: str, username: str, current: str = "") -> str:
    """Say what a password needs and ask for one, twice if typing is hidden."""
    say(users.PASSWORD_RULE)
    while True:
        password = ask(label, lambda text: users.parse_password(text, username, current), read=read_password)
        if not sys.stdin.isatty() or ask("Confirm password", str, read=read_password) == password:
            return password
        print_error("The two passwords differ; type the password again.")


def ask_period(current: Optional[Period] = None) -> Period:
    """Ask for the period of a report; an empty answer takes the current one, or the last 30 days."""
    periods = [(work_order.parse_period(name), name) for name in work_order.PERIODS]
    default = current or work_order.parse_period("last 30 days")
    return ask_choice("Period", periods, Default(default, default.name), work_order.parse_period, PERIOD_HINT)


def ask_person(
    session: Session, label: str, people: People, parse: Callable[[str], T], default: Optional[Default[T]] = None
) -> T:
    """Ask for one of these people; `?` lists the first 20 of them."""

    def list_people() -> Sequence[str]:
        found = users.list_people(session, people, LISTED_AT_MOST + 1)
        lines = [f"  {work_order.describe_person(person.username, person.name)}" for person in found[:LISTED_AT_MOST]]
        more = ["  and more"] * (len(found) > LISTED_AT_MOST)
        return [f"Answer with a username, a name, the beginning of one, or {ME}:", *lines, *more]

    return ask_value(label, parse, default, list_people)


def add_caller(session: Session, text: str) -> bool:
    """Ask whether to add an account without a password for somebody of that name; return whether it was added."""
    name = users.parse_person_name(text)
    if name is None or name.lower() in users.RESERVED_USERNAMES:
        return False
    username = users.username_from_name(session.connection, name)
    if not ask_yes_or_no(f"{name} has no account. Add him as {username}, without a password?"):
        return False
    email = ask_value("Email", users.parse_email, Default[Optional[str]](None))
    added = users.add_caller(session, name, email)
    say(f"User {added} added, without a password. The account stays even if you leave this form.")
    return True


def ask_field(
    session: Session, field: Field[V], default: Optional[Default[V]] = None, label: str = "", has_note: bool = False
) -> Tuple[V, Optional[str]]:
    """Ask for a value of the field; return it and, if it `has_note`, the note typed behind it: `lena: look first`."""
    label = " ".join(filter(None, (label or field.label, field.hint)))
    if field.starts_from_current:
        read = read_text if field.is_text else read_line
        return ask(label, partial(field.parse, session), default, read, edits_default=True), None
    choices = field.choices(session)
    both: Optional[Default[Tuple[V, Optional[str]]]] = Default((default.value, None), default.text) if default else None

    def parse(text: str) -> Tuple[V, Optional[str]]:
        answer, colon, note = text.partition(": ") if has_note else (text, "", "")
        if choices and answer in map(str, range(1, len(choices) + 1)):
            value = choices[int(answer) - 1][0]
        else:
            try:
                value = field.parse(session, answer.strip())
            except users.UnknownPersonError:
                if field.name != REQUESTER.name or not add_caller(session, answer.strip()):
                    raise
                value = field.parse(session, answer.strip())
        return value, work_order.parse_text(note) if colon else None

    if choices:
        names_new = field.name == CATEGORY.name and users.may(users.current_user(session), Action.NAME_CATEGORY)
        hint = "Choose one, or type a new name." * names_new
        return ask_choice(label, [((value, None), text) for value, text in choices], both, parse, hint)
    if field.name == REQUESTER.name:
        return ask_person(session, label, People.REQUESTERS, parse, both)
    return ask_value(label, parse, both)


def ask_change(
    session: Session, field: Field[V], default: Optional[Default[V]], has_note: bool, note: str = ""
) -> Tuple[V, str, Optional[datetime]]:
    """Ask for a value of the field, for On Hold until when (None: no day), and for a note if the field `has_note`."""
    value, typed_note = ask_field(session, field, default, has_note=has_note)
    until = None
    if value is Status.ON_HOLD:
        no_day = Default[Optional[datetime]](None, work_order.NO_DAY)
        until, _ = ask_field(session, work_order.HELD_UNTIL, no_day, "Until")
    if has_note and typed_note is None:
        typed_note = ask_note(note)
    return value, typed_note or "", until


def ask_note(note: str = "") -> str:
    """Ask for a note that goes with a change; an empty answer takes the one that could not be saved before."""
    return ask("Note" if note else "Note (optional)", work_order.parse_optional_text, Default(note), read_text)


# Printing


def say(*texts: str) -> None:
    """Print each text, on as many lines of the terminal as it takes, the later ones deeper than the first."""
    for text in texts:
        unindented = text.lstrip(" ")
        print(*wrap(unindented, indent=" " * (len(text) - len(unindented)), hanging="  "), sep="\n")


def print_error(error: object) -> None:
    print(*wrap(f"Error: {error}", indent=""), sep="\n")


def cell_width(text: str) -> int:
    """Return how many cells of a terminal the text takes: two for Han, kana and emoji, none for what joins others."""
    return len(text) if text.isascii() else sum(map(_character_width, text, f" {text}"))


def _character_width(character: str, before: str) -> int:
    category = unicodedata.category(character)
    is_joined = category in ("Mn", "Me", "Cf") or "\U0001f3fb" <= character <= "\U0001f3ff"
    if is_joined or (before == "\u200d" and category == "So"):  # the zero width joiner
        return 0
    return 2 if unicodedata.east_asian_width(character) in ("W", "F") else 1


def _characters_within(text: str, width: int) -> int:
    """Return how many characters of the text take no more than that many cells."""
    if text.isascii():
        return max(0, min(width, len(text)))
    cells = itertools.accumulate(map(_character_width, text, f" {text}"))
    return sum(1 for _ in itertools.takewhile(lambda used: used <= width, cells))


def fit(text: str, width: int) -> str:
    """Return the printable text cut or filled up to that many cells."""
    if _characters_within(text, width) < len(text):
        text = f"{text[: _characters_within(text, width - 3)]}..."
    return text + " " * (width - cell_width(text))


def brief(text: str) -> str:
    """Return the beginning of a text, fit for a prompt."""
    return fit(printable(text[:200].replace("\n", " ")), 60).rstrip()


def wrap(text: str, indent: str = "  ", hanging: str = "") -> List[str]:
    """Return the lines of the text, made printable and broken between words to the terminal's width.

    All but the first are also indented by `hanging`, so that no text can be mistaken for the lines above or below it.
    """
    width = max(2, terminal_size().columns - len(indent) - len(hanging))
    lines = []
    for paragraph in text.split("\n"):
        rest = printable(paragraph)
        while (end := _characters_within(rest, width)) < len(rest):
            end = rest.rfind(" ", 0, end + 1) + 1 or max(end, 1)
            lines.append(rest[:end].rstrip())
            rest = rest[end:]
        lines.append(rest)
    return [indent + lines[0], *(indent + hanging + line for line in lines[1:])]


def terminal_size() -> os.terminal_size:
    """Return the terminal's columns and lines, within reason; a pipe or file is taken to be 1,000 columns wide."""
    size = shutil.get_terminal_size((80, 24) if sys.stdout.isatty() else (1000, 24))
    return os.terminal_size((min(max(size.columns, 20), 1000), min(max(size.lines, 10), 1000)))


def coloured(text: str, colour: str) -> str:
    """Return the text in the colour (an SGR code, or none) where the output is a terminal that wants colours."""
    wanted = sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
    return f"\x1b[{colour}m{text}\x1b[0m" if colour and wanted else text


class Column(Generic[T]):
    """A column of a table.

    Its `width` is the room that it is taken to need, whatever the rows (None: as much as its widest cell). Where the
    columns need more than there is, those of the lowest rank are left out; rank 0 stays. One that can `shrink` is cut
    to its width where there is no room for more.
    """

    def __init__(
        self,
        heading: str,
        text: Callable[[T], str],
        rank: int = 0,
        width: Optional[int] = None,
        can_shrink: bool = False,
        colour: Callable[[T], str] = lambda _: "",
    ) -> None:
        self.heading, self.text, self.rank, self.width = heading, text, rank, width
        self.can_shrink, self.colour = can_shrink, colour


class Table(Generic[T]):
    """Rows under the headings of the columns that fit the terminal, each column as wide as its cells need."""

    def __init__(self, columns: Sequence[Column[T]], rows: Sequence[T]) -> None:
        self.rows, self.room = rows, terminal_size().columns
        texts = {column: [column.heading, *(printable(column.text(row)) for row in rows)] for column in columns}
        natural = {column: max(map(cell_width, texts[column])) for column in columns}
        self.columns = list(columns)
        for column in sorted(columns, key=lambda column: column.rank):
            if column.rank and sum((each.width or natural[each]) + 2 for each in self.columns) - 2 > self.room:
                self.columns.remove(column)
        self._widths = {column: natural[column] for column in self.columns}
        # First the columns that may be left out are cut to their width, and only in the end is one cut below it.
        shrinkable = sorted((each for each in self.columns if each.can_shrink), key=lambda column: -column.rank)
        for column, least in (*((each, each.width or 0) for each in shrinkable), *((each, 3) for each in shrinkable)):
            excess = max(0, self.width - self.room)
            self._widths[column] -= min(excess, max(0, self._widths[column] - least))

    @property
    def width(self) -> int:
        """How many cells a line takes."""
        return sum(width + 2 for width in self._widths.values()) - 2

    def lines(self, below: Callable[[T], Sequence[str]] = lambda _: ()) -> List[str]:
        """Return the headings, and for each row its line and, on a line each, the texts below it."""
        lines = ["  ".join(fit(column.heading, self._widths[column]) for column in self.columns).rstrip()]
        for row in self.rows:
            cells = ((column, fit(printable(column.text(row)), self._widths[column])) for column in self.columns)
            lines.append("  ".join(coloured(text, column.colour(row)) for column, text in cells).rstrip())
            lines += [f"    {fit(printable(text), self.room - 4).rstrip()}" for text in below(row)]
        return lines


def heading_lines(heading: str, page: str) -> List[str]:
    """Return a heading with the number of its page, which is not broken, behind it."""
    *lines, last = wrap(heading, indent="", hanging="  ")
    fits = cell_width(f"{last} {page}") <= terminal_size().columns
    return [*lines, f"{last} {page}".rstrip()] if fits else [*lines, last, f"  {page}"]


# Screens


# What a handler returns: nothing to stay, BACK to leave its screen, or another screen to open.
Next = Optional["Screen"]


class Option(NamedTuple):
    """A line of a menu: its number and label, what it runs, the right that it needs, and when there is something to do.

    `saves` tells whether leaving its form prints "Nothing was saved." after "Cancelled."
    """

    number: int
    label: str
    run: Callable[[Any], Next]
    needs: Optional[Action]
    when: Callable[[Any], bool]
    saves: bool

    def choose(self, screen: "Screen") -> Next:
        """Run it for somebody who may still see the screen, and say so if the person leaves its form."""
        screen.authorize()
        try:
            return self.run(screen)
        except Cancelled:
            print("Cancelled. Nothing was saved." if self.saves else "Cancelled.")
            return None


def option(
    number: int,
    label: str,
    needs: Optional[Action] = None,
    when: Callable[[Any], bool] = lambda _: True,
    saves: bool = True,
) -> Callable[[Callable[[S], Next]], Option]:
    """Make a method of a screen an option of its menu, for those whose role allows the action that it needs.

    It is left out while `when`, which is given the screen, says that there is nothing to do.
    """
    return lambda run: Option(number, label, run, needs, when, saves)


class Screen:
    """What a person sees above a menu: show() prints it, and the options are those of the class that are open."""

    connection: Connection
    session: Optional[Session] = None
    options: Sequence[Option] = ()
    menu_columns = 1
    refusal = ""  # what was printed last, so that it is neither printed nor recorded twice

    @classmethod
    def options_by_number(cls) -> Dict[int, Option]:
        """Return the options of the class and of those that it inherits from, by number, 0 last."""
        members = [member for each in reversed(cls.__mro__) for member in vars(each).values()]
        options = {member.number: member for member in members if isinstance(member, Option)}
        return {number: options[number] for number in sorted(options, key=lambda number: number or math.inf)}

    def authorize(self) -> None:
        """Raise SessionEndedError or PermissionDeniedError if the person may not see the screen any more."""

    def show(self) -> None:
        """Print the screen."""

    def may(self, _: Action) -> bool:
        """Return whether the person may take the action here."""
        return False

    def permitted_options(self) -> List[Option]:
        """Return the options that the person may choose, now or after others."""
        return [each for each in self.options_by_number().values() if each.needs is None or self.may(each.needs)]

    def open_options(self) -> List[Option]:
        """Return the options that can be chosen now. A screen that returns none is printed and left at once."""
        return [each for each in self.permitted_options() if each.when(self)]

    def refresh(self) -> None:
        """Show the screen afresh; if the database cannot be read, keep the previous options."""
        if not database.is_in_place(self.connection):
            path = self.connection.path
            print_error(f"{path} was moved, removed or replaced: you are seeing the old file. Start the program again.")
        try:
            self.authorize()
            self.show()
            self.options = self.open_options()
        except sqlite3.Error as error:
            if not self.options:
                raise
            print_error(explain(error))

    def menu_lines(self, options: Sequence[Option]) -> List[str]:
        """Return the lines of a menu, set in columns unless these are too wide."""
        lines = [f"  {each.number}. {each.label}{self.detail(each)}" for each in options]
        width, rows = max(map(len, lines)) + 2, -(-len(lines) // self.menu_columns)
        if width * self.menu_columns > terminal_size().columns:
            return lines
        return ["".join(f"{line:<{width}}" for line in lines[row::rows]).rstrip() for row in range(rows)]

    def detail(self, _: Option) -> str:
        """Return what stands behind the label of an option."""
        return ""

    @option(0, "Back")
    def go_back(self) -> Next:
        return BACK


BACK, MAIN_MENU = Screen(), Screen()


class SessionScreen(Screen):
    """A screen for somebody who is signed in and has the right that it needs; its heading may name the user."""

    heading = ""
    needs = Action.OWN_ACCOUNT  # which everybody has
    user: User

    def __init__(self, session: Session) -> None:
        self.session: Session = session
        self.connection = session.connection

    def authorize(self) -> None:
        self.user = users.authorize(self.session, self.needs)

    def show(self) -> None:
        say("", self.heading.format(user=self.user))

    def may(self, action: Action) -> bool:
        return users.may(self.user, action)


def run_screens(start: Screen, after_each: Callable[[], None]) -> None:
    """Run a stack of screens that begins with `start`, until that one is left; call `after_each` after each option."""
    stack = [start]
    while stack:
        screen = stack[-1]
        try:
            step = perform(screen, screen.refresh, on_failure=BACK)
            if step is None:
                screen.refusal = ""
                if isinstance(screen, WorkOrderScreen):  # it takes the place of an open one and of what is above that
                    place = [isinstance(each, WorkOrderScreen) for each in stack].index(True)
                    stack = [*stack[:place], screen]
                # A screen without options was printed and is left.
                step = perform(screen, choose(screen)) if screen.options else BACK
                after_each()
        except users.SessionEndedError as error:
            logged_out = "You are logged out. " if screen.session and isinstance(error, IdleError) else ""
            print_error(f"{logged_out}{error}")
            stack, step = [start], None
        if step is BACK:
            stack.pop()
            for below in stack[-1:]:
                below.refusal = screen.refusal
        elif step is MAIN_MENU:
            stack = stack[:2]
        elif step:
            stack.append(step)


def choose(screen: Screen) -> Callable[[], Next]:
    """Print the screen's menu and return what the chosen option does.

    Ctrl-C is 0, #12 opens work order 12, 00 leads to the main menu, and an empty answer shows the screen again. Raises
    SystemExit(0) at the end of input.
    """
    print(*screen.menu_lines(screen.options), sep="\n")
    by_number = {str(each.number): each for each in screen.options}
    numbers, session = f"Choose one of the numbers {', '.join(by_number)}", screen.session
    while True:
        try:
            prompt = "Choose an option or #ID: " if session else "Choose an option: "
            answer = read_line(prompt, may_idle=not session)
        except Cancelled:
            answer = "0"
        except EOFError:
            raise SystemExit(0) from None
        if not answer:
            return lambda: None
        if answer in by_number:
            return partial(by_number[answer].choose, screen)
        if session and re.fullmatch("# ?[0-9]{1,18}", answer):
            return partial(WorkOrderScreen, session, work_order.parse_id(answer))
        if session and answer == "00":
            return lambda: MAIN_MENU
        if answer == "?":
            rest = "; 00 leads to the main menu, and #12 opens work order 12" if session else ""
            say(f"{numbers}. An empty answer shows this screen again; 0 leaves it{rest}.")
        else:
            print_error(f"{numbers}{', or # and the ID of a work order' if session else ''}.")


def perform(screen: Screen, run: Callable[[], Next], on_failure: Next = None) -> Next:
    """Run an action of a screen and return where it leads; report a failure, and record a refusal, unless just done."""
    try:
        return run()
    except EOFError:
        print("Cancelled. Nothing was saved.")
        raise SystemExit(1) from None
    except IdleError as error:
        raise IdleError(f"{error} Nothing of the form was saved.") from None
    except (users.SessionEndedError, OSError):
        raise
    except database.EXPECTED_FAULTS as fault:
        sentence = explain(fault)
        if sentence != screen.refusal:
            screen.refusal = sentence
            print_error(sentence)
            # Somebody else's work order counts as not found; the audit log shows anyone who tries many.
            if screen.session and isinstance(fault, (users.PermissionDeniedError, work_order.NotFoundError)):
                with suppress(*database.EXPECTED_FAULTS):
                    users.record_refusal(screen.session, sentence)
    except Exception:  # noqa: BLE001 - the last resort: the work continues, and the log says what to mend
        print_error(f"Something unexpected happened. Nothing was saved. {log_exception()}")
    return on_failure


def log_exception() -> str:
    """Write the exception that is being handled to work_order.log, and return a sentence that says so."""
    import traceback

    path = database.default_path().with_name("work_order.log")
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0)
    try:
        with os.fdopen(os.open(path, flags, 0o600), "a", encoding="utf-8", errors="backslashreplace") as log:
            log.write(f"{database.now()}\n{traceback.format_exc()}\n")
    except OSError:
        return "It could not be written to the log either."
    return f"Details are in {path}; tell an admin."


# Paging


class PagedScreen(SessionScreen, Generic[T]):
    """A list that is shown by pages, each of which begins after the last row of the one before.

    The choice of columns does not depend on the rows.
    """

    columns: Sequence[Column[T]] = ()
    empty_message = "There are none."
    lines_below = 0  # of the screen to come back to; a single page that fits above it is printed without a menu
    rows_per_page = 20  # where there is no terminal
    numbers_single_page = True
    total: Optional[int] = None  # rows on all pages, where it is known
    is_last_page = True

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self.show_first_page()

    def show_first_page(self) -> None:
        self.keys: List[Optional[T]] = [None]  # the row after which each page begins, up to the present one
        self.rows: Sequence[T] = ()  # those of the page

    def read(self, after: Optional[T], limit: int) -> Sequence[T]:
        """Return up to `limit` rows that follow `after`; update the heading, the total and the columns."""
        raise NotImplementedError

    def below(self, _: T) -> Sequence[str]:
        """Return what stands below a row, on a line each."""
        return ()

    def show(self) -> None:
        """Print the page or, if nothing is left of it, the one before."""
        limit = max(self.rows_per_page, terminal_size().lines) + 1
        found = self.read(self.keys[-1], limit)
        while not found and len(self.keys) > 1:
            self.keys.pop()
            found = self.read(self.keys[-1], limit)
        self.menu_columns = 2 if sys.stdout.isatty() and terminal_size().lines < LOW else 1
        room = self.room()
        heights = itertools.accumulate(1 + len(self.below(row)) * sys.stdout.isatty() for row in found)
        self.rows = found[: max(1, sum(height <= room for height in heights))]
        self.is_last_page = len(self.rows) == len(found)
        print("", *heading_lines(self.heading, self.describe_page(room)), sep="\n")
        if self.rows:
            self.print_rows()
        elif self.empty_message:
            print(self.empty_message)

    def open_options(self) -> List[Option]:
        lines = len(self.rows) + self.lines_below + 3
        is_short = self.lines_below and (not sys.stdout.isatty() or lines <= terminal_size().lines)
        return [] if is_short and self.is_last_page and len(self.keys) == 1 else super().open_options()

    def room(self) -> int:
        """Return how many lines fit between the heading and the menu, or how many rows where there is no terminal."""
        if not sys.stdout.isatty():
            return self.rows_per_page
        # What was done, a blank line, the headings of the columns, and the prompt.
        heading = heading_lines(self.heading, "(page 10 of 10)")
        others = 4 + len(heading) + len(self.menu_lines(self.permitted_options()))
        return max(5, terminal_size().lines - others)

    def describe_page(self, room: int) -> str:
        """Return the number of the page and, where it is known, of all pages."""
        number, total = len(self.keys), self.total
        if self.is_last_page and number == 1 and not self.numbers_single_page:
            return ""
        if self.is_last_page and total is not None:
            return f"(page {number} of {number})"
        is_even = not sys.stdout.isatty() or not any(map(self.below, self.rows))
        return f"(page {number} of {max(number + 1, -(-total // room))})" if total and is_even else f"(page {number})"

    def print_rows(self) -> None:
        print(*Table(self.columns, self.rows).lines(self.below), sep="\n")

    @option(1, "Next page", when=lambda screen: not screen.is_last_page)
    def next_page(self) -> None:
        self.keys.append(self.rows[-1])

    @option(2, "Previous page", when=lambda screen: len(screen.keys) > 1)
    def previous_page(self) -> None:
        self.keys.pop()


# One work order


class WorkOrderScreen(SessionScreen):
    """A work order, and what was typed for it and could not be saved: a value and a note, by field."""

    needs = Action.VIEW
    details: work_order.Details
    work_order: WorkOrder  # as it was shown last

    def __init__(self, session: Session, work_order_id: int) -> None:
        super().__init__(session)
        self.id = work_order_id
        self.drafts: Dict[str, Tuple[Any, str]] = {}

    def show(self) -> None:
        """Print the work order so that it fits the terminal with its menu, in two columns if texts would be cut."""
        self.details = work_order.get(self.session, self.id)
        self.work_order = self.details.work_order
        above = [*field_lines(self.work_order), *link_lines(self.details.links)]
        room = sys.maxsize
        for self.menu_columns in (1, 2) if sys.stdout.isatty() else ():
            # What was just done, a blank line, and the prompt.
            room = terminal_size().lines - len(above) - len(self.menu_lines(self.open_options())) - 3
            if len(text_lines(self.details, sys.maxsize)) <= room:
                break
        print("", *above, *text_lines(self.details, room), sep="\n")

    def may(self, action: Action) -> bool:
        return work_order.is_permitted(self.user, action, self.work_order)

    @contextmanager
    def draft(self, name: str, value: object, note: str) -> Iterator[None]:
        """Keep what was typed, to offer it again, unless what happens inside succeeds."""
        self.drafts[name] = (value, note)
        try:
            yield
        except users.ConflictError as error:
            offer = "What you typed is offered when you choose the same option again."
            raise users.ConflictError(f"{error} {offer}") from error
        del self.drafts[name]

    def edit(self, field: Field[V], offers_current: bool = True) -> None:
        """Ask for another value of the field, and for a note where it takes one; save them and say so.

        An empty answer takes what could not be saved before or, if the field `offers_current`, what there is.
        """
        value, note = self.drafts.get(field.name, (field.read(self.work_order), ""))
        has_default = offers_current or field.name in self.drafts
        default = Default(value, field.show(value) or NONE) if has_default else None
        value, note, until = ask_change(self.session, field, default, field.takes_note, note)
        with self.draft(field.name, value, note):
            is_changed = work_order.change(self.session, self.work_order, field, value, note, until)
        done = work_order.describe_done(field, self.work_order, value)
        say(f"{done}{self.describe_spent(note)}" if is_changed else "Nothing changed.")

    def describe_spent(self, note: str) -> str:
        """Return what to add about the time spent that a note begins with, if it does."""
        minutes = work_order.parse_spent(self.user, note)
        return f" {work_order.describe_minutes(minutes)} of work noted." if minutes else ""

    @option(1, "Change status", Action.CHANGE_STATUS)
    def change_status(self) -> None:
        self.edit(work_order.STATUS, offers_current=False)

    @option(2, "Add comment", Action.COMMENT)
    def add_comment(self) -> None:
        _, drafted = self.drafts.get("comment", (None, ""))
        comment = ask("Comment", work_order.parse_text, Default(drafted) if drafted else None, read_text)
        with self.draft("comment", None, comment):
            work_order.comment(self.session, self.id, comment)
        say(f"Comment on work order #{self.id} added.{self.describe_spent(comment)}")

    @option(
        3,
        "Take",
        Action.ASSIGN,
        when=lambda screen: not screen.details.is_mine or screen.work_order.status is work_order.Status.OPEN,
    )
    def take(self) -> None:
        """Assign the work order to oneself and start it; what somebody else has is taken only after a question."""
        if self.work_order.assignee and not self.details.is_mine:
            confirm(f"Work order #{self.id} is assigned to {self.work_order.assignee}; you would take it from them.")
        note = ask_note(self.drafts.get("take", (None, ""))[1])
        with self.draft("take", None, note):
            is_changed = work_order.take(self.session, self.work_order, note)
        say(f"Work order #{self.id} is now yours.{self.describe_spent(note)}" if is_changed else "Nothing changed.")

    @option(4, "Assign", Action.ASSIGN)
    def assign(self) -> None:
        self.edit(ASSIGNEE, offers_current=False)

    @option(5, "Change priority", Action.EDIT)
    def change_priority(self) -> None:
        self.edit(work_order.PRIORITY)

    @option(6, "Set due date", Action.SET_DUE_DATE)
    def set_due_date(self) -> None:
        if self.work_order.due_by:
            say(work_order.explain_due_by(self.work_order))
        self.edit(work_order.DUE_DATE, offers_current=False)

    @option(7, "Edit title", Action.EDIT)
    def edit_title(self) -> None:
        self.edit(work_order.TITLE)

    @option(8, "Edit description", Action.EDIT)
    def edit_description(self) -> None:
        self.edit(work_order.DESCRIPTION)

    @option(9, "Change category", Action.EDIT)
    def change_category(self) -> None:
        self.edit(CATEGORY)

    @option(10, "Change requester", Action.CHANGE_REQUESTER)
    def change_requester(self) -> None:
        self.edit(REQUESTER)

    @option(11, "Show history", Action.VIEW)
    def show_history(self) -> Next:
        return HistoryScreen(self.session, self.id)

    @option(12, "Delete", Action.DELETE)
    def delete(self) -> Next:
        confirm(f"Work order #{self.id} will be deleted; only an admin can see or restore it.")
        work_order.delete(self.session, self.id)
        say(f"Work order #{self.id} deleted.")
        return BACK

    @option(13, "Link", Action.LINK)
    def link(self) -> None:
        """Link the work order to another one, which may cancel it or put it On Hold, or remove a link."""
        removable = [(each, f"remove {each.words} #{each.other_id}") for each in self.details.links]
        choices: Choices[Union[work_order.Kind, work_order.Link]] = [*by_name(tuple(work_order.Kind)), *removable]
        kind = ask_choice("Kind", choices)
        if isinstance(kind, work_order.Link):
            work_order.unlink(self.session, self.work_order, kind)
            say(f"Work order #{self.id} is no longer linked: {kind.words} #{kind.other_id}.")
            return
        other_id = ask_value("Work order ID", work_order.parse_id)
        is_new = work_order.link(self.session, self.work_order, kind, other_id)
        say(f"Work order #{self.id} is {'now' if is_new else 'already'} {kind} #{other_id}.")
        follow_up = {
            work_order.Kind.DUPLICATE_OF: ("Cancel it?", Status.CANCELLED, f"Duplicate of #{other_id}."),
            work_order.Kind.BLOCKED_BY: ("Put it On Hold?", Status.ON_HOLD, ""),
        }
        if kind in follow_up and not self.work_order.status.is_finished:
            question, status, note = follow_up[kind]
            with suppress(Cancelled):  # the link is saved all the same
                if status is not self.work_order.status and ask_yes_or_no(question, default=True):
                    work_order.change(self.session, self.work_order, work_order.STATUS, status, note)
                    say(work_order.describe_done(work_order.STATUS, self.work_order, status))

    @option(14, "Save as a page", Action.EXPORT)
    def save_page(self) -> None:
        with interruptible(self.connection):
            path = work_order.save_work_order(self.session, self.id)
        say(f"Saved as {path}.")


class HistoryScreen(PagedScreen[Tuple[int, str]]):
    """The description and the history of a work order, newest first, by lines, so that a page always fits.

    A line's number counts from the last line, so that it stays when somebody adds something.
    """

    needs = Action.VIEW
    lines_below = 24
    rows_per_page = 200
    numbers_single_page = False

    def __init__(self, session: Session, work_order_id: int) -> None:
        super().__init__(session)
        self.id, self.heading = work_order_id, f"History of work order #{work_order_id}, newest first"

    def read(self, after: Optional[Tuple[int, str]], limit: int) -> Sequence[Tuple[int, str]]:
        row = work_order.get_with_deleted(self.session, self.id)
        lines = field_lines(row) if row.deleted_at else []
        lines += ["  Description:", *wrap(row.description, indent="      ")] if row.description else []
        if not row.deleted_at:
            for link in work_order.get(self.session, self.id).links:
                lines += wrap(f"{'Link:':<11} {link}", hanging=" " * 12)
        for entry in work_order.history(self.session, self.id):
            lines += wrap(work_order.describe_entry(entry), hanging="    ")
        numbered = list(zip(range(len(lines), 0, -1), lines))
        return [line for line in numbered if after is None or line[0] < after[0]][:limit]

    def print_rows(self) -> None:
        print(*(text for _, text in self.rows), sep="\n")


def field_lines(row: WorkOrder) -> List[str]:
    """Return a work order's number and title, and its other fields in two columns where the terminal is wide enough."""
    width = terminal_size().columns
    half = 38 if width < 100 else 50
    lines = [(f"{name + ':':<11} {value}", colour) for name, value, colour in _fields(row, half - 15)]
    if sys.stdout.isatty() and width < 2 * half and terminal_size().lines < 30:
        lines = [*lines[:6], *lines[8:]]  # the history has the times too
    printed = wrap(f"Work order #{row.id}: {row.title}", indent="", hanging="    ")
    for left, right in zip(lines[::2], [*lines[1::2], ("", "")]):
        if cell_width(left[0]) < half - 2 and cell_width(right[0]) <= width - half:
            printed.append(f"  {fit(left[0], half - 2)}{coloured(*right)}".rstrip())
        else:
            both = [each for each in (left, right) if each[0]]
            printed += [coloured(line, colour) for text, colour in both for line in wrap(text, hanging=" " * 12)]
    return printed


def _fields(row: WorkOrder, room: int) -> List[Tuple[str, str, str]]:
    """Return the name, the value and the colour of each field, with people's names where they fit the room."""
    due = work_order.DUE_DATE.show(row.due_at) + (f", {work_order.describe_due(row)}" if row.is_overdue else "")
    people = [(row.requester, row.requester_name), (row.assignee or NOBODY, row.assignee_name)]
    labels = [(printable(work_order.describe_person(*person)), person[0]) for person in people]
    requester, assignee = (label if cell_width(label) <= room else username for label, username in labels)
    last = ("Resolved", row.resolved_at) if row.resolved_at else ("Changed", row.updated_at)
    source = [("From", printable(f"{row.source} {row.source_id or ''}".rstrip()), "")] if row.source else []
    return [
        ("Status", f"{row.status}{' (hold over)' * row.is_hold_over}", ""),
        ("Priority", str(row.priority), priority_colour(row)),
        ("Requester", requester, ""),
        ("Assignee", assignee, ""),
        ("Category", printable(CATEGORY.show(row.category)), ""),
        ("Due", due + (f" (by {row.due_by})" if row.due_by else ""), BOLD_RED * row.is_overdue),
        ("Created", work_order.local_time(row.created_at), ""),
        (last[0], work_order.local_time(last[1]), ""),
        *([("Until", work_order.local_time(row.held_until), "")] if row.held_until else []),
        *([("Time spent", work_order.describe_minutes(row.spent_minutes), "")] if row.spent_minutes else []),
        *source,
    ]


def link_lines(links: Sequence[work_order.Link]) -> List[str]:
    """Return the links of a work order, a line each; without room the first ones and how many more there are."""
    columns, lines = terminal_size()
    shown = links[: max(1, lines // 4 - 5)] if sys.stdout.isatty() else links
    ends = [""] * (len(shown) - 1) + [f" and {len(links) - len(shown):,} more" if len(links) > len(shown) else ""]
    return [
        f"  {'Link:':<11} {fit(printable(str(link)), columns - 14 - len(end)).rstrip()}{end}"
        for link, end in zip(shown, ends)
    ]


def text_lines(details: work_order.Details, room: int) -> List[str]:
    """Return the description and the latest comments and notes, newest first, cut where the room ends and saying so."""
    description = wrap(details.work_order.description, indent="    ") if details.work_order.description else []
    notes = [work_order.describe_entry(entry) for entry in details.notes]
    room_for_notes = max(room - len(description) - 1, room // 2)  # where not all fits, comments get half the room
    entries = [line for note in notes for line in wrap(note, hanging="    ")]
    if len(entries) >= room_for_notes and room_for_notes < ROOM_FOR_TEXTS:
        entries = [line for note in notes for line in wrap(note.replace("\n", " "), hanging="    ")]
    if len(notes) == work_order.LATEST_NOTES:
        entries.append(MORE)
    needed = len(description) + len(entries) + bool(description) + bool(entries)  # with the headings
    if needed > room < ROOM_FOR_TEXTS:  # the latest comment or note matters most
        return _cut([*entries, *description], room)
    entries = ["  Latest comments and notes:", *entries] if entries else []
    description = ["  Description:", *description] if description else []
    description = _cut(description, max(room - len(entries), room // 2))
    return [*description, *_cut(entries, room - len(description))]


def _cut(lines: List[str], room: int) -> List[str]:
    return lines if len(lines) <= room else [*lines[: max(0, room - 1)], MORE]


def priority_colour(row: WorkOrder) -> str:
    """Return the colour of an unfinished work order's priority, if it is above the usual."""
    colours = {Priority.CRITICAL: BOLD_RED, Priority.HIGH: YELLOW}
    return "" if row.status.is_finished else colours.get(row.priority, "")


# Lists of work orders


def work_order_columns(*names: str) -> List[Column[WorkOrder]]:
    """Return these columns of a table of work orders; on a narrow terminal the words of some are abbreviated."""
    is_narrow = terminal_size().columns < NARROW

    def short(word: object) -> str:
        return SHORT.get(str(word), str(word)) if is_narrow else str(word)

    priority, status, title, due = (4, 4, 18, 10) if is_narrow else (8, 11, 24, 12)  # widths
    columns: Dict[str, Column[WorkOrder]] = {
        "id": Column("ID", lambda row: str(row.id), width=5),
        "age": Column("Age", lambda row: work_order.age(row.created_at), 3, width=7),
        "deleted": Column("Deleted", lambda row: work_order.local_time(row.deleted_at or row.updated_at), width=16),
        "priority": Column(short("Priority"), lambda row: short(row.priority), 0, priority, colour=priority_colour),
        "status": Column(short("Status"), lambda row: short(work_order.describe_status(row)), width=status),
        "title": Column("Title", lambda row: row.title, width=title, can_shrink=True),
        "category": Column("Category", lambda row: row.category or "", 1, width=12, can_shrink=True),
        "requester": Column("Requester", lambda row: row.requester, 2, width=12, can_shrink=True),
        "assignee": Column("Assignee", lambda row: row.assignee or NOBODY, 4, width=10, can_shrink=True),
        "due": Column("Due", work_order.describe_due, 5, due, colour=lambda row: BOLD_RED * row.is_overdue),
    }
    # Of the columns that can be left out, "Due" is the last; where even that has no room, the title says "overdue".
    last = [columns[name] for name in names if columns[name].rank in (0, columns["due"].rank)]
    if "due" in names and sum((column.width or 0) + 2 for column in last) - 2 > terminal_size().columns:
        columns["title"].text = lambda row: f"{'overdue: ' * row.is_overdue}{row.title}"
    return [columns[name] for name in names]


SHORT = {
    "Priority": "Pri",
    "Status": "Stat",
    "Hold over": "Over",
    "Medium": "Med",
    "Critical": "Crit",
    "In Progress": "Prog",
    "On Hold": "Hold",
    "Resolved": "Res",
    "Cancelled": "Canc",
}
LIST_COLUMNS = ("id", "priority", "status", "title", "category", "requester", "assignee", "age", "due")


class ListScreen(PagedScreen[WorkOrder]):
    """The work orders that a query finds."""

    needs = Action.VIEW
    empty_message = ""  # the heading says so

    def __init__(self, session: Session, query: Query = Query()) -> None:
        super().__init__(session)
        self.query = query

    def read(self, after: Optional[WorkOrder], limit: int) -> Sequence[WorkOrder]:
        with interruptible(self.connection):
            self.page = page = work_order.find(self.session, self.query, after, limit)
        self.heading = work_order.describe_list(self.query, page.total, page.overdue)
        self.total = page.total if page.total <= work_order.COUNTED_AT_MOST else None
        filter = self.query.filter  # noqa: A001
        fixed = {  # a column that the filter fixes makes room for the others
            "priority": isinstance(filter.priority, Priority),
            "status": filter.status not in (None, work_order.UNFINISHED, Status.ON_HOLD),
            "due": filter.due is work_order.Due.NONE,
            **{name: getattr(filter, name) for name in ("category", "requester", "assignee")},
        }
        self.columns = work_order_columns(*(name for name in LIST_COLUMNS if not fixed.get(name)))
        return page.work_orders

    def below(self, row: WorkOrder) -> Sequence[str]:
        return [text.replace("\n", " ") for text in self.page.below.get(row.id, ())]

    def show_query(self, query: Query) -> None:
        self.query = query
        self.show_first_page()

    @option(3, "Open work order", when=lambda screen: screen.rows, saves=False)
    def open_work_order(self) -> Next:
        return WorkOrderScreen(self.session, ask_value("Work order ID", work_order.parse_id))

    @option(4, "Filter", saves=False)
    def filter(self) -> None:
        """Narrow the list down by one field or several; what it was filtered by before in other fields stays."""
        self.show_query(self.query._replace(filter=ask_filter(self.session, self.query.filter)))

    @option(5, "Sort", saves=False)
    def sort(self) -> None:
        sort = ask_choice("Sort by", by_name([*work_order.Sort]), Default(work_order.Sort.URGENCY))
        self.show_query(self.query._replace(sort=sort))

    @option(6, "Clear filter", when=lambda screen: screen.query.filter != Filter())
    def clear_filter(self) -> None:
        self.show_query(self.query._replace(filter=Filter()))

    @option(7, "Export to CSV", Action.EXPORT, when=lambda screen: screen.rows)
    def export(self) -> None:
        export(self.session, self.query)

    @option(8, "Change all", Action.CHANGE_MANY, when=lambda screen: screen.rows)
    def change_all(self) -> None:
        parse = partial(work_order.select_ids, self.session, self.query)
        everything = Default[List[int]]([], f"all {work_order.number_of(self.page.total)}")
        ids = ask_value("Which", parse, everything) or parse("")
        what = ask_choice("What", by_name([*work_order.CHANGEABLE_TOGETHER]))
        value: Any = None
        note, until = "", None
        if what == work_order.DUPLICATES:
            other_id = ask_value("Work order ID", work_order.parse_id)
            value = (other_id, ask_yes_or_no("Cancel them?", default=True))
        elif what in work_order.FIELDS:
            has_note = what == work_order.STATUS.name
            value, note, until = ask_change(self.session, work_order.FIELDS[what], None, has_note)
        else:
            note = ask("Comment", work_order.parse_text, read=read_text)
        changes = work_order.plan_changes(self.session, ids, what, value, note, until)
        confirm(changes.sentence)
        say(work_order.change_many(self.session, changes))

    @option(9, "Search again", when=lambda screen: screen.query.text, saves=False)
    def search_again(self) -> None:
        """Look for another text, which starts from the last one; filter and order stay."""
        last = Default(self.query, self.query.text)
        query = ask("Search for", partial(search, self.session), last, edits_default=True)
        self.show_query(query._replace(filter=self.query.filter, sort=self.query.sort))

    @option(10, "Save as a page", Action.EXPORT, when=lambda screen: screen.rows)
    def save_page(self) -> None:
        with interruptible(self.connection):
            path = work_order.save_list(self.session, self.query)
        say(f"Saved as {path}.")


def search(session: Session, text: str) -> Query:
    """Return the query for what contains the text; Ctrl-C leaves it."""
    with interruptible(session.connection):
        return work_order.search(session, text)


def ask_filter(session: Session, filter: Filter) -> Filter:
    """Ask by which field to filter and for its value, None for any, or for several fields with their values at once."""

    def parse_names(text: str) -> Union[str, Filter]:
        try:
            return users.parse_choice(work_order.FILTER_NAMES, text, has_numbers=False)
        except InvalidInputError:
            return work_order.parse_filters(session, text, filter)

    names: Choices[Union[str, Filter]] = by_name(work_order.FILTER_NAMES)
    name = ask_choice("Filter by", names, parse=parse_names, hint=FILTER_HINT)
    if isinstance(name, Filter):
        return name
    default = Default[Any](None, ANY)
    parse = partial(work_order.parse_filter_value, session, name)
    values = work_order.filter_choices(session, name)
    if values:
        is_period = name in ("created", "resolved")
        choices = [(work_order.parse_period(str(value)) if is_period else value, str(value)) for value in values]
        value = ask_choice(name.capitalize(), [*choices, (None, ANY)], default, parse, PERIOD_HINT * is_period)
    else:
        value = ask_person(session, name.capitalize(), People.EVERYBODY, parse, default)
    return filter._replace(**{name: value})


def export(session: Session, query: Query) -> None:
    """Write what a query finds to a CSV file and, if wanted, its history to a second one."""
    with_history = ask_yes_or_no("History too?")
    with stoppable("Work orders exported") as progress:
        paths, count = work_order.export(session, query, with_history, progress)
    say(f"{quantity(count)} exported to {' and '.join(map(str, paths))}.")


# Importing


LEFT_OUT = "(left out)"


def read(imported: work_order.Import) -> None:
    """Read the rows as they are understood now."""
    with stoppable("Rows read") as progress:
        work_order.stage(imported, progress)


def ask_about_columns(imported: work_order.Import) -> None:
    """Ask whether the letters and the header are right, and what each column becomes."""
    if imported.sample and not ask_yes_or_no(f"Are all letters right in {brief(imported.sample)}?", default=True):
        raise InvalidInputError(f"Save {imported.name} as CSV UTF-8.")
    if not imported.is_certain:
        first = brief(", ".join(imported.first_row))
        imported.begin(ask_yes_or_no(f"Does the first row name the columns ({first})?", imported.has_header))
    header, choices = imported.header, [*((name, name) for name in work_order.COLUMN_NAMES), ("", LEFT_OUT)]
    while True:
        targets = imported.answers.columns
        order = {True: ", day first", False: ", month first", None: ""}[imported.answers.day_first]
        meanings = [f"{target or LEFT_OUT}{order * target.endswith('_at')}" for target in targets]
        headings = (
            Column[int]("Column", lambda place: f"{place + 1}. {header[place]}", can_shrink=True, width=20),
            Column[int]("Example", imported.examples.__getitem__, can_shrink=True, width=20),
            Column[int]("Becomes", meanings.__getitem__),
        )
        # One line for all columns of the same name and meaning, as trackers have for comments.
        places = {column: place for place, column in reversed([*enumerate(zip(header, targets))])}
        print(*Table(headings, sorted(places.values())).lines(), sep="\n")
        place = ask_number("Change which column", len(header))
        if place is None:
            return
        default = Default(targets[place], targets[place] or LEFT_OUT)
        try:
            work_order.set_column(imported, place, ask_choice(f"{header[place]} becomes", choices, default))
        except InvalidInputError as error:
            print_error(error)


def ask_number(label: str, most: int) -> Optional[int]:
    """Ask for one of the numbered lines above, and return it, from 0 on; an empty answer is None."""

    def parse(text: str) -> Optional[int]:
        if text in map(str, range(1, most + 1)):
            return int(text) - 1
        if text.lower() != NONE:
            raise InvalidInputError(f"Answer with a number from 1 to {most:,}, or none.")
        return None

    return ask_value(label, parse, Default[Optional[int]](None, NONE))


def ask_about_cells(imported: work_order.Import) -> None:
    """Ask what cells mean as far as the file does not tell and no answers are remembered."""
    answers = imported.answers
    if not imported.is_remembered:
        source = ask("From which system", work_order.parse_source, Default(answers.source))
        empty_word = ask("Another word for an empty cell, besides ? - n/a NULL", str, Default("", NONE))
        imported.answer(source=source, empty_word=empty_word)
    for word, rows in work_order.unknown_words(imported):
        column, _, text = word.partition(" ")
        guess: object = work_order.guess_word(word)
        label = f'{column.capitalize()} "{text}" ({quantity(rows, "row")}) becomes'
        parse = partial(work_order.FIELDS[column].parse, imported.session)
        meaning = ask_value(label, parse, Default(guess) if guess else None)
        imported.answer(words={**imported.answers.words, word: str(meaning)})
    if answers.day_first is None and imported.numeric_days:
        orders = [(True, "day first"), (False, "month first")]
        imported.answer(day_first=ask_choice(f"{imported.numeric_days[None]} is", orders, Default(*orders[0])))
    if not (imported.is_own or imported.is_remembered) and any(name.endswith("_at") for name in answers.columns):
        imported.answer(zone=ask_value("Times without a zone are", work_order.parse_zone, Default(answers.zone)))


def ask_about_people(imported: work_order.Import) -> None:
    """Show whose accounts exist, and who will get one, until nothing is to be changed."""
    while people := work_order.unknown_people(imported):
        joined = sum(person.has_account for _, person in people)
        shown = people[: joined + LISTED_AT_MOST]
        say(
            f"People who seem to have an account: {joined:,}; people who will get one, without a password: "
            f"{len(people) - joined:,}. The first {len(shown):,}:",
            *(f"  {number}. {person.name} = {person.username}" for number, (_, person) in enumerate(shown, 1)),
        )
        place = ask_number("Change which person", len(people))
        if place is None:
            return
        key, person = people[place]
        parse = partial(work_order.rename_person, imported, key)
        ask_value(f"{person.name} is (a username, or new)", parse, Default(person.username))


def ask_about_rows(imported: work_order.Import) -> str:
    """Ask what to do with rows that are here already or wrong; return nothing if all are here and to be skipped."""
    repeat, count, updates = work_order.SKIP, imported.new, ""
    if imported.here:
        choices = [work_order.SKIP, work_order.UPDATE, *[work_order.ADD] * bool(imported.here_without_id)]
        label = f"What to do with {quantity(imported.here)} that are here already"
        repeat = ask_choice(label, by_name(choices), Default(repeat))
    if repeat == work_order.UPDATE:
        updates = ", and update those that differ"
        with stoppable("Rows compared") as progress:
            changes = work_order.describe_updates(imported, progress)
        say(*changes)
    elif repeat == work_order.ADD:
        count += imported.here_without_id
    elif not count:
        return ""
    leave_out = [f"Leave out the {imported.wrong:,} wrong?"] * bool(imported.wrong)
    if not all(ask_yes_or_no(each, default=True) for each in (*leave_out, f"Import {quantity(count)}{updates}?")):
        raise Cancelled
    return repeat


# My work


class MyWorkScreen(SessionScreen):
    """What waits for somebody, by number."""

    heading = "My work"
    needs = Action.VIEW
    work: work_order.MyWork

    def show(self) -> None:
        self.work = work_order.my_work(self.session)
        super().show()

    def detail(self, option: Option) -> str:
        if not option.number:
            return ""
        names = ("assigned", "unassigned", "overdue", "due_this_week", "requested", "changed", "hold_over")
        count, late = getattr(self.work, names[option.number - 1]), work_order.number_of(self.work.assigned_overdue)
        more = {1: f", {late} overdue", 3: f", {late} of them yours"} if self.work.assigned_overdue else {}
        return f": {work_order.number_of(count)}{more.get(option.number, '')}"

    @option(1, "Assigned to me", Action.ASSIGN)
    def open_assigned(self) -> Next:
        return ListScreen(self.session, Query(work_order.assigned_to(self.user.username)))

    @option(2, "Unassigned", Action.ASSIGN)
    def open_unassigned(self) -> Next:
        return ListScreen(self.session, Query(work_order.UNASSIGNED))

    @option(3, "Overdue", Action.VIEW)
    def open_overdue(self) -> Next:
        return ListScreen(self.session, Query(work_order.OVERDUE, work_order.Sort.DUE))

    @option(4, "Due this week", Action.VIEW)
    def open_due_this_week(self) -> Next:
        return ListScreen(self.session, Query(work_order.DUE_THIS_WEEK, work_order.Sort.DUE))

    @option(5, "Requested by me", Action.VIEW)
    def open_requested(self) -> Next:
        return ListScreen(self.session, Query(Filter(status=work_order.UNFINISHED, requester=self.user.username)))

    @option(6, "Changed by others", Action.VIEW)
    def open_changed(self) -> Next:
        return ListScreen(self.session, work_order.open_changes(self.session))

    @option(7, "Hold is over", Action.ASSIGN)
    def open_hold_is_over(self) -> Next:
        return ListScreen(self.session, Query(Filter(hold_is_over_for=self.user.id)))


# Reports


class ReportsScreen(SessionScreen):
    """What an IT lead wants to know."""

    heading = "Reports"
    needs = Action.REPORTS

    @option(1, "Resolution times", saves=False)
    def open_resolution_times(self) -> Next:
        period = ask_period()
        grouping = ask_choice("Group by", by_name([*work_order.Grouping]), Default(work_order.Grouping.PRIORITY))
        make = partial(work_order.resolution_times, self.session, grouping=grouping)
        return ReportScreen(self.session, make, period)

    @option(2, "Backlog")
    def open_backlog(self) -> Next:
        return ReportScreen(self.session, lambda _: work_order.backlog(self.session))

    @option(3, "Weekly flow", saves=False)
    def open_weekly_flow(self) -> Next:
        return ReportScreen(self.session, partial(work_order.weekly_flow, self.session), ask_period())

    @option(4, "Workload", saves=False)
    def open_workload(self) -> Next:
        return ReportScreen(self.session, partial(work_order.workload, self.session), ask_period())

    @option(5, "Service targets")
    def open_service_targets(self) -> Next:
        return ServiceTargetsScreen(self.session)

    @option(6, "Monthly report", Action.EXPORT)
    def save_monthly_report(self) -> None:
        """Save a page about a month, beside the month before, and about what stands now."""
        last_month = Default(work_order.parse_month("last month"), "last month")
        month = ask_value("Month", work_order.parse_month, last_month)
        with interruptible(self.connection):
            path = work_order.monthly_report(self.session, month)
        say(f"Saved as {path}.")


class ReportScreen(PagedScreen[work_order.Row]):
    """A report, over a period if it has one: a table, by pages if it has to be, and what its numbers mean."""

    needs = Action.REPORTS
    empty_message = "Nothing to show."
    rows_per_page = sys.maxsize
    numbers_single_page = False
    report: work_order.Report

    def __init__(
        self, session: Session, make: Callable[[Period], work_order.Report], period: Optional[Period] = None
    ) -> None:
        super().__init__(session)
        self.make, self.period = make, period

    def show(self) -> None:
        """Print a page of the report as things stand now."""
        if self.period:
            self.period = work_order.parse_period(self.period.name)  # which may last until now
        with interruptible(self.connection):
            self.report = self.make(self.period or work_order.parse_period("all"))
        self.heading, self.total = self.report.title, len(self.report.rows)
        self.columns = report_columns(self.report)
        super().show()
        room = self.room() - len(self.rows) - 2
        if self.report.oldest and room > 0:
            print("The oldest:")
            columns = work_order_columns("id", "age", "priority", "title", "assignee")
            print(*Table(columns, self.report.oldest[:room]).lines(), sep="\n")
        print(*self.meaning_lines(), sep="\n")

    def read(self, after: Optional[work_order.Row], limit: int) -> Sequence[work_order.Row]:
        names = [row.name for row in self.report.rows]
        first = names.index(after.name) + 1 if after and after.name in names else 0
        return self.report.rows[first : first + limit]

    def room(self) -> int:
        return max(3, super().room() - len(self.meaning_lines()))

    def meaning_lines(self) -> List[str]:
        """Return what the numbers of the columns that are shown mean."""
        shown = [column.heading for column in self.columns]
        meanings = [column.meaning for column in self.report.columns if column.heading in shown and column.meaning]
        return wrap(" ".join(filter(None, (*meanings, self.report.note))), indent="")

    @option(1, "Show work orders", when=lambda screen: screen.report.rows, saves=False)
    def show_work_orders(self) -> Next:
        """Ask for a row and, where it has more than one number, for a column; open the list of what was counted."""
        rows = self.report.rows
        if len(rows) <= LISTED_AT_MOST:
            row = ask_choice("Row", [(row, row.name) for row in rows])
        else:  # the table shows them
            row = ask_value("Row", lambda text: users.parse_choice(rows, text, lambda row: row.name, has_numbers=False))
        cells = zip(self.report.columns, row.cells)
        first, *others = [(cell.query, column.heading) for column, cell in cells if cell.query]
        query = ask_choice("Column", [first, *others], Default(*first)) if others else first[0]
        return ListScreen(self.session, query)

    @option(2, "Another period", when=lambda screen: screen.period, saves=False)
    def choose_period(self) -> None:
        self.period = ask_period(self.period)

    @option(3, "Save as a page", Action.EXPORT, when=lambda screen: screen.report.rows)
    def save_page(self) -> None:
        """Save the report as it was shown last, all of its pages."""
        say(f"Saved as {work_order.save_report(self.session, self.report)}.")

    next_rows = PagedScreen.next_page._replace(number=4)
    previous_rows = PagedScreen.previous_page._replace(number=5)


def report_columns(report: work_order.Report) -> List[Column[work_order.Row]]:
    """Return the columns of a report that fit, with bars to one scale beside its numbers where there is room."""
    columns = [Column[work_order.Row](report.name_column, lambda row: row.name, width=8, can_shrink=True)]
    for n, column in enumerate(report.columns):
        columns.append(Column(column.heading, partial(lambda n, row: row.cells[n].text, n), column.rank))
    table = Table(columns, report.rows)
    bars = [n for n, column in enumerate(report.columns) if column.is_bar and columns[n + 1] in table.columns]
    longest = max((row.cells[n].value for row in report.rows for n in bars), default=0)
    width = min(60, (table.room - table.width) // max(1, len(bars)) - 2)
    for n in reversed(bars) if width >= 10 and longest else ():
        bar_column = Column("", partial(_bar_text, n, width / longest), width=width)
        table.columns.insert(table.columns.index(columns[n + 1]) + 1, bar_column)
    return table.columns


def _bar_text(number: int, scale: float, row: work_order.Row) -> str:
    """Return a bar for a number; anything above zero gets at least one character."""
    block = "\u2588"
    try:
        block.encode(sys.stdout.encoding)
    except UnicodeEncodeError:
        block = "#"
    return block * math.ceil(row.cells[number].value * scale)


class ServiceTargetsScreen(SessionScreen):
    """What is promised; managers can see it, and admins can change it."""

    heading = "Service targets, in hours from creation"
    needs = Action.REPORTS

    def show(self) -> None:
        super().show()
        self.targets = work_order.service_targets(self.session)
        columns: Sequence[Column[work_order.ServiceTarget]] = (
            Column("Priority", lambda target: str(target.priority)),
            Column("First response", lambda target: f"{target.response_hours or NONE}"),
            Column("Resolution", lambda target: f"{target.resolution_hours or NONE}"),
        )
        print(*Table(columns, self.targets).lines(), sep="\n")
        say(work_order.SERVICE_TARGETS)

    @option(1, "Change target", Action.SERVICE_TARGETS)
    def change_target(self) -> None:
        """Change what is promised for a priority, unless another admin has done so since it was shown."""
        priority = ask_choice("Priority", by_name([*Priority]))
        (shown,) = (target for target in self.targets if target.priority is priority)
        response_hours = ask_hours("Hours to first response", shown.response_hours)
        resolution_hours = ask_hours("Hours to resolution", shown.resolution_hours)
        target = work_order.ServiceTarget(priority, response_hours, resolution_hours)
        is_changed = work_order.set_service_target(self.session, shown, target)
        done = f"Service target for priority {priority} is now: {work_order.describe_target(target)}."
        say(done if is_changed else "Nothing changed.")


def ask_hours(label: str, current: Optional[int]) -> Optional[int]:
    return ask_value(f"{label} (or {NONE})", work_order.parse_hours, Default(current), can_be_0=True)


# My account


class AccountScreen(SessionScreen):
    """One's own account."""

    heading = "My account: {user.username} ({user.role})"

    @option(1, "Change password")
    def change_password(self) -> None:
        current = ask("Current password", str, read=read_password)
        users.change_password(self.session, current, ask_new_password("New password", self.user.username, current))
        print("Password changed.")

    @option(2, "Change email")
    def change_email(self) -> None:
        email = ask_value("Email", users.parse_email, Default(self.user.email))
        users.change_email(self.session, email)
        say(f"Email is now {email or NONE}.")

    @option(3, "Change mail about new work orders", Action.MAIL_WISH)
    def change_mail_wish(self) -> None:
        current = Default(self.user.new_work_order_mail)
        wish = ask_choice("Mail about new work orders", by_name([*users.MailWish]), current)
        users.change_mail_wish(self.session, wish)
        say(f"Mail about new work orders is now: {wish}.")


# Manage users


class UsersScreen(SessionScreen):
    """The accounts, for admins."""

    heading = "Manage users"
    needs = Action.MANAGE_USERS

    @option(1, "List users")
    def list_users(self) -> Next:
        return UserListScreen(self.session)

    @option(2, "Add user")
    def add_user(self) -> None:
        username = ask_value("Username", partial(users.parse_new_username, self.connection))
        role = ask_choice("Role", by_name([*Role]), Default(Role.USER))
        one_time_password = users.add_user(self.session, username, role)
        say(f"User {username} added as {role}.")
        print_one_time_password(one_time_password, username)

    @option(3, "Change role")
    def change_role(self) -> None:
        """Give an account another role, after a question if that takes rights away; a new user's work goes on."""
        user = self.ask_user()
        role = ask_choice("Role", by_name([*Role]), Default(user.role))
        if role is user.role:
            print("Nothing changed.")
            return
        successor = None
        if tuple(Role).index(role) < tuple(Role).index(user.role):
            successor, handover = self.ask_successor(user) if role is Role.USER else (None, "")
            confirm(
                f"User {user.username} will be {role.with_article} and no longer {user.role.with_article}.{handover}"
            )
        count = work_order.change_role(self.session, user.username, role, successor)
        done = f"{user.username} is now {role.with_article}."
        say(f"{done}{work_order.describe_handover(count, user.username, successor)}")

    @option(4, "Reset password")
    def reset_password(self) -> None:
        user = self.ask_user()
        confirm(f"User {user.username} will be logged out and get a one-time password.")
        one_time_password = users.reset_password(self.session, user.username)
        say(f"Password of user {user.username} reset.")
        print_one_time_password(one_time_password, user.username)

    @option(5, "Deactivate")
    def deactivate(self) -> None:
        user = self.ask_user()
        successor, handover = self.ask_successor(user)
        confirm(f"User {user.username} will be logged out and can no longer log in.{handover}")
        count = work_order.deactivate(self.session, user.username, successor)
        done = f"User {user.username} deactivated."
        say(f"{done}{work_order.describe_handover(count, user.username, successor)}")

    @option(6, "Reactivate")
    def reactivate(self) -> None:
        user = self.ask_user()
        users.reactivate(self.session, user.username)
        say(f"User {user.username} reactivated.")

    @option(7, "Unlock (clear failed logins)")
    def unlock(self) -> None:
        user = self.ask_user()
        failures = users.unlock(self.session, user.username)
        say(f"User {user.username} unlocked: {quantity(failures, 'failed login')} cleared.")

    @option(8, "Change name or email")
    def change_person(self) -> None:
        user = self.ask_user()
        name = ask("Name", users.parse_person_name, Default(user.name))
        email = ask_value("Email", users.parse_email, Default(user.email))
        users.change_person(self.session, user, name, email)
        say(f"User {user.username} has the name {name or NONE} and the email {email or NONE}.")

    def ask_user(self) -> User:
        parse = partial(users.parse_person, self.session, people=People.EVERYBODY)
        return users.find(self.connection, ask_person(self.session, "Username", People.EVERYBODY, parse))

    def ask_successor(self, user: User) -> Tuple[Optional[str], str]:
        """Ask who takes over the unfinished work orders, if there are any; return that, and what to say about it."""
        count = work_order.find(self.session, Query(work_order.assigned_to(user.username)), None, 1).total
        if not count:
            return None, ""
        question = f"Who takes over their {work_order.number_of(count)} unfinished work order{'s' * (count != 1)}?"
        default = Default[Optional[str]](None, NOBODY)
        while True:
            successor, _ = ask_field(self.session, ASSIGNEE, default, question)
            if successor is None:
                return None, work_order.warn_unassigned(count)
            if successor != user.username:
                return successor, f" {successor} takes over {work_order.quantity_found(count)}."
            print_error(f"{successor} cannot take over from themselves; name somebody else, or {NOBODY}.")


class UserListScreen(PagedScreen[users.ListedUser]):
    """All accounts, first those who can log in; a short list is printed at once."""

    needs = Action.MANAGE_USERS
    lines_below = 12
    columns: Sequence[Column[users.ListedUser]] = (
        Column("Username", lambda listed: listed.user.username, width=12, can_shrink=True),
        Column("Role", lambda listed: str(listed.user.role), width=7),
        Column("State", lambda listed: listed.state.partition(":")[0], width=17),
        Column("Name", lambda listed: listed.user.name or "", 2, width=14, can_shrink=True),
        Column("Email", lambda listed: listed.user.email or "", 3, width=18, can_shrink=True),
        Column("Since", lambda listed: work_order.local_time(listed.user.created_at), 1, width=16),
    )

    def read(self, after: Optional[users.ListedUser], limit: int) -> Sequence[users.ListedUser]:
        accounts, self.total = users.list_users(self.session, after, limit)
        self.heading = quantity(self.total, "user")
        return accounts

    def below(self, listed: users.ListedUser) -> Sequence[str]:
        return [listed.state] if ":" in listed.state else []


def print_one_time_password(one_time_password: str, username: str) -> None:
    """Print the password, the only time that anybody sees it."""
    print(f"One-time password: {one_time_password}")
    say(f"It is shown only now; {username} must change it at the first login.")


# Data and audit


class DataScreen(SessionScreen):
    """Backups, exports, imports, deleted work orders, the audit log, and mail."""

    heading = "Data and audit"
    needs = Action.EXPORT

    @option(1, "Back up now", Action.BACK_UP)
    def back_up(self) -> None:
        print("Backing up ...", flush=True)
        say(f"Backed up to {users.back_up(self.session)}.")

    @option(2, "Export work orders", Action.EXPORT)
    def export(self) -> None:
        export(self.session, Query(sort=work_order.Sort.OLDEST))

    @option(4, "Deleted work orders", Action.RESTORE)
    def open_deleted(self) -> Next:
        return DeletedScreen(self.session)

    @option(5, "Audit log", Action.AUDIT)
    def open_audit_log(self) -> Next:
        return AuditScreen(self.session)

    @option(6, "Check database", Action.BACK_UP)
    def check_database(self) -> None:
        print("Checking ...", flush=True)
        problems = users.check_database(self.session)
        for problem in problems:
            print_error(problem)
        print("Restore the database from a backup." if problems else "The database is sound.")

    @option(7, "Mail", Action.MAIL)
    def open_mail(self) -> Next:
        return MailScreen(self.session)

    @option(3, "Import work orders", Action.IMPORT)
    def import_file(self) -> None:
        """Bring in another system's file: ask what it does not tell, show what would be done, and do it."""
        files = work_order.list_imports(self.session)
        with work_order.open_import(self.session, ask_choice("File", by_name(files), Default(files[0]))) as imported:
            ask_about_columns(imported)
            read(imported)
            shown = imported.answers
            ask_about_cells(imported)
            if imported.answers != shown:
                read(imported)
            ask_about_people(imported)
            say(*work_order.describe_import(imported))
            repeat = ask_about_rows(imported)
            if not repeat:
                say("All of it is here already. Nothing was imported.")
                return
            print("Backing up ...", flush=True)
            try:
                with stoppable("Rows imported") as progress:
                    backup = work_order.import_rows(imported, repeat, progress)
            except (Cancelled, *database.EXPECTED_FAULTS) as stop:
                count = imported.created + imported.updated
                if not (count or isinstance(stop, Cancelled)):
                    raise
                if not isinstance(stop, Cancelled):
                    print_error(explain(stop).partition(" Nothing was saved")[0])
                say(f"Stopped. {count:,} rows are imported and stay; the same file goes on where this stopped.")
                return
            updated = f" and {imported.updated:,} updated" if repeat == work_order.UPDATE else ""
            created = quantity(imported.created)
            say(f"{created} imported{updated} from {imported.name}. The backup from before is {backup}.")


class DeletedScreen(PagedScreen[WorkOrder]):
    """The deleted work orders, latest deletion first."""

    heading = "Deleted work orders, latest deletion first"
    needs = Action.RESTORE

    def read(self, after: Optional[WorkOrder], limit: int) -> Sequence[WorkOrder]:
        self.columns = work_order_columns("id", "deleted", "status", "title", "requester")
        return work_order.list_deleted(self.session, after, limit)

    @option(3, "Open work order", when=lambda screen: screen.rows, saves=False)
    def open_deleted(self) -> Next:
        deleted = work_order.get_deleted(self.session, ask_value("Work order ID", work_order.parse_id))
        return HistoryScreen(self.session, deleted.id)

    @option(4, "Restore work order", when=lambda screen: screen.rows)
    def restore(self) -> None:
        work_order_id = ask_value("Work order ID", work_order.parse_id)
        work_order.restore(self.session, work_order_id)
        say(f"Work order #{work_order_id} restored.")
        self.show_first_page()


class AuditScreen(PagedScreen[users.AuditEntry]):
    """What was done, newest first."""

    needs = Action.AUDIT
    audit_filter = AuditFilter()
    columns: Sequence[Column[users.AuditEntry]] = (
        Column("ID", lambda entry: str(entry.id), width=5),
        Column("When", lambda entry: work_order.local_time(entry.recorded_at), width=16),
        Column("Account", lambda entry: entry.username or "-", width=9, can_shrink=True),
        Column("Event", lambda entry: entry.event, width=14, can_shrink=True),
        Column("Subject", lambda entry: entry.subject, 3, width=20, can_shrink=True),
        Column("System user", lambda entry: entry.os_user, 2, width=11, can_shrink=True),
        Column("SSH client", lambda entry: entry.ssh_client, 1, width=15, can_shrink=True),
    )

    def read(self, after: Optional[users.AuditEntry], limit: int) -> Sequence[users.AuditEntry]:
        self.heading = f"Audit log, newest first: {', '.join(filter(None, self.audit_filter)) or 'everything'}"
        return users.audit_log(self.session, self.audit_filter, after and after.id, limit)

    @option(3, "Show entry", when=lambda screen: screen.rows, saves=False)
    def show_entry(self) -> Next:
        entry = ask_value("Entry ID", lambda text: users.get_audit_entry(self.session, work_order.parse_id(text)))
        return AuditEntryScreen(self.session, entry)

    @option(4, "Filter", saves=False)
    def filter(self) -> None:
        """Narrow the log down to an account, an event, or both; each answer may be left empty for any."""
        anything: Default[Optional[str]] = Default(None, ANY)

        def parse(text: str) -> Optional[str]:
            return None if text.lower() == ANY else users.parse_person(self.session, text, People.EVERYBODY)

        username = ask_person(self.session, "Account", People.EVERYBODY, parse, anything)
        events: List[Tuple[Optional[str], str]] = [(event, event) for event in users.audit_events(self.session)]
        event = ask_choice("Event", [*events, (None, ANY)], anything)
        self.audit_filter = AuditFilter(username, event)
        self.show_first_page()

    @option(6, "Clear filter", when=lambda screen: screen.audit_filter != AuditFilter())
    def clear_filter(self) -> None:
        self.audit_filter = AuditFilter()
        self.show_first_page()


class AuditEntryScreen(SessionScreen):
    """An entry of the audit log, whole."""

    heading = "Audit log entry"
    needs = Action.AUDIT

    def __init__(self, session: Session, entry: users.AuditEntry) -> None:
        super().__init__(session)
        self.entry = entry

    def show(self) -> None:
        super().show()
        for column in AuditScreen.columns:
            print(*wrap(f"{column.heading + ':':<13}{column.text(self.entry) or '-'}", hanging=" " * 13), sep="\n")


class MailScreen(SessionScreen):
    """How messages reach people."""

    heading = "Mail"
    needs = Action.MAIL

    def show(self) -> None:
        super().show()
        self.settings, state = users.mail_state(self.session)
        say(f"  {state}")

    @option(1, "Settings")
    def change_settings(self) -> None:
        """Ask for the mail server and, unless it is `none`, for the other settings.

        An empty answer keeps the setting, even the password, which is never shown; another server does not get it. A
        setting left as shown keeps the value that another admin may have given it since.
        """
        shown = self.settings
        new = shown._replace(host=ask_value("SMTP host", users.parse_mail_host, Default(shown.host)))
        if new.host:
            port = ask_value("Port", users.parse_port, Default(shown.port))
            security = ask_choice("Security", by_name([*users.Security]), Default(shown.security))
            default = Default(shown.sender) if shown.sender else None
            sender = ask_value("Sender's address", users.parse_address, default)
            username = ask("Username", users.parse_credential, Default(shown.username))
            is_kept = shown.password and (new.host, port, security) == shown[:3]
            kept = Default(shown.password, "unchanged") if is_kept else Default(None)
            password = ask("Password", users.parse_credential, kept, read_password)
            new = users.MailSettings(new.host, port, security, sender, username, password)
        saved = users.change_mail_settings(self.session, shown, new)
        say(f"Mail settings saved: {users.describe_mail_settings(saved)}.")

    @option(2, "Send a test message", saves=False)
    def send_test_message(self) -> None:
        own = self.user.email
        to = ask_value("To", users.parse_address, Default(own) if own else None)
        print("Sending ...", flush=True)
        answer = users.send_test_message(self.session, to)
        say(f"Test message to {to} sent. The mail server says: {answer}")

    @option(3, "Show waiting messages")
    def show_waiting(self) -> Next:
        return OutboxScreen(self.session)

    @option(4, "Send now")
    def send_now(self) -> None:
        """Try every waiting message, even if its pause is not over."""
        say(users.send_now(self.session))


class OutboxScreen(PagedScreen[users.Message]):
    """The messages that wait or have failed, each with the reason why it was not sent."""

    heading = "Waiting and failed messages, newest first"
    needs = Action.MAIL
    columns: Sequence[Column[users.Message]] = (
        Column("Written", lambda message: work_order.local_time(message.created_at), 1, width=16),
        Column("To", lambda message: message.username, width=10, can_shrink=True),
        Column("Subject", lambda message: message.subject, width=12, can_shrink=True),
        Column("Tries", lambda message: str(message.attempts), 2, width=5),
        Column("Next try", users.describe_attempt, width=16),
    )

    def read(self, after: Optional[users.Message], limit: int) -> Sequence[users.Message]:
        return users.outbox(self.session, after, limit)

    def below(self, message: users.Message) -> Sequence[str]:
        return [message.reason] if message.reason else []


# Recurring work orders


class RecurringScreen(SessionScreen):
    """The templates of work orders that come again, and when each comes next."""

    heading = "Recurring work orders"
    needs = Action.RECURRING

    def show(self) -> None:
        super().show()
        self.templates = work_order.list_templates(self.session)
        columns: Sequence[Column[work_order.Template]] = (
            Column("Next", lambda template: str(template.next_day)),
            Column("Every", lambda template: template.rhythm),
            Column("Title", lambda template: template.draft.title, width=18, can_shrink=True),
            Column("Assignee", lambda template: template.draft.assignee or NOBODY, 2, width=10, can_shrink=True),
            Column("Requester", lambda template: template.draft.requester or "", 1, width=10, can_shrink=True),
        )
        if self.templates:
            print(*Table(columns, self.templates).lines(), sep="\n")
        else:
            print("There are none.")

    @option(1, "Add")
    def add(self) -> None:
        """Ask for a template, which may begin as an existing work order."""
        parse = lambda text: None if NONE.startswith(text.lower()) else work_order.parse_id(text)  # noqa: E731
        like = ask_value("Like work order ID", parse, Default[Optional[int]](None))
        draft = work_order.Draft("", requester=self.user.username)
        if like is not None:
            row = work_order.get(self.session, like).work_order
            draft = work_order.Draft(**{name: getattr(row, name) for name in work_order.Draft._fields})
        self.save(work_order.Template(draft, None, 1, "month", date.today()))

    @option(2, "Change", when=lambda screen: screen.templates)
    def change(self) -> None:
        self.save(self.ask_which())

    @option(3, "Stop", when=lambda screen: screen.templates)
    def stop(self) -> None:
        template = self.ask_which()
        confirm(f'No more work orders "{brief(template.draft.title)}" will be created.')
        work_order.stop_template(self.session, template)
        say(f'Recurring work order "{brief(template.draft.title)}" stopped.')

    def ask_which(self) -> work_order.Template:
        return ask_choice("Which", [(each, f"{each.draft.title}, every {each.rhythm}") for each in self.templates])

    def save(self, template: work_order.Template) -> None:
        """Ask for everything, each answer starting from what the template says, and save it."""
        draft = template.draft
        for field in (work_order.TITLE, work_order.DESCRIPTION, work_order.PRIORITY, CATEGORY, REQUESTER, ASSIGNEE):
            current = getattr(draft, field.name)
            default = Default(current, field.show(current)) if current != "" or field.is_text else None
            value, _ = ask_field(self.session, field, default)
            draft = draft._replace(**{field.name: value})
        due_days = ask_value("Days until due", work_order.parse_days, Default(template.due_days), can_be_0=True)
        rhythm = Default((template.every, template.unit), template.rhythm)
        every, unit = ask_value("Every", work_order.parse_rhythm, rhythm)
        first = Default(template.first_day, "today" if template.first_day == date.today() else None)
        first_day = ask_value("First day", work_order.parse_first_day, first)
        saved = template._replace(draft=draft, due_days=due_days, every=every, unit=unit, first_day=first_day)
        work_order.save_template(self.session, saved)
        say(f'Recurring work order "{brief(draft.title)}" saved: every {saved.rhythm} from {first_day} on.')


# Main menu


class MainScreen(SessionScreen):
    """What somebody who is signed in can do."""

    heading = "Main menu: {user.username} ({user.role})"

    def show(self) -> None:
        """Print who is signed in, and in a line what waits for them, after what recurs and is due has been created."""
        try:
            work_order.create_due(self.connection)
        except database.EXPECTED_FAULTS as fault:  # busy or full: then the next one creates it
            if isinstance(fault, ApplicationError) and self.may(Action.RECURRING):
                print_error(fault)
        super().show()
        say(f"  {work_order.describe_my_work(work_order.my_work(self.session))}")

    @option(1, "Create work order", Action.CREATE)
    def create_work_order(self) -> Next:
        """Create a work order of one's own or, for managers and admins, of a requester, and open it."""
        session = self.session
        title, _ = ask_field(session, work_order.TITLE)
        description, _ = ask_field(session, work_order.DESCRIPTION, Default("", ""), "Description (optional)")
        priority, _ = ask_field(session, work_order.PRIORITY, Default(Priority.MEDIUM))
        draft = work_order.Draft(title, description, priority)
        if self.may(Action.NAME_CATEGORY) or work_order.categories(session):
            category, _ = ask_field(session, CATEGORY, Default[Optional[str]](None))
            draft = draft._replace(category=category)
        if self.may(Action.CHANGE_REQUESTER) and len(users.list_people(session, People.REQUESTERS, 2)) > 1:
            requester, _ = ask_field(session, REQUESTER, Default(self.user.username, ME))
            assignee, _ = ask_field(session, ASSIGNEE, Default[Optional[str]](None, NOBODY))
            draft = draft._replace(requester=requester, assignee=assignee)
        work_order_id = work_order.create(session, draft)
        say(f"Work order #{work_order_id} created.")
        return WorkOrderScreen(session, work_order_id)

    @option(2, "View work orders", Action.VIEW)
    def view_work_orders(self) -> Next:
        return ListScreen(self.session)

    @option(3, "Update work order", Action.VIEW, saves=False)
    def update_work_order(self) -> Next:
        return WorkOrderScreen(self.session, ask_value("Work order ID", work_order.parse_id))

    @option(4, "Search work orders", Action.VIEW, saves=False)
    def search_work_orders(self) -> Next:
        return ListScreen(self.session, ask("Search for", partial(search, self.session)))

    @option(5, "My work", Action.VIEW)
    def open_my_work(self) -> Next:
        return MyWorkScreen(self.session)

    @option(6, "Summary", Action.SUMMARY)
    def show_summary(self) -> None:
        report = work_order.summary(self.session)
        say(report.title)
        print(*Table(report_columns(report), report.rows).lines(), sep="\n")

    @option(7, "Reports", Action.REPORTS)
    def open_reports(self) -> Next:
        return ReportsScreen(self.session)

    @option(8, "My account")
    def open_account(self) -> Next:
        return AccountScreen(self.session)

    @option(9, "Manage users", Action.MANAGE_USERS)
    def open_users(self) -> Next:
        return UsersScreen(self.session)

    @option(10, "Data and audit", Action.EXPORT)
    def open_data(self) -> Next:
        return DataScreen(self.session)

    @option(11, "Recurring work orders", Action.RECURRING)
    def open_recurring(self) -> Next:
        return RecurringScreen(self.session)

    @option(0, "Log out", saves=False)
    def log_out(self) -> Next:
        """End the session; on a terminal only after a question, since one 0 too many is typed easily."""
        if sys.stdin.isatty() and not ask_yes_or_no("Log out?", default=True):
            return None
        print("Logged out.")
        return BACK


# Start menu


class StartScreen(Screen):
    """What anybody can do."""

    def __init__(self, connection: database.Connection) -> None:
        self.connection = connection

    def show(self) -> None:
        print("\nIT Work Order Management System")

    @option(1, "Register")
    def register(self) -> None:
        """Create an account; an admin approves those of managers and admins, except the first."""
        is_first = not users.has_admin(self.connection)
        if is_first:
            print("There is no admin yet: register as admin to become the first.")
        username = ask_value("Username", partial(users.parse_new_username, self.connection))
        password = ask_new_password("Password", username)
        role = ask_choice("Role", by_name([*Role]), Default(Role.ADMIN if is_first else Role.USER))
        approval, needs_approval = None, role is not Role.USER and users.has_admin(self.connection)
        if needs_approval:
            say(f"An admin has to approve a new {role}.")
        for attempts_left in reversed(range(ASKED_AT_MOST)):
            if needs_approval:
                approval = (ask("Admin username", str), ask("Admin password", str, read=read_password))
            try:
                users.register(self.connection, username, password, role, approval)
                break
            except users.AuthenticationError as error:
                if not (attempts_left and needs_approval):
                    raise
                print_error(error)
        say(f"User {username} registered as {role}.")

    @option(2, "Log in", saves=False)
    def log_in(self) -> Next:
        """Check name and password, have a one-time password replaced, and open the main menu."""
        username = ask("Username", str)
        password = ask("Password", str, read=read_password)
        session = users.log_in(self.connection, username, password)
        user = users.current_user(session)
        if user.must_change_password:
            print("That was a one-time password. Choose one of your own.")
            users.change_password(session, password, ask_new_password("New password", user.username, password))
            print("Password changed.")
        return MainScreen(session)

    @option(0, "Exit")
    def exit(self) -> Next:
        return BACK


# Starting and ending


def main(arguments: Sequence[str]) -> int:
    """Run the program and return its exit code: 1 if the database cannot be used, 2 for an unknown argument."""
    if arguments:
        import argparse

        parser = argparse.ArgumentParser(
            prog="main.py",
            allow_abbrev=False,
            description="Work orders of an IT department: start it without arguments and choose from numbered menus.",
            epilog="WORK_ORDER_DB names a database file other than work_order.db beside main.py.",
        )
        parser.add_argument("--version", action="version", version=f"IT Work Order Management System {VERSION}")
        parser.parse_args(arguments)
    prepare_terminal()
    ignore_interrupts()
    ending = Ending()
    for name in ("SIGTERM", "SIGHUP", "SIGQUIT"):
        if hasattr(signal, name):  # Windows has only the first
            signal.signal(getattr(signal, name), ending)
    if hasattr(signal, "SIGTSTP"):
        signal.signal(signal.SIGTSTP, signal.SIG_IGN)  # a stopped prompt would leave the terminal without echo
    try:
        idle_seconds()
        connection = database.connect(database.default_path(), create=True)
    except database.EXPECTED_FAULTS as fault:
        print(f"Error: {printable(explain(fault))}", file=sys.stderr)
        return 1
    mailer = users.Mailer(connection, log_exception)
    with closing(connection):
        try:
            run_screens(StartScreen(connection), mailer.wake)
        finally:
            mailer.finish()
    return 0


def run() -> int:
    """Run main, whoever or whatever ends it, give the terminal back as it was, and return the exit code."""
    is_terminal = termios and sys.stdin and sys.stdin.isatty()
    before = termios.tcgetattr(sys.stdin) if is_terminal else None
    try:
        code = main(sys.argv[1:])
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 0
    except OSError:  # nobody can read what we print: a closed pipe or terminal, a full disk
        code = 1
    finally:
        if before:
            with suppress(termios.error):  # the terminal may be gone
                termios.tcsetattr(sys.stdin, termios.TCSANOW, before)
    try:
        sys.stdout.flush()
    except OSError:
        code = code or 1
    return code


if __name__ == "__main__":
    # Not sys.exit: PYTHONINSPECT would open an interpreter then, and what could not be printed would be tried again.
    os._exit(run())
