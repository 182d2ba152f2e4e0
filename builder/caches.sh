#!/usr/bin/env bash
# Keeps compiled kernels on a volume, for the next container: caches.sh restore|keep|save.
#
# `restore` unpacks what was kept; `keep` saves it whenever it has changed and then been left alone
# for a minute, until the container ends. Rules: there is one archive for each build of the image and
# each GPU architecture, because kernels fit no other. It is written under another name and renamed,
# so that a reader finds a whole one or none; of two writers, the last one wins. Without a volume or
# a GPU, nothing is done. Whatever fails is logged, and the worker starts without.
set -euo pipefail

cache=${SGLANG_CACHE_DIR:-${HOME:-/root}/.cache/sglang}  # an entrypoint may have no HOME
volume=${VOLUME_FOLDER:-}
if [ -z "$volume" ]; then
    for each in /runpod-volume /workspace; do
        if mountpoint -q "$each" && [ -w "$each" ]; then volume=$each && break; fi
    done
fi
[ -n "$volume" ] || exit 0
architecture=$(nvidia-smi --query-gpu=compute_cap --format=csv,noheader 2>/dev/null | head -n 1) || exit 0
[ -n "$architecture" ] || exit 0
archive=$volume/.cache/gpt-oss-worker/${IMAGE_BUILD:-unknown}-sm${architecture/./}.tar

state() {
    find "$cache" -type f -printf '%P %s %T@\n' 2>/dev/null | sort | sha256sum
}

save() {
    mkdir -p "$(dirname "$archive")"
    local part=$archive.$HOSTNAME.$$
    # 1: a file changed while it was read, such as a lock.
    tar -C "$cache" --exclude='*.lock' -cf "$part" . || [ $? = 1 ]
    mv "$part" "$archive"
    echo "Kernels kept in $archive" >&2
}

case $1 in
restore)
    if [ -f "$archive" ]; then
        mkdir -p "$cache"
        tar -C "$cache" --skip-old-files -xf "$archive"
        echo "Kernels restored from $archive" >&2
    fi
    ;;
save) save ;;
keep)
    saved=$(state) before=$saved
    while sleep "${CACHE_CHECK_SECONDS:-60}"; do
        now=$(state)
        if [ "$now" != "$saved" ] && [ "$now" = "$before" ]; then save && saved=$now; fi
        before=$now
    done
    ;;
esac
