"""Windows of any data, against the plainest way to cut them."""

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.toys import toy
from transfer.data.episodes import Episodes
from transfer.data.windows import WindowSampler

lengths = st.lists(st.integers(1, 9), min_size=1, max_size=6)


@settings(max_examples=60, deadline=None)
@given(lengths=lengths, share=st.floats(0, 1), sizes=st.tuples(st.integers(1, 4), st.integers(1, 3)))
def test_every_window_is_what_slicing_gives(lengths: list[int], share: float, sizes: tuple[int, int]) -> None:
    context = max(1, round(share * max(lengths)))  # no longer than the longest episode
    steps, rng = sum(lengths), np.random.default_rng(0)
    states, actions = (rng.standard_normal((steps, size)) for size in sizes)
    episodes = Episodes.from_arrays(states, actions, rng.standard_normal(steps), lengths, toy(*sizes))
    batch = WindowSampler(episodes, context, batch_size=1).windows(torch.arange(steps))
    ends = np.repeat(episodes.offsets[1:], lengths)
    for first, end in enumerate(ends):
        real = min(context, int(end) - first)
        assert batch.mask[first].tolist() == [True] * real + [False] * (context - real)
        cut = {"states": batch.states, "actions": batch.actions, "rewards": batch.rewards}
        for name, values in {**cut, "returns_to_go": batch.column("returns")}.items():
            window = values[first].numpy()
            np.testing.assert_array_equal(window[:real], getattr(episodes, name)[first : first + real])
            assert not window[real:].any()


@settings(max_examples=30, deadline=None)
@given(lengths=lengths, batch_size=st.integers(1, 20), seed=st.integers(0, 2**31), step=st.integers(0, 10**6))
def test_a_batch_is_made_of_real_windows(lengths: list[int], batch_size: int, seed: int, step: int) -> None:
    steps = sum(lengths)
    episodes = Episodes.from_arrays(np.arange(steps)[:, None], np.zeros((steps, 1)), np.ones(steps), lengths, toy(1, 1))
    sampler = WindowSampler(episodes, min(4, max(lengths)), batch_size, seed)
    batch, starts = sampler.batch(step), sampler.starts(step).numpy()
    assert ((starts >= 0) & (starts < steps)).all() and batch.mask[:, 0].all()
    np.testing.assert_array_equal(batch.states[:, 0, 0].numpy(), starts)
    time = starts - episodes.offsets[np.searchsorted(episodes.offsets, starts, side="right") - 1]
    np.testing.assert_array_equal(batch.times[:, 0].numpy(), time)
    left = np.diff(episodes.offsets)[np.searchsorted(episodes.offsets, starts, side="right") - 1] - time
    np.testing.assert_array_equal(batch.column("returns")[:, 0].numpy(), left)  # a reward of one a step
