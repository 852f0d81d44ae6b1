"""What a teacher needs: the student's edition, marks, slides.

tasks.py        the exercises of a lesson: stars, minutes, the cells of each
edition.py      a folder of lessons without solutions and outputs
exports.py      the same lessons for nbgrader and otter-grader
submissions.py  which notebooks were handed in, by whom, for which lesson
sandbox.py      the process that runs one of them; recorder.py: what it notes down
warden.py       starts that process, holds it to its limits, leaves nothing behind
marks.py        from what was noted to points, rows and a summary
slides.py       a lesson as one HTML file of slides
syllabus.py     the tables of TEACHING.md
"""
