#!/bin/sh
# need.sh COMMAND PACKAGE: makes sure that a command is there; installs Debian's package when it may, else says how.
set -eu
command=$1
package=$2
# Debian keeps PostgreSQL's own programs apart, a folder a version.
PATH=$PATH:/usr/sbin:/sbin:$(echo /usr/lib/postgresql/*/bin | tr ' ' ':')
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
    # sudo drops the environment, so `env` comes behind it. Another apt may be at work: wait for it.
    # shellcheck disable=SC2086 # the words of $become are meant to be split
    apt() { $become env DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=120 "$@"; }
    # A server that a package brings is not started: the tests start their own, elsewhere and as they need it.
    policy=/usr/sbin/policy-rc.d
    if [ ! -e $policy ] && printf '#!/bin/sh\nexit 101\n' | $become tee $policy >/dev/null && $become chmod 755 $policy; then
        trap '$become rm -f $policy' EXIT
        trap 'exit 130' INT TERM HUP PIPE
    fi
    # The lists are fetched only where they are missing or too old: once, however many packages are asked for in turn.
    install() { apt install -y --no-install-recommends "$package"; }
    { install || { apt update && install; }; } </dev/null >&2 || true
fi
present && exit 0
echo "$command is needed and could not be installed; run this, then make again:" >&2
echo "    sudo apt-get update && sudo apt-get install -y --no-install-recommends $package" >&2
exit 1
