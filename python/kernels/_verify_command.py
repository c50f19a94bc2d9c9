# SPDX-License-Identifier: Apache-2.0
"""What `kernels verify-signature` runs in the environment, over directories of builds, in upstream's words."""

import argparse
import json
import sys
from pathlib import Path

from kernels.verify import VerificationResult, verify_variant

FAILED, NETWORK, STOPPED = 1, 3, 130  # as docs/cli.md has them

_CANNOT = "cannot verify kernel integrity"
# What each result is called in JSON, and what is printed of it.
_RESULTS = {
    VerificationResult.Success: ("signed", "kernel metadata is correctly signed"),
    VerificationResult.SignatureBundleMissing: ("unsigned", f"{_CANNOT}, signature not found"),
    VerificationResult.SignatureBundleInvalid: (
        "bad-signature",
        f"{_CANNOT}, invalid signature bundle:",
    ),
    VerificationResult.SignatureVerificationFailure: (
        "not-verified",
        "metadata signature verification failed:",
    ),
    VerificationResult.MetadataMissing: (
        "no-digest",
        f"{_CANNOT}, metadata does not have a digest",
    ),
    VerificationResult.DigestMissing: ("no-digest", f"{_CANNOT}, metadata does not have a digest"),
    VerificationResult.MetadataInvalid: ("bad-metadata", f"{_CANNOT}, invalid metadata:"),
    VerificationResult.DigestVerificationFailure: ("damaged", "kernel integrity check failed"),
}


def _arguments(words):
    parser = argparse.ArgumentParser(prog="kernels verify-signature", add_help=False)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--all-variants", action="store_true")
    parser.add_argument("--filter-unsigned", action="store_true")
    parser.add_argument("--filter-no-digest", action="store_true")
    parser.add_argument("--json", action="store_true")
    return parser.parse_args(words)


def _describe(folder):
    """A build's name, what its verification came to, and the lines that say why."""
    result = verify_variant(folder)
    word, text = _RESULTS[type(result)]
    reasons = [getattr(result, "reason", None), *map(str, getattr(result, "violations", ()))]
    return {
        "name": folder.name,
        "result": word,
        "reasons": [reason for reason in reasons if reason is not None],
    }, text


def _builds(arguments):
    """The directories of the builds: `folder`, or those in it that have the name of one."""
    if not arguments.all_variants:
        return [arguments.folder]
    from kernels.variants import get_variants_local

    found = get_variants_local(arguments.folder)
    return [arguments.folder / variant.variant_str for variant in found]


def _run(arguments):
    filtered = {"unsigned": arguments.filter_unsigned, "no-digest": arguments.filter_no_digest}
    shown = []
    for folder in _builds(arguments):
        found, text = _describe(folder)
        if filtered.get(found["result"]):
            continue
        shown.append(found)
        if not arguments.json:
            sign = "✅" if found["result"] == "signed" else "❌"
            print("\n".join([f"{sign} {found['name']}: {text}", *found["reasons"]]))
    if arguments.json:
        print(json.dumps({"variants": shown}, indent=2))
    return FAILED if any(found["result"] != "signed" for found in shown) else 0


def _is_network(error):
    """Whether sigstore could not fetch what it trusts."""
    from sigstore import errors

    return isinstance(error, (errors.NetworkError, errors.TUFError))


def main(words):
    """Runs the command; returns its exit status."""
    try:
        return _run(_arguments(words))
    except (ImportError, OSError) as error:
        print(f"kernels: error: {error}", file=sys.stderr)
        return FAILED
    except KeyboardInterrupt:
        return STOPPED
    except Exception as error:
        if not _is_network(error):
            raise
        print(
            f"kernels: error: sigstore's own certificates could not be fetched: {error}; "
            "HF_HUB_OFFLINE=1 takes those that it came with",
            file=sys.stderr,
        )
        return NETWORK
