"""What collapses while a group is trained: said where it is new since the program began."""

from collections import defaultdict
from collections.abc import Callable, Sequence

from experiments.rate_allocation.config import Cell, Config
from jaxvae.analysis import CollapseWarning

# Cells that a line names, at most.
_NAMED = 4


def collapse_watch(
    config: Config, group: Sequence[Cell], say: Callable[[str], None]
) -> Callable[[int, int, Sequence[CollapseWarning]], str]:
    """Watch the cells of a group, which are seen one after another at every epoch.

    Args:
        config: of the grid.
        group: its cells.
        say: called, after the last cell, with a line for every sign that is new in some of
            them, and for all layers that show it there.

    Returns:
        `see(index, epoch, signs)`: what is recorded of a cell, a line for every sign. Before
        the last epoch nothing in the first one and while prices grow, when low rates are no
        sign.
    """
    known: set[tuple[Cell, str, str]] = set()
    # Cells, by what their layers show, those layers, and what to try.
    new: dict[tuple[str, tuple[str, ...], str], list[Cell]] = defaultdict(list)

    def see(index: int, epoch: int, signs: Sequence[CollapseWarning]) -> str:
        if epoch < config.epochs and epoch <= max(1, config.warmup * config.epochs):
            return ""
        cell, layers = group[index], defaultdict(list)
        for sign in signs:
            if (cell, sign.layer, sign.condition) not in known:
                known.add((cell, sign.layer, sign.condition))
                layers[sign.condition, sign.advice].append(sign.layer)
        for (condition, advice), shown in layers.items():
            new[condition, tuple(shown), advice].append(cell)
        if index == len(group) - 1:
            for (condition, names, advice), cells in new.items():
                where = f"at {_named(cells, seeds=config.seeds)}"
                say(f"epoch {epoch}: {', '.join(names)}: {condition}, {where}: {advice}")
            new.clear()
        return "\n".join(map(str, signs))

    return see


def _named(cells: Sequence[Cell], *, seeds: int) -> str:
    names = [
        f"{cell.beta_top:g} and {cell.beta_bottom:g}" + (f", seed {cell.seed}" if seeds > 1 else "")
        for cell in cells[:_NAMED]
    ]
    more = [f"{len(cells) - _NAMED} more"] if len(cells) > _NAMED else []
    return f"beta {'; '.join(names + more)}"
