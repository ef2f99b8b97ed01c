"""An MLflow server in memory, as far as the operator asks one, and the hub's answer about a branch.

`tests/tools/test_mlflow.py` holds it to a real MLflow. It leaves out runs, files and slowness.
"""

import json
from urllib.parse import parse_qs

import httpx

MISSING = "RESOURCE_DOES_NOT_EXIST"


class MemoryRegistry:
    """`handle` answers an httpx request. `before` and `after` are called with each request and may raise."""

    def __init__(self):
        self.sources: dict[tuple[str, str], str] = {}
        self.tags: dict[tuple[str, str], dict[str, str]] = {}
        self.aliases: dict[tuple[str, str], str] = {}
        self.stages: dict[tuple[str, str], str] = {}
        self.branches: dict[tuple[str, str], str] = {}
        self.asked: list[tuple[str, str]] = []
        """Method and path."""
        self.down = False
        self.before = self.after = lambda request: None

    def register(self, name, source):
        number = str(1 + sum(known == name for known, _ in self.sources))
        self.sources[name, number] = source
        self.tags[name, number] = {}
        return number

    @property
    def writes(self):
        return [path.rpartition("/")[2] for method, path in self.asked if method == "POST"]

    def transport(self):
        return httpx.MockTransport(self.handle)

    async def handle(self, request):
        self.asked.append((request.method, request.url.path))
        await _maybe(self.before(request))
        if self.down:
            raise httpx.ConnectError("no route to host", request=request)
        status, body = self._answer(request)
        await _maybe(self.after(request))
        return httpx.Response(status, json=body)

    def _answer(self, request):
        path = request.url.path
        given = {key: each[0] for key, each in parse_qs(request.url.query.decode()).items()}
        if request.content:
            given |= json.loads(request.content)
        if path.startswith("/api/models/"):
            return self._hub(path)
        what = path.removeprefix("/api/2.0/mlflow/").replace("-", "_").replace("/", "__")
        return getattr(self, f"_{request.method.lower()}__{what}")(given)

    def _hub(self, path):
        repository, _, branch = path.removeprefix("/api/models/").partition("/revision/")
        sha = self.branches.get((repository, branch))
        return (
            (200, {"_id": "1", "id": repository, "sha": sha}) if sha else (404, {"error": "Invalid rev id"})
        )

    def _entry(self, name, number):
        if (name, number) not in self.sources:
            return 404, {"error_code": MISSING, "message": f"{name} {number} not found"}
        tags = [{"key": key, "value": value} for key, value in self.tags[name, number].items()]
        return 200, {"model_version": {"name": name, "version": number, "status": "READY", "tags": tags}}

    def _get__registered_models__alias(self, given):
        number = self.aliases.get((given["name"], given["alias"]))
        if number is None:
            text = f"Registered model alias {given['alias']} not found."
            return 400, {"error_code": "INVALID_PARAMETER_VALUE", "message": text}
        return self._entry(given["name"], number)

    def _get__registered_models__get(self, given):
        if not any(name == given["name"] for name, _ in self.sources):
            return 404, {"error_code": MISSING, "message": f"{given['name']} not found"}
        return 200, {"registered_model": {"name": given["name"]}}

    def _post__registered_models__get_latest_versions(self, given):
        number = self.stages.get((given["name"], given["stages"][0]))
        if number is None:
            return 200, {}
        return 200, {"model_versions": [self._entry(given["name"], number)[1]["model_version"]]}

    def _get__model_versions__get(self, given):
        return self._entry(given["name"], given["version"])

    def _get__model_versions__get_download_uri(self, given):
        return 200, {"artifact_uri": self.sources[given["name"], given["version"]]}

    def _post__registered_models__alias(self, given):
        status, body = self._entry(given["name"], given["version"])
        if status != 200:
            return status, body
        self.aliases[given["name"], given["alias"]] = given["version"]
        return 200, {}

    def _post__model_versions__set_tag(self, given):
        self.tags[given["name"], given["version"]][given["key"]] = given["value"]
        return 200, {}


async def _maybe(waiting):
    if waiting is not None:
        await waiting
