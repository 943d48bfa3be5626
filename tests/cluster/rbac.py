"""Who may do what in the fake cluster: RBAC rules as manifests write them, and what was asked for."""

from collections.abc import Iterable
from dataclasses import dataclass

from kpasim.cluster.fake.apiserver import Access
from kpasim.cluster.objects import Document, meta


@dataclass(frozen=True)
class Rule:
    """One rule of a Role or a ClusterRole.

    Attributes:
        namespace: Where it holds; None for everywhere.
        groups: API groups.
        resources: Plurals, with subresources.
        verbs: Verbs.
        names: Objects it is limited to; none where it is not limited.
    """

    namespace: str | None
    groups: frozenset[str]
    resources: frozenset[str]
    verbs: frozenset[str]
    names: frozenset[str]

    def allows(self, access: Access) -> bool:
        """Whether the rule lets this through."""
        return (
            self.namespace in (None, access.namespace)
            and access.group in self.groups
            and access.resource in self.resources
            and access.verb in self.verbs
            and (not self.names or access.name in self.names)
        )


def rules_of(documents: Iterable[Document]) -> list[Rule]:
    """The rules of all Roles and ClusterRoles in a manifest, as bound by its bindings.

    A ClusterRole bound by a RoleBinding holds in that binding's namespace, one bound by a ClusterRoleBinding
    everywhere; a role that nothing binds grants nothing.
    """
    documents = [document for document in documents if document]
    roles = {
        (document["kind"], meta(document).get("namespace", ""), meta(document)["name"]): document.get("rules") or []
        for document in documents
        if document.get("kind") in ("Role", "ClusterRole")
    }
    found = []
    for document in documents:
        if document.get("kind") not in ("RoleBinding", "ClusterRoleBinding"):
            continue
        namespace = meta(document).get("namespace") if document["kind"] == "RoleBinding" else None
        kind, name = document["roleRef"]["kind"], document["roleRef"]["name"]
        for rule in roles[kind, namespace or "" if kind == "Role" else "", name]:
            found.append(
                Rule(
                    namespace,
                    frozenset(rule["apiGroups"]),
                    frozenset(rule["resources"]),
                    frozenset(rule["verbs"]),
                    frozenset(rule.get("resourceNames") or ()),
                )
            )
    return found
