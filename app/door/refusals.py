"""Why a file that is made when it is asked for is not handed out: the sentence, beside its button.

Streamlit makes such a file in a thread of its own, and says of whatever goes wrong there that it failed. What is meant
for people is said as it is; nothing of it is an error of this program, so that no traceback is logged.
"""

import asyncio

from streamlit.logger import get_logger
from streamlit.proto.BackMsg_pb2 import BackendOperationRequest
from streamlit.proto.ForwardMsg_pb2 import BackendOperationResponse, DeferredFileResponsePayload
from streamlit.runtime import app_session
from streamlit.runtime.backend_operation_handler import DeferredFileHandler

from cwpo.errors import CwpoError, sentence_of
from cwpo.redaction import without_secrets
from db.errors import DatabaseError

log = get_logger(__name__)


class SaysWhy(DeferredFileHandler):
    """Answers with the file's address, or with why there is none."""

    async def handle(self, request: BackendOperationRequest, session_id: str) -> BackendOperationResponse:
        try:
            url = await asyncio.to_thread(self._get_media_file_mgr().execute_deferred, request.deferred_file.file_id)
        except Exception as error:
            return BackendOperationResponse(request_id=request.request_id, error_msg=_why(error))
        return BackendOperationResponse(
            request_id=request.request_id, deferred_file=DeferredFileResponsePayload(url=url)
        )


def install() -> None:
    """For all sessions that begin from now on."""
    app_session.DeferredFileHandler = SaysWhy  # type: ignore[misc]


def _why(error: Exception) -> str:
    cause = error.__cause__ or error
    if isinstance(cause, DatabaseError | CwpoError):
        return without_secrets(str(cause))
    log.exception("a file was not made", exc_info=error)
    if isinstance(cause, Exception) and error.__cause__ is not None:
        return sentence_of(cause)
    return "This file is not there any more: load the page again."
