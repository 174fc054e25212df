"""Files that nobody can learn from, each made to hurt whoever reads it: name -> how it is written into a folder."""

import gzip
import io
import json
import os
import random
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

MB = 1 << 20
PAIR = {"prompt": "p", "chosen": "good", "rejected": "bad"}
Made = Callable[[Path], Path]


def rows(*given: Any) -> Made:
    """Lines of JSON, one per value; text is written as it is."""
    text = "\n".join(one if isinstance(one, str) else json.dumps(one) for one in given)
    return data("a.jsonl", text.encode())


def data(name: str, content: bytes) -> Made:
    def make(folder: Path) -> Path:
        path = folder / name
        path.write_bytes(content)
        return path

    return make


def packed(name: str, piece: bytes, times: int) -> Made:
    """A gz of one piece over and over, packed piece by piece."""

    def make(folder: Path) -> Path:
        path = folder / name
        with gzip.open(path, "wb", compresslevel=9) as file:
            for _ in range(times):
                file.write(piece)
        return path

    return make


def table(made: Callable[[], pa.Table], **options: Any) -> Made:
    def make(folder: Path) -> Path:
        pq.write_table(made(), folder / "a.parquet", **options)
        return folder / "a.parquet"

    return make


def changed(change: Callable[[bytes], bytes], made: Made) -> Made:
    def make(folder: Path) -> Path:
        path = made(folder)
        path.write_bytes(change(path.read_bytes()))
        return path

    return make


def flipped(content: bytes, seed: int = 1) -> bytes:
    """Every fiftieth byte another one."""
    dice, found = random.Random(seed), bytearray(content)
    for _ in range(max(len(found) // 50, 8)):
        found[dice.randrange(len(found))] ^= 1 << dice.randrange(8)
    return bytes(found)


def chat(**message: Any) -> dict[str, Any]:
    return {"prompt": "p", "chosen": [{"role": "user", "content": "q"}, message], "rejected": [message]}


def linked(name: str, target: str) -> Made:
    def make(folder: Path) -> Path:
        (folder / name).symlink_to(target)
        return folder / name

    return make


def pipe(folder: Path) -> Path:
    os.mkfifo(folder / "a.jsonl")
    return folder / "a.jsonl"


def place(name: str) -> Made:
    return lambda folder: Path(name) if name.startswith("~") else folder / name


def made_folder(folder: Path) -> Path:
    (folder / "a.jsonl").mkdir()
    return folder / "a.jsonl"


def no_text() -> pa.Table:
    """Three columns of bytes that are no UTF-8, said to be text."""
    raw = pa.array([b"\xff\xfe\xfd"], pa.binary())
    text = pa.Array.from_buffers(pa.string(), 1, raw.buffers())
    return pa.table(dict.fromkeys(PAIR, text))


def no_date() -> pa.Table:
    far = pa.array([2**31 - 1], pa.int32()).cast(pa.date32())
    return pa.table(dict.fromkeys(PAIR, far))


def repeated() -> pa.Table:
    """One text of a megabyte, said three thousand times."""
    return pa.table({name: pa.DictionaryArray.from_arrays([0] * 3_000, ["x" * MB]) for name in PAIR})


def nothing() -> pa.Table:
    return pa.table({name: pa.nulls(3_000_000, pa.string()) for name in PAIR})


def wide() -> pa.Table:
    return pa.table({f"c{at}": ["x"] for at in range(2_100)})


DIGITS = "9" * 5_001
PLAIN = table(lambda: pa.table({name: [f"{text} {at}" for at in range(200)] for name, text in PAIR.items()}))
GOOD_GZ = packed("a.jsonl.gz", (json.dumps(PAIR) + "\n").encode(), 2_000)
BAD_GZIP = io.BytesIO(b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03" + b"\xff" * 100).getvalue()

# What reads as rows of which none is a pair, or as no rows at all.
FILES: Mapping[str, Made] = {
    "role is a list": rows(chat(role=["user"], content="x")),
    "role is an object": rows(chat(role={"a": 1}, content="x")),
    "role is a number": rows(chat(role=7, content="x")),
    "role is null": rows(chat(role=None, content="x")),
    "content is a list of lists": rows(chat(role="assistant", content=[[["x"]]])),
    "content is an object": rows(chat(role="assistant", content={"type": ["text"], "text": "x"})),
    "from is a list": rows({"conversations": [{"from": ["human"], "value": "x"}], "chosen": "a", "rejected": "b"}),
    "value is a number": rows({"conversations": [{"from": "human", "value": 1}], "chosen": {"from": 1}, "rejected": 2}),
    "tool calls without end": rows({**PAIR, "chosen": {"role": "assistant", "tool_calls": [[[[]]]]}}),
    "chosen is a number": rows({**PAIR, "chosen": 1}),
    "chosen is true": rows({**PAIR, "chosen": True}),
    "chosen is an object": rows({**PAIR, "chosen": {"a": {}}}),
    "rejected is null": rows({**PAIR, "rejected": None}),
    "prompt is an object": rows({**PAIR, "prompt": {"x": 1}}),
    "prompt is a number": rows({**PAIR, "prompt": 10**400}),
    "both are equal": rows({**PAIR, "rejected": "good"}),
    "all is empty": rows({"prompt": "", "chosen": "", "rejected": ""}),
    "half of a surrogate pair": rows('{"prompt": "\\ud800", "chosen": "a", "rejected": "b"}'),
    "half of one in a message": rows('{"prompt": [{"role": "user", "content": "\\udfff"}], "chosen": "a"}'),
    "5,001 digits": rows('{"prompt": "p", "chosen": ' + DIGITS + ', "rejected": "b"}'),
    "a number beyond all": rows('{"prompt": 1e99999, "chosen": -1e99999, "rejected": NaN}'),
    "lists in lists": rows("[" * 5_000),
    "objects in objects": rows('{"a":' * 5_000),
    "a hundred and fifty levels": rows('{"prompt": "p", "chosen": "a", "rejected": ' + "[" * 150 + "]" * 150 + "}"),
    "fields without end": rows({f"f{at}": at for at in range(3_000)}),
    "a name of 200,000 characters": rows({"x" * 200_000: 1}),
    "lines that are lists": rows(*[[1, 2]] * 50),
    "lines that are words": rows(*["yes"] * 50),
    "summaries is a number": rows({"summaries": 5, "info": [], "choice": 0}),
    "summaries of lists": rows({"summaries": [[], {}], "info": {"post": []}, "choice": 0}),
    "choice is a list": rows({"summaries": [{"text": 1}, {"text": {}}], "info": {"post": "x"}, "choice": [0]}),
    "info is text": rows({"summaries": [{"text": "a"}, {"text": "b"}], "info": "x", "choice": 1}),
    "a query of lists": rows({"query": [], "postprocessed_response": {}, "reference_responses": [], "preferred": []}),
    "votes of objects": rows({"history": {}, "human_ref_A": [], "human_ref_B": 1, "labels": {}}),
    "a label of another kind": rows({"prompt": "p", "response_a": "x", "response_b": "y", "human_label": ["a"]}),
    "responses are an object": rows({"prompt": "p", "responses": {"a": 1}, "scores": [1, 2]}),
    "scores of another length": rows({"prompt": "p", "responses": ["a", "b"], "scores": [1]}),
    "scores that are none": rows({"prompt": "p", "responses": ["a", "b"], "scores": [{}, []]}),
    "history of threes": rows({"instruction": "x", "history": [[1, 2, 3]], "chosen": "a", "rejected": "b"}),
    "an instruction of numbers": rows({"instruction": 5, "chosen": [1], "rejected": [2]}),
    "no rows": data("a.jsonl", b""),
    "empty lines": data("a.jsonl", b"\n" * 200_000),
    "a line without end": data("a.jsonl", b'{"prompt": "' + b"x" * 20 * MB),
    "zero bytes": data("a.jsonl", bytes(2 * MB)),
    "no UTF-8": data("a.jsonl", b"\xff\xfe\x80" * 1_000),
    "UTF-16": data("a.jsonl", json.dumps(PAIR).encode("utf-16")),
    "a gz of empty lines": packed("a.jsonl.gz", b"\n" * MB, 256),
    "a gz of one line": packed("a.jsonl.gz", b"x" * MB, 256),
    "a gz of nothing": packed("a.jsonl.gz", b"", 1),
    "a gz of blanks in an array": packed("a.json.gz", b"[" + b" " * MB, 256),
    "a cut gz": changed(lambda content: content[: len(content) // 2], GOOD_GZ),
    "a damaged gz": changed(flipped, packed("a.csv.gz", b"prompt,chosen,rejected\n", 3_000)),
    "a gz that is none": data("a.jsonl.gz", b"no gz at all"),
    "a gz of noise": data("a.csv.gz", BAD_GZIP),
    "a gz with something behind it": changed(lambda content: content + b"garbage", GOOD_GZ),
    "an object": data("a.json", b"{}"),
    "a cut array": data("a.json", b'[{"prompt": "p"},'),
    "an array that opens": data("a.json", b"["),
    "an array without commas": data("a.json", b"[{} {}]"),
    "an array with more behind": data("a.json", json.dumps([PAIR]).encode() + b"x"),
    "an array of arrays": data("a.json", b"[" * 100_000),
    "an array of one long text": data("a.json", b'["' + b"x" * 40 * MB),
    "an array of digits": data("a.json", b"[" + DIGITS.encode() + b"]"),
    "no JSON": data("a.json", b"hello"),
    "nothing in a json": data("a.json", b""),
    "a header alone": data("a.csv", b"prompt,chosen,rejected\n"),
    "a header of 3,000": data("a.csv", ",".join(f"c{at}" for at in range(3_000)).encode()),
    "commas without end": data("a.csv", b"," * 2 * MB),
    "a quote without end": data("a.csv", b'prompt,chosen,rejected\n"' + b"x\n" * 9 * MB),
    "a cell without end": data("a.csv", b'prompt,chosen,rejected\n"' + b"x" * 17 * MB),
    "rows of other lengths": data("a.csv", b"prompt,chosen,rejected\n" + b"a\n" * 300),
    "zero bytes in cells": data("a.csv", b"prompt,chosen,rejected\n\0,\0,\0\n"),
    "a parquet of noise": data("a.parquet", random.Random(2).randbytes(5_000)),
    "a parquet of nothing": data("a.parquet", b""),
    "a cut parquet": changed(lambda content: content[: len(content) // 2], PLAIN),
    "a parquet with a large footer": changed(lambda content: content[:-8] + b"\xff\xff\xff\x7fPAR1", PLAIN),
    "a parquet of text that is none": table(no_text),
    "a parquet of impossible dates": table(no_date),
    "a parquet of one text 3,000 times": table(repeated, compression="zstd"),
    "a parquet of three million nothings": table(nothing, compression="zstd"),
    "a parquet of 2,100 columns": table(wide),
    "a folder": made_folder,
    "a file that is not there": place("none.jsonl"),
    "a name of 300 characters": place("x" * 300 + ".jsonl"),
    "a name with a zero byte": place("a\0b.jsonl"),
    "the home of nobody": place("~nosuchuser/a.jsonl"),
    "a pipe": pipe,
    "a link to itself": linked("a.jsonl", "a.jsonl"),
    "a link to a device": linked("a.jsonl", "/dev/zero"),
    "an ending that nobody knows": data("a.pkl", b"\x80\x04."),
    **{f"a damaged parquet, {seed}": changed(lambda content, seed=seed: flipped(content, seed), PLAIN)
       for seed in range(8)},
}  # fmt: skip
