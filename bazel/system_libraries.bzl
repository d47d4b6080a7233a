"""System libraries as repositories: one cc_library per linkable part, headers from the system's include path.

Each checks that its header is there and names the package to install when it is not.
"""

_MISSING = "%s is missing: install the package %s (tools/setup installs everything the build needs)."

def _find(repository_ctx, folders, header):
    for folder in folders:
        if repository_ctx.path(folder + "/" + header).exists:
            return folder
    return None

def _system_library_impl(repository_ctx):
    attr = repository_ctx.attr
    folders = attr.header_folders or ["/usr/include"]
    folder = _find(repository_ctx, folders, attr.header)
    if not folder:
        fail(_MISSING % (attr.header, attr.package))
    lines = ['package(default_visibility = ["//visibility:public"])']
    sources = []
    for source in attr.sources:
        listed = repository_ctx.path(source).readdir()
        for file in listed:
            if file.basename.endswith(".c"):
                repository_ctx.symlink(file, "src/" + file.basename)
                sources.append("src/" + file.basename)
    headers = []
    if attr.header_folders:
        for file in repository_ctx.path(folder).readdir():
            if file.basename.endswith(".h"):
                repository_ctx.symlink(file, "include/" + file.basename)
                headers.append("include/" + file.basename)
    for name, linkopts in attr.libraries.items():
        lines.append("""
cc_library(
    name = "{name}",
    srcs = {sources},
    hdrs = {headers},
    copts = ["-w"],
    defines = {defines},
    includes = {includes},
    linkopts = {linkopts},
)""".format(
            name = name,
            sources = repr(sources),
            headers = repr(headers),
            defines = repr(attr.defines),
            includes = repr(["include"] if headers else []),
            linkopts = repr(linkopts),
        ))
    repository_ctx.file("BUILD.bazel", "\n".join(lines) + "\n")

system_library = repository_rule(
    implementation = _system_library_impl,
    local = True,
    attrs = {
        "package": attr.string(mandatory = True, doc = "Debian package that has it."),
        "header": attr.string(mandatory = True, doc = "Header whose absence means that the package is missing."),
        "header_folders": attr.string_list(doc = "Where to look when it is not the system's include path."),
        "sources": attr.string_list(doc = "Folders whose .c files are compiled in."),
        "defines": attr.string_list(),
        "libraries": attr.string_list_dict(mandatory = True, doc = "Target name to link options."),
    },
)

# Protos that ship with protobuf, with their dependencies, as Bazel's proto rules want them.
_WELL_KNOWN = {
    "any": [],
    "api": ["source_context", "type"],
    "descriptor": [],
    "duration": [],
    "empty": [],
    "field_mask": [],
    "source_context": [],
    "struct": [],
    "timestamp": [],
    "type": ["any", "source_context"],
    "wrappers": [],
}

def _protobuf_impl(repository_ctx):
    if not repository_ctx.path("/usr/include/google/protobuf/message.h").exists:
        fail(_MISSING % ("google/protobuf/message.h", "libprotobuf-dev"))
    if not repository_ctx.path("/usr/bin/protoc").exists:
        fail(_MISSING % ("/usr/bin/protoc", "protobuf-compiler"))
    repository_ctx.symlink("/usr/bin/protoc", "protoc_binary")
    protos = ""
    for name, deps in _WELL_KNOWN.items():
        repository_ctx.symlink("/usr/include/google/protobuf/%s.proto" % name, "src/google/protobuf/%s.proto" % name)
        protos += """
proto_library(
    name = "{name}_proto",
    srcs = ["src/google/protobuf/{name}.proto"],
    strip_import_prefix = "src",
    deps = {deps},
)
""".format(name = name, deps = repr([":" + dep + "_proto" for dep in deps]))
    repository_ctx.file("BUILD.bazel", """
package(default_visibility = ["//visibility:public"])

cc_library(
    name = "protobuf",
    linkopts = ["-l:libprotobuf.a", "-lz", "-lpthread"],
)

# The runtime as a name of its own: generated code links it.
alias(name = "protobuf_headers", actual = ":protobuf")

sh_binary(
    name = "protoc",
    srcs = ["protoc_binary"],
)

proto_lang_toolchain(
    name = "cc_toolchain",
    blacklisted_protos = [%s],
    command_line = "--cpp_out=$(OUT)",
    runtime = ":protobuf",
)
%s
""" % (", ".join(['":%s_proto"' % name for name in _WELL_KNOWN]), protos))

protobuf_repository = repository_rule(implementation = _protobuf_impl, local = True)
