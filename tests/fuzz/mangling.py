"""Damaged input for parsers, and what they may do with it.

Belongs here: strategies that damage small valid files, limits, and the one check of an outcome.
Doesn't: parsers, seeds.

Random text rarely gets past the first line of a parser. A valid file with a few bytes, lines or
words changed does.
"""

import os
import re
import signal
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import FrameType
from typing import Any, NoReturn

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from contimg_resources.core.errors import ContimgError
from contimg_resources.core.plain_text import plain

#: CPU time of one example, seconds: what takes longer hangs.
LIMIT_S = 20.0
_MESSAGE_CHARS = 20_000

#: Inputs that ran, by test, and those that were refused.
RAN: Counter[str] = Counter()
REFUSED: Counter[str] = Counter()

#: What parsers trip over, as text.
WORDS = (
    *("", " ", "-", "--", "nan", "NaN", "inf", "-inf", "1e400", "-1e400", "1e-400", "0", "-0"),
    *("1", "-1", "90.0001", "360", "9" * 400, "1" * 30 + "." + "1" * 30, "0x10", "1_0", "1,5"),
    *(
        "٣",
        "½",
        "\u22121",
        "1d3",
        "None",
        "null",
        "true",
        "[]",
        "{}",
        '"',
        "''",
        "\\",
        "#",
        "%",
        "\0",
    ),
    *("\x1b[31m", "\x1b]52;c;AA==\x07", "\u202e", "\ufeff", "\ud800", "\n", "\r\n", "\t", ";", "|"),
    *(
        "<",
        ">",
        "&amp;",
        "&#0;",
        "]]>",
        "*",
        "1234567890",
        "2025-02-30",
        "0000-00-00",
        "9999-12-31",
    ),
    *("2016-12-31T23:59:60", "24:00:00", "12:60:60", "-00:00:00.0", "99999.99999", "1858-11-17"),
    *("deg", "Jy", "mJy/beam", "GHz", "1/0", "10^400 Jy", "Jy**99999", "J2000", "B1e9", "galactic"),
    *(
        "../../etc/passwd",
        "/",
        "a" * 300,
        "名前",
        "e\u0301" * 40,
        "TDB",
        "UTC",
        "1980",
        "JD-2450000",
    ),
)
WORD = st.one_of(
    st.sampled_from(WORDS),
    st.floats().map(repr),
    st.integers().map(str),
    st.text(max_size=12),
)
#: Text as people, and those who mean ill, write it.
TEXT = st.one_of(WORD, st.lists(WORD, max_size=6).map(" ".join), st.text(max_size=60))

#: What Python says of an accident, which tells a user nothing.
_ACCIDENT = re.compile(
    r"unexpected \w*Error|object has no attribute|NoneType|not supported between|"
    r"unsupported operand|object is not|takes \d+ positional"
)
_PIECE = re.compile(rb"[^\s,;|<>=\"']+")
Edit = Callable[[bytes], bytes]


def fuzzed(n_examples: int, n_steps: int = 30) -> settings:
    """Return hypothesis settings of a test or a model; CONTIMG_FUZZ_EXAMPLES sets the number."""
    return settings(
        stateful_step_count=n_steps,
        max_examples=int(os.environ.get("CONTIMG_FUZZ_EXAMPLES", n_examples)),
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )


def _place(content: bytes, where: float) -> int:
    return min(int(where * (len(content) + 1)), len(content))


def _bytes_changed(where: float, length: int, new: bytes) -> Edit:
    def edit(content: bytes) -> bytes:
        at = _place(content, where)
        return content[:at] + new + content[at + length :]

    return edit


def _bit_flipped(where: float, bit: int) -> Edit:
    def edit(content: bytes) -> bytes:
        if not content:
            return content
        at = min(_place(content, where), len(content) - 1)
        return content[:at] + bytes([content[at] ^ (1 << bit)]) + content[at + 1 :]

    return edit


def _cut(where: float) -> Edit:
    return lambda content: content[: _place(content, where)]


def _repeated(where: float, length: int, times: int) -> Edit:
    def edit(content: bytes) -> bytes:
        at = _place(content, where)
        piece = content[at : at + length]
        return content[:at] + piece * times + content[at + length :]

    return edit


def _word_changed(where: float, new: str) -> Edit:
    def edit(content: bytes) -> bytes:
        found = [m.span() for m in _PIECE.finditer(content)]
        if not found:
            return content
        start, end = found[min(int(where * len(found)), len(found) - 1)]
        return content[:start] + new.encode("utf-8", "surrogatepass") + content[end:]

    return edit


def _lines_changed(where: float, other: float, how: str) -> Edit:
    def edit(content: bytes) -> bytes:
        lines = content.split(b"\n")
        i, j = (min(int(w * len(lines)), len(lines) - 1) for w in (where, other))
        if how == "swap":
            lines[i], lines[j] = lines[j], lines[i]
        elif how == "drop":
            del lines[i]
        else:
            lines.insert(i, lines[j])
        return b"\n".join(lines)

    return edit


_WHERE = st.floats(0, 1, width=32)
BYTE_EDITS = st.one_of(
    st.builds(_bytes_changed, _WHERE, st.integers(0, 8), st.binary(max_size=8)),
    st.builds(_bit_flipped, _WHERE, st.integers(0, 7)),
    st.builds(_cut, _WHERE),
    st.builds(_repeated, _WHERE, st.integers(1, 200), st.integers(0, 4)),
)
TEXT_EDITS = st.one_of(
    st.builds(_word_changed, _WHERE, WORD),
    st.builds(_word_changed, _WHERE, WORD),
    st.builds(_lines_changed, _WHERE, _WHERE, st.sampled_from(("swap", "drop", "copy"))),
    BYTE_EDITS,
)


def mangled(
    seeds: Mapping[str, bytes], edits: st.SearchStrategy[Edit] = TEXT_EDITS, n_edits: int = 4
) -> st.SearchStrategy[tuple[str, bytes]]:
    """Return a strategy of (name of a seed, its content with up to `n_edits` changes)."""

    def changed(name: str, some: list[Edit]) -> tuple[str, bytes]:
        content = seeds[name]
        for edit in some:
            content = edit(content)
        return name, content

    return st.builds(
        changed, st.sampled_from(sorted(seeds)), st.lists(edits, min_size=0, max_size=n_edits)
    )


def _hangs(*_: FrameType | Any) -> NoReturn:
    raise AssertionError(f"it took more than {LIMIT_S:g} s of CPU time")


def counted() -> str:
    """Count an input of the test that runs now, and return its name."""
    test = os.environ.get("PYTEST_CURRENT_TEST", "").partition(" ")[0].partition("::")[2]
    RAN[test] += 1
    return test


@contextmanager
def only_ours(*named: object, ours: type[ContimgError] = ContimgError) -> Iterator[None]:
    """Let a parser succeed or raise an error of ours that is fit to be shown; nothing else.

    Parameters
    ----------
    named : object
        What a message must name.
    ours : type of ContimgError
        Which errors.
    """
    test = counted()
    before = signal.signal(signal.SIGPROF, _hangs)
    signal.setitimer(signal.ITIMER_PROF, LIMIT_S)
    try:
        yield
    except ours as error:
        REFUSED[test] += 1
        check_message(error.message, *named)
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)


def check_message(message: str, *named: object) -> None:
    """Fail if a message isn't fit to be shown: control characters, endless, or of an accident."""
    assert message.strip()
    assert plain(message) == message
    assert len(message) < _MESSAGE_CHARS
    assert not _ACCIDENT.search(message), message
    for name in named:
        assert str(name) in message, f"{name} isn't named: {message}"
