"""Uploads: what a client sends is counted as it comes, whatever it said before how much it would be."""

from starlette.exceptions import HTTPException
from starlette.types import Message, Receive

from app.door.answers import BUSY
from app.door.limits import Client

UPLOADS = "/_stcore/upload_file/"


def is_upload(method: str, path: str) -> bool:
    """Whether a request brings a file."""
    return method == "PUT" and path.startswith(UPLOADS)


def measured(receive: Receive, client: Client, said: int) -> Receive:
    """`receive` of an upload. `said`: the bytes that were announced, and are paid for already."""
    left = said

    async def receiving() -> Message:
        nonlocal left
        message = await receive()
        size = len(message.get("body", b""))
        beyond = max(0, size - left)
        left = max(0, left - size)
        if beyond and not client.upload_bytes.has(beyond):
            raise HTTPException(status_code=429, detail=BUSY)
        return message

    return receiving
