"""A report as one file: it says all that the page says, fetches nothing, runs nothing, and its text stays text."""

import base64
import hashlib
import io
import re
from dataclasses import replace
from html.parser import HTMLParser
from importlib.metadata import version

import pytest
import yaml
from pypdf import PdfReader

from cwpo.compare.judges.card import SILENT, CardRow
from cwpo.compare.matched_kl import MatchedRow
from cwpo.config.run import RunConfig
from cwpo.report.document import fonts
from cwpo.report.document.as_html import to_html
from cwpo.report.document.as_pdf import to_pdf
from cwpo.report.document.contents import document_of, shared_yaml
from cwpo.report.document.parts import Document, Paragraph, Picture, Sheet, legible
from cwpo.report.judges.cards import MODEL, TITLE
from cwpo.report.tables import Table, fitting, to_latex
from cwpo.report.under_table import LOSS_ALONE
from tests.cwpo.report.reports import HOSTILE, NOW, compared, report

ALLOWED = {
    "html", "head", "meta", "title", "style", "body", "h1", "h2", "h3", "p", "footer", "div", "table", "thead", "tbody",
    "tr", "th", "td", "pre", "svg", "line", "circle", "text",
}  # fmt: skip
HARMLESS = {
    "lang", "charset", "http-equiv", "content", "name", "class", "dir", "scope", "role", "aria-label", "width",
    "height",
    "viewbox", "x1", "x2", "y1", "y2", "x", "y", "cx", "cy", "r", "fill", "stroke", "stroke-width", "stroke-dasharray",
    "font-size", "text-anchor",
}  # fmt: skip


class Parsed(HTMLParser):
    """Tags, attributes and text of a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: list[tuple[str, str | None]] = []
        self.words: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes += attrs

    def handle_data(self, data: str) -> None:
        self.words.append(data)


def test_the_page_has_no_script_no_address_and_no_style_but_its_own() -> None:
    """Whatever a run is called: only tags and attributes that fetch nothing, under a policy that allows one style."""
    page = to_html(report(name=HOSTILE))
    found = Parsed(page)
    assert found.tags <= ALLOWED
    assert {name for name, _ in found.attributes} <= HARMLESS
    assert not [value for _, value in found.attributes if value and "://" in value]
    policy = next(value for _, value in found.attributes if value and value.startswith("default-src"))
    style = page.split("<style>")[1].split("</style>")[0]
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert policy == f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    assert not re.search(r"url\(|@import", style)
    assert "<script" not in page
    assert "⟨U+202E⟩⟨U+200B⟩" in page
    assert "\u202e" not in page


def test_the_page_says_verdict_tables_terms_seeds_configuration_and_version() -> None:
    whole = compared(failed=1)
    said = " ".join(Parsed(to_html(report(failed=1))).words)
    assert whole.verdict.headline.startswith("CW by ")
    for words in (
        whole.verdict.headline,
        "GRA is gold reward accuracy",
        "against the policy before alignment",
        "ties count half",
        "the sandbox oracle",
        "not pinned",
        "temperature 1, top-p 1, at most 48 tokens, 2 answers a prompt",
        "5 (0, 1, 2, 3, 4)",
        "1 (4)",
        "label_fraction: 0.3",
        f"Made by cwpo {version('cwpo')} on 26 November 2026, 09:30 UTC from runs 1, 2, 3",
        "The smallest true difference that tables like this, with all comparisons, find four times in five.",
    ):
        assert words in said, words
    for row in whole.table:
        assert f"{100 * row.estimate:.1f}" in said


def test_the_configuration_of_a_report_is_what_all_settings_share() -> None:
    """Read back, it holds every field that does not differ, and none that does."""
    config = RunConfig(method="cw")
    shared = yaml.safe_load(shared_yaml(config, {"method": 1, "align.beta": 1, "data.mix": 1}))
    whole = config.canonical()
    assert "method" not in shared
    assert "beta" not in shared["align"]
    assert {name: value for name, value in whole["align"].items() if name != "beta"} == shared["align"]
    assert shared["evaluation"] == whole["evaluation"]


def test_the_pdf_has_the_verdict_as_text_its_tables_and_its_pages() -> None:
    whole = compared()
    reader = PdfReader(io.BytesIO(to_pdf(report(title="For the meeting"), made_at=NOW)))
    pages = [page.extract_text() for page in reader.pages]
    said = re.sub(r"\s+", " ", " ".join(pages)).replace("−", "-")
    assert whole.verdict.headline.replace("−", "-") in said
    assert 3 <= len(pages) <= 8
    assert reader.metadata is not None
    assert reader.metadata.title == "For the meeting"
    assert "How GRA was counted" in said
    assert f"Made by cwpo {version('cwpo')}" in said
    assert not [page for page in reader.pages if "/Annots" in page]
    assert not [name for page in reader.pages for name in page.images]


def test_the_charts_of_the_pdf_are_drawn_mark_by_mark_within_their_page() -> None:
    """Each line, each dot of four arcs and each label of every chart, by itself on a page; nothing else is drawn."""
    whole = report()
    pictures = [part for part in whole.parts if isinstance(part, Picture)]
    assert len(pictures) >= 2
    for picture in pictures:
        (page,) = PdfReader(io.BytesIO(to_pdf(replace(whole, parts=(picture,)), made_at=NOW))).pages
        content = page.get_contents()
        assert content is not None
        drawn = content.get_data().decode("latin-1")
        lines = re.findall(r"([\d.]+) ([\d.]+) m ([\d.]+) ([\d.]+) l S", drawn)
        assert len(lines) == len(picture.strokes) > 0
        assert len(re.findall(r" c f\b", drawn)) == len(picture.dots) > 0
        places = [(float(x), float(y)) for one in lines for x, y in (one[:2], one[2:])]
        assert all(0 < x < page.mediabox.width and 0 < y < page.mediabox.height for x, y in places)
        assert max(x for x, _ in places) - min(x for x, _ in places) > 100
        said = re.sub(r"\s+", " ", page.extract_text()).replace("−", "-")
        assert [label.text for label in picture.labels if label.text.replace("−", "-") not in said] == []


def test_a_name_in_any_script_makes_a_pdf_and_what_no_font_has_is_named_by_its_number() -> None:
    """With the fonts of this machine; U+10FFFD is in none."""
    content = to_pdf(report(name="Ελλάδα مرحبا \U0010fffd"), made_at=NOW)
    said = "".join(page.extract_text() for page in PdfReader(io.BytesIO(content)).pages)
    assert "[U+10FFFD]" in said
    assert "Signs that no font of this machine has" in said


def test_without_any_font_the_pdf_is_written_in_latin_letters(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fonts, "_files", lambda: ())
    content = to_pdf(report(name="β run 漢"), made_at=NOW)
    said = "".join(page.extract_text() for page in PdfReader(io.BytesIO(content)).pages)
    assert "beta run [U+6F22]" in said
    assert "did better than Human" in re.sub(r"\s+", " ", said)


def test_a_table_of_200_lines_and_a_long_word_stay_on_the_paper() -> None:
    rows = tuple((f"setting {n}", "x" * 300 if n == 7 else "short", str(n)) for n in range(200))
    sheet = Sheet(title="Many", table=Table(columns=("setting", "word", "n"), rows=rows))
    document = Document(title="t", subtitle="s", parts=(Paragraph(text="p"), sheet), foot="f")
    pages = PdfReader(io.BytesIO(to_pdf(document, made_at=NOW))).pages
    assert len(pages) > 3
    assert all("setting" in page.extract_text() for page in list(pages)[:3])
    assert "setting 199" in pages[-1].extract_text()


def test_what_would_turn_a_line_or_hide_in_it_is_spelt_out_and_joiners_stay() -> None:
    assert legible("a\u202eb\u2066c\ufeff\0") == "a⟨U+202E⟩b⟨U+2066⟩c⟨U+FEFF⟩⟨U+0000⟩"
    assert legible("می\u200cخواهم 👩\u200d🔬") == "می\u200cخواهم 👩\u200d🔬"


# ---- tables that fit ------------------------------------------------------------------------------------------------


def test_latex_has_no_more_columns_than_fit_and_every_part_names_its_rows() -> None:
    """16 columns of 12 characters and what stands between: 92 characters hold the name and 5 of them."""
    columns = ("setting", *(f"column {n:02d} ab" for n in range(15)))
    table = Table(
        columns=columns, rows=tuple((f"s{row}", *map(str, range(15))) for row in range(3)), notes=("Why.", " ")
    )
    parts = fitting(table, 92)
    assert [len(part.columns) for part in parts] == [6, 6, 6]
    assert [name for part in parts for name in part.columns[1:]] == list(columns[1:])
    assert all([row[0] for row in part.rows] == ["s0", "s1", "s2"] for part in parts)
    latex = to_latex(table)
    assert latex.count(r"\begin{tabular}") == 3
    assert latex.count("footnotesize") == 1


def test_a_narrow_table_stays_whole_and_long_words_break_in_their_column() -> None:
    table = Table(columns=("setting", "note"), rows=(("CW", "word " * 20),))
    assert fitting(table, 92)[0].columns == table.columns
    assert to_latex(table).startswith("\\begin{tabular}{lp{0.4\\linewidth}}")
    assert to_latex(Table(columns=(), rows=())).startswith("\\begin{tabular}")


def test_a_report_without_configurations_says_so() -> None:
    bare = replace(compared(), configs={})
    said = " ".join(Parsed(to_html(document_of(bare, title="", made_at=NOW))).words)
    assert "No configuration can be read here." in said


def test_what_a_change_of_the_loss_brings_stands_in_the_report_where_settings_differ_in_it_alone() -> None:
    whole = compared()
    assert LOSS_ALONE not in to_html(document_of(whole, title="", made_at=NOW))
    first, second = [run.id for run in whole.runs if run.method == "cw"][:2]
    configs = {**whole.configs, second: whole.configs[first].model_copy(update={"objective": "ipo"})}
    said = " ".join(Parsed(to_html(document_of(replace(whole, configs=configs), title="", made_at=NOW))).words)
    assert LOSS_ALONE in said


def test_the_judge_card_stands_in_the_report_where_something_is_known_of_the_judge() -> None:
    """q = 75 % and a GRA of 60 %: (0.6 + 0.75 − 1)/(2 · 0.75 − 1) = 70 %. Why a row has no figure stands below."""
    whole = compared()
    known = {
        "judge": "trained", "pairs": 400, "q": 0.75, "q_low": 0.7, "q_high": 0.8, "ties": 0.1, "gap": 0.5,
        "longer_won": 0.5, "low": 0.55, "high": 0.65,
    }  # fmt: skip
    figures = {"true": 0.7, "true_low": 0.58, "true_high": 0.86, "said": ""}
    nothing = {"true": None, "true_low": None, "true_high": None, "said": SILENT}
    rows = [
        CardRow(group_key=row.group_key, label=row.label, method=row.method, estimate=0.6, **known, **more)
        for row, more in zip(whole.table, (figures, figures, nothing), strict=True)
    ]
    told = replace(whole, cards=rows, of_cards=["Agreement by length: short 70.0 % (60.0 – 80.0)."])
    document = document_of(told, title="", made_at=NOW)
    sheet = next(part for part in document.parts if isinstance(part, Sheet) and part.title == TITLE)
    place = sheet.table.columns.index("corrected GRA, %")
    assert [row[place : place + 2] for row in sheet.table.rows] == [("70.0", "58.0 – 86.0")] * 2 + [("–", "–")]
    said = " ".join(Parsed(to_html(document)).words)
    for wanted in ("75.0", "70.0 – 80.0", f"Corrected GRA: {SILENT} ({rows[2].label}).", *told.of_cards, MODEL):
        assert wanted in said, wanted
    assert to_pdf(document, made_at=NOW).startswith(b"%PDF")
    assert TITLE not in to_html(document_of(whole, title="", made_at=NOW))


def test_under_its_differences_a_report_says_what_became_of_the_runs_and_under_gra_how_far_intervals_hold() -> None:
    """Five seeds each, two differences; a second table of differences has its own number."""
    under = "17 runs planned for these settings: 15 in the table, 1 failed, 1 evaluated but left out (run 9)."
    found = compared()
    names = {"first_method": "cw", "second_method": "human", "first_label": "CW", "second_label": "Human"}
    matched = MatchedRow(label="CW − Human", objective="dpo", estimate=0.01, low=-0.02, high=0.04, **names)
    made = document_of(replace(found, under=under, matched=[matched]), title="", made_at=NOW)
    notes = {part.title: part.table.notes for part in made.parts if isinstance(part, Sheet)}
    assert under in notes["Differences"]
    assert notes["Differences at matched KL"] == (
        "Of the runs that are counted under the first table of differences. 1 difference looked at.",
    )
    (held, *_) = notes["GRA and what stands beside it"]
    assert held.startswith("Simulated, 95 % intervals of GRA hold the truth in 94 to 100 % of cases with 5 seeds;")
