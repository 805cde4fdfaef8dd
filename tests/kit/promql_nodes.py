"""Walks over PromQL: selectors, and the functions that stand over each."""

from collections import defaultdict

import promql_parser

CHILDREN = ("expr", "lhs", "rhs", "vs", "vector_selector")


def selectors(expr):
    """Return every vector selector of a query."""
    found = []
    _walk(promql_parser.parse(expr), (), lambda node, _: found.append(node))
    return found


def functions_over(expr):
    """Return for each metric of a query the names of all functions that stand over any selector of it."""
    found = defaultdict(set)
    _walk(promql_parser.parse(expr), (), lambda node, over: found[node.name].update(over))
    return found


def _walk(node, over, see):
    if isinstance(node, promql_parser.VectorSelector):
        see(node, over)
    name = getattr(getattr(node, "func", None), "name", None)
    over = over if name is None else (*over, name)
    for attribute in CHILDREN:
        if (child := getattr(node, attribute, None)) is not None:
            _walk(child, over, see)
    for child in getattr(node, "args", None) or []:
        _walk(child, over, see)
