/* SPDX-License-Identifier: Apache-2.0 */
/* The one command that runs Python: its place is taken by the environment's interpreter. */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "cli.h"

#define WORDS_MAX (2 * CLI_OPTIONS_MAX + 8)

/* Not `-m`: that would look for modules in the working directory first. */
static const char program[] =
    "import sys; sys.path[:] = [each for each in sys.path if each]; "
    "from kernels._benchmark_command import main; sys.exit(main(sys.argv[1:]))";

/* The environment has what benchmarks need; CLI_OK, or a status after a message. */
static int check_environment(cli *c) {
    int status = cli_environment(c, true);
    if (status) return status;
    const char *package = !c->about.torch ? "torch" : !c->about.kernels ? "kernels" : NULL;
    if (!package) return CLI_OK;
    cli_error(c,
              "there is no %s in the Python environment '%s', which benchmarks need: install it "
              "there, or name another environment with --python",
              package, c->about.prefix);
    return CLI_FAILED;
}

/* The words for Python: the options but --python, then the operand. The first is left free. */
static void make_words(const cli *c, const char **words) {
    size_t count = 1;
    words[count++] = "-c";
    words[count++] = program;
    for (int i = 0; c->command->options[i].name; i++) {
        const cli_option *option = &c->command->options[i];
        if (!c->values[i] || strcmp(option->name, "--python") == 0) continue;
        words[count++] = option->name;
        if (option->value) words[count++] = c->values[i];
    }
    words[count++] = "--";
    if (c->operand_count) words[count++] = c->operands[0];
    words[count] = NULL;
}

/* Becomes the interpreter of the version whose packages were read, or what is there of its kind;
 * returns where there is none. */
static int become_python(cli *c, const char **words) {
    const char *versions[] = {c->about.python ? c->about.python : "3", "3", ""};
    char python[4096];
    for (size_t i = 0; i < sizeof versions / sizeof *versions; i++) {
        snprintf(python, sizeof python, "%s/bin/python%s", c->about.prefix, versions[i]);
        words[0] = python;
        execv(python, (char *const *)words);
    }
    cli_error(c, "'%s' could not be run: %s; name another environment with --python", python,
              strerror(errno));
    return CLI_FAILED;
}

int cmd_benchmark(cli *c) {
    if ((c->operand_count == 1) == (cli_value(c, "--builtin") != NULL)) {
        cli_error(c, "name either a kernel or --builtin");
        cli_print_usage(stderr, c->command);
        return CLI_USAGE;
    }
    int status = check_environment(c);
    if (status) return status;
    const char *words[WORDS_MAX];
    make_words(c, words);
    return become_python(c, words);
}
