/* SPDX-License-Identifier: Apache-2.0 */
#include "codec/elf.h"

#include <string.h>

#include "base/error.h"

/* Ceilings: far above what linkers write. */
#define SEGMENTS_MAX 64
#define DYNAMIC_MAX 1024
#define ENTRIES_MAX 4096 /* of each list */
#define NAME_MAX_BYTES 4096

enum { HEADER_SIZE = 64, PROGRAM_SIZE = 56, SECTION_SIZE = 64, DYNAMIC_SIZE = 16 };
enum { PT_LOAD = 1, PT_DYNAMIC = 2 };
enum {
    DT_NULL = 0,
    DT_NEEDED = 1,
    DT_STRTAB = 5,
    DT_SONAME = 14,
    DT_RPATH = 15,
    DT_RUNPATH = 29,
    DT_VERDEF = 0x6ffffffc,
    DT_VERNEED = 0x6ffffffe,
};
enum { VER_FLG_BASE = 1, VER_FLG_WEAK = 2 };

typedef struct segment {
    uint64_t address, offset, size;
} segment;

typedef struct elf_reader {
    const kni_input *input;
    kni_elf *out;
    segment loads[SEGMENTS_MAX];
    size_t load_count;
    segment dynamic;
    uint64_t names; /* where the dynamic section's texts are */
    kn_status status;
    kn_error *err;
} elf_reader;

static bool get(elf_reader *r, uint64_t offset, void *out, size_t length) {
    if (r->status || !kni_input_has(r->input, offset, length)) return false;
    r->status = r->input->get(r->input->ctx, offset, out, length, r->err);
    return r->status == KN_OK;
}

/* ---- texts ---- */

/* A copy of the text at `offset`; NULL where none ends within the input, or there is no memory. */
static char *text_at(elf_reader *r, uint64_t offset) {
    char text[NAME_MAX_BYTES];
    size_t length = 0, step = 64;
    while (length < sizeof text && offset < r->input->size) {
        uint64_t left = r->input->size - offset;
        if (step > left) step = (size_t)left;
        if (!get(r, offset, text + length, step)) return NULL;
        if (memchr(text + length, '\0', step)) {
            char *copy = kni_text_copy(r->out->alloc, text);
            if (!copy) r->status = kni_no_memory(r->err, "reading a shared object");
            return copy;
        }
        offset += step;
        length += step;
    }
    return NULL;
}

/* The same at a place in the dynamic section's texts. */
static char *name_at(elf_reader *r, uint64_t place) {
    if (!r->names || place > r->input->size) return NULL;
    return text_at(r, r->names + place);
}

static void keep_name(elf_reader *r, char **at, uint64_t place) {
    if (!*at) *at = name_at(r, place);
}

static void add_name(elf_reader *r, kni_elf_names *to, uint64_t place) {
    char *name = to->count < ENTRIES_MAX ? name_at(r, place) : NULL;
    if (!name) return;
    if (kni_reserve(r->out->alloc, &to->items, &to->capacity, to->count + 1, sizeof *to->items)) {
        to->items[to->count++] = name;
    } else {
        kni_free(r->out->alloc, name);
        r->status = kni_no_memory(r->err, "reading a shared object");
    }
}

/* ---- program headers ---- */

static void set_problem(elf_reader *r, const char *problem, bool is_cut_off) {
    r->out->problem = problem;
    r->out->is_cut_off = is_cut_off;
}

static void cut_off(elf_reader *r) { set_problem(r, "is cut off: its end is missing", true); }

static void read_segments(elf_reader *r, const unsigned char *header) {
    uint64_t at = kni_little64(header + 32);
    size_t count = kni_little16(header + 56);
    unsigned char entry[PROGRAM_SIZE];
    if (kni_little16(header + 54) != PROGRAM_SIZE || count == 0) {
        set_problem(r, "has no program headers as the format wants them", false);
        return;
    }
    if (!kni_input_has(r->input, at, count * PROGRAM_SIZE)) {
        cut_off(r);
        return;
    }
    for (size_t i = 0; i < count && get(r, at + i * PROGRAM_SIZE, entry, sizeof entry); i++) {
        uint32_t type = kni_little32(entry);
        segment s = {kni_little64(entry + 16), kni_little64(entry + 8), kni_little64(entry + 32)};
        if (type != PT_LOAD && type != PT_DYNAMIC) continue;
        if (!kni_input_has(r->input, s.offset, s.size)) {
            cut_off(r);
            return;
        }
        if (type == PT_DYNAMIC) r->dynamic = s;
        if (type == PT_LOAD && r->load_count < SEGMENTS_MAX) r->loads[r->load_count++] = s;
    }
}

/* Where in the file an address is; 0: nowhere. */
static uint64_t offset_of(const elf_reader *r, uint64_t address) {
    for (size_t i = 0; i < r->load_count; i++) {
        const segment *s = &r->loads[i];
        if (address >= s->address && address - s->address < s->size)
            return s->offset + (address - s->address);
    }
    return 0;
}

/* ---- versions of symbols: chains of entries, each with a chain of names ---- */

/* Moves *at on by `step`; false at the end of the chain. Offsets only grow, so chains end. */
static bool step_on(const elf_reader *r, uint64_t *at, uint32_t step) {
    *at += step;
    return step && *at < r->input->size;
}

static void add_need(elf_reader *r, uint64_t library, const unsigned char *entry) {
    kni_elf *out = r->out;
    if (out->need_count == ENTRIES_MAX) return;
    kni_elf_need need = {name_at(r, library), name_at(r, kni_little32(entry + 8)),
                         (kni_little16(entry + 4) & VER_FLG_WEAK) != 0};
    bool whole = need.library && need.version;
    if (whole && kni_reserve(out->alloc, &out->needs, &out->need_capacity, out->need_count + 1,
                             sizeof *out->needs)) {
        out->needs[out->need_count++] = need;
        return;
    }
    if (whole) r->status = kni_no_memory(r->err, "reading a shared object");
    kni_free(out->alloc, need.library);
    kni_free(out->alloc, need.version);
}

static void read_needs(elf_reader *r, uint64_t at) {
    unsigned char library[16], entry[16];
    size_t total = 0;
    bool more = at != 0;
    for (; more && total < ENTRIES_MAX && get(r, at, library, sizeof library); total++) {
        uint64_t name = at + kni_little32(library + 8);
        size_t count = kni_little16(library + 2);
        for (size_t i = 0; i < count && total++ < ENTRIES_MAX; i++) {
            if (!get(r, name, entry, sizeof entry)) break;
            add_need(r, kni_little32(library + 4), entry);
            if (!step_on(r, &name, kni_little32(entry + 12))) break;
        }
        more = step_on(r, &at, kni_little32(library + 12));
    }
}

/* The first name of each entry; that of the file itself (VER_FLG_BASE) is no version. */
static void read_versions(elf_reader *r, uint64_t at) {
    unsigned char version[20], entry[8];
    bool more = at != 0;
    for (size_t i = 0; more && i < ENTRIES_MAX && get(r, at, version, sizeof version); i++) {
        bool is_base = (kni_little16(version + 2) & VER_FLG_BASE) != 0;
        if (!is_base && get(r, at + kni_little32(version + 12), entry, sizeof entry))
            add_name(r, &r->out->versions, kni_little32(entry));
        more = step_on(r, &at, kni_little32(version + 16));
    }
}

/* ---- the dynamic section ---- */

static void read_dynamic(elf_reader *r) {
    uint64_t tags[DYNAMIC_MAX], values[DYNAMIC_MAX], needs = 0, versions = 0;
    unsigned char entry[DYNAMIC_SIZE];
    size_t count = 0;
    while (count < DYNAMIC_MAX && (count + 1) * DYNAMIC_SIZE <= r->dynamic.size &&
           get(r, r->dynamic.offset + count * DYNAMIC_SIZE, entry, sizeof entry)) {
        tags[count] = kni_little64(entry);
        values[count] = kni_little64(entry + 8);
        if (tags[count] == DT_NULL) break;
        if (tags[count] == DT_STRTAB) r->names = offset_of(r, values[count]);
        if (tags[count] == DT_VERNEED) needs = offset_of(r, values[count]);
        if (tags[count] == DT_VERDEF) versions = offset_of(r, values[count]);
        count++;
    }
    for (size_t i = 0; i < count && !r->status; i++) {
        if (tags[i] == DT_NEEDED) add_name(r, &r->out->needed, values[i]);
        if (tags[i] == DT_SONAME) keep_name(r, &r->out->soname, values[i]);
        if (tags[i] == DT_RPATH) keep_name(r, &r->out->rpath, values[i]);
        if (tags[i] == DT_RUNPATH) keep_name(r, &r->out->runpath, values[i]);
    }
    read_needs(r, needs);
    read_versions(r, versions);
}

/* ---- sections: no loader needs them, so that one that makes no sense is passed over ---- */

static void read_sections(elf_reader *r, const unsigned char *header) {
    static const char wanted[] = ".nv_fatbin";
    unsigned char entry[SECTION_SIZE], name[sizeof wanted];
    uint64_t at = kni_little64(header + 40);
    size_t count = kni_little16(header + 60), names = kni_little16(header + 62);
    if (kni_little16(header + 58) != SECTION_SIZE || names >= count ||
        !kni_input_has(r->input, at, count * SECTION_SIZE))
        return;
    if (!get(r, at + names * SECTION_SIZE, entry, sizeof entry)) return;
    uint64_t texts = kni_little64(entry + 24);
    for (size_t i = 0; i < count && get(r, at + i * SECTION_SIZE, entry, sizeof entry); i++) {
        uint64_t offset = kni_little64(entry + 24), size = kni_little64(entry + 32);
        if (texts > r->input->size || !kni_input_has(r->input, offset, size)) continue;
        if (!get(r, texts + kni_little32(entry), name, sizeof name)) continue;
        if (memcmp(name, wanted, sizeof wanted) != 0) continue;
        r->out->fatbin_offset = offset;
        r->out->fatbin_size = size;
        return;
    }
}

/* ---- the file ---- */

/* What stands where "\177ELF" should. */
static const char *other_content(const unsigned char *start, size_t length) {
    static const char pointer[] = "version https://git-lfs";
    if (length == 0) return "is empty";
    if (length >= sizeof pointer - 1 && memcmp(start, pointer, sizeof pointer - 1) == 0)
        return "is a pointer of Git LFS in the place of the file (`git lfs pull` brings it)";
    return "does not begin as an ELF file does";
}

static uint16_t number16(const unsigned char *at, bool is_big_endian) {
    unsigned big = (unsigned)at[0] << 8 | at[1];
    return is_big_endian ? (uint16_t)big : kni_little16(at);
}

static void read_file(elf_reader *r) {
    unsigned char header[HEADER_SIZE] = {0};
    size_t length = r->input->size < sizeof header ? (size_t)r->input->size : sizeof header;
    if (!get(r, 0, header, length)) return;
    if (length < 4 || memcmp(header, "\177ELF", 4) != 0) {
        set_problem(r, other_content(header, length), false);
        return;
    }
    if (length < sizeof header) {
        cut_off(r);
        return;
    }
    kni_elf *out = r->out;
    out->bits = header[4] == 1 ? 32 : 64;
    out->is_big_endian = header[5] == 2;
    out->type = number16(header + 16, out->is_big_endian);
    out->machine = number16(header + 18, out->is_big_endian);
    if (out->bits != 64 || out->is_big_endian) return;
    read_segments(r, header);
    if (out->problem || r->status) return;
    read_dynamic(r);
    read_sections(r, header);
}

kn_status kni_elf_read(const kn_alloc *alloc, const kni_input *input, kni_elf *out, kn_error *err) {
    *out = (kni_elf){.alloc = kni_alloc_or_default(alloc)};
    elf_reader r = {.input = input, .out = out, .err = err};
    read_file(&r);
    if (r.status) kni_elf_clear(out);
    return r.status;
}

static void clear_names(const kn_alloc *alloc, kni_elf_names *names) {
    for (size_t i = 0; i < names->count; i++) kni_free(alloc, names->items[i]);
    kni_free(alloc, names->items);
}

void kni_elf_clear(kni_elf *elf) {
    if (!elf->alloc) return;
    for (size_t i = 0; i < elf->need_count; i++) {
        kni_free(elf->alloc, elf->needs[i].library);
        kni_free(elf->alloc, elf->needs[i].version);
    }
    kni_free(elf->alloc, elf->needs);
    clear_names(elf->alloc, &elf->needed);
    clear_names(elf->alloc, &elf->versions);
    kni_free(elf->alloc, elf->soname);
    kni_free(elf->alloc, elf->rpath);
    kni_free(elf->alloc, elf->runpath);
    *elf = (kni_elf){0};
}

const char *kni_elf_machine_name(uint16_t machine) {
    static const struct {
        uint16_t machine;
        const char *name;
    } names[] = {{3, "x86 (32 bits)"}, {21, "ppc64"},    {22, "s390x"},    {40, "arm (32 bits)"},
                 {62, "x86_64"},       {183, "aarch64"}, {243, "riscv64"}, {258, "loongarch64"}};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (names[i].machine == machine) return names[i].name;
    }
    return NULL;
}
