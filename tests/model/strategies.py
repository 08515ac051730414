"""Random ragged users: few distinct minutes, so that ties are common."""

from hypothesis import strategies as st

from .rows import SCHEMA, User, behaviour, candidate, features

SEEDS = st.integers(0, 10_000)
MINUTES = st.integers(0, 5)
"""Into the window."""
SEQUENCES = st.sampled_from(sorted(SCHEMA.sequences))
BEHAVIOURS = st.builds(behaviour, MINUTES, SEEDS, sequence=SEQUENCES)
CANDIDATES = st.builds(candidate, MINUTES, SEEDS)
USERS = st.builds(
    User,
    profile=st.builds(lambda seed: features(SCHEMA, "profile", seed), SEEDS),
    static=st.lists(
        st.builds(behaviour, st.integers(-6, -1), SEEDS, sequence=SEQUENCES), max_size=4
    ),
    realtime=st.lists(BEHAVIOURS, max_size=5),
    candidates=st.lists(CANDIDATES, min_size=1, max_size=5),
).map(User.ascending)
