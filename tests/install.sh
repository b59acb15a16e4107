#!/usr/bin/env bash
# Debian's packages for the tests on a real Slurm and in a real browser; where they can't be had, those tests are skipped and say so.
set -u
export DEBIAN_FRONTEND=noninteractive

install() {  # what for, packages
  local what=$1
  shift
  if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
    echo "no $what here, and it can't be installed: the tests with it are skipped" >&2
  else
    apt-get update -qq && apt-get install -y -qq --no-install-recommends "$@" >/dev/null \
      || echo "$what couldn't be installed: the tests with it are skipped" >&2
  fi
}

{ command -v slurmctld && command -v munged; } >/dev/null || install Slurm slurmctld slurmd slurm-client munge
{ command -v chromium || command -v chromium-browser; } >/dev/null || install Chromium chromium
exit 0
