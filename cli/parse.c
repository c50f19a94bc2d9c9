/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "cli.h"

const cli_command *cli_find(int count, char *const *words, int *used) {
    *used = 0;
    for (size_t i = 0; i < cli_command_count; i++) {
        const char *name = cli_commands[i].name, *space = strchr(name, ' ');
        size_t first = space ? (size_t)(space - name) : strlen(name);
        if (count < 1 || strncmp(words[0], name, first) != 0 || words[0][first]) continue;
        if (space && (count < 2 || strcmp(words[1], space + 1) != 0)) continue;
        *used = space ? 2 : 1;
        return &cli_commands[i];
    }
    return NULL;
}

bool cli_refuse_absent(cli *c, const char *name) {
    for (size_t i = 0; i < cli_absent_count; i++) {
        if (strcmp(cli_absent_names[i].name, name) != 0) continue;
        const char *instead = cli_absent_names[i].instead;
        cli_error(c, "'%s' is not available in this version%s%s", name, instead ? ": " : "",
                  instead ? instead : "");
        return true;
    }
    return false;
}

static int option_count(const cli_command *command) {
    int count = 0;
    while (command->options && command->options[count].name) count++;
    return count;
}

/* The option that `word` (`length` bytes) names, in full or by a beginning that no other one has;
 * -1: none, -2: several. */
static int find_option(const cli_command *command, const char *word, size_t length) {
    int found = -1, count = option_count(command);
    for (int i = 0; i < count; i++) {
        const char *name = command->options[i].name;
        if (strncmp(name, word, length) != 0) continue;
        if (!name[length]) return i;
        found = found == -1 ? i : -2;
    }
    return found;
}

static int usage_error(cli *c) {
    cli_print_usage(stderr, c->command);
    return CLI_USAGE;
}

/* Whether `word` has the form "org/name", unlike most paths. */
static bool is_repository(const char *word) {
    const char *slash = word ? strchr(word, '/') : NULL;
    return slash && slash != word && slash[1] && !strchr(slash + 1, '/') && !strchr("-.~", word[0]);
}

bool cli_is_optional(const cli_option *option) { return option->value && option->value[0] == '['; }

static int take_option(cli *c, const char *word, const char *next, bool *took_next) {
    const char *equals = strchr(word, '=');
    size_t length = equals ? (size_t)(equals - word) : strlen(word);
    const char letter[] = {'-', '-', word[1], '\0'}; /* "-o" stands for "--o" */
    int at = length > 2    ? find_option(c->command, word, length)
             : length == 2 ? find_option(c->command, letter, 3)
                           : -1;
    *took_next = false;
    if (at < 0) {
        char name[CLI_NAME_MAX + 32];
        snprintf(name, sizeof name, "%s %.*s", c->command->name, (int)length, word);
        if (cli_refuse_absent(c, name)) return CLI_USAGE;
        cli_error(c, at == -1 ? "there is no option %.*s" : "%.*s may be one of several options",
                  (int)length, word);
        return usage_error(c);
    }
    const cli_option *option = &c->command->options[at];
    if (!option->value && equals) {
        cli_error(c, "%s takes no value", option->name);
        return usage_error(c);
    }
    *took_next = option->value && !equals && (!cli_is_optional(option) || is_repository(next));
    if (*took_next && !next) {
        cli_error(c, "%s needs a value: %s", option->name, option->value);
        return usage_error(c);
    }
    c->values[at] = equals ? equals + 1 : *took_next ? next : "";
    if (option->value && !cli_is_optional(option) && !*c->values[at]) {
        cli_error(c, "the value of %s is empty: expected %s", option->name, option->value);
        return usage_error(c);
    }
    if (c->given_count >= CLI_GIVEN_MAX) {
        cli_error(c, "there are more than %d options", CLI_GIVEN_MAX);
        return usage_error(c);
    }
    c->given[c->given_count].option = at;
    c->given[c->given_count++].value = c->values[at];
    return CLI_OK;
}

int cli_parse(cli *c, int count, char **words) {
    bool options_end = false, took_next;
    for (int i = 0; i < count; i++) {
        const char *word = words[i];
        if (!options_end && strcmp(word, "--") == 0) {
            options_end = true;
        } else if (!options_end && word[0] == '-' && word[1]) {
            int status = take_option(c, word, i + 1 < count ? words[i + 1] : NULL, &took_next);
            if (status) return status;
            i += took_next;
        } else if (c->operand_count >= c->command->max_operands ||
                   c->operand_count >= CLI_OPERANDS_MAX) {
            cli_error(c, "'%s' is one word too many", word);
            return usage_error(c);
        } else {
            c->operands[c->operand_count++] = word;
        }
    }
    if (c->operand_count < c->command->min_operands) {
        cli_error(c, "%s is missing", c->command->operands);
        return usage_error(c);
    }
    return CLI_OK;
}

const char *cli_value(const cli *c, const char *name) {
    int count = option_count(c->command);
    for (int i = 0; i < count; i++) {
        if (strcmp(c->command->options[i].name, name) == 0) return c->values[i];
    }
    return NULL;
}

const char *cli_value_at(const cli *c, const char *name, size_t number) {
    for (int i = 0; i < c->given_count; i++) {
        if (strcmp(c->command->options[c->given[i].option].name, name) != 0) continue;
        if (!number--) return c->given[i].value;
    }
    return NULL;
}
