"""The power and the quotient, as they are torn."""

from __future__ import annotations

from collections.abc import Callable

from tests.support.torn_parts import Torn, Writer


def pow_div(writer: Writer, x: str, base: str, how: Torn) -> None:
    power = writer.op("Pow", base, writer.const(how.beta))
    writer.op("Div", x, how.divisor(writer, power) if how.divisor else power)


def pow_mul(writer: Writer, x: str, base: str, how: Torn) -> None:
    writer.op("Mul", x, writer.op("Pow", base, writer.const(-how.beta)))


def mul_pow(writer: Writer, x: str, base: str, how: Torn) -> None:
    writer.op("Mul", writer.op("Pow", base, writer.const(-how.beta)), x)


def exp_log(writer: Writer, x: str, base: str, how: Torn) -> None:
    exponent = writer.op("Mul", writer.op("Log", base), writer.const(-how.beta))
    writer.op("Mul", x, writer.op("Exp", exponent))


def reciprocal(writer: Writer, x: str, base: str, how: Torn) -> None:
    power = writer.op("Pow", base, writer.const(how.beta))
    writer.op("Mul", x, writer.op("Reciprocal", power))


def one_by(writer: Writer, x: str, base: str, how: Torn) -> None:
    power = writer.op("Pow", base, writer.const(how.beta))
    writer.op("Mul", writer.op("Div", writer.const(1), power), x)


def sqrt(writer: Writer, x: str, base: str, _: Torn) -> None:
    """beta 0.5."""
    writer.op("Div", x, writer.op("Sqrt", base))


def rsqrt(writer: Writer, x: str, base: str, _: Torn) -> None:
    """beta 0.5."""
    writer.op("Mul", x, writer.op("Reciprocal", writer.op("Sqrt", base)))


def roots(writer: Writer, x: str, base: str, _: Torn) -> None:
    """beta 0.75: ``sqrt(b) * sqrt(sqrt(b))``."""
    root = writer.op("Sqrt", base)
    writer.op("Div", x, writer.op("Mul", root, writer.op("Sqrt", root)))


def reciprocal_roots(writer: Writer, x: str, base: str, _: Torn) -> None:
    """beta 0.75: ``r = rsqrt(b)``, ``r * sqrt(r)``."""
    root = writer.op("Reciprocal", writer.op("Sqrt", base))
    writer.op("Mul", x, writer.op("Mul", root, writer.op("Sqrt", root)))


def straight(writer: Writer, x: str, base: str, _: Torn) -> None:
    """beta 1."""
    writer.op("Div", x, base)


POWERS: dict[str, Callable[[Writer, str, str, Torn], None]] = {
    "pow div": pow_div,
    "pow mul": pow_mul,
    "mul pow": mul_pow,
    "exp log": exp_log,
    "reciprocal": reciprocal,
    "one by": one_by,
    "sqrt": sqrt,
    "rsqrt": rsqrt,
    "roots": roots,
    "reciprocal roots": reciprocal_roots,
    "straight": straight,
}
