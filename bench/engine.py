"""What the engine's parts bring on this machine: ratios of one run, in runs/bench/engine.json.

    python -m bench.engine [--size small] [--run-dir runs/demo] [--out runs/bench/engine.json]

A model of random weights scores users of 1,000 behaviours: what a kept prefix saves (of `large`,
and of the size that is asked for), what more candidates cost, what the last layer's cut saves in
scoring and in a training step, what bfloat16 brings, and what a request costs among 48 that wait
(of a `tiny` model and a short history, where a request alone is mostly overhead). A frozen table of
4 million ids is looked up beside `functional.embedding`, to which rows are told. And what half
precision changes of the scores of a run's test rows (`make demo` makes one). On a GPU also: graphs
and float16 against none.
"""

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from benchmarks.cpu_measure import best_of, machine, versions
from hstu_kernels import jagged_concat, jagged_split
from rayrank.data.jagged import JaggedBatch, to_jagged
from rayrank.infer.engine import Engine
from rayrank.infer.scorer import Precision
from rayrank.model.flops import Attended, hstu_flops
from rayrank.model.mtgr import MTGR, MTGRConfig
from rayrank.model.sequence import sequence

from bench.engine_frozen import frozen
from bench.engine_half import half
from bench.engine_rows import SCHEMA, engine, model, row

LARGE = "large"
"""The largest size that scores in a second or so here."""
HISTORY, SHORT_HISTORY, WAITING, ROUNDS = 1000, 60, 48, 7


def milliseconds(size: str, *candidates: int) -> dict[str, float]:
    """Of a request for so many candidates: of a user who is new each time, and of one kept."""
    ranker = model(size)
    fresh, keeping = engine(ranker, 0), engine(ranker, 1 << 30)

    def asking(one: Engine, count: int) -> Callable[[], object]:
        rows = row(1, HISTORY, count)
        return lambda: one.submit(rows).result()

    ways = {
        f"{name}_{count}": asking(one, count)
        for count in candidates
        for name, one in (("fresh", fresh), ("kept", keeping))
    }
    found = best_of(ways, ROUNDS)
    fresh.close()
    keeping.close()
    return {name: 1000 * value for name, value in found.items()}


def scoring(size: str) -> dict[str, Any]:
    found, at_large = milliseconds(size, 100, 1000), milliseconds(LARGE, 100)
    return {
        "prefix_cache_speedup": at_large["fresh_100"] / at_large["kept_100"],
        f"prefix_cache_speedup_{size}": found["fresh_100"] / found["kept_100"],
        "candidates_1000_over_100": found["fresh_1000"] / found["fresh_100"],
        "candidates_1000_over_100_kept": found["kept_1000"] / found["kept_100"],
        "milliseconds": found,
        "milliseconds_large": at_large,
    }


def precisions(size: str) -> dict[str, Any]:
    """Float32 over bfloat16: above 1 where that is faster."""
    rows = row(1, HISTORY, 100)
    engines: dict[str, Engine] = {
        name: engine(model(size), 0, name) for name in ("float32", "bfloat16")
    }
    ways = {n: lambda e=e: e.submit(rows).result() for n, e in engines.items()}
    found = best_of(ways, ROUNDS)
    for each in engines.values():
        each.close()
    return {"bfloat16_over_float32_speed": found["float32"] / found["bfloat16"]}


def on_gpu(size: str) -> dict[str, Any]:
    """Ms of a request alone, encoded anew: float16 with graphs, without, and float32."""
    ways: dict[str, tuple[Precision, bool]] = {
        "float16_graphs": ("float16", True),
        "float16_launched": ("float16", False),
        "float32_launched": ("float32", False),
    }
    rows, result = row(1, HISTORY, 100), {}
    for name, (precision, graphs) in ways.items():
        one = engine(model(size), 0, precision, graphs)
        one.warm()
        took = []
        for _ in range(300):
            begun = time.perf_counter()
            one.submit(rows).result()
            took.append(1000 * (time.perf_counter() - begun))
        one.close()
        result[name] = dict(zip(("p50_ms", "p99_ms"), np.quantile(took, (0.5, 0.99)), strict=True))
    return {"gpu": torch.cuda.get_device_name(), "alone": result}


def whole_pass(ranker: MTGR, batch: JaggedBatch) -> torch.Tensor:
    """As `forward`, but with every token through the last layer."""
    layout = sequence(batch, SCHEMA)
    x_TD = jagged_concat(ranker.tokenizer(batch, ranker.lookup(batch)), layout.segment_offsets)
    for layer in ranker.layers:
        x_TD = layer(x_TD, layout)
    *_, c_CD = jagged_split(x_TD, layout.segment_offsets, layout.segment_tokens)
    return ranker._logits(c_CD, ranker._candidate_groups(batch))


def last_layer(size: str) -> dict[str, Any]:
    ranker = model(size)
    batch = to_jagged(row(1, HISTORY, 100), SCHEMA)

    @torch.inference_mode()
    def score(way: Callable[[JaggedBatch], torch.Tensor]) -> torch.Tensor:
        return way(batch)

    def step(way: Callable[[JaggedBatch], torch.Tensor]) -> float:
        ranker.zero_grad()
        loss = ranker.loss(way(batch), batch)
        loss.backward()
        return float(loss.detach())

    def whole(of: JaggedBatch) -> torch.Tensor:
        return whole_pass(ranker, of)

    apart = abs(step(whole) - step(ranker))
    found = best_of(
        {
            "whole": lambda: score(whole),
            "cut": lambda: score(ranker),
            "train_whole": lambda: step(whole),
            "train_cut": lambda: step(ranker),
        },
        ROUNDS,
    )
    config = MTGRConfig.model_validate({"size": size})
    *_, candidates = sequence(batch, SCHEMA).segment_tokens
    whole_pairs = batch.tokens * (1 + HISTORY)
    given = Attended(batch.tokens, whole_pairs, candidates, candidates * (1 + HISTORY))
    gflops = hstu_flops(config.layers, config.d_model, given) / 1e9
    return {
        "gflops": gflops,
        "gflops_per_second": gflops / found["cut"],
        "last_layer_saving": found["whole"] / found["cut"],
        "last_layer_saving_training": found["train_whole"] / found["train_cut"],
        "last_layer_loss_difference": apart,
    }


def batching() -> dict[str, Any]:
    one = engine(model("tiny"), 0)
    rows = [row(seed, SHORT_HISTORY, 20) for seed in range(WAITING)]

    def together() -> None:
        for asked in [one.submit(each) for each in rows]:
            asked.result()

    ways = {"alone": lambda: one.submit(rows[0]).result(), "together": together}
    found = best_of(ways, ROUNDS)
    one.close()
    per_request = found["together"] / WAITING
    return {
        "batched_over_alone": per_request / found["alone"],
        "alone_ms": 1000 * found["alone"],
        "together_ms": 1000 * per_request,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", default="small")
    parser.add_argument("--run-dir", default="runs/demo")
    parser.add_argument("--out", type=Path, default=Path("runs/bench/engine.json"))
    asked = parser.parse_args()
    result = {
        "size": asked.size,
        "history": HISTORY,
        **scoring(asked.size),
        **last_layer(asked.size),
        **batching(),
        **precisions(asked.size),
        **frozen(),
        **half(asked.run_dir),
        **(on_gpu(asked.size) if torch.cuda.is_available() else {}),
        "threads": torch.get_num_threads(),
        "machine": machine(),
        "versions": versions(),
    }
    asked.out.parent.mkdir(parents=True, exist_ok=True)
    asked.out.write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
