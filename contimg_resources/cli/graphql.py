"""Ask a running Dagster webserver through GraphQL, with the standard library only.

Belongs here: sending a query and naming what went wrong.
Doesn't: the queries; they stand beside what needs them (see `contimg_resources.cli.platform`).
"""

import json
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from contimg_resources.errors import PlatformError


@dataclass(frozen=True)
class GraphQL:
    """A client of one webserver.

    Parameters
    ----------
    address : str
        Address of the webserver, such as ``http://127.0.0.1:3000``.
    timeout_s : float
        A request is given up after this many seconds.
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
            When nobody answers, or the answer holds errors.
        """
        request = urllib.request.Request(
            f"{self.address}/graphql",
            data=json.dumps({"query": query, "variables": dict(variables or {})}).encode(),
            headers={"Content-Type": "application/json"},
        )
        # A proxy of the environment must not stand between us and the loopback address.
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(request, timeout=self.timeout_s) as response:
                answer: dict[str, Any] = json.load(response)
        except urllib.error.HTTPError as error:
            detail = error.read().decode(errors="replace")[:500]
            raise PlatformError(f"{self.address} answered {error.code}: {detail}") from error
        except (OSError, ValueError) as error:
            raise PlatformError(f"{self.address} does not answer GraphQL: {error}") from error
        if answer.get("errors"):
            messages = "; ".join(str(e.get("message")) for e in answer["errors"])
            raise PlatformError(f"{self.address} refused a query: {messages}")
        data: dict[str, Any] = answer["data"]
        return data
