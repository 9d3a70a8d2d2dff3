"""The conversation: prompts, screens and menus. `python main.py` starts it.

Each menu is a table of options below the functions that they run; a handler prompts, calls and prints.
"""

import signal

if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # until the first prompt, Ctrl-C ends the program without a word

import os
import shutil
import sqlite3
import sys
import unicodedata
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timezone
from functools import partial
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List, Optional, Sequence, Set, TypeVar

import database
import users
import work_order
from database import ApplicationError
from users import Action, InvalidInputError, Role, Scope, Session, SessionEndedError, User
from work_order import HistoryEntry, Key, Priority, Status, WorkOrder

try:
    import termios
except ImportError:  # not on Windows
    termios = None  # type: ignore[assignment]

VERSION = "1.0.0"
LONGEST_LINE = 100_000
ROWS_PER_PAGE = 20

T = TypeVar("T")


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
        except ImportError:
            return
        readline.set_auto_history(False)
        readline.set_completer(lambda *_: None)  # the default one lists files


def read_line(prompt: str) -> str:
    """Return one line without space around it. Raises Cancelled at Ctrl-C, EOFError at the end of input."""
    return _read(prompt, hidden=False).strip()


def read_password(prompt: str) -> str:
    """Return one line with its spaces, not shown while it is typed. Raises as read_line does."""
    return _read(prompt, hidden=True)


def read_text(prompt: str) -> str:
    """Return a line and, as long as each ends in a backslash, the ones after it. Raises as read_line does."""
    lines = [_read(prompt, hidden=False)]
    while lines[-1].endswith("\\"):
        lines[-1] = lines[-1][:-1]
        lines.append(_read("> ", hidden=False))
    return "\n".join(lines).strip()


def _read(prompt: str, hidden: bool) -> str:
    while True:
        try:
            with _listening_for_signals():
                line = _read_from_terminal(prompt, hidden) if sys.stdin.isatty() else _read_from_file(prompt)
        except KeyboardInterrupt:
            print()
            raise Cancelled from None
        if len(line) > LONGEST_LINE:
            print_error(f"That line is too long; a line has at most {LONGEST_LINE:,} characters.")
        elif "\0" in line or any("\ud800" <= character <= "\udfff" for character in line):
            print_error(f"That is not text in the terminal's encoding ({sys.stdin.encoding}).")
        else:
            return line


@contextmanager
def _listening_for_signals() -> Iterator[None]:
    """Let Ctrl-C interrupt only what happens inside, so that it never undoes what is being saved."""
    signal.signal(signal.SIGINT, _interrupt)
    if hasattr(signal, "setitimer"):
        # A signal that arrives a moment before the wait begins is seen when the next one ends the wait.
        signal.signal(signal.SIGALRM, lambda *_: None)
        signal.setitimer(signal.ITIMER_REAL, 0.5, 0.5)
    try:
        yield
    finally:
        if hasattr(signal, "setitimer"):
            signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGINT, signal.SIG_IGN)


def _interrupt(signal_number: int, frame: object) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a second Ctrl-C must not hit what handles the first
    raise KeyboardInterrupt


def _read_from_terminal(prompt: str, hidden: bool) -> str:
    if hidden:
        return _read_hidden(prompt)
    try:
        return input(prompt)
    except EOFError:
        print()
        raise


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
    before = termios.tcgetattr(sys.stdin)
    silent = before[:]
    silent[3] &= ~(termios.ECHO | termios.ICANON)
    # Stopping or quitting here would leave the shell without echo, or the password with it.
    silent[6] = [b"\0" if key in (termios.VSUSP, termios.VQUIT) else old for key, old in enumerate(before[6])]
    try:
        termios.tcsetattr(sys.stdin, termios.TCSADRAIN, silent)
        yield
    finally:
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
    return ask(label, lambda text: "" if text.lower() == "none" else work_order.valid_text(text), default, read_text)


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


def printable(text: str) -> str:
    """Return the text on one line with every character that a terminal might obey shown as an escape."""
    return "".join(map(_printable_character, text))


def _printable_character(character: str) -> str:
    if character.isprintable():
        return character
    if unicodedata.category(character) == "Zs":  # no-break and other spaces
        return " "
    return character.encode("unicode_escape").decode()


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


def local_time(when: datetime) -> str:
    """Return the moment in local time, to the minute."""
    return when.astimezone().strftime("%Y-%m-%d %H:%M")


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
    """A column of a table; on a narrow terminal the lowest `keep` goes first, and the `flexible` one gives way."""

    heading: str
    text: Callable[[Any], str]
    keep: int = 9
    flexible: bool = False


def print_table(columns: Sequence[Column], rows: Sequence[object]) -> None:
    """Print the rows under the columns' headings, no line wider than a terminal of 40 columns or more."""
    cells = {column: [printable(column.text(row)) for row in rows] for column in columns}
    widths = {column: max(map(cell_width, [column.heading, *cells[column]])) for column in columns}
    kept = list(columns)
    room = terminal_size().columns + 2

    def least(column: Column) -> int:
        return min(widths[column], 24) if column.flexible else widths[column]

    for column in sorted(columns, key=lambda column: column.keep):
        if sum(least(each) + 2 for each in kept) > room and column.keep < 9:
            kept.remove(column)
    for column in kept:
        if column.flexible:
            widths[column] = min(
                widths[column], room - sum(widths[each] + 2 for each in kept if each is not column) - 2
            )
    for line in [[column.heading for column in kept], *zip(*(cells[column] for column in kept))]:
        print("  ".join(fit(cell, widths[column]) for cell, column in zip(line, kept)).rstrip())


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

    When the database cannot be read for a moment, the options of the last time stay.
    """
    options: Sequence[Option] = ()
    while True:
        try:
            options = screen(*arguments)
        except sqlite3.Error as error:
            if not options:
                raise
            print_error(database.explain(error))
        option = choose(options)
        if option.run is None:
            return
        if perform(option.run, *arguments) and option.leaves_menu:
            return


def choose(options: Sequence[Option]) -> Option:
    """Print the menu and return the option that is chosen; Ctrl-C is the way back.

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
    except SessionEndedError:
        raise
    except ApplicationError as error:
        print_error(error)
    except sqlite3.Error as error:
        print_error(database.explain(error))
    return False


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
    listing = Listing()
    turn_page(connection, session, listing)
    run_menu(list_screen, connection, session, listing)


def open_work_order(connection: sqlite3.Connection, session: Session, *place: object) -> None:
    """Ask for an id and show that work order with its menu."""
    work_order_id = ask("Work order ID", work_order.valid_id)
    work_order.get(connection, session, work_order_id)
    run_menu(work_order_screen, connection, session, OpenWorkOrder(work_order_id))


def my_account(connection: sqlite3.Connection, session: Session) -> None:
    """Show the account menu."""
    run_menu(account_screen, connection, session)


def manage_users(connection: sqlite3.Connection, session: Session) -> None:
    """Show the users menu."""
    run_menu(users_screen, connection, session)


MAIN_MENU = (
    Option(1, "Create work order", create_work_order, Action.CREATE),
    Option(2, "View work orders", view_work_orders, Action.VIEW),
    Option(3, "Update work order", open_work_order, Action.VIEW),
    Option(6, "My account", my_account),
    Option(8, "Manage users", manage_users, Action.MANAGE_USERS),
    Option(0, "Log out", None),
)


# List of work orders


@dataclass
class Listing:
    """How far somebody has paged: the ids on the pages seen, which stay where they were, and the page that is shown."""

    pages: List[List[int]] = field(default_factory=list)
    after: Optional[Key] = None
    page: int = -1

    def seen(self) -> Set[int]:
        """Return the ids on all pages."""
        return {work_order_id for page in self.pages for work_order_id in page}


def list_screen(connection: sqlite3.Connection, session: Session, listing: Listing) -> Sequence[Option]:
    """Print the page of the list and return the list menu."""
    print(f"\nWork orders, the most urgent first (page {listing.page + 1})")
    orders = work_order.list_these(connection, session, listing.pages[listing.page])
    if orders:
        print_table(LIST_COLUMNS, orders)
    else:
        print("There are no work orders here.")
    is_last = listing.page == len(listing.pages) - 1 and not work_order.list_after(
        connection, session, listing.after, listing.seen(), limit=1
    )
    left_out = [run for run, closed in ((turn_page, is_last), (turn_back, listing.page == 0)) if closed]
    return [option for option in LIST_MENU if option.run not in left_out]


def turn_page(connection: sqlite3.Connection, session: Session, listing: Listing) -> None:
    """Go on to the next page, which is read when it is shown for the first time."""
    if listing.page == len(listing.pages) - 1:
        orders = work_order.list_after(connection, session, listing.after, listing.seen(), rows_per_page())
        listing.pages.append([order.id for order in orders])
        listing.after = orders[-1].key if orders else listing.after
    listing.page += 1


def turn_back(connection: sqlite3.Connection, session: Session, listing: Listing) -> None:
    """Go back to the page before."""
    listing.page -= 1


def rows_per_page() -> int:
    """Return how many rows fit above the menu: 20, or what the terminal's height holds."""
    return max(5, terminal_size().lines - 9) if sys.stdout.isatty() else ROWS_PER_PAGE


LIST_COLUMNS = (
    Column("ID", lambda order: str(order.id)),
    Column("Priority", lambda order: str(order.priority)),
    Column("Status", lambda order: str(order.status)),
    Column("Title", lambda order: order.title, flexible=True),
    Column("Requester", lambda order: order.requester, keep=1),
    Column("Assignee", lambda order: order.assignee or "nobody", keep=3),
    Column("Age", lambda order: duration((datetime.now(timezone.utc) - order.created_at).total_seconds()), keep=2),
    Column("Due", lambda order: local_time(order.due_at) if order.due_at else "", keep=4),
)

LIST_MENU = (
    Option(1, "Next page", turn_page),
    Option(2, "Previous page", turn_back),
    Option(3, "Open a work order", open_work_order),
    Option(0, "Back", None),
)


# One work order


@dataclass
class OpenWorkOrder:
    """A work order as it was shown last, and what was typed for it and could not be saved, by field."""

    id: int
    shown: Optional[WorkOrder] = None
    drafts: Dict[str, str] = field(default_factory=dict)

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
    opened.shown = order
    return [option for option in WORK_ORDER_MENU if not option.needs or work_order.permitted(user, option.needs, order)]


def print_work_order(order: WorkOrder) -> None:
    """Print all fields but the title."""
    print(f"  Status:     {order.status}")
    print(f"  Priority:   {order.priority}")
    print(f"  Requester:  {order.requester}")
    print(f"  Assignee:   {order.assignee or 'nobody'}")
    print(f"  Created:    {local_time(order.created_at)}")
    print(f"  Changed:    {local_time(order.updated_at)}")
    for label, moment in (("Resolved", order.resolved_at), ("Due", order.due_at)):
        if moment:
            print(f"  {label + ':':<11} {local_time(moment)}")
    if order.description:
        print("  Description:", *wrap(order.description, indent="    "), sep="\n")


def change_status(connection: sqlite3.Connection, session: Session, opened: OpenWorkOrder) -> None:
    """Give the work order another status, with a note."""
    draft = opened.drafts.get("status")
    status = ask_choice("Status", tuple(Status), Status(draft) if draft else None)
    note = ask_text("Note (optional)" if "note" not in opened.drafts else "Note", opened.drafts.get("note", ""))
    with opened.draft(status=status, note=note):
        work_order.change_status(connection, session, opened.order, status, note)
    print(f"Work order #{opened.id} is now {status}.")


def edit_title(connection: sqlite3.Connection, session: Session, opened: OpenWorkOrder) -> None:
    """Give the work order another title."""
    title = ask("Title", work_order.valid_title, opened.drafts.get("title", opened.order.title))
    with opened.draft(title=title):
        changed = work_order.edit_title(connection, session, opened.order, title)
    print(f"Title of work order #{opened.id} saved." if changed else "Nothing changed.")


def edit_description(connection: sqlite3.Connection, session: Session, opened: OpenWorkOrder) -> None:
    """Give the work order another description."""
    description = ask_text("Description", opened.drafts.get("description", opened.order.description))
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


def change_requester(connection: sqlite3.Connection, session: Session, opened: OpenWorkOrder) -> None:
    """Make the work order somebody else's."""
    default = opened.drafts.get("requester", opened.order.requester)
    requester = ask("Requester", partial(work_order.requester_username, connection, session), default)
    with opened.draft(requester=requester):
        changed = work_order.change_requester(connection, session, opened.order, requester)
    print(f"Requester of work order #{opened.id} is now {requester}." if changed else "Nothing changed.")


def show_history(connection: sqlite3.Connection, session: Session, opened: OpenWorkOrder) -> None:
    """Print every change, the oldest first."""
    print(f"History of work order #{opened.id}")
    for entry in work_order.history(connection, session, opened.id):
        print_history_entry(entry)


def print_history_entry(entry: HistoryEntry) -> None:
    """Print who changed what when, and the note under it."""
    what = entry.field
    if entry.new_value is not None:
        what = f'{entry.field} from "{entry.old_value}" to "{entry.new_value}"'
    text = f"{local_time(entry.changed_at)}  {entry.username}: {what}" + (f"\n{entry.note}" if entry.note else "")
    print(*wrap(text, hanging="    "), sep="\n")


def delete_work_order(connection: sqlite3.Connection, session: Session, opened: OpenWorkOrder) -> None:
    """Put the work order out of everybody's sight."""
    confirm(f"Work order #{opened.id} will be deleted: nobody sees it any more.")
    work_order.delete(connection, session, opened.id)
    print(f"Work order #{opened.id} deleted.")


WORK_ORDER_MENU = (
    Option(1, "Change status", change_status, Action.CHANGE_STATUS),
    Option(3, "Edit title", edit_title, Action.EDIT),
    Option(4, "Edit description", edit_description, Action.EDIT),
    Option(5, "Change priority", change_priority, Action.EDIT),
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


ACCOUNT_MENU = (
    Option(1, "Change password", change_password),
    Option(0, "Back", None),
)


# Manage users


def users_screen(connection: sqlite3.Connection, session: Session) -> Sequence[Option]:
    """Print the heading and return the users menu."""
    users.authorize(connection, session, Action.MANAGE_USERS)
    print("\nManage users")
    return USERS_MENU


def list_users(connection: sqlite3.Connection, session: Session) -> None:
    """Print all accounts."""
    print_table(USER_COLUMNS, users.list_users(connection, session))


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
    users.change_role(connection, session, user.username, role)
    print(f"User {user.username} is now {role}.")


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
    users.deactivate(connection, session, user.username)
    print(f"User {user.username} deactivated.")


def reactivate(connection: sqlite3.Connection, session: Session) -> None:
    """Open a closed account again."""
    user = ask("Username", partial(users.find, connection))
    users.reactivate(connection, session, user.username)
    print(f"User {user.username} reactivated.")


def _state(user: User) -> str:
    if not user.is_active:
        return "deactivated"
    return "one-time password" if user.must_change_password else "active"


USER_COLUMNS = (
    Column("Username", lambda user: user.username, flexible=True),
    Column("Role", lambda user: str(user.role)),
    Column("State", _state),
    Column("Since", lambda user: local_time(datetime.fromisoformat(user.created_at)), keep=1),
)

USERS_MENU = (
    Option(1, "List users", list_users),
    Option(2, "Add user", add_user),
    Option(3, "Change role", change_role),
    Option(4, "Reset password", reset_password),
    Option(5, "Deactivate", deactivate),
    Option(6, "Reactivate", reactivate),
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
    try:
        connection = database.connect(database.default_path(), create=True)
    except ApplicationError as error:
        print(f"Error: {printable(str(error))}", file=sys.stderr)
        return 1
    except sqlite3.Error as error:
        print(f"Error: {database.explain(error)}", file=sys.stderr)
        return 1
    try:
        run_menu(start_screen, connection)
    finally:
        connection.close()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
