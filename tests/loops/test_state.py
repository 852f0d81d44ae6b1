"""Run folders: damage is refused by name, and what was cut off is taken up again."""

import json
import os
import shutil
import warnings
from pathlib import Path

import pandas as pd
import pytest
import safetensors.torch
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn

from workbench.core.errors import BadRun
from workbench.loops import run
from workbench.loops.schedule import Schedule
from workbench.loops.session import Session

NESTED = "[" * 200_000 + "]" * 200_000


class Toy(nn.Linear):
    """Something a session can train, in milliseconds."""

    members = 1

    def save(self, folder) -> None:
        Path(folder).mkdir(parents=True)
        safetensors.torch.save_file(self.state_dict(), folder / "model.safetensors")


def train(out, resume=False, stop=None, lr=0.1, width=3):
    """Six steps with a state every second; ``stop`` ends it as a kill would."""
    torch.manual_seed(0)
    session = Session(
        Toy(width, 2), Schedule(steps=6, lr=lr, every=2, out=out, resume=resume)
    )
    for step in session:
        if step == stop:
            return None
        inputs = torch.linspace(-1, 1, 4 * width).reshape(4, width) * (step + 1)
        session.step(session.policy(inputs).pow(2).sum(-1))
    return session.finish()


def contents(folder) -> dict[str, bytes]:
    """Every file that a finished run leaves."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    out = tmp_path_factory.mktemp("whole")
    train(out)
    return contents(out)


@pytest.fixture(scope="module")
def killed(tmp_path_factory):
    out = tmp_path_factory.mktemp("killed")
    train(out, stop=5)
    assert (out / "state" / "latest").read_text() == "step-4"
    return out


@pytest.fixture
def cut(tmp_path, killed):
    """A run that was killed in step 5; its last state is that before step 4."""
    return shutil.copytree(killed, tmp_path / "cut")


STATE = "state/step-4"
TENSORS, PROGRESS = f"{STATE}/tensors.safetensors", f"{STATE}/progress.json"
LATEST, CARD = "state/latest", "run.json"


@pytest.mark.parametrize("stop", range(6))
def test_a_run_killed_in_any_step_is_resumed_bit_for_bit(tmp_path, whole, stop):
    train(tmp_path, stop=stop)
    train(tmp_path, resume=True)
    assert contents(tmp_path) == whole
    train(tmp_path, resume=True)  # nothing is left to do
    assert contents(tmp_path) == whole


# ---- damage -----------------------------------------------------------------------


def half(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def shorter(path):
    path.write_bytes(path.read_bytes()[:-2])  # the last may be a line end


def longer(path):
    path.write_bytes(path.read_bytes() + b"\0")


def zeros(path):
    path.write_bytes(bytes(path.stat().st_size))


def missing(path):
    path.unlink()


def a_folder(path):
    path.unlink()
    path.mkdir()


def a_link_to_nothing(path):
    path.unlink()
    path.symlink_to("nothing")


def last_bit(path):
    content = bytearray(path.read_bytes())
    content[-4] ^= 1
    path.write_bytes(content)


def of_another_model(path):
    save_file({"policy/weight": torch.ones(2, 3)}, path)


def of_another_run(path):
    save_file({k: v + 1 for k, v in load_file(path).items()}, path)


def text(content):
    def damage(path):
        path.write_bytes(content if isinstance(content, bytes) else content.encode())

    damage.__name__ = repr(content[:20])
    return damage


def setting(**changes):
    """Changed entries of a JSON file; None takes one out."""

    def damage(path):
        content = json.loads(path.read_text()) | changes
        content = {k: v for k, v in content.items() if v is not None}
        path.write_text(json.dumps(content))

    damage.__name__ = str(changes)
    return damage


FILE = (missing, a_folder, a_link_to_nothing, shorter, half, zeros)
JSON = tuple(map(text, ("", "{", "[]", "null", "7", NESTED, b"\xff\xfe", "{}")))
ROWS = [{"step": 0, "seed": 0}]
DAMAGES = [
    *[(TENSORS, d) for d in FILE],
    *[(TENSORS, d) for d in (longer, last_bit, of_another_model, of_another_run)],
    (TENSORS, text("")),
    *[(PROGRESS, d) for d in (*FILE, *JSON)],
    *[(PROGRESS, setting(step=s)) for s in (-5, -1, 2, 3, 6, 10**30, "4", 4.0, True)],
    *[(PROGRESS, setting(rows=r)) for r in ({}, "no", 5, [], [1], [{}], [[]], ROWS)],
    (PROGRESS, setting(step=None)),
    (PROGRESS, setting(rows=None)),
    (PROGRESS, setting(tensors=None)),
    (PROGRESS, setting(sha256=None)),
    (PROGRESS, setting(tensors="0" * 64)),
    *[(LATEST, d) for d in (a_folder, a_link_to_nothing, shorter, half, zeros)],
    *[
        (LATEST, text(name))
        for name in (
            "", "step-4\n", "step-4\r\n", " step-4", "step-4 ", "step-5", "step-", "4",
            "step--4", "step-04", "STEP-4", "step-4/", "step-4/../step-4", "../../x",
            "../state/step-4", "/", ".", "..", "step-4\0", "step-٤", "\ufeffstep-4",
            "step-" + "9" * 400, b"\xff\xfe", "step-4\nstep-2",
        )
    ],
    *[(CARD, d) for d in (*FILE, *JSON)],
    (CARD, setting(versions=None)),
    (CARD, setting(versions=[])),
    (CARD, setting(lr=0.2)),
]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "damage"), DAMAGES, ids=[f"{n} {d.__name__}" for n, d in DAMAGES]
)
def test_a_damaged_file_of_a_run_is_refused_by_name_and_nothing_is_touched(
    cut, name, damage
):
    damage(cut / name)
    before = contents(cut)
    with pytest.raises(BadRun) as caught:
        train(cut, resume=True)
    message = str(caught.value)
    assert "\n" not in message and len(message) < 700
    if caught.value.reason == "another run":
        assert CARD in message
    elif name == LATEST and "folder is missing" in message:
        assert "step-" in message  # it names a state, which is not there
    else:
        assert str(cut / name) in message
        assert "without --resume" in message
    assert contents(cut) == before


@pytest.mark.parametrize("name", [TENSORS, PROGRESS, LATEST, CARD])
@pytest.mark.parametrize("bit", [0, 3, 6])
def test_no_flipped_bit_is_resumed(cut, name, bit):
    path = cut / name
    content = path.read_bytes()
    for place in range(len(content)):
        path.write_bytes(
            content[:place] + bytes([content[place] ^ 1 << bit]) + content[place + 1 :]
        )
        with pytest.raises(BadRun):
            train(cut, resume=True)
    path.write_bytes(content)
    train(cut, resume=True)


def test_the_state_of_a_model_of_another_shape_changes_no_weight(tmp_path):
    """The whole state folder comes from elsewhere, checksums and all."""
    for name, width in (("ours", 3), ("theirs", 4)):
        train(tmp_path / name, stop=5, width=width)
    shutil.rmtree(tmp_path / "ours" / "state")
    shutil.copytree(tmp_path / "theirs" / "state", tmp_path / "ours" / "state")
    with pytest.raises(BadRun, match="is not of this model"):
        train(tmp_path / "ours", resume=True)


@pytest.mark.parametrize("name", ["", "state", STATE])
@pytest.mark.parametrize("what", ["file", "link"])
def test_a_file_where_a_folder_should_be_is_refused(cut, name, what):
    shutil.rmtree(cut / name)
    if what == "file":
        (cut / name).write_text("x")
    else:
        (cut / name).symlink_to("nothing")
    with pytest.raises(BadRun) as caught:
        train(cut, resume=True)
    assert str(cut / name) in str(caught.value)
    if name != STATE:
        with pytest.raises(OSError, match=cut.name):
            train(cut)


# ---- versions ---------------------------------------------------------------------


@pytest.mark.parametrize("name", ["python", "torch", "transformers", "workbench"])
@pytest.mark.parametrize("then", ["1.0", "", None, 3])
def test_a_run_of_other_versions_is_not_resumed_and_says_which_differ(cut, name, then):
    path = cut / CARD
    content = json.loads(path.read_text())
    content["versions"][name] = then
    path.write_text(json.dumps(content))
    before = contents(cut)
    with pytest.raises(BadRun, match=f"{name} was {then}, is ") as caught:
        train(cut, resume=True)
    assert str(path) in str(caught.value) and "same versions" in str(caught.value)
    others = {"python", "torch", "transformers", "workbench"} - {name}
    assert not any(f"{other} was" in str(caught.value) for other in others)
    assert contents(cut) == before


def test_a_finished_run_keeps_the_versions_it_was_made_with(tmp_path):
    train(tmp_path)
    path = tmp_path / CARD
    path.write_text(path.read_text().replace(torch.__version__, "1.0"))
    before = contents(tmp_path)
    with pytest.raises(BadRun, match="torch was 1.0"):
        train(tmp_path, resume=True)
    assert contents(tmp_path) == before


# ---- killed at any moment ---------------------------------------------------------

OPERATIONS = (
    (os, "replace"), (os, "fsync"), (os, "mkdir"), (os, "unlink"), (os, "rmdir"),
    (safetensors.torch, "save_file"),
)  # fmt: skip


class Killed(BaseException):
    """What no handler of the code under test may catch."""


def kill_at(monkeypatch, moment: int, after: bool) -> None:
    """Raise at the n-th operation that changes the disk, before or after it."""
    count = iter(range(moment))

    def deadly(real):
        def operation(*args, **kwargs):
            last = next(count, None) is None
            if last and not after:
                raise Killed
            done = real(*args, **kwargs)
            if last:
                raise Killed
            return done

        return operation

    for place, name in OPERATIONS:
        monkeypatch.setattr(place, name, deadly(getattr(place, name)))


@pytest.mark.parametrize("earlier", ["nothing", "another run", "the same run"])
@pytest.mark.parametrize("after", [False, True])
def test_killed_before_or_after_any_operation_a_run_resumes_to_the_same_bytes(
    tmp_path, monkeypatch, whole, earlier, after
):
    monkeypatch.setattr(os, "fsync", lambda handle: None)  # the disk need not be asked
    if earlier != "nothing":
        train(tmp_path / "earlier", lr=0.5 if earlier == "another run" else 0.1)
    moment, over = 0, False
    while not over:
        out = tmp_path / f"{moment}"
        if earlier != "nothing":
            shutil.copytree(tmp_path / "earlier", out)
        with monkeypatch.context() as patch:
            kill_at(patch, moment, after)
            try:
                train(out)
                over = True
            except Killed:
                moment += 1
        own = (out / CARD).exists() and json.loads((out / CARD).read_text())[
            "lr"
        ] == 0.1
        if earlier == "another run" and not own:
            # nothing of ours is written yet: the folder is still the other run's
            with pytest.raises(BadRun, match="another run"):
                train(out, resume=True)
            continue
        train(out, resume=True)
        assert contents(out) == whole, f"killed at operation {moment}"
    assert moment > 30


def test_half_a_state_that_latest_does_not_name_is_no_damage(cut, whole):
    shutil.copytree(cut / STATE, cut / "state" / "step-6")
    half(cut / "state" / "step-6" / "tensors.safetensors")
    (cut / "state" / "latest.partial").write_text("step-")
    train(cut, resume=True)
    left = contents(cut)
    assert {k: v for k, v in left.items() if k in whole} == whole


@pytest.mark.parametrize("there", [(), (CARD,), ("run.json.partial",), (CARD, "half")])
def test_a_run_killed_before_its_first_state_starts_from_the_start(
    tmp_path, whole, there
):
    train(tmp_path / "other", stop=1)
    out = tmp_path / "run"
    out.mkdir()
    for name in there:
        if name == "half":
            (out / "state" / "step-0").mkdir(parents=True)
            (out / "state" / "step-0" / "tensors.safetensors").write_bytes(b"x")
        elif name == CARD:
            shutil.copy(tmp_path / "other" / CARD, out / CARD)
        else:
            (out / name).write_text("{")
    train(out, resume=True)
    assert contents(out) == whole


def test_before_its_first_state_a_run_may_start_under_other_versions(tmp_path, whole):
    train(tmp_path, stop=1)
    shutil.rmtree(tmp_path / "state")
    path = tmp_path / CARD
    path.write_text(path.read_text().replace(torch.__version__, "1.0"))
    train(tmp_path, resume=True, stop=3)
    train(tmp_path, resume=True)
    assert contents(tmp_path) == whole


# ---- a disk that fails ------------------------------------------------------------

FULL = OSError(28, "No space left on device")
ERRORS = [
    FULL,
    OSError("I/O error"),
    PermissionError(13, "Permission denied"),
    SafetensorError("Error while serializing: I/O error: No space left on device"),
]


def failing(real, error, at):
    """The function, but its n-th call raises."""
    calls = iter(range(at))

    def operation(*args, **kwargs):
        if next(calls, None) is None:
            raise error
        return real(*args, **kwargs)

    return operation


@pytest.mark.parametrize("error", ERRORS, ids=str)
@pytest.mark.parametrize(("at", "name"), [(0, TENSORS), (2, TENSORS), (4, "policy")])
def test_an_error_while_tensors_are_written_names_the_file_and_can_be_mended(
    tmp_path, monkeypatch, whole, error, at, name
):
    with monkeypatch.context() as patch:
        real = safetensors.torch.save_file
        patch.setattr(safetensors.torch, "save_file", failing(real, error, at))
        with pytest.raises((OSError, BadRun)) as caught:
            train(tmp_path)
    wanted = Path(name).name
    assert wanted in str(caught.value) and str(tmp_path) in str(caught.value)
    assert str(error).split("] ")[-1] in str(caught.value)
    train(tmp_path, resume=True)
    assert contents(tmp_path) == whole


@pytest.mark.parametrize("error", ERRORS[:3], ids=str)
@pytest.mark.parametrize("at", range(0, 24, 3))
def test_an_error_while_a_file_is_flushed_names_it_and_can_be_mended(
    tmp_path, monkeypatch, whole, error, at
):
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", failing(os.fsync, error, at))
        with pytest.raises((OSError, BadRun)) as caught:
            train(tmp_path)
    assert str(tmp_path) in str(caught.value)
    train(tmp_path, resume=True)
    assert contents(tmp_path) == whole


@pytest.mark.parametrize("name", [CARD, LATEST, "metrics.csv"])
def test_a_folder_where_a_file_should_be_written_is_an_error_with_its_name(
    tmp_path, name
):
    (tmp_path / name).mkdir(parents=True)
    with pytest.raises(OSError, match=Path(name).name):
        train(tmp_path)


def test_a_file_in_the_way_of_the_weights_does_not_stop_them(tmp_path, whole):
    (tmp_path / "policy.partial").write_text("left over")
    train(tmp_path)
    assert contents(tmp_path) == whole


@pytest.mark.skipif(os.name == "nt", reason="Windows flushes no folders")
def test_all_of_a_state_is_on_the_disk_before_latest_names_it(tmp_path, monkeypatch):
    flushed, replace, fsync = set(), os.replace, os.fsync
    seen = []

    def flush(handle):
        flushed.add(os.fstat(handle).st_ino)
        return fsync(handle)

    def move(source, target):
        if Path(target).name == "latest":
            state = Path(target).with_name(Path(source).read_text())
            needed = [state, *state.iterdir(), Path(source)]
            seen.extend(path.stat().st_ino in flushed for path in needed)
        return replace(source, target)

    monkeypatch.setattr(os, "fsync", flush)
    monkeypatch.setattr(os, "replace", move)
    train(tmp_path)
    assert len(seen) == 16 and all(seen)  # four states of two files, folder and name
    last = (tmp_path, tmp_path / "state", *tmp_path.rglob("*.safetensors"))
    assert all(path.stat().st_ino in flushed for path in last)


# ---- reading a run ----------------------------------------------------------------

FLOATS = [
    0.1, 1 / 3, 1e-300, 5e-324, 1.7976931348623157e308, -2.2250738585072014e-308, 1e22,
    0.1 + 0.2, 123456789.123456789, float("nan"), float("inf"), float("-inf"), -0.0,
    1e16, 1e-5, 9007199254740993.0, 3.0,
]  # fmt: skip


def test_every_float_is_read_as_it_was_written_and_nothing_warns(tmp_path):
    frame = pd.DataFrame(
        {
            "step": range(len(FLOATS)),
            "seed": [0] * len(FLOATS),
            "value": FLOATS,
            "late": [None, *FLOATS[1:]],
            "whole": [2.0] * len(FLOATS),
            "word": ['a "b", c', "d\ne", *["é"] * (len(FLOATS) - 2)],
            "yes": [True, *[False] * (len(FLOATS) - 1)],
            "none": [None] * len(FLOATS),
        }
    ).astype({"late": float, "none": float})
    frame.to_csv(tmp_path / "metrics.csv", index=False)
    (tmp_path / CARD).write_text('{"method": "dpo"}')
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        config, back = run.read(tmp_path)
    assert config == {"method": "dpo"}
    pd.testing.assert_frame_equal(back, frame, check_exact=True)
    assert [str(x) for x in back["value"]] == [str(x) for x in frame["value"]]


@pytest.mark.parametrize("name", [CARD, "metrics.csv"])
@pytest.mark.parametrize(
    "damage",
    [
        *(missing, a_folder, a_link_to_nothing, zeros, half, shorter),
        *map(text, ("", "\n", "{", "[]", "a", b"\xff\xfe", NESTED, "step,seed\n")),
        *map(text, ("step,seed\n0,0,1\n", "step,seed\n0\n", "step\n1\n", "\n\n")),
        *map(text, ("step,seed\n0,x\n", "step,seed\n0.5,0\n", "step,seed\n0,0\n1")),
        *map(text, ("step,seed,a,a\n0,0,1,2\n", 'step,seed\n"0,0\n', "step,seed\n,\n")),
        *map(text, ("step,seed,a\n0,0,0.5\n1,0,0.x\n", "step,seed\n0,0\n\n", "\0")),
        text('step,seed\n0,"' + "1" * 200_000 + '"\n'),
    ],
)
def test_a_broken_file_of_a_finished_run_is_refused_by_name(
    tmp_path, whole, name, damage
):
    for file in (CARD, "metrics.csv"):
        (tmp_path / file).write_bytes(whole[file])
    damage(tmp_path / name)
    with pytest.raises(BadRun) as caught:
        run.read(tmp_path)
    assert str(tmp_path / name) in str(caught.value)
    assert "again" in str(caught.value) and len(str(caught.value)) < 700


def test_a_run_that_is_not_there_is_refused_by_name(tmp_path):
    with pytest.raises(BadRun, match="nowhere"):
        run.read(tmp_path / "nowhere")
