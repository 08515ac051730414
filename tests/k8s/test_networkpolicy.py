"""The policies let the right connections through, and no other."""

import pytest

from .network import Peer, open_way, our_peers
from .objects import Object, of_kind
from .reach_faults import OPEN, SHUT, reach_faults


def test_our_pods_are_those_of_the_table(manifests: list[Object]) -> None:
    named = {end for source, target, _ in (*OPEN, *SHUT) for end in (source, target)}
    assert our_peers(manifests).keys() <= named


def test_connections(manifests: list[Object]) -> None:
    assert list(reach_faults(manifests)) == []


def test_every_policy_is_needed(manifests: list[Object]) -> None:
    """Without any one of them the tables are not met: none is there for nothing."""
    for policy in of_kind(manifests, "NetworkPolicy"):
        rest = [document for document in manifests if document is not policy]
        assert any(True for _ in reach_faults(rest)), policy["metadata"]["name"]


@pytest.mark.parametrize(
    ("rule", "address", "expected"),
    [
        ({"cidr": "0.0.0.0/0"}, "52.1.1.1", True),
        ({"cidr": "0.0.0.0/0", "except": ["52.0.0.0/8"]}, "52.1.1.1", False),
        ({"cidr": "10.0.0.0/8"}, "52.1.1.1", False),
    ],
)
def test_blocks_of_addresses(rule: Object, address: str, expected: bool) -> None:
    policy = {
        "kind": "NetworkPolicy",
        "spec": {
            "podSelector": {},
            "policyTypes": ["Egress"],
            "egress": [{"to": [{"ipBlock": rule}], "ports": [{"port": 443, "endPort": 445}]}],
        },
    }
    outside = Peer({}, "", address)
    assert open_way([policy], Peer({}), outside, 444) is expected
    assert not open_way([policy], Peer({}), outside, 446)


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ({"key": "a", "operator": "Exists"}, True),
        ({"key": "b", "operator": "Exists"}, False),
        ({"key": "a", "operator": "DoesNotExist"}, False),
        ({"key": "a", "operator": "In", "values": ["1", "2"]}, True),
        ({"key": "a", "operator": "NotIn", "values": ["1"]}, False),
    ],
)
def test_expressions_of_selectors(rule: Object, expected: bool) -> None:
    """A policy that selects a pod and opens nothing shuts it in."""
    policy = {"kind": "NetworkPolicy", "spec": {"podSelector": {"matchExpressions": [rule]}}}
    assert open_way([policy], Peer({}), Peer({"a": "1"}), 1) is not expected
