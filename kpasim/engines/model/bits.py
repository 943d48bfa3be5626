"""Rows of bits, 32 in each whole number: what is free among many, found without a look at each."""

from typing import Any

from kpasim.engines.model.state import WIDTH_BITS

INSIDE = 31
"""Mask of a place inside a word."""
WORD = 0xFFFFFFFF


def lowest(word: int) -> int:
    """Place of the lowest bit that is set; compiled code has an instruction for it."""
    return (word & -word).bit_length() - 1


def highest(word: int) -> int:
    """Place of the highest bit that is set; compiled code has an instruction for it."""
    return word.bit_length() - 1


def put(words: Any, place: int, bit: int) -> None:
    """Set or clear the bit of a place."""
    mask = 1 << (place & INSIDE)
    if bit:
        words[place >> WIDTH_BITS] |= mask
    else:
        words[place >> WIDTH_BITS] &= ~mask


def insert(words: Any, count: int, place: int, bit: int) -> None:
    """Put a bit between those of ``count`` places; the ones from ``place`` on move up."""
    word = place >> WIDTH_BITS
    below = (1 << (place & INSIDE)) - 1
    bits = words[word]
    words[word] = (bits & below) | (((bits & ~below) << 1) & WORD) | (bit << (place & INSIDE))
    for later in range(word + 1, (count >> WIDTH_BITS) + 1):
        carry = bits >> INSIDE
        bits = words[later]
        words[later] = ((bits << 1) & WORD) | carry


def first(words: Any, begin: int, end: int) -> int:
    """The first place from ``begin`` on and before ``end`` whose bit is set, -1 if there is none."""
    if begin >= end:
        return -1
    word = begin >> WIDTH_BITS
    bits = (words[word] >> (begin & INSIDE)) << (begin & INSIDE)
    last = (end - 1) >> WIDTH_BITS
    while bits == 0:
        word += 1
        if word > last:
            return -1
        bits = words[word]
    place = (word << WIDTH_BITS) + lowest(bits)
    return int(place) if place < end else -1
