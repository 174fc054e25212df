"""Text of models and users stays text: no markup, no link, no request, nothing hidden, never too much of it."""

import html
import re
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from streamlit.testing.v1 import AppTest

from app import untrusted
from tests.app.hostile import PAYLOADS, SCRIPTS


def script(payload: str) -> None:
    """A page of nothing but untrusted text, in every place that such text may stand."""
    import streamlit as st

    from app import untrusted
    from app.components.frame import layout, tables, text_blocks
    from app.components.frame.tables import Column

    text_blocks.show_text(payload, key="text")
    text_blocks.show_block(payload, key="block")
    layout.heading(payload, payload)
    layout.note(payload)
    layout.problem(payload, payload)
    tables.show((Column(label=payload),), [(payload,)], alt="x")
    st.caption(untrusted.label(payload))


@pytest.mark.parametrize("payload", PAYLOADS)
def test_a_label_is_one_paragraph_of_plain_text(payload: str) -> None:
    """CommonMark with tables and strikethrough finds nothing in it but the characters that were given."""
    found = MarkdownIt("commonmark").enable(["table", "strikethrough"]).render(untrusted.label(payload, 1_000))
    inside = re.fullmatch(r"<p>(.*)</p>\n", found, re.DOTALL)
    assert inside is not None
    assert "<" not in inside[1]
    shown = html.unescape(inside[1]).replace("\u2060", "")
    assert shown == " ".join(untrusted.visible(payload).split())


@pytest.mark.parametrize("payload", PAYLOADS)
def test_no_address_or_directive_survives_in_a_label(payload: str) -> None:
    """What Streamlit recognises after Markdown: bare addresses, emoji codes, :material/ and :red[ directives."""
    label = untrusted.label(payload, 1_000)
    text = label.replace("\\", "")
    assert not re.search(r"https?://|www\.|\w@\w|:\w+:", text)
    assert ":material/" not in label
    assert not re.search(r"(?<!\\):[a-z-]+\[", label)


@pytest.mark.parametrize("payload", PAYLOADS)
def test_every_place_shows_the_text_and_nothing_else(payload: str) -> None:
    page = AppTest.from_function(script, args=(payload,), default_timeout=300).run()
    assert not page.exception
    assert page.text[0].value == untrusted.visible(payload)
    assert page.code[0].value == untrusted.visible(payload)
    assert page.title[0].value == untrusted.label(payload, 120)
    markdown = [element.value for element in (*page.caption, *page.error)]
    assert all(piece in (untrusted.label(payload, n) for n in (80, 120, 600)) for piece in markdown)
    assert not any(element.allow_html for element in (*page.markdown, *page.caption))


@given(st.text())
def test_what_the_eye_would_miss_is_spelt_out(text: str) -> None:
    """No control, format or surrogate character is left, and everything can be sent to a browser."""
    shown = untrusted.visible(text)
    shown.encode("utf-8")
    assert all(character in "\n\t" or character.isprintable() or character.isspace() for character in shown)


def test_lone_surrogates_and_escapes_are_marked() -> None:
    assert untrusted.visible("a\ud800b\x1b[0m") == "a⟨U+D800⟩b⟨U+001B⟩[0m"


def test_a_long_text_is_capped_and_says_so() -> None:
    """5,000 characters show 1,200 and a button for the rest; the button shows them."""

    def long_page() -> None:
        from app.components.frame import text_blocks

        text_blocks.show_block("x" * 5_000, key="long")

    page = AppTest.from_function(long_page, default_timeout=300).run()
    assert page.code[0].value == "x" * 1_200 + "…"
    assert page.button[0].label == "Show all 5,000 characters"
    page.button[0].click().run()
    assert page.code[0].value == "x" * 5_000
    assert len(page.button) == 0


@pytest.mark.parametrize(
    ("text", "shown"),
    [("x" * 1_000_000, untrusted.SHOWN_AT_MOST + 1), ("\n" * 100_000, untrusted.SHOWN_AT_MOST + 1)],
)
def test_even_all_of_it_has_an_end(text: str, shown: int) -> None:
    def endless(text: str) -> None:
        import streamlit as st

        from app.components.frame import text_blocks

        st.session_state["all_of_t"] = True
        text_blocks.show_text(text, key="t")

    page = AppTest.from_function(endless, args=(text,), default_timeout=300).run()
    assert len(page.text[0].value) <= shown  # Streamlit itself drops leading empty lines


@pytest.mark.parametrize("shorten", [untrusted.plain, untrusted.chart_text, untrusted.label])
def test_one_line_stays_one_line(shorten: Callable[..., str]) -> None:
    assert "\n" not in shorten("a\nb\r\nc\u2028d")
    assert len(shorten("x" * 500, 40)) == 40


def test_a_chart_gets_no_tags() -> None:
    assert untrusted.chart_text("<b>x</b><a href='//e'>") == "&lt;b&gt;x&lt;/b&gt;&lt;a href=&#x27;//e&#x27;&gt;"


@pytest.mark.parametrize("text", SCRIPTS)
def test_what_a_script_needs_is_shown_as_it_is_written(text: str) -> None:
    assert untrusted.visible(text) == text


@pytest.mark.parametrize(
    "hidden",
    [
        *"\u200b\u200c\u200d\u200e\u200f\u202a\u202e\u2066\u2069\ufeff\u00ad\u3164\ufe0f\U000e0041\x00"
        "\u034f\u115f\u1160\u17b4\u17b5\u180b\u180e\u2800\uffa0\ufe00\ufe0e\U000e0100\U0001d159"
    ],
)
def test_what_the_eye_would_miss_among_latin_letters_is_spelt_out(hidden: str) -> None:
    assert untrusted.visible(f"pay{hidden}pal") == f"pay⟨U+{ord(hidden):04X}⟩pal"


@pytest.mark.parametrize(
    "text", ["\U0001f600\U000e0101", "1\ufe0f2", "\u845b\ufe0f\U000e0100\u180b", "\ufe0fx", "a\ufe0f\u20e3"]
)
def test_selectors_that_choose_nothing_are_spelt_out(text: str) -> None:
    """Letters can be written in them behind any character."""
    assert "⟨U+" in untrusted.visible(text)


@pytest.mark.parametrize("hidden", [*"\u202a\u202b\u202d\u202e\u2066\u2067\u2068\u2069\u200b"])
def test_overrides_of_direction_are_spelt_out_in_every_script(hidden: str) -> None:
    assert f"⟨U+{ord(hidden):04X}⟩" in untrusted.visible(f"\u05e9\u05dc{hidden}\u05d5\u05dd")


def test_a_joiner_is_needed_once() -> None:
    assert untrusted.visible("\u0645\u200c\u200c\u0647").count("⟨U+200C⟩") == 2


@pytest.mark.parametrize("text", ["\u0e01\u200b\u200b\u0e02", "\u0e01\u200bpaypal", "\u200b\u0e01", "\u0e01\u200b"])
def test_a_break_of_words_is_spelt_out_where_it_parts_none(text: str) -> None:
    assert untrusted.visible(text).count("⟨U+200B⟩") == text.count("\u200b")
