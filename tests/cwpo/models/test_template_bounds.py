"""Chat templates of anybody end: loops, text and numbers are counted, and what stays within is what jinja writes."""

from pathlib import Path

import pytest
from jinja2.sandbox import ImmutableSandboxedEnvironment

from cwpo.errors import DataError
from cwpo.models.text.bounded import BoundedEnvironment, TooMuch
from cwpo.models.text.files import read_tokenizer
from cwpo.models.text.reader import reader_of
from cwpo.models.text.template import refused
from tests import clocks
from tests.cwpo import tiny

MESSAGES = [
    {"role": "system", "content": " Be kind.\n"},
    {"role": "user", "content": "w1 <b>w2</b>"},
    {"role": "assistant", "content": "w3"},
]
FOR = "{% for i in range(99999) %}"
ENDLESS = {
    "loops in loops": FOR * 2 + "{% endfor %}" * 2,
    "loops in loops that write": FOR * 2 + "x" + "{% endfor %}" * 2,
    "loops over a list": "{% set a = range(99999)|list %}" + FOR + "{% for j in a %}{% endfor %}{% endfor %}",
    "loops over what is made": FOR + "{% for j in range(99999)|map('string') %}{% endfor %}{% endfor %}",
    "loops in themselves": "{% for i in [1] recursive %}{{ loop(range(99999)) }}{% endfor %}",
    "sums in a loop": FOR + "{{ range(99999)|sum }}{% endfor %}",
    "lists in a loop": FOR + "{{ range(99999)|list|length }}{% endfor %}",
    "long words in a loop": FOR + "{% set x = ('a' * 1000000)|upper %}{% endfor %}",
    "a macro of itself": "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}",
    "text twice as long": "{% set n = namespace(x='a') %}{% for i in range(60) %}{% set n.x = n.x ~ n.x %}{% endfor %}",
    "text added": "{% set n = namespace(x='ab') %}{% for i in range(60) %}{% set n.x = n.x + n.x %}{% endfor %}",
    "lists added": "{% set n = namespace(x=[1]) %}{% for i in range(60) %}{% set n.x = n.x + n.x %}{% endfor %}",
    "numbers multiplied": "{% set n = namespace(x=9) %}{% for i in range(60) %}{% set n.x = n.x * n.x %}{% endfor %}",
    "a power": "{{ 9 ** 999999999 }}",
    "text times a number": "{{ 'a' * 10000000000 }}",
    "a number times text": "{{ 10000000000 * 'a' }}",
    "a list times a number": "{{ [1] * 10000000000 }}",
    "a list of one long text": "{{ ['a' * 100000] * 100000 }}",
    "lists of lists": "{% set a = ['x' * 9999] %}" + "{% set a = [a, a, a, a, a, a, a, a] %}" * 9 + "{{ a }}",
    "one long text joined": "{{ (['a' * 100000] * 100000)|join }}",
    "one long text joined by a method": "{{ ''.join(['a' * 100000] * 100000) }}",
    "wide by a method": "{{ 'a'.center(10000000000) }}",
    "wide by a filter": "{{ 'a'|center(10000000000) }}",
    "wide by zeros": "{{ '1'.zfill(10000000000) }}",
    "wide by a sign": "{{ '%10000000000d' % 1 }}",
    "wide by stars": "{{ '%*d' % (10000000000, 1) }}",
    "wide by format": "{{ '{:10000000000}'.format(1) }}",
    "wide by a format filter": "{{ '%10000000000d'|format(1) }}",
    "replaced by more": "{{ ('a' * 100000).replace('a', 'b' * 100000) }}",
    "replaced by more by a filter": "{{ ('a' * 100000)|replace('a', 'b' * 100000) }}",
    "indented": "{{ ('a\n' * 100000)|indent(9999) }}",
    "JSON indented": "{{ messages|tojson(indent=1000000000) }}",
    "much in a loop": FOR + "x" * 10_000 + "{% endfor %}",
    "too long itself": "x" * 300_000,
}
PLAIN = [
    "{% for m in messages %}<|{{ m['role'] }}|>{{ m['content']|trim }}{% if not loop.last %}\n{% endif %}{% endfor %}",
    "{{ messages[0]|tojson }}{{ messages|length }}{{ 'a' ~ 1 ~ none }}{{ '%s-%d' % ('a', 3) }}{{ 7 % 4 }}{{ 2 ** 9 }}",
    "{{ 'ab' * 3 }}{{ [1] + [2] }}{{ 'x,y'.split(',')[-1].strip() }}{{ messages|map(attribute='role')|join(', ') }}",
    "{% set n = namespace(i=0) %}{% for m in messages if m.role != 'x' %}{% set n.i = n.i + 1 %}{% endfor %}{{ n.i }}",
    "{% macro f(x) %}[{{ x }}]{% endmacro %}{{ f('q') }}{% set b %}k{{ 1 }}{% endset %}{{ b }}{{ {'a': [1]}['a'][0] }}",
    "{% for m in messages %}{% if loop.first %}{% continue %}{% endif %}{{ m.role }}{{ loop.index }}{% endfor %}",
    "{% for m in messages|selectattr('role', 'equalto', 'user') %}{{ m.content|upper|replace('W', 'w') }}{% endfor %}",
    "{{ range(3)|list }}{{ messages[::-1]|first|string }}{{ 3.5|round(0)|int }}{{ missing|default('none') }}",
    "{%- for m in messages -%}{{- '\n' if loop.index0 else '' -}}{{ m.content[:4] }}{% endfor -%}",
]


def environment(kind: type) -> ImmutableSandboxedEnvironment:
    return kind(trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols"])


@pytest.mark.parametrize("name", ENDLESS)
def test_a_template_without_end_is_a_sentence(name: str) -> None:
    with clocks.computing(2), pytest.raises(TooMuch, match=r"^it |^its "):
        environment(BoundedEnvironment).from_string(ENDLESS[name]).render(messages=MESSAGES)


@pytest.mark.parametrize("template", PLAIN)
def test_what_stays_within_is_what_jinja_writes(template: str) -> None:
    ours, own = (
        environment(kind).from_string(template) for kind in (BoundedEnvironment, ImmutableSandboxedEnvironment)
    )
    assert ours.render(messages=MESSAGES) == own.render(messages=MESSAGES)
    assert ours.render(messages=MESSAGES) == own.render(messages=MESSAGES), "the second time, with a budget of its own"


def test_a_template_is_asked_before_a_run_is_stored(tmp_path: Path) -> None:
    (tmp_path / "chat_template.jinja").write_text(ENDLESS["loops in loops"])
    assert "does not come to an end" in str(refused(tmp_path, MESSAGES))
    (tmp_path / "chat_template.jinja").write_text("{" * 150_000)
    assert refused(tmp_path, MESSAGES) == "it nests too deep"
    (tmp_path / "chat_template.jinja").write_text("x" * 300_000)
    assert "more than 200,000 characters" in str(refused(tmp_path, MESSAGES))


@pytest.mark.parametrize("name", ["loops in loops", "a macro of itself", "text times a number", "wide by format"])
def test_transformers_renders_it_within_the_same_bounds(name: str, tmp_path: Path) -> None:
    tiny.tokenizer("llama").save_pretrained(tmp_path)
    (tmp_path / "chat_template.jinja").write_text(ENDLESS[name])
    reader = reader_of(read_tokenizer(tmp_path, "a model"))
    with clocks.computing(2), pytest.raises(DataError, match="chat template refuses a conversation"):
        reader.conversation([dict(message) for message in MESSAGES])
