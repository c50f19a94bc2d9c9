/* SPDX-License-Identifier: Apache-2.0 */
/* The command `kernels`: what its commands share. A program of one thread on the public API. */
#ifndef CLI_H
#define CLI_H

#include <kernels/kernels.h>
#include <stdio.h>

#define CLI_OPTIONS_MAX 16
#define CLI_OPERANDS_MAX 64
#define CLI_GIVEN_MAX 64 /* options on one command line */
#define CLI_NAME_MAX 32  /* of a command, both words */

/* How the program ends. They are documented in docs/cli.md and never change their meaning. */
enum {
    CLI_OK = 0,
    CLI_FAILED = 1,    /* what was asked for is not there, or cannot be done */
    CLI_USAGE = 2,     /* the command line makes no sense, or asks for what there is not (yet) */
    CLI_NETWORK = 3,   /* the Hub could not be reached, or did not answer as one */
    CLI_REFUSED = 4,   /* the publisher is not trusted, or access was not granted */
    CLI_DAMAGED = 5,   /* content is not what it should be */
    CLI_STOPPED = 130, /* interrupted */
};

typedef struct cli cli;

/* An option: of a command's table, ended by one without a name. */
typedef struct cli_option {
    const char *name;  /* "--revision" */
    const char *value; /* "REVISION"; "[REPO]": it may be left out, and is a repository else; NULL:
                          it takes none */
    const char *help;  /* one sentence */
    const char *choices; /* "a b c": what completion offers; NULL: anything */
} cli_option;

/* What an operand is, for completion. */
typedef enum cli_operand { CLI_WORD, CLI_FILE, CLI_SHELL } cli_operand;

typedef struct cli_command {
    const char *name;     /* "info"; "cache list" */
    const char *operands; /* as the usage shows them: "KERNEL", "[REPO...]"; "" for none */
    int min_operands, max_operands;
    cli_operand operand;
    const char *summary;     /* a line without a full stop */
    const char *description; /* paragraphs, with an empty line between */
    const cli_option *options;
    const char *examples; /* lines "command  # what it does" */
    int (*run)(cli *c);
} cli_command;

/* A name that upstream's program has and this one does not: of a command, or of an option behind
 * its command's. */
typedef struct cli_absent {
    const char *name;
    const char *instead; /* a sentence; NULL: nothing */
} cli_absent;

/* command_table.c: the one table. */
extern const cli_command cli_commands[];
extern const size_t cli_command_count;
extern const cli_absent cli_absent_names[];
extern const size_t cli_absent_count;

/* One run of the program. */
struct cli {
    const cli_command *command;
    const char *values[CLI_OPTIONS_MAX]; /* by place in the command's table; NULL: not given */
    struct {
        int option;
        const char *value;
    } given[CLI_GIVEN_MAX]; /* all of them, in their order */
    int given_count;
    const char *operands[CLI_OPERANDS_MAX];
    int operand_count;
    bool colour_out, colour_err;

    /* cli_session.c: once it is asked for */
    kn_environment *environment;
    kn_environment_info about; /* of the environment; zero without one */
    kn_system system;          /* what kernels have to fit; a command may change it. Its backend is
                                  NULL until cli_machine where there is no environment */
    kn_engine *native;         /* has that text */
    kn_error no_environment;   /* why there is none */
    kn_engine *engine;
    kn_host host;
    char builtin_folder[4096], net_library[4096], site_config[4096];
    int64_t told_ms;     /* when progress was last shown */
    bool bar_is_shown;   /* on the terminal's last line */
    bool quiet;          /* no progress */
    bool holds_warnings; /* the library's are not shown */
};

/* ---- parse.c ---- */

/* Reads the words behind the command's name; CLI_OK, or CLI_USAGE after a message. */
int cli_parse(cli *c, int count, char **words);
/* Whether the value of an option may be left out. */
bool cli_is_optional(const cli_option *option);
/* The value of an option ("" for one that takes none, or where it was left out); NULL: not given.
 */
const char *cli_value(const cli *c, const char *name);
/* The value of an option that may be given several times, from 0 on; NULL: no more. */
const char *cli_value_at(const cli *c, const char *name, size_t number);
/* The command whose name `words` begin with; *used is how many of them it is. NULL: none. */
const cli_command *cli_find(int count, char *const *words, int *used);
/* Whether upstream alone has a command or option of that name ("lock", "benchmark --visual"), which
 * is told then. */
bool cli_refuse_absent(cli *c, const char *name);

/* ---- help.c ---- */

void cli_print_help(FILE *out, bool colour);
void cli_print_command_help(FILE *out, bool colour, const cli_command *command);
void cli_print_usage(FILE *out, const cli_command *command);

/* ---- messages.c: on standard error ---- */

void cli_error(cli *c, const char *format, ...) KN_PRINTF(2, 3);
void cli_warning(cli *c, const char *format, ...) KN_PRINTF(2, 3);
/* Tells of a failure of the library, and the exit status for it. */
int cli_fail(cli *c, const kn_error *err);
/* That status alone. */
int cli_status_of(kn_status status);
/* Progress of a long piece of work: a bar on a terminal, a line now and then elsewhere. */
void cli_progress(cli *c, int64_t done, int64_t total);
void cli_clear_bar(cli *c);
/* "1.2 MB", in a static buffer of several. */
const char *cli_bytes(int64_t bytes);

#define CLI_BOLD "\033[1m"
#define CLI_RED "\033[31m"
#define CLI_GREEN "\033[32m"
#define CLI_YELLOW "\033[33m"
#define CLI_PLAIN "\033[0m"
/* `code` where there is colour, else "". */
static inline const char *cli_paint(bool colour, const char *code) { return colour ? code : ""; }

/* ---- json_writer.c: laid out as Python's json.dumps(value, indent=2) does, ASCII alone ---- */

typedef struct cli_json {
    FILE *out;
    int depth;
    bool has_item[16]; /* by depth */
    bool after_key;
} cli_json;

void cli_json_open(cli_json *json, char bracket); /* '{' or '[' */
void cli_json_close(cli_json *json, char bracket);
void cli_json_key(cli_json *json, const char *key);
void cli_json_text(cli_json *json, const char *text); /* NULL: null */
void cli_json_integer(cli_json *json, int64_t value);
void cli_json_boolean(cli_json *json, bool value);
/* A member of an object. */
void cli_json_text_of(cli_json *json, const char *key, const char *text);
void cli_json_integer_of(cli_json *json, const char *key, int64_t value);
void cli_json_boolean_of(cli_json *json, const char *key, bool value);
void cli_json_end(cli_json *json); /* the line's end behind the document */

/* ---- cli_session.c ---- */

/* The environment that --python names, or the program's own. With `needed` its absence is an error;
 * else `c->system` is this machine without torch. CLI_OK, or a status after a message. */
int cli_environment(cli *c, bool needed);
/* Finds out what `system` leaves open. */
int cli_machine(cli *c);
/* The engine, after the environment. */
int cli_engine(cli *c);
void cli_close(cli *c);
/* What an operand names: a directory, or a repository at --revision or --version. */
kn_repo_info cli_repo(const cli *c, const char *operand);
/* "torch 2.13.0+cpu, cpu, x86_64-linux, Python 3.11 (/home/me/.venv)" on one line. */
void cli_describe_environment(const cli *c, FILE *out);
void cli_json_environment(const cli *c, cli_json *json);
/* Whether the user pressed Ctrl-C. */
bool cli_is_stopped(void);
void cli_catch_signals(void);

/* ---- target.c: the options of a machine that is somewhere else ---- */

/* Whether some are given: then no environment is needed. */
bool cli_is_elsewhere(const cli *c);
/* Puts what they say in the place of what this machine has; CLI_OK, or CLI_USAGE after a
 * message. */
int cli_target(cli *c, kn_gpu *gpu);
/* Whether the build `best` has code for that GPU, as far as both are known; `archs` is what it has
 * code for. */
bool cli_supports_gpu(const kn_about_info *about, const kn_variant *best, const kn_gpu *gpu,
                      char *archs, size_t size);

/* ---- this_machine.c ---- */

/* The capability of the first GPU, where the environment's torch was built for CUDA. */
int64_t cli_own_capability(const cli *c);
/* Whether the build `best` of a kernel can be loaded here, as far as it lies on this machine and
 * that is certain; else *why. */
bool cli_can_be_loaded(const cli *c, const kn_repo_info *kernel, const kn_variant *best,
                       const kn_gpu *gpu, kn_error *why);

/* ---- trace.c: builds and why they do not fit, in upstream's words ---- */

void cli_print_variants(const kn_variants *variants, bool colour);
void cli_json_variants(cli_json *json, const kn_variants *variants);

/* ---- builds.c: what the shared objects of builds need, of those that are on this machine ---- */

void cli_print_builds(const cli *c, const kn_about_info *about);
void cli_json_builds(const cli *c, cli_json *json, const kn_about_info *about);

/* ---- python_program.c ---- */

#define CLI_PYTHON_WORDS_MAX (2 * CLI_OPTIONS_MAX + 8)

/* The environment has the package, and torch where it is needed; `purpose` ends the sentence
 * "there is no torch in ..., which". CLI_OK, or a status after a message. */
int cli_check_python(cli *c, bool needs_torch, const char *purpose);
/* Ends as the environment's interpreter, which runs `main` of a module of the package with these
 * words; returns a status after a message where there is none. */
int cli_run_python(cli *c, const char *module, const char *const *words, size_t count);

/* ---- lock_text.c ---- */

/* Reads a lock file: its text, valid until the next call, and what it says. CLI_OK, or a status
 * after a message. */
int cli_read_lock(cli *c, const char *path, const char **text, kn_lockfile **lock);

/* ---- machine_keys.c ---- */

/* What a machine is described by: "torch", "backend", ..., NULL. `resolve` has an option for each.
 */
extern const char *const cli_machine_keys[];
/* Sets what a key says; `value` is borrowed. NULL, or what was expected. */
const char *cli_machine_set(kn_system *system, int64_t *capability, const char *key,
                            const char *value);

/* ---- commands/: one file each ---- */

int cmd_versions(cli *c);
int cmd_info(cli *c);
int cmd_check(cli *c);
int cmd_get(cli *c);
int cmd_lock(cli *c);
int cmd_download(cli *c);
int cmd_bundle(cli *c);
int cmd_import(cli *c);
int cmd_resolve(cli *c);
int cmd_verify_signature(cli *c);
int cmd_plan(cli *c);
int cmd_benchmark(cli *c);
int cmd_cache_list(cli *c);
int cmd_cache_size(cli *c);
int cmd_cache_prune(cli *c);
int cmd_cache_verify(cli *c);
int cmd_doctor(cli *c);
int cmd_serve(cli *c);
int cmd_completion(cli *c);
int cmd_manual(cli *c);

#endif
