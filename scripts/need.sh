#!/bin/sh
# need.sh COMMAND PACKAGE: makes sure that a command is there; installs Debian's package when it may, else says how.
set -eu
command=$1
package=$2
PATH=$PATH:/usr/sbin:/sbin
# python3-venv brings no command of its own: it is there when ensurepip can be imported.
present() {
    if [ "$package" = python3-venv ]; then
        "$command" -c 'import ensurepip, venv' 2>/dev/null
    else
        command -v "$command" >/dev/null 2>&1
    fi
}
present && exit 0
become=
if [ "$(id -u)" != 0 ]; then
    become="sudo -n"
fi
if command -v apt-get >/dev/null 2>&1 && $become true 2>/dev/null; then
    echo "installing $package" >&2
    export DEBIAN_FRONTEND=noninteractive
    # shellcheck disable=SC2086 # the words of $become are meant to be split
    { $become apt-get install -y --no-install-recommends "$package" ||
        { $become apt-get update && $become apt-get install -y --no-install-recommends "$package"; }; } >&2 || true
fi
present && exit 0
echo "$command is needed and could not be installed; run this, then make again:" >&2
echo "    sudo apt-get install -y --no-install-recommends $package" >&2
exit 1
