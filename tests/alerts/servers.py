"""A webhook and a mail server on this machine, which answer as a test tells them."""

import socketserver
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Hook(ThreadingHTTPServer):
    """Keeps what it gets; answers with the next of `answers`, then with 200.

    An answer of 0 is none: it breaks off.
    """

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Posted)
        self.answers: list[int] = []
        self.delay_s = 0.0
        self.bodies: list[bytes] = []
        self.location = ""
        #: Paths that were asked for with GET.
        self.asked: list[str] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/services/SECRET-TOKEN"


class _Posted(BaseHTTPRequestHandler):
    server: Hook

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        time.sleep(self.server.delay_s)
        self.server.bodies.append(body)
        answer = self.server.answers.pop(0) if self.server.answers else 200
        if answer == 0:
            return
        self.send_response(answer, f"no {self.path}")
        if self.server.location:
            self.send_header("Location", self.server.location)
        self.end_headers()

    def do_GET(self) -> None:
        self.server.asked.append(self.path)
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        pass


class MailServer(socketserver.ThreadingTCPServer):
    """Takes mail, as little of SMTP as there can be."""

    daemon_threads = True
    allow_reuse_address = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Mailed)
        self.mails: list[str] = []
        self.said: list[str] = []
        self.answer = "250 taken"
        self.to_goodbye = "221 bye"

    @property
    def port(self) -> int:
        return int(self.server_address[1])


class _Mailed(socketserver.StreamRequestHandler):
    server: MailServer

    def handle(self) -> None:
        self._say("220 here")
        while line := self.rfile.readline().decode().rstrip():
            self.server.said.append(line)
            verb = line.split()[0].upper()
            if verb == "DATA":
                self._say("354 go on")
                mail = []
                while (text := self.rfile.readline().decode()) != ".\r\n":
                    mail.append(text)
                self.server.mails.append("".join(mail))
                if not self.server.answer:
                    return
                self._say(self.server.answer)
            elif verb == "QUIT":
                self._say(self.server.to_goodbye)
                return
            else:
                self._say("250 fine")

    def _say(self, line: str) -> None:
        self.wfile.write(f"{line}\r\n".encode())


@contextmanager
def serving(server: socketserver.BaseServer) -> Iterator[None]:
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
