r"""No name of others reaches a terminal, log, mail or message as a command."""

import io
import json
import logging
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from contimg_resources.alerts.channels import Mail
from contimg_resources.cli import console, images
from contimg_resources.cli.main import run
from contimg_resources.core.errors import ContimgError, in_words
from contimg_resources.core.plain_text import PlainStream, keep_logs_plain, plain, plain_line
from contimg_resources.observations.scanning import PassedOver, say_passed_over
from contimg_resources.settings import AlertSettings

#: Clears the screen; writes into the clipboard; a C1 sequence; text from right to left; a link.
HOSTILE = "A\x1b[2J\x1b]52;c;ZXZpbA==\x07\x9b31m\u202egpj.exe\u2066\x7f\r\b\x00\udcffB"
SHOWN = r"A\x1b[2J\x1b]52;c;ZXZpbA==\x07\x9b31m\u202egpj.exe\u2066\x7f\x0d\x08\x00\udcffB"


def harmless(text: str) -> bool:
    return not set(text) & set("\x1b\x07\x9b\u202e\u2066\x7f\r\b\x00\udcff")


def test_what_a_terminal_obeys_is_shown_and_what_people_write_stays() -> None:
    assert plain(HOSTILE) == SHOWN
    kind = "Zwicky é 3C 48 β 北\tµJy\n"
    assert plain(kind) == kind
    assert plain_line("a\n  b\r\nc") == "a b c"


def test_errors_of_ours_and_of_libraries_are_plain() -> None:
    error = ContimgError(f"antenna {HOSTILE}")
    assert (str(error), error.message) == (f"antenna {SHOWN}",) * 2
    assert in_words(ValueError(HOSTILE)).startswith(r"unexpected ValueError: A\x1b[2J")
    assert harmless(in_words(OSError(2, "No such file", HOSTILE)))


def test_everything_that_commands_print_is_plain(capsys: Any) -> None:
    console.remark(HOSTILE)
    console.print_lines([HOSTILE])
    console.print_table(("name",), [(HOSTILE,)], title=None)
    console.print_error(ValueError(HOSTILE), as_json=False)
    console.print_json({"name": HOSTILE.replace("\udcff", "")})
    with console.progress(HOSTILE) as say:
        say(HOSTILE, None)
    told = capsys.readouterr()
    assert harmless(told.out.replace(r"\u", ""))
    assert told.out.count(r"\x1b]52;c;") == 2
    assert r"\u001b]52;c;" in told.out
    assert harmless(told.err)
    assert told.err.count(r"\x1b]52;c;") == 4


def test_usage_errors_show_what_was_typed_or_globbed(capsys: Any) -> None:
    assert run(["images", "add", "/nowhere/\x1b]0;owned\x07.fits", "--\x1b[2Jx"]) == 2
    said = capsys.readouterr().err
    assert harmless(said)
    assert r"--\x1b[2Jx" in said


def test_a_scan_shows_names_from_an_ms(capsys: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    observation = SimpleNamespace(
        key="61041.00347",
        path=Path("/in/a.ms"),
        notes=(f"telescope {HOSTILE} isn't known",),
        sub_bands=(),
        calibrators=(SimpleNamespace(name=HOSTILE),),
    )
    arrived = SimpleNamespace(observation=observation, usable=True, is_calibrator=True)
    seen = SimpleNamespace(rejected=(), arrivals=(arrived,))
    monkeypatch.setattr("contimg_resources.steps.watching.scan_directory", lambda *_, **__: seen)
    images._look(SimpleNamespace(), SimpleNamespace())  # type: ignore[arg-type]
    said = capsys.readouterr().err
    assert harmless(said)
    assert rf"calibrator {SHOWN}" in said
    lines = say_passed_over([PassedOver(HOSTILE, "other files", "is a file")])
    assert lines == [f"{HOSTILE!a} is a file"]
    assert harmless(lines[0])


def test_a_stream_lets_the_colours_of_a_terminal_through_and_nothing_else() -> None:
    terminal, pipe = io.StringIO(), io.StringIO()
    terminal.isatty = lambda: True  # type: ignore[method-assign]
    for stream in (terminal, pipe):
        PlainStream(stream).write("\x1b[1;31mcontimg:\x1b[0m \x1b[2J\x1b]0;x\x07")
    assert terminal.getvalue() == "\x1b[1;31mcontimg:\x1b[0m " + r"\x1b[2J\x1b]0;x\x07"
    assert pipe.getvalue() == r"\x1b[1;31mcontimg:\x1b[0m \x1b[2J\x1b]0;x\x07"


def test_log_records_are_plain_whoever_logs() -> None:
    before = logging.getLogRecordFactory()
    said = io.StringIO()
    handler = logging.StreamHandler(said)
    logger = logging.getLogger("a library")
    logger.addHandler(handler)
    try:
        keep_logs_plain()
        logger.error("field %s", HOSTILE)
        try:
            raise ValueError(HOSTILE)
        except ValueError:
            logger.exception("it failed")
    finally:
        logger.removeHandler(handler)
        logging.setLogRecordFactory(before)
    assert harmless(said.getvalue())
    assert f"field {SHOWN}\n" in said.getvalue()
    assert r"ValueError: A\x1b[2J" in said.getvalue()


def test_a_mail_is_plain_in_its_header_and_its_text() -> None:
    mail = Mail(AlertSettings(email_to=["a@example.org"], smtp_host="localhost"))
    text = HOSTILE.replace("\udcff", "")
    message = mail._message(f"{text}\nBcc: b@example.org", text, "k")
    assert message["Bcc"] is None
    assert harmless(str(message["Subject"]))
    assert "egpj.exe" in str(message["Subject"])
    assert harmless(message.get_content())
    assert "egpj.exe" in message.get_content()


def test_json_holds_names_escaped(capsys: Any) -> None:
    console.print_json({"name": "A\x1b[2J\u202e"})
    told = capsys.readouterr().out
    assert harmless(told)
    assert json.loads(told) == {"name": "A\x1b[2J\u202e"}, "nothing is lost to a program"


def test_passwords_in_addresses_reach_no_log(caplog: pytest.LogCaptureFixture) -> None:
    log = logging.getLogger("tests.passwords")
    before = logging.getLogRecordFactory()
    keep_logs_plain()
    try:
        raise ConnectionError("rediss://:open%20sesame@broker:6379/0 refused")
    except ConnectionError:
        log.exception("%s and %s", "postgresql://contimg:s@secret@db/contimg", "http://db:80/a@b")
    finally:
        logging.setLogRecordFactory(before)
    assert "postgresql://contimg:***@db/contimg and http://db:80/a@b" in caplog.text
    assert "rediss://:***@broker:6379/0 refused" in caplog.text
    assert not any(word in caplog.text for word in ("secret@", "sesame"))


def test_logs_are_json_lines_when_asked(tmp_path: Path) -> None:
    """Also what ends the process, and an error that Dagster would write without its traceback."""
    program = tmp_path / "program.py"
    program.write_text(
        "import logging\n"
        "from contimg_resources.cli.console import remark, write_logs\n"
        "write_logs('json')\n"
        "remark('is up: \\x1b[2J')\n"
        "logging.getLogger('a.library').warning('two\\nlines of %s', 'redis://:secret@b/0')\n"
        "from dagster._utils.log import configure_loggers\n"
        "configure_loggers(formatter='json')\n"
        "try: raise ValueError('redis://:secret@b/0')\n"
        "except ValueError: logging.getLogger('dagster.daemon').exception('it failed')\n"
        "print('printed', 5)\n"
        "import warnings; warnings.warn('beware')\n"
        "raise RuntimeError('unexpected')\n"
    )
    done = subprocess.run(
        [sys.executable, str(program)], capture_output=True, text=True, check=False
    )
    dagster, printed, warned = (json.loads(line) for line in done.stdout.splitlines())
    assert (dagster["logger"], dagster["event"]) == ("dagster.daemon", "it failed")
    assert dagster["exception"].endswith("ValueError: redis://:***@b/0")
    assert "secret" not in done.stdout + done.stderr
    assert (printed["logger"], printed["event"]) == ("stdout", "printed 5")
    up, library, end = (json.loads(line) for line in done.stderr.splitlines())
    assert "UserWarning: beware" in warned["event"]
    assert (up["level"], up["event"]) == ("info", r"is up: \x1b[2J")
    assert (library["level"], library["logger"]) == ("warning", "a.library")
    assert library["event"] == "two\nlines of redis://:***@b/0"
    assert end["level"] == "critical"
    assert end["exception"].endswith("RuntimeError: unexpected")
    assert "Traceback" in end["exception"]
