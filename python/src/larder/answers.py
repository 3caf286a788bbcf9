"""Which answers are a node's own, and what the others are: errors that say what to do.

A proxy, a sign-in page or another service may answer in a node's place. Nothing is taken for done but a
status that nodes document, with the node's own mark.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from email.utils import parsedate_to_datetime
from typing import Any, Protocol, TypeVar
from urllib.parse import urlsplit

from larder import errors

T = TypeVar("T")

MARK = "larder-request"  # the header that every answer of a node has, with what its log calls the request
_STATUSES = {"GET": (200,), "HEAD": (200,), "PUT": (200, 201), "DELETE": (204,), "POST": (200, 201, 202, 303)}
_PROBLEM = "urn:larder:problem:"
_MAX_PROBLEM = 64 << 10
_RETRY = frozenset({429, 503, 504})
_GATEWAY = frozenset({502, 503, 504})  # of a proxy that got no answer, for example while a node restarts
WRITES = ("PUT", "DELETE")
_IS_URL_RIGHT = "that is not an answer of a Larder node: is LARDER_URL right?"

_ADVICE = {
    "no-credential": "the cluster asks for a token: set LARDER_TOKEN or LARDER_TOKEN_FILE",
    "expired-credential": "the token has expired: set LARDER_TOKEN or LARDER_TOKEN_FILE to a new one",
    "bad-credential": "the token is not known there: check that it is whole and meant for this cluster (LARDER_TOKEN)",
    "not-found": "your organisation has no object of this key; the keys of a prefix show what there is",
    "no-route": "the node does not know this request: LARDER_URL goes too far, or the node is older than this client",
    "bad-digest": "what arrived is not what was sent; did another thread change the value meanwhile?",
}


class Answer(Protocol):
    """An answer, or what a batch says of one of its objects."""

    @property
    def status(self) -> int: ...
    @property
    def reason(self) -> str: ...
    @property
    def headers(self) -> Mapping[str, str]: ...
    def read(self, size: int = -1, /) -> bytes: ...


def check(response: Answer, method: str, what: str, also: Sequence[int] = (), *, json: bool = False) -> None:
    """Raise the error that an answer is, unless it is a node's own that it did what was asked.

    ``also`` are statuses that the request may have besides those of its method.
    """
    status = response.status
    if status >= 400:
        raise _refusal(response, method, what)
    if status not in (*_STATUSES.get(method, (200,)), *also):
        if "location" in response.headers:
            raise _error(errors.ConfigError, f"{what}: {_redirected(response)}", response)
        raise _error(errors.ConfigError, f"{what}: {status} {response.reason}; {_IS_URL_RIGHT}", response)
    if MARK not in response.headers and not _is_of_older_node(response, method, json):
        kind = response.headers.get("content-type", "no type").partition(";")[0]
        raise _error(errors.ConfigError, f"{what}: {status} with {kind}; {_IS_URL_RIGHT}", response)
    coding = response.headers.get("content-encoding", "identity")
    if coding.lower() != "identity" and method in ("GET", "POST"):
        raise _error(
            errors.ConfigError,
            f"{what}: what arrived has the Content-Encoding {coding}, which nobody asked for, and a node does not send: "
            "have the proxy before the nodes leave bodies as they are",
            response,
        )


def _is_of_older_node(response: Answer, method: str, json: bool) -> bool:
    """Nodes had no mark once. The client asks who answers before it believes a DELETE; JSON is looked at by who reads it."""
    if method == "PUT":
        return response.headers.get("etag", "").startswith('"') and response.headers.get("content-length") == "0"
    if method in ("GET", "HEAD"):
        return is_json(response) if json else response.headers.get("cache-status", "").startswith("larder")
    return method == "DELETE"


def is_json(response: Answer) -> bool:
    """Reports whether an answer says that it is JSON."""
    return response.headers.get("content-type", "").partition(";")[0].strip().lower() == "application/json"


def is_ndjson(response: Answer) -> bool:
    """Reports whether an answer is lines of JSON."""
    return response.headers.get("content-type", "").partition(";")[0].strip().lower() == "application/x-ndjson"


def read_json(response: Answer, what: str, limit: int, use: Callable[[Any], T]) -> T:
    """What ``use`` makes of the JSON of an answer. Whatever else it is, is an error of ours."""
    try:
        if not is_json(response):
            raise ValueError(response.headers.get("content-type", "no type"))
        data = response.read(limit + 1)
        if len(data) > limit:
            raise ValueError(f"more than {limit} bytes")
        return use(json.loads(data))
    except (ValueError, TypeError, LookupError, AttributeError, RecursionError, MemoryError, OverflowError) as error:
        if isinstance(error, errors.LarderError):
            raise
        raise _error(errors.ConfigError, f"{what}: {_IS_URL_RIGHT} ({type(error).__name__}: {error})"[:500], response) from None


def _redirected(response: Answer) -> str:
    """Where a redirect leads. It is not followed: the token would go there."""
    location = response.headers["location"]
    try:
        parts = urlsplit(location)
        host = parts.hostname or ""
        port = f":{parts.port}" if parts.port else ""
    except ValueError:
        host = ""
    if not host or not location.isprintable():
        return f"{response.status} redirects to another path, and is not followed; {_IS_URL_RIGHT}"
    before, v1, _ = parts.path.partition("/v1/")
    url = f"{parts.scheme}://{host}{port}{before if v1 else ''}"
    return (
        f"{response.status} redirects to {url}{'' if v1 else parts.path}, and is not followed, since the token would go with it: "
        f"LARDER_URL should be {url}, if that is where the nodes are"
    )


def _refusal(response: Answer, method: str, what: str) -> errors.LarderError:
    """The error that a refusal is."""
    problem = _problem(response)
    status = response.status
    type_ = str(problem.get("type", ""))
    ours = type_.startswith(_PROBLEM) or MARK in response.headers
    if method == "HEAD":
        ours = ours or response.headers.get("content-type", "").startswith("application/problem+json")
    type_ = type_.removeprefix(_PROBLEM)
    kind = _kind(status, type_, ours, write=method in WRITES)
    if kind is errors.NotFound and what.startswith(("list ", "whoami", "usage")):
        kind, type_ = errors.BadRequest, "no-route"
    detail = str(problem.get("detail") or "")
    if kind is not errors.NotFound or "expired" not in detail:  # a node says when
        detail = _ADVICE.get(type_ or ("not-found" if kind is errors.NotFound else "")) or detail or f"{status} {response.reason}"
    if not ours and status == 413:
        detail += "; a proxy before the nodes refuses bodies of this size: have its limit raised (nginx: client_max_body_size)"
    elif not ours and status in _GATEWAY:
        detail += "; a proxy before the nodes had no answer from one"
        detail += ": the write may have happened, so read the key, or send the same write again" if method in WRITES else ""
    elif not ours and not problem:
        detail += f"; {_IS_URL_RIGHT}"
    error = _error(kind, f"{what}: {detail}", response, type_ or None)
    if isinstance(error, errors.Unavailable):
        error.retry_after = _seconds(response.headers.get("retry-after", ""))
    return error


def _problem(response: Answer) -> Mapping[str, Any]:
    try:
        problem = json.loads(response.read(_MAX_PROBLEM) or b"{}")
    except (ValueError, RecursionError):
        return {}
    return problem if isinstance(problem, dict) else {}


def _error(kind: type[errors.LarderError], text: str, response: Answer, type: str | None = None) -> errors.LarderError:
    id_ = response.headers.get(MARK)
    if id_ and issubclass(kind, (errors.ServerError, errors.Unavailable)):
        text += f" (request {id_})"
    return kind(text, status=response.status, type=type, request_id=id_)


def _kind(status: int, type_: str, ours: bool, *, write: bool) -> type[errors.LarderError]:
    if status == 404 and ours and type_ in ("", "not-found"):
        return errors.NotFound
    if status == 412 and type_ == "too-old":
        return errors.NotFound
    if type_ == "outcome-unknown" or (write and (status == 504 or (not ours and status in _GATEWAY))):
        return errors.OutcomeUnknown  # a proxy cannot know what a node did with what it was sent
    if status in _RETRY or (not ours and status in _GATEWAY):
        return errors.Unavailable
    kinds: dict[int, type[errors.LarderError]] = {
        401: errors.AuthError,
        403: errors.AuthError,
        409: errors.Conflict,
        412: errors.Conflict,
        413: errors.TooLarge,
        507: errors.TooLarge,
    }
    return kinds.get(status) or (errors.ServerError if status >= 500 else errors.BadRequest)


def _seconds(retry_after: str) -> float:
    """Seconds of a Retry-After header, which has a number or a date (RFC 9110, section 10.2.3)."""
    if retry_after.isascii() and retry_after.isdigit():
        return float(retry_after[:9])
    try:
        return max(0.0, parsedate_to_datetime(retry_after).timestamp() - time.time())
    except (ValueError, OverflowError):
        return 0.0
