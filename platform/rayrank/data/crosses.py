"""Crosses: one id for what several ids are together, such as a user's city and an item's kind.

They are made when rows are, of ids that the row holds already; a request does not send them.
"""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pyarrow as pa

from rayrank.data.mixing import GAMMA, mix
from rayrank.data.user_rows import Behaviours, Candidates, row_starts
from rayrank.schema import CANDIDATES, PROFILE, Schema


def cross(ids: list[np.ndarray]) -> np.ndarray:
    """int64 [n] of int64 [n] each: SplitMix64 over them, in their order."""
    crossed = np.zeros(len(ids[0]), np.uint64)
    for part in ids:
        crossed = mix((crossed + GAMMA) ^ mix(part.view(np.uint64) + GAMMA))
    return crossed.view(np.int64)


def with_crosses(
    schema: Schema,
    candidates: Candidates,
    sequences: Mapping[str, Behaviours],
    profiles: pa.Table,
) -> tuple[Candidates, dict[str, Behaviours], pa.Table]:
    """What `group` takes, encoded, with the features that are crosses. Those of candidates may be
    of what their row's profile holds."""
    if not any(feature.of for feature in schema.features.values()):
        return candidates, dict(sequences), profiles
    row = np.cumsum(np.isin(np.arange(len(candidates.user)), row_starts(candidates))) - 1
    profiles = _add(schema, PROFILE.token, profiles, {})
    of_user = {
        name: profiles[name].to_numpy()[row]
        for name in profiles.column_names
        if pa.types.is_int64(profiles[name].type)
    }
    features = _add(schema, CANDIDATES.token, candidates.features, of_user)
    return (
        replace(candidates, features=features),
        {
            name: replace(behaviours, features=_add(schema, name, behaviours.features, {}))
            for name, behaviours in sequences.items()
        },
        profiles,
    )


def _add(
    schema: Schema, token: str, features: pa.Table, of_user: Mapping[str, np.ndarray]
) -> pa.Table:
    for name, feature in schema.features_of(token).items():
        if feature.of is not None:
            parts = [
                features[part].to_numpy() if part in features.column_names else of_user[part]
                for part in feature.of
            ]
            features = features.append_column(name, pa.array(cross(parts)))
    return features
