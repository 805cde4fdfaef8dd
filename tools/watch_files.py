"""``python -m tools.watch_files [--check]``: write the generated files, from the root of a checkout.

``portallink watch rules`` writes rules and routing alone, for people who run the pipeline; this one
also makes the dashboards and the metrics' documentation, for which it needs the development dependencies.
"""

import argparse
import sys
from pathlib import Path

from streams.ingest.mapping.said import map_schema
from streams.serve.runbooks import as_markdown, runbooks
from streams.watch.rules import alertmanager_files, local_config, rule_files
from streams.watch.settings import load_settings
from tools.dashboards.build import boards, dashboard_files
from tools.kubernetes import kubernetes_files
from tools.metric_docs import metrics_document


def generated(root: Path) -> dict[Path, str]:
    """Return every generated file of a checkout, as it should be."""
    settings = load_settings(root / "deploy" / "slo.yaml")
    rules = rule_files(settings)
    return {
        root / "deploy" / "prometheus" / "local.yml": local_config(),
        **{root / "deploy" / "prometheus" / "rules" / name: text for name, text in rules.items()},
        **{
            root / "deploy" / "alertmanager" / name: text
            for name, text in alertmanager_files(settings).items()
        },
        **{root / "grafana" / name: text for name, text in dashboard_files(settings).items()},
        **{root / "docs" / "runbooks" / f"{name}.md": as_markdown(name) for name in runbooks()},
        **{root / "deploy" / "kubernetes" / name: text for name, text in kubernetes_files(rules).items()},
        root / "docs" / "metrics.md": metrics_document(boards(settings), rules),
        root / "schemas" / "gateway-map.schema.json": map_schema(),
    }


def main(arguments: list[str]) -> int:
    """Write the files, or with ``--check`` name those that drifted; the exit code says whether any did."""
    parser = argparse.ArgumentParser(prog="python -m tools.watch_files", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 if a file drifted")
    check = parser.parse_args(arguments).check
    drifted = {
        path: text
        for path, text in generated(Path.cwd()).items()
        if not path.exists() or path.read_text("utf-8") != text
    }
    for path, text in drifted.items():
        print(path.relative_to(Path.cwd()))
        if not check:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, "utf-8")
    return int(check and bool(drifted))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
