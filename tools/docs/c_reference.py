# SPDX-License-Identifier: Apache-2.0
"""The reference of the C API, made from the headers in include/kernels: their comments and their declarations.

A comment belongs to the declarations below it, up to an empty line or the next comment.
"""

import re
from dataclasses import dataclass
from pathlib import Path

# Headers by what they are for, in the order of the page; all others come after them.
ORDER = "common engine repo mapping host plan native prefetch lock lockfile bundle hub stored serve"
GUARDS = re.compile(r"#\s*(ifndef|endif|ifdef|include|define KERNELS_)|extern \"C\" \{")


@dataclass
class Item:
    """Declarations under one comment ("" where there is none)."""

    comment: str
    code: str

    @property
    def names(self):
        """The functions, types and constants that are declared here; not their parameters."""
        code = re.sub(r"/\*.*?\*/", "", self.code, flags=re.DOTALL)
        flat = re.sub(r"\{.*?\n\}", "{}", code, flags=re.DOTALL)
        found = re.findall(r"^#define (KN_\w+)", code, re.MULTILINE)
        found += re.findall(r"\b(kn_\w+)\s*\((?!\*)", flat)
        found += re.findall(r"\}\s*(kn_\w+);", code)
        found += re.findall(r"^typedef struct \w+ (kn_\w+);", code, re.MULTILINE)
        found += re.findall(r"^typedef \w+ (kn_\w+);", code, re.MULTILINE)
        found += re.findall(r"^typedef [^;{]*\(\*(kn_\w+)\)", code, re.MULTILINE)
        return list(dict.fromkeys(found))


@dataclass
class Header:
    name: str  # "engine.h"
    intro: str
    items: list[Item]


def comment_text(lines):
    text = "\n".join(re.sub(r"^(/\*| \*)/?\s?", "", line.removesuffix("*/")) for line in lines)
    return text.strip()


def is_whole(text):
    """Whether a declaration, or a directive, ends here."""
    code = re.sub(r"/\*.*?\*/", "", text, flags=re.DOTALL).strip()
    if "/*" in code or code.count("{") != code.count("}"):
        return False
    return not code.endswith("\\") if code.startswith("#") else code.endswith((";", "}"))


def split(lines):
    """Comments, code and empty lines at the top level, each as (kind, lines)."""
    at = 0
    while at < len(lines):
        end = at + 1
        if not lines[at].strip():
            kind = "empty"
        elif lines[at].startswith("/*"):
            kind = "comment"
            while "*/" not in lines[end - 1]:
                end += 1
        else:
            kind = "code"
            while not is_whole("\n".join(lines[at:end])):
                end += 1
        yield kind, lines[at:end]
        at = end


def read_header(path):
    text = path.read_text().split("*/\n", 1)[1]  # behind the licence
    text = re.sub(r"^#ifdef __cplusplus\n}\n#endif\n", "", text, flags=re.MULTILINE)
    lines = [line for line in text.split("\n") if not GUARDS.match(line)]
    header = Header(path.name, "", [])
    open_item = None
    for kind, part in split(lines):
        if kind == "comment" and not header.intro:
            header.intro = comment_text(part)
        elif kind == "comment":
            open_item = Item(comment_text(part), "")
            header.items.append(open_item)
        elif kind == "empty":
            open_item = None
        else:
            if open_item is None:
                open_item = Item("", "")
                header.items.append(open_item)
            open_item.code += "\n".join(part) + "\n"
    return header


def read_headers(folder):
    order = [f"{name}.h" for name in ORDER.split()]
    paths = sorted(
        (path for path in folder.glob("*.h") if path.name != "kernels.h"),
        key=lambda path: (order.index(path.name) if path.name in order else len(order), path.name),
    )
    return [read_header(path) for path in paths]


def render(headers):
    """The page, in Markdown."""
    parts = [
        "# C reference\n",
        "What `#include <kernels/kernels.h>` declares, by header; each may be included alone, in C99 and in C++17. "
        "[c.md](c.md) leads through it by task. The structs whose first member is `size` can grow: set it to their "
        "`sizeof`, also where the library fills them in. The others stay as they are. `kn_error *err` may be NULL "
        "everywhere.\n",
    ]
    for header in headers:
        parts.append(f"## kernels/{header.name}\n\n{prose(header.intro)}\n")
        for item in header.items:
            names = item.names
            if names:
                parts.append(f"### {', '.join(names)}\n")
            elif item.code.strip():
                raise ValueError(f"{header.name}: nothing is declared by\n{item.code}")
            if item.comment:
                parts.append(prose(item.comment.strip("- ")) + "\n")
            if item.code.strip():
                parts.append(f"```c\n{item.code.rstrip()}\n```\n")
    return "\n".join(parts)


def prose(text):
    """A comment as Markdown: the identifiers in it as code, and nothing else as markup."""
    text = re.sub(r"([<>*_\[\]])", r"\\\1", text)
    word = r"(?<![`\w])((?:kn|KN|KERNELS|HF)\\_(?:\w|\\_)+|NULL)(?![`\w])"
    text = re.sub(word, lambda match: "`" + match.group(1).replace("\\", "") + "`", text)
    return re.sub(
        r"`([^`\n]*)`",
        lambda match: "`" + re.sub(r"\\([<>*_\[\]])", r"\1", match.group(1)) + "`",
        text,
    )


def declarations_without_comment(headers):
    """Functions about which nothing is said."""
    return [
        f"{header.name}: {name}"
        for header in headers
        for item in header.items
        if not item.comment and "KN_API" in item.code
        for name in item.names
    ]


def page(root):
    return render(read_headers(root / "include" / "kernels"))


if __name__ == "__main__":
    print(page(Path(__file__).resolve().parents[2]))
