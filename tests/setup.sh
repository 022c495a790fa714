#!/usr/bin/env bash
# What some Python tests need beside Python, from Debian's packages: iproute2 (the port scan), rsync (the cluster file's mounts),
# zsh and fish (the completion in a real shell).
# Where it cannot be installed, those tests are skipped and say why.
set -euo pipefail
missing=()
command -v ip >/dev/null || missing+=(iproute2)
command -v rsync >/dev/null || missing+=(rsync)
command -v zsh >/dev/null || missing+=(zsh)
command -v fish >/dev/null || missing+=(fish)
[ ${#missing[@]} -gt 0 ] || exit 0
if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null; then
    echo "not here: ${missing[*]}; the tests that need them are skipped (install them, or run the tests as root on Debian)"
    exit 0
fi
echo "installing ${missing[*]}"
apt-get update -qq
DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
