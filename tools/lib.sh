# Shared by the tools; sourced, not run. Gives Bazel the environment it needs even after `env -i`.
# Bash has a PATH of its own when none is given, but does not export it: Bazel would not find Java.
export PATH="${PATH:-/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin}"
export USER="${USER:-$(id -un)}"
if [ -z "${HOME:-}" ]; then
  HOME=$(getent passwd "$(id -u)" | cut -d: -f6)
  export HOME="${HOME:-/tmp}"
fi
bazel_options=()
# Without user namespaces Bazel's sandbox cannot start: it then runs without one.
if ! unshare --user true 2>/dev/null; then bazel_options+=(--spawn_strategy=local); fi
