"""Every repository of the build. Nothing is downloaded: all libraries are packages of the system (tools/setup installs them).

A dependency's WORKSPACE is not evaluated by Bazel, so a workspace that uses @gatehouse calls gatehouse_dependencies() itself.
Moving one library to a source archive changes only its entry here.
"""

load("//bazel:stand_ins.bzl", "stand_ins")
load("//bazel:system_libraries.bzl", "protobuf_repository", "system_library")

def gatehouse_dependencies():
    """Declares the stand-ins for Bazel's built-in repositories and the system libraries."""
    stand_ins()
    protobuf_repository(name = "com_google_protobuf")
    system_library(
        name = "boost",
        package = "libboost1.81-dev",
        header = "boost/asio.hpp",
        libraries = {"asio": []},
        defines = ["BOOST_ASIO_NO_DEPRECATED", "BOOST_ERROR_CODE_HEADER_ONLY"],
    )
    system_library(
        name = "nghttp2",
        package = "libnghttp2-dev",
        header = "nghttp2/nghttp2.h",
        libraries = {"nghttp2": ["-lnghttp2"]},
    )
    system_library(
        name = "absl",
        package = "libabsl-dev",
        header = "absl/status/statusor.h",
        libraries = {"base": [
            "-labsl_" + lib
            for lib in [
                "statusor",
                "status",
                "cord",
                "cordz_info",
                "cord_internal",
                "cordz_functions",
                "cordz_handle",
                "hash",
                "city",
                "low_level_hash",
                "bad_variant_access",
                "raw_hash_set",
                "bad_optional_access",
                "hashtablez_sampler",
                "exponential_biased",
                "synchronization",
                "graphcycles_internal",
                "stacktrace",
                "symbolize",
                "debugging_internal",
                "demangle_internal",
                "malloc_internal",
                "time",
                "civil_time",
                "time_zone",
                "strings",
                "strings_internal",
                "base",
                "spinlock_wait",
                "int128",
                "throw_delegate",
                "raw_logging_internal",
                "log_severity",
            ]
        ]},
    )
    system_library(
        name = "yaml_cpp",
        package = "libyaml-cpp-dev",
        header = "yaml-cpp/yaml.h",
        libraries = {"yaml_cpp": ["-l:libyaml-cpp.a"]},
    )
    system_library(
        name = "re2",
        package = "libre2-dev",
        header = "re2/re2.h",
        libraries = {"re2": ["-l:libre2.a"]},
    )
    system_library(
        name = "spdlog",
        package = "libspdlog-dev",
        header = "spdlog/spdlog.h",
        libraries = {"spdlog": ["-lspdlog", "-lfmt"]},
        defines = ["SPDLOG_COMPILED_LIB", "SPDLOG_SHARED_LIB", "SPDLOG_FMT_EXTERNAL"],
    )
    system_library(
        name = "gtest",
        package = "libgmock-dev",
        header = "gmock/gmock.h",
        libraries = {
            "gtest": ["-lgmock", "-lgtest", "-lpthread"],
            "gtest_main": ["-lgmock_main", "-lgmock", "-lgtest", "-lpthread"],
        },
    )
    system_library(
        name = "llhttp",
        package = "node-llhttp",
        header = "llhttp.h",
        header_folders = ["/usr/share/include/llhttp", "/usr/share/include"],
        sources = ["/usr/share/llhttp"],
        libraries = {"llhttp": []},
    )
