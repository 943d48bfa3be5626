"""The model: one state, and one function for each event. ``events`` lists them; executors call them.

The functions are plain Python, and all of them also compile under numba.
"""

from inspect import isfunction

from kpasim.engines.model import (
    activator,
    ahead,
    autoscaler,
    bits,
    clients,
    clocks,
    cluster,
    events,
    hpa,
    ingress,
    keda,
    keda_http,
    kpa,
    kubelet,
    metrics,
    queueproxy,
    queues,
    ray_serve,
    reconciler,
    server,
    sharing,
    transfers,
    views,
)

_MODULES = (
    bits, views, clocks, queues, sharing, server, transfers, clients, ahead, reconciler, metrics, kpa, keda, keda_http,
    hpa, ray_serve, autoscaler, activator, queueproxy, kubelet, cluster, ingress, events,
)  # fmt: skip
KERNELS = tuple(
    one for module in _MODULES for one in vars(module).values() if isfunction(one) and one.__module__ == module.__name__
)
"""Functions that compiled code adopts."""
