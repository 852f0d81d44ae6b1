"""Exercises are read off the lessons' own headings."""

from pathlib import Path

from workbench.classroom import edition
from workbench.classroom.tasks import Task, tasks
from workbench.teach.exercise import exercises

ROOT = Path(__file__).parents[2]
SOURCES = edition.chosen(ROOT)


def test_a_lesson_s_exercises_with_their_points():
    [dpo] = [source for source in SOURCES if source.name == "20_dpo"]
    found = tasks(dpo.notebook)
    assert [task.points for task in found] == [1, 1, 2, 2, 3]
    assert found[2] == Task("20-3", "Bug hunt", 2, 10, "dpo")
    assert found[0].check is None


def test_every_exercise_is_found_and_can_be_marked():
    """By its answer, by a check of one method, or by a teacher."""
    for source in SOURCES:
        known = exercises(source.name[:2])
        found = tasks(source.notebook)
        assert [task.id for task in found] == list(known), source.name
        for task in found:
            assert 1 <= task.points <= 3 and 5 <= task.minutes <= 60
            if known[task.id].right is None:
                assert task.check, f"{task.id} has neither an answer nor a check"
