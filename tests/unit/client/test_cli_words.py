"""What the command line says, and with which exit code; without a server."""

from __future__ import annotations

import inspect
import json
import re
import signal
import subprocess
import sys
from datetime import UTC, datetime, timedelta

import pytest
from ledgerlift_client import errors
from ledgerlift_client._models import Count
from ledgerlift_client._tls import TlsFiles
from ledgerlift_client.cli import exit_codes
from ledgerlift_client.cli._command_lines import command_line
from ledgerlift_client.cli._events import interrupted_at_its_end
from ledgerlift_client.cli._report import Report
from ledgerlift_client.cli._session import Session
from ledgerlift_client.cli._words import aligned, as_plain, safe, sentence, span
from ledgerlift_client.helpers import human_size

from tests.support.programs import run

CODES = {name: value for name, value in vars(exit_codes).items() if name.isupper() and isinstance(value, int)}


def test_exit_codes_are_distinct_and_documented() -> None:
    """Each has a line in the module's own text."""
    assert len(set(CODES.values())) == len(CODES)
    documented = {int(line.split()[0]) for line in (exit_codes.__doc__ or "").splitlines() if line[4:5].isdigit()}
    assert documented == set(CODES.values())


def test_every_error_has_an_exit_code_of_its_kind() -> None:
    """Only what nobody can explain is called a defect."""
    tree = [kind for _, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, Exception)]
    defects = {kind.__name__ for kind in tree if exit_codes.of(kind("x")) == exit_codes.DEFECT}
    assert defects == {"LedgerLiftError", "ServerError", "Unimplemented", "OffsetGap"}


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.DocumentNotFound("x"), 3),
        (errors.KeyTaken("x"), 4),
        (errors.DocumentTooLarge("x"), 5),
        (errors.ChecksumMismatch("x"), 6),
        (errors.SourceChanged("x"), 6),
        (errors.CircuitOpen("x"), 7),
        (errors.DeadlineExceeded("x"), 7),
        (errors.Unauthenticated("x"), 8),
        (FileNotFoundError("x"), 9),
        (KeyboardInterrupt(), 130),
        (ZeroDivisionError(), 1),
    ],
)
def test_exit_codes_tell_what_to_do(error: BaseException, code: int) -> None:
    """Numbers that scripts rely on."""
    assert exit_codes.of(error) == code


def test_a_failure_is_one_sentence_with_what_an_operator_needs() -> None:
    """What, when to come back, why, how often it was tried, and the id that the server's log knows."""
    error = errors.CircuitOpen(
        "the database is away.", reason="CIRCUIT_OPEN", request_id="r1", retry_after=12.0, attempts=3
    )
    said = sentence(error)
    assert said == "the database is away; try again in 12 s (CIRCUIT_OPEN after 3 attempts) [request id r1]"


def test_every_wrong_field_is_named() -> None:
    """Not only the first."""
    wrong = [errors.FieldViolation("spec.filename", "is required"), errors.FieldViolation("spec.size", "too small")]
    said = sentence(errors.InvalidArgument("spec.filename: is required (and 1 more)", violations=wrong))
    assert "spec.filename: is required; spec.size: too small" in said


def test_a_file_of_the_systems_is_named_once() -> None:
    """`a: No such file`, in people's order."""
    assert sentence(FileNotFoundError(2, "No such file or directory", "a")) == "a: No such file or directory"


def test_foreign_text_cannot_move_the_cursor() -> None:
    """Escape sequences and line breaks of somebody else's file name stay harmless."""
    assert safe("a\x1b[2Jb\nc\u202ed") == "a\ufffd[2Jb\ufffdc\ufffdd"


def test_results_are_json_that_can_be_read_back(capsys: pytest.CaptureFixture[str]) -> None:
    """Times in ISO 8601, durations in seconds, nested dataclasses as objects."""
    plain = as_plain({"t": datetime(2026, 1, 2, 3, 4, 5, 678000, UTC), "d": timedelta(seconds=1.5), "c": Count(1, 2)})
    assert plain == {"t": "2026-01-02T03:04:05.678Z", "d": 1.5, "c": {"documents": 1, "total_size": 2}}
    report = Report()
    report.as_json = True
    report.result(Count(1, 2), "words", path="p")
    report.failure(errors.KeyTaken("taken", reason="KEY_TAKEN", request_id="r"), about="a.pdf", hint="do this")
    out, err = capsys.readouterr()
    assert json.loads(out) == {"documents": 1, "total_size": 2, "path": "p"}
    told = json.loads(err)["error"]
    assert (told["reason"], told["exit_code"], told["about"], told["hint"]) == ("KEY_TAKEN", 4, "a.pdf", "do this")


def test_the_first_failure_sets_the_exit_code() -> None:
    """What came first is what a script hears of."""
    report = Report()
    report.failure(errors.DocumentNotFound("x"))
    report.failure(errors.KeyTaken("x"))
    assert report.exit_code == exit_codes.NOT_FOUND


@pytest.mark.parametrize(("size", "text"), [(0, "0 B"), (1023, "1023 B"), (1536, "1.5 KiB"), (5 << 40, "5.0 TiB")])
def test_sizes_for_people(size: int, text: str) -> None:
    """In binary units."""
    assert human_size(size) == text


@pytest.mark.parametrize("package", ["click", "rich"])
def test_missing_packages_are_a_sentence(package: str) -> None:
    """A bare install says what to install, not a traceback."""
    code = (
        f"import sys; sys.modules[{package!r}] = None; from ledgerlift_client.cli import main; sys.exit(main(['ls']))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == exit_codes.NOT_INSTALLED
    assert "pip install 'ledgerlift[cli]'" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["upload"], "Missing argument"),
        (["upload", "-"], "--filename is needed"),
        (["upload", "a", "b", "--key", "k"], "--key can be given with one file only"),
        (["upload", "a", "-", "--filename", "x"], "--filename can be given with one file only"),
        (["upload", "a", "-"], "`-` has to be the only file"),
        (["upload", "-", "--filename", "x", "--check-first"], "stdin does not allow"),
        (["upload", "-r", "a", "--key", "k"], "cannot be given with --recursive"),
        (["upload", "a", "--key", "k", "--key-prefix", "p"], "give --key or --key-prefix"),
        (["upload", "a", "--no-keys"], "goes with --recursive"),
        (["upload", "a", "--concurrency", "0"], "--concurrency"),
        (["events", "--cursor", "c"], "--cursor goes with --follow"),
        (["status", "x", "--error", "e"], "go with a new status"),
        (["status", "x", "COMPLETED", "--error", "e"], "--error goes with FAILED only"),
        (["status", "x", "nonsense"], "nonsense"),
        (["uploads"], "Usage:"),
        (["breakers", "reset"], "Missing argument"),
        (["completion", "tcsh"], "tcsh"),
        (["upload", "a", "-m", "nonsense"], "NAME=VALUE"),
        (["upload", "a", "-m", "a=1", "-m", "a=2"], "given twice"),
        (["--target", "nowhere", "ls"], "host:port"),
        (["ls", "--limit", "0"], "--limit"),
        (["nonsense"], "No such command"),
        ([], "Usage:"),
    ],
)
def test_wrong_usage_is_told_before_anything_is_asked(arguments: list[str], said: str) -> None:
    """Exit code 2 and a sentence on stderr."""
    done = run("ledgerlift", *arguments)
    assert (done.returncode, done.stdout) == (exit_codes.USAGE, "")
    assert said in done.stderr


def test_a_command_to_paste_reaches_the_same_server_in_the_same_way() -> None:
    """Target and TLS, quoted for a shell; nothing that is the default."""
    assert command_line(Session(), ["ls"]) == "ledgerlift ls"
    session = Session(target="a:1", tls=TlsFiles(True, "my ca.pem", "c.crt", "c.key"))
    said = "ledgerlift --target a:1 --tls --ca 'my ca.pem' --cert c.crt --key c.key ls"
    assert command_line(session, ["ls"]) == said


@pytest.mark.parametrize("option", ["--target", "--timeout", "--tls", "--ca", "--cert"])
def test_an_option_of_the_whole_command_behind_a_subcommand_is_sent_to_its_place(option: str) -> None:
    """It is a common slip, and "no such option" would be half of the truth."""
    done = run("ledgerlift", "ls", option, "x")
    assert done.returncode == exit_codes.USAGE
    assert f"{option} stands before the command: ledgerlift {option} ... ls" in done.stderr


@pytest.mark.parametrize("group", [(), ("uploads",), ("breakers",)])
def test_a_list_of_commands_says_of_each_what_it_does(group: tuple[str, ...]) -> None:
    """In a whole sentence, on a terminal of 80 columns."""
    listed = run("ledgerlift", *group, "--help").stdout.partition("Commands:\n")[2].partition("\n\n")[0].splitlines()
    assert len(listed) >= 2
    assert all(line.endswith(".") and not line.endswith("..") for line in listed), listed


def test_the_help_of_a_command_leads_to_what_is_about_the_server() -> None:
    """Of a subcommand as well; and a time is shown as one."""
    assert "--target, --tls and --timeout stand before the command" in run("ledgerlift", "ls", "--help").stdout
    assert "--target, --tls and --timeout stand before" in run("ledgerlift", "uploads", "list", "--help").stdout
    assert "2026-11-26T08:30:00, in UTC" in run("ledgerlift", "ls", "--help").stdout


def test_an_option_that_nobody_has_is_none() -> None:
    """Nothing is said of its place."""
    done = run("ledgerlift", "uploads", "list", "--nonsense")
    assert done.returncode == exit_codes.USAGE
    assert "No such option" in done.stderr
    assert "stands before" not in done.stderr


def test_a_wrong_environment_is_named() -> None:
    """The variable, not a field of a class."""
    done = run("ledgerlift", "show", "x", LEDGERLIFT_CALL_TIMEOUT="soon")
    assert done.returncode == exit_codes.USAGE
    assert "LEDGERLIFT_CALL_TIMEOUT" in done.stderr


def test_the_version_is_told() -> None:
    """`ledgerlift --version`."""
    done = run("ledgerlift", "--version")
    assert done.returncode == 0
    assert "ledgerlift" in done.stdout


def test_the_help_names_every_exit_code() -> None:
    """As the module that defines them does."""
    told = run("ledgerlift", "--help").stdout
    numbers = re.findall(r"(\d+)\s", told.partition("Exit codes:")[2])
    assert [int(number) for number in numbers] == sorted(CODES.values())


def test_an_interruption_is_what_the_exit_code_says() -> None:
    """Whatever failed before it: who stopped it knows that it is not complete."""
    report = Report()
    report.failure(errors.DocumentNotFound("x"))
    report.failure(KeyboardInterrupt())
    report.failure(errors.KeyTaken("x"))
    assert report.exit_code == exit_codes.INTERRUPTED


def test_wrong_usage_is_json_too_where_that_is_asked() -> None:
    """Also where the option stands behind what is wrong."""
    done = run("ledgerlift", "ls", "--limit", "0", "--json")
    assert (done.returncode, done.stdout) == (exit_codes.USAGE, "")
    error = json.loads(done.stderr)["error"]
    assert error["exit_code"] == exit_codes.USAGE
    assert "--limit" in error["message"]


def test_nothing_is_imported_that_is_not_needed() -> None:
    """Drawing takes longer to import than most commands take to run; a shell that completes is waiting."""
    code = """if True:
        import sys
        from ledgerlift_client.cli import main
        main(["completion", "zsh"])
        print(*sorted({name.partition(".")[0] for name in sys.modules} & {"rich", "pygments", "markdown_it"}))
    """
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == ""


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.0015, "1.5 ms"),
        (59.94, "59.9 s"),
        (60, "1 min"),
        (12300, "3 h 25 min"),
        (187200, "2 d 4 h"),
        (86400, "1 d"),
    ],
)
def test_times_for_people(seconds: float, text: str) -> None:
    """In the two largest units."""
    assert span(timedelta(seconds=seconds)) == text


def test_values_stand_below_each_other() -> None:
    """Without those that are empty."""
    assert aligned([("a", "1"), ("long", "2"), ("none", "")]) == "a     1\nlong  2"


def interrupted(times: int) -> bool:
    """Ctrl-C so many times in the middle of an entry: whether its end was reached. It has to be heard in any case."""
    ended = False
    try:
        with interrupted_at_its_end():
            for _ in range(times):
                signal.raise_signal(signal.SIGINT)
            ended = True
    except KeyboardInterrupt:
        return ended
    raise AssertionError("nobody heard it")


def test_an_entry_is_told_with_its_cursor_or_not_at_all() -> None:
    """Ctrl-C between an entry and its cursor would have it told twice: it takes effect when both are there."""
    assert interrupted(1)


def test_who_does_not_read_can_be_left_by_a_second_ctrl_c() -> None:
    """The first waits for stdout, which nobody reads any more; the second does not."""
    assert not interrupted(2)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_ctrl_c_before_anything_has_begun_is_no_traceback() -> None:
    """While the command's own modules are still being read, on a machine that is slow."""
    code = """if True:
        import sys
        from ledgerlift_client.cli import main

        class CtrlC:
            def find_spec(self, name, path=None, target=None):
                if name == "ledgerlift_client.cli._app":
                    raise KeyboardInterrupt

        sys.meta_path.insert(0, CtrlC())
        sys.exit(main(["ls"]))
    """
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (exit_codes.INTERRUPTED, "ledgerlift: interrupted\n")
