"""Takes a place on a `data_dir`, says which, and holds it."""

import sys

from penstock.limits.node import Member

if __name__ == "__main__":
    member = Member(sys.argv[1])
    print(member.id, flush=True)
    sys.stdin.read()
