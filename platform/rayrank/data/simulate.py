"""Simulated logs: what real logs have, and the truth beside it.

There are two worlds: restaurants, where running statistics tell most of what can be known, and a
feed, where most of it is in the order of what users did. The true probabilities, `p_TASK`, are
columns the schema does not name: a perfect ranker's quality can be measured, and no model can read
them.
"""

import pyarrow.parquet as pq

from rayrank.data.config import SimulateConfig
from rayrank.data.simulate_feed import feed
from rayrank.data.simulate_feed_schema import FEED_SCHEMA
from rayrank.data.simulate_restaurants import restaurants
from rayrank.data.simulate_schema import SCHEMA
from rayrank.storage import AnyPath, new_folder

WORLDS = {"restaurants": (restaurants, SCHEMA), "feed": (feed, FEED_SCHEMA)}


def simulate(config: SimulateConfig, out: AnyPath) -> None:
    """Write exposures, items, users, events (Parquet) and, last, schema.yaml to `out`."""
    world, schema = WORLDS[config.world]
    tables = world(config)
    with new_folder(out.parent) as writing:
        for name, table in tables.items():
            pq.write_table(table, writing.path / f"{name}.parquet")
        (writing.path / "schema.yaml").write_text(schema)
        writing.publish(out, last="schema.yaml")
