"""What autoscalers decide, Knative's first: plain functions of numbers, NamedTuples and arrays.

Nothing here keeps state, reads a clock or draws a random number. ``KERNELS`` are the functions that also compile under
numba (``numba.extending.register_jitable``), callees before callers; the rest is computed once per run.
"""

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
