"""Macros of every BUILD file of the project: the native rules plus our compile options."""

COPTS = [
    "-std=c++20",
    "-Wall",
    "-Wextra",
    "-Werror",
    "-Wno-missing-field-initializers",
]

def gatehouse_cc_library(name, copts = [], visibility = None, **kwargs):
    native.cc_library(
        name = name,
        copts = COPTS + copts,
        visibility = visibility or ["//visibility:public"],
        **kwargs
    )

def gatehouse_cc_binary(name, copts = [], visibility = None, **kwargs):
    native.cc_binary(
        name = name,
        copts = COPTS + copts,
        visibility = visibility or ["//visibility:public"],
        **kwargs
    )

def gatehouse_cc_test(name, copts = [], size = "small", **kwargs):
    native.cc_test(name = name, copts = COPTS + copts, size = size, **kwargs)

def gatehouse_py_test(name, main, args = [], data = [], **kwargs):
    """Runs `main` with the system's python3 (Bazel's own py_test wants a toolchain that Debian does not set up)."""
    native.sh_test(
        name = name,
        size = "small",
        srcs = ["//test:python_test.sh"],
        args = ["$(rootpath %s)" % main] + args,
        data = [main] + [file for file in data if file != main],
        **kwargs
    )

def gatehouse_proto_library(name, srcs, deps = [], visibility = None):
    """proto_library `name` and its C++ code `name`_cc."""
    native.proto_library(
        name = name,
        srcs = srcs,
        deps = deps,
        visibility = visibility or ["//visibility:public"],
    )
    native.cc_proto_library(
        name = name + "_cc",
        deps = [":" + name],
        visibility = visibility or ["//visibility:public"],
    )
