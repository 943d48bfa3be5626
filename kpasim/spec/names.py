"""Names that Kubernetes accepts.

Source:
    kubernetes/apimachinery@v0.34.0, pkg/util/validation/validation.go, pkg/api/validation/generic.go.
"""

import ipaddress
import math
import re
from collections.abc import Callable

_DNS_1123 = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_DNS_1035 = r"[a-z]([-a-z0-9]*[a-z0-9])?"
_QUALIFIED = r"([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]"


def _like(pattern: str, most: float = math.inf) -> Callable[[str], bool]:
    """Whether a text is like a pattern, and not longer."""
    compiled = re.compile(pattern)
    return lambda text: len(text) <= most and bool(compiled.fullmatch(text))


is_label = _like(_DNS_1123, 63)
"""A DNS label of RFC 1123."""
is_subdomain = _like(rf"{_DNS_1123}(\.{_DNS_1123})*", 253)
"""A DNS subdomain of RFC 1123."""
is_service_name = _like(_DNS_1035, 63)
"""A DNS label of RFC 1035, as Knative wants for a Service and a revision."""
is_label_value = _like(rf"({_QUALIFIED})?", 63)
"""The value of a label."""
is_env_name = _like(r"[ -<>-~]+")
"""The name of an environment variable: printable ASCII without an equals sign."""
is_config_key = _like(r"(?!\.$|\.\.)[-._a-zA-Z0-9]+", 253)
"""A key of a ConfigMap or a Secret."""
is_header = _like(r"[-A-Za-z0-9]+")
"""The name of an HTTP header."""
is_port_name = _like(r"(?!.*--)(?=.*[a-z])[a-z0-9]([-a-z0-9]*[a-z0-9])?", 15)
"""The name of a port."""
_is_unqualified = _like(_QUALIFIED, 63)


def is_service_prefix(text: str) -> bool:
    """What `generateName` may be: a name; Kubernetes does not look at what stands before a dash at the end."""
    return is_service_name(f"{text[:-2]}a" if len(text) > 1 and text.endswith("-") else text)


def generated(prefix: str) -> str:
    """A name such as Kubernetes makes of a `generateName`."""
    return f"{prefix[:58]}xxxxx"


def is_qualified(text: str) -> bool:
    """A key of a label or an annotation, or the name of a resource, with or without a domain before a slash."""
    domain, slash, name = text.rpartition("/")
    return _is_unqualified(name) and (not slash or is_subdomain(domain))


def is_address(text: str) -> bool:
    """An IP address, of version 4 or 6."""
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


_REPOSITORY = re.compile(r"[a-z0-9_\-./]{2,255}")
_TAG = re.compile(r"[A-Za-z0-9_\-.]{1,128}")
_REGISTRY = re.compile(r"(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9\-._~!$&'()*+,;=]*)(:[0-9]*)?")
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


def is_image(text: str) -> bool:
    """The reference of an image: registry, repository, tag or digest.

    Source:
        google/go-containerregistry@v0.20, pkg/name: ``ParseReference`` with weak validation.
    """
    if _is_tagged(text):
        return True
    base, at, digest = text.partition("@")
    return bool(at and _DIGEST.fullmatch(digest)) and (_is_tagged(base) or _is_repository(base))


def _is_tagged(text: str) -> bool:
    base, colon, tag = text.rpartition(":")
    if not colon or "/" in tag:
        return _is_repository(text)
    return (not tag or bool(_TAG.fullmatch(tag))) and _is_repository(base)


def _is_repository(text: str) -> bool:
    registry, slash, repository = text.partition("/")
    if not (slash and ("." in registry or ":" in registry)):
        registry, repository = "", text
    return bool(_REPOSITORY.fullmatch(repository) and _REGISTRY.fullmatch(registry))
