#!/usr/bin/env bash
# Installs the real servers and programs that tests and benches run against, from Debian's packages, where they are
# missing and we may. Services are not started: a test starts what it needs.
# usage: tests/servers.sh [PACKAGE ...]
set -euo pipefail

missing=("$@")
if [ $# -eq 0 ]; then
  have() { command -v "$1" >/dev/null 2>&1; }
  ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || missing+=(postgresql)
  have chromium || missing+=(chromium fonts-dejavu-core)
  have prometheus || missing+=(prometheus)
  have prometheus-alertmanager || missing+=(prometheus-alertmanager)
  have prometheus-node-exporter || missing+=(prometheus-node-exporter)
  have npm || missing+=(npm)
fi
[ ${#missing[@]} -gt 0 ] || exit 0

command="apt-get install -y --no-install-recommends ${missing[*]}"
if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null 2>&1; then
  echo "Missing for the full tests: ${missing[*]}. As root: $command" >&2
  [ "${CI:-}" != true ] || exit 1
  [ $# -eq 0 ] && exit 0 || exit 1
fi
export DEBIAN_FRONTEND=noninteractive
if [ ! -e /usr/sbin/policy-rc.d ]; then
  printf '#!/bin/sh\nexit 101\n' >/usr/sbin/policy-rc.d
  chmod +x /usr/sbin/policy-rc.d
  trap 'rm -f /usr/sbin/policy-rc.d' EXIT
fi
echo "installing ${missing[*]}" >&2
apt-get update -qq
apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
