"""RFC 6962 trees: known answers, and proofs that hold exactly when they should."""

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.ledger.proof import merkle

# The leaves and roots of the test vectors that the Certificate Transparency project publishes.
LEAVES = ["", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"]
ROOTS = [
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]


class Tree:
    """A tree in memory, built by appending."""

    def __init__(self, leaves: list[bytes]) -> None:
        self.leaves = [merkle.leaf_hash(leaf) for leaf in leaves]
        self.nodes: dict[tuple[int, int], bytes] = {}
        for i in range(0, len(leaves), 3):
            for level, index, digest in merkle.appended_nodes(i, self.leaves[i : i + 3], self.node):
                self.nodes[level, index] = digest

    def node(self, level: int, index: int) -> bytes:
        """Return a stored node."""
        return self.nodes[level, index]


def tree(size: int) -> Tree:
    """Return a tree of so many different leaves."""
    return Tree([b"leaf %d" % i for i in range(size)])


def plain_root(leaves: list[bytes]) -> bytes:
    """Return the root straight from the RFC's recursive definition."""
    if not leaves:
        return hashlib.sha256(b"").digest()
    if len(leaves) == 1:
        return hashlib.sha256(b"\x00" + leaves[0]).digest()
    k = 1
    while k * 2 < len(leaves):
        k *= 2
    return hashlib.sha256(b"\x01" + plain_root(leaves[:k]) + plain_root(leaves[k:])).digest()


@pytest.mark.parametrize("size", range(1, 9))
def test_known_roots(size: int) -> None:
    """The published vectors come out."""
    known = Tree([bytes.fromhex(leaf) for leaf in LEAVES[:size]])
    assert merkle.root(size, known.node).hex() == ROOTS[size - 1]


@given(st.integers(0, 70))
def test_root_is_the_definition_s(size: int) -> None:
    """The root read from stored subtrees is the recursive definition's, for every earlier size too."""
    leaves = [b"leaf %d" % i for i in range(70)]
    assert merkle.root(size, Tree(leaves).node) == plain_root(leaves[:size])


@given(st.data())
def test_inclusion(data: st.DataObject) -> None:
    """A proof holds for its leaf, and for no other leaf, index, size or root, nor when altered."""
    size = data.draw(st.integers(1, 70))
    index = data.draw(st.integers(0, size - 1))
    built = tree(size)
    proof, root = merkle.inclusion_proof(index, size, built.node), merkle.root(size, built.node)
    leaf = built.leaves[index]
    assert merkle.inclusion_holds(leaf, index, size, proof, root)
    assert not merkle.inclusion_holds(merkle.leaf_hash(b"forged"), index, size, proof, root)
    assert not merkle.inclusion_holds(leaf, size, size, proof, root)
    assert not merkle.inclusion_holds(leaf, index, size, [*proof, leaf], root)
    assert not merkle.inclusion_holds(leaf, index, size, proof, merkle.leaf_hash(b"root"))
    if proof:
        other = data.draw(st.integers(0, size - 1).filter(lambda i: i != index))
        assert not merkle.inclusion_holds(leaf, other, size, proof, root)
        assert not merkle.inclusion_holds(leaf, index, size, proof[:-1], root)


@given(st.data())
def test_consistency(data: st.DataObject) -> None:
    """A proof holds between a tree and its beginning, and not once a leaf of the beginning is changed."""
    second = data.draw(st.integers(1, 70))
    first = data.draw(st.integers(0, second))
    built = tree(second)
    roots = [merkle.root(size, built.node) for size in (first, second)]
    proof = merkle.consistency_proof(first, second, built.node)
    assert merkle.consistency_holds(first, second, proof, *roots)
    if 0 < first < second:
        changed = data.draw(st.integers(0, first - 1))
        forged = Tree([b"leaf %d" % (i if i != changed else 999) for i in range(second)])
        forged_root = merkle.root(second, forged.node)
        forged_proof = merkle.consistency_proof(first, second, forged.node)
        assert not merkle.consistency_holds(first, second, forged_proof, roots[0], forged_root)
        assert not merkle.consistency_holds(first, second, proof, roots[0], forged_root)
        assert not merkle.consistency_holds(first, second, proof[:-1], *roots)


@pytest.mark.parametrize(
    "call", [lambda n: merkle.inclusion_proof(3, 3, n), lambda n: merkle.consistency_proof(4, 3, n)]
)
def test_proofs_of_what_is_not_are_refused(call) -> None:
    """A leaf beyond the tree, or a beginning longer than it, is an error and no proof."""
    with pytest.raises(ValueError, match="3"):
        call(tree(3).node)
