"""What wandb wrote offline: the records of its file, which is a log of LevelDB's form."""

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

HEADER, BLOCK, HEAD = 7, 32_768, 7  # bytes
FULL, LAST = 1, 4


def records(file: Path) -> Iterator[Any]:
    """Every record of the file, in order."""
    from wandb.proto import wandb_internal_pb2

    for data in _payloads(file.read_bytes()):
        record = wandb_internal_pb2.Record()
        record.ParseFromString(data)
        yield record


def _payloads(data: bytes) -> Iterator[bytes]:
    place, whole = HEADER, b""
    while place + HEAD <= len(data):
        if BLOCK - place % BLOCK < HEAD:
            place += BLOCK - place % BLOCK
            continue
        _, length, kind = struct.unpack_from("<IHB", data, place)
        whole += data[place + HEAD : place + HEAD + length]
        place += HEAD + length
        if kind in (FULL, LAST):
            yield whole
            whole = b""
