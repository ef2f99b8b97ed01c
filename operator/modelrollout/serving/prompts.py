"""A revision's own copy of the prompts: an edit of the user's ConfigMap must not reach running pods."""

from __future__ import annotations

from typing import Any

from modelrollout.api.objects import CONFIG_MAP, Object, head, name_of
from modelrollout.serving import labels


def prompts_copy(rollout: Object, revision: str, config_map: Object) -> dict[str, Any]:
    """The immutable ConfigMap `<rollout>-<revision>` with the content of the user's."""
    name = labels.revision_name(name_of(rollout), revision)
    copy = {
        **head(CONFIG_MAP),
        "metadata": labels.metadata(rollout, revision, name),
        "immutable": True,
    }
    content = {key: dict(config_map[key]) for key in ("data", "binaryData") if config_map.get(key)}
    return {**copy, **content}
