"""The conversation: prompts, screens and menus. `python main.py` starts it.

Each menu is a table of options below the functions that they run; a handler prompts, calls and prints.
"""

import signal

if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # until the first prompt, Ctrl-C ends the program without a word

import math
import os
import re
import shutil
import sqlite3
import sys
import time
import unicodedata
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from functools import partial
from pathlib import Path
from typing import Any, Callable, Dict, Generic, Iterator, List, Optional, Sequence, Set, Tuple, TypeVar, cast

import database
import users
import work_order
from database import ApplicationError, printable
from users import Action, AuditEntry, InvalidInputError, Role, Scope, Session, SessionEndedError, User
from work_order import NOBODY, UNFINISHED, Due, HistoryEntry, Priority, Selection, Sort, Status, WorkOrder, local_time

try:
    import termios
except ImportError:  # not on Windows
    termios = None  # type: ignore[assignment]

VERSION = "1.0.0"
# Windows has no SIGHUP and no SIGQUIT.
ENDING_SIGNALS = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP", "SIGQUIT") if hasattr(signal, name)]
LONGEST_LINE = 100_000
ROWS_PER_PAGE = 20
FIRST_FEW = 5
BOLD_RED, YELLOW = "1;31", "33"

ANY = "any"

T = TypeVar("T")


class IdleError(SessionEndedError):
    """Nothing was typed for so long that whoever sits there now may be somebody else."""


class Cancelled(Exception):
    """The person left the form before its last answer."""


# Reading answers


def prepare_terminal() -> None:
    """Make the standard streams fit for any bytes, and line editing available without a history or completion."""
    sys.stdin = sys.stdin or Path(os.devnull).open()
    sys.stdout = sys.stdout or Path(os.devnull).open("w")
    sys.stderr = sys.stderr or Path(os.devnull).open("w")
    sys.stdin.reconfigure(errors="surrogateescape", newline="\n")  # type: ignore[union-attr]
    sys.stdout.reconfigure(errors="replace")  # type: ignore[union-attr]
    if sys.stdin.isatty():
        try:
            import readline
        except ImportError:  # not in every Python
            return
        readline.set_auto_history(False)
        readline.set_completer(lambda *_: None)  # the default one lists files


def read_line(prompt: str, begun: str = "") -> str:
    """Return one line without space around it; where the terminal can, it starts from what is `begun`.

    Raises Cancelled at Ctrl-C, EOFError at the end of input.
    """
    return _read(prompt, begun=begun).strip()


def read_password(prompt: str) -> str:
    """Return one line with its spaces, not shown while it is typed. Raises as read_line does."""
    return _read(prompt, hidden=True)


def read_text(prompt: str, begun: str = "") -> str:
    """Return a line and, as long as one ends in a backslash, the one after it; each line that is `begun` is asked for.

    A begun line that is emptied is taken out. Raises as read_line does.
    """
    waiting, lines, goes_on = begun.split("\n"), [], False
    while waiting or goes_on:
        beginning = waiting.pop(0) if waiting else ""
        line = _read(prompt, begun=beginning)
        goes_on = line.endswith("\\")
        if line or not beginning:
            lines.append(line[:-1] if goes_on else line)
        prompt = "> "
    return "\n".join(lines).strip()


def _read(prompt: str, hidden: bool = False, begun: str = "") -> str:
    while True:
        deadline = time.monotonic() + (idle_seconds() or math.inf)
        try:
            with _listening_for_signals(deadline):
                line = _read_from_terminal(prompt, hidden, begun) if sys.stdin.isatty() else _read_from_file(prompt)
        except KeyboardInterrupt:
            print()
            raise Cancelled from None
        _check_idle(deadline)  # where there is no alarm signal, it is too late only when the answer is there
        if len(line) > LONGEST_LINE:
            print_error(f"That line is too long; a line has at most {LONGEST_LINE:,} characters.")
        elif "\0" in line or any("\ud800" <= character <= "\udfff" for character in line):
            print_error(f"That is not text in the terminal's encoding ({sys.stdin.encoding}).")
        else:
            return line


def idle_seconds() -> float:
    """Return after how many seconds without an answer a session ends, 0 for never. Raises ApplicationError."""
    minutes = os.environ.get("WORK_ORDER_IDLE_MINUTES") or "15"
    if not re.fullmatch(r"[0-9]{1,6}(\.[0-9]{1,6})?", minutes):
        raise ApplicationError("WORK_ORDER_IDLE_MINUTES has to be a number of minutes, 0 for never.")
    return float(minutes) * 60


def _check_idle(deadline: float) -> None:
    if time.monotonic() > deadline:
        print()
        raise IdleError(f"You are logged out: nothing was typed for {idle_seconds() / 60:g} minutes.")


@contextmanager
def _listening_for_signals(deadline: float) -> Iterator[None]:
    """Let Ctrl-C, the end of the terminal or of the program, and the deadline interrupt what happens inside.

    Outside of it, Ctrl-C does nothing, so that it never undoes what is being saved.
    """
    before = {number: signal.signal(number, _end) for number in ENDING_SIGNALS}
    signal.signal(signal.SIGINT, _interrupt)
    if hasattr(signal, "setitimer"):
        # The tick also lets a signal be seen that came a moment before the wait began.
        signal.signal(signal.SIGALRM, lambda *_: _check_idle(deadline))
        signal.setitimer(signal.ITIMER_REAL, 0.5, 0.5)
    try:
        yield
        _listen_no_more(before)
    except BaseException:
        _listen_no_more(before)  # again, if it was interrupted
        raise


def _listen_no_more(handlers: Dict[int, Any]) -> None:
    if hasattr(signal, "setitimer"):
        signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    for number, handler in handlers.items():
        signal.signal(number, handler)


def _interrupt(signal_number: int, frame: object) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a second Ctrl-C must not hit what handles the first
    raise KeyboardInterrupt


def _end(signal_number: int, frame: object) -> None:
    raise SystemExit(128 + signal_number)


def _read_from_terminal(prompt: str, hidden: bool, begun: str) -> str:
    if hidden:
        return _read_hidden(prompt)
    editor = _line_editor()
    if editor:
        # A Ctrl-C that comes while a hook runs would be lost.
        editor.set_startup_hook((lambda: editor.insert_text(begun)) if begun else None)
    try:
        return input(prompt)
    except EOFError:
        print()
        raise
    except SystemError as error:
        # input() lets the tick's handler run on top of what another signal's has raised already.
        raise error.__cause__ or error from None


def _line_editor() -> Any:
    """Return the readline module if prepare_terminal found it useful."""
    return sys.modules.get("readline")


def _read_hidden(prompt: str) -> str:
    """Return a line that is not shown while it is typed; what was typed or pasted ahead is kept."""
    if termios is None:
        import getpass

        return getpass.getpass(prompt)
    typed = bytearray()
    with _unechoed_keys():
        print(prompt, end="", flush=True)
        while True:
            key = os.read(sys.stdin.fileno(), 1)
            if key in (b"\n", b"\r"):
                break
            if key == b"" or (key == b"\x04" and not typed):  # Ctrl-D
                print()
                raise EOFError
            if key == b"\x15":  # Ctrl-U
                typed.clear()
            elif key in (b"\x7f", b"\x08"):
                while typed and typed.pop() & 0xC0 == 0x80:  # the rest of a character of several bytes
                    pass
            else:
                typed += key
    print()
    return typed.decode(sys.stdin.encoding, "surrogateescape")


@contextmanager
def _unechoed_keys() -> Iterator[None]:
    # getpass would turn to the controlling terminal instead of standard input and drop what was typed ahead.
    try:
        before = termios.tcgetattr(sys.stdin)
    except termios.error as error:
        raise OSError(*error.args) from error
    silent = before[:]
    silent[3] &= ~(termios.ECHO | termios.ICANON)
    try:
        termios.tcsetattr(sys.stdin, termios.TCSADRAIN, silent)
        yield
    finally:
        with suppress(termios.error):  # the terminal may be gone
            termios.tcsetattr(sys.stdin, termios.TCSADRAIN, before)


def _read_from_file(prompt: str) -> str:
    """Return the next line; of one that is too long, as much as shows that it is."""
    print(prompt, end="", flush=True)
    line = rest = sys.stdin.readline(LONGEST_LINE + 2)
    while rest and not rest.endswith("\n"):
        rest = sys.stdin.readline(LONGEST_LINE)
    print()  # the line end that nobody saw typed
    if not line:
        raise EOFError
    return line.rstrip("\n").rstrip("\r")


def ask(
    label: str,
    parse: Callable[[str], T],
    default: Optional[T] = None,
    read: Callable[[str], str] = read_line,
) -> T:
    """Ask until the answer can be parsed, and return what it means; an empty one takes the default, which is shown.

    `parse` raises InvalidInputError for a wrong answer. Raises Cancelled for an empty answer without a default.
    """
    bracketed = "" if default is None or label.endswith("(optional)") else f" [{brief(str(default)) or 'none'}]"
    prompt = f"{label}{bracketed}: "
    while True:
        answer = read(prompt)
        if not answer:
            if default is None:
                raise Cancelled
            return default
        try:
            return parse(answer)
        except InvalidInputError as error:
            print_error(error)


def ask_text(label: str, default: Optional[str] = None) -> str:
    """Ask for a text of any number of lines; `none` empties it."""
    return ask(label, _text_or_none, default, read_text)


def _text_or_none(text: str) -> str:
    return "" if text.lower() == "none" else work_order.valid_text(text)


def ask_edit(label: str, parse: Callable[[str], str], today: str, read: Callable[..., str] = read_line) -> str:
    """Ask for a text that starts from today's, to be edited on the terminal, or as the default where that can't be."""
    # What is not printable would reach the terminal as it is.
    if not (_line_editor() and sys.stdin.isatty() and today and today.replace("\n", "").isprintable()):
        return ask(label, parse, today, read)
    begun = today

    def read_on(prompt: str) -> str:
        nonlocal begun
        begun = read(prompt, begun)
        return begun

    return ask(label, parse, read=read_on)


def checked(parse: Callable[[str], object]) -> Callable[[str], str]:
    """Return what takes the text as it is if `parse` can take it."""

    def check(text: str) -> str:
        parse(text)
        return text

    return check


def ask_choice(label: str, choices: Sequence[T], default: Optional[T] = None) -> T:
    """Show the choices numbered and ask for one, by number, name or the beginning of its name."""
    for number, choice in enumerate(choices, 1):
        print(f"  {number}. {choice}")
    return ask(label, partial(parse_choice, choices), default)


def parse_choice(choices: Sequence[T], text: str) -> T:
    """Return the choice with that number, name or unambiguous beginning. Raises InvalidInputError."""
    names = [str(choice).lower() for choice in choices]
    numbers = [str(number) for number in range(1, len(choices) + 1)]
    for accepted in (numbers, names):
        if text.lower() in accepted:
            return choices[accepted.index(text.lower())]
    begun = [choice for choice, name in zip(choices, names) if name.startswith(text.lower())]
    if len(begun) == 1:
        return begun[0]
    known = ", ".join(map(str, begun or choices))
    raise InvalidInputError(f"Answer with a number from 1 to {len(choices)} or one of: {known}.")


def ask_filter(label: str, choices: Sequence[T]) -> Optional[T]:
    """Ask for one of the choices, or None for `any`."""
    answer = ask_choice(label, (*choices, ANY), ANY)
    return None if answer is ANY else cast(T, answer)


def ask_person(label: str, parse: Callable[[str], str]) -> Optional[str]:
    """Ask for somebody's username, or None for `any`."""
    answer = ask(label, parse, ANY)
    return None if answer == ANY else answer


def ask_new_password(label: str, username: str, current: str = "") -> str:
    """Ask for a password that is fit for the account, twice where it is not seen while typed."""
    while True:
        password = ask(label, lambda text: users.valid_password(text, username, current), read=read_password)
        if not sys.stdin.isatty() or ask("Confirm password", str, read=read_password) == password:
            return password
        print_error("The two passwords differ; type the password again.")


def confirm(consequence: str) -> None:
    """Say what is about to happen and ask whether the person is sure. Raises Cancelled unless the answer is yes."""
    print(consequence)
    if ask("Are you sure?", _parse_yes_or_no, default="no") != "yes":
        raise Cancelled


def _parse_yes_or_no(text: str) -> str:
    for answer in ("yes", "no"):
        if answer.startswith(text.lower()):
            return answer
    raise InvalidInputError("Answer yes or no.")


# Printing


def print_error(error: object) -> None:
    """Print the one line that says what is wrong."""
    print(f"Error: {printable(str(error))}")


def cell_width(text: str) -> int:
    """Return how many cells of a terminal the printable text takes: CJK and emoji two, combining characters none."""
    return sum(map(_character_width, text))


def _character_width(character: str) -> int:
    if unicodedata.category(character) in ("Mn", "Me"):
        return 0
    return 2 if unicodedata.east_asian_width(character) in ("W", "F") else 1


def fit(text: str, width: int) -> str:
    """Return the printable text cut or filled up to that many cells."""
    if cell_width(text) > width:
        while text and cell_width(text) > width - 3:
            text = text[:-1]
        text += "..."
    return text + " " * (width - cell_width(text))


def brief(text: str) -> str:
    """Return the beginning of a text, fit for a prompt."""
    shown = printable(text[:200].replace("\n", " "))
    return fit(shown, 60) if cell_width(shown) > 60 else shown


def wrap(text: str, indent: str = "  ", hanging: str = "") -> List[str]:
    """Return the lines of the text, made printable and broken between words to the terminal's width.

    All but the first are indented by `hanging` besides, so that no text can pass for what stands above or below it.
    """
    width = max(2, terminal_size().columns - len(indent) - len(hanging))
    lines = [line for paragraph in text.split("\n") for line in _broken(printable(paragraph), width)]
    return [indent + lines[0], *(indent + hanging + line for line in lines[1:])]


def _broken(line: str, width: int) -> Iterator[str]:
    start, used, after_space = 0, 0, 0
    for position, character in enumerate(line):
        needed = _character_width(character)
        if used + needed > width:
            end = after_space if after_space > start else position
            yield line[start:end].rstrip()
            start, used = end, cell_width(line[end:position])
        used += needed
        if character == " ":
            after_space = position + 1
    yield line[start:]


def terminal_size() -> os.terminal_size:
    """Return the terminal's columns and lines; a pipe or file is taken to be 240 columns wide."""
    columns, lines = (80, 24) if sys.stdout.isatty() else (240, 24)
    size = shutil.get_terminal_size((columns, lines))
    return os.terminal_size((size.columns or columns, size.lines or lines))


def coloured(text: str, colour: str) -> str:
    """Return the text in the colour (an SGR code, or none) where the output is a terminal that wants colours."""
    wanted = sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
    return f"\x1b[{colour}m{text}\x1b[0m" if colour and wanted else text


def priority_colour(order: WorkOrder) -> str:
    """Return the colour of an unfinished work order's priority, if it is above the usual."""
    if order.status.is_finished:
        return ""
    return {Priority.CRITICAL: BOLD_RED, Priority.HIGH: YELLOW}.get(order.priority, "")


def due_text(order: WorkOrder) -> str:
    """Return on which day the work order is due, in local time, or for how long it has been overdue."""
    if not order.due_date:
        return ""
    return f"overdue {age(order.due_date)}" if order.is_overdue else local_time(order.due_date)[:10]


def age(moment: datetime) -> str:
    """Return how long ago the moment was."""
    return duration((datetime.now(timezone.utc) - moment).total_seconds())


def due_colour(order: WorkOrder) -> str:
    """Return the colour of an overdue work order's due date."""
    return BOLD_RED if order.is_overdue else ""


def quantity(count: int) -> str:
    """Return a number of work orders in words; above 1,000 it was not counted."""
    number = f"{work_order.COUNTED_AT_MOST:,}+" if count > work_order.COUNTED_AT_MOST else f"{count or 'no'}"
    return f"{number} work order{'' if count == 1 else 's'}"


def duration(seconds: float) -> str:
    """Return a length of time in its two largest units: 12m, 5h 12m, 3d 4h."""
    minutes = int(seconds) // 60
    if minutes < 60:
        return f"{minutes}m"
    if minutes < 24 * 60:
        return f"{minutes // 60}h {minutes % 60}m"
    return f"{minutes // 1440}d {minutes % 1440 // 60}h"


@dataclass(frozen=True)
class Column:
    """A column of a table, at the `most` so many cells wide.

    On a narrow terminal the lowest `keep` is left out first, and the `flexible` one gives way, down to its `least`.
    """

    heading: str
    text: Callable[[Any], str]
    keep: int = 9
    flexible: bool = False
    least: int = 18
    most: int = 999
    colour: Optional[Callable[[Any], str]] = None

    def shown(self, row: object, width: int) -> str:
        """Return the row's cell, so many cells of the terminal wide."""
        cell = fit(printable(self.text(row)), width)
        return coloured(cell, self.colour(row)) if self.colour else cell


def print_table(columns: Sequence[Column], rows: Sequence[Any], below: Optional[Callable[[Any], str]] = None) -> None:
    """Print the rows under the columns' headings, with what stands `below` each, no wider than the terminal.

    That holds from 40 columns on; what does not fit is cut, and the least columns are left out.
    """
    texts = {column: [column.heading, *(printable(column.text(row)) for row in rows)] for column in columns}
    widths = {column: min(column.most, max(map(cell_width, texts[column]))) for column in columns}
    room = terminal_size().columns
    kept = _kept_columns(columns, widths, room)
    for column in kept:
        if column.flexible:
            widths[column] = min(widths[column], room - sum(widths[each] + 2 for each in kept if each is not column))
    print("  ".join(fit(column.heading, widths[column]) for column in kept).rstrip())
    for row in rows:
        print("  ".join(column.shown(row, widths[column]) for column in kept).rstrip())
        if below and below(row):
            print(*wrap(below(row), indent="    ", hanging="  "), sep="\n")


def _kept_columns(columns: Sequence[Column], widths: Dict[Column, int], room: int) -> List[Column]:
    def least(column: Column) -> int:
        return min(widths[column], column.least) if column.flexible else widths[column]

    kept = list(columns)
    for column in sorted(columns, key=lambda column: column.keep):
        if sum(least(each) + 2 for each in kept) - 2 > room and column.keep < 9:
            kept.remove(column)
    return kept


# Menus


@dataclass(frozen=True)
class Option:
    """A line of a menu: its number, its label, what it runs (None: the way back) and the right that it needs."""

    number: int
    label: str
    run: Optional[Callable[..., None]]
    needs: Optional[Action] = None
    leaves_menu: bool = False


def run_menu(screen: Callable[..., Sequence[Option]], *arguments: object) -> None:
    """Show the screen, which returns the options that stand open, and run what is chosen, until the way back is.

    When the database cannot be read for a moment, the options of the last time stay. A screen that has nothing to show
    any more returns no options; then the menu is left too.
    """
    options: Sequence[Option] = ()
    while True:
        try:
            options = screen(*arguments)
        except sqlite3.Error as error:
            if not options:
                raise
            print_error(database.explain(error))
        if not options:
            return
        # Whoever is signed in, which is the second argument, may open a work order by #12 at any menu.
        option = choose(options, opens_work_orders=len(arguments) > 1)
        if option.run is None:
            return
        if perform(option.run, *arguments) and option.leaves_menu:
            return


def choose(options: Sequence[Option], opens_work_orders: bool) -> Option:
    """Print the menu and return the chosen option, or for #12 one that opens work order 12; Ctrl-C is the way back.

    Raises SystemExit(0) at the end of input.
    """
    for option in options:
        print(f"  {option.number}. {option.label}")
    by_number = {str(option.number): option for option in options}
    while True:
        try:
            answer = read_line("Choose an option: ")
        except Cancelled:
            return options[-1]
        except EOFError:
            raise SystemExit(0) from None
        if answer in by_number:
            return by_number[answer]
        if opens_work_orders and re.fullmatch("#[0-9]{1,18}", answer):
            return Option(0, answer, partial(show_work_order, int(answer[1:])))
        print_error(f"Choose one of the numbers {', '.join(by_number)}.")


def perform(run: Callable[..., None], *arguments: object) -> bool:
    """Run a handler and return whether it was done; if not, say why."""
    try:
        run(*arguments)
        return True
    except (Cancelled, EOFError) as reason:
        print("Cancelled. Nothing was saved.")
        if isinstance(reason, EOFError):
            raise SystemExit(1) from None
    except (SessionEndedError, OSError):
        raise
    except (users.PermissionDeniedError, work_order.NotFoundError) as error:
        print_error(error)  # somebody else's work order is not found, and whoever tries many is to be seen
        perform(users.record_refusal, *arguments[:2], str(error))
    except ApplicationError as error:
        print_error(error)
    except sqlite3.Error as error:
        print_error(database.explain(error))
    except Exception:  # noqa: BLE001 - the last resort: the work goes on, and the log tells what to mend
        print_error(f"Something unexpected happened. Nothing was saved. {log_exception()}")
    return False


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
    return f"An admin finds it in {path}."


def open_to(user: User, options: Sequence[Option]) -> List[Option]:
    """Return the options that the user's role may choose."""
    return [option for option in options if not option.needs or users.scope(user, option.needs) is not Scope.NONE]


# Start menu


def start_screen(connection: sqlite3.Connection) -> Sequence[Option]:
    """Print the program's name and return the start menu."""
    print("\nIT Work Order Management System")
    return START_MENU


def register(connection: sqlite3.Connection) -> None:
    """Create an account; an admin approves those of managers and admins, but for the first."""
    if not users.needs_approval(connection, Role.ADMIN):
        print("There is no active admin: whoever registers with the role admin becomes it.")
    username = ask("Username", partial(users.free_username, connection))
    password = ask_new_password("Password", username)
    role = ask_choice("Role", tuple(Role), Role.USER)
    approval = None
    if users.needs_approval(connection, role):
        print(f"An admin has to approve a new {role}.")
        approval = (ask("Admin username", str), ask("Admin password", str, read=read_password))
    users.register(connection, username, password, role, approval)
    print(f"User {username} registered as {role}.")


def log_in(connection: sqlite3.Connection) -> None:
    """Check name and password, have a one-time password replaced, and show the main menu until log-out."""
    username = ask("Username", str)
    password = ask("Password", str, read=read_password)
    session = users.log_in(connection, username, password)
    try:
        user = users.account(connection, session)
        if user.must_change_password:
            print("That was a one-time password. Choose one of your own.")
            new = ask_new_password("New password", user.username, password)
            users.change_password(connection, session, password, new)
            print("Password changed.")
        perform(start_work, connection, session)
        run_menu(main_screen, connection, session)
        print("Logged out.")
    except SessionEndedError as error:
        print_error(error)


START_MENU = (
    Option(1, "Register", register),
    Option(2, "Log in", log_in),
    Option(0, "Exit", None),
)


# Main menu


def start_work(connection: sqlite3.Connection, session: Session) -> None:
    """Print what others changed since the last login and, for those who assign, what waits for them."""
    user = users.account(connection, session)
    number, changed = work_order.news(connection, session, FIRST_FEW)
    print(f"\nNew since your last login: {quantity(number)}")
    for order, entry in changed:
        told = printable(f"#{order.id} {order.status}: {order.title}")
        print(f"  {fit(told, terminal_size().columns - 2).rstrip()}")
        print(*wrap(history_line(entry), indent="      "), sep="\n")
    if users.scope(user, Action.ASSIGN) is Scope.NONE:
        return
    for heading, selection in (
        ("Unassigned", Selection(status=UNFINISHED, assignee=NOBODY)),
        ("Overdue", Selection(due=Due.OVERDUE)),
        ("Assigned to you", Selection(status=UNFINISHED, assignee=user.username)),
    ):
        print(f"{heading}: {quantity(work_order.count(connection, session, selection))}")
        for order in work_order.list_after(connection, session, selection, None, FIRST_FEW):
            told = f"  {order.priority!s:<8}  "
            title = fit(printable(f"#{order.id} {order.title}"), terminal_size().columns - len(told)).rstrip()
            print(coloured(told, priority_colour(order)) + title)


def main_screen(connection: sqlite3.Connection, session: Session) -> Sequence[Option]:
    """Print who is signed in and return the main menu."""
    user = users.account(connection, session)
    print(f"\nMain menu: {user.username} ({user.role})")
    return open_to(user, MAIN_MENU)


def create_work_order(connection: sqlite3.Connection, session: Session) -> None:
    """Create a work order of one's own."""
    title = ask("Title", work_order.valid_title)
    description = ask_text("Description (optional)", default="")
    priority = ask_choice("Priority", tuple(Priority), Priority.MEDIUM)
    work_order_id = work_order.create(connection, session, title, description, priority)
    print(f"Work order #{work_order_id} created.")


def view_work_orders(connection: sqlite3.Connection, session: Session) -> None:
    """Show the list of all that one may see."""
    run_menu(list_screen, connection, session, Listing(connection, session, Selection()))


def open_work_order(connection: sqlite3.Connection, session: Session, *place: object) -> None:
    """Ask for an id and show that work order with its menu."""
    show_work_order(ask("Work order ID", work_order.valid_id), connection, session)


def show_work_order(work_order_id: int, connection: sqlite3.Connection, session: Session, *place: object) -> None:
    """Show the work order with its menu, in the place of the one that is open there, if one is."""
    work_order.get(connection, session, work_order_id)
    for opened in place:
        if isinstance(opened, OpenWorkOrder):
            opened.switch_to(work_order_id)
            return
    run_menu(work_order_screen, connection, session, OpenWorkOrder(work_order_id))


def search_work_orders(connection: sqlite3.Connection, session: Session) -> None:
    """Show the list of what matches."""
    selection = ask("Search for", partial(work_order.search, connection, session))
    run_menu(list_screen, connection, session, Listing(connection, session, selection))


def show_summary(connection: sqlite3.Connection, session: Session) -> None:
    """Print how many work orders there are in each status by priority, one's own beside them, and bars."""
    counts = work_order.summary(connection, session)

    def number(row: Tuple[Status, int], priorities: Sequence[Priority]) -> int:
        status, whose = row
        return sum(counts.get((status, priority), (0, 0))[whose] for priority in priorities)

    def cell(row: Tuple[Status, int], priorities: Sequence[Priority]) -> str:
        return f"{number(row, priorities):,}"

    every = tuple(Priority)
    longest = max(number((status, 0), every) for status in Status) or 1
    total, own = (sum(numbers[whose] for numbers in counts.values()) for whose in (0, 1))
    print(f"Summary of all work orders: {total:,}, {own:,} of them yours")
    columns = (
        Column("Status", lambda row: "  yours" if row[1] else str(row[0])),
        *(Column(str(priority), partial(cell, priorities=(priority,))) for priority in Priority),
        Column("Total", partial(cell, priorities=every), keep=2),
        Column("", lambda row: bar(number(row, every) / longest), keep=1),
    )
    print_table(columns, [(status, whose) for status in Status for whose in (0, 1)])


def bar(part: float) -> str:
    """Return a bar that is as long as the part of the longest one, of at least one character for more than nothing."""
    try:
        block = "\u2588"
        block.encode(sys.stdout.encoding)
    except UnicodeEncodeError:
        block = "#"
    return block * math.ceil(part * 20)


def my_account(connection: sqlite3.Connection, session: Session) -> None:
    """Show the account menu."""
    run_menu(account_screen, connection, session)


def manage_users(connection: sqlite3.Connection, session: Session) -> None:
    """Show the users menu."""
    run_menu(users_screen, connection, session)


def data_and_audit(connection: sqlite3.Connection, session: Session) -> None:
    """Show the data menu."""
    run_menu(data_screen, connection, session)


MAIN_MENU = (
    Option(1, "Create work order", create_work_order, Action.CREATE),
    Option(2, "View work orders", view_work_orders, Action.VIEW),
    Option(3, "Update work order", open_work_order, Action.VIEW),
    Option(4, "Search work orders", search_work_orders, Action.VIEW),
    Option(5, "Summary", show_summary, Action.SUMMARY),
    Option(6, "My account", my_account),
    Option(8, "Manage users", manage_users, Action.MANAGE_USERS),
    Option(9, "Data and audit", data_and_audit, Action.RESTORE),
    Option(0, "Log out", None),
)


# Paging


@dataclass
class Pager(Generic[T]):
    """What somebody pages through: `read` returns the rows behind one (None: from the top), so many at most.

    Pages stay as they were read, so that what others change in between neither repeats a row nor skips one.
    """

    read: Callable[[Optional[T], int], List[T]]
    pages: List[List[T]] = field(default_factory=list)
    number: int = -1

    def turn(self) -> None:
        """Go on to the next page, which is read when it is shown for the first time."""
        if self.number + 1 == len(self.pages):
            self.pages.append(self.read(self._last(), self.rows()))
        self.number += 1

    def rows(self) -> int:
        """Return how many rows make a page: what fits above a menu, or 20 where there is no terminal."""
        return max(5, terminal_size().lines - 11) if sys.stdout.isatty() else ROWS_PER_PAGE

    def page(self) -> List[T]:
        """Return the rows of the page that is shown, the first one to begin with."""
        if self.number < 0:
            self.turn()
        return self.pages[self.number]

    def has_next(self) -> bool:
        """Return whether there is a page behind this one."""
        return self.number + 1 < len(self.pages) or bool(self.read(self._last(), 1))

    def restart(self) -> None:
        """Forget the pages, so that the first is read anew."""
        self.pages, self.number = [], -1

    def _last(self) -> Optional[T]:
        return next((page[-1] for page in reversed(self.pages) if page), None)

    def open_options(self, menu: Sequence[Option]) -> List[Option]:
        """Return the menu without Next page on the last page and Previous page on the first."""
        closed = [turn_page] * (not self.has_next()) + [turn_back] * (self.number == 0)
        return [option for option in menu if option.run not in closed]


def turn_page(connection: sqlite3.Connection, session: Session, pager: Pager[Any], *place: object) -> None:
    """Go on to the next page."""
    pager.turn()


def turn_back(connection: sqlite3.Connection, session: Session, pager: Pager[Any], *place: object) -> None:
    """Go back to the page before."""
    pager.number -= 1


PAGES_MENU = (
    Option(1, "Next page", turn_page),
    Option(2, "Previous page", turn_back),
    Option(0, "Back", None),
)


# List of work orders


class Listing(Pager[WorkOrder]):
    """The pages of the work orders of a selection."""

    def __init__(self, connection: sqlite3.Connection, session: Session, selection: Selection) -> None:
        super().__init__(self._read)
        self._connection, self._session, self.selection = connection, session, selection

    def _read(self, after: Optional[WorkOrder], limit: int) -> List[WorkOrder]:
        seen = {order.id for page in self.pages for order in page}
        found = self._list(after, limit, seen)
        if after and len(found) < limit:
            # What others moved from behind the last row to before it has not been seen.
            found += self._list(None, limit - len(found), seen | {order.id for order in found})
        return found

    def _list(self, after: Optional[WorkOrder], limit: int, seen: Set[int]) -> List[WorkOrder]:
        return work_order.list_after(self._connection, self._session, self.selection, after, limit, seen)

    def rows(self) -> int:
        """Return how many rows make a page; what was found by a search takes two lines."""
        return super().rows() // 2 if self.selection.text and sys.stdout.isatty() else super().rows()

    def select(self, **changes: Any) -> None:
        """Change the selection and start from its first page."""
        self.selection = replace(self.selection, **changes)
        self.restart()


def list_screen(connection: sqlite3.Connection, session: Session, listing: Listing) -> Sequence[Option]:
    """Print the page of the list under what it shows and how many there are, and return the list menu."""
    if listing.number == 0 and len(listing.pages) == 1:
        listing.restart()  # nothing can be repeated or skipped yet
    selection, ids = listing.selection, [order.id for order in listing.page()]
    orders = work_order.list_these(connection, session, selection, ids)
    total = quantity(work_order.count(connection, session, selection))
    heading = f"{total[0].upper()}{total[1:]}{in_words(selection)}, sorted by {selection.sort}"
    print("", *wrap(f"{heading} (page {listing.number + 1})", indent=""), sep="\n")
    shown = [order.id for order in orders]
    places = work_order.excerpts(connection, session, selection, shown) if selection.text else {}
    if orders:
        print_table(LIST_COLUMNS, orders, below=lambda order: places.get(order.id, ""))
    return listing.open_options(LIST_MENU)


def in_words(selection: Selection) -> str:
    """Return what is selected, as it goes on behind the number of work orders."""
    said = (
        (selection.text, f'with "{selection.text}"{" anywhere" * selection.as_substring}'),
        (selection.status, f"{selection.status}"),
        (selection.priority, f"priority {selection.priority}"),
        (selection.requester, f"requester {selection.requester}"),
        (selection.assignee, f"assignee {selection.assignee}"),
        (selection.due, f"{'due ' * (selection.due is Due.THIS_WEEK)}{selection.due}"),
    )
    words = ", ".join(text for is_set, text in said if is_set)
    return f": {words}" if words else ""


def filter_list(connection: sqlite3.Connection, session: Session, listing: Listing) -> None:
    """Narrow the list down; each answer may be left empty for any."""
    status = ask_filter("Status", (*Status, UNFINISHED))
    priority = ask_filter("Priority", tuple(Priority))
    person = partial(work_order.person, connection, session)
    requester = ask_person("Requester", person)
    assignee = ask_person("Assignee", partial(person, or_nobody=True))
    due = ask_filter("Due", tuple(Due))
    listing.select(status=status, priority=priority, requester=requester, assignee=assignee, due=due)


def sort_list(connection: sqlite3.Connection, session: Session, listing: Listing) -> None:
    """Put the list into another order."""
    listing.select(sort=ask_choice("Sort by", tuple(Sort), Sort.URGENCY))


def clear_filter(connection: sqlite3.Connection, session: Session, listing: Listing) -> None:
    """Take all filters back; what was searched for and the order stay."""
    listing.select(status=None, priority=None, requester=None, assignee=None, due=None)


LIST_COLUMNS = (
    Column("ID", lambda order: str(order.id)),
    Column("Priority", lambda order: str(order.priority), colour=priority_colour),
    Column("Status", lambda order: str(order.status)),
    Column("Title", lambda order: order.title, flexible=True),
    Column("Requester", lambda order: order.requester, keep=1, most=14),
    Column("Assignee", lambda order: order.assignee or NOBODY, keep=3, most=14),
    Column("Age", lambda order: age(order.created_at), keep=2),
    Column("Due", due_text, keep=4, colour=due_colour),
)

LIST_MENU = (
    Option(1, "Next page", turn_page),
    Option(2, "Previous page", turn_back),
    Option(3, "Open a work order", open_work_order),
    Option(4, "Filter", filter_list),
    Option(5, "Sort", sort_list),
    Option(6, "Clear filter", clear_filter),
    Option(0, "Back", None),
)


# One work order


@dataclass
class OpenWorkOrder:
    """A work order as it was shown last, and what was typed for it and could not be saved, by field."""

    id: int
    shown: Optional[WorkOrder] = None
    drafts: Dict[str, str] = field(default_factory=dict)

    def switch_to(self, work_order_id: int) -> None:
        """Let another work order stand in the place of this one."""
        self.id, self.shown, self.drafts = work_order_id, None, {}

    @property
    def order(self) -> WorkOrder:
        """The work order as it was shown last."""
        assert self.shown is not None
        return self.shown

    @contextmanager
    def draft(self, **typed: str) -> Iterator[None]:
        """Keep what was typed, to offer it again, unless what happens inside succeeds."""
        self.drafts.update(typed)
        yield
        for name in typed:
            del self.drafts[name]


def work_order_screen(connection: sqlite3.Connection, session: Session, opened: OpenWorkOrder) -> Sequence[Option]:
    """Print the work order, if it is not on the screen already, and return its menu."""
    order = work_order.get(connection, session, opened.id)
    user = users.account(connection, session)
    print("", *wrap(f"Work order #{order.id}: {order.title}", indent="", hanging="    "), sep="\n")
    if order != opened.shown:
        print_work_order(order)
        print_latest_comment(*work_order.latest_comment(connection, session, order.id))
    opened.shown = order
    return [option for option in WORK_ORDER_MENU if not option.needs or work_order.permitted(user, option.needs, order)]


def print_work_order(order: WorkOrder) -> None:
    """Print all fields but the title."""
    print(f"  Status:     {order.status}")
    print(f"  Priority:   {coloured(str(order.priority), priority_colour(order))}")
    print(f"  Requester:  {order.requester}")
    print(f"  Assignee:   {order.assignee or NOBODY}")
    if order.due_date:
        overdue = f", {due_text(order)}" * order.is_overdue
        print(f"  Due:        {coloured(local_time(order.due_date) + overdue, due_colour(order))}")
    print(f"  Created:    {local_time(order.created_at)}")
    print(f"  Changed:    {local_time(order.updated_at)}")
    if order.resolved_at:
        print(f"  Resolved:   {local_time(order.resolved_at)}")
    if order.description:
        print("  Description:", *wrap(order.description, indent="    "), sep="\n")


def print_latest_comment(comments: int, latest: Optional[HistoryEntry]) -> None:
    """Print how many comments there are and the latest one."""
    if latest:
        print(f"  Comments:   {comments}, the latest:")
        print(*wrap(history_line(latest), indent="    ", hanging="    "), sep="\n")


def change_status(connection: sqlite3.Connection, session: Session, opened: OpenWorkOrder) -> None:
    """Give the work order another status, with a note."""
    draft = opened.drafts.get("status")
    status = ask_choice("Status", tuple(Status), Status(draft) if draft else None)
    note = ask_text("Note (optional)" if "note" not in opened.drafts else "Note", opened.drafts.get("note", ""))
    with opened.draft(status=status, note=note):
        work_order.change_status(connection, session, opened.order, status, note)
    print(f"Work order #{opened.id} is now {status}.")


def add_comment(connection: sqlite3.Connection, session: Session, opened: OpenWorkOrder) -> None:
    """Add a comment to the history."""
    comment = ask("Comment", work_order.valid_text, opened.drafts.get("comment"), read_text)
    with opened.draft(comment=comment):
        work_order.comment(connection, session, opened.id, comment)
    print(f"Comment on work order #{opened.id} added.")


def edit_title(connection: sqlite3.Connection, session: Session, opened: OpenWorkOrder) -> None:
    """Give the work order another title."""
    title = ask_edit("Title", work_order.valid_title, opened.drafts.get("title", opened.order.title))
    with opened.draft(title=title):
        changed = work_order.edit_title(connection, session, opened.order, title)
    print(f"Title of work order #{opened.id} saved." if changed else "Nothing changed.")


def edit_description(connection: sqlite3.Connection, session: Session, opened: OpenWorkOrder) -> None:
    """Give the work order another description."""
    today = opened.drafts.get("description", opened.order.description)
    description = ask_edit("Description", _text_or_none, today, read_text)
    with opened.draft(description=description):
        changed = work_order.edit_description(connection, session, opened.order, description)
    print(f"Description of work order #{opened.id} saved." if changed else "Nothing changed.")


def change_priority(connection: sqlite3.Connection, session: Session, opened: OpenWorkOrder) -> None:
    """Give the work order another priority."""
    default = Priority[opened.drafts.get("priority", opened.order.priority.name)]
    priority = ask_choice("Priority", tuple(Priority), default)
    with opened.draft(priority=priority.name):
        changed = work_order.change_priority(connection, session, opened.order, priority)
    print(f"Priority of work order #{opened.id} is now {priority}." if changed else "Nothing changed.")


def assign(connection: sqlite3.Connection, session: Session, opened: OpenWorkOrder) -> None:
    """Hand the work order to a manager or admin, or to nobody."""
    valid = partial(work_order.valid_assignee, connection, session)
    assignee = ask("Assignee (a manager or admin, me, or nobody)", valid, opened.drafts.get("assignee"))
    with opened.draft(assignee=assignee):
        changed = work_order.assign(connection, session, opened.order, assignee)
    print(f"Work order #{opened.id} is now assigned to {assignee}." if changed else "Nothing changed.")


def set_due_date(connection: sqlite3.Connection, session: Session, opened: OpenWorkOrder) -> None:
    """Say until when the work order has to be finished."""
    label = "Due date (YYYY-MM-DD, YYYY-MM-DD HH:MM, or none)"
    text = ask(label, checked(work_order.valid_due_date), opened.drafts.get("due_date"))
    due_date = work_order.valid_due_date(text)
    with opened.draft(due_date=text):
        changed = work_order.set_due_date(connection, session, opened.order, due_date)
    told = local_time(due_date) if due_date else "none"
    print(f"Due date of work order #{opened.id} is now {told}." if changed else "Nothing changed.")


def change_requester(connection: sqlite3.Connection, session: Session, opened: OpenWorkOrder) -> None:
    """Make the work order somebody else's."""
    default = opened.drafts.get("requester", opened.order.requester)
    requester = ask("Requester", partial(work_order.requester_username, connection, session), default)
    with opened.draft(requester=requester):
        changed = work_order.change_requester(connection, session, opened.order, requester)
    print(f"Requester of work order #{opened.id} is now {requester}." if changed else "Nothing changed.")


def show_history(connection: sqlite3.Connection, session: Session, opened: OpenWorkOrder) -> None:
    """Print every change and comment, the oldest first; a long history by pages."""
    pager = Pager(partial(read_history, connection, session, opened.id))
    entries = pager.page()
    if pager.has_next():
        run_menu(history_screen, connection, session, pager, opened)
    else:
        print_history(opened.id, entries)


def history_screen(
    connection: sqlite3.Connection, session: Session, pager: Pager[HistoryEntry], opened: OpenWorkOrder
) -> Sequence[Option]:
    """Print the page of the history and return the menu to turn it."""
    if not opened.shown:
        return ()  # another work order has taken the place of this one
    print()
    print_history(opened.id, pager.page())
    return pager.open_options(PAGES_MENU)


def read_history(
    connection: sqlite3.Connection, session: Session, work_order_id: int, after: Optional[HistoryEntry], limit: int
) -> List[HistoryEntry]:
    """Return so many entries behind that one."""
    return work_order.history(connection, session, work_order_id, after.id if after else 0, limit)


def print_history(work_order_id: int, entries: Sequence[HistoryEntry]) -> None:
    """Print the entries under a heading."""
    print(f"History of work order #{work_order_id}")
    for entry in entries:
        print(*wrap(history_line(entry), hanging="    "), sep="\n")


def history_line(entry: HistoryEntry) -> str:
    """Return who changed what when, and behind it the text that goes with it."""
    what = "commented" if entry.field == "comment" else entry.field
    if entry.new_value is not None:
        old, new = (history_value(entry.field, value or "") for value in (entry.old_value, entry.new_value))
        what = f'{entry.field} from "{old}" to "{new}"'
    return f"{local_time(entry.changed_at)}  {entry.username}: {what}" + (f"\n{entry.note}" if entry.note else "")


def history_value(field: str, value: str) -> str:
    """Return a value of the history for the person: a moment in local time."""
    return local_time(datetime.fromisoformat(value)) if field == "due date" and value != "none" else value


def delete_work_order(connection: sqlite3.Connection, session: Session, opened: OpenWorkOrder) -> None:
    """Put the work order out of everybody's sight."""
    confirm(f"Work order #{opened.id} will be deleted: nobody sees it any more.")
    work_order.delete(connection, session, opened.id)
    print(f"Work order #{opened.id} deleted.")


WORK_ORDER_MENU = (
    Option(1, "Change status", change_status, Action.CHANGE_STATUS),
    Option(2, "Add comment", add_comment, Action.COMMENT),
    Option(3, "Edit title", edit_title, Action.EDIT),
    Option(4, "Edit description", edit_description, Action.EDIT),
    Option(5, "Change priority", change_priority, Action.EDIT),
    Option(6, "Assign", assign, Action.ASSIGN),
    Option(7, "Set due date", set_due_date, Action.SET_DUE_DATE),
    Option(8, "Change requester", change_requester, Action.CHANGE_REQUESTER),
    Option(9, "Show history", show_history, Action.VIEW),
    Option(10, "Delete", delete_work_order, Action.DELETE, leaves_menu=True),
    Option(0, "Back", None),
)


# My account


def account_screen(connection: sqlite3.Connection, session: Session) -> Sequence[Option]:
    """Print whose account it is and return the account menu."""
    user = users.account(connection, session)
    print(f"\nMy account: {user.username} ({user.role})")
    return ACCOUNT_MENU


def change_password(connection: sqlite3.Connection, session: Session) -> None:
    """Give one's own account another password."""
    current = ask("Current password", str, read=read_password)
    new = ask_new_password("New password", users.account(connection, session).username, current)
    users.change_password(connection, session, current, new)
    print("Password changed.")


def change_email(connection: sqlite3.Connection, session: Session) -> None:
    """Give one's own account another email address, or none."""
    today = users.account(connection, session).email or "none"
    email = ask("Email", checked(users.valid_email), today)
    users.change_email(connection, session, email)
    print(f"Email is now {email}.")


ACCOUNT_MENU = (
    Option(1, "Change password", change_password),
    Option(2, "Change email", change_email),
    Option(0, "Back", None),
)


# Manage users


def users_screen(connection: sqlite3.Connection, session: Session) -> Sequence[Option]:
    """Print the heading and return the users menu."""
    users.authorize(connection, session, Action.MANAGE_USERS)
    print("\nManage users")
    return USERS_MENU


def list_users(connection: sqlite3.Connection, session: Session) -> None:
    """Print all accounts, many of them by pages."""
    pager = Pager(partial(read_users, connection, session))
    accounts = pager.page()
    if pager.has_next():
        run_menu(user_list_screen, connection, session, pager)
    else:
        print_table(USER_COLUMNS, accounts)


def user_list_screen(connection: sqlite3.Connection, session: Session, pager: Pager[User]) -> Sequence[Option]:
    """Print the page of the accounts and return the menu to turn it."""
    print()
    print_table(USER_COLUMNS, pager.page())
    return pager.open_options(PAGES_MENU)


def read_users(connection: sqlite3.Connection, session: Session, after: Optional[User], limit: int) -> List[User]:
    """Return so many accounts behind that one."""
    return users.list_users(connection, session, after.username if after else "", limit)


def add_user(connection: sqlite3.Connection, session: Session) -> None:
    """Create an account for somebody else and show its one-time password."""
    username = ask("Username", partial(users.free_username, connection))
    role = ask_choice("Role", tuple(Role), Role.USER)
    one_time_password = users.add_user(connection, session, username, role)
    print(f"User {username} added as {role}.")
    print_one_time_password(one_time_password, username)


def change_role(connection: sqlite3.Connection, session: Session) -> None:
    """Give an account another role."""
    user = ask("Username", partial(users.find, connection))
    role = ask_choice("Role", tuple(Role), Role.USER)
    lost = users.change_role(connection, session, user.username, role)
    print(f"User {user.username} is now {role}.{loss(lost, user.username)}")


def reset_password(connection: sqlite3.Connection, session: Session) -> None:
    """Replace an account's password by a one-time password and show that."""
    user = ask("Username", partial(users.find, connection))
    confirm(f"User {user.username} will be logged out and get a one-time password.")
    one_time_password = users.reset_password(connection, session, user.username)
    print(f"Password of user {user.username} reset.")
    print_one_time_password(one_time_password, user.username)


def print_one_time_password(one_time_password: str, username: str) -> None:
    """Print the password, the only time that anybody sees it."""
    print(f"One-time password: {one_time_password}")
    print(f"It is shown only now; {username} has to change it at the first login.")


def deactivate(connection: sqlite3.Connection, session: Session) -> None:
    """Close an account."""
    user = ask("Username", partial(users.find, connection))
    confirm(f"User {user.username} will be logged out and cannot log in any more.")
    lost = users.deactivate(connection, session, user.username)
    print(f"User {user.username} deactivated.{loss(lost, user.username)}")


def loss(count: int, username: str) -> str:
    """Return what is added about the work orders that have lost their assignee, if any."""
    if not count:
        return ""
    were, have = ("was", "has") if count == 1 else ("were", "have")
    return f" {quantity(count)} that {were} assigned to {username} {have} no assignee now."


def reactivate(connection: sqlite3.Connection, session: Session) -> None:
    """Open a closed account again."""
    user = ask("Username", partial(users.find, connection))
    users.reactivate(connection, session, user.username)
    print(f"User {user.username} reactivated.")


def unlock(connection: sqlite3.Connection, session: Session) -> None:
    """Forget the failed logins of an account, so that it need not wait."""
    user = ask("Username", partial(users.find, connection))
    failures = users.unlock(connection, session, user.username)
    print(f"User {user.username} unlocked: {failures} failed login{'' if failures == 1 else 's'} cleared.")


def _state(user: User) -> str:
    if not user.is_active:
        return "deactivated"
    return "one-time password" if user.must_change_password else "active"


USER_COLUMNS = (
    Column("Username", lambda user: user.username, flexible=True),
    Column("Role", lambda user: str(user.role)),
    Column("State", _state),
    Column("Email", lambda user: user.email or "", keep=2),
    Column("Since", lambda user: local_time(datetime.fromisoformat(user.created_at)), keep=1),
)

USERS_MENU = (
    Option(1, "List users", list_users),
    Option(2, "Add user", add_user),
    Option(3, "Change role", change_role),
    Option(4, "Reset password", reset_password),
    Option(5, "Deactivate", deactivate),
    Option(6, "Reactivate", reactivate),
    Option(7, "Unlock (clear failed logins)", unlock),
    Option(0, "Back", None),
)


# Data and audit


def data_screen(connection: sqlite3.Connection, session: Session) -> Sequence[Option]:
    """Print the heading and return the data menu."""
    user = users.account(connection, session)
    print("\nData and audit")
    return open_to(user, DATA_MENU)


def back_up(connection: sqlite3.Connection, session: Session) -> None:
    """Write a copy of the database to the folder of the backups."""
    path = users.back_up(connection, session, _show_progress if sys.stdout.isatty() else None)
    print(f"Backed up to {printable(str(path))}.")


def _show_progress(status: int, remaining: int, total: int) -> None:
    print(f"\r{100 * (total - remaining) // max(total, 1)} %", end="\n" if remaining == 0 else "", flush=True)


def check_database(connection: sqlite3.Connection, session: Session) -> None:
    """Check the database's structure and references."""
    print("Checking ...", flush=True)
    problems = users.check_database(connection, session)
    for problem in problems:
        print_error(problem)
    print("Restore the database from a backup." if problems else "The database is sound.")


def show_audit_log(connection: sqlite3.Connection, session: Session) -> None:
    """Show what was done, the latest first."""
    run_menu(audit_screen, connection, session, AuditPager(connection, session))


def deleted_work_orders(connection: sqlite3.Connection, session: Session) -> None:
    """Show the list of the deleted work orders."""
    run_menu(deleted_screen, connection, session, Pager(partial(work_order.list_deleted, connection, session)))


DATA_MENU = (
    Option(1, "Back up now", back_up, Action.BACK_UP),
    Option(4, "Deleted work orders", deleted_work_orders, Action.RESTORE),
    Option(5, "Audit log", show_audit_log, Action.AUDIT),
    Option(6, "Check database", check_database, Action.BACK_UP),
    Option(0, "Back", None),
)


class AuditPager(Pager[AuditEntry]):
    """The pages of the audit log, of one account or kind or of all."""

    def __init__(self, connection: sqlite3.Connection, session: Session) -> None:
        super().__init__(self._read)
        self._connection, self._session = connection, session
        self.username: Optional[str] = None
        self.event: Optional[str] = None

    def _read(self, after: Optional[AuditEntry], limit: int) -> List[AuditEntry]:
        last = after.id if after else None
        return users.audit_log(self._connection, self._session, last, limit, self.username, self.event)


def audit_screen(connection: sqlite3.Connection, session: Session, pager: AuditPager) -> Sequence[Option]:
    """Print the page of the audit log and return its menu."""
    entries = pager.page()
    words = ", ".join(filter(None, (pager.username, pager.event))) or "everything"
    print(f"\nAudit log, the latest first: {words} (page {pager.number + 1})")
    if entries:
        print_table(AUDIT_COLUMNS, entries)
    else:
        print("There is nothing.")
    return pager.open_options(AUDIT_MENU)


def filter_audit_log(connection: sqlite3.Connection, session: Session, pager: AuditPager) -> None:
    """Narrow the log down to an account, a kind, or both; each answer may be left empty for any."""
    username = ask_person("Account", partial(work_order.person, connection, session))
    event = ask_filter("Kind", users.audit_events(connection, session))
    pager.username, pager.event = username, event
    pager.restart()


def clear_audit_filter(connection: sqlite3.Connection, session: Session, pager: AuditPager) -> None:
    """Show everything again."""
    pager.username = pager.event = None
    pager.restart()


AUDIT_COLUMNS = (
    Column("When", lambda entry: local_time(entry.recorded_at)),
    Column("Account", lambda entry: entry.username or "-", most=20),
    Column("Kind", lambda entry: entry.event),
    Column("On what", lambda entry: entry.subject, flexible=True, least=38),
    Column("System user", lambda entry: entry.os_user, keep=2, most=14),
    Column("SSH client", lambda entry: entry.ssh_client, keep=1),
)

AUDIT_MENU = (
    Option(1, "Next page", turn_page),
    Option(2, "Previous page", turn_back),
    Option(4, "Filter", filter_audit_log),
    Option(6, "Clear filter", clear_audit_filter),
    Option(0, "Back", None),
)


def deleted_screen(connection: sqlite3.Connection, session: Session, pager: Pager[WorkOrder]) -> Sequence[Option]:
    """Print the page of the deleted work orders and return their menu."""
    orders = pager.page()
    print(f"\nDeleted work orders, the latest first (page {pager.number + 1})")
    if orders:
        print_table(DELETED_COLUMNS, orders)
    else:
        print("There are none.")
    return pager.open_options(DELETED_MENU)


def show_deleted_work_order(connection: sqlite3.Connection, session: Session, pager: Pager[WorkOrder]) -> None:
    """Print a deleted work order with its history."""
    order = work_order.get_deleted(connection, session, ask("Work order ID", work_order.valid_id))
    print("", *wrap(f"Work order #{order.id}: {order.title}", indent="", hanging="    "), sep="\n")
    print_work_order(order)
    print_history(order.id, work_order.history(connection, session, order.id))


def restore_work_order(connection: sqlite3.Connection, session: Session, pager: Pager[WorkOrder]) -> None:
    """Bring a deleted work order back."""
    work_order_id = ask("Work order ID", work_order.valid_id)
    work_order.restore(connection, session, work_order_id)
    print(f"Work order #{work_order_id} restored.")
    pager.restart()


DELETED_COLUMNS = (
    Column("ID", lambda order: str(order.id)),
    Column("Deleted", lambda order: local_time(order.deleted_at)),
    Column("Status", lambda order: str(order.status), keep=2),
    Column("Title", lambda order: order.title, flexible=True),
    Column("Requester", lambda order: order.requester, keep=1),
)

DELETED_MENU = (
    Option(1, "Next page", turn_page),
    Option(2, "Previous page", turn_back),
    Option(3, "Open a work order", show_deleted_work_order),
    Option(4, "Restore a work order", restore_work_order),
    Option(0, "Back", None),
)


# Start


def parse_arguments(arguments: Sequence[str]) -> None:
    """Answer --help and --version with exit code 0 and anything else with a usage line and 2."""
    import argparse

    parser = argparse.ArgumentParser(
        prog="main.py",
        allow_abbrev=False,
        description="Work orders of an IT department: start it without arguments and choose from numbered menus.",
        epilog="WORK_ORDER_DB names another database file than work_order.db beside main.py.",
    )
    parser.add_argument("--version", action="version", version=f"IT Work Order Management System {VERSION}")
    parser.parse_args(arguments)


def main(arguments: Sequence[str]) -> int:
    """Run the program and return its exit code: 1 if the database cannot be used."""
    if arguments:
        parse_arguments(arguments)
    prepare_terminal()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if hasattr(signal, "SIGTSTP"):
        signal.signal(signal.SIGTSTP, signal.SIG_IGN)  # a stopped prompt would leave the terminal without echo
    try:
        idle_seconds()
        connection = database.connect(database.default_path(), create=True)
    except ApplicationError as error:
        print(f"Error: {printable(str(error))}", file=sys.stderr)
        return 1
    except sqlite3.Error as error:
        print(f"Error: {database.explain(error)}", file=sys.stderr)
        return 1
    with closing(connection):
        while True:
            with suppress(IdleError):  # nobody is logged in
                run_menu(start_screen, connection)
                return 0


def run() -> int:
    """Run main, whoever or whatever ends it, and return the exit code."""
    try:
        code = main(sys.argv[1:])
        sys.stdout.flush()
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 0
    except OSError:  # nobody can read what we print: a closed pipe or terminal, a full disk
        code = 1
    try:
        sys.stdout.flush()
    except OSError:
        code = code or 1
    return code


if __name__ == "__main__":
    # Not sys.exit: PYTHONINSPECT would open an interpreter then, and what could not be printed would be tried again.
    os._exit(run())
