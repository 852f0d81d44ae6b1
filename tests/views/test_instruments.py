"""The plain functions behind the instruments, and the shell without a browser."""

import json

import pytest
import torch

from workbench.feedback.annotator import Annotator
from workbench.feedback.kinds.pairs import sample_pairs
from workbench.views.instruments import beta_explorer, token_microscope
from workbench.views.instruments.beta_state import BETAS, beta_path, beta_state
from workbench.views.instruments.controls import Slider
from workbench.views.instruments.live import LivePicture
from workbench.views.instruments.shell import HOW_LIVE, Instrument
from workbench.views.instruments.states import STATES
from workbench.views.instruments.token_state import pair_label, token_frame
from workbench.views.layers import Line
from workbench.worlds import solutions
from workbench.worlds.reviews import Reviews

BETA = 0.7


@pytest.fixture(scope="module")
def world():
    return Reviews(max_words=3)


@pytest.fixture(scope="module")
def proxy(world):
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(world.gold.shape, generator=generator, dtype=torch.float64)
    return 0.5 * world.gold + noise


@pytest.fixture(scope="module")
def frame(world):
    """Twelve pairs, trained half-way to the optimum of gold."""
    generator = torch.Generator().manual_seed(1)
    pairs = sample_pairs(world, world.author, 12, Annotator(), generator)
    after = solutions.optimal_policy(world.author, world.gold, 2 * BETA)
    laws = (world.author, world.author, after)
    return pairs, token_frame(world, pairs, *laws, reward=world.gold, beta=BETA)


def test_the_state_of_the_explorer_is_the_optimum_by_hand(world, proxy):
    """π* = π_ref e^{r/β} / Z, written out without `worlds.exact`."""
    state = beta_state(world, world.author, proxy, BETA, "cast")
    weight = world.author[2].exp() * (proxy[2] / BETA).exp()
    best = weight / weight.sum()
    assert state.gold == pytest.approx(float((best * world.gold[2]).sum()))
    assert state.proxy == pytest.approx(float((best * proxy[2]).sum()))
    nats = (best * (best.log() - world.author[2])).sum()
    assert state.kl == pytest.approx(float(nats))
    assert state.top["optimum"].tolist() == pytest.approx(
        best.sort().values[-10:].flip(0)
    )
    assert state.top["review"][0] == world.text(int(best.argmax()))
    first = world.index(state.top["review"][3])
    assert state.top["gold"][3] == pytest.approx(float(world.gold[2, first]))


def test_a_large_beta_gives_the_reference_and_a_small_one_the_best_review(world, proxy):
    far = beta_state(world, world.author, proxy, 1e6, "film")
    assert far.kl == pytest.approx(0.0, abs=1e-9)
    near = beta_state(world, world.author, proxy, 1e-3, "film")
    assert near.top["optimum"][0] == pytest.approx(1.0)
    assert near.proxy == pytest.approx(float(proxy[0].max()))


def test_the_explorer_of_gold_draws_no_proxy(world, proxy):
    """A line under another that says the same is a line that nobody sees."""

    def labels(reward):
        figure = beta_explorer(world, world.author, reward, live=False).start
        layers = figure.panels.charts[0].layers
        drawn = [layer.label for layer in layers if isinstance(layer, Line)]
        return drawn, "proxy" in figure.caption + figure.panels.title

    assert labels(world.gold) == (["gold"], False)
    assert labels(proxy) == (["proxy", "gold"], True)


def test_beta_one_lies_on_the_sliders_grid_and_on_the_path(world, proxy):
    explorer = beta_explorer(world, world.author, proxy, live=True)
    assert explorer.widgets["beta"].value == 1.0
    values = explorer.controls["beta"].values
    assert values == sorted(values) and len(set(values)) == len(values) == len(BETAS)
    path = beta_path(world, world.author, proxy, "film")
    state = beta_state(world, world.author, proxy, 1.0, "film")
    at_one = path[path["beta"].sub(1.0).abs() < 1e-9]
    assert at_one["gold"].item() == pytest.approx(state.gold)
    assert len(path) == len(BETAS)


def test_token_rewards_add_up_to_the_implicit_reward_of_the_response(world, frame):
    pairs, table = frame
    after = solutions.optimal_policy(world.author, world.gold, 2 * BETA)
    for side, tokens in (("chosen", pairs.chosen), ("rejected", pairs.rejected)):
        total = table[table["side"] == side].groupby("pair")["after"].sum()
        where = tokens.prompt, tokens.response
        implicit = BETA * (after[where] - world.author[where])
        assert total.tolist() == pytest.approx(implicit.tolist())
    assert table["before"].abs().max() < 1e-9


def test_the_exact_advantage_is_the_soft_bellman_one(world, frame):
    """A* = Q* − V* with V* = β log Σ_a π_ref(a|s) e^{Q*(s,a)/β}, backed up by hand."""
    pairs, table = frame
    tree, prompt = world.tree, int(pairs.chosen.prompt[0])
    ref = tree.conditionals(world.author)[prompt]
    value = world.gold[prompt].clone()  # V of a finished review is its reward
    advantage = torch.zeros_like(ref)
    for length in reversed(range(tree.depth)):
        nodes, below = tree.level(length), tree.level(length + 1)
        end = world.gold[prompt][nodes, None]
        q = torch.cat([value[below].unflatten(0, (-1, 8)), end], dim=1)
        v = BETA * (ref[nodes] + q / BETA).logsumexp(1)
        advantage[nodes], value[nodes] = q - v[:, None], v
    rows = table[(table["pair"] == 0) & (table["side"] == "chosen")]
    visited, actions = tree.paths(pairs.chosen.response[:1])
    written = actions[0] >= 0
    by_hand = advantage[visited[0][written], actions[0][written]]
    assert rows["advantage"].tolist() == pytest.approx(by_hand.tolist())


def test_the_words_of_a_pair_are_its_words(world, frame):
    pairs, table = frame
    text = world.text(int(pairs.chosen.response[4])).split()
    rows = table[(table["pair"] == 4) & (table["side"] == "chosen")]
    assert [word for word in rows["token"] if word in world.words] == text
    assert pair_label(table, 4).startswith(f"{rows['prompt'].iloc[0]}: {text[0]}")


def test_moving_a_control_changes_picture_sentence_and_table(frame):
    microscope = token_microscope(frame[1], live=True)
    said, table = microscope.status.value, microscope.table.value
    picture = microscope.picture.widget
    microscope.widgets["pair"].value = 3
    assert microscope.last_error is None
    assert microscope.status.value != said and microscope.table.value != table
    assert microscope.picture.widget is picture  # changed in place
    shown = microscope.draw(pair=3).plotly
    assert picture.layout.title.text == shown["layout"]["title"]["text"]
    for trace, values in zip(picture.data, shown["data"], strict=True):
        assert list(trace.x) == list(values["x"])


def test_a_reset_puts_every_control_back(world, proxy):
    explorer = beta_explorer(world, world.author, proxy, live=True)
    said = explorer.status.value
    explorer.widgets["beta"].value = explorer.controls["beta"].values[3]
    explorer.widgets["prompt"].value = "cast"
    assert explorer.status.value != said
    explorer.button.click()
    assert explorer.values == explorer.defaults == {"beta": 1.0, "prompt": "film"}
    assert explorer.status.value == said


def test_a_picture_of_other_marks_is_drawn_anew(world, proxy, frame):
    """From bars to lines: nothing of the first figure stays."""
    first = beta_explorer(world, world.author, proxy, live=False).start
    picture = LivePicture(first)
    other = token_microscope(frame[1], live=False).start
    for figure in (other, first):
        picture.show(figure)
        kinds = [trace["type"] for trace in figure.plotly["data"]]
        assert [trace.type for trace in picture.widget.data] == kinds


def test_without_anywidget_the_picture_is_an_image(frame, monkeypatch):
    def refuse(*_):
        raise ImportError("Please install anywidget")

    monkeypatch.setattr("plotly.graph_objects.FigureWidget", refuse)
    microscope = token_microscope(frame[1], live=True)
    microscope.widgets["pair"].value = 3
    assert microscope.last_error is None
    assert 'alt="Figure: Pair 3' in microscope.picture.widget.value


def test_the_reader_is_told_how_a_state_is_computed(world, proxy):
    explorer = beta_explorer(world, world.author, proxy, live=True)
    told = explorer.box.children[-1].value
    assert "instruments.beta_state.beta_state" in told
    assert "solutions.optimal_policy(ref, reward, beta)" in told


@pytest.fixture
def failing(frame):
    """An instrument whose figure fails at 2, with markup in the message."""
    good = token_microscope(frame[1], live=False).start

    def draw(at: int):
        if at == 2:
            raise ValueError("<script>no two</script>")
        return good

    return Instrument("tester", draw, {"at": Slider("at", range(6), 0)}, live=True)


def test_an_error_in_a_callback_is_shown_kept_and_forgotten_on_success(failing):
    failing.widgets["at"].value = 2
    assert isinstance(failing.last_error, ValueError)
    assert 'role="alert"' in failing.status.value
    assert "&lt;script&gt;" in failing.status.value
    assert "<script" not in failing.status.value
    failing.widgets["at"].value = 3
    assert failing.last_error is None and 'role="alert"' not in failing.status.value


def test_a_strict_surrounding_gets_the_error_itself(failing, monkeypatch):
    monkeypatch.setenv("WORKBENCH_STRICT", "1")
    with pytest.raises(ValueError, match="no two"):
        failing.widgets["at"].value = 2


def test_the_runner_gets_the_static_figure_and_a_line_and_no_widget(frame, monkeypatch):
    from IPython.utils.capture import capture_output

    monkeypatch.setenv("WORKBENCH_PROGRESS", "0")
    microscope = token_microscope(frame[1])
    assert microscope.widgets == {} and not microscope.live
    shown = []
    monkeypatch.setattr(
        "IPython.display.display", lambda data, **_: shown.append(dict(data))
    )
    with capture_output():
        microscope._ipython_display_()
    assert [("image/png" in data, "text/html" in data) for data in shown] == [
        (True, False),
        (False, True),
        (False, True),
    ]
    assert shown[-1]["text/plain"] == HOW_LIVE
    assert shown[-1][STATES] == microscope.states()
    assert len(json.dumps(shown[:-1])) < 90_000
