"""What the bed says when it cannot go on: one sentence for the person who must act."""


class BedError(Exception):
    """The bed could not do what was asked; the text says what was seen, what was expected and what to do."""


class BedUnsupported(BedError):
    """This machine cannot carry the tier (no root, no cgroups, no Debian); other tiers still run."""
