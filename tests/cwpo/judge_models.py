"""A tiny judge in a folder, and a server on the loopback that speaks chat completions and answers by that model."""

import http.server
import json
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast, Qwen2Config, Qwen2ForCausalLM

from tests.cwpo import tiny

VOCABULARY = ["<pad>", "</s>", *tiny.WORDS, "A", "B", "Preferred:"]
LETTERS = [VOCABULARY.index("A"), VOCABULARY.index("B")]
SHAPE: dict[str, Any] = {
    "vocab_size": len(VOCABULARY), "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2, "intermediate_size": 64, "max_position_embeddings": 512, "eos_token_id": 1,
    "bos_token_id": None, "pad_token_id": 0, "initializer_range": 0.3, "tie_word_embeddings": False,
}  # fmt: skip


def words() -> PreTrainedTokenizerFast:
    """Words of tests, the two letters and the cue; all others are unknown."""
    inner = Tokenizer(models.WordLevel({word: at for at, word in enumerate(VOCABULARY)}, unk_token="<pad>"))
    inner.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return PreTrainedTokenizerFast(tokenizer_object=inner, eos_token="</s>", pad_token="<pad>")


def judge_folder(folder: Path) -> Path:
    """A random language model whose context has room for a whole question."""
    torch.manual_seed(5)
    Qwen2ForCausalLM(Qwen2Config(**SHAPE)).save_pretrained(folder)
    words().save_pretrained(folder)
    return folder


def writer_folder(folder: Path, questions: Sequence[str]) -> Path:
    """A language model that ends every text with "Preferred:", a letter and the end. Which letter hangs on the whole
    text; it is as often A as B over these questions."""
    torch.manual_seed(5)
    model, tokenizer = LlamaForCausalLM(LlamaConfig(**SHAPE)).eval(), words()
    cue, end = VOCABULARY.index("Preferred:"), VOCABULARY.index("</s>")
    a, b = LETTERS
    with torch.no_grad():
        embedding, head = model.model.embed_tokens.weight, model.lm_head.weight
        for layer in model.model.layers:
            layer.self_attn.o_proj.weight *= 0.1
            layer.mlp.down_proj.weight *= 0.1
        embedding[:, :3], head[:, :3] = 0, 0  # who came last: a word, the cue, a letter
        embedding[:, 0], embedding[LETTERS, 0], embedding[cue, 0] = 8, 0, 0
        embedding[cue, 1], embedding[LETTERS, 2] = 8, 8
        head[cue, 0], head[LETTERS, 1], head[end, 2] = 8, 8, 8
        states = torch.stack([
            model.model(torch.tensor([[*tokenizer(text)["input_ids"], cue]])).last_hidden_state[0, -1]
            for text in questions
        ])  # fmt: skip
        margins = (states @ (head[a] - head[b])).sort().values
        head[b, 1] += margins[len(margins) // 2 - 1 : len(margins) // 2 + 1].mean() / states[:, 1].mean()
    model.save_pretrained(folder)
    tokenizer.chat_template = "{% for message in messages %}{{ message['content'] }} {% endfor %}"
    tokenizer.save_pretrained(folder)
    return folder


class TinyJudge:
    """Which letter the model finds likelier behind a text."""

    def __init__(self, folder: Path) -> None:
        self.model = Qwen2ForCausalLM.from_pretrained(folder).eval()
        self.tokenizer = words()

    def letter(self, text: str) -> str:
        """By a forward pass over the whole text, one at a time."""
        ids = torch.tensor([self.tokenizer(text)["input_ids"]])
        with torch.no_grad():
            a, b = self.model(ids).logits[0, -1, LETTERS].tolist()
        return "A" if a > b else "B"


class Loopback:
    """What the server was asked, and what it answers before it answers right: (status, headers, body), one a request.

    hold: set to keep every further request waiting, as a server that is slow.
    """

    def __init__(self, judge: TinyJudge | None) -> None:
        self.judge = judge
        self.faults: list[tuple[int, dict[str, str], bytes]] = []
        self.asked: list[dict[str, Any]] = []  # questions that were answered
        self.keys: set[str | None] = set()
        self.requests = 0
        self.lock = threading.Lock()
        self.answer_most: int | None = None  # replies, after which requests wait for ever
        self.address = ""

    def answer(self, body: dict[str, Any]) -> str:
        """One sentence, then the verdict."""
        text = body["messages"][0]["content"]
        letter = self.judge.letter(text) if self.judge else "A"
        return f"One of them says more.\nPreferred: {letter}"


@contextmanager
def loopback(judge: TinyJudge | None = None) -> Iterator[Loopback]:
    """A server of POST /v1/chat/completions on this machine."""
    state = Loopback(judge)

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            with state.lock:
                state.requests += 1
                state.keys.add(self.headers.get("Authorization"))
                fault = state.faults.pop(0) if state.faults else None
                full = state.answer_most is not None and len(state.asked) >= state.answer_most
                if fault is None and not full and self.path == "/v1/chat/completions":
                    state.asked.append(body)
            if full:
                threading.Event().wait(600)
                return
            if fault is not None:
                self._send(*fault)
                return
            reply = {"message": {"role": "assistant", "content": state.answer(body)}, "index": 0}
            usage = {"prompt_tokens": 100, "completion_tokens": 10}
            self._send(200, {}, json.dumps({"choices": [reply], "usage": usage}).encode())

        def _send(self, status: int, headers: dict[str, str], body: bytes) -> None:
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(body))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args: Any) -> None:
            return

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    state.address = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield state
    finally:
        server.shutdown()
        server.server_close()
