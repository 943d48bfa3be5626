"""Functions of the policy that also compile under numba (``numba.extending.register_jitable``)."""

from __future__ import annotations

from kpasim.policy import (
    accounting,
    burst,
    decider,
    delay,
    hpa,
    keda,
    keda_http,
    lookahead,
    pods,
    ray_serve,
    routing,
    scaler,
    schedule,
    scraping,
    spare,
    windows,
)

KERNELS = (
    *windows.KERNELS,
    *accounting.KERNELS,
    *delay.KERNELS,
    *burst.KERNELS,
    *decider.KERNELS,
    *scaler.KERNELS,
    *pods.KERNELS,
    *routing.KERNELS,
    *scraping.KERNELS,
    *hpa.KERNELS,
    *keda.KERNELS,
    *keda_http.KERNELS,
    *schedule.KERNELS,
    *spare.KERNELS,
    *lookahead.KERNELS,
    *ray_serve.KERNELS,
)
"""Functions that a compiled engine adopts, callees before callers."""
