#!/usr/bin/env bash
# Slurm and munge from Debian's packages for the tests on a real Slurm; where that can't be, the tests are skipped and say so.
set -u
if command -v slurmctld >/dev/null && command -v munged >/dev/null; then exit 0; fi
if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
  echo "no Slurm here, and it can't be installed: the tests on it are skipped" >&2
  exit 0
fi
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq && apt-get install -y -qq --no-install-recommends slurmctld slurmd slurm-client munge >/dev/null \
  || echo "Slurm couldn't be installed: the tests on it are skipped" >&2
exit 0
