# SPDX-License-Identifier: Apache-2.0
"""The rules of the tree's layout. Each takes the root of a tree and returns what breaks it, one line each."""

import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

CODE_DIRECTORIES = ("include", "src", "cli", "python", "builtin", "tests", "bench", "examples")
PRODUCT_DIRECTORIES = ("include", "src", "cli", "python/ext", "builtin")
NOT_SOURCES = {"build", "dist", "__pycache__", "node_modules"}

# A folder of src/ includes itself and folders of a lower rank. Folders of one rank are siblings.
RANK = {
    "base": 0,
    "codec": 1,
    "os": 1,
    "layers": 2,
    "variant": 2,
    "hub": 2,
    "cache": 2,
    "trust": 2,
    "load": 2,
    "net": 2,
    "native": 2,
    "engine": 3,
    "serve": 3,
}
# Folders that do no input or output: what they need comes as a value.
PURE = {"base", "codec", "layers", "variant"}
# What those may use of src/os all the same: a lock is neither input nor output.
PURE_OS_HEADERS = {"os/lock.h"}
IMPURE_HEADER = re.compile(
    r"(unistd|fcntl|dirent|dlfcn|time|poll|netdb|spawn|sys/\w+|netinet/\w+)\.h"
)
IMPURE_CALL = re.compile(
    r"(?<![\w.>])(f?open|fdopen|freopen|opendir|read|write|l?stat|getenv|secure_getenv|setenv|time|"
    r"clock|clock_gettime|gettimeofday|dlopen|dlsym|printf|puts|fputs|fwrite|fprintf|system|popen)\s*\("
)
# Where a third party's headers may be included.
THIRD_PARTY = {
    "jansson.h": ("codec",),
    "openssl/": ("net", "serve"),
    "toml++/": ("net",),
    "curl/": ("net",),
    "microhttpd.h": ("serve",),
}
STANDARD_HEADER = re.compile(
    r"(assert|complex|ctype|errno|fenv|float|inttypes|limits|locale|math|setjmp|signal|stdalign|stdarg|"
    r"stdatomic|stdbool|stddef|stdint|stdio|stdlib|stdnoreturn|string|threads|time|unistd|fcntl|getopt|"
    r"pthread|dirent|dlfcn|sys/\w+)\.h"
)
PYTHON_HEADER = re.compile(r"(Python|structmember|pyconfig)\.h")

PLATFORM_CONDITION = re.compile(
    r"^[ \t]*#[ \t]*(?:if|ifdef|ifndef|elif)\b.*"
    r"\b(_WIN32|_WIN64|_MSC_VER|__linux__|__linux|__APPLE__|__unix__|__\w*BSD__|__ANDROID__|"
    r"__x86_64__|__aarch64__|__arm__|__GLIBC__)\b",
    re.MULTILINE,
)
ALLOCATION = re.compile(
    r"(?<![\w.>])(malloc|calloc|realloc|reallocarray|aligned_alloc|posix_memalign|free|strn?dup|v?asprintf)\s*\("
)
BANNED_CALL = re.compile(
    r"(?<![\w.>])(strcpy|strcat|sprintf|vsprintf|strtok|atoi|atol|atof|alloca|gets)\s*\("
)
UNFINISHED = re.compile(r"\b(" + "|".join(("TO" + "DO", "FIX" + "ME", "X" * 3)) + r")\b")
SPDX = "SPDX-License-Identifier: Apache-2.0"

_COMMENT = r"/\*.*?\*/|//[^\n]*"
_LITERAL = r'"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\''
_TOKEN = re.compile(f"({_COMMENT})|({_LITERAL})", re.DOTALL)
_INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*([<"])([^>"\n]+)[>"]', re.MULTILINE)


def without_comments(text: str, keep_literals: bool = True) -> str:
    """C `text` with its comments blanked, its literals too unless kept; lines keep their numbers."""

    def blank(match: re.Match[str]) -> str:
        if match.group(2) and keep_literals:
            return match.group(0)
        return " " + "\n" * match.group(0).count("\n")

    return _TOKEN.sub(blank, text)


def includes(text: str) -> list[tuple[int, bool, str]]:
    """The #include lines of C `text`: line, whether in quotes, name."""
    clean = without_comments(text)
    return [
        (clean.count("\n", 0, match.start()) + 1, match.group(1) == '"', match.group(2))
        for match in _INCLUDE.finditer(clean)
    ]


def files(root: Path, directories: tuple[str, ...], *suffixes: str) -> Iterator[Path]:
    """The files below `directories` of `root` with one of `suffixes`, sorted, without what was built."""
    for directory in directories:
        for path in sorted((root / directory).rglob("*")):
            relative = path.relative_to(root)
            hidden = any(part.startswith(".") or part in NOT_SOURCES for part in relative.parts)
            if path.is_file() and path.suffix in suffixes and not hidden:
                yield path


def c_files(root: Path, *directories: str) -> Iterator[Path]:
    return files(root, directories, ".c", ".h", ".cu", ".cuh", ".cpp")


def matches(root: Path, paths: Iterator[Path], pattern: re.Pattern[str], reason: str) -> list[str]:
    """One line for each match of `pattern` in the code (not comments or literals) of `paths`."""
    found = []
    for path in paths:
        code = without_comments(path.read_text(), keep_literals=False)
        for match in pattern.finditer(code):
            line = code.count("\n", 0, match.start(1)) + 1
            found.append(f"{path.relative_to(root)}:{line}: {match.group(1)}: {reason}")
    return found


def include_arrows(root: Path) -> list[str]:
    """Inside src/, includes go downwards only, and siblings do not know each other."""
    found = []
    for path in c_files(root, "src"):
        relative = path.relative_to(root)
        folder = relative.parts[1]
        if folder not in RANK:
            found.append(f"{relative}: src/{folder} has no place in the order of folders")
            continue
        for line, quoted, name in includes(path.read_text()):
            problem = src_include_problem(folder, quoted, name)
            if problem:
                found.append(f"{relative}:{line}: includes {name}: {problem}")
    return found


def src_include_problem(folder: str, quoted: bool, name: str) -> str | None:
    if not quoted:
        if PYTHON_HEADER.fullmatch(name):
            return "Python is known to python/ext only"
        for prefix, homes in THIRD_PARTY.items():
            if name.startswith(prefix) and folder not in homes:
                return f"this library is used by src/{' and src/'.join(homes)} only"
        if folder in PURE and IMPURE_HEADER.fullmatch(name):
            return f"src/{folder} does no input or output"
        return None
    target = name.split("/")[0] if "/" in name else folder
    if target not in RANK:
        return "not a folder of src/"
    if folder in PURE and target == "os" and name not in PURE_OS_HEADERS:
        return f"src/{folder} does no input or output"
    if target != folder and RANK[target] >= RANK[folder]:
        return f"src/{folder} may not know src/{target}"
    return None


def outside_sees_public_headers_only(root: Path) -> list[str]:
    """cli/ and python/ext/ include <kernels/...>, the C library, their own headers; the latter Python.h."""
    found = []
    for directory in ("cli", "python/ext"):
        for path in c_files(root, directory):
            for line, quoted, name in includes(path.read_text()):
                if quoted:
                    allowed = (path.parent / name).is_file() or (root / directory / name).is_file()
                    allowed = allowed and ".." not in name
                else:
                    allowed = bool(name.startswith("kernels/") or STANDARD_HEADER.fullmatch(name))
                    if directory == "python/ext":
                        allowed = allowed or bool(PYTHON_HEADER.fullmatch(name))
                if not allowed:
                    found.append(
                        f"{path.relative_to(root)}:{line}: includes {name}: not public to {directory}"
                    )
    return found


def public_headers_see_public_headers_only(root: Path) -> list[str]:
    """include/kernels includes itself and freestanding headers of the C library."""
    found = []
    freestanding = {"stdbool.h", "stddef.h", "stdint.h", "stdarg.h"}
    for path in c_files(root, "include"):
        for line, quoted, name in includes(path.read_text()):
            if quoted or not (name.startswith("kernels/") or name in freestanding):
                found.append(f"{path.relative_to(root)}:{line}: includes {name}: not public")
    return found


def builtin_stands_alone(root: Path) -> list[str]:
    """builtin/ includes nothing of src/ or include/: its kernels are kernels like any other."""
    found = []
    for path in c_files(root, "builtin"):
        for line, quoted, name in includes(path.read_text()):
            own = quoted and any(
                (base / name).is_file()
                for base in path.parents
                if base.is_relative_to(root / "builtin")
            )
            library = name.startswith("kernels/") or name.split("/")[0] in RANK or ".." in name
            if library and not own:
                found.append(f"{path.relative_to(root)}:{line}: includes {name}: not builtin's")
    return found


def python_header_in_bindings_only(root: Path) -> list[str]:
    """Python.h appears in python/ext and in the glue of builtin/."""
    return [
        f"{path.relative_to(root)}:{line}: includes {name}"
        for path in c_files(root, "include", "src", "cli")
        for line, _, name in includes(path.read_text())
        if PYTHON_HEADER.fullmatch(name)
    ]


def pure_folders_do_no_io(root: Path) -> list[str]:
    directories = [f"src/{folder}" for folder in sorted(PURE)]
    return matches(root, c_files(root, *directories), IMPURE_CALL, "this folder does no I/O")


def platform_conditions_in_os_only(root: Path) -> list[str]:
    paths = (
        path
        for path in c_files(root, "include", "src", "cli", "python/ext")
        if not path.is_relative_to(root / "src/os")
    )
    return matches(root, paths, PLATFORM_CONDITION, "platforms differ in src/os only")


def allocation_in_one_file(root: Path) -> list[str]:
    paths = (
        path for path in c_files(root, *PRODUCT_DIRECTORIES) if path != root / "src/base/alloc.c"
    )
    return matches(root, paths, ALLOCATION, "memory comes from src/base/alloc.c")


def no_banned_calls(root: Path) -> list[str]:
    return matches(root, c_files(root, *CODE_DIRECTORIES), BANNED_CALL, "unbounded or ambiguous")


def source_names_are_unique(root: Path) -> list[str]:
    by_name = defaultdict(list)
    for path in files(root, CODE_DIRECTORIES, ".c", ".cpp", ".cu"):
        by_name[path.name].append(str(path.relative_to(root)))
    return [f"{name}: {', '.join(paths)}" for name, paths in by_name.items() if len(paths) > 1]


def sources_name_their_licence(root: Path) -> list[str]:
    """An SPDX line is the first, or the second after '#!'."""
    found = []
    suffixes = (".c", ".h", ".cu", ".cuh", ".cpp", ".py", ".pyi", ".sh", ".cmake")
    for path in files(root, (*CODE_DIRECTORIES, "tools", "cmake"), *suffixes):
        lines = path.read_text().splitlines()[:2]
        if lines and lines[0].startswith("#!"):
            lines = lines[1:]
        if not lines or SPDX not in lines[0]:
            found.append(f"{path.relative_to(root)}: does not begin with '{SPDX}'")
    return found


def text_files(root: Path) -> Iterator[Path]:
    """Every text that people wrote: the folders of the tree and the files at its root."""
    suffixes = (
        ".c",
        ".h",
        ".cu",
        ".cuh",
        ".cpp",
        ".py",
        ".pyi",
        ".sh",
        ".md",
        ".txt",
        ".toml",
        ".cmake",
    )
    yield from files(root, (*CODE_DIRECTORIES, "tools", "cmake", "docs"), *suffixes)
    for name in ("Makefile", "CMakeLists.txt", "pyproject.toml"):
        if (root / name).is_file():
            yield root / name
    yield from sorted(root.glob("*.md"))


def nothing_is_unfinished(root: Path) -> list[str]:
    """No reminders in the tree: they belong into the tracker."""
    return [
        f"{path.relative_to(root)}:{number}: {line.strip()}"
        for path in text_files(root)
        for number, line in enumerate(path.read_text().splitlines(), start=1)
        if UNFINISHED.search(line)
    ]


def version_stands_in_one_place(root: Path) -> list[str]:
    """The file VERSION says the version; documents may mention it, code and build files may not."""
    version = (root / "VERSION").read_text().strip()
    found = []
    for path in text_files(root):
        text = path.read_text()
        if path.suffix in (".c", ".h"):
            text = without_comments(text)
        if path.suffix != ".md" and version in text:
            found.append(f"{path.relative_to(root)}: repeats the version {version}")
    return found


def declared_functions(root: Path) -> set[str]:
    """The functions that include/kernels declares with KN_API."""
    names = set()
    for path in c_files(root, "include"):
        code = without_comments(path.read_text(), keep_literals=False)
        code = re.sub(r"^[ \t]*#.*(?:\\\n.*)*$", "", code, flags=re.MULTILINE)
        for declaration in re.findall(r"\bKN_API\b([^;{]*)", code):
            match = re.search(r"\b(kn_\w+)\s*\(", declaration)
            names.add(match.group(1) if match else f"unparsed:{declaration.strip()}")
    return names


# Structs of fixed form: values that stand in arrays, and what another ABI lays out. All others begin with their size.
FIXED_STRUCTS = {
    *("kn_bytes", "kn_value"),  # tvm-ffi's
    *(
        "kn_dtype",
        "kn_tensor",
        "kn_tensor_device",
        "kn_managed_tensor",
        "kn_managed_tensor_old",
    ),  # DLPack's
    *("kn_capability_range", "kn_mapping_entry", "kn_mode_repo", "kn_refusal"),
    *("kn_build", "kn_fetched", "kn_http_header", "kn_version_span"),
}


def public_structs_begin_with_their_size(root: Path) -> list[str]:
    """A public struct that cannot grow without a new ABI."""
    found = []
    for path in c_files(root, "include"):
        code = without_comments(path.read_text())
        for name, body in re.findall(r"\btypedef struct (\w+) \{([^}]*)", code):
            if name not in FIXED_STRUCTS and not body.strip().startswith("size_t size;"):
                found.append(f"{path.relative_to(root)}: {name} does not begin with size_t size")
    return found


def exported_symbols(nm_output: str) -> set[str]:
    """The names in the output of `nm --dynamic --defined-only --format=posix`."""
    lines = (line.split() for line in nm_output.splitlines())
    return {
        fields[0].split("@")[0] for fields in lines if len(fields) >= 2 and fields[1] not in "Aa"
    }


def mutable_globals(nm_output: str, engine_objects: set[str]) -> list[str]:
    """The writable objects in the output of `nm --format=sysv` of an archive, but for `engine_objects`.

    Constants that hold pointers are relocated at load time and lie in .data.rel.ro: not writable.
    """
    found = []
    member = ""
    for line in nm_output.splitlines():
        header = re.fullmatch(r"Symbols from .*\[(.+)\]:", line)
        if header:
            member = header.group(1)
            continue
        fields = [field.strip() for field in line.split("|")]
        if len(fields) != 7 or member in engine_objects:
            continue
        section = fields[6]
        writable = section.startswith(
            (".data", ".bss", ".tdata", ".tbss", "*COM*", ".ldata", ".lbss")
        )
        if writable and not section.startswith(".data.rel.ro"):
            found.append(f"{member}: {fields[0]} in {section}")
    return found
