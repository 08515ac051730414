"""What an API server refuses of roles, and who may do what: exactly what is written here."""

from collections.abc import Iterator

from .names import SUBDOMAIN, form_faults
from .objects import Object, of_kind, title

API = "rbac.authorization.k8s.io"
SUBMITTER, TEMPLATE = "rayrank-submitter", "rayrank-daily"
# What `rayrank.run.rayjob` asks for, and no more: whoever may create a RayJob may run any image.
RULES = [
    {
        "apiGroups": ["ray.io"],
        "resources": ["raycronjobs"],
        "resourceNames": [TEMPLATE],
        "verbs": ["get"],
    },
    {"apiGroups": ["ray.io"], "resources": ["rayjobs"], "verbs": ["list", "create"]},
]


def role_faults(role: Object) -> list[str]:
    return [
        f"$.rules[{position}]: {fault}"
        for position, rule in enumerate(role.get("rules", []))
        for fault in rule_faults(rule)
    ]


def rule_faults(rule: Object) -> Iterator[str]:
    if not rule.get("verbs"):
        yield "no verbs"
    if "nonResourceURLs" in rule:
        yield "nonResourceURLs: for cluster roles"
    elif not rule.get("apiGroups") or not rule.get("resources"):
        yield "apiGroups and resources are needed"


def binding_faults(binding: Object) -> list[str]:
    role, found = binding["roleRef"], []
    if role.get("apiGroup") != API or role.get("kind") not in ("Role", "ClusterRole"):
        found.append(f"$.roleRef: {role} is no role")
    found += form_faults(role.get("name"), SUBDOMAIN, "a name", "$.roleRef")
    for subject in binding.get("subjects", []):
        group = API if subject.get("kind") in ("User", "Group") else ""
        if subject.get("kind") not in ("User", "Group", "ServiceAccount"):
            found.append(f"$.subjects: {subject.get('kind')!r} cannot be bound")
        if subject.get("apiGroup", group) != group:
            found.append(f"$.subjects: {subject.get('apiGroup')!r} is not of {subject['kind']}")
        found += form_faults(subject.get("name"), SUBDOMAIN, "a name", "$.subjects")
    return found


def right_faults(documents: list[Object]) -> list[str]:
    """There is one role, with these rules, and one account has it."""
    found = []
    for kind in ("ClusterRole", "ClusterRoleBinding"):
        found += [
            f"{title(document)}: ours are of a namespace" for document in of_kind(documents, kind)
        ]
    for role in of_kind(documents, "Role"):
        if role["metadata"]["name"] != SUBMITTER or role.get("rules") != RULES:
            found.append(f"{title(role)}: its rules are {role.get('rules')}")
    wanted = {"apiGroup": API, "kind": "Role", "name": SUBMITTER}
    for binding in of_kind(documents, "RoleBinding"):
        if binding["roleRef"] != wanted:
            found.append(f"{title(binding)}: roleRef is {binding['roleRef']}")
        # Without a namespace it is the binding's, which the overlay gives.
        if binding.get("subjects") != [{"kind": "ServiceAccount", "name": SUBMITTER}]:
            found.append(f"{title(binding)}: subjects are {binding.get('subjects')}")
    number = len(of_kind(documents, "CronJob"))
    for kind in ("Role", "RoleBinding"):
        if len(of_kind(documents, kind)) != number:
            found.append(f"{number} CronJobs, {len(of_kind(documents, kind))} of {kind}")
    return found
