"""Knative Services of tests."""

from typing import Any

PREFIX = "autoscaling.knative.dev/"


def service(
    annotations: dict[str, Any] | None = None,
    *,
    name: str = "painter",
    container: dict[str, Any] | None = None,
    **spec: Any,
) -> dict[str, Any]:
    """A Service with one container.

    Args:
        annotations: Of its revisions, without the prefix of the autoscaling annotations.
        name: Its name.
        container: Fields of the container.
        **spec: Fields of its revisions beside the container.
    """
    notes = {PREFIX + key: str(value) for key, value in (annotations or {}).items()}
    containers = [{"image": "example.com/painter", **(container or {})}]
    return {
        "apiVersion": "serving.knative.dev/v1",
        "kind": "Service",
        "metadata": {"name": name},
        "spec": {"template": {"metadata": {"annotations": notes}, "spec": {**spec, "containers": containers}}},
    }
