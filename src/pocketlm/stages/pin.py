"""``pocketlm pin``: resolve a URL, a file or a hub branch to pinned content, as an entry for ``sources:``."""

from __future__ import annotations

import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``pocketlm pin``."""
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--url", help="pin what this URL serves now")
    what.add_argument("--path", help="pin a local file")
    what.add_argument("--repo", help="pin a hub dataset, owner/name")
    parser.add_argument("--revision", default="main", help="hub: branch, tag or commit (default: main)")
    parser.add_argument("--files", nargs="*", default=[], help="hub: only these files (default: all)")
    parser.add_argument("--name", default="NAME", help="name of the entry")


def run(args: argparse.Namespace) -> None:
    """Print the entry as YAML; licence and origin are left to be filled in by a person."""
    import yaml

    from pocketlm.data import pin

    if args.url:
        entry = pin.pin_url(args.url)
    elif args.path:
        entry = pin.pin_path(args.path)
    else:
        entry = pin.pin_hub(args.repo, args.revision, args.files)
    entry |= {"license": "", "origin": ""}
    print(yaml.safe_dump({"sources": {args.name: entry}}, sort_keys=False), end="")
