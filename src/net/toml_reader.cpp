// SPDX-License-Identifier: Apache-2.0
// The one file of C++: no exception leaves it. Memory of the parser is the C++ runtime's; the text
// that goes out is the caller's allocator's.
#define TOML_ENABLE_FORMATTERS 0
#define TOML_MAX_NESTED_VALUES 64

#include <toml++/toml.h>

#include <charconv>
#include <cmath>
#include <new>
#include <sstream>
#include <string>
#include <string_view>
#include <vector>

extern "C" {
#include "base/error.h"
#include "base/text.h"
}
#include "net/net_parts.h"

static_assert(TOML_MAX_NESTED_VALUES == KNI_TOML_DEPTH_MAX);

namespace {

void add_text(kni_text *out, std::string_view text) {
    kni_text_add(out, "\"");
    size_t plain = 0;
    for (size_t i = 0; i < text.size(); i++) {
        const auto c = static_cast<unsigned char>(text[i]);
        if (c >= 0x20 && c != '"' && c != '\\' && c != 0x7F) continue;
        kni_text_add_n(out, text.data() + plain, i - plain);
        kni_text_addf(out, "\\u%04x", static_cast<unsigned>(c));
        plain = i + 1;
    }
    kni_text_add_n(out, text.data() + plain, text.size() - plain);
    kni_text_add(out, "\"");
}

// JSON has no word for what is no number: it becomes TOML's word as text.
void add_float(kni_text *out, double value) {
    if (!std::isfinite(value)) {
        add_text(out, std::isnan(value) ? "nan" : value > 0 ? "inf" : "-inf");
        return;
    }
    char digits[64];
    const auto result = std::to_chars(digits, digits + sizeof digits, value);
    const std::string_view text(digits, static_cast<size_t>(result.ptr - digits));
    kni_text_add_n(out, text.data(), text.size());
    if (text.find_first_of(".e") == std::string_view::npos) kni_text_add(out, ".0");
}

template <typename Date> void add_date(kni_text *out, const Date &date) {
    std::ostringstream stream;
    stream.imbue(std::locale::classic());
    stream << date;
    add_text(out, stream.str());
}

void add_scalar(kni_text *out, const toml::node &node) {
    if (const auto *text = node.as_string()) {
        add_text(out, text->get());
    } else if (const auto *integer = node.as_integer()) {
        kni_text_addf(out, "%lld", static_cast<long long>(integer->get()));
    } else if (const auto *number = node.as_floating_point()) {
        add_float(out, number->get());
    } else if (const auto *boolean = node.as_boolean()) {
        kni_text_add(out, boolean->get() ? "true" : "false");
    } else if (const auto *date = node.as_date()) {
        add_date(out, date->get());
    } else if (const auto *time = node.as_time()) {
        add_date(out, time->get());
    } else if (const auto *both = node.as_date_time()) {
        add_date(out, both->get());
    }
}

// A table or an array that is being written, and where in it.
struct level {
    const toml::table *table;
    const toml::array *array;
    toml::table::const_iterator table_at;
    size_t array_at;
};

level enter(kni_text *out, const toml::node &node) {
    kni_text_add(out, node.is_table() ? "{" : "[");
    level entered{node.as_table(), node.as_array(), {}, 0};
    if (entered.table) entered.table_at = entered.table->begin();
    return entered;
}

// The next value in a level, its key written; nullptr at the end, which is written too.
const toml::node *next(kni_text *out, level &top) {
    if (top.table) {
        if (top.table_at == top.table->end()) {
            kni_text_add(out, "}");
            return nullptr;
        }
        if (top.table_at != top.table->begin()) kni_text_add(out, ",");
        const auto entry = top.table_at++; // its pair holds references, and is a temporary itself
        add_text(out, entry->first.str());
        kni_text_add(out, ":");
        return &entry->second;
    }
    if (top.array_at == top.array->size()) {
        kni_text_add(out, "]");
        return nullptr;
    }
    if (top.array_at) kni_text_add(out, ",");
    return top.array->get(top.array_at++);
}

// False where it is nested too deep: keys with dots within tables within tables.
bool write(kni_text *out, const toml::table &document) {
    std::vector<level> levels{enter(out, document)};
    while (!levels.empty()) {
        const toml::node *value = next(out, levels.back());
        if (!value) {
            levels.pop_back();
        } else if (!value->is_table() && !value->is_array()) {
            add_scalar(out, *value);
        } else if (levels.size() >= KNI_TOML_DEPTH_MAX) {
            return false;
        } else {
            levels.push_back(enter(out, *value));
        }
    }
    return true;
}

// The parser quotes the input, which may hold line breaks; a message is one line.
std::string one_line(std::string_view text) {
    std::string line(text);
    for (char &c : line) {
        if (static_cast<unsigned char>(c) < 0x20 || c == 0x7F) c = ' ';
    }
    return line;
}

kn_status convert(kni_text *text, std::string_view bytes, const char *origin, kn_error *err) {
    try {
        const toml::table document = toml::parse(bytes);
        if (!write(text, document)) {
            return kni_fail(err, KN_ERR_VALUE,
                            "%s: not acceptable TOML: nested deeper than %d levels", origin,
                            KNI_TOML_DEPTH_MAX);
        }
        return text->failed ? kni_no_memory(err, "reading TOML") : KN_OK;
    } catch (const toml::parse_error &error) {
        const auto &place = error.source().begin;
        return kni_fail(err, KN_ERR_VALUE, "%s: not valid TOML: line %u, column %u: %s", origin,
                        static_cast<unsigned>(place.line), static_cast<unsigned>(place.column),
                        one_line(error.description()).c_str());
    } catch (const std::bad_alloc &) {
        return kni_no_memory(err, "reading TOML");
    } catch (const std::exception &error) {
        return kni_fail(err, KN_ERR_VALUE, "%s: not valid TOML: %s", origin,
                        one_line(error.what()).c_str());
    } catch (...) {
        return kni_fail(err, KN_ERR_VALUE, "%s: not valid TOML", origin);
    }
}

} // namespace

kn_status kni_toml_to_json(const kn_alloc *alloc, const char *bytes, size_t length,
                           const char *origin, char **out, kn_error *err) {
    *out = nullptr;
    kn_status status = kni_toml_check(bytes, length, origin, err);
    if (status) return status;

    kni_text text;
    kni_text_init(&text, kni_alloc_or_default(alloc));
    status = convert(&text, std::string_view(bytes, length), origin, err);
    if (!status) {
        *out = kni_text_take(&text);
        if (!*out) status = kni_no_memory(err, "reading TOML");
    }
    kni_text_clear(&text);
    return status;
}
