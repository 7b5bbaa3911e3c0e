"""Who uses the dashboard, and whether a request is really theirs.

Belongs here: names from a reverse proxy's header, from tokens, or of this computer's user;
sessions; refusing requests that another site's page makes; the log of what people did. Doesn't:
what people do.
"""

import hashlib
import hmac
import logging
import secrets
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from starlette.requests import Request

from contimg_resources.core.errors import ConfigurationError
from contimg_resources.core.plain_text import plain_line

#: Cookie of a session.
COOKIE = "contimg_session"
#: Header that the dashboard's own page sends: other sites' pages can't, without permission.
HEADER = "x-contimg"

#: Records what people did; see `log_acts`.
log = logging.getLogger("contimg.vetting")

_SESSION_S = 12 * 3600.0
#: Maximum number of wrong tokens from an address, and in total, within `_WINDOW_S` seconds.
_MOST_WRONG, _MOST_WRONG_IN_TOTAL, _WINDOW_S = 5, 50, 60.0
_MOST_SESSIONS = 10_000
_LONGEST_NAME = 80
#: Names of this computer that no other computer reaches.
LOOPBACK = ("127.0.0.1", "localhost", "::1")


class TooManyAttempts(Exception):
    """Too many wrong tokens: the next one is accepted later."""


@dataclass
class People:
    """Tells who makes a request.

    Of the three ways the first that is set counts.
    """

    #: Header in which a reverse proxy passes the name; only the proxy may reach the server then.
    header: str | None = None
    tokens: Mapping[str, str] = field(default_factory=dict)  #: Names by SHA-256 of their token.
    #: Name of this computer's user, for a server that only this computer reaches.
    local_user: str | None = None
    _sessions: dict[str, tuple[str, float]] = field(default_factory=dict)
    _wrong: dict[str, deque[float]] = field(default_factory=dict)

    @property
    def has_tokens(self) -> bool:
        """Whether people sign in with a token."""
        return self.header is None and bool(self.tokens)

    def name_of(self, request: Request) -> str | None:
        """Return the name of the person; None if it isn't known."""
        if self.header is not None:
            return plain_line(request.headers.get(self.header, ""))[:_LONGEST_NAME] or None
        if self.tokens:
            name, until_s = self._sessions.get(request.cookies.get(COOKIE, ""), ("", 0.0))
            return name if time.monotonic() < until_s else None
        return self.local_user if _is_of_loopback(request) else None

    def sign_in(self, token: str, address: str) -> str | None:
        """Return the cookie of a new session; None if the token is wrong.

        Raises
        ------
        TooManyAttempts
            After several wrong tokens.
        """
        now_s = time.monotonic()
        mine = self._recent(address, now_s)
        total = sum(len(self._recent(a, now_s)) for a in list(self._wrong))
        if len(mine) >= _MOST_WRONG or total >= _MOST_WRONG_IN_TOTAL:
            raise TooManyAttempts
        digest = hashlib.sha256(token.encode(errors="surrogatepass")).hexdigest()
        # Of all, so that the time of the answer says nothing about any.
        names = [name for known, name in self.tokens.items() if hmac.compare_digest(known, digest)]
        if not names:
            self._wrong.setdefault(address, deque()).append(now_s)
            return None
        self._sessions = {c: s for c, s in self._sessions.items() if s[1] > now_s}
        if len(self._sessions) >= _MOST_SESSIONS:
            raise TooManyAttempts
        cookie = secrets.token_urlsafe(32)
        self._sessions[cookie] = (names[0], now_s + _SESSION_S)
        return cookie

    def sign_out(self, request: Request) -> None:
        """End the session of a request."""
        self._sessions.pop(request.cookies.get(COOKIE, ""), None)

    def _recent(self, address: str, now_s: float) -> deque[float]:
        found = self._wrong.get(address, deque())
        while found and found[0] < now_s - _WINDOW_S:
            found.popleft()
        if not found:
            self._wrong.pop(address, None)
        return found


def log_acts(directory: Path) -> None:
    """Record what people do, and sign-ins, in ``vetting.log`` of a directory."""
    directory.mkdir(parents=True, exist_ok=True)
    handler = logging.FileHandler(directory / "vetting.log")
    handler.setFormatter(logging.Formatter("%(asctime)s %(message)s"))
    log.addHandler(handler)
    log.setLevel(logging.INFO)


def is_of_this_page(request: Request) -> bool:
    """Return whether the dashboard's own page makes a request, not one of another site."""
    if HEADER not in request.headers:
        return False
    origin = request.headers.get("origin")
    # Behind a proxy the scheme may be another one.
    return origin is None or origin.partition("://")[2] == request.headers.get("host", "")


def read_tokens(file: Path) -> dict[str, str]:
    """Read names and SHA-256 of their tokens, a line ``NAME SHA256`` each; # begins a comment.

    Raises
    ------
    ConfigurationError
        If the file can't be read, others may read it, or a line is something else.
    """
    try:
        mode, text = file.stat().st_mode, file.read_text()
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"the tokens {file} can't be read: {error}") from error
    if mode & 0o007:
        raise ConfigurationError(f"everybody can read the tokens {file}: chmod 600 {file}")
    found = {}
    for number, line in enumerate(text.splitlines(), 1):
        words = line.partition("#")[0].split()
        if not words:
            continue
        digest = words[-1].lower()
        if len(words) < 2 or len(digest) != 64 or set(digest) - set("0123456789abcdef"):
            raise ConfigurationError(
                f"{file}, line {number}: expected a name and the SHA-256 of a token (`printf %s "
                "TOKEN | sha256sum`)"
            )
        found[digest] = plain_line(" ".join(words[:-1]))[:_LONGEST_NAME]
    return found


def _is_of_loopback(request: Request) -> bool:
    """Return whether the address in the browser is this computer's.

    Another site's name may lead to this server: its pages must not act for this computer's user.
    """
    return request.url.hostname in LOOPBACK
