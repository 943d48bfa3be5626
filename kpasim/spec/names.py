"""Names that Kubernetes accepts.

Source:
    kubernetes/apimachinery@v0.34.0, pkg/util/validation/validation.go, pkg/api/validation/generic.go.
"""

from __future__ import annotations

import re

_DNS_1123 = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_LABEL = re.compile(_DNS_1123)
_SUBDOMAIN = re.compile(rf"{_DNS_1123}(\.{_DNS_1123})*")
_DNS_1035 = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?")
_QUALIFIED = re.compile(r"([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]")
_CONFIG_KEY = re.compile(r"[-._a-zA-Z0-9]+")
_HEADER = re.compile(r"[-A-Za-z0-9]+")
_PORT_NAME = re.compile(r"[-a-z0-9]+")


def is_label(text: str) -> bool:
    """A DNS label of RFC 1123."""
    return len(text) <= 63 and bool(_LABEL.fullmatch(text))


def is_subdomain(text: str) -> bool:
    """A DNS subdomain of RFC 1123."""
    return len(text) <= 253 and bool(_SUBDOMAIN.fullmatch(text))


def is_service_name(text: str) -> bool:
    """A DNS label of RFC 1035, as Knative wants for a Service and a revision."""
    return len(text) <= 63 and bool(_DNS_1035.fullmatch(text))


def is_service_prefix(text: str) -> bool:
    """What `generateName` may be: a name; Kubernetes does not look at what stands before a dash at the end."""
    return is_service_name(f"{text[:-2]}a" if len(text) > 1 and text.endswith("-") else text)


def generated(prefix: str) -> str:
    """A name such as Kubernetes makes of a `generateName`."""
    return f"{prefix[:58]}xxxxx"


def is_qualified(text: str) -> bool:
    """A key of a label or an annotation, or the name of a resource, with or without a domain before a slash."""
    domain, slash, name = text.rpartition("/")
    if slash and not is_subdomain(domain):
        return False
    return len(name) <= 63 and bool(_QUALIFIED.fullmatch(name))


def is_label_value(text: str) -> bool:
    """The value of a label."""
    return len(text) <= 63 and (not text or bool(_QUALIFIED.fullmatch(text)))


def is_env_name(text: str) -> bool:
    """The name of an environment variable: printable ASCII without an equals sign."""
    return bool(text) and all(" " <= char <= "~" and char != "=" for char in text)


def is_config_key(text: str) -> bool:
    """A key of a ConfigMap or a Secret."""
    return len(text) <= 253 and bool(_CONFIG_KEY.fullmatch(text)) and text != "." and not text.startswith("..")


def is_header(text: str) -> bool:
    """The name of an HTTP header."""
    return bool(_HEADER.fullmatch(text))


def is_port_name(text: str) -> bool:
    """The name of a port."""
    return (
        1 <= len(text) <= 15
        and bool(_PORT_NAME.fullmatch(text))
        and any(char.isalpha() for char in text)
        and "--" not in text
        and text[0] != "-" != text[-1]
    )


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
