"""A plan of capacity, for people: which tables share rows, and what ranks would hold, send and
wait for, from 1 to 1,024 of them. Nothing is trained, nothing is changed."""

from collections.abc import Sequence
from textwrap import fill

from rayrank.embedding.budget import EVERY_SLOT, row_bytes, rules_of
from rayrank.run.run import Run
from rayrank.run.terminal import say
from rayrank.schema import Schema
from rayrank.train.asked import Asked, asked_by
from rayrank.train.config import TrainConfig
from rayrank.train.devices import DEVICES, HOST
from rayrank.train.estimate import MFU, REACHED, Estimate, estimate, widths_on

RANKS = tuple(1 << power for power in range(11))
NONE, WIDTH = "-", 100
TABLES_HEAD = (
    ("width", ""),
    ("table", ""),
    ("capacity", "ids"),
    ("admit", "after"),
    ("time to", "live"),
    ("priority", ""),
    ("a row", "bytes"),
    ("in all", "MB"),
)
RANKS_HEAD = (
    ("ranks", ""),
    ("rows", "MB"),
    ("id maps", "MB"),
    ("dense", "MB"),
    ("held", "MB"),
    ("tables sent", "MB/step"),
    ("dense sent", "MB/step"),
    ("rows asked", "/step"),
    ("rows read", "/step"),
    ("compute", "ms"),
    ("exchange", "ms"),
    ("rows, AdamW", "ms"),
    ("step", "ms"),
    ("steps", "/epoch"),
)


def plan(run: Run, name: str, kind: str) -> None:
    """Say it of a ranker of the config, on devices of a kind. Raises DataError where there are no
    training rows."""
    config, rows = run.config.rankers[name], run.rows()
    schema = config.view.of(run.open_log()[1])
    asked, device = asked_by(schema, config, rows), DEVICES[kind]
    found = [estimate(schema.tables, config.train, asked, device, ranks) for ranks in RANKS]
    parts = [
        [f"{name} on {rows}: an estimate, nothing ran on any {kind}"],
        tables_in_words(schema, config.train),
        ranks_in_words(found),
        assumptions(config.train, asked, found, kind),
    ]
    say("\n\n".join("\n".join(lines) for lines in parts))


def tables_in_words(schema: Schema, train: TrainConfig) -> list[str]:
    """Every table, by width, and the rows that those of one width share."""
    rules, of_one = rules_of(schema.tables, train.tables), widths_on(schema.tables, train, 1)
    rows = {} if of_one is None else {width.dim: width.rows for width in of_one}
    lines, sharing = [], []
    for dim in sorted({table.dim for table in schema.tables.values()}):
        tables = [name for name, table in schema.tables.items() if table.dim == dim]
        a_row, together = row_bytes(dim), rows.get(dim)
        for name in tables:
            of = rules[name]
            own = [_count(number) for number in of]
            lines.append([str(dim), name, *own, str(a_row), _mb(of.capacity * a_row)])
        in_all = NONE if together is None else _mb(together * a_row)
        lines.append([str(dim), "together", _count(together), "", "", "", str(a_row), in_all])
        sharing += [f"{', '.join(tables)} (width {dim})"] if len(tables) > 1 else []
    told = [f"evict: {train.tables.evict}", f"budget: {train.tables.budget or 'none'}"]
    if train.tables.half_life is not None:
        told.append(f"half_life: {train.tables.half_life}")
    return [
        f"Tables of one width share one physical table: {'; '.join(sharing) or 'here none do'}.",
        f"train.tables: {', '.join(told)}. Together: the rows of one rank that has all.",
        *aligned(TABLES_HEAD, lines),
    ]


def ranks_in_words(found: Sequence[Estimate]) -> list[str]:
    """A line for each number of ranks: what one of them holds and does in a step."""
    return aligned(RANKS_HEAD, [_line(of) for of in found])


def assumptions(
    train: TrainConfig, asked: Asked, found: Sequence[Estimate], kind: str
) -> list[str]:
    """How it is to be read, and what is taken for granted: a line each, or several."""
    device = DEVICES[kind]
    sent = "the all-reduce of gradients"
    if train.dense == "sharded":
        sent = "the gathering of shares, and the sharing out of gradients"
    passes = "forward and backward" + (" and forward again" if train.recompute else "")
    told = [
        _fits(found, kind),
        f"Held: rows as train.tables.budget counts them; what an {kind} sets aside for id maps "
        "beyond that; dense parameters, gradients, AdamW's moments. Not in it: activations, "
        "vectors and gradients under way, what libraries take.",
        f"Counted: {asked.looked_at:,} of the {asked.batches:,} batches of an epoch, "
        f"{asked.tokens:,.0f} tokens each on average; a rank takes {train.accumulate:,} a step. "
        f"Beyond {asked.looked_at:,} ranks each batch is taken to bring as many ids that no other "
        "has as one of the last half did: rather too many rows read.",
        "Sent by a rank, while as much arrives: each distinct id of a batch that another rank owns "
        f"(8 bytes), its vector and its gradient; of dense parameters {sent}.",
        f"Step: its three parts one after the other. Compute is {passes} at MFU {MFU:.0%} of "
        f"{device.tflops:g} TFLOP/s, the peak in bfloat16. The rest reaches {REACHED:.0%} of "
        f"{device.host_gb_per_s:g} GB/s within a host of {HOST}, {device.network_gb_per_s:g} GB/s "
        f"for each device between hosts (rings of dense parameters: {HOST} times that), "
        f"{device.memory_gb_per_s:,g} GB/s of its memory.",
        "Not in a step: starting kernels, the host's waits, ranks that wait for each other, "
        "reading. Of a small model these are most of it.",
    ]
    if asked.forward_flops is None:
        told.append("The model does not tell its FLOPs (forward_flops): no compute, no step.")
    elif train.precision == "float32":
        told.append("train.precision is float32 here: its products take several times as long.")
    if found[-1].ranks * train.accumulate > asked.batches:
        told.append("An epoch that is less than one step of all ranks takes a shorter one.")
    if any(of.tables is None for of in found):
        told.append(f"{NONE}: more rows of a width on a rank than there may be, {EVERY_SLOT:,}.")
    return [fill(f"- {line}", WIDTH, subsequent_indent="  ") for line in told]


def _fits(found: Sequence[Estimate], kind: str) -> str:
    most = DEVICES[kind].memory_gb
    fits = [of.ranks for of in found if (held := of.held()) is not None and held <= 1e9 * most]
    if not fits:
        return f"What is held fits into the {most:g} GB of an {kind} at none of these ranks."
    ranks = "one rank" if fits[0] == 1 else f"{fits[0]:,} ranks"
    return f"What is held fits into the {most:g} GB of an {kind} on {ranks} or more."


def aligned(head: Sequence[tuple[str, str]], lines: Sequence[Sequence[str]]) -> list[str]:
    """Columns, each as wide as what is longest in it, under names and units."""
    every = [[name for name, _ in head], [unit for _, unit in head], *lines]
    widths = [max(len(cell) for cell in column) for column in zip(*every, strict=True)]
    return [
        "  ".join(cell.rjust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in every
    ]


def _line(of: Estimate) -> list[str]:
    rows, beyond = (None, None) if of.tables is None else of.tables
    held = (rows, beyond, of.dense, of.held(), of.moved.tables_sent, of.moved.dense_sent)
    return [
        f"{of.ranks:,}",
        *(NONE if amount is None else _mb(amount) for amount in held),
        f"{of.moved.rows_asked:,.0f}",
        f"{of.moved.rows_read:,.1f}",
        *(_ms(of_) for of_ in (of.compute_s, of.exchange_s, of.memory_s, of.step_s())),
        f"{of.steps:,}",
    ]


def _count(number: int | None) -> str:
    return NONE if number is None else f"{number:,}"


def _mb(amount: float) -> str:
    return f"{amount / 1e6:,.2f}"


def _ms(seconds: float | None) -> str:
    return NONE if seconds is None else f"{1000 * seconds:,.3f}"
