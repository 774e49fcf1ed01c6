#!/usr/bin/env bash
# Makes sure that the browser tests have a Chromium. As root on Debian it is installed; elsewhere its
# absence is said loudly and the browser tests skip, except in CI, where it is an error.
set -euo pipefail

found() { command -v chromium || command -v chromium-browser; }

if found >/dev/null; then exit 0; fi

if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
  echo "Installing Chromium for the browser tests ..."
  export DEBIAN_FRONTEND=noninteractive
  if apt-get update -qq && apt-get install -y -qq --no-install-recommends chromium >/dev/null && found; then
    exit 0
  fi
fi

cat >&2 <<'MSG'
*******************************************************************************
*  NO CHROMIUM FOUND: THE BROWSER TESTS ARE SKIPPED.                          *
*  To run them, install it (Debian: apt-get install chromium) and try again.  *
*******************************************************************************
MSG
[ "${CI:-}" != true ]
