#!/bin/bash
# Builds the static binary for this machine's architecture, and the image around it.
#
#   build.sh [TAG]    TAG is tailwater:latest unless given.
#
# Honours CARGO_TARGET_DIR (else target/static: its flags would make other builds in target/ start over) and, through
# the docker command, DOCKER_HOST. Pulls nothing but crates.
set -euo pipefail

fail() { echo "build.sh: $*" >&2; exit 1; }

(( $# <= 1 )) || fail "usage: build.sh [TAG]"
tag=${1:-tailwater:latest}
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd -P)
root=$(cd "$here/../.." && pwd -P)
machine=$(uname -m)
[[ $machine == x86_64 || $machine == aarch64 ]] || fail "no image for $machine: x86_64 and aarch64 only"
triple=$machine-unknown-linux-gnu
CARGO_TARGET_DIR=$(realpath -m "${CARGO_TARGET_DIR:-$root/target/static}")
export CARGO_TARGET_DIR
binary=$CARGO_TARGET_DIR/$triple/release/tailwater

# By default getrandom looks its system call up with dlsym, which a static binary does not have.
flags='-C target-feature=+crt-static --cfg getrandom_backend="linux_getrandom"'
# Relocations of 0.7 MB fit into 8 KB, for a glibc that can read that when it starts.
if printf '%s\n' 'glibc 2.36' "$(getconf GNU_LIBC_VERSION)" | sort --version-sort --check=quiet; then
    flags+=' -C link-arg=-Wl,-z,pack-relative-relocs'
fi
# A path from where cargo calls the linker.
flags+=' -C link-arg=-Wl,-T,packaging/docker/layout.ld -C link-arg=-Wl,--no-eh-frame-hdr'
cd "$root"
RUSTFLAGS=$flags \
    cargo build --release --locked --target "$triple"

# ldd says different things of static binaries with and without PIE, so the headers are asked.
headers=$(LC_ALL=C readelf --wide --program-headers --dynamic "$binary")
[[ $headers != *INTERP* && $headers != *NEEDED* ]] || fail "$binary is not static"
version=$("$binary" --version)

context=$(mktemp -d)
trap 'rm -rf "$context"' EXIT
install -m 755 "$binary" "$context/tailwater"
install -m 644 config/tailwater.yaml "$context/tailwater.yaml"
install -d -m 700 "$context/state"

# The classic builder unless told otherwise: buildx is a plug-in that many hosts lack.
DOCKER_BUILDKIT=${DOCKER_BUILDKIT:-0} docker build --tag "$tag" --file "$here/Dockerfile" \
    --build-arg VERSION="${version#tailwater }" \
    --build-arg REVISION="$(git describe --always --abbrev=40 --dirty --exclude='*' 2>/dev/null || echo unknown)" \
    "$context"
