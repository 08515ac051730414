"""What a replica serves: one version of the bundles, or the one that is `current`, followed, and
what stands beside it: a canary, which a share of the users gets, and a shadow, which scores along.
"""

import hashlib
import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from rayrank.errors import RayrankError
from rayrank.infer.bundle import MANIFEST, Manifest, bundle_folder, load_bundle
from rayrank.infer.drift import Drift
from rayrank.infer.engine import Engine
from rayrank.infer.scorer import Precision
from rayrank.schema import Schema
from rayrank.serve.limits import Limits
from rayrank.serve.request import RequestParser
from rayrank.storage import AnyPath
from rayrank.versions import CANARY, CURRENT, SHADOW, Shared, named_canary, named_version

logger = logging.getLogger("ray.serve")


@dataclass(frozen=True, eq=False)
class Served:
    """A bundle that is loaded, and what reads requests for it."""

    engine: Engine
    parser: RequestParser
    drift: Drift
    written: float
    """When its manifest was, in seconds since 1970."""

    def age_s(self) -> float:
        """For how long it has been written."""
        return max(0.0, time.time() - self.written)

    @property
    def manifest(self) -> Manifest:
        """Of the bundle."""
        return self.engine.bundle.manifest

    @property
    def schema(self) -> Schema:
        """Of the bundle."""
        return self.engine.bundle.schema

    @property
    def model(self) -> dict[str, str]:
        """What every answer says of who scored it."""
        return {
            "name": self.manifest.ranker,
            "version": self.manifest.version,
            "schema": self.schema.name,
        }


@dataclass(frozen=True)
class Canary:
    """What a share of the users gets instead of what is current."""

    served: Served
    share: float


@dataclass(frozen=True)
class Serving:
    """How bundles are served."""

    limits: Limits
    cache_bytes: int
    precision: Precision | None


def load_served(folder: AnyPath, serving: Serving) -> Served:
    """Load a bundle, checked byte by byte, and warm its engine. Raises BundleError."""
    bundle = load_bundle(folder)
    manifest = bundle.manifest
    parser = RequestParser(bundle.schema, manifest.id_types, serving.limits)
    logger.info("loaded %s: ranker %s, version %s", folder, manifest.ranker, manifest.version)
    engine = Engine(
        bundle,
        precision=serving.precision,
        batch_tokens=serving.limits.batch_tokens,
        cache_bytes=serving.cache_bytes,
    )
    engine.warm()
    logger.info("scores on %s in %s", engine.scorer.device, engine.scorer.precision)
    written = (folder / MANIFEST).stat().st_mtime
    return Served(engine, parser, Drift(bundle.schema, manifest.reference), written)


def share_of(user: str) -> float:
    """From 0 to 1: where a user stands among all, the same in every process. Who stands below a
    share belongs to it, and so to every larger one."""
    digest = hashlib.blake2b(user.encode(), digest_size=8, person=b"canary").digest()
    return int.from_bytes(digest, "big") / 2**64


class Follower:
    """Holds what is served; where that is `current`, looks every so often what is current, canary
    and shadow by now, and takes each once it is loaded and whole.

    Requests under way end on what they began with. A version that cannot be loaded is said and
    passed over: what is current stays, and does what a canary should have done.
    """

    def __init__(
        self,
        bundles: AnyPath,
        version: str,
        serving: Serving,
        every_s: float,
        switched: Callable[[bool], None],
    ) -> None:
        """Raises BundleError where the version cannot be loaded. switched: called with whether a
        switch succeeded, after each."""
        self.bundles, self.serving = bundles, serving
        self.every_s, self.switched = every_s, switched
        folder = bundle_folder(bundles, version)
        self.now = load_served(folder, serving)
        self.canary: Canary | None = None
        self.shadow: Served | None = None
        self.faults: dict[str, str] = {}
        """Of CURRENT, CANARY and SHADOW those whose version is not served, and why."""
        self._tried: dict[str, Shared | None] = {
            CURRENT: Shared(folder.name, 1.0),
            CANARY: None,
            SHADOW: None,
        }
        """What each name stood for when it could last be read."""
        if version == CURRENT:
            self.look()
            threading.Thread(target=self._follow, name="follower", daemon=True).start()

    def roles(self) -> dict[str, Served]:
        """All that is served, by what it is; one that is two things is there twice."""
        canary, shadow = self.canary, self.shadow
        found = {CURRENT: self.now}
        if canary is not None:
            found[CANARY] = canary.served
        if shadow is not None:
            found[SHADOW] = shadow
        return found

    def of(self, user: str) -> Served:
        """What a user gets."""
        canary = self.canary
        return self.now if canary is None or share_of(user) >= canary.share else canary.served

    def look(self) -> None:
        """Take what each name stands for, if that is another version, or share, than was tried."""
        for name in (CURRENT, CANARY, SHADOW):
            known = name in self._tried
            before = self._tried.pop(name, None)
            try:
                named = self._named(name)
                if not known or named != before:
                    self._take(name, named)
            except Exception as error:
                # Looked at anew next time: storage out of reach, or full memory, may be back soon.
                self._failed(name, error)
            else:
                self._tried[name] = named

    def _named(self, name: str) -> Shared | None:
        """What a name stands for, and what share of the users gets that."""
        if name == CURRENT:
            return Shared(bundle_folder(self.bundles, CURRENT).name, 1.0)
        if name == CANARY:
            return named_canary(self.bundles)
        version = named_version(self.bundles, SHADOW)
        return None if version is None else Shared(version, 0.0)

    def _take(self, name: str, named: Shared | None) -> None:
        """Raises what may be worth another try: anything but a bundle that cannot be used."""
        served = None if named is None else self._found(named.version)
        if served is None:
            self._end(name)  # before another takes memory
        if named is not None:
            try:
                served = served or load_served(self.bundles / named.version, self.serving)
            except RayrankError as error:
                self._failed(name, error)
                return
            self._put(name, served, named.share)
            self.switched(True)
        self.faults = {other: why for other, why in self.faults.items() if other != name}

    def _found(self, version: str) -> Served | None:
        """A version that is served already."""
        return next((of for of in self.roles().values() if of.manifest.version == version), None)

    def _put(self, name: str, served: Served, share: float) -> None:
        if name == CURRENT:
            self.now = served
        elif name == CANARY:
            self.canary = Canary(served, share)
        else:
            self.shadow = served
        logger.info("%s: version %s, for %.3g of users", name, served.manifest.version, share)

    def _end(self, name: str) -> None:
        """Nothing is canary, or shadow, from now on; something is current always."""
        ended: object = None
        if name == CANARY:
            ended, self.canary = self.canary, None
        elif name == SHADOW:
            ended, self.shadow = self.shadow, None
        if ended is not None:
            logger.info("%s: none any more", name)

    def _failed(self, name: str, error: Exception) -> None:
        told = isinstance(error, RayrankError)
        fault = str(error) if told else f"{type(error).__name__}: {error}"
        if told:
            self._end(name)
        self.faults = self.faults | {name: fault}
        now = self.now.manifest.version
        logger.error("%s is not followed, version %s still answers: %s", name, now, fault)
        self.switched(False)

    def _follow(self) -> None:
        pause = threading.Event()
        while not pause.wait(self.every_s):
            self.look()
