"""Quantities and names are read as Kubernetes reads them."""

from fractions import Fraction

import pytest

from .names import DNS_1035, IMAGE, LABEL, PORT_NAME, SUBDOMAIN, is_key
from .quantities import quantity


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("20Gi", 20 * 2**30),
        ("500m", Fraction(1, 2)),
        ("1.5", Fraction(3, 2)),
        (".5Mi", 2**19),
        ("1e3", 1000),
        ("1E3", 1000),
        ("2E", 2 * 10**18),
        ("12k", 12000),
        (2, 2),
        (0.5, Fraction(1, 2)),
        ("-1", -1),
    ],
)
def test_quantity(text: object, number: Fraction) -> None:
    assert quantity(text) == number


@pytest.mark.parametrize("text", ["20GB", "20gi", "1K", "two", "", "1 Gi", "1e", ".", True, None])
def test_no_quantity(text: object) -> None:
    assert quantity(text) is None


@pytest.mark.parametrize("name", ["a", "as-metrics", "8080-a", "a" * 15])
def test_port_name(name: str) -> None:
    assert PORT_NAME.fullmatch(name)


@pytest.mark.parametrize(
    "name", ["a" * 16, "8080", "A", "a--b", "-a", "a-", "autoscaler-metrics", "a.b", ""]
)
def test_no_port_name(name: str) -> None:
    assert not PORT_NAME.fullmatch(name)


def test_names() -> None:
    assert LABEL.fullmatch("1a")
    assert not DNS_1035.fullmatch("1a")
    assert not LABEL.fullmatch("a" * 64)
    assert SUBDOMAIN.fullmatch("a.b-c.1")
    assert not SUBDOMAIN.fullmatch("a..b")
    assert not SUBDOMAIN.fullmatch("a" * 254)


@pytest.mark.parametrize("key", ["a", "app.kubernetes.io/name", "A_b.c"])
def test_label_key(key: str) -> None:
    assert is_key(key)


@pytest.mark.parametrize("key", ["", "/a", "a/", "a/b/c", "a b", "A.io/a", "a" * 64])
def test_no_label_key(key: str) -> None:
    assert not is_key(key)


@pytest.mark.parametrize("image", ["rayrank:0.2.0", "a.io:5000/b/c:v1", f"a@sha256:{'0' * 64}"])
def test_image(image: str) -> None:
    assert IMAGE.fullmatch(image)


@pytest.mark.parametrize("image", ["", "Rayrank", "rayrank:", "rayrank:a b", "a@sha256:0"])
def test_no_image(image: str) -> None:
    assert not IMAGE.fullmatch(image)
