/* SPDX-License-Identifier: Apache-2.0 */
/* Completion for three shells, from the table of commands. */
#include <string.h>

#include "cli.h"

static void print_names(void) {
    for (size_t i = 0; i < cli_command_count; i++) {
        const char *name = cli_commands[i].name, *space = strchr(name, ' ');
        bool is_first = !space || i == 0 ||
                        strncmp(cli_commands[i - 1].name, name, (size_t)(space - name) + 1) != 0;
        if (is_first)
            printf("%s%.*s", i ? " " : "", space ? (int)(space - name) : (int)strlen(name), name);
    }
}

static void print_seconds(const char *group, size_t length) {
    bool any = false;
    for (size_t i = 0; i < cli_command_count; i++) {
        const char *name = cli_commands[i].name;
        if (strncmp(name, group, length) != 0 || name[length] != ' ') continue;
        printf("%s%s", any ? " " : "", name + length + 1);
        any = true;
    }
}

static void print_options(const cli_command *command) {
    for (const cli_option *o = command->options; o && o->name; o++) printf("%s ", o->name);
    printf("--help");
}

/* ---- bash ---- */

static void bash_groups(void) {
    for (size_t i = 0; i < cli_command_count; i++) {
        const char *name = cli_commands[i].name, *space = strchr(name, ' ');
        size_t length = space ? (size_t)(space - name) : 0;
        if (!space || (i && strncmp(cli_commands[i - 1].name, name, length + 1) == 0)) continue;
        printf("        %.*s) words=\"", (int)length, name);
        print_seconds(name, length);
        printf("\" ;;\n");
    }
}

static void bash_values(void) {
    for (size_t i = 0; i < cli_command_count; i++) {
        for (const cli_option *o = cli_commands[i].options; o && o->name; o++) {
            if (o->choices)
                printf(
                    "        '%s %s') COMPREPLY=($(compgen -W \"%s\" -- \"$word\")); return ;;\n",
                    cli_commands[i].name, o->name, o->choices);
        }
    }
}

static void bash_command(const cli_command *command) {
    printf("        '%s')\n            options=\"", command->name);
    print_options(command);
    printf("\"\n");
    if (command->operand == CLI_SHELL) printf("            words=\"bash zsh fish\"\n");
    if (command->operand == CLI_FILE) printf("            files=1\n");
    printf("            ;;\n");
}

static void print_bash(void) {
    printf("# bash completion for kernels: eval \"$(kernels completion bash)\"\n"
           "_kernels() {\n"
           "    local word=\"${COMP_WORDS[COMP_CWORD]}\" previous=\"${COMP_WORDS[COMP_CWORD-1]}\"\n"
           "    local name=\"${COMP_WORDS[1]}\" words=\"\" options=\"\" files=\"\"\n"
           "    COMPREPLY=()\n"
           "    if [ \"$COMP_CWORD\" -eq 1 ]; then\n"
           "        COMPREPLY=($(compgen -W \"");
    print_names();
    printf(" --help --version\" -- \"$word\"))\n        return\n    fi\n"
           "    case \"$name\" in\n");
    bash_groups();
    printf("    esac\n"
           "    if [ -n \"$words\" ]; then\n"
           "        if [ \"$COMP_CWORD\" -eq 2 ]; then\n"
           "            COMPREPLY=($(compgen -W \"$words\" -- \"$word\"))\n            return\n"
           "        fi\n"
           "        name=\"$name ${COMP_WORDS[2]}\" words=\"\"\n"
           "    fi\n"
           "    case \"$name $previous\" in\n");
    bash_values();
    printf("    esac\n    case \"$name\" in\n");
    for (size_t i = 0; i < cli_command_count; i++) bash_command(&cli_commands[i]);
    printf("    esac\n"
           "    case \"$word\" in\n"
           "        -*) COMPREPLY=($(compgen -W \"$options\" -- \"$word\")) ;;\n"
           "        *) COMPREPLY=($(compgen -W \"$words\" ${files:+-d} -- \"$word\")) ;;\n"
           "    esac\n}\n"
           "complete -o default -F _kernels kernels\n");
}

/* ---- zsh and fish: the descriptions go with the words ---- */

/* `text` inside single quotes; `colon`: with ':' and brackets escaped, as _arguments wants. */
static void print_quoted(const char *text, bool colon) {
    for (; *text; text++) {
        if (*text == '\'')
            printf("'\\''");
        else if (colon && strchr(":[]", *text))
            printf("\\%c", *text);
        else
            putchar(*text);
    }
}

static void zsh_command(const cli_command *command) {
    printf("        '%s')\n            _arguments '--help[Print this.]'", command->name);
    for (const cli_option *o = command->options; o && o->name; o++) {
        printf(" \\\n                '%s[", o->name);
        print_quoted(o->help, true);
        printf("]");
        if (o->value) printf(cli_is_optional(o) ? "::" : ":");
        if (o->value) print_quoted(o->value, true);
        if (o->value) printf(":");
        if (o->choices) printf("(%s)", o->choices);
        printf("'");
    }
    if (command->operand == CLI_SHELL) printf(" \\\n                '*:shell:(bash zsh fish)'");
    if (command->operand == CLI_FILE) printf(" \\\n                '*:kernel:_files -/'");
    printf("\n            ;;\n");
}

static void zsh_names(void) {
    for (size_t i = 0; i < cli_command_count; i++) {
        const char *name = cli_commands[i].name, *space = strchr(name, ' ');
        size_t length = space ? (size_t)(space - name) : strlen(name);
        if (space && i && strncmp(cli_commands[i - 1].name, name, length + 1) == 0) continue;
        printf("            '%.*s:", (int)length, name);
        if (space)
            print_seconds(name, length);
        else
            print_quoted(cli_commands[i].summary, false);
        printf("'\n");
    }
}

static void zsh_groups(void) {
    for (size_t i = 0; i < cli_command_count; i++) {
        const char *name = cli_commands[i].name, *space = strchr(name, ' ');
        size_t length = space ? (size_t)(space - name) : 0;
        if (!space || (i && strncmp(cli_commands[i - 1].name, name, length + 1) == 0)) continue;
        printf("        %.*s)\n"
               "            if (( CURRENT == 3 )); then compadd ",
               (int)length, name);
        print_seconds(name, length);
        printf("; return; fi\n            name=\"$name $words[3]\"; shift words; (( CURRENT-- ))\n"
               "            ;;\n");
    }
}

static void print_zsh(void) {
    printf("#compdef kernels\n"
           "# zsh completion for kernels: eval \"$(kernels completion zsh)\", after compinit\n"
           "_kernels() {\n"
           "    local name=\"$words[2]\"\n"
           "    if (( CURRENT == 2 )); then\n"
           "        local -a commands\n        commands=(\n");
    zsh_names();
    printf("        )\n        _describe 'command' commands\n        return\n    fi\n"
           "    case \"$name\" in\n");
    zsh_groups();
    printf("    esac\n    shift words; (( CURRENT-- ))\n    case \"$name\" in\n");
    for (size_t i = 0; i < cli_command_count; i++) zsh_command(&cli_commands[i]);
    printf("    esac\n}\ncompdef _kernels kernels\n");
}

static void fish_condition(const char *name) {
    const char *space = strchr(name, ' ');
    if (space)
        printf("complete -c kernels -n '__fish_seen_subcommand_from %.*s; and "
               "__fish_seen_subcommand_from %s'",
               (int)(space - name), name, space + 1);
    else
        printf("complete -c kernels -n '__fish_seen_subcommand_from %s'", name);
}

static void fish_command(const cli_command *command) {
    const char *name = command->name, *space = strchr(name, ' ');
    if (space)
        printf("complete -c kernels -f -n '__fish_seen_subcommand_from %.*s' -a '%s' -d '",
               (int)(space - name), name, space + 1);
    else
        printf("complete -c kernels -f -n '__fish_use_subcommand' -a '%s' -d '", name);
    print_quoted(command->summary, false);
    printf("'\n");
    for (const cli_option *o = command->options; o && o->name; o++) {
        fish_condition(name);
        printf(" -l %s", o->name + 2);
        if (o->value && !cli_is_optional(o)) printf(" -x");
        if (o->choices) printf(" -a '%s'", o->choices);
        printf(" -d '");
        print_quoted(o->help, false);
        printf("'\n");
    }
    if (command->operand == CLI_SHELL) {
        fish_condition(name);
        printf(" -f -a 'bash zsh fish'\n");
    }
}

static void print_fish(void) {
    printf("# fish completion for kernels: kernels completion fish | source\n");
    for (size_t i = 0; i < cli_command_count; i++) {
        const char *name = cli_commands[i].name, *space = strchr(name, ' ');
        size_t length = space ? (size_t)(space - name) : 0;
        if (space && !(i && strncmp(cli_commands[i - 1].name, name, length + 1) == 0)) {
            printf("complete -c kernels -f -n '__fish_use_subcommand' -a '%.*s' -d '", (int)length,
                   name);
            print_seconds(name, length);
            printf("'\n");
        }
        fish_command(&cli_commands[i]);
    }
}

int cmd_completion(cli *c) {
    const char *shell = c->operands[0];
    if (strcmp(shell, "bash") == 0) {
        print_bash();
    } else if (strcmp(shell, "zsh") == 0) {
        print_zsh();
    } else if (strcmp(shell, "fish") == 0) {
        print_fish();
    } else {
        cli_error(c, "there is no completion for '%s': expected bash, zsh or fish", shell);
        return CLI_USAGE;
    }
    return CLI_OK;
}
