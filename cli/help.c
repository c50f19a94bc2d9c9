/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "cli.h"

void cli_print_usage(FILE *out, const cli_command *command) {
    fprintf(out, "usage: kernels %s%s%s%s\n", command->name,
            command->options && command->options[0].name ? " [OPTIONS]" : "",
            command->operands[0] ? " " : "", command->operands);
    if (out == stderr) fprintf(out, "`kernels %s --help` tells more\n", command->name);
}

static void heading(FILE *out, bool colour, const char *text) {
    fprintf(out, "\n%s%s%s\n", cli_paint(colour, CLI_BOLD), text, cli_paint(colour, CLI_PLAIN));
}

static void print_lines(FILE *out, const char *text) {
    while (*text) {
        size_t length = strcspn(text, "\n");
        fprintf(out, "  %.*s\n", (int)length, text);
        text += length;
        if (*text) text++;
    }
}

void cli_print_help(FILE *out, bool colour) {
    fprintf(out, "usage: kernels COMMAND [OPTIONS] ...\n\n"
                 "Finds, fetches and describes compute kernels of the Kernel Hub.\n");
    heading(out, colour, "Commands");
    for (size_t i = 0; i < cli_command_count; i++)
        fprintf(out, "  %-16s %s\n", cli_commands[i].name, cli_commands[i].summary);
    heading(out, colour, "Options");
    fprintf(out, "  --help           tell what there is; after a command: what it does\n"
                 "  --version        print the version\n");
    heading(out, colour, "Examples");
    fprintf(out, "  kernels info kernels-community/relu\n"
                 "  kernels get kernels-community/relu --version 1\n"
                 "  kernels cache list\n");
    fprintf(out,
            "\nExit status: 0 done, 1 not there or not possible, 2 wrong command line, 3 network,\n"
            "4 refused, 5 damaged content, 130 interrupted.\n");
}

void cli_print_command_help(FILE *out, bool colour, const cli_command *command) {
    cli_print_usage(out, command);
    fprintf(out, "\n%s\n", command->description);
    heading(out, colour, "Options");
    for (const cli_option *option = command->options; option && option->name; option++) {
        char name[48];
        snprintf(name, sizeof name, "%s%s%s", option->name, option->value ? " " : "",
                 option->value ? option->value : "");
        fprintf(out, "  %-22s %s\n", name, option->help);
    }
    fprintf(out, "  %-22s %s\n", "--help", "Print this.");
    heading(out, colour, "Examples");
    print_lines(out, command->examples);
}
