#!/usr/bin/env bash
# Installs the Debian packages of deps/apt.txt that are missing; does nothing, and asks for nothing, when none is.
# usage: packages.sh run|test    run: the first part of the list; test: all of it
set -euo pipefail
cd "$(dirname "$0")/../.."

if [[ $1 == run ]]; then list=$(sed '/^# To test/,$d' deps/apt.txt); else list=$(cat deps/apt.txt); fi
mapfile -t wanted < <(sed 's/#.*//; s/[[:space:]]//g; /^$/d' <<<"$list")

if ! command -v dpkg-query >/dev/null; then
  echo "sigma: not a Debian or Ubuntu system; what the build needs, by Debian's names: ${wanted[*]}"
  exit 0
fi

missing=()
for package in "${wanted[@]}"; do
  [[ $(dpkg-query -W -f '${db:Status-Status}\n' "$package" 2>/dev/null) == installed* ]] || missing+=("$package")
done
[[ ${#missing[@]} -gt 0 ]] || exit 0

as_root=()
if [[ $(id -u) -ne 0 ]]; then
  if ! command -v sudo >/dev/null; then
    echo "sigma: missing packages, and neither root nor sudo to install them. As root, run:" >&2
    echo "  apt-get install --no-install-recommends ${missing[*]}" >&2
    exit 1
  fi
  as_root=(sudo)
fi
apt() { "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -qq "$@" </dev/null; }

echo "sigma: installing ${#missing[@]} Debian packages: ${missing[*]}"
# The package lists are fetched only when they do not know a package, or name a version that is gone.
install=(install -y --no-install-recommends -o Dpkg::Use-Pty=0 "${missing[@]}")
if ! apt-get -s "${install[@]}" >/dev/null 2>&1 || ! apt "${install[@]}"; then
  echo "sigma: fetching the package lists"
  apt update
  apt "${install[@]}"
fi
