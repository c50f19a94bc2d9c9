/* SPDX-License-Identifier: Apache-2.0 */
#include "cli.h"

void cli_print_variants(const kn_variants *variants, bool colour) {
    for (size_t i = 0; i < kn_variants_count(variants); i++) {
        kn_variant v = {.size = sizeof v};
        kn_variants_get(variants, i, &v);
        if (v.accepted)
            printf("%s%s compatible%s%s ✅\n", cli_paint(colour, CLI_GREEN), v.name,
                   i ? "" : ", preferred", cli_paint(colour, CLI_PLAIN));
        else
            printf("%s: %s\n", v.name, v.reason);
    }
}

void cli_json_variants(cli_json *json, const kn_variants *variants) {
    cli_json_open(json, '[');
    for (size_t i = 0; i < kn_variants_count(variants); i++) {
        kn_variant v = {.size = sizeof v};
        kn_variants_get(variants, i, &v);
        cli_json_open(json, '{');
        cli_json_text_of(json, "name", v.name);
        cli_json_text_of(json, "backend", v.backend);
        cli_json_boolean_of(json, "compatible", v.accepted);
        cli_json_text_of(json, "reason", v.reason);
        cli_json_close(json, '}');
    }
    cli_json_close(json, ']');
}
