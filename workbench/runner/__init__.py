"""The runner: builds, executes, judges and publishes the numbered notebooks.

papermill executes; the verdict is ours (`verdict.py`). The parts, in the order in which
a notebook passes through them:

    build.py    notebooks/src/NN_name.py  ->  a notebook with stable cell ids
    stamp.py    hashes: is the executed copy still the one of this code?
    execute.py  the worker process around papermill, one a notebook
    series.py   two workers at a time, budgets, the cache, records
    verdict.py  reads the executed copy and says what is wrong with it
    report.py   progress lines, failures as text, JUnit XML, seconds per cell
    publish.py  the cleaned copy that is committed under notebooks/
    site.py     site/index.html and one page a notebook
"""
