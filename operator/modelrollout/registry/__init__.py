"""What registries say of models, and what they should say: pure functions.

`address.py` reads an address of a spec, `pinning.py` puts what was found in its place, and `wishes.py` says
what a registry is to say of the revisions.
"""
