"""Every command of every page is run by a test, or its page says why none does; and each could be
run as it stands: flags, targets, keys, names and paths are those of today."""

from collections import Counter
from pathlib import Path

import pytest

from ..clusters import ROOT
from .accounts import CLUSTERS, Account, Here, Named, Said, Tested, accounts, accounts_of
from .pages import Command, found_in, pages
from .walk import account_fault, page_faults

PAGES = pages(ROOT)
COMMANDS = [one for page in PAGES.items() for one in found_in(*page) if isinstance(one, Command)]


@pytest.mark.parametrize("page", PAGES)
def test_commands_work_and_are_accounted_for(page: str) -> None:
    faults = page_faults(page, PAGES[page], accounts())
    assert not faults, "\n".join(faults)


def test_no_account_is_of_a_command_that_is_gone() -> None:
    used = [one for each in COMMANDS for one in accounts_of(each.page, each.text, accounts())]
    gone = [one.command for one in accounts() if one not in used]
    assert not gone


def test_commands_are_found_at_all() -> None:
    """A page's rule that finds nothing would let everything pass."""
    by = Counter(
        type(one).__name__
        for each in COMMANDS
        for one in accounts_of(each.page, each.text, accounts())
    )
    print(f"{len(COMMANDS)} commands on {len(PAGES)} pages: {dict(by)}")
    assert by["Tested"] > 80
    assert sum(by.values()) == len(COMMANDS) > 150


PAGE = """
Read it.

    {}
"""


@pytest.mark.parametrize(
    ("shown", "fault"),
    [
        ("python jobs/train.py --config mine.yaml --rankers mtgr", "unrecognized arguments"),
        ("python jobs/train.py --config mine.yaml --rank mtgr", "unrecognized arguments"),
        ("python jobs/train.py --config mine.yaml data.partition=3", "data.partition: unknown key"),
        ("python jobs/plan.py --config jobs/mine.yaml", "jobs/mine.yaml: no such file"),
        ("make demo SEED=1", "no entry"),
        ("make serve RUN_DIRS=runs/mine", "no entry"),
        ('make demo SET="data.simulate.user=5"', "data.simulate.user: unknown key"),
        ("serve deploy serve_apps/rank.yaml", "no entry"),
        ("make demonstration", "no entry"),
        ("kubectl get rayservice rayrank-rank --watch", "no manifest has this"),
        ("kubectl apply -k k8s/overlays/tpu", "no kustomization there"),
        ("kubectl get pods -l app.kubernetes.io/component=server", "nothing has this label"),
        ("ray job submit --workingdir . -- python jobs/pipeline.py", "no entry"),
        ("docker build -f k8s/image/Dockerfile --target tpu .", "tpu: no target"),
        ("pip install '.[s4]'", "no extra s4"),
        ("PYTHONPATH=kernels python -m bench.train_dense --gpu 2", "--gpus --ranks is required"),
        ("terraform apply", "neither a command nor known output"),
        ("make demo\n    terraform apply", "neither a command nor a query"),
    ],
)
def test_a_mistake_on_a_page_is_found(shown: str, fault: str) -> None:
    (found,) = page_faults("k8s/README.md", f"{CLUSTERS}\n{PAGE.format(shown)}", accounts())
    assert fault in found


@pytest.mark.parametrize(
    ("shown", "fault"),
    [
        ("make demonstration", "No rule to make target"),
        ("make demo SEEDS=3 SEED=1", "SEED=1 changes nothing"),
        ("serve deploy serve_apps/rank.yaml", "no such file"),
        ("ray job submit --workingdir . -- python jobs/train.py --config FILE", "No such option"),
        ("serve run serve_apps.ranking:make", "no such application"),
        ("ray job submitt -- python jobs/train.py --config FILE", "no command submitt"),
        ("curl -s http://127.0.0.1:8000/v2/rank", "no such path"),
        ("make test TESTS=tests/gone", "no such tests"),
        ("kubectl get pods --wach", "has no --wach"),
        ("kubectl fetch pods", "no command fetch"),
        ("kubectl create secret generics rayrank-redis --from-file=password=x", "unknown flag"),
        ("cat RUN_DIR/day/NAME/DAY.json", "not where a run has anything"),
    ],
)
def test_a_command_that_has_an_account_is_looked_at_all_the_same(shown: str, fault: str) -> None:
    (found,) = page_faults("README.md", f"`{shown}`", [Here(".*", "")])
    assert fault in found


@pytest.mark.parametrize(
    ("account", "fault"),
    [
        (Said("make demo", "No test runs it: it is long."), "the page does not say"),
        (Tested("make demo", "tests/jobs/test_demo.py::test_gone", ()), "no such test"),
        (Tested("make demo", "tests/jobs/gone.py::test_summary", ()), "no such test"),
        (
            Tested("make demo", "tests/jobs/test_demo.py::test_summary", ("train.py",)),
            "not of this command",
        ),
        (
            Tested("make demo", "tests/test_tree.py::test_every_room_is_known_here", ("demo.py",)),
            "does not have demo.py",
        ),
    ],
)
def test_an_account_that_is_not_true_is_found(account: Account, fault: str) -> None:
    command = Command("README.md", 1, "make demo")
    found = account_fault("README.md", "`make demo`", command, [account])
    assert found is not None
    assert fault in found


def test_two_accounts_are_one_too_many() -> None:
    command = Command("README.md", 1, "make demo")
    found = account_fault("README.md", "", command, [Here("make demo", ""), Named("make .*")])
    assert found is not None
    assert "expected one" in found


def test_blocks_spans_and_what_is_none(tmp_path: Path) -> None:
    text = """
    make demo   # what it does
    python jobs/plan.py \\
        --config mine.yaml

```python
make = "no command"
```

```sh
helm install
```

Say `make serve RUN_DIR=x`, `jobs/promote.py --back`, not `jobs/train.py` or `make`.

    mtgr: an output

    make test
"""
    found = [(type(one).__name__, one.line, one.text) for one in found_in("page", text)]
    assert found == [
        ("Command", 2, "make demo"),
        ("Command", 3, "python jobs/plan.py --config mine.yaml"),
        ("Command", 11, "helm install"),
        ("Command", 14, "make serve RUN_DIR=x"),
        ("Command", 14, "python jobs/promote.py --back"),
        ("Output", 16, "mtgr: an output"),
        ("Command", 18, "make test"),
    ]
