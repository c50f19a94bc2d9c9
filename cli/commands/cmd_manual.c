/* SPDX-License-Identifier: Apache-2.0 */
/* The manual page, in roff, from the table of commands. */
#include "cli.h"

/* `text` as roff reads it: '\' and '-' escaped, no line that begins with a control character. */
static void print_text(const char *text) {
    bool at_start = true;
    for (; *text; text++) {
        if (at_start && (*text == '.' || *text == '\'')) printf("\\&");
        if (*text == '\\')
            printf("\\e");
        else if (*text == '-')
            printf("\\-");
        else if (*text == '\n' && text[1] == '\n')
            printf("\n.PP");
        else
            putchar(*text);
        at_start = *text == '\n';
    }
}

static void print_options(const cli_command *command) {
    for (const cli_option *o = command->options; o && o->name; o++) {
        printf(".TP\n.B ");
        print_text(o->name);
        if (o->value) printf(" \\fI%s\\fR", o->value);
        printf("\n");
        print_text(o->help);
        printf("\n");
    }
}

static void print_command(const cli_command *command) {
    printf(".SS kernels %s", command->name);
    if (command->options && command->options[0].name) printf(" [OPTIONS]");
    printf(" %s\n", command->operands);
    print_text(command->description);
    printf("\n");
    print_options(command);
    printf(".PP\n.nf\n");
    print_text(command->examples);
    printf("\n.fi\n");
}

int cmd_manual(cli *c) {
    (void)c;
    printf(".TH KERNELS 1 \"\" \"kernels ");
    print_text(kn_version());
    printf("\"\n.SH NAME\nkernels \\- find, fetch and describe compute kernels\n"
           ".SH SYNOPSIS\n.B kernels\n.I COMMAND\n[OPTIONS] ...\n.SH COMMANDS\n");
    for (size_t i = 0; i < cli_command_count; i++) print_command(&cli_commands[i]);
    printf(".SH EXIT STATUS\n"
           ".TP\n0\nDone.\n.TP\n1\nWhat was asked for is not there, or cannot be done.\n"
           ".TP\n2\nThe command line is wrong, or asks for what this version does not have.\n"
           ".TP\n3\nThe Hub could not be reached, or did not answer as one.\n"
           ".TP\n4\nThe publisher is not trusted, or access was not granted.\n"
           ".TP\n5\nContent is not what it should be.\n"
           ".TP\n130\nInterrupted.\n"
           ".SH ENVIRONMENT\nHF_ENDPOINT, HF_TOKEN, HF_HUB_OFFLINE, KERNELS_CACHE and others, as "
           "for the Python package; NO_COLOR.\n");
    return CLI_OK;
}
