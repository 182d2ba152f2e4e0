#!/usr/bin/env bash
# Starts sshd on a pod that has PUBLIC_KEY or SSH_PASSWORD; does nothing without either.
#
# Rules: only keys are accepted unless a password is set. The password is only ever passed through
# pipes: it is in no command line, log or session. Only root can read the files written here. The
# host key is generated at start, so that no two pods share one. sshd is not a child of the worker,
# which ends its children.
set -euo pipefail

[ -n "${PUBLIC_KEY:-}${SSH_PASSWORD:-}" ] || exit 0
export -n PUBLIC_KEY SSH_PASSWORD

here=$(dirname "$(realpath "$0")")
folder=~root/.ssh
options=(-f "$here/sshd_config" -p "${SSH_PORT:-22}")

install -d -m 0700 "$folder"
if [ -n "${PUBLIC_KEY:-}" ]; then
    printf '%s\n' "$PUBLIC_KEY" | install -m 0600 /dev/stdin "$folder/authorized_keys"
fi
if [ -n "${SSH_PASSWORD:-}" ]; then
    printf 'root:%s\n' "$SSH_PASSWORD" | chpasswd
    options+=(-o PasswordAuthentication=yes -o PermitRootLogin=yes)
fi

# Sessions get the container's variables (RUNPOD_*, MODEL, PATH and so on), which root can read in
# /proc/1/environ anyway. The file has one per line, so multi-line values are left out.
env -0 | grep -zvP '\n|^(HOME|LOGNAME|OLDPWD|PWD|SHELL|SHLVL|TERM|USER|_)=' | tr '\0' '\n' |
    install -m 0600 /dev/stdin "$folder/environment"

install -d -m 0755 /run/sshd
[ -f /run/sshd/host_key ] || ssh-keygen -q -t ed25519 -N '' -f /run/sshd/host_key
/usr/sbin/sshd -t "${options[@]}"
/usr/sbin/sshd -D -e "${options[@]}" &
