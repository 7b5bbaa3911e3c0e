"""Queries to a running Dagster webserver through GraphQL.

Belongs here: sending a query and reporting its errors.
Doesn't: the queries; see `contimg_resources.cli.webserver`.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from contimg_resources.core.errors import NoAnswerInTime, PlatformError, in_words_of_network

#: Maximum number of characters of an answer in a message.
_SHOWN = 500


@dataclass(frozen=True)
class GraphQL:
    """A client of one webserver."""

    address: str  #: Address of the webserver, such as ``http://127.0.0.1:3000``.
    timeout_s: float = 30.0  #: Time limit of a request, seconds.

    def query(self, query: str, variables: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Send a query or a mutation with JSON-able variables, and return its ``data``.

        Raises
        ------
        NoAnswerInTime
            When the webserver doesn't answer within the time limit.
        PlatformError
            When it can't be reached, or answers with errors.
        """
        # Slow to load, and every command imports this module.
        import requests

        body: dict[str, Any] = {"query": query, "variables": dict(variables or {})}
        try:
            with requests.Session() as session:
                # Requests to the loopback address must not go through a proxy of the environment.
                session.trust_env = False
                response = session.post(
                    f"{self.address}/graphql",
                    json=body,
                    timeout=self.timeout_s,
                    allow_redirects=False,
                )
            response.raise_for_status()
            answer = json.loads(response.content)
        except requests.HTTPError as error:
            detail = response.content.decode(errors="replace")[:_SHOWN]
            raise PlatformError(
                f"{self.address} answered {response.status_code}: {detail}"
            ) from error
        except requests.ReadTimeout as error:
            raise NoAnswerInTime(
                f"{self.address} did not answer within {self.timeout_s:g} s"
            ) from error
        except (OSError, ValueError, RecursionError) as error:
            raise PlatformError(
                f"{self.address} does not answer GraphQL: {in_words_of_network(error)}"
            ) from error
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
