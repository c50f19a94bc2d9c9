# SPDX-License-Identifier: Apache-2.0
"""What is read out of a header for the reference of the C API."""

import c_reference

HEADER = """/* SPDX-License-Identifier: Apache-2.0 */
/* Things, and what
 * is done with them. */
#ifndef KERNELS_A_H
#define KERNELS_A_H

#include <kernels/common.h>

#ifdef __cplusplus
extern "C" {
#endif

/* How many. */
#define KN_THINGS 3

/* A thing of kn_engine. */
typedef struct kn_thing {
    size_t size; /* sizeof(kn_thing) */
    void (*log)(void *ctx, int level); /* a remark
                                          that goes on */
} kn_thing;

/* Makes one, and ends it. */
KN_API kn_status kn_thing_new(const kn_thing *like, kn_thing **out,
                              kn_error *err);
KN_API void kn_thing_free(kn_thing *thing);

typedef bool (*kn_thing_visit)(void *ctx, const kn_thing *thing);
KN_API void kn_thing_each(kn_thing_visit visit, void *ctx);

/* One. */
static inline int kn_thing_one(void) {
    return 1;
}

#ifdef __cplusplus
}
#endif

#endif
"""


def header_of(tmp_path):
    path = tmp_path / "a.h"
    path.write_text(HEADER)
    return c_reference.read_header(path)


def test_a_comment_goes_with_the_declarations_below_it(tmp_path):
    header = header_of(tmp_path)
    assert header.intro == "Things, and what\nis done with them."
    assert [(item.comment, item.names) for item in header.items] == [
        ("How many.", ["KN_THINGS"]),
        ("A thing of kn_engine.", ["kn_thing"]),
        ("Makes one, and ends it.", ["kn_thing_new", "kn_thing_free"]),
        ("", ["kn_thing_each", "kn_thing_visit"]),
        ("One.", ["kn_thing_one"]),
    ]


def test_what_is_not_documented_is_found(tmp_path):
    assert c_reference.declarations_without_comment([header_of(tmp_path)]) == [
        "a.h: kn_thing_each",
        "a.h: kn_thing_visit",
    ]


def test_the_page_has_headings_prose_and_code(tmp_path):
    page = c_reference.render([header_of(tmp_path)])
    assert "## kernels/a.h\n\nThings, and what\nis done with them.\n" in page
    assert "### kn_thing\n\nA thing of `kn_engine`.\n\n```c\ntypedef struct kn_thing {\n" in page
    assert "### kn_thing_new, kn_thing_free\n" in page
    assert "that goes on */\n} kn_thing;\n```" in page
