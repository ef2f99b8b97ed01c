"""What accelerators cost: each at its price where the user names prices, all the same where not."""

from __future__ import annotations

from dataclasses import replace

from modelrollout.analysis.counters.matchers import Arms
from modelrollout.analysis.counters.recipe import Known, Recipe, Resolved
from modelrollout.analysis.packs.limits import Unresolvable
from modelrollout.api import analysis as spec
from modelrollout.api.quantities import fraction


def priced(recipe: Recipe, metric: spec.Metric) -> Recipe:
    """The recipe with the prices that the metric names. Raises Unresolvable."""
    if metric.prices is None:
        return recipe
    if Known.ACCELERATOR_SECONDS not in recipe.parts.values():
        raise Unresolvable(
            f"Metric {metric.effective_name}: prices belong to vllm/cost-per-1k-tokens: leave them out, or "
            "write use: vllm/cost-per-1k-tokens."
        )
    prices = {name: fraction(price) for name, price in metric.prices.items()}
    if free := [name for name, price in prices.items() if not price > 0]:
        raise Unresolvable(
            f"Metric {metric.effective_name}: {', '.join(free)} costs nothing: write a price above 0 for "
            'each hour, such as "2.50".'
        )
    return replace(recipe, prices=prices)


def with_prices_said(resolved: Resolved, arms: Arms) -> Resolved:
    """The metric, whose sentences say at which prices these arms are compared."""
    recipe, (canary, control) = resolved.recipe, arms.hardware
    if Known.ACCELERATOR_SECONDS not in recipe.parts.values():
        return resolved
    metric, said = resolved.metric, ""
    ours, theirs = recipe.price_of(canary), recipe.price_of(control)
    if recipe.prices:
        metric = replace(metric, unit="per 1000 tokens")
        if ours is not None and theirs is not None:
            said = f"an accelerator-hour at {ours:g} for the canary and {theirs:g} for stable"
    elif canary != control:
        said = "each accelerator at the same price, though the revisions do not ask for the same ones"
    return replace(resolved, metric=replace(metric, remark=said))
