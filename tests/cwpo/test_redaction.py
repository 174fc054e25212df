"""Secrets leave every text: known values wherever they stand, unknown ones by their form; words and figures stay."""

import pytest

from cwpo.errors import CwpoError, brief, sentence_of
from cwpo.redaction import without_secrets
from tests import clocks

TOKEN = "Aa1" * 12


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("rediss://:hunter2@host:6379/0 is gone", "rediss://…@host:6379/0 is gone"),
        ("redis://user:hunter2@host", "redis://…@host"),
        ("https://ghostly@host/x", "https://…@host/x"),
        ("postgresql://cwpo:p%40ss@db/cwpo?x=1", "postgresql://…@db/cwpo?x=1"),
        ("password=hunter2 next", "password=… next"),
        ("PGPASSWORD='hunter2'", "PGPASSWORD='…'"),
        ('{"api_key": "hunter2", "n": 3}', '{"api_key": "…", "n": 3}'),
        ("AWS_SECRET_ACCESS_KEY=hunter/2+x", "AWS_SECRET_ACCESS_KEY=…"),
        ("aws_access_key_id = hunter2", "aws_access_key_id = …"),
        (f"hf_{TOKEN}", "…"),
        (f"(ghp_{TOKEN})", "(…)"),
        (f"github_pat_{TOKEN}", "…"),
        (f"sk-proj-{TOKEN}", "…"),
        (f"Authorization: Bearer {TOKEN}", "Authorization: Bearer …"),
        ("authorization=Basic aHVudGVy", "authorization=Basic …"),
        (f"sent Bearer {TOKEN}.", "sent Bearer …"),
        ("AKIAABCDEFGHIJKLMNOP", "…"),
        (f"token={TOKEN}&x=1", "token=…&x=1"),
        (f"HF_TOKEN={TOKEN}", "HF_TOKEN=…"),
        ("https://hooks.slack.com/services/T0/B0/xyz", "https://hooks.slack.com/…"),
        (f"eyJhbGciOiJI.eyJzdWIiOiIx.{TOKEN}", "…"),
        ("-----BEGIN RSA PRIVATE KEY-----\nMIIE\nabc\n-----END RSA PRIVATE KEY-----", "…"),
    ],
)
def test_what_looks_like_a_secret_is_taken_out(text: str, left: str) -> None:
    assert without_secrets(text) == left
    assert without_secrets(left) == left


@pytest.mark.parametrize(
    "text",
    [
        "align#12: attempt 3, token 4, 512 tokens, max_new_tokens: 12, tokens_per_batch=1024, token=5",
        "pad_token: <pad>, eos_token='</s>', the bearer of news, a task-specific head, sk-learn",
        "https://huggingface.co/facebook/opt-125m at 27dcfa74d334bc871f3234de431e71c6eeba5dd6 (sha256:abc)",
        "s3://bucket/prefix, unix:///run/cwpo/redis.sock?db=0, postgresql://db.example.org/cwpo, ann@example.org",
        "The secret of a good run is its data; the key figure is GRA = 0.61.",
        "data.path: /home/ann/pairs.jsonl does not exist",
    ],
)
def test_words_figures_paths_and_commits_stay(text: str) -> None:
    assert without_secrets(text) == text


def test_values_of_known_variables_go_wherever_they_stand(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "HF_TOKEN": "plain-value-1", "OPENAI_API_KEY": "plain-value-2", "WANDB_API_KEY": "plain-value-3",
        "CWPO_JUDGE_KEY": "plain-value-4", "AWS_SECRET_ACCESS_KEY": "plain/value+5",
        "DATABASE_URL": "postgresql://cwpo:plain%2Fvalue6@db/cwpo", "REDIS_URL": "redis://:plain-value-7@h:1/0",
        "CWPO_WEBHOOK": "https://x.org/hook/plain-8?a=b,https://y.org/plain-9", "PROXY": "https://plain-10@proxy",
        "HF_TOKEN_PATH": "/home/ann/token", "TOKENIZERS_PARALLELISM": "false", "MY_KEY": "abc",
    }.items():  # fmt: skip
        monkeypatch.setenv(name, value)
    said = without_secrets(
        "plain-value-1,plain-value-2 plain-value-3 plain-value-4 plain/value+5 plain%2Fvalue6 plain/value6 "
        "plain-value-7 https://x.org/hook/plain-8?a=b https://y.org/plain-9 plain-10 /home/ann/token false abc cwpo"
    )
    assert "plain" not in said
    assert said.endswith("/home/ann/token false abc cwpo")


def test_sentences_of_errors_have_no_secrets() -> None:
    for error in (CwpoError(f"hf_{TOKEN} is refused"), RuntimeError(f"GET https://u:{TOKEN}@host failed")):
        assert TOKEN not in sentence_of(error) + brief(error)


def test_a_long_text_is_looked_through_quickly() -> None:
    """No pattern takes longer than the text is long: half a megabyte of what almost looks like secrets."""
    with clocks.computing(10):
        for text in ("a_" * 250_000, "://" * 160_000, "token=" * 80_000, "eyJ" * 160_000, "-----BEGIN " * 45_000):
            without_secrets(text)
