#!/usr/bin/env bash
# sshd for a pod that has PUBLIC_KEY or SSH_PASSWORD; without either, nothing.
#
# Rules: keys alone open it unless a password is given. The password passes through pipes alone: no
# command line, log or session has it. What is written is root's alone to read. The host key is made
# at start, so that no two pods share one. sshd is no child of the worker, which ends its children.
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

# A session gets the container's variables: RUNPOD_*, MODEL, PATH and all, as /proc/1/environ shows
# them to root anyway. The file has one a line, so a value of several lines cannot be in it.
env -0 | grep -zvP '\n|^(HOME|LOGNAME|OLDPWD|PWD|SHELL|SHLVL|TERM|USER|_)=' | tr '\0' '\n' |
    install -m 0600 /dev/stdin "$folder/environment"

install -d -m 0755 /run/sshd
[ -f /run/sshd/host_key ] || ssh-keygen -q -t ed25519 -N '' -f /run/sshd/host_key
/usr/sbin/sshd -t "${options[@]}"
/usr/sbin/sshd -D -e "${options[@]}" &
