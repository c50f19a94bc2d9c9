/* SPDX-License-Identifier: Apache-2.0 */
#include <kernels/object.h>
#include <string.h>

#include "support/unit.h"

static void advises(const char *words, const char *part) {
    const char *advice = kn_loader_advice(words);
    if (!advice) fail_msg("no advice for: %s", words);
    if (!strstr(advice, part)) fail_msg("%s\nis told: %s\nand not: %s", words, advice, part);
}

#define MISSES(library, part) \
    advises(library ": cannot open shared object file: No such file or directory", part)
#define LACKS(symbol, part) advises("/cache/_k.abi3.so: undefined symbol: " symbol, part)

static void test_a_missing_library_is_told_with_who_brings_it(void **state) {
    (void)state;
    MISSES("libcudart.so.13", "the package nvidia-cuda-runtime");
    MISSES("libcuda.so.1", "NVIDIA's driver");
    MISSES("libcublasLt.so.12", "one of CUDA's libraries");
    MISSES("libnvrtc.so.12", "one of CUDA's libraries");
    MISSES("libtorch_cuda.so", "a torch for CUDA");
    MISSES("libtorch.so", "has to be imported first");
    MISSES("libc10.so", "has to be imported first");
    MISSES("libtvm_ffi.so", "pip install apache-tvm-ffi");
    MISSES("libamdhip64.so.6", "ROCm");
    MISSES("libsycl.so.8", "oneAPI");
    MISSES("libgomp.so.1", "libgomp1");
    MISSES("libfoo.so.1", "LD_LIBRARY_PATH");
    MISSES("cannot load '/k/_k.so': libcudart.so.12", "nvidia-cuda-runtime-cu12");
    MISSES("Could not load this library: /k/libfoo.so", "LD_LIBRARY_PATH");
}

static void test_a_missing_version_is_told_by_the_library_that_has_it(void **state) {
    (void)state;
    advises("/lib/libc.so.6: version `GLIBC_2.38' not found (required by /k/_k.so)",
            "a newer glibc than this system has");
    advises("/opt/lib/libstdc++.so.6: version `GLIBCXX_3.4.32' not found (required by /k/_k.so)",
            "conda: libstdcxx-ng");
    advises("libstdc++.so.6: version `CXXABI_1.3.15' not found", "this libstdc++ is too old");
    advises("libssl.so.3: version `OPENSSL_3.2.0' not found", "older than the one");
}

static void test_an_undefined_symbol_is_told_by_whose_it_is(void **state) {
    (void)state;
    LACKS("_ZN3c106detail14torchCheckFailEPKcS2_jRKSs", "it is torch's");
    LACKS("_ZNK2at10TensorBase8data_ptrIfEEPT_v", "it is torch's");
    LACKS("_ZN2at4_ops5empty4callEv", "it is torch's");
    LACKS("_ZN5torch8autograd4NodeE", "it is torch's");
    LACKS("aoti_torch_get_current_cuda_stream", "it is torch's");
    LACKS("TVMFFIFunctionCall, version TVM", "`pip install -U apache-tvm-ffi`");
    LACKS("_Py_Dealloc", "it is Python's");
    LACKS("PyUnicode_AsUTF8", "it is Python's");
    LACKS("cudaLaunchKernelExC", "a library of CUDA");
    LACKS("hipLaunchKernel", "ROCm");
    LACKS("_ZSt12atomicThing", "a library that the build expects");
}

static void test_other_words_of_the_loader_are_told(void **state) {
    (void)state;
    advises("/k/_k.so: cannot allocate memory in static TLS block", "load the kernel first");
    advises("/k/_k.so: failed to map segment from shared object: Operation not permitted",
            "noexec");
    advises("/k/_k.so: cannot enable executable stack as shared object requires: Permission denied",
            "-z noexecstack");
    advises("/k/_k.so: cannot open shared object file: Permission denied", "may not read it");
    advises("/k/_k.so: invalid ELF header", "kernels cache verify");
    advises("/k/_k.so: wrong ELF class: ELFCLASS32", "another machine");
    advises("/k/_k.so: file too short", "damaged");
    advises("dynamic module does not define module export function (PyInit__k)", "another name");
}

static void test_words_that_are_not_the_loaders_get_no_advice(void **state) {
    (void)state;
    assert_null(kn_loader_advice(""));
    assert_null(kn_loader_advice("cannot import name 'x' from 'y'"));
    assert_null(kn_loader_advice("No such file or directory"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_missing_library_is_told_with_who_brings_it),
        cmocka_unit_test(test_a_missing_version_is_told_by_the_library_that_has_it),
        cmocka_unit_test(test_an_undefined_symbol_is_told_by_whose_it_is),
        cmocka_unit_test(test_other_words_of_the_loader_are_told),
        cmocka_unit_test(test_words_that_are_not_the_loaders_get_no_advice),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
