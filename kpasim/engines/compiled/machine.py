"""The compiled engine put together: numba adopts the policy and the event loop, and runs replications in batches.

Importing this module costs numba's start-up; nothing else of kpasim does.
"""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import numba
from llvmlite import ir
from numba.core import cgutils, types
from numba.core.typing.templates import AttributeTemplate
from numba.extending import infer_getattr, lower_getattr_generic, models, register_model

from kpasim.engines import clock, counts, draws
from kpasim.engines.compiled import (
    activator,
    agenda,
    autoscaler,
    cache,
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
    clock, counts, draws, layout, agenda, queues, sharing, clients, reconciler, autoscaler, activator, pod, cluster,
    ingress, loop,
)  # fmt: skip

numba.config.CACHE_DIR = cache.folder()

KINDS = {
    "int": types.int64,
    "Ints": types.int64[::1],
    "IntTable": types.int64[:, ::1],
    "Floats": types.float64[::1],
    "FloatTable": types.float64[:, ::1],
}
"""Types of ``World``'s fields in compiled code."""

FIELDS = {field.name: KINDS[str(field.type)] for field in fields(World)}


class WorldType(types.Type):
    """A ``World`` in compiled code: one pointer to all its arrays.

    A NamedTuple of this many arrays would be copied at each call and take minutes to compile, and numba's own structref
    counts references at each access, which costs more than the loop's work.
    """

    def __init__(self) -> None:
        super().__init__(name="World")


WORLD = WorldType()


@register_model(WorldType)
class _WorldModel(models.PrimitiveModel):  # type: ignore[misc]
    def __init__(self, manager: Any, kind: Any) -> None:
        layout_of = ir.LiteralStructType([manager.lookup(field).get_value_type() for field in FIELDS.values()])
        super().__init__(manager, kind, layout_of.as_pointer())


@infer_getattr
class _WorldAttributes(AttributeTemplate):  # type: ignore[misc]
    key = WorldType

    def generic_resolve(self, kind: Any, name: str) -> Any:
        """The type of a field."""
        return FIELDS.get(name)


@lower_getattr_generic(WorldType)  # type: ignore[untyped-decorator]
def _load_field(context: Any, builder: Any, kind: Any, value: Any, name: str) -> Any:
    place = list(FIELDS).index(name)
    return builder.load(cgutils.gep_inbounds(builder, value, 0, place))


@numba.extending.intrinsic  # type: ignore[untyped-decorator]
def world_of(typing_context: Any, arrays: Any) -> Any:
    """A ``World`` of these arrays, in the order of its fields; the caller keeps them alive."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        kind = context.get_value_type(WORLD).pointee
        place = cgutils.alloca_once(builder, kind)
        for index in range(len(arrays.types)):
            value = builder.extract_value(arguments[0], index)
            builder.store(value, cgutils.gep_inbounds(builder, place, 0, index))
        return place

    return WORLD(arrays), generate


for _kernel in (*POLICY, *(kernel for module in MODULES for kernel in module.KERNELS)):
    # Nothing inside allocates, so nothing needs numba's reference counts.
    numba.extending.register_jitable(_nrt=False)(_kernel)


@numba.njit(_nrt=False)  # type: ignore[untyped-decorator]
def play_world(w: Any) -> int:
    """Play one run on a ``World``."""
    loop.play(w)
    return loop.finish(w)


SIGNATURE = types.int64(types.containers.Tuple(list(FIELDS.values())))


@numba.njit(SIGNATURE, nogil=True, cache=True)  # type: ignore[untyped-decorator]
def play(arrays: Any) -> int:
    """Play one run on the arrays of a ``World``, in the order of its fields."""
    return play_world(world_of(arrays))  # type: ignore[no-any-return]
