"""What compiled loops need of the processor, as numba intrinsics. Needs numba (the extra `fast`).

Each stands for an LLVM instruction, so it works on every processor, and fast where there is one.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import numba
from llvmlite import ir
from numba import types
from numba.core import cgutils, extending
from numba.np import arrayobj

LANES = 32  # numbers of 16 bits that are compared in one instruction: 512 bits

_Function = TypeVar("_Function", bound=Callable[..., Any])
_njit: Any = numba.njit
_intrinsic: Any = extending.intrinsic
_cgutils: Any = cgutils
_arrayobj: Any = arrayobj


def compiled(function: _Function) -> _Function:
    """The function as machine code that runs without Python's global lock: compiled at its first
    call, and kept in numba's cache if there is a folder that it may write to.

    It may make no arrays. So numba's runtime, which would count references to each array at each
    step of a loop, is left out: the loops of the index took twice as long with it.
    """
    made: _Function
    options = {"nogil": True, "_nrt": False}
    try:
        made = _njit(cache=True, **options)(function)
    except RuntimeError:  # "no locator available": neither beside the file nor in the home folder
        made = _njit(**options)(function)
    return made


def compiled_for(function: Callable[..., Any], signature: Any) -> Any:
    """The function as machine code for arguments of these types, compiled now or read from numba's
    cache; it may make arrays. Without a cache where none may be written."""
    try:
        return _njit([signature], nogil=True, cache=True)(function)
    except RuntimeError:  # "no locator available": neither beside the file nor in the home folder
        return _njit([signature], nogil=True)(function)


def inlined(function: _Function) -> _Function:
    """A function for compiled ones, written into them: a call would count references to each
    array, which costs more than a short function's work."""
    made: _Function = _njit(inline="always")(function)
    return made


def _count_bits(_: Any, word: Any) -> Any:
    def generate(_: Any, builder: Any, __: Any, args: Any) -> Any:
        return builder.zext(builder.ctpop(args[0]), ir.IntType(64))

    return types.int64(types.uint64), generate


def _find_lowest_bit(_: Any, word: Any) -> Any:
    def generate(_: Any, builder: Any, __: Any, args: Any) -> Any:
        return builder.cttz(args[0], ir.Constant(ir.IntType(1), 1))

    return types.int64(types.uint64), generate


def _ask_for(_: Any, array: Any, at: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        data = _arrayobj.make_array(signature.args[0])(context, builder, args[0]).data
        byte, flag = ir.IntType(8).as_pointer(), ir.IntType(32)
        kind = ir.FunctionType(ir.VoidType(), [byte, flag, flag, flag])
        function = _cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0")
        where = builder.bitcast(builder.gep(data, [args[1]]), byte)
        read, keep, data_cache = (ir.Constant(flag, n) for n in (0, 3, 1))
        builder.call(function, [where, read, keep, data_cache])
        return context.get_dummy_value()

    return types.void(array, types.int64), generate


def _compare_lanes(_: Any, array: Any, at: Any, with_: Any, most: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        lanes, number = ir.VectorType(ir.IntType(16), LANES), ir.IntType(32)
        nothing = ir.Constant(lanes, ir.Undefined)
        zeros = ir.Constant(ir.VectorType(number, LANES), [0] * LANES)

        def spread(value: Any) -> Any:
            one = builder.insert_element(nothing, value, ir.Constant(number, 0))
            return builder.shuffle_vector(one, nothing, zeros)

        data = _arrayobj.make_array(signature.args[0])(context, builder, args[0]).data
        where = builder.bitcast(builder.gep(data, [args[1]]), lanes.as_pointer())
        apart = builder.xor(builder.load(where, align=2), spread(args[2]))
        kind = ir.FunctionType(lanes, [lanes])
        name = f"llvm.ctpop.v{LANES}i16"
        count = _cgutils.get_or_insert_function(builder.module, kind, name)
        near = builder.icmp_unsigned("<=", builder.call(count, [apart]), spread(args[3]))
        return builder.zext(builder.bitcast(near, number), ir.IntType(64))

    return types.uint64(array, types.int64, types.uint16, types.uint16), generate


popcount: Any = _intrinsic(_count_bits)
"""popcount(word): how many bits are set."""

lowest_bit: Any = _intrinsic(_find_lowest_bit)
"""lowest_bit(word): the place of the lowest bit that is set; the word is not 0."""

prefetch: Any = _intrinsic(_ask_for)
"""prefetch(array, at): have the cache line of `array[at]` fetched, without waiting for it."""

near_lanes: Any = _intrinsic(_compare_lanes)
"""near_lanes(array, at, number, most): bit i says whether `array[at + i]` lies within `most` bits
of `number`, for LANES uint16; numba's own vectoriser does not do it where a loop ends early."""
