"""Settings of every test process: one thread, no progress bars, no network."""

import os
import signal

import pytest

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("MKL_NUM_THREADS", "1")
os.environ["WORKBENCH_PROGRESS"] = "0"
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TRANSFORMERS_OFFLINE"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"
os.environ["MPLBACKEND"] = "agg"
os.environ["JUPYTER_PLATFORM_DIRS"] = "1"


def pytest_sessionstart(session):
    import torch

    # `nohup` and a shell's `&` switch signals off for all that they start, and tests
    # send them to processes of their own.
    for name in ("SIGINT", "SIGHUP", "SIGTERM"):
        number = getattr(signal, name, None)
        if number and signal.getsignal(number) is signal.SIG_IGN:
            default = signal.default_int_handler if name == "SIGINT" else signal.SIG_DFL
            signal.signal(number, default)

    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def smollm2():
    """SmolLM2's checkpoint, in the user's cache: downloaded once, by one worker."""
    from workbench.models import smollm

    return smollm.folder()


@pytest.fixture(scope="module")
def chrome():
    """A headless Chromium: one for each file, as its driver keeps the event loop."""
    from playwright.sync_api import sync_playwright

    from tests.local import FLAGS, chromium

    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=chromium(), args=FLAGS)
        yield browser
        browser.close()
