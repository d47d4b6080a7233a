"""A fuzzer: an ordinary test that replays its corpus, and a libFuzzer binary that only tools/fuzz builds."""

load("//bazel:gatehouse.bzl", "gatehouse_cc_binary", "gatehouse_cc_test")

def fuzzer(name, deps):
    gatehouse_cc_test(
        name = name + "_fuzz_test",
        srcs = [name + "_fuzz.cc", "driver.cc", "split.h"],
        args = ["test/fuzz/corpus/" + name],
        data = native.glob(["corpus/" + name + "/*"]),
        deps = deps,
    )
    gatehouse_cc_binary(
        name = name + "_libfuzzer",
        testonly = True,
        srcs = [name + "_fuzz.cc", "split.h"],
        linkopts = ["-fsanitize=fuzzer"],
        tags = ["manual"],
        deps = deps,
    )
