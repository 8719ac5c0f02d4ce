"""Apache Cassandra: its jars, resolved by Maven into the cache, and the Java that runs them.

Maven asks whatever repository the machine is configured for, and checks what it gets. Only clusters and tests that
want a Cassandra need this part; nothing else here needs Java.
"""

import os
import platform
import re
import shutil
import subprocess
from pathlib import Path

from kvdev.errors import KvdevError, MissingPartError
from kvdev.parts.command import run
from kvdev.parts.store import Say, cached
from kvdev.state import cache_home

VERSION = "5.0.9"
JAVA = 17  # what Cassandra 5.0 is made for; it refuses newer ones
DEBIAN = Path("/usr/lib/jvm")  # where it keeps one Java beside others
PLUGIN = "org.apache.maven.plugins:maven-dependency-plugin:3.6.1"
HINT = "install it, on Debian 12 with: apt-get install -y --no-install-recommends maven openjdk-17-jre-headless"

# The excluded one is Cassandra's own client for its tools, which nothing here uses.
_POM = f"""<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>kvdev</groupId><artifactId>cassandra</artifactId><version>1</version><packaging>pom</packaging>
  <dependencies><dependency>
    <groupId>org.apache.cassandra</groupId><artifactId>cassandra-all</artifactId><version>{VERSION}</version>
    <exclusions><exclusion>
      <groupId>org.apache.cassandra</groupId><artifactId>cassandra-driver-core</artifactId>
    </exclusion></exclusions>
  </dependency></dependencies>
</project>
"""


def jars(say: Say) -> list[Path]:
    """Cassandra's jars for this machine; MissingPartError when Java or Maven is missing, or Maven cannot get them."""
    java()
    folder = cached(cache_home() / "cassandra" / VERSION, lambda folder: _resolve(folder, say), say)
    other = "aarch_64" if platform.machine() == "x86_64" else "x86_64"
    foreign = re.compile(f"-(osx|windows|linux-riscv64|linux-{other})[-.]")
    return [path for path in sorted(folder.glob("*.jar")) if not foreign.search(path.name)]


def java() -> Path:
    """A `java` of the right version: JAVA_HOME's, PATH's, or Debian's. MissingPartError if there is none."""
    places = [os.environ.get("JAVA_HOME", "/nowhere") + "/bin/java", shutil.which("java") or ""]
    debian = sorted(str(path) for path in DEBIAN.glob(f"java-{JAVA}-openjdk-*/bin/java"))
    for place in [*places, *debian]:
        if os.access(place, os.X_OK) and _version(place) == JAVA:
            return Path(place)
    raise MissingPartError(f"Cassandra needs Java {JAVA}, and none is here; {HINT}")


def _version(java: str) -> int | None:
    answer = subprocess.run([java, "-version"], capture_output=True, text=True, check=False, timeout=60)
    match = re.search(r'version "(\d+)', answer.stderr)
    return int(match[1]) if match else None


def _resolve(folder: Path, say: Say) -> None:
    maven = shutil.which("mvn")
    if not maven:
        raise MissingPartError(f"Cassandra's jars come with Maven, and `mvn` is not on PATH; {HINT}")
    say(f"Cassandra {VERSION}: resolving its jars with Maven, once (about 90 MB)")
    (folder / "pom.xml").write_text(_POM)
    goal = [f"{PLUGIN}:copy-dependencies", "-DincludeScope=runtime", f"-DoutputDirectory={folder}"]
    try:
        run(
            [maven, "--batch-mode", "--quiet", "--file", folder / "pom.xml", *goal],
            cwd=folder,
            environment={"JAVA_HOME": str(java().resolve().parents[1])},
            say=say,
            progress=lambda _: f"Cassandra: {len(list(folder.glob('*.jar')))} jars here",
        )
    except KvdevError as error:
        raise MissingPartError(f"Maven cannot get Cassandra {VERSION}; look at its settings.xml\n{error}") from None
