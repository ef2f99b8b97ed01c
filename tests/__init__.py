"""Everything that proves the operator: unit, apiserver and cluster tiers, benches, and the bed they run on."""
