"""`kubectl`, `helm`, `kind` and `docker` as a page has them: overlays can be rendered, and what is
named or selected is in them."""

import functools
import re
import shutil
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from ..clusters import ROOT
from .wrong import Wrong

FOREIGN = ("ray-operator/", "helm-chart/")
"""Folders of KubeRay's checkout."""
DOCKERFILE = (ROOT / "k8s" / "image" / "Dockerfile").read_text()


@functools.cache
def rendered(folder: str) -> list[dict[str, Any]]:
    if not (ROOT / folder / "kustomization.yaml").is_file():
        raise Wrong(f"{folder}: no kustomization there")
    done = subprocess.run(
        ["kubectl", "kustomize", str(ROOT / folder)], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise Wrong(done.stderr.strip())
    return list(yaml.safe_load_all(done.stdout))


def everything() -> list[dict[str, Any]]:
    return rendered("k8s/overlays/cpu") + rendered("k8s/monitoring")


def values(of: Any) -> Iterator[str]:
    if isinstance(of, dict | list):
        for part in of.values() if isinstance(of, dict) else of:
            yield from values(part)
    elif isinstance(of, str):
        yield of


def labels(of: Any) -> Iterator[dict[str, str]]:
    if isinstance(of, dict):
        if isinstance(of.get("labels"), dict):
            yield of["labels"]
        for part in of.values():
            yield from labels(part)
    elif isinstance(of, list):
        for part in of:
            yield from labels(part)


@functools.cache
def objects() -> set[str]:
    """`kind/name` of all objects, and of what the operator makes of them."""
    found = set()
    for document in everything():
        kind, name = document["kind"].lower(), document["metadata"]["name"]
        found.add(f"{kind}/{name}")
        if kind == "rayservice":
            found.add(f"service/{name}-serve-svc")
        if kind == "raycluster":
            found |= {f"service/{name}-head-svc", f"secret/{name}"}
    return found


def check_names(text: str) -> None:
    """Objects of ours that are named, with their kind or without, are there, or are named by one
    that is (as secrets are, which a person makes)."""
    known = {name.partition("/")[2] for name in objects()} | set(values(everything()))
    for kind, name in re.findall(
        r"(?<![\w.:/-])(?:(\w+)[/ ])?(rayrank(?:-[a-z]+)*)(?![\w:./-])", text
    ):
        if kind in {"job", "cronjob", "service", "rayservice", "rayjob", "raycluster"}:
            there = f"{kind}/{name}" in objects()
        else:
            there = name in known or name == "rayrank"
        if not there:
            raise Wrong(f"{kind} {name}: no manifest has this")


def check_selector(selector: str) -> None:
    """`key=value,key!=value` selects something, or leaves something out."""
    told = list(labels(everything()))
    for term in selector.split(","):
        key, _, value = term.replace("!=", "=").partition("=")
        # KubeRay's own, on every pod.
        if key == "ray.io/cluster":
            check_names(value)
        elif key == "ray.io/node-type":
            if value not in ("head", "worker"):
                raise Wrong(f"{term}: a node is head or worker")
        elif not any(of.get(key) == value for of in told):
            raise Wrong(f"{term}: nothing has this label")


@functools.cache
def flags_of(command: tuple[str, ...]) -> str:
    """What `kubectl COMMAND --help` says, and the flags that every command takes."""
    told = ""
    for words in ([*command, "--help"], ["options"]):
        told += subprocess.run(
            ["kubectl", *words], capture_output=True, text=True, check=False
        ).stdout
    return told


def check_flags(text: str) -> None:
    """kubectl knows the command and its flags."""
    words = text.partition(" -- ")[0].split()
    while words[0].startswith("-"):  # -n NAMESPACE, before the command
        words = words[2:]
    depth = 2 if words[0] in ("create", "config") and words[1].strip("-") == words[1] else 1
    told = flags_of(tuple(words[:depth]))
    if f"kubectl {' '.join(words[:depth])} " not in told:
        raise Wrong(f"kubectl has no command {' '.join(words[:depth])}")
    for flag in re.findall(r"(?<!\S)--[a-z-]+", " ".join(words)):
        if f"{flag}=" not in told:
            raise Wrong(f"kubectl {words[0]} has no {flag}")


def check_kubectl(text: str) -> None:
    if shutil.which("kubectl") is None:
        pytest.skip("kubectl is not installed: what it is told cannot be compared with manifests")
    if re.search(r"kubectl create (namespace|secret)", text):
        check_client_side(text)
    else:
        for part in re.findall(r"kubectl ([^|;&)$]*)", text):
            check_flags(part)
    for folder in re.findall(r" -k (\S+)", text):
        if not folder.startswith(FOREIGN):
            rendered(folder)
    for selector in re.findall(r"(?:-l|--selector) '?([^'\s)]+)", text):
        check_selector(selector)
    check_names(text)


def check_client_side(text: str) -> None:
    """`kubectl create namespace` and `kubectl create secret`, run without a cluster."""
    text = text.replace("=my-credentials", "=/dev/null")
    done = subprocess.run(
        ["bash", "-o", "pipefail", "-c", f"{text} --dry-run=client --output=name"],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise Wrong(done.stderr.strip())


def check_images(words: list[str]) -> None:
    """`docker build`, `docker buildx`, `kind load`: file, target and images are there."""
    images = {
        f"{image['name']}:{image['newTag']}"
        for overlay in ("cpu", "gpu")
        for image in yaml.safe_load(
            (ROOT / "k8s" / "overlays" / overlay / "kustomization.yaml").read_text()
        )["images"]
    }
    for word, after in zip(words, [*words[1:], ""], strict=True):
        if word == "-f" and not (ROOT / after).is_file():
            raise Wrong(f"{after}: no such file")
        if word == "--target" and f" AS {after}\n" not in DOCKERFILE:
            raise Wrong(f"{after}: no target of the Dockerfile")
        if word.startswith("rayrank") and word not in images:
            raise Wrong(f"{word}: no overlay has this image")
