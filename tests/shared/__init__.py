"""What several tiers of tests use: a cluster in memory, what happens in it, and the tests of both tiers."""
