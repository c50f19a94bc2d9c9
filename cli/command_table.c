/* SPDX-License-Identifier: Apache-2.0 */
/* The table of commands: help, completion, the manual page and the parser read it. */
#include "cli.h"

#define END {NULL, NULL, NULL, NULL}
#define OPTION_PYTHON                                                                                \
    {"--python", "PYTHON",                                                                           \
     "The Python environment to look at: its folder or interpreter. Default: that of this program.", \
     NULL}
#define OPTION_JSON {"--json", NULL, "Print one JSON document.", NULL}
#define OPTION_REFRESH {"--refresh", NULL, "Ask the Hub, however fresh its last answer is.", NULL}
#define OPTION_REVISION \
    {"--revision", "REVISION", "A branch, tag or commit. Not together with --version.", NULL}
#define OPTION_VERSION       \
    {"--version", "VERSION", \
     "A version, 1, or a specifier, '>=0.1,<0.2'. Not together with --revision.", NULL}

static const cli_option versions_options[] = {OPTION_JSON, OPTION_REFRESH, OPTION_PYTHON, END};

static const cli_option info_options[] = {OPTION_REVISION, OPTION_VERSION, OPTION_JSON,
                                          OPTION_REFRESH,  OPTION_PYTHON,  END};

static const cli_option get_options[] = {
    OPTION_REVISION,
    OPTION_VERSION,
    {"--trust", NULL, "Fetch it although its publisher is not trusted.", NULL},
    OPTION_JSON,
    OPTION_REFRESH,
    OPTION_PYTHON,
    END};

static const cli_option lock_options[] = {
    {"--check", NULL, "Write nothing; the exit status is 1 where the lock file does not fit.",
     NULL},
    {"--diff", NULL, "Write nothing; tell what would change.", NULL},
    {"--upgrade", "[REPO]", "Find the commits of all kernels anew, or of that repository's.", NULL},
    {"--digests", NULL, "Lock a digest of each file, too, which loading then compares.", NULL},
    {"--trust", NULL, "Lock kernels although their publishers are not trusted.", NULL},
    OPTION_JSON,
    OPTION_PYTHON,
    END};

static const cli_option download_options[] = {
    {"--all-variants", NULL, "Download every build, and not only the one for this environment.",
     NULL},
    OPTION_JSON,
    OPTION_PYTHON,
    END};

static const cli_option bundle_options[] = {
    {"--output", "FILE", "The file to write.", NULL},
    {"--target", "TARGET",
     "A machine it is for: KEY=VALUE,... Can be given several times. Default: this environment.",
     NULL},
    {"--trust", NULL, "Take kernels whose publisher is not trusted, too.", NULL},
    OPTION_JSON,
    OPTION_PYTHON,
    END};

static const cli_option import_options[] = {
    {"--check", NULL, "Verify the bundle, and import nothing.", NULL}, OPTION_JSON, END};

#define OPTIONS_TARGET                                                                           \
    {"--torch", "VERSION", "The machine's torch, 2.10, or none.", NULL},                         \
        {"--backend", "BACKEND", "What its torch was built for: cpu, cu130, rocm64, ...", NULL}, \
        {"--arch", "ARCH", "Its processor.", "x86_64 aarch64"},                                  \
        {"--os", "OS", "Its system.", "linux darwin windows"},                                   \
        {"--cxx11-abi", "FLAG", "Whether its torch has the C++11 ABI. Default with --torch: 1.", \
         "0 1"},                                                                                 \
        {"--tvm-ffi", "VERSION", "Its tvm-ffi, 0.1, or none.", NULL}, {                          \
        "--capability", "CAPABILITY", "The compute capability of its GPU, 9.0.", NULL            \
    }

static const cli_option resolve_options[] = {OPTION_REVISION, OPTION_VERSION, OPTIONS_TARGET,
                                             OPTION_JSON,     OPTION_PYTHON,  END};

static const cli_option plan_options[] = {
    {"--mode", "MODE", "What for. Default: inference.",
     "inference training inference|torch_compile training|torch_compile"},
    {"--device", "DEVICE", "The type of device. Default: that of the backend.",
     "cpu cuda mps neuron npu rocm tpu xpu"},
    OPTIONS_TARGET,
    OPTION_REFRESH,
    OPTION_JSON,
    OPTION_PYTHON,
    END};

static const cli_option list_options[] = {OPTION_JSON, END};

static const cli_option prune_options[] = {
    {"--dry-run", NULL, "Tell what would go, and take nothing away.", NULL}, OPTION_JSON, END};

static const cli_option verify_options[] = {
    {"--remove", NULL, "Take damaged content away, so that it is fetched again.", NULL},
    OPTION_JSON,
    END};

static const cli_option doctor_options[] = {OPTION_JSON, OPTION_PYTHON, END};

static const cli_option benchmark_options[] = {
    {"--builtin", NULL, "Benchmark the kernels that ship with the package.", NULL},
    OPTION_REVISION,
    OPTION_VERSION,
    {"--branch", "BRANCH", "The same as --revision.", NULL},
    {"--trust", NULL, "Run its code although its publisher is not trusted.", NULL},
    OPTION_REFRESH,
    {"--iterations", "N", "How often each is timed. Default: 100.", NULL},
    {"--warmup", "N", "How often each is called before that. Default: 10.", NULL},
    {"--output", "FILE", "Write the JSON document into a file, too.", NULL},
    {"--plot", "FILE", "Draw the times: FILE.svg, or FILE.png where matplotlib is installed.",
     NULL},
    OPTION_JSON,
    {"--python", "PYTHON",
     "The Python environment to run in: its folder or interpreter. Default: that of this program.",
     NULL},
    END};

static const cli_option serve_options[] = {
    {"--host", "ADDRESS",
     "The address to listen on: 0.0.0.0 for all of this machine's. Default: 127.0.0.1.", NULL},
    {"--port", "PORT", "The port; 0 takes a free one. Default: 8017.", NULL},
    {"--token-file", "FILE", "Answer only those who send one of its tokens; one a line.", NULL},
    {"--tls-cert", "FILE", "Speak HTTPS: the certificate and its chain, PEM.", NULL},
    {"--tls-key", "FILE", "The certificate's key, PEM, without a passphrase.", NULL},
    {"--trust", "PUBLISHERS", "Call these publishers trusted: names, with commas between.", NULL},
    {"--url", "URL", "How clients know it, where it stands behind a proxy.", NULL},
    {"--max-connections", "N", "How many there may be at a time. Default: 1024.", NULL},
    {"--max-per-address", "N", "How many from one address. Default: 512.", NULL},
    {"--timeout", "SECONDS",
     "How long a request may take to come, and an answer to go on. Default: 60.", NULL},
    {"--quiet", NULL, "No line for each request.", NULL},
    END};

static const cli_option verify_signature_options[] = {
    {"--all-variants", NULL, "Fetch and verify every build.", NULL},
    {"--filter-unsigned", NULL, "Pass over builds that are not signed.", NULL},
    {"--filter-no-digest", NULL, "Pass over builds whose metadata has no digest.", NULL},
    {"--trust", NULL, "Fetch it although its publisher is not trusted.", NULL},
    OPTION_JSON,
    {"--python", "PYTHON",
     "The Python environment to run in: its folder or interpreter. Default: that of this program.",
     NULL},
    END};

static const cli_option no_options[] = {END};

const cli_command cli_commands[] = {
    {"versions", "REPO", 1, 1, CLI_WORD, "list a kernel's versions and which builds run here",
     "Lists the versions of a repository and, for each, its build variants: those that run in this\n"
     "Python environment, best first, and why the others do not.",
     versions_options,
     "kernels versions kernels-community/relu         # all versions\n"
     "kernels versions kernels-community/relu --json  # for a program",
     cmd_versions},
    {"info", "KERNEL", 1, 1, CLI_FILE, "describe a kernel",
     "Describes a kernel: a repository of the Hub, or a directory with a build folder. Without a\n"
     "revision or version it is the newest version, or the main branch where there are none. Of the\n"
     "builds that are in the cache it tells what their shared objects need (machine, glibc, libraries,\n"
     "CUDA architectures), and whether this system takes them; nothing is fetched for that.",
     info_options,
     "kernels info kernels-community/relu              # the newest version\n"
     "kernels info kernels-community/relu --version 1  # one of them\n"
     "kernels info ./my-kernel --json                  # a directory",
     cmd_info},
    {"check", "[REPO]", 0, CLI_OPERANDS_MAX, CLI_WORD, "moved to kernel-builder",
     "Checking a kernel's ABI has moved to `kernel-builder check-abi`.", no_options,
     "kernel-builder check-abi", cmd_check},
    {"get", "REPO", 1, 1, CLI_WORD, "fetch a kernel and print its folder",
     "Fetches the build for this Python environment, with the kernels that it depends on, verified,\n"
     "into the cache, and prints its folder. What is there already is not fetched again. Nothing of\n"
     "it is run.",
     get_options,
     "kernels get kernels-community/relu --version 1\n"
     "kernels get kernels-community/relu --revision main --python ~/venv",
     cmd_get},
    {"lock", "[PROJECT_DIR]", 0, 1, CLI_FILE, "lock the commits of a project's kernels",
     "Writes the commits of the kernels that a project's pyproject.toml names, and of all that any\n"
     "of their builds depends on, into its kernels.lock. What is locked already keeps its commit.\n"
     "The project is the working directory by default.\n\n"
     "    [tool.kernels.dependencies]\n"
     "    \"kernels-community/relu\" = 1",
     lock_options,
     "kernels lock .                                   # what is not locked yet\n"
     "kernels lock . --upgrade                         # all kernels\n"
     "kernels lock . --upgrade kernels-community/relu  # one of them\n"
     "kernels lock . --check                           # in continuous integration",
     cmd_lock},
    {"download", "PROJECT", 1, 1, CLI_FILE, "fetch the kernels of a project's lock file",
     "Fetches every kernel of PROJECT/kernels.lock at its commit, all at once, and prints their\n"
     "folders: the builds for this Python environment, or all of them. Nothing of them is run, so\n"
     "that they are fetched whoever published them.",
     download_options,
     "kernels download .                 # the builds for this environment\n"
     "kernels download . --all-variants  # all builds\n"
     "kernels download . --python ~/venv --json",
     cmd_download},
    {"bundle", "LOCKFILE", 1, 1, CLI_FILE, "put kernels in one file for machines without a network",
     "Fetches every kernel of a lock file for the machines that --target describes and writes them,\n"
     "with what they depend on, into one archive. The same kernels give the same bytes.\n\n"
     "A target says torch (2.13, or none) and backend (cpu, cu130, rocm64, ...), and may say arch\n"
     "(x86_64), os (linux), cxx11-abi (1), tvm-ffi (none) and capability (9.0: the kernels must\n"
     "have code for it). Neither torch nor a GPU is needed here.",
     bundle_options,
     "kernels bundle kernels.lock -o relu.tar --target torch=2.13,backend=cu130\n"
     "kernels bundle kernels.lock -o all.tar --target torch=2.13,backend=cpu --target torch=2.12,backend=cpu",
     cmd_bundle},
    {"import", "FILE", 1, 1, CLI_FILE, "put the kernels of a bundle into the cache",
     "Verifies all of a bundle, then puts its kernels into the cache (KERNELS_CACHE names one). Needs\n"
     "no network. It says nothing about trust: offline an imported kernel loads as one whose\n"
     "publisher was never asked, online the Hub is asked for it and its files are compared.",
     import_options,
     "kernels import relu.tar\n"
     "kernels import relu.tar --check --json  # what is in it, and is it whole",
     cmd_import},
    {"resolve", "KERNEL", 1, 1, CLI_FILE, "tell which build a machine gets, and why not the others",
     "Tells which build variant this machine would get, and why the others do not fit. The options\n"
     "describe another machine; what they leave out is taken from this one.\n\n"
     "The exit status is 1 where no build fits.",
     resolve_options,
     "kernels resolve kernels-community/relu --version 1  # here\n"
     "kernels resolve kernels-community/relu --torch 2.10 --backend cu130 --capability 9.0",
     cmd_resolve},
    {"verify-signature", "REPO VERSION", 2, 2, CLI_WORD, "verify the signature of a kernel",
     "Fetches the build of a version for this Python environment, or every build, and verifies that\n"
     "its metadata was signed by a workflow of the kernels community, and that its files are those\n"
     "that the metadata lists. The signature is in metadata.json.sigstore; it is verified by the\n"
     "Python package sigstore, which must be installed. Nothing of the kernel is run.\n\n"
     "The exit status is 1 where a build cannot be verified.",
     verify_signature_options,
     "kernels verify-signature kernels-community/relu 1\n"
     "kernels verify-signature --all-variants --filter-unsigned kernels-community/relu 1",
     cmd_verify_signature},
    {"plan", "FILE", 1, 1, CLI_FILE, "tell which kernels a mapping gives a machine",
     "Tells for every layer of a mapping, which FILE describes in TOML, which repository, commit and\n"
     "build a machine gets, and why it gets none. The options describe another machine; what they\n"
     "leave out is taken from this one. Fetches listings and metadata, and runs nothing.\n\n"
     "The exit status is not 0 where a kernel that is mapped for the machine cannot be had.",
     plan_options,
     "kernels plan mapping.toml                      # here\n"
     "kernels plan mapping.toml --torch 2.10 --backend cu130 --capability 9.0 --mode training",
     cmd_plan},
    {"benchmark", "[KERNEL]", 0, 1, CLI_FILE, "run a kernel's benchmarks",
     "Runs the files benchmarks/benchmark*.py of a kernel: a repository of the Hub (org/name,\n"
     "org/name@v1), a directory, or a kernel that ships with the package (builtin/name); with\n"
     "--builtin those of all that ship with it.\n"
     "First all results are compared with their references; then the kernel, its reference and a\n"
     "copy of as many bytes are timed in turns.\n\n"
     "This command alone runs the kernel's code, in Python. The exit status is 1 where a result\n"
     "is wrong; then nothing is timed.",
     benchmark_options,
     "kernels benchmark --builtin                               # what ships with the package\n"
     "kernels benchmark kernels-community/activation --version 1\n"
     "kernels benchmark ./my-kernel --plot times.svg            # a directory\n"
     "kernels benchmark ./my-kernel --json --python ~/venv",
     cmd_benchmark},
    {"cache list", "[REPO...]", 0, CLI_OPERANDS_MAX, CLI_WORD, "list what is in the cache",
     "Lists the repositories in the cache and their revisions: commit, branches and tags, size, and\n"
     "the builds that there are files of.",
     list_options,
     "kernels cache list\n"
     "kernels cache list kernels-community/relu --json",
     cmd_cache_list},
    {"cache size", "[REPO...]", 0, CLI_OPERANDS_MAX, CLI_WORD, "tell how large the cache is",
     "Tells how many bytes the kernels in the cache take.", list_options, "kernels cache size",
     cmd_cache_size},
    {"cache prune", "[REPO...]", 0, CLI_OPERANDS_MAX, CLI_WORD,
     "take away what nothing names any more",
     "Takes away revisions that no branch, tag or version in the cache names (also those that were\n"
     "fetched by commit), content that no revision has, and downloads that were not finished. What\n"
     "was written within the last hour stays, and so does what another process is at work on.",
     prune_options,
     "kernels cache prune --dry-run  # what would go\n"
     "kernels cache prune",
     cmd_cache_prune},
    {"cache verify", "[REPO...]", 0, CLI_OPERANDS_MAX, CLI_WORD, "check that the cache is whole",
     "Hashes all content of the kernels in the cache and compares it with the ids that the Hub gave.\n\n"
     "The exit status is 5 where something is damaged or missing.",
     verify_options,
     "kernels cache verify\n"
     "kernels cache verify kernels-community/relu --remove",
     cmd_cache_verify},
    {"doctor", "", 0, 0, CLI_WORD, "tell what this machine is and what is wrong with it",
     "Tells which environment this is, which sources kernels come from, whose are trusted, and which\n"
     "of those in the cache would load offline; and every problem, with what to do about it. Makes no\n"
     "request.\n\nThe exit status is 1 where there are problems.",
     doctor_options,
     "kernels doctor\n"
     "kernels doctor --python ~/venv --json",
     cmd_doctor},
    {"serve", "DIR", 1, 1, CLI_FILE, "serve a folder of kernels as a read-only Hub",
     "Serves a folder to clients that have its address in HF_ENDPOINT, until it is interrupted: a\n"
     "cache, with what this package or huggingface_hub has fetched into it, or repositories in the\n"
     "plain form that docs/serve.md describes. Nothing is written into it, and no path leads out of\n"
     "it. The address is printed on standard output, a line for each request on standard error.\n\n"
     "Clients ask a Hub whose publishers are trusted. This one calls nobody trusted but those that\n"
     "are given with --trust.\n\n"
     "At SIGINT or SIGTERM it takes no more requests, and answers under way have ten seconds to\n"
     "end; a second signal ends it at once.",
     serve_options,
     "kernels serve ~/.cache/huggingface/hub --trust kernels-community\n"
     "kernels serve /srv/hub --host 0.0.0.0 --token-file tokens --tls-cert hub.pem --tls-key hub.key\n"
     "HF_ENDPOINT=http://127.0.0.1:8017 kernels get kernels-community/relu --version 1",
     cmd_serve},
    {"completion", "SHELL", 1, 1, CLI_SHELL, "print completion for bash, zsh or fish",
     "Prints a script that completes commands and options.", no_options,
     "eval \"$(kernels completion bash)\"     # in ~/.bashrc\n"
     "eval \"$(kernels completion zsh)\"      # in ~/.zshrc, after compinit\n"
     "kernels completion fish | source      # in ~/.config/fish/config.fish",
     cmd_completion},
    {"manual", "", 0, 0, CLI_WORD, "print the manual page",
     "Prints the manual page in roff. The Python package installs it: `man kernels`.", no_options,
     "kernels manual | man -l -", cmd_manual},
};
const size_t cli_command_count = sizeof cli_commands / sizeof *cli_commands;

const cli_absent cli_absent_names[] = {
    {"benchmark --visual", "--plot FILE.svg draws the times"},
    {"benchmark --rasterized", "--plot FILE.png draws the times"},
};
const size_t cli_absent_count = sizeof cli_absent_names / sizeof *cli_absent_names;
