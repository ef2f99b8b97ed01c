#!/usr/bin/env bash
# Make a virtual environment at $1 with Python 3.11; on Debian install what that needs.
set -euo pipefail
venv=$1
python=$(command -v python3.11 || command -v python3)
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || {
  echo "Python 3.11 or newer is needed; $python is $("$python" --version). Install it and try again." >&2
  exit 1
}
if ! "$python" -c 'import ensurepip' 2>/dev/null; then
  echo "installing python3-venv"
  { apt-get update -qq && apt-get install -y -qq --no-install-recommends python3-venv; } >/dev/null
fi
[ -x "$venv/bin/python" ] || "$python" -m venv "$venv"
