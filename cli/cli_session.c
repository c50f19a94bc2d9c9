/* SPDX-License-Identifier: Apache-2.0 */
/* The environment, the engine and its host, which has no model: the engine finds and fetches. */
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "cli.h"

/* ---- signals ---- */

static volatile sig_atomic_t stopped;

/* The first Ctrl-C asks the work to end in order, the second one ends the program. */
static void on_interrupt(int number) {
    stopped = 1;
    signal(number, SIG_DFL);
}

void cli_catch_signals(void) {
    signal(SIGINT, on_interrupt);
    signal(SIGTERM, on_interrupt);
}

bool cli_is_stopped(void) { return stopped != 0; }

/* ---- the host ---- */

static void no_handle(void *handle) { (void)handle; }

/* Without Python the backend is that of every other program of the library's. It is found out where
 * it counts: to ask the driver takes longer than most commands. */
static kn_status find_backend(cli *c, kn_error *err) {
    kn_system own;
    if (c->system.backend) return KN_OK;
    kn_status status = kn_engine_new(NULL, &c->native, err);
    if (!status) status = kn_engine_native_system(c->native, &own, err);
    if (!status) c->system.backend = own.backend;
    return status;
}

static kn_status host_system(void *ctx, kn_system *out, kn_error *err) {
    cli *c = ctx;
    kn_status status = find_backend(c, err);
    *out = c->system;
    return status;
}

static void host_log(void *ctx, kn_log_level level, kn_log_topic topic, const char *message) {
    (void)topic;
    const cli *c = ctx;
    if (level >= KN_LOG_WARNING && !c->holds_warnings) cli_warning(ctx, "%s", message);
}

static void host_progress(void *ctx, int64_t done, int64_t total) {
    cli_progress(ctx, done, total);
}

static bool host_cancelled(void *ctx) {
    (void)ctx;
    return cli_is_stopped();
}

/* ---- the environment ---- */

static void without_environment(cli *c) {
    static struct utsname about;
    uname(&about);
    c->system = (kn_system){.size = sizeof c->system,
                            .torch_major = -1,
                            .torch_minor = -1,
                            .torch_cxx11_abi = -1,
                            .tvm_ffi_major = 0, /* what kernels without libtvm_ffi are built for */
                            .tvm_ffi_minor = 1,
                            .arch = about.machine,
                            .os = "linux"};
}

int cli_environment(cli *c, bool needed) {
    const char *python = cli_value(c, "--python");
    kn_error_init(&c->no_environment);
    kn_status status = python
                           ? kn_environment_read(NULL, python, &c->environment, &c->no_environment)
                           : kn_environment_read_own(NULL, &c->environment, &c->no_environment);
    c->about.size = sizeof c->about;
    if (!status) {
        kn_environment_get(c->environment, &c->about);
        c->system = c->about.system;
        return CLI_OK;
    }
    without_environment(c);
    return needed || python ? cli_fail(c, &c->no_environment) : CLI_OK;
}

int cli_machine(cli *c) {
    kn_error err;
    kn_error_init(&err);
    return find_backend(c, &err) ? cli_fail(c, &err) : CLI_OK;
}

static void print_system(const kn_system *system, const char *torch, const char *tvm_ffi,
                         FILE *out) {
    if (torch)
        fprintf(out, "torch %s", torch);
    else if (system->torch_major >= 0)
        fprintf(out, "torch %d.%d", system->torch_major, system->torch_minor);
    else
        fprintf(out, "no torch");
    if (tvm_ffi)
        fprintf(out, ", tvm-ffi %s", tvm_ffi);
    else if (system->tvm_ffi_major >= 0)
        fprintf(out, ", tvm-ffi %d.%d", system->tvm_ffi_major, system->tvm_ffi_minor);
    fprintf(out, ", %s, %s-%s", system->backend, system->arch, system->os);
}

void cli_describe_environment(const cli *c, FILE *out) {
    bool is_own = c->system.torch_major == c->about.system.torch_major &&
                  c->system.torch_minor == c->about.system.torch_minor;
    bool own_tvm_ffi = c->system.tvm_ffi_major == c->about.system.tvm_ffi_major &&
                       c->system.tvm_ffi_minor == c->about.system.tvm_ffi_minor;
    print_system(&c->system, is_own ? c->about.torch : NULL, own_tvm_ffi ? c->about.tvm_ffi : NULL,
                 out);
    if (c->about.prefix)
        fprintf(out, " (Python %s in %s)", c->about.python ? c->about.python : "?",
                c->about.prefix);
}

void cli_json_environment(const cli *c, cli_json *json) {
    char torch[32], tvm_ffi[32];
    const kn_system *s = &c->system;
    snprintf(torch, sizeof torch, "%d.%d", s->torch_major, s->torch_minor);
    snprintf(tvm_ffi, sizeof tvm_ffi, "%d.%d", s->tvm_ffi_major, s->tvm_ffi_minor);
    cli_json_open(json, '{');
    cli_json_text_of(json, "prefix", c->about.prefix);
    cli_json_text_of(json, "python", c->about.python);
    cli_json_text_of(json, "torch", s->torch_major < 0 ? NULL : torch);
    cli_json_key(json, "cxx11_abi");
    if (s->torch_cxx11_abi < 0)
        cli_json_text(json, NULL);
    else
        cli_json_boolean(json, s->torch_cxx11_abi);
    cli_json_text_of(json, "tvm_ffi", s->tvm_ffi_major < 0 ? NULL : tvm_ffi);
    cli_json_text_of(json, "backend", s->backend);
    cli_json_text_of(json, "arch", s->arch);
    cli_json_text_of(json, "os", s->os);
    cli_json_close(json, '}');
}

/* ---- the engine ---- */

/* Where the package lies: first-party kernels and the network module. */
static void find_package(cli *c) {
    if (!c->about.kernels) return;
    snprintf(c->builtin_folder, sizeof c->builtin_folder, "%s/builtin", c->about.kernels);
    snprintf(c->net_library, sizeof c->net_library, "%s/libkernels_net.so", c->about.kernels);
    if (access(c->builtin_folder, F_OK)) c->builtin_folder[0] = '\0';
    if (access(c->net_library, F_OK)) c->net_library[0] = '\0';
}

/* The package of the program's own prefix, whichever environment is described. */
static void find_own_package(cli *c) {
    kn_environment *own;
    kn_environment_info about = {.size = sizeof about};
    if (!cli_value(c, "--python") || kn_environment_read_own(NULL, &own, NULL)) {
        find_package(c);
        return;
    }
    kn_environment_info described = c->about;
    kn_environment_get(own, &about);
    c->about = about;
    find_package(c);
    c->about = described;
    kn_environment_free(own);
}

int cli_engine(cli *c) {
    const char *no_bars = getenv("HF_HUB_DISABLE_PROGRESS_BARS");
    c->quiet = no_bars && *no_bars && strcmp(no_bars, "0") != 0;
    find_own_package(c);
    if (c->about.prefix)
        snprintf(c->site_config, sizeof c->site_config, "%s/etc/kernels/kernels.toml",
                 c->about.prefix);
    kn_engine_options options = {
        .size = sizeof options,
        .builtin_folder = c->builtin_folder[0] ? c->builtin_folder : NULL,
        .net_library = c->net_library[0] ? c->net_library : NULL,
        .site_config = c->site_config[0] ? c->site_config : NULL,
    };
    c->host = (kn_host){
        .size = sizeof c->host,
        .ctx = c,
        .retain = no_handle,
        .release = no_handle,
        .system = host_system,
        .log = host_log,
        .progress = host_progress,
        .cancelled = host_cancelled,
    };
    kn_error err;
    kn_error_init(&err);
    kn_status status = kn_engine_new(&options, &c->engine, &err);
    return status ? cli_fail(c, &err) : CLI_OK;
}

void cli_close(cli *c) {
    kn_engine_free(c->engine, &c->host);
    kn_engine_free(c->native, NULL);
    kn_environment_free(c->environment);
    c->engine = c->native = NULL;
    c->environment = NULL;
}

kn_repo_info cli_repo(const cli *c, const char *operand) {
    struct stat about;
    bool is_folder = strncmp(operand, "builtin/", 8) != 0 && stat(operand, &about) == 0 &&
                     S_ISDIR(about.st_mode); /* as upstream has it; builtin/ ships with us */
    return (kn_repo_info){
        .size = sizeof(kn_repo_info),
        .kind = is_folder ? KN_REPO_LOCAL : KN_REPO_HUB,
        .id = operand,
        .revision = is_folder ? NULL : cli_value(c, "--revision"),
        .version = is_folder ? NULL : cli_value(c, "--version"),
        .allowed = cli_value(c, "--trust") ? "*" : NULL,
        .refresh = cli_value(c, "--refresh") != NULL,
    };
}
