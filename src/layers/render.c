/* SPDX-License-Identifier: Apache-2.0 */
/* A plan as a table for people and as JSON. */
#include <string.h>

#include "base/error.h"
#include "codec/json.h"
#include "layers/plan.h"

enum { PATH, LAYER, DEVICE, MODE, KERNEL, VARIANT, WHY, COLUMNS };

static const char *const headings[COLUMNS] = {"module", "layer",   "device", "mode",
                                              "kernel", "variant", "why"};

typedef struct row {
    char *cells[COLUMNS];
} row;

/* Columns of a terminal: continuation bytes of UTF-8 take none. */
static size_t width_of(const char *text) {
    size_t width = 0;
    for (; *text; text++) width += ((unsigned char)*text & 0xC0u) != 0x80u;
    return width;
}

typedef struct path_cell {
    kni_text *text;
    size_t count;
} path_cell;

static bool take_first_path(void *ctx, const char *path, size_t length) {
    kni_text_add_n(ctx, length ? path : "(model)", length ? length : 7);
    return false;
}

static void write_cell(const kn_plan *plan, size_t index, const kn_decision *d, int column,
                       kni_text *out) {
    char mode[KN_MODE_TEXT_MAX];
    switch (column) {
    case PATH:
        if (kn_plan_each_path(plan, index, take_first_path, out, NULL)) out->failed = true;
        if (d->module_count > 1) kni_text_addf(out, " (+%zu)", d->module_count - 1);
        break;
    case LAYER:
        kni_text_add(out, d->layer_name);
        break;
    case DEVICE:
        kni_text_add(out, d->device);
        if (d->capability >= 0) kni_text_addf(out, " %lld", (long long)d->capability);
        break;
    case MODE:
        kni_text_add(out, plan->mode ? kn_mode_text(plan->mode, mode) : "-");
        break;
    case KERNEL:
        if (d->action == KN_ACTION_KEEP)
            kni_text_add(out, "original forward");
        else
            kni_text_add(out, d->repo ? d->repo : "?");
        if (d->action == KN_ACTION_REPLACE && d->repo_layer)
            kni_text_addf(out, ":%s", d->repo_layer);
        break;
    case VARIANT:
        kni_text_add(out, d->action == KN_ACTION_REPLACE && d->variant ? d->variant : "-");
        break;
    default: /* a message may go on with one line for each variant: a table shows the first */
        kni_text_addf(out, "%s: ", kn_reason_text(d->reason));
        kni_text_add_n(out, d->message, strcspn(d->message, "\n"));
        break;
    }
}

static void rows_free(const kn_plan *plan, row *rows, size_t count) {
    for (size_t i = 0; rows && i < count; i++) {
        for (int c = 0; c < COLUMNS; c++) kni_free(plan->alloc, rows[i].cells[c]);
    }
    kni_free(plan->alloc, rows);
}

static bool rows_fill(const kn_plan *plan, row *rows) {
    for (size_t i = 0; i < plan->count; i++) {
        kn_decision d = {.size = sizeof d};
        kn_plan_get(plan, i, &d);
        for (int c = 0; c < COLUMNS; c++) {
            kni_text cell;
            kni_text_init(&cell, plan->alloc);
            write_cell(plan, i, &d, c, &cell);
            rows[i].cells[c] = kni_text_take(&cell);
            if (!rows[i].cells[c]) return false;
        }
    }
    return true;
}

static void add_line(kni_text *out, const char *const cells[COLUMNS],
                     const size_t widths[COLUMNS]) {
    for (int c = 0; c < COLUMNS; c++) {
        kni_text_add(out, cells[c]);
        size_t padding = c + 1 < COLUMNS ? widths[c] - width_of(cells[c]) + 2 : 0;
        for (size_t i = 0; i < padding; i++) kni_text_add_n(out, " ", 1);
    }
    kni_text_add_n(out, "\n", 1);
}

kn_status kn_plan_table(const kn_plan *plan, char **out, kn_error *err) {
    *out = NULL;
    size_t widths[COLUMNS];
    for (int c = 0; c < COLUMNS; c++) widths[c] = strlen(headings[c]);
    row *rows = kni_new(plan->alloc, (plan->count + 1) * sizeof *rows);
    bool ok = rows && rows_fill(plan, rows);
    for (size_t i = 0; ok && i < plan->count; i++) {
        for (int c = 0; c < COLUMNS; c++) {
            size_t width = width_of(rows[i].cells[c]);
            if (width > widths[c]) widths[c] = width;
        }
    }
    kni_text text;
    kni_text_init(&text, plan->alloc);
    if (ok && plan->count == 0) kni_text_add(&text, "no extensible modules\n");
    if (ok && plan->count) add_line(&text, headings, widths);
    for (size_t i = 0; ok && i < plan->count; i++)
        add_line(&text, (const char *const *)rows[i].cells, widths);
    if (ok && text.length)
        text.bytes[--text.length] = '\0'; /* the last line ends without a newline */
    rows_free(plan, rows, plan->count);
    if (ok)
        *out = kni_text_take(&text);
    else
        kni_text_clear(&text);
    return *out ? KN_OK : kni_no_memory(err, "writing a plan");
}

static void add_field(kni_text *out, const char *name, const char *value) {
    kni_text_addf(out, ", \"%s\": ", name);
    kni_json_add_text(out, value);
}

static bool add_json_path(void *ctx, const char *path, size_t length) {
    path_cell *cell = ctx;
    (void)length;
    if (cell->count++) kni_text_add_n(cell->text, ", ", 2);
    kni_json_add_text(cell->text, path);
    return true;
}

static void add_json_decision(const kn_plan *plan, size_t index, kni_text *out) {
    kn_decision d = {.size = sizeof d};
    kn_plan_get(plan, index, &d);
    char mode[KN_MODE_TEXT_MAX];
    path_cell paths = {out, 0};
    kni_text_add(out, "{\"paths\": [");
    if (kn_plan_each_path(plan, index, add_json_path, &paths, NULL)) out->failed = true;
    kni_text_add(out, "]");
    add_field(out, "layer_name", d.layer_name);
    add_field(out, "module_class", d.module_class);
    add_field(out, "device", d.device);
    if (d.capability >= 0)
        kni_text_addf(out, ", \"capability\": %lld", (long long)d.capability);
    else
        kni_text_add(out, ", \"capability\": null");
    add_field(out, "stage", kn_stage_text(d.stage));
    add_field(out, "action", kn_action_text(d.action));
    add_field(out, "reason", kn_reason_text(d.reason));
    add_field(out, "message", d.message);
    add_field(out, "repo", d.repo);
    add_field(out, "repo_layer", d.repo_layer);
    add_field(out, "repo_mode", d.repo_mode ? kn_mode_text(d.repo_mode, mode) : NULL);
    add_field(out, "commit", d.commit);
    add_field(out, "variant", d.variant);
    kni_text_addf(out, ", \"applied\": %s}", d.applied ? "true" : "false");
}

kn_status kn_plan_json(const kn_plan *plan, char **out, kn_error *err) {
    char mode[KN_MODE_TEXT_MAX];
    kni_text text;
    kni_text_init(&text, plan->alloc);
    kni_text_add(&text, "{\"version\": 1, \"mode\": ");
    kni_json_add_text(&text, plan->mode ? kn_mode_text(plan->mode, mode) : NULL);
    kni_text_add(&text, ", \"device\": ");
    kni_json_add_text(&text, plan->device.name[0] ? plan->device.name : NULL);
    kni_text_add(&text, ", \"decisions\": [");
    for (size_t i = 0; i < plan->count; i++) {
        if (i) kni_text_add(&text, ", ");
        add_json_decision(plan, i, &text);
    }
    kni_text_add(&text, "]}");
    *out = kni_text_take(&text);
    return *out ? KN_OK : kni_no_memory(err, "writing a plan");
}
