"""Strategic merge of a user's partial pod template over the one that the operator builds.

As `kubectl patch --type=strategic` does it, for the lists of a pod: entries with the same key are merged,
others are added; `null` and `$patch: delete` delete, `$patch: replace` replaces whole.
Lists without a key (`args`, `command`, `tolerations`, …) are replaced.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

MERGE_KEYS = {
    "containers": "name",
    "initContainers": "name",
    "volumes": "name",
    "env": "name",
    "volumeMounts": "mountPath",
    "volumeDevices": "devicePath",
    "ports": "containerPort",
    "imagePullSecrets": "name",
    "hostAliases": "ip",
    "topologySpreadConstraints": "topologyKey",
    "resourceClaims": "name",
}
"""Field -> what tells its entries apart; k8s.io/api/core/v1 calls it patchMergeKey."""

HANDLERS = frozenset({"exec", "httpGet", "tcpSocket", "grpc", "sleep"})
VALUES = frozenset({"value", "valueFrom"})


def overlay(base: Mapping[str, Any], patch: Mapping[str, Any]) -> dict[str, Any]:
    """`base` with `patch` merged over it; neither is changed.

    A probe's handler, an environment variable's value and a volume's source are each one of several
    fields: the patch's choice displaces the base's, where kubectl would leave both and the API server
    refuse the pod.

    Raises:
        ValueError: when an entry of a keyed list is no object, or lacks its key.
    """
    if patch.get("$patch") == "replace":
        base = {}
    patch = {key: value for key, value in patch.items() if key != "$patch"}
    kept = {key: value for key, value in base.items() if key not in displaced(base, patch)}
    merged = dict(kept)
    for key, value in patch.items():
        if value is None or (isinstance(value, Mapping) and value.get("$patch") == "delete"):
            merged.pop(key, None)
        elif isinstance(value, Mapping):
            merged[key] = overlay(kept[key] if isinstance(kept.get(key), Mapping) else {}, value)
        elif key in MERGE_KEYS and isinstance(value, Sequence):
            merged[key] = merge_entries(kept.get(key) or [], value, key)
        else:
            merged[key] = value
    return merged


def displaced(base: Mapping[str, Any], patch: Mapping[str, Any]) -> frozenset[str]:
    """Fields of the base that cannot stand beside the patch's."""
    for alternatives in (HANDLERS, VALUES):
        chosen = {key for key in alternatives & patch.keys() if patch[key] is not None}
        if chosen:
            return (alternatives - chosen) & base.keys()
    return frozenset()


def merge_entries(base: Sequence[Any], patch: Sequence[Any], field: str) -> list[Any]:
    """Merge two lists by their field's key; the base's order first, then new entries."""
    key = MERGE_KEYS[field]
    for entry in patch:
        named = isinstance(entry, Mapping) and isinstance(entry.get(key, ""), str | int)
        if not named or not {key, "$patch"} & entry.keys():
            raise ValueError(f"each entry of {field} in runtime.podTemplate needs a {key}; got {entry!r}")
    if any(entry.get("$patch") == "replace" for entry in patch):
        base = []
    entries = {entry[key]: entry for entry in base}
    for entry in patch:
        directive, name = entry.get("$patch"), entry.get(key)
        if directive == "replace":
            continue
        if directive == "delete":
            entries.pop(name, None)
        elif field == "volumes" and set(entry) - {key}:
            entries[name] = volume(entries.get(name, {}), entry)
        else:
            entries[name] = overlay(entries.get(name, {}), entry)
    return list(entries.values())


def volume(base: Mapping[str, Any], patch: Mapping[str, Any]) -> dict[str, Any]:
    """A volume has one source besides its name: another source replaces, the same one is merged."""
    return overlay({key: value for key, value in base.items() if key in patch}, patch)
