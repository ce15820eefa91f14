"""Which size a vocabulary should have: PanGu-pi Pro's rule (2402.02791, tokenizer), over a list of sizes.

The kept pieces shall cover more than 90% of the text's tokens, and embedding and head together be less than 20% of the
parameters. Where several sizes keep the rule, the largest is picked: the most coverage that the parameters allow.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

COVERAGE, SHARE = 0.90, 0.20


@dataclass(frozen=True)
class Size:
    """A vocabulary: its pieces, the share of the text's tokens that they cover, their share of the parameters."""

    vocab_size: int
    coverage: float
    embedding_share: float
    params: int

    @property
    def keeps_the_rule(self) -> bool:
        return self.coverage > COVERAGE and self.embedding_share < SHARE


def coverages(
    description: dict[str, Any], counts: Counter[int], sizes: Sequence[int], named: Collection[str] = ()
) -> list[tuple[int, float]]:
    """(pieces kept, share of the counted tokens that are among them) for each wanted size of a ``tokenizer.json``."""
    from pocketlm.data.cut_description import ids_of
    from pocketlm.data.kept_pieces import choose

    ids = ids_of(description)
    total, found = sum(counts.values()), []
    for size in sizes:
        kept = choose(description, counts, size, named) if size < len(ids) else ids.keys()
        found.append((len(kept), sum(counts[ids[piece]] for piece in kept) / max(total, 1)))
    return found


def table(
    description: dict[str, Any], counts: Counter[int], sizes: Sequence[int], arch: Any, named: Collection[str] = ()
) -> list[Size]:
    """Every size, with the shares that a decoder of this architecture would have."""
    from pocketlm.model import counts as sizes_of

    return [
        Size(kept, share, float(sizes_of.embedding_share(arch, kept)), sizes_of.params(arch, kept))
        for kept, share in coverages(description, counts, sizes, named)
    ]


def pick(found: Sequence[Size]) -> Size | None:
    """The largest size that keeps the rule; None if none does."""
    return max((size for size in found if size.keeps_the_rule), key=lambda size: size.vocab_size, default=None)
