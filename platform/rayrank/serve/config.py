"""What the application is told: `args` in its YAML, or key=value to `serve run`."""

from typing import Annotated

from pydantic import Field

from rayrank.infer.engine import CACHE_BYTES
from rayrank.infer.scorer import Precision
from rayrank.serve.limits import Limits
from rayrank.strict import Positive, Strict, Uri
from rayrank.versions import CURRENT


class RankingArgs(Strict):
    """What the application is told (`args` in its YAML, or key=value to `serve run`)."""

    bundles: Uri
    """The folder of bundles, at a URI of any filesystem."""
    version: str = CURRENT
    """`current`, which is followed, `canary` and `shadow` with it; or a version, which is kept."""
    follow_s: Annotated[float, Field(gt=0)] = 10.0
    """How often to look whether another version is current."""
    threads: Positive | None = None
    """CPU threads of the engine: as many as its replica has CPUs, unless said."""
    precision: Precision | None = None
    """What products are computed in: float16 on GPUs and float32 on CPUs unless said. bfloat16 is
    faster on CPUs that have it, and keeps 8 bits of float32's 24."""
    cache_bytes: Annotated[int, Field(ge=0)] = CACHE_BYTES
    """Memory for users' prefixes, which are then not encoded anew at each request; 0 keeps none."""
    authenticate: bool = True
    """Whether a key is demanded. `false` serves whoever reaches the port."""
    keys_file: str | None = None
    """A file of the replica's with a key on each line, any of which clients may send. It is read
    again when it changes: keys are exchanged without a restart. Unless said, the one that
    `RAYRANK_API_KEY_FILE` names, or the environment's `RAYRANK_API_KEY`."""
    limits: Limits = Limits()
