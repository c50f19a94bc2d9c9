/* SPDX-License-Identifier: Apache-2.0 */
/* The words are glibc's (elf/dl-load.c, dl-lookup.c, dl-version.c), and CPython's of a module that
 * has no entry. */
#include <kernels/object.h>
#include <string.h>

/* Which phrase a message has, and where the name of the culprit stands. */
static const struct topic {
    char letter;
    char place; /* '<' before the phrase, '>' behind it, ' ' nowhere */
    char phrase[52];
} topics[] = {
    {'L', '<', ": cannot open shared object file: No such file"},
    {'V', '>', "version `"},
    {'S', '>', "undefined symbol: "},
    {'T', ' ', "static TLS block"},
    {'M', ' ', "failed to map segment"},
    {'X', ' ', "executable stack"},
    {'P', ' ', ": Permission denied"},
    {'D', ' ', "wrong ELF class"},
    {'D', ' ', "invalid ELF header"},
    {'D', ' ', "file too short"},
    {'E', ' ', "does not define module export function"},
};

/* Rules in the order in which they are asked, as one text, since pointers would have to be
 * relocated: the topic, how the name begins ("a|b"; after '*': what it has in it; nothing: any),
 * a line's end, the advice. */
static const char rules[] =
    "L libcudart.\n"
    "it is CUDA's runtime: a torch for the same CUDA brings it, and so does the package "
    "nvidia-cuda-runtime (for CUDA 12: nvidia-cuda-runtime-cu12)\0"
    "L libcuda.|libnvidia-\n"
    "it is part of NVIDIA's driver: install that; a container is given it by --gpus all\0"
    "L libcu|libnv|libnccl\n"
    "it is one of CUDA's libraries: a torch for the same CUDA brings it, and so do NVIDIA's "
    "packages (nvidia-...)\0"
    "L libtorch_cuda|libc10_cuda\n"
    "it is part of a torch for CUDA, and this one is none: install that, or take a build for "
    "what this one is for\0"
    "L libtorch|libc10\n"
    "it is part of torch, which has to be imported first; where it was, the build was made "
    "for another torch\0"
    "L libtvm_ffi\n"
    "install it with `pip install apache-tvm-ffi`, or name it with KERNELS_TVM_FFI_LIBRARY\0"
    "L libamdhip|libhip|libroc|libhsa\n"
    "it is part of ROCm: a torch for the same ROCm brings it, or install ROCm\0"
    "L libsycl|libur_|libze_|libmkl\n"
    "it is part of Intel's oneAPI: a torch for XPU brings it, or install oneAPI's runtime\0"
    "L libstdc++|libgcc_s|libgomp\n"
    "it is part of GCC's runtime: install libstdc++6, libgcc-s1 or libgomp1\0"
    "L \n"
    "install the package that has it, or add its directory to LD_LIBRARY_PATH before the "
    "process starts\0"
    "V GLIBC_\n"
    "the build needs a newer glibc than this system has; use a newer system (a container will "
    "do), or a build that was made on an older one\0"
    "V GLIBCXX_|CXXABI_\n"
    "this libstdc++ is too old; install a newer one where it lies (conda: libstdcxx-ng), or "
    "have a newer one loaded first (LD_LIBRARY_PATH)\0"
    "V \n"
    "the library is older than the one that the build was made with; update it\0"
    "S *TVMFFI\n"
    "it is libtvm_ffi's, which is missing or older than the build's: `pip install -U apache-"
    "tvm-ffi`, or name it with KERNELS_TVM_FFI_LIBRARY\0"
    "S *3c10|N2at|NK2at|5torch|torch_\n"
    "it is torch's: the build was made for another torch than this process has; use the one "
    "that the build's name says, or another version of the kernel (`kernels resolve` tells "
    "what fits)\0"
    "S Py|_Py\n"
    "it is Python's: the build was made for another version of Python; take one for every "
    "version (abi3)\0"
    "S cuda|cublas|cudnn|cufft|cusolver|cusparse|nccl|nvrtc\n"
    "it is of a library of CUDA that is not loaded or older than the build's: use a torch for "
    "the CUDA that the build's name says\0"
    "S hip|roc|hsa\n"
    "it is ROCm's: use a torch for the ROCm that the build's name says\0"
    "S \n"
    "a library that the build expects is not loaded, or is another version: take another "
    "build or version of the kernel, and tell who made it\0"
    "T \n"
    "too much was loaded before: load the kernel first, or start the program with "
    "GLIBC_TUNABLES=glibc.rtld.optional_static_tls=16384\0"
    "M \n"
    "its file system lets no program run (noexec), or memory is short: have the cache "
    "elsewhere (HF_HUB_CACHE, KERNELS_CACHE)\0"
    "X \n"
    "the system forbids that: link the kernel again with `-z noexecstack`\0"
    "P \n"
    "this user may not read it: have that changed, or have a cache of one's own "
    "(HF_HUB_CACHE, KERNELS_CACHE)\0"
    "D \n"
    "it is damaged or for another machine: `kernels cache verify` tells which\0"
    "E \n"
    "it has another name than it was built with: build or download it again\0";

/* A part of a text. */
typedef struct part {
    const char *at;
    size_t length;
} part;

static part find_name(const struct topic *topic, const char *words, const char *phrase) {
    if (topic->place == '>') {
        const char *at = phrase + strlen(topic->phrase);
        return (part){at, strcspn(at, " ,'\n")};
    }
    const char *at = phrase;
    while (topic->place == '<' && at > words && !strchr(" /'\"\n", at[-1])) at--;
    return (part){at, (size_t)(phrase - at)};
}

static bool begins_with(part name, const char *text, size_t length) {
    return length <= name.length && memcmp(name.at, text, length) == 0;
}

/* `names` ends with its line. */
static bool is_one_of(part name, const char *names) {
    bool anywhere = *names == '*';
    names += anywhere;
    for (;; names++) {
        size_t length = strcspn(names, "|\n");
        for (part rest = name; rest.length; rest.at++, rest.length--) {
            if (begins_with(rest, names, length)) return true;
            if (!anywhere) break;
        }
        names += length;
        if (*names != '|') return false;
    }
}

static const char *find_advice(char letter, part name) {
    for (const char *rule = rules; rule < rules + sizeof rules - 1; rule += strlen(rule) + 1) {
        const char *advice = strchr(rule, '\n') + 1;
        if (*rule == letter && (rule[2] == '\n' || is_one_of(name, rule + 2))) return advice;
    }
    return NULL;
}

const char *kn_loader_advice(const char *words) {
    for (size_t i = 0; i < sizeof topics / sizeof *topics; i++) {
        const char *phrase = strstr(words, topics[i].phrase);
        if (phrase) return find_advice(topics[i].letter, find_name(&topics[i], words, phrase));
    }
    return NULL;
}
