# Shared by the commands in tools/; to be sourced by bash. Gives the environment that Bazel needs even after `env -i`.

ROOT="$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)"
export PATH="${PATH:-/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin}"
case ":$PATH:" in *:/usr/sbin:*) ;; *) PATH="$PATH:/usr/sbin:/sbin" ;; esac
export USER="${USER:-$(id -un)}"
if [ -z "${HOME:-}" ]; then
  HOME="$(getent passwd "$(id -u)" | cut -d: -f6)"
  export HOME="${HOME:-/tmp}"
fi

say() { printf '%s\n' "$*"; }
die() { printf '%s: %s\n' "$(basename "$0")" "$*" >&2; exit 1; }

# Bazel's sandbox needs user namespaces, which containers often forbid; actions then run without it.
BAZEL_FLAGS=()
detect_sandbox() {
  if ! unshare --user --map-root-user --mount true 2>/dev/null; then
    say "User namespaces are not allowed here: building without Bazel's sandbox."
    BAZEL_FLAGS+=(--spawn_strategy=local)
  fi
}
