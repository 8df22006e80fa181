"""Warnings of collapse while a grid is trained, printed once for every new sign."""

from collections import defaultdict
from collections.abc import Callable, Sequence

from experiments.rate_allocation.config import Config
from jaxvae.analysis import CollapseWarning

See = Callable[[str, int, Sequence[CollapseWarning], Callable[[str], None]], str]


def collapse_watch(config: Config) -> See:
    """Watch the runs of a grid.

    Returns:
        `see(run, epoch, signs, say)`: what is recorded of a run, a line for every sign. Before
        the last epoch, nothing is recorded in the first one and while betas grow, when low rates
        are no sign. What is new in the run is said, for all layers that show it, and the advice
        once.
    """
    known: set[tuple[str, str, str]] = set()
    advised: set[tuple[str, str]] = set()

    def see(
        run: str, epoch: int, signs: Sequence[CollapseWarning], say: Callable[[str], None]
    ) -> str:
        if epoch < config.epochs and epoch <= max(1, config.beta_warmup * config.epochs):
            return ""
        layers = defaultdict(list)
        for sign in signs:
            if (run, sign.layer, sign.condition) not in known:
                known.add((run, sign.layer, sign.condition))
                layers[sign.condition, sign.advice].append(sign.layer)
        for (condition, advice), shown in layers.items():
            what_to_try = "" if (condition, advice) in advised else f": {advice}"
            advised.add((condition, advice))
            say(f"{run}, epoch {epoch}: {', '.join(shown)}: {condition}{what_to_try}")
        return "\n".join(map(str, signs))

    return see
