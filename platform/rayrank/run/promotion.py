"""Which bundles answer: what is current, what has a share of its users, what scores along.

    bundles/current     answers; bundles/previous did before it
    bundles/canary      answers a share of the users in its place
    bundles/shadow      scores what the current one answers, and is compared with it

Only a bundle that is whole and passed its check becomes any of them. Serving follows these names.
"""

from rayrank.errors import BundleError, CheckError, VersionError
from rayrank.infer.bundle import bundle_folder, verify_bundle
from rayrank.run.run import Run
from rayrank.run.terminal import say
from rayrank.serve.check import Checked
from rayrank.storage import AnyPath
from rayrank.versions import (
    CANARY,
    CURRENT,
    EXPORTED,
    PREVIOUS,
    SHADOW,
    Shared,
    end_name,
    name_canary,
    name_version,
    named_canary,
    named_version,
)


def promote(run: Run, version: str | None = None) -> None:
    """Make a version (the one exported last) `current`, for serving to follow, if it is whole and
    passed its check. The one that was is `previous` then, to go back to."""
    bundles, chosen = run.folder.bundles, _sound(run, version)
    before, ended = named_version(bundles, CURRENT), _beside(bundles, chosen)
    if before is not None and before != chosen:
        name_version(bundles, PREVIOUS, before)
    _make_current(bundles, chosen, ended)


def promote_back(run: Run) -> None:
    """Make `previous` current again, if it is whole and passed its check; what was current is
    `previous` then. VersionError where there is none."""
    bundles = run.folder.bundles
    previous, before = named_version(bundles, PREVIOUS), named_version(bundles, CURRENT)
    if previous is None or before is None:
        raise VersionError(f"{bundles}: nothing was current before; name a version")
    chosen, ended = _sound(run, previous), _beside(bundles, previous)
    _make_current(bundles, chosen, ended)
    name_version(bundles, PREVIOUS, before)


def promote_canary(run: Run, share: float, version: str | None = None) -> None:
    """Give a share of the users, between 0 and 1, a version (the one exported last) instead of the
    current one. VersionError where it is the current one."""
    name_canary(run.folder.bundles, Shared(_beside_current(run, version), share))
    _tell(run.folder.bundles)


def promote_shadow(run: Run, version: str | None = None) -> None:
    """Let a version (the one exported last) score along with the current one. VersionError where
    it is the current one."""
    name_version(run.folder.bundles, SHADOW, _beside_current(run, version))
    _tell(run.folder.bundles)


def end(run: Run, name: str) -> None:
    """No version is `name`, CANARY or SHADOW, any more."""
    end_name(run.folder.bundles, name)
    _tell(run.folder.bundles)


def bundle_of(run: Run, version: str | None) -> AnyPath:
    """The folder of a version, of the one exported last unless said. BundleError where none
    was."""
    chosen = version or named_version(run.folder.bundles, EXPORTED)
    if chosen is None:
        raise BundleError(f"{run.folder.bundles}: no bundle yet; run jobs/export.py")
    return bundle_folder(run.folder.bundles, chosen)


def read_check(run: Run, version: str) -> Checked | None:
    """What `check` found of a version; None where it never ran."""
    path = run.folder.check(version)
    return Checked.model_validate_json(path.read_text()) if path.exists() else None


def _sound(run: Run, version: str | None) -> str:
    """A version that is whole and passed its check. Raises BundleError or CheckError."""
    folder = bundle_of(run, version)
    verify_bundle(folder)
    checked = read_check(run, folder.name)
    if checked is None:
        raise CheckError(f"{folder}: never checked; run jobs/check.py --version {folder.name}")
    checked.demand()
    return folder.name


def _beside_current(run: Run, version: str | None) -> str:
    chosen, current = _sound(run, version), bundle_folder(run.folder.bundles, CURRENT).name
    if chosen == current:
        raise VersionError(f"{run.folder.bundles}: {chosen} is current already; name another")
    return chosen


def _beside(bundles: AnyPath, version: str) -> list[str]:
    """Which of CANARY and SHADOW a version is. VersionError where one cannot be read."""
    canary = named_canary(bundles)
    beside = {CANARY: canary and canary.version, SHADOW: named_version(bundles, SHADOW)}
    return [name for name, of in beside.items() if of == version]


def _make_current(bundles: AnyPath, version: str, ended: list[str]) -> None:
    name_version(bundles, CURRENT, version)
    for name in ended:
        end_name(bundles, name)
        say(f"{bundles}: {version} is {name} no more")
    _tell(bundles)


def _tell(bundles: AnyPath) -> None:
    canary, shadow = named_canary(bundles), named_version(bundles, SHADOW)
    told = [f"{named_version(bundles, CURRENT) or 'no version'} is current"]
    if canary is not None:
        told.append(f"{canary.version} is canary, for {canary.share:.3g} of the users")
    if shadow is not None:
        told.append(f"{shadow} is shadow")
    beside = "" if canary or shadow else ", nothing beside it"
    say(f"{bundles}: {', '.join(told)}{beside}")
