"""Functions of the policy that also compile under numba (``numba.extending.register_jitable``)."""

from __future__ import annotations

from inspect import isfunction

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

_MODULES = (windows, accounting, delay, burst, decider, scaler, pods, routing, scraping, hpa, keda, keda_http, schedule,
            spare, lookahead, ray_serve)  # fmt: skip
_PLAIN = (hpa.rules, hpa.default_scale_up, hpa.default_scale_down, keda.accepts, windows.smoothing_coefficient,
          schedule.changes)  # fmt: skip
"""Functions that no engine calls while it runs, as are private ones and those that make new memory."""
KERNELS = tuple(
    one
    for module in _MODULES
    for name, one in vars(module).items()
    if isfunction(one)
    and one.__module__ == module.__name__
    and not name.startswith(("_", "new_"))
    and one not in _PLAIN
)
"""Functions that a compiled engine adopts."""
