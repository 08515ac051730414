"""Block sizes come from the shipped file where it has them, and never from the batch."""

import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from hstu_kernels import tuning
from hstu_kernels.tuning import HOPPER_SHARED_MEMORY, Config, best_config, default_config, key

GPU = torch.device("cuda", 0)


@pytest.fixture(autouse=True)
def a_gpu_by_name(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda _device: "Test GPU")
    properties = SimpleNamespace(shared_memory_per_block_optin=HOPPER_SHARED_MEMORY)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _device: properties)
    _forget()
    yield
    _forget()


def _forget() -> None:
    best_config.cache_clear()
    tuning._tuned.cache_clear()


def test_a_key_is_what_the_shipped_file_calls_it() -> None:
    assert key("dq", torch.bfloat16, 64, 128) == "dq 16 bits 64 128"
    assert key("forward", torch.float32, 256, 256) == "forward 32 bits 256 256"


def test_a_measured_choice_wins_over_the_default(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    measured = {"block_m": 16, "block_n": 128, "num_warps": 2, "num_stages": 5}
    tuned = {"Test GPU": {key("dq", torch.bfloat16, 64, 64): measured}}
    monkeypatch.setattr(tuning, "TUNED_FILE", tmp_path / "tuned.json")
    tuning.TUNED_FILE.write_text(json.dumps(tuned))
    assert best_config("dq", GPU, torch.bfloat16, 64, 64) == Config(16, 128, 2, 5)
    assert best_config("dq", GPU, torch.float16, 64, 64) == Config(16, 128, 2, 5)
    default = default_config("dkdv", torch.bfloat16, 64, 64, HOPPER_SHARED_MEMORY)
    assert best_config("dkdv", GPU, torch.bfloat16, 64, 64) == default


@pytest.mark.parametrize("config", [Config(64, 32, 8, 2), Config(64, 32, 8, 2, maxnreg=128)])
def test_what_tuning_writes_is_read_again(
    config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tuning, "TUNED_FILE", tmp_path / "tuned.json")
    entries = {key("dkdv", torch.bfloat16, 256, 256): asdict(config)}
    tuning.TUNED_FILE.write_text(json.dumps({"Test GPU": entries}))
    assert best_config("dkdv", GPU, torch.bfloat16, 256, 256) == config


def test_a_launch_says_nothing_of_registers_unless_limited() -> None:
    free = {"BLOCK_M": 64, "BLOCK_N": 32, "num_warps": 8, "num_stages": 2}
    assert Config(64, 32, 8, 2).launch() == free
    assert Config(64, 32, 8, 2, maxnreg=128).launch() == free | {"maxnreg": 128}


def test_the_shipped_file_holds_whole_choices() -> None:
    for entries in json.loads(tuning.TUNED_FILE.read_text()).values():
        for choice in entries.values():
            Config(**choice)
