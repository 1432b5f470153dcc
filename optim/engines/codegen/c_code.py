"""A program as C source: one loop that reads and writes every element once.

The order of operations and the rounding after each are those of eager torch: a half
precision is rounded after every operation, and nothing is contracted. Square roots are
correctly rounded (IEEE), unlike some of torch's own on CPU.
"""

import torch

from ..memory.kept_places import SOURCE
from ..tracing.recording import NotElementwise
from ..tracing.stochastic_rounding import (
    GOLDEN,
    HIGH_WORD,
    MULTIPLIERS,
    SPLIT_MIX,
)
from .program import Arg, StepProgram, slots

MEMORY = {
    torch.float32: "float",
    torch.float64: "double",
    torch.bfloat16: "uint16_t",
    torch.float16: "uint16_t",
    torch.bool: "uint8_t",
}
_HALF = {torch.bfloat16: "bfloat16", torch.float16: "float16"}
_COMPARE = {"gt": ">", "ge": ">=", "lt": "<", "le": "<=", "eq": "==", "ne": "!="}
_INFIX = {"add": "+", "sub": "-", "mul": "*", "div": "/"}
_CALLS = {"exp", "log", "log1p", "expm1", "tanh"}


def c_source(program: StepProgram, master: int | None = None) -> str:
    """Return the source of ``run(table, rows, constants, threads, renewed, turn)``.

    A row of the table has the number of elements in the rows before, its own number of
    elements, and the addresses of tensor, gradient and state; if the tensor is rounded
    stochastically, also the key of its random bits, where ``turn`` is the number of
    earlier uses. ``master`` is the input whose rounding the tensor should be: elements
    that differ are counted in ``renewed``.
    """
    for dtype in program.dtypes:
        if dtype not in MEMORY:
            raise NotElementwise(f"a tensor of its state is {dtype}")
    width = program.n_inputs + 2 + program.rounds
    return _FRAME % {
        "rounding": _ROUNDING % MULTIPLIERS_OF_C if program.rounds else "",
        "stream": f"stream_of(row[{width - 1}], turn)" if program.rounds else "0",
        "pointers": _pointers(program),
        "constants": _constants(program),
        "body": "\n    ".join(_statements(program, master)),
        "arguments": _arguments(program),
        "width": width,
        "addresses": SOURCE,
    }


def _pointers(program: StepProgram) -> str:
    """Return the parameters that point to the tensors of a row."""
    targets = set(slots(program))
    # restrict, and ivdep in the frame, promise the compiler that the tensors of a row
    # share no memory: Bucket.locate refuses parameters that do, and states have storage
    # of their own.
    return ", ".join(
        f"{'' if i in targets else 'const '}{MEMORY[program.dtypes[i]]} *restrict b{i}"
        for i in range(program.n_inputs)
    )


def _arguments(program: StepProgram) -> str:
    """Return the arguments for `_pointers`: the addresses in a row of the table."""
    return ", ".join(
        f"({MEMORY[program.dtypes[i]]} *)row[{i + 2}] + from"
        for i in range(program.n_inputs)
    )


def _statements(program: StepProgram, master: int | None) -> list[str]:
    """Return the code for one element: read all, compute, store."""
    reads = [
        f"const {_compute(program, i)} v{i} = {_load(program, i)};"
        for i in range(program.n_inputs)
    ]
    if master is not None:
        reads.append(_COUNTED % _rounded(f"(float)v{master}", program.dtypes[0]))
    # All values of an element are read before the first is stored, so a result may
    # overwrite the source of another one.
    stores = [
        f"b{slot}[i] = {_store(program, slot, out)};"
        for slot, out in zip(slots(program), program.outs, strict=True)
        if slot != out
    ]
    return [
        *reads,
        *(_statement(program, i, *op) for i, op in program.ops.items()),
        *stores,
    ]


def _highest(args: tuple[Arg, ...]) -> int:
    numbers = [int(a.strip("-c[]")) for a in args if type(a) is str and "c" in a]
    return max(numbers, default=-1)


def _constants(program: StepProgram) -> str:
    # torch converts constants to float if tensors are float32 or narrower; in double
    # the last digit would differ.
    is_wide = any(dtype is torch.float64 for dtype in program.dtypes)
    scalar = "double" if is_wide else "float"
    highest = max((_highest(args) for _, args in program.ops.values()), default=-1)
    return " ".join(
        f"const {scalar} c{k} = ({scalar})c[{k}];" for k in range(highest + 1)
    )


def _compute(program: StepProgram, i: int) -> str:
    dtype = program.dtypes[i]
    if dtype is torch.bool:
        return "int"
    return "double" if dtype is torch.float64 else "float"


def _load(program: StepProgram, i: int) -> str:
    if program.dtypes[i] in _HALF:
        return f"from_{_HALF[program.dtypes[i]]}(b{i}[i])"
    return f"({_compute(program, i)})b{i}[i]"


def _store(program: StepProgram, slot: int, out: int) -> str:
    if program.dtypes[slot] in _HALF:
        return f"to_{_HALF[program.dtypes[slot]]}(v{out})"
    return f"({MEMORY[program.dtypes[slot]]})v{out}"


def _statement(program: StepProgram, i: int, name: str, args: tuple[Arg, ...]) -> str:
    dtype, kind = program.dtypes[i], _compute(program, i)
    if name in _COMPARE:
        value = _comparison(program, name, args)
    elif name.startswith("round:"):
        value = f"rounded_{name[6:]}(v{args[0]}, random_bits(stream, at + i))"
    else:
        is_rounded = name in _ROUNDED
        texts = [_argument(a, dtype if is_rounded else None, kind) for a in args]
        value = _rounded(_expression(name, texts, dtype), dtype)
    return f"const {kind} v{i} = {value};"


def _comparison(program: StepProgram, name: str, args: tuple[Arg, ...]) -> str:
    # The result is a mask: the rounding of a constant is determined by the tensor.
    dtype = next(program.dtypes[a] for a in args if type(a) is int)
    kind = "double" if dtype is torch.float64 else "float"
    x, y = (_argument(a, dtype, kind) for a in args)
    return f"{x} {_COMPARE[name]} {y}"


def _argument(a: Arg, rounded: torch.dtype | None, kind: str) -> str:
    """Return a value, or a constant in the precision that torch computes with."""
    if type(a) is int:
        return f"v{a}"
    text = f"({kind})({str(a).replace('[', '').replace(']', '')})"
    return text if rounded is None else _rounded(text, rounded)


def _rounded(text: str, dtype: torch.dtype) -> str:
    name = _HALF.get(dtype)
    return text if name is None else f"from_{name}(to_{name}({text}))"


def _expression(name: str, x: list[str], dtype: torch.dtype) -> str:
    f = "" if dtype is torch.float64 else "f"
    if name in _INFIX:
        return f"{x[0]} {_INFIX[name]} {x[1]}"
    if name in _CALLS:
        return f"{name}{f}({x[0]})"
    if name.startswith("to:") or name in ("copy", "fill"):
        return x[0]
    form = _OF_DTYPE.get(dtype, {}).get(name) or _FORMS.get(name)
    if form is None:
        raise NotElementwise(f"there is no C form of {name}")
    return form.format(*x, f=f)


# Not every GCC vectorizes a count of comparisons, but a count of numbers.
_COUNTED = (
    "const float r0 = %s; "
    "const float renews = r0 == v0 ? 0.0f : r0 == r0 ? 1.0f : 0.0f; "
    "n += (int32_t)renews;"
)
"""A weight that is NaN because its master is NaN does not count."""

_ROUNDED = frozenset({"add", "sub", "add_alpha", "sub_alpha"})
"""Operations for which torch converts a number to the tensors' dtype first."""

# torch fuses the product into the sum in add(alpha=...) and in lerp, so these are fma;
# any other product and sum is rounded twice.
_FORMS = {
    "add_alpha": "fma{f}({1}, {2}, {0})",
    "sub_alpha": "fma{f}({1}, -{2}, {0})",
    "addcmul": "{0} + {3} * {1} * {2}",
    "addcdiv": "{0} + {3} * {1} / {2}",
    "lerp": "(fabs{f}({2}) < 0.5{f} ? fma{f}({2}, {1} - {0}, {0})"
    " : fma{f}({2} - 1, {1} - {0}, {1}))",
    "neg": "-{0}",
    "abs": "fabs{f}({0})",
    "sqrt": "sqrt{f}({0})",
    "rsqrt": "1 / sqrt{f}({0})",
    "reciprocal": "1 / {0}",
    "square": "{0} * {0}",
    "sign": "({0} > 0) - ({0} < 0)",
    "sigmoid": "1 / (1 + exp{f}(-{0}))",
    "relu": "({0} < 0 ? 0 : {0})",
    # A NaN on either side is the result.
    "maximum": "({0} != {0} || {0} > {1} ? {0} : {1})",
    "minimum": "({0} != {0} || {0} < {1} ? {0} : {1})",
    # A limit of NaN fails the comparison, and is the result.
    "clamp_min": "({0} != {0} || {0} >= {1} ? {0} : {1})",
    "clamp_max": "({0} != {0} || {0} <= {1} ? {0} : {1})",
    "where": "({0} ? {1} : {2})",
    "pow:2.0": "{0} * {0}",
    "pow:3.0": "{0} * {0} * {0}",
    "pow:0.5": "sqrt{f}({0})",
    "pow:-0.5": "1 / sqrt{f}({0})",
    "pow:-1.0": "1 / {0}",
    "pow:-2.0": "1 / ({0} * {0})",
}
_OF_DTYPE = {
    torch.bfloat16: {
        "pow:3.0": "from_bfloat16(to_bfloat16({0} * {0})) * {0}",
        "pow:-2.0": "1 / from_bfloat16(to_bfloat16({0} * {0}))",
    },
    torch.float16: {"pow:0.5": "powf({0}, 0.5f)", "pow:-0.5": "powf({0}, -0.5f)"},
}
"""Operations that torch computes differently in one dtype."""

MULTIPLIERS_OF_C = dict(zip("abc", MULTIPLIERS, strict=True)) | {
    "h": HIGH_WORD,
    "golden": GOLDEN,
    "x": int(SPLIT_MIX[0][1]),
    "y": int(SPLIT_MIX[1][1]),
}

# The random bits equal those of stochastic_rounding.py, and so does their use.
_ROUNDING = """\
static inline uint64_t stream_of(uint64_t key, uint64_t turn) {
  uint64_t x = key + (turn + 1) * %(golden)#xu;
  x = (x ^ (x >> 30)) * %(x)#xu;
  x = (x ^ (x >> 27)) * %(y)#xu;
  return x ^ (x >> 31);
}
static inline uint32_t random_bits(uint64_t stream, uint64_t i) {
  uint32_t x = (uint32_t)i + (uint32_t)stream;
  x = (x ^ (x >> 16)) * %(a)#xu;
  x ^= x >> 15;
  x += (uint32_t)(stream >> 32) + (uint32_t)(i >> 32) * %(h)#xu;
  x = (x ^ (x >> 16)) * %(b)#xu;
  return (x ^ (x >> 15)) * %(c)#xu;
}
static inline float truncated(float x, uint32_t bits, int n) {
  uint32_t u; memcpy(&u, &x, 4);
  u = (u + (bits >> (32 - n))) >> n << n; memcpy(&x, &u, 4);
  return x;
}
static inline float rounded_bfloat16(float x, uint32_t bits) {
  return x != x ? x : truncated(x, bits, 16);
}
static inline float rounded_float16(float x, uint32_t bits) {
  float share = (float)(int32_t)(bits >> 8) * 0x1p-24f;
  float small = copysignf(floorf(fabsf(x) / 0x1p-24f + share) * 0x1p-24f, x);
  return x != x ? x : fabsf(x) < 0x1p-14f ? small : truncated(x, bits, 13);
}
"""

# Half precisions are converted by hand: GCC does not vectorize loops with _Float16.
# Both are rounded to nearest, ties to even, by a carry that would turn some NaN into a
# number, so NaN is handled separately. Below its smallest normal number float16 counts
# in units of its smallest number, which is the last digit of float32 between 0.5 and 1:
# the sum is rounded there. Threads take parts from one counter, and no element depends
# on another: a thread that cannot be started affects nothing but the time.
_FRAME = """\
#include <math.h>
#include <pthread.h>
#include <stdint.h>
#include <string.h>

static inline float from_bfloat16(uint16_t h) {
  uint32_t u = (uint32_t)h << 16; float x; memcpy(&x, &u, 4); return x;
}
static inline uint16_t to_bfloat16(float x) {
  uint32_t u; memcpy(&u, &x, 4);
  uint16_t h = (uint16_t)((u + 0x7fff + ((u >> 16) & 1)) >> 16);
  return x != x ? 0x7fc0 : h;
}
static inline float from_float16(uint16_t h) {
  uint32_t u = (uint32_t)(h & 0x7fff) << 13; float x; memcpy(&x, &u, 4);
  x *= 0x1p112f; memcpy(&u, &x, 4);
  u |= (h & 0x7c00) == 0x7c00 ? 0x7f800000 : 0;
  u |= (uint32_t)(h & 0x8000) << 16; memcpy(&x, &u, 4);
  return x;
}
static inline uint16_t to_float16(float x) {
  uint32_t s; memcpy(&s, &x, 4);
  int32_t u = s & 0x7fffffff, v; float sum; memcpy(&sum, &u, 4);
  sum += 0.5f; memcpy(&v, &sum, 4);
  int32_t normal = (u - (112 << 23) + 0xfff + ((u >> 13) & 1)) >> 13;
  int32_t small = (u - 0x38800000) >> 31, large = (0x477fefff - u) >> 31;
  int32_t nan = (0x7f800000 - u) >> 31;
  int32_t h = (normal & ~small) | ((v - 0x3f000000) & small);
  h = (h & ~large) | (0x7c00 & large) | (0x200 & nan);
  return (uint16_t)(h | ((s >> 16) & 0x8000));
}
%(rounding)s
%(addresses)s
static void block(%(pointers)s, int64_t count, uint64_t stream, int64_t at,
                  const double *c, int64_t *renewed) {
  %(constants)s
  int32_t n = 0;
  _Pragma("GCC ivdep")
  for (int64_t i = 0; i < count; i++) {
    %(body)s
  }
  if (n) __atomic_fetch_add(renewed, n, __ATOMIC_RELAXED);
}

static void range(const int64_t *table, int64_t rows, int64_t low, int64_t high,
                  const double *c, int64_t *renewed, uint64_t turn) {
  int64_t a = 0, b = rows - 1;
  while (a < b) {
    int64_t middle = (a + b + 1) / 2;
    if (table[middle * %(width)d] <= low) a = middle; else b = middle - 1;
  }
  for (; a < rows; a++) {
    const int64_t *row = table + a * %(width)d;
    if (row[0] >= high) break;
    int64_t from = low > row[0] ? low - row[0] : 0;
    int64_t to = high - row[0] < row[1] ? high - row[0] : row[1];
    if (from < to) block(%(arguments)s, to - from, %(stream)s, from, c, renewed);
  }
}

enum { BLOCK = 1 << 18, THREADS = 64 };
struct work {
  const int64_t *table; int64_t rows, total, next; const double *c; int64_t *renewed;
  uint64_t turn;
};

static void *steal(void *argument) {
  struct work *w = argument;
  for (;;) {
    int64_t low = __atomic_fetch_add(&w->next, BLOCK, __ATOMIC_RELAXED);
    if (low >= w->total) return 0;
    int64_t high = low + BLOCK < w->total ? low + BLOCK : w->total;
    range(w->table, w->rows, low, high, w->c, w->renewed, w->turn);
  }
}

void run(const int64_t *table, int64_t rows, const double *c, int64_t threads,
         int64_t *renewed, uint64_t turn) {
  if (!rows) return;
  const int64_t *last = table + (rows - 1) * %(width)d;
  struct work w = {table, rows, last[0] + last[1], 0, c, renewed, turn};
  pthread_t team[THREADS];
  int started = 0;
  if (threads > w.total / BLOCK + 1) threads = w.total / BLOCK + 1;
  while (started < threads - 1 && started < THREADS)
    if (pthread_create(&team[started], 0, steal, &w)) break; else started++;
  if (threads > 1) steal(&w);
  else range(table, rows, 0, w.total, c, renewed, turn);
  while (started) pthread_join(team[--started], 0);
}
"""
