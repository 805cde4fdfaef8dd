"""Merkle trees as RFC 6962 section 2.1 defines them: append-only, with inclusion and consistency proofs.

A leaf's hash is SHA-256(0x00 || leaf), a node's SHA-256(0x01 || left || right); the prefixes keep a node
from passing for a leaf. The tree over n leaves splits at the largest power of two below n, so a subtree
once full never changes: those are what a log stores (``level``, ``index``), and every root and proof is
read from O(log n) of them. Verification follows RFC 9162 sections 2.1.3.2 and 2.1.4.2.

If nobody outside holds a head, the ledger's operator could recompute the tree or cut off its tail unnoticed.
That is why heads are signed and meant to be published elsewhere.
"""

import hashlib
from collections.abc import Callable, Iterable, Sequence

NodeAt = Callable[[int, int], bytes]
"""Gives the hash of full subtree ``index`` at ``level``, over leaves ``[index, index + 1) * 2**level``."""

EMPTY_ROOT = hashlib.sha256(b"").digest()


def leaf_hash(leaf: bytes) -> bytes:
    """Return the hash of a leaf."""
    return hashlib.sha256(b"\x00" + leaf).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Return the hash of an inner node."""
    return hashlib.sha256(b"\x01" + left + right).digest()


def appended_nodes(size: int, leaves: Iterable[bytes], node: NodeAt) -> list[tuple[int, int, bytes]]:
    """Return the full subtrees ``(level, index, hash)`` that leaf hashes add to a tree of ``size`` leaves."""
    added: dict[tuple[int, int], bytes] = {}
    for index, leaf in enumerate(leaves, start=size):
        level, position, digest = 0, index, leaf
        added[level, position] = digest
        while position % 2 == 1:
            left = added.get((level, position - 1)) or node(level, position - 1)
            digest = node_hash(left, digest)
            level, position = level + 1, position // 2
            added[level, position] = digest
    return [(level, index, digest) for (level, index), digest in added.items()]


def root(size: int, node: NodeAt) -> bytes:
    """Return the root over the first ``size`` leaves."""
    return _subtree(0, size, node) if size else EMPTY_ROOT


def inclusion_proof(index: int, size: int, node: NodeAt) -> list[bytes]:
    """Return the audit path of leaf ``index`` in the tree over the first ``size`` leaves.

    Raise ValueError if the tree has no such leaf.
    """
    if not 0 <= index < size:
        raise ValueError(f"there is no leaf {index} in a tree of {size}")
    path: list[bytes] = []
    low, high = 0, size
    while high - low > 1:
        middle = low + _split(high - low)
        if index < middle:
            path.append(_subtree(middle, high, node))
            high = middle
        else:
            path.append(_subtree(low, middle, node))
            low = middle
    return path[::-1]


def consistency_proof(first: int, second: int, node: NodeAt) -> list[bytes]:
    """Return the proof that the tree over ``second`` leaves continues the tree over ``first`` leaves.

    Raise ValueError unless ``0 <= first <= second``.
    """
    if not 0 <= first <= second:
        raise ValueError(f"a tree of {first} leaves is no beginning of one of {second}")
    if first in (0, second):
        return []
    path: list[bytes] = []
    low, high, whole = 0, second, True
    while first != high:
        middle = low + _split(high - low)
        if first <= middle:
            path.append(_subtree(middle, high, node))
            high = middle
        else:
            path.append(_subtree(low, middle, node))
            low, whole = middle, False
    if not whole:
        path.append(_subtree(low, high, node))
    return path[::-1]


def inclusion_holds(leaf: bytes, index: int, size: int, proof: Sequence[bytes], expected_root: bytes) -> bool:
    """Return whether a proof shows that the tree with that root has the leaf hash ``leaf`` at ``index``."""
    if not 0 <= index < size:
        return False
    position, last, digest = index, size - 1, leaf
    for sibling in proof:
        if last == 0:
            return False
        if position % 2 == 1 or position == last:
            digest = node_hash(sibling, digest)
            while position % 2 == 0 and position != 0:
                position, last = position // 2, last // 2
        else:
            digest = node_hash(digest, sibling)
        position, last = position // 2, last // 2
    return last == 0 and digest == expected_root


def consistency_holds(
    first: int, second: int, proof: Sequence[bytes], first_root: bytes, second_root: bytes
) -> bool:
    """Return whether a proof shows that the tree of ``second`` leaves continues that of ``first``."""
    if first > second or first < 0:
        return False
    if first == 0:
        return not proof and first_root == EMPTY_ROOT
    if first == second:
        return not proof and first_root == second_root
    path = list(proof)
    if first & (first - 1) == 0:
        path.insert(0, first_root)
    if not path:
        return False
    position, last = first - 1, second - 1
    while position % 2 == 1:
        position, last = position // 2, last // 2
    old = new = path[0]
    for sibling in path[1:]:
        if last == 0:
            return False
        if position % 2 == 1 or position == last:
            old, new = node_hash(sibling, old), node_hash(sibling, new)
            while position % 2 == 0 and position != 0:
                position, last = position // 2, last // 2
        else:
            new = node_hash(new, sibling)
        position, last = position // 2, last // 2
    return last == 0 and old == first_root and new == second_root


def _split(size: int) -> int:
    """Return the largest power of two below ``size``."""
    return 1 << (size - 1).bit_length() - 1


def _subtree(low: int, high: int, node: NodeAt) -> bytes:
    """Return the root over leaves ``[low, high)``; ``low`` must be aligned to a subtree of that height."""
    size = high - low
    if size & (size - 1) == 0:
        level = size.bit_length() - 1
        return node(level, low >> level)
    middle = low + _split(size)
    return node_hash(_subtree(low, middle, node), _subtree(middle, high, node))
