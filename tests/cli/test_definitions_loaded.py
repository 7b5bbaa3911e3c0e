"""A code server that couldn't load the definitions when it began is noticed, and replaced."""

from typing import Any

import pytest

from contimg_resources.cli.graphql import GraphQL
from contimg_resources.cli.webserver import Definitions
from contimg_resources.core.errors import PlatformError


def answer(error: str | None) -> dict[str, Any]:
    loaded = {"__typename": "PythonError", "message": error, "className": "OperationalError"}
    entry = {
        "name": "contimg",
        "loadStatus": "LOADED",
        "locationOrLoadError": loaded if error else {"__typename": "RepositoryLocation"},
    }
    return {
        "workspaceOrError": {"locationEntries": [entry]},
        "instance": {"daemonHealth": {"allDaemonStatuses": []}},
    }


def test_definitions_that_stay_unloaded_are_noticed_and_a_silent_webserver_is_no_sign_of_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now_s = 0.0
    told: dict[str, Any] = {"answer": answer(None)}

    def query(self: GraphQL, *_: Any) -> dict[str, Any]:
        if isinstance(told["answer"], Exception):
            raise PlatformError("nobody answers") from told["answer"]
        return dict(told["answer"])

    monkeypatch.setattr(GraphQL, "query", query)
    monkeypatch.setattr("contimg_resources.cli.webserver.time.monotonic", lambda: now_s)
    definitions = Definitions(GraphQL("http://127.0.0.1:1"))

    def after_a_minute(said: Any) -> bool:
        nonlocal now_s
        now_s += 61.0
        told["answer"] = said
        return definitions.are_loaded()

    full = answer("disk I/O error")
    assert after_a_minute(answer(None))
    assert after_a_minute(full), "once may be a matter of a moment"
    assert after_a_minute(answer(None))
    assert after_a_minute(full)
    assert after_a_minute(TimeoutError("timed out")), "of this nothing is known"
    assert not after_a_minute(full)
    assert not definitions.are_loaded()
    definitions.restart()
    assert definitions.are_loaded(), "the new one has time to load them"
