#!/bin/bash
# A Docker engine of our own for the tests: nothing of a system engine is used or touched.
#
#   dockerd.sh start DIR   prints the engine's URL on stdout (unix://DIR/docker.sock) once it answers; installs docker.io
#                          on a Debian without dockerd. Does nothing more when DIR's engine answers already.
#   dockerd.sh stop DIR    ends DIR's engine, its containers and its containerd, and waits for them. DIR's data stays.
#
# Needs root, cgroups under /sys/fs/cgroup, and a DIR with a short path (a Unix socket's path ends at 107 bytes).
# A DIR left behind by a machine or job that died is taken over: stale pid files and mounts are cleared first.
set -euo pipefail
export PATH=$PATH:/usr/sbin:/sbin

fail() { echo "dockerd.sh: $*" >&2; exit 1; }

[[ $# == 2 && ( $1 == start || $1 == stop ) ]] || fail "usage: dockerd.sh start|stop DIR"
mkdir -p "$2"
dir=$(cd "$2" && pwd -P)
(( ${#dir} <= 60 )) || fail "the path of $dir is too long for Unix sockets"
url=unix://$dir/docker.sock
pidfile=$dir/dockerd.pid
containerd_pidfile=$dir/exec/containerd/containerd.pid

answers() { timeout 10 docker --config "$dir/config" -H "$url" version >/dev/null 2>&1; }

# The process of a pid file, if it is really ours: pids are used again after a reboot, or in the next container.
owner_of() { # PIDFILE PROGRAM
    local pid
    pid=$(cat "$1" 2>/dev/null) && runs_here "$pid" "$2" && echo "$pid"
}

runs_here() { # PID PROGRAM
    local cmdline
    cmdline=$( { tr '\0' ' ' <"/proc/$1/cmdline"; } 2>/dev/null ) && [[ $cmdline == *"$2 "*"$dir/"* ]]
}

gone() { [[ ! -e /proc/$1 || $(awk '/^State:/ {print $2}' "/proc/$1/status" 2>/dev/null) == Z ]]; }

# Waits up to so many seconds for a process that is not our child, hence the polling.
wait_gone() { # PID SECONDS
    local tries=$(( $2 * 10 ))
    until gone "$1"; do
        (( tries-- > 0 )) || return 1
        sleep 0.1
    done
}

end() { # PID SECONDS
    kill -TERM "$1" 2>/dev/null || return 0
    wait_gone "$1" "$2" && return 0
    echo "dockerd.sh: $1 did not end on SIGTERM, killing it" >&2
    kill -KILL "$1" 2>/dev/null || true
    wait_gone "$1" 10 || fail "$1 survives SIGKILL"
}

get() { DEBIAN_FRONTEND=noninteractive apt-get install -qy --no-install-recommends "$@"; }

install_engine() {
    command -v dockerd >/dev/null && command -v docker >/dev/null && return
    command -v apt-get >/dev/null || fail "no dockerd, and no apt-get to install it with"
    # The package would start an engine for the whole system; the tests want only their own.
    local policy=/usr/sbin/policy-rc.d made=
    if [[ ! -e $policy ]]; then
        printf '#!/bin/sh\nexit 101\n' >$policy && chmod +x $policy
        made=1
    fi
    local rc=0
    { apt-get update -q && get docker.io iptables; } >&2 || rc=$?
    [[ -z $made ]] || rm -f $policy
    (( rc == 0 )) || fail "docker.io could not be installed"
    # From Debian 13 on the command line is a package of its own.
    command -v docker >/dev/null || get docker-cli >&2
}

# What an engine that was killed leaves behind.
clear_remains() {
    local pid
    if pid=$(owner_of "$containerd_pidfile" containerd); then end "$pid" 10; fi
    # A shim outlives both engine and containerd, and its container with it. (No pgrep: a small Debian has none.)
    local proc container
    for proc in /proc/[0-9]*; do
        pid=${proc#/proc/}
        runs_here "$pid" containerd-shim-runc-v2 || continue
        for container in $(cat "$proc"/task/*/children 2>/dev/null); do kill -KILL "$container" 2>/dev/null || true; done
        end "$pid" 5
    done
    rm -f "$pidfile" "$containerd_pidfile" "$dir/docker.sock"
    awk -v under="$dir/" 'index($2, under) == 1 {print $2}' /proc/mounts | sort -r | while read -r mount; do
        umount -l "$mount" || true
    done
}

start() {
    [[ $(id -u) == 0 ]] || fail "an engine needs root"
    install_engine
    if owner_of "$pidfile" dockerd >/dev/null; then
        answers && { echo "$url"; return; }
        stop
    fi
    clear_remains
    # No packet filter rules and no sysctl of the host are changed: containers reach each other on bridge networks, and
    # no test needs a container to reach the world (the warning "IPv4 forwarding is disabled" means that and no more).
    # The storage driver is the engine's choice: overlay2, else vfs.
    setsid nohup dockerd \
        --data-root "$dir/data" --exec-root "$dir/exec" --pidfile "$pidfile" -H "$url" \
        --iptables=false --ip6tables=false --ip-forward=false --userland-proxy=false --shutdown-timeout=5 \
        >"$dir/dockerd.log" 2>&1 </dev/null &
    local pid=$! tries=300
    until answers; do
        if gone "$pid" || (( tries-- == 0 )); then
            tail -n 20 "$dir/dockerd.log" >&2
            fail "the engine does not answer; the whole log is $dir/dockerd.log"
        fi
        sleep 0.2
    done
    echo "$url"
}

stop() {
    local pid
    if pid=$(owner_of "$pidfile" dockerd); then
        # Killed first: a container that ignores SIGTERM would hold up the engine's own end.
        local running
        running=$(timeout 20 docker --config "$dir/config" -H "$url" ps -q 2>/dev/null || true)
        # shellcheck disable=SC2086  # one word for each container
        [[ -z $running ]] || docker --config "$dir/config" -H "$url" kill $running >/dev/null 2>&1 || true
        end "$pid" 30
    fi
    clear_remains
}

"$1"
