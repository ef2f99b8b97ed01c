"""Init container of pods whose weights MLflow keeps: downloads them before the model server starts.

The kubelet runs this source in the server's own image as `python3 -IS -c SOURCE ADDRESS PATH FOLDER`: the
address of the MLflow server and the path of the artifacts there. Credentials are in the environment. Then the
link `weights` in FOLDER leads to the folder that has config.json. What is there whole is not fetched again.
"""

from __future__ import annotations

import base64
import http.client
import json
import os
import pathlib
import ssl
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping

PREFIX = "/api/2.0/mlflow-artifacts/artifacts"
ATTEMPTS = 5
PIECE = 1 << 20
SILENCE = 60.0
"""Seconds without a byte after which a request is made again."""
MOST_FILES, DEEPEST = 10_000, 16


class NoRedirect(urllib.request.HTTPRedirectHandler):
    """Credentials go to the registry and nowhere else."""

    def redirect_request(self, *_: object) -> None:
        return None


def main(address: str, path: str, folder: str) -> None:
    opener, home = opener_of(os.environ), pathlib.Path(folder)
    root = f"{address}{PREFIX}"
    files = dict(listed(opener, root, path, "", DEEPEST))
    if not files:
        raise SystemExit(f"MLflow has no files at {path}: register the version again, with its weights.")
    print(f"{len(files)} files, {sum(files.values()) / 1e9:.2f} GB", flush=True)
    for name, size in files.items():
        fetch(opener, f"{root}/{urllib.parse.quote(f'{path}/{name}')}", home / "files" / name, size)
    found = [name for name in files if name.rpartition("/")[2] == "config.json"]
    if not found:
        raise SystemExit(
            f"None of the {len(files)} files at {path} is a config.json, so no server loads them: log the "
            "folder that save_pretrained writes, and register that."
        )
    highest = min(found, key=lambda name: (name.count("/"), name))
    link = home / "weights"
    link.unlink(missing_ok=True)
    link.symlink_to((home / "files" / highest).parent)


def opener_of(variables: Mapping[str, str]) -> urllib.request.OpenerDirector:
    """Asks with the credentials that the variables hold."""
    context = ssl.create_default_context()
    if ca := variables.get("REGISTRY_CA"):
        context.load_verify_locations(cadata=ca)
    opener = urllib.request.build_opener(NoRedirect, urllib.request.HTTPSHandler(context=context))
    token, name = variables.get("REGISTRY_TOKEN", "").strip(), variables.get("REGISTRY_USERNAME", "").strip()
    if token:
        opener.addheaders.append(("Authorization", f"Bearer {token}"))
    elif name:
        pair = f"{name}:{variables.get('REGISTRY_PASSWORD', '').strip()}".encode()
        opener.addheaders.append(("Authorization", f"Basic {base64.b64encode(pair).decode()}"))
    return opener


def listed(
    opener: urllib.request.OpenerDirector, root: str, path: str, below: str, deepest: int
) -> Iterator[tuple[str, int]]:
    """Each file's name below `path`, and its size."""
    query = urllib.parse.urlencode({"path": f"{path}/{below}".rstrip("/")})
    with asked(opener, f"{root}?{query}") as answer:
        entries = json.load(answer).get("files") or []
    for entry in entries[:MOST_FILES]:
        name = str(entry["path"])
        if name.startswith("/") or ".." in name.split("/"):
            raise SystemExit(f"MLflow lists the file {name!r}, which leads out of {path}.")
        inner = f"{below}/{name}".lstrip("/")
        if not entry.get("is_dir"):
            yield inner, int(entry.get("file_size") or 0)
        elif deepest:
            yield from listed(opener, root, path, inner, deepest - 1)


def fetch(opener: urllib.request.OpenerDirector, url: str, file: pathlib.Path, size: int) -> None:
    """Have the file whole, or end with a sentence."""
    if file.exists() and file.stat().st_size == size:
        return
    file.parent.mkdir(parents=True, exist_ok=True)
    part = file.with_name(f"{file.name}.part")
    for attempt in range(1, ATTEMPTS + 1):
        try:
            with asked(opener, url) as answer, part.open("wb") as out:
                while piece := answer.read(PIECE):
                    out.write(piece)
        except (OSError, http.client.HTTPException) as error:
            why = f"{type(error).__name__}: {error}"
        else:
            if (got := part.stat().st_size) == size:
                part.rename(file)
                return
            why = f"{got} of {size} bytes came"
        print(f"{file.name}, attempt {attempt}: {why}", flush=True)
        time.sleep(min(2.0**attempt, 30.0) / 4)
    raise SystemExit(f"{file.name} could not be downloaded from MLflow: {why}.")


def asked(opener: urllib.request.OpenerDirector, url: str) -> http.client.HTTPResponse:
    """The answer, once there is a good one. Ends with a sentence where asking again brings nothing."""
    for attempt in range(1, ATTEMPTS + 1):
        try:
            answer: http.client.HTTPResponse = opener.open(url, timeout=SILENCE)
            return answer
        except urllib.error.HTTPError as error:
            error.close()
            if error.code in (401, 403):
                raise SystemExit(
                    f"MLflow asks for a sign-in (HTTP status {error.code}): give credentials in the "
                    "Secret that registry.auth names."
                ) from None
            why = f"HTTP status {error.code}"
            if error.code < 500:
                break
        except (OSError, http.client.HTTPException) as error:
            why = f"{type(error).__name__}: {error}"
        time.sleep(min(2.0**attempt, 30.0) / 4)
    raise SystemExit(f"MLflow did not answer {url.partition('?')[0]}: {why}.")


if __name__ == "__main__":
    main(*sys.argv[1:])
