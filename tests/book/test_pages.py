"""What stands in the pages of a book: everything that must, and nothing that acts."""

import html
import re
from functools import cache
from html.parser import HTMLParser
from pathlib import Path

import pytest

from tests.book.conftest import BIBTEX, LONG
from tests.local import ROOT
from tests.runner.test_safe import MARKUP, Faults
from workbench import catalogue
from workbench.book import inert, lookups, papers

KEPT = ("#20_pairs.csv", "/evil")  # of notebooks, to files that are not there
PAGES = (
    "index", "10_all", "10a_study", "11_other", "studies", "gallery", "claims",
    "glossary", "bibliography", "methods/index", "methods/dpo", "methods/ipo",
    "api/index", "api/core", "search",
)  # fmt: skip


def page(book: Path, name: str) -> str:
    return (book / f"{name}.html").read_text(encoding="utf-8")


def article(book: Path, name: str) -> str:
    """The part of a page that is made of notebooks, cards and docstrings."""
    text = page(book, name)
    start = text.index('<article class="bd-article"')
    return text[start : text.index("</article>", start)]


class Links(HTMLParser):
    """Addresses and ids of a page."""

    def __init__(self, text: str):
        super().__init__()
        self.addresses: list[tuple[str, str]] = []
        self.ids: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        found = dict(attrs)
        self.ids += [found["id"]] if found.get("id") else []
        for name in ("href", "src", "data-live", "data-states"):
            if found.get(name):
                self.addresses.append((tag, found[name]))


@cache
def read(path: Path) -> Links:
    return Links(path.read_text(encoding="utf-8"))


def test_the_pages_are_all_there(book):
    assert {path.relative_to(book).as_posix() for path in book.rglob("*.html")} == {
        f"{name}.html" for name in PAGES
    }


@pytest.mark.parametrize("name", PAGES)
def test_every_link_within_the_book_leads_somewhere(book, name):
    here = book / f"{name}.html"
    for tag, address in read(here).addresses:
        if re.match(r"https?:|data:|mailto:", address) or address in KEPT:
            continue
        path, _, anchor = address.partition("?")[0].partition("#")
        target = (here.parent / path).resolve() if path else here
        assert target.is_file(), f"{tag} {address}"
        if anchor and target.suffix == ".html":
            assert anchor in read(target).ids, address


@pytest.mark.parametrize("name", PAGES)
def test_nothing_but_a_link_points_to_another_machine(book, name):
    text = page(book, name)
    remote = [
        (tag, address)
        for tag, address in Links(text).addresses
        if re.match(r"(https?:)?//", address) and tag != "a"
    ]
    assert remote == []
    for style in re.findall(r"<style.*?</style>", text, re.S):
        assert not re.search(r"@import|url\(", style)
    assert "mathjax" not in text.lower()


def test_no_style_sheet_fetches_anything(book):
    sheets = list(book.rglob("*.css"))
    assert len(sheets) > 3
    for sheet in sheets:
        text = re.sub(r"/\*.*?\*/", "", sheet.read_text(encoding="utf-8"), flags=re.S)
        assert not re.search(r"(@import|url\()\s*['\"]?(https?:)?//", text), sheet


@pytest.mark.parametrize("name", [n for n in PAGES if n != "search"])
def test_no_id_is_given_twice(book, name):
    ids = Links(page(book, name)).ids
    assert sorted({i for i in ids if ids.count(i) > 1}) == []


# ---- text stays text ----------------------------------------------------------------


def strange(text: str) -> list[str]:
    """Faults of an article but those of our own making."""
    own = ("<input>", "img src=figures/", "<svg>")
    found = Faults(text).found
    return [fault for fault in found if not fault.startswith(own)]


@pytest.mark.parametrize("name", [n for n in PAGES if n != "search"])
def test_no_text_of_a_notebook_a_card_or_a_docstring_acts(book, name):
    assert strange(article(book, name)) == []
    whole = page(book, name)
    assert "<script>steal" not in whole
    assert not re.search(r"<[a-z][^>]*\son\w+\s*=", re.sub(r'"[^"]*"', '""', whole))
    for image in re.findall(r"<img[^>]*>", whole):
        sources = re.findall(r'src="([^"]*)"', image)
        assert all(re.match(r"figures/[\w.-]+$|data:image/", s) for s in sources), image


def test_markup_in_prose_is_shown_as_it_is_written(book):
    text = html.unescape(re.sub(r"<[^>]+>", "", article(book, "11_other")))
    for markup in (MARKUP[0], MARKUP[5], MARKUP[14]):
        assert markup in text.replace("’", "'").replace("‘", "'")
    assert "% no comment" in text
    assert "(target)=" in text
    assert "secret" not in text.replace("secret.txt", "")


def test_markup_in_streams_errors_and_plain_text_is_shown(book):
    text = article(book, "11_other")
    assert text.count("&lt;script&gt;steal()&lt;/script&gt;") >= 4


def test_markup_in_a_claim_and_in_a_card_is_shown(book):
    assert html.escape(MARKUP[0]) in article(book, "claims")
    assert html.escape(MARKUP[0]) in article(book, "methods/ipo")
    assert "&lt;script&gt;" in article(book, "glossary")


@pytest.mark.parametrize("text", [*MARKUP, "{ref}`x` [a](b) $x$ *a* _b_ # 1. | \\ ~"])
def test_a_text_can_be_written_so_that_markdown_shows_it_exactly(text):
    from markdown_it import MarkdownIt

    shown = MarkdownIt("commonmark").render(inert.literal(text))
    assert html.unescape(shown) == f"<p>{' '.join(text.split())}</p>\n"


@pytest.mark.parametrize("text", ["a\n```\nb", "````{raw} html\n````", "", "```"])
def test_no_line_of_a_listing_ends_it(text):
    lines = inert.listing(text).split("\n")
    fence = lines[-1]
    assert set(fence) == {"`"} and lines[0].startswith(fence)
    assert not any(line.startswith(fence) for line in lines[1:-1])


# ---- figures, claims, solutions -----------------------------------------------------


def test_a_figure_has_its_alt_sentence_its_anchor_and_its_files(book):
    text = article(book, "10_all")
    figures = re.findall(r'<figure class="wb-figure" id="(figure-\d)"([^>]*)>', text)
    assert [name for name, _ in figures] == ["figure-1", "figure-2", "figure-3"]
    assert 'data-live="figures/10_all-1.js"' in figures[0][1]
    assert "data-live" not in figures[2][1]  # a drawing has no live form
    assert 'alt="reward &quot;&lt;b&gt;&quot; &amp; KL"' in text
    assert 'width="840" height="393"' in text
    assert (book / "figures/10_all-1.png").read_bytes().startswith(b"\x89PNG")
    assert (book / "_static/plotly.min.js").stat().st_size > 1_000_000
    script = (book / "figures/10_all-1.js").read_text()
    assert '.figure ||= {})["10_all-1"] = {"data":[{' in script


def test_claims_and_figures_are_linked_to_their_place(book):
    assert 'id="claim-first"' in article(book, "10_all")
    assert 'href="10_all.html#claim-first"' in article(book, "claims")
    assert 'href="10a_study.html#claim-of-study"' in article(book, "claims")
    assert 'href="10_all.html#figure-2"' in article(book, "gallery")
    assert "bibliography.html#arxiv-2305-18290" in article(book, "10_all")
    assert "the statement of first" in article(book, "claims")


def test_the_gallery_has_captions_commands_and_tables(book):
    text = article(book, "gallery")
    assert "The caption of the dial." in text
    assert "<code>workbench run 10a</code>" in text
    assert 'href="results/10_all/numbers.csv"' in text
    assert (book / "results/10_all/numbers.csv").read_text() == "a,b\n1,2\n"


def test_solutions_parameters_and_long_code_are_folded(book):
    text = article(book, "10_all")
    folds = re.findall(r"<details\b.*?</details>", text, re.S)
    folded = [re.sub(r"<[^>]+>", "", fold) for fold in folds]
    assert sum("folded_cell" in fold for fold in folded) == 1
    assert sum("folded words" in fold for fold in folded) == 1
    assert sum("line_29" in fold for fold in folded) == 1
    assert sum("PROFILE" in fold for fold in folded) == 1
    assert not any("total = sum" in fold for fold in folded)
    assert not any(re.search(r"<details[^>]* open", fold) for fold in folds)
    assert len(LONG.split("\n")) == 30 and "Code, 30 lines" in text


def test_formulas_are_drawn_without_a_script(book):
    text = article(book, "10_all")
    assert text.count("<math") >= 2
    assert text.count("<mtr>") == 2
    assert "<mi>β</mi>" in text
    assert "\\beta" not in text and "$" not in text
    assert "<math" in article(book, "glossary")


def test_links_between_notebooks_lead_to_pages(book):
    links = dict(
        reversed(pair)
        for pair in re.findall(
            r'href="([^"]+)"[^>]*>(?:<span[^>]*>)?([^<]+)<', article(book, "10_all")
        )
    )
    assert links["the other"] == "11_other.html"
    assert links["there"] == "11_other.html#a-part"
    assert links["glossary"] == "glossary.html"
    assert links["theirs"] == "https://a.invalid/21_b.ipynb"


def test_previous_and_next_follow_the_reading_path(book):
    text = page(book, "10_all")
    around = re.findall(r'<a class="(left|right)-(?:prev|next)"\s+href="([^"]+)"', text)
    assert dict(around) == {"left": "index.html", "right": "11_other.html"}


def test_the_landing_page_has_three_doors_and_hours(book):
    text = article(book, "index")
    doors = re.findall(r'class="sd-stretched-link[^"]*" href="([^"]+)"', text)
    assert doors == ["10_all.html", "methods/index.html", "gallery.html"]
    assert "1 lessons, 1.5 hours" in text
    assert "<svg" in text
    assert 'href="10a_study.html"' in text


def test_a_word_of_the_glossary_has_an_anchor(book):
    ids = Links(page(book, "glossary")).ids
    assert "term-zebrafish" in ids
    assert any("EOS" in name for name in ids)


def test_a_methods_page_has_all_that_is_known(book):
    text = html.unescape(article(book, "methods/dpo"))
    for words in (
        "L = −log σ(β·D)", "Minimiser", "Chosen and rejected swapped",
        "paper, appendix B", "workbench/methods/direct/links/dpo.py",
        "The population minimiser over all responses",
    ):  # fmt: skip
        assert words in text, words
    assert BIBTEX in re.sub(r"<[^>]+>", "", text)
    assert "../bibliography.html#arxiv-2305-18290" in text
    assert "../10_all.html" in article(book, "methods/ipo")


def test_the_library_is_told_from_its_docstrings(book):
    text = article(book, "api/core")
    assert 'id="workbench.core.kl' in text or "workbench.core." in text
    assert "folder" in text and "Raises" in text
    assert 'id="workbench.core.claimed.claimed"' in text


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("Rafailov et al. 2023 (2305.18290), section 4",
         [("Rafailov et al.", "2023", "2305.18290")]),
        ("Bradley & Terry 1952; Ouyang et al. 2022 (2203.02155)",
         [("Bradley & Terry", "1952", ""), ("Ouyang et al.", "2022", "2203.02155")]),
        ("Zhao et al. 2023 (2305.10425), Liu et al. 2023 (2309.06657)",
         [("Zhao et al.", "2023", "2305.10425"), ("Liu et al.", "2023", "2309.06657")]),
        ("Hong, Lee & Thorne 2024 (2403.07691)",
         [("Hong, Lee & Thorne", "2024", "2403.07691")]),
        ("Shao et al. 2024 (2402.03300); Yu et al. 2025 (2503.14476), the DAPO form",
         [("Shao et al.", "2024", "2402.03300"), ("Yu et al.", "2025", "2503.14476")]),
        ("ours", []),
        ("Mitchell 2023 (note, ericmitchell.ai/cdpo.pdf)", [("Mitchell", "2023", "")]),
    ],
)  # fmt: skip
def test_papers_are_read_off_what_cards_and_claims_say(text, found):
    assert [(p.authors, p.year, p.arxiv) for p in papers.named(text)] == found


def test_a_bibtex_entry_has_authors_year_number_and_title():
    [paper] = papers.named("Hong, Lee & Thorne 2024 (2403.07691)")
    entry = papers.bibtex(paper, "ORPO & more")
    assert entry.startswith("@misc{hong2024_2403_07691,\n")
    assert "author = {Hong and Lee and Thorne}" in entry
    assert "title = {{ORPO \\& more}}" in entry
    assert "eprint = {2403.07691}" in entry
    assert "author = {Munos and others}" in papers.bibtex(
        papers.named("Munos et al. 2023")[0]
    )


@pytest.mark.parametrize(
    ("authors", "read"),
    [
        ("Pang and He", "Pang and He"),
        ("Ray Chowdhury et al.", "{Ray Chowdhury} and others"),
        ("T. Liu et al.", "T. Liu and others"),
        ("Meng, Xia & Chen", "Meng and Xia and Chen"),
        ("Flet-Berliac et al.", "Flet-Berliac and others"),
    ],
)
def test_a_name_of_two_words_is_one_surname(authors, read):
    entry = papers.bibtex(papers.Paper(authors, "2024"))
    assert f"  author = {{{read}}},\n" in entry


def test_what_latex_would_act_on_is_escaped():
    title = r"100% of $5 & a_b #1 {x ~ y^2 \end"
    entry = papers.bibtex(papers.Paper("A", "2024", "2401.00001"), title)
    assert (
        r"title = {{100\% of \$5 \& a\_b \#1 \textbraceleft{}x \textasciitilde{} "
        r"y\textasciicircum{}2 \textbackslash{}end}}"
    ) in entry
    assert "url = {https://arxiv.org/abs/2401.00001}" in entry


def bib_entries(text: str) -> dict[str, dict[str, str]]:
    """A strict reader of BibTeX: every character belongs to an entry."""
    found: dict[str, dict[str, str]] = {}
    entry = r"@misc\{([a-z0-9_]+),\n((?:  \w+ = \{.*\},\n)+)\}"
    assert re.fullmatch(rf"{entry}(?:\n\n{entry})*\n", text)
    for key, body in re.findall(entry, text):
        assert key not in found, key
        fields = re.findall(r"  (\w+) = \{(.*)\},\n", body)
        assert len({name for name, _ in fields}) == len(fields)
        for name, value in fields:
            depth = [value[: n + 1].count("{") - value[: n + 1].count("}")
                     for n in range(len(value))]  # fmt: skip
            assert value and min(depth) >= 0 and depth[-1] == 0, value
            bare = re.sub(r"\\(?:[&%#_$]|text\w+\{\})", "", value)
            assert name == "url" or not re.search(r"[&%#_$~^\\]", bare), value
        found[key] = dict(fields)
    return found


def test_the_books_papers_are_one_file_of_bibtex(book):
    found = bib_entries((book / papers.FILE).read_text(encoding="utf-8"))
    listed = re.findall(r'<dt id="([\w-]+)">', article(book, "bibliography"))
    assert len(found) == len(listed) > 1
    assert found["rafailov2023_2305_18290"]["eprint"] == "2305.18290"
    for name in ("bibliography", "index"):
        assert f'href="{papers.FILE}" download' in article(book, name)


def test_all_papers_of_the_library_have_a_key_of_their_own_and_a_title():
    cards = catalogue.cards()
    known = papers.titles(ROOT)
    every = papers.distinct(lookups.cited(cards, []))
    found = bib_entries(papers.library(every, known))
    assert len(found) == len(every) > 40
    assert [key for key, entry in found.items() if "title" not in entry] == []


def test_papers_that_differ_in_one_name_have_two_keys():
    text = "Bradley & Terry 1952; Bradley 1952; Tülü 2020"
    found = bib_entries(papers.library(papers.distinct(papers.named(text)), {}))
    assert list(found) == ["bradley_1952", "bradley_terry_1952", "tulu_2020"]
