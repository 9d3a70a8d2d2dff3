"""What the tests share: a temporary database, people to act in it, and the real program to talk to."""

import contextlib
import functools
import os
import re
import select
import signal
import subprocess
import sys
import tempfile
import unittest
from datetime import timedelta
from pathlib import Path
from typing import Any, Dict, List, NamedTuple, Optional, Sequence, Tuple, Type, TypeVar

try:
    import pty
except ImportError:  # Windows
    pty = None  # type: ignore[assignment]

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import database  # noqa: E402
import main  # noqa: E402
import users  # noqa: E402
import work_order  # noqa: E402
from users import Role, Session  # noqa: E402
from work_order import Draft, Field, Query, Status, WorkOrder  # noqa: E402

V = TypeVar("V")

PASSWORD = "battery horse 9"
PATIENCE_SECONDS = 60

# In memory where there is such a folder: no test pulls the plug, and a flush of the disk takes longer than most tests.
if os.access("/dev/shm", os.W_OK):
    tempfile.tempdir = "/dev/shm"

# Tests make many accounts and log in often; their passwords guard nothing.
users.SCRYPT_LOG_N = 4
_CHEAP = f"""
import pathlib, runpy, sys
sys.path.insert(0, {str(ROOT)!r})
import database, users
users.SCRYPT_LOG_N = 4
database.BUSY_SECONDS = int(sys.argv[1])
del sys.argv[:2]
# By its name, so that it is not compiled each time.
runpy.run_module(pathlib.Path(sys.argv[0]).stem, run_name="__main__", alter_sys=True)
"""

needs_terminal = unittest.skipUnless(pty, "this system has no pseudo-terminals")


class Ended(NamedTuple):
    output: str
    code: int


def _numbers_by_label() -> Dict[str, str]:
    """Return the number that an option with each label has on most screens."""
    numbers: Dict[str, List[str]] = {}
    for screen in _subclasses(main.Screen):
        for option in screen.options_by_number().values():
            numbers.setdefault(option.label, []).append(str(option.number))
    return {label: max(given, key=given.count) for label, given in numbers.items()}


def _subclasses(screen: Type[main.Screen]) -> List[Type[main.Screen]]:
    return [each for child in screen.__subclasses__() for each in (child, *_subclasses(child))]


NUMBERS = _numbers_by_label()


def typed(answer: object) -> str:
    """Return what a person types for an answer: for the label of a menu's option its number."""
    return NUMBERS.get(str(answer), str(answer))


def lines(*answers: object) -> str:
    """Return what is typed for the answers, a line each; a label stands for its number."""
    return "".join(f"{typed(answer)}\n" for answer in answers)


@functools.cache
def _database_with_people() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "people.db"
        connection = database.connect(path, create=True)
        people = (("anna", Role.ADMIN), ("max", Role.MANAGER), ("uma", Role.USER), ("ugo", Role.USER))
        for username, role in people:
            users.register(connection, username, PASSWORD, role, ("anna", PASSWORD) if role is Role.MANAGER else None)
            users.log_in(connection, username, PASSWORD)
        connection.close()
        return path.read_bytes()


class FolderTestCase(unittest.TestCase):
    """A test with an empty folder of its own, and in it the path of a database that is not there yet."""

    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)
        self.path = self.folder / "test.db"


class DatabaseTestCase(FolderTestCase):
    """A test with a database of its own, where anna is an admin, max a manager, uma and ugo are users."""

    def setUp(self) -> None:
        super().setUp()
        self.use(_database_with_people())

    def use(self, content: bytes) -> None:
        """Act from now on in a database with this content."""
        self.path.write_bytes(content)
        self.connection = database.connect(self.path)
        self.connection.execute("PRAGMA synchronous = OFF")  # no test of this process pulls the plug
        self.addCleanup(self.connection.close)
        self.anna, self.max, self.uma, self.ugo = (Session(self.connection, number, 1) for number in (1, 2, 3, 4))

    def session(self, username: str, role: Role, approval: Optional[Tuple[str, str]] = None) -> Session:
        users.register(self.connection, username, PASSWORD, role, approval)
        return users.log_in(self.connection, username, PASSWORD)

    def create(self, session: Session, title: str = "Printer jams", description: str = "", **others: Any) -> WorkOrder:
        return self.get(session, work_order.create(session, Draft(title, description, **others)))

    def change(self, session: Session, work_order_id: int, field: "Field[V]", value: V, note: str = "") -> WorkOrder:
        """Change a field of the work order as it stands now, and return it as it is then."""
        work_order.change(session, self.get(session, work_order_id), field, value, note)
        return self.get(session, work_order_id)

    def change_status(self, session: Session, work_order_id: int, status: Status, note: str = "") -> WorkOrder:
        return self.change(session, work_order_id, work_order.STATUS, status, note)

    def get(self, session: Session, work_order_id: int) -> WorkOrder:
        return work_order.get(session, work_order_id).work_order

    def run_as(self, username: str, *answers: object, **changes: str) -> str:
        """Run the program, log in, give the answers up to the end of input, and return what was printed.

        An answer that is the label of a menu's option stands for its number.
        """
        answered = ("Log in", username, PASSWORD, *answers)
        return run(self.path, *answered, arguments=(), program=ROOT / "main.py", **changes).output

    def talk(
        self, size: Optional[Tuple[int, int]] = None, busy_seconds: int = database.BUSY_SECONDS, **changes: str
    ) -> "Conversation":
        """Start the program, over pipes or in a terminal of that size; the test's end is its end."""
        conversation = Conversation(command(busy_seconds=busy_seconds), environment(self.path, **changes), size)
        self.addCleanup(conversation.close)
        return conversation

    def ids(self, session: Session, query: Query = Query()) -> List[int]:
        """Return the ids of the whole list that the person sees, in its order."""
        return [found.id for found in work_order.find(session, query, None, 1000).work_orders]

    def pass_time(self, **elapsed: float) -> None:
        """Make everything that has happened to the work orders older, as if the time had passed since."""
        seconds = -int(timedelta(**elapsed).total_seconds())
        trigger = "history_is_never_changed"
        ((sql,),) = self.rows("SELECT sql FROM sqlite_master WHERE name = ?", trigger)
        with database.transaction(self.connection):
            self.connection.execute(f"DROP TRIGGER {trigger}")
            for table, columns in (
                ("work_order_history", ("changed_at",)),
                ("work_orders", ("created_at", "updated_at", "resolved_at", "due_at", "deleted_at")),
            ):
                older = (f"{name} = strftime('%Y-%m-%dT%H:%M:%S+00:00', {name}, :elapsed)" for name in columns)
                self.connection.execute(f"UPDATE {table} SET {', '.join(older)}", {"elapsed": f"{seconds} seconds"})
            self.connection.execute(str(sql))
            for (number,) in self.rows("SELECT id FROM work_orders"):
                database.refresh_derived(self.connection, int(str(number)))

    def rows(self, sql: str, *values: object) -> List[Tuple[object, ...]]:
        return [tuple(row) for row in self.connection.execute(sql, values)]


def environment(path: Optional[Path], **changes: str) -> Dict[str, str]:
    """Return an environment in which the program uses the database at `path`, and nothing of the tester's."""
    ours = {"PATH": os.environ["PATH"], "LANG": "C.UTF-8", "TERM": "xterm", "TZ": "UTC"}
    if "SYSTEMROOT" in os.environ:
        ours["SYSTEMROOT"] = os.environ["SYSTEMROOT"]
    if path:
        ours["WORK_ORDER_DB"] = str(path)
    return {**ours, **changes}


def run(
    path: Path, *answers: object, arguments: Sequence[str] = (), program: Path = ROOT / "main.py", **changes: str
) -> Ended:
    """Run the program with all answers in its standard input; a label stands for its number."""
    return run_command([*command(program), *arguments], lines(*answers).encode(), environment(path, **changes))


def command(program: Path = ROOT / "main.py", busy_seconds: int = database.BUSY_SECONDS) -> List[str]:
    """Return the command that runs the real program, but for the cost of its password hashes and its patience."""
    return [sys.executable, "-c", _CHEAP, str(busy_seconds), str(program)]


def run_command(command: Sequence[str], answers: bytes, variables: Dict[str, str]) -> Ended:
    """Run any command with these bytes in its standard input and these variables in its environment."""
    done = subprocess.run(
        command,
        input=answers,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=variables,
        timeout=PATIENCE_SECONDS,
        check=False,
    )
    return Ended(done.stdout.decode(errors="replace"), done.returncode)


def plain(text: str) -> str:
    """Return what a terminal printed without its escape sequences."""
    return re.sub(r"\x1b\[[?0-9;]*[A-Za-z]", "", text).replace("\r", "")


class Conversation:
    """The running program, over pipes, or over a pseudo-terminal of some columns and lines."""

    def __init__(self, command: List[str], variables: Dict[str, str], size: Optional[Tuple[int, int]] = None) -> None:
        self._unread = ""
        if size:
            self._start_in_terminal(command, variables, size)
        else:
            self._start_with_pipes(command, variables)

    def _start_with_pipes(self, command: List[str], variables: Dict[str, str]) -> None:
        from_us, self._input = os.pipe()
        self._output, to_us = os.pipe()
        self.process = subprocess.Popen(command, stdin=from_us, stdout=to_us, stderr=to_us, env=variables)
        os.close(from_us)
        os.close(to_us)

    def _start_in_terminal(self, command: List[str], variables: Dict[str, str], size: Tuple[int, int]) -> None:
        import fcntl
        import struct
        import termios

        self._input, terminal = pty.openpty()
        self._output = self._input
        columns, lines = size
        fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
        # The terminal has to be the controlling one, or its Ctrl-C and hang-up would reach nobody.
        attach = f"import fcntl, os, sys; fcntl.ioctl(0, {termios.TIOCSCTTY}, 0); os.execv(sys.argv[1], sys.argv[1:])"
        self.process = subprocess.Popen(
            [sys.executable, "-c", attach, *command],
            stdin=terminal,
            stdout=terminal,
            stderr=terminal,
            env=variables,
            start_new_session=True,
        )
        os.close(terminal)

    def expect(self, text: str) -> str:
        """Wait until the program has printed the text; return everything new up to its end."""
        while text not in self._unread:
            piece = self._receive()
            if not piece:
                raise AssertionError(f"The program ended before {text!r}:\n{self._unread}")
            self._unread += piece
        end = self._unread.index(text) + len(text)
        seen, self._unread = self._unread[:end], self._unread[end:]
        return seen

    def answer(self, *prompts_and_answers: str) -> str:
        """Wait for each prompt and give the answer after it; return all that was printed up to the last prompt."""
        seen = ""
        for prompt, answer in zip(prompts_and_answers[::2], prompts_and_answers[1::2]):
            seen += self.expect(prompt)
            self.send(f"{typed(answer)}\n")
        return seen

    def log_in(self, username: str) -> None:
        self.choose("Log in")
        self.answer("Username: ", username, "Password: ", PASSWORD)

    def choose(self, *labels: str) -> str:
        """Choose from one menu after the other, with its number or the ID of a work order."""
        seen = ""
        for label in labels:
            seen += self.expect("Choose an option")
            seen += self.answer(": ", label)
        return seen

    def send(self, text: str) -> None:
        os.write(self._input, text.encode("utf-8", "surrogateescape"))

    def interrupt(self) -> None:
        """Do what Ctrl-C does."""
        self.process.send_signal(signal.SIGINT)

    def end(self) -> Ended:
        """End the program's input, wait, and return the rest of what it printed and its exit code."""
        if self._input == self._output:
            with contextlib.suppress(OSError):  # it may have ended already
                self.send("\x04")
        else:
            os.close(self._input)
            self._input = self._output
        while True:
            piece = self._receive()
            if not piece:
                return Ended(self._unread, self.process.wait(PATIENCE_SECONDS))
            self._unread += piece

    def close(self) -> None:
        """Kill the program, if it still runs, and leave nothing of it open."""
        self.process.kill()
        self.process.wait()
        for descriptor in {self._input, self._output}:
            os.close(descriptor)

    def _receive(self) -> str:
        ready, _, _ = select.select([self._output], [], [], PATIENCE_SECONDS)
        if not ready:
            self.process.kill()
            raise AssertionError(f"The program stood still after:\n{self._unread}")
        try:
            return os.read(self._output, 65536).decode("utf-8", "replace").replace("\r\n", "\n")
        except OSError:  # how Linux tells that nobody holds the terminal any more
            return ""
