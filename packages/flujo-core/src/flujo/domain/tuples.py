"""Making named tuples by the thousand."""

__all__ = ["tuple_of"]

#: `tuple_of(Kind, (value, ...))` is a named tuple of all its values in half the time that `Kind(value, ...)` takes: for
#: what is made for every step. Nobody looks whether the values fit; a test of the house counts them (ADR 6).
tuple_of = tuple.__new__
