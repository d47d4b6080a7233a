"""Local repositories in place of those that Bazel 4 would download for its built-in rules."""

def _folder_impl(repository_ctx):
    for name, content in repository_ctx.attr.files.items():
        repository_ctx.file(name, content)

_folder = repository_rule(implementation = _folder_impl, attrs = {"files": attr.string_dict()})

_CC_RULES = [
    "cc_binary",
    "cc_import",
    "cc_library",
    "cc_proto_library",
    "cc_test",
    "cc_toolchain",
    "cc_toolchain_suite",
    "fdo_prefetch_hints",
    "fdo_profile",
    "objc_import",
    "objc_library",
]

def _existing(name):
    return native.existing_rule(name) != None

def stand_ins():
    """Declares rules_cc, rules_java, rules_proto and remote_coverage_tools unless the workspace has its own."""
    if not _existing("rules_cc"):
        _folder(name = "rules_cc", files = {
            "cc/BUILD": "",
            "cc/defs.bzl": "\n".join(["%s = native.%s" % (rule, rule) for rule in _CC_RULES]) + "\n",
        })
    if not _existing("remote_coverage_tools"):
        _folder(name = "remote_coverage_tools", files = {
            "BUILD": 'filegroup(name = "coverage_report_generator", visibility = ["//visibility:public"])\n',
        })
    if not _existing("rules_java"):
        native.local_repository(name = "rules_java", path = "/usr/share/bazel/rules/java")
    if not _existing("rules_proto"):
        native.local_repository(name = "rules_proto", path = "/usr/share/bazel/rules/proto")
