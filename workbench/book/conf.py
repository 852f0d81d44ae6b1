"""Sphinx's settings for the book; `binding` calls it with this folder.

Whatever a page needs lies beside it: no font, style or script is fetched from anywhere.
"""

import os

project = "workbench"
html_title = "workbench"
language = "en"
extensions = ["myst_nb", "sphinx_design", "workbench.book.plugin"]
exclude_patterns = ["_build"]

# ---- notebooks: executed elsewhere, outputs cleaned in `chapters` --------------------
nb_execution_mode = "off"
nb_merge_streams = True
nb_number_source_lines = False
nb_code_prompt_show = "Show the code"
nb_code_prompt_hide = "Hide the code"

# ---- Markdown: HTML in it is text ----------------------------------------------------
myst_enable_extensions = ["dollarmath", "amsmath", "deflist"]
myst_disable_syntax = [
    "html_block", "html_inline", "myst_line_comment", "myst_block_break", "myst_target",
]  # fmt: skip
myst_dmath_double_inline = True
myst_dmath_allow_labels = False
myst_heading_anchors = 3
myst_update_mathjax = False
suppress_warnings = [
    "myst.header", "myst.xref_missing", "mystnb.unknown_mime_type",
    "misc.highlighting_failure", "toc.not_included", "ref.python",
]  # fmt: skip
html_math_renderer = "mathml"

# ---- pages ---------------------------------------------------------------------------
html_theme = "sphinx_book_theme"
html_theme_options = {
    "show_navbar_depth": 1,
    "max_navbar_depth": 2,
    "collapse_navbar": True,
    "show_toc_level": 2,
    "home_page_in_toc": False,
    "use_download_button": False,
    "use_source_button": False,
    "use_fullscreen_button": False,
    "toc_title": "On this page",
    "search_bar_text": "Search the book",
    "navbar_persistent": [],
    "footer_content_items": [],
    "article_header_end": "article-header-buttons.html",
    "pygments_light_style": "a11y-high-contrast-light",
    "pygments_dark_style": "a11y-high-contrast-dark",
}
html_static_path = ["static", "../views/static"]
html_favicon = "static/favicon.svg"
html_css_files = ["book.css", "sortable.css"]
html_js_files = [
    ("fit.js", {"defer": "defer"}),
    ("figure.js", {"defer": "defer"}),
    ("exact.js", {"defer": "defer"}),
    ("sortable.js", {"defer": "defer"}),
    ("instrument.js", {"defer": "defer"}),
]
html_copy_source = False
html_show_sourcelink = False
html_show_copyright = False
html_show_sphinx = False
html_use_index = False
html_domain_indices = False
# a page opened as a file may not read other pages
html_show_search_summary = False
# what else pages depend on: another value renders all of them again
html_context = {
    "default_mode": "auto",
    "workbench_code": os.environ.get("WORKBENCH_BOOK_CODE", ""),
}
