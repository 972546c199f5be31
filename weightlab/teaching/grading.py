"""For the instructor, on the command line: labs as nbgrader's assignments, and reports on learners' copies.

    python -m weightlab.teaching.grading nbgrader --course course               every lab in labs/
    python -m weightlab.teaching.grading report copies/ada.ipynb copies/bo.ipynb

INSTRUCTORS.md says how to go on from there.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from weightlab.teaching.check_reports import printable, read_report, summary
from weightlab.teaching.nbgrader_copies import write_course


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status: 0, or 1 where an input is refused, with the reason printed."""
    given = _parser().parse_args(arguments)
    try:
        return _write(given) if given.command == "nbgrader" else _report(given)
    except (ValueError, OSError) as error:
        print(f"{type(error).__name__}: {error}")
        return 1


def _write(given: argparse.Namespace) -> int:
    labs = given.notebooks or sorted(Path("labs").glob("*.ipynb"))
    if not labs:
        raise ValueError("no lab in ./labs: run this in a clone of the repository, or name notebooks")
    print("\n".join(write_course(labs, given.course, points=given.points)))
    return 0


def _report(given: argparse.Namespace) -> int:
    reports = []
    labs = given.labs if given.labs.is_dir() else None
    for notebook in given.notebooks:
        try:
            reports.append(read_report(notebook, fresh=not given.saved, timeout=given.timeout, labs=labs))
        except (ValueError, OSError) as error:  # one broken file must not keep a class waiting
            print(printable(f"{notebook}: not read, {error}"), flush=True)
        else:
            print(reports[-1], flush=True)
    if len(reports) > 1:
        print(f"\n{summary(reports)}")
    return 0 if len(reports) == len(given.notebooks) else 1


def _parser() -> argparse.ArgumentParser:
    about = (__doc__ or "").splitlines()[0]
    parser = argparse.ArgumentParser(prog="python -m weightlab.teaching.grading", description=about)
    commands = parser.add_subparsers(dest="command", required=True)
    write = commands.add_parser("nbgrader", help="write labs as the source versions of nbgrader's assignments")
    write.add_argument("notebooks", nargs="*", type=Path, help="labs (default: all in labs/)")
    write.add_argument("--course", type=Path, default=Path("course"), help="nbgrader's course folder (default: course)")
    write.add_argument("--points", type=float, default=1.0, help="points for each exercise (default: 1)")
    report = commands.add_parser("report", help="say which exercises of notebooks are right, by running them")
    report.add_argument("notebooks", nargs="+", type=Path, help="learners' copies of labs")
    report.add_argument("--saved", action="store_true", help="read the saved outputs instead of running the cells")
    report.add_argument("--timeout", type=float, default=300.0, help="seconds that one cell may run (default: 300)")
    report.add_argument("--labs", type=Path, default=Path("labs"), help="the labs as given out (default: labs)")
    return parser


if __name__ == "__main__":
    raise SystemExit(main())
