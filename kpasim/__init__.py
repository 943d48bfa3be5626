"""A local simulator of Knative's Pod Autoscaler for GPU inference services."""

__version__ = "0.1.0"
