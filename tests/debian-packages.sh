#!/bin/bash
# Makes sure the named Debian packages are installed: installs them as root, otherwise names the missing ones and fails.
set -euo pipefail
missing=()
for package in "$@"; do
  dpkg-query -W -f '${Status}\n' "$package" 2>/dev/null | grep -q 'ok installed' || missing+=("$package")
done
# A Python with its own venv module (pyenv, a container image) needs no Debian package for it.
python3 -c 'import venv, ensurepip' 2>/dev/null && missing=("${missing[@]/python3-venv/}")
python3 -c 'import sysconfig, os; os.stat(sysconfig.get_path("include") + "/Python.h")' 2>/dev/null &&
  missing=("${missing[@]/python3-dev/}")
read -ra missing <<<"${missing[*]}" || :
[ ${#missing[@]} -gt 0 ] || exit 0
if [ "$(id -u)" != 0 ]; then
  echo "gpufin: these Debian packages are missing; as root: apt-get install ${missing[*]}" >&2
  exit 1
fi
echo "gpufin: installing ${missing[*]}" >&2
export DEBIAN_FRONTEND=noninteractive
log=$(mktemp)
trap 'rm -f "$log"' EXIT
for try in 1 2 3; do
  apt-get -qq -o DPkg::Lock::Timeout=120 update >"$log" 2>&1 || :
  apt-get -qq -o DPkg::Lock::Timeout=120 -o Dpkg::Use-Pty=0 install -y --no-install-recommends "${missing[@]}" \
    </dev/null >>"$log" 2>&1 && exit 0
  sleep "$try"
done
tail -20 "$log" >&2
exit 1
