"""A counterparty's HTTP service for files, answering the engine's port for file drops.

GET    /inbox           [{"name": "...", "sha256": "..."}], whole files alone
GET    /inbox/NAME      the bytes, with Repr-Digest (RFC 9530)
DELETE /inbox/NAME      with If-Match: "SHA-256"; 204 away, 404 gone, 412 other bytes
PUT    /outbox/NAME     with If-None-Match: * and Repr-Digest; 201 new, 204 the same bytes are there, 412 others are
PUT    /staged/NAME     with Repr-Digest; 201 new, 204 written anew: nobody takes it from there
MOVE   /staged/NAME     (RFC 4918) with Destination: /outbox/NAME and Overwrite: F; 201 in one stroke, 204 the same bytes
                        are there, 404 nothing is staged, 412 other bytes are there
"""

import base64
from collections.abc import Mapping, Sequence
from urllib.parse import quote

import msgspec
from msgspec import Struct

from engine.kernel.file_drops import BYTES_MAX, NameTaken, Untrusted, is_plain_name
from engine.kernel.files import FileRefused, NamedFile
from engine.kernel.transport import TooLong, Transport, Unanswered, Unreachable, WireRequest, WireResponse

OK, CREATED, NO_CONTENT = 200, 201, 204
NOT_FOUND, PRECONDITION_FAILED = 404, 412
WHO_ARE_YOU = (401, 403)


class Listed(Struct, frozen=True):
    """A file as the service lists it."""

    name: str
    sha256: str


class HttpDrop:
    """Takes files from and leaves them at an HTTP service; `headers` say who we are there."""

    def __init__(self, transport: Transport, base_url: str, headers: Mapping[str, str] | None = None) -> None:
        self._transport = transport
        self._base_url = base_url.rstrip("/")
        self._headers = dict(headers or {})

    async def waiting(self) -> Sequence[str]:
        """Return the names of the files that the service has for us."""
        response = await self._ask("GET", "inbox")
        try:
            listed = msgspec.json.decode(response.body, type=list[Listed])
        except msgspec.DecodeError as error:
            raise Unanswered("the service's list of files is none") from error
        return sorted(one.name for one in listed if is_plain_name(one.name))

    async def fetch(self, name: str) -> NamedFile:
        """Return a file; KeyError if it is gone, FileRefused if it is none to take."""
        if not is_plain_name(name):
            raise KeyError(name)
        try:
            response = await self._ask("GET", f"inbox/{quote(name)}", may_be=(OK, NOT_FOUND))
        except TooLong as error:
            detail = f"The most is {BYTES_MAX} bytes."
            raise FileRefused(file=name, row=None, field="file", reason="too-large", detail=detail) from error
        if response.status == NOT_FOUND:
            raise KeyError(name)
        file = NamedFile(name, response.body)
        if response.headers.get("repr-digest") != digest_of(file):
            raise FileRefused(file=name, row=None, field="checksum", reason="checksum-differs")
        return file

    async def put_away(self, file: NamedFile) -> bool:
        """Have the service take the file off those that wait, unless other bytes have its name by now."""
        may_be = (OK, NO_CONTENT, NOT_FOUND, PRECONDITION_FAILED)
        headers = {"If-Match": f'"{file.sha256}"'}
        response = await self._ask("DELETE", f"inbox/{quote(file.name)}", headers=headers, may_be=may_be)
        return response.status in (OK, NO_CONTENT)

    async def deliver(self, file: NamedFile) -> bool:
        """Leave a file at the service; NameTaken if other bytes have its name."""
        if not is_plain_name(file.name):
            raise ValueError(f"{file.name!r} is no name for a file")
        headers = {"If-None-Match": "*", "Repr-Digest": digest_of(file), "Content-Type": "application/octet-stream"}
        may_be = (OK, CREATED, NO_CONTENT, PRECONDITION_FAILED)
        response = await self._ask("PUT", f"outbox/{quote(file.name)}", headers=headers, body=file.raw, may_be=may_be)
        if response.status == PRECONDITION_FAILED:
            raise NameTaken(file.name)
        return response.status == CREATED

    async def stage(self, file: NamedFile) -> None:
        """Lay a file ready where nobody takes it, under a name that follows from its bytes."""
        if not is_plain_name(file.name):
            raise ValueError(f"{file.name!r} is no name for a file")
        headers = {"Repr-Digest": digest_of(file), "Content-Type": "application/octet-stream"}
        try:
            await self._ask("PUT", _staged(file), headers=headers, body=file.raw, may_be=(OK, CREATED, NO_CONTENT))
        except Unanswered as error:
            # Whether all of it lies there is not known; nobody takes it from there, and it may be written anew.
            raise Unreachable(str(error)) from error

    async def hand_over(self, file: NamedFile) -> bool:
        """Have a staged file moved to its own name; return False if it was before; NameTaken if other bytes have it."""
        headers = {"Destination": f"{self._base_url}/outbox/{quote(file.name)}", "Overwrite": "F"}
        may_be = (CREATED, NO_CONTENT, NOT_FOUND, PRECONDITION_FAILED)
        response = await self._ask("MOVE", _staged(file), headers=headers, may_be=may_be)
        if response.status == PRECONDITION_FAILED:
            raise NameTaken(file.name)
        return response.status == CREATED

    async def _ask(
        self,
        method: str,
        path: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes = b"",
        may_be: Sequence[int] = (OK,),
    ) -> WireResponse:
        """Return an answer of one of the statuses that mean something here; any other leaves open what happened."""
        response = await self._transport.send(
            WireRequest(
                method=method,
                url=f"{self._base_url}/{path}",
                headers={**self._headers, **(headers or {})},
                body=body,
                answer_bytes_max=BYTES_MAX,
            )
        )
        if response.status in WHO_ARE_YOU:
            raise Untrusted("the service does not know us")
        if response.status not in may_be:
            raise Unanswered(f"the service answered {response.status}")
        return response


def _staged(file: NamedFile) -> str:
    return f"staged/{file.sha256[:16]}-{quote(file.name)}"


def digest_of(file: NamedFile) -> str:
    """Return the value of Repr-Digest (RFC 9530) for the file's bytes."""
    return f"sha-256=:{base64.b64encode(bytes.fromhex(file.sha256)).decode()}:"
