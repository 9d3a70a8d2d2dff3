"""The conversation: prompts, screens and menus. `python main.py` starts it.

A screen is a class whose menu, a table at its end, names its handlers; a handler prompts, calls and prints.
"""

import signal

if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # until the first prompt, Ctrl-C ends the program silently

import math
import os
import re
import shutil
import sqlite3
import sys
import time
import unicodedata
from contextlib import ExitStack, closing, contextmanager, suppress
from datetime import datetime, timezone
from functools import partial
from pathlib import Path
from typing import (
    Any,
    Callable,
    ClassVar,
    Dict,
    Generic,
    Iterable,
    Iterator,
    List,
    NamedTuple,
    Optional,
    Sequence,
    Tuple,
    TypeVar,
    Union,
    cast,
)

import database
import users
import work_order
from database import ApplicationError, explain, printable
from users import (
    ANY,
    ME,
    NOBODY,
    NONE,
    Action,
    AuditEntry,
    AuditFilter,
    MailSettings,
    Message,
    Role,
    Security,
    Session,
    SessionEndedError,
    User,
)
from work_order import (
    UNFINISHED,
    BacklogRow,
    Details,
    DryRun,
    Due,
    Field,
    Filter,
    Grouping,
    HistoryEntry,
    Period,
    Priority,
    Query,
    ResolutionTimes,
    ServiceTarget,
    Sort,
    Status,
    StatusCount,
    Week,
    Workload,
    WorkOrder,
)

try:
    import termios
except ImportError:  # not on Windows
    termios = None  # type: ignore[assignment]

VERSION = "1.0.0"
# Windows has no SIGHUP and no SIGQUIT.
ENDING_SIGNALS = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP", "SIGQUIT") if hasattr(signal, name)]
LONGEST_LINE = 100_000
PERIOD_HINT = "Choose one, or type two days such as 2026-01-01 to 2026-03-31."
TEXT_HINT = "End a line with \\ for more."
# Keys of readline that bring back what somebody else cut or recorded (yank, macros), that search a history that does
# not exist (which ends the process in readline 8.2), that list the host's files or accounts, or that change the keys.
UNSAFE_KEYS = (
    *(r"\C-y", r"\ey", r"\e\C-y", r"\e.", r"\e_", r"\C-x(", r"\C-x)", r"\C-xe"),
    *(r"\C-r", r"\C-s", r"\ep", r"\en", r"\C-o"),
    *(r"\e&", r"\e?", r"\e*", r"\e=", r"\e/", r"\e~", r"\e$", r"\e@", r"\e!", r"\e{"),
    *(r"\C-x\C-r", r"\e\C-j", r"\e\C-m", r"\ex"),
)
ROWS_PER_PAGE = 20
MORE = "    ... more in Show history"
ROOM_FOR_TEXTS = 6  # lines of a work order's screen, at least, for its description, comments and notes
BOLD_RED, YELLOW = "1;31", "33"
# https://invisible-island.net/xterm/ctlseqs/ctlseqs.html#h2-Bracketed-Paste-Mode
PASTE_ON, PASTE_OFF, PASTE_BEGINS, PASTE_ENDS = "\x1b[?2004h", "\x1b[?2004l", b"\x1b[200~", b"\x1b[201~"

F = TypeVar("F")
S_contra = TypeVar("S_contra", bound="Screen", contravariant=True)
R = TypeVar("R", bound=work_order.ReportRow)
T = TypeVar("T")
V = TypeVar("V")


# Errors


class IdleError(SessionEndedError):
    """Nothing was typed for so long that somebody else may be sitting there now."""


class Cancelled(Exception):
    """The person left the form before its last answer."""


# Reading answers


def prepare_terminal() -> None:
    """Make the standard streams accept any bytes, and enable line editing without history or completion."""
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
        readline.parse_and_bind("set editing-mode emacs")
        readline.parse_and_bind(f"set enable-bracketed-paste {'on' if _is_capable_terminal() else 'off'}")
        for keys in UNSAFE_KEYS:
            readline.parse_and_bind(f'"{keys}": abort')


def read_line(prompt: str, initial: str = "", may_idle: bool = False) -> str:
    """Return one line without space around it; where the terminal can, it starts from `initial`.

    Raises Cancelled at Ctrl-C, EOFError at the end of input, IdleError if nobody types anything unless they `may_idle`.
    """
    return _read(prompt, initial=initial, may_idle=may_idle).strip()


def read_password(prompt: str, _: str = "") -> str:
    """Return one line with its spaces, not shown while it is typed. Raises as read_line does."""
    return _read(prompt, hidden=True)


def read_text(prompt: str, initial: str = "") -> str:
    """Return a line, and the following ones as long as a line ends in a backslash.

    Each line of `initial` is offered in turn; one that is emptied is removed. Raises as read_line does.
    """
    offered, lines, continues = initial.split("\n"), [], False
    while offered or continues:
        initial_line = offered.pop(0) if offered else ""
        # A space after a backslash at the end makes it stand for itself.
        line = _read(prompt, initial=f"{initial_line} " if initial_line.endswith("\\") else initial_line)
        continues = line.endswith("\\")
        if line or not initial_line:
            lines.append(line[:-1] if continues else re.sub(r"\\\s+$", r"\\", line))
        continues = continues or bool((line or len(lines) > 1) and _is_pasted_further())
        prompt = "> "
    return "\n".join(lines).strip()


def _read(prompt: str, hidden: bool = False, initial: str = "", may_idle: bool = False) -> str:
    while True:
        _check_ending()
        deadline = Deadline(0 if may_idle else idle_seconds())
        try:
            with _listening_for_signals(deadline):
                if not sys.stdin.isatty():
                    line = _read_from_file(prompt)
                else:
                    line = _read_hidden(prompt, deadline) if hidden else _read_from_terminal(prompt, initial)
        except KeyboardInterrupt:
            _check_ending()
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
    """When an idle session ends: so many seconds after the last key, or never for 0."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds or math.inf
        self._activity = self._last_activity()
        self.extend()

    def extend(self) -> None:
        """Start again: a key was pressed."""
        self._moment = time.monotonic() + self._seconds

    def check(self) -> None:
        """Raise IdleError if the moment has passed, SystemExit after a termination signal."""
        _check_ending()
        activity = self._last_activity()
        if activity != self._activity:
            self._activity = activity
            self.extend()
        if time.monotonic() > self._moment:
            print()
            minutes = f"{self._seconds / 60:g} minute{'' if self._seconds == 60 else 's'}"
            raise IdleError(f"Nothing was typed for {minutes}.")

    @staticmethod
    def _last_activity() -> object:
        """Return what changes with the keys: the edited line, and when the terminal was read (on Linux to 8 s)."""
        editor = _line_editor()
        is_terminal = sys.stdin.isatty()
        return editor and editor.get_line_buffer(), is_terminal and os.fstat(sys.stdin.fileno()).st_atime_ns


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
        _stop_listening()
    except BaseException:
        _stop_listening()  # again, if it was interrupted
        raise


def _stop_listening() -> None:
    if hasattr(signal, "setitimer"):
        signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _interrupt(*_: object) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a second Ctrl-C must not hit what handles the first
    raise KeyboardInterrupt


class Ending:
    """What a termination signal runs: it ends the program at once, or at the next prompt where that is impossible."""

    number = 0

    def __call__(self, number: int, _: object) -> None:
        if not self.number:
            # First of all: no call works while the exception of another signal's handler is on its way.
            self.number = number
            self.check()

    def check(self) -> None:
        """Raise SystemExit if the signal has come."""
        if self.number:
            raise SystemExit(128 + self.number)


def _check_ending() -> None:
    handler = signal.getsignal(signal.SIGTERM)
    if isinstance(handler, Ending):
        handler.check()


@contextmanager
def interruptible(work: Union[database.Connection, users.Stop]) -> Iterator[None]:
    """Let Ctrl-C stop the reading inside, with sqlite3.OperationalError, or the sending, with MailError."""
    signal.signal(signal.SIGINT, lambda *_: work.interrupt())
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)


@contextmanager
def stoppable(connection: database.Connection, label: str) -> Iterator[Callable[[int], None]]:
    """Let Ctrl-C cancel the long work inside; yield a function that shows on a terminal how many rows are done."""
    stops: List[int] = []
    signal.signal(signal.SIGINT, lambda number, _: stops.append(number))
    connection.set_progress_handler(lambda: bool(stops), 100_000)

    def show(count: int) -> None:
        _check_ending()
        if sys.stdout.isatty():
            print("\nStopping ..." if stops else f"\r{label}: {count:,}", end="", flush=True)
        if stops:
            raise Cancelled

    try:
        yield show
    except sqlite3.OperationalError as error:
        if stops:
            raise Cancelled from error
        raise
    finally:
        connection.set_progress_handler(None, 0)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        print(end="\n" * sys.stdout.isatty())


def _read_from_terminal(prompt: str, initial: str) -> str:
    editor = _line_editor()
    if editor:
        # A Ctrl-C that comes while a hook runs would be lost.
        editor.set_startup_hook((lambda: editor.insert_text(initial)) if initial else None)
    try:
        return input(prompt)
    except EOFError:
        print()
        raise
    except SystemError as error:
        # The tick's handler can run while input() is already raising another handler's exception.
        raise error.__cause__ or error from None


def can_offer(text: str) -> bool:
    """Return whether the text can be put into the line to be edited, where the person sees it."""
    if not (_line_editor() and sys.stdin.isatty() and sys.stdout.isatty()):
        return False
    import locale

    try:
        text.encode(locale.nl_langinfo(locale.CODESET))  # what readline goes by, whatever Python's UTF-8 mode is
    except (UnicodeEncodeError, LookupError):
        return False
    return text.replace("\n", "").isprintable()  # what is not would reach the terminal as it is


def _takes_paste_whole() -> bool:
    """Return whether text that is pasted in one go arrives as one answer (bracketed paste)."""
    editor = _line_editor()
    return _is_capable_terminal() and bool(editor) and "libedit" not in (editor.__doc__ or "")


def _is_capable_terminal() -> bool:
    return sys.stdin.isatty() and sys.stdout.isatty() and os.environ.get("TERM", "dumb") != "dumb"


def _is_pasted_further() -> bool:
    """Return whether more input is waiting on a terminal that cannot tell what is pasted from what is typed."""
    if not sys.stdin.isatty() or _takes_paste_whole() or os.name == "nt":
        return False
    import select

    return bool(select.select([sys.stdin], [], [], 0.05)[0])


def _line_editor() -> Any:
    """Return the readline module if prepare_terminal found it useful."""
    return sys.modules.get("readline")


def _read_hidden(prompt: str, deadline: Deadline) -> str:
    """Return a line that is not shown while it is typed; what was typed or pasted ahead is kept."""
    if termios is None:
        import getpass

        return getpass.getpass(prompt)
    typed, is_pasted = bytearray(), False
    with _unechoed_keys():
        print(prompt, end="", flush=True)
        while True:
            key = os.read(sys.stdin.fileno(), 1)
            deadline.extend()
            if key in (b"\n", b"\r") and not is_pasted:
                break
            if key == b"" or (key == b"\x04" and not typed and not is_pasted):  # Ctrl-D
                print()
                raise EOFError
            if key == b"\x15":  # Ctrl-U
                typed.clear()
            elif key in (b"\x7f", b"\x08"):
                while typed and typed.pop() & 0xC0 == 0x80:  # the rest of a character of several bytes
                    pass
            else:
                typed += key
            if typed.endswith((PASTE_BEGINS, PASTE_ENDS)):
                is_pasted = typed.endswith(PASTE_BEGINS)
                del typed[-len(PASTE_ENDS) :]
                typed = typed if is_pasted else bytearray(typed.rstrip(b"\r\n"))
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
        print(PASTE_ON * _is_capable_terminal(), end="", flush=True)
        yield
    finally:
        print(PASTE_OFF * _is_capable_terminal(), end="", flush=True)
        with suppress(termios.error):  # the terminal may be gone
            termios.tcsetattr(sys.stdin, termios.TCSADRAIN, before)


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
    """The value of an empty answer, and its text in square brackets in the prompt; no brackets if the text is empty."""

    def __init__(self, value: T, text: Optional[str] = None) -> None:
        self.value = value
        self.text = str(value) if text is None else text


Reader = Callable[[str, str], str]


def ask(
    label: str,
    parse: Callable[[str], T],
    default: Optional[Default[T]] = None,
    read: Reader = read_line,
    initial: str = "",
) -> T:
    """Ask until the answer can be parsed, and return what it means; an empty one takes the default.

    `parse` raises InvalidInputError for a wrong answer, which is offered to be mended where the terminal can. Raises
    Cancelled for an empty answer without a default.
    """
    prompt = f"{label} [{brief(default.text)}]: " if default and default.text else f"{label}: "
    while True:
        answer = read(prompt, initial)
        if not answer and default:
            return default.value
        if not answer:
            raise Cancelled
        try:
            return parse(answer)
        except users.InvalidInputError as error:
            print_error(error)
            initial = answer if read is not read_password and can_offer(answer) else ""


def ask_text(label: str, parse: Callable[[str], str], default: Optional[Default[str]] = None) -> str:
    """Ask for a text of any number of lines, as ask does."""
    print(TEXT_HINT)
    return ask(label, parse, default, read_text)


def ask_edit(label: str, parse: Callable[[str], str], current: str, read: Reader = read_line) -> str:
    """Ask for a text that starts from the current one: in the line where the terminal can, else as the default."""
    if current and can_offer(current):
        return ask(label, parse, read=read, initial=current)
    return ask(label, parse, Default(current, current or NONE), read)


def ask_choice(
    label: str,
    choices: Sequence[T],
    default: Optional[Default[T]] = None,
    parse: Optional[Callable[[str], T]] = None,
    describe: Callable[[T], str] = str,
) -> T:
    """Show the choices numbered and ask for one, by number, or by name as `parse` understands it.

    Without `parse`, the beginning of a choice's name will do.
    """
    for number, choice in enumerate(choices, 1):
        print(*wrap(f"{number}. {describe(choice)}", hanging="   "), sep="\n")

    def parse_answer(text: str) -> T:
        if parse and text not in map(str, range(1, len(choices) + 1)):
            return parse(text)
        return users.parse_choice(choices, text, describe)

    return ask(label, parse_answer, default)


def ask_filter_choice(label: str, choices: Sequence[T]) -> Optional[T]:
    """Show the choices of a filter, and return one or None for `any`."""
    answer = ask_choice(label, (*choices, ANY), Default[object](ANY))
    return None if answer is ANY else cast(T, answer)


def ask_filter(label: str, parse: Callable[[str], T]) -> Optional[T]:
    """Ask for the value of a filter, and return it or None for `any`."""
    default: Default[Optional[T]] = Default(None, ANY)
    return ask(label, users.optional(parse), default)


def ask_new_password(label: str, username: str, current: str = "") -> str:
    """Ask for an acceptable password, twice if typing is hidden."""
    while True:
        password = ask(label, lambda text: users.parse_password(text, username, current), read=read_password)
        if not sys.stdin.isatty() or ask("Confirm password", str, read=read_password) == password:
            return password
        print_error("The two passwords differ; type the password again.")


def confirm(consequence: str) -> None:
    """Say what is about to happen and ask whether the person is sure. Raises Cancelled unless the answer is yes."""
    print(consequence)
    if not ask("Are you sure?", users.parse_yes_or_no, Default(False, "no")):
        raise Cancelled


# Printing


def print_error(error: object) -> None:
    """Print what is wrong, in one line or, on a terminal, in as many as it takes."""
    text = f"Error: {printable(str(error))}"
    print(*(wrap(text, indent="") if sys.stdout.isatty() else [text]), sep="\n")


def print_lines(texts: Iterable[str]) -> None:
    """Print each text on one line or, if the terminal is too narrow, on as many as it takes."""
    for text in texts:
        print(*wrap(text, indent="", hanging="  "), sep="\n")


def cell_width(text: str) -> int:
    """Return how many cells of a terminal the printable text takes: CJK and emoji two, combining characters none."""
    return len(text) if text.isascii() else sum(map(_character_width, text))


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

    All but the first are also indented by `hanging`, so that no text can be mistaken for the lines above or below it.
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


class Column(Generic[T]):
    """A column of a table, at most `max_width` cells wide.

    On a narrow terminal, columns are dropped by `rank`, lowest first, and a `stretch` column shrinks to `min_width`; it
    begins with what is to be said `if_dropped` of those that were.
    """

    def __init__(
        self,
        heading: str,
        text: Callable[[T], str],
        rank: int = 9,
        stretch: bool = False,
        min_width: int = 18,
        max_width: int = 999,
        colour: Optional[Callable[[T], str]] = None,
        if_dropped: Callable[[T], str] = lambda _: "",
    ) -> None:
        self.heading, self.text, self.rank, self.colour, self.if_dropped = heading, text, rank, colour, if_dropped
        self.stretch, self.min_width, self.max_width = stretch, min_width, max_width

    def cell(self, row: T, width: int, dropped: Sequence["Column[T]"]) -> str:
        """Return the row's cell, that many cells of the terminal wide."""
        prefix = "".join(column.if_dropped(row) for column in dropped) if self.stretch else ""
        text = fit(prefix + printable(self.text(row)), width)
        return coloured(text, self.colour(row)) if self.colour else text


def print_table(
    columns: Sequence[Column[T]], rows: Sequence[T], below: Callable[[T], Sequence[str]] = lambda _: ()
) -> None:
    """Print the rows under the columns' headings, with what stands `below` each, no wider than the terminal.

    That holds from 40 columns on; what does not fit is cut, and the least important columns are left out.
    """
    texts = {column: [column.heading, *(printable(column.text(row)) for row in rows)] for column in columns}
    widths = {column: min(column.max_width, max(map(cell_width, texts[column]))) for column in columns}
    room = terminal_size().columns
    shown = _shown_columns(columns, widths, room)
    for column in shown:
        if column.stretch:
            widths[column] = min(widths[column], room - sum(widths[each] + 2 for each in shown if each is not column))
    print("  ".join(fit(column.heading, widths[column]) for column in shown).rstrip())
    dropped = [column for column in columns if column not in shown]
    for row in rows:
        print("  ".join(column.cell(row, widths[column], dropped) for column in shown).rstrip())
        for text in below(row):
            print(*wrap(text, indent="    ", hanging="  "), sep="\n")


def _shown_columns(columns: Sequence[Column[T]], widths: Dict[Column[T], int], room: int) -> List[Column[T]]:
    def min_width(column: Column[T]) -> int:
        least = column.min_width if room >= 80 else 18
        return min(widths[column], least) if column.stretch else widths[column]

    shown = list(columns)
    for column in sorted(columns, key=lambda column: column.rank):
        if sum(min_width(each) + 2 for each in shown) - 2 > room and column.rank < 9:
            shown.remove(column)
    return shown


def bar(part: float, width: int = 20) -> str:
    """Return a bar for a share of the longest one, in this width; anything above zero gets at least one character."""
    try:
        block = "\u2588"
        block.encode(sys.stdout.encoding)
    except UnicodeEncodeError:
        block = "#"
    return block * math.ceil(part * width)


# Screens


# What a handler returns: nothing to stay, BACK to leave its screen, or another screen to open.
Next = Optional["Screen"]


class Option(Generic[S_contra]):
    """A line of a menu: its number, its label, the handler that it runs or the screen that it opens, and its right."""

    def __init__(
        self,
        number: int,
        label: str,
        run: Union[Callable[[S_contra], Next], Callable[[Session], "SessionScreen"]],
        needs: Optional[Action] = None,
        saves: bool = True,
    ) -> None:
        self.number, self.label, self.run, self.needs, self.saves = number, label, run, needs, saves

    def choose(self, screen: S_contra) -> Next:
        """Run the handler, or return the screen that the option opens; leaving what saves nothing needs no words."""
        try:
            return self.run(screen.session if isinstance(self.run, type) else screen)  # type: ignore[arg-type]
        except Cancelled:
            if self.saves:
                raise
            print("Cancelled.")
            return None

    def is_open_to(self, user: User) -> bool:
        """Return whether the user's role may choose it; a submenu is open if any of its options is."""
        if isinstance(self.run, type) and not self.needs:
            return any(option.is_open_to(user) for option in cast(Screen, self.run).MENU if option.number)
        return not self.needs or users.may(user, self.needs)


class Screen:
    """What a person sees above a menu: show() prints it and returns the options of the menu that are open."""

    MENU: ClassVar[Sequence[Option[Any]]]
    connection: database.Connection
    session: Optional[Session] = None
    options: Sequence[Option[Any]] = ()
    menu_columns = 1

    def show(self) -> Sequence[Option[Any]]:
        """Print the screen and return the options that are open."""
        raise NotImplementedError

    def refresh(self) -> None:
        """Show the screen afresh; if the database cannot be read, keep the previous options."""
        if not database.is_in_place(self.connection):
            path = self.connection.path
            print_error(f"{path} was moved, removed or replaced: you are seeing the old file. Start the program again.")
        try:
            self.options = self.show()
        except sqlite3.Error as error:
            if not self.options:
                raise
            print_error(explain(error))

    def print_menu(self) -> None:
        """Print the options that are open, in as many columns as the screen says if they are not too wide."""
        lines = [f"  {option.number}. {option.label}{self.detail(option)}" for option in self.options]
        width, rows = max(map(len, lines)) + 2, -(-len(lines) // self.menu_columns)
        if width * self.menu_columns > terminal_size().columns:
            rows = len(lines)
        for row in range(rows):
            print("".join(f"{line:<{width}}" for line in lines[row::rows]).rstrip())

    def detail(self, _: Option[Any]) -> str:
        """Return what stands behind the label of an option."""
        return ""

    def go_back(self) -> Next:
        """Leave the screen."""
        return BACK


BACK = Screen()


class SessionScreen(Screen):
    """A screen for somebody who is signed in and has the right that it needs; its heading may name the user."""

    heading: ClassVar[str] = ""
    needs: ClassVar[Action] = Action.OWN_ACCOUNT  # which everybody has

    def __init__(self, session: Session) -> None:
        self.session: Session = session
        self.connection = session.connection

    def show(self) -> Sequence[Option[Any]]:
        """Print the heading; the options that the user's role may choose are open."""
        user = users.authorize(self.session, self.needs)
        print(f"\n{self.heading.format(user=user)}")
        return [option for option in self.MENU if option.is_open_to(user)]

    def open_work_order(self) -> Next:
        """Ask for an id and open that work order."""
        return WorkOrderScreen(self.session, ask("Work order ID", work_order.parse_id))


def run_screens(start: Screen, after_each: Callable[[], None]) -> None:
    """Run a stack of screens that begins with `start`, until that one is left; call `after_each` after each option."""
    stack: List[Screen] = []
    screen = start
    while True:
        try:
            step = perform(screen, screen.refresh, if_refused=BACK)
            if step is None:
                stack = [*_below(stack, screen), screen]
                # A screen without options has said it all.
                step = perform(screen, choose(screen)) if screen.options else BACK
                after_each()
        except SessionEndedError as error:
            logged_out = "You are logged out. " if screen.session and isinstance(error, IdleError) else ""
            print_error(f"{logged_out}{error}")
            stack, step = [start], None
        if step is BACK:
            stack = [other for other in stack if other is not screen]
            step = None
        if not stack:
            return
        screen = step or stack[-1]


def _below(stack: List[Screen], screen: Screen) -> List[Screen]:
    """Return the screens below this one; a work order takes the place of an open one and of what is above that."""
    for position, other in enumerate(stack):
        if other is screen or (isinstance(other, WorkOrderScreen) and isinstance(screen, WorkOrderScreen)):
            return stack[:position]
    return stack


def choose(screen: Screen) -> Callable[[], Next]:
    """Print the screen's menu and return what the chosen option does; Ctrl-C is 0, and #12 opens work order 12.

    An empty answer shows the screen again. Raises SystemExit(0) at the end of input.
    """
    screen.print_menu()
    by_number = {str(option.number): option for option in screen.options}
    prompt = "Choose an option or #ID: " if screen.session else "Choose an option: "
    while True:
        try:
            answer = read_line(prompt, may_idle=not screen.session)
        except Cancelled:
            answer = "0"
        except EOFError:
            raise SystemExit(0) from None
        if not answer:
            return lambda: None
        if answer in by_number:
            return partial(by_number[answer].choose, screen)
        if screen.session and re.fullmatch("#[0-9]{1,18}", answer):
            return partial(WorkOrderScreen, screen.session, int(answer[1:]))
        ids = ", or # and the ID of a work order" if screen.session else ""
        print_error(f"Choose one of the numbers {', '.join(by_number)}{ids}.")


def perform(screen: Screen, run: Callable[[], Next], if_refused: Next = None) -> Next:
    """Run an action of the screen and return where it leads; if it fails, say why."""
    try:
        return run()
    except (Cancelled, EOFError) as reason:
        print("Cancelled. Nothing was saved.")
        if isinstance(reason, EOFError):
            raise SystemExit(1) from None
    except IdleError as error:
        raise IdleError(f"{error} Nothing of the form was saved.") from None
    except (SessionEndedError, OSError):
        raise
    except database.EXPECTED_FAULTS as fault:
        _check_ending()  # SQLite discards an exception that is raised while it calls back
        print_error(explain(fault))
        # Somebody else's work order counts as not found; the audit log shows anyone who tries many.
        if screen.session and isinstance(fault, (users.PermissionDeniedError, work_order.NotFoundError)):
            perform(screen, partial(users.record_refusal, screen.session, str(fault)))
    except Exception:  # noqa: BLE001 - the last resort: the work continues, and the log says what to mend
        print_error(f"Something unexpected happened. Nothing was saved. {log_exception()}")
    return if_refused


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


# Paging


class Pager(Generic[F, T]):
    """The pages of what `read` finds: up to so many rows that pass a filter and follow those already seen.

    A page that was turned keeps its rows, so that what others change in between neither repeats a row nor skips one;
    `reread` looks at them again. The last page that was reached is read anew each time.
    """

    def __init__(
        self,
        filter: F,
        read: Callable[[F, Sequence[T], int], List[T]],
        reread: Callable[[F, List[T]], List[T]],
    ) -> None:
        self._read, self._reread = read, reread
        self.narrow(filter)

    def narrow(self, filter: F) -> None:
        """Begin with the first page of what passes the filter."""
        self.filter = filter
        self._pages: List[List[T]] = []
        self._has_more = False
        self.number = 0

    def turn(self, step: int) -> None:
        """Go to another page, at most one beyond those already read."""
        self.number = max(0, min(self.number + step, len(self._pages)))

    def rows(self, size: int) -> List[T]:
        """Return the rows of the current page; one that is read anew has up to `size`."""
        if self.number + 1 < len(self._pages):
            return self._reread(self.filter, self._pages[self.number])
        before = self._pages[: self.number]
        rows = self._read(self.filter, [row for page in before for row in page], size + 1)
        self._has_more = len(rows) > size
        self._pages = [*before, rows[:size]]
        return rows[:size]

    def has_next(self) -> bool:
        """Return whether a page follows the current one."""
        return self.number + 1 < len(self._pages) or self._has_more


class PagedScreen(SessionScreen, Generic[F, T]):
    """A list that is shown by pages, with a table's columns or as print_rows does.

    Where the screen that is shown next takes no more than so many `lines_below`, a short list is printed at once.
    """

    initial_filter: Any = None
    columns: ClassVar[Sequence[Column[Any]]] = ()
    empty_message = "Nothing to show."
    lines_below: Optional[int] = None

    def __init__(self, session: Session, filter: Optional[F] = None) -> None:
        super().__init__(session)
        self.pager: Pager[F, T] = Pager(self.initial_filter if filter is None else filter, self.read, self.reread)

    def show(self) -> Sequence[Option[Any]]:
        """Print the page; what can do nothing now is not among the options. A list that is printed at once has none."""
        rows = self.pager.rows(self.page_size())
        self.is_empty = not rows
        self.print_page(rows)
        is_all = not (self.pager.has_next() or self.pager.number)
        if is_all and self.lines_below is not None and self.fits(len(rows) + self.lines_below):
            return ()
        user = users.current_user(self.session)
        return [option for option in self.MENU if option.is_open_to(user) and self.can_do(option.run)]

    def fits(self, lines: int) -> bool:
        """Return whether so many lines with a description fit the terminal, or there is none."""
        return not sys.stdout.isatty() or lines + 3 <= terminal_size().lines

    def can_do(self, run: object) -> bool:
        """Return whether there is something to do for a handler now."""
        can_do: Dict[object, bool] = {
            PagedScreen.next_page: self.pager.has_next(),
            PagedScreen.previous_page: self.pager.number > 0,
            PagedScreen.clear_filter: self.pager.filter != self.initial_filter,
            SessionScreen.open_work_order: not self.is_empty,
        }
        return can_do.get(run, True)

    def print_page(self, rows: Sequence[T]) -> None:
        """Print what is shown and the rows."""
        print("", *wrap(self.description(), indent=""), sep="\n")
        if rows:
            self.print_rows(rows)
        elif self.empty_message:
            print(self.empty_message)

    def print_rows(self, rows: Sequence[T]) -> None:
        """Print the rows of a page."""
        print_table(self.columns, rows)

    def description(self) -> str:
        """Return what is shown and on which page."""
        return f"{self.heading} (page {self.pager.number + 1})"

    def page_size(self) -> int:
        """Return how many rows fit above a menu, or 20 where there is no terminal."""
        return max(5, terminal_size().lines - 10 - self.description_lines()) if sys.stdout.isatty() else ROWS_PER_PAGE

    def description_lines(self) -> int:
        """Return how many lines the description takes at most."""
        return 1 if terminal_size().columns >= 60 else 2

    def read(self, filter: F, seen: Sequence[T], limit: int) -> List[T]:
        """Return up to `limit` rows that follow those already seen."""
        raise NotImplementedError

    def reread(self, _: F, rows: List[T]) -> List[T]:
        """Return the rows of a page that was turned as they are now; here, as they were."""
        users.authorize(self.session, self.needs)
        return rows

    def clear_filter(self) -> None:
        """Show everything again."""
        self.pager.narrow(self.initial_filter)

    def next_page(self) -> None:
        """Turn to the next page."""
        self.pager.turn(1)

    def previous_page(self) -> None:
        """Turn back to the page before."""
        self.pager.turn(-1)

    MENU: ClassVar[Sequence[Option[Any]]] = (
        Option(1, "Next page", next_page),
        Option(2, "Previous page", previous_page),
        Option(0, "Back", Screen.go_back),
    )


# One work order


class WorkOrderScreen(SessionScreen):
    """A work order, and what was typed for it and could not be saved, by field."""

    def __init__(self, session: Session, work_order_id: int) -> None:
        super().__init__(session)
        self.id = work_order_id
        self.details: Optional[Details] = None
        self.drafts: Dict[str, Any] = {}

    @property
    def work_order(self) -> WorkOrder:
        """The work order as it was shown last."""
        assert self.details
        return self.details.work_order

    def show(self) -> Sequence[Option[Any]]:
        """Print the work order so that it fits the terminal with its whole menu, in two columns if need be."""
        self.details = work_order.get(self.session, self.id)
        options = [option for option in self.MENU if self.is_open(option, self.details)]
        lines = [*title_lines(self.work_order), *field_lines(self.work_order)]
        # What was just done, a blank line, and the prompt.
        room = terminal_size().lines - len(lines) - len(options) - 4
        self.menu_columns = 2 if sys.stdout.isatty() and room < ROOM_FOR_TEXTS and terminal_size().columns >= 50 else 1
        room += len(options) // 2 if self.menu_columns == 2 else 0
        print("", *lines, *text_lines(self.details, room if sys.stdout.isatty() else 1_000_000), sep="\n")
        return options

    @staticmethod
    def is_open(option: Option[Any], details: Details) -> bool:
        """Return whether the person may choose the option now, and it would do something."""
        if option.run == WorkOrderScreen.take and details.is_mine and details.work_order.status is not Status.OPEN:
            return False
        return not option.needs or option.needs in details.actions

    @contextmanager
    def draft(self, **values: object) -> Iterator[None]:
        """Keep what was typed, to offer it again, unless what happens inside succeeds."""
        self.drafts.update(values)
        try:
            yield
        except work_order.ConflictError as error:
            offer = "What you typed is offered when you choose the same option again."
            raise work_order.ConflictError(f"{error} {offer}") from error
        for name in values:
            del self.drafts[name]

    def initial(self, field: Field[V]) -> V:
        """Return what a prompt for the field starts from: the unsaved draft or the current value."""
        return cast(V, self.drafts.get(field.name, field.read(self.work_order)))

    def save(self, field: Field[V], value: V, done: str) -> None:
        """Give the field another value and say that it is done."""
        with self.draft(**{field.name: value}):
            is_changed = work_order.change(self.session, self.work_order, field, value)
        print(done if is_changed else "Nothing changed.")

    def change_status(self) -> None:
        """Give the work order another status, with a note."""
        drafted, note = self.drafts.get("status"), self.drafts.get("note", "")
        status = ask_choice("Status", tuple(Status), Default(drafted) if drafted else None)
        note = ask_text("Note" if note else "Note (optional)", work_order.parse_optional_text, Default(note))
        with self.draft(status=status, note=note):
            work_order.change_status(self.session, self.work_order, status, note)
        print(f"Work order #{self.id} is now {status}.")

    def add_comment(self) -> None:
        """Add a comment to the history."""
        drafted = self.drafts.get("comment")
        comment = ask_text("Comment", work_order.parse_text, Default(drafted) if drafted else None)
        with self.draft(comment=comment):
            work_order.comment(self.session, self.id, comment)
        print(f"Comment on work order #{self.id} added.")

    def take(self) -> None:
        """Assign the work order to oneself, and start it."""
        assignee = self.work_order.assignee
        if assignee and self.details and not self.details.is_mine:
            confirm(f"Work order #{self.id} is assigned to {assignee}; you would take it from them.")
        is_changed = work_order.take(self.session, self.work_order)
        print(f"Work order #{self.id} is now yours." if is_changed else "Nothing changed.")

    def edit_title(self) -> None:
        """Give the work order another title."""
        title = ask_edit("Title", work_order.parse_title, self.initial(work_order.TITLE))
        self.save(work_order.TITLE, title, f"Title of work order #{self.id} saved.")

    def edit_description(self) -> None:
        """Give the work order another description."""
        current = self.initial(work_order.DESCRIPTION)
        print(TEXT_HINT)
        description = ask_edit("Description", work_order.parse_optional_text, current, read_text)
        self.save(work_order.DESCRIPTION, description, f"Description of work order #{self.id} saved.")

    def change_priority(self) -> None:
        """Give the work order another priority."""
        priority = ask_choice("Priority", tuple(Priority), Default(self.initial(work_order.PRIORITY)))
        self.save(work_order.PRIORITY, priority, f"Priority of work order #{self.id} is now {priority}.")

    def change_category(self) -> None:
        """Give the work order another category, or none."""
        category = ask_category(self.session, self.initial(work_order.CATEGORY))
        self.save(
            work_order.CATEGORY, category, f"Category of work order #{self.id} is now {printable(category or NONE)}."
        )

    def assign(self) -> None:
        """Give the work order to a manager or admin, or to nobody."""
        assignees = users.list_assignees(self.session)
        unfinished = {assignee.username: assignee.unfinished for assignee in assignees}
        assignee = ask_choice(
            "Assignee",
            (*unfinished, None),
            self.drafted(work_order.ASSIGNEE),
            partial(users.parse_assignee, self.session),
            lambda name: f"{name} ({work_order.number_of(unfinished[name])} unfinished)" if name else NOBODY,
        )
        done = f"Work order #{self.id} is now assigned to {assignee or NOBODY}."
        self.save(work_order.ASSIGNEE, assignee, done)

    def set_due_date(self) -> None:
        """Say until when the work order has to be finished."""
        if self.work_order.due_by:
            print(*wrap(work_order.explain_due_by(self.work_order), indent=""), sep="\n")
        label = "Due date (2026-12-31, 2026-12-31 17:00, tomorrow, fri, +3d, none ...)"
        due_at = ask(label, work_order.parse_due_date, self.drafted(work_order.DUE_DATE))
        past = ", which is in the past" if due_at and due_at < datetime.now(timezone.utc) else ""
        due = work_order.local_time(due_at) if due_at else NONE
        done = f"Due date of work order #{self.id} is now {due}{past}."
        if due_at == self.work_order.due_at:
            done = f"The due date of work order #{self.id}, {due}, is now set by hand."
        self.save(work_order.DUE_DATE, due_at, done)

    def drafted(self, field: Field[V]) -> Optional[Default[V]]:
        """Return what was typed for the field and could not be saved as the default of its prompt, if anything was."""
        if field.name not in self.drafts:
            return None
        value = self.drafts[field.name]
        return Default(value, work_order.describe_value(field.name, field.as_text(value)))

    def change_requester(self) -> None:
        """Make the work order somebody else's."""
        parse = partial(users.parse_requester, self.session)
        requester = ask("Requester", parse, Default(self.initial(work_order.REQUESTER)))
        self.save(work_order.REQUESTER, requester, f"Requester of work order #{self.id} is now {requester}.")

    def show_history(self) -> Next:
        """Print every change and comment, newest first; a long history by pages."""
        return HistoryScreen(self.session, self.id)

    def delete(self) -> Next:
        """Hide the work order from everybody."""
        confirm(f"Work order #{self.id} will be deleted; only an admin can see or restore it.")
        work_order.delete(self.session, self.id)
        print(f"Work order #{self.id} deleted.")
        return BACK

    MENU: ClassVar[Sequence[Option["WorkOrderScreen"]]] = (
        Option(1, "Change status", change_status, Action.CHANGE_STATUS),
        Option(2, "Add comment", add_comment, Action.COMMENT),
        Option(3, "Take", take, Action.ASSIGN),
        Option(4, "Assign", assign, Action.ASSIGN),
        Option(5, "Change priority", change_priority, Action.EDIT),
        Option(6, "Set due date", set_due_date, Action.SET_DUE_DATE),
        Option(7, "Edit title", edit_title, Action.EDIT),
        Option(8, "Edit description", edit_description, Action.EDIT),
        Option(9, "Change category", change_category, Action.EDIT),
        Option(10, "Change requester", change_requester, Action.CHANGE_REQUESTER),
        Option(11, "Show history", show_history, Action.VIEW),
        Option(12, "Delete", delete, Action.DELETE),
        Option(0, "Back", Screen.go_back),
    )


class HistoryLine(NamedTuple):
    """A line of a history as it is printed: its text, its number, and the entry that it belongs to, if to one."""

    text: str
    number: int
    entry: Optional[HistoryEntry]


class HistoryScreen(PagedScreen[int, HistoryLine]):
    """All that was written about a work order, whose id is the filter: by lines, so that a page always fits.

    The description comes first, then the history, newest first.
    """

    needs = Action.VIEW
    lines_below = 24

    def read(self, filter: int, seen: Sequence[HistoryLine], limit: int) -> List[HistoryLine]:
        """Return the lines that follow those already seen."""
        last = seen[-1] if seen else None
        lines = [] if last and last.entry else self.first_lines(filter)
        if last:
            lines = (_history_lines(last.entry) if last.entry else lines)[last.number + 1 :]
        for entry in work_order.history(self.session, filter, last and last.entry, limit):
            lines += _history_lines(entry)
        return lines[:limit]

    def first_lines(self, work_order_id: int) -> List[HistoryLine]:
        """Return the lines of the description, if there is one, and all fields of a deleted work order."""
        row = work_order.get_with_deleted(self.session, work_order_id)
        texts = [*title_lines(row), *field_lines(row)] if row.deleted_at else []
        texts += ["  Description:", *wrap(row.description, indent="      ")] if row.description else []
        return [HistoryLine(text, number, None) for number, text in enumerate(texts)]

    def description(self) -> str:
        """Return whose history it is."""
        return f"History of work order #{self.pager.filter}, newest first"

    def print_rows(self, rows: Sequence[HistoryLine]) -> None:
        """Print the lines."""
        for line in rows:
            print(line.text)

    def page_size(self) -> int:
        """Return how many lines fit, or 200 where there is no terminal."""
        return max(5, terminal_size().lines - 7) if sys.stdout.isatty() else 200


def _history_lines(entry: HistoryEntry) -> List[HistoryLine]:
    lines = wrap(work_order.describe_entry(entry), hanging="    ")
    return [HistoryLine(text, number, entry) for number, text in enumerate(lines)]


def title_lines(row: WorkOrder) -> List[str]:
    """Return the number and the title of a work order."""
    return wrap(f"Work order #{row.id}: {row.title}", indent="", hanging="    ")


def field_lines(row: WorkOrder) -> List[str]:
    """Return everything but the texts of a work order, in two columns where the terminal is wide enough."""
    late = f", {work_order.describe_due(row)}" * row.is_overdue
    due = work_order.local_time(row.due_at) + late if row.due_at else NONE
    due += f" ({work_order.describe_due_by(row)})" if row.due_by and not late else ""
    last = ("Resolved", row.resolved_at) if row.resolved_at else ("Changed", row.updated_at)
    left = (
        ("Status", str(row.status), ""),
        ("Requester", row.requester, ""),
        ("Category", printable(row.category or NONE), ""),
        ("Created", work_order.local_time(row.created_at), ""),
    )
    right = (
        ("Priority", str(row.priority), priority_colour(row)),
        ("Assignee", row.assignee or NOBODY, ""),
        ("Due", due, due_colour(row)),
        (last[0], work_order.local_time(last[1]), ""),
    )
    half, columns = 38, terminal_size().columns
    is_wide = max(cell_width(value) for _, value, _ in left) <= half - 15 and (
        max(cell_width(value) for _, value, _ in right) <= columns - half - 14
    )
    if is_wide:
        cells = [f"  {name + ':':<11} {fit(value, half - 15)} " for name, value, _ in left]
        return [
            f"{cell}{name + ':':<11} {coloured(value, colour)}" for cell, (name, value, colour) in zip(cells, right)
        ]
    fields = [field for pair in zip(left, right) for field in pair]
    if terminal_size().lines < 30:
        fields = fields[:-2]  # the history has the times too
    return [
        coloured(line, colour)
        for name, value, colour in fields
        for line in wrap(f"{name + ':':<11} {value}", hanging=" " * 12)
    ]


def text_lines(details: Details, room: int) -> List[str]:
    """Return the description and the latest comments and notes, newest first, cut where the room ends and saying so."""
    description = wrap(details.work_order.description, indent="    ") if details.work_order.description else []
    notes = [work_order.describe_entry(entry) for entry in details.notes]
    entries = [line for note in notes for line in wrap(note, hanging="    ")]
    if len(description) + len(entries) + 2 > room:  # then each begins in the line that says whose it is
        entries = [line for note in notes for line in wrap(note.replace("\n", " "), hanging="    ")]
    if len(notes) == work_order.LATEST_NOTES:
        entries.append(MORE)
    if room < ROOM_FOR_TEXTS:  # then the latest comment or note is what matters most
        return _cut([*entries, *description], room)
    entries = ["  Latest comments and notes:", *entries] if entries else []
    description = ["  Description:", *description] if description else []
    # Where there is not enough room for both, the latest comment or note has the half of it.
    description = _cut(description, max(room - len(entries), room // 2))
    return [*description, *_cut(entries, room - len(description))]


def _cut(lines: List[str], room: int) -> List[str]:
    return lines if len(lines) <= room else [*lines[: max(0, room - 1)], MORE]


def ask_category(session: Session, current: Optional[str]) -> Optional[str]:
    """Show the categories in use and ask for one, or for a new one from those who may name it."""
    choices = (*work_order.categories(session), None)
    parse = partial(work_order.parse_category, session)
    return ask_choice("Category", choices, Default(current, current or NONE), parse, lambda name: name or NONE)


def priority_colour(row: WorkOrder) -> str:
    """Return the colour of an unfinished work order's priority, if it is above the usual."""
    if row.status.is_finished:
        return ""
    return {Priority.CRITICAL: BOLD_RED, Priority.HIGH: YELLOW}.get(row.priority, "")


def due_colour(row: WorkOrder) -> str:
    """Return the colour of an overdue work order's due date."""
    return BOLD_RED if row.is_overdue else ""


# Lists of work orders


def late_mark(row: WorkOrder) -> str:
    """Return what a title begins with where there is no room for the due date."""
    return "overdue: " if row.is_overdue else ""


class ListScreen(PagedScreen[Query, WorkOrder]):
    """The work orders that a query finds."""

    initial_filter = Query()
    empty_message = ""  # the description says so
    columns: ClassVar[Sequence[Column[WorkOrder]]] = (
        Column("ID", lambda row: str(row.id)),
        Column("Priority", lambda row: str(row.priority), colour=priority_colour),
        Column("Status", lambda row: str(row.status)),
        Column("Title", lambda row: row.title, stretch=True, min_width=30),
        Column("Requester", lambda row: row.requester, rank=1, max_width=14),
        Column("Assignee", lambda row: row.assignee or NOBODY, rank=3, max_width=14),
        Column("Age", lambda row: work_order.age(row.created_at), rank=2),
        Column("Due", work_order.describe_due, rank=4, colour=due_colour, if_dropped=late_mark),
    )

    def read(self, filter: Query, seen: Sequence[WorkOrder], limit: int) -> List[WorkOrder]:
        """Read the page that follows what was seen."""
        with interruptible(self.session.connection):
            self.page = work_order.read_page(self.session, filter, seen, limit)
        return self.page.work_orders

    def reread(self, filter: Query, rows: List[WorkOrder]) -> List[WorkOrder]:
        """Read a page that was seen as it is now."""
        with interruptible(self.session.connection):
            self.page = work_order.reread_page(self.session, filter, rows)
        return self.page.work_orders

    def description(self) -> str:
        """Return how many work orders are shown, which, how many are overdue, the order, and the page."""
        query, total = self.pager.filter, work_order.quantity(self.page.total)
        words = work_order.describe_query(query)
        which = f"{total[0].upper()}{total[1:]}{': ' if words else ''}{words}"
        overdue = (
            f", {work_order.number_of(self.page.overdue)} overdue" if self.page.overdue and not query.filter.due else ""
        )
        is_counted = self.page.total <= users.COUNTED_AT_MOST
        pages = f" of {max(1, -(-self.page.total // self.page_size()), self.pager.number + 1)}" if is_counted else ""
        return f"{which}{overdue}, {query.sort.description} (page {self.pager.number + 1}{pages})"

    def print_rows(self, rows: Sequence[WorkOrder]) -> None:
        """Print the work orders, each with the place where a search matched."""
        print_table(self.columns, rows, below=lambda row: self.below(row.id))

    def below(self, work_order_id: int) -> Sequence[str]:
        """Return what stands below a row, each cut to a line."""
        texts = (text.replace("\n", " ") for text in self.page.below.get(work_order_id, []))
        return [fit(printable(text), terminal_size().columns - 6).rstrip() for text in texts]

    def page_size(self) -> int:
        """Return how many rows fit; what a search found takes two lines, and what others have changed about three."""
        size, query = super().page_size(), self.pager.filter
        lines = 3 if query.filter.changed else 2 if query.text else 1
        return max(2, size // lines) if sys.stdout.isatty() else size

    def description_lines(self) -> int:
        """Return how many lines the description takes at most."""
        longest = f"100 work orders: , 10 overdue, {self.pager.filter.sort.description} (page 9 of 9)"
        return len(wrap(work_order.describe_query(self.pager.filter) + longest, indent=""))

    def filter(self) -> None:
        """Narrow the list down by one thing; what it was filtered by before stays."""
        what = ask_choice("Filter by", tuple(FILTERS))
        narrowed = self.pager.filter.filter._replace(**{what: FILTERS[what](self.session)})
        self.pager.narrow(self.pager.filter._replace(filter=narrowed))

    def sort(self) -> None:
        """Put the list into another order."""
        sort = ask_choice("Sort by", tuple(Sort), Default(Sort.URGENCY))
        self.pager.narrow(self.pager.filter._replace(sort=sort))

    def can_do(self, run: object) -> bool:
        """Return whether there is something to do for a handler now."""
        if run == ListScreen.clear_filter:
            return self.pager.filter.filter != Filter()
        return super().can_do(run) and not (self.is_empty and run == ListScreen.export)

    def clear_filter(self) -> None:
        """Remove the filter; what was searched for and the order stay."""
        self.pager.narrow(self.pager.filter._replace(filter=Filter()))

    def export(self) -> None:
        """Write all pages of the list to a CSV file."""
        export(self.session, self.pager.filter)

    MENU: ClassVar[Sequence[Option["ListScreen"]]] = (
        Option(1, "Next page", PagedScreen.next_page),
        Option(2, "Previous page", PagedScreen.previous_page),
        Option(3, "Open work order", SessionScreen.open_work_order, saves=False),
        Option(4, "Filter", filter, saves=False),
        Option(5, "Sort", sort, saves=False),
        Option(6, "Clear filter", clear_filter),
        Option(7, "Export to CSV", export, Action.EXPORT),
        Option(0, "Back", Screen.go_back),
    )


def export(session: Session, query: Query) -> None:
    """Write what a query finds to a CSV file and, if wanted, its history to a second one."""
    with_history = ask("History too?", users.parse_yes_or_no, Default(False, "no"))
    with stoppable(session.connection, "Work orders exported") as progress:
        exported = work_order.export(session, query, with_history, progress)
    paths = " and ".join(printable(str(path)) for path in exported.paths)
    print(f"{work_order.quantity_of_all(exported.total)} exported to {paths}.")


# By the name of a filter's field: what asks for its value.
FILTERS: Dict[str, Callable[[Session], Any]] = {
    "status": lambda _: ask_filter_choice("Status", (*Status, UNFINISHED)),
    "priority": lambda _: ask_filter_choice("Priority", tuple(Priority)),
    "category": lambda session: ask_filter_choice("Category", (*work_order.categories(session), NONE)),
    "requester": lambda session: ask_filter("Requester", partial(users.parse_person, session)),
    "assignee": lambda session: ask_filter("Assignee", partial(users.parse_assignee_filter, session)),
    "due": lambda _: ask_filter_choice("Due", tuple(Due)),
}


class MyWorkScreen(SessionScreen):
    """What waits for somebody, by number."""

    heading = "My work"

    def show(self) -> Sequence[Option[Any]]:
        """Print the heading; the counts stand behind the options."""
        self.work = work_order.my_work(self.session)
        return super().show()

    def detail(self, option: Option[Any]) -> str:
        """Return how many work orders the option opens."""
        work = self.work
        counts = (0, work.assigned, work.unassigned, work.overdue, work.due_this_week, work.requested, work.changed)
        late = work.assigned_overdue if option.number == 1 else 0
        overdue = f", {work_order.number_of(late)} overdue" if late else ""
        return f": {work_order.number_of(counts[option.number])}{overdue}" if option.number else ""

    def assigned(self) -> Next:
        """Open the list of what is assigned to oneself."""
        return ListScreen(self.session, Query(work_order.assigned_to(users.current_user(self.session).username)))

    def unassigned(self) -> Next:
        """Open the list of what is assigned to nobody."""
        return ListScreen(self.session, Query(work_order.UNASSIGNED))

    def overdue(self) -> Next:
        """Open the list of what is overdue."""
        return ListScreen(self.session, Query(work_order.OVERDUE, Sort.DUE))

    def due_this_week(self) -> Next:
        """Open the list of what is due this week and unfinished."""
        return ListScreen(self.session, Query(work_order.DUE_THIS_WEEK, Sort.DUE))

    def requested(self) -> Next:
        """Open the list of one's own unfinished work orders."""
        return ListScreen(self.session, Query(work_order.requested_by(users.current_user(self.session).username)))

    def changed(self) -> Next:
        """Open the list of what others have changed since the last login, with what they changed."""
        return ListScreen(self.session, Query(work_order.CHANGED, Sort.CHANGED))

    MENU: ClassVar[Sequence[Option["MyWorkScreen"]]] = (
        Option(1, "Assigned to me", assigned, Action.ASSIGN),
        Option(2, "Unassigned", unassigned, Action.ASSIGN),
        Option(3, "Overdue", overdue, Action.VIEW),
        Option(4, "Due this week", due_this_week, Action.VIEW),
        Option(5, "Requested by me", requested, Action.VIEW),
        Option(6, "Changed by others", changed, Action.VIEW),
        Option(0, "Back", Screen.go_back),
    )


# Reports


class ReportScreen(SessionScreen, Generic[R]):
    """A report over a period: a table, what its numbers mean, and the work orders behind them."""

    needs = Action.REPORTS
    definition: ClassVar[str]

    def __init__(self, session: Session, period: Optional[Period] = None) -> None:
        super().__init__(session)
        self.period = period

    def show(self) -> Sequence[Option[Any]]:
        """Print the report as things stand now, and return the options that have something to do."""
        if self.period:
            self.period = work_order.parse_period(self.period.name)  # which may last until now
        with interruptible(self.session.connection):
            self.rows = self.read()
        print("", *wrap(self.description(), indent=""), sep="\n")
        self.print_rows()
        print(*wrap(self.definition, indent=""), sep="\n")
        can_do: Dict[object, bool] = {
            ReportScreen.show_work_orders: bool(self.rows),
            ReportScreen.another_period: bool(self.period),
        }
        return [option for option in self.MENU if can_do.get(option.run, True)]

    def description(self) -> str:
        """Return what is reported and for which period."""
        assert self.period
        return f"{self.heading}, {work_order.describe_period(self.session, self.period)}"

    def read(self) -> Sequence[R]:
        """Return the rows of the report."""
        raise NotImplementedError

    def columns(self) -> Sequence[Column[R]]:
        """Return the columns of its table."""
        raise NotImplementedError

    def print_rows(self) -> None:
        """Print the table."""
        if self.rows:
            print_table(self.columns(), self.rows)
        else:
            print("Nothing to show.")

    def show_work_orders(self) -> Next:
        """Ask for a row and, where it has more than one number, for a column; open the list of what was counted."""
        filters = self.ask_row().filters
        first, *others = filters
        column = ask_choice("Column", tuple(filters), Default(first)) if others else first
        return ListScreen(self.session, Query(filters[column]))

    def ask_row(self) -> R:
        """Ask for a row; if there are many, they are not listed again, since the table has just shown them."""
        if len(self.rows) <= ROWS_PER_PAGE:
            return ask_choice("Row", self.rows, describe=row_name)
        return ask("Row (a name or its beginning)", lambda text: users.parse_name(self.rows, text, row_name))

    def another_period(self) -> None:
        """Ask for another period."""
        self.period = ask_period(self.period)

    MENU: ClassVar[Sequence[Option[Any]]] = (
        Option(1, "Show work orders", show_work_orders, saves=False),
        Option(2, "Another period", another_period, saves=False),
        Option(0, "Back", Screen.go_back),
    )


def row_name(row: work_order.ReportRow) -> str:
    """Return what a row of a report is called."""
    return row.name


def ask_period(current: Optional[Period] = None) -> Period:
    """Ask for the period of a report; an empty answer takes the current one, or the last 30 days."""
    print(PERIOD_HINT)
    periods = [work_order.parse_period(name) for name in work_order.PERIODS]
    default = current or periods[1]
    return ask_choice(
        "Period", periods, Default(default, default.name), work_order.parse_period, lambda period: period.name
    )


def bar_column(part: Callable[[T], float], room: int) -> Column[T]:
    """Return a column of bars, each for a share of the longest one, scaled to the room in the terminal."""
    width = max(1, min(60, room))
    return Column("", lambda row: bar(part(row), width), rank=1)


class ResolutionTimesScreen(ReportScreen[ResolutionTimes]):
    """How long work orders took to be resolved."""

    heading = "Resolution times"
    definition = work_order.RESOLUTION_TIMES

    def __init__(self, session: Session, period: Period, grouping: Grouping) -> None:
        super().__init__(session, period)
        self.grouping = grouping

    def description(self) -> str:
        """Return what is reported, grouped by what, and for which period."""
        assert self.period
        return f"{self.heading} by {self.grouping}, {work_order.describe_period(self.session, self.period)}"

    def read(self) -> Sequence[ResolutionTimes]:
        """Return a row for each group, and one for all."""
        assert self.period
        return work_order.resolution_times(self.session, self.period, self.grouping)

    def columns(self) -> Sequence[Column[ResolutionTimes]]:
        """Return the columns of its table."""
        seconds, share = work_order.describe_seconds, work_order.describe_share
        return (
            Column(str(self.grouping).capitalize(), lambda row: row.name, stretch=True, min_width=14),
            Column("Count", lambda row: f"{row.resolved:,}"),
            Column("Median", lambda row: seconds(row.median)),
            Column("Mean", lambda row: seconds(row.mean), rank=1),
            Column("90% in", lambda row: seconds(row.percentile_90), rank=6),
            Column("On time", lambda row: share(row.on_time), rank=5),
            Column("Reopened", lambda row: share(row.reopened), rank=4),
            Column("Response", lambda row: seconds(row.response_median), rank=3),
            Column("In target", lambda row: share(row.response_on_time), rank=2),
        )


class BacklogScreen(ReportScreen[BacklogRow]):
    """What is unfinished now."""

    definition = work_order.BACKLOG
    oldest_columns: ClassVar[Sequence[Column[WorkOrder]]] = (
        Column("ID", lambda row: str(row.id)),
        Column("Age", lambda row: work_order.age(row.created_at)),
        Column("Priority", lambda row: str(row.priority), colour=priority_colour),
        Column("Title", lambda row: row.title, stretch=True),
        Column("Assignee", lambda row: row.assignee or NOBODY, rank=1, max_width=14),
    )

    def description(self) -> str:
        """Return what is reported, and as of when."""
        return f"Backlog: what is unfinished now, {work_order.local_time(datetime.now(timezone.utc))}"

    def read(self) -> Sequence[BacklogRow]:
        """Return a row for each priority, and one for all."""
        self.backlog = work_order.backlog(self.session)
        return self.backlog.rows

    def columns(self) -> Sequence[Column[BacklogRow]]:
        """Return the columns of its table, with bars where there is room."""
        *priorities, _ = self.rows
        longest = max(row.total for row in priorities) or 1
        return (
            Column("Priority", lambda row: row.name),
            Column("Total", lambda row: f"{row.total:,}"),
            bar_column(lambda row: row.total / longest if row in priorities else 0, terminal_size().columns - 60),
            *(Column(band, partial(_band_cell, n), rank=n + 3) for n, band in enumerate(work_order.BAND_NAMES)),
            Column("Nobody's", lambda row: f"{row.unassigned:,}", rank=2),
        )

    def print_rows(self) -> None:
        """Print the table, and as many of the oldest work orders as leave the heading and the menu in sight."""
        super().print_rows()
        if self.backlog.oldest:
            print("The oldest:")
            print_table(self.oldest_columns, self.backlog.oldest[: self.room_for_oldest()])

    def room_for_oldest(self) -> int:
        """Return how many of the oldest fit the terminal, at least one."""
        texts = [*wrap(self.description(), indent=""), *wrap(self.definition, indent="")]
        others = 7  # an empty line, the headings of the tables, the line between them, the menu and the prompt
        room = terminal_size().lines - len(texts) - len(self.rows) - others
        return max(1, room) if sys.stdout.isatty() else len(self.backlog.oldest)


def _band_cell(number: int, row: BacklogRow) -> str:
    return f"{row.bands[number]:,}"


class WeeklyFlowScreen(ReportScreen[Week]):
    """What came in, was resolved and came back, by week."""

    heading = "Weekly flow"
    definition = work_order.WEEKLY_FLOW

    def read(self) -> Sequence[Week]:
        """Return a row for each week."""
        assert self.period
        return work_order.weekly_flow(self.session, self.period)

    def columns(self) -> Sequence[Column[Week]]:
        """Return the columns of its table, with bars on the same scale where there is room."""
        return (
            Column("Week", lambda row: row.name),
            Column("Created", lambda row: f"{row.created:,}"),
            self.bar_column(lambda row: row.created),
            Column("Resolved", lambda row: f"{row.resolved:,}"),
            self.bar_column(lambda row: row.resolved),
            Column("Reopened", lambda row: f"{row.reopened:,}", rank=2),
            Column("Backlog", lambda row: f"{row.unfinished:,}"),
        )

    def bar_column(self, number: Callable[[Week], int]) -> Column[Week]:
        """Return a column of bars; the longest stands for the greatest number in both columns."""
        longest = max(max(row.created, row.resolved) for row in self.rows) or 1
        return bar_column(lambda row: number(row) / longest, (terminal_size().columns - 52) // 2)


class WorkloadScreen(ReportScreen[Workload]):
    """How much each assignee has."""

    heading = "Workload by assignee"
    definition = work_order.WORKLOAD

    def read(self) -> Sequence[Workload]:
        """Return a row for each assignee, and one for nobody."""
        assert self.period
        return work_order.workload(self.session, self.period)

    def columns(self) -> Sequence[Column[Workload]]:
        """Return the columns of its table, with bars where there is room."""
        longest = max(row.unfinished for row in self.rows) or 1
        return (
            Column("Assignee", lambda row: row.name, stretch=True, min_width=14, max_width=20),
            Column("Unfinished", lambda row: f"{row.unfinished:,}"),
            bar_column(lambda row: row.unfinished / longest, terminal_size().columns - 70),
            Column("Overdue", lambda row: f"{row.overdue:,}"),
            Column("On Hold", lambda row: f"{row.on_hold:,}", rank=2),
            Column("Resolved", lambda row: f"{row.resolved:,}"),
            Column("Median", lambda row: work_order.describe_seconds(row.median), rank=3),
        )


class ServiceTargetsScreen(SessionScreen):
    """What is promised; managers can see it, and admins can change it."""

    heading = "Service targets, in hours from creation"
    needs = Action.REPORTS

    def show(self) -> Sequence[Option[Any]]:
        """Print the targets."""
        options = super().show()
        self.targets = work_order.service_targets(self.session)
        columns: Sequence[Column[ServiceTarget]] = (
            Column("Priority", lambda target: str(target.priority)),
            Column("First response", lambda target: f"{target.response_hours or NONE}"),
            Column("Resolution", lambda target: f"{target.resolution_hours or NONE}"),
        )
        print_table(columns, self.targets)
        print(*wrap(work_order.SERVICE_TARGETS, indent=""), sep="\n")
        return options

    def change_target(self) -> None:
        """Change the service target of a priority."""
        priority = ask_choice("Priority", tuple(Priority))
        (current,) = (target for target in self.targets if target.priority is priority)
        target = ServiceTarget(
            priority,
            ask_hours("Hours to first response", current.response_hours),
            ask_hours("Hours to resolution", current.resolution_hours),
        )
        is_changed = work_order.set_service_target(self.session, target)
        done = f"Service target for priority {priority} is now: {work_order.describe_target(target)}."
        print(done if is_changed else "Nothing changed.")

    MENU: ClassVar[Sequence[Option["ServiceTargetsScreen"]]] = (
        Option(1, "Change target", change_target, Action.SERVICE_TARGETS),
        Option(0, "Back", Screen.go_back),
    )


def ask_hours(label: str, current: Optional[int]) -> Optional[int]:
    """Ask for the hours of a target, or for none."""
    return ask(f"{label} (or {NONE})", work_order.parse_hours, Default(current, str(current or NONE)))


class ReportsScreen(SessionScreen):
    """What an IT lead wants to know."""

    heading = "Reports"
    needs = Action.REPORTS

    def resolution_times(self) -> Next:
        """Ask for a period and what to group by, and open the report."""
        period = ask_period()
        grouping = ask_choice("Group by", tuple(Grouping), Default(Grouping.PRIORITY))
        return ResolutionTimesScreen(self.session, period, grouping)

    def weekly_flow(self) -> Next:
        """Ask for a period and open the report."""
        return WeeklyFlowScreen(self.session, ask_period())

    def workload(self) -> Next:
        """Ask for a period and open the report."""
        return WorkloadScreen(self.session, ask_period())

    MENU: ClassVar[Sequence[Option["ReportsScreen"]]] = (
        Option(1, "Resolution times", resolution_times, Action.REPORTS, saves=False),
        Option(2, "Backlog", BacklogScreen, Action.REPORTS),
        Option(3, "Weekly flow", weekly_flow, Action.REPORTS, saves=False),
        Option(4, "Workload", workload, Action.REPORTS, saves=False),
        Option(5, "Service targets", ServiceTargetsScreen, Action.REPORTS),
        Option(0, "Back", Screen.go_back),
    )


# My account


class AccountScreen(SessionScreen):
    """One's own account."""

    heading = "My account: {user.username} ({user.role})"

    def change_password(self) -> None:
        """Change one's own password."""
        current = ask("Current password", str, read=read_password)
        new = ask_new_password("New password", users.current_user(self.session).username, current)
        users.change_password(self.session, current, new)
        print("Password changed.")

    def change_email(self) -> None:
        """Change or remove one's own email address."""
        current = users.current_user(self.session).email
        email = ask("Email", users.parse_email, Default(current, current or NONE))
        users.change_email(self.session, email)
        print(f"Email is now {email or NONE}.")

    MENU: ClassVar[Sequence[Option["AccountScreen"]]] = (
        Option(1, "Change password", change_password),
        Option(2, "Change email", change_email),
        Option(0, "Back", Screen.go_back),
    )


# Manage users


class UsersScreen(SessionScreen):
    """The accounts, for admins."""

    heading = "Manage users"
    needs = Action.MANAGE_USERS

    def list_users(self) -> Next:
        """Print all accounts; many of them by pages."""
        return UserListScreen(self.session)

    def add_user(self) -> None:
        """Create an account for somebody else and show its one-time password."""
        username = ask("Username", partial(users.parse_new_username, self.session.connection))
        role = ask_choice("Role", tuple(Role), Default(Role.USER))
        one_time_password = users.add_user(self.session, username, role)
        print(f"User {username} added as {role}.")
        print_one_time_password(one_time_password, username)

    def change_role(self) -> None:
        """Give an account another role, after a question if that takes rights away."""
        user = self.ask_user()
        role = ask_choice("Role", tuple(Role), Default(user.role))
        if role is user.role:
            print("Nothing changed.")
            return
        if tuple(Role).index(role) < tuple(Role).index(user.role):
            count = users.count_assigned(self.session, user) if role is Role.USER else 0
            text = f"User {user.username} will be {role.with_article} and no longer {user.role.with_article}."
            confirm(f"{text}{work_order.describe_loss(count)}")
        released = users.change_role(self.session, user.username, role)
        release = work_order.describe_release(released, user.username)
        print(f"{user.username} is now {role.with_article}.{release}")

    def reset_password(self) -> None:
        """Replace an account's password with a one-time password and show that."""
        user = self.ask_user()
        confirm(f"User {user.username} will be logged out and get a one-time password.")
        one_time_password = users.reset_password(self.session, user.username)
        print(f"Password of user {user.username} reset.")
        print_one_time_password(one_time_password, user.username)

    def deactivate(self) -> None:
        """Deactivate an account."""
        user = self.ask_user()
        consequence = work_order.describe_loss(users.count_assigned(self.session, user))
        confirm(f"User {user.username} will be logged out and can no longer log in.{consequence}")
        released = users.deactivate(self.session, user.username)
        print(f"User {user.username} deactivated.{work_order.describe_release(released, user.username)}")

    def reactivate(self) -> None:
        """Reactivate an account."""
        user = self.ask_user()
        users.reactivate(self.session, user.username)
        print(f"User {user.username} reactivated.")

    def unlock(self) -> None:
        """Clear an account's failed logins so that it can log in at once."""
        user = self.ask_user()
        failures = users.unlock(self.session, user.username)
        print(f"User {user.username} unlocked: {failures} failed login{'' if failures == 1 else 's'} cleared.")

    def ask_user(self) -> User:
        """Ask for a username and return the account."""
        return ask("Username", partial(users.parse_user, self.session))

    MENU: ClassVar[Sequence[Option["UsersScreen"]]] = (
        Option(1, "List users", list_users, Action.MANAGE_USERS),
        Option(2, "Add user", add_user, Action.MANAGE_USERS),
        Option(3, "Change role", change_role, Action.MANAGE_USERS),
        Option(4, "Reset password", reset_password, Action.MANAGE_USERS),
        Option(5, "Deactivate", deactivate, Action.MANAGE_USERS),
        Option(6, "Reactivate", reactivate, Action.MANAGE_USERS),
        Option(7, "Unlock (clear failed logins)", unlock, Action.MANAGE_USERS),
        Option(0, "Back", Screen.go_back),
    )


class UserListScreen(PagedScreen[None, User]):
    """All accounts."""

    heading = "Users"
    needs = Action.MANAGE_USERS
    lines_below = 12
    columns: ClassVar[Sequence[Column[User]]] = (
        Column("Username", lambda user: user.username, stretch=True),
        Column("Role", lambda user: str(user.role)),
        Column("State", users.describe_state),
        Column("Email", lambda user: user.email or "", rank=2),
        Column("Since", lambda user: work_order.local_time(user.created_at), rank=1),
    )

    def read(self, _: None, seen: Sequence[User], limit: int) -> List[User]:
        """Return the accounts that follow those already seen."""
        return users.list_users(self.session, seen[-1] if seen else None, limit)


def print_one_time_password(one_time_password: str, username: str) -> None:
    """Print the password, the only time that anybody sees it."""
    print(f"One-time password: {one_time_password}")
    print(f"It is shown only now; {username} must change it at the first login.")


# Data and audit


class AuditEntryScreen(SessionScreen):
    """An entry of the audit log, whole."""

    heading = "Audit log entry"
    needs = Action.AUDIT

    def __init__(self, session: Session, entry: AuditEntry) -> None:
        super().__init__(session)
        self.entry = entry

    def show(self) -> Sequence[Option[Any]]:
        """Print the entry."""
        options = super().show()
        for name, value in (
            ("ID", str(self.entry.id)),
            ("When", work_order.local_time(self.entry.recorded_at)),
            ("Account", self.entry.username or "-"),
            ("Event", self.entry.event),
            ("Subject", self.entry.subject),
            ("System user", self.entry.os_user),
            ("SSH client", self.entry.ssh_client or "-"),
        ):
            print(*wrap(f"{name + ':':<13}{value}", hanging=" " * 13), sep="\n")
        return options

    MENU: ClassVar[Sequence[Option["AuditEntryScreen"]]] = (Option(0, "Back", Screen.go_back),)


class AuditScreen(PagedScreen[AuditFilter, AuditEntry]):
    """What was done, newest first."""

    initial_filter = AuditFilter()
    needs = Action.AUDIT
    columns: ClassVar[Sequence[Column[AuditEntry]]] = (
        Column("ID", lambda entry: str(entry.id)),
        Column("When", lambda entry: work_order.local_time(entry.recorded_at)),
        Column("Account", lambda entry: entry.username or "-", max_width=20),
        Column("Event", lambda entry: entry.event),
        Column("Subject", lambda entry: entry.subject, stretch=True, min_width=20),
        Column("System user", lambda entry: entry.os_user, rank=2, max_width=14),
        Column("SSH client", lambda entry: entry.ssh_client, rank=1),
    )

    def read(self, filter: AuditFilter, seen: Sequence[AuditEntry], limit: int) -> List[AuditEntry]:
        """Return the entries that follow those already seen."""
        return users.audit_log(self.session, filter, seen[-1] if seen else None, limit)

    def description(self) -> str:
        """Return which entries are shown."""
        words = users.describe_audit_filter(self.pager.filter)
        return f"Audit log, newest first: {words} (page {self.pager.number + 1})"

    def filter(self) -> None:
        """Narrow the log down to an account, an event, or both; each answer may be left empty for any."""
        username = ask_filter("Account", partial(users.parse_person, self.session))
        event = ask_filter_choice("Event", users.audit_events(self.session))
        self.pager.narrow(AuditFilter(username, event))

    def show_entry(self) -> Next:
        """Ask for an entry's ID and show the whole of it."""
        entry = ask("Entry ID", lambda text: users.get_audit_entry(self.session, work_order.parse_id(text)))
        return AuditEntryScreen(self.session, entry)

    MENU: ClassVar[Sequence[Option["AuditScreen"]]] = (
        Option(1, "Next page", PagedScreen.next_page),
        Option(2, "Previous page", PagedScreen.previous_page),
        Option(3, "Show entry", show_entry, saves=False),
        Option(4, "Filter", filter, saves=False),
        Option(6, "Clear filter", PagedScreen.clear_filter),
        Option(0, "Back", Screen.go_back),
    )


class DeletedScreen(PagedScreen[None, WorkOrder]):
    """The deleted work orders, latest deletion first."""

    heading = "Deleted work orders, latest deletion first"
    needs = Action.RESTORE
    empty_message = "There are none."
    columns: ClassVar[Sequence[Column[WorkOrder]]] = (
        Column("ID", lambda row: str(row.id)),
        Column("Deleted", lambda row: work_order.local_time(row.deleted_at) if row.deleted_at else ""),
        Column("Status", lambda row: str(row.status), rank=2),
        Column("Title", lambda row: row.title, stretch=True),
        Column("Requester", lambda row: row.requester, rank=1),
    )

    def read(self, _: None, seen: Sequence[WorkOrder], limit: int) -> List[WorkOrder]:
        """Return the work orders that follow those already seen."""
        return work_order.list_deleted(self.session, seen[-1] if seen else None, limit)

    def open_deleted(self) -> Next:
        """Show a deleted work order and its history."""
        deleted = work_order.get_deleted(self.session, ask("Work order ID", work_order.parse_id))
        return HistoryScreen(self.session, deleted.id)

    def restore(self) -> None:
        """Bring a deleted work order back."""
        work_order_id = ask("Work order ID", work_order.parse_id)
        work_order.restore(self.session, work_order_id)
        print(f"Work order #{work_order_id} restored.")
        self.pager.narrow(None)

    def can_do(self, run: object) -> bool:
        """Return whether there is something to do for a handler now."""
        return super().can_do(run) and not (
            self.is_empty and run in (DeletedScreen.open_deleted, DeletedScreen.restore)
        )

    MENU: ClassVar[Sequence[Option["DeletedScreen"]]] = (
        Option(1, "Next page", PagedScreen.next_page),
        Option(2, "Previous page", PagedScreen.previous_page),
        Option(3, "Open work order", open_deleted, saves=False),
        Option(4, "Restore work order", restore),
        Option(0, "Back", Screen.go_back),
    )


class MailScreen(SessionScreen):
    """How messages reach people."""

    heading = "Mail"
    needs = Action.MAIL

    def show(self) -> Sequence[Option[Any]]:
        """Print where messages go and how many wait."""
        options = super().show()
        settings, count = users.mail_state(self.session)
        print(*wrap(f"{users.describe_mail_settings(settings)}; {users.describe_outbox(count)}"), sep="\n")
        return options

    def change_settings(self) -> None:
        """Ask which mail server takes the messages and, if there is one, for the other settings; save them."""
        old, _ = users.mail_state(self.session)
        host = ask("SMTP host", users.parse_mail_host, Default(old.host, old.host or NONE))
        new = ask_mail_settings(old, host) if host else old._replace(host=None)
        users.change_mail_settings(self.session, new)
        print(f"Mail settings saved: {users.describe_mail_settings(new)}.")

    def send_test_message(self) -> None:
        """Send a message at once, and show what the mail server says."""
        own = users.current_user(self.session).email
        to = ask("To", users.parse_address, Default(own) if own else None)
        print("Sending ...", flush=True)
        stop = users.Stop()
        with interruptible(stop):
            answer = users.send_test_message(self.session, to, stop)
        print(*wrap(f"Test message to {to} sent. The mail server says: {answer}", indent=""), sep="\n")

    def show_waiting(self) -> Next:
        """Open the list of the messages that wait or have failed."""
        return OutboxScreen(self.session)

    def send_now(self) -> None:
        """Try every waiting message, even if its pause is not over."""
        sent = users.send_now(self.session)
        if sent is None:
            print("Sending continues in the background.")
            return
        _, count = users.mail_state(self.session)
        print(f"{users.describe_sent(sent)}; {users.describe_outbox(count)}.")

    MENU: ClassVar[Sequence[Option["MailScreen"]]] = (
        Option(1, "Settings", change_settings, Action.MAIL),
        Option(2, "Send a test message", send_test_message, Action.MAIL, saves=False),
        Option(3, "Show waiting messages", show_waiting, Action.MAIL),
        Option(4, "Send now", send_now, Action.MAIL),
        Option(0, "Back", Screen.go_back),
    )


def ask_mail_settings(old: MailSettings, host: str) -> MailSettings:
    """Ask for the rest of the settings; an empty answer keeps what is set, the password too, which is never shown.

    A new host must not get the old one's password.
    """
    password = old.password if host == old.host else None
    return MailSettings(
        host,
        ask("Port", users.parse_port, Default(old.port)),
        ask_choice("Security", tuple(Security), Default(old.security)),
        ask("Sender's address", users.parse_address, Default(old.sender) if old.sender else None),
        ask("Username", users.parse_credential, Default(old.username, old.username or NONE)),
        ask(
            "Password",
            users.parse_credential,
            Default(password, "unchanged" if password else NONE),
            read_password,
        ),
    )


class OutboxScreen(PagedScreen[None, Message]):
    """The messages that wait or have failed, newest first, each with the reason why it was not sent."""

    heading = "Waiting and failed messages, newest first"
    needs = Action.MAIL
    empty_message = "There are none."
    columns: ClassVar[Sequence[Column[Message]]] = (
        Column("Written", lambda message: work_order.local_time(message.created_at), rank=1),
        Column("To", lambda message: message.username, stretch=True),
        Column("Work order", lambda message: f"#{message.work_order_id}"),
        Column("Tries", lambda message: str(message.attempts), rank=2),
        Column("Next try", users.describe_attempt),
    )

    def read(self, _: None, seen: Sequence[Message], limit: int) -> List[Message]:
        """Return the messages that follow those already seen."""
        return users.outbox(self.session, seen[-1] if seen else None, limit)

    def print_rows(self, rows: Sequence[Message]) -> None:
        """Print the messages, each with its reason below it on one line."""
        width = terminal_size().columns - 6  # else print_table would break it
        print_table(
            self.columns, rows, below=lambda row: [fit(printable(row.reason), width).rstrip()] if row.reason else []
        )

    def page_size(self) -> int:
        """Return how many messages fit with their reasons."""
        return super().page_size() // 2 if sys.stdout.isatty() else ROWS_PER_PAGE


class DataScreen(SessionScreen):
    """Backups, exports, imports, deleted work orders, the audit log, and mail."""

    heading = "Data and audit"

    def back_up(self) -> None:
        """Write a copy of the database to the folder of the backups."""
        print("Backing up ...", flush=True)
        path = users.back_up(self.session)
        print(f"Backed up to {printable(str(path))}.")

    def export(self) -> None:
        """Write all work orders to a CSV file."""
        export(self.session, work_order.EVERYTHING)

    def import_file(self) -> None:
        """Create work orders from a CSV file, after a dry run."""
        files, left_out = work_order.list_imports(self.session)
        print_lines(left_out)
        file = ask_choice("File", files)
        with ExitStack() as staged:
            with stoppable(self.connection, "Rows read") as progress:
                dry_run = staged.enter_context(work_order.dry_run(self.session, file, progress))
            print_lines(work_order.describe_dry_run(dry_run))
            answers = self.ask_about_import(dry_run)
            with stoppable(self.connection, "Rows prepared") as progress:
                total = work_order.import_rows(self.session, dry_run, *answers, progress)
        print(f"{work_order.quantity_of_all(total)} imported from {printable(file)}.")

    def ask_about_import(self, dry_run: DryRun) -> Tuple[bool, bool]:
        """Ask whether to create accounts for requesters and to drop assignees, where needed, and whether to import."""
        people, no = dry_run.requesters.total, Default(False, "no")
        creates_accounts = drops_assignees = False
        if people:
            question = f"Create {people:,} deactivated account{'' if people == 1 else 's'}?"
            creates_accounts = ask(question, users.parse_yes_or_no, no)
        if dry_run.assignees.total:
            drops_assignees = ask("Set unknown or unfit assignees to nobody?", users.parse_yes_or_no, no)
        left_out = work_order.count_left_out(self.session, dry_run, creates_accounts, drops_assignees)
        question = f"Leave out {left_out:,} wrong line{'' if left_out == 1 else 's'}?"
        if left_out and not ask(question, users.parse_yes_or_no, no):
            raise Cancelled
        confirm(f"{work_order.quantity_of_all(dry_run.good + dry_run.wrong - left_out)} will be created.")
        return creates_accounts, drops_assignees

    def check_database(self) -> None:
        """Check the database's structure, references, full-text index and counters."""
        print("Checking ...", flush=True)
        problems = users.check_database(self.session)
        for problem in problems:
            print_error(problem)
        print("Restore the database from a backup." if problems else "The database is sound.")

    MENU: ClassVar[Sequence[Option["DataScreen"]]] = (
        Option(1, "Back up now", back_up, Action.BACK_UP),
        Option(2, "Export work orders", export, Action.EXPORT),
        Option(3, "Import work orders", import_file, Action.IMPORT),
        Option(4, "Deleted work orders", DeletedScreen, Action.RESTORE),
        Option(5, "Audit log", AuditScreen, Action.AUDIT),
        Option(6, "Check database", check_database, Action.BACK_UP),
        Option(7, "Mail", MailScreen),
        Option(0, "Back", Screen.go_back),
    )


# Main menu


class MainScreen(SessionScreen):
    """What somebody who is signed in can do."""

    heading = "Main menu: {user.username} ({user.role})"

    def show(self) -> Sequence[Option[Any]]:
        """Print who is signed in, and in a line what waits for them."""
        options = super().show()
        try:
            waiting = work_order.describe_my_work(work_order.my_work(self.session))
        except database.TookTooLongError as error:
            waiting = str(error)
        print(*wrap(waiting), sep="\n")
        return options

    def create_work_order(self) -> None:
        """Create a work order of one's own or, for managers and admins, of a requester."""
        user = users.current_user(self.session)
        title = ask("Title", work_order.parse_title)
        description = ask_text("Description (optional)", work_order.parse_optional_text, Default(""))
        priority = ask_choice("Priority", tuple(Priority), Default(Priority.MEDIUM))
        category = requester = None
        if users.may(user, Action.NAME_CATEGORY) or work_order.categories(self.session):
            category = ask_category(self.session, None)
        if users.may(user, Action.CHANGE_REQUESTER) and users.has_others(self.session):
            requester = ask("Requester", partial(users.parse_requester, self.session), Default(user.username, ME))
        work_order_id = work_order.create(self.session, title, description, priority, category, requester)
        print(f"Work order #{work_order_id} created.")

    def search_work_orders(self) -> Next:
        """Open the list of what contains a text."""
        return ListScreen(self.session, ask("Search for", self.search))

    def search(self, text: str) -> Query:
        """Return the query for what contains the text; Ctrl-C leaves it."""
        with interruptible(self.session.connection):
            return work_order.search(self.session, text)

    def show_summary(self) -> None:
        """Print how many work orders there are in each status by priority, one's own beside them, and bars."""
        counts = work_order.summary(self.session)
        total, own = sum(count.total for count in counts), sum(count.own for count in counts)
        longest = max(count.total for count in counts) or 1
        print(f"Summary of all work orders: {total:,}, {own:,} requested by you")
        columns: Sequence[Column[StatusCount]] = (
            Column("Status", lambda count: str(count.status)),
            *(Column(str(priority), partial(_cell, priority=priority)) for priority in Priority),
            Column("Total", lambda count: f"{count.total:,}", rank=3),
            Column("Yours", lambda count: f"{count.own:,}", rank=2),
            Column("", lambda count: bar(count.total / longest), rank=1),
        )
        print_table(columns, counts)

    def log_out(self) -> Next:
        """End the session."""
        print("Logged out.")
        return BACK

    MENU: ClassVar[Sequence[Option["MainScreen"]]] = (
        Option(1, "Create work order", create_work_order, Action.CREATE),
        Option(2, "View work orders", ListScreen, Action.VIEW),
        Option(3, "Update work order", SessionScreen.open_work_order, Action.VIEW, saves=False),
        Option(4, "Search work orders", search_work_orders, Action.VIEW, saves=False),
        Option(5, "My work", MyWorkScreen),
        Option(6, "Summary", show_summary, Action.SUMMARY),
        Option(7, "Reports", ReportsScreen, Action.REPORTS),
        Option(8, "My account", AccountScreen),
        Option(9, "Manage users", UsersScreen),
        Option(10, "Data and audit", DataScreen),
        Option(0, "Log out", log_out),
    )


def _cell(count: StatusCount, priority: Priority) -> str:
    return f"{count.by_priority[priority]:,}"


# Start menu


class StartScreen(Screen):
    """What anybody can do."""

    def __init__(self, connection: database.Connection) -> None:
        self.connection = connection

    def show(self) -> Sequence[Option[Any]]:
        """Print the program's name."""
        print("\nIT Work Order Management System")
        return self.MENU

    def register(self) -> None:
        """Create an account; an admin approves those of managers and admins, except the first."""
        is_first = not users.needs_approval(self.connection, Role.ADMIN)
        if is_first:
            print("There is no admin yet: register as admin to become the first.")
        username = ask("Username", partial(users.parse_new_username, self.connection))
        password = ask_new_password("Password", username)
        role = ask_choice("Role", tuple(Role), Default(Role.ADMIN if is_first else Role.USER))
        approval = None
        if users.needs_approval(self.connection, role):
            print(f"An admin has to approve a new {role}.")
            approval = (ask("Admin username", str), ask("Admin password", str, read=read_password))
        users.register(self.connection, username, password, role, approval)
        print(f"User {username} registered as {role}.")

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

    MENU: ClassVar[Sequence[Option["StartScreen"]]] = (
        Option(1, "Register", register),
        Option(2, "Log in", log_in, saves=False),
        Option(0, "Exit", Screen.go_back),
    )


# Starting and ending


def parse_arguments(arguments: Sequence[str]) -> None:
    """Answer --help and --version with exit code 0 and anything else with a usage line and 2."""
    import argparse

    parser = argparse.ArgumentParser(
        prog="main.py",
        allow_abbrev=False,
        description="Work orders of an IT department: start it without arguments and choose from numbered menus.",
        epilog="WORK_ORDER_DB names a database file other than work_order.db beside main.py.",
    )
    parser.add_argument("--version", action="version", version=f"IT Work Order Management System {VERSION}")
    parser.parse_args(arguments)


def main(arguments: Sequence[str]) -> int:
    """Run the program and return its exit code: 1 if the database cannot be used."""
    if arguments:
        parse_arguments(arguments)
    prepare_terminal()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    ending = Ending()
    for number in ENDING_SIGNALS:
        signal.signal(number, ending)
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
        sys.stdout.flush()
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 0
    except OSError:  # nobody can read what we print: a closed pipe or terminal, a full disk
        code = 1
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
