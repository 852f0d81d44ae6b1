"""README's reading path is read from the notebooks' own headings."""

from workbench.catalogue.reading_path import entry, reading_path

LESSON = """# ---
# jupyter:
#   workbench:
#     title: "20 · DPO"
#     part: offline
#     path: core
#     needs: ["01", "10"]
#     budget_s: {ci: 1, lecture: 1, figure: 1}
# ---

# %% [markdown]
# # 20 · DPO: why do the chosen
# rewards fall?
#
# More.
"""
STUDY = """# ---
# jupyter:
#   workbench:
#     title: "20a · Inside"
#     part: offline
# ---

# %% [markdown]
# # 20a · How good is it: very?
"""


def written(folder):
    source = folder / "notebooks" / "src"
    source.mkdir(parents=True)
    (source / "20_dpo.py").write_text(LESSON, encoding="utf-8")
    (source / "20a_inside.py").write_text(STUDY, encoding="utf-8")
    return source


def test_a_lesson_says_its_question_needs_and_studies(tmp_path):
    text = reading_path((written(tmp_path), tmp_path)[1])
    row = (
        "| offline | [20 · DPO](notebooks/20_dpo.ipynb) | Why do the chosen rewards "
        "fall? | 01, 10 | [20a](notebooks/20a_inside.ipynb) |"
    )
    assert row in text.splitlines()
    study = "| [20a](notebooks/20a_inside.ipynb) | How good is it: very? |"
    assert study in text.splitlines()


def test_a_source_without_a_header_costs_nobody_the_page(tmp_path):
    source = written(tmp_path) / "30_x.py"
    source.write_text("print(1)\n", encoding="utf-8")
    assert entry(source).path == "" and "30_x" in reading_path(tmp_path)
