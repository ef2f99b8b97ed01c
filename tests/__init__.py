"""Everything that proves the operator: unit, apiserver and cluster tiers, benches, and their bed."""
