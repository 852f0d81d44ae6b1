"""The runner: builds, executes, judges and publishes the numbered notebooks.

papermill executes; the verdict is ours (`verdict.py`). The parts, in the order in which
a notebook passes through them:

    build.py    notebooks/src/NN_name.py  ->  a notebook with stable cell ids
    stamp.py    hashes that tell whether an executed copy belongs to this code
    speed.py    how fast this machine is, against the one the budgets were written on
    job.py      how to execute, and what came of it
    worker.py   one notebook in a process of its own: started, watched, judged
    execute.py  that process, around papermill; kernel.py: its kernel's first lines
    nursery.py  kernels that have torch before they start; forked.py asks for one
    family.py   every process of a job, wherever it went
    cache.py    what was executed before and is still valid
    series.py   several workers at a time
    estimate.py how long the rest will take
    verdict.py  reads the executed copy and says what is wrong with it
    report.py   progress, failures as text, JUnit XML, seconds per cell
    publish.py  the cleaned copy that is committed under notebooks/
    copies.py   which copy of a notebook is shown; safe.py lets nothing in it run or
                load; the room `book` makes the pages
    lab.py      JupyterLab on the working copies of workspace.py
    colab.py    what a lesson needs on Colab
"""
