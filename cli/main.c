/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli.h"

/* https://no-color.org */
static bool has_colour(int file) {
    const char *off = getenv("NO_COLOR"), *terminal = getenv("TERM");
    return !(off && *off) && terminal && strcmp(terminal, "dumb") != 0 && isatty(file);
}

static bool is_help(const char *word) {
    return strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0;
}

static bool asks_for_help(int count, char **words) {
    for (int i = 0; i < count && strcmp(words[i], "--") != 0; i++) {
        if (is_help(words[i])) return true;
    }
    return false;
}

/* A name that is none of the commands': upstream's, the first word of several, or a mistake. */
static int refuse_name(cli *c, const char *name) {
    if (cli_refuse_absent(c, name)) return CLI_USAGE;
    if (name[0] == '-') {
        cli_error(c, "'%s' has no command before it: options follow the command", name);
        return CLI_USAGE;
    }
    size_t length = strlen(name);
    bool is_group = false;
    for (size_t i = 0; i < cli_command_count; i++) {
        const char *other = cli_commands[i].name;
        if (strncmp(other, name, length) != 0 || other[length] != ' ') continue;
        if (!is_group) cli_error(c, "'%s' needs one more word, one of:", name);
        is_group = true;
        fprintf(stderr, "  kernels %-14s %s\n", other, cli_commands[i].summary);
    }
    if (!is_group)
        cli_error(c, "there is no command '%s': `kernels --help` lists the commands", name);
    return CLI_USAGE;
}

static int run(cli *c, int count, char **words) {
    int used;
    bool is_help_of = count > 1 && strcmp(words[0], "help") == 0; /* `kernels help get` */
    words += is_help_of;
    count -= is_help_of;
    c->command = cli_find(count, words, &used);
    if (!c->command) return refuse_name(c, words[0]);
    if (is_help_of || asks_for_help(count - used, words + used)) {
        cli_print_command_help(stdout, c->colour_out, c->command);
        return CLI_OK;
    }
    int status = cli_parse(c, count - used, words + used);
    return status ? status : c->command->run(c);
}

int main(int argc, char **argv) {
    static cli c;
    c.colour_out = has_colour(STDOUT_FILENO);
    c.colour_err = has_colour(STDERR_FILENO);
    int status = CLI_OK;
    if (argc < 2) {
        cli_print_help(stderr, c.colour_err);
        return CLI_USAGE;
    }
    if (is_help(argv[1]) || (strcmp(argv[1], "help") == 0 && argc == 2)) {
        cli_print_help(stdout, c.colour_out);
    } else if (strcmp(argv[1], "--version") == 0) {
        printf("kernels %s\n", kn_version());
    } else {
        cli_catch_signals();
        status = run(&c, argc - 1, argv + 1);
        cli_clear_bar(&c);
        cli_close(&c);
    }
    if (fflush(stdout) || ferror(stdout)) {
        cli_error(&c, "what was to be printed could not be written: is the disk full?");
        if (!status) status = CLI_FAILED;
    }
    return status;
}
