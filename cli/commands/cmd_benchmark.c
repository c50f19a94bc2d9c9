/* SPDX-License-Identifier: Apache-2.0 */
/* It runs in Python: its place is taken by the environment's interpreter. */
#include <string.h>

#include "cli.h"

/* The words for Python: the options but --python, then the operand. */
static size_t make_words(const cli *c, const char **words) {
    size_t count = 0;
    for (int i = 0; c->command->options[i].name; i++) {
        const cli_option *option = &c->command->options[i];
        if (!c->values[i] || strcmp(option->name, "--python") == 0) continue;
        words[count++] = option->name;
        if (option->value) words[count++] = c->values[i];
    }
    words[count++] = "--";
    if (c->operand_count) words[count++] = c->operands[0];
    return count;
}

int cmd_benchmark(cli *c) {
    if ((c->operand_count == 1) == (cli_value(c, "--builtin") != NULL)) {
        cli_error(c, "name either a kernel or --builtin");
        cli_print_usage(stderr, c->command);
        return CLI_USAGE;
    }
    int status = cli_check_python(c, true, "benchmarks need");
    if (status) return status;
    const char *words[CLI_PYTHON_WORDS_MAX];
    return cli_run_python(c, "_benchmark_command", words, make_words(c, words));
}
