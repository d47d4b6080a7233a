# Shared by the tools: Bazel as this machine can run it. Sourced, not run.
export HOME="${HOME:-/root}" USER="${USER:-$(id -un)}"
bazel_options=()
# Without user namespaces Bazel's sandbox cannot start: it then runs without one.
if ! unshare --user true 2>/dev/null; then bazel_options+=(--spawn_strategy=local); fi
