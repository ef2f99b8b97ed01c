"""`make demo`: a good rollout and a bad one on a real cluster, with users served all the while."""
