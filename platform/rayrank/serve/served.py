"""What a replica serves: one version of the bundles, or the one that is `current`, followed."""

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass

from rayrank.errors import RayrankError
from rayrank.infer.bundle import Manifest, bundle_folder, load_bundle
from rayrank.infer.engine import Engine
from rayrank.infer.scorer import Precision
from rayrank.schema import Schema
from rayrank.serve.limits import Limits
from rayrank.serve.request import RequestParser
from rayrank.storage import AnyPath
from rayrank.versions import CURRENT

logger = logging.getLogger("ray.serve")


@dataclass(frozen=True, eq=False)
class Served:
    """A bundle that is loaded, and what reads requests for it."""

    engine: Engine
    parser: RequestParser

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
    return Served(engine, parser)


class Follower:
    """Holds what is served; where that is `current`, looks every so often whether it is another
    version, and takes it once it is loaded and whole.

    Requests under way end on what they began with. A version that cannot be loaded is said and
    passed over: what is served stays.
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
        self.fault: str | None = None
        """Why the version that is current is not served; None where it is."""
        self._tried = folder.name
        if version == CURRENT:
            threading.Thread(target=self._follow, name="follower", daemon=True).start()

    def look(self) -> None:
        """Switch if another version is current, and was not tried before."""
        try:
            folder = bundle_folder(self.bundles, CURRENT)
            if folder.name == self._tried:
                return
            self._tried = folder.name
            self.now = load_served(folder, self.serving)
        except RayrankError as error:
            self._failed(str(error))
        else:
            self.fault = None
            self.switched(True)

    def _failed(self, fault: str) -> None:
        self.fault = fault
        logger.error("still serving version %s: %s", self.now.manifest.version, fault)
        self.switched(False)

    def _follow(self) -> None:
        pause = threading.Event()
        while not pause.wait(self.every_s):
            try:
                self.look()
            except Exception as error:
                # Storage that cannot be reached, or memory that is full, may be back soon.
                self._tried = self.now.manifest.version
                self._failed(f"{type(error).__name__}: {error}")
