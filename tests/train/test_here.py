"""Training in the process at hand: the same ranker, and nothing left of its world."""

import os
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from rayrank.errors import DivergedError
from rayrank.storage import files_in
from rayrank.train.finished import finished_checkpoint
from rayrank.train.run import train, train_here
from safetensors.torch import load_file

from .small import build_small, small_config


def test_it_is_what_one_worker_makes_bit_for_bit(ray_cluster: None, tmp_path: Path) -> None:
    config = small_config(tmp_path, workers=1, threads=1, epochs=1)
    ranker, said = config.rankers["mtgr"], list[str]()
    schema = build_small(config, tmp_path / "rows")
    for number, way in enumerate((train_here, train_here, train)):
        folder = tmp_path / str(number)
        way(schema, ranker, tmp_path / "rows", folder, name="small", say=said.append)
        assert not dist.is_initialized()
        assert "MASTER_PORT" not in os.environ
    first, again, by_worker = (
        {
            f"{file.name}: {name}": tensor
            for file in files_in(finished_checkpoint(tmp_path / str(number)), "*.safetensors")
            if not file.name.startswith("random")
            for name, tensor in load_file(file).items()
        }
        for number in range(3)
    )
    assert first.keys() == again.keys() == by_worker.keys()
    assert any(name.startswith("tables") for name in first)
    for name, tensor in first.items():
        assert torch.equal(tensor, again[name]), name
        assert torch.equal(tensor, by_worker[name]), name


def test_a_fault_is_raised_as_it_is_and_leaves_no_world(ray_cluster: None, tmp_path: Path) -> None:
    config = small_config(tmp_path, workers=1, threads=1, learning_rate=1e30, epochs=1)
    schema = build_small(config, tmp_path / "rows")
    with pytest.raises(DivergedError):
        train_here(
            schema,
            config.rankers["mtgr"],
            tmp_path / "rows",
            tmp_path / "diverged",
            name="diverged",
            say=print,
        )
    assert not dist.is_initialized()
