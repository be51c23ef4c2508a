"""The fused kernel in Triton: ReLU, LRN and max pool in one pass over memory.

One kernel serves both layouts and every order of the three stages. A *lane* is one element of a
Triton vector. It computes ``OUT_CHANNELS`` neighbouring channels at one output position, and for
that holds the values of those channels and of the ``SIZE - 1`` around them. A value comes from
memory once; what several lanes need comes from the caches.

- Channels first (NCHW): lanes are neighbouring columns of the output.
- Channels last (NHWC): lanes are neighbouring channels, and each computes one.

The squares of each window are added afresh, in pairs that neighbouring windows share, so that a
value that is not finite reaches its own windows only. All arithmetic is in fp32.

Parameters, sizes and the tile are compile-time constants (:mod:`lrn_deploy.plugins.launch` makes
them), only the batch is an argument. Nothing but builtins of ``triton.language`` is used, so this
file also runs in Triton's interpreter, on a CPU.
"""
# Triton compiles these functions from their source: types are its own, constants are in capitals.
# mypy: ignore-errors
# ruff: noqa: N803, N806, RUF005, SIM108

from __future__ import annotations

import triton
import triton.language as tl


@triton.jit
def fused_lrn(
    x,  # pointer to the input
    N,  # batch
    y,  # pointer to the output
    C: tl.constexpr,
    H: tl.constexpr,
    W: tl.constexpr,
    OUT_H: tl.constexpr,
    OUT_W: tl.constexpr,
    CHANNELS_LAST: tl.constexpr,
    RELU: tl.constexpr,
    POOL_FIRST: tl.constexpr,
    POOL_H: tl.constexpr,  # 1 x 1 without a pool
    POOL_W: tl.constexpr,
    STRIDE_H: tl.constexpr,
    STRIDE_W: tl.constexpr,
    PAD_H: tl.constexpr,
    PAD_W: tl.constexpr,
    SIZE: tl.constexpr,  # of the window
    FIRST: tl.constexpr,  # its first channel, relative to the centre
    SCALE: tl.constexpr,  # alpha / size
    K: tl.constexpr,
    WHOLE: tl.constexpr,  # beta = +-(WHOLE + FOURTHS / 4 + REST)
    FOURTHS: tl.constexpr,
    REST: tl.constexpr,
    NEGATIVE: tl.constexpr,
    WIDE: tl.constexpr,  # more than 2**31 lanes
    BLOCK: tl.constexpr,  # lanes of a program
    OUT_CHANNELS: tl.constexpr,
):
    """Write the fused LRN of ``x`` to ``y``; a grid of one axis, see ``launch.programs``."""
    CHUNKS: tl.constexpr = 1 if CHANNELS_LAST else (C + OUT_CHANNELS - 1) // OUT_CHANNELS
    LAST: tl.constexpr = C - 1 if CHANNELS_LAST else (CHUNKS - 1) * OUT_CHANNELS
    CHANNEL_STEP: tl.constexpr = 1 if CHANNELS_LAST else H * W
    COLUMN_STEP: tl.constexpr = C if CHANNELS_LAST else 1
    OUT_CHANNEL_STEP: tl.constexpr = 1 if CHANNELS_LAST else OUT_H * OUT_W
    OVERHANGS: tl.constexpr = (
        PAD_H > 0
        or PAD_W > 0
        or (OUT_H - 1) * STRIDE_H + POOL_H > H
        or (OUT_W - 1) * STRIDE_W + POOL_W > W
    )
    HELD: tl.constexpr = OUT_CHANNELS + SIZE - 1
    ENTRIES: tl.constexpr = HELD if POOL_FIRST else OUT_CHANNELS

    # Neighbouring programs take neighbouring channels, which share their windows' overlap.
    program = tl.program_id(0)
    if WIDE:
        program = program.to(tl.int64)
    lane = (program // CHUNKS) * BLOCK + tl.arange(0, BLOCK)
    if CHANNELS_LAST:
        channel = lane % C
        place = lane // C
    else:
        channel = tl.full((BLOCK,), 0, tl.int32) + (program % CHUNKS) * OUT_CHANNELS
        place = lane
    column = place % OUT_W
    row = (place // OUT_W) % OUT_H
    image = place // (OUT_W * OUT_H)
    inside = image < N
    top = row * STRIDE_H - PAD_H
    left = column * STRIDE_W - PAD_W
    corner = x + (
        image.to(tl.int64) * (C * H * W)
        + channel.to(tl.int64) * CHANNEL_STEP
        + (top.to(tl.int64) * W + left) * COLUMN_STEP
    )

    if POOL_H * POOL_W == 1:
        best = load(corner, inside, channel, C, LAST, CHANNEL_STEP, HELD, FIRST)
    else:
        best = ()
        for _ in tl.static_range(ENTRIES):
            best = best + (tl.full((BLOCK,), float("-inf"), tl.float32),)
        for step in tl.range(POOL_H * POOL_W, loop_unroll_factor=1):
            down = step // POOL_W
            right = step % POOL_W
            seen = inside
            if OVERHANGS:
                seen = seen & (top + down >= 0) & (top + down < H)
                seen = seen & (left + right >= 0) & (left + right < W)
            held = load(
                corner + (down * W + right) * COLUMN_STEP,
                *(seen, channel, C, LAST, CHANNEL_STEP, HELD, FIRST),
            )
            if not POOL_FIRST:
                held = normalize(
                    held,
                    *(OUT_CHANNELS, RELU, SIZE, FIRST, SCALE, K),
                    *(WHOLE, FOURTHS, REST, NEGATIVE),
                )
            new = ()
            for i in tl.static_range(ENTRIES):
                value = held[i]
                if OVERHANGS:
                    value = tl.where(seen, value, float("-inf"))
                new = new + (tl.maximum(best[i], value, tl.PropagateNan.ALL),)
            best = new
    if POOL_FIRST or POOL_H * POOL_W == 1:
        best = normalize(
            best,
            *(OUT_CHANNELS, RELU, SIZE, FIRST, SCALE, K),
            *(WHOLE, FOURTHS, REST, NEGATIVE),
        )

    target = y + (
        image.to(tl.int64) * (C * OUT_H * OUT_W)
        + channel.to(tl.int64) * OUT_CHANNEL_STEP
        + (row.to(tl.int64) * OUT_W + column) * COLUMN_STEP
    )
    for i in tl.static_range(OUT_CHANNELS):
        mask = inside
        if LAST + i >= C:
            mask = mask & (channel + i < C)
        tl.store(target + i * OUT_CHANNEL_STEP, best[i].to(y.dtype.element_ty), mask=mask)


@triton.jit
def load(
    source,
    inside,
    channel,
    C: tl.constexpr,
    LAST: tl.constexpr,
    CHANNEL_STEP: tl.constexpr,
    HELD: tl.constexpr,
    FIRST: tl.constexpr,
):
    """The values of ``HELD`` channels from ``channel + FIRST`` on, in fp32; 0 where none is."""
    held = ()
    for i in tl.static_range(HELD):
        mask = inside
        if FIRST + i < 0:
            mask = mask & (channel + (FIRST + i) >= 0)
        if LAST + FIRST + i >= C:  # LAST is the largest first channel of all lanes
            mask = mask & (channel + (FIRST + i) < C)
        value = tl.load(source + (FIRST + i) * CHANNEL_STEP, mask=mask, other=0.0)
        held = held + (value.to(tl.float32),)
    return held


@triton.jit
def normalize(
    held,
    OUT: tl.constexpr,
    RELU: tl.constexpr,
    SIZE: tl.constexpr,
    FIRST: tl.constexpr,
    SCALE: tl.constexpr,
    K: tl.constexpr,
    WHOLE: tl.constexpr,
    FOURTHS: tl.constexpr,
    REST: tl.constexpr,
    NEGATIVE: tl.constexpr,
):
    """LRN of the ``OUT`` channels in the middle of ``OUT + SIZE - 1``, after ReLU if wanted."""
    values = ()
    sums = ()
    for i in tl.static_range(OUT + SIZE - 1):
        value = held[i]
        if RELU:
            value = tl.maximum(value, 0.0, tl.PropagateNan.ALL)
        values = values + (value,)
        sums = sums + (value * value,)
    # A window of 5 is 1 + 4: the sums over 1, 2, 4, ... channels serve several windows.
    totals = ()
    for bit in tl.static_range(5):
        if SIZE & (1 << bit):
            new = ()
            for i in tl.static_range(OUT):
                part = sums[i + (SIZE & ((1 << bit) - 1))]
                if SIZE & ((1 << bit) - 1):
                    part = totals[i] + part
                new = new + (part,)
            totals = new
        if (2 << bit) <= SIZE:
            new = ()
            for i in tl.static_range(OUT + SIZE - (2 << bit)):
                new = new + (sums[i] + sums[i + (1 << bit)],)
            sums = new
    result = ()
    for i in tl.static_range(OUT):
        base = totals[i] * SCALE + K
        result = result + (scale_by_power(values[i - FIRST], base, WHOLE, FOURTHS, REST, NEGATIVE),)
    return result


@triton.jit
def scale_by_power(
    x,
    base,
    WHOLE: tl.constexpr,
    FOURTHS: tl.constexpr,
    REST: tl.constexpr,
    NEGATIVE: tl.constexpr,
):
    """``x / base ** beta`` from roots, divisions and, for what is left of beta, an exponential."""
    if NEGATIVE:
        root = tl.sqrt(base)
    else:
        root = tl.rsqrt(base)
    if FOURTHS == 1:
        x = x * tl.sqrt(root)
    elif FOURTHS == 2:
        x = x * root
    elif FOURTHS == 3:
        x = x * (root * tl.sqrt(root))
    if REST > 0:
        x = x * tl.exp2(tl.log2(base) * (REST if NEGATIVE else -REST))
    for _ in tl.static_range(WHOLE):
        x = x * base if NEGATIVE else x / base
    return x
