#!/usr/bin/env bash
# Debian's packages for the tests on a real Slurm and in a real browser; where they can't be had, those tests are skipped and say so.
set -u
packages=()
command -v slurmctld >/dev/null && command -v munged >/dev/null || packages+=(slurmctld slurmd slurm-client munge)
command -v chromium >/dev/null || packages+=(chromium)
if [ ${#packages[@]} = 0 ]; then exit 0; fi
if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
  echo "can't be installed here: ${packages[*]}; the tests that need them are skipped" >&2
  exit 0
fi
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq && apt-get install -y -qq --no-install-recommends "${packages[@]}" >/dev/null \
  || echo "couldn't be installed: ${packages[*]}; the tests that need them are skipped" >&2
exit 0
