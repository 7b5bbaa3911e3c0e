"""Queries to a running Dagster webserver through GraphQL, with the standard library only.

Belongs here: sending a query and reporting its errors.
Doesn't: the queries; see `contimg_resources.cli.webserver`.
"""

import http.client
import json
import urllib.error
import urllib.request
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from contimg_resources.core.errors import PlatformError

#: Maximum number of characters of an answer in a message.
_SHOWN = 500


@dataclass(frozen=True)
class GraphQL:
    """A client of one webserver.

    Parameters
    ----------
    address : str
        Address of the webserver, such as ``http://127.0.0.1:3000``.
    timeout_s : float
        Time limit of a request, seconds.
    """

    address: str
    timeout_s: float = 30.0

    def query(self, query: str, variables: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Send a query or a mutation and return its ``data``.

        Parameters
        ----------
        query : str
            The GraphQL text.
        variables : mapping, optional
            Its variables, JSON-able.

        Returns
        -------
        dict
            The ``data`` of the answer.

        Raises
        ------
        PlatformError
            When the webserver doesn't answer, or answers with errors.
        """
        request = urllib.request.Request(
            f"{self.address}/graphql",
            data=json.dumps({"query": query, "variables": dict(variables or {})}).encode(),
            headers={"Content-Type": "application/json"},
        )
        # Requests to the loopback address must not go through a proxy of the environment.
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(request, timeout=self.timeout_s) as response:
                answer = json.load(response)
        except urllib.error.HTTPError as error:
            detail = ""
            # The answer may break off.
            with suppress(OSError, http.client.HTTPException):
                detail = error.read().decode(errors="replace")[:_SHOWN]
            raise PlatformError(f"{self.address} answered {error.code}: {detail}") from error
        except (OSError, ValueError, RecursionError, http.client.HTTPException) as error:
            raise PlatformError(f"{self.address} does not answer GraphQL: {error}") from error
        told = answer if isinstance(answer, dict) else {}
        if errors := told.get("errors"):
            listed = errors if isinstance(errors, list) else [errors]
            messages = "; ".join(
                str(e.get("message") if isinstance(e, dict) else e) for e in listed
            )
            raise PlatformError(f"{self.address} refused a query: {messages[:_SHOWN]}")
        data = told.get("data")
        if not isinstance(data, dict):
            raise PlatformError(f"{self.address} does not answer GraphQL: the answer has no data")
        return data
