"""The compiled engine put together: numba adopts the policy and the event loop, and runs replications in batches.

Importing this module costs numba's start-up; nothing else of kpasim does.
"""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import numba
from numba.core import types
from numba.experimental import structref

from kpasim.engines.compiled import cache

from kpasim.engines import clock, draws
from kpasim.engines.compiled import (
    activator,
    agenda,
    autoscaler,
    clients,
    cluster,
    ingress,
    layout,
    loop,
    pod,
    queues,
    reconciler,
    sharing,
)
from kpasim.engines.compiled.layout import World
from kpasim.policy import KERNELS as POLICY

MODULES = (
    clock, draws, layout, agenda, queues, sharing, clients, reconciler, autoscaler, activator, pod, cluster, ingress, loop,
)  # fmt: skip

numba.config.CACHE_DIR = cache.folder()

for _kernel in (*POLICY, *(kernel for module in MODULES for kernel in module.KERNELS)):
    numba.extending.register_jitable(_kernel)


@structref.register
class WorldType(types.StructRef):
    """The type of ``World`` in compiled code: one pointer, however many arrays it holds."""

    def preprocess_fields(self, fields: Any) -> Any:
        """Fields are arrays and numbers, never literals."""
        return tuple((name, types.unliteral(kind)) for name, kind in fields)


class CompiledWorld(structref.StructRefProxy):
    """A ``World`` as compiled code makes it."""


structref.define_constructor(CompiledWorld, WorldType, [field.name for field in fields(World)])
structref.define_attributes(WorldType)


KINDS = {
    "int": types.int64,
    "Ints": types.int64[::1],
    "IntTable": types.int64[:, ::1],
    "Floats": types.float64[::1],
    "FloatTable": types.float64[:, ::1],
}
"""Types of ``World``'s fields in compiled code."""

SIGNATURE = types.int64(types.Tuple([KINDS[str(field.type)] for field in fields(World)]))


@numba.njit(SIGNATURE, nogil=True, cache=True)
def play(arrays: Any) -> int:
    """Play one run on the arrays of a ``World``, in the order of its fields."""
    w = CompiledWorld(*arrays)
    loop.play(w)
    return loop.finish(w)
