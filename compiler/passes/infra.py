"""What a pass is: Graph to Graph, with what it needs and what it gives written down."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

from joulecut.compiler.graph import Graph, nodes, op_key


@dataclass(frozen=True)
class Pass(ABC):
    """A step of the pipeline. The graph that comes in stays as it is.

    `requires` and `ensures` return the reason why they do not hold, or None. A reason means
    that the pipeline is out of order: a mistake of ours, hence an assertion.
    """

    def __call__(self, graph: Graph) -> Graph:
        """Check, rewrite, check."""
        reason = self.requires(graph)
        assert reason is None, f"{type(self).__name__} needs: {reason}"
        found = self.rewrite(graph)
        reason = self.ensures(found)
        assert reason is None, f"{type(self).__name__} must give: {reason}"
        return found

    @abstractmethod
    def rewrite(self, graph: Graph) -> Graph:
        """The new graph."""

    def requires(self, graph: Graph) -> str | None:
        """Why the pass cannot take the graph, or None."""
        del graph
        return None

    def ensures(self, graph: Graph) -> str | None:
        """Why the new graph is not what the pass promises, or None."""
        del graph
        return None


def still_there(graph: Graph, *op_keys: str) -> str | None:
    """The reason that names the first node of these kinds, or None."""
    for node in nodes(graph):
        if op_key(node) in op_keys:
            return f"no {op_key(node)}, and '{node.name}' is one"
    return None
